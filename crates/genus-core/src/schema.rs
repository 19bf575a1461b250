//! What rows of data are: their columns by name and kind, their layout, and what they are given with.
//!
//! A model keeps the schema of the rows that it was fitted to, and new rows are brought into it by [`Schema::conform`] before the model
//! sees them: columns are matched by name and put in order, categories and classes go by name, and what does not belong together is
//! refused.

use crate::digest::Parts;
use crate::{Batch, Dataset, Domain, Error, Result, Shape, Split, Style, Support, names};
use serde::{Deserialize, Serialize};

/// What rows of data are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Schema {
    /// The values and the layout of a row.
    pub domain: Domain,
    /// One for each value of a row; none where all values are alike and have no names, as those of images.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<Column>,
    /// What rows come with and what is not modelled itself: their class, or the columns that a model of
    /// [`conditional`](Self::conditional) rows is given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub given: Vec<Column>,
    /// Whether models of these rows are of p(rows | given): then every row has a value of every given column, and they may be numbers.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub conditional: bool,
    /// Whether numbers have a comma for a point where rows are written as text, with semicolons between them.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub decimal_comma: bool,
    /// Names of columns of the data that no model sees: those that name the rows, have no values, or are not wanted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<String>,
}

/// One column of a table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Column {
    /// Its name; `column 3` where the data have no names.
    pub name: String,
    /// What it holds.
    pub kind: Kind,
    /// Subtracted from its values, in double precision, before they become single: not 0 only where single precision would not keep
    /// them apart, as times in seconds. Densities do not notice it.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub origin: f64,
    /// How a missing value is written: nothing, unless the data write it otherwise.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub missing: String,
    /// How its values are written.
    #[serde(default, skip_serializing_if = "is_plain")]
    pub style: Style,
}

fn is_plain(style: &Style) -> bool {
    *style == Style::Plain
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde wants it
fn is_zero(v: &f64) -> bool {
    *v == 0.0
}

/// What a column holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// 0 or 1.
    Binary,
    /// Whole numbers.
    Whole {
        /// Least that occurs.
        least: i64,
        /// Largest that occurs.
        most: i64,
    },
    /// Any finite number.
    Real {
        /// Digits behind the point, where all values are written with at most so many.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        decimals: Option<u8>,
    },
    /// A category, stored as its index into these names.
    Category(Vec<String>),
}

impl Kind {
    /// Real, of no particular precision.
    pub const REAL: Self = Self::Real { decimals: None };

    /// Whether a value belongs to it.
    pub fn admits(&self, v: f32) -> bool {
        match self {
            Self::Binary => v == 0.0 || v == 1.0,
            Self::Category(names) => v >= 0.0 && v.fract() == 0.0 && (v as usize) < names.len(),
            Self::Whole { .. } => v.is_finite() && v.fract() == 0.0,
            Self::Real { .. } => v.is_finite(),
        }
    }

    /// What its values must be, in words.
    pub fn describe(&self) -> String {
        match self {
            Self::Binary => "0 or 1".into(),
            Self::Category(names) => format!("a category index in 0..{}", names.len()),
            Self::Whole { .. } => "a whole number".into(),
            Self::Real { .. } => "a finite number".into(),
        }
    }

    pub(crate) fn digest(&self, parts: &mut Parts) {
        match self {
            Self::Binary => parts.put("binary"),
            Self::Whole { .. } => parts.put("whole"),
            Self::Real { .. } => parts.put("real"),
            Self::Category(names) => {
                parts.put("category").number(names.len());
                names.iter().fold(&mut *parts, |parts, name| parts.put(name))
            }
        };
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Binary => f.write_str("0 or 1"),
            Self::Whole { least, most } => write!(f, "whole {least}..{most}"),
            Self::Real { .. } => f.write_str("real"),
            Self::Category(names) => write!(f, "{} categories", names.len()),
        }
    }
}

impl Column {
    /// A column.
    pub fn new(name: impl Into<String>, kind: Kind) -> Self {
        Self { name: name.into(), kind, origin: 0.0, missing: String::new(), style: Style::Plain }
    }

    /// The names of its categories; none for numbers.
    pub fn categories(&self) -> &[String] {
        match &self.kind {
            Kind::Category(names) => names,
            _ => &[],
        }
    }

    /// Its name, with what is subtracted from its values where that is not 0.
    pub fn heading(&self) -> String {
        match self.origin {
            o if o > 0.0 => format!("{} − {o}", self.name),
            o if o < 0.0 => format!("{} + {}", self.name, -o),
            _ => self.name.clone(),
        }
    }

    /// A value as text, the shortest that reads back as the same number in the column's style, or how a missing one is written.
    pub fn text(&self, v: f32) -> String {
        self.written(v, false)
    }

