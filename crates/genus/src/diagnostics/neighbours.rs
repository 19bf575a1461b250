//! Draws and the training rows that are nearest to them.

use super::some;
use crate::panel::{Named, Notes};
use crate::transform::moments;
use crate::{Batch, Diagnostic, Exhibit, Found, Panel, Result, Seed, Trained, metrics};

/// Draws.
const ROWS: usize = 16;
/// Held-out rows whose distances to the training rows are what those of draws are held against.
const HELD: usize = 200;

pub(super) struct Neighbours;

impl Diagnostic for Neighbours {
    fn name(&self) -> &'static str {
        "neighbours"
    }

    fn what(&self) -> &'static str {
        "nearest training rows"
    }

    fn applies(&self, of: &Trained<'_>) -> bool {
        of.model.as_sampler().is_some() && !of.plane()
    }

    fn find(&self, of: &Trained<'_>, seed: Seed) -> Result<Found> {
        let Some(sampler) = of.model.as_sampler() else { return Ok(Found::default()) };
        let train = &of.data.train.x;
        let drawn = sampler.sample(ROWS, &mut seed.rng())?;
        // Columns have units of their own, pixels have one.
        let units = (!of.images()).then(|| moments(train).1);
        let scaled = |x: &Batch| match &units {
            Some(units) => in_units(x, units),
            None => x.clone(),
        };
        let among = scaled(train);
        let found = metrics::nearest(&scaled(&drawn), &among)?;
        let nearest = train.select(&found.iter().map(|f| f.0).collect::<Vec<_>>());
        let distances: Vec<f64> = found.iter().map(|f| f.1).collect();
        let mut text =
            "Each sample above the training row that is nearest to it, with their Euclidean distance"
                .to_owned();
        if units.is_some() {
            text += ", every column in units of its standard deviation";
        }
        text += ": a model that copies its training rows shows it here.";
        if let Some(held) = of.data.test.as_ref().or(of.data.valid.as_ref()) {
            let held = some(held, HELD, seed.child("held out")).x;
            let others = metrics::nearest(&scaled(&held), &among)?.into_iter().map(|f| f.1).collect();
            text += &format!(
                " Their median is {:.3}; that of {} held-out rows, which were not copied, is {:.3}.",
                median(distances.clone()),
                held.rows(),
                median(others)
            );
        }
        let pairs = Panel::Pairs {
            upper: Named::new("sample", &drawn),
            lower: Named::new("nearest training row", &nearest),
            notes: Some(Notes { label: "Distance".into(), values: distances.into() }),
        };
        Ok(Exhibit::new("neighbours", "Nearest training rows", text, vec![pairs]).into())
    }
}

/// Rows in units of these deviations.
fn in_units(x: &Batch, units: &[f64]) -> Batch {
    Batch::from_fn(x.rows(), x.width(), |r, c| (f64::from(x.row(r)[c]) / units[c]) as f32)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => values[n / 2],
        n => f64::midpoint(values[n / 2 - 1], values[n / 2]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_units() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 2.5);
        let x = Batch::new(vec![1.0, 100.0, 3.0, 300.0], 2).unwrap();
        assert_eq!(in_units(&x, &[2.0, 1.0]).data(), [0.5, 100.0, 1.5, 300.0]);
    }
}
