//! Bad input is an error, never a panic, and draws are good input.

use crate::subject::{Answer, Subject, ensure};
use genus_core::{Batch, Dataset, Fill, Model, Scoring, Seed, Silent, Support};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs `f`; a panic becomes a failure that says what was asked.
fn calm<T>(what: &str, f: impl FnOnce() -> Result<T, String>) -> Result<Result<T, String>, String> {
    catch_unwind(AssertUnwindSafe(f)).map_err(|_| format!("{what}: panic"))
}

/// Rows that no domain of this width admits, with their names; NaN too, unless it stands for a missing value.
fn bad(x: &Batch, support: &Support, missing: bool) -> Vec<(&'static str, Batch)> {
    let with = |v: f32| {
        let mut b = x.clone();
        b.row_mut(1)[0] = v;
        b
    };
    let wider = Batch::zeros(3, x.width() + 1);
    let mut rows = vec![("infinity", with(f32::INFINITY)), ("wider rows", wider)];
    if !missing {
        rows.push(("NaN", with(f32::NAN)));
    }
    if *support != Support::Real {
        rows.push(("a value outside the support", with(-1.0)));
        rows.push(("a fraction", with(0.5)));
    }
    rows
}

fn ask(m: &dyn Model, x: &Batch, what: &str) -> Result<(), String> {
    type Question<'a> = (&'a str, Box<dyn Fn() -> Option<genus_core::Result<()>> + 'a>);
    let questions: Vec<Question<'_>> = vec![
        ("score", Box::new(|| m.as_density().map(|d| d.log_prob(x).map(drop)))),
        ("encode", Box::new(|| m.as_encoder().map(|e| e.encode(x).map(drop)))),
        ("reconstruct", Box::new(|| m.as_decoder().map(|d| d.reconstruct(x).map(drop)))),
        ("cluster", Box::new(|| m.as_clusterer().map(|c| c.assign(x).map(drop)))),
        ("figures", Box::new(|| Some(m.figures(x, &Scoring::default()).map(drop)))),
    ];
    for (verb, q) in questions {
        let answer = calm(&format!("{verb} of {what}"), || Ok(q()))??;
        let figures_of_nothing = verb == "figures" && matches!(answer, Some(Ok(())));
        ensure(!matches!(answer, Some(Ok(()))) || figures_of_nothing, || format!("{verb} accepts {what}"))?;
    }
    Ok(())
}

/// What is given is checked as rows are.
fn bad_given(s: &Subject, model: &dyn Model) -> Result<(), String> {
    let rows = s.data()?.train.select(&[0, 1, 2]);
    let (Some(open), Some(given)) = (model.as_given(), &rows.given) else { return Ok(()) };
    let with = |v: f32| {
        let mut bad = given.clone();
        bad.row_mut(1)[0] = v;
        bad
    };
    let mut cases = vec![("NaN", with(f32::NAN)), ("infinity", with(f32::INFINITY))];
    cases.push(("more columns", Batch::zeros(3, given.width() + 1)));
    for (what, bad) in &cases {
        let scored = calm(what, || Ok(open.score_given(&rows.x, bad, &Scoring::default()).is_ok()))??;
        let drawn = calm(what, || Ok(open.sample_given(bad, 1.0, &mut Seed::from(0).rng()).is_ok()))??;
        let at = calm(what, || Ok(open.at(bad.row(1)).is_ok()))??;
        ensure(!scored && !drawn && !at, || format!("{what} may be given"))?;
    }
    let fewer = calm("fewer rows", || {
        Ok(open.score_given(&rows.x, &given.slice(0, 2), &Scoring::default()).is_ok())
    })??;
    let hot = calm("temperature 0", || Ok(open.sample_given(given, 0.0, &mut Seed::from(0).rng()).is_ok()))??;
    ensure(!fewer && !hot, || "fewer rows than are scored, or no temperature, will do".into())
}

