//! What a column of text holds: numbers, or names of categories.

use super::array::MAX_CLASSES;
use super::dialect::Dialect;
use super::precision::Precision;
use super::reading::Reading;
use crate::{Kind, Style};
use std::cmp::Ordering;
use std::collections::{BTreeSet, HashSet};

/// A cell without a value, as spreadsheets, R, pandas and the UCI files write it.
pub(super) fn is_missing(cell: &str) -> bool {
    matches!(cell, "" | "?") || MISSING.iter().any(|m| cell.eq_ignore_ascii_case(m))
}

/// Words for a missing value, in any case.
const MISSING: [&str; 20] = [
    "nan", "na", "null", "none", "n/a", "#n/a", "<na>", "#na", "n.a.", "nat", "nil", "-nan", "(null)", "\\n",
    "#null!", "#div/0!", "#value!", "#ref!", "#name?", "#num!",
];

/// Whether a cell stands for a missing value among numbers, and for itself among texts.
pub(super) fn is_soft(cell: &str) -> bool {
    SOFT.iter().any(|s| cell.eq_ignore_ascii_case(s))
}

const SOFT: [&str; 8] = ["-", "--", "–", "—", ".", "..", "missing", "unknown"];

/// Names of columns that number or name the rows, where each has another whole number.
const IDENTIFIERS: [&str; 8] = ["id", "index", "idx", "row", "rowid", "nr", "no", "uuid"];

/// Whether a column is called as one is that names the rows.
pub(super) fn names_rows(name: &str) -> bool {
    let lower = name.to_lowercase();
    IDENTIFIERS.contains(&lower.as_str())
        || ["_id", " id", "-id", ".id"].iter().any(|end| lower.ends_with(end))
        || name.ends_with("Id")
        || name.strip_suffix("ID").is_some_and(|n| n.ends_with(char::is_lowercase))
}

/// The finite number that a cell holds.
pub(super) fn number(cell: &str) -> Option<f64> {
    // Rust also reads `inf` and `infinity`; a table that holds them holds no number there.
    cell.parse().ok().filter(|x: &f64| x.is_finite())
}

/// What was seen in a column so far.
#[derive(Debug, Default)]
pub(super) struct Survey {
    pub(super) reading: Reading,
    pub(super) numbers: usize,
    pub(super) texts: usize,
    /// Line and content of the first cell that is not a number.
    first_text: Option<(u64, String)>,
    /// Likewise of the first number that double precision does not hold.
    too_large: Option<(u64, String)>,
    not_binary: bool,
    fractions: bool,
    least: f64,
    most: f64,
    /// Each number was larger than the one before.
    falls: bool,
    /// Digits behind the point; none if some number is not written so.
    decimals: Option<u8>,
    pub(super) precision: Precision,
    /// Line of the first cell without a value, what stands there, and the words that say so.
    pub(super) first_missing: Option<u64>,
    pub(super) missing: String,
    missing_words: BTreeSet<String>,
    /// Line of the first cell that [may](is_soft) stand for a missing value, what it says, and how many say so.
    soft: Option<(u64, String, usize)>,
    /// Line of the first cell that says `None`, and how many do.
    none: (u64, usize),
    /// Distinct texts, and distinct numbers by their bits, up to one more than may be categories.
    names: BTreeSet<String>,
    values: HashSet<u64>,
}

/// The beginning of a cell, for messages.
pub(super) fn shown(cell: &str) -> String {
    const MOST: usize = 60;
    match cell.char_indices().nth(MOST) {
        Some((at, _)) => format!("{} …", &cell[..at]),
        None => cell.into(),
    }
}

fn is_digit(c: char) -> bool {
    c.is_ascii_digit()
}

/// Digits behind the point of a plainly written number.
pub(super) fn decimals(cell: &str) -> Option<u8> {
    let unsigned = cell.strip_prefix(['-', '+']).unwrap_or(cell);
    let (whole, fraction) = unsigned.split_once(['.', ',']).unwrap_or((unsigned, ""));
    let plain = whole.bytes().chain(fraction.bytes()).all(|b| b.is_ascii_digit());
    // More digits are the rounding of a computation, not the precision of a measurement.
    (plain && fraction.len() <= 6).then_some(fraction.len() as u8)
}

