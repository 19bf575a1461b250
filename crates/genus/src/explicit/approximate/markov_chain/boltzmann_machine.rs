//! # Boltzmann machine
//!
//! ## What it is
//! p(v) = Σ_h exp(b·x + ½ xᵀJx) / Z over bits x = (v, h), visible and hidden, each with a bias, any two with a symmetric weight: all
//! pairs, or those that are listed.
//!
//! ## Density
//! log p(v) = log Σ_h exp(b·x + ½ xᵀJx) − log Z. Both sums are exact up to 25 units; with more, log Z is estimated by annealed importance
//! sampling, unit by unit. Hidden units that are connected to each other are summed by going through their states, so that there
//! may be 20 of them at most.
//!
//! ## Trained by
//! Gradient ascent: ⟨x xᵀ⟩ with the visible units at the rows minus ⟨x xᵀ⟩ of the machine, the latter exactly, by going through all
//! states, or with persistent or contrastive chains (Ackley, Hinton & Sejnowski 1985).
//!
//! ## Use it when
//! A few binary variables and their pairwise dependencies are of interest themselves: the Ising model with fitted couplings. For many
//! variables take [`Rbm`](super::rbm::Rbm).
//!
//! ## References
//! Hinton & Sejnowski 1983; Ackley, Hinton & Sejnowski 1985.
//!
//! ## Example
//! ```
//! use genus::{BoltzmannMachine, BoltzmannMachineConfig, Density as _, Family, FitContext, Seed, Silent, config, data};
//!
//! let tree = data::load("tree8", &data::Options::default())?;
//! let config: BoltzmannMachineConfig = config::from_table(&toml::from_str("train.algorithm = 'exact'\ntrain.epochs = 2").unwrap())?;
//! let fit = BoltzmannMachine::fit(&config, &tree, &mut FitContext::new(Seed::from(7), &mut Silent))?;
//! assert!(fit.model.log_prob(&tree.test.unwrap().x)?.mean() > -8.0 * 2f64.ln());
//! # Ok::<(), genus::Error>(())
//! ```

use super::annealing::{Annealing, Path};
use super::boltzmann::Boltzmann;
use super::learning::{Algorithm, Learning};
use super::pair_optimizer::{PairOptimizer, load_pair, pair_state, unmasked};
use super::pairwise::{ENUMERATED, Pairwise};
use super::training::{Ascent, Part, compared, gap, train};
use super::{Chains, Energy, MachineConfig, streams};
use crate::sampling::Sampling;
use crate::training_rows::TrainingRows;
use genus_core::config::Positive;
use genus_core::math::softplus;
use genus_core::train::{At, Figures};
use genus_core::transform::{Binarize, Transform};
use genus_core::{
    Batch, Capability, Domain, Error, EvidenceKind, FitContext, FitReport, ModelSpec, Reference, Result, Rng,
    Schema, Scoring, Seed, State, Stop, SupportKind, Tensor, TinyFit,
};
use genus_kernels::{LayerPair, Limits, Mat, Stream, gemm, sigmoid};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// A fitted Boltzmann machine.
pub type BoltzmannMachine = Boltzmann<General>;

/// Registry entry.
pub static SPEC: ModelSpec =
    ModelSpec::new::<BoltzmannMachine>("boltzmann-machine", "Boltzmann machine", module_path!())
    .summary("a few binary columns: pairwise couplings between any visible and hidden units; exact up to 25 units")
    .papers(&[Reference::new(
        "Ackley, Hinton & Sejnowski",
        1985,
        "A Learning Algorithm for Boltzmann Machines",
        "https://doi.org/10.1207/s15516709cog0901_7",
    )])
    .evidence(EvidenceKind::Exact)
    .estimated()
    .can(&[Capability::Density, Capability::Sampler, Capability::Encoder, Capability::Conditional])
    .rows(&[SupportKind::Binary, SupportKind::Discrete])
    .trained_by_steps()
    .suited(crate::suited::general)
    .tiny_fits(&[
        TinyFit::new(
            "exact gradient",
            "tree8",
            "hidden = 2\n[train]\nalgorithm = \"exact\"\nepochs = 10\nbatch = 50\nrate = 0.5\n[sampling]\nburn_in = 100\nthin = 20\n",
        ),
        TinyFit::new(
            "edges of the tree",
            "tree8",
            "hidden = 1\nedges = [[0, 1], [1, 2], [0, 3], [3, 4], [4, 5], [4, 6], [0, 7], [0, 8]]\n[train]\nepochs = 10\nbatch = 50\nrate = 0.5\nmomentum = 0.5\nema = 0.9\n[sampling]\nburn_in = 100\nthin = 20\n",
        ),
        TinyFit::new(
            "contrastive, estimated",
            "tree8",
            "hidden = 3\n[train]\nalgorithm = \"contrastive\"\ntransitions = 5\nepochs = 5\nbatch = 50\nrate = 0.3\n[annealing]\nexact = false\nsteps = 1000\nback_burn_in = 100\n[sampling]\nburn_in = 100\nthin = 20\n",
        ),
    ])
    .gradient_check(gradient_check);

