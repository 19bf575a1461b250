//! Columns of several kinds: every combination of what is not real, with the real ones on a grid.

use super::chi_square::ChiSquare;
use super::row;
use crate::run::AuditRow;
use crate::{Batch, Density, Evidence, Kind, Measure, Result, Sampler, Seed, Stop, Support};
use std::collections::HashMap;

/// Most points, and fewest of a real column.
const MOST: usize = 1 << 17;
const FEWEST: usize = 200;
/// How far a coarser grid may be off where draws are counted.
const FINE: f64 = 2e-3;
/// Points that are scored together.
const CHUNK: usize = 1 << 14;

/// Values of a column: of a real one the middles of stretches.
struct Axis {
    from: f64,
    step: f64,
    n: usize,
    real: bool,
}

/// The mass of each combination of what is not real.
struct Masses {
    axes: Vec<Axis>,
    of: HashMap<Vec<u32>, f64>,
    points: usize,
    /// What a coarser grid has in all: how far it is off says how far this one may be.
    coarse: f64,
    /// Whether it is the mass itself, not a bound of it.
    exact: bool,
}

fn combination(axes: &[Axis], x: &[f32]) -> Vec<u32> {
    axes.iter().zip(x).filter(|(axis, _)| !axis.real).map(|(_, v)| (v + 0.0).to_bits()).collect()
}

impl Masses {
    /// None unless rows are mixed, scored exactly or by a bound without an estimated term, and few enough in number.
    fn of(density: &dyn Density, rows: &Batch) -> Result<Option<Self>> {
        let Support::Mixed(kinds) = &density.domain().support else { return Ok(None) };
        let first = density.log_prob(&rows.slice(0, 1))?;
        let known = [Evidence::EXACT, Evidence::LOWER_BOUND].contains(&first.evidence);
        if !known || first.measure == Measure::Binarized {
            return Ok(None);
        }
        let exact = first.evidence == Evidence::EXACT;
        let (mean, std) = crate::transform::moments(rows);
        let axis = |(c, kind): (usize, &Kind)| {
            let (from, n) = match kind {
                Kind::Binary => (0.0, 2),
                Kind::Category(names) => (0.0, names.len()),
                Kind::Whole { least, most } => {
                    let span = most.saturating_sub(*least).max(1);
                    (least.saturating_sub(2 * span) as f64, span.saturating_mul(5).saturating_add(1) as usize)
                }
                Kind::Real { .. } => {
                    return Axis { from: mean[c] - 8.0 * std[c], step: 16.0 * std[c], n: 1, real: true };
                }
            };
            Axis { from, step: 1.0, n, real: false }
        };
        let mut axes: Vec<Axis> = kinds.iter().enumerate().map(axis).collect();
        let count =
            |axes: &[Axis]| axes.iter().try_fold(1usize, |n, a| n.checked_mul(a.n).filter(|n| *n <= MOST));
        let Some(combinations) = count(&axes) else { return Ok(None) };
        let real = axes.iter().filter(|a| a.real).count();
        if real > 0 {
            let each = libm::pow((MOST / combinations) as f64, 1.0 / real as f64) as usize / 2 * 2;
            if each < FEWEST {
                return Ok(None);
            }
            for axis in axes.iter_mut().filter(|a| a.real) {
                (axis.step, axis.n) = (axis.step / each as f64, each);
            }
        }
        let points = axes.iter().map(|a| a.n).product();
        let cell: f64 = axes.iter().filter(|a| a.real).map(|a| a.step).product();
        let (mut of, mut fine, mut coarse) = (HashMap::<_, f64>::new(), 0.0, 0.0);
        let stop = Stop::current();
        for start in (0..points).step_by(CHUNK) {
            stop.check()?;
            let end = points.min(start + CHUNK);
            let mut kept = Vec::with_capacity(end - start);
            let mut values = Vec::with_capacity((end - start) * axes.len());
            for mut i in start..end {
                let mut even = true;
                for axis in &axes {
                    let at = i % axis.n;
                    i /= axis.n;
                    even &= !axis.real || at.is_multiple_of(2);
                    let middle = if axis.real { 0.5 } else { 0.0 };
                    values.push((axis.from + axis.step * (at as f64 + middle)) as f32);
                }
                kept.push(even);
            }
            let x = Batch::new(values, axes.len())?;
            for ((nats, even), row) in density.log_prob(&x)?.nats.iter().zip(kept).zip(x.iter()) {
                let mass = libm::exp(*nats) * cell;
                fine += mass;
                coarse += if even { mass * 2f64.powi(real as i32) } else { 0.0 };
                *of.entry(combination(&axes, row)).or_default() += mass;
            }
        }
        // Where the density is too narrow for the grid, nothing can be said.
        Ok(((fine - coarse).abs() < 0.1).then_some(Self { axes, of, points, coarse, exact }))
    }
}

impl Masses {
    /// Of all combinations, in an order that does not depend on hashes.
    fn sum(&self) -> f64 {
        let mut each: Vec<f64> = self.of.values().copied().collect();
        each.sort_unstable_by(f64::total_cmp);
        each.iter().sum()
    }
}

/// Σ p(x) = 1 over combinations and grids, and of bounds at most that.
pub(super) fn total(density: &dyn Density, rows: &Batch) -> Result<Option<AuditRow>> {
    let Some(masses) = Masses::of(density, rows)? else { return Ok(None) };
    let (sum, coarse) = (masses.sum(), masses.coarse);
    let figure = format!("sum = {sum:.5} over {} points, {coarse:.5} on a coarser grid", masses.points);
    let most = 5e-3 + (sum - coarse).abs();
    Ok(Some(match masses.exact {
        true => row("probabilities of all rows sum to 1", (sum - 1.0).abs() < most, figure),
        false => row("bounds of all rows sum to at most 1", sum < 1.0 + most, figure),
    }))
}

/// Draws have the combinations as often as the probabilities say.
pub(super) fn agreement(
    density: &dyn Density,
    sampler: &dyn Sampler,
    rows: &Batch,
    seed: Seed,
) -> Result<Option<AuditRow>> {
    let fine = |m: &Masses| m.exact && (m.sum() - m.coarse).abs() < FINE;
    let Some(masses) = Masses::of(density, rows)?.filter(fine) else {
        return Ok(None);
    };
    let n = 20_000;
    let drawn = sampler.sample(n, &mut seed.child("agreement").rng())?;
    let mut counts: HashMap<Vec<u32>, f64> = HashMap::new();
    drawn.iter().for_each(|x| *counts.entry(combination(&masses.axes, x)).or_default() += 1.0);
    let mut each: Vec<(&Vec<u32>, &f64)> = masses.of.iter().collect();
    each.sort_by(|a, b| a.0.cmp(b.0));
    let mut test = ChiSquare::default();
    for (key, mass) in each {
        test.add(counts.remove(key).unwrap_or(0.0), mass * n as f64);
    }
    Ok(Some(test.verdict("draws follow the probabilities", counts.values().sum::<f64>() as usize)))
}
