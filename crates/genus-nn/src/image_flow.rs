//! Flows over images: couplings whose networks are convolutions, and linear maps of the channels of each pixel.
//!
//! A row keeps its order all the way. What a step works on is a [`Grid`], the places of the row that make an image: squeezing,
//! splitting and masks make other grids of one, and move no value. Whatever is in no grid of a later step is split off.

use crate::flow::in_parts;
use crate::{Activation, Bijection, Convolution, Id, Linear, Params, Tensor, View, ops, tensor_from, values};
use genus_core::{Batch, Error, Result, Rng, Seed, Stop};
use genus_kernels::{Moved, Taps, Warp, gather_columns, put_columns};
use std::sync::Arc;

/// Places of a row as an image: channel k of pixel (y, x) is value `at[(y · width + x) · channels + k]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grid {
    extents: [usize; 2],
    channels: usize,
    at: Arc<[usize]>,
}

impl Grid {
    /// All values of an image of this height, width and number of channels.
    pub fn of(extents: [usize; 2], channels: usize) -> Self {
        Self { extents, channels, at: (0..extents[0] * extents[1] * channels).collect() }
    }

    /// Height and width.
    pub fn extents(&self) -> [usize; 2] {
        self.extents
    }

    /// Values of a pixel.
    pub fn channels(&self) -> usize {
        self.channels
    }

    fn pixels(&self) -> usize {
        self.extents[0] * self.extents[1]
    }

    /// Squares of 2 × 2 pixels as one pixel: first all channels of its upper left, then of its upper right, lower left and lower right.
    /// None if an extent is odd.
    pub fn squeezed(&self) -> Option<Self> {
        let [height, width] = self.extents;
        if !height.is_multiple_of(2) || !width.is_multiple_of(2) || self.at.is_empty() {
            return None;
        }
        let mut at = Vec::with_capacity(self.at.len());
        for y in 0..height / 2 {
            for x in 0..width / 2 {
                for (dy, dx) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
                    let pixel = (2 * y + dy) * width + 2 * x + dx;
                    at.extend_from_slice(&self.at[pixel * self.channels..][..self.channels]);
                }
            }
        }
        Some(Self { extents: [height / 2, width / 2], channels: 4 * self.channels, at: at.into() })
    }

    /// Some of the channels.
    pub fn only(&self, channels: &[usize]) -> Self {
        let pick = |pixel: &[usize]| channels.iter().map(|k| pixel[*k]).collect::<Vec<_>>();
        let at = self.at.chunks_exact(self.channels).flat_map(pick).collect();
        Self { extents: self.extents, channels: channels.len(), at }
    }
}

/// The network of a coupling: a convolution, hidden ones, and a last one that begins at zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConvNet {
    /// Blocks of two 3 × 3 convolutions of so many channels, added to what they see (He et al. 2016).
    Residual {
        /// Hidden channels.
        channels: usize,
        /// Number of blocks.
        blocks: usize,
    },
    /// 3 × 3, 1 × 1 and 3 × 3 (Kingma & Dhariwal 2018).
    Plain {
        /// Hidden channels.
        channels: usize,
    },
    /// One 3 × 3 convolution: the law of what is split off given the rest, in Glow.
    Single,
}

/// The network as parameters.
#[derive(Debug, Clone)]
struct Net {
    /// To hidden channels, with what is given added to all pixels.
    first: Option<(Convolution, Option<Linear>)>,
    /// Blocks that are added to what they see.
    blocks: Vec<[Convolution; 2]>,
    plain: Option<Convolution>,
    last: Convolution,
}

