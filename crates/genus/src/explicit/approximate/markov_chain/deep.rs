//! Layers of bits as a machine of two sides: the even layers and the odd ones, with one matrix between them. Mean field, bounds, and the
//! path of annealed importance sampling.

use super::annealing::{Path, independent};
use genus_core::math::{log_mean_exp, softplus};
use genus_core::{Result, Rng, Seed, Stop};
use genus_kernels::{
    LayerPair, Limits, Mat, Stream, anneal_bits, bernoulli_sample, gemm, layer_inputs, log_mass_change,
    probabilities, row_products,
};
use std::f64::consts::LN_2;

/// Mean-field updates while scoring.
pub const SCORED: usize = 50;

/// Rows whose mean field is found at once.
const AROUND: usize = 500;

/// Layers as two sides.
#[derive(Debug, Clone)]
pub struct Deep {
    /// Even layers × odd layers: `visible` are the biases of the former, `hidden` those of the latter.
    pub pair: LayerPair,
    /// Inputs of the independent even units with which annealing, and chains, begin; those of the
    /// hidden ones are 0 until [`begin_around`](Self::begin_around).
    pub base: Vec<f32>,
    /// The same of the odd units, with which annealing begins.
    pub over: Vec<f32>,
    /// Units of each layer, from below.
    pub layers: Vec<usize>,
    /// 1 where layers are neighbours, in the shape of the weights; empty if all are.
    pub mask: Vec<f32>,
}

/// Change of parameters in the direction of the bound's gradient: statistics of the rows minus those of the chains.
pub fn ascend(to: &mut LayerPair, mask: &[f32], data: [&[f32]; 2], chain: [&[f32]; 2], rate: f32) {
    to.add_contrast(data, chain, rate);
    to.w.iter_mut().zip(mask).for_each(|(w, m)| *w *= m);
}

/// Rows of the left with rows of the right behind them.
pub fn joined(left: &[f32], right: &[f32], [l, r]: [usize; 2]) -> Vec<f32> {
    if r == 0 {
        return left.to_vec();
    }
    left.chunks_exact(l).zip(right.chunks_exact(r)).flat_map(|(l, r)| l.iter().chain(r)).copied().collect()
}

