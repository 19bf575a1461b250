//! # Deep Boltzmann machine (DBM)
//!
//! ## What it is
//! p(v) = Σ_h exp(−E(v, h)) / Z over layers of bits v, h₁, …, h_L, each connected to its neighbours in both directions:
//! −E = b·v + vᵀW₁h₁ + c₁·h₁ + h₁ᵀW₂h₂ + c₂·h₂ + … Even layers see only odd ones and the other way round, so that it is a machine of
//! two layers: the even ones x = (v, h₂, …) and the odd ones y = (h₁, h₃, …), with one matrix between them.
//!
//! ## Density
//! A lower bound with an independent q(h|v) at its best, the mean field: log p(v) ≥ E_q\[−E(v, h)\] + H(q) − log Z. With K > 1 draws of
//! the odd layers from q, the tighter E log 1/K Σ p/q with the even ones summed out. log Z is summed where the odd or the even
//! layers are small enough, else estimated by annealed importance sampling over the odd layers with the even ones summed out, and
//! what is then called an estimate is that of a lower bound. Annealing begins with independent even units whose means are those of the
//! rows and of the mean field. It must: with the hidden ones at random, as many of a layer's units being 1 as 0, they switch the odd
//! layers off, from where neither annealing nor chains come to the rows, and log Z is too low by tens of nats.
//!
//! ## Trained by
//! First pair by pair from below; what a layer will receive from its other neighbour is stood in for by a second copy of the pair's
//! other layer, so that inputs double: upwards in the first pair, downwards in the last, both in between (Salakhutdinov & Hinton 2009,
//! section 3). Then all layers together: mean-field statistics of the rows minus those of persistent chains.
//!
//! ## Use it when
//! Several layers of binary features are to inform each other, also downwards, or any values may be missing.
//!
//! ## References
//! Salakhutdinov & Hinton 2009; 2012.
//!
//! ## Example
//! ```
//! use genus::{DeepBoltzmannMachine, DeepBoltzmannMachineConfig, Density as _, Family, FitContext, Seed, Silent, config, data};
//!
//! let tree = data::load("tree8", &data::Options::default())?;
//! let table = toml::from_str("hidden = [8, 4]\npretrain.epochs = 5\ntrain.epochs = 5").unwrap();
//! let config: DeepBoltzmannMachineConfig = config::from_table(&table)?;
//! let fit = DeepBoltzmannMachine::fit(&config, &tree, &mut FitContext::new(Seed::from(7), &mut Silent))?;
//! assert!(fit.model.log_prob(&tree.test.unwrap().x)?.mean() > -8.0 * 2f64.ln());
//! # Ok::<(), genus::Error>(())
//! ```

use super::annealing::{Annealing, Path, averaged};
use super::boltzmann::Boltzmann;
use super::dbn::layers;
use super::deep::{Deep, SCORED, ascend, example, joined, parted};
use super::greedy::Greedy;
use super::learning::{Algorithm, Learning};
use super::pair_optimizer::{PairOptimizer, load_pair, pair_state, quotients, unmasked};
use super::rbm::Bits;
use super::restricted::Restricted;
use super::training::{Ascent, Part, compared, gap, train};
use super::{Chains, Energy, MachineConfig, streams};
use crate::draws;
use crate::sampling::Sampling;
use crate::training_rows::TrainingRows;
use genus_core::config::{Positive, count};
use genus_core::train::{At, Figures};
use genus_core::transform::{Binarize, Transform};
use genus_core::{
    Batch, Capability, Domain, Error, EvidenceKind, FitContext, FitReport, ModelSpec, Reference, Result, Rng,
    Schema, Scoring, Seed, State, Stop, SupportKind, Tensor, TinyFit,
};
use genus_kernels::{
    LayerPair, Limits, Mat, Stream, anneal_bits, gemm, log_mass_change, probabilities, row_products,
};
use serde::{Deserialize, Serialize};
use std::f64::consts::LN_2;
use std::num::NonZeroUsize;

