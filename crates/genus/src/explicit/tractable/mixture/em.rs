//! Expectation–maximisation of a Gaussian mixture.

use super::conditional::Conditionals;
use super::covariance::{Covariance, Factor, floor_eigenvalues};
use super::holes;
use crate::holes::{any, clustered};
use genus_core::math::{LN_2PI, log_sum_exp};
use genus_core::{Batch, Error, Result, Rng, Stop};
use genus_kernels::{add_scaled, add_scaled_squares, scaled_squares};
use rayon::prelude::*;

/// Rows between two looks at whether to go on.
const CHECKED: usize = 8;

/// What is fitted, and when it is good enough.
#[derive(Debug, Clone)]
pub(super) struct Em {
    pub components: usize,
    pub covariance: Covariance,
    /// Smallest eigenvalue of a covariance, in units of the columns.
    pub floor: f64,
    /// Standard deviation of each column.
    pub units: Vec<f64>,
    /// Most iterations.
    pub iterations: usize,
    /// Smallest rise of the mean log-likelihood that is worth another iteration, nats.
    pub tolerance: f64,
}

/// One component, ready to be evaluated.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Component {
    pub log_weight: f64,
    pub mean: Vec<f64>,
    /// Factor of the covariance.
    pub factor: Factor,
    /// −½ (d log 2π + log |Σ|).
    log_norm: f64,
    /// 1/σ of each column, where there are no correlations.
    inverse: Option<Vec<f64>>,
}

impl Component {
    pub fn new(log_weight: f64, mean: Vec<f64>, factor: Factor) -> Self {
        let d = mean.len();
        let log_norm = -0.5 * d as f64 * LN_2PI - factor.half_log_det(d);
        let inverse = match &factor {
            Factor::Diagonal(std) => Some(std.iter().map(|s| 1.0 / s).collect()),
            Factor::Dense(_) => None,
        };
        Self { log_weight, mean, factor, log_norm, inverse }
    }

    /// log πₖ N(x; μₖ, Σₖ).
    pub fn log_joint(&self, x: &[f32]) -> f64 {
        if let Some(inverse) = &self.inverse {
            return self.log_weight + self.log_norm - 0.5 * scaled_squares(x, &self.mean, inverse);
        }
        let mut y: Vec<f64> = x.iter().zip(&self.mean).map(|(x, m)| f64::from(*x) - m).collect();
        self.factor.whiten(&mut y);
        self.log_weight + self.log_norm - 0.5 * y.iter().map(|v| v * v).sum::<f64>()
    }
}

/// A number for each row and component, and one for each row.
pub(super) type Joint = (Vec<Vec<f64>>, Vec<f64>);

/// log p(x, k) of every row and component, and log p(x) of every row; of what is there where cells are missing. The floor is that of
/// the covariances.
///
/// # Errors
/// [`Error::Stopped`] if it was asked to end.
pub(super) fn joint(components: &[Component], x: &Batch, floor: f64) -> Result<Joint> {
    match any(x) {
        true => holes::joint(&Conditionals::new(components, floor)?, x),
        false => whole_joint(components, x),
    }
}

/// As [`joint`], of rows that are known to lack nothing.
fn whole_joint(components: &[Component], x: &Batch) -> Result<Joint> {
    let stop = Stop::current();
    let rows = (0..x.rows()).into_par_iter().map(|r| {
        if r.is_multiple_of(CHECKED) {
            stop.check()?;
        }
        let each: Vec<f64> = components.iter().map(|c| c.log_joint(x.row(r))).collect();
        let all = log_sum_exp(each.iter().copied());
        Ok((each, all))
    });
    Ok(rows.collect::<Result<Vec<_>>>()?.into_iter().unzip())
}

/// Rows of a job of [`variances`].
const BLOCK: usize = 1024;
/// Shares of a row that no sum in double precision sees.
pub(super) const NOTHING: f64 = 1e-30;

/// Weight, mean and (co)variances of a component.
pub(super) type Weighted = (f64, Vec<f64>, Vec<f64>);
/// Adds what a row gives to a component's sums: component, row, sums, share.
type Add<'a> = &'a (dyn Fn(usize, &[f32], &mut [f64], f64) + Sync);

