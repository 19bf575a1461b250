//! Data as a fit takes them: splits, domain, names, and where they came from.

use crate::digest::Parts;
use crate::schema::list;
use crate::{Advice, Batch, Column, Domain, Error, Result, Schema, Seed, Shape, Support};
use serde::{Deserialize, Serialize};

/// Rows with optional class labels.
#[derive(Debug, Clone, PartialEq)]
pub struct Split {
    /// The rows.
    pub x: Batch,
    /// What each row comes with, a column for each of [`Schema::given`]: its class. None for the whole split if there is nothing.
    pub given: Option<Batch>,
    /// The line of its file that each row stands in; empty where rows come from no table.
    pub lines: Vec<u64>,
}

/// Which rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SplitName {
    /// Rows that parameters are fitted to.
    Train,
    /// Rows that choices (early stopping, hyper-parameters) are made on.
    Valid,
    /// Rows that are looked at once, for the number that is reported.
    Test,
    /// Rows of another file, which belong to no split of the training.
    Rows,
}

impl std::fmt::Display for SplitName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Train => "train",
            Self::Valid => "valid",
            Self::Test => "test",
            Self::Rows => "rows",
        })
    }
}

/// Where a data set came from, for reports and for refusing to mix runs.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Provenance {
    /// Built-in name or file name.
    pub name: String,
    /// How the splits came about, in words.
    pub splits: String,
    /// Origin and licence, where known.
    pub source: String,
    /// Entropy of the source in nats per row, where it is known exactly or to the stated digits.
    pub entropy: Option<f64>,
    /// What was understood of the source, in one line.
    pub reading: String,
    /// Names of the columns and of the class in the order of the source, for a table.
    pub order: Vec<String>,
    /// What whoever uses the rows should hear: columns that were left out, or taken for something that they may not be.
    pub remarks: Vec<String>,
}

/// A data set: rows in up to three splits over one domain.
#[derive(Debug, Clone)]
pub struct Dataset {
    /// What a row is.
    pub schema: Schema,
    /// Training rows.
    pub train: Split,
    /// Validation rows, if there are any.
    pub valid: Option<Split>,
    /// Test rows, if there are any.
    pub test: Option<Split>,
    /// Origin.
    pub provenance: Provenance,
}

impl Split {
    /// Rows that come with nothing.
    pub fn unlabelled(x: Batch) -> Self {
        Self { x, given: None, lines: Vec::new() }
    }

    /// Rows with the number of their class.
    pub fn labelled(x: Batch, classes: &[u32]) -> Self {
        let given = Batch::from_fn(classes.len(), 1, |r, _| classes[r] as f32);
        Self { given: Some(given), ..Self::unlabelled(x) }
    }

    /// The rows at `index`, with what they come with.
    pub fn select(&self, index: &[usize]) -> Self {
        Self {
            x: self.x.select(index),
            given: self.given.as_ref().map(|g| g.select(index)),
            lines: index.iter().filter_map(|r| self.lines.get(*r).copied()).collect(),
        }
    }

    /// Where a row is, in words: `line 12` of its file, or `row 3` counted from 0.
    pub fn place(&self, row: usize) -> String {
        self.lines.get(row).map_or_else(|| format!("row {row}"), |line| format!("line {line}"))
    }
}

impl Dataset {
    /// A data set of training rows only, checked against `schema`.
    ///
    /// # Errors
    /// [`Error::Shape`] or [`Error::Domain`] if a row does not fit or there is no row.
    pub fn new(name: impl Into<String>, schema: impl Into<Schema>, train: Split) -> Result<Self> {
        let set = Self {
            schema: schema.into(),
            train,
            valid: None,
            test: None,
            provenance: Provenance { name: name.into(), ..Provenance::default() },
        };
        set.check()?;
        Ok(set)
    }

    /// Values and layout of a row.
    pub fn domain(&self) -> &Domain {
        &self.schema.domain
    }

    /// Checks every split against the schema: at least one training row, widths, values, one class that there is for each row.
    ///
    /// # Errors
    /// [`Error::Shape`] or [`Error::Domain`] naming the split and the first offending row.
    pub fn check(&self) -> Result<()> {
        self.check_rows(false)
    }

