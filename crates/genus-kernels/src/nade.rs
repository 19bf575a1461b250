//! The neural autoregressive density estimator (Larochelle & Murray 2011), in time O(dimensions · hidden units).
//!
//! a₁ = c; logit_d = b_d + V_d · σ(a_d); a_{d+1} = a_d + x_d W_d. A dimension that is zero changes nothing, so that the hidden
//! units are computed anew only behind the others.

use crate::{crew, multiversion, scalar};
use std::sync::OnceLock;

/// The parameters, dimensions in the order of the factorisation.
#[derive(Debug, Clone, Copy)]
pub struct Nade<'a> {
    /// Into the hidden units `[dimensions, hidden]`.
    pub w: &'a [f32],
    /// Out of the hidden units `[dimensions, hidden]`.
    pub v: &'a [f32],
    /// Biases of the logits `[dimensions]`.
    pub b: &'a [f32],
    /// Biases of the hidden units `[hidden]`.
    pub c: &'a [f32],
}

/// Gradients of [`Nade::logits`], in the shapes of the parameters.
#[derive(Debug, Clone, PartialEq)]
pub struct NadeGrads {
    /// Of W.
    pub w: Vec<f32>,
    /// Of V.
    pub v: Vec<f32>,
    /// Of b.
    pub b: Vec<f32>,
    /// Of c.
    pub c: Vec<f32>,
    /// Of the rows, if it was asked for: what a dimension does to those after it.
    pub x: Option<Vec<f32>>,
}

/// Chooses the value of a dimension, given its row, its number and its logit.
pub type Pick<'a> = &'a (dyn Fn(usize, usize, f32) -> f32 + Sync);

/// Rows that go through the dimensions side by side, so that a dimension's weights are read once for all of them.
const ROWS: usize = 10;
/// Hidden units of a job of the backward pass.
const UNITS: usize = 64;

multiversion! {
    /// h = σ(a).
    fn squash(h: &mut [f32], a: &[f32]) {
        h.iter_mut().zip(a).for_each(|(h, a)| *h = scalar::sigmoid(*a));
    }
}

multiversion! {
    /// a += x w.
    fn accumulate(a: &mut [f32], x: f32, w: &[f32]) {
        a.iter_mut().zip(w).for_each(|(a, w)| *a += x * w);
    }
}

/// Hidden units side by side in the sums of a logit.
const LANES: usize = 32;

/// The sum of all lanes and the tail, in halves.
#[inline(always)]
fn total(mut sums: [f32; LANES], tail: f32) -> f32 {
    let mut half = LANES / 2;
    while half > 0 {
        for i in 0..half {
            sums[i] += sums[i + half];
        }
        half /= 2;
    }
    sums[0] + tail
}

multiversion! {
    /// Σ v h.
    fn dot(v: &[f32], h: &[f32]) -> f32 {
        let mut sums = [0.0f32; LANES];
        let ((v32, v1), (h32, h1)) = (v.as_chunks::<LANES>(), h.as_chunks::<LANES>());
        for (v, h) in v32.iter().zip(h32) {
            for i in 0..LANES {
                sums[i] += v[i] * h[i];
            }
        }
        total(sums, v1.iter().zip(h1).map(|(v, h)| v * h).sum())
    }
}

multiversion! {
    /// a += x w, h = σ(a), and Σ v h with the bits of `dot`.
    fn advance(a: &mut [f32], h: &mut [f32], x: f32, w: &[f32], v: &[f32]) -> f32 {
        let mut sums = [0.0f32; LANES];
        let ((a32, a1), (h32, h1)) = (a.as_chunks_mut::<LANES>(), h.as_chunks_mut::<LANES>());
        let ((w32, w1), (v32, v1)) = (w.as_chunks::<LANES>(), v.as_chunks::<LANES>());
        for (((a, h), w), v) in a32.iter_mut().zip(h32).zip(w32).zip(v32) {
            for i in 0..LANES {
                a[i] += x * w[i];
                h[i] = scalar::sigmoid(a[i]);
                sums[i] += v[i] * h[i];
            }
        }
        let tail = a1.iter_mut().zip(h1).zip(w1).zip(v1).map(|(((a, h), w), v)| {
            *a += x * w;
            *h = scalar::sigmoid(*a);
            v * *h
        });
        total(sums, tail.sum())
    }
}

