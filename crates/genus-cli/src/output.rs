//! What is printed, and where: results on standard output, everything else on standard error.
#![allow(clippy::print_stdout, clippy::print_stderr)] // the one place of the workspace that prints

use genus::{Advice, Error};
use serde::Serialize;
use std::io::{self, ErrorKind, Write};

/// An error with its causes, on one line.
pub fn error(e: &anyhow::Error) {
    let mut words = Vec::new();
    for cause in e.chain() {
        // An error of ours names its own causes, and its remedy is said in words of the command line.
        if let Some(ours) = cause.downcast_ref::<Error>() {
            words.push(said(ours));
            break;
        }
        words.push(cause.to_string());
    }
    let text = words.join(": ");
    note(format!("error: {}", text.lines().map(str::trim).collect::<Vec<_>>().join(" ")));
}

/// An error in words of the command line.
pub fn said(e: &Error) -> String {
    let Error::Advised { error, advice } = e else { return e.to_string() };
    let remedy = match advice {
        Advice::OtherFolder => "choose another folder with --out".into(),
        Advice::WaitOrOtherFolder => "wait for it, or choose another folder with --out".into(),
        Advice::ResumeOrOtherFolder => {
            "go on with it by --resume, or choose another folder with --out".into()
        }
        Advice::Resume(run) => format!("go on with `genus train --resume --out {}`", run.display()),
        Advice::BeginFrom { run, version } => format!(
            "use genus {version}, or begin a new run with its model by `genus train --from {}`",
            run.display()
        ),
        Advice::Train => "`genus train` makes one".into(),
        Advice::ListData => "`genus data list` shows the names of all data sets".into(),
        Advice::ListModels => "`genus models` shows them all".into(),
        Advice::OwnLaw => "sample without --class and --temperature".into(),
        Advice::Download(name) => format!("`genus data get {name}` downloads it"),
        Advice::Missing => {
            "leave such rows out with --drop-missing; a model trained on the others fills them by `genus impute`".into()
        }
        Advice::Split => "cut one off with `--split 0.8/0.1/0.1` (train/valid/test)".into(),
        Advice::Label => "leave out what asks for classes, or name the label column with --label".into(),
        other => other.to_string(),
    };
    format!("{}; {remedy}", said(error))
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

/// Lines of at most so many letters, broken between words.
pub fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let last = lines.len() - 1;
        if !lines[last].is_empty() && lines[last].chars().count() + 1 + word.chars().count() > width {
            lines.push(word.to_owned());
            continue;
        }
        if !lines[last].is_empty() {
            lines[last].push(' ');
        }
        lines[last].push_str(word);
    }
    lines
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
