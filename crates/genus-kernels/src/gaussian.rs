//! Log-likelihood of independent normals: −log p = ½ Σ ((x − μ)² e^−v + v + ln 2π), v the log-variance.

use crate::{crew, multiversion, scalar};
use std::mem::MaybeUninit;

/// Values of a job.
const BLOCK: usize = 1 << 13;

/// ½ ln 2π.
const HALF_LN_2PI: f64 = 0.918_938_533_204_672_7;

/// Operands of [`gaussian_nll`]: means `[rows, width]`; log-variances and targets likewise, or `[1, width]` for all rows.
#[derive(Debug, Clone, Copy)]
pub struct Gaussian<'a> {
    /// μ.
    pub mean: &'a [f32],
    /// v.
    pub log_variance: &'a [f32],
    /// x.
    pub target: &'a [f32],
    /// Dimensions of a row.
    pub width: usize,
}

impl<'a> Gaussian<'a> {
    fn check(&self) {
        for (name, operand) in [("log-variances", self.log_variance), ("targets", self.target)] {
            let fits = operand.len() == self.mean.len() || operand.len() == self.width;
            assert!(fits && self.mean.len().is_multiple_of(self.width), "{name} as the means, or one row");
        }
    }

    fn row(&self, r: usize) -> [&'a [f32]; 3] {
        [self.mean, self.log_variance, self.target].map(|operand| {
            let at = r * self.width % operand.len();
            &operand[at..at + self.width]
        })
    }
}

/// Negative log-likelihood of each row, nats, `[rows]`.
pub fn gaussian_nll(of: Gaussian<'_>) -> Vec<f32> {
    of.check();
    let mut nll = vec![0.0; of.mean.len() / of.width.max(1)];
    let block = (BLOCK / of.width.max(1)).max(1);
    crew::chunks([&mut nll], block, |i, [nll]| {
        for (r, slot) in nll.iter_mut().enumerate() {
            let [m, v, x] = of.row(i * block + r);
            *slot = row_nll(m, v, x);
        }
    });
    nll
}

/// Gradients of Σ `weight[row]` · nll\[row\] with respect to means and to log-variances, in their shapes.
pub fn gaussian_backward(of: Gaussian<'_>, weight: &[f32]) -> [Vec<f32>; 2] {
    of.check();
    let width = of.width;
    let block = (BLOCK / width.max(1)).max(1);
    let piece = |i: usize, [dm, dv]: [&mut [MaybeUninit<f32>]; 2]| {
        for (r, (dm, dv)) in dm.chunks_exact_mut(width).zip(dv.chunks_exact_mut(width)).enumerate() {
            let [m, v, x] = of.row(i * block + r);
            row_grad(dm, dv, m, v, x, weight[i * block + r]);
        }
    };
    // SAFETY: every row is written, and the means are whole rows.
    let [dm, mut dv] = unsafe { crew::make(of.mean.len() / width.max(1), [width; 2], block, piece) };
    if of.log_variance.len() < of.mean.len() {
        let mut sum = vec![0.0; width];
        dv.chunks_exact(width).for_each(|row| sum.iter_mut().zip(row).for_each(|(s, g)| *s += g));
        dv = sum;
    }
    [dm, dv]
}

multiversion! {
    fn row_nll(m: &[f32], v: &[f32], x: &[f32]) -> f32 {
        let term = |m: f32, v: f32, x: f32| (x - m) * (x - m) * scalar::exp(-v) + v;
        let mut sums = [0.0f32; 8];
        let ((m8, m1), (v8, v1), (x8, x1)) = (m.as_chunks::<8>(), v.as_chunks::<8>(), x.as_chunks::<8>());
        for ((m, v), x) in m8.iter().zip(v8).zip(x8) {
            for i in 0..8 {
                sums[i] += term(m[i], v[i], x[i]);
            }
        }
        let tail: f32 = m1.iter().zip(v1).zip(x1).map(|((m, v), x)| term(*m, *v, *x)).sum();
        let sum = sums.iter().map(|s| f64::from(*s)).sum::<f64>() + f64::from(tail);
        (0.5 * sum + HALF_LN_2PI * m.len() as f64) as f32
    }
}

multiversion! {
    /// Writes all of `dm` and `dv`, which are as long as the others.
    fn row_grad(dm: &mut [MaybeUninit<f32>], dv: &mut [MaybeUninit<f32>], m: &[f32], v: &[f32], x: &[f32], weight: f32) {
        for ((((dm, dv), m), v), x) in dm.iter_mut().zip(dv).zip(m).zip(v).zip(x) {
            let precision = scalar::exp(-*v);
            dm.write(weight * (m - x) * precision);
            dv.write(0.5 * weight * (1.0 - (x - m) * (x - m) * precision));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values against f64, gradients against central differences of it, with a row of variances for all and with one for each.
    #[test]
    fn value_and_gradient_against_f64() {
        let wave = |n: usize, s: f32| -> Vec<f32> { (0..n).map(|i| ((i as f32 + s) * 1.7).sin()).collect() };
        let (rows, width) = (5, 13);
        for shared in [false, true] {
            let (mean, target) = (wave(rows * width, 0.2), wave(rows * width, 3.0));
            let log_variance = wave(if shared { width } else { rows * width }, 1.0);
            let weight = wave(rows, 0.6);
            let of = Gaussian { mean: &mean, log_variance: &log_variance, target: &target, width };
            let definition = |m: &[f64], v: &[f64]| -> f64 {
                (0..rows * width)
                    .map(|i| {
                        let v = v[i % v.len()];
                        let x = f64::from(target[i]);
                        let nll =
                            0.5 * ((x - m[i]).powi(2) * (-v).exp() + v + (2.0 * std::f64::consts::PI).ln());
                        nll * f64::from(weight[i / width])
                    })
                    .sum()
            };
            let wide = |v: &[f32]| v.iter().map(|v| f64::from(*v)).collect::<Vec<f64>>();
            let (m64, v64) = (wide(&mean), wide(&log_variance));
            let value: f64 =
                gaussian_nll(of).iter().zip(&weight).map(|(n, w)| f64::from(*n) * f64::from(*w)).sum();
            assert!((value - definition(&m64, &v64)).abs() < 1e-5, "{value}");
            for (which, grad) in gaussian_backward(of, &weight).iter().enumerate() {
                assert_eq!(grad.len(), [&mean, &log_variance][which].len());
                for (i, g) in grad.iter().enumerate() {
                    let at = |h: f64| {
                        let mut p = [m64.clone(), v64.clone()];
                        p[which][i] += h;
                        definition(&p[0], &p[1])
                    };
                    let want = (at(1e-5) - at(-1e-5)) / 2e-5;
                    assert!((f64::from(*g) - want).abs() < 1e-5 * (1.0 + want.abs()), "{i}: {g} {want}");
                }
            }
        }
    }
}
