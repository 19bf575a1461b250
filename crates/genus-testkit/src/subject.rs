//! A model under test.

use genus_core::{Dataset, FitContext, Fitted, Model, ModelSpec, Observer, Seed, Silent, TinyFit};
use std::sync::OnceLock;

/// A model under test, with its source and one fit of it that checks share.
pub struct Subject {
    /// Its registry entry.
    pub spec: &'static ModelSpec,
    tiny: TinyFit,
    data: OnceLock<Result<Dataset, String>>,
    fitted: OnceLock<Result<Box<dyn Model>, String>>,
}

impl Subject {
    /// A family with one of its tiny configurations.
    pub fn new(spec: &'static ModelSpec, tiny: TinyFit) -> Self {
        Self { spec, tiny, data: OnceLock::new(), fitted: OnceLock::new() }
    }

    /// The tiny configuration on top of the defaults.
    ///
    /// # Errors
    /// If it is none.
    pub fn config(&self) -> Result<toml::Table, String> {
        self.tiny.table(self.spec).map_err(|e| e.to_string())
    }

    /// A known source.
    ///
    /// # Errors
    /// If there is no such data set.
    pub fn data(&self) -> Result<&Dataset, String> {
        let load = || self.tiny.load().map_err(|e| e.to_string());
        self.data.get_or_init(load).as_ref().map_err(Clone::clone)
    }

    /// Few rows of it, for checks that fit often.
    ///
    /// # Errors
    /// As [`data`](Self::data).
    pub fn few(&self) -> Result<Dataset, String> {
        let set = self.data()?;
        let first = |n: usize| (0..n).collect::<Vec<usize>>();
        Ok(Dataset {
            train: set.train.select(&first(200)),
            valid: set.valid.as_ref().map(|v| v.select(&first(50))),
            test: set.test.as_ref().map(|t| t.select(&first(50))),
            ..set.clone()
        })
    }

    /// Fits the tiny configuration.
    ///
    /// # Errors
    /// What the fit says.
    pub fn fit(&self, set: &Dataset, seed: u64, observer: &mut dyn Observer) -> Result<Fitted, String> {
        let mut cx = FitContext::new(Seed::from(seed), observer);
        (self.spec.fit)(&self.config()?, set, &mut cx).map_err(|e| e.to_string())
    }

    /// Of a model of p(x | given), that of rows under what the first training row is given.
    ///
    /// # Errors
    /// What the model says.
    pub fn under_given(&self) -> Result<Option<Box<dyn Model>>, String> {
        let (model, set) = (self.model()?, self.data()?);
        match (model.as_given().filter(|_| model.schema().conditional), &set.train.given) {
            (Some(open), Some(given)) => open.at(given.row(0)).map(Some).map_err(|e| e.to_string()),
            _ => Ok(None),
        }
    }

    /// A model fitted to the whole source, once.
    ///
    /// # Errors
    /// What the fit says.
    pub fn model(&self) -> Result<&dyn Model, String> {
        self.fitted
            .get_or_init(|| Ok(self.fit(self.data()?, 1, &mut Silent)?.model))
            .as_ref()
            .map(AsRef::as_ref)
            .map_err(Clone::clone)
    }
}

/// What a check that found nothing wrong says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The promise was put to the test and held.
    Held,
    /// There was nothing to test, because of this.
    NotApplicable(&'static str),
}

/// Turns a broken promise into the text of a failed trial.
///
/// # Errors
/// What `otherwise` says, if `holds` is false.
pub fn ensure(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(otherwise()) }
}
