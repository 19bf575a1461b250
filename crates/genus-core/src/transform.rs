//! From data to what a model works on, and back.
//!
//! A transform belongs to a fitted model, so that the model scores and samples *data*: with y = T(x),
//! log p(x) = log p(y) + log |∂y/∂x|. Steps:
//!
//! | step | from → to | forward | log-determinant per value |
//! |---|---|---|---|
//! | threshold | levels → binary | v > top/2 | 0: the number is the probability of the binarised row |
//! | bernoulli | levels → binary | 1 with probability v/top | 0: idem |
//! | dequantize | levels → \[0, 1) | (v + u)/L, u uniform | −ln L, and the score becomes a lower bound (Theis et al. 2016) |
//! | logit | \[0, 1\] → real | logit(α + (1 − 2α) y) | ln(1 − 2α) − ln s − ln(1 − s) (Dinh et al. 2017) |
//! | standardize | real → real | (y − μ)/σ | −ln σ |
//!
//! Noise drawn while scoring depends on the row's values and the seed alone, never on the rows around it.

use crate::math::sigmoid;
use crate::{
    Advice, Batch, Domain, Error, Evidence, EvidenceKind, Measure, Result, Rng, Schema, Seed, Stop, Support,
};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// How levels become bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Binarize {
    /// 1 where the value is above half of the largest.
    #[default]
    Threshold,
    /// 1 with probability value/largest, drawn once per row.
    Fixed,
    /// 1 with probability value/largest, drawn anew at every presentation in training; scores draw once per row and seed.
    Dynamic,
}

/// One invertible step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Step {
    /// Levels to bits by comparison.
    Threshold {
        /// Largest level.
        top: f32,
    },
    /// Levels to bits by chance.
    Bernoulli {
        /// Largest level.
        top: f32,
        /// Draw anew at every presentation in training.
        dynamic: bool,
    },
    /// Levels to the unit interval.
    Dequantize {
        /// Number of levels.
        levels: u32,
    },
    /// The unit interval to the real line.
    Logit {
        /// Distance kept from 0 and 1.
        alpha: f64,
    },
    /// Zero mean and unit variance per column.
    Standardize {
        /// Means of the training rows.
        mean: Vec<f64>,
        /// Standard deviations of the training rows; 1 for a constant column.
        std: Vec<f64>,
    },
}

/// Where the noise of a forward pass comes from.
#[derive(Debug)]
pub enum Noise<'a> {
    /// From a stream, row after row: training.
    Stream(&'a mut Rng),
    /// From each row's own values: scoring.
    Row(Seed),
}

/// A chain of steps from data to the domain that a model works on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Transform {
    source: Schema,
    target: Domain,
    steps: Vec<Step>,
    /// Stream of the draws that are made once per row.
    fixed: u64,
    /// Rows may lack values: NaN stays what it is.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    missing: bool,
}

/// What the real-valued chain is made of.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct RealSteps {
    /// α of the logit step; none leaves the step out. Discrete data only.
    pub logit: Option<f64>,
    /// Standardise columns.
    pub standardize: bool,
}

impl Transform {
    /// Leaves the data as they are.
    pub fn identity(source: impl Into<Schema>) -> Self {
        let source = source.into();
        Self { target: source.domain.clone(), source, steps: Vec::new(), fixed: 0, missing: false }
    }

    /// To binary rows: nothing to do for binary data, [`Binarize`] for levels.
    ///
    /// # Errors
    /// [`Error::Domain`] for real or mixed data.
    pub fn to_binary(source: impl Into<Schema>, how: Binarize, fixed: u64) -> Result<Self> {
        let source = source.into();
        let steps = match (&source.domain.support, how) {
            (Support::Binary, _) => Vec::new(),
            (Support::Discrete { levels }, how) => {
                let top = (levels - 1) as f32;
                vec![match how {
                    Binarize::Threshold => Step::Threshold { top },
                    Binarize::Fixed => Step::Bernoulli { top, dynamic: false },
                    Binarize::Dynamic => Step::Bernoulli { top, dynamic: true },
                }]
            }
            (Support::Real | Support::Mixed(_), _) => {
                let message = format!(
                    "this model needs binary rows or levels such as pixel bytes, and the data are {}; choose a model for real values, or binarise the columns first",
                    source.domain
                );
                return Err(Error::Domain(message).advise(Advice::ListModels));
            }
        };
        let target = Domain { support: Support::Binary, shape: source.domain.shape };
        Ok(Self { source, target, steps, fixed, missing: false })
    }

