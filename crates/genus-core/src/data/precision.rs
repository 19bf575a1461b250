//! Whether single precision keeps the numbers of a column apart, and from which origin it does.

use std::collections::HashSet;

/// Distinct numbers that are remembered of a column.
const DISTINCT: usize = 1000;
/// Most that rounding may cost, in standard deviations, before an origin is looked for.
const FINE: f64 = 1e-5;
/// Most that it may cost at all.
const COARSE: f64 = 1e-3;
/// Whole numbers up to here are exact in double precision.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// What was seen of the numbers of a column.
#[derive(Debug, Clone, Default)]
pub(super) struct Precision {
    n: f64,
    mean: f64,
    squares: f64,
    /// Largest error of rounding to single precision, and a number that suffers it.
    worst: (f64, f64),
    fractions: bool,
    least: f64,
    most: f64,
    /// Distinct numbers, and how many single precision makes of them.
    doubles: HashSet<u64>,
    singles: HashSet<u32>,
}

impl Precision {
    /// Takes note of a number; of nothing else.
    pub(super) fn see(&mut self, x: f64) {
        if !x.is_finite() {
            return;
        }
        if self.n == 0.0 {
            (self.least, self.most) = (x, x);
        }
        self.n += 1.0;
        let before = x - self.mean;
        self.mean += before / self.n;
        self.squares += before * (x - self.mean);
        let single = x as f32;
        let error = (f64::from(single) - x).abs();
        if error > self.worst.0 {
            self.worst = (error, x);
        }
        self.fractions |= x.fract() != 0.0;
        (self.least, self.most) = (self.least.min(x), self.most.max(x));
        if self.doubles.len() < DISTINCT && self.doubles.insert((x + 0.0).to_bits()) {
            self.singles.insert((single + 0.0).to_bits());
        }
    }

    fn deviation(&self) -> f64 {
        if self.n > 0.0 { (self.squares / self.n).sqrt() } else { 0.0 }
    }

    /// What is to be subtracted from the numbers before they become single; 0 where nothing is to be gained.
    pub(super) fn origin(&self) -> f64 {
        let (error, spread) = (self.worst.0, self.deviation());
        if self.most.max(-self.least) > f64::from(f32::MAX) {
            return 0.0;
        }
        let fine = error <= FINE * spread && self.singles.len() == self.doubles.len();
        if error == 0.0 || fine && (self.fractions || error < 0.5) {
            return 0.0;
        }
        let middle = 0.5 * self.least + 0.5 * self.most;
        let origin = match spread > 0.0 {
            _ if !self.fractions => middle.round(),
            // A short number, so that sums with it are exact.
            true => {
                let unit = 10f64.powi(spread.log10().floor() as i32);
                (self.mean / unit).round() * unit
            }
            false => self.least,
        };
        // An origin among the numbers gains nothing.
        if origin.is_finite() && origin.abs() > spread { origin } else { 0.0 }
    }

    /// Why the numbers cannot be used in single precision, whatever others are near; none if they can.
    pub(super) fn beyond(&self) -> Option<String> {
        let most = if self.most > -self.least { self.most } else { self.least };
        if most.abs() > f64::from(f32::MAX) {
            return Some(format!("{most} is beyond single precision; rescale the column"));
        }
        if !self.fractions && most.abs() > EXACT {
            return Some(format!(
                "{most} is a whole number beyond 2⁵³, which is not exact; an identifier is best left out"
            ));
        }
        None
    }

    /// Why the numbers cannot be used in single precision; none if they can.
    pub(super) fn lost(&self) -> Option<String> {
        if let Some(message) = self.beyond() {
            return Some(message);
        }
        let (error, x) = self.worst;
        let merged =
            self.doubles.len() > self.singles.len() && self.singles.len() * 10 < self.doubles.len() * 9;
        if merged || self.deviation() > 0.0 && error > COARSE * self.deviation() {
            return Some(format!(
                "single precision does not keep its numbers apart ({x} becomes {}); leave an identifier out, multiply small numbers, or split the column in two",
                x as f32
            ));
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: impl IntoIterator<Item = f64>) -> Precision {
        let mut p = Precision::default();
        values.into_iter().for_each(|v| p.see(v));
        p
    }

    #[test]
    fn what_single_precision_holds_stays_where_it_is() {
        for p in [
            of((0..500).map(|i| f64::from(i) * 0.1)),
            of([0.0, 1.0, 65_535.0]),
            of((0..2000).map(|i| libm::sin(f64::from(i)))),
            of((0..99).map(|i| 746.0 + 3.1 * f64::from(i))),
        ] {
            assert_eq!((p.origin(), p.lost()), (0.0, None));
        }
    }

    #[test]
    fn times_and_large_means_get_an_origin_that_keeps_them_exact() {
        for values in [
            (0..500).map(|i| 1.7e9 + f64::from(i) * 37.0).collect::<Vec<f64>>(),
            (0..500).map(|i| 1e8 + libm::sin(f64::from(i))).collect(),
            vec![1_700_000_123.0],
            (0..500).map(|i| 1e12 + f64::from(i)).collect(),
        ] {
            let origin = of(values.iter().copied()).origin();
            assert!(origin > 9e7, "{origin}");
            let moved = of(values.iter().map(|v| v - origin));
            assert_eq!(moved.lost(), None);
            assert!(moved.worst.0 < 1e-6, "{moved:?}");
        }
    }

    #[test]
    fn what_no_origin_mends_is_lost() {
        for values in [
            vec![1e-46, 2e-46, 3e-46],
            vec![0.0, 1e300],
            (0..50).map(|i| 1e17 + f64::from(i) * 1e3).collect(),
        ] {
            let p = of(values.iter().copied());
            let origin = p.origin();
            assert!(of(values.iter().map(|v| v - origin)).lost().or(p.lost()).is_some(), "{values:?}");
        }
    }
}
