//! log Z of a machine: annealed importance sampling (Neal 2001; Salakhutdinov & Murray 2008), and the same backwards.
//!
//! Between independent units around the means of the training rows (β = 0, whose Z is known) and the machine (β = 1) lie
//! p_β(x) ∝ p*_base(x)^(1−β) p*_machine(x)^β, up to how hidden units are summed out. A chain that begins with an exact draw at 0
//! and moves through them gathers a weight w = Π p*_{k}(x) / p*_{k−1}(x) whose mean is Z / Z_base. The mean of many is
//! unbiased, its logarithm too low on average. Run backwards from draws of the machine, the same gives weights whose mean is
//! Z_base / Z; by Jensen's inequality log Z_base minus the mean of their logarithms is too high on average, by the divergence
//! between the laws of the two ways (Grosse, Ghahramani & Adams 2015). The two enclose log Z if the draws are draws: they are the
//! ends of the way there, chosen by their weights, and then moved by the machine. Where no chain has come to the states that matter,
//! both are too low; half of the way back therefore begins at training rows, which are where it matters, and a machine that holds them
//! says more there than the way there has found.

use crate::training_rows::TrainingRows;
use genus_core::config::count;
use genus_core::math::log_mean_exp;
use genus_core::stop::in_pool;
use genus_core::{Batch, Error, Evidence, Figure, Result, Seed, Stop, StopReason};
use genus_kernels::Stream;
use serde::{Deserialize, Serialize};
use std::num::NonZeroUsize;
use std::time::Instant;

/// Training rows over which hidden units are averaged, at most.
const AVERAGED: usize = 10_000;
/// An effective sample size below this is none.
const FEW: f64 = 5.0;
/// Steps that are timed where time is limited.
const PACE: u64 = 4;
/// Steps between reports of progress.
const TOLD: usize = 32;
/// Nats between the ways there and back that are too many.
const WIDE: f64 = 3.0;

/// How log Z is found. The `[annealing]` table of the family.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Annealing {
    /// Sum instead where a layer is small enough.
    pub exact: bool,
    /// Chains side by side, at least 2.
    pub chains: NonZeroUsize,
    /// Intermediate laws, spaced as published: of 14,500, 500 up to β = 0.5, 4000 up to 0.9, 10,000 up to 1.
    pub steps: NonZeroUsize,
    /// Transitions of the machine before the way back begins; 0 leaves the way back out.
    pub back_burn_in: usize,
}

impl Default for Annealing {
    fn default() -> Self {
        Self { exact: true, chains: count(100), steps: count(14_500), back_burn_in: 5000 }
    }
}

impl Annealing {
    /// The same with fewer steps, if the time that is left does not suffice for all.
    fn within(&self, path: &dyn Path, seed: Seed) -> Option<Self> {
        let left = Stop::current().left()?;
        let (n, key) = (self.chains.get().max(2), seed.child("pace").rng().bits());
        let took = in_pool(|| {
            let mut x = path.draw_base(n, super::streams(key, 0));
            let start = Instant::now();
            (1..=PACE).for_each(|k| drop(path.advance(&mut x, [0.0, 1.0], super::streams(key, k))));
            start.elapsed().as_secs_f64() / PACE as f64
        });
        let back = if self.back_burn_in > 0 { self.back_burn_in + self.steps.get() } else { 0 };
        let share = 0.7 * left.as_secs_f64() / (took * (self.steps.get() + back) as f64);
        (share < 1.0).then(|| self.shortened(share))
    }

    fn shortened(&self, share: f64) -> Self {
        let fewer = |n: usize| (n as f64 * share) as usize;
        let steps = NonZeroUsize::new(fewer(self.steps.get())).unwrap_or(NonZeroUsize::MIN);
        let back_burn_in = fewer(self.back_burn_in).max(usize::from(self.back_burn_in > 0));
        Self { steps, back_burn_in, ..*self }
    }

    /// Inverse temperatures from 0 to 1.
    pub fn schedule(&self) -> Vec<f32> {
        let n = self.steps.get() as f64;
        let knots = [(0.0, 0.0), (500.0 / 14_500.0, 0.5), (4500.0 / 14_500.0, 0.9), (1.0, 1.0)];
        let at = |k: usize| {
            let t = k as f64 / n;
            let piece = knots.windows(2).find(|w| t <= w[1].0).unwrap_or(&knots[2..]);
            let [(t0, b0), (t1, b1)] = [piece[0], piece[1]];
            (b0 + (b1 - b0) * (t - t0) / (t1 - t0)) as f32
        };
        (0..=self.steps.get()).map(at).collect()
    }
}