    /// To real rows: dequantises levels, then the chosen steps, fitted to the training rows `x`.
    ///
    /// # Errors
    /// [`Error::Domain`] for mixed data, or for a logit of data that are not levels.
    pub fn to_real(source: impl Into<Schema>, want: RealSteps, x: &Batch, fixed: u64) -> Result<Self> {
        let (source, mut steps) = (source.into(), Vec::new());
        match &source.domain.support {
            Support::Binary => steps.push(Step::Dequantize { levels: 2 }),
            Support::Discrete { levels } => steps.push(Step::Dequantize { levels: *levels }),
            Support::Real => {}
            Support::Mixed(_) => {
                return Err(Error::Domain(format!(
                    "this model needs numbers in every column, and the data are {}; leave out or encode the text columns",
                    source.domain
                )));
            }
        }
        if let Some(alpha) = want.logit {
            if steps.is_empty() {
                return Err(Error::config(
                    "logit",
                    "only levels such as pixel bytes lie in a known interval; leave `logit` out for real data",
                ));
            }
            if !(alpha > 0.0 && alpha < 0.5) {
                return Err(Error::config(
                    "logit",
                    format!("{alpha} is out of range; α must be above 0 and below 0.5"),
                ));
            }
            steps.push(Step::Logit { alpha });
        }
        let target = Domain { support: Support::Real, shape: source.domain.shape };
        let mut chain = Self { source, target, steps, fixed, missing: false };
        if want.standardize {
            // What is there of a column has its moments, whether values may be missing or not.
            chain.source.check(x, true)?;
            // Noise of its own for each row: equal rows with equal noise would have no spread.
            let noise = &mut Seed::from(fixed).child("standardize").rng();
            let (y, _) = chain.forward_checked(x, Noise::Stream(noise))?;
            let (mean, std) = moments(&y);
            chain.steps.push(Step::Standardize { mean, std });
        }
        Ok(chain)
    }

    /// The same for rows that may lack values: NaN stands for a missing one, stays what it is, and has no part in log-determinants.
    #[must_use]
    pub fn with_missing(self) -> Self {
        Self { missing: true, ..self }
    }

    /// Whether rows may lack values.
    pub fn takes_missing(&self) -> bool {
        self.missing
    }

    /// As it is, and then divided by `unit`: a number that lies one unit from 0 lies at 1.
    #[must_use]
    pub fn in_units_of(mut self, unit: f64) -> Self {
        match self.steps.last_mut() {
            Some(Step::Standardize { std, .. }) => {
                std.iter_mut().for_each(|s| *s *= unit);
            }
            _ => {
                let width = self.source.width();
                self.steps.push(Step::Standardize { mean: vec![0.0; width], std: vec![unit; width] });
            }
        }
        self
    }

    /// From the unit interval, where a chain of levels ends, to −1 … 1.
    #[must_use]
    pub fn around_zero(mut self) -> Self {
        let width = self.source.width();
        self.steps.push(Step::Standardize { mean: vec![0.5; width], std: vec![0.5; width] });
        self
    }

    /// Checks a chain that comes from a file.
    ///
    /// # Errors
    /// [`Error::Run`] if its parts do not belong together.
    pub fn check(&self) -> Result<()> {
        self.source.check_parts()?;
        Schema::from(&self.target).check_parts()?;
        let width = self.source.width();
        let fits = |step: &Step| match step {
            Step::Threshold { top } | Step::Bernoulli { top, .. } => *top > 0.0 && top.is_finite(),
            Step::Dequantize { levels } => (2..=65_536).contains(levels),
            Step::Logit { alpha } => *alpha > 0.0 && *alpha < 0.5,
            Step::Standardize { mean, std } => {
                mean.len() == width
                    && std.len() == width
                    && mean.iter().all(|m| m.is_finite())
                    && std.iter().all(|s| *s > 0.0 && s.is_finite())
            }
        };
        if self.target.shape == self.source.domain.shape && self.steps.iter().all(fits) {
            return Ok(());
        }
        Err(Error::Run("the model file's transform does not fit its rows; the file is damaged".into()))
    }

