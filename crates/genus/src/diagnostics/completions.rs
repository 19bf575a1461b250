//! Images whose lower half is missing, and what the model makes of them.

use super::some;
use crate::panel::{Named, Shade};
use crate::{Batch, Diagnostic, Exhibit, Fill, Found, Panel, Result, Seed, Shape, Trained};

/// Images whose lower half is drawn anew, and how often.
const IMAGES: usize = 10;
const TIMES: u64 = 4;

pub(super) struct Completions;

impl Diagnostic for Completions {
    fn name(&self) -> &'static str {
        "completions"
    }

    fn what(&self) -> &'static str {
        "completions"
    }

    fn applies(&self, of: &Trained<'_>) -> bool {
        of.model.as_conditional().is_some() && of.images()
    }

    fn find(&self, of: &Trained<'_>, seed: Seed) -> Result<Found> {
        let (Some(model), Shape::Image { height, width, channels }) =
            (of.model.as_conditional(), of.domain().shape)
        else {
            return Ok(Found::default());
        };
        let whole = some(of.held_out(), IMAGES, seed).x;
        let upper = height.div_ceil(2) * width * channels;
        let half = |r: usize, c: usize| if c < upper { whole.row(r)[c] } else { f32::NAN };
        let given = Batch::from_fn(whole.rows(), whole.width(), half);
        let mut lines = given.data().to_vec();
        let mut law = String::new();
        for time in 0..TIMES {
            let drawn = model.complete(&given, Fill::Sample, &mut seed.index(time).rng())?;
            lines.extend_from_slice(drawn.x.data());
            law = drawn.law;
        }
        lines.extend_from_slice(whole.data());
        let text = format!(
            "First line: the upper half of held-out images. Last line: the whole ones. Between them: lower halves drawn from {law}."
        );
        let rows = Panel::Rows {
            title: String::new(),
            each: String::new(),
            sets: vec![Named::new("completions", &Batch::new(lines, whole.width())?)],
            per_line: Some(whole.rows()),
            notes: None,
            shade: Shade::Data,
        };
        Ok(Exhibit::new("completions", "Completions", text, vec![rows]).into())
    }
}
