//! Fills of missing values against the conditional that the model's own probabilities give: by enumeration, or on a grid of a column.

use crate::subject::{Answer, Subject, ensure};
use genus_core::{Batch, Conditional, Density, Evidence, Fill, Measure, Seed, Support};
use std::collections::HashMap;

/// Draws of each fill.
const DRAWS: usize = 4000;
/// Most ways to fill a row.
const MOST: usize = 1024;
/// Points of a grid, and stretches of equal mass that draws are counted in.
const GRID: usize = 4000;
const STRETCHES: usize = 20;

fn say(e: impl std::fmt::Display) -> String {
    e.to_string()
}

/// Whether counts of draws go with probabilities: their chi-square lies below its mean by six deviations and a little (false alarm
/// 1e-6 a row, with one degree of freedom; less with more); cells that are expected less than five times are taken together.
fn fits(what: &str, counts: &[f64], probabilities: &[f64]) -> Result<(), String> {
    let n: f64 = counts.iter().sum();
    let (mut square, mut cells, mut rest) = (0.0, 0.0, [0.0; 2]);
    for (count, p) in counts.iter().zip(probabilities) {
        if p * n < 5.0 {
            rest = [rest[0] + count, rest[1] + p * n];
        } else {
            square += (count - p * n).powi(2) / (p * n);
            cells += 1.0;
        }
    }
    if rest[1] > 0.0 {
        square += (rest[0] - rest[1]).powi(2) / rest[1].max(1.0);
        cells += 1.0;
    }
    let off: f64 = counts.iter().zip(probabilities).map(|(c, p)| (c / n - p).abs()).sum::<f64>() / 2.0;
    let most = cells + 6.0 * f64::sqrt(2.0 * cells) + 10.0;
    ensure(square < most, || {
        format!("{what}: chi-square {square:.1} over {cells} cells, total variation {off:.3}")
    })
}

fn draws(model: &dyn Conditional, row: &[f32], d: usize) -> Result<Batch, String> {
    let rows = Batch::from_fn(DRAWS, d, |_, c| row[c]);
    model.impute(&rows, Fill::Sample, &mut Seed::from(5).rng()).map_err(say)
}

fn normalised(nats: &[f64]) -> Vec<f64> {
    let top = nats.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let each: Vec<f64> = nats.iter().map(|v| (v - top).exp()).collect();
    let total: f64 = each.iter().sum();
    each.into_iter().map(|v| v / total).collect()
}

/// Draws and means of a row of levels whose values at `missing` are not known.
fn enumerated(
    model: &dyn Conditional,
    density: &dyn Density,
    row: &[f32],
    missing: &[usize],
    levels: usize,
) -> Result<(), String> {
    let n = levels.pow(missing.len() as u32);
    let all = Batch::from_fn(n, row.len(), |w, c| match missing.iter().position(|m| *m == c) {
        Some(k) => (w / levels.pow(k as u32) % levels) as f32,
        None => row[c],
    });
    let p = normalised(&density.log_prob(&all).map_err(say)?.nats);
    let holed: Vec<f32> =
        (0..row.len()).map(|c| if missing.contains(&c) { f32::NAN } else { row[c] }).collect();
    let code = |r: &[f32]| missing.iter().rev().fold(0, |code, m| code * levels + r[*m] as usize);
    let mut counts = vec![0.0; n];
    draws(model, &holed, row.len())?.iter().for_each(|r| counts[code(r)] += 1.0);
    let what = format!("columns {missing:?} of {row:?}");
    fits(&what, &counts, &p)?;
    let mean = model
        .impute(&Batch::new(holed, row.len()).map_err(say)?, Fill::Mean, &mut Seed::from(6).rng())
        .map_err(say)?;
    for m in missing {
        let want: f64 = all.iter().zip(&p).map(|(r, p)| f64::from(r[*m]) * p).sum();
        let got = f64::from(mean.row(0)[*m]);
        ensure((got - want).abs() < 0.02, || format!("{what}: mean {got:.4} of column {m}, not {want:.4}"))?;
    }
    Ok(())
}

