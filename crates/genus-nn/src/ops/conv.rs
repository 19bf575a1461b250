//! Convolutions of images stored height × width × channels.

use super::wanted;
use crate::fused::{FusedOp, Pass, apply, here, input};
use burn::Tensor;
use genus_kernels::{Activation, Conv, Images};
use std::sync::Arc;

/// Which way a convolution runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// From `inputs` channels to `outputs`.
    Down,
    /// The adjoint, from `outputs` to `inputs`.
    Up,
}

#[derive(Debug, Clone)]
struct ConvOp {
    conv: Arc<Conv>,
    way: Way,
    of: Images,
    act: Activation,
}

impl FusedOp<3> for ConvOp {
    type Kept = ();

    fn forward(&self, [x, w, b]: [&[f32]; 3], _: [&[usize]; 3]) -> (Vec<f32>, Vec<usize>, ()) {
        let Self { conv, of, act, .. } = self;
        let (y, [height, width], channels) = match self.way {
            Way::Down => (conv.forward(x, *of, w, b, *act), conv.taps.output(of.extents), conv.outputs),
            Way::Up => {
                (conv.transposed_forward(x, *of, w, b, *act), conv.taps.input(of.extents), conv.inputs)
            }
        };
        (y, vec![of.count, height, width, channels], ())
    }

    fn backward(&self, pass: Pass<'_, (), 3>, grad: Vec<f32>) -> [Option<Vec<f32>>; 3] {
        let Self { conv, of, act, .. } = self;
        let ([x, w, _], y, want) = (pass.inputs, pass.output, wanted(&pass));
        let g = match self.way {
            Way::Down => conv.backward(x, *of, w, y, &grad, *act, want),
            Way::Up => conv.transposed_backward(x, *of, w, y, &grad, *act, want),
        };
        [g.x, g.w, g.b]
    }
}

fn run(x: Tensor<4>, w: Tensor<3>, b: Tensor<1>, conv: &Arc<Conv>, way: Way, act: Activation) -> Tensor<4> {
    let [count, height, width, channels] = x.dims();
    let of = Images { count, extents: [height, width], channels };
    apply(ConvOp { conv: Arc::clone(conv), way, of, act }, [input(x), input(w), input(b)])
}

/// f(conv(x, w) + b). Weights that channel groups drop must be zero, which holds from initialisation on, because their gradient
/// is zero too.
///
/// # Shapes
/// x `[n, height, width, inputs]`, w `[taps, inputs, outputs]`, b `[outputs]` → `[n, height', width', outputs]`
pub fn conv(x: Tensor<4>, w: Tensor<3>, b: Tensor<1>, conv: &Arc<Conv>, act: Activation) -> Tensor<4> {
    if !here(&x) {
        return portable::conv(x, w, b, conv, act);
    }
    run(x, w, b, conv, Way::Down, act)
}

/// f(convᵀ(x, w) + b), the adjoint of the convolution `conv`.
///
/// # Shapes
/// x `[n, height, width, outputs]`, w `[taps, inputs, outputs]`, b `[inputs]` → `[n, height', width', inputs]`
pub fn conv_transposed(
    x: Tensor<4>,
    w: Tensor<3>,
    b: Tensor<1>,
    conv: &Arc<Conv>,
    act: Activation,
) -> Tensor<4> {
    if !here(&x) {
        return portable::conv_transposed(x, w, b, conv, act);
    }
    run(x, w, b, conv, Way::Up, act)
}

/// The definitions: one product for each tap, of the pixels that it sees, with zeros outside of the image.
pub(super) mod portable {
    use super::super::portable::{activation, index};
    use super::{Activation, Conv, Tensor};
    use burn::tensor::TensorData;

    /// Which pixel of a line each output sees, and 0 where there is none.
    fn seen(outputs: usize, extent: usize, at: impl Fn(usize) -> Option<usize>) -> (Vec<usize>, Vec<f32>) {
        let found: Vec<Option<usize>> = (0..outputs).map(|o| at(o).filter(|i| *i < extent)).collect();
        let kept = found.iter().map(|i| f32::from(u8::from(i.is_some()))).collect();
        (found.into_iter().map(|i| i.unwrap_or(0)).collect(), kept)
    }

    fn tap(x: &Tensor<4>, rows: (Vec<usize>, Vec<f32>), cols: (Vec<usize>, Vec<f32>)) -> Tensor<4> {
        let kept = |v: Vec<f32>, shape: [usize; 4]| {
            Tensor::<4>::from_data(TensorData::new(v, shape), &x.device().inner())
        };
        let (h, w) = (rows.0.len(), cols.0.len());
        let picked = x.clone().select(1, index(&rows.0, x)).select(2, index(&cols.0, x));
        picked * kept(rows.1, [1, h, 1, 1]) * kept(cols.1, [1, 1, w, 1])
    }

    fn back(offset: isize, stride: usize) -> impl Fn(usize) -> Option<usize> {
        move |i| {
            let from = i as isize - offset;
            (from >= 0 && from % stride as isize == 0).then(|| from as usize / stride)
        }
    }

    fn ahead(offset: isize, stride: usize) -> impl Fn(usize) -> Option<usize> {
        move |o| usize::try_from((o * stride) as isize + offset).ok()
    }

