//! Functions value by value.

use crate::fused::{FusedOp, Pass, apply, here, input};
use burn::Tensor;
use genus_kernels::{Activation, activation, before_activation, gate_backward, gate_forward};

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

/// The definition.
pub(super) mod portable {
    use super::Tensor;
    use burn::tensor::activation::sigmoid;

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
