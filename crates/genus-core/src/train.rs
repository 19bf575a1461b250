//! The training loop of every learner: order of rows, means over epochs, events, validation, early stopping, checkpoints and
//! resumption.
//!
//! A learner is anything that is changed step by step by some of the rows: a network under one optimiser or several that take
//! turns, a Boltzmann machine with its chains. Everything random is a function of the seed and of the epoch or the step, so that a
//! resumed training needs what the learner says of itself and some counters, and ends in the same bits as an uninterrupted one.
//!
//! The loop runs on the thread of its caller, which is where observers are called; steps and validations run in the pool.

use crate::config::Every;
use crate::stop::in_pool;
use crate::{Error, Event, FitContext, FitReport, Result, Rng, Seed, State, StopReason, Tensor};
use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;
use std::time::Instant;

/// Numbers by name.
pub type Figures = BTreeMap<String, f64>;

/// A part of a training.
#[derive(Debug, Clone)]
pub struct Phase {
    /// What it does, for those who watch; empty if there is one phase only.
    pub name: String,
    /// Passes over the training rows.
    pub epochs: NonZeroUsize,
    /// Rows per step.
    pub batch: NonZeroUsize,
}

/// Which figure of a validation decides, and which way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watch {
    /// Name of the figure.
    pub figure: String,
    /// Whether more of it is better.
    pub higher: bool,
}

impl Watch {
    /// Less is better.
    pub fn lower(figure: impl Into<String>) -> Self {
        Self { figure: figure.into(), higher: false }
    }

    /// More is better.
    pub fn higher(figure: impl Into<String>) -> Self {
        Self { figure: figure.into(), higher: true }
    }

    fn better(&self, new: f64, old: f64) -> bool {
        if self.higher { new > old } else { new < old }
    }
}

/// What is to be done.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Registry name of the model, for events.
    pub model: &'static str,
    /// Number of training rows.
    pub rows: usize,
    /// Root of the random streams.
    pub seed: Seed,
    /// One after the other.
    pub phases: Vec<Phase>,
    /// How often validation rows are looked at; at the end of the training in any case.
    pub validate: Every,
    /// What decides.
    pub watch: Watch,
    /// Epochs without a better watched figure before training stops; 0 never stops early.
    pub patience: usize,
    /// Keep what had the best watched figure rather than what comes out last.
    pub keep_best: bool,
}

/// Where in a training a step is.
#[derive(Debug, Clone, Copy)]
pub struct At {
    /// Number of this step, from 1.
    pub step: u64,
    /// Steps planned in all.
    pub steps: u64,
    /// Number of this epoch, from 0.
    pub epoch: u64,
    /// Phase, from 0.
    pub phase: usize,
    /// Number of this step within its phase, from 1.
    pub within: u64,
    /// Steps planned for the phase.
    pub planned: u64,
    seed: Seed,
    /// Of the step's rows in the order of the epoch.
    first: usize,
    ends_epoch: bool,
}

impl At {
    /// Whether no other phase comes after this one.
    pub fn is_last_phase(&self) -> bool {
        self.step - self.within + self.planned == self.steps
    }

    /// A random stream of this step's own.
    pub fn rng(&self, name: &str) -> Rng {
        self.seed.child(name).index(self.step).rng()
    }
}

impl Plan {
    fn per_epoch(&self, phase: &Phase) -> u64 {
        self.rows.div_ceil(phase.batch.get()) as u64
    }

    fn steps(&self) -> u64 {
        self.phases.iter().map(|p| self.per_epoch(p) * p.epochs.get() as u64).sum()
    }

    /// The step with this number, which is at least 1 and at most [`steps`](Self::steps).
    fn at(&self, step: u64) -> At {
        let (mut before, mut epochs) = (0, 0);
        for (number, phase) in self.phases.iter().enumerate() {
            let per_epoch = self.per_epoch(phase);
            let planned = per_epoch * phase.epochs.get() as u64;
            if step <= before + planned {
                let within = step - before;
                return At {
                    step,
                    steps: self.steps(),
                    epoch: epochs + (within - 1) / per_epoch,
                    phase: number,
                    within,
                    planned,
                    seed: self.seed,
                    first: ((within - 1) % per_epoch) as usize * phase.batch.get(),
                    ends_epoch: within.is_multiple_of(per_epoch),
                };
            }
            before += planned;
            epochs += phase.epochs.get() as u64;
        }
        unreachable!("step {step} lies beyond the plan")
    }
}

