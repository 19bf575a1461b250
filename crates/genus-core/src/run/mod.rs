//! The run folder: everything about one training, readable without the program that wrote it.
//!
//! ```text
//! config.toml        what was asked for, with every default filled in
//! events.jsonl       what happened, one Event per line
//! start.safetensors  the model that training began with, if it was not a fresh one
//! model.safetensors  the fitted model
//! checkpoints/       what a resumption needs
//! exhibits.safetensors   arrays that the report shows: samples, neighbours, reconstructions, scores …
//! summary.json       figures with their protocols, audit, machine, versions, times
//! report.html        a pure function of the above
//! ```

mod config;
mod events;
mod summary;

pub use config::{DataConfig, Origin, RunConfig};
pub use events::{TimedEvent, append_event};
pub use summary::{AuditRow, Score, Summary};

use crate::panel::{self, Exhibit};
use crate::{Advice, Error, Result, State, fsx};
use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};

/// Version of the folder's layout; another one is refused with the remedy.
pub const FORMAT: u32 = 3;

const CONFIG: &str = "config.toml";
const EVENTS: &str = "events.jsonl";
const MODEL: &str = "model.safetensors";
const EXHIBITS: &str = "exhibits.safetensors";
const SUMMARY: &str = "summary.json";
const START: &str = "start.safetensors";
const REPORT: &str = "report.html";
const LOCK: &str = ".lock";

/// A run folder.
#[derive(Debug, Clone)]
pub struct RunDir {
    path: PathBuf,
}

