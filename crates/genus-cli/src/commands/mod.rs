//! One module per group of commands.

mod catalogue;
mod cells;
mod fit;
mod look;
mod metrics;
mod probe;
mod reproduce;

use crate::args::{Cli, Command, Cut, DataCommand, Source};
use anyhow::{Context as _, Result};
use clap::CommandFactory;
use genus::data::Missing;
use genus::run::RunDir;
use genus::{Dataset, Model, Schema, Split, SplitName, data, registry};
use genus_report::Format;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// What all commands share.
pub struct Context {
    pub json: bool,
    pub data_dir: Option<PathBuf>,
}

/// Runs a command.
pub fn run(cli: Cli) -> Result<ExitCode> {
    genus::use_device(&cli.device)?;
    let cx = Context { json: cli.json, data_dir: cli.data_dir };
    match cli.command {
        Command::Models { model } => catalogue::models(&cx, model.as_deref())?,
        Command::Data { what } => match what.unwrap_or(DataCommand::List) {
            DataCommand::List => catalogue::data_list(&cx)?,
            DataCommand::Info { name, cut, given } => {
                catalogue::data_info(&cx, &name, &cut, &columns(given.as_deref()))?;
            }
            DataCommand::Schema { file, cut } => catalogue::data_schema(&cx, &file, &cut)?,
            DataCommand::Get { name, to } => catalogue::data_get(&name, to)?,
        },
        Command::Train(train) => return fit::train(&cx, train),
        Command::Sample {
            run,
            n,
            output,
            seed,
            class,
            given,
            given_rows,
            temperature,
            with_missing,
            balance,
            conditions,
        } => {
            let given = look::Given { class, columns: given, rows: given_rows, conditions, balance };
            let how = genus::Drawing { temperature, given: None, missing: with_missing };
            look::sample(&cx, &run, n, output.as_deref(), seed, how, &given)?;
        }
        Command::Classify(t) => look::classify(&cx, &t)?,
        Command::Cluster(t) => look::cluster(&cx, &t)?,
        Command::Score { run, source, cells: true, output, .. } => {
            crate::progress::stop(None)?.during(|| cells::score(&cx, &run, &source, output.as_deref()))?;
        }
        Command::Predict { run, column, source, output, seed } => crate::progress::stop(None)?
            .during(|| cells::predict(&cx, &run, &column, &source, output.as_deref(), seed))?,
        Command::Score { run, source, scoring, labels, anomaly, output, .. } => {
            let truth = labels.map(|column| look::Truth { column, anomaly });
            look::score(&cx, &run, &source, &scoring, truth.as_ref(), output.as_deref())?;
        }
        Command::Evaluate { run, source, scoring, draws } => {
            look::evaluate(&cx, &run, &source, &scoring, draws)?;
        }
        Command::Metrics { real, draws, cut, n, quick, seed } => {
            crate::progress::stop(None)?
                .during(|| metrics::metrics(&cx, &real, &draws, &cut, n, quick, seed))?;
        }
        Command::Encode(t) => look::encode(&cx, &t)?,
        Command::Probe { run, source, labels, target, seed } => match target {
            None => probe::probe(&cx, &run, &source, labels, seed)?,
            Some(target) => probe::regress(&cx, &run, &source, &target, labels, seed)?,
        },
        Command::Reconstruct(t) => look::reconstruct(&cx, &t)?,
        Command::Interpolate { through, from, to, steps } => {
            look::interpolate(&cx, &through, from, to, steps)?
        }
        Command::Impute { through, sample, tables, seed } => {
            look::impute(&cx, &through, sample, tables.map(usize::from), seed)?;
        }
        Command::Audit { subject, source } => return look::audit(&cx, &subject, &source),
        Command::Report {
            synthetic: Some(synthetic),
            real: Some(real),
            held_out,
            label,
            kinds,
            output,
            ..
        } => {
            let cut = Cut { split: None, label, kinds, drop_missing: false };
            crate::progress::stop(None)?
                .during(|| metrics::quality(&cx, &synthetic, &real, held_out.as_deref(), &cut, &output))?;
        }
        Command::Report { runs, table: Some(format), .. } => {
            let runs = runs.into_iter().map(RunDir::open).collect::<genus::Result<Vec<_>>>()?;
            let format = match format.as_str() {
                "latex" => Format::Latex,
                "csv" => Format::Csv,
                _ => Format::Markdown,
            };
            crate::output::bytes(genus_report::table(&runs, format)?.as_bytes());
        }
        Command::Report { runs, .. } => {
            for run in runs {
                let path = genus_report::write(&RunDir::open(run)?)?;
                crate::output::line(path.display());
            }
        }
        Command::Reproduce { recipe, out, resume, plumbing, record } => {
            return match recipe {
                None => reproduce::list(&cx).map(|()| ExitCode::SUCCESS),
                Some(name) => reproduce::run(&cx, &name, out, resume, plumbing, &record),
            };
        }
        Command::Completions { shell } => {
            let mut out = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "genus", &mut out);
            crate::output::bytes(&out);
        }
        Command::Man => {
            let mut out = Vec::new();
            clap_mangen::Man::new(Cli::command()).render(&mut out)?;
            crate::output::bytes(&out);
        }
    }
    Ok(ExitCode::SUCCESS)
}

