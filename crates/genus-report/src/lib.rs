//! Run folders as reports: one HTML file that holds everything it shows.
//!
//! A report is a pure function of the run folder. It loads nothing from anywhere, runs no script, follows the
//! light or dark theme of its reader, and knows events, scores and exhibits, never a model.
//!
//! The page is a list of sections of tables, charts and pictures ([`render`] makes them from the folder, the
//! template lays them out), so that a page of several runs side by side needs another layout only.

mod block;
mod charts;
mod curves;
mod facts;
mod look;
mod panels;
mod paper;
mod picture;
mod scale;
mod svg;
mod view;

pub use paper::{Format, table};

use genus_core::run::{RunDir, Summary};
use genus_core::{Error, Exhibit, Result, fsx};
use minijinja::value::{Serde, Value};
use minijinja::{Environment, context};
use std::path::{Path, PathBuf};
use view::Page;

/// The name ends in `.html`, which is what turns escaping on.
const TEMPLATE: &str = "report.html";

/// The report of a run, as HTML.
///
/// # Errors
/// [`Error::Run`] if the folder was written in another layout, [`Error::Format`] or [`Error::Io`] if one of its
/// files is damaged or cannot be read. Missing files are no error; what they would have shown is left out.
pub fn render(run: &RunDir) -> Result<String> {
    page(&Page::read(run)?)
}

/// Writes the report of a run to its `report.html`, whole or not at all, and says where that is.
///
/// # Errors
/// As [`render`], and [`Error::Io`] if the file cannot be written.
pub fn write(run: &RunDir) -> Result<PathBuf> {
    let html = render(run)?;
    let path = run.report_path();
    fsx::write_atomic(&path, html.as_bytes())?;
    Ok(path)
}

/// Writes exhibits that are of no run as a page of their own: under a title and what it is on, with what is to be known first, and facts by
/// name.
///
/// # Errors
/// [`Error::Io`] if the file cannot be written, and if an exhibit cannot be drawn.
pub fn write_exhibits(
    path: &Path,
    [title, on, lead]: [&str; 3],
    facts: &[(String, String)],
    exhibits: &[Exhibit],
) -> Result<()> {
    let summary = Summary::default();
    let look = look::Look::new(&summary);
    let sections = exhibits.iter().map(|e| panels::section(&look, e)).collect::<Result<Vec<_>>>()?;
    let facts = facts.iter().map(|(name, text)| facts::Fact { name: name.clone(), text: text.clone() });
    let header = facts::Header {
        title: title.into(),
        data: on.into(),
        lead: lead.into(),
        facts: facts.collect(),
        ..facts::Header::default()
    };
    let html = page(&Page { header, sections: sections.into_iter().flatten().collect() })?;
    fsx::write_atomic(path, html.as_bytes())
}

fn page(page: &Page) -> Result<String> {
    let refuse = |e: minijinja::Error| Error::Run(format!("cannot lay out the report: {e}"));
    let mut env = Environment::new();
    env.add_template(TEMPLATE, include_str!("template.html")).map_err(refuse)?;
    let style = Value::from_safe_string(include_str!("style.css").to_owned());
    let context = context! { page => Value::from(Serde(page)), style => style };
    env.get_template(TEMPLATE).and_then(|t| t.render(context)).map_err(refuse)
}

#[cfg(test)]
mod tests;
