//! Rows and columns of a matrix in another order, under a staircase mask.

use crate::{Staircase, crew};

/// Rows of a job.
const ROWS: usize = 16;

/// `out[i, j] = w[rows[i], cols[j]]` where the mask allows it, else 0. `w` is `[rows.len(), cols.len()]`.
pub fn gather_masked(w: &[f32], rows: &[usize], cols: &[usize], mask: &Staircase) -> Vec<f32> {
    let n = cols.len();
    let [out] = crew::zeros(rows.len(), [n], ROWS, |block, [out]| {
        for (i, row) in (block * ROWS..).zip(out.chunks_exact_mut(n)) {
            let src = &w[rows[i] * n..][..n];
            let first = mask.first()[i];
            for (slot, c) in row[first..].iter_mut().zip(&cols[first..]) {
                *slot = src[*c];
            }
        }
    });
    out
}

/// The gradient of [`gather_masked`] with respect to `w`.
pub fn scatter_masked(grad: &[f32], rows: &[usize], cols: &[usize], mask: &Staircase) -> Vec<f32> {
    let n = cols.len();
    let mut place = vec![0; rows.len()];
    rows.iter().enumerate().for_each(|(i, r)| place[*r] = i);
    let [out] = crew::zeros(rows.len(), [n], ROWS, |block, [out]| {
        for (r, row) in (block * ROWS..).zip(out.chunks_exact_mut(n)) {
            let i = place[r];
            let first = mask.first()[i];
            for (g, c) in grad[i * n + first..(i + 1) * n].iter().zip(&cols[first..]) {
                row[*c] = *g;
            }
        }
    });
    out
}
