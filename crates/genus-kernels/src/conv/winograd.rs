//! The convolution of 4 × 4 taps and stride 2 by fewer products (Winograd 1980; for networks Lavin & Gray 2016).
//!
//! Along an axis, with d¹ and d² the pixels of odd and of even places, y_o = Σ_q w_q d^q_o + w_{2+q} d^q_{o+1}: the sum of two
//! convolutions of two taps g. s outputs of one of these are the coefficients of a product of polynomials, transposed (Toom 1963,
//! Cook 1966): y = Aᵀ [(G g) ⊙ (Bᵀ d)], where A and G evaluate polynomials of degree s − 1 and 1 at s + 1 of the points 0, ∞, 1, −1, and
//! B finds the coefficients of one of degree s by its values there. These are s + 1 products instead of 2s. Tiles of 3 outputs, and of 2 where
//! 3 do not fit, cover the image: 7 outputs take 10 products instead of 14, and 7 × 7 take 100 instead of 196.
//!
//! What is multiplied by the same G g in all tiles and images is one matrix: there are 16 matrix products, one for each pair of points,
//! with sums and differences of pixels on both sides. As every step is linear, the adjoints are those of the steps.

use super::{Conv, ConvGrads, Images, Way};
use crate::Taps;
use crate::crew;
use crate::gemm::{Init, Limits, Mat, Product, gemm};
use crate::isa::isa;
use crate::linear::{Activation, activate, slope};
use crate::multiversion;
use std::array::from_fn;
use std::cell::RefCell;
use std::mem::MaybeUninit;

