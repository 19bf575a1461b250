//! Eight affine couplings in the plane with networks of 1-64-64-2.

use genus_core::{Batch, Seed};
use genus_nn::{
    Activation, Base, Bijection as _, Loss, Objective, Params, Step, StepContext, Steps, View, Warp, tensor,
};
use std::collections::BTreeMap;

pub struct Likelihood {
    /// Points with a log-determinant of zero.
    x: Batch,
    steps: Steps,
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
        let coupling = |l: usize| {
            Step::coupling(2, vec![l % 2], 0, &[64, 64], Activation::Relu, Warp::Affine { bound: 1.0 })
        };
        let steps = Steps::new(params, "flow", 2, 0, (0..8).map(coupling).collect(), &mut rng);
        Self { x, steps }
    }
}

impl Objective for Likelihood {
    fn loss(&mut self, view: &View<'_>, rows: &[usize], _: &StepContext) -> genus_core::Result<Loss> {
        let x = self.steps.forward(view, tensor(self.x.select(rows)), None);
        let log_det = x.clone().narrow(1, 2, 1).squeeze_dim::<1>(1);
        Ok(Loss::new((Base::Normal.nll(x.narrow(1, 0, 2)) - log_det).mean()))
    }

    fn validate(&mut self, _: &View<'_>) -> genus_core::Result<BTreeMap<String, f64>> {
        Ok(BTreeMap::new())
    }
}
