//! Matrix product with optional structure: C = A·B or C += A·B, any strides of A and B, C row-major.
//!
//! Columns of B are packed job by job into panels as wide as two vectors; A is read where it lies. A register tile runs over the
//! shared axis: up to 14 rows by 32 columns with AVX-512, 6 by 16 with AVX2. What a mask drops is dropped panel by panel, as a
//! range of the shared axis.
//!
//! Every element of C is the sum, in order, over stretches of at most `KC` products, each summed in order with fused
//! multiply-adds: the bits depend on neither threads nor tiles nor the width of vectors.

use crate::isa::{Isa, Set, Walk, isa, set};
use crate::{Staircase, crew};
use std::cell::RefCell;
use std::mem::MaybeUninit;
use std::ops::Range;

/// Length of the shared axis that is packed at once: a panel set of KC × NC stays in the second-level cache.
pub(crate) const KC: usize = 512;
/// Most columns of a job; a multiple of every panel width.
const NC: usize = 64;

/// A strided matrix: element (i, j) is `data[i * row + j * col]`.
#[derive(Debug, Clone, Copy)]
pub struct Mat<'a> {
    data: &'a [f32],
    row: usize,
    col: usize,
}

impl<'a> Mat<'a> {
    /// A row-major matrix with `cols` columns.
    pub fn rows(data: &'a [f32], cols: usize) -> Self {
        Self { data, row: cols, col: 1 }
    }

    /// Elements `row` apart along a column, and `col` along a row.
    pub fn strided(data: &'a [f32], row: usize, col: usize) -> Self {
        Self { data, row, col }
    }

    /// The transpose.
    #[must_use]
    pub fn t(self) -> Self {
        Self { data: self.data, row: self.col, col: self.row }
    }

    /// Whether there are so many rows and columns.
    fn holds(&self, rows: usize, cols: usize) -> bool {
        let last = |n: usize, stride: usize| (n - 1).checked_mul(stride);
        let need = || last(rows, self.row)?.checked_add(last(cols, self.col)?);
        rows == 0 || cols == 0 || need().is_some_and(|last| last < self.data.len())
    }
}

/// Which part of the shared axis an output needs.
#[derive(Debug, Clone, Copy)]
pub enum Limits<'a> {
    /// All of it.
    Dense,
    /// Column j needs `0..reach(j)`: the forward product of a staircase layer.
    Forward(&'a Staircase),
    /// Column i needs `first(i)..`: the product with the transposed weights.
    Input(&'a Staircase),
    /// Element (i, j) is needed only where the mask allows it: the gradient of the weights.
    Weight(&'a Staircase),
}

impl Limits<'_> {
    /// Whether its mask is that of an m × n product over k.
    pub(crate) fn fit(self, [m, n, k]: [usize; 3]) -> bool {
        match self {
            Self::Dense => true,
            Self::Forward(s) => [s.inputs(), s.outputs()] == [k, n],
            Self::Input(s) => [s.inputs(), s.outputs()] == [n, k],
            Self::Weight(s) => [s.inputs(), s.outputs()] == [m, n],
        }
    }

    fn range(self, rows: Range<usize>, cols: Range<usize>, k: usize) -> Range<usize> {
        match self {
            Self::Dense => 0..k,
            Self::Forward(s) => 0..s.reach()[cols.end - 1],
            Self::Input(s) => s.first()[cols.start]..k,
            Self::Weight(s) if rows.start < s.reach()[cols.end - 1] => 0..k,
            Self::Weight(_) => 0..0,
        }
    }
}

/// C\[m, n\] = A\[m, k\]·B\[k, n\], or C += A·B if `add`. What `limits` leaves out must be zero in A·B, or is left as it is
/// (zero, if not `add`) in C.
#[allow(clippy::too_many_arguments)] // three extents, three matrices, two modes: as every BLAS has it
pub fn gemm(
    m: usize,
    n: usize,
    k: usize,
    a: Mat<'_>,
    b: Mat<'_>,
    c: &mut [f32],
    add: bool,
    limits: Limits<'_>,
) {
    let init = if add { Init::Keep } else { Init::Zero };
    Product { isa: isa(), shape: [m, n, k], a, b, limits }.run(c, init, &|_| {});
}

/// What products are added to.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Init<'a> {
    /// What is there.
    Keep,
    /// Zero; what was there is not read.
    Zero,
    /// This row, in every row; what was there is not read.
    Row(&'a [f32]),
}

/// A row of zeros, as long as a panel.
pub(crate) static ZEROS: [f32; 64] = [0.0; 64];

impl Init<'_> {
    /// D of a [`Kernel`](crate::isa::Kernel) for the tile of C that begins at column `j`.
    pub fn from(self, j: usize, c: *const f32, stride: usize) -> (*const f32, usize) {
        match self {
            Self::Keep => (c, stride),
            Self::Zero => (ZEROS.as_ptr(), 0),
            Self::Row(row) => (row[j..].as_ptr(), 0),
        }
    }
}

