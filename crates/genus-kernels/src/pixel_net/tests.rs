//! Networks of every kind held to one full pass per value.

use super::*;
use crate::{Causal, Scan, TapRow, Taps, gate_forward, linear, scalar};
use Activation::{Identity, Relu};

fn values(n: usize, salt: u32) -> Vec<f32> {
    let mix = |i: u32| (i.wrapping_add(salt).wrapping_mul(2_654_435_761)) >> 8;
    (0..n as u32).map(|i| mix(mix(i)) as f32 / 8_388_608.0 - 1.0).collect()
}

/// A network with weights that neither saturate nor vanish. What it borrows is never freed.
struct Made {
    of: Images,
    nodes: Vec<PixelNode<'static>>,
}

impl Made {
    fn new(count: usize, extents: [usize; 2], channels: usize) -> Self {
        Self { of: Images { count, extents, channels }, nodes: Vec::new() }
    }

    fn push(&mut self, from: Source, op: PixelOp<'static>) -> Source {
        self.nodes.push(PixelNode { from, op });
        Source::Node(self.nodes.len() - 1)
    }

    fn channels(&self, of: Source) -> usize {
        let Source::Node(i) = of else { return self.of.channels };
        match self.nodes[i].op {
            PixelOp::Conv { conv, .. } => conv.outputs,
            PixelOp::Sum { .. } | PixelOp::Activate(_) | PixelOp::Bias(_) | PixelOp::Place(_) => {
                self.channels(self.nodes[i].from)
            }
            PixelOp::Gate { .. } => self.channels(self.nodes[i].from) / 2,
            PixelOp::Lstm { lstm, .. } => lstm.hidden,
        }
    }

    fn conv(&mut self, from: Source, taps: Taps, outputs: usize, act: Activation) -> Source {
        let conv: &Conv = Box::leak(Box::new(Conv { taps, inputs: self.channels(from), outputs }));
        let (salt, fan) = (self.nodes.len() as u32, (conv.taps.count() * conv.inputs) as f32);
        let mut w: Vec<f32> = values(conv.weights(), 2 * salt).iter().map(|v| 2.0 * v / fan.sqrt()).collect();
        conv.taps.apply(&mut w, conv.inputs, outputs);
        self.push(from, PixelOp::Conv { conv, w: w.leak(), b: values(outputs, 2 * salt + 1).leak(), act })
    }

    /// Taps of one row.
    fn row(&mut self, from: Source, [dy, dx]: [isize; 2], count: usize, outputs: usize) -> Source {
        self.conv(from, Taps::rows(vec![TapRow { dy, dx, count }]), outputs, Identity)
    }

    fn point(&mut self, from: Source, outputs: usize, act: Activation) -> Source {
        self.conv(from, Taps::full(1, 1, 0), outputs, act)
    }

    fn sum(&mut self, from: Source, with: Source) -> Source {
        self.push(from, PixelOp::Sum { with, act: Identity })
    }

    fn relu(&mut self, from: Source) -> Source {
        self.push(from, PixelOp::Activate(Relu))
    }

    fn gate(&mut self, from: Source, classes: bool) -> Source {
        let n = self.channels(from);
        let bias = values(self.of.count * n, 5).leak();
        let from = if classes { self.push(from, PixelOp::Bias(bias)) } else { from };
        self.push(from, PixelOp::Gate { width: n / 2 })
    }

    fn place(&mut self, from: Source) -> Source {
        let [height, width] = self.of.extents;
        self.push(from, PixelOp::Place(values(height * width * self.channels(from), 6).leak()))
    }

    fn lstm(&mut self, from: Source, scan: Scan, mirrored: bool) -> Source {
        let hidden = self.channels(from) / 4;
        let lstm = Lstm { scan, mirrored, hidden };
        let w: Vec<f32> =
            values(lstm.weights(), 3).iter().map(|v| 2.0 * v / (hidden as f32).sqrt()).collect();
        self.push(from, PixelOp::Lstm { lstm, w: w.leak() })
    }

