//! Products with rows of bits: sums of those rows of the other factor where there is a 1. Data of bits are mostly zeros, and a sum
//! needs no multiplication.

use crate::{Limits, crew, multiversion};
use std::cell::RefCell;
use std::mem::MaybeUninit;
use std::ops::Range;

/// Rows of a job that looks for ones.
const BLOCK: usize = 16;

/// Where the ones of a matrix of bits are, row by row.
pub(crate) struct Ones {
    /// Where each row begins in `at`, and where it ends; only there `at` is written.
    rows: Vec<[usize; 2]>,
    /// Columns, rising within a row.
    at: Box<[MaybeUninit<u32>]>,
}

impl Ones {
    /// Those of rows of `width` values, if all of these are bits.
    pub(crate) fn detect(x: &[f32], width: usize) -> Option<Self> {
        /// In place of a number of ones: there is something else.
        const NONE: u32 = u32::MAX;
        let width = width.max(1);
        let count = x.len() / width;
        // Numbers that are no bits are seen in the first row, as a rule.
        if x.iter().take(width).any(|v| *v != 0.0 && *v != 1.0) {
            return None;
        }
        let (mut at, mut found) = (Box::new_uninit_slice(count * width), vec![MaybeUninit::new(0); count]);
        crew::rows([(&mut at, width), (&mut found, 1)], BLOCK, |i, [at, found]| {
            let x = x[i * BLOCK * width..].chunks_exact(width);
            for ((x, at), found) in x.zip(at.chunks_exact_mut(width)).zip(found) {
                found.write(positions(x, at).unwrap_or(NONE));
            }
        });
        // SAFETY: all of them were zero from the start.
        let found = unsafe { found.assume_init_ref() };
        let row = |(r, n): (usize, &u32)| (*n != NONE).then(|| [r * width, r * width + *n as usize]);
        Some(Self { rows: found.iter().enumerate().map(row).collect::<Option<_>>()?, at })
    }

    /// Columns become rows, `width` of them; rows of several matrices, one below the other, become columns.
    pub(crate) fn transposed(all: &[Self], width: usize) -> Self {
        let mut rows = vec![[0; 2]; width];
        for m in all {
            for r in 0..m.rows.len() {
                m.row(r).iter().for_each(|c| rows[*c as usize][1] += 1);
            }
        }
        let mut total = 0;
        for row in &mut rows {
            let n = row[1];
            *row = [total; 2];
            total += n;
        }
        let (mut at, mut first) = (Box::new_uninit_slice(total), 0);
        for m in all {
            for r in 0..m.rows.len() {
                for c in m.row(r) {
                    let end = &mut rows[*c as usize][1];
                    at[*end].write(first + r as u32);
                    *end += 1;
                }
            }
            first += m.rows.len() as u32;
        }
        Self { rows, at }
    }

    /// The ones of row `r`.
    pub(crate) fn row(&self, r: usize) -> &[u32] {
        // SAFETY: between these two all of it is written.
        unsafe { self.at[self.rows[r][0]..self.rows[r][1]].assume_init_ref() }
    }

    /// bits · `source` + `first`, a row for all rows. What `limits` leaves out must be zero in the source; where it leaves out a
    /// result, that is `first` or the sum.
    ///
    /// # Shapes
    /// source `[columns, width]`, first `[width]` → `[rows, width]`
    pub(crate) fn sums(&self, source: &[f32], first: &[f32], limits: Limits<'_>) -> Vec<f32> {
        let length = self.rows.len().saturating_mul(first.len());
        let mut out = Vec::with_capacity(length);
        // SAFETY: there is room for all rows; with a first row none of it is read, and all of it is written.
        unsafe {
            self.sum(out.as_mut_ptr(), first.len(), source, Some(first), limits);
            out.set_len(length);
        }
        out
    }

    /// Adds bits · `source` to `out`. What `limits` leaves out must be zero in the source, or is left as it is in `out`.
    ///
    /// # Shapes
    /// out `[rows, width]`, source `[columns, width]`
    pub(crate) fn add_sums(&self, out: &mut [f32], width: usize, source: &[f32], limits: Limits<'_>) {
        assert_eq!(self.rows.len().checked_mul(width), Some(out.len()), "a row for each");
        // SAFETY: all rows are there.
        unsafe { self.sum(out.as_mut_ptr(), width, source, None, limits) };
    }

