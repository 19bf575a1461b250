//! Is this likelihood a likelihood? Checks that need nothing but a fitted model.
//!
//! Each check applies where it can be carried out and says in its figure what it measured. Statistical checks state their
//! false-alarm rate and fix their seed.

mod autoregressive;
mod bounds;
mod chi_square;
mod discrete;
mod invertible;
mod mixed;
mod real;

use crate::run::AuditRow;
use crate::{Batch, Density, Error, LogProb, Model, Result, Scoring, Seed, State, Stop, StopReason};

/// What was found.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Audit {
    /// The checks that apply.
    pub rows: Vec<AuditRow>,
    /// Checks that there was no time for.
    pub left_out: usize,
}

/// What is checked.
struct Subject<'a> {
    model: &'a dyn Model,
    rows: &'a Batch,
    restore: &'a dyn Fn(&State) -> Result<Box<dyn Model>>,
    seed: Seed,
}

/// None if it does not apply.
type Check = fn(&Subject<'_>) -> Result<Option<AuditRow>>;

/// In the order of the table.
const CHECKS: &[Check] = &[
    |s| s.model.as_density().map(|d| saved(d, s.rows, s.restore)).transpose(),
    |s| s.model.as_density().map(|d| subset(d, s.rows)).transpose(),
    |s| s.model.as_density().map_or(Ok(None), |d| discrete::total(d, s.seed)),
    |s| s.model.as_density().map_or(Ok(None), |d| real::integral(d, s.rows, s.seed)),
    |s| s.model.as_density().map_or(Ok(None), |d| mixed::total(d, s.rows)),
    |s| s.model.as_density().map_or(Ok(None), |d| bounds::tightens(d, s.rows, s.seed)),
    |s| s.model.as_latent_variable().map_or(Ok(None), |l| bounds::below_exact(l, s.rows, s.seed)),
    |s| match (s.model.as_density(), s.model.as_chain()) {
        (Some(density), Some(chain)) => discrete::stationary(density, chain, s.seed),
        _ => Ok(None),
    },
    |s| match (s.model.as_density(), s.model.as_sampler()) {
        (Some(density), Some(sampler)) => {
            discrete::agreement(density, sampler, s.model.as_latent_variable(), s.seed)
        }
        _ => Ok(None),
    },
    |s| match (s.model.as_density(), s.model.as_sampler()) {
        (Some(density), Some(sampler)) => real::agreement(density, sampler, s.rows, s.seed),
        _ => Ok(None),
    },
    |s| match (s.model.as_density(), s.model.as_sampler()) {
        (Some(density), Some(sampler)) => mixed::agreement(density, sampler, s.rows, s.seed),
        _ => Ok(None),
    },
    |s| s.model.as_invertible().map(|f| invertible::inverse(f, s.rows, s.seed)).transpose(),
    |s| s.model.as_invertible().map_or(Ok(None), |f| invertible::determinant(f, s.rows, s.seed)),
    |s| s.model.as_autoregressive().map(|ar| autoregressive::chain_rule(ar, s.rows)).transpose(),
    |s| s.model.as_autoregressive().map(|ar| autoregressive::dependencies(ar, s.rows, s.seed)).transpose(),
    |s| s.model.as_autoregressive().map(|ar| autoregressive::draws(ar, s.seed)).transpose(),
];

/// All checks that apply to `model`. `rows` are rows of its domain, at least one; `restore` makes a model of a state; `heard` is told
/// how many checks have been done, of how many.
///
/// # Errors
/// If the model refuses rows of its own domain, and [`Error::Stopped`] if it was interrupted. What there is no time for is left out.
pub fn run(
    model: &dyn Model,
    rows: &Batch,
    restore: &dyn Fn(&State) -> Result<Box<dyn Model>>,
    subject: &str,
    seed: Seed,
    heard: &mut dyn FnMut(u64, u64),
) -> Result<Audit> {
    let what = Subject { model, rows, restore, seed };
    let mut audit = Audit::default();
    for (done, check) in CHECKS.iter().enumerate() {
        match check(&what) {
            Ok(found) => {
                audit.rows.extend(found.map(|row| AuditRow { subject: subject.to_owned(), ..row }));
            }
            Err(Error::Stopped(StopReason::TimeBudget)) => audit.left_out += 1,
            Err(e) => return Err(e),
        }
        heard(1 + done as u64, CHECKS.len() as u64);
    }
    Ok(audit)
}

fn row(check: &str, passed: bool, figure: String) -> AuditRow {
    AuditRow { check: check.to_owned(), subject: String::new(), passed, figure }
}

/// A saved and restored model gives the same numbers, bit for bit.
fn saved(
    density: &dyn Density,
    rows: &Batch,
    restore: &dyn Fn(&State) -> Result<Box<dyn Model>>,
) -> Result<AuditRow> {
    let bytes = density.state().to_bytes()?;
    let again = restore(&State::from_bytes(&bytes, std::path::Path::new("memory"))?)?;
    let rows = rows.slice(0, 64);
    let before = density.log_prob(&rows)?.nats;
    let after = again.as_density().map(|d| d.log_prob(&rows)).transpose()?.map(|l| l.nats);
    let same = after.as_ref() == Some(&before);
    Ok(row(
        "saved and restored, the scores are the same bits",
        same,
        format!("{} rows compared", rows.rows()),
    ))
}

/// A row's score does not depend on the rows around it.
fn subset(density: &dyn Density, rows: &Batch) -> Result<AuditRow> {
    let rows = rows.slice(0, 64);
    let all = density.log_prob(&rows)?.nats;
    let mut off = 0;
    let stop = Stop::current();
    for (r, want) in all.iter().enumerate() {
        stop.check()?;
        off += usize::from(density.log_prob(&rows.slice(r, r + 1))?.nats[0] != *want);
    }
    Ok(row(
        "a row's score does not depend on other rows",
        off == 0,
        format!("{off} of {} rows differ", rows.rows()),
    ))
}

/// Repetitions with fresh noise from which the noise of a stochastic figure is known.
const REPEATS: u64 = 16;

/// A figure of stochastic scores, by the mean and the standard error over [`REPEATS`] seeds.
fn repeated(seed: Seed, draws: usize, mut figure: impl FnMut(Scoring) -> Result<f64>) -> Result<(f64, f64)> {
    let values = (0..REPEATS)
        .map(|i| {
            Stop::current().check()?;
            figure(Scoring { importance_samples: draws, seed: seed.index(i) })
        })
        .collect::<Result<Vec<f64>>>()?;
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0);
    Ok((mean, (variance / n).sqrt()))
}

/// Σ exp(log p), the terms in order.
fn mass(lp: &LogProb) -> f64 {
    lp.nats.iter().map(|v| libm::exp(*v)).sum()
}