/// Points of an axis: 0, ∞, 1, −1.
const POINTS: usize = 4;
/// Pairs of points.
const PAIRS: usize = POINTS * POINTS;
/// What a tap is multiplied by at each point: G.
const TAPS: [[f32; 2]; POINTS] = [[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [1.0, -1.0]];
/// A polynomial of `s` coefficients at each point: A of s = 1, 2, 3.
const VALUES: [&[&[f32]]; 3] = [
    &[&[1.0], &[1.0]],
    &[&[1.0, 0.0], &[0.0, 1.0], &[1.0, 1.0]],
    &[&[1.0, 0.0, 0.0], &[0.0, 0.0, 1.0], &[1.0, 1.0, 1.0], &[1.0, -1.0, 1.0]],
];
/// What pixel i of a tile gives to each point: Bᵀ of s = 1, 2, 3.
const PIXELS: [&[&[f32]]; 3] = [
    &[&[1.0, 0.0], &[0.0, 1.0]],
    &[&[1.0, -1.0, 0.0], &[0.0, -1.0, 1.0], &[0.0, 1.0, 0.0]],
    &[&[1.0, 0.0, -1.0, 0.0], &[0.0, -1.0, 0.0, 1.0], &[0.0, 0.5, 0.5, 0.0], &[0.0, -0.5, 0.5, 0.0]],
];
/// Most outputs of a tile.
const LARGEST: usize = 3;
/// Images whose sums and differences are there at once.
const CHUNK: usize = 64;
/// Fewest channels of either side for which sums and differences cost less than the products that they spare.
const LEAST: usize = 32;

/// A sparse matrix: for each row the columns that are not zero.
type Rows = Vec<Vec<(usize, f32)>>;

fn transposed(of: &Rows, columns: usize) -> Rows {
    let mut rows = vec![Vec::new(); columns];
    for (r, row) in of.iter().enumerate() {
        row.iter().for_each(|(c, v)| rows[*c].push((r, *v)));
    }
    rows
}

/// An axis of images on one side of the convolution: what is made of its pixels, and the adjoint.
struct Axis {
    /// For each phase and slot the pixels that go there.
    apart: Rows,
    /// For each pixel the phases and slots that it comes from.
    together: Rows,
    /// Point and tile of each slot: a tile has one for each of its points.
    slots: Vec<[usize; 2]>,
    /// Tiles that have each point.
    tiles: [usize; POINTS],
}

/// Outputs of each tile, the largest first.
fn tiles(outputs: usize) -> Vec<usize> {
    // A tile of one output spares nothing: 4 are two and two.
    let twos = match outputs % LARGEST {
        1 if outputs > LARGEST => 2,
        rest => usize::from(rest > 0),
    };
    let mut tiles = vec![LARGEST; (outputs.saturating_sub(2 * twos)) / LARGEST];
    let left = outputs - LARGEST * tiles.len();
    tiles.extend((0..twos).map(|_| left / twos));
    tiles
}

impl Axis {
    /// Of so many outputs, seen from pixels of the large side, of which there are so many, or from the outputs themselves.
    fn new(outputs: usize, large: Option<usize>) -> Self {
        let sizes = tiles(outputs);
        let mut slots: Vec<[usize; 2]> =
            sizes.iter().enumerate().flat_map(|(t, s)| (0..=*s).map(move |p| [p, t])).collect();
        slots.sort_unstable();
        let first: Vec<usize> = (0..sizes.len()).map(|t| sizes[..t].iter().sum()).collect();
        let phases = if large.is_some() { 2 } else { 1 };
        let row = |phase: usize, [point, tile]: [usize; 2]| -> Vec<(usize, f32)> {
            let terms = match large {
                Some(_) => PIXELS[sizes[tile] - 1][point],
                None => VALUES[sizes[tile] - 1][point],
            };
            let place = |i: usize| match large {
                // Pixel −1 is a zero, and so may those past the end be.
                Some(n) => (2 * (first[tile] + i) + phase).checked_sub(1).filter(|at| *at < n),
                None => Some(first[tile] + i),
            };
            let terms = terms.iter().enumerate().filter(|(_, v)| **v != 0.0);
            terms.filter_map(|(i, v)| Some((place(i)?, *v))).collect()
        };
        let apart: Rows =
            (0..phases).flat_map(|q| slots.iter().map(move |s| (q, *s))).map(|(q, s)| row(q, s)).collect();
        let together = transposed(&apart, large.unwrap_or(outputs));
        let tiles = from_fn(|p| slots.iter().filter(|s| s[0] == p).count());
        Self { apart, together, slots, tiles }
    }

    fn pixels(&self) -> usize {
        self.together.len()
    }

    /// Slots of both phases, or of the one.
    fn lines(&self) -> impl Iterator<Item = (usize, [usize; 2])> + '_ {
        let phases = self.apart.len() / self.slots.len().max(1);
        (0..phases).flat_map(|q| self.slots.iter().map(move |s| (q, *s)))
    }
}

/// Images of one side as rows of 16 matrices.
struct Side {
    axes: [Axis; 2],
    channels: usize,
    /// 2 on the large side, 1 on the small one.
    phases: usize,
}

