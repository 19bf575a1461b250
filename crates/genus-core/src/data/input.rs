//! Files as streams of bytes that never grow beyond what the reader asked for.

use crate::{Error, Result};
use flate2::read::MultiGzDecoder;
use std::fs::File;
use std::io::{BufReader, Cursor, ErrorKind, Read};
use std::path::{Path, PathBuf};

/// Most values that one array may hold.
pub(super) const MAX_VALUES: u64 = 1 << 29;
/// Most bytes of text that are read, after decompression.
pub(super) const MAX_TEXT: u64 = 1 << 31;

/// What is asked for at once; memory grows by this, so that a header that lies costs one chunk.
const CHUNK: u64 = 1 << 20;

/// A file, or bytes that stand for one. Gzip is undone on the way, whatever the file is called.
pub(super) struct Input<'a> {
    reader: Box<dyn Read + 'a>,
    path: PathBuf,
    position: u64,
}

impl Input<'static> {
    /// Opens the file at `path`.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(Error::io("read", path))?;
        if file.metadata().map_err(Error::io("read", path))?.is_dir() {
            return Err(Error::format(path, "folder", "a folder, where a file is needed"));
        }
        Self::new(BufReader::with_capacity(1 << 16, file), path)
    }
}

impl<'a> Input<'a> {
    /// The bytes of `reader`; `path` is for messages.
    pub(super) fn new(mut reader: impl Read + 'a, path: &Path) -> Result<Self> {
        let mut magic = Vec::with_capacity(2);
        reader.by_ref().take(2).read_to_end(&mut magic).map_err(Error::io("read", path))?;
        let packed = magic == [0x1f, 0x8b];
        let whole = Cursor::new(magic).chain(reader);
        let reader: Box<dyn Read + 'a> =
            if packed { Box::new(MultiGzDecoder::new(BufReader::new(whole))) } else { Box::new(whole) };
        Ok(Self { reader, path: path.into(), position: 0 })
    }

    /// Where the bytes come from.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// An error at the current position.
    pub(super) fn error(&self, message: impl Into<String>) -> Error {
        Error::format(&self.path, format!("byte {}", self.position), message)
    }

    fn read_upto(&mut self, n: u64) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        while (bytes.len() as u64) < n {
            let want = (n - bytes.len() as u64).min(CHUNK);
            let got =
                self.reader.by_ref().take(want).read_to_end(&mut bytes).map_err(|e| match e.kind() {
                    ErrorKind::UnexpectedEof | ErrorKind::InvalidData | ErrorKind::InvalidInput => {
                        self.error(format!("damaged compressed data ({e}); fetch or copy the file again"))
                    }
                    _ => Error::Io { action: "read", path: self.path.clone(), source: e },
                })?;
            self.position += got as u64;
            if (got as u64) < want {
                break;
            }
        }
        Ok(bytes)
    }

    /// Exactly the next `n` bytes, which hold `what`.
    ///
    /// # Errors
    /// [`Error::Format`] if the file ends before.
    pub(super) fn take(&mut self, n: u64, what: &str) -> Result<Vec<u8>> {
        let bytes = self.read_upto(n)?;
        if (bytes.len() as u64) < n {
            return Err(self.error(format!(
                "the file ends after {} of the {n} bytes of {what}; it was cut short, fetch or copy it again",
                bytes.len()
            )));
        }
        Ok(bytes)
    }

    /// Everything up to the end.
    ///
    /// # Errors
    /// [`Error::Format`] if that is more than `cap` bytes.
    pub(super) fn rest(&mut self, cap: u64) -> Result<Vec<u8>> {
        let bytes = self.read_upto(cap.saturating_add(1))?;
        if bytes.len() as u64 > cap {
            return Err(self.error(format!(
                "more than the {cap} bytes that are read at most (after decompression); split the file"
            )));
        }
        Ok(bytes)
    }

    /// Checks that nothing follows.
    ///
    /// # Errors
    /// [`Error::Format`] if there are more bytes.
    pub(super) fn end(&mut self) -> Result<()> {
        if !self.read_upto(1)?.is_empty() {
            return Err(self.error("more bytes follow than the header promises; the header is wrong"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compression, write::GzEncoder};
    use std::io::Write;

    fn packed(bytes: &[u8]) -> Vec<u8> {
        let mut e = GzEncoder::new(Vec::new(), Compression::best());
        e.write_all(bytes).unwrap();
        e.finish().unwrap()
    }

    #[test]
    fn gzip_is_undone_and_positions_count_plain_bytes() {
        for bytes in [b"hello world".to_vec(), packed(b"hello world")] {
            let mut i = Input::new(&bytes[..], Path::new("x")).unwrap();
            assert_eq!(i.take(5, "a word").unwrap(), b"hello");
            let e = i.take(7, "a word").unwrap_err().to_string();
            assert!(e.contains("6 of the 7 bytes of a word") && e.contains("byte 11"), "{e}");
        }
        for short in [&b""[..], b"h"] {
            assert_eq!(Input::new(short, Path::new("x")).unwrap().rest(9).unwrap(), short);
        }
    }

    #[test]
    fn a_zip_bomb_stops_at_the_cap() {
        let bomb = packed(&vec![0; 8 << 20]);
        assert!(bomb.len() < 10_000);
        let e = Input::new(&bomb[..], Path::new("x")).unwrap().rest(1 << 20).unwrap_err().to_string();
        assert!(e.contains("1048576 bytes that are read at most"), "{e}");
    }

    #[test]
    fn damaged_gzip_is_named() {
        let mut bytes = packed(&(0..=255).cycle().take(5000).collect::<Vec<u8>>());
        bytes.truncate(bytes.len() / 2);
        let e = Input::new(&bytes[..], Path::new("x")).unwrap().rest(1 << 20).unwrap_err().to_string();
        assert!(e.contains("damaged compressed data"), "{e}");
    }
}
