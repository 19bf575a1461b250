//! Normalising flows of rows of a few to some hundred values: a stack of steps, each with its network, as one operation.
//!
//! A step moves values by a [`Warp`] whose parameters a fully connected network makes of other values: of those that a coupling keeps
//! (Dinh, Krueger & Bengio 2014), or, masked, of those before each in an order (Papamakarios, Pavlakou & Murray 2017). Rows may
//! come with a context, which every network sees.
//!
//! Networks of flows are so small that a layer of its own would cost more in handing over than in arithmetic. Rows go through the
//! whole stack block by block, and log-determinants are summed in double precision.

mod moved;
mod sequential;
mod step;
mod warp;

pub use moved::Moved;
pub use step::{Step, StepKind};
pub use warp::Warp;

use crate::crew;
use std::sync::{Mutex, PoisonError};

/// Most rows of a block.
const ROWS: usize = 128;
/// Rows that are too few to be shared.
const FEW: usize = 32;

/// Rows of a block: a whole number of blocks that are alike, whatever the number of threads is.
fn block(rows: usize) -> usize {
    let blocks = rows.div_ceil(ROWS);
    let blocks = if rows > FEW { blocks.next_multiple_of(2) } else { 1 };
    rows.div_ceil(blocks).max(1)
}

/// Steps one after the other.
#[derive(Debug, Clone, PartialEq)]
pub struct Stack {
    dims: usize,
    context: usize,
    steps: Vec<Step>,
}

/// What rows become.
#[derive(Debug, Clone, PartialEq)]
pub struct Passed {
    /// The rows `[rows, dims]`.
    pub y: Vec<f32>,
    /// log |det ∂y/∂x| of each.
    pub log_det: Vec<f64>,
    /// What [`Stack::backward`] needs, if it was asked for.
    pub kept: Vec<f32>,
}

/// Gradients of a pass.
#[derive(Debug, Clone, PartialEq)]
pub struct StackGrads {
    /// With respect to the rows.
    pub x: Vec<f32>,
    /// With respect to the context.
    pub context: Vec<f32>,
    /// With respect to the parameters, zero where a mask drops a weight.
    pub parameters: Vec<f32>,
}

/// Values of each block, which blocks give in any order.
fn in_order<T>(blocks: Mutex<Vec<(usize, T)>>) -> impl Iterator<Item = T> {
    let mut blocks = blocks.into_inner().unwrap_or_else(PoisonError::into_inner);
    blocks.sort_by_key(|(i, _)| *i);
    blocks.into_iter().map(|(_, v)| v)
}

fn give<T>(blocks: &Mutex<Vec<(usize, T)>>, i: usize, value: T) {
    blocks.lock().unwrap_or_else(PoisonError::into_inner).push((i, value));
}

impl Stack {
    /// Steps over rows of `dims` values with `context` values each. Panics if a step is one of other rows.
    pub fn new(dims: usize, context: usize, steps: Vec<Step>) -> Self {
        for step in &steps {
            assert!(step.fits(dims, context), "a step over {dims} values and a context of {context}");
        }
        Self { dims, context, steps }
    }

    /// Values of a row.
    pub fn dims(&self) -> usize {
        self.dims
    }

    /// Values of a context.
    pub fn context(&self) -> usize {
        self.context
    }

    /// The steps.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// Number of parameters: of each step the weights `[inputs, outputs]` and the bias of each layer of its network.
    pub fn parameters(&self) -> usize {
        self.steps.iter().map(Step::parameters).sum()
    }

    /// Sets the weights that masks drop to zero.
    pub fn mask(&self, parameters: &mut [f32]) {
        let mut rest = parameters;
        for step in &self.steps {
            let (own, later) = rest.split_at_mut(step.parameters());
            step.mask(own);
            rest = later;
        }
    }

