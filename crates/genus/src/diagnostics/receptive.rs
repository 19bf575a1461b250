//! What the conditionals of single pixels depend on.

use crate::panel::Named;
use crate::{Autoregressive, Batch, Diagnostic, Exhibit, Found, Panel, Result, Seed, Shape, Stop, Trained};

/// Images in which pixels are changed one by one.
const BASES: usize = 2;
/// Most pixels of an image whose dependencies are shown.
const PIXELS: usize = 1024;
/// Most values of conditionals that are computed for one image.
const WORK: usize = 1 << 28;
/// Values of conditionals in one pass, and rows at least and at most: a pass hears nothing.
const CHUNK: usize = 1 << 22;
const ROWS: [usize; 2] = [4, 32];

pub(super) struct Receptive;

impl Diagnostic for Receptive {
    fn name(&self) -> &'static str {
        "receptive"
    }

    fn what(&self) -> &'static str {
        "what a pixel depends on"
    }

    fn applies(&self, of: &Trained<'_>) -> bool {
        let d = of.domain().width();
        matches!(of.domain().shape, Shape::Image { height, width, .. } if height * width <= PIXELS)
            && of.model.as_autoregressive().is_some_and(|m| m.order(0).len() == d)
    }

    fn find(&self, of: &Trained<'_>, seed: Seed) -> Result<Found> {
        let (Some(model), Shape::Image { height, width, channels }) =
            (of.model.as_autoregressive(), of.domain().shape)
        else {
            return Ok(Found::default());
        };
        let n = height * width;
        let mut rng = seed.rng();
        let bases = model.draw(0, &Batch::from_fn(BASES, n * channels, |_, _| rng.uniform()))?;
        if n * model.conditionals(0, &bases.slice(0, 1))?.width() > WORK {
            return Ok(Found::default());
        }
        let marked = vec![(height / 2) * width + width / 2, (3 * height / 4) * width + width / 4];
        let maps = changes(model, &bases, n, &marked)?;
        if maps.iter().flatten().all(|v| *v == 0.0) {
            return Ok(Found::default());
        }
        let seen = |map: &Vec<f64>, at: usize| (0..n).filter(|p| map[*p] > 0.0 && *p != at).count();
        let notes = maps.iter().zip(&marked).map(|(map, at)| format!("{} pixels", seen(map, *at))).collect();
        let name = |at: usize| format!("Row {}, column {}", at / width + 1, at % width + 1);
        let maps = maps.into_iter().zip(&marked).map(|(map, at)| Named::new(name(*at), map)).collect();
        let text = "How much the probabilities of the white pixel change when one other pixel does. Pixels without colour change \
                    nothing at all: they come later, or the model is blind to them.";
        let panel = Panel::Pixels { maps, marked, notes, unit: "change of probabilities".into() };
        Ok(Exhibit::new("receptive", "What a pixel depends on", text, vec![panel]).into())
    }
}

/// How much the conditional probabilities of each target change, on average over images, when one of the `n` pixels changes. What a
/// conditional does not depend on changes it by exactly 0.
fn changes(model: &dyn Autoregressive, bases: &Batch, n: usize, targets: &[usize]) -> Result<Vec<Vec<f64>>> {
    let channels = bases.width() / n;
    let top = model.levels() as f32 - 1.0;
    let mut change = vec![vec![0.0; n]; targets.len()];
    for base in bases.iter() {
        let whole = Batch::new(base.to_vec(), base.len())?;
        let before = model.conditionals(0, &whole)?;
        // Of all channels of a pixel.
        let each = before.width() / n;
        let chunk = (CHUNK / before.width()).clamp(ROWS[0], ROWS[1]);
        for start in (0..n).step_by(chunk) {
            Stop::current().check()?;
            let rows = chunk.min(n - start);
            let changed = Batch::from_fn(rows, base.len(), |r, c| {
                let v = base[c];
                match (c / channels == start + r, top - v == v) {
                    (false, _) => v,
                    (true, false) => top - v,
                    (true, true) => 0.0,
                }
            });
            let after = model.conditionals(0, &changed)?;
            for r in 0..rows {
                for (map, target) in change.iter_mut().zip(targets) {
                    let at = target * each..(target + 1) * each;
                    let moved = before.row(0)[at.clone()].iter().zip(&after.row(r)[at]);
                    let sum: f64 = moved.map(|(a, b)| f64::from((a - b).abs())).sum();
                    map[start + r] += sum / bases.rows() as f64;
                }
            }
        }
    }
    Ok(change)
}
