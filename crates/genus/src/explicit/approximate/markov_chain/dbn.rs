//! # Deep belief net (DBN)
//!
//! ## What it is
//! p(v) = Σ p(v|h₁) p(h₁|h₂) … p(h_{L−1}) over layers of bits: the two top layers are a restricted Boltzmann machine,
//! p(h_{L−1}) = Σ_{h_L} exp(−E(h_{L−1}, h_L)) / Z; all layers below are directed downwards, p(x_i = 1 | h) = σ(b_i + W_i h).
//!
//! ## Density
//! A lower bound: log p(v) ≥ E_q\[log p(v, h₁ … h_{L−1}) − log q(h₁ … h_{L−1} | v)\] with h_L summed out, q the pass upwards with the same
//! weights, from one draw of q; with K draws, the tighter E log 1/K Σ p/q. log Z of the top is summed or estimated as for
//! [`Rbm`](super::rbm::Rbm), and what is then called an estimate is that of a lower bound.
//!
//! ## Trained by
//! Layer by layer, each pair as a restricted machine on draws of the layer below (Hinton, Osindero & Teh 2006). Weights upwards and
//! downwards stay tied: there is no fine-tuning.
//!
//! ## Use it when
//! Layers of binary features are wanted, or the method that revived deep learning is to be looked at.
//!
//! ## References
//! Hinton, Osindero & Teh 2006; Salakhutdinov & Murray 2008 (evaluation).
//!
//! ## Example
//! ```
//! use genus::{DeepBeliefNet, DeepBeliefNetConfig, Density as _, Family, FitContext, Seed, Silent, config, data};
//!
//! let tree = data::load("tree8", &data::Options::default())?;
//! let config: DeepBeliefNetConfig = config::from_table(&toml::from_str("hidden = [8, 8]\ntrain.epochs = 5").unwrap())?;
//! let fit = DeepBeliefNet::fit(&config, &tree, &mut FitContext::new(Seed::from(7), &mut Silent))?;
//! assert!(fit.model.log_prob(&tree.test.unwrap().x)?.mean() > -8.0 * 2f64.ln());
//! # Ok::<(), genus::Error>(())
//! ```

use super::annealing::{Annealing, Path, averaged, independent};
use super::boltzmann::Boltzmann;
use super::greedy::Greedy;
use super::learning::{Algorithm, Learning};
use super::pair_optimizer::{load_pair, pair_state};
use super::rbm::Bits;
use super::restricted::Restricted;
use super::training::{Ascent, train};
use super::{Chains, Energy, MachineConfig, columns, streams};
use crate::draws;
use crate::sampling::Sampling;
use crate::training_rows::TrainingRows;
use genus_core::config::count;
use genus_core::math::log_mean_exp;
use genus_core::train::{At, Figures};
use genus_core::transform::{Binarize, Transform};
use genus_core::{
    Batch, Capability, Domain, Error, EvidenceKind, FitContext, FitReport, ModelSpec, Reference, Result, Rng,
    Schema, Scoring, Seed, State, SupportKind, TinyFit,
};
use genus_kernels::{LayerPair, Stream, bernoulli_sample, log_mass_change, probabilities, row_products};
use serde::{Deserialize, Serialize};
use std::f64::consts::LN_2;
use std::num::NonZeroUsize;

/// A fitted deep belief net.
pub type DeepBeliefNet = Boltzmann<Belief>;

