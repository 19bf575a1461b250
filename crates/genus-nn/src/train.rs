//! Minibatch training of one objective.
//!
//! Everything random is a function of (seed, epoch) or (seed, step): the order of rows, the noise of a step. A resumed run
//! therefore needs weights, moments, counters and nothing else, and is bit-identical to an uninterrupted one.

use crate::optimizer::{Optimizer, OptimizerConfig, remedy};
use crate::{Params, Tensor, View};
use genus_core::config::{Fraction, count};
use genus_core::{Error, Event, FitContext, FitReport, Result, Rng, Seed, State, StopReason};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::time::Instant;

/// How long, how large, how fast. The `[train]` table of every model that is trained by gradient steps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrainConfig {
    /// Passes over the training rows.
    pub epochs: NonZeroUsize,
    /// Rows per step.
    pub batch: NonZeroUsize,
    /// Epochs without a lower validation loss before training stops; 0 never stops early.
    pub patience: usize,
    /// Decay of an exponential moving average of the weights, which is then what is validated and kept; 0 for none. At step t it
    /// is at most (1 + t)/(10 + t).
    pub ema: Fraction,
    /// Keep the weights of the lowest validation loss rather than the last ones, if there are validation rows.
    pub keep_best: bool,
    /// The optimiser.
    pub optimizer: OptimizerConfig,
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self {
            epochs: count(100),
            batch: count(100),
            patience: 0,
            ema: Fraction::constant(0.0),
            keep_best: true,
            optimizer: OptimizerConfig::default(),
        }
    }
}

