//! Figures that compare rows with rows.

use crate::{Batch, Error, Result, Stop};
use rayon::prelude::*;

/// For each row of `query` the index of the nearest row of `among` and the Euclidean distance to it.
///
/// # Errors
/// [`Error::Shape`] if widths differ or `among` is empty, [`Error::Stopped`] if it was asked to end.
pub fn nearest(query: &Batch, among: &Batch) -> Result<Vec<(usize, f64)>> {
    if query.width() != among.width() || among.is_empty() {
        return Err(Error::shape(
            "rows to search",
            format!("at least one of width {}", query.width()),
            format!("{} of width {}", among.rows(), among.width()),
        ));
    }
    let stop = Stop::current();
    let distance = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(x, y)| (x - y) * (x - y)).sum::<f32>();
    (0..query.rows())
        .into_par_iter()
        .map(|q| {
            stop.check()?;
            let (i, d) = among
                .iter()
                .map(|row| distance(query.row(q), row))
                .enumerate()
                .fold((0, f32::INFINITY), |best, (i, d)| if d < best.1 { (i, d) } else { best });
            Ok((i, f64::from(d).sqrt()))
        })
        .collect()
}

/// Bits per dimension of a mean log-probability in nats.
pub fn bits_per_dim(nats: f64, width: usize) -> f64 {
    -nats / (width as f64 * std::f64::consts::LN_2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_row_and_distance() {
        let among = Batch::new(vec![0.0, 0.0, 3.0, 4.0, 1.0, 1.0], 2).unwrap();
        let query = Batch::new(vec![3.0, 3.0, 0.9, 1.0], 2).unwrap();
        let got = nearest(&query, &among).unwrap();
        assert_eq!(got[0], (1, 1.0));
        assert_eq!(got[1].0, 2);
        assert!((got[1].1 - 0.1).abs() < 1e-6);
        assert!((bits_per_dim(-8.0 * std::f64::consts::LN_2, 4) - 2.0).abs() < 1e-12);
    }
}
