//! One or two real dimensions: the density on a grid.

use super::chi_square::ChiSquare;
use super::{mass, repeated, row};
use crate::run::AuditRow;
use crate::{Batch, Density, Evidence, LogProb, Measure, Result, Sampler, Scoring, Seed, Support};

/// Midpoints of the cells of a grid of 8 standard deviations to both sides of the mean of some rows.
struct Grid {
    /// Lower end and width of a cell, per column.
    axes: Vec<(f64, f64)>,
    /// Cells per column.
    n: usize,
}

impl Grid {
    /// None unless rows are one or two real numbers that are scored by a density.
    fn around(density: &dyn Density, rows: &Batch, n: [usize; 2]) -> Result<Option<Self>> {
        let domain = density.domain();
        let d = domain.width();
        if domain.support != Support::Real || d > 2 {
            return Ok(None);
        }
        if density.log_prob(&rows.slice(0, 1))?.measure != Measure::Lebesgue {
            return Ok(None);
        }
        let (mean, std) = crate::transform::moments(rows);
        let (reach, n) = (8.0, n[d - 1]);
        let axes = mean.iter().zip(&std).map(|(m, s)| (m - reach * s, 2.0 * reach * s / n as f64)).collect();
        Ok(Some(Self { axes, n }))
    }

    fn points(&self) -> Batch {
        let d = self.axes.len();
        let at = |c: usize, i: usize| self.axes[c].0 + self.axes[c].1 * (i as f64 + 0.5);
        Batch::from_fn(self.n.pow(d as u32), d, |r, c| {
            at(c, if c == 0 { r % self.n } else { r / self.n }) as f32
        })
    }

    fn cell(&self) -> f64 {
        self.axes.iter().map(|a| a.1).product()
    }

    /// The integral, and what every second point of each column makes of it: their difference says whether the grid is
    /// fine enough, because the error of a smooth density falls with the fourth power when the step is halved.
    fn integral(&self, lp: &LogProb) -> (f64, f64) {
        let d = self.axes.len();
        let coarse =
            lp.nats.iter().enumerate().filter(|(r, _)| {
                (r % self.n).is_multiple_of(2) && (d == 1 || (r / self.n).is_multiple_of(2))
            });
        let coarse: f64 = coarse.map(|(_, v)| libm::exp(*v)).sum();
        (mass(lp) * self.cell(), coarse * self.cell() * 2f64.powi(d as i32))
    }
}

/// ∫ p(x) dx = 1; a bound may only fall short of it. Not tried where the density is too narrow for the grid.
pub(super) fn integral(density: &dyn Density, rows: &Batch, seed: Seed) -> Result<Option<AuditRow>> {
    let exact = density.score(&rows.slice(0, 1), &Scoring::default())?.evidence == Evidence::EXACT;
    let fine = if exact { [20_000, 800] } else { [1000, 100] };
    let Some(grid) = Grid::around(density, rows, fine)? else { return Ok(None) };
    let points = grid.points();
    if exact {
        let (sum, coarse) = grid.integral(&density.log_prob(&points)?);
        if (sum - coarse).abs() > 0.1 {
            return Ok(None);
        }
        let figure = format!("integral = {sum:.5} on a grid of {} points", points.rows());
        return Ok(Some(row("the density integrates to 1", (sum - 1.0).abs() < 5e-3, figure)));
    }
    let mut wide = true;
    let (sum, stderr) = repeated(seed.child("integral"), 4, |how| {
        let (sum, coarse) = grid.integral(&density.score(&points, &how)?);
        wide &= (sum - coarse).abs() < 0.3;
        Ok(sum)
    })?;
    let figure =
        format!("integral = {sum:.4} ± {stderr:.4} on a grid of {} points (false alarm 1e-4)", points.rows());
    let passed = sum < 1.0 + 5.0 * stderr + 5e-3;
    Ok(wide.then(|| row("the bound integrates to at most 1", passed, figure)))
}

/// Draws follow the density: counts in 32 × 32 fields (100 in one dimension) against the integrals over them.
pub(super) fn agreement(
    density: &dyn Density,
    sampler: &dyn Sampler,
    rows: &Batch,
    seed: Seed,
) -> Result<Option<AuditRow>> {
    let Some(grid) = Grid::around(density, rows, [20_000, 800])? else { return Ok(None) };
    if density.log_prob(&rows.slice(0, 1))?.evidence != Evidence::EXACT {
        return Ok(None);
    }
    let lp = density.log_prob(&grid.points())?;
    let (sum, coarse) = grid.integral(&lp);
    if (sum - coarse).abs() > 0.1 {
        return Ok(None);
    }
    let d = grid.axes.len();
    let fields = if d == 1 { 100 } else { 32 };
    let per = grid.n / fields;
    let mut expected = vec![0.0; fields.pow(d as u32)];
    for (r, v) in lp.nats.iter().enumerate() {
        let field = (r % grid.n / per) + if d == 2 { fields * (r / grid.n / per) } else { 0 };
        expected[field] += libm::exp(*v) * grid.cell();
    }
    let n = 20_000;
    let drawn = sampler.sample(n, &mut seed.child("agreement").rng())?;
    let (mut seen, mut beyond) = (vec![0.0; expected.len()], 0.0);
    for x in drawn.iter() {
        let at = |c: usize| {
            let (low, step) = grid.axes[c];
            let i = ((f64::from(x[c]) - low) / (step * per as f64)).floor();
            (i >= 0.0 && i < fields as f64).then_some(i as usize)
        };
        match (at(0), if d == 2 { at(1) } else { Some(0) }) {
            (Some(i), Some(j)) => seen[i + fields * j] += 1.0,
            _ => beyond += 1.0,
        }
    }
    let mut test = ChiSquare::default();
    seen.iter().zip(&expected).for_each(|(s, p)| test.add(*s, p * n as f64));
    test.add(beyond, (1.0 - expected.iter().sum::<f64>()).max(0.0) * n as f64);
    Ok(Some(test.verdict("draws follow the density", 0)))
}