    /// The same as it stands in a file, in which numbers may have a comma for a point.
    pub fn written(&self, v: f32, comma: bool) -> String {
        if v.is_nan() {
            return self.missing.clone();
        }
        if let Some(name) = self.categories().get(v as usize) {
            return name.clone();
        }
        let there = f64::from(v) + self.origin;
        let plain = match self.kind {
            _ if self.origin == 0.0 => v.to_string(),
            Kind::Real { decimals: Some(d) } => format!("{there:.*}", usize::from(d)),
            _ => there.to_string(),
        };
        match self.style.write(there, &plain, comma) {
            Some(text) => text,
            None if comma => plain.replace('.', ","),
            None => plain,
        }
    }

    /// The value that a text stands for, with the column's origin taken off; numbers may have a comma for a point.
    pub(crate) fn read(&self, text: &str, comma: bool) -> std::result::Result<f32, String> {
        if let Kind::Category(known) = &self.kind {
            let at = known.iter().position(|n| n == text).map(|i| i as f32);
            return at.ok_or_else(|| {
                let message = format!("\"{text}\" in column \"{}\" was never seen in training", self.name);
                format!("{message}; known are {}", list(known))
            });
        }
        let point = if comma { text.replace(',', ".") } else { text.into() };
        let plain = || match self.style {
            // A number of days is no date.
            Style::Time(_) | Style::Names(_) => None,
            Style::Plain | Style::Dressed(_) => point.parse::<f64>().ok(),
        };
        let number = self.style.read(text, comma).or_else(plain).map(|v| (v - self.origin) as f32);
        match number.filter(|v| self.may_be_given(*v)) {
            Some(v) => Ok(v),
            None => Err(match &self.style {
                Style::Names(names) => format!("{}: `{text}` is none of {}", self.name, list(names)),
                Style::Time(format) => format!("{}: `{text}` is no time of the form {format}", self.name),
                _ if self.kind == Kind::Binary => format!("{}: `{text}` is not 0 or 1", self.name),
                _ => format!("{}: `{text}` is not a finite number", self.name),
            }),
        }
    }

    /// What it holds, in words.
    pub fn what(&self) -> String {
        match (&self.style, self.style.words()) {
            (Style::Dressed(_), Some(words)) => format!("{}, as {words}", self.kind),
            (_, Some(words)) => words,
            (_, None) => self.kind.to_string(),
        }
    }

    /// Whether a model may be given this value: between whole numbers there are others.
    fn may_be_given(&self, v: f32) -> bool {
        match self.kind {
            Kind::Category(_) | Kind::Binary => self.kind.admits(v),
            Kind::Whole { .. } | Kind::Real { .. } => v.is_finite(),
        }
    }

    /// Why [it may not](Self::may_be_given).
    fn refuse_given(&self, v: f32) -> String {
        let what = if v.is_nan() { "no value".into() } else { v.to_string() };
        let must = match &self.kind {
            Kind::Category(names) => format!("the index of one of {}", list(names)),
            Kind::Binary => "0 or 1".into(),
            Kind::Whole { .. } | Kind::Real { .. } => "a finite number".into(),
        };
        format!("{what} in the given column \"{}\"; it must be {must}", self.name)
    }

    /// The nearest value to `v` that the column can hold: a whole number where all were whole, not below 0 where none was; digits behind
    /// the point as many as there were.
    fn hold(&self, v: f32) -> f32 {
        let there = f64::from(v) + self.origin;
        let held = match self.kind {
            Kind::Binary => there.round().clamp(0.0, 1.0),
            Kind::Whole { least, .. } if least >= 0 => there.round().max(0.0),
            Kind::Whole { .. } => there.round(),
            Kind::Real { decimals: Some(d) } => {
                let unit = 10f64.powi(i32::from(d));
                (there * unit).round() / unit
            }
            Kind::Real { decimals: None } | Kind::Category(_) => there,
        };
        let held = self.style.bounds().map_or(held, |[least, most]| held.clamp(least, most));
        (held - self.origin) as f32
    }
}

/// The name of a column that has none in the data.
pub(crate) fn unnamed(c: usize) -> String {
    format!("column {}", c + 1)
}

fn has_name(column: &Column) -> bool {
    column.name.strip_prefix("column ").is_none_or(|n| n.parse::<usize>().is_err())
}

/// Names in words, of many the first.
pub(crate) fn list<'a>(names: impl IntoIterator<Item = &'a String>) -> String {
    const MOST: usize = 12;
    let names: Vec<&String> = names.into_iter().collect();
    let shown: Vec<&str> = names.iter().take(MOST).map(|n| n.as_str()).collect();
    let rest = if names.len() > MOST { format!(", … ({} in all)", names.len()) } else { String::new() };
    format!("{}{rest}", shown.join(", "))
}

impl From<Domain> for Schema {
    fn from(domain: Domain) -> Self {
        Self {
            domain,
            columns: Vec::new(),
            given: Vec::new(),
            conditional: false,
            decimal_comma: false,
            left_out: Vec::new(),
        }
    }
}

