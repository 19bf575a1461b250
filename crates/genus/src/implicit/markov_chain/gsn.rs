//! # Generative stochastic network (GSN)
//!
//! ## What it is
//! A chain whose state is a row and layers of hidden units h₁, …, h_L. A transition corrupts the row, renews the odd layers given their
//! neighbours and then the even ones, h_l = η(tanh(η(c_l + h_{l−1} W_l + h_{l+1} W_{l+1}ᵀ))) where η adds normal noise (none in h₁), and
//! draws the row, x_i = 1 with probability σ(b_i + (W₁ h₁)_i). Weights are tied, as in a deep Boltzmann machine, but nothing is
//! ever normalised: the transition itself is trained by back-propagation.
//!
//! ## Density
//! None: the law is where the chain comes to, and draws are all there is of it.
//!
//! ## Trained by
//! The cross-entropy of the clean row under every draw of several transitions from it, all hidden units being 0 at first. With walkback
//! they go on from what the chain drew; without, each begins at the row again (Bengio et al. 2014).
//!
//! ## Use it when
//! A chain is wanted that mixes well, completes rows, and needs no gradient of a normaliser.
//!
//! ## References
//! Bengio, Thibodeau-Laufer, Alain & Yosinski 2014; Alain et al. 2016.
//!
//! ## Example
//! ```
//! use genus::{Family, FitContext, Gsn, GsnConfig, Sampler as _, Seed, Silent, config, data};
//!
//! let tree = data::load("tree8", &data::Options::default())?;
//! let config: GsnConfig = config::from_table(&toml::from_str("hidden = [16, 16]\ntrain.epochs = 2").unwrap())?;
//! let fit = Gsn::fit(&config, &tree, &mut FitContext::new(Seed::from(7), &mut Silent))?;
//! assert_eq!(fit.model.sample(3, &mut Seed::from(8).rng())?.width(), 8);
//! # Ok::<(), genus::Error>(())
//! ```

use super::walker::Walker;
use super::{Noise, Transition, TransitionConfig, salt_and_pepper};
use crate::sampling::Sampling;
use genus_core::config::{Fraction, NonNegative, count};
use genus_core::transform::Binarize;
use genus_core::{Capability, Domain, Error, ModelSpec, Reference, Result, Rng, SupportKind, TinyFit};
use genus_nn::{Activation, Id, Params, Tensor, TrainConfig, View, ops};
use serde::{Deserialize, Serialize};
use std::num::NonZeroUsize;

/// A fitted GSN.
pub type Gsn = Walker<Layers>;

/// Registry entry.
pub static SPEC: ModelSpec = ModelSpec::new::<Gsn>("gsn", "Generative stochastic network", module_path!())
    .summary("binary rows: draws by a chain over rows and layers of features, fills of any missing values; no likelihood")
    .papers(&[
        Reference::new(
            "Bengio, Thibodeau-Laufer, Alain & Yosinski",
            2014,
            "Deep Generative Stochastic Networks Trainable by Backprop",
            "https://proceedings.mlr.press/v32/bengio14.html",
        ),
        Reference::new(
            "Alain, Bengio, Yao, Yosinski, Thibodeau-Laufer, Zhang & Vincent",
            2016,
            "GSNs: Generative Stochastic Networks",
            "https://doi.org/10.1093/imaiai/iaw003",
        ),
    ])
    .can(&[Capability::Sampler, Capability::Encoder, Capability::Conditional])
    .rows(&[SupportKind::Binary, SupportKind::Discrete])
    .trained_by_steps()
    .suited(crate::suited::chain)
    .tiny_fits(&[
        TinyFit::new(
            "two layers, walkback",
            "tree8",
            "hidden = [16, 16]\ncorruption = 0.1\n[train]\nepochs = 30\nbatch = 50\n[train.optimizer]\nrate = 0.01\n[sampling]\nburn_in = 100\nthin = 5\n",
        ),
        TinyFit::new(
            "three layers, no walkback",
            "tree8",
            "hidden = [16, 12, 8]\ncorruption = 0.1\nwalkback = false\n[train]\nepochs = 30\nbatch = 50\n[train.optimizer]\nrate = 0.01\n[sampling]\nburn_in = 100\nthin = 5\n",
        ),
    ])
    .gradient_check(|seed| {
        let config = GsnConfig { hidden: vec![count(5), count(4), count(3)], ..GsnConfig::default() };
        Walker::<Layers>::gradient_check(&config, &Domain::binary(6), seed)
    });

/// Hyper-parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GsnConfig {
    /// Hidden units of each layer, from below.
    pub hidden: Vec<NonZeroUsize>,
    /// Probability with which a bit is replaced by the throw of a coin.
    pub corruption: Fraction,
    /// Standard deviation of the noise before and after the non-linearity of all layers but the first.
    pub noise: NonNegative,
    /// Transitions per row and step of training; twice the number of layers lets the row reach the top and come back.
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

impl Default for GsnConfig {
    fn default() -> Self {
        Self {
            hidden: vec![count(1000); 2],
            corruption: super::CORRUPTION,
            noise: super::NOISE,
            steps: count(4),
            walkback: true,
            binarize: Binarize::default(),
            train: TrainConfig::default(),
            sampling: super::SAMPLING,
        }
    }
}

