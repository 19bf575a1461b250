//! How well clusters fit the rows, whether they are the classes, and how many there may be.

use super::some;
use crate::panel::{Cell, Named};
use crate::units::Units;
use crate::unsupervised::clustering::{agreement, lloyd};
use crate::{Batch, Diagnostic, Exhibit, Figure, Found, Panel, Result, Seed, Stop, Support, Trained};

/// Rows that are looked at.
const ROWS: usize = 2000;
/// Most clusters that are tried.
const MOST: usize = 12;
/// Starts of each number of clusters.
const STARTS: u64 = 5;
/// Most classes of the table.
const CLASSES: usize = 20;

pub(super) struct Clusters;

/// Rows as they are compared: columns of levels have a unit in common.
fn units(of: &Trained<'_>, x: &Batch) -> Batch {
    Units::around(x, of.domain().support == Support::Real).inside(x)
}

impl Diagnostic for Clusters {
    fn name(&self) -> &'static str {
        "clusters"
    }

    fn what(&self) -> &'static str {
        "how many clusters there may be"
    }

    fn applies(&self, of: &Trained<'_>) -> bool {
        of.model.as_clusterer().is_some() && of.held_out().x.rows() >= 10
    }

    fn find(&self, of: &Trained<'_>, seed: Seed) -> Result<Found> {
        let Some(model) = of.model.as_clusterer() else { return Ok(Found::default()) };
        let split = some(of.held_out(), ROWS, seed);
        let assigned = model.assign(&split.x)?;
        let x = units(of, &split.x);
        let (n, mut found) = (assigned.len(), Found::default());
        let mut figure = |name: &str, value: f64, what: &str| {
            found.figures.push(Figure::new(name, value, format!("{what}, {n} rows")));
        };
        if let Some(width) = agreement::silhouette(&x, &assigned)? {
            figure("silhouette", width, "from -1 to 1, high where clusters lie apart");
        }
        let mut panels = Vec::new();
        if let Some(labels) = of.data.schema.labels(&split) {
            figure(
                "adjusted Rand index",
                agreement::adjusted_rand(&assigned, &labels),
                "of clusters and classes; 0 by chance, 1 at best",
            );
            let information = agreement::normalized_information(&assigned, &labels);
            figure("normalised mutual information", information, "of clusters and classes; 1 at best");
            panels.push(table(of, &assigned, &labels, model.clusters()));
        }
        // Rows to choose by are those that the model was fitted to.
        let rows = units(of, &some(&of.data.train, ROWS, seed.child("train")).x);
        panels.extend(numbers(&rows, seed)?);
        let text = "Rows that were kept back, in their clusters; and how the rows of the training would lie in other numbers of clusters, by k-means: the silhouette is high where clusters lie apart, and the inertia bends where further clusters only cut what belongs together.";
        found.exhibits.push(Exhibit::new("clusters", "Clusters", text, panels));
        Ok(found)
    }
}

/// Rows of each class in each cluster.
fn table(of: &Trained<'_>, assigned: &[u32], labels: &[u32], clusters: usize) -> Panel {
    let classes = of.data.schema.classes().len().min(CLASSES);
    let count = |k: usize, c: usize| {
        assigned.iter().zip(labels).filter(|(a, l)| **a as usize == k && **l as usize == c).count() as f64
    };
    let line = |k: usize| {
        let cells = (0..classes).map(|c| Cell::Number(count(k, c)));
        [Cell::Number((k + 1) as f64)].into_iter().chain(cells).collect::<Vec<_>>()
    };
    Panel::Table {
        title: "Rows of each class".into(),
        head: ["Cluster".to_owned()]
            .into_iter()
            .chain((0..classes).map(|c| of.data.schema.class_name(c)))
            .collect(),
        rows: (0..clusters.min(MOST)).map(line).collect(),
    }
}

/// Silhouette and inertia by the number of clusters.
fn numbers(x: &Batch, seed: Seed) -> Result<Vec<Panel>> {
    let rows = lloyd::Rows::new(x);
    let (mut widths, mut inertias) = (Vec::new(), Vec::new());
    for k in 1..=MOST.min(x.rows() / 3) {
        let mut best: Option<lloyd::Clustering> = None;
        for start in 0..STARTS {
            Stop::current().check()?;
            let centres = rows.seed(k, &mut seed.child("k").index(k as u64).index(start).rng())?;
            let next = rows.lloyd(centres, 100, |_, _| false)?;
            if best.as_ref().is_none_or(|b| next.inertia < b.inertia) {
                best = Some(next);
            }
        }
        let Some(best) = best else { continue };
        if let Some(width) = agreement::silhouette(x, &best.assigned)? {
            widths.push((k as f64, width));
        }
        inertias.push((k as f64, best.inertia / x.rows() as f64));
    }
    let curve = |name: &str, points: Vec<(f64, f64)>| Panel::Lines {
        title: name.into(),
        axes: ["clusters".into(), name.to_lowercase()],
        lines: vec![Named::new(name, points)],
    };
    Ok(vec![curve("Silhouette", widths), curve("Inertia per row", inertias)])
}