/// Hidden units that may be connected to each other.
const CONNECTED: usize = 20;
/// Of these, those that training sums over; more are drawn.
const AVERAGED: usize = 10;
/// Transitions by which such hidden units are drawn.
const SETTLED: u64 = 10;
/// Transitions after which chains are said to be near a machine.
const NEAR: u64 = 50;

/// Hyper-parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BoltzmannMachineConfig {
    /// Hidden units; there may be none.
    pub hidden: usize,
    /// Pairs of units that are connected: visible ones are counted from 0, hidden ones after them. All pairs if the list is empty.
    pub edges: Vec<[usize; 2]>,
    /// How levels become bits.
    pub binarize: Binarize,
    /// Training.
    pub train: Learning,
    /// Drawing.
    pub sampling: Sampling,
    /// Estimation of log Z.
    pub annealing: Annealing,
}

impl Default for BoltzmannMachineConfig {
    fn default() -> Self {
        Self {
            hidden: 4,
            edges: Vec::new(),
            binarize: Binarize::default(),
            train: Learning { rate: Positive::constant(0.1), ..Learning::default() },
            sampling: Sampling::default(),
            annealing: Annealing::default(),
        }
    }
}

impl MachineConfig for BoltzmannMachineConfig {
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

/// Units and their connections.
#[derive(Debug, Clone)]
pub struct General {
    machine: Pairwise,
    visible: usize,
    /// 1 where two units are connected, `[units, units]`.
    mask: Vec<f32>,
    /// Inputs of the independent units with which annealing, and chains, begin.
    base: Vec<f32>,
}

impl General {
    fn hidden(&self) -> usize {
        self.base.len() - self.visible
    }

    /// Rows of all units: visible ones with hidden ones behind them.
    fn joined(&self, v: &[f32], h: &[f32]) -> Vec<f32> {
        if self.hidden() == 0 {
            return v.to_vec();
        }
        let rows = v.chunks_exact(self.visible).zip(h.chunks_exact(self.hidden()));
        rows.flat_map(|(v, h)| v.iter().chain(h)).copied().collect()
    }

    fn parted(&self, x: &[f32]) -> [Vec<f32>; 2] {
        let rows = || x.chunks_exact(self.base.len());
        [
            rows().flat_map(|x| &x[..self.visible]).copied().collect(),
            rows().flat_map(|x| &x[self.visible..]).copied().collect(),
        ]
    }

    /// Whether hidden units are connected to each other.
    fn lateral(&self) -> bool {
        let n = self.base.len();
        self.mask.chunks_exact(n).skip(self.visible).any(|row| row[self.visible..].contains(&1.0))
    }

    fn held(&self, v: &[f32]) -> Vec<f32> {
        self.joined(v, &vec![f32::NAN; v.len() / self.visible * self.hidden()])
    }

    /// Visible rows with hidden units drawn given them.
    fn settled(&self, v: &[f32], stream: Stream) -> Vec<f32> {
        let mut x = self.joined(v, &vec![0.0; v.len() / self.visible * self.hidden()]);
        let (held, sweeps) = (self.held(v), if self.lateral() { SETTLED } else { 1 });
        for s in 0..sweeps {
            self.machine.sweep(&mut x, &held, &[], 1.0, Stream { stream: stream.stream + s, ..stream });
        }
        x
    }

