//! # Neural spline flow
//!
//! ## What it is
//! p(x) = N(f(x); 0, I) |det ∂f/∂x|, f a stack of steps in which every value moves by a monotone spline of rational quadratics: in bin k
//! between the knots (x_k, y_k) and (x_{k+1}, y_{k+1}), with ξ = (x − x_k)/(x_{k+1} − x_k), s_k = (y_{k+1} − y_k)/(x_{k+1} − x_k) and slopes δ,
//! y = y_k + (y_{k+1} − y_k)(s_k ξ² + δ_k ξ(1 − ξ)) / (s_k + (δ_{k+1} + δ_k − 2 s_k) ξ(1 − ξ)). Widths, heights and slopes come from a network:
//! of all values before, in some order (`steps = "autoregressive"`), or of those that a coupling keeps (`steps = "coupling"`). Beyond
//! ±`bound` the map is the identity.
//!
//! ## Density
//! Exact. Scoring takes one pass; drawing takes one for couplings, and for autoregressive steps one value after the other, which costs
//! about as much here since every unit is computed once.
//!
//! Given columns enter every network: p(x | given) = p_base(f(x; given)) |det ∂f/∂x|. Then two affine steps that
//! see nothing else come first, since rows may lie anywhere under what is given, and splines bend within their bound: a linear one, which
//! begins as the regression on what is given with residuals of deviation 1, and one of a network.
//!
//! ## Trained by
//! Minibatch Adam on −log p.
//!
//! ## Use it when
//! Tables of numbers deserve the best exact density with exact draws. Of the flows here it is the one to begin with.
//! Beyond its bound a spline is the identity, and tails are those of the base, normal: take logarithms of columns above 0 with heavy tails,
//! and asinh of others, before. A training names such columns.
//!
//! ## References
//! Durkan, Bekasov, Murray & Papamakarios 2019; Gregory & Delbourgo 1982 for the spline.
//!
//! ## Example
//! ```
//! use genus::{Density as _, Family, FitContext, Seed, Silent, SplineFlow, SplineFlowConfig, config, data};
//!
//! let moons = data::load("moons", &data::Options::default())?;
//! let config = toml::from_str("layers = 2\nhidden = [16]\ntrain.epochs = 3\ntrain.optimizer.rate = 0.01").unwrap();
//! let config: SplineFlowConfig = config::from_table(&config)?;
//! let fit = SplineFlow::fit(&config, &moons, &mut FitContext::new(Seed::from(7), &mut Silent))?;
//! // A single normal has -3.29.
//! assert!(fit.model.log_prob(&moons.test.unwrap().x)?.mean() > -3.0);
//! # Ok::<(), genus::Error>(())
//! ```

use super::{Flow, FlowConfig, Map, halves, orders};
use genus_core::config::{Fraction, Positive, count};
use genus_core::transform::Transform;
use genus_core::{
    Batch, Capability, Domain, Error, EvidenceKind, GivenKinds, ModelSpec, Reference, Result, Rng, Schema,
    Seed, SupportKind, TinyFit,
};
use genus_nn::{Activation, Bijection, Params, Step, Steps, TrainConfig, Warp};
use serde::{Deserialize, Serialize};
use std::num::NonZeroUsize;
use std::sync::Arc;

/// A fitted spline flow.
pub type SplineFlow = Flow<Splines>;

/// Registry entry.
pub static SPEC: ModelSpec = ModelSpec::new::<SplineFlow>("spline-flow", "Neural spline flow", module_path!())
    .summary("tables of numbers: the most expressive exact density here")
    .papers(&[Reference::new(
        "Durkan, Bekasov, Murray & Papamakarios",
        2019,
        "Neural Spline Flows",
        "https://arxiv.org/abs/1906.04032",
    )])
    .evidence(EvidenceKind::Exact)
    .can(&[Capability::Density, Capability::Sampler, Capability::Encoder, Capability::Decoder, Capability::Given])
    .passes("1 to score; to draw, one for each column, or 1 with steps = \"coupling\"")
    .rows(&[SupportKind::Real, SupportKind::Discrete])
    .trained_by_steps()
    .suited(crate::suited::flow)
        .given(GivenKinds::Any)
    .tiny_fits(&[
        TinyFit::new(
            "autoregressive",
            "8gaussians",
            "layers = 3\nhidden = [24, 24]\n[train]\nepochs = 14\nbatch = 100\nema = 0.95\n[train.optimizer]\nrate = 0.004\n",
        ),
        TinyFit::new(
            "coupling",
            "pinwheel",
            "steps = \"coupling\"\nlayers = 4\nhidden = [24, 24]\nbins = 6\n[train]\nepochs = 14\nbatch = 100\nema = 0.95\n[train.optimizer]\nrate = 0.004\n",
        ),
        TinyFit::new(
            "levels",
            "pairs4",
            "layers = 3\nhidden = [24]\n[train]\nepochs = 10\nbatch = 50\nema = 0.9\n[train.optimizer]\nrate = 0.01\n",
        ),
        TinyFit::new("given numbers and a kind", "regression", "layers = 2\nhidden = [24]\n[train]\nepochs = 4\nbatch = 100\nema = 0.9\n[train.optimizer]\nrate = 0.005\n")
            .given(&["kind", "a", "b"]),
    ])
    .gradient_check(gradient_check);

