//! Flows: the way to the base and back, and its determinant.

use super::row;
use crate::run::AuditRow;
use crate::transform::{Noise, Transform};
use crate::{Batch, Invertible, Result, Seed, Stop};

/// Most values of a row whose determinant is computed.
const MOST: usize = 32;
/// Rows beside each other that are tried for one.
const NEAR: usize = 3;

/// Rows as the model works on them.
fn target_rows(flow: &dyn Invertible, rows: &Batch, n: usize, seed: Seed) -> Result<Batch> {
    let rows = rows.slice(0, n);
    match flow.transform() {
        Some(transform) => Ok(Transform::forward(transform, &rows, Noise::Row(seed))?.0),
        None => Ok(rows),
    }
}

/// Largest difference between rows, each in units of 1 + |value|.
fn apart(a: &Batch, b: &Batch) -> f64 {
    let off = |(a, b): (&f32, &f32)| f64::from((a - b).abs()) / f64::from(1.0 + b.abs());
    a.data().iter().zip(b.data()).map(off).fold(0.0, f64::max)
}

/// To the base and back are the same rows, and from the base and back.
pub(super) fn inverse(flow: &dyn Invertible, rows: &Batch, seed: Seed) -> Result<AuditRow> {
    let x = target_rows(flow, rows, 64, seed)?;
    let (z, log_det) = flow.to_base(&x)?;
    let there = apart(&flow.to_rows(&z)?, &x);
    // What is rounded once comes back larger where the map is flat: by its smallest slope, of which the mean is known.
    let flat = log_det.iter().map(|l| (-l / x.width() as f64).exp()).fold(1.0, f64::max);
    let mut rng = seed.child("base").rng();
    let from = Batch::from_fn(64, x.width(), |_, _| rng.normal() as f32);
    let back = apart(&flow.to_base(&flow.to_rows(&from)?)?.0, &from);
    Ok(row(
        "to the base and back are the same rows",
        there < 1e-3 * flat && back < 1e-2,
        format!("largest error {there:.1e} from rows, {back:.1e} from the base, relative to 1 + |value|"),
    ))
}

/// log |det ∂f/∂x| is that of difference quotients.
pub(super) fn determinant(flow: &dyn Invertible, rows: &Batch, seed: Seed) -> Result<Option<AuditRow>> {
    let x = target_rows(flow, rows, 8, seed)?;
    let d = x.width();
    if d > MOST {
        return Ok(None);
    }
    let stop = Stop::current();
    let most = 0.02 * (1.0 + d as f64).sqrt();
    let mut off = 0f64;
    for r in 0..x.rows() {
        // Networks have kinks, where quotients from both sides lie between two slopes: then a row nearby tells.
        let mut best = f64::INFINITY;
        for near in 0..NEAR {
            stop.check()?;
            let at = Batch::from_fn(1, d, |_, c| x.row(r)[c] + 0.004 * near as f32);
            best = best.min(difference(flow, &at)?);
            if best < most {
                break;
            }
        }
        off = off.max(best);
    }
    Ok(Some(row(
        "the log-determinant is that of difference quotients",
        off < most,
        format!("largest difference {off:.1e} nats on {} rows", x.rows()),
    )))
}

/// How far the log-determinant of one row is from that of difference quotients.
fn difference(flow: &dyn Invertible, x: &Batch) -> Result<f64> {
    let (d, want) = (x.width(), flow.to_base(x)?.1[0]);
    // Long steps miss how the map bends, short ones round: the best of four counts.
    let mut best = f64::INFINITY;
    for h in [1e-2f32, 2.5e-3, 6e-4, 1.5e-4] {
        let moved = Batch::from_fn(2 * d, d, |i, c| {
            let by = if i % 2 == 0 { h } else { -h };
            x.row(0)[c] + if i / 2 == c { by } else { 0.0 }
        });
        let (z, _) = flow.to_base(&moved)?;
        let wide = |rows: &Batch, r: usize, c: usize| f64::from(rows.row(r)[c]);
        let mut jacobian: Vec<f64> = (0..d * d)
            .map(|i| {
                let (to, from) = (i / d, i % d);
                let step = wide(&moved, 2 * from, from) - wide(&moved, 2 * from + 1, from);
                (wide(&z, 2 * from, to) - wide(&z, 2 * from + 1, to)) / step
            })
            .collect();
        best = best.min((log_determinant(&mut jacobian, d) - want).abs());
    }
    Ok(best)
}

/// log |det| by elimination with row pivots.
fn log_determinant(m: &mut [f64], d: usize) -> f64 {
    let mut log = 0.0;
    for i in 0..d {
        let pivot = (i..d).max_by(|a, b| m[a * d + i].abs().total_cmp(&m[b * d + i].abs())).unwrap_or(i);
        (0..d).for_each(|j| m.swap(i * d + j, pivot * d + j));
        log += m[i * d + i].abs().ln();
        for r in i + 1..d {
            let f = m[r * d + i] / m[i * d + i];
            (i..d).for_each(|j| m[r * d + j] -= f * m[i * d + j]);
        }
    }
    log
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn determinants() {
        assert!((log_determinant(&mut [0.0, 2.0, 3.0, 1.0], 2) - 6f64.ln()).abs() < 1e-12);
        assert!(
            (log_determinant(&mut [2.0, 1.0, 0.5, 1.0, 3.0, 0.2, 0.1, 0.4, 1.5], 3) - 7.41f64.ln()).abs()
                < 1e-12
        );
    }
}
