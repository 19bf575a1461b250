//! What of rows a metric compares.

use super::features;
use crate::transform::moments;
use crate::{Batch, Result, Schema, Support};

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
    /// Features of grey images, see [`features`].
    Features,
}

impl Space {
    /// The rows themselves, in units that do not depend on those of the file: those of these rows.
    pub fn rows(schema: &Schema, reference: &Batch) -> Self {
        match &schema.domain.support {
            Support::Binary => Self::Levels { top: 1.0 },
            Support::Discrete { levels } => Self::Levels { top: (*levels - 1) as f32 },
            Support::Real | Support::Mixed(_) => {
                let (mean, std) = moments(reference);
                Self::Columns { mean, std }
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
            Self::Features => features::of(&schema.domain, x),
        }
    }

    /// In words.
    pub fn words(&self) -> &'static str {
        match self {
            Self::Levels { .. } => "levels from 0 to 1",
            Self::Columns { .. } => "columns in units of their deviations",
            Self::Features => features::NAME,
        }
    }
}
