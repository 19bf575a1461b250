//! How the values of a column are written: numbers with signs, units and groups of digits, ranks by name, points in time.
//!
//! Models see numbers; what people read and write is this. A style reads every text that it writes.

use crate::digest::Parts;
use chrono::format::{Item, Parsed, StrftimeItems, parse};
use chrono::{DateTime, Datelike, NaiveTime, Timelike};
use serde::{Deserialize, Serialize};
use std::fmt::Write;

/// How the values of a column are written.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Style {
    /// As numbers, or as the names of categories.
    #[default]
    Plain,
    /// As numbers with something around or within them.
    Dressed(Dress),
    /// Whole numbers from 0 by these names, in this order: `no`, `yes`; `low`, `medium`, `high`.
    Names(Vec<String>),
    /// Points in time by this format of strftime. Their numbers count, from the beginning of the year 1970 or of a day without a date,
    /// days, minutes or seconds: the longest in which every time that the format can write is whole, but for fractions of a second.
    Time(String),
}

/// What stands around and within numbers: `$1,234.50`, `12 %`, `07`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dress {
    /// Before the number, behind its sign.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub prefix: String,
    /// Behind the number.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub suffix: String,
    /// Between groups of three digits before the point.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<char>,
    /// Digits behind the point, where all numbers have so many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decimals: Option<u8>,
    /// Digits at least, with zeros in front.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub digits: u8,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde wants it
fn is_zero(n: &u8) -> bool {
    *n == 0
}

/// Signs of money, which may stand before a number or behind it.
const MONEY: [&str; 9] = ["$", "€", "£", "¥", "₹", "US$", "CHF", "EUR", "USD"];
/// What may stand between groups of digits.
const GROUPS: [char; 8] = [',', '.', ' ', '\u{a0}', '\u{202f}', '\'', '’', '_'];
/// Longest unit behind a number.
const UNIT: usize = 6;

impl Dress {
    /// That of a single text, if it is a number; the digits behind its point are those of this one.
    pub(crate) fn of(text: &str, comma: bool) -> Option<Self> {
        let (_, rest) = sign(text);
        let prefix = before(rest);
        let (_, rest) = sign(&rest[prefix.len()..]);
        let end = rest.rfind(|c: char| c.is_ascii_digit())? + 1;
        let (number, suffix) = rest.split_at(end);
        if !number.starts_with(|c: char| c.is_ascii_digit() || c == '.' || c == ',') || !is_unit(suffix) {
            return None;
        }
        let (whole, fraction) = match number.rfind(point(comma)) {
            Some(at) => (&number[..at], Some(&number[at + 1..])),
            None => (number, None),
        };
        // A number of an account begins with a zero.
        let mut start = whole.bytes();
        if start.next() == Some(b'0') && start.next().is_some() {
            return None;
        }
        let group = whole.chars().find(|c| !c.is_ascii_digit());
        let grouped = |g: char| GROUPS.contains(&g) && g != point(comma) && in_groups(whole, g);
        let fraction = fraction.unwrap_or_default();
        if !group.is_none_or(grouped) || !fraction.bytes().all(|b| b.is_ascii_digit()) || fraction.len() > 12
        {
            return None;
        }
        let decimals = Some(fraction.len() as u8);
        Some(Self { prefix: prefix.into(), suffix: suffix.into(), group, decimals, digits: 0 })
    }

    /// That of both; none if they are written differently. A number of few digits has no groups.
    pub(crate) fn unified(self, other: Self) -> Option<Self> {
        let group = match (self.group, other.group) {
            (Some(a), Some(b)) if a != b => return None,
            (a, b) => a.or(b),
        };
        let same = self.means(&other);
        same.then(|| Self { group, decimals: self.decimals.filter(|d| other.decimals == Some(*d)), ..self })
    }

    /// Whether numbers stand as they are.
    pub(crate) fn is_bare(&self) -> bool {
        self.prefix.is_empty() && self.suffix.is_empty() && self.group.is_none() && self.digits == 0
    }

