//! Expectation–maximisation of a mixture of Bernoulli laws.

use super::bernoulli_mixture::BernoulliMixtureConfig;
use crate::units::Units;
use crate::unsupervised::clustering::lloyd::cluster;
use genus_core::math::log_sum_exp;
use genus_core::{Batch, Error, Result, Rng, Stop};
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
    /// log π + Σ_d log (1 − μ): of a row without a bit.
    none: Vec<f64>,
}

impl Parts {
    pub fn new(log_weights: Vec<f64>, means: Vec<f64>) -> Self {
        let d = means.len() / log_weights.len().max(1);
        let logits = means.iter().map(|m| (libm::log(*m) - libm::log1p(-m)) as f32).collect::<Vec<f32>>();
        let none = means.chunks_exact(d.max(1)).zip(&log_weights);
        let none = none.map(|(m, w)| w + m.iter().map(|m| libm::log1p(-m)).sum::<f64>()).collect();
        Self { log_weights, means, logits, none }
    }

    /// Number of components.
    pub fn len(&self) -> usize {
        self.log_weights.len()
    }

    /// Number of columns.
    pub fn width(&self) -> usize {
        self.means.len() / self.len().max(1)
    }

    /// log p(x, k) of some rows, `[rows, components]`.
    pub fn joint(&self, x: &Batch) -> Vec<f64> {
        let (n, k, d) = (x.rows(), self.len(), self.width());
        let mut products = vec![0f32; n * k];
        gemm(
            n,
            k,
            d,
            Mat::rows(x.data(), d),
            Mat::rows(&self.logits, d).t(),
            &mut products,
            false,
            Limits::Dense,
        );
        let mut all = vec![0f64; n * k];
        all.par_chunks_exact_mut(k).zip(products.par_chunks_exact(k)).for_each(|(row, product)| {
            row.iter_mut().zip(product).zip(&self.none).for_each(|((v, p), none)| *v = f64::from(*p) + none);
        });
        all
    }

    /// log p(x) of each row, nats.
    pub fn log_prob(&self, x: &Batch) -> Result<Vec<f64>> {
        let (k, stop) = (self.len(), Stop::current());
        let mut nats = Vec::with_capacity(x.rows());
        for start in (0..x.rows()).step_by(BLOCK) {
            stop.check()?;
            let joint = self.joint(&x.slice(start, start + BLOCK));
            nats.par_extend(joint.par_chunks_exact(k).map(|row| log_sum_exp(row.iter().copied())));
        }
        Ok(nats)
    }

    /// The mean log-likelihood of rows, and what the next components are.
    fn step(&self, x: &Batch, prior: f64) -> Result<(f64, Self)> {
        let (k, d, stop) = (self.len(), self.width(), Stop::current());
        let (mut total, mut weights, mut sums) = (0.0, vec![0f64; k], vec![0f64; k * d]);
        let mut part = vec![0f32; k * d];
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
            let rows = Mat::rows(some.data(), d);
            gemm(k, d, some.rows(), Mat::rows(&shares, k).t(), rows, &mut part, false, Limits::Dense);
            sums.par_iter_mut().zip(&part).for_each(|(s, p)| *s += f64::from(*p));
        }
        let n = x.rows() as f64;
        for (sum, w) in sums.chunks_exact_mut(d).zip(&weights) {
            sum.iter_mut().for_each(|s| *s = (*s + prior) / (w + 2.0 * prior));
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

/// A mean log-likelihood, and the components that have it.
pub(super) struct Best {
    pub score: f64,
    pub parts: Parts,
}

/// Components of the clusters of k-means.
pub(super) fn begin(x: &Batch, k: usize, prior: f64, rng: &mut Rng) -> Result<Parts> {
    let around = Units::around(x, false).inside(x);
    let assigned = cluster(&around, k, 10, rng)?.assigned;
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

/// EM from these components, and whether it converged. The answer is the best on validation rows, where there are such.
pub(super) fn climb(
    x: &Batch,
    valid: Option<&Batch>,
    config: &BernoulliMixtureConfig,
    begin: Parts,
    heard: &mut dyn FnMut(f64, Option<f64>) -> bool,
) -> Result<(Best, bool)> {
    let (prior, n) = (config.prior.get(), x.rows() as f64);
    let (mut parts, mut last) = (begin, f64::NEG_INFINITY);
    let mut best: Option<Best> = None;
    for _ in 0..config.iterations.get() {
        let stepped = parts.step(x, prior).and_then(|(mean, next)| {
            let held =
                valid.map(|v| Ok::<_, Error>(parts.log_prob(v)?.iter().sum::<f64>() / v.rows() as f64));
            Ok((mean, held.transpose()?, next))
        });
        let (mean, held, next) = match (stepped, best.take()) {
            (Err(Error::Stopped(_)), Some(best)) => return Ok((best, false)),
            (other, kept) => {
                best = kept;
                other?
            }
        };
        if !mean.is_finite() {
            let remedy = "raise `prior`".into();
            return Err(Error::Numerical { what: "the log-likelihood".into(), step: 0, remedy });
        }
        let score = held.unwrap_or(mean);
        let gained = best.as_ref().is_none_or(|b| score > b.score + config.tolerance.get());
        if best.as_ref().is_none_or(|b| score > b.score) {
            best = Some(Best { score, parts: parts.clone() });
        }
        let rose = mean + parts.log_prior(prior) / n;
        debug_assert!(rose >= last - 1e-4 * (1.0 + last.abs()), "EM fell from {last} to {rose}");
        let risen = rose - last >= config.tolerance.get();
        last = rose;
        let converged = !risen || !gained;
        if heard(mean, held) || converged {
            return match best {
                Some(best) => Ok((best, converged)),
                None => unreachable!("the first iteration is better than none"),
            };
        }
        parts = next;
    }
    match best {
        Some(best) => Ok((best, false)),
        None => unreachable!("there is at least one iteration"),
    }
}
