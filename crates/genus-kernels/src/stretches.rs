//! Categorical log-likelihood of columns with different numbers of levels, whose logits stand side by side: a row is cut into stretches,
//! one for each column.

use crate::categorical::log_sum_exp;
use crate::{crew, multiversion, scalar};
use std::mem::MaybeUninit;

/// Values of a job.
const BLOCK: usize = 1 << 13;

/// Beginning and end of each stretch.
fn stretches(ends: &[usize]) -> impl Iterator<Item = (usize, usize)> + Clone {
    std::iter::once(0).chain(ends.iter().copied()).zip(ends.iter().copied())
}

/// Negative log-likelihood of each row, nats: Σ log Σ e^a − log Σ e^(a + l) over the stretches in which some l is above −∞, and both sums of
/// each stretch, which the backward pass needs. `within` are the l, the logarithms of what a value has under each level: 0 and −∞ where it is
/// one of the levels itself. `ends` are where stretches end.
///
/// # Shapes
/// logits, within `[rows, width]` → `[rows]`, `[rows, stretches, 2]`
pub fn stretches_nll(logits: &[f32], within: &[f32], ends: &[usize]) -> (Vec<f32>, Vec<f32>) {
    let width = ends.last().copied().unwrap_or(0);
    assert_eq!(logits.len(), within.len(), "a logit for each level");
    let rows = logits.len() / width.max(1);
    assert_eq!(logits.len(), rows * width, "whole rows");
    let block = (BLOCK / width.max(1)).max(1);
    let [nll, totals] = crew::zeros(rows, [1, 2 * ends.len()], block, |i, [nll, totals]| {
        let mut both = vec![0.0; width];
        for (r, (nll, totals)) in nll.iter_mut().zip(totals.chunks_exact_mut(2 * ends.len())).enumerate() {
            let row = (i * block + r) * width;
            let mut sum = 0.0f64;
            for ((from, to), total) in stretches(ends).zip(totals.as_chunks_mut::<2>().0) {
                let (logits, within) = (&logits[row + from..row + to], &within[row + from..row + to]);
                if !wanted(within) {
                    continue;
                }
                let both = &mut both[..to - from];
                both.iter_mut().zip(logits).zip(within).for_each(|((b, a), l)| *b = a + l);
                *total = [log_sum_exp(logits), log_sum_exp(both)];
                sum += f64::from(total[0] - total[1]);
            }
            *nll = sum as f32;
        }
    });
    (nll, totals)
}

fn wanted(within: &[f32]) -> bool {
    within.iter().any(|l| *l != f32::NEG_INFINITY)
}

/// Gradient of Σ `weight[row]` · nll\[row\] with respect to the logits: weight · (softmax(a) − softmax(a + l)), 0 in other stretches.
pub fn stretches_backward(
    logits: &[f32],
    within: &[f32],
    totals: &[f32],
    weight: &[f32],
    ends: &[usize],
) -> Vec<f32> {
    let width = ends.last().copied().unwrap_or(0);
    assert!(
        logits.len() == within.len()
            && logits.len() == weight.len() * width
            && totals.len() == 2 * weight.len() * ends.len(),
        "shapes of the pass"
    );
    let block = (BLOCK / width.max(1)).max(1);
    let piece = |i: usize, [grad]: [&mut [MaybeUninit<f32>]; 1]| {
        for (r, grad) in grad.chunks_exact_mut(width).enumerate() {
            let r = i * block + r;
            let (row, weight) = (r * width, weight[r]);
            let totals = totals[2 * r * ends.len()..].as_chunks::<2>().0;
            for ((from, to), total) in stretches(ends).zip(totals) {
                let grad = &mut grad[from..to];
                let (logits, within) = (&logits[row + from..row + to], &within[row + from..row + to]);
                if wanted(within) {
                    difference(grad, logits, within, *total, weight);
                } else {
                    grad.fill(MaybeUninit::new(0.0));
                }
            }
        }
    };
    // SAFETY: stretches cover a row, and each is written.
    let [grad] = unsafe { crew::make(weight.len(), [width], block, piece) };
    grad
}

multiversion! {
    /// Writes all of `out`, which is as long as `a` and `l`.
    fn difference(out: &mut [MaybeUninit<f32>], a: &[f32], l: &[f32], total: [f32; 2], weight: f32) {
        out.iter_mut().zip(a).zip(l).for_each(|((g, a), l)| {
            g.write(weight * (scalar::exp(a - total[0]) - scalar::exp(a + l - total[1])));
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn value_and_gradient_against_f64() {
        let ends = [2, 7, 8, 40];
        let (rows, width) = (9, 40);
        let logits: Vec<f32> = (0..rows * width).map(|i| 6.0 * ((i as f32) * 1.7).sin()).collect();
        let mut within = vec![f32::NEG_INFINITY; rows * width];
        for r in 0..rows {
            for (c, (from, to)) in stretches(&ends).enumerate() {
                match (r + c) % 3 {
                    0 => {}
                    1 => within[r * width + from + (r * 5 + c) % (to - from)] = 0.0,
                    _ => (from..to).for_each(|l| within[r * width + l] = -((l + r) as f32)),
                }
            }
        }
        let weight: Vec<f32> = (0..rows).map(|r| 0.5 + r as f32).collect();
        let (nll, totals) = stretches_nll(&logits, &within, &ends);
        let grad = stretches_backward(&logits, &within, &totals, &weight, &ends);
        for r in 0..rows {
            let mut want = 0.0;
            for (from, to) in stretches(&ends) {
                let each = || {
                    (r * width + from..r * width + to).map(|i| (f64::from(logits[i]), f64::from(within[i])))
                };
                let (z, y): (f64, f64) =
                    each().fold((0.0, 0.0), |(z, y), (a, l)| (z + a.exp(), y + (a + l).exp()));
                want += if y > 0.0 { z.ln() - y.ln() } else { 0.0 };
                for (l, (a, within)) in each().enumerate() {
                    let g = if y > 0.0 {
                        f64::from(weight[r]) * (a.exp() / z - (a + within).exp() / y)
                    } else {
                        0.0
                    };
                    let got = f64::from(grad[r * width + from + l]);
                    assert!((got - g).abs() < 3e-6 * f64::from(weight[r]), "{got} {g}");
                }
            }
            assert!((f64::from(nll[r]) - want).abs() < 3e-6 * (1.0 + want), "{} {want}", nll[r]);
        }
    }
}
