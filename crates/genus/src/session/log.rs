//! Who hears a training: the log of its folder, and whoever else watches.

use crate::run::{TimedEvent, append_event};
use crate::{Error, Event, Observer, Result, StopReason, Tee};
use std::fs::File;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Steps of one attempt that are all written.
const STEPS: u32 = 500;

/// Writes events to the run folder and keeps the time of phases.
pub(super) struct Log {
    pub file: File,
    pub path: PathBuf,
    pub start: Instant,
    /// Seconds that earlier parts of an interrupted run took.
    pub earlier: f64,
    pub last_step: Option<Instant>,
    /// Steps that are still written whatever the time: those of attempts, which are curves of their own.
    pub whole: u32,
    pub phases: Vec<(String, Instant)>,
    pub parameters: u64,
    pub failed: Option<Error>,
}

impl Observer for Log {
    fn on(&mut self, event: &Event) -> ControlFlow<StopReason> {
        match event {
            // A run of a million steps needs no million lines.
            Event::Step { .. }
                if self.whole == 0
                    && self.last_step.is_some_and(|t| t.elapsed() < Duration::from_millis(200)) =>
            {
                return ControlFlow::Continue(());
            }
            Event::Step { .. } => {
                self.last_step = Some(Instant::now());
                self.whole = self.whole.saturating_sub(1);
            }
            Event::Restart { .. } => self.whole = STEPS,
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
    pub(super) fn sound(&mut self) -> Result<()> {
        self.failed.take().map_or(Ok(()), Err)
    }

    /// Seconds of each phase; what an interrupted run took earlier counts to its first one.
    pub(super) fn seconds(&self) -> Vec<(String, f64)> {
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
pub(super) struct Watch<'a> {
    pub log: Log,
    pub observer: &'a mut dyn Observer,
}

impl Watch<'_> {
    pub(super) fn tell(&mut self, event: &Event) {
        // Nothing is being fitted, so there is nothing to stop: that is for `Stop::current`.
        let _ = Tee(vec![&mut self.log, self.observer]).on(event);
    }

    pub(super) fn phase(&mut self, name: &str) {
        self.tell(&Event::Phase { name: name.into() });
    }

    pub(super) fn progress(&mut self, what: &str) -> impl FnMut(u64, u64) {
        move |done, of| self.tell(&Event::Progress { what: what.into(), done, of })
    }
}
