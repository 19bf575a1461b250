//! Batch normalisation (Ioffe & Szegedy 2015) with what follows it: y = f(γ (x − m)/√(v + ε) + β), where m and v are mean and variance of
//! a channel over the rows of the batch.

use crate::linear::{activate, slope};
use crate::{Activation, crew, multiversion};
use std::mem::MaybeUninit;
use std::ops::Range;

/// Added to variances.
pub const EPSILON: f64 = 1e-5;

/// Rows whose sums are taken in single precision, before they are added up in double.
const BLOCK: usize = 256;

/// A normalised batch, and what its way back needs.
#[derive(Debug, Clone)]
pub struct Normalized {
    /// The result, `[rows, channels]`.
    pub y: Vec<f32>,
    /// Mean of each channel.
    pub mean: Vec<f32>,
    /// 1/√(v + ε) of each channel.
    pub inverse: Vec<f32>,
}

/// Gradients of [`batch_norm_forward`].
#[derive(Debug)]
pub struct BatchNormGrads {
    /// With respect to x `[rows, channels]`.
    pub x: Vec<f32>,
    /// With respect to γ `[channels]`.
    pub scale: Vec<f32>,
    /// With respect to β `[channels]`.
    pub shift: Vec<f32>,
}

/// Mean and variance of each channel over the rows, the variance as the mean square deviation. Panics if there is no row.
///
/// # Shapes
/// x `[rows, channels]` → `[channels]` each
pub fn channel_moments(x: &[f32], channels: usize) -> [Vec<f64>; 2] {
    let rows = rows_of(x, channels);
    let [total] = sums(x.len(), channels, |range, [sum]| add(&x[range], sum));
    let mean: Vec<f64> = total.iter().map(|s| s / rows).collect();
    let centre: Vec<f32> = mean.iter().map(|m| *m as f32).collect();
    let [off, squares] = sums(x.len(), channels, |range, [off, squares]| {
        add_deviations(&x[range], &centre, off, squares);
    });
    // The centre is rounded: what that leaves is taken out again.
    let variance = squares.iter().zip(&off).map(|(s, o)| (s / rows - (o / rows).powi(2)).max(0.0)).collect();
    [mean, variance]
}

fn rows_of(x: &[f32], channels: usize) -> f64 {
    assert!(channels > 0 && !x.is_empty() && x.len().is_multiple_of(channels), "rows of {channels} channels");
    (x.len() / channels) as f64
}

/// Sums over rows of `values` in all, which `add` takes of up to [`BLOCK`] of them, added up in the order of the blocks.
fn sums<const N: usize>(
    values: usize,
    channels: usize,
    add: impl Fn(Range<usize>, [&mut [f32]; N]) + Sync,
) -> [Vec<f64>; N] {
    let size = BLOCK * channels;
    let parts = crew::zeros(values.div_ceil(size), [channels; N], 1, |i, parts| {
        add(i * size..values.min((i + 1) * size), parts);
    });
    parts.map(|parts| {
        let mut total = vec![0.0; channels];
        for part in parts.chunks_exact(channels) {
            total.iter_mut().zip(part).for_each(|(t, p)| *t += f64::from(*p));
        }
        total
    })
}

multiversion! {
    fn add(x: &[f32], sum: &mut [f32]) {
        for row in x.chunks_exact(sum.len()) {
            sum.iter_mut().zip(row).for_each(|(s, v)| *s += v);
        }
    }
}

multiversion! {
    fn add_deviations(x: &[f32], centre: &[f32], off: &mut [f32], squares: &mut [f32]) {
        for row in x.chunks_exact(centre.len()) {
            for (((o, s), v), c) in off.iter_mut().zip(&mut *squares).zip(row).zip(centre) {
                let d = v - c;
                *o += d;
                *s += d * d;
            }
        }
    }
}

/// y = f(γ (x − m)/√(v + ε) + β). Panics if there is no row.
///
/// # Shapes
/// x `[rows, channels]`, scale and shift `[channels]` → `[rows, channels]`
pub fn batch_norm_forward(x: &[f32], scale: &[f32], shift: &[f32], act: Activation) -> Normalized {
    let channels = scale.len();
    assert_eq!(shift.len(), channels, "a shift for every scale");
    let [mean, variance] = channel_moments(x, channels);
    let inverse: Vec<f32> = variance.iter().map(|v| (1.0 / libm::sqrt(v + EPSILON)) as f32).collect();
    let mean: Vec<f32> = mean.iter().map(|m| *m as f32).collect();
    let factor: Vec<f32> = scale.iter().zip(&inverse).map(|(s, i)| s * i).collect();
    let piece = |i: usize, [y]: [&mut [MaybeUninit<f32>]; 1]| {
        let x = &x[i * BLOCK * channels..][..y.len()];
        let y = write(x, &mean, &factor, shift, y);
        activate(y, act);
    };
    // SAFETY: every value is written.
    let [y] = unsafe { crew::make(x.len() / channels, [channels], BLOCK, piece) };
    Normalized { y, mean, inverse }
}

