//! Data as a fit takes them: splits, domain, names, and where they came from.

use crate::digest::Parts;
use crate::{Advice, Batch, Domain, Error, Result, Seed};
use serde::{Deserialize, Serialize};

/// Rows with optional class labels.
#[derive(Debug, Clone, PartialEq)]
pub struct Split {
    /// The rows.
    pub x: Batch,
    /// One class index per row, into [`Dataset::classes`], or none for the whole split.
    pub labels: Option<Vec<u32>>,
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
}

impl std::fmt::Display for SplitName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Train => "train",
            Self::Valid => "valid",
            Self::Test => "test",
        })
    }
}

/// Where a data set came from, for reports and for refusing to mix runs.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Provenance {
    /// Built-in name or file name.
    pub name: String,
    /// How the splits came about, in words.
    pub splits: String,
    /// Origin and licence, where known.
    pub source: String,
    /// Entropy of the source in nats per row, where it is known exactly or to the stated digits.
    pub entropy: Option<f64>,
}

/// A data set: rows in up to three splits over one domain.
#[derive(Debug, Clone)]
pub struct Dataset {
    /// What a row means.
    pub domain: Domain,
    /// Training rows.
    pub train: Split,
    /// Validation rows, if there are any.
    pub valid: Option<Split>,
    /// Test rows, if there are any.
    pub test: Option<Split>,
    /// One name per column; empty for images.
    pub columns: Vec<String>,
    /// One name per class; empty without labels.
    pub classes: Vec<String>,
    /// Origin.
    pub provenance: Provenance,
}

impl Split {
    /// Rows without labels.
    pub fn unlabelled(x: Batch) -> Self {
        Self { x, labels: None }
    }

    /// The rows at `index`, with their labels.
    pub fn select(&self, index: &[usize]) -> Self {
        Self {
            x: self.x.select(index),
            labels: self.labels.as_ref().map(|l| index.iter().map(|&i| l[i]).collect()),
        }
    }
}

impl Dataset {
    /// A data set of training rows only, checked against `domain`.
    ///
    /// # Errors
    /// [`Error::Shape`] or [`Error::Domain`] if a row does not fit the domain or there is no row.
    pub fn new(name: impl Into<String>, domain: Domain, train: Split) -> Result<Self> {
        let set = Self {
            domain,
            train,
            valid: None,
            test: None,
            columns: Vec::new(),
            classes: Vec::new(),
            provenance: Provenance { name: name.into(), ..Provenance::default() },
        };
        set.check()?;
        Ok(set)
    }

    /// Checks every split against the domain: at least one training row, widths, values, one label per row.
    ///
    /// # Errors
    /// [`Error::Shape`] or [`Error::Domain`] naming the split and the first offending row.
    pub fn check(&self) -> Result<()> {
        if self.train.x.is_empty() {
            return Err(Error::Domain("no training row; give a file with at least one".into()));
        }
        for (name, split) in self.splits() {
            self.domain.check(&split.x).map_err(|e| e.within(format_args!("{name} split")))?;
            if let Some(labels) = &split.labels {
                if labels.len() != split.x.rows() {
                    return Err(Error::shape(
                        format!("labels of the {name} split"),
                        split.x.rows(),
                        labels.len(),
                    ));
                }
                if let Some(l) = labels.iter().find(|l| **l as usize >= self.classes.len()) {
                    return Err(Error::Domain(format!(
                        "{name} split: label {l} but only {} classes are named",
                        self.classes.len()
                    )));
                }
            }
        }
        Ok(())
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

    /// SHA-256 over the domain and the rows and labels of all splits, hexadecimal. It stands in run folders: it changes with
    /// [`FORMAT`](crate::run::FORMAT) only.
    pub fn digest(&self) -> String {
        let mut parts = Parts::default();
        self.domain.digest(&mut parts);
        for (name, split) in self.splits() {
            parts.put(name.to_string()).put(bytemuck::cast_slice(split.x.data()));
            if let Some(labels) = &split.labels {
                parts.put("labels").put(bytemuck::cast_slice(labels));
            }
        }
        parts.hex()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Column, Shape, Support};

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

    /// Hashes that stand in run folders: computed from the bytes that the documentation names, by another program. They change
    /// with [`FORMAT`](crate::run::FORMAT) only.
    #[test]
    fn digests_stay_as_they_are() {
        let set = |support, shape, x: Batch| {
            let split = Split { x, labels: Some(vec![0, 1]) };
            let mut set =
                Dataset::new("t", Domain { support, shape }, Split { labels: None, ..split.clone() });
            let set = set.as_mut().unwrap();
            set.valid = Some(split);
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
                    Column::Binary,
                    Column::Category(vec!["no".into(), "yes".into()]),
                    Column::Real,
                    Column::Real,
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
