//! # Neural autoregressive distribution estimator (NADE)
//!
//! ## What it is
//! p(x) = Π p(x_d | x_<d) over binary dimensions in the order of the columns, with hidden units whose weights all conditionals
//! share: a₁ = c, p(x_d = 1 | x_<d) = σ(b_d + V_d · σ(a_d)), a_{d+1} = a_d + x_d W_d. A class is a one-hot row of further
//! dimensions before the first, which are always known.
//!
//! ## Density
//! Exact, in time O(dimensions · hidden units) for scores, gradients and draws alike.
//!
//! ## Trained by
//! Minibatch Adam on −log p, with the exact gradient by the recursion in reverse.
//!
//! ## Use it when
//! Binary rows deserve a strong exact likelihood in a fixed order, from few parameters.
//!
//! ## References
//! Larochelle & Murray 2011; Uria, Côté, Gregor, Murray & Larochelle 2016.
//!
//! ## Example
//! ```
//! use genus::{Density as _, Family, FitContext, Nade, NadeConfig, Seed, Silent, config, data};
//!
//! let tree = data::load("tree8", &data::Options::default())?;
//! let config: NadeConfig = config::from_table(&toml::from_str("hidden = 16\ntrain.epochs = 2").unwrap())?;
//! let fit = Nade::fit(&config, &tree, &mut FitContext::new(Seed::from(7), &mut Silent))?;
//! assert!(fit.model.log_prob(&tree.test.unwrap().x)?.mean() > -8.0 * 2f64.ln());
//! # Ok::<(), genus::Error>(())
//! ```

use super::factorization::Factorization;
use super::{AutoregressiveConfig, Choose, Conditionals, Rows, with_class};
use genus_core::config::count;
use genus_core::transform::{Binarize, Transform};
use genus_core::{
    Batch, Capability, Domain, EvidenceKind, ModelSpec, Reference, Result, Rng, Schema, Seed, SupportKind,
    TinyFit,
};
use genus_nn::{Id, Params, Tensor, TrainConfig, View, ops};
use serde::{Deserialize, Serialize};
use std::num::NonZeroUsize;

/// A fitted NADE.
pub type Nade = Factorization<Shared>;

/// Registry entry.
pub static SPEC: ModelSpec =
    ModelSpec::new::<Nade>("nade", "Neural autoregressive distribution estimator", module_path!())
    .summary("binary rows: a strong exact likelihood from hidden units that all conditionals share")
    .papers(&[
        Reference::new(
            "Larochelle & Murray",
            2011,
            "The Neural Autoregressive Distribution Estimator",
            "https://proceedings.mlr.press/v15/larochelle11a.html",
        ),
        Reference::new(
            "Uria, Côté, Gregor, Murray & Larochelle",
            2016,
            "Neural Autoregressive Distribution Estimation",
            "https://arxiv.org/abs/1605.02226",
        ),
    ])
    .evidence(EvidenceKind::Exact)
    .can(&[
        Capability::Density,
        Capability::Sampler,
        Capability::Conditional,
        Capability::ClassConditional,
    ])
    .passes("1 to score; to draw, one for each column")
    .rows(&[SupportKind::Binary, SupportKind::Discrete])
    .trained_by_steps()
    .suited(crate::suited::network)
    .tiny_fits(&[
        TinyFit::new(
            "bits",
            "tree8",
            "hidden = 16\n[train]\nepochs = 5\nbatch = 50\n[train.optimizer]\nrate = 0.03\n",
        ),
        TinyFit::new(
            "two classes",
            "twotrees8",
            "hidden = 20\nclass_conditional = true\n[train]\nepochs = 5\nbatch = 50\nema = 0.9\n[train.optimizer]\nrate = 0.03\n",
        ),
        TinyFit::new(
            "binarised levels",
            "pairs4",
            "hidden = 8\nbinarize = \"dynamic\"\n[train]\nepochs = 3\nbatch = 50\n[train.optimizer]\nrate = 0.03\n",
        ),
    ])
    .gradient_check(gradient_check);

