//! Rows that lack cells: NaN where there is no value.

use crate::units::Units;
use crate::unsupervised::clustering::lloyd::cluster;
use genus_core::transform::moments;
use genus_core::{Batch, Dataset, Result, Rng, Split, Stop};
use std::collections::BTreeMap;

/// Rows that have the same columns.
pub(crate) struct Pattern {
    /// Columns that are there.
    pub there: Vec<usize>,
    /// Columns that are not.
    pub missing: Vec<usize>,
    /// The rows.
    pub rows: Vec<usize>,
}

/// Whether some cell is missing.
pub(crate) fn any(x: &Batch) -> bool {
    x.data().iter().any(|v| v.is_nan())
}

/// The rows by what they have, in an order that depends on that alone.
pub(crate) fn patterns(x: &Batch) -> Vec<Pattern> {
    let all = || (0..x.width()).collect();
    if !any(x) {
        return vec![Pattern { there: all(), missing: Vec::new(), rows: (0..x.rows()).collect() }];
    }
    let mut found: BTreeMap<Vec<usize>, Vec<usize>> = BTreeMap::new();
    for (r, row) in x.iter().enumerate() {
        let missing = (0..row.len()).filter(|c| row[*c].is_nan()).collect();
        found.entry(missing).or_default().push(r);
    }
    let pattern = |(missing, rows): (Vec<usize>, Vec<usize>)| {
        let there = (0..x.width()).filter(|c| missing.binary_search(c).is_err()).collect();
        Pattern { there, missing, rows }
    };
    found.into_iter().map(pattern).collect()
}

/// Whole rows for each cluster from which on they alone decide where clusters are.
const ENOUGH: usize = 10;

/// Clusters of rows by k-means, and the rows with the values of their centres in place of missing cells: where the fit of a mixture begins.
/// Clusters are those of the rows that lack nothing, where there are enough of these, or else of rows in which the mean of its column stands
/// for each missing cell; every row belongs to the centre that is nearest by what is there.
///
/// # Errors
/// [`Error::Stopped`](genus_core::Error::Stopped).
pub(crate) fn clustered(x: &Batch, k: usize, rounds: usize, rng: &mut Rng) -> Result<(Batch, Vec<u32>)> {
    let around = |rows: &Batch| Units::around(rows, false).inside(rows);
    if !any(x) {
        return Ok((x.clone(), cluster(&around(x), k, rounds, rng)?.assigned));
    }
    let whole = whole_rows(x);
    let seen = if whole.len() >= ENOUGH * k { x.select(&whole) } else { filled(x) };
    let units = Units::around(&seen, false);
    let every: Vec<usize> = (0..x.width()).collect();
    let found = cluster(&units.inside(&seen), k, rounds, rng)?;
    let wide = |row: &[f32]| row.iter().map(|v| f64::from(*v)).collect::<Vec<f64>>();
    let centres: Vec<Vec<f64>> = found.centres.iter().map(|c| units.back(&wide(c), &every)).collect();
    let (mut rows, mut assigned, stop) = (x.clone(), Vec::with_capacity(x.rows()), Stop::current());
    for r in 0..x.rows() {
        if r.is_multiple_of(64) {
            stop.check()?;
        }
        let row = rows.row_mut(r);
        let away = |centre: &Vec<f64>| {
            let cells = row.iter().zip(centre).filter(|(v, _)| !v.is_nan());
            cells.map(|(v, c)| (f64::from(*v) - c).powi(2)).sum::<f64>()
        };
        let away: Vec<f64> = centres.iter().map(away).collect();
        let nearest = (0..k).fold(0, |best, c| if away[c] < away[best] { c } else { best });
        let cells = row.iter_mut().zip(&centres[nearest]).filter(|(v, _)| v.is_nan());
        cells.for_each(|(v, c)| *v = *c as f32);
        assigned.push(nearest as u32);
    }
    Ok((rows, assigned))
}

/// The mean of its column in place of each missing cell.
pub(crate) fn filled(x: &Batch) -> Batch {
    let (mean, _) = moments(x);
    let mut whole = x.clone();
    for r in 0..x.rows() {
        let row = whole.row_mut(r);
        row.iter_mut().zip(&mean).filter(|(v, _)| v.is_nan()).for_each(|(v, m)| *v = *m as f32);
    }
    whole
}

/// Which rows lack nothing.
pub(crate) fn whole_rows(x: &Batch) -> Vec<usize> {
    (0..x.rows()).filter(|r| !x.row(*r).iter().any(|v| v.is_nan())).collect()
}

/// The rows that lack nothing of each split; splits without such rows are left out. Nothing if no training row is whole.
pub(crate) fn whole(data: &Dataset) -> Option<Dataset> {
    let of = |split: &Split| {
        let rows = whole_rows(&split.x);
        (!rows.is_empty()).then(|| split.select(&rows))
    };
    let mut set = data.clone();
    set.train = of(&data.train)?;
    set.valid = data.valid.as_ref().and_then(of);
    set.test = data.test.as_ref().and_then(of);
    Some(set)
}