thread_local! {
    /// Lines of an image of which one axis was taken apart.
    static LINES: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

impl Side {
    /// Values of a row.
    fn width(&self) -> usize {
        self.phases * self.phases * self.channels
    }

    /// Rows of an image in the matrix of each pair.
    fn rows(&self) -> [usize; PAIRS] {
        from_fn(|pair| self.axes[0].tiles[pair / POINTS] * self.axes[1].tiles[pair % POINTS])
    }

    /// Where values of an image are: matrix, and position in its rows there.
    #[inline(always)]
    fn place(
        &self,
        (qy, [py, ty]): (usize, [usize; 2]),
        (qx, [px, tx]): (usize, [usize; 2]),
    ) -> (usize, usize) {
        let row = ty * self.axes[1].tiles[px] + tx;
        (py * POINTS + px, row * self.width() + (qy * self.phases + qx) * self.channels)
    }

    /// Images as 16 matrices.
    fn apart(&self, x: &[f32]) -> [Vec<f32>; PAIRS] {
        let each = self.axes[0].pixels() * self.axes[1].pixels() * self.channels;
        let count = x.len() / each;
        let piece = |i: usize, parts: [&mut [MaybeUninit<f32>]; PAIRS]| {
            LINES.with_borrow_mut(|lines| apart(self, &x[i * each..(i + 1) * each], lines, parts));
        };
        // SAFETY: every value of every slot is written.
        unsafe { crew::make(count, self.rows().map(|r| r * self.width()), 1, piece) }
    }

    /// The adjoint of [`apart`](Self::apart), plus b, and f of it.
    fn together(
        &self,
        parts: &[Vec<f32>; PAIRS],
        count: usize,
        b: Option<&[f32]>,
        act: Activation,
    ) -> Vec<f32> {
        let each = self.axes[0].pixels() * self.axes[1].pixels() * self.channels;
        let rows = self.rows().map(|r| r * self.width());
        let piece = |i: usize, [y]: [&mut [MaybeUninit<f32>]; 1]| {
            let parts = from_fn(|p| &parts[p][i * rows[p]..(i + 1) * rows[p]]);
            LINES.with_borrow_mut(|lines| together(self, parts, lines, y));
            // SAFETY: every pixel was just written.
            let y = unsafe { y.assume_init_mut() };
            if let Some(b) = b {
                y.chunks_exact_mut(b.len())
                    .for_each(|pixel| pixel.iter_mut().zip(b).for_each(|(y, b)| *y += b));
            }
            activate(y, act);
        };
        // SAFETY: every image is written.
        let [y] = unsafe { crew::make(count, [each], 1, piece) };
        y
    }
}

/// out = Σ v x over the terms.
#[inline(always)]
fn mix<'x>(out: &mut [MaybeUninit<f32>], terms: &[(usize, f32)], x: impl Fn(usize) -> &'x [f32]) {
    let x = |at: usize| (terms[at].1, x(terms[at].0));
    match terms.len() {
        0 => out.fill(MaybeUninit::new(0.0)),
        1 => {
            let (v, a) = x(0);
            out.iter_mut().zip(a).for_each(|(o, a)| _ = o.write(v * a));
        }
        2 => {
            let ((v, a), (w, b)) = (x(0), x(1));
            out.iter_mut().zip(a).zip(b).for_each(|((o, a), b)| _ = o.write(v * a + w * b));
        }
        n => {
            let ((v, a), (w, b), (u, c)) = (x(0), x(1), x(2));
            let abc = a.iter().zip(b).zip(c);
            out.iter_mut().zip(abc).for_each(|(o, ((a, b), c))| _ = o.write(v * a + w * b + u * c));
            for (v, a) in (3..n).map(x) {
                // SAFETY: all values were just written.
                let out = unsafe { out.assume_init_mut() };
                out.iter_mut().zip(a).for_each(|(o, a)| *o += v * a);
            }
        }
    }
}

multiversion! {
    /// One image: along lines first, which are long.
    fn apart(side: &Side, x: &[f32], lines: &mut Vec<f32>, parts: [&mut [MaybeUninit<f32>]; PAIRS]) {
        let ([down, across], c) = (&side.axes, side.channels);
        let line = across.pixels() * c;
        lines.resize(line, 0.0);
        for (row, from) in down.lines().zip(&down.apart) {
            // SAFETY: nothing but values is written.
            mix(unsafe { crew::room(lines) }, from, |y| &x[y * line..][..line]);
            for (column, from) in across.lines().zip(&across.apart) {
                let (pair, at) = side.place(row, column);
                mix(&mut parts[pair][at..][..c], from, |x| &lines[x * c..][..c]);
            }
        }
    }
}

multiversion! {
    /// The adjoint.
    fn together(side: &Side, parts: [&[f32]; PAIRS], lines: &mut Vec<f32>, y: &mut [MaybeUninit<f32>]) {
        let ([down, across], c) = (&side.axes, side.channels);
        let line = across.pixels() * c;
        let columns: Vec<_> = across.lines().collect();
        lines.resize(down.apart.len() * line, 0.0);
        for (row, line) in down.lines().zip(lines.chunks_exact_mut(line)) {
            for (pixel, from) in line.chunks_exact_mut(c).zip(&across.together) {
                // SAFETY: nothing but values is written.
                mix(unsafe { crew::room(pixel) }, from, |x| {
                    let (pair, at) = side.place(row, columns[x]);
                    &parts[pair][at..][..c]
                });
            }
        }
        for (y, from) in y.chunks_exact_mut(line).zip(&down.together) {
            mix(y, from, |r| &lines[r * line..][..line]);
        }
    }
}