/// What a step says of itself.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Step {
    /// Per row; their means over an epoch are logged. `loss` is what is minimised, where there is one such thing.
    pub parts: Figures,
    /// Of this step alone.
    pub other: Figures,
}

/// What learns.
pub trait Learner: Send {
    /// Number of trainable parameters.
    fn parameters(&self) -> u64;

    /// One update by these training rows.
    ///
    /// # Errors
    /// [`Error::Numerical`] if something leaves the finite numbers, [`Error::Stopped`] if it was asked to end before anything changed,
    /// and whatever a pass may meet.
    fn step(&mut self, rows: &[usize], at: &At) -> Result<Step>;

    /// Figures on validation rows after step `at`; none if there are none.
    ///
    /// # Errors
    /// [`Error::Stopped`] if it was asked to end, and whatever a pass may meet. It is then done again when the training goes on.
    fn validate(&mut self, at: &At) -> Result<Figures> {
        let _ = at;
        Ok(Figures::new())
    }

    /// What is wrong as it stands after a validation, a sentence each that begins with a name and a colon and ends with a remedy. Said
    /// when it is first found, and again in the report if it is so at the end.
    fn doubts(&self) -> Vec<String> {
        Vec::new()
    }

    /// All that goes on from step to step.
    fn state(&self) -> State;

    /// What [`state`](Self::state) gave.
    ///
    /// # Errors
    /// [`Error::Run`] if it does not fit.
    fn load(&mut self, state: &State) -> Result<()>;

    /// What would be kept if the training ended now, where [`validate`](Self::validate) gives the watched figure.
    fn kept(&self) -> State {
        State::default()
    }

    /// The training has ended: this is to be kept, or what there is now.
    ///
    /// # Errors
    /// [`Error::Run`] if it is not what [`kept`](Self::kept) gave.
    fn keep(&mut self, best: Option<&State>) -> Result<()> {
        let _ = best;
        Ok(())
    }

    /// What usually helps if something is not finite at a step.
    fn remedy(&self, at: &At) -> String;
}

/// Takes `learner` through the plan, from the newest checkpoint if there is one and the context says so. That the fit ends is for
/// the caller to say.
///
/// # Errors
/// [`Error::Numerical`] with step and remedy if a figure is not finite, and whatever the learner or the checkpoints may meet.
/// Being stopped is no error.
pub fn train(plan: &Plan, learner: &mut dyn Learner, cx: &mut FitContext<'_>) -> Result<FitReport> {
    if plan.rows == 0 {
        return Err(Error::Domain("no training row".into()));
    }
    let mut run = Run {
        plan,
        learner,
        cx,
        report: FitReport::default(),
        step: 0,
        ended: 0,
        sums: BTreeMap::new(),
        best: None,
        doubted: BTreeSet::new(),
        saved: None,
    };
    let newest = match run.cx.checkpoints {
        Some(checkpoints) if run.cx.resume => checkpoints.latest()?,
        _ => None,
    };
    if let Some((step, state)) = newest {
        run.load(step, &state)?;
    }
    run.go()
}

/// What a doubt is about.
fn name_of(doubt: &str) -> &str {
    doubt.split(':').next().unwrap_or(doubt)
}

struct Best {
    figure: f64,
    epoch: u64,
    kept: State,
}

struct Run<'a, 'c> {
    plan: &'a Plan,
    learner: &'a mut dyn Learner,
    cx: &'a mut FitContext<'c>,
    report: FitReport,
    /// Updates done.
    step: u64,
    /// The last of these after which all that follows a step has been done as well.
    ended: u64,
    /// Over the epoch so far, of each part its sum and the rows that it was taken over.
    sums: BTreeMap<String, [f64; 2]>,
    best: Option<Best>,
    /// Names of the doubts that were said.
    doubted: BTreeSet<String>,
    /// When the last checkpoint was written, after which step, and what was `ended` then.
    saved: Option<([u64; 2], Instant)>,
}