    /// Visible rows with the means of the hidden units behind them, and the mean product of each two hidden units if those are
    /// connected: exact ones, but draws where there are too many.
    fn expected(&self, v: &[f32], stream: Stream) -> Result<(Vec<f32>, Option<Vec<f32>>)> {
        let h = self.hidden();
        if h == 0 {
            return Ok((v.to_vec(), None));
        }
        let left: Vec<Pairwise> = v.par_chunks_exact(self.visible).map(|v| self.machine.given(v)).collect();
        if !self.lateral() {
            let means: Vec<f32> = left.iter().flat_map(|m| &m.bias).map(|a| sigmoid(*a)).collect();
            return Ok((self.joined(v, &means), None));
        }
        if h > AVERAGED {
            return Ok((self.settled(v, stream), None));
        }
        let stop = Stop::current();
        let each = left.par_iter().map(|m| m.moments(&stop)).collect::<Result<Vec<_>>>()?;
        let means: Vec<f32> = each.iter().flat_map(|m| &m.first).map(|p| *p as f32).collect();
        let mut second = vec![0.0f32; h * h];
        for m in &each {
            second.iter_mut().zip(&m.second).for_each(|(s, p)| *s += *p as f32 / each.len() as f32);
        }
        Ok((self.joined(v, &means), Some(second)))
    }

    /// Mean product of each two units over rows of all of them.
    fn products(&self, x: &[f32]) -> Vec<f32> {
        let n = self.base.len();
        let rows = x.len() / n;
        let mut second = vec![0.0; n * n];
        gemm(n, n, rows, Mat::rows(x, n).t(), Mat::rows(x, n), &mut second, false, Limits::Dense);
        second.iter_mut().for_each(|s| *s /= rows as f32);
        // The mean of a unit's square is that of the unit: it may be a mean itself.
        for i in 0..n {
            second[i * n + i] = x.iter().skip(i).step_by(n).sum::<f32>() / rows as f32;
        }
        second
    }

    /// ⟨x xᵀ⟩ of the rows minus that of the machine where units are connected, and ⟨x⟩ likewise.
    fn contrast(&self, data: &[f32], model: &[f32]) -> LayerPair {
        let n = self.base.len();
        let difference = |i: usize| data[i] - model[i];
        LayerPair {
            w: (0..n * n).map(|i| self.mask[i] * difference(i)).collect(),
            visible: (0..n).map(|i| difference(i * n + i)).collect(),
            hidden: vec![0.0; n],
        }
    }

    fn data_products(&self, v: &[f32], stream: Stream) -> Result<(Vec<f32>, Vec<f32>)> {
        let (x, lateral) = self.expected(v, stream)?;
        let mut second = self.products(&x);
        let (n, h) = (self.base.len(), self.hidden());
        if let Some(lateral) = lateral {
            for (a, row) in lateral.chunks_exact(h).enumerate() {
                second[(self.visible + a) * n + self.visible..][..h].copy_from_slice(row);
            }
        }
        Ok((second, x))
    }

    /// Parameters as those of two layers, both of all units; the second one has no biases of its own.
    fn pair(&self) -> LayerPair {
        let hidden = vec![0.0; self.base.len()];
        LayerPair { w: self.machine.w.clone(), visible: self.machine.bias.clone(), hidden }
    }

    fn set(&mut self, pair: &LayerPair) {
        self.machine = Pairwise { w: pair.w.clone(), bias: pair.visible.clone() };
    }
}

impl Path for General {
    fn log_z_base(&self) -> f64 {
        self.base.iter().map(|b| softplus(f64::from(*b))).sum()
    }

    fn draw_base(&self, count: usize, stream: Stream) -> Vec<f32> {
        let mut x = vec![0.0; count * self.base.len()];
        self.machine.sweep(&mut x, &[], &self.base, 0.0, stream);
        x
    }

