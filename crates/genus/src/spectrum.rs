//! Covariances of rows, and the directions in which they vary most.

use genus_core::stop::abandoned;
use genus_core::transform::means;
use genus_core::{Batch, Result, Rng, Stop};
use genus_kernels::{Limits, Mat, gemm};
use nalgebra::{DMatrix, SymmetricEigen};
use rayon::prelude::*;

/// Products up to which they are taken in double precision throughout.
const FEW: usize = 1 << 28;
/// Rows whose products are added up in single precision.
const BLOCK: usize = 1024;
/// Rows of a strip of the covariance.
const STRIP: usize = 112;
/// Columns of matrices whose directions are all found, though few are wanted.
const SMALL: usize = 128;
/// Directions beside those that are wanted.
const SPARE: usize = 16;
/// Share of the largest variance by which a direction may miss.
const MISS: f64 = 1e-9;
/// Orders of magnitude by which the largest direction may be raised above the smallest that is looked for: rounding of the one must not reach the
/// other. And the highest degree of a polynomial that raises.
const RAISED: f64 = 6.5;
const DEGREE: f64 = 8.0;
/// Most rounds.
const ROUNDS: usize = 500;

fn few(x: &Batch) -> bool {
    x.rows().saturating_mul(x.width()).saturating_mul(x.width()) <= FEW
}

/// Share of the largest variance below which none is told from rounding in the [`covariance`] of these rows.
pub(crate) fn rounding(x: &Batch) -> f64 {
    if few(x) { 1e-9 } else { 1e-6 }
}

/// Mean of each column and the covariances over n.
///
/// # Errors
/// [`Error::Stopped`](genus_core::Error::Stopped).
pub(crate) fn covariance(x: &Batch) -> Result<(Vec<f64>, DMatrix<f64>)> {
    let (n, d, stop) = (x.rows(), x.width(), Stop::current());
    let mean = means(x);
    let mut sum = vec![0f64; d * d];
    if few(x) {
        for (r, row) in x.iter().enumerate() {
            if r.is_multiple_of(64) {
                stop.check()?;
            }
            let off: Vec<f64> = row.iter().zip(&mean).map(|(v, m)| f64::from(*v) - m).collect();
            for (i, a) in off.iter().enumerate() {
                sum[i * d..=i * d + i].iter_mut().zip(&off).for_each(|(s, b)| *s += a * b);
            }
        }
    } else {
        // The columns less their means, which single precision suffices for, and of the products those on and below the diagonal, in
        // strips.
        let middle: Vec<f32> = mean.iter().map(|m| *m as f32).collect();
        let mut strips = vec![0f32; d * d];
        for start in (0..n).step_by(BLOCK) {
            stop.check()?;
            let mut some = x.slice(start, start + BLOCK);
            let centre = |row: &mut [f32]| row.iter_mut().zip(&middle).for_each(|(v, m)| *v -= m);
            some.data_mut().par_chunks_exact_mut(d).for_each(centre);
            let (rows, k) = (some.rows(), Mat::rows(some.data(), d));
            for top in (0..d).step_by(STRIP) {
                let end = d.min(top + STRIP);
                let strip = &mut strips[top * d..top * d + (end - top) * end];
                let columns = Mat::strided(&some.data()[top..], d, 1).t();
                gemm(end - top, end, rows, columns, k, strip, false, Limits::Dense);
            }
            let add = |(i, sum): (usize, &mut [f64])| {
                let (top, end) = (i / STRIP * STRIP, d.min(i / STRIP * STRIP + STRIP));
                let row = &strips[top * d + (i - top) * end..][..=i];
                sum.iter_mut().zip(row).for_each(|(s, v)| *s += f64::from(*v));
            };
            sum.par_chunks_exact_mut(d).enumerate().for_each(add);
        }
    }
    let at = |i: usize, j: usize| sum[i.max(j) * d + i.min(j)] / n as f64;
    Ok((mean, DMatrix::from_fn(d, d, at)))
}

/// The `q` largest eigenvalues of a symmetric matrix, the largest first, and their eigenvectors as columns, each with its largest value
/// positive. `start` are directions to begin with, which lie near.
///
/// All are found at once where most are wanted; else by products with a block of directions (subspace iteration with polynomials and the
/// Rayleigh–Ritz procedure; Saad 2011, chapter 5).
///
/// # Errors
/// [`Error::Stopped`](genus_core::Error::Stopped).
pub(crate) fn leading(
    matrix: &DMatrix<f64>,
    q: usize,
    start: Option<&DMatrix<f64>>,
    rng: &mut Rng,
) -> Result<(Vec<f64>, DMatrix<f64>)> {
    let d = matrix.nrows();
    let (values, vectors) = if d <= SMALL || q + SPARE > d / 4 {
        all(matrix.clone())?
    } else {
        let mut block = DMatrix::from_fn(d, q + SPARE, |_, _| rng.normal());
        if let Some(start) = start {
            let columns = start.ncols().min(q + SPARE);
            block.columns_mut(0, columns).copy_from(&start.columns(0, columns));
        }
        blockwise(matrix, block, q)?
    };
    Ok((values[..q].to_vec(), oriented(vectors.columns(0, q).into_owned())))
}

