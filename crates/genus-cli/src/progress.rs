//! The observer of a terminal: a bar with ETA; what ends a command: Ctrl-C, a time budget.

use crate::output;
use genus::{Event, Observer, Stop, StopReason};
use indicatif::{HumanDuration, ProgressBar, ProgressState, ProgressStyle};
use std::io::IsTerminal;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

/// What ends this command: the first Ctrl-C, at which everything is saved, or the end of a time budget. The second Ctrl-C ends the
/// process.
pub fn stop(budget: Option<Duration>) -> anyhow::Result<Stop> {
    let stop = budget.map_or_else(Stop::new, |budget| Stop::new().within(budget));
    let asked = stop.clone();
    ctrlc::set_handler(move || {
        if asked.reason() == Some(StopReason::Interrupted) {
            std::process::exit(i32::from(crate::INTERRUPTED));
        }
        asked.request(StopReason::Interrupted);
        output::note("\nfinishing this step and saving; press Ctrl-C again to quit at once");
    })?;
    Ok(stop)
}

/// Shows how a fit goes.
pub struct Progress {
    bar: ProgressBar,
    start: Instant,
    spoken: Option<Instant>,
    valid: String,
}

impl Progress {
    pub fn new() -> Self {
        let bar =
            if std::io::stderr().is_terminal() { ProgressBar::new_spinner() } else { ProgressBar::hidden() };
        Self { bar, start: Instant::now(), spoken: None, valid: String::new() }
    }

    /// From now on so many things are counted, of which some are done.
    fn measure(&mut self, of: u64, done: u64) {
        if self.bar.is_hidden() {
            return;
        }
        self.bar.set_length(of);
        self.bar.set_position(done);
        self.bar.reset_eta();
        let style = "{bar:24} {pos}/{len} {per_sec} ETA {eta}{left}  {wide_msg}";
        if let Ok(style) = ProgressStyle::with_template(style) {
            // What is left of the budget, if there is one.
            let stop = Stop::current();
            let left = move |_: &ProgressState, out: &mut dyn std::fmt::Write| {
                if let Some(left) = stop.left() {
                    let _ = write!(out, ", {} of the time left", HumanDuration(left));
                }
            };
            self.bar.set_style(style.with_key("left", left));
        }
    }

    /// A line for a log file, where there is no bar.
    fn speak(&mut self, text: &str, often: Duration) {
        if !self.bar.is_hidden() {
            self.bar.set_message(output::harmless(text).into_owned());
        } else if self.spoken.is_none_or(|t| t.elapsed() >= often) {
            self.spoken = Some(Instant::now());
            output::note(format!("[{:7.1}s] {text}", self.start.elapsed().as_secs_f64()));
        }
    }
}

fn listed<'a>(parts: impl IntoIterator<Item = (&'a String, &'a f64)>) -> String {
    parts.into_iter().map(|(k, v)| format!("{k} {v:.4}")).collect::<Vec<_>>().join("  ")
}

impl Observer for Progress {
    fn on(&mut self, event: &Event) -> ControlFlow<StopReason> {
        match event {
            Event::Start { model, steps, resumed_at, parameters } => {
                if let Some(steps) = steps {
                    self.measure(*steps, *resumed_at);
                }
                let begins = if *resumed_at == 0 {
                    String::new()
                } else {
                    format!(", goes on after step {resumed_at}")
                };
                self.speak(&format!("{model}: {parameters} parameters{begins}"), Duration::ZERO);
            }
            Event::Step { step, parts } => {
                self.bar.set_position(*step);
                if let Some(loss) = parts.get("loss").filter(|_| step % 16 == 0 && !self.bar.is_hidden()) {
                    self.bar.set_message(format!("loss {loss:.4}  {}", self.valid));
                }
            }
            Event::Epoch { epoch, train, valid, best, .. } => {
                self.valid =
                    if valid.is_empty() { String::new() } else { format!("valid {}", listed(valid)) };
                let star = if *best { " *" } else { "" };
                let text = format!("epoch {epoch}  {}  {}{star}", listed(train), self.valid);
                self.speak(&text, Duration::from_secs(2));
            }
            Event::Validation { step, valid, best, .. } => {
                self.valid = format!("valid {}", listed(valid));
                let star = if *best { " *" } else { "" };
                self.speak(&format!("step {step}  {}{star}", self.valid), Duration::from_secs(2));
            }
            Event::Progress { what, done, of } => {
                if self.bar.length() != Some(*of) {
                    self.measure(*of, *done);
                }
                self.bar.set_position(*done);
                self.speak(&format!("{what} {done} of {of}"), Duration::from_secs(5));
            }
            Event::Warning { message } => {
                self.bar.suspend(|| output::note(format!("warning: {message}")));
            }
            Event::End { reason, .. } => {
                self.bar.finish_and_clear();
                self.spoken = None;
                self.speak(genus::session::reason(*reason), Duration::ZERO);
            }
            Event::Phase { name } if name != "train" => {
                if !self.bar.is_hidden() {
                    self.bar = ProgressBar::new_spinner();
                    self.bar.enable_steady_tick(Duration::from_millis(120));
                    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {elapsed}") {
                        self.bar.set_style(style);
                    }
                }
                self.spoken = None;
                self.speak(name, Duration::ZERO);
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