impl TransitionConfig for GsnConfig {
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

/// Layers with tied weights.
#[derive(Debug, Clone)]
pub struct Layers {
    /// Between layer l and layer l + 1, the row being layer 0.
    weights: Vec<Id>,
    /// Of each layer.
    biases: Vec<Id>,
    widths: Vec<usize>,
    corruption: Fraction,
    noise: f32,
}

impl Layers {
    /// What layer `l` receives.
    fn input(&self, view: &View<'_>, l: usize, layers: &[Option<Tensor<2>>]) -> Tensor<2> {
        let layer = |k: usize| layers.get(k).and_then(Clone::clone);
        let weights = |k: usize| view.get::<2>(self.weights[k]);
        let bias = view.get::<1>(self.biases[l]);
        let from_below = |h, b| ops::linear(h, weights(l - 1), b, Activation::Identity, None);
        let from_above = |h, b| ops::tied(h, weights(l), b);
        match (l.checked_sub(1).and_then(layer), layer(l + 1)) {
            (Some(below), Some(above)) => {
                let nothing = Tensor::zeros([self.widths[l]], &bias.device());
                from_below(below, bias) + from_above(above, nothing)
            }
            (Some(below), None) => from_below(below, bias),
            (None, Some(above)) => from_above(above, bias),
            // The third layer is renewed before the second one has ever been.
            (None, None) => {
                let rows = layers.iter().flatten().map(|h| h.dims()[0]).next().unwrap_or(0);
                bias.unsqueeze::<2>().repeat_dim(0, rows)
            }
        }
    }

    /// One round over all layers, rows last: their logits.
    fn round(
        &self,
        view: &View<'_>,
        layers: &mut [Option<Tensor<2>>],
        noise: Option<&mut Noise>,
    ) -> Tensor<2> {
        let mut noise = noise.filter(|_| self.noise > 0.0);
        let mut disturb = |h: Tensor<2>, l: usize| match &mut noise {
            Some(noise) if l > 1 => {
                let z = noise.normals(h.dims(), self.noise);
                h + z
            }
            _ => h,
        };
        for l in (1..layers.len()).step_by(2).chain((2..layers.len()).step_by(2)) {
            let h = ops::tanh(disturb(self.input(view, l, layers), l));
            layers[l] = Some(disturb(h, l));
        }
        self.input(view, 0, layers)
    }
}

impl Transition for Layers {
    type Config = GsnConfig;

    fn spec() -> &'static ModelSpec {
        &SPEC
    }

    fn build(config: &Self::Config, start: &[f32], params: &mut Params, rng: &mut Rng) -> Result<Self> {
        if config.hidden.is_empty() {
            return Err(Error::config("hidden", "one layer at least, as in [1000, 1000]"));
        }
        let mut widths = vec![start.len()];
        widths.extend(config.hidden.iter().map(|h| h.get()));
        genus_nn::afford("hidden", &[&widths])?;
        let weights = widths.windows(2).enumerate();
        let weights = weights.map(|(l, w)| {
            let bound = libm::sqrt(6.0 / (w[0] + w[1]) as f64);
            params.uniform(format!("w{l}"), &[w[0], w[1]], bound, rng)
        });
        let weights = weights.collect();
        let mut biases = vec![params.add("b0", &[start.len()], start.to_vec())];
        biases.extend(
            (1..widths.len()).map(|l| params.add(format!("b{l}"), &[widths[l]], vec![0.0; widths[l]])),
        );
        Ok(Self { weights, biases, widths, corruption: config.corruption, noise: config.noise.get() as f32 })
    }

    fn corrupt(&self, x: &[f32], noise: &mut Noise) -> Vec<f32> {
        salt_and_pepper(x, self.corruption, noise)
    }

    fn denoise(
        &self,
        view: &View<'_>,
        corrupted: Tensor<2>,
        hidden: &mut Vec<Tensor<2>>,
        noise: &mut Noise,
    ) -> Tensor<2> {
        let mut layers = vec![Some(corrupted)];
        layers.extend(std::mem::take(hidden).into_iter().map(Some));
        // At first hidden units are 0, and say nothing to their neighbours.
        layers.resize(self.widths.len(), None);
        let logits = self.round(view, &mut layers, Some(noise));
        hidden.extend(layers.into_iter().skip(1).flatten());
        logits
    }

    fn code(&self, view: &View<'_>, x: Tensor<2>) -> Tensor<2> {
        let mut layers = vec![Some(x)];
        layers.resize(self.widths.len(), None);
        // So many rounds take a row to the top.
        (1..self.widths.len()).for_each(|_| drop(self.round(view, &mut layers, None)));
        match layers.pop().flatten() {
            Some(code) => code,
            None => unreachable!("rounds renew every layer"),
        }
    }

    fn code_width(&self) -> usize {
        self.widths[self.widths.len() - 1]
    }

    fn first_weights(&self) -> Id {
        self.weights[0]
    }
}
