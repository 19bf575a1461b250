//! Data sets: shipped, generated, read from files, downloaded.
//!
//! [`load`] takes a name of the [`catalogue`] or a path and gives a [`Dataset`] with its domain, splits and
//! provenance.
//!
//! | source | read as |
//! |---|---|
//! | `.npy`, `.npz`, `.safetensors` | numbers, never pickles: one array, or `train`, `test`, `test_labels` … |
//! | `.csv`, `.tsv` (also `.gz`) | a table; header, delimiter, types and label are found |
//! | IDX (`*-ubyte`, `.idx`, also `.gz`) | bytes or floats, with the labels file beside it |
//! | `.amat` | zeros and ones as text |
//! | a folder | PNG and JPEG images, one class per subfolder; or the four files of MNIST |
//!
//! NPZ needs the feature `archives` and images need `pictures`: files that need them are else refused with the feature's name.
//! `get`, which downloads sets that may not be shipped, is there with the feature `downloads`. All three are off by default.
//!
//! Arrays of bytes are levels 0..256, other integers from 0 to 65535 as many levels as occur, everything else
//! is real; where all values are 0 or 1 the rows are binary. Arrays with three or four axes are images. Every
//! reader checks sizes before it allocates.

#[cfg(not(all(feature = "archives", feature = "pictures")))]
mod absent;
mod amat;
mod array;
mod catalogue;
mod column;
mod dialect;
mod fetch;
mod idx;
mod input;
mod kinds;
mod local;
mod named;
mod npy;
#[cfg(feature = "archives")]
mod npz;
#[cfg(feature = "pictures")]
mod pictures;
mod precision;
mod reading;
mod shipped;
mod table;
mod tensors;
mod toys;
mod tree;
mod write;

pub use catalogue::{Entry, Get, Kind, catalogue};
#[cfg(feature = "downloads")]
pub use fetch::{MIRROR, Progress, get};
pub use kinds::{Kinds, Wanted, parse_kinds, schema_file, schema_path};
pub use local::{DATA, find, user_dir};
pub use toys::{log_density, modes, regression};
pub use tree::BinaryTree;
pub use write::{table as to_csv, table_rows as to_csv_rows, write, write_with};

#[cfg(not(feature = "archives"))]
use absent::npz;
#[cfg(not(feature = "pictures"))]
use absent::pictures;

use crate::schema::list;
use crate::{Advice, Batch, Dataset, Error, Result, Schema, Seed};
use input::Input;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use table::How;

/// Which column of a table is the class of a row. It is never a feature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Label {
    /// The column with this name.
    Name(String),
    /// The column with this number, counted from 0.
    Index(usize),
    /// No column: all are features. For other data than tables: leave the labels out.
    None,
}

impl FromStr for Label {
    type Err = std::convert::Infallible;

    /// `none`, a number, or a name.
    fn from_str(text: &str) -> std::result::Result<Self, Self::Err> {
        Ok(match text.parse() {
            Ok(i) => Self::Index(i),
            Err(_) if text.eq_ignore_ascii_case("none") => Self::None,
            Err(_) => Self::Name(text.into()),
        })
    }
}

/// How to read a source.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// Fractions of the training rows for train, valid and test, which sum to 1; for sources that lack a
    /// split.
    pub split: Option<[f64; 3]>,
    /// Label column of a table. Without it a column named label, class, target or species is the label.
    pub label: Option<Label>,
    /// Folder in which named sets are looked for first.
    pub data_dir: Option<PathBuf>,
    /// Decides the rows of generated sets and which rows go to which split.
    pub seed: Seed,
    /// What becomes of rows with missing values.
    pub missing: Missing,
    /// The rows that a model was fitted to, which these are for: they are brought into its columns by
    /// [`Schema::conform`], and its label column is theirs.
    pub like: Option<Schema>,
    /// Columns that models of p(rows | these) are given, in this order: numbers, categories, or the class. Rows for a model have those
    /// of [`like`](Self::like).
    pub given: Vec<String>,
    /// Leave out columns of a table that [`like`](Self::like) does not have, with a remark, instead of refusing them.
    pub spare: bool,
    /// Columns of [`like`](Self::like) that the data do not have are missing in every row, instead of being refused.
    pub lacking: bool,
    /// What columns of a table are to be taken for, by name, over what a [file beside it](schema_path) says.
    pub kinds: Kinds,
}

