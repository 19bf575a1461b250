//! What is seen of a generator while it learns: its draws from one and the same noise, beside real rows.

use crate::sample_metrics::copying::duplicates;
use crate::sample_metrics::energy::{energy_distance, spread};
use crate::sample_metrics::space::Space;
use crate::transform::Transform;
use crate::{Batch, Dataset, Error, Result, Seed, State, Tensor};
use genus_core::train::Figures;

/// Most draws, and real rows beside them.
pub(super) const DRAWS: usize = 1000;
/// Draws of a film; of points of a plane there are as many as show where they lie.
const SHOWN: usize = 24;
const POINTS: usize = 500;
/// Most frames of a film.
const FRAMES: usize = 24;

/// The figure that decides what is kept.
pub(super) const WATCHED: &str = "energy distance";

/// Real rows, and what has been seen of draws beside them.
pub(super) struct Judge {
    transform: Transform,
    space: Space,
    /// Points of real rows that draws are compared with.
    real: Batch,
    /// Mean distance between two of these.
    spread: f64,
    /// Share of these with a twin.
    twins: f64,
    /// Points of labelled rows with their classes, of which the nearest says what a draw is of.
    probe: Option<(Batch, Vec<u32>, usize)>,
    film: Vec<Batch>,
    /// A frame is kept at every so many looks, and how many there were.
    every: u64,
    looks: u64,
}

/// What was found at one look.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Look {
    /// Share of draws with a twin, less that of real rows.
    pub twins: f64,
    /// Mean distance of two draws, over that of two real rows.
    pub variety: f64,
}

impl Judge {
    /// Beside validation rows, or for want of such training rows.
    ///
    /// # Errors
    /// [`Error::Stopped`].
    pub fn new(transform: &Transform, data: &Dataset, seed: Seed) -> Result<Self> {
        let schema = &data.schema;
        let some = |split: &genus_core::Split, name: &str| {
            let mut rows = seed.child(name).rng().permutation(split.x.rows());
            rows.truncate(DRAWS);
            split.select(&rows)
        };
        let space = Space::best(schema, &data.train.x);
        let beside = some(data.valid.as_ref().unwrap_or(&data.train), "judged");
        let real = space.points(schema, &beside.x)?;
        let labelled = some(&data.train, "probe");
        let classes = schema.classes().len();
        let probe = match schema.labels(&labelled).filter(|_| classes > 1) {
            Some(labels) => Some((space.points(schema, &labelled.x)?, labels, classes)),
            None => None,
        };
        let [apart, twins] =
            if real.rows() > 1 { [spread(&real)?, duplicates(&real, &real)?] } else { [0.0; 2] };
        Ok(Self {
            transform: transform.clone(),
            space,
            real,
            spread: apart,
            twins,
            probe,
            film: Vec::new(),
            every: 1,
            looks: 0,
        })
    }

    /// Columns of draws as the model works on them.
    pub fn width(&self) -> usize {
        self.transform.target().width()
    }

    /// Figures of draws, as the model works on them.
    ///
    /// # Errors
    /// [`Error::Stopped`].
    pub fn look(&mut self, draws: &Batch) -> Result<(Figures, Option<Look>)> {
        if !draws.data().iter().all(|v| v.is_finite()) {
            return Ok((Figures::from([(WATCHED.into(), f64::NAN)]), None));
        }
        let rows = self.transform.inverse(draws);
        let found = self.compare(&rows)?;
        // Whoever is stopped while it looks looks again, and has seen nothing yet.
        self.keep(&rows);
        Ok(found)
    }

    fn compare(&self, rows: &Batch) -> Result<(Figures, Option<Look>)> {
        if self.real.rows() < 2 || rows.rows() < 2 {
            return Ok((Figures::new(), None));
        }
        let points = self.space.points(self.transform.source(), rows)?;
        let distance = energy_distance(&points, &self.real)?;
        let twins = duplicates(&points, &self.real)?;
        let look = Look {
            twins: twins - self.twins,
            variety: if self.spread > 0.0 { spread(&points)? / self.spread } else { 1.0 },
        };
        let mut figures = Figures::from([
            (WATCHED.into(), distance),
            ("duplicates".into(), twins),
            ("variety".into(), look.variety),
        ]);
        if let Some((rows, labels, classes)) = &self.probe {
            let mut counts = vec![0usize; *classes];
            for (at, _) in crate::metrics::nearest(&points, rows)? {
                counts[labels[at] as usize] += 1;
            }
            let n = points.rows() as f64;
            let entropy: f64 =
                counts.iter().filter(|c| **c > 0).map(|c| *c as f64 / n).map(|p| -p * p.ln()).sum();
            figures.insert("classes".into(), entropy.exp());
        }
        Ok((figures, Some(look)))
    }

    /// Adds a frame to the film, where one is due.
    fn keep(&mut self, rows: &Batch) {
        if self.looks.is_multiple_of(self.every) {
            self.film.push(rows.slice(0, if rows.width() == 2 { POINTS } else { SHOWN }));
        }
        self.looks += 1;
        if self.film.len() > FRAMES {
            // The film stays short by leaving out every other frame.
            let mut at = 0;
            self.film.retain(|_| {
                at += 1;
                at % 2 == 1
            });
            self.every *= 2;
        }
    }

    /// The film so far: frames of equally many rows.
    pub fn film(&self) -> &[Batch] {
        &self.film
    }

    /// What goes on from look to look.
    pub fn state(&self) -> State {
        let mut state = State::default();
        state.tensors.insert("looks".into(), Tensor::u64(&[2], vec![self.looks, self.every]));
        for (i, frame) in self.film.iter().enumerate() {
            state.tensors.insert(format!("frame.{i}"), Tensor::from(frame));
        }
        state
    }

    /// What [`state`](Self::state) gave.
    ///
    /// # Errors
    /// [`Error::Run`] if it does not fit.
    pub fn load(&mut self, state: &State) -> Result<()> {
        let looks = state.u64("looks", &[2])?;
        [self.looks, self.every] = [looks[0], looks[1].max(1)];
        self.film.clear();
        while let Some(frame) = state.tensors.get(&format!("frame.{}", self.film.len())) {
            let width = self.transform.source().width();
            let damaged = || Error::Run("a frame of the checkpoint's film does not fit its rows".into());
            let [rows, columns] = frame.shape[..] else { return Err(damaged()) };
            let values = frame
                .as_f32()
                .filter(|v| columns == width && v.len() == rows * columns)
                .ok_or_else(damaged)?;
            self.film.push(Batch::new(values.to_vec(), width)?);
        }
        Ok(())
    }
}