impl Survey {
    pub(super) fn new(reading: Reading) -> Self {
        Self { reading, ..Self::default() }
    }

    /// Takes note of a cell. Gives about the number of bytes that are remembered of it, now and when the table is made.
    pub(super) fn see(&mut self, cell: &str, line: u64, dialect: Dialect) -> u64 {
        let mut kept = 0;
        if self.reading.lacks(cell, "") {
            if self.first_missing.is_none() {
                (self.first_missing, self.missing) = (Some(line), cell.into());
            }
            if cell.eq_ignore_ascii_case("none") {
                self.none = (if self.none.1 == 0 { line } else { self.none.0 }, self.none.1 + 1);
            }
            if !cell.is_empty() && cell != "?" && self.missing_words.len() <= MISSING.len() {
                self.missing_words.insert(cell.into());
            }
            return kept;
        }
        let known = || self.reading.number(cell, dialect).is_some();
        if !self.reading.texts && is_soft(cell) && !known() {
            let (_, word, n) = self.soft.get_or_insert_with(|| (line, cell.into(), 0));
            if word == cell {
                *n += 1;
                return kept;
            }
        }
        if let Some((x, digits)) = self.reading.number(cell, dialect) {
            let first = self.numbers == 0;
            self.decimals = match (first, self.decimals, digits) {
                (true, _, d) => d,
                (false, Some(a), Some(b)) => Some(a.max(b)),
                _ => None,
            };
            self.falls |= !first && x <= self.most;
            (self.least, self.most) = if first { (x, x) } else { (self.least.min(x), self.most.max(x)) };
            self.numbers += 1;
            self.not_binary |= x != 0.0 && x != 1.0;
            self.fractions |= x.fract() != 0.0;
            self.precision.see(x);
            // A column of numbers may have millions of distinct ones; remember only what can still be a
            // category.
            if self.values.len() <= MAX_CLASSES && self.values.insert((x + 0.0).to_bits()) {
                // In three sets, which are less than full.
                kept += 48;
            }
        } else {
            self.texts += 1;
            if !self.reading.texts
                && cell.parse::<f64>().is_ok_and(f64::is_infinite)
                && cell.contains(is_digit)
            {
                self.too_large.get_or_insert_with(|| (line, shown(cell)));
            }
            self.first_text.get_or_insert_with(|| (line, shown(cell)));
            let cell = if self.reading.texts { &self.reading.canonical(cell, dialect) } else { cell };
            if self.names.len() <= MAX_CLASSES && !self.names.contains(cell) {
                self.names.insert(cell.into());
                // Here, in the schema, and where numbers are looked up by it.
                kept += 4 * (cell.len() as u64 + 48);
            }
        }
        kept
    }

    /// All cells were seen: now it is known whether a dash stands for a missing value or for itself.
    pub(super) fn settle(&mut self) {
        let Some((line, word, n)) = self.soft.take() else { return };
        if self.texts > 0 {
            self.texts += n;
            self.names.insert(word);
            return;
        }
        self.first_missing = Some(self.first_missing.map_or(line, |m| m.min(line)));
        self.missing = word;
    }

    /// Whether it names the rows: texts of which hardly one occurs twice, or more than can be categories.
    pub(super) fn names_each(&self) -> bool {
        let all = self.numbers + self.texts;
        let none_twice = all >= 20 && self.distinct() == all;
        self.texts > self.numbers && (self.distinct() > MAX_CLASSES || none_twice)
    }

    /// Whether no cell holds anything.
    pub(super) fn is_empty(&self) -> bool {
        self.numbers + self.texts == 0
    }

    /// Whether it holds numbers and no text.
    pub(super) fn is_numeric(&self) -> bool {
        self.numbers > 0 && self.texts == 0
    }

    /// Whether it holds nothing but 0 and 1.
    pub(super) fn is_binary(&self) -> bool {
        self.is_numeric() && !self.not_binary
    }

    /// Whether this text occurs.
    pub(super) fn has_text(&self, cell: &str) -> bool {
        self.names.contains(cell)
    }