impl Run<'_, '_> {
    fn go(mut self) -> Result<FitReport> {
        let steps = self.plan.steps();
        self.cx.emit(&Event::Start {
            model: self.plan.model.to_owned(),
            steps: Some(steps),
            resumed_at: self.step,
            parameters: self.learner.parameters(),
        });
        let mut reason = StopReason::Completed;
        let mut order: Option<(u64, Vec<usize>)> = None;
        let mut phase = None;
        loop {
            match self.end_step() {
                Err(Error::Stopped(why)) => reason = why,
                other => other?,
            }
            self.checkpoint(false)?;
            if self.step == steps || reason != StopReason::Completed {
                break;
            }
            if let Some(stop) = self.cx.stopped().or_else(|| self.out_of_patience()) {
                reason = stop;
                break;
            }
            let at = self.plan.at(self.step + 1);
            let Phase { name, batch, .. } = &self.plan.phases[at.phase];
            if phase.replace(at.phase) != Some(at.phase) && !name.is_empty() {
                self.cx.emit(&Event::Phase { name: name.clone() });
            }
            let order = match &order {
                Some((epoch, order)) if *epoch == at.epoch => order,
                _ => {
                    let fresh = self.plan.seed.child("order").index(at.epoch).rng();
                    &order.insert((at.epoch, { fresh }.permutation(self.plan.rows))).1
                }
            };
            match self.update(&order[at.first..(at.first + batch.get()).min(self.plan.rows)], &at) {
                Err(Error::Stopped(why)) => {
                    reason = why;
                    break;
                }
                other => other?,
            }
        }
        if self.cx.stopped() == Some(StopReason::Interrupted) {
            // Also after the very last step: whoever interrupts does not want anything else to begin.
            reason = StopReason::Interrupted;
        }
        self.checkpoint(true)?;
        let best = self.best.take().filter(|_| self.plan.keep_best);
        let epochs = self.plan.phases.iter().map(|p| p.epochs.get() as u64).sum::<u64>();
        if reason == StopReason::Completed && best.as_ref().is_some_and(|b| b.epoch == epochs && epochs > 1) {
            let message = format!(
                "under-trained: `{}` on the validation rows was best at the end of {epochs} epochs; train longer",
                self.plan.watch.figure
            );
            self.cx.warn(&mut self.report, message);
        }
        self.report.warnings.extend(self.learner.doubts());
        self.learner.keep(best.as_ref().map(|b| &b.kept))?;
        Ok(FitReport { steps: self.step, stopped: Some(reason), ..self.report })
    }

    fn update(&mut self, rows: &[usize], at: &At) -> Result<()> {
        let learner = &mut *self.learner;
        let stop = self.cx.stop().clone();
        let Step { parts, mut other } = stop.during(|| in_pool(move || learner.step(rows, at)))?;
        if let Some((name, _)) = parts.iter().find(|(_, v)| !v.is_finite()) {
            let what = format!("the training's figure `{name}`");
            return Err(Error::Numerical { what, step: at.step, remedy: self.learner.remedy(at) });
        }
        self.step = at.step;
        for (name, v) in &parts {
            let [sum, over] = self.sums.entry(name.clone()).or_default();
            *sum += v * rows.len() as f64;
            *over += rows.len() as f64;
        }
        other.extend(parts);
        self.cx.emit(&Event::Step { step: self.step, parts: other });
        Ok(())
    }

