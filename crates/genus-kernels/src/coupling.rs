//! Affine coupling layers of normalising flows, each with its network as one operation (Dinh, Sohl-Dickstein & Bengio 2017).
//!
//! y_kept = x_kept; y_moved = x_moved ⊙ e^s + t with s = c ⊙ tanh(raw) and (raw, t) = net(x_kept). log |det ∂y/∂x| = Σ s.
//!
//! Networks of couplings on a few dimensions are so small that a layer of its own would cost more in handing over than in
//! arithmetic. Rows go through the whole coupling block by block.

use crate::gemm::{Init, Product};
use crate::isa::{Isa, isa, narrow};
use crate::linear::{Activation, activate, slope};
use crate::{Limits, Mat, crew, multiversion, scalar};
use std::sync::OnceLock;

/// Which dimensions a coupling keeps and which it moves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coupling {
    /// Dimensions that the network sees and that stay as they are.
    pub kept: Vec<usize>,
    /// Dimensions that are scaled and shifted.
    pub moved: Vec<usize>,
    /// The function of the hidden units.
    pub act: Activation,
}

/// The parameters: layers from the kept dimensions to twice the moved ones, and a factor per moved dimension.
#[derive(Debug, Clone)]
pub struct CouplingNet<'a> {
    /// Weights `[inputs, outputs]` and bias of each layer; the last one gives raw, then t.
    pub layers: Vec<(&'a [f32], &'a [f32])>,
    /// c `[moved]`, the largest |s|.
    pub scale: &'a [f32],
}

/// Gradients of [`Coupling::forward`].
#[derive(Debug, Clone, PartialEq)]
pub struct CouplingGrads {
    /// With respect to the rows and the log-determinant that they came with.
    pub x: Vec<f32>,
    /// With respect to weights and bias of each layer.
    pub layers: Vec<(Vec<f32>, Vec<f32>)>,
    /// With respect to c.
    pub scale: Vec<f32>,
}

/// Rows of a block.
const ROWS: usize = 64;
/// So few columns would leave most of a tile empty.
const FEW: usize = 4;

/// The tiles for results of so many columns, from rows whose values are adjacent.
fn tiles(columns: usize) -> &'static Isa {
    if columns <= FEW { narrow() } else { isa() }
}

multiversion! {
    /// y = x e^s + t, s = c tanh(raw); tanh(raw) and e^s stay in `kept`; the result is Σ s.
    fn move_row(y: &mut [f32], x: &[f32], out: &[f32], scale: &[f32], kept: &mut [f32]) -> f32 {
        let (raw, shift) = out.split_at(scale.len());
        let (squashed, grown) = kept.split_at_mut(scale.len());
        let mut sum = 0.0;
        for i in 0..scale.len() {
            squashed[i] = scalar::tanh(raw[i]);
            let s = scale[i] * squashed[i];
            grown[i] = scalar::exp(s);
            y[i] = x[i] * grown[i] + shift[i];
            sum += s;
        }
        sum
    }
}

impl Coupling {
    /// Dimensions of a row.
    pub fn dimensions(&self) -> usize {
        self.kept.len() + self.moved.len()
    }

    fn check(&self, values: usize, net: &CouplingNet<'_>) {
        assert_eq!(values % (self.dimensions() + 1), 0, "rows of all dimensions and a log-determinant");
        assert_eq!(net.scale.len(), self.moved.len(), "a factor for each moved dimension");
        let mut from = self.kept.len();
        for (w, b) in &net.layers {
            assert_eq!(w.len(), from * b.len(), "weights [{from}, {}]", b.len());
            from = b.len();
        }
        assert_eq!(from, 2 * self.moved.len(), "the network gives two values for each moved dimension");
    }

    /// Values per row that the backward pass needs: hidden units, tanh(raw), e^s.
    fn memory(&self, net: &CouplingNet<'_>) -> usize {
        net.layers.iter().map(|(_, b)| b.len()).sum()
    }

    fn seen(&self, x: &[f32]) -> Vec<f32> {
        let mut seen = Vec::with_capacity(x.len());
        x.chunks_exact(self.dimensions() + 1).for_each(|x| seen.extend(self.kept.iter().map(|d| x[*d])));
        seen
    }

