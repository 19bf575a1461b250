//! # Masked autoencoder for distribution estimation (MADE)
//!
//! ## What it is
//! p(x) = Π p(x_d | x_<d) over binary dimensions in some order, all conditionals from one pass through a network
//! h¹ = f(x (W¹ ⊙ M¹) + b¹), …, logits = hᴸ (V ⊙ M) + c, whose masks M leave no path from a dimension to itself or to one
//! before it in the order.
//!
//! ## Density
//! Exact: one pass to score. With several masks the model is the average of the joint probabilities of all of them,
//! log p(x) = log 1/K Σₖ pₖ(x); averaging logits would not be a distribution.
//!
//! ## Trained by
//! Minibatch Adam on −log p; with several masks each step takes the next one, so that the network learns all of them.
//!
//! ## Use it when
//! Rows are binary, or levels to be binarised, and an exact likelihood is wanted at the price of one network pass.
//!
//! ## References
//! Germain, Gregor, Murray & Larochelle 2015.
//!
//! ## Example
//! ```
//! use genus::{Density as _, Family, FitContext, Made, MadeConfig, Sampler as _, Seed, Silent, config, data};
//!
//! let tree = data::load("tree8", &data::Options::default())?;
//! let config: MadeConfig = config::from_table(&toml::from_str("hidden = [16]\ntrain.epochs = 2").unwrap())?;
//! let fit = Made::fit(&config, &tree, &mut FitContext::new(Seed::from(7), &mut Silent))?;
//! let nats = fit.model.log_prob(&tree.test.unwrap().x)?.mean();
//! assert!(nats < 0.0 && nats > -8.0 * 2f64.ln());
//! # Ok::<(), genus::Error>(())
//! ```

use super::masked_net::{Member, Net, log_prob};
use super::masks::MaskSet;
use crate::training_rows::TrainingRows;
use genus_core::config::count;
use genus_core::transform::{Binarize, Noise, Transform};
use genus_core::{
    Autoregressive, Batch, Capability, Dataset, Density, Domain, Error, Evidence, EvidenceKind, Family, Fit,
    FitContext, LogProb, Model, ModelSpec, Reference, Result, Rng, Sampler, Schema, Scoring, Seed, State,
    SupportKind, Tensor, TinyFit, config, stop::paced,
};
use genus_kernels::{sample_masked, sigmoid};
use genus_nn::{
    Loss, Nonlinearity, Objective, Params, StepContext, TrainConfig, View, gradcheck, ops, tensor, values,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::num::NonZeroUsize;

/// Registry entry.
pub static SPEC: ModelSpec =
    ModelSpec::new::<Made>("made", "Masked autoencoder for distribution estimation", module_path!())
    .summary("binary rows, or levels to be binarised: an exact likelihood from one pass of a masked network")
    .papers(&[Reference::new(
        "Germain, Gregor, Murray & Larochelle",
        2015,
        "MADE: Masked Autoencoder for Distribution Estimation",
        "https://arxiv.org/abs/1502.03509",
    )])
    .evidence(EvidenceKind::Exact)
    .can(&[Capability::Density, Capability::Sampler])
    .passes("1 for each order to score; to draw, one for each column")
    .rows(&[SupportKind::Binary, SupportKind::Discrete])
    .trained_by_steps()
    .suited(crate::suited::network)
    .tiny_fits(&[
        TinyFit::new(
            "two random masks",
            "tree8",
            "hidden = [16]\nordering = \"random\"\nmasks = 2\norder_agnostic = true\ndirect = true\n[train]\nepochs = 4\nbatch = 50\n[train.optimizer]\nrate = 0.02\n",
        ),
        TinyFit::new(
            "one fixed mask",
            "tree8",
            "hidden = [32, 32]\n[train]\nepochs = 5\nbatch = 50\nema = 0.9\npatience = 2\n[train.optimizer]\nrate = 0.02\nwarmup = 3\nclip = 1.0\ndecay = 1e-3\n",
        ),
        TinyFit::new(
            "binarised levels",
            "pairs4",
            "hidden = [8]\nbinarize = \"dynamic\"\n[train]\nepochs = 3\nbatch = 50\nkeep_best = false\n[train.optimizer]\nrate = 0.02\n",
        ),
    ])
    .gradient_check(Made::gradient_check);

/// The order of the factorisation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ordering {
    /// As the columns come; for images row by row.
    #[default]
    Natural,
    /// Drawn from the seed.
    Random,
}

