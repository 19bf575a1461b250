//! What a model that draws one dimension after the other looks at, and in which order it draws.

use super::{put, put_f64};
use crate::{Autoregressive, Batch, Model, Result, Seed, Shape, State, Stop, Tensor};

/// Images that are shown while they are drawn.
const IMAGES: usize = 12;
/// Images in which pixels are changed one by one.
const BASES: usize = 2;
/// Most pixels of an image whose dependencies are shown.
const PIXELS: usize = 1024;
/// Most values of conditionals that are computed for one image.
const WORK: usize = 1 << 28;
/// Values of conditionals in one pass, and rows at least and at most: a pass hears nothing.
const CHUNK: usize = 1 << 22;
const ROWS: [usize; 2] = [4, 32];

/// `drawn.*`: images, the order of their dimensions, and their levels; `receptive.*`: see [`receptive`]. For images only.
pub(super) fn show(model: &dyn Model, seed: Seed, state: &mut State) -> Result<()> {
    let (Some(ar), Shape::Image { height, width, channels }) =
        (model.as_autoregressive(), model.domain().shape)
    else {
        return Ok(());
    };
    let d = height * width * channels;
    let mut rng = seed.rng();
    let x = ar.draw(0, &Batch::from_fn(IMAGES, d, |_, _| rng.uniform()))?;
    let order: Vec<u64> = ar.order(0).iter().map(|d| *d as u64).collect();
    if order.len() != d {
        return Ok(());
    }
    put(state, "drawn.images", &x);
    state.tensors.insert("drawn.order".into(), Tensor::u64(&[d], order));
    put_f64(state, "drawn.levels", vec![ar.levels() as f64]);
    if height * width <= PIXELS && height * width * ar.conditionals(0, &x.slice(0, 1))?.width() <= WORK {
        receptive(ar, &x.slice(0, BASES), [height, width, channels], state)?;
    }
    Ok(())
}

/// `receptive.pixels`: pixels of an image; `receptive.change`: how much the conditional probabilities of each change, on
/// average over images, when one pixel changes, `[pixels, height · width]`. What a conditional does not depend on changes
/// it by exactly 0.
fn receptive(ar: &dyn Autoregressive, bases: &Batch, extents: [usize; 3], state: &mut State) -> Result<()> {
    let [height, width, channels] = extents;
    let n = height * width;
    let targets = [(height / 2) * width + width / 2, (3 * height / 4) * width + width / 4];
    let top = ar.levels() as f32 - 1.0;
    let mut change = vec![0.0; targets.len() * n];
    for base in bases.iter() {
        let whole = Batch::new(base.to_vec(), base.len())?;
        let before = ar.conditionals(0, &whole)?;
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
            let after = ar.conditionals(0, &changed)?;
            for r in 0..rows {
                for (t, target) in targets.iter().enumerate() {
                    let at = target * each..(target + 1) * each;
                    let moved = before.row(0)[at.clone()].iter().zip(&after.row(r)[at]);
                    let sum: f64 = moved.map(|(a, b)| f64::from((a - b).abs())).sum();
                    change[t * n + start + r] += sum / bases.rows() as f64;
                }
            }
        }
    }
    state
        .tensors
        .insert("receptive.pixels".into(), Tensor::u64(&[targets.len()], targets.map(|t| t as u64).to_vec()));
    state.tensors.insert("receptive.change".into(), Tensor::f64(&[targets.len(), n], change));
    Ok(())
}