impl From<&Domain> for Schema {
    fn from(domain: &Domain) -> Self {
        domain.clone().into()
    }
}

impl From<&Schema> for Schema {
    fn from(schema: &Schema) -> Self {
        schema.clone()
    }
}

impl Schema {
    /// Values per row.
    pub fn width(&self) -> usize {
        self.domain.width()
    }

    /// The same with rows that come with one of these classes, in a column of this name.
    #[must_use]
    pub fn with_classes(mut self, name: impl Into<String>, classes: Vec<String>) -> Self {
        self.given =
            if classes.is_empty() { Vec::new() } else { vec![Column::new(name, Kind::Category(classes))] };
        self
    }

    /// The same with these names of the columns. Panics unless there is one for each.
    #[must_use]
    pub fn named<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        let names: Vec<String> = names.into_iter().map(Into::into).collect();
        assert_eq!(names.len(), self.width(), "one name for each column");
        self.columns = (0..self.width()).map(|c| self.column(c)).collect();
        self.columns.iter_mut().zip(names).for_each(|(column, name)| column.name = name);
        self
    }

    /// Column `c`, made up where columns have no descriptions of their own.
    pub fn column(&self, c: usize) -> Column {
        if let Some(column) = self.columns.get(c) {
            return column.clone();
        }
        let kind = match &self.domain.support {
            Support::Binary => Kind::Binary,
            Support::Discrete { levels } => Kind::Whole { least: 0, most: i64::from(*levels) - 1 },
            Support::Real => Kind::REAL,
            Support::Mixed(kinds) => kinds.get(c).cloned().unwrap_or(Kind::REAL),
        };
        Column::new(unnamed(c), kind)
    }

    /// Names of the columns; none where they have no descriptions.
    pub fn names(&self) -> Vec<String> {
        self.columns.iter().map(|c| c.name.clone()).collect()
    }

    /// Names of the columns with what was subtracted from their values, as headings above such; none where they have no descriptions.
    pub fn headings(&self) -> Vec<String> {
        self.columns.iter().map(Column::heading).collect()
    }

    /// Names of the classes that rows come with; none without, and none where more than a category is given.
    pub fn classes(&self) -> &[String] {
        match &self.given[..] {
            [one] => one.categories(),
            _ => &[],
        }
    }

    /// The class of each row of a split, a number of [`classes`](Self::classes), if rows come with one.
    pub fn labels(&self, split: &Split) -> Option<Vec<u32>> {
        let given = split.given.as_ref().filter(|_| !self.classes().is_empty())?;
        Some(given.iter().map(|row| row[0] as u32).collect())
    }

    /// The name of a class, or its number where it has none.
    pub fn class_name(&self, class: usize) -> String {
        self.classes().get(class).cloned().unwrap_or_else(|| class.to_string())
    }

    /// The number of the class with this name.
    ///
    /// # Errors
    /// [`Error::Config`] naming the classes that there are.
    pub fn class(&self, name: &str) -> Result<u32> {
        let refuse = || match self.classes() {
            [] => "the model was fitted to rows without classes".into(),
            classes => format!("there is no class `{name}`; there are {}", list(classes)),
        };
        let at = self.classes().iter().position(|c| c == name);
        at.map(|c| c as u32).ok_or_else(|| Error::config("class", refuse()))
    }

    /// Whether rows of one are rows of the other as they stand: the same values and layout, columns, origins, classes and given columns.
    pub fn agrees(&self, other: &Self) -> bool {
        let same =
            |a: &Column, b: &Column| a.name == b.name && a.origin == b.origin && a.style.means(&b.style);
        let given = || {
            self.given.len() == other.given.len()
                && self
                    .given
                    .iter()
                    .zip(&other.given)
                    .all(|(a, b)| same(a, b) && a.categories() == b.categories())
        };
        self.domain == other.domain
            && self.classes() == other.classes()
            && self.conditional == other.conditional
            && (!self.conditional || given())
            && self.columns.len() == other.columns.len()
            && self.columns.iter().zip(&other.columns).all(|(a, b)| same(a, b))
    }

    /// That of the means of rows, which lie between levels; the mean of a category is one of them.
    #[must_use]
    pub fn of_means(&self) -> Self {
        let kind = |kind: &Kind| if let Kind::Category(_) = kind { kind.clone() } else { Kind::REAL };
        let support = match &self.domain.support {
            Support::Mixed(kinds) => Support::of(kinds.iter().map(kind).collect::<Vec<_>>().iter()),
            _ => Support::Real,
        };
        let domain = Domain { support, shape: self.domain.shape };
        let columns = self.columns.iter().map(|c| Column { kind: kind(&c.kind), ..c.clone() }).collect();
        Self { domain, columns, ..self.clone() }
    }

    /// Rows beside what they come with, as one table.
    pub fn beside(&self, rows: &Split) -> (Self, Batch) {
        let Some(given) = rows.given.as_ref().filter(|g| g.width() == self.given.len()) else {
            return (self.clone(), rows.x.clone());
        };
        let columns: Vec<Column> =
            (0..self.width()).map(|c| self.column(c)).chain(self.given.clone()).collect();
        let x = Batch::from_fn(given.rows(), columns.len(), |r, c| {
            let row = rows.x.row(r);
            row.get(c).copied().unwrap_or_else(|| given.row(r)[c - row.len()])
        });
        let support = Support::Mixed(columns.iter().map(|c| c.kind.clone()).collect());
        (
            Self {
                domain: Domain { support, shape: Shape::Flat(columns.len()) },
                columns,
                given: Vec::new(),
                conditional: false,
                decimal_comma: self.decimal_comma,
                left_out: self.left_out.clone(),
            },
            x,
        )
    }

    /// Rows with their columns in another order, given by names; as they are if these are not the names of the columns.
    pub fn arranged(self, x: Batch, order: &[String]) -> (Self, Batch) {
        let at = |name: &String| self.columns.iter().position(|c| c.name == *name);
        let Some(from) =
            order.iter().map(at).collect::<Option<Vec<usize>>>().filter(|f| f.len() == self.width())
        else {
            return (self, x);
        };
        let moved = Batch::from_fn(x.rows(), from.len(), |r, c| x.row(r)[from[c]]);
        let support = match &self.domain.support {
            Support::Mixed(kinds) => Support::Mixed(from.iter().map(|f| kinds[*f].clone()).collect()),
            other => other.clone(),
        };
        let columns = from.iter().map(|f| self.columns[*f].clone()).collect();
        (Self { domain: Domain { support, shape: self.domain.shape }, columns, ..self }, moved)
    }

    /// Draws as the columns can hold them: where a model of real numbers was fitted to whole ones, what it draws is rounded. Nothing
    /// happens to rows of bits, levels and categories.
    pub fn hold(&self, x: &mut Batch) {
        if !matches!(self.domain.support, Support::Real | Support::Mixed(_)) || self.columns.is_empty() {
            return;
        }
        for r in 0..x.rows() {
            for (v, column) in x.row_mut(r).iter_mut().zip(&self.columns).filter(|(v, _)| !v.is_nan()) {
                *v = column.hold(*v);
            }
        }
    }

    /// Checks one that comes from a file.
    ///
    /// # Errors
    /// [`Error::Run`] if its parts do not belong together.
    pub fn check_parts(&self) -> Result<()> {
        let width = match self.domain.shape {
            Shape::Flat(d) => Some(d),
            Shape::Image { height, width, channels } => {
                height.checked_mul(width).and_then(|n| n.checked_mul(channels))
            }
        };
        let sound = |column: &Column| column.origin.is_finite();
        let support = match &self.domain.support {
            Support::Discrete { levels } => (2..=65_536).contains(levels),
            Support::Mixed(kinds) => {
                let named = |kind: &Kind| !matches!(kind, Kind::Category(names) if names.is_empty());
                Some(kinds.len()) == width && kinds.iter().all(named)
            }
            Support::Binary | Support::Real => true,
        };
        let columns = self.columns.is_empty() || Some(self.columns.len()) == width;
        let category = |g: &Column| !g.categories().is_empty();
        let given = match self.conditional {
            true => {
                let empty = |g: &Column| matches!(g.kind, Kind::Category(_)) && !category(g);
                !self.given.is_empty() && !self.given.iter().any(empty)
            }
            false => self.given.len() <= 1 && self.given.iter().all(category),
        };
        let all = || self.columns.iter().chain(&self.given);
        match width {
            Some(1..=MAX_WIDTH) if support && columns && given && all().all(sound) => Ok(()),
            _ => Err(Error::Run(
                "the description of the rows is none that a model can have; the file is damaged".into(),
            )),
        }
    }

    fn place(&self, row: usize, c: usize) -> String {
        match self.columns.get(c) {
            Some(column) => format!("row {row}, column \"{}\"", column.name),
            None => format!("row {row}, column {c}"),
        }
    }

    /// Checks width and values of every row; with `missing`, NaN stands for a missing value.
    ///
    /// # Errors
    /// [`Error::Shape`] or [`Error::Domain`] naming the first offending row and column.
    pub fn check(&self, x: &Batch, missing: bool) -> Result<()> {
        match self.domain.offender(x, missing)? {
            Some((r, c)) => Err(self.domain.refuse(&self.place(r, c), c, x.row(r)[c])),
            None => Ok(()),
        }
    }

    /// The columns of `other` that stand for this one's, in this one's order, and whether they were found by position.
    pub(crate) fn matched(&self, other: &Self) -> Result<(Vec<usize>, bool)> {
        let refuse = |message: String| Err(Error::Domain(message));
        let image = [self, other].iter().any(|s| matches!(s.domain.shape, Shape::Image { .. }));
        if image && self.domain.shape != other.domain.shape {
            return refuse(format!(
                "rows have the shape {}, and the model knows rows of {}; bring them into that layout, images as height × width × channels",
                other.domain.shape, self.domain.shape
            ));
        }
        let by_name = !self.columns.is_empty()
            && !other.columns.is_empty()
            && self.columns.iter().any(has_name)
            && other.columns.iter().any(has_name);
        if !by_name {
            if self.width() != other.width() {
                return refuse(format!(
                    "{} columns, and the model knows {}{}; give those in that order",
                    other.width(),
                    self.width(),
                    if self.columns.is_empty() {
                        String::new()
                    } else {
                        format!(": {}", list(&self.names()))
                    }
                ));
            }
            return Ok((
                (0..self.width()).collect(),
                self.columns.iter().chain(&other.columns).any(has_name),
            ));
        }
        let place = |c: &Column| other.columns.iter().position(|o| o.name == c.name);
        let missing: Vec<&String> =
            self.columns.iter().filter(|c| place(c).is_none()).map(|c| &c.name).collect();
        let known = |o: &&Column| self.columns.iter().any(|c| c.name == o.name);
        let unknown: Vec<&String> = other.columns.iter().filter(|o| !known(o)).map(|o| &o.name).collect();
        if missing.is_empty() && unknown.is_empty() {
            return Ok((self.columns.iter().filter_map(place).collect(), false));
        }
        let part = |what: &str, names: Vec<&String>| match names.is_empty() {
            true => String::new(),
            false => format!("; {what} {}", list(names)),
        };
        refuse(format!(
            "the model knows the columns {}{}{}; give exactly those, in any order",
            list(&self.names()),
            part("the data lack", missing),
            part("it does not know", unknown)
        ))
    }

    /// The rows of `set` as rows of this schema: columns matched by name and in this one's order, by position where either side has no
    /// names; categories and classes by name. Classes are left out, with a remark, where one was never seen. With `missing`, NaN stands for a
    /// missing value.
    ///
    /// # Errors
    /// [`Error::Domain`] saying what was found and what is known if columns are missing, unknown or of another kind, if a category
    /// was never seen, or if a value does not belong to the domain.
    pub fn conform(&self, set: Dataset, missing: bool) -> Result<Dataset> {
        if self.conditional {
            return self.conform_given(set, missing);
        }
        let (from, by_position) = self.matched(&set.schema)?;
        let columns: Vec<Recode> = match self.columns.is_empty() && set.schema.columns.is_empty() {
            true => Vec::new(),
            false => (0..self.width())
                .map(|c| Recode::new(&self.column(c), &set.schema.column(from[c])))
                .collect::<Result<_>>()?,
        };
        let mut provenance = set.provenance;
        let class = match (self.given.first(), set.schema.given.first()) {
            (Some(own), Some(other)) => {
                match other.categories().iter().find(|c| !own.categories().contains(c)) {
                    None => Some(Recode::new(own, other)?),
                    Some(unseen) => {
                        provenance.remarks.push(format!(
                        "class \"{unseen}\" was never seen in training, so that the classes of these rows are left out; known are {}",
                        list(own.categories())
                    ));
                        None
                    }
                }
            }
            _ => None,
        };
        let plain = columns.iter().all(Recode::is_plain) && from.iter().enumerate().all(|(c, f)| c == *f);
        let bring = |split: Split| -> Result<Split> {
            let mut x = split.x;
            if !plain {
                let mut values = Vec::with_capacity(x.data().len());
                for row in x.iter() {
                    for (f, recode) in from.iter().zip(&columns) {
                        values.push(recode.apply(row[*f])?);
                    }
                }
                x = Batch::new(values, self.width())?;
            }
            self.check(&x, missing)?;
            let given = match (&class, split.given) {
                (Some(recode), Some(given)) => {
                    let values =
                        given.data().iter().map(|v| recode.apply(*v)).collect::<Result<Vec<f32>>>()?;
                    Some(Batch::new(values, given.width())?)
                }
                _ => None,
            };
            Ok(Split { x, given, lines: split.lines })
        };
        if by_position {
            provenance.remarks.push(
                "columns were matched by position: the rows, or those that the model was fitted to, have no names of columns".into(),
            );
        }
        let valid = set.valid.map(&bring).transpose()?;
        let test = set.test.map(&bring).transpose()?;
        Ok(Dataset { schema: self.clone(), train: bring(set.train)?, valid, test, provenance })
    }

    /// As [`conform`](Self::conform), where what is given is found by name too.
    fn conform_given(&self, set: Dataset, missing: bool) -> Result<Dataset> {
        let set = set.given(&self.given_names()).map_err(|e| match e {
            Error::Config { message, .. } => {
                Error::Domain(format!("the model is of {}, and {message}; add what is given", self.formula()))
            }
            other => other,
        })?;
        let recodes = self.given.iter().zip(&set.schema.given).map(|(own, other)| Recode::new(own, other));
        let recodes = recodes.collect::<Result<Vec<_>>>()?;
        let mut given = Vec::new();
        for (_, split) in set.splits() {
            let Some(rows) = &split.given else { unreachable!("every split has what was made to be given") };
            let mut values = Vec::with_capacity(rows.data().len());
            for (r, row) in rows.iter().enumerate() {
                for ((v, recode), own) in row.iter().zip(&recodes).zip(&self.given) {
                    let v = recode.apply(*v).map_err(|e| e.within(split.place(r)))?;
                    if !own.may_be_given(v) {
                        return Err(Error::Domain(format!("{}: {}", split.place(r), own.refuse_given(v))));
                    }
                    values.push(v);
                }
            }
            given.push(Batch::new(values, self.given.len())?);
        }
        let mut rest = set;
        rest.schema = rest.schema.alone();
        let mut found = self.alone().conform(rest, missing)?;
        found.schema = self.clone();
        let splits = [Some(&mut found.train), found.valid.as_mut(), found.test.as_mut()];
        splits.into_iter().flatten().zip(given).for_each(|(split, given)| split.given = Some(given));
        Ok(found)
    }

    /// The same of rows alone, which are given nothing and have no class.
    #[must_use]
    pub fn alone(&self) -> Self {
        Self { given: Vec::new(), conditional: false, ..self.clone() }
    }

    /// Names of the given columns.
    pub fn given_names(&self) -> Vec<String> {
        self.given.iter().map(|g| g.name.clone()).collect()
    }

    /// What a model of such rows is of: `p(x)`, or `p(x | a, b)`.
    pub fn formula(&self) -> String {
        match self.conditional {
            true => format!("p(x | {})", list(&self.given_names())),
            false => "p(x)".into(),
        }
    }

    /// Columns that a model of these rows knows: those that it models and those that it is given.
    pub(crate) fn known(&self) -> impl Iterator<Item = &Column> {
        self.columns.iter().chain(self.given.iter().filter(|_| self.conditional))
    }

    /// What is given as rows of their own, to be read from a table.
    pub fn of_given(&self) -> Self {
        let support = Support::Mixed(self.given.iter().map(|g| g.kind.clone()).collect());
        let domain = Domain { support, shape: Shape::Flat(self.given.len()) };
        Self { domain, columns: self.given.clone(), ..self.alone() }
    }

    /// A row of what is given, from `a=1.5,b=red`: every given column once, in any order; what holds a comma or a quote in
    /// double quotes, `"a=1,5"`, in which two quotes are one.
    ///
    /// # Errors
    /// [`Error::Config`] naming what is unknown, missing, said twice or no value of its column.
    pub fn given_row(&self, text: &str) -> Result<Vec<f32>> {
        let refuse = |message: String| Error::config("given", message);
        let mut row = vec![f32::NAN; self.given.len()];
        for part in names::parts(text) {
            let form = || refuse(format!("`{part}` is not of the form column=value; {}", self.form()));
            // Names and values may hold an equals sign themselves: the column that is there decides.
            let cut = part.match_indices('=').map(|(at, _)| (part[..at].trim(), part[at + 1..].trim()));
            let mut cut = cut.peekable();
            let (first, _) = *cut.peek().ok_or_else(form)?;
            let place = |name: &str| {
                let named = self.given.iter().position(|g| g.name == name);
                // As at training, a class may be called so whatever its name.
                named.or_else(|| (name == "class" && !self.classes().is_empty()).then_some(0))
            };
            let Some((c, value)) = cut.find_map(|(name, value)| Some((place(name)?, value))) else {
                let near = names::near(first, self.given.iter().map(|g| g.name.as_str()));
                let guess = if near.is_empty() {
                    String::new()
                } else {
                    format!(" (did you mean {}?)", near.join(", "))
                };
                return Err(refuse(format!("the model is not given `{first}`{guess}; {}", self.form())));
            };
            let column = &self.given[c];
            if !row[c].is_nan() {
                return Err(refuse(format!("`{}` is there twice; say it once", column.name)));
            }
            row[c] = column.read(value, self.decimal_comma).map_err(refuse)?;
        }
        let missing = self.given.iter().zip(&row).filter(|(_, v)| v.is_nan()).map(|(g, _)| &g.name);
        let missing: Vec<&String> = missing.collect();
        match missing.is_empty() {
            true => Ok(row),
            false => Err(refuse(format!("there is no value for {}; {}", list(missing), self.form()))),
        }
    }

    /// How what is given is written.
    fn form(&self) -> String {
        format!("give {}", self.given_form())
    }

    /// An example of what [`given_row`](Self::given_row) takes, in quotes as a shell wants them.
    pub fn given_form(&self) -> String {
        let one = |g: &Column| match g.categories().first() {
            Some(name) => names::quoted(&format!("{}={name}", g.name)),
            None => names::quoted(&format!("{}={}", g.name, g.text(0.0))),
        };
        let form = self.given.iter().map(one).collect::<Vec<_>>().join(",");
        let quote = if form.contains('"') { '\'' } else { '"' };
        format!("{quote}{form}{quote}")
    }

    /// A row of what is given, in words: `a = 1.5, b = red`.
    pub fn given_words(&self, row: &[f32]) -> String {
        let each = self.given.iter().zip(row).map(|(g, v)| format!("{} = {}", g.name, g.text(*v)));
        each.collect::<Vec<_>>().join(", ")
    }

    /// Checks rows of what is given: a row for each, a value of its kind in every column.
    ///
    /// # Errors
    /// [`Error::Shape`] or [`Error::Domain`] naming the row and the column.
    pub fn check_given(&self, given: &Batch) -> Result<()> {
        if given.width() != self.given.len() {
            return Err(Error::shape("given columns", self.given.len(), given.width()));
        }
        for (r, row) in given.iter().enumerate() {
            if let Some((v, g)) = row.iter().zip(&self.given).find(|(v, g)| !g.may_be_given(**v)) {
                return Err(Error::Domain(format!("row {r}: {}", g.refuse_given(*v))));
            }
        }
        Ok(())
    }

    /// A hash of the names of columns and classes, hexadecimal.
    pub fn names_digest(&self) -> String {
        let mut parts = Parts::default();
        for column in self.columns.iter().chain(&self.given) {
            parts.put("column").put(&column.name).number(column.categories().len());
            column.categories().iter().for_each(|name| {
                parts.put(name);
            });
        }
        parts.hex()
    }

    /// What a hash of data says of their meaning.
    pub(crate) fn digest(&self, parts: &mut Parts) {
        self.domain.digest(parts);
        for (c, column) in self.columns.iter().enumerate().filter(|(_, c)| c.origin != 0.0) {
            parts.put("origin").number(c).put(column.origin.to_le_bytes());
        }
        for (c, column) in self.columns.iter().enumerate().filter(|(_, c)| c.style != Style::Plain) {
            column.style.digest(parts.put("style").number(c));
        }
        if self.conditional {
            parts.put("given").number(self.given.len());
            for column in &self.given {
                parts.put(&column.name).put(column.origin.to_le_bytes());
                column.kind.digest(parts);
                column.style.digest(parts);
            }
        }
    }
}

