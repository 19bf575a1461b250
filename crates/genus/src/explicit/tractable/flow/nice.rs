//! # NICE
//!
//! ## What it is
//! p(x) = p_base(f(x)) |det ∂f/∂x|, f a stack of additive couplings, u_kept = x_kept and u_moved = x_moved + m(x_kept), whose determinant is 1,
//! and at last a scale for each value, u_d = e^{s_d} x_d + t_d: log |det ∂f/∂x| = Σ s_d. Values that are known well get large scales, so that the
//! scales are a spectrum of what is worth modelling. The base is logistic or normal.
//!
//! ## Density
//! Exact, in one pass, as draws are.
//!
//! Given columns enter every network: p(x | given) = p_base(f(x; given)) |det ∂f/∂x|.
//!
//! ## Trained by
//! Minibatch Adam on −log p.
//!
//! ## Use it when
//! The first of the flows is of interest, or many columns are noisy mixtures of few: for everything else `realnvp` and `spline-flow` fit
//! better.
//!
//! ## References
//! Dinh, Krueger & Bengio 2014.
//!
//! ## Example
//! ```
//! use genus::{Density as _, Family, FitContext, Nice, NiceConfig, Seed, Silent, config, data};
//!
//! let moons = data::load("moons", &data::Options::default())?;
//! let config = toml::from_str("hidden = [32]\ntrain.epochs = 4\ntrain.optimizer.rate = 0.01").unwrap();
//! let config: NiceConfig = config::from_table(&config)?;
//! let fit = Nice::fit(&config, &moons, &mut FitContext::new(Seed::from(7), &mut Silent))?;
//! // A single normal has -3.29.
//! assert!(fit.model.log_prob(&moons.test.unwrap().x)?.mean() > -3.2);
//! # Ok::<(), genus::Error>(())
//! ```

use super::{Flow, FlowConfig, Map, halves};
use genus_core::config::count;
use genus_core::transform::{RealSteps, Transform};
use genus_core::{
    Batch, Capability, Domain, EvidenceKind, GivenKinds, ModelSpec, Reference, Result, Rng, Schema, Seed,
    SupportKind, TinyFit,
};
use genus_nn::{Activation, Base, Bijection, Nonlinearity, Params, Step, Steps, TrainConfig, Warp};
use serde::{Deserialize, Serialize};
use std::num::NonZeroUsize;
use std::sync::Arc;

/// A fitted NICE.
pub type Nice = Flow<Additive>;

/// Registry entry.
pub static SPEC: ModelSpec =
    ModelSpec::new::<Nice>("nice", "Non-linear independent components estimation (NICE)", module_path!())
        .summary("tables of numbers: additive couplings, exact scores and draws in one pass each")
        .papers(&[Reference::new(
            "Dinh, Krueger & Bengio",
            2014,
            "NICE: Non-linear Independent Components Estimation",
            "https://arxiv.org/abs/1410.8516",
        )])
        .evidence(EvidenceKind::Exact)
        .can(&[Capability::Density, Capability::Sampler, Capability::Encoder, Capability::Decoder, Capability::Given])
        .passes("1 to score, 1 to draw")
        .rows(&[SupportKind::Real, SupportKind::Discrete])
        .trained_by_steps()
        .suited(crate::suited::flow)
        .given(GivenKinds::Any)
        .tiny_fits(&[
            TinyFit::new(
                "logistic base",
                "pinwheel",
                "hidden = [48, 48]\n[train]\nepochs = 14\nbatch = 100\nema = 0.95\n[train.optimizer]\nrate = 0.004\n",
            ),
            TinyFit::new(
                "normal base over levels",
                "pairs4",
                "base = \"normal\"\nhidden = [24]\n[train]\nepochs = 10\nbatch = 50\nema = 0.9\n[train.optimizer]\nrate = 0.01\n",
            )
            .failing(&[(
                "approaches_the_known_entropy",
                "couplings that keep volumes cannot sharpen the edges of dequantised levels",
            )]),
        TinyFit::new("given numbers and a kind", "regression", "base = \"normal\"\nhidden = [24]\n[train]\nepochs = 6\nbatch = 100\nema = 0.9\n[train.optimizer]\nrate = 0.005\n")
            .given(&["kind", "a", "b"]),
    ])
        .gradient_check(gradient_check);

/// Hyper-parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NiceConfig {
    /// Couplings.
    pub layers: NonZeroUsize,
    /// Units of the hidden layers of each network.
    pub hidden: Vec<NonZeroUsize>,
    /// Function of the hidden units.
    pub activation: Nonlinearity,
    /// The law of the components.
    pub base: Base,
    /// Standardise columns.
    pub standardize: bool,
    /// Training.
    pub train: TrainConfig,
}

impl Default for NiceConfig {
    fn default() -> Self {
        Self {
            layers: count(6),
            hidden: vec![count(64), count(64)],
            activation: Nonlinearity::Relu,
            base: Base::Logistic,
            standardize: true,
            train: TrainConfig::default(),
        }
    }
}

impl FlowConfig for NiceConfig {
    fn transform(&self, rows: &Schema, x: &Batch) -> Result<Transform> {
        Transform::to_real(rows, RealSteps { logit: None, standardize: self.standardize }, x, 0)
    }
    fn base(&self) -> Base {
        self.base
    }
    fn train(&self) -> &TrainConfig {
        &self.train
    }
}

/// The largest |s| of a scale: a value that is known to 1 in 160,000 of its unit.
const BOUND: f32 = 12.0;

/// Additive couplings and scales.
#[derive(Debug, Clone)]
pub struct Additive;

impl Map for Additive {
    type Config = NiceConfig;

    fn spec() -> &'static ModelSpec {
        &SPEC
    }

    fn build(
        config: &NiceConfig,
        rows: &Domain,
        given: usize,
        params: &mut Params,
        rng: &mut Rng,
    ) -> Result<Arc<dyn Bijection>> {
        let (d, n) = (rows.width(), config.layers.get());
        super::two_halves(d)?;
        let hidden = super::afford(&config.hidden, d, given, n, Warp::Shift)?;
        let act = config.activation.into();
        let coupling = |kept| Step::coupling(d, kept, given, &hidden, act, Warp::Shift);
        // A coupling that keeps nothing has a bias alone, and what is linear in what is given.
        let scale =
            Step::coupling(d, Vec::new(), given, &[], Activation::Identity, Warp::Affine { bound: BOUND });
        let steps = halves(d, n).into_iter().map(coupling).chain([scale]).collect();
        Ok(Arc::new(Steps::new(params, "coupling", d, given, steps, rng)))
    }
}

fn gradient_check(seed: Seed) -> Result<Vec<(String, f64)>> {
    let mut found = Vec::new();
    for base in [Base::Logistic, Base::Normal] {
        let config = NiceConfig {
            layers: count(2),
            hidden: vec![count(6), count(5)],
            activation: Nonlinearity::Tanh,
            base,
            ..NiceConfig::default()
        };
        found.extend(Nice::gradient_check(&config, &Domain::real(3), seed)?);
    }
    Ok(found)
}
