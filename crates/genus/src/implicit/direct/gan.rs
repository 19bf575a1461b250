//! # Generative adversarial net (GAN)
//!
//! ## What it is
//! x = G(z, class) with noise z of a known law, and a discriminator D(x) = σ(d(x)) that tells real rows from made ones. Both play
//! min_G max_D E\[log D(x)\] + E\[log(1 − D(G(z)))\] (Goodfellow et al. 2014, equation 1). For a fixed G the best D is
//! p(x)/(p(x) + p_G(x)), and against that one the value of the game is 2 JS(p ‖ p_G) − log 4.
//!
//! ## Density
//! None: draws are G of fresh noise, in one pass. The law of x is that of G(z), which lies on a surface of as many dimensions as
//! the noise has. What tells how good it is are draws, beside real rows (`genus evaluate`, `genus metrics`).
//!
//! ## Trained by
//! Turns of Adam, from the discriminator's logits d:
//!
//! | objective | D minimises | G minimises |
//! |---|---|---|
//! | minimax | softplus(−d(x)) + softplus(d(G)) | −softplus(d(G)) = log(1 − D): its gradient vanishes where D is sure |
//! | non-saturating | the same | softplus(−d(G)) = −log D: the same fixed point, and its gradient is largest there |
//! | least-squares | ½ (d(x) − 1)² + ½ d(G)² | ½ (d(G) − 1)² (Mao et al. 2017) |
//! | hinge | max(0, 1 − d(x)) + max(0, 1 + d(G)) | −d(G) (Lim & Ye 2017) |
//!
//! Images that can be halved have convolutions (Radford, Metz & Chintala 2016: DCGAN). The energy distance of draws to validation rows
//! decides which generator is kept.
//!
//! ## Use it when
//! Sharp draws are wanted at once, and neither scores nor that all kinds of rows are drawn.
//!
//! ## References
//! Goodfellow, Pouget-Abadie, Mirza, Xu, Warde-Farley, Ozair, Courville & Bengio 2014; Radford, Metz & Chintala 2016; Mao et al. 2017; Lim & Ye
//! 2017; Miyato, Kataoka, Koyama & Yoshida 2018; Miyato & Koyama 2018.
//!
//! ## Example
//! ```
//! use genus::{Family, FitContext, Gan, GanConfig, Sampler as _, Seed, Silent, config, data};
//!
//! let iris = data::load("iris", &data::Options::default())?;
//! let config: GanConfig = config::from_table(&toml::from_str("generator.hidden = [16]\ntrain.epochs = 2").unwrap())?;
//! let fit = Gan::fit(&config, &iris, &mut FitContext::new(Seed::from(7), &mut Silent))?;
//! assert_eq!(fit.model.sample(3, &mut Seed::from(8).rng())?.width(), 4);
//! # Ok::<(), genus::Error>(())
//! ```

use super::duel::Duel;
use super::penalty::Penalty;
use super::{Adversarial, AdversarialConfig, GeneratorConfig, Networks, NoiseLaw, Normalization};
use genus_core::config::{NonNegative, count};
use genus_core::{Capability, Domain, ModelSpec, Reference, Shape, Support, SupportKind, TinyFit};
use genus_nn::{OptimizerConfig, Tensor, TrainConfig, ops};
use serde::{Deserialize, Serialize};
use std::num::NonZeroUsize;

/// A fitted GAN.
pub type Gan = Duel<Goodfellow>;

