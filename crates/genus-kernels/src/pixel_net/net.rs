//! A network of pixels before it is drawn from: what waits for what, what is kept, and whether it is causal.

use super::{PixelNode, PixelOp, Source};
use crate::conv::{Frame, packed_blocks, tiles};
use crate::gemm::{Init, heights};
use crate::isa::{Isa, Walk};
use crate::linear::{Activation, activate};
use crate::taps::TapBlock;
use crate::{Conv, Images, LstmSteps, Scan, TapRow};

/// A network, prepared for images of one size.
pub(super) struct Net<'a> {
    pub nodes: Vec<Node<'a>>,
    /// Of the image, then of the nodes.
    pub slots: Vec<Slot>,
    pub of: Images,
}

/// An operation and the slots that it reads.
pub(super) struct Node<'a> {
    pub from: usize,
    /// The other summand; `from`, if there is none.
    pub with: usize,
    pub op: Op<'a>,
    /// Channels of its own pixel that must be drawn before its values there are final.
    pub seen: usize,
}

/// A [`PixelOp`], prepared.
pub(super) enum Op<'a> {
    Conv(Packed<'a>),
    Lstm { steps: LstmSteps, mirrored: bool },
    Here(Here<'a>),
}

/// What sees nothing but the pixel itself.
#[derive(Clone, Copy)]
pub(super) enum Here<'a> {
    Sum(Activation),
    Activate(Activation),
    Gate { width: usize },
    Bias { channels: usize, bias: &'a [f32] },
    Place { channels: usize, bias: &'a [f32] },
}

/// Where the values of the image or of a node are kept.
pub(super) struct Slot {
    pub channels: usize,
    /// True if a pixel cannot be drawn without its values in the same row; else it has time until the row is complete.
    pub awaited: bool,
    /// True if more of it is read than the pixel at work: then it keeps the row at work and those above that taps reach.
    pub lined: bool,
    /// Around that row; a single pixel, if that is all.
    pub frame: Frame,
}

impl Slot {
    /// Values that are kept of one image.
    pub fn each(&self) -> usize {
        self.frame.height * self.frame.width * self.channels
    }

    /// Position of a pixel of the row at work.
    pub fn pixel(&self, image: usize, column: usize) -> usize {
        image * self.each() + self.frame.pixel(0, column, self.channels)
    }
}

/// The pixel itself.
const HERE: &[TapRow] = &[TapRow { dy: 0, dx: 0, count: 1 }];

fn slot(source: Source) -> usize {
    match source {
        Source::Image => 0,
        Source::Node(i) => i + 1,
    }
}

/// The slots that a node reads, and where.
fn reads<'n>(node: &'n PixelNode<'_>) -> impl Iterator<Item = (usize, &'n [TapRow])> {
    let (rows, with) = match node.op {
        PixelOp::Conv { conv, .. } => (conv.taps.list(), None),
        PixelOp::Sum { with, .. } => (HERE, Some((slot(with), HERE))),
        _ => (HERE, None),
    };
    std::iter::once((slot(node.from), rows)).chain(with)
}

impl<'a> Net<'a> {
    pub fn new(nodes: &[PixelNode<'a>], of: Images) -> Self {
        assert!(!nodes.is_empty() && of.channels > 0, "a network and images of at least one channel");
        for (i, node) in nodes.iter().enumerate() {
            for (from, rows) in reads(node) {
                assert!(from <= i, "node {i} reads a node that does not come before it");
                assert!(rows.iter().all(|r| r.dy <= 0), "node {i} sees a later row");
            }
        }
        let awaited = awaited(nodes);
        let mut channels = vec![of.channels];
        // For each channel of each slot, how many channels of the pixel must be drawn for it.
        let mut seen: Vec<Vec<usize>> = vec![(1..=of.channels).collect()];
        let mut prepared = Vec::new();
        for (i, node) in nodes.iter().enumerate() {
            let (op, n) = prepare(node, i, of, &channels);
            channels.push(n);
            // What nothing awaits is nowhere read before its row is complete.
            let own = if awaited[i + 1] { seen_here(node, n, &seen) } else { vec![0; n] };
            let most = own.iter().copied().max().unwrap_or(0);
            assert!(most < of.channels, "node {i} is needed before its own pixel, which it sees, is drawn");
            let with = if let PixelOp::Sum { with, .. } = node.op { with } else { node.from };
            prepared.push(Node { from: slot(node.from), with: slot(with), op, seen: most });
            seen.push(own);
        }
        let last = seen.last().into_iter().flatten();
        for (o, seen) in last.enumerate() {
            let channel = o * of.channels / channels[nodes.len()];
            assert!(
                *seen <= channel,
                "output {o} is for channel {channel}, but sees channel {} of its pixel",
                seen - 1
            );
        }
        let slots = (0..=nodes.len()).map(|s| {
            let mut rows = Vec::new();
            // The image is not computed, and has nothing but its lines.
            let mut lined = s == 0 || !awaited[s];
            for (i, node) in nodes.iter().enumerate() {
                for (_, seen) in reads(node).filter(|(from, _)| *from == s) {
                    rows.extend_from_slice(seen);
                    lined |= !awaited[i + 1] || seen != HERE;
                }
            }
            let line = Images { extents: [1, if lined { of.extents[1] } else { 1 }], ..of };
            let frame = Frame::around(&rows, 1, line, line.extents);
            Slot { channels: channels[s], awaited: awaited[s], lined, frame }
        });
        Self { slots: slots.collect(), nodes: prepared, of }
    }
}

/// For each slot, whether a pixel cannot be drawn without its values in the same row; panics if those wait for the pixel.
fn awaited(nodes: &[PixelNode<'_>]) -> Vec<bool> {
    let mut awaited = vec![false; nodes.len() + 1];
    (awaited[0], awaited[nodes.len()]) = (true, true);
    for (i, node) in nodes.iter().enumerate().rev() {
        if !awaited[i + 1] {
            continue;
        }
        let from_right =
            matches!(node.op, PixelOp::Lstm { lstm, .. } if lstm.mirrored && lstm.scan == Scan::Diagonal);
        for (from, rows) in reads(node) {
            let drawn = |r: &TapRow| r.dy < 0 || r.dx + r.count as isize <= 1;
            let sees_right = from_right || !rows.iter().all(drawn);
            assert!(!sees_right, "node {i} is needed before pixels to the right, which it sees, are drawn");
            awaited[from] |= rows.iter().any(|r| r.dy == 0);
        }
    }
    awaited
}

/// The operation of node `i`, given the channels of the slots before it, and its own channels.
fn prepare<'a>(node: &PixelNode<'a>, i: usize, of: Images, channels: &[usize]) -> (Op<'a>, usize) {
    let k = channels[slot(node.from)];
    let (op, n) = match node.op {
        PixelOp::Conv { conv, w, b, act } => {
            let keeps = conv.taps.stride() == 1 && conv.taps.output(of.extents) == of.extents;
            assert!(keeps, "node {i} does not keep the extents");
            assert_eq!(conv.inputs, k, "inputs of node {i}");
            assert!(w.len() == conv.weights() && b.len() == conv.outputs, "weights and bias of node {i}");
            (Op::Conv(Packed::new(conv, w, b, act)), conv.outputs)
        }
        PixelOp::Sum { with, act } => {
            assert_eq!(channels[slot(with)], k, "summands of node {i}");
            (Op::Here(Here::Sum(act)), k)
        }
        PixelOp::Activate(act) => (Op::Here(Here::Activate(act)), k),
        PixelOp::Bias(bias) => {
            assert_eq!(bias.len(), of.count * k, "a bias of node {i} for every image");
            (Op::Here(Here::Bias { channels: k, bias }), k)
        }
        PixelOp::Place(bias) => {
            assert_eq!(bias.len(), of.extents[0] * of.extents[1] * k, "a bias of node {i} for every place");
            (Op::Here(Here::Place { channels: k, bias }), k)
        }
        PixelOp::Gate { width } => {
            assert!(width > 0 && k.is_multiple_of(2 * width), "node {i} gates pairs of {width} channels");
            (Op::Here(Here::Gate { width }), k / 2)
        }
        PixelOp::Lstm { lstm, w } => {
            assert_eq!(k, 4 * lstm.hidden, "four gates of node {i}");
            (Op::Lstm { steps: lstm.steps(w), mirrored: lstm.mirrored }, lstm.hidden)
        }
    };
    assert!(n > 0, "node {i} has no channels");
    (op, n)
}

/// For each of the `n` channels of a node, how many channels of the pixel itself must be drawn for it: where a weight is zero,
/// nothing is seen.
fn seen_here(node: &PixelNode<'_>, n: usize, slots: &[Vec<usize>]) -> Vec<usize> {
    let from = &slots[slot(node.from)];
    match node.op {
        PixelOp::Conv { conv, w, .. } => {
            let (mut seen, mut at, k) = (vec![0; n], 0, from.len());
            for row in conv.taps.list() {
                if row.dy == 0 && (row.dx..row.dx + row.count as isize).contains(&0) {
                    let tap = &w[(at + row.dx.unsigned_abs()) * k * n..][..k * n];
                    for (w, from) in tap.chunks_exact(n).zip(from) {
                        seen.iter_mut()
                            .zip(w)
                            .filter(|(_, w)| **w != 0.0)
                            .for_each(|(s, _)| *s = *from.max(s));
                    }
                }
                at += row.count;
            }
            seen
        }
        PixelOp::Sum { with, .. } => from.iter().zip(&slots[slot(with)]).map(|(a, b)| *a.max(b)).collect(),
        PixelOp::Activate(_) | PixelOp::Bias(_) | PixelOp::Place(_) => from.clone(),
        PixelOp::Gate { width } => {
            let pairs = from.chunks_exact(2 * width);
            pairs.flat_map(|p| (0..width).map(|j| p[j].max(p[width + j]))).collect()
        }
        PixelOp::Lstm { .. } => {
            let gates = |j: usize| [from[j], from[n + j], from[2 * n + j], from[3 * n + j]];
            (0..n).map(|j| gates(j).into_iter().fold(0, usize::max)).collect()
        }
    }
}

/// A convolution with its weights as panels, one set per block of taps.
pub(super) struct Packed<'a> {
    conv: &'a Conv,
    b: &'a [f32],
    act: Activation,
    isa: &'static Isa,
    blocks: Vec<(TapBlock, Vec<f32>)>,
}

impl<'a> Packed<'a> {
    fn new(conv: &'a Conv, w: &[f32], b: &'a [f32], act: Activation) -> Self {
        let isa = tiles(conv.outputs);
        Self { conv, b, act, isa, blocks: packed_blocks(isa, conv, w) }
    }

    /// Some pixels of the row at work, the first of them at the start of `a` but for the frame, the others `stride` apart.
    pub fn apply(&self, a: &[f32], frame: &Frame, [rows, stride]: [usize; 2], out: &mut [f32]) {
        let Self { isa, b, .. } = *self;
        let (k, n) = (self.conv.inputs, self.conv.outputs);
        assert!(rows > 0 && out.len() == rows * n, "outputs of {rows} pixels");
        if self.blocks.is_empty() {
            out.chunks_exact_mut(n).for_each(|o| o.copy_from_slice(b));
        }
        for p in 0..n.div_ceil(isa.panel) {
            let width = isa.panel.min(n - p * isa.panel);
            for (which, (block, weights)) in self.blocks.iter().enumerate() {
                let walk = Walk {
                    lines: block.lines,
                    steps: block.row.count * k,
                    row: stride,
                    col: 1,
                    line: frame.width * k,
                    b: block.panel(k, isa.panel),
                };
                let length = walk.length() * isa.panel;
                let panel = &weights[p * length..(p + 1) * length];
                let from = frame.at(1, 0, &block.row, k);
                let last = from + (rows - 1) * walk.row + (walk.lines - 1) * walk.line + walk.steps;
                assert!(last <= a.len(), "all that a tap reaches");
                let init = if which == 0 { Init::Row(b) } else { Init::Keep };
                for is in heights(0..rows, isa.height) {
                    let a = &a[is.start * walk.row + from..];
                    let c = &mut out[is.start * n + p * isa.panel..];
                    // SAFETY: A holds the last value that a tap reaches, and C the rows, as was just checked.
                    unsafe {
                        let c = c.as_mut_ptr();
                        isa.kernels[is.len() - 1](
                            walk,
                            a.as_ptr(),
                            panel.as_ptr(),
                            init.from(p * isa.panel, c, n),
                            (c, n),
                            width,
                        );
                    }
                }
            }
        }
        activate(out, self.act);
    }
}
