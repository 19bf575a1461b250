//! safetensors files as data: tensors named as in an NPZ archive.

use super::array::{self, Array};
use super::input::{Input, most_bytes};
use super::{named, npy};
use crate::{Dataset, Error, Result};
use safetensors::{Dtype, SafeTensors};
use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

/// Longest header that is read; a data file names a handful of tensors.
const MAX_HEADER: u64 = 1 << 20;

/// Reads a data set from the file at `path`.
///
/// # Errors
/// [`Error::Format`] if it is no such file or holds a type that is not read.
pub(super) fn load(path: &Path, name: &str) -> Result<Dataset> {
    let file = File::open(path).map_err(Error::io("read", path))?;
    let mut whole = Input::plain(file, path, most_bytes()?);
    let bytes = whole.rest(u64::MAX)?;
    let mut left = whole.left();
    let header = bytes.first_chunk::<8>().map_or(0, |b| u64::from_le_bytes(*b));
    if header > MAX_HEADER {
        return Err(Error::format(
            path,
            "header",
            format!("{header} bytes long; at most {MAX_HEADER} are read: not a data file"),
        ));
    }
    let file = SafeTensors::deserialize(&bytes)
        .map_err(|e| Error::format(path, "header", format!("not a valid safetensors file: {e}")))?;
    let all: Vec<_> = file.iter().collect();
    // A model file has many tensors; only those with the name of a split are data, unless there is just one.
    let any = all.iter().any(|(n, _)| named::is_known(n));
    let mut arrays = BTreeMap::new();
    for (name, view) in all.iter().filter(|(n, _)| named::is_known(n) || !any) {
        let at = |message: String| Error::format(path, format!("tensor \"{name}\""), message);
        let kind = match view.dtype() {
            Dtype::BOOL => "b1",
            Dtype::U8 => "u1",
            Dtype::I8 => "i1",
            Dtype::U16 => "u2",
            Dtype::I16 => "i2",
            Dtype::U32 => "u4",
            Dtype::I32 => "i4",
            Dtype::U64 => "u8",
            Dtype::I64 => "i8",
            Dtype::F32 => "f4",
            Dtype::F64 => "f8",
            other => return Err(at(format!("type {other:?} is not read; save as F32"))),
        };
        let shape: Vec<u64> = view.shape().iter().map(|d| *d as u64).collect();
        let Some(n) = array::count(&shape) else {
            return Err(at(format!("shape {shape:?} is larger than what is read; split the tensor")));
        };
        let mut input = Input::plain(view.data(), path, left);
        let values = npy::values(&mut input, kind, true, n).map_err(|e| match e {
            Error::Format { message, .. } => at(message),
            other => other,
        })?;
        left = input.left();
        arrays.insert((*name).to_owned(), Ok(Array { shape: view.shape().to_vec(), values }));
    }
    array::assemble(path, name, named::parts(path, arrays)?)
}
