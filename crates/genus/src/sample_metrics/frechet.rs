//! Fréchet distance of the normals that have the moments of two sets of rows (Heusel et al. 2017):
//! |μ₁ − μ₂|² + tr(Σ₁ + Σ₂ − 2 (Σ₁^½ Σ₂ Σ₁^½)^½).

use crate::{Batch, Error, Result, stop};
use nalgebra::{DMatrix, SymmetricEigen};

/// Mean and covariance (over n − 1).
fn moments(x: &Batch) -> (Vec<f64>, DMatrix<f64>) {
    let (mean, _) = crate::transform::moments(x);
    let (n, d) = (x.rows(), x.width());
    let centred = DMatrix::from_fn(d, n, |c, r| f64::from(x.row(r)[c]) - mean[c]);
    let covariance = (&centred * centred.transpose()) / (n - 1).max(1) as f64;
    (mean, covariance)
}

/// The square root of a matrix that is symmetric and not negative but by rounding.
fn root(m: DMatrix<f64>) -> DMatrix<f64> {
    let SymmetricEigen { eigenvectors, eigenvalues } = SymmetricEigen::new(m);
    let roots = eigenvalues.map(|v| v.max(0.0).sqrt());
    &eigenvectors * DMatrix::from_diagonal(&roots) * eigenvectors.transpose()
}

fn distance(x: &Batch, y: &Batch) -> f64 {
    let ((m1, c1), (m2, c2)) = (moments(x), moments(y));
    let off: f64 = m1.iter().zip(&m2).map(|(a, b)| (a - b).powi(2)).sum();
    let half = root(c1.clone());
    let product = &half * &c2 * &half;
    let symmetric = (&product + product.transpose()) * 0.5;
    let roots = symmetric.symmetric_eigenvalues().map(|v| v.max(0.0).sqrt());
    off + c1.trace() + c2.trace() - 2.0 * roots.sum()
}

/// The distance. It is larger for fewer rows of the same laws: only values for equal numbers can be compared.
///
/// # Errors
/// [`Error::Domain`] if there are no more rows than columns, where covariances are singular; [`Error::Stopped`].
pub fn frechet_distance(x: &Batch, y: &Batch) -> Result<f64> {
    let least = x.rows().min(y.rows());
    if least <= x.width() {
        let message = format!(
            "a Fréchet distance of {} columns needs more rows than that, and there are {least}",
            x.width()
        );
        return Err(Error::Domain(message));
    }
    let (x, y) = (x.clone(), y.clone());
    stop::abandoned(move || distance(&x, &y))
}
