//! A step of a flow: which values move, and the network that says how.

use super::Warp;
use crate::gemm::{Init, Product};
use crate::isa::{Isa, isa, narrow};
use crate::linear::{Activation, activate, slope};
use crate::{Limits, Mat, Staircase};

/// Which values a network sees, and which move.
#[derive(Debug, Clone, PartialEq)]
pub enum StepKind {
    /// The network sees some and moves the others.
    Coupling,
    /// In this order, each value moves by what those before it say: y of x in one pass, x of y one value after the other.
    Autoregressive,
    /// The same the other way round: x of y in one pass (Kingma et al. 2016).
    Inverse,
}

/// One step of a [`Stack`](super::Stack).
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    pub(super) kind: StepKind,
    /// Values that the network sees, after the context.
    pub(super) seen: Vec<usize>,
    /// Values that move.
    pub(super) moved: Vec<usize>,
    pub(super) warp: Warp,
    context: usize,
    /// Inputs of the network, hidden units of each layer, outputs.
    pub(super) widths: Vec<usize>,
    pub(super) act: Activation,
    /// Of each layer what it may see, if it must not see everything.
    pub(super) masks: Vec<Staircase>,
    /// Degrees of the hidden units of each layer, sorted: that of the last input that a unit sees.
    pub(super) degrees: Vec<Vec<usize>>,
}

/// So few columns would leave most of a tile empty.
const FEW: usize = 4;

/// The tiles for results of so many columns, from rows whose values are adjacent.
pub(super) fn tiles(columns: usize) -> &'static Isa {
    if columns <= FEW { narrow() } else { isa() }
}

/// The layers of a network: weights `[inputs, outputs]` and bias of each.
pub(super) fn layers<'a>(widths: &[usize], parameters: &'a [f32]) -> Vec<(&'a [f32], &'a [f32])> {
    let mut rest = parameters;
    let mut take = |n: usize| {
        let (here, later) = rest.split_at(n);
        rest = later;
        here
    };
    widths.windows(2).map(|w| (take(w[0] * w[1]), take(w[1]))).collect()
}

fn all_of(dims: usize, of: &[usize]) -> bool {
    let mut sorted = of.to_vec();
    sorted.sort_unstable();
    sorted.iter().copied().eq(0..dims)
}

impl Step {
    /// A coupling: the network sees `kept` and moves all others. Panics if one of them is not below `dims`.
    pub fn coupling(
        dims: usize,
        kept: Vec<usize>,
        context: usize,
        hidden: &[usize],
        act: Activation,
        warp: Warp,
    ) -> Self {
        warp.check();
        assert!(kept.iter().all(|k| *k < dims), "a value that is there");
        let moved: Vec<usize> = (0..dims).filter(|d| !kept.contains(d)).collect();
        let ends = [context + kept.len(), moved.len() * warp.parameters()];
        let widths = [&ends[..1], hidden, &ends[1..]].concat();
        let (masks, degrees) = (Vec::new(), Vec::new());
        Self { kind: StepKind::Coupling, seen: kept, moved, warp, context, widths, act, masks, degrees }
    }

