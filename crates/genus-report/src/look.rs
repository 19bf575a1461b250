//! How rows of this run's domain are shown: as pictures, as points of a plane, or as lines of a table.

use crate::block::{Cell, Table};
use crate::picture::{self, Pixels};
use crate::scale::{fixed, padded};
use genus_core::run::Summary;
use genus_core::{Result, Tensor};

/// Most columns of a table of rows.
const COLUMNS: usize = 16;

/// Rows of an exhibit.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rows<'a> {
    data: &'a [f32],
    /// Number of rows.
    pub n: usize,
    /// Values per row.
    pub d: usize,
}

impl<'a> Rows<'a> {
    /// The rows of an array, if it is a matrix that is not empty.
    pub(crate) fn matrix(tensor: &'a Tensor) -> Option<Self> {
        match tensor.shape[..] {
            [n, d] if n > 0 && d > 0 => Some(Self { data: tensor.as_f32()?, n, d }),
            _ => None,
        }
    }

    /// The paths of an array of three axes.
    pub(crate) fn paths(tensor: &'a Tensor) -> Vec<Self> {
        match (&tensor.shape[..], tensor.as_f32()) {
            (&[_, n, d], Some(data)) if n > 0 && d > 0 => {
                data.chunks_exact(n * d).map(|data| Self { data, n, d }).collect()
            }
            _ => Vec::new(),
        }
    }

    /// Row `r`.
    pub(crate) fn row(&self, r: usize) -> &'a [f32] {
        &self.data[r * self.d..(r + 1) * self.d]
    }

    /// The first `n` rows.
    pub(crate) fn first(&self, n: usize) -> Vec<&'a [f32]> {
        self.data.chunks_exact(self.d).take(n).collect()
    }

    /// The first two columns as points, at most `most` of them.
    pub(crate) fn points(&self, most: usize) -> Vec<(f64, f64)> {
        let point = |row: &[f32]| Some((f64::from(*row.first()?), f64::from(*row.get(1)?)));
        self.data.chunks_exact(self.d).take(most).filter_map(point).collect()
    }
}

/// What a row is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// An image.
    Image(Pixels),
    /// A point of a plane.
    Plane,
    /// A line of a table.
    Table,
}

/// Decimals for a column of a table: about four digits of the largest value, none for whole numbers.
fn decimals<'a>(column: impl Iterator<Item = &'a f32>) -> usize {
    let (mut largest, mut whole) = (0.0f32, true);
    for v in column.filter(|v| v.is_finite()) {
        largest = largest.max(v.abs());
        whole &= v.fract() == 0.0;
    }
    if whole { 0 } else { (3.0 - largest.log10().floor()).clamp(0.0, 7.0) as usize }
}

/// How rows are shown.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Look<'a> {
    summary: &'a Summary,
    /// Values of black and white.
    range: (f64, f64),
}

impl<'a> Look<'a> {
    /// The look of the rows of a run. Where the domain does not fix black and white, the range of the training rows does.
    pub(crate) fn new(summary: &'a Summary) -> Self {
        let (low, high) = match (summary.top, summary.range) {
            (top, _) if top > 0.0 => (0.0, f64::from(top)),
            (_, Some((low, high))) => (f64::from(low), f64::from(high)),
            _ => (0.0, 1.0),
        };
        let range = if low < high { (low, high) } else { padded((low, high), 0.0) };
        Self { summary, range }
    }

    /// What rows of `d` values are.
    pub(crate) fn kind(&self, d: usize) -> Kind {
        match self.pixels() {
            Some(pixels) if pixels.len() == d => Kind::Image(pixels),
            _ if d == 2 && self.summary.top == 0.0 => Kind::Plane,
            _ => Kind::Table,
        }
    }

    /// Extents of a row that is an image.
    pub(crate) fn pixels(&self) -> Option<Pixels> {
        Pixels::from_shape(&self.summary.shape)
    }

