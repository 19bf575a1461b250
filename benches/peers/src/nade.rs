//! A NADE of 784 dimensions and 500 hidden units.

use crate::Work;
use crate::trainings::rows;
use genus_core::{Batch, Seed};
use genus_kernels::{Nade, Stream, sigmoid};
use genus_nn::{Id, Loss, Objective, Params, StepContext, View, ops};
use std::collections::BTreeMap;

const DIMENSIONS: usize = 784;
const HIDDEN: usize = 500;

fn weights(seed: u64) -> Vec<f32> {
    let mut rng = Seed::from(seed).rng();
    (0..DIMENSIONS * HIDDEN).map(|_| 0.05 * (2.0 * rng.uniform() - 1.0)).collect()
}

/// Draws a hundred rows.
pub struct Sampler {
    w: Vec<f32>,
    v: Vec<f32>,
    drawn: u64,
    ones: f64,
}

impl Sampler {
    pub fn new() -> Self {
        Self { w: weights(6), v: weights(7), drawn: 0, ones: 0.0 }
    }
}

impl Work for Sampler {
    fn run(&mut self, steps: u64) -> anyhow::Result<()> {
        let (b, c) = (vec![0.0; DIMENSIONS], vec![0.0; HIDDEN]);
        let nade = Nade { w: &self.w, v: &self.v, b: &b, c: &c };
        for _ in 0..steps {
            let (mut u, mut x) = (vec![0.0; 100 * DIMENSIONS], vec![0.0; 100 * DIMENSIONS]);
            Stream { key: 8, stream: self.drawn }.fill(0, &mut u);
            let pick =
                |r: usize, p: usize, logit: f32| f32::from(u8::from(u[r * DIMENSIONS + p] < sigmoid(logit)));
            rayon::scope(|_| nade.sample(&mut x, &pick));
            self.ones += f64::from(x.iter().sum::<f32>());
            self.drawn += 1;
        }
        anyhow::ensure!(self.ones > 0.0, "nothing was drawn");
        Ok(())
    }
}

/// Trained by the operation of the toolkit.
pub struct Likelihood {
    x: Batch,
    ids: [Id; 4],
}

impl Likelihood {
    pub fn new(params: &mut Params) -> Self {
        let shape = [DIMENSIONS, HIDDEN];
        let ids = [
            params.add("w", &shape, weights(6)),
            params.add("v", &shape, weights(7)),
            params.add("b", &[DIMENSIONS], vec![0.0; DIMENSIONS]),
            params.add("c", &[HIDDEN], vec![0.0; HIDDEN]),
        ];
        Self { x: rows(), ids }
    }
}

impl Objective for Likelihood {
    fn loss(&mut self, view: &View<'_>, rows: &[usize], _: &StepContext) -> genus_core::Result<Loss> {
        let x = genus_nn::tensor(self.x.select(rows));
        let [w, v, b, c] = self.ids;
        let logits = ops::nade(view.get(w), view.get(v), view.get(b), view.get(c), x.clone());
        Ok(Loss::new(ops::bernoulli_nll(logits, x).mean()))
    }

    fn validate(&mut self, _: &View<'_>) -> genus_core::Result<BTreeMap<String, f64>> {
        Ok(BTreeMap::new())
    }
}
