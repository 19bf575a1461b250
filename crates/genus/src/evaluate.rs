//! Figures of a fitted model: what a summary shows.

use crate::baseline;
use crate::run::Score;
use crate::stop::paced;
use crate::{
    Batch, Density, Domain, Error, EvidenceKind, LogProb, Measure, Result, Scored, Scoring, Seed, Shape,
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
    let scores = parts.into_iter().flat_map(|p| {
        let spread = p.spread.map_or_else(|| vec![None; p.nats.len()], |s| s.into_iter().map(Some).collect());
        p.nats.into_iter().zip(spread)
    });
    let mut each: Vec<(usize, f64, Option<f64>)> =
        order.into_iter().zip(scores).map(|(row, (nats, spread))| (row, nats, spread)).collect();
    each.sort_unstable_by_key(|(row, ..)| *row);
    let rows: Vec<usize> = each.iter().map(|e| e.0).collect();
    let nats: Vec<f64> = each.iter().map(|e| e.1).collect();
    let spread = each.iter().map(|e| e.2).collect::<Option<Vec<f64>>>();
    if done < x.rows() {
        let join = if protocol.is_empty() { "" } else { ", " };
        protocol = format!("{protocol}{join}{done} of {} rows, chosen by chance", x.rows());
    }
    let all = LogProb { nats, spread, evidence, measure, protocol };
    let mean = all.mean();
    let score = Score {
        split,
        rows: done as u64,
        nats: mean,
        stderr: Some(all.stderr_of(&x.select(&rows))).filter(|s| s.is_finite()),
        independent: None,
        uniform: baseline::uniform(density, measure),
        bits_per_dim: (measure == Measure::Counting && evidence.kind != EvidenceKind::Unnormalized)
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
