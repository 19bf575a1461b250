//! Flows over images at several scales: squares of pixels become channels, and half of the values leave at each scale.

use super::MOST;
use genus_core::config::count;
use genus_core::{Domain, Error, Result, Rng, Shape};
use genus_nn::{ConvNet, Grid, ImageFlow, Params, Warp, afford};
use serde::{Deserialize, Serialize};
use std::num::NonZeroUsize;

/// Scales of a flow over images.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Multiscale {
    /// Scales at most: at each, squares of 2 × 2 pixels become one, and after each but the last half of the values are split off. 0 takes an
    /// image as a plain row, with the networks of tables.
    pub levels: usize,
    /// Couplings of each scale: half of them with masks like a checkerboard, then half with masks of channels.
    pub couplings: NonZeroUsize,
    /// Channels of the networks at the first scale, twice as many at each further one.
    pub channels: NonZeroUsize,
    /// Residual blocks of each network.
    pub blocks: usize,
}

impl Default for Multiscale {
    fn default() -> Self {
        Self { levels: 2, couplings: count(8), channels: count(32), blocks: 1 }
    }
}

/// Height, width and channels of rows that are images.
pub fn image(rows: &Domain) -> Option<([usize; 2], usize)> {
    match rows.shape {
        Shape::Image { height, width, channels } => Some(([height, width], channels)),
        Shape::Flat(_) => None,
    }
}

/// The scales of images: the values at each, squeezed. What is split off after one is in no later one.
///
/// # Errors
/// [`Error::Config`] on `field` if an image cannot be halved once.
pub fn scales(
    (field, or_else): (&str, &str),
    [height, width]: [usize; 2],
    channels: usize,
    levels: usize,
    stays: impl Fn(&Grid) -> Grid,
) -> Result<Vec<Grid>> {
    let mut grid = Grid::of([height, width], channels);
    let mut found = Vec::new();
    while found.len() < levels {
        let Some(squeezed) = grid.squeezed() else { break };
        grid = stays(&squeezed);
        found.push(squeezed);
    }
    if found.is_empty() {
        return Err(Error::config(
            field,
            format!(
                "images of {height} × {width} pixels cannot be halved; give images of even height and width{or_else}"
            ),
        ));
    }
    Ok(found)
}

/// The channels of these corners of the squares that became pixels: 0 upper left, 1 upper right, 2 and 3 below.
pub fn corners(grid: &Grid, which: &[usize]) -> Grid {
    let each = grid.channels() / 4;
    let channels: Vec<usize> = which.iter().flat_map(|p| p * each..(p + 1) * each).collect();
    grid.only(&channels)
}

/// Refuses so many convolutions of so many channels before any is made.
///
/// # Errors
/// [`Error::Config`] on `field`; [`Error::Run`] if a file holds fewer values.
pub fn affordable(field: &str, convolutions: usize, channels: usize, taps: usize) -> Result<()> {
    if convolutions > 8 * MOST {
        let message = format!(
            "{convolutions} convolutions; at most {}: choose fewer couplings, steps or blocks",
            8 * MOST
        );
        return Err(Error::config(field, message));
    }
    let layer = [channels.saturating_mul(taps), channels];
    afford(field, &vec![&layer[..]; convolutions])
}

impl Multiscale {
    /// Couplings of images, if they are to be taken as such.
    ///
    /// # Errors
    /// [`Error::Config`] if they cannot be halved, or for networks that are too large.
    pub fn build(
        &self,
        (extents, channels): ([usize; 2], usize),
        context: usize,
        warp: Warp,
        params: &mut Params,
        rng: &mut Rng,
    ) -> Result<ImageFlow> {
        let dims = extents[0] * extents[1] * channels;
        let or_else = ", or set multiscale.levels = 0, which takes them as plain rows";
        let scales = scales(("multiscale.levels", or_else), extents, channels, self.levels, |grid| {
            corners(grid, &[0, 3])
        })?;
        let (n, mut flow) = (self.couplings.get(), ImageFlow::new(dims, context));
        for (level, grid) in scales.iter().enumerate() {
            let hidden = self.channels.get().saturating_mul(1 << level.min(16));
            let convolutions = n.saturating_mul(self.blocks.saturating_mul(2));
            affordable("multiscale.channels", convolutions, hidden, 9)?;
            for i in 0..n {
                let [kept, moved] = match (i < n.div_ceil(2), i % 4) {
                    (true, 0 | 2) => [[0, 3], [1, 2]],
                    (true, _) => [[1, 2], [0, 3]],
                    (false, 0) => [[0, 1], [2, 3]],
                    (false, 1) => [[2, 3], [0, 1]],
                    (false, 2) => [[0, 2], [1, 3]],
                    (false, _) => [[1, 3], [0, 2]],
                };
                let [kept, moved] = [corners(grid, &kept), corners(grid, &moved)];
                let net = ConvNet::Residual { channels: hidden, blocks: self.blocks };
                flow.couple(params, [&kept, &moved], net, warp, rng);
            }
            match level + 1 < scales.len() {
                true => flow.leave(&corners(grid, &[1, 2])),
                false => flow.leave(grid),
            }
        }
        Ok(flow)
    }
}
