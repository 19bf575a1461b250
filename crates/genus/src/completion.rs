//! Rows whose missing values can be enumerated: the conditional of a model, exact, from its log-probabilities up to a constant.

use genus_core::math::log_sum_exp;
use genus_core::{Batch, Fill, Rng};

/// Most ways to complete a row that are looked at one by one.
pub(crate) const MOST: usize = 4096;

/// Number of ways to give `missing` dimensions one of so many levels, if there are few enough.
pub(crate) fn count(levels: usize, missing: usize) -> Option<usize> {
    (0..missing).try_fold(1usize, |n, _| n.checked_mul(levels).filter(|n| *n <= MOST))
}

/// Every way to give the `missing` dimensions of a row one of so many levels; the caller has counted them.
pub(crate) fn ways(row: &[f32], missing: &[usize], levels: usize) -> Batch {
    let n = levels.pow(missing.len() as u32);
    let mut all = Batch::from_fn(n, row.len(), |_, c| row[c]);
    for w in 0..n {
        let mut code = w;
        for c in missing {
            all.row_mut(w)[*c] = (code % levels) as f32;
            code /= levels;
        }
    }
    all
}

/// Probabilities from logarithms up to a constant.
pub(crate) fn normalised(log: &[f64]) -> Vec<f64> {
    let total = log_sum_exp(log.iter().copied());
    log.iter().map(|l| libm::exp(l - total)).collect()
}

/// Number of equally weighted draws that weights of sum 1 are worth.
pub(crate) fn effective(weights: &[f64]) -> f64 {
    1.0 / weights.iter().map(|w| w * w).sum::<f64>()
}

/// One of the rows by its weight, or their mean.
pub(crate) fn settle(rows: &Batch, weights: &[f64], fill: Fill, rng: &mut Rng) -> Vec<f32> {
    match fill {
        Fill::Sample => rows.row(rng.categorical(weights)).to_vec(),
        Fill::Mean => (0..rows.width())
            .map(|c| rows.iter().zip(weights).map(|(row, w)| f64::from(row[c]) * w).sum::<f64>() as f32)
            .collect(),
    }
}