/// The two of which [`joined`] makes one.
pub fn parted(x: &[f32], [l, r]: [usize; 2]) -> [Vec<f32>; 2] {
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
pub struct MeanField {
    /// Even hidden layers, `[rows, units]`.
    pub even: Vec<f32>,
    /// Odd layers.
    pub odd: Vec<f32>,
    /// What the odd layers receive from the visible units, and their biases.
    from_rows: Vec<f32>,
}

impl Deep {
    pub fn new(start: &[f32], hidden: &[usize]) -> Self {
        let layers = [&[start.len()], hidden].concat();
        let side = |odd: usize| layers.iter().skip(odd).step_by(2).sum::<usize>();
        let (even, odd) = (side(0), side(1));
        let mut base = start.to_vec();
        base.resize(even, 0.0);
        let over = vec![0.0; odd];
        let mut deep = Self { pair: LayerPair::zeros(even, odd), base, over, layers, mask: Vec::new() };
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
    pub fn place(&self, l: usize) -> std::ops::Range<usize> {
        let from: usize = self.layers[..l].iter().skip(l % 2).step_by(2).sum();
        from..from + self.layers[l]
    }

    /// Where the weights between layers `l` and `l + 1` are: rows and columns.
    fn block(&self, l: usize) -> (std::ops::Range<usize>, std::ops::Range<usize>) {
        let (even, odd) = if l.is_multiple_of(2) { (l, l + 1) } else { (l + 1, l) };
        (self.place(even), self.place(odd))
    }

    /// Visible units, and even hidden ones.
    pub fn even(&self) -> [usize; 2] {
        [self.layers[0], self.base.len() - self.layers[0]]
    }

    pub fn odd(&self) -> usize {
        self.pair.hidden.len()
    }

    /// Weights between the even hidden units and the odd ones.
    fn inner(&self) -> Mat<'_> {
        Mat::rows(&self.pair.w[self.layers[0] * self.odd()..], self.odd())
    }

    /// The machine that pairs which learned with copies of their neighbours make: what a layer received twice it now receives once
    /// from each side. Biases of a layer between two are the mean of what the pairs found.
    pub fn compose(&mut self, pairs: &[LayerPair]) {
        let last = pairs.len() - 1;
        let odd = self.odd();
        self.pair = LayerPair::zeros(self.base.len(), odd);
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
    ///
    /// # Errors
    /// [`genus_core::Error::Stopped`] if it was asked to end.
    pub fn mean_field(&self, v: &[f32], updates: usize) -> Result<MeanField> {
        let ([visible, inner], stop) = (self.even(), Stop::current());
        let (odd_width, rows) = (self.odd(), v.len() / visible);
        let from_rows = layer_inputs(v, visible, Mat::rows(&self.pair.w, odd_width), &self.pair.hidden);
        let mut odd = from_rows.clone();
        for row in odd.chunks_exact_mut(odd_width) {
            row.iter_mut().zip(&self.pair.hidden).for_each(|(a, c)| *a += *a - c);
        }
        probabilities(&mut odd);
        let mut even = Vec::new();
        for _ in 0..updates {
            stop.check()?;
            even = self.above(&odd);
            probabilities(&mut even);
            odd.copy_from_slice(&from_rows);
            let (a, b) = (Mat::rows(&even, inner), self.inner());
            gemm(rows, odd_width, inner, a, b, &mut odd, true, Limits::Dense);
            probabilities(&mut odd);
        }
        Ok(MeanField { even, odd, from_rows })
    }

    /// Annealing begins with hidden units at the means that they have given these rows, and chains with the even ones.
    ///
    /// # Errors
    /// [`genus_core::Error::Stopped`] if it was asked to end; nothing has then changed.
    pub fn begin_around(&mut self, v: &[f32]) -> Result<()> {
        let [visible, inner] = self.even();
        let (mut even, mut odd) = (Vec::new(), Vec::new());
        for rows in v.chunks(AROUND * visible) {
            let q = self.mean_field(rows, SCORED)?;
            even.extend(q.even);
            odd.extend(q.odd);
        }
        self.base.truncate(visible);
        self.base.extend(independent(&even, inner));
        self.over = independent(&odd, self.odd());
        Ok(())
    }

    /// What even hidden units receive.
    fn above(&self, odd: &[f32]) -> Vec<f32> {
        layer_inputs(odd, self.odd(), self.inner().t(), &self.pair.visible[self.layers[0]..])
    }

    /// E_q[−E] + H(q) of each row.
    pub fn bound_of(&self, v: &[f32], q: &MeanField) -> Vec<f64> {
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
    ///
    /// # Errors
    /// [`genus_core::Error::Stopped`] if it was asked to end.
    pub fn importance(&self, v: &[f32], q: &MeanField, count: usize, draws: &mut [Rng]) -> Result<Vec<f64>> {
        let stop = Stop::current();
        let [visible, inner] = self.even();
        let odd = self.odd();
        let own = row_products(v, &self.pair.visible[..visible]);
        let each: Vec<Vec<f64>> = (0..count)
            .map(|_| {
                stop.check()?;
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
                let each = rows.map(|((y, a), (rest, log_q))| {
                    row_products(y, a)[0] + rest + inner as f64 * LN_2 - log_q
                });
                Ok(each.collect())
            })
            .collect::<Result<_>>()?;
        let mean = |r: usize| log_mean_exp(&each.iter().map(|w| w[r]).collect::<Vec<f64>>());
        Ok(own.into_iter().enumerate().map(|(r, own)| own + mean(r)).collect())
    }

    /// Odd units drawn around rows, by the mean field.
    ///
    /// # Errors
    /// [`genus_core::Error::Stopped`] if it was asked to end.
    pub fn odd_around(&self, v: &[f32], stream: Stream) -> Result<Vec<f32>> {
        Ok(bernoulli_sample(&self.mean_field(v, SCORED)?.odd, stream))
    }

    pub fn renew(&self, even: &[f32], stream: Stream) -> Vec<f32> {
        let odd = anneal_bits(&self.pair.up(even), self.odd(), 1.0, &[], stream);
        let next = Stream { stream: stream.stream + 1, ..stream };
        anneal_bits(&self.pair.down(&odd), self.base.len(), 1.0, &[], next)
    }

    pub fn draw_even(&self, count: usize, stream: Stream) -> Vec<f32> {
        anneal_bits(&vec![0.0; count * self.base.len()], self.base.len(), 0.0, &self.base, stream)
    }
}

impl Path for Deep {
    fn log_z_base(&self) -> f64 {
        self.base.iter().chain(&self.over).map(|b| softplus(f64::from(*b))).sum()
    }

    fn draw_base(&self, count: usize, stream: Stream) -> Vec<f32> {
        anneal_bits(&vec![0.0; count * self.odd()], self.odd(), 0.0, &self.over, stream)
    }

    fn advance(&self, y: &mut Vec<f32>, [from, to]: [f32; 2], stream: Stream) -> Vec<f64> {
        let a = self.pair.down(y);
        let mut change = if from == to {
            vec![0.0; y.len() / self.odd()]
        } else {
            log_mass_change(&a, &self.base, self.base.len(), [from, to])
        };
        let gain: Vec<f32> = self.pair.hidden.iter().zip(&self.over).map(|(c, over)| c - over).collect();
        let own = row_products(y, &gain);
        change.iter_mut().zip(own).for_each(|(c, own)| *c += f64::from(to - from) * own);
        let [rest, above] =
            [&self.base, &self.over].map(|side| side.iter().map(|b| (1.0 - to) * b).collect::<Vec<f32>>());
        let even = anneal_bits(&a, self.base.len(), to, &rest, stream);
        let next = Stream { stream: stream.stream + 1, ..stream };
        *y = anneal_bits(&self.pair.up(&even), self.odd(), to, &above, next);
        change
    }
}

/// A machine with random parameters.
pub fn example(hidden: &[usize], seed: Seed) -> Deep {
    let mut deep = Deep::new(&[0.2; 4], hidden);
    let mut rng = seed.rng();
    let random = |v: &mut f32| *v = 0.6 * rng.normal() as f32;
    let LayerPair { w, visible, hidden } = &mut deep.pair;
    w.iter_mut().chain(visible).chain(hidden).for_each(random);
    deep.pair.w.iter_mut().zip(&deep.mask).for_each(|(w, m)| *w *= m);
    deep
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::explicit::approximate::markov_chain::Energy as _;
    use crate::explicit::approximate::markov_chain::annealing::{Annealing, Partition};
    use crate::explicit::approximate::markov_chain::rbm::Bits;
    use crate::explicit::approximate::markov_chain::restricted::Restricted;
    use genus_core::config::count;
    use genus_core::math::log_sum_exp;
    use genus_core::{Batch, Scoring};

    pub fn rows(n: usize) -> Vec<f32> {
        (0..1usize << n).flat_map(|s| (0..n).map(move |k| (s >> k & 1) as f32)).collect()
    }

    /// log Σ_h exp(−E) of each of the 16 visible rows, by going through all states of all layers in turn.
    pub fn masses(deep: &Deep) -> Vec<f64> {
        let [visible, inner] = deep.even();
        rows(visible)
            .chunks_exact(visible)
            .map(|v| {
                let rest: Vec<f32> =
                    rows(inner).chunks_exact(inner).flat_map(|h| v.iter().chain(h).copied()).collect();
                let whole = Restricted::<Bits>::new(deep.pair.clone(), deep.base.clone());
                log_sum_exp(
                    whole.log_mass(&Batch::new(rest, visible + inner).unwrap(), &Scoring::default()).unwrap(),
                )
            })
            .collect()
    }

    /// Layers see only their neighbours: v with 2 hidden layers against a loop over both, from the pairs themselves.
    #[test]
    fn pairs_compose_to_one_energy() {
        let mut rng = Seed::from(9).rng();
        let mut random = |v: usize, h: usize| {
            let mut pair = LayerPair::zeros(v, h);
            let LayerPair { w, visible, hidden } = &mut pair;
            w.iter_mut().chain(visible).chain(hidden).for_each(|v| *v = rng.normal() as f32);
            pair
        };
        let pairs = [random(2, 3), random(3, 2), random(2, 1)];
        let mut deep = Deep::new(&[0.1, 0.2], &[3, 2, 1]);
        deep.compose(&pairs);
        let dot = |x: &[f32], b: &[f32], share: f32| {
            f64::from(share * x.iter().zip(b).map(|(x, b)| x * b).sum::<f32>())
        };
        let product = |x: &[f32], pair: &LayerPair, y: &[f32]| -> f64 {
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
            assert!((log_sum_exp(want.clone()) - deep.summed().unwrap().unwrap()).abs() < 1e-5);
            let q = deep.mean_field(&all, SCORED).unwrap();
            for (bound, want) in deep.bound_of(&all, &q).iter().zip(&want) {
                assert!(*bound < want + 1e-5 && *bound > want - 1.0, "{bound} {want}");
            }
            let n = 20_000u64;
            for (v, want) in all.chunks_exact(4).zip(&want) {
                let rows = v.repeat(n as usize);
                let mut draws: Vec<Rng> = (0..n).map(|i| Seed::from(i).rng()).collect();
                let weights =
                    deep.importance(&rows, &deep.mean_field(&rows, SCORED).unwrap(), 1, &mut draws).unwrap();
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
            let found = Partition::estimate(&deep, &[], &how, Seed::from(5), &mut |_, _| ()).unwrap();
            let want = deep.summed().unwrap().unwrap();
            assert!(
                ((found.log_z - want).exp() - 1.0).abs() < 4.0 * found.stderr && found.stderr < 0.05,
                "{found:?} {want}"
            );
            assert!(found.back > want - 0.02 && found.back < want + 0.3, "{found:?} {want}");
            let v = rows(deep.layers[0]).repeat(20);
            let odd = deep.odd_around(&v, Stream { key: 9, stream: 0 }).unwrap();
            let found = Partition::estimate(&deep, &odd, &how, Seed::from(5), &mut |_, _| ()).unwrap();
            assert!(found.rows > want - 0.03 && found.rows < want + 0.3, "{found:?} {want}");
        }
    }
    /// Two states of all units that exclude each other: the first layer and the rows on and the second layer off, or the other way round,
    /// which has more states but less mass by far. Annealing that begins with the second layer at random ends in the latter.
    #[test]
    fn annealing_begins_where_the_rows_are() {
        let (visible, first, second) = (6, 8, 60);
        let mut deep = Deep::new(&vec![3.0; visible], &[first, second]);
        let odd = deep.odd();
        deep.pair.w.iter_mut().enumerate().for_each(|(i, w)| *w = if i < visible * odd { 2.5 } else { -2.0 });
        deep.pair.visible[..visible].fill(-2.0);
        deep.pair.visible[visible..].fill(-0.5);
        deep.pair.hidden.fill(-5.0);
        let how = Annealing { exact: false, chains: count(100), steps: count(500), back_burn_in: 0 };
        let want = deep.summed().unwrap().unwrap();
        let random = Partition::estimate(&deep, &[], &how, Seed::from(5), &mut |_, _| ()).unwrap().log_z;
        assert!(random < want - 5.0, "{random} {want}: there are no two states");
        // Both ways from there miss the other state; the way back from the rows shows it.
        let rows = deep.odd_around(&vec![1.0; 50 * visible], Stream { key: 7, stream: 0 }).unwrap();
        let both = Annealing { back_burn_in: 50, ..how };
        let found = Partition::estimate(&deep, &rows, &both, Seed::from(5), &mut |_, _| ()).unwrap();
        assert!(found.back < want - 5.0 && found.rows > want - 1.0, "{found:?} {want}");
        assert!(found.doubt(&both).is_some_and(|d| d.contains("from training rows")));
        deep.begin_around(&vec![1.0; 1000 * visible]).unwrap();
        let found = Partition::estimate(&deep, &[], &how, Seed::from(5), &mut |_, _| ()).unwrap();
        // Four standard errors, false alarm 6e-5.
        assert!(
            ((found.log_z - want).exp() - 1.0).abs() < 4.0 * found.stderr && found.stderr < 0.2,
            "{found:?} {want}"
        );
    }
}
