//! Draws and the training rows that are nearest to them.

use crate::panel::{Named, Notes};
use crate::{Diagnostic, Exhibit, Found, Panel, Result, Seed, Trained, metrics};

/// Draws.
const ROWS: usize = 16;

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
        let drawn = sampler.sample(ROWS, &mut seed.rng())?;
        let found = metrics::nearest(&drawn, &of.data.train.x)?;
        let nearest = of.data.train.x.select(&found.iter().map(|f| f.0).collect::<Vec<_>>());
        let distances: Vec<f64> = found.iter().map(|f| f.1).collect();
        let pairs = Panel::Pairs {
            upper: Named::new("sample", &drawn),
            lower: Named::new("nearest training row", &nearest),
            notes: Some(Notes { label: "Distance".into(), values: distances.into() }),
        };
        let text = "Each sample above the training row that is nearest to it, with their Euclidean distance: a model that copies its \
                    training rows shows it here.";
        Ok(Exhibit::new("neighbours", "Nearest training rows", text, vec![pairs]).into())
    }
}
