//! Machines of two layers without connections within a layer: each layer is drawn at once given the other.

use super::annealing::Path;
use super::learning::{Algorithm, Learning};
use super::pair_optimizer::{PairOptimizer, load_pair, pair_state, quotients};
use super::training::{Ascent, Part, compared, gap, train};
use super::units::Units;
use super::{Chains, Energy, MachineConfig, columns, streams};
use crate::training_rows::TrainingRows;
use genus_core::math::softplus;
use genus_core::stop::in_pool;
use genus_core::{
    Batch, Domain, Error, FitContext, FitReport, ModelSpec, Result, Rng, Scoring, Seed, State, Stop, Tensor,
    train::{At, Figures},
};
use genus_kernels::{LayerPair, Stream, anneal_bits, log_mass_change, probabilities};
use rayon::prelude::*;
use std::f64::consts::LN_2;
use std::fmt::Debug;
use std::marker::PhantomData;

/// Terms of a sum that is carried out rather than estimated: a second or two.
const SUMMED: f64 = 1e9;
/// Units of a layer whose states are gone through.
const ENUMERATED: usize = 25;
/// Rows of a pass while scoring.
const CHUNK: usize = 1000;
/// Transitions after which chains are said to be near a machine.
const SETTLED: u64 = 50;

/// A kind of machine with two layers.
pub trait Kind: Clone + Debug + Send + Sync + 'static {
    /// What its visible units are; hidden ones are bits.
    const UNITS: Units;
    /// Hyper-parameters.
    type Config: TwoLayers;
    /// Registry entry.
    fn spec() -> &'static ModelSpec;
}

/// What the hyper-parameters have in common.
pub trait TwoLayers: MachineConfig {
    /// Hidden units.
    fn hidden(&self) -> usize;
}

/// A machine of two layers.
#[derive(Debug, Clone)]
pub struct Restricted<K> {
    pub(super) pair: LayerPair,
    /// Inputs of the independent visible units with which annealing, and chains, begin.
    pub(super) base: Vec<f32>,
    /// Those of the hidden units with which annealing begins; empty for 0.
    pub(super) above: Vec<f32>,
    kind: PhantomData<K>,
}

impl<K: Kind> Restricted<K> {
    /// A machine with these parameters.
    pub fn new(pair: LayerPair, base: Vec<f32>) -> Self {
        Self { pair, base, above: Vec::new(), kind: PhantomData }
    }

    /// By how much the log-mass of rows changes between two inverse temperatures, given the inputs of their hidden units.
    fn change(&self, v: &[f32], a: &[f32], [from, to]: [f32; 2]) -> Vec<f64> {
        let mut change = log_mass_change(a, &self.above, self.pair.hidden.len(), [from, to]);
        if from != to {
            let gain = K::UNITS.log_mass_gain(v, &self.base, &self.pair.visible);
            change.iter_mut().zip(gain).for_each(|(c, g)| *c += f64::from(to - from) * g);
        }
        change
    }

    /// log-mass of rows given the inputs of their hidden units, nats.
    fn mass(&self, v: &[f32], a: &[f32]) -> Vec<f64> {
        let mut mass = log_mass_change(a, &[], self.pair.hidden.len(), [0.0, 1.0]);
        let units = self.pair.hidden.len() as f64 * LN_2;
        let visible = K::UNITS.log_mass(v, &self.pair.visible);
        mass.iter_mut().zip(visible).for_each(|(m, v)| *m += units + v);
        mass
    }

    fn mean_mass(&self, v: &[f32], a: &[f32]) -> f64 {
        let mass = self.mass(v, a);
        mass.iter().sum::<f64>() / mass.len() as f64
    }

    /// Visible units after one transition at an inverse temperature, given the inputs of the hidden units.
    fn renew(&self, a: &[f32], beta: f32, stream: Stream) -> Vec<f32> {
        let rest: Vec<f32> = self.above.iter().map(|b| (1.0 - beta) * b).collect();
        let h = anneal_bits(a, self.pair.hidden.len(), beta, &rest, stream);
        let next = Stream { stream: stream.stream + 1, ..stream };
        K::UNITS.anneal(self.pair.down(&h), &self.base, beta, next)
    }
}

