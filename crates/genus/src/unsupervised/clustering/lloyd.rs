//! k-means: greedy k-means++ (Arthur & Vassilvitskii 2007), and Lloyd's iterations with the bounds of Hamerly (2010).
//!
//! For each row an upper bound on the distance to its centre and a lower bound on that to any other are kept, and both move as far as the
//! centres do: most rows of later rounds need no distance at all. Those that do are multiplied with all centres in blocks, by one matrix
//! product. Sums of clusters change only by the rows that change cluster, in double precision; with them the sum of squared distances to
//! the means is known after every round: Σ |x|² − Σ_c |S_c|²/n_c. It never rises.

use crate::distances::squared_distances;
use genus_core::{Batch, Error, Result, Rng, Stop};
use rayon::prelude::*;

/// Rows of a block of distances.
const BLOCK: usize = 4096;

/// Rows, and the units in which they are looked at: a block of them at a time, so that there is no second copy.
pub(crate) struct Rows<'a> {
    x: &'a Batch,
    /// What is taken from each column, and what it is multiplied by then; products of numbers far from 0 would lose digits.
    shift: Vec<f32>,
    factor: Vec<f32>,
    /// Σ |x|² over all rows.
    total: f64,
}

/// A clustering of rows.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Clustering {
    /// A row for each.
    pub centres: Batch,
    /// The cluster of each row.
    pub assigned: Vec<u32>,
    /// Σ |x − c|² over rows and their centres.
    pub inertia: f64,
    pub rounds: u64,
    /// Whether no row would change its cluster.
    pub converged: bool,
}

/// Nearest and second nearest: which, and their squared distances.
fn nearest(row: &[f32]) -> (u32, f32, f32) {
    let mut best = (0, f32::INFINITY, f32::INFINITY);
    for (c, d) in row.iter().enumerate() {
        if *d < best.1 {
            best = (c as u32, *d, best.1);
        } else if *d < best.2 {
            best.2 = *d;
        }
    }
    best
}

impl<'a> Rows<'a> {
    /// These rows, which lie around 0.
    pub fn new(x: &'a Batch) -> Self {
        Self::within(x, vec![0.0; x.width()], vec![1.0; x.width()])
    }

    /// These rows, less `shift` and times `factor`, column by column.
    pub fn within(x: &'a Batch, shift: Vec<f32>, factor: Vec<f32>) -> Self {
        let mut rows = Self { x, shift, factor, total: 0.0 };
        let square = |r: usize| rows.values(r).map(|v| f64::from(v).powi(2)).sum::<f64>();
        rows.total = (0..x.rows()).into_par_iter().map(square).collect::<Vec<_>>().iter().sum();
        rows
    }

    /// Values of a row in these units.
    fn values(&self, r: usize) -> impl Iterator<Item = f32> {
        let units = self.shift.iter().zip(&self.factor);
        self.x.row(r).iter().zip(units).map(|(v, (m, f))| (v - m) * f)
    }

    /// Some rows in these units.
    fn select(&self, rows: &[usize]) -> Batch {
        let mut some = self.x.select(rows);
        some.data_mut().par_chunks_exact_mut(self.x.width()).for_each(|row| {
            let units = self.shift.iter().zip(&self.factor);
            row.iter_mut().zip(units).for_each(|(v, (m, f))| *v = (*v - m) * f);
        });
        some
    }

    /// Squared distance of a row to a centre.
    fn squared(&self, r: usize, centre: &[f32]) -> f64 {
        const LANES: usize = 16;
        let mut sums = [0f32; LANES];
        let (rows, rest) = self.x.row(r).as_chunks::<LANES>();
        let (shifts, _) = self.shift.as_chunks::<LANES>();
        let (factors, _) = self.factor.as_chunks::<LANES>();
        let (centres, _) = centre.as_chunks::<LANES>();
        for (((x, m), f), c) in rows.iter().zip(shifts).zip(factors).zip(centres) {
            for l in 0..LANES {
                let off = (x[l] - m[l]) * f[l] - c[l];
                sums[l] += off * off;
            }
        }
        let whole: f64 = sums.iter().map(|s| f64::from(*s)).sum();
        let from = centre.len() - rest.len();
        (from..centre.len()).fold(whole, |sum, j| {
            let off = (self.x.row(r)[j] - self.shift[j]) * self.factor[j] - centre[j];
            sum + f64::from(off * off)
        })
    }

