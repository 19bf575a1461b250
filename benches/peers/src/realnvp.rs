//! Eight affine couplings in the plane with networks of 1-64-64-2.

use genus_core::{Batch, Seed};
use genus_nn::{
    Activation, Coupling, Id, Linear, Loss, Objective, Params, StepContext, View, ops, tensor, tensor_from,
};
use std::collections::BTreeMap;
use std::sync::Arc;

pub struct Likelihood {
    /// Points with a log-determinant of zero.
    x: Batch,
    layers: Vec<(Arc<Coupling>, Id, Vec<Linear>)>,
}

impl Likelihood {
    pub fn new(params: &mut Params) -> Self {
        let mut rng = Seed::from(4).rng();
        // Eight Gaussians on a circle.
        let x = (0..crate::trainings::ROWS).flat_map(|_| {
            let angle = rng.below(8) as f32 * std::f32::consts::FRAC_PI_4;
            let mut near = |at: f32| 2.0 * at + 0.2 * rng.normal() as f32;
            [near(angle.cos()), near(angle.sin()), 0.0]
        });
        let x = Batch::from_fn(crate::trainings::ROWS, 3, {
            let values: Vec<f32> = x.collect();
            move |r, c| values[3 * r + c]
        });
        let layers = (0..8)
            .map(|l| {
                let of = Coupling { kept: vec![l % 2], moved: vec![1 - l % 2], act: Activation::Relu };
                let scale = params.add(format!("{l}.scale"), &[1], vec![1.0]);
                let net =
                    [(1, 64, Activation::Relu), (64, 64, Activation::Relu), (64, 2, Activation::Identity)];
                let net = net.into_iter().enumerate().map(|(i, (from, to, act))| {
                    Linear::new(params, &format!("{l}.{i}"), from, to, act, &mut rng)
                });
                (Arc::new(of), scale, net.collect())
            })
            .collect();
        Self { x, layers }
    }
}

impl Objective for Likelihood {
    fn loss(&mut self, view: &View<'_>, rows: &[usize], _: &StepContext) -> genus_core::Result<Loss> {
        let mut x = tensor(self.x.select(rows));
        for (of, scale, net) in &self.layers {
            let net: Vec<ops::Layer> = net.iter().map(|l| (view.get(l.w()), view.get(l.b()))).collect();
            x = ops::coupling(x, view.get(*scale), &net, of);
        }
        let zero = tensor_from(vec![0.0; 2], [1, 2]);
        let nll = ops::gaussian_nll(x.clone().narrow(1, 0, 2), zero.clone(), zero);
        let log_det = x.narrow(1, 2, 1).squeeze_dim::<1>(1);
        Ok(Loss::new((nll - log_det).mean()))
    }

    fn validate(&mut self, _: &View<'_>) -> genus_core::Result<BTreeMap<String, f64>> {
        Ok(BTreeMap::new())
    }
}
