//! What codes are worth: a softmax regression from them to the classes, trained on few labels or many (Alain & Bengio 2016).
//!
//! p(k | z) = softmax(z W + b) over columns each in units of its own deviation, or all in the same unit. Minimised is
//! Σ −log p(k | z) + ½ λ ‖W‖², which has one minimum, by L-BFGS (Liu & Nocedal 1989). λ and the units are the best of a few by
//! cross-validation, so that raw rows and codes of any width are compared each at their best.

use crate::units::Units;
use crate::{Batch, Error, Result, Seed, Stop};
use genus_kernels::{Limits, Mat, gemm};
use serde::Serialize;
use std::collections::VecDeque;

/// Penalties that are tried.
const PENALTIES: [f64; 7] = [1e-2, 1e-1, 1.0, 1e1, 1e2, 1e3, 1e4];
/// Parts of a cross-validation.
const FOLDS: usize = 5;
/// Most rows that a penalty is chosen by.
const CHOSEN_BY: usize = 2000;
/// Most steps, steps that are remembered, and the fall of the objective per row that is worth another.
const STEPS: usize = 200;
const MEMORY: usize = 10;
const TOLERANCE: f64 = 1e-7;
/// Rows of a block.
const BLOCK: usize = 4096;

/// Rows, and the class of each.
#[derive(Debug, Clone, Copy)]
pub struct Labelled<'a> {
    /// Codes, or the rows themselves.
    pub x: &'a Batch,
    /// Below the number of classes.
    pub labels: &'a [u32],
}

/// What a probe found.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Probe {
    /// Share of the test rows whose class it finds.
    pub accuracy: f64,
    /// Interval of 95 % over the test rows (Wilson 1927).
    pub interval: [f64; 2],
    /// λ that was chosen.
    pub penalty: f64,
    /// Whether each column is in units of its own deviation.
    pub standardized: bool,
    /// Columns that it sees.
    pub width: usize,
    /// Labelled rows that it learned from.
    pub labels: usize,
    /// Rows that it was tested on.
    pub tested: usize,
}

/// Softmax regression.
struct Softmax {
    /// `[width + 1, classes]`, the bias last.
    w: Vec<f64>,
    classes: usize,
}

impl Softmax {
    /// Logits of some rows, `[rows, classes]`.
    fn logits(&self, x: &Batch) -> Vec<f32> {
        let (k, d) = (self.classes, x.width());
        let w: Vec<f32> = self.w.iter().map(|v| *v as f32).collect();
        let mut out = vec![0f32; x.rows() * k];
        out.chunks_exact_mut(k).for_each(|row| row.copy_from_slice(&w[d * k..]));
        let rows = Mat::rows(x.data(), d);
        gemm(x.rows(), k, d, rows, Mat::rows(&w[..d * k], k), &mut out, true, Limits::Dense);
        out
    }

    /// The objective and its gradient.
    fn objective(&self, of: Labelled<'_>, penalty: f64) -> Result<(f64, Vec<f64>)> {
        let (k, d, stop) = (self.classes, of.x.width(), Stop::current());
        let (mut loss, mut gradient) = (0.0, vec![0f64; self.w.len()]);
        for start in (0..of.x.rows()).step_by(BLOCK) {
            stop.check()?;
            let some = of.x.slice(start, start + BLOCK);
            let mut off = self.logits(&some);
            for (row, label) in off.chunks_exact_mut(k).zip(&of.labels[start..]) {
                let most = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                let own = row[*label as usize] - most;
                row.iter_mut().for_each(|v| *v = (*v - most).exp());
                let total: f32 = row.iter().sum();
                loss += f64::from(total.ln() - own);
                row.iter_mut().for_each(|v| *v /= total);
                row[*label as usize] -= 1.0;
                gradient[d * k..].iter_mut().zip(row).for_each(|(g, v)| *g += f64::from(*v));
            }
            let mut part = vec![0f32; d * k];
            let rows = Mat::rows(some.data(), d).t();
            gemm(d, k, some.rows(), rows, Mat::rows(&off, k), &mut part, false, Limits::Dense);
            gradient.iter_mut().zip(part).for_each(|(g, p)| *g += f64::from(p));
        }
        for (g, w) in gradient[..d * k].iter_mut().zip(&self.w) {
            *g += penalty * w;
            loss += 0.5 * penalty * w * w;
        }
        Ok((loss, gradient))
    }

