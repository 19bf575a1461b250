//! p(x) = ∫ N(x; W z + μ, Ψ) N(z; 0, I) dz = N(x; μ, W Wᵀ + Ψ): few factors, and noise of each column by itself.

pub mod factor_analysis;
mod gaussian;
mod holes;
mod leap;
mod model;
pub mod ppca;

use gaussian::LinearGaussian;
use genus_core::{ModelSpec, Result, Rng};
use model::Linear;
use nalgebra::DMatrix;
use serde::{Serialize, de::DeserializeOwned};
use std::fmt::Debug;

/// Members.
pub const SPECS: &[&ModelSpec] = &[&factor_analysis::SPEC, &ppca::SPEC];

/// What the members of the family differ in: the law of the noise. [`Linear`] makes the public model of it.
pub trait Noise: Clone + Debug + Send + Sync + Sized + 'static {
    /// Hyper-parameters.
    type Config: LinearConfig;

    /// Whether all columns have the same.
    const SHARED: bool;

    /// Registry entry.
    fn spec() -> &'static ModelSpec;

    /// Numbers of the noise.
    fn parameters(columns: usize) -> usize;

    /// The most likely weights and noise for rows with these covariances; columns have variance 1 or less.
    ///
    /// # Errors
    /// [`Error::Stopped`](genus_core::Error::Stopped).
    fn fit(config: &Self::Config, of: Moments<'_>, heard: &mut dyn FnMut(f64) -> bool) -> Result<Found>;
}

/// What a fit sees of the rows.
pub struct Moments<'a> {
    mean: &'a [f64],
    covariance: &'a DMatrix<f64>,
    /// The law that the fit begins with, if it begins with one.
    start: Option<&'a LinearGaussian>,
    rng: &'a mut Rng,
}

/// What a fit found.
pub struct Found {
    law: LinearGaussian,
    converged: bool,
}

/// What the hyper-parameters of all members have in common.
pub trait LinearConfig: Serialize + DeserializeOwned + Default + Clone + Debug + Send + Sync {
    /// Number of factors.
    fn latent(&self) -> usize;
    /// Whether columns are fitted in units of their standard deviations.
    fn standardize(&self) -> bool;
    /// Least variance of the noise, as a share of a column's.
    fn floor(&self) -> f64;
    /// Most turns where cells are missing, and the rise of the mean log-likelihood per row below which they end, nats.
    fn patience(&self) -> (usize, f64) {
        (5000, 1e-9)
    }
}