    /// A masked step in this order of all values; with `inverse`, x of y is what takes one pass. Panics unless `order` names each once.
    pub fn autoregressive(
        order: Vec<usize>,
        inverse: bool,
        context: usize,
        hidden: &[usize],
        act: Activation,
        warp: Warp,
    ) -> Self {
        warp.check();
        let d = order.len();
        assert!(d > 0 && all_of(d, &order), "an order names every value once");
        // Inputs: the context has degree 0, the value at place p degree p + 1. A unit sees what has at most its degree, and the parameters
        // of the value at place p have degree p.
        let inputs: Vec<usize> = std::iter::repeat_n(0, context).chain(1..=d).collect();
        let outputs: Vec<usize> = (0..d).flat_map(|p| std::iter::repeat_n(p, warp.parameters())).collect();
        // Without a context, a unit of degree 0 would see nothing; one of degree d is seen by nothing.
        let least = usize::from(context == 0 && d > 1);
        let spread = |n: &usize| (0..*n).map(|j| least + j * (d - least) / n).collect::<Vec<usize>>();
        let degrees: Vec<Vec<usize>> = hidden.iter().map(spread).collect();
        let all: Vec<&Vec<usize>> =
            std::iter::once(&inputs).chain(&degrees).chain(std::iter::once(&outputs)).collect();
        let masks = all.windows(2).map(|w| Staircase::from_degrees(w[0], w[1])).collect();
        let widths = all.iter().map(|w| w.len()).collect();
        let kind = if inverse { StepKind::Inverse } else { StepKind::Autoregressive };
        Self { kind, seen: order.clone(), moved: order, warp, context, widths, act, masks, degrees }
    }

    /// Which it is.
    pub fn kind(&self) -> &StepKind {
        &self.kind
    }

    /// Values that its network sees, in the order in which it takes them, after the context.
    pub fn seen(&self) -> &[usize] {
        &self.seen
    }

    /// Values that it moves, in the order in which the network gives their parameters.
    pub fn moved(&self) -> &[usize] {
        &self.moved
    }

    /// How it moves them.
    pub fn warp(&self) -> Warp {
        self.warp
    }

    /// Widths of the network: inputs, hidden layers, outputs.
    pub fn widths(&self) -> &[usize] {
        &self.widths
    }

    /// The function of the hidden units.
    pub fn activation(&self) -> Activation {
        self.act
    }

    /// What each layer may see; none if it sees everything.
    pub fn mask_of(&self, layer: usize) -> Option<&Staircase> {
        self.masks.get(layer)
    }

    /// Number of parameters of the network.
    pub fn parameters(&self) -> usize {
        self.widths.windows(2).map(|w| (w[0] + 1) * w[1]).sum()
    }

    pub(super) fn fits(&self, dims: usize, context: usize) -> bool {
        self.context == context
            && match self.kind {
                StepKind::Coupling => all_of(dims, &[&self.seen[..], &self.moved[..]].concat()),
                _ => self.moved.len() == dims,
            }
    }

    pub(super) fn mask(&self, parameters: &mut [f32]) {
        let mut rest = parameters;
        for (l, w) in self.widths.windows(2).enumerate() {
            let (weights, later) = rest.split_at_mut(w[0] * w[1]);
            if let Some(mask) = self.masks.get(l) {
                mask.apply(weights);
            }
            rest = &mut later[w[1]..];
        }
    }

    /// Values that the backward pass needs of each row: the row before the step, hidden units, outputs of the network.
    pub(super) fn memory(&self, dims: usize) -> usize {
        dims + self.widths[1..].iter().sum::<usize>()
    }