    /// As [`check`](Self::check), but NaN stands for a missing value and is allowed, as long as each column has some value to learn from.
    ///
    /// # Errors
    /// As [`check`](Self::check), and [`Error::Domain`] naming a column without any value in the training rows.
    pub fn check_missing(&self) -> Result<()> {
        self.check_rows(true)?;
        let d = self.schema.width();
        let mut there = vec![false; d];
        for row in self.train.x.iter() {
            there.iter_mut().zip(row).for_each(|(t, v)| *t |= !v.is_nan());
            if there.iter().all(|t| *t) {
                return Ok(());
            }
        }
        let empty: Vec<String> = (0..d).filter(|c| !there[*c]).map(|c| self.schema.column(c).name).collect();
        let message = format!("no training row has a value for {}; leave such columns out", list(&empty));
        Err(Error::Domain(message))
    }

    /// As [`check`](Self::check); with `missing`, NaN stands for a missing value.
    pub(crate) fn check_rows(&self, missing: bool) -> Result<()> {
        if self.train.x.is_empty() {
            return Err(Error::Domain("no training row; give a file with at least one".into()));
        }
        for (name, split) in self.splits() {
            self.schema.check(&split.x, missing).map_err(|e| e.within(format_args!("{name} split")))?;
            let Some(given) = &split.given else {
                if self.schema.conditional {
                    let what = format!("{name} split: its rows lack what they are given with");
                    return Err(Error::Domain(format!("{what} ({})", self.schema.formula())));
                }
                continue;
            };
            if given.rows() != split.x.rows() {
                let what = format!("what the {name} split is given");
                return Err(Error::shape(what, split.x.rows(), given.rows()));
            }
            self.schema.check_given(given).map_err(|e| e.within(format_args!("{name} split")))?;
        }
        Ok(())
    }

    /// The same with the class that rows of a table come with as their last column: for models that take columns of several kinds. Images
    /// stay what they are.
    #[must_use]
    pub fn with_class_as_column(mut self) -> Self {
        let flat = matches!(self.schema.domain.shape, Shape::Flat(_));
        if !flat || self.schema.conditional || self.schema.classes().is_empty() {
            return self;
        }
        let old = self.schema.clone();
        for split in [Some(&mut self.train), self.valid.as_mut(), self.test.as_mut()].into_iter().flatten() {
            if split.given.is_some() {
                (self.schema, split.x) = old.beside(split);
                split.given = None;
            }
        }
        self
    }

    /// The same with those columns of another schema that are not there, without a value in any row; as it is where either has no names.
    ///
    /// # Errors
    /// If rows do not fit their schema.
    pub(crate) fn with_columns_of(mut self, other: &Schema) -> Result<Self> {
        let own = &self.schema;
        let lacks = |c: &&Column| !own.columns.iter().any(|o| o.name == c.name);
        let more: Vec<Column> = other.columns.iter().filter(lacks).cloned().collect();
        if own.columns.is_empty() || more.is_empty() || own.columns.len() + more.len() != other.width() {
            return Ok(self);
        }
        let width = own.width();
        self.schema.columns.extend(more);
        self.schema.domain = Domain {
            support: Support::of(self.schema.columns.iter().map(|c| &c.kind)),
            shape: Shape::Flat(self.schema.columns.len()),
        };
        for split in [Some(&mut self.train), self.valid.as_mut(), self.test.as_mut()].into_iter().flatten() {
            let (x, whole) = (&split.x, self.schema.columns.len());
            split.x = Batch::from_fn(x.rows(), whole, |r, c| if c < width { x.row(r)[c] } else { f32::NAN });
        }
        Ok(self)
    }

