//! The same request gives the same bits.

use crate::subject::{Answer, Subject, ensure};
use genus_core::checkpoint::Checkpoints;
use genus_core::{
    Batch, Drawing, Event, Fill, FitContext, LogProb, Measure, Model, Scoring, Seed, Silent, Split, State,
    StopReason,
};
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

fn bytes(m: &dyn Model) -> Result<Vec<u8>, String> {
    m.state().to_bytes().map_err(|e| e.to_string())
}

pub(crate) fn same_seed(s: &Subject) -> Result<Answer, String> {
    let set = s.few()?;
    let fit = |seed| -> Result<Vec<u8>, String> { bytes(s.fit(&set, seed, &mut Silent)?.model.as_ref()) };
    ensure(fit(5)? == fit(5)?, || "two fits with one seed differ".into()).map(|()| Answer::Held)
}

pub(crate) fn threads(s: &Subject) -> Result<Answer, String> {
    let set = s.few()?;
    let mut config = s.config()?;
    // All rows in one batch: products of small ones are not worth a second thread.
    for part in ["train", "pretrain"] {
        if let Some(toml::Value::Table(table)) = config.get_mut(part) {
            table.insert("batch".into(), toml::Value::Integer(set.train.x.rows() as i64));
        }
    }
    let with = |n: usize| -> Result<Vec<u8>, String> {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(n).build().map_err(|e| e.to_string())?;
        pool.install(|| {
            let mut observer = Silent;
            let mut cx = FitContext::new(Seed::from(5), &mut observer);
            bytes((s.spec.fit)(&config, &set, &mut cx).map_err(|e| e.to_string())?.model.as_ref())
        })
    };
    let one = with(1)?;
    ensure(one == with(2)? && one == with(3)?, || "1, 2 and 3 threads give different states".into())
        .map(|()| Answer::Held)
}

/// All that a model says about some rows, and under what they are given.
fn answers(m: &dyn Model, x: &Batch, given: &Batch) -> Result<Vec<u64>, String> {
    let say = |e: genus_core::Error| e.to_string();
    let mut out: Vec<u64> = Vec::new();
    let bits = |v: &f32| u64::from(v.to_bits());
    if let Some(s) = m.as_sampler() {
        out.extend(s.sample(20, &mut Seed::from(9).rng()).map_err(say)?.data().iter().map(bits));
    }
    if let Some(e) = m.as_encoder() {
        out.extend(e.encode(x).map_err(say)?.data().iter().map(bits));
    }
    if let Some(d) = m.as_decoder() {
        out.extend(d.reconstruct(x).map_err(say)?.data().iter().map(bits));
    }
    if let Some(d) = m.as_density() {
        let how = Scoring { importance_samples: 3, seed: Seed::from(4) };
        out.extend(d.score(x, &how).map_err(say)?.nats.iter().map(|v| v.to_bits()));
    }
    if let Some(g) = m.as_given() {
        let how = Scoring { importance_samples: 3, seed: Seed::from(4) };
        out.extend(g.score_given(x, given, &how).map_err(say)?.nats.iter().map(|v| v.to_bits()));
        let drawn = g.sample_given(given, 1.0, &mut Seed::from(9).rng()).map_err(say)?;
        out.extend(drawn.data().iter().map(bits));
        out.extend(answers(g.at(given.row(0)).map_err(say)?.as_ref(), x, given)?);
    }
    if let Some(c) = m.as_class_conditional() {
        out.extend(c.posterior(x).map_err(say)?.data().iter().map(bits));
        if let Some(s) = m.as_sampler() {
            let how = Drawing { given: Some(vec![1.0]), ..Drawing::default() };
            let drawn = s.draw_as(20, &how, &mut Seed::from(9).rng()).map_err(say)?;
            out.extend(drawn.x.data().iter().map(bits));
        }
    }
    if let Some(c) = m.as_chain() {
        let visited = c.walk(x, 2, 3, &mut Seed::from(9).rng()).map_err(say)?;
        let all = visited.iter().flat_map(|v| v.rows.data().iter().chain(v.means.data()));
        out.extend(all.map(bits));
    }
    if let Some(c) = m.as_conditional() {
        let holes =
            Batch::from_fn(x.rows(), x.width(), |r, c| if (r + c) % 2 == 0 { f32::NAN } else { x.row(r)[c] });
        for fill in [Fill::Mean, Fill::Sample] {
            let full = c.impute(&holes, fill, &mut Seed::from(9).rng()).map_err(say)?;
            out.extend(full.data().iter().map(bits));
        }
    }
    if let Some(c) = m.as_clusterer() {
        out.extend(c.assign(x).map_err(say)?.iter().map(|v| u64::from(*v)));
    }
    Ok(out)
}

