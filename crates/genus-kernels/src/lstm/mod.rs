//! The recurrences of PixelRNN (van den Oord, Kalchbrenner & Kavukcuoglu 2016): an LSTM that walks over an image.
//!
//! a(p) = input(p) + Σ_taps S_tap h(tap of p), cut into i, f, o = σ and g = tanh; c(p) = f ⊙ c(second tap of p) + i ⊙ g;
//! h(p) = o ⊙ tanh c(p). States outside the image are zero.
//!
//! Pixels that do not wait for each other, a row or an anti-diagonal, are a *wavefront*, and each has a *slot* in it: its column,
//! or for diagonals its row. In slots, both scans are the same: tap t of slot s sees slot s + t − 1 of the wavefront before, and
//! the cell comes from slot s. For diagonals that is the convolution of the skewed image, without the places outside. A pixel
//! writes its state to where its successors will read theirs side by side, so that a wavefront of several images is one matrix
//! product; on the way back, it reads there what its successors ask of it.

use crate::conv::pack;
use crate::gemm::{ZEROS, heights};
use crate::isa::{self, isa};
use crate::linear::Activation;
use crate::{Conv, Images, TapRow, Taps, crew, multiversion, scalar};
use std::mem::MaybeUninit;
use std::ops::Range;

/// The order in which an LSTM walks over an image, and the states that it sees, as (row, column) from the pixel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scan {
    /// Row by row: states of (−1, −1), (−1, 0), (−1, 1), cell of (−1, 0). The Row LSTM.
    Row,
    /// Anti-diagonal by anti-diagonal: states of (−1, 0), (0, −1), cell of (0, −1). A direction of the Diagonal BiLSTM.
    Diagonal,
}

/// The state-to-state part of a convolutional LSTM. Weights are `[taps, hidden, 4 hidden]`, taps in the order of [`Scan`], gates
/// in the order input, forget, output, candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lstm {
    /// The order.
    pub scan: Scan,
    /// True if it walks over columns from right to left: the columns of its taps change sign.
    pub mirrored: bool,
    /// Values of a state, and of a cell.
    pub hidden: usize,
}

/// What [`Lstm::backward`] needs of the forward pass.
#[derive(Debug, Clone)]
pub struct LstmKept {
    /// For each pixel, in the order of computation, its gates and the cell before: `[pixels, 4 hidden + hidden]`.
    rows: Vec<f32>,
    /// Images of a job, which that order depends on.
    group: usize,
}

/// Gradients of [`Lstm::forward`].
#[derive(Debug)]
pub struct LstmGrads {
    /// With respect to the input `[images, height, width, 4 hidden]`.
    pub input: Vec<f32>,
    /// With respect to the weights `[taps, hidden, 4 hidden]`.
    pub w: Vec<f32>,
}

/// Most images of a job: enough that short diagonals fill the register tiles.
const GROUP: usize = 4;
/// Hidden units side by side.
pub(crate) const LANES: usize = 16;

