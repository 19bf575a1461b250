//! `genus reproduce` (next).
use super::Context;
use anyhow::Result;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
pub fn list(_: &Context) -> Result<()> { Ok(()) }
pub fn run(_: &Context, _: &str, _: Option<PathBuf>, _: bool, _: bool, _: &Path) -> Result<ExitCode> { Ok(ExitCode::SUCCESS) }
