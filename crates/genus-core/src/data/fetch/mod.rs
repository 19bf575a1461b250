//! Downloads of the sets that may not be shipped: resumable, checked, whole or not there.
//!
//! What is checked is the *content*: the decompressed bytes of an IDX file, the bits of a text. So every
//! mirror will do, however it packed the files.

#[cfg(feature = "downloads")]
mod get;
#[cfg(feature = "downloads")]
mod http;
mod sets;

#[cfg(feature = "downloads")]
pub use get::{MIRROR, get};
#[cfg(feature = "downloads")]
pub use http::Progress;

use super::amat;
use super::input::Input;
use crate::digest::hex;
use crate::{Error, Result};
use sets::{Content, File, SETS};
use sha2::{Digest, Sha256};
use std::path::Path;

impl File {
    /// Whether the file at `path` holds the content. Damaged content is no error: it does not match.
    fn matches(&self, path: &Path) -> Result<bool> {
        let content = Input::open(path).and_then(|mut input| match self.content {
            Content::Bytes => input.rest(self.bytes),
            Content::Bits => amat::read(&mut input).map(super::array::Array::into_bytes),
        });
        match content {
            Ok(bytes) => Ok(bytes.len() as u64 == self.bytes && hex(&Sha256::digest(&bytes)) == self.sha256),
            Err(Error::Format { .. }) => Ok(false),
            Err(e) => Err(e),
        }
    }
}

/// Whether the file at `path` is the file called `file` of the set called `name`.
pub(super) fn is_content(name: &str, file: &str, path: &Path) -> bool {
    let known = SETS.iter().find(|s| s.name == name).and_then(|s| s.files.iter().find(|f| f.name == file));
    known.is_some_and(|f| f.matches(path).unwrap_or(false))
}
