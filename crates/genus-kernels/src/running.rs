//! Hidden units that take in one dimension after the other: a₁ = c, h_d = max(0, ρ_d a_d), a_{d+1} = a_d + x_d W_d.

use crate::{crew, multiversion};
use std::mem::MaybeUninit;

/// Rows of a job.
const BLOCK: usize = 4;

/// W `[dimensions, hidden]`, c `[hidden]`, ρ `[dimensions]`.
#[derive(Debug, Clone, Copy)]
pub struct Running<'a> {
    /// What a dimension adds to the units.
    pub w: &'a [f32],
    /// What the units begin with.
    pub c: &'a [f32],
    /// Scale of the units at each dimension.
    pub rho: &'a [f32],
}

/// Gradients of [`Running::hidden`], in the shapes of its operands.
#[derive(Debug)]
pub struct RunningGrads {
    /// With respect to W.
    pub w: Vec<f32>,
    /// With respect to c.
    pub c: Vec<f32>,
    /// With respect to ρ.
    pub rho: Vec<f32>,
    /// With respect to x, if it was asked for.
    pub x: Option<Vec<f32>>,
}

impl Running<'_> {
    fn check(&self, x: &[f32]) -> [usize; 2] {
        let (d, hidden) = (self.rho.len(), self.c.len());
        assert!(self.w.len() == d * hidden && x.len().is_multiple_of(d.max(1)), "W by dimensions and units");
        [d, hidden]
    }

    /// h of each row and dimension.
    ///
    /// # Shapes
    /// x `[rows, dimensions]` → `[rows, dimensions, hidden]`
    pub fn hidden(&self, x: &[f32]) -> Vec<f32> {
        let [d, hidden] = self.check(x);
        let piece = |i: usize, [h]: [&mut [MaybeUninit<f32>]; 1]| {
            let mut a = vec![0.0; hidden];
            for (r, h) in h.chunks_exact_mut(d * hidden).enumerate() {
                a.copy_from_slice(self.c);
                let x = &x[(i * BLOCK + r) * d..][..d];
                for (p, h) in h.chunks_exact_mut(hidden).enumerate() {
                    place(&mut a, h, &self.w[p * hidden..][..hidden], x[p], self.rho[p]);
                }
            }
        };
        // SAFETY: every place of every row is written.
        let [h] = unsafe { crew::make(x.len() / d.max(1), [d * hidden], BLOCK, piece) };
        h
    }

    /// Gradients from that of h.
    pub fn backward(&self, x: &[f32], grad: &[f32], want_x: bool) -> RunningGrads {
        let [d, hidden] = self.check(x);
        let rows = x.len() / d.max(1);
        assert_eq!(grad.len(), x.len() * hidden, "a gradient for every unit");
        // What reaches a after each dimension, and each row's part of the other gradients.
        let widths = [d * hidden, hidden, d, d];
        let piece = |i: usize, [after, dc, drho, dx]: [&mut [MaybeUninit<f32>]; 4]| {
            let [dc, drho, dx] = [dc, drho, dx].map(crew::zeroed);
            for (r, after) in after.chunks_exact_mut(d * hidden).enumerate() {
                let row = i * BLOCK + r;
                let x = &x[row * d..][..d];
                let grad = &grad[row * d * hidden..][..d * hidden];
                // The values of a, whose places their gradients then take.
                let mut a = self.c.to_vec();
                for (p, after) in after.chunks_exact_mut(hidden).enumerate() {
                    after.write_copy_of_slice(&a);
                    let w = &self.w[p * hidden..][..hidden];
                    a.iter_mut().zip(w).for_each(|(a, w)| *a += x[p] * w);
                }
                // SAFETY: the values of each place were just written.
                let after = unsafe { after.assume_init_mut() };
                let g = &mut dc[r * hidden..][..hidden];
                for p in (0..d).rev() {
                    let (w, after) = (&self.w[p * hidden..][..hidden], &mut after[p * hidden..][..hidden]);
                    let grad = &grad[p * hidden..][..hidden];
                    [drho[r * d + p], dx[r * d + p]] = place_backward(g, after, grad, w, self.rho[p]);
                }
            }
        };
        // SAFETY: every place of every row is written, and the smaller gradients begin as zeros.
        let [after, dc, drho, dx] = unsafe { crew::make(rows, widths, BLOCK, piece) };
        let mut w = vec![0.0; d * hidden];
        crew::rows([(&mut w, hidden)], 1, |p, [w]| {
            for row in 0..rows {
                let (v, g) = (x[row * d + p], &after[(row * d + p) * hidden..][..hidden]);
                w.iter_mut().zip(g).for_each(|(w, g)| *w += v * g);
            }
        });
        let sum = |of: &[f32], n: usize| {
            let mut sum = vec![0.0; n];
            of.chunks_exact(n.max(1)).for_each(|row| sum.iter_mut().zip(row).for_each(|(s, v)| *s += v));
            sum
        };
        RunningGrads { w, c: sum(&dc, hidden), rho: sum(&drho, d), x: want_x.then_some(dx) }
    }
}

