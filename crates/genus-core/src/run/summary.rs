//! What came of a run, `summary.json`.

use crate::{Evidence, Figure, Measure, Provenance, SplitName};
use serde::{Deserialize, Serialize};

/// `summary.json`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Summary {
    /// Registry name of the model.
    pub model: String,
    /// Its full name.
    pub title: String,
    /// Its place in the taxonomy, outermost first.
    pub taxonomy: Vec<String>,
    /// Its papers, as one line each.
    pub references: Vec<String>,
    /// What it can do, as verbs.
    pub capabilities: Vec<String>,
    /// The domain of its rows, in words.
    pub domain: String,
    /// Extents of an image `[height, width, channels]`, or `[d]`.
    pub shape: Vec<usize>,
    /// Largest value of a pixel, for drawing; 0 where the range is unbounded.
    pub top: f32,
    /// Least and largest value of the training rows.
    pub range: Option<(f32, f32)>,
    /// Names of columns of a table.
    pub columns: Vec<String>,
    /// Names of the categories of each column, none of numbers; empty where all columns are numbers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub categories: Vec<Vec<String>>,
    /// Names of the columns that it is given; none for p(x).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub given: Vec<String>,
    /// Names of classes.
    pub classes: Vec<String>,
    /// Where the data came from.
    pub data: Provenance,
    /// Rows per split.
    pub rows: Vec<(SplitName, u64)>,
    /// Scores of splits.
    pub scores: Vec<Score>,
    /// Figures of the model and of the fit.
    pub figures: Vec<Figure>,
    /// Likelihood checks.
    pub audit: Vec<AuditRow>,
    /// What lies between the rows of the data and those that the model works on, in words; empty if nothing does.
    pub transform: String,
    /// Why scores of these columns cannot be compared with those of others; empty if they can.
    pub doubts: String,
    /// Warnings of the fit.
    pub warnings: Vec<String>,
    /// Number of trainable parameters.
    pub parameters: u64,
    /// Updates done.
    pub steps: u64,
    /// Why the fit ended.
    pub stopped: String,
    /// Seconds per phase.
    pub seconds: Vec<(String, f64)>,
    /// Processor, cores, system.
    pub machine: String,
    /// Version of genus, compiler, commit where known.
    pub versions: Vec<(String, String)>,
}

impl Summary {
    /// What the model is of: `p(x)`, or `p(x | a, b)`.
    pub fn formula(&self) -> String {
        match self.given.is_empty() {
            true => "p(x)".into(),
            false => format!("p(x | {})", self.given.join(", ")),
        }
    }

    /// The protocol of a score with what makes it doubtful.
    pub fn doubted(&self, protocol: &str) -> String {
        let words = [protocol, &self.doubts].into_iter().filter(|w| !w.is_empty());
        words.collect::<Vec<_>>().join(", ")
    }
}

/// The mean log-probability of a split, with all that makes it comparable.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// Which rows.
    pub split: SplitName,
    /// How many.
    pub rows: u64,
    /// Mean log-probability, nats per row; −∞ if the model rules a row out.
    #[serde(with = "crate::number")]
    pub nats: f64,
    /// Standard error of the mean, nats, from the choice of the rows, from draws, and from a term that was estimated; none for a single
    /// row.
    #[serde(with = "crate::number::option")]
    pub stderr: Option<f64>,
    /// Mean of the same rows under independent columns, fitted to the training rows as the model sees them.
    #[serde(default, with = "crate::number::option")]
    pub independent: Option<f64>,
    /// The same under the uniform law, where there is one.
    #[serde(default, with = "crate::number::option")]
    pub uniform: Option<f64>,
    /// Bits per dimension, where the base measure is counting.
    #[serde(with = "crate::number::option")]
    pub bits_per_dim: Option<f64>,
    /// What kind of number it is.
    pub evidence: Evidence,
    /// What it is a density against.
    pub measure: Measure,
    /// Binarisation, dequantisation, importance samples …
    pub protocol: String,
}

/// One likelihood check.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AuditRow {
    /// Name of the check.
    pub check: String,
    /// What it was run on: the trained model or its tiny twin.
    pub subject: String,
    /// True if it holds.
    pub passed: bool,
    /// The figure that decides, in words and digits.
    pub figure: String,
}
