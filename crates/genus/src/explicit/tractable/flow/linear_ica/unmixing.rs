//! Searches for independent components: whitening, the fixed point of FastICA, and the natural gradient of the likelihood.

use super::source::Source;
use super::{Contrast, LinearIcaConfig};
use crate::spectrum::{all, covariance, rounding};
use genus_core::{Batch, Error, Result, Schema, Stop};
use nalgebra::{DMatrix, SymmetricEigen};
use rayon::prelude::*;

/// Rows of a job.
const ROWS: usize = 1024;

/// Σ over rows of what `each` adds to so many numbers; the order of additions is that of the rows' jobs.
///
/// # Errors
/// [`Error::Stopped`].
fn sums(z: &[f64], d: usize, len: usize, each: impl Fn(&[f64], &mut [f64]) + Sync) -> Result<Vec<f64>> {
    let stop = Stop::current();
    let parts = z.par_chunks(ROWS * d).map(|rows| {
        let mut sum = vec![0.0; len];
        for (r, row) in rows.chunks_exact(d).enumerate() {
            if r.is_multiple_of(64) {
                stop.check()?;
            }
            each(row, &mut sum);
        }
        Ok(sum)
    });
    let parts = parts.collect::<Result<Vec<Vec<f64>>>>()?;
    let mut total = vec![0.0; len];
    for part in parts {
        total.iter_mut().zip(part).for_each(|(t, v)| *t += v);
    }
    Ok(total)
}

/// (W Wᵀ)^{−1/2} W.
fn decorrelated(w: &DMatrix<f64>) -> DMatrix<f64> {
    let eigen = SymmetricEigen::new(w * w.transpose());
    let by = eigen.eigenvalues.map(|v| 1.0 / v.max(1e-300).sqrt());
    &eigen.eigenvectors * DMatrix::from_diagonal(&by) * eigen.eigenvectors.transpose() * w
}

pub fn dot(a: impl Iterator<Item = f64>, z: &[f64]) -> f64 {
    a.zip(z).map(|(a, z)| a * z).sum()
}

/// What a search is told: after each iteration how far the rows turned; true ends it.
pub type Heard<'a> = &'a mut dyn FnMut(f64) -> bool;

/// E[z g(wᵀz)] − E[g′(wᵀz)] w for each row w of W.
///
/// # Errors
/// [`Error::Stopped`].
fn fixed_point(z: &[f64], w: &DMatrix<f64>, contrast: Contrast) -> Result<DMatrix<f64>> {
    let (k, d) = w.shape();
    let n = (z.len() / d) as f64;
    let found = sums(z, d, k * (d + 1), |z, sum| {
        for i in 0..k {
            let (g, slope) = contrast.at(dot(w.row(i).iter().copied(), z));
            let own = &mut sum[i * (d + 1)..(i + 1) * (d + 1)];
            own[..d].iter_mut().zip(z).for_each(|(s, z)| *s += z * g);
            own[d] += slope;
        }
    })?;
    let at = |i, j| (found[i * (d + 1) + j] - found[i * (d + 1) + d] * w[(i, j)]) / n;
    Ok(DMatrix::from_fn(k, d, at))
}

pub fn symmetric(
    z: &[f64],
    d: usize,
    config: &LinearIcaConfig,
    begin: &DMatrix<f64>,
    heard: Heard<'_>,
) -> (DMatrix<f64>, bool) {
    let mut w = decorrelated(begin);
    for _ in 0..config.iterations.get() {
        let Ok(next) = fixed_point(z, &w, config.contrast) else { break };
        let next = decorrelated(&next);
        let turned = (0..d).map(|i| (1.0 - next.row(i).dot(&w.row(i)).abs()).abs()).fold(0.0, f64::max);
        w = next;
        if turned <= config.tolerance.get() {
            return (w, true);
        }
        if heard(turned) {
            break;
        }
    }
    (w, false)
}

pub fn deflation(
    z: &[f64],
    d: usize,
    config: &LinearIcaConfig,
    begin: &DMatrix<f64>,
    heard: Heard<'_>,
) -> (DMatrix<f64>, bool) {
    let mut w = DMatrix::<f64>::zeros(d, d);
    let mut all = true;
    for i in 0..d {
        let clear = |row: DMatrix<f64>, w: &DMatrix<f64>| {
            let mut row = row;
            for j in 0..i {
                let along = row.row(0).dot(&w.row(j));
                row -= along * DMatrix::from_row_slice(1, d, w.row(j).transpose().as_slice());
            }
            let norm = row.norm();
            row / norm.max(1e-300)
        };
        let mut row = clear(begin.rows(i, 1).into_owned(), &w);
        let mut converged = false;
        for _ in 0..config.iterations.get() {
            let Ok(next) = fixed_point(z, &row, config.contrast) else { break };
            let next = clear(next, &w);
            let turned = (1.0 - next.row(0).dot(&row.row(0)).abs()).abs();
            row = next;
            converged = turned <= config.tolerance.get();
            if converged || heard(turned) {
                break;
            }
        }
        all &= converged;
        w.set_row(i, &row.row(0));
    }
    // Sources that there was no time for begin somewhere, but not on others.
    (decorrelated(&w), all)
}

