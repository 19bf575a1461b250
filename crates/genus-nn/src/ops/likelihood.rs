//! Negative log-likelihoods of rows, from the parameters of their distribution.

use crate::fused::{FusedOp, Pass, apply, here, input};
use burn::Tensor;
use genus_kernels::{
    Gaussian, Mixture, bernoulli_backward, bernoulli_nll as bernoulli_kernel, categorical_backward,
    categorical_nll as categorical_kernel, gaussian_backward, gaussian_nll as gaussian_kernel,
    stretches_backward, stretches_nll as stretches_kernel,
};
use std::sync::Arc;

#[derive(Debug, Clone)]
struct BernoulliNll;

impl FusedOp<2> for BernoulliNll {
    type Kept = ();

    fn forward(&self, [logits, targets]: [&[f32]; 2], shapes: [&[usize]; 2]) -> (Vec<f32>, Vec<usize>, ()) {
        (bernoulli_kernel(logits, targets, shapes[0][1]), vec![shapes[0][0]], ())
    }

    fn backward(&self, pass: Pass<'_, (), 2>, grad: Vec<f32>) -> [Option<Vec<f32>>; 2] {
        let [logits, targets] = pass.inputs;
        let width = logits.len() / pass.output.len().max(1);
        [pass.wanted[0].then(|| bernoulli_backward(logits, targets, &grad, width)), None]
    }
}

/// Of bits with these logits, in nats: Σ softplus(a) − a t over each row. Targets lie in \[0, 1\] and get no gradient; outside of
/// graphs they may be one row that all rows of logits are held against.
///
/// # Shapes
/// logits, targets `[rows, width]` → `[rows]`
pub fn bernoulli_nll(logits: Tensor<2>, targets: Tensor<2>) -> Tensor<1> {
    if !here(&logits) {
        return portable::bernoulli_nll(logits, targets);
    }
    apply(BernoulliNll, [input(logits), input(targets)])
}

#[derive(Debug, Clone)]
struct CategoricalNll;

impl FusedOp<2> for CategoricalNll {
    /// log Σ e^a of each place.
    type Kept = Vec<f32>;

    fn forward(
        &self,
        [logits, targets]: [&[f32]; 2],
        shapes: [&[usize]; 2],
    ) -> (Vec<f32>, Vec<usize>, Self::Kept) {
        let (nll, totals) = categorical_kernel(logits, targets, shapes[0][1], shapes[0][2]);
        (nll, vec![shapes[0][0]], totals)
    }

    fn backward(&self, pass: Pass<'_, Self::Kept, 2>, grad: Vec<f32>) -> [Option<Vec<f32>>; 2] {
        let [logits, targets] = pass.inputs;
        let levels = logits.len() / targets.len().max(1);
        [pass.wanted[0].then(|| categorical_backward(logits, targets, pass.kept, &grad, levels)), None]
    }
}

/// Of levels with these logits, in nats: Σ log Σ e^a − a_t over each row. Targets are whole numbers and get no gradient.
///
/// # Shapes
/// logits `[rows, places, levels]`, targets `[rows, places]` → `[rows]`
pub fn categorical_nll(logits: Tensor<3>, targets: Tensor<2>) -> Tensor<1> {
    if !here(&logits) {
        return portable::categorical_nll(logits, targets);
    }
    apply(CategoricalNll, [input(logits), input(targets)])
}

#[derive(Debug, Clone)]
struct StretchesNll {
    ends: Arc<[usize]>,
}

impl FusedOp<2> for StretchesNll {
    /// Both sums of each stretch.
    type Kept = Vec<f32>;

    fn forward(
        &self,
        [logits, within]: [&[f32]; 2],
        shapes: [&[usize]; 2],
    ) -> (Vec<f32>, Vec<usize>, Self::Kept) {
        let (nll, totals) = stretches_kernel(logits, within, &self.ends);
        (nll, vec![shapes[0][0]], totals)
    }

