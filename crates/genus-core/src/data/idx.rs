//! IDX: the format of the MNIST files. Big-endian header of magic, type, rank and extents, then the values.

use super::array::{self, Array};
use super::input::Input;
use super::npy;
use crate::{Dataset, Result};
use std::path::{Path, PathBuf};

/// Reads one array of unsigned bytes or 32-bit floats.
///
/// # Errors
/// [`Error::Format`](crate::Error::Format) if magic, type, rank or length are wrong, before the values are
/// read.
pub(super) fn read(input: &mut Input<'_>) -> Result<Array> {
    let magic = input.take(4, "the header")?;
    let kind = match magic[..] {
        [0, 0, 0x08, _] => "u1",
        [0, 0, 0x0d, _] => "f4",
        [0, 0, kind, _] => {
            return Err(input.error(format!(
                "IDX type 0x{kind:02x}; unsigned bytes (0x08) and 32-bit floats (0x0d) are read, save as one of them or as .npy"
            )));
        }
        _ => {
            return Err(input.error(format!(
                "not an IDX file: it starts with {magic:02x?} instead of two zero bytes and a type"
            )));
        }
    };
    let rank = u64::from(magic[3]);
    if !(1..=4).contains(&rank) {
        return Err(input.error(format!("rank {rank}; arrays of rank 1 to 4 are read")));
    }
    let extents: Vec<u64> = input
        .take(4 * rank, "the extents")?
        .as_chunks::<4>()
        .0
        .iter()
        .map(|b| u64::from(u32::from_be_bytes(*b)))
        .collect();
    let Some(n) = array::count(&extents) else {
        return Err(
            input.error(format!("shape {extents:?} is larger than what is read; the header is damaged"))
        );
    };
    let values = npy::values(input, kind, false, n)?;
    input.end()?;
    Ok(Array { shape: extents.iter().map(|d| *d as usize).collect(), values })
}

/// The path itself or its gzipped sibling, whichever is there.
pub(super) fn either(path: PathBuf) -> Option<PathBuf> {
    let mut packed = path.clone().into_os_string();
    packed.push(".gz");
    [path, packed.into()].into_iter().find(|p| p.is_file())
}

/// Images and, where a file beside them holds some, labels: `train-images-idx3-ubyte` goes with
/// `train-labels-idx1-ubyte`.
///
/// # Errors
/// As [`read`].
pub(super) fn load(path: &Path, name: &str) -> Result<Dataset> {
    let x = read(&mut Input::open(path)?)?;
    let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let labels = file.replace("images", "labels").replace("idx3", "idx1");
    let labels = labels.strip_suffix(".gz").unwrap_or(&labels);
    let y = match either(path.with_file_name(labels)) {
        Some(p) if p != path && file.contains("images") => Some(read(&mut Input::open(&p)?)?),
        _ => None,
    };
    array::assemble(path, name, [Some((x, y)), None, None])
}

/// The four files of MNIST and its likes in one folder, plain or gzipped, as (train, test), each with labels:
/// `train-images-idx3-ubyte`, `train-images.idx3-ubyte`, `emnist-digits-train-images-idx3-ubyte`, and so on.
pub(super) fn pair(dir: &Path) -> Option<[(PathBuf, PathBuf); 2]> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(dir).ok()?.flatten().map(|e| e.path()).collect();
    files.sort();
    let named = |splits: &[&str], what: &str| {
        let fits = |path: &&PathBuf| {
            let name = path.file_name().unwrap_or_default().to_string_lossy().replace('.', "-");
            let name = name.strip_suffix("-gz").unwrap_or(&name);
            let stem = name.strip_suffix(what).and_then(|n| n.strip_suffix('-'));
            stem.is_some_and(|n| splits.iter().any(|s| n == *s || n.ends_with(&format!("-{s}"))))
        };
        files.iter().find(fits).cloned()
    };
    let of =
        |splits: &[&str]| Some((named(splits, "images-idx3-ubyte")?, named(splits, "labels-idx1-ubyte")?));
    Some([of(&["train"])?, of(&["t10k", "test"])?])
}

/// Reads what [`pair`] found; the last `valid` training rows become the validation split.
///
/// # Errors
/// As [`read`], and if there are not more than `valid` training rows.
pub(super) fn load_pair(
    dir: &Path,
    files: &[(PathBuf, PathBuf); 2],
    name: &str,
    valid: usize,
) -> Result<Dataset> {
    let get = |(x, y): &(PathBuf, PathBuf)| -> Result<(Array, Array)> {
        Ok((read(&mut Input::open(x)?)?, read(&mut Input::open(y)?)?))
    };
    let (x, y) = get(&files[0])?;
    let (test_x, test_y) = get(&files[1])?;
    let n = x.shape[0];
    if y.shape[..] != [n] || n <= valid {
        return Err(crate::Error::format(
            &files[0].0,
            "header",
            format!("{n} images and labels of shape {:?}; more than {valid} of each are needed", y.shape),
        ));
    }
    let test = Some((test_x, Some(test_y)));
    let parts = if valid == 0 {
        [Some((x, Some(y))), None, test]
    } else {
        let cut = n - valid;
        [Some((x.rows(0, cut), Some(y.rows(0, cut)))), Some((x.rows(cut, n), Some(y.rows(cut, n)))), test]
    };
    array::assemble(dir, name, parts)
}
