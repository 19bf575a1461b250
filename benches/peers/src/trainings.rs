//! Training steps, as `genus train` makes them: through the operations, the optimiser and the training loop.

use crate::Work;
use anyhow::Context as _;
use genus::{Annealing, Rbm, RbmConfig};
use genus_core::{
    Batch, Dataset, Domain, Event, FitContext, Model, Seed, Shape, Split, StopReason, Support, config,
};
use genus_kernels::{PixelNode, PixelOp, Source, Stream, sample_pixels, sigmoid};
use genus_nn::{
    Activation, Causal, Conv, Id, Images, Loss, Objective, Params, StepContext, Taps, Tensor, TrainConfig,
    View, ops,
};
use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

/// A training on a thread of its own that goes on by as many steps as it is granted, and sleeps in between.
struct Training {
    grant: SyncSender<u64>,
    done: Receiver<()>,
}

impl Work for Training {
    fn run(&mut self, steps: u64) -> anyhow::Result<()> {
        self.grant.send(steps).context("the training has ended")?;
        self.done.recv().context("the training has failed")
    }
}

/// Starts `fit`, which is given an observer to call.
fn start(fit: impl FnOnce(&mut FitContext<'_>) + Send + 'static) -> Box<dyn Work> {
    let (grant, granted) = sync_channel::<u64>(0);
    let (finished, done) = sync_channel(0);
    std::thread::spawn(move || {
        let mut left = 0u64;
        let mut observer = move |event: &Event| {
            match event {
                Event::Step { .. } => {
                    left -= 1;
                    if left == 0 && finished.send(()).is_err() {
                        return ControlFlow::Break(StopReason::Interrupted);
                    }
                }
                Event::Start { .. } => {}
                _ => return ControlFlow::Continue(()),
            }
            if left == 0 {
                match granted.recv() {
                    Ok(steps) => left = steps,
                    Err(_) => return ControlFlow::Break(StopReason::Interrupted),
                }
            }
            ControlFlow::Continue(())
        };
        fit(&mut FitContext::new(Seed::from(1), &mut observer));
    });
    Box::new(Training { grant, done })
}

/// Rows to train on: a multiple of every batch.
pub const ROWS: usize = 12_800;

/// Rows of 784 bits, 13 % of them ones.
pub fn rows() -> Batch {
    let mut rng = Seed::from(0).rng();
    Batch::from_fn(ROWS, 784, |_, _| f32::from(u8::from(rng.uniform() < 0.13)))
}

fn model(name: &str, settings: &str, shape: Shape) -> anyhow::Result<Box<dyn Work>> {
    let spec = genus::registry::find(name)?;
    let mut table = (spec.default_config)();
    config::merge(&mut table, &settings.parse()?);
    let set = Dataset::new("bits", Domain { support: Support::Binary, shape }, Split::unlabelled(rows()))?;
    Ok(start(move |cx| drop((spec.fit)(&table, &set, cx))))
}

/// 784-400-20.
pub fn vae() -> anyhow::Result<Box<dyn Work>> {
    model(
        "vae",
        "hidden = [400]\nlatent = 20\nactivation = \"relu\"\ntrain.batch = 128\ntrain.epochs = 1000000",
        Shape::Flat(784),
    )
}

/// 784-500-500-784, natural order, relu.
pub fn made() -> anyhow::Result<Box<dyn Work>> {
    model("made", "hidden = [500, 500]\ntrain.batch = 100\ntrain.epochs = 1000000", Shape::Flat(784))
}

/// A PixelRNN of one Diagonal BiLSTM layer of 32 units.
pub fn lstm() -> anyhow::Result<Box<dyn Work>> {
    let shape = Shape::Image { height: 28, width: 28, channels: 1 };
    model("pixelrnn", "hidden = 32\ntrain.batch = 16\ntrain.epochs = 1000000", shape)
}

/// 784-500, CD-1, plain gradient steps.
pub fn rbm() -> anyhow::Result<Box<dyn Work>> {
    let how =
        "algorithm = \"contrastive\"\nbatch = 100\nrate = 0.05\nschedule = \"constant\"\nepochs = 1000000";
    model("rbm", &format!("hidden = 500\n[train]\n{how}"), Shape::Flat(784))
}

/// Sixteen images from a GatedPixelCNN of 5 layers of 32 channels with its initial weights.
pub struct GatedSampler {
    model: Box<dyn Model>,
    drawn: u64,
}

impl GatedSampler {
    pub fn new() -> anyhow::Result<Self> {
        let spec = genus::registry::find("gated-pixelcnn")?;
        let mut table = (spec.default_config)();
        config::merge(&mut table, &"hidden = 32\nlayers = 5".parse()?);
        let shape = Shape::Image { height: 28, width: 28, channels: 1 };
        let some = Split::unlabelled(rows().slice(0, 100));
        let set = Dataset::new("bits", Domain { support: Support::Binary, shape }, some)?;
        let mut stop = |_: &Event| ControlFlow::Break(StopReason::Interrupted);
        let model = (spec.fit)(&table, &set, &mut FitContext::new(Seed::from(1), &mut stop))?.model;
        Ok(Self { model, drawn: 0 })
    }
}

impl Work for GatedSampler {
    fn run(&mut self, steps: u64) -> anyhow::Result<()> {
        let sampler = self.model.as_sampler().context("it draws")?;
        for _ in 0..steps {
            let rows = sampler.sample(16, &mut Seed::from(self.drawn).rng())?;
            anyhow::ensure!(rows.data().contains(&1.0), "nothing was drawn");
            self.drawn += 1;
        }
        Ok(())
    }
}

/// Annealed importance sampling of log Z, 1000 chains, 784-500.
pub struct Anneal(Rbm);

impl Anneal {
    pub fn new() -> anyhow::Result<Self> {
        let mut rng = Seed::from(3).rng();
        let weights = Batch::from_fn(784, 500, |_, _| 0.05 * rng.normal() as f32);
        let hidden = NonZeroUsize::MIN.saturating_add(499);
        let annealing = Annealing { steps: NonZeroUsize::MIN, back_burn_in: 0, ..Annealing::default() };
        let config = RbmConfig { hidden, annealing, ..RbmConfig::default() };
        Ok(Self(Rbm::with_parameters(config, weights, vec![-2.0; 784], vec![0.0; 500], vec![-2.0; 784])?))
    }
}

impl Work for Anneal {
    fn run(&mut self, steps: u64) -> anyhow::Result<()> {
        let n = |n: u64| NonZeroUsize::MIN.saturating_add(n as usize - 1);
        let how = Annealing { exact: false, chains: n(1000), steps: n(steps), back_burn_in: 0 };
        let figures = self.0.anneal(&how, Seed::from(1));
        anyhow::ensure!(figures?.first().is_some_and(|f| f.value.is_finite()), "log Z is not finite");
        Ok(())
    }
}

/// 7×7 type A, five times 3×3 type B with 32 channels, 1×1 to a logit.
struct PixelCnn {
    x: Batch,
    layers: Vec<(Id, Id, Arc<Conv>)>,
}

impl PixelCnn {
    fn new(params: &mut Params) -> Self {
        let mut rng = Seed::from(2).rng();
        let mut shapes = vec![(Taps::causal(7, Causal::A, 1), 1, 32)];
        shapes.extend((0..5).map(|_| (Taps::causal(3, Causal::B, 1), 32, 32)));
        shapes.push((Taps::full(1, 1, 0), 32, 1));
        let layers = shapes.into_iter().enumerate().map(|(l, (taps, inputs, outputs))| {
            let conv = Conv { taps, inputs, outputs };
            let shape = [conv.taps.count(), inputs, outputs];
            let bound = (6.0 / (shape[0] * inputs) as f64).sqrt();
            let w = params.uniform(format!("{l}.w"), &shape, bound, &mut rng);
            (w, params.add(format!("{l}.b"), &[outputs], vec![0.0; outputs]), Arc::new(conv))
        });
        Self { layers: layers.collect(), x: rows() }
    }
}

impl Objective for PixelCnn {
    fn loss(&mut self, view: &View<'_>, rows: &[usize], _: &StepContext) -> genus_core::Result<Loss> {
        let x = genus_nn::tensor(self.x.select(rows));
        let n = rows.len();
        let mut h: Tensor<4> = x.clone().reshape([n, 28, 28, 1]);
        for (l, (w, b, conv)) in self.layers.iter().enumerate() {
            let act = if l + 1 == self.layers.len() { Activation::Identity } else { Activation::Relu };
            h = ops::conv(h, view.get(*w), view.get(*b), conv, act);
        }
        Ok(Loss::new(ops::bernoulli_nll(h.reshape([n, 784]), x).mean()))
    }

    fn validate(&mut self, _: &View<'_>) -> genus_core::Result<BTreeMap<String, f64>> {
        Ok(BTreeMap::new())
    }
}

/// Sixteen images from the network with its initial weights.
pub struct PixelCnnSampler {
    layers: Vec<(Arc<Conv>, Vec<f32>, Vec<f32>)>,
    drawn: u64,
    ones: f64,
}

impl PixelCnnSampler {
    pub fn new() -> Self {
        let mut params = Params::default();
        let net = PixelCnn::new(&mut params);
        let layers = net.layers.iter().map(|(w, b, c)| (Arc::clone(c), params.values(*w), params.values(*b)));
        Self { layers: layers.collect(), drawn: 0, ones: 0.0 }
    }
}

impl Work for PixelCnnSampler {
    fn run(&mut self, steps: u64) -> anyhow::Result<()> {
        let of = Images { count: 16, extents: [28, 28], channels: 1 };
        let last = self.layers.len() - 1;
        let nodes: Vec<PixelNode<'_>> = self
            .layers
            .iter()
            .enumerate()
            .map(|(l, (conv, w, b))| PixelNode {
                from: if l == 0 { Source::Image } else { Source::Node(l - 1) },
                op: PixelOp::Conv {
                    conv,
                    w,
                    b,
                    act: if l == last { Activation::Identity } else { Activation::Relu },
                },
            })
            .collect();
        for _ in 0..steps {
            let mut u = vec![0.0; of.len()];
            Stream { key: 9, stream: self.drawn }.fill(0, &mut u);
            let mut x = vec![0.0; of.len()];
            rayon::scope(|_| {
                sample_pixels(&nodes, of, &mut x, &|image, place, _, out, values| {
                    values[0] = f32::from(u8::from(u[image * 784 + place] < sigmoid(out[0])));
                });
            });
            self.ones += f64::from(x.iter().sum::<f32>());
            self.drawn += 1;
        }
        anyhow::ensure!(self.ones > 0.0, "nothing was drawn");
        Ok(())
    }
}

/// Trains an objective with batches of this size.
fn objective<O: Objective + 'static>(batch: usize, make: fn(&mut Params) -> O) -> Box<dyn Work> {
    start(move |cx| {
        let mut params = Params::default();
        let mut objective = make(&mut params);
        let many = |n: usize| NonZeroUsize::MIN.saturating_add(n - 1);
        let config = TrainConfig {
            epochs: many(1_000_000),
            batch: many(batch),
            ema: config::Fraction::constant(0.0),
            ..TrainConfig::default()
        };
        drop(genus_nn::train(&config, &mut params, ROWS, &mut objective, "bench", cx));
    })
}

/// Batch 32.
pub fn pixelcnn() -> Box<dyn Work> {
    objective(32, PixelCnn::new)
}

/// Batch 100.
pub fn nade() -> Box<dyn Work> {
    objective(100, crate::nade::Likelihood::new)
}

/// Batch 256.
pub fn realnvp() -> Box<dyn Work> {
    objective(256, crate::realnvp::Likelihood::new)
}