/// A fitted deep Boltzmann machine.
pub type DeepBoltzmannMachine = Boltzmann<Deep>;

/// Registry entry.
pub static SPEC: ModelSpec =
    ModelSpec::new::<DeepBoltzmannMachine>("dbm", "Deep Boltzmann machine", module_path!())
    .summary("binary rows: layers of features that inform each other, and fills of any missing values; bounds of the likelihood")
    .papers(&[Reference::new(
        "Salakhutdinov & Hinton",
        2009,
        "Deep Boltzmann Machines",
        "https://proceedings.mlr.press/v5/salakhutdinov09a.html",
    )])
    .evidence(EvidenceKind::LowerBound)
    .estimated()
    .can(&[Capability::Density, Capability::Sampler, Capability::Encoder, Capability::Conditional])
    .rows(&[SupportKind::Binary, SupportKind::Discrete])
    .trained_by_steps()
    .suited(crate::suited::deep)
    .tiny_fits(&[
        TinyFit::new(
            "two layers",
            "tree8",
            "hidden = [8, 4]\n[pretrain]\nepochs = 10\nbatch = 50\nrate = 0.1\n[train]\nepochs = 40\nbatch = 50\nrate = 0.1\n[sampling]\nburn_in = 100\nthin = 20\n",
        ),
        TinyFit::new(
            "three layers, estimated",
            "tree8",
            "hidden = [8, 6, 4]\n[pretrain]\nalgorithm = \"persistent\"\nepochs = 10\nbatch = 50\nrate = 0.1\n[train]\nepochs = 40\nbatch = 50\nrate = 0.1\nema = 0.9\n[annealing]\nexact = false\nsteps = 1000\nback_burn_in = 100\n[sampling]\nburn_in = 100\nthin = 20\n",
        ),
    ])
    .gradient_check(gradient_check);

/// Rows of a pass while scoring.
const CHUNK: usize = 1000;
/// Transitions of the hidden units before chains are said to begin at rows.
const SETTLED: u64 = 50;
/// Rows whose bounds are compared after an epoch, at most.
const COMPARED: usize = 1000;

/// Hyper-parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DeepBoltzmannMachineConfig {
    /// Hidden units of each layer, from below; two layers at least.
    pub hidden: Vec<NonZeroUsize>,
    /// How levels become bits.
    pub binarize: Binarize,
    /// Mean-field updates of each layer in a step of training.
    pub mean_field: NonZeroUsize,
    /// Training of each pair of layers.
    pub pretrain: Learning,
    /// Training of all layers together.
    pub train: Learning,
    /// Drawing.
    pub sampling: Sampling,
    /// Estimation of log Z.
    pub annealing: Annealing,
}

impl Default for DeepBoltzmannMachineConfig {
    fn default() -> Self {
        Self {
            hidden: vec![count(500), count(1000)],
            binarize: Binarize::default(),
            mean_field: count(10),
            pretrain: Learning {
                algorithm: Algorithm::Contrastive,
                epochs: count(20),
                ..Learning::default()
            },
            train: Learning {
                epochs: count(100),
                transitions: count(5),
                rate: Positive::constant(0.01),
                ..Learning::default()
            },
            sampling: Sampling::default(),
            annealing: Annealing::default(),
        }
    }
}

impl MachineConfig for DeepBoltzmannMachineConfig {
    fn transform(&self, rows: &Schema, _: &Batch) -> Result<Transform> {
        Transform::to_binary(rows, self.binarize, 0)
    }

    fn train(&self) -> &Learning {
        &self.train
    }

    fn sampling(&self) -> &Sampling {
        &self.sampling
    }

    fn annealing(&self) -> &Annealing {
        &self.annealing
    }
}

impl Energy for Deep {
    type Config = DeepBoltzmannMachineConfig;

