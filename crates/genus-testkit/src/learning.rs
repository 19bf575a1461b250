//! `fit` learns, and what it learned is a likelihood.

use crate::subject::{Answer, Subject, ensure};
use genus_core::transform::moments;
use genus_core::{Batch, Dataset, LogProb, Measure, Scoring, Seed, Split, Support};
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
    &held_split(set).x
}

fn held_split(set: &Dataset) -> &Split {
    set.test.as_ref().unwrap_or(&set.train)
}

const UNSCORED: Answer =
    Answer::NotApplicable("it scores no rows of the source, only bits made of them, or none");

fn score(s: &Subject) -> Result<Option<(LogProb, f64)>, String> {
    let set = s.data()?;
    let rows = held_split(set);
    let rows = rows.select(&(0..rows.x.rows().min(2000)).collect::<Vec<_>>());
    let how = Scoring { importance_samples: 20, ..Scoring::default() };
    let Some(lp) = s.model()?.score_split(&rows, &how).map_err(|e| e.to_string())? else {
        return Ok(None);
    };
    let x = rows.x;
    if lp.measure == Measure::Binarized {
        // The law of the bits is not the law of the source.
        return Ok(None);
    }
    Ok(Some((lp, marginals(&set.train.x, &x, &set.domain().support))))
}

pub(crate) fn beats_marginals(s: &Subject) -> Result<Answer, String> {
    let Some((lp, base)) = score(s)? else { return Ok(UNSCORED) };
    let (mean, stderr) = (lp.mean(), lp.stderr());
    ensure(mean > base + 3.0 * stderr.min(0.05), || {
        format!("held-out log-likelihood {mean:.4} nats, independent columns {base:.4}")
    })
    .map(|()| Answer::Held)
}

/// The gap to the entropy is closed by half against independent columns, and is not negative beyond five standard errors
/// (false alarm 3e-7): nobody predicts better than the law of the source.
pub(crate) fn approaches_entropy(s: &Subject) -> Result<Answer, String> {
    let Some((lp, base)) = score(s)? else { return Ok(UNSCORED) };
    let Some(entropy) = s.data()?.provenance.entropy else {
        return Err("the source has no known entropy".into());
    };
    let gap = -lp.mean() - entropy;
    let allowed = 0.5 * (-base - entropy);
    ensure(gap > -5.0 * lp.stderr(), || format!("{gap:.4} nats below the entropy: not a likelihood"))?;
    ensure(gap < allowed, || format!("{gap:.4} nats above the entropy, {allowed:.4} allowed"))
        .map(|()| Answer::Held)
}

/// Rows of each side of an energy distance.
const COMPARED: usize = 1500;
/// What draws may be away from held-out rows, of what rows with independent columns are away. Columns that are independent, one row
/// over and over, and the draws of a model that has not learned lie at 1 and beyond.
const NEARER: f64 = 0.5;

/// 2 E|x − y| − E|x − x'| − E|y − y'| over distinct pairs: 0 on average for rows of one law, more for any two others (Székely & Rizzo
/// 2013). Columns count in units of their spread in `y`.
fn energy_distance(x: &Batch, y: &Batch) -> f64 {
    let (_, std) = moments(y);
    let distance = |a: &[f32], b: &[f32]| {
        let each = a.iter().zip(b).zip(&std);
        each.map(|((a, b), s)| (f64::from(a - b) / s.max(1e-12)).powi(2)).sum::<f64>().sqrt()
    };
    let within = |x: &Batch| {
        let n = x.rows();
        let sum: f64 =
            (0..n).flat_map(|i| (0..i).map(move |j| (i, j))).map(|(i, j)| distance(x.row(i), x.row(j))).sum();
        2.0 * sum / (n * (n - 1)) as f64
    };
    let between: f64 =
        x.iter().flat_map(|a| y.iter().map(move |b| (a, b))).map(|(a, b)| distance(a, b)).sum();
    2.0 * between / (x.rows() * y.rows()) as f64 - within(x) - within(y)
}

