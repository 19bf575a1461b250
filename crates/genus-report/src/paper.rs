//! The scores of several runs as one table for a paper.

use crate::facts::{chosen, name_of};
use crate::scale::nats_decimals;
use genus_core::run::{RunDir, Score};
use genus_core::{Error, Measure, Result};

/// How a table is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Markdown.
    Markdown,
    /// LaTeX, a `tabular`.
    Latex,
    /// CSV, with all digits.
    Csv,
}

/// A line of the table, and what all lines must share.
struct Line {
    run: String,
    model: String,
    data: String,
    sha256: String,
    /// How bits were made of the data, if they were: other bits are other data.
    bits: String,
    score: Score,
}

/// The score that each run stands for, those on test rows first, in one table.
///
/// # Errors
/// [`Error::Config`] if the numbers cannot stand in one table: other data, other rows, another measure, bits that were made otherwise. [`Error::Run`]
/// if a run has no score, and whatever reading a folder meets.
pub fn table(runs: &[RunDir], format: Format) -> Result<String> {
    let lines = runs.iter().map(line).collect::<Result<Vec<_>>>()?;
    for pair in lines.windows(2) {
        alike(&pair[0], &pair[1])?;
    }
    let head = ["model", "data", "split", "rows", "nats per row", "bits/dim", "evidence", "protocol"];
    let mut out = String::new();
    match format {
        Format::Markdown => {
            row(&mut out, head.map(str::to_owned), "| ", " | ", " |\n");
            out += "|---|---|---|--:|--:|--:|---|---|\n";
            for l in &lines {
                let cells = cells(l, "\u{2212}", " ± ").map(|c| c.replace('|', "\\|"));
                row(&mut out, cells, "| ", " | ", " |\n");
            }
            if let Some(l) = lines.first() {
                out += &format!("\n{}.\n", l.score.measure);
            }
        }
        Format::Latex => {
            if let Some(l) = lines.first() {
                out += &format!("% {}\n", l.score.measure);
            }
            out += "\\begin{tabular}{lllrrrll}\n\\hline\n";
            row(&mut out, head.map(str::to_owned), "", " & ", " \\\\\n");
            out += "\\hline\n";
            for l in &lines {
                let mut cells = cells(l, "-", " \\pm ");
                for (i, cell) in cells.iter_mut().enumerate() {
                    // The numbers are formulas already.
                    *cell =
                        if i == 4 || i == 5 && !cell.is_empty() { format!("${cell}$") } else { latex(cell) };
                }
                row(&mut out, cells, "", " & ", " \\\\\n");
            }
            out += "\\hline\n\\end{tabular}\n";
        }
        Format::Csv => {
            out += "model,data,split,rows,nats,stderr,bits_per_dim,evidence,protocol,measure,data_sha256\n";
            for l in &lines {
                let s = &l.score;
                let number = |v: Option<f64>| v.map_or_else(String::new, |v| v.to_string());
                let cells = [
                    l.model.clone(),
                    l.data.clone(),
                    s.split.to_string(),
                    s.rows.to_string(),
                    s.nats.to_string(),
                    number(s.stderr),
                    number(s.bits_per_dim),
                    name_of(s.evidence).to_lowercase(),
                    s.protocol.clone(),
                    s.measure.to_string(),
                    l.sha256.clone(),
                ];
                row(&mut out, cells.map(|c| quoted(&c)), "", ",", "\n");
            }
        }
    }
    Ok(out)
}

fn line(run: &RunDir) -> Result<Line> {
    let name = run.path().display().to_string();
    let config = run.config()?;
    if !run.summary_path().exists() {
        return Err(Error::Run(format!("{name} has no scores yet: its training has not ended")));
    }
    let summary = run.summary()?;
    let Some(score) = chosen(&summary) else {
        return Err(Error::Run(format!("{name} has no score: {} states no likelihood", config.model)));
    };
    let bits = if score.measure == Measure::Binarized { summary.transform.clone() } else { String::new() };
    let data = if summary.data.name.is_empty() { config.data.source } else { summary.data.name.clone() };
    Ok(Line { run: name, model: config.model, data, sha256: config.data.sha256, bits, score: score.clone() })
}

/// Refuses numbers that must not be compared.
fn alike(a: &Line, b: &Line) -> Result<()> {
    let words = |of: &Line| {
        let s = &of.score;
        [
            ("the data (SHA-256)", of.sha256.clone()),
            ("the split", s.split.to_string()),
            ("the measure", s.measure.to_string()),
            ("the number of rows", s.rows.to_string()),
            ("the way to bits", of.bits.clone()),
        ]
    };
    for ((what, ours), (_, theirs)) in words(a).into_iter().zip(words(b)) {
        if ours != theirs {
            let message = format!(
                "{} and {} cannot stand in one table: {what} differs, \"{ours}\" and \"{theirs}\"; make a table of each",
                a.run, b.run
            );
            return Err(Error::config("table", message));
        }
    }
    Ok(())
}

/// The cells of a line, with this sign of negative numbers and this between a number and its standard error.
fn cells(of: &Line, minus: &str, between: &str) -> [String; 8] {
    let s = &of.score;
    let decimals = nats_decimals(s.nats, s.stderr);
    let error = s.stderr.map_or_else(String::new, |e| format!("{between}{e:.decimals$}"));
    [
        of.model.clone(),
        of.data.clone(),
        s.split.to_string(),
        s.rows.to_string(),
        format!("{:.decimals$}", s.nats).replace('-', minus) + &error,
        s.bits_per_dim.map_or_else(String::new, |b| format!("{b:.4}").replace('-', minus)),
        name_of(s.evidence).to_lowercase(),
        s.protocol.clone(),
    ]
}

fn row<const N: usize>(out: &mut String, cells: [String; N], first: &str, between: &str, last: &str) {
    *out += &format!("{first}{}{last}", cells.join(between));
}

/// A text in which LaTeX sees no command.
fn latex(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '&' | '%' | '$' | '#' | '_' | '{' | '}' => out.extend(['\\', c]),
            '\\' => out += "\\textbackslash{}",
            '~' => out += "\\textasciitilde{}",
            '^' => out += "\\textasciicircum{}",
            _ => out.push(c),
        }
    }
    out
}

/// A cell of CSV.
fn quoted(text: &str) -> String {
    if text.contains([',', '"', '\n']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}
