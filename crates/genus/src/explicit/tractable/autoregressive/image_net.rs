//! Causal networks over images as lists of operations, which training runs over whole images and sampling pixel by pixel.

use super::{AutoregressiveConfig, Choose, Conditionals, Rows};
use genus_core::{Batch, Error, ModelSpec, Result, Rng, Shape};
use genus_kernels::{DrawPixel, PixelNode, PixelOp, Source, sample_pixels};
use genus_nn::{Activation, Conv, Id, Images, Lstm, Params, TapRow, Taps, Tensor, View, ops};
use std::fmt::Debug;
use std::marker::PhantomData;
use std::num::NonZeroUsize;
use std::sync::Arc;

/// Operations of the deepest network: several hundred layers.
const MOST_NODES: usize = 4096;

/// A network. The outputs of its last node are, channel by channel, the parameters of the conditionals.
#[derive(Debug, Clone)]
pub struct ImageNet {
    nodes: Vec<Node>,
    height: usize,
    width: usize,
    channels: usize,
    levels: usize,
    classes: usize,
}

#[derive(Debug, Clone)]
struct Node {
    from: Source,
    op: Op,
    /// Channels of its result.
    channels: usize,
}

#[derive(Debug, Clone)]
enum Op {
    Conv {
        conv: Arc<Conv>,
        w: Id,
        b: Id,
        act: Activation,
    },
    Sum {
        with: Source,
    },
    Relu,
    /// tanh ⊙ σ of the halves of every channel group.
    Gate {
        width: usize,
    },
    /// A bias for every class.
    Class {
        w: Id,
    },
    /// A bias for every place.
    Place {
        w: Id,
    },
    Lstm {
        lstm: Lstm,
        w: Id,
    },
}

/// How a family of image networks is laid out: what its member writes; [`OfImages`] makes a network of conditionals of it.
pub trait Architecture: Clone + Debug + Send + Sync + 'static {
    /// Hyper-parameters.
    type Config: AutoregressiveConfig;

    /// Registry entry.
    fn spec() -> &'static ModelSpec;

    /// Lays out the network for these rows.
    ///
    /// # Errors
    /// [`Error::Config`] if the configuration does not suit the rows or asks for too much.
    fn lay(config: &Self::Config, rows: &Rows, net: Builder<'_>) -> Result<ImageNet>;
}

/// The network of an architecture.
#[derive(Debug, Clone)]
pub struct OfImages<A> {
    net: ImageNet,
    architecture: PhantomData<A>,
}

impl<A: Architecture> Conditionals for OfImages<A> {
    type Config = A::Config;

    fn spec() -> &'static ModelSpec {
        A::spec()
    }

    fn build(config: &A::Config, rows: &Rows, params: &mut Params, rng: &mut Rng) -> Result<Self> {
        let net = A::lay(config, rows, Builder::new(rows, params, rng))?;
        Ok(Self { net, architecture: PhantomData })
    }

    fn outputs(&self, view: &View<'_>, x: Tensor<2>, class: Option<Tensor<2>>) -> Tensor<2> {
        self.net.outputs(view, x, class)
    }

    fn mask(&self, id: Id, w: &mut [f32]) {
        self.net.mask(id, w);
    }

    fn fill_in_order(&self, params: &Params, x: &mut Batch, class: Option<&Batch>, choose: Choose<'_>) {
        self.net.fill_in_order(params, x, class, choose);
    }
}

/// The size of a kernel, if it has a middle.
///
/// # Errors
/// [`Error::Config`] if it has none or is out of range.
pub fn odd(kernel: NonZeroUsize) -> Result<usize> {
    let kernel = kernel.get();
    if kernel.is_multiple_of(2) || kernel > 99 {
        return Err(Error::config("kernel", format!("{kernel} is out of range; odd and at most 99")));
    }
    Ok(kernel)
}

/// Adds operations to a network and their parameters to `params`.
#[derive(Debug)]
pub struct Builder<'a> {
    net: ImageNet,
    params: &'a mut Params,
    rng: &'a mut Rng,
}