/// The same values in each column, those of different rows together.
fn independent(x: &Batch, seed: Seed) -> Batch {
    let orders: Vec<Vec<usize>> =
        (0..x.width()).map(|c| seed.index(c as u64).rng().permutation(x.rows())).collect();
    Batch::from_fn(x.rows(), x.width(), |r, c| x.row(orders[c][r])[c])
}

/// Whether draws are nearer to real rows than rows with independent columns are.
fn nearer(draws: &Batch, real: &Batch) -> Result<(), String> {
    let shuffled = independent(real, Seed::from(5).child("columns"));
    let [own, base] = [draws, &shuffled].map(|x| energy_distance(x, real));
    ensure(own < NEARER * base, || {
        format!("draws are {own:.4} away from held-out rows, rows with independent columns {base:.4}")
    })
}

/// Where there are no scores that tell, draws have the structure of the source: their energy distance to held-out rows is at most half of
/// that of rows whose columns are independent.
pub(crate) fn draws_beat_marginals(s: &Subject) -> Result<Answer, String> {
    let (model, set) = (s.model()?, s.data()?);
    if model.schema().conditional {
        return Ok(Answer::NotApplicable("scores given the columns tell more"));
    }
    let Some(sampler) = model.as_sampler() else {
        return Ok(Answer::NotApplicable("it draws no rows"));
    };
    if model.as_density().is_some() {
        return Ok(Answer::NotApplicable("scores tell more"));
    }
    let draws = sampler.sample(COMPARED, &mut Seed::from(3).rng()).map_err(|e| e.to_string())?;
    nearer(&draws, &held(set).slice(0, COMPARED)).map(|()| Answer::Held)
}

/// What may be left of the variance of held-out rows: the mean of all rows leaves 1, and so does a clustering by chance.
const LEFT: f64 = 0.9;

/// Squared deviations of rows from others, columns in units of their spread.
fn off(x: &Batch, from: impl Fn(usize, usize) -> f64) -> f64 {
    let (_, std) = moments(x);
    let of = |r: usize, c: usize| ((f64::from(x.row(r)[c]) - from(r, c)) / std[c].max(1e-12)).powi(2);
    (0..x.rows()).flat_map(|r| (0..x.width()).map(move |c| (r, c))).map(|(r, c)| of(r, c)).sum()
}

/// What neither scores nor draws says something of rows all the same: held-out rows are nearer to what comes back from their codes, or
/// to the mean of the training rows in their cluster, than to the mean of all.
pub(crate) fn explains(s: &Subject) -> Result<Answer, String> {
    let (model, set) = (s.model()?, s.data()?);
    if model.as_density().is_some() || model.as_sampler().is_some() || model.schema().conditional {
        return Ok(Answer::NotApplicable("scores or draws tell more"));
    }
    let (train, rows) = (set.train.x.slice(0, 5000), held(set).slice(0, 2000));
    let (mean, _) = moments(&train);
    let whole = off(&rows, |_, c| mean[c]);
    let mut left = Vec::new();
    if let Some(decoder) = model.as_decoder() {
        let back = decoder.reconstruct(&rows).map_err(|e| e.to_string())?;
        left.push(("reconstructions", off(&rows, |r, c| f64::from(back.row(r)[c]))));
    }
    if let Some(clusters) = model.as_clusterer() {
        let [own, other] = [&train, &rows].map(|x| clusters.assign(x).map_err(|e| e.to_string()));
        let (own, other) = (own?, other?);
        let centre = |k: u32| -> Vec<f64> {
            let members: Vec<usize> = (0..own.len()).filter(|r| own[*r] == k).collect();
            if members.is_empty() { mean.clone() } else { moments(&train.select(&members)).0 }
        };
        let centres: Vec<Vec<f64>> = (0..clusters.clusters() as u32).map(centre).collect();
        left.push(("means of clusters", off(&rows, |r, c| centres[other[r] as usize][c])));
    }
    ensure(!left.is_empty(), || "it neither decodes nor clusters: nothing says what it learned".into())?;
    for (what, left) in left {
        let share = left / whole;
        ensure(share < LEFT, || format!("{what} leave {share:.3} of the variance, {LEFT} allowed"))?;
    }
    Ok(Answer::Held)
}

