//! Convolutions of images stored height × width × channels, and their adjoints, without unfolding the input.
//!
//! With the channels last, the inputs that one row of taps sees lie side by side in memory, and those of the next pixel begin
//! one stride further on. A row of taps is therefore one matrix product with overlapping rows: the tiles of
//! [`gemm`](crate::gemm) run over the image itself, padded once. Taps that a mask drops are not in the product.
//!
//! Three passes serve everything: *gather* (large image to small) is a convolution and the input gradient of a transposed one,
//! *scatter* (small to large) is a transposed convolution and the input gradient of a plain one, and both share the gradient of
//! the weights. Images are spread over threads; sums over images are taken in a fixed order.

use crate::gemm::{Init, heights};
use crate::isa::{Isa, Walk, isa, narrow};
use crate::linear::{Activation, activate, slope};
use crate::taps::TapBlock;
use crate::{TapRow, Taps, crew, unwritten};
use std::cell::RefCell;
use std::sync::{Mutex, OnceLock, PoisonError};

/// Extents of a batch of images.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Images {
    /// Number of images.
    pub count: usize,
    /// Height and width of each.
    pub extents: [usize; 2],
    /// Values per pixel.
    pub channels: usize,
}

impl Images {
    /// Values of one image.
    pub fn each(&self) -> usize {
        self.extents[0] * self.extents[1] * self.channels
    }

    /// Values of all.
    pub fn len(&self) -> usize {
        self.count * self.each()
    }

    /// True if there is nothing.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A convolution between images of `inputs` and of `outputs` channels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conv {
    /// Its taps.
    pub taps: Taps,
    /// Channels of the large side.
    pub inputs: usize,
    /// Channels of the small side.
    pub outputs: usize,
}

/// Gradients of a convolution.
#[derive(Debug)]
pub struct ConvGrads {
    /// With respect to the input, if it was asked for.
    pub x: Option<Vec<f32>>,
    /// With respect to the weights `[taps, inputs, outputs]`, likewise; zero where channel groups drop them.
    pub w: Option<Vec<f32>>,
    /// With respect to the bias, with the weights.
    pub b: Option<Vec<f32>>,
}

/// Which side of a convolution is the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// The small one: a convolution.
    Down,
    /// The large one: a transposed convolution.
    Up,
}

impl Conv {
    /// Number of weights.
    pub fn weights(&self) -> usize {
        self.taps.count() * self.inputs * self.outputs
    }

    fn small(&self, large: Images) -> Images {
        Images { extents: self.taps.output(large.extents), channels: self.outputs, ..large }
    }

    fn large(&self, small: Images) -> Images {
        Images { extents: self.taps.input(small.extents), channels: self.inputs, ..small }
    }

    /// f(conv(x, w) + b).
    ///
    /// # Shapes
    /// x as `of` says with `inputs` channels, w `[taps, inputs, outputs]`, b `[outputs]` → images of `outputs` channels
    pub fn forward(&self, x: &[f32], of: Images, w: &[f32], b: &[f32], act: Activation) -> Vec<f32> {
        self.check(x, of, self.inputs, w);
        self.gather(x, of, w, Some(b), act)
    }

    /// Gradients from `dy`; `y` is the result of [`forward`](Self::forward), which is looked at unless the activation is the
    /// identity. `want` asks for those of x, and of weights and bias.
    #[allow(clippy::too_many_arguments)] // the operands of the operation, one each
    pub fn backward(
        &self,
        x: &[f32],
        of: Images,
        w: &[f32],
        y: &[f32],
        dy: &[f32],
        act: Activation,
        want: [bool; 2],
    ) -> ConvGrads {
        self.check(x, of, self.inputs, w);
        Backward { conv: self, way: Way::Down, large: of, small: self.small(of), act }.run(x, w, y, dy, want)
    }

    /// f(convᵀ(x, w) + b), the adjoint of the convolution: from `outputs` channels to `inputs`.
    ///
    /// # Shapes
    /// x as `of` says with `outputs` channels, w `[taps, inputs, outputs]`, b `[inputs]` → images of `inputs` channels
    pub fn transposed_forward(
        &self,
        x: &[f32],
        of: Images,
        w: &[f32],
        b: &[f32],
        act: Activation,
    ) -> Vec<f32> {
        self.check(x, of, self.outputs, w);
        self.scatter(x, of, self.large(of), w, Some(b), act)
    }