/// log Σ_s exp(bias · s + Σ_i rest(i, Σ_k s_k rows_k,i)) over all bits s, nats. Neighbours of a Gray code differ in one bit.
fn log_sum(
    bias: &[f64],
    rows: &[Vec<f64>],
    rest: &(dyn Fn(usize, f64) -> f64 + Sync),
    width: usize,
) -> Result<f64> {
    let stop = Stop::current();
    let n = bias.len();
    let top = n.min(6);
    let low = n - top;
    let parts: Vec<[f64; 2]> = (0..1usize << top)
        .into_par_iter()
        .map(|high| {
            let (mut exponent, mut sums) = (0.0, vec![0.0; width]);
            let mut flip = |k: usize, sign: f64, exponent: &mut f64| {
                *exponent += sign * bias[k];
                sums.iter_mut().zip(&rows[k]).for_each(|(s, w)| *s += sign * w);
                sums.iter().enumerate().map(|(i, m)| rest(i, *m)).sum::<f64>()
            };
            let mut others: f64 = (0..width).map(|i| rest(i, 0.0)).sum();
            for k in (0..top).filter(|k| high >> k & 1 == 1) {
                others = flip(low + k, 1.0, &mut exponent);
            }
            // The sum so far as its greatest exponent and the rest relative to it.
            let (mut greatest, mut sum) = (exponent + others, 1.0);
            for i in 1usize..1 << low {
                if i.is_multiple_of(1 << 10) {
                    stop.check()?;
                }
                let k = i.trailing_zeros() as usize;
                let sign = if (i ^ (i >> 1)) >> k & 1 == 1 { 1.0 } else { -1.0 };
                let others = flip(k, sign, &mut exponent);
                let e = exponent + others;
                if e > greatest {
                    (greatest, sum) = (e, sum * libm::exp(greatest - e) + 1.0);
                } else {
                    sum += libm::exp(e - greatest);
                }
            }
            Ok([greatest, sum])
        })
        .collect::<Result<_>>()?;
    Ok(genus_core::math::log_sum_exp(parts.into_iter().map(|[greatest, sum]| greatest + libm::log(sum))))
}

impl<K: Kind> Path for Restricted<K> {
    fn log_z_base(&self) -> f64 {
        let visible: f64 = self.base.iter().map(|b| K::UNITS.log_partition(f64::from(*b), 0.0)).sum();
        let hidden = (self.pair.hidden.len() - self.above.len()) as f64 * LN_2;
        visible + hidden + self.above.iter().map(|c| softplus(f64::from(*c))).sum::<f64>()
    }

    fn draw_base(&self, count: usize, stream: Stream) -> Vec<f32> {
        K::UNITS.anneal(vec![0.0; count * self.base.len()], &self.base, 0.0, stream)
    }

    fn advance(&self, x: &mut Vec<f32>, betas: [f32; 2], stream: Stream) -> Vec<f64> {
        let a = self.pair.up(x);
        let change = self.change(x, &a, betas);
        *x = self.renew(&a, betas[1], stream);
        change
    }
}

impl<K: Kind> Energy for Restricted<K> {
    type Config = K::Config;

