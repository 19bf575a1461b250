//! What can be done with a trained model.

use super::{Context, fit, importance, open};
use crate::args::{MaybeSource, ScoringArgs, Source, Through};
use crate::output;
use crate::progress::Progress;
use anyhow::Result;
use genus::number::Number;
use genus::run::{AuditRow, RunDir};
use genus::{
    Batch, Capability, Dataset, Domain, Drawing, Event, Fill, Model, Observer as _, Scoring, Seed, SplitName,
    audit as audits, data, evaluate as figures, registry,
};
use serde_json::json;
use std::path::Path;
use std::process::ExitCode;

/// The error of a model that has not got a capability, naming those that have.
fn cannot(model: &dyn Model, what: Capability) -> anyhow::Error {
    let able: Vec<_> = registry::all().filter(|s| s.capabilities.contains(&what)).map(|s| s.name).collect();
    genus::Error::Unsupported {
        model: model.spec().name.into(),
        capability: what.verb().into(),
        remedy: format!("models that can: {}", able.join(", ")),
    }
    .into()
}

/// Writes rows to a file, or prints them as CSV or JSON.
fn emit(cx: &Context, x: &Batch, domain: &Domain, columns: &[String], output: Option<&Path>) -> Result<()> {
    if let Some(path) = output {
        data::write(path, x, domain, columns)?;
        output::note(format!("{} rows written to {}", x.rows(), path.display()));
        return Ok(());
    }
    if cx.json {
        let rows = x.iter().map(|row| row.iter().copied().map(Number).collect::<Vec<_>>());
        return output::json(&rows.collect::<Vec<_>>());
    }
    if columns.len() == x.width() {
        output::line(columns.join(","));
    }
    for row in x.iter() {
        output::line(row.iter().map(f32::to_string).collect::<Vec<_>>().join(","));
    }
    Ok(())
}

/// Most values that are drawn at once, as many as the readers of files take.
const MOST: usize = 1 << 29;

fn few_enough(what: &str, rows: usize, width: usize) -> Result<()> {
    if rows.saturating_mul(width) > MOST {
        let message = format!("{rows} rows of {width} values are too many at once; ask for fewer");
        return Err(genus::Error::config(what, message).into());
    }
    Ok(())
}

fn columns_of(run: &RunDir) -> Vec<String> {
    run.summary().map(|s| s.columns).unwrap_or_default()
}

/// `genus sample`.
pub fn sample(
    cx: &Context,
    run: &Path,
    n: usize,
    output: Option<&Path>,
    seed: u64,
    how: &Drawing,
) -> Result<()> {
    let (run, model) = open(run)?;
    let sampler = model.as_sampler().ok_or_else(|| cannot(model.as_ref(), Capability::Sampler))?;
    few_enough("n", n, model.domain().width())?;
    let x = sampler.draw_as(n, how, &mut Seed::from(seed).child("sample").rng())?;
    emit(cx, &x, model.domain(), &columns_of(&run), output)
}

fn scoring(args: &ScoringArgs) -> Result<Scoring> {
    Ok(Scoring { importance_samples: importance(args.importance_samples)?, seed: Seed::from(args.seed) })
}

/// `genus score`.
pub fn score(
    cx: &Context,
    run: &Path,
    source: &Source,
    args: &ScoringArgs,
    output: Option<&Path>,
) -> Result<()> {
    let (_, model) = open(run)?;
    let density = model.as_density().ok_or_else(|| cannot(model.as_ref(), Capability::Density))?;
    let (x, _) = cx.rows(source, false)?;
    let lp = density.score(&x, &scoring(args)?)?;
    if let Some(path) = output {
        // f64, which the array writers do not hold: a table of text keeps every digit.
        let text: String = lp.nats.iter().map(|v| format!("{v}\n")).collect();
        genus::fsx::write_atomic(path, format!("nats\n{text}").as_bytes())?;
    }
    if cx.json {
        return output::json(&json!({
            "nats": lp.nats.iter().copied().map(Number).collect::<Vec<_>>(), "evidence": lp.evidence, "measure": lp.measure, "protocol": lp.protocol,
        }));
    }
    output::note(format!("{}, nats; {}; {}", lp.evidence, lp.measure, lp.protocol));
    match output {
        Some(path) => output::note(format!("{} scores written to {}", lp.nats.len(), path.display())),
        None => lp.nats.iter().for_each(output::line),
    }
    Ok(())
}

/// `genus evaluate`.
pub fn evaluate(cx: &Context, run: &Path, source: &Source, args: &ScoringArgs) -> Result<()> {
    let (_, model) = open(run)?;
    let how = scoring(args)?;
    let (x, set) = cx.rows(source, false)?;
    let split = match source.rows.as_deref() {
        Some("train") => SplitName::Train,
        Some("valid") => SplitName::Valid,
        Some(_) => SplitName::Test,
        None if set.test.is_some() => SplitName::Test,
        None => SplitName::Train,
    };
    let mut summary = genus::run::Summary::default();
    if let Some(density) = model.as_density() {
        summary.scores.push(figures::score(density, split, &x, &how, None, &mut |_, _| ())?.score);
    }
    summary.figures = model.figures(&x, &how)?;
    if cx.json {
        return output::json(
            &json!({ "scores": summary.scores, "figures": summary.figures, "entropy": set.provenance.entropy }),
        );
    }
    fit::scores(&summary);
    if let Some(h) = set.provenance.entropy {
        output::line(format!("entropy of the source: {h:.4} nats"));
    }
    Ok(())
}

