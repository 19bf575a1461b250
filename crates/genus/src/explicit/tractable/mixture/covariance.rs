//! Symmetric positive definite matrices: Cholesky factor, eigenvalue floor, and the covariance structures of a mixture.

use genus_core::stop::abandoned;
use genus_core::{Result, Rng, Stop};
use nalgebra::{DMatrix, SymmetricEigen};
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
    ///
    /// # Errors
    /// [`genus_core::Error::Stopped`] if it was asked to end.
    pub fn from_covariance(covariance: &[f64], d: usize) -> Result<Option<Self>> {
        Ok(cholesky(covariance, d)?.map(Self::Dense))
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

    /// Row i of L.
    fn row(&self, i: usize, d: usize) -> Vec<f64> {
        let mut row = vec![0.0; d];
        match self {
            Self::Dense(l) => row[..=i].copy_from_slice(&l[i * d..=i * d + i]),
            Self::Diagonal(s) => row[i] = s[i],
        }
        row
    }

    /// Entry i, j of L Lᵀ in d dimensions.
    pub fn covariance(&self, i: usize, j: usize, d: usize) -> f64 {
        self.row(i, d).iter().zip(self.row(j, d)).map(|(a, b)| a * b).sum()
    }

    /// The values, as a model file holds them.
    pub fn values(&self) -> &[f64] {
        match self {
            Self::Dense(v) | Self::Diagonal(v) => v,
        }
    }
}

/// L Lᵀ of a lower triangular L.
///
/// # Errors
/// [`genus_core::Error::Stopped`] if it was asked to end.
pub(super) fn product(l: &[f64], d: usize) -> Result<Vec<f64>> {
    let (mut a, stop) = (vec![0.0; d * d], Stop::current());
    for i in 0..d {
        stop.check()?;
        for j in 0..=i {
            let dot = (0..=j).map(|k| l[i * d + k] * l[j * d + k]).sum();
            (a[i * d + j], a[j * d + i]) = (dot, dot);
        }
    }
    Ok(a)
}

/// Lower Cholesky factor L of A = L Lᵀ, row-major, or `None` if A is not positive definite.
///
/// # Errors
/// [`genus_core::Error::Stopped`] if it was asked to end.
pub(super) fn cholesky(a: &[f64], d: usize) -> Result<Option<Vec<f64>>> {
    let (mut l, stop) = (vec![0.0; d * d], Stop::current());
    for i in 0..d {
        stop.check()?;
        for j in 0..=i {
            let dot: f64 = l[i * d..i * d + j].iter().zip(&l[j * d..j * d + j]).map(|(a, b)| a * b).sum();
            let v = a[i * d + j] - dot;
            if i == j {
                if !(v > 0.0 && v.is_finite()) {
                    return Ok(None);
                }
                l[i * d + i] = v.sqrt();
            } else {
                l[i * d + j] = v / l[j * d + j];
            }
        }
    }
    Ok(Some(l))
}

/// Solves L y = b in place.
pub(super) fn solve_lower(l: &[f64], d: usize, b: &mut [f64]) {
    for i in 0..d {
        let dot: f64 = l[i * d..i * d + i].iter().zip(&*b).map(|(a, y)| a * y).sum();
        b[i] = (b[i] - dot) / l[i * d + i];
    }
}

/// Columns from which on a decomposition takes long enough that somebody may want to stop it.
const LONG: usize = 200;