impl Lstm {
    /// Taps as (row, column), columns in walking order.
    fn list(&self) -> &'static [(isize, isize)] {
        match self.scan {
            Scan::Row => &[(-1, -1), (-1, 0), (-1, 1)],
            Scan::Diagonal => &[(-1, 0), (0, -1)],
        }
    }

    /// The taps of the states, in the order of the weights.
    pub fn taps(&self) -> Taps {
        let sign = if self.mirrored { -1 } else { 1 };
        Taps::rows(self.list().iter().map(|(dy, dx)| TapRow { dy: *dy, dx: sign * dx, count: 1 }).collect())
    }

    /// Number of weights.
    pub fn weights(&self) -> usize {
        self.list().len() * self.hidden * 4 * self.hidden
    }

    fn check(&self, of: Images, w: &[f32]) {
        assert!(self.hidden > 0 && of.channels == 4 * self.hidden, "four gates of {} units", self.hidden);
        assert_eq!(w.len(), self.weights(), "weights");
    }

    /// States of all pixels, and what the backward pass needs.
    ///
    /// # Shapes
    /// input `[images, height, width, 4 hidden]` as `of` says: all that the gates receive but the states, bias included;
    /// w `[taps, hidden, 4 hidden]` → `[images, height, width, hidden]`
    pub fn forward(&self, input: &[f32], of: Images, w: &[f32]) -> (Vec<f32>, LstmKept) {
        self.check(of, w);
        assert_eq!(input.len(), of.len(), "values of the input");
        let (h, states) = (self.hidden, of.each() / 4);
        // Few images: smaller groups, so that every thread has one. No bits depend on it.
        let group = of.count.div_ceil(crew::threads()).clamp(1, GROUP);
        let steps = self.steps(w);
        let piece = |job: usize, [y, mut rest]: [&mut [MaybeUninit<f32>]; 2]| {
            let walk = Walk { lstm: *self, extents: of.extents, count: y.len() / states };
            let mut front = Front::new(&walk);
            for wave in 0..walk.waves() {
                let rows;
                (rows, rest) = rest.split_at_mut(walk.rows(wave) * 5 * h);
                let rows = steps.product(&walk, wave, &front, rows);
                advance(&walk, wave, &input[job * group * of.each()..], rows, &mut front, y);
            }
            assert!(rest.is_empty(), "every pixel is in one wavefront");
        };
        // SAFETY: the rows of each wavefront are written, and none is left: every pixel was in one, which wrote its state.
        let [y, rows] = unsafe { crew::make(of.count, [states, 5 * states], group, piece) };
        (y, LstmKept { rows, group })
    }

    /// Gradients from `dy`; `y` and `kept` are the results of [`forward`](Self::forward).
    ///
    /// # Shapes
    /// y, dy `[images, height, width, hidden]`; `of` says the input's
    pub fn backward(&self, of: Images, w: &[f32], y: &[f32], kept: &LstmKept, dy: &[f32]) -> LstmGrads {
        self.check(of, w);
        let (h, states, group) = (self.hidden, of.each() / 4, kept.group);
        assert!(y.len() == of.count * states && dy.len() == y.len(), "states and their gradients");
        assert_eq!(kept.rows.len(), 5 * y.len(), "what the forward pass of these images kept");
        let k = self.list().len() * h;
        let panels = pack(isa(), 4 * h, k, |l, j| w[j * 4 * h + l]);
        let piece = |job: usize, [dx]: [&mut [MaybeUninit<f32>]; 1]| {
            let walk = Walk { lstm: *self, extents: of.extents, count: dx.len() / of.each() };
            let (dy, mut rest) = (&dy[job * group * states..], &kept.rows[job * group * states * 5..]);
            rest = &rest[..walk.count * states * 5];
            let mut front = Front::new(&walk);
            let mut da = vec![0.0; walk.width() * walk.count * 4 * h];
            for wave in (0..walk.waves()).rev() {
                let rows;
                (rest, rows) = rest.split_at(rest.len() - walk.rows(wave) * 5 * h);
                retreat(&walk, wave, dy, rows, &mut front, &mut da, dx);
                let asked = &mut front.states[walk.first(wave) * k..];
                // SAFETY: a product writes values.
                product(walk.rows(wave), [4 * h, k], &da, &panels, unsafe { crew::room(asked) }, k);
            }
        };
        // SAFETY: every pixel is in one wavefront, which writes its gates.
        let [dx] = unsafe { crew::make(of.count, [of.each()], group, piece) };
        // To the weights, the recurrence is a convolution of the states.
        let conv = Conv { taps: self.taps(), inputs: h, outputs: 4 * h };
        let from = Images { channels: h, ..of };
        let sums = conv.backward(y, from, w, &[], &dx, Activation::Identity, [false, true]);
        LstmGrads { input: dx, w: sums.w.unwrap_or_default() }
    }

    /// The recurrence pixel by pixel, for samplers.
    ///
    /// # Shapes
    /// w `[taps, hidden, 4 hidden]`
    pub fn steps(&self, w: &[f32]) -> LstmSteps {
        let n = 4 * self.hidden;
        assert!(n > 0 && w.len() == self.weights(), "weights");
        let panels = pack(isa(), w.len() / n, n, |l, j| w[l * n + j]);
        LstmSteps { lstm: *self, panels }
    }
}

/// Some images on their way through one job. Rows of its arrays are slots, and images within a slot.
struct Walk {
    lstm: Lstm,
    extents: [usize; 2],
    count: usize,
}

impl Walk {
    /// Number of wavefronts.
    fn waves(&self) -> usize {
        self.extents[0] + if self.lstm.scan == Scan::Row { 0 } else { self.extents[1] - 1 }
    }

    /// Number of slots there are.
    fn width(&self) -> usize {
        self.extents[usize::from(self.lstm.scan == Scan::Row)]
    }

    /// The slots of a wavefront.
    fn slots(&self, wave: usize) -> Range<usize> {
        match self.lstm.scan {
            Scan::Row => 0..self.extents[1],
            Scan::Diagonal => (wave + 1).saturating_sub(self.extents[1])..self.extents[0].min(wave + 1),
        }
    }