    /// What `of` makes of the squared distances of each of these rows to all centres.
    fn each<T: Send>(
        &self,
        rows: &[usize],
        centres: &Batch,
        of: impl Fn(usize, &[f32]) -> T + Sync,
    ) -> Result<Vec<T>> {
        let stop = Stop::current();
        let mut all = Vec::with_capacity(rows.len());
        for some in rows.chunks(BLOCK) {
            stop.check()?;
            let block = squared_distances(&self.select(some), centres);
            let found = block.par_chunks_exact(centres.rows()).zip(some);
            all.par_extend(found.map(|(row, r)| of(*r, row)));
        }
        Ok(all)
    }

    fn all(&self) -> Vec<usize> {
        (0..self.x.rows()).collect()
    }

    /// Centres drawn with probability proportional to the squared distance to those so far: the best of some candidates each time.
    ///
    /// # Errors
    /// [`Error::Stopped`].
    pub fn seed(&self, k: usize, rng: &mut Rng) -> Result<Batch> {
        let (n, every) = (self.x.rows(), self.all());
        let mut chosen = vec![rng.below(n)];
        let mut gaps: Vec<f64> = self.each(&every, &self.select(&chosen), |_, d| f64::from(d[0]))?;
        let trials = 2 + (k as f64).ln() as usize;
        while chosen.len() < k {
            let all: f64 = gaps.iter().sum();
            // All rows coincide with a centre: any row is as good as any other.
            let candidate = |rng: &mut Rng| if all > 0.0 { rng.categorical(&gaps) } else { rng.below(n) };
            let candidates: Vec<usize> = (0..trials).map(|_| candidate(rng)).collect();
            let to = self.each(&every, &self.select(&candidates), |r, d| -> Vec<f64> {
                d.iter().map(|v| f64::from(*v).min(gaps[r])).collect()
            })?;
            let left = |t: usize| to.iter().map(|d| d[t]).sum::<f64>();
            let sums: Vec<f64> = (0..trials).map(left).collect();
            let best = (0..trials).fold(0, |best, t| if sums[t] < sums[best] { t } else { best });
            chosen.push(candidates[best]);
            gaps.iter_mut().zip(&to).for_each(|(g, d)| *g = d[best]);
        }
        Ok(self.select(&chosen))
    }

