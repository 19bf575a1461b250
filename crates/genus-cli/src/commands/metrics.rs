//! `genus metrics`: draws beside real rows.

use super::{Context, open};
use crate::args::Cut;
use crate::output;
use crate::progress::Progress;
use anyhow::{Context as _, Result};
use genus::quality::Tables;
use genus::sample_metrics::{LEAST, SampleMetric, Sides, Which, as_seen, binarizes};
use genus::{Dataset, Drawing, Event, Model, Observer as _, Schema, Seed, Split};
use serde_json::json;
use std::path::Path;

/// Rows drawn from a model, as its columns hold them.
fn drawn(model: &dyn Model, n: usize, seed: Seed) -> Result<Split> {
    let Some(sampler) = model.as_sampler() else {
        let formula = model.schema().formula();
        let remedy = if model.schema().conditional {
            format!("the model is of {formula}: draw with `genus sample --given-rows`, and compare the file")
        } else {
            "it draws no rows".to_owned()
        };
        return Err(genus::Error::Unsupported {
            model: model.spec().name.into(),
            capability: "draw".into(),
            remedy,
        }
        .into());
    };
    let mut rows = sampler.draw_as(n, &Drawing::default(), &mut seed.child("metrics").rng())?;
    model.schema().hold(&mut rows.x);
    Ok(rows)
}

fn compare(sides: &Sides<'_>, draws: &Split, which: Which, seed: Seed) -> Result<Vec<SampleMetric>> {
    let mut progress = Progress::new();
    let mut heard = |done, of| {
        let _ = progress.on(&Event::Progress { what: "figures".into(), done, of });
    };
    Ok(sides.compare(draws, which, seed, &mut heard)?)
}

/// Figures of a model's draws beside rows of a split of a data set; none, with a remark, where there are too few rows.
pub fn of_model(
    model: &dyn Model,
    rows: &Split,
    set: &Dataset,
    draws: usize,
    seed: Seed,
) -> Result<Vec<SampleMetric>> {
    let [held_out, train] = match set.test.is_some() || set.valid.is_some() {
        true => [rows.clone(), set.train.clone()],
        false => halved(rows, seed),
    };
    let (held_out, train) = (as_seen(model, &held_out)?, as_seen(model, &train)?);
    let binarized = binarizes(model);
    let sides = Sides { schema: model.schema(), held_out: &held_out, train: &train, binarized };
    let n = sides.rows(draws);
    if n < LEAST {
        output::note(format!("figures of draws need {LEAST} rows of each kind, and there are {n}"));
        return Ok(Vec::new());
    }
    compare(&sides, &drawn(model, n, seed)?, Which::All, seed)
}

/// Rows in two parts by chance.
fn halved(rows: &Split, seed: Seed) -> [Split; 2] {
    let order = seed.child("halves").rng().permutation(rows.x.rows());
    let (a, b) = order.split_at(order.len() / 2);
    [rows.select(a), rows.select(b)]
}

/// `genus metrics`.
pub fn metrics(
    cx: &Context,
    real: &str,
    draws: &[String],
    cut: &Cut,
    n: usize,
    quick: bool,
    seed: u64,
) -> Result<()> {
    let seed = Seed::from(seed);
    let (schema, [held_out, train]) = reals(cx, real, cut, n, seed)?;
    let sides = Sides { schema: &schema, held_out: &held_out, train: &train, binarized: false };
    let rows = sides.rows(n);
    let which = if quick { Which::Quick } else { Which::All };
    let draw = |(i, name): (usize, &String)| -> Result<Split> {
        if !is_run(name) {
            let mut options = cx.options(&Cut { kinds: None, ..cut.clone() }, true, Some(&schema))?;
            // A class that real rows have none of is none to compare.
            options.spare = schema.given.is_empty();
            let read = cx.read(name, &options).with_context(|| format!("{name}, beside {real}"))?;
            return Ok(whole(name, read)?.train);
        }
        let (_, model) = open(Path::new(name))?;
        if model.as_sampler().is_none() {
            return drawn(model.as_ref(), rows, seed);
        }
        if binarizes(model.as_ref()) {
            output::note(format!("{name} draws bits, and the real rows are levels: its figures say so, too"));
        }
        let other = model.schema();
        if !other.agrees(&schema) {
            let message = format!(
                "{name} draws rows of {other}, and the real ones are {schema}; compare rows of the same kind"
            );
            return Err(genus::Error::Domain(message).into());
        }
        drawn(model.as_ref(), rows, seed.index(i as u64))
    };
    let drawn = draws.iter().enumerate().map(draw).collect::<Result<Vec<_>>>()?;
    // As many of each, because most figures depend on the number, and real rows have one column.
    let least = drawn.iter().map(|d| d.x.rows()).min().unwrap_or(0).min(rows);
    let mut all = Vec::new();
    for (name, split) in draws.iter().zip(drawn) {
        let mut order = seed.child("as many").rng().permutation(split.x.rows());
        order.truncate(least);
        all.push((name.clone(), compare(&sides, &split.select(&order), which, seed)?));
    }
    if cx.json {
        let each = all.iter().map(|(name, found)| json!({ "draws": name, "metrics": found }));
        return output::json(&json!({ "real": real, "compared": each.collect::<Vec<_>>() }));
    }
    table(&all);
    Ok(())
}

