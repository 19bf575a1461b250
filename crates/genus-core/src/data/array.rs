//! Arrays as files hold them, and how they become a data set.

use super::input::MAX_VALUES;
use super::precision::Precision;
use crate::{Batch, Column, Dataset, Domain, Error, Provenance, Result, Schema, Shape, Split, Support};
use std::collections::BTreeSet;
use std::path::Path;

/// Values in the width that the file had, as far as it matters for what they mean.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Values {
    /// Unsigned bytes and booleans.
    Bytes(Vec<u8>),
    /// Other integers.
    Ints(Vec<i64>),
    /// Floating point numbers.
    Floats(Vec<f32>),
    /// The same in double precision.
    Doubles(Vec<f64>),
}

/// An array of any rank, row-major.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Array {
    pub(super) shape: Vec<usize>,
    pub(super) values: Values,
}

/// Arrays of the splits of a file, with labels where there are any, in the order train, valid, test.
pub(super) type Parts = [Option<(Array, Option<Array>)>; 3];

/// Most classes that labels may name; more means that the column is no label.
pub(super) const MAX_CLASSES: usize = 1000;

/// Number of values of `shape`, refused if it overflows or is beyond what is read.
pub(super) fn count(shape: &[u64]) -> Option<u64> {
    shape.iter().try_fold(1u64, |n, &d| n.checked_mul(d)).filter(|n| *n <= MAX_VALUES)
}

impl Values {
    fn len(&self) -> usize {
        match self {
            Self::Bytes(v) => v.len(),
            Self::Ints(v) => v.len(),
            Self::Floats(v) => v.len(),
            Self::Doubles(v) => v.len(),
        }
    }

    /// A value in double precision.
    fn at(&self, i: usize) -> f64 {
        match self {
            Self::Bytes(v) => f64::from(v[i]),
            Self::Ints(v) => v[i] as f64,
            Self::Floats(v) => f64::from(v[i]),
            Self::Doubles(v) => v[i],
        }
    }

    /// Whether single precision may lose something of them.
    fn is_wide(&self) -> bool {
        matches!(self, Self::Ints(_) | Self::Doubles(_))
    }

    fn is_binary(&self) -> bool {
        match self {
            Self::Bytes(v) => v.iter().all(|b| *b <= 1),
            Self::Ints(v) => v.iter().all(|i| matches!(i, 0 | 1)),
            Self::Floats(v) => v.iter().all(|x| *x == 0.0 || *x == 1.0 || x.is_nan()),
            Self::Doubles(v) => v.iter().all(|x| *x == 0.0 || *x == 1.0 || x.is_nan()),
        }
    }

    /// Levels that hold all values: 256 for bytes, the largest plus one for small non-negative integers.
    fn levels(&self) -> Option<u32> {
        match self {
            Self::Bytes(_) => Some(256),
            Self::Ints(v) => v
                .iter()
                .try_fold(0, |top: i64, &i| (0..65_536).contains(&i).then(|| top.max(i)))
                .map(|top| (top as u32 + 1).max(2)),
            Self::Floats(_) | Self::Doubles(_) => None,
        }
    }

    fn into_f32(self) -> Vec<f32> {
        match self {
            Self::Bytes(v) => v.into_iter().map(f32::from).collect(),
            Self::Ints(v) => v.into_iter().map(|i| i as f32).collect(),
            Self::Floats(v) => v,
            Self::Doubles(v) => v.into_iter().map(|x| x as f32).collect(),
        }
    }
}

impl Array {
    /// An array of bytes. Panics if the shape does not hold that many.
    pub(super) fn bytes(shape: &[usize], values: Vec<u8>) -> Self {
        assert_eq!(shape.iter().product::<usize>(), values.len(), "shape {shape:?}");
        Self { shape: shape.to_vec(), values: Values::Bytes(values) }
    }

