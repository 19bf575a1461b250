//! A model under test.

use crate::data;
use genus_core::{Dataset, FitContext, Fitted, Model, ModelSpec, Observer, Seed, Silent, config};
use std::sync::OnceLock;

/// A model under test, with its source and one fit of it that checks share.
pub(crate) struct Subject {
    pub spec: &'static ModelSpec,
    data: OnceLock<Result<Dataset, String>>,
    fitted: OnceLock<Result<Box<dyn Model>, String>>,
}

impl Subject {
    pub fn new(spec: &'static ModelSpec) -> Self {
        Self { spec, data: OnceLock::new(), fitted: OnceLock::new() }
    }

    /// The tiny configuration on top of the defaults.
    pub fn config(&self) -> Result<toml::Table, String> {
        let tiny: toml::Table =
            toml::from_str(self.spec.tiny).map_err(|e| format!("tiny is not TOML: {e}"))?;
        let mut table = (self.spec.default_config)();
        config::merge(&mut table, &tiny);
        Ok(table)
    }

    /// A known source.
    pub fn data(&self) -> Result<&Dataset, String> {
        self.data.get_or_init(|| data::known(self.spec)).as_ref().map_err(Clone::clone)
    }

    /// Few rows of it.
    pub fn few(&self) -> Result<Dataset, String> {
        Ok(data::few(self.data()?, 200))
    }

    /// Fits the tiny configuration.
    pub fn fit(&self, set: &Dataset, seed: u64, observer: &mut dyn Observer) -> Result<Fitted, String> {
        let mut cx = FitContext::new(Seed::from(seed), observer);
        (self.spec.fit)(&self.config()?, set, &mut cx).map_err(|e| e.to_string())
    }

    /// A model fitted to the whole source, once.
    pub fn model(&self) -> Result<&dyn Model, String> {
        self.fitted
            .get_or_init(|| Ok(self.fit(self.data()?, 1, &mut Silent)?.model))
            .as_ref()
            .map(AsRef::as_ref)
            .map_err(Clone::clone)
    }
}

/// Turns a broken promise into the text of a failed trial.
pub(crate) fn ensure(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(otherwise()) }
}
