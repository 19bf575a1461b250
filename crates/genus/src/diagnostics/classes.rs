//! Draws of each class.

use crate::panel::{Named, Shade};
use crate::{Diagnostic, Drawing, Error, Exhibit, Found, Panel, Result, Seed, Trained};

/// Most classes that are shown.
const CLASSES: usize = 20;
/// Draws of each class.
const EACH: usize = 10;

pub(super) struct Classes;

impl Diagnostic for Classes {
    fn name(&self) -> &'static str {
        "classes"
    }

    fn what(&self) -> &'static str {
        "draws of each class"
    }

    fn applies(&self, of: &Trained<'_>) -> bool {
        of.model.as_sampler().is_some_and(|sampler| sampler.classes_drawn() > 0)
    }

    fn find(&self, of: &Trained<'_>, seed: Seed) -> Result<Found> {
        let Some(sampler) = of.model.as_sampler() else { return Ok(Found::default()) };
        let draw = |class: usize| {
            let how = Drawing { given: Some(vec![class as f32]), ..Drawing::default() };
            let drawn = sampler.draw_as(EACH, &how, &mut seed.index(class as u64).rng())?.x;
            let name = of.data.schema.class_name(class);
            Ok::<_, Error>(Named::new(name, &drawn))
        };
        let rows = Panel::Rows {
            title: "Draws of each class".into(),
            each: "Class".into(),
            sets: (0..sampler.classes_drawn().min(CLASSES)).map(draw).collect::<Result<_>>()?,
            per_line: Some(EACH),
            notes: None,
            shade: Shade::Data,
        };
        let text = "Drawn from the model given the class.";
        Ok(Exhibit::new("classes", "Draws of each class", text, vec![rows]).into())
    }
}
