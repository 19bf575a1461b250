//! Products with rows of bits: sums of those rows of the other factor where there is a 1. Data of bits are mostly zeros, and a sum
//! needs no multiplication.

use crate::{Limits, crew, multiversion, unwritten};
use std::cell::RefCell;
use std::ops::Range;

/// Rows of a job that looks for ones.
const BLOCK: usize = 16;

/// Where the ones of a matrix of bits are, row by row.
pub(crate) struct Ones {
    /// Where each row begins in `at`, and where it ends.
    rows: Vec<[usize; 2]>,
    /// Columns, rising within a row.
    at: Vec<u32>,
}

impl Ones {
    /// Those of rows of `width` values, if all of these are bits.
    pub(crate) fn of(x: &[f32], width: usize) -> Option<Self> {
        /// In place of a number of ones: there is something else.
        const NONE: u32 = u32::MAX;
        let width = width.max(1);
        let count = x.len() / width;
        // Numbers that are no bits are seen in the first row, as a rule.
        if x.iter().take(width).any(|v| *v != 0.0 && *v != 1.0) {
            return None;
        }
        // SAFETY: a row's positions are written before its number says that they are there.
        let (mut at, mut found) = unsafe { (unwritten(count * width), unwritten(count)) };
        crew::rows([(&mut at, width), (&mut found, 1)], BLOCK, |i, [at, found]| {
            let x = x[i * BLOCK * width..].chunks_exact(width);
            for ((x, at), found) in x.zip(at.chunks_exact_mut(width)).zip(found) {
                *found = positions(x, at).unwrap_or(NONE);
            }
        });
        let row = |(r, n): (usize, &u32)| (*n != NONE).then(|| [r * width, r * width + *n as usize]);
        Some(Self { rows: found.iter().enumerate().map(row).collect::<Option<_>>()?, at })
    }

    /// Columns become rows, `width` of them; rows of several matrices, one below the other, become columns.
    pub(crate) fn transposed(all: &[Self], width: usize) -> Self {
        let mut rows = vec![[0; 2]; width];
        let ones = |m: &Self, r: usize| m.rows[r][0]..m.rows[r][1];
        for m in all {
            for r in 0..m.rows.len() {
                m.at[ones(m, r)].iter().for_each(|c| rows[*c as usize][1] += 1);
            }
        }
        let mut total = 0;
        for row in &mut rows {
            let n = row[1];
            *row = [total; 2];
            total += n;
        }
        let (mut at, mut first) = (vec![0; total], 0);
        for m in all {
            for r in 0..m.rows.len() {
                for c in &m.at[ones(m, r)] {
                    let end = &mut rows[*c as usize][1];
                    at[*end] = first + r as u32;
                    *end += 1;
                }
            }
            first += m.rows.len() as u32;
        }
        Self { rows, at }
    }

    /// The ones of row `r`.
    pub(crate) fn row(&self, r: usize) -> &[u32] {
        &self.at[self.rows[r][0]..self.rows[r][1]]
    }

    /// bits · `source` added to `first`, a row for all rows, or without that to what is in `out`. What `limits` leaves out must be
    /// zero in the source, or is left as it is in `out`.
    ///
    /// # Shapes
    /// out `[rows, width]`, source `[columns, width]`, first `[width]`
    pub(crate) fn sum_rows(
        &self,
        out: &mut [f32],
        width: usize,
        source: &[f32],
        first: Option<&[f32]>,
        limits: Limits<'_>,
    ) {
        let rows = self.rows.len();
        assert!(out.len() == rows * width && first.is_none_or(|f| f.len() == width), "a row for each");
        // Columns are cut first, because each job packs its own; rows only where that leaves threads without work.
        let across = width.div_ceil(WIDE);
        let block = rows.div_ceil(8usize.div_ceil(across.max(1))).max(16);
        let out = Output(out.as_mut_ptr(), width);
        crew::each(across * rows.div_ceil(block), &|job| {
            let (from, start) = (job % across * WIDE, job / across * block);
            let columns = from..width.min(from + WIDE);
            let piece = Piece { out: &out, rows: start..rows.min(start + block), columns };
            PACKED.with_borrow_mut(|packed| sum(self, &piece, source, first, limits, packed));
        });
    }
}

multiversion! {
    /// Writes the columns of the ones to `at`; the result is their number, or nothing if there is something else than bits.
    fn positions(x: &[f32], at: &mut [u32]) -> Option<u32> {
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
                at[n] = (g * LINE) as u32 + ones.trailing_zeros();
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
    #[expect(clippy::mut_from_ref, reason = "one row at a time, by the only owner of the piece")]
    fn row(&self, r: usize) -> &mut [f32] {
        debug_assert!(self.rows.contains(&r));
        // SAFETY: the piece lies within the result, and nobody else touches it.
        unsafe {
            let start = self.out.0.add(r * self.out.1 + self.columns.start);
            std::slice::from_raw_parts_mut(start, self.columns.len())
        }
    }
}

multiversion! {
    fn sum(
        ones: &Ones,
        piece: &Piece<'_>,
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
    piece: &Piece<'_>,
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
    // SAFETY: a line is so many values.
    let packed = unsafe { std::slice::from_raw_parts_mut(packed.as_mut_ptr().cast::<[f32; N]>(), seen) };
    for (to, from) in packed.iter_mut().zip(source.chunks_exact(width)) {
        *to = load(&from[columns.clone()]);
    }
    for r in piece.rows.clone() {
        if let Limits::Weight(s) = limits
            && s.first()[r] >= columns.end
        {
            continue;
        }
        let out = piece.row(r);
        let mut sums: [f32; N] = load(first.map_or(&*out, |f| &f[columns.clone()]));
        for k in ones.row(r) {
            // Rising, so that those that are left out come last.
            let Some(more) = packed.get(*k as usize) else { break };
            for l in 0..N {
                sums[l] += more[l];
            }
        }
        match <&mut [f32; N]>::try_from(&mut *out) {
            Ok(out) => *out = sums,
            Err(_) => {
                let row = sums;
                out.copy_from_slice(&row[..out.len()]);
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
            let ones = Ones::of(&bits, inputs).unwrap();
            let [mut all, mut masked] = [(); 2].map(|()| vec![f32::NAN; rows * outputs]);
            ones.sum_rows(&mut all, outputs, &w, Some(&first), Limits::Dense);
            ones.sum_rows(&mut masked, outputs, &w, Some(&first), Limits::Forward(&mask));
            assert_eq!(all, masked);
            let ones = Ones::transposed(&[ones], inputs);
            let [mut all, mut masked] = [(); 2].map(|()| vec![f32::NAN; inputs * outputs]);
            ones.sum_rows(&mut all, outputs, &dy, Some(&vec![0.0; outputs]), Limits::Dense);
            ones.sum_rows(&mut masked, outputs, &dy, Some(&vec![0.0; outputs]), Limits::Weight(&mask));
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
            let ones = Ones::of(&bits, columns).unwrap();
            let mut out = first.clone();
            ones.sum_rows(&mut out, width, &source, None, Limits::Dense);
            let mut other = vec![f32::NAN; rows * width];
            ones.sum_rows(&mut other, width, &source, Some(&first[..width]), Limits::Dense);
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
        assert!(Ones::of(&[1.0; 4], 2).is_some() && Ones::of(&[0.0, 1.0, 0.0, 2.0], 2).is_none());
        assert!(Ones::of(&[0.0, 1.0, 0.5], 3).is_none() && Ones::of(&[f32::NAN], 1).is_none());
    }
}
