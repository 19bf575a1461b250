//! Masked steps in the direction that takes one value after the other.
//!
//! Units are sorted by degree, so that what a value adds to a network is a run of adjacent units in each layer: each unit is computed once,
//! and the whole costs about as much as one pass. Gradients go the same way backwards.

use super::Step;
use super::step::{layers, tiles};
use crate::gemm::{Init, Product};
use crate::isa::isa;
use crate::linear::{activate, slope};
use crate::{Limits, Mat};
use std::ops::Range;

/// One column of rows of so many values.
fn column(x: &[f32], width: usize, c: usize) -> Vec<f32> {
    x.iter().skip(c).step_by(width.max(1)).copied().collect()
}

/// Lines of `n` lines: `[n, m]` → `[m, n]`.
fn turned(x: &[f32], n: usize) -> Vec<f32> {
    let m = x.len() / n.max(1);
    (0..m).flat_map(|c| (0..n).map(move |r| x[r * m + c])).collect()
}

fn set_columns(x: &mut [f32], width: usize, range: &Range<usize>, values: &[f32]) {
    for (row, values) in x.chunks_exact_mut(width).zip(values.chunks_exact(range.len().max(1))) {
        row[range.clone()].copy_from_slice(values);
    }
}

fn columns(x: &[f32], width: usize, range: &Range<usize>) -> Vec<f32> {
    x.chunks_exact(width).flat_map(|row| &row[range.clone()]).copied().collect()
}

impl Step {
    /// The units of a layer that depend on the value before place `p` and on none after it.
    fn run_of(&self, layer: usize, p: usize) -> Range<usize> {
        match self.degrees.get(layer) {
            Some(degrees) => degrees.partition_point(|d| *d < p)..degrees.partition_point(|d| *d <= p),
            None => {
                let each = self.warp.parameters();
                p * each..(p + 1) * each
            }
        }
    }

    /// t of v with v = g(t; parameters made of the values of t before): `x` is v and becomes t, `log` gets log |det ∂t/∂v|, and `units`,
    /// if they are wanted, hidden units and outputs for t, row by row.
    pub(super) fn one_by_one(
        &self,
        x: &mut [f32],
        context: &[f32],
        parameters: &[f32],
        log: &mut [f64],
        units: Option<&mut [f32]>,
    ) {
        let rows = log.len();
        let d = self.moved.len();
        let layers = layers(&self.widths, parameters);
        // A line for each input and unit, so that a run of few units is a product of long lines. Values of t are put in as they come; no
        // unit looks at one that is not there yet.
        let mut inputs = turned(&self.inputs(x, context, rows), rows);
        let mut all: Vec<Vec<f32>> = layers.iter().map(|(_, b)| vec![0.0; rows * b.len()]).collect();
        let (mut t, mut logs) = (vec![0.0; rows], vec![0.0; rows]);
        for (p, dim) in self.moved.iter().enumerate() {
            for (l, (w, b)) in layers.iter().enumerate() {
                let range = self.run_of(l, p);
                if range.is_empty() {
                    continue;
                }
                let reach = self.masks[l].reach()[range.end - 1];
                let (lower, upper) = all.split_at_mut(l);
                let below: &[f32] = lower.last().map_or(&inputs, |below| below);
                let here = &mut upper[0][range.start * rows..range.end * rows];
                here.chunks_exact_mut(rows).zip(&b[range.clone()]).for_each(|(line, b)| line.fill(*b));
                Product {
                    isa: isa(),
                    shape: [range.len(), rows, reach],
                    a: Mat::rows(&w[range.start..], b.len()).t(),
                    b: Mat::rows(below, rows),
                    limits: Limits::Dense,
                }
                .run_here(here, Init::Keep);
                if l + 1 < layers.len() {
                    activate(here, self.act);
                }
            }
            let each = self.warp.parameters();
            let of = turned(&all[layers.len() - 1][p * each * rows..(p + 1) * each * rows], each);
            let v = column(x, d, *dim);
            self.warp.inverse(&v, &of, &mut t, &mut logs);
            let at = self.widths[0] - d + p;
            inputs[at * rows..(at + 1) * rows].copy_from_slice(&t);
            for r in 0..rows {
                x[r * d + dim] = t[r];
                log[r] += f64::from(logs[r]);
            }
        }
        let Some(mut rest) = units else { return };
        for (lines, (_, b)) in all.iter().zip(&layers) {
            let (here, later) = rest.split_at_mut(rows * b.len());
            here.copy_from_slice(&turned(lines, b.len()));
            rest = later;
        }
    }

