//! The only array that crosses the seam between models and the rest.

use crate::{Error, Result};
use std::sync::Arc;

/// Rows of `f32`, row-major, plain memory. The [`Domain`](crate::Domain) that goes with it says what a row means.
///
/// A clone shares the values until one of the two is changed.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    data: Arc<Vec<f32>>,
    rows: usize,
    width: usize,
}

impl Batch {
    /// Takes `data` as rows of `width` values.
    ///
    /// # Errors
    /// [`Error::Shape`] if the length is not a multiple of `width` or `width` is zero.
    pub fn new(data: Vec<f32>, width: usize) -> Result<Self> {
        if width == 0 || !data.len().is_multiple_of(width) {
            return Err(Error::shape(
                "batch",
                format!("rows of {width} values (at least 1)"),
                format!("{} values", data.len()),
            ));
        }
        Ok(Self { rows: data.len() / width, data: Arc::new(data), width })
    }

    /// `rows` rows of zeros.
    pub fn zeros(rows: usize, width: usize) -> Self {
        Self { data: Arc::new(vec![0.0; rows * width]), rows, width }
    }

    /// A batch whose value at (row, column) is `f(row, column)`.
    pub fn from_fn(rows: usize, width: usize, mut f: impl FnMut(usize, usize) -> f32) -> Self {
        let mut data = Vec::with_capacity(rows * width);
        for r in 0..rows {
            data.extend((0..width).map(|c| f(r, c)));
        }
        Self { data: Arc::new(data), rows, width }
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Values per row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// True if there is no row.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// All values, row-major.
    pub fn data(&self) -> &[f32] {
        &self.data
    }

    /// All values, row-major, mutable.
    pub fn data_mut(&mut self) -> &mut [f32] {
        Arc::make_mut(&mut self.data).as_mut_slice()
    }

    /// The values, without the shape.
    pub fn into_data(self) -> Vec<f32> {
        Arc::try_unwrap(self.data).unwrap_or_else(|shared| (*shared).clone())
    }

    /// Row `r`. Panics if there is no such row.
    pub fn row(&self, r: usize) -> &[f32] {
        &self.data[r * self.width..(r + 1) * self.width]
    }

    /// Row `r`, mutable. Panics if there is no such row.
    pub fn row_mut(&mut self, r: usize) -> &mut [f32] {
        let at = r * self.width..(r + 1) * self.width;
        &mut self.data_mut()[at]
    }

    /// The rows in order.
    pub fn iter(&self) -> std::slice::ChunksExact<'_, f32> {
        self.data.chunks_exact(self.width)
    }

    /// The rows at `index`, in that order; an index may repeat. Panics if one is out of range.
    pub fn select(&self, index: &[usize]) -> Self {
        let mut data = Vec::with_capacity(index.len() * self.width);
        for &r in index {
            data.extend_from_slice(self.row(r));
        }
        Self { data: Arc::new(data), rows: index.len(), width: self.width }
    }

    /// Rows `start..end`, both cut to what is there.
    pub fn slice(&self, start: usize, end: usize) -> Self {
        let (start, end) = (start.min(self.rows), end.min(self.rows));
        Self {
            data: Arc::new(self.data[start * self.width..end.max(start) * self.width].to_vec()),
            rows: end.saturating_sub(start),
            width: self.width,
        }
    }

    /// This batch followed by `other`.
    ///
    /// # Errors
    /// [`Error::Shape`] if the widths differ.
    pub fn concat(mut self, other: &Self) -> Result<Self> {
        if self.width != other.width {
            return Err(Error::shape("batch", self.width, other.width));
        }
        Arc::make_mut(&mut self.data).extend_from_slice(&other.data);
        self.rows += other.rows;
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clone_shares_until_it_is_changed() {
        let a = Batch::from_fn(2, 3, |r, c| (3 * r + c) as f32);
        let mut b = a.clone();
        assert!(std::ptr::eq(a.data(), b.data()));
        b.row_mut(1)[2] = -1.0;
        assert_eq!((a.row(1), b.row(1)), (&[3.0, 4.0, 5.0][..], &[3.0, 4.0, -1.0][..]));
        let c = a.clone().concat(&b).unwrap();
        assert_eq!((c.rows(), c.row(2), a.rows()), (4, a.row(0), 2));
        assert_eq!(a.clone().into_data(), a.into_data());
    }
}
