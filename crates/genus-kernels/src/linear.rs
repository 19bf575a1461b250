//! y = f(x W + b): product, bias and activation as one operation, forward and backward.

use crate::gemm::{Init, Product};
use crate::isa::isa;
use crate::ones::Ones;
use crate::{Limits, Mat, Staircase, crew, multiversion, scalar};

/// The function applied to each output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Activation {
    /// None.
    #[default]
    Identity,
    /// max(0, a).
    Relu,
    /// tanh a.
    Tanh,
    /// 1 / (1 + e^−a).
    Sigmoid,
    /// a where it is positive, else 0.2 a (Radford et al. 2016).
    LeakyRelu,
}

/// Slope of [`Activation::LeakyRelu`] below zero.
pub(crate) const LEAK: f32 = 0.2;

/// Gradients of [`linear_forward`].
#[derive(Debug)]
pub struct LinearGrads {
    /// With respect to x `[rows, inputs]`, if it was asked for.
    pub x: Option<Vec<f32>>,
    /// With respect to W `[inputs, outputs]`, likewise; zero where the mask drops the weight.
    pub w: Option<Vec<f32>>,
    /// With respect to b `[outputs]`, with W.
    pub b: Option<Vec<f32>>,
}

/// y `[rows, outputs]` of x `[rows, inputs]`, W `[inputs, outputs]`, b `[outputs]`. With a mask the weights that it drops
/// must be zero.
pub fn linear_forward(
    x: &[f32],
    w: &[f32],
    b: &[f32],
    act: Activation,
    mask: Option<&Staircase>,
) -> Vec<f32> {
    let outputs = b.len();
    let inputs = w.len() / outputs.max(1);
    let rows = x.len() / inputs.max(1);
    let limits = mask.map_or(Limits::Dense, Limits::Forward);
    if let Some(ones) = Ones::detect(x, inputs) {
        let mut y = ones.sums(w, b, limits);
        crew::rows([(&mut y, outputs)], 16, |_, [y]| activate(y, act));
        return y;
    }
    let (shape, a, w) = ([rows, outputs, inputs], Mat::rows(x, inputs), Mat::rows(w, outputs));
    let product = Product { isa: isa(), shape, a, b: w, limits };
    product.make(Init::Row(b), &|row| activate(row, act))
}

/// The function at one value.
#[inline(always)]
pub(crate) fn value(a: f32, act: Activation) -> f32 {
    match act {
        Activation::Identity => a,
        // Not `max`, which would make 0 of a NaN.
        Activation::Relu => {
            if a <= 0.0 {
                0.0
            } else {
                a
            }
        }
        Activation::Tanh => scalar::tanh(a),
        Activation::Sigmoid => scalar::sigmoid(a),
        Activation::LeakyRelu => {
            if a <= 0.0 {
                LEAK * a
            } else {
                a
            }
        }
    }
}

multiversion! {
    pub(crate) fn activate(y: &mut [f32], act: Activation) {
        // One loop for each, because a branch within would forbid vectorising.
        match act {
            Activation::Identity => {}
            Activation::Relu => y.iter_mut().for_each(|v| *v = value(*v, Activation::Relu)),
            Activation::Tanh => y.iter_mut().for_each(|v| *v = value(*v, Activation::Tanh)),
            Activation::Sigmoid => y.iter_mut().for_each(|v| *v = value(*v, Activation::Sigmoid)),
            Activation::LeakyRelu => y.iter_mut().for_each(|v| *v = value(*v, Activation::LeakyRelu)),
        }
    }
}

