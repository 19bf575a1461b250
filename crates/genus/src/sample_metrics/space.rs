//! What of rows a metric compares.

use super::features;
use crate::transform::moments;
use crate::{Batch, Kind, Result, Schema, Support};

/// Units of rows, or features of images.
#[derive(Debug, Clone)]
pub enum Space {
    /// Levels from 0 to 1, as they are.
    Levels {
        /// The largest level.
        top: f32,
    },
    /// Columns in units of their standard deviation.
    Columns {
        /// Of the reference.
        mean: Vec<f64>,
        /// Likewise; 1 for a constant column.
        std: Vec<f64>,
    },
    /// Columns of several kinds.
    Table(Vec<Unit>),
    /// Features of grey images, see [`features`].
    Features,
}

/// What a column of several kinds is measured in.
#[derive(Debug, Clone, PartialEq)]
pub enum Unit {
    /// Numbers in units of their standard deviation, around their mean.
    Number {
        /// Of the reference.
        mean: f64,
        /// Likewise; 1 for a constant column.
        std: f64,
    },
    /// A place for each of so many categories, two of which are 1 apart.
    Names(usize),
}

impl Space {
    /// The rows themselves, in units that do not depend on those of the file: those of these rows.
    pub fn rows(schema: &Schema, reference: &Batch) -> Self {
        match &schema.domain.support {
            Support::Binary => Self::Levels { top: 1.0 },
            Support::Discrete { levels } => Self::Levels { top: (*levels - 1) as f32 },
            Support::Real => {
                let (mean, std) = moments(reference);
                Self::Columns { mean, std }
            }
            Support::Mixed(kinds) => {
                let (mean, std) = moments(reference);
                let unit = |(c, kind): (usize, &Kind)| match kind {
                    Kind::Binary => Unit::Names(2),
                    Kind::Category(names) => Unit::Names(names.len()),
                    Kind::Whole { .. } | Kind::Real { .. } => Unit::Number { mean: mean[c], std: std[c] },
                };
                Self::Table(kinds.iter().enumerate().map(unit).collect())
            }
        }
    }

    /// Features where there are such of these rows, else the rows themselves.
    pub fn best(schema: &Schema, reference: &Batch) -> Self {
        match features::sees(&schema.domain) {
            true => Self::Features,
            false => Self::rows(schema, reference),
        }
    }

    /// Rows as points of the space.
    ///
    /// # Errors
    /// [`Error::Stopped`](crate::Error::Stopped).
    pub fn points(&self, schema: &Schema, x: &Batch) -> Result<Batch> {
        match self {
            Self::Levels { top } => Ok(Batch::from_fn(x.rows(), x.width(), |r, c| x.row(r)[c] / top)),
            Self::Columns { mean, std } => Ok(Batch::from_fn(x.rows(), x.width(), |r, c| {
                ((f64::from(x.row(r)[c]) - mean[c]) / std[c]) as f32
            })),
            Self::Table(units) => {
                let mut values = Vec::new();
                for row in x.iter() {
                    for (v, unit) in row.iter().zip(units) {
                        match unit {
                            Unit::Number { mean, std } => {
                                values.push(((f64::from(*v) - mean) / std) as f32);
                            }
                            Unit::Names(n) => {
                                let on = |i: usize| {
                                    if *v as usize == i { std::f32::consts::FRAC_1_SQRT_2 } else { 0.0 }
                                };
                                values.extend((0..*n).map(on));
                            }
                        }
                    }
                }
                let width = |unit: &Unit| if let Unit::Names(n) = unit { *n } else { 1 };
                Batch::new(values, units.iter().map(width).sum())
            }
            Self::Features => features::of(&schema.domain, x),
        }
    }

    /// In words.
    pub fn words(&self) -> &'static str {
        match self {
            Self::Levels { .. } => "levels from 0 to 1",
            Self::Columns { .. } => "columns in units of their deviations",
            Self::Table(_) => "numbers in units of their deviations, different categories 1 apart",
            Self::Features => features::NAME,
        }
    }
}