    fn spec() -> &'static ModelSpec {
        K::spec()
    }

    fn build(config: &K::Config, rows: &Domain, start: &[f32], rng: &mut Rng) -> Result<Self> {
        let (v, h) = (rows.width(), config.hidden());
        genus_nn::afford("hidden", &[&[v, h]])?;
        if config.train().algorithm == Algorithm::Exact {
            let message = "exact gradients are for `boltzmann-machine`; take \"persistent\"";
            return Err(Error::config("train.algorithm", message));
        }
        let mut pair = LayerPair::zeros(v, h);
        pair.w.iter_mut().for_each(|w| *w = 0.01 * rng.normal() as f32);
        pair.visible.copy_from_slice(start);
        Ok(Self::new(pair, start.to_vec()))
    }

    fn learn(
        &mut self,
        config: &K::Config,
        seen: &TrainingRows,
        seed: Seed,
        cx: &mut FitContext<'_>,
    ) -> Result<FitReport> {
        let mut learning = Contrast::new(self.clone(), config.train(), seen, seed)?;
        if cx.start.is_some() {
            in_pool(|| learning.settle(seed.child("chains of the start").rng().bits()))?;
        }
        let report = train(&[Part::whole(config.train())], seen, &mut learning, K::spec().name, seed, cx)?;
        self.pair = learning.optimizer.kept(&learning.machine.pair).clone();
        Ok(report)
    }

    fn tensors(&self) -> State {
        let mut state = pair_state(&self.pair);
        state.tensors.insert("base".into(), Tensor::f32(&[self.base.len()], self.base.clone()));
        if !self.above.is_empty() {
            state.tensors.insert("above".into(), Tensor::f32(&[self.above.len()], self.above.clone()));
        }
        state
    }

    fn load(&mut self, state: &State) -> Result<()> {
        load_pair(&mut self.pair, state)?;
        self.base = state.f32("base", &[self.base.len()])?.to_vec();
        if !self.above.is_empty() {
            self.above = state.f32("above", &[self.above.len()])?.to_vec();
        }
        Ok(())
    }

    fn path_states(&self, v: &Batch, _: Stream) -> Result<Option<Vec<f32>>> {
        Ok(Some(v.data().to_vec()))
    }

    fn range(&self, column: usize) -> Option<[f32; 2]> {
        if K::UNITS == Units::Bits {
            return None;
        }
        // v ~ N(b + W h, 1): the inputs that bits h can give, and ten deviations.
        let n = self.pair.hidden.len();
        let w = &self.pair.w[column * n..(column + 1) * n];
        let sum = |sign: f32| w.iter().map(|w| (sign * w).max(0.0)).sum::<f32>();
        let b = self.pair.visible[column];
        Some([b - sum(-1.0) - 10.0, b + sum(1.0) + 10.0])
    }

    fn log_mass(&self, v: &Batch, _: &Scoring) -> Result<Vec<f64>> {
        let stop = Stop::current();
        let mut mass = Vec::with_capacity(v.rows());
        for v in v.data().chunks(CHUNK * v.width()) {
            stop.check()?;
            mass.extend(self.mass(v, &self.pair.up(v)));
        }
        Ok(mass)
    }

    fn summed(&self) -> Result<Option<f64>> {
        let (v, h) = (self.pair.visible.len(), self.pair.hidden.len());
        let possible =
            |n: usize, other: usize| n <= ENUMERATED && libm::exp2(n as f64) * (other as f64) <= SUMMED;
        let [b, c] = [&self.pair.visible, &self.pair.hidden]
            .map(|v| v.iter().map(|v| f64::from(*v)).collect::<Vec<_>>());
        if possible(h, v) && (h <= v || K::UNITS == Units::Normals) {
            let columns = |j: usize| (0..v).map(|i| f64::from(self.pair.w[i * h + j])).collect();
            let rows: Vec<Vec<f64>> = (0..h).map(columns).collect();
            return log_sum(&c, &rows, &|i, m| K::UNITS.log_partition(b[i], m), v).map(Some);
        }
        if possible(v, h) && K::UNITS == Units::Bits {
            let rows: Vec<Vec<f64>> =
                self.pair.w.chunks_exact(h).map(|row| row.iter().map(|w| f64::from(*w)).collect()).collect();
            return log_sum(&b, &rows, &|j, m| Units::Bits.log_partition(c[j], m), h).map(Some);
        }
        Ok(None)
    }

    fn path(&self) -> &dyn Path {
        self
    }

    fn features(&self, v: &Batch) -> Result<Batch> {
        let mut code = Batch::zeros(v.rows(), self.code_width());
        let rows = code.data_mut().chunks_mut(CHUNK * self.pair.hidden.len());
        for (code, v) in rows.zip(v.data().chunks(CHUNK * v.width())) {
            let mut p = self.pair.up(v);
            probabilities(&mut p);
            code.copy_from_slice(&p);
        }
        Ok(code)
    }

    fn code_width(&self) -> usize {
        self.pair.hidden.len()
    }

    fn filters(&self) -> Option<Batch> {
        Some(columns(&self.pair.w, self.pair.visible.len(), self.pair.hidden.len()))
    }

    fn begin(&self, count: usize, stream: Stream) -> Chains {
        Chains { visible: self.draw_base(count, stream), ..Chains::default() }
    }

    fn chains_at(&self, v: &[f32], _: Stream) -> Chains {
        Chains { visible: v.to_vec(), ..Chains::default() }
    }

    fn sweep(&self, chains: &mut Chains, stream: Stream) {
        let h = anneal_bits(&self.pair.up(&chains.visible), self.pair.hidden.len(), 1.0, &[], stream);
        chains.means = K::UNITS.means(self.pair.down(&h));
        chains.visible = K::UNITS.draw(&chains.means, Stream { stream: stream.stream + 1, ..stream });
        chains.hold();
    }
}