    /// Rounds of assignment and means from these centres, until no row changes its cluster, `heard` ends it or there were so many. An
    /// emptied cluster takes the row that is farthest from its centre.
    ///
    /// # Errors
    /// [`Error::Stopped`] if it was asked to end before there was any clustering.
    pub fn lloyd(
        &self,
        centres: Batch,
        rounds: usize,
        mut heard: impl FnMut(u64, f64) -> bool,
    ) -> Result<Clustering> {
        let (n, d, k) = (self.x.rows(), self.x.width(), centres.rows());
        let mut at = centres;
        let mut assigned = vec![u32::MAX; n];
        // Distances, not squares: these are what obeys the triangle inequality.
        let (mut upper, mut lower) = (vec![f32::INFINITY; n], vec![0f32; n]);
        let (mut sums, mut counts) = (vec![0f64; k * d], vec![0usize; k]);
        let mut inertia = f64::INFINITY;
        let (mut done, mut converged) = (0, false);
        // Whether the bounds are trusted: no clustering is final before all distances were looked at once more.
        let mut bounded = false;
        while done < rounds as u64 {
            let found = match self.assign(&at, &assigned, &mut upper, &mut lower, bounded) {
                Err(Error::Stopped(_)) if done > 0 => break,
                other => other?,
            };
            let moved: Vec<(usize, u32)> = found.into_iter().filter(|(r, c)| assigned[*r] != *c).collect();
            if moved.is_empty() {
                if !bounded {
                    converged = true;
                    break;
                }
                bounded = false;
                continue;
            }
            self.account(&moved, &mut assigned, &mut sums, &mut counts);
            self.refill(&mut assigned, &mut upper, &mut lower, &mut sums, &mut counts);
            let mut next = Batch::zeros(k, d);
            for c in (0..k).filter(|c| counts[*c] > 0) {
                let n = counts[c] as f64;
                next.row_mut(c).iter_mut().zip(&sums[c * d..]).for_each(|(v, s)| *v = (s / n) as f32);
            }
            let moved = |c: usize| {
                let square = |(a, b): (&f32, &f32)| f64::from(a - b).powi(2);
                at.row(c).iter().zip(next.row(c)).map(square).sum::<f64>().sqrt() as f32
            };
            let shift: Vec<f32> = (0..k).map(moved).collect();
            let largest = (0..k).fold(0, |best, c| if shift[c] > shift[best] { c } else { best });
            let other = (0..k).filter(|c| *c != largest).map(|c| shift[c]).fold(0.0, f32::max);
            for ((u, l), a) in upper.iter_mut().zip(&mut lower).zip(&assigned) {
                *u += shift[*a as usize];
                *l -= if *a as usize == largest { other } else { shift[largest] };
            }
            let square = |c: usize| sums[c * d..(c + 1) * d].iter().map(|s| s * s).sum::<f64>();
            let explained: f64 =
                (0..k).filter(|c| counts[*c] > 0).map(|c| square(c) / counts[c] as f64).sum();
            let now = (self.total - explained).max(0.0);
            debug_assert!(now <= inertia + 1e-6 * self.total, "the inertia rose from {inertia} to {now}");
            inertia = now;
            (at, bounded) = (next, true);
            done += 1;
            if heard(done, inertia) {
                break;
            }
        }
        Ok(Clustering { centres: at, assigned, inertia, rounds: done, converged })
    }

