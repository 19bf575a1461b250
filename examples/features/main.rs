//! Trains the network whose features compare images (`genus::sample_metrics::features`), and writes it to the file that is shipped.
//!
//! `cargo run --release --example features -- [FILE] [EPOCHS]`, with `mnist` and `fashion-mnist` where `genus data info` finds them. The same
//! seed gives the same file on a machine with the same instruction set.

#![expect(clippy::print_stdout, reason = "a program that talks to a person")]

use genus::{Error, Result, Seed, data, sample_metrics::features};

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().unwrap_or_else(|| "crates/genus/assets/features.safetensors".into());
    let epochs = arguments.next().and_then(|n| n.parse().ok()).unwrap_or(20);
    let [digits, clothes] =
        ["mnist", "fashion-mnist"].map(|name| data::load(name, &data::Options::default()));
    let (state, accuracy) = features::train(&digits?, &clothes?, epochs, Seed::from(1))?;
    let bytes = state.to_bytes()?;
    println!("{:.2} % of the test rows of both sets, {} bytes", 100.0 * accuracy, bytes.len());
    std::fs::write(&path, bytes).map_err(Error::io("write", &path))?;
    println!("{path}");
    Ok(())
}
