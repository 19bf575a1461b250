//! Greedy training of a stack of layers: each pair of layers as a restricted machine, on draws of the layer below given the rows
//! (Hinton, Osindero & Teh 2006).

use super::learning::{Algorithm, Learning};
use super::pair_optimizer::{PairOptimizer, load_pair, pair_state};
use super::streams;
use super::training::Part;
use genus_core::train::{At, Figures};
use genus_core::{Error, Result, Rng, State, Tensor};
use genus_kernels::{LayerPair, Stream, anneal_bits, log_mass_change, probabilities, row_products};

/// A pair of layers, each of which may have a second copy of all its units, with the same weights.
#[derive(Debug, Clone)]
pub struct Layers {
    /// Parameters of one copy.
    pub pair: LayerPair,
    /// Copies of the lower and of the upper layer: 1 or 2.
    pub copies: [u64; 2],
}

/// How many of as many copies of each unit as `copies` are 1, given what each receives.
fn draw(a: &[f32], width: usize, copies: u64, stream: Stream) -> Vec<f32> {
    let mut sum = anneal_bits(a, width, 1.0, &[], stream);
    for copy in 1..copies {
        let more = anneal_bits(a, width, 1.0, &[], Stream { stream: stream.stream + copy, ..stream });
        sum.iter_mut().zip(more).for_each(|(s, m)| *s += m);
    }
    sum
}

fn times(mut x: Vec<f32>, factor: u64) -> Vec<f32> {
    if factor != 1 {
        x.iter_mut().for_each(|v| *v *= factor as f32);
    }
    x
}

impl Layers {
    /// With small random weights and lower units at these inputs.
    pub fn new(lower: &[f32], upper: usize, copies: [u64; 2], rng: &mut Rng) -> Self {
        let mut pair = LayerPair::zeros(lower.len(), upper);
        pair.w.iter_mut().for_each(|w| *w = 0.01 * rng.normal() as f32);
        pair.visible.copy_from_slice(lower);
        Self { pair, copies }
    }

    /// Mean sums of the copies of the upper units, given sums of those of the lower ones; and the mean log-mass of the latter, up to
    /// a constant.
    fn means(&self, lower: &[f32]) -> (Vec<f32>, f64) {
        let mut p = self.pair.up(lower);
        let above: f64 = log_mass_change(&p, &[], self.pair.hidden.len(), [0.0, 1.0]).iter().sum();
        let own: f64 = row_products(lower, &self.pair.visible).iter().sum();
        let rows = (lower.len() / self.pair.visible.len()) as f64;
        probabilities(&mut p);
        (times(p, self.copies[1]), (own + self.copies[1] as f64 * above) / rows)
    }

    /// Draws of one copy of the upper units given one of the lower ones.
    pub fn rise(&self, lower: &[f32], stream: Stream) -> Vec<f32> {
        let a = self.pair.up(&times(lower.to_vec(), self.copies[0]));
        draw(&a, self.pair.hidden.len(), 1, stream)
    }

    /// One transition of sums of the copies of the lower units.
    fn renew(&self, lower: &[f32], stream: Stream) -> Vec<f32> {
        let upper = draw(&self.pair.up(lower), self.pair.hidden.len(), self.copies[1], stream);
        let back = Stream { stream: stream.stream + 2, ..stream };
        draw(&self.pair.down(&upper), self.pair.visible.len(), self.copies[0], back)
    }
}

/// A stack that learns from below.
#[derive(Debug, Clone)]
pub struct Greedy {
    /// From below.
    pub layers: Vec<Layers>,
    optimizers: Vec<PairOptimizer>,
    /// Chains that go on, of the layers that learn now.
    chains: Vec<f32>,
}

impl Greedy {
    /// Layers of so many units above rows whose units have these inputs. `copies` of each pair, from below.
    pub fn new(base: &[f32], units: &[usize], copies: &[[u64; 2]], how: &Learning, rng: &mut Rng) -> Self {
        let mut lower = base.to_vec();
        let mut layers = Vec::with_capacity(units.len());
        for (upper, copies) in units.iter().zip(copies) {
            layers.push(Layers::new(&lower, *upper, *copies, rng));
            lower = vec![0.0; *upper];
        }
        let optimizers = layers.iter().map(|l| PairOptimizer::new(how, &l.pair)).collect();
        Self { layers, optimizers, chains: Vec::new() }
    }

