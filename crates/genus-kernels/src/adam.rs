//! Adam in one pass over parameter, gradient and both moments (Kingma & Ba 2015; decoupled decay: Loshchilov & Hutter 2019).

use crate::{Staircase, crew, multiversion};
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Values of a job.
const BLOCK: usize = 1 << 14;

/// Coefficients of one step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Adam {
    /// Step size of this step.
    pub rate: f32,
    /// Decay of the first moment.
    pub beta1: f32,
    /// Decay of the second moment.
    pub beta2: f32,
    /// Added to the root of the second moment.
    pub epsilon: f32,
    /// Decoupled weight decay: the parameter shrinks by rate · decay.
    pub decay: f32,
    /// Weight of the penalty ½ l2 |p|², whose gradient joins that of the loss before the moments.
    pub l2: f32,
    /// Factor on the gradient, for clipping by the global norm.
    pub scale: f32,
    /// Number of this step, from 1, for the bias correction.
    pub step: u64,
}

/// Width of a row and number of rows of a job. Without a mask every value is a row of its own.
fn blocks(mask: Option<&Staircase>) -> (usize, usize) {
    mask.map_or((1, BLOCK), |k| (k.outputs(), (BLOCK / k.outputs().max(1)).max(1)))
}

/// Where the values lie, of `n` from row `row` on, that a mask keeps: each row begins where the mask lets it; without one they are
/// all in one piece.
fn kept(mask: Option<&Staircase>, row: usize, n: usize) -> impl Iterator<Item = Range<usize>> {
    let (width, _) = blocks(mask);
    let first = mask.map_or(&[][..], |k| &k.first()[row..]).iter().take(n / width);
    let rows = first.enumerate().map(move |(r, first)| r * width + first..(r + 1) * width);
    rows.chain(mask.is_none().then_some(0..n))
}

/// Updates parameter `p`, first moment `m` and second moment `v` by gradient `g`. With `averaged`, the moving average of the
/// parameter follows in the same pass: average ← decay · average + (1 − decay) · p. What a `mask` of the parameter drops, in whose
/// place all of these are zero for good, is neither read nor written.
pub fn adam(
    p: &mut [f32],
    g: &[f32],
    m: &mut [f32],
    v: &mut [f32],
    averaged: Option<(&mut [f32], f32)>,
    mask: Option<&Staircase>,
    how: &Adam,
) {
    assert!(p.len() == g.len() && p.len() == m.len() && p.len() == v.len());
    // The corrections in f64: 1 − β2^t of f32 loses half of its digits in the first steps.
    let correct = |beta: f32| 1.0 - f64::from(beta).powf(how.step as f64);
    let rate = (f64::from(how.rate) / correct(how.beta1)) as f32;
    let root = (1.0 / correct(how.beta2).sqrt()) as f32;
    assert!(mask.is_none_or(|k| k.inputs() * k.outputs() == p.len()), "a mask of as many weights");
    let (width, rows) = blocks(mask);
    // Without an average its rows are empty.
    let (average, average_width, decay) =
        averaged.map_or((&mut [][..], 0, 0.0), |(a, decay)| (a, width, decay));
    let slices = [(p, width), (m, width), (v, width), (average, average_width)];
    crew::rows(slices, rows, |i, [p, m, v, average]| {
        let g = &g[i * rows * width..][..p.len()];
        for at in kept(mask, i * rows, p.len()) {
            let p = &mut p[at.clone()];
            pass(p, &g[at.clone()], &mut m[at.clone()], &mut v[at.clone()], how, rate, root);
            if let Some(average) = average.get_mut(at) {
                follow(average, p, decay);
            }
        }
    });
}

/// Zero in place of a number so small that it has lost digits. Moments of a parameter without gradients shrink to such numbers and
/// stay there, and some processors take many times as long for them.
#[inline(always)]
fn normal(x: f32) -> f32 {
    if x.abs() < f32::MIN_POSITIVE { 0.0 } else { x }
}

multiversion! {
    fn pass(p: &mut [f32], g: &[f32], m: &mut [f32], v: &mut [f32], how: &Adam, rate: f32, root: f32) {
        let (b1, b2, eps, scale, l2) = (how.beta1, how.beta2, how.epsilon, how.scale, how.l2);
        let keep = 1.0 - how.rate * how.decay;
        for (((p, g), m), v) in p.iter_mut().zip(g).zip(m).zip(v) {
            let g = g * scale + l2 * *p;
            *m = normal(b1 * *m + (1.0 - b1) * g);
            *v = normal(b2 * *v + (1.0 - b2) * g * g);
            *p = keep * *p - rate * *m / (v.sqrt() * root + eps);
        }
    }
}

multiversion! {
    fn follow(average: &mut [f32], p: &[f32], decay: f32) {
        average.iter_mut().zip(p).for_each(|(a, p)| *a += (1.0 - decay) * (p - *a));
    }
}

/// Σ gᵢ², in `f64` over blocks of a fixed length, so that the bits do not depend on the number of threads. What a `mask` drops is
/// not read.
pub fn sum_of_squares(g: &[f32], mask: Option<&Staircase>) -> f64 {
    let (width, rows) = blocks(mask);
    let block = (width * rows).max(1);
    let blocks: Vec<AtomicU64> = (0..g.len().div_ceil(block)).map(|_| AtomicU64::new(0)).collect();
    crew::each(blocks.len(), &|i| {
        let g = &g[i * block..g.len().min((i + 1) * block)];
        let square: f64 = kept(mask, i * rows, g.len()).map(|at| block_square(&g[at])).sum();
        blocks[i].store(square.to_bits(), Relaxed);
    });
    blocks.iter().map(|b| f64::from_bits(b.load(Relaxed))).sum()
}