/// A machine that learns.
struct Contrast<'a, K> {
    machine: Restricted<K>,
    how: &'a Learning,
    /// As many training rows as there are for validation, and those.
    compared: Option<[Batch; 2]>,
    optimizer: PairOptimizer,
    /// Chains that go on: of each inverse temperature, from the machine's down to 0. None if they begin at the rows.
    chains: Vec<Vec<f32>>,
    /// Mean activity of the hidden units in the last steps, if they are drawn to a target.
    activity: Vec<f32>,
}

impl<'a, K: Kind> Contrast<'a, K> {
    fn new(machine: Restricted<K>, how: &'a Learning, seen: &TrainingRows, seed: Seed) -> Result<Self> {
        let temperatures = match how.algorithm {
            Algorithm::Contrastive | Algorithm::Exact => 0,
            Algorithm::Persistent => 1,
            Algorithm::Tempering => how.temperatures.get().max(2),
        };
        let key = seed.child("first chains").rng().bits();
        let chains =
            (0..temperatures).map(|t| machine.draw_base(how.chains.get(), streams(key, t as u64))).collect();
        let activity = match how.sparsity.get() {
            0.0 => Vec::new(),
            target => vec![target as f32; machine.pair.hidden.len()],
        };
        let compared = compared(seen, usize::MAX, seed)?;
        Ok(Self {
            optimizer: PairOptimizer::new(how, &machine.pair),
            machine,
            how,
            compared,
            chains,
            activity,
        })
    }

    /// Brings chains near a machine that has learned already, before it learns from them.
    fn settle(&mut self, key: u64) -> Result<()> {
        let stop = Stop::current();
        for t in 0..self.chains.len() {
            for sweep in 0..SETTLED {
                stop.check()?;
                let a = self.machine.pair.up(&self.chains[t]);
                let stream = streams(key, t as u64 * SETTLED + sweep);
                self.chains[t] = self.machine.renew(&a, self.beta(t), stream);
            }
        }
        Ok(())
    }

    fn beta(&self, temperature: usize) -> f32 {
        1.0 - temperature as f32 / (self.chains.len() - 1).max(1) as f32
    }

    /// Neighbours at two temperatures swap places with the probability that leaves their joint law as it is (Desjardins et al. 2010,
    /// eq. 7): pairs that begin at an even or at an odd temperature in turn.
    fn swap(&mut self, step: u64, rng: &mut Rng) {
        let width = self.machine.pair.visible.len();
        for t in ((step % 2) as usize..self.chains.len().saturating_sub(1)).step_by(2) {
            let down = [self.beta(t), self.beta(t + 1)];
            let [own, next] = [t, t + 1].map(|t| {
                let a = self.machine.pair.up(&self.chains[t]);
                self.machine.change(&self.chains[t], &a, down)
            });
            let (above, below) = self.chains.split_at_mut(t + 1);
            let rows = above[t].chunks_exact_mut(width).zip(below[0].chunks_exact_mut(width));
            for ((a, b), gain) in rows.zip(own.iter().zip(&next).map(|(a, b)| a - b)) {
                if libm::log(1.0 - rng.uniform_f64()) < gain {
                    a.swap_with_slice(b);
                }
            }
        }
    }
}

