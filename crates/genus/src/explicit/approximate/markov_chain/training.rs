//! Stochastic gradient ascent on a likelihood whose gradient is a difference of two expectations: the loop.

use crate::presented::Presented;
use genus_core::config::{Fraction, NonNegative, Positive, count};
use genus_core::{
    Batch, Error, Event, FitContext, FitReport, Result, Scoring, Seed, State, StopReason, Tensor,
};
use genus_kernels::Pair;
use genus_nn::Schedule;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::time::Instant;

/// How the model's side of the gradient is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Algorithm {
    /// Chains begin at the rows of the batch: contrastive divergence (Hinton 2002).
    Contrastive,
    /// Chains go on from step to step: stochastic maximum likelihood (Younes 1989; Tieleman 2008).
    #[default]
    Persistent,
    /// None: the expectation is summed over all states.
    Exact,
    /// Persistent chains at several temperatures that swap places (Desjardins et al. 2010).
    Tempering,
}

/// How a machine is trained. The `[train]` table of the family.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Learning {
    /// How the model's side of the gradient is drawn.
    pub algorithm: Algorithm,
    /// Passes over the training rows.
    pub epochs: NonZeroUsize,
    /// Rows per step.
    pub batch: NonZeroUsize,
    /// Transitions of a chain per step: the k of CD-k.
    pub transitions: NonZeroUsize,
    /// Let the transitions grow from 1 to that number over the training.
    pub grow: bool,
    /// Persistent chains.
    pub chains: NonZeroUsize,
    /// Temperatures of tempering, from independent units to the machine; two at least.
    pub temperatures: NonZeroUsize,
    /// Step size.
    pub rate: Positive,
    /// Change of the step size over the planned steps.
    pub schedule: Schedule,
    /// Share of the last change that is added to the next.
    pub momentum: Fraction,
    /// Share of the weights, times the step size, that each step takes away, whatever the momentum: decoupled weight decay.
    pub weight_decay: NonNegative,
    /// Mean activity that hidden units are drawn to; 0 for no such pull.
    pub sparsity: Fraction,
    /// Strength of that pull.
    pub sparsity_cost: NonNegative,
    /// Decay of an exponential moving average of the parameters, which is then what is kept; 0 for none. At step t it is at most
    /// (1 + t)/(10 + t).
    pub ema: Fraction,
}

impl Default for Learning {
    fn default() -> Self {
        Self {
            algorithm: Algorithm::default(),
            epochs: count(50),
            batch: count(100),
            transitions: count(1),
            grow: false,
            chains: count(100),
            temperatures: count(10),
            rate: Positive::constant(0.05),
            schedule: Schedule::Linear,
            momentum: Fraction::constant(0.0),
            weight_decay: NonNegative::constant(0.0),
            sparsity: Fraction::constant(0.0),
            sparsity_cost: NonNegative::constant(0.01),
            ema: Fraction::constant(0.0),
        }
    }
}

/// Where in the training a step is.
#[derive(Debug, Clone, Copy)]
pub struct At {
    /// Part of the training, from 0.
    pub part: usize,
    /// Number of this step within that part, from 1.
    pub step: u64,
    /// Steps planned for that part.
    pub steps: u64,
}

impl Learning {
    /// Step size.
    pub fn rate(&self, at: At) -> f32 {
        let t = (at.step - 1) as f64 / at.steps.max(1) as f64;
        let fall = match self.schedule {
            Schedule::Constant => 1.0,
            Schedule::Linear => 1.0 - t,
            Schedule::Cosine => 0.5 * (1.0 + libm::cos(std::f64::consts::PI * t)),
        };
        (self.rate.get() * fall) as f32
    }