/// Inputs of independent units with the means of `x`, one row of zeros and one of ones added: where paths begin.
///
/// # Shapes
/// x `[rows, width]` → `[width]`
pub fn independent(x: &[f32], width: usize) -> Vec<f32> {
    let rows = (x.len() / width.max(1)) as f64;
    let input = |j: usize| {
        let ones: f64 = x.iter().skip(j).step_by(width).map(|v| f64::from(*v)).sum();
        (libm::log(ones + 1.0) - libm::log(rows - ones + 1.0)) as f32
    };
    (0..width).map(input).collect()
}

/// Training rows, as many as are enough for [`independent`].
///
/// # Errors
/// If rows do not fit the domain.
pub fn averaged(seen: &TrainingRows, seed: Seed) -> Result<Batch> {
    let mut some = seed.child("averaged").rng().permutation(seen.rows());
    some.truncate(AVERAGED);
    seen.batch(&some, || seed.child("base").rng())
}

/// A path of laws from independent units to a machine.
pub trait Path: Sync {
    /// log Z at β = 0.
    fn log_z_base(&self) -> f64;

    /// Exact draws at β = 0.
    fn draw_base(&self, count: usize, stream: Stream) -> Vec<f32>;

    /// log p*_to(x) − log p*_from(x) of each row of `x`, which then makes one transition that leaves p_to as it is.
    fn advance(&self, x: &mut Vec<f32>, betas: [f32; 2], stream: Stream) -> Vec<f64>;
}

/// log Z, and how it was found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Partition {
    /// log Z, nats.
    pub log_z: f64,
    /// Standard error, by the delta method; 0 if it was summed.
    pub stderr: f64,
    /// log of Ẑ ± 3 standard errors of Ẑ.
    pub interval: [f64; 2],
    /// (Σ w)² / Σ w² of the chains; 0 if it was summed, NaN if it is not known.
    pub effective: f64,
    /// What the way back says log Z is at most, on average; NaN if it was not gone.
    pub back: f64,
    /// The same from training rows; NaN if it was not gone.
    pub rows: f64,
    /// Chains and steps of the estimate; 0 if it was summed.
    pub extent: [f64; 2],
}

impl Partition {
    /// Summed.
    pub const fn exact(log_z: f64) -> Self {
        let none = f64::NAN;
        Self {
            log_z,
            stderr: 0.0,
            interval: [log_z; 2],
            effective: 0.0,
            back: none,
            rows: none,
            extent: [0.0; 2],
        }
    }

    /// Not known, because there was no time to find it: what it would normalise stays unnormalised.
    pub const fn unknown() -> Self {
        Self { effective: f64::NAN, ..Self::exact(0.0) }
    }

    /// Estimated along a path, with fewer steps where time is too short for all. `heard` is told how many steps have been done, of how
    /// many.
    ///
    /// # Errors
    /// [`genus_core::Error::Stopped`] if it was asked to end.
    pub fn in_time(
        path: &dyn Path,
        rows: &[f32],
        how: &Annealing,
        seed: Seed,
        heard: &mut dyn FnMut(u64, u64),
    ) -> Result<Self> {
        let Some(fewer) = how.within(path, seed) else { return Self::estimate(path, rows, how, seed, heard) };
        // A machine that becomes slower meanwhile must not cost the estimate: a short one is there before.
        let short = Self::estimate(path, rows, &fewer.shortened(1.0 / 8.0), seed, heard)?;
        match Self::estimate(path, rows, &fewer, seed, heard) {
            Err(Error::Stopped(StopReason::TimeBudget)) => Ok(short),
            other => other,
        }
    }