    /// Number of rows of a wavefront.
    fn rows(&self, wave: usize) -> usize {
        self.slots(wave).len() * self.count
    }

    /// Its first row in `Front::states`.
    fn first(&self, wave: usize) -> usize {
        (self.slots(wave).start + 1) * self.count
    }

    /// Rows of a wavefront, each with its pixel.
    fn places(&self, wave: usize) -> impl Iterator<Item = (usize, usize)> + Clone {
        let [height, width] = self.extents;
        self.slots(wave).flat_map(move |slot| {
            let (row, column) = if self.lstm.scan == Scan::Row { (wave, slot) } else { (slot, wave - slot) };
            let pixel = row * width + if self.lstm.mirrored { width - 1 - column } else { column };
            (0..self.count).map(move |i| (slot * self.count + i, i * height * width + pixel))
        })
    }

    /// Where in `Front::states` tap `t` of a successor sees this row.
    fn seen(&self, row: usize, t: usize) -> usize {
        ((row + (2 - t) * self.count) * self.lstm.list().len() + t) * self.lstm.hidden
    }
}

/// What wavefronts hand on to each other. What nobody writes stays zero: it lies outside the image.
#[derive(Debug, Clone)]
struct Front {
    /// The states that slots see, `[1 + slots + 1, images, taps, hidden]`; on the way back, their gradients.
    states: Vec<f32>,
    /// Cells `[slots, images, hidden]`; on the way back, their gradients.
    cells: Vec<f32>,
}

impl Front {
    fn new(walk: &Walk) -> Self {
        let slot = walk.count * walk.lstm.hidden;
        let states = vec![0.0; (walk.width() + 2) * slot * walk.lstm.list().len()];
        Self { states, cells: vec![0.0; walk.width() * slot] }
    }
}

/// C = A·W for `rows` rows of A `[rows, k]`, the panels of W `[k, n]`, and C with a stride; all of C `[rows, n]` is written.
fn product(
    rows: usize,
    [k, n]: [usize; 2],
    a: &[f32],
    panels: &[f32],
    c: &mut [MaybeUninit<f32>],
    stride: usize,
) {
    let isa = isa();
    assert!(rows.checked_mul(k).is_some_and(|need| need <= a.len()), "A of {rows}×{k} values");
    let need = rows.saturating_sub(1).checked_mul(stride).and_then(|last| last.checked_add(n));
    assert!(n <= stride && need.is_some_and(|need| need <= c.len()), "C of {rows}×{n} values");
    assert_eq!(panels.len(), n.div_ceil(isa.panel) * k * isa.panel, "panels of {k}×{n} values");
    for (p, panel) in panels.chunks_exact(k * isa.panel).enumerate() {
        let width = isa.panel.min(n - p * isa.panel);
        for is in heights(0..rows, isa.height).filter(|is| !is.is_empty()) {
            // SAFETY: A, C and the panel hold the rows, as was just checked; a row of zeros is as long as a panel.
            unsafe {
                let a = a.as_ptr().add(is.start * k);
                let c = c.as_mut_ptr().cast::<f32>().add(is.start * stride + p * isa.panel);
                let kernel = isa.kernels[is.len() - 1];
                kernel(
                    isa::Walk::straight(k, k, 1, isa.panel),
                    a,
                    panel.as_ptr(),
                    (ZEROS.as_ptr(), 0),
                    (c, stride),
                    width,
                );
            }
        }
    }
}

/// The values of a slice, with zeros where it is too short.
#[inline(always)]
pub(crate) fn load(x: &[f32]) -> [f32; LANES] {
    x.first_chunk().copied().unwrap_or_else(|| std::array::from_fn(|k| x.get(k).copied().unwrap_or(0.0)))
}

/// The reverse.
#[inline(always)]
pub(crate) fn store(x: &mut [f32], values: [f32; LANES]) {
    // SAFETY: values are written.
    write(unsafe { crew::room(x) }, values);
}

/// The same for a new slice, all of which is written.
#[inline(always)]
pub(crate) fn write(x: &mut [MaybeUninit<f32>], values: [f32; LANES]) {
    match x.first_chunk_mut() {
        Some(x) => *x = values.map(MaybeUninit::new),
        None => x.iter_mut().zip(values).for_each(|(x, v)| {
            x.write(v);
        }),
    }
}

