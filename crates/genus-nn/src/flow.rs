//! The vocabulary of normalising flows: invertible maps of rows, one after the other, and the laws that they lead to.
//!
//! log p(x) = log p_base(f(x)) + log |det ∂f/∂x|, f from rows to the base. A row passes as its values and, in a last column, the sum of
//! the log-determinants so far; outside of training the sums are in double precision. Whatever has a density given a context may be
//! made of these: a model of rows, a prior, a posterior.

use crate::layers::bound as initial_bound;
use crate::{Activation, Id, Linear, Params, Tensor, View, ops, tensor_from};
use genus_core::{Batch, Result, Rng, Stop};
use genus_kernels::{Moved, Stack, Step, StepKind, Warp};
use serde::{Deserialize, Serialize};
use std::f64::consts::PI;
use std::fmt::Debug;
use std::sync::Arc;

/// An invertible map of rows of so many values, given a context.
pub trait Bijection: Send + Sync + Debug {
    /// Values of a row.
    fn dims(&self) -> usize;

    /// Rows towards the base, as part of the graph of `view`; the log-determinant is added to the last column.
    ///
    /// # Shapes
    /// x `[rows, dims + 1]`, context `[rows, context]` → as x
    fn forward(&self, view: &View<'_>, x: Tensor<2>, context: Option<&Tensor<2>>) -> Tensor<2>;

    /// Rows towards the base, with log |det| of each, nats.
    ///
    /// # Errors
    /// [`Error::Stopped`](genus_core::Error::Stopped) if it was asked to end.
    fn to_base(&self, params: &Params, x: &Batch, context: Option<&Batch>) -> Result<(Batch, Vec<f64>)>;

    /// Rows from the base.
    ///
    /// # Errors
    /// [`Error::Stopped`](genus_core::Error::Stopped) if it was asked to end.
    fn to_rows(&self, params: &Params, y: &Batch, context: Option<&Batch>) -> Result<Batch>;

    /// Where rows are on the way from the base, after each of at most so many parts of the map; the last are the rows themselves.
    ///
    /// # Errors
    /// [`Error::Stopped`](genus_core::Error::Stopped) if it was asked to end.
    fn path(&self, params: &Params, y: &Batch, context: Option<&Batch>, parts: usize) -> Result<Vec<Batch>> {
        let _ = parts;
        Ok(vec![self.to_rows(params, y, context)?])
    }

    /// Most rows of one pass of a training: more take so much memory, or so long, that a step is cut into several passes.
    fn most_rows(&self) -> usize {
        usize::MAX
    }

    /// Values of the base that leave the map together, where it has several scales.
    fn scales(&self) -> Vec<Vec<usize>> {
        Vec::new()
    }

    /// Sets what begins by the first rows, before training.
    ///
    /// # Errors
    /// [`Error::Stopped`](genus_core::Error::Stopped) if it was asked to end, [`Error::Numerical`](genus_core::Error::Numerical) if a value
    /// is lost on the way.
    fn begin(&self, params: &mut Params, x: &Batch, context: Option<&Batch>) -> Result<()> {
        let _ = (params, x, context);
        Ok(())
    }

    /// Keeps to its masks, whatever the parameters were set to.
    fn mask(&self, id: Id, values: &mut [f32]) {
        let _ = (id, values);
    }
}

/// Most parameters of a step that goes through with others as one operation: beyond, its layers are operations of their own, which
/// share their work better.
const SMALL: usize = 1 << 16;
/// Products of a piece outside of training, after which a request to end is heard, and its rows at most and at least.
const PIECE: usize = 1 << 31;
const ROWS: [usize; 2] = [64, 4096];

/// The network of a step, as parameters.
#[derive(Debug, Clone)]
enum Net {
    /// All of its layers in one array.
    Packed(Id),
    Layers(Vec<Linear>),
}

/// Steps of fully connected networks.
#[derive(Debug, Clone)]
pub struct Steps {
    whole: Arc<Stack>,
    nets: Vec<Net>,
    /// Runs of small steps, which are one operation each, and large ones.
    parts: Vec<Part>,
}

#[derive(Debug, Clone)]
enum Part {
    Packed { steps: std::ops::Range<usize>, stack: Arc<Stack> },
    Layers { step: usize, moved: Arc<Moved>, seen: Arc<[usize]> },
}

impl Steps {
    /// Adds the networks of these steps: `name.0`, `name.1` …, small ones as one array each, a row, which weight decay takes with its
    /// biases. Hidden layers begin as those of [`Linear`], the last one at zero, so that every step begins as the identity.
    pub fn new(
        params: &mut Params,
        name: &str,
        dims: usize,
        context: usize,
        steps: Vec<Step>,
        rng: &mut Rng,
    ) -> Self {
        // A step that takes one value after the other has its gradients in one operation only.
        let packed =
            |s: &Step| s.parameters() <= SMALL || *s.kind() == StepKind::Inverse || s.widths()[0] == 0;
        let begin = |(i, step): (usize, &Step)| {
            let name = format!("{name}.{i}");
            match packed(step) {
                true => Net::Packed(params.add(name, &[1, step.parameters()], values_of(step, rng))),
                false => Net::Layers(layers_of(params, &name, step, rng)),
            }
        };
        let nets: Vec<Net> = steps.iter().enumerate().map(begin).collect();
        let mut parts = Vec::new();
        let mut at = 0;
        while at < steps.len() {
            if let Net::Layers(_) = nets[at] {
                let step = &steps[at];
                let moved = Moved { dims, places: step.moved().to_vec(), warp: step.warp() };
                parts.push(Part::Layers { step: at, moved: Arc::new(moved), seen: step.seen().into() });
                at += 1;
                continue;
            }
            let run =
                (at..steps.len()).take_while(|i| matches!(nets[*i], Net::Packed(_))).take(ops::MOST_STEPS);
            let run = at..at + run.count();
            at = run.end;
            let stack = Arc::new(Stack::new(dims, context, steps[run.clone()].to_vec()));
            parts.push(Part::Packed { steps: run, stack });
        }
        Self { whole: Arc::new(Stack::new(dims, context, steps)), nets, parts }
    }

