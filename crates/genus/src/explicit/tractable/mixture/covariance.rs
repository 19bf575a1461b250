//! Symmetric positive definite matrices: Cholesky factor, eigenvalue floor, and the covariance structures of a mixture.

use genus_core::Rng;
use serde::{Deserialize, Serialize};

/// Structure of the covariances.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Covariance {
    /// Each component its own matrix.
    #[default]
    Full,
    /// One matrix for all components.
    Tied,
    /// Each component its own variances, no correlation.
    Diagonal,
    /// Each component one variance.
    Spherical,
}

impl Covariance {
    /// Whether there are no correlations.
    pub(super) fn is_diagonal(self) -> bool {
        matches!(self, Self::Diagonal | Self::Spherical)
    }

    /// Values of one [`Factor`] in `d` dimensions.
    pub(super) fn width(self, d: usize) -> usize {
        if self.is_diagonal() { d } else { d * d }
    }

    /// Shape of the factors of `k` components in a model file.
    pub(super) fn shape(self, k: usize, d: usize) -> Vec<usize> {
        if self.is_diagonal() { vec![k, d] } else { vec![k, d, d] }
    }

    /// Free parameters of `k` covariances in `d` dimensions.
    pub(super) fn parameters(self, k: usize, d: usize) -> usize {
        match self {
            Self::Full => k * d * (d + 1) / 2,
            Self::Tied => d * (d + 1) / 2,
            Self::Diagonal => k * d,
            Self::Spherical => k,
        }
    }
}

/// L of a covariance L Lᵀ.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Factor {
    /// Lower triangular, row-major.
    Dense(Vec<f64>),
    /// Standard deviations: no correlations, and d steps where a matrix takes d².
    Diagonal(Vec<f64>),
}

impl Factor {
    /// Of a matrix; none if it is not positive definite.
    pub fn of(covariance: &[f64], d: usize) -> Option<Self> {
        cholesky(covariance, d).map(Self::Dense)
    }

    /// ½ log |L Lᵀ|.
    pub fn half_log_det(&self, d: usize) -> f64 {
        (0..d)
            .map(|i| match self {
                Self::Dense(l) => libm::log(l[i * d + i]),
                Self::Diagonal(s) => libm::log(s[i]),
            })
            .sum()
    }

    /// y ← L⁻¹ y.
    pub fn whiten(&self, y: &mut [f64]) {
        match self {
            Self::Dense(l) => solve_lower(l, y.len(), y),
            Self::Diagonal(s) => y.iter_mut().zip(s).for_each(|(y, s)| *y /= s),
        }
    }

    /// A draw from N(mean, L Lᵀ).
    pub fn draw(&self, mean: &[f64], rng: &mut Rng) -> Vec<f64> {
        let d = mean.len();
        let z: Vec<f64> = (0..d).map(|_| rng.normal()).collect();
        match self {
            Self::Dense(l) => (0..d)
                .map(|i| mean[i] + l[i * d..=i * d + i].iter().zip(&z).map(|(l, z)| l * z).sum::<f64>())
                .collect(),
            Self::Diagonal(s) => mean.iter().zip(s).zip(&z).map(|((m, s), z)| m + s * z).collect(),
        }
    }

    /// The values, as a model file holds them.
    pub fn values(&self) -> &[f64] {
        match self {
            Self::Dense(v) | Self::Diagonal(v) => v,
        }
    }
}

/// L Lᵀ of a lower triangular L.
pub(super) fn product(l: &[f64], d: usize) -> Vec<f64> {
    let entry = |i: usize, j: usize| (0..=i.min(j)).map(|k| l[i * d + k] * l[j * d + k]).sum();
    (0..d * d).map(|at| entry(at / d, at % d)).collect()
}

/// Lower Cholesky factor L of A = L Lᵀ, row-major, or `None` if A is not positive definite.
pub(super) fn cholesky(a: &[f64], d: usize) -> Option<Vec<f64>> {
    let mut l = vec![0.0; d * d];
    for i in 0..d {
        for j in 0..=i {
            let dot: f64 = l[i * d..i * d + j].iter().zip(&l[j * d..j * d + j]).map(|(a, b)| a * b).sum();
            let v = a[i * d + j] - dot;
            if i == j {
                if !(v > 0.0 && v.is_finite()) {
                    return None;
                }
                l[i * d + i] = v.sqrt();
            } else {
                l[i * d + j] = v / l[j * d + j];
            }
        }
    }
    Some(l)
}

/// Solves L y = b in place.
pub(super) fn solve_lower(l: &[f64], d: usize, b: &mut [f64]) {
    for i in 0..d {
        let dot: f64 = l[i * d..i * d + i].iter().zip(&*b).map(|(a, y)| a * y).sum();
        b[i] = (b[i] - dot) / l[i * d + i];
    }
}

