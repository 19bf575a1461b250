//! # Gated PixelCNN
//!
//! ## What it is
//! p(x) = Π p(x_i | x_<i) over the values of an image in raster order, from two stacks of convolutions without a blind spot. The
//! vertical stack sees all rows above: its kernels of ⌈k/2⌉ × k end at their own row, and what it gives is read from the row
//! above. The horizontal stack sees the row so far, by masked kernels of 1 × k, type A in the first layer and B later, and the
//! vertical stack by a 1×1 before the gate. Both pass through tanh(a) ⊙ σ(b), a and b the halves of the channels, to which a
//! class adds a bias; the horizontal stack has residual connections.
//!
//! ## Density
//! Exact, one pass to score.
//!
//! ## Trained by
//! Minibatch Adam on −log p.
//!
//! ## Use it when
//! Images deserve an exact likelihood that sees every earlier pixel, or draws of a class.
//!
//! ## References
//! van den Oord, Kalchbrenner, Vinyals, Espeholt, Graves & Kavukcuoglu 2016.
//!
//! ## Example
//! ```
//! use genus::{Density as _, Family, FitContext, GatedPixelCnn, GatedPixelCnnConfig, Seed, Silent, config, data};
//!
//! let tree = data::load("tree8", &data::Options::default())?;
//! let config = toml::from_str("hidden = 4\nlayers = 2\ntrain.epochs = 1").unwrap();
//! let config: GatedPixelCnnConfig = config::from_table(&config)?;
//! let fit = GatedPixelCnn::fit(&config, &tree, &mut FitContext::new(Seed::from(7), &mut Silent))?;
//! assert!(fit.model.log_prob(&tree.test.unwrap().x)?.mean() > -8.0 * 2f64.ln());
//! # Ok::<(), genus::Error>(())
//! ```

use super::factorization::Factorization;
use super::image_net::{Architecture, Builder, ImageNet, OfImages, odd};
use super::{AutoregressiveConfig, Pixels, Rows};
use genus_core::config::count;
use genus_core::transform::{Binarize, Transform};
use genus_core::{
    Batch, Capability, Domain, EvidenceKind, ModelSpec, Reference, Result, Schema, Seed, Shape, Support,
    SupportKind,
};
use genus_kernels::Source;
use genus_nn::{Activation, Causal, TapRow, Taps, TrainConfig};
use serde::{Deserialize, Serialize};
use std::num::NonZeroUsize;

/// A fitted Gated PixelCNN.
pub type GatedPixelCnn = Factorization<OfImages<Stacks>>;

/// Registry entry.
pub static SPEC: ModelSpec =
    ModelSpec::new::<GatedPixelCnn>("gated-pixelcnn", "Gated PixelCNN", module_path!())
        .summary("images: an exact likelihood from gated convolutions without a blind spot, also by class")
        .papers(&[Reference::new(
            "van den Oord, Kalchbrenner, Vinyals, Espeholt, Graves & Kavukcuoglu",
            2016,
            "Conditional Image Generation with PixelCNN Decoders",
            "https://arxiv.org/abs/1606.05328",
        )])
        .evidence(EvidenceKind::Exact)
        .can(&[
            Capability::Density,
            Capability::Sampler,
            Capability::Conditional,
            Capability::ClassConditional,
        ])
        .passes("1 to score; to draw, one for each value")
        .rows(&[SupportKind::Binary, SupportKind::Discrete])
        .trained_by_steps()
        .suited(crate::suited::image)
        .tiny_fits(super::image_tiny!("hidden = 16\nlayers = 2\nkernel = 3\n", "places = true\n"))
        .gradient_check(gradient_check);

/// Hyper-parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GatedPixelCnnConfig {
    /// Channels behind the gates; the head has twice as many.
    pub hidden: NonZeroUsize,
    /// Layers of both stacks; the first has a kernel of 7.
    pub layers: NonZeroUsize,
    /// Size of the kernels after the first layer, odd and at most 99.
    pub kernel: NonZeroUsize,
    /// Give the place to the first layer: a bias for every pixel of the image in both stacks.
    pub places: bool,
    /// Whether levels are modelled as such or as bits.
    pub pixels: Pixels,
    /// Give the class to the network: p(x | class). Losses while it trains are then given the class; scores sum over the classes.
    pub class_conditional: bool,
    /// How levels become bits, where they do.
    pub binarize: Binarize,
    /// Training.
    pub train: TrainConfig,
}

impl Default for GatedPixelCnnConfig {
    fn default() -> Self {
        Self {
            hidden: count(32),
            layers: count(7),
            kernel: count(3),
            places: false,
            pixels: Pixels::default(),
            class_conditional: false,
            binarize: Binarize::default(),
            train: TrainConfig::default(),
        }
    }
}

impl AutoregressiveConfig for GatedPixelCnnConfig {
    fn transform(&self, rows: &Schema, _: &Batch) -> Result<Transform> {
        self.pixels.transform(rows, self.binarize)
    }
    fn class_conditional(&self) -> bool {
        self.class_conditional
    }
    fn train(&self) -> &TrainConfig {
        &self.train
    }
}

/// The vertical and the horizontal stack.
#[derive(Debug, Clone)]
pub struct Stacks;

impl Architecture for Stacks {
    type Config = GatedPixelCnnConfig;

    fn spec() -> &'static ModelSpec {
        &SPEC
    }

    fn lay(config: &GatedPixelCnnConfig, rows: &Rows, mut b: Builder<'_>) -> Result<ImageNet> {
        let (groups, h) = (b.groups(), b.channels(config.hidden.get()));
        let wide = h.saturating_mul(2);
        let kernel = odd(config.kernel)?;
        let point = || Taps::causal(1, Causal::B, groups);
        let (mut vertical, mut horizontal) = (Source::Image, Source::Image);
        for l in 0..config.layers.get() {
            let (size, kind) = if l == 0 { (7, Causal::A) } else { (kernel, Causal::B) };
            let half = (size / 2) as isize;
            let name = |part: &str| format!("layer.{l}.{part}");
            let rows = (-half..=0).map(|dy| TapRow { dy, dx: -half, count: size }).collect();
            let places = config.places && l == 0;
            let mut v = b.conv(vertical, &name("vertical"), Taps::rows(rows), wide, Activation::Identity)?;
            if places {
                v = b.place(v, &name("vertical"))?;
            }
            let down = b.above(v, &name("down"), wide)?;
            if l + 1 < config.layers.get() {
                let v = b.class(v, &name("vertical"))?;
                vertical = b.gate(v);
            }
            let row = Taps::causal_row(size, kind, groups);
            let x = b.conv(horizontal, &name("horizontal"), row, wide, Activation::Identity)?;
            let mut x = b.sum(x, down);
            if places {
                x = b.place(x, &name("horizontal"))?;
            }
            let x = b.class(x, &name("horizontal"))?;
            let x = b.gate(x);
            let x = b.conv(x, &name("out"), point(), h, Activation::Identity)?;
            horizontal = if l == 0 { x } else { b.sum(x, horizontal) };
        }
        b.finish(horizontal, wide, &rows.start)
    }
}

fn gradient_check(seed: Seed) -> Result<Vec<(String, f64)>> {
    let config = GatedPixelCnnConfig {
        hidden: count(3),
        layers: count(2),
        class_conditional: true,
        ..GatedPixelCnnConfig::default()
    };
    let shape = Shape::Image { height: 2, width: 3, channels: 3 };
    let domain = Domain { support: Support::Discrete { levels: 3 }, shape };
    GatedPixelCnn::gradient_check(&config, &domain, seed)
}
