//! Annealing of layers of binary units: draws at an inverse temperature, and how the log-mass of a row changes with it.

use crate::counter::Stream;
use crate::{crew, multiversion, scalar};

/// Values side by side: so many running sums, one of which would forbid vectorising.
const LANES: usize = 16;
/// Numbers of a stream are handed out in groups of so many.
const GROUP: usize = 64;

/// Rows of a job, so that it has some thousand values.
fn block(width: usize) -> usize {
    ((1 << 13) / width.max(1)).max(1)
}

/// Σ_j softplus(`to` · a_j + (1 − `to`) · base_j) − softplus(`from` · a_j + (1 − `from`) · base_j) of each row: what a layer that is
/// summed out contributes to the change of the log-mass of a row when the inverse temperature goes from `from` to `to`; `base` is
/// one row, or empty for 0. With `from` 0, add Σ softplus(base_j) for the mass itself.
pub fn log_mass_change(a: &[f32], base: &[f32], width: usize, [from, to]: [f32; 2]) -> Vec<f64> {
    assert!(base.is_empty() || base.len() == width, "a base for every unit");
    let rows = a.len() / width.max(1);
    // Two values of 32 bits hold one of 64: the sums are written through bytes that the loop over jobs may cut.
    let mut sums = vec![0.0f32; 2 * rows];
    crew::rows([(&mut sums, 2)], block(width), |i, [sums]| {
        for (r, slot) in sums.chunks_exact_mut(2).enumerate() {
            let row = &a[(i * block(width) + r) * width..][..width];
            let sum = if base.is_empty() { change(row, from, to) } else { change_from(row, base, from, to) };
            // High and low part: their sum has the precision of both.
            (slot[0], slot[1]) = (sum as f32, (sum - f64::from(sum as f32)) as f32);
        }
    });
    sums.chunks_exact(2).map(|s| f64::from(s[0]) + f64::from(s[1])).collect()
}

multiversion! {
    fn change(a: &[f32], from: f32, to: f32) -> f64 {
        // Most often all of it is asked for, from 0 on.
        if from == 0.0 {
            let none = scalar::softplus(0.0);
            return lanes(a, |a| scalar::softplus(to * a) - none);
        }
        lanes(a, |a| scalar::softplus(to * a) - scalar::softplus(from * a))
    }
}

/// Σ f(a) in f64.
#[inline(always)]
fn lanes(a: &[f32], f: impl Fn(f32) -> f32) -> f64 {
    let mut sums = [0.0f64; LANES];
    let (many, rest) = a.as_chunks::<LANES>();
    for a in many {
        for l in 0..LANES {
            sums[l] += f64::from(f(a[l]));
        }
    }
    sums.iter().sum::<f64>() + rest.iter().map(|a| f64::from(f(*a))).sum::<f64>()
}

multiversion! {
    fn change_from(a: &[f32], base: &[f32], from: f32, to: f32) -> f64 {
        let one = |a: f32, b: f32| {
            let at = |beta: f32| scalar::softplus(beta * a + (1.0 - beta) * b);
            f64::from(at(to) - at(from))
        };
        let mut sums = [0.0f64; LANES];
        let ((many, rest), (bases, others)) = (a.as_chunks::<LANES>(), base.as_chunks::<LANES>());
        for (a, b) in many.iter().zip(bases) {
            for l in 0..LANES {
                sums[l] += one(a[l], b[l]);
            }
        }
        let tail: f64 = rest.iter().zip(others).map(|(a, b)| one(*a, *b)).sum();
        sums.iter().sum::<f64>() + tail
    }
}

/// 1 with probability σ(`beta` · a + `base`), else 0; `base` is one row, or empty for 0. Row r is decided by the numbers of the
/// stream from r · width, rounded up to a multiple of 64, on.
pub fn anneal_bits(a: &[f32], width: usize, beta: f32, base: &[f32], stream: Stream) -> Vec<f32> {
    assert!(base.is_empty() || base.len() == width, "a base for every unit");
    let count = a.len() / width.max(1);
    assert_eq!(a.len(), count * width, "whole rows");
    let (rows, reach) = (block(width), width.next_multiple_of(GROUP));
    let [bits] = crew::zeros(count, [width], rows, |i, [bits]| {
        for (r, bits) in bits.chunks_exact_mut(width).enumerate() {
            let row = i * rows + r;
            tempered(&a[row * width..][..width], beta, base, bits);
            stream.decide(row * reach, bits);
        }
    });
    bits
}

