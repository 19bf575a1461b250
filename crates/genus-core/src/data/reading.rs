//! How the cells of a column are read: found out from the first of them, before any is counted.

use super::column::{self, is_missing, is_soft};
use super::dialect::Dialect;
use crate::style::{self, Clockwork, Dress, Style};
use std::collections::HashSet;

/// How the cells of a column are read.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Reading {
    /// Whether all are names, also those that look like numbers.
    pub(super) texts: bool,
    pub(super) style: Style,
    time: Option<Clockwork>,
    /// The names that there may be, where they are a model's.
    known: Option<HashSet<String>>,
}

impl Reading {
    pub(super) fn texts() -> Self {
        Self { texts: true, ..Self::default() }
    }

    pub(super) fn of(style: Style) -> Self {
        let time = if let Style::Time(format) = &style { Clockwork::new(format) } else { None };
        Self { style, time, ..Self::default() }
    }

    /// Names of which a model knows these.
    pub(super) fn known(names: &[String]) -> Self {
        Self { known: Some(names.iter().cloned().collect()), ..Self::texts() }
    }

    /// Whether a cell has no value, in a column that writes a missing one so.
    pub(super) fn lacks(&self, cell: &str, missing: &str) -> bool {
        let rank = || matches!(self.style, Style::Names(_)) && self.style.read(cell, false).is_some();
        (is_missing(cell) || !missing.is_empty() && cell == missing) && !rank()
    }

    /// The number that a cell holds, and the digits behind its point where it is written plainly.
    pub(super) fn number(&self, cell: &str, dialect: Dialect) -> Option<(f64, Option<u8>)> {
        match (&self.style, &self.time) {
            _ if self.texts => None,
            (Style::Plain, _) => Some((dialect.number(cell)?, column::decimals(cell))),
            (Style::Dressed(dress), _) => {
                let core = dress.core(cell, dialect.decimal_comma)?;
                Some((column::number(&core)?, column::decimals(&core)))
            }
            (_, Some(time)) => Some((time.read(cell)?, self.style.decimals())),
            (style, None) => Some((style.read(cell, false)?, Some(0))),
        }
    }

    /// A cell in one spelling, so that `1` and `1.0` are one class, `yes` and `Yes` as well; where all are names, as it is written, unless it is
    /// another spelling of a name that is known.
    pub(super) fn canonical(&self, cell: &str, dialect: Dialect) -> String {
        if !self.texts {
            return self.number(cell, dialect).map_or_else(|| cell.into(), |(x, _)| self.spelled(x + 0.0));
        }
        let Some(known) = self.known.as_ref().filter(|known| !known.contains(cell)) else {
            return cell.into();
        };
        let number = dialect.number(cell).map(|x| (x + 0.0).to_string()).filter(|x| known.contains(x));
        let truth = || {
            let names: Vec<&str> = known.iter().map(String::as_str).collect();
            style::truth(&names)?.into_iter().find(|name| name.eq_ignore_ascii_case(cell))
        };
        number.or_else(truth).unwrap_or_else(|| cell.into())
    }

    /// A number as the cells are written.
    pub(super) fn spelled(&self, x: f64) -> String {
        let plain = x.to_string();
        self.style.write(x, &plain, false).unwrap_or(plain)
    }
}

/// Whether a cell is a number of an account rather than a quantity: digits that begin with a zero.
fn is_code(cell: &str) -> bool {
    cell.len() > 1 && cell.starts_with('0') && cell.bytes().all(|b| b.is_ascii_digit())
}

/// Cells that are looked at, unless they leave open which of their numbers is the month.
pub(super) const ENOUGH: usize = 1000;
/// Forms of numbers, and cells whose forms of dates are looked for.
const FORMS: usize = 4;
/// Different texts that are remembered: two truths, in some spellings.
const TEXTS: usize = 6;

/// What is known so far of how the cells of a column are written.
#[derive(Debug, Default)]
pub(super) struct Guess {
    cells: usize,
    codes: usize,
    /// Least and largest length of cells that are all digits; none once there was another.
    lengths: Option<(usize, usize)>,
    /// How numbers are dressed, and how many cells are.
    dresses: Vec<(Dress, usize)>,
    texts: Vec<String>,
    numbers: usize,
    /// Forms of dates, and how many cells have them.
    times: Vec<(Clockwork, usize)>,
    /// Cells whose forms were looked for.
    looked: usize,
    /// The first cell.
    example: Option<String>,
}