    /// The same of rows alone, which are given nothing and have no class.
    #[must_use]
    pub fn alone(&self) -> Self {
        Self { source: self.source.alone(), ..self.clone() }
    }

    /// The data.
    pub fn source(&self) -> &Schema {
        &self.source
    }

    /// What the model works on.
    pub fn target(&self) -> &Domain {
        &self.target
    }

    /// Whether training rows must be transformed anew at every presentation.
    pub fn is_random(&self) -> bool {
        self.steps
            .iter()
            .any(|s| matches!(s, Step::Bernoulli { dynamic: true, .. } | Step::Dequantize { .. }))
    }

    /// The measure that a score refers to.
    pub fn measure(&self) -> Measure {
        let binarized =
            self.steps.iter().any(|s| matches!(s, Step::Threshold { .. } | Step::Bernoulli { .. }));
        if binarized { Measure::Binarized } else { self.source.domain.measure() }
    }

    /// What becomes of the evidence of the model's own number.
    pub fn evidence(&self, own: Evidence) -> Evidence {
        match own.kind {
            EvidenceKind::Exact if self.dequantizes() => own.of_kind(EvidenceKind::LowerBound),
            _ => own,
        }
    }

    /// Whether noise is put between levels.
    pub fn dequantizes(&self) -> bool {
        self.steps.iter().any(|s| matches!(s, Step::Dequantize { .. }))
    }

    /// log |det| of what comes after a logit, nats, which is the same for every row: added to log p of a row that the model works on, it gives
    /// log p in logit space. None without a logit.
    pub fn log_det_after_logit(&self) -> Option<f64> {
        let at = self.steps.iter().position(|s| matches!(s, Step::Logit { .. }))?;
        let of = |step: &Step| match step {
            Step::Standardize { std, .. } => std.iter().map(|s| -libm::log(*s)).sum(),
            _ => 0.0,
        };
        Some(self.steps[at + 1..].iter().map(of).sum())
    }

    /// The steps in words, for protocols; empty if there are none.
    pub fn protocol(&self) -> String {
        let words: Vec<String> = self
            .steps
            .iter()
            .map(|s| match s {
                Step::Threshold { .. } => "binarised at half of the top level".into(),
                Step::Bernoulli { dynamic: false, .. } => "binarised by chance, once per row".into(),
                Step::Bernoulli { dynamic: true, .. } => {
                    "binarised by chance, anew at each training presentation".into()
                }
                Step::Dequantize { levels } => format!("dequantised (v + u)/{levels}"),
                Step::Logit { alpha } => format!("logit α = {alpha}"),
                Step::Standardize { .. } => "standardised (Jacobian included)".into(),
            })
            .collect();
        words.join(", ")
    }

    /// Data to the model's domain, with log |∂y/∂x| per row, nats.
    ///
    /// # Errors
    /// [`Error::Shape`] or [`Error::Domain`] if a row is not in the source domain.
    pub fn forward(&self, x: &Batch, noise: Noise<'_>) -> Result<(Batch, Vec<f64>)> {
        self.source.check(x, self.missing)?;
        self.forward_checked(x, noise)
    }

    /// As [`forward`](Self::forward), with the middle of each level in place of noise and without log-determinants.
    ///
    /// # Errors
    /// As there.
    pub fn forward_at_middles(&self, x: &Batch) -> Result<Batch> {
        let Some(Step::Dequantize { levels }) = self.steps.first() else {
            return Ok(self.forward(x, Noise::Row(Seed::from(0)))?.0);
        };
        self.source.check(x, self.missing)?;
        let middles = Batch::from_fn(x.rows(), x.width(), |r, c| (x.row(r)[c] + 0.5) / *levels as f32);
        let rest = Self {
            source: Schema::from(Domain { support: Support::Real, shape: self.target.shape }),
            steps: self.steps[1..].to_vec(),
            ..self.clone()
        };
        Ok(rest.forward_checked(&middles, Noise::Row(Seed::from(0)))?.0)
    }

