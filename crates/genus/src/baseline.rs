//! What laws that know almost nothing score on the same rows: no number of a model means much beside nothing.
//!
//! - the uniform law on bits and levels: −d ln L nats a row;
//! - independent columns, fitted to the training rows: a share of each level, or of each bit that the model makes of levels, or a normal; of
//!   columns of several kinds a share of each of their cells.

use crate::cells::Vocabulary;
use crate::transform::{Noise, Transform};
use crate::{Batch, Evidence, LogProb, Measure, Model, Result, Scoring, Seed, Support};
use genus_core::math::LN_2PI;

/// Most training rows that are looked at.
const ROWS: usize = 20_000;

/// Most shares of all columns together: 128 MiB.
const SHARES: usize = 1 << 24;

/// Most cells of a column of numbers.
const CELLS: usize = 100;

/// Whether the columns have so few levels that there is room for a share of each.
fn few(of: &Transform) -> bool {
    let levels = match of.source().domain.support {
        Support::Binary => 2,
        Support::Discrete { levels } => levels as usize,
        Support::Real | Support::Mixed(_) => return false,
    };
    levels.saturating_mul(of.source().width()) <= SHARES
}

/// Independent columns.
enum Columns {
    /// log-probability of each level of each column, `[width, levels]`, with one added count each.
    Levels(usize, Vec<f64>),
    /// Mean and standard deviation of each column.
    Normals(Vec<(f64, f64)>),
    /// Cells of columns of several kinds, and the logarithms of their shares.
    Cells(Vocabulary, Vec<f64>),
}

/// The law of independent columns, on the rows that a model works on.
pub(crate) struct Independent {
    columns: Columns,
    transform: Transform,
}

impl Independent {
    /// Fitted to training rows through the model's transform.
    ///
    /// # Errors
    /// If a row is not in the model's domain, or [`crate::Error::Stopped`].
    pub fn fit(model: &dyn Model, train: &Batch) -> Result<Self> {
        let own = model.transform().cloned().unwrap_or_else(|| Transform::identity(model.schema()));
        let mut some = Seed::from(0).child("independent columns").rng().permutation(train.rows());
        some.truncate(ROWS);
        let some = train.select(&some);
        // Where a model dequantises, a column may have a share of each level, or a normal with noise between them: few rows of many levels
        // say little of each. The law that is better on the other half of the rows is the one to beat.
        let shares = Transform::identity(model.schema().alone());
        let shares = if own.takes_missing() { shares.with_missing() } else { shares };
        if !own.dequantizes() || !few(&shares) {
            return Self::of(own, &some);
        }
        let (half, other) = (some.slice(0, some.rows() / 2), some.slice(some.rows() / 2, some.rows()));
        let mut best: Option<(f64, Transform)> = None;
        for transform in [shares, own.clone()] {
            if half.is_empty() {
                break;
            }
            let mean = Self::of(transform.clone(), &half)?.score(&other, &Scoring::default())?.mean();
            if best.as_ref().is_none_or(|b| mean > b.0) {
                best = Some((mean, transform));
            }
        }
        Self::of(best.map_or(own, |b| b.1), &some)
    }

    /// On the rows that this transform gives.
    fn of(transform: Transform, train: &Batch) -> Result<Self> {
        let seed = Seed::from(0).child("independent columns");
        let (y, _) = transform.forward(train, Noise::Stream(&mut seed.child("noise").rng()))?;
        let d = y.width();
        let levels = match transform.target().support {
            Support::Binary => Some(2),
            Support::Discrete { levels } => Some(levels as usize),
            Support::Real => None,
            Support::Mixed(_) => {
                let cells = Vocabulary::of(transform.source(), &y, CELLS);
                let shares = cells.log_shares(&y);
                return Ok(Self { columns: Columns::Cells(cells, shares), transform });
            }
        };
        let columns = match levels {
            Some(levels) => {
                let mut counts = vec![1.0; d * levels];
                for row in y.iter() {
                    let there = row.iter().enumerate().filter(|(_, v)| !v.is_nan());
                    there.for_each(|(c, v)| counts[c * levels + *v as usize] += 1.0);
                }
                let share = |of: &[f64]| {
                    let total: f64 = of.iter().sum();
                    of.iter().map(|k| libm::log(k / total)).collect::<Vec<f64>>()
                };
                Columns::Levels(levels, counts.chunks_exact(levels).flat_map(share).collect())
            }
            None => {
                let (mean, std) = crate::transform::moments(&y);
                Columns::Normals(mean.into_iter().zip(std).collect())
            }
        };
        Ok(Self { columns, transform })
    }

