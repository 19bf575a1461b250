//! Functions value by value.

use crate::fused::{FusedOp, Pass, apply, here, input};
use burn::Tensor;
use genus_kernels::{Activation, activation, before_activation, gate_backward, gate_forward};
use std::sync::Arc;

#[derive(Debug, Clone)]
struct Gate {
    width: usize,
}

impl FusedOp<1> for Gate {
    type Kept = ();

    fn forward(&self, [x]: [&[f32]; 1], shapes: [&[usize]; 1]) -> (Vec<f32>, Vec<usize>, ()) {
        let mut shape = shapes[0].to_vec();
        shape[3] /= 2;
        (gate_forward(x, self.width), shape, ())
    }

    fn backward(&self, pass: Pass<'_, (), 1>, grad: Vec<f32>) -> [Option<Vec<f32>>; 1] {
        [Some(gate_backward(pass.inputs[0], &grad, self.width))]
    }
}

/// tanh(a) ⊙ σ(b) (van den Oord et al. 2016). The channels are pairs of a and b, `width` each; there is more than one pair if
/// channels come in groups.
///
/// # Shapes
/// x `[n, height, width, 2 channels]` → `[n, height, width, channels]`
pub fn gate(x: Tensor<4>, width: usize) -> Tensor<4> {
    if !here(&x) {
        return portable::gate(x, width);
    }
    apply(Gate { width }, [input(x)])
}

#[derive(Debug, Clone)]
struct Tanh;

impl FusedOp<1> for Tanh {
    type Kept = ();

    fn forward(&self, [x]: [&[f32]; 1], shapes: [&[usize]; 1]) -> (Vec<f32>, Vec<usize>, ()) {
        (activation(x, Activation::Tanh), shapes[0].to_vec(), ())
    }

    fn backward(&self, pass: Pass<'_, (), 1>, mut grad: Vec<f32>) -> [Option<Vec<f32>>; 1] {
        before_activation(&mut grad, pass.output, Activation::Tanh);
        [Some(grad)]
    }
}

/// tanh x.
pub fn tanh<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    if here(&x) { apply(Tanh, [input(x)]) } else { x.tanh() }
}

/// max(0, x).
pub fn relu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    burn::tensor::activation::relu(x)
}

#[derive(Debug, Clone)]
struct Slope {
    y: Arc<[f32]>,
    act: Activation,
}

impl FusedOp<1> for Slope {
    type Kept = ();

    fn forward(&self, [g]: [&[f32]; 1], shapes: [&[usize]; 1]) -> (Vec<f32>, Vec<usize>, ()) {
        let mut g = g.to_vec();
        before_activation(&mut g, &self.y, self.act);
        (g, shapes[0].to_vec(), ())
    }

    fn backward(&self, _: Pass<'_, (), 1>, mut grad: Vec<f32>) -> [Option<Vec<f32>>; 1] {
        before_activation(&mut grad, &self.y, self.act);
        [Some(grad)]
    }
}

/// g · f'(a), where y = f(a): a gradient on its way back through an activation that is made of straight lines. y is a constant, which
/// is all that it can be for such an f: its second derivative is 0. Panics for another.
///
/// # Shapes
/// g and y `[rows, width]` → the same
pub fn slope(g: Tensor<2>, y: Tensor<2>, act: Activation) -> Tensor<2> {
    let straight = matches!(act, Activation::Identity | Activation::Relu | Activation::LeakyRelu);
    assert!(straight, "{act:?} is not made of straight lines");
    if act == Activation::Identity {
        return g;
    }
    if !here(&g) {
        return portable::slope(g, y, act);
    }
    apply(Slope { y: crate::values(y).into(), act }, [input(g)])
}

/// The definition.
pub(super) mod portable {
    use super::{Activation, Tensor};
    use burn::tensor::activation::sigmoid;

    /// As [`slope`](super::slope), of relu and its leaky kin.
    pub fn slope(g: Tensor<2>, y: Tensor<2>, act: Activation) -> Tensor<2> {
        let below = if act == Activation::LeakyRelu { 0.2 } else { 0.0 };
        let positive = y.inner().greater_elem(0.0).float();
        g * (positive * (1.0 - below) + below)
    }

    /// As [`gate`](super::gate).
    pub fn gate(x: Tensor<4>, width: usize) -> Tensor<4> {
        let [n, height, across, channels] = x.dims();
        let pairs = x.reshape([n * height * across * channels / (2 * width), 2 * width]);
        let a = pairs.clone().narrow(1, 0, width).tanh();
        (a * sigmoid(pairs.narrow(1, width, width))).reshape([n, height, across, channels / 2])
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{close, draw, grad, side};
    use super::*;
    use crate::values;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn tanh_equals_its_definition(n in 1usize..9, width in 1usize..40, seed: u64) {
            let run = |fused: bool| {
                let at = side(fused);
                let x = draw(&at, seed, [n, width]).autodiff().require_grad();
                let y = if fused { tanh(x.clone()) } else { x.clone().tanh() };
                let g = (y.clone() * draw(&at, seed ^ 1, [n, width])).sum().backward();
                [values(y), grad(&x, &g)]
            };
            for (name, (f, p)) in ["y", "dx"].iter().zip(run(true).iter().zip(&run(false))) {
                close(name, f, p);
            }
        }

        #[test]
        fn slope_equals_its_definition(n in 1usize..9, width in 1usize..40, leaky: bool, seed: u64) {
            let act = if leaky { Activation::LeakyRelu } else { Activation::Relu };
            let run = |fused: bool| {
                let at = side(fused);
                let g = draw(&at, seed, [n, width]).autodiff().require_grad();
                let y = draw(&at, seed ^ 1, [n, width]);
                let out = if fused { slope(g.clone(), y, act) } else { portable::slope(g.clone(), y, act) };
                let back = (out.clone() * draw(&at, seed ^ 2, [n, width])).sum().backward();
                [values(out), grad(&g, &back)]
            };
            for (name, (f, p)) in ["out", "dg"].iter().zip(run(true).iter().zip(&run(false))) {
                close(name, f, p);
            }
        }

        #[test]
        fn gate_equals_its_definition(n in 1usize..4, extent in 1usize..5, width in 1usize..20, groups in 1usize..4, seed: u64) {
            let run = |fused: bool| {
                let at = side(fused);
                let x = draw(&at, seed, [n, extent, 3, 2 * width * groups]).autodiff().require_grad();
                let y = if fused { gate(x.clone(), width) } else { portable::gate(x.clone(), width) };
                let g = (y.clone() * draw(&at, seed ^ 1, [n, extent, 3, width * groups])).sum().backward();
                [values(y), grad(&x, &g)]
            };
            for (name, (f, p)) in ["y", "dx"].iter().zip(run(true).iter().zip(&run(false))) {
                close(name, f, p);
            }
        }
    }
}
