//! NPY: one NumPy array. Magic, version, a short Python dictionary as header, then the values.

use super::array::{self, Array, Values};
use super::input::Input;
use crate::{Error, Result};

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

macro_rules! decode {
    ($bytes:expr, $little:expr, $ty:ty) => {
        $bytes
            .as_chunks::<{ size_of::<$ty>() }>()
            .0
            .iter()
            .map(move |b| if $little { <$ty>::from_le_bytes(*b) } else { <$ty>::from_be_bytes(*b) })
    };
}

/// Values of `kind` (`f4`, `u1` …), little-endian or not.
fn values(bytes: Vec<u8>, kind: &str, little: bool) -> std::result::Result<Values, String> {
    Ok(match kind {
        "b1" | "u1" => Values::Bytes(bytes),
        "i1" => Values::Ints(decode!(bytes, little, i8).map(i64::from).collect()),
        "u2" => Values::Ints(decode!(bytes, little, u16).map(i64::from).collect()),
        "i2" => Values::Ints(decode!(bytes, little, i16).map(i64::from).collect()),
        "u4" => Values::Ints(decode!(bytes, little, u32).map(i64::from).collect()),
        "i4" => Values::Ints(decode!(bytes, little, i32).map(i64::from).collect()),
        "i8" => Values::Ints(decode!(bytes, little, i64).collect()),
        "u8" => Values::Ints(
            decode!(bytes, little, u64)
                .map(|v| i64::try_from(v).map_err(|_| format!("{v} is beyond 64-bit signed integers")))
                .collect::<std::result::Result<_, _>>()?,
        ),
        "f4" => Values::Floats(decode!(bytes, little, f32).collect()),
        "f8" => Values::Doubles(decode!(bytes, little, f64).collect()),
        _ => return Err(format!("type {kind}")),
    })
}

/// Bytes per value, or why the type is refused.
fn width(descr: &str) -> std::result::Result<(u64, &str, bool), String> {
    let (order, kind) = descr.split_at_checked(1).unwrap_or((descr, ""));
    let little = match order {
        "<" | "|" | "=" => true,
        ">" => false,
        _ => return Err(format!("type '{descr}' is not read; save with .astype(numpy.float32)")),
    };
    let bytes = match kind {
        "b1" | "u1" | "i1" => 1,
        "u2" | "i2" => 2,
        "u4" | "i4" | "f4" => 4,
        "u8" | "i8" | "f8" => 8,
        _ if kind.starts_with('O') => {
            return Err("an array of Python objects is a pickle, and pickles are never read; \
                        save with .astype(numpy.float32) or as .csv"
                .into());
        }
        _ if kind.starts_with(['U', 'S']) => {
            return Err(format!(
                "type '{descr}' is text, which is not read; labels must be class numbers, and tables with text a .csv"
            ));
        }
        _ => return Err(format!("type '{descr}' is not read; save with .astype(numpy.float32)")),
    };
    Ok((bytes, kind, little))
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
    let (size, kind, little) = width(&header.descr).map_err(|m| input.error(m))?;
    let Some(n) = array::count(&header.shape) else {
        return Err(
            input.error(format!("shape {:?} is larger than what is read; split the array", header.shape))
        );
    };
    let shape: Vec<usize> = header.shape.iter().map(|d| *d as usize).collect();
    if header.fortran && shape.len() > 2 {
        return Err(input.error("Fortran order beyond two axes; save numpy.ascontiguousarray(x) instead"));
    }
    let bytes = input.take(n * size, "the values")?;
    input.end()?;
    let mut values = values(bytes, kind, little).map_err(|m| input.error(m))?;
    if let (true, [rows, columns]) = (header.fortran, &shape[..]) {
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

/// An [`Error::Format`] that says which types are read, for other containers of the same values.
pub(super) fn decode(bytes: Vec<u8>, kind: &str, at: impl FnOnce(String) -> Error) -> Result<Values> {
    values(bytes, kind, true).map_err(at)
}