multiversion! {
    fn block_square(g: &[f32]) -> f64 {
        let mut sums = [0.0f64; 8];
        let (g8, g1) = g.as_chunks::<8>();
        for g in g8 {
            for i in 0..8 {
                sums[i] += f64::from(g[i]) * f64::from(g[i]);
            }
        }
        sums.iter().sum::<f64>() + g1.iter().map(|g| f64::from(*g) * f64::from(*g)).sum::<f64>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three steps against the textbook recursion in f64.
    #[test]
    fn follows_the_definition() {
        let n = 20_000;
        let mut p: Vec<f32> = (0..n).map(|i| (i as f32 * 0.01).cos()).collect();
        let (mut m, mut v) = (vec![0.0; n], vec![0.0; n]);
        let wide: Vec<f64> = p.iter().map(|x| f64::from(*x)).collect();
        let (mut p64, mut m64, mut v64) = (wide.clone(), vec![0.0f64; n], vec![0.0f64; n]);
        let (mut average, mut average64) = (p.clone(), wide);
        for step in 1..=3u64 {
            let g: Vec<f32> = (0..n).map(|i| ((i as f32) * 0.37 + step as f32).sin() * 0.1).collect();
            let how = Adam {
                rate: 1e-2,
                beta1: 0.9,
                beta2: 0.999,
                epsilon: 1e-8,
                decay: 0.1,
                l2: 0.01,
                scale: 0.5,
                step,
            };
            adam(&mut p, &g, &mut m, &mut v, Some((&mut average, 0.75)), None, &how);
            for i in 0..n {
                let g = f64::from(g[i]) * 0.5 + 0.01 * p64[i];
                m64[i] = 0.9 * m64[i] + 0.1 * g;
                v64[i] = 0.999 * v64[i] + 0.001 * g * g;
                let mh = m64[i] / (1.0 - 0.9f64.powi(step as i32));
                let vh = v64[i] / (1.0 - 0.999f64.powi(step as i32));
                p64[i] = p64[i] * (1.0 - 1e-3) - 1e-2 * mh / (vh.sqrt() + 1e-8);
                average64[i] = 0.75 * average64[i] + 0.25 * p64[i];
            }
        }
        for i in 0..n {
            assert!((f64::from(p[i]) - p64[i]).abs() < 2e-6, "{i}: {} {}", p[i], p64[i]);
            assert!((f64::from(average[i]) - average64[i]).abs() < 2e-6, "{i}: {}", average[i]);
        }
    }

    /// The moments of a parameter without gradients end at zero: 0.9 times the smallest number rounds to itself.
    #[test]
    fn moments_without_digits_become_zero() {
        let least = f32::MIN_POSITIVE;
        let (mut p, g) = (vec![0.5; 4], [0.0; 4]);
        let (mut m, mut v) = (vec![f32::from_bits(1), -0.5 * least, least, -2.0 * least], vec![least; 4]);
        let how = Adam {
            rate: 0.1,
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            decay: 0.0,
            l2: 0.0,
            scale: 1.0,
            step: 1,
        };
        adam(&mut p, &g, &mut m, &mut v, None, None, &how);
        assert_eq!(m, [0.0, 0.0, 0.0, -1.8 * least]);
        assert_eq!((p, v), (vec![0.5; 4], vec![0.0; 4]));
    }

    /// With a mask the same bits as without, and what it drops is not even read.
    #[test]
    fn what_a_mask_drops_is_left_alone() {
        for (inputs, outputs) in [(1, 1), (7, 5), (300, 131)] {
            let degrees = |n: usize| (0..n).map(|i| i * 4 / n).collect::<Vec<_>>();
            let mask = Staircase::from_degrees(&degrees(inputs), &degrees(outputs));
            let how = Adam {
                rate: 0.1,
                beta1: 0.9,
                beta2: 0.99,
                epsilon: 1e-8,
                decay: 0.1,
                l2: 0.01,
                scale: 1.0,
                step: 2,
            };
            let values = |s: f32| -> Vec<f32> {
                let mut v: Vec<f32> = (0..inputs * outputs).map(|i| (i as f32 + s).sin().abs()).collect();
                mask.apply(&mut v);
                v
            };
            let [p, g, m, v, average] = [0.1, 0.2, 0.3, 0.4, 0.5].map(values);
            for averaged in [false, true] {
                let mut plain = [p.clone(), m.clone(), v.clone(), average.clone()];
                let mut masked = plain.clone();
                // NaN where nothing is read.
                let mut other = g.clone();
                other
                    .iter_mut()
                    .zip(mask.dense())
                    .filter(|(_, kept)| *kept == 0.0)
                    .for_each(|(g, _)| *g = f32::NAN);
                for (set, g, mask) in [(&mut plain, &g, None), (&mut masked, &other, Some(&mask))] {
                    let [p, m, v, average] = set;
                    adam(p, g, m, v, averaged.then_some((average, 0.5)), mask, &how);
                }
                // Sums of squares of thousands of numbers, in another order.
                let [plain_square, masked_square] =
                    [sum_of_squares(&g, None), sum_of_squares(&other, Some(&mask))];
                assert!((plain_square - masked_square).abs() <= 1e-12 * plain_square);
                assert_eq!(plain, masked);
            }
        }
    }
}
