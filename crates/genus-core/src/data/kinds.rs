//! What columns are, where somebody says so: on the command line, or in a file beside the table.

use super::reading::Reading;
use crate::style::{self, Clockwork, Style};
use crate::{Column, Dataset, Error, Kind, Result, names};
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// What a column is to be taken for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// Whole numbers.
    Integer,
    /// Numbers.
    Real,
    /// 0 and 1, or two texts such as no and yes.
    Binary,
    /// Names, also where they look like numbers.
    Category,
    /// Dates, times of the day, or both, by a format of strftime if it is not to be found.
    Date(Option<String>),
    /// Names in an order, the lowest first.
    Levels(Vec<String>),
    /// Nothing that a model sees.
    Skip,
}

/// What columns are to be taken for, by their names.
pub type Kinds = Vec<(String, Wanted)>;

impl FromStr for Wanted {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let text = text.trim();
        if text.contains('<') {
            let levels: Vec<String> = text.split('<').map(|l| l.trim().to_owned()).collect();
            let twice = (1..levels.len()).find(|i| levels[..*i].contains(&levels[*i]));
            return match (levels.iter().any(String::is_empty), twice) {
                (true, _) => Err(format!("`{text}` has a level without a name")),
                (_, Some(i)) => Err(format!("`{text}` has the level `{}` twice", levels[i])),
                (false, None) => Ok(Self::Levels(levels)),
            };
        }
        let (word, format) = match text.split_once(':') {
            Some((word, format)) => (word.trim(), Some(format.trim())),
            None => (text, None),
        };
        match (word.to_lowercase().as_str(), format) {
            ("integer" | "whole" | "int" | "count", None) => Ok(Self::Integer),
            ("real" | "number" | "float", None) => Ok(Self::Real),
            ("binary" | "boolean" | "bool", None) => Ok(Self::Binary),
            ("category" | "text" | "name", None) => Ok(Self::Category),
            ("skip" | "drop" | "identifier" | "id", None) => Ok(Self::Skip),
            ("date" | "time", None) => Ok(Self::Date(None)),
            ("date" | "time", Some(format)) => match Clockwork::new(format).filter(Clockwork::is_sound) {
                Some(_) => Ok(Self::Date(Some(format.into()))),
                None => Err(format!("`{format}` says no date and no time of the day; for example %d/%m/%Y")),
            },
            _ => Err(format!(
                "`{text}` is no kind of column; there are integer, real, binary, category, date, date:%d/%m/%Y, low<medium<high and skip"
            )),
        }
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Integer => f.write_str("integer"),
            Self::Real => f.write_str("real"),
            Self::Binary => f.write_str("binary"),
            Self::Category => f.write_str("category"),
            Self::Date(None) => f.write_str("date"),
            Self::Date(Some(format)) => write!(f, "date:{format}"),
            Self::Levels(names) => f.write_str(&names.join("<")),
            Self::Skip => f.write_str("skip"),
        }
    }
}

/// Kinds of columns by name, from `age=integer,zip=category`.
///
/// # Errors
/// [`Error::Config`] naming what is no kind, or said twice.
pub fn parse_kinds(text: &str) -> Result<Kinds> {
    let refuse = |message| Error::config("kinds", message);
    let mut kinds = Kinds::new();
    for part in names::parts(text) {
        let (name, kind) = part
            .split_once('=')
            .ok_or_else(|| refuse(format!("`{part}` is not of the form column=kind, as in age=integer")))?;
        let name = name.trim().to_owned();
        if kinds.iter().any(|(n, _)| *n == name) {
            return Err(refuse(format!("`{name}` is there twice; say it once")));
        }
        kinds.push((name, kind.parse().map_err(refuse)?));
    }
    Ok(kinds)
}

impl Wanted {
    /// How cells are read, given how they would be.
    ///
    /// # Errors
    /// A message if they cannot be that.
    pub(super) fn reading(&self, found: Reading) -> std::result::Result<Reading, String> {
        match (self, found) {
            (Self::Category, _) => Ok(Reading::texts()),
            (Self::Levels(names), _) => Ok(Reading::of(Style::Names(names.clone()))),
            (Self::Date(Some(format)), _) => Ok(Reading::of(Style::Time(format.clone()))),
            (Self::Date(None), found) if matches!(found.style, Style::Time(_)) => Ok(found),
            (Self::Date(None), _) => {
                Err("its cells are no dates of a form that is known; say the form, as in date:%d/%m/%Y"
                    .into())
            }
            (Self::Integer | Self::Real, found) if matches!(found.style, Style::Dressed(_)) => Ok(found),
            (Self::Integer | Self::Real, _) => Ok(Reading::default()),
            (Self::Binary, found) if matches!(found.style, Style::Names(_)) => Ok(found),
            (Self::Binary, _) => Ok(Reading::default()),
            (Self::Skip, found) => Ok(found),
        }
    }

