//! The neural autoregressive density estimator as one operation.

use crate::fused::{FusedOp, Pass, apply, here, input};
use burn::Tensor;
use genus_kernels::Nade;

#[derive(Debug, Clone)]
struct NadeOp;

impl FusedOp<5> for NadeOp {
    type Kept = ();

    fn forward(&self, [w, v, b, c, x]: [&[f32]; 5], shapes: [&[usize]; 5]) -> (Vec<f32>, Vec<usize>, ()) {
        (Nade { w, v, b, c }.logits(x), shapes[4].to_vec(), ())
    }

    fn backward(&self, pass: Pass<'_, (), 5>, grad: Vec<f32>) -> [Option<Vec<f32>>; 5] {
        let [w, v, b, c, x] = pass.inputs;
        let g = Nade { w, v, b, c }.backward(x, &grad, pass.wanted[4]);
        [Some(g.w), Some(g.v), Some(g.b), Some(g.c), g.x]
    }
}

/// Logits of every dimension given those before it: a₁ = c, logit_d = b_d + V_d · σ(a_d), a_{d+1} = a_d + x_d W_d.
///
/// # Shapes
/// w, v `[dimensions, hidden]`, b `[dimensions]`, c `[hidden]`, x `[rows, dimensions]` → `[rows, dimensions]`
pub fn nade(w: Tensor<2>, v: Tensor<2>, b: Tensor<1>, c: Tensor<1>, x: Tensor<2>) -> Tensor<2> {
    if !here(&x) {
        return portable::nade(w, v, b, c, x);
    }
    apply(NadeOp, [input(w), input(v), input(b), input(c), input(x)])
}

/// The definition.
pub(super) mod portable {
    use super::Tensor;
    use burn::tensor::activation::sigmoid;

    /// As [`nade`](super::nade), dimension by dimension.
    pub fn nade(w: Tensor<2>, v: Tensor<2>, b: Tensor<1>, c: Tensor<1>, x: Tensor<2>) -> Tensor<2> {
        let [rows, dimensions] = x.dims();
        let mut a = c.unsqueeze::<2>().repeat_dim(0, rows);
        let mut logits = Vec::with_capacity(dimensions);
        for d in 0..dimensions {
            let (v_d, w_d) = (v.clone().narrow(0, d, 1), w.clone().narrow(0, d, 1));
            let logit = (sigmoid(a.clone()) * v_d).sum_dim(1) + b.clone().narrow(0, d, 1).unsqueeze::<2>();
            logits.push(logit);
            a = a + x.clone().narrow(1, d, 1) * w_d;
        }
        Tensor::cat(logits, 1)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{close, draw, grad, side};
    use super::*;
    use crate::values;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]
        #[test]
        fn nade_equals_its_definition(rows in 1usize..14, dimensions in 1usize..12, hidden in 1usize..70, seed: u64) {
            let run = |fused: bool| {
                let at = side(fused);
                let shape = [dimensions, hidden];
                let leaf = |salt: u64| (draw(&at, seed ^ salt, shape) / (hidden as f32).sqrt()).autodiff().require_grad();
                let (w, v) = (leaf(1), leaf(2));
                let b = draw(&at, seed ^ 3, [dimensions]).autodiff().require_grad();
                let c = draw(&at, seed ^ 4, [hidden]).autodiff().require_grad();
                let x = draw(&at, seed ^ 5, [rows, dimensions]).greater_elem(0.5).float().autodiff().require_grad();
                let f = if fused { nade } else { portable::nade };
                let y = f(w.clone(), v.clone(), b.clone(), c.clone(), x.clone());
                let g = (y.clone() * draw(&at, seed ^ 6, [rows, dimensions])).sum().backward();
                // A single dimension moves nothing: its W and its value have no gradient in the definition.
                let [dw, dx] = if dimensions > 1 { [grad(&w, &g), grad(&x, &g)] } else { [Vec::new(), Vec::new()] };
                [values(y), dw, grad(&v, &g), grad(&b, &g), grad(&c, &g), dx]
            };
            for (name, (f, p)) in ["y", "dw", "dv", "db", "dc", "dx"].iter().zip(run(true).iter().zip(&run(false))) {
                close(name, f, p);
            }
        }
    }
}
