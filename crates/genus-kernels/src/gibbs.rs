//! Gibbs sampling between two layers of binary units, as restricted Boltzmann machines need it.

use crate::counter::Stream;
use crate::gemm::{End, Init, Product};
use crate::isa::isa;
use crate::linear::{Activation, activate};
use crate::ones::Ones;
use crate::{Limits, Mat, crew, gemm};
use std::mem::MaybeUninit;

/// Values of a job: a multiple of 64, so that a stream can be cut there.
const BLOCK: usize = 1 << 13;

/// a = x W + b: what every unit of a layer receives from the other.
///
/// # Shapes
/// x `[rows, from]`, w `[from, to]` (a transposed view serves the way back), b `[to]` → `[rows, to]`
pub fn layer_inputs(x: &[f32], from: usize, w: Mat<'_>, b: &[f32]) -> Vec<f32> {
    product(x, from, w, b, &|_| {})
}

/// p = σ(x W + b) of every unit of a layer given the other; shapes as in [`layer_inputs`].
pub fn layer_probabilities(x: &[f32], from: usize, w: Mat<'_>, b: &[f32]) -> Vec<f32> {
    product(x, from, w, b, &|row| activate(row, Activation::Sigmoid))
}

fn product(x: &[f32], from: usize, w: Mat<'_>, b: &[f32], end: End<'_>) -> Vec<f32> {
    let rows = x.len() / from.max(1);
    let (shape, a) = ([rows, b.len(), from], Mat::rows(x, from));
    Product { isa: isa(), shape, a, b: w, limits: Limits::Dense }.make(Init::Row(b), end)
}

/// σ of every value, in place.
pub fn probabilities(a: &mut [f32]) {
    crew::chunks([a], BLOCK, |_, [a]| activate(a, Activation::Sigmoid));
}

/// 1 with probability p, else 0; value i is decided by number i of the stream.
pub fn bernoulli_sample(p: &[f32], stream: Stream) -> Vec<f32> {
    let piece = |i: usize, [out]: [&mut [MaybeUninit<f32>]; 1]| {
        stream.bernoulli(i * BLOCK, &p[i * BLOCK..][..out.len()], out);
    };
    // SAFETY: every value is decided.
    let [out] = unsafe { crew::make(p.len(), [1], BLOCK, piece) };
    out
}

/// Parameters between two layers, or a change of them.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerPair {
    /// `[visible, hidden]`
    pub w: Vec<f32>,
    /// `[visible]`
    pub visible: Vec<f32>,
    /// `[hidden]`
    pub hidden: Vec<f32>,
}

impl LayerPair {
    /// All zero.
    pub fn zeros(visible: usize, hidden: usize) -> Self {
        Self { w: vec![0.0; visible * hidden], visible: vec![0.0; visible], hidden: vec![0.0; hidden] }
    }

    /// What every hidden unit receives from visible rows: v W + c.
    ///
    /// # Shapes
    /// v `[rows, visible]` → `[rows, hidden]`
    pub fn up(&self, v: &[f32]) -> Vec<f32> {
        if let Some(ones) = Ones::detect(v, self.visible.len()) {
            return ones.sums(&self.w, &self.hidden, Limits::Dense);
        }
        layer_inputs(v, self.visible.len(), Mat::rows(&self.w, self.hidden.len()), &self.hidden)
    }

    /// What every visible unit receives from hidden rows: h Wᵀ + b.
    ///
    /// # Shapes
    /// h `[rows, hidden]` → `[rows, visible]`
    pub fn down(&self, h: &[f32]) -> Vec<f32> {
        layer_inputs(h, self.hidden.len(), Mat::rows(&self.w, self.hidden.len()).t(), &self.visible)
    }

    /// Whether every value is finite.
    pub fn is_finite(&self) -> bool {
        [&self.w, &self.visible, &self.hidden].into_iter().flatten().all(|v| v.is_finite())
    }

    /// Every value times `factor`.
    pub fn scale(&mut self, factor: f32) {
        self.each(|v| v.iter_mut().for_each(|v| *v *= factor));
    }

