//! What a model itself has to show of its inside.

use crate::panel::{Named, Shade};
use crate::{Batch, Diagnostic, Domain, Exhibit, Found, Panel, Result, Seed, Shape, Trained};

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
