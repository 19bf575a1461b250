//! Tables as text: what stands between cells, header, columns and the label are found, not asked for.

use super::column::{self, Survey};
use super::dialect::{self, Dialect};
use super::input::{Input, MAX_LINE, MAX_TEXT, MAX_VALUES};
use super::kinds::Wanted;
use super::precision::Precision;
use super::reading::{ENOUGH, Guess, Reading};
use super::{Label, Missing};
use crate::schema::{list, unnamed};
use crate::style::{self, Style};
use crate::{
    Advice, Batch, Column, Dataset, Domain, Error, Kind, Provenance, Result, Schema, Shape, Split, Support,
    names,
};
use csv::{ByteRecord, ReaderBuilder, StringRecord};
use std::borrow::Cow;
use std::cell::Cell;
use std::collections::{HashMap, HashSet};
use std::io::{self, Read};
use std::path::Path;

/// Most columns that are read.
const MAX_COLUMNS: usize = 1 << 16;
/// Longest name of a column, in bytes.
const MAX_NAME: usize = 10_000;
/// Most lines at the end that have nothing between their delimiters.
const MOST_BLANK: usize = 100_000;
/// Names of columns that hold the label unless told otherwise.
const LABELS: [&str; 4] = ["label", "class", "target", "species"];

/// How a table is to be read.
pub(super) struct How<'a> {
    pub(super) label: Option<&'a Label>,
    pub(super) missing: Missing,
    /// The rows of a model that these are for.
    pub(super) like: Option<&'a Schema>,
    /// Whether columns that these rows do not have are left out.
    pub(super) spare: bool,
    /// What columns are to be taken for, by name.
    pub(super) kinds: &'a [(String, Wanted)],
}

/// The text of a table, cut into records as often as needed: keeping them all would take many times the
/// memory.
struct Records<'a> {
    text: &'a [u8],
    dialect: Dialect,
    /// Lines above the text.
    above: u64,
    path: &'a Path,
    /// Whether lines at the end without anything are rows: those of a file for a model are.
    blank: bool,
}

/// Bytes that end with an error where a record gets too long: the reader of records keeps one whole.
struct Lines<'a> {
    text: &'a [u8],
    /// Bytes since the last record.
    since: &'a Cell<usize>,
}

impl Read for Lines<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let n = self.text.read(into)?;
        self.since.set(self.since.get() + n);
        // What is read ahead may be more than one record.
        if self.since.get() > MAX_LINE + (1 << 16) {
            return Err(io::Error::other(format!(
                "longer than the {MAX_LINE} bytes of a line that are read at most; look for a quote that is not closed, or split the table"
            )));
        }
        Ok(n)
    }
}

/// Lines of a text, whatever ends them: the reader of records takes the second sign of an end for a beginning.
struct Counted<'a> {
    text: &'a [u8],
    at: usize,
    /// Ends of lines before.
    lines: u64,
}

impl Counted<'_> {
    /// The line, from 1, of the record that begins there or behind ends of lines there; later ones come later.
    fn line_at(&mut self, byte: usize) -> u64 {
        let is_end = |b: &u8| matches!(b, b'\n' | b'\r');
        while self.at < self.text.len() && (self.at < byte || is_end(&self.text[self.at])) {
            let b = self.text[self.at];
            let ends = b == b'\n' || b == b'\r' && self.text.get(self.at + 1) != Some(&b'\n');
            self.lines += u64::from(ends);
            self.at += 1;
        }
        self.lines + 1
    }
}

