//! What codes are worth for a number: a ridge regression from them (Hoerl & Kennard 1970).
//!
//! Minimised is Σ (y − z·w − b)² + λ n ‖w‖² over columns each in units of its own deviation, or all in the same unit. λ and the units are the best
//! of a few by cross-validation, so that raw rows and codes of any width are compared each at their best.

use crate::spectrum::all;
use crate::units::Units;
use crate::{Batch, Error, Result, Seed, Stop};
use nalgebra::{DMatrix, DVector};
use serde::Serialize;

/// Penalties that are tried, as shares of a column's variance.
const PENALTIES: [f64; 9] = [1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 1e1, 1e2];
/// Parts of a cross-validation.
const FOLDS: usize = 5;
/// Resamples of the test rows for an interval.
const RESAMPLES: usize = 2000;

/// Rows, and a number for each.
#[derive(Debug, Clone, Copy)]
pub struct Measured<'a> {
    /// Codes, or the rows themselves.
    pub x: &'a Batch,
    /// What is to be found.
    pub y: &'a [f64],
}

/// What a ridge regression found.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Ridge {
    /// Share of the variance of the numbers of test rows that it explains; below 0 it is worse than their mean.
    pub r2: f64,
    /// Interval of 95 % over test rows, by resampling (percentiles; Efron 1979).
    pub interval: [f64; 2],
    /// λ that was chosen.
    pub penalty: f64,
    /// Whether each column is in units of its own deviation.
    pub standardized: bool,
    /// Columns that it sees.
    pub width: usize,
    /// Rows that it learned from.
    pub rows: usize,
    /// Rows that it was tested on.
    pub tested: usize,
}

/// Sums from which the regression follows for every penalty.
struct Solved {
    mean: f64,
    /// Means of the columns.
    centre: DVector<f64>,
    values: Vec<f64>,
    vectors: DMatrix<f64>,
    /// Vᵀ Xᵀ y.
    along: DVector<f64>,
    rows: f64,
}

impl Solved {
    fn of(x: &Batch, y: &[f64], rows: &[usize]) -> Result<Self> {
        let (d, n) = (x.width(), rows.len() as f64);
        let wide = |r: usize| DVector::from_iterator(d, x.row(r).iter().map(|v| f64::from(*v)));
        let mean = rows.iter().map(|r| y[*r]).sum::<f64>() / n;
        let centre = rows.iter().fold(DVector::zeros(d), |sum, r| sum + wide(*r)) / n;
        let stop = Stop::current();
        let (mut square, mut cross) = (DMatrix::zeros(d, d), DVector::zeros(d));
        for r in rows {
            stop.check()?;
            let off = wide(*r) - &centre;
            square.ger(1.0, &off, &off, 1.0);
            cross.axpy(y[*r] - mean, &off, 1.0);
        }
        let (values, vectors) = all(square)?;
        let along = vectors.tr_mul(&cross);
        Ok(Self { mean, centre, values, vectors, along, rows: n })
    }

    fn weights(&self, penalty: f64) -> DVector<f64> {
        let least = 1e-12 * self.values.first().copied().unwrap_or(0.0).abs();
        let shrunk = self.values.iter().zip(self.along.iter()).map(|(v, a)| {
            let under = v + penalty * self.rows;
            if under > least { a / under } else { 0.0 }
        });
        &self.vectors * DVector::from_iterator(self.values.len(), shrunk)
    }

    fn told(&self, weights: &DVector<f64>, row: &[f32]) -> f64 {
        let each = row.iter().zip(self.centre.iter()).zip(weights.iter());
        self.mean + each.map(|((v, c), w)| (f64::from(*v) - c) * w).sum::<f64>()
    }
}

