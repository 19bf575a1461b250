//! How a family of models is fitted.

use crate::checkpoint::Checkpoints;
use crate::{Dataset, Event, Figure, Model, Observer, Result, Seed, State, StopReason};
use serde::{Serialize, de::DeserializeOwned};
use std::ops::ControlFlow;

/// A family of models, as its author writes it. The tools see it through [`ModelSpec`](crate::ModelSpec).
pub trait Family: Model + Sized + 'static {
    /// Its hyper-parameters; `Default` is a sensible small model.
    type Config: Serialize + DeserializeOwned + Default;

    /// Fits to the training rows; validation rows serve choices such as early stopping, test rows are not looked at.
    ///
    /// # Errors
    /// If the data do not suit the family or the computation leaves the finite numbers. Not converging is no error: it is a
    /// warning in the report.
    fn fit(config: &Self::Config, data: &Dataset, cx: &mut FitContext<'_>) -> Result<Fit<Self>>;

    /// The model that [`Model::state`] described.
    ///
    /// # Errors
    /// If a tensor is missing or has another shape than the configuration says.
    fn restore(state: &State) -> Result<Self>;
}

/// A fitted model and how the fit went.
#[derive(Debug)]
pub struct Fit<M> {
    /// The model.
    pub model: M,
    /// How it went.
    pub report: FitReport,
}

/// A fitted model whose family is not known statically.
pub type Fitted = Fit<Box<dyn Model>>;

/// How a fit went.
#[derive(Debug, Clone, Default)]
pub struct FitReport {
    /// Updates done.
    pub steps: u64,
    /// Why it ended; `None` if the family has no notion of it.
    pub stopped: Option<StopReason>,
    /// What the user should know: no convergence, dead components …
    pub warnings: Vec<String>,
    /// Figures about the fit.
    pub figures: Vec<Figure>,
}

/// What a fit is given besides configuration and data.
pub struct FitContext<'a> {
    /// Root of all its random streams.
    pub seed: Seed,
    /// Where to keep checkpoints; none means no checkpoints.
    pub checkpoints: Option<&'a Checkpoints>,
    /// Go on from the newest checkpoint if there is one.
    pub resume: bool,
    observer: &'a mut dyn Observer,
    stop: Option<StopReason>,
}

impl<'a> FitContext<'a> {
    /// A context without checkpoints.
    pub fn new(seed: Seed, observer: &'a mut dyn Observer) -> Self {
        Self { seed, checkpoints: None, resume: false, observer, stop: None }
    }

    /// Keeps checkpoints, and goes on from the newest if `resume`.
    #[must_use]
    pub fn with_checkpoints(mut self, checkpoints: &'a Checkpoints, resume: bool) -> Self {
        self.checkpoints = Some(checkpoints);
        self.resume = resume;
        self
    }

    /// Tells the observer. Afterwards [`stopped`](Self::stopped) says whether it wants the fit to end.
    pub fn emit(&mut self, event: &Event) {
        if let ControlFlow::Break(reason) = self.observer.on(event) {
            self.stop.get_or_insert(reason);
        }
    }

    /// Tells the observer a warning and keeps it in `report`.
    pub fn warn(&mut self, report: &mut FitReport, message: impl Into<String>) {
        let message = message.into();
        report.warnings.push(message.clone());
        self.emit(&Event::Warning { message });
    }

    /// Why the observer wants the fit to end, if it does.
    pub fn stopped(&self) -> Option<StopReason> {
        self.stop
    }
}
