//! Whether draws are copies: of training rows, beside how near held-out rows come to these by chance, and of one another.

use crate::distances::{Pair, by_rows, centred};
use crate::{Batch, Result};
use std::collections::HashSet;

/// Squared distance of each row to the nearest row of `to`.
pub(crate) fn nearest(x: &Batch, to: &Batch) -> Result<Vec<f32>> {
    by_rows(x, to, Pair::SquaredDistance, |_, row| row.iter().copied().fold(f32::INFINITY, f32::min))
}

/// Probability that a draw lies nearer to its nearest training row than a held-out row does to its own, ties counted half: one half
/// if draws are as new as held-out rows are (the statistic of Meehan, Chaudhuri & Dasgupta 2020, over the whole space), with its
/// standard error.
///
/// # Errors
/// [`Error::Stopped`](crate::Error::Stopped).
pub fn copying(draws: &Batch, held_out: &Batch, train: &Batch) -> Result<[f64; 2]> {
    let [draws, near] = &centred(draws, train);
    let [held_out, _] = &centred(held_out, train);
    let (own, mut others) = (nearest(draws, near)?, nearest(held_out, near)?);
    others.sort_unstable_by(f32::total_cmp);
    let (n, m) = (own.len() as f64, others.len() as f64);
    let share = |d: &f32| {
        let [below, upto] = [others.partition_point(|o| o < d), others.partition_point(|o| o <= d)];
        (m - 0.5 * (below + upto) as f64) / m
    };
    let mean = own.iter().map(share).sum::<f64>() / n;
    // Of the statistic of Mann and Whitney at equal laws.
    Ok([mean, ((n + m + 1.0) / (12.0 * n * m)).sqrt()])
}

/// Share of rows that have a twin: another row that is nearer than a hundredth of the typical distance of real neighbours.
///
/// # Errors
/// As [`copying`].
pub fn duplicates(draws: &Batch, real: &Batch) -> Result<f64> {
    let [draws, real] = &centred(draws, real);
    let mut apart = among(real)?;
    apart.sort_unstable_by(f32::total_cmp);
    let typical = apart.get(apart.len() / 2).copied().unwrap_or(0.0);
    // Equal rows are not quite 0 apart, because their products are rounded.
    let size = real.data().iter().map(|v| v * v).sum::<f32>() / real.rows() as f32;
    let near = (1e-4 * typical).max(super::ROUNDING * size);
    let twins = among(draws)?.into_iter().filter(|d| *d <= near).count();
    Ok(twins as f64 / draws.rows() as f64)
}

/// Share of rows that are one of `among`, value for value.
pub fn copies(x: &Batch, among: [&Batch; 2]) -> f64 {
    let known: HashSet<Vec<u32>> = among.iter().flat_map(|b| b.iter()).map(bits).collect();
    x.iter().filter(|row| known.contains(&bits(row))).count() as f64 / x.rows().max(1) as f64
}

/// Values, of which 0 and −0 are the same.
fn bits(row: &[f32]) -> Vec<u32> {
    row.iter().map(|v| (v + 0.0).to_bits()).collect()
}

/// Squared distance of each row to the nearest other row.
fn among(x: &Batch) -> Result<Vec<f32>> {
    by_rows(x, x, Pair::SquaredDistance, |r, row| {
        row[..r].iter().chain(&row[r + 1..]).copied().fold(f32::INFINITY, f32::min)
    })
}
