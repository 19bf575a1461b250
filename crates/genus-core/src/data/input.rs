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
/// Longest line of a table, in bytes.
pub(super) const MAX_LINE: usize = 1 << 24;
/// The environment variable that says how much memory the content of one file may take, in bytes.
pub(super) const MAX_BYTES: &str = "GENUS_MAX_BYTES";
/// What it may take where nobody said otherwise.
const USUAL_BYTES: u64 = 1 << 32;

/// What is asked for at once; memory grows by this, so that a header that lies costs one chunk.
const CHUNK: u64 = 1 << 20;

/// A file, or bytes that stand for one. Gzip is undone on the way, whatever the file is called.
pub(super) struct Input<'a> {
    reader: Box<dyn Read + 'a>,
    path: PathBuf,
    position: u64,
    /// Bytes of memory that its content may still take.
    left: u64,
}

/// Bytes of memory that the content of one file may take: what is unpacked of it, and the numbers and names that are made of that.
///
/// # Errors
/// [`Error::Config`] if the environment says something that is no number of bytes.
pub(super) fn most_bytes() -> Result<u64> {
    let Some(said) = std::env::var_os(MAX_BYTES) else { return Ok(USUAL_BYTES) };
    let number = said.to_str().and_then(|s| s.trim().parse().ok()).filter(|n| *n > 0);
    number.ok_or_else(|| {
        Error::config(MAX_BYTES, format!("{said:?} is not a number of bytes, such as {USUAL_BYTES}"))
    })
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
        let left = most_bytes()?;
        Ok(match packed {
            true => Self::plain(MultiGzDecoder::new(BufReader::new(whole)), path, left),
            false => Self::plain(whole, path, left),
        })
    }

    /// The bytes of `reader` as they are, whose content may take so many bytes of memory.
    pub(super) fn plain(reader: impl Read + 'a, path: &Path, left: u64) -> Self {
        Self { reader: Box::new(reader), path: path.into(), position: 0, left }
    }

    /// Bytes of memory that the content may still take.
    pub(super) fn left(&self) -> u64 {
        self.left
    }

    /// Takes note that `what` will take so many bytes of memory, before it does.
    ///
    /// # Errors
    /// [`Error::Format`] if that is more than is left.
    pub(super) fn charge(&mut self, bytes: u64, what: &str) -> Result<()> {
        self.left = self.left.checked_sub(bytes).ok_or_else(|| {
            self.error(format!(
                "{what} would take {bytes} bytes of memory, and {} are left of those that a file may take; split the file, or allow more by {MAX_BYTES}",
                self.left
            ))
        })?;
        Ok(())
    }

    /// An empty array that will hold `n` values; memory is used as values come.
    fn room<T>(&self, n: u64, what: &str) -> Result<Vec<T>> {
        let mut room = Vec::new();
        room.try_reserve_exact(n as usize)
            .map_err(|_| self.error(format!("the machine has no memory for {n} values of {what}")))?;
        Ok(room)
    }

    /// Where the bytes come from.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// An error at the current position.
    pub(super) fn error(&self, message: impl Into<String>) -> Error {
        Error::format(&self.path, format!("byte {}", self.position), message)
    }

    fn read_upto(&mut self, n: u64, mut bytes: Vec<u8>) -> Result<Vec<u8>> {
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
        self.charge(n, what)?;
        let bytes = self.room(n, what)?;
        let bytes = self.read_upto(n, bytes)?;
        if (bytes.len() as u64) < n {
            return Err(self.cut_short(bytes.len() as u64, n, what));
        }
        Ok(bytes)
    }

    fn cut_short(&self, got: u64, n: u64, what: &str) -> Error {
        self.error(format!(
            "the file ends after {got} of the {n} bytes of {what}; it was cut short, fetch or copy it again"
        ))
    }

    /// The next `n` values of `N` bytes each, which are turned into numbers as they come.
    ///
    /// # Errors
    /// [`Error::Format`] if the file ends before, or `number` says so.
    pub(super) fn numbers<const N: usize, T>(
        &mut self,
        n: u64,
        mut number: impl FnMut([u8; N]) -> std::result::Result<T, String>,
    ) -> Result<Vec<T>> {
        const WHAT: &str = "the values";
        self.charge(n.saturating_mul(size_of::<T>() as u64), WHAT)?;
        let mut values = self.room(n, WHAT)?;
        while (values.len() as u64) < n {
            let done = values.len() as u64;
            let want = ((n - done) * N as u64).min(CHUNK);
            let bytes = self.read_upto(want, Vec::new())?;
            if (bytes.len() as u64) < want {
                return Err(self.cut_short(done * N as u64 + bytes.len() as u64, n * N as u64, WHAT));
            }
            for b in bytes.as_chunks::<N>().0 {
                values.push(number(*b).map_err(|m| self.error(m))?);
            }
        }
        Ok(values)
    }

    /// Everything up to the end.
    ///
    /// # Errors
    /// [`Error::Format`] if that is more than `cap` bytes.
    pub(super) fn rest(&mut self, cap: u64) -> Result<Vec<u8>> {
        let most = cap.min(self.left);
        let bytes = self.read_upto(most.saturating_add(1), Vec::new())?;
        if bytes.len() as u64 > most {
            let remedy = if most < cap { format!(", or allow more by {MAX_BYTES}") } else { String::new() };
            return Err(self.error(format!(
                "more than the {most} bytes that are read at most (after decompression); split the file{remedy}"
            )));
        }
        self.left -= bytes.len() as u64;
        Ok(bytes)
    }

    /// Checks that nothing follows.
    ///
    /// # Errors
    /// [`Error::Format`] if there are more bytes.
    pub(super) fn end(&mut self) -> Result<()> {
        if !self.read_upto(1, Vec::new())?.is_empty() {
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

    /// What is made of the bytes counts, not only the bytes.
    #[test]
    fn memory_is_counted_before_it_is_taken() {
        let bytes = [0u8; 64];
        let mut i = Input::plain(&bytes[..], Path::new("x"), 100);
        assert_eq!(i.numbers(8, |b: [u8; 1]| Ok(i64::from(b[0]))).unwrap(), [0; 8]);
        assert_eq!(i.left(), 36);
        let e = i.numbers(8, |b: [u8; 1]| Ok(i64::from(b[0]))).unwrap_err().to_string();
        assert!(e.contains("64 bytes of memory, and 36 are left") && e.contains("GENUS_MAX_BYTES"), "{e}");
        let e = i.rest(1000).unwrap_err().to_string();
        assert!(e.contains("more than the 36 bytes") && e.contains("GENUS_MAX_BYTES"), "{e}");
    }
}
