//! Sums over rows in double precision: squared distances in units of each column, and moments. The order of the sums is that of the lanes,
//! whatever the instruction set.

use crate::multiversion;

/// Sums that a row is added to at once.
const LANES: usize = 16;

/// Σ ((x − mean) · inverse)² over the columns of a row.
///
/// # Panics
/// If the three differ in length.
pub fn scaled_squares(x: &[f32], mean: &[f64], inverse: &[f64]) -> f64 {
    assert!(x.len() == mean.len() && x.len() == inverse.len(), "a row, its mean and its units");
    squares(x, mean, inverse)
}

/// sum += share · x.
///
/// # Panics
/// If the two differ in length.
pub fn add_scaled(sum: &mut [f64], x: &[f32], share: f64) {
    assert_eq!(sum.len(), x.len(), "a row and its sum");
    scaled(sum, x, share);
}

/// sum += share · (x − mean)².
///
/// # Panics
/// If the three differ in length.
pub fn add_scaled_squares(sum: &mut [f64], x: &[f32], mean: &[f64], share: f64) {
    assert!(sum.len() == x.len() && sum.len() == mean.len(), "a row, its mean and its sum");
    deviations(sum, x, mean, share);
}

multiversion! {
    fn squares(x: &[f32], mean: &[f64], inverse: &[f64]) -> f64 {
        let mut sums = [0f64; LANES];
        let ((xs, x), (ms, m), (is, i)) = (x.as_chunks::<LANES>(), mean.as_chunks::<LANES>(), inverse.as_chunks::<LANES>());
        for ((x, m), i) in xs.iter().zip(ms).zip(is) {
            for l in 0..LANES {
                let off = (f64::from(x[l]) - m[l]) * i[l];
                sums[l] += off * off;
            }
        }
        let rest = x.iter().zip(m).zip(i).map(|((x, m), i)| {
            let off = (f64::from(*x) - m) * i;
            off * off
        });
        sums.iter().sum::<f64>() + rest.sum::<f64>()
    }
}

multiversion! {
    fn scaled(sum: &mut [f64], x: &[f32], share: f64) {
        sum.iter_mut().zip(x).for_each(|(s, v)| *s += share * f64::from(*v));
    }
}

multiversion! {
    fn deviations(sum: &mut [f64], x: &[f32], mean: &[f64], share: f64) {
        for ((s, v), m) in sum.iter_mut().zip(x).zip(mean) {
            let off = f64::from(*v) - m;
            *s += share * (off * off);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_those_of_the_definitions() {
        for d in [1, 15, 16, 67] {
            let x: Vec<f32> = (0..d).map(|i| ((i * 37) % 23) as f32 / 7.0 - 1.5).collect();
            let mean: Vec<f64> = (0..d).map(|i| ((i * 11) % 13) as f64 / 5.0).collect();
            let inverse: Vec<f64> = (0..d).map(|i| 0.5 + (i % 3) as f64).collect();
            let each = |c: usize| ((f64::from(x[c]) - mean[c]) * inverse[c]).powi(2);
            let want: f64 = (0..d).map(each).sum();
            assert!((scaled_squares(&x, &mean, &inverse) - want).abs() < 1e-12 * (1.0 + want), "{d}");
            let (mut first, mut second) = (vec![1.0; d], vec![2.0; d]);
            add_scaled(&mut first, &x, 0.25);
            add_scaled_squares(&mut second, &x, &mean, 0.25);
            for c in 0..d {
                assert!((first[c] - 1.0 - 0.25 * f64::from(x[c])).abs() < 1e-15);
                assert!((second[c] - 2.0 - 0.25 * (f64::from(x[c]) - mean[c]).powi(2)).abs() < 1e-14);
            }
        }
    }
}
