//! # Fully visible sigmoid belief net (FVSBN)
//!
//! ## What it is
//! Logistic autoregression: p(x) = Π p(x_d | x_<d), p(x_d = 1 | x_<d) = σ(b_d + Σ_{e<d} x_e W_ed) over binary dimensions in the
//! order of the columns. With classes, b_d is that of the class.
//!
//! ## Density
//! Exact, one masked matrix product.
//!
//! ## Trained by
//! Minibatch Adam on −log p, a convex function of the parameters.
//!
//! ## Use it when
//! A first exact likelihood of binary rows is wanted within seconds, as a base line for everything deeper.
//!
//! ## References
//! Neal 1992; Frey, Hinton & Dayan 1996.
//!
//! ## Example
//! ```
//! use genus::{Density as _, Family, FitContext, Fvsbn, FvsbnConfig, Seed, Silent, config, data};
//!
//! let tree = data::load("tree8", &data::Options::default())?;
//! let config: FvsbnConfig = config::from_table(&toml::from_str("train.epochs = 2").unwrap())?;
//! let fit = Fvsbn::fit(&config, &tree, &mut FitContext::new(Seed::from(7), &mut Silent))?;
//! assert!(fit.model.log_prob(&tree.test.unwrap().x)?.mean() > -8.0 * 2f64.ln());
//! # Ok::<(), genus::Error>(())
//! ```

use super::factorization::Factorization;
use super::{AutoregressiveConfig, Choose, Conditionals, Rows, with_class};
use genus_core::transform::{Binarize, Transform};
use genus_core::{
    Batch, Capability, Domain, EvidenceKind, ModelSpec, Reference, Result, Rng, Schema, Seed, SupportKind,
    TinyFit,
};
use genus_kernels::{MaskedLayer, sample_masked};
use genus_nn::{Activation, Id, Params, Staircase, Tensor, TrainConfig, View, ops};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A fitted FVSBN.
pub type Fvsbn = Factorization<Logistic>;

/// Registry entry.
pub static SPEC: ModelSpec =
    ModelSpec::new::<Fvsbn>("fvsbn", "Fully visible sigmoid belief net", module_path!())
    .summary("binary rows: logistic autoregression, the simplest exact likelihood")
    .papers(&[
        Reference::new(
            "Frey, Hinton & Dayan",
            1996,
            "Does the Wake-Sleep Algorithm Produce Good Density Estimators?",
            "https://proceedings.neurips.cc/paper/1995/hash/2f2b265625d76a6704b08093c652fd79-Abstract.html",
        ),
        Reference::new(
            "Neal",
            1992,
            "Connectionist Learning of Belief Networks",
            "https://doi.org/10.1016/0004-3702(92)90065-6",
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
        TinyFit::new("bits", "tree8", "[train]\nepochs = 5\nbatch = 50\n[train.optimizer]\nrate = 0.05\n"),
        TinyFit::new(
            "two classes",
            "twotrees8",
            "class_conditional = true\n[train]\nepochs = 5\nbatch = 50\nema = 0.9\n[train.optimizer]\nrate = 0.05\n",
        ),
        TinyFit::new(
            "binarised levels",
            "pairs4",
            "binarize = \"dynamic\"\n[train]\nepochs = 3\nbatch = 50\n[train.optimizer]\nrate = 0.05\n",
        ),
    ])
    .gradient_check(gradient_check);

/// Hyper-parameters.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FvsbnConfig {
    /// Give the class to the network: p(x | class). Losses while it trains are then given the class; scores sum over the classes.
    pub class_conditional: bool,
    /// How levels become bits.
    pub binarize: Binarize,
    /// Training.
    pub train: TrainConfig,
}

impl AutoregressiveConfig for FvsbnConfig {
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

/// One masked layer from the class and all dimensions to the logits; those of the class stand for nothing.
#[derive(Debug, Clone)]
pub struct Logistic {
    w: Id,
    b: Id,
    mask: Arc<Staircase>,
    classes: usize,
}

impl Conditionals for Logistic {
    type Config = FvsbnConfig;

    fn spec() -> &'static ModelSpec {
        &SPEC
    }

    fn build(_: &FvsbnConfig, rows: &Rows, params: &mut Params, _: &mut Rng) -> Result<Self> {
        let (classes, d) = (rows.classes, rows.width());
        let n = classes + d;
        genus_nn::afford("data", &[&[n, n]])?;
        // The class lies before every dimension, and a dimension before those that follow.
        let inputs: Vec<usize> = (0..n).map(|i| if i < classes { 0 } else { i - classes + 1 }).collect();
        let outputs: Vec<usize> = (0..n).map(|o| o.saturating_sub(classes)).collect();
        let mask = Arc::new(Staircase::from_degrees(&inputs, &outputs));
        let w = params.add("w", &[n, n], vec![0.0; n * n]);
        params.restrict(w, &mask);
        let mut bias = vec![0.0; classes];
        bias.extend(&rows.start);
        let b = params.add("b", &[n], bias);
        Ok(Self { w, b, mask, classes })
    }

    fn outputs(&self, view: &View<'_>, x: Tensor<2>, class: Option<Tensor<2>>) -> Tensor<2> {
        let d = x.dims()[1];
        let x = with_class(x, class);
        let all = ops::linear(x, view.get(self.w), view.get(self.b), Activation::Identity, Some(&self.mask));
        if self.classes == 0 { all } else { all.narrow(1, self.classes, d) }
    }

    fn mask(&self, id: Id, w: &mut [f32]) {
        if id == self.w {
            self.mask.apply(w);
        }
    }

    fn fill_in_order(&self, params: &Params, x: &mut Batch, class: Option<&Batch>, choose: Choose<'_>) {
        let (n, d) = (self.classes + x.width(), x.width());
        let w = params.values(self.w);
        let mut transposed = vec![0.0; n * n];
        for (o, row) in transposed.chunks_exact_mut(n).enumerate() {
            row.iter_mut().enumerate().for_each(|(i, slot)| *slot = w[i * n + o]);
        }
        let layer = MaskedLayer {
            w: transposed,
            b: params.values(self.b),
            mask: &self.mask,
            act: Activation::Identity,
        };
        let mut all = Batch::zeros(x.rows(), n);
        sample_masked(&[layer], None, all.data_mut(), n, &|row, place, logit| match class {
            Some(class) if place < self.classes => class.row(row)[place],
            _ => choose(row, place - self.classes, &[logit]),
        });
        (0..x.rows()).for_each(|r| x.row_mut(r).copy_from_slice(&all.row(r)[n - d..]));
    }
}

fn gradient_check(seed: Seed) -> Result<Vec<(String, f64)>> {
    let config = FvsbnConfig { class_conditional: true, ..FvsbnConfig::default() };
    Fvsbn::gradient_check(&config, &Domain::binary(6), seed)
}
