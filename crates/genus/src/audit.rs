//! Audits of a trained model and of a tiny twin of its kind, which is small enough to enumerate.

use crate::run::AuditRow;
use crate::{Batch, FitContext, Model, ModelSpec, Result, Seed, Silent, Support, registry};

/// Checks of [`genus_core::audit`] that apply to a trained model, on some rows of its domain.
///
/// # Errors
/// If the rows are not in the model's domain.
pub fn trained(model: &dyn Model, rows: &Batch, seed: Seed) -> Result<Vec<AuditRow>> {
    genus_core::audit::run(model, rows, &registry::restore, "trained model", seed)
}

/// Fits the first tiny configuration of the same kind of model to its known source, and checks it.
///
/// # Errors
/// Whatever the fit may meet.
pub fn twin(spec: &'static ModelSpec, seed: Seed) -> Result<Vec<AuditRow>> {
    let Some(tiny) = spec.tiny.first() else { return Ok(Vec::new()) };
    let set = tiny.load()?;
    let fit = (spec.fit)(&tiny.table(spec)?, &set, &mut FitContext::new(seed, &mut Silent))?;
    let rows = set.test.as_ref().unwrap_or(&set.train).x.slice(0, 256);
    let kind = if set.domain.support == Support::Real { "two-dimensional" } else { "enumerable" };
    genus_core::audit::run(fit.model.as_ref(), &rows, &registry::restore, &format!("tiny {kind} twin"), seed)
}
