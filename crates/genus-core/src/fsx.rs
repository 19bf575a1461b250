//! Files that are either whole or not there.

use crate::{Error, Result};
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

/// The name under which `path` is written before it is renamed.
fn partial(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(format!(".{}.tmp", std::process::id()));
    path.with_file_name(name)
}

/// Removes what writers that were killed left of the files called `names` in `dir`. Only for who holds the folder alone.
pub(crate) fn sweep(dir: &Path, names: &[&str]) {
    let left_over = |file: &str| {
        names.iter().any(|n| {
            file.strip_prefix(n)
                .and_then(|f| f.strip_prefix('.')?.strip_suffix(".tmp"))
                .is_some_and(|pid| !pid.is_empty() && pid.bytes().all(|b| b.is_ascii_digit()))
        })
    };
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.file_name().to_str().is_some_and(left_over) {
            // Best effort: a file left over costs space, nothing else.
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Makes a finished rename durable: without it a power cut may undo the directory entry.
pub(crate) fn sync_dir(dir: &Path) -> Result<()> {
    File::open(dir).and_then(|d| d.sync_all()).map_err(Error::io("sync", dir))
}

/// Writes `bytes` to `path` so that a reader, or a crash at any moment, sees the old content or the new, never a part.
///
/// # Errors
/// [`Error::Io`] if the disk is full or the folder cannot be written; the old content is then untouched.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<()> {
    let tmp = partial(path);
    let written = File::create(&tmp).and_then(|mut f| {
        f.write_all(bytes)?;
        f.sync_all()
    });
    let renamed = written.and_then(|()| fs::rename(&tmp, path));
    if let Err(source) = renamed {
        // Best effort: the write failed already, and that is what the caller must hear about.
        let _ = fs::remove_file(&tmp);
        return Err(Error::Io { action: "write", path: path.into(), source });
    }
    match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => sync_dir(dir),
        _ => sync_dir(Path::new(".")),
    }
}

/// Removes a file, if it is there.
///
/// # Errors
/// [`Error::Io`] if it is there and cannot be removed.
pub fn remove_if_there(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::Io { action: "remove", path: path.into(), source: e })
        }
        _ => Ok(()),
    }
}

/// Reads a whole file of at most `cap` bytes.
///
/// # Errors
/// [`Error::Io`] if it cannot be read, [`Error::Format`] if it is larger than `cap`.
pub fn read_capped(path: &Path, cap: u64) -> Result<Vec<u8>> {
    let size = fs::metadata(path).map_err(Error::io("read", path))?.len();
    if size > cap {
        return Err(Error::format(
            path,
            format!("{size} bytes"),
            format!("larger than the {cap} bytes that are read at most"),
        ));
    }
    fs::read(path).map_err(Error::io("read", path))
}
