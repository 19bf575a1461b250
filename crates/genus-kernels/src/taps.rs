//! The shape of a convolution: which taps there are, and how far apart the outputs lie.

/// Adjacent taps of one kernel row: output (y, x) sees the inputs (stride·y + dy, stride·x + dx + t) for t in 0..count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TapRow {
    /// Row of the input relative to the output's.
    pub dy: isize,
    /// First column of the input relative to the output's.
    pub dx: isize,
    /// Number of taps.
    pub count: usize,
}

/// Rows of taps one below the other, which a product takes in one go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TapBlock {
    /// The first row.
    pub row: TapRow,
    /// Number of rows.
    pub lines: usize,
}

impl TapBlock {
    /// Rows of taps as blocks: of the same columns, one below the other, and for images of `channels` values short enough for
    /// their weights to stay in the first-level cache.
    pub fn from_rows(rows: &[TapRow], channels: usize) -> Vec<Self> {
        const MOST: usize = 256;
        let mut blocks: Vec<Self> = Vec::new();
        for row in rows {
            if let Some(last) = blocks.last_mut()
                && (last.row.dx, last.row.count) == (row.dx, row.count)
                && last.row.dy + last.lines as isize == row.dy
                && (last.lines + 1) * row.count * channels <= MOST
            {
                last.lines += 1;
            } else {
                blocks.push(Self { row: *row, lines: 1 });
            }
        }
        blocks
    }

    /// Number of taps.
    pub fn count(&self) -> usize {
        self.lines * self.row.count
    }

    /// Its rows.
    pub fn rows(&self) -> impl Iterator<Item = TapRow> + use<> {
        let row = self.row;
        (0..self.lines as isize).map(move |l| TapRow { dy: row.dy + l, ..row })
    }

    /// Distances of steps and of lines in panels of this width.
    pub fn panel(&self, channels: usize, width: usize) -> [usize; 2] {
        [width, self.row.count * channels * width]
    }
}

/// Which of the earlier pixels, and of the pixel itself, a causal convolution sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Causal {
    /// Not the pixel itself; with several channel groups, its earlier groups. For the first layer.
    A,
    /// The pixel itself too; with several channel groups, the earlier groups and its own. For all other layers.
    B,
}

/// The taps of a convolution that a mask keeps; what it drops is not there, neither in the weights nor in the work.
///
/// Weights are `[taps, inputs, outputs]`, taps row by row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taps {
    rows: Vec<TapRow>,
    stride: usize,
    /// Output extent = (input extent + `extra`) / stride + 1.
    extra: isize,
    /// Channel groups at the last tap, the pixel itself: kind and number. None if all channels see each other there.
    groups: Option<(Causal, usize)>,
}

impl Taps {
    /// A full `size` × `size` kernel over an input with `pad` zeros around it. Panics if one of the numbers is out of range.
    pub fn full(size: usize, stride: usize, pad: usize) -> Self {
        assert!(size > 0 && stride > 0 && pad < size, "kernel {size}, stride {stride}, padding {pad}");
        let at = -(pad as isize);
        let rows = (0..size as isize).map(|r| TapRow { dy: at + r, dx: at, count: size }).collect();
        Self { rows, stride, extra: 2 * pad as isize - size as isize, groups: None }
    }

    /// A `size` × `size` kernel, masked so that pixels are seen in raster order only (van den Oord et al. 2016): 24 of 49 taps
    /// for 7 × 7 type A, 5 of 9 for 3 × 3 type B. With `groups` above 1 channels are cut into that many equal parts in order
    /// (red, green, blue), and the pixel's own tap is masked by group. Panics if `size` is even.
    pub fn causal(size: usize, kind: Causal, groups: usize) -> Self {
        assert!(size % 2 == 1 && groups > 0, "size must be odd");
        let half = (size / 2) as isize;
        let itself = kind == Causal::B || groups > 1;
        let mut rows: Vec<TapRow> = (-half..0).map(|dy| TapRow { dy, dx: -half, count: size }).collect();
        rows.push(TapRow { dy: 0, dx: -half, count: size / 2 + usize::from(itself) });
        rows.retain(|r| r.count > 0);
        Self { rows, stride: 1, extra: -1, groups: (groups > 1).then_some((kind, groups)) }
    }

    /// The last row of [`causal`](Self::causal): 1 × `size`, masked. With a `size` of 1 and type A there is no tap, unless
    /// there are channel groups. Panics if `size` is even.
    pub fn causal_row(size: usize, kind: Causal, groups: usize) -> Self {
        let mut taps = Self::causal(size, kind, groups);
        taps.rows.retain(|r| r.dy == 0);
        taps
    }

    /// Any rows of taps, stride 1, output as large as the input. Panics if a row is empty, or so long or far away that positions
    /// would overflow.
    pub fn rows(rows: Vec<TapRow>) -> Self {
        const FAR: usize = 1 << 24;
        assert!(rows.iter().all(|r| r.count > 0), "a row of taps is empty");
        let near = |r: &TapRow| [r.dy.unsigned_abs(), r.dx.unsigned_abs(), r.count].iter().all(|n| *n < FAR);
        assert!(rows.iter().all(near), "taps further away than {FAR} pixels");
        Self { rows, stride: 1, extra: -1, groups: None }
    }

    /// The rows.
    pub fn list(&self) -> &[TapRow] {
        &self.rows
    }

    /// Distance of neighbouring outputs in the input.
    pub fn stride(&self) -> usize {
        self.stride
    }

    /// Number of taps.
    pub fn count(&self) -> usize {
        self.rows.iter().map(|r| r.count).sum()
    }

    /// Extents of the output of an input of these extents.
    pub fn output(&self, input: [usize; 2]) -> [usize; 2] {
        input.map(|n| {
            let room = n as isize + self.extra;
            if room < 0 { 0 } else { room as usize / self.stride + 1 }
        })
    }

    /// Extents of the smallest input that has an output of these extents: what a transposed convolution gives.
    pub fn input(&self, output: [usize; 2]) -> [usize; 2] {
        output.map(|n| ((n.max(1) - 1) as isize * self.stride as isize - self.extra).max(0) as usize)
    }

    /// Sets the weights `[taps, inputs, outputs]` that channel groups drop to zero.
    pub fn apply(&self, w: &mut [f32], inputs: usize, outputs: usize) {
        let Some((kind, groups)) = self.groups else { return };
        let from = w.len() - inputs * outputs;
        for (i, row) in w[from..].chunks_exact_mut(outputs).enumerate() {
            let of = i * groups / inputs;
            for (o, v) in row.iter_mut().enumerate() {
                let to = o * groups / outputs;
                if !(of < to || (kind == Causal::B && of == to)) {
                    *v = 0.0;
                }
            }
        }
    }
}
