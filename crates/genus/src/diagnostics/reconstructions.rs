//! Rows beside their reconstructions.

use super::some;
use crate::panel::Named;
use crate::{Diagnostic, Exhibit, Found, Panel, Result, Seed, Trained};

/// Rows that are encoded and decoded.
const ROWS: usize = 16;

pub(super) struct Reconstructions;

impl Diagnostic for Reconstructions {
    fn name(&self) -> &'static str {
        "reconstructions"
    }

    fn what(&self) -> &'static str {
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
            notes: None,
        };
        let text = "Each input above its reconstruction.";
        Ok(Exhibit::new("reconstructions", "Reconstructions", text, vec![pairs]).into())
    }
}