    /// That the algorithm is one of these, and nothing is asked for that only machines of two layers have.
    ///
    /// # Errors
    /// [`Error::Config`] if not.
    pub fn takes(&self, algorithms: &[Algorithm]) -> Result<()> {
        if !algorithms.contains(&self.algorithm) {
            let names = algorithms.iter().map(|a| format!("\"{}\"", format!("{a:?}").to_lowercase()));
            let message = format!("this model takes {}", names.collect::<Vec<_>>().join(" or "));
            return Err(Error::config("algorithm", message));
        }
        if self.sparsity.get() > 0.0 {
            return Err(Error::config("sparsity", "a target is for `rbm` and `gaussian-rbm`; leave it at 0"));
        }
        Ok(())
    }

    /// Transitions of a chain.
    pub fn transitions(&self, at: At) -> u64 {
        let k = self.transitions.get() as u64;
        if self.grow { 1 + (k - 1) * (at.step - 1) / at.steps.saturating_sub(1).max(1) } else { k }
    }
}

/// What learns.
pub trait Learner: Send {
    /// Number of parameters.
    fn parameters(&self) -> u64;

    /// One update by these rows; `key` is that of the step's random streams. Gives figures of the step, per row, among them `loss`:
    /// how much greater the mean log-mass of the chains is than that of the rows, or what stands for these where hidden units are
    /// not summed out. Nothing about the likelihood follows from its value, unless the expectation is exact: then it is −log p.
    fn step(&mut self, x: &Batch, at: At, key: u64) -> BTreeMap<String, f64>;

    /// Figures after an epoch.
    fn validate(&mut self) -> BTreeMap<String, f64>;

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
}

impl<'a> Part<'a> {
    /// The whole training.
    pub const fn whole(how: &'a Learning) -> Self {
        Self { name: String::new(), how }
    }

    fn per_epoch(&self, rows: usize) -> u64 {
        rows.div_ceil(self.how.batch.get()) as u64
    }

    fn steps(&self, rows: usize) -> u64 {
        self.per_epoch(rows) * self.how.epochs.get() as u64
    }
}