impl Net {
    fn new(
        params: &mut Params,
        name: &str,
        [inputs, context, outputs]: [usize; 3],
        of: ConvNet,
        rng: &mut Rng,
    ) -> Self {
        let (identity, relu) = (Activation::Identity, Activation::Relu);
        let mut conv = |params: &mut Params, part: &str, size: usize, from: usize, to: usize, act| {
            Convolution::new(
                params,
                &format!("{name}.{part}"),
                Taps::full(size, 1, size / 2),
                [from, to],
                act,
                rng,
            )
        };
        let (channels, count) = match of {
            ConvNet::Residual { channels, blocks } => (channels, blocks),
            ConvNet::Plain { channels } => (channels, 0),
            ConvNet::Single => (inputs, 0),
        };
        let first = (of != ConvNet::Single).then(|| conv(params, "first", 3, inputs, channels, identity));
        let block = |i| {
            let first = conv(params, &format!("{i}.0"), 3, channels, channels, relu);
            let second = conv(params, &format!("{i}.1"), 3, channels, channels, identity);
            // A block begins as the identity, so that depth changes no scale (Zhang, Dauphin & Ma 2019).
            second.reset(params);
            [first, second]
        };
        let blocks = (0..count).map(block).collect();
        let plain = matches!(of, ConvNet::Plain { .. })
            .then(|| conv(params, "middle", 1, channels, channels, identity));
        let last = conv(params, "last", 3, channels, outputs, identity);
        last.reset(params);
        let given = |first| {
            let linear = (context > 0)
                .then(|| Linear::new(params, &format!("{name}.given"), context, channels, identity, rng));
            (first, linear)
        };
        Self { first: first.map(given), blocks, plain, last }
    }

    /// # Shapes
    /// x `[rows, height, width, inputs]`, context `[rows, context]` → `[rows, height, width, outputs]`
    fn forward(&self, view: &View<'_>, x: Tensor<4>, context: Option<&Tensor<2>>) -> Tensor<4> {
        let Some((first, given)) = &self.first else { return self.end(view, x) };
        let mut h = first.forward(view, x);
        if let (Some(given), Some(context)) = (given, context) {
            let of = given.forward(view, context.clone());
            let [rows, channels] = of.dims();
            h = h + of.reshape([rows, 1, 1, channels]);
        }
        for [first, second] in &self.blocks {
            h = h.clone() + second.forward(view, first.forward(view, ops::relu(h)));
        }
        if let Some(middle) = &self.plain {
            h = middle.forward(view, ops::relu(h));
        }
        self.end(view, ops::relu(h))
    }

    /// The last convolution, weakened: a step of Adam moves each of its weights alike, and deep stacks do not survive if that moves the
    /// scales by a half.
    fn end(&self, view: &View<'_>, h: Tensor<4>) -> Tensor<4> {
        self.last.forward(view, h) * WEAK
    }
}

/// How much the last convolution is weakened.
const WEAK: f64 = 0.2;

/// Some places move by what a network says of others.
#[derive(Debug, Clone)]
struct Coupling {
    seen: Grid,
    moved: Arc<Moved>,
    net: Net,
}

impl Coupling {
    /// Parameters of the moves.
    ///
    /// # Shapes
    /// seen `[rows, pixels × channels]` → `[rows, moved × parameters of a move]`
    fn parameters(&self, view: &View<'_>, seen: Tensor<2>, context: Option<&Tensor<2>>) -> Tensor<2> {
        let (rows, [height, width]) = (seen.dims()[0], self.seen.extents);
        let of = self.net.forward(view, seen.reshape([rows, height, width, self.seen.channels]), context);
        of.reshape([rows, self.moved.places.len() * self.moved.warp.parameters()])
    }
}

/// A linear map of the channels of each pixel, the same everywhere: y = W e^s (x + t), which begins so that y of the first rows has mean 0
/// and deviation 1 before W, and W a rotation.
#[derive(Debug, Clone)]
struct Mix {
    grid: Grid,
    shift: Id,
    scale: Id,
    rotation: Option<Rotation>,
}

/// W = P L (U + diag(±e^d)), with a permutation and signs that never change (Kingma & Dhariwal 2018, equation 10).
#[derive(Debug, Clone)]
struct Rotation {
    lower: Id,
    upper: Id,
    diagonal: Id,
    /// Row i of L is row `permutation[i]` of W.
    permutation: Vec<usize>,
    signs: Vec<f32>,
}

