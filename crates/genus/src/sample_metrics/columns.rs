//! Whether columns, and pairs of columns, of other rows look like those of real rows: the scores by which tables of synthetic rows are compared
//! in practice, by the definitions of the library sdmetrics. 1 is best.
//!
//! - Shape of a column: of numbers 1 − the largest distance of both distribution functions (Kolmogorov & Smirnov), of categories and bits 1 − half
//!   of the sum of the distances of their shares, missing cells left out.
//! - Trend of a pair: of two numbers 1 − |r − r′|/2 with the correlations r over rows that have both; of others 1 − half of the sum of the
//!   distances of the shares of all pairs of values, in which a missing cell is a value and numbers are cut into ten stretches between the least
//!   and the largest of their own rows.

use crate::{Batch, Column, Kind, Result, Schema, Stop};
use rayon::prelude::*;
use std::collections::HashMap;

/// Stretches of a number beside a category.
const STRETCHES: usize = 10;

/// What was found of columns.
#[derive(Debug, Clone, PartialEq)]
pub struct Columns {
    /// Shape of each column; none of one without values on a side.
    pub shapes: Vec<Option<f64>>,
    /// Pairs of columns and their trends; none of one that is constant.
    pub pairs: Vec<([usize; 2], Option<f64>)>,
}

/// Mean of the scores that there are.
fn mean(of: impl Iterator<Item = Option<f64>>) -> f64 {
    let there: Vec<f64> = of.flatten().collect();
    there.iter().sum::<f64>() / there.len() as f64
}

impl Columns {
    /// Compares rows with real ones, which may lack values.
    ///
    /// # Errors
    /// [`Error::Stopped`](crate::Error::Stopped).
    pub fn compare(schema: &Schema, real: &Batch, other: &Batch) -> Result<Self> {
        let d = schema.width();
        let columns: Vec<Column> = (0..d).map(|c| schema.column(c)).collect();
        let values =
            |x: &Batch, c: usize| -> Vec<f64> { x.iter().map(|row| exact(&columns[c], row[c])).collect() };
        let sides: Vec<[Vec<f64>; 2]> = (0..d).map(|c| [values(real, c), values(other, c)]).collect();
        let number = |c: usize| matches!(columns[c].kind, Kind::Whole { .. } | Kind::Real { .. });
        let codes: Vec<[Vec<u64>; 2]> = (0..d)
            .map(|c| sides[c].each_ref().map(|v| if number(c) { stretches(v) } else { bits(v) }))
            .collect();
        let shape = |c: usize| if number(c) { distributions(&sides[c]) } else { shares(&sides[c]) };
        let stop = Stop::current();
        let trend = |pair: [usize; 2]| -> Result<([usize; 2], Option<f64>)> {
            stop.check()?;
            let [a, b] = pair;
            let score = match number(a) && number(b) {
                true => correlations(&sides[a], &sides[b]),
                false => Some(contingency(&codes[a], &codes[b])),
            };
            Ok((pair, score))
        };
        let pairs: Vec<[usize; 2]> = (0..d).flat_map(|a| (a + 1..d).map(move |b| [a, b])).collect();
        Ok(Self {
            shapes: (0..d).into_par_iter().map(shape).collect(),
            pairs: pairs.into_par_iter().map(trend).collect::<Result<_>>()?,
        })
    }

    /// Mean over the columns.
    pub fn shape(&self) -> f64 {
        mean(self.shapes.iter().copied())
    }

    /// Mean over the pairs; none of a single column.
    pub fn trend(&self) -> f64 {
        mean(self.pairs.iter().map(|p| p.1))
    }

    /// Mean of both.
    pub fn quality(&self) -> f64 {
        mean([self.shape(), self.trend()].into_iter().map(|v| Some(v).filter(|v| v.is_finite())))
    }
}

/// The number that a value was read from, where its digits are known.
fn exact(column: &Column, v: f32) -> f64 {
    let v = f64::from(v);
    match column.kind {
        Kind::Real { decimals: Some(d) } => {
            let unit = 10f64.powi(i32::from(d));
            (v * unit).round() / unit
        }
        _ => v,
    }
}

/// 1 − the largest distance of both distribution functions.
fn distributions(sides: &[Vec<f64>; 2]) -> Option<f64> {
    let sorted = sides.each_ref().map(|v| {
        let mut there: Vec<f64> = v.iter().copied().filter(|v| !v.is_nan()).collect();
        there.sort_unstable_by(f64::total_cmp);
        there
    });
    let [a, b] = &sorted;
    if a.is_empty() || b.is_empty() {
        return None;
    }
    let (mut i, mut j, mut most) = (0, 0, 0.0f64);
    while i < a.len() && j < b.len() {
        let at = a[i].min(b[j]);
        i += a[i..].iter().take_while(|v| **v <= at).count();
        j += b[j..].iter().take_while(|v| **v <= at).count();
        most = most.max((i as f64 / a.len() as f64 - j as f64 / b.len() as f64).abs());
    }
    Some(1.0 - most)
}

