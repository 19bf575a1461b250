//! One value of a row from the others: `genus predict`, and `genus score --cells`.

use super::look::{cannot, emit, numbers};
use super::{Context, Rows, open};
use crate::args::Source;
use crate::output;
use crate::progress::Progress;
use anyhow::Result;
use genus::math::log_sum_exp;
use genus::number::Number;
use genus::{Batch, Capability, Column, Event, Fill, Kind, Model, Observer as _, Schema, Seed, Split, data};
use std::path::Path;

/// Most values of a column that each have a probability of their own.
const LEVELS: usize = 1000;

/// The place of a column, and all that it can hold; whole numbers as far as they were seen.
pub fn levels(schema: &Schema, name: &str, key: &str) -> Result<(usize, Vec<f32>)> {
    let at = place(schema, name, key)?;
    let column = schema.column(at);
    match few(&column) {
        Some(values) => Ok((at, values)),
        None => {
            let message = format!("\"{name}\" is {}: take a column of few values", column.what());
            Err(genus::Error::config(key, message).into())
        }
    }
}

fn place(schema: &Schema, name: &str, key: &str) -> Result<usize> {
    let names = schema.names();
    names.iter().position(|n| n == name).ok_or_else(|| {
        let near = genus::names::near(name, names.iter().map(String::as_str));
        let guess =
            if near.is_empty() { String::new() } else { format!(" (did you mean {}?)", near.join(", ")) };
        let message = format!("the model has no column `{name}`{guess}; there are: {}", names.join(", "));
        genus::Error::config(key, message).into()
    })
}

/// All values of a column of few.
fn few(column: &Column) -> Option<Vec<f32>> {
    match &column.kind {
        Kind::Binary => Some(vec![0.0, 1.0]),
        Kind::Category(names) => {
            (names.len() <= LEVELS).then(|| (0..names.len()).map(|i| i as f32).collect())
        }
        Kind::Whole { least, most } if most - least < 30 => {
            Some((*least..=*most).map(|v| (v as f64 - column.origin) as f32).collect())
        }
        Kind::Whole { .. } | Kind::Real { .. } => None,
    }
}

/// Rows of a pass, so that what is computed of them has its place.
const CHUNK: usize = 4096;
/// Draws of each row for its quantiles.
const DRAWS: usize = 500;
const QUANTILES: [f64; 3] = [0.05, 0.5, 0.95];

/// `genus predict`.
pub fn predict(
    cx: &Context,
    run: &Path,
    name: &str,
    source: &Source,
    output: Option<&Path>,
    seed: u64,
) -> Result<()> {
    let (_, model) = open(run)?;
    let able = model.as_conditional().ok_or_else(|| cannot(model.as_ref(), Capability::Conditional))?;
    let schema = model.schema();
    let at = place(schema, name, "column")?;
    let column = schema.column(at);
    let options = data::Options { lacking: true, ..cx.options(&source.cut, true, Some(schema))? };
    let Rows { split, .. } = super::chosen(source, cx.read(&source.data, &options)?)?;
    let truth: Vec<f32> = split.x.iter().map(|row| row[at]).collect();
    let known = truth.iter().filter(|v| !v.is_nan()).count();
    let mut progress = Progress::new();
    let n = split.x.rows();
    let mut found: Option<Batch> = None;
    let values = few(&column);
    let mut rng = Seed::from(seed).child("predict").rng();
    let size = if values.is_some() { CHUNK } else { CHUNK / 32 };
    for start in (0..n).step_by(size) {
        genus::Stop::current().check()?;
        let x = split.x.slice(start, start + size);
        let part = match &values {
            Some(values) => {
                let candidates = Batch::from_fn(x.rows(), values.len(), |_, k| values[k]);
                let nats = able.log_conditional(&x, at, &candidates)?;
                let k = values.len();
                Batch::from_fn(x.rows(), k, |r, c| {
                    let row = &nats[r * k..][..k];
                    (row[c] - log_sum_exp(row.iter().copied())).exp() as f32
                })
            }
            None => {
                let mut holes = x.clone();
                (0..x.rows()).for_each(|r| holes.row_mut(r)[at] = f32::NAN);
                let mean = able.impute(&holes, Fill::Mean, &mut rng)?;
                let many: Vec<usize> = (0..x.rows() * DRAWS).map(|i| i / DRAWS).collect();
                let mut drawn = able.impute(&holes.select(&many), Fill::Sample, &mut rng)?;
                schema.hold(&mut drawn);
                Batch::from_fn(x.rows(), 1 + QUANTILES.len(), |r, k| {
                    let Some(k) = k.checked_sub(1) else { return mean.row(r)[at] };
                    let mut all: Vec<f32> = (0..DRAWS).map(|i| drawn.row(r * DRAWS + i)[at]).collect();
                    all.sort_by(f32::total_cmp);
                    all[((QUANTILES[k] * DRAWS as f64) as usize).min(DRAWS - 1)]
                })
            }
        };
        found = Some(match found {
            None => part,
            Some(all) => all.concat(&part)?,
        });
        let done = (start + x.rows()) as u64;
        let _ = progress.on(&Event::Progress { what: "rows".into(), done, of: n as u64 });
    }
    drop(progress);
    let found =
        found.unwrap_or_else(|| Batch::zeros(0, values.as_ref().map_or(1 + QUANTILES.len(), Vec::len)));
    let schema = match &values {
        Some(values) => {
            if known > 0 {
                judged(&column, values, &found, &truth);
            }
            numbers(values.iter().map(|v| column.text(*v)))
        }
        None => {
            if known > 0 {
                measured(&column, &found, &truth);
            }
            output::note(format!("quantiles are those of {DRAWS} draws of each row"));
            let heads = ["mean", "5 %", "median", "95 %"].map(String::from);
            let mut schema = numbers(heads);
            for own in &mut schema.columns {
                (own.origin, own.style) = (column.origin, column.style.clone());
            }
            schema
        }
    };
    emit(cx, &Split::unlabelled(found), &schema, output)
}

