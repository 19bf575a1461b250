//! What is printed, and where: results on standard output, everything else on standard error.
#![allow(clippy::print_stdout, clippy::print_stderr)] // the one place of the workspace that prints

use serde::Serialize;
use std::io::{self, Write};

/// An error with its causes on one line each.
pub fn error(e: &anyhow::Error) {
    eprintln!("error: {e:#}");
}

/// A remark for the person at the terminal.
pub fn note(text: impl std::fmt::Display) {
    eprintln!("{text}");
}

/// A line of the result. A closed pipe is no error: `genus models | head` is fine.
pub fn line(text: impl std::fmt::Display) {
    let _ = writeln!(io::stdout(), "{text}");
}

/// The result as JSON.
pub fn json(value: &impl Serialize) -> anyhow::Result<()> {
    line(serde_json::to_string_pretty(value)?);
    Ok(())
}

/// Bytes of the result: completions, a man page.
pub fn bytes(b: &[u8]) {
    let _ = io::stdout().write_all(b);
}

/// Columns under a header, each as wide as its widest entry.
pub fn table(header: &[&str], rows: &[Vec<String>]) {
    let width = |c: usize| {
        rows.iter().map(|r| r[c].chars().count()).chain([header[c].chars().count()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..header.len()).map(width).collect();
    let print = |cells: &[String]| {
        let padded: Vec<String> = cells
            .iter()
            .zip(&widths)
            .map(|(c, w)| format!("{c}{}", " ".repeat(w - c.chars().count())))
            .collect();
        line(padded.join("  ").trim_end());
    };
    print(&header.iter().map(|h| (*h).to_owned()).collect::<Vec<_>>());
    print(&widths.iter().map(|w| "─".repeat(*w)).collect::<Vec<_>>());
    rows.iter().for_each(|r| print(r));
}