    /// Centres that follow the rows of one small batch after the other (Sculley 2010): each is the mean of all rows that it was ever the
    /// nearest to. Passes over the rows end when one lowers the mean squared distance by less than a thousandth, when `heard` says so, or
    /// after so many. What they reach is no fixed point.
    ///
    /// # Errors
    /// As [`lloyd`](Self::lloyd).
    pub fn mini_batches(
        &self,
        mut centres: Batch,
        size: usize,
        passes: usize,
        rng: &mut Rng,
        mut heard: impl FnMut(u64, f64) -> bool,
    ) -> Result<Clustering> {
        let (n, k) = (self.x.rows(), centres.rows());
        let mut seen = vec![0f64; k];
        let (mut last, mut done, mut converged) = (f64::INFINITY, 0, false);
        'passes: while done < passes as u64 && !converged {
            let mut sum = 0.0;
            for rows in rng.permutation(n).chunks(size) {
                let found = match self.each(rows, &centres, |_, row| nearest(row)) {
                    Err(Error::Stopped(_)) if done > 0 => break 'passes,
                    other => other?,
                };
                for ((c, d, _), r) in found.into_iter().zip(rows) {
                    sum += f64::from(d);
                    seen[c as usize] += 1.0;
                    let rate = (1.0 / seen[c as usize]) as f32;
                    let centre = centres.row_mut(c as usize).iter_mut();
                    centre.zip(self.values(*r)).for_each(|(c, x)| *c += rate * (x - *c));
                }
            }
            for c in (0..k).filter(|c| seen[*c] == 0.0).collect::<Vec<_>>() {
                centres.row_mut(c).copy_from_slice(self.select(&[rng.below(n)]).row(0));
            }
            done += 1;
            converged = sum > 0.999 * last || sum == 0.0;
            last = sum;
            if heard(done, sum) {
                break;
            }
        }
        // Whoever asked for an end gets a whole clustering: this is one pass.
        let found = Stop::new().during(|| self.each(&self.all(), &centres, |_, row| nearest(row)))?;
        let (assigned, gaps): (Vec<u32>, Vec<f64>) =
            found.into_iter().map(|(c, d, _)| (c, f64::from(d))).unzip();
        Ok(Clustering { centres, assigned, inertia: gaps.iter().sum(), rounds: done, converged })
    }

    /// The rows that may have another cluster, with the nearest one; their bounds are then distances.
    fn assign(
        &self,
        centres: &Batch,
        assigned: &[u32],
        upper: &mut [f32],
        lower: &mut [f32],
        bounded: bool,
    ) -> Result<Vec<(usize, u32)>> {
        let k = centres.rows();
        let active: Vec<usize> = if bounded {
            // Half of the way to the next centre: nearer than that no other is the nearest.
            let between = squared_distances(centres, centres);
            let half = |c: usize| {
                let others = (0..k).filter(|o| *o != c).map(|o| between[c * k + o]);
                0.5 * others.fold(f32::INFINITY, f32::min).sqrt()
            };
            let half: Vec<f32> = (0..k).map(half).collect();
            let stays = |r: usize, u: &mut f32| {
                let a = assigned[r] as usize;
                let bound = lower[r].max(half[a]);
                if *u > bound {
                    *u = self.squared(r, centres.row(a)).sqrt() as f32;
                }
                *u <= bound
            };
            let rows = upper.par_iter_mut().enumerate();
            rows.filter_map(|(r, u)| (!stays(r, u)).then_some(r)).collect()
        } else {
            self.all()
        };
        let found = self.each(&active, centres, |_, row| nearest(row))?;
        Ok(active
            .into_iter()
            .zip(found)
            .map(|(r, (mut c, mut first, second))| {
                // Rounding of the products decides between no two centres that are equally near.
                if let Some(own) = assigned.get(r).filter(|own| **own != u32::MAX && **own != c) {
                    let mine = self.squared(r, centres.row(*own as usize));
                    if mine <= self.squared(r, centres.row(c as usize)) {
                        (c, first) = (*own, mine as f32);
                    }
                }
                (upper[r], lower[r]) = (first.sqrt(), second.sqrt());
                (r, c)
            })
            .collect())
    }

    /// Takes rows from the sums of the clusters that they leave to those that they enter.
    fn account(&self, moved: &[(usize, u32)], assigned: &mut [u32], sums: &mut [f64], counts: &mut [usize]) {
        let d = self.x.width();
        let old: Vec<u32> = moved.iter().map(|(r, _)| assigned[*r]).collect();
        sums.par_chunks_exact_mut(d).enumerate().for_each(|(c, sum)| {
            for ((r, to), from) in moved.iter().zip(&old) {
                let sign = match (*to as usize == c, *from as usize == c) {
                    (true, _) => 1.0,
                    (_, true) => -1.0,
                    _ => continue,
                };
                sum.iter_mut().zip(self.values(*r)).for_each(|(s, v)| *s += sign * f64::from(v));
            }
        });
        for ((r, to), from) in moved.iter().zip(old) {
            counts[*to as usize] += 1;
            if let Some(count) = counts.get_mut(from as usize) {
                *count -= 1;
            }
            assigned[*r] = *to;
        }
    }

    /// Gives each empty cluster the row that is farthest from its centre, of those that are not alone.
    fn refill(
        &self,
        assigned: &mut [u32],
        upper: &mut [f32],
        lower: &mut [f32],
        sums: &mut [f64],
        counts: &mut [usize],
    ) {
        for empty in 0..counts.len() {
            let far = || {
                let able =
                    (0..assigned.len()).filter(|r| counts[assigned[*r] as usize] > 1 && upper[*r] > 0.0);
                able.max_by(|a, b| upper[*a].total_cmp(&upper[*b]))
            };
            if counts[empty] == 0
                && let Some(row) = far()
            {
                self.account(&[(row, empty as u32)], assigned, sums, counts);
                (upper[row], lower[row]) = (0.0, 0.0);
            }
        }
    }
}

