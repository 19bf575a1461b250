//! Training by gradients: the learner of networks, under the loop of [`genus_core::train`].
//!
//! One player moves all parameters, or several take turns, each with a group of parameters, an optimiser and an average of its own.

use crate::optimizer::{Optimizer, OptimizerConfig, remedy};
use crate::params::Group;
use crate::{Id, Params, Tensor, View};
use genus_core::config::{Every, Fraction, count};
use genus_core::train::{At, Figures, Learner, Phase, Plan, Step, Watch};
use genus_core::{Error, Event, FitContext, FitReport, Result, Rng, State, Stop, StopReason};
use serde::{Deserialize, Serialize};
use std::num::NonZeroUsize;

/// How long, how large, how fast. The `[train]` table of every model that is trained by gradient steps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrainConfig {
    /// Passes over the training rows.
    pub epochs: NonZeroUsize,
    /// Rows per step.
    pub batch: NonZeroUsize,
    /// Parts in which the rows of a step pass through the network one after the other: the same gradient up to rounding, in less
    /// memory.
    #[doc(alias = "gradient accumulation")]
    pub micro_batches: NonZeroUsize,
    /// How often validation rows are looked at: after every so many epochs, or steps, as "500 steps".
    pub validate: Every,
    /// Epochs without a lower validation loss before training stops; 0 never stops early.
    #[doc(alias = "early stopping")]
    pub patience: usize,
    /// Decay of an exponential moving average of the weights, which is then what is validated and kept; 0 for none. At step t it
    /// is at most (1 + t)/(10 + t). Without it, the lowest of many validation losses is often low by chance.
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
            micro_batches: NonZeroUsize::MIN,
            validate: Every::Epochs(NonZeroUsize::MIN),
            patience: 0,
            ema: Fraction::constant(0.99),
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
    /// New values of buffers.
    pub buffers: Vec<(Id, Vec<f32>)>,
}

impl Loss {
    /// A loss without parts.
    pub const fn new(total: Tensor<1>) -> Self {
        Self { total, parts: Vec::new(), buffers: Vec::new() }
    }

    /// The same with a named part for the log.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: f64) -> Self {
        self.parts.push((name, value));
        self
    }
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
    /// Who moves, from 0.
    pub player: usize,
    at: At,
    /// Turn of this step, from 0: a player may have several.
    turn: usize,
    /// Part of the step's rows, from 0.
    part: u64,
}

impl StepContext {
    /// A random stream of this step's own.
    pub fn rng(&self, name: &str) -> Rng {
        // The streams of the first turn and part are those of a step that has no others.
        match (self.turn, self.part) {
            (0, 0) => self.at.rng(name),
            (turn, part) => self.at.rng(&format!("{name} of turn {turn}, part {part}")),
        }
    }
}

