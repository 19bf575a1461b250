//! The argument of the paper about what the generator should minimise, measured. See the README in this folder.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program that talks to a person")]

mod game;
mod page;

use game::{Objective, play};
use genus::{Batch, Error, Result, Seed, data};

/// Largest value of a pixel.
const TOP: f32 = 16.0;
/// Steps at which the game is looked at.
const LOOKS: [usize; 12] = [0, 50, 100, 200, 400, 700, 1000, 1500, 2500, 4000, 7000, 12_000];
/// Of these, those that are early and late.
const EARLY: usize = 1;
const LATE: usize = 11;

fn main() -> Result<()> {
    let digits = data::load("digits", &data::Options::default())?;
    let x = &digits.train.x;
    let rows = Batch::from_fn(x.rows(), x.width(), |r, c| 2.0 * x.row(r)[c] / TOP - 1.0);
    let mut trainings = Vec::new();
    for objective in Objective::ALL {
        eprintln!("training: {}", objective.name());
        trainings.push(play(&rows, &digits.domain().shape, objective, &LOOKS, Seed::from(4))?);
    }
    println!(
        "{:<15} {:>6} {:>9} {:>22} {:>22}",
        "trained by", "step", "D(G(z))", "gradient by minimax", "by non-saturating"
    );
    for (objective, moments) in Objective::ALL.iter().zip(&trainings) {
        for moment in moments {
            let mean = |k: usize| {
                moment.received.iter().map(|r| r.gradient[k]).sum::<f64>() / moment.received.len() as f64
            };
            println!(
                "{:<15} {:>6} {:>9.4} {:>22.2e} {:>22.2e}",
                objective.name(),
                moment.step,
                moment.told(),
                mean(0),
                mean(1)
            );
        }
    }
    let path = "gan_gradients.html";
    std::fs::write(path, page::html(&trainings, EARLY, LATE)).map_err(Error::io("write", path))?;
    println!("page: {path}");
    Ok(())
}