/// Most values of a row.
const MAX_WIDTH: usize = 1 << 29;

/// From the values of a column to those of the one that it stands for.
struct Recode {
    name: String,
    /// Added to numbers.
    shift: f64,
    /// For categories: their names, and the index of each in the other column.
    categories: Option<Vec<(String, Option<f32>)>>,
    /// The categories that are known.
    known: String,
}

impl Recode {
    fn new(own: &Column, other: &Column) -> Result<Self> {
        let name = own.name.clone();
        let index = |text: &String| own.categories().iter().position(|n| n == text).map(|i| i as f32);
        let known = list(own.categories());
        let recode = |shift, categories| Self { name: name.clone(), shift, categories, known };
        match (&own.kind, &other.kind) {
            (Kind::Category(_), Kind::Category(texts)) => {
                Ok(recode(0.0, Some(texts.iter().map(|t| (t.clone(), index(t))).collect())))
            }
            (Kind::Category(_), _) => Err(Error::Domain(format!(
                "column \"{name}\" holds numbers, and the model knows categories there ({}); give their names, in a table",
                list(own.categories())
            ))),
            (_, Kind::Category(texts)) => Err(Error::Domain(format!(
                "column \"{name}\" holds text ({}), and the model knows numbers there; mend the cells, a decimal comma for example",
                list(texts)
            ))),
            _ => Ok(recode(other.origin - own.origin, None)),
        }
    }

