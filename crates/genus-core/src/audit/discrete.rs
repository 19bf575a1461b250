//! Small discrete domains: every row is looked at.

use super::bounds::marginal;
use super::chi_square::ChiSquare;
use super::{mass, repeated, row};
use crate::run::AuditRow;
use crate::{
    Batch, Chain, Density, Evidence, EvidenceKind, LatentVariable, Measure, Result, Sampler, Scoring, Seed,
    Support,
};
use std::collections::HashMap;

/// Most rows that are enumerated.
const MOST: usize = 1 << 16;

/// Every row that `density` shares its probability among, if there are at most `most`. Where the probability is one of
/// binarised rows, those are the rows of lowest and highest levels, which every binarisation takes to themselves.
fn support(density: &dyn Density, most: usize) -> Result<Option<Batch>> {
    let domain = density.domain();
    let levels = match domain.support {
        Support::Binary => 2usize,
        Support::Discrete { levels } => levels as usize,
        Support::Real | Support::Mixed(_) => return Ok(None),
    };
    let d = domain.width();
    let measure = density.log_prob(&Batch::zeros(1, d))?.measure;
    let (levels, step) =
        if measure == Measure::Binarized { (2, domain.top().unwrap_or(1.0)) } else { (levels, 1.0) };
    let count = (0..d).try_fold(1usize, |n, _| n.checked_mul(levels).filter(|n| *n <= most));
    Ok(count
        .map(|n| Batch::from_fn(n, d, |r, c| step * ((r / levels.pow((d - 1 - c) as u32)) % levels) as f32)))
}

/// Σ p(x) = 1; a bound may only fall short of it.
pub(super) fn total(density: &dyn Density, seed: Seed) -> Result<Option<AuditRow>> {
    let Some(all) = support(density, MOST)? else { return Ok(None) };
    let lp = density.log_prob(&all)?;
    let n = all.rows();
    Ok(match (lp.evidence.kind, lp.evidence.stderr) {
        (EvidenceKind::Exact, None) => {
            let sum = mass(&lp);
            let figure = format!("sum − 1 = {:.2e} over {n} rows", sum - 1.0);
            Some(row("probabilities of all rows sum to 1", (sum - 1.0).abs() < 1e-4, figure))
        }
        (EvidenceKind::LowerBound, None) if n <= MOST / 16 => {
            let (sum, stderr) =
                repeated(seed.child("total"), 16, |how| Ok(mass(&density.score(&all, &how)?)))?;
            let figure =
                format!("sum = {sum:.4} ± {stderr:.4} over {n} rows, 16 draws each (false alarm 1e-4)");
            Some(row("bounds of all rows sum to at most 1", sum < 1.0 + 5.0 * stderr + 1e-6, figure))
        }
        (kind @ (EvidenceKind::Exact | EvidenceKind::LowerBound), Some(stderr)) => {
            let off = libm::log(mass(&lp));
            let figure = format!("log of the sum = {off:.4} ± {stderr:.4} over {n} rows (false alarm 6e-7)");
            let most = 5.0 * stderr + 1e-4;
            Some(match kind == EvidenceKind::LowerBound {
                true => row("estimated bounds of all rows sum to at most 1", off < most, figure),
                false => row("estimated probabilities of all rows sum to 1", off.abs() < most, figure),
            })
        }
        (EvidenceKind::LowerBound, None) | (EvidenceKind::Unnormalized, _) => None,
    })
}

/// Draws follow the probabilities: exact ones, or those of a model with one or two latent dimensions by quadrature.
pub(super) fn agreement(
    density: &dyn Density,
    sampler: &dyn Sampler,
    latent: Option<&dyn LatentVariable>,
    seed: Seed,
) -> Result<Option<AuditRow>> {
    let n = 20_000;
    let Some(all) = support(density, MOST)? else { return Ok(None) };
    let lp = density.score(&all.slice(0, 1), &Scoring::default())?;
    let nats = match (lp.evidence, latent) {
        (Evidence::EXACT, _) => density.log_prob(&all)?.nats,
        (_, Some(latent)) if all.rows() <= 1024 => match marginal(latent, &all)? {
            Some(nats) => nats,
            None => return Ok(None),
        },
        _ => return Ok(None),
    };
    let drawn = sampler.sample(n, &mut seed.child("agreement").rng())?;
    Ok(Some(compared("draws follow the probabilities", &all, &nats, &drawn)))
}

/// Rows that begin as exact draws are still such after some transitions of the chain.
pub(super) fn stationary(density: &dyn Density, chain: &dyn Chain, seed: Seed) -> Result<Option<AuditRow>> {
    let (n, transitions) = (20_000, 5);
    let Some(all) = support(density, MOST)? else { return Ok(None) };
    let lp = density.log_prob(&all)?;
    if lp.evidence != Evidence::EXACT {
        return Ok(None);
    }
    let rng = &mut seed.child("exact draws").rng();
    let mut upto = 0.0;
    let sums: Vec<f64> = lp
        .nats
        .iter()
        .map(|v| {
            upto += libm::exp(*v);
            upto
        })
        .collect();
    let draws: Vec<usize> = (0..n)
        .map(|_| {
            let u = rng.uniform_f64() * upto;
            sums.partition_point(|s| *s <= u).min(all.rows() - 1)
        })
        .collect();
    let Some(moved) = chain.walk(&all.select(&draws), 1, transitions, rng)?.pop() else { return Ok(None) };
    Ok(Some(compared("a chain that begins at exact draws stays with the law", &all, &lp.nats, &moved.rows)))
}

/// Counts of `drawn` among `all` rows against their probabilities.
fn compared(check: &str, all: &Batch, nats: &[f64], drawn: &Batch) -> AuditRow {
    let key = |r: &[f32]| r.iter().map(|v| v.to_bits()).collect::<Vec<u32>>();
    let mut counts: HashMap<Vec<u32>, usize> = HashMap::new();
    drawn.iter().for_each(|r| *counts.entry(key(r)).or_default() += 1);
    let mut test = ChiSquare::default();
    for (r, nats) in all.iter().zip(nats) {
        test.add(counts.remove(&key(r)).unwrap_or(0) as f64, libm::exp(*nats) * drawn.rows() as f64);
    }
    test.verdict(check, counts.values().sum())
}
