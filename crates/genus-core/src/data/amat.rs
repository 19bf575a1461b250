//! AMAT: the text format of the binarised MNIST files, one row of 0 and 1 per line, separated by blanks.

use super::array::Array;
use super::input::{Input, MAX_TEXT, MAX_VALUES};
use crate::{Error, Result};

/// Reads one table of zeros and ones.
///
/// # Errors
/// [`Error::Format`] naming the line if a cell is neither 0 nor 1 or rows differ in length.
pub(super) fn read(input: &mut Input<'_>) -> Result<Array> {
    let text = input.rest(MAX_TEXT.min(2 * MAX_VALUES))?;
    // A byte each, and then single precision.
    input.charge((text.len() as u64).div_ceil(2) * 5, "its values")?;
    let refuse =
        |line: usize, message: String| Error::format(input.path(), format!("line {}", line + 1), message);
    let (mut values, mut width, mut rows) = (Vec::with_capacity(text.len() / 2), 0, 0);
    for (number, line) in text.split(|b| *b == b'\n').enumerate() {
        let before = values.len();
        for cell in line.split(|b| b.is_ascii_whitespace()).filter(|c| !c.is_empty()) {
            match cell {
                b"0" => values.push(0),
                b"1" => values.push(1),
                other => {
                    let cell = String::from_utf8_lossy(&other[..other.len().min(20)]).into_owned();
                    return Err(refuse(
                        number,
                        format!("\"{cell}\" where 0 or 1 is needed; fetch the file again"),
                    ));
                }
            }
        }
        let got = values.len() - before;
        if got == 0 {
            continue;
        }
        if rows > 0 && got != width {
            return Err(refuse(
                number,
                format!("{got} values where the first row has {width}; the file is damaged"),
            ));
        }
        width = got;
        rows += 1;
    }
    Ok(Array::bytes(&[rows, width], values))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn rows_of_bits() {
        let of = |text: &str| read(&mut Input::new(text.as_bytes(), Path::new("x")).unwrap());
        assert_eq!(of("0 1 1 \n1 0 0\n\n").unwrap(), Array::bytes(&[2, 3], vec![0, 1, 1, 1, 0, 0]));
        assert!(of("0 1\n1 2\n").unwrap_err().to_string().contains("line 2"));
        assert!(of("0 1\n1\n").unwrap_err().to_string().contains("first row has 2"));
    }
}
