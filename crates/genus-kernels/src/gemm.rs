//! Matrix product with optional structure: C = A·B or C += A·B, any strides of A and B, C row-major.
//!
//! A is packed once into panels of 6 rows, B job by job into panels of 16 columns; a register tile of 6×16 runs over the
//! shared axis. What a mask drops is dropped panel by panel, as a range of the shared axis.

use crate::Staircase;
use rayon::prelude::*;
use std::cell::RefCell;
use std::ops::Range;

const MR: usize = 6;
const NR: usize = 16;
/// Length of the shared axis that is packed at once: a B panel set of KC × NC stays in the second-level cache.
pub(crate) const KC: usize = 384;
/// Columns of a job.
const NC: usize = 128;
/// Rows of a job.
const MC: usize = 192;

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

    /// The transpose.
    #[must_use]
    pub fn t(self) -> Self {
        Self { data: self.data, row: self.col, col: self.row }
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
    assert_eq!(c.len(), m * n, "C must hold {m}×{n} values");
    for (name, mat, rows, cols) in [("A", a, m, k), ("B", b, k, n)] {
        let need = if rows == 0 || cols == 0 { 0 } else { (rows - 1) * mat.row + (cols - 1) * mat.col + 1 };
        assert!(mat.data.len() >= need, "{name} must hold {rows}×{cols} values");
    }
    if !add {
        c.fill(0.0);
    }
    if m == 0 || n == 0 || k == 0 {
        return;
    }
    let packed = pack_a(a, m, k);
    let col_jobs = n.div_ceil(NC);
    // Few columns: cut the rows as well, so that both threads have work.
    let rows_per_job = if col_jobs < 4 { (m.div_ceil(4)).div_ceil(MR) * MR } else { MC };
    let row_jobs = m.div_ceil(rows_per_job);
    let out = Output(c.as_mut_ptr(), n);
    let job = |id: usize| {
        let (ri, ci) = (id % row_jobs, id / row_jobs);
        let rows = ri * rows_per_job..((ri + 1) * rows_per_job).min(m);
        let cols = ci * NC..((ci + 1) * NC).min(n);
        // SAFETY: jobs cover disjoint tiles of C, which outlives the loop.
        unsafe { tile(&packed, b, k, rows, cols, &out, limits) };
    };
    if m * n * k < 1 << 16 {
        (0..row_jobs * col_jobs).for_each(job);
    } else {
        (0..row_jobs * col_jobs).into_par_iter().for_each(job);
    }
}

/// C, shared by jobs that write disjoint tiles of it.
struct Output(*mut f32, usize);
// SAFETY: see `gemm`: every element is written by one job only.
unsafe impl Sync for Output {}

/// A as panels of 6 rows, each `[k][6]`, the last one filled up with zeros.
fn pack_a(a: Mat<'_>, m: usize, k: usize) -> Vec<f32> {
    let mut packed = vec![0.0; m.div_ceil(MR) * MR * k];
    let fill = |(p, panel): (usize, &mut [f32])| {
        let i0 = p * MR;
        let rows = MR.min(m - i0);
        if a.col == 1 {
            for r in 0..rows {
                let src = &a.data[(i0 + r) * a.row..][..k];
                for (slot, v) in panel[r..].iter_mut().step_by(MR).zip(src) {
                    *slot = *v;
                }
            }
        } else {
            for (kk, slot) in panel.chunks_exact_mut(MR).enumerate() {
                for (r, s) in slot[..rows].iter_mut().enumerate() {
                    *s = a.data[(i0 + r) * a.row + kk * a.col];
                }
            }
        }
    };
    if m * k < 1 << 14 {
        packed.chunks_exact_mut(MR * k).enumerate().for_each(fill);
    } else {
        packed.par_chunks_exact_mut(MR * k).enumerate().for_each(fill);
    }
    packed
}

/// Rows `ks` of columns `cols` of B as panels of 16 columns, each `[k][16]`, the last one filled up with zeros.
fn pack_b(b: Mat<'_>, ks: Range<usize>, cols: Range<usize>, packed: &mut Vec<f32>) {
    let (len, panels) = (ks.len(), cols.len().div_ceil(NR));
    packed.resize(KC * NC, 0.0);
    for p in 0..panels {
        let j0 = cols.start + p * NR;
        let width = NR.min(cols.end - j0);
        let panel = &mut packed[p * len * NR..(p + 1) * len * NR];
        if b.col == 1 {
            for (slot, kk) in panel.chunks_exact_mut(NR).zip(ks.clone()) {
                slot[..width].copy_from_slice(&b.data[kk * b.row + j0..][..width]);
                slot[width..].fill(0.0);
            }
        } else {
            panel.fill(0.0);
            for w in 0..width {
                let src = &b.data[(j0 + w) * b.col + ks.start * b.row..];
                for (i, slot) in panel[w..].iter_mut().step_by(NR).enumerate() {
                    *slot = src[i * b.row];
                }
            }
        }
    }
}

