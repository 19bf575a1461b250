//! Stochastic gradient ascent on a likelihood whose gradient is a difference of two expectations: settings, and the learner that
//! the loop of [`genus_core::train`] takes through them.

use crate::presented::Presented;
use genus_core::config::{Every, Fraction, NonNegative, Positive, count};
use genus_core::train::{self, At, Figures, Phase, Plan, Step, Watch};
use genus_core::{Batch, Error, FitContext, FitReport, Result, Scoring, Seed, State, Tensor};
use genus_kernels::Pair;
use genus_nn::Schedule;
use serde::{Deserialize, Serialize};
use std::num::NonZeroUsize;

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

impl Algorithm {
    /// As in a configuration.
    fn name(self) -> &'static str {
        match self {
            Self::Contrastive => "contrastive",
            Self::Persistent => "persistent",
            Self::Exact => "exact",
            Self::Tempering => "tempering",
        }
    }
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

impl Learning {
    /// Step size.
    pub fn rate(&self, at: &At) -> f32 {
        let t = (at.within - 1) as f64 / at.planned.max(1) as f64;
        let fall = match self.schedule {
            Schedule::Constant => 1.0,
            Schedule::Linear => 1.0 - t,
            Schedule::Cosine => 0.5 * (1.0 + libm::cos(std::f64::consts::PI * t)),
        };
        (self.rate.get() * fall) as f32
    }

    /// That the algorithm is one of these, and nothing is asked for that only machines of two layers have. `key` is where these
    /// settings stand in the configuration.
    ///
    /// # Errors
    /// [`Error::Config`] if not.
    pub fn takes(&self, key: &str, algorithms: &[Algorithm]) -> Result<()> {
        if !algorithms.contains(&self.algorithm) {
            let names: Vec<String> = algorithms.iter().map(|a| format!("\"{}\"", a.name())).collect();
            let message =
                format!("this model takes {}, not \"{}\"", names.join(" or "), self.algorithm.name());
            return Err(Error::config(format!("{key}.algorithm"), message));
        }
        if self.sparsity.get() > 0.0 {
            let message = "a target is for `rbm` and `gaussian-rbm`; leave it at 0";
            return Err(Error::config(format!("{key}.sparsity"), message));
        }
        Ok(())
    }

    /// Transitions of a chain.
    pub fn transitions(&self, at: &At) -> u64 {
        let k = self.transitions.get() as u64;
        if self.grow { 1 + (k - 1) * (at.within - 1) / at.planned.saturating_sub(1).max(1) } else { k }
    }
}

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
    seen: &Presented,
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
    seen: &'a Presented,
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

    /// At rest at these parameters.
    pub fn begin_with(&mut self, start: &Pair) {
        if let Some(average) = &mut self.average {
            average.clone_from(start);
        }
    }

    /// One change of `pair`: `gradient` adds a rate times the gradient of the log-likelihood to what it is given.
    pub fn follow(
        &mut self,
        pair: &mut Pair,
        how: &Learning,
        at: &At,
        gradient: impl FnOnce(&mut Pair, f32),
    ) {
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
            let t = at.within as f64;
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

/// That no weight is there where a `mask` is 0; an empty mask has none.
///
/// # Errors
/// [`Error::Run`] if there is one: the model would use it, and its gradient would not know of it.
pub fn unmasked(w: &[f32], mask: &[f32]) -> Result<()> {
    match w.iter().zip(mask).any(|(w, m)| *w != 0.0 && *m == 0.0) {
        true => {
            Err(Error::Run("there are weights between units that the configuration does not connect".into()))
        }
        false => Ok(()),
    }
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