    fn advance(&self, x: &mut Vec<f32>, [from, to]: [f32; 2], stream: Stream) -> Vec<f64> {
        let change = if from == to {
            vec![0.0; x.len() / self.base.len()]
        } else {
            let independent = x
                .chunks_exact(self.base.len())
                .map(|x| x.iter().zip(&self.base).map(|(x, b)| f64::from(x * b)).sum::<f64>());
            let gains = self.machine.exponents(x).into_iter().zip(independent);
            gains.map(|(own, base)| f64::from(to - from) * (own - base)).collect()
        };
        self.machine.sweep(x, &[], &self.base, to, stream);
        change
    }
}

impl Energy for General {
    type Config = BoltzmannMachineConfig;

    fn spec() -> &'static ModelSpec {
        &SPEC
    }

    fn build(config: &Self::Config, rows: &Domain, start: &[f32], rng: &mut Rng) -> Result<Self> {
        let (visible, hidden) = (rows.width(), config.hidden);
        genus_nn::afford("hidden", &[&[visible, hidden], &[visible, visible], &[hidden, hidden]])?;
        let n = visible + hidden;
        let mut mask = vec![0.0; n * n];
        for &[a, b] in &config.edges {
            if a == b || a.max(b) >= n {
                let message = format!("[{a}, {b}] does not connect two of the {n} units, 0 to {}", n - 1);
                return Err(Error::config("edges", message));
            }
            (mask[a * n + b], mask[b * n + a]) = (1.0, 1.0);
        }
        if config.edges.is_empty() {
            (0..n * n).filter(|i| i / n != i % n).for_each(|i| mask[i] = 1.0);
        }
        let mut machine = Pairwise { w: vec![0.0; n * n], bias: start.to_vec() };
        machine.bias.resize(n, 0.0);
        for (a, b) in (0..n).flat_map(|a| (0..a).map(move |b| (a, b))) {
            let w = 0.01 * rng.normal() as f32 * mask[a * n + b];
            (machine.w[a * n + b], machine.w[b * n + a]) = (w, w);
        }
        let base = machine.bias.clone();
        let built = Self { machine, visible, mask, base };
        if built.lateral() && hidden > CONNECTED {
            let message = format!(
                "{hidden} hidden units that are connected to each other cannot be summed over; take {CONNECTED} at most, or list `edges` without such"
            );
            return Err(Error::config("hidden", message));
        }
        config.train.takes("train", &[Algorithm::Exact, Algorithm::Persistent, Algorithm::Contrastive])?;
        if config.train.algorithm == Algorithm::Exact && n > ENUMERATED {
            let message = format!(
                "exact gradients go through all states of at most {ENUMERATED} units, and there are {n}; take \"persistent\""
            );
            return Err(Error::config("train.algorithm", message));
        }
        Ok(built)
    }

    fn learn(
        &mut self,
        config: &Self::Config,
        seen: &TrainingRows,
        seed: Seed,
        cx: &mut FitContext<'_>,
    ) -> Result<FitReport> {
        let how = &config.train;
        let mut chains = match how.algorithm {
            Algorithm::Persistent => {
                self.draw_base(how.chains.get(), streams(seed.child("first chains").rng().bits(), 0))
            }
            _ => Vec::new(),
        };
        if cx.start.is_some() && !chains.is_empty() {
            // Chains come near the machine before it learns from them.
            let key = seed.child("chains of the start").rng().bits();
            for k in 0..NEAR {
                Stop::current().check()?;
                self.machine.sweep(&mut chains, &[], &[], 1.0, streams(key, k));
            }
        }
        let most = if self.lateral() { 200 } else { usize::MAX };
        let mut learning = Climb {
            pair: self.pair(),
            optimizer: PairOptimizer::new(how, &self.pair()),
            machine: self.clone(),
            how,
            compared: compared(seen, most, seed)?,
            chains,
        };
        let report = train(&[Part::whole(how)], seen, &mut learning, SPEC.name, seed, cx)?;
        self.set(learning.optimizer.kept(&learning.pair));
        Ok(report)
    }

    fn tensors(&self) -> State {
        let mut state = pair_state(&self.pair());
        state.tensors.insert("base".into(), Tensor::f32(&[self.base.len()], self.base.clone()));
        state
    }

    fn load(&mut self, state: &State) -> Result<()> {
        let mut pair = self.pair();
        load_pair(&mut pair, state)?;
        unmasked(&pair.w, &self.mask)?;
        self.set(&pair);
        self.base = state.f32("base", &[self.base.len()])?.to_vec();
        Ok(())
    }

