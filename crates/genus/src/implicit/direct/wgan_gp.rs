//! # Wasserstein GAN with gradient penalty (WGAN-GP)
//!
//! ## What it is
//! x = G(z, class) with noise z of a known law, and a critic f whose gradient has norm 1 or less. Over all such f, E\[f(x)\] − E\[f(G(z))\] is
//! at most the Wasserstein distance of the two laws, W₁ (Arjovsky, Chintala & Bottou 2017), which the generator makes small: it has a
//! gradient however well the critic tells rows apart.
//!
//! ## Density
//! None: draws are G of fresh noise, in one pass. Draws beside real rows tell how good it is.
//!
//! ## Trained by
//! Several moves of the critic, on fresh rows each, for one of the generator. The critic minimises
//! E\[f(G)\] − E\[f(x)\] + λ E\[(|∇f(x̂)| − 1)²\] at x̂ = u x + (1 − u) G(z), u uniform and one for each pair (Gulrajani et al. 2017,
//! equation 3); the norm is over all values of a row. The gradient of the critic is computed as a forward expression and differentiated
//! exactly. Nothing normalises the critic by the batch, because the penalty is of one row. The generator minimises −E\[f(G)\].
//!
//! ## Use it when
//! A GAN collapses or its discriminator wins: the same draws, several times the cost of a step, and training that hardly depends on settings.
//!
//! ## References
//! Gulrajani, Ahmed, Arjovsky, Dumoulin & Courville 2017; Arjovsky, Chintala & Bottou 2017.
//!
//! ## Example
//! ```
//! use genus::{Family, FitContext, Sampler as _, Seed, Silent, WganGp, WganGpConfig, config, data};
//!
//! let iris = data::load("iris", &data::Options::default())?;
//! let config: WganGpConfig = config::from_table(&toml::from_str("generator.hidden = [16]\ntrain.epochs = 2").unwrap())?;
//! let fit = WganGp::fit(&config, &iris, &mut FitContext::new(Seed::from(7), &mut Silent))?;
//! assert_eq!(fit.model.sample(3, &mut Seed::from(8).rng())?.width(), 4);
//! # Ok::<(), genus::Error>(())
//! ```

use super::duel::Duel;
use super::penalty::Penalty;
use super::{Adversarial, AdversarialConfig, GeneratorConfig, Networks, NoiseLaw, Normalization};
use genus_core::config::{Positive, count};
use genus_core::{Capability, Domain, ModelSpec, Reference, Shape, Support, SupportKind, TinyFit};
use genus_nn::{OptimizerConfig, Tensor, TrainConfig};
use serde::{Deserialize, Serialize};
use std::num::NonZeroUsize;

/// A fitted WGAN-GP.
pub type WganGp = Duel<Wasserstein>;

/// Registry entry.
pub static SPEC: ModelSpec = ModelSpec::new::<WganGp>("wgan-gp", "Wasserstein GAN with gradient penalty", module_path!())
    .summary("draws in one pass by a game that does not break off: slower to train than `gan`, and steadier; no likelihood")
    .papers(&[
        Reference::new(
            "Gulrajani, Ahmed, Arjovsky, Dumoulin & Courville",
            2017,
            "Improved Training of Wasserstein GANs",
            "https://arxiv.org/abs/1704.00028",
        ),
        Reference::new(
            "Arjovsky, Chintala & Bottou",
            2017,
            "Wasserstein Generative Adversarial Networks",
            "https://arxiv.org/abs/1701.07875",
        ),
    ])
    .can(&[Capability::Sampler, Capability::Encoder, Capability::Decoder])
    .rows(&[SupportKind::Binary, SupportKind::Discrete, SupportKind::Real])
    .trained_by_steps()
    .suited(crate::suited::critic)
    .tiny_fits(&[
        TinyFit::new(
            "dense",
            "pinwheel",
            "latent = 4\n[generator]\nhidden = [48, 48]\n[critic]\nhidden = [48, 48]\nmoves = 2\npenalty = 0.1\noptimizer.rate = 0.002\n[train]\nepochs = 45\nbatch = 50\nema = 0.995\noptimizer.rate = 0.002\n",
        ),
        TinyFit::new(
            "convolutions",
            "shades16",
            "latent = 8\n[generator]\nchannels = 8\n[critic]\nchannels = 8\nmoves = 2\noptimizer.rate = 0.002\n[train]\nepochs = 4\nbatch = 50\nema = 0.9\noptimizer.rate = 0.002\n",
        ).failing(&[(
            "draws_beat_independent_columns",
            "some hundred moves of a critic do not find the edges of four levels",
        )]),
    ])
    .gradient_check(|seed| {
        let image = Domain { support: Support::Real, shape: Shape::Image { height: 8, width: 8, channels: 1 } };
        let mut found = Vec::new();
        for (rows, normalize, classes) in [
            (&Domain::real(5), Normalization::None, 0),
            (&image, Normalization::None, 3),
            (&Domain::real(5), Normalization::None, 3),
        ] {
            let hidden = vec![count(6), count(5)];
            let config = WganGpConfig {
                latent: count(3),
                generator: GeneratorConfig { hidden: hidden.clone(), channels: count(3), ..GeneratorConfig::default() },
                critic: CriticConfig { hidden, channels: count(3), normalize, ..CriticConfig::default() },
                ..WganGpConfig::default()
            };
            let each = WganGp::gradient_check(&config, rows, classes, seed)?;
            found.extend(each.into_iter().map(|(name, error)| (format!("{} columns, {classes} classes: {name}", rows.width()), error)));
        }
        Ok(found)
    });

