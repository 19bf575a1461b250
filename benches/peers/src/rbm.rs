//! A step of contrastive divergence.

use crate::Work;
use genus_kernels::{Mat, Stream, add_scaled, bernoulli_sample, layer_probabilities, pair_gradient};

const VISIBLE: usize = 784;
const HIDDEN: usize = 500;

/// CD-1 with batches of 100, plain gradient steps.
pub struct Rbm {
    rows: genus_core::Batch,
    order: Vec<usize>,
    w: Vec<f32>,
    b: Vec<f32>,
    c: Vec<f32>,
    step: u64,
    /// Sum of the reconstruction errors, so that they are computed.
    errors: f64,
}

impl Rbm {
    pub fn new(rows: genus_core::Batch) -> Self {
        let mut rng = genus_core::Seed::from(3).rng();
        let order = rng.permutation(rows.rows());
        let w = (0..VISIBLE * HIDDEN).map(|_| 0.01 * rng.normal() as f32).collect();
        Self { rows, order, w, b: vec![0.0; VISIBLE], c: vec![0.0; HIDDEN], step: 0, errors: 0.0 }
    }

    fn step(&mut self) {
        let at = (self.step as usize * 100) % self.rows.rows();
        let v0 = self.rows.select(&self.order[at..at + 100]).into_data();
        let stream = |layer| Stream { key: 5, stream: 2 * self.step + layer };
        let w = Mat::rows(&self.w, HIDDEN);
        let h0 = layer_probabilities(&v0, VISIBLE, w, &self.c);
        let p1 = layer_probabilities(&bernoulli_sample(&h0, stream(0)), HIDDEN, w.t(), &self.b);
        let v1 = bernoulli_sample(&p1, stream(1));
        let h1 = layer_probabilities(&v1, VISIBLE, w, &self.c);
        let g = pair_gradient([&v0, &h0], [&v1, &h1], VISIBLE, HIDDEN);
        for (p, g) in [(&mut self.w, g.w), (&mut self.b, g.visible), (&mut self.c, g.hidden)] {
            add_scaled(p, &g, 0.05);
        }
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
