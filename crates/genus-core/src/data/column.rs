//! What a column of text holds: numbers, or names of categories.

use super::array::MAX_CLASSES;
use crate::Column;
use std::collections::{BTreeSet, HashSet};

/// A cell without a value, as spreadsheets, R, pandas and the UCI files write it.
pub(super) fn is_missing(cell: &str) -> bool {
    matches!(cell, "" | "?") || ["nan", "na", "null"].iter().any(|m| cell.eq_ignore_ascii_case(m))
}

/// The finite number that a cell holds.
pub(super) fn number(cell: &str) -> Option<f64> {
    // Rust also reads `inf` and `infinity`; a table that holds them holds no number there.
    cell.parse().ok().filter(|x: &f64| x.is_finite())
}

/// What was seen in a column so far.
#[derive(Debug, Default)]
pub(super) struct Survey {
    numbers: usize,
    texts: usize,
    /// Line and content of the first cell that is not a number.
    first_text: Option<(u64, String)>,
    not_binary: bool,
    /// Line of the first cell without a value.
    pub(super) first_missing: Option<u64>,
    /// Distinct texts, and distinct numbers by their bits, up to one more than may be categories.
    names: BTreeSet<String>,
    values: HashSet<u64>,
}

impl Survey {
    /// Takes note of a cell.
    pub(super) fn see(&mut self, cell: &str, line: u64) {
        if is_missing(cell) {
            self.first_missing.get_or_insert(line);
            return;
        }
        if let Some(x) = number(cell) {
            self.numbers += 1;
            self.not_binary |= x != 0.0 && x != 1.0;
            // A column of numbers may have millions of distinct ones; remember only what can still be a
            // category.
            if self.values.len() <= MAX_CLASSES {
                self.values.insert((x + 0.0).to_bits());
            }
        } else {
            self.texts += 1;
            self.first_text.get_or_insert_with(|| (line, cell.into()));
            if self.names.len() <= MAX_CLASSES && !self.names.contains(cell) {
                self.names.insert(cell.into());
            }
        }
    }

    /// The names of the classes, numbers in increasing order before other texts.
    ///
    /// # Errors
    /// A message if there are too many.
    pub(super) fn classes(&self) -> Result<Vec<String>, String> {
        if self.names.len() + self.values.len() > MAX_CLASSES {
            return Err(format!(
                "more than {MAX_CLASSES} different values; this is not a class, choose another label or none"
            ));
        }
        let mut numbers: Vec<f64> = self.values.iter().map(|b| f64::from_bits(*b)).collect();
        numbers.sort_by(f64::total_cmp);
        Ok(numbers.into_iter().map(|x| x.to_string()).chain(self.names.iter().cloned()).collect())
    }

    /// The support of the column. A minority of texts among numbers is a mistake, not a category.
    ///
    /// # Errors
    /// The line and a message.
    pub(super) fn support(&self) -> Result<Column, (u64, String)> {
        let Some((line, text)) = &self.first_text else {
            let binary = self.numbers > 0 && !self.not_binary;
            return Ok(if binary { Column::Binary } else { Column::Real });
        };
        if self.numbers > self.texts {
            return Err((
                *line,
                format!(
                    "\"{text}\" where most cells of the column are numbers; mend the cell or leave it empty"
                ),
            ));
        }
        self.classes().map(Column::Category).map_err(|_| {
            (
                *line,
                format!("more than {MAX_CLASSES} different texts; drop the column or encode it as numbers"),
            )
        })
    }
}

/// Numbers in one spelling, so that `1` and `1.0` are one class; other texts as they are.
pub(super) fn canonical(cell: &str) -> String {
    number(cell).map_or_else(|| cell.to_owned(), |x| (x + 0.0).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn survey(cells: &[&str]) -> Survey {
        let mut s = Survey::default();
        cells.iter().zip(1..).for_each(|(c, line)| s.see(c, line));
        s
    }

    #[test]
    fn supports() {
        assert_eq!(survey(&["0", "1", "1.0", ""]).support(), Ok(Column::Binary));
        assert_eq!(survey(&["0", "1e3", "-0.5"]).support(), Ok(Column::Real));
        assert_eq!(survey(&["NaN", "", "?"]).support(), Ok(Column::Real));
        let c = survey(&["b", "a", "b"]).support();
        assert_eq!(c, Ok(Column::Category(vec!["a".into(), "b".into()])));
        let (line, message) = survey(&["1", "x", "2", "3"]).support().unwrap_err();
        assert!(line == 2 && message.contains("\"x\""), "{message}");
        let many: Vec<String> = (0..1001).map(|i| format!("t{i}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert!(survey(&many).support().unwrap_err().1.contains("1000 different"));
    }

    #[test]
    fn classes_sort_as_numbers_and_merge_spellings() {
        let s = survey(&["10", "9", "1.0", "1", "-0", "0", "b"]);
        assert_eq!(s.classes(), Ok(["0", "1", "9", "10", "b"].map(String::from).to_vec()));
        assert!(is_missing("na") && is_missing("NULL") && !is_missing("0") && number("inf").is_none());
    }
}