    /// The parameters of each step.
    fn cut<'a>(&self, parameters: &'a [f32]) -> Vec<&'a [f32]> {
        assert_eq!(parameters.len(), self.parameters(), "parameters of all steps");
        let mut rest = parameters;
        let own = self.steps.iter().map(|step| {
            let (own, later) = rest.split_at(step.parameters());
            rest = later;
            own
        });
        own.collect()
    }

    fn rows(&self, x: &[f32], context: &[f32]) -> usize {
        let rows = x.len() / self.dims.max(1);
        assert_eq!(x.len(), rows * self.dims, "whole rows");
        assert_eq!(context.len(), rows * self.context, "a context for each row");
        rows
    }

    /// Values that the backward pass needs of each row.
    fn memory(&self) -> usize {
        self.steps.iter().map(|s| s.memory(self.dims)).sum()
    }

    /// Rows through all steps.
    ///
    /// # Shapes
    /// x `[rows, dims]`, context `[rows, context]`
    pub fn forward(&self, x: &[f32], context: &[f32], parameters: &[f32], keep: bool) -> Passed {
        let (rows, parameters) = (self.rows(x, context), self.cut(parameters));
        let (d, c, size) = (self.dims, self.context, block(rows));
        let logs = Mutex::new(Vec::new());
        let memory = if keep { self.memory() } else { 0 };
        let [y, kept] = crew::zeros(rows, [d, memory], size, |i, [y, mut kept]| {
            let n = y.len() / d.max(1);
            y.copy_from_slice(&x[i * size * d..][..y.len()]);
            let context = &context[i * size * c..][..n * c];
            let mut log = vec![0.0; n];
            let mut own = Vec::new();
            for (step, parameters) in self.steps.iter().zip(&parameters) {
                let room = n * step.memory(d);
                let here = if keep {
                    let (here, later) = kept.split_at_mut(room);
                    kept = later;
                    here
                } else {
                    own.resize(room.max(own.len()), 0.0);
                    &mut own[..room]
                };
                step.forward(y, context, parameters, &mut log, here);
            }
            give(&logs, i, log);
        });
        Passed { y, log_det: in_order(logs).flatten().collect(), kept }
    }

    /// The rows that [`forward`](Self::forward) makes into `y`, and log |det ∂x/∂y|.
    pub fn inverse(&self, y: &[f32], context: &[f32], parameters: &[f32]) -> Passed {
        let (rows, parameters) = (self.rows(y, context), self.cut(parameters));
        let (d, c, size) = (self.dims, self.context, block(rows));
        let logs = Mutex::new(Vec::new());
        let mut x = y.to_vec();
        crew::rows([(&mut x, d.max(1))], size, |i, [x]| {
            let n = x.len() / d.max(1);
            let context = &context[i * size * c..][..n * c];
            let mut log = vec![0.0; n];
            for (step, parameters) in self.steps.iter().zip(&parameters).rev() {
                step.inverse(x, context, parameters, &mut log);
            }
            give(&logs, i, log);
        });
        Passed { y: x, log_det: in_order(logs).flatten().collect(), kept: Vec::new() }
    }

    /// Gradients from those of the rows and of the log-determinants that [`forward`](Self::forward) gave with these `kept` values.
    pub fn backward(
        &self,
        context: &[f32],
        parameters: &[f32],
        kept: &[f32],
        dy: Vec<f32>,
        dlog: &[f32],
    ) -> StackGrads {
        let (rows, cut) = (self.rows(&dy, context), self.cut(parameters));
        let (d, c, size, memory) = (self.dims, self.context, block(rows), self.memory());
        assert_eq!((kept.len(), dlog.len()), (rows * memory, rows), "what the forward pass kept");
        let parts = Mutex::new(Vec::new());
        let (mut dx, mut dcontext) = (dy, vec![0.0; rows * c]);
        let work = |i: usize, dx: &mut [f32], dcontext: &mut [f32]| {
            let n = dx.len() / d.max(1);
            let context = &context[i * size * c..][..n * c];
            let dlog = &dlog[i * size..][..n];
            let mut kept = &kept[i * size * memory..][..n * memory];
            let mut grad = vec![0.0; parameters.len()];
            let mut rest = &mut grad[..];
            for (step, parameters) in self.steps.iter().zip(&cut).rev() {
                let (before, here) = kept.split_at(kept.len() - n * step.memory(d));
                let (earlier, own) = rest.split_at_mut(rest.len() - step.parameters());
                step.backward(context, parameters, here, [dx, dcontext], dlog, own);
                (kept, rest) = (before, earlier);
            }
            give(&parts, i, grad);
        };
        if c == 0 {
            crew::rows([(&mut dx, d.max(1))], size, |i, [dx]| work(i, dx, &mut []));
        } else {
            crew::rows([(&mut dx, d.max(1)), (&mut dcontext, c)], size, |i, [dx, dc]| work(i, dx, dc));
        }
        let mut parts = in_order(parts);
        let mut sum = parts.next().unwrap_or_else(|| vec![0.0; parameters.len()]);
        for part in parts {
            sum.iter_mut().zip(&part).for_each(|(s, v)| *s += v);
        }
        StackGrads { x: dx, context: dcontext, parameters: sum }
    }
}

#[cfg(test)]
mod tests;
