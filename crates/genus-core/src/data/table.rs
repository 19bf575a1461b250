//! CSV tables: delimiter, header, column types and the label are found, not asked for.

use super::Label;
use super::column::{self, Survey};
use super::input::{Input, MAX_TEXT, MAX_VALUES};
use crate::{Advice, Batch, Column, Dataset, Domain, Error, Provenance, Result, Shape, Split, Support};
use csv::{ByteRecord, ReaderBuilder, StringRecord};
use std::collections::HashMap;
use std::path::Path;

/// Most columns that are read.
const MAX_COLUMNS: usize = 1 << 16;
/// Names of columns that hold the label unless told otherwise.
const LABELS: [&str; 4] = ["label", "class", "target", "species"];

/// The delimiter that the first line has most of.
fn sniff(text: &[u8]) -> u8 {
    let first = text.split(|b| *b == b'\n').find(|l| !l.trim_ascii().is_empty()).unwrap_or_default();
    let count = |d: u8| {
        let mut quoted = false;
        first
            .iter()
            .filter(|&&b| {
                (b == b'"' && {
                    quoted = !quoted;
                    false
                }) || (b == d && !quoted)
            })
            .count()
    };
    [b',', b';', b'\t'].into_iter().rev().max_by_key(|d| count(*d)).unwrap_or(b',')
}

/// The text of a table, cut into records as often as needed: keeping them all would take many times the
/// memory.
struct Records<'a> {
    text: &'a [u8],
    delimiter: u8,
    path: &'a Path,
}

impl Records<'_> {
    /// Calls `f` with the record and its line, from record number `skip` on.
    fn each(&self, skip: usize, mut f: impl FnMut(&StringRecord, u64) -> Result<()>) -> Result<()> {
        let mut reader = ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .delimiter(self.delimiter)
            .trim(csv::Trim::All)
            .from_reader(self.text);
        let mut raw = ByteRecord::new();
        let mut number = 0;
        loop {
            let more = reader
                .read_byte_record(&mut raw)
                .map_err(|e| Error::format(self.path, format!("record {number}"), e.to_string()))?;
            if !more {
                return Ok(());
            }
            let line = raw.position().map_or(0, csv::Position::line);
            if number >= skip {
                let record = StringRecord::from_byte_record(raw).map_err(|_| {
                    Error::format(
                        self.path,
                        format!("line {line}"),
                        "not UTF-8 text; save the table as UTF-8",
                    )
                })?;
                f(&record, line)?;
                raw = record.into_byte_record();
            }
            number += 1;
        }
    }

    /// The first two records and the number of all.
    fn head(&self) -> Result<(Vec<StringRecord>, usize)> {
        let (mut head, mut n) = (Vec::new(), 0);
        self.each(0, |r, _| {
            n += 1;
            if head.len() < 2 {
                head.push(r.clone());
            }
            Ok(())
        })?;
        Ok((head, n))
    }
}

/// What the first line says.
struct Top {
    /// Records before the data: 0 or 1.
    skip: usize,
    columns: Vec<String>,
    /// Class names, if the line holds `rows, columns, class names…`.
    classes: Option<Vec<String>>,
}

impl Top {
    /// A cell, for messages.
    fn place(&self, line: u64, c: usize) -> String {
        format!("line {line}, column \"{}\"", self.columns[c])
    }
}

