//! Sampling of a stack of causal convolutions, pixel by pixel, each value computed once.
//!
//! What a causal layer gives at a pixel is final as soon as the pixels before it are drawn. Drawing an image therefore evaluates
//! every layer once at every pixel — the work of one pass, where the textbook loop makes one pass per pixel. The sums run in the
//! order of [`Conv::forward`], so that the values are the same bits as those of the textbook loop.

use crate::conv::{Frame, packed_blocks, tiles};
use crate::gemm::{Init, heights};
use crate::isa::{Isa, Walk};
use crate::linear::{Activation, activate};
use crate::taps::TapBlock;
use crate::{Conv, Images, TapRow, crew};

/// One layer of the stack: its taps must be causal, of stride 1 and as many outputs as inputs per side.
#[derive(Debug, Clone, Copy)]
pub struct CausalLayer<'a> {
    /// The convolution.
    pub conv: &'a Conv,
    /// Weights `[taps, inputs, outputs]`.
    pub w: &'a [f32],
    /// Bias `[outputs]`.
    pub b: &'a [f32],
    /// Applied to each output.
    pub act: Activation,
}

/// Writes the values of a pixel, given its image, its place in raster order and the outputs of the last layer there.
pub type DrawPixel<'a> = &'a (dyn Fn(usize, usize, &[f32], &mut [f32]) + Sync);

/// Images drawn at once by one job.
const GROUP: usize = 14;

/// Draws the pixels of `x` from place `known` on, in raster order; those before are kept.
///
/// # Shapes
/// x as `of` says, changed in place
pub fn sample_causal(
    layers: &[CausalLayer<'_>],
    of: Images,
    known: usize,
    x: &mut [f32],
    draw: DrawPixel<'_>,
) {
    assert_eq!(x.len(), of.len(), "values of the images");
    let packed: Vec<Packed<'_>> = layers.iter().map(|l| Packed::new(*l, of)).collect();
    // Few images: smaller groups, so that every thread has one.
    let group = of.count.div_ceil(rayon::current_num_threads().max(1)).clamp(1, GROUP);
    crew::chunks([x], (group * of.each()).max(1), |i, [x]| {
        Job { layers: &packed, of, first: i * group, known, draw }.run(x);
    });
}

/// A layer with its weights as panels, one set per block of taps.
struct Packed<'a> {
    layer: CausalLayer<'a>,
    isa: &'static Isa,
    blocks: Vec<(TapBlock, Vec<f32>)>,
    frame: Frame,
}

impl<'a> Packed<'a> {
    fn new(layer: CausalLayer<'a>, of: Images) -> Self {
        let CausalLayer { conv, w, b, .. } = layer;
        assert!(w.len() == conv.weights() && b.len() == conv.outputs, "weights and bias of the layer");
        let taps = &conv.taps;
        assert!(taps.stride() == 1 && taps.output(of.extents) == of.extents, "layers keep the extents");
        let causal = |r: &TapRow| r.dy < 0 || (r.dy == 0 && r.dx + r.count as isize <= 1);
        assert!(taps.list().iter().all(causal), "a tap sees a later pixel");
        let frame = Frame::around(taps.list(), 1, of, of.extents);
        let isa = tiles(conv.outputs);
        Self { layer, isa, blocks: packed_blocks(isa, conv, w), frame }
    }

    /// Values of the framed input of one image.
    fn map(&self) -> usize {
        self.frame.height * self.frame.width * self.layer.conv.inputs
    }
}

struct Job<'a> {
    layers: &'a [Packed<'a>],
    of: Images,
    /// Number of the first image.
    first: usize,
    known: usize,
    draw: DrawPixel<'a>,
}

