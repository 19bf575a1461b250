//! Categorical log-likelihood from logits: −log p = log Σ e^a − a_t, summed over the places of a row.

use crate::{crew, multiversion, scalar};
use std::mem::MaybeUninit;

/// Values of a job.
const BLOCK: usize = 1 << 13;

/// Negative log-likelihood of each row, nats, and log Σ e^a of each place, which the backward pass needs.
///
/// # Shapes
/// logits `[rows, places, levels]`, targets `[rows, places]`, whole numbers below `levels` → `[rows]`, `[rows, places]`
pub fn categorical_nll(
    logits: &[f32],
    targets: &[f32],
    places: usize,
    levels: usize,
) -> (Vec<f32>, Vec<f32>) {
    assert_eq!(logits.len(), targets.len() * levels, "logits of {levels} levels for every target");
    let rows = targets.len() / places.max(1);
    assert_eq!(targets.len(), rows * places, "whole rows");
    let block = (BLOCK / (places * levels).max(1)).max(1);
    let [nll, totals] = crew::zeros(rows, [1, places], block, |i, [nll, totals]| {
        for (r, (nll, totals)) in nll.iter_mut().zip(totals.chunks_exact_mut(places)).enumerate() {
            let at = (i * block + r) * places;
            let mut sum = 0.0f64;
            for (p, total) in totals.iter_mut().enumerate() {
                let logits = &logits[(at + p) * levels..][..levels];
                *total = log_sum_exp(logits);
                sum += f64::from(*total - logits[level(targets[at + p], levels)]);
            }
            *nll = sum as f32;
        }
    });
    (nll, totals)
}

/// Gradient of Σ `weight[row]` · nll\[row\] with respect to the logits: weight · (softmax(a) − 1 at the target).
pub fn categorical_backward(
    logits: &[f32],
    targets: &[f32],
    totals: &[f32],
    weight: &[f32],
    levels: usize,
) -> Vec<f32> {
    assert!(logits.len() == targets.len() * levels && totals.len() == targets.len(), "shapes of the pass");
    let places = targets.len() / weight.len().max(1);
    let block = (BLOCK / levels.max(1)).max(1);
    let piece = |i: usize, [grad]: [&mut [MaybeUninit<f32>]; 1]| {
        for (p, grad) in grad.chunks_exact_mut(levels).enumerate() {
            let at = i * block + p;
            let weight = weight[at / places];
            softmax(grad, &logits[at * levels..][..levels], totals[at], weight);
            // SAFETY: all of it was just written.
            let grad = unsafe { grad.assume_init_mut() };
            grad[level(targets[at], levels)] -= weight;
        }
    };
    // SAFETY: every place is written.
    let [grad] = unsafe { crew::make(targets.len(), [levels], block, piece) };
    grad
}

#[inline]
fn level(target: f32, levels: usize) -> usize {
    let level = target as usize;
    assert!(level < levels, "level {target} of {levels}");
    level
}

multiversion! {
    /// log Σ e^a, by lanes.
    pub(crate) fn log_sum_exp(a: &[f32]) -> f32 {
        let mut tops = [f32::NEG_INFINITY; 16];
        let (a16, a1) = a.as_chunks::<16>();
        for a in a16 {
            for i in 0..16 {
                // Not `max`, which would pass over a NaN.
                tops[i] = if a[i] <= tops[i] { tops[i] } else { a[i] };
            }
        }
        let top = tops.iter().chain(a1).fold(f32::NEG_INFINITY, |t, v| if *v <= t { t } else { *v });
        let mut sums = [0.0f32; 16];
        for a in a16 {
            for i in 0..16 {
                sums[i] += scalar::exp(a[i] - top);
            }
        }
        let rest: f32 = a1.iter().map(|v| scalar::exp(v - top)).sum();
        top + (sums.iter().sum::<f32>() + rest).ln()
    }
}

multiversion! {
    /// Writes all of `out`, which is as long as `a`.
    fn softmax(out: &mut [MaybeUninit<f32>], a: &[f32], total: f32, weight: f32) {
        out.iter_mut().zip(a).for_each(|(g, a)| {
            g.write(weight * scalar::exp(a - total));
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn value_and_gradient_against_f64() {
        for (rows, places, levels) in [(1, 1, 1), (3, 5, 17), (2, 3, 256), (9, 4, 40)] {
            let n = rows * places;
            let logits: Vec<f32> = (0..n * levels).map(|i| 8.0 * ((i as f32) * 1.3).sin()).collect();
            let targets: Vec<f32> = (0..n).map(|i| ((i * 7) % levels) as f32).collect();
            let weight: Vec<f32> = (0..rows).map(|r| 0.5 + r as f32).collect();
            let (nll, totals) = categorical_nll(&logits, &targets, places, levels);
            let grad = categorical_backward(&logits, &targets, &totals, &weight, levels);
            for r in 0..rows {
                let mut want = 0.0;
                for p in r * places..(r + 1) * places {
                    let a: Vec<f64> = logits[p * levels..][..levels].iter().map(|v| f64::from(*v)).collect();
                    let z: f64 = a.iter().map(|v| v.exp()).sum();
                    let t = targets[p] as usize;
                    want += z.ln() - a[t];
                    for (l, v) in a.iter().enumerate() {
                        let g = f64::from(weight[r]) * (v.exp() / z - f64::from(u8::from(l == t)));
                        let got = f64::from(grad[p * levels + l]);
                        assert!((got - g).abs() < 2e-6 * f64::from(weight[r]), "{got} {g}");
                    }
                }
                assert!((f64::from(nll[r]) - want).abs() < 2e-6 * (1.0 + want), "{} {want}", nll[r]);
            }
        }
    }

    /// A NaN must stay one, and infinities that say "never" cost nothing.
    #[test]
    fn odd_logits() {
        assert!(categorical_nll(&[0.0, f32::NAN, 1.0], &[0.0], 1, 3).0[0].is_nan());
        assert_eq!(categorical_nll(&[3.0, f32::NEG_INFINITY], &[0.0], 1, 2).0, [0.0]);
    }
}