/// Entries of a matrix below the diagonal, row by row, and above it.
fn triangle(n: usize, below: bool) -> impl Iterator<Item = (usize, usize)> {
    (0..n)
        .flat_map(move |i| (0..n).map(move |j| (i, j)))
        .filter(move |(i, j)| if below { j < i } else { j > i })
}

/// A random rotation, as the columns of normal numbers made orthogonal one after the other.
fn rotation(n: usize, rng: &mut Rng) -> Vec<Vec<f64>> {
    let mut rows: Vec<Vec<f64>> = Vec::with_capacity(n);
    while rows.len() < n {
        let mut row: Vec<f64> = (0..n).map(|_| rng.normal()).collect();
        for _ in 0..2 {
            for other in &rows {
                let dot: f64 = row.iter().zip(other).map(|(a, b)| a * b).sum();
                row.iter_mut().zip(other).for_each(|(a, b)| *a -= dot * b);
            }
        }
        let norm = row.iter().map(|v| v * v).sum::<f64>().sqrt();
        if norm > 1e-6 {
            rows.push(row.into_iter().map(|v| v / norm).collect());
        }
    }
    rows
}

impl Rotation {
    /// Begins as a rotation that is the same in every model, so that its permutation and signs need not be stored.
    fn new(params: &mut Params, name: &str, n: usize, index: usize) -> Self {
        let mut a = rotation(n, &mut Seed::from(0).child("rotation").index(index as u64).rng());
        let mut permutation: Vec<usize> = (0..n).collect();
        for k in 0..n {
            let largest = |best: usize, i: usize| if a[i][k].abs() > a[best][k].abs() { i } else { best };
            let pivot = (k..n).fold(k, largest);
            a.swap(k, pivot);
            permutation.swap(k, pivot);
            let (above, below) = a.split_at_mut(k + 1);
            for row in below {
                row[k] /= above[k][k];
                let factor = row[k];
                row[k + 1..].iter_mut().zip(&above[k][k + 1..]).for_each(|(v, u)| *v -= factor * u);
            }
        }
        let part = |below| triangle(n, below).map(|(i, j)| a[i][j] as f32).collect::<Vec<_>>();
        let half = n * (n - 1) / 2;
        Self {
            lower: params.add(format!("{name}.lower"), &[half], part(true)),
            upper: params.add(format!("{name}.upper"), &[half], part(false)),
            diagonal: params.add(
                format!("{name}.diagonal"),
                &[n],
                (0..n).map(|i| libm::log(a[i][i].abs()) as f32).collect(),
            ),
            signs: (0..n).map(|i| if a[i][i] < 0.0 { -1.0 } else { 1.0 }).collect(),
            permutation,
        }
    }

    /// W, as part of a graph.
    fn matrix(&self, view: &View<'_>) -> Tensor<2> {
        let n = self.signs.len();
        let [zero, one] = [0.0, 1.0].map(|v| tensor_from(vec![v], [1]));
        let half = n * (n - 1) / 2;
        let mut lower = vec![half; n * n];
        triangle(n, true).enumerate().for_each(|(k, (i, j))| lower[self.permutation[i] * n + j] = k);
        (0..n).for_each(|i| lower[self.permutation[i] * n + i] = half + 1);
        let left = Tensor::cat(vec![view.get::<1>(self.lower), zero.clone(), one], 0);
        let mut upper = vec![half; n * n];
        triangle(n, false).enumerate().for_each(|(k, (i, j))| upper[i * n + j] = k);
        (0..n).for_each(|i| upper[i * n + i] = half + 1 + i);
        let diagonal = view.get::<1>(self.diagonal).exp() * tensor_from(self.signs.clone(), [n]);
        let right = Tensor::cat(vec![view.get::<1>(self.upper), zero, diagonal], 0);
        let square = |all: Tensor<1>, at: &[usize]| ops::reorder(all, at).reshape([n, n]);
        square(left, &lower).matmul(square(right, &upper))
    }

