//! Is this likelihood a likelihood? Checks that need nothing but a fitted model.
//!
//! Each check applies where it can be carried out and says in its figure what it measured. Statistical checks state their
//! false-alarm rate and fix their seed.

use crate::run::AuditRow;
use crate::{
    Autoregressive, Batch, Decoder, Density, Domain, Evidence, Model, Result, Sampler, Scoring, Seed, State,
    Support,
};
use std::collections::HashMap;

/// All checks that apply to `model`. `rows` are rows of its domain, at least one; `restore` makes a model of a state.
///
/// # Errors
/// If the model refuses rows of its own domain.
pub fn run(
    model: &dyn Model,
    rows: &Batch,
    restore: &dyn Fn(&State) -> Result<Box<dyn Model>>,
    subject: &str,
    seed: Seed,
) -> Result<Vec<AuditRow>> {
    let mut found = Vec::new();
    let mut keep = |check: Option<AuditRow>| {
        found.extend(check.map(|c| AuditRow { subject: subject.to_owned(), ..c }));
    };
    if let Some(density) = model.as_density() {
        keep(Some(saved(density, rows, restore)?));
        keep(Some(subset(density, rows)?));
        keep(total(density)?);
        keep(integral(density, rows)?);
        keep(bound(density, rows, seed)?);
        if let Some(decoder) = model.as_decoder() {
            keep(never_above(density, decoder, rows, seed)?);
        }
        if let Some(sampler) = model.as_sampler() {
            keep(agreement(density, sampler, seed)?);
        }
    }
    if let Some(ar) = model.as_autoregressive() {
        keep(Some(chain_rule(ar, rows)?));
        keep(Some(dependencies(ar, rows, seed)?));
        keep(Some(draws(ar, seed)?));
    }
    Ok(found)
}

fn row(check: &str, passed: bool, figure: String) -> AuditRow {
    AuditRow { check: check.to_owned(), subject: String::new(), passed, figure }
}

/// Most rows that are enumerated.
const MOST: usize = 1 << 16;

/// Every row of a discrete domain, if there are few enough.
pub fn enumerate(domain: &Domain) -> Option<Batch> {
    let levels = match domain.support {
        Support::Binary => 2usize,
        Support::Discrete { levels } => levels as usize,
        Support::Real | Support::Mixed(_) => return None,
    };
    let d = domain.width();
    let count = (0..d).try_fold(1usize, |n, _| n.checked_mul(levels).filter(|n| *n <= MOST))?;
    Some(Batch::from_fn(count, d, |r, c| ((r / levels.pow((d - 1 - c) as u32)) % levels) as f32))
}

/// A saved and restored model gives the same numbers, bit for bit.
fn saved(
    density: &dyn Density,
    rows: &Batch,
    restore: &dyn Fn(&State) -> Result<Box<dyn Model>>,
) -> Result<AuditRow> {
    let bytes = density.state().to_bytes()?;
    let again = restore(&State::from_bytes(&bytes, std::path::Path::new("memory"))?)?;
    let rows = rows.slice(0, 64);
    let before = density.log_prob(&rows)?.nats;
    let after = again.as_density().map(|d| d.log_prob(&rows)).transpose()?.map(|l| l.nats);
    let same = after.as_ref() == Some(&before);
    Ok(row(
        "saved and restored, the scores are the same bits",
        same,
        format!("{} rows compared", rows.rows()),
    ))
}

/// A row's score does not depend on the rows around it.
fn subset(density: &dyn Density, rows: &Batch) -> Result<AuditRow> {
    let rows = rows.slice(0, 64);
    let all = density.log_prob(&rows)?.nats;
    let mut off = 0;
    for (r, want) in all.iter().enumerate() {
        off += usize::from(density.log_prob(&rows.slice(r, r + 1))?.nats[0] != *want);
    }
    Ok(row(
        "a row's score does not depend on other rows",
        off == 0,
        format!("{off} of {} rows differ", rows.rows()),
    ))
}

/// Σ p(x) = 1 over all rows of a small discrete domain; a bound may only fall short of it.
fn total(density: &dyn Density) -> Result<Option<AuditRow>> {
    let Some(all) = enumerate(density.domain()) else { return Ok(None) };
    let lp = density.score(&all, &Scoring { importance_samples: 64, ..Scoring::default() })?;
    let sum: f64 = lp.nats.iter().map(|v| v.exp()).sum();
    let n = all.rows();
    Ok(match lp.evidence {
        Evidence::Exact => Some(row(
            "probabilities of all rows sum to 1",
            (sum - 1.0).abs() < 1e-4,
            format!("sum − 1 = {:.2e} over {n} rows", sum - 1.0),
        )),
        // The estimate of a bound has noise; its mean over many rows has little.
        Evidence::LowerBound => Some(row(
            "bounds of all rows sum to at most 1",
            sum < 1.0 + 0.02,
            format!("sum = {sum:.4} over {n} rows, 64 draws each"),
        )),
        Evidence::Estimate { .. } | Evidence::Unnormalized => None,
    })
}