    /// As [`forward`](Self::forward), of rows that are known to be in the source domain; of others nothing that means anything.
    ///
    /// # Errors
    /// [`Error::Stopped`].
    pub fn forward_checked(&self, x: &Batch, mut noise: Noise<'_>) -> Result<(Batch, Vec<f64>)> {
        let stop = Stop::current();
        let mut y = x.clone();
        let mut log_det = vec![0.0; x.rows()];
        for (k, step) in self.steps.iter().enumerate() {
            // Draws that are frozen with the model ignore both the caller's seed and its stream.
            let frozen = matches!(step, Step::Bernoulli { dynamic: false, .. });
            let draws = matches!(step, Step::Bernoulli { .. } | Step::Dequantize { .. });
            for (r, row_det) in log_det.iter_mut().enumerate() {
                if r.is_multiple_of(256) {
                    stop.check()?;
                }
                let mut own;
                let rng = match &mut noise {
                    // Hashing a row costs more than most steps.
                    _ if !draws => None,
                    Noise::Stream(rng) if !frozen => Some(&mut **rng),
                    Noise::Row(seed) if !frozen => {
                        own = seed.index(k as u64).row(x.row(r)).rng();
                        Some(&mut own)
                    }
                    _ => {
                        own = Seed::from(self.fixed).index(k as u64).row(x.row(r)).rng();
                        Some(&mut own)
                    }
                };
                let row = y.row_mut(r);
                match (step, rng) {
                    (Step::Threshold { top }, _) => {
                        let there = row.iter_mut().filter(|v| !v.is_nan());
                        there.for_each(|v| *v = f32::from(*v > 0.5 * top));
                    }
                    (Step::Bernoulli { top, .. }, Some(rng)) => {
                        for v in row.iter_mut() {
                            let bit = f32::from(rng.uniform() * top < *v);
                            *v = if v.is_nan() { *v } else { bit };
                        }
                    }
                    (Step::Dequantize { levels }, Some(rng)) => {
                        let l = *levels as f32;
                        // Rounding could carry (v + u)/L into the next level, or below its own.
                        for v in row.iter_mut() {
                            let (mut y, level) = ((*v + rng.uniform()) / l, *v);
                            while (y * l).floor() > level {
                                y = y.next_down();
                            }
                            while (y * l).floor() < level {
                                y = y.next_up();
                            }
                            *v = y;
                        }
                        let there = row.iter().filter(|v| !v.is_nan()).count();
                        *row_det -= there as f64 * libm::log(f64::from(*levels));
                    }
                    (Step::Bernoulli { .. } | Step::Dequantize { .. }, None) => {
                        unreachable!("these steps draw")
                    }
                    (Step::Logit { alpha }, _) => {
                        for v in row.iter_mut().filter(|v| !v.is_nan()) {
                            let s = alpha + (1.0 - 2.0 * alpha) * f64::from(*v);
                            *row_det += libm::log1p(-2.0 * alpha) - libm::log(s) - libm::log1p(-s);
                            *v = (libm::log(s) - libm::log1p(-s)) as f32;
                        }
                    }
                    (Step::Standardize { mean, std }, _) => {
                        let cells = row.iter_mut().zip(mean).zip(std);
                        for ((v, m), s) in cells.filter(|((v, _), _)| !v.is_nan()) {
                            *v = ((f64::from(*v) - m) / s) as f32;
                            *row_det -= libm::log(*s);
                        }
                    }
                }
            }
        }
        Ok((y, log_det))
    }

    /// The model's domain to data. For draws: the result is in the source domain.
    pub fn inverse(&self, y: &Batch) -> Batch {
        self.back(y, |y, levels| (y * levels).floor().clamp(0.0, levels - 1.0))
    }

    /// As [`inverse`](Self::inverse) for means: a probability becomes a level in between, not a bit.
    pub fn inverse_mean(&self, y: &Batch) -> Batch {
        self.back(y, |y, levels| (y * levels - 0.5).clamp(0.0, levels - 1.0))
    }