/// Value of an objective on some rows.
pub struct Loss {
    /// Mean over the rows of what is minimised, one value, part of a graph.
    pub total: Tensor<1>,
    /// Named parts for the log, per row.
    pub parts: Vec<(&'static str, f64)>,
}

/// Where in the training a loss is asked for.
#[derive(Debug, Clone, Copy)]
pub struct StepContext {
    /// Number of this step, from 1.
    pub step: u64,
    /// Steps planned in all.
    pub steps: u64,
    /// Number of this epoch, from 0.
    pub epoch: u64,
    seed: Seed,
}

impl StepContext {
    /// A random stream of this step's own.
    pub fn rng(&self, name: &str) -> Rng {
        self.seed.child(name).index(self.step).rng()
    }
}

/// What is minimised.
pub trait Objective: Send {
    /// The loss on training rows `rows`.
    ///
    /// # Errors
    /// Whatever a forward pass may meet.
    fn loss(&mut self, view: &View<'_>, rows: &[usize], cx: &StepContext) -> Result<Loss>;

    /// Figures on validation rows; `loss` is watched. Empty if there are none.
    ///
    /// # Errors
    /// Whatever a forward pass may meet.
    fn validate(&mut self, view: &View<'_>) -> Result<BTreeMap<String, f64>>;
}

/// Minimises `objective` over `rows` training rows by changing `params`, which end as the weights to keep.
///
/// # Errors
/// [`Error::Numerical`] with step, parameter and remedy if a loss or gradient is not finite, and whatever the objective or
/// the checkpoints may meet.
pub fn train(
    config: &TrainConfig,
    params: &mut Params,
    rows: usize,
    objective: &mut dyn Objective,
    model: &str,
    cx: &mut FitContext<'_>,
) -> Result<FitReport> {
    let mut run = Run::new(config, params, rows, cx)?;
    // Inside the pool, so that every kernel finds itself on one of its threads instead of waking it.
    in_pool(move || run.go(objective, model))
}

/// Runs `f` on a thread of the global pool.
fn in_pool<T: Send>(f: impl FnOnce() -> T + Send) -> T {
    rayon::scope(|_| f())
}

struct Run<'a, 'c> {
    config: &'a TrainConfig,
    params: &'a mut Params,
    cx: &'a mut FitContext<'c>,
    rows: usize,
    optimizer: Optimizer,
    /// Moving average of the weights, if any.
    ema: Option<Vec<Vec<f32>>>,
    best: Option<Best>,
    step: u64,
    /// Sums over the epoch so far of the parts of the loss.
    sums: BTreeMap<String, f64>,
    saved: Option<(u64, Instant)>,
}

struct Best {
    loss: f64,
    epoch: u64,
    weights: Vec<Vec<f32>>,
}

impl<'a, 'c> Run<'a, 'c> {
    fn new(
        config: &'a TrainConfig,
        params: &'a mut Params,
        rows: usize,
        cx: &'a mut FitContext<'c>,
    ) -> Result<Self> {
        if rows == 0 {
            return Err(Error::Domain("no training row".into()));
        }
        let optimizer = Optimizer::new(config.optimizer.clone(), params);
        let ema = (config.ema.get() > 0.0).then(|| params.snapshot());
        let mut run = Self {
            config,
            params,
            cx,
            rows,
            optimizer,
            ema,
            best: None,
            step: 0,
            sums: BTreeMap::new(),
            saved: None,
        };
        let newest = match run.cx.checkpoints {
            Some(checkpoints) if run.cx.resume => checkpoints.latest()?,
            _ => None,
        };
        if let Some((step, state)) = newest {
            run.load(step, &state)?;
        }
        Ok(run)
    }

    fn steps_per_epoch(&self) -> u64 {
        self.rows.div_ceil(self.config.batch.get()) as u64
    }

    fn go(&mut self, objective: &mut dyn Objective, model: &str) -> Result<FitReport> {
        let per_epoch = self.steps_per_epoch();
        let steps = per_epoch * self.config.epochs.get() as u64;
        let seed = self.cx.seed.child("train");
        self.cx.emit(&Event::Start {
            model: model.to_owned(),
            steps: Some(steps),
            resumed_at: self.step,
            parameters: self.params.count(),
        });
        let mut reason = StopReason::Completed;
        let mut order: Option<(u64, Vec<usize>)> = None;
        while self.step < steps {
            if let Some(stop) = self.cx.stopped().or_else(|| self.out_of_patience(per_epoch)) {
                reason = stop;
                break;
            }
            let epoch = self.step / per_epoch;
            let order = match &order {
                Some((e, o)) if *e == epoch => o,
                _ => {
                    let fresh = seed.child("order").index(epoch).rng().permutation(self.rows);
                    &order.insert((epoch, fresh)).1
                }
            };
            let at = (self.step % per_epoch) as usize * self.config.batch.get();
            let batch = &order[at..(at + self.config.batch.get()).min(self.rows)];
            self.update(objective, batch, StepContext { step: self.step + 1, steps, epoch, seed })?;
            if self.step.is_multiple_of(per_epoch) {
                self.end_epoch(objective, per_epoch)?;
            }
            self.checkpoint(false)?;
        }
        if self.cx.stopped() == Some(StopReason::Interrupted) {
            // Also after the very last step: whoever interrupts does not want an evaluation to begin.
            reason = StopReason::Interrupted;
        }
        self.checkpoint(true)?;
        self.keep(reason, per_epoch);
        self.cx.emit(&Event::End { step: self.step, reason });
        Ok(FitReport { steps: self.step, stopped: Some(reason), ..FitReport::default() })
    }

    /// True once the best epoch lies further back than the patience.
    fn out_of_patience(&self, per_epoch: u64) -> Option<StopReason> {
        let best = self.best.as_ref()?;
        let waited = self.step / per_epoch - best.epoch;
        (self.config.patience > 0 && waited >= self.config.patience as u64)
            .then_some(StopReason::EarlyStopping)
    }

    fn update(&mut self, objective: &mut dyn Objective, batch: &[usize], at: StepContext) -> Result<()> {
        let Loss { total, parts } = objective.loss(&self.params.tracked(), batch, &at)?;
        let grads = total.backward();
        let value = f64::from(crate::values(total)[0]);
        // The first averages are short, so that the initial weights do not linger in them.
        let t = at.step as f64;
        let decay = self.config.ema.get().min((1.0 + t) / (10.0 + t)) as f32;
        let averages = self.ema.as_deref_mut().map(|ema| (ema, decay));
        let norm = self.optimizer.follow(self.params, grads, at.step, at.steps, averages)?;
        // After the gradients, because their error names the parameter where the trouble shows first.
        if !value.is_finite() {
            let remedy = remedy(&self.config.optimizer);
            return Err(Error::Numerical { what: "the training loss".into(), step: at.step, remedy });
        }
        self.step = at.step;
        let mut logged: BTreeMap<String, f64> =
            parts.into_iter().map(|(name, v)| (name.to_owned(), v)).collect();
        logged.insert("loss".into(), value);
        for (name, v) in &logged {
            *self.sums.entry(name.clone()).or_default() += v * batch.len() as f64;
        }
        logged.insert("gradient norm".into(), norm);
        self.cx.emit(&Event::Step { step: self.step, parts: logged });
        Ok(())
    }

    fn end_epoch(&mut self, objective: &mut dyn Objective, per_epoch: u64) -> Result<()> {
        let epoch = self.step / per_epoch;
        let train =
            std::mem::take(&mut self.sums).into_iter().map(|(k, v)| (k, v / self.rows as f64)).collect();
        let valid = self.with_average(|run| objective.validate(&run.params.frozen()))?;
        let loss = valid.get("loss").copied();
        if let Some(l) = loss.filter(|l| !l.is_finite()) {
            let message = format!(
                "the validation loss of epoch {epoch} is {l}; look for rows far from the training rows"
            );
            self.cx.emit(&Event::Warning { message });
        }
        let best = loss.is_some_and(|l| l.is_finite() && self.best.as_ref().is_none_or(|b| l < b.loss));
        if let (true, Some(loss)) = (best, loss) {
            let weights = self.ema.clone().unwrap_or_else(|| self.params.snapshot());
            self.best = Some(Best { loss, epoch, weights });
        }
        self.cx.emit(&Event::Epoch { epoch, step: self.step, train, valid, best });
        Ok(())
    }

    /// Runs `f` with the averaged weights in place, if there are any.
    fn with_average<T>(&mut self, f: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let Some(average) = self.ema.take() else { return f(self) };
        let raw = self.params.snapshot();
        self.params.put(average);
        let result = f(self);
        self.ema = Some(self.params.snapshot());
        self.params.put(raw);
        result
    }

    /// Puts the weights to keep into the parameters.
    fn keep(&mut self, reason: StopReason, per_epoch: u64) {
        let finished_epoch = self.step.is_multiple_of(per_epoch) || reason != StopReason::Completed;
        match (self.best.take(), self.ema.take()) {
            (Some(best), _) if self.config.keep_best && finished_epoch => self.params.put(best.weights),
            (_, Some(average)) => self.params.put(average),
            _ => {}
        }
    }

    fn checkpoint(&mut self, now: bool) -> Result<()> {
        let Some(checkpoints) = self.cx.checkpoints else { return Ok(()) };
        let due = match self.saved {
            Some((step, at)) => step != self.step && (now || at.elapsed() >= checkpoints.interval()),
            // The clock starts with the first step; a run that is stopped before is saved by `now`.
            None if now || checkpoints.interval().is_zero() => self.step > 0,
            None => {
                self.saved = Some((0, Instant::now()));
                false
            }
        };
        if due {
            checkpoints.save(self.step, &self.state())?;
            self.saved = Some((self.step, Instant::now()));
            self.cx.emit(&Event::Checkpoint { step: self.step });
        }
        Ok(())
    }

    fn state(&self) -> State {
        let mut state = State::default();
        state.nest("weights", self.params.state());
        state.nest("optimizer", self.optimizer.state(self.params));
        if let Some(ema) = &self.ema {
            state.nest("ema", self.named(ema));
        }
        if let Some(best) = &self.best {
            state.nest("best", self.named(&best.weights));
            state.tensors.insert("best_loss".into(), genus_core::Tensor::f64(&[1], vec![best.loss]));
            state.tensors.insert("best_epoch".into(), genus_core::Tensor::u64(&[1], vec![best.epoch]));
        }
        for (name, sum) in &self.sums {
            state.tensors.insert(format!("sums.{name}"), genus_core::Tensor::f64(&[1], vec![*sum]));
        }
        state
    }

    fn load(&mut self, step: u64, state: &State) -> Result<()> {
        self.params.load(&state.nested("weights"))?;
        self.optimizer.load(self.params, &state.nested("optimizer"))?;
        if self.ema.is_some() {
            self.ema = Some(self.unnamed(&state.nested("ema"))?);
        }
        if state.tensors.contains_key("best_loss") {
            self.best = Some(Best {
                loss: state.f64("best_loss", &[1])?[0],
                epoch: state.u64("best_epoch", &[1])?[0],
                weights: self.unnamed(&state.nested("best"))?,
            });
        }
        for (name, tensor) in state.nested("sums").tensors {
            self.sums.insert(name, tensor.as_f64().map_or(0.0, |v| v[0]));
        }
        self.step = step;
        self.saved = Some((step, Instant::now()));
        Ok(())
    }

    fn named(&self, weights: &[Vec<f32>]) -> State {
        let mut state = State::default();
        for (id, w) in self.params.ids().zip(weights) {
            let tensor = genus_core::Tensor::f32(self.params.shape(id), w.clone());
            state.tensors.insert(self.params.name(id).to_owned(), tensor);
        }
        state
    }

    fn unnamed(&self, state: &State) -> Result<Vec<Vec<f32>>> {
        self.params
            .ids()
            .map(|id| Ok(state.f32(self.params.name(id), self.params.shape(id))?.to_vec()))
            .collect()
    }
}