/// Writes all of `y`.
fn write<'a>(
    x: &[f32],
    mean: &[f32],
    factor: &[f32],
    shift: &[f32],
    y: &'a mut [MaybeUninit<f32>],
) -> &'a mut [f32] {
    moved(x, mean, factor, shift, y);
    // SAFETY: they were just written.
    unsafe { y.assume_init_mut() }
}

multiversion! {
    /// Writes all of `y`, which is as long as `x`.
    fn moved(x: &[f32], mean: &[f32], factor: &[f32], shift: &[f32], y: &mut [MaybeUninit<f32>]) {
        let channels = mean.len();
        assert!(factor.len() == channels && shift.len() == channels && x.len() == y.len());
        assert!(x.len().is_multiple_of(channels));
        for (x, y) in x.chunks_exact(channels).zip(y.chunks_exact_mut(channels)) {
            for k in 0..channels {
                y[k].write((x[k] - mean[k]) * factor[k] + shift[k]);
            }
        }
    }
}

/// Gradients from `dy` `[rows, channels]`, which is overwritten; y, mean and 1/√(v + ε) are those of [`batch_norm_forward`].
///
/// With x̂ = (x − m)/√(v + ε) and g the gradient before f, that of x is γ/√(v + ε) (g − mean g − x̂ mean(g x̂)).
pub fn batch_norm_backward(
    x: &[f32],
    scale: &[f32],
    y: &[f32],
    [mean, inverse]: [&[f32]; 2],
    mut dy: Vec<f32>,
    act: Activation,
) -> BatchNormGrads {
    let channels = scale.len();
    let rows = rows_of(x, channels);
    assert!(mean.len() == channels && inverse.len() == channels, "statistics of every channel");
    assert!(y.len() == x.len() && dy.len() == x.len(), "a gradient for every value");
    crew::rows([(&mut dy, channels)], BLOCK, |i, [dy]| {
        slope(dy, &y[i * BLOCK * channels..][..dy.len()], act);
    });
    let [sum, product] = sums(x.len(), channels, |range, [sum, product]| {
        add_products(&dy[range.clone()], &x[range], mean, sum, product);
    });
    let product: Vec<f64> = product.iter().zip(inverse).map(|(p, i)| p * f64::from(*i)).collect();
    let factor: Vec<f32> = scale.iter().zip(inverse).map(|(s, i)| s * i).collect();
    let first: Vec<f32> = sum.iter().map(|s| (s / rows) as f32).collect();
    let second: Vec<f32> =
        product.iter().zip(inverse).map(|(p, i)| (p / rows * f64::from(*i)) as f32).collect();
    crew::rows([(&mut dy, channels)], BLOCK, |i, [dy]| {
        let x = &x[i * BLOCK * channels..][..dy.len()];
        back(dy, x, mean, &factor, &first, &second);
    });
    let narrow = |v: Vec<f64>| v.into_iter().map(|v| v as f32).collect();
    BatchNormGrads { x: dy, scale: narrow(product), shift: narrow(sum) }
}

multiversion! {
    fn add_products(g: &[f32], x: &[f32], mean: &[f32], sum: &mut [f32], product: &mut [f32]) {
        let channels = mean.len();
        for (g, x) in g.chunks_exact(channels).zip(x.chunks_exact(channels)) {
            for ((((s, p), g), x), m) in sum.iter_mut().zip(&mut *product).zip(g).zip(x).zip(mean) {
                *s += g;
                *p += g * (x - m);
            }
        }
    }
}

