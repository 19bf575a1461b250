//! Every model, in the order of the taxonomy.

use crate::{Error, Model, ModelSpec, Result, State, explicit, implicit};

/// The families in the order of the taxonomy.
const FAMILIES: &[&[&ModelSpec]] = &[
    explicit::tractable::autoregressive::SPECS,
    explicit::tractable::mixture::SPECS,
    explicit::approximate::variational::SPECS,
    explicit::approximate::markov_chain::SPECS,
    implicit::markov_chain::SPECS,
];

/// All models.
pub fn all() -> impl Iterator<Item = &'static ModelSpec> {
    FAMILIES.iter().flat_map(|f| f.iter().copied())
}

/// The model called `name`.
///
/// # Errors
/// [`Error::Config`] listing the names that there are.
pub fn find(name: &str) -> Result<&'static ModelSpec> {
    all().find(|s| s.name == name).ok_or_else(|| {
        let names: Vec<_> = all().map(|s| s.name).collect();
        Error::config("model", format!("there is no model `{name}`; there are {}", names.join(", ")))
    })
}

/// The fitted model in a model file.
///
/// # Errors
/// If the file names no model of this version, or its tensors do not fit.
pub fn restore(state: &State) -> Result<Box<dyn Model>> {
    (find(state.text("model")?)?.restore)(state)
}