/// Registry entry.
pub static SPEC: ModelSpec = ModelSpec::new::<Gan>("gan", "Generative adversarial net", module_path!())
    .summary("sharp draws in one pass, of rows or of classes; no likelihood, and no promise that all kinds of rows are drawn")
    .papers(&[
        Reference::new(
            "Goodfellow, Pouget-Abadie, Mirza, Xu, Warde-Farley, Ozair, Courville & Bengio",
            2014,
            "Generative Adversarial Nets",
            "https://arxiv.org/abs/1406.2661",
        ),
        Reference::new(
            "Radford, Metz & Chintala",
            2016,
            "Unsupervised Representation Learning with Deep Convolutional Generative Adversarial Networks",
            "https://arxiv.org/abs/1511.06434",
        ),
        Reference::new(
            "Miyato, Kataoka, Koyama & Yoshida",
            2018,
            "Spectral Normalization for Generative Adversarial Networks",
            "https://arxiv.org/abs/1802.05957",
        ),
    ])
    .can(&[Capability::Sampler, Capability::Encoder, Capability::Decoder])
    .rows(&[SupportKind::Binary, SupportKind::Discrete, SupportKind::Real])
    .trained_by_steps()
    .suited(crate::suited::game)
    .tiny_fits(&[
        TinyFit::new(
            "dense",
            "pinwheel",
            "latent = 4\n[generator]\nhidden = [48, 48]\n[discriminator]\nhidden = [48, 48]\noptimizer.rate = 0.002\n[train]\nepochs = 12\nbatch = 50\nema = 0.99\noptimizer.rate = 0.002\n",
        ),
        TinyFit::new(
            "convolutions",
            "shades16",
            "latent = 8\n[generator]\nchannels = 8\n[discriminator]\nchannels = 8\noptimizer.rate = 0.002\n[train]\nepochs = 4\nbatch = 50\nema = 0.9\noptimizer.rate = 0.002\n",
        ).failing(&[(
            "draws_beat_independent_columns",
            "some hundred steps do not find the edges of four levels",
        )]),
    ])
    .gradient_check(|seed| {
        let image = Domain { support: Support::Real, shape: Shape::Image { height: 8, width: 8, channels: 1 } };
        let mut found = Vec::new();
        for (objective, rows, normalize, penalty, classes) in [
            (Objective::Minimax, &Domain::real(5), Normalization::Auto, PenaltyKind::None, 0),
            (Objective::NonSaturating, &image, Normalization::Auto, PenaltyKind::None, 3),
            (Objective::LeastSquares, &image, Normalization::None, PenaltyKind::R1, 3),
            (Objective::Hinge, &Domain::real(5), Normalization::None, PenaltyKind::Dragan, 3),
        ] {
            let hidden = vec![count(6), count(5)];
            let config = GanConfig {
                latent: count(3),
                objective,
                generator: GeneratorConfig { hidden: hidden.clone(), channels: count(3), ..GeneratorConfig::default() },
                discriminator: DiscriminatorConfig { hidden, channels: count(3), normalize, ..DiscriminatorConfig::default() },
                penalty: PenaltyConfig { kind: penalty, ..PenaltyConfig::default() },
                ..GanConfig::default()
            };
            let each = Gan::gradient_check(&config, rows, classes, seed)?;
            found.extend(each.into_iter().map(|(name, error)| (format!("{objective:?}: {name}"), error)));
        }
        Ok(found)
    });

/// What both players minimise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Objective {
    /// The game as it was defined: the generator's gradient vanishes once the discriminator is sure.
    Minimax,
    /// The same fixed point with a gradient that does not vanish.
    #[default]
    NonSaturating,
    /// Squares of the distance from 0 and 1.
    LeastSquares,
    /// Margins of the discriminator; what it is sure of does not move it.
    Hinge,
}

/// A penalty on the gradient of the discriminator with respect to its rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PenaltyKind {
    /// None.
    #[default]
    None,
    /// Half of its square at real rows (Mescheder et al. 2018).
    R1,
    /// The square of how far its norm is from 1 around real rows (Kodali et al. 2017: DRAGAN).
    Dragan,
}

/// The penalty.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PenaltyConfig {
    /// Which.
    pub kind: PenaltyKind,
    /// Its weight; 10 as published.
    pub weight: NonNegative,
    /// Steps from one penalty to the next, which then weighs as much more (Karras et al. 2020).
    pub every: NonZeroUsize,
}