/// ∫ p(x) dx = 1 on a grid around the rows, for one or two real dimensions.
fn integral(density: &dyn Density, rows: &Batch) -> Result<Option<AuditRow>> {
    let domain = density.domain();
    if domain.support != Support::Real || domain.width() > 2 {
        return Ok(None);
    }
    let (mean, std) = crate::transform::moments(rows);
    let d = domain.width();
    let n: usize = if d == 1 { 20_001 } else { 801 };
    let reach = 8.0;
    let at = |c: usize, i: usize| mean[c] + std[c] * reach * (2.0 * i as f64 / (n - 1) as f64 - 1.0);
    let cell: f64 = std.iter().map(|s| 2.0 * reach * s / (n - 1) as f64).product();
    let grid = Batch::from_fn(n.pow(d as u32), d, |r, c| at(c, if c == 0 { r % n } else { r / n }) as f32);
    let lp = density.score(&grid, &Scoring { importance_samples: 16, ..Scoring::default() })?;
    let sum: f64 = lp.nats.iter().map(|v| v.exp()).sum::<f64>() * cell;
    let exact = lp.evidence == Evidence::Exact;
    let (name, passed) = if exact {
        ("the density integrates to 1", (sum - 1.0).abs() < 5e-3)
    } else {
        ("the bound integrates to at most 1", sum < 1.0 + 0.02)
    };
    Ok(Some(row(name, passed, format!("integral = {sum:.5} on a grid of {} points", grid.rows()))))
}

/// More importance samples never loosen the bound, beyond three standard errors of the difference.
fn bound(density: &dyn Density, rows: &Batch, seed: Seed) -> Result<Option<AuditRow>> {
    let rows = rows.slice(0, 128);
    let at = |k| density.score(&rows, &Scoring { importance_samples: k, seed });
    let first = at(1)?;
    if first.evidence != Evidence::LowerBound || rows.rows() < 2 {
        return Ok(None);
    }
    let (mut last, mut rises, mut figures) = (first, true, Vec::new());
    figures.push(format!("{:.3}", last.mean()));
    for k in [8, 64] {
        let next = at(k)?;
        if next.nats == last.nats {
            // The bound comes from dequantisation alone: importance samples play no part.
            return Ok(None);
        }
        let gain: Vec<f64> = next.nats.iter().zip(&last.nats).map(|(a, b)| a - b).collect();
        let diff = crate::LogProb { nats: gain, ..next.clone() };
        rises &= diff.mean() > -3.0 * diff.stderr();
        figures.push(format!("{:.3}", next.mean()));
        last = next;
    }
    let figure = format!("mean bound with 1, 8, 64 draws: {} nats (false alarm 0.3 %)", figures.join(", "));
    Ok(Some(row("the bound tightens with more draws", rises, figure)))
}

/// The bound lies below the exact log p(x) = log ∫ p(x|z) N(z) dz, which one or two latent dimensions allow to compute.
fn never_above(
    density: &dyn Density,
    decoder: &dyn Decoder,
    rows: &Batch,
    seed: Seed,
) -> Result<Option<AuditRow>> {
    let l = decoder.code_width();
    if density.domain().support != Support::Binary || l > 2 {
        return Ok(None);
    }
    let rows = rows.slice(0, 64);
    let n: usize = if l == 1 { 2001 } else { 161 };
    let step = 16.0 / (n - 1) as f64;
    let axis = |i: usize| -8.0 + step * i as f64;
    let codes = Batch::from_fn(n.pow(l as u32), l, |r, c| axis(if c == 0 { r % n } else { r / n }) as f32);
    let means = decoder.decode(&codes)?;
    let prior: Vec<f64> = codes
        .iter()
        .map(|z| z.iter().map(|v| -0.5 * (f64::from(*v).powi(2) + crate::math::LN_2PI) + step.ln()).sum())
        .collect();
    let exact: Vec<f64> = rows
        .iter()
        .map(|x| {
            let joint = means.iter().zip(&prior).map(|(p, prior)| {
                let bits = x.iter().zip(p).map(|(x, p)| {
                    let p = f64::from(*p).clamp(1e-12, 1.0 - 1e-12);
                    if *x > 0.5 { p.ln() } else { (-p).ln_1p() }
                });
                prior + bits.sum::<f64>()
            });
            crate::math::log_sum_exp(joint.collect::<Vec<f64>>())
        })
        .collect();
    let lp = density.score(&rows, &Scoring { importance_samples: 1000, seed })?;
    let gap: Vec<f64> = exact.iter().zip(&lp.nats).map(|(e, b)| e - b).collect();
    let diff = crate::LogProb { nats: gap, ..lp };
    // Single rows scatter by the noise of the draws; their mean must not lie above.
    let passed = diff.mean() > -4.0 * diff.stderr().min(0.05) - 1e-3;
    Ok(Some(row(
        "the bound lies below the exact value",
        passed,
        format!(
            "exact by quadrature {:.4}, bound {:.4} nats",
            exact.iter().sum::<f64>() / rows.rows() as f64,
            diff.nats.iter().zip(&exact).map(|(g, e)| e - g).sum::<f64>() / rows.rows() as f64
        ),
    )))
}