    /// The factors in double precision: L and U with their diagonals, row by row.
    fn factors(&self, params: &Params) -> [Vec<f64>; 2] {
        let n = self.signs.len();
        let (mut lower, mut upper) = (vec![0.0; n * n], vec![0.0; n * n]);
        for (of, to, below) in [(self.lower, &mut lower, true), (self.upper, &mut upper, false)] {
            triangle(n, below).zip(params.values(of)).for_each(|((i, j), v)| to[i * n + j] = f64::from(v));
        }
        for (i, d) in params.values(self.diagonal).iter().enumerate() {
            lower[i * n + i] = 1.0;
            upper[i * n + i] = f64::from(self.signs[i]) * libm::exp(f64::from(*d));
        }
        [lower, upper]
    }
}

impl Mix {
    /// log |det| of all pixels together, nats.
    fn log_det(&self, params: &Params) -> f64 {
        let sum = |id| params.values(id).iter().map(|v| f64::from(*v)).sum::<f64>();
        let rotation = self.rotation.as_ref().map_or(0.0, |r| sum(r.diagonal));
        self.grid.pixels() as f64 * (sum(self.scale) + rotation)
    }

    fn forward(&self, view: &View<'_>, x: Tensor<2>) -> Tensor<2> {
        let (c, pixels) = (self.grid.channels, self.grid.pixels());
        let [rows, width] = x.dims();
        let (shift, scale) = (view.get::<1>(self.shift), view.get::<1>(self.scale));
        let mut log = scale.clone().sum();
        // Rows times a matrix: e^s goes to the rows of Wᵀ.
        let mut by = scale.exp().reshape([c, 1]) * identity(c);
        if let Some(rotation) = &self.rotation {
            log = log + view.get::<1>(rotation.diagonal).sum();
            by = by.matmul(rotation.matrix(view).transpose());
        }
        let bias = shift.reshape([1, c]).matmul(by.clone()).reshape([c]);
        let from = ops::columns(x.clone(), &self.grid.at).reshape([rows * pixels, c]);
        let to = ops::linear(from, by, bias, Activation::Identity, None).reshape([rows, pixels * c]);
        let last: Arc<[usize]> = Arc::new([width - 1]);
        let log = x.clone().narrow(1, width - 1, 1) + (log * pixels as f64).reshape([1, 1]);
        ops::put(ops::put(x, to, &self.grid.at), log, &last)
    }

    /// The same on plain rows of `dims` values, or `back`, in double precision.
    fn apply(&self, params: &Params, x: Vec<f32>, dims: usize, back: bool) -> Vec<f32> {
        let n = self.grid.channels;
        let wide = |id| params.values(id).iter().map(|v| f64::from(*v)).collect::<Vec<f64>>();
        let shift = wide(self.shift);
        let scale: Vec<f64> = wide(self.scale).into_iter().map(libm::exp).collect();
        let factors = self.rotation.as_ref().map(|r| (r.factors(params), &r.permutation));
        let mut pixels = gather_columns(&x, dims, &self.grid.at);
        let (mut v, mut w) = (vec![0.0f64; n], vec![0.0f64; n]);
        for pixel in pixels.chunks_exact_mut(n) {
            v.iter_mut().zip(&*pixel).for_each(|(v, p)| *v = f64::from(*p));
            if back {
                if let Some(([lower, upper], permutation)) = &factors {
                    w.iter_mut().zip(*permutation).for_each(|(w, p)| *w = v[*p]);
                    for i in 0..n {
                        let sum: f64 = (0..i).map(|j| lower[i * n + j] * w[j]).sum();
                        w[i] -= sum;
                    }
                    for i in (0..n).rev() {
                        let sum: f64 = (i + 1..n).map(|j| upper[i * n + j] * w[j]).sum();
                        w[i] = (w[i] - sum) / upper[i * n + i];
                    }
                    v.copy_from_slice(&w);
                }
                (0..n).for_each(|k| v[k] = v[k] / scale[k] - shift[k]);
            } else {
                (0..n).for_each(|k| v[k] = (v[k] + shift[k]) * scale[k]);
                if let Some(([lower, upper], permutation)) = &factors {
                    (0..n).for_each(|i| w[i] = (i..n).map(|j| upper[i * n + j] * v[j]).sum());
                    (0..n).for_each(|i| v[permutation[i]] = (0..=i).map(|j| lower[i * n + j] * w[j]).sum());
                }
            }
            pixel.iter_mut().zip(&v).for_each(|(p, v)| *p = *v as f32);
        }
        put_columns(x, dims, &self.grid.at, &pixels)
    }