    /// The steps.
    pub fn steps(&self) -> &[Step] {
        self.whole.steps()
    }

    /// All parameters as the kernels take them.
    fn packed(&self, params: &Params) -> Vec<f32> {
        let mut all = Vec::with_capacity(self.whole.parameters());
        for net in &self.nets {
            match net {
                Net::Packed(id) => all.extend(params.values(*id)),
                Net::Layers(layers) => {
                    for layer in layers {
                        all.extend(params.values(layer.w()));
                        all.extend(params.values(layer.b()));
                    }
                }
            }
        }
        // Whatever a file says, what a mask drops is zero.
        self.whole.mask(&mut all);
        all
    }

    fn pieces(
        &self,
        x: &Batch,
        context: Option<&Batch>,
        run: impl Fn(&[f32], &[f32]) -> (Vec<f32>, Vec<f64>),
    ) -> Result<(Batch, Vec<f64>)> {
        let (mut values, mut logs) = (Vec::with_capacity(x.data().len()), Vec::with_capacity(x.rows()));
        let (stop, [least, most]) = (Stop::current(), ROWS);
        let piece = (PIECE / self.whole.parameters().max(1)).clamp(least, most);
        for start in (0..x.rows()).step_by(piece) {
            stop.check()?;
            let part = x.slice(start, start + piece);
            let given = context.map(|c| c.slice(start, start + piece));
            let (y, log) = run(part.data(), given.as_ref().map_or(&[], Batch::data));
            values.extend(y);
            logs.extend(log);
        }
        Ok((Batch::new(values, x.width())?, logs))
    }
}

/// So many steps in at most so many parts of about the same length.
pub(crate) fn in_parts(steps: usize, parts: usize) -> Vec<std::ops::Range<usize>> {
    let parts = parts.clamp(1, steps.max(1));
    (0..parts).map(|i| i * steps / parts..(i + 1) * steps / parts).collect()
}

/// The layers of a step as they begin.
fn layers_of(params: &mut Params, name: &str, step: &Step, rng: &mut Rng) -> Vec<Linear> {
    let last = step.widths().len() - 2;
    let begin = |(l, w): (usize, &[usize])| {
        let act = if l == last { Activation::Identity } else { step.activation() };
        let name = format!("{name}.{l}");
        let layer = match step.mask_of(l) {
            Some(mask) => Linear::masked(params, &name, &Arc::new(mask.clone()), act, rng),
            None => Linear::new(params, &name, w[0], w[1], act, rng),
        };
        if l == last {
            params.set(layer.w(), vec![0.0; w[0] * w[1]]);
        }
        layer
    };
    step.widths().windows(2).enumerate().map(begin).collect()
}

/// The same as values one after the other.
fn values_of(step: &Step, rng: &mut Rng) -> Vec<f32> {
    let last = step.widths().len() - 2;
    let mut values = Vec::with_capacity(step.parameters());
    for (l, w) in step.widths().windows(2).enumerate() {
        let bound = if l == last { 0.0 } else { initial_bound(w[0], w[1], step.activation()) };
        let mut weights: Vec<f32> =
            (0..w[0] * w[1]).map(|_| ((2.0 * rng.uniform_f64() - 1.0) * bound) as f32).collect();
        if let Some(mask) = step.mask_of(l) {
            mask.apply(&mut weights);
        }
        values.extend(weights);
        values.resize(values.len() + w[1], 0.0);
    }
    values
}

impl Bijection for Steps {
    fn dims(&self) -> usize {
        self.whole.dims()
    }