/// A convolution between images of these sizes.
pub(super) struct Winograd {
    large: Side,
    small: Side,
}

impl Winograd {
    /// If that is cheaper.
    pub fn of(conv: &Conv, large: Images, small: Images) -> Option<Self> {
        let worth = conv.inputs.min(conv.outputs) >= LEAST && small.extents.iter().all(|n| *n > 1);
        (worth && conv.taps == Taps::full(4, 2, 1)).then(|| {
            let [ys, xs] = small.extents;
            let axes = [Axis::new(ys, Some(large.extents[0])), Axis::new(xs, Some(large.extents[1]))];
            let large = Side { axes, channels: conv.inputs, phases: 2 };
            Self {
                large,
                small: Side {
                    axes: [Axis::new(ys, None), Axis::new(xs, None)],
                    channels: conv.outputs,
                    phases: 1,
                },
            }
        })
    }

    fn block(&self) -> usize {
        self.large.channels * self.small.channels
    }

    /// Factors of weights at a pair of points: position of a block of them in `[taps, inputs, outputs]`, factor.
    fn factors(&self, pair: usize, phase: usize) -> impl Iterator<Item = (usize, f32)> {
        let block = self.block();
        let of = move |sy: usize, sx: usize| {
            let tap = (2 * sy + phase / 2) * 4 + 2 * sx + phase % 2;
            (tap * block, TAPS[pair / POINTS][sy] * TAPS[pair % POINTS][sx])
        };
        (0..4).map(move |s| of(s / 2, s % 2)).filter(|(_, v)| *v != 0.0)
    }

    /// The matrices of all pairs, one after the other, from large to small.
    fn matrices(&self, w: &[f32]) -> Vec<f32> {
        let block = self.block();
        let piece = |i: usize, [u]: [&mut [MaybeUninit<f32>]; 1]| {
            let terms: Vec<(usize, f32)> = self.factors(i / 4, i % 4).collect();
            blend(u, &terms, w);
        };
        // SAFETY: every matrix is written.
        let [u] = unsafe { crew::make(4 * PAIRS, [block], 1, piece) };
        u
    }

    /// The product of each pair's rows and matrix, or its transpose.
    fn products(&self, x: &[Vec<f32>; PAIRS], u: &[f32], way: Way) -> [Vec<f32>; PAIRS] {
        let [k, n] = [self.large.width(), self.small.width()];
        from_fn(|p| {
            let u = Mat::rows(&u[p * k * n..(p + 1) * k * n], n);
            let (from, to, u) = if way == Way::Down { (k, n, u) } else { (n, k, u.t()) };
            let shape = [x[p].len() / from, to, from];
            let product =
                Product { isa: isa(), shape, a: Mat::rows(&x[p], from), b: u, limits: Limits::Dense };
            product.make(Init::Zero, &|_| {})
        })
    }

    /// f(conv(x, w) + b), or of its adjoint.
    pub fn forward(
        &self,
        x: &[f32],
        count: usize,
        w: &[f32],
        b: Option<&[f32]>,
        act: Activation,
        way: Way,
    ) -> Vec<f32> {
        let (from, to) = self.sides(way);
        let u = self.matrices(w);
        let each = x.len() / count.max(1);
        let mut y = Vec::new();
        for images in (0..count).step_by(CHUNK).map(|i| i..count.min(i + CHUNK)) {
            let parts = from.apart(&x[images.start * each..images.end * each]);
            let made = to.together(&self.products(&parts, &u, way), images.len(), b, act);
            if images.len() == count {
                return made;
            }
            y.extend(made);
        }
        y
    }

    fn sides(&self, way: Way) -> (&Side, &Side) {
        match way {
            Way::Down => (&self.large, &self.small),
            Way::Up => (&self.small, &self.large),
        }
    }