    /// Whether it leaves every value as it is.
    fn is_plain(&self) -> bool {
        let same = |(i, (_, to)): (usize, &(String, Option<f32>))| *to == Some(i as f32);
        self.shift == 0.0 && self.categories.iter().flatten().enumerate().all(same)
    }

    fn apply(&self, v: f32) -> Result<f32> {
        if v.is_nan() {
            return Ok(v);
        }
        let unseen = |text: &str| {
            let message = format!(
                "\"{text}\" in column \"{}\" was never seen in training; known are {}",
                self.name, self.known
            );
            Error::Domain(message)
        };
        match &self.categories {
            Some(all) => match all.get(v as usize) {
                Some((_, Some(to))) => Ok(*to),
                Some((text, None)) => Err(unseen(text)),
                None => Err(Error::Domain(format!("{v} in column \"{}\" is no category", self.name))),
            },
            None if self.shift == 0.0 => Ok(v),
            None => Ok((f64::from(v) + self.shift) as f32),
        }
    }
}

impl std::fmt::Display for Schema {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let what = match &self.domain.support {
            Support::Binary => "bits".into(),
            Support::Discrete { levels } => format!("levels 0..{levels}"),
            Support::Real => "real numbers".into(),
            Support::Mixed(_) => "mixed columns".into(),
        };
        match self.domain.shape {
            Shape::Flat(1) => write!(f, "1 column of {what}")?,
            Shape::Flat(d) => write!(f, "{d} columns of {what}")?,
            Shape::Image { .. } => write!(f, "images {} of {what}", self.domain.shape)?,
        }
        if self.columns.iter().any(has_name) {
            write!(f, " ({})", list(&self.names()))?;
        }
        if self.conditional {
            return write!(f, ", given {}", list(&self.given_names()));
        }
        match self.given.first() {
            Some(class) if has_name(class) && !class.name.is_empty() => {
                write!(
                    f,
                    ", class \"{}\" of {} ({})",
                    class.name,
                    class.categories().len(),
                    list(class.categories())
                )
            }
            Some(class) => write!(f, ", {} classes ({})", class.categories().len(), list(class.categories())),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(names: &[&str]) -> Kind {
        Kind::Category(names.iter().map(|n| (*n).to_owned()).collect())
    }

    fn set(columns: Vec<Column>, rows: &[&[f32]]) -> Dataset {
        let support = Support::Mixed(columns.iter().map(|c| c.kind.clone()).collect());
        let domain = Domain { support, shape: Shape::Flat(columns.len()) };
        let schema = Schema { columns, ..Schema::from(domain) };
        let x = Batch::new(rows.concat(), schema.width()).unwrap();
        Dataset::new("t", schema, Split::unlabelled(x)).unwrap()
    }

    #[test]
    fn columns_and_categories_go_by_name_and_origins_are_moved() {
        let own = set(
            vec![
                Column::new("kind", texts(&["ape", "bee", "cat"])),
                Column { origin: 100.0, ..Column::new("size", Kind::REAL) },
            ],
            &[&[0.0, 1.0]],
        );
        let other = set(
            vec![
                Column { origin: 98.0, ..Column::new("size", Kind::REAL) },
                Column::new("kind", texts(&["cat", "ape"])),
            ],
            &[&[5.0, 0.0], &[1.5, 1.0]],
        );
        let found = own.schema.conform(other, false).unwrap();
        assert_eq!(found.train.x.data(), [2.0, 3.0, 0.0, -0.5]);
        assert_eq!((&found.schema, found.provenance.remarks.len()), (&own.schema, 0));
        let unseen =
            set(vec![Column::new("size", Kind::REAL), Column::new("kind", texts(&["dog"]))], &[&[5.0, 0.0]]);
        let e = own.schema.conform(unseen, false).unwrap_err().to_string();
        assert!(
            e.contains("\"dog\" in column \"kind\" was never seen") && e.contains("ape, bee, cat"),
            "{e}"
        );
        let numbers =
            set(vec![Column::new("kind", Kind::REAL), Column::new("size", Kind::REAL)], &[&[2.0, 1.0]]);
        let e = own.schema.conform(numbers, false).unwrap_err().to_string();
        assert!(e.contains("column \"kind\" holds numbers") && e.contains("ape, bee, cat"), "{e}");
    }

    #[test]
    fn values_are_checked_against_the_models_domain() {
        let own = Schema::from(Domain { support: Support::Discrete { levels: 5 }, shape: Shape::Flat(2) });
        let own = own.named(["a", "b"]);
        let other = |v: f32| {
            let x = Batch::new(vec![1.0, v], 2).unwrap();
            Dataset::new("t", Schema::from(Domain::real(2)).named(["a", "b"]), Split::unlabelled(x)).unwrap()
        };
        assert!(own.conform(other(4.0), false).is_ok());
        for v in [5.0, 1.5] {
            let e = own.conform(other(v), false).unwrap_err().to_string();
            assert!(e.contains("row 0, column \"b\"") && e.contains("0..5"), "{e}");
        }
    }

    #[test]
    fn draws_are_held_by_their_columns() {
        let columns = vec![
            Column::new("n", Kind::Whole { least: 0, most: 9 }),
            Column { origin: 1e9, ..Column::new("t", Kind::Real { decimals: Some(1) }) },
            Column::new("z", Kind::REAL),
            Column::new("d", Kind::Whole { least: -3, most: 9 }),
        ];
        let schema = Schema { columns, ..Schema::from(Domain::real(4)) };
        let mut x = Batch::new(vec![-0.7, 0.26, 0.123_456, -0.7, 2.6, f32::NAN, 1.0, 12.2], 4).unwrap();
        schema.hold(&mut x);
        let [n, t, z, d] = x.row(0) else { panic!("four columns") };
        assert!((*n, *z, *d) == (0.0, 0.123_456, -1.0) && (t - 0.3).abs() < 1e-6, "{:?}", x.row(0));
        assert!(x.row(1)[1].is_nan() && x.row(1)[0] == 3.0 && x.row(1)[3] == 12.0);
        assert_eq!(schema.columns[1].text(0.3), "1000000000.3");
        assert_eq!(schema.columns[1].text(f32::NAN), "");
    }
}
