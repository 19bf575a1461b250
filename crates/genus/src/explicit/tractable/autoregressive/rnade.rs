//! # Real-valued NADE (RNADE)
//!
//! ## What it is
//! p(x) = Π p(x_d | x_<d) over real dimensions in the order of the columns, each conditional a mixture of normals whose
//! parameters come from hidden units with shared weights: a₁ = c, h_d = max(0, ρ_d a_d), (α, μ, s)_d = b_d + U_d h_d,
//! a_{d+1} = a_d + x_d W_d; weights softmax(α), means μ, scales floor + softplus(s). The scales ρ, which keep the units in range
//! as more dimensions enter, begin at 1/√d and are learned.
//!
//! ## Density
//! Exact. No scale falls below `scale_floor`, in standardised units where columns are standardised: without a floor, a column
//! with repeated values has no largest likelihood.
//!
//! Given columns are known dimensions before the first: p(x | given) = Π p(x_d | x_<d, given).
//!
//! ## Trained by
//! Minibatch Adam on −log p.
//!
//! ## Use it when
//! Tables of numbers deserve an exact density with many modes, and missing values are to be drawn from it.
//!
//! ## References
//! Uria, Murray & Larochelle 2013.
//!
//! ## Example
//! ```
//! use genus::{Density as _, Family, FitContext, Rnade, RnadeConfig, Seed, Silent, config, data};
//!
//! let moons = data::load("moons", &data::Options::default())?;
//! let config = toml::from_str("hidden = 16\ntrain.epochs = 2\ntrain.optimizer.rate = 0.01").unwrap();
//! let config: RnadeConfig = config::from_table(&config)?;
//! let fit = Rnade::fit(&config, &moons, &mut FitContext::new(Seed::from(7), &mut Silent))?;
//! // A single normal has -3.29.
//! assert!(fit.model.log_prob(&moons.test.unwrap().x)?.mean() > -3.0);
//! # Ok::<(), genus::Error>(())
//! ```

use super::factorization::Factorization;
use super::law::Law;
use super::{AutoregressiveConfig, Choose, Conditionals, Rows, with_class};
use genus_core::config::{Positive, count};
use genus_core::transform::{RealSteps, Transform};
use genus_core::{
    Batch, Capability, Domain, EvidenceKind, GivenKinds, ModelSpec, Reference, Result, Rng, Schema, Seed,
    Shape, Support, SupportKind, TinyFit,
};
use genus_kernels::linear_forward;
use genus_nn::{Activation, Id, Mixture, Params, Tensor, TrainConfig, View, ops};
use serde::{Deserialize, Serialize};
use std::num::NonZeroUsize;

/// A fitted RNADE.
pub type Rnade = Factorization<Mixtures>;

/// Registry entry.
pub static SPEC: ModelSpec =
    ModelSpec::new::<Rnade>("rnade", "Real-valued neural autoregressive density estimator", module_path!())
    .summary("tables of numbers: an exact density from a mixture of normals for every column given those before it")
    .papers(&[Reference::new(
        "Uria, Murray & Larochelle",
        2013,
        "RNADE: The real-valued neural autoregressive density-estimator",
        "https://arxiv.org/abs/1306.0186",
    )])
    .evidence(EvidenceKind::Exact)
    .can(&[
        Capability::Density,
        Capability::Sampler,
        Capability::Conditional,
        Capability::Given,
        Capability::ClassConditional,
    ])
    .passes("1 to score; to draw, one for each column")
    .rows(&[SupportKind::Real])
    .trained_by_steps()
    .given(GivenKinds::Any)
    .suited(crate::suited::network)
    .tiny_fits(&[
        TinyFit::new(
            "a plane",
            "8gaussians",
            "hidden = 32\ncomponents = 8\n[train]\nepochs = 6\nbatch = 100\nema = 0.9\n[train.optimizer]\nrate = 0.01\n",
        ),
        TinyFit::new(
            "columns as they are",
            "pinwheel",
            "hidden = 24\ncomponents = 6\nstandardize = false\n[train]\nepochs = 4\nbatch = 100\n[train.optimizer]\nrate = 0.01\n",
        ),
        TinyFit::new("given numbers and a kind", "regression", "hidden = 24\ncomponents = 3\n[train]\nepochs = 5\nbatch = 100\nema = 0.9\n[train.optimizer]\nrate = 0.01\n")
            .given(&["kind", "a", "b"]),
    ])
    .gradient_check(gradient_check);

/// Hyper-parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RnadeConfig {
    /// Hidden units.
    pub hidden: NonZeroUsize,
    /// Normals in the mixture of each conditional.
    pub components: NonZeroUsize,
    /// Smallest scale of a normal, in standardised units where columns are standardised.
    pub scale_floor: Positive,
    /// Standardise columns.
    pub standardize: bool,
    /// Give the class to the network: p(x | class). Losses while it trains are then given the class; scores sum over the classes.
    pub class_conditional: bool,
    /// Training.
    pub train: TrainConfig,
}