impl<'a> Builder<'a> {
    /// For rows that are images, or one line of pixels.
    fn new(rows: &Rows, params: &'a mut Params, rng: &'a mut Rng) -> Self {
        let (height, width, channels) = match rows.domain.shape {
            Shape::Flat(d) => (1, d, 1),
            Shape::Image { height, width, channels } => (height, width, channels),
        };
        let net = ImageNet {
            nodes: Vec::new(),
            height,
            width,
            channels,
            levels: rows.levels(),
            classes: rows.classes,
        };
        Self { net, params, rng }
    }

    /// Channel groups of masks: one for every channel of the image.
    pub fn groups(&self) -> usize {
        self.net.channels
    }

    /// The least multiple of the number of channel groups that is not below `n`.
    pub fn channels(&self, n: usize) -> usize {
        n.checked_next_multiple_of(self.groups()).unwrap_or(n)
    }

    /// Refuses `rows` × `columns` further weights if the network would become too large to train, before they are made.
    fn afford(&self, rows: usize, columns: usize) -> Result<()> {
        let so_far = self.params.count() as usize;
        genus_nn::afford("hidden", &[&[so_far, 1], &[rows, columns]]).map_err(|_| {
            Error::config("hidden", "the network has more weights than can be trained; choose a smaller one")
        })?;
        if self.net.nodes.len() > MOST_NODES {
            return Err(Error::config("layers", "the network is too deep; choose fewer layers or blocks"));
        }
        Ok(())
    }

    fn width_of(&self, source: Source) -> usize {
        match source {
            Source::Image => self.net.channels,
            Source::Node(i) => self.net.nodes[i].channels,
        }
    }

    fn push(&mut self, from: Source, op: Op, channels: usize) -> Source {
        self.net.nodes.push(Node { from, op, channels });
        Source::Node(self.net.nodes.len() - 1)
    }

    /// f(conv + b); weights uniform in ±√(6/fan-in) before relu, ±√(3/fan-in) elsewhere.
    ///
    /// # Errors
    /// [`Error::Config`] if that is too large.
    pub fn conv(
        &mut self,
        from: Source,
        name: &str,
        taps: Taps,
        outputs: usize,
        act: Activation,
    ) -> Result<Source> {
        let inputs = self.width_of(from);
        self.afford(taps.count().saturating_mul(inputs), outputs)?;
        let conv = Conv { taps, inputs, outputs };
        let fan = (conv.taps.count() * inputs) as f64;
        let bound = (if act == Activation::Relu { 6.0 } else { 3.0 } / fan).sqrt();
        let shape = [conv.taps.count(), inputs, outputs];
        let w = self.params.uniform(format!("{name}.w"), &shape, bound, self.rng);
        let mut values = self.params.values(w);
        conv.taps.apply(&mut values, inputs, outputs);
        self.params.set(w, values);
        let b = self.params.add(format!("{name}.b"), &[outputs], vec![0.0; outputs]);
        Ok(self.push(from, Op::Conv { conv: Arc::new(conv), w, b, act }, outputs))
    }

    /// A convolution of the row above, straight above each pixel.
    ///
    /// # Errors
    /// As [`conv`](Self::conv).
    pub fn above(&mut self, from: Source, name: &str, outputs: usize) -> Result<Source> {
        let above = Taps::rows(vec![TapRow { dy: -1, dx: 0, count: 1 }]);
        self.conv(from, name, above, outputs, Activation::Identity)
    }

    /// a + b.
    pub fn sum(&mut self, from: Source, with: Source) -> Source {
        let channels = self.width_of(from);
        self.push(from, Op::Sum { with }, channels)
    }

    /// max(0, a).
    pub fn relu(&mut self, from: Source) -> Source {
        let channels = self.width_of(from);
        self.push(from, Op::Relu, channels)
    }