    /// Sets shift and scale so that each channel of these rows has mean 0 and deviation 1.
    fn begin(&self, params: &mut Params, x: &[f32], dims: usize) {
        let n = self.grid.channels;
        let pixels = gather_columns(x, dims, &self.grid.at);
        let count = (pixels.len() / n).max(1) as f64;
        let (mut sum, mut squares) = (vec![0.0f64; n], vec![0.0f64; n]);
        for pixel in pixels.chunks_exact(n) {
            for (k, v) in pixel.iter().enumerate() {
                sum[k] += f64::from(*v);
                squares[k] += f64::from(*v) * f64::from(*v);
            }
        }
        let mean: Vec<f64> = sum.iter().map(|s| s / count).collect();
        let deviation = |k: usize| (squares[k] / count - mean[k] * mean[k]).max(0.0).sqrt();
        params.set(self.shift, mean.iter().map(|m| -*m as f32).collect());
        // A channel that hardly varies is not blown up.
        params.set(self.scale, (0..n).map(|k| -libm::log(deviation(k).max(1e-3)) as f32).collect());
    }
}

fn identity(n: usize) -> Tensor<2> {
    let mut one = vec![0.0; n * n];
    (0..n).for_each(|i| one[i * n + i] = 1.0);
    tensor_from(one, [n, n])
}

#[derive(Debug, Clone)]
enum Part {
    Coupling(Coupling),
    Mix(Mix),
}

/// Steps over the grids of an image.
#[derive(Debug, Clone)]
pub struct ImageFlow {
    dims: usize,
    context: usize,
    parts: Vec<Part>,
    scales: Vec<Vec<usize>>,
}

/// Values of the rows of a pass of a training.
const VALUES: usize = 1 << 16;
/// Rows of a piece outside of training, after which a request to end is heard.
const PIECE: usize = 64;

impl ImageFlow {
    /// No step yet, over rows of so many values, each with so many that are given.
    pub fn new(dims: usize, context: usize) -> Self {
        Self { dims, context, parts: Vec::new(), scales: Vec::new() }
    }

    /// The places of `moved` move by what a network says of those of `seen`, which are others. It begins as the identity.
    /// Panics if the grids have different extents.
    pub fn couple(
        &mut self,
        params: &mut Params,
        [seen, moved]: [&Grid; 2],
        net: ConvNet,
        warp: Warp,
        rng: &mut Rng,
    ) {
        assert_eq!(seen.extents, moved.extents, "images of one size");
        let name = format!("coupling.{}", self.parts.len());
        let outputs = moved.channels * warp.parameters();
        let net = Net::new(params, &name, [seen.channels, self.context, outputs], net, rng);
        let moved = Moved { dims: self.dims, places: moved.at.to_vec(), warp };
        self.parts.push(Part::Coupling(Coupling { seen: seen.clone(), moved: Arc::new(moved), net }));
    }

    /// A shift and a scale of each channel, which begin by the first rows ([`begin`](Bijection::begin)), and with `rotation` an invertible
    /// product of the channels after them (actnorm and 1 × 1 convolution of Kingma & Dhariwal 2018).
    pub fn mix(&mut self, params: &mut Params, grid: &Grid, rotation: bool) {
        let (n, at) = (grid.channels, self.parts.len());
        let name = format!("mix.{at}");
        self.parts.push(Part::Mix(Mix {
            grid: grid.clone(),
            shift: params.add(format!("{name}.shift"), &[n], vec![0.0; n]),
            scale: params.add(format!("{name}.scale"), &[n], vec![0.0; n]),
            rotation: rotation.then(|| Rotation::new(params, &name, n, at)),
        }));
    }