/// Says how often the most probable value is the one that is there, and what that is worth.
fn judged(column: &Column, values: &[f32], found: &Batch, truth: &[f32]) {
    let mut count = vec![0usize; values.len()];
    let (mut right, mut nats, mut all) = (0, 0.0, 0);
    for (row, v) in found.iter().zip(truth) {
        let Some(own) = values.iter().position(|k| k == v) else { continue };
        let best = (0..row.len()).max_by(|a, b| row[*a].total_cmp(&row[*b]));
        right += usize::from(best == Some(own));
        nats -= f64::from(row[own].max(f32::MIN_POSITIVE)).ln();
        count[own] += 1;
        all += 1;
    }
    let of = f64::from(u32::try_from(all).unwrap_or(u32::MAX)).max(1.0);
    let most = count.iter().max().copied().unwrap_or(0);
    output::note(format!(
        "{}: right in {right} of {all} rows that have it ({:.1} %; its most frequent value alone {:.1} %), mean surprise {:.4} nats",
        column.name,
        100.0 * right as f64 / of,
        100.0 * most as f64 / of,
        nats / of
    ));
}

/// Says how far the mean is from what is there, and how often that lies between the quantiles.
fn measured(column: &Column, found: &Batch, truth: &[f32]) {
    let there: Vec<(&[f32], f64)> =
        found.iter().zip(truth).filter(|(_, v)| !v.is_nan()).map(|(row, v)| (row, f64::from(*v))).collect();
    let n = there.len() as f64;
    let rms = |off: Vec<f64>| (off.iter().map(|v| v * v).sum::<f64>() / n).sqrt();
    let mean = there.iter().map(|(_, v)| v).sum::<f64>() / n;
    let inside = there.iter().filter(|(row, v)| (f64::from(row[1])..=f64::from(row[3])).contains(v)).count();
    output::note(format!(
        "{}: the mean is off by {:.4} (root mean square) in {} rows that have it, where their own mean is by {:.4}; {:.1} % lie between the 5 % and 95 % quantiles",
        column.name,
        rms(there.iter().map(|(row, v)| v - f64::from(row[0])).collect()),
        there.len(),
        rms(there.iter().map(|(_, v)| v - mean).collect()),
        100.0 * inside as f64 / n
    ));
}

/// Cells that are named as the oddest, those among which they are looked for, and draws that each is held against.
const ODDEST: usize = 10;
const DOUBTFUL: usize = 200;
const HELD: usize = 100;

