//! The two networks, one training, and what is measured along the way.

use genus::{Batch, Result, Seed};
use genus::{
    Shape,
    config::{Fraction, Positive},
};
use genus_nn::{
    Activation, Analysis, Form, Linear, Normalize, Optimizer, OptimizerConfig, Params, Schedule, Synthesis,
    Tensor, View, ops, tensor, tensor_from, values,
};

/// Length of the noise.
const LATENT: usize = 16;
/// Rows of a step.
const BATCH: usize = 64;
/// Draws that are measured.
pub const MEASURED: usize = 200;

/// What the generator minimises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Objective {
    /// log(1 − D(G(z))).
    Minimax,
    /// −log D(G(z)).
    NonSaturating,
}

impl Objective {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Minimax, Self::NonSaturating];

    /// Name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Minimax => "minimax",
            Self::NonSaturating => "non-saturating",
        }
    }

    /// Loss of each draw, from the discriminator's logits.
    fn of(self, d: Tensor<1>) -> Tensor<1> {
        match self {
            Self::Minimax => softplus(d).neg(),
            Self::NonSaturating => softplus(d.neg()),
        }
    }

    /// |∂ loss/∂ d| where D says p.
    pub const fn slope(self, p: f64) -> f64 {
        match self {
            Self::Minimax => p,
            Self::NonSaturating => 1.0 - p,
        }
    }
}

fn softplus(d: Tensor<1>) -> Tensor<1> {
    let rows = d.dims()[0];
    ops::bernoulli_nll(d.reshape([rows, 1]), tensor_from(vec![0.0; rows], [rows, 1]))
}

/// What a draw receives.
#[derive(Debug, Clone, Copy)]
pub struct Received {
    /// D(G(z)).
    pub told: f64,
    /// |∂ loss/∂ G(z)| by each objective.
    pub gradient: [f64; 2],
}

/// What is seen at a step.
#[derive(Debug, Clone)]
pub struct Moment {
    /// Updates of each player so far.
    pub step: usize,
    /// What each measured draw receives.
    pub received: Vec<Received>,
    /// Norm of the gradient of all weights of the generator, by the objective that it is trained with.
    pub norm: f64,
    /// Draws from the noise that is measured.
    pub draws: Batch,
}

impl Moment {
    /// Mean of D(G(z)).
    pub fn told(&self) -> f64 {
        self.received.iter().map(|r| r.told).sum::<f64>() / self.received.len() as f64
    }
}

struct Players {
    made: Params,
    generator: Synthesis,
    seen: Params,
    features: Analysis,
    last: Linear,
}

impl Players {
    fn new(shape: &Shape, seed: Seed) -> Result<Self> {
        let rng = &mut seed.rng();
        let (mut made, mut seen) = (Params::default(), Params::default());
        let form = Form::Dense(vec![128, 128]);
        let generator =
            Synthesis::new(&mut made, "g", "g", LATENT, shape, &form, false, Activation::Tanh, rng)?;
        let features = Analysis::new(&mut seen, "d", "d", shape, &form, Normalize::Not, rng)?;
        let last = Linear::new(&mut seen, "d.last", features.width(), 1, Activation::Identity, rng);
        Ok(Self { made, generator, seen, features, last })
    }

    /// The discriminator's logits.
    fn tell(&self, view: &View<'_>, x: Tensor<2>) -> Tensor<1> {
        let (mut layers, _) = self.features.forward(view, x);
        let Some(features) = layers.pop() else { unreachable!("there is the layer of the rows") };
        self.last.forward(view, features).squeeze_dim::<1>(1)
    }

    /// What is seen of draws from this noise.
    fn look(&self, step: usize, objective: Objective, noise: &Batch) -> Moment {
        let made = self.generator.forward(&self.made.frozen(), tensor(noise.clone()));
        let gradients = Objective::ALL.map(|objective| {
            let x = made.clone().autodiff().require_grad();
            let grads = objective.of(self.tell(&self.seen.frozen(), x.clone())).sum().backward();
            let g = x.grad(&grads).map(values).unwrap_or_default();
            let width = made.dims()[1];
            g.chunks_exact(width)
                .map(|g| g.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt())
                .collect::<Vec<_>>()
        });
        let logits = values(self.tell(&self.seen.frozen(), made.clone()));
        let received = logits.iter().enumerate().map(|(i, d)| Received {
            told: 1.0 / (1.0 + (-f64::from(*d)).exp()),
            gradient: [gradients[0][i], gradients[1][i]],
        });
        // The norm of the gradient is what a step says of it; on a copy, because it also moves.
        let mut copy = self.made.clone();
        let draws = self.generator.forward(&copy.tracked(), tensor(noise.clone()));
        let loss = objective.of(self.tell(&self.seen.frozen(), draws)).mean();
        let norm = optimizer(&copy, RATES[0]).step(&mut copy, &loss, 1, 1).unwrap_or(f64::NAN);
        let width = made.dims()[1];
        let received = received.collect();
        let draws = Batch::new(values(made), width).unwrap_or_else(|e| unreachable!("as wide as it is: {e}"));
        Moment { step, received, norm, draws }
    }
}

/// Step sizes of the generator and of the discriminator, which learns faster: it is then sure of what the generator makes, which is what
/// the argument is about.
const RATES: [f64; 2] = [2e-4, 1e-3];

fn optimizer(params: &Params, rate: f64) -> Optimizer {
    let how = OptimizerConfig {
        rate: Positive::constant(rate),
        beta1: Fraction::constant(0.5),
        schedule: Schedule::Constant,
        ..OptimizerConfig::default()
    };
    Optimizer::new(how, params)
}

/// Trains on rows between −1 and 1 by an objective of the generator; gives what is seen at these steps.
///
/// # Errors
/// If a gradient is not finite.
pub fn play(
    rows: &Batch,
    shape: &Shape,
    objective: Objective,
    looks: &[usize],
    seed: Seed,
) -> Result<Vec<Moment>> {
    let mut players = Players::new(shape, seed.child("players"))?;
    let (mut moves, mut tells) = (optimizer(&players.made, RATES[0]), optimizer(&players.seen, RATES[1]));
    let noise = |n: usize, seed: Seed| {
        let mut rng = seed.rng();
        Batch::from_fn(n, LATENT, |_, _| rng.normal() as f32)
    };
    let measured = noise(MEASURED, seed.child("measured"));
    let last = looks.iter().copied().max().unwrap_or(0);
    let mut moments = Vec::new();
    for step in 0..=last {
        if looks.contains(&step) {
            moments.push(players.look(step, objective, &measured));
        }
        let turn = seed.child("step").index(step as u64);
        let mut rng = turn.rng();
        let real = rows.select(&(0..BATCH).map(|_| rng.below(rows.rows())).collect::<Vec<_>>());
        let z = noise(BATCH, turn.child("z"));
        let made = players.generator.forward(&players.made.frozen(), tensor(z.clone()));
        let loss = {
            let view = players.seen.tracked();
            softplus(players.tell(&view, tensor(real)).neg()).mean()
                + softplus(players.tell(&view, made)).mean()
        };
        let at = step as u64 + 1;
        tells.step(&mut players.seen, &loss, at, last as u64 + 1)?;
        let made = players.generator.forward(&players.made.tracked(), tensor(z));
        let loss = objective.of(players.tell(&players.seen.frozen(), made)).mean();
        moves.step(&mut players.made, &loss, at, last as u64 + 1)?;
    }
    Ok(moments)
}