fn top(head: &[StringRecord], records: usize) -> Top {
    let plain = |n: usize| (1..=n).map(|i| format!("column {i}")).collect();
    let (Some(first), width) = (head.first(), head.last().map_or(0, StringRecord::len)) else {
        return Top { skip: 0, columns: Vec::new(), classes: None };
    };
    let counted = |i: usize, n: usize| first.get(i).and_then(|c| c.parse().ok()) == Some(n);
    if first.len() > 2
        && counted(0, records - 1)
        && counted(1, width.saturating_sub(1))
        && first.iter().skip(2).all(|c| column::number(c).is_none())
    {
        let mut columns: Vec<String> = plain(width - 1);
        columns.push("class".into());
        return Top { skip: 1, columns, classes: Some(first.iter().skip(2).map(str::to_owned).collect()) };
    }
    let is_header =
        first.iter().all(|c| column::number(c).is_none()) && first.iter().any(|c| !column::is_missing(c));
    let mut columns: Vec<String> = plain(first.len());
    if is_header {
        for (name, cell) in columns.iter_mut().zip(first).filter(|(_, c)| !c.is_empty()) {
            *name = cell.to_owned();
        }
    }
    Top { skip: usize::from(is_header), columns, classes: None }
}

fn label_column(top: &Top, label: Option<&Label>, path: &Path) -> Result<Option<usize>> {
    let unknown = |what: String| {
        Error::config(
            "label",
            format!("{} has no column {what}; there are: {}", path.display(), top.columns.join(", ")),
        )
    };
    match label {
        Some(Label::None) => Ok(None),
        Some(Label::Index(i)) if *i < top.columns.len() => Ok(Some(*i)),
        Some(Label::Index(i)) => Err(unknown(format!("number {i} (counted from 0)"))),
        Some(Label::Name(n)) => {
            top.columns.iter().position(|c| c == n).map(Some).ok_or_else(|| unknown(format!("`{n}`")))
        }
        None => Ok(top.columns.iter().position(|c| LABELS.contains(&c.to_lowercase().as_str()))),
    }
}

/// Reads a table. See [`Options`](super::Options) for `label` and `missing`.
///
/// # Errors
/// [`Error::Format`] naming line and column, [`Error::Config`] if the label column is not there.
pub(super) fn load(
    input: &mut Input<'_>,
    name: &str,
    label: Option<&Label>,
    missing: bool,
) -> Result<Dataset> {
    let text = input.rest(MAX_TEXT)?;
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&text);
    let path = input.path();
    let records = Records { text, delimiter: sniff(text), path };
    let (head, n) = records.head()?;
    let top = top(&head, n);
    let (rows, width) = (n - top.skip, top.columns.len());
    if rows == 0 {
        return Err(Error::format(path, "table", "no row of data; give at least one row below the header"));
    }
    if width > MAX_COLUMNS || (rows as u64).saturating_mul(width as u64) > MAX_VALUES {
        return Err(Error::format(
            path,
            "table",
            format!("{rows} rows of {width} columns are more than is read; split the table"),
        ));
    }
    let label = label_column(&top, label, path)?;
    let table = Table::survey(&records, &top, label, missing)?;
    let (x, mut labels) = table.values(rows)?;
    let classes = match &top.classes {
        Some(names) if label.is_some() => renumbered(&mut labels, &table.classes, names, path)?,
        _ => table.classes.clone(),
    };
    Ok(Dataset {
        domain: Domain { support: table.support(), shape: Shape::Flat(table.features.len()) },
        train: Split { x, labels: label.map(|_| labels) },
        valid: None,
        test: None,
        columns: table.features.iter().map(|&c| top.columns[c].clone()).collect(),
        classes,
        provenance: Provenance { name: name.into(), ..Provenance::default() },
    })
}

/// A table whose columns are known: the second reading gives its values.
struct Table<'a> {
    records: &'a Records<'a>,
    top: &'a Top,
    /// Numbers of the columns that are features.
    features: Vec<usize>,
    /// What each of these holds.
    supports: Vec<Column>,
    label: Option<usize>,
    /// What the label column holds, sorted.
    classes: Vec<String>,
}

