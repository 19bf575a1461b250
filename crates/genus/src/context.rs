//! What a model of p(x | given) is given, as a network takes it: numbers standardised, categories one-hot.

use crate::transform::moments;
use crate::{Batch, Dataset, Error, GivenKinds, ModelSpec, Result, Schema, State};
use serde::{Deserialize, Serialize};

/// Where a state keeps it.
const KEY: &str = "given";

/// How the given columns are seen, and what was seen of them in training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Context {
    /// The rows that the model was fitted to.
    rows: Schema,
    /// Of numbers; none for categories.
    scales: Vec<Option<Scale>>,
    /// The one row that is given, of a model of rows under it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    at: Option<Vec<f32>>,
}

/// What is known of a number that is given.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Scale {
    /// Mean and deviation that it is standardised by; a deviation of 1 where it was constant.
    mean: f64,
    std: f64,
    /// Least and largest of the training rows.
    least: f32,
    most: f32,
}

impl Scale {
    /// Whether a value lies further outside of the range than that is wide.
    fn is_far(&self, v: f32) -> bool {
        let width = f64::from(self.most) - f64::from(self.least);
        let v = f64::from(v);
        v < f64::from(self.least) - width || v > f64::from(self.most) + width
    }
}

impl Context {
    /// Of the training rows, if these are for p(rows | given); numbers are standardised, or left as they are.
    ///
    /// # Errors
    /// [`Error::Config`] if this kind of model is not given such columns.
    pub fn fit(spec: &ModelSpec, data: &Dataset, standardize: bool) -> Result<Option<Self>> {
        if !data.schema.conditional {
            return Ok(None);
        }
        let Some(given) = &data.train.given else {
            unreachable!("a data set that was checked has what is given")
        };
        if !spec.admits_given(&data.schema) {
            return Err(refusal(spec, &data.schema));
        }
        let (mean, std) = moments(given);
        let scale = |c: usize| {
            let column = || given.iter().map(|row| row[c]);
            let [mean, std] = if standardize { [mean[c], std[c]] } else { [0.0, 1.0] };
            let (least, most) =
                (column().fold(f32::INFINITY, f32::min), column().fold(f32::NEG_INFINITY, f32::max));
            Scale { mean, std, least, most }
        };
        let each = data.schema.given.iter().enumerate();
        let scales = each.map(|(c, column)| column.categories().is_empty().then(|| scale(c))).collect();
        Ok(Some(Self { rows: data.schema.clone(), scales, at: None }))
    }

    /// Values that a network sees of a row.
    pub fn width(&self) -> usize {
        let each = self.rows.given.iter().zip(&self.scales);
        each.map(|(column, scale)| if scale.is_some() { 1 } else { column.categories().len() }).sum()
    }

    /// Whether it is still open what is given.
    pub fn is_open(&self) -> bool {
        self.at.is_none()
    }

    /// What a network sees of rows that are given.
    ///
    /// # Errors
    /// As [`Schema::check_given`], and [`Error::Domain`] if a number is beyond what can be computed with.
    pub fn encode(&self, given: &Batch) -> Result<Batch> {
        self.rows.check_given(given)?;
        let mut values = Vec::with_capacity(given.rows() * self.width());
        for (r, row) in given.iter().enumerate() {
            for ((v, scale), column) in row.iter().zip(&self.scales).zip(&self.rows.given) {
                match scale {
                    Some(scale) => {
                        let z = ((f64::from(*v) - scale.mean) / scale.std) as f32;
                        if !z.is_finite() {
                            let place = format!("row {r}: {} = {}", column.name, column.text(*v));
                            let message = format!("{place} is too large to be computed with; mend it");
                            return Err(Error::Domain(message));
                        }
                        values.push(z);
                    }
                    None => values
                        .extend((0..column.categories().len()).map(|k| f32::from(u8::from(*v == k as f32)))),
                }
            }
        }
        Batch::new(values, self.width())
    }

    /// As [`encode`](Self::encode), of as many rows as are scored.
    ///
    /// # Errors
    /// As there, and [`Error::Shape`].
    pub fn encode_for(&self, x: &Batch, given: &Batch) -> Result<Batch> {
        if given.rows() != x.rows() {
            return Err(Error::shape("given rows", x.rows(), given.rows()));
        }
        self.encode(given)
    }

    /// The same with one row that is given.
    ///
    /// # Errors
    /// As [`encode`](Self::encode).
    pub fn at(&self, given: &[f32]) -> Result<Self> {
        self.encode(&Batch::new(given.to_vec(), given.len().max(1))?)?;
        Ok(Self { at: Some(given.to_vec()), ..self.clone() })
    }

    /// What a network sees of the one row that is given, so many times; nothing while it is open.
    ///
    /// # Errors
    /// As [`encode`](Self::encode).
    pub fn fixed(&self, rows: usize) -> Result<Option<Batch>> {
        let Some(at) = &self.at else { return Ok(None) };
        Ok(Some(self.encode(&Batch::new(at.clone(), at.len())?)?.select(&vec![0; rows])))
    }