/// Learns from some rows and is tested on others.
///
/// # Errors
/// [`Error::Domain`] with fewer than ten rows, or test rows that are all the same number, [`Error::Stopped`].
pub fn ridge(train: Measured<'_>, test: Measured<'_>, seed: Seed) -> Result<Ridge> {
    let (n, tested) = (train.x.rows(), test.x.rows());
    let vary = test.y.iter().any(|v| *v != test.y[0]);
    if n < 10 || tested < 2 || !vary {
        let message = format!(
            "a regression needs ten rows to learn from, and others with different numbers to be tested on: there are {n} and {tested}"
        );
        return Err(Error::Domain(message));
    }
    let units = [Units::around(train.x, true), Units::common(train.x)];
    let mut best: Option<(f64, usize, f64)> = None;
    for (which, units) in units.iter().enumerate() {
        let (loss, penalty) = choose(&units.inside(train.x), train.y, seed)?;
        if best.is_none_or(|b| loss < b.0) {
            best = Some((loss, which, penalty));
        }
    }
    let Some((_, which, penalty)) = best else { unreachable!("there are two kinds of units") };
    let (x, tests) = (units[which].inside(train.x), units[which].inside(test.x));
    let solved = Solved::of(&x, train.y, &(0..n).collect::<Vec<_>>())?;
    let weights = solved.weights(penalty);
    let told: Vec<f64> = tests.iter().map(|row| solved.told(&weights, row)).collect();
    let explained = |rows: &[usize]| {
        let mean = rows.iter().map(|r| test.y[*r]).sum::<f64>() / rows.len() as f64;
        let sum = |of: &dyn Fn(usize) -> f64| rows.iter().map(|r| of(*r).powi(2)).sum::<f64>();
        1.0 - sum(&|r| test.y[r] - told[r]) / sum(&|r| test.y[r] - mean)
    };
    let mut rng = seed.child("resamples").rng();
    let mut resampled = Vec::with_capacity(RESAMPLES);
    for _ in 0..RESAMPLES {
        Stop::current().check()?;
        resampled.push(explained(&(0..tested).map(|_| rng.below(tested)).collect::<Vec<_>>()));
    }
    // Few rows that happen to be one row over and over have no variance to explain.
    resampled.retain(|v| v.is_finite());
    resampled.sort_by(f64::total_cmp);
    let at = |share: f64| resampled[((resampled.len() - 1) as f64 * share) as usize];
    Ok(Ridge {
        r2: explained(&(0..tested).collect::<Vec<_>>()),
        interval: [at(0.025), at(0.975)],
        penalty,
        standardized: which == 0,
        width: x.width(),
        rows: n,
        tested,
    })
}

/// The squares that are left over on rows that were left out, by the best penalty, and that one; the largest of those that are equally good.
fn choose(x: &Batch, y: &[f64], seed: Seed) -> Result<(f64, f64)> {
    let order = seed.child("folds").rng().permutation(x.rows());
    let mut losses = [0.0; PENALTIES.len()];
    for fold in 0..FOLDS {
        let part = |own: bool| -> Vec<usize> {
            order.iter().enumerate().filter(|(i, _)| (i % FOLDS == fold) == own).map(|(_, r)| *r).collect()
        };
        let solved = Solved::of(x, y, &part(false))?;
        for (loss, penalty) in losses.iter_mut().zip(PENALTIES) {
            let weights = solved.weights(penalty);
            *loss +=
                part(true).iter().map(|r| (y[*r] - solved.told(&weights, x.row(*r))).powi(2)).sum::<f64>();
        }
    }
    let best =
        |best: (f64, f64), (loss, penalty): (f64, f64)| if loss <= best.0 { (loss, penalty) } else { best };
    Ok(losses.into_iter().zip(PENALTIES).fold((f64::INFINITY, PENALTIES[0]), best))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers that are three columns in part, and noise for the rest: the share that can be explained is 0.8.
    #[test]
    fn what_can_be_explained_is() {
        let mut rng = Seed::from(1).rng();
        let mut of = |n: usize| {
            let x = Batch::from_fn(n, 6, |_, c| ((10.0 * c as f64) + (c + 1) as f64 * rng.normal()) as f32);
            let noise = (14.0f64 / 4.0).sqrt();
            let y: Vec<f64> = x
                .iter()
                .map(|r| f64::from(r[0]) + f64::from(r[1]) - f64::from(r[2]) + noise * rng.normal())
                .collect();
            (x, y)
        };
        let ((x, y), (tests, truths)) = (of(3000), of(20_000));
        let found =
            ridge(Measured { x: &x, y: &y }, Measured { x: &tests, y: &truths }, Seed::from(2)).unwrap();
        assert!((found.r2 - 0.8).abs() < 0.01, "{found:?}");
        assert!(found.interval[0] < found.r2 && found.r2 < found.interval[1]);
        // By the normal equations, without a penalty worth the name.
        let solved = Solved::of(&x, &y, &(0..3000).collect::<Vec<_>>()).unwrap();
        for (c, want) in [1.0, 1.0, -1.0, 0.0, 0.0, 0.0].into_iter().enumerate() {
            let got = solved.weights(0.0)[c];
            assert!((got - want).abs() < 5.0 * 1.9 / (55.0 * (c + 1) as f64), "{c}: {got}");
        }
        let same = vec![1.0; 20_000];
        assert!(ridge(Measured { x: &x, y: &y }, Measured { x: &tests, y: &same }, Seed::from(2)).is_err());
    }
}