    fn bound(how: &Scoring) -> String {
        match how.importance_samples {
            0 | 1 => "lower bound by the mean field".into(),
            k => format!(
                "mean of {} lower bounds, {k} draws of the odd layers by the mean field",
                draws::times(k)
            ),
        }
    }

    fn is_drawn(how: &Scoring) -> bool {
        how.importance_samples > 1
    }

    fn spec() -> &'static ModelSpec {
        &SPEC
    }

    fn build(config: &Self::Config, rows: &Domain, start: &[f32], _: &mut Rng) -> Result<Self> {
        config.pretrain.takes("pretrain", &[Algorithm::Contrastive, Algorithm::Persistent])?;
        config.train.takes("train", &[Algorithm::Persistent])?;
        Ok(Self::new(start, &layers(&config.hidden, rows.width())?))
    }

    fn learn(
        &mut self,
        config: &Self::Config,
        seen: &TrainingRows,
        seed: Seed,
        cx: &mut FitContext<'_>,
    ) -> Result<FitReport> {
        let hidden = &self.layers[1..];
        let mut copies = vec![[1, 1]; hidden.len()];
        copies[0][0] = 2;
        copies[hidden.len() - 1][1] = 2;
        let start = &self.base[..self.layers[0]];
        let greedy = Greedy::new(start, hidden, &copies, &config.pretrain, &mut seed.child("init").rng());
        let mut parts = greedy.parts(&config.pretrain, "pretrain");
        parts.push(Part { name: "all layers".into(), how: &config.train, key: "train" });
        let first = streams(seed.child("first chains").rng().bits(), 0);
        let mut chains = self.draw_even(config.train.chains.get(), first);
        if cx.start.is_some() {
            // Chains come near the machine before it learns from them.
            let key = seed.child("chains of the start").rng().bits();
            for k in 0..SETTLED {
                Stop::current().check()?;
                chains = self.renew(&chains, streams(key, k));
            }
        }
        // A machine that has learned begins where all its layers learn together.
        let greedy = Some(greedy).filter(|_| cx.start.is_none());
        if greedy.is_none() {
            parts.drain(..parts.len() - 1);
        }
        let mut learning = Together {
            greedy,
            optimizer: PairOptimizer::new(&config.train, &self.pair),
            chains,
            compared: compared(seen, COMPARED, seed)?,
            machine: self.clone(),
            config,
        };
        let report = train(&parts, seen, &mut learning, SPEC.name, seed, cx)?;
        *self = learning.kept();
        // Without it annealing begins where it began before training, which costs accuracy and no correctness.
        let stop = cx.stop().clone();
        match stop.during(|| self.begin_around(averaged(seen, seed)?.data())) {
            Err(Error::Stopped(_)) => {}
            other => other?,
        }
        Ok(report)
    }

    fn tensors(&self) -> State {
        let mut state = pair_state(&self.pair);
        state.tensors.insert("base".into(), Tensor::f32(&[self.base.len()], self.base.clone()));
        state.tensors.insert("over".into(), Tensor::f32(&[self.over.len()], self.over.clone()));
        state
    }

    fn load(&mut self, state: &State) -> Result<()> {
        load_pair(&mut self.pair, state)?;
        unmasked(&self.pair.w, &self.mask)?;
        self.base = state.f32("base", &[self.base.len()])?.to_vec();
        self.over = state.f32("over", &[self.over.len()])?.to_vec();
        Ok(())
    }

    fn path_states(&self, v: &Batch, stream: Stream) -> Result<Option<Vec<f32>>> {
        Ok(Some(self.odd_around(v.data(), stream)?))
    }

    fn log_mass(&self, v: &Batch, how: &Scoring) -> Result<Vec<f64>> {
        let stop = Stop::current();
        let mut mass = Vec::with_capacity(v.rows());
        for rows in v.data().chunks(CHUNK * v.width()) {
            stop.check()?;
            let q = self.mean_field(rows, SCORED)?;
            if how.importance_samples <= 1 {
                mass.extend(self.bound_of(rows, &q));
                continue;
            }
            let draws = rows.chunks_exact(v.width()).map(|row| how.seed.child("h").row(row).rng());
            mass.extend(self.importance(rows, &q, how.importance_samples, &mut draws.collect::<Vec<_>>())?);
        }
        Ok(mass)
    }

    fn summed(&self) -> Result<Option<f64>> {
        Restricted::<Bits>::new(self.pair.clone(), self.base.clone()).summed()
    }

    fn path(&self) -> &dyn Path {
        self
    }

    fn features(&self, v: &Batch) -> Result<Batch> {
        let place = self.place(self.layers.len() - 1);
        let mut code = Vec::with_capacity(v.rows() * place.len());
        for rows in v.data().chunks(CHUNK * v.width()) {
            let q = self.mean_field(rows, SCORED)?;
            if self.layers.len().is_multiple_of(2) {
                q.odd.chunks_exact(self.odd()).for_each(|y| code.extend_from_slice(&y[place.clone()]));
            } else {
                let [visible, inner] = self.even();
                let place = place.start - visible..place.end - visible;
                q.even.chunks_exact(inner).for_each(|x| code.extend_from_slice(&x[place.clone()]));
            }
        }
        Ok(Batch::from_fn(v.rows(), place.len(), |r, c| code[r * place.len() + c]))
    }

    fn code_width(&self) -> usize {
        self.layers[self.layers.len() - 1]
    }

    fn filters(&self) -> Option<Batch> {
        Some({
            let (first, odd) = (self.layers[1], self.odd());
            Batch::from_fn(first, self.layers[0], |j, i| self.pair.w[i * odd + j])
        })
    }

    fn begin(&self, count: usize, stream: Stream) -> Chains {
        let [visible, hidden] = parted(&self.draw_even(count, stream), self.even());
        Chains { visible, hidden, ..Chains::default() }
    }

    fn chains_at(&self, v: &[f32], stream: Stream) -> Chains {
        let mut chains = self.begin(v.len() / self.layers[0], stream);
        chains.held = v.to_vec();
        chains.hold();
        for s in 1..=SETTLED {
            // Numbers of a stream of their own, far from those of the transitions to come.
            self.sweep(&mut chains, Stream { stream: stream.stream + s * 64, ..stream });
        }
        chains.held = Vec::new();
        chains
    }

    fn sweep(&self, chains: &mut Chains, stream: Stream) {
        let even = joined(&chains.visible, &chains.hidden, self.even());
        let odd = anneal_bits(&self.pair.up(&even), self.odd(), 1.0, &[], stream);
        let mut a = self.pair.down(&odd);
        let next = Stream { stream: stream.stream + 1, ..stream };
        let even = anneal_bits(&a, self.base.len(), 1.0, &[], next);
        [chains.visible, chains.hidden] = parted(&even, self.even());
        probabilities(&mut a);
        [chains.means, _] = parted(&a, self.even());
        chains.hold();
    }
}

