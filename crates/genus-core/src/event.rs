//! What a fit tells the world while it runs, and how the world stops it.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ops::ControlFlow;

/// Something that happened during a fit. Written to `events.jsonl` one per line, tagged by `event`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Event {
    /// The fit begins or goes on.
    Start {
        /// Registry name of the model.
        model: String,
        /// Steps planned in all, if known.
        steps: Option<u64>,
        /// Step from which a resumed fit goes on; 0 for a new one.
        resumed_at: u64,
        /// Number of trainable parameters.
        parameters: u64,
    },
    /// The fit begins anew from other values, as one of several attempts of which the best is kept.
    Restart {
        /// Number of the attempt, from 1.
        restart: u64,
        /// Updates done so far, by all attempts.
        step: u64,
    },
    /// One update of the parameters.
    Step {
        /// Updates done so far.
        step: u64,
        /// Named parts of the objective, per row; `loss` is what is minimised.
        #[serde(with = "crate::number::map")]
        parts: BTreeMap<String, f64>,
    },
    /// One pass over the data, or one round of an alternating method, has ended.
    Epoch {
        /// Epochs done so far.
        epoch: u64,
        /// Updates done so far.
        step: u64,
        /// Means over the epoch of the parts of the objective, per row.
        #[serde(with = "crate::number::map")]
        train: BTreeMap<String, f64>,
        /// Figures on the validation rows, if they were looked at after this epoch.
        #[serde(with = "crate::number::map")]
        valid: BTreeMap<String, f64>,
        /// True if the watched figure is the best so far.
        best: bool,
    },
    /// Figures on the validation rows, where they are not looked at after epochs.
    Validation {
        /// Epochs done so far.
        epoch: u64,
        /// Updates done so far.
        step: u64,
        /// The figures.
        #[serde(with = "crate::number::map")]
        valid: BTreeMap<String, f64>,
        /// True if the watched figure is the best so far.
        best: bool,
    },
    /// How far something has come that is no training.
    Progress {
        /// What is counted: `annealing`, `rows scored` …
        what: String,
        /// Done so far.
        done: u64,
        /// Of so many.
        of: u64,
    },
    /// A named phase began: `train`, `evaluate`, `sample` … The time per phase of a report comes from these.
    Phase {
        /// Name of the phase.
        name: String,
    },
    /// A checkpoint was written.
    Checkpoint {
        /// Updates done so far.
        step: u64,
    },
    /// Something that the user should know and that did not stop the fit.
    Warning {
        /// What happened and what to do about it.
        message: String,
    },
    /// The fit has ended.
    End {
        /// Updates done.
        step: u64,
        /// Why it ended.
        reason: StopReason,
    },
}

/// Why a fit ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopReason {
    /// All planned epochs are done, or an iterative method converged.
    Completed,
    /// The validation loss did not improve for the configured patience.
    EarlyStopping,
    /// The time budget is used up.
    TimeBudget,
    /// The user asked to stop; the state was saved.
    Interrupted,
}

/// Hears the events of a fit, on the thread that called it, and may stop it after any of them.
#[doc(alias = "callback")]
pub trait Observer {
    /// Called for every event. `Break` ends the fit after the current step, with everything saved.
    fn on(&mut self, event: &Event) -> ControlFlow<StopReason>;
}

/// Hears everything and says nothing.
#[derive(Debug, Default, Clone, Copy)]
pub struct Silent;

impl Observer for Silent {
    fn on(&mut self, _: &Event) -> ControlFlow<StopReason> {
        ControlFlow::Continue(())
    }
}

impl<F: FnMut(&Event) -> ControlFlow<StopReason>> Observer for F {
    fn on(&mut self, event: &Event) -> ControlFlow<StopReason> {
        self(event)
    }
}

/// Several observers as one; all hear every event, the first to break decides.
#[derive(Default)]
pub struct Tee<'a>(pub Vec<&'a mut dyn Observer>);

impl Observer for Tee<'_> {
    fn on(&mut self, event: &Event) -> ControlFlow<StopReason> {
        let mut verdict = ControlFlow::Continue(());
        for o in &mut self.0 {
            let v = o.on(event);
            if verdict.is_continue() {
                verdict = v;
            }
        }
        verdict
    }
}
