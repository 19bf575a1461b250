//! The `genus` command line.

mod args;
mod commands;
mod known;
mod output;
mod progress;

use clap::Parser;
use std::process::ExitCode;

/// The default allocator gives every large buffer back to the system, and page faults then cost up to half of a training step.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Exit code of a command that was interrupted and saved its state.
const INTERRUPTED: u8 = 130;

/// `mi_option_purge_delay` of the allocator, whose binding does not name it.
const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;

fn main() -> ExitCode {
    // Memory that one step gives back is what the next one asks for: it is kept.
    // SAFETY: the option is a number that the allocator reads before it purges.
    unsafe { libmimalloc_sys::mi_option_set(PURGE_DELAY, -1) };
    let cli = match args::Cli::try_parse() {
        Ok(cli) => cli,
        // What was typed is said again, without what a terminal would obey.
        Err(e) if e.use_stderr() => {
            output::note(e.render().to_string().trim_end());
            return ExitCode::from(e.exit_code() as u8);
        }
        Err(e) => e.exit(),
    };
    match start_threads().and_then(|()| commands::run(cli)) {
        Ok(code) => code,
        Err(e) => {
            output::error(&e);
            ExitCode::from(exit_code(&e))
        }
    }
}

/// Environment variable with the number of threads.
const THREADS: &str = "RAYON_NUM_THREADS";
/// Most that are started: each has a stack, and a system has a limit.
const MOST_THREADS: usize = 1024;

/// Starts the pool. This thread is one of it, so that a step of a training wakes nobody.
fn start_threads() -> anyhow::Result<()> {
    let asked = std::env::var(THREADS).ok().and_then(|n| n.parse::<usize>().ok());
    if let Some(n) = asked.filter(|n| *n > MOST_THREADS) {
        let message = format!(
            "{n} threads are more than the {MOST_THREADS} that are started at most; take as many as there are processors"
        );
        return Err(genus::Error::config(THREADS, message).into());
    }
    let pool = rayon::ThreadPoolBuilder::new().use_current_thread().build_global();
    pool.map_err(|e| genus::Error::Run(format!("cannot start threads ({e}); take fewer by {THREADS}")).into())
}

/// 2 for what the user asked wrongly, 1 for what went wrong.
fn exit_code(e: &anyhow::Error) -> u8 {
    match e.downcast_ref::<genus::Error>().map(genus::Error::root) {
        Some(genus::Error::Config { .. }) => 2,
        // There was nothing yet to be saved.
        Some(genus::Error::Stopped(genus::StopReason::Interrupted)) => INTERRUPTED,
        _ => 1,
    }
}
