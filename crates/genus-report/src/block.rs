//! What a report is made of: sections of tables, charts, pictures and text, all of them data for the
//! template.

use crate::picture::Picture;
use crate::svg::{bar_swatch, line_swatch, marker_swatch};
use serde::Serialize;

/// Letters of a cell from which on it is more than a number or a name.
const WORDS: usize = 18;

/// A part of the report under a heading.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Section {
    /// Anchor.
    pub id: String,
    /// Heading.
    pub title: String,
    /// Sentence under the heading, or empty.
    pub intro: String,
    /// Content, in order.
    pub blocks: Vec<Block>,
}

/// A piece of a section.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Block {
    /// A table.
    Table(Table),
    /// Charts side by side as far as the window goes.
    Charts(Vec<Chart>),
    /// Pictures of pixels side by side as far as the window goes.
    Pictures(Vec<Picture>),
    /// Text as it is in a file.
    Code(String),
    /// A sentence.
    Text(String),
    /// A list of sentences.
    Points(Vec<String>),
    /// A scale of colours with the values at its ends.
    Ramp(Ramp),
}

/// A scale of colours.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Ramp {
    /// CSS of the colours.
    pub css: String,
    /// Value of the dark end.
    pub low: String,
    /// Value of the light end.
    pub high: String,
    /// What it measures.
    pub label: String,
}

/// A chart with its title, legend and note.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Chart {
    /// Title.
    pub title: String,
    /// Inline SVG; everything in it that comes from data is escaped already.
    pub svg: String,
    /// Names of its series; empty for a single one.
    pub legend: Vec<Entry>,
    /// Remark under it, or empty.
    pub note: String,
    /// Whether it takes more room than others.
    pub wide: bool,
}

/// A line of a legend.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Entry {
    /// Inline SVG of the look.
    pub swatch: String,
    /// Name of the series.
    pub name: String,
}

impl Entry {
    /// For a series drawn as a line of this style.
    pub(crate) fn line(name: &str, style: usize) -> Self {
        Self { swatch: line_swatch(style), name: name.to_owned() }
    }
    /// For a series drawn as markers of this style.
    pub(crate) fn marker(name: &str, style: usize) -> Self {
        Self { swatch: marker_swatch(style), name: name.to_owned() }
    }
    /// For a histogram of this style.
    pub(crate) fn bar(name: &str, style: usize) -> Self {
        Self { swatch: bar_swatch(style), name: name.to_owned() }
    }
}

/// A table; the first cell of each row is the row's heading.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Table {
    /// Caption.
    pub caption: String,
    /// Headings of the columns.
    pub head: Vec<Head>,
    /// Rows of cells.
    pub rows: Vec<Vec<Cell>>,
    /// Whether it opens only when asked for.
    pub folded: bool,
    /// Whether its rows become pairs of label and value in a narrow window: it has cells of many words.
    pub stacked: bool,
    /// Remark under it, or empty.
    pub note: String,
}

/// Heading of a column.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Head {
    /// The words.
    pub text: String,
    /// Whether the column holds numbers, which are aligned at their right.
    pub number: bool,
}

/// A cell.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Cell {
    /// The words.
    pub text: String,
    /// `good`, `bad` or empty.
    pub tone: &'static str,
    /// Length of a bar in the cell, per cent.
    pub bar: Option<String>,
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self { text, ..Self::default() }
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::from(text.to_owned())
    }
}

impl Table {
    /// A table without rows; the headings that begin with `#` are those of numbers.
    pub(crate) fn new<S: AsRef<str>>(caption: impl Into<String>, head: impl IntoIterator<Item = S>) -> Self {
        let head = head.into_iter().map(|h| {
            let text = h.as_ref();
            let cut = text.strip_prefix('#');
            Head { text: cut.unwrap_or(text).to_owned(), number: cut.is_some() }
        });
        Self {
            caption: caption.into(),
            head: head.collect(),
            rows: Vec::new(),
            folded: false,
            stacked: false,
            note: String::new(),
        }
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        let cells: Vec<Cell> = cells.into_iter().collect();
        self.stacked |= cells.len() > 2 && cells[1..].iter().any(|c| c.text.chars().count() > WORDS);
        self.rows.push(cells);
    }
}
