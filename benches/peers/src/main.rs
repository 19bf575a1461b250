//! Genus as one of the peers of `peers.py`: it reads requests on standard input and answers on standard output, a line of JSON
//! each.
//!
//! | request | answer |
//! |---|---|
//! | `{"work": "vae", "prepare": true}` | `{"ready": true}` or `{"skip": "why"}` |
//! | `{"work": "vae", "steps": 20}` | `{"seconds": 0.05, "peak_rss": 123456789}` |
//! | `{"quit": true}` | none; it ends |
//!
//! `--classical NAME` is another mode, see [`classical`].

mod classical;
mod dcgan;
mod nade;
mod products;
mod realnvp;
mod trainings;

use anyhow::Context as _;
use serde::Deserialize;
use std::io::{BufRead as _, Write as _};
use std::time::Instant;

// As the command line has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Something that can be done again and again.
pub trait Work {
    /// Does it `steps` times.
    fn run(&mut self, steps: u64) -> anyhow::Result<()>;
}

#[derive(Deserialize)]
struct Request {
    work: Option<String>,
    #[serde(default)]
    prepare: bool,
    steps: Option<u64>,
    #[serde(default)]
    quit: bool,
}

fn prepare(name: &str) -> anyhow::Result<Option<Box<dyn Work>>> {
    let mut work: Box<dyn Work> = match name {
        "vae" => trainings::vae()?,
        "made" => trainings::made()?,
        "pixelcnn" => trainings::pixelcnn(),
        "pixelcnn-sample" => Box::new(trainings::PixelCnnSampler::new()),
        "gated-sample" => Box::new(trainings::GatedSampler::new()?),
        "ais" => Box::new(trainings::Anneal::new()?),
        "realnvp" => trainings::realnvp(),
        "dcgan" => Box::new(dcgan::Dcgan::new(dcgan::Game::Dcgan)?),
        "wgan-gp" => Box::new(dcgan::Dcgan::new(dcgan::Game::Critic)?),
        "nade-train" => trainings::nade(),
        "lstm" => trainings::lstm()?,
        "nade-sample" | "nade-sample-naive" => Box::new(nade::Sampler::new()),
        "rbm" => trainings::rbm()?,
        _ => match products::find(name) {
            Some(product) => Box::new(product),
            None => return Ok(None),
        },
    };
    work.run(10)?;
    Ok(Some(work))
}

/// Most memory that this process ever had, bytes; 0 where that is not known.
fn peak_rss() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
    let kib = line.and_then(|l| l.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

fn main() -> anyhow::Result<()> {
    // As the command line has it.
    // SAFETY: the option (`mi_option_purge_delay`) is a number that the allocator reads before it purges.
    unsafe { libmimalloc_sys::mi_option_set(15, -1) };
    let mut threads = std::env::args().skip_while(|a| a != "--threads").skip(1);
    let threads = threads.next().unwrap_or_else(|| "2".into()).parse().context("--threads takes a number")?;
    rayon::ThreadPoolBuilder::new().use_current_thread().num_threads(threads).build_global()?;
    if let Some(name) = std::env::args().skip_while(|a| a != "--classical").nth(1) {
        let (seconds, figure) = rayon::scope(|_| classical::run(&name))?;
        let answer = serde_json::json!({ "seconds": seconds, "figure": figure, "peak_rss": peak_rss() });
        writeln!(std::io::stdout(), "{answer}")?;
        return Ok(());
    }
    let mut work: Option<(String, Box<dyn Work>)> = None;
    let mut out = std::io::stdout();
    for line in std::io::stdin().lock().lines() {
        let request: Request = serde_json::from_str(&line?).context("a request must be a line of JSON")?;
        if request.quit {
            break;
        }
        let name = request.work.context("a request must name its work")?;
        let answer = if request.prepare {
            match prepare(&name)? {
                Some(found) => {
                    work = Some((name, found));
                    serde_json::json!({ "ready": true })
                }
                None => serde_json::json!({ "skip": format!("there is no {name} here") }),
            }
        } else {
            let (_, work) = work.as_mut().filter(|w| w.0 == name).context("work must be prepared first")?;
            let start = Instant::now();
            work.run(request.steps.unwrap_or(1))?;
            serde_json::json!({ "seconds": start.elapsed().as_secs_f64(), "peak_rss": peak_rss() })
        };
        writeln!(out, "{answer}")?;
        out.flush()?;
    }
    Ok(())
}
