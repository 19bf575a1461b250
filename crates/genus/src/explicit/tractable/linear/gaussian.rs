//! N(x; μ, W Wᵀ + Ψ) with diagonal Ψ, in time proportional to the number of factors: with M = I + Wᵀ Ψ⁻¹ W,
//!
//! log |W Wᵀ + Ψ| = log |M| + log |Ψ|, (W Wᵀ + Ψ)⁻¹ = Ψ⁻¹ − Ψ⁻¹ W M⁻¹ Wᵀ Ψ⁻¹ (Woodbury), and
//! p(z | x) = N(M⁻¹ Wᵀ Ψ⁻¹ (x − μ), M⁻¹).
//!
//! Given z the columns are independent: where some are missing, sums over columns run over those that are there, and all is exact.

use genus_core::math::LN_2PI;
use genus_core::{Error, Result, Rng};
use nalgebra::{Cholesky, DMatrix, DVector, Dyn};

/// The law.
#[derive(Debug, Clone)]
pub struct LinearGaussian {
    /// `[columns, factors]`.
    pub weights: DMatrix<f64>,
    pub mean: Vec<f64>,
    /// Variances of the noise.
    pub noise: Vec<f64>,
    /// The posterior of rows that lack nothing.
    whole: Posterior,
}

/// p(z | what is there of a row).
#[derive(Debug, Clone)]
pub struct Posterior {
    /// Columns that are there.
    there: Vec<usize>,
    /// M = L Lᵀ.
    precision: Cholesky<f64, Dyn>,
    /// −½ (k log 2π + log |Σ|) of the k columns that are there.
    log_norm: f64,
}

impl Posterior {
    /// M⁻¹, the covariance.
    pub fn covariance(&self) -> DMatrix<f64> {
        self.precision.inverse()
    }
}

impl LinearGaussian {
    /// Of these parts.
    ///
    /// # Errors
    /// [`Error::Run`] if a variance is not above 0, or something is not finite.
    pub fn new(weights: DMatrix<f64>, mean: Vec<f64>, noise: Vec<f64>) -> Result<Self> {
        let sound = noise.iter().all(|v| *v > 0.0 && v.is_finite());
        if !sound || weights.iter().chain(&mean).any(|v| !v.is_finite()) {
            return Err(Error::Run("a weight is not finite, or a variance not above 0".into()));
        }
        let whole = posterior(&weights, &noise, (0..mean.len()).collect())?;
        Ok(Self { weights, mean, noise, whole })
    }

    /// Number of factors.
    pub fn factors(&self) -> usize {
        self.weights.ncols()
    }

    /// The posterior of rows of which these columns are there.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn posterior(&self, there: Vec<usize>) -> Result<Posterior> {
        posterior(&self.weights, &self.noise, there)
    }

    /// That of rows that lack nothing.
    pub fn whole(&self) -> &Posterior {
        &self.whole
    }

    /// log p of what is there of a row, nats, and the mean of p(z | it).
    pub fn infer(&self, of: &Posterior, x: &[f32]) -> (f64, DVector<f64>) {
        let (mut square, mut pull) = (0.0, DVector::zeros(self.factors()));
        for c in &of.there {
            let off = f64::from(x[*c]) - self.mean[*c];
            let scaled = off / self.noise[*c];
            square += off * scaled;
            pull.iter_mut().zip(self.weights.row(*c).iter()).for_each(|(p, w)| *p += w * scaled);
        }
        let mean = of.precision.solve(&pull);
        (of.log_norm - 0.5 * (square - pull.dot(&mean)), mean)
    }

    /// A draw from p(z | x) with this mean.
    pub fn draw_factors(&self, of: &Posterior, mean: &DVector<f64>, rng: &mut Rng) -> DVector<f64> {
        let noise = DVector::from_fn(self.factors(), |_, _| rng.normal());
        // Cov = M⁻¹ = L⁻ᵀ L⁻¹.
        match of.precision.l().tr_solve_lower_triangular(&noise) {
            Some(off) => mean + off,
            None => unreachable!("a Cholesky factor has no zero on its diagonal"),
        }
    }

    /// The mean of a column given factors.
    pub fn column(&self, c: usize, z: &DVector<f64>) -> f64 {
        self.mean[c] + self.weights.row(c).iter().zip(z.iter()).map(|(w, z)| w * z).sum::<f64>()
    }

    /// log p(x | z) of the columns that are there, nats.
    pub fn log_given(&self, x: &[f32], z: &DVector<f64>) -> f64 {
        let of = |(c, x): (usize, &f32)| {
            let v = self.noise[c];
            -0.5 * ((f64::from(*x) - self.column(c, z)).powi(2) / v + libm::log(v) + LN_2PI)
        };
        x.iter().enumerate().filter(|(_, v)| !v.is_nan()).map(of).sum()
    }
}

