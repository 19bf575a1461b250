//! Tiles over images: what forward and backward pass share.

use super::{Conv, Frame, Images};
use crate::gemm::{Init, heights};
use crate::isa::{Isa, Walk, isa, narrow};
use crate::linear::{Activation, activate};
use crate::taps::TapBlock;
use crate::{TapRow, crew};
use std::cell::RefCell;
use std::mem::MaybeUninit;

thread_local! {
    /// Two framed images, and a repacked one; kept, because allocating them anew for each image costs page faults.
    pub(super) static SCRATCH: RefCell<[Vec<f32>; 3]> = const { RefCell::new([Vec::new(), Vec::new(), Vec::new()]) };
}

/// Convolutions that give an image together.
pub(super) struct Passes {
    pub isa: &'static Isa,
    pub list: Vec<Pass>,
}

/// One convolution of stride `stride` whose outputs go to every `step`-th pixel from `phase` on.
pub(super) struct Pass {
    pub blocks: Vec<(TapBlock, Vec<f32>)>,
    pub stride: usize,
    pub step: usize,
    pub phase: [usize; 2],
    /// Number of output rows and columns.
    pub extents: [usize; 2],
}

/// The tiles for results of so many channels.
pub(crate) fn tiles(channels: usize) -> &'static Isa {
    if channels == 1 { narrow() } else { isa() }
}

/// The blocks of taps of a convolution with their weights as panels.
pub(crate) fn packed_blocks(isa: &Isa, conv: &Conv, w: &[f32]) -> Vec<(TapBlock, Vec<f32>)> {
    let (k, n) = (conv.inputs, conv.outputs);
    let mut at = 0;
    let blocks = TapBlock::from_rows(conv.taps.list(), k).into_iter().map(|block| {
        let from = at;
        at += block.count() * k * n;
        (block, pack(isa, block.count() * k, n, |l, j| w[from + l * n + j]))
    });
    blocks.collect()
}

/// Weights of one block of taps as panels `[panel][k][width]`.
pub(crate) fn pack(isa: &Isa, k: usize, n: usize, weight: impl Fn(usize, usize) -> f32 + Sync) -> Vec<f32> {
    let piece = |job: usize, [slots]: [&mut [MaybeUninit<f32>]; 1]| {
        for (i, slot) in slots.chunks_exact_mut(isa.panel).enumerate() {
            let (j0, l) = ((job * 64 + i) / k * isa.panel, (job * 64 + i) % k);
            for (j, v) in slot.iter_mut().enumerate() {
                v.write(if j0 + j < n { weight(l, j0 + j) } else { 0.0 });
            }
        }
    };
    // SAFETY: every slot of every panel is written.
    let [packed] = unsafe { crew::make(n.div_ceil(isa.panel) * k, [isa.panel], 64, piece) };
    packed
}

/// y = f(Σ passes + b), image by image.
pub(super) fn run(
    x: &[f32],
    of: Images,
    passes: &Passes,
    out: Images,
    b: Option<&[f32]>,
    act: Activation,
) -> Vec<f32> {
    assert!(b.is_none_or(|b| b.len() == out.channels), "a bias of {} channels", out.channels);
    let frame = passes.frame(of);
    let piece = |i: usize, [y]: [&mut [MaybeUninit<f32>]; 1]| {
        let x = &x[i * of.each()..][..of.each()];
        let y = SCRATCH.with_borrow_mut(|[padded, ..]| {
            let x = frame.fill(x, of, padded);
            passes.image(x, &frame, of.channels, out, b.map_or(Init::Zero, Init::Row), y)
        });
        activate(y, act);
    };
    // SAFETY: every image is written.
    let [y] = unsafe { crew::make(out.count, [out.each()], 1, piece) };
    y
}

impl Passes {
    /// The frame of images `of` that all of them need.
    pub fn frame(&self, of: Images) -> Frame {
        let rows: Vec<TapRow> =
            self.list.iter().flat_map(|p| p.blocks.iter()).flat_map(|(b, _)| b.rows()).collect();
        let most = |i: usize| self.list.iter().map(|p| p.extents[i]).max().unwrap_or(0);
        Frame::around(&rows, self.list.first().map_or(1, |p| p.stride), of, [most(0), most(1)])
    }