    /// Estimated along a path, forwards and, if asked for, backwards, from the ends of the way there and from `rows`, states of the path
    /// that belong to training rows, if there are any. `heard` is told how many steps have been done, of how many.
    ///
    /// # Errors
    /// [`genus_core::Error::Stopped`] if it was asked to end.
    pub fn estimate(
        path: &dyn Path,
        rows: &[f32],
        how: &Annealing,
        seed: Seed,
        heard: &mut dyn FnMut(u64, u64),
    ) -> Result<Self> {
        let (n, betas) = (how.chains.get().max(2), how.schedule());
        let there: Vec<[f32; 2]> = betas.windows(2).map(|w| [w[0], w[1]]).collect();
        let back: Vec<[f32; 2]> = there.iter().rev().map(|[from, to]| [*to, *from]).collect();
        let of = if how.back_burn_in == 0 { how.steps.get() } else { 2 * how.steps.get() + how.back_burn_in };
        let mut done = 0;
        let mut walk = |name: &str, x: &mut Vec<f32>, betas: &[[f32; 2]]| -> Result<Vec<f64>> {
            let (key, stop) = (seed.child(name).rng().bits(), Stop::current());
            let mut log_w = vec![0.0; n];
            for (chunk, some) in betas.chunks(TOLD).enumerate() {
                let (x, log_w) = (&mut *x, &mut log_w);
                in_pool(|| {
                    for (k, pair) in some.iter().enumerate() {
                        stop.check()?;
                        let change = path.advance(x, *pair, super::streams(key, (chunk * TOLD + k) as u64));
                        log_w.iter_mut().zip(change).for_each(|(w, c)| *w += c);
                    }
                    Ok(())
                })?;
                done += some.len() as u64;
                heard(done, of as u64);
            }
            Ok(log_w)
        };
        let mut x = in_pool(|| path.draw_base(n, super::streams(seed.child("start").rng().bits(), 0)));
        let log_w = walk("there", &mut x, &there)?;
        let mean = log_mean_exp(&log_w);
        let ratios: Vec<f64> = log_w.iter().map(|w| libm::exp(w - mean)).collect();
        let spread = ratios.iter().map(|r| (r - 1.0).powi(2)).sum::<f64>() / (n - 1) as f64;
        let stderr = libm::sqrt(spread / n as f64);
        let log_z = path.log_z_base() + mean;
        let around = |sign: f64| log_z + libm::log((1.0 + sign * 3.0 * stderr).max(0.0));
        let [back, from_rows] = if how.back_burn_in == 0 {
            [f64::NAN; 2]
        } else {
            let width = x.len() / n;
            let mut x = chosen(&x, &ratios, seed.child("start of the way back").rng().uniform_f64());
            // As many from rows as there are, up to half of them.
            let own = n - (rows.len() / width).min(n / 2);
            x[own * width..].copy_from_slice(&rows[..(n - own) * width]);
            walk("burn-in", &mut x, &vec![[1.0, 1.0]; how.back_burn_in])?;
            let log_w = walk("back", &mut x, &back)?;
            let mean = |log_w: &[f64]| path.log_z_base() - log_w.iter().sum::<f64>() / log_w.len() as f64;
            [mean(&log_w[..own]), mean(&log_w[own..])]
        };
        let effective = n as f64 * n as f64 / ratios.iter().map(|r| r * r).sum::<f64>();
        let extent = [n, how.steps.get()].map(|n| n as f64);
        let interval = [around(-1.0), around(1.0)];
        Ok(Self { log_z, stderr, interval, effective, back, rows: from_rows, extent })
    }

    /// The evidence of a log-probability that it normalises.
    pub fn evidence(&self) -> Evidence {
        match self.effective {
            0.0 => Evidence::EXACT,
            known if known.is_nan() => Evidence::UNNORMALIZED,
            _ => Evidence::estimated(self.stderr),
        }
    }

    /// Why it should not be trusted, if there is a reason to be seen; chains that all miss the same states show none.
    pub fn doubt(&self, how: &Annealing) -> Option<String> {
        if self.effective.is_nan() {
            let message = "log Z was not found in time, so that scores are unnormalised; allow more time";
            return Some(message.into());
        }
        if self.extent[1] > 0.0 && self.extent[1] < how.steps.get() as f64 {
            return Some(format!(
                "log Z was estimated in {} steps instead of {}, because time was short: {}",
                self.extent[1],
                how.steps,
                self.protocol()
            ));
        }
        let few = self.effective > 0.0 && self.effective < FEW;
        let wide = self.back.max(self.rows) - self.log_z > WIDE;
        (few || wide).then(|| {
            format!(
                "log Z, and every likelihood with it, is uncertain by more than its standard error: {}; more annealing.steps or chains help, or a machine trained with smaller steps",
                self.protocol()
            )
        })
    }