    /// Whether it may well be the name of each row: many whole numbers, all different.
    pub(super) fn may_identify(&self, rows: usize) -> bool {
        let different = if rows > MAX_CLASSES { !self.falls } else { self.distinct() == rows };
        self.is_numeric() && rows >= 50 && !self.fractions && different
    }

    /// Whether it numbers the rows: whole numbers, each larger than the one before.
    pub(super) fn counts_rows(&self) -> bool {
        self.is_numeric() && self.first_missing.is_none() && !self.fractions && !self.falls
    }

    /// Different values, up to one more than may be categories.
    pub(super) fn distinct(&self) -> usize {
        self.names.len() + self.values.len()
    }

    /// Whether its values can be classes without anybody having said so: texts or whole numbers, few for so many rows.
    pub(super) fn may_be_classes(&self, rows: usize) -> bool {
        let few = self.distinct() <= 20.max(rows / 10).min(MAX_CLASSES);
        few && (self.texts > 0 || !self.fractions)
    }

    /// A column of texts has texts like `NA` for what they say, not for a missing value.
    pub(super) fn take_words_for_texts(&mut self) {
        if self.texts > 0 {
            self.names.append(&mut self.missing_words);
        }
    }

    /// The line of the first row whose class is not there; a word like `NA` among texts is one.
    pub(super) fn lacks_class(&self) -> Option<u64> {
        let word = self.texts > 0 && self.names.iter().any(|n| is_missing(n));
        self.first_missing.filter(|_| !word)
    }

    /// The names of the classes, numbers in increasing order before other texts.
    ///
    /// # Errors
    /// A message if there are too many.
    pub(super) fn classes(&self) -> Result<Vec<String>, String> {
        if self.distinct() > MAX_CLASSES {
            return Err(format!(
                "more than {MAX_CLASSES} different values; this is not a class, choose another label or none"
            ));
        }
        let mut numbers: Vec<f64> = self.values.iter().map(|b| f64::from_bits(*b)).collect();
        numbers.sort_by(f64::total_cmp);
        let spelled = numbers.into_iter().map(|x| self.reading.spelled(x));
        // Codes that are all numbers stand in their order.
        let mut names: Vec<String> = self.names.iter().cloned().collect();
        if self.reading.texts && names.iter().all(|n| number(n).is_some()) {
            names.sort_by(|a, b| number(a).partial_cmp(&number(b)).unwrap_or(Ordering::Equal).then(a.cmp(b)));
        }
        Ok(spelled.chain(names).collect())
    }

