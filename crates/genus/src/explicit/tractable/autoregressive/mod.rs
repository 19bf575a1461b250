//! Fully visible belief nets: p(x) = Π p(x_d | x_<d) in some order of the dimensions.

use genus_core::transform::Binarize;
use genus_core::{Batch, Domain, ModelSpec, Result, Rng};
use genus_nn::{Id, Params, Tensor, TrainConfig, View};
use serde::{Serialize, de::DeserializeOwned};
use std::fmt::Debug;

mod factorization;
pub(crate) mod fvsbn;
pub(crate) mod made;
mod masked_net;
mod masks;
pub(crate) mod nade;

/// Members.
pub const SPECS: &[&ModelSpec] = &[&fvsbn::SPEC, &nade::SPEC, &made::SPEC];

/// The network of a factorisation in the order of the columns: what a member of the family writes.
/// [`factorization::Factorization`] makes the public model of it.
pub trait Conditionals: Clone + Debug + Send + Sync + Sized + 'static {
    /// Hyper-parameters.
    type Config: Settings;

    /// Registry entry.
    fn spec() -> &'static ModelSpec;

    /// Adds its parameters to `params`.
    ///
    /// # Errors
    /// [`genus_core::Error::Config`] if the configuration does not suit the rows.
    fn build(config: &Self::Config, rows: &Rows, params: &mut Params, rng: &mut Rng) -> Result<Self>;

    /// Parameters of the conditional of every dimension given those before it: a logit for bits, a logit per level otherwise.
    ///
    /// # Shapes
    /// x `[rows, width]`, class one-hot `[rows, classes]` → `[rows, width]`, or `[rows, width · levels]`
    fn outputs(&self, view: &View<'_>, x: Tensor<2>, class: Option<Tensor<2>>) -> Tensor<2>;

    /// Sets what a mask drops to zero in an array that belongs to the parameter `id`.
    fn mask(&self, id: Id, w: &mut [f32]) {
        let _ = (id, w);
    }

    /// Goes through the dimensions of `x` in order and sets each to what `choose` makes of its conditional's parameters, which
    /// have the bits of [`outputs`](Self::outputs); each value of the network is computed once.
    fn walk(&self, params: &Params, x: &mut Batch, class: Option<&Batch>, choose: Choose<'_>);
}

/// The value of a dimension, given its row, its number and the parameters of its conditional; it may be the known one.
pub type Choose<'a> = &'a (dyn Fn(usize, usize, &[f32]) -> f32 + Sync);

/// What a network is made for.
#[derive(Debug, Clone)]
pub struct Rows {
    /// After the transform.
    pub domain: Domain,
    /// Number of classes; 0 if the model has none.
    pub classes: usize,
    /// Logit of the marginal of each dimension, for output biases to start from; for bits only.
    pub start: Vec<f32>,
}

impl Rows {
    /// Dimensions.
    pub fn width(&self) -> usize {
        self.domain.width()
    }
}

/// What the hyper-parameters of all members have in common.
pub trait Settings: Serialize + DeserializeOwned + Default + Clone + Debug + Send + Sync {
    /// How levels become bits.
    fn binarize(&self) -> Binarize;
    /// Whether the class is given to the network.
    fn class_conditional(&self) -> bool;
    /// Training.
    fn train(&self) -> &TrainConfig;
}

/// Rows with the one-hot class in front, as further dimensions that are always known.
pub(crate) fn with_class(x: Tensor<2>, class: Option<Tensor<2>>) -> Tensor<2> {
    match class {
        Some(class) => Tensor::cat(vec![class, x], 1),
        None => x,
    }
}