    /// The minimum, from these weights.
    fn minimise(mut self, of: Labelled<'_>, penalty: f64) -> Result<Self> {
        let (mut loss, mut gradient) = self.objective(of, penalty)?;
        let mut past: VecDeque<(Vec<f64>, Vec<f64>, f64)> = VecDeque::new();
        for _ in 0..STEPS {
            let way = direction(&gradient, &past);
            let slope = dot(&gradient, &way);
            if slope >= 0.0 {
                break;
            }
            // Backtracking until the objective falls by a part of what its slope promises.
            let mut size =
                if past.is_empty() { 1.0 / dot(&gradient, &gradient).sqrt().max(1.0) } else { 1.0 };
            let next = loop {
                let w = self.w.iter().zip(&way).map(|(w, s)| w + size * s).collect();
                let there = Self { w, classes: self.classes };
                let (at, gradient) = there.objective(of, penalty)?;
                if at <= loss + 1e-4 * size * slope {
                    break Some((there, at, gradient));
                }
                size *= 0.5;
                if size < 1e-10 {
                    break None;
                }
            };
            let Some((there, at, new)) = next else { break };
            let s: Vec<f64> = there.w.iter().zip(&self.w).map(|(a, b)| a - b).collect();
            let y: Vec<f64> = new.iter().zip(&gradient).map(|(a, b)| a - b).collect();
            let curvature = dot(&s, &y);
            if curvature > 1e-12 {
                past.push_back((s, y, 1.0 / curvature));
                if past.len() > MEMORY {
                    past.pop_front();
                }
            }
            let fell = loss - at;
            (self, loss, gradient) = (there, at, new);
            if fell < TOLERANCE * of.x.rows() as f64 {
                break;
            }
        }
        Ok(self)
    }

    /// All classes alike.
    fn nothing(width: usize, classes: usize) -> Self {
        Self { w: vec![0.0; (width + 1) * classes], classes }
    }

    fn fit(of: Labelled<'_>, classes: usize, penalty: f64) -> Result<Self> {
        Self::nothing(of.x.width(), classes).minimise(of, penalty)
    }

