//! # Gaussian-Bernoulli restricted Boltzmann machine
//!
//! ## What it is
//! p(v) = Σ_h exp(−E(v, h)) / Z over numbers v and bits h with E(v, h) = |v − b|²/2σ² − c·h − (v/σ)ᵀW h: a mixture of 2^hidden normals
//! with standard deviation σ around b + σ W h. σ is chosen, not learned, in units of the standard deviations of the columns, or of
//! the rows themselves if `standardize` is off; b and W are those of v/σ.
//!
//! ## Density
//! log p(v) = −|v − b|²/2σ² + Σ_j softplus(c_j + (v/σ) W_j) − log Z. Exact where the states of the hidden units can be gone through; else
//! log Z is estimated by annealed importance sampling, as for [`Rbm`](super::rbm::Rbm). Levels are dequantised, and scores are then
//! estimates of lower bounds.
//!
//! ## Trained by
//! As [`Rbm`](super::rbm::Rbm). The step size has to be smaller, because visible units are not bounded.
//!
//! ## Use it when
//! Features of real-valued rows are wanted. As a density it is weak: all components have the same width.
//!
//! ## References
//! Welling, Rosen-Zvi & Hinton 2005; Hinton & Salakhutdinov 2006.
//!
//! ## Example
//! ```
//! use genus::{Encoder as _, Family, FitContext, GaussianRbm, GaussianRbmConfig, Seed, Silent, config, data};
//!
//! let iris = data::load("iris", &data::Options::default())?;
//! let config: GaussianRbmConfig = config::from_table(&toml::from_str("hidden = 8\ntrain.epochs = 5").unwrap())?;
//! let fit = GaussianRbm::fit(&config, &iris, &mut FitContext::new(Seed::from(7), &mut Silent))?;
//! assert_eq!(fit.model.encode(&iris.train.x)?.width(), 8);
//! # Ok::<(), genus::Error>(())
//! ```

use super::MachineConfig;
use super::annealing::Annealing;
use super::boltzmann::Boltzmann;
use super::learning::Learning;
use super::restricted::{Kind, Restricted, TwoLayers};
use super::units::Units;
use crate::sampling::Sampling;
use genus_core::config::{Positive, count};
use genus_core::transform::{RealSteps, Transform};
use genus_core::{
    Batch, Capability, Domain, EvidenceKind, ModelSpec, Reference, Result, Schema, SupportKind, TinyFit,
};
use serde::{Deserialize, Serialize};
use std::num::NonZeroUsize;

/// A fitted Gaussian RBM.
pub type GaussianRbm = Boltzmann<Restricted<Normals>>;

/// Registry entry.
pub static SPEC: ModelSpec =
    ModelSpec::new::<GaussianRbm>("gaussian-rbm", "Gaussian-Bernoulli restricted Boltzmann machine", module_path!())
    .summary("numbers: binary features, and fills of any missing values; as a density weak")
    .papers(&[
        Reference::new(
            "Welling, Rosen-Zvi & Hinton",
            2005,
            "Exponential Family Harmoniums with an Application to Information Retrieval",
            "https://papers.nips.cc/paper/2672-exponential-family-harmoniums-with-an-application-to-information-retrieval",
        ),
        Reference::new(
            "Hinton & Salakhutdinov",
            2006,
            "Reducing the Dimensionality of Data with Neural Networks",
            "https://doi.org/10.1126/science.1127647",
        ),
    ])
    .evidence(EvidenceKind::Exact)
    .estimated()
    .can(&[Capability::Density, Capability::Sampler, Capability::Encoder, Capability::Conditional])
    .rows(&[SupportKind::Discrete, SupportKind::Real])
    .trained_by_steps()
    .suited(crate::suited::normals)
    .tiny_fits(&[
        TinyFit::new(
            "standardised",
            "8gaussians",
            "hidden = 12\nsigma = 0.3\n[train]\nepochs = 40\nbatch = 50\nrate = 0.02\n[sampling]\nburn_in = 200\nthin = 20\n",
        ),
        TinyFit::new(
            "levels, estimated",
            "pairs4",
            "hidden = 8\n[train]\nalgorithm = \"contrastive\"\nepochs = 10\nbatch = 50\nrate = 0.02\n[annealing]\nexact = false\nsteps = 1000\nback_burn_in = 100\n[sampling]\nburn_in = 200\nthin = 20\n",
        ).failing(&[
                (
                    "beats_independent_columns",
                    "normals of one width cannot follow the edges of dequantised levels",
                ),
                (
                    "approaches_the_known_entropy",
                    "normals of one width cannot follow the edges of dequantised levels",
                ),
            ]),
    ])
    .gradient_check(|seed| {
        let config = GaussianRbmConfig { hidden: count(4), ..GaussianRbmConfig::default() };
        Restricted::<Normals>::gradient_check(&config, &Domain::real(5), seed)
    });

/// Hyper-parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GaussianRbmConfig {
    /// Hidden units.
    pub hidden: NonZeroUsize,
    /// Standardise columns.
    pub standardize: bool,
    /// Standard deviation of a visible unit given the hidden units.
    pub sigma: Positive,
    /// Training.
    pub train: Learning,
    /// Drawing.
    pub sampling: Sampling,
    /// Estimation of log Z.
    pub annealing: Annealing,
}

impl Default for GaussianRbmConfig {
    fn default() -> Self {
        Self {
            hidden: count(100),
            standardize: true,
            sigma: Positive::constant(0.5),
            train: Learning { rate: Positive::constant(0.005), ..Learning::default() },
            sampling: Sampling::default(),
            annealing: Annealing::default(),
        }
    }
}

impl MachineConfig for GaussianRbmConfig {
    fn transform(&self, rows: &Schema, x: &Batch) -> Result<Transform> {
        let real = RealSteps { logit: None, standardize: self.standardize };
        Ok(Transform::to_real(rows, real, x, 0)?.in_units_of(self.sigma.get()))
    }

    fn train(&self) -> &Learning {
        &self.train
    }

    fn sampling(&self) -> &Sampling {
        &self.sampling
    }

    fn annealing(&self) -> &Annealing {
        &self.annealing
    }
}

impl TwoLayers for GaussianRbmConfig {
    fn hidden(&self) -> usize {
        self.hidden.get()
    }
}

/// Visible units are normal numbers.
#[derive(Debug, Clone)]
pub struct Normals;

impl Kind for Normals {
    const UNITS: Units = Units::Normals;
    type Config = GaussianRbmConfig;

    fn spec() -> &'static ModelSpec {
        &SPEC
    }
}