/// Takes `learner` through the parts, with events and checkpoints; that it ends is for the caller to say. Everything random is a
/// function of seed and step.
///
/// # Errors
/// [`Error::Numerical`] if parameters leave the finite numbers, and whatever the checkpoints may meet.
pub fn train(
    parts: &[Part<'_>],
    seen: &Presented,
    learner: &mut dyn Learner,
    model: &str,
    seed: Seed,
    cx: &mut FitContext<'_>,
) -> Result<FitReport> {
    // Inside the pool, so that every kernel finds itself on one of its threads instead of waking it.
    rayon::scope(|_| go(parts, seen, learner, model, seed, cx))
}

fn go(
    parts: &[Part<'_>],
    seen: &Presented,
    learner: &mut dyn Learner,
    model: &str,
    seed: Seed,
    cx: &mut FitContext<'_>,
) -> Result<FitReport> {
    let rows = seen.rows();
    if rows == 0 {
        return Err(Error::Domain("no training row".into()));
    }
    let steps = parts.iter().map(|p| p.steps(rows)).sum();
    let mut step = 0;
    let mut sums: BTreeMap<String, f64> = BTreeMap::new();
    if let (Some(checkpoints), true) = (cx.checkpoints, cx.resume)
        && let Some((at, state)) = checkpoints.latest()?
    {
        learner.load(&state.nested("learner"))?;
        for (name, tensor) in state.nested("sums").tensors {
            sums.insert(name, tensor.as_f64().map_or(0.0, |v| v[0]));
        }
        step = at;
    }
    let parameters = learner.parameters();
    cx.emit(&Event::Start { model: model.into(), steps: Some(steps), resumed_at: step, parameters });
    let mut saved = (step, Instant::now());
    let (mut steps_before, mut epochs_before) = (0, 0);
    for (number, part) in parts.iter().enumerate() {
        let (per_epoch, within, batch) = (part.per_epoch(rows), part.steps(rows), part.how.batch.get());
        if step < steps_before + within && cx.stopped().is_none() && !part.name.is_empty() {
            cx.emit(&Event::Phase { name: part.name.clone() });
        }
        let (mut order, mut ordered) = (Vec::new(), u64::MAX);
        while step < steps_before + within && cx.stopped().is_none() {
            let local = step - steps_before;
            let epoch = epochs_before + local / per_epoch;
            if ordered != epoch {
                (order, ordered) = (seed.child("order").index(epoch).rng().permutation(rows), epoch);
            }
            let from = (local % per_epoch) as usize * batch;
            let some = &order[from..(from + batch).min(rows)];
            step += 1;
            let x = seen.batch(some, || seed.child("noise").index(step).rng())?;
            let key = seed.child("chains").index(step).rng().bits();
            let parts = learner.step(&x, At { part: number, step: local + 1, steps: within }, key);
            if !parts.values().all(|v| v.is_finite()) {
                return Err(diverged(step, part.how));
            }
            for (name, v) in &parts {
                *sums.entry(name.clone()).or_default() += v * some.len() as f64;
            }
            cx.emit(&Event::Step { step, parts });
            if (local + 1).is_multiple_of(per_epoch) {
                if !learner.is_finite() {
                    return Err(diverged(step, part.how));
                }
                let train =
                    std::mem::take(&mut sums).into_iter().map(|(k, v)| (k, v / rows as f64)).collect();
                let valid = learner.validate();
                cx.emit(&Event::Epoch { epoch: epoch + 1, step, train, valid, best: false });
            }
            let due = |checkpoints: &genus_core::checkpoint::Checkpoints| {
                saved.1.elapsed() >= checkpoints.interval()
            };
            let last = step == steps || cx.stopped().is_some();
            if let Some(checkpoints) = cx.checkpoints.filter(|c| last || due(c)) {
                let mut state = State::default();
                state.nest("learner", learner.state());
                for (name, sum) in &sums {
                    state.tensors.insert(format!("sums.{name}"), Tensor::f64(&[1], vec![*sum]));
                }
                checkpoints.save(step, &state)?;
                saved = (step, Instant::now());
                cx.emit(&Event::Checkpoint { step });
            }
        }
        steps_before += within;
        epochs_before += part.how.epochs.get() as u64;
    }
    let reason = cx.stopped().unwrap_or(StopReason::Completed);
    Ok(FitReport { steps: step, stopped: Some(reason), ..FitReport::default() })
}

fn diverged(step: u64, how: &Learning) -> Error {
    let remedy = format!("choose a smaller step size than {}", how.rate.get());
    Error::Numerical { what: "the machine".into(), step, remedy }
}

/// As many training rows as there are for validation, at most `most`, and those.
///
/// # Errors
/// If rows do not fit the domain.
pub fn compared(seen: &Presented, most: usize, seed: Seed) -> Result<Option<[Batch; 2]>> {
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
pub fn gap(machine: &impl super::Energy, compared: Option<&[Batch; 2]>) -> BTreeMap<String, f64> {
    let Some([train, valid]) = compared else { return BTreeMap::new() };
    let mean = |x: &Batch| machine.log_mass(x, &Scoring::default()).iter().sum::<f64>() / x.rows() as f64;
    BTreeMap::from([("free energy gap".into(), mean(train) - mean(valid))])
}

/// Momentum, decay and the moving average of the parameters between two layers.
#[derive(Debug, Clone)]
pub struct Follower {
    velocity: Option<Pair>,
    average: Option<Pair>,
}

impl Follower {
    /// At rest.
    pub fn new(how: &Learning, start: &Pair) -> Self {
        let still = || Pair::zeros(start.visible.len(), start.hidden.len());
        Self {
            velocity: (how.momentum.get() > 0.0).then(still),
            average: (how.ema.get() > 0.0).then(|| start.clone()),
        }
    }

    /// One change of `pair`: `gradient` adds a rate times the gradient of the log-likelihood to what it is given.
    pub fn follow(&mut self, pair: &mut Pair, how: &Learning, at: At, gradient: impl FnOnce(&mut Pair, f32)) {
        let (rate, decay) = (how.rate(at), how.weight_decay.get() as f32);
        if decay > 0.0 {
            let keep = 1.0 - rate * decay;
            pair.w.iter_mut().for_each(|w| *w *= keep);
        }
        match &mut self.velocity {
            Some(velocity) => {
                velocity.scale(how.momentum.get() as f32);
                gradient(velocity, rate);
                pair.add(velocity, 1.0);
            }
            None => gradient(pair, rate),
        }
        if let Some(average) = &mut self.average {
            let t = at.step as f64;
            let decay = how.ema.get().min((1.0 + t) / (10.0 + t)) as f32;
            average.scale(decay);
            average.add(pair, 1.0 - decay);
        }
    }

    /// The parameters to keep.
    pub fn kept<'a>(&'a self, pair: &'a Pair) -> &'a Pair {
        self.average.as_ref().unwrap_or(pair)
    }

    /// For a checkpoint.
    pub fn state(&self) -> State {
        let mut state = State::default();
        for (name, pair) in [("velocity", &self.velocity), ("average", &self.average)] {
            if let Some(pair) = pair {
                state.nest(name, pair_state(pair));
            }
        }
        state
    }

    /// What [`state`](Self::state) gave.
    ///
    /// # Errors
    /// [`Error::Run`] if it does not fit.
    pub fn load(&mut self, state: &State) -> Result<()> {
        for (name, pair) in [("velocity", &mut self.velocity), ("average", &mut self.average)] {
            if let Some(pair) = pair {
                load_pair(pair, &state.nested(name))?;
            }
        }
        Ok(())
    }
}

/// Relative error of each part of a gradient at `pair` against difference quotients of `value`; weights where a `mask` is 0 stay.
pub fn quotients(
    pair: &Pair,
    gradient: &Pair,
    mask: &[f32],
    value: &dyn Fn(Pair) -> f64,
) -> Vec<(String, f64)> {
    type Part = fn(&mut Pair) -> &mut Vec<f32>;
    let parts: [(&str, Part); 3] =
        [("w", |p| &mut p.w), ("visible", |p| &mut p.visible), ("hidden", |p| &mut p.hidden)];
    let mut gradient = gradient.clone();
    let error = |(name, part): (&str, Part)| {
        let (mut off, mut size) = (0.0, 0.0);
        for (i, found) in part(&mut gradient).iter().enumerate() {
            if name == "w" && mask.get(i) == Some(&0.0) {
                continue;
            }
            let at = |by: f32| {
                let mut moved = pair.clone();
                part(&mut moved)[i] += by;
                value(moved)
            };
            let step = 1.0 / 128.0;
            let slope = (at(step) - at(-step)) / (2.0 * f64::from(step));
            off += (slope - f64::from(*found)).powi(2);
            size += slope * slope;
        }
        (name.to_owned(), libm::sqrt(off / size))
    };
    parts.map(error).into()
}

/// Parameters between two layers as tensors `w`, `visible` and `hidden`.
pub fn pair_state(pair: &Pair) -> State {
    let (v, h) = (pair.visible.len(), pair.hidden.len());
    let mut state = State::default();
    state.tensors.insert("w".into(), Tensor::f32(&[v, h], pair.w.clone()));
    state.tensors.insert("visible".into(), Tensor::f32(&[v], pair.visible.clone()));
    state.tensors.insert("hidden".into(), Tensor::f32(&[h], pair.hidden.clone()));
    state
}

/// What [`pair_state`] gave.
///
/// # Errors
/// [`Error::Run`] if a tensor is missing or has another shape.
pub fn load_pair(pair: &mut Pair, state: &State) -> Result<()> {
    let (v, h) = (pair.visible.len(), pair.hidden.len());
    pair.w = state.f32("w", &[v, h])?.to_vec();
    pair.visible = state.f32("visible", &[v])?.to_vec();
    pair.hidden = state.f32("hidden", &[h])?.to_vec();
    Ok(())
}