pub(crate) fn bad_rows(s: &Subject) -> Result<Answer, String> {
    let model = s.model()?;
    bad_given(s, model)?;
    let at = s.under_given()?;
    let model = at.as_deref().unwrap_or(model);
    let x = s.data()?.train.x.slice(0, 3);
    for (what, rows) in bad(&x, &model.domain().support, s.spec.missing) {
        ask(model, &rows, what)?;
        if let Some(c) = model.as_conditional()
            && what != "NaN"
        {
            let answer = calm(what, || Ok(c.impute(&rows, Fill::Mean, &mut Seed::from(0).rng())))??;
            ensure(answer.is_err(), || format!("impute accepts {what}"))?;
        }
    }
    // No rows at all are no mistake: there are just no answers.
    let none = x.slice(0, 0);
    if let Some(d) = model.as_density() {
        let nats = calm("score of no rows", || d.log_prob(&none).map_err(|e| e.to_string()))??.nats;
        ensure(nats.is_empty(), || "scores of no rows".into())?;
    }
    Ok(Answer::Held)
}

pub(crate) fn bad_training_rows(s: &Subject) -> Result<Answer, String> {
    let set = s.few()?;
    let with = |x: Batch| {
        let mut bad = set.clone();
        // What is not looked at must not be what is found wrong.
        let rows: Vec<usize> = (0..x.rows()).collect();
        bad.train.given = bad.train.given.filter(|_| set.schema.conditional).map(|g| g.select(&rows));
        bad.train.x = x;
        bad
    };
    let mut cases: Vec<(&str, Dataset)> = bad(&set.train.x, &set.domain().support, s.spec.missing)
        .into_iter()
        .map(|(n, x)| (n, with(x)))
        .collect();
    cases.push(("no rows", with(set.train.x.slice(0, 0))));
    for (what, set) in cases {
        let fit = calm(&format!("fit to {what}"), || Ok(s.fit(&set, 1, &mut Silent)))??;
        ensure(fit.is_err(), || format!("fit accepts {what}"))?;
    }
    Ok(Answer::Held)
}

pub(crate) fn one_row(s: &Subject) -> Result<Answer, String> {
    let mut set = s.few()?;
    set.train = set.train.select(&[0]);
    // A model or an error: both will do.
    calm("fit to one row", || Ok(s.fit(&set, 1, &mut Silent).map(drop)))?.map(|_| Answer::Held)
}

pub(crate) fn draws(s: &Subject) -> Result<Answer, String> {
    let (model, at) = (s.model()?, s.under_given()?);
    let model = at.as_deref().unwrap_or(model);
    let Some(sampler) = model.as_sampler() else {
        return Ok(Answer::NotApplicable("it draws no rows"));
    };
    let draw = |n, seed| sampler.sample(n, &mut Seed::from(seed).rng()).map_err(|e| e.to_string());
    let x = draw(50, 1)?;
    ensure(x.rows() == 50, || format!("{} rows instead of 50", x.rows()))?;
    model.domain().check(&x).map_err(|e| format!("a draw is outside the domain: {e}"))?;
    ensure(x == draw(50, 1)?, || "one seed, two samples".into())?;
    ensure(x != draw(50, 2)?, || "two seeds, one sample".into())?;
    ensure(draw(0, 1)?.is_empty(), || "rows where none were asked for".into())?;
    if let Some(c) = model.as_conditional() {
        let mut holes = x.clone();
        (0..50).for_each(|r| holes.row_mut(r)[r % x.width()] = f32::NAN);
        for fill in [Fill::Mean, Fill::Sample] {
            let full = c.impute(&holes, fill, &mut Seed::from(3).rng()).map_err(|e| e.to_string())?;
            for r in 0..50 {
                for (i, v) in full.row(r).iter().enumerate() {
                    let kept = i == r % x.width() || *v == x.row(r)[i];
                    ensure(v.is_finite() && kept, || format!("row {r}, column {i} is {v} after filling"))?;
                }
            }
        }
    }
    Ok(Answer::Held)
}
