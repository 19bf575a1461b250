//! The Parzen-window figure of models without a density (Breuleux, Bengio & Vincent 2011): the mean log-density of test rows under a
//! mixture of normals around draws.
//!
//! It is no likelihood. It prefers draws that are blurred or few over real rows, so that it says nothing beside the same figure of as
//! many training rows in place of draws (Theis, van den Oord & Bethge 2016). It is here because the literature has nothing else.

use crate::distances::squared_distances;
use crate::{
    Batch, Chain, Dataset, Diagnostic, Error, Figure, Found, Model, Result, Seed, Stop, Trained, math,
};
use rayon::prelude::*;
use std::f64::consts::PI;

/// Draws around which the normals lie.
const DRAWS: usize = 10_000;
/// Validation rows on which their width is chosen.
const CHOSEN_ON: usize = 1000;
/// Chains from which the draws come.
const CHAINS: usize = 100;
/// Name of the figure, in nats.
pub const NAME: &str = "Parzen window on test rows, not a likelihood";

/// The figure, of models that have no likelihood.
pub struct Parzen;

impl Diagnostic for Parzen {
    fn name(&self) -> &'static str {
        "parzen"
    }

    fn what(&self) -> &'static str {
        "the Parzen window"
    }

    fn applies(&self, of: &Trained<'_>) -> bool {
        !crate::evaluate::is_scored(of.model) && of.data.valid.is_some() && of.data.test.is_some()
    }

    fn find(&self, of: &Trained<'_>, seed: Seed) -> Result<Found> {
        Ok(Found { figures: figures(of.model, of.data, seed)?, ..Found::default() })
    }
}

/// Log-density of each row of `x`, nats, under a mixture of normals of width σ around `centres`.
fn log_density(x: &Batch, centres: &Batch, sigma: f64) -> Result<Vec<f64>> {
    let (n, d) = (centres.rows() as f64, x.width() as f64);
    let constant = libm::log(n) + 0.5 * d * libm::log(2.0 * PI * sigma * sigma);
    let (stop, mut all) = (Stop::current(), Vec::with_capacity(x.rows()));
    for start in (0..x.rows()).step_by(500) {
        stop.check()?;
        let distances = squared_distances(&x.slice(start, start + 500), centres);
        let each = distances.par_chunks_exact(centres.rows()).map(|row| {
            math::log_sum_exp(row.iter().map(|q| -0.5 * f64::from(*q) / (sigma * sigma))) - constant
        });
        all.extend(each.collect::<Vec<f64>>());
    }
    Ok(all)
}

/// Mean and standard error on test rows, with the width that is best on validation rows.
fn figure(centres: &Batch, valid: &Batch, test: &Batch) -> Result<[f64; 3]> {
    let mean = |v: &[f64]| v.iter().sum::<f64>() / v.len() as f64;
    let widths = (0..10).map(|k| libm::exp10(-1.0 + f64::from(k) / 9.0));
    let (mut sigma, mut most) = (1.0, f64::NEG_INFINITY);
    for width in widths {
        let found = mean(&log_density(valid, centres, width)?);
        if found > most {
            (sigma, most) = (width, found);
        }
    }
    let each = log_density(test, centres, sigma)?;
    let m = mean(&each);
    let spread = each.iter().map(|v| (v - m).powi(2)).sum::<f64>() / each.len() as f64;
    Ok([m, libm::sqrt(spread / each.len() as f64), sigma])
}

/// What normals lie around: the means of states of chains that begin at training rows, as in the published protocol, or draws.
fn centres(model: &dyn Model, data: &Dataset, seed: Seed) -> Result<Option<(Batch, &'static str)>> {
    let rng = &mut seed.child("draws").rng();
    if let Some(chain) = model.as_chain() {
        let first = some_rows(&data.train.x, CHAINS, seed.child("first rows"));
        return Ok(Some((means(chain, &first, DRAWS, rng)?, "means of chain states")));
    }
    let Some(sampler) = model.as_sampler() else { return Ok(None) };
    Ok(Some((sampler.sample(DRAWS, rng)?, "draws")))
}

fn some_rows(x: &Batch, n: usize, seed: Seed) -> Batch {
    let mut rows = seed.rng().permutation(x.rows());
    rows.truncate(n);
    x.select(&rows)
}

fn means(chain: &dyn Chain, first: &Batch, n: usize, rng: &mut crate::Rng) -> Result<Batch> {
    let (thin, burn_in) = (chain.thinning(), 10);
    let states = n.div_ceil(first.rows()) + burn_in;
    let visited = chain.walk(first, states, thin, rng)?;
    let mut rows: Vec<f32> = visited.into_iter().skip(burn_in).flat_map(|v| v.means.into_data()).collect();
    rows.truncate(n * first.width());
    Batch::new(rows, first.width())
}

