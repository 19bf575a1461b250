//! Rows that lack cells: NaN where there is no value.

use crate::units::Units;
use crate::unsupervised::clustering::lloyd::cluster;
use genus_core::transform::means;
use genus_core::{Batch, Dataset, Result, Rng, Split, Stop};
use rayon::prelude::*;
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

/// Cells that are looked at between two looks at whether one was missing.
const PART: usize = 4096;

/// Whether some cell is missing.
pub(crate) fn any(x: &Batch) -> bool {
    // Without a branch for each value.
    let lacks = |cells: &[f32]| cells.iter().fold(false, |any, v| any | v.is_nan());
    x.data().chunks(PART).any(lacks)
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
/// Rows that decide that, at most, unless clusters are many.
const MOST: usize = 10_000;

/// Clusters of rows by k-means, and the rows with the values of their centres in place of missing cells: where the fit of a mixture begins.
/// Clusters are those of the rows that lack nothing, where there are enough of these, or else of rows in which the mean of its column stands
/// for each missing cell, and of many rows those of some that are chosen by chance; every row belongs to the centre that is nearest by what is
/// there.
///
/// # Errors
/// [`Error::Stopped`](genus_core::Error::Stopped).
pub(crate) fn clustered(x: &Batch, k: usize, rounds: usize, rng: &mut Rng) -> Result<(Batch, Vec<u32>)> {
    let lacks = any(x);
    let mut whole = if lacks { whole_rows(x) } else { (0..x.rows()).collect() };
    let most = MOST.max(20 * ENOUGH * k);
    if whole.len() > most {
        let order = rng.permutation(whole.len());
        whole = order[..most].iter().map(|i| whole[*i]).collect();
    }
    let seen = match (lacks, whole.len() >= ENOUGH * k) {
        (false, _) if whole.len() == x.rows() => x.clone(),
        (false, _) | (true, true) => x.select(&whole),
        (true, false) => filled(x),
    };
    let units = Units::around(&seen, false);
    let every: Vec<usize> = (0..x.width()).collect();
    let found = cluster(&units.inside(&seen), k, rounds, rng)?;
    let wide = |row: &[f32]| row.iter().map(|v| f64::from(*v)).collect::<Vec<f64>>();
    let centres: Vec<Vec<f64>> = found.centres.iter().map(|c| units.back(&wide(c), &every)).collect();
    if !lacks && seen.rows() == x.rows() {
        return Ok((seen, found.assigned));
    }
    let stop = Stop::current();
    let nearest = |(r, row): (usize, &[f32])| {
        if r.is_multiple_of(64) {
            stop.check()?;
        }
        let away = |centre: &Vec<f64>| {
            let cells = row.iter().zip(centre).filter(|(v, _)| !v.is_nan());
            cells.map(|(v, c)| (f64::from(*v) - c).powi(2)).sum::<f64>()
        };
        let away: Vec<f64> = centres.iter().map(away).collect();
        Ok((0..k).fold(0, |best, c| if away[c] < away[best] { c } else { best }) as u32)
    };
    let assigned: Vec<u32> =
        x.data().par_chunks_exact(x.width()).enumerate().map(nearest).collect::<Result<_>>()?;
    let mut rows = x.clone();
    if lacks {
        for (r, c) in assigned.iter().enumerate() {
            let cells = rows.row_mut(r).iter_mut().zip(&centres[*c as usize]);
            cells.filter(|(v, _)| v.is_nan()).for_each(|(v, c)| *v = *c as f32);
        }
    }
    Ok((rows, assigned))
}

/// The mean of its column in place of each missing cell.
pub(crate) fn filled(x: &Batch) -> Batch {
    let mean = means(x);
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
pub(crate) fn whole(data: Dataset) -> Option<Dataset> {
    if !data.splits().any(|(_, split)| any(&split.x)) {
        return Some(data);
    }
    let of = |split: &Split| {
        let rows = whole_rows(&split.x);
        (!rows.is_empty()).then(|| split.select(&rows))
    };
    let (train, valid, test) =
        (of(&data.train)?, data.valid.as_ref().and_then(of), data.test.as_ref().and_then(of));
    Some(Dataset { train, valid, test, ..data })
}
