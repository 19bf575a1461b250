//! What a row of data means: its support and its shape.

use crate::digest::Parts;
use crate::{Advice, Batch, Error, Kind, Result};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// Rows that are checked by one thread.
const PART: usize = 1024;

/// The values a row may take, and how they are laid out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Domain {
    /// Which values each entry may take.
    pub support: Support,
    /// Layout of a row.
    pub shape: Shape,
}

/// The set that entries of a row come from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Support {
    /// 0 or 1.
    Binary,
    /// Integers `0..levels`: pixel bytes, counts with a known top, categories.
    Discrete {
        /// Number of values, at least 2.
        levels: u32,
    },
    /// Any finite number.
    Real,
    /// One kind per column.
    Mixed(Vec<Kind>),
}

/// The kind of a support, without its extents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum SupportKind {
    /// [`Support::Binary`].
    Binary,
    /// [`Support::Discrete`].
    Discrete,
    /// [`Support::Real`].
    Real,
    /// [`Support::Mixed`].
    Mixed,
}

impl std::fmt::Display for SupportKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Binary => "binary",
            Self::Discrete => "discrete",
            Self::Real => "real",
            Self::Mixed => "mixed",
        })
    }
}

impl SupportKind {
    /// Their names with a word between them: `binary or real`.
    pub fn join(kinds: &[Self], between: &str) -> String {
        kinds.iter().map(Self::to_string).collect::<Vec<_>>().join(between)
    }
}

/// Most levels of whole numbers.
const MAX_LEVELS: i64 = 65_536;

impl Support {
    /// What columns hold together: whole numbers that are not negative are levels.
    pub fn of<'a>(kinds: impl Iterator<Item = &'a Kind> + Clone) -> Self {
        if kinds.clone().all(|k| *k == Kind::Binary) {
            return Self::Binary;
        }
        if kinds.clone().any(|k| matches!(k, Kind::Category(_))) {
            return Self::Mixed(kinds.cloned().collect());
        }
        let top = kinds.map(|k| match k {
            Kind::Binary => Some(1),
            Kind::Whole { least: 0.., most } if *most < MAX_LEVELS => Some(*most),
            _ => None,
        });
        match top.collect::<Option<Vec<i64>>>().and_then(|tops| tops.into_iter().max()) {
            Some(most) => Self::Discrete { levels: most as u32 + 1 },
            None => Self::Real,
        }
    }

    /// Its kind.
    pub fn kind(&self) -> SupportKind {
        match self {
            Self::Binary => SupportKind::Binary,
            Self::Discrete { .. } => SupportKind::Discrete,
            Self::Real => SupportKind::Real,
            Self::Mixed(_) => SupportKind::Mixed,
        }
    }
}

/// Layout of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Shape {
    /// A plain vector of this length.
    Flat(usize),
    /// An image stored height × width × channels, channels last.
    Image {
        /// Rows of pixels.
        height: usize,
        /// Columns of pixels.
        width: usize,
        /// Values per pixel.
        channels: usize,
    },
}

/// What a log-probability is a density against.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Measure {
    /// Counting measure: the number is the logarithm of a probability, never above 0.
    Counting,
    /// Lebesgue measure in the units of the data: the number is the logarithm of a density and may be positive.
    Lebesgue,
    /// Counting measure on the discrete columns, Lebesgue on the others.
    Mixed,
    /// Counting measure on rows of bits that the data were binarised to: the number is the logarithm of the probability of
    /// the bits, which says nothing about the levels that they came from and is never compared with a score of those.
    Binarized,
}

impl Shape {
    /// Values per row.
    pub fn width(&self) -> usize {
        match *self {
            Self::Flat(d) => d,
            Self::Image { height, width, channels } => height * width * channels,
        }
    }
}

impl std::fmt::Display for Shape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Flat(d) => write!(f, "{d}"),
            Self::Image { height, width, channels } => write!(f, "{height}×{width}×{channels}"),
        }
    }
}

impl std::fmt::Display for Measure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Counting => "counting measure (log of a probability)",
            Self::Lebesgue => "Lebesgue measure in data units (log of a density)",
            Self::Mixed => "counting measure on discrete columns, Lebesgue on real ones",
            Self::Binarized => "counting measure on the binarised rows (log of the probability of the bits)",
        })
    }
}

impl std::fmt::Display for Domain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.support {
            Support::Binary => write!(f, "binary {}", self.shape),
            Support::Discrete { levels } => write!(f, "0..{levels} {}", self.shape),
            Support::Real => write!(f, "real {}", self.shape),
            Support::Mixed(_) => write!(f, "mixed {}", self.shape),
        }
    }
}

impl Domain {
    /// Binary vectors of length `d`.
    pub fn binary(d: usize) -> Self {
        Self { support: Support::Binary, shape: Shape::Flat(d) }
    }

    /// Real vectors of length `d`.
    pub fn real(d: usize) -> Self {
        Self { support: Support::Real, shape: Shape::Flat(d) }
    }

    /// Values per row.
    pub fn width(&self) -> usize {
        self.shape.width()
    }