/// 1 − half of the sum of the distances of shares.
fn overlap<K: std::hash::Hash + Eq + Ord>(sides: [impl Iterator<Item = K>; 2]) -> Option<f64> {
    let mut counts: HashMap<K, [f64; 2]> = HashMap::new();
    let mut n = [0.0; 2];
    for (side, keys) in sides.into_iter().enumerate() {
        for key in keys {
            counts.entry(key).or_default()[side] += 1.0;
            n[side] += 1.0;
        }
    }
    if n.contains(&0.0) {
        return None;
    }
    // In an order that does not depend on the hashes, so that sums have the same bits.
    let mut each: Vec<(K, [f64; 2])> = counts.into_iter().collect();
    each.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    Some(1.0 - 0.5 * each.iter().map(|(_, [a, b])| (a / n[0] - b / n[1]).abs()).sum::<f64>())
}

fn shares(sides: &[Vec<f64>; 2]) -> Option<f64> {
    overlap(sides.each_ref().map(|v| v.iter().filter(|v| !v.is_nan()).map(|v| (v + 0.0).to_bits())))
}

fn contingency(a: &[Vec<u64>; 2], b: &[Vec<u64>; 2]) -> f64 {
    let pairs = |side: usize| a[side].iter().copied().zip(b[side].iter().copied());
    overlap([pairs(0), pairs(1)]).unwrap_or(f64::NAN)
}

/// A missing cell is a value like others.
const MISSING: u64 = u64::MAX;

fn bits(v: &[f64]) -> Vec<u64> {
    v.iter().map(|v| if v.is_nan() { MISSING } else { (v + 0.0).to_bits() }).collect()
}

/// The stretch of each number: the largest value, and a missing one, lie behind the last.
fn stretches(v: &[f64]) -> Vec<u64> {
    let there = || v.iter().copied().filter(|v| !v.is_nan());
    let (mut low, mut high) =
        (there().fold(f64::INFINITY, f64::min), there().fold(f64::NEG_INFINITY, f64::max));
    if low == high {
        (low, high) = (low - 0.5, high + 0.5);
    }
    let step = (high - low) / STRETCHES as f64;
    let edges: Vec<f64> =
        (0..=STRETCHES).map(|i| if i == STRETCHES { high } else { low + i as f64 * step }).collect();
    let of = |v: f64| if v.is_nan() { edges.len() } else { edges.partition_point(|e| *e <= v) };
    v.iter().map(|v| of(*v) as u64).collect()
}

/// 1 − half of the distance of both correlations.
fn correlations(a: &[Vec<f64>; 2], b: &[Vec<f64>; 2]) -> Option<f64> {
    let of = |side: usize| {
        let both: Vec<(f64, f64)> = a[side]
            .iter()
            .copied()
            .zip(b[side].iter().copied())
            .filter(|(a, b)| !a.is_nan() && !b.is_nan())
            .collect();
        let n = both.len() as f64;
        let mean = both.iter().fold((0.0, 0.0), |m, (a, b)| (m.0 + a / n, m.1 + b / n));
        let [mut aa, mut bb, mut ab] = [0.0; 3];
        for (a, b) in both {
            let (a, b) = (a - mean.0, b - mean.1);
            aa += a * a;
            bb += b * b;
            ab += a * b;
        }
        let r = ab / (aa * bb).sqrt();
        r.is_finite().then(|| r.clamp(-1.0, 1.0))
    };
    Some(1.0 - 0.5 * (of(0)? - of(1)?).abs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Domain, Shape, Support};

    /// Six rows a side, with holes; the scores that sdmetrics 0.32.0 gives of them.
    #[test]
    fn scores_are_those_of_the_library() {
        let columns = vec![
            Column::new("a", Kind::Real { decimals: Some(1) }),
            Column::new("n", Kind::Whole { least: 0, most: 50 }),
            Column::new("k", Kind::Category(["x", "y", "z"].map(String::from).to_vec())),
        ];
        let support = Support::Mixed(columns.iter().map(|c| c.kind.clone()).collect());
        let schema = Schema { columns, ..Schema::from(Domain { support, shape: Shape::Flat(3) }) };
        let nan = f32::NAN;
        let real = Batch::new(
            vec![0.1, 3.0, 0.0, 0.9, 10.0, 1.0, 2.5, 7.0, 1.0, 3.0, nan, 2.0, 3.3, 50.0, nan, 4.0, 21.0, 0.0],
            3,
        )
        .unwrap();
        let other = Batch::new(
            vec![0.3, 1.0, 0.0, nan, 12.0, 1.0, 2.0, 9.0, 2.0, 3.1, 40.0, 2.0, 3.9, 33.0, 1.0, 5.0, 8.0, nan],
            3,
        )
        .unwrap();
        let found = Columns::compare(&schema, &real, &other).unwrap();
        let near =
            |got: Option<f64>, want: f64| assert!((got.unwrap() - want).abs() < 1e-6, "{got:?} {want}");
        found.shapes.iter().zip([0.733_333_333, 0.766_666_667, 0.8]).for_each(|(got, want)| near(*got, want));
        let trends = [([0, 1], 0.884_954_020), ([0, 2], 0.166_666_667), ([1, 2], 0.333_333_333)];
        for ((pair, got), (also, want)) in found.pairs.iter().zip(trends) {
            assert_eq!(*pair, also);
            near(*got, want);
        }
        near(Some(found.quality()), 0.614_159_003);
    }
}