    fn forward(&self, view: &View<'_>, x: Tensor<2>, context: Option<&Tensor<2>>) -> Tensor<2> {
        self.parts.iter().fold(x, |x, part| match part {
            Part::Packed { steps, stack } => {
                let of = |net: &Net| match net {
                    Net::Packed(id) => view.get::<2>(*id),
                    Net::Layers(_) => unreachable!("a run of packed steps"),
                };
                ops::stack(x, context, self.nets[steps.clone()].iter().map(of).collect(), stack)
            }
            Part::Layers { step, moved, seen } => {
                let Net::Layers(layers) = &self.nets[*step] else { unreachable!("a step of layers") };
                let mut inputs: Vec<Tensor<2>> = context.into_iter().cloned().collect();
                inputs.push(ops::columns(x.clone(), seen));
                let inputs = if inputs.len() == 1 { inputs.remove(0) } else { Tensor::cat(inputs, 1) };
                let of = layers.iter().fold(inputs, |h, layer| layer.forward(view, h));
                ops::moved(x, of, moved)
            }
        })
    }

    fn to_base(&self, params: &Params, x: &Batch, context: Option<&Batch>) -> Result<(Batch, Vec<f64>)> {
        let parameters = self.packed(params);
        self.pieces(x, context, |x, c| {
            let passed = self.whole.forward(x, c, &parameters, false);
            (passed.y, passed.log_det)
        })
    }

    fn to_rows(&self, params: &Params, y: &Batch, context: Option<&Batch>) -> Result<Batch> {
        let parameters = self.packed(params);
        let found = self.pieces(y, context, |y, c| {
            let passed = self.whole.inverse(y, c, &parameters);
            (passed.y, passed.log_det)
        });
        Ok(found?.0)
    }

    fn path(&self, params: &Params, y: &Batch, context: Option<&Batch>, parts: usize) -> Result<Vec<Batch>> {
        let (all, mut y, mut path) = (self.packed(params), y.clone(), Vec::new());
        for range in in_parts(self.steps().len(), parts).into_iter().rev() {
            let steps = &self.steps()[range.clone()];
            let stack = Stack::new(self.dims(), self.whole.context(), steps.to_vec());
            let before: usize = self.steps()[..range.start].iter().map(Step::parameters).sum();
            let own = &all[before..before + stack.parameters()];
            let found = self.pieces(&y, context, |y, c| {
                let passed = stack.inverse(y, c, own);
                (passed.y, passed.log_det)
            });
            y = found?.0;
            path.push(y.clone());
        }
        Ok(path)
    }

    /// A first step that moves all values by a linear function of the context begins as the regression on it, and gives residuals of
    /// deviation 1.
    fn begin(&self, params: &mut Params, x: &Batch, context: Option<&Batch>) -> Result<()> {
        let (Some(step), Some(Net::Packed(id)), Some(context)) =
            (self.steps().first(), self.nets.first(), context)
        else {
            return Ok(());
        };
        let Warp::Affine { bound } = step.warp() else { return Ok(()) };
        if step.widths().len() > 2 || !step.seen().is_empty() {
            return Ok(());
        }
        let (n, c) = (2 * step.moved().len(), context.width());
        // Of as many slopes as rows nothing would be left.
        if x.rows() < ENOUGH * (c + 1) {
            return Ok(());
        }
        let found = regression(x, context);
        let mut values = params.values(*id);
        for (k, dim) in step.moved().iter().enumerate() {
            let (of, deviation) = &found[*dim];
            // y = x e^s + t with s = b tanh(raw / b).
            let most = 0.9 * f64::from(bound);
            let s = -libm::log(deviation.max(1e-30)).clamp(-most, most);
            values[c * n + 2 * k] = (f64::from(bound) * libm::atanh(s / f64::from(bound))) as f32;
            for (j, slope) in of.iter().enumerate() {
                // The last is the constant, and the bias lies behind the weights.
                values[j * n + 2 * k + 1] = (-slope * libm::exp(s)) as f32;
            }
        }
        params.set(*id, values);
        Ok(())
    }

