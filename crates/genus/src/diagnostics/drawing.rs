//! Images while a model draws them, one dimension after the other.

use crate::{Batch, Diagnostic, Exhibit, Found, Panel, Result, Seed, Tensor, Trained};

/// Images that are shown.
const IMAGES: usize = 12;

pub(super) struct Drawing;

impl Diagnostic for Drawing {
    fn name(&self) -> &'static str {
        "drawing"
    }

    fn what(&self) -> &'static str {
        "drawing in order"
    }

    fn applies(&self, of: &Trained<'_>) -> bool {
        let d = of.domain().width();
        of.images() && of.model.as_autoregressive().is_some_and(|m| m.order(0).len() == d)
    }

    fn find(&self, of: &Trained<'_>, seed: Seed) -> Result<Found> {
        let Some(model) = of.model.as_autoregressive() else { return Ok(Found::default()) };
        let mut rng = seed.rng();
        let order: Vec<u64> = model.order(0).iter().map(|d| *d as u64).collect();
        let x = model.draw(0, &Batch::from_fn(IMAGES, order.len(), |_, _| rng.uniform()))?;
        let film = Panel::Film {
            rows: (&x).into(),
            order: Tensor::u64(&[order.len()], order),
            levels: model.levels(),
        };
        let text =
            "The model draws one value after the other, each from its distribution given those before.";
        Ok(Exhibit::new("drawing", "Drawing in order", text, vec![film]).into())
    }
}
