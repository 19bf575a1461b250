//! NPY: one NumPy array. Magic, version, a short Python dictionary as header, then the values.

use super::array::{self, Array, Values};
use super::input::Input;
use crate::Result;

/// Longest header that is read, as in NumPy itself.
const MAX_HEADER: u64 = 10_000;

/// What the header says.
struct Header {
    descr: String,
    fortran: bool,
    shape: Vec<u64>,
}

/// The text after `'key':`, without leading blanks.
fn after<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    let at = ["'", "\""].iter().find_map(|q| {
        let quoted = format!("{q}{key}{q}");
        text.find(&quoted).map(|i| i + quoted.len())
    })?;
    text[at..].trim_start().strip_prefix(':').map(str::trim_start)
}

fn parse(text: &str) -> std::result::Result<Header, String> {
    let lacks = |key: &str| format!("the header has no readable `{key}`: not an NPY file that NumPy wrote");
    let descr = after(text, "descr").ok_or_else(|| lacks("descr"))?;
    let quote = descr.chars().next().filter(|c| matches!(c, '\'' | '"'));
    let Some(quote) = quote else {
        return Err("a structured type; save plain columns, one array of one number type".into());
    };
    let descr = descr[1..].split(quote).next().unwrap_or_default().to_owned();
    let order = after(text, "fortran_order").ok_or_else(|| lacks("fortran_order"))?;
    let fortran = match (order.starts_with("True"), order.starts_with("False")) {
        (true, _) => true,
        (_, true) => false,
        _ => return Err(lacks("fortran_order")),
    };
    let shape = after(text, "shape").and_then(|s| s.strip_prefix('(')).ok_or_else(|| lacks("shape"))?;
    let shape = shape.split(')').next().unwrap_or_default();
    let shape = shape
        .split(',')
        .map(str::trim)
        .filter(|d| !d.is_empty())
        .map(|d| d.trim_end_matches('L').parse().map_err(|_| lacks("shape")))
        .collect::<std::result::Result<Vec<u64>, _>>()?;
    Ok(Header { descr, fortran, shape })
}

/// The next `n` values of `kind` (`f4`, `u1` …), little-endian or not.
///
/// # Errors
/// [`Error::Format`] if they are not there, are of no kind that is read, or would take too much memory.
pub(super) fn values(input: &mut Input<'_>, kind: &str, little: bool, n: u64) -> Result<Values> {
    macro_rules! ints {
        ($ty:ty) => {
            Values::Ints(input.numbers(n, |b: [u8; size_of::<$ty>()]| {
                let v = if little { <$ty>::from_le_bytes(b) } else { <$ty>::from_be_bytes(b) };
                i64::try_from(v).map_err(|_| format!("{v} is beyond 64-bit signed integers"))
            })?)
        };
    }
    macro_rules! floats {
        ($ty:ty) => {
            input
                .numbers(n, |b| Ok(if little { <$ty>::from_le_bytes(b) } else { <$ty>::from_be_bytes(b) }))?
        };
    }
    if kind != "f4" {
        input.charge(n.saturating_mul(4), "the same in single precision")?;
    }
    Ok(match kind {
        "b1" | "u1" => Values::Bytes(input.take(n, "the values")?),
        "i1" => ints!(i8),
        "u2" => ints!(u16),
        "i2" => ints!(i16),
        "u4" => ints!(u32),
        "i4" => ints!(i32),
        "i8" => ints!(i64),
        "u8" => ints!(u64),
        "f4" => Values::Floats(floats!(f32)),
        "f8" => Values::Doubles(floats!(f64)),
        _ => return Err(input.error(format!("type {kind} is not read"))),
    })
}

