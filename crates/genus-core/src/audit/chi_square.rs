//! Do draws follow given probabilities?

use super::row;
use crate::run::AuditRow;

/// Pearson's test of counts against expected counts, cell by cell.
#[derive(Debug, Default)]
pub(super) struct ChiSquare {
    statistic: f64,
    cells: usize,
    /// Cells that are still too small to count as one: (seen, expected).
    pending: (f64, f64),
    /// The last cell that was large enough, to be joined by what stays pending.
    last: Option<(f64, f64)>,
    draws: f64,
}

impl ChiSquare {
    /// Adds a cell. Cells are merged until they expect 5 draws.
    pub fn add(&mut self, seen: f64, expected: f64) {
        self.draws += seen;
        self.pending = (self.pending.0 + seen, self.pending.1 + expected);
        if self.pending.1 >= 5.0 {
            self.settle();
            self.last = Some(std::mem::take(&mut self.pending));
        }
    }

    fn settle(&mut self) {
        if let Some((seen, expected)) = self.last.take() {
            self.statistic += (seen - expected).powi(2) / expected;
            self.cells += 1;
        }
    }

    /// The verdict; `outside` is the number of draws where there is no probability at all.
    pub fn verdict(mut self, check: &str, outside: usize) -> AuditRow {
        if let Some(last) = &mut self.last {
            last.0 += self.pending.0;
            last.1 += self.pending.1;
        }
        self.settle();
        // Wilson–Hilferty: the cube root of a chi-square over its degrees of freedom is nearly normal.
        let df = f64::max(self.cells as f64 - 1.0, 1.0);
        let spread = 2.0 / (9.0 * df);
        let z = ((self.statistic / df).cbrt() - (1.0 - spread)) / spread.sqrt();
        row(
            check,
            z < 4.75 && outside == 0,
            format!(
                "chi-square {:.1} with {df} degrees of freedom over {} draws, z = {z:.2} (false alarm 1e-6 at 4.75), {outside} draws outside",
                self.statistic, self.draws
            ),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Seed;

    /// Draws from the law pass, draws from a law next to it do not, and a draw where nothing is never does.
    #[test]
    fn tells_laws_apart() {
        let law = [0.5, 0.25, 0.125, 0.1249, 0.0001];
        let other = [0.47, 0.28, 0.125, 0.1249, 0.0001];
        let verdict = |from: &[f64], outside| {
            let mut rng = Seed::from(3).rng();
            let mut counts = [0.0; 5];
            (0..20_000).for_each(|_| counts[rng.categorical(from)] += 1.0);
            let mut test = ChiSquare::default();
            counts.iter().zip(law).for_each(|(c, p)| test.add(*c, 20_000.0 * p));
            test.verdict("test", outside).passed
        };
        assert!(verdict(&law, 0) && !verdict(&other, 0) && !verdict(&law, 1));
    }
}
