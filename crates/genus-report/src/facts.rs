//! The parts of a report that come from the summary and the configuration: header, scores, audit, figures,
//! times.

use crate::block::{Block, Cell, Section, Table};
use crate::scale::{count, duration, fixed, nats, nats_decimals, nats_with, short};
use genus_core::run::{RunConfig, Score, Summary};
use genus_core::{Evidence, EvidenceKind, SplitName};
use serde::Serialize;

/// The top of the page.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Header {
    /// Full name of the model.
    pub title: String,
    /// Registry name of the model.
    pub model: String,
    /// Name of the data.
    pub data: String,
    /// Place in the taxonomy, outermost first.
    pub taxonomy: Vec<String>,
    /// The number that the run stands for.
    pub headline: Option<Headline>,
    /// What else to know before reading on.
    pub facts: Vec<Fact>,
    /// The model's papers.
    pub references: Vec<String>,
    /// What to know first of a page that is of no run, or empty.
    pub lead: String,
    /// Whether the training has not ended.
    pub unfinished: bool,
}

/// A name with its value.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Fact {
    /// Name.
    pub name: String,
    /// Value.
    pub text: String,
}

/// The number that a run stands for, with all that it needs to mean something.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Headline {
    /// Kind of evidence.
    pub kind: &'static str,
    /// What the kind means.
    pub meaning: &'static str,
    /// `≥`, `≈` or empty.
    pub sign: &'static str,
    /// Mean and standard error.
    pub number: String,
    /// Unit.
    pub unit: &'static str,
    /// Bits per dimension, with their unit, or empty.
    pub bits: String,
    /// Split, rows, measure, protocol.
    pub under: String,
}

/// Order of the table of this kind, its name, its sign and its meaning.
fn kind(evidence: Evidence) -> (usize, &'static str, &'static str, &'static str) {
    match (evidence.kind, evidence.stderr) {
        (EvidenceKind::Exact, None) => {
            (0, "Exact log-probability", "", "The model's own log-probability, up to rounding.")
        }
        (EvidenceKind::LowerBound, None) => (
            1,
            "Lower bound",
            "≥ ",
            "The log-probability is at least this, in expectation where the bound is drawn.",
        ),
        (EvidenceKind::Exact, Some(_)) => {
            (2, "Estimate", "≈ ", "An estimate by simulation; its standard error is part of the number.")
        }
        (EvidenceKind::LowerBound, Some(_)) => (
            3,
            "Estimated lower bound",
            "≳ ",
            "At most the log-probability, but for a term that was estimated by simulation; its standard error is part of the number.",
        ),
        (EvidenceKind::Unnormalized, _) => (
            4,
            "Unnormalised",
            "const + ",
            "Known up to an additive constant: it orders rows of one model and compares no two models.",
        ),
    }
}

/// Name of a kind of evidence.
pub(crate) fn name_of(evidence: Evidence) -> &'static str {
    kind(evidence).1
}

/// Name of a split in the page's words.
fn split(name: SplitName) -> &'static str {
    match name {
        SplitName::Train => "train",
        SplitName::Valid => "validation",
        SplitName::Test => "test",
        SplitName::Rows => "other rows",
    }
}

/// The score that the run stands for: on test rows if there are any.
pub(crate) fn chosen(summary: &Summary) -> Option<&Score> {
    [SplitName::Test, SplitName::Valid, SplitName::Train]
        .into_iter()
        .find_map(|name| summary.scores.iter().find(|s| s.split == name))
}