    /// The same for models of p(rows | these columns): they are taken out of the rows, in this order, and rows are given with them.
    /// `class` is a name of the class where no column has that name; a class that is not named is left out, with a remark.
    ///
    /// # Errors
    /// [`Error::Config`] if a name is unknown or there twice, if nothing is left to be modelled, or if rows lack their class.
    pub fn given(mut self, names: &[String]) -> Result<Self> {
        let refuse = |message: String| Err(Error::config("given", message));
        let schema = &self.schema;
        let flat = matches!(schema.domain.shape, Shape::Flat(_));
        let columns: Vec<Column> =
            (0..if flat { schema.width() } else { 0 }).map(|c| schema.column(c)).collect();
        // Places of the columns; what rows come with already stands behind them.
        let all: Vec<&Column> = columns.iter().chain(&schema.given).collect();
        let mut from: Vec<usize> = Vec::new();
        for name in names {
            let exact = all.iter().position(|c| c.name == *name);
            let class = (name == "class" && schema.given.len() == 1).then_some(columns.len());
            let Some(at) = exact.or(class) else {
                let known: Vec<&String> = all.iter().map(|c| &c.name).collect();
                let near = crate::names::near(name, known.iter().map(|n| n.as_str()));
                let guess = match near.is_empty() {
                    true => String::new(),
                    false => {
                        let near: Vec<String> = near.iter().map(|n| crate::names::quoted(n)).collect();
                        format!(" (did you mean {}?)", near.join(", "))
                    }
                };
                let there = match known.is_empty() {
                    true => "images have no columns, and these have no class".into(),
                    false => format!("there are {}", list(known)),
                };
                return refuse(format!("there is no column `{name}`{guess}; {there}"));
            };
            if from.contains(&at) {
                return refuse(format!("`{name}` is there twice; name it once"));
            }
            from.push(at);
        }
        if from.is_empty() {
            return refuse("no column is named; name one at least".into());
        }
        let d = columns.len();
        let kept: Vec<usize> = (0..d).filter(|c| !from.contains(c)).collect();
        if flat && kept.is_empty() {
            return refuse("every column is given, so that nothing is left to model; name fewer".into());
        }
        let given: Vec<Column> = from.iter().map(|at| all[*at].clone()).collect();
        if let Some(class) = (d..all.len()).find(|c| !from.contains(c)) {
            self.provenance.remarks.push(format!(
                "\"{}\" is the class and is not among what is given: it is left out",
                all[class].name
            ));
        }
        for split in [Some(&mut self.train), self.valid.as_mut(), self.test.as_mut()].into_iter().flatten() {
            if split.given.is_none() && from.iter().any(|at| *at >= d) {
                return refuse("some rows have no class; give rows with one, or other columns".into());
            }
            let value = |r: usize, at: usize| match (at < d, &split.given) {
                (true, _) => split.x.row(r)[at],
                (false, Some(given)) => given.row(r)[at - d],
                (false, None) => unreachable!("rows without a class were refused"),
            };
            let given = Batch::from_fn(split.x.rows(), from.len(), |r, c| value(r, from[c]));
            if let Some((r, row)) = given.iter().enumerate().find(|(_, row)| row.iter().any(|v| v.is_nan())) {
                let c = row.iter().position(|v| v.is_nan()).unwrap_or_default();
                let message =
                    format!("{}: no value in the given column \"{}\"", split.place(r), all[from[c]].name);
                return Err(Error::Domain(message).advise(Advice::Missing));
            }
            if flat && kept.len() < d {
                split.x = Batch::from_fn(split.x.rows(), kept.len(), |r, c| split.x.row(r)[kept[c]]);
            }
            split.given = Some(given);
        }
        if kept.len() < d {
            let left: Vec<Column> = kept.iter().map(|c| columns[*c].clone()).collect();
            self.schema.domain = Domain {
                support: match &self.schema.domain.support {
                    // Levels of an array are those of all its columns; a column of a table has its own.
                    other if self.schema.columns.is_empty() && !matches!(other, Support::Mixed(_)) => {
                        other.clone()
                    }
                    _ => Support::of(left.iter().map(|c| &c.kind)),
                },
                shape: Shape::Flat(left.len()),
            };
            self.schema.columns = left;
        }
        self.schema.given = given;
        self.schema.conditional = true;
        // What is known of all columns together is not known of these.
        self.provenance.entropy = None;
        Ok(self)
    }

    /// The splits that are there, in the order train, valid, test.
    pub fn splits(&self) -> impl Iterator<Item = (SplitName, &Split)> {
        [
            (SplitName::Train, Some(&self.train)),
            (SplitName::Valid, self.valid.as_ref()),
            (SplitName::Test, self.test.as_ref()),
        ]
        .into_iter()
        .filter_map(|(n, s)| Some((n, s?)))
    }

    /// The split called `name`.
    ///
    /// # Errors
    /// [`Error::Domain`] with the remedy if the data set has no such split.
    pub fn split(&self, name: SplitName) -> Result<&Split> {
        self.splits().find(|(n, _)| *n == name).map(|(_, s)| s).ok_or_else(|| {
            let error = Error::Domain(format!("{} has no {name} split", self.provenance.name));
            error.advise(Advice::Split)
        })
    }

