//! # Masked autoregressive flow (MAF)
//!
//! ## What it is
//! p(x) = N(f(x); 0, I) |det ∂f/∂x|, f a stack of masked steps: in an order of the values, u_d = x_d e^{s_d} + t_d where s_d and t_d are
//! functions of the values before. A masked network gives all of them in one pass. Orders change from step to step.
//! |s| ≤ 4, by s = 4 tanh(raw / 4), so that no step can leave the finite numbers.
//!
//! ## Density
//! Exact, in one pass. A draw needs the values one after the other; every unit is computed once, so that it costs about as much as a
//! pass here.
//!
//! Given columns enter every network: p(x | given) = p_base(f(x; given)) |det ∂f/∂x|.
//!
//! ## Trained by
//! Minibatch Adam on −log p.
//!
//! ## Use it when
//! Tables of numbers need an exact density that is scored often. `spline-flow` fits better; `iaf` is the same with directions exchanged.
//!
//! ## References
//! Papamakarios, Pavlakou & Murray 2017.
//!
//! ## Example
//! ```
//! use genus::{Density as _, Family, FitContext, Maf, MafConfig, Seed, Silent, config, data};
//!
//! let moons = data::load("moons", &data::Options::default())?;
//! let config = toml::from_str("layers = 4\nhidden = [24]\ntrain.epochs = 4\ntrain.optimizer.rate = 0.01").unwrap();
//! let config: MafConfig = config::from_table(&config)?;
//! let fit = Maf::fit(&config, &moons, &mut FitContext::new(Seed::from(7), &mut Silent))?;
//! // A single normal has -3.29.
//! assert!(fit.model.log_prob(&moons.test.unwrap().x)?.mean() > -3.2);
//! # Ok::<(), genus::Error>(())
//! ```

use super::{Flow, FlowConfig, Map, orders};
use genus_core::config::{Fraction, count};
use genus_core::transform::Transform;
use genus_core::{
    Batch, Capability, Domain, EvidenceKind, GivenKinds, ModelSpec, Reference, Result, Rng, Schema, Seed,
    SupportKind, TinyFit,
};
use genus_nn::{Bijection, Nonlinearity, Params, Steps, TrainConfig, Warp};
use serde::{Deserialize, Serialize};
use std::num::NonZeroUsize;
use std::sync::Arc;

/// A fitted MAF.
pub type Maf = Flow<Masked>;

/// Registry entry.
pub static SPEC: ModelSpec = ModelSpec::new::<Maf>("maf", "Masked autoregressive flow", module_path!())
    .summary("tables of numbers: exact scores in one pass, draws value after value")
    .papers(&[Reference::new(
        "Papamakarios, Pavlakou & Murray",
        2017,
        "Masked Autoregressive Flow for Density Estimation",
        "https://arxiv.org/abs/1705.07057",
    )])
    .evidence(EvidenceKind::Exact)
    .can(&[Capability::Density, Capability::Sampler, Capability::Encoder, Capability::Decoder, Capability::Given])
    .passes("1 to score; to draw, one for each column")
    .rows(&[SupportKind::Real, SupportKind::Discrete])
    .trained_by_steps()
    .suited(crate::suited::flow)
    .given(GivenKinds::Any)
    .tiny_fits(&[
        TinyFit::new(
            "a plane",
            "pinwheel",
            "layers = 5\nhidden = [32, 32]\n[train]\nepochs = 14\nbatch = 100\nema = 0.95\n[train.optimizer]\nrate = 0.004\n",
        ),
        TinyFit::new(
            "levels",
            "pairs4",
            "layers = 4\nhidden = [24]\n[train]\nepochs = 10\nbatch = 50\nema = 0.9\n[train.optimizer]\nrate = 0.01\n",
        )
        .failing(&[("approaches_the_known_entropy", "affine steps smooth the edges of dequantised levels; splines follow them")]),
        TinyFit::new("given numbers and a kind", "regression", "layers = 3\nhidden = [24]\n[train]\nepochs = 5\nbatch = 100\nema = 0.9\n[train.optimizer]\nrate = 0.005\n")
            .given(&["kind", "a", "b"]),
    ])
    .gradient_check(gradient_check);

/// Hyper-parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MafConfig {
    /// Steps.
    pub layers: NonZeroUsize,
    /// Units of the hidden layers of each network.
    pub hidden: Vec<NonZeroUsize>,
    /// Function of the hidden units.
    pub activation: Nonlinearity,
    /// Standardise columns.
    pub standardize: bool,
    /// Takes dequantised levels to the line by a logit of α + (1 − 2α) v, with this α; 0 leaves it out.
    pub logit: Fraction,
    /// Training.
    pub train: TrainConfig,
}

impl Default for MafConfig {
    fn default() -> Self {
        Self {
            layers: count(12),
            hidden: vec![count(64), count(64)],
            activation: Nonlinearity::Relu,
            standardize: true,
            logit: Fraction::constant(0.0),
            train: TrainConfig::default(),
        }
    }
}

impl FlowConfig for MafConfig {
    fn transform(&self, rows: &Schema, x: &Batch) -> Result<Transform> {
        super::to_line(rows, x, self.standardize, self.logit)
    }
    fn train(&self) -> &TrainConfig {
        &self.train
    }
}

/// The largest |s|.
pub(super) const BOUND: f32 = 4.0;

/// Masked steps.
#[derive(Debug, Clone)]
pub struct Masked;

impl Map for Masked {
    type Config = MafConfig;

    fn spec() -> &'static ModelSpec {
        &SPEC
    }

    fn build(
        config: &MafConfig,
        rows: &Domain,
        given: usize,
        params: &mut Params,
        rng: &mut Rng,
    ) -> Result<Arc<dyn Bijection>> {
        steps(config, false, rows, given, params, rng)
    }
}

/// The map of a configuration, or with `inverse` that which is one pass in the other direction.
pub(super) fn steps(
    config: &MafConfig,
    inverse: bool,
    rows: &Domain,
    given: usize,
    params: &mut Params,
    rng: &mut Rng,
) -> Result<Arc<dyn Bijection>> {
    let (d, n, warp) = (rows.width(), config.layers.get(), Warp::Affine { bound: BOUND });
    let hidden = super::afford(&config.hidden, d, given, n, warp)?;
    let steps = super::masked(orders(d, n), inverse, given, &hidden, config.activation.into(), warp);
    Ok(Arc::new(Steps::new(params, "step", d, given, steps, rng)))
}

fn gradient_check(seed: Seed) -> Result<Vec<(String, f64)>> {
    let config = MafConfig {
        layers: count(2),
        hidden: vec![count(6), count(5)],
        activation: Nonlinearity::Tanh,
        ..MafConfig::default()
    };
    Maf::gradient_check(&config, &Domain::real(3), seed)
}