    fn right(&self, of: Labelled<'_>) -> usize {
        let best = |row: &[f32]| (0..row.len()).fold(0, |b, c| if row[c] > row[b] { c } else { b });
        let mut right = 0;
        for start in (0..of.x.rows()).step_by(BLOCK) {
            let logits = self.logits(&of.x.slice(start, start + BLOCK));
            let each = logits.chunks_exact(self.classes).zip(&of.labels[start..]);
            right += each.filter(|(row, label)| best(row) == **label as usize).count();
        }
        right
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// −H g with the inverse Hessian that the past steps tell of.
fn direction(gradient: &[f64], past: &VecDeque<(Vec<f64>, Vec<f64>, f64)>) -> Vec<f64> {
    let mut q: Vec<f64> = gradient.iter().map(|g| -g).collect();
    let mut along = Vec::with_capacity(past.len());
    for (s, y, rho) in past.iter().rev() {
        let a = rho * dot(s, &q);
        q.iter_mut().zip(y).for_each(|(q, y)| *q -= a * y);
        along.push(a);
    }
    if let Some((_, y, rho)) = past.back() {
        let scale = 1.0 / (rho * dot(y, y));
        q.iter_mut().for_each(|q| *q *= scale);
    }
    for ((s, y, rho), a) in past.iter().zip(along.into_iter().rev()) {
        let b = rho * dot(y, &q);
        q.iter_mut().zip(s).for_each(|(q, s)| *q += (a - b) * s);
    }
    q
}

/// Trains on some rows and tests on others.
///
/// # Errors
/// [`Error::Domain`] without rows or with fewer than two classes among the training labels, [`Error::Stopped`].
pub fn probe(train: Labelled<'_>, test: Labelled<'_>, classes: usize, seed: Seed) -> Result<Probe> {
    let (n, tested) = (train.x.rows(), test.x.rows());
    let several = train.labels.iter().any(|l| *l != train.labels[0]);
    if n == 0 || tested == 0 || !several {
        return Err(Error::Domain(format!(
            "a probe needs labelled rows of two classes to learn from and others to be tested on: there are {n} and {tested}, of one class or none"
        )));
    }
    let [own, common] = [Units::around(train.x, true), Units::common(train.x)];
    let chosen = |units: &Units| {
        let x = units.inside(train.x);
        choose(Labelled { x: &x, labels: train.labels }, classes, seed)
    };
    let (by_own, by_common) = (chosen(&own)?, chosen(&common)?);
    let standardized = by_own.0 >= by_common.0;
    let (units, penalty) = if standardized { (own, by_own.1) } else { (common, by_common.1) };
    let (x, y) = (units.inside(train.x), units.inside(test.x));
    let fitted = Softmax::fit(Labelled { x: &x, labels: train.labels }, classes, penalty)?;
    let accuracy = fitted.right(Labelled { x: &y, labels: test.labels }) as f64 / tested as f64;
    let interval = crate::sample_metrics::interval(accuracy, tested);
    Ok(Probe { accuracy, interval, penalty, standardized, width: x.width(), labels: n, tested })
}

/// How many left-out rows are told right by the best penalty, and that one; the largest of those that are equally good.
fn choose(of: Labelled<'_>, classes: usize, seed: Seed) -> Result<(usize, f64)> {
    let mut order = seed.child("folds").rng().permutation(of.x.rows());
    order.truncate(CHOSEN_BY);
    let folds = FOLDS.min(order.len());
    let mut right = [0; PENALTIES.len()];
    for fold in 0..folds {
        let part = |own: bool| -> (Batch, Vec<u32>) {
            let rows = order.iter().enumerate().filter(|(i, _)| (i % folds == fold) == own);
            let rows: Vec<usize> = rows.map(|(_, r)| *r).collect();
            (of.x.select(&rows), rows.iter().map(|r| of.labels[*r]).collect())
        };
        let ((left, left_labels), (x, labels)) = (part(true), part(false));
        let mut fitted = Softmax::nothing(of.x.width(), classes);
        // From the largest on each begins where the one before ended.
        for (i, penalty) in PENALTIES.iter().enumerate().rev() {
            // For as many rows as the fit itself has, a sum weighs more beside the same penalty.
            let scaled = penalty * order.len() as f64 / of.x.rows() as f64;
            fitted = fitted.minimise(Labelled { x: &x, labels: &labels }, scaled)?;
            right[i] += fitted.right(Labelled { x: &left, labels: &left_labels });
        }
    }
    let best = |best: (usize, f64), (n, penalty): (usize, f64)| if n >= best.0 { (n, penalty) } else { best };
    Ok(right.into_iter().zip(PENALTIES).fold((0, PENALTIES[0]), best))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clouds(n: usize, seed: u64) -> (Batch, Vec<u32>) {
        let mut rng = Seed::from(seed).rng();
        let labels: Vec<u32> = (0..n).map(|_| rng.below(3) as u32).collect();
        let x = Batch::from_fn(n, 5, |r, c| {
            let centre = if c == labels[r] as usize { 2.0 } else { 0.0 };
            (100.0 + 7.0 * (centre + rng.normal())) as f32
        });
        (x, labels)
    }

    /// At the minimum the gradient vanishes, and it is that of difference quotients elsewhere.
    #[test]
    fn the_minimum_is_found() {
        let (x, labels) = clouds(200, 1);
        let x = Units::around(&x, true).inside(&x);
        let of = Labelled { x: &x, labels: &labels };
        let mut rng = Seed::from(2).rng();
        let somewhere = Softmax { w: (0..18).map(|_| 0.3 * rng.normal()).collect(), classes: 3 };
        let (_, gradient) = somewhere.objective(of, 2.0).unwrap();
        for i in 0..18 {
            let at = |e: f64| {
                let mut w = somewhere.w.clone();
                w[i] += e;
                Softmax { w, classes: 3 }.objective(of, 2.0).unwrap().0
            };
            let quotient = (at(1e-2) - at(-1e-2)) / 2e-2;
            assert!(
                (gradient[i] - quotient).abs() < 2e-2 * (1.0 + quotient.abs()),
                "{i}: {} {quotient}",
                gradient[i]
            );
        }
        let found = Softmax::fit(of, 3, 2.0).unwrap();
        let (_, gradient) = found.objective(of, 2.0).unwrap();
        assert!(gradient.iter().all(|g| g.abs() < 0.05), "{gradient:?}");
    }

    /// Three normals at the corners of a triangle: the best that anyone can do is 0.8662, by four million draws.
    #[test]
    fn clouds_are_told_apart() {
        let ((x, labels), (y, others)) = (clouds(2000, 3), clouds(20_000, 4));
        let found =
            probe(Labelled { x: &x, labels: &labels }, Labelled { x: &y, labels: &others }, 3, Seed::from(1))
                .unwrap();
        assert!(found.accuracy > 0.856 && found.accuracy < 0.872, "{found:?}");
        assert!(found.interval[0] < found.accuracy && found.accuracy < found.interval[1]);
        let one = vec![1; 2000];
        assert!(
            probe(Labelled { x: &x, labels: &one }, Labelled { x: &y, labels: &others }, 3, Seed::from(1))
                .is_err()
        );
    }
}
