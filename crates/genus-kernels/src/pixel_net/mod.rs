//! Sampling of a causal image network, pixel by pixel, each value computed once.
//!
//! What a node gives at a pixel is final as soon as all that it sees is drawn. Drawing an image therefore evaluates every node
//! once at every pixel — the work of one pass, where the textbook loop makes one pass per value. What a pixel waits for is
//! evaluated pixel by pixel; all else, such as the vertical stack of a Gated PixelCNN or the direction of a Diagonal BiLSTM that
//! comes from the right, row by row, when a row is complete. The sums run in the order of [`Conv::forward`], so that the values
//! are the same bits as those of the textbook loop.

use crate::gate::gate;
use crate::linear::{Activation, activate};
use crate::{Conv, Images, Lstm, LstmStates, crew, multiversion};
use net::{Here, Net, Op};

mod net;

/// What a node reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The image that is drawn.
    Image,
    /// An earlier node, by its place in the list.
    Node(usize),
}

/// One operation of a network, from images to images of the same extents.
#[derive(Debug, Clone, Copy)]
pub struct PixelNode<'a> {
    /// Its input.
    pub from: Source,
    /// What is done to it.
    pub op: PixelOp<'a>,
}

/// The operations of a network.
#[derive(Debug, Clone, Copy)]
pub enum PixelOp<'a> {
    /// As [`Conv::forward`]; of stride 1, and no tap may see a later row.
    Conv {
        /// The convolution.
        conv: &'a Conv,
        /// Weights `[taps, inputs, outputs]`.
        w: &'a [f32],
        /// Bias `[outputs]`.
        b: &'a [f32],
        /// Applied to each output.
        act: Activation,
    },
    /// f(a + b), value by value: a residual connection.
    Sum {
        /// The other summand.
        with: Source,
        /// Applied to each sum.
        act: Activation,
    },
    /// f(a), value by value.
    Activate(Activation),
    /// a + b, where b is a row for every image, `[images, channels]`: the condition on a class.
    Bias(&'a [f32]),
    /// a + b, where b has a value for every channel of every pixel, `[height, width, channels]`: the condition on the place.
    Place(&'a [f32]),
    /// As [`gate_forward`](crate::gate_forward).
    Gate {
        /// Channels of a half. A pixel may have several pairs of halves, one after the other: those of channel groups.
        width: usize,
    },
    /// As [`Lstm::forward`].
    Lstm {
        /// The scan.
        lstm: Lstm,
        /// Weights `[taps, hidden, 4 hidden]`.
        w: &'a [f32],
    },
}

/// Writes one value of a pixel, or leaves it, if it is known. Given are the number of the image, the place of the pixel in raster
/// order, the channel, the outputs of the last node there and the values of the pixel, of which the channels before are drawn.
pub type DrawPixel<'a> = &'a (dyn Fn(usize, usize, usize, &[f32], &mut [f32]) + Sync);

/// Images drawn at once by one job.
const GROUP: usize = 14;

/// Draws the images `x`, pixel by pixel in raster order and channel by channel.
///
/// The outputs of the last node are as many equal parts as the image has channels; those of a channel may depend on the channels
/// before it, as [`Taps::causal`](crate::Taps::causal) has it. Weights that a mask of channel groups drops must be zero. A node
/// may see all of its row if what is made of it reaches the outputs from rows above only. Panics if the network is not causal.
///
/// # Shapes
/// x as `of` says, changed in place
pub fn sample_pixels(nodes: &[PixelNode<'_>], of: Images, x: &mut [f32], draw: DrawPixel<'_>) {
    assert_eq!(x.len(), of.len(), "values of the images");
    let net = Net::new(nodes, of);
    // Groups of nearly equal size, as many for every thread.
    let groups = of.count.div_ceil(GROUP).next_multiple_of(crew::threads());
    let group = of.count.div_ceil(groups.max(1)).max(1);
    crew::chunks([x], (group * of.each()).max(1), |i, [x]| {
        Job::new(&net, i * group, x.len() / of.each()).run(x, draw);
    });
}

/// Some images that are drawn side by side.
struct Job<'n> {
    net: &'n Net<'n>,
    /// Number of the first image.
    first: usize,
    count: usize,
    /// What each slot that pixels wait for holds at the pixel at work, `[images, channels]`.
    now: Vec<Vec<f32>>,
    /// The framed lines of each slot that has some, `[images, lines, columns, channels]`; the last is the row at work.
    lines: Vec<Vec<f32>>,
    /// Of each node that is an LSTM.
    states: Vec<Option<LstmStates>>,
    scratch: [Vec<f32>; 2],
}

impl<'n> Job<'n> {
    fn new(net: &'n Net<'n>, first: usize, count: usize) -> Self {
        let room = |there: bool, each: usize| vec![0.0; if there { count * each } else { 0 }];
        let width = net.of.extents[1];
        let states = net.nodes.iter().map(|node| match &node.op {
            Op::Lstm { steps, .. } => Some(steps.states(count, width)),
            _ => None,
        });
        Self {
            net,
            first,
            count,
            now: net.slots.iter().map(|s| room(s.awaited, s.channels)).collect(),
            lines: net.slots.iter().map(|s| room(s.lined, s.each())).collect(),
            states: states.collect(),
            scratch: [Vec::new(), Vec::new()],
        }
    }

    fn run(&mut self, x: &mut [f32], draw: DrawPixel<'_>) {
        let Net { nodes, slots, of } = self.net;
        let ([height, width], c, last) = (of.extents, of.channels, nodes.len());
        for row in 0..height {
            for column in 0..width {
                let place = row * width + column;
                for channel in 0..c {
                    for (i, node) in nodes.iter().enumerate() {
                        // What sees no more channels than before has not changed.
                        if slots[i + 1].awaited && channel <= node.seen {
                            self.pixel(i, [row, column]);
                        }
                    }
                    let outputs = self.now[last].chunks_exact(slots[last].channels);
                    for (i, (outputs, x)) in outputs.zip(x.chunks_exact_mut(of.each())).enumerate() {
                        let values = &mut x[place * c..][..c];
                        draw(self.first + i, place, channel, outputs, values);
                        self.lines[0][slots[0].pixel(i, column) + channel] = values[channel];
                    }
                }
            }
            for i in (0..last).filter(|i| !slots[i + 1].awaited) {
                self.row(i, row);
            }
            for (slot, lines) in slots.iter().zip(&mut self.lines).filter(|(s, _)| s.frame.height > 1) {
                let line = slot.frame.width * slot.channels;
                lines.chunks_exact_mut(slot.each()).for_each(|image| image.copy_within(line.., 0));
            }
        }
    }

    /// Node `i` at one pixel of every image.
    fn pixel(&mut self, i: usize, [row, column]: [usize; 2]) {
        let Self { net, first, count, now, lines, states, .. } = self;
        let (node, slot) = (&net.nodes[i], &net.slots[i + 1]);
        let (before, rest) = now.split_at_mut(i + 1);
        let (a, out) = (&before[node.from], &mut rest[0][..]);
        match &node.op {
            Op::Conv(conv) => {
                // Images are the rows of a product.
                let from = &net.slots[node.from];
                let a = if from.lined { &lines[node.from][column * from.channels..] } else { a };
                conv.apply(a, &from.frame, [*count, from.each()], out);
            }
            Op::Lstm { steps, .. } => {
                if let Some(states) = &mut states[i] {
                    steps.step(states, [row, column], a, out);
                }
            }
            Op::Here(here) => {
                let place = row * net.of.extents[1] + column;
                here.run([a, &before[node.with]], [*first, *count], [place, 1], out);
            }
        }
        if slot.lined {
            for (image, values) in rest[0].chunks_exact(slot.channels).enumerate() {
                lines[i + 1][slot.pixel(image, column)..][..slot.channels].copy_from_slice(values);
            }
        }
    }

    /// Node `i` in one row of every image.
    fn row(&mut self, i: usize, row: usize) {
        let Self { net, first, count, lines, states, scratch, .. } = self;
        let (node, width) = (&net.nodes[i], net.of.extents[1]);
        let (slot, from, with) = (&net.slots[i + 1], &net.slots[node.from], &net.slots[node.with]);
        let (before, rest) = lines.split_at_mut(i + 1);
        let (a, b, out) = (&before[node.from], &before[node.with], &mut rest[0]);
        match &node.op {
            // Pixels are the rows of a product.
            Op::Conv(conv) => (0..*count).for_each(|image| {
                let out = &mut out[slot.pixel(image, 0)..][..width * slot.channels];
                conv.apply(&a[image * from.each()..], &from.frame, [width, from.channels], out);
            }),
            Op::Lstm { steps, mirrored } => {
                let ([input, y], Some(states)) = (scratch, &mut states[i]) else { return };
                y.resize(*count * slot.channels, 0.0);
                for step in 0..width {
                    let column = if *mirrored { width - 1 - step } else { step };
                    input.clear();
                    (0..*count)
                        .for_each(|image| input.extend(&a[from.pixel(image, column)..][..from.channels]));
                    steps.step(states, [row, column], input, y);
                    for (image, values) in y.chunks_exact(slot.channels).enumerate() {
                        out[slot.pixel(image, column)..][..slot.channels].copy_from_slice(values);
                    }
                }
            }
            Op::Here(here) => (0..*count).for_each(|image| {
                let out = &mut out[slot.pixel(image, 0)..][..width * slot.channels];
                let a = &a[from.pixel(image, 0)..][..width * from.channels];
                let b = &b[with.pixel(image, 0)..][..width * with.channels];
                here.run([a, b], [*first + image, 1], [row * width, width], out);
            }),
        }
    }
}

impl Here<'_> {
    /// At the same `places` (the first, and how many) of `count` images from `first` on; one of the two counts is 1.
    fn run(
        &self,
        [a, b]: [&[f32]; 2],
        [first, count]: [usize; 2],
        [place, places]: [usize; 2],
        out: &mut [f32],
    ) {
        let biased = |bias: &[f32], channels: usize, out: &mut [f32]| {
            let pixels = a.chunks_exact(channels).zip(out.chunks_exact_mut(channels));
            bias.chunks_exact(channels).cycle().zip(pixels).for_each(|(bias, (a, out))| add(a, bias, out));
        };
        match *self {
            Self::Sum(act) => {
                add(a, b, out);
                activate(out, act);
            }
            Self::Activate(act) => {
                out.copy_from_slice(a);
                activate(out, act);
            }
            Self::Bias { channels, bias } => {
                biased(&bias[first * channels..][..count * channels], channels, out);
            }
            Self::Place { channels, bias } => {
                biased(&bias[place * channels..][..places * channels], channels, out);
            }
            // SAFETY: values are written.
            Self::Gate { width } => gate(a, width, unsafe { crew::room(out) }),
        }
    }
}

multiversion! {
    fn add(a: &[f32], b: &[f32], sum: &mut [f32]) {
        sum.iter_mut().zip(a).zip(b).for_each(|((s, a), b)| *s = a + b);
    }
}

#[cfg(test)]
mod tests;