    /// Gradients of [`one_by_one`](Self::one_by_one): `dx` holds those of t and becomes those of v, the others are added to.
    pub(super) fn one_by_one_backward(
        &self,
        context: &[f32],
        parameters: &[f32],
        [before, units]: [&[f32]; 2],
        [dx, dcontext]: [&mut [f32]; 2],
        dlog: &[f32],
        dparameters: &mut [f32],
    ) {
        let rows = dlog.len();
        let (d, each) = (self.moved.len(), self.warp.parameters());
        let layers = layers(&self.widths, parameters);
        let mut seen: Vec<&[f32]> = Vec::new();
        let mut rest = units;
        for (_, b) in &layers {
            let (here, later) = rest.split_at(rows * b.len());
            seen.push(here);
            rest = later;
        }
        let out = seen[layers.len() - 1];
        // t again, and the slopes that it was found by.
        let v: Vec<f32> = before.chunks_exact(d).flat_map(|x| self.moved.iter().map(|k| x[*k])).collect();
        let (mut t, mut logs) = (vec![0.0; v.len()], vec![0.0; v.len()]);
        self.warp.inverse(&v, out, &mut t, &mut logs);
        let width = self.widths[0];
        let mut inputs = self.inputs(before, context, rows);
        set_columns(&mut inputs, width, &(width - d..width), &t);
        let mut dinputs = vec![0.0; rows * width];
        let mut dunits: Vec<Vec<f32>> = layers.iter().map(|(_, b)| vec![0.0; rows * b.len()]).collect();
        let offsets: Vec<usize> = self
            .widths
            .windows(2)
            .scan(0, |at, w| {
                let start = *at;
                *at += (w[0] + 1) * w[1];
                Some(start)
            })
            .collect();
        let turned: Vec<f32> = dlog.iter().map(|g| -g).collect();
        for (p, dim) in self.moved.iter().enumerate().rev() {
            // log dt/dv = −log g'(t); t answers to v and to the parameters o by v = g(t; o).
            let of = columns(out, d * each, &(p * each..(p + 1) * each));
            let here = column(&t, d, p);
            let mut total = vec![0.0; rows];
            let mut dof = vec![0.0; of.len()];
            self.warp.backward(&here, &of, &mut total, &turned, &mut dof);
            for r in 0..rows {
                // log |dt/dv|, whose exponential is 1/g'.
                let by = libm::expf(logs[r * d + p]);
                let all = total[r] + dx[r * d + dim] + dinputs[r * width + width - d + p];
                dx[r * d + dim] = all * by;
                total[r] = -all * by;
            }
            self.warp.backward(&here, &of, &mut total, &turned, &mut dof);
            set_columns(&mut dunits[layers.len() - 1], d * each, &(p * each..(p + 1) * each), &dof);
            for l in (0..layers.len()).rev() {
                let range = self.run_of(l, p);
                if range.is_empty() {
                    continue;
                }
                let ((w, b), k) = (layers[l], self.widths[l]);
                let n = b.len();
                let reach = self.masks[l].reach()[range.end - 1];
                let mut grad = columns(&dunits[l], n, &range);
                if l + 1 < layers.len() {
                    slope(&mut grad, &columns(seen[l], n, &range), self.act);
                }
                let below: &[f32] = if l == 0 { &inputs } else { seen[l - 1] };
                let outs = Mat::rows(&grad, range.len());
                let mut dw = vec![0.0; reach * range.len()];
                Product {
                    isa: isa(),
                    shape: [reach, range.len(), rows],
                    a: Mat::rows(below, k).t(),
                    b: outs,
                    limits: Limits::Dense,
                }
                .run_here(&mut dw, Init::Zero);
                let (own_w, own_b) = dparameters[offsets[l]..].split_at_mut(k * n);
                for (i, dw) in dw.chunks_exact(range.len()).enumerate() {
                    own_w[i * n..][range.clone()].copy_from_slice(dw);
                }
                for row in grad.chunks_exact(range.len()) {
                    own_b[range.clone()].iter_mut().zip(row).for_each(|(s, g)| *s += g);
                }
                let mut dbelow = vec![0.0; rows * reach];
                Product {
                    isa: tiles(reach),
                    shape: [rows, reach, range.len()],
                    a: outs,
                    b: Mat::rows(&w[range.start..], n).t(),
                    limits: Limits::Dense,
                }
                .run_here(&mut dbelow, Init::Zero);
                let to = if l == 0 { &mut dinputs } else { &mut dunits[l - 1] };
                for (to, from) in to.chunks_exact_mut(k).zip(dbelow.chunks_exact(reach.max(1))) {
                    to.iter_mut().zip(from).for_each(|(to, g)| *to += g);
                }
            }
        }
        let c = width - d;
        for (to, from) in dcontext.chunks_exact_mut(c.max(1)).zip(dinputs.chunks_exact(width)) {
            to.iter_mut().zip(from).for_each(|(to, g)| *to += g);
        }
    }
}