impl Records<'_> {
    /// Calls `f` with the record and its line, from record number `skip` on, until it says that it has enough.
    /// Gives the number of lines at the end without anything between their delimiters, which are no records.
    fn until(&self, skip: usize, mut f: impl FnMut(&StringRecord, u64) -> Result<bool>) -> Result<usize> {
        let since = Cell::new(0);
        let mut reader = ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .delimiter(self.dialect.delimiter)
            .trim(csv::Trim::All)
            .from_reader(Lines { text: self.text, since: &since });
        let mut raw = ByteRecord::new();
        let mut number = 0;
        let mut counted = Counted { text: self.text, at: 0, lines: 0 };
        // Lines without anything between their delimiters, as programs for sheets leave them at the end, count only with another below.
        let mut blank: Vec<(StringRecord, u64)> = Vec::new();
        loop {
            let more = reader
                .read_byte_record(&mut raw)
                .map_err(|e| Error::format(self.path, format!("record {}", number + 1), e.to_string()))?;
            if !more {
                return Ok(blank.len());
            }
            since.set(0);
            let line = self.above + counted.line_at(raw.position().map_or(0, csv::Position::byte) as usize);
            let refuse = |message| Err(Error::format(self.path, format!("line {line}"), message));
            if raw.as_slice().len() > MAX_LINE {
                return refuse(format!(
                    "longer than the {MAX_LINE} bytes that are read at most; split the table"
                ));
            }
            if raw.len() > MAX_COLUMNS {
                return refuse(format!("{} cells; at most {MAX_COLUMNS} columns are read", raw.len()));
            }
            if number >= skip {
                let record = StringRecord::from_byte_record(raw).map_err(|_| {
                    Error::format(
                        self.path,
                        format!("line {line}"),
                        "not UTF-8 text; save the table as UTF-8",
                    )
                })?;
                if !self.blank
                    && record.len() > 1
                    && record.iter().all(str::is_empty)
                    && blank.len() < MOST_BLANK
                {
                    blank.push((record, line));
                    raw = ByteRecord::new();
                } else {
                    for (record, line) in blank.drain(..) {
                        if f(&record, line)? {
                            return Ok(0);
                        }
                    }
                    if f(&record, line)? {
                        return Ok(0);
                    }
                    raw = record.into_byte_record();
                }
            }
            number += 1;
        }
    }

    /// As [`until`](Self::until), to the end.
    fn each(&self, skip: usize, mut f: impl FnMut(&StringRecord, u64) -> Result<()>) -> Result<usize> {
        self.until(skip, |record, line| f(record, line).map(|()| false))
    }

    /// The first two records, the number of all, and that of lines at the end without anything.
    fn head(&self) -> Result<(Vec<StringRecord>, usize, usize)> {
        let (mut head, mut n) = (Vec::new(), 0);
        let blank = self.each(0, |r, _| {
            n += 1;
            if head.len() < 2 {
                head.push(r.clone());
            }
            Ok(())
        })?;
        Ok((head, n, blank))
    }

    /// Whether numbers have commas for points, in the first thousand records, and what is doubtful about that. A comma before three digits may
    /// as well part thousands, and so may a point.
    /// Where nothing is sure, numbers are as those of a model.
    fn decimal_commas(&self, like: Option<bool>) -> Result<(bool, Option<String>)> {
        let (mut commas, mut points) = (Marks::default(), Marks::default());
        let mut seen = 0;
        self.until(0, |record, _| {
            for cell in record.iter() {
                commas.see(cell, ',', '.');
                points.see(cell, '.', ',');
            }
            seen += 1;
            Ok(seen == ENOUGH)
        })?;
        // Where commas part cells, one within quotes says little beside points.
        let quoted = self.dialect.delimiter == b',';
        let weak = quoted && points.some.is_some();
        let (comma, point) = (commas.sure && !weak || points.groups && !quoted, points.sure || commas.groups);
        if comma || point {
            return Ok((comma && !point, None));
        }
        if let Some(like) = like {
            return Ok((like, None));
        }
        let comma = commas.some.is_some() && points.some.is_none() && !quoted;
        let doubt = commas.some.filter(|_| comma).map(|cell| {
            format!("numbers such as {cell} are read with a decimal comma, and nothing in them says that it does not part thousands")
        });
        Ok((comma, doubt))
    }
}

/// What cells say of a sign that may be the decimal point.
#[derive(Default)]
struct Marks {
    /// Some cell has it before a number of digits other than three, or behind the other sign.
    sure: bool,
    /// Some cell has it more than once, between groups of three digits.
    groups: bool,
    /// A cell that has it before three digits.
    some: Option<String>,
}

impl Marks {
    fn see(&mut self, cell: &str, mark: char, group: char) {
        let Some((whole, fraction)) = style::bare(cell).rsplit_once(mark) else { return };
        let digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
        let (fraction, exponent) = fraction.split_once(['e', 'E']).unwrap_or((fraction, "0"));
        if fraction.is_empty() || !digits(fraction) || exponent.parse::<i32>().is_err() {
            return;
        }
        match () {
            () if digits(whole)
                && (fraction.len() != 3 || whole.is_empty() || whole.len() > 3 || whole.starts_with('0')) =>
            {
                self.sure = true
            }
            () if digits(whole) => self.some = self.some.take().or_else(|| Some(cell.into())),
            () if whole.contains(mark) => self.groups |= fraction.len() == 3 && style::in_groups(whole, mark),
            () => self.sure |= style::in_groups(whole, group),
        }
    }
}

/// What the first line says.
struct Top {
    /// Records before the data: 0 or 1.
    skip: usize,
    columns: Vec<String>,
    /// Whether these are names that the file has.
    named: bool,
    /// Class names, if the line holds `rows, columns, class names…`.
    classes: Option<Vec<String>>,
}

impl Top {
    /// A cell, for messages.
    fn place(&self, line: u64, c: usize) -> String {
        format!("line {line}, column \"{}\"", self.columns[c])
    }

    fn of_names<'a>(names: impl Iterator<Item = &'a str>, skip: usize) -> Self {
        let name = |(c, cell): (usize, &str)| if cell.is_empty() { unnamed(c) } else { cell.to_owned() };
        Self { skip, columns: names.enumerate().map(name).collect(), named: true, classes: None }
    }

    fn without_names(width: usize, skip: usize) -> Self {
        Self { skip, columns: (0..width).map(unnamed).collect(), named: false, classes: None }
    }
}

