//! The command line as users meet it: the real program, in folders of its own, without the network.

// Helpers of tests are tests too.
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr)]

#[cfg(unix)]
#[path = "cli/budget.rs"]
mod budget;
#[path = "cli/capability.rs"]
mod capability;
#[path = "cli/cells.rs"]
mod cells;
#[path = "cli/columns.rs"]
mod columns;
#[path = "cli/config.rs"]
mod config;
#[path = "cli/files.rs"]
mod files;
#[path = "cli/folders.rs"]
mod folders;
#[path = "cli/given.rs"]
mod given;
#[path = "cli/look.rs"]
mod look;
#[path = "cli/metrics.rs"]
mod metrics;
#[path = "cli/program.rs"]
mod program;
#[cfg(unix)]
#[path = "cli/resume.rs"]
mod resume;
#[path = "cli/screen.rs"]
mod screen;
#[path = "cli/structure.rs"]
mod structure;
