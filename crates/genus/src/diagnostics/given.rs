//! Draws given something: a class, or the upper half of an image.

use super::{put, some};
use crate::{Batch, Domain, Drawing, Fill, Model, Result, Seed, Shape, Split, State, Tensor};

/// Most classes that are shown.
const CLASSES: usize = 20;
/// Draws of each class.
const EACH: usize = 10;
/// Images whose lower half is drawn anew, and how often.
const HALVES: [usize; 2] = [10, 4];

/// `by_class`: draws of each class, `[classes, draws, d]`.
pub(super) fn by_class(model: &dyn Model, seed: Seed, state: &mut State) -> Result<()> {
    let (Some(classes), Some(sampler)) = (model.as_class_conditional(), model.as_sampler()) else {
        return Ok(());
    };
    let n = classes.classes().min(CLASSES);
    let mut all = Vec::new();
    for class in 0..n {
        let how = Drawing { class: Some(class as u32), ..Drawing::default() };
        all.extend_from_slice(sampler.draw_as(EACH, &how, &mut seed.index(class as u64).rng())?.data());
    }
    state.tensors.insert("by_class".into(), Tensor::f32(&[n, EACH, model.domain().width()], all));
    Ok(())
}

/// `completions.*`: images, the same with their lower half missing, and with it drawn anew several times.
pub(super) fn completions(
    model: &dyn Model,
    held: &Split,
    domain: &Domain,
    seed: Seed,
    state: &mut State,
) -> Result<()> {
    let (Some(model), Shape::Image { height, width, channels }) = (model.as_conditional(), domain.shape)
    else {
        return Ok(());
    };
    let [images, times] = HALVES;
    let whole = some(held, images, seed).x;
    let upper = height.div_ceil(2) * width * channels;
    let given =
        Batch::from_fn(
            whole.rows(),
            whole.width(),
            |r, c| if c < upper { whole.row(r)[c] } else { f32::NAN },
        );
    let mut drawn = Vec::new();
    for time in 0..times {
        drawn.extend_from_slice(
            model.impute(&given, Fill::Sample, &mut seed.index(time as u64).rng())?.data(),
        );
    }
    put(state, "completions.whole", &whole);
    put(state, "completions.given", &given);
    state
        .tensors
        .insert("completions.drawn".into(), Tensor::f32(&[times, whole.rows(), whole.width()], drawn));
    state.header.insert("completions.law".into(), model.law(&given));
    Ok(())
}