    fn forward_limits(&self, layer: usize) -> Limits<'_> {
        self.masks.get(layer).map_or(Limits::Dense, Limits::Forward)
    }

    /// What the network sees of rows.
    pub(super) fn inputs(&self, x: &[f32], context: &[f32], rows: usize) -> Vec<f32> {
        let (d, c) = (x.len() / rows.max(1), self.context);
        let mut all = Vec::with_capacity(rows * self.widths[0]);
        for r in 0..rows {
            all.extend_from_slice(&context[r * c..][..c]);
            all.extend(self.seen.iter().map(|k| x[r * d + k]));
        }
        all
    }

    /// Hidden units, layer after layer, and the outputs fill `units`.
    fn network(&self, inputs: &[f32], parameters: &[f32], rows: usize, units: &mut [f32]) {
        let layers = layers(&self.widths, parameters);
        let (mut below, mut rest) = (inputs, units);
        for (l, (w, b)) in layers.iter().enumerate() {
            let (here, later) = rest.split_at_mut(rows * b.len());
            let k = self.widths[l];
            let (a, w) = (Mat::rows(below, k), Mat::rows(w, b.len()));
            let limits = self.forward_limits(l);
            Product { isa: tiles(b.len()), shape: [rows, b.len(), k], a, b: w, limits }
                .run_here(here, Init::Row(b));
            if l + 1 < layers.len() {
                activate(here, self.act);
            }
            (below, rest) = (here, later);
        }
    }

    /// The values that move, row by row.
    fn gather(&self, x: &[f32], d: usize) -> Vec<f32> {
        x.chunks_exact(d).flat_map(|x| self.moved.iter().map(|k| x[*k])).collect()
    }

    fn scatter(&self, from: &[f32], x: &mut [f32], d: usize) {
        for (x, from) in x.chunks_exact_mut(d).zip(from.chunks_exact(self.moved.len())) {
            self.moved.iter().zip(from).for_each(|(k, v)| x[*k] = *v);
        }
    }

    fn add(&self, to: &mut [f64], logs: &[f32]) {
        let sum = |logs: &[f32]| logs.iter().map(|v| f64::from(*v)).sum::<f64>();
        to.iter_mut().zip(logs.chunks_exact(self.moved.len())).for_each(|(to, logs)| *to += sum(logs));
    }

    /// Moves a block of rows; `memory` is filled with what the backward pass needs.
    pub(super) fn forward(
        &self,
        x: &mut [f32],
        context: &[f32],
        parameters: &[f32],
        log: &mut [f64],
        memory: &mut [f32],
    ) {
        let rows = log.len();
        let d = x.len() / rows.max(1);
        if self.moved.is_empty() {
            return;
        }
        let (before, units) = memory.split_at_mut(rows * d);
        before.copy_from_slice(x);
        if self.kind == StepKind::Inverse {
            return self.one_by_one(x, context, parameters, log, Some(units));
        }
        self.network(&self.inputs(x, context, rows), parameters, rows, units);
        let out = &units[units.len() - rows * self.widths[self.widths.len() - 1]..];
        let from = self.gather(x, d);
        let (mut to, mut logs) = (vec![0.0; from.len()], vec![0.0; from.len()]);
        self.warp.forward(&from, out, &mut to, &mut logs);
        self.scatter(&to, x, d);
        self.add(log, &logs);
    }

    /// Moves a block of rows back.
    pub(super) fn inverse(&self, y: &mut [f32], context: &[f32], parameters: &[f32], log: &mut [f64]) {
        let rows = log.len();
        let d = y.len() / rows.max(1);
        if self.moved.is_empty() {
            return;
        }
        if self.kind == StepKind::Autoregressive {
            return self.one_by_one(y, context, parameters, log, None);
        }
        let mut units = vec![0.0; rows * self.widths[1..].iter().sum::<usize>()];
        self.network(&self.inputs(y, context, rows), parameters, rows, &mut units);
        let out = &units[units.len() - rows * self.widths[self.widths.len() - 1]..];
        let from = self.gather(y, d);
        let (mut to, mut logs) = (vec![0.0; from.len()], vec![0.0; from.len()]);
        // What is the inverse of a coupling is the map itself of an inverse step.
        match self.kind {
            StepKind::Inverse => self.warp.forward(&from, out, &mut to, &mut logs),
            _ => self.warp.inverse(&from, out, &mut to, &mut logs),
        }
        self.scatter(&to, y, d);
        self.add(log, &logs);
    }

    /// Gradients of one block: `dx` holds those of the result and becomes those of the rows, `dcontext` and `dparameters` are added to.
    pub(super) fn backward(
        &self,
        context: &[f32],
        parameters: &[f32],
        memory: &[f32],
        [dx, dcontext]: [&mut [f32]; 2],
        dlog: &[f32],
        dparameters: &mut [f32],
    ) {
        let rows = dlog.len();
        let d = dx.len() / rows.max(1);
        if self.moved.is_empty() {
            return;
        }
        let (before, units) = memory.split_at(rows * d);
        if self.kind == StepKind::Inverse {
            return self.one_by_one_backward(
                context,
                parameters,
                [before, units],
                [dx, dcontext],
                dlog,
                dparameters,
            );
        }
        let inputs = self.inputs(before, context, rows);
        let outputs = self.widths[self.widths.len() - 1];
        let out = &units[units.len() - rows * outputs..];
        let from = self.gather(before, d);
        let mut moved = self.gather(dx, d);
        let dlogs: Vec<f32> = dlog.iter().flat_map(|g| std::iter::repeat_n(*g, self.moved.len())).collect();
        let mut grad = vec![0.0; out.len()];
        self.warp.backward(&from, out, &mut moved, &dlogs, &mut grad);
        self.scatter(&moved, dx, d);
        let dinputs = self.network_backward(&inputs, parameters, units, rows, grad, dparameters);
        let c = self.context;
        for (r, g) in dinputs.chunks_exact(self.widths[0].max(1)).enumerate().take(rows) {
            dcontext.iter_mut().skip(r * c).take(c).zip(g).for_each(|(to, g)| *to += g);
            self.seen.iter().zip(&g[c..]).for_each(|(k, g)| dx[r * d + k] += g);
        }
    }

    /// Gradients of the network from that of its outputs: adds those of the parameters, gives that of the inputs.
    fn network_backward(
        &self,
        inputs: &[f32],
        parameters: &[f32],
        units: &[f32],
        rows: usize,
        mut grad: Vec<f32>,
        dparameters: &mut [f32],
    ) -> Vec<f32> {
        let layers = layers(&self.widths, parameters);
        // What each layer saw.
        let mut seen = vec![inputs];
        let mut rest = units;
        for (_, b) in &layers {
            let (here, later) = rest.split_at(rows * b.len());
            seen.push(here);
            rest = later;
        }
        let mut tail = dparameters.len();
        for (l, (w, b)) in layers.iter().enumerate().rev() {
            let (below, n, k) = (seen[l], b.len(), self.widths[l]);
            let own = &mut dparameters[tail - (k + 1) * n..tail];
            tail -= (k + 1) * n;
            let (dw, db) = own.split_at_mut(k * n);
            let mask = self.masks.get(l);
            let (ins, outs) = (Mat::rows(below, k), Mat::rows(&grad, n));
            if n <= FEW && mask.is_none() {
                let mut columns = vec![0.0; k * n];
                Product { isa: isa(), shape: [n, k, rows], a: outs.t(), b: ins, limits: Limits::Dense }
                    .run_here(&mut columns, Init::Zero);
                dw.iter_mut().enumerate().for_each(|(i, w)| *w = columns[i % n * k + i / n]);
            } else {
                let limits = mask.map_or(Limits::Dense, Limits::Weight);
                Product { isa: isa(), shape: [k, n, rows], a: ins.t(), b: outs, limits }
                    .run_here(dw, Init::Zero);
                // Tiles at the edge of the mask have more than it allows.
                if let Some(mask) = mask {
                    dw.chunks_exact_mut(n.max(1))
                        .zip(mask.first())
                        .for_each(|(row, first)| row[..*first].fill(0.0));
                }
            }
            grad.chunks_exact(n).for_each(|row| db.iter_mut().zip(row).for_each(|(s, g)| *s += g));
            let mut dbelow = vec![0.0; rows * k];
            let limits = mask.map_or(Limits::Dense, Limits::Input);
            let (shape, weights) = ([rows, k, n], Mat::rows(w, n).t());
            Product { isa: tiles(k), shape, a: outs, b: weights, limits }.run_here(&mut dbelow, Init::Zero);
            if l > 0 {
                slope(&mut dbelow, below, self.act);
            }
            grad = dbelow;
        }
        grad
    }
}
