//! The conditionals of a Gaussian mixture: again Gaussian mixtures (Bishop 2006, section 2.3.1).

use super::covariance::{Factor, cholesky, floor_eigenvalues, product, solve_lower};
use super::em::Component;
use genus_core::math::LN_2PI;
use genus_core::{Result, Stop};

/// One component of a conditional.
pub(super) struct Part {
    /// log πₖ pₖ(what is there).
    pub log_weight: f64,
    pub mean: Vec<f64>,
    pub factor: Factor,
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
    /// Of components whose covariances have this floor; those of conditionals, which are smaller, have a thousandth of it.
    ///
    /// # Errors
    /// [`genus_core::Error::Stopped`] if it was asked to end.
    pub fn new(components: &'a [Component], floor: f64) -> Result<Self> {
        let with_covariance = |c: &'a Component| match &c.factor {
            Factor::Dense(l) => Ok((c, Some(product(l, c.mean.len())?))),
            Factor::Diagonal(_) => Ok((c, None)),
        };
        let units = deviations(components);
        let components = components.iter().map(with_covariance).collect::<Result<_>>()?;
        Ok(Self { components, floor: 1e-3 * floor, units })
    }

    /// Component `k` of all columns.
    pub fn component(&self, k: usize) -> &'a Component {
        self.components[k].0
    }

    /// The mixture of these columns alone.
    ///
    /// # Errors
    /// [`genus_core::Error::Stopped`] if it was asked to end.
    pub fn marginal(&self, columns: &[usize]) -> Result<Vec<Component>> {
        let one = |(c, cov): &(&Component, Option<Vec<f64>>)| {
            let factor = match (&c.factor, cov) {
                (Factor::Diagonal(s), _) => Factor::Diagonal(columns.iter().map(|i| s[*i]).collect()),
                (Factor::Dense(_), Some(cov)) => {
                    Factor::Dense(self.factor(block(cov, c.mean.len(), columns, columns), columns)?)
                }
                (Factor::Dense(_), None) => unreachable!("a dense factor comes with its covariance"),
            };
            Ok(Component::new(c.log_weight, columns.iter().map(|i| c.mean[*i]).collect(), factor))
        };
        self.components.iter().map(one).collect()
    }

    /// How the columns `missing` of component `k` follow from the columns `there`; nothing where there are no correlations.
    ///
    /// # Errors
    /// [`genus_core::Error::Stopped`] if it was asked to end.
    pub fn regression(&self, k: usize, there: &[usize], missing: &[usize]) -> Result<Option<Regression>> {
        let (c, cov) = &self.components[k];
        let Some(cov) = cov else { return Ok(None) };
        let (d, m) = (c.mean.len(), missing.len());
        let factor = self.factor(block(cov, d, there, there), there)?;
        let (mut half, stop) = (Vec::with_capacity(m), Stop::current());
        for i in missing {
            stop.check()?;
            let mut h = block(cov, d, &[*i], there);
            solve_lower(&factor, there.len(), &mut h);
            half.push(h);
        }
        // Σ_mm − Σ_mo Σ_oo⁻¹ Σ_om.
        let mut rest = block(cov, d, missing, missing);
        for i in 0..m {
            stop.check()?;
            for j in 0..m {
                rest[i * m + j] -= dot(&half[i], &half[j]);
            }
        }
        Ok(Some(Regression { factor, half, rest }))
    }

    /// The mixture of the columns `missing` given the columns `there` of `row`.
    ///
    /// # Errors
    /// [`genus_core::Error::Stopped`] if it was asked to end.
    pub fn given(&self, row: &[f32], there: &[usize], missing: &[usize]) -> Result<Vec<Part>> {
        let residual =
            |c: &Component| there.iter().map(|i| f64::from(row[*i]) - c.mean[*i]).collect::<Vec<_>>();
        let part = |(k, (c, cov)): (usize, &(&Component, Option<Vec<f64>>))| match (&c.factor, cov) {
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
            (Factor::Dense(_), Some(_)) => self.condition(k, residual(c), there, missing),
            (Factor::Dense(_), None) => unreachable!("a dense factor comes with its covariance"),
        };
        self.components.iter().enumerate().map(part).collect()
    }

    /// The factor of a matrix that is positive definite up to rounding.
    fn factor(&self, mut a: Vec<f64>, columns: &[usize]) -> Result<Vec<f64>> {
        let units: Vec<f64> = columns.iter().map(|c| self.units[*c]).collect();
        let d = columns.len();
        floor_eigenvalues(&mut a, d, self.floor, &units)?;
        // Not finite only if the matrix was not; the caller sees that in the weights.
        Ok(cholesky(&a, d)?.unwrap_or_else(|| vec![f64::NAN; d * d]))
    }

    fn condition(&self, k: usize, mut y: Vec<f64>, there: &[usize], missing: &[usize]) -> Result<Part> {
        let (c, o) = (self.component(k), there.len());
        let Some(found) = self.regression(k, there, missing)? else {
            unreachable!("a dense factor has a regression")
        };
        solve_lower(&found.factor, o, &mut y);
        let log_det: f64 = (0..o).map(|i| libm::log(found.factor[i * o + i])).sum();
        let square: f64 = y.iter().map(|v| v * v).sum();
        let log_weight = c.log_weight - log_det - 0.5 * (o as f64 * LN_2PI + square);
        let mean = missing.iter().enumerate().map(|(i, c_i)| c.mean[*c_i] + found.mean(i, &y)).collect();
        Ok(Part { log_weight, mean, factor: Factor::Dense(self.factor(found.rest, missing)?) })
    }
}

/// How some columns of a component follow from others.
pub(super) struct Regression {
    /// L of the covariance L Lᵀ of the columns that are there.
    pub factor: Vec<f64>,
    /// L⁻¹ Σ_om, a column of it for each column that is missing.
    half: Vec<Vec<f64>>,
    /// The covariance that is left over.
    pub rest: Vec<f64>,
}

impl Regression {
    /// Σ_mo Σ_oo⁻¹ (x_o − μ_o) of the missing column `i`, from L⁻¹ (x_o − μ_o).
    pub fn mean(&self, i: usize, white: &[f64]) -> f64 {
        dot(&self.half[i], white)
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Some rows and columns of a square matrix.
fn block(of: &[f64], d: usize, rows: &[usize], columns: &[usize]) -> Vec<f64> {
    rows.iter().flat_map(|r| columns.iter().map(move |c| of[*r * d + *c])).collect()
}