    /// log p of rows of data, nats.
    ///
    /// # Errors
    /// As [`fit`](Self::fit).
    pub fn score(&self, x: &Batch, how: &Scoring) -> Result<LogProb> {
        let own = |row: &[f32]| -> f64 {
            let each = row.iter().enumerate().filter(|(_, v)| !v.is_nan());
            match &self.columns {
                Columns::Cells(cells, shares) => {
                    each.map(|(c, v)| cells.log_prob(c, *v, &shares[cells.stretch(c)])).sum()
                }
                Columns::Levels(levels, log_p) => each.map(|(c, v)| log_p[c * levels + *v as usize]).sum(),
                Columns::Normals(normals) => each
                    .map(|(c, v)| {
                        let (mean, std) = normals[c];
                        -0.5 * (LN_2PI + ((f64::from(*v) - mean) / std).powi(2)) - libm::log(std)
                    })
                    .sum(),
            }
        };
        let all = |y: &Batch| Ok(y.iter().map(own).collect());
        let (nats, spread) = crate::draws::through(&self.transform, x, how, Evidence::EXACT, all)?;
        Ok(LogProb {
            nats,
            spread,
            evidence: self.transform.evidence(Evidence::EXACT),
            measure: self.transform.measure(),
            protocol: String::new(),
        })
    }
}

/// What the uniform law scores, nats per row; none on real rows, where there is none.
pub(crate) fn uniform(model: &dyn Model, measure: Measure) -> Option<f64> {
    let d = model.domain().width() as f64;
    let levels = match (&model.domain().support, measure) {
        (Support::Real | Support::Mixed(_), _) => return None,
        (Support::Binary, _) | (_, Measure::Binarized) => 2,
        (Support::Discrete { levels }, _) => *levels,
    };
    Some(-d * libm::log(f64::from(levels)))
}

#[cfg(test)]
mod tests {
    use crate::{FitContext, Scoring, Seed, Silent, data, registry};

    /// Independent columns score what the marginals of a source of bits say, and no less than its entropy allows.
    #[test]
    fn bits_are_scored_by_their_marginals() {
        let set = data::load("tree8", &data::Options::default()).unwrap();
        let spec = registry::find("made").unwrap();
        let table = crate::session::effective_config(spec, &[], &["train.epochs=1".into()]).unwrap();
        let model = (spec.fit)(&table, &set, &mut FitContext::new(Seed::from(1), &mut Silent)).unwrap().model;
        let test = &set.test.as_ref().unwrap().x;
        let law = super::Independent::fit(model.as_ref(), &set.train.x).unwrap();
        let mean = law.score(test, &Scoring::default()).unwrap().mean();
        let p: Vec<f64> = (0..8)
            .map(|c| set.train.x.iter().map(|r| f64::from(r[c])).sum::<f64>() / set.train.x.rows() as f64)
            .collect();
        let q: Vec<f64> =
            (0..8).map(|c| test.iter().map(|r| f64::from(r[c])).sum::<f64>() / test.rows() as f64).collect();
        let want: f64 = p.iter().zip(&q).map(|(p, q)| q * p.ln() + (1.0 - q) * (1.0 - p).ln()).sum();
        assert!((mean - want).abs() < 1e-3, "{mean} {want}");
        let uniform = super::uniform(model.as_ref(), crate::Measure::Counting).unwrap();
        assert!((uniform + 8.0 * 2f64.ln()).abs() < 1e-12 && mean > uniform);
    }

    /// The baseline of rows of levels is that of levels, whatever a model puts between them; and where rows are few for so many levels, a
    /// normal is the better one.
    #[test]
    fn levels_have_one_baseline() {
        let mean = |model: &str, set: &crate::Dataset, keys: &[String]| {
            let spec = registry::find(model).unwrap();
            let table = crate::session::effective_config(spec, &[], keys).unwrap();
            let fit = (spec.fit)(&table, set, &mut FitContext::new(Seed::from(1), &mut Silent)).unwrap();
            let law = super::Independent::fit(fit.model.as_ref(), &set.train.x).unwrap();
            law.score(&set.test.as_ref().unwrap().x, &Scoring::default()).unwrap().mean()
        };
        let tree = data::load("tree8", &data::Options::default()).unwrap();
        let (bits, dequantised) = (mean("made", &tree, &["train.epochs=1".into()]), mean("ppca", &tree, &[]));
        assert!((bits - dequantised).abs() < 1e-9, "{bits} {dequantised}");
        let mut rng = Seed::from(3).rng();
        let mut rows = |n: usize| {
            crate::Split::unlabelled(crate::Batch::from_fn(n, 2, |_, _| {
                (5000.0 + 300.0 * rng.normal()).round() as f32
            }))
        };
        let domain = crate::Domain {
            support: crate::Support::Discrete { levels: 10_000 },
            shape: crate::Shape::Flat(2),
        };
        let mut many = crate::Dataset::new("many", domain, rows(200)).unwrap();
        many.test = Some(rows(200));
        // The entropy of such a normal is 7.12 nats a column; shares of 10,000 levels would have 9.2.
        let found = mean("ppca", &many, &["latent=1".into()]);
        assert!((found + 2.0 * 7.12).abs() < 0.2, "{found}");
    }
}
