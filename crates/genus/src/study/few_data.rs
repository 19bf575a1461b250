//! Few data: models are fitted to the few rows that there are of each class, and a classifier learns from these rows with draws beside them;
//! what it finds on the test rows stands beside what one finds that saw the rows alone.

use super::{Classes, Contestant, Point, Work, labels};
use crate::sample_metrics::classifier::Classifier;
use crate::transform::{Binarize, Noise, Transform};
use crate::units::Units;
use crate::{
    Batch, Dataset, Domain, Drawing, Error, Event, FitContext, Model, Result, Seed, Silent, Split, SplitName,
    Stop, Support,
};

/// The curve of the rows alone.
pub(super) const NONE: &str = "no draws";

/// Share of the few rows by which models that are trained by steps know when to end.
const HELD: f64 = 0.2;

pub(super) fn run(work: &mut Work<'_>) -> Result<()> {
    let study = work.study;
    let set = if study.binarize { bits(work.set)? } else { work.set.clone() };
    let test = set.split(SplitName::Test)?;
    let (own, others) = (labels(&set, &set.train)?, labels(&set, test)?);
    let count = set.schema.classes().len();
    // Levels and bits from 0 to 1, columns in units of the deviations of all training rows.
    let units = Units::unit(set.domain(), &set.train.x);
    let tests = units.inside(&test.x);
    let total = ((study.contestant.len() + 1) * study.sizes.len()) as u64 * study.seeds;
    let mut done = 0;
    for seed in 0..study.seeds {
        let order = Seed::from(seed).child("few rows").rng().permutation(own.len());
        for size in &study.sizes {
            let mut seen = vec![0usize; count];
            let wanted = |r: &usize| {
                let n = &mut seen[own[*r] as usize];
                *n += 1;
                *n <= *size
            };
            let rows: Vec<usize> = order.iter().copied().filter(wanted).collect();
            let few = set.train.select(&rows);
            let few = Dataset { train: few, valid: None, test: None, ..set.clone() };
            let known = labels(&few, &few.train)?;
            let learner = Seed::from(seed).child("classifier").index(*size as u64);
            for contestant in std::iter::once(None).chain(study.contestant.iter().map(Some)) {
                Stop::current().check()?;
                let name = contestant.map_or(NONE, |c| c.name.as_str());
                done += 1;
                if work.points.has(name, *size, seed) {
                    continue;
                }
                let from = Seed::from(seed).child(name).index(*size as u64);
                let drawn =
                    contestant.map(|c| draws(c, &few, &known, count, study.draws, work.how.plumbing, from));
                let (value, why) = match drawn.transpose() {
                    Err(stopped @ Error::Stopped(_)) => return Err(stopped),
                    // What a model cannot make of so few rows is an answer too.
                    Err(e) => (None, e.to_string()),
                    Ok(drawn) => {
                        let (mut x, mut classes) = (few.train.x.clone(), known.clone());
                        if let Some((rows, of)) = drawn {
                            x = x.concat(&rows)?;
                            classes.extend(of);
                        }
                        let shape = &set.domain().shape;
                        let found = Classifier::fit(&units.inside(&x), shape, &classes, count, learner)?;
                        (Some(found.accuracy(&tests, &others)?), String::new())
                    }
                };
                work.points.put(Point { series: name.into(), size: *size, seed, value, why })?;
                let _ = work.observer.on(&Event::Progress { what: "fits".into(), done, of: total });
            }
        }
    }
    Ok(())
}

/// The rows as levels 0 and 1, 1 above half of the top level: models of bits take these, and those of levels do.
fn bits(set: &Dataset) -> Result<Dataset> {
    let transform = Transform::to_binary(set.schema.clone(), Binarize::Threshold, 0)?;
    let of = |split: &Split| -> Result<Split> {
        let (x, _) = transform.forward(&split.x, Noise::Row(Seed::from(0)))?;
        Ok(Split { x, ..split.clone() })
    };
    let mut made = set.clone();
    made.schema.domain = Domain { support: Support::Discrete { levels: 2 }, ..transform.target().clone() };
    made.train = of(&set.train)?;
    made.valid = set.valid.as_ref().map(of).transpose()?;
    made.test = set.test.as_ref().map(of).transpose()?;
    Ok(made)
}

/// Rows of each class, drawn from a model of a few rows of each.
fn draws(
    contestant: &Contestant,
    few: &Dataset,
    known: &[u32],
    count: usize,
    n: usize,
    plumbing: bool,
    seed: Seed,
) -> Result<(Batch, Vec<u32>)> {
    let labels: Vec<u32> = (0..count as u32).flat_map(|k| vec![k; n]).collect();
    let mut rng = seed.child("draws").rng();
    let cannot = || Error::config("contestant", format!("{} draws no rows of a class", contestant.name));
    let mut parts: Vec<Batch> = Vec::new();
    match contestant.classes {
        Classes::Apart => {
            for k in 0..count as u32 {
                let rows: Vec<usize> = (0..known.len()).filter(|r| known[*r] == k).collect();
                let mut own = Dataset { train: few.train.select(&rows), ..few.clone() };
                own.schema.given.clear();
                own.train.given = None;
                let model = fitted(contestant, own, plumbing, seed.index(u64::from(k)))?;
                parts.push(model.as_sampler().ok_or_else(cannot)?.sample(n, &mut rng)?);
            }
        }
        Classes::Together => {
            let model = fitted(contestant, few.clone(), plumbing, seed)?;
            let sampler = model.as_sampler().ok_or_else(cannot)?;
            for k in 0..count {
                let how = Drawing { given: Some(vec![k as f32]), ..Drawing::default() };
                parts.push(sampler.draw_as(n, &how, &mut rng)?.x);
            }
        }
        Classes::Given => {
            let name = few.schema.given.first().map_or_else(String::new, |c| c.name.clone());
            let model = fitted(contestant, few.clone().given(&[name])?, plumbing, seed)?;
            let given = Batch::from_fn(labels.len(), 1, |r, _| labels[r] as f32);
            parts.push(model.as_given().ok_or_else(cannot)?.sample_given(&given, 1.0, &mut rng)?);
        }
    }
    let mut all = parts.remove(0);
    for part in &parts {
        all = all.concat(part)?;
    }
    few.domain().check(&all)?;
    Ok((all, labels))
}

/// A model of few rows, some of which tell it when to end, if it is trained by steps.
fn fitted(contestant: &Contestant, set: Dataset, plumbing: bool, seed: Seed) -> Result<Box<dyn Model>> {
    let (spec, table) = contestant.table(&set, plumbing)?;
    let set = if spec.iterative { set.with_fractions(HELD, 0.0, seed.child("held"))? } else { set };
    let mut silent = Silent;
    let mut cx = FitContext::new(seed, &mut silent);
    Ok((spec.fit)(&table, &set, &mut cx)?.model)
}