    fn backward(&self, pass: Pass<'_, Self::Kept, 2>, grad: Vec<f32>) -> [Option<Vec<f32>>; 2] {
        let [logits, within] = pass.inputs;
        [pass.wanted[0].then(|| stretches_backward(logits, within, pass.kept, &grad, &self.ends)), None]
    }
}

/// Of columns with different numbers of levels, whose logits stand side by side, in nats: Σ log Σ e^a − log Σ e^(a + l) over the stretches of
/// each row in which some l is above −∞. The l are the logarithms of what the value of a column has under each of its levels, 0 and −∞ where it
/// is one of them, and get no gradient; `ends` are where stretches end.
///
/// # Shapes
/// logits, within `[rows, width]` → `[rows]`
pub fn stretches_nll(logits: Tensor<2>, within: Tensor<2>, ends: &Arc<[usize]>) -> Tensor<1> {
    if !here(&logits) {
        return portable::stretches_nll(logits, within, ends);
    }
    apply(StretchesNll { ends: Arc::clone(ends) }, [input(logits), input(within)])
}

#[derive(Debug, Clone)]
struct GaussianNll;

impl FusedOp<3> for GaussianNll {
    type Kept = ();

    fn forward(
        &self,
        [mean, log_variance, target]: [&[f32]; 3],
        shapes: [&[usize]; 3],
    ) -> (Vec<f32>, Vec<usize>, ()) {
        let nll = gaussian_kernel(Gaussian { mean, log_variance, target, width: shapes[0][1] });
        (nll, vec![shapes[0][0]], ())
    }

    fn backward(&self, pass: Pass<'_, (), 3>, grad: Vec<f32>) -> [Option<Vec<f32>>; 3] {
        let [mean, log_variance, target] = pass.inputs;
        let width = mean.len() / pass.output.len().max(1);
        let [dm, dv] = gaussian_backward(Gaussian { mean, log_variance, target, width }, &grad);
        [Some(dm), Some(dv), None]
    }
}

/// Of independent normals, in nats: ½ Σ (x − μ)² e^−v + v + ln 2π over each row, v being log-variances. Targets get no gradient.
/// Log-variances and targets may be one row for all.
///
/// # Shapes
/// mean `[rows, width]`, log_variance and targets `[rows or 1, width]` → `[rows]`
pub fn gaussian_nll(mean: Tensor<2>, log_variance: Tensor<2>, targets: Tensor<2>) -> Tensor<1> {
    if !here(&mean) {
        return portable::gaussian_nll(mean, log_variance, targets);
    }
    apply(GaussianNll, [input(mean), input(log_variance), input(targets)])
}

#[derive(Debug, Clone)]
struct MixtureNll(Mixture);

impl FusedOp<2> for MixtureNll {
    type Kept = ();

    fn forward(&self, [of, x]: [&[f32]; 2], shapes: [&[usize]; 2]) -> (Vec<f32>, Vec<usize>, ()) {
        (self.0.nll(of, x, shapes[1][1]), vec![shapes[1][0]], ())
    }

    fn backward(&self, pass: Pass<'_, (), 2>, grad: Vec<f32>) -> [Option<Vec<f32>>; 2] {
        let [of, x] = pass.inputs;
        [Some(self.0.backward(of, x, &grad)), None]
    }
}

/// Of mixtures of normals, in nats: −log Σ_k softmax(α)_k N(x; μ_k, floor + softplus(s_k)) summed over each row. Targets get no
/// gradient.
///
/// # Shapes
/// of: α, then μ, then s `[rows, places, 3 components]`, targets `[rows, places]` → `[rows]`
pub fn mixture_nll(of: Tensor<3>, targets: Tensor<2>, mixture: Mixture) -> Tensor<1> {
    if !here(&of) {
        return portable::mixture_nll(of, targets, mixture);
    }
    apply(MixtureNll(mixture), [input(of), input(targets)])
}

/// The definitions.
pub(super) mod portable {
    use super::{Mixture, Tensor};
    use burn::tensor::activation::{log_softmax, softplus};

