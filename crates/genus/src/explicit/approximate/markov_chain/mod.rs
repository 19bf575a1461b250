//! p(x) = Σ_h exp(−E(x, h)) / Z: an energy says how well values go together. Z is summed where that is possible and estimated by
//! annealed importance sampling elsewhere; Markov chains draw.

use annealing::{Annealing, Path};
use genus_core::transform::Transform;
use genus_core::{
    Batch, Domain, FitContext, FitReport, ModelSpec, Result, Rng, Schema, Scoring, Seed, State,
};
use genus_kernels::Stream;
use serde::{Serialize, de::DeserializeOwned};
use std::fmt::Debug;

pub(crate) mod annealing;
mod boltzmann;
pub mod boltzmann_machine;
pub mod dbm;
pub mod dbn;
mod deep;
pub mod gaussian_rbm;
mod greedy;
pub(crate) mod learning;
mod pair_optimizer;
mod pairwise;
pub mod rbm;
mod restricted;
mod training;
mod units;

use crate::sampling::Sampling;
use crate::training_rows::TrainingRows;
use learning::Learning;

/// Members.
pub const SPECS: &[&ModelSpec] =
    &[&boltzmann_machine::SPEC, &rbm::SPEC, &gaussian_rbm::SPEC, &dbn::SPEC, &dbm::SPEC];

/// An energy over visible and hidden units: what a member of the family writes. [`boltzmann::Boltzmann`] makes the public model of it.
pub trait Energy: Clone + Debug + Send + Sync + Sized + 'static {
    /// Hyper-parameters.
    type Config: MachineConfig;

    /// Whether chains may begin at rows and be held there: whether hidden units can be drawn given visible ones.
    const HOLDS: bool = true;

    /// Registry entry.
    fn spec() -> &'static ModelSpec;

    /// The machine before training, with visible units at `start`, the inputs that give the marginals of the training rows.
    ///
    /// # Errors
    /// [`genus_core::Error::Config`] if the machine would be too large.
    fn build(config: &Self::Config, rows: &Domain, start: &[f32], rng: &mut Rng) -> Result<Self>;

    /// Trains it.
    ///
    /// # Errors
    /// Whatever training may meet.
    fn learn(
        &mut self,
        config: &Self::Config,
        seen: &TrainingRows,
        seed: Seed,
        cx: &mut FitContext<'_>,
    ) -> Result<FitReport>;

    /// Parameters, by name.
    fn tensors(&self) -> State;

    /// The parameters that [`tensors`](Self::tensors) gave, into a machine of the same configuration.
    ///
    /// # Errors
    /// [`genus_core::Error::Run`] if one is missing or has another shape.
    fn load(&mut self, state: &State) -> Result<()>;

    /// In words, the lower bound that [`log_mass`](Self::log_mass) is; empty if it is the log-mass itself.
    fn bound(_: &Scoring) -> String {
        String::new()
    }

    /// Whether [`log_mass`](Self::log_mass) draws.
    fn is_drawn(_: &Scoring) -> bool {
        false
    }

    /// log Σ_h exp(−E(v, h)) of each row, or what [`bound`](Self::bound) says, nats.
    ///
    /// # Errors
    /// [`genus_core::Error::Stopped`] if it was asked to end.
    fn log_mass(&self, v: &Batch, how: &Scoring) -> Result<Vec<f64>>;

    /// An interval that holds all but a vanishing share of the values of a real column, given any others; none for bits.
    fn range(&self, column: usize) -> Option<[f32; 2]> {
        let _ = column;
        None
    }

    /// log Z as a sum, nats, if that is possible.
    ///
    /// # Errors
    /// [`genus_core::Error::Stopped`] if it was asked to end.
    fn summed(&self) -> Result<Option<f64>>;

    /// States of the [`path`](Self::path)'s chains that belong to rows, if such can be drawn.
    ///
    /// # Errors
    /// [`genus_core::Error::Stopped`] if it was asked to end.
    fn path_states(&self, v: &Batch, stream: Stream) -> Result<Option<Vec<f32>>> {
        let _ = (v, stream);
        Ok(None)
    }

    /// What log Z is estimated along.
    fn path(&self) -> &dyn Path;

    /// p(h = 1 | v) of the hidden units.
    ///
    /// # Errors
    /// [`genus_core::Error::Stopped`] if it was asked to end.
    fn features(&self, v: &Batch) -> Result<Batch>;

    /// Number of [`features`](Self::features).
    fn code_width(&self) -> usize;

    /// Weights from the visible units to each hidden unit that sees them, if those are layers of their own.
    fn filters(&self) -> Option<Batch> {
        None
    }

    /// Chains that begin at independent units: bits with the marginals of the training rows, numbers with their means.
    fn begin(&self, count: usize, stream: Stream) -> Chains;

    /// Chains that begin at rows, with further units drawn given these: of the machine's law if the rows are, or near it where that
    /// takes a chain of its own.
    fn chains_at(&self, v: &[f32], stream: Stream) -> Chains;

    /// One transition of every unit of every chain that leaves the machine's law as it is; given what is held,
    /// its conditional law. Uses streams from `stream` on, fewer than 64.
    fn sweep(&self, chains: &mut Chains, stream: Stream);
}

/// Chains side by side.
#[derive(Debug, Clone, Default)]
pub struct Chains {
    /// Visible units, `[chains, visible]`.
    pub visible: Vec<f32>,
    /// What they were last drawn from.
    pub means: Vec<f32>,
    /// Further units that the next transition begins from, if there are any.
    pub hidden: Vec<f32>,
    /// Visible units that do not change: NaN where they do. Empty if all do.
    pub held: Vec<f32>,
}

impl Chains {
    /// Puts what is held back in its place.
    pub fn hold(&mut self) {
        for (to, held) in self.visible.iter_mut().zip(&self.held).filter(|(_, held)| !held.is_nan()) {
            *to = *held;
        }
    }
}

/// Columns of weights `[visible, hidden]` as rows.
pub(crate) fn columns(w: &[f32], visible: usize, hidden: usize) -> Batch {
    Batch::from_fn(hidden, visible, |j, i| w[i * hidden + j])
}

/// The streams of one number of [`Energy::sweep`].
pub(crate) fn streams(key: u64, sweep: u64) -> Stream {
    Stream { key, stream: sweep * 64 }
}

/// What the hyper-parameters of all members have in common.
pub trait MachineConfig: Serialize + DeserializeOwned + Default + Clone + Debug + Send + Sync {
    /// From data to what the machine works on, fitted to training rows.
    ///
    /// # Errors
    /// [`genus_core::Error::Domain`] if the model does not take such data.
    fn transform(&self, rows: &Schema, x: &Batch) -> Result<Transform>;
    /// Training.
    fn train(&self) -> &Learning;
    /// Sampling.
    fn sampling(&self) -> &Sampling;
    /// Estimation of log Z.
    fn annealing(&self) -> &Annealing;
}
