//! One error type; each message names what was wrong and what to do about it.

use crate::{Advice, StopReason};
use std::path::PathBuf;

/// Result with [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Everything that can go wrong in Genus, sorted by who can mend it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A configuration key is unknown or its value is out of range.
    #[error("config: {field}: {message}")]
    Config {
        /// Dotted path of the key.
        field: String,
        /// What is wrong and what is allowed.
        message: String,
    },
    /// Values lie outside the support that a model or a transform works on.
    #[error("data: {0}")]
    Domain(String),
    /// An array has another shape than the one needed.
    #[error("shape of {what}: expected {expected}, got {got}")]
    Shape {
        /// Which array.
        what: String,
        /// The shape needed.
        expected: String,
        /// The shape found.
        got: String,
    },
    /// A file's content is not what its format promises.
    #[error("{}: {position}: {message}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// Where in the file: `line 3, column 2`, `byte 16`, `tensor "w"` …
        position: String,
        /// What is wrong and the remedy.
        message: String,
    },
    /// A computation left the finite numbers.
    #[error("{what} is not finite at step {step}; {remedy}")]
    Numerical {
        /// What became NaN or infinite.
        what: String,
        /// Training step, 0 outside training.
        step: u64,
        /// What usually helps.
        remedy: String,
    },
    /// The model has no such capability.
    #[error("{model} cannot {capability}; {remedy}")]
    Unsupported {
        /// Registry name of the model.
        model: String,
        /// What was asked of it.
        capability: String,
        /// Which models can, or what to do instead.
        remedy: String,
    },
    /// The work was asked to end before it was done.
    #[error("{}", match .0 {
        StopReason::TimeBudget => "the time budget was used up before this was done; allow more time",
        _ => "interrupted",
    })]
    Stopped(StopReason),
    /// A folder or file is not in the state that the request needs.
    #[error("{0}")]
    Run(String),
    /// Another error with what to do about it.
    #[error("{error}; {advice}")]
    Advised {
        /// What went wrong.
        error: Box<Error>,
        /// What to do.
        advice: Advice,
    },
    /// The operating system refused.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// Verb phrase: `read`, `write`, `create` …
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's own words.
        source: std::io::Error,
    },
}

impl Error {
    /// This error with what to do about it.
    #[must_use]
    pub fn advise(self, advice: Advice) -> Self {
        Self::Advised { error: Box::new(self), advice }
    }

    /// This error about data with the place where they are, such as a split.
    #[must_use]
    pub fn within(self, place: impl std::fmt::Display) -> Self {
        match self {
            Self::Advised { error, advice } => error.within(place).advise(advice),
            Self::Domain(message) => Self::Domain(format!("{place}: {message}")),
            other => Self::Domain(format!("{place}: {other}")),
        }
    }

    /// What went wrong, without what to do about it.
    pub fn root(&self) -> &Self {
        match self {
            Self::Advised { error, .. } => error.root(),
            other => other,
        }
    }

    /// An [`Error::Config`].
    pub fn config(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Config { field: field.into(), message: message.into() }
    }

    /// An [`Error::Format`].
    pub fn format(path: impl Into<PathBuf>, position: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Format { path: path.into(), position: position.into(), message: message.into() }
    }

    /// An [`Error::Shape`].
    pub fn shape(
        what: impl Into<String>,
        expected: impl std::fmt::Display,
        got: impl std::fmt::Display,
    ) -> Self {
        Self::Shape { what: what.into(), expected: expected.to_string(), got: got.to_string() }
    }

    /// Wraps an I/O error: `.map_err(Error::io("read", path))`.
    pub fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }
}
