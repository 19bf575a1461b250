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
//! what is then called an estimate is that of a lower bound.
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

use super::annealing::{Annealing, Path};
use super::boltzmann::Boltzmann;
use super::dbn::layers;
use super::greedy::Greedy;
use super::rbm::Bits;
use super::restricted::Restricted;
use super::training::{
    Algorithm, At, Follower, Learner, Learning, Part, compared, gap, load_pair, pair_state, quotients, train,
};
use super::{Chains, Energy, Settings, streams};
use crate::presented::Presented;
use crate::sampling::Sampling;
use genus_core::config::{Positive, count};
use genus_core::math::{log_mean_exp, softplus};
use genus_core::spec::{self, Capability, EvidenceKind, ModelSpec, Reference, Tiny};
use genus_core::transform::{Binarize, Transform};
use genus_core::{Batch, Domain, FitContext, FitReport, Result, Rng, Scoring, Seed, State, Tensor};
use genus_kernels::{
    Limits, Mat, Pair, Stream, anneal_bits, gemm, layer_inputs, log_mass_change, probabilities, row_products,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::f64::consts::LN_2;
use std::num::NonZeroUsize;

/// A fitted deep Boltzmann machine.
pub type DeepBoltzmannMachine = Boltzmann<Deep>;

/// Registry entry.
pub static SPEC: ModelSpec = ModelSpec {
    name: "dbm",
    title: "Deep Boltzmann machine",
    module: module_path!(),
    summary: "binary rows: layers of features that inform each other, and fills of any missing values; bounds of the likelihood",
    references: &[Reference {
        authors: "Salakhutdinov & Hinton",
        title: "Deep Boltzmann Machines",
        year: 2009,
        url: "https://proceedings.mlr.press/v5/salakhutdinov09a.html",
    }],
    evidence: EvidenceKind::Estimate,
    capabilities: &[Capability::Density, Capability::Sampler, Capability::Encoder, Capability::Conditional],
    supports: &["binary", "discrete"],
    iterative: true,
    tiny: &[
        Tiny {
            name: "two layers",
            data: "tree8",
            config: "hidden = [8, 4]\n[pretrain]\nepochs = 10\nbatch = 50\nrate = 0.1\n[train]\nepochs = 40\nbatch = 50\nrate = 0.1\n[sampling]\nburn_in = 100\nthin = 20\n",
            expected_failures: &[],
        },
        Tiny {
            name: "three layers, estimated",
            data: "tree8",
            config: "hidden = [8, 6, 4]\n[pretrain]\nalgorithm = \"persistent\"\nepochs = 10\nbatch = 50\nrate = 0.1\n[train]\nepochs = 40\nbatch = 50\nrate = 0.1\nema = 0.9\n[annealing]\nexact = false\nsteps = 1000\nback_burn_in = 100\n[sampling]\nburn_in = 100\nthin = 20\n",
            expected_failures: &[],
        },
    ],
    gradient_check: Some(gradient_check),
    default_config: spec::default_config::<DeepBoltzmannMachine>,
    check_config: spec::check_config::<DeepBoltzmannMachine>,
    fit: spec::fit::<DeepBoltzmannMachine>,
    restore: spec::restore::<DeepBoltzmannMachine>,
};

/// Rows of a pass while scoring.
const CHUNK: usize = 1000;
/// Mean-field updates while scoring.
const SCORED: usize = 50;
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

impl Settings for DeepBoltzmannMachineConfig {
    fn transform(&self, domain: &Domain, _: &Batch) -> Result<Transform> {
        Transform::to_binary(domain, self.binarize, 0)
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

/// Layers as two sides.
#[derive(Debug, Clone)]
pub struct Deep {
    /// Even layers × odd layers: `visible` are the biases of the former, `hidden` those of the latter.
    pair: Pair,
    /// Inputs of the independent even units with which annealing, and chains, begin: 0 but for the visible ones.
    base: Vec<f32>,
    /// Units of each layer, from below.
    layers: Vec<usize>,
    /// 1 where layers are neighbours, in the shape of the weights; empty if all are.
    mask: Vec<f32>,
}

/// Change of parameters in the direction of the bound's gradient: statistics of the rows minus those of the chains.
fn ascend(to: &mut Pair, mask: &[f32], data: [&[f32]; 2], chain: [&[f32]; 2], rate: f32) {
    to.add_contrast(data, chain, rate);
    to.w.iter_mut().zip(mask).for_each(|(w, m)| *w *= m);
}

/// Rows of the left with rows of the right behind them.
fn joined(left: &[f32], right: &[f32], [l, r]: [usize; 2]) -> Vec<f32> {
    if r == 0 {
        return left.to_vec();
    }
    left.chunks_exact(l).zip(right.chunks_exact(r)).flat_map(|(l, r)| l.iter().chain(r)).copied().collect()
}

fn parted(x: &[f32], [l, r]: [usize; 2]) -> [Vec<f32>; 2] {
    let rows = || x.chunks_exact(l + r);
    [rows().flat_map(|x| &x[..l]).copied().collect(), rows().flat_map(|x| &x[l..]).copied().collect()]
}

/// Σ entropies of each row of independent bits with these means, nats.
fn entropies(means: &[f32], width: usize) -> Vec<f64> {
    let one = |p: f32| {
        let p = f64::from(p);
        let part = |p: f64| if p > 0.0 { -p * libm::log(p) } else { 0.0 };
        part(p) + part(1.0 - p)
    };
    means.chunks_exact(width).map(|row| row.iter().map(|p| one(*p)).sum()).collect()
}

/// Independent hidden units that approximate those of rows.
struct MeanField {
    /// Even hidden layers, `[rows, units]`.
    even: Vec<f32>,
    /// Odd layers.
    odd: Vec<f32>,
    /// What the odd layers receive from the visible units, and their biases.
    from_rows: Vec<f32>,
}

impl Deep {
    fn new(start: &[f32], hidden: &[usize]) -> Self {
        let layers = [&[start.len()], hidden].concat();
        let side = |odd: usize| layers.iter().skip(odd).step_by(2).sum::<usize>();
        let (even, odd) = (side(0), side(1));
        let mut base = start.to_vec();
        base.resize(even, 0.0);
        let mut deep = Self { pair: Pair::zeros(even, odd), base, layers, mask: Vec::new() };
        deep.pair.visible[..start.len()].copy_from_slice(start);
        if hidden.len() > 2 {
            let mut mask = vec![0.0; even * odd];
            for l in 0..hidden.len() {
                let (rows, columns) = deep.block(l);
                rows.for_each(|r| columns.clone().for_each(|c| mask[r * odd + c] = 1.0));
            }
            deep.mask = mask;
        }
        deep
    }

    /// Where layer `l` is on its side.
    fn place(&self, l: usize) -> std::ops::Range<usize> {
        let from: usize = self.layers[..l].iter().skip(l % 2).step_by(2).sum();
        from..from + self.layers[l]
    }

    /// Where the weights between layers `l` and `l + 1` are: rows and columns.
    fn block(&self, l: usize) -> (std::ops::Range<usize>, std::ops::Range<usize>) {
        let (even, odd) = if l.is_multiple_of(2) { (l, l + 1) } else { (l + 1, l) };
        (self.place(even), self.place(odd))
    }

    /// Visible units, and even hidden ones.
    fn even(&self) -> [usize; 2] {
        [self.layers[0], self.base.len() - self.layers[0]]
    }

    fn odd(&self) -> usize {
        self.pair.hidden.len()
    }

    /// Weights between the even hidden units and the odd ones.
    fn inner(&self) -> Mat<'_> {
        Mat::rows(&self.pair.w[self.layers[0] * self.odd()..], self.odd())
    }

    /// The machine that pairs which learned with copies of their neighbours make: what a layer received twice it now receives once
    /// from each side. Biases of a layer between two are the mean of what the pairs found.
    fn compose(&mut self, pairs: &[Pair]) {
        let last = pairs.len() - 1;
        let odd = self.odd();
        self.pair = Pair::zeros(self.base.len(), odd);
        for (l, pair) in pairs.iter().enumerate() {
            let (rows, columns) = self.block(l);
            // Weights of a pair between others stand for both of its copies.
            let share = if l == 0 || l == last { 1.0 } else { 0.5 };
            for (r, row) in rows.enumerate() {
                for (c, column) in columns.clone().enumerate() {
                    let at =
                        if l.is_multiple_of(2) { r * columns.len() + c } else { c * pair.hidden.len() + r };
                    self.pair.w[row * odd + column] = share * pair.w[at];
                }
            }
            for (layer, found, alone) in [(l, &pair.visible, l == 0), (l + 1, &pair.hidden, l == last)] {
                let place = self.place(layer);
                let side =
                    if layer.is_multiple_of(2) { &mut self.pair.visible } else { &mut self.pair.hidden };
                let share = if alone { 1.0 } else { 0.5 };
                side[place].iter_mut().zip(found).for_each(|(b, f)| *b += share * f);
            }
        }
    }

    /// Coordinate ascent on the bound. The first layer begins with twice what it receives from the rows, in place of what it will
    /// receive from above; further odd ones begin with their biases.
    fn mean_field(&self, v: &[f32], updates: usize) -> MeanField {
        let [visible, inner] = self.even();
        let (odd_width, rows) = (self.odd(), v.len() / visible);
        let from_rows = layer_inputs(v, visible, Mat::rows(&self.pair.w, odd_width), &self.pair.hidden);
        let mut odd = from_rows.clone();
        for row in odd.chunks_exact_mut(odd_width) {
            row.iter_mut().zip(&self.pair.hidden).for_each(|(a, c)| *a += *a - c);
        }
        probabilities(&mut odd);
        let mut even = Vec::new();
        for _ in 0..updates {
            even = self.above(&odd);
            probabilities(&mut even);
            odd.copy_from_slice(&from_rows);
            let (a, b) = (Mat::rows(&even, inner), self.inner());
            gemm(rows, odd_width, inner, a, b, &mut odd, true, Limits::Dense);
            probabilities(&mut odd);
        }
        MeanField { even, odd, from_rows }
    }

    /// What even hidden units receive.
    fn above(&self, odd: &[f32]) -> Vec<f32> {
        layer_inputs(odd, self.odd(), self.inner().t(), &self.pair.visible[self.layers[0]..])
    }

    /// E_q[−E] + H(q) of each row.
    fn bound_of(&self, v: &[f32], q: &MeanField) -> Vec<f64> {
        let [visible, inner] = self.even();
        let odd = self.odd();
        let above = self.above(&q.odd);
        let entropy = entropies(&q.odd, odd).into_iter().zip(entropies(&q.even, inner));
        let own = row_products(v, &self.pair.visible[..visible]);
        let rows = (0..own.len()).zip(own).zip(entropy);
        rows.map(|((r, own), (a, b))| {
            let product =
                |x: &[f32], y: &[f32], n: usize| row_products(&x[r * n..][..n], &y[r * n..][..n])[0];
            own + product(&q.odd, &q.from_rows, odd) + product(&q.even, &above, inner) + a + b
        })
        .collect()
    }

    /// log of the mean of p(v, odd)/q(odd|v), up to log Z, over draws by each row's generator.
    fn importance(&self, v: &[f32], q: &MeanField, count: usize, draws: &mut [Rng]) -> Vec<f64> {
        let [visible, inner] = self.even();
        let odd = self.odd();
        let own = row_products(v, &self.pair.visible[..visible]);
        let each: Vec<Vec<f64>> = (0..count)
            .map(|_| {
                let mut y = q.odd.clone();
                let mut log_q = Vec::with_capacity(draws.len());
                for (y, rng) in y.chunks_exact_mut(odd).zip(draws.iter_mut()) {
                    let mut sum = 0.0;
                    for p in y {
                        let one = rng.uniform() < *p;
                        sum += libm::log(f64::from(if one { *p } else { 1.0 - *p }));
                        *p = f32::from(u8::from(one));
                    }
                    log_q.push(sum);
                }
                let rest = log_mass_change(&self.above(&y), &[], inner, [0.0, 1.0]);
                let rows =
                    y.chunks_exact(odd).zip(q.from_rows.chunks_exact(odd)).zip(rest.into_iter().zip(log_q));
                rows.map(|((y, a), (rest, log_q))| row_products(y, a)[0] + rest + inner as f64 * LN_2 - log_q)
                    .collect()
            })
            .collect();
        let mean = |r: usize| log_mean_exp(&each.iter().map(|w| w[r]).collect::<Vec<f64>>());
        own.into_iter().enumerate().map(|(r, own)| own + mean(r)).collect()
    }

    fn renew(&self, even: &[f32], stream: Stream) -> Vec<f32> {
        let odd = anneal_bits(&self.pair.up(even), self.odd(), 1.0, &[], stream);
        let next = Stream { stream: stream.stream + 1, ..stream };
        anneal_bits(&self.pair.down(&odd), self.base.len(), 1.0, &[], next)
    }

    fn draw_even(&self, count: usize, stream: Stream) -> Vec<f32> {
        anneal_bits(&vec![0.0; count * self.base.len()], self.base.len(), 0.0, &self.base, stream)
    }
}

impl Path for Deep {
    fn log_z_base(&self) -> f64 {
        self.base.iter().map(|b| softplus(f64::from(*b))).sum::<f64>() + self.odd() as f64 * LN_2
    }

    fn draw_base(&self, count: usize, stream: Stream) -> Vec<f32> {
        anneal_bits(&vec![0.0; count * self.odd()], self.odd(), 0.0, &[], stream)
    }

    fn advance(&self, y: &mut Vec<f32>, [from, to]: [f32; 2], stream: Stream) -> Vec<f64> {
        let a = self.pair.down(y);
        let mut change = if from == to {
            vec![0.0; y.len() / self.odd()]
        } else {
            log_mass_change(&a, &self.base, self.base.len(), [from, to])
        };
        let own = row_products(y, &self.pair.hidden);
        change.iter_mut().zip(own).for_each(|(c, own)| *c += f64::from(to - from) * own);
        let rest: Vec<f32> = self.base.iter().map(|b| (1.0 - to) * b).collect();
        let even = anneal_bits(&a, self.base.len(), to, &rest, stream);
        let next = Stream { stream: stream.stream + 1, ..stream };
        *y = anneal_bits(&self.pair.up(&even), self.odd(), to, &[], next);
        change
    }
}

impl Energy for Deep {
    type Config = DeepBoltzmannMachineConfig;

    fn bound(how: &Scoring) -> String {
        match how.importance_samples {
            0 | 1 => "lower bound by the mean field".into(),
            k => format!("lower bound, {k} draws of the odd layers by the mean field"),
        }
    }

    fn spec() -> &'static ModelSpec {
        &SPEC
    }

    fn build(config: &Self::Config, rows: &Domain, start: &[f32], _: &mut Rng) -> Result<Self> {
        config.pretrain.takes(&[Algorithm::Contrastive, Algorithm::Persistent])?;
        config.train.takes(&[Algorithm::Persistent])?;
        Ok(Self::new(start, &layers(&config.hidden, rows.width())?))
    }

    fn learn(
        &mut self,
        config: &Self::Config,
        seen: &Presented,
        seed: Seed,
        cx: &mut FitContext<'_>,
    ) -> Result<FitReport> {
        let hidden = &self.layers[1..];
        let mut copies = vec![[1, 1]; hidden.len()];
        copies[0][0] = 2;
        copies[hidden.len() - 1][1] = 2;
        let start = &self.base[..self.layers[0]];
        let greedy = Greedy::new(start, hidden, &copies, &config.pretrain, &mut seed.child("init").rng());
        let mut parts = greedy.parts(&config.pretrain);
        parts.push(Part { name: "all layers".into(), how: &config.train });
        let first = streams(seed.child("first chains").rng().bits(), 0);
        let mut learning = Together {
            greedy: Some(greedy),
            follower: Follower::new(&config.train, &self.pair),
            chains: self.draw_even(config.train.chains.get(), first),
            compared: compared(seen, COMPARED, seed)?,
            machine: self.clone(),
            config,
        };
        let report = train(&parts, seen, &mut learning, SPEC.name, seed, cx)?;
        *self = learning.kept();
        Ok(report)
    }

    fn tensors(&self) -> State {
        let mut state = pair_state(&self.pair);
        state.tensors.insert("base".into(), Tensor::f32(&[self.base.len()], self.base.clone()));
        state
    }

    fn load(&mut self, state: &State) -> Result<()> {
        load_pair(&mut self.pair, state)?;
        self.base = state.f32("base", &[self.base.len()])?.to_vec();
        Ok(())
    }

    fn log_mass(&self, v: &Batch, how: &Scoring) -> Vec<f64> {
        let chunks = v.data().chunks(CHUNK * v.width());
        chunks
            .flat_map(|rows| {
                let q = self.mean_field(rows, SCORED);
                if how.importance_samples <= 1 {
                    return self.bound_of(rows, &q);
                }
                let draws = rows.chunks_exact(v.width()).map(|row| how.seed.child("h").row(row).rng());
                self.importance(rows, &q, how.importance_samples, &mut draws.collect::<Vec<_>>())
            })
            .collect()
    }

    fn summed(&self) -> Option<f64> {
        Restricted::<Bits>::new(self.pair.clone(), self.base.clone()).summed()
    }

    fn path(&self) -> &dyn Path {
        self
    }

    fn features(&self, v: &Batch) -> Batch {
        let place = self.place(self.layers.len() - 1);
        let mut code = Vec::with_capacity(v.rows() * place.len());
        for rows in v.data().chunks(CHUNK * v.width()) {
            let q = self.mean_field(rows, SCORED);
            if self.layers.len().is_multiple_of(2) {
                q.odd.chunks_exact(self.odd()).for_each(|y| code.extend_from_slice(&y[place.clone()]));
            } else {
                let [visible, inner] = self.even();
                let place = place.start - visible..place.end - visible;
                q.even.chunks_exact(inner).for_each(|x| code.extend_from_slice(&x[place.clone()]));
            }
        }
        Batch::from_fn(v.rows(), place.len(), |r, c| code[r * place.len() + c])
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
    follower: Follower,
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
            None => kept.pair = self.follower.kept(&self.machine.pair).clone(),
        }
        kept
    }
}

