//! Audits of a trained model and of a tiny twin of its kind, which is small enough to enumerate.

use crate::{Batch, FitContext, Model, ModelSpec, Result, Seed, Silent, Support};
pub use genus_core::audit::Audit;

/// Checks of [`genus_core::audit`] that apply to a trained model, on some rows of its domain.
///
/// # Errors
/// As [`genus_core::audit::run`].
pub fn trained(
    model: &dyn Model,
    rows: &Batch,
    seed: Seed,
    heard: &mut dyn FnMut(u64, u64),
) -> Result<Audit> {
    genus_core::audit::run(model, rows, &model.spec().restore, "trained model", seed, heard)
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