/// The first line of the sets of scikit-learn: `rows, columns, class names…`.
fn counted(head: &[StringRecord], records: usize) -> Option<Top> {
    let (first, width) = (head.first()?, head.last()?.len());
    let is = |i: usize, n: usize| first.get(i).and_then(|c| c.parse().ok()) == Some(n);
    let counts = first.len() > 2
        && is(0, records - 1)
        && is(1, width.saturating_sub(1))
        && first.iter().skip(2).all(|c| column::number(c).is_none());
    counts.then(|| {
        let mut top = Top::without_names(width, 1);
        top.columns[width - 1] = "class".into();
        top.classes = Some(first.iter().skip(2).map(str::to_owned).collect());
        top
    })
}

/// Whether the first record holds the names of columns whose other cells were surveyed.
fn is_header(first: &StringRecord, rest: &[Survey], like: Option<&Schema>, dialect: Dialect) -> bool {
    if let Some(like) = like.filter(|l| l.known().next().is_some())
        && like.known().all(|c| first.iter().any(|cell| cell == c.name))
    {
        return true;
    }
    let number = |cell: &str| dialect.number(cell);
    // A name above numbers.
    let is_name = |c: &str, s: &Survey| {
        !column::is_missing(c) && !column::is_soft(c) && s.reading.number(c, dialect).is_none()
    };
    if first.iter().zip(rest).any(|(c, s)| is_name(c, s) && s.is_numeric()) {
        return true;
    }
    // Numbers of columns, counted from 0 as pandas does or from 1, after the empty cell above row numbers.
    let unnamed_first = first.get(0) == Some("") && rest.first().is_some_and(Survey::counts_rows);
    let from = usize::from(unnamed_first);
    let counts = |start: usize| {
        first.iter().enumerate().skip(from).all(|(i, c)| {
            let at = i - from + start;
            number(c).map_or(!column::is_missing(c), |x| x == at as f64)
        })
    };
    let numbers = first.iter().skip(from).filter(|c| number(c).is_some()).count();
    if numbers > 0 && (counts(0) || counts(1)) {
        let among_texts = numbers < first.len() - from;
        let beyond_bits = numbers > 2 || numbers == 2 && rest.iter().any(|s| !s.is_binary());
        return unnamed_first || among_texts || beyond_bits;
    }
    // Texts above texts, unless they are such as occur below.
    let text = |(c, s): (&str, &Survey)| number(c).is_none() && s.reading.number(c, dialect).is_none();
    let texts = first.iter().zip(rest).all(text) && first.iter().any(|c| !column::is_missing(c));
    let again = first.iter().zip(rest).all(|(c, s)| column::is_missing(c) || s.has_text(c));
    texts && !again
}

/// Which columns are what.
struct Roles {
    label: Option<usize>,
    /// Columns that are not used.
    left_out: Vec<usize>,
    remarks: Vec<String>,
}

fn named_label(name: &str) -> bool {
    LABELS.contains(&name.to_lowercase().as_str())
}