    /// Cuts the training rows into seeded fractions for train, valid and test; splits already there are kept.
    /// A fraction of 0 leaves that split out.
    ///
    /// # Errors
    /// [`Error::Config`] if the fractions are negative, sum to more than 1, or leave no training row.
    pub fn with_fractions(mut self, valid: f64, test: f64, seed: Seed) -> Result<Self> {
        let range = 0.0..1.0;
        if !range.contains(&valid) || !range.contains(&test) || valid + test >= 1.0 {
            return Err(Error::config(
                "split",
                "fractions must be ≥ 0 and leave something to train on, for example 0.8/0.1/0.1",
            ));
        }
        let n = self.train.x.rows();
        let take = |fraction: f64| (n as f64 * fraction).round() as usize;
        let (n_valid, n_test) = (
            if self.valid.is_some() { 0 } else { take(valid) },
            if self.test.is_some() { 0 } else { take(test) },
        );
        if n_valid + n_test >= n {
            return Err(Error::config(
                "split",
                format!("{n} rows are too few for these fractions; give more rows or smaller fractions"),
            ));
        }
        let order = seed.child("split").rng().permutation(n);
        let (held, train) = order.split_at(n_valid + n_test);
        let (for_valid, for_test) = held.split_at(n_valid);
        let sorted = |part: &[usize]| {
            let mut v = part.to_vec();
            v.sort_unstable();
            v
        };
        if n_valid > 0 {
            self.valid = Some(self.train.select(&sorted(for_valid)));
        }
        if n_test > 0 {
            self.test = Some(self.train.select(&sorted(for_test)));
        }
        if n_valid + n_test > 0 {
            self.train = self.train.select(&sorted(train));
            self.provenance.splits =
                format!("seeded fractions: {} train, {n_valid} valid, {n_test} test", self.train.x.rows());
        }
        Ok(self)
    }