/// The critic.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CriticConfig {
    /// Units of dense layers, from the row on.
    pub hidden: Vec<NonZeroUsize>,
    /// Channels of the first convolution; each later one has twice as many.
    pub channels: NonZeroUsize,
    /// What keeps the scale of hidden layers; not the batch.
    pub normalize: Normalization,
    /// Its moves for each of the generator.
    pub moves: NonZeroUsize,
    /// Weight λ of the penalty on its gradient; 10 as published, 0.1 for points of a plane.
    pub penalty: Positive,
    /// Its optimiser.
    pub optimizer: OptimizerConfig,
}

impl Default for CriticConfig {
    fn default() -> Self {
        Self {
            hidden: vec![count(256); 3],
            channels: count(64),
            normalize: Normalization::Auto,
            moves: count(5),
            penalty: Positive::constant(10.0),
            optimizer: super::optimizer(1e-4, 0.5),
        }
    }
}

/// Hyper-parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WganGpConfig {
    /// Length of the noise.
    pub latent: NonZeroUsize,
    /// Its law.
    pub noise: NoiseLaw,
    /// What the layers of both players are.
    pub networks: Networks,
    /// Give both players the class of a row; the data need labels.
    pub class_conditional: bool,
    /// The generator; it moves by `train.optimizer`.
    pub generator: GeneratorConfig,
    /// The critic.
    pub critic: CriticConfig,
    /// Training; optimiser and average are those of the generator.
    pub train: TrainConfig,
}

impl Default for WganGpConfig {
    fn default() -> Self {
        Self {
            latent: count(64),
            noise: NoiseLaw::default(),
            networks: Networks::default(),
            class_conditional: false,
            generator: GeneratorConfig::default(),
            critic: CriticConfig::default(),
            train: super::training(1e-4, 0.5),
        }
    }
}

impl AdversarialConfig for WganGpConfig {
    fn latent(&self) -> NonZeroUsize {
        self.latent
    }
    fn noise(&self) -> NoiseLaw {
        self.noise
    }
    fn networks(&self) -> Networks {
        self.networks
    }
    fn classes(&self) -> bool {
        self.class_conditional
    }
    fn generator(&self) -> &GeneratorConfig {
        &self.generator
    }
    fn seen(&self) -> (&[NonZeroUsize], NonZeroUsize) {
        (&self.critic.hidden, self.critic.channels)
    }
    fn normalize(&self) -> Normalization {
        self.critic.normalize
    }
    fn optimizer(&self) -> (&OptimizerConfig, &'static str) {
        (&self.critic.optimizer, "critic.optimizer")
    }
    fn moves(&self) -> NonZeroUsize {
        self.critic.moves
    }
    fn penalty(&self) -> Option<Penalty> {
        Some(Penalty::Between(self.critic.penalty.get()))
    }
    fn train(&self) -> &TrainConfig {
        &self.train
    }
}

/// The game of this file.
#[derive(Debug, Clone)]
pub struct Wasserstein;

impl Adversarial for Wasserstein {
    type Config = WganGpConfig;

    fn spec() -> &'static ModelSpec {
        &SPEC
    }

    fn discriminate(_: &WganGpConfig, real: Tensor<1>, made: Tensor<1>) -> Tensor<1> {
        made.mean() - real.mean()
    }

    fn generate(_: &WganGpConfig, made: Tensor<1>) -> Tensor<1> {
        made.mean().neg()
    }

    fn middle(_: &WganGpConfig, real: &[f32], made: &[f32]) -> f32 {
        let mean = |of: &[f32]| of.iter().sum::<f32>() / of.len() as f32;
        0.5 * (mean(real) + mean(made))
    }

    fn can_be_won(_: &WganGpConfig) -> bool {
        false
    }
}
