//! Rows that lack values: scored by what is there, and learned from.

use crate::subject::{Answer, Subject, ensure};
use genus_core::math::log_sum_exp;
use genus_core::{Batch, Dataset, Evidence, Kind, Measure, Scoring, Seed, Silent, Split, Support};

/// Points of a grid of a column.
const GRID: usize = 4000;
/// Share of the cells that are taken out of training rows.
const TAKEN: f64 = 0.2;
/// What that may cost, nats for each column.
const COST: f64 = 0.05;

const NONE: Answer = Answer::NotApplicable("it takes no rows that lack values");

/// The score of what is there of a row is that of all rows that agree with it, together.
pub(crate) fn scores(s: &Subject) -> Result<Answer, String> {
    if !s.spec.missing {
        return Ok(NONE);
    }
    let (at, set) = (s.under_given()?, s.data()?);
    let model = match &at {
        Some(at) => at.as_ref(),
        None => s.model()?,
    };
    let Some(density) = model.as_density() else { return Ok(Answer::NotApplicable("it scores nothing")) };
    let say = |e: genus_core::Error| e.to_string();
    let score = |x: &Batch| density.log_prob(x).map_err(say);
    let x = set.train.x.slice(0, 3);
    let d = x.width();
    let nothing = score(&Batch::from_fn(1, d, |_, _| f32::NAN))?;
    ensure(nothing.nats[0].abs() < 1e-6, || format!("nothing of a row has {} nats", nothing.nats[0]))?;
    let whole = score(&x)?;
    for c in 0..d {
        let holed = Batch::from_fn(x.rows(), d, |r, i| if i == c { f32::NAN } else { x.row(r)[i] });
        let found = score(&holed)?;
        for r in 0..x.rows() {
            let agree = |n: usize, value: &dyn Fn(usize) -> f32| {
                Batch::from_fn(n, d, |v, i| if i == c { value(v) } else { x.row(r)[i] })
            };
            let exact = whole.evidence == Evidence::EXACT && whole.measure != Measure::Binarized;
            // Of columns of several kinds each is what it is.
            let kind = match &model.domain().support {
                Support::Mixed(kinds) => Some(kinds[c].clone()),
                Support::Binary => Some(Kind::Binary),
                Support::Real => Some(Kind::REAL),
                Support::Discrete { .. } => None,
            };
            let want = match kind {
                Some(Kind::Real { .. }) if exact => {
                    let column = || set.train.x.iter().map(|row| row[c]);
                    let (low, high) =
                        (column().fold(f32::INFINITY, f32::min), column().fold(f32::NEG_INFINITY, f32::max));
                    let (from, width) = (low - 2.0 * (high - low), 5.0 * (high - low));
                    let step = width / GRID as f32;
                    let all = score(&agree(GRID, &|v| from + step * (v as f32 + 0.5)))?.nats;
                    log_sum_exp(all) + f64::from(step).ln()
                }
                Some(kind) if exact => {
                    let (from, n) = match kind {
                        Kind::Category(names) => (0, names.len()),
                        Kind::Whole { least, most } => {
                            let span = (most - least).max(1);
                            (least - 2 * span, 5 * span as usize + 1)
                        }
                        _ => (0, 2),
                    };
                    log_sum_exp(score(&agree(n, &|v| (from + v as i64) as f32))?.nats)
                }
                // Chance makes other bits of levels where it sees another row.
                _ if whole.measure == Measure::Binarized => {
                    ensure(found.nats[r].is_finite() && found.nats[r] < 1e-6, || {
                        format!("row {r} without column {c}: {} nats of bits", found.nats[r])
                    })?;
                    continue;
                }
                // Of a bound what can be said is that the part is as likely as the whole at least.
                _ => {
                    let spread = |lp: &genus_core::LogProb| lp.spread.as_ref().map_or(0.0, |s| s[r]);
                    let slack = 6.0 * spread(&whole).hypot(spread(&found)) + 1e-3;
                    ensure(found.nats[r].is_finite() && found.nats[r] > whole.nats[r] - slack, || {
                        format!("row {r} without column {c}: {} after {}", found.nats[r], whole.nats[r])
                    })?;
                    continue;
                }
            };
            ensure((found.nats[r] - want).abs() < 2e-3, || {
                format!("row {r} without column {c}: {} nats, not {want}", found.nats[r])
            })?;
        }
    }
    Ok(Answer::Held)
}

/// A fit to rows of which a fifth of the cells is missing scores whole rows almost as well as one to whole rows.
pub(crate) fn learns(s: &Subject) -> Result<Answer, String> {
    if !s.spec.missing {
        return Ok(NONE);
    }
    let set = s.data()?;
    let Some(test) = &set.test else { return Ok(Answer::NotApplicable("there are no test rows")) };
    let mut rng = Seed::from(11).child("cells").rng();
    let x = &set.train.x;
    let holed =
        Batch::from_fn(
            x.rows(),
            x.width(),
            |r, c| {
                if rng.uniform_f64() < TAKEN { f32::NAN } else { x.row(r)[c] }
            },
        );
    let holed = Dataset { train: Split { x: holed, ..set.train.clone() }, ..set.clone() };
    let fit = s.fit(&holed, 1, &mut Silent)?.model;
    let mean = |model: &dyn genus_core::Model| -> Result<f64, String> {
        let scored = model.score_split(test, &Scoring::default()).map_err(|e| e.to_string())?;
        scored.map(|lp| lp.mean()).ok_or_else(|| "it scores nothing".to_owned())
    };
    let (own, whole) = (mean(fit.as_ref())?, mean(s.model()?)?);
    ensure(own > whole - COST * x.width() as f64, || {
        format!("{own:.4} nats, and {whole:.4} where nothing is missing")
    })?;
    Ok(Answer::Held)
}