    /// # Safety
    /// At `out` there must be room for a row of `width` values for each row of bits; without a first row they must be there.
    unsafe fn sum(
        &self,
        out: *mut f32,
        width: usize,
        source: &[f32],
        first: Option<&[f32]>,
        limits: Limits<'_>,
    ) {
        let rows = self.rows.len();
        assert!(limits.fit([rows, width, source.len() / width.max(1)]), "a mask of other rows and columns");
        // Columns are cut first, because each job packs its own; rows only where that leaves threads without work.
        let across = width.div_ceil(WIDE);
        let block = rows.div_ceil(8usize.div_ceil(across.max(1))).max(16);
        let out = Output(out, width);
        crew::each(across * rows.div_ceil(block), &|job| {
            let (from, start) = (job % across * WIDE, job / across * block);
            let columns = from..width.min(from + WIDE);
            // Pieces lie within the result and do not overlap.
            let mut piece = Piece { out: &out, rows: start..rows.min(start + block), columns };
            PACKED.with_borrow_mut(|packed| sum(self, &mut piece, source, first, limits, packed));
        });
    }
}

multiversion! {
    /// Writes the columns of the ones to the start of `at`; the result is their number, or nothing if there is something else than
    /// bits.
    fn positions(x: &[f32], at: &mut [MaybeUninit<u32>]) -> Option<u32> {
        let (mut n, mut bits) = (0, true);
        let (many, rest) = x.as_chunks::<LINE>();
        let mut last = [0.0; LINE];
        last[..rest.len()].copy_from_slice(rest);
        for (g, x) in many.iter().chain([&last]).enumerate() {
            let (mut ones, mut zeros) = (0u32, 0u32);
            #[expect(clippy::needless_range_loop, reason = "lane by lane: the form that vectorises")]
            for l in 0..LINE {
                ones |= u32::from(x[l] == 1.0) << l;
                zeros |= u32::from(x[l] == 0.0) << l;
            }
            bits &= ones | zeros == (1 << LINE) - 1;
            while ones != 0 {
                at[n].write((g * LINE) as u32 + ones.trailing_zeros());
                n += 1;
                ones &= ones - 1;
            }
        }
        bits.then_some(n as u32)
    }
}

/// Values of a line of the cache.
const LINE: usize = 16;
/// Columns that are summed at once, in registers.
const WIDE: usize = 4 * LINE;

/// Values that begin where a line of the cache begins.
#[derive(Debug, Clone, Copy)]
#[repr(align(64))]
struct Line(#[expect(dead_code, reason = "read as longer rows")] [f32; LINE]);

thread_local! {
    /// Columns of the source, so that they stay in the cache while they are added to all rows of a job.
    static PACKED: RefCell<Vec<Line>> = const { RefCell::new(Vec::new()) };
}

/// The result and its width, shared by jobs that write disjoint pieces of it.
struct Output(*mut f32, usize);
// SAFETY: see `Piece`.
unsafe impl Sync for Output {}

/// Rows and columns of a result that lie within it, and that nobody else touches.
struct Piece<'a> {
    out: &'a Output,
    rows: Range<usize>,
    columns: Range<usize>,
}

impl Piece<'_> {
    /// The columns of row `r`.
    fn row(&mut self, r: usize) -> &mut [MaybeUninit<f32>] {
        assert!(self.rows.contains(&r));
        // SAFETY: the piece lies within the result, and nobody else touches it.
        unsafe {
            let start = self.out.0.add(r * self.out.1 + self.columns.start);
            std::slice::from_raw_parts_mut(start.cast(), self.columns.len())
        }
    }
}

multiversion! {
    fn sum(
        ones: &Ones,
        piece: &mut Piece<'_>,
        source: &[f32],
        first: Option<&[f32]>,
        limits: Limits<'_>,
        packed: &mut Vec<Line>,
    ) {
        match piece.columns.len().div_ceil(LINE) {
            1 => columns::<LINE>(ones, piece, source, first, limits, packed),
            2 => columns::<{ 2 * LINE }>(ones, piece, source, first, limits, packed),
            3 => columns::<{ 3 * LINE }>(ones, piece, source, first, limits, packed),
            _ => columns::<WIDE>(ones, piece, source, first, limits, packed),
        }
    }
}