    /// Whether numbers of both are of the same unit.
    pub(crate) fn means(&self, other: &Self) -> bool {
        self.prefix.trim() == other.prefix.trim() && self.suffix.trim() == other.suffix.trim()
    }

    /// The number without its dress, with a point where it has one.
    pub(crate) fn core(&self, text: &str, comma: bool) -> Option<String> {
        let (minus, rest) = sign(text);
        let rest =
            rest.strip_prefix(self.prefix.as_str()).or_else(|| rest.strip_prefix(self.prefix.trim()))?;
        let (inner, rest) = sign(rest.trim_start());
        let rest =
            rest.strip_suffix(self.suffix.as_str()).or_else(|| rest.strip_suffix(self.suffix.trim()))?;
        let rest = rest.trim_end();
        let (whole, fraction) = rest.split_once(point(comma)).unwrap_or((rest, ""));
        let whole = match self.group {
            Some(g) if whole.contains(g) && !in_groups(whole, g) => return None,
            Some(g) => whole.replace(g, ""),
            None => whole.to_owned(),
        };
        let sign = if minus || inner { "-" } else { "" };
        Some(if fraction.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") })
    }

    /// A number, which is `plain` as a text of its own.
    fn write(&self, v: f64, plain: &str, comma: bool) -> String {
        let fixed = self.decimals.map(|d| format!("{:.*}", usize::from(d), v.abs()));
        let bare = fixed.as_deref().unwrap_or_else(|| plain.trim_start_matches('-'));
        let (whole, fraction) = bare.split_once('.').unwrap_or((bare, ""));
        let whole = format!("{whole:0>width$}", width = usize::from(self.digits));
        let mut out = String::new();
        // Groups that have points leave a comma to the fraction.
        let comma = comma || self.group == Some('.');
        // What is rounded to nothing has no sign.
        if v < 0.0 && bare.bytes().any(|b| b.is_ascii_digit() && b != b'0') {
            out.push('-');
        }
        out.push_str(&self.prefix);
        for (i, c) in whole.char_indices() {
            if let Some(g) = self.group.filter(|_| i > 0 && (whole.len() - i) % 3 == 0) {
                out.push(g);
            }
            out.push(c);
        }
        if !fraction.is_empty() {
            out.push(point(comma));
            out.push_str(fraction);
        }
        out + &self.suffix
    }
}

fn point(comma: bool) -> char {
    if comma { ',' } else { '.' }
}

/// Whether a number has a minus, and the rest of it.
fn sign(text: &str) -> (bool, &str) {
    match text.strip_prefix(['-', '−']) {
        Some(rest) => (true, rest.trim_start()),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    }
}

/// The sign of money that a text begins with, and blanks.
fn before(text: &str) -> &str {
    let Some(money) = MONEY.iter().filter(|m| text.starts_with(**m)).max_by_key(|m| m.len()) else {
        return "";
    };
    let rest = &text[money.len()..];
    &text[..text.len() - rest.trim_start().len()]
}

/// A number without its sign and unit; what is none more or less as it is.
pub(crate) fn bare(text: &str) -> &str {
    let (_, rest) = sign(text);
    let (_, rest) = sign(&rest[before(rest).len()..]);
    let end = rest.rfind(|c: char| c.is_ascii_digit()).map_or(0, |at| at + 1);
    if is_unit(&rest[end..]) { &rest[..end] } else { rest }
}

/// Whether that may stand behind a number as its unit: a sign or a few letters.
fn is_unit(text: &str) -> bool {
    let unit = text.trim_start();
    let of_unit = |c: char| {
        c.is_alphabetic()
            || matches!(c, '%' | '‰' | '°' | '/' | '²' | '³' | 'µ' | '$' | '€' | '£' | '¥' | '₹')
    };
    // `1e` and `5.` are no units.
    unit.chars().count() <= UNIT && unit.chars().all(of_unit) && !matches!(unit, "e" | "E")
}

/// Whether digits stand in groups of three behind a first of one to three, with this between them.
pub(crate) fn in_groups(whole: &str, group: char) -> bool {
    let digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
    let mut parts = whole.split(group);
    let first = parts.next().unwrap_or_default();
    digits(first) && first.len() <= 3 && !first.starts_with('0') && parts.all(|p| digits(p) && p.len() == 3)
}

/// Names of no and yes.
const TRUTHS: [[&str; 2]; 6] =
    [["false", "true"], ["no", "yes"], ["n", "y"], ["f", "t"], ["off", "on"], ["nein", "ja"]];

/// The names of no and yes that these texts are, in any case; no others may occur, and both must.
pub(crate) fn truth(texts: &[&str]) -> Option<[String; 2]> {
    let pair = TRUTHS.iter().find(|p| texts.iter().all(|t| p.iter().any(|n| t.eq_ignore_ascii_case(n))))?;
    let first = |name: &str| texts.iter().find(|t| t.eq_ignore_ascii_case(name)).map(|t| (*t).to_owned());
    Some([first(pair[0])?, first(pair[1])?])
}

const DAY: f64 = 86_400.0;

/// Dates and clocks that are known; of those that read a text alike the earlier is taken.
const DATES: [&str; 29] = [
    "%Y-%m-%d",
    "%Y/%m/%d",
    "%Y.%m.%d",
    "%d.%m.%Y",
    "%-d.%-m.%Y",
    "%d.%m.%y",
    "%m/%d/%Y",
    "%d/%m/%Y",
    "%-m/%-d/%Y",
    "%-d/%-m/%Y",
    "%m/%d/%y",
    "%d/%m/%y",
    "%-m/%-d/%y",
    "%-d/%-m/%y",
    "%m-%d-%Y",
    "%d-%m-%Y",
    "%d-%b-%Y",
    "%d-%b-%y",
    "%-d-%b-%Y",
    "%-d-%b-%y",
    "%d %b %Y",
    "%-d %b %Y",
    "%b %d, %Y",
    "%b %-d, %Y",
    "%d %B %Y",
    "%-d %B %Y",
    "%B %-d, %Y",
    "%Y-%m",
    "%m/%Y",
];
const CLOCKS: [&str; 11] = [
    "%H:%M",
    "%H:%M:%S",
    "%-H:%M",
    "%-H:%M:%S",
    "%I:%M %p",
    "%-I:%M %p",
    "%I:%M:%S %p",
    "%-I:%M:%S %p",
    "%H:%M:%S%.3f",
    "%H:%M:%S%.6f",
    "%I:%M%p",
];
/// What says where on earth a clock stands, if it is the same in all cells.
const ZONES: [&str; 4] = ["", "Z", "+00:00", " UTC"];

/// A format of time that was taken apart once.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Clockwork {
    pub(crate) format: String,
    items: Vec<Item<'static>>,
}