    fn sum(x: Tensor<4>, w: Tensor<3>, b: Tensor<1>, conv: &Conv, up: bool, act: Activation) -> Tensor<4> {
        let [n, height, width, from] = x.dims();
        let ([h, wide], to) = if up {
            (conv.taps.input([height, width]), conv.inputs)
        } else {
            (conv.taps.output([height, width]), conv.outputs)
        };
        let mut kept = vec![1.0; conv.weights()];
        conv.taps.apply(&mut kept, conv.inputs, conv.outputs);
        let w = w.clone() * Tensor::from_data(TensorData::new(kept, w.dims()), &w.device().inner());
        let s = conv.taps.stride();
        let mut y = b.reshape([1, to]).expand([n * h * wide, to]);
        let mut at = 0;
        for row in conv.taps.list() {
            for t in 0..row.count {
                let dx = row.dx + t as isize;
                let (rows, cols) = if up {
                    (seen(h, height, back(row.dy, s)), seen(wide, width, back(dx, s)))
                } else {
                    (seen(h, height, ahead(row.dy, s)), seen(wide, width, ahead(dx, s)))
                };
                let weights = w.clone().narrow(0, at, 1).squeeze_dim::<2>(0);
                let weights = if up { weights.transpose() } else { weights };
                y = y + tap(&x, rows, cols).reshape([n * h * wide, from]).matmul(weights);
                at += 1;
            }
        }
        activation(y, act).reshape([n, h, wide, to])
    }

    /// As [`conv`](super::conv).
    pub fn conv(x: Tensor<4>, w: Tensor<3>, b: Tensor<1>, conv: &Conv, act: Activation) -> Tensor<4> {
        sum(x, w, b, conv, false, act)
    }

    /// As [`conv_transposed`](super::conv_transposed).
    pub fn conv_transposed(
        x: Tensor<4>,
        w: Tensor<3>,
        b: Tensor<1>,
        conv: &Conv,
        act: Activation,
    ) -> Tensor<4> {
        sum(x, w, b, conv, true, act)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{close, draw, grad, on, side};
    use super::*;
    use crate::values;
    use genus_kernels::{Causal, Taps, before_activation};
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        /// Fused equals portable in value and every gradient, down and up.
        #[test]
        fn convolutions_equal_their_definition(which in 0usize..5, n in 1usize..4, height in 4usize..9, width in 4usize..16, inputs in 1usize..10, outputs in 1usize..40, act in 0usize..5, seed: u64, up: bool) {
            let taps = match which {
                0 => Taps::causal(3, Causal::A, 1),
                1 => Taps::causal(3, Causal::B, 3),
                2 => Taps::full(4, 2, 1),
                3 => Taps::full(3, 1, 1),
                _ => Taps::causal(7, Causal::A, 2),
            };
            use Activation::{Identity, LeakyRelu, Relu, Sigmoid, Tanh};
            let act = [Identity, Relu, Tanh, Sigmoid, LeakyRelu][act];
            let c = Arc::new(Conv { taps, inputs, outputs });
            let (from, to) = if up { (outputs, inputs) } else { (inputs, outputs) };
            let run = |fused: bool| {
                let at = side(fused);
                let x = draw(&at, seed, [n, height, width, from]).autodiff().require_grad();
                let scale = 1.0 / (c.taps.count() * from) as f32;
                let mut w: Vec<f32> = values(draw(&at, seed ^ 1, [c.weights()])).iter().map(|v| v * scale.sqrt()).collect();
                c.taps.apply(&mut w, inputs, outputs);
                let w = on(&at, w, [c.taps.count(), inputs, outputs]).autodiff().require_grad();
                let b = draw(&at, seed ^ 2, [to]).autodiff().require_grad();
                let (a, k, z) = (x.clone(), w.clone(), b.clone());
                let y = match (fused, up) {
                    (true, false) => conv(a, k, z, &c, act),
                    (true, true) => conv_transposed(a, k, z, &c, act),
                    (false, false) => portable::conv(a, k, z, &c, act),
                    (false, true) => portable::conv_transposed(a, k, z, &c, act),
                };
                let dims = y.dims();
                let back = draw(&at, seed ^ 3, dims);
                let g = (y.clone() * back.clone()).sum().backward();
                (dims, values(back), [values(y), grad(&x, &g), grad(&w, &g), grad(&b, &g)])
            };
            let ((fused_dims, mut back, fused), (dims, _, portable)) = (run(true), run(false));
            prop_assert_eq!(fused_dims, dims);
            for (name, (f, p)) in ["y", "dx", "dw"].iter().zip(fused.iter().zip(&portable)) {
                close(name, f, p);
            }
            // The bias has a sum over all pixels, which may cancel where the rounding of the portable sum does not: in double precision.
            before_activation(&mut back, &fused[0], act);
            let mut sums = vec![0f64; to];
            back.chunks_exact(to).for_each(|pixel| sums.iter_mut().zip(pixel).for_each(|(s, v)| *s += f64::from(*v)));
            close("db", &fused[3], &sums.iter().map(|s| *s as f32).collect::<Vec<_>>());
        }
    }
}
