//! The gated activation of Gated PixelCNN and WaveNet: y = tanh(a) ⊙ σ(b), where a and b are the halves of the channels.

use crate::lstm::{LANES, load, write};
use crate::{crew, multiversion, scalar};
use std::mem::MaybeUninit;

/// Values of a job.
const BLOCK: usize = 1 << 13;

/// y = tanh(a) ⊙ σ(b).
///
/// # Shapes
/// x `[rows, a then b, width]` → `[rows, width]`; a pixel may be several rows, one for each group of its channels
pub fn gate_forward(x: &[f32], width: usize) -> Vec<f32> {
    check(x, width);
    let block = (BLOCK / width).max(1);
    let piece = |i: usize, [y]: [&mut [MaybeUninit<f32>]; 1]| {
        gate(&x[2 * i * block * width..][..2 * y.len()], width, y);
    };
    // SAFETY: every row is written.
    let [y] = unsafe { crew::make(x.len() / (2 * width), [width], block, piece) };
    y
}

/// Gradient with respect to x from that of y.
///
/// # Shapes
/// x `[rows, 2, width]`, dy `[rows, width]` → `[rows, 2, width]`
pub fn gate_backward(x: &[f32], dy: &[f32], width: usize) -> Vec<f32> {
    check(x, width);
    assert_eq!(x.len(), 2 * dy.len(), "a gradient for every value of the result");
    let block = (BLOCK / width).max(1);
    let piece = |i: usize, [dx]: [&mut [MaybeUninit<f32>]; 1]| {
        let at = i * block * width;
        back(&x[2 * at..][..dx.len()], &dy[at..][..dx.len() / 2], width, dx);
    };
    // SAFETY: every row is written.
    let [dx] = unsafe { crew::make(x.len() / (2 * width), [2 * width], block, piece) };
    dx
}

fn check(x: &[f32], width: usize) {
    assert!(width > 0 && x.len().is_multiple_of(2 * width), "rows of two halves of {width} values");
}

multiversion! {
    /// Writes all of `y`, for which there are pairs of halves in `x`.
    pub(crate) fn gate(x: &[f32], width: usize, y: &mut [MaybeUninit<f32>]) {
        for (x, y) in x.chunks_exact(2 * width).zip(y.chunks_exact_mut(width)) {
            let (a, b) = x.split_at(width);
            let halves = a.chunks(LANES).zip(b.chunks(LANES));
            for ((a, b), y) in halves.zip(y.chunks_mut(LANES)) {
                let (mut a, b) = (load(a), load(b));
                for k in 0..LANES {
                    a[k] = scalar::tanh(a[k]) * scalar::sigmoid(b[k]);
                }
                write(y, a);
            }
        }
    }
}

multiversion! {
    /// Writes all of `dx`, which is as long as `x` and twice as long as `dy`.
    fn back(x: &[f32], dy: &[f32], width: usize, dx: &mut [MaybeUninit<f32>]) {
        let rows = x.chunks_exact(2 * width).zip(dy.chunks_exact(width)).zip(dx.chunks_exact_mut(2 * width));
        for ((x, dy), dx) in rows {
            let ((a, b), (da, db)) = (x.split_at(width), dx.split_at_mut(width));
            let halves = a.chunks(LANES).zip(b.chunks(LANES)).zip(dy.chunks(LANES));
            for (((a, b), dy), (da, db)) in halves.zip(da.chunks_mut(LANES).zip(db.chunks_mut(LANES))) {
                let (a, b, dy) = (load(a), load(b), load(dy));
                let (mut t, mut s) = ([0.0; LANES], [0.0; LANES]);
                for k in 0..LANES {
                    (t[k], s[k]) = (scalar::tanh(a[k]), scalar::sigmoid(b[k]));
                }
                write(da, std::array::from_fn(|k| dy[k] * s[k] * (1.0 - t[k] * t[k])));
                write(db, std::array::from_fn(|k| dy[k] * t[k] * s[k] * (1.0 - s[k])));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn values(n: usize, salt: u32) -> Vec<f32> {
        let mix = |i: u32| (i.wrapping_add(salt).wrapping_mul(2_654_435_761)) >> 8;
        (0..n as u32).map(|i| mix(mix(i)) as f32 / 8_388_608.0 - 1.0).collect()
    }

    /// The definition at one pair, in f64.
    fn definition(a: f64, b: f64) -> f64 {
        a.tanh() / (1.0 + (-b).exp())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60))]
        /// Values against the definition, gradients against its central differences; also where both functions are flat.
        #[test]
        fn value_and_gradient(rows in 1usize..400, width in 1usize..70, size in 0.1f32..30.0, salt: u32) {
            let x: Vec<f32> = values(rows * 2 * width, salt).iter().map(|v| v * size).collect();
            let dy = values(rows * width, salt ^ 1);
            let (y, dx) = (gate_forward(&x, width), gate_backward(&x, &dy, width));
            prop_assert_eq!([y.len(), dx.len()], [rows * width, x.len()]);
            for (at, (y, dy)) in y.iter().zip(&dy).enumerate() {
                let pair = [0, width].map(|half| at / width * 2 * width + half + at % width);
                let [a, b] = pair.map(|i| f64::from(x[i]));
                prop_assert!((f64::from(*y) - definition(a, b)).abs() < 1e-6);
                let h = 1e-5;
                let slopes = [
                    definition(a + h, b) - definition(a - h, b),
                    definition(a, b + h) - definition(a, b - h),
                ];
                for (i, slope) in pair.into_iter().zip(slopes) {
                    let want = f64::from(*dy) * slope / (2.0 * h);
                    prop_assert!((f64::from(dx[i]) - want).abs() < 1e-6, "{} {}", dx[i], want);
                }
            }
        }
    }

    #[test]
    fn same_bits_at_any_thread_count() {
        let (x, dy) = (values(2 * 33 * 1501, 1), values(33 * 1501, 2));
        let run = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| (gate_forward(&x, 33), gate_backward(&x, &dy, 33)))
        };
        let one = run(1);
        assert!(one == run(2) && one == run(3));
    }

    /// A NaN must not vanish behind a closed gate.
    #[test]
    fn nan_stays() {
        assert!(gate_forward(&[f32::NAN, -100.0], 1)[0].is_nan());
        assert!(gate_forward(&[0.0, f32::NAN], 1)[0].is_nan());
    }
}