    /// Gradients of [`transposed_forward`](Self::transposed_forward), as [`backward`](Self::backward).
    #[allow(clippy::too_many_arguments)]
    pub fn transposed_backward(
        &self,
        x: &[f32],
        of: Images,
        w: &[f32],
        y: &[f32],
        dy: &[f32],
        act: Activation,
        want: [bool; 2],
    ) -> ConvGrads {
        self.check(x, of, self.outputs, w);
        Backward { conv: self, way: Way::Up, large: self.large(of), small: of, act }.run(x, w, y, dy, want)
    }

    fn check(&self, x: &[f32], of: Images, channels: usize, w: &[f32]) {
        assert_eq!(of.channels, channels, "channels of the input");
        assert_eq!(x.len(), of.len(), "values of the input");
        assert_eq!(w.len(), self.weights(), "weights");
    }

    fn gather(&self, x: &[f32], of: Images, w: &[f32], b: Option<&[f32]>, act: Activation) -> Vec<f32> {
        run(x, of, &self.gathering(w, self.small(of)), self.small(of), b, act)
    }

    /// From a large image to a small one.
    fn gathering(&self, w: &[f32], small: Images) -> Passes {
        let isa = tiles(self.outputs);
        let pass = Pass {
            blocks: packed_blocks(isa, self, w),
            stride: self.taps.stride(),
            step: 1,
            phase: [0, 0],
            extents: small.extents,
        };
        Passes { isa, list: vec![pass] }
    }

    #[allow(clippy::too_many_arguments)]
    fn scatter(
        &self,
        x: &[f32],
        of: Images,
        large: Images,
        w: &[f32],
        b: Option<&[f32]>,
        act: Activation,
    ) -> Vec<f32> {
        run(x, of, &self.scattering(w, large), large, b, act)
    }

    /// From a small image to a large one.
    fn scattering(&self, w: &[f32], large: Images) -> Passes {
        let isa = tiles(self.inputs);
        let s = self.taps.stride() as isize;
        // Output pixels with the same remainder by the stride see the same taps, each by a convolution of stride 1.
        let list = (0..s * s)
            .map(|phase| {
                let (py, px) = (phase / s, phase % s);
                let mut at = 0;
                let mut rows = Vec::new();
                // For each row the taps that are seen, in the order of the input.
                let mut taps: Vec<usize> = Vec::new();
                for row in self.taps.list() {
                    let first = at;
                    at += row.count;
                    // Input offsets fall as taps rise: the last tap comes first.
                    let seen =
                        (0..row.count).rev().filter(|t| (px - row.dx - *t as isize).rem_euclid(s) == 0);
                    let seen: Vec<usize> = seen.collect();
                    if (py - row.dy).rem_euclid(s) != 0 || seen.is_empty() {
                        continue;
                    }
                    rows.push(TapRow {
                        dy: (py - row.dy).div_euclid(s),
                        dx: (px - row.dx - seen[0] as isize).div_euclid(s),
                        count: seen.len(),
                    });
                    taps.splice(0..0, seen.into_iter().map(|t| first + t));
                }
                // Likewise from row to row: the last one comes first.
                rows.reverse();
                let mut at = 0;
                let blocks = TapBlock::of(&rows, self.outputs).into_iter().map(|block| {
                    let taps = &taps[at..at + block.count()];
                    at += block.count();
                    let weight = |k: usize, j: usize| {
                        let (tap, o) = (taps[k / self.outputs], k % self.outputs);
                        w[(tap * self.inputs + j) * self.outputs + o]
                    };
                    (block, pack(isa, taps.len() * self.outputs, self.inputs, weight))
                });
                let blocks = blocks.collect();
                let here = |n: usize, p: isize| n.saturating_sub(p as usize).div_ceil(s as usize);
                let extents = [here(large.extents[0], py), here(large.extents[1], px)];
                Pass { blocks, stride: 1, step: s as usize, phase: [py as usize, px as usize], extents }
            })
            .collect();
        Passes { isa, list }
    }
}

/// The backward pass of a convolution.
struct Backward<'a> {
    conv: &'a Conv,
    way: Way,
    large: Images,
    small: Images,
    act: Activation,
}

/// Sums of a job: for weights and for bias.
type Sums = (Vec<f32>, Vec<f32>);

