//! Precision and recall (Kynkäänniemi et al. 2019), density and coverage (Naeem et al. 2020): whether rows lie in the balls around the
//! rows of the other set that reach to their k-th neighbour, which is in the ball too: rows that repeat are near each other.

use crate::distances::{Pair, by_rows, centred};
use crate::{Batch, Result};

/// Neighbours that a ball reaches to.
pub(crate) const NEIGHBOURS: usize = 5;

/// Shares of rows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Coverage {
    /// Draws in the ball of a real row: whether draws look real.
    pub precision: f64,
    /// Real rows in the ball of a draw: whether draws are as varied.
    pub recall: f64,
    /// Balls of real rows that a draw lies in, over their number at equal laws: precision, less moved by outliers; may exceed 1.
    pub density: f64,
    /// Balls of real rows with a draw within: recall, less moved by outliers.
    pub coverage: f64,
}

/// Squared radius of each row's ball, and a little: equal rows are not quite 0 apart, because their products are rounded.
fn radii(x: &Batch, k: usize) -> Result<Vec<f32>> {
    let little = super::ROUNDING * x.data().iter().map(|v| v * v).sum::<f32>() / x.rows().max(1) as f32;
    by_rows(x, x, Pair::SquaredDistance, |r, row| {
        let mut others: Vec<f32> = row[..r].iter().chain(&row[r + 1..]).copied().collect();
        let k = k.min(others.len());
        let own = if k == 0 { 0.0 } else { *others.select_nth_unstable_by(k - 1, f32::total_cmp).1 };
        own.max(little)
    })
}

/// All four.
///
/// # Errors
/// [`Error::Stopped`](crate::Error::Stopped).
pub fn coverage(draws: &Batch, real: &Batch) -> Result<Coverage> {
    let [draws, real] = &centred(draws, real);
    let (around_real, around_draws) = (radii(real, NEIGHBOURS)?, radii(draws, NEIGHBOURS)?);
    // Of each draw: real balls that it lies in. Of each real row: whether it lies in the ball of a draw, and whether a draw lies in its.
    let of_draws = by_rows(draws, real, Pair::SquaredDistance, |_, row| {
        row.iter().zip(&around_real).filter(|(d, r)| d <= r).count()
    })?;
    let of_real = by_rows(real, draws, Pair::SquaredDistance, |r, row| {
        let seen = row.iter().zip(&around_draws).any(|(d, r)| d <= r);
        (seen, row.iter().any(|d| *d <= around_real[r]))
    })?;
    let share = |n: usize, of: usize| n as f64 / of as f64;
    Ok(Coverage {
        precision: share(of_draws.iter().filter(|n| **n > 0).count(), draws.rows()),
        recall: share(of_real.iter().filter(|(seen, _)| *seen).count(), real.rows()),
        density: share(of_draws.iter().sum(), draws.rows() * NEIGHBOURS),
        coverage: share(of_real.iter().filter(|(_, covered)| *covered).count(), real.rows()),
    })
}
