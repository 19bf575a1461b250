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
/// How much further from the middle than the middle half of the column a cell lies that squeezes the others.
const FAR: f64 = 1e4;

/// Columns of numbers in which a density need not be one.
pub(super) struct Doubts {
    /// For people, with remedies.
    pub warnings: Vec<String>,
    /// For the protocol of scores; empty if there is none.
    pub protocol: String,
}

/// Looks at the training rows of a data set of real columns.
pub(super) fn doubts(data: &Dataset) -> Doubts {
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
    }
    if data.domain().support != Support::Real || data.train.x.rows() < ROWS {
        return found;
    }
    let mut atoms = Vec::new();
    for c in 0..data.schema.width() {
        let column = data.schema.column(c);
        let name = column.name.clone();
        let mut values: Vec<f32> = data.train.x.iter().map(|row| row[c]).collect();
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
    if !atoms.is_empty() {
        const SHOWN: usize = 5;
        let more = if atoms.len() > SHOWN { ", …" } else { "" };
        let shown: Vec<&str> = atoms.iter().take(SHOWN).map(String::as_str).collect();
        found.protocol = format!("not comparable: values repeat in {}{more}", shown.join(", "));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Domain, Schema, Split};

    fn of(column: impl Fn(usize) -> f32) -> Doubts {
        let x = Batch::from_fn(100, 2, |r, c| if c == 0 { (r as f32 * 0.37).sin() } else { column(r) });
        let schema = Schema::from(Domain::real(2)).named(["a", "b"]);
        doubts(&Dataset::new("t", schema, Split::unlabelled(x)).unwrap())
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
