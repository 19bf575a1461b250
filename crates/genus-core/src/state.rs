//! A model as named tensors and a header: one safetensors file, never a pickle.

use crate::digest::Parts;
use crate::{Error, Result, fsx};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

/// Values of one tensor.
#[derive(Debug, Clone, PartialEq)]
pub enum Values {
    /// Single precision.
    F32(Vec<f32>),
    /// Double precision.
    F64(Vec<f64>),
    /// Unsigned integers.
    U64(Vec<u64>),
}

/// A named array of any rank.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    /// Extent of each axis, row-major.
    pub shape: Vec<usize>,
    /// The values.
    pub values: Values,
}

/// What stands under `genus` in the file's metadata.
#[derive(Serialize, Deserialize)]
struct Header {
    /// [`FORMAT`]; files from before there was more than one do not say it.
    #[serde(default)]
    format: u32,
    sha256: String,
    texts: BTreeMap<String, String>,
}

impl Tensor {
    fn bytes(&self) -> &[u8] {
        match &self.values {
            Values::F32(v) => bytemuck::cast_slice(v),
            Values::F64(v) => bytemuck::cast_slice(v),
            Values::U64(v) => bytemuck::cast_slice(v),
        }
    }
}

macro_rules! from_values {
    ($ty:ty, $variant:ident, $make:ident, $get:ident) => {
        impl Tensor {
            #[doc = concat!("A tensor of `", stringify!($ty), "`. Panics if the shape does not hold that many values.")]
            pub fn $make(shape: &[usize], values: Vec<$ty>) -> Self {
                assert_eq!(shape.iter().product::<usize>(), values.len(), "shape {shape:?}");
                Self { shape: shape.to_vec(), values: Values::$variant(values) }
            }

            #[doc = concat!("The values, if they are `", stringify!($ty), "`.")]
            pub fn $get(&self) -> Option<&[$ty]> {
                match &self.values {
                    Values::$variant(v) => Some(v),
                    _ => None,
                }
            }
        }
    };
}
from_values!(f32, F32, f32, as_f32);
from_values!(f64, F64, f64, as_f64);
from_values!(u64, U64, u64, as_u64);

/// Named tensors with a text header.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct State {
    /// Texts: `model`, `config` (TOML), `domain` (JSON) and whatever else a family needs.
    pub header: BTreeMap<String, String>,
    /// Arrays by name.
    pub tensors: BTreeMap<String, Tensor>,
}

/// Version of what the texts and tensors of a file mean.
pub const FORMAT: u32 = 2;

/// Most tensors that a file may hold; a header of millions of empty tensors would exhaust memory.
const MAX_TENSORS: usize = 100_000;
/// Largest file that is read.
pub(crate) const MAX_BYTES: u64 = 1 << 34;

impl State {
    /// The header text called `key`.
    ///
    /// # Errors
    /// [`Error::Run`] if there is none.
    pub fn text(&self, key: &str) -> Result<&str> {
        self.header.get(key).map(String::as_str).ok_or_else(|| {
            Error::Run(format!(
                "the model file has no `{key}` in its header; it was not written by this version of genus"
            ))
        })
    }

    /// The tensor called `name`, with exactly this shape.
    ///
    /// # Errors
    /// [`Error::Run`] if there is none, [`Error::Shape`] if it has another shape.
    pub fn tensor(&self, name: &str, shape: &[usize]) -> Result<&Tensor> {
        let t = self
            .tensors
            .get(name)
            .ok_or_else(|| Error::Run(format!("the model file has no tensor `{name}`")))?;
        if t.shape != shape {
            return Err(Error::shape(
                format!("tensor `{name}`"),
                format!("{shape:?}"),
                format!("{:?}", t.shape),
            ));
        }
        Ok(t)
    }

    /// The `f32` values of the tensor called `name`, with exactly this shape.
    ///
    /// # Errors
    /// As [`tensor`](Self::tensor), and [`Error::Run`] if it holds another type.
    pub fn f32(&self, name: &str, shape: &[usize]) -> Result<&[f32]> {
        let wrong = || Error::Run(format!("tensor `{name}` does not hold f32 values"));
        self.tensor(name, shape)?.as_f32().ok_or_else(wrong)
    }