pub(crate) fn save_load(s: &Subject) -> Result<Answer, String> {
    let model = s.model()?;
    let state = bytes(model)?;
    let read = State::from_bytes(&state, Path::new("memory")).map_err(|e| e.to_string())?;
    let again = (s.spec.restore)(&read).map_err(|e| e.to_string())?;
    ensure(bytes(again.as_ref())? == state, || "the restored model saves other bytes".into())?;
    let rows = s.data()?.train.select(&(0..30).collect::<Vec<_>>());
    let (x, given) = (rows.x, rows.given.unwrap_or_else(|| Batch::zeros(30, 1)));
    ensure(answers(model, &x, &given)? == answers(again.as_ref(), &x, &given)?, || {
        "the restored model answers differently".into()
    })?;
    // Every tensor is needed, and its shape is checked: nothing is quietly made up.
    for name in read.tensors.keys() {
        let mut less = read.clone();
        less.tensors.remove(name);
        ensure((s.spec.restore)(&less).is_err(), || format!("restored without tensor `{name}`"))?;
    }
    Ok(Answer::Held)
}

/// Stopped after any of several steps and resumed from the checkpoint, training ends in the same bits.
pub(crate) fn resume(s: &Subject) -> Result<Answer, String> {
    if !s.spec.iterative {
        return Ok(Answer::NotApplicable("it keeps no checkpoints"));
    }
    let set = s.few()?;
    let config = s.config()?;
    let run = |dir: &Path, resume: bool, stop: u64| -> Result<Vec<u8>, String> {
        let say = |e: genus_core::Error| e.to_string();
        let checkpoints = Checkpoints::open(dir, "test").map_err(say)?.every(Duration::ZERO);
        let mut observer = |e: &Event| match e {
            Event::Step { step, .. } if *step == stop => ControlFlow::Break(StopReason::Interrupted),
            _ => ControlFlow::Continue(()),
        };
        let mut cx = FitContext::new(Seed::from(5), &mut observer).with_checkpoints(&checkpoints, resume);
        let mut all = bytes((s.spec.fit)(&config, &set, &mut cx).map_err(say)?.model.as_ref())?;
        // Moments, averages and what is best so far must agree as well, not only what was made of them.
        let (step, last) = checkpoints.latest().map_err(say)?.ok_or("there is no checkpoint")?;
        all.extend(step.to_le_bytes());
        all.extend(last.to_bytes().map_err(say)?);
        Ok(all)
    };
    let fresh = || tempfile::tempdir().map_err(|e| e.to_string());
    let whole = run(fresh()?.path(), false, u64::MAX)?;
    for stop in [1, 2, 3, 4, 5, 7] {
        let dir = fresh()?;
        run(dir.path(), false, stop)?;
        ensure(run(dir.path(), true, u64::MAX)? == whole, || {
            format!("stopped after step {stop} and resumed, it ends elsewhere")
        })?;
    }
    Ok(Answer::Held)
}

/// What a model says about a row does not depend on the rows around it, nor on their order.
pub(crate) fn row_subsets(s: &Subject) -> Result<Answer, String> {
    let model = s.model()?;
    let rows = s.data()?.train.select(&(0..21).collect::<Vec<_>>());
    let x = &rows.x;
    let backwards: Vec<usize> = (0..x.rows()).rev().collect();
    let say = |e: genus_core::Error| e.to_string();
    let how = Scoring { importance_samples: 3, seed: Seed::from(4) };
    let score = |rows: &Split| model.score_split(rows, &how).map(|lp| lp.map(|lp| lp.nats)).map_err(say);
    if let (Some(all), Some(mut turned)) = (score(&rows)?, score(&rows.select(&backwards))?) {
        turned.reverse();
        ensure(all == turned, || "scores change with the order of rows".into())?;
        for (r, among) in all.iter().enumerate() {
            let one = score(&rows.select(&[r]))?.unwrap_or_default()[0];
            ensure(one == *among, || format!("row {r} alone scores {one}, among others {among}"))?;
        }
    }
    if let Some(e) = model.as_encoder() {
        let all = e.encode(x).map_err(say)?;
        for r in 0..x.rows() {
            let one = e.encode(&x.slice(r, r + 1)).map_err(say)?;
            ensure(one.row(0) == all.row(r), || format!("row {r} alone has another code"))?;
        }
    }
    Ok(Answer::Held)
}