/// What is minimised.
pub trait Objective: Send {
    /// The loss on training rows `rows`: of the player whose turn it is, with respect to that player's group.
    ///
    /// # Errors
    /// Whatever a forward pass may meet.
    fn loss(&mut self, view: &View<'_>, rows: &[usize], cx: &StepContext) -> Result<Loss>;

    /// Figures on validation rows. Empty if there are none.
    ///
    /// # Errors
    /// [`Error::Stopped`] if it was asked to end, and whatever a forward pass may meet.
    fn validate(&mut self, view: &View<'_>) -> Result<Figures>;

    /// Which figure of a validation decides what is best.
    fn watch(&self) -> Watch {
        Watch::lower("loss")
    }

    /// Most rows of one pass: a step of more has several, which are heard between.
    fn most_rows(&self) -> usize {
        usize::MAX
    }

    /// Who moves at this step, from 1, one after the other.
    fn turns(&self, step: u64) -> &[usize] {
        let _ = step;
        &[0]
    }

    /// What is wrong as it stands after a validation, a sentence each that begins with a name and a colon and ends with a remedy.
    fn doubts(&self) -> Vec<String> {
        Vec::new()
    }

    /// Whether a loss changes what it carries on itself.
    fn is_stateful(&self) -> bool {
        !self.state().tensors.is_empty()
    }

    /// What it carries on from step to step itself.
    fn state(&self) -> State {
        State::default()
    }

    /// What [`state`](Self::state) gave.
    ///
    /// # Errors
    /// [`Error::Run`] if it does not fit.
    fn load(&mut self, state: &State) -> Result<()> {
        let _ = state;
        Ok(())
    }
}

/// Who moves a group of parameters.
#[derive(Debug, Clone)]
pub struct Player {
    /// Name in logs and checkpoints.
    pub name: &'static str,
    /// What it moves.
    pub group: Group,
    /// How.
    pub optimizer: OptimizerConfig,
    /// Where that stands in the configuration, for remedies: `train.optimizer`.
    pub key: &'static str,
    /// Decay of a moving average of its parameters, as in [`TrainConfig::ema`].
    pub ema: Fraction,
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
    model: &'static str,
    cx: &mut FitContext<'_>,
) -> Result<FitReport> {
    let only = Player {
        name: "",
        group: Group::default(),
        optimizer: config.optimizer.clone(),
        key: "train.optimizer",
        ema: config.ema,
    };
    play(config, vec![only], params, rows, objective, model, cx)
}

/// As [`train`], by several players, whose optimisers and averages stand in for those of `config`.
///
/// # Errors
/// As [`train`].
#[doc(alias = "adversarial")]
pub fn play(
    config: &TrainConfig,
    players: Vec<Player>,
    params: &mut Params,
    rows: usize,
    objective: &mut dyn Objective,
    model: &'static str,
    cx: &mut FitContext<'_>,
) -> Result<FitReport> {
    let plan = Plan {
        model,
        rows,
        seed: cx.seed.child("train"),
        phases: vec![Phase { name: String::new(), epochs: config.epochs, batch: config.batch }],
        validate: config.validate,
        watch: objective.watch(),
        patience: config.patience,
        keep_best: config.keep_best,
    };
    let players = players.into_iter().map(|player| Active::new(player, params)).collect();
    let mut descent = Descent { micro_batches: config.micro_batches.get(), players, params, objective };
    let report = genus_core::train::train(&plan, &mut descent, cx)?;
    let reason = report.stopped.unwrap_or(StopReason::Completed);
    cx.emit(&Event::End { step: report.steps, reason });
    Ok(report)
}

struct Active {
    player: Player,
    optimizer: Optimizer,
    /// Moving averages of its parameters, if any.
    average: Option<Vec<Vec<f32>>>,
}

impl Active {
    fn new(player: Player, params: &Params) -> Self {
        let optimizer = Optimizer::for_group(player.optimizer.clone(), params, player.group);
        let values = || optimizer.ids().iter().map(|id| params.values(*id)).collect();
        let average = (player.ema.get() > 0.0).then(values);
        Self { player, optimizer, average }
    }
}

struct Descent<'a> {
    micro_batches: usize,
    players: Vec<Active>,
    params: &'a mut Params,
    objective: &'a mut dyn Objective,
}

impl Descent<'_> {
    /// One update of one player: its loss, its gradients over all parts of the rows, then its move.
    fn turn(&mut self, [turn, player]: [usize; 2], rows: &[usize], at: &At, said: &mut Step) -> Result<()> {
        let active = &mut self.players[player];
        let size = rows.len().div_ceil(self.micro_batches).min(self.objective.most_rows().max(1));
        let mut gradients: Vec<Vec<f32>> = Vec::new();
        let mut parts = Figures::new();
        // Passes may take most of a second. Until something has changed, a request to end is heard between them.
        let stop = Stop::current();
        let mut changed = turn > 0 || self.objective.is_stateful();
        for (part, some) in rows.chunks(size).enumerate() {
            let cx = StepContext {
                step: at.step,
                steps: at.steps,
                epoch: at.epoch,
                player,
                at: *at,
                turn,
                part: part as u64,
            };
            let view = self.params.tracking(active.player.group);
            let loss = self.objective.loss(&view, some, &cx)?;
            if !changed {
                stop.check()?;
            }
            let found = active.optimizer.gradients(self.params, loss.total.backward());
            let share = some.len() as f64 / rows.len() as f64;
            let total = ("loss", f64::from(crate::values(loss.total)[0]));
            for (name, value) in loss.parts.into_iter().chain([total]) {
                *parts.entry(name.into()).or_default() += share * value;
            }
            gather(&mut gradients, found, share as f32);
            if !changed {
                stop.check()?;
            }
            changed |= !loss.buffers.is_empty();
            for (id, values) in loss.buffers {
                self.params.set(id, values);
            }
        }
        // Here gradients of other processes would be added.
        let Active { player: Player { name, optimizer, key, ema, .. }, optimizer: moving, average } = active;
        // The first averages are short, so that the initial weights do not linger in them.
        let t = (moving.moves() + 1) as f64;
        let decay = ema.get().min((1.0 + t) / (10.0 + t)) as f32;
        let averages = average.as_deref_mut().map(|average| (average, decay));
        let norm = moving.follow(self.params, &gradients, at.step, at.steps, averages, key)?;
        // After the gradients, because their error names the parameter where the trouble shows first.
        if !parts["loss"].is_finite() {
            let what = format!("the training loss{}{name}", if name.is_empty() { "" } else { " of " });
            return Err(Error::Numerical { what, step: at.step, remedy: remedy(optimizer, key) });
        }
        let called = |figure: String| match name.is_empty() {
            true => figure,
            false => format!("{name} {figure}"),
        };
        said.other.insert(called("gradient norm".into()), norm);
        said.parts.extend(parts.into_iter().map(|(figure, v)| (called(figure), v)));
        Ok(())
    }