    /// Adds `factor` times another change to every value.
    pub fn add(&mut self, other: &Self, factor: f32) {
        let pairs =
            [(&mut self.w, &other.w), (&mut self.visible, &other.visible), (&mut self.hidden, &other.hidden)];
        for (to, from) in pairs {
            assert_eq!(to.len(), from.len(), "layers of the same sizes");
            crew::chunks([to], BLOCK, |i, [to]| {
                to.iter_mut().zip(&from[i * BLOCK..]).for_each(|(t, f)| *t += factor * f);
            });
        }
    }

    fn each(&mut self, f: impl Fn(&mut [f32]) + Sync) {
        for part in [&mut self.w, &mut self.visible, &mut self.hidden] {
            crew::chunks([part], BLOCK, |_, [part]| f(part));
        }
    }

    /// Adds `rate` times the gradient of the mean log-likelihood as contrastive divergence estimates it: ⟨v h⟩ of the data minus
    /// ⟨v h⟩ of the chain, for weights and both biases (Hinton 2002). Data and chain may have different numbers of rows; each is
    /// averaged over its own.
    ///
    /// # Shapes
    /// v `[rows, visible]`, h `[rows, hidden]`
    pub fn add_contrast(&mut self, data: [&[f32]; 2], chain: [&[f32]; 2], rate: f32) {
        let (visible, hidden) = (self.visible.len(), self.hidden.len());
        let rows = [data[0], chain[0]].map(|v| v.len() / visible.max(1));
        let factor = |part: usize| [rate, -rate][part] / rows[part].max(1) as f32;
        for (part, [v, h]) in [data, chain].into_iter().enumerate() {
            assert!(v.len() == rows[part] * visible && h.len() == rows[part] * hidden, "rows of both layers");
        }
        // Both parts are one product: the visible rows one below the other, and the hidden ones with their factors.
        let count = rows[0] + rows[1];
        let stack = |at: usize| if at < rows[0] { (0, at) } else { (1, at - rows[0]) };
        let [h] = crew::zeros(count, [hidden], 16, |i, [to]| {
            for (r, to) in to.chunks_exact_mut(hidden.max(1)).enumerate() {
                let (part, r) = stack(i * 16 + r);
                let factor = factor(part);
                to.iter_mut().zip(&[data, chain][part][1][r * hidden..]).for_each(|(t, h)| *t = factor * h);
            }
        });
        add_columns(&mut self.hidden, &h, |_| 1.0);
        match [data[0], chain[0]].map(|v| Ones::detect(v, visible)) {
            [Some(data), Some(chain)] => {
                let ones = Ones::transposed(&[data, chain], visible);
                ones.add_sums(&mut self.w, hidden, &h, Limits::Dense);
                for (i, b) in self.visible.iter_mut().enumerate() {
                    *b += ones.row(i).iter().map(|r| factor(stack(*r as usize).0)).sum::<f32>();
                }
            }
            _ => {
                let v = [data[0], chain[0]].concat();
                let (a, b) = (Mat::rows(&v, visible).t(), Mat::rows(&h, hidden));
                gemm(visible, hidden, count, a, b, &mut self.w, true, Limits::Dense);
                add_columns(&mut self.visible, &v, |r| factor(stack(r).0));
            }
        }
    }
}

