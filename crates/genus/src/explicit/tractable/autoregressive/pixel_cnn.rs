//! # PixelCNN
//!
//! ## What it is
//! p(x) = Π p(x_i | x_<i) over the values of an image in raster order, channel by channel, all conditionals from one pass through
//! a stack of masked convolutions: 7×7 of type A, which sees neither the pixel itself nor what comes after it, then residual
//! blocks of 1×1, k×k and 1×1 of type B, then a head of 1×1. With colour, channels are cut into groups, and a group sees the
//! pixel's earlier groups (A), or its own too (B), in every layer. A bias for every place of the first layer, which the paper has
//! not, is an option: convolutions do not know where they are, but digits are centred.
//!
//! Stacked masked convolutions never see a wedge of earlier pixels up and to the right: the blind spot, which
//! [`GatedPixelCnn`](super::gated_pixel_cnn::GatedPixelCnn) has not.
//!
//! ## Density
//! Exact, one pass to score.
//!
//! ## Trained by
//! Minibatch Adam on −log p.
//!
//! ## Use it when
//! Images deserve an exact likelihood, and draws may take one evaluation of every layer per pixel.
//!
//! ## References
//! van den Oord, Kalchbrenner & Kavukcuoglu 2016.
//!
//! ## Example
//! ```
//! use genus::{Density as _, Family, FitContext, PixelCnn, PixelCnnConfig, Seed, Silent, config, data};
//!
//! let tree = data::load("tree8", &data::Options::default())?;
//! let config = toml::from_str("hidden = 4\nblocks = 1\ntrain.epochs = 1").unwrap();
//! let config: PixelCnnConfig = config::from_table(&config)?;
//! let fit = PixelCnn::fit(&config, &tree, &mut FitContext::new(Seed::from(7), &mut Silent))?;
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
use genus_nn::{Activation, Causal, Taps, TrainConfig};
use serde::{Deserialize, Serialize};
use std::num::NonZeroUsize;

/// A fitted PixelCNN.
pub type PixelCnn = Factorization<OfImages<Stack>>;

/// Registry entry.
pub static SPEC: ModelSpec = ModelSpec::new::<PixelCnn>("pixelcnn", "PixelCNN", module_path!())
    .summary("images: an exact likelihood from masked convolutions")
    .papers(&[Reference::new(
        "van den Oord, Kalchbrenner & Kavukcuoglu",
        2016,
        "Pixel Recurrent Neural Networks",
        "https://arxiv.org/abs/1601.06759",
    )])
    .evidence(EvidenceKind::Exact)
    .can(&[Capability::Density, Capability::Sampler, Capability::Conditional, Capability::ClassConditional])
    .passes("1 to score; to draw, one for each value")
    .rows(&[SupportKind::Binary, SupportKind::Discrete])
    .trained_by_steps()
    .suited(crate::suited::image)
    .tiny_fits(super::image_tiny!("hidden = 8\nblocks = 1\n", "kernel = 5\nplaces = true\n"))
    .gradient_check(gradient_check);

/// Hyper-parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PixelCnnConfig {
    /// Channels of the k×k convolutions; residual connections and the head have twice as many.
    pub hidden: NonZeroUsize,
    /// Residual blocks.
    pub blocks: NonZeroUsize,
    /// Size of the kernels in the blocks, odd and at most 99.
    pub kernel: NonZeroUsize,
    /// Give the place to the first layer: a bias for every pixel of the image.
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

impl Default for PixelCnnConfig {
    fn default() -> Self {
        Self {
            hidden: count(32),
            blocks: count(5),
            kernel: count(3),
            places: false,
            pixels: Pixels::default(),
            class_conditional: false,
            binarize: Binarize::default(),
            train: TrainConfig::default(),
        }
    }
}

impl AutoregressiveConfig for PixelCnnConfig {
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

/// The stack of masked convolutions.
#[derive(Debug, Clone)]
pub struct Stack;

impl Architecture for Stack {
    type Config = PixelCnnConfig;

    fn spec() -> &'static ModelSpec {
        &SPEC
    }

    fn lay(config: &PixelCnnConfig, rows: &Rows, mut b: Builder<'_>) -> Result<ImageNet> {
        let (groups, h) = (b.groups(), b.channels(config.hidden.get()));
        let (wide, kernel) = (h.saturating_mul(2), odd(config.kernel)?);
        let masked = |size: usize, kind: Causal| Taps::causal(size, kind, groups);
        use Activation::{Identity, Relu};
        let mut x = b.conv(Source::Image, "first", masked(7, Causal::A), wide, Identity)?;
        if config.places {
            x = b.place(x, "first")?;
        }
        x = b.class(x, "first")?;
        for i in 0..config.blocks.get() {
            let name = |part: &str| format!("block.{i}.{part}");
            let y = b.relu(x);
            let y = b.conv(y, &name("down"), masked(1, Causal::B), h, Relu)?;
            let y = b.conv(y, &name("mid"), masked(kernel, Causal::B), h, Relu)?;
            let y = b.conv(y, &name("up"), masked(1, Causal::B), wide, Identity)?;
            let y = b.class(y, &name("up"))?;
            x = b.sum(y, x);
        }
        b.finish(x, wide, &rows.start)
    }
}

fn gradient_check(seed: Seed) -> Result<Vec<(String, f64)>> {
    let config = PixelCnnConfig {
        hidden: count(3),
        blocks: count(1),
        class_conditional: true,
        ..PixelCnnConfig::default()
    };
    let shape = Shape::Image { height: 2, width: 3, channels: 3 };
    let domain = Domain { support: Support::Discrete { levels: 3 }, shape };
    PixelCnn::gradient_check(&config, &domain, seed)
}
