//! Rows beside their reconstructions, and the way from one row to another through the space of codes.

use super::some;
use crate::panel::{Named, Notes};
use crate::{Diagnostic, Exhibit, Found, Panel, Result, Seed, Tensor, Trained};

/// Rows that are encoded and decoded.
const ROWS: usize = 16;
/// Paths between two of them, and their steps.
const PATHS: usize = 4;
const STEPS: usize = 10;

pub(super) struct Reconstructions;

impl Diagnostic for Reconstructions {
    fn name(&self) -> &'static str {
        "reconstructions"
    }

    fn applies(&self, of: &Trained<'_>) -> bool {
        of.model.as_decoder().is_some()
    }

    fn find(&self, of: &Trained<'_>, seed: Seed) -> Result<Found> {
        let Some(decoder) = of.model.as_decoder() else { return Ok(Found::default()) };
        let rows = some(of.held_out(), ROWS, seed).x;
        let pairs = Panel::Pairs {
            upper: Named::new("input", &rows),
            lower: Named::new("reconstruction", &decoder.reconstruct(&rows)?),
            notes: Notes::default(),
        };
        let text = "Each input above its reconstruction.";
        let mut found = Found::from(Exhibit::new("reconstructions", "Reconstructions", text, vec![pairs]));
        let (paths, mut steps) = (PATHS.min(rows.rows() / 2), Vec::new());
        for p in 0..paths {
            let (from, to) = (rows.slice(2 * p, 2 * p + 1), rows.slice(2 * p + 1, 2 * p + 2));
            steps.extend_from_slice(decoder.interpolate(&from, &to, STEPS)?.data());
        }
        let panel = Panel::Paths {
            title: String::new(),
            caption: String::new(),
            paths: Tensor::f32(&[paths, STEPS, rows.width()], steps),
            through: of.plane().then(|| (&some(of.held_out(), 2000, seed.child("through")).x).into()),
        };
        let text = "From one row to another on a straight line between their codes.";
        found.exhibits.push(Exhibit::new("interpolations", "Interpolations", text, vec![panel]));
        Ok(found)
    }
}