    /// The outputs of the last node at every pixel, operation by operation.
    fn pass(&self, x: &[f32]) -> Vec<f32> {
        let mut done = vec![x.to_vec()];
        let at = |s: Source| if let Source::Node(i) = s { i + 1 } else { 0 };
        for node in &self.nodes {
            let (a, of) = (&done[at(node.from)], Images { channels: self.channels(node.from), ..self.of });
            let value = |v: f32, act| linear::value(v, act);
            done.push(match node.op {
                PixelOp::Conv { conv, w, b, act } => conv.forward(a, of, w, b, act),
                PixelOp::Sum { with, act } => {
                    a.iter().zip(&done[at(with)]).map(|(a, b)| value(a + b, act)).collect()
                }
                PixelOp::Activate(act) => a.iter().map(|v| value(*v, act)).collect(),
                PixelOp::Bias(bias) => {
                    let at = |i: usize| i / of.each() * of.channels + i % of.channels;
                    a.iter().enumerate().map(|(i, v)| v + bias[at(i)]).collect()
                }
                PixelOp::Place(bias) => bias.iter().cycle().zip(a).map(|(b, v)| v + b).collect(),
                PixelOp::Gate { width } => gate_forward(a, width),
                PixelOp::Lstm { lstm, w } => lstm.forward(a, of, w).0,
            });
        }
        done.pop().unwrap()
    }

    /// The same bits as one full pass per value, at any thread count, with one in `known` values given, all if 1, none if 0.
    fn check(&self, known: usize) {
        let (of, c) = (self.of, self.of.channels);
        let pixels = of.extents[0] * of.extents[1];
        let u = values(of.len(), 77);
        let draw = |image: usize, place: usize, channel: usize, out: &[f32], values: &mut [f32]| {
            let at = (image * pixels + place) * c + channel;
            // Any bit of an output shows.
            if known == 0 || !(at + at / 7).is_multiple_of(known) {
                let n = out.len() / c;
                let sum: f32 = out[channel * n..][..n].iter().sum();
                values[channel] = scalar::tanh(sum) + 0.3 * u[at];
            }
        };
        let given = values(of.len(), 78);
        let mut slow = given.clone();
        for (place, channel) in (0..pixels).flat_map(|p| (0..c).map(move |c| (p, c))) {
            let outputs = self.pass(&slow);
            let n = outputs.len() / of.count / pixels;
            for image in 0..of.count {
                let pixel = image * pixels + place;
                draw(image, place, channel, &outputs[pixel * n..][..n], &mut slow[pixel * c..][..c]);
            }
        }
        for threads in 1..=3 {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let mut fast = given.clone();
            pool.install(|| sample_pixels(&self.nodes, of, &mut fast, &draw));
            assert!(fast == slow, "{of:?}, {threads} threads, {known}");
        }
        assert_eq!(slow == given, known == 1, "what is not given is drawn");
    }

    /// Which nodes are evaluated pixel by pixel.
    fn awaited(&self) -> Vec<bool> {
        Net::new(&self.nodes, self.of).slots[1..].iter().map(|s| s.awaited).collect()
    }
}

/// Images that are few, that fill no group, and more than one group; and long ones.
const SIZES: [(usize, [usize; 2]); 5] = [(1, [5, 6]), (5, [4, 3]), (17, [3, 5]), (3, [1, 7]), (2, [6, 1])];

/// All sizes with nothing, something and everything given.
fn check_all(channels: usize, make: impl Fn(&mut Made)) {
    for (count, extents) in SIZES {
        let mut made = Made::new(count, extents, channels);
        make(&mut made);
        [0, 3, 1].into_iter().for_each(|known| made.check(known));
    }
}

fn chain(m: &mut Made) {
    let h = m.conv(Source::Image, Taps::causal(7, Causal::A, 1), 35, Relu);
    let h = m.conv(h, Taps::causal(3, Causal::B, 1), 9, Relu);
    m.point(h, 1, Identity);
}