impl Job<'_> {
    fn run(&self, x: &mut [f32]) {
        let (each, c) = (self.of.each(), self.of.channels);
        let count = x.len() / each;
        let [height, width] = self.of.extents;
        // The framed input of every layer, image after image.
        let mut maps: Vec<Vec<f32>> = self.layers.iter().map(|l| vec![0.0; count * l.map()]).collect();
        let most = self.layers.iter().map(|l| l.layer.conv.outputs).max().unwrap_or(0);
        let mut out = vec![0.0; count * most];
        for place in 0..height * width {
            let (row, col) = (place / width, place % width);
            for (l, layer) in self.layers.iter().enumerate() {
                let n = layer.layer.conv.outputs;
                Self::evaluate(layer, &maps[l], count, [row, col], &mut out[..count * n]);
                activate(&mut out[..count * n], layer.layer.act);
                if let Some(next) = self.layers.get(l + 1) {
                    let (map, at) = (next.map(), next.frame.pixel(row, col, n));
                    for (i, values) in out[..count * n].chunks_exact(n).enumerate() {
                        maps[l + 1][i * map + at..][..n].copy_from_slice(values);
                    }
                }
            }
            let (Some(first), Some(last)) = (self.layers.first(), self.layers.last()) else { return };
            let (map, at) = (first.map(), first.frame.pixel(row, col, c));
            for (i, outputs) in
                out[..count * last.layer.conv.outputs].chunks_exact(last.layer.conv.outputs).enumerate()
            {
                let values = &mut x[i * each + place * c..][..c];
                if place >= self.known {
                    (self.draw)(self.first + i, place, outputs, values);
                }
                maps[0][i * map + at..][..c].copy_from_slice(values);
            }
        }
    }

    /// One layer at one pixel of every image: images are the rows of a product.
    fn evaluate(layer: &Packed<'_>, map: &[f32], count: usize, [y, x]: [usize; 2], out: &mut [f32]) {
        let isa = layer.isa;
        let CausalLayer { conv, b, .. } = layer.layer;
        let (k, n) = (conv.inputs, conv.outputs);
        if layer.blocks.is_empty() {
            return out.chunks_exact_mut(n).for_each(|o| o.copy_from_slice(b));
        }
        for p in 0..n.div_ceil(isa.panel) {
            let width = isa.panel.min(n - p * isa.panel);
            for (which, (block, weights)) in layer.blocks.iter().enumerate() {
                let walk = Walk {
                    lines: block.lines,
                    steps: block.row.count * k,
                    row: layer.map(),
                    col: 1,
                    line: layer.frame.width * k,
                    b: block.panel(k, isa.panel),
                };
                let length = walk.length() * isa.panel;
                let panel = &weights[p * length..(p + 1) * length];
                let from = layer.frame.at(1, y, &block.row, k) + x * k;
                let init = if which == 0 { Init::Row(b) } else { Init::Keep };
                for is in heights(0..count, isa.height) {
                    let a = &map[is.start * walk.row + from..];
                    let c = &mut out[is.start * n + p * isa.panel..];
                    debug_assert!(
                        (is.len() - 1) * walk.row + (walk.lines - 1) * walk.line + walk.steps <= a.len()
                    );
                    debug_assert!((is.len() - 1) * n + width <= c.len());
                    // SAFETY: each image's map holds its frame, and with it all that a tap reaches; `out` holds the rows.
                    unsafe {
                        let c = c.as_mut_ptr();
                        isa.kernels[is.len() - 1](
                            walk,
                            a.as_ptr(),
                            panel.as_ptr(),
                            init.from(p * isa.panel, c, n),
                            (c, n),
                            width,
                        );
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Causal, Taps, sigmoid};

    fn values(n: usize, salt: u32) -> Vec<f32> {
        let mix = |i: u32| (i.wrapping_add(salt).wrapping_mul(2_654_435_761)) >> 8;
        (0..n as u32).map(|i| mix(mix(i)) as f32 / 8_388_608.0 - 1.0).collect()
    }

    /// The same bits as one full pass per pixel, also when some pixels are given.
    #[test]
    fn equals_full_passes() {
        let of = Images { count: 17, extents: [5, 6], channels: 1 };
        let convs = [
            Conv { taps: Taps::causal(7, Causal::A, 1), inputs: 1, outputs: 35 },
            Conv { taps: Taps::causal(3, Causal::B, 1), inputs: 35, outputs: 9 },
            Conv { taps: Taps::full(1, 1, 0), inputs: 9, outputs: 1 },
        ];
        let weights: Vec<(Vec<f32>, Vec<f32>)> = convs
            .iter()
            .enumerate()
            .map(|(l, c)| (values(c.weights(), l as u32), values(c.outputs, 9 + l as u32)))
            .collect();
        let act = |l| if l < 2 { Activation::Relu } else { Activation::Identity };
        let layers: Vec<CausalLayer<'_>> = convs
            .iter()
            .zip(&weights)
            .enumerate()
            .map(|(l, (conv, (w, b)))| CausalLayer { conv, w, b, act: act(l) })
            .collect();
        let u: Vec<f32> = values(of.len(), 77).iter().map(|v| 0.5 * (v + 1.0)).collect();
        let bit = |at: usize, logit: f32| f32::from(u8::from(u[at] < sigmoid(logit)));
        for known in [0, 13] {
            let given: Vec<f32> =
                (0..of.len()).map(|i| f32::from(u8::from(i % 30 < known && i % 3 == 0))).collect();
            let mut fast = given.clone();
            sample_causal(&layers, of, known, &mut fast, &|image, place, out, values| {
                values[0] = bit(image * 30 + place, out[0]);
            });
            let mut slow = given;
            for place in known..30 {
                let mut h = slow.clone();
                for (l, c) in layers.iter().enumerate() {
                    let at = Images { channels: c.conv.inputs, ..of };
                    h = c.conv.forward(&h, at, c.w, c.b, act(l));
                }
                (0..17).for_each(|i| slow[i * 30 + place] = bit(i * 30 + place, h[i * 30 + place]));
            }
            assert!(fast == slow, "{known}");
            assert!(fast.iter().sum::<f32>() > 50.0, "something was drawn");
        }
    }
}
