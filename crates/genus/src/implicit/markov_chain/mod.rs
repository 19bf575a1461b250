//! A Markov chain that is learned as a whole: each transition corrupts a row and draws a cleaner one. The law is the one that the chain
//! comes to (Bengio, Yao, Alain & Vincent 2013; Bengio, Thibodeau-Laufer, Alain & Yosinski 2014).

use crate::sampling::Sampling;
use genus_core::config::{Fraction, NonNegative, count};
use genus_core::transform::Binarize;
use genus_core::{ModelSpec, Result, Rng};
use genus_kernels::Stream;
use genus_nn::{Id, Params, Tensor, TrainConfig, View};
use serde::{Serialize, de::DeserializeOwned};
use std::fmt::Debug;
use std::num::NonZeroUsize;

pub mod denoising_chain;
pub mod gsn;
mod walker;

/// Members.
pub const SPECS: &[&ModelSpec] = &[&denoising_chain::SPEC, &gsn::SPEC];

/// Corruption of the published models.
const CORRUPTION: Fraction = Fraction::constant(0.4);
/// Noise of the published models.
const NOISE: NonNegative = NonNegative::constant(2.0);
/// Drawing, unless the configuration says otherwise.
const SAMPLING: Sampling = Sampling { chains: count(100), burn_in: count(100), thin: count(10) };

/// A transition between rows of bits, which learns: what a member of the family writes. [`walker::Walker`] makes the public model of it.
pub trait Transition: Clone + Debug + Send + Sync + Sized + 'static {
    /// Hyper-parameters.
    type Config: TransitionConfig;

    /// Registry entry.
    fn spec() -> &'static ModelSpec;

    /// Makes the parameters of rows whose independent bits would have the inputs `start`.
    ///
    /// # Errors
    /// [`genus_core::Error::Config`] if the network would be too large.
    fn build(config: &Self::Config, start: &[f32], params: &mut Params, rng: &mut Rng) -> Result<Self>;

    /// A row that begins the transition, with errors.
    ///
    /// # Shapes
    /// x `[rows · width]` → the same
    fn corrupt(&self, x: &[f32], noise: &mut Noise) -> Vec<f32>;

    /// Logits of the bits without errors. `hidden` is what the chain carries beside its row: empty when a chain begins.
    ///
    /// # Shapes
    /// corrupted `[rows, width]` → `[rows, width]`
    fn denoise(
        &self,
        view: &View<'_>,
        corrupted: Tensor<2>,
        hidden: &mut Vec<Tensor<2>>,
        noise: &mut Noise,
    ) -> Tensor<2>;

    /// Features of rows, without any noise.
    ///
    /// # Shapes
    /// x `[rows, width]` → `[rows, code]`
    fn code(&self, view: &View<'_>, x: Tensor<2>) -> Tensor<2>;

    /// Number of features.
    fn code_width(&self) -> usize;

    /// Weights `[width, units]` between rows and the hidden units that see them.
    fn first_weights(&self) -> Id;
}

/// What the hyper-parameters of all members have in common.
pub trait TransitionConfig: Serialize + DeserializeOwned + Default + Clone + Debug + Send + Sync {
    /// How levels become bits.
    fn binarize(&self) -> Binarize;
    /// Transitions per row and step of training.
    fn steps(&self) -> NonZeroUsize;
    /// Let these go on from what the chain drew, rather than begin at the row again.
    fn walkback(&self) -> bool;
    /// Training.
    fn train(&self) -> &TrainConfig;
    /// Drawing.
    fn sampling(&self) -> &Sampling;
}

/// Random streams, one after the other.
#[derive(Debug, Clone, Copy)]
pub struct Noise {
    key: u64,
    stream: u64,
}

impl Noise {
    /// From the first stream of a key on.
    pub const fn new(key: u64) -> Self {
        Self { key, stream: 0 }
    }

    /// The next stream.
    pub fn next(&mut self) -> Stream {
        self.stream += 1;
        Stream { key: self.key, stream: self.stream }
    }

    /// Normal numbers of this standard deviation, `[rows, columns]`.
    pub fn normals(&mut self, [rows, columns]: [usize; 2], deviation: f32) -> Tensor<2> {
        let mut values = vec![0.0; rows * columns];
        self.next().normals(0, &mut values);
        values.iter_mut().for_each(|v| *v *= deviation);
        genus_nn::tensor_from(values, [rows, columns])
    }
}

/// Each bit with probability `rate` replaced by the throw of a coin.
pub fn salt_and_pepper(x: &[f32], rate: Fraction, noise: &mut Noise) -> Vec<f32> {
    let mut u = vec![0.0; x.len()];
    noise.next().fill(0, &mut u);
    let rate = rate.get() as f32;
    u.iter_mut()
        .zip(x)
        .for_each(|(u, x)| *u = if *u >= rate { *x } else { f32::from(u8::from(*u < 0.5 * rate)) });
    u
}
