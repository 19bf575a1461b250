//! Draws beside real rows.

use super::{axes, some};
use crate::panel::{Cell, Frame, Named};
use crate::{Batch, Diagnostic, Exhibit, Found, Panel, Result, Seed, Split, Trained};

/// Rows, and points of a plane.
const ROWS: usize = 64;
const POINTS: usize = 2000;
/// Columns of a table whose distributions are shown.
const COLUMNS: usize = 24;

pub(super) struct Samples;

impl Diagnostic for Samples {
    fn name(&self) -> &'static str {
        "samples"
    }

    fn what(&self) -> &'static str {
        "samples"
    }

    fn applies(&self, _: &Trained<'_>) -> bool {
        true
    }

    fn find(&self, of: &Trained<'_>, seed: Seed) -> Result<Found> {
        let held = of.held_out();
        let n = if of.plane() { POINTS } else { ROWS };
        let Split { x: real, given, .. } = some(held, n, seed.child("real"));
        let rng = &mut seed.child("samples").rng();
        let open = of.model.as_given().filter(|_| of.data.schema.conditional).zip(given);
        let mut drawn = match (of.model.as_sampler(), &open) {
            (Some(sampler), _) => Some(sampler.sample(n, rng)?),
            (None, Some((model, given))) => Some(model.sample_given(given, 1.0, rng)?),
            (None, None) => None,
        };
        // As rows of the table that they are to be like.
        drawn.iter_mut().for_each(|x| of.data.schema.hold(x));
        let sets: Vec<(&str, &Batch)> =
            drawn.iter().map(|x| ("Samples", x)).chain([("Real rows", &real)]).collect();
        let panels = if of.plane() { plane(of, &sets) } else { rows(of, &sets) };
        let text = match (&drawn, of.plane() || of.images()) {
            (None, _) => "",
            _ if open.is_some() => {
                "Drawn from the model, one for each row of the data and given what that row is given."
            }
            (_, true) => "Drawn from the model, beside rows of the data.",
            (_, false) => {
                "Rows drawn from the model and rows of the data, and the distribution of each column."
            }
        };
        let title = if drawn.is_some() { "Samples" } else { "Real rows" };
        Ok(Exhibit::new("samples", title, text, panels).into())
    }
}

fn rows(of: &Trained<'_>, sets: &[(&str, &Batch)]) -> Vec<Panel> {
    let mut panels: Vec<Panel> = sets.iter().map(|(name, x)| Panel::rows(*name, x)).collect();
    if of.images() {
        return panels;
    }
    let d = of.domain().width();
    for c in 0..d.min(COLUMNS) {
        let names = of.data.schema.column(c).categories().to_vec();
        if !names.is_empty() {
            panels.push(shares(of.data.schema.column(c).name, &names, c, sets));
            continue;
        }
        let values = |x: &Batch| x.iter().map(|row| f64::from(row[c])).collect::<Vec<f64>>();
        panels.push(Panel::Bars {
            title: of.data.schema.column(c).heading(),
            unit: String::new(),
            sets: sets.iter().rev().map(|(name, x)| Named::new(name.to_lowercase(), values(x))).collect(),
            large: false,
            note: if d > COLUMNS && c + 1 == COLUMNS {
                format!("The first {COLUMNS} of {d} columns are shown.")
            } else {
                String::new()
            },
        });
    }
    panels
}

/// Most categories that are shown.
const CATEGORIES: usize = 12;

/// Shares of the categories of a column, the commonest among the real rows first.
fn shares(title: String, names: &[String], c: usize, sets: &[(&str, &Batch)]) -> Panel {
    let of = |x: &Batch| {
        let mut shares = vec![0.0; names.len()];
        x.iter().for_each(|row| shares[row[c] as usize] += 1.0 / x.rows() as f64);
        shares
    };
    let sets: Vec<(&str, Vec<f64>)> = sets.iter().rev().map(|(name, x)| (*name, of(x))).collect();
    let mut order: Vec<usize> = (0..names.len()).collect();
    order.sort_by(|a, b| sets[0].1[*b].total_cmp(&sets[0].1[*a]));
    order.truncate(CATEGORIES);
    let line = |i: usize| {
        let shares = sets.iter().map(|(_, shares)| Cell::Share(shares[i]));
        std::iter::once(Cell::Text(names[i].clone())).chain(shares).collect()
    };
    Panel::Table {
        title: title.clone(),
        head: std::iter::once(title).chain(sets.iter().map(|(name, _)| (*name).to_owned())).collect(),
        rows: order.into_iter().map(line).collect(),
    }
}

fn plane(of: &Trained<'_>, sets: &[(&str, &Batch)]) -> Vec<Panel> {
    let cloud = |(colour, (name, x)): (usize, &(&str, &Batch))| Panel::Cloud {
        title: (*name).into(),
        axes: axes(&of.data.schema),
        frame: Some(around(&of.held_out().x)),
        groups: vec![Named::new(*name, *x)],
        colour,
    };
    sets.iter().enumerate().map(cloud).collect()
}

/// The rows with a margin.
pub(super) fn around(x: &Batch) -> Frame {
    [0, 1].map(|c| {
        let column = x.iter().map(move |r| f64::from(r[c]));
        let (lo, hi) =
            (column.clone().fold(f64::INFINITY, f64::min), column.fold(f64::NEG_INFINITY, f64::max));
        let margin = 0.15 * (hi - lo).max(1e-6);
        (lo - margin, hi + margin)
    })
}