fn roles(top: &Top, surveys: &[Survey], rows: usize, how: &How<'_>, path: &Path) -> Result<Roles> {
    let mut remarks = Vec::new();
    let wanted = |c: usize| how.like.is_some_and(|l| l.known().any(|k| k.name == top.columns[c]));
    let position = |name: &str| top.columns.iter().position(|c| c == name);
    let is_plain = |c: usize| surveys[c].reading == Reading::default();
    let index = |c: usize| {
        let unnamed_header =
            top.named && (top.columns[c] == unnamed(c) || top.columns[c].starts_with("Unnamed:"));
        unnamed_header
            && c == 0
            && is_plain(c)
            && surveys[c].counts_rows()
            && top.columns.len() > 1
            && !wanted(c)
    };
    let mut left_out: Vec<usize> = (0..top.columns.len()).filter(|c| index(*c)).collect();
    if !left_out.is_empty() {
        remarks.push("the first column has no name and numbers the rows: it is left out".into());
    }
    let said =
        |c: usize| how.kinds.iter().find(|(name, _)| *name == top.columns[c]).map(|(_, wanted)| wanted);
    let known_to_be = |c: &usize| {
        top.named && how.like.is_some_and(|l| l.left_out.contains(&top.columns[*c])) && !wanted(*c)
    };
    left_out.extend((0..top.columns.len()).filter(known_to_be));
    left_out.extend((0..top.columns.len()).filter(|c| said(*c) == Some(&Wanted::Skip)));
    if how.like.is_none() {
        let asked = |c: usize| match how.label {
            Some(Label::Name(name)) => *name == top.columns[c],
            Some(Label::Index(i)) => *i == c,
            _ => named_label(&top.columns[c]) && !surveys[c].is_empty(),
        };
        for (c, survey) in surveys.iter().enumerate() {
            if said(c).is_some() || asked(c) || left_out.contains(&c) {
                continue;
            }
            let name = &top.columns[c];
            let why = if survey.is_empty() {
                "has no value in any row"
            } else if survey.names_each() {
                "holds a text of its own in nearly every row, which names it or is free text"
            } else if survey.may_identify(rows) && column::names_rows(name) {
                "numbers the rows, by its name and its values"
            } else {
                continue;
            };
            left_out.push(c);
            remarks.push(format!("column \"{name}\" {why}: it is left out"));
        }
    }
    let unknown = |what: String| {
        Error::config(
            "label",
            format!("{} has no column {what}; there are: {}", path.display(), list(&top.columns)),
        )
    };
    // The class of a model, if it is here: rows without names that are as many as its columns come without.
    let class = |like: &Schema| {
        let bare = !top.named && top.columns.len() == like.width();
        // What a model is given it is given as a column like the others.
        like.given.first().filter(|_| !bare && !like.conditional).and_then(|class| position(&class.name))
    };
    let label = match (how.label, how.like) {
        (Some(Label::None), like) => {
            left_out.extend(like.and_then(class));
            None
        }
        (Some(Label::Index(i)), _) if *i < top.columns.len() => Some(*i),
        (Some(Label::Index(i)), _) => return Err(unknown(format!("number {i} (counted from 0)"))),
        (Some(Label::Name(n)), _) => Some(position(n).ok_or_else(|| unknown(format!("`{n}`")))?),
        (None, Some(like)) => {
            let spare = |c: &usize| !wanted(*c) && !left_out.contains(c);
            let labels = |c: &usize| like.conditional && named_label(&top.columns[*c]);
            let left: Vec<usize> =
                (0..top.columns.len()).filter(|c| spare(c) && (how.spare || labels(c))).collect();
            // A training leaves a class out as well that is not among what is given.
            if !left.is_empty() {
                let names: Vec<&String> = left.iter().map(|c| &top.columns[*c]).collect();
                remarks.push(format!("columns that the model does not know are left out: {}", list(names)));
                left_out.extend(left);
            }
            class(like)
        }
        (None, None) => {
            let at = |c: &usize| named_label(&top.columns[*c]) && !left_out.contains(c);
            let found = (0..top.columns.len()).find(at);
            let refused = found.filter(|c| !surveys[*c].may_be_classes(rows));
            if let Some(c) = refused {
                remarks.push(format!(
                    "column \"{}\" has {} different values in {rows} rows: it is taken for a value like the others, not for a class",
                    top.columns[c],
                    match surveys[c].distinct() {
                        n if n > super::array::MAX_CLASSES => format!("more than {}", super::array::MAX_CLASSES),
                        n => n.to_string(),
                    }
                ));
            }
            found.filter(|_| refused.is_none())
        }
    };
    Ok(Roles { label, left_out, remarks })
}

/// Reads a table. See [`Options`](super::Options) for what can be chosen.
///
/// # Errors
/// [`Error::Format`] naming line and column, [`Error::Config`] if the label column is not there.
pub(super) fn load(input: &mut Input<'_>, name: &str, how: &How<'_>) -> Result<Dataset> {
    understood(input, how, |table| table.dataset(name))
}

/// The bytes of a table with its missing values in the columns of `schema` as they are in `x`, which has those columns and a row for
/// each of the table; everything else as it stands there.
///
/// # Errors
/// As [`load`], and [`Error::Domain`] if the rows are not those of the table.
pub(super) fn filled(input: &mut Input<'_>, how: &How<'_>, x: &Batch, schema: &Schema) -> Result<Vec<u8>> {
    understood(input, how, |table| table.filled(x, schema))
}