    /// As [`mixture_nll`](super::mixture_nll).
    pub fn mixture_nll(of: Tensor<3>, targets: Tensor<2>, mixture: Mixture) -> Tensor<1> {
        let k = mixture.components;
        let part = |i: usize| of.clone().narrow(2, i * k, k);
        let sigma = softplus(part(2), 1.0) + mixture.floor;
        let z = (targets.unsqueeze_dim::<3>(2) - part(1)) / sigma.clone();
        let half_ln_2pi = 0.5 * (2.0 * std::f64::consts::PI).ln();
        let term = log_softmax(part(0), 2) - z.powi_scalar(2) * 0.5 - sigma.log() - half_ln_2pi;
        let top = term.clone().max_dim(2).detach();
        let total = (term - top.clone()).exp().sum_dim(2).log() + top;
        total.squeeze_dim::<2>(2).sum_dim(1).squeeze_dim::<1>(1).neg()
    }
    /// As [`bernoulli_nll`](super::bernoulli_nll).
    pub fn bernoulli_nll(logits: Tensor<2>, targets: Tensor<2>) -> Tensor<1> {
        let softplus = logits.clone().clamp_min(0.0) + logits.clone().abs().neg().exp().log1p();
        (softplus - logits * targets).sum_dim(1).squeeze_dim(1)
    }

    /// As [`categorical_nll`](super::categorical_nll).
    pub fn categorical_nll(logits: Tensor<3>, targets: Tensor<2>) -> Tensor<1> {
        let at = targets.int().unsqueeze_dim::<3>(2);
        log_softmax(logits, 2).gather(2, at).squeeze_dim::<2>(2).sum_dim(1).squeeze_dim::<1>(1).neg()
    }

    /// As [`stretches_nll`](super::stretches_nll).
    pub fn stretches_nll(logits: Tensor<2>, within: Tensor<2>, ends: &[usize]) -> Tensor<1> {
        let begins = std::iter::once(0).chain(ends.iter().copied());
        let each = begins.zip(ends).map(|(from, to)| {
            let part = |t: &Tensor<2>| t.clone().narrow(1, from, to - from);
            let (p, within) = (log_softmax(part(&logits), 1).exp(), part(&within));
            // Where nothing is wanted the sum is that of all levels, whose logarithm is 0.
            let wanted = within.clone().max_dim(1).greater_elem(f32::NEG_INFINITY).float();
            let free = wanted.clone() * -1.0 + 1.0;
            (p * (within.exp() + free)).sum_dim(1).log()
        });
        Tensor::cat(each.collect(), 1).sum_dim(1).squeeze_dim::<1>(1).neg()
    }

