//! Rows whose missing values can be enumerated: the conditional of a model, exact, from its log-probabilities up to a constant.

use genus_core::math::log_sum_exp;
use genus_core::transform::{Noise, Transform};
use genus_core::{Batch, Completion, Error, Fill, Result, Rng, Stop};

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

/// A row with holes, as the model sees it.
pub(crate) struct Holes<'a> {
    /// What is there, in the model's domain: once, or, of levels, several draws of what lies within them. Holes hold anything.
    pub seen: &'a Batch,
    /// Columns that are there.
    pub there: &'a [usize],
    /// Columns that are not.
    pub missing: &'a [usize],
}

/// Draws of what lies within the known levels of a row.
const WITHIN: usize = 64;

/// Rows whose holes `made` fills, in the model's domain and one value for each, from the exact conditional of a model whose transform works
/// column by column.
///
/// # Errors
/// As [`genus_core::Conditional::complete`], and those of `made`, with the row.
pub(crate) fn fill(
    transform: &Transform,
    x: &Batch,
    how: Fill,
    rng: &mut Rng,
    mut made: impl FnMut(&Holes<'_>, &mut Rng) -> Result<Vec<f64>>,
) -> Result<Completion> {
    transform.source().check(x, true)?;
    let (mut filled, stop) = (x.clone(), Stop::current());
    for r in 0..x.rows() {
        stop.check()?;
        let (missing, there): (Vec<usize>, Vec<usize>) = (0..x.width()).partition(|c| x.row(r)[*c].is_nan());
        if missing.is_empty() {
            continue;
        }
        // A stand-in for the missing columns does not reach the others.
        let mut row = x.slice(r, r + 1);
        missing.iter().for_each(|c| row.row_mut(0)[*c] = 0.0);
        // Known levels stand for all that lies within them: draws of it, which count as likely as the model makes them.
        let times = if transform.dequantizes() && !there.is_empty() { WITHIN } else { 1 };
        let (seen, _) = transform.forward(&row.select(&vec![0; times]), Noise::Stream(rng))?;
        let holes = Holes { seen: &seen, there: &there, missing: &missing };
        let values = made(&holes, rng).map_err(|e| match e {
            Error::Domain(what) => Error::Domain(format!("row {r} {what}")),
            other => other,
        })?;
        let mut whole = seen.slice(0, 1);
        missing.iter().zip(values).for_each(|(c, v)| whole.row_mut(0)[*c] = v as f32);
        let back = match how {
            Fill::Sample => transform.inverse(&whole),
            Fill::Mean => transform.inverse_mean(&whole),
        };
        missing.iter().for_each(|c| filled.row_mut(r)[*c] = back.row(0)[*c]);
    }
    let law = match transform.dequantizes() {
        true => "the model's conditional, over draws of what lies within known levels",
        false => "the model's conditional, exact",
    };
    Ok(Completion { x: filled, law: law.into(), warning: None })
}

/// What is said of a row that no part of a model explains.
pub(crate) fn unexplained() -> Error {
    Error::Domain(
        "lies so far from the training rows that nothing in the model explains it; check its values".into(),
    )
}
