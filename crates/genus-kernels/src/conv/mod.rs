//! Convolutions of images stored height × width × channels, and their adjoints, without unfolding the input.
//!
//! With the channels last, the inputs that one row of taps sees lie side by side in memory, and those of the next pixel begin
//! one stride further on. A row of taps is therefore one matrix product with overlapping rows: the tiles of
//! [`gemm`](crate::gemm) run over the image itself, padded once. Taps that a mask drops are not in the product.
//!
//! Three passes serve everything: *gather* (large image to small) is a convolution and the input gradient of a transposed one,
//! *scatter* (small to large) is a transposed convolution and the input gradient of a plain one, and both share the gradient of
//! the weights. Images are spread over threads; sums over images are taken in a fixed order.
//!
//! The convolution that halves images, 4 × 4 taps at stride 2, takes half as many products by way of sums and differences of
//! pixels ([`winograd`]), where there are channels enough.

mod backward;
mod frame;
mod passes;
mod winograd;

pub(crate) use frame::Frame;
pub(crate) use passes::{pack, packed_blocks, tiles};

use crate::linear::Activation;
use crate::taps::TapBlock;
use crate::{TapRow, Taps};
use backward::Backward;
use passes::{Pass, Passes, run};
use winograd::Winograd;

/// Extents of a batch of images.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Images {
    /// Number of images.
    pub count: usize,
    /// Height and width of each.
    pub extents: [usize; 2],
    /// Values per pixel.
    pub channels: usize,
}

impl Images {
    /// Values of one image. Panics if their number overflows, as the others do.
    pub fn each(&self) -> usize {
        product([self.extents[0], self.extents[1], self.channels])
    }

    /// Values of all.
    pub fn len(&self) -> usize {
        product([self.count, self.each(), 1])
    }

    /// True if there is nothing.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A number of values; panics if it overflows, because positions would then lie anywhere.
fn product(of: [usize; 3]) -> usize {
    let [a, b, c] = of;
    a.checked_mul(b).and_then(|ab| ab.checked_mul(c)).unwrap_or_else(|| panic!("{a} × {b} × {c} values"))
}

/// A convolution between images of `inputs` and of `outputs` channels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conv {
    /// Its taps.
    pub taps: Taps,
    /// Channels of the large side.
    pub inputs: usize,
    /// Channels of the small side.
    pub outputs: usize,
}

/// Gradients of a convolution.
#[derive(Debug)]
pub struct ConvGrads {
    /// With respect to the input, if it was asked for.
    pub x: Option<Vec<f32>>,
    /// With respect to the weights `[taps, inputs, outputs]`, likewise; zero where channel groups drop them.
    pub w: Option<Vec<f32>>,
    /// With respect to the bias, with the weights.
    pub b: Option<Vec<f32>>,
}

/// Which side of a convolution is the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// The small one: a convolution.
    Down,
    /// The large one: a transposed convolution.
    Up,
}

impl Conv {
    /// Number of weights.
    pub fn weights(&self) -> usize {
        self.taps.count() * self.inputs * self.outputs
    }

    fn small(&self, large: Images) -> Images {
        Images { extents: self.taps.output(large.extents), channels: self.outputs, ..large }
    }

    fn large(&self, small: Images) -> Images {
        Images { extents: self.taps.input(small.extents), channels: self.inputs, ..small }
    }

    /// f(conv(x, w) + b).
    ///
    /// # Shapes
    /// x as `of` says with `inputs` channels, w `[taps, inputs, outputs]`, b `[outputs]` → images of `outputs` channels
    pub fn forward(&self, x: &[f32], of: Images, w: &[f32], b: &[f32], act: Activation) -> Vec<f32> {
        self.check(x, of, self.inputs, w);
        self.gather(x, of, w, Some(b), act)
    }

    /// Gradients from `dy`; `y` is the result of [`forward`](Self::forward), which is looked at unless the activation is the
    /// identity. `want` asks for those of x, and of weights and bias.
    #[allow(clippy::too_many_arguments)] // the operands of the operation, one each
    pub fn backward(
        &self,
        x: &[f32],
        of: Images,
        w: &[f32],
        y: &[f32],
        dy: &[f32],
        act: Activation,
        want: [bool; 2],
    ) -> ConvGrads {
        self.check(x, of, self.inputs, w);
        if let Some(fewer) = Winograd::of(self, of, self.small(of)) {
            return fewer.backward(x, of.count, w, y, dy, act, Way::Down, want);
        }
        Backward { conv: self, way: Way::Down, large: of, small: self.small(of), act }.run(x, w, y, dy, want)
    }

