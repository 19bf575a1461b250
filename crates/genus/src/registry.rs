//! Every model, in the order of the taxonomy.

use crate::{Domain, Error, Model, ModelSpec, Result, State, explicit, implicit};

/// The families of this crate in the order of the taxonomy.
const FAMILIES: &[&[&ModelSpec]] = &[
    explicit::tractable::autoregressive::SPECS,
    explicit::tractable::mixture::SPECS,
    explicit::approximate::variational::SPECS,
    explicit::approximate::markov_chain::SPECS,
    implicit::markov_chain::SPECS,
];

/// Models by name. The default are those of this crate; [`with`](Self::with) puts others beside them.
#[derive(Debug, Clone)]
pub struct Registry(Vec<&'static ModelSpec>);

impl Default for Registry {
    fn default() -> Self {
        Self(all().collect())
    }
}

impl Registry {
    /// These models too. One with a name that is taken takes the other's place.
    #[must_use]
    pub fn with(mut self, specs: &[&'static ModelSpec]) -> Self {
        self.0.retain(|old| !specs.iter().any(|new| new.name == old.name));
        self.0.extend(specs);
        self
    }

    /// All.
    pub fn iter(&self) -> impl Iterator<Item = &'static ModelSpec> {
        self.0.iter().copied()
    }

    /// Names of those that can be fitted to rows of a domain.
    pub fn for_rows(&self, domain: &Domain) -> Vec<&'static str> {
        self.iter().filter(|s| s.admits(domain)).map(|s| s.name).collect()
    }

    /// The model called `name`.
    ///
    /// # Errors
    /// [`Error::Config`] listing the names that there are.
    pub fn find(&self, name: &str) -> Result<&'static ModelSpec> {
        self.iter().find(|s| s.name == name).ok_or_else(|| {
            let names: Vec<_> = self.iter().map(|s| s.name).collect();
            Error::config("model", format!("there is no model `{name}`; there are {}", names.join(", ")))
        })
    }

    /// The fitted model in a model file.
    ///
    /// # Errors
    /// If the file names no model of these, or its tensors do not fit.
    pub fn restore(&self, state: &State) -> Result<Box<dyn Model>> {
        (self.find(state.text("model")?)?.restore)(state)
    }
}

/// All models of this crate.
pub fn all() -> impl Iterator<Item = &'static ModelSpec> {
    FAMILIES.iter().flat_map(|f| f.iter().copied())
}

/// [`Registry::find`] among the models of this crate.
///
/// # Errors
/// As there.
pub fn find(name: &str) -> Result<&'static ModelSpec> {
    Registry::default().find(name)
}

/// [`Registry::restore`] among the models of this crate.
///
/// # Errors
/// As there.
pub fn restore(state: &State) -> Result<Box<dyn Model>> {
    Registry::default().restore(state)
}