/// Finds out what a table is, for `f`.
fn understood<T>(input: &mut Input<'_>, how: &How<'_>, f: impl FnOnce(&Table<'_>) -> Result<T>) -> Result<T> {
    let text = input.rest(MAX_TEXT)?;
    let path = &input.path().to_owned();
    let text = match &text[..] {
        [0xff, 0xfe, rest @ ..] => wide(rest, u16::from_le_bytes, path)?,
        [0xfe, 0xff, rest @ ..] => wide(rest, u16::from_be_bytes, path)?,
        [0xef, 0xbb, 0xbf, ..] => text[3..].to_vec(),
        _ => text,
    };
    let text = &text[..];
    let body = dialect::body(text);
    let dialect = Dialect { delimiter: body.delimiter, decimal_comma: false };
    let mut records =
        Records { text: &body.text, dialect, above: body.above, path, blank: how.like.is_some() };
    let (decimal_comma, doubt) = records.decimal_commas(how.like.map(|l| l.decimal_comma))?;
    records.dialect.decimal_comma = decimal_comma;
    if records.dialect.decimal_comma && how.like.is_some_and(|l| !l.decimal_comma) {
        let message = "numbers are written with decimal commas, and those that the model was fitted to with points; save them with points";
        return Err(Error::format(path, "table", message));
    }
    let (head, n, blank) = records.head()?;
    let width = head.first().map_or(0, StringRecord::len);
    let beyond = |rows: usize, width: usize| {
        width > MAX_COLUMNS || (rows as u64).saturating_mul(width as u64) > MAX_VALUES
    };
    if beyond(n, width) {
        let message = format!("{n} rows of {width} columns are more than is read; split the table");
        return Err(Error::format(path, "table", message));
    }
    input.charge(4 * n as u64 * (width as u64 + 3), "its values")?;
    if let Cow::Owned(copy) = &body.text {
        input.charge(copy.len() as u64, "its text")?;
    }
    let special = counted(&head, n);
    let mut doubts = Vec::from_iter(doubt);
    if blank > 0 {
        let lines =
            if blank == 1 { "the last line has".into() } else { format!("the last {blank} lines have") };
        doubts.push(format!("{lines} nothing between the delimiters: left out"));
    }
    let (top, mut surveys) = match special {
        Some(top) => {
            let readings = vec![Reading::default(); top.columns.len()];
            let surveys = survey(&records, 1, readings, input)?;
            (top, surveys)
        }
        None => {
            let first = head.first().cloned().unwrap_or_default();
            let readings = readings(&records, &first, how, &mut doubts)?;
            let mut surveys = survey(&records, 1, readings, input)?;
            // What stands in the last remark above the table is its header, if it has as many cells and there is no other.
            let remark = body.remark.as_deref().and_then(|r| one_record(r, dialect.delimiter, path));
            let top = if is_header(&first, &surveys, how.like, records.dialect) {
                Top::of_names(first.iter(), 1)
            } else {
                match remark.filter(|r| r.len() == width && width > 0) {
                    Some(names) => Top::of_names(names.iter(), 0),
                    None => Top::without_names(width, 0),
                }
            };
            if top.skip == 0 {
                for (c, s) in first.iter().zip(&mut surveys) {
                    s.see(c, body.above + 1, records.dialect);
                }
            }
            (top, surveys)
        }
    };
    surveys.iter_mut().for_each(Survey::settle);
    let rows = n.saturating_sub(top.skip);
    if rows == 0 {
        return Err(Error::format(path, "table", "no row of data; give at least one row below the header"));
    }
    let mut names_seen = HashSet::new();
    for name in &top.columns {
        if name.len() > MAX_NAME {
            let message = format!("a name of {} bytes; at most {MAX_NAME} are read", name.len());
            return Err(Error::format(path, "header", message));
        }
        if !names_seen.insert(name) {
            let message = format!("two columns are called \"{name}\"; rename one");
            return Err(Error::format(path, "header", message));
        }
    }
    if let Some((name, _)) = how.kinds.iter().find(|(name, _)| !names_seen.contains(name)) {
        let near = names::near(name, top.columns.iter().map(String::as_str));
        let guess =
            if near.is_empty() { String::new() } else { format!(" (did you mean {}?)", near.join(", ")) };
        let message =
            format!("{} has no column `{name}`{guess}; there are: {}", path.display(), list(&top.columns));
        return Err(Error::config("kinds", message));
    }
    let mut roles = roles(&top, &surveys, rows, how, path)?;
    roles.remarks.splice(0..0, doubts);
    if let Some(c) = roles.label {
        surveys[c].take_words_for_texts();
        // Rows for a model need no classes.
        if let (Some(line), None, Some(_)) = (surveys[c].lacks_class(), how.label, how.like) {
            let name = &top.columns[c];
            roles.remarks.push(format!(
                "line {line} has no \"{name}\", which is the class: the classes of these rows are left out"
            ));
            roles.left_out.push(c);
            roles.label = None;
        }
    }
    if how.like.is_none() {
        let names = (0..top.columns.len()).filter(|c| Some(*c) != roles.label && !roles.left_out.contains(c));
        let alike = names.filter(|c| surveys[*c].may_identify(rows)).map(|c| {
            format!(
                "column \"{}\" has another whole number in each row: if it names the rows, leave it out",
                top.columns[c]
            )
        });
        roles.remarks.extend(alike.collect::<Vec<_>>());
    }
    let above = text.split_inclusive(|b| *b == b'\n').take(body.above as usize).map(<[u8]>::len).sum();
    let table = Table::of(&records, &text[..above], top, &surveys, roles, rows, how)?;
    drop(surveys);
    f(&table)
}

/// Text of two bytes a letter, as some programs for sheets write it.
fn wide(bytes: &[u8], letter: fn([u8; 2]) -> u16, path: &Path) -> Result<Vec<u8>> {
    let letters: Vec<u16> = bytes.chunks_exact(2).map(|b| letter([b[0], b[1]])).collect();
    let text = String::from_utf16(&letters);
    text.map(String::into_bytes)
        .map_err(|_| Error::format(path, "text", "neither UTF-16 nor UTF-8; save the table as UTF-8"))
}

/// A line as one record.
fn one_record(line: &[u8], delimiter: u8, path: &Path) -> Option<StringRecord> {
    let dialect = Dialect { delimiter, decimal_comma: false };
    let line = if delimiter == b' ' { dialect::body(line).text.into_owned() } else { line.to_vec() };
    let (head, ..) = Records { text: &line, dialect, above: 0, path, blank: true }.head().ok()?;
    head.into_iter().next()
}

/// How the cells of each column are read: as the rows of the model are, as was said, or as the cells themselves show.
fn readings(
    records: &Records<'_>,
    first: &StringRecord,
    how: &How<'_>,
    doubts: &mut Vec<String>,
) -> Result<Vec<Reading>> {
    let mut guesses: Vec<Guess> = (0..first.len()).map(|_| Guess::default()).collect();
    let mut seen = 0;
    records.until(1, |record, _| {
        guesses.iter_mut().zip(record).for_each(|(guess, cell)| guess.see(cell, records.dialect));
        seen += 1;
        Ok(seen >= ENOUGH && !guesses.iter().any(Guess::is_open))
    })?;
    let named = |c: usize, name: &str| first.get(c) == Some(name) || unnamed(c) == name;
    let mut all = Vec::with_capacity(guesses.len());
    for (c, guess) in guesses.into_iter().enumerate() {
        let said = how.kinds.iter().find(|(name, _)| named(c, name)).map(|(_, wanted)| wanted);
        let own = how.like.and_then(|like| {
            like.columns.iter().chain(&like.given).find(|k| first.get(c) == Some(k.name.as_str()))
        });
        let own = own.filter(|k| guess.suits(&k.style, records.dialect));
        let (found, doubt) = guess.reading(records.dialect);
        let cell = || format!("column \"{}\"", first.get(c).unwrap_or_default());
        all.push(match (said, own) {
            (Some(wanted), _) => {
                if *wanted == Wanted::Date(None) {
                    doubts.extend(doubt.map(|d| format!("{}: {d}", cell())));
                }
                wanted.reading(found).map_err(|message| Error::format(records.path, cell(), message))?
            }
            (None, Some(own)) if matches!(own.kind, Kind::Category(_)) => Reading::known(own.categories()),
            (None, Some(own)) if own.style != Style::Plain => Reading::of(own.style.clone()),
            // A code among numbers of a model is a number.
            (None, Some(_)) if found.texts => Reading::default(),
            _ => {
                doubts.extend(doubt.map(|d| format!("{}: {d}", cell())));
                found
            }
        });
    }
    Ok(all)
}

/// Reads the records from number `skip` on to find out what the columns hold.
fn survey(
    records: &Records<'_>,
    skip: usize,
    readings: Vec<Reading>,
    input: &mut Input<'_>,
) -> Result<Vec<Survey>> {
    let width = readings.len();
    let mut surveys: Vec<Survey> = readings.into_iter().map(Survey::new).collect();
    records.each(skip, |record, line| {
        if record.len() != width {
            return Err(Error::format(
                records.path,
                format!("line {line}"),
                format!(
                    "{} cells where the first line has {width}; mend the line or its quotes",
                    record.len()
                ),
            ));
        }
        let kept = |(cell, survey): (&str, &mut Survey)| survey.see(cell, line, records.dialect);
        let kept: u64 = record.iter().zip(&mut surveys).map(kept).sum();
        input.charge(kept, "what its columns hold")
    })?;
    Ok(surveys)
}

/// A table whose columns are known: another reading gives its values.
struct Table<'a> {
    records: &'a Records<'a>,
    /// What stands above the records.
    above: &'a [u8],
    top: Top,
    roles: Roles,
    /// Records that are rows.
    rows: usize,
    /// Numbers of the columns that are features.
    features: Vec<usize>,
    schema: Schema,
    /// How the cells of each column of the file are read.
    readings: Vec<Reading>,
    /// What the label column holds, sorted.
    classes: Vec<String>,
    missing: Missing,
    /// Whether the rows are for a model.
    like: bool,
}

