//! A step of a deep convolutional GAN on images of 28 × 28: first the discriminator, then the generator.

use crate::Work;
use crate::trainings::rows;
use genus_core::{Batch, Seed, config};
use genus_nn::{
    Activation, Conv, Id, Linear, Optimizer, OptimizerConfig, Params, Taps, Tensor, View, ops, tensor,
    tensor_from, values,
};
use std::sync::Arc;

const BATCH: usize = 64;
const NOISE: usize = 100;

/// Weights, bias and form of a convolution.
type Layer = (Id, Id, Arc<Conv>);

fn layer(
    params: &mut Params,
    name: &str,
    [inputs, outputs]: [usize; 2],
    up: bool,
    rng: &mut genus_core::Rng,
) -> Layer {
    let conv = Conv { taps: Taps::full(4, 2, 1), inputs, outputs };
    let w = params.uniform(format!("{name}.w"), &[16, inputs, outputs], 0.08, rng);
    let to = if up { inputs } else { outputs };
    (w, params.add(format!("{name}.b"), &[to], vec![0.0; to]), Arc::new(conv))
}

/// 100-(7×7×128), then transposed convolutions to 14×14×64 and 28×28×1.
struct Generator {
    first: Linear,
    up: [Layer; 2],
}

impl Generator {
    fn images(&self, view: &View<'_>, noise: Tensor<2>) -> Tensor<4> {
        let mut x: Tensor<4> = self.first.forward(view, noise).reshape([BATCH, 7, 7, 128]);
        for ((w, b, conv), act) in self.up.iter().zip([Activation::Relu, Activation::Tanh]) {
            x = ops::conv_transposed(x, view.get(*w), view.get(*b), conv, act);
        }
        x
    }
}

/// Convolutions to 14×14×64 and 7×7×128, then a logit.
struct Discriminator {
    down: [Layer; 2],
    last: Linear,
}

impl Discriminator {
    fn logits(&self, view: &View<'_>, mut x: Tensor<4>) -> Tensor<2> {
        let n = x.dims()[0];
        for (w, b, conv) in &self.down {
            x = ops::conv(x, view.get(*w), view.get(*b), conv, Activation::LeakyRelu);
        }
        self.last.forward(view, x.reshape([n, 7 * 7 * 128]))
    }
}

/// Both networks with their optimisers.
pub struct Dcgan {
    x: Batch,
    generator: Generator,
    discriminator: Discriminator,
    params: [Params; 2],
    optimizers: [Optimizer; 2],
    step: u64,
}

impl Dcgan {
    pub fn new() -> Self {
        let mut rng = Seed::from(10).rng();
        let [mut g, mut d] = [Params::default(), Params::default()];
        let generator = Generator {
            first: Linear::new(&mut g, "first", NOISE, 7 * 7 * 128, Activation::Relu, &mut rng),
            // The adjoint of a convolution from what it makes to what it is made of.
            up: [
                layer(&mut g, "up.0", [64, 128], true, &mut rng),
                layer(&mut g, "up.1", [1, 64], true, &mut rng),
            ],
        };
        let discriminator = Discriminator {
            down: [
                layer(&mut d, "down.0", [1, 64], false, &mut rng),
                layer(&mut d, "down.1", [64, 128], false, &mut rng),
            ],
            last: Linear::new(&mut d, "last", 7 * 7 * 128, 1, Activation::Identity, &mut rng),
        };
        let how = || -> OptimizerConfig {
            let table = "rate = 2e-4\nbeta1 = 0.5\nschedule = \"constant\"".parse();
            let config = table.map_err(anyhow::Error::from).and_then(|t| Ok(config::from_table(&t)?));
            config.unwrap_or_else(|e: anyhow::Error| unreachable!("a valid configuration: {e}"))
        };
        let optimizers = [Optimizer::new(how(), &g), Optimizer::new(how(), &d)];
        let x = rows();
        let x = Batch::from_fn(x.rows(), 784, |r, c| 2.0 * x.row(r)[c] - 1.0);
        Self { x, generator, discriminator, params: [g, d], optimizers, step: 0 }
    }

    fn noise(rng: &mut genus_core::Rng) -> Tensor<2> {
        tensor_from((0..BATCH * NOISE).map(|_| rng.normal() as f32).collect(), [BATCH, NOISE])
    }

    fn step(&mut self) -> genus_core::Result<f32> {
        self.step += 1;
        let mut rng = Seed::from(11).index(self.step).rng();
        let chosen: Vec<usize> = (0..BATCH).map(|_| rng.below(self.x.rows())).collect();
        let [g, d] = &mut self.params;
        let [of_g, of_d] = &mut self.optimizers;
        let target = |bit: f32, n: usize| tensor_from(vec![bit; n], [n, 1]);

        let real: Tensor<4> = tensor(self.x.select(&chosen)).reshape([BATCH, 28, 28, 1]);
        let fake = self.generator.images(&g.frozen(), Self::noise(&mut rng));
        let judged = |x| self.discriminator.logits(&d.tracked(), x);
        let right = ops::bernoulli_nll(judged(real), target(1.0, BATCH)).mean();
        let loss_d = right + ops::bernoulli_nll(judged(fake), target(0.0, BATCH)).mean();
        of_d.step(d, &loss_d, self.step, u64::MAX)?;

        let fake = self.generator.images(&g.tracked(), Self::noise(&mut rng));
        let logits = self.discriminator.logits(&d.frozen(), fake);
        let loss_g = ops::bernoulli_nll(logits, target(1.0, BATCH)).mean();
        of_g.step(g, &loss_g, self.step, u64::MAX)?;
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