/// Adds to each value the sum of its column, rows times their factors.
fn add_columns(to: &mut [f32], rows: &[f32], factor: impl Fn(usize) -> f32 + Sync) {
    const COLUMNS: usize = 128;
    let width = to.len();
    crew::chunks([to], COLUMNS, |i, [to]| {
        for (r, row) in rows.chunks_exact(width).enumerate() {
            let factor = factor(r);
            to.iter_mut().zip(&row[i * COLUMNS..]).for_each(|(t, v)| *t += factor * v);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    const V: usize = 3;
    const H: usize = 2;

    fn machine() -> ([f32; V * H], [f32; V], [f32; H]) {
        ([0.8, -0.5, 1.2, 0.3, -0.9, 0.6], [0.2, -0.4, 0.1], [-0.3, 0.5])
    }

    /// p(v) of all 8 visible rows, by summing over everything.
    fn law() -> Vec<f64> {
        let (w, b, c) = machine();
        let bit = |code: usize, i: usize| (code >> i & 1) as f64;
        let weight = |v: usize| -> f64 {
            (0..1 << H)
                .map(|h| {
                    let mut e = 0.0;
                    for i in 0..V {
                        e += bit(v, i) * f64::from(b[i]);
                        for j in 0..H {
                            e += bit(v, i) * bit(h, j) * f64::from(w[i * H + j]);
                        }
                    }
                    (e + (0..H).map(|j| bit(h, j) * f64::from(c[j])).sum::<f64>()).exp()
                })
                .sum()
        };
        let each: Vec<f64> = (0..1 << V).map(weight).collect();
        let z: f64 = each.iter().sum();
        each.into_iter().map(|v| v / z).collect()
    }

    /// 40,000 chains that start from the exact law are still distributed by it after five sweeps: chi-square with 7 degrees of
    /// freedom below 45, false alarm 1e-7.
    #[test]
    fn the_law_is_stationary() {
        let (w, b, c) = machine();
        let (law, n) = (law(), 40_000);
        let mut codes = Vec::new();
        for (code, p) in law.iter().enumerate() {
            codes.extend(std::iter::repeat_n(code, (p * n as f64).round() as usize));
        }
        let n = codes.len();
        let mut v: Vec<f32> = codes.iter().flat_map(|c| (0..V).map(move |i| (c >> i & 1) as f32)).collect();
        for sweep in 0..5u64 {
            let stream = |layer| Stream { key: 11, stream: 2 * sweep + layer };
            let h = bernoulli_sample(&layer_probabilities(&v, V, Mat::rows(&w, H), &c), stream(0));
            v = bernoulli_sample(&layer_probabilities(&h, H, Mat::rows(&w, H).t(), &b), stream(1));
        }
        let mut counts = [0.0f64; 1 << V];
        for row in v.chunks_exact(V) {
            counts[row.iter().enumerate().map(|(i, x)| (*x as usize) << i).sum::<usize>()] += 1.0;
        }
        let chi: f64 =
            counts.iter().zip(&law).map(|(c, p)| (c - p * n as f64).powi(2) / (p * n as f64)).sum();
        assert!(chi < 45.0, "{chi} {counts:?}");
    }

    #[test]
    fn gradient_is_the_difference_of_correlations() {
        let v0 = [1.0, 0.0, 1.0, 0.0, 1.0, 1.0];
        let h0 = [0.25, 0.5, 1.0, 0.75];
        let h1 = [0.5, 0.125];
        // Bits, and numbers.
        for v1 in [[1.0, 1.0, 0.0], [1.0, 0.5, 0.0]] {
            let mut g = LayerPair::zeros(V, H);
            g.add_contrast([&v0, &h0], [&v1, &h1], 2.0);
            for i in 0..V {
                for j in 0..H {
                    let data = (v0[i] * h0[j] + v0[V + i] * h0[H + j]) / 2.0;
                    assert_eq!(g.w[i * H + j], 2.0 * (data - v1[i] * h1[j]));
                }
                assert_eq!(g.visible[i], v0[i] + v0[V + i] - 2.0 * v1[i]);
            }
            assert_eq!(g.hidden, [0.25, 1.0]);
            let once = g.clone();
            g.add_contrast([&v0, &h0], [&v1, &h1], 2.0);
            assert!(g.w.iter().zip(&once.w).all(|(twice, once)| *twice == 2.0 * once));
        }
    }

    #[test]
    fn same_bits_at_any_thread_count() {
        let p: Vec<f32> = (0..100_000).map(|i| (i % 997) as f32 / 997.0).collect();
        let run = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| bernoulli_sample(&p, Stream { key: 1, stream: 2 }))
        };
        let one = run(1);
        assert!(one == run(2) && one == run(3));
        // Standard deviation of the sum is at most 158; five of them.
        let (sum, want) = (one.iter().sum::<f32>(), p.iter().sum::<f32>());
        assert!((sum - want).abs() < 800.0, "{sum} {want}");
    }
}