/// A product to be done.
pub(crate) struct Product<'a> {
    pub isa: &'a Isa,
    /// Rows of C, columns of C, length of the shared axis.
    pub shape: [usize; 3],
    pub a: Mat<'a>,
    pub b: Mat<'a>,
    pub limits: Limits<'a>,
}

/// What is done to a finished piece, while it is in the cache.
pub(crate) type End<'a> = &'a (dyn Fn(&mut [f32]) + Sync);

impl Product<'_> {
    /// C = end(init + A·B), by jobs on all threads of the pool.
    pub fn run(&self, c: &mut [f32], init: Init<'_>, end: End<'_>) {
        assert_eq!(c.len(), self.values(), "values of C");
        // SAFETY: C holds all values.
        unsafe { self.run_on(self.threads(), c.as_mut_ptr(), init, end) };
    }

    /// As [`run`](Self::run), as one of the jobs of a loop that has all threads already.
    pub fn run_here(&self, c: &mut [f32], init: Init<'_>) {
        assert_eq!(c.len(), self.values(), "values of C");
        // SAFETY: C holds all values.
        unsafe { self.run_on(1, c.as_mut_ptr(), init, &|_| {}) };
    }

    /// As [`run`](Self::run), for a new C.
    pub fn make(&self, init: Init<'_>, end: End<'_>) -> Vec<f32> {
        assert!(!matches!(init, Init::Keep), "there is nothing to keep");
        let mut c = Vec::with_capacity(self.values());
        // SAFETY: there is room for all values, none of which is read, as nothing is kept; and all of them are written.
        unsafe {
            self.run_on(self.threads(), c.as_mut_ptr(), init, end);
            c.set_len(self.values());
        }
        c
    }

    /// Values of C.
    fn values(&self) -> usize {
        let [m, n, _] = self.shape;
        m.saturating_mul(n)
    }

    fn threads(&self) -> usize {
        let work = self.shape.into_iter().fold(1, usize::saturating_mul);
        if work < 1 << 16 { 1 } else { crew::threads() }
    }

    /// # Safety
    /// There must be room for all values at `c`; if they are kept, they must be there.
    unsafe fn run_on(&self, threads: usize, c: *mut f32, init: Init<'_>, end: End<'_>) {
        let Self { isa, shape: [m, n, k], a, b, limits } = *self;
        assert!(if let Init::Row(row) = init { row.len() == n } else { true }, "a row of {n} values");
        assert!(a.holds(m, k), "A must hold {m}×{k} values");
        assert!(b.holds(k, n), "B must hold {k}×{n} values");
        assert!(limits.fit(self.shape), "a mask of another product than {m}×{n} over {k}");
        assert!(isa.panel > 1 || a.col == 1 || k <= 1, "dot products need adjacent steps");
        if m == 0 || n == 0 {
            return;
        }
        let (rows, cols) = self.grid(threads);
        let (down, across) = (m.div_ceil(rows), n.div_ceil(cols));
        let out = Output(c, n);
        let job = |id: usize| {
            let (ri, ci) = (id % down, id / down);
            let rows = ri * rows..((ri + 1) * rows).min(m);
            let cols = ci * cols..((ci + 1) * cols).min(n);
            // SAFETY: jobs cover disjoint tiles of C, which outlives the loop, and the operands were just checked.
            unsafe { self.tile(rows, cols, &out, init, end) };
        };
        if threads == 1 {
            (0..down * across).for_each(job);
        } else {
            crew::each(down * across, &job);
        }
    }

    /// Rows and columns of a job. Columns are cut first, because each job packs its own; rows only where that leaves a thread
    /// without work. Jobs of unequal size are cut finer.
    fn grid(&self, threads: usize) -> (usize, usize) {
        let [m, n, _] = self.shape;
        let wanted = match self.limits {
            _ if threads == 1 => 1,
            Limits::Dense => 2 * threads,
            _ => 4 * threads,
        };
        let cols = n.div_ceil(wanted).next_multiple_of(self.isa.panel).min(NC);
        let rows = m.div_ceil(wanted.div_ceil(n.div_ceil(cols))).max(2 * self.isa.height);
        (rows, cols)
    }

    /// One job.
    ///
    /// # Safety
    /// There must be room for all of `rows` × `cols` in `c`, with values if they are kept, and no other thread may touch it. A, B and
    /// the limits must fit the shape. All of it is written, unless it is kept.
    unsafe fn tile(&self, rows: Range<usize>, cols: Range<usize>, c: &Output, init: Init<'_>, end: End<'_>) {
        let Self { isa, a, b, limits, shape: [_, _, k] } = *self;
        // SAFETY: the piece lies in rows × cols of C, and is gone before there is another one.
        let piece = |i: usize, js: &Range<usize>| unsafe {
            std::slice::from_raw_parts_mut(c.0.add(i * c.1 + js.start).cast::<MaybeUninit<f32>>(), js.len())
        };
        let bare = |is: Range<usize>, js: &Range<usize>| {
            is.for_each(|i| match init {
                Init::Keep => {}
                Init::Zero => piece(i, js).fill(MaybeUninit::new(0.0)),
                Init::Row(row) => {
                    piece(i, js).write_copy_of_slice(&row[js.clone()]);
                }
            });
        };
        let whole = limits.range(rows.clone(), cols.clone(), k);
        if whole.is_empty() {
            bare(rows.clone(), &cols);
        }
        PACKED.with_borrow_mut(|packed| {
            packed.resize(KC * NC, 0.0);
            for k0 in whole.clone().step_by(KC) {
                let ks = k0..(k0 + KC).min(whole.end);
                for (p, j0) in cols.clone().step_by(isa.panel).enumerate() {
                    let js = j0..(j0 + isa.panel).min(cols.end);
                    let panel = &mut packed[p * ks.len() * isa.panel..(p + 1) * ks.len() * isa.panel];
                    pack(b, ks.clone(), js.clone(), isa.panel, panel);
                    for is in heights(rows.clone(), isa.height) {
                        let need = limits.range(is.clone(), js.clone(), k);
                        if need.is_empty() && k0 == whole.start {
                            bare(is.clone(), &js);
                        }
                        let (lo, hi) = (need.start.max(ks.start), need.end.min(ks.end));
                        if lo >= hi {
                            continue;
                        }
                        // SAFETY: A and C hold what the extents say, as the caller promises; the panel was packed for them.
                        unsafe {
                            let from = a.data.as_ptr().add(is.start * a.row + lo * a.col);
                            let panel = panel.as_ptr().add((lo - ks.start) * isa.panel);
                            let to = c.0.add(is.start * c.1 + js.start);
                            // The first stretch of a tile begins with what is to be added to, later ones with C.
                            let init = if ks.contains(&need.start) { init } else { Init::Keep };
                            let kernel = isa.kernels[is.len() - 1];
                            kernel(
                                Walk::straight(hi - lo, a.row, a.col, isa.panel),
                                from,
                                panel,
                                init.from(js.start, to, c.1),
                                (to, c.1),
                                js.len(),
                            );
                        }
                    }
                }
            }
        });
        // SAFETY: every value was there or was written: by `bare`, or by the kernel that began with `init`.
        rows.for_each(|i| end(unsafe { piece(i, &cols).assume_init_mut() }));
    }
}