    /// What the column holds. A minority of texts among numbers is a mistake, not a category.
    ///
    /// # Errors
    /// The line and a message.
    pub(super) fn kind(&self) -> Result<Kind, (u64, String)> {
        if self.texts == 0 && self.none.1 > self.numbers {
            let message = "\"None\" in most cells, which is a text like others; leave cells empty where a value is missing, or drop the column";
            return Err((self.none.0, message.into()));
        }
        if let Some((line, text)) = &self.too_large {
            return Err((*line, format!("{text} is beyond double precision; rescale the column")));
        }
        let Some((line, text)) = &self.first_text else {
            return Ok(match (self.numbers, &self.reading.style) {
                (0, _) => Kind::REAL,
                (_, Style::Names(names)) if names.len() != 2 => {
                    Kind::Whole { least: 0, most: names.len() as i64 - 1 }
                }
                _ if !self.not_binary && !matches!(self.reading.style, Style::Time(_)) => Kind::Binary,
                _ if !self.fractions && self.least.abs().max(self.most.abs()) < 9e15 => {
                    Kind::Whole { least: self.least as i64, most: self.most as i64 }
                }
                _ => Kind::Real { decimals: self.decimals },
            });
        };
        if let Some(words) = self.reading.style.words().filter(|_| !self.reading.texts) {
            let message = format!(
                "\"{text}\" where cells before it are written as {words}; mend the cell, leave it empty, or say what the column is"
            );
            return Err((*line, message));
        }
        let comma = if super::dialect::is_comma_number(text) {
            ": a decimal comma, which is read where all numbers have it"
        } else {
            ""
        };
        if self.numbers > self.texts {
            let cell = format!("\"{text}\" where most cells of the column are numbers{comma}");
            return Err((*line, format!("{cell}; mend the cell or leave it empty")));
        }
        self.classes().map(Kind::Category).map_err(|_| {
            let many = format!("more than {MAX_CLASSES} different texts, such as \"{text}\"{comma}");
            (*line, format!("{many}; drop the column or encode it as numbers"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Dialect = Dialect { delimiter: b',', decimal_comma: false };

    fn survey(cells: &[&str]) -> Survey {
        let mut s = Survey::default();
        for (c, line) in cells.iter().zip(1..) {
            s.see(c, line, PLAIN);
        }
        s.settle();
        s
    }

    #[test]
    fn kinds() {
        assert_eq!(survey(&["0", "1", "1.0", ""]).kind(), Ok(Kind::Binary));
        assert_eq!(survey(&["0", "1e3", "-0.5"]).kind(), Ok(Kind::REAL));
        assert_eq!(survey(&["0", "1.25", "-0.5"]).kind(), Ok(Kind::Real { decimals: Some(2) }));
        assert_eq!(survey(&["3", "-7", "12.0"]).kind(), Ok(Kind::Whole { least: -7, most: 12 }));
        assert_eq!(survey(&["NaN", "", "?"]).kind(), Ok(Kind::REAL));
        let c = survey(&["b", "a", "b"]).kind();
        assert_eq!(c, Ok(Kind::Category(vec!["a".into(), "b".into()])));
        let (line, message) = survey(&["1", "x", "2", "3"]).kind().unwrap_err();
        assert!(line == 2 && message.contains("\"x\""), "{message}");
        let (_, message) = survey(&["1", "2,5", "2", "3"]).kind().unwrap_err();
        assert!(message.contains("decimal comma"), "{message}");
        let many: Vec<String> = (0..1001).map(|i| format!("t{i}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert!(survey(&many).kind().unwrap_err().1.contains("1000 different"));
    }

    #[test]
    fn dashes_are_missing_among_numbers_only() {
        let s = survey(&["1.5", "-", "2", ""]);
        assert_eq!(
            (s.kind(), s.first_missing, s.missing.as_str()),
            (Ok(Kind::Real { decimals: Some(1) }), Some(2), "-")
        );
        let s = survey(&["good", "-", "bad", "-"]);
        assert_eq!(s.classes(), Ok(["-", "bad", "good"].map(String::from).to_vec()));
        assert_eq!((s.texts, s.first_missing), (4, None));
        let (line, message) = survey(&["1", "-", ".", "2", "3"]).kind().unwrap_err();
        assert!(line == 3 && message.contains("\".\""), "{message}");
    }

    #[test]
    fn what_names_rows_is_found() {
        let each: Vec<String> = (0..30).map(|i| format!("n{i}")).collect();
        let each: Vec<&str> = each.iter().map(String::as_str).collect();
        assert!(survey(&each).names_each() && !survey(&each[..10]).names_each());
        assert!(!survey(&[&each[..], &each[..1]].concat()).names_each());
        assert!(["id", "ID", "user_id", "PassengerId", "customerID"].iter().all(|n| names_rows(n)));
        assert!(["acid", "width", "paid", "COVID"].iter().all(|n| !names_rows(n)));
    }

    #[test]
    fn classes_sort_as_numbers_and_merge_spellings() {
        let s = survey(&["10", "9", "1.0", "1", "-0", "0", "b"]);
        assert_eq!(s.classes(), Ok(["0", "1", "9", "10", "b"].map(String::from).to_vec()));
        assert!(is_missing("na") && is_missing("NULL") && !is_missing("0") && number("inf").is_none());
    }

    #[test]
    fn row_numbers_and_classes_are_told_from_measurements() {
        assert!(survey(&["0", "1", "2"]).counts_rows() && survey(&["5", "7", "11"]).counts_rows());
        assert!(!survey(&["0", "1", "1"]).counts_rows() && !survey(&["0", "1.5"]).counts_rows());
        let many: Vec<String> = (0..100).map(|i| (i % 25).to_string()).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert!(!survey(&many).may_be_classes(100) && survey(&many).may_be_classes(250));
        assert!(!survey(&["0.5", "1.5"]).may_be_classes(250) && survey(&["a", "b"]).may_be_classes(2));
    }
}
