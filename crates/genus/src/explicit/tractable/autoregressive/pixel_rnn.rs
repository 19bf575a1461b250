//! # PixelRNN
//!
//! ## What it is
//! p(x) = Π p(x_i | x_<i) over the values of an image in raster order: a masked 7×7 convolution of type A, then residual layers of
//! LSTMs that walk over the image, then a head of 1×1. The *Row LSTM* walks row by row: a pixel receives a masked 1×3 convolution
//! of its own row and a 1×3 convolution of the states above it, so that it sees a triangle. The *Diagonal BiLSTM* walks along
//! the diagonals: a pixel receives the states to its left and above it, and in the other direction those to its right and above,
//! whose result is read from the row above; together they see every earlier pixel but the last of the row above, which the masked
//! first layer shows to the right end of the row and to rows below only.
//!
//! ## Density
//! Exact, one pass to score.
//!
//! ## Trained by
//! Minibatch Adam on −log p.
//!
//! ## Use it when
//! Images deserve the best exact likelihood for their parameters, and training may take long.
//!
//! ## References
//! van den Oord, Kalchbrenner & Kavukcuoglu 2016.
//!
//! ## Example
//! ```
//! use genus::{Density as _, Family, FitContext, PixelRnn, PixelRnnConfig, Seed, Silent, config, data};
//!
//! let tree = data::load("tree8", &data::Options::default())?;
//! let config = toml::from_str("hidden = 4\ntrain.epochs = 1").unwrap();
//! let config: PixelRnnConfig = config::from_table(&config)?;
//! let fit = PixelRnn::fit(&config, &tree, &mut FitContext::new(Seed::from(7), &mut Silent))?;
//! assert!(fit.model.log_prob(&tree.test.unwrap().x)?.mean() > -8.0 * 2f64.ln());
//! # Ok::<(), genus::Error>(())
//! ```

use super::factorization::Factorization;
use super::image_net::{Architecture, Builder, ImageNet, OfImages};
use super::{AutoregressiveConfig, Pixels, Rows};
use genus_core::config::count;
use genus_core::transform::{Binarize, Transform};
use genus_core::{
    Batch, Capability, Domain, Error, EvidenceKind, ModelSpec, Reference, Result, Schema, Seed, Shape,
    Support, SupportKind, TinyFit,
};
use genus_kernels::Source;
use genus_nn::{Activation, Causal, Lstm, Scan, Taps, TrainConfig};
use serde::{Deserialize, Serialize};
use std::num::NonZeroUsize;

/// A fitted PixelRNN.
pub type PixelRnn = Factorization<OfImages<Scans>>;