impl Context {
    /// Reads a data set: as it is, or, with a schema, as rows of the model that has it. What was left out or doubtful is said.
    pub fn load(
        &self,
        source: &str,
        cut: &Cut,
        keep_missing: bool,
        like: Option<&Schema>,
    ) -> Result<Dataset> {
        self.read(source, &self.options(cut, keep_missing, like)?)
    }

    /// As [`load`](Self::load), with these options.
    pub fn read(&self, source: &str, options: &data::Options) -> Result<Dataset> {
        let given = (source == "-").then(piped).transpose()?;
        let given = given.as_ref().map(|(_, path)| path.display().to_string());
        let mut set = data::load(given.as_deref().unwrap_or(source), options)?;
        if given.is_some() {
            set.provenance.source = "standard input".into();
        }
        set.provenance.remarks.iter().for_each(|r| crate::output::note(format!("warning: {r}")));
        Ok(set)
    }

    /// How to read a data set.
    pub fn options(&self, cut: &Cut, keep_missing: bool, like: Option<&Schema>) -> Result<data::Options> {
        Ok(data::Options {
            split: cut.split.as_deref().map(data::parse_split).transpose()?,
            label: cut.label.as_deref().map(|l| l.parse().unwrap_or(data::Label::None)),
            data_dir: self.data_dir.clone(),
            missing: match keep_missing {
                true => Missing::Keep,
                false if cut.drop_missing => Missing::Drop,
                false => Missing::Refuse,
            },
            like: like.cloned(),
            kinds: match (&cut.kinds, like) {
                (Some(_), Some(_)) => {
                    let message = "the model knows what its columns are; leave it out";
                    return Err(genus::Error::config("kinds", message).into());
                }
                (Some(kinds), None) => data::parse_kinds(kinds)?,
                (None, _) => data::Kinds::new(),
            },
            ..data::Options::default()
        })
    }

    /// Rows for a model, from a data set as asked for, and which they are: those of a split, or the rows of a file that has none. Where a
    /// model takes rows that lack values, they may.
    pub fn rows(&self, source: &Source, model: &dyn Model) -> Result<Rows> {
        self.rows_with(source, keeps(model, &source.cut), model)
    }

    /// As [`rows`](Self::rows); whether values may be missing is said.
    pub fn rows_with(&self, source: &Source, keep_missing: bool, model: &dyn Model) -> Result<Rows> {
        let set = self.load(&source.data, &source.cut, keep_missing, Some(model.schema()))?;
        chosen(source, set)
    }
}

/// Whether rows for a model keep what they lack.
fn keeps(model: &dyn Model, cut: &Cut) -> bool {
    model.spec().missing && !cut.drop_missing
}

/// The rows of a set that were asked for.
fn chosen(source: &Source, set: Dataset) -> Result<Rows> {
    let (name, shown) = match source.rows.as_deref() {
        Some("train") => (SplitName::Train, SplitName::Train),
        Some("valid") => (SplitName::Valid, SplitName::Valid),
        Some(_) => (SplitName::Test, SplitName::Test),
        None if set.test.is_some() => (SplitName::Test, SplitName::Test),
        None => (SplitName::Train, SplitName::Rows),
    };
    let split = set.split(name)?.clone();
    Ok(Rows { split, name: shown, set })
}

/// Names of columns as they are typed.
fn columns(text: Option<&str>) -> Vec<String> {
    text.map(genus::names::parts).unwrap_or_default()
}

/// Standard input as a file in a folder that goes when it is dropped: an array if it begins as one, else a table.
fn piped() -> Result<(tempfile::TempDir, PathBuf)> {
    let mut bytes = Vec::new();
    std::io::stdin().lock().read_to_end(&mut bytes).context("cannot read standard input")?;
    if bytes.is_empty() {
        return Err(genus::Error::config("data", "there is nothing on standard input").into());
    }
    let name = if bytes.starts_with(b"\x93NUMPY") { "stdin.npy" } else { "stdin.csv" };
    let folder = tempfile::tempdir().context("cannot keep standard input")?;
    let path = folder.path().join(name);
    std::fs::write(&path, bytes).context("cannot keep standard input")?;
    Ok((folder, path))
}

/// Rows for a model.
pub struct Rows {
    pub split: Split,
    pub name: SplitName,
    pub set: Dataset,
}

/// The number of importance samples, if it is one that can be computed with.
fn importance(k: usize) -> Result<usize> {
    let most = 1 << 24;
    if !(1..=most).contains(&k) {
        let message = format!("must be at least 1 and at most {most}, and it is {k}");
        return Err(genus::Error::config("importance-samples", message).into());
    }
    Ok(k)
}

/// What the program was built from.
fn versions() -> Vec<(String, String)> {
    [("commit", env!("GENUS_COMMIT")), ("compiler", env!("GENUS_COMPILER"))]
        .map(|(k, v)| (k.to_owned(), v.to_owned()))
        .into()
}

/// The run and its model.
fn open(run: &Path) -> Result<(RunDir, Box<dyn Model>)> {
    let run = RunDir::open(run)?;
    run.config()?;
    let model = registry::restore(&run.model()?)?;
    Ok((run, model))
}