impl Learner for Together<'_> {
    fn parameters(&self) -> u64 {
        let layers = &self.machine.layers;
        (layers.windows(2).map(|l| l[0] * l[1]).sum::<usize>() + layers.iter().sum::<usize>()) as u64
    }

    fn step(&mut self, x: &Batch, at: At, key: u64) -> BTreeMap<String, f64> {
        if at.part + 1 < self.machine.layers.len()
            && let Some(greedy) = &mut self.greedy
        {
            return greedy.step(x.data(), &self.config.pretrain, at, key);
        }
        if self.greedy.is_some() {
            self.machine = self.kept();
            self.greedy = None;
            self.follower = Follower::new(&self.config.train, &self.machine.pair);
            // Chains come near the machine before it learns from them.
            for k in 0..SETTLED {
                self.chains = self.machine.renew(&self.chains, streams(key, (1 << 32) + k));
            }
        }
        let machine = &self.machine;
        let q = machine.mean_field(x.data(), self.config.mean_field.get());
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
        self.follower.follow(pair, &self.config.train, at, |to, rate| {
            ascend(to, mask, [&even, &q.odd], [&self.chains, &odd], rate);
        });
        BTreeMap::from([("loss".into(), loss)])
    }

    fn validate(&mut self) -> BTreeMap<String, f64> {
        if self.greedy.is_some() { BTreeMap::new() } else { gap(&self.kept(), self.compared.as_ref()) }
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
                state.nest("follower", self.follower.state());
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
        self.follower.load(&state.nested("follower"))?;
        self.chains = state.f32("chains", &[self.chains.len()])?.to_vec();
        Ok(())
    }
}

