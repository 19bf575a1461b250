//! Steps of normalising flows: a whole stack with its networks as one operation, and the maps of a step alone.

use crate::fused::{FusedOp, Input, Pass, apply, here, input};
use burn::Tensor;
use genus_kernels::{Moved, Stack};
use std::sync::Arc;

/// Inputs: rows with their log-determinant, then the context if there is one, then the parameters of each step.
#[derive(Debug, Clone)]
struct StackOp(Arc<Stack>);

impl StackOp {
    /// Rows and log-determinants of values, the context, and all parameters.
    fn split<const N: usize>(&self, inputs: &[&[f32]; N]) -> (Vec<f32>, Vec<f32>, Vec<f32>) {
        let with_context = usize::from(self.0.context() > 0);
        let context = if with_context == 1 { inputs[1].to_vec() } else { Vec::new() };
        let x =
            inputs[0].chunks_exact(self.0.dims() + 1).flat_map(|r| &r[..self.0.dims()]).copied().collect();
        (x, context, inputs[1 + with_context..].concat())
    }
}

impl<const N: usize> FusedOp<N> for StackOp {
    type Kept = Vec<f32>;

    fn forward(&self, inputs: [&[f32]; N], shapes: [&[usize]; N]) -> (Vec<f32>, Vec<usize>, Self::Kept) {
        let (x, context, parameters) = self.split(&inputs);
        let d = self.0.dims();
        let passed = self.0.forward(&x, &context, &parameters, true);
        let mut y = Vec::with_capacity(inputs[0].len());
        for ((y_row, log), before) in
            passed.y.chunks_exact(d).zip(&passed.log_det).zip(inputs[0].chunks_exact(d + 1))
        {
            y.extend_from_slice(y_row);
            y.push((log + f64::from(before[d])) as f32);
        }
        (y, shapes[0].to_vec(), passed.kept)
    }

    fn backward(&self, pass: Pass<'_, Self::Kept, N>, grad: Vec<f32>) -> [Option<Vec<f32>>; N] {
        let (_, context, parameters) = self.split(&pass.inputs);
        let d = self.0.dims();
        let dy = grad.chunks_exact(d + 1).flat_map(|r| &r[..d]).copied().collect();
        let dlog: Vec<f32> = grad.chunks_exact(d + 1).map(|r| r[d]).collect();
        let found = self.0.backward(&context, &parameters, pass.kept, dy, &dlog);
        let mut dx = grad;
        for (to, from) in dx.chunks_exact_mut(d + 1).zip(found.x.chunks_exact(d)) {
            to[..d].copy_from_slice(from);
        }
        let mut all = vec![dx];
        if self.0.context() > 0 {
            all.push(found.context);
        }
        let mut rest = &found.parameters[..];
        for step in self.0.steps() {
            let (own, later) = rest.split_at(step.parameters());
            all.push(own.to_vec());
            rest = later;
        }
        let mut all = all.into_iter();
        std::array::from_fn(|_| all.next())
    }
}

/// Most steps of one operation.
pub const MOST_STEPS: usize = 8;

/// Rows through the steps of a stack, log |det| added to the last column. Panics for more than [`MOST_STEPS`] steps or none.
///
/// # Shapes
/// x `[rows, dims + 1]`, context `[rows, context]`, parameters of each step `[1, parameters]` → as x
pub fn stack(
    x: Tensor<2>,
    context: Option<&Tensor<2>>,
    parameters: Vec<Tensor<2>>,
    of: &Arc<Stack>,
) -> Tensor<2> {
    assert_eq!(parameters.len(), of.steps().len(), "parameters of each step");
    if !here(&x) {
        let flat: Vec<Tensor<1>> = parameters.into_iter().map(|p| p.flatten(0, 1)).collect();
        return portable::stack(x, context, &flat, of);
    }
    let op = StackOp(Arc::clone(of));
    let mut all = vec![input(x)];
    all.extend(context.map(|c| input(c.clone())));
    all.extend(parameters.into_iter().map(input));
    fn run<const N: usize>(op: StackOp, all: Vec<Input>) -> Tensor<2> {
        match <[Input; N]>::try_from(all) {
            Ok(all) => apply(op, all),
            Err(_) => unreachable!("called with N inputs"),
        }
    }
    match all.len() {
        2 => run::<2>(op, all),
        3 => run::<3>(op, all),
        4 => run::<4>(op, all),
        5 => run::<5>(op, all),
        6 => run::<6>(op, all),
        7 => run::<7>(op, all),
        8 => run::<8>(op, all),
        9 => run::<9>(op, all),
        10 => run::<10>(op, all),
        n => panic!("an operation has 1 to {MOST_STEPS} steps, and these are {} inputs", n),
    }
}