impl Backward<'_> {
    /// All of it image by image, while it is in the cache: `dy` is taken from behind the activation to before it and framed; from
    /// there it goes to the sums over pixels of what a tap sees times the output gradient, to that of the bias, and through the
    /// adjoint to the input.
    fn run(&self, x: &[f32], w: &[f32], y: &[f32], dy: &[f32], want: [bool; 2]) -> ConvGrads {
        let Self { conv, way, large, small, .. } = *self;
        let (of, out) = if way == Way::Down { (large, small) } else { (small, large) };
        assert_eq!(dy.len(), out.len(), "a gradient for every value of the result");
        let passes = if way == Way::Down { conv.scattering(w, large) } else { conv.gathering(w, small) };
        let frame = passes.frame(out);
        // The number of partial sums depends on the batch alone, so that threads do not show in the bits.
        let group = of.count.div_ceil(8).max(1);
        // SAFETY: every image is written.
        let mut dx = if want[0] { unsafe { unwritten(of.len()) } } else { Vec::new() };
        let mut pieces = dx.chunks_mut((group * of.each()).max(1));
        let jobs: Vec<(Mutex<&mut [f32]>, OnceLock<Sums>)> = (0..of.count.div_ceil(group))
            .map(|_| (Mutex::new(pieces.next().unwrap_or_default()), OnceLock::new()))
            .collect();
        crew::each(jobs.len(), &|job| {
            let (piece, sums) = &jobs[job];
            let mut piece = piece.lock().unwrap_or_else(PoisonError::into_inner);
            let (mut dw, mut db) =
                (vec![0.0; if want[1] { conv.weights() } else { 0 }], vec![0.0; out.channels]);
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
                    if want[0] {
                        let dx = &mut piece[i * of.each()..][..of.each()];
                        passes.image(framed, &frame, out.channels, of, Init::Zero, dx);
                    }
                }
            });
            let fresh = sums.set((dw, db));
            debug_assert!(fresh.is_ok(), "each job is done once");
        });
        let all: Vec<Sums> = jobs.into_iter().filter_map(|(_, sums)| sums.into_inner()).collect();
        let sums = want[1].then(|| {
            let (mut dw, mut db) = (vec![0.0; conv.weights()], vec![0.0; out.channels]);
            for (w, b) in all {
                dw.iter_mut().zip(w).for_each(|(s, v)| *s += v);
                db.iter_mut().zip(b).for_each(|(s, v)| *s += v);
            }
            conv.taps.apply(&mut dw, conv.inputs, conv.outputs);
            (dw, db)
        });
        let (w, b) = sums.unzip();
        ConvGrads { x: want[0].then_some(dx), w, b }
    }

    /// Adds what one image gives to the sums; `framed` holds the gradient of its result.
    fn add_sums(
        &self,
        x: &[f32],
        frame: &Frame,
        framed: &[f32],
        [other, packed]: [&mut Vec<f32>; 2],
        (dw, db): (&mut [f32], &mut [f32]),
    ) {
        let Self { conv, way, large, small, .. } = *self;
        let out = if way == Way::Down { small } else { large };
        for y in 0..out.extents[0] {
            let line = &framed[frame.pixel(y, 0, out.channels)..][..out.extents[1] * out.channels];
            for pixel in line.chunks_exact(out.channels) {
                db.iter_mut().zip(pixel).for_each(|(s, v)| *s += v);
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
                    debug_assert!(
                        from + is.end - 1 + (rows - 1) * walk.line + (cols - 1) * walk.col < a.len()
                    );
                    debug_assert!((rows - 1) * b_line + (cols - 1) * b_step + isa.panel <= b.len());
                    // SAFETY: `a` holds all that a tap reaches from these outputs, `b` whole panels of them; `c` was cut to size.
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

thread_local! {
    /// Two framed images, and a repacked one; kept, because allocating them anew for each image costs page faults.
    static SCRATCH: RefCell<[Vec<f32>; 3]> = const { RefCell::new([Vec::new(), Vec::new(), Vec::new()]) };
}

/// Convolutions that give an image together.
struct Passes {
    isa: &'static Isa,
    list: Vec<Pass>,
}

/// One convolution of stride `stride` whose outputs go to every `step`-th pixel from `phase` on.
struct Pass {
    blocks: Vec<(TapBlock, Vec<f32>)>,
    stride: usize,
    step: usize,
    phase: [usize; 2],
    /// Number of output rows and columns.
    extents: [usize; 2],
}

/// The tiles for results of so many channels.
pub(crate) fn tiles(channels: usize) -> &'static Isa {
    if channels == 1 { narrow() } else { isa() }
}

/// The blocks of taps of a convolution with their weights as panels.
pub(crate) fn packed_blocks(isa: &Isa, conv: &Conv, w: &[f32]) -> Vec<(TapBlock, Vec<f32>)> {
    let (k, n) = (conv.inputs, conv.outputs);
    let mut at = 0;
    let blocks = TapBlock::of(conv.taps.list(), k).into_iter().map(|block| {
        let from = at;
        at += block.count() * k * n;
        (block, pack(isa, block.count() * k, n, |l, j| w[from + l * n + j]))
    });
    blocks.collect()
}

/// Weights of one block of taps as panels `[panel][k][width]`.
pub(crate) fn pack(isa: &Isa, k: usize, n: usize, weight: impl Fn(usize, usize) -> f32) -> Vec<f32> {
    let mut packed = vec![0.0; n.div_ceil(isa.panel) * k * isa.panel];
    for (i, slot) in packed.chunks_exact_mut(isa.panel).enumerate() {
        let (j0, l) = (i / k * isa.panel, i % k);
        for (j, v) in slot.iter_mut().enumerate().take(n - j0) {
            *v = weight(l, j0 + j);
        }
    }
    packed
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

/// The zeros around an image that some taps reach into.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Frame {
    top: usize,
    left: usize,
    pub height: usize,
    pub width: usize,
}

impl Frame {
    /// Around images `of` for outputs of these extents.
    pub fn around(rows: &[TapRow], stride: usize, of: Images, outputs: [usize; 2]) -> Self {
        let low = |first: isize| (-first).max(0) as usize;
        let top = low(rows.iter().map(|r| r.dy).min().unwrap_or(0));
        let left = low(rows.iter().map(|r| r.dx).min().unwrap_or(0));
        let last = |n: usize| (n.max(1) - 1) as isize * stride as isize;
        let high = |reach: Option<isize>, n: usize, out: usize| {
            (reach.unwrap_or(0) + last(out) + 1).max(n as isize) as usize
        };
        let bottom = high(rows.iter().map(|r| r.dy).max(), of.extents[0], outputs[0]);
        let right = high(rows.iter().map(|r| r.dx + r.count as isize - 1).max(), of.extents[1], outputs[1]);
        Self { top, left, height: top + bottom, width: left + right }
    }

    /// The image with its frame.
    fn fill<'a>(&self, image: &'a [f32], of: Images, padded: &'a mut Vec<f32>) -> &'a [f32] {
        if [self.height, self.width] == of.extents {
            return image;
        }
        self.copy(image, of, padded, |_, _| {});
        padded
    }

    /// The image with its frame; `change` is given each line and where it begins in the image.
    fn copy(&self, image: &[f32], of: Images, padded: &mut Vec<f32>, change: impl Fn(&mut [f32], usize)) {
        let ([h, w], c) = (of.extents, of.channels);
        padded.resize(self.height * self.width * c, 0.0);
        let (left, right) = (self.left * c, (self.left + w) * c);
        for (y, line) in padded.chunks_exact_mut(self.width * c).enumerate() {
            match y.checked_sub(self.top).filter(|y| *y < h) {
                Some(y) => {
                    let at = y * w * c;
                    line[..left].fill(0.0);
                    line[left..right].copy_from_slice(&image[at..at + w * c]);
                    change(&mut line[left..right], at);
                    line[right..].fill(0.0);
                }
                None => line.fill(0.0),
            }
        }
    }

    /// Position of the values of pixel (y, x).
    pub fn pixel(&self, y: usize, x: usize, channels: usize) -> usize {
        ((y + self.top) * self.width + self.left + x) * channels
    }

    /// Position of the first value that output (y, 0) sees through `row`.
    pub fn at(&self, stride: usize, y: usize, row: &TapRow, channels: usize) -> usize {
        let line = (y * stride + self.top) as isize + row.dy;
        (line as usize * self.width + (self.left as isize + row.dx) as usize) * channels
    }
}

/// y = f(Σ passes + b), image by image.
fn run(x: &[f32], of: Images, passes: &Passes, out: Images, b: Option<&[f32]>, act: Activation) -> Vec<f32> {
    // SAFETY: every image is written.
    let mut y = unsafe { unwritten(out.len()) };
    let frame = passes.frame(of);
    crew::chunks([&mut y], out.each().max(1), |i, [y]| {
        let x = &x[i * of.each()..][..of.each()];
        SCRATCH.with_borrow_mut(|[padded, ..]| {
            let x = frame.fill(x, of, padded);
            passes.image(x, &frame, of.channels, out, b.map_or(Init::Zero, Init::Row), y);
        });
        activate(y, act);
    });
    y
}

impl Passes {
    /// The frame of images `of` that all of them need.
    fn frame(&self, of: Images) -> Frame {
        let rows: Vec<TapRow> =
            self.list.iter().flat_map(|p| p.blocks.iter()).flat_map(|(b, _)| b.rows()).collect();
        let most = |i: usize| self.list.iter().map(|p| p.extents[i]).max().unwrap_or(0);
        Frame::around(&rows, self.list.first().map_or(1, |p| p.stride), of, [most(0), most(1)])
    }

    /// One image, from the framed one of `channels`; what is there in `y` is not read.
    fn image(&self, x: &[f32], frame: &Frame, channels: usize, out: Images, init: Init<'_>, y: &mut [f32]) {
        if self.list.iter().any(|p| p.blocks.is_empty()) {
            match init {
                Init::Row(b) => y.chunks_exact_mut(out.channels).for_each(|pixel| pixel.copy_from_slice(b)),
                _ => y.fill(0.0),
            }
        }
        self.list.iter().for_each(|pass| image(self.isa, x, frame, channels, pass, out, init, y));
    }
}

/// One pass to one image.
#[allow(clippy::too_many_arguments)]
fn image(
    isa: &Isa,
    x: &[f32],
    frame: &Frame,
    channels: usize,
    pass: &Pass,
    out: Images,
    init: Init<'_>,
    y: &mut [f32],
) {
    let n = out.channels;
    let [rows, cols] = pass.extents;
    let row_of = |p: usize, which: usize, r: usize, y: &mut [f32]| {
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
            debug_assert!(last <= x.len());
            debug_assert!(to + (xs.len() - 1) * pass.step * n + width <= y.len());
            // SAFETY: the frame holds every input that a tap reaches from these pixels; rows of C are pixels.
            unsafe {
                let c = y.as_mut_ptr().add(to);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Causal;
    use proptest::prelude::*;

    fn values(n: usize, salt: u64) -> Vec<f32> {
        let mut state = salt.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        (0..n)
            .map(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                (state >> 40) as f32 / 8_388_608.0 - 1.0
            })
            .collect()
    }

    /// The definition, pixel by pixel in f64: y[o] = Σ x[s·o + tap] w[tap], zeros outside.
    fn definition(conv: &Conv, x: &[f32], of: Images, w: &[f32], b: &[f32]) -> Vec<f64> {
        let out = conv.small(of);
        let mut y = Vec::new();
        for i in 0..of.count {
            for oy in 0..out.extents[0] {
                for ox in 0..out.extents[1] {
                    for o in 0..conv.outputs {
                        let mut sum = f64::from(b[o]);
                        let mut tap = 0;
                        for row in conv.taps.list() {
                            for t in 0..row.count {
                                let iy = (oy * conv.taps.stride()) as isize + row.dy;
                                let ix = (ox * conv.taps.stride() + t) as isize + row.dx;
                                let inside = iy >= 0
                                    && ix >= 0
                                    && (iy as usize) < of.extents[0]
                                    && (ix as usize) < of.extents[1];
                                for c in 0..conv.inputs {
                                    if inside {
                                        let px =
                                            (i * of.extents[0] + iy as usize) * of.extents[1] + ix as usize;
                                        sum += f64::from(x[px * conv.inputs + c])
                                            * f64::from(w[(tap * conv.inputs + c) * conv.outputs + o]);
                                    }
                                }
                                tap += 1;
                            }
                        }
                        y.push(sum);
                    }
                }
            }
        }
        y
    }

    fn dot(a: &[f32], b: &[f32]) -> f64 {
        a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
    }

    fn taps(which: usize) -> Taps {
        match which {
            0 => Taps::causal(3, Causal::A, 1),
            1 => Taps::causal(3, Causal::B, 1),
            2 => Taps::causal(7, Causal::A, 1),
            3 => Taps::full(3, 1, 1),
            4 => Taps::full(4, 2, 1),
            5 => Taps::full(5, 3, 0),
            6 => Taps::full(1, 1, 0),
            _ => Taps::rows(vec![TapRow { dy: -2, dx: -1, count: 3 }, TapRow { dy: 1, dx: 2, count: 1 }]),
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60))]
        /// Forward against the definition; every gradient and the transposed convolution against it by adjointness, which for
        /// a map that is linear in each argument says all: <A x, y> = <x, Aᵀ y>, for x and for w.
        #[test]
        fn any_shape(which in 0usize..8, count in 1usize..11, height in 5usize..17, width in 5usize..33, inputs in 1usize..40, outputs in 1usize..70, seed: u64) {
            let conv = Conv { taps: taps(which), inputs, outputs };
            let of = Images { count, extents: [height, width], channels: inputs };
            let (x, w, b) = (values(of.len(), seed), values(conv.weights(), seed ^ 1), values(outputs, seed ^ 2));
            let y = conv.forward(&x, of, &w, &b, Activation::Identity);
            let want = definition(&conv, &x, of, &w, &b);
            prop_assert_eq!(y.len(), want.len());
            let tolerance = 1e-6 * (conv.weights() as f64 / outputs as f64).max(10.0);
            for (y, want) in y.iter().zip(&want) {
                prop_assert!((f64::from(*y) - want).abs() < tolerance, "{} {}", y, want);
            }
            let zero = vec![0.0; outputs];
            let linear = conv.forward(&x, of, &w, &zero, Activation::Identity);
            let dy = values(y.len(), seed ^ 3);
            let g = conv.backward(&x, of, &w, &y, &dy, Activation::Identity, [true; 2]);
            let (dw, db) = (g.w.as_deref().unwrap_or(&[]), g.b.as_deref().unwrap_or(&[]));
            let size = (y.len() as f64).sqrt() * tolerance * 4.0;
            let inner = dot(&linear, &dy);
            prop_assert!((inner - dot(&x, g.x.as_deref().unwrap_or(&[]))).abs() < size);
            prop_assert!((inner - dot(&w, dw)).abs() < size);
            prop_assert_eq!(db.len(), outputs);
            for (o, db) in db.iter().enumerate() {
                let want: f64 = dy.iter().skip(o).step_by(outputs).map(|v| f64::from(*v)).sum();
                prop_assert!((f64::from(*db) - want).abs() < 1e-4 * (1.0 + want.abs()));
            }
            let small = conv.small(of);
            let large = conv.large(small);
            // The smallest input of that output: the input itself, unless the stride left some of it unseen.
            let up = conv.transposed_forward(&dy, small, &w, &vec![0.0; inputs], Activation::Identity);
            prop_assert_eq!(up.len(), large.len());
            let x2 = values(large.len(), seed ^ 4);
            let down = conv.forward(&x2, large, &w, &zero, Activation::Identity);
            let inner = dot(&down, &dy);
            prop_assert!((inner - dot(&x2, &up)).abs() < size);
            let t = conv.transposed_backward(&dy, small, &w, &up, &x2, Activation::Identity, [true; 2]);
            prop_assert!((inner - dot(&dy, t.x.as_deref().unwrap_or(&[]))).abs() < size);
            prop_assert!((inner - dot(&w, t.w.as_deref().unwrap_or(&[]))).abs() < size);
        }
    }

    #[test]
    fn masks_keep_the_taps_that_they_should() {
        assert_eq!(Taps::causal(7, Causal::A, 1).count(), 24);
        assert_eq!(Taps::causal(3, Causal::B, 1).count(), 5);
        assert_eq!(Taps::causal(1, Causal::A, 3).count(), 1);
        // 6 channels in 3 groups of 2: A lets a group see the earlier ones, B its own as well.
        for (kind, kept) in [(Causal::A, 12.0), (Causal::B, 24.0)] {
            let t = Taps::causal(1, kind, 3);
            let mut w = vec![1.0; 36];
            t.apply(&mut w, 6, 6);
            assert_eq!(w.iter().sum::<f32>(), kept);
            assert_eq!(w[4 * 6 + 1], 0.0, "blue must not reach red");
        }
    }

    #[test]
    fn transposed_extents() {
        let t = Taps::full(4, 2, 1);
        assert_eq!(t.output([28, 28]), [14, 14]);
        assert_eq!(t.input([14, 14]), [28, 28]);
        assert_eq!(Taps::causal(7, Causal::A, 1).output([28, 30]), [28, 30]);
    }

    #[test]
    fn same_bits_at_any_thread_count() {
        let conv = Conv { taps: Taps::causal(3, Causal::B, 1), inputs: 8, outputs: 8 };
        let of = Images { count: 13, extents: [9, 11], channels: 8 };
        let (x, w, b) = (values(of.len(), 1), values(conv.weights(), 2), values(8, 3));
        let run = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let y = conv.forward(&x, of, &w, &b, Activation::Relu);
                let g = conv.backward(&x, of, &w, &y, &values(y.len(), 4), Activation::Relu, [true; 2]);
                (y, g.x, g.w, g.b)
            })
        };
        let one = run(1);
        assert!(one == run(2) && one == run(3));
    }
}
