//! What rows are to be like: `sex=female,age>60`.

use crate::schema::{Column, Schema, list};
use crate::{Batch, Error, Result, names};

/// How a value stands to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Relation {
    Unequal,
    Below,
    AtMost,
    Above,
    AtLeast,
}

/// Longer ones first, so that `<=` is not read as `<`.
const RELATIONS: [(&str, Option<Relation>); 6] = [
    ("<=", Some(Relation::AtMost)),
    (">=", Some(Relation::AtLeast)),
    ("!=", Some(Relation::Unequal)),
    ("<", Some(Relation::Below)),
    (">", Some(Relation::Above)),
    ("=", None),
];

/// Conditions on the columns of rows.
#[derive(Debug, Clone, PartialEq)]
pub struct Conditions {
    /// Values of the columns that are known, NaN of others.
    known: Vec<f32>,
    others: Vec<(usize, Relation, f32)>,
}

impl Conditions {
    /// From `column=value`, with `!=` and for numbers `<`, `<=`, `>` and `>=`, between commas; what holds a comma or a quote in double quotes.
    ///
    /// # Errors
    /// [`Error::Config`] naming what is unknown, said twice or no value of its column.
    pub fn parse(schema: &Schema, text: &str) -> Result<Self> {
        let refuse = |message: String| Error::config("where", message);
        let mut made = Self { known: vec![f32::NAN; schema.width()], others: Vec::new() };
        for part in names::parts(text) {
            let (c, relation, value) = cut(schema, &part).ok_or_else(|| {
                let known = list(&schema.names());
                refuse(format!(
                    "`{part}` does not say what a column is to be, as in age>60; there are {known}"
                ))
            })?;
            let column = &schema.columns[c];
            let number = column.categories().is_empty();
            let v = column.read(value, schema.decimal_comma).map_err(refuse)?;
            match relation {
                None if !column.kind.admits(v) => {
                    let must = column.kind.describe();
                    return Err(refuse(format!("`{part}`: no row has that; it must be {must}")));
                }
                None if made.known[c].is_nan() => made.known[c] = v,
                None => return Err(refuse(format!("`{}` is there twice; say it once", column.name))),
                Some(Relation::Unequal) => made.others.push((c, Relation::Unequal, v)),
                Some(_) if !number => {
                    return Err(refuse(format!("`{part}`: categories have no order; take = or !=")));
                }
                Some(relation) => made.others.push((c, relation, v)),
            }
        }
        if made.is_empty() {
            return Err(refuse("nothing is said; for example age>60".into()));
        }
        Ok(made)
    }

    /// That one column has this value.
    pub fn equal(schema: &Schema, column: usize, value: f32) -> Self {
        let known = (0..schema.width()).map(|c| if c == column { value } else { f32::NAN }).collect();
        Self { known, others: Vec::new() }
    }

    fn is_empty(&self) -> bool {
        self.others.is_empty() && self.known.iter().all(|v| v.is_nan())
    }

    /// Whether there are any but equalities.
    pub fn are_more_than_equal(&self) -> bool {
        !self.others.is_empty()
    }

    /// Rows that have the known values, and nothing else.
    pub fn rows(&self, n: usize) -> Batch {
        Batch::from_fn(n, self.known.len(), |_, c| self.known[c])
    }

    /// Gives rows their known values back, whatever became of them.
    pub fn keep(&self, x: &mut Batch) {
        for r in 0..x.rows() {
            let known = x.row_mut(r).iter_mut().zip(&self.known).filter(|(_, k)| !k.is_nan());
            known.for_each(|(v, k)| *v = *k);
        }
    }

    /// Whether a row is like that.
    pub fn hold(&self, row: &[f32]) -> bool {
        let equal = self.known.iter().zip(row).all(|(k, v)| k.is_nan() || k == v);
        equal
            && self.others.iter().all(|(c, relation, bound)| match relation {
                Relation::Unequal => row[*c] != *bound,
                Relation::Below => row[*c] < *bound,
                Relation::AtMost => row[*c] <= *bound,
                Relation::Above => row[*c] > *bound,
                Relation::AtLeast => row[*c] >= *bound,
            })
    }
}

/// The column, the relation and the value of a condition. Names and values may hold such signs themselves: the column that is there decides.
fn cut<'a>(schema: &Schema, part: &'a str) -> Option<(usize, Option<Relation>, &'a str)> {
    let place = |name: &str| schema.columns.iter().position(|c: &Column| c.name == name.trim());
    let at = |i: usize| {
        let (sign, relation) = RELATIONS.iter().find(|(sign, _)| part[i..].starts_with(sign))?;
        Some((place(&part[..i])?, *relation, part[i + sign.len()..].trim()))
    };
    part.char_indices().find_map(|(i, _)| at(i))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Domain, Kind, Shape, Support};

    fn schema() -> Schema {
        let columns = vec![
            Column::new("sex", Kind::Category(["female".into(), "male".into()].to_vec())),
            Column::new("age", Kind::Whole { least: 0, most: 90 }),
            Column::new("a<b", Kind::REAL),
        ];
        let support = Support::Mixed(columns.iter().map(|c| c.kind.clone()).collect());
        Schema { columns, ..Schema::from(Domain { support, shape: Shape::Flat(3) }) }
    }

    #[test]
    fn conditions_are_read_and_hold() {
        let of = Conditions::parse(&schema(), "sex=female, age >= 60,a<b<=1.5,age!=70").unwrap();
        assert!(of.rows(1).row(0)[0] == 0.0 && of.rows(1).row(0)[1].is_nan() && of.are_more_than_equal());
        for (row, want) in [
            ([0.0, 60.0, 1.5], true),
            ([1.0, 60.0, 1.5], false),
            ([0.0, 59.0, 1.5], false),
            ([0.0, 70.0, 1.0], false),
            ([0.0, 61.0, 1.6], false),
        ] {
            assert_eq!(of.hold(&row), want, "{row:?}");
        }
        assert!(!Conditions::parse(&schema(), "age=30").unwrap().are_more_than_equal());
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for (text, word) in [
            ("height>3", "there are sex, age, a<b"),
            ("sex>female", "no order"),
            ("sex=unknown", "never seen"),
            ("age=30,age=31", "twice"),
            ("age=30.5", "whole number"),
            ("", "nothing is said"),
            ("age>old", "finite number"),
        ] {
            let e = Conditions::parse(&schema(), text).unwrap_err().to_string();
            assert!(e.contains(word), "{text}: {e}");
        }
    }
}
