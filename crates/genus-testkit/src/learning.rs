//! `fit` learns, and what it learned is a likelihood.

use crate::subject::{Subject, ensure};
use genus_core::transform::moments;
use genus_core::{Batch, Dataset, LogProb, Measure, Scoring, Seed, Support};
use std::collections::HashMap;

/// Mean log-probability of `x` under independent columns fitted to `train`: categorical with one added count, or normal.
fn marginals(train: &Batch, x: &Batch, support: &Support) -> f64 {
    let (mean, std) = moments(train);
    let levels = match support {
        Support::Binary => 2.0,
        Support::Discrete { levels } => f64::from(*levels),
        Support::Real | Support::Mixed(_) => 0.0,
    };
    let mut counts: HashMap<(usize, u32), f64> = HashMap::new();
    for row in train.iter() {
        row.iter().enumerate().for_each(|(c, v)| *counts.entry((c, v.to_bits())).or_insert(1.0) += 1.0);
    }
    let total: f64 = x
        .iter()
        .flat_map(|row| row.iter().enumerate())
        .map(|(c, v)| {
            if levels > 0.0 {
                let count = counts.get(&(c, v.to_bits())).copied().unwrap_or(1.0);
                (count / (train.rows() as f64 + levels)).ln()
            } else {
                let z = (f64::from(*v) - mean[c]) / std[c];
                -0.5 * (z * z + genus_core::math::LN_2PI) - std[c].ln()
            }
        })
        .sum();
    total / x.rows() as f64
}

fn held(set: &Dataset) -> &Batch {
    &set.test.as_ref().unwrap_or(&set.train).x
}

fn score(s: &Subject) -> Result<Option<(LogProb, f64)>, String> {
    let Some(density) = s.model()?.as_density() else { return Ok(None) };
    let set = s.data()?;
    let x = held(set).slice(0, 2000);
    let how = Scoring { importance_samples: 20, ..Scoring::default() };
    let lp = density.score(&x, &how).map_err(|e| e.to_string())?;
    if lp.measure == Measure::Binarized {
        // The law of the bits is not the law of the source.
        return Ok(None);
    }
    Ok(Some((lp, marginals(&set.train.x, &x, &set.domain.support))))
}

pub(crate) fn beats_marginals(s: &Subject) -> Result<(), String> {
    let Some((lp, base)) = score(s)? else { return Ok(()) };
    let (mean, stderr) = (lp.mean(), lp.stderr());
    ensure(mean > base + 3.0 * stderr.min(0.05), || {
        format!("held-out log-likelihood {mean:.4} nats, independent columns {base:.4}")
    })
}

/// The gap to the entropy is closed by half against independent columns, and is not negative beyond five standard errors
/// (false alarm 3e-7): nobody predicts better than the law of the source.
pub(crate) fn approaches_entropy(s: &Subject) -> Result<(), String> {
    let Some((lp, base)) = score(s)? else { return Ok(()) };
    let Some(entropy) = s.data()?.provenance.entropy else {
        return Err("the source has no known entropy".into());
    };
    let gap = -lp.mean() - entropy;
    let allowed = 0.5 * (-base - entropy);
    ensure(gap > -5.0 * lp.stderr(), || format!("{gap:.4} nats below the entropy: not a likelihood"))?;
    ensure(gap < allowed, || format!("{gap:.4} nats above the entropy, {allowed:.4} allowed"))
}

pub(crate) fn audit(s: &Subject) -> Result<(), String> {
    let model = s.model()?;
    let rows = held(s.data()?).slice(0, 200);
    let subject = ("tiny model", Seed::from(6));
    let found = genus_core::audit::run(model, &rows, &s.spec.restore, subject.0, subject.1, &mut |_, _| ())
        .map_err(|e| e.to_string())?
        .rows;
    let failed: Vec<String> =
        found.iter().filter(|r| !r.passed).map(|r| format!("{}: {}", r.check, r.figure)).collect();
    ensure(failed.is_empty(), || failed.join("\n"))?;
    // A density on a known source can always be summed or integrated: an audit without that has looked at nothing.
    let looked = found.iter().any(|r| r.check.contains("sum to") || r.check.contains("integrates"));
    ensure(model.as_density().is_none() || looked, || "nothing was summed or integrated".into())
}

pub(crate) fn gradients(s: &Subject) -> Result<(), String> {
    let Some(check) = s.spec.gradient_check else { return Ok(()) };
    let found = check(Seed::from(8)).map_err(|e| e.to_string())?;
    ensure(!found.is_empty(), || "no parameter was checked".into())?;
    for (name, error) in found {
        ensure(error < 2e-2, || {
            format!("`{name}`: gradient and difference quotient differ by {error:.1e} of their size")
        })?;
    }
    Ok(())
}
