//! The observer of a terminal: a bar with ETA, Ctrl-C, a time budget.

use crate::output;
use genus::{Event, Observer, StopReason};
use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// From now on the first Ctrl-C asks the training to finish its step and save, the second ends the process.
pub fn catch_interrupt() -> anyhow::Result<()> {
    ctrlc::set_handler(|| {
        if INTERRUPTED.swap(true, Ordering::SeqCst) {
            std::process::exit(i32::from(crate::INTERRUPTED));
        }
        output::note("\nfinishing this step and saving; press Ctrl-C again to quit at once");
    })?;
    Ok(())
}

/// Shows how a fit goes, and ends it on Ctrl-C or when its time is up.
pub struct Progress {
    bar: ProgressBar,
    budget: Option<Duration>,
    start: Instant,
    spoken: Option<Instant>,
    valid: String,
}

impl Progress {
    pub fn new(budget: Option<Duration>) -> Self {
        let bar =
            if std::io::stderr().is_terminal() { ProgressBar::new_spinner() } else { ProgressBar::hidden() };
        Self { bar, budget, start: Instant::now(), spoken: None, valid: String::new() }
    }

    /// A line for a log file, where there is no bar.
    fn speak(&mut self, text: &str, often: Duration) {
        if !self.bar.is_hidden() {
            self.bar.set_message(text.to_owned());
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
                if let (Some(steps), false) = (steps, self.bar.is_hidden()) {
                    self.bar.set_length(*steps);
                    self.bar.set_position(*resumed_at);
                    self.bar.reset_eta();
                    let style = "{bar:24} {pos}/{len} {per_sec} ETA {eta}  {wide_msg}";
                    if let Ok(style) = ProgressStyle::with_template(style) {
                        self.bar.set_style(style);
                    }
                }
                self.speak(&format!("{model}: {parameters} parameters"), Duration::ZERO);
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
        if INTERRUPTED.load(Ordering::SeqCst) {
            return ControlFlow::Break(StopReason::Interrupted);
        }
        if self.budget.is_some_and(|b| self.start.elapsed() >= b) {
            return ControlFlow::Break(StopReason::TimeBudget);
        }
        ControlFlow::Continue(())
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