multiversion! {
    /// δ += t ⊙ h (1 − h), and t is empty again.
    fn through(delta: &mut [f32], t: &mut [f32], h: &[f32]) {
        for ((d, t), h) in delta.iter_mut().zip(t).zip(h) {
            *d += *t * h * (1.0 - h);
            *t = 0.0;
        }
    }
}

impl Nade<'_> {
    fn dimensions(&self) -> usize {
        let (d, h) = (self.b.len(), self.c.len());
        assert!(self.w.len() == d * h && self.v.len() == d * h, "W and V must be [{d}, {h}]");
        d
    }

    /// Walks a group of rows through the dimensions; `at(row, d, logit)` says what x_d of the row is.
    fn scan(&self, rows: usize, mut at: impl FnMut(usize, usize, f32) -> f32) {
        let n = self.c.len();
        let mut a: Vec<Vec<f32>> = (0..rows).map(|_| self.c.to_vec()).collect();
        let mut h = vec![vec![0.0; n]; rows];
        a.iter().zip(&mut h).for_each(|(a, h)| squash(h, a));
        // What came before that the hidden units have not seen yet.
        let mut news = vec![0.0; rows];
        for d in 0..self.b.len() {
            let v = &self.v[d * n..][..n];
            for (r, ((a, h), x)) in a.iter_mut().zip(&mut h).zip(&mut news).enumerate() {
                let sum = match *x {
                    0.0 => dot(v, h),
                    x => advance(a, h, x, &self.w[(d - 1) * n..][..n], v),
                };
                *x = at(r, d, self.b[d] + sum);
            }
        }
    }

    /// Logits of every dimension given those before it.
    ///
    /// # Shapes
    /// x `[rows, dimensions]` → the same
    pub fn logits(&self, x: &[f32]) -> Vec<f32> {
        let d = self.dimensions();
        let rows = x.len() / d.max(1);
        assert_eq!(x.len(), rows * d, "whole rows");
        let [logits] = crew::zeros(rows, [d], ROWS, |i, [logits]| {
            let x = &x[i * ROWS * d..][..logits.len()];
            self.scan(x.len() / d, |r, p, logit| {
                logits[r * d + p] = logit;
                x[r * d + p]
            });
        });
        logits
    }

    /// Walks through the dimensions of `x` in order and sets each to what `pick` makes of (row, dimension, logit); what it gives
    /// back may be the value that is known. The logits have the bits of one pass of [`logits`](Self::logits) per dimension.
    ///
    /// # Shapes
    /// x `[rows, dimensions]`
    pub fn sample(&self, x: &mut [f32], pick: Pick<'_>) {
        let d = self.dimensions();
        // Few rows: smaller groups, so that every thread has one.
        let group = (x.len() / d.max(1)).div_ceil(crew::threads()).clamp(1, ROWS);
        crew::rows([(x, d)], group, |i, [x]| {
            self.scan(x.len() / d, |r, p, logit| {
                let at = r * d + p;
                x[at] = pick(i * group + r, p, logit);
                x[at]
            });
        });
    }

    /// Gradients from those of the logits, exactly, by the walk in reverse.
    ///
    /// Hidden units do not meet on the way back: each job takes some of them through all rows, and no sum depends on threads.
    ///
    /// # Shapes
    /// x, dlogits `[rows, dimensions]`
    pub fn backward(&self, x: &[f32], dlogits: &[f32], want_x: bool) -> NadeGrads {
        let (d, n) = (self.dimensions(), self.c.len());
        assert_eq!(x.len(), dlogits.len(), "a gradient for every logit");
        let blocks: Vec<OnceLock<[Vec<f32>; 4]>> = (0..n.div_ceil(UNITS)).map(|_| OnceLock::new()).collect();
        crew::each(blocks.len(), &|block| {
            let units = block * UNITS..n.min((block + 1) * UNITS);
            let done = blocks[block].set(self.block_backward(x, dlogits, units, want_x));
            debug_assert!(done.is_ok(), "each job is done once");
        });
        let mut c = Vec::with_capacity(n);
        let blocks: Vec<[Vec<f32>; 4]> = blocks.into_iter().filter_map(OnceLock::into_inner).collect();
        let columns = |which: usize| {
            let [out] = crew::zeros(d, [n], 16, |i, [rows]| {
                for (p, row) in rows.chunks_exact_mut(n).enumerate() {
                    for (piece, block) in row.chunks_mut(UNITS).zip(&blocks) {
                        let m = piece.len();
                        piece.copy_from_slice(&block[which][(i * 16 + p) * m..][..m]);
                    }
                }
            });
            out
        };
        let (w, v) = (columns(0), columns(1));
        blocks.iter().for_each(|block| c.extend_from_slice(&block[2]));
        let mut b = vec![0.0; d];
        dlogits.chunks_exact(d.max(1)).for_each(|row| b.iter_mut().zip(row).for_each(|(s, g)| *s += g));
        let x = want_x.then(|| {
            let mut sum = vec![0.0; x.len()];
            blocks.iter().for_each(|block| sum.iter_mut().zip(&block[3]).for_each(|(s, g)| *s += g));
            sum
        });
        NadeGrads { w, v, b, c, x }
    }

    /// Gradients of W and V `[dimensions, units]`, of c `[units]` and, if wanted, what these units give to that of the rows.
    fn block_backward(
        &self,
        x: &[f32],
        dlogits: &[f32],
        units: std::ops::Range<usize>,
        want_x: bool,
    ) -> [Vec<f32>; 4] {
        let (d, n, m) = (self.b.len(), self.c.len(), units.len());
        let cut = |of: &[f32]| -> Vec<f32> {
            of.chunks_exact(n).flat_map(|row| row[units.clone()].iter().copied()).collect()
        };
        let (w, v, c) = (cut(self.w), cut(self.v), &self.c[units.clone()]);
        let (mut dw, mut dv, mut dc) = (vec![0.0; d * m], vec![0.0; d * m], vec![0.0; m]);
        let (mut a, mut delta, mut t) = (vec![0.0; m], vec![0.0; m], vec![0.0; m]);
        // The hidden units from the start and behind every dimension that is not zero.
        let mut h = Vec::new();
        let mut dx = vec![0.0; if want_x { x.len() } else { 0 }];
        for (r, (x, g)) in x.chunks_exact(d).zip(dlogits.chunks_exact(d)).enumerate() {
            a.copy_from_slice(c);
            h.resize(m, 0.0);
            squash(&mut h[..m], &a);
            let mut last = 0;
            for (p, x) in x.iter().enumerate().filter(|(_, x)| **x != 0.0) {
                accumulate(&mut a, *x, &w[p * m..][..m]);
                last += 1;
                h.resize((last + 1) * m, 0.0);
                squash(&mut h[last * m..][..m], &a);
            }
            delta.fill(0.0);
            for p in (0..d).rev() {
                if want_x {
                    // Behind a dimension that is zero, too, the hidden units have a slope.
                    through(&mut delta, &mut t, &h[last * m..][..m]);
                    dx[r * d + p] = dot(&w[p * m..][..m], &delta);
                }
                if x[p] != 0.0 {
                    // What lies behind this dimension has seen the hidden units `last`; those before it came with one less.
                    through(&mut delta, &mut t, &h[last * m..][..m]);
                    accumulate(&mut dw[p * m..][..m], x[p], &delta);
                    last -= 1;
                }
                accumulate(&mut t, g[p], &v[p * m..][..m]);
                accumulate(&mut dv[p * m..][..m], g[p], &h[last * m..][..m]);
            }
            through(&mut delta, &mut t, &h[..m]);
            accumulate(&mut dc, 1.0, &delta);
        }
        [dw, dv, dc, dx]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(n: usize, salt: u32) -> Vec<f32> {
        let mix = |i: u32| (i.wrapping_add(salt).wrapping_mul(2_654_435_761)) >> 8;
        (0..n as u32).map(|i| mix(mix(i)) as f32 / 8_388_608.0 - 1.0).collect()
    }

    fn bits(n: usize) -> Vec<f32> {
        values(n, 5).iter().map(|v| f32::from(u8::from(*v > 0.3))).collect()
    }

    /// The definition in f64, for parameters W, V, b, c one after the other.
    fn definition(p: &[f64], x: &[f64], d: usize, n: usize) -> Vec<f64> {
        let (w, rest) = p.split_at(d * n);
        let (v, rest) = rest.split_at(d * n);
        let (b, c) = rest.split_at(d);
        let mut logits = Vec::new();
        for x in x.chunks_exact(d) {
            for p in 0..d {
                let hidden = |j: usize| {
                    let a = c[j] + (0..p).map(|q| x[q] * w[q * n + j]).sum::<f64>();
                    1.0 / (1.0 + (-a).exp())
                };
                logits.push(b[p] + (0..n).map(|j| v[p * n + j] * hidden(j)).sum::<f64>());
            }
        }
        logits
    }

    /// Logits against the definition, every gradient against its central differences; rows of bits and of other numbers.
    #[test]
    fn value_and_gradients_against_the_definition() {
        for (rows, d, n) in [(1, 1, 1), (3, 7, 5), (12, 6, 67)] {
            let (w, v, b, c) = (values(d * n, 1), values(d * n, 2), values(d, 3), values(n, 4));
            let nade = Nade { w: &w, v: &v, b: &b, c: &c };
            let parameters: Vec<f64> =
                [&w, &v, &b, &c].into_iter().flatten().map(|v| f64::from(*v)).collect();
            for x in [bits(rows * d), values(rows * d, 6)] {
                let logits = nade.logits(&x);
                let x64: Vec<f64> = x.iter().map(|v| f64::from(*v)).collect();
                let want = definition(&parameters, &x64, d, n);
                for (l, want) in logits.iter().zip(&want) {
                    assert!((f64::from(*l) - want).abs() < 1e-5 * (1.0 + want.abs()), "{l} {want}");
                }
                let g = values(rows * d, 8);
                let grads = nade.backward(&x, &g, true);
                let mut at = parameters.clone();
                at.extend(x.iter().map(|v| f64::from(*v)));
                let parts = [grads.w, grads.v, grads.b, grads.c, grads.x.unwrap()];
                let all: Vec<f32> = parts.into_iter().flatten().collect();
                let objective = |at: &[f64]| -> f64 {
                    let (p, x) = at.split_at(parameters.len());
                    definition(p, x, d, n).iter().zip(&g).map(|(l, g)| l * f64::from(*g)).sum()
                };
                for i in (0..all.len()).step_by(1 + all.len() / 60) {
                    let side = |h: f64| {
                        let mut moved = at.clone();
                        moved[i] += h;
                        objective(&moved)
                    };
                    let want = (side(1e-5) - side(-1e-5)) / 2e-5;
                    assert!(
                        (f64::from(all[i]) - want).abs() < 2e-5 * (1.0 + want.abs()),
                        "{i}: {} {want}",
                        all[i]
                    );
                }
            }
        }
    }

    /// The same bits as one pass per dimension, also when some are given.
    #[test]
    fn samples_equal_full_passes() {
        let (rows, d, n) = (23, 11, 37);
        let (w, v, b, c) = (values(d * n, 1), values(d * n, 2), values(d, 3), values(n, 4));
        let nade = Nade { w: &w, v: &v, b: &b, c: &c };
        let u: Vec<f32> = values(rows * d, 9).iter().map(|v| 0.5 * (v + 1.0)).collect();
        for known in [0, 4] {
            let given: Vec<f32> = bits(rows * d)
                .iter()
                .enumerate()
                .map(|(i, x)| if i % d < known { *x } else { 0.0 })
                .collect();
            let mut fast = given.clone();
            nade.sample(&mut fast, &|r, p, logit| {
                let at = r * d + p;
                if p < known { given[at] } else { f32::from(u8::from(u[at] < scalar::sigmoid(logit))) }
            });
            let mut slow = given;
            for p in known..d {
                let logits = nade.logits(&slow);
                for at in (0..rows).map(|r| r * d + p) {
                    slow[at] = f32::from(u8::from(u[at] < scalar::sigmoid(logits[at])));
                }
            }
            assert!(fast == slow);
        }
    }

    #[test]
    fn same_bits_at_any_thread_count() {
        let (rows, d, n) = (31, 40, 130);
        let (w, v, b, c) = (values(d * n, 1), values(d * n, 2), values(d, 3), values(n, 4));
        let nade = Nade { w: &w, v: &v, b: &b, c: &c };
        let (x, g) = (bits(rows * d), values(rows * d, 8));
        let run = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| (nade.logits(&x), nade.backward(&x, &g, true)))
        };
        let one = run(1);
        assert!(one == run(2) && one == run(3));
    }
}
