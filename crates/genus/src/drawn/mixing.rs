//! How chains move through the data: where consecutive states are, which classes they visit, how long they remember.

use super::squared_distances;
use crate::{Batch, Dataset, Figure, Model, Result, Seed, State, Stop, Tensor};

/// Chains that are followed.
const CHAINS: usize = 4;
/// States of each.
const STATES: usize = 1000;
/// Of these, those that are shown.
const SHOWN: usize = 20;
/// Training rows that the probe knows.
const KNOWN: usize = 10_000;
/// Test rows on which the probe is tried.
const TRIED: usize = 1000;
/// Name of a figure.
pub const CLASSES: &str = "classes that a chain visits, fewest";

/// Chains that begin at held-out rows.
#[derive(Debug, Clone, PartialEq)]
pub struct Mixing {
    /// Transitions between states.
    thin: usize,
    /// The first states of each chain, `[chains, states, width]`.
    strip: Vec<f32>,
    width: usize,
    /// Correlation of states at each distance, from 0.
    correlation: Vec<f64>,
    /// Share of the states in each class, and what is known of the probe that says so.
    classes: Option<Classes>,
}

#[derive(Debug, Clone, PartialEq)]
struct Classes {
    names: usize,
    shares: Vec<f64>,
    fewest: usize,
    accuracy: f64,
}

/// Follows chains of a model, if it has such.
///
/// # Errors
/// Whatever drawing may meet.
pub fn of(model: &dyn Model, data: &Dataset, seed: Seed) -> Result<Option<Mixing>> {
    let Some(chain) = model.as_chain() else { return Ok(None) };
    let held = data.test.as_ref().or(data.valid.as_ref()).unwrap_or(&data.train);
    let mut rows = seed.child("first rows").rng().permutation(held.x.rows());
    rows.truncate(CHAINS);
    let first = held.x.select(&rows);
    let visited = chain.walk(&first, STATES, chain.thinning(), &mut seed.child("chains").rng())?;
    let width = first.width();
    let mut strip = Vec::with_capacity(first.rows() * SHOWN * width);
    for chain in 0..first.rows() {
        strip.extend_from_slice(first.row(chain));
        visited.iter().take(SHOWN - 1).for_each(|v| strip.extend_from_slice(v.means.row(chain)));
    }
    let states: Vec<Batch> = visited.into_iter().map(|v| v.rows).collect();
    let classes = classes(&states, data, seed.child("probe"))?;
    Ok(Some(Mixing { thin: chain.thinning(), strip, width, correlation: correlation(&states)?, classes }))
}

/// Σ (x_s − m)(x_{s+t} − m) / Σ (x_s − m)² over chains, states and columns, for t from 0 to a tenth of the states.
fn correlation(states: &[Batch]) -> Result<Vec<f64>> {
    let stop = Stop::current();
    let (n, values) = (states.len(), states.first().map_or(0, |s| s.data().len()));
    let width = states.first().map_or(1, Batch::width);
    let mut mean = vec![0.0f64; width];
    for row in states.iter().flat_map(Batch::iter) {
        mean.iter_mut().zip(row).for_each(|(m, v)| *m += f64::from(*v) / (n * values / width) as f64);
    }
    let around = |s: &Batch| -> Vec<f32> {
        s.iter().flat_map(|row| row.iter().zip(&mean).map(|(v, m)| v - *m as f32)).collect()
    };
    let centred: Vec<Vec<f32>> = states.iter().map(around).collect();
    let at = |t: usize| {
        let pairs = centred.iter().zip(&centred[t..]);
        let sums = pairs.map(|(a, b)| a.iter().zip(b).map(|(a, b)| f64::from(a * b)).sum::<f64>());
        sums.sum::<f64>() / (n - t) as f64
    };
    let variance = at(0);
    let each = (0..=n / 10).map(|t| {
        stop.check()?;
        Ok(if variance > 0.0 { at(t) / variance } else { 1.0 })
    });
    each.collect()
}

/// 1 + 2 Σ ρ(t) up to the first t whose correlation is below 0.05: so many states count as one; None if none is.
fn time(correlation: &[f64]) -> Option<f64> {
    let end = correlation.iter().position(|c| *c < 0.05)?;
    Some(1.0 + 2.0 * correlation[1..end.max(1)].iter().sum::<f64>())
}

/// Classes of rows by the nearest of the known ones.
fn nearest(x: &Batch, known: &Batch, labels: &[u32]) -> Result<Vec<usize>> {
    let (stop, mut all) = (Stop::current(), Vec::with_capacity(x.rows()));
    for start in (0..x.rows()).step_by(500) {
        stop.check()?;
        let distances = squared_distances(&x.slice(start, start + 500), known);
        let class = |row: &[f32]| {
            let best = row.iter().enumerate().min_by(|a, b| a.1.total_cmp(b.1));
            best.map_or(0, |(i, _)| labels[i] as usize)
        };
        all.extend(distances.chunks_exact(known.rows()).map(class));
    }
    Ok(all)
}

