//! How chains move through the data: where consecutive states are, which classes they visit, how long they remember.

use crate::distances::squared_distances;
use crate::panel::{Cell, Named};
use crate::{
    Batch, Dataset, Diagnostic, Exhibit, Figure, Found, Panel, Result, Seed, Stop, Tensor, Trained, Visited,
};

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
pub struct Mixing;

/// Classes that chains visit, and what is known of the probe that says so.
#[derive(Debug, Clone, PartialEq)]
struct Classes {
    shares: Vec<f64>,
    fewest: usize,
    accuracy: f64,
}

impl Diagnostic for Mixing {
    fn name(&self) -> &'static str {
        "mixing"
    }

    fn what(&self) -> &'static str {
        "following the chains"
    }

    fn applies(&self, of: &Trained<'_>) -> bool {
        of.model.as_chain().is_some()
    }

    fn find(&self, of: &Trained<'_>, seed: Seed) -> Result<Found> {
        let Some(chain) = of.model.as_chain() else { return Ok(Found::default()) };
        let held = of.held_out();
        let mut rows = seed.child("first rows").rng().permutation(held.x.rows());
        rows.truncate(CHAINS);
        let first = held.x.select(&rows);
        let thin = chain.thinning();
        let visited = chain.walk(&first, STATES, thin, &mut seed.child("chains").rng())?;
        let mut panels = Vec::new();
        if of.images() {
            panels.push(strip(&first, &visited));
        }
        let states: Vec<Batch> = visited.into_iter().map(|v| v.rows).collect();
        let classes = classes(&states, of.data, seed.child("probe"))?;
        let correlation = correlation(&states)?;
        let figures = figures(thin, &correlation, classes.as_ref());
        panels.push(Panel::Lines {
            title: "How long a chain remembers".into(),
            axes: ["states apart".into(), "correlation".into()],
            lines: vec![Named::new(
                "correlation",
                correlation.iter().enumerate().map(|(t, c)| (t as f64, *c)).collect::<Vec<_>>(),
            )],
        });
        if let Some(found) = classes {
            let name = |c: usize| of.data.schema.class_name(c);
            let row = |(c, share): (usize, &f64)| vec![Cell::Text(name(c)), Cell::Share(*share)];
            panels.push(Panel::Table {
                title: "Classes along the chains, by the nearest training row".into(),
                head: vec!["Class".into(), "Share of the states".into()],
                rows: found.shares.iter().enumerate().map(row).collect(),
            });
        }
        let text = format!(
            "The model draws by a Markov chain; a state is looked at after every {thin} transitions."
        );
        Ok(Found { figures, exhibits: vec![Exhibit::new("chain", "The chain", text, panels)] })
    }
}

/// The rows at which chains begin, and the means of the first states of each.
fn strip(first: &Batch, visited: &[Visited]) -> Panel {
    let shown = 1 + visited.len().min(SHOWN - 1);
    let mut strip = Vec::with_capacity(first.rows() * shown * first.width());
    for chain in 0..first.rows() {
        strip.extend_from_slice(first.row(chain));
        visited.iter().take(shown - 1).for_each(|v| strip.extend_from_slice(v.means.row(chain)));
    }
    Panel::Paths {
        title: "Consecutive states".into(),
        caption: "From left to right: an image of the data, and the means of the states that follow.".into(),
        paths: Tensor::f32(&[first.rows(), shown, first.width()], strip),
        through: None,
    }
}

fn figures(thin: usize, correlation: &[f64], classes: Option<&Classes>) -> Vec<Figure> {
    let states = format!("states of {thin} transitions");
    let mut figures = Vec::new();
    let name = "autocorrelation time of the chain";
    figures.push(match time(correlation) {
        Some(t) => Figure::new(name, t, states.clone()),
        None => Figure::new(name, f64::INFINITY, format!("more than can be told from {STATES} {states}")),
    });
    if let Some(c) = classes {
        let of = format!("of {} in {STATES} {states}", c.shares.len());
        figures.push(Figure::new(CLASSES, c.fewest as f64, of));
        let name = "accuracy of the nearest neighbour that tells the classes";
        figures.push(Figure::new(name, c.accuracy, "of test rows"));
    }
    figures
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
    let (Some(all_labels), Some(first)) = (data.schema.labels(&data.train), states.first()) else {
        return Ok(None);
    };
    let mut rows = seed.rng().permutation(data.train.x.rows());
    rows.truncate(KNOWN);
    let known = data.train.select(&rows);
    let labels: Vec<u32> = rows.iter().map(|r| all_labels[*r]).collect();
    let names = 1 + all_labels.iter().copied().max().unwrap_or(0) as usize;
    let mut accuracy = f64::NAN;
    if let Some(test) = &data.test
        && let Some(right) = data.schema.labels(test)
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
    Ok(Some(Classes { shares, fewest, accuracy }))
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