impl<K: Kind> Ascent for Contrast<'_, K> {
    fn parameters(&self) -> u64 {
        let pair = &self.machine.pair;
        (pair.w.len() + pair.visible.len() + pair.hidden.len()) as u64
    }

    fn step(&mut self, x: &Batch, at: &At, key: u64) -> Result<Figures> {
        let k = self.how.transitions(at);
        let mut data = self.machine.pair.up(x.data());
        let chain = if self.chains.is_empty() {
            let mut v = self.machine.renew(&data, 1.0, streams(key, 0));
            for sweep in 1..k {
                v = self.machine.renew(&self.machine.pair.up(&v), 1.0, streams(key, sweep));
            }
            v
        } else {
            for t in 0..self.chains.len() {
                for sweep in 0..k {
                    let a = self.machine.pair.up(&self.chains[t]);
                    let stream = streams(key, t as u64 * k + sweep);
                    self.chains[t] = self.machine.renew(&a, self.beta(t), stream);
                }
            }
            if self.chains.len() > 1 {
                self.swap(at.within, &mut Seed::from(key).child("swaps").rng());
            }
            self.chains[0].clone()
        };
        let mut model = self.machine.pair.up(&chain);
        let loss = self.machine.mean_mass(&chain, &model) - self.machine.mean_mass(x.data(), &data);
        probabilities(&mut data);
        probabilities(&mut model);
        if !self.activity.is_empty() {
            let (target, cost) = (self.how.sparsity.get() as f32, self.how.sparsity_cost.get() as f32);
            let hidden = self.activity.len();
            for (j, q) in self.activity.iter_mut().enumerate() {
                let now = data.iter().skip(j).step_by(hidden).sum::<f32>();
                *q = 0.9 * *q + 0.1 * now / x.rows() as f32;
            }
            for row in data.chunks_exact_mut(self.activity.len()) {
                row.iter_mut().zip(&self.activity).for_each(|(p, q)| *p += cost * (target - q));
            }
        }
        let (rows, pair) = (x.data(), &mut self.machine.pair);
        self.optimizer.step(pair, self.how, at, |to, rate| {
            to.add_contrast([rows, &data], [&chain, &model], rate);
        });
        Ok(Figures::from([("loss".into(), loss)]))
    }

    fn validate(&mut self) -> Result<Figures> {
        let pair = self.optimizer.kept(&self.machine.pair).clone();
        gap(&Restricted::<K>::new(pair, self.machine.base.clone()), self.compared.as_ref())
    }

    fn is_finite(&self) -> bool {
        self.machine.pair.is_finite()
    }

    fn state(&self) -> State {
        let mut state = State::default();
        state.nest("pair", pair_state(&self.machine.pair));
        state.nest("follower", self.optimizer.state());
        for (t, chains) in self.chains.iter().enumerate() {
            state.tensors.insert(format!("chains.{t}"), Tensor::f32(&[chains.len()], chains.clone()));
        }
        state.tensors.insert("activity".into(), Tensor::f32(&[self.activity.len()], self.activity.clone()));
        state
    }

    fn load(&mut self, state: &State) -> Result<()> {
        load_pair(&mut self.machine.pair, &state.nested("pair"))?;
        self.optimizer.load(&state.nested("follower"))?;
        for (t, chains) in self.chains.iter_mut().enumerate() {
            *chains = state.f32(&format!("chains.{t}"), &[chains.len()])?.to_vec();
        }
        self.activity = state.f32("activity", &[self.activity.len()])?.to_vec();
        Ok(())
    }
}

