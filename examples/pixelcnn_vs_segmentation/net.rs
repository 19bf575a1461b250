//! A stack of convolutions from images to one row of logits per pixel, with or without a causal mask.

use genus::{Batch, Result, Seed};
use genus_nn::{
    Activation, Causal, Conv, Id, Optimizer, OptimizerConfig, Params, Taps, Tensor, View, ops, tensor,
    tensor_from, values,
};
use std::sync::Arc;

/// Pixels of a side.
pub const SIDE: usize = 8;
const HIDDEN: usize = 32;
const BATCH: usize = 32;

/// Which pixels the logits of a pixel may depend on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sight {
    /// Those before it in raster order: PixelCNN.
    Before,
    /// All around it, and itself.
    All,
}

#[derive(Debug)]
struct Layer {
    conv: Arc<Conv>,
    w: Id,
    b: Id,
    act: Activation,
}

/// Four convolutions and a head of 1×1.
#[derive(Debug)]
pub struct Net {
    params: Params,
    layers: Vec<Layer>,
    top: f32,
}

impl Net {
    /// For images with values up to `top` and labels below `labels`. The mask is the only thing that `sight` changes.
    pub fn new(sight: Sight, top: f32, labels: usize, seed: Seed) -> Self {
        let mut params = Params::default();
        let mut rng = seed.rng();
        let sizes = [5, 3, 3, 3, 1];
        let mut inputs = 1;
        let layers = sizes.iter().enumerate().map(|(i, &size)| {
            let taps = match sight {
                Sight::Before => Taps::causal(size, if i == 0 { Causal::A } else { Causal::B }, 1),
                Sight::All => Taps::full(size, 1, size / 2),
            };
            let last = i + 1 == sizes.len();
            let (outputs, act) =
                if last { (labels, Activation::Identity) } else { (HIDDEN, Activation::Relu) };
            let bound = (6.0 / (taps.count() * inputs) as f64).sqrt();
            let w = params.uniform(format!("{i}.w"), &[taps.count(), inputs, outputs], bound, &mut rng);
            let b = params.add(format!("{i}.b"), &[outputs], vec![0.0; outputs]);
            let conv = Arc::new(Conv { taps, inputs, outputs });
            inputs = outputs;
            Layer { conv, w, b, act }
        });
        let layers = layers.collect();
        Self { params, layers, top }
    }

    fn logits(&self, view: &View<'_>, images: &Batch) -> Tensor<3> {
        let mut x = tensor(images.clone()).reshape([images.rows(), SIDE, SIDE, 1]) / self.top;
        for l in &self.layers {
            x = ops::conv(x, view.get(l.w), view.get(l.b), &l.conv, l.act);
        }
        let labels = x.dims()[3];
        x.reshape([images.rows(), SIDE * SIDE, labels])
    }

    /// Minimises the cross-entropy of the labels of all pixels, with Adam.
    pub fn train(&mut self, images: &Batch, labels: &Batch, epochs: usize, seed: Seed) -> Result<()> {
        let mut config = OptimizerConfig::default();
        config.rate = genus::config::Positive::new(3e-3).unwrap_or(config.rate);
        let mut optimizer = Optimizer::new(config, &self.params);
        let steps = (epochs * images.rows().div_ceil(BATCH)) as u64;
        let mut step = 0;
        for epoch in 0..epochs {
            let order = seed.index(epoch as u64).rng().permutation(images.rows());
            for rows in order.chunks(BATCH) {
                step += 1;
                let logits = self.logits(&self.params.tracked(), &images.select(rows));
                let loss = ops::categorical_nll(logits, tensor(labels.select(rows))).mean();
                optimizer.step(&mut self.params, &loss, step, steps)?;
            }
        }
        Ok(())
    }

    /// Probabilities of the labels: of the first pixel of the first image, of the second …
    pub fn probabilities(&self, images: &Batch) -> Vec<f32> {
        let logits = self.logits(&self.params.frozen(), images);
        let labels = logits.dims()[2];
        let mut p = values(logits);
        for p in p.chunks_exact_mut(labels) {
            let top = p.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            p.iter_mut().for_each(|p| *p = (*p - top).exp());
            let total: f32 = p.iter().sum();
            p.iter_mut().for_each(|p| *p /= total);
        }
        p
    }

    /// The most probable label of every pixel.
    pub fn label(&self, images: &Batch) -> Result<Batch> {
        let p = self.probabilities(images);
        let labels = p.len() / images.data().len();
        let best = |p: &[f32]| (0..labels).max_by(|a, b| p[*a].total_cmp(&p[*b])).unwrap_or(0) as f32;
        Batch::new(p.chunks_exact(labels).map(best).collect(), images.width())
    }

    /// How strongly the logits of one pixel depend on every pixel of an image: zero where they do not.
    pub fn dependencies(&self, image: &Batch, pixel: usize) -> Vec<f32> {
        let leaf = tensor_from(image.data().to_vec(), [1, SIDE, SIDE, 1]).autodiff().require_grad();
        let mut x = leaf.clone() / self.top;
        let view = self.params.tracked();
        for l in &self.layers {
            x = ops::conv(x, view.get(l.w), view.get(l.b), &l.conv, l.act);
        }
        let labels = x.dims()[3];
        let grads = x.reshape([1, SIDE * SIDE, labels]).narrow(1, pixel, 1).powi_scalar(2).sum().backward();
        leaf.grad(&grads).map_or(vec![0.0; SIDE * SIDE], values).into_iter().map(f32::abs).collect()
    }
}
