//! From a request to a run folder: train, save, score, collect what a report shows.

use crate::run::{DataConfig, FORMAT, RunConfig, RunDir, RunLock, Summary, TimedEvent, append_event};
use crate::{
    Capability, Dataset, Error, Event, Fit, FitContext, Model, ModelSpec, Observer, Result, Scoring, Seed,
    SplitName, StopReason, Tee, audit, checkpoint::Checkpoints, config, drawn, evaluate, exhibits, registry,
};
use std::fs::File;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// What to train, and how to look at it afterwards.
#[derive(Debug, Clone)]
pub struct Request {
    /// The model.
    pub spec: &'static ModelSpec,
    /// Its configuration; missing keys take their defaults.
    pub config: toml::Table,
    /// How the data were asked for, for the run folder.
    pub data: DataConfig,
    /// Root of all random streams.
    pub seed: u64,
    /// Least time between two checkpoints.
    pub checkpoint_every: Duration,
    /// How held-out rows are scored.
    pub scoring: Scoring,
    /// What the program was built from, for the summary: commit, compiler.
    pub versions: Vec<(String, String)>,
}

/// A run that ended.
#[derive(Debug)]
pub struct Outcome {
    /// Its folder.
    pub run: RunDir,
    /// Its summary.
    pub summary: Summary,
    /// Why the fit ended.
    pub stopped: Option<StopReason>,
}

/// Trains into a new folder.
///
/// # Errors
/// If the folder holds a run already, the configuration or the data do not suit the model, or the fit fails.
pub fn train(
    request: &Request,
    data: &Dataset,
    out: PathBuf,
    observer: &mut dyn Observer,
) -> Result<Outcome> {
    // Everything that can be wrong with the request is found before a folder is made.
    let table = (request.spec.check_config)(&request.config)?;
    admit(request.spec, data)?;
    let (run, lock) = RunDir::create(out)?;
    let mut source = request.data.clone();
    source.sha256 = data.digest();
    let config = RunConfig {
        format: FORMAT,
        genus: env!("CARGO_PKG_VERSION").into(),
        model: request.spec.name.into(),
        seed: request.seed,
        data: source,
        config: table,
    };
    let written = run.write_config(&config).inspect_err(|_| run.discard());
    let outcome = written.and_then(|()| go(request, data, &run, &lock, false, observer));
    // What a fit refuses, or diverges on, is tried again with other settings: the folder must not be in the way.
    if let Err(Error::Config { .. } | Error::Domain(_) | Error::Shape { .. } | Error::Numerical { .. }) =
        outcome
    {
        run.discard();
    }
    outcome
}

/// Goes on with the training in `run` from its newest checkpoint. The model, configuration and seed are those of the folder.
///
/// # Errors
/// If the data are not those of the run, or as [`train`].
pub fn resume(
    request: &Request,
    data: &Dataset,
    run: RunDir,
    observer: &mut dyn Observer,
) -> Result<Outcome> {
    let lock = run.lock()?;
    let stored = run.config()?;
    if stored.data.sha256 != data.digest() {
        return Err(Error::Run(format!(
            "{} was trained on other rows than {} holds now; give the same data, or train into a new folder",
            run.path().display(),
            stored.data.source
        )));
    }
    go(request, data, &run, &lock, true, observer)
}

fn admit(spec: &ModelSpec, data: &Dataset) -> Result<()> {
    if spec.admits(&data.domain) {
        // One row has no spread; what would come out is that row, or nothing finite.
        return match data.train.x.rows() {
            0 | 1 => Err(Error::Domain(format!(
                "{} has {} training row, and a model needs at least 2 rows to learn from; give more data",
                data.provenance.name,
                data.train.x.rows()
            ))),
            _ => Ok(()),
        };
    }
    let able: Vec<_> = registry::all().filter(|s| s.admits(&data.domain)).map(|s| s.name).collect();
    Err(Error::Domain(format!(
        "{} takes {} rows and {} holds {}; models for such rows: {}",
        spec.name,
        spec.supports.join(" or "),
        data.provenance.name,
        data.domain,
        if able.is_empty() { "none yet".into() } else { able.join(", ") }
    )))
}

/// Writes events to the run folder and keeps the time of phases.
struct Log {
    file: File,
    path: PathBuf,
    start: Instant,
    /// Seconds that earlier parts of an interrupted run took.
    earlier: f64,
    last_step: Option<Instant>,
    phases: Vec<(String, Instant)>,
    parameters: u64,
    failed: Option<Error>,
}

