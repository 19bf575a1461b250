//! k-means++ seeding and Lloyd's iterations: where mixtures start from.

use genus_core::{Batch, Result, Rng, Stop};

/// Rows between two looks at whether to go on.
const CHECKED: usize = 256;

/// Squared Euclidean distance.
fn distance(row: &[f32], centre: &[f64]) -> f64 {
    row.iter().zip(centre).map(|(x, c)| (f64::from(*x) - c).powi(2)).sum()
}

fn widen(row: &[f32]) -> Vec<f64> {
    row.iter().map(|v| f64::from(*v)).collect()
}

/// Centres drawn with probability proportional to the squared distance to the centres so far (Arthur & Vassilvitskii 2007).
fn seed(x: &Batch, k: usize, rng: &mut Rng, stop: &Stop) -> Result<Vec<Vec<f64>>> {
    let mut centres = vec![widen(x.row(rng.below(x.rows())))];
    let mut gap: Vec<f64> = x.iter().map(|r| distance(r, &centres[0])).collect();
    while centres.len() < k {
        stop.check()?;
        // All rows coincide with a centre: any row is as good as any other.
        let total: f64 = gap.iter().sum();
        let next = if total > 0.0 { rng.categorical(&gap) } else { rng.below(x.rows()) };
        let centre = widen(x.row(next));
        for (g, row) in gap.iter_mut().zip(x.iter()) {
            *g = g.min(distance(row, &centre));
        }
        centres.push(centre);
    }
    Ok(centres)
}

/// The cluster of each row after at most `rounds` of Lloyd's iterations. An emptied cluster takes the row farthest from its
/// centre.
///
/// # Errors
/// [`genus_core::Error::Stopped`] if it was asked to end.
pub(super) fn assign(x: &Batch, k: usize, rounds: usize, rng: &mut Rng) -> Result<Vec<usize>> {
    let stop = Stop::current();
    let mut centres = seed(x, k, rng, &stop)?;
    let mut assigned = vec![usize::MAX; x.rows()];
    for _ in 0..rounds.max(1) {
        let mut changed = false;
        let mut gaps = vec![0.0; x.rows()];
        for (r, ((row, a), gap)) in x.iter().zip(&mut assigned).zip(&mut gaps).enumerate() {
            if r.is_multiple_of(CHECKED) {
                stop.check()?;
            }
            let (nearest, d) = centres
                .iter()
                .map(|c| distance(row, c))
                .enumerate()
                .fold((0, f64::INFINITY), |best, (i, d)| if d < best.1 { (i, d) } else { best });
            changed |= *a != nearest;
            (*a, *gap) = (nearest, d);
        }
        if !changed {
            break;
        }
        stop.check()?;
        let mut count = vec![0usize; k];
        assigned.iter().for_each(|a| count[*a] += 1);
        for cluster in 0..k {
            if count[cluster] == 0
                && let Some(far) = (0..x.rows())
                    .filter(|r| count[assigned[*r]] > 1)
                    .max_by(|a, b| gaps[*a].total_cmp(&gaps[*b]))
            {
                count[assigned[far]] -= 1;
                (assigned[far], count[cluster], gaps[far]) = (cluster, 1, 0.0);
            }
        }
        for (cluster, centre) in centres.iter_mut().enumerate().filter(|(c, _)| count[*c] > 0) {
            stop.check()?;
            centre.fill(0.0);
            for (row, _) in x.iter().zip(&assigned).filter(|(_, a)| **a == cluster) {
                let n = count[cluster] as f64;
                centre.iter_mut().zip(row).for_each(|(c, v)| *c += f64::from(*v) / n);
            }
        }
    }
    Ok(assigned)
}
