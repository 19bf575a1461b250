//! `genus probe`: what codes are worth.

use super::look::cannot;
use super::{Context, Rows, open};
use crate::args::Source;
use crate::output;
use anyhow::Result;
use genus::probe::{self as probes, Labelled};
use genus::ridge::{Measured, Ridge, ridge};
use genus::{Batch, Capability, Seed, Split, SplitName, data};
use serde_json::json;
use std::collections::HashMap;
use std::path::Path;

/// Most training rows of a probe, unless more are asked for.
const PROBED: usize = 10_000;

/// Refuses to test a probe on what it learned from.
fn apart(name: SplitName) -> Result<()> {
    if !matches!(name, SplitName::Train | SplitName::Rows) {
        return Ok(());
    }
    let message = "a probe is tested on rows that it did not learn from: the data have no test rows; give --split, or --rows valid";
    Err(genus::Error::config("data", message).into())
}

/// `genus probe --target`.
pub fn regress(
    cx: &Context,
    run: &Path,
    source: &Source,
    target: &str,
    most: Option<usize>,
    seed: u64,
) -> Result<()> {
    let (_, model) = open(run)?;
    let encoder = model.as_encoder().ok_or_else(|| cannot(model.as_ref(), Capability::Encoder))?;
    let refused = |message: String| genus::Error::config("target", message);
    if model.schema().names().iter().any(|name| name == target) {
        return Err(
            refused(format!("`{target}` is a column of the model, which has seen what it says")).into()
        );
    }
    if source.data == "-" {
        return Err(refused("standard input is read once; give a file".into()).into());
    }
    // The column is none of the model's, and is read apart from those that are; lines of the file tell which number is of which row.
    let keep = super::keeps(model.as_ref(), &source.cut);
    let options = data::Options { spare: true, ..cx.options(&source.cut, keep, Some(model.schema()))? };
    let Rows { split, name, set } = super::chosen(source, cx.read(&source.data, &options)?)?;
    apart(name)?;
    let options = data::Options {
        label: Some(data::Label::None),
        missing: data::Missing::Keep,
        split: None,
        ..cx.options(&source.cut, false, None)?
    };
    let whole = data::load(&source.data, &options)?;
    let Some(column) = whole.schema.names().iter().position(|name| name == target) else {
        let there = whole.schema.names().join(", ");
        return Err(refused(format!("there is no column `{target}`; there are {there}")).into());
    };
    if matches!(whole.schema.column(column).kind, genus::Kind::Category(_)) {
        return Err(refused(format!("`{target}` holds texts; --label names a column of classes")).into());
    }
    let origin = whole.schema.column(column).origin;
    let lines = whole.splits().flat_map(|(_, s)| s.lines.iter().zip(s.x.iter()));
    let numbers: HashMap<u64, f64> =
        lines.map(|(line, row)| (*line, f64::from(row[column]) + origin)).collect();
    // Rows that lack nothing, with their numbers.
    let measured = |rows: &Split, order: &[usize]| -> (Batch, Vec<f64>) {
        let number = |r: &usize| numbers.get(rows.lines.get(*r)?).copied();
        let usable = |r: &usize| rows.x.row(*r).iter().all(|v| v.is_finite());
        let of = order.iter().filter(|r| usable(r)).filter_map(|r| Some((*r, number(r)?)));
        let (chosen, own): (Vec<usize>, Vec<f64>) = of.filter(|(_, v)| v.is_finite()).unzip();
        (rows.x.select(&chosen), own)
    };
    let order = Seed::from(seed).child("labels").rng().permutation(set.train.x.rows());
    let (train, mut own) = measured(&set.train, &order);
    let train = train.slice(0, most.unwrap_or(PROBED));
    own.truncate(train.rows());
    let every: Vec<usize> = (0..split.x.rows()).collect();
    let (tests, others) = measured(&split, &every);
    let found = crate::progress::stop(None)?.during(|| {
        let [codes, coded] = [&train, &tests].map(|x| encoder.encode(x));
        let (codes, coded) = (codes?, coded?);
        let of = |x: &Batch, y: &Batch| {
            ridge(Measured { x, y: &own }, Measured { x: y, y: &others }, Seed::from(seed))
        };
        Ok::<_, genus::Error>([("rows", of(&train, &tests)?), ("codes", of(&codes, &coded)?)])
    })?;
    if cx.json {
        let all: serde_json::Map<_, _> =
            found.iter().map(|(name, p)| ((*name).to_owned(), json!(p))).collect();
        return output::json(&all);
    }
    let line = |(name, p): &(&str, Ridge)| {
        let [low, high] = p.interval;
        let (r2, interval) = (format!("{:.4}", p.r2), format!("{low:.4} to {high:.4}"));
        vec![(*name).to_owned(), p.width.to_string(), r2, interval, p.penalty.to_string()]
    };
    let lines: Vec<Vec<String>> = found.iter().map(line).collect();
    output::table(&["what", "columns", "R²", "95 % interval", "penalty"], &lines);
    output::note(format!(
        "ridge regression of {target} from {} training rows, penalty by cross-validation; R² on {} {name} rows",
        own.len(),
        others.len()
    ));
    Ok(())
}

/// `genus probe`.
pub fn probe(cx: &Context, run: &Path, source: &Source, labels: Option<usize>, seed: u64) -> Result<()> {
    let (_, model) = open(run)?;
    let encoder = model.as_encoder().ok_or_else(|| cannot(model.as_ref(), Capability::Encoder))?;
    let Rows { split, name, set } = cx.rows_with(source, false, model.as_ref())?;
    apart(name)?;
    let schema = model.schema();
    let mut train = set.train.clone();
    let mut order = Seed::from(seed).child("labels").rng().permutation(train.x.rows());
    order.truncate(labels.unwrap_or(PROBED));
    train = train.select(&order);
    let (Some(own), Some(others)) = (schema.labels(&train), schema.labels(&split)) else {
        let message =
            "a probe finds classes, and these rows have none; --label says which column is the class";
        return Err(genus::Error::config("data", message).into());
    };
    let seed = Seed::from(seed);
    let found = crate::progress::stop(None)?.during(|| {
        let [codes, tests] = [&train.x, &split.x].map(|x| encoder.encode(x));
        let (codes, tests) = (codes?, tests?);
        let of = |x: &Batch, y: &Batch| {
            let (x, y) = (Labelled { x, labels: &own }, Labelled { x: y, labels: &others });
            probes::probe(x, y, schema.classes().len(), seed)
        };
        Ok::<_, genus::Error>([("rows", of(&train.x, &split.x)?), ("codes", of(&codes, &tests)?)])
    })?;
    if cx.json {
        let all: serde_json::Map<_, _> =
            found.iter().map(|(name, p)| ((*name).to_owned(), json!(p))).collect();
        return output::json(&all);
    }
    let line = |(name, p): &(&str, probes::Probe)| {
        let [low, high] = p.interval;
        let accuracy = format!("{:.4}", p.accuracy);
        vec![
            (*name).to_owned(),
            p.width.to_string(),
            accuracy,
            format!("{low:.4} to {high:.4}"),
            p.penalty.to_string(),
        ]
    };
    output::table(
        &["what", "columns", "accuracy", "95 % interval", "penalty"],
        &found.iter().map(line).collect::<Vec<_>>(),
    );
    output::note(format!(
        "softmax regression from {} labelled training rows, penalty by cross-validation; accuracy on {} {name} rows",
        own.len(),
        others.len()
    ));
    Ok(())
}