/// Held while a process trains into the folder; released when dropped, also by a kill.
#[derive(Debug)]
pub struct RunLock(#[allow(dead_code)] File); // held for its lock, never read

impl RunDir {
    /// Creates a new folder and locks it, before any work is done. A folder that is there must be empty, but for what a training
    /// leaves that was killed before it had written its configuration.
    ///
    /// # Errors
    /// [`Error::Run`] if it holds a run already or anything else; of what is there nothing is then changed. [`Error::Io`] if it cannot be
    /// written.
    pub fn create(path: impl Into<PathBuf>) -> Result<(Self, RunLock)> {
        let run = Self { path: path.into() };
        fs::create_dir_all(&run.path).map_err(Error::io("create", &run.path))?;
        run.vacant()?;
        let lock = run.take()?;
        // Another training may have come and gone before the lock was taken.
        run.vacant()?;
        fsx::remove_if_there(&run.start_path())?;
        Ok((run, lock))
    }

    /// Refuses a folder with anything in it that is not of a training that has hardly begun.
    fn vacant(&self) -> Result<()> {
        let read = Error::io("read", &self.path);
        let found =
            fs::read_dir(&self.path).and_then(|d| d.collect::<std::io::Result<Vec<_>>>()).map_err(read)?;
        let begun = |e: &fs::DirEntry| {
            fsx::is_left_over(e, &[CONFIG, START])
                || [LOCK, START].iter().any(|n| e.file_name() == *n)
                    && e.file_type().is_ok_and(|t| t.is_file())
        };
        if found.is_empty() || found.iter().all(begun) && found.iter().any(|e| e.file_name() == LOCK) {
            return Ok(());
        }
        if self.config().is_err() {
            let message =
                format!("{} is not empty, and holds no run that this program can read", self.path.display());
            return Err(Error::Run(message).advise(Advice::OtherFolder));
        }
        self.lock()?;
        let error = Error::Run(format!("{} holds a run already", self.path.display()));
        Err(error.advise(Advice::ResumeOrOtherFolder))
    }

    /// Opens an existing folder for reading.
    ///
    /// # Errors
    /// [`Error::Run`] if it is no run folder.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self> {
        let run = Self { path: path.into() };
        if !run.config_path().is_file() {
            let message = format!("{} is not a run folder (it has no config.toml)", run.path.display());
            return Err(Error::Run(message).advise(Advice::Train));
        }
        Ok(run)
    }

    /// Takes back a folder that [`create`](Self::create) made and in which nothing was reached, because the fit refused its
    /// configuration or its data: the same name can then be used again. Does nothing where there is a model or a checkpoint; other
    /// files stay.
    pub fn discard(&self) {
        let checkpoints = self.checkpoints_path();
        let any = checkpoints.read_dir().is_ok_and(|mut d| d.next().is_some());
        if any || self.model_path().exists() {
            return;
        }
        // Best effort throughout: the caller has an error of its own to tell.
        let _ = fs::remove_dir(checkpoints);
        // The configuration late: a folder with it is a run, and one with nothing but the lock is as good as new.
        for file in [self.events_path(), self.start_path(), self.config_path(), self.path.join(LOCK)] {
            let _ = fs::remove_file(file);
        }
        let _ = fs::remove_dir(&self.path);
    }

    /// Locks the folder of a run against a second writer, and removes what a killed one left half written.
    ///
    /// # Errors
    /// As [`config`](Self::config); [`Error::Run`] if another process holds it or a file of it is a link, [`Error::Io`] if the
    /// folder is not writable.
    pub fn lock(&self) -> Result<RunLock> {
        self.config()?;
        for name in [LOCK, CONFIG, START, EVENTS, MODEL, EXHIBITS, SUMMARY, REPORT] {
            let path = self.path.join(name);
            if fs::symlink_metadata(&path).is_ok_and(|m| !m.is_file()) {
                return Err(Error::Run(format!(
                    "{} is a link or a folder, and a training writes only to files within its own folder; put the file itself there, or train into a new folder",
                    path.display()
                )));
            }
        }
        self.take()
    }

    fn take(&self) -> Result<RunLock> {
        let path = self.path.join(LOCK);
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(Error::io("write", &path))?;
        match file.try_lock() {
            Ok(()) => {
                fsx::sweep(&self.path, &[CONFIG, START, MODEL, EXHIBITS, SUMMARY, REPORT]);
                Ok(RunLock(file))
            }
            Err(fs::TryLockError::WouldBlock) => {
                let message = format!("another process is training into {}", self.path.display());
                Err(Error::Run(message).advise(Advice::WaitOrOtherFolder))
            }
            Err(fs::TryLockError::Error(source)) => Err(Error::Io { action: "lock", path, source }),
        }
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// `config.toml`.
    pub fn config_path(&self) -> PathBuf {
        self.path.join(CONFIG)
    }
    /// `events.jsonl`.
    pub fn events_path(&self) -> PathBuf {
        self.path.join(EVENTS)
    }
    /// `model.safetensors`.
    pub fn model_path(&self) -> PathBuf {
        self.path.join(MODEL)
    }
    /// `start.safetensors`.
    pub fn start_path(&self) -> PathBuf {
        self.path.join(START)
    }
    /// `checkpoints/`.
    pub fn checkpoints_path(&self) -> PathBuf {
        self.path.join("checkpoints")
    }
    /// `exhibits.safetensors`.
    pub fn exhibits_path(&self) -> PathBuf {
        self.path.join(EXHIBITS)
    }
    /// `summary.json`.
    pub fn summary_path(&self) -> PathBuf {
        self.path.join(SUMMARY)
    }
    /// `report.html`.
    pub fn report_path(&self) -> PathBuf {
        self.path.join(REPORT)
    }

    /// Writes `config.toml`.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be written.
    pub fn write_config(&self, config: &RunConfig) -> Result<()> {
        let text = toml::to_string_pretty(config)
            .map_err(|e| Error::Run(format!("cannot write config.toml: {e}")))?;
        fsx::write_atomic(&self.config_path(), text.as_bytes())
    }

    /// Reads `config.toml`.
    ///
    /// # Errors
    /// [`Error::Run`] if another version of the layout wrote it, [`Error::Format`] if it is not valid.
    pub fn config(&self) -> Result<RunConfig> {
        let path = self.config_path();
        let text = fs::read_to_string(&path).map_err(Error::io("read", &path))?;
        let table = crate::config::parse(&text, &path)?;
        let format = table.get("format").and_then(toml::Value::as_integer);
        if format != Some(i64::from(FORMAT)) {
            let by = table.get("genus").and_then(toml::Value::as_str).unwrap_or("an unknown version");
            return Err(Error::Run(format!(
                "{} was written by genus {by} in another layout (format {}, this program reads {FORMAT}); use that version, or train again",
                self.path.display(),
                format.map_or("missing".into(), |f| f.to_string()),
            )));
        }
        table.try_into().map_err(|e: toml::de::Error| Error::format(&path, "TOML", e.message().to_owned()))
    }

    /// Writes `summary.json`.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be written.
    pub fn write_summary(&self, summary: &Summary) -> Result<()> {
        let json = serde_json::to_vec_pretty(summary)
            .map_err(|e| Error::Run(format!("cannot write summary.json: {e}")))?;
        fsx::write_atomic(&self.summary_path(), &json)
    }

    /// Reads `summary.json`.
    ///
    /// # Errors
    /// [`Error::Run`] if the training has not ended, [`Error::Format`] if it is not valid.
    pub fn summary(&self) -> Result<Summary> {
        let path = self.summary_path();
        if !path.exists() {
            return Err(self.unended("has no summary.json"));
        }
        let bytes = fsx::read_capped(&path, 1 << 26)?;
        serde_json::from_slice(&bytes)
            .map_err(|e| Error::format(&path, format!("line {}", e.line()), e.to_string()))
    }

    fn unended(&self, what: &str) -> Error {
        Error::Run(format!("{} {what}: the training did not end", self.path.display()))
            .advise(Advice::Resume(self.path.clone()))
    }

    /// The numbers of a study.
    pub fn points_path(&self) -> PathBuf {
        self.path.join("points.jsonl")
    }

    /// The fitted model's state.
    ///
    /// # Errors
    /// [`Error::Run`] if the training has not ended, or if it is the folder of a study, which has many models or none.
    pub fn model(&self) -> Result<State> {
        let path = self.model_path();
        if !path.exists() && self.points_path().exists() {
            let message =
                format!("{} holds no model, but what a study of several found", self.path.display());
            return Err(Error::Run(message).advise(Advice::Train));
        }
        if !path.exists() {
            return Err(self.unended("has no model yet"));
        }
        State::load(&path)
    }

    /// What the report shows of the model; nothing if there is no such file.
    ///
    /// # Errors
    /// [`Error::Format`] if the file is damaged, and as [`panel::from_state`].
    pub fn exhibits(&self) -> Result<Vec<Exhibit>> {
        let path = self.exhibits_path();
        if path.exists() { panel::from_state(State::load(&path)?) } else { Ok(Vec::new()) }
    }

    /// Writes what the report shows of the model.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be written.
    pub fn write_exhibits(&self, exhibits: Vec<Exhibit>) -> Result<()> {
        panel::to_state(exhibits)?.save(&self.exhibits_path())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Event;
    use std::collections::BTreeMap;
    use std::io::Write as _;

    fn config() -> RunConfig {
        RunConfig {
            format: FORMAT,
            genus: "0.1.0".into(),
            model: "made".into(),
            seed: 7,
            data: DataConfig { source: "digits".into(), ..DataConfig::default() },
            from: None,
            config: toml::Table::from_iter([("hidden".into(), toml::Value::Integer(5))]),
        }
    }

    #[test]
    fn config_round_trip_and_other_formats() {
        let dir = tempfile::tempdir().unwrap();
        let (run, _lock) = RunDir::create(dir.path().join("a")).unwrap();
        run.write_config(&config()).unwrap();
        assert_eq!(run.config().unwrap(), config());
        run.write_config(&RunConfig { format: 99, ..config() }).unwrap();
        let e = run.config().unwrap_err().to_string();
        assert!(e.contains("format 99") && e.contains("train again"), "{e}");
    }

    #[test]
    fn second_writer_and_second_run_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let (run, lock) = RunDir::create(dir.path()).unwrap();
        let refused = || RunDir::create(dir.path()).unwrap_err().to_string();
        assert!(refused().contains("another process"), "{}", refused());
        run.write_config(&config()).unwrap();
        assert!(refused().contains("another process"), "{}", refused());
        drop(lock);
        let e = RunDir::create(dir.path()).unwrap_err().to_string();
        assert!(e.contains("resume it"), "{e}");
        assert!(RunDir::open(dir.path().join("nope")).is_err());
    }

    /// What a training leaves that was killed while it began, and nothing else, is written over.
    #[test]
    fn only_an_empty_folder_becomes_a_run() {
        let begun = tempfile::tempdir().unwrap();
        let path = |name: &str| begun.path().join(name);
        for name in [".lock", "config.toml.12.tmp", "start.safetensors", "start.safetensors.3.tmp"] {
            fs::write(path(name), "").unwrap();
        }
        let (run, _lock) = RunDir::create(begun.path()).unwrap();
        run.write_config(&config()).unwrap();
        let mut left: Vec<_> = fs::read_dir(begun.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, [".lock", "config.toml"]);
        for name in ["notes", "model.safetensors", "config.toml", "config.toml.12.tmp", "start.safetensors"] {
            let dir = tempfile::tempdir().unwrap();
            fs::write(dir.path().join(name), "mine").unwrap();
            let e = RunDir::create(dir.path()).unwrap_err().to_string();
            assert!(e.contains("is not empty, and holds no run"), "{name}: {e}");
            let left: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().path()).collect();
            assert_eq!(left, [dir.path().join(name)]);
            assert_eq!(fs::read(&left[0]).unwrap(), b"mine");
        }
    }

    /// Training writes and removes in its own folder only, which may itself be reached through a link.
    #[cfg(unix)]
    #[test]
    fn links_in_a_run_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let real = dir.path().join("real");
        RunDir::create(&real).unwrap().0.write_config(&config()).unwrap();
        std::os::unix::fs::symlink(&real, dir.path().join("run")).unwrap();
        let run = RunDir::open(dir.path().join("run")).unwrap();
        drop(run.lock().unwrap());
        for name in [LOCK, EVENTS, START, MODEL, EXHIBITS, SUMMARY, REPORT] {
            let path = real.join(name);
            fsx::remove_if_there(&path).unwrap();
            // Also one that leads nowhere yet.
            std::os::unix::fs::symlink(dir.path().join("elsewhere"), &path).unwrap();
            let e = run.lock().unwrap_err().to_string();
            assert!(e.contains(&format!("{name} is a link or a folder")), "{e}");
            assert!(!dir.path().join("elsewhere").exists());
            fs::remove_file(&path).unwrap();
        }
        drop(run.lock().unwrap());
    }

    #[test]
    fn resumed_steps_count_once_and_torn_lines_are_left_out() {
        let dir = tempfile::tempdir().unwrap();
        let (run, _lock) = RunDir::create(dir.path()).unwrap();
        let mut log = run.event_log().unwrap();
        let start = |resumed_at| Event::Start { model: "m".into(), steps: None, resumed_at, parameters: 1 };
        let step = |step| Event::Step { step, parts: BTreeMap::from([("loss".into(), 1.0)]) };
        let append = |log: &mut File, events: &[Event]| {
            for event in events {
                append_event(log, dir.path(), &TimedEvent { t: 0.5, event: event.clone() }).unwrap();
            }
        };
        let valid = |step| Event::Validation { epoch: 0, step, valid: BTreeMap::new(), best: false };
        append(&mut log, &[start(0), step(1), step(2), valid(2), step(3), valid(3)]);
        // Cut off within a character, as a full disk does.
        log.write_all(&"{\"t\":1.0,\"event\":\"warning\",\"message\":\"×".as_bytes()[..39]).unwrap();
        let mut log = run.event_log().unwrap();
        append(&mut log, &[start(2), step(3), valid(3)]);
        let events: Vec<Event> = run.events().unwrap().into_iter().map(|e| e.event).collect();
        assert_eq!(events, [start(0), step(1), step(2), valid(2), start(2), step(3), valid(3)]);
        assert_eq!(run.seconds().unwrap(), 0.5);
    }
}
