//! Bernoulli log-likelihood from logits: −log p = softplus(a) − a t, summed over a row.

use crate::{crew, multiversion, scalar};
use std::mem::MaybeUninit;

/// Negative log-likelihood of each row, nats: logits `[rows, width]`, targets in \[0, 1\] of the same shape, or one row
/// `[1, width]` that all rows of logits are held against.
pub fn bernoulli_nll(logits: &[f32], targets: &[f32], width: usize) -> Vec<f32> {
    assert!(logits.len() == targets.len() || targets.len() == width);
    let mut nll = vec![0.0; logits.len() / width.max(1)];
    let rows = block(width);
    crew::chunks([&mut nll], rows, |i, [nll]| {
        for (r, slot) in nll.iter_mut().enumerate() {
            let at = (i * rows + r) * width;
            *slot = row_nll(&logits[at..][..width], &targets[at % targets.len()..][..width]);
        }
    });
    nll
}

multiversion! {
    fn row_nll(logits: &[f32], targets: &[f32]) -> f32 {
        // Eight running sums: one would forbid vectorising, and its rounding would grow with the width.
        let mut sums = [0.0f32; 8];
        let (a8, a1) = logits.as_chunks::<8>();
        let (t8, t1) = targets.as_chunks::<8>();
        for (a, t) in a8.iter().zip(t8) {
            for i in 0..8 {
                sums[i] += scalar::softplus(a[i]) - a[i] * t[i];
            }
        }
        let tail: f32 = a1.iter().zip(t1).map(|(a, t)| scalar::softplus(*a) - a * t).sum();
        (sums.iter().map(|s| f64::from(*s)).sum::<f64>() + f64::from(tail)) as f32
    }
}

/// Gradient of Σ `weight[row]` · nll\[row\] with respect to the logits: weight · (sigmoid(a) − t).
pub fn bernoulli_backward(logits: &[f32], targets: &[f32], weight: &[f32], width: usize) -> Vec<f32> {
    assert_eq!(logits.len(), targets.len(), "one target row per row of logits");
    let count = logits.len() / width.max(1);
    assert_eq!(logits.len(), count * width, "whole rows");
    let rows = block(width);
    let piece = |i: usize, [grad]: [&mut [MaybeUninit<f32>]; 1]| {
        for (r, g) in grad.chunks_exact_mut(width).enumerate() {
            let row = i * rows + r;
            let at = row * width;
            row_grad(g, &logits[at..][..width], &targets[at..][..width], weight[row]);
        }
    };
    // SAFETY: every row is written.
    let [grad] = unsafe { crew::make(count, [width], rows, piece) };
    grad
}

/// Rows of a job, so that it has some thousand values.
fn block(width: usize) -> usize {
    ((1 << 13) / width.max(1)).max(1)
}

multiversion! {
    /// Writes all of `grad`, which is as long as the others.
    fn row_grad(grad: &mut [MaybeUninit<f32>], logits: &[f32], targets: &[f32], weight: f32) {
        for ((g, a), t) in grad.iter_mut().zip(logits).zip(targets) {
            g.write(weight * (scalar::sigmoid(*a) - t));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn value_and_gradient_against_f64() {
        let width = 19;
        let logits: Vec<f32> = (0..2 * width).map(|i| ((i * 37) % 83) as f32 - 41.0).collect();
        let targets: Vec<f32> = (0..2 * width).map(|i| ((i * 5) % 3) as f32 / 2.0).collect();
        let got = bernoulli_nll(&logits, &targets, width);
        let grad = bernoulli_backward(&logits, &targets, &[1.0, 0.5], width);
        for (r, got) in got.iter().enumerate() {
            let mut want = 0.0;
            for i in r * width..(r + 1) * width {
                let (a, t) = (f64::from(logits[i]), f64::from(targets[i]));
                want += a.max(0.0) + (-a.abs()).exp().ln_1p() - a * t;
                let g = (1.0 / (1.0 + (-a).exp()) - t) * if r == 0 { 1.0 } else { 0.5 };
                assert!((f64::from(grad[i]) - g).abs() < 3e-7, "{} {g}", grad[i]);
            }
            assert!((f64::from(*got) / want - 1.0).abs() < 5e-7, "{got} {want}");
        }
    }
}