    /// The `f64` values of the tensor called `name`, with exactly this shape.
    ///
    /// # Errors
    /// As [`tensor`](Self::tensor), and [`Error::Run`] if it holds another type.
    pub fn f64(&self, name: &str, shape: &[usize]) -> Result<&[f64]> {
        let wrong = || Error::Run(format!("tensor `{name}` does not hold f64 values"));
        self.tensor(name, shape)?.as_f64().ok_or_else(wrong)
    }

    /// The `u64` values of the tensor called `name`, with exactly this shape.
    ///
    /// # Errors
    /// As [`tensor`](Self::tensor), and [`Error::Run`] if it holds another type.
    pub fn u64(&self, name: &str, shape: &[usize]) -> Result<&[u64]> {
        let wrong = || Error::Run(format!("tensor `{name}` does not hold u64 values"));
        self.tensor(name, shape)?.as_u64().ok_or_else(wrong)
    }

    /// Adds the tensors of `other` under `prefix.`.
    pub fn nest(&mut self, prefix: &str, other: Self) {
        for (name, t) in other.tensors {
            self.tensors.insert(format!("{prefix}.{name}"), t);
        }
        for (key, text) in other.header {
            self.header.insert(format!("{prefix}.{key}"), text);
        }
    }

    /// What was added under `prefix.`.
    #[must_use]
    pub fn nested(&self, prefix: &str) -> Self {
        let cut = |k: &str| k.strip_prefix(prefix)?.strip_prefix('.').map(str::to_owned);
        Self {
            header: self.header.iter().filter_map(|(k, v)| Some((cut(k)?, v.clone()))).collect(),
            tensors: self.tensors.iter().filter_map(|(k, v)| Some((cut(k)?, v.clone()))).collect(),
        }
    }

    /// The bytes of a safetensors file.
    ///
    /// # Errors
    /// [`Error::Run`] if the format refuses the content.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let refuse = |e| Error::Run(format!("cannot write safetensors: {e}"));
        let views = self
            .tensors
            .iter()
            .map(|(name, t)| {
                let dtype = match &t.values {
                    Values::F32(_) => Dtype::F32,
                    Values::F64(_) => Dtype::F64,
                    Values::U64(_) => Dtype::U64,
                };
                Ok((name, TensorView::new(dtype, t.shape.clone(), t.bytes()).map_err(refuse)?))
            })
            .collect::<Result<Vec<_>>>()?;
        // One JSON text under one key: the format's own map has no order, and equal states must be equal bytes.
        let header = Header { format: FORMAT, sha256: self.digest(), texts: self.header.clone() };
        let header = serde_json::to_string(&header)
            .map_err(|e| Error::Run(format!("cannot write the header: {e}")))?;
        let meta = HashMap::from([("genus".to_owned(), header)]);
        safetensors::serialize(views, Some(meta)).map_err(refuse)
    }

    /// Reads the bytes of a safetensors file; `path` is for messages.
    ///
    /// # Errors
    /// [`Error::Format`] if they are not such a file, or hold a type other than F32, F64 and U64.
    pub fn from_bytes(bytes: &[u8], path: &Path) -> Result<Self> {
        let refuse = |e| Error::format(path, "header", format!("not a valid safetensors file: {e}"));
        let (_, meta) = SafeTensors::read_metadata(bytes).map_err(refuse)?;
        let file = SafeTensors::deserialize(bytes).map_err(refuse)?;
        if file.len() > MAX_TENSORS {
            return Err(Error::format(
                path,
                "header",
                format!("{} tensors, at most {MAX_TENSORS} are read", file.len()),
            ));
        }
        let header: Option<Header> = match meta.metadata().as_ref().and_then(|m| m.get("genus")) {
            Some(text) => Some(serde_json::from_str(text).map_err(|e| {
                Error::format(path, "header", format!("`genus` is not its JSON header: {e}"))
            })?),
            None => None,
        };
        if let Some(found) = header.as_ref().map(|h| h.format).filter(|f| *f != FORMAT) {
            let message = format!(
                "written by another version of genus (format {}, this one reads {FORMAT}); use that version, or train again",
                found.max(1)
            );
            return Err(Error::format(path, "header", message));
        }
        let mut tensors = BTreeMap::new();
        for (name, view) in file.iter() {
            // The format aligns nothing, so values are copied out one by one.
            let b = view.data();
            let values = match view.dtype() {
                Dtype::F32 => Values::F32(words(b, f32::from_le_bytes)),
                Dtype::F64 => Values::F64(words(b, f64::from_le_bytes)),
                Dtype::U64 => Values::U64(words(b, u64::from_le_bytes)),
                other => {
                    return Err(Error::format(
                        path,
                        format!("tensor \"{name}\""),
                        format!("type {other:?}; F32, F64 and U64 are read"),
                    ));
                }
            };
            tensors.insert(name.to_owned(), Tensor { shape: view.shape().to_vec(), values });
        }
        let Some(Header { sha256, texts, .. }) = header else {
            return Ok(Self { header: BTreeMap::new(), tensors });
        };
        let state = Self { header: texts, tensors };
        if state.digest() != sha256 {
            return Err(Error::format(
                path,
                "content",
                "does not match its checksum: the file is damaged; restore it from a copy, or train again",
            ));
        }
        Ok(state)
    }

    /// SHA-256 over texts, names, types, shapes and values, hexadecimal. It stands in every file: it changes with
    /// [`FORMAT`](crate::run::FORMAT) only.
    pub fn digest(&self) -> String {
        let mut parts = Parts::default();
        for (key, text) in &self.header {
            parts.put("text").put(key).put(text);
        }
        for (name, t) in &self.tensors {
            let kind = match &t.values {
                Values::F32(_) => "f32",
                Values::F64(_) => "f64",
                Values::U64(_) => "u64",
            };
            parts.put("tensor").put(name).put(kind).number(t.shape.len());
            for n in &t.shape {
                parts.number(*n);
            }
            parts.put(t.bytes());
        }
        parts.hex()
    }

    /// Writes a safetensors file, whole or not at all.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        fsx::write_atomic(path, &self.to_bytes()?)
    }

    /// Reads a safetensors file.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be read, [`Error::Format`] if it is not what it should be.
    pub fn load(path: &Path) -> Result<Self> {
        Self::from_bytes(&fsx::read_capped(path, MAX_BYTES)?, path)
    }
}