impl Clockwork {
    /// None if that is no format.
    pub(crate) fn new(format: &str) -> Option<Self> {
        let items = StrftimeItems::new(format).parse_to_owned().ok()?;
        Some(Self { format: format.into(), items })
    }

    /// Whether it says a date or a time of the day, reads what it writes, and says nothing shorter than its unit.
    pub(crate) fn is_sound(&self) -> bool {
        let day = 10_000.0 * DAY / self.unit();
        let written = self.write(day);
        let finer = self.unit() > 1.0 && self.write(day + 0.5) != written;
        !finer && written.and_then(|text| self.read(&text)).is_some()
    }

    /// Numbers of the times of a day; none of dates.
    fn bounds(&self) -> Option<[f64; 2]> {
        (!self.has_date()).then(|| [0.0, DAY / self.unit() - 1.0])
    }

    /// Seconds of one.
    fn unit(&self) -> f64 {
        let has = |c: &str| self.format.contains(c);
        match () {
            () if has("%S") || has("%T") || has("%-S") => 1.0,
            () if ["%H", "%I", "%-H", "%-I", "%M", "%R"].into_iter().any(has) => 60.0,
            () => DAY,
        }
    }

    fn has_date(&self) -> bool {
        ["%Y", "%y", "%F", "%D"].iter().any(|c| self.format.contains(c))
    }

