//! Expectation–maximisation of a mixture of Bernoulli laws.

use super::ascent::Ascent;
use crate::holes;
use genus_core::math::log_sum_exp;
use genus_core::{Batch, Result, Rng, Stop};
use genus_kernels::{Limits, Mat, gemm};
use rayon::prelude::*;

/// Rows of a block.
pub(super) const BLOCK: usize = 2048;

/// Components, ready to be evaluated.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Parts {
    pub log_weights: Vec<f64>,
    /// `[components, columns]`, within (0, 1).
    pub means: Vec<f64>,
    /// log μ − log (1 − μ), for products.
    logits: Vec<f32>,
    /// log (1 − μ), likewise.
    absent: Vec<f32>,
    /// log π + Σ_d log (1 − μ): of a row without a bit.
    none: Vec<f64>,
}

impl Parts {
    pub fn new(log_weights: Vec<f64>, means: Vec<f64>) -> Self {
        let d = means.len() / log_weights.len().max(1);
        let logits = means.iter().map(|m| (libm::log(*m) - libm::log1p(-m)) as f32).collect::<Vec<f32>>();
        let none = means.chunks_exact(d.max(1)).zip(&log_weights);
        let none = none.map(|(m, w)| w + m.iter().map(|m| libm::log1p(-m)).sum::<f64>()).collect();
        let absent = means.iter().map(|m| libm::log1p(-m) as f32).collect();
        Self { log_weights, means, logits, absent, none }
    }

    /// Number of components.
    pub fn len(&self) -> usize {
        self.log_weights.len()
    }

    /// Number of columns.
    pub fn width(&self) -> usize {
        self.means.len() / self.len().max(1)
    }

    /// log p(what is there, k) of some rows, `[rows, components]`.
    pub fn joint(&self, x: &Batch) -> Vec<f64> {
        let (k, d) = (self.len(), self.width());
        let product = |rows: &Batch, of: &[f32]| {
            let (mut products, n) = (vec![0f32; rows.rows() * k], rows.rows());
            let (rows, of) = (Mat::rows(rows.data(), d), Mat::rows(of, d).t());
            gemm(n, k, d, rows, of, &mut products, false, Limits::Dense);
            products
        };
        let (bits, missing) = apart(x);
        let products = product(&bits, &self.logits);
        let mut all = vec![0f64; products.len()];
        all.par_chunks_exact_mut(k).zip(products.par_chunks_exact(k)).for_each(|(row, product)| {
            row.iter_mut().zip(product).zip(&self.none).for_each(|((v, p), none)| *v = f64::from(*p) + none);
        });
        if let Some(missing) = missing {
            // What is missing was counted as bits that are not there.
            let counted = product(&missing, &self.absent);
            all.iter_mut().zip(counted).for_each(|(v, c)| *v -= f64::from(c));
        }
        all
    }

    /// log p(x) of each row, nats.
    pub fn log_prob(&self, x: &Batch) -> Result<Vec<f64>> {
        let (k, stop) = (self.len(), Stop::current());
        let mut nats = Vec::with_capacity(x.rows());
        for start in (0..x.rows()).step_by(BLOCK) {
            stop.check()?;
            let joint = self.joint(&x.slice(start, start + BLOCK));
            // Rounding makes no row more probable than 1.
            let each = joint.par_chunks_exact(k).map(|row| log_sum_exp(row.iter().copied()).min(0.0));
            nats.par_extend(each);
        }
        Ok(nats)
    }

    /// The mean log-likelihood of rows, and what the next components are.
    fn step(&self, x: &Batch, prior: f64) -> Result<(f64, Self)> {
        let (k, d, stop) = (self.len(), self.width(), Stop::current());
        let (mut total, mut weights, mut sums) = (0.0, vec![0f64; k], vec![0f64; k * d]);
        // Shares of the rows that lack a column.
        let mut lacking: Option<Vec<f64>> = None;
        for start in (0..x.rows()).step_by(BLOCK) {
            stop.check()?;
            let some = x.slice(start, start + BLOCK);
            let mut joint = self.joint(&some);
            let each: Vec<f64> = joint
                .par_chunks_exact_mut(k)
                .map(|row| {
                    let all = log_sum_exp(row.iter().copied());
                    row.iter_mut().for_each(|v| *v = libm::exp(*v - all));
                    all
                })
                .collect();
            total += each.iter().sum::<f64>();
            for row in joint.chunks_exact(k) {
                weights.iter_mut().zip(row).for_each(|(w, r)| *w += r);
            }
            let shares: Vec<f32> = joint.iter().map(|v| *v as f32).collect();
            let mut part = vec![0f32; k * d];
            let mut add = |rows: &Batch, sums: &mut [f64]| {
                let (n, shares, rows) = (rows.rows(), Mat::rows(&shares, k).t(), Mat::rows(rows.data(), d));
                gemm(k, d, n, shares, rows, &mut part, false, Limits::Dense);
                sums.par_iter_mut().zip(&part).for_each(|(s, p)| *s += f64::from(*p));
            };
            let (bits, missing) = apart(&some);
            add(&bits, &mut sums);
            if let Some(missing) = missing {
                add(&missing, lacking.get_or_insert_with(|| vec![0.0; k * d]));
            }
        }
        let n = x.rows() as f64;
        for (c, (sum, w)) in sums.chunks_exact_mut(d).zip(&weights).enumerate() {
            let lacks = lacking.as_ref().map(|l| &l[c * d..(c + 1) * d]);
            for (i, s) in sum.iter_mut().enumerate() {
                // Rounding may leave a share too much.
                let rows = (w - lacks.map_or(0.0, |l| l[i])).max(*s);
                *s = (*s + prior) / (rows + 2.0 * prior);
            }
        }
        // A component that lost all its rows keeps a vanishing weight.
        let log_weights = weights.iter().map(|w| libm::log(w.max(1e-290) / n)).collect();
        Ok((total / n, Self::new(log_weights, sums)))
    }