/// Draws and means of a row of real numbers whose value at `missing` is not known.
fn on_a_grid(
    model: &dyn Conditional,
    density: &dyn Density,
    row: &[f32],
    missing: usize,
    range: [f32; 2],
) -> Result<(), String> {
    let step = (range[1] - range[0]) / GRID as f32;
    let at = |i: usize| range[0] + step * (i as f32 + 0.5);
    let all = Batch::from_fn(GRID, row.len(), |i, c| if c == missing { at(i) } else { row[c] });
    let p = normalised(&density.log_prob(&all).map_err(say)?.nats);
    // Stretches of nearly the same mass.
    let (mut upto, mut stretch) = (0.0, Vec::with_capacity(GRID));
    let mut shares: HashMap<usize, f64> = HashMap::new();
    for p in &p {
        let s = ((upto + 0.5 * p) * STRETCHES as f64) as usize;
        stretch.push(s.min(STRETCHES - 1));
        *shares.entry(s.min(STRETCHES - 1)).or_default() += p;
        upto += p;
    }
    let holed: Vec<f32> = (0..row.len()).map(|c| if c == missing { f32::NAN } else { row[c] }).collect();
    let mut counts = vec![0.0; STRETCHES];
    for r in draws(model, &holed, row.len())?.iter() {
        let i = ((r[missing] - range[0]) / step).clamp(0.0, (GRID - 1) as f32) as usize;
        counts[stretch[i]] += 1.0;
    }
    let p_of: Vec<f64> = (0..STRETCHES).map(|s| shares.get(&s).copied().unwrap_or(0.0)).collect();
    let what = format!("column {missing} of {row:?}");
    fits(&what, &counts, &p_of)?;
    let mean = model
        .impute(&Batch::new(holed, row.len()).map_err(say)?, Fill::Mean, &mut Seed::from(6).rng())
        .map_err(say)?;
    let want: f64 = p.iter().enumerate().map(|(i, p)| f64::from(at(i)) * p).sum();
    let spread: f64 =
        p.iter().enumerate().map(|(i, p)| (f64::from(at(i)) - want).powi(2) * p).sum::<f64>().sqrt();
    let got = f64::from(mean.row(0)[missing]);
    ensure((got - want).abs() < 0.05 * spread + 1e-3, || {
        format!("{what}: mean {got:.4}, not {want:.4} (deviation {spread:.4})")
    })
}

pub(crate) fn conditionals(s: &Subject) -> Result<Answer, String> {
    let model = s.model()?;
    let (Some(conditional), Some(density)) = (model.as_conditional(), model.as_density()) else {
        return Ok(Answer::NotApplicable("it fills nothing, or has no density"));
    };
    let x = s.data()?.train.x.slice(0, 3);
    let lp = density.log_prob(&x).map_err(say)?;
    if lp.evidence != Evidence::EXACT || lp.measure == Measure::Binarized {
        return Ok(Answer::NotApplicable("its probabilities are not exact"));
    }
    let d = x.width();
    let levels = match model.domain().support {
        Support::Binary => 2,
        Support::Discrete { levels } => levels as usize,
        Support::Real if d == 2 => {
            for (row, missing) in x.iter().zip([0, 1, 0]) {
                let column = || s.data().into_iter().flat_map(|set| set.train.x.iter().map(|r| r[missing]));
                let (low, high) =
                    (column().fold(f32::INFINITY, f32::min), column().fold(f32::NEG_INFINITY, f32::max));
                let around = 0.5 * (high - low);
                on_a_grid(conditional, density, row, missing, [low - around, high + around])?;
            }
            return Ok(Answer::Held);
        }
        _ => return Ok(Answer::NotApplicable("its rows can be neither enumerated nor drawn on a plane")),
    };
    let patterns: [Vec<usize>; 3] =
        [(0..d / 2).collect(), (0..d).filter(|c| c % 2 == 0).collect(), (d / 2..d).collect()];
    let few = |missing: &[usize]| levels.checked_pow(missing.len() as u32).is_some_and(|n| n <= MOST);
    if !patterns.iter().all(|missing| few(missing)) {
        return Ok(Answer::NotApplicable("its rows have too many completions to go through"));
    }
    for (row, missing) in x.iter().zip(&patterns) {
        enumerated(conditional, density, row, missing, levels)?;
    }
    Ok(Answer::Held)
}
