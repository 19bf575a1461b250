//! Networks between rows and features: [`Analysis`] from rows to features, [`Synthesis`] from codes to rows. Their layers are dense, or
//! convolutions of stride 2 that halve an image and double its channels (Radford, Metz & Chintala 2016), as [`Form`] says.
//!
//! The gradient of an analysis with respect to its rows is an expression of its parameters like any other
//! ([`Analysis::adjoint`]), so that what depends on it, as a gradient penalty does, is differentiated as usual.

use crate::{Activation, Conv, Id, Params, Taps, Tensor, View, ops, tensor_from, values};
use genus_core::{Error, Result, Rng, Shape};
use genus_kernels::{EPSILON, channel_moments};
use std::sync::Arc;

/// Most often that an image is halved.
const HALVINGS: usize = 4;
/// Least side of an image that is halved more than once.
const LEAST: usize = 4;
/// A kernel of 4 × 4 taps, which a stride of 2 covers evenly.
const TAPS: usize = 4;

/// What the layers of a network between rows and features are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Form {
    /// Dense layers of so many units, in the order from rows to features.
    Dense(Vec<usize>),
    /// Convolutions that halve the image while it is even and stays 4 pixels wide, one of 4 pixels once, with so many channels in the first, twice as many in the next …
    Convolutions(usize),
}

impl Form {
    /// Whether an image has convolutions of stride 2 at all.
    pub fn fits(shape: &Shape) -> bool {
        matches!(*shape, Shape::Image { height, width, .. } if halvings([height, width]) > 0)
    }

    /// The layers from rows to features: what goes in and what comes out of each.
    fn steps(&self, rows: &Shape, key: &str) -> Result<Vec<Kind>> {
        match (self, rows) {
            (Self::Dense(units), _) => {
                let mut from = rows.width();
                Ok(units.iter().map(|to| Kind::Dense([std::mem::replace(&mut from, *to), *to])).collect())
            }
            (Self::Convolutions(channels), Shape::Image { height, width, channels: colours }) => {
                let (mut extents, mut from, mut to) = ([*height, *width], *colours, *channels);
                let mut kinds = Vec::new();
                for _ in 0..halvings(extents) {
                    let conv = Conv { taps: Taps::full(TAPS, 2, 1), inputs: from, outputs: to };
                    kinds.push(Kind::Conv { conv: Arc::new(conv), large: extents });
                    extents = extents.map(|n| n / 2);
                    (from, to) = (to, to.saturating_mul(2));
                }
                match kinds.is_empty() {
                    true => Err(Error::config(
                        key,
                        format!(
                            "convolutions of stride 2 need even sides of 4 pixels at least, and images have {height} × {width}; take dense networks"
                        ),
                    )),
                    false => Ok(kinds),
                }
            }
            (Self::Convolutions(_), Shape::Flat(_)) => {
                Err(Error::config(key, "rows are no images; take dense networks"))
            }
        }
    }
}

/// How often an image can be halved.
fn halvings(mut extents: [usize; 2]) -> usize {
    let mut n = 0;
    while n < HALVINGS
        && extents.iter().all(|e| e.is_multiple_of(2) && (e / 2 >= LEAST || n == 0 && *e == LEAST))
    {
        extents = extents.map(|e| e / 2);
        n += 1;
    }
    n
}

/// What keeps the scale of hidden layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Normalize {
    /// Nothing.
    #[default]
    Not,
    /// Batch normalisation (Ioffe & Szegedy 2015).
    Batch,
    /// Division of the weights by their largest singular value (Miyato, Kataoka, Koyama & Yoshida 2018).
    Spectral,
}

/// A product, seen from rows to features.
#[derive(Debug, Clone)]
enum Kind {
    Dense([usize; 2]),
    Conv { conv: Arc<Conv>, large: [usize; 2] },
}

impl Kind {
    /// Values on the side of the rows, and on that of the features.
    fn widths(&self) -> [usize; 2] {
        match self {
            Self::Dense(widths) => *widths,
            Self::Conv { conv, large } => {
                let values = |[h, w]: [usize; 2], channels: usize| (h * w).saturating_mul(channels);
                [values(*large, conv.inputs), values(conv.taps.output(*large), conv.outputs)]
            }
        }
    }

    /// Channels on both sides.
    fn channels(&self) -> [usize; 2] {
        match self {
            Self::Dense(widths) => *widths,
            Self::Conv { conv, .. } => [conv.inputs, conv.outputs],
        }
    }