/// Asks for what will be needed soon: the pixels of a wavefront lie apart, which the processor does not foresee.
#[inline(always)]
fn soon<T>(x: &[T]) {
    #[cfg(target_arch = "x86_64")]
    for line in x.chunks(16) {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a hint; it reads nothing.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(line.as_ptr().cast()) };
    }
}

multiversion! {
    /// From the products of a wavefront, which stand in `rows` `[rows, 4 hidden + hidden]`, to gates, cells and states, which are
    /// written to all of their places in `y`.
    fn advance(
        walk: &Walk,
        wave: usize,
        input: &[f32],
        rows: &mut [f32],
        front: &mut Front,
        y: &mut [MaybeUninit<f32>],
    ) {
        let (h, taps) = (walk.lstm.hidden, walk.lstm.list().len());
        let mut ahead = walk.places(wave).skip(1);
        for ((at, pixel), row) in walk.places(wave).zip(rows.chunks_exact_mut(5 * h)) {
            if let Some((_, pixel)) = ahead.next() {
                soon(&input[pixel * 4 * h..][..4 * h]);
                soon(&y[pixel * h..][..h]);
            }
            let (input, y) = (&input[pixel * 4 * h..][..4 * h], &mut y[pixel * h..][..h]);
            let cell = &mut front.cells[at * h..][..h];
            for j in (0..h).step_by(LANES) {
                let n = LANES.min(h - j);
                let mut gates = [[0.0; LANES]; 4];
                for (q, gate) in gates.iter_mut().enumerate() {
                    let (a, b) = (load(&input[q * h + j..][..n]), load(&row[q * h + j..][..n]));
                    for k in 0..LANES {
                        let sum = a[k] + b[k];
                        gate[k] = if q < 3 { scalar::sigmoid(sum) } else { scalar::tanh(sum) };
                    }
                    store(&mut row[q * h + j..][..n], *gate);
                }
                let ([i, f, o, g], mut c, mut state) = (gates, load(&cell[j..][..n]), [0.0; LANES]);
                store(&mut row[4 * h + j..][..n], c);
                for k in 0..LANES {
                    c[k] = f[k] * c[k] + i[k] * g[k];
                    state[k] = o[k] * scalar::tanh(c[k]);
                }
                store(&mut cell[j..][..n], c);
                write(&mut y[j..][..n], state);
                for t in 0..taps {
                    store(&mut front.states[walk.seen(at, t) + j..][..n], state);
                }
            }
        }
    }
}

multiversion! {
    /// Gradients of a wavefront's gates before their activation, written to `da` `[rows, 4 hidden]` and to all of their places in
    /// `dx`.
    fn retreat(
        walk: &Walk,
        wave: usize,
        dy: &[f32],
        rows: &[f32],
        front: &mut Front,
        da: &mut [f32],
        dx: &mut [MaybeUninit<f32>],
    ) {
        let (h, taps) = (walk.lstm.hidden, walk.lstm.list().len());
        let mut ahead = walk.places(wave).skip(1);
        let rows = rows.chunks_exact(5 * h).zip(da.chunks_exact_mut(4 * h));
        for ((at, pixel), (row, da)) in walk.places(wave).zip(rows) {
            if let Some((_, pixel)) = ahead.next() {
                soon(&dx[pixel * 4 * h..][..4 * h]);
                soon(&dy[pixel * h..][..h]);
            }
            let (dy, dx) = (&dy[pixel * h..][..h], &mut dx[pixel * 4 * h..][..4 * h]);
            let dcell = &mut front.cells[at * h..][..h];
            for j in (0..h).step_by(LANES) {
                let n = LANES.min(h - j);
                let mut parts = [[0.0; LANES]; 5];
                for (q, part) in parts.iter_mut().enumerate() {
                    *part = load(&row[q * h + j..][..n]);
                }
                let ([i, f, o, g, before], mut d) = (parts, [[0.0; LANES]; 4]);
                let (mut dh, mut dc) = (load(&dy[j..][..n]), load(&dcell[j..][..n]));
                for t in 0..taps {
                    let asked = load(&front.states[walk.seen(at, t) + j..][..n]);
                    for k in 0..LANES {
                        dh[k] += asked[k];
                    }
                }
                for k in 0..LANES {
                    let t = scalar::tanh(f[k] * before[k] + i[k] * g[k]);
                    let c = dc[k] + dh[k] * o[k] * (1.0 - t * t);
                    d[0][k] = c * g[k] * i[k] * (1.0 - i[k]);
                    d[1][k] = c * before[k] * f[k] * (1.0 - f[k]);
                    d[2][k] = dh[k] * t * o[k] * (1.0 - o[k]);
                    d[3][k] = c * i[k] * (1.0 - g[k] * g[k]);
                    dc[k] = c * f[k];
                }
                store(&mut dcell[j..][..n], dc);
                for (q, d) in d.into_iter().enumerate() {
                    store(&mut da[q * h + j..][..n], d);
                    write(&mut dx[q * h + j..][..n], d);
                }
            }
        }
    }
}