/// Registry entry.
pub static SPEC: ModelSpec = ModelSpec::new::<DeepBeliefNet>("dbn", "Deep belief net", module_path!())
    .summary("binary rows: layers of features, learned from below; bounds of the likelihood")
    .papers(&[
        Reference::new(
            "Hinton, Osindero & Teh",
            2006,
            "A Fast Learning Algorithm for Deep Belief Nets",
            "https://doi.org/10.1162/neco.2006.18.7.1527",
        ),
        Reference::new(
            "Salakhutdinov & Murray",
            2008,
            "On the Quantitative Analysis of Deep Belief Networks",
            "https://doi.org/10.1145/1390156.1390266",
        ),
    ])
    .evidence(EvidenceKind::LowerBound)
    .estimated()
    .can(&[Capability::Density, Capability::Sampler, Capability::Encoder])
    .rows(&[SupportKind::Binary, SupportKind::Discrete])
    .trained_by_steps()
    .suited(crate::suited::belief)
    .tiny_fits(&[
        TinyFit::new(
            "two layers",
            "tree8",
            "hidden = [8, 8]\n[train]\nepochs = 40\nbatch = 50\nrate = 0.2\n[sampling]\nburn_in = 100\nthin = 20\n",
        ),
        TinyFit::new(
            "three layers, contrastive, estimated",
            "tree8",
            "hidden = [8, 6, 8]\n[train]\nalgorithm = \"contrastive\"\nepochs = 40\nbatch = 50\nrate = 0.2\nema = 0.9\n[annealing]\nexact = false\nsteps = 1000\nback_burn_in = 100\n[sampling]\nburn_in = 100\nthin = 20\n",
        ),
    ]);

/// Rows of a pass while scoring.
const CHUNK: usize = 1000;

/// Hyper-parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DeepBeliefNetConfig {
    /// Hidden units of each layer, from below; two layers at least.
    pub hidden: Vec<NonZeroUsize>,
    /// How levels become bits.
    pub binarize: Binarize,
    /// Training of each pair of layers.
    pub train: Learning,
    /// Drawing.
    pub sampling: Sampling,
    /// Estimation of the log Z of the two top layers.
    pub annealing: Annealing,
}

impl Default for DeepBeliefNetConfig {
    fn default() -> Self {
        Self {
            hidden: vec![count(500), count(2000)],
            binarize: Binarize::default(),
            train: Learning::default(),
            sampling: Sampling::default(),
            annealing: Annealing::default(),
        }
    }
}

impl MachineConfig for DeepBeliefNetConfig {
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

/// Widths of hidden layers, of which there have to be two.
///
/// # Errors
/// [`Error::Config`] if there are fewer, or they would be too large.
pub(super) fn layers(hidden: &[NonZeroUsize], visible: usize) -> Result<Vec<usize>> {
    let hidden: Vec<usize> = hidden.iter().map(|h| h.get()).collect();
    if hidden.len() < 2 {
        return Err(Error::config("hidden", "two layers at least, as in [500, 2000]; for one take `rbm`"));
    }
    genus_nn::afford("hidden", &[&[&[visible], &hidden[..]].concat()])?;
    Ok(hidden)
}

/// Directed layers under a restricted machine.
#[derive(Debug, Clone)]
pub struct Belief {
    /// From below: hidden biases and weights of the way up, and the same weights with visible biases of the way down.
    directed: Vec<LayerPair>,
    top: Restricted<Bits>,
    /// Inputs with which the visible units begin a training.
    start: Vec<f32>,
}

/// Of each row of bits, its log-probability under independent units with these inputs: x·a − Σ softplus(a).
fn log_bits(x: &[f32], a: &[f32], width: usize) -> Vec<f64> {
    let rows = x.chunks_exact(width).zip(a.chunks_exact(width)).map(|(x, a)| row_products(x, a)[0]);
    let sums = log_mass_change(a, &[], width, [0.0, 1.0]);
    rows.zip(sums).map(|(own, sum)| own - sum - width as f64 * LN_2).collect()
}

impl Belief {
    /// Means of the visible units given the lower layer of the top, with further layers drawn.
    fn fall(&self, h: &[f32], stream: Stream) -> Vec<f32> {
        let mut means = h.to_vec();
        for (l, pair) in self.directed.iter().enumerate().rev() {
            let x = if l + 1 == self.directed.len() {
                means
            } else {
                bernoulli_sample(&means, Stream { stream: stream.stream + l as u64, ..stream })
            };
            means = pair.down(&x);
            probabilities(&mut means);
        }
        means
    }

