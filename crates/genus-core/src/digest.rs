//! Hashes of things made of several parts.

use sha2::{Digest as _, Sha256};

/// SHA-256 over parts, each with its length before it: what is hashed can be cut in one way only, and the hash depends on the
/// bytes that are put in and on nothing else, such as how a library prints a value.
#[derive(Default)]
pub(crate) struct Parts(Sha256);

impl Parts {
    pub(crate) fn put(&mut self, part: impl AsRef<[u8]>) -> &mut Self {
        self.number(part.as_ref().len());
        self.0.update(part);
        self
    }

    pub(crate) fn number(&mut self, n: usize) -> &mut Self {
        self.0.update((n as u64).to_le_bytes());
        self
    }

    /// Lower-case hexadecimal.
    pub(crate) fn hex(self) -> String {
        hex(&self.0.finalize())
    }
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut s, b| {
        let _ = write!(s, "{b:02x}");
        s
    })
}