    /// No later step has these values: they are of one scale.
    pub fn leave(&mut self, grid: &Grid) {
        self.scales.push(grid.at.to_vec());
    }

    /// A piece of rows through a step, and log |det| of each.
    fn step(
        &self,
        part: &Part,
        params: &Params,
        mut x: Vec<f32>,
        context: Option<&Tensor<2>>,
        back: bool,
    ) -> (Vec<f32>, Vec<f64>) {
        match part {
            Part::Coupling(c) => {
                let seen = gather_columns(&x, self.dims, &c.seen.at);
                let seen = tensor_from(seen, [x.len() / self.dims, c.seen.at.len()]);
                let of = values(c.parameters(&params.frozen(), seen, context));
                let log = c.moved.apply(&mut x, &of, back);
                (x, log)
            }
            Part::Mix(m) => {
                let log = m.log_det(params) * if back { -1.0 } else { 1.0 };
                let rows = x.len() / self.dims;
                (m.apply(params, x, self.dims, back), vec![log; rows])
            }
        }
    }

    fn through(
        &self,
        params: &Params,
        parts: &[Part],
        x: &Batch,
        context: Option<&Batch>,
        back: bool,
    ) -> Result<(Batch, Vec<f64>)> {
        let (mut all, mut logs) = (Vec::with_capacity(x.data().len()), Vec::with_capacity(x.rows()));
        let stop = Stop::current();
        let order: Vec<&Part> = if back { parts.iter().rev().collect() } else { parts.iter().collect() };
        for start in (0..x.rows()).step_by(PIECE) {
            let mut rows = x.slice(start, start + PIECE).into_data();
            let given = context.map(|c| crate::tensor(c.slice(start, start + PIECE)));
            let mut sum = vec![0.0; rows.len() / self.dims];
            for part in &order {
                stop.check()?;
                let (moved, log) = self.step(part, params, rows, given.as_ref(), back);
                rows = moved;
                sum.iter_mut().zip(log).for_each(|(s, l)| *s += l);
            }
            all.extend(rows);
            logs.extend(sum);
        }
        Ok((Batch::new(all, x.width())?, logs))
    }
}

impl Bijection for ImageFlow {
    fn dims(&self) -> usize {
        self.dims
    }

    fn forward(&self, view: &View<'_>, x: Tensor<2>, context: Option<&Tensor<2>>) -> Tensor<2> {
        self.parts.iter().fold(x, |x, part| match part {
            Part::Coupling(c) => {
                let of = c.parameters(view, ops::columns(x.clone(), &c.seen.at), context);
                ops::moved(x, of, &c.moved)
            }
            Part::Mix(m) => m.forward(view, x),
        })
    }

    fn to_base(&self, params: &Params, x: &Batch, context: Option<&Batch>) -> Result<(Batch, Vec<f64>)> {
        self.through(params, &self.parts, x, context, false)
    }

    fn to_rows(&self, params: &Params, y: &Batch, context: Option<&Batch>) -> Result<Batch> {
        Ok(self.through(params, &self.parts, y, context, true)?.0)
    }

    fn path(&self, params: &Params, y: &Batch, context: Option<&Batch>, parts: usize) -> Result<Vec<Batch>> {
        let (mut y, mut path) = (y.clone(), Vec::new());
        for range in in_parts(self.parts.len(), parts).into_iter().rev() {
            y = self.through(params, &self.parts[range], &y, context, true)?.0;
            path.push(y.clone());
        }
        Ok(path)
    }

    fn most_rows(&self) -> usize {
        (VALUES / self.dims.max(1)).max(1)
    }

    fn scales(&self) -> Vec<Vec<usize>> {
        self.scales.clone()
    }