/// Solves Lᵀ x = y in place.
pub(super) fn solve_upper(l: &[f64], d: usize, y: &mut [f64]) {
    for i in (0..d).rev() {
        let dot: f64 = (i + 1..d).map(|r| l[r * d + i] * y[r]).sum();
        y[i] = (y[i] - dot) / l[i * d + i];
    }
}

/// Raises eigenvalues below `floor` to it. That is the maximum-likelihood covariance among those whose eigenvalues are at
/// least `floor`, so that EM stays monotone; adding a ridge would not be.
pub(super) fn floor_eigenvalues(a: &mut [f64], d: usize, floor: f64) {
    let mut shifted = a.to_vec();
    for i in 0..d {
        shifted[i * d + i] -= floor;
    }
    if cholesky(&shifted, d).is_some() {
        return;
    }
    let (values, vectors) = eigen(a, d);
    a.fill(0.0);
    for (v, value) in values.iter().enumerate() {
        let value = value.max(floor);
        for i in 0..d {
            let scaled = value * vectors[i * d + v];
            for j in 0..d {
                a[i * d + j] += scaled * vectors[j * d + v];
            }
        }
    }
}

/// Eigenvalues and eigenvectors (columns) of a symmetric matrix by cyclic Jacobi rotations.
fn eigen(a: &[f64], d: usize) -> (Vec<f64>, Vec<f64>) {
    let mut a = a.to_vec();
    let mut v = vec![0.0; d * d];
    (0..d).for_each(|i| v[i * d + i] = 1.0);
    let scale: f64 = a.iter().map(|x| x * x).sum::<f64>().max(f64::MIN_POSITIVE);
    for _ in 0..60 {
        let off: f64 =
            (0..d).flat_map(|i| (0..i).map(move |j| (i, j))).map(|(i, j)| a[i * d + j].powi(2)).sum();
        if off <= 1e-28 * scale {
            break;
        }
        for p in 0..d {
            for q in p + 1..d {
                if a[p * d + q] == 0.0 {
                    continue;
                }
                let theta = (a[q * d + q] - a[p * d + p]) / (2.0 * a[p * d + q]);
                let t = theta.signum() / (theta.abs() + (theta * theta + 1.0).sqrt());
                let c = 1.0 / (t * t + 1.0).sqrt();
                let s = t * c;
                let rotate = |m: &mut [f64], i: usize, j: usize| {
                    let (x, y) = (m[i], m[j]);
                    m[i] = c * x - s * y;
                    m[j] = s * x + c * y;
                };
                for r in 0..d {
                    rotate(&mut a, r * d + p, r * d + q);
                }
                for r in 0..d {
                    rotate(&mut a, p * d + r, q * d + r);
                    rotate(&mut v, r * d + p, r * d + q);
                }
            }
        }
    }
    ((0..d).map(|i| a[i * d + i]).collect(), v)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn factor_and_solves() {
        let a = [4.0, 2.0, 0.5, 2.0, 5.0, 1.0, 0.5, 1.0, 3.0];
        let l = cholesky(&a, 3).unwrap();
        for i in 0..3 {
            for j in 0..3 {
                let v: f64 = (0..3).map(|k| l[i * 3 + k] * l[j * 3 + k]).sum();
                assert!((v - a[i * 3 + j]).abs() < 1e-12);
            }
        }
        let mut x = [1.0, -2.0, 0.5];
        let b: Vec<f64> = (0..3).map(|i| (0..3).map(|j| a[i * 3 + j] * x[j]).sum()).collect();
        let want = x;
        x.copy_from_slice(&b);
        solve_lower(&l, 3, &mut x);
        solve_upper(&l, 3, &mut x);
        x.iter().zip(want).for_each(|(x, w)| assert!((x - w).abs() < 1e-12));
        assert!(cholesky(&[1.0, 2.0, 2.0, 1.0], 2).is_none());
    }

    #[test]
    fn floor_keeps_large_eigenvalues_and_vectors() {
        // Eigenvalues 3 and 1 along (1, 1)/√2 and (1, −1)/√2.
        let mut a = [2.0, 1.0, 1.0, 2.0];
        floor_eigenvalues(&mut a, 2, 0.5);
        assert_eq!(a, [2.0, 1.0, 1.0, 2.0]);
        floor_eigenvalues(&mut a, 2, 2.0);
        for (got, want) in a.iter().zip([2.5, 0.5, 0.5, 2.5]) {
            assert!((got - want).abs() < 1e-12, "{a:?}");
        }
    }
}
