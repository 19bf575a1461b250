//! From a request to a run folder: train, save, score, collect what a report shows.

mod doubts;
mod log;
mod look;

pub use look::machine;

use crate::registry::Registry;
use crate::run::{DataConfig, FORMAT, Origin, RunConfig, RunDir, RunLock, Summary};
use crate::{
    Advice, Dataset, Diagnostic, Error, Event, Fit, FitContext, ModelSpec, Observer, Result, Scoring, Seed,
    State, Stop, StopReason, SupportKind, Tee, checkpoint::Checkpoints, config, diagnostics,
};
use log::{Log, Watch};
use look::{describe, look};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// What to train, and how to look at it afterwards.
#[derive(Clone)]
#[non_exhaustive]
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
    /// The model to begin with, if it is not a fresh one, and its state.
    pub from: Option<(Origin, State)>,
    /// How held-out rows are scored.
    pub scoring: Scoring,
    /// Most rows of a split that are scored, chosen by chance; all of them if none is given.
    pub rows: Option<usize>,
    /// Whether the likelihood of the trained model is audited.
    pub audit: bool,
    /// What else is found out about the trained model.
    pub diagnostics: Vec<&'static dyn Diagnostic>,
    /// The models among which one is suggested that takes the data, where this one does not.
    pub registry: Registry,
    /// What the program was built from, for the summary: commit, compiler.
    pub versions: Vec<(String, String)>,
}

impl Request {
    /// To train a model in this configuration, with seed 0, a checkpoint every minute, plain scores of all held-out rows, an audit and
    /// all diagnostics of this crate.
    pub fn new(spec: &'static ModelSpec, config: toml::Table, data: DataConfig) -> Self {
        Self {
            spec,
            config,
            data,
            seed: 0,
            checkpoint_every: Duration::from_secs(60),
            from: None,
            scoring: Scoring::default(),
            rows: None,
            audit: true,
            diagnostics: diagnostics::ALL.to_vec(),
            registry: Registry::default(),
            versions: Vec::new(),
        }
    }
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

/// The version that this is.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Of the time there is, what a fit may take; looking at the model has the rest.
const FIT: f64 = 0.75;

/// Trains into a new folder. [`Stop::current`] ends it at any moment: what was reached is saved, and what there was no time for is
/// said in the warnings of the summary. Where time is limited, the fit has three quarters of it.
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
    admit(request, data)?;
    let (run, lock) = RunDir::create(out)?;
    let mut source = request.data.clone();
    source.sha256 = data.digest();
    source.names = data.schema.names_digest();
    let config = RunConfig {
        format: FORMAT,
        genus: VERSION.into(),
        model: request.spec.name.into(),
        seed: request.seed,
        data: source,
        from: request.from.as_ref().map(|(origin, _)| origin.clone()),
        config: table,
    };
    // The configuration last: what has one is a run that can be resumed.
    let start = request.from.as_ref().map_or(Ok(()), |(_, state)| state.save(&run.start_path()));
    let written = start.and_then(|()| run.write_config(&config));
    let written = written.inspect_err(|_| run.discard());
    let outcome = written.and_then(|()| go(request, data, &run, &lock, false, observer));
    // What a fit refuses, diverges on or has no time for is tried again with other settings: the folder must not be in the way.
    let failed = outcome.as_ref().err().map(Error::root);
    if let Some(
        Error::Config { .. }
        | Error::Domain(_)
        | Error::Shape { .. }
        | Error::Numerical { .. }
        | Error::Run(_)
        | Error::Stopped(_),
    ) = failed
    {
        run.discard();
    }
    outcome
}

/// Goes on with the training in `run` from its newest checkpoint. The model, configuration and seed are those of the folder.
///
/// # Errors
/// If another version of genus began it or the data are not those of the run, or as [`train`].
pub fn resume(
    request: &Request,
    data: &Dataset,
    run: RunDir,
    observer: &mut dyn Observer,
) -> Result<Outcome> {
    let lock = run.lock()?;
    let stored = run.config()?;
    if stored.genus != VERSION {
        let message = format!(
            "{} was begun by genus {}, and another version, this is {VERSION}, may go on with other numbers",
            run.path().display(),
            stored.genus
        );
        let advice = Advice::BeginFrom { run: run.path().into(), version: stored.genus };
        return Err(Error::Run(message).advise(advice));
    }
    if stored.data.sha256 != data.digest() {
        return Err(Error::Run(format!(
            "{} was trained on other rows than {} holds now; give the same data, or train into a new folder",
            run.path().display(),
            stored.data.source
        )));
    }
    if !stored.data.names.is_empty() && stored.data.names != data.schema.names_digest() {
        return Err(Error::Run(format!(
            "the columns or classes of {} have other names than when {} began; give the same data, or train into a new folder",
            stored.data.source,
            run.path().display()
        )));
    }
    go(request, data, &run, &lock, true, observer)
}