multiversion! {
    /// Writes all of `h`, which is as long as the others.
    fn place(a: &mut [f32], h: &mut [MaybeUninit<f32>], w: &[f32], x: f32, rho: f32) {
        for ((a, h), w) in a.iter_mut().zip(h).zip(w) {
            h.write((rho * *a).max(0.0));
            *a += x * w;
        }
    }
}

multiversion! {
    /// From the gradient `g` of a behind a place to that before it; `after` holds a and then `g`. Gradients of ρ and x.
    fn place_backward(g: &mut [f32], after: &mut [f32], grad: &[f32], w: &[f32], rho: f32) -> [f32; 2] {
        let (mut drho, mut dx) = (0.0, 0.0);
        for (((g, after), grad), w) in g.iter_mut().zip(after).zip(grad).zip(w) {
            let a = *after;
            dx += *g * w;
            *after = *g;
            let open = if rho * a > 0.0 { *grad } else { 0.0 };
            drho += open * a;
            *g += open * rho;
        }
        [drho, dx]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The definition in f64, and gradients against its central differences.
    #[test]
    fn value_and_gradients_against_f64() {
        let wave = |n: usize, s: f32| -> Vec<f32> { (0..n).map(|i| ((i as f32 + s) * 1.3).sin()).collect() };
        let (rows, d, hidden) = (9, 5, 11);
        let operands = [wave(d * hidden, 0.1), wave(hidden, 2.0), wave(d, 0.9), wave(rows * d, 4.0)];
        let weight = wave(rows * d * hidden, 7.0);
        let definition = |of: &[Vec<f64>; 4]| -> f64 {
            let [w, c, rho, x] = of;
            let mut total = 0.0;
            for r in 0..rows {
                let mut a = c.clone();
                for p in 0..d {
                    for j in 0..hidden {
                        total += f64::from(weight[(r * d + p) * hidden + j]) * (rho[p] * a[j]).max(0.0);
                        a[j] += x[r * d + p] * w[p * hidden + j];
                    }
                }
            }
            total
        };
        let wide = operands.each_ref().map(|o| o.iter().map(|v| f64::from(*v)).collect::<Vec<f64>>());
        let running = Running { w: &operands[0], c: &operands[1], rho: &operands[2] };
        let h = running.hidden(&operands[3]);
        let value: f64 = h.iter().zip(&weight).map(|(h, w)| f64::from(*h) * f64::from(*w)).sum();
        assert!((value - definition(&wide)).abs() < 1e-4);
        let found = running.backward(&operands[3], &weight, true);
        for (which, grad) in [found.w, found.c, found.rho, found.x.unwrap()].iter().enumerate() {
            for (i, g) in grad.iter().enumerate() {
                let at = |h: f64| {
                    let mut moved = wide.clone();
                    moved[which][i] += h;
                    definition(&moved)
                };
                let want = (at(1e-6) - at(-1e-6)) / 2e-6;
                assert!((f64::from(*g) - want).abs() < 1e-4 * (1.0 + want.abs()), "{which} {i}: {g} {want}");
            }
        }
        assert!(running.backward(&operands[3], &weight, false).x.is_none());
    }
}