    fn back(&self, y: &Batch, level: impl Fn(f32, f32) -> f32) -> Batch {
        let mut x = y.clone();
        let width = x.width();
        for step in self.steps.iter().rev() {
            for (i, v) in x.data_mut().iter_mut().enumerate() {
                *v = match step {
                    Step::Threshold { top } | Step::Bernoulli { top, .. } => *v * top,
                    Step::Dequantize { levels } => level(*v, *levels as f32),
                    Step::Logit { alpha } => {
                        ((sigmoid(f64::from(*v)) - alpha) / (1.0 - 2.0 * alpha)).clamp(0.0, 1.0) as f32
                    }
                    Step::Standardize { mean, std } => {
                        (f64::from(*v) * std[i % width] + mean[i % width]) as f32
                    }
                };
            }
        }
        x
    }
}

/// Rows whose sum is one term of a moment, so that the sums do not depend on threads.
const TERM: usize = 1024;

/// Sums over rows of what each value gives beside a number of its column.
fn column_sums<T: Copy + Sync>(x: &Batch, beside: &[T], of: impl Fn(f32, T) -> f64 + Sync) -> Vec<f64> {
    let d = x.width();
    let terms = x.data().par_chunks((TERM * d).max(1)).map(|rows| {
        let mut sum = vec![0f64; d];
        for row in rows.chunks_exact(d) {
            sum.iter_mut().zip(row).zip(beside).for_each(|((s, v), b)| *s += of(*v, *b));
        }
        sum
    });
    let terms: Vec<Vec<f64>> = terms.collect();
    (0..d).map(|c| terms.iter().map(|t| t[c]).sum()).collect()
}

/// Mean of each column, of the values that are there.
pub fn means(x: &Batch) -> Vec<f64> {
    means_and_counts(x).0
}

/// Mean of each column, and how many values are there.
fn means_and_counts(x: &Batch) -> (Vec<f64>, Vec<f64>) {
    let zeros = vec![0.0; x.width()];
    let there = |v: f32, of: f64| if v.is_nan() { 0.0 } else { of };
    let (mut sums, mut counts) =
        (column_sums(x, &zeros, |v, _| f64::from(v)), vec![x.rows() as f64; x.width()]);
    if sums.iter().any(|s| s.is_nan()) {
        counts = column_sums(x, &zeros, |v, _| there(v, 1.0));
        sums = column_sums(x, &zeros, |v, _| there(v, f64::from(v)));
    }
    (sums.iter().zip(&counts).map(|(s, n)| s / n.max(1.0)).collect(), counts)
}

