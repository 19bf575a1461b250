//! What is computed of a model after its fit: figures for tables, and exhibits for a report.

use crate::panel::Exhibit;
use crate::run::Score;
use crate::{Dataset, Domain, Figure, Model, Result, Seed, Shape, Split, Support};

/// A fitted model with the data that it was fitted to.
#[derive(Clone, Copy)]
pub struct Trained<'a> {
    /// The model.
    pub model: &'a dyn Model,
    /// All splits.
    pub data: &'a Dataset,
    /// Scores of the test rows, if the model scores and there are such.
    pub test: Option<&'a Scored>,
}

/// Scores of some rows of a split.
#[derive(Debug, Clone, PartialEq)]
pub struct Scored {
    /// What a summary shows.
    pub score: Score,
    /// Which rows were scored, in their own order.
    pub rows: Vec<usize>,
    /// Log-probability of each of these, nats.
    pub nats: Vec<f64>,
}

impl<'a> Trained<'a> {
    /// The rows that were kept back: test rows, else validation rows, else, for want of others, training rows.
    pub fn held_out(&self) -> &'a Split {
        self.data.test.as_ref().or(self.data.valid.as_ref()).unwrap_or(&self.data.train)
    }

    /// What rows are.
    pub fn domain(&self) -> &'a Domain {
        self.data.domain()
    }

    /// Whether rows are images.
    pub fn images(&self) -> bool {
        matches!(self.data.domain().shape, Shape::Image { .. })
    }

    /// Whether rows are points of a plane.
    pub fn plane(&self) -> bool {
        self.data.domain().shape == Shape::Flat(2) && self.data.domain().support == Support::Real
    }
}

/// What a diagnostic found.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Found {
    /// For tables.
    pub figures: Vec<Figure>,
    /// For the report.
    pub exhibits: Vec<Exhibit>,
}

impl From<Exhibit> for Found {
    fn from(exhibit: Exhibit) -> Self {
        Self { exhibits: vec![exhibit], ..Self::default() }
    }
}

/// Something to be found out about a fitted model: samples beside real rows, how a chain mixes, which rows are unlikely.
///
/// A training runs those that apply, one after the other, each for a share of the time that is left.
pub trait Diagnostic: Sync {
    /// Short name, which is also that of its random stream.
    fn name(&self) -> &'static str;

    /// What it finds, in words that follow "there was no time for".
    fn what(&self) -> &'static str;

    /// Whether there is anything to be found out about this model on these data.
    fn applies(&self, of: &Trained<'_>) -> bool;

    /// Finds it out. What takes long hears [`Stop::current`](crate::Stop::current).
    ///
    /// # Errors
    /// Whatever the model meets on rows of its domain, and [`Error::Stopped`](crate::Error::Stopped).
    fn find(&self, of: &Trained<'_>, seed: Seed) -> Result<Found>;
}