    /// The network on a block of rows. `kept` is filled with the hidden units, layer after layer, and ends with room for the
    /// output, which is returned.
    fn network<'k>(&self, seen: &[f32], net: &CouplingNet<'_>, kept: &'k mut [f32]) -> &'k mut [f32] {
        let rows = seen.len() / self.kept.len().max(1);
        let (mut below, mut rest) = (seen, kept);
        for (l, (w, b)) in net.layers.iter().enumerate() {
            let (here, later) = rest.split_at_mut(rows * b.len());
            let act = if l + 1 == net.layers.len() { Activation::Identity } else { self.act };
            let (a, w) = (Mat::rows(below, below.len() / rows), Mat::rows(w, b.len()));
            let shape = [rows, b.len(), below.len() / rows];
            Product { isa: tiles(b.len()), shape, a, b: w, limits: Limits::Dense }
                .run_here(here, Init::Row(b));
            activate(here, act);
            if later.is_empty() {
                return here;
            }
            (below, rest) = (here, later);
        }
        unreachable!("a network has layers, and the last one fills the rest")
    }

    /// Moves rows, and adds Σ s to their log-determinants. The second result is what [`backward`](Self::backward) needs.
    ///
    /// # Shapes
    /// x `[rows, dimensions + 1]`, the last column being the log-determinant so far → the same
    pub fn forward(&self, x: &[f32], net: &CouplingNet<'_>) -> (Vec<f32>, Vec<f32>) {
        self.check(x.len(), net);
        let (width, memory) = (self.dimensions() + 1, self.memory(net));
        let m = self.moved.len();
        let [y, kept] = crew::zeros(x.len() / width, [width, memory], ROWS, |i, [y, kept]| {
            y.copy_from_slice(&x[i * ROWS * width..][..y.len()]);
            let out = self.network(&self.seen(y), net, kept);
            let (mut from, mut to, mut memory) = (vec![0.0; m], vec![0.0; m], vec![0.0; 2 * m]);
            for (y, out) in y.chunks_exact_mut(width).zip(out.chunks_exact_mut(2 * m)) {
                from.iter_mut().zip(&self.moved).for_each(|(v, d)| *v = y[*d]);
                y[width - 1] += move_row(&mut to, &from, out, net.scale, &mut memory);
                to.iter().zip(&self.moved).for_each(|(v, d)| y[*d] = *v);
                out.copy_from_slice(&memory);
            }
        });
        (y, kept)
    }

    /// The rows that [`forward`](Self::forward) moves to `y`; Σ s leaves the log-determinants.
    ///
    /// # Shapes
    /// As [`forward`](Self::forward).
    pub fn inverse(&self, y: &[f32], net: &CouplingNet<'_>) -> Vec<f32> {
        self.check(y.len(), net);
        let (width, memory) = (self.dimensions() + 1, self.memory(net));
        let m = self.moved.len();
        let mut x = y.to_vec();
        crew::rows([(&mut x, width)], ROWS, |_, [x]| {
            let mut kept = vec![0.0; x.len() / width * memory];
            let out = self.network(&self.seen(x), net, &mut kept);
            for (x, out) in x.chunks_exact_mut(width).zip(out.chunks_exact(2 * m)) {
                for (i, d) in self.moved.iter().enumerate() {
                    let s = net.scale[i] * scalar::tanh(out[i]);
                    x[*d] = (x[*d] - out[m + i]) * scalar::exp(-s);
                    x[width - 1] -= s;
                }
            }
        });
        x
    }

    /// Gradients from those of the result; `kept` is what [`forward`](Self::forward) left.
    pub fn backward(&self, x: &[f32], net: &CouplingNet<'_>, kept: &[f32], dy: Vec<f32>) -> CouplingGrads {
        self.check(x.len(), net);
        let (width, memory) = (self.dimensions() + 1, self.memory(net));
        let mut dx = dy;
        let blocks = (x.len() / width).div_ceil(ROWS);
        let partial: Vec<OnceLock<CouplingGrads>> = (0..blocks).map(|_| OnceLock::new()).collect();
        crew::rows([(&mut dx, width)], ROWS, |i, [dx]| {
            let rows = dx.len() / width;
            let x = &x[i * ROWS * width..][..dx.len()];
            let done =
                partial[i].set(self.block_backward(x, net, &kept[i * ROWS * memory..][..rows * memory], dx));
            debug_assert!(done.is_ok(), "each job is done once");
        });
        let mut parts = partial.into_iter().filter_map(OnceLock::into_inner);
        let zeros = |n: usize| vec![0.0; n];
        let mut sum = parts.next().unwrap_or_else(|| CouplingGrads {
            x: Vec::new(),
            layers: net.layers.iter().map(|(w, b)| (zeros(w.len()), zeros(b.len()))).collect(),
            scale: zeros(net.scale.len()),
        });
        sum.x = dx;
        let add = |to: &mut [f32], v: &[f32]| to.iter_mut().zip(v).for_each(|(s, v)| *s += v);
        for part in parts {
            for ((dw, db), (w, b)) in sum.layers.iter_mut().zip(&part.layers) {
                add(dw, w);
                add(db, b);
            }
            add(&mut sum.scale, &part.scale);
        }
        sum
    }

