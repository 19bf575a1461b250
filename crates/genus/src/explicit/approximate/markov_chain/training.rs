//! Stochastic gradient ascent on a likelihood whose gradient is a difference of two expectations: the learner that the loop of
//! [`genus_core::train`] takes through its settings.

use super::learning::Learning;
use crate::training_rows::TrainingRows;
use genus_core::config::Every;
use genus_core::train::{self, At, Figures, Phase, Plan, Step, Watch};
use genus_core::{Batch, Error, FitContext, FitReport, Result, Scoring, Seed, State};
use std::num::NonZeroUsize;

/// Share of the time for a fit that training may take; log Z has the rest.
const TRAINING: f64 = 0.7;

/// A machine that learns.
pub trait Ascent: Send {
    /// Number of parameters.
    fn parameters(&self) -> u64;

    /// One update by these rows; `key` is that of the step's random streams. Gives figures of the step, per row, among them `loss`:
    /// how much greater the mean log-mass of the chains is than that of the rows, or what stands for these where hidden units are
    /// not summed out. Nothing about the likelihood follows from its value, unless the expectation is exact: then it is −log p.
    ///
    /// # Errors
    /// [`Error::Stopped`] if it was asked to end; nothing has then changed.
    fn step(&mut self, x: &Batch, at: &At, key: u64) -> Result<Figures>;

    /// Figures after an epoch.
    ///
    /// # Errors
    /// [`Error::Stopped`] if it was asked to end.
    fn validate(&mut self) -> Result<Figures>;

    /// Whether all parameters are finite.
    fn is_finite(&self) -> bool;

    /// All that goes on from step to step.
    fn state(&self) -> State;

    /// What [`state`](Self::state) gave.
    ///
    /// # Errors
    /// [`Error::Run`] if it does not fit.
    fn load(&mut self, state: &State) -> Result<()>;
}

/// One part of a training.
pub struct Part<'a> {
    /// What it does, for those who watch; empty if there is one part only.
    pub name: String,
    /// How.
    pub how: &'a Learning,
    /// Where that stands in the configuration.
    pub key: &'static str,
}

impl<'a> Part<'a> {
    /// The whole training.
    pub const fn whole(how: &'a Learning) -> Self {
        Self { name: String::new(), how, key: "train" }
    }
}

/// Takes `machine` through the parts, with events and checkpoints; that it ends is for the caller to say.
///
/// # Errors
/// [`Error::Numerical`] if parameters leave the finite numbers, and whatever the checkpoints may meet.
pub fn train(
    parts: &[Part<'_>],
    seen: &TrainingRows,
    machine: &mut dyn Ascent,
    model: &'static str,
    seed: Seed,
    cx: &mut FitContext<'_>,
) -> Result<FitReport> {
    let phase = |p: &Part<'_>| Phase { name: p.name.clone(), epochs: p.how.epochs, batch: p.how.batch };
    let plan = Plan {
        model,
        rows: seen.rows(),
        seed,
        phases: parts.iter().map(phase).collect(),
        validate: Every::Epochs(NonZeroUsize::MIN),
        watch: Watch::lower("loss"),
        patience: 0,
        keep_best: false,
    };
    let mut climber = Climber { parts, seen, machine };
    cx.with_share(TRAINING, |cx| train::train(&plan, &mut climber, cx))
}

struct Climber<'a> {
    parts: &'a [Part<'a>],
    seen: &'a TrainingRows,
    machine: &'a mut dyn Ascent,
}

impl train::Learner for Climber<'_> {
    fn parameters(&self) -> u64 {
        self.machine.parameters()
    }

    fn step(&mut self, rows: &[usize], at: &At) -> Result<Step> {
        let x = self.seen.batch(rows, || at.rng("noise"))?;
        let parts = self.machine.step(&x, at, at.rng("chains").bits())?;
        Ok(Step { parts, other: Figures::new() })
    }

    fn validate(&mut self, at: &At) -> Result<Figures> {
        if !self.machine.is_finite() {
            let what = "a parameter of the machine".into();
            return Err(Error::Numerical { what, step: at.step, remedy: self.remedy(at) });
        }
        self.machine.validate()
    }

    fn state(&self) -> State {
        self.machine.state()
    }

    fn load(&mut self, state: &State) -> Result<()> {
        self.machine.load(state)
    }

    fn remedy(&self, at: &At) -> String {
        let Part { how, key, .. } = &self.parts[at.phase];
        format!("lower {key}.rate (now {})", how.rate.get())
    }
}

/// As many training rows as there are for validation, at most `most`, and those.
///
/// # Errors
/// If rows do not fit the domain.
pub fn compared(seen: &TrainingRows, most: usize, seed: Seed) -> Result<Option<[Batch; 2]>> {
    let Some(valid) = &seen.valid else { return Ok(None) };
    let n = valid.rows().min(seen.rows()).min(most);
    // By chance: rows of a file may be sorted by class.
    let some = |part: &str, rows: usize| {
        let mut order = seed.child("compared").child(part).rng().permutation(rows);
        order.truncate(n);
        order
    };
    let train = seen.batch(&some("train", seen.rows()), || seed.child("compared").rng())?;
    Ok(Some([train, valid.select(&some("valid", valid.rows()))]))
}

/// By how much free energies, which are minus log-masses, are lower on training rows than on others: it grows when a machine fits
/// the former better (Hinton 2012).
///
/// # Errors
/// [`Error::Stopped`] if it was asked to end.
pub fn gap(machine: &impl super::Energy, compared: Option<&[Batch; 2]>) -> Result<Figures> {
    let Some([train, valid]) = compared else { return Ok(Figures::new()) };
    let mean = |x: &Batch| {
        let mass = machine.log_mass(x, &Scoring::default())?;
        Ok(mass.iter().sum::<f64>() / x.rows() as f64)
    };
    Ok(Figures::from([("free energy gap".into(), mean(train)? - mean(valid)?)]))
}