    /// What follows the last step, unless it has been done.
    fn end_step(&mut self) -> Result<()> {
        if self.step == self.ended {
            return Ok(());
        }
        let at = self.plan.at(self.step);
        let epoch = at.epoch + u64::from(at.ends_epoch);
        let due = match self.plan.validate {
            Every::Epochs(n) => at.ends_epoch && epoch.is_multiple_of(n.get() as u64),
            Every::Steps(n) => at.step.is_multiple_of(n.get() as u64),
        };
        let (mut valid, mut best) = (Figures::new(), false);
        if due || at.step == at.steps {
            let (learner, stop) = (&mut *self.learner, self.cx.stop().clone());
            valid = stop.during(|| in_pool(move || learner.validate(&at)))?;
            best = self.compare(epoch, &valid);
            for message in self.learner.doubts() {
                if self.doubted.insert(name_of(&message).to_owned()) {
                    self.cx.emit(&Event::Warning { message });
                }
            }
        }
        let step = self.step;
        if at.ends_epoch {
            let means = std::mem::take(&mut self.sums).into_iter().map(|(k, [sum, over])| (k, sum / over));
            self.cx.emit(&Event::Epoch { epoch, step, train: means.collect(), valid, best });
        } else if !valid.is_empty() {
            self.cx.emit(&Event::Validation { epoch, step, valid, best });
        }
        self.ended = step;
        Ok(())
    }

    /// Whether the watched figure is the best so far; then that is kept.
    fn compare(&mut self, epoch: u64, valid: &Figures) -> bool {
        let watch = &self.plan.watch;
        let Some(new) = valid.get(&watch.figure).copied() else {
            if self.plan.patience > 0 {
                let message = format!(
                    "patience = {} has no effect: there is no `{}` on validation rows to watch; give validation rows, or set patience to 0",
                    self.plan.patience, watch.figure
                );
                if !self.report.warnings.contains(&message) {
                    self.cx.warn(&mut self.report, message);
                }
            }
            return false;
        };
        if !new.is_finite() {
            let message = format!(
                "`{}` on the validation rows is {new} after epoch {epoch}; look for rows far from the training rows",
                watch.figure
            );
            self.cx.emit(&Event::Warning { message });
            return false;
        }
        let best = self.best.as_ref().is_none_or(|b| watch.better(new, b.figure));
        if best {
            self.best = Some(Best { figure: new, epoch, kept: self.learner.kept() });
        }
        best
    }

    /// Once the best epoch lies further back than the patience.
    fn out_of_patience(&self) -> Option<StopReason> {
        let best = self.best.as_ref()?;
        let at = self.plan.at(self.step.max(1));
        let waited = (at.epoch + u64::from(at.ends_epoch)).saturating_sub(best.epoch);
        (self.plan.patience > 0 && waited >= self.plan.patience as u64).then_some(StopReason::EarlyStopping)
    }

    fn checkpoint(&mut self, now: bool) -> Result<()> {
        let Some(checkpoints) = self.cx.checkpoints else { return Ok(()) };
        let interval = checkpoints.interval();
        let now_at = [self.step, self.ended];
        let (last, at) = *self.saved.get_or_insert_with(|| ([0; 2], Instant::now()));
        if last == now_at || !(now || at.elapsed() >= interval) {
            return Ok(());
        }
        checkpoints.save(self.step, &self.state())?;
        self.saved = Some((now_at, Instant::now()));
        self.cx.emit(&Event::Checkpoint { step: self.step });
        Ok(())
    }

    fn state(&self) -> State {
        let mut state = State::default();
        state.nest("learner", self.learner.state());
        state.tensors.insert("ended".into(), Tensor::u64(&[1], vec![self.ended]));
        if let Some(best) = &self.best {
            state.nest("best", best.kept.clone());
            state.tensors.insert("best_figure".into(), Tensor::f64(&[1], vec![best.figure]));
            state.tensors.insert("best_epoch".into(), Tensor::u64(&[1], vec![best.epoch]));
        }
        for (name, sum) in &self.sums {
            state.tensors.insert(format!("sums.{name}"), Tensor::f64(&[2], sum.to_vec()));
        }
        state
    }