/// `genus encode`.
pub fn encode(cx: &Context, t: &Through) -> Result<()> {
    let (_, model) = open(&t.run)?;
    let encoder = model.as_encoder().ok_or_else(|| cannot(model.as_ref(), Capability::Encoder))?;
    let (x, _) = cx.rows(&t.source, false)?;
    let codes = encoder.encode(&x)?;
    emit(cx, &codes, &Domain::real(codes.width()), &[], t.output.as_deref())
}

fn through(
    cx: &Context,
    t: &Through,
    f: impl FnOnce(&dyn genus::Decoder, &Batch) -> Result<Batch>,
) -> Result<()> {
    let (run, model) = open(&t.run)?;
    let decoder = model.as_decoder().ok_or_else(|| cannot(model.as_ref(), Capability::Decoder))?;
    let (x, _) = cx.rows(&t.source, false)?;
    let y = f(decoder, &x)?;
    // Means lie between levels: kept as numbers in arrays and tables, shown as grey in pictures.
    emit(cx, &y, &mean_domain(model.domain()), &columns_of(&run), t.output.as_deref())
}

/// The domain of means of rows.
fn mean_domain(domain: &Domain) -> Domain {
    Domain { support: genus::Support::Real, shape: domain.shape }
}

/// `genus reconstruct`.
pub fn reconstruct(cx: &Context, t: &Through) -> Result<()> {
    through(cx, t, |decoder, x| Ok(decoder.reconstruct(x)?))
}

/// `genus interpolate`.
pub fn interpolate(cx: &Context, t: &Through, from: usize, to: usize, steps: usize) -> Result<()> {
    through(cx, t, |decoder, x| {
        for (name, row) in [("from", from), ("to", to)] {
            if row >= x.rows() {
                return Err(genus::Error::config(
                    name,
                    format!("there are {} rows, numbered from 0", x.rows()),
                )
                .into());
            }
        }
        few_enough("steps", steps, x.width().max(decoder.code_width()))?;
        Ok(decoder.interpolate(&x.slice(from, from + 1), &x.slice(to, to + 1), steps)?)
    })
}

/// `genus classify`.
pub fn classify(cx: &Context, t: &Through) -> Result<()> {
    let (_, model) = open(&t.run)?;
    let classes = model.as_class_conditional();
    let classes = classes.ok_or_else(|| cannot(model.as_ref(), Capability::ClassConditional))?;
    let (split, set) = cx.split(&t.source, false)?;
    let p = classes.posterior(&split.x)?;
    if let Some(labels) = &split.labels {
        let best = |row: &[f32]| (0..row.len()).max_by(|a, b| row[*a].total_cmp(&row[*b]));
        let right = labels.iter().enumerate().filter(|(r, l)| best(p.row(*r)) == Some(**l as usize)).count();
        output::note(format!("{right} of {} rows have their own class as the most probable", labels.len()));
    }
    let names = if set.classes.len() == p.width() { set.classes } else { Vec::new() };
    emit(cx, &p, &Domain::real(p.width()), &names, t.output.as_deref())
}

/// `genus impute`.
pub fn impute(cx: &Context, t: &Through, sample: bool, seed: u64) -> Result<()> {
    let (_, model) = open(&t.run)?;
    let conditional =
        model.as_conditional().ok_or_else(|| cannot(model.as_ref(), Capability::Conditional))?;
    let (x, set) = cx.rows(&t.source, true)?;
    let fill = if sample { Fill::Sample } else { Fill::Mean };
    let holes = x.data().iter().filter(|v| v.is_nan()).count();
    let y = conditional.impute(&x, fill, &mut Seed::from(seed).child("impute").rng())?;
    let kind = if sample { "draws" } else { "means" };
    output::note(format!("{holes} missing values filled with {kind}: {}", conditional.law(&x)));
    emit(cx, &y, model.domain(), &set.columns, t.output.as_deref())
}

/// `genus audit`.
pub fn audit(cx: &Context, subject: &str, source: &MaybeSource) -> Result<ExitCode> {
    let path = Path::new(subject);
    let seed = Seed::from(0).child("audit");
    let mut progress = Progress::new();
    let mut heard = |done, of| {
        let _ = progress.on(&Event::Progress { what: "checks".into(), done, of });
    };
    let rows: Vec<AuditRow> = if path.is_dir() {
        let (run, model) = open(path)?;
        let stored = run.config()?;
        let set: Dataset = match &source.data {
            Some(data) => cx.load(data, &source.cut, false)?,
            None => cx.load(&stored.data.source, &fit::cut_of(&stored.data), false)?,
        };
        let held = set.test.as_ref().unwrap_or(&set.train);
        let mut rows = audits::trained(model.as_ref(), &held.x.slice(0, 128), seed, &mut heard)?.rows;
        rows.extend(audits::twin(model.spec(), seed, &mut heard)?.rows);
        rows
    } else {
        audits::twin(registry::find(subject)?, seed, &mut heard)?.rows
    };
    drop(progress);
    let failed = rows.iter().filter(|r| !r.passed).count();
    if cx.json {
        output::json(&rows)?;
    } else {
        let cells: Vec<Vec<String>> = rows
            .iter()
            .map(|r| {
                let verdict = if r.passed { "✓ holds" } else { "✗ FAILS" };
                vec![verdict.into(), r.check.clone(), r.subject.clone(), r.figure.clone()]
            })
            .collect();
        output::table(&["verdict", "check", "subject", "figure"], &cells);
        output::line(format!("\n{} checks, {failed} failed", rows.len()));
    }
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