/// The top of the page. `finished` is false while there is no summary.
pub(crate) fn header(config: &RunConfig, summary: &Summary, finished: bool) -> Header {
    let either = |a: &str, b: &str| if a.is_empty() { b.to_owned() } else { a.to_owned() };
    let mut facts = Vec::new();
    let mut fact = |name: &str, text: String| {
        if !text.is_empty() {
            facts.push(Fact { name: name.to_owned(), text });
        }
    };
    let rows: Vec<String> =
        summary.rows.iter().map(|(name, n)| format!("{} {}", count(*n), split(*name))).collect();
    fact("Data", either(&summary.data.name, &config.data.source));
    fact("Rows", rows.join(", "));
    fact("Domain", summary.domain.clone());
    fact("Understood as", summary.data.reading.clone());
    fact("Splits", either(&summary.data.splits, &config.data.split));
    fact("Source", summary.data.source.clone());
    fact("SHA-256 of the data", config.data.sha256.clone());
    fact("The model is of", if summary.given.is_empty() { String::new() } else { summary.formula() });
    fact("The model can", summary.capabilities.join(", "));
    let headline = chosen(summary).map(|s| {
        let (_, kind, sign, meaning) = kind(s.evidence);
        let fitted = if s.split == SplitName::Train { ", which it was fitted to" } else { "" };
        let mut under = format!("{} rows{fitted}: {}; {}", split(s.split), count(s.rows), s.measure);
        if !s.protocol.is_empty() {
            under += &format!("; {}", s.protocol);
        }
        Headline {
            kind,
            meaning,
            sign,
            number: nats_with(s.nats, s.stderr),
            unit: "nats per row",
            bits: s.bits_per_dim.map_or_else(String::new, |b| format!("{} bits per dimension", fixed(b, 4))),
            under,
        }
    });
    Header {
        title: either(&summary.title, &either(&summary.model, &config.model)),
        model: either(&summary.model, &config.model),
        data: either(&summary.data.name, &config.data.source),
        taxonomy: summary.taxonomy.iter().map(|t| t.replace('_', " ")).collect(),
        headline,
        facts,
        references: summary.references.clone(),
        lead: String::new(),
        unfinished: !finished,
    }
}

/// Scores, one table per kind of evidence.
pub(crate) fn scores(summary: &Summary) -> Option<Section> {
    let entropy = summary.data.entropy.filter(|h| h.is_finite());
    let any = |f: fn(&Score) -> Option<f64>| summary.scores.iter().any(|s| f(s).is_some());
    let [independent, uniform, bits] = [any(|s| s.independent), any(|s| s.uniform), any(|s| s.bits_per_dim)];
    let mut tables: Vec<(usize, Table)> = Vec::new();
    for score in &summary.scores {
        let (order, name, sign, meaning) = kind(score.evidence);
        let gaps = entropy.filter(|_| order < 4);
        let at = tables.iter().position(|(o, _)| *o == order).unwrap_or_else(|| {
            let mut head = vec!["Split", "#Rows", "#Nats per row"];
            head.extend(independent.then_some("#Independent columns"));
            head.extend(uniform.then_some("#Uniform law"));
            head.extend(bits.then_some("#Bits per dimension"));
            head.extend(gaps.map(|_| "#Gap to the source, nats"));
            head.extend(["Measure", "Protocol"]);
            let mut table = Table::new(name, head);
            table.note = meaning.to_owned();
            tables.push((order, table));
            tables.len() - 1
        });
        let error = score.stderr;
        let mut cells: Vec<Cell> = vec![
            match score.split {
                SplitName::Train => "train, which it was fitted to".into(),
                other => split(other).into(),
            },
            count(score.rows).into(),
            format!("{sign}{}", nats_with(score.nats, error)).into(),
        ];
        let given = |v: Option<f64>, text: fn(f64) -> String| v.map_or_else(|| "".into(), |v| text(v).into());
        cells.extend(independent.then(|| given(score.independent, nats)));
        cells.extend(uniform.then(|| given(score.uniform, nats)));
        cells.extend(bits.then(|| given(score.bits_per_dim, |b| fixed(b, 4))));
        if let Some(h) = gaps {
            // On training rows the difference says nothing about the distance between the distributions.
            let gap = fixed(-score.nats - h, nats_decimals(score.nats, error));
            let bound = if order == 1 { "≤ " } else { "" };
            let text =
                if score.split == SplitName::Train { "–".to_owned() } else { format!("{bound}{gap}") };
            cells.push(text.into());
        }
        cells.extend([score.measure.to_string().into(), score.protocol.as_str().into()]);
        tables[at].1.row(cells);
    }
    if tables.is_empty() {
        return None;
    }
    tables.sort_by_key(|(order, _)| *order);
    let mut intro = "Mean log-probability with its standard error; higher is better.".to_owned();
    if tables.len() > 1 {
        intro += " Tables of unlike kinds of evidence must not be ranked against each other.";
    }
    if let Some(h) = entropy {
        intro += &format!(
            " The entropy of the source is known: {} nats per row. No model gets above {} in expectation; \
             the gap on held-out rows estimates the divergence of the model from the source.",
            nats(h),
            nats(-h)
        );
    }
    let blocks = tables.into_iter().map(|(_, table)| Block::Table(table)).collect();
    Some(Section { id: "scores".into(), title: "Scores".into(), intro, blocks })
}

