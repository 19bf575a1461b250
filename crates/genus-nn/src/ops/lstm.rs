//! The recurrences of PixelRNN as one operation.

use crate::fused::{FusedOp, Pass, apply, here, input};
use burn::Tensor;
use genus_kernels::{Images, Lstm, LstmKept};

#[derive(Debug, Clone)]
struct LstmOp {
    lstm: Lstm,
    of: Images,
}

impl FusedOp<2> for LstmOp {
    type Kept = LstmKept;

    fn forward(&self, [x, w]: [&[f32]; 2], shapes: [&[usize]; 2]) -> (Vec<f32>, Vec<usize>, LstmKept) {
        let (y, kept) = self.lstm.forward(x, self.of, w);
        (y, vec![shapes[0][0], shapes[0][1], shapes[0][2], self.lstm.hidden], kept)
    }

    fn backward(&self, pass: Pass<'_, LstmKept, 2>, grad: Vec<f32>) -> [Option<Vec<f32>>; 2] {
        let g = self.lstm.backward(self.of, pass.inputs[1], pass.output, pass.kept, &grad);
        [Some(g.input), Some(g.w)]
    }
}

/// States of every pixel, from all that its gates receive but the states: see [`Lstm`].
///
/// # Shapes
/// x `[n, height, width, 4 hidden]`, w `[taps, hidden, 4 hidden]` → `[n, height, width, hidden]`
pub fn lstm(x: Tensor<4>, w: Tensor<3>, lstm: Lstm) -> Tensor<4> {
    if !here(&x) {
        return portable::lstm(x, w, lstm);
    }
    let [count, height, width, channels] = x.dims();
    let of = Images { count, extents: [height, width], channels };
    apply(LstmOp { lstm, of }, [input(x), input(w)])
}

/// The definition, pixel by pixel.
pub(super) mod portable {
    use super::{Lstm, Tensor};
    use burn::tensor::activation::sigmoid;
    use genus_kernels::TapRow;

    /// As [`lstm`](super::lstm).
    pub fn lstm(x: Tensor<4>, w: Tensor<3>, of: Lstm) -> Tensor<4> {
        let ([n, height, width, _], h) = (x.dims(), of.hidden);
        let taps: Vec<TapRow> = of.taps().list().to_vec();
        // The tap that the cell comes from: straight above for rows, the neighbour for diagonals, the second of either.
        let cell = 1;
        let mut done: Vec<Option<[Tensor<2>; 2]>> = vec![None; height * width];
        for row in 0..height {
            for step in 0..width {
                let column = if of.mirrored { width - 1 - step } else { step };
                let seen = |tap: &TapRow| {
                    let (r, c) = (row.checked_add_signed(tap.dy)?, column.checked_add_signed(tap.dx)?);
                    done.get(r * width + c).filter(|_| c < width)?.clone()
                };
                let mut a = x.clone().narrow(1, row, 1).narrow(2, column, 1).reshape([n, 4 * h]);
                let mut before = None;
                for (t, tap) in taps.iter().enumerate() {
                    let Some([state, c]) = seen(tap) else { continue };
                    a = a + state.matmul(w.clone().narrow(0, t, 1).squeeze_dim::<2>(0));
                    if t == cell {
                        before = Some(c);
                    }
                }
                let gate = |q: usize| a.clone().narrow(1, q * h, h);
                let mut c = sigmoid(gate(0)) * gate(3).tanh();
                if let Some(before) = before {
                    c = c + sigmoid(gate(1)) * before;
                }
                done[row * width + column] = Some([sigmoid(gate(2)) * c.clone().tanh(), c]);
            }
        }
        let states = done.into_iter().flatten().map(|[state, _]| state.unsqueeze_dim::<3>(1)).collect();
        Tensor::cat(states, 1).reshape([n, height, width, h])
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{close, draw, grad, side};
    use super::*;
    use crate::values;
    use genus_kernels::Scan;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]
        #[test]
        fn lstm_equals_its_definition(n in 1usize..4, height in 2usize..5, width in 2usize..5, hidden in 1usize..20, row: bool, mirrored: bool, seed: u64) {
            let of = Lstm { scan: if row { Scan::Row } else { Scan::Diagonal }, mirrored, hidden };
            let run = |fused: bool| {
                let at = side(fused);
                let x = draw(&at, seed, [n, height, width, 4 * hidden]).autodiff().require_grad();
                let taps = of.taps().count();
                let w = draw(&at, seed ^ 1, [taps, hidden, 4 * hidden]) / ((taps * hidden) as f32).sqrt();
                let w = w.autodiff().require_grad();
                let f = if fused { lstm } else { portable::lstm };
                let y = f(x.clone(), w.clone(), of);
                let g = (y.clone() * draw(&at, seed ^ 2, [n, height, width, hidden])).sum().backward();
                [values(y), grad(&x, &g), grad(&w, &g)]
            };
            for (name, (f, p)) in ["y", "dx", "dw"].iter().zip(run(true).iter().zip(&run(false))) {
                close(name, f, p);
            }
        }
    }
}