/// Weight, mean and variances of each component: rows are looked at twice, each time for all components.
fn variances(x: &Batch, resp: &[Vec<f64>], k: usize) -> Result<Vec<Weighted>> {
    let (d, stop) = (x.width(), Stop::current());
    // Σ over rows of a share times what `of` makes of the row, for each component; the order of the sums does not depend on threads.
    let sums = |of: Add<'_>| -> Result<Vec<f64>> {
        let jobs = x.data().par_chunks(BLOCK * d).zip(resp.par_chunks(BLOCK));
        let parts = jobs.map(|(rows, shares)| {
            stop.check()?;
            let mut sum = vec![0f64; k * d];
            for (row, shares) in rows.chunks_exact(d).zip(shares) {
                for (c, share) in shares.iter().enumerate().filter(|(_, s)| **s > NOTHING) {
                    of(c, row, &mut sum[c * d..(c + 1) * d], *share);
                }
            }
            Ok(sum)
        });
        let mut all = vec![0f64; k * d];
        for part in parts.collect::<Result<Vec<_>>>()? {
            all.iter_mut().zip(part).for_each(|(s, p)| *s += p);
        }
        Ok(all)
    };
    // A component that lost all its rows keeps a vanishing weight, so that nothing is divided by zero.
    let weights: Vec<f64> = (0..k).map(|c| resp.iter().map(|r| r[c]).sum::<f64>().max(1e-290)).collect();
    let mut means = sums(&|_, row, sum, share| add_scaled(sum, row, share))?;
    means.chunks_exact_mut(d).zip(&weights).for_each(|(m, w)| m.iter_mut().for_each(|m| *m /= w));
    let squares =
        sums(&|c, row, sum, share| add_scaled_squares(sum, row, &means[c * d..(c + 1) * d], share))?;
    let of = |c: usize| {
        let own = c * d..(c + 1) * d;
        let variances = squares[own.clone()].iter().map(|s| s / weights[c]).collect();
        (weights[c], means[own].to_vec(), variances)
    };
    Ok((0..k).map(of).collect())
}

/// Weighted maximum likelihood, under the eigenvalue floor, and how many components that floor holds. Where cells are missing, they are what
/// the components as they are `now` say.
fn maximise(
    x: &Batch,
    resp: &[Vec<f64>],
    em: &Em,
    now: Option<&[Component]>,
) -> Result<(Vec<Component>, usize)> {
    let (n, d, k) = (x.rows() as f64, x.width(), em.components);
    let (floor, stop) = (em.floor, Stop::current());
    let moments: Vec<Weighted> = if let Some(now) = now {
        holes::expected(&Conditionals::new(now, floor)?, x, resp)?
    } else if em.covariance.is_diagonal() {
        variances(x, resp, k)?
    } else {
        (0..k)
            .into_par_iter()
            .map(|c| {
                // A component that lost all its rows keeps a vanishing weight, so that nothing is divided by zero.
                let weight = resp.iter().map(|r| r[c]).sum::<f64>().max(1e-290);
                let mut mean = vec![0.0; d];
                for (row, r) in x.iter().zip(resp) {
                    mean.iter_mut().zip(row).for_each(|(m, v)| *m += r[c] / weight * f64::from(*v));
                }
                let mut cov = vec![0.0; d * d];
                let mut diff = vec![0.0; d];
                for (i, (row, r)) in x.iter().zip(resp).enumerate() {
                    if i.is_multiple_of(CHECKED) {
                        stop.check()?;
                    }
                    let share = r[c] / weight;
                    diff.iter_mut().zip(row).zip(&mean).for_each(|((e, v), m)| *e = f64::from(*v) - m);
                    for i in 0..d {
                        let scaled = share * diff[i];
                        cov[i * d..=i * d + i].iter_mut().zip(&diff).for_each(|(s, e)| *s += scaled * e);
                    }
                }
                for i in 0..d {
                    for j in 0..i {
                        cov[j * d + i] = cov[i * d + j];
                    }
                }
                Ok((weight, mean, cov))
            })
            .collect::<Result<_>>()?
    };
    let least: Vec<f64> = em.units.iter().map(|u| floor * u * u).collect();
    let deviations = |variances: &[f64], least: &[f64]| {
        let held = variances.iter().zip(least).any(|(v, l)| v < l);
        let factor = variances.iter().zip(least).map(|(v, l)| v.max(*l).sqrt()).collect();
        (Some(Factor::Diagonal(factor)), held)
    };
    let dense = |mut cov: Vec<f64>| {
        stop.during(|| {
            let held = floor_eigenvalues(&mut cov, d, floor, &em.units)?;
            Ok((Factor::from_covariance(&cov, d)?, held))
        })
    };
    let factors: Vec<(Option<Factor>, bool)> = match em.covariance {
        Covariance::Full => {
            moments.par_iter().map(|(_, _, cov)| dense(cov.clone())).collect::<Result<_>>()?
        }
        Covariance::Tied => {
            let mut tied = vec![0.0; d * d];
            for (weight, _, cov) in &moments {
                tied.iter_mut().zip(cov).for_each(|(t, c)| *t += weight / n * c);
            }
            vec![dense(tied)?; k]
        }
        Covariance::Diagonal => moments.iter().map(|(_, _, cov)| deviations(cov, &least)).collect(),
        Covariance::Spherical => moments
            .iter()
            .map(|(_, _, cov)| {
                let mean = |v: &[f64]| vec![v.iter().sum::<f64>() / d as f64; d];
                deviations(&mean(cov), &mean(&least))
            })
            .collect(),
    };
    let held = factors.iter().filter(|f| f.1).count();
    let components = moments
        .into_iter()
        .zip(factors)
        .enumerate()
        .map(|(c, ((weight, mean, _), (factor, _)))| {
            let factor = factor.ok_or_else(|| Error::Numerical {
                what: format!("the covariance of component {c}"),
                step: 0,
                remedy:
                    "raise `floor`, standardise the columns (`standardize=true`) or take fewer components"
                        .into(),
            })?;
            Ok(Component::new(libm::log(weight / n), mean, factor))
        })
        .collect::<Result<_>>()?;
    Ok((components, held))
}