    /// Puts the averages, where there are any, in the place of the parameters, and gives these.
    fn swap_averages(&mut self) {
        for Active { optimizer, average, .. } in &mut self.players {
            for (id, values) in optimizer.ids().iter().zip(average.iter_mut().flatten()) {
                let raw = self.params.values(*id);
                self.params.set(*id, std::mem::replace(values, raw));
            }
        }
    }
}

/// Adds this share of gradients to those that there are.
fn gather(to: &mut Vec<Vec<f32>>, found: Vec<Vec<f32>>, share: f32) {
    if to.is_empty() {
        *to = found;
        if share != 1.0 {
            to.iter_mut().flatten().for_each(|g| *g *= share);
        }
        return;
    }
    for (to, found) in to.iter_mut().zip(found) {
        to.iter_mut().zip(found).for_each(|(to, g)| *to += share * g);
    }
}

impl Learner for Descent<'_> {
    fn parameters(&self) -> u64 {
        self.params.count()
    }

    fn step(&mut self, rows: &[usize], at: &At) -> Result<Step> {
        let mut said = Step::default();
        for (turn, player) in self.objective.turns(at.step).to_vec().into_iter().enumerate() {
            self.turn([turn, player], rows, at, &mut said)?;
        }
        Ok(said)
    }

    fn validate(&mut self, _: &At) -> Result<Figures> {
        self.swap_averages();
        let found = self.objective.validate(&self.params.frozen());
        self.swap_averages();
        found
    }

    fn doubts(&self) -> Vec<String> {
        self.objective.doubts()
    }

    fn state(&self) -> State {
        let mut state = State::default();
        state.nest("weights", self.params.state());
        state.nest("objective", self.objective.state());
        for Active { player, optimizer, average } in &self.players {
            state.nest(&format!("optimizer.{}", player.name), optimizer.state(self.params));
            if let Some(average) = average {
                state.nest(&format!("average.{}", player.name), named(self.params, optimizer.ids(), average));
            }
        }
        state
    }

    fn load(&mut self, state: &State) -> Result<()> {
        self.params.load(&state.nested("weights"))?;
        self.objective.load(&state.nested("objective"))?;
        for Active { player, optimizer, average } in &mut self.players {
            optimizer.load(self.params, &state.nested(&format!("optimizer.{}", player.name)))?;
            if let Some(average) = average {
                let stored = state.nested(&format!("average.{}", player.name));
                let read = optimizer
                    .ids()
                    .iter()
                    .map(|id| Ok(stored.f32(self.params.name(*id), self.params.shape(*id))?.to_vec()));
                *average = read.collect::<Result<_>>()?;
            }
        }
        Ok(())
    }

    fn kept(&self) -> State {
        let mut state = self.params.state();
        for Active { optimizer, average, .. } in &self.players {
            if let Some(average) = average {
                state.tensors.extend(named(self.params, optimizer.ids(), average).tensors);
            }
        }
        state
    }

    fn keep(&mut self, best: Option<&State>) -> Result<()> {
        match best {
            Some(best) => self.params.load(best),
            None => {
                self.swap_averages();
                Ok(())
            }
        }
    }

    fn remedy(&self, _: &At) -> String {
        self.players.iter().map(|p| remedy(&p.player.optimizer, p.player.key)).collect::<Vec<_>>().join("; ")
    }
}

fn named(params: &Params, ids: &[Id], values: &[Vec<f32>]) -> State {
    let mut state = State::default();
    for (id, values) in ids.iter().zip(values) {
        let tensor = genus_core::Tensor::f32(params.shape(*id), values.clone());
        state.tensors.insert(params.name(*id).to_owned(), tensor);
    }
    state
}