    /// log p(v, h) − log q(h|v) without log Z, for one draw of the hidden units of each row by that row's generator.
    fn log_weights(&self, v: &[f32], draws: &mut [Rng]) -> Result<Vec<f64>> {
        let mut total = vec![0.0; draws.len()];
        let mut add =
            |each: Vec<f64>, sign: f64| total.iter_mut().zip(each).for_each(|(t, e)| *t += sign * e);
        let mut x = v.to_vec();
        for pair in &self.directed {
            let (lower, upper) = (pair.visible.len(), pair.hidden.len());
            let a = pair.up(&x);
            let mut h = a.clone();
            probabilities(&mut h);
            for (h, rng) in h.chunks_exact_mut(upper).zip(draws.iter_mut()) {
                h.iter_mut().for_each(|p| *p = f32::from(u8::from(rng.uniform() < *p)));
            }
            add(log_bits(&h, &a, upper), -1.0);
            add(log_bits(&x, &pair.down(&h), lower), 1.0);
            x = h;
        }
        let top = Batch::new(x, self.top.base.len())?;
        add(self.top.log_mass(&top, &Scoring::default())?, 1.0);
        Ok(total)
    }
}

impl Energy for Belief {
    type Config = DeepBeliefNetConfig;
    const HOLDS: bool = false;

    fn bound(how: &Scoring) -> String {
        let k = how.importance_samples.max(1);
        let each = if k == 1 { "one draw".into() } else { format!("{k} draws") };
        format!("mean of {} lower bounds, {each} of the hidden units by the pass upwards", draws::times(k))
    }

    fn is_drawn(_: &Scoring) -> bool {
        true
    }

    fn spec() -> &'static ModelSpec {
        &SPEC
    }

    fn build(config: &Self::Config, rows: &Domain, start: &[f32], rng: &mut Rng) -> Result<Self> {
        config.train.takes("train", &[Algorithm::Contrastive, Algorithm::Persistent])?;
        let hidden = layers(&config.hidden, rows.width())?;
        let copies = vec![[1, 1]; hidden.len()];
        let mut directed = Greedy::new(start, &hidden, &copies, &config.train, rng).kept();
        let top = directed.pop().unwrap_or_else(|| LayerPair::zeros(0, 0));
        let [base, above] = [&top.visible, &top.hidden].map(|side| vec![0.0; side.len()]);
        let mut top = Restricted::new(top, base);
        top.above = above;
        Ok(Self { directed, top, start: start.to_vec() })
    }

    fn learn(
        &mut self,
        config: &Self::Config,
        seen: &TrainingRows,
        seed: Seed,
        cx: &mut FitContext<'_>,
    ) -> Result<FitReport> {
        let how = &config.train;
        let hidden = layers(&config.hidden, self.start.len())?;
        let copies = vec![[1, 1]; hidden.len()];
        let mut greedy = Greedy::new(&self.start, &hidden, &copies, how, &mut seed.child("init").rng());
        if cx.start.is_some() {
            greedy.begin_with(self.directed.iter().chain([&self.top.pair]));
        }
        let parts = greedy.parts(how, "train");
        let mut learning = FromBelow { greedy, how };
        let report = train(&parts, seen, &mut learning, SPEC.name, seed, cx)?;
        let greedy = learning.greedy;
        let mut pairs = greedy.kept();
        let top = pairs.pop().unwrap_or_else(|| LayerPair::zeros(0, 0));
        let x = averaged(seen, seed)?;
        let h = greedy.rise(x.data(), pairs.len(), streams(seed.child("base draws").rng().bits(), 0));
        // Few of the many units of the top are 1. From as many 1 as 0, annealing comes too late to the states that matter.
        let mut above = top.up(&h);
        probabilities(&mut above);
        let (base, above) = (independent(&h, top.visible.len()), independent(&above, top.hidden.len()));
        self.top = Restricted::new(top, base);
        self.top.above = above;
        self.directed = pairs;
        Ok(report)
    }

    fn tensors(&self) -> State {
        let mut state = State::default();
        for (l, pair) in self.directed.iter().enumerate() {
            state.nest(&format!("layer{l}"), pair_state(pair));
        }
        state.nest("top", self.top.tensors());
        state
    }

