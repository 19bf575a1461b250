//! What is printed, and where: results on standard output, everything else on standard error.
#![allow(clippy::print_stdout, clippy::print_stderr)] // the one place of the workspace that prints

use genus::{Advice, Error};
use serde::Serialize;
use std::borrow::Cow;
use std::io::{self, ErrorKind, IsTerminal, Write};

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
            let able: Vec<_> =
                genus::registry::all().filter(|spec| spec.missing).map(|spec| spec.name).collect();
            format!(
                "leave such rows out with --drop-missing, or take a model that learns from what is there: {}; `genus impute` fills them",
                able.join(", ")
            )
        }
        Advice::Split => "cut one off with `--split 0.8/0.1/0.1` (train/valid/test)".into(),
        Advice::Label => {
            "leave out what asks for classes, or give rows with known ones (--label names their column)"
                .into()
        }
        other => other.to_string(),
    };
    format!("{}; {remedy}", said(error))
}

/// Whether a terminal takes this character for an order, or shows what follows it elsewhere than it is.
fn is_order(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Text without orders to a terminal: names in a file may hold some. Lines stay lines.
pub fn harmless(text: &str) -> Cow<'_, str> {
    let bad = |c: char| c != '\n' && is_order(c);
    if !text.contains(bad) {
        return Cow::Borrowed(text);
    }
    let put = |c: char| if bad(c) { c.escape_default().to_string() } else { c.to_string() };
    Cow::Owned(text.chars().map(put).collect())
}

/// A remark for the person at the terminal. Nobody listening is no reason to stop: `eprintln!` would panic, and a training
/// would be lost, when the reader of a pipe goes away.
pub fn note(text: impl std::fmt::Display) {
    let _ = writeln!(io::stderr(), "{}", harmless(&text.to_string()));
}

/// A line of the result.
pub fn line(text: impl std::fmt::Display) {
    bytes(harmless(&format!("{text}\n")).as_bytes());
}

/// Rows of a table as text, which are data: as they are, unless a person sees them. False if nobody reads on.
pub fn csv(rows: &[u8]) -> bool {
    if io::stdout().is_terminal() {
        return bytes(harmless(&String::from_utf8_lossy(rows)).as_bytes());
    }
    bytes(rows)
}

/// The result as JSON.
pub fn json(value: &impl Serialize) -> anyhow::Result<()> {
    // JSON has its own way to write such characters, which occur in its texts only.
    let text = serde_json::to_string_pretty(value)?;
    let put = |c: char| match c {
        '\n' => c.to_string(),
        c if is_order(c) => format!("\\u{:04x}", u32::from(c)),
        c => c.to_string(),
    };
    let text =
        if text.contains(|c| c != '\n' && is_order(c)) { text.chars().map(put).collect() } else { text };
    bytes(format!("{text}\n").as_bytes());
    Ok(())
}

/// Bytes of the result. A closed pipe is no error, `genus models | head` is fine; anything else, such as a full disk, is one,
/// because half a result would pass for a whole one. False if the pipe is closed.
pub fn bytes(b: &[u8]) -> bool {
    let mut out = io::stdout();
    match out.write_all(b).and_then(|()| out.flush()) {
        Ok(()) => true,
        Err(e) if e.kind() == ErrorKind::BrokenPipe => false,
        Err(e) => {
            error(&anyhow::Error::new(e).context("cannot write to standard output"));
            std::process::exit(1);
        }
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
    let one_line = |cell: &String| harmless(&cell.replace('\n', "\\n")).into_owned();
    let rows: Vec<Vec<String>> = rows.iter().map(|r| r.iter().map(one_line).collect()).collect();
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_shown_and_lines_stay() {
        assert_eq!(harmless("a\u{1b}[2J\nb\u{9b}c\td\u{202e}é"), "a\\u{1b}[2J\nb\\u{9b}c\\td\\u{202e}é");
        assert!(matches!(harmless("plain\ntext ─ é"), Cow::Borrowed(_)));
    }
}
