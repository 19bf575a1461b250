//! What can be typed.

use crate::known::{DATA, MODELS};
use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;

/// Every family of generative models behind one contract.
///
/// Learn the distribution of data, then sample, score, complete, encode and explain it.
#[derive(Debug, Parser)]
#[command(name = "genus", version, arg_required_else_help = true)]
pub struct Cli {
    /// Print tables and results as JSON.
    #[arg(long, global = true)]
    pub json: bool,
    /// Folder in which named data sets are looked for first.
    #[arg(long, global = true, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Where networks are computed: cpu, or wgpu if the program was built with that feature.
    #[arg(long, global = true, value_name = "DEVICE", default_value = "cpu")]
    pub device: String,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// The taxonomy, with what each model can do.
    Models {
        /// Show one model: its papers, its configuration with meanings, values and defaults.
        #[arg(value_parser = MODELS, hide_possible_values = true)]
        model: Option<String>,
    },
    /// Built-in, downloadable and local data.
    Data {
        #[command(subcommand)]
        what: Option<DataCommand>,
    },
    /// Fit a model to data; everything lands in a run folder with a report.
    Train(Train),
    /// Draw rows from a trained model.
    Sample {
        /// Run folder.
        run: PathBuf,
        /// How many rows [default: 64]; with --given-rows, how many for each row of the file [default: 1].
        #[arg(short)]
        n: Option<usize>,
        /// File to write: .png, .npz, .npy or .csv; without it rows are printed as CSV.
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
        /// Seed of the draws.
        #[arg(long, default_value_t = 0)]
        seed: u64,
        /// Draw rows of this class only, by its name.
        #[arg(long, conflicts_with_all = ["given", "given_rows"])]
        class: Option<String>,
        /// What the rows are given, of a model that was trained with --given: every column once, for example "a=1.5,b=red".
        #[arg(long, value_name = "COLUMN=VALUE,…")]
        given: Option<String>,
        /// The same from the rows of a table, which may have other columns too.
        #[arg(long, value_name = "FILE", conflicts_with = "given")]
        given_rows: Option<String>,
        /// Below 1 less varied than the model's law, above 1 more.
        #[arg(long, default_value_t = 1.0, allow_negative_numbers = true)]
        temperature: f64,
        /// Rows lack values as the training rows did; without it none does.
        #[arg(long)]
        with_missing: bool,
        /// As many rows of each value of this column, a category, a truth or a class.
        #[arg(long, value_name = "COLUMN", conflicts_with_all = ["class", "given", "given_rows", "with_missing", "conditions"])]
        balance: Option<String>,
        /// Draw rows that are like that: known values, as in "sex=female,age>60", are given to a model that knows any columns given any others, and
        /// draws that do not meet the other conditions are drawn again.
        #[arg(long = "where", value_name = "COLUMN=VALUE,…", conflicts_with_all = ["class", "given", "given_rows", "with_missing"])]
        conditions: Option<String>,
    },
    /// Probability of each class for each row, by Bayes' rule.
    Classify(Through),
    /// The cluster of each row, counted from 1, as in the report.
    Cluster(Through),
    /// Log-probability of each row, nats.
    Score {
        /// Run folder.
        run: PathBuf,
        #[command(flatten)]
        source: Source,
        #[command(flatten)]
        scoring: ScoringArgs,
        /// Column that says which rows are anomalies: how well unlikely rows are these is said beside the scores.
        #[arg(long, value_name = "COLUMN")]
        labels: Option<String>,
        /// Score every cell given the others of its row instead: a table of the same columns, and which cells are the oddest.
        #[arg(long, conflicts_with = "labels")]
        cells: bool,
        /// What the column says of an anomaly [default: the rarer of its two values].
        #[arg(long, value_name = "VALUE", requires = "labels")]
        anomaly: Option<String>,
        /// CSV file to write; without it rows are printed.
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Mean log-probability and figures of a split, with protocol and kind of evidence, and figures of draws beside its rows.
    Evaluate {
        /// Run folder.
        run: PathBuf,
        #[command(flatten)]
        source: Source,
        #[command(flatten)]
        scoring: ScoringArgs,
        /// Most draws that are compared with as many rows; 0 for none.
        #[arg(long, value_name = "N", default_value_t = 2000)]
        draws: usize,
    },
    /// Draws beside real rows, in one table: distances, precision and recall, classifier tests, copies.
    Metrics {
        /// Real rows: name of a data set, a file, or a run folder to draw from.
        #[arg(value_parser = DATA, hide_possible_values = true)]
        real: String,
        /// What is compared with them: run folders to draw from, or files of rows.
        #[arg(required = true)]
        draws: Vec<String>,
        #[command(flatten)]
        cut: Cut,
        /// Most rows of each.
        #[arg(short, default_value_t = 10_000)]
        n: usize,
        /// Leave out what trains a classifier.
        #[arg(long)]
        quick: bool,
        /// Seed of draws and figures.
        #[arg(long, default_value_t = 0)]
        seed: u64,
    },
    /// The code of each row.
    Encode(Through),
    /// What codes are worth: how well a softmax regression finds the classes from them, or a ridge regression a number, beside the rows
    /// themselves.
    Probe {
        /// Run folder.
        run: PathBuf,
        #[command(flatten)]
        source: Source,
        /// Training rows with labels, chosen by chance; without it all, 10,000 at most.
        #[arg(long, value_name = "N")]
        labels: Option<usize>,
        /// A column of numbers that the model has not seen, to be found in place of the classes.
        #[arg(long, value_name = "COLUMN")]
        target: Option<String>,
        /// Seed of the choice.
        #[arg(long, default_value_t = 0)]
        seed: u64,
    },
    /// Each row after encoding and decoding.
    Reconstruct(Through),
    /// Rows on the line between the codes of two rows.
    Interpolate {
        #[command(flatten)]
        through: Through,
        /// Number of the first row.
        #[arg(long, default_value_t = 0)]
        from: usize,
        /// Number of the last row.
        #[arg(long, default_value_t = 1)]
        to: usize,
        /// Rows on the line, both ends included.
        #[arg(long, default_value_t = 10)]
        steps: usize,
    },
    /// Fill missing values of a table.
    Impute {
        #[command(flatten)]
        through: Through,
        /// Draw from the conditional instead of taking its mean.
        #[arg(long)]
        sample: bool,
        /// Write so many tables with draws of their own, for multiple imputation: FILE-1.csv, FILE-2.csv …
        #[arg(long, value_name = "M", requires = "output")]
        tables: Option<std::num::NonZeroUsize>,
        /// Seed of the draws.
        #[arg(long, default_value_t = 0)]
        seed: u64,
    },
    /// Is this likelihood a likelihood? Checks of a run, or of a model's tiny twin.
    Audit {
        /// Run folder or name of a model.
        subject: String,
        #[command(flatten)]
        source: MaybeSource,
    },
    /// What a column holds, from the other columns of each row: the probability of each of its values, or the mean and quantiles of a number.
    Predict {
        /// Run folder.
        run: PathBuf,
        /// The column; rows may lack it.
        #[arg(long, value_name = "COLUMN")]
        column: String,
        #[command(flatten)]
        source: Source,
        /// CSV file to write; without it rows are printed.
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
        /// Seed of the draws that quantiles are of.
        #[arg(long, default_value_t = 0)]
        seed: u64,
    },
    /// Write report.html of run folders.
    Report {
        /// Run folders.
        #[arg(required_unless_present = "synthetic")]
        runs: Vec<PathBuf>,
        /// A table of synthetic rows: write a report of its quality beside --real instead.
        #[arg(long, value_name = "FILE", requires = "real", conflicts_with_all = ["runs", "table"])]
        synthetic: Option<String>,
        /// The table that synthetic rows were made of.
        #[arg(long, value_name = "DATA", requires = "synthetic")]
        real: Option<String>,
        /// Real rows that nobody saw who made synthetic ones; without it the test rows of --real, where it has such.
        #[arg(long, value_name = "DATA", requires = "synthetic")]
        held_out: Option<String>,
        /// Label column of the tables.
        #[arg(long, requires = "synthetic")]
        label: Option<String>,
        /// What columns of the tables are, as --kinds of a training.
        #[arg(long, value_name = "COLUMN=KIND,…", requires = "synthetic")]
        kinds: Option<String>,
        /// File of the report of synthetic rows.
        #[arg(short, long, value_name = "FILE", default_value = "quality.html", requires = "synthetic")]
        output: PathBuf,
        /// Print one table of the scores of the runs instead, which refuses numbers that cannot be compared.
        #[arg(long, value_name = "FORMAT", value_parser = ["md", "latex", "csv"])]
        table: Option<String>,
    },
    /// Train a recipe, compare with its expected figures, record the outcome.
    Reproduce {
        /// Recipe; without it the recipes are listed.
        recipe: Option<String>,
        /// Folder for the run [default: runs/NAME].
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
        /// Go on with an interrupted reproduction.
        #[arg(long)]
        resume: bool,
        /// Only show that everything connects: a tiny budget, on generated data where the real data are not there.
        #[arg(long)]
        plumbing: bool,
        /// Markdown file that the outcome is appended to.
        #[arg(long, value_name = "FILE", default_value = "docs/reproduction.md")]
        record: PathBuf,
    },
    /// Shell completions on standard output.
    Completions {
        /// bash, elvish, fish, powershell or zsh.
        shell: clap_complete::Shell,
    },
    /// Man page on standard output.
    Man,
}

#[derive(Debug, Subcommand)]
pub enum DataCommand {
    /// All named data sets.
    List,
    /// A data set of the list: what it is and where to get it. A file or folder: what is understood of it.
    Info {
        /// Name of a data set, or a file or folder, or - for standard input.
        #[arg(value_parser = DATA, hide_possible_values = true)]
        name: String,
        #[command(flatten)]
        cut: Cut,
        /// Columns that a model would be given.
        #[arg(long, value_name = "COLUMNS")]
        given: Option<String>,
    },
    /// Write what is understood of the columns of a table to a TOML file beside it, which is read with it from then on.
    Schema {
        /// A .csv or .tsv file.
        file: PathBuf,
        #[command(flatten)]
        cut: Cut,
    },
    /// Download a data set, resumably, and check it.
    Get {
        /// Name.
        name: String,
        /// Folder [default: the user's data folder].
        #[arg(long, value_name = "DIR")]
        to: Option<PathBuf>,
    },
}

#[derive(Debug, Args)]
pub struct Train {
    /// Model, see `genus models`; may be left out with --resume and --from.
    #[arg(required_unless_present_any = ["resume", "from"], value_parser = MODELS, hide_possible_values = true)]
    pub model: Option<String>,
    /// Name of a data set or a file, - for standard input [default: digits, or the run's own with --resume and --from].
    #[arg(long, value_parser = DATA, hide_possible_values = true)]
    pub data: Option<String>,
    #[command(flatten)]
    pub cut: Cut,
    /// Learn p(the other columns | these), numbers or categories, or `class`: names with commas between them.
    #[arg(long, value_name = "COLUMNS")]
    pub given: Option<String>,
    /// Change a key of the configuration, for example --set train.epochs=20.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// TOML file with configuration keys, under those of --set.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Run folder [default: runs/MODEL-DATA, numbered].
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Go on with the training in --out.
    #[arg(long, requires = "out", conflicts_with_all = ["set", "config", "seed", "split", "label", "kinds", "drop_missing", "given"])]
    pub resume: bool,
    /// Have the command done in this time: three quarters for training, the rest for what follows. 90s, 10m, 1.5h.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub time: Option<std::time::Duration>,
    /// Begin with the model of this run instead of a fresh one, under its configuration: train it longer, or on other data.
    #[arg(long, value_name = "RUN", conflicts_with = "resume")]
    pub from: Option<PathBuf>,
    /// Score at most so many rows of each split, chosen by chance.
    #[arg(long, value_name = "N")]
    pub rows: Option<std::num::NonZeroUsize>,
    /// Leave the audit of the trained model's likelihood out.
    #[arg(long)]
    pub no_audit: bool,
    /// Root of all random streams.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Importance samples for the final score of bounds.
    #[arg(long, default_value_t = 1, value_name = "K")]
    pub importance_samples: usize,
    /// Seconds between checkpoints.
    #[arg(long, default_value_t = 30.0, value_name = "S", allow_negative_numbers = true)]
    pub checkpoint_seconds: f64,
}

#[derive(Debug, Clone, Args)]
pub struct Cut {
    /// Fractions train/valid/test for data without splits, for example 0.8/0.1/0.1, which is what models trained by steps get of few rows; 1/0/0
    /// keeps all rows for training.
    #[arg(long)]
    pub split: Option<String>,
    /// Label column of a table: name, number or `none`.
    #[arg(long)]
    pub label: Option<String>,
    /// What columns of a table are: integer, real, binary, category, date, date:%d/%m/%Y, low<medium<high or skip.
    #[arg(long, value_name = "COLUMN=KIND,…")]
    pub kinds: Option<String>,
    /// Leave out rows with missing values, also for models that learn from what is there of them.
    #[arg(long)]
    pub drop_missing: bool,
}

#[derive(Debug, Clone, Args)]
pub struct Source {
    /// Name of a data set or a file, - for standard input.
    #[arg(long, value_parser = DATA, hide_possible_values = true)]
    pub data: String,
    #[command(flatten)]
    pub cut: Cut,
    /// Which split [default: test where there is one, else all rows].
    #[arg(long, value_name = "SPLIT", value_parser = ["train", "valid", "test"])]
    pub rows: Option<String>,
}

#[derive(Debug, Args)]
pub struct MaybeSource {
    /// Name of a data set or a file, - for standard input [default: the run's own].
    #[arg(long, value_parser = DATA, hide_possible_values = true)]
    pub data: Option<String>,
    #[command(flatten)]
    pub cut: Cut,
}

#[derive(Debug, Args)]
pub struct ScoringArgs {
    /// Importance samples for bounds.
    #[arg(long, default_value_t = 1, value_name = "K")]
    pub importance_samples: usize,
    /// Seed of stochastic scores.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
}

#[derive(Debug, Args)]
pub struct Through {
    /// Run folder.
    pub run: PathBuf,
    #[command(flatten)]
    pub source: Source,
    /// File to write: .png, .npz, .npy or .csv; without it rows are printed as CSV.
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// `90s`, `10m`, `1.5h`, or plain seconds.
fn duration(text: &str) -> Result<std::time::Duration, String> {
    let (number, unit) = match text.char_indices().find(|(_, c)| c.is_ascii_alphabetic()) {
        Some((at, _)) => text.split_at(at),
        None => (text, "s"),
    };
    let scale = match unit {
        "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        _ => return Err(format!("`{unit}` is no unit of time; use s, m or h")),
    };
    let value: f64 = number.trim().parse().map_err(|_| format!("`{number}` is not a number"))?;
    std::time::Duration::try_from_secs_f64(value * scale).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn arguments_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn times() {
        assert_eq!(duration("90s").unwrap().as_secs(), 90);
        assert_eq!(duration("1.5h").unwrap().as_secs(), 5400);
        assert_eq!(duration("10m").unwrap().as_secs(), 600);
        assert_eq!(duration("5").unwrap().as_secs(), 5);
        assert!(duration("-1s").is_err() && duration("3 weeks").is_err() && duration("m").is_err());
    }
}
