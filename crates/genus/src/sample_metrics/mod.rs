//! Figures that compare draws with real rows: what a model without a density is judged by, and what says of others whether their
//! draws look like rows.
//!
//! Each stands beside its floor, the same figure of real rows in place of draws: a metric has no meaning without what it gives where
//! nothing is wrong. All sets have equally many rows, because most of these figures depend on the number.

pub mod columns;
pub mod copying;
pub mod coverage;
pub mod energy;
pub mod features;
pub mod frechet;
pub mod kernel;
pub mod sliced;
pub mod space;
pub mod two_sample;

pub(crate) mod classifier;

use crate::transform::Noise;
use crate::{Batch, Error, Measure, Model, Result, Schema, Seed, Shape, Split};
use classifier::Classifier;
pub(crate) use classifier::interval;
use columns::Columns;
use kernel::Kernel;
use serde::{Deserialize, Serialize};
use space::Space;

/// What rounding of products makes of a squared distance of 0, as a share of the mean square of rows.
const ROUNDING: f32 = 1e-6;

/// Fewest rows of each side.
pub const LEAST: usize = 20;

/// Which figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// Those that train no classifier.
    Quick,
    /// All.
    All,
}

/// A figure of draws, beside that of real rows in their place.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SampleMetric {
    /// Short name.
    pub name: String,
    /// Of draws.
    #[serde(with = "crate::number")]
    pub value: f64,
    /// Of real rows in place of draws, if that makes sense.
    #[serde(with = "crate::number::option")]
    pub floor: Option<f64>,
    /// Rows of each side.
    pub rows: u64,
    /// What is measured and how, in words.
    pub protocol: String,
}

/// What draws are compared with.
pub struct Sides<'a> {
    /// What rows are.
    pub schema: &'a Schema,
    /// Real rows that no training saw.
    pub held_out: &'a Split,
    /// Other real rows: those that a model was trained on, where there is one.
    pub train: &'a Split,
    /// Whether both were binarised, as a model of bits sees levels.
    pub binarized: bool,
}

/// Whether a model makes bits of levels.
pub fn binarizes(model: &dyn Model) -> bool {
    model.transform().is_some_and(|t| t.measure() == Measure::Binarized)
}

/// Real rows as a model sees them that makes bits of levels: its draws are no rows of levels. Others as they are.
///
/// # Errors
/// If a row is not in the model's domain, [`Error::Stopped`].
pub fn as_seen(model: &dyn Model, rows: &Split) -> Result<Split> {
    let Some(transform) = model.transform().filter(|_| binarizes(model)) else {
        return Ok(rows.clone());
    };
    let noise = Noise::Row(Seed::from(0).child("binarized"));
    let x = transform.inverse(&transform.forward(&rows.x, noise)?.0);
    Ok(Split { x, ..rows.clone() })
}

/// Rows chosen by chance, in an order of chance: the first half of a file may be of another kind than the second.
fn some(split: &Split, n: usize, seed: Seed) -> Split {
    let mut rows = seed.rng().permutation(split.x.rows());
    rows.truncate(n);
    split.select(&rows)
}