    /// Inputs and outputs of the matrix that the weights are.
    fn extents(&self) -> [usize; 2] {
        match self {
            Self::Dense(widths) => *widths,
            Self::Conv { conv, .. } => [conv.taps.count().saturating_mul(conv.inputs), conv.outputs],
        }
    }

    /// Refuses layers that are too large, before they are made.
    fn afford(kinds: &[Self], key: &str) -> Result<()> {
        let extents: Vec<[usize; 2]> = kinds.iter().map(Self::extents).collect();
        crate::afford(key, &extents.iter().map(|e| &e[..]).collect::<Vec<_>>())
    }

    fn shape(&self) -> Vec<usize> {
        match self {
            Self::Dense(widths) => widths.to_vec(),
            Self::Conv { conv, .. } => vec![conv.taps.count(), conv.inputs, conv.outputs],
        }
    }

    /// Adds the weights, drawn so that values keep their scale before this activation.
    fn weights(&self, name: &str, fan: usize, act: Activation, params: &mut Params, rng: &mut Rng) -> Id {
        let gain = if matches!(act, Activation::Relu | Activation::LeakyRelu) { 6.0 } else { 3.0 };
        params.uniform(format!("{name}.w"), &self.shape(), libm::sqrt(gain / fan as f64), rng)
    }

    /// The weights as a matrix `[…, features]`.
    fn matrix(&self, view: &View<'_>, w: Id) -> Tensor<2> {
        match self {
            Self::Dense(_) => view.get(w),
            Self::Conv { .. } => view.get::<3>(w).reshape(self.extents()),
        }
    }

    /// f(x W + b) towards the features.
    fn down(&self, x: Tensor<2>, w: Tensor<2>, b: Tensor<1>, act: Activation) -> Tensor<2> {
        match self {
            Self::Dense(_) => ops::linear(x, w, b, act, None),
            Self::Conv { conv, large: [h, wide] } => {
                let n = x.dims()[0];
                let w = w.reshape([conv.taps.count(), conv.inputs, conv.outputs]);
                let y = ops::conv(x.reshape([n, *h, *wide, conv.inputs]), w, b, conv, act);
                y.reshape([n, self.widths()[1]])
            }
        }
    }

    /// f(x Wᵀ + b) towards the rows; a dense layer has no f.
    fn up(&self, x: Tensor<2>, w: Tensor<2>, b: Tensor<1>, act: Activation) -> Tensor<2> {
        match self {
            Self::Dense(_) => ops::tied(x, w, b),
            Self::Conv { conv, large } => {
                let (n, [h, wide]) = (x.dims()[0], conv.taps.output(*large));
                let w = w.reshape([conv.taps.count(), conv.inputs, conv.outputs]);
                let y = ops::conv_transposed(x.reshape([n, h, wide, conv.outputs]), w, b, conv, act);
                y.reshape([n, self.widths()[0]])
            }
        }
    }
}

/// Normalises each channel of rows or images, which follow one another.
fn normalized(x: Tensor<2>, view: &View<'_>, scale: Id, shift: Id, act: Activation) -> Tensor<2> {
    let [rows, width] = x.dims();
    let channels = view.params().shape(scale)[0];
    let x = x.reshape([rows * width / channels, channels]);
    ops::batch_norm(x, view.get(scale), view.get(shift), act).reshape([rows, width])
}

fn zeros(n: usize) -> Tensor<1> {
    tensor_from(vec![0.0; n], [n])
}

#[derive(Debug, Clone)]
struct Seen {
    kind: Kind,
    w: Id,
    b: Id,
    batch: Option<Id>,
    /// The left singular vector of the weights as far as it has been found, on the side of the features.
    singular: Option<Id>,
}

impl Seen {
    /// The weights, and the next singular vector where they are divided by their largest singular value.
    fn weights(&self, view: &View<'_>) -> (Tensor<2>, Option<Vec<f32>>) {
        let w = self.kind.matrix(view, self.w);
        let Some(u) = self.singular else { return (w, None) };
        let [rows, columns] = w.dims();
        let u = view.get::<1>(u).inner().reshape([columns, 1]);
        let plain = w.clone().inner();
        let v = unit(plain.clone().matmul(u));
        let u = unit(plain.transpose().matmul(v.clone()));
        let next = values(u.clone());
        // v and u are constants: what is differentiated is vᵀ W u.
        let largest = v.reshape([1, rows]).matmul(w.clone()).matmul(u);
        (w / largest, Some(next))
    }
}