    fn load(&mut self, state: &State) -> Result<()> {
        for (l, pair) in self.directed.iter_mut().enumerate() {
            load_pair(pair, &state.nested(&format!("layer{l}")))?;
        }
        self.top.load(&state.nested("top"))
    }

    fn path_states(&self, v: &Batch, stream: Stream) -> Result<Option<Vec<f32>>> {
        let mut x = v.data().to_vec();
        for (l, pair) in self.directed.iter().enumerate() {
            x = pair.up(&x);
            probabilities(&mut x);
            x = bernoulli_sample(&x, Stream { stream: stream.stream + l as u64, ..stream });
        }
        Ok(Some(x))
    }

    fn log_mass(&self, v: &Batch, how: &Scoring) -> Result<Vec<f64>> {
        let width = v.width();
        let mut mass = Vec::with_capacity(v.rows());
        for v in v.data().chunks(CHUNK * width) {
            let rows = v.chunks_exact(width);
            let mut draws: Vec<Rng> = rows.map(|row| how.seed.child("h").row(row).rng()).collect();
            let each = (0..how.importance_samples.max(1)).map(|_| self.log_weights(v, &mut draws));
            let each = each.collect::<Result<Vec<_>>>()?;
            mass.extend(
                (0..draws.len()).map(|r| log_mean_exp(&each.iter().map(|w| w[r]).collect::<Vec<f64>>())),
            );
        }
        Ok(mass)
    }

    fn summed(&self) -> Result<Option<f64>> {
        self.top.summed()
    }

    fn path(&self) -> &dyn Path {
        &self.top
    }

    fn features(&self, v: &Batch) -> Result<Batch> {
        let mut x = v.data().to_vec();
        for pair in self.directed.iter().chain([&self.top.pair]) {
            x = pair.up(&x);
            probabilities(&mut x);
        }
        let width = self.code_width();
        Ok(Batch::from_fn(v.rows(), width, |r, c| x[r * width + c]))
    }

    fn code_width(&self) -> usize {
        self.top.pair.hidden.len()
    }

    fn filters(&self) -> Option<Batch> {
        Some(columns(&self.directed[0].w, self.start.len(), self.directed[0].hidden.len()))
    }

    fn begin(&self, count: usize, stream: Stream) -> Chains {
        let hidden = self.top.draw_base(count, stream);
        let means = self.fall(&hidden, Stream { stream: stream.stream + 2, ..stream });
        let visible = bernoulli_sample(&means, Stream { stream: stream.stream + 1, ..stream });
        Chains { visible, means, hidden, held: Vec::new() }
    }

    fn chains_at(&self, v: &[f32], stream: Stream) -> Chains {
        let mut x = v.to_vec();
        for (l, pair) in self.directed.iter().enumerate() {
            x = pair.up(&x);
            probabilities(&mut x);
            x = bernoulli_sample(&x, Stream { stream: stream.stream + l as u64, ..stream });
        }
        Chains { visible: v.to_vec(), hidden: x, ..Chains::default() }
    }

    fn sweep(&self, chains: &mut Chains, stream: Stream) {
        let mut above = Chains { visible: std::mem::take(&mut chains.hidden), ..Chains::default() };
        self.top.sweep(&mut above, stream);
        chains.hidden = above.visible;
        chains.means = self.fall(&chains.hidden, Stream { stream: stream.stream + 3, ..stream });
        chains.visible = bernoulli_sample(&chains.means, Stream { stream: stream.stream + 2, ..stream });
    }
}

/// A net that learns.
struct FromBelow<'a> {
    greedy: Greedy,
    how: &'a Learning,
}