/// Hyper-parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MadeConfig {
    /// Units of each hidden layer.
    pub hidden: Vec<NonZeroUsize>,
    /// Function of the hidden units.
    pub activation: Nonlinearity,
    /// Order of the dimensions.
    pub ordering: Ordering,
    /// Number of connectivities that training cycles through and scoring averages over: 1 is a fixed network, more is
    /// connectivity-agnostic training.
    pub masks: NonZeroUsize,
    /// Draw a new order with each connectivity: order-agnostic training.
    pub order_agnostic: bool,
    /// Connect inputs to outputs directly as well.
    pub direct: bool,
    /// How levels become bits.
    pub binarize: Binarize,
    /// Training.
    pub train: TrainConfig,
}

impl Default for MadeConfig {
    fn default() -> Self {
        Self {
            hidden: vec![count(500)],
            activation: Nonlinearity::default(),
            ordering: Ordering::default(),
            masks: NonZeroUsize::MIN,
            order_agnostic: false,
            direct: false,
            binarize: Binarize::default(),
            train: TrainConfig::default(),
        }
    }
}

impl MadeConfig {
    /// Widths of all layers, inputs and outputs included.
    fn widths(&self, d: usize) -> Vec<usize> {
        std::iter::once(d).chain(self.hidden.iter().map(|h| h.get())).chain([d]).collect()
    }

    /// Refuses what would not fit into memory.
    fn afford(&self, d: usize) -> Result<()> {
        if self.masks.get() > 4096 {
            return Err(Error::config("masks", format!("{} is out of range; at most 4096", self.masks)));
        }
        let direct = [d; 2];
        genus_nn::afford("hidden", &[&self.widths(d), &direct[..if self.direct { 2 } else { 0 }]])
    }
}

/// A fitted MADE.
#[derive(Debug, Clone)]
pub struct Made {
    config: MadeConfig,
    transform: Transform,
    params: Params,
    net: Net,
    members: Vec<Member>,
}

/// What training minimises: −log p of one member per step.
struct MadeLoss<'a> {
    net: &'a Net,
    members: &'a [Member],
    seen: TrainingRows,
}

impl Objective for MadeLoss<'_> {
    fn loss(&mut self, view: &View<'_>, rows: &[usize], cx: &StepContext) -> Result<Loss> {
        let member = &self.members[cx.step as usize % self.members.len()];
        let x = tensor(member.places(self.seen.batch(rows, || cx.rng("noise"))?));
        let nll = ops::bernoulli_nll(self.net.logits(view, member, x.clone()), x);
        Ok(Loss::new(nll.mean()))
    }

    /// The mean of −log p over the validation rows, of up to four members: enough to choose by.
    fn validate(&mut self, view: &View<'_>) -> Result<BTreeMap<String, f64>> {
        let Some(x) = &self.seen.valid else { return Ok(BTreeMap::new()) };
        let members = &self.members[..self.members.len().min(4)];
        let nats = log_prob(self.net, members, view, x)?;
        Ok(BTreeMap::from([("loss".into(), -nats.iter().sum::<f64>() / nats.len() as f64)]))
    }
}

impl Made {
    fn build(
        config: &MadeConfig,
        transform: Transform,
        sets: Vec<MaskSet>,
        bias: Vec<f32>,
        rng: &mut Rng,
    ) -> Self {
        let mut params = Params::default();
        let widths = config.widths(transform.target().width());
        let mut net = Net::new(&widths, config.activation.into(), config.direct, bias, &mut params, rng);
        let members: Vec<Member> = sets.into_iter().map(Member::new).collect();
        if let [only] = members.as_slice()
            && only.set.is_sorted()
        {
            // One mask in the parameters' own order: what it drops is zero for good and need not be gathered away.
            net.fixed = true;
            let weights = net.layers.iter().map(|(w, _)| *w).zip(&only.set.layers);
            for (w, mask) in weights.chain(net.direct.map(|id| (id, &only.set.direct))) {
                params.restrict(w, mask);
            }
        }
        Self { config: config.clone(), transform, params, net, members }
    }

