//! # RealNVP
//!
//! ## What it is
//! p(x) = N(f(x); 0, I) |det ∂f/∂x|, f a stack of affine couplings: half of the values stay, u_kept = x_kept, and move the others,
//! u_moved = x_moved e^s + t with (s, t) a network of x_kept. Which half stays changes from coupling to coupling.
//! |s| ≤ 2, by s = 2 tanh(raw / 2).
//!
//! Images of even height and width are taken at several scales: squares of 2 × 2 pixels become one pixel of four times as many channels;
//! couplings keep the corners of a checkerboard, then half of the channels, with convolutions as networks; and after each scale but the
//! last, half of the values leave, normal as they are.
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
//! Scores and draws of tables of numbers are both needed fast, where `spline-flow` fits better; or of images, where `glow` does.
//!
//! ## References
//! Dinh, Sohl-Dickstein & Bengio 2017.
//!
//! ## Example
//! ```
//! use genus::{Density as _, Family, FitContext, RealNvp, RealNvpConfig, Seed, Silent, config, data};
//!
//! let moons = data::load("moons", &data::Options::default())?;
//! let config = toml::from_str("layers = 6\nhidden = [24]\ntrain.epochs = 4\ntrain.optimizer.rate = 0.01").unwrap();
//! let config: RealNvpConfig = config::from_table(&config)?;
//! let fit = RealNvp::fit(&config, &moons, &mut FitContext::new(Seed::from(7), &mut Silent))?;
//! // A single normal has -3.29.
//! assert!(fit.model.log_prob(&moons.test.unwrap().x)?.mean() > -3.2);
//! # Ok::<(), genus::Error>(())
//! ```

use super::multiscale::{Multiscale, image};
use super::{Flow, FlowConfig, Map, halves};
use genus_core::config::{Fraction, count};
use genus_core::transform::Transform;
use genus_core::{
    Batch, Capability, Domain, EvidenceKind, GivenKinds, ModelSpec, Reference, Result, Rng, Schema, Seed,
    Shape, SupportKind, TinyFit,
};
use genus_nn::{Bijection, Nonlinearity, Params, Step, Steps, TrainConfig, Warp};
use serde::{Deserialize, Serialize};
use std::num::NonZeroUsize;
use std::sync::Arc;

/// A fitted RealNVP.
pub type RealNvp = Flow<Couplings>;

/// Registry entry.
pub static SPEC: ModelSpec = ModelSpec::new::<RealNvp>("realnvp", "RealNVP", module_path!())
    .summary("tables of numbers and images: exact scores and draws in one pass each")
    .papers(&[Reference::new(
        "Dinh, Sohl-Dickstein & Bengio",
        2017,
        "Density estimation using Real NVP",
        "https://arxiv.org/abs/1605.08803",
    )])
    .evidence(EvidenceKind::Exact)
    .can(&[Capability::Density, Capability::Sampler, Capability::Encoder, Capability::Decoder, Capability::Given])
    .passes("1 to score, 1 to draw")
    .rows(&[SupportKind::Real, SupportKind::Discrete])
    .trained_by_steps()
    .suited(crate::suited::coupling_flow)
    .given(GivenKinds::Any)
    .tiny_fits(&[
        TinyFit::new(
            "a plane",
            "pinwheel",
            "layers = 6\nhidden = [32, 32]\n[train]\nepochs = 14\nbatch = 100\nema = 0.95\n[train.optimizer]\nrate = 0.004\n",
        ),
        TinyFit::new(
            "levels",
            "pairs4",
            "layers = 6\nhidden = [24]\n[train]\nepochs = 10\nbatch = 50\nema = 0.9\n[train.optimizer]\nrate = 0.01\n",
        )
        .failing(&[("approaches_the_known_entropy", super::EDGES)]),
        TinyFit::new(
            "images",
            "shades4",
            "[multiscale]\nchannels = 12\n[train]\nepochs = 6\nbatch = 100\nema = 0.95\n[train.optimizer]\nrate = 0.01\n",
        )
        .failing(&[("approaches_the_known_entropy", super::EDGES)]),
        TinyFit::new("given numbers and a kind", "regression", "layers = 4\nhidden = [24]\n[train]\nepochs = 6\nbatch = 100\nema = 0.9\n[train.optimizer]\nrate = 0.005\n")
            .given(&["kind", "a", "b"]),
    ])
    .gradient_check(gradient_check);