/// PixelCNN with residual blocks: activations come first, and lie outside the skip.
fn residual(m: &mut Made) {
    let h = m.conv(Source::Image, Taps::causal(5, Causal::A, 1), 12, Identity);
    let mut h = m.place(h);
    for _ in 0..2 {
        let a = m.relu(h);
        let a = m.point(a, 6, Relu);
        let a = m.conv(a, Taps::causal(3, Causal::B, 1), 6, Relu);
        let a = m.point(a, 12, Identity);
        h = m.sum(a, h);
    }
    let a = m.relu(h);
    m.point(a, 4, Identity);
}

fn gated(m: &mut Made, classes: bool) {
    let (h, mut down, mut right) = (7, Source::Image, Source::Image);
    for layer in 0..3 {
        let [up, own] = [-1, 0].map(|dy| TapRow { dy, dx: -1, count: 3 });
        let mut vertical = m.conv(down, Taps::rows(vec![up, own]), 2 * h, Identity);
        if classes && layer == 0 {
            vertical = m.place(vertical);
        }
        down = m.gate(vertical, classes);
        let link = m.row(vertical, [-1, 0], 1, 2 * h);
        let across = m.row(right, [0, -1], if layer == 0 { 1 } else { 2 }, 2 * h);
        let both = m.sum(across, link);
        let out = m.gate(both, classes);
        let out = m.point(out, h, Identity);
        right = if layer == 0 { out } else { m.sum(out, right) };
    }
    let a = m.relu(right);
    let a = m.point(a, 10, Relu);
    m.point(a, 5, Identity);
}

fn row_lstm(m: &mut Made) {
    let mut h = m.conv(Source::Image, Taps::causal(7, Causal::A, 1), 10, Identity);
    for mirrored in [false, true] {
        let a = m.row(h, [0, -1], 2, 20);
        let a = m.lstm(a, Scan::Row, mirrored);
        let a = m.point(a, 10, Identity);
        h = m.sum(h, a);
    }
    m.point(h, 1, Identity);
}

fn diagonal_lstm(m: &mut Made) {
    let mut h = m.conv(Source::Image, Taps::causal(7, Causal::A, 1), 10, Identity);
    for _ in 0..2 {
        let left = m.point(h, 20, Identity);
        let left = m.lstm(left, Scan::Diagonal, false);
        let left = m.point(left, 10, Identity);
        let right = m.point(h, 20, Identity);
        let right = m.lstm(right, Scan::Diagonal, true);
        // From the row above, because its own pixel has seen what comes later.
        let right = m.row(right, [-1, 0], 1, 10);
        let both = m.sum(left, right);
        h = m.sum(both, h);
    }
    m.point(h, 2, Identity);
}

fn colour(m: &mut Made) {
    let h = m.conv(Source::Image, Taps::causal(5, Causal::A, 3), 12, Relu);
    let a = m.conv(h, Taps::causal(3, Causal::B, 3), 24, Identity);
    // Halves of 4 channels for each group.
    let a = m.push(a, PixelOp::Gate { width: 4 });
    let h = m.sum(h, a);
    m.conv(h, Taps::causal(1, Causal::B, 3), 9, Identity);
}

#[test]
fn chains() {
    check_all(1, chain);
    // Features that are read to the left of the pixel only.
    check_all(1, |m| {
        let h = m.conv(Source::Image, Taps::causal(3, Causal::A, 1), 4, Relu);
        m.row(h, [0, -2], 2, 3);
    });
}

#[test]
fn residual_networks() {
    check_all(1, residual);
}

#[test]
fn gated_networks() {
    check_all(1, |m| gated(m, false));
    check_all(1, |m| gated(m, true));
}

#[test]
fn lstms() {
    check_all(1, row_lstm);
    check_all(1, diagonal_lstm);
}

#[test]
fn colours() {
    check_all(3, colour);
    // Colours that do not see each other.
    check_all(3, |m| {
        let h = m.conv(Source::Image, Taps::causal(3, Causal::A, 1), 8, Relu);
        m.conv(h, Taps::causal(3, Causal::B, 1), 6, Identity);
    });
}

