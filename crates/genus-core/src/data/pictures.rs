//! Folders of PNG and JPEG images, one class per subfolder.

use super::array::MAX_CLASSES;
use super::input::MAX_VALUES;
use crate::{Batch, Dataset, Domain, Error, Provenance, Result, Schema, Shape, Split, Support};
use image::codecs::png::PngEncoder;
use image::{ColorType, DynamicImage, ExtendedColorType, ImageDecoder, ImageEncoder, ImageReader, Limits};
use rayon::prelude::*;
use std::fs;
use std::path::{Path, PathBuf};

/// Most files that are read.
const MAX_FILES: usize = 4_000_000;
/// Longest side of an image, pixels.
const MAX_SIDE: u32 = 1 << 14;
/// Most bytes that decoding one image may take.
const MAX_ALLOC: u64 = 1 << 30;

/// The bytes of a picture of `[height, width, channels]` bytes, with 1 channel or 3.
pub(super) fn png(pixels: &[u8], [height, width, channels]: [usize; 3], path: &Path) -> Result<Vec<u8>> {
    let colour = if channels == 1 { ExtendedColorType::L8 } else { ExtendedColorType::Rgb8 };
    let mut bytes = Vec::new();
    PngEncoder::new(&mut bytes)
        .write_image(pixels, width as u32, height as u32, colour)
        .map_err(|e| Error::io("write", path)(std::io::Error::other(e)))?;
    Ok(bytes)
}

fn is_picture(path: &Path) -> bool {
    let extension = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
    matches!(&extension[..], "png" | "jpg" | "jpeg")
}

fn is_hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|n| n.to_string_lossy().starts_with('.'))
}

/// Subfolders and images of a folder, each sorted by name.
fn list(dir: &Path) -> Result<(Vec<PathBuf>, Vec<PathBuf>)> {
    let (mut folders, mut pictures) = (Vec::new(), Vec::new());
    for entry in fs::read_dir(dir).map_err(Error::io("read", dir))? {
        let path = entry.map_err(Error::io("read", dir))?.path();
        if is_hidden(&path) {
        } else if path.is_dir() {
            folders.push(path);
        // A pipe would be waited for.
        } else if is_picture(&path) && path.is_file() {
            pictures.push(path);
        }
        if folders.len() + pictures.len() > MAX_FILES {
            return Err(Error::format(
                dir,
                "folder",
                format!("more than the {MAX_FILES} files that are read"),
            ));
        }
    }
    folders.sort();
    pictures.sort();
    Ok((folders, pictures))
}