    fn mask(&self, id: Id, values: &mut [f32]) {
        for (net, step) in self.nets.iter().zip(self.steps()) {
            if matches!(net, Net::Packed(own) if *own == id) {
                Stack::new(self.dims(), self.whole.context(), vec![step.clone()]).mask(values);
            }
        }
    }
}

/// Rows for each slope from which on a regression is worth beginning with.
const ENOUGH: usize = 4;

/// For each column of x the slopes of its regression on the columns of `given` and a constant, which is the last, and the deviation of
/// what is left. Columns of `given` may depend on each other: the slopes are the shortest, nearly.
fn regression(x: &Batch, given: &Batch) -> Vec<(Vec<f64>, f64)> {
    let (n, c, d) = (x.rows().max(1) as f64, given.width() + 1, x.width());
    let of = |row: &[f32], j: usize| row.get(j).map_or(1.0, |v| f64::from(*v));
    // Normal equations with all columns of x on the right.
    let mut a = vec![vec![0.0; c + d]; c];
    for (g, x) in given.iter().zip(x.iter()) {
        for (i, line) in a.iter_mut().enumerate() {
            let by = of(g, i) / n;
            (0..c).for_each(|j| line[j] += by * of(g, j));
            line[c..].iter_mut().zip(x).for_each(|(v, x)| *v += by * f64::from(*x));
        }
    }
    for k in 0..c {
        a[k][k] += 1e-6;
        let (above, below) = a.split_at_mut(k + 1);
        for line in below {
            let factor = line[k] / above[k][k];
            line[k..].iter_mut().zip(&above[k][k..]).for_each(|(v, u)| *v -= factor * u);
        }
    }
    for k in (0..c).rev() {
        let (above, below) = a.split_at_mut(k + 1);
        let line = &mut above[k];
        for (j, solved) in below.iter().enumerate() {
            let by = line[k + 1 + j];
            line[c..].iter_mut().zip(&solved[c..]).for_each(|(v, s)| *v -= by * s);
        }
        let pivot = line[k];
        line[c..].iter_mut().for_each(|v| *v /= pivot);
    }
    let slopes = |k: usize| -> Vec<f64> { a.iter().map(|line| line[c + k]).collect() };
    let left = |k: usize, slopes: &[f64]| {
        let squares = given.iter().zip(x.iter()).map(|(g, x)| {
            let fit: f64 = slopes.iter().enumerate().map(|(j, s)| s * of(g, j)).sum();
            (f64::from(x[k]) - fit).powi(2)
        });
        (squares.sum::<f64>() / n).sqrt()
    };
    let each = |k: usize| {
        let slopes = slopes(k);
        let left = left(k, &slopes);
        (slopes, left)
    };
    (0..d).map(each).collect()
}

/// Maps one after the other.
#[derive(Debug)]
pub struct Chain(pub Vec<Box<dyn Bijection>>);

impl Bijection for Chain {
    fn dims(&self) -> usize {
        self.0.first().map_or(0, |b| b.dims())
    }

    fn forward(&self, view: &View<'_>, x: Tensor<2>, context: Option<&Tensor<2>>) -> Tensor<2> {
        self.0.iter().fold(x, |x, map| map.forward(view, x, context))
    }

    fn to_base(&self, params: &Params, x: &Batch, context: Option<&Batch>) -> Result<(Batch, Vec<f64>)> {
        let (mut x, mut sum) = (x.clone(), vec![0.0; x.rows()]);
        for map in &self.0 {
            let (y, log) = map.to_base(params, &x, context)?;
            sum.iter_mut().zip(log).for_each(|(s, l)| *s += l);
            x = y;
        }
        Ok((x, sum))
    }