    /// Name of column `c`.
    pub(crate) fn column(&self, c: usize) -> String {
        self.summary
            .columns
            .get(c)
            .filter(|n| !n.is_empty())
            .cloned()
            .unwrap_or_else(|| format!("x{}", c + 1))
    }

    /// Names of the categories of column `c`; none of a number.
    fn categories(&self, c: usize) -> &[String] {
        self.summary.categories.get(c).map_or(&[], Vec::as_slice)
    }

    /// A grid of images, `columns` per line.
    pub(crate) fn grid(
        &self,
        rows: &[&[f32]],
        pixels: Pixels,
        columns: usize,
        alt: String,
        caption: String,
    ) -> Result<picture::Picture> {
        let picture = picture::grid(rows, pixels, columns, self.range, alt)?;
        Ok(picture::Picture { caption, ..picture })
    }

    /// Images at several times, `columns` per line.
    pub(crate) fn film(
        &self,
        times: &[Vec<&[f32]>],
        pixels: Pixels,
        columns: usize,
        alt: String,
    ) -> Result<picture::Picture> {
        picture::frames(times, pixels, columns, self.range, alt)
    }

    /// A table of rows, each with a heading and the cells of `extra` columns before its values.
    pub(crate) fn table<'r>(
        &self,
        caption: &str,
        extra: &[&str],
        rows: impl IntoIterator<Item = (Vec<Cell>, &'r [f32])>,
        d: usize,
    ) -> Table {
        let shown = d.min(COLUMNS);
        let mut head: Vec<String> = extra.iter().map(|h| (*h).to_owned()).collect();
        let heading = |c: usize| match self.categories(c).is_empty() {
            true => format!("#{}", self.column(c)),
            false => self.column(c),
        };
        head.extend((0..shown).map(heading));
        let mut table = Table::new(caption, head);
        let rows: Vec<(Vec<Cell>, &[f32])> = rows.into_iter().collect();
        let decimals: Vec<usize> =
            (0..shown).map(|c| decimals(rows.iter().filter_map(|(_, row)| row.get(c)))).collect();
        for (mut cells, row) in rows {
            let cell = |(c, (v, d)): (usize, (&f32, &usize))| match self.categories(c).get(*v as usize) {
                _ if v.is_nan() => Cell::default(),
                Some(name) => Cell::from(name.as_str()),
                None => Cell::from(fixed(f64::from(*v), *d)),
            };
            cells.extend(row.iter().zip(&decimals).enumerate().map(cell));
            table.row(cells);
        }
        if shown < d {
            table.note = format!("The first {shown} of {d} columns.");
        }
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_and_paths() {
        let a = Tensor::f32(&[2, 3], vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        let p = Tensor::f32(&[2, 1, 2], vec![1.0, 2.0, 3.0, 4.0]);
        let rows = Rows::matrix(&a).unwrap();
        assert_eq!((rows.row(1), rows.points(9)), (&[4.0, 5.0, 6.0][..], vec![(1.0, 2.0), (4.0, 5.0)]));
        let paths = Rows::paths(&p);
        assert_eq!((paths.len(), paths[1].row(0)), (2, &[3.0, 4.0][..]));
        assert!(Rows::matrix(&p).is_none() && Rows::paths(&a).is_empty());
    }

    #[test]
    fn kinds_and_digits() {
        let summary = |shape: &[usize], top| Summary { shape: shape.to_vec(), top, ..Summary::default() };
        let kind = |shape: &[usize], top, d| Look::new(&summary(shape, top)).kind(d);
        assert!(matches!(kind(&[4, 4, 3], 255.0, 48), Kind::Image(_)));
        assert_eq!(kind(&[4, 4, 3], 255.0, 16), Kind::Table);
        assert_eq!(kind(&[2], 0.0, 2), Kind::Plane);
        assert_eq!(kind(&[2], 1.0, 2), Kind::Table);
        assert_eq!(decimals([1.0, -250.0].iter()), 0);
        assert_eq!(decimals([0.5, 123.0].iter()), 1);
    }
}
