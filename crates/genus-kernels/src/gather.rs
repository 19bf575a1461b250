//! Rows and columns of a matrix in another order, under a staircase mask; some columns taken out of rows and put back.

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

/// Rows of a job that moves whole rows of values.
const LONG: usize = 8;

fn there(places: &[usize], width: usize) -> bool {
    !places.is_empty() && places.iter().all(|p| *p < width)
}

/// Some values of each row, in this order.
///
/// # Shapes
/// x `[rows, width]` → `[rows, places]`
pub fn gather_columns(x: &[f32], width: usize, places: &[usize]) -> Vec<f32> {
    assert!(there(places, width), "columns that are there, one at least");
    let [out] = crew::zeros(x.len() / width, [places.len()], LONG, |block, [out]| {
        for (out, x) in out.chunks_exact_mut(places.len()).zip(x[block * LONG * width..].chunks_exact(width))
        {
            out.iter_mut().zip(places).for_each(|(out, p)| *out = x[*p]);
        }
    });
    out
}

/// The gradient of [`gather_columns`] with respect to x: what each place is given, summed, and zero elsewhere.
pub fn scatter_columns(grad: &[f32], width: usize, places: &[usize]) -> Vec<f32> {
    assert!(there(places, width), "columns that are there, one at least");
    let n = places.len();
    let [out] = crew::zeros(grad.len() / n, [width], LONG, |block, [out]| {
        for (out, g) in out.chunks_exact_mut(width).zip(grad[block * LONG * n..].chunks_exact(n)) {
            g.iter().zip(places).for_each(|(g, p)| out[*p] += g);
        }
    });
    out
}

/// Rows with other values in some places, which must differ.
///
/// # Shapes
/// x `[rows, width]`, values `[rows, places]` → as x
pub fn put_columns(mut x: Vec<f32>, width: usize, places: &[usize], values: &[f32]) -> Vec<f32> {
    assert!(there(places, width), "columns that are there, one at least");
    let n = places.len();
    assert_eq!(x.len() / width * n, values.len(), "values for every row");
    crew::rows([(&mut x, width)], LONG, |block, [x]| {
        for (x, values) in x.chunks_exact_mut(width).zip(values[block * LONG * n..].chunks_exact(n)) {
            places.iter().zip(values).for_each(|(p, v)| x[*p] = *v);
        }
    });
    x
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_taken_and_put() {
        let x: Vec<f32> = (0..60).map(|v| v as f32).collect();
        let taken = gather_columns(&x, 3, &[2, 0]);
        assert_eq!((taken.len(), &taken[..4]), (40, &[2.0, 0.0, 5.0, 3.0][..]));
        let put = put_columns(x.clone(), 3, &[2, 0], &taken.iter().map(|v| -v).collect::<Vec<_>>());
        assert_eq!(put[57..], [-57.0, 58.0, -59.0]);
        // What is taken twice has both gradients.
        let back = scatter_columns(&[1.0, 2.0, 4.0], 3, &[1, 1, 2]);
        assert_eq!(back, [0.0, 3.0, 4.0]);
        assert!(gather_columns(&[], 3, &[1]).is_empty());
    }
}
