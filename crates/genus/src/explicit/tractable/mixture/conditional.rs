//! The conditionals of a Gaussian mixture: again Gaussian mixtures (Bishop 2006, section 2.3.1).

use super::covariance::{Factor, cholesky, floor_eigenvalues, product, solve_lower, solve_upper};
use super::em::Component;
use genus_core::math::LN_2PI;
use genus_core::{Error, Result, Stop};

/// One component of a conditional.
pub(super) struct Part {
    /// log πₖ pₖ(what is there).
    pub log_weight: f64,
    pub mean: Vec<f64>,
    pub factor: Factor,
}

/// The mixture of the columns from `first` on alone.
///
/// # Errors
/// [`genus_core::Error::Stopped`] if it was asked to end, [`genus_core::Error::Numerical`] if a covariance is singular.
pub(super) fn marginal(components: &[Component], first: usize) -> Result<Vec<Component>> {
    let one = |c: &Component| {
        let d = c.mean.len();
        let factor = match &c.factor {
            Factor::Diagonal(s) => Factor::Diagonal(s[first..].to_vec()),
            Factor::Dense(l) => {
                let cov = product(l, d)?;
                let block = cov.chunks_exact(d).skip(first).flat_map(|row| row[first..].to_vec());
                let block: Vec<f64> = block.collect();
                Factor::from_covariance(&block, d - first)?.ok_or_else(|| Error::Numerical {
                    what: "the covariance of what is given".into(),
                    step: 0,
                    remedy: "raise `floor`, or leave given columns out that depend on each other".into(),
                })?
            }
        };
        Ok(Component::new(c.log_weight, c.mean[first..].to_vec(), factor))
    };
    components.iter().map(one).collect()
}

/// Standard deviation of each column of a mixture.
fn deviations(components: &[Component]) -> Vec<f64> {
    let d = components.first().map_or(0, |c| c.mean.len());
    let weights: Vec<f64> = components.iter().map(|c| libm::exp(c.log_weight)).collect();
    let own = |c: &Component, i: usize| match &c.factor {
        Factor::Diagonal(s) => s[i] * s[i],
        Factor::Dense(l) => l[i * d..=i * d + i].iter().map(|v| v * v).sum(),
    };
    (0..d)
        .map(|i| {
            let mean: f64 = components.iter().zip(&weights).map(|(c, w)| w * c.mean[i]).sum();
            let around = |c: &Component| own(c, i) + (c.mean[i] - mean).powi(2);
            components.iter().zip(&weights).map(|(c, w)| w * around(c)).sum::<f64>().sqrt()
        })
        .collect()
}

/// Components ready to be conditioned, row after row.
pub(super) struct Conditionals<'a> {
    /// With the covariance, where it is a matrix.
    components: Vec<(&'a Component, Option<Vec<f64>>)>,
    /// Smallest eigenvalue of a conditional covariance, in units of the columns.
    floor: f64,
    /// Standard deviation of each column of the mixture.
    units: Vec<f64>,
}

impl<'a> Conditionals<'a> {
    /// # Errors
    /// [`genus_core::Error::Stopped`] if it was asked to end.
    pub fn new(components: &'a [Component], floor: f64) -> Result<Self> {
        let with_covariance = |c: &'a Component| match &c.factor {
            Factor::Dense(l) => Ok((c, Some(product(l, c.mean.len())?))),
            Factor::Diagonal(_) => Ok((c, None)),
        };
        let units = deviations(components);
        Ok(Self { components: components.iter().map(with_covariance).collect::<Result<_>>()?, floor, units })
    }

    /// The mixture of the columns `missing` given the columns `there` of `row`.
    ///
    /// # Errors
    /// [`genus_core::Error::Stopped`] if it was asked to end.
    pub fn given(&self, row: &[f32], there: &[usize], missing: &[usize]) -> Result<Vec<Part>> {
        let residual =
            |c: &Component| there.iter().map(|i| f64::from(row[*i]) - c.mean[*i]).collect::<Vec<_>>();
        let part = |(c, cov): &(&Component, Option<Vec<f64>>)| match (&c.factor, cov) {
            (Factor::Diagonal(s), _) => {
                let y = residual(c);
                let terms = there
                    .iter()
                    .zip(&y)
                    .map(|(i, y)| -0.5 * (LN_2PI + (y / s[*i]).powi(2)) - libm::log(s[*i]));
                Ok(Part {
                    log_weight: c.log_weight + terms.sum::<f64>(),
                    mean: missing.iter().map(|i| c.mean[*i]).collect(),
                    factor: Factor::Diagonal(missing.iter().map(|i| s[*i]).collect()),
                })
            }
            (Factor::Dense(_), Some(cov)) => self.condition(c, cov, residual(c), there, missing),
            (Factor::Dense(_), None) => unreachable!("a dense factor comes with its covariance"),
        };
        self.components.iter().map(part).collect()
    }

    /// The factor of a matrix that is positive definite up to rounding.
    fn factor(&self, mut a: Vec<f64>, columns: &[usize]) -> Result<Vec<f64>> {
        let units: Vec<f64> = columns.iter().map(|c| self.units[*c]).collect();
        let d = columns.len();
        floor_eigenvalues(&mut a, d, self.floor, &units)?;
        // Not finite only if the matrix was not; the caller sees that in the weights.
        Ok(cholesky(&a, d)?.unwrap_or_else(|| vec![f64::NAN; d * d]))
    }

    fn condition(
        &self,
        c: &Component,
        cov: &[f64],
        mut y: Vec<f64>,
        there: &[usize],
        missing: &[usize],
    ) -> Result<Part> {
        let (d, o, m) = (c.mean.len(), there.len(), missing.len());
        let block = |rows: &[usize], cols: &[usize]| -> Vec<f64> {
            rows.iter().flat_map(|r| cols.iter().map(move |s| cov[*r * d + *s])).collect()
        };
        let l = self.factor(block(there, there), there)?;
        solve_lower(&l, o, &mut y);
        let log_det: f64 = (0..o).map(|i| libm::log(l[i * o + i])).sum();
        let square: f64 = y.iter().map(|v| v * v).sum();
        let log_weight = c.log_weight - log_det - 0.5 * (o as f64 * LN_2PI + square);
        solve_upper(&l, o, &mut y);
        // μ_m + Σ_mo Σ_oo⁻¹ (x_o − μ_o) and Σ_mm − Σ_mo Σ_oo⁻¹ Σ_om.
        let cross = block(missing, there);
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let mean = (0..m).map(|i| c.mean[missing[i]] + dot(&cross[i * o..(i + 1) * o], &y)).collect();
        let mut rest = block(missing, missing);
        let (mut half, stop): (Vec<Vec<f64>>, _) = (Vec::new(), Stop::current());
        for i in 0..m {
            stop.check()?;
            let mut h = cross[i * o..(i + 1) * o].to_vec();
            solve_lower(&l, o, &mut h);
            half.push(h);
        }
        for i in 0..m {
            stop.check()?;
            for j in 0..m {
                rest[i * m + j] -= dot(&half[i], &half[j]);
            }
        }
        Ok(Part { log_weight, mean, factor: Factor::Dense(self.factor(rest, missing)?) })
    }
}