    fn begin(&self, params: &mut Params, x: &Batch, context: Option<&Batch>) -> Result<()> {
        let given = context.map(|c| crate::tensor(c.clone()));
        let mut rows = x.data().to_vec();
        for part in &self.parts {
            Stop::current().check()?;
            if let Part::Mix(mix) = part {
                mix.begin(params, &rows, self.dims);
            }
            rows = self.step(part, params, rows, given.as_ref(), false).0;
        }
        match rows.iter().all(|v| v.is_finite()) {
            true => Ok(()),
            false => Err(Error::Numerical {
                what: "a value of the first rows on the way to the base".into(),
                step: 0,
                remedy: "standardise the rows".into(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn squeezing_keeps_squares_together() {
        let grid = Grid::of([4, 6], 1).squeezed().unwrap();
        assert_eq!((grid.extents, grid.channels), ([2, 3], 4));
        assert_eq!(grid.at[4..8], [2, 3, 8, 9]);
        let twice = Grid::of([4, 4], 3).squeezed().unwrap().only(&[0, 11]).squeezed().unwrap();
        // Upper left of red and lower right of blue of each of the four squares.
        assert_eq!(twice.at[..], [0, 17, 6, 23, 24, 41, 30, 47]);
        assert!(Grid::of([3, 4], 1).squeezed().is_none());
        // Upper left and lower right of every square are a checkerboard.
        let kept = Grid::of([4, 4], 1).squeezed().unwrap().only(&[0, 3]);
        assert!(kept.at.iter().all(|p| (p / 4 + p % 4) % 2 == 0));
    }

    /// A flow of every kind of step, with parameters away from their start.
    fn flow(context: usize) -> (Params, ImageFlow) {
        let mut params = Params::default();
        let mut rng = Seed::from(3).rng();
        let grid = Grid::of([4, 4], 1).squeezed().unwrap();
        let mut flow = ImageFlow::new(16, context);
        let warp = Warp::Affine { bound: 2.0 };
        let [a, b] = [grid.only(&[0, 3]), grid.only(&[1, 2])];
        flow.mix(&mut params, &grid, false);
        flow.couple(&mut params, [&a, &b], ConvNet::Residual { channels: 5, blocks: 1 }, warp, &mut rng);
        flow.mix(&mut params, &grid, true);
        flow.couple(&mut params, [&b, &a], ConvNet::Plain { channels: 4 }, warp, &mut rng);
        let [kept, off] = [grid.only(&[0, 1]), grid.only(&[2, 3])];
        flow.couple(&mut params, [&kept, &off], ConvNet::Single, warp, &mut rng);
        flow.mix(&mut params, &kept.squeezed().unwrap(), true);
        for id in params.ids().collect::<Vec<_>>() {
            let moved = params.values(id).iter().map(|w| w + 0.2 * rng.normal() as f32).collect();
            params.set(id, moved);
        }
        (params, flow)
    }

    /// The way back meets the way there, the graph says what the passes outside of training say, and the log-determinant is that of
    /// difference quotients in all 16 directions.
    #[test]
    fn steps_are_invertible_and_know_their_determinant() {
        for context in [0, 2] {
            let (params, flow) = flow(context);
            let mut rng = Seed::from(4).rng();
            let x = Batch::from_fn(70, 16, |_, _| rng.normal() as f32);
            let given = (context > 0).then(|| Batch::from_fn(70, context, |_, _| rng.normal() as f32));
            let (z, log_det) = flow.to_base(&params, &x, given.as_ref()).unwrap();
            let back = flow.to_rows(&params, &z, given.as_ref()).unwrap();
            let path = flow.path(&params, &z, given.as_ref(), 4).unwrap();
            assert_eq!((path.len(), path[3].data()), (4, back.data()));
            assert!(x.data().iter().zip(back.data()).all(|(a, b)| (a - b).abs() < 2e-5));
            let rows = crate::tensor(Batch::from_fn(70, 17, |r, c| x.row(r).get(c).copied().unwrap_or(0.0)));
            let tensor = given.clone().map(crate::tensor);
            let graph = values(flow.forward(&params.frozen(), rows, tensor.as_ref()));
            for (r, row) in graph.chunks_exact(17).enumerate() {
                assert!(row.iter().zip(z.row(r)).all(|(a, b)| (a - b).abs() < 1e-4));
                assert!((f64::from(row[16]) - log_det[r]).abs() < 1e-4);
            }
            // One row: the determinant of central differences, by elimination.
            let h = 1e-2f32;
            let moved = Batch::from_fn(32, 16, |r, c| {
                x.row(0)[c] + if c == r / 2 { if r % 2 == 0 { h } else { -h } } else { 0.0 }
            });
            let first = given.as_ref().map(|g| Batch::from_fn(32, context, |_, c| g.row(0)[c]));
            let ends = flow.to_base(&params, &moved, first.as_ref()).unwrap().0;
            let slope = |d: usize, c: usize| {
                f64::from(ends.row(2 * d)[c] - ends.row(2 * d + 1)[c]) / f64::from(2.0 * h)
            };
            let mut a: Vec<Vec<f64>> = (0..16).map(|d| (0..16).map(|c| slope(d, c)).collect()).collect();
            let mut log = 0.0;
            for k in 0..16 {
                let pivot = (k..16).max_by(|i, j| a[*i][k].abs().total_cmp(&a[*j][k].abs())).unwrap();
                a.swap(k, pivot);
                log += a[k][k].abs().ln();
                let top = a[k].clone();
                for row in &mut a[k + 1..] {
                    let f = row[k] / top[k];
                    row.iter_mut().zip(&top).for_each(|(v, t)| *v -= f * t);
                }
            }
            assert!((log - log_det[0]).abs() < 0.02, "{log} {}", log_det[0]);
        }
    }

    /// After it has begun, the first step gives channels of mean 0 and deviation 1; where a channel is constant, nothing diverges.
    #[test]
    fn it_begins_by_the_first_rows() {
        let (mut params, flow) = flow(0);
        let mut rng = Seed::from(5).rng();
        let x = Batch::from_fn(200, 16, |_, c| if c == 0 { 7.0 } else { 5.0 + 3.0 * rng.normal() as f32 });
        flow.begin(&mut params, &x, None).unwrap();
        let first = flow.step(&flow.parts[0], &params, x.data().to_vec(), None, false).0;
        // Upper right of every square.
        let channel: Vec<f64> =
            first.chunks_exact(16).flat_map(|r| [1, 3, 9, 11].map(|p| f64::from(r[p]))).collect();
        let mean = channel.iter().sum::<f64>() / 800.0;
        let square = channel.iter().map(|v| v * v).sum::<f64>() / 800.0;
        assert!(mean.abs() < 1e-5 && (square - 1.0).abs() < 1e-4, "{mean} {square}");
        let (z, log_det) = flow.to_base(&params, &x, None).unwrap();
        assert!(z.data().iter().all(|v| v.is_finite()) && log_det.iter().all(|v| v.is_finite()));
    }

    /// Gradients of −log p under a normal base against difference quotients, in every array.
    #[test]
    fn gradients_are_those_of_difference_quotients() {
        let (mut params, flow) = flow(2);
        let mut rng = Seed::from(6).rng();
        let x = Batch::from_fn(3, 17, |_, c| if c == 16 { 0.0 } else { rng.normal() as f32 });
        let given = crate::tensor(Batch::from_fn(3, 2, |_, _| rng.normal() as f32));
        let found = crate::gradcheck::check(
            &mut params,
            Seed::from(1),
            |_, _| {},
            |view| {
                let z = flow.forward(view, crate::tensor(x.clone()), Some(&given));
                let log_det = z.clone().narrow(1, 16, 1).squeeze_dim::<1>(1);
                Ok(crate::Loss::new((crate::Base::Normal.nll(z.narrow(1, 0, 16)) - log_det).mean()))
            },
        );
        for d in found.unwrap() {
            assert!(d.error < 2e-2, "{}: {}", d.name, d.error);
        }
    }
}