impl Default for RnadeConfig {
    fn default() -> Self {
        const FLOOR: Positive = match Positive::new(1e-3) {
            Some(v) => v,
            None => panic!("out of range"),
        };
        Self {
            hidden: count(64),
            components: count(10),
            scale_floor: FLOOR,
            standardize: true,
            class_conditional: false,
            train: TrainConfig::default(),
        }
    }
}

impl AutoregressiveConfig for RnadeConfig {
    fn transform(&self, rows: &Schema, x: &Batch) -> Result<Transform> {
        Transform::to_real(rows, RealSteps { logit: None, standardize: self.standardize }, x, 0)
    }
    fn class_conditional(&self) -> bool {
        self.class_conditional
    }
    fn train(&self) -> &TrainConfig {
        &self.train
    }
}

/// W, c and ρ over the class, or what else is given, and all dimensions, U and b of the dimensions.
#[derive(Debug, Clone)]
pub struct Mixtures {
    w: Id,
    c: Id,
    rho: Id,
    u: Id,
    b: Id,
    classes: usize,
    outputs: usize,
}

fn mixture(config: &RnadeConfig) -> Mixture {
    Mixture { components: config.components.get(), floor: config.scale_floor.get() as f32 }
}

impl Conditionals for Mixtures {
    type Config = RnadeConfig;

    fn spec() -> &'static ModelSpec {
        &SPEC
    }

    fn law(config: &RnadeConfig, _: &Domain) -> Law {
        Law::Real(mixture(config))
    }

    fn build(config: &RnadeConfig, rows: &Rows, params: &mut Params, rng: &mut Rng) -> Result<Self> {
        let (d, hidden, k) = (rows.width(), config.hidden.get(), config.components.get());
        let (n, outputs) = (rows.classes + d, k.saturating_mul(3));
        genus_nn::afford("hidden", &[&[n, hidden], &[d.saturating_mul(hidden), outputs]])?;
        let w = params.uniform("w", &[n, hidden], 3f64.sqrt(), rng);
        let c = params.uniform("c", &[hidden], 1.0, rng);
        let rho = params.add("rho", &[n], (1..=n).map(|d| 1.0 / (d as f32).sqrt()).collect());
        let u = params.uniform("u", &[d, hidden, outputs], 0.3 * (3.0 / hidden as f64).sqrt(), rng);
        // Equal weights, means spread over what is usual, scales that overlap.
        let mean = |i: usize| (4.0 * (i as f32 + 0.5) / k as f32) - 2.0;
        let of = |i: usize| if (k..2 * k).contains(&i) { mean(i - k) } else { 0.0 };
        let b = params.add("b", &[d * outputs], (0..d * outputs).map(|i| of(i % outputs)).collect());
        Ok(Self { w, c, rho, u, b, classes: rows.classes, outputs })
    }

    fn outputs(&self, view: &View<'_>, x: Tensor<2>, class: Option<Tensor<2>>) -> Tensor<2> {
        let [rows, d] = x.dims();
        let [c, rho, b] = [self.c, self.rho, self.b].map(|id| view.get::<1>(id));
        let h = ops::running(view.get(self.w), c, rho, with_class(x, class));
        let h = if self.classes == 0 { h } else { h.narrow(1, self.classes, d) };
        let of = h.swap_dims(0, 1).matmul(view.get::<3>(self.u)) + b.reshape([d, 1, self.outputs]);
        of.swap_dims(0, 1).reshape([rows, d * self.outputs])
    }

    fn fill_in_order(&self, params: &Params, x: &mut Batch, class: Option<&Batch>, choose: Choose<'_>) {
        let [w, c, rho, u, b] = [self.w, self.c, self.rho, self.u, self.b].map(|id| params.values(id));
        let hidden = c.len();
        let mut a = c.repeat(x.rows());
        for (place, (w, rho)) in w.chunks_exact(hidden).zip(&rho).enumerate() {
            let outputs = place.checked_sub(self.classes).map(|d| {
                let h: Vec<f32> = a.iter().map(|a| (rho * a).max(0.0)).collect();
                let n = self.outputs;
                linear_forward(
                    &h,
                    &u[d * hidden * n..][..hidden * n],
                    &b[d * n..][..n],
                    Activation::Identity,
                    None,
                )
            });
            for (row, a) in a.chunks_exact_mut(hidden).enumerate() {
                let v = match (&outputs, class) {
                    (Some(outputs), _) => {
                        let d = place - self.classes;
                        let v = choose(row, d, &outputs[row * self.outputs..][..self.outputs]);
                        x.row_mut(row)[d] = v;
                        v
                    }
                    (None, class) => class.map_or(0.0, |c| c.row(row)[place]),
                };
                a.iter_mut().zip(w).for_each(|(a, w)| *a += v * w);
            }
        }
    }
}

fn gradient_check(seed: Seed) -> Result<Vec<(String, f64)>> {
    let config = RnadeConfig {
        hidden: count(4),
        components: count(3),
        class_conditional: true,
        ..RnadeConfig::default()
    };
    let domain = Domain { support: Support::Real, shape: Shape::Flat(4) };
    Rnade::gradient_check(&config, &domain, seed)
}