impl<'a> Table<'a> {
    fn of(
        records: &'a Records<'a>,
        above: &'a [u8],
        top: Top,
        surveys: &[Survey],
        roles: Roles,
        rows: usize,
        how: &How<'_>,
    ) -> Result<Self> {
        let (path, width, missing) = (records.path, top.columns.len(), how.missing);
        let used = |c: &usize| !roles.left_out.contains(c);
        for (c, survey) in surveys.iter().enumerate().filter(|(c, _)| used(c)) {
            match survey.first_missing {
                Some(_) if Some(c) == roles.label => {
                    if let (Some(line), true) = (survey.lacks_class(), missing != Missing::Drop) {
                        let remedy = "a row without its label; drop the row, or choose another label column";
                        return Err(Error::format(path, top.place(line, c), remedy));
                    }
                }
                Some(line) if missing == Missing::Refuse => {
                    let error = Error::format(path, top.place(line, c), "no value");
                    return Err(error.advise(Advice::Missing));
                }
                _ => {}
            }
        }
        let features: Vec<usize> = (0..width).filter(|c| Some(*c) != roles.label && used(c)).collect();
        if features.is_empty() {
            return Err(Error::format(path, "table", "no column but the label; there is nothing to model"));
        }
        let column = |&c: &usize| {
            let refuse = |(line, m)| Error::format(path, top.place(line, c), m);
            let mut kind = surveys[c].kind().map_err(refuse)?;
            let said = how.kinds.iter().find(|(name, _)| *name == top.columns[c]);
            if let Some((_, wanted)) = said.filter(|_| !surveys[c].is_empty()) {
                kind = wanted
                    .kind(kind)
                    .map_err(|m| Error::format(path, format!("column \"{}\"", top.columns[c]), m))?;
            }
            let origin = if matches!(kind, Kind::Category(_)) { 0.0 } else { surveys[c].precision.origin() };
            let mut style = surveys[c].reading.style.clone();
            if let (Style::Dressed(dress), Kind::Real { decimals }) = (&mut style, &kind) {
                // Rows further down may have more digits than those that were looked at first.
                dress.decimals = dress.decimals.filter(|d| Some(*d) == *decimals);
            }
            Ok(Column {
                name: top.columns[c].clone(),
                kind,
                origin,
                missing: surveys[c].missing.clone(),
                style,
            })
        };
        let columns = features.iter().map(column).collect::<Result<Vec<Column>>>()?;
        let decimal_comma = records.dialect.decimal_comma;
        let domain = Domain { support: support_of(&columns), shape: Shape::Flat(columns.len()) };
        let named = |c: &&usize| top.columns[**c] != unnamed(**c);
        let left_out = roles.left_out.iter().filter(named).map(|c| top.columns[*c].clone()).collect();
        let mut schema =
            Schema { domain, columns, given: Vec::new(), conditional: false, decimal_comma, left_out };
        // What a model is given goes by its name alone.
        let by_name = |own: &Column| schema.columns.iter().position(|c| c.name == own.name);
        let pairs: Vec<(&Column, usize)> = match how.like {
            Some(like) if like.conditional => {
                like.known().filter_map(|own| Some((own, by_name(own)?))).collect()
            }
            Some(like) => match like.matched(&schema) {
                Ok((from, _)) => like.columns.iter().zip(from).collect(),
                Err(_) => like.known().filter_map(|own| Some((own, by_name(own)?))).collect(),
            },
            None => Vec::new(),
        };
        if !pairs.is_empty() {
            for (own, at) in pairs {
                let column = &mut schema.columns[at];
                let values = surveys[features[at]].is_numeric() && !matches!(own.kind, Kind::Category(_));
                if values && !own.style.means(&column.style) {
                    let words = |c: &Column| c.style.words().unwrap_or_else(|| "plain numbers".into());
                    let message = format!(
                        "written as {}, and what the model was fitted to as {}; write it alike",
                        words(column),
                        words(own)
                    );
                    return Err(Error::format(path, format!("column \"{}\"", column.name), message));
                }
                match (&own.kind, &column.kind) {
                    (Kind::Category(_), Kind::Category(_)) => {}
                    // Categories that are written as numbers, where no other occurs.
                    (Kind::Category(_), _) => {
                        let refuse = |m| Error::format(path, format!("column \"{}\"", column.name), m);
                        column.kind = Kind::Category(surveys[features[at]].classes().map_err(refuse)?);
                        column.origin = 0.0;
                    }
                    _ => column.origin = own.origin,
                }
            }
            schema.domain.support = support_of(&schema.columns);
        }
        let classes = |c: usize| {
            let refuse = |m| Error::format(path, format!("column \"{}\"", top.columns[c]), m);
            surveys[c].classes().map_err(refuse)
        };
        let classes = roles.label.map(classes).transpose()?.unwrap_or_default();
        let like = how.like.is_some();
        let readings = surveys.iter().map(|s| s.reading.clone()).collect();
        Ok(Self { records, above, top, roles, rows, features, schema, readings, classes, missing, like })
    }