/// An [`Lstm`] with its weights prepared.
#[derive(Debug, Clone)]
pub struct LstmSteps {
    lstm: Lstm,
    panels: Vec<f32>,
}

/// States and cells of some images side by side, in the row at work and the one above.
#[derive(Debug, Clone)]
pub struct LstmStates {
    count: usize,
    width: usize,
    /// States, then cells: `[2 rows, width, images, hidden]`, columns in walking order.
    lines: [Vec<f32>; 2],
    /// Gates and cells of the pixel at work.
    rows: Vec<f32>,
    front: Front,
}

impl LstmSteps {
    /// What the gates of a wavefront receive from the states, and zeros behind them, in place of the cells.
    fn product<'r>(
        &self,
        walk: &Walk,
        wave: usize,
        front: &Front,
        rows: &'r mut [MaybeUninit<f32>],
    ) -> &'r mut [f32] {
        let (k, n) = (self.lstm.list().len() * self.lstm.hidden, 4 * self.lstm.hidden);
        let (seen, stride) = (&front.states[walk.first(wave) * k..], n + self.lstm.hidden);
        assert_eq!(rows.len(), walk.rows(wave) * stride, "the rows of the wavefront");
        product(walk.rows(wave), [k, n], seen, &self.panels, rows, stride);
        rows.chunks_exact_mut(stride).for_each(|row| row[n..].fill(MaybeUninit::new(0.0)));
        // SAFETY: the first values of each row are those of the product, and the others were just written.
        unsafe { rows.assume_init_mut() }
    }

    /// Room for the states of `count` images of this width; for any number of walks, one after the other.
    pub fn states(&self, count: usize, width: usize) -> LstmStates {
        let n = count * self.lstm.hidden;
        let front = Front::new(&Walk { lstm: self.lstm, extents: [1, 1], count });
        LstmStates {
            count,
            width,
            lines: [(); 2].map(|()| vec![0.0; 2 * width * n]),
            rows: vec![0.0; 5 * n],
            front,
        }
    }

    /// The states of the pixel at (row, column) of every image, with the bits of [`Lstm::forward`]. The row above must be done,
    /// and for [`Scan::Diagonal`] its own row as far as this pixel: from the left, or if mirrored from the right.
    ///
    /// # Shapes
    /// input `[images, 4 hidden]` → y `[images, hidden]`
    pub fn step(&self, states: &mut LstmStates, [row, column]: [usize; 2], input: &[f32], y: &mut [f32]) {
        let LstmStates { count, width, lines, rows, front } = states;
        let (h, count, width) = (self.lstm.hidden, *count, *width);
        assert!(column < width && rows.len() == 5 * count * h, "a pixel of these images");
        assert!(input.len() == 4 * count * h && y.len() == count * h, "values of these images");
        // A wavefront of one pixel, which is handed what it sees.
        let walk = Walk { lstm: self.lstm, extents: [1, 1], count };
        let column = if self.lstm.mirrored { width - 1 - column } else { column };
        let place = |row: usize, column: usize| (row % 2 * width + column) * count * h;
        for (t, (dy, dx)) in self.lstm.list().iter().enumerate() {
            let at = row.checked_add_signed(*dy).zip(column.checked_add_signed(*dx).filter(|c| *c < width));
            let copy = |to: &mut [f32], line: &[f32], i: usize| match at {
                Some((row, column)) => to.copy_from_slice(&line[place(row, column) + i * h..][..h]),
                None => to.fill(0.0),
            };
            for i in 0..count {
                copy(&mut front.states[((count + i) * self.lstm.list().len() + t) * h..][..h], &lines[0], i);
                if t == 1 {
                    copy(&mut front.cells[i * h..][..h], &lines[1], i);
                }
            }
        }
        // SAFETY: product and step write values.
        let (rows, new) = unsafe { (crew::room(rows), crew::room(y)) };
        advance(&walk, 0, input, self.product(&walk, 0, front, rows), front, new);
        lines[0][place(row, column)..][..y.len()].copy_from_slice(y);
        lines[1][place(row, column)..][..y.len()].copy_from_slice(&front.cells);
    }
}

#[cfg(test)]
mod tests;