thread_local! {
    /// Packed B of the job at hand; kept, because allocating it anew for each job costs page faults.
    static PACKED_B: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

/// # Safety
/// `rows × cols` of C must be written by nobody else, and `packed` must hold the panels of all rows.
unsafe fn tile(
    packed: &[f32],
    b: Mat<'_>,
    k: usize,
    rows: Range<usize>,
    cols: Range<usize>,
    c: &Output,
    limits: Limits<'_>,
) {
    let kernel = kernel();
    let whole = limits.range(rows.clone(), cols.clone(), k);
    PACKED_B.with_borrow_mut(|pb| {
        let mut k0 = whole.start;
        while k0 < whole.end {
            let ks = k0..(k0 + KC).min(whole.end);
            pack_b(b, ks.clone(), cols.clone(), pb);
            for (p, j0) in cols.clone().step_by(NR).enumerate() {
                let width = NR.min(cols.end - j0);
                let bp = &pb[p * ks.len() * NR..(p + 1) * ks.len() * NR];
                for i0 in rows.clone().step_by(MR) {
                    let height = MR.min(rows.end - i0);
                    let need = limits.range(i0..i0 + height, j0..j0 + width, k);
                    let (lo, hi) = (need.start.max(ks.start), need.end.min(ks.end));
                    if lo >= hi {
                        continue;
                    }
                    let ap = &packed[i0 * k + lo * MR..i0 * k + hi * MR];
                    let bp = &bp[(lo - ks.start) * NR..(hi - ks.start) * NR];
                    // SAFETY: the tile lies in rows × cols of C, and the panels hold hi − lo steps each.
                    unsafe { kernel(ap, bp, c.0.add(i0 * c.1 + j0), c.1, height, width) };
                }
            }
            k0 = ks.end;
        }
    });
}

/// Adds the product of two panels to a tile of C.
type Kernel = unsafe fn(&[f32], &[f32], *mut f32, usize, usize, usize);

fn kernel() -> Kernel {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma") {
        return avx2;
    }
    portable
}

/// # Safety
/// `c` must point to `height` rows of `width` values, `stride` apart.
unsafe fn portable(a: &[f32], b: &[f32], c: *mut f32, stride: usize, height: usize, width: usize) {
    let mut acc = [[0.0f32; NR]; MR];
    for (ak, bk) in a.chunks_exact(MR).zip(b.chunks_exact(NR)) {
        for (row, &x) in acc.iter_mut().zip(ak) {
            for (s, y) in row.iter_mut().zip(bk) {
                *s += x * y;
            }
        }
    }
    for (r, row) in acc.iter().enumerate().take(height) {
        for (j, v) in row.iter().enumerate().take(width) {
            // SAFETY: r < height and j < width.
            unsafe { *c.add(r * stride + j) += v };
        }
    }
}

/// # Safety
/// As [`portable`], and the processor must have AVX2 and FMA.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn avx2(a: &[f32], b: &[f32], c: *mut f32, stride: usize, height: usize, width: usize) {
    use std::arch::x86_64::*;
    let steps = a.len() / MR;
    debug_assert_eq!(b.len() / NR, steps);
    // SAFETY: a and b hold `steps` panels; stores are bounded by height and width.
    unsafe {
        let (mut ap, mut bp) = (a.as_ptr(), b.as_ptr());
        let mut acc = [[_mm256_setzero_ps(); 2]; MR];
        for _ in 0..steps {
            let b0 = _mm256_loadu_ps(bp);
            let b1 = _mm256_loadu_ps(bp.add(8));
            for (r, [lo, hi]) in acc.iter_mut().enumerate() {
                let x = _mm256_broadcast_ss(&*ap.add(r));
                *lo = _mm256_fmadd_ps(x, b0, *lo);
                *hi = _mm256_fmadd_ps(x, b1, *hi);
            }
            ap = ap.add(MR);
            bp = bp.add(NR);
        }
        if width == NR {
            for (r, [lo, hi]) in acc.iter().enumerate().take(height) {
                let out = c.add(r * stride);
                _mm256_storeu_ps(out, _mm256_add_ps(_mm256_loadu_ps(out), *lo));
                _mm256_storeu_ps(out.add(8), _mm256_add_ps(_mm256_loadu_ps(out.add(8)), *hi));
            }
        } else {
            let mut row = [0.0f32; NR];
            for (r, [lo, hi]) in acc.iter().enumerate().take(height) {
                _mm256_storeu_ps(row.as_mut_ptr(), *lo);
                _mm256_storeu_ps(row.as_mut_ptr().add(8), *hi);
                for (j, v) in row.iter().enumerate().take(width) {
                    *c.add(r * stride + j) += v;
                }
            }
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

    fn close(got: &[f32], want: &[f64], k: usize) {
        for (g, w) in got.iter().zip(want) {
            assert!(
                (f64::from(*g) - w).abs() <= 1e-6 * (k as f64).sqrt() * (1.0 + w.abs()) + 1e-6,
                "{g} {w}"
            );
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

    /// The fallback is held to the same values as the fast path.
    #[test]
    fn portable_kernel() {
        let (a, b) = (values(MR * 37, 1), values(NR * 37, 2));
        let mut c = vec![0.0; MR * NR];
        // SAFETY: c holds 6 rows of 16 values.
        unsafe { portable(&a, &b, c.as_mut_ptr(), NR, MR, NR) };
        close(&c, &naive(MR, NR, 37, |i, l| a[l * MR + i], |l, j| b[l * NR + j]), 37);
    }
}
