//! Audits of a trained model and of a tiny twin of its kind, which is small enough to enumerate.

use crate::{FitContext, Model, ModelSpec, Result, Seed, Silent, Split, Support};
pub use genus_core::audit::Audit;

/// Rows whose given values a model of p(x | given) is audited under, and rows that it draws under each for that.
const GIVEN: usize = 3;
const DRAWS: usize = 128;

/// Checks of [`genus_core::audit`] that apply to a trained model, on some rows of its domain. One of p(x | given) is audited as the model
/// of rows under what the first of them are given, on its own draws: rows that are given something else lie elsewhere.
///
/// # Errors
/// As [`genus_core::audit::run`].
pub fn trained(
    model: &dyn Model,
    rows: &Split,
    seed: Seed,
    heard: &mut dyn FnMut(u64, u64),
) -> Result<Audit> {
    let restore = &model.spec().restore;
    let (Some(open), Some(given)) = (model.as_given().filter(|_| model.schema().conditional), &rows.given)
    else {
        return genus_core::audit::run(model, &rows.x, restore, "trained model", seed, heard);
    };
    let (mut all, mut seen) = (Audit::default(), Vec::new());
    for row in given.iter() {
        if !seen.contains(&row) && seen.len() < GIVEN {
            seen.push(row);
        }
    }
    for (i, row) in seen.iter().enumerate() {
        let (at, seed) = (open.at(row)?, seed.index(i as u64));
        let subject = format!("trained model given {}", model.schema().given_words(row));
        let Some(sampler) = at.as_sampler() else { continue };
        let x = sampler.sample(DRAWS, &mut seed.child("rows").rng())?;
        let (done, of) = (i as u64, seen.len() as u64);
        let mut part = |k: u64, n: u64| heard(done * n + k, of * n);
        let audit = genus_core::audit::run(at.as_ref(), &x, restore, &subject, seed, &mut part)?;
        all.rows.extend(audit.rows);
        all.left_out += audit.left_out;
    }
    Ok(all)
}

/// Fits the first tiny configuration of the same kind of model to its known source, and checks it.
///
/// # Errors
/// Whatever the fit may meet.
pub fn twin(spec: &'static ModelSpec, seed: Seed, heard: &mut dyn FnMut(u64, u64)) -> Result<Audit> {
    let Some(tiny) = spec.tiny_fits.first() else { return Ok(Audit::default()) };
    let set = tiny.load()?;
    let fit = (spec.fit)(&tiny.table(spec)?, &set, &mut FitContext::new(seed, &mut Silent))?;
    let rows = set.test.as_ref().unwrap_or(&set.train).x.slice(0, 256);
    let kind = if set.domain().support == Support::Real { "two-dimensional" } else { "enumerable" };
    let subject = format!("tiny {kind} twin");
    genus_core::audit::run(fit.model.as_ref(), &rows, &spec.restore, &subject, seed, heard)
}
