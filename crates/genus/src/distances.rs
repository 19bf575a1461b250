//! Distances and products between rows.

use crate::{Batch, Result, Stop};
use genus_kernels::{Limits, Mat, gemm, row_products};
use rayon::prelude::*;

/// Values of a block of pairs.
const BLOCK: usize = 1 << 22;

/// Product of each row of `x` with each row of `to`, `[x, to]`.
fn products(x: &Batch, to: &Batch) -> Vec<f32> {
    let (n, m, d) = (x.rows(), to.rows(), x.width());
    let mut out = vec![0.0; n * m];
    gemm(n, m, d, Mat::rows(x.data(), d), Mat::rows(to.data(), d).t(), &mut out, false, Limits::Dense);
    out
}

/// Squared Euclidean distance of each row of `x` to each row of `to`, `[x, to]`.
pub(crate) fn squared_distances(x: &Batch, to: &Batch) -> Vec<f32> {
    let mut out = products(x, to);
    let squares = |b: &Batch| -> Vec<f32> { b.iter().map(|r| row_products(r, r)[0] as f32).collect() };
    let (own, other) = (squares(x), squares(to));
    for (row, a) in out.chunks_exact_mut(to.rows().max(1)).zip(own) {
        row.iter_mut().zip(&other).for_each(|(v, b)| *v = (a + b - 2.0 * *v).max(0.0));
    }
    out
}

/// What is known of a pair of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pair {
    /// Their product.
    Product,
    /// The square of their distance.
    SquaredDistance,
}

/// What `of` makes of the pairs of each row of `x` with all rows of `to`, row by row.
///
/// # Errors
/// [`Error::Stopped`](crate::Error::Stopped).
pub(crate) fn by_rows<T: Send>(
    x: &Batch,
    to: &Batch,
    pair: Pair,
    of: impl Fn(usize, &[f32]) -> T + Sync,
) -> Result<Vec<T>> {
    let stop = Stop::current();
    let mut all = Vec::with_capacity(x.rows());
    let size = (BLOCK / to.rows().max(1)).max(1);
    for start in (0..x.rows()).step_by(size) {
        stop.check()?;
        let some = x.slice(start, start + size);
        let block = match pair {
            Pair::Product => products(&some, to),
            Pair::SquaredDistance => squared_distances(&some, to),
        };
        let rows = block.par_chunks_exact(to.rows().max(1)).enumerate();
        all.par_extend(rows.map(|(r, row)| of(start + r, row)));
    }
    Ok(all)
}

/// Mean of `f` over the pairs of a row of `x` and a row of `y`.
///
/// # Errors
/// As [`by_rows`].
pub(crate) fn mean_between(x: &Batch, y: &Batch, pair: Pair, f: impl Fn(f32) -> f64 + Sync) -> Result<f64> {
    let sums = by_rows(x, y, pair, |_, row| row.iter().map(|v| f(*v)).sum::<f64>())?;
    Ok(sums.iter().sum::<f64>() / (x.rows() * y.rows()) as f64)
}

/// Mean of `f` over the pairs of two different rows of `x`.
///
/// # Errors
/// As [`by_rows`].
pub(crate) fn mean_within(x: &Batch, pair: Pair, f: impl Fn(f32) -> f64 + Sync) -> Result<f64> {
    let sums = by_rows(x, x, pair, |r, row| {
        let others = row[..r].iter().chain(&row[r + 1..]);
        others.map(|v| f(*v)).sum::<f64>()
    })?;
    Ok(sums.iter().sum::<f64>() / (x.rows() * (x.rows() - 1).max(1)) as f64)
}

/// Rows with the mean of `to` taken out of both: products of numbers far from 0 would lose digits.
pub(crate) fn centred(x: &Batch, to: &Batch) -> [Batch; 2] {
    let (mean, _) = crate::transform::moments(to);
    [x, to].map(|b| Batch::from_fn(b.rows(), b.width(), |r, c| (f64::from(b.row(r)[c]) - mean[c]) as f32))
}