/// What becomes of rows with missing values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Missing {
    /// They are an error.
    #[default]
    Refuse,
    /// Missing values are NaN.
    Keep,
    /// They are left out.
    Drop,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            split: None,
            label: None,
            data_dir: None,
            seed: Seed::from(0),
            missing: Missing::Refuse,
            like: None,
            given: Vec::new(),
            spare: false,
            lacking: false,
            kinds: Vec::new(),
        }
    }
}

/// Reads fractions such as `0.8/0.1/0.1` (train/valid/test); two of them leave out valid: `0.8/0.2`.
///
/// # Errors
/// [`Error::Config`] if they are not two or three numbers from 0 to 1 that sum to 1, the first above 0.
pub fn parse_split(text: &str) -> Result<[f64; 3]> {
    let parts: Option<Vec<f64>> = text.split('/').map(|p| p.trim().parse().ok()).collect();
    let split = match parts.as_deref() {
        Some([train, test]) => [*train, 0.0, *test],
        Some([train, valid, test]) => [*train, *valid, *test],
        _ => {
            return Err(Error::config(
                "split",
                format!("`{text}` is not of the form train/valid/test, for example 0.8/0.1/0.1"),
            ));
        }
    };
    check_split(split)?;
    Ok(split)
}

fn check_split(split: [f64; 3]) -> Result<()> {
    let sum: f64 = split.iter().sum();
    if split.iter().any(|f| !(0.0..=1.0).contains(f)) || split[0] == 0.0 || (sum - 1.0).abs() > 1e-6 {
        return Err(Error::config(
            "split",
            format!(
                "{split:?} must be fractions that sum to 1 with something to train on, \
             for example 0.8/0.1/0.1"
            ),
        ));
    }
    Ok(())
}

/// Loads the set called `source` in the [`catalogue`], or else the file or folder at that path.
///
/// # Errors
/// [`Error::Run`] if there is no such set or file, [`Error::Format`] or [`Error::Domain`] if the content is
/// not what it should be, [`Error::Config`] if the options do not fit the source, [`Error::Io`] if it cannot
/// be read.
pub fn load(source: &str, options: &Options) -> Result<Dataset> {
    let set = match catalogue::entry(source) {
        Some(entry) => {
            let mut set = match entry.kind {
                Kind::Shipped => shipped::load(entry.name, options.split.is_none())?,
                Kind::Generated => toys::load(entry.name, options.seed)
                    .unwrap_or_else(|| Err(Error::Run(format!("{} cannot be generated", entry.name))))?,
                Kind::Download | Kind::Local => local::load(entry.name, options)?,
            };
            set.provenance.name = entry.name.into();
            set.provenance.source = entry.licence.into();
            set
        }
        None => from_path(source, options)?,
    };
    finish(set, source, options)
}

/// The arrays of an NPZ archive by name, as numbers in single precision; an array of one axis is one row, of more axes the first one
/// is that of the rows.
///
/// # Errors
/// [`Error::Io`] if it cannot be read, [`Error::Format`] if it is no such archive or an array is empty.
pub fn arrays(path: &Path) -> Result<BTreeMap<String, Batch>> {
    let file = std::fs::File::open(path).map_err(Error::io("read", path))?;
    let arrays = npz::read(std::io::BufReader::new(file), path)?;
    arrays.into_iter().map(|(name, array)| Ok((name, array?.into_batch()?))).collect()
}

/// The bytes of the table at `path` with its missing values as they are in `x`, whose columns are those of `schema` and which has a row
/// for each of the table, as [`load`] with these options and [`Missing::Keep`] gives them: names, order and every other cell stay as they
/// are written. Nothing for what is no table on its own, or no file that can be read twice.
///
/// # Errors
/// As [`load`], and [`Error::Domain`] if the rows are not those of the table.
pub fn filled(path: &Path, options: &Options, x: &Batch, schema: &Schema) -> Result<Option<Vec<u8>>> {
    let name = path.file_name().map_or_else(String::new, |n| n.to_string_lossy().to_lowercase());
    let plain = name.strip_suffix(".gz").unwrap_or(&name);
    if options.split.is_some() || !(plain.ends_with(".csv") || plain.ends_with(".tsv")) || !path.is_file() {
        return Ok(None);
    }
    let (kinds, _) = kinds_of(path, options)?;
    let how = How {
        label: options.label.as_ref(),
        missing: Missing::Keep,
        like: Some(schema),
        spare: options.spare,
        kinds: &kinds,
    };
    table::filled(&mut Input::open(path)?, &how, x, schema).map(Some)
}

