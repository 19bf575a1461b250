//! Hidden units that take in one dimension after the other.

use crate::fused::{FusedOp, Pass, apply, here, input};
use burn::Tensor;
use genus_kernels::Running;

#[derive(Debug, Clone)]
struct RunningOp;

impl FusedOp<4> for RunningOp {
    type Kept = ();

    fn forward(&self, [w, c, rho, x]: [&[f32]; 4], shapes: [&[usize]; 4]) -> (Vec<f32>, Vec<usize>, ()) {
        (Running { w, c, rho }.hidden(x), vec![shapes[3][0], shapes[0][0], shapes[0][1]], ())
    }

    fn backward(&self, pass: Pass<'_, (), 4>, grad: Vec<f32>) -> [Option<Vec<f32>>; 4] {
        let [w, c, rho, x] = pass.inputs;
        let g = Running { w, c, rho }.backward(x, &grad, pass.wanted[3]);
        [Some(g.w), Some(g.c), Some(g.rho), g.x]
    }
}

/// Hidden units before every dimension: a₁ = c, h_d = max(0, ρ_d a_d), a_{d+1} = a_d + x_d W_d.
///
/// # Shapes
/// w `[dimensions, hidden]`, c `[hidden]`, ρ `[dimensions]`, x `[rows, dimensions]` → `[rows, dimensions, hidden]`
pub fn running(w: Tensor<2>, c: Tensor<1>, rho: Tensor<1>, x: Tensor<2>) -> Tensor<3> {
    if !here(&x) {
        return portable::running(w, c, rho, x);
    }
    apply(RunningOp, [input(w), input(c), input(rho), input(x)])
}

/// The definition.
pub(super) mod portable {
    use super::Tensor;
    use burn::tensor::activation::relu;

    /// As [`running`](super::running), dimension by dimension.
    pub fn running(w: Tensor<2>, c: Tensor<1>, rho: Tensor<1>, x: Tensor<2>) -> Tensor<3> {
        let [rows, dimensions] = x.dims();
        let mut a = c.unsqueeze::<2>().repeat_dim(0, rows);
        let mut hidden = Vec::with_capacity(dimensions);
        for d in 0..dimensions {
            let scaled = a.clone() * rho.clone().narrow(0, d, 1).unsqueeze::<2>();
            hidden.push(relu(scaled).unsqueeze_dim::<3>(1));
            a = a + x.clone().narrow(1, d, 1) * w.clone().narrow(0, d, 1);
        }
        Tensor::cat(hidden, 1)
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
        fn running_equals_its_definition(rows in 1usize..14, dimensions in 2usize..9, hidden in 1usize..40, seed: u64) {
            let run = |fused: bool| {
                let at = side(fused);
                let w = draw(&at, seed ^ 1, [dimensions, hidden]).autodiff().require_grad();
                let c = draw(&at, seed ^ 2, [hidden]).autodiff().require_grad();
                let rho = draw(&at, seed ^ 3, [dimensions]).autodiff().require_grad();
                let x = draw(&at, seed ^ 4, [rows, dimensions]).autodiff().require_grad();
                let f = if fused { running } else { portable::running };
                let h = f(w.clone(), c.clone(), rho.clone(), x.clone());
                let g = (h.clone() * draw(&at, seed ^ 5, [rows, dimensions, hidden])).sum().backward();
                [values(h), grad(&w, &g), grad(&c, &g), grad(&rho, &g), grad(&x, &g)]
            };
            for (name, (f, p)) in ["h", "dw", "dc", "drho", "dx"].iter().zip(run(true).iter().zip(&run(false))) {
                close(name, f, p);
            }
        }
    }
}
