//! Rows to files that others read.

use super::{npy, npz, pictures};
use crate::{Batch, Column, Domain, Error, Result, Schema, Shape, outfile};
use std::path::Path;

/// Longest side of a grid of images, pixels.
const MAX_SIDE: usize = 1 << 16;

/// Writes rows of a schema to `path`, whole or not at all; a device or a pipe is written through, a link followed. The extension decides:
///
/// - `.npy`, `.npz` (array `samples`): shape \[rows, height, width, channels\] for images, else \[rows,
///   columns\]; bytes for binary rows and up to 256 levels, single precision otherwise, double where columns
///   have an origin.
/// - `.csv`: a header of the columns' names (`x0`, `x1` … where there are none), categories by name, an empty
///   cell for NaN.
/// - `.png`: a grid of images with a border of one pixel; binary and levels from black (0) to white (the top
///   level), real values from the smallest to the largest.
///
/// # Errors
/// [`Error::Config`] for another extension, or rows that are no images for `.png`; [`Error::Shape`] or
/// [`Error::Domain`] if rows do not fit the domain; [`Error::Io`] if the file cannot be written.
pub fn write(path: &Path, x: &Batch, schema: &Schema) -> Result<()> {
    write_with(path, x, None, schema)
}

/// As [`write()`], with what rows come with, where that is given, as a second array `given` of an `.npz`: \[rows, given columns\] in double
/// precision, categories as numbers of [`Column::categories`]. Other files do not have it.
///
/// # Errors
/// As there.
pub fn write_with(path: &Path, x: &Batch, given: Option<&Batch>, schema: &Schema) -> Result<()> {
    let domain = &schema.domain;
    if x.width() != domain.width() {
        return Err(Error::shape("rows to write", domain.width(), x.width()));
    }
    let extension = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
    let bytes = match &extension[..] {
        "npy" => array(x, schema)?,
        "npz" => {
            let mut files = vec![("samples", array(x, schema)?)];
            files.extend(given.map(|g| ("given", beside(g, schema))));
            npz::encode(&files, path)?
        }
        "csv" => table(x, schema),
        "png" => grid(path, x, domain)?,
        _ => {
            return Err(Error::config(
                "output",
                format!("{}: give a name that ends in .npy, .npz, .csv or .png", path.display()),
            ));
        }
    };
    outfile::write(path, &bytes)
}

fn beside(given: &Batch, schema: &Schema) -> Vec<u8> {
    let there = |row: &[f32]| -> Vec<f64> {
        row.iter().zip(&schema.given).map(|(v, c)| f64::from(*v) + c.origin).collect()
    };
    let bytes: Vec<u8> = given.iter().flat_map(there).flat_map(f64::to_le_bytes).collect();
    npy::encode("<f8", &[given.rows(), schema.given.len()], &bytes)
}

fn array(x: &Batch, schema: &Schema) -> Result<Vec<u8>> {
    let domain = &schema.domain;
    let shape = match domain.shape {
        Shape::Flat(d) => vec![x.rows(), d],
        Shape::Image { height, width, channels } => vec![x.rows(), height, width, channels],
    };
    if domain.top().is_some_and(|top| top <= 255.0) {
        domain.check(x)?;
        let bytes: Vec<u8> = x.data().iter().map(|v| *v as u8).collect();
        return Ok(npy::encode("|u1", &shape, &bytes));
    }
    if schema.columns.iter().any(|c| c.origin != 0.0) {
        let moved = |row: &[f32]| -> Vec<f64> {
            row.iter().zip(&schema.columns).map(|(v, c)| f64::from(*v) + c.origin).collect()
        };
        let bytes: Vec<u8> = x.iter().flat_map(moved).flat_map(f64::to_le_bytes).collect();
        return Ok(npy::encode("<f8", &shape, &bytes));
    }
    let bytes: Vec<u8> = x.data().iter().flat_map(|v| v.to_le_bytes()).collect();
    Ok(npy::encode("<f4", &shape, &bytes))
}

/// The header of a table.
fn header(x: &Batch, schema: &Schema) -> Vec<String> {
    match schema.columns.is_empty() {
        true => (0..x.width()).map(|c| format!("x{c}")).collect(),
        false => schema.names(),
    }
}

/// The lines of a table below its header, each as its cells.
fn cells<'a>(x: &'a Batch, schema: &'a Schema) -> impl Iterator<Item = Vec<String>> + 'a {
    let columns: Vec<Column> = (0..x.width()).map(|c| schema.column(c)).collect();
    let text = |(v, c): (&f32, &Column)| c.written(*v, schema.decimal_comma);
    x.iter().map(move |row| row.iter().zip(&columns).map(text).collect())
}

/// Rows of a schema as the bytes of a CSV file, header first; see [`write()`].
pub fn table(x: &Batch, schema: &Schema) -> Vec<u8> {
    lines(std::iter::once(header(x, schema)).chain(cells(x, schema)), schema)
}

/// As [`table`], without the header: what follows in a file that is written piece by piece.
pub fn table_rows(x: &Batch, schema: &Schema) -> Vec<u8> {
    lines(cells(x, schema), schema)
}

fn lines(mut cells: impl Iterator<Item = Vec<String>>, schema: &Schema) -> Vec<u8> {
    let delimiter = if schema.decimal_comma { b';' } else { b',' };
    let mut writer = csv::WriterBuilder::new().delimiter(delimiter).from_writer(Vec::new());
    let written = cells.try_for_each(|record| writer.write_record(record));
    match written.map_err(|e| e.to_string()).and_then(|()| writer.into_inner().map_err(|e| e.to_string())) {
        Ok(bytes) => bytes,
        Err(e) => unreachable!("writing to memory does not fail: {e}"),
    }
}

fn grid(path: &Path, x: &Batch, domain: &Domain) -> Result<Vec<u8>> {
    let no_picture = |message: &str| Error::config("output", format!("{}: {message}", path.display()));
    let Shape::Image { height, width, channels } = domain.shape else {
        return Err(no_picture("rows are not images; write .csv, .npy or .npz instead"));
    };
    if !matches!(channels, 1 | 3) {
        return Err(no_picture("images have neither 1 nor 3 channels; write .npy or .npz instead"));
    }
    let across = (1..).find(|c| c * c >= x.rows()).unwrap_or(1).max(1);
    let down = x.rows().div_ceil(across).max(1);
    let (total_width, total_height) = (across * (width + 1) + 1, down * (height + 1) + 1);
    if total_width.max(total_height) > MAX_SIDE {
        return Err(no_picture("the grid would be too large; write fewer images, or .npz"));
    }
    let (low, high) = match domain.top() {
        Some(top) => (0.0, top),
        None => x
            .data()
            .iter()
            .filter(|v| v.is_finite())
            .fold((f32::INFINITY, f32::NEG_INFINITY), |(l, h), v| (l.min(*v), h.max(*v))),
    };
    let span = f64::from(high) - f64::from(low);
    let scale = if span > 0.0 { 255.0 / span } else { 0.0 };
    let mut pixels = vec![128u8; total_width * total_height * channels];
    for (i, row) in x.iter().enumerate() {
        let (left, top) = ((i % across) * (width + 1) + 1, (i / across) * (height + 1) + 1);
        for (y, line) in row.chunks_exact(width * channels).enumerate() {
            let at = ((top + y) * total_width + left) * channels;
            for (p, v) in pixels[at..at + line.len()].iter_mut().zip(line) {
                *p = ((f64::from(*v) - f64::from(low)) * scale).round().clamp(0.0, 255.0) as u8;
            }
        }
    }
    pictures::png(&pixels, [total_height, total_width, channels], path)
}