/// Mean and standard deviation (1/N) per column, 1 for a constant column; of N values that are there where some are missing.
pub fn moments(x: &Batch) -> (Vec<f64>, Vec<f64>) {
    let d = x.width();
    let there = |v: f32, of: f64| if v.is_nan() { 0.0 } else { of };
    let (mean, counts) = means_and_counts(x);
    let squares = column_sums(x, &mean, |v, m| there(v, (f64::from(v) - m).powi(2)));
    // The mean of a constant column is off by rounding, and its variance then tiny but not zero: look at the values instead.
    let first: Vec<f32> =
        (0..d).map(|c| x.iter().map(|row| row[c]).find(|v| !v.is_nan()).unwrap_or_default()).collect();
    let others = column_sums(x, &first, |v, first| there(v, f64::from(u8::from(v != first))));
    let deviation = |((s, n), o): ((&f64, &f64), f64)| if o == 0.0 { 1.0 } else { (s / n).sqrt() };
    let std = squares.iter().zip(&counts).zip(others).map(deviation).collect();
    (mean, std)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Shape;

    fn bytes(levels: u32, d: usize) -> Domain {
        Domain { support: Support::Discrete { levels }, shape: Shape::Flat(d) }
    }

    #[test]
    fn draws_come_back_as_the_same_data() {
        let x = Batch::from_fn(50, 4, |r, c| ((r * 7 + c * 91) % 256) as f32);
        let t = Transform::to_real(bytes(256, 4), RealSteps { logit: Some(1e-6), standardize: true }, &x, 3)
            .unwrap();
        let (y, _) = t.forward(&x, Noise::Row(Seed::from(5))).unwrap();
        assert_eq!(t.inverse(&y), x);
        let b = Transform::to_binary(bytes(256, 4), Binarize::Threshold, 0).unwrap();
        let (z, det) = b.forward(&x, Noise::Row(Seed::from(5))).unwrap();
        assert!(det.iter().all(|d| *d == 0.0));
        let (again, _) = b.forward(&b.inverse(&z), Noise::Row(Seed::from(6))).unwrap();
        assert_eq!(again, z);
    }

    /// d y/d x by central differences in each step's own real argument.
    #[test]
    fn log_determinants_match_finite_differences() {
        let x = Batch::new(vec![10.0, 250.0, 3.0, 100.0], 2).unwrap();
        let t = Transform::to_real(bytes(256, 2), RealSteps { logit: Some(0.05), standardize: true }, &x, 1)
            .unwrap();
        let (y, det) = t.forward(&x, Noise::Row(Seed::from(1))).unwrap();
        let Step::Standardize { mean, std } = &t.steps[2] else { panic!("third step") };
        for (r, det) in det.iter().enumerate() {
            let mut want = 0.0;
            for c in 0..2 {
                let f = |unit: f64| {
                    let s = 0.05 + 0.9 * unit;
                    ((s / (1.0 - s)).ln() - mean[c]) / std[c]
                };
                // The unit-interval value that this y came from, by inverting f.
                let s = sigmoid(f64::from(y.row(r)[c]) * std[c] + mean[c]);
                let unit = (s - 0.05) / 0.9;
                let slope = (f(unit + 1e-6) - f(unit - 1e-6)) / 2e-6;
                want += (slope / 256.0).ln();
            }
            assert!((det - want).abs() < 1e-4, "{det} {want}");
        }
    }

    /// 20,000 draws of a Bernoulli of 1/4; 5 standard errors, false alarm 6e-7.
    #[test]
    fn binarisation_by_chance_has_the_right_mean_and_is_fixed_by_row() {
        let d = bytes(5, 1);
        let x = Batch::from_fn(20_000, 1, |_, _| 1.0);
        let dynamic = Transform::to_binary(&d, Binarize::Dynamic, 0).unwrap();
        let (z, _) = dynamic.forward(&x, Noise::Stream(&mut Seed::from(1).rng())).unwrap();
        let mean = z.data().iter().sum::<f32>() / 20_000.0;
        assert!((mean - 0.25).abs() < 5.0 * (0.1875f32 / 20_000.0).sqrt(), "{mean}");
        let fixed = Transform::to_binary(bytes(256, 30), Binarize::Fixed, 9).unwrap();
        let x = Batch::from_fn(3, 30, |r, c| (r * 30 + c) as f32);
        let (all, _) = fixed.forward(&x, Noise::Stream(&mut Seed::from(1).rng())).unwrap();
        let (one, _) = fixed.forward(&x.slice(2, 3), Noise::Row(Seed::from(77))).unwrap();
        assert_eq!(all.row(2), one.row(0));
        assert!(dynamic.is_random() && !fixed.is_random());
    }

    /// A constant column has no scale to be divided by, whatever rounding makes of its mean.
    #[test]
    fn constant_columns_keep_their_scale() {
        for value in [0.0f32, 0.1, 1.0, -7.3, 1e6] {
            for n in [1, 10, 49, 100, 150, 1000] {
                let (_, std) = moments(&Batch::from_fn(n, 2, |r, c| if c == 0 { value } else { r as f32 }));
                assert_eq!(std[0], 1.0, "{value} {n}");
                assert!(n == 1 || std[1] > 1.0);
            }
        }
    }

    #[test]
    fn wrong_kinds_are_refused_with_the_remedy() {
        let e = Transform::to_binary(Domain::real(2), Binarize::Threshold, 0).unwrap_err();
        assert!(e.to_string().contains("choose a model for real values"), "{e}");
        let x = Batch::zeros(1, 2);
        let t = Transform::to_binary(bytes(3, 2), Binarize::Threshold, 0).unwrap();
        let bad = Batch::new(vec![3.0, 0.0], 2).unwrap();
        assert!(t.forward(&bad, Noise::Row(Seed::from(0))).is_err());
        let want = RealSteps { logit: Some(0.1), standardize: false };
        assert!(Transform::to_real(Domain::real(2), want, &x, 0).is_err());
    }
}
