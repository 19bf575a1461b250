//! `genus train`.

use super::{Context, importance};
use crate::args::{Cut, Train};
use crate::output;
use crate::progress::{self, Progress};
use anyhow::{Context as _, Result};
use genus::run::{DataConfig, Origin, RunDir, Summary, TimedEvent};
use genus::session::{self, Outcome, Request};
use genus::{
    Capability, Dataset, Event, ModelSpec, Schema, Scoring, Size, SplitName, State, StopReason, SupportKind,
    data, registry,
};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// Trains into a new folder, or goes on in an old one.
pub fn train(cx: &Context, args: Train) -> Result<ExitCode> {
    progress::stop(args.time)?.during(|| run(cx, args))
}

fn run(cx: &Context, args: Train) -> Result<ExitCode> {
    let checkpoint_every = Duration::try_from_secs_f64(args.checkpoint_seconds).map_err(|_| {
        genus::Error::config("checkpoint-seconds", "it must be a number of seconds of at least 0")
    })?;
    let scoring = Scoring { importance_samples: importance(args.importance_samples)?, ..Scoring::default() };
    let old = args.out.as_ref().filter(|_| args.resume).or(args.from.as_ref());
    let old = old.map(RunDir::open).transpose()?;
    let stored = old.as_ref().map(RunDir::config).transpose()?;
    if let (Some(stored), Some(model)) = (&stored, args.model.as_ref().filter(|_| old.is_some()))
        && !registry::find(model).is_ok_and(|spec| spec.name == stored.model)
    {
        let message = format!("this run trains {}, not {model}", stored.model);
        return Err(genus::Error::config("model", message).into());
    }
    let name = stored.as_ref().map_or(args.model.as_deref().unwrap_or_default(), |s| &s.model);
    let spec = registry::find(name)?;
    let given = DataConfig {
        source: args.data.clone().unwrap_or_else(|| "digits".into()),
        split: args.cut.split.clone().unwrap_or_default(),
        label: args.cut.label.clone(),
        given: super::columns(args.given.as_deref()),
        drop_missing: args.cut.drop_missing,
        kinds: args.cut.kinds.clone().unwrap_or_default(),
        ..DataConfig::default()
    };
    if args.given.is_some() && given.given.is_empty() {
        return Err(genus::Error::config("given", "no column is named; name one at least").into());
    }
    let data = match &stored {
        Some(stored) if args.data.is_none() || args.resume => DataConfig {
            source: args.data.unwrap_or(stored.data.source.clone()),
            split: args.cut.split.clone().unwrap_or(stored.data.split.clone()),
            label: args.cut.label.clone().or(stored.data.label.clone()),
            given: if args.given.is_some() { given.given } else { stored.data.given.clone() },
            drop_missing: args.cut.drop_missing || stored.data.drop_missing,
            kinds: args.cut.kinds.clone().unwrap_or(stored.data.kinds.clone()),
            ..stored.data.clone()
        },
        _ => given,
    };
    // What goes on with a model goes on with its columns.
    let like = match (&old, &stored) {
        (Some(run), Some(stored)) if args.resume => {
            stored.from.is_some().then(|| State::load(&run.start_path())).transpose()?
        }
        (Some(run), _) => Some(run.model()?),
        _ => None,
    };
    let like =
        like.map(|state| Ok::<_, genus::Error>(registry::restore(&state)?.schema().clone())).transpose()?;
    // A model that is there knows what it is given.
    let named = if like.is_some() { super::columns(args.given.as_deref()) } else { data.given.clone() };
    let set = load(cx, spec, &DataConfig { given: named, ..data.clone() }, like.as_ref())?;
    let data = DataConfig {
        given: if set.schema.conditional { set.schema.given_names() } else { Vec::new() },
        ..data
    };
    let p = &set.provenance;
    output::note(format!("{}: {}; splits: {}", p.name, p.reading, p.splits));
    let file = args.config.as_deref().map(read_toml).transpose()?.unwrap_or_default();
    let base = stored.as_ref().map(|s| s.config.clone()).unwrap_or_default();
    // What is resumed has its configuration in the folder, and whether it can be read is not the first question.
    let config = match args.resume {
        true => base,
        false => {
            // What goes on from a model keeps its settings; what begins anew has those that suit the data.
            let suited = match (&stored, spec.suited) {
                (None, Some(suited)) => suited(Size::of(&set)),
                _ => toml::Table::new(),
            };
            let config = session::effective_config(spec, &[&suited, &base, &file], &args.set)?;
            let derived = derived(&suited, &config, "");
            if !derived.is_empty() {
                output::note(format!(
                    "settings for data of this size: {} (--set changes them)",
                    derived.join(", ")
                ));
            }
            config
        }
    };
    let mut request = Request::new(spec, config, data);
    request.seed = stored.as_ref().filter(|_| args.resume).map_or(args.seed, |s| s.seed);
    request.from = match &old {
        Some(run) if !args.resume => Some(origin(run)?),
        _ => None,
    };
    request.checkpoint_every = checkpoint_every;
    request.scoring = scoring;
    request.rows = args.rows.map(usize::from);
    request.audit = !args.no_audit;
    request.versions = super::versions();
    let mut observer = Progress::new();
    let out = match &old {
        Some(run) if args.resume => run.path().to_owned(),
        _ => args.out.unwrap_or_else(|| fresh(spec.name, &request.data.source)),
    };
    let outcome = match old {
        Some(run) if args.resume => session::resume(&request, &set, run, &mut observer),
        _ => session::train(&request, &set, out.clone(), &mut observer),
    };
    drop(observer);
    finish(cx, &outcome.map_err(|e| kept(e, &out))?)
}