/// Of rows around 0, from one start.
///
/// # Errors
/// [`Error::Stopped`] if it was asked to end before there was any clustering.
pub(crate) fn cluster(x: &Batch, k: usize, rounds: usize, rng: &mut Rng) -> Result<Clustering> {
    let rows = Rows::new(x);
    rows.lloyd(rows.seed(k, rng)?, rounds, |_, _| false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use genus_core::Seed;
    use proptest::prelude::*;

    /// Σ |x − c|² over each row's nearest centre, and that centre.
    fn by_definition(x: &Batch, centres: &Batch) -> (f64, Vec<u32>) {
        let to = |row: &[f32]| -> Vec<f64> {
            let one = |c: &[f32]| row.iter().zip(c).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>();
            centres.iter().map(one).collect()
        };
        let best = |d: &[f64]| (0..d.len()).fold(0, |b, c| if d[c] < d[b] { c } else { b });
        let each: Vec<Vec<f64>> = x.iter().map(to).collect();
        (each.iter().map(|d| d[best(d)]).sum(), each.iter().map(|d| best(d) as u32).collect())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60))]
        /// Bounds or not: every round is one of Lloyd's, so the inertia never rises, and what is reached is a fixed point of the
        /// definition.
        #[test]
        fn rounds_end_at_a_fixed_point(n in 10usize..300, d in 1usize..40, k in 1usize..9, clumps in 1usize..6, seed: u64) {
            let mut rng = Seed::from(seed).rng();
            let at: Vec<f32> = (0..clumps * d).map(|_| 3.0 * rng.normal() as f32).collect();
            let x = Batch::from_fn(n, d, |r, c| at[r % clumps * d + c] + rng.normal() as f32);
            let rows = Rows::new(&x);
            let start = rows.seed(k, &mut Seed::from(seed).child("start").rng()).unwrap();
            let mut last = f64::INFINITY;
            let found = rows.lloyd(start, 500, |_, inertia| {
                assert!(inertia <= last * (1.0 + 1e-6), "{last} {inertia}");
                last = inertia;
                false
            }).unwrap();
            prop_assert!(found.converged);
            let (inertia, nearest) = by_definition(&x, &found.centres);
            prop_assert!((inertia - found.inertia).abs() < 1e-4 * (1.0 + inertia), "{} {}", inertia, found.inertia);
            for (r, (a, b)) in nearest.iter().zip(&found.assigned).enumerate() {
                let gap = rows.squared(r, found.centres.row(*b as usize)) - rows.squared(r, found.centres.row(*a as usize));
                prop_assert!(gap <= 1e-4 * (1.0 + inertia / n as f64), "row {} prefers {} to {} by {}", r, a, b, gap);
            }
            for c in 0..k {
                let own: Vec<usize> = (0..n).filter(|r| found.assigned[*r] as usize == c).collect();
                prop_assert!(!own.is_empty(), "cluster {} is empty", c);
                for j in 0..d {
                    let mean = own.iter().map(|r| f64::from(x.row(*r)[j])).sum::<f64>() / own.len() as f64;
                    prop_assert!((mean - f64::from(found.centres.row(c)[j])).abs() < 1e-4);
                }
            }
        }
    }

    /// More clusters than distinct rows leave some without rows, and that is no error.
    #[test]
    fn rows_that_repeat() {
        let x = Batch::from_fn(12, 2, |r, _| (r % 2) as f32 - 0.5);
        let found = cluster(&x, 4, 100, &mut Seed::from(1).rng()).unwrap();
        assert_eq!(found.inertia, 0.0);
        let used: std::collections::BTreeSet<u32> = found.assigned.iter().copied().collect();
        assert_eq!(used.len(), 2);
    }
}
