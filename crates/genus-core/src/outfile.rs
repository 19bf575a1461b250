//! Files that a person names for a result: replaced whole, or written through where they are no files.

use crate::fsx::{partial, sync_dir};
use crate::{Error, Result};
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Most links that are followed, as many as Linux follows.
const MAX_LINKS: usize = 40;

/// A result that is being written to the file that a person named.
///
/// A regular file is replaced when everything is written, by [`finish`](Self::finish), and keeps its mode; before that, it is
/// untouched. Links are followed. A device or a pipe is written through: it stays what it is, and what was written is there at once.
pub struct Output {
    file: File,
    /// The file as it was named, for messages.
    path: PathBuf,
    /// The file under another name, and the one that it becomes.
    renames: Option<(PathBuf, PathBuf)>,
}

/// What the links at `path` lead to; none if they lead through the files of a process, whose names are no places.
fn behind(path: &Path) -> Option<PathBuf> {
    let mut at = path.to_owned();
    for _ in 0..MAX_LINKS {
        if at.starts_with("/proc") || at.starts_with("/dev/fd") {
            return None;
        }
        match fs::read_link(&at) {
            Ok(next) => at = at.parent().unwrap_or(Path::new("")).join(next),
            Err(_) => return Some(at),
        }
    }
    // The system says what is wrong with it when it is opened.
    Some(path.to_owned())
}

/// Gives a new file mode and owner of the one it will replace.
fn keep(file: &File, old: &Metadata) -> io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        // Best effort: only some users may give files away.
        let _ = std::os::unix::fs::fchown(file, Some(old.uid()), Some(old.gid()));
    }
    file.set_permissions(old.permissions())
}

impl Output {
    /// Begins to write to `path`.
    ///
    /// # Errors
    /// [`Error::Io`] if nothing can be written there.
    pub fn create(path: &Path) -> Result<Self> {
        let failed = Error::io("write", path);
        let old = fs::metadata(path).ok();
        let target = match &old {
            Some(old) if !old.is_file() => None,
            _ => behind(path),
        };
        let Some(target) = target else {
            let file = OpenOptions::new().append(true).open(path).map_err(failed)?;
            return Ok(Self { file, path: path.into(), renames: None });
        };
        let begin = || {
            if old.is_some() {
                // A file that may not be written is not replaced either.
                OpenOptions::new().write(true).open(&target)?;
            }
            let tmp = partial(&target);
            // As in [`fsx`](crate::fsx): what is left over goes, and no link of that name is written through.
            let _ = fs::remove_file(&tmp);
            let file = File::create_new(&tmp)?;
            Ok((tmp, file))
        };
        let (tmp, file) = begin().map_err(failed)?;
        let output = Self { file, path: path.into(), renames: Some((tmp, target)) };
        if let Some(old) = old {
            keep(&output.file, &old).map_err(Error::io("write", path))?;
        }
        Ok(output)
    }

    /// Ends the writing: a regular file is now there.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be made durable or renamed; what was there before is then untouched.
    pub fn finish(mut self) -> Result<()> {
        let failed = |source| Error::Io { action: "write", path: self.path.clone(), source };
        self.file.flush().map_err(failed)?;
        let Some((tmp, target)) = &self.renames else { return Ok(()) };
        self.file.sync_all().and_then(|()| fs::rename(tmp, target)).map_err(failed)?;
        let dir = target.parent().filter(|d| !d.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_owned();
        self.renames = None;
        sync_dir(&dir)
    }

    /// Writes bytes.
    ///
    /// # Errors
    /// [`Error::Io`] if the disk is full, for example.
    pub fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).map_err(Error::io("write", &self.path))
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        if let Some((tmp, _)) = &self.renames {
            // Best effort: it was not finished, which somebody has heard of.
            let _ = fs::remove_file(tmp);
        }
    }
}

/// Writes all of a result to the file that a person named; see [`Output`].
///
/// # Errors
/// [`Error::Io`] if it cannot be written.
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut output = Output::create(path)?;
    output.put(bytes)?;
    output.finish()
}

#[cfg(all(test, unix))]
#[allow(clippy::unwrap_used)] // helpers of tests are tests too
mod tests {
    use super::*;
    use std::io::Read;
    use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};

    fn names(dir: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_keeps_its_mode_and_a_link_stays_a_link() {
        let dir = tempfile::tempdir().unwrap();
        let (file, link, loose) = (dir.path().join("f"), dir.path().join("l"), dir.path().join("m"));
        fs::write(&file, "old").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        symlink("f", &link).unwrap();
        symlink("new", &loose).unwrap();
        write(&link, b"one").unwrap();
        write(&loose, b"two").unwrap();
        assert!(link.is_symlink() && loose.is_symlink());
        assert_eq!(fs::read(&file).unwrap(), b"one");
        assert_eq!(fs::read(dir.path().join("new")).unwrap(), b"two");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o640);
        assert_eq!(names(dir.path()), ["f", "l", "m", "new"]);
    }

    #[test]
    fn what_is_not_finished_leaves_the_old_file() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("f");
        fs::write(&file, "old").unwrap();
        let mut output = Output::create(&file).unwrap();
        output.put(b"half").unwrap();
        drop(output);
        assert_eq!((fs::read(&file).unwrap(), names(dir.path())), (b"old".into(), vec!["f".into()]));
    }

    #[test]
    fn pipes_and_devices_are_written_through() {
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("p");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let reader = std::thread::spawn({
            let pipe = pipe.clone();
            move || {
                let mut text = String::new();
                File::open(pipe).unwrap().read_to_string(&mut text).map(|_| text)
            }
        });
        write(&pipe, b"rows").unwrap();
        assert_eq!(reader.join().unwrap().unwrap(), "rows");
        assert!(fs::metadata(&pipe).unwrap().file_type().is_fifo());
        // By a link, so that a mistake here would cost a link and no device.
        let null = dir.path().join("null");
        symlink("/dev/null", &null).unwrap();
        write(&null, b"rows").unwrap();
        assert!(null.is_symlink() && fs::metadata("/dev/null").unwrap().file_type().is_char_device());
        assert_eq!(names(dir.path()), ["null", "p"]);
        assert!(write(dir.path(), b"rows").is_err());
    }
}
