//! The bandwidth by which held-back rows are most likely.

use super::bump::{Ground, Kernel};
use genus_core::math::log_sum_exp;
use genus_core::{Batch, Result};

/// Bandwidths that are tried at once, on a grid, and how often the grid is refined.
const TRIED: usize = 16;
const REFINED: usize = 4;

/// What a bandwidth is chosen by.
pub struct Choice<'a> {
    pub ground: &'a Ground,
    /// Rows that are to be likely.
    pub rows: &'a Batch,
    /// For each of them its place in the ground, where it is of those: then it does not stand on its own bump, nor on that of a twin.
    pub own: bool,
    pub kernel: Kernel,
}

/// What was chosen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Chosen {
    pub bandwidth: f64,
    /// Mean log-likelihood of the rows under it, nats.
    pub mean: f64,
    /// Whether the smallest or the largest that was tried is the best.
    pub at_the_edge: bool,
}

impl Choice<'_> {
    /// The best between `low` and `high`, to about a hundredth.
    ///
    /// # Errors
    /// [`Error::Stopped`](genus_core::Error::Stopped).
    pub fn best(&self, low: f64, high: f64) -> Result<Chosen> {
        let (whole, (mut low, mut high)) = ((low, high), (low, high));
        let mut best = Chosen { bandwidth: high, mean: f64::NEG_INFINITY, at_the_edge: true };
        for _ in 0..REFINED {
            let ratio = libm::pow(high / low, 1.0 / (TRIED - 1) as f64);
            let tried: Vec<f64> = (0..TRIED).map(|i| low * libm::pow(ratio, i as f64)).collect();
            for (h, mean) in tried.iter().zip(self.means(&tried)?) {
                if mean > best.mean {
                    best = Chosen { bandwidth: *h, mean, at_the_edge: false };
                }
            }
            (low, high) = ((best.bandwidth / ratio).max(whole.0), (best.bandwidth * ratio).min(whole.1));
        }
        best.at_the_edge = best.bandwidth < whole.0 * 1.01 || best.bandwidth > whole.1 / 1.01;
        Ok(best)
    }

    /// The mean log-likelihood under each bandwidth.
    fn means(&self, tried: &[f64]) -> Result<Vec<f64>> {
        let (n, d) = (self.ground.rows.rows(), self.ground.rows.width());
        let others = if self.own { n - 1 } else { n };
        let each = self.ground.each(self.rows, |_, to, exactly| {
            let squares: Vec<f64> = if self.own {
                // What a product leaves of a distance of 0 is not told from a small one.
                let slack = 1e-5 * to.iter().copied().fold(0.0, f32::max);
                let exact = |(j, v): (usize, &f32)| if *v <= slack { exactly(j) } else { f64::from(*v) };
                to.iter().enumerate().map(exact).filter(|v| *v > 0.0).collect()
            } else {
                to.iter().map(|v| f64::from(*v)).collect()
            };
            let score = |h: &f64| {
                let sum = log_sum_exp(squares.iter().map(|v| self.kernel.log_at(v / (h * h))));
                sum - libm::log(others as f64) + self.kernel.log_peak(d, *h)
            };
            tried.iter().map(score).collect::<Vec<f64>>()
        })?;
        let mean = |i: usize| each.iter().map(|row| row[i]).sum::<f64>() / each.len() as f64;
        Ok((0..tried.len()).map(mean).collect())
    }
}