/// The settings of a table that are those of a configuration, as assignments.
fn derived(table: &toml::Table, config: &toml::Table, prefix: &str) -> Vec<String> {
    let each = table.iter().flat_map(|(key, value)| match (value, config.get(key)) {
        (toml::Value::Table(inner), Some(toml::Value::Table(own))) => {
            derived(inner, own, &format!("{prefix}{key}."))
        }
        (value, Some(own)) if value == own => vec![format!("{prefix}{key}={value}")],
        _ => Vec::new(),
    });
    each.collect()
}

/// The model of a run, and where it comes from.
fn origin(run: &RunDir) -> Result<(Origin, State)> {
    let state = run.model()?;
    let before = run.config()?.from.map_or(0, |from| from.steps);
    let step = |e: &TimedEvent| match e.event {
        Event::Step { step, .. } | Event::Epoch { step, .. } | Event::End { step, .. } => step,
        _ => 0,
    };
    let steps = before + run.events()?.iter().map(step).max().unwrap_or(0);
    let origin = Origin { run: run.path().display().to_string(), sha256: state.digest(), steps };
    Ok((origin, state))
}

/// Least rows that a split is cut off without being asked for.
const FEW: usize = 20;
/// Rows of which a twentieth is enough to hold out.
const MANY: usize = 1000;

/// The data of a run. Where nobody said how to split, models trained by steps, which end by their validation rows, get a tenth each for
/// validation and test, of many rows a twentieth; models in closed form and by EM need none, and are fitted to all rows.
pub fn load(cx: &Context, spec: &ModelSpec, data: &DataConfig, like: Option<&Schema>) -> Result<Dataset> {
    let split = Some(data.split.clone()).filter(|s| !s.is_empty());
    // What goes on with a model has its columns.
    let kinds = Some(data.kinds.clone()).filter(|k| !k.is_empty() && like.is_none());
    let cut = Cut { split, label: data.label.clone(), kinds, drop_missing: data.drop_missing };
    let options = cx.options(&cut, spec.missing && !data.drop_missing, like)?;
    let mut set = cx.read(&data.source, &data::Options { given: data.given.clone(), ..options })?;
    // A class that can be told from the other columns is a column like them, and so is one among columns of several kinds.
    let among = spec.capabilities.contains(&Capability::Conditional)
        || set.domain().support.kind() == SupportKind::Mixed;
    if like.is_none() && data.label.is_none() && spec.supports.contains(&SupportKind::Mixed) && among {
        set = set.with_class_as_column();
    }
    let whole = set.valid.is_none() && set.test.is_none();
    if !spec.iterative || !whole || cut.split.is_some() || set.train.x.rows() < FEW {
        return Ok(set);
    }
    let split = if set.train.x.rows() < MANY { [0.8, 0.1, 0.1] } else { [0.9, 0.05, 0.05] };
    let mut set = data::cut(set, split, data::Options::default().seed)?;
    set.provenance.splits += " (the default; --split 1/0/0 keeps all for training)";
    Ok(set)
}

