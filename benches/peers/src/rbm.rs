//! A step of contrastive divergence.

use crate::Work;
use genus_kernels::{Mat, Pair, Stream, bernoulli_sample, layer_probabilities};

const VISIBLE: usize = 784;
const HIDDEN: usize = 500;

/// CD-1 with batches of 100, plain gradient steps.
pub struct Rbm {
    rows: genus_core::Batch,
    order: Vec<usize>,
    machine: Pair,
    step: u64,
    /// Sum of the reconstruction errors, so that they are computed.
    errors: f64,
}

impl Rbm {
    pub fn new(rows: genus_core::Batch) -> Self {
        let mut rng = genus_core::Seed::from(3).rng();
        let order = rng.permutation(rows.rows());
        let mut machine = Pair::zeros(VISIBLE, HIDDEN);
        machine.w.iter_mut().for_each(|w| *w = 0.01 * rng.normal() as f32);
        Self { rows, order, machine, step: 0, errors: 0.0 }
    }

    fn step(&mut self) {
        let at = (self.step as usize * 100) % self.rows.rows();
        let v0 = self.rows.select(&self.order[at..at + 100]).into_data();
        let stream = |layer| Stream { key: 5, stream: 2 * self.step + layer };
        let (w, b, c) = (Mat::rows(&self.machine.w, HIDDEN), &self.machine.visible, &self.machine.hidden);
        let h0 = layer_probabilities(&v0, VISIBLE, w, c);
        let p1 = layer_probabilities(&bernoulli_sample(&h0, stream(0)), HIDDEN, w.t(), b);
        let v1 = bernoulli_sample(&p1, stream(1));
        let h1 = layer_probabilities(&v1, VISIBLE, w, c);
        self.machine.add_contrast([&v0, &h0], [&v1, &h1], 0.05);
        // Bits differ where one of the two is set and the other is not.
        self.errors += v0.iter().zip(&v1).filter(|(a, b)| a != b).count() as f64;
        self.step += 1;
    }
}

impl Work for Rbm {
    fn run(&mut self, steps: u64) -> anyhow::Result<()> {
        rayon::scope(|_| (0..steps).for_each(|_| self.step()));
        anyhow::ensure!(self.errors.is_finite(), "the machine diverged");
        Ok(())
    }
}
