//! Files that are either whole or not there.

use crate::{Error, Result};
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

/// The name under which `path` is written before it is renamed.
pub(crate) fn partial(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(format!(".{}.tmp", std::process::id()));
    path.with_file_name(name)
}

/// Whether this is what a writer that was killed left of one of the files called `names`.
pub(crate) fn is_left_over(entry: &fs::DirEntry, names: &[&str]) -> bool {
    let file = entry.file_name();
    let of = |name: &&str| {
        file.to_str()
            .and_then(|f| f.strip_prefix(name)?.strip_prefix('.')?.strip_suffix(".tmp"))
            .is_some_and(|pid| !pid.is_empty() && pid.bytes().all(|b| b.is_ascii_digit()))
    };
    entry.file_type().is_ok_and(|t| t.is_file()) && names.iter().any(of)
}

/// Removes what writers that were killed left of the files called `names` in `dir`. Only for who holds the folder alone.
pub(crate) fn sweep(dir: &Path, names: &[&str]) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if is_left_over(&entry, names) {
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
    // What a killed process of the same number left is removed, and a link of that name is not written through.
    let _ = fs::remove_file(&tmp);
    let written = File::create_new(&tmp).and_then(|mut f| {
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

/// Reads a whole regular file of at most `cap` bytes.
///
/// # Errors
/// [`Error::Io`] if it cannot be read, [`Error::Format`] if it is no regular file or larger than `cap`.
pub fn read_capped(path: &Path, cap: u64) -> Result<Vec<u8>> {
    let failed = || Error::io("read", path);
    let about = fs::metadata(path).map_err(failed())?;
    if !about.is_file() {
        return Err(Error::format(path, "file", "not a regular file; put the file itself there"));
    }
    let too_large = || {
        Error::format(
            path,
            format!("byte {cap}"),
            format!("larger than the {cap} bytes that are read at most"),
        )
    };
    if about.len() > cap {
        return Err(too_large());
    }
    let mut bytes = Vec::with_capacity(about.len() as usize);
    // What is said of a size need not be true of a file that grows, or that the system makes up.
    File::open(path).and_then(|f| f.take(cap.saturating_add(1)).read_to_end(&mut bytes)).map_err(failed())?;
    if bytes.len() as u64 > cap { Err(too_large()) } else { Ok(bytes) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A link under either name is replaced, not written through, and what another process of this number left is no obstacle.
    #[cfg(unix)]
    #[test]
    fn links_are_not_written_through() {
        use std::os::unix::fs::symlink;
        let dir = tempfile::tempdir().unwrap();
        let (path, elsewhere) = (dir.path().join("a"), dir.path().join("elsewhere"));
        fs::write(&elsewhere, "mine").unwrap();
        symlink(&elsewhere, &path).unwrap();
        symlink(&elsewhere, partial(&path)).unwrap();
        write_atomic(&path, b"new").unwrap();
        fs::write(partial(&path), "left over").unwrap();
        write_atomic(&path, b"newer").unwrap();
        assert_eq!(
            (fs::read(&path).unwrap(), fs::read(&elsewhere).unwrap()),
            (b"newer".into(), b"mine".into())
        );
        assert!(!fs::symlink_metadata(&path).unwrap().is_symlink() && !partial(&path).exists());
    }

    /// What has no end, and what says it is empty and is not, is not read on and on.
    #[cfg(target_os = "linux")]
    #[test]
    fn reading_ends_at_the_cap() {
        let dir = tempfile::tempdir().unwrap();
        let link = dir.path().join("a");
        std::os::unix::fs::symlink("/dev/zero", &link).unwrap();
        let e = read_capped(&link, 1 << 40).unwrap_err().to_string();
        assert!(e.contains("not a regular file"), "{e}");
        // Its size is 0 in its metadata.
        let maps = Path::new("/proc/self/maps");
        assert!(fs::metadata(maps).unwrap().len() == 0 && read_capped(maps, 100).is_err());
        assert!(!read_capped(maps, 1 << 24).unwrap().is_empty());
    }
}
