//! How a table is written: remarks above it, what stands between its cells, and how its numbers look.

use super::column;
use super::input::MAX_LINE;
use std::borrow::Cow;

/// How a table is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Dialect {
    pub(super) delimiter: u8,
    /// Numbers have a comma where others have a point.
    pub(super) decimal_comma: bool,
}

impl Dialect {
    /// The finite number that a cell holds.
    pub(super) fn number(self, cell: &str) -> Option<f64> {
        if self.decimal_comma && cell.contains(',') {
            let pointed = is_comma_number(cell).then(|| cell.replace(',', "."));
            return pointed.and_then(|c| column::number(&c));
        }
        column::number(cell)
    }

    /// In words.
    pub(super) fn words(self) -> String {
        let between = match self.delimiter {
            b',' => "commas",
            b';' => "semicolons",
            b'\t' => "tabs",
            b'|' => "bars",
            _ => "blanks",
        };
        let comma = if self.decimal_comma { ", with decimal commas" } else { "" };
        format!("cells between {between}{comma}")
    }
}

/// The text of a table without what stands above it.
pub(super) struct Body<'a> {
    pub(super) text: Cow<'a, [u8]>,
    /// Lines before it.
    pub(super) above: u64,
    /// The last of these, if it was a remark, without its sign: `numpy.savetxt` writes the header so.
    pub(super) remark: Option<Vec<u8>>,
    pub(super) delimiter: u8,
}

/// Candidates between cells, the more usual later.
const DELIMITERS: [u8; 4] = [b'|', b'\t', b';', b','];

/// The cells of a line, without regard to quotes within quotes. One at a time: a line may be as long as its file.
fn cells(line: &[u8], delimiter: u8) -> impl Iterator<Item = &[u8]> {
    let mut quoted = false;
    let cut = move |b: &u8| {
        quoted ^= *b == b'"';
        *b == delimiter && !quoted
    };
    line.split(cut).map(<[u8]>::trim_ascii)
}

/// Whether a cell is one of these; none that is long is.
fn is(cell: &[u8], f: impl Fn(&str) -> bool) -> bool {
    cell.len() <= LONGEST && std::str::from_utf8(cell).is_ok_and(f)
}

/// Longest cell that may be a number, far longer than any is written.
const LONGEST: usize = 1000;

/// What stands between the cells: that which makes numbers of most of them, in the first lines, and of those that which the first line
/// has most of. A comma between digits may also belong to a number.
fn delimiter(text: &[u8]) -> Option<u8> {
    let lines = || text.split(|b| *b == b'\n').filter(|l| !l.trim_ascii().is_empty()).take(10);
    let first = lines().next()?;
    let number = |c: &str, d: u8| column::number(c).is_some() || d != b',' && is_comma_number(c);
    let quality = |d: u8| {
        let (mut all, mut numbers) = (0, 0);
        for cell in lines().flat_map(|l| cells(l, d)) {
            all += 1;
            numbers += usize::from(is(cell, |c| number(c, d)));
        }
        (1000 * numbers / all.max(1), cells(first, d).count())
    };
    let there = |d: &u8| cells(first, *d).nth(1).is_some();
    DELIMITERS.into_iter().filter(there).max_by_key(|d| quality(*d))
}

