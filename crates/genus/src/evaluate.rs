//! Figures of a fitted model: what a summary shows.

use crate::run::Score;
use crate::{Batch, Density, Domain, Measure, Result, Scoring, Shape, SplitName, metrics};

/// The mean log-probability of a split.
///
/// # Errors
/// If a row is not in the model's domain.
pub fn score(density: &dyn Density, split: SplitName, x: &Batch, how: &Scoring) -> Result<(Score, Vec<f64>)> {
    let lp = density.score(x, how)?;
    let nats = lp.mean();
    let score = Score {
        split,
        rows: x.rows() as u64,
        nats,
        stderr: Some(lp.stderr()).filter(|s| s.is_finite()),
        bits_per_dim: (lp.measure == Measure::Counting).then(|| metrics::bits_per_dim(nats, x.width())),
        evidence: lp.evidence,
        measure: lp.measure,
        protocol: lp.protocol,
    };
    Ok((score, lp.nats))
}

/// `[height, width, channels]` or `[d]`, for a summary.
pub(crate) fn extents(domain: &Domain) -> Vec<usize> {
    match domain.shape {
        Shape::Flat(d) => vec![d],
        Shape::Image { height, width, channels } => vec![height, width, channels],
    }
}
