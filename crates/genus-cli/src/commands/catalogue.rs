//! `genus models` and `genus data`.

use super::Context;
use crate::args::Cut;
use crate::output;
use anyhow::Result;
use genus::keys::{self, Key};
use genus::{Dataset, ModelSpec, data, registry};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use std::path::{Path, PathBuf};

fn describe(spec: &ModelSpec) -> serde_json::Value {
    json!({
        "name": spec.name,
        "title": spec.title,
        "taxonomy": spec.taxonomy(),
        "evidence": spec.evidence_name(),
        "capabilities": spec.capabilities.iter().map(|c| c.verb()).collect::<Vec<_>>(),
        "supports": spec.supports,
        "summary": spec.summary,
        "passes": spec.passes, "missing_cells": spec.missing,
        "references": spec.references.iter().map(|r| format!("{}, {} ({}), {}", r.authors, r.title, r.year, r.url)).collect::<Vec<_>>(),
        "config": (spec.default_config)(),
        "keys": keys::of(spec).iter().map(|k| json!({
            "name": k.name, "default": default(spec, k.name), "meaning": k.text, "values": k.values,
        })).collect::<Vec<_>>(),
    })
}

/// The default of a key; none for one that may be left out and is.
fn default(spec: &ModelSpec, key: &str) -> Option<toml::Value> {
    let table = toml::Value::Table((spec.default_config)());
    key.split('.').try_fold(&table, |t, part| t.get(part)).cloned()
}

/// Column at which the meaning of a key begins, and that at which lines end.
const MEANING: usize = 36;
const WIDTH: usize = 110;

/// Prints a key with its default and its meaning, as lines of a TOML file.
fn explain(spec: &ModelSpec, key: &Key) {
    let value = match default(spec, key.name) {
        Some(value) => format!("{} = {value}", key.name),
        None => format!("# {} =", key.name),
    };
    let text = format!("{}: {}", key.text, key.values);
    let mut before = value;
    for line in output::wrapped(&text, WIDTH - MEANING - 2) {
        // What is longer than its column has a line for itself.
        if before.chars().count() >= MEANING {
            output::line(std::mem::take(&mut before));
        }
        output::line(format!("{before:MEANING$}# {line}"));
        before.clear();
    }
}

/// The taxonomy, or one model.
pub fn models(cx: &Context, name: Option<&str>) -> Result<()> {
    if let Some(name) = name {
        let spec = registry::find(name)?;
        if cx.json {
            return output::json(&describe(spec));
        }
        output::line(format!("{}: {}", spec.name, spec.title));
        output::line(format!("  {}", spec.taxonomy().join(" › ")));
        output::line(format!("  {}", spec.summary));
        output::line(format!(
            "  evidence: {}; rows: {}",
            spec.evidence_name(),
            genus::SupportKind::join(spec.supports, ", ")
        ));
        if spec.missing {
            output::line("  rows that lack values: learned from and scored by what is there");
        }
        if !spec.passes.is_empty() {
            output::line(format!("  passes of a row: {}", spec.passes));
        }
        match spec.given {
            Some(genus::GivenKinds::Any) => {
                output::line("  p(x | given): columns of numbers and categories (train --given)");
            }
            Some(genus::GivenKinds::Numbers) => {
                output::line("  p(x | given): columns of numbers (train --given)");
            }
            None => {}
        }
        for r in spec.references {
            output::line(format!("  {}. {}. {}. {}", r.authors, r.title, r.year, r.url));
        }
        output::line("\nConfiguration (change with --set key=value):\n");
        keys::of(spec).iter().for_each(|key| explain(spec, key));
        if spec.suited.is_some() {
            output::line(
                "\nWhat nobody sets follows the size of the data in part, and a training begins by saying so.",
            );
        }
        return Ok(());
    }
    if cx.json {
        return output::json(&registry::all().map(describe).collect::<Vec<_>>());
    }
    let mut above: Vec<&str> = Vec::new();
    for spec in registry::all() {
        let path = spec.taxonomy();
        for (depth, folder) in path.iter().enumerate() {
            if above.get(depth) != Some(folder) {
                output::line(format!("{}{}", "  ".repeat(depth), folder.replace('_', " ")));
                above.truncate(depth);
            }
        }
        above = path.clone();
        let verbs: Vec<_> = spec.capabilities.iter().map(|c| c.verb()).collect();
        let indent = "  ".repeat(path.len());
        output::line(format!(
            "{indent}{:<6} {} [{}; {}]",
            spec.name,
            spec.title,
            spec.evidence_name(),
            verbs.join(", ")
        ));
        output::line(format!("{indent}       {}", spec.summary));
    }
    Ok(())
}