pub(crate) fn audit(s: &Subject) -> Result<Answer, String> {
    let (model, at) = (s.model()?, s.under_given()?);
    let model = at.as_deref().unwrap_or(model);
    // Rows that are given something else lie elsewhere.
    let rows = match (&at, model.as_sampler()) {
        (Some(_), Some(sampler)) => {
            sampler.sample(200, &mut Seed::from(6).rng()).map_err(|e| e.to_string())?
        }
        _ => held(s.data()?).slice(0, 200),
    };
    let restore = &s.spec.restore;
    let found = genus_core::audit::run(model, &rows, restore, "tiny model", Seed::from(6), &mut |_, _| ())
        .map_err(|e| e.to_string())?
        .rows;
    if model.as_density().is_none() && found.is_empty() {
        return Ok(Answer::NotApplicable("it has no density"));
    }
    let failed: Vec<String> =
        found.iter().filter(|r| !r.passed).map(|r| format!("{}: {}", r.check, r.figure)).collect();
    ensure(failed.is_empty(), || failed.join("\n"))?;
    // A density on a known source can always be summed or integrated: an audit without that has looked at nothing.
    let looked = found.iter().any(|r| r.check.contains("sum to") || r.check.contains("integrates"));
    ensure(model.as_density().is_none() || looked, || "nothing was summed or integrated".into())
        .map(|()| Answer::Held)
}

pub(crate) fn gradients(s: &Subject) -> Result<Answer, String> {
    let Some(check) = s.spec.gradient_check else {
        return Ok(Answer::NotApplicable("it is not trained by gradients"));
    };
    let found = check(Seed::from(8)).map_err(|e| e.to_string())?;
    ensure(!found.is_empty(), || "no parameter was checked".into())?;
    for (name, error) in found {
        ensure(error < 2e-2, || {
            format!("`{name}`: gradient and difference quotient differ by {error:.1e} of their size")
        })?;
    }
    Ok(Answer::Held)
}

#[cfg(test)]
mod tests {
    use super::*;
    use genus_core::data;

    /// Other rows of the source pass. Independent columns, coins, the mean over and over, and one row over and over do not.
    #[test]
    fn draws_without_structure_are_found_out() {
        for name in ["tree8", "pinwheel"] {
            let set = data::load(name, &data::Options::default()).unwrap();
            let real = held(&set).slice(0, COMPARED);
            let n = COMPARED.min(set.train.x.rows());
            let other = set.train.x.slice(0, n);
            assert_eq!(nearer(&other, &real), Ok(()), "{name}");
            let (mean, std) = moments(&set.train.x);
            let mut rng = Seed::from(8).rng();
            let binary = set.domain().support == Support::Binary;
            let coins = Batch::from_fn(n, real.width(), |_, c| match binary {
                true => f32::from(u8::from(rng.uniform() < 0.5)),
                false => (mean[c] + std[c] * rng.normal()) as f32,
            });
            let row = Batch::from_fn(n, real.width(), |_, c| other.row(0)[c]);
            let few = other.select(&(0..n).map(|r| r % 2).collect::<Vec<_>>());
            for (what, draws) in [
                ("independent columns", independent(&other, Seed::from(2))),
                ("nothing learned", coins),
                ("one row", row),
                ("two rows", few),
            ] {
                assert!(nearer(&draws, &real).is_err(), "{what} of {name} pass");
            }
        }
    }
}
