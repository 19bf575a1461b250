//! The density of a model of the plane.

use super::axes;
use super::samples::around;
use crate::panel::Frame;
use crate::{Batch, Density, Diagnostic, Exhibit, Found, Panel, Result, Seed, Tensor, Trained};

/// Points on each axis.
const SIDE: usize = 121;
/// Depth of the map below its maximum, nats.
const DEPTH: f64 = 10.0;

pub(super) struct DensityMap;

impl Diagnostic for DensityMap {
    fn name(&self) -> &'static str {
        "density"
    }

    fn what(&self) -> &'static str {
        "the map of the density"
    }

    fn applies(&self, of: &Trained<'_>) -> bool {
        of.model.as_density().is_some() && of.plane()
    }

    fn find(&self, of: &Trained<'_>, _: Seed) -> Result<Found> {
        let Some(density) = of.model.as_density() else { return Ok(Found::default()) };
        let frame = around(&of.held_out().x);
        let heat = Panel::Heat {
            title: "Log-density of the model".into(),
            axes: axes(&of.data.schema),
            frame,
            values: map(density, frame)?,
            depth: DEPTH,
            unit: "log-density, nats".into(),
        };
        let text = match (of.data.provenance.entropy, of.test) {
            (Some(entropy), Some(test)) => {
                let reached = -test.score.nats;
                let error = test.score.stderr.map(|e| format!(" ± {e:.4}")).unwrap_or_default();
                format!(
                    "The law that the rows are from has an entropy of {entropy:.4} nats, which no model can go below but by chance; this one needs {reached:.4}{error}, {:.4} more.",
                    reached - entropy
                )
            }
            _ => String::new(),
        };
        Ok(Exhibit::new("density", "Density", text, vec![heat]).into())
    }
}

/// log p on a grid.
fn map(density: &dyn Density, [across, up]: Frame) -> Result<Tensor> {
    let at = |(lo, hi): (f64, f64), i: usize| (lo + (hi - lo) * i as f64 / (SIDE - 1) as f64) as f32;
    let grid =
        Batch::from_fn(SIDE * SIDE, 2, |r, c| if c == 0 { at(across, r % SIDE) } else { at(up, r / SIDE) });
    Ok(Tensor::f64(&[SIDE, SIDE], density.log_prob(&grid)?.nats))
}
