//! What is said of training rows before a model learns from them: columns whose density can be made as high as one likes, and cells
//! that squeeze the others.

use crate::{Batch, Dataset, Support};
use std::collections::{HashMap, HashSet};

/// Fewest rows from which on repetitions say something.
const ROWS: usize = 30;
/// Most distinct values of a column that is suspected of being levels, and fewer distinct rows than are worth learning from.
const DISTINCT: usize = 12;
/// Share of the rows that have one value, from which on it is suspected of being an atom.
const ATOM: f64 = 0.3;
/// Rows that are looked at before all are.
const FEW: usize = 256;
/// How much further from the middle than the middle half of the column a cell lies that squeezes the others.
const FAR: f64 = 1e4;

/// Columns of numbers in which a density need not be one.
pub(super) struct Doubts {
    /// For people, with remedies.
    pub warnings: Vec<String>,
    /// For the protocol of scores; empty if there is none.
    pub protocol: String,
}

/// Looks at the training rows of a data set, whose columns matter to a model that is `scored`.
pub(super) fn doubts(data: &Dataset, scored: bool) -> Doubts {
    let mut found = Doubts { warnings: Vec::new(), protocol: String::new() };
    let distinct: HashSet<&[u32]> = data.train.x.iter().map(bytemuck::cast_slice).collect();
    if distinct.len() < DISTINCT && data.train.x.rows() >= ROWS {
        found.warnings.push(format!(
            "the {} training rows are only {} different ones: whatever is learned is a list of them",
            data.train.x.rows(),
            distinct.len()
        ));
    }
    for (c, column) in data.schema.given.iter().enumerate().filter(|_| data.schema.conditional) {
        let mut values = data.train.given.iter().flat_map(Batch::iter).map(|row| row[c]);
        let first = values.next();
        if values.all(|v| Some(v) == first) {
            found.warnings.push(format!(
                "column \"{}\" is given and the same in all training rows: nothing can be learned from it; leave it out",
                column.name
            ));
        }
        categories(data, c, &mut found.warnings);
    }
    if data.schema.conditional {
        let copied = copies(data, &mut found.warnings);
        found.protocol = not_comparable("what is given decides", &copied);
    }
    if !scored || data.domain().support != Support::Real || data.train.x.rows() < ROWS {
        return found;
    }
    let mut atoms = Vec::new();
    for c in 0..data.schema.width() {
        let column = data.schema.column(c);
        let name = column.name.clone();
        let mut values: Vec<f32> = data.train.x.iter().map(|row| row[c]).filter(|v| !v.is_nan()).collect();
        if values.len() < ROWS {
            continue;
        }
        let mut counts: HashMap<u32, usize> = HashMap::new();
        values.iter().for_each(|v| *counts.entry((v + 0.0).to_bits()).or_default() += 1);
        let n = values.len();
        let most = counts.iter().max_by_key(|(_, n)| **n).map_or((0, 0), |(v, n)| (*v, *n));
        let doubt = match counts.len() {
            1 => Some("is constant; leave it out".into()),
            k if k <= DISTINCT => Some(format!(
                "has only {k} different values in {n} rows; write them as whole numbers from 0, or leave it out"
            )),
            _ if most.1 as f64 > ATOM * n as f64 => Some(format!(
                "is {} in {} of {n} rows; give those rows a column of their own, or leave it out",
                column.text(f32::from_bits(most.0)),
                most.1
            )),
            _ => None,
        };
        if let Some(doubt) = doubt {
            found.warnings.push(format!(
                "column \"{name}\" {doubt}: a density can be made as high as one likes there, and scores are not comparable"
            ));
            atoms.push(name);
            continue;
        }
        values.sort_by(f32::total_cmp);
        let quartile = |q: usize| f64::from(values[q * (n - 1) / 4]);
        let (middle, half) = (quartile(2), quartile(3) - quartile(1));
        let furthest = [values[0], values[n - 1]]
            .into_iter()
            .max_by(|a, b| (f64::from(*a) - middle).abs().total_cmp(&(f64::from(*b) - middle).abs()));
        if let Some(v) = furthest.filter(|v| half > 0.0 && (f64::from(*v) - middle).abs() > FAR * half) {
            let row = data.train.place(data.train.x.iter().position(|r| r[c] == v).unwrap_or_default());
            found.warnings.push(format!(
                "column \"{name}\" is {} in {row} of the training rows, and half of it lies between {} and {}: such a cell squeezes the others together; mend it or leave the row out",
                column.text(v),
                column.text(values[(n - 1) / 4]),
                column.text(values[3 * (n - 1) / 4])
            ));
        }
    }
    let repeated = not_comparable("values repeat in", &atoms);
    let both: Vec<&str> = [&found.protocol[..], &repeated].into_iter().filter(|p| !p.is_empty()).collect();
    found.protocol = both.join(", ");
    found
}

/// Why scores are not, for their protocol; nothing without such columns.
fn not_comparable(why: &str, columns: &[String]) -> String {
    const SHOWN: usize = 5;
    let more = if columns.len() > SHOWN { ", …" } else { "" };
    let shown: Vec<&str> = columns.iter().take(SHOWN).map(String::as_str).collect();
    if shown.is_empty() { String::new() } else { format!("not comparable: {why} {}{more}", shown.join(", ")) }
}