/// A machine with random parameters.
fn example(hidden: &[usize], seed: Seed) -> Deep {
    let mut deep = Deep::new(&[0.2; 4], hidden);
    let mut rng = seed.rng();
    let random = |v: &mut f32| *v = 0.6 * rng.normal() as f32;
    let Pair { w, visible, hidden } = &mut deep.pair;
    w.iter_mut().chain(visible).chain(hidden).for_each(random);
    deep.pair.w.iter_mut().zip(&deep.mask).for_each(|(w, m)| *w *= m);
    deep
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
            let bound = deep.bound_of(x.data(), &deep.mean_field(x.data(), 400));
            bound.iter().sum::<f64>() / 5.0 - deep.summed().unwrap_or(f64::NAN)
        };
        // The model's own statistics: every state of the even layers by its probability.
        let n = deep.base.len();
        let all = Batch::from_fn(1 << n, n, |r, c| (r >> c & 1) as f32);
        let whole = Restricted::<Bits>::new(deep.pair.clone(), deep.base.clone());
        let z = whole.summed().unwrap_or(f64::NAN);
        let mass = whole.log_mass(&all, &Scoring::default());
        let mut odd = deep.pair.up(all.data());
        probabilities(&mut odd);
        // Weights of rows go to one factor of a product; the other statistics are means of that factor and of 1.
        let weigh = |x: &[f32], width: usize| -> Vec<f32> {
            let rows = x.chunks_exact(width).zip(&mass);
            rows.flat_map(|(x, m)| x.iter().map(move |v| v * libm::exp(m - z) as f32)).collect()
        };
        let weighted = weigh(all.data(), n);
        let q = deep.mean_field(x.data(), 400);
        let even = joined(x.data(), &q.even, deep.even());
        let mut gradient = Pair::zeros(n, deep.odd());
        let nothing = (vec![0.0; n], vec![0.0; deep.odd()]);
        ascend(&mut gradient, &deep.mask, [&even, &q.odd], [&nothing.0, &nothing.1], 1.0);
        let mut model = Pair::zeros(n, deep.odd());
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
        let moved = |pair: Pair| value(&Deep { pair, ..deep.clone() });
        let errors = quotients(&deep.pair, &gradient, &deep.mask, &moved);
        found.extend(errors.into_iter().map(|(of, error)| (format!("{name} layers, {of}"), error)));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explicit::approximate::markov_chain::annealing::Partition;
    use genus_core::math::log_sum_exp;

    fn rows(n: usize) -> Vec<f32> {
        (0..1usize << n).flat_map(|s| (0..n).map(move |k| (s >> k & 1) as f32)).collect()
    }

    /// log Σ_h exp(−E) of each of the 16 visible rows, by going through all states of all layers in turn.
    fn masses(deep: &Deep) -> Vec<f64> {
        let [visible, inner] = deep.even();
        rows(visible)
            .chunks_exact(visible)
            .map(|v| {
                let rest: Vec<f32> =
                    rows(inner).chunks_exact(inner).flat_map(|h| v.iter().chain(h).copied()).collect();
                let whole = Restricted::<Bits>::new(deep.pair.clone(), deep.base.clone());
                log_sum_exp(whole.log_mass(&Batch::new(rest, visible + inner).unwrap(), &Scoring::default()))
            })
            .collect()
    }

    /// Layers see only their neighbours: v with 2 hidden layers against a loop over both, from the pairs themselves.
    #[test]
    fn pairs_compose_to_one_energy() {
        let mut rng = Seed::from(9).rng();
        let mut random = |v: usize, h: usize| {
            let mut pair = Pair::zeros(v, h);
            let Pair { w, visible, hidden } = &mut pair;
            w.iter_mut().chain(visible).chain(hidden).for_each(|v| *v = rng.normal() as f32);
            pair
        };
        let pairs = [random(2, 3), random(3, 2), random(2, 1)];
        let mut deep = Deep::new(&[0.1, 0.2], &[3, 2, 1]);
        deep.compose(&pairs);
        let dot = |x: &[f32], b: &[f32], share: f32| {
            f64::from(share * x.iter().zip(b).map(|(x, b)| x * b).sum::<f32>())
        };
        let product = |x: &[f32], pair: &Pair, y: &[f32]| -> f64 {
            x.iter().zip(pair.w.chunks_exact(y.len())).map(|(x, row)| dot(row, y, *x)).sum()
        };
        for state in rows(8).chunks_exact(8) {
            let (v, h1, h2, h3) = (&state[..2], &state[2..5], &state[5..7], &state[7..]);
            let want = dot(v, &pairs[0].visible, 1.0)
                + product(v, &pairs[0], h1)
                + dot(h1, &pairs[0].hidden, 0.5)
                + dot(h1, &pairs[1].visible, 0.5)
                + 0.5 * product(h1, &pairs[1], h2)
                + dot(h2, &pairs[1].hidden, 0.5)
                + dot(h2, &pairs[2].visible, 0.5)
                + product(h2, &pairs[2], h3)
                + dot(h3, &pairs[2].hidden, 1.0);
            let (even, odd) = ([v, h2].concat(), [h1, h3].concat());
            let got = dot(&even, &deep.pair.visible, 1.0) + dot(&deep.pair.up(&even), &odd, 1.0);
            assert!((got - want).abs() < 1e-5, "{got} {want}");
        }
    }

    /// The mean field is below the log-mass, and the draws average to it within five standard errors (false alarm 6e-7 each).
    #[test]
    fn bounds_are_below_and_draws_average_to_the_mass() {
        for hidden in [&[3, 2][..], &[3, 2, 3]] {
            let deep = example(hidden, Seed::from(3));
            let all = rows(4);
            let want = masses(&deep);
            assert!((log_sum_exp(want.clone()) - deep.summed().unwrap()).abs() < 1e-5);
            let q = deep.mean_field(&all, SCORED);
            for (bound, want) in deep.bound_of(&all, &q).iter().zip(&want) {
                assert!(*bound < want + 1e-5 && *bound > want - 1.0, "{bound} {want}");
            }
            let n = 20_000u64;
            for (v, want) in all.chunks_exact(4).zip(&want) {
                let rows = v.repeat(n as usize);
                let mut draws: Vec<Rng> = (0..n).map(|i| Seed::from(i).rng()).collect();
                let weights = deep.importance(&rows, &deep.mean_field(&rows, SCORED), 1, &mut draws);
                let ratios: Vec<f64> = weights.iter().map(|w| (w - want).exp()).collect();
                let mean = ratios.iter().sum::<f64>() / n as f64;
                let spread = ratios.iter().map(|r| (r - mean).powi(2)).sum::<f64>() / n as f64;
                assert!((mean - 1.0).abs() < 5.0 * (spread / n as f64).sqrt(), "{mean}");
            }
        }
    }

    /// Z within four standard errors (false alarm 6e-5 each).
    #[test]
    fn annealing_finds_the_sum() {
        let how = Annealing { exact: false, chains: count(500), steps: count(400), back_burn_in: 200 };
        for hidden in [&[3, 2][..], &[3, 2, 3]] {
            let deep = example(hidden, Seed::from(4));
            let found = Partition::estimate(&deep, &how, Seed::from(5));
            let want = deep.summed().unwrap();
            assert!(
                ((found.log_z - want).exp() - 1.0).abs() < 4.0 * found.stderr && found.stderr < 0.05,
                "{found:?} {want}"
            );
            assert!(found.back > want - 0.02 && found.back < want + 0.3, "{found:?} {want}");
        }
    }

    /// 40,000 chains that begin at exact draws keep the law: chi-square with 15 degrees of freedom below 60, false alarm 3e-7 each.
    #[test]
    fn chains_keep_the_law() {
        for hidden in [&[3, 2][..], &[3, 2, 3]] {
            let deep = example(hidden, Seed::from(7));
            let z = deep.summed().unwrap();
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
