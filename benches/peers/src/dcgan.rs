//! Steps of convolutional GANs on images of 28 × 28: the discriminator and then the generator of a DCGAN, or the critic of a WGAN-GP.

use crate::Work;
use crate::trainings::rows;
use genus_core::{Batch, Seed, Shape, config};
use genus_nn::{
    Activation, Analysis, Form, Linear, Normalize, Optimizer, OptimizerConfig, Params, Synthesis, Tensor,
    View, ops, tensor, tensor_from, values,
};

const BATCH: usize = 64;
const NOISE: usize = 100;
const SHAPE: Shape = Shape::Image { height: 28, width: 28, channels: 1 };
/// Weight of the penalty.
const PENALTY: f64 = 10.0;

/// Which game.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Game {
    /// A step of both players.
    Dcgan,
    /// A step of the critic, with the penalty on its gradient.
    Critic,
}

/// 100-(7×7×128)-(14×14×64)-(28×28×1) and its mirror image, with their optimisers.
pub struct Dcgan {
    game: Game,
    x: Batch,
    generator: Synthesis,
    discriminator: Analysis,
    last: Linear,
    params: [Params; 2],
    optimizers: [Optimizer; 2],
    step: u64,
}

impl Dcgan {
    pub fn new(game: Game) -> anyhow::Result<Self> {
        let rng = &mut Seed::from(10).rng();
        let [mut g, mut d] = [Params::default(), Params::default()];
        let (form, last) = (Form::Convolutions(64), Activation::Tanh);
        let generator = Synthesis::new(&mut g, "g", "g", NOISE, &SHAPE, &form, false, last, rng)?;
        let discriminator = Analysis::new(&mut d, "d", "d", &SHAPE, &form, Normalize::Not, rng)?;
        let last = Linear::new(&mut d, "last", discriminator.width(), 1, Activation::Identity, rng);
        let how: OptimizerConfig =
            config::from_table(&"rate = 2e-4\nbeta1 = 0.5\nschedule = \"constant\"".parse()?)?;
        let optimizers = [Optimizer::new(how.clone(), &g), Optimizer::new(how, &d)];
        let x = rows();
        let x = Batch::from_fn(x.rows(), 784, |r, c| 2.0 * x.row(r)[c] - 1.0);
        Ok(Self { game, x, generator, discriminator, last, params: [g, d], optimizers, step: 0 })
    }

    fn noise(rng: &mut genus_core::Rng) -> Tensor<2> {
        tensor_from((0..BATCH * NOISE).map(|_| rng.normal() as f32).collect(), [BATCH, NOISE])
    }

    fn tell(&self, view: &View<'_>, x: Tensor<2>) -> Tensor<2> {
        let (mut layers, _) = self.discriminator.forward(view, x);
        match layers.pop() {
            Some(features) => self.last.forward(view, features),
            None => unreachable!("there is the layer of the rows"),
        }
    }

    fn step(&mut self) -> genus_core::Result<f32> {
        self.step += 1;
        let mut rng = Seed::from(11).index(self.step).rng();
        let chosen: Vec<usize> = (0..BATCH).map(|_| rng.below(self.x.rows())).collect();
        let real = self.x.select(&chosen);
        let [g, d] = &self.params;
        let fake = self.generator.forward(&g.frozen(), Self::noise(&mut rng));
        let loss_d = match self.game {
            Game::Dcgan => {
                let target = |bit: f32| tensor_from(vec![bit; BATCH], [BATCH, 1]);
                let right = ops::bernoulli_nll(self.tell(&d.tracked(), tensor(real)), target(1.0)).mean();
                right + ops::bernoulli_nll(self.tell(&d.tracked(), fake), target(0.0)).mean()
            }
            Game::Critic => {
                let made = values(fake.clone());
                let shares: Vec<f32> = (0..BATCH).map(|_| rng.uniform()).collect();
                let between = Batch::from_fn(BATCH, 784, |r, c| {
                    shares[r] * real.row(r)[c] + (1.0 - shares[r]) * made[r * 784 + c]
                });
                let (outputs, _) = self.discriminator.forward(&d.frozen(), tensor(between));
                let view = d.tracked();
                let weights = view.get::<2>(self.last.w()).transpose().repeat_dim(0, BATCH);
                let gradient = self.discriminator.adjoint(&view, &outputs, weights);
                let off = ((gradient.clone() * gradient).sum_dim(1) + 1e-12).sqrt() - 1.0;
                let penalty = (off.clone() * off).mean() * PENALTY;
                self.tell(&view, fake).mean() - self.tell(&view, tensor(real)).mean() + penalty
            }
        };
        self.optimizers[1].step(&mut self.params[1], &loss_d, self.step, u64::MAX)?;
        if self.game == Game::Critic {
            return Ok(values(loss_d)[0]);
        }
        let [g, d] = &self.params;
        let fake = self.generator.forward(&g.tracked(), Self::noise(&mut rng));
        let target = tensor_from(vec![1.0; BATCH], [BATCH, 1]);
        let loss_g = ops::bernoulli_nll(self.tell(&d.frozen(), fake), target).mean();
        self.optimizers[0].step(&mut self.params[0], &loss_g, self.step, u64::MAX)?;
        Ok(values(loss_d)[0] + values(loss_g)[0])
    }
}

impl Work for Dcgan {
    fn run(&mut self, steps: u64) -> anyhow::Result<()> {
        let mut total = 0.0;
        for _ in 0..steps {
            total += rayon::scope(|_| self.step())?;
        }
        anyhow::ensure!(total.is_finite(), "the networks diverged");
        Ok(())
    }
}