    /// Gradient of −log p against difference quotients, for two masks with direct connections. Tanh units: the kinks of relu
    /// would disturb the quotients.
    fn gradient_check(seed: Seed) -> Result<Vec<(String, f64)>> {
        let config = MadeConfig {
            hidden: vec![count(7), count(5)],
            activation: Nonlinearity::Tanh,
            ordering: Ordering::Random,
            masks: count(2),
            order_agnostic: true,
            direct: true,
            ..MadeConfig::default()
        };
        let d = 6;
        let transform = Transform::identity(Domain::binary(d));
        let mut rng = seed.rng();
        let sets = Self::draw_sets(&config, d, seed);
        let Self { net, members, mut params, .. } =
            Self::build(&config, transform, sets, vec![0.3; d], &mut rng);
        let x = Batch::from_fn(9, d, |_, _| f32::from(u8::from(rng.uniform() < 0.5)));
        let found = gradcheck::check(
            &mut params,
            seed,
            |_, _| {},
            |view| {
                let nll = |m: &Member| {
                    let x = tensor(m.places(x.clone()));
                    ops::bernoulli_nll(net.logits(view, m, x.clone()), x).mean()
                };
                Ok(Loss::new(nll(&members[0]) + nll(&members[1])))
            },
        )?;
        Ok(found.into_iter().map(|d| (d.name, d.error)).collect())
    }

    /// The orders and connectivities in a model file.
    fn sets_of(config: &MadeConfig, d: usize, state: &State) -> Result<Vec<MaskSet>> {
        let narrow = |v: &[u64]| v.iter().map(|v| *v as usize).collect::<Vec<_>>();
        (0..config.masks.get())
            .map(|k| {
                let order = narrow(state.u64(&format!("order.{k}"), &[d])?);
                let mut seen = vec![false; d];
                order.iter().filter(|i| **i < d).for_each(|i| seen[*i] = true);
                if seen.contains(&false) {
                    return Err(Error::Run(format!("tensor `order.{k}` is not a permutation")));
                }
                let degrees = (config.hidden.iter().enumerate())
                    .map(|(l, n)| Ok(narrow(state.u64(&format!("degrees.{k}.{l}"), &[n.get()])?)))
                    .collect::<Result<_>>()?;
                Ok(MaskSet::new(order, degrees))
            })
            .collect()
    }

    /// The orders and connectivities of a configuration.
    fn draw_sets(config: &MadeConfig, d: usize, seed: Seed) -> Vec<MaskSet> {
        let hidden: Vec<usize> = config.hidden.iter().map(|h| h.get()).collect();
        let order = |i: u64| match config.ordering {
            Ordering::Natural => (0..d).collect(),
            Ordering::Random => seed.child("order").index(i).rng().permutation(d),
        };
        (0..config.masks.get() as u64)
            .map(|i| {
                let order = order(if config.order_agnostic { i } else { 0 });
                let mut set = MaskSet::draw(order, &hidden, &mut seed.child("degrees").index(i).rng());
                if config.masks.get() == 1 {
                    // Units are exchangeable before training: number them by degree.
                    set.degrees.iter_mut().for_each(|layer| layer.sort_unstable());
                    set = MaskSet::new(set.order, set.degrees);
                }
                set
            })
            .collect()
    }
}

impl Family for Made {
    type Config = MadeConfig;

    fn fit(config: &Self::Config, data: &Dataset, cx: &mut FitContext<'_>) -> Result<Fit<Self>> {
        data.check()?;
        if config.order_agnostic && config.ordering == Ordering::Natural {
            return Err(Error::config(
                "order_agnostic",
                "needs ordering=\"random\": there is only one natural order",
            ));
        }
        config.afford(data.schema.width())?;
        let transform =
            crate::transform_for(cx, data, || Transform::to_binary(&data.schema, config.binarize, 0))?;
        let seed = cx.seed.child("made");
        let seen = TrainingRows::new(&transform, data, seed)?;
        let sets = match cx.start {
            Some(start) => {
                let old: MadeConfig = crate::restore_config(start)?;
                if (old.ordering, old.order_agnostic) != (config.ordering, config.order_agnostic) {
                    let message =
                        "the model that training begins with has other orders; leave them as they were";
                    return Err(Error::config("ordering", message));
                }
                Self::sets_of(config, transform.target().width(), start)?
            }
            None => Self::draw_sets(config, transform.target().width(), seed),
        };
        let mut rng = seed.child("init").rng();
        let mut model = Self::build(config, transform, sets, seen.marginal_logits(), &mut rng);
        if let Some(start) = cx.start {
            model.params.load(start)?;
        }
        let rows = seen.rows();
        let mut objective = MadeLoss { net: &model.net, members: &model.members, seen };
        let report = genus_nn::train(&config.train, &mut model.params, rows, &mut objective, SPEC.name, cx)?;
        Ok(Fit { model, report })
    }

