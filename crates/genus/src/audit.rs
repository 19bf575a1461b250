//! Audits of a trained model and of a tiny twin of its kind, which is small enough to enumerate.

use crate::run::AuditRow;
use crate::{
    Batch, Dataset, Error, FitContext, Model, ModelSpec, Result, Seed, Silent, Support, config, data,
    registry,
};

/// Checks of [`genus_core::audit`] that apply to a trained model, on some rows of its domain.
///
/// # Errors
/// If the rows are not in the model's domain.
pub fn trained(model: &dyn Model, rows: &Batch, seed: Seed) -> Result<Vec<AuditRow>> {
    genus_core::audit::run(model, rows, &registry::restore, "trained model", seed)
}

/// Data small enough that everything about a model of them can be computed, and whose law is known.
///
/// # Errors
/// [`Error::Domain`] if the family takes neither binary nor real rows.
pub fn known_source(spec: &ModelSpec) -> Result<Dataset> {
    let name = if spec.supports.contains(&"binary") && spec.supports[0] != "real" {
        "tree8"
    } else if spec.supports.contains(&"real") {
        "8gaussians"
    } else {
        return Err(Error::Domain(format!("{} has no known source to be audited on", spec.name)));
    };
    data::load(name, &data::Options::default())
}

/// Fits the tiny configuration of the same kind of model to a known source, and checks it.
///
/// # Errors
/// Whatever the fit may meet.
pub fn twin(spec: &'static ModelSpec, seed: Seed) -> Result<Vec<AuditRow>> {
    let set = known_source(spec)?;
    let tiny: toml::Table =
        toml::from_str(spec.tiny).map_err(|e| Error::config("tiny", format!("of {}: {e}", spec.name)))?;
    let mut table = (spec.default_config)();
    config::merge(&mut table, &tiny);
    let fit = (spec.fit)(&table, &set, &mut FitContext::new(seed, &mut Silent))?;
    let rows = set.test.as_ref().unwrap_or(&set.train).x.slice(0, 256);
    let kind = if set.domain.support == Support::Binary { "enumerable" } else { "two-dimensional" };
    genus_core::audit::run(fit.model.as_ref(), &rows, &registry::restore, &format!("tiny {kind} twin"), seed)
}