    /// tanh ⊙ σ of the halves of the channels, group by group.
    pub fn gate(&mut self, from: Source) -> Source {
        let channels = self.width_of(from) / 2;
        let width = channels / self.groups();
        self.push(from, Op::Gate { width }, channels)
    }

    /// Adds a bias that depends on the class; nothing without classes.
    ///
    /// # Errors
    /// As [`conv`](Self::conv).
    pub fn class(&mut self, from: Source, name: &str) -> Result<Source> {
        let (classes, channels) = (self.net.classes, self.width_of(from));
        if classes == 0 {
            return Ok(from);
        }
        self.afford(classes, channels)?;
        let w = self.params.add(format!("{name}.class"), &[classes, channels], vec![0.0; classes * channels]);
        Ok(self.push(from, Op::Class { w }, channels))
    }

    /// Adds a bias that depends on the place: `[height, width, channels]` parameters that begin at 0.
    ///
    /// # Errors
    /// As [`conv`](Self::conv).
    pub fn place(&mut self, from: Source, name: &str) -> Result<Source> {
        let (places, channels) = (self.net.height * self.net.width, self.width_of(from));
        self.afford(places, channels)?;
        let shape = [self.net.height, self.net.width, channels];
        let w = self.params.add(format!("{name}.place"), &shape, vec![0.0; places * channels]);
        Ok(self.push(from, Op::Place { w }, channels))
    }

    /// A scan over the image; `from` gives what its gates receive but the states.
    ///
    /// # Errors
    /// As [`conv`](Self::conv).
    pub fn lstm(&mut self, from: Source, name: &str, lstm: Lstm) -> Result<Source> {
        let (taps, h) = (lstm.taps().count(), lstm.hidden);
        self.afford(taps.saturating_mul(h), h.saturating_mul(4))?;
        let bound = (3.0 / (taps * h) as f64).sqrt();
        let w = self.params.uniform(format!("{name}.w"), &[taps, h, 4 * h], bound, self.rng);
        Ok(self.push(from, Op::Lstm { lstm, w }, h))
    }

    /// The head: relu, 1×1 to `hidden`, relu, 1×1 to the conditionals, whose biases begin at the marginals `start` of bits.
    ///
    /// # Errors
    /// As [`conv`](Self::conv).
    pub fn finish(mut self, from: Source, hidden: usize, start: &[f32]) -> Result<ImageNet> {
        let point = Taps::causal(1, genus_nn::Causal::B, self.groups());
        let h = self.relu(from);
        let h = self.conv(h, "head.0", point.clone(), hidden, Activation::Relu)?;
        let each = if self.net.levels == 2 { 1 } else { self.net.levels };
        let outputs = each * self.net.channels;
        self.conv(h, "head.1", point, outputs, Activation::Identity)?;
        if let (2, Some(Node { op: Op::Conv { w, b, .. }, .. })) = (self.net.levels, self.net.nodes.last()) {
            // Pixels share the bias: begin at their mean brightness.
            let bright: f32 = start.iter().map(|logit| 1.0 / (1.0 + (-logit).exp())).sum();
            let mean = bright / start.len().max(1) as f32;
            let mean = (mean / (1.0 - mean)).ln();
            let quiet = self.params.values(*w).iter().map(|v| 0.1 * v).collect();
            self.params.set(*w, quiet);
            self.params.set(*b, vec![mean; outputs]);
        }
        Ok(self.net)
    }
}

impl ImageNet {
    /// Distance of two levels as the network sees them: from −1 to 1, so that black is not what lies beyond the edge, which is 0.
    fn step(&self) -> f32 {
        2.0 / (self.levels - 1) as f32
    }

