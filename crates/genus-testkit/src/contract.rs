//! Specification, configuration and events.

use crate::subject::{Answer, Subject, ensure};
use genus_core::{Capability, Error, Event, Scoring, StopReason};
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};
use toml::{Table, Value};

pub(crate) fn documentation(s: &Subject) -> Result<Answer, String> {
    let spec = s.spec;
    ensure(!spec.title.is_empty() && !spec.summary.is_empty(), || "title and summary are empty".into())?;
    ensure(!spec.references.is_empty(), || "no paper is named".into())?;
    for r in spec.references {
        ensure(r.url.starts_with("https://") && r.year > 1900, || {
            format!("`{}` has no address or year", r.title)
        })?;
    }
    ensure(!spec.taxonomy().is_empty(), || format!("{} is not in a folder of the taxonomy", spec.module))?;
    ensure(!spec.supports.is_empty(), || "no support is named".into()).map(|()| Answer::Held)
}

pub(crate) fn capabilities(s: &Subject) -> Result<Answer, String> {
    let model = s.model()?;
    ensure(s.spec.given.is_none() || s.spec.capabilities.contains(&Capability::Given), || {
        "spec says what it is given, and not that it conditions".into()
    })?;
    // A model of p(x | given) does all else under what is given.
    let at = s.under_given()?;
    let model = match &at {
        Some(at) => {
            let own: Vec<_> = Capability::ALL.iter().filter(|c| c.is_in(model)).collect();
            ensure(own == [&Capability::Given], || format!("without what is given it offers {own:?}"))?;
            at.as_ref()
        }
        None => model,
    };
    for c in Capability::ALL {
        let (says, has) = (s.spec.capabilities.contains(c), c.is_in(model));
        // A model has classes only if it was asked to and given labels, and conditions on those or on columns.
        let classes = s.spec.capabilities.contains(&Capability::ClassConditional);
        let optional =
            *c == Capability::ClassConditional && says || *c == Capability::Given && (says || classes);
        ensure(says == has || optional, || format!("spec says {c:?}: {says}, the fitted model: {has}"))?;
    }
    let dense = s.spec.evidence.is_some();
    ensure(dense == model.as_density().is_some(), || "evidence and density disagree".into())?;
    ensure(std::ptr::eq(model.spec(), s.spec), || "the model names another spec".into())
        .map(|()| Answer::Held)
}

pub(crate) fn config_round_trip(s: &Subject) -> Result<Answer, String> {
    for table in [(s.spec.default_config)(), s.config()?] {
        let again = (s.spec.check_config)(&table).map_err(|e| e.to_string())?;
        ensure(again == table, || format!("{table} became {again}"))?;
    }
    let empty = (s.spec.check_config)(&Table::new()).map_err(|e| e.to_string())?;
    ensure(empty == (s.spec.default_config)(), || "an empty table is not the default".into())
        .map(|()| Answer::Held)
}

/// The error of `table` must be a config error that names `key`.
fn must_name(s: &Subject, table: &Table, key: &str) -> Result<(), String> {
    let Err(e) = (s.spec.check_config)(table) else {
        return Err(format!("`{key}` is accepted in {table}"));
    };
    let Error::Config { field, message } = e.root() else { return Err(format!("not a config error: {e}")) };
    ensure(field.contains(key) || message.contains(key), || {
        format!("`{key}` is not named: {field}: {message}")
    })
}

pub(crate) fn unknown_key(s: &Subject) -> Result<Answer, String> {
    let mut table = s.config()?;
    table.insert("no_such_key".into(), Value::Integer(1));
    must_name(s, &table, "no_such_key").map(|()| Answer::Held)
}

/// Every number of the default configuration, replaced by a text, a list and −1e300, must be refused by its key. (−1e300 is in
/// nobody's range; texts and lists are of no number's type.)
pub(crate) fn bad_values(s: &Subject) -> Result<Answer, String> {
    fn every_key_is_checked(s: &Subject, root: &Table, path: &[String]) -> Result<(), String> {
        let here = path.iter().fold(root, |t, k| t[k].as_table().unwrap_or(t));
        for (key, value) in here.clone() {
            let mut at = path.to_vec();
            at.push(key.clone());
            if value.is_table() {
                every_key_is_checked(s, root, &at)?;
                continue;
            }
            let number = value.is_integer() || value.is_float();
            let bad =
                [Value::String("?".into()), Value::Array(vec![Value::Boolean(true)]), Value::Float(-1e300)];
            for v in bad.iter().take(if number { 3 } else { 0 }) {
                let mut table = root.clone();
                let slot = path.iter().fold(&mut table, |t, k| match t.get_mut(k) {
                    Some(Value::Table(inner)) => inner,
                    _ => unreachable!("the path leads through tables"),
                });
                slot.insert(key.clone(), v.clone());
                must_name(s, &table, &key)?;
            }
        }
        Ok(())
    }
    every_key_is_checked(s, &(s.spec.default_config)(), &[]).map(|()| Answer::Held)
}

pub(crate) fn events(s: &Subject) -> Result<Answer, String> {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let ear = Arc::clone(&heard);
    let mut observer = move |e: &Event| {
        if let Ok(mut heard) = ear.lock() {
            heard.push(e.clone());
        }
        ControlFlow::Continue(())
    };
    let report = s.fit(&s.few()?, 3, &mut observer)?.report;
    let heard = heard.lock().map_err(|e| e.to_string())?;
    let starts = heard.iter().filter(|e| matches!(e, Event::Start { .. })).count();
    ensure(starts == 1 && matches!(heard.first(), Some(Event::Start { .. })), || {
        "Start is not first and single".into()
    })?;
    let Some(Event::End { step, reason }) = heard.last() else { return Err("End is not last".into()) };
    ensure(*step == report.steps && Some(*reason) == report.stopped, || {
        "End and the report disagree".into()
    })?;
    let mut last = 0;
    for e in heard.iter() {
        if let Event::Step { step, parts } = e {
            ensure(*step == last + 1, || format!("step {step} after {last}"))?;
            let losses: Vec<f64> =
                parts.iter().filter(|(name, _)| name.ends_with("loss")).map(|(_, l)| *l).collect();
            ensure(!losses.is_empty() && losses.iter().all(|l| l.is_finite()), || {
                format!("step {step} has no finite loss")
            })?;
            last = *step;
        }
    }
    Ok(Answer::Held)
}

pub(crate) fn stop(s: &Subject) -> Result<Answer, String> {
    let mut steps = 0;
    let mut observer = |e: &Event| {
        steps += u64::from(matches!(e, Event::Step { .. }));
        if steps >= 2 { ControlFlow::Break(StopReason::Interrupted) } else { ControlFlow::Continue(()) }
    };
    let fit = s.fit(&s.few()?, 3, &mut observer)?;
    if steps < 2 && fit.report.steps < 2 {
        return Ok(Answer::NotApplicable("it is fitted in one step"));
    }
    ensure(steps <= 3, || format!("{steps} steps, though stopped at the second"))?;
    ensure(fit.report.stopped == Some(StopReason::Interrupted), || {
        format!("stopped: {:?}", fit.report.stopped)
    })?;
    // A stopped fit is a model all the same.
    fit.model.score_split(&s.few()?.train, &Scoring::default()).map_err(|e| e.to_string())?;
    Ok(Answer::Held)
}