fn unit(v: Tensor<2>) -> Tensor<2> {
    let size = (v.clone() * v.clone()).sum().sqrt() + 1e-12;
    v / size.reshape([1, 1])
}

/// From rows to features, by leaky relu.
#[derive(Debug, Clone)]
pub struct Analysis {
    layers: Vec<Seen>,
    width: usize,
}

/// The activation of an analysis, which is made of straight lines.
const LEAKY: Activation = Activation::LeakyRelu;

impl Analysis {
    /// Adds layers `name.0`, `name.1` …; all but the first are normalised where that is by the batch.
    ///
    /// # Errors
    /// [`Error::Config`] on `key` if rows have no such form.
    pub fn new(
        params: &mut Params,
        name: &str,
        key: &str,
        rows: &Shape,
        form: &Form,
        normalize: Normalize,
        rng: &mut Rng,
    ) -> Result<Self> {
        let kinds = form.steps(rows, key)?;
        Kind::afford(&kinds, key)?;
        let width = kinds.last().map_or(rows.width(), |k| k.widths()[1]);
        let layer = |(i, kind): (usize, Kind)| {
            let name = format!("{name}.{i}");
            let fan = match &kind {
                Kind::Dense([from, _]) => *from,
                Kind::Conv { conv, .. } => conv.taps.count() * conv.inputs,
            };
            let w = kind.weights(&name, fan, LEAKY, params, rng);
            let channels = kind.channels()[1];
            let b = params.add(format!("{name}.b"), &[channels], vec![0.0; channels]);
            let batch = (normalize == Normalize::Batch && i > 0)
                .then(|| params.add(format!("{name}.scale"), &[channels], vec![1.0; channels]));
            let singular = (normalize == Normalize::Spectral).then(|| {
                let u = (0..channels).map(|_| rng.normal() as f32).collect();
                params.buffer(format!("{name}.singular"), &[channels], u)
            });
            Seen { kind, w, b, batch, singular }
        };
        Ok(Self { layers: kinds.into_iter().enumerate().map(layer).collect(), width })
    }

    /// Number of features.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Id of the weights of the first layer, if there is one.
    pub fn first_weights(&self) -> Option<Id> {
        self.layers.first().map(|l| l.w)
    }

    /// What every layer gives, the rows first and the features last, and new values of buffers.
    ///
    /// # Shapes
    /// x `[rows, width]` → `[rows, …]` each
    pub fn forward(&self, view: &View<'_>, x: Tensor<2>) -> (Vec<Tensor<2>>, Vec<(Id, Vec<f32>)>) {
        let (mut outputs, mut buffers) = (vec![x.clone()], Vec::new());
        let mut x = x;
        for layer in &self.layers {
            let (w, next) = layer.weights(view);
            x = match layer.batch {
                Some(scale) => {
                    let z = layer.kind.down(x, w, zeros(layer.kind.channels()[1]), Activation::Identity);
                    normalized(z, view, scale, layer.b, LEAKY)
                }
                None => layer.kind.down(x, w, view.get(layer.b), LEAKY),
            };
            outputs.push(x.clone());
            buffers.extend(layer.singular.zip(next));
        }
        (outputs, buffers)
    }

    /// The gradient with respect to the rows of what has the gradient g with respect to the features: an expression of the weights, in
    /// which the [`outputs`](Self::forward) at these rows are constants. Panics if layers are normalised by the batch.
    ///
    /// # Shapes
    /// g `[rows, features]` → `[rows, width]`
    pub fn adjoint(&self, view: &View<'_>, outputs: &[Tensor<2>], g: Tensor<2>) -> Tensor<2> {
        self.layers.iter().zip(&outputs[1..]).rev().fold(g, |g, (layer, y)| {
            assert!(layer.batch.is_none(), "rows of a batch that is normalised see each other");
            let g = ops::slope(g, y.clone(), LEAKY);
            layer.kind.up(g, layer.weights(view).0, zeros(layer.kind.channels()[0]), Activation::Identity)
        })
    }
}

/// Factors of the channels of a normalised layer, and the statistics that it has once it is settled.
#[derive(Debug, Clone, Copy)]
struct Scale {
    scale: Id,
    mean: Id,
    variance: Id,
}

#[derive(Debug, Clone)]
struct Made {
    kind: Kind,
    w: Id,
    b: Id,
    batch: Option<Scale>,
    act: Activation,
}