multiversion! {
    fn back(g: &mut [f32], x: &[f32], mean: &[f32], factor: &[f32], first: &[f32], second: &[f32]) {
        let channels = mean.len();
        assert!(factor.len() == channels && first.len() == channels && second.len() == channels);
        for (g, x) in g.chunks_exact_mut(channels).zip(x.chunks_exact(channels)) {
            for k in 0..channels {
                g[k] = factor[k] * (g[k] - first[k] - (x[k] - mean[k]) * second[k]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn values(n: usize, salt: u64) -> Vec<f32> {
        let mut out = vec![0.0; n];
        crate::Stream { key: 11, stream: salt }.normals(0, &mut out);
        out
    }

    /// The definition in f64.
    fn definition(x: &[f64], scale: &[f64], shift: &[f64], act: Activation) -> Vec<f64> {
        let (c, n) = (scale.len(), x.len() / scale.len());
        let column = |k: usize| (0..n).map(move |r| x[r * c + k]);
        let moments: Vec<(f64, f64)> = (0..c)
            .map(|k| {
                let mean = column(k).sum::<f64>() / n as f64;
                (mean, column(k).map(|v| (v - mean).powi(2)).sum::<f64>() / n as f64)
            })
            .collect();
        let one = |(i, v): (usize, &f64)| {
            let (mean, variance) = moments[i % c];
            let a = scale[i % c] * (v - mean) / (variance + EPSILON).sqrt() + shift[i % c];
            match act {
                Activation::LeakyRelu => a.max(0.2 * a),
                Activation::Tanh => a.tanh(),
                _ => a,
            }
        };
        x.iter().enumerate().map(one).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]
        /// Values against the definition in f64, gradients against its central differences along random directions, far from 0 too.
        #[test]
        fn value_and_gradient(rows in 8usize..700, channels in 1usize..40, which in 0usize..3, off in -30.0f32..30.0, salt: u64) {
            let act = [Activation::Identity, Activation::LeakyRelu, Activation::Tanh][which];
            let x: Vec<f32> = values(rows * channels, salt).iter().map(|v| off + v).collect();
            let (scale, shift) = (values(channels, salt ^ 1), values(channels, salt ^ 2));
            let weight = values(x.len(), salt ^ 3);
            let of = batch_norm_forward(&x, &scale, &shift, act);
            let wide = |v: &[f32]| v.iter().map(|v| f64::from(*v)).collect::<Vec<f64>>();
            let [wide_x, wide_scale, wide_shift] = [&x, &scale, &shift].map(|v| wide(v));
            let exact = definition(&wide_x, &wide_scale, &wide_shift, act);
            // Rounding may take a value across the kink.
            prop_assume!(act != Activation::LeakyRelu || exact.iter().all(|y| y.abs() > 1e-5));
            for (got, want) in of.y.iter().zip(exact) {
                prop_assert!((f64::from(*got) - want).abs() < 2e-4, "{} {}", got, want);
            }
            let grads = batch_norm_backward(&x, &scale, &of.y, [&of.mean, &of.inverse], weight.clone(), act);
            let value = |x: &[f64], scale: &[f64], shift: &[f64]| -> f64 {
                definition(x, scale, shift, act).iter().zip(&weight).map(|(y, w)| y * f64::from(*w)).sum()
            };
            // Steps so short that next to none of the values crosses the kink.
            let h = 1e-6;
            let direction = wide(&values(x.len(), salt ^ 4));
            let along = |of: &[f64], d: &[f64], h: f64| of.iter().zip(d).map(|(x, d)| x + h * d).collect::<Vec<f64>>();
            let size = |g: &[f32]| g.iter().map(|g| f64::from(*g).powi(2)).sum::<f64>().sqrt();
            let quotient = |f: &dyn Fn(f64) -> f64| (f(h) - f(-h)) / (2.0 * h);
            let product = |g: &[f32], d: &[f64]| g.iter().zip(d).map(|(g, d)| f64::from(*g) * d).sum::<f64>();
            let want = quotient(&|h| value(&along(&wide_x, &direction, h), &wide_scale, &wide_shift));
            let (got, scaled) = (product(&grads.x, &direction), size(&grads.x) * (x.len() as f64).sqrt());
            prop_assert!((got - want).abs() < 1e-4 * scaled.max(1.0), "{} {} of {}", got, want, scaled);
            let ones = vec![1.0; channels];
            let want = quotient(&|h| value(&wide_x, &along(&wide_scale, &ones, h), &wide_shift));
            let allowed = 1e-4 * (x.len() as f64).sqrt();
            prop_assert!((product(&grads.scale, &ones) - want).abs() < allowed, "{:?} {}", grads.scale, want);
            let want = quotient(&|h| value(&wide_x, &wide_scale, &along(&wide_shift, &ones, h)));
            prop_assert!((product(&grads.shift, &ones) - want).abs() < allowed, "{:?} {}", grads.shift, want);
        }
    }

    #[test]
    fn moments_of_values_far_from_zero() {
        let x: Vec<f32> = values(5000 * 3, 7).iter().map(|v| 1000.0 + 0.5 * v).collect();
        let [mean, variance] = channel_moments(&x, 3);
        for k in 0..3 {
            let column: Vec<f64> = x.iter().skip(k).step_by(3).map(|v| f64::from(*v)).collect();
            let m = column.iter().sum::<f64>() / 5000.0;
            let v = column.iter().map(|x| (x - m).powi(2)).sum::<f64>() / 5000.0;
            assert!(
                (mean[k] - m).abs() < 1e-4 && (variance[k] / v - 1.0).abs() < 1e-4,
                "{mean:?} {variance:?}"
            );
        }
    }
}
