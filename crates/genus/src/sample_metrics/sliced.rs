//! Sliced Wasserstein distance: the root of the mean square difference of sorted projections, over directions drawn uniformly
//! (Bonneel, Rabin, Peyré & Pfister 2015).

use crate::{Batch, Error, Result, Seed, Stop};
use rayon::prelude::*;

/// Directions.
const DIRECTIONS: u64 = 200;

fn projected(x: &Batch, direction: &[f64]) -> Vec<f64> {
    let of = |row: &[f32]| row.iter().zip(direction).map(|(v, d)| f64::from(*v) * d).sum();
    let mut along: Vec<f64> = x.iter().map(of).collect();
    along.sort_unstable_by(f64::total_cmp);
    along
}

/// A uniform direction.
pub(crate) fn direction(d: usize, seed: Seed) -> Vec<f64> {
    let mut rng = seed.rng();
    let v: Vec<f64> = (0..d).map(|_| rng.normal()).collect();
    let size = v.iter().map(|v| v * v).sum::<f64>().sqrt();
    v.into_iter().map(|v| v / size).collect()
}

/// The distance of equally many rows, in their units.
///
/// # Errors
/// [`Error::Shape`] if the numbers of rows differ, [`Error::Stopped`].
pub fn sliced_wasserstein(x: &Batch, y: &Batch, seed: Seed) -> Result<f64> {
    if x.rows() != y.rows() {
        return Err(Error::shape("rows of a sliced Wasserstein distance", x.rows(), y.rows()));
    }
    let stop = Stop::current();
    let one = |k: u64| {
        stop.check()?;
        let direction = direction(x.width(), seed.index(k));
        let pairs = projected(x, &direction).into_iter().zip(projected(y, &direction));
        Ok(pairs.map(|(a, b)| (a - b).powi(2)).sum::<f64>() / x.rows() as f64)
    };
    let squares = (0..DIRECTIONS).into_par_iter().map(one).collect::<Result<Vec<f64>>>()?;
    Ok((squares.iter().sum::<f64>() / DIRECTIONS as f64).sqrt())
}
