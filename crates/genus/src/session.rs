//! From a request to a run folder: train, save, score, collect what a report shows.

use crate::evaluate::Scored;
use crate::run::{DataConfig, FORMAT, Origin, RunConfig, RunDir, RunLock, Summary, TimedEvent, append_event};
use crate::{
    Capability, Dataset, Error, Event, Fit, FitContext, Model, ModelSpec, Observer, Result, Scoring, Seed,
    SplitName, State, Stop, StopReason, Tee, audit, checkpoint::Checkpoints, config, drawn, evaluate,
    exhibits, registry,
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
    /// The model to begin with, if it is not a fresh one, and its state.
    pub from: Option<(Origin, State)>,
    /// How held-out rows are scored.
    pub scoring: Scoring,
    /// Most rows of a split that are scored, chosen by chance; all of them if none is given.
    pub rows: Option<usize>,
    /// Whether the likelihood of the trained model is audited.
    pub audit: bool,
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
    admit(request.spec, data)?;
    let (run, lock) = RunDir::create(out)?;
    let mut source = request.data.clone();
    source.sha256 = data.digest();
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
    if let Err(
        Error::Config { .. }
        | Error::Domain(_)
        | Error::Shape { .. }
        | Error::Numerical { .. }
        | Error::Run(_)
        | Error::Stopped(_),
    ) = outcome
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
        return Err(Error::Run(format!(
            "{0} was begun by genus {1}, and another version, this is {VERSION}, may go on with other numbers; use genus {1}, or begin a new run with its model by `genus train --from {0}`",
            run.path().display(),
            stored.genus
        )));
    }
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
            // For those who wait, not for those who read later.
            Event::Progress { .. } => return ControlFlow::Continue(()),
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
    /// That everything was written.
    fn sound(&mut self) -> Result<()> {
        self.failed.take().map_or(Ok(()), Err)
    }

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

/// The log of a run and whoever else watches it.
struct Watch<'a> {
    log: Log,
    observer: &'a mut dyn Observer,
}

impl Watch<'_> {
    fn tell(&mut self, event: &Event) {
        // Nothing is being fitted, so there is nothing to stop: that is for `Stop::current`.
        let _ = Tee(vec![&mut self.log, self.observer]).on(event);
    }

    fn phase(&mut self, name: &str) {
        self.tell(&Event::Phase { name: name.into() });
    }

    fn progress(&mut self, what: &str) -> impl FnMut(u64, u64) {
        move |done, of| self.tell(&Event::Progress { what: what.into(), done, of })
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
        phases: Vec::new(),
        parameters: 0,
        failed: None,
    };
    let mut watch = Watch { log, observer };
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
    summary.warnings = report.warnings;
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

/// What `f` gives; none, with a warning, if there was no time for it within this share of what is left.
fn in_time<T>(
    share: f64,
    what: &str,
    warnings: &mut Vec<String>,
    f: impl FnOnce() -> Result<T>,
) -> Result<Option<T>> {
    match Stop::current().share(share).during(f) {
        Err(Error::Stopped(StopReason::TimeBudget)) => {
            warnings
                .push(format!("there was no time for {what}; allow more, or resume the run without a limit"));
            Ok(None)
        }
        other => other.map(Some),
    }
}

/// Scores, audit and exhibits of a trained model.
fn look(
    request: &Request,
    data: &Dataset,
    run: &RunDir,
    model: &dyn Model,
    seed: Seed,
    summary: &mut Summary,
    watch: &mut Watch<'_>,
) -> Result<()> {
    watch.phase("evaluate");
    let mut warnings = Vec::new();
    let test = score_splits(model, data, request, summary, &mut warnings, watch)?;
    if model.as_density().is_none() {
        let figures = || drawn::parzen::figures(model, data, seed.child("parzen"));
        summary
            .figures
            .extend(in_time(0.4, "the Parzen window", &mut warnings, figures)?.unwrap_or_default());
    }
    let follow = || drawn::mixing::of(model, data, seed.child("mixing"));
    let mixing = in_time(0.4, "following the chains", &mut warnings, follow)?.flatten();
    summary.figures.extend(mixing.iter().flat_map(drawn::mixing::Mixing::figures));
    if request.audit {
        watch.phase("audit");
        let held = data.test.as_ref().or(data.valid.as_ref()).unwrap_or(&data.train);
        let rows = held.x.slice(0, 128);
        let share = Stop::current().share(0.6);
        let mut heard = watch.progress("checks");
        let audit = share.during(|| audit::trained(model, &rows, seed.child("audit"), &mut heard))?;
        if audit.left_out > 0 {
            warnings.push(format!(
                "there was no time for {} checks of the audit; see `genus audit`",
                audit.left_out
            ));
        }
        summary.audit = audit.rows;
    }
    watch.phase("exhibits");
    let mut shown = State::default();
    let show = || exhibits::of(model, data, test.as_ref(), seed.child("exhibits"), &mut shown);
    in_time(1.0, "all exhibits of the report", &mut warnings, show)?;
    if let Some(mixing) = mixing {
        mixing.show(&mut shown);
    }
    shown.save(&run.exhibits_path())?;
    for message in &warnings {
        watch.tell(&Event::Warning { message: message.clone() });
    }
    summary.warnings.extend(warnings);
    Ok(())
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

/// Scores of the held-out splits, or of the training rows if there are no others, and figures on the same rows. Gives those of test
/// rows.
fn score_splits(
    model: &dyn Model,
    data: &Dataset,
    request: &Request,
    summary: &mut Summary,
    warnings: &mut Vec<String>,
    watch: &mut Watch<'_>,
) -> Result<Option<Scored>> {
    let how = &request.scoring;
    let mut test = None;
    let only_train = data.valid.is_none() && data.test.is_none();
    let splits: Vec<_> = data.splits().filter(|(n, _)| *n != SplitName::Train || only_train).collect();
    // The number that is reported comes first where time is short.
    for (name, split) in splits.iter().rev() {
        let Some(density) = model.as_density() else { break };
        let mut scored = |how: &Scoring| {
            in_time(0.3, &format!("scores of the {name} rows"), warnings, || {
                let mut heard = watch.progress("rows scored");
                evaluate::score(density, *name, &split.x, how, request.rows, &mut heard)
            })
        };
        // Validation rows get the plain score: importance samples are for the number that is reported.
        let plain = scored(&Scoring { importance_samples: 1, ..*how })?;
        if *name == SplitName::Test && how.importance_samples > 1 {
            let tight = scored(how)?;
            // Where draws play no part, the protocol names none, and the number is the same.
            if tight.as_ref().map(|t| &t.score.protocol) != plain.as_ref().map(|p| &p.score.protocol) {
                summary.scores.extend(tight.map(|t| t.score));
            }
        }
        summary.scores.extend(plain.as_ref().map(|p| p.score.clone()));
        if *name == SplitName::Test {
            test = plain;
        }
    }
    if let Some((_, split)) = splits.last() {
        let few = request.rows.map(|n| split.x.select(&evaluate::some_rows(split.x.rows(), n)));
        let figures = || model.figures(few.as_ref().unwrap_or(&split.x), how);
        let found = in_time(0.3, "figures of the model", warnings, figures)?;
        summary.figures.splice(0..0, found.unwrap_or_default());
    }
    Ok(test)
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
        versions: vec![("genus".into(), VERSION.into())],
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
