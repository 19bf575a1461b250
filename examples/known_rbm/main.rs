//! Checks log Z of a restricted Boltzmann machine of another program: by summation, by annealed importance sampling, and backwards.
//!
//! `cargo run --release --example known_rbm -- FILE.npz` reads arrays `weights` `[visible, hidden]`, `visible_bias` and `hidden_bias`;
//! with the name or file of a data set behind it, annealing begins at the marginals of its training rows, and the mean
//! log-likelihood of its test rows is printed.

#![expect(clippy::print_stdout, reason = "a program that talks to a person")]

use genus::{Annealing, Batch, Density as _, Error, Rbm, RbmConfig, Result, Seed, data};
use std::num::NonZeroUsize;
use std::path::Path;
use std::time::Instant;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some(file) = arguments.first() else {
        return Err(Error::config("FILE", "give the .npz file of the machine, and a data set if you like"));
    };
    let arrays = data::arrays(Path::new(file))?;
    let array = |name: &str| {
        arrays
            .get(name)
            .cloned()
            .ok_or_else(|| Error::config("FILE", format!("{file} has no array `{name}`")))
    };
    let (weights, visible, hidden) = (array("weights")?, array("visible_bias")?, array("hidden_bias")?);
    let set = arguments.get(1).map(|name| data::load(name, &data::Options::default())).transpose()?;
    let base = match &set {
        Some(set) => marginal_logits(&set.train.x),
        None => vec![0.0; visible.width()],
    };
    let Some(units) = NonZeroUsize::new(weights.width()) else { unreachable!("a batch has columns") };
    let config = RbmConfig { hidden: units, ..RbmConfig::default() };
    let (visible, hidden) = (visible.into_data(), hidden.into_data());
    let start = Instant::now();
    let machine = Rbm::with_parameters(config, weights, visible, hidden, base)?;
    println!("{:<50} {:>14.6}  {:.1} s", "log Z, nats", machine.log_z().0, start.elapsed().as_secs_f64());
    let start = Instant::now();
    for figure in machine.anneal(&Annealing::default(), Seed::from(1))? {
        println!("{:<50} {:>14.6}  {}", figure.name, figure.value, figure.unit);
    }
    println!("{:<50} {:>14.1}  s", "annealing took", start.elapsed().as_secs_f64());
    if let Some(test) = set.and_then(|s| s.test) {
        println!("{:<50} {:>14.6}  nats", "mean test log-likelihood", machine.log_prob(&test.x)?.mean());
    }
    Ok(())
}

/// Logits of the share of ones in each column, with one added success and failure.
fn marginal_logits(x: &Batch) -> Vec<f32> {
    let ones = |c: usize| 1.0 + x.iter().map(|row| f64::from(row[c])).sum::<f64>();
    let logit = |ones: f64| (ones / (x.rows() as f64 + 2.0 - ones)).ln() as f32;
    (0..x.width()).map(|c| logit(ones(c))).collect()
}