    /// f(convᵀ(x, w) + b), the adjoint of the convolution: from `outputs` channels to `inputs`.
    ///
    /// # Shapes
    /// x as `of` says with `outputs` channels, w `[taps, inputs, outputs]`, b `[inputs]` → images of `inputs` channels
    pub fn transposed_forward(
        &self,
        x: &[f32],
        of: Images,
        w: &[f32],
        b: &[f32],
        act: Activation,
    ) -> Vec<f32> {
        self.check(x, of, self.outputs, w);
        self.scatter(x, of, self.large(of), w, Some(b), act)
    }

    /// Gradients of [`transposed_forward`](Self::transposed_forward), as [`backward`](Self::backward).
    #[allow(clippy::too_many_arguments)]
    pub fn transposed_backward(
        &self,
        x: &[f32],
        of: Images,
        w: &[f32],
        y: &[f32],
        dy: &[f32],
        act: Activation,
        want: [bool; 2],
    ) -> ConvGrads {
        self.check(x, of, self.outputs, w);
        if let Some(fewer) = Winograd::of(self, self.large(of), of) {
            return fewer.backward(x, of.count, w, y, dy, act, Way::Up, want);
        }
        Backward { conv: self, way: Way::Up, large: self.large(of), small: of, act }.run(x, w, y, dy, want)
    }

    fn check(&self, x: &[f32], of: Images, channels: usize, w: &[f32]) {
        assert_eq!(of.channels, channels, "channels of the input");
        assert_eq!(x.len(), of.len(), "values of the input");
        assert_eq!(w.len(), self.weights(), "weights");
    }

    fn gather(&self, x: &[f32], of: Images, w: &[f32], b: Option<&[f32]>, act: Activation) -> Vec<f32> {
        if let Some(fewer) = Winograd::of(self, of, self.small(of)) {
            return fewer.forward(x, of.count, w, b, act, Way::Down);
        }
        run(x, of, &self.gathering(w, self.small(of)), self.small(of), b, act)
    }

    /// From a large image to a small one.
    fn gathering(&self, w: &[f32], small: Images) -> Passes {
        let isa = tiles(self.outputs);
        let pass = Pass {
            blocks: packed_blocks(isa, self, w),
            stride: self.taps.stride(),
            step: 1,
            phase: [0, 0],
            extents: small.extents,
        };
        Passes { isa, list: vec![pass] }
    }

    #[allow(clippy::too_many_arguments)]
    fn scatter(
        &self,
        x: &[f32],
        of: Images,
        large: Images,
        w: &[f32],
        b: Option<&[f32]>,
        act: Activation,
    ) -> Vec<f32> {
        if let Some(fewer) = Winograd::of(self, large, of) {
            return fewer.forward(x, of.count, w, b, act, Way::Up);
        }
        run(x, of, &self.scattering(w, large), large, b, act)
    }

    /// From a small image to a large one.
    fn scattering(&self, w: &[f32], large: Images) -> Passes {
        let isa = tiles(self.inputs);
        let s = self.taps.stride() as isize;
        // Output pixels with the same remainder by the stride see the same taps, each by a convolution of stride 1.
        let list = (0..s * s)
            .map(|phase| {
                let (py, px) = (phase / s, phase % s);
                let mut at = 0;
                let mut rows = Vec::new();
                // For each row the taps that are seen, in the order of the input.
                let mut taps: Vec<usize> = Vec::new();
                for row in self.taps.list() {
                    let first = at;
                    at += row.count;
                    // Input offsets fall as taps rise: the last tap comes first.
                    let seen =
                        (0..row.count).rev().filter(|t| (px - row.dx - *t as isize).rem_euclid(s) == 0);
                    let seen: Vec<usize> = seen.collect();
                    if (py - row.dy).rem_euclid(s) != 0 || seen.is_empty() {
                        continue;
                    }
                    rows.push(TapRow {
                        dy: (py - row.dy).div_euclid(s),
                        dx: (px - row.dx - seen[0] as isize).div_euclid(s),
                        count: seen.len(),
                    });
                    taps.splice(0..0, seen.into_iter().map(|t| first + t));
                }
                // Likewise from row to row: the last one comes first.
                rows.reverse();
                let mut at = 0;
                let blocks = TapBlock::from_rows(&rows, self.outputs).into_iter().map(|block| {
                    let taps = &taps[at..at + block.count()];
                    at += block.count();
                    let weight = |k: usize, j: usize| {
                        let (tap, o) = (taps[k / self.outputs], k % self.outputs);
                        w[(tap * self.inputs + j) * self.outputs + o]
                    };
                    (block, pack(isa, taps.len() * self.outputs, self.inputs, weight))
                });
                let blocks = blocks.collect();
                let here = |n: usize, p: isize| n.saturating_sub(p as usize).div_ceil(s as usize);
                let extents = [here(large.extents[0], py), here(large.extents[1], px)];
                Pass { blocks, stride: 1, step: s as usize, phase: [py as usize, px as usize], extents }
            })
            .collect();
        Passes { isa, list }
    }
}

#[cfg(test)]
mod tests;
