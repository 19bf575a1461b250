//! Adam over a set of parameters, step sizes over time.

use crate::params::Group;
use crate::{Id, Params, Tensor};
use burn::tensor::Gradients;
use genus_core::config::{Fraction, NonNegative, Positive};
use genus_core::{Error, Result, State};
use genus_kernels::{Adam, adam};
use serde::{Deserialize, Serialize};

/// How the step size changes over the planned steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Schedule {
    /// It does not.
    Constant,
    /// Half a cosine from the full rate to zero.
    #[default]
    Cosine,
    /// A straight line from the full rate to zero.
    Linear,
}

/// Adam (Kingma & Ba 2015) with decoupled weight decay.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OptimizerConfig {
    /// Step size.
    pub rate: Positive,
    /// Change of the step size over the planned steps.
    pub schedule: Schedule,
    /// Steps over which the step size rises linearly from zero.
    pub warmup: u64,
    /// Decay of the first moment.
    pub beta1: Fraction,
    /// Decay of the second moment.
    pub beta2: Fraction,
    /// Added to the root of the second moment.
    pub epsilon: Positive,
    /// Decoupled weight decay, on arrays of rank 2 and above: a step takes rate times decay of each weight away; about 1 keeps networks from
    /// learning few rows by heart.
    pub decay: NonNegative,
    /// Weight of an L2 penalty on arrays of rank 2 and above, as part of the gradient that Adam normalises: it takes weights
    /// that the data do not use to zero soonest.
    pub l2: NonNegative,
    /// Largest norm of the whole gradient; 0 for no limit.
    pub clip: NonNegative,
}

impl Default for OptimizerConfig {
    fn default() -> Self {
        Self {
            rate: Positive::constant(1e-3),
            schedule: Schedule::default(),
            warmup: 0,
            beta1: Fraction::constant(0.9),
            beta2: Fraction::constant(0.999),
            epsilon: Positive::constant(1e-8),
            decay: NonNegative::constant(0.0),
            l2: NonNegative::constant(0.0),
            clip: NonNegative::constant(0.0),
        }
    }
}

impl OptimizerConfig {
    /// The step size of step `step` (from 1) of `steps`.
    pub fn rate_at(&self, step: u64, steps: u64) -> f64 {
        let rise = if step < self.warmup { step as f64 / self.warmup as f64 } else { 1.0 };
        let t = (step - 1) as f64 / steps.max(1) as f64;
        let fall = match self.schedule {
            Schedule::Constant => 1.0,
            Schedule::Cosine => 0.5 * (1.0 + (std::f64::consts::PI * t).cos()),
            Schedule::Linear => 1.0 - t,
        };
        self.rate.get() * rise * fall
    }
}

/// Adam at work on some parameters.
#[derive(Debug, Clone)]
pub struct Optimizer {
    config: OptimizerConfig,
    /// Whose.
    ids: Vec<Id>,
    moments: Vec<[Vec<f32>; 2]>,
    /// Updates done.
    moves: u64,
}

impl Optimizer {
    /// With moments of zero, for the parameters of the first group.
    pub fn new(config: OptimizerConfig, params: &Params) -> Self {
        Self::for_group(config, params, Group::default())
    }

    /// With moments of zero, for the parameters of a group.
    pub fn for_group(config: OptimizerConfig, params: &Params, group: Group) -> Self {
        let ids = params.members(group);
        let moments = ids
            .iter()
            .map(|id| {
                let n = params.shape(*id).iter().product();
                [vec![0.0; n], vec![0.0; n]]
            })
            .collect();
        Self { config, ids, moments, moves: 0 }
    }

    /// The parameters that it moves.
    pub fn ids(&self) -> &[Id] {
        &self.ids
    }

    /// Updates done.
    pub fn moves(&self) -> u64 {
        self.moves
    }

    /// Step number `step`, from 1, of `steps`, down the gradient of `loss`; parameters that it does not depend on have gradient
    /// zero. The result is the norm of the gradient before clipping.
    ///
    /// # Errors
    /// [`Error::Numerical`] naming the first parameter whose gradient is not finite; nothing has then been changed.
    pub fn step(&mut self, params: &mut Params, loss: &Tensor<1>, step: u64, steps: u64) -> Result<f64> {
        let gradients = self.gradients(params, loss.backward());
        self.follow(params, &gradients, step, steps, None, "train.optimizer")
    }

