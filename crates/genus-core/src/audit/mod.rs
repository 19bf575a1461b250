//! Is this likelihood a likelihood? Checks that need nothing but a fitted model.
//!
//! Each check applies where it can be carried out and says in its figure what it measured. Statistical checks state their
//! false-alarm rate and fix their seed.

mod autoregressive;
mod bounds;
mod chi_square;
mod discrete;
mod real;

use crate::run::AuditRow;
use crate::{Batch, Density, LogProb, Model, Result, Scoring, Seed, State};

/// All checks that apply to `model`. `rows` are rows of its domain, at least one; `restore` makes a model of a state.
///
/// # Errors
/// If the model refuses rows of its own domain.
pub fn run(
    model: &dyn Model,
    rows: &Batch,
    restore: &dyn Fn(&State) -> Result<Box<dyn Model>>,
    subject: &str,
    seed: Seed,
) -> Result<Vec<AuditRow>> {
    let mut found = Vec::new();
    let mut keep = |check: Option<AuditRow>| {
        found.extend(check.map(|c| AuditRow { subject: subject.to_owned(), ..c }));
    };
    if let Some(density) = model.as_density() {
        keep(Some(saved(density, rows, restore)?));
        keep(Some(subset(density, rows)?));
        keep(discrete::total(density, seed)?);
        keep(real::integral(density, rows, seed)?);
        keep(bounds::tightens(density, rows, seed)?);
        if let Some(latent) = model.as_latent_variable() {
            keep(bounds::below_exact(latent, rows, seed)?);
        }
        if let Some(chain) = model.as_chain() {
            keep(discrete::stationary(density, chain, seed)?);
        }
        if let Some(sampler) = model.as_sampler() {
            keep(discrete::agreement(density, sampler, model.as_latent_variable(), seed)?);
            keep(real::agreement(density, sampler, rows, seed)?);
        }
    }
    if let Some(ar) = model.as_autoregressive() {
        keep(Some(autoregressive::chain_rule(ar, rows)?));
        keep(Some(autoregressive::dependencies(ar, rows, seed)?));
        keep(Some(autoregressive::draws(ar, seed)?));
    }
    Ok(found)
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
    for (r, want) in all.iter().enumerate() {
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
        .map(|i| figure(Scoring { importance_samples: draws, seed: seed.index(i) }))
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