fn posterior(weights: &DMatrix<f64>, noise: &[f64], there: Vec<usize>) -> Result<Posterior> {
    let q = weights.ncols();
    let mut m = DMatrix::identity(q, q);
    for c in &there {
        let w = weights.row(*c);
        for i in 0..q {
            (0..=i).for_each(|j| m[(i, j)] += w[i] * w[j] / noise[*c]);
        }
    }
    m.fill_upper_triangle_with_lower_triangle();
    let failed = || Error::Numerical {
        what: "the posterior of the factors".into(),
        step: 0,
        remedy: "raise `floor`".into(),
    };
    let precision = Cholesky::new(m).ok_or_else(failed)?;
    let half: f64 = precision.l_dirty().diagonal().iter().map(|v| libm::log(*v)).sum();
    let noise: f64 = there.iter().map(|c| libm::log(noise[*c])).sum();
    let log_norm = -0.5 * (there.len() as f64 * LN_2PI + noise) - half;
    Ok(Posterior { there, precision, log_norm })
}

#[cfg(test)]
mod tests {
    use super::*;
    use genus_core::Seed;

    fn example() -> LinearGaussian {
        let weights = DMatrix::from_row_slice(3, 2, &[1.0, 0.2, -0.5, 0.7, 0.3, -1.1]);
        LinearGaussian::new(weights, vec![0.5, -1.0, 2.0], vec![0.3, 0.6, 0.2]).unwrap()
    }

    /// log N by the covariance itself, over all columns and over some.
    #[test]
    fn the_density_is_that_of_the_covariance() {
        let law = example();
        let cov = &law.weights * law.weights.transpose() + DMatrix::from_diagonal(&law.noise.clone().into());
        let x = [0.9f32, -2.0, 1.5];
        for there in [vec![0, 1, 2], vec![0, 2], vec![1], vec![]] {
            let k = there.len();
            let part = DMatrix::from_fn(k, k, |i, j| cov[(there[i], there[j])]);
            let off = DVector::from_fn(k, |i, _| f64::from(x[there[i]]) - law.mean[there[i]]);
            let square = if k > 0 { off.dot(&(part.clone().try_inverse().unwrap() * &off)) } else { 0.0 };
            let log_det = if k > 0 { part.determinant().ln() } else { 0.0 };
            let want = -0.5 * (k as f64 * LN_2PI + log_det + square);
            let (got, mean) = law.infer(&law.posterior(there.clone()).unwrap(), &x);
            assert!((got - want).abs() < 1e-12, "{there:?}: {got} {want}");
            // E[z | x] = Wᵀ Σ⁻¹ (x − μ).
            let w = DMatrix::from_fn(k, 2, |i, j| law.weights[(there[i], j)]);
            let known =
                if k > 0 { w.transpose() * part.try_inverse().unwrap() * off } else { DVector::zeros(2) };
            assert!((mean - known).norm() < 1e-12);
        }
    }

    /// Draws of the factors have the covariance M⁻¹: 20,000 of them within five standard errors (false alarm 6e-7 each).
    #[test]
    fn factors_are_drawn_from_the_posterior() {
        let (law, mut rng, n) = (example(), Seed::from(3).rng(), 20_000);
        let (_, mean) = law.infer(law.whole(), &[0.9, -2.0, 1.5]);
        let draws: Vec<DVector<f64>> =
            (0..n).map(|_| law.draw_factors(law.whole(), &mean, &mut rng)).collect();
        let cov = law.whole().precision.inverse();
        for (i, j) in [(0, 0), (1, 1), (0, 1)] {
            let found = draws.iter().map(|z| (z[i] - mean[i]) * (z[j] - mean[j])).sum::<f64>() / f64::from(n);
            let spread = ((cov[(i, i)] * cov[(j, j)] + cov[(i, j)].powi(2)) / f64::from(n)).sqrt();
            assert!((found - cov[(i, j)]).abs() < 5.0 * spread, "{i} {j}: {found} {}", cov[(i, j)]);
        }
    }
}
