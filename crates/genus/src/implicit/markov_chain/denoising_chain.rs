//! # Denoising chain
//!
//! ## What it is
//! x' ~ p(x' | x̃) with x̃ ~ C(x̃ | x), again and again: C replaces each bit with some probability by the throw of a coin, and
//! p(x'_i = 1 | x̃) = σ(b_i + Σ_j W_ij h_j), h = tanh(c + x̃ W) is a denoising autoencoder. If p(x | x̃) is the true one, the chain comes to
//! the law of the data (Bengio et al. 2013, theorem 1).
//!
//! ## Density
//! None: the law is where the chain comes to, and draws are all there is of it.
//!
//! ## Trained by
//! The cross-entropy of the clean row given the corrupted one. With walkback, over several transitions, each from what the one before
//! drew, always against the row that the chain began with: what the chain might drift to is sent back (Bengio et al. 2013,
//! algorithm 1).
//!
//! ## Use it when
//! The simplest model that learns to draw by denoising is to be looked at, or features that withstand noise are wanted.
//!
//! ## References
//! Bengio, Yao, Alain & Vincent 2013; Vincent, Larochelle, Bengio & Manzagol 2008 (denoising autoencoders).
//!
//! ## Example
//! ```
//! use genus::{DenoisingChain, DenoisingChainConfig, Family, FitContext, Sampler as _, Seed, Silent, config, data};
//!
//! let tree = data::load("tree8", &data::Options::default())?;
//! let config: DenoisingChainConfig = config::from_table(&toml::from_str("hidden = 16\ntrain.epochs = 2").unwrap())?;
//! let fit = DenoisingChain::fit(&config, &tree, &mut FitContext::new(Seed::from(7), &mut Silent))?;
//! assert_eq!(fit.model.sample(3, &mut Seed::from(8).rng())?.width(), 8);
//! # Ok::<(), genus::Error>(())
//! ```

use super::walker::Walker;
use super::{Noise, Transition, TransitionConfig, salt_and_pepper};
use crate::sampling::Sampling;
use genus_core::config::{Fraction, count};
use genus_core::transform::Binarize;
use genus_core::{Capability, Domain, ModelSpec, Reference, Result, Rng, SupportKind, TinyFit};
use genus_nn::{Activation, Id, Params, Tensor, TrainConfig, View, ops};
use serde::{Deserialize, Serialize};
use std::num::NonZeroUsize;

/// A fitted denoising chain.
pub type DenoisingChain = Walker<Autoencoder>;

/// Registry entry.
pub static SPEC: ModelSpec =
    ModelSpec::new::<DenoisingChain>("denoising-chain", "Denoising chain", module_path!())
    .summary("binary rows: draws by corrupting and denoising, features that withstand noise; no likelihood")
    .papers(&[Reference::new(
        "Bengio, Yao, Alain & Vincent",
        2013,
        "Generalized Denoising Auto-Encoders as Generative Models",
        "https://papers.nips.cc/paper/5023-generalized-denoising-auto-encoders-as-generative-models",
    )])
    .can(&[Capability::Sampler, Capability::Encoder, Capability::Conditional])
    .rows(&[SupportKind::Binary, SupportKind::Discrete])
    .trained_by_steps()
    .suited(crate::suited::network)
    .tiny_fits(&[
        TinyFit::new(
            "walkback",
            "tree8",
            "hidden = 32\nsteps = 2\ncorruption = 0.05\n[train]\nepochs = 30\nbatch = 50\n[train.optimizer]\nrate = 0.01\n[sampling]\nburn_in = 100\nthin = 5\n",
        ),
        TinyFit::new(
            "one step",
            "tree8",
            "hidden = 16\ncorruption = 0.1\nwalkback = false\nsteps = 1\n[train]\nepochs = 30\nbatch = 50\nema = 0.9\n[train.optimizer]\nrate = 0.01\n[sampling]\nburn_in = 100\nthin = 5\n",
        ),
    ])
    .gradient_check(|seed| {
        Walker::<Autoencoder>::gradient_check(&DenoisingChainConfig::default(), &Domain::binary(6), seed)
    });

/// Hyper-parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DenoisingChainConfig {
    /// Hidden units.
    pub hidden: NonZeroUsize,
    /// Probability with which a bit is replaced by the throw of a coin.
    pub corruption: Fraction,
    /// Transitions per row and step of training.
    pub steps: NonZeroUsize,
    /// Let these go on from what the chain drew, rather than begin at the row again.
    pub walkback: bool,
    /// How levels become bits.
    pub binarize: Binarize,
    /// Training.
    pub train: TrainConfig,
    /// Drawing.
    pub sampling: Sampling,
}

impl Default for DenoisingChainConfig {
    fn default() -> Self {
        Self {
            hidden: count(1000),
            corruption: super::CORRUPTION,
            steps: count(5),
            walkback: true,
            binarize: Binarize::default(),
            train: TrainConfig::default(),
            sampling: super::SAMPLING,
        }
    }
}

impl TransitionConfig for DenoisingChainConfig {
    fn binarize(&self) -> Binarize {
        self.binarize
    }
    fn steps(&self) -> NonZeroUsize {
        self.steps
    }
    fn walkback(&self) -> bool {
        self.walkback
    }
    fn train(&self) -> &TrainConfig {
        &self.train
    }
    fn sampling(&self) -> &Sampling {
        &self.sampling
    }
}

/// One hidden layer with tied weights.
#[derive(Debug, Clone)]
pub struct Autoencoder {
    w: Id,
    visible: Id,
    hidden: Id,
    width: usize,
    corruption: Fraction,
}

impl Transition for Autoencoder {
    type Config = DenoisingChainConfig;

    fn spec() -> &'static ModelSpec {
        &SPEC
    }

    fn build(config: &Self::Config, start: &[f32], params: &mut Params, rng: &mut Rng) -> Result<Self> {
        let (d, h) = (start.len(), config.hidden.get());
        genus_nn::afford("hidden", &[&[d, h]])?;
        let w = params.uniform("w", &[d, h], libm::sqrt(6.0 / (d + h) as f64), rng);
        let visible = params.add("visible", &[d], start.to_vec());
        let hidden = params.add("hidden", &[h], vec![0.0; h]);
        Ok(Self { w, visible, hidden, width: h, corruption: config.corruption })
    }

    fn corrupt(&self, x: &[f32], noise: &mut Noise) -> Vec<f32> {
        salt_and_pepper(x, self.corruption, noise)
    }

    fn denoise(
        &self,
        view: &View<'_>,
        corrupted: Tensor<2>,
        _: &mut Vec<Tensor<2>>,
        _: &mut Noise,
    ) -> Tensor<2> {
        let h = self.code(view, corrupted);
        ops::tied(h, view.get(self.w), view.get(self.visible))
    }

    fn code(&self, view: &View<'_>, x: Tensor<2>) -> Tensor<2> {
        ops::linear(x, view.get(self.w), view.get(self.hidden), Activation::Tanh, None)
    }

    fn code_width(&self) -> usize {
        self.width
    }

    fn first_weights(&self) -> Id {
        self.w
    }
}
