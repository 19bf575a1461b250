//! The neural toolkit of Genus, and the only crate that names the tensor framework.
//!
//! A network is a set of named [`Params`] and functions of them; layers hold the [`Id`]s of their parameters and nothing else.
//! [`View`] decides whether a forward pass is recorded for gradients: training records, everything else does not, because a
//! recorded pass that is never differentiated is never freed.
//!
//! Hot operations exist twice: [`ops::portable`] in framework operations is the definition, [`ops`] runs the fused kernel of
//! `genus-kernels` where there is one; tests hold both equal in value and gradient.

mod fused;
pub mod gradcheck;
mod layers;
pub mod ops;
mod optimizer;
mod params;
mod train;

pub use burn::Tensor;
pub use genus_kernels::{Activation, Causal, Conv, Images, Staircase, TapRow, Taps};
pub use layers::{Linear, Mlp, Nonlinearity};
pub use optimizer::{OptimizerConfig, Schedule};
pub use params::{Id, Params, View, afford};
pub use train::{Loss, Objective, StepContext, TrainConfig, train};

use burn::tensor::{Device, TensorData};
use genus_core::Batch;

/// The device that networks live on.
pub(crate) fn device() -> Device {
    Device::flex()
}

/// A batch as a tensor `[rows, width]`, outside any graph.
pub fn tensor(x: Batch) -> Tensor<2> {
    let shape = [x.rows(), x.width()];
    Tensor::from_data(TensorData::new(x.into_data(), shape), &device())
}

/// Values as a tensor of the given shape, outside any graph. Panics if the shape does not hold that many values.
pub fn tensor_from<const D: usize>(values: Vec<f32>, shape: [usize; D]) -> Tensor<D> {
    Tensor::from_data(TensorData::new(values, shape), &device())
}

/// The values of a tensor, row-major.
pub fn values<const D: usize>(t: Tensor<D>) -> Vec<f32> {
    match t.inner().into_data().try_into_vec::<f32>() {
        Ok(v) => v,
        Err(e) => unreachable!("tensors here hold f32: {e:?}"),
    }
}