/// What the networks of the steps see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Splines {
    /// All values before, in an order.
    #[default]
    Autoregressive,
    /// The half that stays.
    Coupling,
}

/// Hyper-parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SplineFlowConfig {
    /// What the networks of the steps see: all values before, in an order, or the half that stays.
    pub steps: Splines,
    /// Steps.
    pub layers: NonZeroUsize,
    /// Units of the hidden layers of each network.
    pub hidden: Vec<NonZeroUsize>,
    /// Bins of a spline, 2 at least and 32 at most.
    pub bins: NonZeroUsize,
    /// Where splines begin and end, in standardised units where columns are standardised; beyond, values stay as they are.
    pub bound: Positive,
    /// Standardise columns.
    pub standardize: bool,
    /// Takes dequantised levels to the line by a logit of α + (1 − 2α) v, with this α; 0 leaves it out.
    pub logit: Fraction,
    /// Training.
    pub train: TrainConfig,
}

impl Default for SplineFlowConfig {
    fn default() -> Self {
        const BOUND: Positive = match Positive::new(3.0) {
            Some(v) => v,
            None => panic!("out of range"),
        };
        Self {
            steps: Splines::default(),
            layers: count(5),
            hidden: vec![count(64), count(64)],
            bins: count(16),
            bound: BOUND,
            standardize: true,
            logit: Fraction::constant(0.0),
            train: TrainConfig::default(),
        }
    }
}

impl FlowConfig for SplineFlowConfig {
    fn transform(&self, rows: &Schema, x: &Batch) -> Result<Transform> {
        super::to_line(rows, x, self.standardize, self.logit)
    }
    fn train(&self) -> &TrainConfig {
        &self.train
    }
}

impl Map for Splines {
    type Config = SplineFlowConfig;

    fn spec() -> &'static ModelSpec {
        &SPEC
    }

    fn build(
        config: &SplineFlowConfig,
        rows: &Domain,
        given: usize,
        params: &mut Params,
        rng: &mut Rng,
    ) -> Result<Arc<dyn Bijection>> {
        let (d, n, bins) = (rows.width(), config.layers.get(), config.bins.get());
        if !(2..=Warp::MAX_BINS).contains(&bins) {
            let message = format!("{bins} bins; from 2 to {}", Warp::MAX_BINS);
            return Err(Error::config("bins", message));
        }
        let warp = Warp::Spline { bins, bound: config.bound.get() as f32 };
        let hidden = super::afford(&config.hidden, d, given, n, warp)?;
        let mut steps: Vec<Step> = match config.steps {
            Self::Autoregressive => {
                super::masked(orders(d, n), false, given, &hidden, Activation::Relu, warp)
            }
            Self::Coupling => {
                super::two_halves(d)?;
                let step = |kept| Step::coupling(d, kept, given, &hidden, Activation::Relu, warp);
                halves(d, n).into_iter().map(step).collect()
            }
        };
        if given > 0 {
            // Beyond its bound a spline is the identity, wherever rows are under what is given: they are brought there first, by a step that
            // begins as the regression on what is given, and one for what is not linear.
            let centred = Warp::Affine { bound: super::maf::BOUND };
            steps.insert(0, Step::coupling(d, Vec::new(), given, &hidden, Activation::Relu, centred));
            steps.insert(0, Step::coupling(d, Vec::new(), given, &[], Activation::Identity, centred));
        }
        Ok(Arc::new(Steps::new(params, "step", d, given, steps, rng)))
    }
}

fn gradient_check(seed: Seed) -> Result<Vec<(String, f64)>> {
    let mut found = Vec::new();
    for steps in [Splines::Autoregressive, Splines::Coupling] {
        let config = SplineFlowConfig {
            steps,
            layers: count(2),
            hidden: vec![count(5)],
            bins: count(3),
            ..SplineFlowConfig::default()
        };
        found.extend(SplineFlow::gradient_check(&config, &Domain::real(3), seed)?);
    }
    Ok(found)
}