/// Registry entry.
pub static SPEC: ModelSpec = ModelSpec::new::<PixelRnn>("pixelrnn", "PixelRNN", module_path!())
    .summary("images of one channel: an exact likelihood from LSTMs over rows or diagonals")
    .papers(&[Reference::new(
        "van den Oord, Kalchbrenner & Kavukcuoglu",
        2016,
        "Pixel Recurrent Neural Networks",
        "https://arxiv.org/abs/1601.06759",
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
    .tiny_fits(&[
        TinyFit::new(
            "diagonals",
            "grid12",
            "hidden = 8\n[train]\nepochs = 6\nbatch = 50\n[train.optimizer]\nrate = 0.02\n",
        ),
        TinyFit::new(
            "rows",
            "shades6",
            "hidden = 8\nrecurrence = \"row\"\nlayers = 2\n[train]\nepochs = 6\nbatch = 50\nema = 0.9\n[train.optimizer]\nrate = 0.02\n",
        ),
        TinyFit::new(
            "two classes",
            "twotrees8",
            "hidden = 8\nclass_conditional = true\n[train]\nepochs = 6\nbatch = 50\n[train.optimizer]\nrate = 0.02\n",
        ),
    ])
    .gradient_check(gradient_check);

/// How the LSTMs of a [`PixelRnn`] walk over an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Recurrence {
    /// Row by row: the Row LSTM.
    Row,
    /// Along the diagonals from both sides: the Diagonal BiLSTM.
    #[default]
    Diagonal,
}

/// Hyper-parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PixelRnnConfig {
    /// Units of an LSTM; residual connections and the head have twice as many channels.
    pub hidden: NonZeroUsize,
    /// Layers of LSTMs.
    pub layers: NonZeroUsize,
    /// How the LSTMs walk.
    pub recurrence: Recurrence,
    /// Whether levels are modelled as such or as bits.
    pub pixels: Pixels,
    /// Give the class to the network: p(x | class). Losses while it trains are then given the class; scores sum over the classes.
    pub class_conditional: bool,
    /// How levels become bits, where they do.
    pub binarize: Binarize,
    /// Training.
    pub train: TrainConfig,
}

impl Default for PixelRnnConfig {
    fn default() -> Self {
        Self {
            hidden: count(32),
            layers: count(1),
            recurrence: Recurrence::default(),
            pixels: Pixels::default(),
            class_conditional: false,
            binarize: Binarize::default(),
            train: TrainConfig::default(),
        }
    }
}

impl AutoregressiveConfig for PixelRnnConfig {
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

/// The layers of LSTMs.
#[derive(Debug, Clone)]
pub struct Scans;

impl Architecture for Scans {
    type Config = PixelRnnConfig;

    fn spec() -> &'static ModelSpec {
        &SPEC
    }

    fn lay(config: &PixelRnnConfig, rows: &Rows, mut b: Builder<'_>) -> Result<ImageNet> {
        if rows.channels() > 1 {
            let remedy = "choose gated-pixelcnn for colour";
            return Err(Error::Domain(format!("pixelrnn takes images of one channel; {remedy}")));
        }
        let h = config.hidden.get();
        let [wide, four] = [2, 4].map(|n| h.saturating_mul(n));
        let point = || Taps::causal(1, Causal::B, 1);
        use Activation::Identity;
        let mut x = b.conv(Source::Image, "first", Taps::causal(7, Causal::A, 1), wide, Identity)?;
        x = b.class(x, "first")?;
        for l in 0..config.layers.get() {
            let name = |part: &str| format!("layer.{l}.{part}");
            let lstm = |scan, mirrored| Lstm { scan, mirrored, hidden: h };
            let y = match config.recurrence {
                Recurrence::Row => {
                    let row = Taps::causal_row(3, Causal::B, 1);
                    let gates = b.conv(x, &name("input"), row, four, Identity)?;
                    let states = b.lstm(gates, &name("state"), lstm(Scan::Row, false))?;
                    b.conv(states, &name("up"), point(), wide, Identity)?
                }
                Recurrence::Diagonal => {
                    let gates = b.conv(x, &name("left.input"), point(), four, Identity)?;
                    let left = b.lstm(gates, &name("left.state"), lstm(Scan::Diagonal, false))?;
                    let gates = b.conv(x, &name("right.input"), point(), four, Identity)?;
                    let right = b.lstm(gates, &name("right.state"), lstm(Scan::Diagonal, true))?;
                    let left = b.conv(left, &name("left.up"), point(), wide, Identity)?;
                    // Its own row holds what is to come: only the row above is whole.
                    let right = b.above(right, &name("right.up"), wide)?;
                    b.sum(left, right)
                }
            };
            let y = b.class(y, &name("up"))?;
            x = b.sum(y, x);
        }
        b.finish(x, wide, &rows.start)
    }
}

fn gradient_check(seed: Seed) -> Result<Vec<(String, f64)>> {
    let shape = Shape::Image { height: 3, width: 3, channels: 1 };
    let domain = Domain { support: Support::Discrete { levels: 3 }, shape };
    let mut found = Vec::new();
    for recurrence in [Recurrence::Row, Recurrence::Diagonal] {
        let config = PixelRnnConfig {
            hidden: count(3),
            layers: count(2),
            recurrence,
            class_conditional: true,
            ..PixelRnnConfig::default()
        };
        let errors = PixelRnn::gradient_check(&config, &domain, seed)?;
        found.extend(errors.into_iter().map(|(name, e)| (format!("{recurrence:?}: {name}"), e)));
    }
    Ok(found)
}
