//! Sampling of a masked network, dimension by dimension, each unit computed once.
//!
//! A unit of degree m is final as soon as the first m dimensions are drawn. Drawing a row therefore costs one pass through the
//! network in all, where the textbook loop makes D passes. The sums run in the order of [`gemm`](crate::gemm), so that the
//! draws are the same bits as those of the textbook loop.

use crate::gemm::KC;
use crate::linear::{Activation, value};
use crate::{Staircase, scalar};
use rayon::prelude::*;

/// A masked layer, units sorted by degree.
#[derive(Debug)]
pub struct MaskedLayer<'a> {
    /// Weights transposed, `[outputs, inputs]`: a unit's weights lie together.
    pub w: Vec<f32>,
    /// Biases `[outputs]`.
    pub b: Vec<f32>,
    /// Which inputs each unit sees.
    pub mask: &'a Staircase,
    /// Applied to each unit.
    pub act: Activation,
}

/// Rows drawn at once, side by side in memory.
const LANES: usize = 16;

/// Draws binary rows in place order: bit p of a row is 1 if `u[row, p]` lies below its conditional probability.
///
/// `layers` ends with the output layer, whose unit p is the logit of dimension p; `direct` adds to the logits.
///
/// # Shapes
/// u `[rows, dims]` → `[rows, dims]`
pub fn sample_masked(
    layers: &[MaskedLayer<'_>],
    direct: Option<&MaskedLayer<'_>>,
    u: &[f32],
    dims: usize,
) -> Vec<f32> {
    let mut x = vec![0.0; u.len()];
    x.par_chunks_mut(LANES * dims).zip(u.par_chunks(LANES * dims)).for_each(|(x, u)| {
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma") {
            // SAFETY: both features were just found.
            return unsafe { fused(layers, direct, u, x, dims) };
        }
        group::<false>(layers, direct, u, x, dims);
    });
    x
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn fused(
    layers: &[MaskedLayer<'_>],
    direct: Option<&MaskedLayer<'_>>,
    u: &[f32],
    x: &mut [f32],
    dims: usize,
) {
    group::<true>(layers, direct, u, x, dims);
}

type Lanes = [f32; LANES];

/// The weighted sum of unit `j`, before the activation.
#[inline(always)]
fn unit<const FMA: bool>(layer: &MaskedLayer<'_>, j: usize, below: &[Lanes], from: Lanes) -> Lanes {
    let w = &layer.w[j * layer.mask.inputs()..][..layer.mask.reach()[j]];
    let mut y = from;
    for (w, below) in w.chunks(KC).zip(below.chunks(KC)) {
        let mut acc = [0.0f32; LANES];
        for (w, v) in w.iter().zip(below) {
            for s in 0..LANES {
                acc[s] = if FMA { v[s].mul_add(*w, acc[s]) } else { v[s] * w + acc[s] };
            }
        }
        for s in 0..LANES {
            y[s] += acc[s];
        }
    }
    y
}

#[inline(always)]
fn group<const FMA: bool>(
    layers: &[MaskedLayer<'_>],
    direct: Option<&MaskedLayer<'_>>,
    u: &[f32],
    x: &mut [f32],
    dims: usize,
) {
    let rows = u.len() / dims;
    // Values per layer: the input first, then each hidden layer; filled from the left as dimensions are drawn.
    let mut values: Vec<Vec<Lanes>> = std::iter::once(dims)
        .chain(layers[..layers.len() - 1].iter().map(|l| l.b.len()))
        .map(|n| vec![[0.0; LANES]; n])
        .collect();
    let mut done = vec![0usize; layers.len()];
    for p in 0..dims {
        done[0] = p;
        for (l, layer) in layers[..layers.len() - 1].iter().enumerate() {
            while done[l + 1] < layer.b.len() && layer.mask.reach()[done[l + 1]] <= done[l] {
                let j = done[l + 1];
                let mut y = unit::<FMA>(layer, j, &values[l], [layer.b[j]; LANES]);
                y.iter_mut().for_each(|v| *v = value(*v, layer.act));
                values[l + 1][j] = y;
                done[l + 1] += 1;
            }
        }
        let (Some(out), Some(last)) = (layers.last(), values.last()) else { return };
        let mut logit = unit::<FMA>(out, p, last, [out.b[p]; LANES]);
        if let Some(direct) = direct {
            let more = unit::<FMA>(direct, p, &values[0], [direct.b[p]; LANES]);
            for s in 0..LANES {
                logit[s] += more[s];
            }
        }
        for r in 0..rows {
            let bit = f32::from(u8::from(u[r * dims + p] < scalar::sigmoid(logit[r])));
            values[0][p][r] = bit;
            x[r * dims + p] = bit;
        }
    }
}