/// The rows that lack nothing; of these alone there are figures.
fn whole(name: &str, set: Dataset) -> Result<Dataset> {
    let count = |set: &Dataset| set.splits().map(|(_, s)| s.x.rows()).sum::<usize>();
    let all = count(&set);
    let Some(set) = genus::evaluate::whole(set) else {
        return Err(genus::Error::Domain(format!(
            "every row of {name} lacks a value; give rows that are whole"
        ))
        .into());
    };
    let left = all - count(&set);
    if left > 0 {
        output::note(format!(
            "{left} of {all} rows of {name} lack values and are left out; `genus report --synthetic` takes them"
        ));
    }
    Ok(set)
}

/// `genus report --synthetic`.
pub fn quality(
    cx: &Context,
    synthetic: &str,
    real: &str,
    held_out: Option<&str>,
    cut: &Cut,
    path: &Path,
) -> Result<()> {
    let set = cx.load(real, cut, true, None)?;
    let schema = &set.schema;
    let like = |name: &str| -> Result<Dataset> {
        let mut options = cx.options(&Cut { kinds: None, ..cut.clone() }, true, Some(schema))?;
        options.spare = schema.given.is_empty();
        cx.read(name, &options).with_context(|| format!("{name}, beside {real}"))
    };
    let drawn = like(synthetic)?.train;
    let other = held_out.map(like).transpose()?.map(|o| o.test.unwrap_or(o.train));
    let held_out = other.as_ref().or(set.test.as_ref()).or(set.valid.as_ref());
    if held_out.is_some_and(|h| h.x == set.train.x) {
        let message = "these are the rows of --real; give rows that nobody saw who made synthetic ones, or leave it out";
        return Err(genus::Error::config("held-out", message).into());
    }
    let tables = Tables { schema, train: &set.train, held_out, synthetic: &drawn };
    let found = tables.quality(Seed::from(0))?;
    if cx.json {
        return output::json(&json!({ "figures": found.figures }));
    }
    let number = |f: &genus::Figure| vec![f.name.clone(), format!("{:.4}", f.value), f.unit.clone()];
    output::table(&["figure", "value", "what it is"], &found.figures.iter().map(number).collect::<Vec<_>>());
    let quality = found.figures.first().map_or(f64::NAN, |f| f.value);
    let lead = format!(
        "Columns and pairs of columns are met to {:.1} % (mean of column shapes and pair trends by the definitions of sdmetrics; 100 % is best). What follows says where not, and how near synthetic rows come to real ones.",
        100.0 * quality
    );
    let mut facts = vec![
        ("Synthetic rows".to_owned(), format!("{} of {synthetic}", drawn.x.rows())),
        ("Real rows".to_owned(), format!("{} of {real}", set.train.x.rows())),
        ("Understood as".to_owned(), set.provenance.reading.clone()),
    ];
    facts.push(("Held-out rows".to_owned(), match held_out {
        Some(rows) => rows.x.rows().to_string(),
        None => "none: what real rows reach, and whether training rows can be told, is not known; give some with --held-out".to_owned(),
    }));
    let beside = if held_out.is_some() { "held-out rows" } else { "real rows" };
    facts.push(("Called real below".to_owned(), format!("the {beside}")));
    facts.extend(found.figures.iter().map(|f| (f.name.clone(), format!("{:.4} ({})", f.value, f.unit))));
    genus_report::write_exhibits(path, ["Quality of synthetic rows", real, &lead], &facts, &found.exhibits)?;
    output::line(path.display());
    Ok(())
}

/// Whether a folder is that of a run, rather than one of images.
fn is_run(path: &str) -> bool {
    Path::new(path).join("config.toml").exists()
}

/// Rows that no training saw, and others.
fn reals(cx: &Context, real: &str, cut: &Cut, n: usize, seed: Seed) -> Result<(Schema, [Split; 2])> {
    if is_run(real) {
        let (_, model) = open(Path::new(real))?;
        let both = drawn(model.as_ref(), n.saturating_mul(2), seed.child("real"))?;
        return Ok((model.schema().clone(), halved(&both, seed)));
    }
    let set = whole(real, cx.load(real, cut, true, None)?)?;
    let Dataset { schema, train, valid, test, .. } = set;
    Ok(match test.or(valid) {
        Some(held_out) => (schema, [held_out, train]),
        None => (schema, halved(&train, seed)),
    })
}

/// A line for each figure, a column for each of those compared, real rows last; what each figure is goes to standard error.
pub fn table(all: &[(String, Vec<SampleMetric>)]) {
    let mut names: Vec<&SampleMetric> = Vec::new();
    for metric in all.iter().flat_map(|(_, found)| found) {
        if names.iter().all(|n| n.name != metric.name) {
            names.push(metric);
        }
    }
    let number = |v: f64| if v.abs() < 1e-3 && v != 0.0 { format!("{v:.2e}") } else { format!("{v:.4}") };
    let line = |metric: &&SampleMetric| {
        let of = |found: &Vec<SampleMetric>| {
            found.iter().find(|m| m.name == metric.name).map_or(String::new(), |m| number(m.value))
        };
        let mut cells = vec![metric.name.clone()];
        cells.extend(all.iter().map(|(_, found)| of(found)));
        cells.push(metric.floor.map_or(String::new(), number));
        cells
    };
    let head: Vec<&str> = std::iter::once("figure")
        .chain(all.iter().map(|(name, _)| name.as_str()))
        .chain(["real rows"])
        .collect();
    output::table(&head, &names.iter().map(line).collect::<Vec<_>>());
    for metric in names {
        output::note(format!("{}: {}", metric.name, metric.protocol));
    }
}