/// A machine that learns: pairs of layers, then all.
struct Together<'a> {
    /// Until all learn together.
    greedy: Option<Greedy>,
    machine: Deep,
    config: &'a DeepBoltzmannMachineConfig,
    optimizer: PairOptimizer,
    /// Even layers of the chains that go on.
    chains: Vec<f32>,
    compared: Option<[Batch; 2]>,
}

impl Together<'_> {
    /// The machine as it is to be kept.
    fn kept(&self) -> Deep {
        let mut kept = self.machine.clone();
        match &self.greedy {
            Some(greedy) => kept.compose(&greedy.kept()),
            None => kept.pair = self.optimizer.kept(&self.machine.pair).clone(),
        }
        kept
    }
}

impl Ascent for Together<'_> {
    fn parameters(&self) -> u64 {
        let layers = &self.machine.layers;
        (layers.windows(2).map(|l| l[0] * l[1]).sum::<usize>() + layers.iter().sum::<usize>()) as u64
    }

    fn step(&mut self, x: &Batch, at: &At, key: u64) -> Result<Figures> {
        if !at.is_last_phase()
            && let Some(greedy) = &mut self.greedy
        {
            return greedy.step(x.data(), &self.config.pretrain, at, key);
        }
        if self.greedy.is_some() {
            self.machine = self.kept();
            self.greedy = None;
            self.optimizer = PairOptimizer::new(&self.config.train, &self.machine.pair);
            // Chains come near the machine before it learns from them.
            for k in 0..SETTLED {
                self.chains = self.machine.renew(&self.chains, streams(key, (1 << 32) + k));
            }
        }
        let machine = &self.machine;
        let q = machine.mean_field(x.data(), self.config.mean_field.get())?;
        for k in 0..self.config.train.transitions(at) {
            self.chains = machine.renew(&self.chains, streams(key, k));
        }
        let mut odd = machine.pair.up(&self.chains);
        let rows = (odd.len() / machine.odd()) as f64;
        let chain = log_mass_change(&odd, &[], machine.odd(), [0.0, 1.0]).iter().sum::<f64>() / rows
            + machine.odd() as f64 * LN_2
            + row_products(&self.chains, &machine.pair.visible).iter().sum::<f64>() / rows;
        let data = machine.bound_of(x.data(), &q);
        let loss = chain - data.iter().sum::<f64>() / x.rows() as f64;
        probabilities(&mut odd);
        let even = joined(x.data(), &q.even, machine.even());
        let Deep { pair, mask, .. } = &mut self.machine;
        self.optimizer.step(pair, &self.config.train, at, |to, rate| {
            ascend(to, mask, [&even, &q.odd], [&self.chains, &odd], rate);
        });
        Ok(Figures::from([("loss".into(), loss)]))
    }

    fn validate(&mut self) -> Result<Figures> {
        if self.greedy.is_some() { Ok(Figures::new()) } else { gap(&self.kept(), self.compared.as_ref()) }
    }

    fn is_finite(&self) -> bool {
        self.machine.pair.is_finite() && self.greedy.as_ref().is_none_or(Greedy::is_finite)
    }

    fn state(&self) -> State {
        let mut state = State::default();
        match &self.greedy {
            Some(greedy) => state.nest("greedy", greedy.state()),
            None => {
                state.nest("pair", pair_state(&self.machine.pair));
                state.nest("follower", self.optimizer.state());
                state.tensors.insert("chains".into(), Tensor::f32(&[self.chains.len()], self.chains.clone()));
            }
        }
        state
    }

    fn load(&mut self, state: &State) -> Result<()> {
        let greedy = state.nested("greedy");
        if let (false, Some(own)) = (greedy.tensors.is_empty(), &mut self.greedy) {
            return own.load(&greedy);
        }
        self.greedy = None;
        load_pair(&mut self.machine.pair, &state.nested("pair"))?;
        self.optimizer.load(&state.nested("follower"))?;
        self.chains = state.f32("chains", &[self.chains.len()])?.to_vec();
        Ok(())
    }
}