/// A line without what ends it.
fn without_end(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// Takes remarks off and finds what stands between the cells.
pub(super) fn body(text: &[u8]) -> Body<'_> {
    let (mut rest, mut above, mut remark) = (text, 0, None);
    // A line for one program for sheets, which says what stands between cells.
    let mut said = None;
    if let Some((line, after)) = text.iter().position(|b| *b == b'\n').map(|at| text.split_at(at + 1))
        && let Some([delimiter]) = without_end(line).strip_prefix(b"sep=")
    {
        (rest, above, said) = (after, 1, Some(*delimiter));
    }
    while rest.trim_ascii_start().first() == Some(&b'#') {
        let end = rest.iter().position(|b| *b == b'\n').map_or(rest.len(), |at| at + 1);
        let (line, after) = rest.split_at(end);
        if line.trim_ascii().is_empty() {
            // A blank line between remarks.
            (rest, above) = (after, above + 1);
            continue;
        }
        let text = line.trim_ascii()[1..].trim_ascii();
        remark = (text.len() <= MAX_LINE).then(|| text.to_vec());
        (rest, above) = (after, above + 1);
    }
    let found = said.or_else(|| delimiter(rest));
    if found.is_some() || !by_blanks(rest) {
        return Body { text: Cow::Borrowed(rest), above, remark, delimiter: found.unwrap_or(b',') };
    }
    // One blank between cells, none around lines.
    let mut text = Vec::with_capacity(rest.len());
    for line in rest.split(|b| *b == b'\n') {
        for (i, cell) in line.split(u8::is_ascii_whitespace).filter(|c| !c.is_empty()).enumerate() {
            if i > 0 {
                text.push(b' ');
            }
            text.extend_from_slice(cell);
        }
        text.push(b'\n');
    }
    Body { text: Cow::Owned(text), above, remark, delimiter: b' ' }
}

/// Whether the second line, or the only one, is numbers between blanks, and the first one has as many cells.
fn by_blanks(text: &[u8]) -> bool {
    fn words(line: &[u8]) -> impl Iterator<Item = &[u8]> {
        line.split(u8::is_ascii_whitespace).filter(|w| !w.is_empty())
    }
    let mut lines = text.split(|b| *b == b'\n').filter(|l| !l.trim_ascii().is_empty());
    let Some(first) = lines.next() else { return false };
    let second = lines.next().unwrap_or(first);
    let number = |c: &str| column::number(c).is_some() || is_comma_number(c) || column::is_missing(c);
    let n = words(first).count();
    n > 1 && n == words(second).count() && words(second).all(|w| is(w, number))
}

/// A number with a comma for a point: `-3,5`.
pub(super) fn is_comma_number(cell: &str) -> bool {
    let unsigned = cell.strip_prefix(['-', '+']).unwrap_or(cell);
    let Some((whole, fraction)) = unsigned.split_once(',') else { return false };
    let digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    let (fraction, exponent) = fraction.split_once(['e', 'E']).unwrap_or((fraction, "0"));
    digits(whole)
        && !fraction.is_empty()
        && digits(fraction)
        && exponent.parse::<i32>().is_ok()
        && !(whole.is_empty() && fraction.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remarks_and_delimiters() {
        let delimiter = |text: &str| body(text.as_bytes()).delimiter;
        assert_eq!(delimiter("a;b\n1,5;2,5\n"), b';');
        assert_eq!(delimiter("a,b\n1,2\n"), b',');
        assert_eq!(delimiter("1,5;2,5;3,5\n1,5;2;3,5\n"), b';');
        assert_eq!(delimiter("when;where\nnow, here;there\n"), b';');
        assert_eq!(delimiter("a|b\n1|2\n"), b'|');
        assert_eq!(delimiter("\"a;b\",c\n1,2\n"), b',');
        assert_eq!(delimiter("1.5 2\n3 4\n"), b' ');
        assert_eq!(delimiter("one word\nnext line\n"), b',');
        let b = body(b"# by hand\n\n# x,y\n1,2\n");
        assert_eq!((b.above, b.remark.as_deref(), &b.text[..]), (3, Some(&b"x,y"[..]), &b"1,2\n"[..]));
        let b = body(b"sep=;\na;b\n1;2\n");
        assert_eq!((b.above, b.delimiter, &b.text[..]), (1, b';', &b"a;b\n1;2\n"[..]));
        let b = body(b"  1   2.5\n 3 4\n");
        assert_eq!(&b.text[..], b"1 2.5\n3 4\n\n");
    }

    #[test]
    fn numbers_with_commas() {
        let comma = Dialect { delimiter: b';', decimal_comma: true };
        assert_eq!(
            ["-3,5", "7", "1,5e-2", ",5", "x", "1,2,3", "1.5"].map(|c| comma.number(c)),
            [Some(-3.5), Some(7.0), Some(0.015), Some(0.5), None, None, Some(1.5)]
        );
        assert_eq!(Dialect { decimal_comma: false, ..comma }.number("3,5"), None);
    }
}