    /// What is given, for protocols, with what is doubtful about these rows.
    pub fn protocol(&self, given: &Batch) -> String {
        let names = format!("given {}", self.rows.given_names().join(", "));
        [vec![names], self.doubts(given)].concat().join(", ")
    }

    /// Numbers far outside of the training rows, a sentence for each column.
    pub fn doubts(&self, given: &Batch) -> Vec<String> {
        let each = self.rows.given.iter().zip(&self.scales).enumerate();
        let doubt = |(c, (column, scale)): (usize, (&crate::Column, &Option<Scale>))| {
            let scale = scale.as_ref()?;
            let mut far = given.iter().map(|row| row[c]).filter(|v| scale.is_far(*v));
            let (first, more) = (far.next()?, far.count());
            let more = if more > 0 { format!(" and {more} rows more") } else { String::new() };
            Some(format!(
                "{} = {}{more} far outside of the training rows ({} … {})",
                column.name,
                column.text(first),
                column.text(scale.least),
                column.text(scale.most)
            ))
        };
        each.filter_map(doubt).collect()
    }

    /// Writes it into a state.
    pub fn put(&self, state: &mut State) {
        let text = match serde_json::to_string(self) {
            Ok(json) => json,
            Err(e) => unreachable!("what is given is plain data: {e}"),
        };
        state.header.insert(KEY.into(), text);
    }

    /// That of a state, whose rows these are.
    ///
    /// # Errors
    /// [`Error::Run`] if it does not fit them.
    pub fn restore(state: &State, rows: &Schema) -> Result<Option<Self>> {
        let refuse = |message: &str| {
            Error::Run(format!("the model file's given columns {message}; the file is damaged"))
        };
        let Some(text) = state.header.get(KEY) else {
            return if rows.conditional { Err(refuse("are missing")) } else { Ok(None) };
        };
        let found: Self = serde_json::from_str(text).map_err(|e| refuse(&format!("cannot be read: {e}")))?;
        found.rows.check_parts()?;
        let sound = |scale: &Scale| {
            scale.mean.is_finite() && scale.std.is_finite() && scale.std > 0.0 && scale.least <= scale.most
        };
        let kinds = found.rows.given.iter().zip(&found.scales);
        let fits = found.rows.conditional
            && found.scales.len() == found.rows.given.len()
            && kinds.clone().all(|(column, scale)| column.categories().is_empty() == scale.is_some())
            && kinds.filter_map(|(_, scale)| scale.as_ref()).all(sound)
            && match found.at {
                Some(_) => found.rows.alone() == *rows,
                None => found.rows == *rows,
            };
        if !fits {
            return Err(refuse("do not fit its rows"));
        }
        found.fixed(1).map_err(|_| refuse("have a value that they cannot have"))?;
        Ok(Some(found))
    }
}

/// That of a fit: of the model it begins with, if it begins with one, or a fresh one.
///
/// # Errors
/// As [`Context::fit`] and [`Context::restore`].
pub(crate) fn of_fit(
    start: Option<&State>,
    spec: &ModelSpec,
    data: &Dataset,
    standardize: bool,
) -> Result<Option<Context>> {
    let fresh = Context::fit(spec, data, standardize)?;
    match (start, &fresh) {
        (Some(start), Some(_)) => Context::restore(start, &data.schema),
        _ => Ok(fresh),
    }
}

/// Why a kind of model is not fitted with these given columns.
pub(crate) fn refusal(spec: &ModelSpec, rows: &Schema) -> Error {
    let message = match spec.given {
        Some(GivenKinds::Numbers) => {
            let texts = rows.given.iter().filter(|g| !g.categories().is_empty()).map(|g| g.name.as_str());
            let texts = texts.collect::<Vec<_>>().join(", ");
            format!("{} has a density given numbers only, and {texts} is a category", spec.name)
        }
        _ => format!("{} has no density given columns", spec.name),
    };
    Error::config("given", message)
}

/// Why an answer is no number.
pub(crate) const TOO_FAR: &str = "what it is given lies too far from the training rows for the model to say anything; give values like those";

/// The error of a model that was asked as if nothing were given.
pub(crate) fn open() -> Error {
    Error::config("given", "the model is of p(x | given); say what is given")
}

/// The error of a model that is given nothing.
pub(crate) fn closed() -> Error {
    Error::config("given", "the model is of p(x), and is given nothing; ask it without")
}

/// Refuses rows with given columns, for models that know nothing of them.
///
/// # Errors
/// [`Error::Config`] if there are such.
pub(crate) fn refuse(rows: &Schema) -> Result<()> {
    match rows.conditional {
        true => Err(Error::config(
            "given",
            format!("this model has no density given columns, and the rows are for {}", rows.formula()),
        )),
        false => Ok(()),
    }
}

/// Rows with others beside them.
pub(crate) fn beside(x: &Batch, other: &Batch) -> Batch {
    let d = x.width();
    Batch::from_fn(x.rows(), d + other.width(), |r, c| if c < d { x.row(r)[c] } else { other.row(r)[c - d] })
}
