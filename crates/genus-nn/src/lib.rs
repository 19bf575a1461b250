//! The neural toolkit of Genus, and the only crate that names the tensor framework.
//!
//! A network is a set of named [`Params`] and functions of them; layers hold the [`Id`]s of their parameters and nothing else.
//! [`View`] decides whether a forward pass is recorded for gradients: training records, everything else does not, because a
//! recorded pass that is never differentiated is never freed.
//!
//! Hot operations exist twice: [`ops::portable`] in framework operations is the definition, [`ops`] runs the fused kernel of
//! `genus-kernels` where there is one; tests hold both equal in value and gradient.

mod flow;
mod fused;
pub mod gradcheck;
mod image_flow;
mod layers;
pub mod ops;
mod optimizer;
mod params;
mod pyramid;
mod train;

pub use burn::Tensor;
pub use flow::{Base, Bijection, Chain, Steps};
pub use genus_kernels::{
    Activation, Causal, Conv, Images, Lstm, Mixture, Moved, Scan, Staircase, Step, StepKind, TapRow, Taps,
    Warp,
};
pub use image_flow::{ConvNet, Grid, ImageFlow};
pub use layers::{Convolution, Linear, Mlp, Nonlinearity};
pub use optimizer::{Optimizer, OptimizerConfig, Schedule};
pub use params::{Group, Id, Params, View, afford, holding};
pub use pyramid::{Analysis, Form, Normalize, Synthesis};
pub use train::{Loss, Objective, Player, StepContext, TrainConfig, play, train};

use burn::tensor::{Device, TensorData};
use genus_core::{Batch, Error, Result};
use std::sync::OnceLock;

/// The device that networks live on, once it has been asked for.
static DEVICE: OnceLock<Device> = OnceLock::new();

/// The device that networks live on.
pub(crate) fn device() -> Device {
    DEVICE.get_or_init(Device::flex).clone()
}

/// Chooses the device for this process, before the first network is made: `cpu`, where the fused kernels are, or `wgpu`, a
/// graphics processor by Vulkan, Metal or DirectX, if the program was built with the feature of that name.
///
/// # Errors
/// [`Error::Config`] if there is no such device or networks live on another one already.
pub fn use_device(name: &str) -> Result<()> {
    let device = match name {
        "cpu" => Device::flex(),
        #[cfg(feature = "wgpu")]
        "wgpu" => {
            // The framework opens a device when it is first used, and panics then if there is none.
            if Device::enumerate(burn::tensor::DeviceType::Wgpu).is_empty() {
                let remedy = "no graphics processor was found; install a driver for Vulkan, Metal or DirectX";
                return Err(Error::config("device", remedy));
            }
            Device::wgpu(burn::tensor::DeviceKind::DefaultDevice)
        }
        #[cfg(not(feature = "wgpu"))]
        "wgpu" => {
            let remedy = "this program was built without it; build it with the feature `wgpu`";
            return Err(Error::config("device", remedy));
        }
        _ => return Err(Error::config("device", format!("there is no `{name}`; there are cpu and wgpu"))),
    };
    match DEVICE.get_or_init(|| device.clone()) == &device {
        true => Ok(()),
        false => Err(Error::config("device", "networks live on another device already")),
    }
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

/// The mean of the values of a tensor, summed in double precision.
pub fn mean_of(t: Tensor<1>) -> f64 {
    let v = values(t);
    v.iter().map(|v| f64::from(*v)).sum::<f64>() / v.len() as f64
}

/// The values of a tensor, row-major.
pub fn values<const D: usize>(t: Tensor<D>) -> Vec<f32> {
    match t.inner().into_data().try_into_vec::<f32>() {
        Ok(v) => v,
        Err(e) => unreachable!("tensors here hold f32: {e:?}"),
    }
}