/// Training that begins with a saved model goes on from it: after one more step it scores rows as that model does rather than as a
/// fresh one does after its first.
pub(crate) fn start(s: &Subject) -> Result<Answer, String> {
    let (model, set, config) = (s.model()?, s.data()?, s.config()?);
    let rows = set.train.select(&(0..500).collect::<Vec<_>>());
    let Some(old) = mean_score(model, &rows)? else {
        return Ok(Answer::NotApplicable("it has no density to compare by"));
    };
    let state = model.state();
    let after_one = |start: Option<&State>| -> Result<f64, String> {
        let mut observer = |e: &Event| match e {
            Event::Step { step: 1, .. } => ControlFlow::Break(StopReason::TimeBudget),
            _ => ControlFlow::Continue(()),
        };
        let mut cx = FitContext::new(Seed::from(5), &mut observer).starting_from(start);
        let fit = (s.spec.fit)(&config, set, &mut cx).map_err(|e| e.to_string())?;
        mean_score(fit.model.as_ref(), &rows)?.ok_or_else(|| "no density".into())
    };
    let [fresh, on] = [after_one(None)?, after_one(Some(&state))?];
    ensure((on - old).abs() < 0.5 * (fresh - old).abs() + 0.02, || {
        format!("trained {old:.4} nats, one step on {on:.4}, one step of a fresh one {fresh:.4}")
    })
    .map(|()| Answer::Held)
}

fn mean_score(model: &dyn Model, rows: &Split) -> Result<Option<f64>, String> {
    let how = Scoring { importance_samples: 20, ..Scoring::default() };
    Ok(model.score_split(rows, &how).map_err(|e| e.to_string())?.map(|lp| lp.mean()))
}

/// The part of a mean's standard error that comes from draws is how the scoring seeds spread it, on rows that repeat, which have equal
/// draws: over 40 seeds, the deviation of the mean is at most twice what is stated (false alarm below 1e-9 where the statement is right),
/// and not so far below that the statement means nothing.
pub(crate) fn seeds(s: &Subject) -> Result<Answer, String> {
    let model = s.model()?;
    let Some(density) = model.as_density() else { return Ok(Answer::NotApplicable("it has no density")) };
    let x = s.data()?.train.x.slice(0, 4);
    let x = x.select(&(0..32).map(|r| r % x.rows()).collect::<Vec<_>>());
    let scored = |seed: u64| {
        let how = Scoring { seed: Seed::from(seed), ..Scoring::default() };
        density.score(&x, &how).map_err(|e| e.to_string())
    };
    if scored(0)?.spread.is_none() {
        // No draws: every seed gives the same.
        let same = scored(0)?.nats == scored(1)?.nats;
        let binarised = scored(0)?.measure == Measure::Binarized;
        ensure(same || binarised, || "scores follow the seed and state no spread".into())?;
        return Ok(Answer::NotApplicable("its scores take no draws"));
    }
    let all = (0..40).map(scored).collect::<Result<Vec<_>, _>>()?;
    let n = all.len() as f64;
    let mean = all.iter().map(LogProb::mean).sum::<f64>() / n;
    let spread = (all.iter().map(|lp| (lp.mean() - mean).powi(2)).sum::<f64>() / (n - 1.0)).sqrt();
    let stated = (all.iter().map(|lp| lp.stderr_of_draws(&x).powi(2)).sum::<f64>() / n).sqrt();
    ensure(spread <= 2.0 * stated && spread >= 0.2 * stated, || {
        format!("stated {stated:.4}, between seeds {spread:.4}")
    })?;
    Ok(Answer::Held)
}
