//! Distances between rows.

use crate::Batch;
use genus_kernels::{Limits, Mat, gemm, row_products};

/// Squared Euclidean distance of each row of `x` to each row of `to`, `[x, to]`.
pub(super) fn squared_distances(x: &Batch, to: &Batch) -> Vec<f32> {
    let (n, m, d) = (x.rows(), to.rows(), x.width());
    let mut out = vec![0.0; n * m];
    gemm(n, m, d, Mat::rows(x.data(), d), Mat::rows(to.data(), d).t(), &mut out, false, Limits::Dense);
    let squares = |b: &Batch| -> Vec<f32> { b.iter().map(|r| row_products(r, r)[0] as f32).collect() };
    let (own, other) = (squares(x), squares(to));
    for (row, a) in out.chunks_exact_mut(m).zip(own) {
        row.iter_mut().zip(&other).for_each(|(v, b)| *v = (a + b - 2.0 * *v).max(0.0));
    }
    out
}