/// Rows cut into tiles of nearly equal height.
pub(crate) fn heights(rows: Range<usize>, most: usize) -> impl Iterator<Item = Range<usize>> {
    let tiles = rows.len().div_ceil(most).max(1);
    let (each, more) = (rows.len() / tiles, rows.len() % tiles);
    (0..tiles).map(move |t| {
        let start = rows.start + t * each + t.min(more);
        start..start + each + usize::from(t < more)
    })
}

/// C, shared by jobs that write disjoint tiles of it.
struct Output(*mut f32, usize);
// SAFETY: see `run_on`: every element is written by one job only.
unsafe impl Sync for Output {}

thread_local! {
    /// Packed B of the job at hand; kept, because allocating it anew for each job costs page faults.
    static PACKED: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

/// Rows `ks` of columns `js` of B as a panel `[k][width]`, filled up with zeros.
fn pack(b: Mat<'_>, ks: Range<usize>, js: Range<usize>, width: usize, panel: &mut [f32]) {
    let filled = js.len();
    if b.col == 1 {
        let row = |kk: usize| &b.data[kk * b.row + js.start..][..filled];
        // Copies of a known length are a few moves, others a call.
        match (width, filled) {
            (32, 32) => panel
                .as_chunks_mut::<32>()
                .0
                .iter_mut()
                .zip(ks)
                .for_each(|(s, kk)| s.copy_from_slice(row(kk))),
            (16, 16) => panel
                .as_chunks_mut::<16>()
                .0
                .iter_mut()
                .zip(ks)
                .for_each(|(s, kk)| s.copy_from_slice(row(kk))),
            _ => {
                for (slot, kk) in panel.chunks_exact_mut(width).zip(ks) {
                    slot[..filled].copy_from_slice(row(kk));
                    slot[filled..].fill(0.0);
                }
            }
        }
        return;
    }
    // Along the source a column lies together only if the rows are 1 apart: the transpose of a row-major matrix.
    let (steps, whole) = (ks.len(), if b.row == 1 { filled / 8 * 8 } else { 0 });
    for l in (0..steps).step_by(8) {
        let len = 8.min(steps - l);
        for w in (0..whole).step_by(8) {
            let src = &b.data[(js.start + w) * b.col + ks.start + l..];
            if len == 8 {
                transpose(src, b.col, &mut panel[l * width + w..], width);
            } else {
                for (j, i) in (0..8).flat_map(|j| (0..len).map(move |i| (j, i))) {
                    panel[(l + i) * width + w + j] = src[j * b.col + i];
                }
            }
        }
        for (i, slot) in panel[l * width..(l + len) * width].chunks_exact_mut(width).enumerate() {
            for (w, value) in slot[..filled].iter_mut().enumerate().skip(whole) {
                *value = b.data[(js.start + w) * b.col + (ks.start + l + i) * b.row];
            }
            slot[filled..].fill(0.0);
        }
    }
}

/// An 8 × 8 block: `to[i * to_row + j] = from[j * from_row + i]`.
#[inline]
fn transpose(from: &[f32], from_row: usize, to: &mut [f32], to_row: usize) {
    assert!(from.len() > 7 * from_row + 7 && to.len() > 7 * to_row + 7);
    #[cfg(target_arch = "x86_64")]
    if set() >= Set::Avx2 {
        // SAFETY: AVX2 has AVX, and both blocks lie within their slices.
        return unsafe { transpose_avx(from.as_ptr(), from_row, to.as_mut_ptr(), to_row) };
    }
    for i in 0..8 {
        for j in 0..8 {
            to[i * to_row + j] = from[j * from_row + i];
        }
    }
}

/// # Safety
/// Both blocks must be there, and the processor must have AVX.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx")]
unsafe fn transpose_avx(from: *const f32, from_row: usize, to: *mut f32, to_row: usize) {
    use std::arch::x86_64::*;
    // SAFETY: as the caller promises.
    unsafe {
        let r: [__m256; 8] = std::array::from_fn(|j| _mm256_loadu_ps(from.add(j * from_row)));
        // Pairs of columns, then quadruples, then the halves: three rounds of exchanges.
        let pair = |a, b| (_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
        let ((a0, a1), (a2, a3)) = (pair(r[0], r[1]), pair(r[2], r[3]));
        let ((b0, b1), (b2, b3)) = (pair(r[4], r[5]), pair(r[6], r[7]));
        let four = |a, b| (_mm256_shuffle_ps::<0x44>(a, b), _mm256_shuffle_ps::<0xee>(a, b));
        let ((c0, c1), (c2, c3)) = (four(a0, a2), four(a1, a3));
        let ((d0, d1), (d2, d3)) = (four(b0, b2), four(b1, b3));
        for (i, (c, d)) in [(c0, d0), (c1, d1), (c2, d2), (c3, d3)].into_iter().enumerate() {
            _mm256_storeu_ps(to.add(i * to_row), _mm256_permute2f128_ps::<0x20>(c, d));
            _mm256_storeu_ps(to.add((i + 4) * to_row), _mm256_permute2f128_ps::<0x31>(c, d));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn values(n: usize, salt: u32) -> Vec<f32> {
        (0..n as u32)
            .map(|i| ((i.wrapping_add(salt).wrapping_mul(2_654_435_761) >> 8) as f32 / 8_388_608.0) - 1.0)
            .collect()
    }

    fn naive(
        m: usize,
        n: usize,
        k: usize,
        a: impl Fn(usize, usize) -> f32,
        b: impl Fn(usize, usize) -> f32,
    ) -> Vec<f64> {
        let mut c = vec![0.0; m * n];
        for i in 0..m {
            for j in 0..n {
                c[i * n + j] = (0..k).map(|l| f64::from(a(i, l)) * f64::from(b(l, j))).sum();
            }
        }
        c
    }

    /// Sums of k products of size ½ reach √k; k roundings of such sums stay below 2e-7 k.
    fn close(got: &[f32], want: &[f64], k: usize) {
        for (g, w) in got.iter().zip(want) {
            assert!((f64::from(*g) - w).abs() <= 2e-7 * (k + 5) as f64 + 2e-6 * w.abs(), "{g} {w}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]
        #[test]
        fn any_shape_and_transposition(m in 1usize..70, n in 1usize..150, k in 0usize..420, ta: bool, tb: bool, add: bool) {
            let (av, bv) = (values(m * k, 1), values(k * n, 2));
            let a = if ta { Mat::rows(&av, m).t() } else { Mat::rows(&av, k) };
            let b = if tb { Mat::rows(&bv, k).t() } else { Mat::rows(&bv, n) };
            let mut want = naive(m, n, k, |i, l| if ta { av[l * m + i] } else { av[i * k + l] }, |l, j| if tb { bv[j * k + l] } else { bv[l * n + j] });
            let mut c = values(m * n, 3);
            if add {
                want.iter_mut().zip(&c).for_each(|(w, c)| *w += f64::from(*c));
            }
            gemm(m, n, k, a, b, &mut c, add, Limits::Dense);
            close(&c, &want, k.max(1));
        }

        /// The three products of a staircase layer equal the dense products with masked weights.
        #[test]
        fn staircase_products(batch in 1usize..40, inputs in 1usize..200, outputs in 1usize..200, top in 1usize..50) {
            let degree = |i: usize, n: usize| i * top / n;
            let ins: Vec<usize> = (0..inputs).map(|i| degree(i, inputs)).collect();
            let outs: Vec<usize> = (0..outputs).map(|j| degree(j, outputs)).collect();
            let s = Staircase::from_degrees(&ins, &outs);
            let (x, dy) = (values(batch * inputs, 1), values(batch * outputs, 2));
            let mut w = values(inputs * outputs, 3);
            s.apply(&mut w);
            let mut y = vec![0.0; batch * outputs];
            gemm(batch, outputs, inputs, Mat::rows(&x, inputs), Mat::rows(&w, outputs), &mut y, false, Limits::Forward(&s));
            close(&y, &naive(batch, outputs, inputs, |i, l| x[i * inputs + l], |l, j| w[l * outputs + j]), inputs);
            let mut dx = vec![0.0; batch * inputs];
            gemm(batch, inputs, outputs, Mat::rows(&dy, outputs), Mat::rows(&w, outputs).t(), &mut dx, false, Limits::Input(&s));
            close(&dx, &naive(batch, inputs, outputs, |i, l| dy[i * outputs + l], |l, j| w[j * outputs + l]), outputs);
            let mut dw = vec![0.0; inputs * outputs];
            gemm(inputs, outputs, batch, Mat::rows(&x, inputs).t(), Mat::rows(&dy, outputs), &mut dw, false, Limits::Weight(&s));
            s.apply(&mut dw);
            let mut want = naive(inputs, outputs, batch, |i, l| x[l * inputs + i], |l, j| dy[l * outputs + j]);
            for (i, v) in want.iter_mut().enumerate() {
                if !s.allows(i / outputs, i % outputs) { *v = 0.0; }
            }
            close(&dw, &want, batch);
        }
    }

    /// Whatever would read or write beyond the operands is refused, extents whose product overflows too.
    #[test]
    fn what_does_not_fit_is_refused() {
        let (x, stair) = (vec![1.0; 12], Staircase::from_degrees(&[1, 1, 2], &[1, 2, 2, 2]));
        let refused = |[m, n, k]: [usize; 3], a: Mat<'_>, b: Mat<'_>, values: usize, limits| {
            let mut c = vec![0.0; values];
            let product = || gemm(m, n, k, a, b, &mut c, false, limits);
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(product)).is_err()
        };
        let (a, b, dense) = (Mat::rows(&x, 3), Mat::rows(&x, 4), Limits::Dense);
        assert!(
            !refused([4, 4, 3], a, b, 16, dense) && !refused([4, 4, 3], a, b, 16, Limits::Forward(&stair))
        );
        assert!(refused([4, 4, 3], a, b, 15, dense));
        assert!(refused([5, 4, 3], a, b, 20, dense) && refused([4, 4, 4], a, b, 16, dense));
        // The reach of the mask is 3, its first outputs go up to 4.
        assert!(refused([4, 4, 2], Mat::rows(&x, 2), b, 16, Limits::Forward(&stair)));
        assert!(refused([4, 3, 3], a, a, 12, Limits::Input(&stair)));
        assert!(refused([4, 4, 3], a, b, 16, Limits::Weight(&stair)));
        let half = 1 << (usize::BITS - 1);
        assert!(refused([half, 2, 0], a, b, 0, dense));
        assert!(refused([half + 1, 1, 1], Mat::rows(&x, 2), b, 1, dense));
    }

    #[test]
    fn same_bits_at_any_thread_count() {
        let (m, n, k) = (100, 500, 784);
        let (a, b) = (values(m * k, 1), values(k * n, 2));
        let run = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let mut c = vec![0.0; m * n];
            pool.install(|| gemm(m, n, k, Mat::rows(&a, k), Mat::rows(&b, n), &mut c, false, Limits::Dense));
            c
        };
        let one = run(1);
        assert!(one == run(2) && one == run(3));
    }

    /// Every instruction set that is there, and the fallback. Those with fused multiply-adds agree to the bit.
    #[test]
    fn instruction_sets_agree() {
        for (m, n, k) in [(1, 1, 1), (13, 33, 40), (29, 100, 400), (100, 47, 785)] {
            let (a, b) = (values(m * k, 1), values(k * n, 2));
            let run = |isa: &Isa| {
                let mut c = vec![0.0; m * n];
                let (a, b) = (Mat::rows(&a, k), Mat::rows(&b, n));
                Product { isa, shape: [m, n, k], a, b, limits: Limits::Dense }.run(
                    &mut c,
                    Init::Zero,
                    &|_| {},
                );
                c
            };
            let want = naive(m, n, k, |i, l| a[i * k + l], |l, j| b[l * n + j]);
            close(&run(&crate::isa::PORTABLE), &want, k);
            let fused: Vec<Vec<f32>> = crate::isa::fused().into_iter().map(run).collect();
            fused.iter().for_each(|c| close(c, &want, k));
            assert!(fused.windows(2).all(|w| w[0] == w[1]));
        }
    }
}