/// `genus score --cells`.
pub fn score(cx: &Context, run: &Path, source: &Source, output: Option<&Path>) -> Result<()> {
    let (_, model) = open(run)?;
    let able = model.as_conditional().ok_or_else(|| cannot(model.as_ref(), Capability::Conditional))?;
    let schema = model.schema();
    let Rows { split, .. } = cx.rows(source, model.as_ref())?;
    let x = &split.x;
    let width = x.width();
    let mut nats = vec![f64::NAN; width * x.rows()];
    let mut progress = Progress::new();
    for c in 0..x.width() {
        genus::Stop::current().check()?;
        let own: Vec<usize> = (0..x.rows()).filter(|r| !x.row(*r)[c].is_nan()).collect();
        for rows in own.chunks(CHUNK) {
            let part = x.select(rows);
            let candidates = Batch::from_fn(part.rows(), 1, |r, _| part.row(r)[c]);
            let found = able.log_conditional(&part, c, &candidates)?;
            rows.iter().zip(found).for_each(|(r, v)| nats[*r * width + c] = v);
        }
        let _ = progress.on(&Event::Progress {
            what: "columns".into(),
            done: c as u64 + 1,
            of: x.width() as u64,
        });
    }
    drop(progress);
    output::note(
        "log p of each cell given the others of its row, nats; of numbers a density, in units of their column",
    );
    oddest(model.as_ref(), &split, &nats)?;
    if cx.json {
        let rows: Vec<Vec<Number<f64>>> =
            nats.chunks_exact(width).map(|row| row.iter().copied().map(Number).collect()).collect();
        return output::json(&rows);
    }
    // A table of text keeps every digit, which arrays of single precision would not.
    let quoted = |name: String| match name.contains([',', '"', '\n']) {
        true => format!("\"{}\"", name.replace('"', "\"\"")),
        false => name,
    };
    let header: Vec<String> = (0..x.width()).map(|c| quoted(schema.column(c).name)).collect();
    let cell = |v: &f64| if v.is_nan() { String::new() } else { v.to_string() };
    let lines = nats.chunks_exact(width).map(|row| row.iter().map(cell).collect::<Vec<_>>().join(",") + "\n");
    let text = header.join(",") + "\n" + &lines.collect::<String>();
    super::look::emit_bytes(text.as_bytes(), x.rows(), output)
}

/// Names the cells that surprise most beside what the model would draw in their place, and what would have been expected there. They are looked for
/// among those that are furthest below the middle of their column.
fn oddest(model: &dyn Model, rows: &Split, nats: &[f64]) -> Result<()> {
    let (schema, width) = (model.schema(), rows.x.width());
    let middle = |c: usize| {
        let mut all: Vec<f64> = nats.iter().skip(c).step_by(width).copied().filter(|v| !v.is_nan()).collect();
        all.sort_by(f64::total_cmp);
        all.get(all.len() / 2).copied().unwrap_or(0.0)
    };
    let middles: Vec<f64> = (0..width).map(middle).collect();
    let mut all: Vec<(f64, usize, usize)> = Vec::new();
    for (r, row) in nats.chunks_exact(width).enumerate() {
        let there = row.iter().enumerate().filter(|(_, v)| !v.is_nan());
        all.extend(there.map(|(c, v)| (v - middles[c], r, c)));
    }
    all.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)).then(a.2.cmp(&b.2)));
    all.truncate(DOUBTFUL);
    let Some(able) = model.as_conditional() else { return Ok(()) };
    let mut rng = Seed::from(0).child("held").rng();
    let mut odd = Vec::with_capacity(all.len());
    for (_, r, c) in all {
        genus::Stop::current().check()?;
        let row = rows.x.slice(r, r + 1);
        let mut holes = row.select(&[0; HELD]);
        (0..HELD).for_each(|i| holes.row_mut(i)[c] = f32::NAN);
        let drawn = able.impute(&holes, Fill::Sample, &mut rng)?;
        let candidates = Batch::from_fn(1, HELD, |_, k| drawn.row(k)[c]);
        let found = able.log_conditional(&row, c, &candidates)?;
        odd.push((found.iter().sum::<f64>() / HELD as f64 - nats[r * width + c], r, c));
    }
    odd.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)).then(a.2.cmp(&b.2)));
    odd.truncate(ODDEST);
    output::note(
        "the oddest cells, by how far log p is below its mean over what the model would draw there:",
    );
    for (below, r, c) in odd {
        let mut row = rows.x.slice(r, r + 1);
        let column = schema.column(c);
        let there = column.text(row.row(0)[c]);
        row.row_mut(0)[c] = f32::NAN;
        let mut expected = able.impute(&row, Fill::Mean, &mut Seed::from(0).rng())?;
        schema.hold(&mut expected);
        output::note(format!(
            "  {}, column \"{}\": {there} ({:.1} nats below), where {} is expected",
            rows.place(r),
            column.name,
            below,
            column.text(expected.row(0)[c])
        ));
    }
    Ok(())
}
