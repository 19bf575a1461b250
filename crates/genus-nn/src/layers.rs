//! Layers: the ids of their parameters and a forward function.

use crate::{Activation, Conv, Id, Params, Staircase, Taps, Tensor, View, ops};
use genus_core::Rng;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The function of hidden units, as configurations name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Nonlinearity {
    /// max(0, a).
    #[default]
    Relu,
    /// tanh a.
    Tanh,
}

impl From<Nonlinearity> for Activation {
    fn from(f: Nonlinearity) -> Self {
        match f {
            Nonlinearity::Relu => Self::Relu,
            Nonlinearity::Tanh => Self::Tanh,
        }
    }
}

/// f(x W + b), W `[inputs, outputs]`, optionally masked.
#[derive(Debug, Clone)]
pub struct Linear {
    w: Id,
    b: Id,
    act: Activation,
    mask: Option<Arc<Staircase>>,
}

impl Linear {
    /// Adds `name.w` and `name.b`: weights uniform in ±√(6/(fan-in + fan-out)) for tanh and identity, ±√(6/fan-in) for relu
    /// (Glorot & Bengio 2010; He et al. 2015), zero bias.
    pub fn new(
        params: &mut Params,
        name: &str,
        inputs: usize,
        outputs: usize,
        act: Activation,
        rng: &mut Rng,
    ) -> Self {
        let bound = bound(inputs, outputs, act);
        let w = params.uniform(format!("{name}.w"), &[inputs, outputs], bound, rng);
        let b = params.add(format!("{name}.b"), &[outputs], vec![0.0; outputs]);
        Self { w, b, act, mask: None }
    }

    /// As [`new`](Self::new), with the weights that `mask` drops set to zero for good.
    pub fn masked(
        params: &mut Params,
        name: &str,
        mask: &Arc<Staircase>,
        act: Activation,
        rng: &mut Rng,
    ) -> Self {
        let mut layer = Self::new(params, name, mask.inputs(), mask.outputs(), act, rng);
        params.restrict(layer.w, mask);
        layer.mask = Some(Arc::clone(mask));
        layer
    }

    /// # Shapes
    /// x `[rows, inputs]` → `[rows, outputs]`
    pub fn forward(&self, view: &View<'_>, x: Tensor<2>) -> Tensor<2> {
        ops::linear(x, view.get(self.w), view.get(self.b), self.act, self.mask.as_ref())
    }

    /// Id of the weights.
    pub fn w(&self) -> Id {
        self.w
    }

    /// Id of the bias.
    pub fn b(&self) -> Id {
        self.b
    }
}

/// Largest weight of a layer that begins.
pub(crate) fn bound(inputs: usize, outputs: usize, act: Activation) -> f64 {
    match act {
        Activation::Relu | Activation::LeakyRelu => (6.0 / inputs as f64).sqrt(),
        Activation::Identity | Activation::Tanh | Activation::Sigmoid => {
            (6.0 / (inputs + outputs) as f64).sqrt()
        }
    }
}

/// Fully connected layers in a row.
#[derive(Debug, Clone)]
pub struct Mlp {
    layers: Vec<Linear>,
}

impl Mlp {
    /// Layers `name.0`, `name.1` … of these widths; `act` after each but the last, which is linear.
    pub fn new(params: &mut Params, name: &str, widths: &[usize], act: Activation, rng: &mut Rng) -> Self {
        let last = widths.len().saturating_sub(2);
        let layers = widths
            .windows(2)
            .enumerate()
            .map(|(i, w)| {
                let act = if i == last { Activation::Identity } else { act };
                Linear::new(params, &format!("{name}.{i}"), w[0], w[1], act, rng)
            })
            .collect();
        Self { layers }
    }

    /// # Shapes
    /// x `[rows, first width]` → `[rows, last width]`
    pub fn forward(&self, view: &View<'_>, x: Tensor<2>) -> Tensor<2> {
        self.layers.iter().fold(x, |x, layer| layer.forward(view, x))
    }

    /// The last layer.
    pub fn last(&self) -> Option<&Linear> {
        self.layers.last()
    }
}

/// f(conv(x) + b) over images stored height × width × channels.
#[derive(Debug, Clone)]
pub struct Convolution {
    conv: Arc<Conv>,
    w: Id,
    b: Id,
    act: Activation,
}

impl Convolution {
    /// Adds `name.w` and `name.b`: weights uniform in ±√(6/fan-in) before relu, ±√(3/fan-in) elsewhere, zero bias.
    pub fn new(
        params: &mut Params,
        name: &str,
        taps: Taps,
        [inputs, outputs]: [usize; 2],
        act: Activation,
        rng: &mut Rng,
    ) -> Self {
        let fan = (taps.count() * inputs) as f64;
        let gain = if matches!(act, Activation::Relu | Activation::LeakyRelu) { 6.0 } else { 3.0 };
        let shape = [taps.count(), inputs, outputs];
        let w = params.uniform(format!("{name}.w"), &shape, (gain / fan).sqrt(), rng);
        let b = params.add(format!("{name}.b"), &[outputs], vec![0.0; outputs]);
        Self { conv: Arc::new(Conv { taps, inputs, outputs }), w, b, act }
    }

    /// Weights and bias at zero.
    pub fn reset(&self, params: &mut Params) {
        params.set(self.w, vec![0.0; self.conv.weights()]);
        params.set(self.b, vec![0.0; self.conv.outputs]);
    }

    /// # Shapes
    /// x `[rows, height, width, inputs]` → `[rows, height', width', outputs]`
    pub fn forward(&self, view: &View<'_>, x: Tensor<4>) -> Tensor<4> {
        ops::conv(x, view.get(self.w), view.get(self.b), &self.conv, self.act)
    }
}