/// How an EM run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// The likelihood rose by less than the tolerance.
    Converged,
    /// Iterations or patience of the observer were used up.
    Cut,
    /// The likelihood fell by rounding.
    Fell,
}

/// An EM run.
pub(super) struct Climb {
    pub components: Vec<Component>,
    /// Mean log-likelihood of the rows, nats.
    pub mean: f64,
    pub iterations: u64,
    pub end: End,
    /// Components that only the floor of the covariances holds.
    pub held: usize,
}

/// One EM run, from these components or from a k-means start.
///
/// # Errors
/// [`Error::Numerical`] if a covariance is singular, [`Error::Stopped`] if it was asked to end before there was any result.
pub(super) fn climb(
    x: &Batch,
    em: &Em,
    start: Option<&[Component]>,
    rng: &mut Rng,
    mut heard: impl FnMut(u64, f64) -> bool,
) -> Result<Climb> {
    let k = em.components;
    let (mut components, mut held) = match start {
        Some(start) => (start.to_vec(), 0),
        None => {
            let (whole, hard) = clustered(x, k, 100, rng)?;
            let each = |a: &u32| (0..k as u32).map(|c| f64::from(u8::from(c == *a))).collect();
            maximise(&whole, &hard.iter().map(each).collect::<Vec<_>>(), em, None)?
        }
    };
    // Looked for once: the rows are many, and do not change.
    let lacks = any(x);
    let scored = |components: &[Component]| match lacks {
        true => holes::joint(&Conditionals::new(components, em.floor)?, x),
        false => whole_joint(components, x),
    };
    let mut before = Vec::new();
    let mut last = f64::NEG_INFINITY;
    for iteration in 1..=em.iterations as u64 {
        let (each, all) = match scored(&components) {
            Err(Error::Stopped(_)) if iteration > 1 => {
                return Ok(Climb {
                    components: before,
                    mean: last,
                    iterations: iteration - 1,
                    end: End::Cut,
                    held,
                });
            }
            other => other?,
        };
        let mean = all.iter().sum::<f64>() / x.rows() as f64;
        if !mean.is_finite() {
            return Err(Error::Numerical {
                what: "the log-likelihood".into(),
                step: iteration,
                remedy: "raise `floor` or standardise the columns".into(),
            });
        }
        // EM never lowers the likelihood, but next to a covariance that is almost singular rounding may. The components
        // before the fall are then the answer.
        if mean < last - 1e-8 * (1.0 + last.abs()) {
            return Ok(Climb { components: before, mean: last, iterations: iteration, end: End::Fell, held });
        }
        let stop = heard(iteration, mean);
        if stop || mean - last < em.tolerance {
            let end = if stop { End::Cut } else { End::Converged };
            return Ok(Climb { components, mean, iterations: iteration, end, held });
        }
        last = mean;
        let resp: Vec<Vec<f64>> = each
            .iter()
            .zip(&all)
            .map(|(each, all)| each.iter().map(|v| libm::exp(v - all)).collect())
            .collect();
        let next = match maximise(x, &resp, em, lacks.then_some(&components[..])) {
            Err(Error::Stopped(_)) => {
                return Ok(Climb { components, mean, iterations: iteration, end: End::Cut, held });
            }
            other => other?,
        };
        before = std::mem::replace(&mut components, next.0);
        held = next.1;
    }
    let all = match scored(&components) {
        Err(Error::Stopped(_)) => {
            let iterations = em.iterations as u64;
            return Ok(Climb { components: before, mean: last, iterations, end: End::Cut, held });
        }
        other => other?.1,
    };
    let mean = all.iter().sum::<f64>() / x.rows() as f64;
    Ok(Climb { components, mean, iterations: em.iterations as u64, end: End::Cut, held })
}
