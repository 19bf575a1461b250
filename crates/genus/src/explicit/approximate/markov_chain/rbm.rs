//! # Restricted Boltzmann machine (RBM)
//!
//! ## What it is
//! p(v) = Σ_h exp(−E(v, h)) / Z over bits v and h with E(v, h) = −b·v − c·h − vᵀW h. Units of one layer do not see each other, so that
//! each layer is drawn at once given the other: p(h_j = 1 | v) = σ(c_j + v W_j), p(v_i = 1 | h) = σ(b_i + W_i h).
//!
//! ## Density
//! log p(v) = b·v + Σ_j softplus(c_j + v W_j) − log Z: minus the free energy, minus log Z. Exact where the smaller layer's states can
//! be gone through; else log Z is estimated by annealed importance sampling from the marginals of the training rows, with three
//! standard errors, effective sample size, and the same way backwards. An estimated log Z is too low on average, and the
//! log-likelihood with it too high.
//!
//! ## Trained by
//! Stochastic gradient ascent on ⟨v h⟩ of the data minus ⟨v h⟩ of chains that begin at the rows (contrastive divergence), go on from
//! step to step (persistent), or swap temperatures (parallel tempering).
//!
//! ## Use it when
//! Binary rows have many weak dependencies, features are wanted, or any values may be missing.
//!
//! ## References
//! Smolensky 1986; Hinton 2002 (contrastive divergence); Tieleman 2008 (persistent); Desjardins et al. 2010 (tempering);
//! Salakhutdinov & Murray 2008 (evaluation).
//!
//! ## Example
//! ```
//! use genus::{Density as _, Family, FitContext, Rbm, RbmConfig, Seed, Silent, config, data};
//!
//! let tree = data::load("tree8", &data::Options::default())?;
//! let config: RbmConfig = config::from_table(&toml::from_str("hidden = 8\ntrain.epochs = 5").unwrap())?;
//! let fit = Rbm::fit(&config, &tree, &mut FitContext::new(Seed::from(7), &mut Silent))?;
//! assert!(fit.model.log_prob(&tree.test.unwrap().x)?.mean() > -8.0 * 2f64.ln());
//! # Ok::<(), genus::Error>(())
//! ```

use super::MachineConfig;
use super::annealing::Annealing;
use super::boltzmann::Boltzmann;
use super::learning::Learning;
use super::restricted::{Kind, Restricted, TwoLayers};
use super::units::Units;
use crate::sampling::Sampling;
use genus_core::config::count;
use genus_core::transform::{Binarize, Transform};
use genus_core::{
    Batch, Capability, Domain, Error, EvidenceKind, ModelSpec, Reference, Result, Schema, SupportKind,
    TinyFit,
};
use genus_kernels::LayerPair;
use serde::{Deserialize, Serialize};
use std::num::NonZeroUsize;

/// A fitted RBM.
pub type Rbm = Boltzmann<Restricted<Bits>>;