impl Guess {
    pub(super) fn see(&mut self, cell: &str, dialect: Dialect) {
        if is_missing(cell) || is_soft(cell) {
            return;
        }
        let first = self.cells == 0;
        self.cells += 1;
        self.example.get_or_insert_with(|| cell.into());
        self.codes += usize::from(is_code(cell));
        let digits = cell.bytes().all(|b| b.is_ascii_digit());
        let n = cell.len();
        self.lengths = match self.lengths {
            _ if !digits => None,
            None if first => Some((n, n)),
            lengths => lengths.map(|(least, most)| (least.min(n), most.max(n))),
        };
        if let Some(dress) = Dress::of(cell, dialect.decimal_comma) {
            let both =
                |(i, (own, _)): (usize, &(Dress, usize))| Some((i, own.clone().unified(dress.clone())?));
            match self.dresses.iter().enumerate().find_map(both) {
                Some((i, both)) => self.dresses[i] = (both, self.dresses[i].1 + 1),
                None if self.dresses.len() < FORMS => self.dresses.push((dress, 1)),
                None => {}
            }
        }
        let plain = dialect.number(cell).is_some();
        self.numbers += usize::from(plain);
        if !plain && self.texts.len() <= TEXTS && !self.texts.iter().any(|t| t == cell) {
            self.texts.push(cell.into());
        }
        if plain {
            return;
        }
        let mut met = false;
        for (time, n) in &mut self.times {
            if style::writes(time, cell) {
                (*n, met) = (*n + 1, true);
            }
        }
        if !met && self.looked < FORMS {
            self.looked += 1;
            self.times.extend(style::formats(cell).into_iter().map(|t| (t, 1)));
        }
    }

    /// The forms of dates that most cells have.
    fn likely(&self) -> Vec<&Clockwork> {
        let most = self.times.iter().map(|t| t.1).max().unwrap_or(0);
        let enough = 2 * most > self.cells;
        self.times.iter().filter(|t| enough && t.1 == most).map(|t| &t.0).collect()
    }

    /// Whether more cells could tell which number is the month.
    pub(super) fn is_open(&self) -> bool {
        let month_first = |t: &&Clockwork| t.format.find('m') < t.format.find('d');
        let likely = self.likely();
        likely.iter().any(month_first) && !likely.iter().all(month_first)
    }

    /// The dress of numbers: of nearly all, since a few that are written otherwise are slips; of all where it is a unit of letters, which may
    /// be a part of a name.
    fn dress(&self) -> Option<Dress> {
        let (dress, n) = self.dresses.iter().max_by_key(|d| d.1)?;
        let letters = dress.suffix.trim_start().starts_with(char::is_alphabetic);
        let enough = if letters { *n == self.cells } else { 2 * n > self.cells };
        (enough && !dress.is_bare()).then(|| dress.clone())
    }

    /// Whether the first of the cells could be written so: a model's rows are, and those for it mostly.
    pub(super) fn suits(&self, style: &Style, dialect: Dialect) -> bool {
        let reading = Reading::of(style.clone());
        self.example
            .as_ref()
            .is_none_or(|cell| *style == Style::Plain || reading.number(cell, dialect).is_some())
    }

