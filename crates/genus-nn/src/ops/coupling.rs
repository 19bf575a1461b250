//! Affine coupling layers, network included, as one operation.

use super::portable::index;
use crate::fused::{FusedOp, Input, Pass, apply, here, input};
use burn::Tensor;
use genus_kernels::{Coupling, CouplingNet};
use std::sync::Arc;

/// Inputs: rows, factors, then weights and bias of each layer.
#[derive(Debug, Clone)]
struct CouplingOp(Arc<Coupling>);

fn net<'a>(inputs: &[&'a [f32]]) -> CouplingNet<'a> {
    let layers = inputs[2..].chunks_exact(2).map(|layer| (layer[0], layer[1])).collect();
    CouplingNet { layers, scale: inputs[1] }
}

impl<const N: usize> FusedOp<N> for CouplingOp {
    type Kept = Vec<f32>;

    fn forward(&self, inputs: [&[f32]; N], shapes: [&[usize]; N]) -> (Vec<f32>, Vec<usize>, Self::Kept) {
        let (y, kept) = self.0.forward(inputs[0], &net(&inputs));
        (y, shapes[0].to_vec(), kept)
    }

    fn backward(&self, pass: Pass<'_, Self::Kept, N>, grad: Vec<f32>) -> [Option<Vec<f32>>; N] {
        let g = self.0.backward(pass.inputs[0], &net(&pass.inputs), pass.kept, grad);
        let layers = g.layers.into_iter().flat_map(|(w, b)| [w, b]);
        let mut all = [g.x, g.scale].into_iter().chain(layers);
        std::array::from_fn(|_| all.next())
    }
}

/// Weights and bias of a layer.
pub type Layer = (Tensor<2>, Tensor<1>);

/// y_moved = x_moved ⊙ e^s + t with s = c ⊙ tanh(raw) and (raw, t) = net(x_kept); the other dimensions stay. Σ s is added to the
/// last column, which carries the log-determinant through a flow. Panics for more than four layers.
///
/// # Shapes
/// x `[rows, dimensions + 1]`, c `[moved]`, layers from the kept dimensions to twice the moved ones → as x
pub fn coupling(x: Tensor<2>, c: Tensor<1>, layers: &[Layer], of: &Arc<Coupling>) -> Tensor<2> {
    if !here(&x) {
        return portable::coupling(x, c, layers, of);
    }
    let op = CouplingOp(Arc::clone(of));
    let mut all = vec![input(x), input(c)];
    all.extend(layers.iter().flat_map(|(w, b)| [input(w.clone()), input(b.clone())]));
    fn run<const N: usize>(op: CouplingOp, all: Vec<Input>) -> Tensor<2> {
        match <[Input; N]>::try_from(all) {
            Ok(all) => apply(op, all),
            Err(_) => unreachable!("called with N inputs"),
        }
    }
    match all.len() {
        4 => run::<4>(op, all),
        6 => run::<6>(op, all),
        8 => run::<8>(op, all),
        10 => run::<10>(op, all),
        n => panic!("a coupling's network has one to four layers, not {}", (n - 2) / 2),
    }
}

/// The definition.
pub(super) mod portable {
    use super::super::portable::activation;
    use super::{Coupling, Layer, Tensor, index};
    use genus_kernels::Activation;

    /// As [`coupling`](super::coupling).
    pub fn coupling(x: Tensor<2>, c: Tensor<1>, layers: &[Layer], of: &Coupling) -> Tensor<2> {
        let (d, m) = (of.dimensions(), of.moved.len());
        let kept = x.clone().select(1, index(&of.kept, &x));
        let moved = x.clone().select(1, index(&of.moved, &x));
        let mut h = kept.clone();
        for (l, (w, b)) in layers.iter().enumerate() {
            let act = if l + 1 == layers.len() { Activation::Identity } else { of.act };
            h = activation(h.matmul(w.clone()) + b.clone().unsqueeze(), act);
        }
        let s = h.clone().narrow(1, 0, m).tanh() * c.unsqueeze();
        let y = moved * s.clone().exp() + h.narrow(1, m, m);
        let log_det = x.clone().narrow(1, d, 1) + s.sum_dim(1);
        // Back into the order of the dimensions.
        let mut place = vec![d; d + 1];
        of.kept.iter().chain(&of.moved).enumerate().for_each(|(i, k)| place[*k] = i);
        Tensor::cat(vec![kept, y, log_det], 1).select(1, index(&place, &x))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{close, draw, grad, side};
    use super::*;
    use crate::values;
    use genus_kernels::Activation;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn coupling_equals_its_definition(rows in 1usize..80, d in 2usize..6, cut in 1usize..5, hidden in prop::collection::vec(1usize..20, 0..4), seed: u64) {
            let cut = cut.min(d - 1);
            let order: Vec<usize> = (0..d).map(|i| (i + seed as usize % d) % d).collect();
            let of = Arc::new(Coupling { kept: order[..cut].to_vec(), moved: order[cut..].to_vec(), act: Activation::Tanh });
            let m = d - cut;
            let widths: Vec<usize> = [cut].into_iter().chain(hidden.iter().copied()).chain([2 * m]).collect();
            let run = |fused: bool| {
                let at = side(fused);
                let x = draw(&at, seed, [rows, d + 1]).autodiff().require_grad();
                let c = draw(&at, seed ^ 1, [m]).autodiff().require_grad();
                let layers: Vec<Layer> = widths.windows(2).enumerate().map(|(l, w)| {
                    let weights = draw(&at, seed ^ (2 + l as u64), [w[0], w[1]]) / (w[0] as f32).sqrt();
                    (weights.autodiff().require_grad(), draw(&at, seed ^ (9 + l as u64), [w[1]]).autodiff().require_grad())
                }).collect();
                let y = if fused { coupling(x.clone(), c.clone(), &layers, &of) } else { portable::coupling(x.clone(), c.clone(), &layers, &of) };
                // Weighted so that the sums over rows stay of the size that `close` takes for granted.
                let weight = draw(&at, seed ^ 20, [rows, d + 1]) / (rows as f32).sqrt();
                let g = (y.clone() * weight).sum().backward();
                let mut found = vec![values(y), grad(&x, &g), grad(&c, &g)];
                layers.iter().for_each(|(w, b)| found.extend([grad(w, &g), grad(b, &g)]));
                found
            };
            for (i, (f, p)) in run(true).iter().zip(&run(false)).enumerate() {
                close(&format!("result {i}"), f, p);
            }
        }
    }
}
