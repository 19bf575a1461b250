//! A log-probability never travels without its kind.

use crate::Measure;
use serde::{Deserialize, Serialize};

/// What kind of number a log-probability is. Unlike kinds are never ranked in one column.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum Evidence {
    /// The model's own log-probability, up to rounding.
    Exact,
    #[doc(alias = "ELBO")]
    #[doc(alias = "variational bound")]
    /// At most the log-probability (an ELBO, an importance-weighted bound, a dequantisation bound), in expectation where it is stochastic.
    LowerBound,
    /// A stochastic estimate of the mean, with its standard error.
    Estimate {
        /// Standard error of the mean over rows, nats.
        #[serde(with = "crate::number")]
        stderr: f64,
    },
    /// Known up to an additive constant only.
    Unnormalized,
}

impl Evidence {
    /// Its kind, without figures.
    pub fn kind(&self) -> EvidenceKind {
        match self {
            Self::Exact => EvidenceKind::Exact,
            Self::LowerBound => EvidenceKind::LowerBound,
            Self::Estimate { .. } => EvidenceKind::Estimate,
            Self::Unnormalized => EvidenceKind::Unnormalized,
        }
    }
}

impl std::fmt::Display for Evidence {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Estimate { stderr } => write!(f, "{} ± {stderr:.4}", self.kind()),
            _ => self.kind().fmt(f),
        }
    }
}

/// The kind of evidence that a family gives, before there is a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum EvidenceKind {
    /// [`Evidence::Exact`].
    Exact,
    /// [`Evidence::LowerBound`].
    LowerBound,
    /// [`Evidence::Estimate`].
    Estimate,
    /// [`Evidence::Unnormalized`].
    Unnormalized,
    /// No density at all.
    None,
}

impl std::fmt::Display for EvidenceKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Exact => "exact",
            Self::LowerBound => "lower bound",
            Self::Estimate => "estimate",
            Self::Unnormalized => "unnormalised",
            Self::None => "none",
        })
    }
}

/// Log-probabilities of the rows of a batch.
#[derive(Debug, Clone, PartialEq)]
pub struct LogProb {
    /// One per row, nats.
    pub nats: Vec<f64>,
    /// What kind of number they are.
    pub evidence: Evidence,
    /// What they are a density against.
    pub measure: Measure,
    /// How they were obtained, for the reader of a table: binarisation, dequantisation, importance samples …
    pub protocol: String,
}

impl LogProb {
    /// Mean over rows, nats.
    pub fn mean(&self) -> f64 {
        self.nats.iter().sum::<f64>() / self.nats.len() as f64
    }

    /// Standard error of the mean over rows, nats; infinite for fewer than two rows.
    pub fn stderr(&self) -> f64 {
        let n = self.nats.len() as f64;
        if n < 2.0 {
            return f64::INFINITY;
        }
        let mean = self.mean();
        let var = self.nats.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0);
        (var / n).sqrt()
    }
}