impl Observer for Log {
    fn on(&mut self, event: &Event) -> ControlFlow<StopReason> {
        match event {
            // A run of a million steps needs no million lines.
            Event::Step { .. }
                if self.last_step.is_some_and(|t| t.elapsed() < Duration::from_millis(200)) =>
            {
                return ControlFlow::Continue(());
            }
            Event::Step { .. } => self.last_step = Some(Instant::now()),
            Event::Phase { name } => self.phases.push((name.clone(), Instant::now())),
            Event::Start { parameters, .. } => self.parameters = *parameters,
            _ => {}
        }
        let timed = TimedEvent { t: self.earlier + self.start.elapsed().as_secs_f64(), event: event.clone() };
        match append_event(&mut self.file, &self.path, &timed) {
            Ok(()) => ControlFlow::Continue(()),
            Err(e) => {
                // Without a log the run would be a riddle later: stop, and let the checkpoint keep what was reached.
                self.failed.get_or_insert(e);
                ControlFlow::Break(StopReason::Interrupted)
            }
        }
    }
}

impl Log {
    /// Seconds of each phase; what an interrupted run took earlier counts to its first one.
    fn seconds(&self) -> Vec<(String, f64)> {
        let ends = self.phases.iter().skip(1).map(|(_, t)| *t).chain([Instant::now()]);
        let earlier = [self.earlier].into_iter().chain(std::iter::repeat(0.0));
        self.phases
            .iter()
            .zip(ends)
            .zip(earlier)
            .map(|(((name, from), to), earlier)| (name.clone(), earlier + (to - *from).as_secs_f64()))
            .collect()
    }
}

fn go(
    request: &Request,
    data: &Dataset,
    run: &RunDir,
    _lock: &RunLock,
    resume: bool,
    observer: &mut dyn Observer,
) -> Result<Outcome> {
    let stored = run.config()?;
    let spec = registry::find(&stored.model)?;
    let seed = Seed::from(stored.seed);
    let identity = identity(&stored);
    let checkpoints = Checkpoints::open(run.checkpoints_path(), identity)?.every(request.checkpoint_every);
    let mut log = Log {
        earlier: run.seconds()?,
        file: run.event_log()?,
        path: run.events_path(),
        start: Instant::now(),
        last_step: None,
        phases: Vec::new(),
        parameters: 0,
        failed: None,
    };
    let phase = |name: &str, log: &mut Log, observer: &mut dyn Observer| {
        let event = Event::Phase { name: name.into() };
        // Nothing is being fitted between phases, so there is nothing to stop.
        let _ = Tee(vec![log, observer]).on(&event);
    };
    phase("train", &mut log, observer);
    let Fit { model, report } = {
        let mut tee = Tee(vec![&mut log, observer]);
        let mut cx = FitContext::new(seed, &mut tee).with_checkpoints(&checkpoints, resume);
        (spec.fit)(&stored.config, data, &mut cx)?
    };
    if let Some(e) = log.failed.take() {
        return Err(e);
    }
    // What an earlier end of this run said is no longer true of the model.
    for stale in [run.summary_path(), run.exhibits_path(), run.report_path()] {
        crate::fsx::remove_if_there(&stale)?;
    }
    model.state().save(&run.model_path())?;
    let mut summary = describe(spec, model.as_ref(), data);
    summary.versions.extend(request.versions.iter().cloned());
    summary.warnings = report.warnings.clone();
    summary.steps = report.steps;
    summary.parameters = log.parameters;
    summary.stopped = report.stopped.map_or("completed".into(), |r| reason(r).into());
    if report.stopped == Some(StopReason::Interrupted) {
        // Whoever interrupts wants the prompt back, not minutes of scoring; resuming does that when training has ended.
        return Ok(Outcome { run: run.clone(), summary, stopped: report.stopped });
    }
    phase("evaluate", &mut log, observer);
    let test_nats = score_splits(model.as_ref(), data, &request.scoring, &mut summary)?;
    summary.figures.extend(report.figures);
    if model.as_density().is_none() {
        summary.figures.extend(drawn::parzen::figures(model.as_ref(), data, seed.child("parzen"))?);
    }
    let mixing = drawn::mixing::of(model.as_ref(), data, seed.child("mixing"))?;
    summary.figures.extend(mixing.iter().flat_map(drawn::mixing::Mixing::figures));
    phase("audit", &mut log, observer);
    let held = data.test.as_ref().or(data.valid.as_ref()).unwrap_or(&data.train);
    summary.audit = audit::trained(model.as_ref(), &held.x.slice(0, 128), seed.child("audit"))?;
    phase("exhibits", &mut log, observer);
    let mut shown = exhibits::of(model.as_ref(), data, test_nats.as_deref(), seed.child("exhibits"))?;
    if let Some(mixing) = mixing {
        mixing.show(&mut shown);
    }
    shown.save(&run.exhibits_path())?;
    summary.seconds = log.seconds();
    run.write_summary(&summary)?;
    Ok(Outcome { run: run.clone(), summary, stopped: report.stopped })
}

