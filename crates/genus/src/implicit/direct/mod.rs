//! Games between a generator, which makes rows of noise, and a discriminator, which tells them from real ones (Goodfellow et al. 2014).
//! The law is what the generator makes.

mod duel;
mod game;
pub mod gan;
mod invert;
mod judge;
mod penalty;
mod play;
#[cfg(test)]
mod tests;
pub mod wgan_gp;

use genus_core::config::{Fraction, Positive, count};
use genus_core::{Error, ModelSpec, Result, Shape};
use genus_nn::{Form, Normalize, OptimizerConfig, Schedule, Tensor, TrainConfig};
use penalty::Penalty;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::fmt::Debug;
use std::num::NonZeroUsize;

/// Members.
pub const SPECS: &[&ModelSpec] = &[&gan::SPEC, &wgan_gp::SPEC];

/// What the members of the family differ in: what each player minimises. [`duel::Duel`] makes the public model of it.
pub trait Adversarial: Clone + Debug + Send + Sync + Sized + 'static {
    /// Hyper-parameters.
    type Config: AdversarialConfig;

    /// Registry entry.
    fn spec() -> &'static ModelSpec;

    /// What the discriminator minimises, from its outputs on real rows and on made ones: the mean over the rows.
    ///
    /// # Shapes
    /// real, made `[rows]` → one value
    fn discriminate(config: &Self::Config, real: Tensor<1>, made: Tensor<1>) -> Tensor<1>;

    /// What the generator minimises, from the discriminator's outputs on what it made.
    ///
    /// # Shapes
    /// made `[rows]` → one value
    fn generate(config: &Self::Config, made: Tensor<1>) -> Tensor<1>;

    /// The output between rows that are told to be real and others, given outputs on real rows and on made ones.
    fn middle(config: &Self::Config, real: &[f32], made: &[f32]) -> f32 {
        let _ = (config, real, made);
        0.0
    }

    /// Whether nothing reaches the generator once the discriminator tells all rows right.
    fn can_be_won(config: &Self::Config) -> bool {
        let _ = config;
        true
    }
}

/// What the hyper-parameters of all members have in common.
pub trait AdversarialConfig: Serialize + DeserializeOwned + Default + Clone + Debug + Send + Sync {
    /// Length of the noise.
    fn latent(&self) -> NonZeroUsize;
    /// Its law.
    fn noise(&self) -> NoiseLaw;
    /// What layers are.
    fn networks(&self) -> Networks;
    /// Whether classes are given to both players.
    fn classes(&self) -> bool;
    /// The generator.
    fn generator(&self) -> &GeneratorConfig;
    /// Dense layers and channels of the discriminator.
    fn seen(&self) -> (&[NonZeroUsize], NonZeroUsize);
    /// What keeps the scale of its layers.
    fn normalize(&self) -> Normalization;
    /// How it moves.
    fn optimizer(&self) -> (&OptimizerConfig, &'static str);
    /// The table of its keys.
    fn opponent(&self) -> &'static str {
        self.optimizer().1.split('.').next().unwrap_or_default()
    }
    /// Its moves for each of the generator.
    fn moves(&self) -> NonZeroUsize;
    /// What is added to its loss, if something is.
    fn penalty(&self) -> Option<Penalty>;
    /// Steps from one penalty to the next.
    fn penalty_every(&self) -> u64 {
        1
    }
    /// Training.
    fn train(&self) -> &TrainConfig;
}

/// The law of the noise that rows are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoiseLaw {
    /// Independent standard normals.
    #[default]
    Normal,
    /// Independent and uniform from −1 to 1.
    Uniform,
}

/// What the layers of both players are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Networks {
    /// Convolutions for images that can be halved, dense layers for everything else.
    #[default]
    Auto,
    /// Dense layers.
    Dense,
    /// Convolutions of stride 2, which halve and double images (Radford, Metz & Chintala 2016).
    Convolutional,
}

impl Networks {
    /// The layers of a player over rows of this shape.
    fn form(self, rows: &Shape, hidden: &[NonZeroUsize], channels: NonZeroUsize) -> Form {
        match self.are_convolutional(rows) {
            true => Form::Convolutions(channels.get()),
            false => Form::Dense(hidden.iter().map(|h| h.get()).collect()),
        }
    }

    fn are_convolutional(self, rows: &Shape) -> bool {
        match self {
            Self::Auto => Form::fits(rows),
            Self::Dense => false,
            Self::Convolutional => true,
        }
    }
}

/// What keeps the scale of hidden layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Normalization {
    /// By the batch for convolutions, unless gradients are penalised; nothing for dense layers.
    #[default]
    Auto,
    /// Nothing.
    None,
    /// Batch normalisation; not where gradients are penalised, because rows of a batch then see each other.
    Batch,
    /// Weights divided by their largest singular value (Miyato et al. 2018); of a discriminator only.
    Spectral,
}

impl Normalization {
    /// For layers of this form, of a generator or of a discriminator that may have a penalty.
    fn of(self, form: &Form, key: &str, generator: bool, penalised: bool) -> Result<Normalize> {
        match self {
            Self::Auto if matches!(form, Form::Dense(_)) || penalised => Ok(Normalize::Not),
            Self::Auto => Ok(Normalize::Batch),
            Self::None => Ok(Normalize::Not),
            Self::Batch if penalised => {
                let message = "rows of a batch that is normalised see each other, so that the gradient at one is not its own; take `spectral` or `none`, or no penalty where that is a choice";
                Err(Error::config(key, message))
            }
            Self::Batch => Ok(Normalize::Batch),
            Self::Spectral if generator => {
                Err(Error::config(key, "a generator has `auto`, `none` and `batch`"))
            }
            Self::Spectral => Ok(Normalize::Spectral),
        }
    }
}

/// The generator.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GeneratorConfig {
    /// Units of dense layers, from those next to the row to those next to the noise.
    pub hidden: Vec<NonZeroUsize>,
    /// Channels of the largest hidden image of convolutions; each smaller one has twice as many.
    pub channels: NonZeroUsize,
    /// What keeps the scale of hidden layers.
    pub normalize: Normalization,
}

impl Default for GeneratorConfig {
    fn default() -> Self {
        Self { hidden: vec![count(256); 3], channels: count(64), normalize: Normalization::Auto }
    }
}

/// Training as these games need it: a constant rate, and a long average of the generator.
fn training(rate: f64, beta1: f64) -> TrainConfig {
    TrainConfig {
        ema: Fraction::constant(0.999),
        optimizer: optimizer(rate, beta1),
        ..TrainConfig::default()
    }
}

/// Adam with less memory than elsewhere: the other player moves.
fn optimizer(rate: f64, beta1: f64) -> OptimizerConfig {
    OptimizerConfig {
        rate: Positive::constant(rate),
        beta1: Fraction::constant(beta1),
        schedule: Schedule::Constant,
        ..OptimizerConfig::default()
    }
}