    /// The parameters' gradients of one block of rows; `dx` holds the gradient of the result and becomes that of the rows.
    fn block_backward(
        &self,
        x: &[f32],
        net: &CouplingNet<'_>,
        kept: &[f32],
        dx: &mut [f32],
    ) -> CouplingGrads {
        let (width, m) = (self.dimensions() + 1, self.moved.len());
        let rows = x.len() / width;
        let seen = self.seen(x);
        // What each layer saw, and at last what the forward pass kept in place of the output.
        let mut values = vec![&seen[..]];
        let mut rest = kept;
        for (_, b) in &net.layers {
            let (here, later) = rest.split_at(rows * b.len());
            values.push(here);
            rest = later;
        }
        let mut dscale = vec![0.0; m];
        let mut grad = vec![0.0; rows * 2 * m];
        let last = values[net.layers.len()];
        for (r, (dx, grad)) in dx.chunks_exact_mut(width).zip(grad.chunks_exact_mut(2 * m)).enumerate() {
            let (squashed, grown) = last[r * 2 * m..(r + 1) * 2 * m].split_at(m);
            for (i, d) in self.moved.iter().enumerate() {
                let ds = dx[*d] * x[r * width + d] * grown[i] + dx[width - 1];
                dscale[i] += ds * squashed[i];
                grad[i] = ds * net.scale[i] * (1.0 - squashed[i] * squashed[i]);
                grad[m + i] = dx[*d];
                dx[*d] *= grown[i];
            }
        }
        let mut layers = Vec::with_capacity(net.layers.len());
        for (l, (w, b)) in net.layers.iter().enumerate().rev() {
            let (below, n) = (values[l], b.len());
            let k = w.len() / n;
            let mut dw = vec![0.0; k * n];
            let product = |isa, shape, a, b, c: &mut [f32]| {
                Product { isa, shape, a, b, limits: Limits::Dense }.run_here(c, Init::Zero);
            };
            let (ins, outs) = (Mat::rows(below, k), Mat::rows(&grad, n));
            if n <= FEW {
                let mut columns = vec![0.0; k * n];
                product(isa(), [n, k, rows], outs.t(), ins, &mut columns);
                dw.iter_mut().enumerate().for_each(|(i, w)| *w = columns[i % n * k + i / n]);
            } else {
                product(isa(), [k, n, rows], ins.t(), outs, &mut dw);
            }
            let mut db = vec![0.0; n];
            grad.chunks_exact(n).for_each(|row| db.iter_mut().zip(row).for_each(|(s, g)| *s += g));
            let mut dbelow = vec![0.0; rows * k];
            product(tiles(k), [rows, k, n], outs, Mat::rows(w, n).t(), &mut dbelow);
            if l > 0 {
                slope(&mut dbelow, below, self.act);
            }
            layers.push((dw, db));
            grad = dbelow;
        }
        layers.reverse();
        for (dx, g) in dx.chunks_exact_mut(width).zip(grad.chunks_exact(self.kept.len().max(1))) {
            self.kept.iter().zip(g).for_each(|(d, g)| dx[*d] += g);
        }
        CouplingGrads { x: Vec::new(), layers, scale: dscale }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wave(n: usize, s: f32) -> Vec<f32> {
        (0..n).map(|i| 0.8 * ((i as f32 + s) * 1.7).sin()).collect()
    }

    /// Parameters one after the other: W and b of each layer, then c.
    fn net<'a>(widths: &[usize], m: usize, p: &'a [f32]) -> CouplingNet<'a> {
        let mut rest = p;
        let mut cut = |n: usize| {
            let (here, later) = rest.split_at(n);
            rest = later;
            here
        };
        let layers = widths.windows(2).map(|w| (cut(w[0] * w[1]), cut(w[1]))).collect();
        CouplingNet { layers, scale: cut(m) }
    }

    /// Σ out · weight in f64, by the definition.
    fn definition(c: &Coupling, widths: &[usize], p: &[f64], x: &[f64], weight: &[f32]) -> f64 {
        let (d, m) = (c.dimensions(), c.moved.len());
        let mut total = 0.0;
        for (x, weight) in x.chunks_exact(d + 1).zip(weight.chunks_exact(d + 1)) {
            let mut h: Vec<f64> = c.kept.iter().map(|k| x[*k]).collect();
            let mut at = 0;
            for (l, w) in widths.windows(2).enumerate() {
                let out = (0..w[1]).map(|o| {
                    let a =
                        p[at + w[0] * w[1] + o] + (0..w[0]).map(|i| h[i] * p[at + i * w[1] + o]).sum::<f64>();
                    if l + 2 == widths.len() { a } else { a.tanh() }
                });
                let out: Vec<f64> = out.collect();
                at += (w[0] + 1) * w[1];
                h = out;
            }
            let mut y = x.to_vec();
            for (i, k) in c.moved.iter().enumerate() {
                let s = p[at + i] * h[i].tanh();
                y[*k] = x[*k] * s.exp() + h[m + i];
                y[d] += s;
            }
            total += y.iter().zip(weight).map(|(y, w)| y * f64::from(*w)).sum::<f64>();
        }
        total
    }

    /// Values and every gradient against the definition and its central differences; the inverse brings the rows back.
    #[test]
    fn follows_the_definition() {
        for (rows, kept, moved, hidden) in [
            (1, vec![0], vec![1], vec![3]),
            (5, vec![2, 0], vec![1, 4, 3], vec![7, 5]),
            (70, vec![1], vec![0], vec![]),
        ] {
            let c = Coupling { kept, moved, act: Activation::Tanh };
            let (d, m) = (c.dimensions(), c.moved.len());
            let widths: Vec<usize> = [c.kept.len()].into_iter().chain(hidden).chain([2 * m]).collect();
            let count = widths.windows(2).map(|w| (w[0] + 1) * w[1]).sum::<usize>() + m;
            let (p, x, dy) = (wave(count, 0.4), wave(rows * (d + 1), 1.3), wave(rows * (d + 1), 2.6));
            let net = net(&widths, m, &p);
            let (y, memory) = c.forward(&x, &net);
            let wide = |v: &[f32]| v.iter().map(|v| f64::from(*v)).collect::<Vec<f64>>();
            let (p64, x64) = (wide(&p), wide(&x));
            let value: f64 = y.iter().zip(&dy).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
            let want = definition(&c, &widths, &p64, &x64, &dy);
            assert!((value - want).abs() < 1e-5 * (1.0 + want.abs()), "{value} {want}");
            for (a, b) in c.inverse(&y, &net).iter().zip(&x) {
                assert!((a - b).abs() < 2e-6, "{a} {b}");
            }
            let g = c.backward(&x, &net, &memory, dy.clone());
            let found: Vec<f32> =
                g.layers.iter().flat_map(|(w, b)| [w, b]).flatten().chain(&g.scale).copied().collect();
            let check = |name: &str, i: usize, found: f32, at: &dyn Fn(f64) -> f64| {
                let want = (at(1e-5) - at(-1e-5)) / 2e-5;
                assert!(
                    (f64::from(found) - want).abs() < 3e-5 * (1.0 + want.abs()),
                    "{name} {i}: {found} {want}"
                );
            };
            for i in 0..count {
                check("p", i, found[i], &|h| {
                    let mut p = p64.clone();
                    p[i] += h;
                    definition(&c, &widths, &p, &x64, &dy)
                });
            }
            for i in 0..x.len() {
                check("x", i, g.x[i], &|h| {
                    let mut x = x64.clone();
                    x[i] += h;
                    definition(&c, &widths, &p64, &x, &dy)
                });
            }
        }
    }

    #[test]
    fn same_bits_at_any_thread_count() {
        let c = Coupling { kept: vec![0, 2], moved: vec![1], act: Activation::Relu };
        let widths = [2, 33, 2];
        let p = wave(2 * 33 + 33 + 66 + 2 + 1, 0.2);
        let (x, dy) = (wave(300 * 4, 0.9), wave(300 * 4, 0.1));
        let run = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let net = net(&widths, 1, &p);
                let (y, kept) = c.forward(&x, &net);
                let g = c.backward(&x, &net, &kept, dy.clone());
                (y, g)
            })
        };
        let one = run(1);
        assert!(one == run(2) && one == run(3));
    }
}