    fn to_rows(&self, params: &Params, y: &Batch, context: Option<&Batch>) -> Result<Batch> {
        self.0.iter().rev().try_fold(y.clone(), |y, map| map.to_rows(params, &y, context))
    }

    fn mask(&self, id: Id, values: &mut [f32]) {
        self.0.iter().for_each(|map| map.mask(id, values));
    }
}

/// A law of independent values that a flow leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Base {
    /// Standard normal.
    #[default]
    Normal,
    /// Standard logistic, with heavier tails: log p(z) = −z − 2 log(1 + e^−z).
    Logistic,
}

impl Base {
    /// −log p of rows, as part of a graph.
    ///
    /// # Shapes
    /// z `[rows, dims]` → `[rows]`
    pub fn nll(self, z: Tensor<2>) -> Tensor<1> {
        let d = z.dims()[1];
        match self {
            Self::Normal => {
                let zero = tensor_from(vec![0.0; d], [1, d]);
                ops::gaussian_nll(z, zero.clone(), zero)
            }
            // softplus(z) + softplus(−z), and softplus is the likelihood of a bit.
            Self::Logistic => {
                let [rows, d] = z.dims();
                let zeros = tensor_from(vec![0.0; rows * d], [rows, d]);
                let ones = zeros.clone() + 1.0;
                ops::bernoulli_nll(z.clone(), zeros) + ops::bernoulli_nll(z, ones)
            }
        }
    }

    /// log p of each row, nats.
    pub fn log_prob(self, z: &Batch) -> Vec<f64> {
        let of = |v: &f32| {
            let v = f64::from(*v);
            match self {
                Self::Normal => -0.5 * (v * v + libm::log(2.0 * PI)),
                Self::Logistic => -v.abs() - 2.0 * libm::log1p(libm::exp(-v.abs())),
            }
        };
        z.iter().map(|row| row.iter().map(of).sum()).collect()
    }

    /// Rows of so many values, further apart or closer by the factor `spread`.
    pub fn draw(self, rows: usize, dims: usize, spread: f64, rng: &mut Rng) -> Batch {
        Batch::from_fn(rows, dims, |_, _| {
            let v = match self {
                Self::Normal => rng.normal(),
                Self::Logistic => {
                    // Never at the ends, where the quantile is infinite.
                    let u = rng.uniform_f64().clamp(1e-300, 1.0 - f64::EPSILON);
                    libm::log(u) - libm::log1p(-u)
                }
            };
            (spread * v) as f32
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use genus_core::Seed;

    /// x = A c + b + noise, with one column of c the sum of two others: the first step takes x to the noise in units of its deviation.
    #[test]
    fn a_linear_step_begins_as_a_regression() {
        let mut rng = Seed::from(1).rng();
        let given = Batch::from_fn(4000, 3, |_, _| rng.normal() as f32);
        let given = Batch::from_fn(4000, 3, |r, c| {
            let g = given.row(r);
            if c == 2 { g[0] + g[1] } else { g[c] }
        });
        let noise = Batch::from_fn(4000, 2, |_, c| [0.1, 0.5][c] * rng.normal() as f32);
        let x = Batch::from_fn(4000, 2, |r, c| {
            let g = given.row(r);
            noise.row(r)[c] + if c == 0 { 2.0 * g[0] - g[1] + 0.7 } else { 3.0 * g[2] - 4.0 }
        });
        let mut params = Params::default();
        let warp = Warp::Affine { bound: 4.0 };
        let step = Step::coupling(2, Vec::new(), 3, &[], Activation::Identity, warp);
        let steps = Steps::new(&mut params, "step", 2, 3, vec![step], &mut rng);
        steps.begin(&mut params, &x, Some(&given)).unwrap();
        let (z, log_det) = steps.to_base(&params, &x, Some(&given)).unwrap();
        for (z, e) in z.iter().zip(noise.iter()) {
            // Slopes are known to a standard error of 0.016 of the deviation, and c lies within 6: 5 of them.
            assert!((z[0] - 10.0 * e[0]).abs() < 0.5 && (z[1] - 2.0 * e[1]).abs() < 0.5, "{z:?} {e:?}");
        }
        let want = -(0.1f64.ln() + 0.5f64.ln());
        assert!(log_det.iter().all(|l| (l - want).abs() < 0.08), "{} {want}", log_det[0]);
    }
}