    /// Gradients of [`forward`](Self::forward) without its bias where it gave `y`.
    #[allow(clippy::too_many_arguments)] // the operands of the operation, one each
    pub fn backward(
        &self,
        x: &[f32],
        count: usize,
        w: &[f32],
        y: &[f32],
        dy: &[f32],
        act: Activation,
        way: Way,
        want: [bool; 2],
    ) -> ConvGrads {
        let ((from, to), block) = (self.sides(way), self.block());
        let [k, n] = [self.large.width(), self.small.width()];
        let (each, out) = (x.len() / count.max(1), y.len() / count.max(1));
        let u = want[0].then(|| self.matrices(w));
        let (mut dx, mut db) = (Vec::new(), vec![0f64; to.channels]);
        let mut du: [Vec<f32>; PAIRS] = from_fn(|_| if want[1] { vec![0.0; k * n] } else { Vec::new() });
        for images in (0..count).step_by(CHUNK).map(|i| i..count.min(i + CHUNK)) {
            let [x, y, dy] =
                [(x, each), (y, out), (dy, out)].map(|(v, w)| &v[images.start * w..images.end * w]);
            // Before the activation.
            let piece = |i: usize, [g]: [&mut [MaybeUninit<f32>]; 1]| {
                let g = g.write_copy_of_slice(&dy[i * out..(i + 1) * out]);
                slope(g, &y[i * out..(i + 1) * out], act);
            };
            // SAFETY: all of each image's gradient is written.
            let [g] = unsafe { crew::make(images.len(), [out], 1, piece) };
            let parts = to.apart(&g);
            if let Some(u) = &u {
                let back = if way == Way::Down { Way::Up } else { Way::Down };
                let made =
                    from.together(&self.products(&parts, u, back), images.len(), None, Activation::Identity);
                if images.len() == count { dx = made } else { dx.extend(made) }
            }
            if want[1] {
                add_pixels(&g, images.len(), &mut db);
                let seen = from.apart(x);
                let (large, small) = if way == Way::Down { (&seen, &parts) } else { (&parts, &seen) };
                for (du, (a, b)) in du.iter_mut().zip(large.iter().zip(small)) {
                    gemm(k, n, a.len() / k, Mat::rows(a, k).t(), Mat::rows(b, n), du, true, Limits::Dense);
                }
            }
        }
        let dw = want[1].then(|| {
            let [dw] = crew::zeros(w.len() / block, [block], 1, |tap, [dw]| {
                let (ty, tx) = (tap / 4, tap % 4);
                let phase = (ty % 2) * 2 + tx % 2;
                for (pair, du) in du.iter().enumerate() {
                    let v = TAPS[pair / POINTS][ty / 2] * TAPS[pair % POINTS][tx / 2];
                    if v != 0.0 {
                        dw.iter_mut().zip(&du[phase * block..]).for_each(|(s, d)| *s += v * d);
                    }
                }
            });
            dw
        });
        let db = dw.is_some().then(|| db.into_iter().map(|s| s as f32).collect());
        ConvGrads { x: u.map(|_| dx), w: dw, b: db }
    }
}

/// Adds the values of each channel over so many images, each image's sum first.
fn add_pixels(g: &[f32], images: usize, to: &mut [f64]) {
    let (each, channels) = (g.len() / images.max(1), to.len());
    let [sums] = crew::zeros(images, [channels], 1, |i, [sum]| {
        for pixel in g[i * each..(i + 1) * each].chunks_exact(channels) {
            sum.iter_mut().zip(pixel).for_each(|(s, v): (&mut f64, _)| *s += f64::from(*v));
        }
    });
    sums.chunks_exact(channels).for_each(|sum| to.iter_mut().zip(sum).for_each(|(t, s)| *t += s));
}

multiversion! {
    fn blend(out: &mut [MaybeUninit<f32>], terms: &[(usize, f32)], w: &[f32]) {
        let n = out.len();
        mix(out, terms, |at| &w[at..][..n]);
    }
}