/// Registry entry.
pub static SPEC: ModelSpec = ModelSpec::new::<Rbm>("rbm", "Restricted Boltzmann machine", module_path!())
    .summary("binary rows: features, and fills of any missing values; the likelihood is exact for few units and estimated for many")
    .papers(&[
        Reference::new(
            "Hinton",
            2002,
            "Training Products of Experts by Minimizing Contrastive Divergence",
            "https://doi.org/10.1162/089976602760128018",
        ),
        Reference::new(
            "Tieleman",
            2008,
            "Training Restricted Boltzmann Machines using Approximations to the Likelihood Gradient",
            "https://doi.org/10.1145/1390156.1390290",
        ),
        Reference::new(
            "Salakhutdinov & Murray",
            2008,
            "On the Quantitative Analysis of Deep Belief Networks",
            "https://doi.org/10.1145/1390156.1390266",
        ),
    ])
    .evidence(EvidenceKind::Exact)
    .estimated()
    .can(&[Capability::Density, Capability::Sampler, Capability::Encoder, Capability::Conditional])
    .rows(&[SupportKind::Binary, SupportKind::Discrete])
    .trained_by_steps()
    .suited(crate::suited::restricted)
    .tiny_fits(&[
        TinyFit::new(
            "persistent",
            "tree8",
            "hidden = 8\n[train]\nepochs = 40\nbatch = 50\nrate = 0.2\n[sampling]\nburn_in = 100\nthin = 20\n",
        ),
        TinyFit::new(
            "contrastive",
            "tree8",
            "hidden = 8\n[train]\nalgorithm = \"contrastive\"\nepochs = 40\nbatch = 50\nrate = 0.1\ntransitions = 10\ngrow = true\nmomentum = 0.5\nweight_decay = 1e-4\nsparsity = 0.3\nsparsity_cost = 0.01\n[sampling]\nburn_in = 100\nthin = 20\n",
        ),
        TinyFit::new(
            "tempering, estimated",
            "tree8",
            "hidden = 8\n[train]\nalgorithm = \"tempering\"\nepochs = 20\nbatch = 50\nrate = 0.2\ntemperatures = 4\nema = 0.99\n[annealing]\nexact = false\nsteps = 1000\nback_burn_in = 100\n[sampling]\nburn_in = 100\nthin = 20\n",
        ),
    ])
    .gradient_check(|seed| {
        let config = RbmConfig { hidden: count(4), ..RbmConfig::default() };
        Restricted::<Bits>::gradient_check(&config, &Domain::binary(5), seed)
    });

/// Hyper-parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RbmConfig {
    /// Hidden units.
    pub hidden: NonZeroUsize,
    /// How levels become bits.
    pub binarize: Binarize,
    /// Training.
    pub train: Learning,
    /// Drawing.
    pub sampling: Sampling,
    /// Estimation of log Z.
    pub annealing: Annealing,
}

impl Default for RbmConfig {
    fn default() -> Self {
        Self {
            hidden: count(500),
            binarize: Binarize::default(),
            train: Learning::default(),
            sampling: Sampling::default(),
            annealing: Annealing::default(),
        }
    }
}

impl MachineConfig for RbmConfig {
    fn transform(&self, rows: &Schema, _: &Batch) -> Result<Transform> {
        Transform::to_binary(rows, self.binarize, 0)
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

impl TwoLayers for RbmConfig {
    fn hidden(&self) -> usize {
        self.hidden.get()
    }
}

/// Visible units are bits.
#[derive(Debug, Clone)]
pub struct Bits;

impl Kind for Bits {
    const UNITS: Units = Units::Bits;
    type Config = RbmConfig;

    fn spec() -> &'static ModelSpec {
        &SPEC
    }
}

impl Rbm {
    /// The machine with these parameters, for example of another program; log Z is summed, or estimated as `config` says.
    ///
    /// # Shapes
    /// weights `[visible, hidden]`, visible `[visible]`, hidden `[hidden]`, base `[visible]`: inputs of the independent units with which
    /// annealing begins, best the logits of the marginals of the data
    ///
    /// # Errors
    /// [`Error::Shape`] if these do not fit together, are not finite, or `config` wants another number of hidden units.
    pub fn with_parameters(
        config: RbmConfig,
        weights: Batch,
        visible: Vec<f32>,
        hidden: Vec<f32>,
        base: Vec<f32>,
    ) -> Result<Self> {
        let found = [weights.rows(), weights.width(), base.len()];
        let wanted = [visible.len(), hidden.len(), visible.len()];
        let finite = [weights.data(), &visible, &hidden, &base].into_iter().flatten().all(|v| v.is_finite());
        if visible.is_empty() || !finite {
            return Err(Error::shape(
                "parameters of an RBM",
                "finite ones of one visible unit at least",
                "others",
            ));
        }
        if found != wanted || hidden.len() != config.hidden.get() {
            let config = config.hidden;
            return Err(Error::shape(
                "parameters of an RBM",
                format!("weights {wanted:?} for {} visible and {config} hidden units", visible.len()),
                format!("{found:?}"),
            ));
        }
        let domain = Domain::binary(visible.len());
        let pair = LayerPair { w: weights.into_data(), visible, hidden };
        Self::assemble(config, domain, Restricted::new(pair, base))
    }
}