pub fn log_abs_det(w: &DMatrix<f64>) -> f64 {
    let lu = w.clone().lu();
    lu.u().diagonal().iter().map(|v| libm::log(v.abs())).sum()
}

/// The laws of the sources of rows, and their mean log-likelihood.
///
/// # Errors
/// [`Error::Stopped`].
pub fn laws(z: &[f64], w: &DMatrix<f64>) -> Result<(Vec<Source>, f64)> {
    let (d, n, stop) = (w.ncols(), z.len() / w.ncols(), Stop::current());
    let fitted = (0..d).into_par_iter().map(|i| {
        stop.check()?;
        let s: Vec<f64> = z.chunks_exact(d).map(|z| dot(w.row(i).iter().copied(), z)).collect();
        let law = Source::fit(&s);
        Ok((law, s.iter().map(|s| law.log_prob(*s)).sum::<f64>() / n as f64))
    });
    let fitted = fitted.collect::<Result<Vec<(Source, f64)>>>()?;
    let total = fitted.iter().map(|(_, l)| l).sum::<f64>() + log_abs_det(w);
    Ok((fitted.into_iter().map(|(law, _)| law).collect(), total))
}

/// Rows that the laws of sources are fitted to where there is no time for more.
pub const FEW: usize = 1000;

/// Climbs the likelihood by the natural gradient from `w`; a step that does not rise is halved.
pub fn likelihood(
    z: &[f64],
    mut w: DMatrix<f64>,
    config: &LinearIcaConfig,
    heard: Heard<'_>,
) -> (DMatrix<f64>, bool) {
    let (d, n) = (w.ncols(), (z.len() / w.ncols()) as f64);
    let Ok((mut sources, mut best)) = laws(z, &w) else { return (w, false) };
    let mut rate = 0.1;
    for _ in 0..config.iterations.get() {
        let found = sums(z, d, d * d, |z, sum| {
            let y: Vec<f64> = (0..d).map(|i| dot(w.row(i).iter().copied(), z)).collect();
            for i in 0..d {
                let Source { scale, shape } = sources[i];
                // Near 0 the slope of a law with β < 1 has no bound.
                let at = (y[i].abs() / scale).max(1e-6);
                let phi = (shape / scale * libm::pow(at, shape - 1.0)).copysign(y[i]);
                sum[i * d..(i + 1) * d].iter_mut().zip(&y).for_each(|(s, y)| *s += phi * y);
            }
        });
        let Ok(found) = found else { break };
        let gradient = DMatrix::from_fn(d, d, |i, j| f64::from(u8::from(i == j)) - found[i * d + j] / n);
        let mut rose = false;
        while rate > 1e-8 {
            let next = &w + rate * &gradient * &w;
            let Ok((laws, total)) = laws(z, &next) else { return (w, false) };
            if total > best {
                let gain = total - best;
                (w, sources, best, rose) = (next, laws, total, true);
                rate *= 1.5;
                if gain <= config.tolerance.get() {
                    return (w, true);
                }
                break;
            }
            rate *= 0.5;
        }
        if !rose {
            return (w, true);
        }
        if heard(-best) {
            break;
        }
    }
    (w, false)
}

/// Rows as their differences from the mean and, by the matrix that is given too, white. Names the columns that depend on others.
pub fn whitened(x: &Batch, schema: &Schema) -> Result<(Vec<f64>, Vec<f64>, DMatrix<f64>)> {
    let d = x.width();
    let (mean, covariance) = covariance(x)?;
    let (values, vectors) = all(covariance)?;
    let centred: Vec<f64> =
        x.iter().flat_map(|row| row.iter().zip(&mean).map(|(v, m)| f64::from(*v) - m)).collect();
    if let Some(i) = (0..d).rev().find(|i| values[*i] <= rounding(x) * values[0]) {
        let column = vectors.column(i);
        let mut part: Vec<usize> = (0..d).filter(|c| column[*c].abs() > 0.1).collect();
        part.truncate(8);
        let names: Vec<String> = part.iter().map(|c| schema.column(*c).name).collect();
        return Err(Error::Domain(format!(
            "columns {} depend on each other exactly, or do not vary; leave one out",
            names.join(", ")
        )));
    }
    let whitening = DMatrix::from_fn(d, d, |i, j| vectors[(j, i)] / values[i].sqrt());
    let white: Vec<f64> = centred
        .par_chunks(d)
        .flat_map_iter(|row| (0..d).map(|i| dot(whitening.row(i).iter().copied(), row)).collect::<Vec<f64>>())
        .collect();
    Ok((white, mean, whitening))
}