    /// The gradient of each parameter.
    pub(crate) fn gradients(&self, params: &Params, mut grads: Gradients) -> Vec<Vec<f32>> {
        self.ids.iter().map(|id| params.take_grad(*id, &mut grads)).collect()
    }

    /// As [`step`](Self::step), from gradients; moving averages of the parameters follow with the given decay. `key` is where the
    /// configuration is found.
    pub(crate) fn follow(
        &mut self,
        params: &mut Params,
        gradients: &[Vec<f32>],
        step: u64,
        steps: u64,
        mut averages: Option<(&mut [Vec<f32>], f32)>,
        key: &str,
    ) -> Result<f64> {
        let mut square = 0.0;
        for (id, g) in self.ids.iter().zip(gradients) {
            let part = genus_kernels::sum_of_squares(g, params.mask(*id).map(|m| &**m));
            if !part.is_finite() {
                return Err(Error::Numerical {
                    what: format!("gradient of `{}`", params.name(*id)),
                    step,
                    remedy: remedy(&self.config, key),
                });
            }
            square += part;
        }
        self.moves += 1;
        let norm = square.sqrt();
        let clip = self.config.clip.get();
        let scale = if clip > 0.0 && norm > clip { clip / norm } else { 1.0 };
        let parts = self.ids.iter().zip(gradients).zip(&mut self.moments);
        for (i, ((id, g), [m, v])) in parts.enumerate() {
            let matrix = params.shape(*id).len() > 1;
            let on_matrix = |v: NonNegative| if matrix { v.get() as f32 } else { 0.0 };
            let how = Adam {
                rate: self.config.rate_at(step, steps) as f32,
                beta1: self.config.beta1.get() as f32,
                beta2: self.config.beta2.get() as f32,
                epsilon: self.config.epsilon.get() as f32,
                decay: on_matrix(self.config.decay),
                l2: on_matrix(self.config.l2),
                scale: scale as f32,
                step: self.moves,
            };
            let average = averages.as_mut().map(|(all, decay)| (&mut all[i][..], *decay));
            let mask = params.mask(*id).cloned();
            params.update(*id, |p| adam(p, g, m, v, average, mask.as_deref(), &how));
        }
        Ok(norm)
    }

    pub(crate) fn state(&self, params: &Params) -> State {
        let mut state = State::default();
        for (id, [m, v]) in self.ids.iter().zip(&self.moments) {
            for (which, values) in [("m", m), ("v", v)] {
                let tensor = genus_core::Tensor::f32(params.shape(*id), values.clone());
                state.tensors.insert(format!("{which}.{}", params.name(*id)), tensor);
            }
        }
        state.tensors.insert("moves".into(), genus_core::Tensor::u64(&[1], vec![self.moves]));
        state
    }

    pub(crate) fn load(&mut self, params: &Params, state: &State) -> Result<()> {
        for (id, [m, v]) in self.ids.iter().zip(&mut self.moments) {
            for (which, values) in [("m", m), ("v", v)] {
                *values = state.f32(&format!("{which}.{}", params.name(*id)), params.shape(*id))?.to_vec();
            }
        }
        self.moves = state.u64("moves", &[1])?[0];
        Ok(())
    }
}

/// What usually helps against numbers that are not finite.
pub(crate) fn remedy(config: &OptimizerConfig, key: &str) -> String {
    let clip = match config.clip.get() > 0.0 {
        true => String::new(),
        false => format!(" or clip the gradient ({key}.clip=1)"),
    };
    format!("lower {key}.rate (now {}){clip}", config.rate.get())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedules() {
        let at = |schedule, warmup, step| {
            OptimizerConfig { schedule, warmup, ..Default::default() }.rate_at(step, 100)
        };
        assert_eq!(at(Schedule::Constant, 0, 100), 1e-3);
        assert!((at(Schedule::Cosine, 0, 51) - 0.5e-3).abs() < 1e-12);
        assert!((at(Schedule::Linear, 0, 26) - 0.75e-3).abs() < 1e-12);
        assert!((at(Schedule::Constant, 10, 5) - 0.5e-3).abs() < 1e-12);
    }
}