    /// The numbers; one axis is one row.
    pub(super) fn into_batch(self) -> Result<Batch> {
        let width = if self.shape.len() < 2 { self.values.len() } else { self.shape[1..].iter().product() };
        Batch::new(self.values.into_f32(), width)
    }

    /// The values, if they are bytes; else none of them.
    pub(super) fn into_bytes(self) -> Vec<u8> {
        match self.values {
            Values::Bytes(v) => v,
            _ => Vec::new(),
        }
    }

    /// Rows `start..end` of the first axis.
    pub(super) fn rows(&self, start: usize, end: usize) -> Self {
        let width: usize = self.shape[1..].iter().product();
        let cut = start * width..end * width;
        let values = match &self.values {
            Values::Bytes(v) => Values::Bytes(v[cut].to_vec()),
            Values::Ints(v) => Values::Ints(v[cut].to_vec()),
            Values::Floats(v) => Values::Floats(v[cut].to_vec()),
            Values::Doubles(v) => Values::Doubles(v[cut].to_vec()),
        };
        let mut shape = self.shape.clone();
        shape[0] = end - start;
        Self { shape, values }
    }

    fn row_shape(&self, path: &Path, name: &str) -> Result<Shape> {
        let shape = match self.shape[..] {
            [_] => Shape::Flat(1),
            [_, d] => Shape::Flat(d),
            [_, height, width] => Shape::Image { height, width, channels: 1 },
            [_, height, width, channels] => Shape::Image { height, width, channels },
            _ => {
                return Err(Error::format(
                    path,
                    format!("array \"{name}\""),
                    format!(
                        "shape {:?}; give [rows, columns], [rows, height, width] or \
             [rows, height, width, channels]",
                        self.shape
                    ),
                ));
            }
        };
        if self.shape[0] == 0 || shape.width() == 0 {
            return Err(Error::format(
                path,
                format!("array \"{name}\""),
                format!("shape {:?} holds no value; give at least one row and one column", self.shape),
            ));
        }
        Ok(shape)
    }

    /// Class numbers as whole numbers.
    fn class_numbers(&self, path: &Path, name: &str, rows: usize) -> Result<Vec<i64>> {
        let refuse = |message: String| Error::format(path, format!("labels of \"{name}\""), message);
        if let [n, k] = self.shape[..]
            && n == rows
            && k > 1
        {
            return Err(refuse(format!(
                "{k} values a row; give one class number per row, of one-hot rows .argmax(1)"
            )));
        }
        if self.values.len() != rows {
            return Err(refuse(format!("{} labels for {rows} rows; give one per row", self.values.len())));
        }
        match &self.values {
            Values::Bytes(v) => Ok(v.iter().map(|b| i64::from(*b)).collect()),
            Values::Ints(v) => Ok(v.clone()),
            wide => (0..wide.len())
                .map(|i| match wide.at(i) {
                    x if x.fract() == 0.0 && x.abs() <= 1e6 => Ok(x as i64),
                    x => Err(refuse(format!("{x} is not a class number; labels must be whole numbers"))),
                })
                .collect(),
        }
    }
}

