//! The way from one row to another through the space of codes.

use super::some;
use crate::{Diagnostic, Exhibit, Found, Panel, Result, Seed, Tensor, Trained};

/// Paths and their steps.
const PATHS: usize = 4;
const STEPS: usize = 10;
/// Rows of a plane that the paths lead through.
const ROWS: usize = 2000;

pub(super) struct Interpolations;

impl Diagnostic for Interpolations {
    fn name(&self) -> &'static str {
        "interpolations"
    }

    fn what(&self) -> &'static str {
        "interpolations"
    }

    fn applies(&self, of: &Trained<'_>) -> bool {
        of.model.as_decoder().is_some() && of.held_out().x.rows() >= 2
    }

    fn find(&self, of: &Trained<'_>, seed: Seed) -> Result<Found> {
        let Some(decoder) = of.model.as_decoder() else { return Ok(Found::default()) };
        let rows = some(of.held_out(), 2 * PATHS, seed).x;
        let (paths, mut steps) = (rows.rows() / 2, Vec::new());
        for p in 0..paths {
            let (from, to) = (rows.slice(2 * p, 2 * p + 1), rows.slice(2 * p + 1, 2 * p + 2));
            steps.extend_from_slice(decoder.interpolate(&from, &to, STEPS)?.data());
        }
        let panel = Panel::Paths {
            title: String::new(),
            caption: String::new(),
            paths: Tensor::f32(&[paths, STEPS, rows.width()], steps),
            through: of.plane().then(|| (&some(of.held_out(), ROWS, seed.child("through")).x).into()),
        };
        let text = "From one row to another on a straight line between their codes.";
        Ok(Exhibit::new("interpolations", "Interpolations", text, vec![panel]).into())
    }
}
