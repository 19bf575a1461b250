//! NPZ: a zip archive of NPY files.

use super::array::{self, Array};
use super::input::{Input, most_bytes};
use super::{named, npy};
use crate::{Dataset, Error, Result};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Cursor, Read, Seek, Write};
use std::path::Path;
use zip::{CompressionMethod, ZipArchive, ZipWriter, write::SimpleFileOptions};

/// Most arrays that are read from one archive.
const MAX_ARRAYS: usize = 1000;

/// Reads a data set from the archive at `path`.
///
/// # Errors
/// [`Error::Format`] if it is no such archive, holds something else than plain arrays, or unpacks to more
/// than is read.
pub(super) fn load(path: &Path, name: &str) -> Result<Dataset> {
    let file = File::open(path).map_err(Error::io("read", path))?;
    array::assemble(path, name, named::parts(path, read(BufReader::new(file), path)?)?)
}

pub(super) fn read(reader: impl Read + Seek, path: &Path) -> Result<BTreeMap<String, Result<Array>>> {
    let refuse = |at: String, e: String| {
        Error::format(path, at, format!("not a readable zip archive ({e}); fetch or save the file again"))
    };
    let mut archive = ZipArchive::new(reader).map_err(|e| refuse("archive".into(), e.to_string()))?;
    if archive.len() > MAX_ARRAYS {
        return Err(Error::format(
            path,
            "archive",
            format!("{} entries; at most {MAX_ARRAYS} are read", archive.len()),
        ));
    }
    let mut left = most_bytes()?;
    let mut arrays = BTreeMap::new();
    for i in 0..archive.len() {
        let entry = archive.by_index(i).map_err(|e| refuse(format!("entry {i}"), e.to_string()))?;
        let file = String::from_utf8_lossy(entry.name_raw()).into_owned();
        let Some(name) = file.strip_suffix(".npy").map(str::to_owned) else {
            return Err(Error::format(path, format!("entry \"{file}\""), "not an .npy array"));
        };
        let size = entry.size();
        // The size in the directory may lie, the limit on the stream does not. A packed file within is no array.
        let mut input = Input::plain(entry.take(size), Path::new(&file), left);
        let array = npy::read(&mut input).map_err(|e| match e {
            Error::Format { position, message, .. } => {
                Error::format(path, format!("array \"{name}\", {position}"), message)
            }
            other => refuse(format!("array \"{name}\""), other.to_string()),
        });
        left = input.left();
        drop(input);
        arrays.insert(name, array);
    }
    Ok(arrays)
}

/// The bytes of an archive that holds NPY files of these names. The same content gives the same bytes.
pub(super) fn encode(files: &[(&str, Vec<u8>)], path: &Path) -> Result<Vec<u8>> {
    let failed = |e: zip::result::ZipError| Error::io("write", path)(e.into());
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, npy) in files {
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Deflated)
            .last_modified_time(zip::DateTime::default())
            .large_file(npy.len() as u64 > u64::from(u32::MAX));
        zip.start_file(format!("{name}.npy"), options).map_err(failed)?;
        zip.write_all(npy).map_err(Error::io("write", path))?;
    }
    Ok(zip.finish().map_err(failed)?.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compression, write::GzEncoder};

    /// A packed file within a packed file would unpack a thousandfold twice.
    #[test]
    fn entries_are_not_unpacked_twice() {
        let plain = npy::encode("|u1", &[2, 2], &[0, 1, 1, 0]);
        let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
        gzip.write_all(&plain).unwrap();
        let of = |bytes: &[u8]| {
            let zip = encode(&[("a", bytes.to_vec())], Path::new("x")).unwrap();
            read(Cursor::new(zip), Path::new("x")).unwrap().remove("a").unwrap()
        };
        assert!(of(&plain).is_ok());
        let e = of(&gzip.finish().unwrap()).unwrap_err().to_string();
        assert!(e.contains("not an NPY file"), "{e}");
    }
}