    /// As [`Conditionals::outputs`].
    fn outputs(&self, view: &View<'_>, x: Tensor<2>, class: Option<Tensor<2>>) -> Tensor<2> {
        let [rows, d] = x.dims();
        let image = (x * self.step() - 1.0).reshape([rows, self.height, self.width, self.channels]);
        let mut done: Vec<Tensor<4>> = Vec::with_capacity(self.nodes.len());
        for node in &self.nodes {
            let of = |source: Source| match source {
                Source::Image => image.clone(),
                Source::Node(i) => done[i].clone(),
            };
            let a = of(node.from);
            done.push(match &node.op {
                Op::Conv { conv, w, b, act } => ops::conv(a, view.get(*w), view.get(*b), conv, *act),
                Op::Sum { with } => a + of(*with),
                Op::Relu => ops::relu(a),
                Op::Gate { width } => ops::gate(a, *width),
                Op::Class { w } => match &class {
                    Some(class) => {
                        let bias = class.clone().matmul(view.get::<2>(*w));
                        a + bias.reshape([rows, 1, 1, node.channels])
                    }
                    None => a,
                },
                Op::Place { w } => a + view.get::<3>(*w).unsqueeze::<4>(),
                Op::Lstm { lstm, w } => ops::lstm(a, view.get(*w), *lstm),
            });
        }
        let Some(last) = done.pop() else { unreachable!("a network has a head") };
        let outputs = last.dims()[3] / self.channels;
        last.reshape([rows, d * outputs])
    }

    /// Sets what masks of channel groups drop to zero.
    fn mask(&self, id: Id, values: &mut [f32]) {
        for node in &self.nodes {
            if let Op::Conv { conv, w, .. } = &node.op
                && *w == id
            {
                conv.taps.apply(values, conv.inputs, conv.outputs);
            }
        }
    }

    /// As [`Conditionals::walk`].
    fn fill_in_order(&self, params: &Params, x: &mut Batch, class: Option<&Batch>, choose: Choose<'_>) {
        let (n, step) = (x.rows(), self.step());
        let values: Vec<Vec<f32>> = params.ids().map(|id| params.values(id)).collect();
        let of: Vec<Id> = params.ids().collect();
        let at = |id: &Id| match of.iter().position(|i| i == id) {
            Some(i) => &values[i][..],
            None => unreachable!("the network's parameters are these"),
        };
        // The bias of every image's class; the row of the matrix, as the product with a one-hot row gives it.
        let biases: Vec<Vec<f32>> = self
            .nodes
            .iter()
            .map(|node| match (&node.op, class) {
                (Op::Class { w }, Some(class)) => {
                    let of = |r: usize| class.row(r).iter().position(|v| *v == 1.0).unwrap_or(0);
                    (0..n).flat_map(|r| at(w)[of(r) * node.channels..][..node.channels].to_vec()).collect()
                }
                _ => Vec::new(),
            })
            .collect();
        let nodes: Vec<PixelNode<'_>> = self
            .nodes
            .iter()
            .zip(&biases)
            .map(|(node, bias)| PixelNode {
                from: node.from,
                op: match &node.op {
                    Op::Conv { conv, w, b, act } => PixelOp::Conv { conv, w: at(w), b: at(b), act: *act },
                    Op::Sum { with } => PixelOp::Sum { with: *with, act: Activation::Identity },
                    Op::Relu => PixelOp::Activate(Activation::Relu),
                    Op::Gate { width } => PixelOp::Gate { width: *width },
                    Op::Class { .. } => PixelOp::Bias(bias),
                    Op::Place { w } => PixelOp::Place(at(w)),
                    Op::Lstm { lstm, w } => PixelOp::Lstm { lstm: *lstm, w: at(w) },
                },
            })
            .collect();
        let images = Images { count: n, extents: [self.height, self.width], channels: self.channels };
        x.data_mut().iter_mut().for_each(|v| *v = *v * step - 1.0);
        let draw: DrawPixel<'_> = &|image, place, channel, outputs, pixel| {
            let each = outputs.len() / self.channels;
            let outputs = &outputs[channel * each..][..each];
            pixel[channel] = choose(image, place * self.channels + channel, outputs) * step - 1.0;
        };
        sample_pixels(&nodes, images, x.data_mut(), draw);
        x.data_mut().iter_mut().for_each(|v| *v = ((*v + 1.0) / step).round());
    }
}
