//! Rows and columns of a matrix in another order, under a staircase mask.

use crate::Staircase;
use rayon::prelude::*;

/// `out[i, j] = w[rows[i], cols[j]]` where the mask allows it, else 0. `w` is `[rows.len(), cols.len()]`.
pub fn gather_masked(w: &[f32], rows: &[usize], cols: &[usize], mask: &Staircase) -> Vec<f32> {
    let n = cols.len();
    let mut out = vec![0.0; w.len()];
    out.par_chunks_exact_mut(n.max(1)).enumerate().for_each(|(i, row)| {
        let src = &w[rows[i] * n..][..n];
        let first = mask.first()[i];
        for (slot, c) in row[first..].iter_mut().zip(&cols[first..]) {
            *slot = src[*c];
        }
    });
    out
}

/// The gradient of [`gather_masked`] with respect to `w`.
pub fn scatter_masked(grad: &[f32], rows: &[usize], cols: &[usize], mask: &Staircase) -> Vec<f32> {
    let n = cols.len();
    let mut place = vec![0; rows.len()];
    rows.iter().enumerate().for_each(|(i, r)| place[*r] = i);
    let mut out = vec![0.0; grad.len()];
    out.par_chunks_exact_mut(n.max(1)).enumerate().for_each(|(r, row)| {
        let i = place[r];
        let first = mask.first()[i];
        for (g, c) in grad[i * n + first..(i + 1) * n].iter().zip(&cols[first..]) {
            row[*c] = *g;
        }
    });
    out
}