    /// The kind that a column is to be of whose cells were found to be of this one.
    ///
    /// # Errors
    /// A message if they are not.
    pub(super) fn kind(&self, found: Kind) -> std::result::Result<Kind, String> {
        match (self, found) {
            (Self::Integer, Kind::Binary) => Ok(Kind::Whole { least: 0, most: 1 }),
            (Self::Integer | Self::Real, Kind::Category(_)) => {
                Err("its cells are texts; take category".into())
            }
            (Self::Integer, Kind::Real { .. }) => Err("not all of its numbers are whole; take real".into()),
            (Self::Real, Kind::Binary | Kind::Whole { .. }) => Ok(Kind::Real { decimals: Some(0) }),
            (Self::Binary, Kind::Category(names)) => match names.len() {
                2 => Ok(Kind::Category(names)),
                n => Err(format!("{n} different texts are not two; take category")),
            },
            (Self::Binary, Kind::Whole { .. } | Kind::Real { .. }) => {
                Err("its numbers are not 0 and 1; take integer, real or category".into())
            }
            (_, found) => Ok(found),
        }
    }
}

/// The file beside a table that says what its columns are.
pub fn schema_path(table: &Path) -> PathBuf {
    let name = table.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let plain =
        [".csv.gz", ".tsv.gz", ".csv", ".tsv"].iter().find_map(|e| name.strip_suffix(e)).unwrap_or(&name);
    table.with_file_name(format!("{plain}.schema.toml"))
}

/// Kinds of columns out of such a file; none where there is none.
///
/// # Errors
/// [`Error::Format`] naming the file and what is wrong with it.
pub(super) fn beside(table: &Path) -> Result<Option<(PathBuf, Kinds)>> {
    let path = schema_path(table);
    if !path.is_file() {
        return Ok(None);
    }
    let text = std::fs::read_to_string(&path).map_err(Error::io("read", &path))?;
    let refuse = |place: String, message: String| Error::format(&path, place, message);
    let table: toml::Table =
        text.parse().map_err(|e: toml::de::Error| refuse("file".into(), e.message().into()))?;
    let kind = |(name, value): (&String, &toml::Value)| {
        let place = || format!("column \"{name}\"");
        let text = value.as_str().ok_or_else(|| refuse(place(), "its kind is to be in quotes".into()))?;
        Ok((name.clone(), text.parse().map_err(|m| refuse(place(), m))?))
    };
    let kinds = table.iter().map(kind).collect::<Result<Vec<_>>>()?;
    Ok(Some((path, kinds)))
}

fn is_truth(names: &[String]) -> bool {
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    style::truth(&names).is_some()
}

/// What is understood of the columns of a set, as such a file: change a line, and the table is read so.
pub fn schema_file(set: &Dataset) -> String {
    let wanted = |column: &Column| match (&column.style, &column.kind) {
        (Style::Names(names), _) if !is_truth(names) => Wanted::Levels(names.clone()),
        (Style::Time(format), _) => Wanted::Date(Some(format.clone())),
        (_, Kind::Binary) => Wanted::Binary,
        (_, Kind::Whole { .. }) => Wanted::Integer,
        (_, Kind::Real { .. }) => Wanted::Real,
        (_, Kind::Category(_)) => Wanted::Category,
    };
    let all =
        set.schema.columns.iter().chain(&set.schema.given).map(|c| (c.name.clone(), wanted(c), c.what()));
    let skipped = set.schema.left_out.iter().map(|name| (name.clone(), Wanted::Skip, "left out".to_owned()));
    let mut text = format!(
        "# What the columns of {} are: integer, real, binary, category, date, date:%d/%m/%Y, low<medium<high or skip.\n",
        set.provenance.name
    );
    for (name, wanted, what) in all.chain(skipped) {
        let line = toml::Table::from_iter([(name, toml::Value::String(wanted.to_string()))]).to_string();
        text += &format!("{} # {what}\n", line.trim_end());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_said_in_words() {
        let kinds = parse_kinds("age=integer, size=low < medium<high,when=date:%d/%m/%Y,note=skip").unwrap();
        let kinds: Vec<String> = kinds.iter().map(|(n, k)| format!("{n}={k}")).collect();
        assert_eq!(kinds, ["age=integer", "size=low<medium<high", "when=date:%d/%m/%Y", "note=skip"]);
        for (text, part) in [
            ("age", "column=kind"),
            ("age=old", "no kind of column"),
            ("age=real,age=real", "twice"),
            ("when=date:%d", "no date"),
            ("size=low<", "without a name"),
            ("size=low<high<low", "`low` twice"),
        ] {
            let e = parse_kinds(text).unwrap_err().to_string();
            assert!(e.contains(part), "{text}: {e}");
        }
    }

    #[test]
    fn files_of_kinds_lie_beside_tables() {
        assert_eq!(schema_path(Path::new("a/b.csv.gz")), Path::new("a/b.schema.toml"));
        assert_eq!(schema_path(Path::new("b.tsv")), Path::new("b.schema.toml"));
    }
}