impl Sides<'_> {
    /// Rows of each side where at most so many are asked for.
    pub fn rows(&self, most: usize) -> usize {
        most.min(self.held_out.x.rows()).min(self.train.x.rows())
    }

    /// Figures of draws: all, or those that train no classifier. `heard` is told how many have been found, of how many.
    ///
    /// # Errors
    /// [`Error::Domain`] if there are fewer than [`LEAST`] rows on any side, draws are not finite, and [`Error::Stopped`].
    pub fn compare(
        &self,
        draws: &Split,
        which: Which,
        seed: Seed,
        heard: &mut dyn FnMut(u64, u64),
    ) -> Result<Vec<SampleMetric>> {
        let n = self.rows(draws.x.rows());
        if n < LEAST {
            return Err(Error::Domain(format!(
                "figures of draws need {LEAST} rows of each side at least: there are {} draws, {} held-out rows and {} others",
                draws.x.rows(),
                self.held_out.x.rows(),
                self.train.x.rows()
            )));
        }
        if let Some(r) = (0..draws.x.rows()).find(|r| draws.x.row(*r).iter().any(|v| !v.is_finite())) {
            return Err(Error::Domain(format!(
                "draw {r} is not finite; no figure says anything of such draws"
            )));
        }
        let of = |split: &Split, name: &str| some(split, n, seed.child(name));
        let (drawn, real, other) =
            (of(draws, "draws"), of(self.held_out, "held out"), of(self.train, "train"));
        let schema = self.schema;
        let rows = Space::rows(schema, &self.train.x);
        let best = Space::best(schema, &self.train.x);
        let points = |space: &Space| -> Result<[Batch; 3]> {
            Ok([
                space.points(schema, &drawn.x)?,
                space.points(schema, &real.x)?,
                space.points(schema, &other.x)?,
            ])
        };
        let raw = points(&rows)?;
        let seen = if matches!(best, Space::Features) { points(&best)? } else { raw.clone() };
        let of = if which == Which::All { FIGURES } else { FIGURES - BY_CLASSIFIER };
        let mut found = Found { all: Vec::new(), rows: n, of, binarized: self.binarized, heard };
        let [d, r, o] = &raw;
        let words = rows.words();
        found.pair("energy distance", words, [d, o], |x| energy::energy_distance(x, r))?;
        found.pair("sliced Wasserstein distance", words, [d, o], |x| {
            sliced::sliced_wasserstein(x, r, seed.child("slices"))
        })?;
        let [d, r, o] = &seen;
        let kernel = if matches!(best, Space::Features) { Kernel::Cubic } else { Kernel::median(r) };
        let words = best.words();
        let told = format!("MMD² under {}, {words}", kernel.words());
        found.pair("kernel distance", &told, [d, o], |x| kernel::kernel_distance(x, r, kernel))?;
        if n > r.width() && r.width() <= MOST_COLUMNS {
            found.pair("Fréchet distance", words, [d, o], |x| frechet::frechet_distance(x, r))?;
        }
        let [own, floor] = [coverage::coverage(d, r)?, coverage::coverage(o, r)?];
        let told = format!("{} neighbours, {words}", coverage::NEIGHBOURS);
        for (name, of) in [
            ("precision", (|c| c.precision) as fn(&coverage::Coverage) -> f64),
            ("recall", |c| c.recall),
            ("density", |c| c.density),
            ("coverage", |c| c.coverage),
        ] {
            found.put(name, of(&own), Some(of(&floor)), &told);
        }
        let [d, r, o] = &raw;
        let words = rows.words();
        let [share, stderr] = copying::copying(d, r, &rows.points(schema, &self.train.x)?)?;
        let told = format!(
            "± {stderr:.3}; share of pairs in which a draw is nearer to the {} other real rows (of the training, where there is a model) than a held-out row is; above ½ where draws are copies; {words}",
            self.train.x.rows()
        );
        found.put("copying", share, Some(0.5), &told);
        let all = [&self.held_out.x, &self.train.x];
        let same = [copying::copies(&drawn.x, all), copying::copies(&real.x, [&self.train.x; 2])];
        found.put("copies", same[0], Some(same[1]), "share that is one of the real rows, value for value");
        let twins = [copying::duplicates(d, r)?, copying::duplicates(o, r)?];
        found.put("duplicates", twins[0], Some(twins[1]), &format!("share of rows with a twin, {words}"));
        if let Shape::Flat(2..) = schema.domain.shape {
            let [own, floor] = [&drawn.x, &other.x].map(|x| Columns::compare(schema, &real.x, x));
            let (own, floor) = (own?, floor?);
            let told = |of: &str| format!("mean over {of}, 1 is best, as sdmetrics has it");
            found.put("column shapes", own.shape(), Some(floor.shape()), &told("columns"));
            found.put("pair trends", own.trend(), Some(floor.trend()), &told("pairs of columns"));
        }
        if which == Which::Quick {
            return Ok(found.all);
        }
        // Categories have a place each.
        let shape = match r.width() == schema.width() {
            true => schema.domain.shape,
            false => Shape::Flat(r.width()),
        };
        let test = |x: &Batch| two_sample::two_sample(x, r, &shape, seed.child("two-sample"));
        let [own, floor] = [test(d)?, test(o)?];
        let [low, high] = own.interval;
        let told = format!(
            "share told right of {} rows, 95 % interval {low:.3} to {high:.3}; ½ if draws cannot be told from rows; {words}",
            own.rows
        );
        found.put("two-sample accuracy", own.accuracy, Some(floor.accuracy), &told);
        self.by_class(&drawn, [&raw[0], &raw[1], &raw[2]], [&real, &other], &shape, seed, &mut found)?;
        Ok(found.all)
    }

    /// What labels tell, where real rows have them.
    fn by_class(
        &self,
        drawn: &Split,
        [d, r, o]: [&Batch; 3],
        [real, other]: [&Split; 2],
        shape: &Shape,
        seed: Seed,
        found: &mut Found<'_>,
    ) -> Result<()> {
        let classes = self.schema.classes().len();
        let (Some(labels), Some(others)) = (self.schema.labels(real), self.schema.labels(other)) else {
            return Ok(());
        };
        if classes < 2 {
            return Ok(());
        }
        let probe = Classifier::fit(o, shape, &others, classes, seed.child("probe"))?;
        let trained = probe.accuracy(r, &labels)?;
        let shares = |found: &[u32]| {
            let mut shares = vec![0.0; classes];
            found.iter().for_each(|c| shares[*c as usize] += 1.0 / found.len() as f64);
            shares
        };
        let truth = shares(&labels);
        let told = |x: &Batch| -> Result<Vec<f64>> { Ok(shares(&probe.classes_of(x)?)) };
        let (own, floor) = (told(d)?, told(r)?);
        let present =
            |of: &[f64]| of.iter().zip(&truth).filter(|(a, b)| **b > 0.0 && **a >= 0.2 * **b).count() as f64;
        let off = |of: &[f64]| 0.5 * of.iter().zip(&truth).map(|(a, b)| (a - b).abs()).sum::<f64>();
        let words =
            format!("by a classifier that finds the class of {:.1} % of held-out rows", 100.0 * trained);
        let some = truth.iter().filter(|t| **t > 0.0).count();
        let told = format!("of {some}, with a fifth of their real share at least, {words}");
        found.put("classes present", present(&own), Some(present(&floor)), &told);
        found.put(
            "class shares",
            off(&own),
            Some(off(&floor)),
            &format!("total variation from the real shares, {words}"),
        );
        if let Some(drawn) = self.schema.labels(drawn) {
            let synthetic = Classifier::fit(d, shape, &drawn, classes, seed.child("synthetic"))?;
            let accuracy = synthetic.accuracy(r, &labels)?;
            let [low, high] = interval(accuracy, r.rows());
            let told = format!(
                "accuracy on {} held-out rows of a classifier trained on draws, 95 % interval {low:.3} to {high:.3}, beside one trained on real rows",
                r.rows()
            );
            found.put("train on draws, test on rows", accuracy, Some(trained), &told);
        }
        Ok(())
    }
}

/// Figures as they are found.
struct Found<'a> {
    all: Vec<SampleMetric>,
    rows: usize,
    /// Most that there are to be.
    of: u64,
    binarized: bool,
    heard: &'a mut dyn FnMut(u64, u64),
}

/// Most figures that there are, and those of them that train a classifier.
const FIGURES: u64 = 17;
const BY_CLASSIFIER: u64 = 4;
/// Most columns of a covariance.
const MOST_COLUMNS: usize = 1024;

impl Found<'_> {
    fn put(&mut self, name: &str, value: f64, floor: Option<f64>, words: &str) {
        let bits = if self.binarized { ", real ones binarised as the model sees them" } else { "" };
        let protocol = format!("{} rows each{bits}, {words}", self.rows);
        self.all.push(SampleMetric { name: name.into(), value, floor, rows: self.rows as u64, protocol });
        (self.heard)(self.all.len() as u64, self.of);
    }

    fn pair(
        &mut self,
        name: &str,
        words: &str,
        of: [&Batch; 2],
        f: impl Fn(&Batch) -> Result<f64>,
    ) -> Result<()> {
        let [value, floor] = [f(of[0])?, f(of[1])?];
        self.put(name, value, Some(floor), words);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