    /// As [`gaussian_nll`](super::gaussian_nll).
    pub fn gaussian_nll(mean: Tensor<2>, log_variance: Tensor<2>, targets: Tensor<2>) -> Tensor<1> {
        let square = (mean - targets).powi_scalar(2) * log_variance.clone().neg().exp();
        let ln_2pi = 2.0 * std::f64::consts::PI;
        ((square + log_variance + ln_2pi.ln()).sum_dim(1) * 0.5).squeeze_dim(1)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{close, draw, grad, on, side};
    use super::*;
    use crate::values;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn bernoulli_equals_its_definition(rows in 1usize..9, width in 1usize..50, seed: u64) {
            let run = |fused: bool| {
                let at = side(fused);
                let a = (draw(&at, seed, [rows, width]) * 5.0).autodiff().require_grad();
                let t = draw(&at, seed ^ 1, [rows, width]).greater_elem(0.0).float();
                let nll = if fused { bernoulli_nll(a.clone(), t) } else { portable::bernoulli_nll(a.clone(), t) };
                let g = (nll.clone() * draw(&at, seed ^ 2, [rows])).sum().backward();
                [values(nll), grad(&a, &g)]
            };
            for (name, (f, p)) in ["nll", "da"].iter().zip(run(true).iter().zip(&run(false))) {
                close(name, f, p);
            }
        }

        #[test]
        fn categorical_equals_its_definition(rows in 1usize..6, places in 1usize..7, levels in 1usize..60, seed: u64) {
            let run = |fused: bool| {
                let at = side(fused);
                let a = (draw(&at, seed, [rows, places, levels]) * 3.0).autodiff().require_grad();
                let t = (0..rows * places).map(|i| ((seed >> (i % 32)) as usize % levels) as f32).collect();
                let t = on(&at, t, [rows, places]);
                let f = if fused { categorical_nll } else { portable::categorical_nll };
                let nll = f(a.clone(), t);
                let g = (nll.clone() * draw(&at, seed ^ 2, [rows])).sum().backward();
                [values(nll), grad(&a, &g)]
            };
            for (name, (f, p)) in ["nll", "da"].iter().zip(run(true).iter().zip(&run(false))) {
                close(name, f, p);
            }
        }

        #[test]
        fn stretches_equal_their_definition(rows in 1usize..6, widths in prop::collection::vec(1usize..20, 1..6), seed: u64) {
            let ends: Arc<[usize]> = widths.iter().scan(0, |end, w| { *end += w; Some(*end) }).collect();
            let width = *ends.last().unwrap();
            let run = |fused: bool| {
                let at = side(fused);
                let a = (draw(&at, seed, [rows, width]) * 3.0).autodiff().require_grad();
                let mut within = vec![f32::NEG_INFINITY; rows * width];
                for r in 0..rows {
                    for (c, w) in widths.iter().enumerate() {
                        let pick = (seed >> ((3 * r + c) % 32)) as usize;
                        let from = r * width + ends[c] - w;
                        match pick % 3 {
                            0 => {}
                            1 => within[from + pick % w] = 0.0,
                            _ => (0..*w).for_each(|l| within[from + l] = -0.3 * ((l + r) % 5) as f32),
                        }
                    }
                }
                let t = on(&at, within, [rows, width]);
                let nll = if fused { stretches_nll(a.clone(), t, &ends) } else { portable::stretches_nll(a.clone(), t, &ends) };
                let g = (nll.clone() * draw(&at, seed ^ 2, [rows])).sum().backward();
                [values(nll), grad(&a, &g)]
            };
            for (name, (f, p)) in ["nll", "da"].iter().zip(run(true).iter().zip(&run(false))) {
                close(name, f, p);
            }
        }

        #[test]
        fn mixture_equals_its_definition(rows in 1usize..6, places in 1usize..7, components in 1usize..12, seed: u64) {
            let run = |fused: bool| {
                let at = side(fused);
                let of = draw(&at, seed, [rows, places, 3 * components]).autodiff().require_grad();
                let f = if fused { mixture_nll } else { portable::mixture_nll };
                let nll = f(of.clone(), draw(&at, seed ^ 1, [rows, places]), Mixture { components, floor: 0.1 });
                let g = (nll.clone() * draw(&at, seed ^ 2, [rows])).sum().backward();
                [values(nll), grad(&of, &g)]
            };
            for (name, (f, p)) in ["nll", "dof"].iter().zip(run(true).iter().zip(&run(false))) {
                close(name, f, p);
            }
        }

        #[test]
        fn gaussian_equals_its_definition(rows in 1usize..9, width in 1usize..40, shared: bool, seed: u64) {
            let run = |fused: bool| {
                let at = side(fused);
                let m = draw(&at, seed, [rows, width]).autodiff().require_grad();
                let v = draw(&at, seed ^ 1, [if shared { 1 } else { rows }, width]).autodiff().require_grad();
                let f = if fused { gaussian_nll } else { portable::gaussian_nll };
                let nll = f(m.clone(), v.clone(), draw(&at, seed ^ 2, [rows, width]));
                let g = (nll.clone() * draw(&at, seed ^ 3, [rows])).sum().backward();
                [values(nll), grad(&m, &g), grad(&v, &g)]
            };
            for (name, (f, p)) in ["nll", "dm", "dv"].iter().zip(run(true).iter().zip(&run(false))) {
                close(name, f, p);
            }
        }
    }
}
