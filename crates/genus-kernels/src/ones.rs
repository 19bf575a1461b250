//! Products with rows of bits: sums of those rows of the other factor where there is a 1. Data of bits are mostly zeros, and a sum
//! needs no multiplication.

use crate::{crew, multiversion};

/// Columns that are summed at once, in registers.
const WIDE: usize = 64;
const NARROW: usize = 16;

/// Where the ones of a matrix of bits are, row by row.
pub(crate) struct Ones {
    /// Where each row begins in `at`, and where the last one ends.
    starts: Vec<usize>,
    /// Columns.
    at: Vec<u32>,
}

impl Ones {
    /// Those of rows of `width` values, if all of these are bits.
    pub(crate) fn of(x: &[f32], width: usize) -> Option<Self> {
        let rows = x.len() / width.max(1);
        let mut starts = Vec::with_capacity(rows + 1);
        let (mut at, mut bits) = (vec![0; x.len()], true);
        let mut n = 0;
        starts.push(0);
        for row in x.chunks_exact(width.max(1)) {
            for (c, v) in row.iter().enumerate() {
                at[n] = c as u32;
                n += usize::from(*v == 1.0);
                bits &= *v == 0.0 || *v == 1.0;
            }
            if !bits {
                return None;
            }
            starts.push(n);
        }
        at.truncate(n);
        Some(Self { starts, at })
    }

    /// Columns become rows; `width` of them.
    pub(crate) fn transposed(&self, width: usize) -> Self {
        let mut starts = vec![0; width + 1];
        self.at.iter().for_each(|c| starts[*c as usize + 1] += 1);
        (0..width).for_each(|c| starts[c + 1] += starts[c]);
        let (mut next, mut at) = (starts.clone(), vec![0; self.at.len()]);
        for r in 0..self.starts.len() - 1 {
            for c in self.row(r) {
                at[next[*c as usize]] = r as u32;
                next[*c as usize] += 1;
            }
        }
        Self { starts, at }
    }

    /// The ones of row `r`.
    pub(crate) fn row(&self, r: usize) -> &[u32] {
        &self.at[self.starts[r]..self.starts[r + 1]]
    }

    /// bits · `source` added to `first`, a row for all rows, or without that to what is in `out`.
    ///
    /// # Shapes
    /// out `[rows, width]`, source `[columns, width]`, first `[width]`
    pub(crate) fn sum_rows(&self, out: &mut [f32], width: usize, source: &[f32], first: Option<&[f32]>) {
        let rows = self.starts.len() - 1;
        assert!(out.len() == rows * width && first.is_none_or(|f| f.len() == width), "a row for each");
        // A block of columns of the source stays in the cache while it is added to all rows of a job.
        let job = rows.div_ceil(8).max(16);
        crew::rows([(out, width)], job, |i, [out]| {
            sum(out, width, &self.starts[i * job..], &self.at, source, first);
        });
    }
}

multiversion! {
    fn sum(out: &mut [f32], width: usize, starts: &[usize], at: &[u32], source: &[f32], first: Option<&[f32]>) {
        let mut from = 0;
        while from + WIDE <= width {
            block::<WIDE>(out, [width, from], starts, at, source, first);
            from += WIDE;
        }
        while from + NARROW <= width {
            block::<NARROW>(out, [width, from], starts, at, source, first);
            from += NARROW;
        }
        while from < width {
            block::<1>(out, [width, from], starts, at, source, first);
            from += 1;
        }
    }
}

#[inline(always)]
fn block<const N: usize>(
    out: &mut [f32],
    [width, from]: [usize; 2],
    starts: &[usize],
    at: &[u32],
    source: &[f32],
    first: Option<&[f32]>,
) {
    for (row, ends) in out.chunks_exact_mut(width).zip(starts.windows(2)) {
        let Some(out) = row[from..].first_chunk_mut::<N>() else {
            unreachable!("the block lies within the row")
        };
        let mut sums = first.and_then(|f| f[from..].first_chunk::<N>()).copied().unwrap_or(*out);
        for k in &at[ends[0]..ends[1]] {
            let Some(more) = source[*k as usize * width + from..].first_chunk::<N>() else {
                unreachable!("the source has a row for each column")
            };
            for l in 0..N {
                sums[l] += more[l];
            }
        }
        *out = sums;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_those_of_a_loop() {
        for (rows, columns, width) in [(1, 1, 1), (3, 7, 16), (40, 11, 67), (130, 30, 145)] {
            let bits: Vec<f32> = (0..rows * columns).map(|i| f32::from(u8::from(i * 7 % 5 < 2))).collect();
            let source: Vec<f32> = (0..columns * width).map(|i| ((i * 13) % 31) as f32 - 15.0).collect();
            let first: Vec<f32> = (0..rows * width).map(|i| (i % 9) as f32).collect();
            let ones = Ones::of(&bits, columns).unwrap();
            let mut out = first.clone();
            ones.sum_rows(&mut out, width, &source, None);
            let mut other = vec![f32::NAN; rows * width];
            ones.sum_rows(&mut other, width, &source, Some(&first[..width]));
            let back = ones.transposed(columns);
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
        assert!(Ones::of(&[0.0, 1.0, 0.5], 3).is_none() && Ones::of(&[f32::NAN], 1).is_none());
    }
}