    /// log of the prior of the means up to a constant.
    fn log_prior(&self, prior: f64) -> f64 {
        prior * self.means.iter().map(|m| libm::log(*m) + libm::log1p(-m)).sum::<f64>()
    }
}

/// Bits, with none where cells are missing, and ones where they are, if some are.
fn apart(x: &Batch) -> (Batch, Option<Batch>) {
    if !holes::any(x) {
        return (x.clone(), None);
    }
    let d = x.width();
    let bits = Batch::from_fn(x.rows(), d, |r, c| Some(x.row(r)[c]).filter(|v| !v.is_nan()).unwrap_or(0.0));
    (bits, Some(Batch::from_fn(x.rows(), d, |r, c| f32::from(u8::from(x.row(r)[c].is_nan())))))
}

/// The fit to some rows.
pub(super) struct Bits<'a> {
    pub x: &'a Batch,
    pub valid: Option<&'a Batch>,
    pub components: usize,
    pub prior: f64,
}

impl Ascent for Bits<'_> {
    type Parts = Parts;

    fn begin(&self, rng: &mut Rng) -> Result<Parts> {
        begin(self.x, self.components, self.prior, rng)
    }

    fn step(&self, parts: &Parts) -> Result<(f64, Parts)> {
        parts.step(self.x, self.prior)
    }

    fn held(&self, parts: &Parts) -> Result<Option<f64>> {
        let mean = |v: &Batch| Ok(parts.log_prob(v)?.iter().sum::<f64>() / v.rows() as f64);
        self.valid.map(mean).transpose()
    }

    fn log_prior(&self, parts: &Parts) -> f64 {
        parts.log_prior(self.prior) / self.x.rows() as f64
    }
}

/// Components of the clusters of k-means.
fn begin(x: &Batch, k: usize, prior: f64, rng: &mut Rng) -> Result<Parts> {
    let (x, assigned) = holes::clustered(x, k, 10, rng)?;
    let (d, n) = (x.width(), x.rows());
    let (mut sums, mut counts) = (vec![0f64; k * d], vec![0f64; k]);
    for (row, a) in x.iter().zip(&assigned) {
        let c = *a as usize;
        counts[c] += 1.0;
        sums[c * d..(c + 1) * d].iter_mut().zip(row).for_each(|(s, v)| *s += f64::from(*v));
    }
    // Less sure than the clusters are, so that rows may still change.
    let soft = 1.0 + prior;
    for (sum, w) in sums.chunks_exact_mut(d).zip(&counts) {
        sum.iter_mut().for_each(|s| *s = (*s + soft) / (w + 2.0 * soft));
    }
    let weight = |c: &f64| libm::log((c + 1.0) / (n + k) as f64);
    Ok(Parts::new(counts.iter().map(weight).collect(), sums))
}

#[cfg(test)]
mod tests {
    use super::*;
    use genus_core::Seed;

    /// Where cells are missing, every step raises the likelihood of what is there with the prior, to where it has no slope along any mean.
    #[test]
    fn missing_cells_have_their_maximum() {
        let mut rng = Seed::from(2).rng();
        let kinds = [[0.9, 0.8, 0.2, 0.7, 0.1], [0.2, 0.1, 0.9, 0.4, 0.6]];
        let mut x = Batch::zeros(300, 5);
        for r in 0..300 {
            let kind = kinds[usize::from(rng.uniform_f64() < 0.4)];
            for (v, p) in x.row_mut(r).iter_mut().zip(kind) {
                let bit = f32::from(u8::from(rng.uniform_f64() < p));
                *v = if rng.uniform_f64() < 0.25 { f32::NAN } else { bit };
            }
        }
        let prior = 0.1;
        let value = |p: &Parts| p.log_prob(&x).unwrap().iter().sum::<f64>() + p.log_prior(prior);
        let means = (0..10).map(|_| 0.3 + 0.4 * rng.uniform_f64()).collect();
        let mut parts = Parts::new(vec![0.5f64.ln(); 2], means);
        let mut last = f64::NEG_INFINITY;
        for _ in 0..500 {
            let now = value(&parts);
            assert!(now > last - 1e-3, "{last} {now}");
            last = now;
            parts = parts.step(&x, prior).unwrap().1;
        }
        for i in 0..10 {
            let at = |by: f64| {
                let mut means = parts.means.clone();
                means[i] += by;
                value(&Parts::new(parts.log_weights.clone(), means))
            };
            let slope = (at(2e-3) - at(-2e-3)) / 4e-3;
            assert!(slope.abs() < 0.5, "mean {i}: {slope}");
        }
    }
}
