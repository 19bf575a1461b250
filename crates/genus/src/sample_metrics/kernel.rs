//! Maximum mean discrepancy: MMD² = E k(x, x′) + E k(y, y′) − 2 E k(x, y) (Gretton et al. 2012), over pairs of different rows, so that its
//! expectation is that of the laws: it may be negative.

use crate::distances::{Pair, centred, mean_between, mean_within, squared_distances};
use crate::{Batch, Result, Seed};

/// The kernel.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kernel {
    /// (xᵀy/d + 1)³ of d features, as in the kernel inception distance (Bińkowski, Sutherland, Arbel & Gretton 2018).
    Cubic,
    /// exp(−|x − y|²/2h²).
    Gaussian {
        /// The bandwidth h.
        bandwidth: f64,
    },
}

/// Rows whose distances give a bandwidth.
const MEDIAN_OF: usize = 1000;

impl Kernel {
    /// Gaussian, with the median distance of rows as its bandwidth.
    pub fn median(x: &Batch) -> Self {
        let mut rows = Seed::from(0).child("median").rng().permutation(x.rows());
        rows.truncate(MEDIAN_OF);
        let some = x.select(&rows);
        let all = squared_distances(&some, &some);
        let n = some.rows();
        let mut apart: Vec<f32> =
            (0..n).flat_map(|i| (0..i).map(move |j| (i, j))).map(|(i, j)| all[i * n + j]).collect();
        apart.sort_unstable_by(f32::total_cmp);
        let median = apart.get(apart.len() / 2).map_or(0.0, |v| f64::from(*v).sqrt());
        Self::Gaussian { bandwidth: if median > 0.0 { median } else { 1.0 } }
    }

    /// In words.
    pub fn words(self) -> String {
        match self {
            Self::Cubic => "(xᵀy/d + 1)³".into(),
            Self::Gaussian { bandwidth } => format!("exp(−|x − y|²/2h²), h = {bandwidth:.4}"),
        }
    }
}

/// MMD² under a kernel. At least two rows of each.
///
/// # Errors
/// [`Error::Stopped`](crate::Error::Stopped).
pub fn kernel_distance(x: &Batch, y: &Batch, kernel: Kernel) -> Result<f64> {
    let of = |x: &Batch, y: &Batch, pair, k: &(dyn Fn(f32) -> f64 + Sync)| {
        Ok(mean_within(x, pair, k)? + mean_within(y, pair, k)? - 2.0 * mean_between(x, y, pair, k)?)
    };
    match kernel {
        Kernel::Cubic => {
            let d = x.width() as f64;
            of(x, y, Pair::Product, &|v| (f64::from(v) / d + 1.0).powi(3))
        }
        Kernel::Gaussian { bandwidth } => {
            let factor = -0.5 / (bandwidth * bandwidth);
            let [x, y] = &centred(x, y);
            of(x, y, Pair::SquaredDistance, &|v| libm::exp(factor * f64::from(v)))
        }
    }
}