fn classes(states: &[Batch], data: &Dataset, seed: Seed) -> Result<Option<Classes>> {
    let (Some(all_labels), Some(first)) = (&data.train.labels, states.first()) else { return Ok(None) };
    let mut rows = seed.rng().permutation(data.train.x.rows());
    rows.truncate(KNOWN);
    let known = data.train.select(&rows);
    let labels: Vec<u32> = rows.iter().map(|r| all_labels[*r]).collect();
    let names = 1 + all_labels.iter().copied().max().unwrap_or(0) as usize;
    let mut accuracy = f64::NAN;
    if let Some(test) = &data.test
        && let Some(right) = &test.labels
    {
        let mut tried = seed.child("tried").rng().permutation(test.x.rows());
        tried.truncate(TRIED);
        let found = nearest(&test.x.select(&tried), &known.x, &labels)?;
        let hits =
            found.iter().zip(tried.iter().map(|r| &right[*r])).filter(|(f, r)| **f == **r as usize).count();
        accuracy = hits as f64 / found.len() as f64;
    }
    let (chains, width) = (first.rows(), first.width());
    let mut shares = vec![0.0; names];
    let mut seen = vec![vec![false; names]; chains];
    let all = Batch::new(states.iter().flat_map(|s| s.data().iter().copied()).collect(), width)?;
    for (i, class) in nearest(&all, &known.x, &labels)?.into_iter().enumerate() {
        shares[class] += 1.0 / all.rows() as f64;
        seen[i % chains][class] = true;
    }
    let fewest = seen.iter().map(|s| s.iter().filter(|v| **v).count()).min().unwrap_or(0);
    Ok(Some(Classes { names, shares, fewest, accuracy }))
}

impl Mixing {
    /// For tables.
    pub fn figures(&self) -> Vec<Figure> {
        let states = format!("states of {} transitions", self.thin);
        let mut figures = Vec::new();
        let name = "autocorrelation time of the chain";
        figures.push(match time(&self.correlation) {
            Some(t) => Figure::new(name, t, states.clone()),
            None => Figure::new(name, f64::INFINITY, format!("more than can be told from {STATES} {states}")),
        });
        if let Some(c) = &self.classes {
            let of = format!("of {} in {STATES} {states}", c.names);
            figures.push(Figure::new(CLASSES, c.fewest as f64, of));
            let name = "accuracy of the nearest neighbour that tells the classes";
            figures.push(Figure::new(name, c.accuracy, "of test rows"));
        }
        figures
    }

    /// For the report.
    pub fn show(&self, state: &mut State) {
        let mut put = |name: &str, tensor: Tensor| state.tensors.insert(name.into(), tensor);
        let chains = self.strip.len() / (SHOWN * self.width);
        put("chain.strip", Tensor::f32(&[chains, SHOWN, self.width], self.strip.clone()));
        put("chain.thin", Tensor::u64(&[1], vec![self.thin as u64]));
        put("chain.correlation", Tensor::f64(&[self.correlation.len()], self.correlation.clone()));
        if let Some(c) = &self.classes {
            put("chain.classes", Tensor::f64(&[c.shares.len()], c.shares.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// States x' = 0.8 x + noise: correlation 0.8^t, and a time of 9 up to where the sum ends.
    #[test]
    fn correlation_of_an_autoregression() {
        let rng = &mut Seed::from(1).rng();
        let mut x = vec![0.0f64; 2000];
        let states: Vec<Batch> = (0..1000)
            .map(|_| {
                x.iter_mut().for_each(|v| *v = 0.8 * *v + 0.6 * rng.normal());
                Batch::new(x.iter().map(|v| *v as f32).collect(), 100).unwrap()
            })
            .skip(20)
            .collect();
        let c = correlation(&states).unwrap();
        for t in [0, 1, 2, 5, 10] {
            assert!((c[t] - 0.8f64.powi(t as i32)).abs() < 0.01, "{t}: {}", c[t]);
        }
        let want = 1.0 + 2.0 * (1..14).map(|t| 0.8f64.powi(t)).sum::<f64>();
        assert!((time(&c).unwrap() - want).abs() < 0.2, "{:?} {want}", time(&c));
        assert_eq!(time(&[1.0, 0.9, 0.8]), None);
    }

    #[test]
    fn classes_are_those_of_the_nearest_row() {
        let known = Batch::new(vec![0.0, 0.0, 1.0, 1.0, 5.0, 5.0], 2).unwrap();
        let x = Batch::new(vec![0.9, 1.2, 4.0, 4.0, -1.0, 0.0], 2).unwrap();
        assert_eq!(nearest(&x, &known, &[2, 0, 1]).unwrap(), [0, 1, 2]);
    }
}
