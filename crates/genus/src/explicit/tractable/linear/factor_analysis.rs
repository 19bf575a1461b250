//! # Factor analysis
//!
//! ## What it is
//! x = W z + μ + ε with z ~ N(0, I) and ε ~ N(0, Ψ), Ψ diagonal: p(x) = N(x; μ, W Wᵀ + Ψ). Factors explain what columns have in common, and
//! each column has noise of its own. W is determined up to a rotation of the factors; here its columns are orthogonal in units of the
//! noise, the strongest first.
//!
//! ## Density
//! Exact, in time proportional to the number of factors. Levels are dequantised, and the number is then a lower bound. Missing values are
//! filled from the exact conditional.
//!
//! ## Trained by
//! Maximum likelihood, in turns: given Ψ, W comes from the leading eigenvectors of the covariance in units of the noise,
//! Ψ^{−½} S Ψ^{−½} = U Λ Uᵀ, W = Ψ^½ U (Λ − I)^½; given W, Ψ = diag(S − W Wᵀ), not below a floor: a column that the factors explain
//! wholly (a Heywood case) is said. Where turns lead is guessed from three of them (Varadhan & Roland 2008). Where cells are missing, the
//! likelihood of what is there, by expectation–maximisation.
//!
//! ## Use it when
//! Columns in different units or with different noise go together. Where all have the same units, `ppca` has fewer numbers to learn.
//!
//! ## References
//! Spearman 1904; Lawley 1940; Rubin & Thayer 1982; Barber 2012, algorithm 21.1.
//!
//! ## Example
//! ```
//! use genus::{Density as _, FactorAnalysis, FactorAnalysisConfig, Family, FitContext, Seed, Silent, data};
//!
//! let iris = data::load("iris", &data::Options::default())?;
//! let config = FactorAnalysisConfig { latent: 2.try_into().unwrap(), ..Default::default() };
//! let fit = FactorAnalysis::fit(&config, &iris, &mut FitContext::new(Seed::from(0), &mut Silent))?;
//! // A normal law with any covariance has -2.5328.
//! assert!(fit.model.log_prob(&iris.train.x)?.mean() > -2.5993);
//! # Ok::<(), genus::Error>(())
//! ```

use super::gaussian::LinearGaussian;
use super::leap::leap;
use super::{Found, Linear, LinearConfig, Moments, Noise};
use crate::spectrum::leading;
use genus_core::config::{NonNegative, Positive, count};
use genus_core::math::LN_2PI;
use genus_core::{Error, EvidenceKind, ModelSpec, Reference, Result, Rng, SupportKind, TinyFit};
use nalgebra::DMatrix;
use serde::{Deserialize, Serialize};
use std::num::NonZeroUsize;

/// Registry entry.
pub static SPEC: ModelSpec =
    ModelSpec::new::<FactorAnalysis>("factor-analysis", "Factor analysis", module_path!())
        .summary("tables of numbers: few common causes and the noise of each column, codes, exact filling of missing values")
        .papers(&[
            Reference::new(
                "Rubin & Thayer",
                1982,
                "EM algorithms for ML factor analysis",
                "https://doi.org/10.1007/BF02293851",
            ),
            Reference::new(
                "Barber",
                2012,
                "Bayesian Reasoning and Machine Learning",
                "https://www.cs.ucl.ac.uk/staff/d.barber/brml/",
            ),
        ])
        .evidence(EvidenceKind::Exact)
        .can(super::model::CAPABILITIES)
        .rows(&[SupportKind::Real, SupportKind::Discrete, SupportKind::Binary])
        .takes_missing()
        .suited(super::model::suited_factors)
        .tiny_fits(&[
            TinyFit::new("line", "moons", "latent = 1\n").failing(&[(
                "approaches_the_known_entropy",
                "moons are bent",
            )]),
            TinyFit::new("levels", "pairs4", "latent = 2\n").failing(super::model::BITS),
        ]);

/// Hyper-parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FactorAnalysisConfig {
    /// Number of factors; fewer than columns.
    pub latent: NonZeroUsize,
    /// Most rounds of three turns.
    pub iterations: NonZeroUsize,
    /// They end when one raises the mean log-likelihood per row by less, nats.
    pub tolerance: NonNegative,
    /// Least variance of a column's noise, as a share of its variance.
    pub floor: Positive,
}

impl Default for FactorAnalysisConfig {
    fn default() -> Self {
        Self {
            latent: count(2),
            iterations: count(2000),
            tolerance: NonNegative::new(1e-9).unwrap_or_else(|| unreachable!("it is not negative")),
            floor: super::model::floor(),
        }
    }
}

