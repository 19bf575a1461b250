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
    let cli = args::Cli::parse();
    // This thread is one of the pool's, so that a step of a training wakes nobody. It fails if there is a pool already.
    let _ = rayon::ThreadPoolBuilder::new().use_current_thread().build_global();
    match commands::run(cli) {
        Ok(code) => code,
        Err(e) => {
            output::error(&e);
            ExitCode::from(exit_code(&e))
        }
    }
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