impl Default for PenaltyConfig {
    fn default() -> Self {
        Self { kind: PenaltyKind::None, weight: NonNegative::constant(10.0), every: count(1) }
    }
}

/// The discriminator.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DiscriminatorConfig {
    /// Units of dense layers, from the row on.
    pub hidden: Vec<NonZeroUsize>,
    /// Channels of the first convolution; each later one has twice as many.
    pub channels: NonZeroUsize,
    /// What keeps the scale of hidden layers.
    pub normalize: Normalization,
    /// Its moves for each of the generator.
    pub moves: NonZeroUsize,
    /// Its optimiser.
    pub optimizer: OptimizerConfig,
}

impl Default for DiscriminatorConfig {
    fn default() -> Self {
        Self {
            hidden: vec![count(256); 3],
            channels: count(64),
            normalize: Normalization::Auto,
            moves: count(1),
            optimizer: super::optimizer(2e-4, 0.5),
        }
    }
}

/// Hyper-parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GanConfig {
    /// Length of the noise.
    pub latent: NonZeroUsize,
    /// Its law.
    pub noise: NoiseLaw,
    /// What both players minimise.
    pub objective: Objective,
    /// What the layers of both players are.
    pub networks: Networks,
    /// Give both players the class of a row; the data need labels.
    pub class_conditional: bool,
    /// The generator; it moves by `train.optimizer`.
    pub generator: GeneratorConfig,
    /// The discriminator.
    pub discriminator: DiscriminatorConfig,
    /// The penalty on its gradient.
    pub penalty: PenaltyConfig,
    /// Training; optimiser and average are those of the generator.
    pub train: TrainConfig,
}

impl Default for GanConfig {
    fn default() -> Self {
        Self {
            latent: count(64),
            noise: NoiseLaw::default(),
            objective: Objective::default(),
            networks: Networks::default(),
            class_conditional: false,
            generator: GeneratorConfig::default(),
            discriminator: DiscriminatorConfig::default(),
            penalty: PenaltyConfig::default(),
            train: super::training(2e-4, 0.5),
        }
    }
}

impl AdversarialConfig for GanConfig {
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
        (&self.discriminator.hidden, self.discriminator.channels)
    }
    fn normalize(&self) -> Normalization {
        self.discriminator.normalize
    }
    fn optimizer(&self) -> (&OptimizerConfig, &'static str) {
        (&self.discriminator.optimizer, "discriminator.optimizer")
    }
    fn moves(&self) -> NonZeroUsize {
        self.discriminator.moves
    }
    fn penalty(&self) -> Option<Penalty> {
        let weight = self.penalty.weight.get();
        match self.penalty.kind {
            _ if weight == 0.0 => None,
            PenaltyKind::None => None,
            PenaltyKind::R1 => Some(Penalty::AtRows(weight)),
            PenaltyKind::Dragan => Some(Penalty::Around(weight)),
        }
    }
    fn penalty_every(&self) -> u64 {
        self.penalty.every.get() as u64
    }
    fn train(&self) -> &TrainConfig {
        &self.train
    }
}

/// The games of this file.
#[derive(Debug, Clone)]
pub struct Goodfellow;

/// softplus(±d): the cross-entropy of logits with the bit 0 or 1.
fn softplus(d: Tensor<1>) -> Tensor<1> {
    let rows = d.dims()[0];
    let zeros = genus_nn::tensor_from(vec![0.0; rows], [rows, 1]);
    ops::bernoulli_nll(d.reshape([rows, 1]), zeros)
}

impl Adversarial for Goodfellow {
    type Config = GanConfig;