    fn log_mass(&self, v: &Batch, _: &Scoring) -> Result<Vec<f64>> {
        let stop = Stop::current();
        let zeros = vec![0.0; v.rows() * self.hidden()];
        let own = self.machine.exponents(&self.joined(v.data(), &zeros));
        let rest = v.data().par_chunks_exact(self.visible).map(|v| {
            stop.check()?;
            self.machine.given(v).log_sum(&stop)
        });
        let rest = rest.collect::<Result<Vec<f64>>>()?;
        Ok(own.iter().zip(rest).map(|(own, rest)| own + rest).collect())
    }

    fn summed(&self) -> Result<Option<f64>> {
        (self.base.len() <= ENUMERATED).then(|| self.machine.log_sum(&Stop::current())).transpose()
    }

    fn path(&self) -> &dyn Path {
        self
    }

    fn features(&self, v: &Batch) -> Result<Batch> {
        let stop = Stop::current();
        let each = v.data().par_chunks_exact(self.visible).map(|v| {
            stop.check()?;
            let left = self.machine.given(v);
            match left.independent() {
                true => Ok(left.bias.iter().map(|a| f64::from(sigmoid(*a))).collect()),
                false => Ok(left.moments(&stop)?.first),
            }
        });
        let each = each.collect::<Result<Vec<Vec<f64>>>>()?;
        Ok(Batch::from_fn(v.rows(), self.hidden(), |r, c| each[r][c] as f32))
    }

    fn code_width(&self) -> usize {
        self.hidden()
    }

    fn begin(&self, count: usize, stream: Stream) -> Chains {
        let [visible, hidden] = self.parted(&self.draw_base(count, stream));
        Chains { visible, hidden, ..Chains::default() }
    }

    fn chains_at(&self, v: &[f32], stream: Stream) -> Chains {
        let [visible, hidden] = self.parted(&self.settled(v, stream));
        Chains { visible, hidden, ..Chains::default() }
    }

    fn sweep(&self, chains: &mut Chains, stream: Stream) {
        let mut x = self.joined(&chains.visible, &chains.hidden);
        let held = if chains.held.is_empty() { Vec::new() } else { self.held(&chains.held) };
        let means = self.machine.sweep(&mut x, &held, &[], 1.0, stream);
        [chains.visible, chains.hidden] = self.parted(&x);
        [chains.means, _] = self.parted(&means);
    }
}

/// A machine that learns.
struct Climb<'a> {
    machine: General,
    pair: LayerPair,
    optimizer: PairOptimizer,
    how: &'a Learning,
    compared: Option<[Batch; 2]>,
    /// Chains that go on, or those of the last step, `[chains, units]`.
    chains: Vec<f32>,
}

impl Ascent for Climb<'_> {
    fn parameters(&self) -> u64 {
        let edges = self.machine.mask.iter().filter(|m| **m == 1.0).count() / 2;
        (edges + self.pair.visible.len()) as u64
    }

    fn step(&mut self, x: &Batch, at: &At, key: u64) -> Result<Figures> {
        let (data, expected) = self.machine.data_products(x.data(), streams(key, 0))?;
        let mean = |v: Vec<f64>| v.iter().sum::<f64>() / v.len() as f64;
        let (model, loss) = if self.how.algorithm == Algorithm::Exact {
            let moments = self.machine.machine.moments(&Stop::current())?;
            let loss = moments.log_sum - mean(self.machine.log_mass(x, &Scoring::default())?);
            (moments.second.iter().map(|p| *p as f32).collect(), loss)
        } else {
            if self.how.algorithm == Algorithm::Contrastive {
                self.chains = self.machine.settled(x.data(), streams(key, 1));
            }
            for k in 0..self.how.transitions(at) {
                self.machine.machine.sweep(&mut self.chains, &[], &[], 1.0, streams(key, 2 + k));
            }
            let exponents = [&self.chains, &expected].map(|x| mean(self.machine.machine.exponents(x)));
            (self.machine.products(&self.chains), exponents[0] - exponents[1])
        };
        let gradient = self.machine.contrast(&data, &model);
        self.optimizer.step(&mut self.pair, self.how, at, |to, rate| to.add(&gradient, rate));
        self.machine.set(&self.pair);
        Ok(Figures::from([("loss".into(), loss)]))
    }

    fn validate(&mut self) -> Result<Figures> {
        let mut kept = self.machine.clone();
        kept.set(self.optimizer.kept(&self.pair));
        gap(&kept, self.compared.as_ref())
    }

    fn is_finite(&self) -> bool {
        self.pair.is_finite()
    }

    fn state(&self) -> State {
        let mut state = State::default();
        state.nest("pair", pair_state(&self.pair));
        state.nest("follower", self.optimizer.state());
        if self.how.algorithm == Algorithm::Persistent {
            state.tensors.insert("chains".into(), Tensor::f32(&[self.chains.len()], self.chains.clone()));
        }
        state
    }

    fn load(&mut self, state: &State) -> Result<()> {
        load_pair(&mut self.pair, &state.nested("pair"))?;
        self.machine.set(&self.pair);
        self.optimizer.load(&state.nested("follower"))?;
        if self.how.algorithm == Algorithm::Persistent {
            self.chains = state.f32("chains", &[self.chains.len()])?.to_vec();
        }
        Ok(())
    }
}