/// Operations of whole rows: sums and activations between vertical stacks, the image itself among them; and a first layer that
/// sees nothing.
#[test]
fn rows_at_a_time() {
    check_all(2, |m| {
        let bare = m.conv(Source::Image, Taps::causal(1, Causal::A, 1), 2, Identity);
        let down = m.conv(Source::Image, Taps::rows(vec![TapRow { dy: 0, dx: -2, count: 5 }]), 2, Relu);
        let a = m.push(down, PixelOp::Sum { with: Source::Image, act: Activation::Tanh });
        let a = m.relu(a);
        let states = m.point(a, 12, Identity);
        let a = m.lstm(states, Scan::Diagonal, false);
        let b = m.lstm(states, Scan::Row, true);
        let a = m.sum(a, b);
        let a = m.row(a, [-2, -1], 2, 2);
        m.sum(a, bare);
        assert_eq!(m.awaited(), [true, false, false, false, false, false, false, false, true, true]);
    });
}

/// Only what a pixel needs in its own row is computed pixel by pixel.
#[test]
fn stacks_wait_for_their_row() {
    let mut m = Made::new(1, [4, 4], 1);
    gated(&mut m, false);
    // Each layer: vertical and its gate; the last gate feeds nothing.
    let late = m.awaited().iter().enumerate().filter(|(_, a)| !**a).map(|(i, _)| i).collect::<Vec<_>>();
    assert_eq!(late, [0, 1, 7, 8, 15, 16]);
}

/// The message with which a network is refused.
fn refusal(channels: usize, make: impl Fn(&mut Made)) -> String {
    let mut m = Made::new(1, [3, 3], channels);
    make(&mut m);
    let caught = std::panic::catch_unwind(|| {
        sample_pixels(&m.nodes, m.of, &mut vec![0.0; m.of.len()], &|_, _, _, _, _| {})
    });
    *caught.unwrap_err().downcast::<String>().unwrap()
}

#[test]
fn what_is_not_causal_is_refused() {
    let says = |channels, make: fn(&mut Made), what: &str| {
        let message = refusal(channels, make);
        assert!(message.contains(what), "{message}");
    };
    says(1, |m| _ = m.conv(Source::Image, Taps::full(3, 1, 1), 1, Identity), "node 0 sees a later row");
    says(1, |m| _ = m.row(Source::Image, [0, -1], 3, 1), "node 0 is needed before pixels to the right");
    says(1, |m| _ = m.point(Source::Image, 1, Identity), "node 0 is needed before its own pixel");
    says(1, |m| _ = m.relu(Source::Node(0)), "node 0 reads a node that does not come before");
    // A later pixel at second hand, and one that comes with the states.
    says(
        1,
        |m| {
            let right = m.row(Source::Image, [0, 0], 2, 3);
            m.row(right, [0, -2], 1, 1);
        },
        "node 0 is needed before pixels to the right",
    );
    says(
        1,
        |m| {
            let gates = m.row(Source::Image, [-1, 0], 1, 4);
            m.lstm(gates, Scan::Diagonal, true);
        },
        "node 1 is needed before pixels to the right",
    );
    // Masks keep the colours in order only if all layers have them, and the first is of type A.
    says(
        3,
        |m| {
            let h = m.conv(Source::Image, Taps::causal(3, Causal::B, 3), 6, Identity);
            m.conv(h, Taps::causal(1, Causal::B, 3), 3, Identity);
        },
        "node 0 is needed before its own pixel",
    );
    says(
        3,
        |m| {
            let h = m.conv(Source::Image, Taps::causal(3, Causal::A, 3), 6, Identity);
            m.conv(h, Taps::causal(3, Causal::B, 1), 3, Identity);
        },
        "output 0 is for channel 0, but sees channel 1",
    );
    // Halves, and the gates of an LSTM, that lie across the groups.
    says(
        3,
        |m| {
            let h = m.conv(Source::Image, Taps::causal(3, Causal::A, 3), 12, Identity);
            m.gate(h, false);
        },
        "output 0 is for channel 0, but sees channel 0",
    );
    says(
        3,
        |m| {
            let h = m.conv(Source::Image, Taps::causal(3, Causal::A, 3), 12, Identity);
            m.lstm(h, Scan::Row, false);
        },
        "output 0 is for channel 0, but sees channel 1",
    );
}
