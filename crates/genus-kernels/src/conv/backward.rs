//! The way back: gradients of input, weights and bias in one pass over each image.

use super::passes::SCRATCH;
use super::{Conv, ConvGrads, Frame, Images, Way};
use crate::crew;
use crate::gemm::{Init, heights};
use crate::isa::{Isa, Walk, isa};
use crate::linear::{Activation, slope};
use std::mem::MaybeUninit;
use std::sync::OnceLock;

/// The backward pass of a convolution.
pub(super) struct Backward<'a> {
    pub conv: &'a Conv,
    pub way: Way,
    pub large: Images,
    pub small: Images,
    pub act: Activation,
}

/// Weights of a job that adds up what others have summed.
const BLOCK: usize = 1 << 12;

/// Sums of a job: for weights and for bias.
type Sums = (Vec<f32>, Vec<f64>);

impl Backward<'_> {
    /// All of it image by image, while it is in the cache: `dy` is taken from behind the activation to before it and framed; from
    /// there it goes to the sums over pixels of what a tap sees times the output gradient, to that of the bias, and through the
    /// adjoint to the input.
    pub fn run(&self, x: &[f32], w: &[f32], y: &[f32], dy: &[f32], want: [bool; 2]) -> ConvGrads {
        let Self { conv, way, large, small, .. } = *self;
        let (of, out) = if way == Way::Down { (large, small) } else { (small, large) };
        assert_eq!(dy.len(), out.len(), "a gradient for every value of the result");
        let passes = want[0].then(|| match way {
            Way::Down => conv.scattering(w, large),
            Way::Up => conv.gathering(w, small),
        });
        let frame = match (&passes, way) {
            (Some(passes), _) => passes.frame(out),
            (None, Way::Down) => Frame::around(&[], 1, out, out.extents),
            (None, Way::Up) => Frame::around(conv.taps.list(), conv.taps.stride(), large, small.extents),
        };
        // The number of partial sums depends on the batch alone, so that threads do not show in the bits.
        let group = of.count.div_ceil(8).max(1);
        let jobs: Vec<OnceLock<Sums>> = (0..of.count.div_ceil(group)).map(|_| OnceLock::new()).collect();
        let each = if want[0] { of.each() } else { 0 };
        let piece = |job: usize, [dx]: [&mut [MaybeUninit<f32>]; 1]| {
            let (mut dw, mut db) =
                (vec![0.0; if want[1] { conv.weights() } else { 0 }], vec![0f64; out.channels]);
            SCRATCH.with_borrow_mut(|[framed, other, packed]| {
                for (i, image) in (job * group..of.count.min((job + 1) * group)).enumerate() {
                    let (x, at) = (&x[image * of.each()..][..of.each()], image * out.each());
                    frame.copy(&dy[at..at + out.each()], out, framed, |line, from| {
                        if self.act != Activation::Identity {
                            slope(line, &y[at + from..][..line.len()], self.act);
                        }
                    });
                    if want[1] {
                        self.add_sums(x, &frame, framed, [other, packed], (&mut dw, &mut db));
                    }
                    if let Some(passes) = &passes {
                        let dx = &mut dx[i * each..][..each];
                        passes.image(framed, &frame, out.channels, of, Init::Zero, dx);
                    }
                }
            });
            let fresh = jobs[job].set((dw, db));
            debug_assert!(fresh.is_ok(), "each job is done once");
        };
        // SAFETY: every image is written, if it is asked for; else there is nothing to write.
        let [dx] = unsafe { crew::make(of.count, [each], group, piece) };
        let all: Vec<Sums> = jobs.into_iter().filter_map(OnceLock::into_inner).collect();
        let sums = want[1].then(|| {
            let (mut dw, mut db) = (vec![0.0; conv.weights()], vec![0f64; out.channels]);
            crew::chunks([&mut dw], BLOCK, |i, [dw]| {
                for (w, _) in &all {
                    dw.iter_mut().zip(&w[i * BLOCK..]).for_each(|(s, v)| *s += v);
                }
            });
            for (_, b) in &all {
                db.iter_mut().zip(b).for_each(|(s, v)| *s += v);
            }
            conv.taps.apply(&mut dw, conv.inputs, conv.outputs);
            (dw, db.into_iter().map(|s| s as f32).collect())
        });
        let (w, b) = sums.unzip();
        ConvGrads { x: passes.map(|_| dx), w, b }
    }

    /// Adds what one image gives to the sums; `framed` holds the gradient of its result.
    fn add_sums(
        &self,
        x: &[f32],
        frame: &Frame,
        framed: &[f32],
        [other, packed]: [&mut Vec<f32>; 2],
        (dw, db): (&mut [f32], &mut [f64]),
    ) {
        let Self { conv, way, large, small, .. } = *self;
        let out = if way == Way::Down { small } else { large };
        for y in 0..out.extents[0] {
            let line = &framed[frame.pixel(y, 0, out.channels)..][..out.extents[1] * out.channels];
            for pixel in line.chunks_exact(out.channels) {
                db.iter_mut().zip(pixel).for_each(|(s, v)| *s += f64::from(*v));
            }
        }
        let [rows, cols] = small.extents;
        if rows * cols == 0 {
            return;
        }
        let isa = isa();
        let (k, n, stride) = (conv.inputs, conv.outputs, conv.taps.stride());
        let seen = Frame::around(conv.taps.list(), stride, large, small.extents);
        // The large side as taps see it, and the small side as panels: where it lies, if whole panels lie side by side.
        let a = if way == Way::Down { seen.fill(x, large, other) } else { framed };
        let (b, line) = match way {
            Way::Down => (&framed[frame.pixel(0, 0, n)..], frame.width * n),
            Way::Up => (x, cols * n),
        };
        let whole = n.is_multiple_of(isa.panel);
        let (b, [b_step, b_line], b_panel) = if whole {
            (b, [n, line], isa.panel)
        } else {
            by_panels(isa, b, [rows, cols], line, n, packed);
            (&packed[..], [isa.panel, cols * isa.panel], rows * cols * isa.panel)
        };
        let width = if way == Way::Down { seen.width } else { frame.width };
        let walk = Walk {
            lines: rows,
            steps: cols,
            row: 1,
            col: stride * k,
            line: stride * width * k,
            b: [b_step, b_line],
        };
        let frame = if way == Way::Down { &seen } else { frame };
        let mut at = 0;
        for row in conv.taps.list() {
            let from = frame.at(stride, 0, row, k);
            for is in heights(0..row.count * k, isa.height) {
                for p in 0..n.div_ceil(isa.panel) {
                    let width = isa.panel.min(n - p * isa.panel);
                    let c = &mut dw[at + is.start * n + p * isa.panel..][..(is.len() - 1) * n + width];
                    let b = &b[p * b_panel..];
                    let last = from + is.end + (rows - 1) * walk.line + (cols - 1) * walk.col;
                    assert!(from <= last && last <= a.len(), "what taps reach from these outputs");
                    assert!((rows - 1) * b_line + (cols - 1) * b_step + isa.panel <= b.len(), "whole panels");
                    // SAFETY: both were just checked, and `c` was cut to size.
                    unsafe {
                        isa.kernels[is.len() - 1](
                            walk,
                            a.as_ptr().add(from + is.start),
                            b.as_ptr(),
                            (c.as_ptr(), n),
                            (c.as_mut_ptr(), n),
                            width,
                        );
                    }
                }
            }
            at += row.count * k * n;
        }
    }
}

/// An image's pixels as panels `[panel][pixel][width]`, from lines of pixels that lie `line` apart.
fn by_panels(
    isa: &Isa,
    image: &[f32],
    [rows, cols]: [usize; 2],
    line: usize,
    n: usize,
    packed: &mut Vec<f32>,
) {
    let pixels = rows * cols;
    packed.clear();
    packed.resize(n.div_ceil(isa.panel) * pixels * isa.panel, 0.0);
    for (p, panel) in packed.chunks_exact_mut(pixels * isa.panel).enumerate() {
        let width = isa.panel.min(n - p * isa.panel);
        for (y, slots) in panel.chunks_exact_mut(cols * isa.panel).enumerate() {
            let pixels = image[y * line..][..cols * n].chunks_exact(n);
            for (slot, pixel) in slots.chunks_exact_mut(isa.panel).zip(pixels) {
                slot[..width].copy_from_slice(&pixel[p * isa.panel..][..width]);
            }
        }
    }
}
