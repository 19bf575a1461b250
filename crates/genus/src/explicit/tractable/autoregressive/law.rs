//! What a conditional p(x_d | x_<d) is, given what a network puts out for it.

use genus_core::{Domain, Support, level_at};
use genus_kernels::{exp, sigmoid};
use genus_nn::{Mixture, Tensor, ops};

/// A distribution of one value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Law {
    /// A bit, from its logit.
    Bit,
    /// One of so many levels, from a logit for each.
    Levels(usize),
    /// A real number, from the parameters of a mixture of normals.
    Real(Mixture),
}

impl Law {
    /// Of bits or levels.
    pub fn for_domain(domain: &Domain) -> Self {
        match domain.support {
            Support::Discrete { levels } if levels > 2 => Self::Levels(levels as usize),
            _ => Self::Bit,
        }
    }

    /// Values of a network per dimension.
    pub fn outputs(self) -> usize {
        match self {
            Self::Bit => 1,
            Self::Levels(n) => n,
            Self::Real(mixture) => mixture.parameters(),
        }
    }

    /// Uniform numbers that a draw takes.
    pub fn uniforms(self) -> usize {
        if let Self::Real(_) = self { 3 } else { 1 }
    }

    /// Values that a dimension may take, of a law that is not real.
    pub fn levels(self) -> usize {
        if let Self::Levels(n) = self { n } else { 2 }
    }

    /// −log p of each row, nats, part of a graph.
    ///
    /// # Shapes
    /// outputs `[rows, width · outputs]`, x `[rows, width]` → `[rows]`
    pub fn nll(self, outputs: Tensor<2>, x: Tensor<2>) -> Tensor<1> {
        let [rows, width] = x.dims();
        let each = |outputs: Tensor<2>| outputs.reshape([rows, width, self.outputs()]);
        match self {
            Self::Bit => ops::bernoulli_nll(outputs, x),
            Self::Levels(_) => ops::categorical_nll(each(outputs), x),
            Self::Real(mixture) => ops::mixture_nll(each(outputs), x, mixture),
        }
    }

    /// log p(v), nats, from one dimension's outputs; not below the log of 1e-30 for bits and levels.
    pub fn log_prob(self, outputs: &[f32], v: f32) -> f64 {
        let p = match self {
            Self::Real(mixture) => return mixture.log_prob(outputs, v),
            Self::Bit => {
                let one = f64::from(self.probabilities(outputs, 1.0)[0]);
                if v > 0.5 { one } else { 1.0 - one }
            }
            Self::Levels(_) => f64::from(self.probabilities(outputs, 1.0)[v as usize]),
        };
        libm::log(p.max(1e-30))
    }

    /// The value that uniform numbers stand for. A temperature divides logits, and scales of normals by its root.
    pub fn draw(self, outputs: &[f32], u: &[f32], temperature: f32) -> f32 {
        let p = self.probabilities(outputs, temperature);
        let level = level_at(u[0], &p);
        let Self::Real(mixture) = self else { return level as f32 };
        let [_, mean, s] = [0, 1, 2].map(|part| outputs[part * mixture.components + level]);
        // Box & Muller 1958; 1 − u is never 0.
        let radius = libm::sqrt(-2.0 * libm::log(1.0 - f64::from(u[1])));
        let normal = radius * libm::cos(2.0 * std::f64::consts::PI * f64::from(u[2]));
        let sigma = f64::from(mixture.scale(s)) * libm::sqrt(f64::from(temperature));
        (f64::from(mean) + sigma * normal) as f32
    }

    /// Mean of the conditional with these outputs.
    pub fn mean(self, outputs: &[f32]) -> f64 {
        let p = self.probabilities(outputs, 1.0);
        let share = |i: usize| f64::from(p[i]);
        match self {
            Self::Bit => share(0),
            Self::Levels(n) => (0..n).map(|l| l as f64 * share(l)).sum(),
            Self::Real(mixture) => {
                (0..mixture.components).map(|k| share(k) * f64::from(outputs[mixture.components + k])).sum()
            }
        }
    }

    /// Edges of stretches over eight deviations to each side of every normal of a real conditional with these outputs, each a fortieth of
    /// a deviation: what follows a value may say much more about it than what is before.
    pub fn edges(self, outputs: &[f32]) -> Vec<f32> {
        const EACH: i16 = 320;
        let Self::Real(mixture) = self else { return Vec::new() };
        let k = mixture.components;
        let around = |i: usize| {
            let (mean, scale) = (outputs[k + i], mixture.scale(outputs[2 * k + i]));
            (-EACH..=EACH).map(move |t| mean + scale * f32::from(t) / 40.0)
        };
        (0..k).flat_map(around).collect()
    }

    /// Probabilities: of a 1, of every level, or of every normal of a mixture.
    pub fn probabilities(self, outputs: &[f32], temperature: f32) -> Vec<f32> {
        let logits = match self {
            Self::Bit => return vec![sigmoid(outputs[0] / temperature)],
            Self::Levels(_) => outputs,
            Self::Real(mixture) => &outputs[..mixture.components],
        };
        let top = logits.iter().fold(f32::NEG_INFINITY, |t, v| t.max(*v));
        let mut each: Vec<f32> = logits.iter().map(|v| exp((v - top) / temperature)).collect();
        let total: f32 = each.iter().sum();
        each.iter_mut().for_each(|v| *v /= total);
        each
    }
}