impl Made {
    /// f(x W + b) towards the rows.
    fn product(&self, view: &View<'_>, x: Tensor<2>, b: Tensor<1>, act: Activation) -> Tensor<2> {
        let w = self.kind.matrix(view, self.w);
        match self.kind {
            Kind::Dense(_) => self.kind.down(x, w, b, act),
            Kind::Conv { .. } => self.kind.up(x, w, b, act),
        }
    }

    /// Before normalisation.
    fn plain(&self, view: &View<'_>, x: Tensor<2>) -> Tensor<2> {
        self.product(view, x, zeros(self.channels()), Activation::Identity)
    }

    /// Numbers that a bias has, unless the layer is normalised.
    fn channels(&self) -> usize {
        match self.kind {
            Kind::Dense([_, to]) => to,
            Kind::Conv { ref conv, .. } => conv.inputs,
        }
    }

    /// As a batch sees it, or, once statistics are settled, a row by itself.
    fn forward(&self, view: &View<'_>, x: Tensor<2>, settled: bool) -> Tensor<2> {
        let Some(Scale { scale, mean, variance }) = self.batch else {
            return self.product(view, x, view.get(self.b), self.act);
        };
        let x = self.plain(view, x);
        if !settled {
            return normalized(x, view, scale, self.b, self.act);
        }
        self.by_statistics(view, x, &Scale { scale, mean, variance })
    }

    /// What follows the product in a normalised layer whose statistics are settled.
    fn by_statistics(&self, view: &View<'_>, x: Tensor<2>, of: &Scale) -> Tensor<2> {
        let Scale { scale, mean, variance } = *of;
        let factor = view.get::<1>(scale) / (view.get::<1>(variance) + EPSILON).sqrt();
        let shift = view.get::<1>(self.b) - view.get::<1>(mean) * factor.clone();
        let ([rows, width], channels) = (x.dims(), factor.dims()[0]);
        let x = x.reshape([rows * width / channels, channels]);
        ops::relu(x * factor.unsqueeze() + shift.unsqueeze()).reshape([rows, width])
    }
}

/// From codes to rows, by relu.
#[derive(Debug, Clone)]
pub struct Synthesis {
    layers: Vec<Made>,
}

impl Synthesis {
    /// Adds layers `name.0`, `name.1` …, all but the last of which may be normalised by the batch; the last has the given activation.
    ///
    /// # Errors
    /// [`Error::Config`] on `key` if rows have no such form.
    #[allow(clippy::too_many_arguments)] // what a network is made of
    pub fn new(
        params: &mut Params,
        name: &str,
        key: &str,
        code: usize,
        rows: &Shape,
        form: &Form,
        normalize: bool,
        last: Activation,
        rng: &mut Rng,
    ) -> Result<Self> {
        let seen = form.steps(rows, key)?;
        let [mut from, mut channels] = [rows.width(); 2];
        if let Some(kind) = seen.last() {
            [from, channels] = [kind.widths()[1], kind.channels()[1]];
        }
        // What a layer of an analysis sees is what a layer of its mirror gives.
        let mirrored = seen.into_iter().rev().map(|kind| match kind {
            Kind::Dense([from, to]) => Kind::Dense([to, from]),
            conv @ Kind::Conv { .. } => conv,
        });
        let kinds: Vec<Kind> = std::iter::once(Kind::Dense([code, from])).chain(mirrored).collect();
        Kind::afford(&kinds, key)?;
        let count = kinds.len();
        let layer = |(i, kind): (usize, Kind)| {
            let (act, name) = (if i + 1 == count { last } else { Activation::Relu }, format!("{name}.{i}"));
            let fan = match kind {
                Kind::Dense([from, _]) => from,
                // Each pixel is seen through a quarter of the taps.
                Kind::Conv { ref conv, .. } => conv.taps.count() * conv.outputs / 4,
            };
            let w = kind.weights(&name, fan, act, params, rng);
            let mut made = Made { kind, w, b: w, batch: None, act };
            let mut wide = made.channels();
            if normalize && i + 1 < count {
                // The first layer gives an image too, where the next one takes one.
                wide = if i == 0 { channels } else { wide };
                made.batch = Some(Scale {
                    scale: params.add(format!("{name}.scale"), &[wide], vec![1.0; wide]),
                    mean: params.buffer(format!("{name}.mean"), &[wide], vec![0.0; wide]),
                    variance: params.buffer(format!("{name}.variance"), &[wide], vec![1.0; wide]),
                });
            }
            made.b = params.add(format!("{name}.b"), &[wide], vec![0.0; wide]);
            made
        };
        Ok(Self { layers: kinds.into_iter().enumerate().map(layer).collect() })
    }

