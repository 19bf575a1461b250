//! What a model itself has to show of its inside.

use crate::panel::{Cell, Named, Notes, Shade};
use crate::{Batch, Diagnostic, Domain, Exhibit, Found, Panel, Result, Schema, Seed, Shape, Trained};

/// Hidden units whose weights are shown, at most.
const UNITS: usize = 100;

/// Weights between the pixels of an image and hidden units, a row per unit; nothing where rows are no images.
pub fn weights(domain: &Domain, units: &Batch) -> Vec<Exhibit> {
    if !matches!(domain.shape, Shape::Image { .. }) {
        return Vec::new();
    }
    let panel = Panel::Rows {
        title: "Receptive fields".into(),
        each: String::new(),
        sets: vec![Named::new("weights", &units.slice(0, UNITS))],
        per_line: None,
        notes: None,
        shade: Shade::Signed,
    };
    let text = "Weights between the pixels and each of the first hidden units.";
    vec![Exhibit::new("filters", "What hidden units look at", text, vec![panel])]
}

/// Most columns and lines of a table of parts.
const COLUMNS: usize = 12;
const LINES: usize = 20;

/// Parts of a model, such as centres or means, which are rows of data, with the share that each has: as images, or as a table of which `cell`
/// makes a value of a column.
pub fn parts(
    schema: &Schema,
    (title, one): (&str, &str),
    rows: &Batch,
    (label, shares): (&str, &[f64]),
    shade: Shade,
    cell: impl Fn(usize, f64) -> Cell,
) -> Panel {
    if matches!(schema.domain.shape, Shape::Image { .. }) {
        let n = rows.rows().min(UNITS);
        return Panel::Rows {
            title: title.into(),
            each: String::new(),
            sets: vec![Named::new(title, &rows.slice(0, n))],
            per_line: None,
            notes: Some(Notes { label: label.into(), values: shares[..n].to_vec().into() }),
            shade,
        };
    }
    let columns = rows.width().min(COLUMNS);
    let line = |r: usize| {
        let own = (0..columns).map(|c| cell(c, f64::from(rows.row(r)[c])));
        [Cell::Number((r + 1) as f64), Cell::Share(shares[r])].into_iter().chain(own).collect()
    };
    let names = (0..columns).map(|c| format!("{}: {}", c + 1, schema.column(c).name));
    Panel::Table {
        title: title.into(),
        head: [one.to_owned(), label.to_owned()].into_iter().chain(names).collect(),
        rows: (0..rows.rows().min(LINES)).map(line).collect(),
    }
}

pub(super) struct Inside;

impl Diagnostic for Inside {
    fn name(&self) -> &'static str {
        "inside"
    }

    fn what(&self) -> &'static str {
        "the model's inside"
    }

    fn applies(&self, _: &Trained<'_>) -> bool {
        true
    }

    fn find(&self, of: &Trained<'_>, _: Seed) -> Result<Found> {
        Ok(Found { exhibits: of.model.exhibits(), ..Found::default() })
    }
}