#[derive(Debug, Clone)]
struct MovedOp(Arc<Moved>);

impl FusedOp<2> for MovedOp {
    type Kept = ();

    fn forward(&self, [x, of]: [&[f32]; 2], shapes: [&[usize]; 2]) -> (Vec<f32>, Vec<usize>, ()) {
        (self.0.forward(x, of), shapes[0].to_vec(), ())
    }

    fn backward(&self, pass: Pass<'_, (), 2>, grad: Vec<f32>) -> [Option<Vec<f32>>; 2] {
        let [x, of] = pass.inputs;
        self.0.backward(x, of, grad).map(Some)
    }
}

/// Some values of rows moved by parameters that are given, log |det| added to the last column.
///
/// # Shapes
/// x `[rows, dims + 1]`, parameters `[rows, moved × parameters of a value]` → as x
pub fn moved(x: Tensor<2>, parameters: Tensor<2>, of: &Arc<Moved>) -> Tensor<2> {
    if !here(&x) {
        return portable::moved(x, parameters, of);
    }
    apply(MovedOp(Arc::clone(of)), [input(x), input(parameters)])
}

/// The definitions.
pub(super) mod portable {
    use super::super::portable::{activation, index, linear};
    use super::{Moved, Stack, Tensor};
    use burn::tensor::activation::{softmax, softplus};
    use genus_kernels::{Activation, Step, StepKind, Warp};

    /// y and log dy/dx of the values of rows.
    ///
    /// # Shapes
    /// x `[rows, m]`, of `[rows, m, parameters]` → `[rows, m]` twice
    fn warp(x: Tensor<2>, of: Tensor<3>, by: Warp) -> (Tensor<2>, Tensor<2>) {
        let [rows, m] = x.dims();
        let part = |i: usize| of.clone().narrow(2, i, 1).reshape([rows, m]);
        match by {
            Warp::Shift => (x.clone() + part(0), x * 0.0),
            Warp::Affine { bound } => {
                let s = (part(0) / bound).tanh() * bound;
                (x * s.clone().exp() + part(1), s)
            }
            Warp::Spline { bins, bound } => spline(x, of, bins, bound),
        }
    }