    /// Begins with these parameters instead, from below.
    pub fn begin_with<'a>(&mut self, pairs: impl IntoIterator<Item = &'a LayerPair>) {
        for ((layers, optimizer), pair) in self.layers.iter_mut().zip(&mut self.optimizers).zip(pairs) {
            layers.pair = pair.clone();
            optimizer.begin_with(pair);
        }
    }

    /// One part for each pair of layers.
    pub fn parts<'a>(&self, how: &'a Learning, key: &'static str) -> Vec<Part<'a>> {
        (1..=self.layers.len()).map(|l| Part { name: format!("layer {l}"), how, key }).collect()
    }

    /// Draws of the lower layer of pair `at`, given rows.
    pub fn rise(&self, x: &[f32], at: usize, stream: Stream) -> Vec<f32> {
        let mut x = x.to_vec();
        for (l, layers) in self.layers[..at].iter().enumerate() {
            x = layers.rise(&x, Stream { stream: stream.stream + l as u64, ..stream });
        }
        x
    }

    /// One update of pair `at.phase`.
    pub fn step(&mut self, x: &[f32], how: &Learning, at: &At, key: u64) -> Result<Figures> {
        let l = at.phase;
        if at.within == 1 {
            self.chains = Vec::new();
        }
        let copies = self.layers[l].copies[0];
        let data = times(self.rise(x, l, streams(key, 0)), copies);
        let (layers, optimizer) = (&mut self.layers[l], &mut self.optimizers[l]);
        let mut chains = match how.algorithm {
            Algorithm::Persistent if self.chains.is_empty() => {
                let values = how.chains.get() * layers.pair.visible.len();
                data.iter().copied().cycle().take(values).collect()
            }
            Algorithm::Persistent => std::mem::take(&mut self.chains),
            _ => data.clone(),
        };
        for k in 0..how.transitions(at) {
            chains = layers.renew(&chains, streams(key, 1 + k));
        }
        let [(p, mass), (q, chain_mass)] = [&data, &chains].map(|x| layers.means(x));
        optimizer.step(&mut layers.pair, how, at, |to, rate| {
            to.add_contrast([&data, &p], [&chains, &q], rate);
        });
        self.chains = chains;
        if at.within == at.planned {
            // From now on it is a lower layer of others.
            layers.pair = optimizer.kept(&layers.pair).clone();
            *optimizer = PairOptimizer::new(how, &layers.pair);
        }
        Ok(Figures::from([("loss".into(), chain_mass - mass)]))
    }

    /// The layers as they are to be kept.
    pub fn kept(&self) -> Vec<LayerPair> {
        self.layers.iter().zip(&self.optimizers).map(|(l, f)| f.kept(&l.pair).clone()).collect()
    }

    /// Number of parameters.
    pub fn parameters(&self) -> u64 {
        let each = self.layers.iter().map(|l| l.pair.w.len() + l.pair.hidden.len());
        (each.sum::<usize>() + self.layers[0].pair.visible.len()) as u64
    }

    /// Whether all parameters are finite.
    pub fn is_finite(&self) -> bool {
        self.layers.iter().all(|l| l.pair.is_finite())
    }

    /// For a checkpoint.
    pub fn state(&self) -> State {
        let mut state = State::default();
        for (l, (layers, optimizer)) in self.layers.iter().zip(&self.optimizers).enumerate() {
            state.nest(&format!("pair{l}"), pair_state(&layers.pair));
            state.nest(&format!("follower{l}"), optimizer.state());
        }
        state.tensors.insert("chains".into(), Tensor::f32(&[self.chains.len()], self.chains.clone()));
        state
    }

    /// What [`state`](Self::state) gave.
    ///
    /// # Errors
    /// [`Error::Run`] if it does not fit.
    pub fn load(&mut self, state: &State) -> Result<()> {
        for (l, (layers, optimizer)) in self.layers.iter_mut().zip(&mut self.optimizers).enumerate() {
            load_pair(&mut layers.pair, &state.nested(&format!("pair{l}")))?;
            optimizer.load(&state.nested(&format!("follower{l}")))?;
        }
        let chains = state.tensors.get("chains").and_then(Tensor::as_f32);
        self.chains = chains.ok_or_else(|| Error::Run("the checkpoint has no chains".into()))?.to_vec();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use genus_core::Seed;

    /// Chains of pairs with copies keep the law in which the copies are units of their own: of the sums of two lower units, from exact
    /// draws, chi-square with 8 degrees of freedom below 45, false alarm 4e-7 each.
    #[test]
    fn copies_are_units_of_their_own() {
        for copies in [[1, 1], [2, 1], [1, 2], [2, 2]] {
            let mut layers = Layers::new(&[0.3, -0.4], 2, copies, &mut Seed::from(2).rng());
            layers.pair.w = vec![1.1, -0.8, 0.7, 0.5];
            layers.pair.hidden = vec![-0.5, 0.2];
            let top = copies[0] as usize + 1;
            let sums: Vec<[f32; 2]> = (0..top * top).map(|i| [(i % top) as f32, (i / top) as f32]).collect();
            let ways = |s: f32| if copies[0] == 2 && s == 1.0 { 2.0 } else { 1.0 };
            let mass = |s: &[f32; 2]| {
                let above = layers
                    .pair
                    .up(s)
                    .iter()
                    .map(|a| f64::from(1.0 + a.exp()).powi(copies[1] as i32))
                    .product::<f64>();
                ways(s[0]) * ways(s[1]) * f64::from(0.3 * s[0] - 0.4 * s[1]).exp() * above
            };
            let z: f64 = sums.iter().map(mass).sum();
            let n = 40_000.0;
            let mut x = Vec::new();
            for s in &sums {
                (0..(n * mass(s) / z).round() as usize).for_each(|_| x.extend_from_slice(s));
            }
            for k in 0..3 {
                x = layers.renew(&x, streams(5, k));
            }
            let rows = (x.len() / 2) as f64;
            let chi: f64 = sums
                .iter()
                .map(|s| {
                    let want = rows * mass(s) / z;
                    let got = x.chunks_exact(2).filter(|x| x == s).count() as f64;
                    (got - want).powi(2) / want
                })
                .sum();
            assert!(chi < 45.0, "{copies:?}: {chi}");
        }
    }
}