multiversion! {
    fn tempered(a: &[f32], beta: f32, base: &[f32], p: &mut [f32]) {
        if base.is_empty() {
            p.iter_mut().zip(a).for_each(|(p, a)| *p = scalar::sigmoid(beta * a));
        } else {
            p.iter_mut().zip(a).zip(base).for_each(|((p, a), b)| *p = scalar::sigmoid(beta * a + b));
        }
    }
}

/// x · d of each row.
pub fn row_products(x: &[f32], d: &[f32]) -> Vec<f64> {
    x.chunks_exact(d.len().max(1)).map(|x| product(x, d)).collect()
}

multiversion! {
    fn product(x: &[f32], d: &[f32]) -> f64 {
        let mut sums = [0.0f64; LANES];
        let ((xs, x1), (ds, d1)) = (x.as_chunks::<LANES>(), d.as_chunks::<LANES>());
        for (x, d) in xs.iter().zip(ds) {
            for l in 0..LANES {
                sums[l] += f64::from(x[l] * d[l]);
            }
        }
        let tail: f64 = x1.iter().zip(d1).map(|(x, d)| f64::from(x * d)).sum();
        sums.iter().sum::<f64>() + tail
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(n: usize) -> Vec<f32> {
        (0..n).map(|i| ((i * 37) % 83) as f32 / 9.0 - 4.5).collect()
    }

    #[test]
    fn change_of_mass_against_f64() {
        for width in [1, 7, 16, 67] {
            let a = values(3 * width);
            for base in [Vec::new(), values(2 * width).split_off(width)] {
                let got = log_mass_change(&a, &base, width, [0.3, 0.31]);
                for (a, got) in a.chunks_exact(width).zip(got) {
                    let softplus = |x: f64| x.max(0.0) + (-x.abs()).exp().ln_1p();
                    let at = |beta: f32| {
                        let each = a.iter().enumerate().map(|(j, a)| {
                            let b = base.get(j).copied().unwrap_or(0.0);
                            softplus(f64::from(beta) * f64::from(*a) + f64::from(1.0 - beta) * f64::from(b))
                        });
                        each.sum::<f64>()
                    };
                    let want = at(0.31) - at(0.3);
                    assert!((got - want).abs() < 4e-7 * width as f64, "{width}: {got} {want}");
                }
            }
        }
    }

    #[test]
    fn products_against_f64() {
        for width in [1, 5, 16, 67] {
            let (x, d) = (values(2 * width), values(width));
            for (x, got) in x.chunks_exact(width).zip(row_products(&x, &d)) {
                let want: f64 = x.iter().zip(&d).map(|(x, d)| f64::from(*x) * f64::from(*d)).sum();
                assert!((got - want).abs() < 1e-5 * (1.0 + width as f64), "{got} {want}");
            }
        }
    }

    /// 20,000 draws of each unit within five standard errors (false alarm 1e-6 each), and the same bits on any number of threads.
    #[test]
    fn draws_have_their_probabilities() {
        let (a, base, beta, n) = ([-2.0f32, 0.5, 3.0], [0.5f32, -1.0, 0.0], 0.7f32, 20_000);
        let rows: Vec<f32> = (0..n).flat_map(|_| a).collect();
        let stream = Stream { key: 3, stream: 4 };
        let run = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| anneal_bits(&rows, 3, beta, &base, stream))
        };
        let bits = run(1);
        assert!(bits == run(2) && bits == run(3));
        for j in 0..3 {
            let p = 1.0 / (1.0 + f64::from(-(beta * a[j] + base[j])).exp());
            let mean = bits.iter().skip(j).step_by(3).map(|v| f64::from(*v)).sum::<f64>() / f64::from(n);
            assert!((mean - p).abs() < 5.0 * (p * (1.0 - p) / f64::from(n)).sqrt(), "unit {j}: {mean} {p}");
        }
        let cold = anneal_bits(&rows, 3, beta, &[], stream);
        let mean = cold.iter().step_by(3).map(|v| f64::from(*v)).sum::<f64>() / f64::from(n);
        let p = 1.0 / (1.0 + f64::from(beta * 2.0).exp());
        assert!((mean - p).abs() < 5.0 * (p * (1.0 - p) / f64::from(n)).sqrt(), "{mean} {p}");
    }
}