    /// One image, from the framed one of `channels`; all of `y` is written.
    pub fn image<'y>(
        &self,
        x: &[f32],
        frame: &Frame,
        channels: usize,
        out: Images,
        init: Init<'_>,
        y: &'y mut [MaybeUninit<f32>],
    ) -> &'y mut [f32] {
        assert!(y.len() == out.each() && !matches!(init, Init::Keep), "a new image");
        let places = |p: &Pass| p.extents[0] * p.extents[1];
        assert_eq!(
            self.list.iter().map(places).sum::<usize>(),
            out.extents[0] * out.extents[1],
            "all pixels"
        );
        if self.list.iter().any(|p| p.blocks.is_empty()) {
            match init {
                Init::Row(b) => y.chunks_exact_mut(out.channels).for_each(|pixel| {
                    pixel.write_copy_of_slice(b);
                }),
                _ => y.fill(MaybeUninit::new(0.0)),
            }
        }
        self.list.iter().for_each(|pass| image(self.isa, x, frame, channels, pass, out, init, y));
        // SAFETY: each pixel is in one pass, whose first block begins with `init`, or there is a pass without blocks, and all was
        // filled.
        unsafe { y.assume_init_mut() }
    }
}

/// One pass to one image: all of its pixels, unless it has no blocks.
#[allow(clippy::too_many_arguments)]
fn image(
    isa: &Isa,
    x: &[f32],
    frame: &Frame,
    channels: usize,
    pass: &Pass,
    out: Images,
    init: Init<'_>,
    y: &mut [MaybeUninit<f32>],
) {
    let n = out.channels;
    let [rows, cols] = pass.extents;
    let row_of = |p: usize, which: usize, r: usize, y: &mut [MaybeUninit<f32>]| {
        let (block, weights) = &pass.blocks[which];
        let walk = Walk {
            lines: block.lines,
            steps: block.row.count * channels,
            row: pass.stride * channels,
            col: 1,
            line: frame.width * channels,
            b: block.panel(channels, isa.panel),
        };
        let length = walk.length() * isa.panel;
        let panel = &weights[p * length..(p + 1) * length];
        let width = isa.panel.min(n - p * isa.panel);
        let line = (r * pass.step + pass.phase[0]) * out.extents[1] + pass.phase[1];
        let from = frame.at(pass.stride, r, &block.row, channels);
        let init = if which == 0 { init } else { Init::Keep };
        for xs in heights(0..cols, isa.height) {
            let to = (line + xs.start * pass.step) * n + p * isa.panel;
            // The last value that the tile reads and the last that it writes.
            let last = from + (xs.end - 1) * walk.row + (walk.lines - 1) * walk.line + walk.steps;
            assert!(from <= last && last <= x.len(), "the frame holds what taps reach");
            assert!(to + (xs.len() - 1) * pass.step * n + width <= y.len(), "pixels of the image");
            // SAFETY: both were just checked; rows of C are pixels, which do not overlap, and are there if they are kept, as the
            // first block has written them.
            unsafe {
                let c = y.as_mut_ptr().cast::<f32>().add(to);
                isa.kernels[xs.len() - 1](
                    walk,
                    x.as_ptr().add(from + xs.start * walk.row),
                    panel.as_ptr(),
                    init.from(p * isa.panel, c, pass.step * n),
                    (c, pass.step * n),
                    width,
                );
            }
        }
    };
    let blocks = pass.blocks.len();
    // Weights that do not stay in the first-level cache together, and serve few pixels of a row, are taken block by block over
    // the whole image.
    let small = cols >= 24 || pass.blocks.iter().map(|(b, _)| b.count()).sum::<usize>() * channels <= 256;
    for p in 0..n.div_ceil(isa.panel) {
        if small {
            (0..rows).for_each(|r| (0..blocks).for_each(|which| row_of(p, which, r, y)));
        } else {
            (0..blocks).for_each(|which| (0..rows).for_each(|r| row_of(p, which, r, y)));
        }
    }
}