/// Draws follow the enumerated probabilities: likelihood-ratio test of 20,000 draws, cells below 5 expected draws merged.
fn agreement(density: &dyn Density, sampler: &dyn Sampler, seed: Seed) -> Result<Option<AuditRow>> {
    let Some(all) = enumerate(density.domain()) else { return Ok(None) };
    let lp = density.log_prob(&all)?;
    if lp.evidence != Evidence::Exact {
        return Ok(None);
    }
    let n = 20_000;
    let drawn = sampler.sample(n, &mut seed.child("agreement").rng())?;
    let key = |r: &[f32]| r.iter().map(|v| v.to_bits()).collect::<Vec<u32>>();
    let mut counts: HashMap<Vec<u32>, f64> = HashMap::new();
    drawn.iter().for_each(|r| *counts.entry(key(r)).or_default() += 1.0);
    let (mut g, mut cells, mut rest) = (0.0, 0.0, (0.0, 0.0));
    for (r, nats) in all.iter().zip(&lp.nats) {
        let (seen, want) = (counts.get(&key(r)).copied().unwrap_or(0.0), nats.exp() * n as f64);
        if want < 5.0 {
            rest = (rest.0 + seen, rest.1 + want);
        } else {
            g += (seen - want).powi(2) / want;
            cells += 1.0;
        }
    }
    if rest.1 >= 5.0 {
        g += (rest.0 - rest.1).powi(2) / rest.1;
        cells += 1.0;
    }
    // Wilson–Hilferty: the cube root of a chi-square over its degrees of freedom is nearly normal.
    let df = f64::max(cells - 1.0, 1.0);
    let z = ((g / df).cbrt() - (1.0 - 2.0 / (9.0 * df))) / (2.0 / (9.0 * df)).sqrt();
    Ok(Some(row(
        "draws follow the probabilities",
        z < 4.75,
        format!(
            "chi-square {g:.1} with {df} degrees of freedom over {n} draws, z = {z:.2} (false alarm 1e-6 at 4.75)"
        ),
    )))
}

/// The conditionals multiply to the joint probability.
fn chain_rule(ar: &dyn Autoregressive, rows: &Batch) -> Result<AuditRow> {
    let (x, want) = binary_rows(ar, rows)?;
    let mut per_row = vec![Vec::new(); x.rows()];
    for member in 0..ar.members() {
        let p = ar.conditionals(member, &x)?;
        for (r, out) in per_row.iter_mut().enumerate() {
            let bits = x.row(r).iter().zip(p.row(r)).map(|(x, p)| {
                let p = f64::from(*p).clamp(1e-30, 1.0);
                if *x > 0.5 { p.ln() } else { (-p.min(1.0 - 1e-7)).ln_1p() }
            });
            out.push(bits.sum::<f64>());
        }
    }
    let off = per_row
        .iter()
        .zip(&want)
        .map(|(each, want)| (crate::math::log_mean_exp(each) - want).abs() / (1.0 + want.abs()))
        .fold(0.0, f64::max);
    Ok(row(
        "conditionals multiply to the joint probability",
        off < 1e-3,
        format!("largest relative difference {off:.1e}"),
    ))
}

/// Rows as the factorisation sees them, binary, with the model's scores of them.
fn binary_rows(ar: &dyn Autoregressive, rows: &Batch) -> Result<(Batch, Vec<f64>)> {
    let rows = rows.slice(0, 32);
    let top = ar.domain().top().unwrap_or(1.0);
    // Fully on or off rows are binarised to themselves by whatever binarisation the model has.
    let x = Batch::from_fn(rows.rows(), rows.width(), |r, c| f32::from(u8::from(rows.row(r)[c] > 0.5 * top)));
    let data = Batch::from_fn(x.rows(), x.width(), |r, c| x.row(r)[c] * top);
    let want = ar.log_prob(&data)?.nats;
    Ok((x, want))
}

/// Changing the dimension at place p moves no conditional at a place up to p, and some after it.
fn dependencies(ar: &dyn Autoregressive, rows: &Batch, seed: Seed) -> Result<AuditRow> {
    let (x, _) = binary_rows(ar, &rows.slice(0, 4))?;
    let mut rng = seed.child("dependencies").rng();
    let d = x.width();
    let places: Vec<usize> = if d <= 64 { (0..d).collect() } else { (0..64).map(|_| rng.below(d)).collect() };
    let (mut leaks, mut moved) = (0, 0);
    for member in 0..ar.members().min(4) {
        let order = ar.order(member);
        let base = ar.conditionals(member, &x)?;
        for &p in &places {
            let mut y = x.clone();
            (0..y.rows()).for_each(|r| y.row_mut(r)[order[p]] = 1.0 - x.row(r)[order[p]]);
            let after = ar.conditionals(member, &y)?;
            for r in 0..x.rows() {
                let differs = |q: usize| after.row(r)[order[q]] != base.row(r)[order[q]];
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
fn draws(ar: &dyn Autoregressive, seed: Seed) -> Result<AuditRow> {
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
        format!("{off} of {} bits differ", rows * d),
    ))
}