    fn dataset(&self, name: &str) -> Result<Dataset> {
        let (top, path, mut remarks) = (&self.top, self.records.path, self.roles.remarks.clone());
        let (x, labels, lines) = self.values()?;
        let dropped = self.rows - lines.len();
        if x.is_empty() {
            return Err(Error::format(path, "table", "every row lacks a value, so that none is left"));
        }
        if dropped > 0 {
            remarks.push(format!("{dropped} of {} rows lack a value and are left out", self.rows));
        }
        let (labels, classes) = match &top.classes {
            Some(names) if self.roles.label.is_some() => renumbered(labels, &self.classes, names, path)?,
            _ => (labels, self.classes.clone()),
        };
        let schema = self.schema.clone();
        let (schema, mut train) = match self.roles.label {
            Some(c) => (schema.with_classes(top.columns[c].clone(), classes), Split::labelled(x, &labels)),
            None => (schema, Split::unlabelled(x)),
        };
        train.lines = lines;
        let header = match (top.named, top.skip) {
            (true, 1) => "names in the first line",
            (true, _) => "names in the remark above",
            (false, _) => "no names of columns",
        };
        let provenance = Provenance {
            name: name.into(),
            reading: format!("{}, {header}", self.records.dialect.words()),
            order: (0..top.columns.len())
                .filter(|c| !self.roles.left_out.contains(c))
                .map(|c| top.columns[c].clone())
                .collect(),
            remarks,
            ..Provenance::default()
        };
        Ok(Dataset { schema, train, valid: None, test: None, provenance })
    }