impl Ascent for FromBelow<'_> {
    fn parameters(&self) -> u64 {
        self.greedy.parameters()
    }

    fn step(&mut self, x: &Batch, at: &At, key: u64) -> Result<Figures> {
        self.greedy.step(x.data(), self.how, at, key)
    }

    fn validate(&mut self) -> Result<Figures> {
        Ok(Figures::new())
    }

    fn is_finite(&self) -> bool {
        self.greedy.is_finite()
    }

    fn state(&self) -> State {
        self.greedy.state()
    }

    fn load(&mut self, state: &State) -> Result<()> {
        self.greedy.load(state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use genus_core::math::{log_sum_exp, softplus};

    fn net() -> Belief {
        let mut rng = Seed::from(6).rng();
        let config = DeepBeliefNetConfig {
            hidden: [3, 2, 4].into_iter().filter_map(NonZeroUsize::new).collect(),
            ..DeepBeliefNetConfig::default()
        };
        let mut net = Belief::build(&config, &Domain::binary(4), &[0.2; 4], &mut rng).unwrap();
        let pairs = net.directed.iter_mut().chain([&mut net.top.pair]);
        for v in pairs.flat_map(|p| p.w.iter_mut().chain(&mut p.visible).chain(&mut p.hidden)) {
            *v = rng.normal() as f32;
        }
        net
    }

    fn rows(n: usize) -> Vec<Vec<f32>> {
        (0..1usize << n).map(|s| (0..n).map(|k| (s >> k & 1) as f32).collect()).collect()
    }

    /// log p(x|h) of bits.
    fn given(pair: &LayerPair, x: &[f32], h: &[f32]) -> f64 {
        let each = x.iter().enumerate().map(|(i, x)| {
            let w = &pair.w[i * h.len()..][..h.len()];
            let a = f64::from(pair.visible[i] + w.iter().zip(h).map(|(w, h)| w * h).sum::<f32>());
            f64::from(*x) * a - softplus(a)
        });
        each.sum()
    }

    /// log p(v) by going through the layers.
    fn law(net: &Belief) -> Vec<f64> {
        let z = net.summed().unwrap().unwrap();
        let prior = |h: &[f32]| {
            net.top.log_mass(&Batch::new(h.to_vec(), 2).unwrap(), &Scoring::default()).unwrap()[0] - z
        };
        let all = |v: &[f32]| {
            let paths =
                rows(3).into_iter().flat_map(|h1| rows(2).into_iter().map(move |h2| (h1.clone(), h2)));
            log_sum_exp(paths.map(|(h1, h2)| {
                given(&net.directed[0], v, &h1) + given(&net.directed[1], &h1, &h2) + prior(&h2)
            }))
        };
        rows(4).iter().map(|v| all(v)).collect()
    }

    /// The mean of p/q over 20,000 draws is p(v), within five standard errors (false alarm 1e-5 in all), and the laws sum to 1.
    #[test]
    fn weights_average_to_the_probability() {
        let net = net();
        let law = law(&net);
        assert!(log_sum_exp(law.clone()).abs() < 1e-5);
        let n = 20_000;
        for (v, want) in rows(4).iter().zip(&law) {
            let mut draws: Vec<Rng> = (0..n).map(|i| Seed::from(i).rng()).collect();
            let weights = net.log_weights(&v.repeat(n as usize), &mut draws).unwrap();
            let ratios: Vec<f64> =
                weights.iter().map(|w| (w - net.summed().unwrap().unwrap() - want).exp()).collect();
            let mean = ratios.iter().sum::<f64>() / n as f64;
            let spread = ratios.iter().map(|r| (r - mean).powi(2)).sum::<f64>() / n as f64;
            assert!((mean - 1.0).abs() < 5.0 * (spread / n as f64).sqrt(), "{v:?}: {mean}");
        }
    }

    /// 40,000 chains have the law after some transitions: chi-square with 15 degrees of freedom below 60, false alarm 3e-7.
    #[test]
    fn chains_draw_from_the_law() {
        let net = net();
        let mut chains = net.begin(40_000, streams(1, 0));
        (1..60).for_each(|k| net.sweep(&mut chains, streams(1, k)));
        let mut counts = [0.0f64; 16];
        for v in chains.visible.chunks_exact(4) {
            counts[(v[0] + 2.0 * v[1] + 4.0 * v[2] + 8.0 * v[3]) as usize] += 1.0;
        }
        let chi: f64 =
            law(&net).iter().zip(counts).map(|(p, c)| (c - p.exp() * 4e4).powi(2) / (p.exp() * 4e4)).sum();
        assert!(chi < 60.0, "{chi} {counts:?}");
    }
}