/// Makes a data set of the arrays of a file: one domain that holds every split, classes numbered in
/// increasing order.
///
/// Bytes mean 256 levels, other integers from 0 to 65535 as many levels as occur, everything else real
/// values; where every value of every split is 0 or 1 the domain is binary. Rows of rank 2 and 3 are images.
///
/// # Errors
/// [`Error::Format`] if there are no rows, shapes differ, or labels do not fit.
pub(super) fn assemble(path: &Path, name: &str, parts: Parts) -> Result<Dataset> {
    const NAMES: [&str; 3] = ["train", "valid", "test"];
    let mut shape = None;
    let mut binary = true;
    let mut levels = Some(2);
    for (split, part) in NAMES.iter().zip(&parts) {
        let Some((x, _)) = part else { continue };
        let own = x.row_shape(path, split)?;
        if *shape.get_or_insert(own) != own {
            return Err(Error::format(
                path,
                format!("array \"{split}\""),
                format!("rows of shape {own}, the other splits have {}", shape.unwrap_or(own)),
            ));
        }
        binary &= x.values.is_binary();
        levels = levels.and_then(|l| Some(l.max(x.values.levels()?)));
    }
    let (Some(shape), Some(_)) = (shape, &parts[0]) else {
        return Err(Error::format(path, "arrays", "no training rows; name one array `train`"));
    };
    let support = match levels {
        _ if binary => Support::Binary,
        Some(levels) => Support::Discrete { levels },
        None => Support::Real,
    };

    let mut numbers = Vec::new();
    let mut values = BTreeSet::new();
    for (split, part) in NAMES.iter().zip(&parts) {
        let own = match part {
            Some((x, Some(y))) => Some(y.class_numbers(path, split, x.shape[0])?),
            _ => None,
        };
        values.extend(own.iter().flatten().copied());
        numbers.push(own);
    }
    if values.len() > MAX_CLASSES {
        return Err(Error::format(
            path,
            "labels",
            format!("{} different labels, at most {MAX_CLASSES} classes are read", values.len()),
        ));
    }
    let mut schema = Schema::from(Domain { support, shape });
    if schema.domain.support == Support::Real {
        originate(&mut schema, &parts, path)?;
    }
    let schema = schema.with_classes("class", values.iter().map(i64::to_string).collect());
    let index: std::collections::HashMap<i64, u32> = values.iter().copied().zip(0..).collect();
    let mut splits = parts.into_iter().zip(numbers).map(|(part, numbers)| {
        let (x, _) = part?;
        let labels = numbers.map(|n| n.iter().map(|v| index[v]).collect::<Vec<u32>>());
        let x = match schema.columns.is_empty() {
            true => x.values.into_f32(),
            false => moved(&x.values, &schema.columns),
        };
        Some(Batch::new(x, shape.width()).map(|x| match labels {
            Some(labels) => Split::labelled(x, &labels),
            None => Split::unlabelled(x),
        }))
    });
    let mut next = || splits.next().flatten().transpose();
    let (train, valid, test) = (next()?, next()?, next()?);
    drop(splits);
    let train = train.ok_or_else(|| Error::format(path, "arrays", "no training rows"))?;
    Ok(Dataset {
        schema,
        train,
        valid,
        test,
        provenance: Provenance { name: name.into(), ..Provenance::default() },
    })
}

/// Gives columns an origin where single precision needs one.
///
/// # Errors
/// [`Error::Format`] naming the column if single precision does not hold its numbers even so.
fn originate(schema: &mut Schema, parts: &Parts, path: &Path) -> Result<()> {
    let arrays: Vec<&Values> = parts.iter().flatten().map(|(x, _)| &x.values).collect();
    if !arrays.iter().any(|v| v.is_wide()) {
        return Ok(());
    }
    let d = schema.width();
    let seen = |c: usize, origin: f64| {
        let mut precision = Precision::default();
        arrays.iter().for_each(|v| (c..v.len()).step_by(d).for_each(|i| precision.see(v.at(i) - origin)));
        precision
    };
    let table = matches!(schema.domain.shape, Shape::Flat(_));
    let mut columns = Vec::new();
    for c in 0..d {
        let precision = seen(c, 0.0);
        let origin = if table { precision.origin() } else { 0.0 };
        let lost = if origin == 0.0 { precision.lost() } else { seen(c, origin).lost() };
        if let Some(message) = lost {
            return Err(Error::format(path, format!("column {c}"), message));
        }
        columns.push(Column { origin, ..schema.column(c) });
    }
    if columns.iter().any(|c| c.origin != 0.0) {
        schema.columns = columns;
    }
    Ok(())
}

/// Values without the origins of their columns.
fn moved(values: &Values, columns: &[Column]) -> Vec<f32> {
    (0..values.len()).map(|i| (values.at(i) - columns[i % columns.len()].origin) as f32).collect()
}