/// Categories that are given and of which nothing can be learned.
fn categories(data: &Dataset, c: usize, warnings: &mut Vec<String>) {
    let (column, rows) = (&data.schema.given[c], data.train.x.rows());
    let known = column.categories().len();
    if known == 0 {
        return;
    }
    let seen: HashSet<u32> = data.train.given.iter().flat_map(Batch::iter).map(|row| row[c] as u32).collect();
    if known >= DISTINCT && 2 * known > rows {
        warnings.push(format!(
            "column \"{}\" is given and has {known} categories, of which {} occur in the {rows} training rows, as names and dates have: nothing is learned that holds for others; leave it out, or write it as numbers",
            column.name,
            seen.len()
        ));
    } else if seen.len() < known {
        warnings.push(format!(
            "{} of the {known} categories of column \"{}\" are in no training row: what is said of rows that are given them is a guess",
            known - seen.len(),
            column.name
        ));
    }
}

/// Columns that are what is given, up to a factor and a constant.
fn copies(data: &Dataset, warnings: &mut Vec<String>) -> Vec<String> {
    let rows = data.train.x.rows();
    let Some(given) = data.train.given.as_ref().filter(|_| rows >= ROWS) else { return Vec::new() };
    let mut copied = Vec::new();
    for (g, column) in data.schema.given.iter().enumerate().filter(|(_, g)| g.categories().is_empty()) {
        for c in 0..data.schema.width() {
            // What some rows deny need not be asked of all.
            let follows = |n: usize| {
                let pair = |r| [data.train.x.row(r)[c], given.row(r)[g]].map(f64::from);
                let pairs = || (0..n).map(pair).filter(|[x, _]| !x.is_nan());
                correlation(pairs).abs() > 1.0 - 1e-9
            };
            if follows(rows.min(FEW)) && follows(rows) {
                let name = data.schema.column(c).name;
                warnings.push(format!(
                    "column \"{name}\" follows from \"{}\", which is given: a density can be made as high as one likes there, and scores are not comparable; leave one of them out",
                    column.name
                ));
                copied.push(name);
            }
        }
    }
    copied
}

/// Of pairs of numbers; 0 where one of them does not vary.
fn correlation<I: Iterator<Item = [f64; 2]>>(pairs: impl Fn() -> I) -> f64 {
    let n = pairs().count() as f64;
    let sum = pairs().fold([0.0; 2], |s, [a, b]| [s[0] + a, s[1] + b]);
    let of = |[a, b]: [f64; 2]| [a - sum[0] / n, b - sum[1] / n];
    let [aa, bb, ab] = pairs().map(of).fold([0.0; 3], |s, [a, b]| [s[0] + a * a, s[1] + b * b, s[2] + a * b]);
    if aa > 0.0 && bb > 0.0 { ab / (aa * bb).sqrt() } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Domain, Schema, Split};

    fn of(column: impl Fn(usize) -> f32) -> Doubts {
        let x = Batch::from_fn(100, 2, |r, c| if c == 0 { (r as f32 * 0.37).sin() } else { column(r) });
        let schema = Schema::from(Domain::real(2)).named(["a", "b"]);
        doubts(&Dataset::new("t", schema, Split::unlabelled(x)).unwrap(), true)
    }

    /// A category of no training row, one for each row, and a column that is given twice.
    #[test]
    fn what_is_given_is_looked_at() {
        let of = |kinds: usize, used: usize| {
            let mut schema = Schema::from(Domain::real(2)).named(["x", "y"]);
            let names = (0..kinds).map(|k| format!("k{k}")).collect();
            schema.given = vec![
                crate::Column::new("a", crate::Kind::REAL),
                crate::Column::new("k", crate::Kind::Category(names)),
            ];
            schema.conditional = true;
            let x = Batch::from_fn(60, 2, |r, c| {
                if c == 0 { 3.0 * (r as f32 * 0.7).sin() - 1.0 } else { (r as f32 * 1.7).cos() }
            });
            let given =
                Batch::from_fn(60, 2, |r, c| if c == 0 { (r as f32 * 0.7).sin() } else { (r % used) as f32 });
            let split = Split { given: Some(given), ..Split::unlabelled(x) };
            doubts(&Dataset::new("t", schema, split).unwrap(), true)
        };
        assert_eq!(of(4, 3).protocol, "not comparable: what is given decides x");
        let found = of(4, 3).warnings;
        assert!(
            found.len() == 2 && found[0].starts_with("1 of the 4 categories of column \"k\""),
            "{found:?}"
        );
        assert!(found[1].starts_with("column \"x\" follows from \"a\""), "{found:?}");
        assert!(
            of(60, 60).warnings[0].contains("has 60 categories, of which 60 occur"),
            "{:?}",
            of(60, 60).warnings
        );
    }

    #[test]
    fn columns_without_a_density_are_named() {
        for (column, want) in [
            (&(|_| 2.5_f32) as &dyn Fn(usize) -> f32, "is constant"),
            (&|r| 0.5 * (r % 3) as f32, "only 3 different values in 100 rows"),
            (&|r| if r % 2 == 0 { 0.0 } else { r as f32 + 0.25 }, "is 0 in 50 of 100 rows"),
        ] {
            let found = of(column);
            assert!(found.warnings.len() == 1 && found.warnings[0].contains(want), "{:?}", found.warnings);
            assert_eq!(found.protocol, "not comparable: values repeat in b");
        }
        let found = of(|r| if r == 17 { 1e12 } else { r as f32 + 0.25 });
        assert!(
            found.warnings.len() == 1 && found.warnings[0].contains("in row 17 of the training rows"),
            "{:?}",
            found.warnings
        );
        assert!(found.protocol.is_empty());
        let found = of(|r| (r as f32 * 0.71).cos());
        assert!(found.warnings.is_empty() && found.protocol.is_empty());
    }
}
