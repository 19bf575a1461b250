//! Images with the zeros around them that taps reach into.

use super::{Images, product};
use crate::TapRow;

/// The zeros around an image that some taps reach into.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Frame {
    top: usize,
    left: usize,
    pub height: usize,
    pub width: usize,
}

impl Frame {
    /// Around images `of` for outputs of these extents.
    pub fn around(rows: &[TapRow], stride: usize, of: Images, outputs: [usize; 2]) -> Self {
        let low = |first: isize| (-first).max(0) as usize;
        let top = low(rows.iter().map(|r| r.dy).min().unwrap_or(0));
        let left = low(rows.iter().map(|r| r.dx).min().unwrap_or(0));
        let last = |n: usize| (n.max(1) - 1) as isize * stride as isize;
        let high = |reach: Option<isize>, n: usize, out: usize| {
            (reach.unwrap_or(0) + last(out) + 1).max(n as isize) as usize
        };
        let bottom = high(rows.iter().map(|r| r.dy).max(), of.extents[0], outputs[0]);
        let right = high(rows.iter().map(|r| r.dx + r.count as isize - 1).max(), of.extents[1], outputs[1]);
        Self { top, left, height: top + bottom, width: left + right }
    }

    /// The image with its frame.
    pub(super) fn fill<'a>(&self, image: &'a [f32], of: Images, padded: &'a mut Vec<f32>) -> &'a [f32] {
        if [self.height, self.width] == of.extents {
            return image;
        }
        self.copy(image, of, padded, |_, _| {});
        padded
    }

    /// The image with its frame; `change` is given each line and where it begins in the image.
    pub(super) fn copy(
        &self,
        image: &[f32],
        of: Images,
        padded: &mut Vec<f32>,
        change: impl Fn(&mut [f32], usize),
    ) {
        let ([h, w], c) = (of.extents, of.channels);
        padded.resize(product([self.height, self.width, c]), 0.0);
        let (left, right) = (self.left * c, (self.left + w) * c);
        for (y, line) in padded.chunks_exact_mut(self.width * c).enumerate() {
            match y.checked_sub(self.top).filter(|y| *y < h) {
                Some(y) => {
                    let at = y * w * c;
                    line[..left].fill(0.0);
                    line[left..right].copy_from_slice(&image[at..at + w * c]);
                    change(&mut line[left..right], at);
                    line[right..].fill(0.0);
                }
                None => line.fill(0.0),
            }
        }
    }

    /// Position of the values of pixel (y, x).
    pub fn pixel(&self, y: usize, x: usize, channels: usize) -> usize {
        ((y + self.top) * self.width + self.left + x) * channels
    }

    /// Position of the first value that output (y, 0) sees through `row`.
    pub fn at(&self, stride: usize, y: usize, row: &TapRow, channels: usize) -> usize {
        let line = (y * stride + self.top) as isize + row.dy;
        (line as usize * self.width + (self.left as isize + row.dx) as usize) * channels
    }
}