    fn restore(state: &State) -> Result<Self> {
        let config: MadeConfig = crate::restore_config(state)?;
        let transform = crate::restore_transform(state)?;
        let d = transform.target().width();
        config.afford(d)?;
        let sets = Self::sets_of(&config, d, state)?;
        let mut model = Self::build(&config, transform, sets, vec![0.0; d], &mut Seed::from(0).rng());
        model.params.load(state)?;
        Ok(model)
    }
}

impl Model for Made {
    fn spec(&self) -> &'static ModelSpec {
        &SPEC
    }

    fn schema(&self) -> &Schema {
        self.transform.source()
    }

    fn transform(&self) -> Option<&Transform> {
        Some(&self.transform)
    }

    fn state(&self) -> State {
        let mut state = crate::header(&SPEC, &config::to_table(&self.config), &self.transform);
        state.tensors = self.params.state().tensors;
        let mut keep = |name: String, v: &[usize]| {
            let wide = v.iter().map(|v| *v as u64).collect();
            state.tensors.insert(name, Tensor::u64(&[v.len()], wide));
        };
        for (k, member) in self.members.iter().enumerate() {
            keep(format!("order.{k}"), &member.set.order);
            for (l, degrees) in member.set.degrees.iter().enumerate() {
                keep(format!("degrees.{k}.{l}"), degrees);
            }
        }
        state
    }

    fn as_density(&self) -> Option<&dyn Density> {
        Some(self)
    }
    fn as_sampler(&self) -> Option<&dyn Sampler> {
        Some(self)
    }
    fn as_autoregressive(&self) -> Option<&dyn Autoregressive> {
        Some(self)
    }
}

impl Density for Made {
    fn score(&self, x: &Batch, how: &Scoring) -> Result<LogProb> {
        let (y, _) = self.transform.forward(x, Noise::Row(how.seed))?;
        let mut protocol = self.transform.protocol();
        if self.members.len() > 1 {
            let join = if protocol.is_empty() { "" } else { ", " };
            protocol =
                format!("{protocol}{join}average of the joint probabilities of {} masks", self.members.len());
        }
        Ok(LogProb {
            nats: log_prob(&self.net, &self.members, &self.params.frozen(), &y)?,
            spread: None,
            evidence: self.transform.evidence(Evidence::EXACT),
            measure: self.transform.measure(),
            protocol,
        })
    }
}

impl Sampler for Made {
    fn sample(&self, n: usize, rng: &mut Rng) -> Result<Batch> {
        let d = self.transform.target().width();
        // Each row comes from one member, chosen by chance: that is what the average of joint probabilities means.
        let chosen: Vec<usize> = (0..n).map(|_| rng.below(self.members.len())).collect();
        let u = Batch::from_fn(n, d, |_, _| rng.uniform());
        let mut x = Batch::zeros(n, d);
        for member in 0..self.members.len() {
            let rows: Vec<usize> = (0..n).filter(|r| chosen[*r] == member).collect();
            if rows.is_empty() {
                continue;
            }
            let drawn = self.draw(member, &u.select(&rows))?;
            rows.iter().enumerate().for_each(|(i, r)| x.row_mut(*r).copy_from_slice(drawn.row(i)));
        }
        Ok(self.transform.inverse(&x))
    }
}

impl Autoregressive for Made {
    fn members(&self) -> usize {
        self.members.len()
    }

    fn order(&self, member: usize) -> &[usize] {
        &self.members[member].set.order
    }

    fn conditionals(&self, member: usize, x: &Batch) -> Result<Batch> {
        self.transform.target().check(x)?;
        let member = &self.members[member];
        let logits = values(self.net.logits(&self.params.frozen(), member, tensor(member.places(x.clone()))));
        let p = Batch::new(logits.into_iter().map(sigmoid).collect(), x.width())?;
        Ok(member.dimensions(&p))
    }

    fn draw(&self, member: usize, u: &Batch) -> Result<Batch> {
        if u.width() != self.transform.target().width() {
            return Err(Error::shape("uniform draws", self.transform.target().width(), u.width()));
        }
        let member = &self.members[member];
        let (layers, direct) = self.net.sampler(&self.params, member);
        let (mut x, width) = (Batch::zeros(u.rows(), u.width()), u.width());
        paced(u.rows(), |rows| {
            let some = &mut x.data_mut()[rows.start * width..rows.end * width];
            sample_masked(&layers, direct.as_ref(), some, width, &|r, p, logit| {
                f32::from(u8::from(u.row(rows.start + r)[p] < sigmoid(logit)))
            });
            Ok(())
        })?;
        Ok(member.dimensions(&x))
    }
}
