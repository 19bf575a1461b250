//! Fully visible belief nets: p(x) = Π p(x_d | x_<d) in some order of the dimensions.

use genus_core::transform::{Binarize, Transform};
use genus_core::{Batch, Domain, ModelSpec, Result, Rng, Schema, Shape, Support};
use genus_nn::{Id, Params, Tensor, TrainConfig, View};
use law::Law;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::fmt::Debug;

mod factorization;
pub mod fvsbn;
pub mod gated_pixel_cnn;
mod image_net;
mod law;
pub mod made;
mod masked_net;
mod masks;
pub mod nade;
pub mod pixel_cnn;
pub mod pixel_rnn;
pub mod rnade;
pub mod tabular;

/// Members.
pub const SPECS: &[&ModelSpec] = &[
    &fvsbn::SPEC,
    &nade::SPEC,
    &rnade::SPEC,
    &made::SPEC,
    &pixel_cnn::SPEC,
    &gated_pixel_cnn::SPEC,
    &pixel_rnn::SPEC,
    &tabular::SPEC,
];

/// The network of a factorisation in the order of the columns: what a member of the family writes.
/// [`factorization::Factorization`] makes the public model of it.
pub trait Conditionals: Clone + Debug + Send + Sync + Sized + 'static {
    /// Hyper-parameters.
    type Config: AutoregressiveConfig;

    /// Registry entry.
    fn spec() -> &'static ModelSpec;

    /// What the conditionals are, for rows of the domain that the network works on.
    fn law(config: &Self::Config, domain: &Domain) -> Law {
        let _ = config;
        Law::for_domain(domain)
    }

    /// Adds its parameters to `params`.
    ///
    /// # Errors
    /// [`genus_core::Error::Config`] if the configuration does not suit the rows.
    fn build(config: &Self::Config, rows: &Rows, params: &mut Params, rng: &mut Rng) -> Result<Self>;

    /// What the [law](Self::law) of every dimension given those before it takes.
    ///
    /// # Shapes
    /// x `[rows, width]`, class one-hot, or what else is given, `[rows, classes]` → `[rows, width · outputs]`
    fn outputs(&self, view: &View<'_>, x: Tensor<2>, class: Option<Tensor<2>>) -> Tensor<2>;

    /// Sets what a mask drops to zero in an array that belongs to the parameter `id`.
    fn mask(&self, id: Id, w: &mut [f32]) {
        let _ = (id, w);
    }

    /// Goes through the dimensions of `x` in order and sets each to what `choose` makes of its conditional's parameters, which
    /// have the bits of [`outputs`](Self::outputs) if values are bits or levels; each value of the network is computed once.
    fn fill_in_order(&self, params: &Params, x: &mut Batch, class: Option<&Batch>, choose: Choose<'_>);
}

/// The value of a dimension, given its row, its number and the parameters of its conditional; it may be the known one.
pub type Choose<'a> = &'a (dyn Fn(usize, usize, &[f32]) -> f32 + Sync);

/// What a network is made for.
#[derive(Debug, Clone)]
pub struct Rows {
    /// After the transform.
    pub domain: Domain,
    /// Number of classes, or values of what else is given; 0 if nothing is.
    pub classes: usize,
    /// Logit of the marginal of each dimension, for output biases to start from; for bits only.
    pub start: Vec<f32>,
}

impl Rows {
    /// Dimensions.
    pub fn width(&self) -> usize {
        self.domain.width()
    }

    /// Values per pixel; 1 for rows that are no images.
    pub fn channels(&self) -> usize {
        match self.domain.shape {
            Shape::Flat(_) => 1,
            Shape::Image { channels, .. } => channels,
        }
    }

    /// Values that a dimension may take.
    pub fn levels(&self) -> usize {
        Law::for_domain(&self.domain).levels()
    }
}

/// What the hyper-parameters of all members have in common.
pub trait AutoregressiveConfig: Serialize + DeserializeOwned + Default + Clone + Debug + Send + Sync {
    /// From data to what the network works on, fitted to training rows.
    ///
    /// # Errors
    /// [`genus_core::Error::Domain`] if the model does not take such data.
    fn transform(&self, rows: &Schema, x: &Batch) -> Result<Transform>;
    /// Whether the class is given to the network.
    fn class_conditional(&self) -> bool;
    /// Training.
    fn train(&self) -> &TrainConfig;
}

/// Rows with the one-hot class, or what else is given, in front, as further dimensions that are always known.
pub(crate) fn with_class(x: Tensor<2>, class: Option<Tensor<2>>) -> Tensor<2> {
    match class {
        Some(class) => Tensor::cat(vec![class, x], 1),
        None => x,
    }
}

/// What an image model makes of levels such as pixel bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pixels {
    /// A categorical distribution over the levels.
    #[default]
    Levels,
    /// Bits.
    Bits,
}

impl Pixels {
    fn transform(self, rows: &Schema, binarize: Binarize) -> Result<Transform> {
        match (self, &rows.domain.support) {
            (Self::Levels, Support::Discrete { .. }) => Ok(Transform::identity(rows)),
            _ => Transform::to_binary(rows, binarize, 0),
        }
    }
}

/// Tiny fits of an image model, whose own keys are the first argument, and those of an option that some have the second.
macro_rules! image_tiny {
    ($net:literal, $option:literal) => {
        &[
            genus_core::TinyFit::new("bits", "grid12", concat!($net, "[train]\nepochs = 10\nbatch = 50\n[train.optimizer]\nrate = 0.02\n")),
            genus_core::TinyFit::new("levels", "shades6", concat!($net, "[train]\nepochs = 10\nbatch = 50\nema = 0.9\n[train.optimizer]\nrate = 0.02\n")),
            genus_core::TinyFit::new("colours", "colours2", concat!($net, $option, "[train]\nepochs = 10\nbatch = 50\n[train.optimizer]\nrate = 0.02\n")),
            genus_core::TinyFit::new("two classes", "twotrees8", concat!($net, $option, "class_conditional = true\n[train]\nepochs = 10\nbatch = 50\n[train.optimizer]\nrate = 0.02\n")),
        ]
    };
}
pub(crate) use image_tiny;