/// Hash of all that must not change between a run and its resumption.
fn identity(stored: &RunConfig) -> String {
    use sha2::{Digest, Sha256};
    let text = toml::to_string(stored).unwrap_or_default();
    let mut h = Sha256::new();
    h.update(text);
    h.finalize().iter().map(|b| format!("{b:02x}")).collect()
}

/// Why a fit ended, in words.
pub fn reason(r: StopReason) -> &'static str {
    match r {
        StopReason::Completed => "completed",
        StopReason::EarlyStopping => "stopped early: the validation loss no longer fell",
        StopReason::TimeBudget => "stopped by the time budget",
        StopReason::Interrupted => "interrupted",
    }
}

/// Scores of the held-out splits, or of the training rows if there are no others, and figures on the same rows.
fn score_splits(
    model: &dyn Model,
    data: &Dataset,
    how: &Scoring,
    summary: &mut Summary,
) -> Result<Option<Vec<f64>>> {
    let mut test_nats = None;
    let only_train = data.valid.is_none() && data.test.is_none();
    let splits: Vec<_> = data.splits().filter(|(n, _)| *n != SplitName::Train || only_train).collect();
    if let Some(density) = model.as_density() {
        for (name, split) in splits.iter().rev() {
            // Validation rows get the plain score: importance samples are for the number that is reported.
            let plain = Scoring { importance_samples: 1, ..*how };
            let (score, nats) = evaluate::score(density, *name, &split.x, &plain)?;
            if *name == SplitName::Test && how.importance_samples > 1 {
                let (tight, tight_nats) = evaluate::score(density, *name, &split.x, how)?;
                if tight_nats != nats {
                    summary.scores.push(tight);
                }
            }
            summary.scores.push(score);
            if *name == SplitName::Test {
                test_nats = Some(nats);
            }
        }
    }
    if let Some((_, split)) = splits.last() {
        summary.figures.extend(model.figures(&split.x, how)?);
    }
    Ok(test_nats)
}

/// A summary with all that is known without scoring.
fn describe(spec: &ModelSpec, model: &dyn Model, data: &Dataset) -> Summary {
    let reference = |r: &crate::Reference| format!("{}. {}. {}. {}", r.authors, r.title, r.year, r.url);
    Summary {
        model: spec.name.into(),
        title: spec.title.into(),
        taxonomy: spec.taxonomy().into_iter().map(str::to_owned).collect(),
        references: spec.references.iter().map(reference).collect(),
        capabilities: Capability::ALL.iter().filter(|c| c.of(model)).map(|c| c.verb().to_owned()).collect(),
        domain: data.domain.to_string(),
        shape: evaluate::extents(&data.domain),
        top: data.domain.top().unwrap_or(0.0),
        columns: data.columns.clone(),
        classes: data.classes.clone(),
        data: data.provenance.clone(),
        rows: data.splits().map(|(n, s)| (n, s.x.rows() as u64)).collect(),
        machine: machine(),
        versions: vec![("genus".into(), env!("CARGO_PKG_VERSION").into())],
        ..Summary::default()
    }
}

/// Processor, cores and system, as far as they can be read.
pub fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let cpu = std::fs::read_to_string("/proc/cpuinfo")
        .ok()
        .and_then(|t| {
            Some(t.lines().find(|l| l.starts_with("model name"))?.split(':').nth(1)?.trim().to_owned())
        })
        .unwrap_or_else(|| std::env::consts::ARCH.to_owned());
    format!("{cpu}, {cores} cores, {}", std::env::consts::OS)
}

/// The effective configuration of a model: its defaults, then each layer, then the assignments.
///
/// # Errors
/// [`Error::Config`] naming the key.
pub fn effective_config(spec: &ModelSpec, layers: &[&toml::Table], set: &[String]) -> Result<toml::Table> {
    let mut table = (spec.default_config)();
    for layer in layers {
        config::merge(&mut table, layer);
    }
    for assignment in set {
        config::set(&mut table, assignment)?;
    }
    (spec.check_config)(&table)
}
