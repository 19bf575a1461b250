//! Figures of a fitted model: what a summary shows.

use crate::run::Score;
use crate::stop::paced;
use crate::{
    Batch, Density, Domain, Error, Evidence, LogProb, Measure, Result, Scored, Scoring, Seed, Shape,
    SplitName, Stop, StopReason, metrics,
};

/// `n` of `rows` rows, chosen by chance: whatever comes first must stand for all, and rows of a file may be sorted.
pub(crate) fn some_rows(rows: usize, n: usize) -> Vec<usize> {
    let mut order = Seed::from(0).child("scored rows").rng().permutation(rows);
    order.truncate(n);
    order
}

/// The mean log-probability of the rows of a split: of all, or of `most` that are chosen by chance, or, where time is short, of as
/// many of those as there is time for. `heard` is told how many rows have been scored, of how many.
///
/// # Errors
/// If a row is not in the model's domain, [`Error::Stopped`] if it was interrupted or there was no time for any row.
pub fn score(
    density: &dyn Density,
    split: SplitName,
    x: &Batch,
    how: &Scoring,
    most: Option<usize>,
    heard: &mut dyn FnMut(u64, u64),
) -> Result<Scored> {
    let n = most.map_or(x.rows(), |most| most.min(x.rows()));
    let mut order: Vec<usize> = match n < x.rows() || Stop::current().left().is_some() {
        true => some_rows(x.rows(), n),
        false => (0..n).collect(),
    };
    let mut parts: Vec<LogProb> = Vec::new();
    let mut done = 0;
    let scored = paced(n, |range| {
        parts.push(density.score(&x.select(&order[range.clone()]), how)?);
        done = range.end;
        heard(done as u64, n as u64);
        Ok(())
    });
    match scored {
        Err(Error::Stopped(StopReason::TimeBudget)) if done > 0 => {}
        other => other?,
    }
    order.truncate(done);
    let Some(LogProb { evidence, measure, mut protocol, .. }) = parts.first().cloned() else {
        return Err(Error::Domain(format!("no row in the {split} split")));
    };
    let mut each: Vec<(usize, f64)> = order.into_iter().zip(parts.into_iter().flat_map(|p| p.nats)).collect();
    each.sort_unstable_by_key(|(row, _)| *row);
    let (rows, nats): (Vec<usize>, Vec<f64>) = each.into_iter().unzip();
    if done < x.rows() {
        let join = if protocol.is_empty() { "" } else { ", " };
        protocol = format!("{protocol}{join}{done} of {} rows, chosen by chance", x.rows());
    }
    let all = LogProb { nats, evidence, measure, protocol };
    let mean = all.mean();
    let score = Score {
        split,
        rows: done as u64,
        nats: mean,
        stderr: Some(all.stderr()).filter(|s| s.is_finite()),
        bits_per_dim: (measure == Measure::Counting && evidence != Evidence::Unnormalized)
            .then(|| metrics::bits_per_dim(mean, x.width())),
        evidence,
        measure,
        protocol: all.protocol,
    };
    Ok(Scored { score, rows, nats: all.nats })
}

/// `[height, width, channels]` or `[d]`, for a summary.
pub(crate) fn extents(domain: &Domain) -> Vec<usize> {
    match domain.shape {
        Shape::Flat(d) => vec![d],
        Shape::Image { height, width, channels } => vec![height, width, channels],
    }
}