/// Directions as columns, each with its largest value positive.
pub(crate) fn oriented(mut vectors: DMatrix<f64>) -> DMatrix<f64> {
    for mut v in vectors.column_iter_mut() {
        let most = v.iter().copied().fold(0.0, |most: f64, v| if v.abs() > most.abs() { v } else { most });
        v *= most.signum();
    }
    vectors
}

/// Eigenvalues of a symmetric matrix and their vectors as columns, the largest first.
///
/// # Errors
/// [`Error::Stopped`](genus_core::Error::Stopped).
pub(crate) fn all(matrix: DMatrix<f64>) -> Result<(Vec<f64>, DMatrix<f64>)> {
    let d = matrix.nrows();
    let eigen = match d <= SMALL {
        true => SymmetricEigen::new(matrix),
        false => abandoned(move || SymmetricEigen::new(matrix))?,
    };
    let mut order: Vec<usize> = (0..d).collect();
    order.sort_by(|a, b| eigen.eigenvalues[*b].total_cmp(&eigen.eigenvalues[*a]));
    let vectors = DMatrix::from_fn(d, d, |i, j| eigen.eigenvectors[(i, order[j])]);
    Ok((order.iter().map(|i| eigen.eigenvalues[*i]).collect(), vectors))
}

fn blockwise(matrix: &DMatrix<f64>, block: DMatrix<f64>, q: usize) -> Result<(Vec<f64>, DMatrix<f64>)> {
    let stop = Stop::current();
    let mut basis = block.qr().q();
    for round in 0..ROUNDS {
        stop.check()?;
        let image = matrix * &basis;
        let small = basis.tr_mul(&image);
        let (values, turn) = all((&small + small.transpose()) * 0.5)?;
        let vectors = &basis * &turn;
        let turned = &image * &turn;
        let miss = |j: usize| (turned.column(j) - vectors.column(j) * values[j]).norm();
        let worst = (0..q).map(miss).fold(0.0, f64::max);
        if worst <= MISS * values[0].abs() || round + 1 == ROUNDS {
            return Ok((values, vectors));
        }
        // What lies beyond those that are looked for is held down, the rest raised the more the further it lies above: a Chebyshev polynomial
        // of the matrix (Zhou, Saad, Tiago & Chelikowsky 2006). The products of this round are the first of them.
        let top = values[values.len() - 1];
        let degree = (RAISED / (4.0 * values[0] / top.max(1e-300)).log10()).clamp(1.0, DEGREE) as usize;
        basis = if top > 0.0 { raised(matrix, vectors, turned, 0.5 * top, degree) } else { turned }.qr().q();
    }
    unreachable!("the last round returns")
}

/// T_m((A − h)/h) of some directions, whose products with A are known: at most 1 in size for eigenvalues from 0 to 2 h.
fn raised(
    matrix: &DMatrix<f64>,
    directions: DMatrix<f64>,
    products: DMatrix<f64>,
    half: f64,
    degree: usize,
) -> DMatrix<f64> {
    let moved = |product: DMatrix<f64>, of: &DMatrix<f64>| (product - of * half) / half;
    let mut now = moved(products, &directions);
    let mut before = directions;
    for _ in 1..degree {
        let next = moved(matrix * &now, &now) * 2.0 - &before;
        before = std::mem::replace(&mut now, next);
    }
    now
}

#[cfg(test)]
mod tests {
    use super::*;
    use genus_core::Seed;

    /// A matrix with known eigenvalues, by both ways.
    #[test]
    fn leading_directions_are_found() {
        let mut rng = Seed::from(1).rng();
        let d = 300;
        let vectors = DMatrix::from_fn(d, d, |_, _| rng.normal()).qr().q();
        let values: Vec<f64> = (0..d).map(|i| 100.0 / (1.0 + i as f64)).collect();
        let matrix = &vectors * DMatrix::from_diagonal(&values.clone().into()) * vectors.transpose();
        for q in [1, 8, 200] {
            let (found, directions) = leading(&matrix, q, None, &mut rng).unwrap();
            for j in 0..q {
                assert!((found[j] - values[j]).abs() < 1e-8, "{q} {j}: {} {}", found[j], values[j]);
                let along = directions.column(j).dot(&vectors.column(j)).abs();
                assert!((along - 1.0).abs() < 1e-8, "{q} {j}: {along}");
            }
        }
    }

    /// Blocks of single precision give what double precision gives.
    #[test]
    fn covariances_of_many_rows() {
        let mut rng = Seed::from(2).rng();
        let (n, d) = (5000, 260);
        let x = Batch::from_fn(n, d, |_, c| (1000.0 + c as f64 + rng.normal()) as f32);
        let (mean, found) = covariance(&x).unwrap();
        for (i, j) in [(0, 0), (17, 17), (3, 200), (259, 258)] {
            let product = |row: &[f32]| (f64::from(row[i]) - mean[i]) * (f64::from(row[j]) - mean[j]);
            let want = x.iter().map(product).sum::<f64>() / n as f64;
            assert!((found[(i, j)] - want).abs() < 2e-6, "{i} {j}: {} {want}", found[(i, j)]);
        }
    }
}