/// Rows of train, valid and test.
fn rows_of(e: &data::Entry) -> String {
    e.rows.map(|n| n.to_string()).join("/")
}

/// All named data sets.
pub fn data_list(cx: &Context) -> Result<()> {
    let rows: Vec<Vec<String>> = data::catalogue()
        .iter()
        .map(|e| vec![e.name.into(), e.kind.to_string(), e.shape.into(), rows_of(e), e.title.into()])
        .collect();
    if cx.json {
        let keys = ["name", "kind", "shape", "rows", "title"];
        let objects: Vec<_> = rows
            .iter()
            .map(|r| {
                keys.iter()
                    .zip(r)
                    .map(|(k, v)| ((*k).to_owned(), json!(v)))
                    .collect::<serde_json::Map<_, _>>()
            })
            .collect();
        return output::json(&objects);
    }
    output::table(&["name", "kind", "shape", "rows", "what"], &rows);
    Ok(())
}

/// One data set.
pub fn data_info(cx: &Context, name: &str, cut: &Cut, given: &[String]) -> Result<()> {
    let wanted = genus::names::canonical(name);
    let Some(e) = data::catalogue().iter().find(|e| e.name == wanted && given.is_empty()) else {
        return file_info(cx, name, cut, given);
    };
    let options = data::Options { data_dir: cx.data_dir.clone(), ..data::Options::default() };
    let place = data::find(e.name, &options);
    if cx.json {
        return output::json(&json!({
            "name": e.name, "title": e.title, "kind": e.kind.to_string(), "shape": e.shape, "rows": e.rows,
            "licence": e.licence, "obtain": obtain(e.get), "about": e.description,
            "found": place.ok().map(|p| p.display().to_string()),
        }));
    }
    output::line(format!("{}: {}\n{}", e.name, e.title, e.description));
    output::line(format!("  kind     {}\n  rows     {} of {}", e.kind, rows_of(e), e.shape));
    output::line(format!("  licence  {}\n  obtain   {}", e.licence, obtain(e.get)));
    if let Ok(place) = place {
        output::line(format!("  found    {}", place.display()));
    }
    Ok(())
}

/// What is understood of a file: its columns, and what will be done with them.
fn file_info(cx: &Context, source: &str, cut: &Cut, given: &[String]) -> Result<()> {
    let options = cx.options(cut, !cut.drop_missing, None)?;
    let set = cx.read(source, &data::Options { given: given.to_vec(), ..options })?;
    let able = able(&set);
    let columns = described(&set);
    if cx.json {
        return output::json(&json!({
            "name": set.provenance.name, "reading": set.provenance.reading, "splits": set.provenance.splits,
            "remarks": set.provenance.remarks, "domain": set.domain().to_string(), "columns": columns,
            "models": able, "of": set.schema.formula(),
        }));
    }
    output::line(format!("{}: {}", set.provenance.name, set.provenance.reading));
    output::line(format!("  splits  {}", set.provenance.splits));
    if set.schema.conditional {
        output::line(format!("  models of {}", set.schema.formula()));
    }
    output::line(format!(
        "  models  {}",
        if able.is_empty() { "none yet for such rows".into() } else { able.join(", ") }
    ));
    if set.schema.columns.is_empty() {
        return Ok(());
    }
    let text = |c: &serde_json::Value, key: &str| match &c[key] {
        serde_json::Value::String(s) => s.clone(),
        other => other.to_string(),
    };
    let keys = ["column", "kind", "distinct", "missing", "range", "use"];
    let rows: Vec<Vec<String>> = columns.iter().map(|c| keys.iter().map(|k| text(c, k)).collect()).collect();
    output::line("");
    output::table(&keys, &rows);
    Ok(())
}

/// Writes what is understood of the columns of a table beside it.
pub fn data_schema(cx: &Context, file: &Path, cut: &Cut) -> Result<()> {
    let path = data::schema_path(file);
    if path.exists() {
        let message =
            format!("{} is there already; change it, or remove it to have it written anew", path.display());
        return Err(genus::Error::Run(message).into());
    }
    let set = cx.read(&file.display().to_string(), &cx.options(cut, true, None)?)?;
    genus::outfile::write(&path, data::schema_file(&set).as_bytes())?;
    output::line(path.display());
    Ok(())
}

