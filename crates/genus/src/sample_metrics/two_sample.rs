//! Classifier two-sample test (Lopez-Paz & Oquab 2017): how often a classifier that saw some draws and real rows tells others apart. One
//! half if it cannot, up to chance.

use super::classifier::{Classifier, interval};
use crate::{Batch, Result, Seed, Shape};

/// What came out.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TwoSample {
    /// Share of held-out rows that were told right.
    pub accuracy: f64,
    /// Interval of 95 % over the rows that were told.
    pub interval: [f64; 2],
    /// Rows that were told.
    pub rows: usize,
}

/// The test of rows of a shape, on as many of each: half of them to learn from, half to be told.
///
/// # Errors
/// [`Error::Domain`](crate::Error::Domain) for fewer than ten rows, [`Error::Stopped`](crate::Error::Stopped).
pub fn two_sample(draws: &Batch, real: &Batch, shape: &Shape, seed: Seed) -> Result<TwoSample> {
    let n = draws.rows().min(real.rows());
    let half = n / 2;
    let learn = draws.slice(0, half).concat(&real.slice(0, half))?;
    let tell = draws.slice(half, n).concat(&real.slice(half, n))?;
    let labels = |each: usize| (0..2 * each).map(|i| u32::from(i >= each)).collect::<Vec<_>>();
    let classifier = Classifier::fit(&learn, shape, &labels(half), 2, seed)?;
    let accuracy = classifier.accuracy(&tell, &labels(n - half))?;
    Ok(TwoSample { accuracy, interval: interval(accuracy, tell.rows()), rows: tell.rows() })
}
