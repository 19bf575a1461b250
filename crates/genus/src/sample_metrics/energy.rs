//! Energy distance: 2 E|x − y| − E|x − x′| − E|y − y′|, which is 0 for equal laws and positive for any others (Székely & Rizzo 2013).

use crate::distances::{Pair, centred, mean_between, mean_within};
use crate::{Batch, Result};

fn root(square: f32) -> f64 {
    f64::from(square.sqrt())
}

/// Mean distance of two different rows.
///
/// # Errors
/// [`Error::Stopped`](crate::Error::Stopped).
pub(crate) fn spread(x: &Batch) -> Result<f64> {
    mean_within(x, Pair::SquaredDistance, root)
}

/// The energy distance over pairs of different rows: its expectation is that of the laws, and it may be negative. At least two rows
/// of each.
///
/// # Errors
/// [`Error::Stopped`](crate::Error::Stopped).
pub fn energy_distance(x: &Batch, y: &Batch) -> Result<f64> {
    let [x, y] = &centred(x, y);
    Ok(2.0 * mean_between(x, y, Pair::SquaredDistance, root)? - spread(x)? - spread(y)?)
}