    /// Rows of codes, normalised by what the batch is.
    ///
    /// # Shapes
    /// z `[rows, code]` → `[rows, width]`
    pub fn forward(&self, view: &View<'_>, z: Tensor<2>) -> Tensor<2> {
        self.layers.iter().fold(z, |x, layer| layer.forward(view, x, false))
    }

    /// Rows of codes one by one, normalised by the statistics that were [settled](Self::settle).
    ///
    /// # Shapes
    /// As [`forward`](Self::forward)
    pub fn settled(&self, view: &View<'_>, z: Tensor<2>) -> Tensor<2> {
        self.layers.iter().fold(z, |x, layer| layer.forward(view, x, true))
    }

    /// Sets the statistics of normalised layers to those that [`forward`](Self::forward) sees of these codes.
    pub fn settle(&self, params: &mut Params, z: Tensor<2>) {
        let Some(last) = self.layers.iter().rposition(|layer| layer.batch.is_some()) else { return };
        let mut x = z;
        for layer in &self.layers[..=last] {
            let Some(of) = &layer.batch else {
                x = layer.forward(&params.frozen(), x, true);
                continue;
            };
            let product = layer.plain(&params.frozen(), x);
            let found = channel_moments(&values(product.clone()), params.shape(of.scale)[0]);
            for (id, moments) in [of.mean, of.variance].into_iter().zip(found) {
                params.set(id, moments.into_iter().map(|v| v as f32).collect());
            }
            x = layer.by_statistics(&params.frozen(), product, of);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Loss, gradcheck};
    use genus_core::Seed;

    const IMAGE: Shape = Shape::Image { height: 8, width: 12, channels: 2 };

    fn rows(n: usize, width: usize, seed: u64) -> Tensor<2> {
        let mut rng = Seed::from(seed).rng();
        tensor_from((0..n * width).map(|_| rng.normal() as f32).collect(), [n, width])
    }

    fn forms() -> [(Shape, Form); 2] {
        [(Shape::Flat(5), Form::Dense(vec![7, 4])), (IMAGE, Form::Convolutions(3))]
    }

    /// Away from the start, where units that see nothing lie on the kink.
    fn disturb(params: &mut Params, rng: &mut Rng) {
        for id in params.members(crate::Group::default()) {
            let v = params.values(id).iter().map(|v| v + 0.1 * rng.normal() as f32).collect();
            params.set(id, v);
        }
    }

    fn synthesis(shape: &Shape, form: &Form, normalize: bool) -> (Synthesis, Params) {
        let mut params = Params::default();
        let (rng, last) = (&mut Seed::from(5).rng(), Activation::Tanh);
        let net = Synthesis::new(&mut params, "g", "networks", 3, shape, form, normalize, last, rng).unwrap();
        disturb(&mut params, rng);
        (net, params)
    }

    fn analysis(shape: &Shape, form: &Form, normalize: Normalize) -> (Analysis, Params) {
        let mut params = Params::default();
        let rng = &mut Seed::from(5).rng();
        let net = Analysis::new(&mut params, "d", "networks", shape, form, normalize, rng).unwrap();
        disturb(&mut params, rng);
        (net, params)
    }

    /// The adjoint is the gradient that the framework finds.
    #[test]
    fn the_adjoint_is_the_gradient_with_respect_to_the_rows() {
        for (shape, form) in forms() {
            for normalize in [Normalize::Not, Normalize::Spectral] {
                let (net, params) = analysis(&shape, &form, normalize);
                let view = params.frozen();
                let x = rows(3, shape.width(), 1).autodiff().require_grad();
                let g = rows(3, net.width(), 2);
                let (outputs, _) = net.forward(&view, x.clone());
                let y = outputs.last().unwrap().clone();
                let grads = (y * g.clone()).sum().backward();
                let want = values(x.grad(&grads).unwrap());
                let (outputs, _) = net.forward(&view, x.inner());
                let got = values(net.adjoint(&view, &outputs, g));
                let size = want.iter().fold(0.0f32, |m, v| m.max(v.abs()));
                assert!(size > 0.01);
                for (a, b) in got.iter().zip(&want) {
                    assert!((a - b).abs() < 1e-5 * size, "{form:?} {normalize:?}: {a} {b}");
                }
            }
        }
    }

    /// Every array of a network has the gradient of its difference quotients, however it is normalised.
    #[test]
    fn gradients_are_those_of_difference_quotients() {
        for (shape, form) in forms() {
            for normalize in [Normalize::Not, Normalize::Batch, Normalize::Spectral] {
                let (net, mut params) = analysis(&shape, &form, normalize);
                for _ in 0..200 {
                    let buffers = net.forward(&params.frozen(), rows(1, shape.width(), 1)).1;
                    buffers.into_iter().for_each(|(id, v)| params.set(id, v));
                }
                let (x, g) = (rows(6, shape.width(), 3), rows(6, net.width(), 4));
                let trained = params.members(crate::Group::default());
                let found = gradcheck::check(
                    &mut params,
                    Seed::from(2),
                    |_, _| (),
                    |view| {
                        let (outputs, _) = net.forward(view, x.clone());
                        Ok(Loss::new((outputs.last().unwrap().clone() * g.clone()).sum()))
                    },
                );
                let found = found.unwrap();
                assert_eq!(found.len(), trained.len());
                for d in found {
                    assert!(d.error < 1e-2, "{form:?} {normalize:?} {}: {}", d.name, d.error);
                }
            }
        }
    }

    /// With the singular vectors found, the largest singular value of every layer is 1.
    #[test]
    fn spectral_weights_have_norm_one() {
        for (shape, form) in forms() {
            let (net, mut params) = analysis(&shape, &form, Normalize::Spectral);
            for _ in 0..300 {
                let buffers = net.forward(&params.frozen(), rows(1, shape.width(), 1)).1;
                buffers.into_iter().for_each(|(id, v)| params.set(id, v));
            }
            for layer in &net.layers {
                let (w, _) = layer.weights(&params.frozen());
                let [n, m] = w.dims();
                let mut v = rows(m, 1, 9);
                for _ in 0..300 {
                    let wv = w.clone().matmul(v.clone());
                    assert_eq!(wv.dims(), [n, 1]);
                    v = unit(w.clone().transpose().matmul(wv));
                }
                let wv = values(w.clone().matmul(v));
                let size = wv.iter().map(|v| v * v).sum::<f32>().sqrt();
                assert!((size - 1.0).abs() < 1e-3, "{size}");
            }
        }
    }

    /// Statistics settled on some codes give these codes the rows that they had together; rows are of the right width.
    #[test]
    fn settled_rows_are_those_of_the_batch() {
        for (shape, form) in forms() {
            for normalize in [false, true] {
                let (net, mut params) = synthesis(&shape, &form, normalize);
                let z = rows(20, 3, 1);
                net.settle(&mut params, z.clone());
                let together = net.forward(&params.frozen(), z.clone());
                assert_eq!(together.dims(), [20, shape.width()]);
                let (together, each) = (values(together), values(net.settled(&params.frozen(), z)));
                for (a, b) in together.iter().zip(&each) {
                    assert!((a - b).abs() < 1e-5, "{form:?}: {a} {b}");
                }
                // Alone a row of a normalised batch would be the same whatever its code is.
                let some = values(net.settled(&params.frozen(), rows(20, 3, 1).narrow(0, 2, 1)));
                for (a, b) in some.iter().zip(&each[2 * shape.width()..]) {
                    assert!((a - b).abs() < 1e-5);
                }
            }
        }
    }

    #[test]
    fn gradients_of_a_synthesis() {
        for (shape, form) in forms() {
            for normalize in [false, true] {
                let (net, mut params) = synthesis(&shape, &form, normalize);
                let (z, g) = (rows(6, 3, 1), rows(6, shape.width(), 2));
                let found = gradcheck::check(
                    &mut params,
                    Seed::from(2),
                    |_, _| (),
                    |view| Ok(Loss::new((net.forward(view, z.clone()) * g.clone()).sum())),
                );
                for d in found.unwrap() {
                    assert!(d.error < 1e-2, "{form:?} {normalize} {}: {}", d.name, d.error);
                }
            }
        }
    }

    #[test]
    fn forms_that_rows_do_not_have_are_refused() {
        let mut params = Params::default();
        let rng = &mut Seed::from(5).rng();
        for shape in [Shape::Flat(64), Shape::Image { height: 7, width: 8, channels: 1 }] {
            let form = Form::Convolutions(4);
            let error =
                Analysis::new(&mut params, "d", "networks", &shape, &form, Normalize::Not, rng).unwrap_err();
            assert!(error.to_string().contains("networks") && !Form::fits(&shape), "{error}");
        }
        assert!(Form::fits(&IMAGE));
    }
}