    /// How the cells are read, and what is doubtful about that.
    pub(super) fn reading(self, dialect: Dialect) -> (Reading, Option<String>) {
        let plain = (Reading::default(), None);
        if self.cells == 0 {
            return plain;
        }
        match self.lengths {
            // Months, days and hours count something; longer codes do not.
            Some((2, 2)) if self.codes > 0 => {
                let dress = Dress { digits: 2, decimals: Some(0), ..Dress::default() };
                return (Reading::of(Style::Dressed(dress)), None);
            }
            Some(_) if self.codes > 0 => return (Reading::texts(), None),
            None if self.codes > 0 && self.numbers < self.cells => return (Reading::texts(), None),
            _ => {}
        }
        if let Some(dress) = self.dress() {
            return (Reading::of(Style::Dressed(dress)), None);
        }
        let texts: Vec<&str> = self.texts.iter().map(String::as_str).collect();
        if let Some(names) = style::truth(&texts).filter(|_| texts.len() <= TEXTS && self.numbers == 0) {
            return (Reading::of(Style::Names(names.into())), None);
        }
        let open = self.is_open();
        let european = dialect.decimal_comma;
        let suits = |t: &&&Clockwork| !open || (t.format.find('d') < t.format.find('m')) == european;
        match self.likely().iter().find(suits) {
            Some(time) => {
                let doubt = open.then(|| {
                    let order = if european { "the day first" } else { "the month first" };
                    format!("dates such as {} are read with {order}, and nothing in them says so", texts[0])
                });
                (Reading::of(Style::Time(time.format.clone())), doubt)
            }
            None => plain,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POINT: Dialect = Dialect { delimiter: b',', decimal_comma: false };
    const COMMA: Dialect = Dialect { delimiter: b';', decimal_comma: true };

    fn reading(cells: &[&str], dialect: Dialect) -> (Reading, Option<String>) {
        let mut guess = Guess::default();
        cells.iter().for_each(|c| guess.see(c, dialect));
        guess.reading(dialect)
    }

    fn numbers(cells: &[&str], dialect: Dialect) -> Vec<Option<f64>> {
        let (reading, _) = reading(cells, dialect);
        cells.iter().map(|c| reading.number(c, dialect).map(|(x, _)| x)).collect()
    }

    #[test]
    fn cells_become_numbers() {
        assert_eq!(numbers(&["1", "2.5", "-3e2"], POINT), [Some(1.0), Some(2.5), Some(-300.0)]);
        assert_eq!(numbers(&["1,200", "15"], POINT), [Some(1200.0), Some(15.0)]);
        assert_eq!(numbers(&["1.200", "15,5"], COMMA), [Some(1200.0), Some(15.5)]);
        assert_eq!(numbers(&["1.5", "15,5"], COMMA), [Some(1.5), Some(15.5)]);
        assert_eq!(numbers(&["12 %", "", "7 %"], POINT), [Some(12.0), None, Some(7.0)]);
        assert_eq!(numbers(&["Yes", "no", "yes"], POINT), [Some(1.0), Some(0.0), Some(1.0)]);
        assert_eq!(numbers(&["01", "12"], POINT), [Some(1.0), Some(12.0)]);
        assert_eq!(numbers(&["1970-01-03", "-"], POINT), [Some(2.0), None]);
        assert_eq!(numbers(&["a", "1"], POINT), [None, Some(1.0)]);
        assert_eq!(numbers(&["02134", "90210"], POINT), [None, None]);
        // Most cells decide, and the others are slips; but letters behind a number may be a part of a name.
        assert_eq!(numbers(&["7", "5 %", "9%"], POINT), [None, Some(5.0), Some(9.0)]);
        assert_eq!(numbers(&["32A", "34B", "34B"], POINT), [None; 3]);
        assert_eq!(numbers(&["K1A 0B6", "02134"], POINT), [None; 2]);
    }

    #[test]
    fn months_are_told_from_days_or_it_is_said_that_they_are_not() {
        let (european, doubt) = reading(&["03/04/2024", "13/04/2024"], POINT);
        assert_eq!((european.style, doubt), (Style::Time("%d/%m/%Y".into()), None));
        let (open, doubt) = reading(&["03/04/2024"], POINT);
        assert_eq!(open.style, Style::Time("%m/%d/%Y".into()));
        assert!(doubt.unwrap().contains("month first"));
        assert_eq!(reading(&["03/04/2024"], COMMA).0.style, Style::Time("%d/%m/%Y".into()));
    }

    #[test]
    fn spellings() {
        let (truths, _) = reading(&["Yes", "No"], POINT);
        assert_eq!(truths.canonical("YES", POINT), "Yes");
        let plain = Reading::default();
        assert_eq!(["1.0", "x"].map(|c| plain.canonical(c, POINT)), ["1", "x"]);
        let texts = Reading::texts();
        assert_eq!(["1.10", "007"].map(|c| texts.canonical(c, POINT)), ["1.10", "007"]);
        let known = Reading::known(&["1".into(), "007".into(), "1E5".into()]);
        assert_eq!(
            ["1.0", "007", "1E5", "2.0"].map(|c| known.canonical(c, POINT)),
            ["1", "007", "1E5", "2.0"]
        );
        let known = Reading::known(&["No".into(), "Yes".into()]);
        assert_eq!(["YES", "maybe"].map(|c| known.canonical(c, POINT)), ["Yes", "maybe"]);
        // A rank may be called as a missing value is elsewhere.
        let ranks = Reading::of(Style::Names(vec!["none".into(), "mild".into()]));
        assert!(!ranks.lacks("none", "") && ranks.lacks("", "") && plain.lacks("none", ""));
    }
}