/// The gradient of the mean bound of rows at its best q, log Z summed, against difference quotients: q moves with the parameters, which
/// changes the bound only to second order.
fn gradient_check(seed: Seed) -> Result<Vec<(String, f64)>> {
    let mut found = Vec::new();
    for (name, hidden) in [("two", &[3, 2][..]), ("three", &[3, 2, 3])] {
        let deep = example(hidden, seed);
        let mut rng = seed.child("rows").rng();
        let x = Batch::from_fn(5, 4, |_, _| f32::from(u8::from(rng.uniform() < 0.5)));
        let value = |deep: &Deep| {
            let q = deep.mean_field(x.data(), 400);
            let bound = q.map_or_else(|_| Vec::new(), |q| deep.bound_of(x.data(), &q));
            let log_z = deep.summed().ok().flatten().unwrap_or(f64::NAN);
            bound.iter().sum::<f64>() / 5.0 - log_z
        };
        // The model's own statistics: every state of the even layers by its probability.
        let n = deep.base.len();
        let all = Batch::from_fn(1 << n, n, |r, c| (r >> c & 1) as f32);
        let whole = Restricted::<Bits>::new(deep.pair.clone(), deep.base.clone());
        let z = whole.summed()?.unwrap_or(f64::NAN);
        let mass = whole.log_mass(&all, &Scoring::default())?;
        let mut odd = deep.pair.up(all.data());
        probabilities(&mut odd);
        // Weights of rows go to one factor of a product; the other statistics are means of that factor and of 1.
        let weigh = |x: &[f32], width: usize| -> Vec<f32> {
            let rows = x.chunks_exact(width).zip(&mass);
            rows.flat_map(|(x, m)| x.iter().map(move |v| v * libm::exp(m - z) as f32)).collect()
        };
        let weighted = weigh(all.data(), n);
        let q = deep.mean_field(x.data(), 400)?;
        let even = joined(x.data(), &q.even, deep.even());
        let mut gradient = LayerPair::zeros(n, deep.odd());
        let nothing = (vec![0.0; n], vec![0.0; deep.odd()]);
        ascend(&mut gradient, &deep.mask, [&even, &q.odd], [&nothing.0, &nothing.1], 1.0);
        let mut model = LayerPair::zeros(n, deep.odd());
        gemm(
            n,
            deep.odd(),
            1 << n,
            Mat::rows(&weighted, n).t(),
            Mat::rows(&odd, deep.odd()),
            &mut model.w,
            false,
            Limits::Dense,
        );
        if !deep.mask.is_empty() {
            model.w.iter_mut().zip(&deep.mask).for_each(|(w, m)| *w *= m);
        }
        weighted.chunks_exact(n).for_each(|row| model.visible.iter_mut().zip(row).for_each(|(s, v)| *s += v));
        for row in weigh(&odd, deep.odd()).chunks_exact(deep.odd()) {
            model.hidden.iter_mut().zip(row).for_each(|(s, v)| *s += v);
        }
        gradient.add(&model, -1.0);
        let moved = |pair: LayerPair| value(&Deep { pair, ..deep.clone() });
        let errors = quotients(&deep.pair, &gradient, &deep.mask, &moved);
        found.extend(errors.into_iter().map(|(of, error)| (format!("{name} layers, {of}"), error)));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::super::deep::tests::{masses, rows};
    use super::*;

    /// 40,000 chains that begin at exact draws keep the law: chi-square with 15 degrees of freedom below 60, false alarm 3e-7 each.
    #[test]
    fn chains_keep_the_law() {
        for hidden in [&[3, 2][..], &[3, 2, 3]] {
            let deep = example(hidden, Seed::from(7));
            let z = deep.summed().unwrap().unwrap();
            let law: Vec<f64> = masses(&deep).iter().map(|m| (m - z).exp()).collect();
            let all = rows(4);
            let mut x = Vec::new();
            for (row, p) in all.chunks_exact(4).zip(&law) {
                (0..(p * 4e4).round() as usize).for_each(|_| x.extend_from_slice(row));
            }
            let mut chains = deep.chains_at(&x, streams(3, 0));
            (0..5).for_each(|s| deep.sweep(&mut chains, streams(4, s)));
            let mut counts = [0.0f64; 16];
            for v in chains.visible.chunks_exact(4) {
                counts[(v[0] + 2.0 * v[1] + 4.0 * v[2] + 8.0 * v[3]) as usize] += 1.0;
            }
            let rows = x.len() as f64 / 4.0;
            let chi: f64 = law.iter().zip(counts).map(|(p, c)| (c - p * rows).powi(2) / (p * rows)).sum();
            assert!(chi < 60.0, "{chi} {counts:?}");
        }
    }
}