/// The kind of the values and whether they are little-endian, or why the type is refused.
fn kind(descr: &str) -> std::result::Result<(&str, bool), String> {
    let (order, kind) = descr.split_at_checked(1).unwrap_or((descr, ""));
    let little = match order {
        "<" | "|" | "=" => true,
        ">" => false,
        _ => return Err(format!("type '{descr}' is not read; save with .astype(numpy.float32)")),
    };
    match kind {
        "b1" | "u1" | "i1" | "u2" | "i2" | "u4" | "i4" | "f4" | "u8" | "i8" | "f8" => Ok((kind, little)),
        _ if kind.starts_with('O') => {
            Err("an array of Python objects is a pickle, and pickles are never read; \
                        save with .astype(numpy.float32) or as .csv"
                .into())
        }
        _ if kind.starts_with(['U', 'S']) => Err(format!(
            "type '{descr}' is text, which is not read; labels must be class numbers, and tables with text a .csv"
        )),
        _ => Err(format!("type '{descr}' is not read; save with .astype(numpy.float32)")),
    }
}

fn transpose<T: Copy>(v: &[T], rows: usize, columns: usize) -> Vec<T> {
    (0..rows * columns).map(|i| v[(i % columns) * rows + i / columns]).collect()
}

/// Reads one array.
///
/// # Errors
/// [`Error::Format`] if the header is not NumPy's, the type is not a number, the array is larger than what is
/// read, or the file is cut short.
pub(super) fn read(input: &mut Input<'_>) -> Result<Array> {
    let start = input.take(8, "the header")?;
    if start[..6] != *b"\x93NUMPY" {
        return Err(input.error("not an NPY file: it does not start with \\x93NUMPY"));
    }
    let length = match start[6] {
        1 => input.take(2, "the header")?,
        2 | 3 => input.take(4, "the header")?,
        v => return Err(input.error(format!("NPY version {v}; versions 1 to 3 are read"))),
    };
    let length = length.iter().rev().fold(0, |n, b| n << 8 | u64::from(*b));
    if length > MAX_HEADER {
        return Err(input.error(format!("a header of {length} bytes; at most {MAX_HEADER} are read")));
    }
    let text = input.take(length, "the header")?;
    let text = String::from_utf8(text).map_err(|_| input.error("the header is not text"))?;
    let header = parse(&text).map_err(|m| input.error(m))?;
    let (kind, little) = kind(&header.descr).map_err(|m| input.error(m))?;
    let Some(n) = array::count(&header.shape) else {
        return Err(
            input.error(format!("shape {:?} is larger than what is read; split the array", header.shape))
        );
    };
    let shape: Vec<usize> = header.shape.iter().map(|d| *d as usize).collect();
    if header.fortran && shape.len() > 2 {
        return Err(input.error("Fortran order beyond two axes; save numpy.ascontiguousarray(x) instead"));
    }
    let mut values = values(input, kind, little, n)?;
    input.end()?;
    if let (true, [rows, columns]) = (header.fortran, &shape[..]) {
        let each = match &values {
            Values::Bytes(_) => 1,
            Values::Floats(_) => 4,
            Values::Ints(_) | Values::Doubles(_) => 8,
        };
        input.charge(n * each, "the values in order of rows")?;
        values = match values {
            Values::Bytes(v) => Values::Bytes(transpose(&v, *rows, *columns)),
            Values::Ints(v) => Values::Ints(transpose(&v, *rows, *columns)),
            Values::Floats(v) => Values::Floats(transpose(&v, *rows, *columns)),
            Values::Doubles(v) => Values::Doubles(transpose(&v, *rows, *columns)),
        };
    }
    Ok(Array { shape, values })
}

/// The bytes of an NPY file of version 1, which every NumPy reads. `descr` is the type as NumPy writes it.
pub(super) fn encode(descr: &str, shape: &[usize], values: &[u8]) -> Vec<u8> {
    let extents: Vec<String> = shape.iter().map(usize::to_string).collect();
    // A tuple of one needs its comma in Python.
    let tail = if shape.len() == 1 { "," } else { "" };
    let dict =
        format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({}{tail}), }}", extents.join(", "));
    // Magic, version and length take 10 bytes; values start at a multiple of 64, and a newline ends the
    // header.
    let length = (10 + dict.len() + 1).next_multiple_of(64) - 10;
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((length as u16).to_le_bytes());
    bytes.extend(format!("{dict:<width$}\n", width = length - 1).into_bytes());
    bytes.extend_from_slice(values);
    bytes
}
