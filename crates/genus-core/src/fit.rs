//! How a family of models is fitted.

use crate::checkpoint::Checkpoints;
use crate::{Dataset, Event, Figure, Model, Observer, Result, Seed, State, Stop, StopReason};
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
    /// State of a model of the same family to begin with, instead of a fresh one: its transform and its parameters.
    pub start: Option<&'a State>,
    observer: &'a mut dyn Observer,
    stop: Stop,
}

impl<'a> FitContext<'a> {
    /// A context without checkpoints. The fit hears [`Stop::current`], and the observer, which is called on the thread of the caller.
    pub fn new(seed: Seed, observer: &'a mut dyn Observer) -> Self {
        Self { seed, checkpoints: None, resume: false, start: None, observer, stop: Stop::current().child() }
    }

    /// Keeps checkpoints, and goes on from the newest if `resume`.
    #[must_use]
    pub fn with_checkpoints(mut self, checkpoints: &'a Checkpoints, resume: bool) -> Self {
        self.checkpoints = Some(checkpoints);
        self.resume = resume;
        self
    }

    /// Begins with the model of this state, if there is one.
    #[must_use]
    pub fn starting_from(mut self, start: Option<&'a State>) -> Self {
        self.start = start;
        self
    }

    /// Tells the observer. Afterwards [`stopped`](Self::stopped) says whether it wants the fit to end.
    pub fn emit(&mut self, event: &Event) {
        if let ControlFlow::Break(reason) = self.observer.on(event) {
            self.stop.request(reason);
        }
    }

    /// Tells the observer a warning and keeps it in `report`.
    pub fn warn(&mut self, report: &mut FitReport, message: impl Into<String>) {
        let message = message.into();
        report.warnings.push(message.clone());
        self.emit(&Event::Warning { message });
    }

    /// Why the fit is to end, if it is.
    pub fn stopped(&self) -> Option<StopReason> {
        self.stop.reason()
    }

    /// What asks the fit to end.
    pub fn stop(&self) -> &Stop {
        &self.stop
    }

    /// Runs `f` with this share of the time that is left, if time is limited.
    pub fn with_share<T>(&mut self, share: f64, f: impl FnOnce(&mut Self) -> T) -> T {
        let part = self.stop.share(share);
        let whole = std::mem::replace(&mut self.stop, part);
        let result = f(self);
        let part = std::mem::replace(&mut self.stop, whole);
        // Any other reason ends the part, and what follows makes a whole model of it.
        if part.requested() == Some(StopReason::Interrupted) {
            self.stop.request(StopReason::Interrupted);
        }
        result
    }
}