    fn spec() -> &'static ModelSpec {
        &SPEC
    }

    fn discriminate(config: &GanConfig, real: Tensor<1>, made: Tensor<1>) -> Tensor<1> {
        match config.objective {
            Objective::Minimax | Objective::NonSaturating => {
                softplus(real.neg()).mean() + softplus(made).mean()
            }
            Objective::LeastSquares => {
                let off = real - 1.0;
                (off.clone() * off).mean() * 0.5 + (made.clone() * made).mean() * 0.5
            }
            Objective::Hinge => ops::relu(real.neg() + 1.0).mean() + ops::relu(made + 1.0).mean(),
        }
    }

    fn generate(config: &GanConfig, made: Tensor<1>) -> Tensor<1> {
        match config.objective {
            Objective::Minimax => softplus(made).mean().neg(),
            Objective::NonSaturating => softplus(made.neg()).mean(),
            Objective::LeastSquares => {
                let off = made - 1.0;
                (off.clone() * off).mean() * 0.5
            }
            Objective::Hinge => made.mean().neg(),
        }
    }

    fn middle(config: &GanConfig, _: &[f32], _: &[f32]) -> f32 {
        if config.objective == Objective::LeastSquares { 0.5 } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use genus_nn::{tensor_from, values};

    /// Every objective of both players against its definition at some logits.
    #[test]
    fn objectives_are_those_of_the_papers() {
        let (real, made) = ([2.0f64, -0.5, 0.3], [-1.5f64, 0.25, 3.0]);
        let sigmoid = |d: f64| 1.0 / (1.0 + (-d).exp());
        let mean = |of: &dyn Fn(f64) -> f64, at: &[f64; 3]| at.iter().map(|d| of(*d)).sum::<f64>() / 3.0;
        let log_d = |d: f64| -sigmoid(d).ln();
        let log_not = |d: f64| -(1.0 - sigmoid(d)).ln();
        let game = mean(&log_d, &real) + mean(&log_not, &made);
        let cases = [
            (Objective::Minimax, game, -mean(&log_not, &made)),
            (Objective::NonSaturating, game, mean(&log_d, &made)),
            (
                Objective::LeastSquares,
                0.5 * mean(&|d| (d - 1.0).powi(2), &real) + 0.5 * mean(&|d| d * d, &made),
                0.5 * mean(&|d| (d - 1.0).powi(2), &made),
            ),
            (
                Objective::Hinge,
                mean(&|d| (1.0 - d).max(0.0), &real) + mean(&|d| (1.0 + d).max(0.0), &made),
                -mean(&|d| d, &made),
            ),
        ];
        let tensor = |of: [f64; 3]| tensor_from(of.map(|v| v as f32).to_vec(), [3]);
        for (objective, discriminator, generator) in cases {
            let config = GanConfig { objective, ..GanConfig::default() };
            let got = [
                values(Goodfellow::discriminate(&config, tensor(real), tensor(made)))[0],
                values(Goodfellow::generate(&config, tensor(made)))[0],
            ];
            for (got, want) in got.into_iter().zip([discriminator, generator]) {
                assert!((f64::from(got) - want).abs() < 1e-6, "{objective:?}: {got} {want}");
            }
        }
    }

    /// What reaches the generator as the discriminator grows sure: nothing by minimax, all of it by the other.
    #[test]
    fn only_minimax_saturates() {
        let slope = |objective, d: f32| {
            let config = GanConfig { objective, ..GanConfig::default() };
            let at = tensor_from(vec![d], [1]).autodiff().require_grad();
            let grads = Goodfellow::generate(&config, at.clone()).backward();
            at.grad(&grads).map(|g| values(g)[0]).unwrap()
        };
        let sure = -12.0f32;
        assert!(slope(Objective::Minimax, sure).abs() < 1e-5);
        assert!((slope(Objective::NonSaturating, sure) + 1.0).abs() < 1e-5);
        // With D(G) = ½ both are the same.
        assert!((slope(Objective::Minimax, 0.0) - slope(Objective::NonSaturating, 0.0)).abs() < 1e-6);
    }
}