fn from_path(source: &str, options: &Options) -> Result<Dataset> {
    let path = Path::new(source);
    if !path.exists() {
        return Err(unknown(source));
    }
    let name = path.file_name().map_or_else(|| source.into(), |n| n.to_string_lossy().into_owned());
    let plain = name.to_lowercase();
    let plain = plain.strip_suffix(".gz").unwrap_or(&plain);
    let extension = Path::new(plain).extension().unwrap_or_default().to_string_lossy().into_owned();
    let mut set = match &extension[..] {
        _ if path.is_dir() => match idx::pair(path) {
            Some(files) => idx::load_pair(path, &files, &name, 0),
            None => pictures::load(path, &name),
        },
        "npz" => npz::load(path, &name),
        "npy" => one(npy::read(&mut Input::open(path)?)?, path, &name),
        "amat" => one(amat::read(&mut Input::open(path)?)?, path, &name),
        "safetensors" => tensors::load(path, &name),
        "csv" | "tsv" => {
            let (kinds, remark) = kinds_of(path, options)?;
            let how = How {
                label: options.label.as_ref(),
                missing: options.missing,
                like: options.like.as_ref(),
                spare: options.spare,
                kinds: &kinds,
            };
            let mut set = table::load(&mut Input::open(path)?, &name, &how)?;
            set.provenance.remarks.extend(remark);
            return tagged(set, path);
        }
        "idx" => idx::load(path, &name),
        _ if plain.ends_with("-ubyte") => idx::load(path, &name),
        _ => Err(Error::format(
            path,
            "name",
            "its type cannot be told from the name; \
             give .npz, .npy, .csv, .tsv, .safetensors, .amat, .idx or *-ubyte \
             (.csv and IDX also with .gz), or a folder of PNG or JPEG images",
        )),
    }?;
    refuse_label(options)?;
    set.provenance.name = name;
    tagged(set, path)
}

/// What columns of a table are said to be, and where. What the rows of a model are is known.
fn kinds_of(path: &Path, options: &Options) -> Result<(Kinds, Option<String>)> {
    if options.like.is_some() {
        return Ok((Kinds::new(), None));
    }
    let mut kinds = options.kinds.clone();
    let Some((file, more)) = kinds::beside(path)? else { return Ok((kinds, None)) };
    let more = more.into_iter().filter(|(name, _)| !options.kinds.iter().any(|(n, _)| n == name));
    kinds.extend(more);
    Ok((kinds, Some(format!("columns are what {} says of them", file.display()))))
}

fn one(x: array::Array, path: &Path, name: &str) -> Result<Dataset> {
    array::assemble(path, name, [Some((x, None)), None, None])
}

fn tagged(mut set: Dataset, path: &Path) -> Result<Dataset> {
    set.provenance.source = format!("file {}", path.display());
    Ok(set)
}

/// Only tables have columns to choose from.
fn refuse_label(options: &Options) -> Result<()> {
    if !options.kinds.is_empty() {
        return Err(Error::config(
            "kinds",
            "only .csv and .tsv tables have columns of several kinds; leave it out",
        ));
    }
    match &options.label {
        None | Some(Label::None) => Ok(()),
        Some(_) => Err(Error::config(
            "label",
            "only .csv and .tsv tables have a label column to choose; leave it out",
        )),
    }
}

fn unknown(source: &str) -> Error {
    let looks_like_path = source.contains(['/', '\\', '.']);
    let near = catalogue::near(source);
    let hint = if near.is_empty() { String::new() } else { format!(" (did you mean {}?)", near.join(", ")) };
    let what = if looks_like_path { "file or folder" } else { "data set and no file called" };
    Error::Run(format!("there is no {what} {source}{hint}")).advise(Advice::ListData)
}

/// Leaves out rows with a NaN, which readers of arrays know nothing of; a table has left its own out already.
fn drop_missing(set: &mut Dataset) -> Result<()> {
    let mut dropped = 0;
    for split in [Some(&mut set.train), set.valid.as_mut(), set.test.as_mut()].into_iter().flatten() {
        let whole = |r: &usize| !split.x.row(*r).iter().any(|v| v.is_nan());
        let rows: Vec<usize> = (0..split.x.rows()).filter(whole).collect();
        if rows.len() < split.x.rows() {
            dropped += split.x.rows() - rows.len();
            *split = split.select(&rows);
        }
    }
    if set.train.x.is_empty() {
        return Err(Error::Domain("every training row lacks a value, so that none is left".into()));
    }
    if dropped > 0 {
        let what = if dropped == 1 { "row lacks a value and is" } else { "rows lack a value and are" };
        set.provenance.remarks.push(format!("{dropped} {what} left out"));
    }
    Ok(())
}