impl<K: Kind> Restricted<K> {
    /// The gradient with which contrastive divergence ascends, the difference of the mean log-masses of two sets of rows, against
    /// difference quotients.
    pub fn gradient_check(config: &K::Config, rows: &Domain, seed: Seed) -> Result<Vec<(String, f64)>> {
        let mut rng = seed.rng();
        let mut machine = Self::build(config, rows, &vec![0.2; rows.width()], &mut rng)?;
        machine.pair.w.iter_mut().for_each(|w| *w += 0.5 * rng.normal() as f32);
        machine.pair.hidden.iter_mut().for_each(|c| *c = 0.5 * rng.normal() as f32);
        let mut some = |n: usize| {
            Batch::from_fn(n, rows.width(), |_, _| match K::UNITS {
                Units::Bits => f32::from(u8::from(rng.uniform() < 0.5)),
                Units::Normals => rng.normal() as f32,
            })
        };
        let (data, chain) = (some(3), some(4));
        let mut gradient = LayerPair::zeros(rows.width(), machine.pair.hidden.len());
        let [p, q] = [machine.features(&data)?.into_data(), machine.features(&chain)?.into_data()];
        gradient.add_contrast([data.data(), &p], [chain.data(), &q], 1.0);
        let mean = |machine: &Self, x: &Batch| {
            machine.mass(x.data(), &machine.pair.up(x.data())).iter().sum::<f64>() / x.rows() as f64
        };
        let value = |pair: LayerPair| {
            let moved = Self::new(pair, machine.base.clone());
            mean(&moved, &data) - mean(&moved, &chain)
        };
        Ok(quotients(&machine.pair, &gradient, &[], &value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explicit::approximate::markov_chain::annealing::{Annealing, Partition};
    use crate::explicit::approximate::markov_chain::gaussian_rbm::Normals;
    use crate::explicit::approximate::markov_chain::rbm::Bits;
    use genus_core::config::count;
    use genus_core::math::log_sum_exp;

    fn machine<K: Kind>(visible: usize, hidden: usize, scale: f32) -> Restricted<K> {
        let rng = &mut Seed::from(3).rng();
        let mut pair = LayerPair::zeros(visible, hidden);
        for part in [&mut pair.w, &mut pair.visible, &mut pair.hidden] {
            part.iter_mut().for_each(|w| *w = scale * rng.normal() as f32);
        }
        Restricted::new(pair, (0..visible).map(|i| 0.1 * i as f32 - 0.2).collect())
    }

    fn rows(n: usize) -> Batch {
        Batch::from_fn(1 << n, n, |r, c| (r >> c & 1) as f32)
    }

    /// Energies of all joint states, added up one by one.
    #[test]
    fn summation_over_either_layer_is_that_over_both() {
        for (v, h) in [(9, 4), (4, 9), (1, 1), (8, 8), (2, 1)] {
            let m = machine::<Bits>(v, h, 0.7);
            let (vs, hs) = (rows(v), rows(h));
            let each = vs.iter().flat_map(|v| hs.iter().map(move |h| (v, h))).map(|(v, h)| {
                let dot = |a: &[f32], b: &[f32]| {
                    a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>()
                };
                let w: f64 = v
                    .iter()
                    .zip(m.pair.w.chunks_exact(h.len()))
                    .map(|(v, w)| f64::from(*v) * dot(w, h))
                    .sum();
                dot(v, &m.pair.visible) + dot(h, &m.pair.hidden) + w
            });
            let want = log_sum_exp(each.collect::<Vec<_>>());
            let got = m.summed().unwrap().unwrap();
            assert!((got - want).abs() < 1e-10, "{v} {h}: {got} {want}");
            let scored = log_sum_exp(m.log_mass(&vs, &Scoring::default()).unwrap());
            assert!((scored - want).abs() < 1e-5, "{scored} {want}");
        }
        assert!(machine::<Bits>(40, 40, 0.1).summed().unwrap().is_none());
        assert!(machine::<Normals>(4, 40, 0.1).summed().unwrap().is_none());
    }

    /// ∫ exp of the log-mass on a grid, in two dimensions.
    #[test]
    fn summation_with_normal_units_is_the_integral() {
        let m = machine::<Normals>(2, 5, 0.7);
        let (n, step) = (300, 0.08f32);
        let grid = Batch::from_fn(n * n, 2, |r, c| step * ([r / n, r % n][c] as f32 - n as f32 / 2.0));
        let want = log_sum_exp(m.log_mass(&grid, &Scoring::default()).unwrap()) + 2.0 * f64::from(step).ln();
        let got = m.summed().unwrap().unwrap();
        assert!((got - want).abs() < 1e-5, "{got} {want}");
    }

    /// Z within four standard errors either way (false alarm 6e-5 each), and the way back not below it, for both units.
    #[test]
    fn annealing_finds_the_sum() {
        fn check<K: Kind>(m: &Restricted<K>) {
            let how = Annealing { exact: false, chains: count(500), steps: count(400), back_burn_in: 200 };
            let found = Partition::estimate(m, &[], &how, Seed::from(5), &mut |_, _| ()).unwrap();
            let want = m.summed().unwrap().unwrap();
            let ratio = (found.log_z - want).exp() - 1.0;
            assert!(ratio.abs() < 4.0 * found.stderr && found.stderr < 0.05, "{found:?} {want}");
            assert!(found.back > want - 0.02 && found.back < want + 0.3, "{found:?} {want}");
            assert!(found.effective > 100.0 && found.effective <= 500.0, "{found:?}");
        }
        let m = machine::<Bits>(12, 10, 0.8);
        check(&m);
        check(&Restricted { above: (0..10).map(|j| 0.3 * j as f32 - 1.0).collect(), ..m });
        check(&machine::<Normals>(5, 8, 0.5));
    }

    /// Chains at each temperature that begin with its exact law keep it through transitions and swaps: chi-square of 8 rows below 40
    /// with 7 degrees of freedom, false alarm 1e-6 each.
    #[test]
    fn tempering_keeps_every_law() {
        let how = Learning { algorithm: Algorithm::Tempering, temperatures: count(3), ..Learning::default() };
        let m = machine::<Bits>(3, 4, 1.5);
        let all = rows(3);
        let law = |beta: f32| {
            let a = m.pair.up(all.data());
            let mass = m.change(all.data(), &a, [0.0, beta]);
            let base = m.base.clone();
            let nats: Vec<f64> = mass
                .iter()
                .zip(all.iter())
                .map(|(g, v)| g + v.iter().zip(&base).map(|(v, b)| f64::from(v * b)).sum::<f64>())
                .collect();
            let z = log_sum_exp(nats.clone());
            nats.into_iter().map(|n| (n - z).exp()).collect::<Vec<f64>>()
        };
        let n = 40_000.0;
        let seen = TrainingRows::of_rows(all.clone());
        let mut learning = Contrast::new(m.clone(), &how, &seen, Seed::from(1)).unwrap();
        for t in 0..3 {
            let law = law(learning.beta(t));
            let mut chosen: Vec<usize> = law
                .iter()
                .enumerate()
                .flat_map(|(r, p)| std::iter::repeat_n(r, (p * n).round() as usize))
                .collect();
            chosen.resize(n as usize, 0);
            // Replicas are paired by their place: any order but that of the rows.
            Seed::from(t as u64).rng().shuffle(&mut chosen);
            learning.chains[t] = all.select(&chosen).into_data();
        }
        for step in 0..4u64 {
            for t in 0..3 {
                let a = m.pair.up(&learning.chains[t]);
                learning.chains[t] = m.renew(&a, learning.beta(t), streams(9 + step, t as u64));
            }
            learning.swap(step, &mut Seed::from(20 + step).rng());
        }
        for t in 0..3 {
            let mut counts = [0.0f64; 8];
            for v in learning.chains[t].chunks_exact(3) {
                counts[(v[0] + 2.0 * v[1] + 4.0 * v[2]) as usize] += 1.0;
            }
            let chi: f64 =
                law(learning.beta(t)).iter().zip(counts).map(|(p, c)| (c - p * n).powi(2) / (p * n)).sum();
            assert!(chi < 40.0, "{t}: {chi} {counts:?}");
        }
    }
}
