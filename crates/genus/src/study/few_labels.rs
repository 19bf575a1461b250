//! Few labels: an encoder learns from all training rows without their classes; a softmax regression then learns the classes of a few from
//! codes, and is tested on the test rows, beside one that sees the rows themselves.

use super::{Contestant, Point, Work, labels};
use crate::probe::{Labelled, probe};
use crate::run::{DataConfig, RunDir};
use crate::session::{self, Request};
use crate::{Batch, Error, Event, Model, Result, Seed, Stop, StopReason, registry};

/// The curve of the rows themselves.
pub(super) const ROWS: &str = "the rows themselves";

pub(super) fn run(work: &mut Work<'_>) -> Result<()> {
    let (study, set) = (work.study, work.set);
    let test = set.split(crate::SplitName::Test)?;
    let (own, others) = (labels(set, &set.train)?, labels(set, test)?);
    let classes = set.schema.classes().len();
    // Rows whose classes are known: as many of each class, in another order for each repetition.
    let most = study.sizes.iter().copied().max().unwrap_or(0);
    let chosen: Vec<Vec<usize>> = (0..study.seeds).map(|seed| balanced(&own, classes, most, seed)).collect();
    let curves: Vec<Option<&Contestant>> =
        std::iter::once(None).chain(study.contestant.iter().map(Some)).collect();
    let total = (curves.len() * study.sizes.len()) as u64 * study.seeds;
    let mut done = 0;
    for contestant in curves {
        let name = contestant.map_or(ROWS, |c| c.name.as_str());
        let every = || study.sizes.iter().flat_map(|n| (0..study.seeds).map(move |s| (*n, s)));
        if every().all(|(n, seed)| work.points.has(name, n, seed)) {
            done += study.sizes.len() as u64 * study.seeds;
            continue;
        }
        let model = contestant.map(|c| trained(c, work)).transpose()?;
        let codes = |x: &Batch| -> Result<Batch> {
            let Some(model) = &model else { return Ok(x.clone()) };
            let Some(encoder) = model.as_encoder() else {
                return Err(Error::config("contestant", format!("{name} has no codes")));
            };
            encoder.encode(x)
        };
        let tests = codes(&test.x)?;
        for seed in 0..study.seeds {
            let order = &chosen[seed as usize];
            let seen = codes(&set.train.x.select(order))?;
            for size in &study.sizes {
                Stop::current().check()?;
                done += 1;
                if work.points.has(name, *size, seed) {
                    continue;
                }
                let rows: Vec<usize> = (0..(*size).min(order.len())).collect();
                let known: Vec<u32> = rows.iter().map(|r| own[order[*r]]).collect();
                let x = seen.select(&rows);
                let of = (Labelled { x: &x, labels: &known }, Labelled { x: &tests, labels: &others });
                let found = probe(of.0, of.1, classes, Seed::from(seed))?;
                let value = Some(found.accuracy);
                work.points.put(Point {
                    series: name.into(),
                    size: *size,
                    seed,
                    value,
                    why: String::new(),
                })?;
                let progress = Event::Progress { what: "probes".into(), done, of: total };
                let _ = work.observer.on(&progress);
            }
        }
    }
    Ok(())
}

/// Rows with the classes 0, 1, …, 0, 1, … in turn, as many as are asked for or as there are.
fn balanced(labels: &[u32], classes: usize, most: usize, seed: u64) -> Vec<usize> {
    let order = Seed::from(seed).child("labelled rows").rng().permutation(labels.len());
    let mut of: Vec<Vec<usize>> = vec![Vec::new(); classes];
    order.into_iter().for_each(|r| of[labels[r] as usize].push(r));
    let longest = of.iter().map(Vec::len).max().unwrap_or(0);
    let rounds = (0..longest).flat_map(|i| of.iter().filter_map(move |rows| rows.get(i).copied()));
    rounds.take(most).collect()
}

/// The encoder, trained in a folder of its own, or gone on with, or as it is there.
fn trained(contestant: &Contestant, work: &mut Work<'_>) -> Result<Box<dyn Model>> {
    let folder = work.run.path().join("encoders").join(contestant.name.replace([' ', '/'], "-"));
    let (spec, table) = contestant.table(work.set, work.how.plumbing)?;
    // One that a limit of time cut short has a summary too, and is gone on with.
    let cut = session::reason(StopReason::TimeBudget);
    if let Some(run) = RunDir::open(&folder).ok().filter(|r| r.summary().is_ok_and(|s| s.stopped != cut)) {
        return registry::restore(&run.model()?);
    }
    let source = DataConfig { source: work.set.provenance.name.clone(), ..DataConfig::default() };
    let mut request = Request::new(spec, table, source);
    request.audit = false;
    request.diagnostics.clear();
    request.rows = Some(1000);
    request.versions.clone_from(&work.how.versions);
    let outcome = if folder.join("config.toml").exists() {
        session::resume(&request, work.set, RunDir::open(&folder)?, work.observer)?
    } else {
        session::train(&request, work.set, folder, work.observer)?
    };
    match outcome.stopped {
        Some(why @ (StopReason::Interrupted | StopReason::TimeBudget)) => Err(Error::Stopped(why)),
        _ => registry::restore(&outcome.run.model()?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_come_in_turn() {
        let labels = [0, 0, 0, 1, 2, 2, 1, 0];
        let rows = balanced(&labels, 3, 6, 4);
        let classes: Vec<u32> = rows.iter().map(|r| labels[*r]).collect();
        assert_eq!(classes, [0, 1, 2, 0, 1, 2]);
        assert_eq!(balanced(&labels, 3, 100, 4).len(), 8);
        assert_ne!(balanced(&labels, 3, 6, 5), rows);
    }
}
