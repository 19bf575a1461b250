//! Figures of draws beside real rows.

use crate::panel::Cell;
use crate::sample_metrics::{LEAST, SampleMetric, Sides, Which, as_seen, binarizes};
use crate::{Diagnostic, Drawing, Exhibit, Figure, Found, Panel, Result, Seed, Trained};

/// Figures of draws beside as many real rows.
pub struct Likeness {
    /// Most rows of each side.
    rows: usize,
    which: Which,
}

/// What every training has.
pub(super) const QUICK: Likeness = Likeness { rows: 1000, which: Which::Quick };
/// All figures of as many rows as publications take.
pub const THOROUGH: Likeness = Likeness { rows: 10_000, which: Which::All };

impl Diagnostic for Likeness {
    fn name(&self) -> &'static str {
        "likeness"
    }

    fn what(&self) -> &'static str {
        "figures of draws beside real rows"
    }

    fn applies(&self, of: &Trained<'_>) -> bool {
        // Training rows beside themselves would say nothing.
        let apart = of.data.test.is_some() || of.data.valid.is_some();
        let rows = of.held_out().x.rows().min(of.data.train.x.rows()).min(self.rows);
        of.model.as_sampler().is_some() && apart && rows >= LEAST
    }

    fn find(&self, of: &Trained<'_>, seed: Seed) -> Result<Found> {
        let Some(sampler) = of.model.as_sampler() else { return Ok(Found::default()) };
        let [held_out, train] = [of.held_out(), &of.data.train].map(|rows| as_seen(of.model, rows));
        let (held_out, train) = (held_out?, train?);
        let binarized = binarizes(of.model);
        let sides = Sides { schema: &of.data.schema, held_out: &held_out, train: &train, binarized };
        let mut draws =
            sampler.draw_as(sides.rows(self.rows), &Drawing::default(), &mut seed.child("draws").rng())?;
        of.data.schema.hold(&mut draws.x);
        let found = sides.compare(&draws, self.which, seed, &mut |_, _| ())?;
        let line = |m: &SampleMetric| {
            let floor = m.floor.map_or(Cell::Text(String::new()), Cell::Number);
            vec![Cell::Text(m.name.clone()), Cell::Number(m.value), floor, Cell::Text(m.protocol.clone())]
        };
        let head = ["figure", "draws", "real rows", "what it is"].map(str::to_owned).to_vec();
        let table = Panel::Table { title: String::new(), head, rows: found.iter().map(line).collect() };
        let text = "Draws beside held-out rows, and what the same figure is of training rows in their place: nothing can be expected to be better than that. `genus evaluate` takes more rows and adds figures of classifiers.";
        let figure = |m: &SampleMetric| {
            let floor = m.floor.map_or(String::new(), |f| format!("where real rows have {f:.4}, "));
            Figure::new(m.name.clone(), m.value, format!("{floor}{} rows each", m.rows))
        };
        Ok(Found {
            figures: found.iter().map(figure).collect(),
            exhibits: vec![Exhibit::new("likeness", "Draws beside real rows", text, vec![table])],
        })
    }
}