    fn spline(x: Tensor<2>, of: Tensor<3>, bins: usize, bound: f32) -> (Tensor<2>, Tensor<2>) {
        let [rows, m] = x.dims();
        let least = 1e-3;
        let unit = (1f64 - least).exp_m1().ln();
        let sizes = |at: usize| {
            let share = softmax(of.clone().narrow(2, at, bins), 2);
            (share * (1.0 - bins as f64 * least) + least) * (2.0 * bound)
        };
        let column = |t: &Tensor<3>, k: usize| t.clone().narrow(2, k, 1).reshape([rows, m]);
        let (widths, heights) = (sizes(0), sizes(bins));
        let ones = || x.clone() * 0.0 + 1.0;
        let slope = |k: usize| match k {
            0 => ones(),
            k if k == bins => ones(),
            k => softplus(column(&of, 2 * bins + k - 1) + unit, 1.0) + least,
        };
        let inner = x.clone().clamp(-bound, bound);
        let (mut left, mut low) = (ones() * -bound, ones() * -bound);
        let (mut y, mut log) = (x.clone() * 0.0, x.clone() * 0.0);
        for k in 0..bins {
            let (w, h) = (column(&widths, k), column(&heights, k));
            let right = left.clone() + w.clone();
            let not_before = if k == 0 { ones() } else { inner.clone().greater_equal(left.clone()).float() };
            let not_after = if k + 1 == bins { ones() } else { inner.clone().lower(right.clone()).float() };
            let here = not_before * not_after;
            let (d0, d1) = (slope(k), slope(k + 1));
            let s = h.clone() / w.clone();
            // Values elsewhere are clamped, so that what is multiplied by 0 is finite.
            let t = ((inner.clone() - left) / w).clamp(0.0, 1.0);
            let r = ones() - t.clone();
            let q = t.clone() * r.clone();
            let den = s.clone() + (d0.clone() + d1.clone() - s.clone() * 2.0) * q.clone();
            let value = low.clone()
                + h.clone() * (s.clone() * t.clone() * t.clone() + d0.clone() * q.clone()) / den.clone();
            let num = d1 * t.clone() * t + s.clone() * q * 2.0 + d0 * r.clone() * r;
            y = y + here.clone() * value;
            log = log + here * (s.log() * 2.0 + num.log() - den.log() * 2.0);
            left = right;
            low = low + h;
        }
        let within = x.clone().abs().lower_elem(bound).float();
        let outside = within.clone() * -1.0 + 1.0;
        (y * within.clone() + x * outside, log * within)
    }

    /// Rows with `places` moved by what `of` says.
    fn put(x: Tensor<2>, of: Tensor<2>, places: &[usize], by: Warp) -> Tensor<2> {
        let [rows, width] = x.dims();
        let (d, m) = (width - 1, places.len());
        if m == 0 {
            return x;
        }
        let stays: Vec<usize> = (0..d).filter(|k| !places.contains(k)).collect();
        let kept = x.clone().select(1, index(&stays, &x));
        let from = x.clone().select(1, index(places, &x));
        let (to, logs) = warp(from, of.reshape([rows, m, by.parameters()]), by);
        let log = x.clone().narrow(1, d, 1) + logs.sum_dim(1);
        let mut at = vec![d; d + 1];
        stays.iter().chain(places).enumerate().for_each(|(i, k)| at[*k] = i);
        let all = if stays.is_empty() { vec![to, log] } else { vec![kept, to, log] };
        Tensor::cat(all, 1).select(1, index(&at, &x))
    }

    /// As [`moved`](super::moved).
    pub fn moved(x: Tensor<2>, parameters: Tensor<2>, of: &Moved) -> Tensor<2> {
        put(x, parameters, &of.places, of.warp)
    }

    /// What the network of a step gives for rows.
    fn network(step: &Step, parameters: &Tensor<1>, seen: Tensor<2>) -> Tensor<2> {
        let (mut h, mut at) = (seen, 0);
        let layers = step.widths().len() - 1;
        for (l, w) in step.widths().windows(2).enumerate() {
            let weights = parameters.clone().narrow(0, at, w[0] * w[1]).reshape([w[0], w[1]]);
            let bias = parameters.clone().narrow(0, at + w[0] * w[1], w[1]);
            at += (w[0] + 1) * w[1];
            h = linear(h, weights, bias, Activation::Identity, step.mask_of(l));
            if l + 1 < layers {
                h = activation(h, step.activation());
            }
        }
        h
    }