impl LinearConfig for FactorAnalysisConfig {
    fn latent(&self) -> usize {
        self.latent.get()
    }
    /// The maximum of the likelihood does not depend on units.
    fn standardize(&self) -> bool {
        true
    }
    fn floor(&self) -> f64 {
        self.floor.get()
    }
    fn patience(&self) -> (usize, f64) {
        (self.iterations.get(), self.tolerance.get())
    }
}

/// Noise of each column by itself.
#[derive(Debug, Clone)]
pub struct Diagonal;

/// A fitted factor analysis.
pub type FactorAnalysis = Linear<Diagonal>;

impl Noise for Diagonal {
    type Config = FactorAnalysisConfig;
    const SHARED: bool = false;

    fn spec() -> &'static ModelSpec {
        &SPEC
    }

    fn parameters(columns: usize) -> usize {
        columns
    }

    fn fit(config: &Self::Config, of: Moments<'_>, heard: &mut dyn FnMut(f64) -> bool) -> Result<Found> {
        let (d, cov) = (of.mean.len(), of.covariance);
        let least: Vec<f64> =
            (0..d).map(|c| config.floor.get() * cov[(c, c)].max(config.floor.get())).collect();
        let mut turns =
            Turns { covariance: cov, least: &least, factors: config.latent.get(), near: None, rng: of.rng };
        let begin =
            of.start.map_or_else(|| cov.diagonal().iter().copied().collect(), |old| old.noise.clone());
        let mut at = turns.of(begin)?;
        let mut converged = false;
        for _ in 0..config.iterations.get() {
            if heard(at.nats) || converged {
                break;
            }
            let next = match turns.on(&at) {
                Err(Error::Stopped(_)) => break,
                next => next?,
            };
            converged = next.nats - at.nats < config.tolerance.get();
            at = next;
        }
        Ok(Found { law: LinearGaussian::new(at.weights, of.mean.to_vec(), at.noise)?, converged })
    }
}

/// Noise, the weights that are best with it, the mean log-likelihood of both, and the noise that is best with these weights.
struct Turn {
    noise: Vec<f64>,
    weights: DMatrix<f64>,
    nats: f64,
    next: Vec<f64>,
}

/// What turns need.
struct Turns<'a> {
    covariance: &'a DMatrix<f64>,
    /// Least noise of each column.
    least: &'a [f64],
    factors: usize,
    /// Directions of the turn before.
    near: Option<DMatrix<f64>>,
    rng: &'a mut Rng,
}

impl Turns<'_> {
    /// Where two turns lead, further turns lead too: as far as they seem to, unless the likelihood falls.
    fn on(&mut self, at: &Turn) -> Result<Turn> {
        let one = self.of(at.next.clone())?;
        let two = self.of(one.next.clone())?;
        let [a, b, c] = [at, &one, &two].map(|t| t.noise.iter().map(|v| libm::log(*v)).collect::<Vec<_>>());
        let far = self.of(leap([&a, &b, &c]).into_iter().map(libm::exp).collect())?;
        Ok(if far.nats > two.nats { far } else { two })
    }

    fn of(&mut self, noise: Vec<f64>) -> Result<Turn> {
        let (d, q, cov) = (noise.len(), self.factors, self.covariance);
        let noise: Vec<f64> = noise.iter().zip(self.least).map(|(v, l)| v.max(*l)).collect();
        let unit: Vec<f64> = noise.iter().map(|v| v.sqrt()).collect();
        let scaled = DMatrix::from_fn(d, d, |i, j| cov[(i, j)] / (unit[i] * unit[j]));
        let (values, vectors) = leading(&scaled, q, self.near.as_ref(), self.rng)?;
        // What lies beyond 1, the noise's own variance, is of the factors.
        let kept: f64 = values.iter().map(|v| libm::log(v.max(1.0)) + v.min(1.0)).sum();
        let rest = scaled.trace() - values.iter().sum::<f64>();
        let volume: f64 = noise.iter().map(|v| libm::log(*v)).sum();
        let nats = -0.5 * (d as f64 * LN_2PI + volume + kept + rest);
        let sizes: Vec<f64> = values.iter().map(|v| (v - 1.0).max(0.0).sqrt()).collect();
        let weights = DMatrix::from_fn(d, q, |i, j| unit[i] * vectors[(i, j)] * sizes[j]);
        let left = |c: usize| (cov[(c, c)] - weights.row(c).norm_squared()).max(self.least[c]);
        let next = (0..d).map(left).collect();
        self.near = Some(vectors);
        Ok(Turn { noise, weights, nats, next })
    }
}
