//! Expectation–maximisation from several starts, of which the best is kept.

use genus_core::{Error, Event, FitContext, Result, Rng};
use std::collections::BTreeMap;

/// What is fitted to some rows.
pub(super) trait Ascent {
    /// The components.
    type Parts: Clone;

    /// Where a start begins.
    ///
    /// # Errors
    /// [`Error::Stopped`].
    fn begin(&self, rng: &mut Rng) -> Result<Self::Parts>;

    /// The mean log-likelihood of the training rows, nats, and what the next components are.
    ///
    /// # Errors
    /// As [`begin`](Self::begin).
    fn step(&self, parts: &Self::Parts) -> Result<(f64, Self::Parts)>;

    /// The mean log-likelihood of validation rows, if there are such.
    ///
    /// # Errors
    /// As [`begin`](Self::begin).
    fn held(&self, parts: &Self::Parts) -> Result<Option<f64>>;

    /// log of the prior up to a constant, for each training row: with it what every step raises.
    fn log_prior(&self, parts: &Self::Parts) -> f64;
}

/// How long.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Starts.
    pub restarts: u64,
    /// Most iterations of each.
    pub iterations: usize,
    /// It ends when the mean log-likelihood rises by less, nats.
    pub tolerance: f64,
}

/// What was reached.
pub(super) struct Reached<P> {
    pub parts: P,
    /// Of all starts together.
    pub iterations: u64,
    /// Whether the best start ended by itself.
    pub converged: bool,
}

/// The best of several starts, or what comes of `start` alone: the most likely on validation rows, or on training rows for want of these.
///
/// # Errors
/// [`Error::Stopped`] if it was asked to end before there was anything, and [`Error::Numerical`].
pub(super) fn ascend<A: Ascent>(
    of: &A,
    start: Option<A::Parts>,
    limits: Limits,
    cx: &mut FitContext<'_>,
) -> Result<Reached<A::Parts>> {
    let restarts = if start.is_some() { 1 } else { limits.restarts };
    let (mut best, mut iterations): (Option<Climbed<A::Parts>>, u64) = (None, 0);
    for turn in 0..restarts {
        cx.emit(&Event::Restart { restart: turn + 1, step: iterations });
        let stop = cx.stop().clone();
        let mut rng = cx.seed.child("start").index(turn).rng();
        let mut held_out = false;
        let found = stop.during(|| {
            let begin = match &start {
                Some(old) => old.clone(),
                None => of.begin(&mut rng)?,
            };
            climb(of, limits, begin, &mut |mean, held| {
                iterations += 1;
                held_out = held.is_some();
                let mut parts = BTreeMap::from([("loss".to_owned(), -mean)]);
                parts.extend(held.map(|held| ("valid".to_owned(), -held)));
                cx.emit(&Event::Step { step: iterations, parts });
                cx.stopped().is_some()
            })
        });
        let found = match found {
            Err(Error::Stopped(_)) if best.is_some() => break,
            other => other?,
        };
        let better = best.as_ref().is_none_or(|b| found.score > b.score);
        let losses = BTreeMap::from([("loss".to_owned(), -found.score)]);
        let (train, valid) = if held_out { (BTreeMap::new(), losses) } else { (losses, BTreeMap::new()) };
        cx.emit(&Event::Epoch { epoch: turn + 1, step: iterations, train, valid, best: better });
        if better {
            best = Some(found);
        }
        if cx.stopped().is_some() {
            break;
        }
    }
    match best {
        Some(Climbed { parts, converged, .. }) => Ok(Reached { parts, iterations, converged }),
        None => unreachable!("there is at least one start"),
    }
}

/// A mean log-likelihood, the components that have it, and whether there is nothing more to gain.
struct Climbed<P> {
    score: f64,
    parts: P,
    converged: bool,
}

/// From these components upwards. The answer is the best on validation rows, where there are such.
fn climb<A: Ascent>(
    of: &A,
    limits: Limits,
    begin: A::Parts,
    heard: &mut dyn FnMut(f64, Option<f64>) -> bool,
) -> Result<Climbed<A::Parts>> {
    let (mut parts, mut last) = (begin, f64::NEG_INFINITY);
    let mut best: Option<Climbed<A::Parts>> = None;
    for _ in 0..limits.iterations {
        let stepped = of.step(&parts).and_then(|(mean, next)| Ok((mean, of.held(&parts)?, next)));
        let (mean, held, next) = match (stepped, best.take()) {
            (Err(Error::Stopped(_)), Some(best)) => return Ok(best),
            (other, kept) => {
                best = kept;
                other?
            }
        };
        if !mean.is_finite() {
            let remedy = "raise `prior`".into();
            return Err(Error::Numerical { what: "the log-likelihood".into(), step: 0, remedy });
        }
        let score = held.unwrap_or(mean);
        let gained = best.as_ref().is_none_or(|b| score > b.score + limits.tolerance);
        if best.as_ref().is_none_or(|b| score > b.score) {
            best = Some(Climbed { score, parts: parts.clone(), converged: false });
        }
        let rose = mean + of.log_prior(&parts);
        debug_assert!(rose >= last - 1e-4 * (1.0 + last.abs()), "EM fell from {last} to {rose}");
        let converged = rose - last < limits.tolerance || !gained;
        last = rose;
        if heard(mean, held) || converged {
            return match best {
                Some(best) => Ok(Climbed { converged, ..best }),
                None => unreachable!("the first iteration is better than none"),
            };
        }
        parts = next;
    }
    match best {
        Some(best) => Ok(best),
        None => unreachable!("there is at least one iteration"),
    }
}
