//! The event log of a run, `events.jsonl`.

use super::RunDir;
use crate::{Error, Event, Result};
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::Path;

/// An event with the seconds of work that the run took until then.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TimedEvent {
    /// Seconds of work, over all resumptions.
    pub t: f64,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

/// Appends a line to an event log.
///
/// # Errors
/// [`Error::Io`] if it cannot be written.
pub fn append_event(log: &mut File, path: &Path, event: &TimedEvent) -> Result<()> {
    let mut line =
        serde_json::to_vec(event).map_err(|e| Error::Run(format!("cannot write an event: {e}")))?;
    line.push(b'\n');
    log.write_all(&line).map_err(Error::io("write", path))
}

impl RunDir {
    /// Opens `events.jsonl` for appending. A last line that a kill or a full disk cut off is ended first, so that what follows
    /// begins a line of its own.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be written.
    pub fn event_log(&self) -> Result<File> {
        let path = self.events_path();
        let open = || {
            let mut log = OpenOptions::new().create(true).read(true).append(true).open(&path)?;
            if log.metadata()?.len() > 0 {
                let mut last = [0];
                log.seek(SeekFrom::End(-1))?;
                log.read_exact(&mut last)?;
                if last != *b"\n" {
                    log.write_all(b"\n")?;
                }
            }
            Ok(log)
        };
        open().map_err(Error::io("write", &path))
    }

    /// Reads `events.jsonl`. A line that was cut off is left out; so are steps that a resumption did again.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be read.
    pub fn events(&self) -> Result<Vec<TimedEvent>> {
        let path = self.events_path();
        let mut events: Vec<TimedEvent> = Vec::new();
        // Bytes, not texts: a line may be cut off within a character.
        for line in BufReader::new(File::open(&path).map_err(Error::io("read", &path))?).split(b'\n') {
            let line = line.map_err(Error::io("read", &path))?;
            let Ok(event) = serde_json::from_slice::<TimedEvent>(&line) else { continue };
            if let Event::Start { resumed_at, .. } = event.event {
                events.retain(|e| match e.event {
                    Event::Step { step, .. }
                    | Event::Restart { step, .. }
                    | Event::Epoch { step, .. }
                    | Event::Validation { step, .. } => step <= resumed_at,
                    _ => true,
                });
            }
            events.push(event);
        }
        Ok(events)
    }

    /// Seconds of work that went into the run so far, times between an end and a resumption left out; 0 before its first event.
    ///
    /// # Errors
    /// [`Error::Io`] if the events cannot be read.
    pub fn seconds(&self) -> Result<f64> {
        let logged = self.events_path().exists();
        let events = if logged { self.events()? } else { Vec::new() };
        Ok(events.iter().map(|e| e.t).fold(0.0, f64::max))
    }
}
