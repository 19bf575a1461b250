//! How machines learn: the `[train]` table of all of them.

use genus_core::config::{Fraction, NonNegative, Positive, count};
use genus_core::train::At;
use genus_core::{Error, Result};
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