/// Hyper-parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NadeConfig {
    /// Hidden units.
    pub hidden: NonZeroUsize,
    /// Give the class to the network: p(x | class). Losses while it trains are then given the class; scores sum over the classes.
    pub class_conditional: bool,
    /// How levels become bits.
    pub binarize: Binarize,
    /// Training.
    pub train: TrainConfig,
}

impl Default for NadeConfig {
    fn default() -> Self {
        Self {
            hidden: count(500),
            class_conditional: false,
            binarize: Binarize::default(),
            train: TrainConfig::default(),
        }
    }
}

impl AutoregressiveConfig for NadeConfig {
    fn transform(&self, rows: &Schema, _: &Batch) -> Result<Transform> {
        Transform::to_binary(rows, self.binarize, 0)
    }
    fn class_conditional(&self) -> bool {
        self.class_conditional
    }
    fn train(&self) -> &TrainConfig {
        &self.train
    }
}

/// W, V, b and c over the class and all dimensions; logits of the class stand for nothing.
#[derive(Debug, Clone)]
pub struct Shared {
    w: Id,
    v: Id,
    b: Id,
    c: Id,
    classes: usize,
}

impl Conditionals for Shared {
    type Config = NadeConfig;

    fn spec() -> &'static ModelSpec {
        &SPEC
    }

    fn build(config: &NadeConfig, rows: &Rows, params: &mut Params, rng: &mut Rng) -> Result<Self> {
        let (n, hidden) = (rows.classes + rows.width(), config.hidden.get());
        genus_nn::afford("hidden", &[&[n, hidden, n]])?;
        // Small enough that hidden units begin in the middle of their range after a whole row.
        let bound = ((n * hidden) as f64).powf(-0.25).min(0.5);
        let w = params.uniform("w", &[n, hidden], bound, rng);
        let v = params.uniform("v", &[n, hidden], (6.0 / (n + hidden) as f64).sqrt().min(0.5), rng);
        let mut bias = vec![0.0; rows.classes];
        bias.extend(&rows.start);
        let b = params.add("b", &[n], bias);
        let c = params.add("c", &[hidden], vec![0.0; hidden]);
        Ok(Self { w, v, b, c, classes: rows.classes })
    }

    fn outputs(&self, view: &View<'_>, x: Tensor<2>, class: Option<Tensor<2>>) -> Tensor<2> {
        let d = x.dims()[1];
        let [w, v] = [self.w, self.v].map(|id| view.get(id));
        let [b, c] = [self.b, self.c].map(|id| view.get(id));
        let all = ops::nade(w, v, b, c, with_class(x, class));
        if self.classes == 0 { all } else { all.narrow(1, self.classes, d) }
    }

    fn fill_in_order(&self, params: &Params, x: &mut Batch, class: Option<&Batch>, choose: Choose<'_>) {
        let (n, d) = (self.classes + x.width(), x.width());
        let [w, v, b, c] = [self.w, self.v, self.b, self.c].map(|id| params.values(id));
        let nade = genus_kernels::Nade { w: &w, v: &v, b: &b, c: &c };
        let mut all = Batch::zeros(x.rows(), n);
        nade.sample(all.data_mut(), &|row, place, logit| match class {
            Some(class) if place < self.classes => class.row(row)[place],
            _ => choose(row, place - self.classes, &[logit]),
        });
        (0..x.rows()).for_each(|r| x.row_mut(r).copy_from_slice(&all.row(r)[n - d..]));
    }
}

fn gradient_check(seed: Seed) -> Result<Vec<(String, f64)>> {
    let config = NadeConfig { hidden: count(5), class_conditional: true, ..NadeConfig::default() };
    Nade::gradient_check(&config, &Domain::binary(6), seed)
}