/// By what the values of each column are multiplied before widths from 0.1 to 1 are tried on them, and what that adds to a log-density,
/// nats, in units of the data. Levels count from 0 to 1, as published, and their figure with them; numbers count in units of their
/// column's deviation.
fn scale(top: Option<f32>, train: &Batch) -> (Vec<f64>, f64) {
    match top {
        Some(top) => (vec![1.0 / f64::from(top); train.width()], 0.0),
        None => {
            let (_, std) = crate::transform::moments(train);
            let units = -std.iter().map(|s| libm::log(*s)).sum::<f64>();
            (std.iter().map(|s| 1.0 / s).collect(), units)
        }
    }
}

fn scaled(x: &Batch, by: &[f64]) -> Batch {
    Batch::from_fn(x.rows(), x.width(), |r, c| (by[c] * f64::from(x.row(r)[c])) as f32)
}

/// The figure of a model, and beside it that of training rows, if there are validation and test rows.
///
/// # Errors
/// Whatever drawing may meet.
fn figures(model: &dyn Model, data: &Dataset, seed: Seed) -> Result<Vec<Figure>> {
    let (Some(valid), Some(test)) = (&data.valid, &data.test) else { return Ok(Vec::new()) };
    let (unit, units) = scale(data.domain().top(), &data.train.x);
    let Some((mut centres, of)) = centres(model, data, seed)? else { return Ok(Vec::new()) };
    // More centres are better, whatever they are: of draws there are no more than of real rows.
    centres = centres.slice(0, data.train.x.rows());
    if !centres.data().iter().all(|v| v.is_finite()) {
        let remedy = "train again with a smaller step size".into();
        return Err(Error::Numerical { what: "a draw".into(), step: 0, remedy });
    }
    let real = some_rows(&data.train.x, centres.rows(), seed.child("real rows"));
    let valid = scaled(&valid.x.slice(0, CHOSEN_ON), &unit);
    let test = scaled(&test.x, &unit);
    let mut figures = Vec::new();
    for (name, of, x) in
        [(NAME, of, centres), ("the same of real rows in place of draws", "training rows", real)]
    {
        let [mean, stderr, sigma] = figure(&scaled(&x, &unit), &valid, &test)?;
        let (mean, unit) = (mean + units, if units == 0.0 { "" } else { " deviations" });
        figures.push(Figure::new(
            name,
            mean,
            format!("nats ± {stderr:.2}, {} {of}, σ = {sigma:.3}{unit}", x.rows()),
        ));
    }
    Ok(figures)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Against the formula, with one centre and with several.
    #[test]
    fn density_is_that_of_the_mixture() {
        let x = Batch::from_fn(3, 2, |r, c| 0.3 * r as f32 - 0.2 * c as f32);
        let centres = Batch::from_fn(4, 2, |r, c| 0.1 * (r * 2 + c) as f32);
        let sigma = 0.4f64;
        for (row, got) in x.iter().zip(log_density(&x, &centres, sigma).unwrap()) {
            let normal = |c: &[f32]| -> f64 {
                let q: f64 = row.iter().zip(c).map(|(a, b)| f64::from(a - b).powi(2)).sum();
                (-0.5 * q / (sigma * sigma)).exp() / (2.0 * PI * sigma * sigma)
            };
            let want = (centres.iter().map(normal).sum::<f64>() / 4.0).ln();
            assert!((got - want).abs() < 1e-5, "{got} {want}");
        }
    }

    /// In other units numbers have the same figure up to the log of the units, and the width is found in any.
    #[test]
    fn units_are_those_of_the_data() {
        let rng = &mut Seed::from(2).rng();
        let mut normal = |n: usize| Batch::from_fn(n, 2, |_, _| rng.normal() as f32);
        let sets = [normal(500), normal(200), normal(500)];
        let in_units = |by: f32| {
            let [train, valid, test] =
                [0, 1, 2].map(|i| Batch::from_fn(sets[i].rows(), 2, |r, c| by * sets[i].row(r)[c]));
            let (unit, units) = scale(None, &train);
            let [x, valid, test] = [train, valid, test].map(|x| scaled(&x, &unit));
            figure(&x, &valid, &test).unwrap()[0] + units
        };
        let (own, far) = (in_units(1.0), in_units(1e4));
        assert!((far - (own - 2.0 * 1e4f64.ln())).abs() < 1e-3, "{own} {far}");
        assert!((own + 2.84).abs() < 0.15, "{own}: minus the entropy is -2.84");
    }

    /// Draws of the true law in one dimension: σ near that of a kernel estimate, and the figure near minus the entropy of the normal.
    #[test]
    fn figure_of_exact_draws_is_near_minus_the_entropy() {
        let rng = &mut Seed::from(2).rng();
        let mut normal = |n: usize| Batch::from_fn(n, 1, |_, _| rng.normal() as f32);
        let (centres, valid, test) = (normal(10_000), normal(1000), normal(10_000));
        let [mean, stderr, sigma] = figure(&centres, &valid, &test).unwrap();
        let entropy = 0.5 * (2.0 * PI * std::f64::consts::E).ln();
        // Five standard errors, and what the width costs.
        assert!((mean + entropy).abs() < 5.0 * stderr + 0.02, "{mean} {entropy}");
        assert!(sigma < 0.6, "{sigma}");
    }
}
