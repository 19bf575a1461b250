//! Products of conditionals: the chain rule, who depends on whom, and the fast sampler.

use super::row;
use crate::run::AuditRow;
use crate::{Autoregressive, Batch, Result, Seed, Stop};

/// The conditionals multiply to the joint probability.
pub(super) fn chain_rule(ar: &dyn Autoregressive, rows: &Batch) -> Result<AuditRow> {
    let (x, want) = target_rows(ar, rows)?;
    let levels = ar.levels();
    let mut per_row = vec![Vec::new(); x.rows()];
    for member in 0..ar.members() {
        let p = ar.conditionals(member, &x)?;
        for (r, out) in per_row.iter_mut().enumerate() {
            let each = x.row(r).iter().enumerate().map(|(d, x)| {
                let of = |p: f32| f64::from(p).clamp(1e-30, 1.0);
                match levels {
                    2 if *x > 0.5 => of(p.row(r)[d]).ln(),
                    2 => (-of(p.row(r)[d]).min(1.0 - 1e-7)).ln_1p(),
                    n => of(p.row(r)[d * n + *x as usize]).ln(),
                }
            });
            out.push(each.sum::<f64>() + ar.weight(member).ln());
        }
    }
    let off = per_row
        .iter()
        .zip(&want)
        .map(|(each, want)| {
            (crate::math::log_sum_exp(each.iter().copied()) - want).abs() / (1.0 + want.abs())
        })
        .fold(0.0, f64::max);
    Ok(row(
        "conditionals multiply to the joint probability",
        off < 1e-3,
        format!("largest relative difference {off:.1e}"),
    ))
}

/// Rows as the factorisation sees them, with the model's scores of them.
fn target_rows(ar: &dyn Autoregressive, rows: &Batch) -> Result<(Batch, Vec<f64>)> {
    let rows = rows.slice(0, 32);
    if ar.levels() > 2 {
        return Ok((rows.clone(), ar.log_prob(&rows)?.nats));
    }
    let top = ar.domain().top().unwrap_or(1.0);
    // Fully on or off rows are binarised to themselves by whatever binarisation the model has.
    let x = Batch::from_fn(rows.rows(), rows.width(), |r, c| f32::from(u8::from(rows.row(r)[c] > 0.5 * top)));
    let data = Batch::from_fn(x.rows(), x.width(), |r, c| x.row(r)[c] * top);
    let want = ar.log_prob(&data)?.nats;
    Ok((x, want))
}

/// Changing the dimension at place p moves no conditional at a place up to p, and some after it.
pub(super) fn dependencies(ar: &dyn Autoregressive, rows: &Batch, seed: Seed) -> Result<AuditRow> {
    let (x, _) = target_rows(ar, &rows.slice(0, 4))?;
    let mut rng = seed.child("dependencies").rng();
    let d = x.width();
    let places: Vec<usize> = if d <= 64 { (0..d).collect() } else { (0..64).map(|_| rng.below(d)).collect() };
    let (mut leaks, mut moved) = (0, 0);
    for member in 0..ar.members().min(4) {
        let order = ar.order(member);
        let base = ar.conditionals(member, &x)?;
        for &p in &places {
            Stop::current().check()?;
            let mut y = x.clone();
            let top = (ar.levels() - 1) as f32;
            for r in 0..y.rows() {
                let v = &mut y.row_mut(r)[order[p]];
                *v = if *v > 0.5 * top { 0.0 } else { top };
            }
            let after = ar.conditionals(member, &y)?;
            let n = base.width() / d;
            for r in 0..x.rows() {
                let of = |all: &Batch, q: usize| all.row(r)[order[q] * n..(order[q] + 1) * n].to_vec();
                let differs = |q: usize| of(&after, q) != of(&base, q);
                leaks += (0..=p).filter(|q| differs(*q)).count();
                moved += (p + 1..d).filter(|q| differs(*q)).count();
            }
        }
    }
    let alive = moved > 0 || d == 1;
    Ok(row(
        "a dimension moves only the conditionals after it",
        leaks == 0 && alive,
        format!("{leaks} leaks, {moved} dependencies seen over {} places", places.len()),
    ))
}

/// The fast sampler draws the same bits as one full pass per dimension.
pub(super) fn draws(ar: &dyn Autoregressive, seed: Seed) -> Result<AuditRow> {
    let d = ar.domain().width();
    let rows = if d <= 64 { 40 } else { 4 };
    let mut off = 0;
    for member in 0..ar.members().min(2) {
        let mut rng = seed.child("draws").index(member as u64).rng();
        let u = Batch::from_fn(rows, d, |_, _| rng.uniform());
        let (fast, slow) = (ar.draw(member, &u)?, ar.draw_slowly(member, &u)?);
        off += fast.data().iter().zip(slow.data()).filter(|(a, b)| a != b).count();
    }
    Ok(row(
        "fast sampling draws the same bits as full passes",
        off == 0,
        format!("{off} of {} values differ", rows * d),
    ))
}
