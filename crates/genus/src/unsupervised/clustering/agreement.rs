//! How far two partitions of the same rows agree, and how well one fits the rows.

use crate::distances::{Pair, by_rows};
use genus_core::{Batch, Result};
use std::collections::BTreeMap;

/// Rows in each pair of a cluster and a class.
fn table(a: &[u32], b: &[u32]) -> BTreeMap<(u32, u32), f64> {
    let mut cells = BTreeMap::new();
    a.iter().zip(b).for_each(|pair| *cells.entry((*pair.0, *pair.1)).or_insert(0.0) += 1.0);
    cells
}

fn margins(cells: &BTreeMap<(u32, u32), f64>, of: impl Fn(&(u32, u32)) -> u32) -> Vec<f64> {
    let mut sums: BTreeMap<u32, f64> = BTreeMap::new();
    cells.iter().for_each(|(at, n)| *sums.entry(of(at)).or_insert(0.0) += n);
    sums.into_values().collect()
}

/// The adjusted Rand index (Hubert & Arabie 1985): 1 for the same partition, 0 as by chance.
pub(crate) fn adjusted_rand(a: &[u32], b: &[u32]) -> f64 {
    let cells = table(a, b);
    let pairs = |n: f64| n * (n - 1.0) / 2.0;
    let sum = |n: Vec<f64>| n.into_iter().map(pairs).sum::<f64>();
    let both = sum(cells.values().copied().collect());
    let (own, other) = (sum(margins(&cells, |c| c.0)), sum(margins(&cells, |c| c.1)));
    let all = pairs(a.len() as f64);
    let (chance, most) = (own * other / all.max(1.0), 0.5 * (own + other));
    if most == chance { 1.0 } else { (both - chance) / (most - chance) }
}

/// Mutual information over the arithmetic mean of the entropies: 1 for the same partition, 0 for independent ones.
pub(crate) fn normalized_information(a: &[u32], b: &[u32]) -> f64 {
    let (cells, n) = (table(a, b), a.len() as f64);
    let entropy = |m: &[f64]| -m.iter().map(|v| v / n * (v / n).ln()).sum::<f64>();
    let (own, other) = (entropy(&margins(&cells, |c| c.0)), entropy(&margins(&cells, |c| c.1)));
    let joint = entropy(&cells.values().copied().collect::<Vec<_>>());
    let mean = 0.5 * (own + other);
    if mean == 0.0 { 1.0 } else { ((own + other - joint) / mean).max(0.0) }
}

/// The mean silhouette of rows (Rousseeuw 1987): (b − a)/max(a, b) with the mean distances a to the own cluster and b to the nearest
/// other one, 0 for a row that is alone. Nothing if there is only one cluster.
///
/// # Errors
/// [`Error::Stopped`](genus_core::Error::Stopped).
pub(crate) fn silhouette(x: &Batch, assigned: &[u32]) -> Result<Option<f64>> {
    let clusters = assigned.iter().max().map_or(0, |m| *m as usize + 1);
    let mut counts = vec![0usize; clusters];
    assigned.iter().for_each(|a| counts[*a as usize] += 1);
    if counts.iter().filter(|n| **n > 0).count() < 2 {
        return Ok(None);
    }
    let each = by_rows(x, x, Pair::SquaredDistance, |r, row| {
        let mut sums = vec![0.0; clusters];
        row.iter().zip(assigned).for_each(|(d, a)| sums[*a as usize] += f64::from(*d).sqrt());
        let own = assigned[r] as usize;
        if counts[own] == 1 {
            return 0.0;
        }
        let a = sums[own] / (counts[own] - 1) as f64;
        let others = (0..clusters).filter(|c| *c != own && counts[*c] > 0);
        let b = others.map(|c| sums[c] / counts[c] as f64).fold(f64::INFINITY, f64::min);
        if a.max(b) > 0.0 { (b - a) / a.max(b) } else { 0.0 }
    })?;
    Ok(Some(each.iter().sum::<f64>() / each.len() as f64))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// scikit-learn 1.9.1: adjusted_rand_score, normalized_mutual_info_score, silhouette_score.
    #[test]
    fn figures_are_those_of_scikit_learn() {
        let (a, b) = ([0, 0, 1, 1, 2, 2, 2, 0], [0, 0, 1, 2, 2, 2, 1, 1]);
        assert!((adjusted_rand(&a, &b) - 0.047619047619047616).abs() < 1e-12);
        assert!((normalized_information(&a, &b) - 0.3987478202411471).abs() < 1e-12);
        let same = [5, 5, 0, 0, 3, 3, 3, 5];
        assert!((adjusted_rand(&a, &same) - 1.0).abs() < 1e-12);
        assert!((normalized_information(&a, &same) - 1.0).abs() < 1e-12);
        let x = Batch::new(
            vec![0.0, 0.0, 1.0, 0.5, 4.0, 4.0, 5.0, 4.5, 9.0, 0.0, 8.0, 1.0, 9.5, 0.5, 0.5, 1.0],
            2,
        )
        .unwrap();
        assert!((silhouette(&x, &a).unwrap().unwrap() - 0.7966037511930502).abs() < 1e-6);
        assert_eq!(silhouette(&x, &[1; 8]).unwrap(), None);
    }
}