    /// How it was found, for protocols.
    pub fn protocol(&self) -> String {
        if self.effective == 0.0 {
            return "log Z by summation".into();
        }
        if self.effective.is_nan() {
            return "without log Z, which there was no time to find".into();
        }
        let mut text = format!(
            "log Z = {:.3} by annealed importance sampling, {} chains of {} steps, three standard errors {:.3} to {:.3}, effective sample size {:.1}",
            self.log_z, self.extent[0], self.extent[1], self.interval[0], self.interval[1], self.effective
        );
        if self.back.is_finite() {
            text += &format!("; backwards, too high on average, {:.3}", self.back);
        }
        if self.rows.is_finite() {
            text += &format!(", from training rows {:.3}", self.rows);
        }
        text
    }

    /// For tables.
    pub fn figures(&self) -> Vec<Figure> {
        if self.effective == 0.0 {
            return vec![Figure::new("log Z, summed", self.log_z, "nats")];
        }
        if self.effective.is_nan() {
            return Vec::new();
        }
        let mut figures = vec![
            Figure::new("log Z by annealed importance sampling", self.log_z, "nats"),
            Figure::new("log Z, standard error", self.stderr, "nats"),
            Figure::new("log Z, lower end of three standard errors", self.interval[0], "nats"),
            Figure::new("log Z, upper end of three standard errors", self.interval[1], "nats"),
            Figure::new("effective sample size of log Z", self.effective, "chains"),
        ];
        if self.back.is_finite() {
            figures.push(Figure::new("log Z by the way back, too high on average", self.back, "nats"));
            figures.push(Figure::new("gap between the two", self.back - self.log_z, "nats"));
        }
        if self.rows.is_finite() {
            figures.push(Figure::new("log Z by the way back from training rows", self.rows, "nats"));
        }
        figures
    }

    /// As numbers for a file.
    pub fn to_array(self) -> [f64; 9] {
        let [low, high] = self.interval;
        let [chains, steps] = self.extent;
        [self.log_z, self.stderr, low, high, self.effective, self.back, chains, steps, self.rows]
    }

    /// What [`to_array`](Self::to_array) gave.
    pub fn from_array(v: &[f64]) -> Self {
        let (interval, extent) = ([v[2], v[3]], [v[6], v[7]]);
        Self { log_z: v[0], stderr: v[1], interval, effective: v[4], back: v[5], rows: v[8], extent }
    }
}

/// As many rows of `x` as there are weights of mean 1, each as often as its weight up to rounding: systematic resampling.
fn chosen(x: &[f32], weights: &[f64], u: f64) -> Vec<f32> {
    let (mut rows, mut upto) = (Vec::with_capacity(x.len()), u);
    for (row, w) in x.chunks_exact(x.len() / weights.len()).zip(weights) {
        upto += w;
        while upto >= 1.0 && rows.len() < x.len() {
            rows.extend_from_slice(row);
            upto -= 1.0;
        }
    }
    // Rounding may leave the last one out.
    while rows.len() < x.len() {
        rows.extend_from_slice(&x[x.len() - x.len() / weights.len()..]);
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_chosen_by_weight() {
        assert_eq!(chosen(&[1.0, 2.0, 3.0, 4.0], &[2.5, 0.0, 1.0, 0.5], 0.6), [1.0, 1.0, 1.0, 3.0]);
        assert_eq!(chosen(&[1.0, 2.0], &[0.0, 2.0], 0.0), [2.0, 2.0]);
    }

    #[test]
    fn schedule_is_the_published_one() {
        let b = Annealing::default().schedule();
        assert_eq!(b.len(), 14_501);
        for (k, want) in
            [(0, 0.0), (250, 0.25), (500, 0.5), (2500, 0.7), (4500, 0.9), (9500, 0.95), (14_500, 1.0)]
        {
            assert!((b[k] - want).abs() < 1e-6, "{k}: {} {want}", b[k]);
        }
        assert!(b.windows(2).all(|w| w[0] < w[1]));
        let few = Annealing { steps: NonZeroUsize::MIN, ..Annealing::default() };
        assert_eq!(few.schedule(), [0.0, 1.0]);
    }
}