    /// The number of a text.
    pub(crate) fn read(&self, text: &str) -> Option<f64> {
        let mut parsed = Parsed::new();
        parse(&mut parsed, text, self.items.iter()).ok()?;
        let time = match self.unit() == DAY {
            true => NaiveTime::MIN,
            false => parsed.to_naive_time().ok()?,
        };
        let seconds = f64::from(time.num_seconds_from_midnight()) + f64::from(time.nanosecond()) * 1e-9;
        if !self.has_date() {
            return (self.unit() != DAY).then(|| seconds / self.unit());
        }
        // A month begins with its first day.
        let mut dated = parsed.clone();
        if dated.day().is_none() && dated.ordinal().is_none() {
            dated.set_day(1).ok()?;
        }
        // `%Y` also reads the year 24.
        let date = dated.to_naive_date().ok().filter(|d| (1000..=9999).contains(&d.year()))?;
        let days = i64::from(date.num_days_from_ce()) - i64::from(DateTime::UNIX_EPOCH.num_days_from_ce());
        Some((days as f64 * DAY + seconds) / self.unit())
    }

    /// The text of a number; none beyond the calendar.
    fn write(&self, v: f64) -> Option<String> {
        // A thousandth of a millisecond is the least that is written.
        let micros = (v * self.unit() * 1e6).round();
        let micros = (micros.abs() < 8e18).then_some(micros as i64)?;
        let at = DateTime::from_timestamp_micros(micros)?.naive_utc();
        let mut out = String::new();
        write!(out, "{}", at.format_with_items(self.items.iter())).ok()?;
        Some(out)
    }
}

/// All formats that write each of these texts as it stands, those that are taken first in front.
pub(crate) fn formats(text: &str) -> Vec<Clockwork> {
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    if !(3..=20).contains(&digits) || text.len() > 40 || !text.contains(['-', '/', '.', ':', ' ']) {
        return Vec::new();
    }
    let clocks = || CLOCKS.iter().flat_map(|c| ZONES.map(|z| format!("{c}{z}")));
    let dated = DATES.iter().flat_map(|d| {
        let with = clocks().flat_map(move |c| [format!("{d} {c}"), format!("{d}T{c}")]);
        std::iter::once((*d).to_owned()).chain(with)
    });
    dated
        .chain(CLOCKS.iter().map(|c| (*c).to_owned()))
        .filter(|f| plausible(f, text))
        .filter_map(|f| Clockwork::new(&f))
        .filter(|c| writes(c, text))
        .collect()
}

/// Whether a format could write a text, at a glance.
fn plausible(format: &str, text: &str) -> bool {
    let count = |s: &str, c: char| s.chars().filter(|x| *x == c).count();
    [':', '/', 'T', 'Z', '+']
        .iter()
        .all(|c| count(format, *c) == count(text, *c) || *c == 'T' && count(text, 'T') > 0)
}

/// Whether a format writes a text as it stands.
pub(crate) fn writes(format: &Clockwork, text: &str) -> bool {
    format.read(text).and_then(|v| format.write(v)).is_some_and(|t| t == text)
}

impl Style {
    /// The number of a text that stands in a cell; none if it is none.
    pub(crate) fn read(&self, text: &str, comma: bool) -> Option<f64> {
        match self {
            Self::Plain => None,
            Self::Dressed(dress) => dress.core(text, comma).and_then(|core| core.parse().ok()),
            Self::Names(names) => {
                let exact = names.iter().position(|n| n == text);
                exact.or_else(|| names.iter().position(|n| n.eq_ignore_ascii_case(text))).map(|i| i as f64)
            }
            Self::Time(format) => Clockwork::new(format)?.read(text),
        }
    }

    /// A number, `plain` as a text of its own, as it stands in a cell; none where the style has no other text for it.
    pub(crate) fn write(&self, v: f64, plain: &str, comma: bool) -> Option<String> {
        match self {
            Self::Plain => None,
            Self::Dressed(dress) => Some(dress.write(v, plain, comma)),
            Self::Names(names) => {
                (v >= 0.0 && v.fract() == 0.0).then(|| names.get(v as usize).cloned()).flatten()
            }
            Self::Time(format) => Clockwork::new(format)?.write(v),
        }
    }