fn words<T, const N: usize>(bytes: &[u8], f: impl Fn([u8; N]) -> T) -> Vec<T> {
    bytes.as_chunks::<N>().0.iter().map(|c| f(*c)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn example() -> State {
        let mut s = State::default();
        s.header.insert("model".into(), "made".into());
        s.tensors.insert("w".into(), Tensor::f32(&[2, 2], vec![1.0, -0.0, f32::MIN_POSITIVE, 4.0]));
        s.tensors.insert("n".into(), Tensor::u64(&[1], vec![u64::MAX]));
        s.tensors.insert("d".into(), Tensor::f64(&[0], vec![]));
        s
    }

    #[test]
    fn round_trip_and_equal_bytes() {
        let s = example();
        let bytes = s.to_bytes().unwrap();
        assert_eq!(State::from_bytes(&bytes, Path::new("x")).unwrap(), s);
        assert_eq!(bytes, s.clone().to_bytes().unwrap());
    }

    /// Computed from the bytes that go in, by another program.
    #[test]
    fn the_digest_stays_as_it_is() {
        let mut s = example();
        s.header.insert("é\u{300}\n".into(), "\"".into());
        assert_eq!(s.digest(), "09e7dca3f7e8ccc2f22c4634106f7f3f7f1f963689e5583875f7a5d80204092c");
    }

    #[test]
    fn nesting_is_undone() {
        let mut outer = State::default();
        outer.nest("best", example());
        assert_eq!(outer.nested("best"), example());
        assert!(outer.nested("bes").tensors.is_empty());
    }

    #[test]
    fn shape_and_type_are_checked() {
        let s = example();
        assert!(s.f32("w", &[4]).is_err());
        assert!(s.f64("w", &[2, 2]).is_err());
        assert!(s.f32("nope", &[1]).is_err());
    }

    /// Every single changed bit of the values is noticed.
    #[test]
    fn damage_is_noticed() {
        let bytes = example().to_bytes().unwrap();
        let n = bytes.len();
        for at in n - 24..n {
            let mut bad = bytes.clone();
            bad[at] ^= 1;
            let e = State::from_bytes(&bad, Path::new("x")).unwrap_err().to_string();
            assert!(e.contains("checksum"), "{e}");
        }
    }

    proptest! {
        /// A mutated file gives an error or a state, never a panic.
        #[test]
        fn mutated_files_do_not_panic(at in 0usize..400, byte: u8, cut in 0usize..400) {
            let mut bytes = example().to_bytes().unwrap();
            let n = bytes.len();
            bytes[at % n] = byte;
            bytes.truncate(n - cut % n);
            let _ = State::from_bytes(&bytes, Path::new("x"));
        }
    }
}