impl<'a> Table<'a> {
    /// Reads the records to find out what the columns hold.
    fn survey(records: &'a Records<'a>, top: &'a Top, label: Option<usize>, missing: bool) -> Result<Self> {
        let (path, width) = (records.path, top.columns.len());
        let mut surveys: Vec<Survey> = (0..width).map(|_| Survey::default()).collect();
        records.each(top.skip, |record, line| {
            if record.len() != width {
                return Err(Error::format(
                    path,
                    format!("line {line}"),
                    format!(
                        "{} cells where the first line has {width}; mend the line or its quotes",
                        record.len()
                    ),
                ));
            }
            record.iter().zip(&mut surveys).for_each(|(cell, survey)| survey.see(cell, line));
            Ok(())
        })?;
        for (c, survey) in surveys.iter().enumerate() {
            match survey.first_missing {
                Some(line) if Some(c) == label => {
                    let remedy = "a row without its label; drop the row, or choose another label column";
                    return Err(Error::format(path, top.place(line, c), remedy));
                }
                Some(line) if !missing => {
                    let error = Error::format(path, top.place(line, c), "no value");
                    return Err(error.advise(Advice::Impute));
                }
                _ => {}
            }
        }
        let features: Vec<usize> = (0..width).filter(|c| Some(*c) != label).collect();
        if features.is_empty() {
            return Err(Error::format(path, "table", "no column but the label; there is nothing to model"));
        }
        let support =
            |&c: &usize| surveys[c].support().map_err(|(line, m)| Error::format(path, top.place(line, c), m));
        let supports = features.iter().map(support).collect::<Result<Vec<Column>>>()?;
        let classes = |c: usize| {
            let refuse = |m| Error::format(path, format!("column \"{}\"", top.columns[c]), m);
            surveys[c].classes().map_err(refuse)
        };
        let classes = label.map(classes).transpose()?.unwrap_or_default();
        Ok(Self { records, top, features, supports, label, classes })
    }

    /// Reads the records again: features, and numbers of classes.
    fn values(&self, rows: usize) -> Result<(Batch, Vec<u32>)> {
        let index = |names: &[String]| names.iter().cloned().zip(0u32..).collect::<HashMap<_, _>>();
        let of = |s: &Column| if let Column::Category(names) = s { index(names) } else { HashMap::new() };
        let categories: Vec<_> = self.supports.iter().map(of).collect();
        let class_of = index(&self.classes);
        let mut values = Vec::with_capacity(rows * self.features.len());
        let mut labels = Vec::new();
        self.records.each(self.top.skip, |record, line| {
            for ((&c, support), names) in self.features.iter().zip(&self.supports).zip(&categories) {
                let cell = record.get(c).unwrap_or_default();
                let value = match support {
                    _ if column::is_missing(cell) => Some(f32::NAN),
                    Column::Category(_) => names.get(&column::canonical(cell)).map(|i| *i as f32),
                    // A number beyond single precision would become infinite.
                    _ => column::number(cell).map(|x| x as f32).filter(|x| x.is_finite()),
                };
                values.push(value.ok_or_else(|| {
                    Error::format(
                        self.records.path,
                        self.top.place(line, c),
                        format!("{cell} is beyond single precision; rescale the column"),
                    )
                })?);
            }
            if let Some(c) = self.label {
                labels.push(class_of[&column::canonical(record.get(c).unwrap_or_default())]);
            }
            Ok(())
        })?;
        Ok((Batch::new(values, self.features.len())?, labels))
    }

    fn support(&self) -> Support {
        if self.supports.iter().all(|s| *s == Column::Binary) {
            Support::Binary
        } else if self.supports.iter().all(|s| !matches!(s, Column::Category(_))) {
            Support::Real
        } else {
            Support::Mixed(self.supports.clone())
        }
    }
}

/// Labels as the numbers that they are written as, which the `names` in the first line stand for.
fn renumbered(labels: &mut [u32], written: &[String], names: &[String], path: &Path) -> Result<Vec<String>> {
    let number = |l: u32| written[l as usize].parse::<u32>().ok().filter(|n| (*n as usize) < names.len());
    for label in labels {
        *label = number(*label).ok_or_else(|| {
            let message =
                format!("names {} classes, and label {} occurs", names.len(), written[*label as usize]);
            Error::format(path, "line 1", message)
        })?;
    }
    Ok(names.to_vec())
}