    /// Whether numbers of both mean the same.
    pub(crate) fn means(&self, other: &Self) -> bool {
        let bare = Dress::default();
        let dress = |s: &Self| match s {
            Self::Plain => Some(bare.clone()),
            Self::Dressed(d) => Some(d.clone()),
            _ => None,
        };
        match (self, other) {
            (Self::Names(a), Self::Names(b)) => {
                a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.eq_ignore_ascii_case(b))
            }
            (Self::Time(a), Self::Time(b)) => {
                let kind = |f: &str| Clockwork::new(f).map(|c| (c.unit(), c.has_date()));
                kind(a) == kind(b)
            }
            (a, b) => dress(a).zip(dress(b)).is_some_and(|(a, b)| a.means(&b)),
        }
    }

    /// The least and the largest number that it can write, where there are such.
    pub(crate) fn bounds(&self) -> Option<[f64; 2]> {
        match self {
            Self::Names(names) => Some([0.0, names.len() as f64 - 1.0]),
            Self::Time(format) => Clockwork::new(format)?.bounds(),
            Self::Plain | Self::Dressed(_) => None,
        }
    }

    /// Digits behind the point that it writes, if it says so.
    pub(crate) fn decimals(&self) -> Option<u8> {
        match self {
            Self::Time(f) if f.contains("%.3f") => Some(3),
            Self::Time(f) if f.contains("%.6f") => Some(6),
            _ => None,
        }
    }

    /// What it writes, in words; none for plain numbers.
    pub(crate) fn words(&self) -> Option<String> {
        match self {
            Self::Plain => None,
            Self::Dressed(d) => Some(d.write(1234.0, "1234", false)),
            Self::Names(names) if names.len() == 2 => Some(names.join(" or ")),
            Self::Names(names) => Some(names.join(" < ")),
            Self::Time(format) => {
                let c = Clockwork::new(format)?;
                let what = match (c.has_date(), c.unit() == DAY) {
                    (true, true) => "date",
                    (true, false) => "date and time",
                    (false, _) => "time of day",
                };
                Some(format!("{what} {format}"))
            }
        }
    }

    pub(crate) fn digest(&self, parts: &mut Parts) {
        match self {
            Self::Plain => {}
            Self::Dressed(d) => {
                parts.put("dressed").put(d.prefix.trim()).put(d.suffix.trim());
            }
            Self::Names(names) => {
                parts.put("names").number(names.len());
                names.iter().for_each(|n| {
                    parts.put(n);
                });
            }
            Self::Time(format) => {
                parts.put("time").put(format);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dress(texts: &[&str], comma: bool) -> Option<Dress> {
        let mut all = texts.iter().map(|t| Dress::of(t, comma));
        let first = all.next()??;
        all.try_fold(first, |a, b| a.unified(b?))
    }

    #[test]
    fn numbers_are_read_out_of_their_dress_and_put_back() {
        for (texts, comma, values) in [
            (["$1,234.50", "-$7.00"], false, [1234.5, -7.0]),
            (["12.5 %", "7 %"], false, [12.5, 7.0]),
            (["1.234,5 €", "2,5 €"], true, [1234.5, 2.5]),
            (["1 234 567", "12"], false, [1_234_567.0, 12.0]),
            (["80 kg", "102 kg"], false, [80.0, 102.0]),
            (["1'000'000", "999"], false, [1e6, 999.0]),
        ] {
            let style = Style::Dressed(dress(&texts, comma).unwrap());
            for (text, value) in texts.iter().zip(values) {
                assert_eq!(style.read(text, comma), Some(value), "{text}");
                assert_eq!(style.write(value, &value.to_string(), comma).as_deref(), Some(*text));
            }
        }
        let cents = Style::Dressed(dress(&["$1.50", "$2.25"], false).unwrap());
        let write = |v: f64| cents.write(v, &v.to_string(), false).unwrap();
        assert_eq!(["$3.10", "$0.00", "-$0.01", "$12345.00"], [3.1, -0.001, -0.01, 12345.0].map(write)[..]);
    }

    #[test]
    fn what_is_no_number_has_no_dress() {
        for text in [
            "",
            "abc",
            "2024-03-05",
            "10:30",
            "3,5",
            "12 Main St 5",
            "192.168.1.1",
            "5e",
            "1,23,456",
            "0,125",
            "007 kg",
            "A12",
            "5 parsecs",
        ] {
            assert_eq!(Dress::of(text, false), None, "{text}");
        }
        assert_eq!(dress(&["5 kg", "5 lb"], false), None);
        assert_eq!(dress(&["5 %", "5"], false), None);
    }

    #[test]
    fn times_are_found_read_and_written() {
        for (text, format, value) in [
            ("1970-01-02", "%Y-%m-%d", 1.0),
            ("2024-02-29", "%Y-%m-%d", 19_782.0),
            ("29.02.2024", "%d.%m.%Y", 19_782.0),
            ("2/29/2024", "%-m/%-d/%Y", 19_782.0),
            ("29/02/24", "%d/%m/%y", 19_782.0),
            ("29-Feb-2024", "%d-%b-%Y", 19_782.0),
            ("Feb 29, 2024", "%b %d, %Y", 19_782.0),
            ("2024-02", "%Y-%m", 19_754.0),
            ("1970-01-01 01:02", "%Y-%m-%d %H:%M", 62.0),
            ("1970-01-01T00:01:02", "%Y-%m-%dT%H:%M:%S", 62.0),
            ("1970-01-01T00:01:02Z", "%Y-%m-%dT%H:%M:%SZ", 62.0),
            ("1970-01-01 00:00:02.250", "%Y-%m-%d %H:%M:%S%.3f", 2.25),
            ("2/29/2024 1:05 PM", "%-m/%-d/%Y %-I:%M %p", 19_782.0 * 1440.0 + 785.0),
            ("13:05", "%H:%M", 785.0),
            ("1969-12-31", "%Y-%m-%d", -1.0),
        ] {
            let found = formats(text);
            let first = found.first().unwrap_or_else(|| panic!("{text} is no time"));
            assert_eq!((first.format.as_str(), first.read(text)), (format, Some(value)), "{text}");
            assert_eq!(first.write(value).as_deref(), Some(text));
        }
        for text in ["2024-02-30", "25:00", "hello there 123", "1.5", "31/31/2024", "555-1234"] {
            assert!(formats(text).is_empty(), "{text}: {:?}", formats(text));
        }
        assert!(formats("03/04/2024").len() > 1);
        for unsound in ["%d/%m", "%d/%m/%Y %X", "%Y"] {
            assert!(Clockwork::new(unsound).is_none_or(|c| !c.is_sound()), "{unsound}");
        }
        assert_eq!(Clockwork::new("%d.%m.%Y").and_then(|c| c.read("01.02.24")), None);
    }

    #[test]
    fn truths_are_pairs() {
        assert_eq!(truth(&["Yes", "No"]), Some(["No".into(), "Yes".into()]));
        assert_eq!((truth(&["yes", "maybe"]), truth(&["yes"]), truth(&["no", "true"])), (None, None, None));
        let style = Style::Names(vec!["No".into(), "Yes".into()]);
        assert_eq!((style.read("yes", false), style.read("perhaps", false)), (Some(1.0), None));
        assert_eq!(style.write(1.0, "1", false).as_deref(), Some("Yes"));
        assert_eq!((style.write(0.5, "0.5", false), style.write(2.0, "2", false)), (None, None));
    }

    #[test]
    fn styles_mean_the_same_or_not() {
        let of = |text: &str| Style::Dressed(Dress::of(text, false).unwrap());
        assert!(
            of("1,000").means(&Style::Plain) && of("5%").means(&of("7 %")) && !of("5%").means(&Style::Plain)
        );
        let time = |f: &str| Style::Time(f.into());
        assert!(
            time("%Y-%m-%d").means(&time("%d.%m.%Y")) && !time("%Y-%m-%d").means(&time("%Y-%m-%d %H:%M"))
        );
        assert!(!time("%Y-%m-%d").means(&Style::Plain));
    }
}