/// Likelihood checks.
pub(crate) fn audit(summary: &Summary) -> Option<Section> {
    let failed = summary.audit.iter().filter(|row| !row.passed).count();
    let mut table = Table::new("Checks of the likelihood", ["Check", "Subject", "Result", "Figure"]);
    for row in &summary.audit {
        let result = if row.passed {
            Cell { text: "✓ passed".into(), tone: "good", bar: None }
        } else {
            Cell { text: "✗ failed".into(), tone: "bad", bar: None }
        };
        table.row([
            row.check.as_str().into(),
            row.subject.as_str().into(),
            result,
            row.figure.as_str().into(),
        ]);
    }
    let intro = match (failed, summary.audit.len()) {
        (_, 0) => return None,
        (0, 1) => "The check passed.".to_owned(),
        (0, n) => format!("All {n} checks passed."),
        (f, n) => format!(
            "{f} of {n} checks failed: the scores above are not to be trusted before that is explained."
        ),
    };
    Some(Section { id: "audit".into(), title: "Audit".into(), intro, blocks: vec![Block::Table(table)] })
}

/// Figures of the model and of the fit.
pub(crate) fn figures(summary: &Summary) -> Option<Section> {
    let mut table = Table::new("Figures of the model and of the fit", ["Figure", "#Value", "Unit"]);
    for figure in &summary.figures {
        table.row([figure.name.as_str().into(), short(figure.value).into(), figure.unit.as_str().into()]);
    }
    let blocks = vec![Block::Table(table)];
    let section = Section { id: "figures".into(), title: "Figures".into(), intro: String::new(), blocks };
    (!summary.figures.is_empty()).then_some(section)
}

/// Warnings of the fit.
pub(crate) fn warnings(messages: Vec<String>) -> Option<Section> {
    let intro = "The fit went on after these; the remedy is part of each.".to_owned();
    let some = !messages.is_empty();
    let blocks = vec![Block::Points(messages)];
    some.then_some(Section { id: "warnings".into(), title: "Warnings".into(), intro, blocks })
}

/// Everything that it takes to repeat the run, with the text of `config.toml`.
pub(crate) fn setup(config: &RunConfig, text: String, summary: &Summary) -> Section {
    let mut about = Table::new("The run", ["What", "Value"]);
    let mut fact = |name: &str, text: String| {
        if !text.is_empty() {
            about.row([name.into(), text.into()]);
        }
    };
    let some = |n: u64| if n == 0 { String::new() } else { count(n) };
    fact("Seed", config.seed.to_string());
    fact("Parameters", some(summary.parameters));
    fact("Steps", some(summary.steps));
    fact("Stopped because", summary.stopped.replace('_', " "));
    fact("Machine", summary.machine.clone());
    if summary.versions.is_empty() {
        fact("genus", config.genus.clone());
    }
    for (name, version) in &summary.versions {
        fact(name, version.clone());
    }
    let mut blocks = vec![Block::Table(about)];
    let total: f64 = summary.seconds.iter().map(|(_, s)| s).filter(|s| s.is_finite()).sum();
    if total > 0.0 {
        let caption = format!("Time per phase, {} in all", duration(total));
        let mut table = Table::new(caption, ["Phase", "#Time", "Share"]);
        for (name, seconds) in &summary.seconds {
            let share = 100.0 * seconds / total;
            let bar = (0.0..=100.0).contains(&share).then(|| format!("{share:.1}"));
            let cell = Cell { text: format!("{} %", fixed(share, 1)), tone: "", bar };
            table.row([name.as_str().into(), duration(*seconds).into(), cell]);
        }
        blocks.push(Block::Table(table));
    }
    blocks.push(Block::Code(text));
    Section { id: "configuration".into(), title: "Configuration".into(), intro: String::new(), blocks }
}
