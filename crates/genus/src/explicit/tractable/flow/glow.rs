//! # Glow
//!
//! ## What it is
//! p(x) = N(f(x); 0, I) |det ∂f/∂x| for images, f over several scales. At each, squares of 2 × 2 pixels become pixels of four times as many
//! channels, and then each step scales the channels, multiplies them by an invertible matrix W, the same for every pixel, and lets half of
//! them move the other half: u = x e^s + t with (s, t) a convolutional network of the half that stays, |s| ≤ 2. After each scale but the
//! last, half of the channels leave, normal with means and deviations that a convolution says of what stays. W = P L (U + diag(±e^d)), so
//! that log |det W| = Σ d.
//!
//! ## Density
//! Exact, in one pass, as draws are; of levels a lower bound, by uniform noise between them.
//!
//! ## Trained by
//! Minibatch Adam on −log p. The scales of channels begin so that the first rows have deviations of 1.
//!
//! ## Use it when
//! Images, their densities and draws are needed in one pass each. `pixelcnn` scores better and draws slowly; tables are for `spline-flow`.
//!
//! ## References
//! Kingma & Dhariwal 2018.
//!
//! ## Example
//! ```
//! use genus::{Density as _, Family, FitContext, Glow, GlowConfig, Seed, Silent, config, data};
//!
//! let shades = data::load("shades4", &data::Options::default())?;
//! let text = "steps = 2\nchannels = 8\ntrain.epochs = 2\ntrain.batch = 200\ntrain.optimizer.rate = 0.01";
//! let config: GlowConfig = config::from_table(&toml::from_str(text).unwrap())?;
//! let fit = Glow::fit(&config, &shades, &mut FitContext::new(Seed::from(7), &mut Silent))?;
//! // Even levels have -5.55 nats, and independent ones -5.38.
//! assert!(fit.model.log_prob(&shades.test.unwrap().x)?.mean() > -5.3);
//! # Ok::<(), genus::Error>(())
//! ```

use super::multiscale::{affordable, corners, image, scales};
use super::{Flow, FlowConfig, Map};
use genus_core::config::{Fraction, count};
use genus_core::transform::Transform;
use genus_core::{
    Batch, Capability, Domain, Error, EvidenceKind, GivenKinds, ModelSpec, Reference, Result, Rng, Schema,
    Seed, Shape, SupportKind, TinyFit,
};
use genus_nn::{Bijection, ConvNet, ImageFlow, Params, TrainConfig, Warp};
use serde::{Deserialize, Serialize};
use std::num::NonZeroUsize;
use std::sync::Arc;

/// A fitted Glow.
pub type Glow = Flow<Steps>;

/// Registry entry.
pub static SPEC: ModelSpec = ModelSpec::new::<Glow>("glow", "Glow", module_path!())
    .summary("images: exact densities and draws in one pass each, over several scales")
    .papers(&[Reference::new(
        "Kingma & Dhariwal",
        2018,
        "Glow: Generative Flow with Invertible 1×1 Convolutions",
        "https://arxiv.org/abs/1807.03039",
    )])
    .evidence(EvidenceKind::Exact)
    .can(&[Capability::Density, Capability::Sampler, Capability::Encoder, Capability::Decoder, Capability::Given])
    .given(GivenKinds::Any)
    .passes("1 to score, 1 to draw")
    .rows(&[SupportKind::Discrete, SupportKind::Real])
    .trained_by_steps()
    .suited(crate::suited::image_flow)
    .tiny_fits(&[
        TinyFit::new(
            "one scale",
            "shades4",
            "steps = 4\nchannels = 24\nlogit = 0.0\n[train]\nepochs = 10\nbatch = 50\nema = 0.95\n[train.optimizer]\nrate = 0.01\nschedule = \"cosine\"\n",
        )
        .failing(&[("approaches_the_known_entropy", super::EDGES)]),
        TinyFit::new(
            "two scales",
            "shades16",
            "steps = 2\nchannels = 8\n[train]\nepochs = 3\nbatch = 100\nema = 0.95\n[train.optimizer]\nrate = 0.02\n",
        )
        .failing(&[
            ("approaches_the_known_entropy", super::EDGES),
            ("likelihood_audit_passes", "16 pixels of four levels are too many rows to sum"),
        ]),
    ])
    .gradient_check(gradient_check);

/// Hyper-parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GlowConfig {
    /// Scales at most; as many as an image can be halved.
    pub levels: NonZeroUsize,
    /// Steps of each scale.
    pub steps: NonZeroUsize,
    /// Hidden channels of the networks.
    pub channels: NonZeroUsize,
    /// Standardise columns.
    pub standardize: bool,
    /// Takes dequantised levels to the line by a logit of α + (1 − 2α) v, with this α; 0 leaves it out.
    pub logit: Fraction,
    /// Training.
    pub train: TrainConfig,
}

impl Default for GlowConfig {
    fn default() -> Self {
        Self {
            levels: count(2),
            steps: count(8),
            channels: count(64),
            standardize: true,
            logit: Fraction::constant(1e-6),
            train: TrainConfig::default(),
        }
    }
}

impl FlowConfig for GlowConfig {
    fn transform(&self, rows: &Schema, x: &Batch) -> Result<Transform> {
        super::to_line(rows, x, self.standardize, self.logit)
    }
    fn train(&self) -> &TrainConfig {
        &self.train
    }
}

/// The largest |s|.
const BOUND: f32 = 2.0;

/// Steps of Glow.
#[derive(Debug, Clone)]
pub struct Steps;

impl Map for Steps {
    type Config = GlowConfig;

    fn spec() -> &'static ModelSpec {
        &SPEC
    }

    fn build(
        config: &GlowConfig,
        rows: &Domain,
        given: usize,
        params: &mut Params,
        rng: &mut Rng,
    ) -> Result<Arc<dyn Bijection>> {
        let Some((extents, channels)) = image(rows) else {
            return Err(Error::Domain(
                "glow takes images, and these rows have no height and width; take `spline-flow` or `realnvp`"
                    .into(),
            ));
        };
        let (n, hidden) = (config.steps.get(), config.channels.get());
        let stays = |grid: &_| corners(grid, &[0, 3]);
        let scales = scales(("levels", ""), extents, channels, config.levels.get(), stays)?;
        affordable("channels", scales.len().saturating_mul(n), hidden, 1)?;
        let warp = Warp::Affine { bound: BOUND };
        let mut flow = ImageFlow::new(rows.width(), given);
        for (level, grid) in scales.iter().enumerate() {
            // Which half is which does not matter behind a product of all channels.
            let [kept, moved] = [corners(grid, &[0, 1]), corners(grid, &[2, 3])];
            for _ in 0..n {
                flow.mix(params, grid, true);
                flow.couple(params, [&kept, &moved], ConvNet::Plain { channels: hidden }, warp, rng);
            }
            if level + 1 == scales.len() {
                flow.leave(grid);
                break;
            }
            let off = corners(grid, &[1, 2]);
            flow.couple(params, [&stays(grid), &off], ConvNet::Single, warp, rng);
            flow.leave(&off);
        }
        Ok(Arc::new(flow))
    }
}

fn gradient_check(seed: Seed) -> Result<Vec<(String, f64)>> {
    let config = GlowConfig { steps: count(2), channels: count(5), ..GlowConfig::default() };
    let mut domain = Domain::real(16);
    domain.shape = Shape::Image { height: 4, width: 4, channels: 1 };
    Glow::gradient_check(&config, &domain, seed)
}
