//! What is printed, and where: results on standard output, everything else on standard error.
#![allow(clippy::print_stdout, clippy::print_stderr)] // the one place of the workspace that prints

use serde::Serialize;
use std::io::{self, ErrorKind, Write};

/// An error with its causes, on one line.
pub fn error(e: &anyhow::Error) {
    let text = format!("{e:#}");
    note(format!("error: {}", text.lines().map(str::trim).collect::<Vec<_>>().join(" ")));
}

/// A remark for the person at the terminal. Nobody listening is no reason to stop: `eprintln!` would panic, and a training
/// would be lost, when the reader of a pipe goes away.
pub fn note(text: impl std::fmt::Display) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// A line of the result.
pub fn line(text: impl std::fmt::Display) {
    bytes(format!("{text}\n").as_bytes());
}

/// The result as JSON.
pub fn json(value: &impl Serialize) -> anyhow::Result<()> {
    line(serde_json::to_string_pretty(value)?);
    Ok(())
}

/// Bytes of the result. A closed pipe is no error, `genus models | head` is fine; anything else, such as a full disk, is one,
/// because half a result would pass for a whole one.
pub fn bytes(b: &[u8]) {
    let mut out = io::stdout();
    if let Err(e) = out.write_all(b).and_then(|()| out.flush())
        && e.kind() != ErrorKind::BrokenPipe
    {
        error(&anyhow::Error::new(e).context("cannot write to standard output"));
        std::process::exit(1);
    }
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