multiversion! {
    /// Multiplies the gradient by the slope of the activation, which its output determines.
    pub(crate) fn slope(dy: &mut [f32], y: &[f32], act: Activation) {
        match act {
            Activation::Identity => {}
            Activation::Relu => dy.iter_mut().zip(y).for_each(|(d, y)| *d = if *y > 0.0 { *d } else { 0.0 }),
            Activation::Tanh => dy.iter_mut().zip(y).for_each(|(d, y)| *d *= 1.0 - y * y),
            Activation::Sigmoid => dy.iter_mut().zip(y).for_each(|(d, y)| *d *= y * (1.0 - y)),
            Activation::LeakyRelu => {
                dy.iter_mut().zip(y).for_each(|(d, y)| *d = if *y > 0.0 { *d } else { LEAK * *d });
            }
        }
    }
}

/// Values of a job.
const BLOCK: usize = 1 << 13;

/// The function at every value.
pub fn activation(x: &[f32], act: Activation) -> Vec<f32> {
    let mut y = x.to_vec();
    crew::chunks([&mut y], BLOCK, |_, [y]| activate(y, act));
    y
}

/// Takes a gradient from behind the activation to before it; `y` is what came out of it.
pub fn before_activation(dy: &mut [f32], y: &[f32], act: Activation) {
    if act != Activation::Identity {
        crew::chunks([dy], BLOCK, |i, [dy]| slope(dy, &y[i * BLOCK..][..dy.len()], act));
    }
}

/// Gradients from `dy` `[rows, outputs]`, which is overwritten; `y` is the result of [`linear_forward`]. `want` asks for those of
/// x, and of W and b.
#[allow(clippy::too_many_arguments)] // they are the operands of the operation, one each
pub fn linear_backward(
    x: &[f32],
    w: &[f32],
    y: &[f32],
    mut dy: Vec<f32>,
    outputs: usize,
    act: Activation,
    mask: Option<&Staircase>,
    want: [bool; 2],
) -> LinearGrads {
    let inputs = w.len() / outputs.max(1);
    let rows = x.len() / inputs.max(1);
    before_activation(&mut dy, y, act);
    let grads = Mat::rows(&dy, outputs);
    let dw = want[1].then(|| {
        let limits = mask.map_or(Limits::Dense, Limits::Weight);
        let mut dw = match Ones::detect(x, inputs) {
            Some(ones) => Ones::transposed(&[ones], inputs).sums(&dy, &vec![0.0; outputs], limits),
            None => product([inputs, outputs, rows], Mat::rows(x, inputs).t(), grads, limits),
        };
        if let Some(mask) = mask {
            mask.apply(&mut dw);
        }
        dw
    });
    let b = want[1].then(|| column_sums(&dy, outputs));
    let x = want[0].then(|| {
        let limits = mask.map_or(Limits::Dense, Limits::Input);
        product([rows, inputs, outputs], grads, Mat::rows(w, outputs).t(), limits)
    });
    LinearGrads { x, w: dw, b }
}

fn product(shape: [usize; 3], a: Mat<'_>, b: Mat<'_>, limits: Limits<'_>) -> Vec<f32> {
    Product { isa: isa(), shape, a, b, limits }.make(Init::Zero, &|_| {})
}

/// y `[rows, outputs]` = x `[rows, inputs]` · Wᵀ + b for W `[outputs, inputs]`: a layer that uses the weights of another one backwards.
pub fn tied_forward(x: &[f32], w: &[f32], b: &[f32]) -> Vec<f32> {
    let outputs = b.len();
    let inputs = w.len() / outputs.max(1);
    let rows = x.len() / inputs.max(1);
    let (shape, a, w) = ([rows, outputs, inputs], Mat::rows(x, inputs), Mat::rows(w, inputs).t());
    Product { isa: isa(), shape, a, b: w, limits: Limits::Dense }.make(Init::Row(b), &|_| {})
}