fn admit(request: &Request, data: &Dataset) -> Result<()> {
    let spec = request.spec;
    if spec.admits(data.domain()) {
        if data.schema.conditional && !spec.admits_given(&data.schema) {
            return Err(cannot_be_given(request, data));
        }
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
    let able = request.registry.for_rows(data.domain());
    Err(Error::Domain(format!(
        "{} takes {} rows and {} holds {}; models for such rows: {}",
        spec.name,
        SupportKind::join(spec.supports, " or "),
        data.provenance.name,
        data.domain(),
        if able.is_empty() { "none yet".into() } else { able.join(", ") }
    )))
}

/// The error of a model that has no density given these columns, naming those that have.
fn cannot_be_given(request: &Request, data: &Dataset) -> Error {
    let able = request.registry.iter().filter(|s| s.admits(data.domain()) && s.admits_given(&data.schema));
    let able: Vec<_> = able.map(|s| s.name).collect();
    let error = crate::context::refusal(request.spec, &data.schema);
    let able = if able.is_empty() { "none takes such rows yet".into() } else { able.join(", ") };
    match error {
        Error::Config { field, message } => {
            Error::Config { field, message: format!("{message}; these have: {able}") }
        }
        other => other,
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
    let seed = Seed::from(stored.seed);
    let identity = identity(&stored)?;
    let checkpoints = Checkpoints::open(run.checkpoints_path(), identity)?.every(request.checkpoint_every);
    let start = stored.from.as_ref().map(|origin| start_of(run, origin)).transpose()?;
    let log = Log {
        earlier: run.seconds()?,
        file: run.event_log()?,
        path: run.events_path(),
        start: Instant::now(),
        last_step: None,
        whole: 0,
        phases: Vec::new(),
        parameters: 0,
        failed: None,
    };
    let mut watch = Watch { log, observer };
    let doubts = doubts::doubts(data, request.spec.evidence.is_some());
    for message in &doubts.warnings {
        watch.tell(&Event::Warning { message: message.clone() });
    }
    watch.phase("train");
    if resume
        && request.spec.iterative
        && let Some(message) = checkpoints.find()?.warning()
    {
        watch.tell(&Event::Warning { message });
    }
    let fit = Stop::current().share(FIT).during(|| {
        let mut tee = Tee(vec![&mut watch.log, watch.observer]);
        let mut cx = FitContext::new(seed, &mut tee)
            .with_checkpoints(&checkpoints, resume)
            .starting_from(start.as_ref());
        (request.spec.fit)(&stored.config, data, &mut cx)
    });
    // A fit that ended because it could not be logged ended because of that.
    watch.log.sound()?;
    let Fit { model, report } = fit?;
    // What an earlier end of this run said is no longer true of the model.
    for stale in [run.summary_path(), run.exhibits_path(), run.report_path()] {
        crate::fsx::remove_if_there(&stale)?;
    }
    model.state().save(&run.model_path())?;
    let mut summary = describe(request.spec, model.as_ref(), data);
    summary.versions.extend(request.versions.iter().cloned());
    summary.warnings = [doubts.warnings, report.warnings].concat();
    summary.figures = report.figures;
    summary.steps = report.steps;
    summary.parameters = watch.log.parameters;
    summary.stopped = report.stopped.map_or("completed".into(), |r| reason(r).into());
    let mut stopped = report.stopped;
    // Whoever interrupts wants the prompt back, not minutes of scoring; resuming does that when training has ended.
    if stopped != Some(StopReason::Interrupted) {
        match look(request, data, run, model.as_ref(), seed, &mut summary, &mut watch) {
            Err(Error::Stopped(why)) => stopped = Some(why),
            looked => looked?,
        }
        // Whoever reads a score must not have to know its columns.
        summary.doubts = doubts.protocol;
        for i in 0..summary.scores.len() {
            summary.scores[i].protocol = summary.doubted(&summary.scores[i].protocol);
        }
    }
    if stopped != Some(StopReason::Interrupted) {
        watch.log.sound()?;
        summary.seconds = watch.log.seconds();
        run.write_summary(&summary)?;
    }
    Ok(Outcome { run: run.clone(), summary, stopped })
}

/// The model that a training began with.
fn start_of(run: &RunDir, origin: &Origin) -> Result<State> {
    let state = State::load(&run.start_path())?;
    if state.digest() != origin.sha256 {
        return Err(Error::Run(format!(
            "{} is not the model that this training began with ({}); put it back, or train into a new folder",
            run.start_path().display(),
            origin.run
        )));
    }
    Ok(state)
}

/// Hash of all that must not change between a run and its resumption.
fn identity(stored: &RunConfig) -> Result<String> {
    use sha2::{Digest, Sha256};
    let text =
        toml::to_string(stored).map_err(|e| Error::Run(format!("cannot write the configuration: {e}")))?;
    Ok(Sha256::digest(text).iter().map(|b| format!("{b:02x}")).collect())
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