    fn filled(&self, x: &Batch, schema: &Schema) -> Result<Vec<u8>> {
        let dialect = self.records.dialect;
        let (from, _) = schema.matched(&self.schema)?;
        let place: Vec<(usize, Column, &str)> = from
            .iter()
            .enumerate()
            .map(|(c, at)| (self.features[*at], schema.column(c), self.schema.columns[*at].missing.as_str()))
            .collect();
        let mut writer = csv::WriterBuilder::new()
            .has_headers(false)
            .flexible(true)
            .delimiter(dialect.delimiter)
            .from_writer(self.above.to_vec());
        let failed = |e: csv::Error| Error::format(self.records.path, "table", e.to_string());
        let mut row = 0;
        let mut number = 0;
        self.records.each(0, |record, _| {
            let header = number < self.top.skip;
            number += 1;
            if header {
                return writer.write_record(record).map_err(failed);
            }
            let values = (row < x.rows()).then(|| x.row(row)).ok_or_else(|| {
                Error::Domain(format!("{} has more than {} rows now", self.records.path.display(), x.rows()))
            })?;
            row += 1;
            let mut cells: Vec<Cow<'_, str>> = record.iter().map(Cow::Borrowed).collect();
            for (v, (c, column, _)) in values
                .iter()
                .zip(&place)
                .filter(|(_, (c, _, lacking))| self.readings[*c].lacks(&record[*c], lacking))
            {
                cells[*c] = Cow::Owned(column.written(*v, dialect.decimal_comma));
            }
            writer.write_record(cells.iter().map(|c| c.as_bytes())).map_err(failed)
        })?;
        if row < x.rows() {
            let path = self.records.path.display();
            return Err(Error::Domain(format!("{path} has {row} rows now, and had {}", x.rows())));
        }
        writer.into_inner().map_err(|e| Error::format(self.records.path, "table", e.to_string()))
    }

    /// Reads the records again: features, numbers of classes, and the lines of the rows that are used.
    fn values(&self) -> Result<(Batch, Vec<u32>, Vec<u64>)> {
        let dialect = self.records.dialect;
        let index = |names: &[String]| names.iter().cloned().zip(0u32..).collect::<HashMap<_, _>>();
        let categories: Vec<_> = self.schema.columns.iter().map(|c| index(c.categories())).collect();
        let class_of = index(&self.classes);
        let label = self.roles.label.map(|c| (c, &self.readings[c]));
        let mut values = Vec::with_capacity(self.rows * self.features.len());
        let (mut labels, mut lines) = (Vec::new(), Vec::with_capacity(self.rows));
        let mut kept: Vec<Precision> = vec![Precision::default(); self.features.len()];
        self.records.each(self.top.skip, |record, line| {
            let cell = |c: usize| record.get(c).unwrap_or_default();
            let class = label.map(|(c, reading)| class_of.get(&reading.canonical(cell(c), dialect)).copied());
            let mut columns = self.features.iter().zip(&self.schema.columns);
            let hole = class == Some(None)
                || columns.any(|(c, column)| self.readings[*c].lacks(cell(*c), &column.missing));
            if hole && self.missing == Missing::Drop {
                return Ok(());
            }
            lines.push(line);
            let columns = self.features.iter().zip(&self.schema.columns).zip(&categories).zip(&mut kept);
            for (((&c, column), names), precision) in columns {
                let (cell, reading) = (cell(c), &self.readings[c]);
                let value = match &column.kind {
                    _ if reading.lacks(cell, &column.missing) => f32::NAN,
                    Kind::Category(_) => {
                        names.get(&reading.canonical(cell, dialect)).map_or(f32::NAN, |i| *i as f32)
                    }
                    _ => reading.number(cell, dialect).map_or(f32::NAN, |(x, _)| {
                        precision.see(x - column.origin);
                        (x - column.origin) as f32
                    }),
                };
                values.push(value);
            }
            labels.extend(class.flatten());
            Ok(())
        })?;
        for (precision, column) in kept.iter().zip(&self.schema.columns) {
            // What is near together among few rows for a model need not be in its eyes.
            let lost = if self.like { precision.beyond() } else { precision.lost() };
            if let Some(message) = lost {
                return Err(Error::format(self.records.path, format!("column \"{}\"", column.name), message));
            }
        }
        Ok((Batch::new(values, self.features.len())?, labels, lines))
    }
}

/// What rows of these columns hold. Dates are no levels: there are others after the last.
fn support_of(columns: &[Column]) -> Support {
    let support = Support::of(columns.iter().map(|c| &c.kind));
    let dated = columns.iter().any(|c| matches!(c.style, Style::Time(_)));
    if dated && matches!(support, Support::Discrete { .. } | Support::Binary) {
        Support::Real
    } else {
        support
    }
}

/// Labels as the numbers that they are written as, which the `names` in the first line stand for.
fn renumbered(
    mut labels: Vec<u32>,
    written: &[String],
    names: &[String],
    path: &Path,
) -> Result<(Vec<u32>, Vec<String>)> {
    let number = |l: u32| written[l as usize].parse::<u32>().ok().filter(|n| (*n as usize) < names.len());
    for label in &mut labels {
        *label = number(*label).ok_or_else(|| {
            let message =
                format!("names {} classes, and label {} occurs", names.len(), written[*label as usize]);
            Error::format(path, "line 1", message)
        })?;
    }
    Ok((labels, names.to_vec()))
}