/// Gradients of [`tied_forward`] from `dy`; `want` as in [`linear_backward`].
pub fn tied_backward(x: &[f32], w: &[f32], dy: &[f32], outputs: usize, want: [bool; 2]) -> LinearGrads {
    let inputs = w.len() / outputs.max(1);
    let rows = x.len() / inputs.max(1);
    let grads = Mat::rows(dy, outputs);
    let (w, x) = (Mat::rows(w, inputs), Mat::rows(x, inputs));
    LinearGrads {
        x: want[0].then(|| product([rows, inputs, outputs], grads, w, Limits::Dense)),
        w: want[1].then(|| product([outputs, inputs, rows], grads.t(), x, Limits::Dense)),
        b: want[1].then(|| column_sums(dy, outputs)),
    }
}

/// Sums over the rows.
fn column_sums(x: &[f32], width: usize) -> Vec<f32> {
    let mut sums = vec![0.0; width];
    for row in x.chunks_exact(width.max(1)) {
        sums.iter_mut().zip(row).for_each(|(s, v)| *s += v);
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Central differences of Σ c·y in f64 arithmetic of the definition.
    #[test]
    fn gradients_match_finite_differences() {
        let (rows, inputs, outputs) = (3, 5, 4);
        let wave = |n: usize, s: f32| -> Vec<f32> { (0..n).map(|i| ((i as f32 + s) * 1.7).sin()).collect() };
        let mask = Staircase::from_degrees(&[0, 1, 1, 2, 3], &[0, 1, 2, 3]);
        use Activation::{Identity, LeakyRelu, Relu, Sigmoid, Tanh};
        for act in [Identity, Relu, Tanh, Sigmoid, LeakyRelu] {
            for (masked, bits) in [(None, false), (Some(&mask), false), (None, true), (Some(&mask), true)] {
                let (mut x, b, c) = (wave(rows * inputs, 0.3), wave(outputs, 1.1), wave(rows * outputs, 2.2));
                if bits {
                    x.iter_mut().for_each(|v| *v = f32::from(u8::from(*v > 0.2)));
                }
                let mut w = wave(inputs * outputs, 0.7);
                if let Some(m) = masked {
                    m.apply(&mut w);
                }
                let objective = |x: &[f32], w: &[f32], b: &[f32]| -> f64 {
                    let mut total = 0.0;
                    for r in 0..rows {
                        for o in 0..outputs {
                            let a = f64::from(b[o])
                                + (0..inputs)
                                    .map(|i| f64::from(x[r * inputs + i]) * f64::from(w[i * outputs + o]))
                                    .sum::<f64>();
                            let v = match act {
                                Identity => a,
                                Relu => a.max(0.0),
                                Tanh => a.tanh(),
                                Sigmoid => 1.0 / (1.0 + (-a).exp()),
                                LeakyRelu => a.max(0.2 * a),
                            };
                            total += v * f64::from(c[r * outputs + o]);
                        }
                    }
                    total
                };
                let y = linear_forward(&x, &w, &b, act, masked);
                let value: f64 = y.iter().zip(&c).map(|(y, c)| f64::from(*y) * f64::from(*c)).sum();
                assert!((value - objective(&x, &w, &b)).abs() < 1e-5);
                let g = linear_backward(&x, &w, &y, c.clone(), outputs, act, masked, [true; 2]);
                let check = |which: usize, grad: &[f32]| {
                    for i in 0..grad.len() {
                        if which == 1 && masked.is_some_and(|m| !m.allows(i / outputs, i % outputs)) {
                            assert_eq!(grad[i], 0.0);
                            continue;
                        }
                        let side = |h: f32| {
                            let mut p = [x.clone(), w.clone(), b.clone()];
                            p[which][i] += h;
                            (objective(&p[0], &p[1], &p[2]), f64::from(p[which][i]))
                        };
                        let ((up, a), (down, z)) = (side(1e-3), side(-1e-3));
                        let want = (up - down) / (a - z);
                        assert!(
                            (want - f64::from(grad[i])).abs() < 1e-4,
                            "{act:?} {which} {i}: {want} {}",
                            grad[i]
                        );
                    }
                };
                check(0, &g.x.unwrap());
                check(1, &g.w.unwrap());
                check(2, &g.b.unwrap());
            }
        }
    }
}