fn base(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Files of one split, each with the name of its class.
type Files = Vec<(PathBuf, Option<String>)>;

fn files(dir: &Path) -> Result<Files> {
    let (folders, pictures) = list(dir)?;
    if !pictures.is_empty() {
        return Ok(pictures.into_iter().map(|p| (p, None)).collect());
    }
    let mut all = Vec::new();
    for folder in folders {
        let class = base(&folder);
        all.extend(list(&folder)?.1.into_iter().map(|p| (p, Some(class.clone()))));
    }
    Ok(all)
}

fn open(path: &Path) -> Result<impl ImageDecoder> {
    let refuse = |e: String| Error::format(path, "image", format!("{e}; mend or remove the file"));
    let mut reader = ImageReader::open(path)
        .and_then(ImageReader::with_guessed_format)
        .map_err(Error::io("read", path))?;
    let mut limits = Limits::default();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    limits.max_alloc = Some(MAX_ALLOC);
    reader.limits(limits);
    reader.into_decoder().map_err(|e| refuse(e.to_string()))
}

/// Height, width and channels from the header alone.
fn shape(path: &Path) -> Result<Shape> {
    let decoder = open(path)?;
    let (width, height) = decoder.dimensions();
    let channels = match decoder.color_type() {
        ColorType::L8 => 1,
        ColorType::Rgb8 => 3,
        other => {
            return Err(Error::format(
                path,
                "image",
                format!("{other:?} pixels; convert to 8-bit greyscale or RGB without transparency"),
            ));
        }
    };
    Ok(Shape::Image { height: height as usize, width: width as usize, channels })
}

fn pixels(path: &Path, want: Shape) -> Result<Vec<u8>> {
    let image = DynamicImage::from_decoder(open(path)?)
        .map_err(|e| Error::format(path, "image", format!("{e}; mend or remove the file")))?;
    let bytes = image.into_bytes();
    if bytes.len() != want.width() {
        return Err(Error::format(path, "image", "it changed while the folder was read; try again"));
    }
    Ok(bytes)
}

/// All or the error of the first file in order, whichever thread met it.
fn all<T: Send>(
    files: &[(PathBuf, Option<String>)],
    f: impl Fn(&Path) -> Result<T> + Sync,
) -> Result<Vec<T>> {
    files.par_iter().map(|(p, _)| f(p)).collect::<Vec<_>>().into_iter().collect()
}

fn load_split(files: &Files, want: Shape, classes: &[String]) -> Result<Split> {
    let mut data = Vec::with_capacity(files.len() * want.width());
    // Pictures are bytes, rows are floats: a few at a time keeps the second copy small.
    for part in files.chunks(1024) {
        for bytes in all(part, |p| pixels(p, want))? {
            data.extend(bytes.into_iter().map(f32::from));
        }
    }
    let labels = files
        .iter()
        .map(|(_, class)| classes.iter().position(|c| Some(c) == class.as_ref()).map(|i| i as u32))
        .collect::<Option<Vec<u32>>>();
    let x = Batch::new(data, want.width())?;
    Ok(match labels {
        Some(labels) => Split::labelled(x, &labels),
        None => Split::unlabelled(x),
    })
}

/// Reads a folder: images directly in it, or one subfolder per class; below `train`, `valid` and `test` if it
/// has those.
///
/// # Errors
/// [`Error::Format`] naming the file if there is no image, one cannot be read, or they differ in size or
/// channels.
pub(super) fn load(dir: &Path, name: &str) -> Result<Dataset> {
    let (folders, _) = list(dir)?;
    let split_of = |p: &PathBuf| match &base(p).to_lowercase()[..] {
        "train" | "training" => Some(0),
        "valid" | "val" | "validation" => Some(1),
        "test" | "testing" => Some(2),
        _ => None,
    };
    let mut splits: [Option<Files>; 3] = [None, None, None];
    if folders.iter().any(|f| split_of(f) == Some(0)) && folders.iter().all(|f| split_of(f).is_some()) {
        for folder in &folders {
            splits[split_of(folder).unwrap_or(0)].get_or_insert_default().extend(files(folder)?);
        }
    } else {
        splits[0] = Some(files(dir)?);
    }
    let Some(first) = splits[0].iter().flatten().next().map(|f| f.0.clone()) else {
        return Err(Error::format(
            dir,
            "folder",
            "no .png or .jpg image here or in its subfolders; put images here, or one subfolder per class, or folders named train and test with one subfolder per class each",
        ));
    };
    let want = shape(&first)?;
    let total: usize = splits.iter().flatten().map(Vec::len).sum();
    if (total as u64).saturating_mul(want.width() as u64) > MAX_VALUES {
        return Err(Error::format(
            dir,
            "folder",
            format!("{total} images of {want} are more than is read; take fewer or smaller ones"),
        ));
    }
    for files in splits.iter().flatten() {
        let shapes = all(files, shape)?;
        if let Some(((path, _), got)) = files.iter().zip(shapes).find(|(_, s)| *s != want) {
            return Err(Error::format(
                path,
                "image",
                format!("{got} pixels, where {} has {want}; bring all images to one size", first.display()),
            ));
        }
    }
    let mut classes: Vec<String> = splits.iter().flatten().flatten().filter_map(|f| f.1.clone()).collect();
    classes.sort();
    classes.dedup();
    if classes.len() > MAX_CLASSES {
        return Err(Error::format(dir, "folder", format!("more than {MAX_CLASSES} subfolders with images")));
    }
    let mut loaded =
        splits.iter().map(|s| s.as_ref().filter(|f| !f.is_empty()).map(|f| load_split(f, want, &classes)));
    let mut next = || loaded.next().flatten().transpose();
    let (train, valid, test) = (next()?, next()?, next()?);
    let train = train.ok_or_else(|| Error::format(dir, "folder", "no training image"))?;
    let domain = Domain { support: Support::Discrete { levels: 256 }, shape: want };
    Ok(Dataset {
        schema: Schema::from(domain).with_classes("class", classes),
        train,
        valid,
        test,
        provenance: Provenance { name: name.into(), ..Provenance::default() },
    })
}