/// Models that can be fitted to a data set, given what it is given with, and with the holes that it has.
fn able(set: &Dataset) -> Vec<&'static str> {
    let lacks = set.splits().any(|(_, s)| s.x.data().iter().any(|v| v.is_nan()));
    let able = registry::all().filter(|s| s.admits(set.domain()) && (s.missing || !lacks));
    able.filter(|s| !set.schema.conditional || s.admits_given(&set.schema)).map(|s| s.name).collect()
}

/// Most different values that are counted.
const DISTINCT: usize = 10_000;

fn described(set: &Dataset) -> Vec<serde_json::Value> {
    let columns = set.schema.columns.iter().enumerate().map(|(c, column)| {
        let values = || set.splits().flat_map(move |(_, s)| s.x.iter().map(move |row| row[c]));
        let mut distinct = std::collections::HashSet::new();
        values()
            .filter(|v| !v.is_nan())
            .take_while(|v| {
                distinct.insert(v.to_bits());
                distinct.len() <= DISTINCT
            })
            .for_each(drop);
        let there = || values().filter(|v| !v.is_nan());
        let (least, most) =
            (there().fold(f32::INFINITY, f32::min), there().fold(f32::NEG_INFINITY, f32::max));
        let range = match column.categories() {
            _ if least > most => "–".into(),
            [] => format!("{} … {}", column.text(least), column.text(most)),
            names => {
                names.iter().take(5).cloned().collect::<Vec<_>>().join(", ")
                    + if names.len() > 5 { ", …" } else { "" }
            }
        };
        let used = match distinct.len() {
            0 => "modelled; it has no value",
            1 => "modelled; it is constant, drop it",
            _ if column.origin != 0.0 => "modelled, from an origin of its own",
            _ => "modelled",
        };
        let shown =
            if distinct.len() > DISTINCT { format!("> {DISTINCT}") } else { distinct.len().to_string() };
        json!({
            "column": column.name, "kind": column.what(), "distinct": shown,
            "missing": values().filter(|v| v.is_nan()).count().to_string(), "range": range, "use": used,
        })
    });
    let numbers = set.schema.given.iter().enumerate().filter(|(_, g)| g.categories().is_empty());
    let numbers = numbers.map(|(c, g)| {
        let values = || set.splits().filter_map(|(_, s)| s.given.as_ref()).flat_map(move |b| b.iter().map(move |row| row[c]));
        let distinct: std::collections::HashSet<u32> = values().map(f32::to_bits).take(DISTINCT).collect();
        let (least, most) = (values().fold(f32::INFINITY, f32::min), values().fold(f32::NEG_INFINITY, f32::max));
        json!({
            "column": g.name, "kind": g.kind.to_string(), "distinct": distinct.len().to_string(), "missing": "0",
            "range": format!("{} … {}", g.text(least), g.text(most)), "use": "given, not modelled",
        })
    });
    let used = if set.schema.conditional { "given, not modelled" } else { "the class: given, not modelled" };
    let given = set.schema.given.iter().filter(|g| !g.categories().is_empty()).map(|g| {
        let names = g.categories();
        json!({
            "column": g.name, "kind": g.kind.to_string(), "distinct": names.len().to_string(), "missing": "0",
            "range": names.iter().take(5).cloned().collect::<Vec<_>>().join(", ") + if names.len() > 5 { ", …" } else { "" },
            "use": used,
        })
    });
    let left_out = set.schema.left_out.iter().map(|name| {
        json!({ "column": name, "kind": "–", "distinct": "–", "missing": "–", "range": "–", "use": "left out" })
    });
    columns.chain(numbers).chain(given).chain(left_out).collect()
}

/// Downloads a data set.
pub fn data_get(name: &str, to: Option<PathBuf>) -> Result<()> {
    let dir = match to {
        Some(dir) => dir,
        None => data::user_dir()
            .ok_or_else(|| genus::Error::config("to", "there is no home folder; say where with --to DIR"))?,
    };
    let bar = ProgressBar::no_length();
    if let Ok(style) =
        ProgressStyle::with_template("{msg} {bar:24} {bytes}/{total_bytes} {bytes_per_sec} ETA {eta}")
    {
        bar.set_style(style);
    }
    let path = data::get(name, &dir, &mut |p: data::Progress| {
        bar.set_message(p.file);
        if let Some(total) = p.total {
            bar.set_length(total);
        }
        bar.set_position(p.done);
    })?;
    bar.finish_and_clear();
    output::line(path.display());
    Ok(())
}

/// How one gets a set, in words of the command line.
fn obtain(get: data::Get) -> String {
    match get {
        data::Get::Download(name) => format!("genus data get {name}"),
        other => other.to_string(),
    }
}