    /// SHA-256 over the schema's domain and the rows and classes of all splits, hexadecimal. It stands in run folders: it changes with
    /// [`FORMAT`](crate::run::FORMAT) only.
    pub fn digest(&self) -> String {
        let mut parts = Parts::default();
        self.schema.digest(&mut parts);
        for (name, split) in self.splits() {
            parts.put(name.to_string()).put(bytemuck::cast_slice(split.x.data()));
            match (&split.given, self.schema.conditional) {
                (Some(given), true) => {
                    parts.put("given").put(bytemuck::cast_slice(given.data()));
                }
                (Some(given), false) => {
                    let labels: Vec<u32> = given.iter().map(|row| row[0] as u32).collect();
                    parts.put("labels").put(bytemuck::cast_slice(&labels));
                }
                (None, _) => {}
            }
        }
        parts.hex()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Kind;

    #[test]
    fn fractions_partition_the_rows_and_follow_the_seed() {
        let x = Batch::from_fn(100, 1, |r, _| r as f32);
        let set = Dataset::new("t", Domain::real(1), Split::unlabelled(x)).unwrap();
        let cut = set.clone().with_fractions(0.1, 0.2, Seed::from(1)).unwrap();
        let mut all: Vec<f32> = cut.splits().flat_map(|(_, s)| s.x.data().to_vec()).collect();
        assert_eq!(cut.valid.as_ref().unwrap().x.rows(), 10);
        assert_eq!(cut.test.as_ref().unwrap().x.rows(), 20);
        all.sort_by(f32::total_cmp);
        assert_eq!(all, (0..100).map(|v| v as f32).collect::<Vec<_>>());
        let again = set.clone().with_fractions(0.1, 0.2, Seed::from(1)).unwrap();
        assert_eq!(cut.digest(), again.digest());
        let other = set.with_fractions(0.1, 0.2, Seed::from(2)).unwrap();
        assert_ne!(cut.digest(), other.digest());
    }

    fn columns(x: Batch) -> Dataset {
        let kinds = vec![Kind::REAL, Kind::Category(vec!["u".into(), "v".into()]), Kind::Binary, Kind::REAL];
        let domain = Domain { support: Support::Mixed(kinds.clone()), shape: Shape::Flat(4) };
        let columns = kinds.into_iter().zip(["p", "q", "r", "s"]).map(|(k, n)| Column::new(n, k)).collect();
        let schema = Schema { columns, ..Schema::from(domain) };
        Dataset::new("t", schema, Split::unlabelled(x)).unwrap()
    }

    fn names(of: &[&str]) -> Vec<String> {
        of.iter().map(|n| (*n).to_owned()).collect()
    }

    /// Columns that are given leave the rows, in the order that was asked for, and what is left has its own support.
    #[test]
    fn columns_can_be_given() {
        let set = columns(Batch::new(vec![1.5, 1.0, 0.0, 2.5, 3.5, 0.0, 1.0, 4.5], 4).unwrap());
        let given = set.clone().given(&names(&["s", "q"])).unwrap();
        given.check().unwrap();
        assert_eq!(given.train.x.data(), [1.5, 0.0, 3.5, 1.0]);
        assert_eq!(given.train.given.as_ref().unwrap().data(), [2.5, 1.0, 4.5, 0.0]);
        assert_eq!(
            (given.domain().support.clone(), given.schema.formula()),
            (Support::Real, "p(x | s, q)".into())
        );
        assert!(given.schema.classes().is_empty() && given.schema.labels(&given.train).is_none());
        let other = set.clone().given(&names(&["q", "s"])).unwrap();
        assert_ne!(given.digest(), other.digest());
        assert_ne!(given.digest(), set.digest());
        let class = set.clone().given(&names(&["q"])).unwrap();
        assert_eq!(class.schema.labels(&class.train), Some(vec![1, 0]));
        for (of, want) in [
            (&["t"][..], "no column `t`"),
            (&["s", "s"], "twice"),
            (&["p", "q", "r", "s"], "nothing is left"),
            (&[], "no column is named"),
        ] {
            let e = set.clone().given(&names(of)).unwrap_err().to_string();
            assert!(e.contains(want), "{e}");
        }
        let mut holes = set;
        holes.train.x.row_mut(1)[3] = f32::NAN;
        let e = holes.given(&names(&["s"])).unwrap_err().to_string();
        assert!(e.contains("row 1") && e.contains("\"s\""), "{e}");
    }

    /// Rows for a model find what it is given by name, whatever stands where; without names, only where the model had none.
    #[test]
    fn given_columns_are_found_by_name() {
        let set = columns(Batch::new(vec![1.5, 1.0, 0.0, 2.5, 3.5, 0.0, 1.0, 4.5], 4).unwrap());
        let own = set.clone().given(&names(&["s", "q"])).unwrap().schema;
        let found = own.conform(set.clone(), false).unwrap();
        assert_eq!((found.train.x.data(), &found.schema), (&[1.5, 0.0, 3.5, 1.0][..], &own));
        assert_eq!(found.train.given.unwrap().data(), [2.5, 1.0, 4.5, 0.0]);
        let bare = |width: usize| {
            let x = Batch::from_fn(2, width, |r, c| (10 * r + c) as f32 + 0.5);
            Dataset::new("t", Domain::real(width), Split::unlabelled(x)).unwrap()
        };
        let e = own.conform(bare(4), false).unwrap_err().to_string();
        assert!(e.contains("p(x | s, q)") && e.contains("no column `s`"), "{e}");
        let unnamed = bare(3).given(&names(&["column 2"])).unwrap().schema;
        let found = unnamed.conform(bare(3), false).unwrap();
        assert_eq!((found.train.x.row(0), found.train.given.unwrap().row(0)), (&[0.5, 2.5][..], &[1.5][..]));
        assert!(unnamed.conform(bare(4), false).is_err() && unnamed.conform(set, false).is_err());
        let mut wrong = found.schema.clone();
        wrong.given.clear();
        assert!(own.check_parts().is_ok() && wrong.check_parts().is_err());
    }

    /// Hashes that stand in run folders: computed from the bytes that the documentation names, by another program. They change
    /// with [`FORMAT`](crate::run::FORMAT) only.
    #[test]
    fn digests_stay_as_they_are() {
        let set = |support, shape, x: Batch| {
            let schema =
                Schema::from(Domain { support, shape }).with_classes("class", vec!["a".into(), "b".into()]);
            let mut set = Dataset::new("t", schema, Split::unlabelled(x.clone())).unwrap();
            set.valid = Some(Split::labelled(x, &[0, 1]));
            set.digest()
        };
        let bits = Batch::from_fn(2, 4, |r, c| ((r + c) % 2) as f32);
        let image = Shape::Image { height: 2, width: 2, channels: 1 };
        let of = [
            set(Support::Binary, Shape::Flat(4), bits.clone()),
            set(Support::Discrete { levels: 256 }, image, bits.clone()),
            set(Support::Real, Shape::Flat(4), bits.clone()),
            set(
                Support::Mixed(vec![
                    Kind::Binary,
                    Kind::Category(vec!["no".into(), "yes".into()]),
                    Kind::REAL,
                    Kind::REAL,
                ]),
                Shape::Flat(4),
                bits,
            ),
        ];
        assert_eq!(of, GOLDEN);
    }

    const GOLDEN: [&str; 4] = [
        "786dae390b56f643c46a62e9d8ca62182135d875001704eb434740fcc6e5475b",
        "12ff3df1508bbd5f06a98307544a1cafe77470ecebaf7d96c78d58f0a34d762a",
        "e17433d772a7413edb1f9dc88e86574e94384c7b1b191e5e25c434e224e5c2dc",
        "a541a0c6ba968e5efa0a3216bb8bd0ff5c9112409ce59231fd5abef5ba676b69",
    ];
}