    /// The measure that a log-probability on this domain refers to.
    pub fn measure(&self) -> Measure {
        match &self.support {
            Support::Binary | Support::Discrete { .. } => Measure::Counting,
            Support::Real => Measure::Lebesgue,
            Support::Mixed(columns) => {
                let real = columns.iter().filter(|c| matches!(c, Kind::Real { .. })).count();
                match real {
                    0 => Measure::Counting,
                    n if n == columns.len() => Measure::Lebesgue,
                    _ => Measure::Mixed,
                }
            }
        }
    }

    /// The largest value of a binary or discrete support, `None` where there is none.
    pub fn top(&self) -> Option<f32> {
        match &self.support {
            Support::Binary => Some(1.0),
            #[allow(clippy::cast_precision_loss)] // levels are at most 65536
            Support::Discrete { levels } => Some((*levels - 1) as f32),
            Support::Real | Support::Mixed(_) => None,
        }
    }

    /// What a hash of data says of their meaning. These words are a format: they stay when a variant gets another name.
    pub(crate) fn digest(&self, parts: &mut Parts) {
        match &self.support {
            Support::Binary => parts.put("binary"),
            Support::Discrete { levels } => parts.put("discrete").number(*levels as usize),
            Support::Real => parts.put("real"),
            Support::Mixed(columns) => {
                parts.put("mixed").number(columns.len());
                columns.iter().for_each(|kind| kind.digest(parts));
                &mut *parts
            }
        };
        match self.shape {
            Shape::Flat(d) => parts.put("flat").number(d),
            Shape::Image { height, width, channels } => {
                parts.put("image").number(height).number(width).number(channels)
            }
        };
    }

    fn admits(&self, column: usize, v: f32) -> bool {
        let below = |n: usize| v >= 0.0 && v.fract() == 0.0 && (v as usize) < n;
        match &self.support {
            Support::Binary => v == 0.0 || v == 1.0,
            Support::Discrete { levels } => below(*levels as usize),
            Support::Real => v.is_finite(),
            Support::Mixed(kinds) => kinds[column].admits(v),
        }
    }

    fn describe(&self, column: usize) -> String {
        match &self.support {
            Support::Binary => "0 or 1".into(),
            Support::Discrete { levels } => format!("an integer in 0..{levels}"),
            Support::Real => "a finite number".into(),
            Support::Mixed(kinds) => kinds[column].describe(),
        }
    }

    fn check_width(&self, x: &Batch) -> Result<()> {
        if x.width() != self.width() {
            return Err(Error::shape(
                "rows",
                format!("{} values each ({})", self.width(), self.shape),
                format!("{}", x.width()),
            ));
        }
        Ok(())
    }

    /// Row and column of the first value that does not belong to the domain; NaN does if values may be missing.
    ///
    /// # Errors
    /// [`Error::Shape`] if rows have another width.
    pub(crate) fn offender(&self, x: &Batch, missing: bool) -> Result<Option<(usize, usize)>> {
        self.check_width(x)?;
        let bad = |c: usize, v: f32| !(self.admits(c, v) || missing && v.is_nan());
        let in_row = |(r, row): (usize, &[f32])| {
            if self.sound(row) {
                return None;
            }
            row.iter().enumerate().find(|(c, v)| bad(*c, **v)).map(|(c, _)| (r, c))
        };
        let in_part = |(part, rows): (usize, &[f32])| {
            rows.chunks_exact(x.width()).enumerate().find_map(|(r, row)| in_row((part * PART + r, row)))
        };
        Ok(x.data().par_chunks(PART * x.width()).enumerate().find_map_first(in_part))
    }

    /// Whether every value of a row belongs to the domain, as can be seen without a branch for each; false says nothing.
    fn sound(&self, row: &[f32]) -> bool {
        let mut cells = row.iter();
        match &self.support {
            Support::Binary => cells.fold(true, |all, v| all & ((*v == 0.0) | (*v == 1.0))),
            Support::Discrete { levels } => {
                let top = *levels as i32;
                cells.fold(true, |all, v| {
                    let level = *v as i32;
                    all & (level as f32 == *v) & (level >= 0) & (level < top)
                })
            }
            Support::Real => cells.fold(true, |all, v| all & (v.abs() < f32::INFINITY)),
            Support::Mixed(_) => cells.next().is_none(),
        }
    }

    /// The error of a value that does not belong to the domain.
    pub(crate) fn refuse(&self, place: &str, column: usize, v: f32) -> Error {
        if v.is_nan() {
            return Error::Domain(format!("{place}: no value")).advise(Advice::Missing);
        }
        Error::Domain(format!("{place} is {v} where {} is needed", self.describe(column)))
    }

    fn check_values(&self, x: &Batch, missing: bool) -> Result<()> {
        match self.offender(x, missing)? {
            Some((r, c)) => Err(self.refuse(&format!("row {r}, column {c}"), c, x.row(r)[c])),
            None => Ok(()),
        }
    }

    /// Checks width and values of every row.
    ///
    /// # Errors
    /// [`Error::Shape`] or [`Error::Domain`] naming the first offending row and column.
    pub fn check(&self, x: &Batch) -> Result<()> {
        self.check_values(x, false)
    }

    /// As [`check`](Self::check), but NaN stands for a missing value and is allowed.
    ///
    /// # Errors
    /// As [`check`](Self::check).
    pub fn check_missing(&self, x: &Batch) -> Result<()> {
        self.check_values(x, true)
    }
}
