//! How likely rows are: the distribution of their log-probabilities, and the rows at its ends.

use super::some;
use crate::panel::{Named, Notes, Shade};
use crate::{Diagnostic, Exhibit, Found, Panel, Result, Scored, Scoring, Seed, Split, Trained, evaluate};

/// Training rows beside the test rows.
const ROWS: usize = 2000;
/// Rows at each end.
const ENDS: usize = 8;

pub(super) struct Scores;

impl Diagnostic for Scores {
    fn name(&self) -> &'static str {
        "scores"
    }

    fn what(&self) -> &'static str {
        "scores of single rows"
    }

    fn applies(&self, of: &Trained<'_>) -> bool {
        evaluate::is_scored(of.model)
    }

    fn find(&self, of: &Trained<'_>, seed: Seed) -> Result<Found> {
        let rows = some(&of.data.train, ROWS, seed);
        let Some(train) = of.model.score_split(&rows, &Scoring::default())? else {
            return Ok(Found::default());
        };
        let kind = train.evidence.name();
        let mut sets = vec![Named::new("train", train.nats)];
        let mut found = Found::default();
        if let (Some(scored), Some(test)) = (of.test, &of.data.test) {
            sets.insert(0, Named::new("test", scored.nats.clone()));
            found.exhibits.push(extremes(scored, test, kind));
        }
        let bars = Panel::Bars {
            title: "Log-probability of rows".into(),
            unit: "nats".into(),
            sets,
            large: true,
            note: String::new(),
        };
        let text = format!(
            "Nats per row, {kind}. Rows that lie far to the left are outliers; a train histogram to the right of the test one means \
             over-fitting."
        );
        found.exhibits.insert(0, Exhibit::new("histogram", "Log-likelihood of rows", text, vec![bars]));
        Ok(found)
    }
}

fn extremes(scored: &Scored, test: &Split, kind: &str) -> Exhibit {
    let mut order: Vec<usize> = (0..scored.nats.len()).collect();
    order.sort_by(|a, b| scored.nats[*b].total_cmp(&scored.nats[*a]));
    let k = ENDS.min(order.len());
    let low: Vec<usize> = order.iter().rev().take(k).copied().collect();
    let panel = |title: &str, which: &[usize]| Panel::Rows {
        title: title.into(),
        each: String::new(),
        sets: vec![Named::new(
            title,
            &test.x.select(&which.iter().map(|r| scored.rows[*r]).collect::<Vec<_>>()),
        )],
        per_line: None,
        notes: Some(Notes {
            label: "Nats".into(),
            values: which.iter().map(|r| scored.nats[*r]).collect::<Vec<_>>().into(),
        }),
        shade: Shade::Data,
    };
    let number = |r: usize| test.lines.get(r).map_or_else(|| r.to_string(), u64::to_string);
    let numbers =
        |which: &[usize]| which.iter().map(|r| number(scored.rows[*r])).collect::<Vec<_>>().join(", ");
    let counted = match test.lines.is_empty() {
        true => "Counted from 0 within that split, the most likely are the rows",
        false => "In the file, the most likely are in the lines",
    };
    let text = format!(
        "Rows of the test split with their log-probability, nats per row, {kind}. {counted} {}; the least likely are {}.",
        numbers(&order[..k]),
        numbers(&low)
    );
    let panels = vec![panel("Most likely", &order[..k]), panel("Least likely", &low)];
    Exhibit::new("extremes", "Most and least likely rows", text, panels)
}
