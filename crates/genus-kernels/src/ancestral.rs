//! Sampling of a masked network, dimension by dimension, each unit computed once.
//!
//! A unit of degree m is final as soon as the first m dimensions are drawn. Drawing a row therefore costs one pass through the
//! network in all, where the textbook loop makes D passes. The sums run in the order of [`gemm`](crate::gemm), so that the
//! draws are the same bits as those of the textbook loop.

use crate::gemm::KC;
use crate::isa::{Set, set};
use crate::linear::{Activation, value};
use crate::nade::Pick;
use crate::{Staircase, crew};

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

/// Walks through the dimensions of `x` in place order and sets each to what `pick` makes of (row, place, logit); what it gives
/// back may be the value that is known.
///
/// `layers` ends with the output layer, whose unit p is the logit of dimension p; `direct` adds to the logits.
///
/// # Shapes
/// x `[rows, dims]`
pub fn sample_masked(
    layers: &[MaskedLayer<'_>],
    direct: Option<&MaskedLayer<'_>>,
    x: &mut [f32],
    dims: usize,
    pick: Pick<'_>,
) {
    crew::rows([(x, dims)], LANES, |i, [x]| {
        let pick = |row: usize, place: usize, logit: f32| pick(i * LANES + row, place, logit);
        #[cfg(target_arch = "x86_64")]
        if set() >= Set::Avx2 {
            // SAFETY: the processor has both features.
            return unsafe { fused(layers, direct, x, dims, &pick) };
        }
        group::<false>(layers, direct, x, dims, &pick);
    });
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn fused(
    layers: &[MaskedLayer<'_>],
    direct: Option<&MaskedLayer<'_>>,
    x: &mut [f32],
    dims: usize,
    pick: &dyn Fn(usize, usize, f32) -> f32,
) {
    group::<true>(layers, direct, x, dims, pick);
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
    x: &mut [f32],
    dims: usize,
    pick: &dyn Fn(usize, usize, f32) -> f32,
) {
    let rows = x.len() / dims;
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
            let value = pick(r, p, logit[r]);
            values[0][p][r] = value;
            x[r * dims + p] = value;
        }
    }
}