    /// As [`stack`](super::stack), for steps whose networks see rows as they come.
    pub fn stack(
        x: Tensor<2>,
        context: Option<&Tensor<2>>,
        parameters: &[Tensor<1>],
        of: &Stack,
    ) -> Tensor<2> {
        of.steps().iter().zip(parameters).fold(x, |x, (step, parameters)| {
            assert!(*step.kind() != StepKind::Inverse, "one value after the other: on the processor only");
            let seen = x.clone().select(1, index(step.seen(), &x));
            let seen = match context {
                Some(c) => Tensor::cat(vec![c.clone(), seen], 1),
                None => seen,
            };
            put(x, network(step, parameters, seen), step.moved(), step.warp())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{close, draw, grad, on, side};
    use super::*;
    use crate::values;
    use genus_kernels::{Activation, Step, Warp};
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn a_stack_equals_its_definition(rows in 1usize..80, d in 2usize..5, c in 0usize..3, hidden in prop::collection::vec(1usize..12, 0..3), kinds in prop::collection::vec(0usize..6, 1..4), seed: u64) {
            let steps: Vec<Step> = kinds.iter().enumerate().map(|(i, kind)| {
                let warp = [Warp::Shift, Warp::Affine { bound: 2.0 }, Warp::Spline { bins: 4, bound: 2.5 }][kind % 3];
                let order: Vec<usize> = (0..d).map(|k| (k + i) % d).collect();
                match kind / 3 {
                    0 => Step::coupling(d, order[..d / 2].to_vec(), c, &hidden, Activation::Tanh, warp),
                    _ => Step::autoregressive(order, false, c, &hidden, Activation::Tanh, warp),
                }
            }).collect();
            let of = Arc::new(Stack::new(d, c, steps));
            let mut start = values(draw(&side(true), seed ^ 1, [of.parameters()]) * 0.5);
            of.mask(&mut start);
            let run = |fused: bool| {
                let at = side(fused);
                let x = draw(&at, seed, [rows, d + 1]).autodiff().require_grad();
                let context = (c > 0).then(|| draw(&at, seed ^ 2, [rows, c]).autodiff().require_grad());
                let mut rest = &start[..];
                let parameters: Vec<Tensor<1>> = of.steps().iter().map(|step| {
                    let (own, later) = rest.split_at(step.parameters());
                    rest = later;
                    on(&at, own.to_vec(), [own.len()]).autodiff().require_grad()
                }).collect();
                let y = if fused { stack(x.clone(), context.as_ref(), parameters.iter().map(|p| p.clone().unsqueeze()).collect(), &of) } else { portable::stack(x.clone(), context.as_ref(), &parameters, &of) };
                let weight = draw(&at, seed ^ 20, [rows, d + 1]) / (rows as f32).sqrt();
                let g = (y.clone() * weight).sum().backward();
                let mut found = vec![values(y), grad(&x, &g)];
                found.extend(context.map(|c| c.grad(&g).map_or_else(|| vec![0.0; rows * c.dims()[1]], values)));
                found.extend(parameters.iter().map(|p| p.grad(&g).map_or_else(|| vec![0.0; p.dims()[0]], values)));
                found
            };
            for (i, (f, p)) in run(true).iter().zip(&run(false)).enumerate() {
                // Splines are steep in places, and roundings grow with the slope.
                let scale = p.iter().fold(1.0f32, |m, v| m.max(v.abs()));
                for (a, b) in f.iter().zip(p) {
                    prop_assert!((a - b).abs() < 2e-3 * scale, "result {}: {} {}", i, a, b);
                }
            }
        }

        #[test]
        fn a_move_equals_its_definition(rows in 1usize..40, d in 1usize..6, cut in 1usize..6, seed: u64) {
            let places: Vec<usize> = (0..cut.min(d)).map(|i| (i * 2 + 1) % d).collect();
            prop_assume!((0..places.len()).all(|i| !places[..i].contains(&places[i])));
            let warp = Warp::Affine { bound: 1.5 };
            let of = Arc::new(Moved { dims: d, places: places.clone(), warp });
            let run = |fused: bool| {
                let at = side(fused);
                let x = draw(&at, seed, [rows, d + 1]).autodiff().require_grad();
                let p = draw(&at, seed ^ 1, [rows, places.len() * warp.parameters()]).autodiff().require_grad();
                let y = if fused { moved(x.clone(), p.clone(), &of) } else { portable::moved(x.clone(), p.clone(), &of) };
                let g = (y.clone() * draw(&at, seed ^ 3, [rows, d + 1])).sum().backward();
                [values(y), grad(&x, &g), grad(&p, &g)]
            };
            for (i, (f, p)) in run(true).iter().zip(&run(false)).enumerate() {
                close(&format!("result {i}"), f, p);
            }
        }
    }
}
