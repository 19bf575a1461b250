//! Batch normalisation.

use super::Tensor;
use crate::fused::{FusedOp, Pass, apply, here, input};
use genus_kernels::{Activation, Normalized, batch_norm_backward, batch_norm_forward};

#[derive(Debug, Clone)]
struct BatchNormOp {
    act: Activation,
}

impl FusedOp<3> for BatchNormOp {
    type Kept = [Vec<f32>; 2];

    fn forward(
        &self,
        [x, scale, shift]: [&[f32]; 3],
        shapes: [&[usize]; 3],
    ) -> (Vec<f32>, Vec<usize>, Self::Kept) {
        let Normalized { y, mean, inverse } = batch_norm_forward(x, scale, shift, self.act);
        (y, shapes[0].to_vec(), [mean, inverse])
    }

    fn backward(&self, pass: Pass<'_, Self::Kept, 3>, grad: Vec<f32>) -> [Option<Vec<f32>>; 3] {
        let [x, scale, _] = pass.inputs;
        let statistics = pass.kept.each_ref().map(Vec::as_slice);
        let g = batch_norm_backward(x, scale, pass.output, statistics, grad, self.act);
        [Some(g.x), Some(g.scale), Some(g.shift)]
    }
}

/// f(γ (x − m)/√(v + ε) + β) with mean and variance of each channel over the rows of the batch (Ioffe & Szegedy 2015).
///
/// # Shapes
/// x `[rows, channels]`, scale γ and shift β `[channels]` → as x
pub fn batch_norm(x: Tensor<2>, scale: Tensor<1>, shift: Tensor<1>, act: Activation) -> Tensor<2> {
    if !here(&x) {
        return portable::batch_norm(x, scale, shift, act);
    }
    apply(BatchNormOp { act }, [input(x), input(scale), input(shift)])
}

pub(super) mod portable {
    use super::super::portable::activation;
    use super::{Activation, Tensor};
    use genus_kernels::EPSILON;

    /// As [`batch_norm`](super::batch_norm).
    pub fn batch_norm(x: Tensor<2>, scale: Tensor<1>, shift: Tensor<1>, act: Activation) -> Tensor<2> {
        let off = x.clone() - x.mean_dim(0);
        let variance = (off.clone() * off.clone()).mean_dim(0);
        activation(off / (variance + EPSILON).sqrt() * scale.unsqueeze() + shift.unsqueeze(), act)
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
        fn batch_norm_equals_its_definition(rows in 8usize..80, channels in 1usize..30, act in 0usize..3, seed: u64) {
            let act = [Activation::Identity, Activation::Relu, Activation::LeakyRelu][act];
            let run = |fused: bool| {
                let at = side(fused);
                let x = draw(&at, seed, [rows, channels]).autodiff().require_grad();
                let scale = draw(&at, seed ^ 1, [channels]).autodiff().require_grad();
                let shift = draw(&at, seed ^ 2, [channels]).autodiff().require_grad();
                let op = if fused { batch_norm } else { portable::batch_norm };
                let y = op(x.clone() + 1.0, scale.clone(), shift.clone(), act);
                let g = (y.clone() * draw(&at, seed ^ 3, [rows, channels])).sum().backward();
                [values(y), grad(&x, &g), grad(&scale, &g), grad(&shift, &g)]
            };
            for (name, (f, p)) in ["y", "dx", "dscale", "dshift"].iter().zip(run(true).iter().zip(&run(false))) {
                // Means are rounded in another order; of very few rows a variance may be next to nothing.
                let size = p.iter().fold(1.0f32, |m, v| m.max(v.abs()));
                let scaled = |v: &[f32]| v.iter().map(|v| v / (8.0 * size)).collect::<Vec<_>>();
                close(name, &scaled(f), &scaled(p));
            }
        }
    }
}