fn read_toml(path: &Path) -> Result<toml::Table> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(genus::config::parse(&text, path)?)
}

/// Says how to go on where the system failed a training that has checkpoints: a full disk is no lost work.
fn kept(e: genus::Error, out: &Path) -> anyhow::Error {
    let failed = matches!(e.root(), genus::Error::Io { .. });
    let any = failed
        && RunDir::open(out).is_ok_and(|run| {
            run.checkpoints_path()
                .read_dir()
                .is_ok_and(|d| d.flatten().any(|e| e.path().extension().is_none()))
        });
    let e = anyhow::Error::new(e);
    if !any {
        return e;
    }
    let out = out.display();
    e.context(format!(
        "the training broke off; mend the cause and go on with `genus train --resume --out {out}`"
    ))
}

/// `runs/MODEL-DATA`, with a number if that is taken.
fn fresh(model: &str, source: &str) -> PathBuf {
    let source = if source == "-" { "stdin" } else { source };
    let stem = Path::new(source).file_stem().map_or("data".into(), |s| s.to_string_lossy().into_owned());
    let base = PathBuf::from("runs").join(format!("{model}-{stem}"));
    let numbered = (2..).map(|i| base.with_file_name(format!("{model}-{stem}-{i}")));
    std::iter::once(base.clone()).chain(numbered).find(|p| !p.exists()).unwrap_or(base)
}

/// Writes the report and says where everything is.
pub fn finish(cx: &Context, outcome: &Outcome) -> Result<ExitCode> {
    let report = genus_report::write(&outcome.run)?;
    let folder = outcome.run.path().display();
    if outcome.stopped == Some(StopReason::Interrupted) {
        output::note(format!("interrupted and saved; go on with: genus train --resume --out {folder}"));
        return Ok(ExitCode::from(crate::INTERRUPTED));
    }
    if cx.json {
        output::json(&outcome.summary)?;
    } else {
        scores(&outcome.summary);
        output::line(format!("\nrun     {folder}"));
        output::line(format!("report  {}", report.display()));
    }
    Ok(ExitCode::SUCCESS)
}

/// One table per kind of evidence, then the figures.
pub fn scores(summary: &Summary) {
    let mut kinds: Vec<String> = summary.scores.iter().map(|s| s.evidence.to_string()).collect();
    kinds.dedup();
    for kind in kinds {
        let rows: Vec<Vec<String>> = summary
            .scores
            .iter()
            .filter(|s| s.evidence.to_string() == kind)
            .map(|s| {
                let stderr = s.stderr.map_or(String::new(), |e| format!(" ± {e:.4}"));
                let number = |v: Option<f64>| v.map_or("–".into(), |v| format!("{v:.4}"));
                let split = match s.split {
                    SplitName::Train => "train, which it was fitted to".into(),
                    other => other.to_string(),
                };
                vec![
                    split,
                    s.rows.to_string(),
                    format!("{:.4}{stderr}", s.nats),
                    number(s.independent),
                    number(s.uniform),
                    number(s.bits_per_dim),
                    s.protocol.clone(),
                ]
            })
            .collect();
        let of = if summary.given.is_empty() { String::new() } else { format!(" of {}", summary.formula()) };
        output::line(format!("\nlog-likelihood{of}, {kind}, nats per row; {}", summary.scores[0].measure));
        output::table(
            &["split", "rows", "nats", "independent columns", "uniform", "bits/dim", "protocol"],
            &rows,
        );
    }
    for f in &summary.figures {
        output::line(format!("{}: {:.4} {}", f.name, f.value, f.unit));
    }
    for a in summary.audit.iter().filter(|a| !a.passed) {
        output::note(format!("audit failed: {} ({}): {}", a.check, a.subject, a.figure));
    }
}
