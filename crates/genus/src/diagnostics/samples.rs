//! Draws beside real rows, and the training rows that are nearest to them.

use super::{axes, some};
use crate::panel::{Frame, Named, Notes};
use crate::{
    Batch, Density, Diagnostic, Exhibit, Found, Panel, Result, Seed, Split, Tensor, Trained, metrics,
};

/// Rows, and points of a plane.
const ROWS: usize = 64;
const POINTS: usize = 2000;
/// Draws whose nearest training rows are shown.
const NEAREST: usize = 16;
/// Columns of a table whose distributions are shown.
const COLUMNS: usize = 24;
/// Points of the density on each axis.
const SIDE: usize = 121;
/// Depth of the map of a log-density below its maximum, nats.
const DEPTH: f64 = 10.0;

pub(super) struct Samples;

impl Diagnostic for Samples {
    fn name(&self) -> &'static str {
        "samples"
    }

    fn applies(&self, _: &Trained<'_>) -> bool {
        true
    }

    fn find(&self, of: &Trained<'_>, seed: Seed) -> Result<Found> {
        let held = of.held_out();
        let n = if of.plane() { POINTS } else { ROWS };
        let real = some(held, n, seed.child("real")).x;
        let drawn =
            of.model.as_sampler().map(|s| s.sample(n, &mut seed.child("samples").rng())).transpose()?;
        let sets: Vec<(&str, &Batch)> =
            drawn.iter().map(|x| ("Samples", x)).chain([("Real rows", &real)]).collect();
        let mut found = Found::default();
        let panels = if of.plane() { plane(of, held, &sets)? } else { rows(of, &sets) };
        let text = match (&drawn, of.plane() || of.images()) {
            (None, _) => "",
            (_, true) => "Drawn from the model, beside rows of the data.",
            (_, false) => {
                "Rows drawn from the model and rows of the data, and the distribution of each column."
            }
        };
        let title = if drawn.is_some() { "Samples" } else { "Real rows" };
        found.exhibits.push(Exhibit::new("samples", title, text, panels));
        if let Some(drawn) = drawn.filter(|_| !of.plane()) {
            found.exhibits.push(neighbours(&drawn.slice(0, NEAREST), &of.data.train.x)?);
        }
        Ok(found)
    }
}

fn rows(of: &Trained<'_>, sets: &[(&str, &Batch)]) -> Vec<Panel> {
    let mut panels: Vec<Panel> = sets.iter().map(|(name, x)| Panel::rows(*name, x)).collect();
    if of.images() {
        return panels;
    }
    let d = of.domain().width();
    for c in 0..d.min(COLUMNS) {
        let values = |x: &Batch| x.iter().map(|row| f64::from(row[c])).collect::<Vec<f64>>();
        panels.push(Panel::Bars {
            title: of.data.columns.get(c).cloned().unwrap_or_else(|| format!("x{}", c + 1)),
            unit: if d > COLUMNS && c + 1 == COLUMNS {
                format!("the first {COLUMNS} of {d} columns")
            } else {
                String::new()
            },
            sets: sets.iter().rev().map(|(name, x)| Named::new(name.to_lowercase(), values(x))).collect(),
            large: false,
        });
    }
    panels
}

fn plane(of: &Trained<'_>, held: &Split, sets: &[(&str, &Batch)]) -> Result<Vec<Panel>> {
    let (axes, frame) = (axes(&of.data.columns), around(&held.x));
    let mut panels: Vec<Panel> = sets
        .iter()
        .map(|(name, x)| Panel::Cloud {
            title: (*name).into(),
            axes: axes.clone(),
            frame: Some(frame),
            groups: vec![Named::new(*name, *x)],
        })
        .collect();
    if let Some(density) = of.model.as_density() {
        panels.push(Panel::Heat {
            title: "Log-density of the model".into(),
            axes,
            frame,
            values: heat(density, frame)?,
            depth: DEPTH,
            unit: "log-density, nats".into(),
        });
    }
    Ok(panels)
}

/// The rows with a margin.
fn around(x: &Batch) -> Frame {
    [0, 1].map(|c| {
        let column = x.iter().map(move |r| f64::from(r[c]));
        let (lo, hi) =
            (column.clone().fold(f64::INFINITY, f64::min), column.fold(f64::NEG_INFINITY, f64::max));
        let margin = 0.15 * (hi - lo).max(1e-6);
        (lo - margin, hi + margin)
    })
}

/// log p on a grid.
fn heat(density: &dyn Density, [across, up]: Frame) -> Result<Tensor> {
    let at = |(lo, hi): (f64, f64), i: usize| (lo + (hi - lo) * i as f64 / (SIDE - 1) as f64) as f32;
    let grid =
        Batch::from_fn(SIDE * SIDE, 2, |r, c| if c == 0 { at(across, r % SIDE) } else { at(up, r / SIDE) });
    Ok(Tensor::f64(&[SIDE, SIDE], density.log_prob(&grid)?.nats))
}

fn neighbours(drawn: &Batch, train: &Batch) -> Result<Exhibit> {
    let found = metrics::nearest(drawn, train)?;
    let nearest = train.select(&found.iter().map(|f| f.0).collect::<Vec<_>>());
    let texts = found.iter().map(|f| format!("{:.3}", f.1)).collect();
    let text = "Each sample above the training row that is nearest to it, with their Euclidean distance: a model that copies its \
                training rows shows it here.";
    let pairs = Panel::Pairs {
        upper: Named::new("sample", drawn),
        lower: Named::new("nearest training row", &nearest),
        notes: Notes { label: "Distance".into(), texts },
    };
    Ok(Exhibit::new("neighbours", "Nearest training rows", text, vec![pairs]))
}