/// A piece of at most `N` columns.
#[inline(always)]
fn columns<const N: usize>(
    ones: &Ones,
    piece: &mut Piece<'_>,
    source: &[f32],
    first: Option<&[f32]>,
    limits: Limits<'_>,
    packed: &mut Vec<Line>,
) {
    let (columns, width) = (piece.columns.clone(), piece.out.1);
    let seen = match limits {
        Limits::Forward(s) => s.reach()[columns.end - 1],
        _ => source.len() / width,
    };
    let lines = seen * (N / LINE);
    if packed.len() < lines {
        packed.resize(lines, Line([0.0; LINE]));
    }
    // SAFETY: a line is so many values, there are `N / LINE` of them for each row that is seen, and nothing else looks at them.
    let packed = unsafe { std::slice::from_raw_parts_mut(packed.as_mut_ptr().cast::<[f32; N]>(), seen) };
    for (to, from) in packed.iter_mut().zip(source.chunks_exact(width)) {
        *to = load(&from[columns.clone()]);
    }
    for r in piece.rows.clone() {
        if let Limits::Weight(s) = limits
            && s.first()[r] >= columns.end
        {
            if let Some(first) = first {
                piece.row(r).write_copy_of_slice(&first[columns.clone()]);
            }
            continue;
        }
        let out = piece.row(r);
        let mut sums: [f32; N] = load(match first {
            Some(first) => &first[columns.clone()],
            // SAFETY: without a first row the values are there.
            None => unsafe { out.assume_init_ref() },
        });
        for k in ones.row(r) {
            // Rising, so that those that are left out come last.
            let Some(more) = packed.get(*k as usize) else { break };
            for l in 0..N {
                sums[l] += more[l];
            }
        }
        match <&mut [MaybeUninit<f32>; N]>::try_from(&mut *out) {
            Ok(out) => {
                out.write_copy_of_slice(&sums);
            }
            Err(_) => {
                let row = sums;
                out.write_copy_of_slice(&row[..out.len()]);
            }
        }
    }
}

/// Values with zeros after them. A copy of a known length is a few moves, others a call.
#[inline(always)]
fn load<const N: usize>(from: &[f32]) -> [f32; N] {
    <[f32; N]>::try_from(from).unwrap_or_else(|_| {
        let mut row = [0.0; N];
        row[..from.len()].copy_from_slice(from);
        row
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Staircase;

    /// What a mask drops is zero in the weights and changes nothing, and is not written in a gradient of weights.
    #[test]
    fn masks_only_leave_zeros_out() {
        for (rows, inputs, outputs) in [(1, 1, 1), (5, 40, 30), (33, 70, 150)] {
            let degrees = |n: usize| (0..n).map(|i| i * 7 / n).collect::<Vec<_>>();
            let mask = Staircase::from_degrees(&degrees(inputs), &degrees(outputs));
            let whole = |n: usize| (0..n).map(|i| ((i * 13) % 31) as f32 - 15.0).collect::<Vec<_>>();
            let bits: Vec<f32> = (0..rows * inputs).map(|i| f32::from(u8::from(i * 7 % 5 < 2))).collect();
            let (mut w, dy, first) = (whole(inputs * outputs), whole(rows * outputs), whole(outputs));
            mask.apply(&mut w);
            let ones = Ones::detect(&bits, inputs).unwrap();
            let all = ones.sums(&w, &first, Limits::Dense);
            assert_eq!(all, ones.sums(&w, &first, Limits::Forward(&mask)));
            let ones = Ones::transposed(&[ones], inputs);
            let zeros = vec![0.0; outputs];
            let mut all = ones.sums(&dy, &zeros, Limits::Dense);
            let mut masked = ones.sums(&dy, &zeros, Limits::Weight(&mask));
            mask.apply(&mut all);
            mask.apply(&mut masked);
            assert_eq!(all, masked);
        }
    }

    #[test]
    fn sums_are_those_of_a_loop() {
        for (rows, columns, width) in [(1, 1, 1), (3, 7, 16), (40, 11, 67), (130, 30, 145)] {
            let bits: Vec<f32> = (0..rows * columns).map(|i| f32::from(u8::from(i * 7 % 5 < 2))).collect();
            let source: Vec<f32> = (0..columns * width).map(|i| ((i * 13) % 31) as f32 - 15.0).collect();
            let first: Vec<f32> = (0..rows * width).map(|i| (i % 9) as f32).collect();
            let ones = Ones::detect(&bits, columns).unwrap();
            let mut out = first.clone();
            ones.add_sums(&mut out, width, &source, Limits::Dense);
            let other = ones.sums(&source, &first[..width], Limits::Dense);
            let back = Ones::transposed(&[ones], columns);
            for r in 0..rows {
                for c in 0..width {
                    // Whole numbers: exact in any order.
                    let sum: f32 = (0..columns).map(|k| bits[r * columns + k] * source[k * width + c]).sum();
                    assert_eq!(out[r * width + c], first[r * width + c] + sum, "{rows} {columns} {width}");
                    assert_eq!(other[r * width + c], first[c] + sum, "{rows} {columns} {width}");
                }
                for k in 0..columns {
                    assert_eq!(back.row(k).contains(&(r as u32)), bits[r * columns + k] == 1.0);
                }
            }
        }
        assert!(Ones::detect(&[1.0; 4], 2).is_some() && Ones::detect(&[0.0, 1.0, 0.0, 2.0], 2).is_none());
        assert!(Ones::detect(&[0.0, 1.0, 0.5], 3).is_none() && Ones::detect(&[f32::NAN], 1).is_none());
    }
}
