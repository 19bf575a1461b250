//! What a run was asked for, `config.toml`.

use serde::{Deserialize, Serialize};

/// `config.toml`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunConfig {
    /// [`FORMAT`](super::FORMAT) of the program that wrote it.
    pub format: u32,
    /// Version of genus that wrote it.
    pub genus: String,
    /// Registry name of the model.
    pub model: String,
    /// Root of all random streams.
    pub seed: u64,
    /// The data.
    pub data: DataConfig,
    /// The model that training began with, if it was not a fresh one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<Origin>,
    /// The model's configuration, complete.
    pub config: toml::Table,
}

/// A model that another training began with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Origin {
    /// Its run folder, as given.
    pub run: String,
    /// Hash of its file.
    pub sha256: String,
    /// Updates that it had behind it, over all trainings in its line.
    pub steps: u64,
}

/// The data of a run.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DataConfig {
    /// Built-in name or file, as given.
    pub source: String,
    /// Fractions train/valid/test as given, for sources without splits; empty for none.
    pub split: String,
    /// Label column of a table, if not the default.
    pub label: Option<String>,
    /// Columns that the model is given, as given.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub given: Vec<String>,
    /// Whether rows with missing values were left out.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub drop_missing: bool,
    /// What columns were said to be, as in `age=integer,zip=category`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub kinds: String,
    /// Hash of the rows that were trained on.
    pub sha256: String,
    /// Hash of the names of their columns and classes.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub names: String,
}