/// Raises eigenvalues below `floor` to it, in units of the columns, and says whether there were such. That is the maximum-likelihood
/// covariance among those whose eigenvalues are at least `floor`, so that EM stays monotone; adding a ridge would not be.
///
/// # Errors
/// [`genus_core::Error::Stopped`] if it was asked to end.
pub(super) fn floor_eigenvalues(a: &mut [f64], d: usize, floor: f64, units: &[f64]) -> Result<bool> {
    let mut shifted = a.to_vec();
    for (i, u) in units.iter().enumerate() {
        shifted[i * d + i] -= floor * u * u;
    }
    if cholesky(&shifted, d)?.is_some() {
        return Ok(false);
    }
    let matrix = DMatrix::from_fn(d, d, |i, j| a[i * d + j] / (units[i] * units[j]));
    let floored = move || {
        let found = SymmetricEigen::new(matrix);
        let mut scaled = found.eigenvectors.clone();
        for (mut column, value) in scaled.column_iter_mut().zip(&found.eigenvalues) {
            column *= value.max(floor);
        }
        scaled * found.eigenvectors.transpose()
    };
    let floored = if d < LONG { floored() } else { abandoned(floored)? };
    for i in 0..d {
        for j in 0..=i {
            // Symmetric to the last bit, which a product is not.
            let v = floored[(i, j)] * units[i] * units[j];
            (a[i * d + j], a[j * d + i]) = (v, v);
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn factor_and_solves() {
        let a = [4.0, 2.0, 0.5, 2.0, 5.0, 1.0, 0.5, 1.0, 3.0];
        let l = cholesky(&a, 3).unwrap().unwrap();
        for i in 0..3 {
            for j in 0..3 {
                let v: f64 = (0..3).map(|k| l[i * 3 + k] * l[j * 3 + k]).sum();
                assert!((v - a[i * 3 + j]).abs() < 1e-12);
            }
        }
        let want = [1.0, -2.0, 0.5];
        let mut x: Vec<f64> = (0..3).map(|i| (0..3).map(|j| l[i * 3 + j] * want[j]).sum()).collect();
        solve_lower(&l, 3, &mut x);
        x.iter().zip(want).for_each(|(x, w)| assert!((x - w).abs() < 1e-12));
        assert!(cholesky(&[1.0, 2.0, 2.0, 1.0], 2).unwrap().is_none());
    }

    #[test]
    fn floor_keeps_large_eigenvalues_and_vectors() {
        // Eigenvalues 3 and 1 along (1, 1)/√2 and (1, −1)/√2.
        let mut a = [2.0, 1.0, 1.0, 2.0];
        assert!(!floor_eigenvalues(&mut a, 2, 0.5, &[1.0; 2]).unwrap());
        assert_eq!(a, [2.0, 1.0, 1.0, 2.0]);
        assert!(floor_eigenvalues(&mut a, 2, 2.0, &[1.0; 2]).unwrap());
        for (got, want) in a.iter().zip([2.5, 0.5, 0.5, 2.5]) {
            assert!((got - want).abs() < 1e-12, "{a:?}");
        }
        // The same in other units.
        let mut a = [2e-18, 1e-6, 1e-6, 2e6];
        assert!(floor_eigenvalues(&mut a, 2, 2.0, &[1e-9, 1e3]).unwrap());
        for (got, want) in a.iter().zip([2.5e-18, 5e-7, 5e-7, 2.5e6]) {
            assert!((got / want - 1.0).abs() < 1e-12, "{a:?}");
        }
    }

    /// A matrix of rank 3 in 250 dimensions: Σ vᵢ vᵢᵀ becomes Σ vᵢ vᵢᵀ + floor (I − P) with the projection P onto the three.
    #[test]
    fn floor_of_a_wide_matrix_fills_what_is_not_there() {
        let (d, floor) = (250, 0.25);
        let mut rng = genus_core::Seed::from(3).rng();
        let mut axes: Vec<Vec<f64>> = Vec::new();
        for _ in 0..3 {
            let mut v: Vec<f64> = (0..d).map(|_| rng.normal()).collect();
            for a in &axes {
                let along: f64 = v.iter().zip(a).map(|(v, a)| v * a).sum();
                v.iter_mut().zip(a).for_each(|(v, a)| *v -= along * a);
            }
            let norm = v.iter().map(|v| v * v).sum::<f64>().sqrt();
            axes.push(v.iter().map(|v| v / norm).collect());
        }
        let sum = |weights: [f64; 3], i: usize, j: usize| -> f64 {
            axes.iter().zip(weights).map(|(a, w)| w * a[i] * a[j]).sum()
        };
        let mut a: Vec<f64> = (0..d * d).map(|at| sum([4.0, 9.0, 2.0], at / d, at % d)).collect();
        assert!(floor_eigenvalues(&mut a, d, floor, &vec![1.0; d]).unwrap());
        for (at, got) in a.iter().enumerate() {
            let (i, j) = (at / d, at % d);
            let want =
                sum([4.0, 9.0, 2.0], i, j) + floor * (f64::from(u8::from(i == j)) - sum([1.0; 3], i, j));
            assert!((got - want).abs() < 1e-10, "{i} {j}: {got} {want}");
        }
        assert!(cholesky(&a, d).unwrap().is_some());
    }
}