/// The exact gradient of the mean log-likelihood of rows against difference quotients, hidden units connected to each other and not.
fn gradient_check(seed: Seed) -> Result<Vec<(String, f64)>> {
    let mut rng = seed.rng();
    let mut found = Vec::new();
    for (name, edges) in [("all", vec![]), ("chosen", vec![[0, 1], [1, 2], [0, 4], [2, 5], [3, 6]])] {
        let config = BoltzmannMachineConfig { hidden: 3, edges, ..BoltzmannMachineConfig::default() };
        let mut machine = General::build(&config, &Domain::binary(4), &[0.2; 4], &mut rng)?;
        let n = 7;
        for (a, b) in (0..n).flat_map(|a| (0..a).map(move |b| (a, b))) {
            let w = 0.6 * rng.normal() as f32 * machine.mask[a * n + b];
            (machine.machine.w[a * n + b], machine.machine.w[b * n + a]) = (w, w);
        }
        let x = Batch::from_fn(5, 4, |_, _| f32::from(u8::from(rng.uniform() < 0.5)));
        let (data, _) = machine.data_products(x.data(), streams(0, 0))?;
        let model: Vec<f32> =
            machine.machine.moments(&Stop::new())?.second.iter().map(|p| *p as f32).collect();
        let gradient = machine.contrast(&data, &model);
        let value = |machine: &General| {
            let mean = |v: Vec<f64>| v.iter().sum::<f64>() / x.rows() as f64;
            let mass = machine.log_mass(&x, &Scoring::default()).map_or(f64::NAN, mean);
            mass - machine.machine.log_sum(&Stop::new()).unwrap_or(f64::NAN)
        };
        let step = 1.0 / 128.0f32;
        let slope = |change: &dyn Fn(&mut Pairwise, f32)| {
            let at = |by: f32| {
                let mut moved = machine.clone();
                change(&mut moved.machine, by);
                value(&moved)
            };
            (at(step) - at(-step)) / (2.0 * f64::from(step))
        };
        let relative = |pairs: Vec<(f64, f32)>| {
            let off: f64 = pairs.iter().map(|(want, got)| (want - f64::from(*got)).powi(2)).sum();
            (off / pairs.iter().map(|(want, _)| want * want).sum::<f64>()).sqrt()
        };
        let edges =
            (0..n).flat_map(|a| (0..a).map(move |b| (a, b))).filter(|(a, b)| machine.mask[a * n + b] == 1.0);
        let w = edges.map(|(a, b)| {
            let both = |m: &mut Pairwise, by: f32| {
                m.w[a * n + b] += by;
                m.w[b * n + a] += by;
            };
            (slope(&both), gradient.w[a * n + b])
        });
        found.push((format!("{name} edges, w"), relative(w.collect())));
        let bias = (0..n).map(|a| (slope(&|m: &mut Pairwise, by| m.bias[a] += by), gradient.visible[a]));
        found.push((format!("{name} edges, bias"), relative(bias.collect())));
    }
    Ok(found)
}