/// Splits and checks.
fn finish(mut set: Dataset, source: &str, options: &Options) -> Result<Dataset> {
    if catalogue::entry(source).is_some() {
        refuse_label(options)?;
    }
    if options.label == Some(Label::None) {
        [Some(&mut set.train), set.valid.as_mut(), set.test.as_mut()]
            .into_iter()
            .flatten()
            .for_each(|s| s.given = None);
        set.schema.given.clear();
    }
    if options.missing == Missing::Drop {
        drop_missing(&mut set)?;
    }
    match &options.like {
        None if options.given.is_empty() => {}
        None => {
            set = set.given(&options.given)?;
            set.provenance.entropy = toys::entropy_given(source, &options.given);
        }
        Some(like) if options.given.is_empty() || options.given == like.given_names() => {}
        Some(like) => {
            let message = format!(
                "the model is of {}, and {} is asked for; leave it out, or train a new model",
                like.formula(),
                list(&options.given)
            );
            return Err(Error::config("given", message));
        }
    }
    if let Some(split) = options.split {
        set = cut(set, split, options.seed)?;
    }
    if set.provenance.splits.is_empty() {
        let counts: Vec<String> = set.splits().map(|(n, s)| format!("{} {n}", s.x.rows())).collect();
        set.provenance.splits = match counts.len() {
            1 => format!("none: all {} rows are training rows", set.train.x.rows()),
            _ => format!("as in the source: {}", counts.join(", ")),
        };
    }
    let keep = options.missing == Missing::Keep;
    match &options.like {
        Some(like) => {
            if options.lacking {
                set = set.with_columns_of(like)?;
            }
            set = like.conform(set, keep)?;
            if like.conditional {
                set.provenance.entropy = toys::entropy_given(source, &like.given_names());
            }
        }
        None => set.check_rows(keep)?,
    }
    if keep && options.like.is_none() {
        let cells = set.splits().flat_map(|(_, s)| s.x.data()).filter(|v| v.is_nan()).count();
        let lacks = |row: &&[f32]| row.iter().any(|v| v.is_nan());
        let rows = set.splits().flat_map(|(_, s)| s.x.iter()).filter(lacks).count();
        if rows > 0 {
            let what = if rows == 1 { "row lacks values" } else { "rows lack values" };
            let cell = if cells == 1 { "cell" } else { "cells" };
            set.provenance.remarks.push(format!("{rows} {what}, {cells} {cell} in all"));
        }
    }
    let between = if set.provenance.reading.is_empty() { "" } else { "; " };
    set.provenance.reading = format!(
        "{} rows of {}{between}{}",
        set.splits().map(|(_, s)| s.x.rows()).sum::<usize>(),
        set.schema,
        set.provenance.reading
    );
    Ok(set)
}

/// Cuts the training rows of a set that lacks splits into seeded fractions for train, valid and test, as [`Options::split`] does.
///
/// # Errors
/// [`Error::Config`] if the set has all splits, or too few rows.
pub fn cut(set: Dataset, split: [f64; 3], seed: Seed) -> Result<Dataset> {
    check_split(split)?;
    let had = [set.valid.is_some(), set.test.is_some()];
    if had == [true, true] {
        return Err(Error::config(
            "split",
            format!(
                "{} comes with its own train, valid and test rows; leave the split out",
                set.provenance.name
            ),
        ));
    }
    let rows = set.train.x.rows();
    let mut set = set.with_fractions(split[1], split[2], seed)?;
    if set.valid.is_none() && split[1] > 0.0 || set.test.is_none() && split[2] > 0.0 {
        return Err(Error::config(
            "split",
            format!("{rows} rows are too few to give every split one; give more rows or leave the split out"),
        ));
    }
    if had != [false, false] {
        let counts: Vec<String> = set.splits().map(|(n, s)| format!("{} {n}", s.x.rows())).collect();
        let kept = if had[0] { "valid" } else { "test" };
        set.provenance.splits = format!("seeded fractions, {kept} as in the source: {}", counts.join(", "));
    }
    Ok(set)
}
