//! A log-probability never travels without its kind.

use crate::{Batch, Measure};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// What a log-probability is, and how far chance has a part in it. Unlike ones are never ranked in one column.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// What the number is when chance is averaged out.
    pub kind: EvidenceKind,
    /// Standard error of a term that all rows share and that was estimated, such as log Z, nats; none if there is no such term.
    #[serde(default, with = "crate::number::option", skip_serializing_if = "Option::is_none")]
    pub stderr: Option<f64>,
}

/// What a log-probability is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EvidenceKind {
    /// The model's own log-probability, up to rounding.
    Exact,
    #[doc(alias = "ELBO")]
    #[doc(alias = "variational bound")]
    /// At most the log-probability (an ELBO, an importance-weighted bound, a dequantisation bound), in expectation where it is stochastic.
    LowerBound,
    /// Known up to an additive constant only.
    Unnormalized,
}

impl Evidence {
    /// The model's own log-probability.
    pub const EXACT: Self = Self { kind: EvidenceKind::Exact, stderr: None };
    /// A lower bound.
    pub const LOWER_BOUND: Self = Self { kind: EvidenceKind::LowerBound, stderr: None };
    /// Known up to a constant.
    pub const UNNORMALIZED: Self = Self { kind: EvidenceKind::Unnormalized, stderr: None };

    /// The model's own log-probability, but for a term that was estimated with this standard error.
    pub const fn estimated(stderr: f64) -> Self {
        Self { kind: EvidenceKind::Exact, stderr: Some(stderr) }
    }

    /// Of another kind, as certain as it is.
    #[must_use]
    pub const fn of_kind(self, kind: EvidenceKind) -> Self {
        Self { kind, ..self }
    }

    /// Name of what is compared with one another: `exact`, `estimate`, `lower bound`, `estimated lower bound`, `unnormalised`.
    pub const fn name(self) -> &'static str {
        self.kind.name(self.stderr.is_some())
    }
}

impl EvidenceKind {
    /// See [`Evidence::name`].
    pub const fn name(self, estimated: bool) -> &'static str {
        match (self, estimated) {
            (Self::Exact, false) => "exact",
            (Self::Exact, true) => "estimate",
            (Self::LowerBound, false) => "lower bound",
            (Self::LowerBound, true) => "estimated lower bound",
            (Self::Unnormalized, _) => "unnormalised",
        }
    }
}

impl std::fmt::Display for Evidence {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())?;
        self.stderr.map_or(Ok(()), |stderr| write!(f, " ± {stderr:.4}"))
    }
}

/// Log-probabilities of the rows of a batch.
#[derive(Debug, Clone, PartialEq)]
pub struct LogProb {
    /// One per row, nats.
    pub nats: Vec<f64>,
    /// Standard error of each from the draws that it took (of codes, of noise between levels), nats; none where it took none. Equal
    /// rows have equal draws.
    pub spread: Option<Vec<f64>>,
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

    /// Variance of the mean of the scores of `x` from draws, which equal rows share, and from a term that was estimated; and how much of
    /// it the spread of the scores over the rows shows as well: that of draws that rows do not share.
    fn chance(&self, x: &Batch) -> [f64; 2] {
        let n = self.nats.len() as f64;
        let (mut place, mut same): (HashMap<&[u32], usize>, Vec<f64>) = (HashMap::new(), Vec::new());
        let mut own = 0.0;
        for (row, spread) in x.iter().zip(self.spread.iter().flatten()) {
            own += spread * spread;
            let at = *place.entry(bytemuck::cast_slice(row)).or_insert(same.len());
            match same.get_mut(at) {
                Some(sum) => *sum += spread,
                None => same.push(*spread),
            }
        }
        let drawn = same.iter().map(|s| s * s).sum::<f64>() / (n * n);
        let shown = if n > 1.0 { (own - drawn * n).max(0.0) / (n * (n - 1.0)) } else { 0.0 };
        let shared = self.evidence.stderr.unwrap_or(0.0);
        [drawn + shared * shared, shown]
    }

    /// Standard error of the mean of the scores of `x` from chance in scoring alone, nats: how far another seed may lie.
    pub fn stderr_of_draws(&self, x: &Batch) -> f64 {
        self.chance(x)[0].sqrt()
    }

    /// Standard error of the mean of the scores of `x`, nats, from all that has a part in it: the choice of the rows, draws, which
    /// equal rows share, and a term that was estimated. Infinite for fewer than two rows.
    pub fn stderr_of(&self, x: &Batch) -> f64 {
        let [chance, shown] = self.chance(x);
        (self.stderr().powi(2) + chance - shown).sqrt()
    }

    /// Standard error of the mean over rows alone, nats; infinite for fewer than two rows.
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

#[cfg(test)]
mod tests {
    use super::*;

    fn of(nats: Vec<f64>, spread: f64, stderr: Option<f64>) -> LogProb {
        let spread = Some(vec![spread; nats.len()]);
        let evidence = Evidence { stderr, ..Evidence::LOWER_BOUND };
        LogProb { nats, spread, evidence, measure: Measure::Counting, protocol: String::new() }
    }

    /// Rows that are all different show their draws in how they differ; of rows that are equal, the draw is one; a shared term adds.
    #[test]
    fn draws_count_once() {
        let x = Batch::from_fn(4, 1, |r, _| r as f32);
        let lp = of(vec![1.0, 3.0, 2.0, 2.0], 0.5, None);
        assert!((lp.stderr_of(&x) - lp.stderr()).abs() < 1e-12);
        assert!((lp.stderr_of_draws(&x) - 0.25).abs() < 1e-12);
        let same = Batch::zeros(4, 1);
        let lp = of(vec![2.0; 4], 0.5, None);
        assert!((lp.stderr_of(&same) - 0.5).abs() < 1e-12 && (lp.stderr_of_draws(&same) - 0.5).abs() < 1e-12);
        let lp = of(vec![2.0; 4], 0.3, Some(0.4));
        assert!((lp.stderr_of(&same) - 0.5).abs() < 1e-12);
    }
}
