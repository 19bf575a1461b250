//! # Probabilistic principal component analysis (PPCA)
//!
//! ## What it is
//! x = W z + μ + ε with z ~ N(0, I) and ε ~ N(0, σ² I): p(x) = N(x; μ, W Wᵀ + σ² I). The columns of W span the plane of the leading
//! principal components; all other directions share one variance.
//!
//! ## Density
//! Exact, in time proportional to the number of factors. Levels are dequantised, and the number is then a lower bound. Missing values are
//! filled from the exact conditional.
//!
//! ## Trained by
//! The maximum of the likelihood in closed form: with eigenvalues λ₁ ≥ λ₂ … and eigenvectors U of the covariance (over n), σ² is the mean of
//! those that are left over, and W = U (Λ − σ² I)^½. Where cells are missing, the maximum of the likelihood of what is there, by
//! expectation–maximisation.
//!
//! ## Use it when
//! Columns in the same units go together, and a density, more rows, missing values, or fewer numbers are wanted. Where each column has its own
//! noise, take factor analysis (`factor-analysis`).
//!
//! ## References
//! Tipping & Bishop 1999; Roweis 1998.
//!
//! ## Example
//! ```
//! use genus::{Density as _, Family, FitContext, Ppca, PpcaConfig, Seed, Silent, data};
//!
//! let iris = data::load("iris", &data::Options::default())?;
//! let config = PpcaConfig { latent: 2.try_into().unwrap(), standardize: false, ..Default::default() };
//! let fit = Ppca::fit(&config, &iris, &mut FitContext::new(Seed::from(0), &mut Silent))?;
//! assert!((fit.model.log_prob(&iris.train.x)?.mean() + 2.699752).abs() < 1e-6);
//! # Ok::<(), genus::Error>(())
//! ```

use super::gaussian::LinearGaussian;
use super::{Found, Linear, LinearConfig, Moments, Noise};
use crate::spectrum::leading;
use genus_core::config::{Positive, count};
use genus_core::{Error, EvidenceKind, ModelSpec, Reference, Result, SupportKind, TinyFit};
use nalgebra::DMatrix;
use serde::{Deserialize, Serialize};
use std::num::NonZeroUsize;

/// Registry entry.
pub static SPEC: ModelSpec = ModelSpec::new::<Ppca>(
    "ppca",
    "Probabilistic principal component analysis",
    module_path!(),
)
.summary(
    "tables of numbers in the same units: few directions with a law, codes, exact filling of missing values",
)
.papers(&[Reference::new(
    "Tipping & Bishop",
    1999,
    "Probabilistic Principal Component Analysis",
    "https://doi.org/10.1111/1467-9868.00196",
)])
.evidence(EvidenceKind::Exact)
.can(super::model::CAPABILITIES)
.rows(&[SupportKind::Real, SupportKind::Discrete, SupportKind::Binary])
.takes_missing()
.suited(super::model::suited)
.tiny_fits(&[
    TinyFit::new("line", "moons", "latent = 1\n")
        .failing(&[("approaches_the_known_entropy", "moons are bent")]),
    TinyFit::new("levels", "pairs4", "latent = 2\n").failing(super::model::BITS),
]);

/// Hyper-parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PpcaConfig {
    /// Number of factors; fewer than columns.
    pub latent: NonZeroUsize,
    /// Fit to columns in units of their standard deviations; scores stay in data units.
    pub standardize: bool,
    /// Least variance of the noise, as a share of the columns' variances.
    pub floor: Positive,
}

impl Default for PpcaConfig {
    fn default() -> Self {
        Self { latent: count(2), standardize: true, floor: super::model::floor() }
    }
}

impl LinearConfig for PpcaConfig {
    fn latent(&self) -> usize {
        self.latent.get()
    }
    fn standardize(&self) -> bool {
        self.standardize
    }
    fn floor(&self) -> f64 {
        self.floor.get()
    }
}

/// Noise that is the same in all directions.
#[derive(Debug, Clone)]
pub struct Isotropic;

/// A fitted probabilistic PCA.
pub type Ppca = Linear<Isotropic>;

impl Noise for Isotropic {
    type Config = PpcaConfig;
    const SHARED: bool = true;

    fn spec() -> &'static ModelSpec {
        &SPEC
    }

    fn parameters(_: usize) -> usize {
        1
    }

    fn fit(config: &Self::Config, of: Moments<'_>, _: &mut dyn FnMut(f64) -> bool) -> Result<Found> {
        let (d, q) = (of.mean.len(), config.latent.get());
        let (values, vectors) = leading(of.covariance, q, None, of.rng)?;
        let total = of.covariance.trace();
        if total <= 0.0 {
            return Err(Error::Domain(
                "no column varies: there is nothing to be learned of such rows".into(),
            ));
        }
        let left = (total - values.iter().sum::<f64>()) / (d - q) as f64;
        let variance = left.max(config.floor.get() * total / d as f64);
        let sizes: Vec<f64> = values.iter().map(|v| (v - variance).max(0.0).sqrt()).collect();
        let weights = vectors * DMatrix::from_diagonal(&sizes.into());
        Ok(Found { law: LinearGaussian::new(weights, of.mean.to_vec(), vec![variance; d])?, converged: true })
    }
}
