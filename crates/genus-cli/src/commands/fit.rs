//! `genus train`.

use super::{Context, importance};
use crate::args::{Cut, Train};
use crate::output;
use crate::progress::{self, Progress};
use anyhow::{Context as _, Result};
use genus::run::{DataConfig, RunDir, Summary};
use genus::session::{self, Outcome, Request};
use genus::{Scoring, StopReason, registry};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// Trains into a new folder, or goes on in an old one.
pub fn train(cx: &Context, args: Train) -> Result<ExitCode> {
    progress::catch_interrupt()?;
    let every = Duration::try_from_secs_f64(args.checkpoint_seconds).map_err(|_| {
        genus::Error::config("checkpoint-seconds", "it must be a number of seconds of at least 0")
    })?;
    let scoring = Scoring { importance_samples: importance(args.importance_samples)?, ..Scoring::default() };
    let mut observer = Progress::new(args.time);
    let outcome = if args.resume {
        let run = RunDir::open(args.out.clone().unwrap_or_default())?;
        let stored = run.config()?;
        if let Some(model) = args.model.filter(|m| *m != stored.model) {
            return Err(genus::Error::config(
                "model",
                format!("this run trains {}, not {model}", stored.model),
            )
            .into());
        }
        let data = DataConfig { source: args.data.unwrap_or(stored.data.source), ..stored.data };
        let set = cx.load(&data.source, &cut_of(&data), false)?;
        let spec = registry::find(&stored.model)?;
        let request = Request {
            spec,
            config: stored.config,
            data,
            seed: stored.seed,
            checkpoint_every: every,
            scoring,
            versions: super::versions(),
        };
        let out = run.path().to_owned();
        session::resume(&request, &set, run, &mut observer).map_err(|e| kept(e, &out))?
    } else {
        let spec = registry::find(args.model.as_deref().unwrap_or_default())?;
        let file = args.config.as_deref().map(read_toml).transpose()?.unwrap_or_default();
        let config = session::effective_config(spec, &[&file], &args.set)?;
        let source = args.data.unwrap_or_else(|| "digits".into());
        let data = DataConfig {
            source: source.clone(),
            split: args.cut.split.clone().unwrap_or_default(),
            label: args.cut.label.clone(),
            ..DataConfig::default()
        };
        let set = cx.load(&source, &args.cut, false)?;
        let out = args.out.unwrap_or_else(|| fresh(spec.name, &source));
        let request = Request {
            spec,
            config,
            data,
            seed: args.seed,
            checkpoint_every: every,
            scoring,
            versions: super::versions(),
        };
        session::train(&request, &set, out.clone(), &mut observer).map_err(|e| kept(e, &out))?
    };
    drop(observer);
    finish(cx, &outcome)
}

/// The splitting and label options of a stored run.
pub fn cut_of(data: &DataConfig) -> Cut {
    Cut { split: Some(data.split.clone()).filter(|s| !s.is_empty()), label: data.label.clone() }
}

fn read_toml(path: &Path) -> Result<toml::Table> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(genus::config::parse(&text, path)?)
}

/// Says how to go on where the system failed a training that has checkpoints: a full disk is no lost work.
fn kept(e: genus::Error, out: &Path) -> anyhow::Error {
    let failed = matches!(e, genus::Error::Io { .. });
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
                let bits = s.bits_per_dim.map_or("–".into(), |b| format!("{b:.4}"));
                vec![
                    s.split.to_string(),
                    s.rows.to_string(),
                    format!("{:.4}{stderr}", s.nats),
                    bits,
                    s.protocol.clone(),
                ]
            })
            .collect();
        output::line(format!("\nlog-likelihood, {kind}, nats per row; {}", summary.scores[0].measure));
        output::table(&["split", "rows", "nats", "bits/dim", "protocol"], &rows);
    }
    for f in &summary.figures {
        output::line(format!("{}: {:.4} {}", f.name, f.value, f.unit));
    }
    for a in summary.audit.iter().filter(|a| !a.passed) {
        output::note(format!("audit failed: {} ({}): {}", a.check, a.subject, a.figure));
    }
}