/// Hyper-parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RealNvpConfig {
    /// Couplings; of images see multiscale.
    pub layers: NonZeroUsize,
    /// Units of the hidden layers of each network; of images see multiscale.
    pub hidden: Vec<NonZeroUsize>,
    /// Function of the hidden units.
    pub activation: Nonlinearity,
    /// Standardise columns.
    pub standardize: bool,
    /// Takes dequantised levels to the line by a logit of α + (1 − 2α) v, with this α; 0 leaves it out.
    pub logit: Fraction,
    /// Scales of images.
    pub multiscale: Multiscale,
    /// Training.
    pub train: TrainConfig,
}

impl Default for RealNvpConfig {
    fn default() -> Self {
        Self {
            layers: count(10),
            hidden: vec![count(64), count(64)],
            activation: Nonlinearity::Relu,
            standardize: true,
            logit: Fraction::constant(0.0),
            multiscale: Multiscale::default(),
            train: TrainConfig::default(),
        }
    }
}

impl FlowConfig for RealNvpConfig {
    fn transform(&self, rows: &Schema, x: &Batch) -> Result<Transform> {
        super::to_line(rows, x, self.standardize, self.logit)
    }
    fn train(&self) -> &TrainConfig {
        &self.train
    }
}

/// The largest |s|.
const BOUND: f32 = 2.0;

/// Affine couplings.
#[derive(Debug, Clone)]
pub struct Couplings;

impl Map for Couplings {
    type Config = RealNvpConfig;

    fn spec() -> &'static ModelSpec {
        &SPEC
    }

    fn doubts(config: &RealNvpConfig, rows: &Domain) -> Vec<String> {
        let plain = RealNvpConfig::default();
        let set = config.layers != plain.layers || config.hidden != plain.hidden;
        let ignored = image(rows).is_some() && config.multiscale.levels > 0 && set;
        let message = "`layers` and `hidden` are of tables, and images have `multiscale.couplings` and `multiscale.channels`; with multiscale.levels = 0 images are plain rows";
        ignored.then(|| message.to_owned()).into_iter().collect()
    }

    fn build(
        config: &RealNvpConfig,
        rows: &Domain,
        given: usize,
        params: &mut Params,
        rng: &mut Rng,
    ) -> Result<Arc<dyn Bijection>> {
        let (d, n, warp) = (rows.width(), config.layers.get(), Warp::Affine { bound: BOUND });
        if let Some(image) = image(rows).filter(|_| config.multiscale.levels > 0) {
            return Ok(Arc::new(config.multiscale.build(image, given, warp, params, rng)?));
        }
        super::two_halves(d)?;
        let hidden = super::afford(&config.hidden, d, given, n, warp)?;
        let act = config.activation.into();
        let step = |kept| Step::coupling(d, kept, given, &hidden, act, warp);
        let steps = halves(d, n).into_iter().map(step).collect();
        Ok(Arc::new(Steps::new(params, "coupling", d, given, steps, rng)))
    }
}

fn gradient_check(seed: Seed) -> Result<Vec<(String, f64)>> {
    let config = RealNvpConfig {
        layers: count(2),
        hidden: vec![count(6), count(5)],
        activation: Nonlinearity::Tanh,
        ..RealNvpConfig::default()
    };
    let mut found = RealNvp::gradient_check(&config, &Domain::real(3), seed)?;
    let multiscale = Multiscale { couplings: count(2), channels: count(5), ..Multiscale::default() };
    let mut domain = Domain::real(16);
    domain.shape = Shape::Image { height: 4, width: 4, channels: 1 };
    found.extend(RealNvp::gradient_check(&RealNvpConfig { multiscale, ..config }, &domain, seed)?);
    Ok(found)
}