    fn load(&mut self, step: u64, state: &State) -> Result<()> {
        if step > self.plan.steps() {
            return Err(Error::Run(format!(
                "the checkpoint is of step {step}, and the training has {} steps",
                self.plan.steps()
            )));
        }
        self.learner.load(&state.nested("learner"))?;
        self.ended = state.u64("ended", &[1])?[0].min(step);
        if state.tensors.contains_key("best_figure") {
            self.best = Some(Best {
                figure: state.f64("best_figure", &[1])?[0],
                epoch: state.u64("best_epoch", &[1])?[0],
                kept: state.nested("best"),
            });
        }
        for name in state.nested("sums").tensors.into_keys() {
            let sum = state.f64(&format!("sums.{name}"), &[2])?;
            self.sums.insert(name, [sum[0], sum[1]]);
        }
        self.step = step;
        self.saved = Some(([step, self.ended], Instant::now()));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::count;

    fn plan() -> Plan {
        let phase = |epochs, batch| Phase { name: String::new(), epochs: count(epochs), batch: count(batch) };
        Plan {
            model: "test",
            rows: 10,
            seed: Seed::from(1),
            phases: vec![phase(2, 4), phase(1, 10), phase(3, 6)],
            validate: Every::Epochs(count(1)),
            watch: Watch::lower("loss"),
            patience: 0,
            keep_best: true,
        }
    }

    /// Every step of three phases, counted by hand.
    #[test]
    fn steps_have_their_place() {
        let plan = plan();
        assert_eq!(plan.steps(), 6 + 1 + 6);
        let place = |step| {
            let at = plan.at(step);
            (at.phase, at.epoch, at.within, at.planned, at.first, at.ends_epoch)
        };
        assert_eq!(place(1), (0, 0, 1, 6, 0, false));
        assert_eq!(place(3), (0, 0, 3, 6, 8, true));
        assert_eq!(place(4), (0, 1, 4, 6, 0, false));
        assert_eq!(place(7), (1, 2, 1, 1, 0, true));
        assert_eq!(place(8), (2, 3, 1, 6, 0, false));
        assert_eq!(place(13), (2, 5, 6, 6, 6, true));
    }

    struct Idle;

    impl Learner for Idle {
        fn parameters(&self) -> u64 {
            0
        }
        fn step(&mut self, _: &[usize], _: &At) -> Result<Step> {
            Ok(Step::default())
        }
        fn state(&self) -> State {
            State::default()
        }
        fn load(&mut self, _: &State) -> Result<()> {
            Ok(())
        }
        fn remedy(&self, _: &At) -> String {
            String::new()
        }
    }

    /// A checkpoint that is whole and says what cannot be is refused, or does no harm.
    #[test]
    fn hostile_checkpoints_are_no_panic() {
        let u64s = |v: &[u64]| Tensor::u64(&[v.len()], v.to_vec());
        let f64s = |v: &[f64]| Tensor::f64(&[v.len()], v.to_vec());
        type Lie<'a> = (u64, bool, &'a [(&'a str, Tensor)]);
        let lies: [Lie<'_>; 8] = [
            (3, true, &[("ended", u64s(&[3]))]),
            (0, true, &[("ended", u64s(&[7]))]),
            (3, true, &[("ended", u64s(&[u64::MAX]))]),
            (3, false, &[("ended", u64s(&[]))]),
            (3, false, &[("ended", f64s(&[3.0]))]),
            (u64::MAX, false, &[("ended", u64s(&[3]))]),
            (3, false, &[("ended", u64s(&[3])), ("sums.loss", f64s(&[]))]),
            (3, false, &[("ended", u64s(&[3])), ("best_figure", f64s(&[0.0]))]),
        ];
        for (step, taken, tensors) in lies {
            let dir = tempfile::tempdir().unwrap();
            let checkpoints = crate::checkpoint::Checkpoints::open(dir.path().join("c"), "me").unwrap();
            let tensors = tensors.iter().map(|(n, t)| ((*n).to_owned(), t.clone())).collect();
            checkpoints.save(step, &State { tensors, ..State::default() }).unwrap();
            let mut silent = crate::Silent;
            let mut cx = FitContext::new(Seed::from(0), &mut silent).with_checkpoints(&checkpoints, true);
            assert_eq!(train(&plan(), &mut Idle, &mut cx).is_ok(), taken, "step {step}");
        }
    }
}
