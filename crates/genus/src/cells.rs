//! What columns of all kinds are to models that see levels: a mixture of cells, of which a model gives the weights.
//!
//! A category is a cell. Numbers have cells of nearly the same mass, which are fitted to training rows: a value that many rows have is one
//! by itself, whole numbers between others are uniform over a stretch, and real ones normal around its middle, with half of its length as
//! deviation, so that densities are smooth. A real value by itself is drawn as it is, and its density is spread over its last digit, or over half
//! of the way to the next value, so that it stays one. Where no training value lies there is no cell; what new rows have there is expected as
//! often as the training rows say (Good 1953): with the weight ε a number comes from a wide logistic law instead, which has every value that
//! its column may hold. Scores have its tails; what is drawn of it stays where training values are, because one number far out changes every
//! picture of a column.

use genus_core::math::{LN_2PI, log_sum_exp};
use genus_core::{Batch, Column, Error, Kind, Result, Rng, Schema, State, Support, Tensor};
use rayon::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Where some of the values of a number are.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Cell {
    /// Its ends: of whole numbers the first and the last.
    low: f64,
    high: f64,
    /// Whether values are normal around its middle, not uniform.
    smooth: bool,
}

/// Cells of a number.
#[derive(Debug, Clone, PartialEq)]
struct Numbers {
    /// Ascending.
    cells: Vec<Cell>,
    whole: bool,
    /// ε, and location and scale of the logistic law.
    elsewhere: [f64; 3],
    /// The least and the largest value that the column can hold.
    bounds: [f64; 2],
}

/// A column.
#[derive(Debug, Clone, PartialEq)]
enum Cells {
    /// As many as there are categories, of bits two.
    Names(usize),
    Numbers(Numbers),
}

fn logistic(z: f64) -> f64 {
    1.0 / (1.0 + libm::exp(-z))
}

impl Cell {
    fn middle(&self) -> f64 {
        0.5 * (self.low + self.high)
    }

    fn deviation(&self) -> f64 {
        0.5 * (self.high - self.low)
    }

    /// Share of a normal cell that the column can hold: above its least value.
    fn held(&self, least: f64) -> f64 {
        0.5 * libm::erfc((least - self.middle()) / (self.deviation() * std::f64::consts::SQRT_2))
    }

    /// log of what a value has within this cell; none outside of it.
    fn log_within(&self, v: f64, whole: bool, least: f64) -> Option<f64> {
        if self.smooth {
            let z = (v - self.middle()) / self.deviation();
            let log_p = -0.5 * (LN_2PI + z * z) - libm::log(self.deviation() * self.held(least));
            return (v >= least).then_some(log_p);
        }
        let length = if whole { self.high - self.low + 1.0 } else { self.high - self.low };
        (v >= self.low && v <= self.high).then(|| -libm::log(length))
    }

    fn draw(&self, whole: bool, least: f64, rng: &mut Rng) -> f64 {
        if self.smooth {
            // The middle can be held, so that half of the draws are at least.
            loop {
                let v = self.middle() + self.deviation() * rng.normal();
                if v >= least {
                    return v;
                }
            }
        }
        match whole {
            true => (self.low + (rng.uniform_f64() * (self.high - self.low + 1.0)).floor()).min(self.high),
            // What many rows have to the last digit is that.
            false => self.middle(),
        }
    }

    fn mean(&self, least: f64) -> f64 {
        if !self.smooth {
            return self.middle();
        }
        let z = (least - self.middle()) / self.deviation();
        self.middle() + self.deviation() * libm::exp(-0.5 * (LN_2PI + z * z)) / self.held(least)
    }
}

impl Numbers {
    /// Of the values that are there, in any order; of 0 for want of any.
    fn of(column: &Column, top: Option<f32>, mut values: Vec<f64>, most: usize) -> Self {
        let Column { kind, origin, .. } = column;
        if values.is_empty() {
            values.push(0.0);
        }
        values.sort_by(f64::total_cmp);
        let n = values.len();
        let groups: Vec<(f64, usize)> = values.chunk_by(|a, b| a == b).map(|g| (g[0], g.len())).collect();
        let whole = matches!(kind, Kind::Whole { .. });
        let unit = match kind {
            Kind::Real { decimals: Some(d) } => Some(libm::pow(10.0, -f64::from(*d))),
            Kind::Real { decimals: None } => None,
            _ => Some(1.0),
        };
        // As many cells as the rows can tell apart.
        let most = most.min((2.0 * (n as f64).sqrt()) as usize).max(2);
        let all = groups.len() <= most;
        let heavy = |count: usize| all || (count > 1 && count * most >= n);
        let gap = |i: usize| groups[i + 1].0 - groups[i].0;
        // Half of what lies around a value by itself.
        let reach = |i: usize| {
            let beside = [i.checked_sub(1).map(gap), (i + 1 < groups.len()).then(|| gap(i))];
            let near = beside.into_iter().flatten().fold(f64::INFINITY, f64::min);
            let alone = unit.unwrap_or((1e-6 * groups[i].0.abs()).max(1e-6));
            let near = if near.is_finite() { near } else { alone };
            unit.map_or(0.5 * near, |unit| 0.5 * unit.min(near))
        };
        let mut cells: Vec<Cell> = Vec::new();
        let mut i = 0;
        while i < groups.len() {
            let mut j = i;
            let alone = heavy(groups[i].1);
            let mut mass = groups[i].1;
            while !alone
                && j + 1 < groups.len()
                && !heavy(groups[j + 1].1)
                && (mass + groups[j + 1].1) * most <= n
            {
                j += 1;
                mass += groups[j].1;
            }
            // What lies between two cells of several values belongs to both.
            let meets = |other: usize| !alone && !heavy(groups[other].1);
            let half = |from: usize| groups[from].0 + 0.5 * gap(from);
            let low = match i.checked_sub(1).filter(|before| meets(*before)) {
                Some(before) if whole => half(before).floor() + 1.0,
                Some(before) => half(before),
                None if whole => groups[i].0,
                None => groups[i].0 - reach(i),
            };
            let high = match j + 1 < groups.len() && meets(j + 1) {
                true if whole => half(j).floor(),
                true => half(j),
                false if whole => groups[j].0,
                false => groups[j].0 + reach(j),
            };
            cells.push(Cell { low, high, smooth: !whole && !alone });
            i = j + 1;
        }
        let once = groups.iter().filter(|g| g.1 == 1).count();
        let unseen = if all && unit.is_some() { once as f64 + 1.0 } else { 2.0 } / (n as f64 + 2.0);
        let (low, high) = (values[0], values[n - 1]);
        let scale = ((high - low) / 6.0).max(unit.unwrap_or(0.0)).max(1e-6 * high.abs()).max(1e-12);
        let least = if low + origin >= 0.0 { -origin } else { f64::MIN };
        let bounds = [least, top.map_or(f64::MAX, f64::from)];
        Self { cells, whole, elsewhere: [unseen.min(0.25), values[n / 2], scale], bounds }
    }

    /// The cell of a value, or the nearest, and how much of it belongs to the next one.
    fn place(&self, v: f64) -> (usize, f32) {
        let at = |i: usize| &self.cells[i];
        let after = self.cells.partition_point(|cell| cell.middle() <= v);
        let Some(before) = after.checked_sub(1) else { return (0, 0.0) };
        if after == self.cells.len() {
            return (before, 0.0);
        }
        let (a, b) = (at(before), at(after));
        if a.smooth && b.smooth {
            return (before, ((v - a.middle()) / (b.middle() - a.middle())) as f32);
        }
        // The stretch that it is in, or that ends nearer to it.
        (if b.low - v < v - a.high { after } else { before }, 0.0)
    }

    /// log of what a value has within each cell.
    fn log_within(&self, v: f64) -> impl Iterator<Item = f64> {
        let cells = self.cells.iter();
        cells.map(move |cell| cell.log_within(v, self.whole, self.bounds[0]).unwrap_or(f64::NEG_INFINITY))
    }

    /// Shares of the logistic law below both of these values, with the last one.
    fn shares(&self, ends: [f64; 2]) -> [f64; 2] {
        let [_, location, scale] = self.elsewhere;
        let half = if self.whole { 0.5 } else { 0.0 };
        let below = |v: f64| logistic((v - location) / scale);
        [below(ends[0] - half), below(ends[1] + half)]
    }

    /// The same of what the column can hold.
    fn held(&self) -> [f64; 2] {
        self.shares(self.bounds)
    }

    /// log of what a value has by the logistic law.
    fn log_elsewhere(&self, v: f64) -> f64 {
        if v < self.bounds[0] || v > self.bounds[1] {
            return f64::NEG_INFINITY;
        }
        let [_, location, scale] = self.elsewhere;
        let log_p = if self.whole {
            // Far out the difference of two shares is that of the smaller sides.
            let side = if v > location { -1.0 } else { 1.0 };
            let at = |v: f64| logistic(side * (v - location) / scale);
            let mass = (at(v + 0.5) - at(v - 0.5)).abs();
            if mass > 0.0 { libm::log(mass) } else { -(v - location).abs() / scale }
        } else {
            let z = (v - location).abs() / scale;
            -z - 2.0 * libm::log1p(libm::exp(-z)) - libm::log(scale)
        };
        let [from, to] = self.held();
        log_p - libm::log(to - from)
    }

    /// The value of the logistic law at a share of what lies between these ends.
    fn elsewhere_at(&self, share: f64, ends: [f64; 2]) -> f64 {
        let [_, location, scale] = self.elsewhere;
        let [from, to] = self.shares(ends);
        let u = (from + (to - from) * share).clamp(1e-12, 1.0 - 1e-12);
        let v = location + scale * (libm::log(u) - libm::log1p(-u));
        // The zero below 0 is the other one.
        (if self.whole { v.round() } else { v }).clamp(ends[0], ends[1]) + 0.0
    }

    /// Where training values are.
    fn range(&self) -> [f64; 2] {
        let low = self.cells.first().map_or(self.bounds[0], |cell| cell.low);
        let high = self.cells.last().map_or(self.bounds[1], |cell| cell.high);
        [low.max(self.bounds[0]), high.min(self.bounds[1])]
    }

    /// Mean of the logistic law, by the middles of equal shares.
    fn mean_elsewhere(&self) -> f64 {
        const SHARES: usize = 200;
        let at = |i: usize| self.elsewhere_at((i as f64 + 0.5) / SHARES as f64, self.bounds);
        (0..SHARES).map(at).sum::<f64>() / SHARES as f64
    }
}

/// The cells of all columns.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Vocabulary {
    columns: Vec<Cells>,
    ends: Arc<[usize]>,
    /// Whether all columns are bits, of which a mean is a probability.
    bits: bool,
    /// Which columns rows lack together, the commonest first; none where no training row lacks one.
    patterns: Vec<Vec<bool>>,
}

impl Vocabulary {
    /// Of training rows, which may lack values; at most so many cells for a column of numbers.
    pub fn of(schema: &Schema, x: &Batch, most: usize) -> Self {
        let column = |c: usize| {
            let column = schema.column(c);
            match &column.kind {
                Kind::Binary => Cells::Names(2),
                Kind::Category(names) => Cells::Names(names.len()),
                Kind::Whole { .. } | Kind::Real { .. } => {
                    let there = x.iter().map(|row| f64::from(row[c])).filter(|v| !v.is_nan());
                    Cells::Numbers(Numbers::of(&column, schema.domain.top(), there.collect(), most))
                }
            }
        };
        Self::from((0..schema.width()).map(column).collect(), schema, patterns(x))
    }

    fn from(mut columns: Vec<Cells>, schema: &Schema, patterns: Vec<Vec<bool>>) -> Self {
        if !patterns.is_empty() {
            columns.push(Cells::Names(patterns.len()));
        }
        let mut end = 0;
        let of = |cells: &Cells| {
            end += match cells {
                Cells::Names(n) => *n,
                Cells::Numbers(numbers) => numbers.cells.len(),
            };
            end
        };
        let ends = columns.iter().map(of).collect();
        Self { columns, ends, bits: schema.domain.support == Support::Binary, patterns }
    }

    /// Columns, with one more for what rows lack where training rows lack something.
    pub fn width(&self) -> usize {
        self.columns.len()
    }

    /// The column of what rows lack, if there is one.
    pub fn lacking(&self) -> Option<usize> {
        (!self.patterns.is_empty()).then(|| self.columns.len() - 1)
    }

    /// What a row lacks, among what is known of.
    pub fn pattern(&self, row: &[f32]) -> Option<usize> {
        self.patterns.iter().position(|lacks| lacks.iter().zip(row).all(|(l, v)| *l == v.is_nan()))
    }

    /// Whether rows of a pattern lack a column.
    pub fn lacks(&self, pattern: usize, c: usize) -> bool {
        self.patterns[pattern][c]
    }

    /// Where the cells of each column end.
    pub fn ends(&self) -> &Arc<[usize]> {
        &self.ends
    }

    /// Cells of all columns.
    pub fn cells(&self) -> usize {
        self.ends.last().copied().unwrap_or(0)
    }

    /// Where the cells of a column are.
    pub fn stretch(&self, c: usize) -> std::ops::Range<usize> {
        c.checked_sub(1).map_or(0, |b| self.ends[b])..self.ends[c]
    }

    /// Where among the cells of its column a number lies, from −√3 to √3, as a quantity of about unit variance: cells have about the same mass. 0
    /// of what is no number.
    pub fn rank(&self, c: usize, cell: usize, next: f32) -> f32 {
        match &self.columns[c] {
            Cells::Numbers(numbers) if numbers.cells.len() > 1 => {
                let last = (numbers.cells.len() - 1) as f32;
                3f32.sqrt() * (2.0 * (cell as f32 + next) / last - 1.0)
            }
            Cells::Numbers(_) | Cells::Names(_) => 0.0,
        }
    }

    /// The cell of a value within its column, and how much of it belongs to the next one; none for a missing value.
    pub fn place(&self, c: usize, v: f32) -> Option<(usize, f32)> {
        match &self.columns[c] {
            _ if v.is_nan() => None,
            Cells::Names(n) => Some(((v as usize).min(n - 1), 0.0)),
            Cells::Numbers(numbers) => Some(numbers.place(f64::from(v))),
        }
    }

    /// Logarithms of the shares of the cells of each column among rows, one after the other; half a row more has each.
    pub fn log_shares(&self, x: &Batch) -> Vec<f64> {
        let mut counts = vec![0.5; self.cells()];
        for row in x.iter() {
            for (c, v) in row.iter().enumerate() {
                if let Some((cell, _)) = self.place(c, *v) {
                    counts[self.stretch(c).start + cell] += 1.0;
                }
            }
            if let Some((c, pattern)) = self.lacking().zip(self.pattern(row)) {
                counts[self.stretch(c).start + pattern] += 1.0;
            }
        }
        for c in 0..self.width() {
            let own = &mut counts[self.stretch(c)];
            let total: f64 = own.iter().sum();
            own.iter_mut().for_each(|n| *n = libm::log(*n / total));
        }
        counts
    }

    /// log of what a value has within each cell of its column, nats, into as many places.
    pub fn log_within(&self, c: usize, v: f32, into: &mut [f32]) {
        match &self.columns[c] {
            Cells::Names(_) => {
                into.fill(f32::NEG_INFINITY);
                into[v as usize] = 0.0;
            }
            Cells::Numbers(numbers) => {
                into.iter_mut().zip(numbers.log_within(f64::from(v))).for_each(|(p, log)| *p = log as f32);
            }
        }
    }

    /// log of what a value has within each cell of its column and elsewhere, nats, into as many places: with it
    /// log Σ exp(log weight + this) over the cells is log p of the value.
    fn log_law(&self, c: usize, v: f32, into: &mut [f32]) {
        let Cells::Numbers(numbers) = &self.columns[c] else { return self.log_within(c, v, into) };
        let v = f64::from(v);
        let epsilon = numbers.elsewhere[0];
        // What no row can hold is not what is missing.
        let elsewhere = (libm::log(epsilon) + numbers.log_elsewhere(v)).max(IMPOSSIBLE);
        for (p, log) in into.iter_mut().zip(numbers.log_within(v)) {
            *p = log_sum_exp([libm::log1p(-epsilon) + log, elsewhere]) as f32;
        }
    }

    /// The same of all values of rows, `[rows, cells]`; −∞ in all cells of one that is missing, which counts for nothing.
    pub fn log_laws(&self, x: &Batch) -> Batch {
        let mut laws = Batch::from_fn(x.rows(), self.cells(), |_, _| f32::NEG_INFINITY);
        let cells = self.cells().max(1);
        laws.data_mut().par_chunks_exact_mut(cells).enumerate().for_each(|(r, law)| {
            for (c, v) in x.row(r).iter().enumerate().filter(|(_, v)| !v.is_nan()) {
                self.log_law(c, *v, &mut law[self.stretch(c)]);
            }
        });
        laws
    }

    /// Values of a row as a network [sees](Self::seen) it.
    pub fn seen_width(&self) -> usize {
        self.cells() + 2 * self.width()
    }

    /// Rows as a network sees them: the cells of their values, which columns have one, and where numbers lie among their cells,
    /// `[rows, cells + 2 · columns]`.
    pub fn seen(&self, x: &Batch) -> Batch {
        let (cells, d, width) = (self.cells(), self.width(), self.seen_width().max(1));
        let mut seen = Batch::zeros(x.rows(), width);
        seen.data_mut().par_chunks_exact_mut(width).enumerate().for_each(|(r, seen)| {
            for (c, v) in x.row(r).iter().enumerate() {
                let Some((cell, next)) = self.place(c, *v) else { continue };
                let at = self.stretch(c).start + cell;
                seen[at] = 1.0 - next;
                if next > 0.0 {
                    seen[at + 1] = next;
                }
                seen[cells + c] = 1.0;
                seen[cells + d + c] = self.rank(c, cell, next);
            }
        });
        seen
    }

    /// The same without a column of what rows lack.
    #[must_use]
    pub fn whole(mut self) -> Self {
        if let Some(c) = self.lacking() {
            self.columns.truncate(c);
            self.ends = self.ends[..c].into();
            self.patterns.clear();
        }
        self
    }

    /// Adds the cells in which a value may be to `into`, numbered among those of all columns, each with what it has there, and gives what it has
    /// elsewhere; of a missing value nothing, and 1.
    pub fn entries(&self, c: usize, v: f32, into: &mut Vec<(u32, f64)>) -> f64 {
        let first = self.stretch(c).start as u32;
        match &self.columns[c] {
            _ if v.is_nan() => 1.0,
            Cells::Names(_) => {
                into.push((first + v as u32, 1.0));
                0.0
            }
            Cells::Numbers(numbers) => {
                let (v, epsilon) = (f64::from(v), numbers.elsewhere[0]);
                let each = numbers.log_within(v).enumerate().filter(|(_, log)| log.is_finite());
                into.extend(each.map(|(i, log)| (first + i as u32, (1.0 - epsilon) * libm::exp(log))));
                epsilon * libm::exp(numbers.log_elsewhere(v))
            }
        }
    }

    /// log p of a value, nats, from the logarithms of the weights of its column's cells.
    pub fn log_prob(&self, c: usize, v: f32, log_cells: &[f64]) -> f64 {
        let Cells::Numbers(numbers) = &self.columns[c] else { return log_cells[v as usize] };
        let v = f64::from(v);
        let epsilon = numbers.elsewhere[0];
        let each: Vec<f64> =
            numbers.log_within(v).zip(log_cells).map(|(within, cell)| within + cell).collect();
        let seen = log_sum_exp(each.iter().copied());
        let elsewhere = libm::log(epsilon) + numbers.log_elsewhere(v);
        log_sum_exp([libm::log1p(-epsilon) + seen, elsewhere])
    }

    /// A value of a column whose cells have these weights.
    pub fn draw(&self, c: usize, cells: &[f64], rng: &mut Rng) -> f32 {
        match &self.columns[c] {
            Cells::Names(_) => rng.categorical(cells) as f32,
            Cells::Numbers(numbers) => {
                if rng.uniform_f64() < numbers.elsewhere[0] {
                    return numbers.elsewhere_at(rng.uniform_f64(), numbers.range()) as f32;
                }
                let cell = rng.categorical(cells);
                numbers.cells[cell].draw(numbers.whole, numbers.bounds[0], rng) as f32
            }
        }
    }

    /// The mean of a number, or the category that is most probable.
    pub fn expected(&self, c: usize, cells: &[f64]) -> f32 {
        match &self.columns[c] {
            Cells::Names(_) if self.bits => cells[1] as f32,
            Cells::Names(_) => {
                (0..cells.len()).fold(0, |best, i| if cells[i] > cells[best] { i } else { best }) as f32
            }
            Cells::Numbers(numbers) => {
                let part = |(cell, p): (&Cell, &f64)| cell.mean(numbers.bounds[0]) * p;
                let mean: f64 = numbers.cells.iter().zip(cells).map(part).sum();
                let epsilon = numbers.elsewhere[0];
                ((1.0 - epsilon) * mean + epsilon * numbers.mean_elsewhere()) as f32
            }
        }
    }

    /// Into a model's state.
    pub fn put(&self, state: &mut State) {
        for (c, cells) in self.columns.iter().enumerate() {
            let Cells::Numbers(numbers) = cells else { continue };
            let each = |cell: &Cell| [cell.low, cell.high, f64::from(u8::from(cell.smooth))];
            let ends: Vec<f64> = numbers.cells.iter().flat_map(each).collect();
            let law = [&numbers.elsewhere[..], &numbers.bounds].concat();
            state.tensors.insert(format!("cells.{c}"), Tensor::f64(&[numbers.cells.len(), 3], ends));
            state.tensors.insert(format!("elsewhere.{c}"), Tensor::f64(&[5], law));
        }
        if let Some(d) = self.lacking() {
            let bits: Vec<u64> = self.patterns.iter().flatten().map(|l| u64::from(*l)).collect();
            state.tensors.insert("patterns".into(), Tensor::u64(&[self.patterns.len(), d], bits));
        }
    }

    /// What [`put`](Self::put) put there, for these columns.
    ///
    /// # Errors
    /// [`Error::Run`] if there are no such cells.
    pub fn restore(state: &State, schema: &Schema) -> Result<Self> {
        let column = |c: usize| {
            let kind = schema.column(c).kind;
            Ok(match kind {
                Kind::Binary => Cells::Names(2),
                Kind::Category(names) => Cells::Names(names.len()),
                Kind::Whole { .. } | Kind::Real { .. } => {
                    Cells::Numbers(Numbers::restore(state, c, matches!(kind, Kind::Whole { .. }))?)
                }
            })
        };
        let columns = (0..schema.width()).map(column).collect::<Result<Vec<_>>>()?;
        let patterns = match state.tensors.get("patterns") {
            None => Vec::new(),
            Some(t) => {
                let shape = [t.shape.first().copied().unwrap_or(0), schema.width()];
                let bits = state.u64("patterns", &shape)?;
                bits.chunks_exact(schema.width().max(1))
                    .map(|p| p.iter().map(|l| *l != 0).collect())
                    .collect()
            }
        };
        Ok(Self::from(columns, schema, patterns))
    }
}

/// log p of a value that a column cannot hold, where −∞ would be read as that there is none.
const IMPOSSIBLE: f64 = -1e30;

/// Most patterns of missing cells that are known of.
const PATTERNS: usize = 64;

/// Which columns rows lack together, the commonest first; none where no row lacks one.
fn patterns(x: &Batch) -> Vec<Vec<bool>> {
    let mut counts: BTreeMap<Vec<bool>, usize> = BTreeMap::new();
    for row in x.iter() {
        *counts.entry(row.iter().map(|v| v.is_nan()).collect()).or_default() += 1;
    }
    if counts.keys().all(|lacks| !lacks.contains(&true)) {
        return Vec::new();
    }
    let mut all: Vec<(Vec<bool>, usize)> = counts.into_iter().collect();
    all.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
    all.truncate(PATTERNS);
    all.into_iter().map(|(lacks, _)| lacks).collect()
}

impl Numbers {
    fn restore(state: &State, c: usize, whole: bool) -> Result<Self> {
        let name = format!("cells.{c}");
        let n = state.tensors.get(&name).map_or(0, |t| t.shape.first().copied().unwrap_or(0));
        let cells: Vec<Cell> = state
            .f64(&name, &[n, 3])?
            .as_chunks::<3>()
            .0
            .iter()
            .map(|[low, high, smooth]| Cell { low: *low, high: *high, smooth: *smooth > 0.5 })
            .collect();
        let [epsilon, location, scale, least, most] = state.f64(&format!("elsewhere.{c}"), &[5])?[..] else {
            unreachable!("it has five values")
        };
        let numbers = Self { cells, whole, elsewhere: [epsilon, location, scale], bounds: [least, most] };
        let ascending = numbers.cells.windows(2).all(|w| w[0].middle() < w[1].middle());
        let sound = |cell: &Cell| {
            let wide = if whole { cell.low <= cell.high && !cell.smooth } else { cell.low < cell.high };
            wide && cell.low.is_finite() && cell.high.is_finite() && cell.middle() >= least
        };
        let [from, to] = numbers.held();
        let law = epsilon > 0.0 && epsilon < 1.0 && location.is_finite() && scale.is_finite() && scale > 0.0;
        if n > 0 && ascending && numbers.cells.iter().all(sound) && law && least <= most && to > from {
            return Ok(numbers);
        }
        let message =
            format!("tensors `{name}` and `elsewhere.{c}` are no law of numbers; the file is damaged");
        Err(Error::Run(message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use genus_core::Seed;

    fn one(kind: Kind, values: &[f32]) -> Vocabulary {
        let schema =
            Schema { columns: vec![Column::new("v", kind)], ..Schema::from(genus_core::Domain::real(1)) };
        Vocabulary::of(&schema, &Batch::new(values.to_vec(), 1).unwrap(), 100)
    }

    fn uniform(of: &Vocabulary) -> Vec<f64> {
        vec![-(of.cells() as f64).ln(); of.cells()]
    }

    /// Whole numbers: a probability each, which sum to 1, and draws follow them.
    #[test]
    fn whole_numbers_have_a_law() {
        let mut rng = Seed::from(1).rng();
        let few: Vec<f32> = (0..400).map(|i| [0.0, 3.0, 4.0, 90.0][i % 4]).collect();
        let many: Vec<f32> = (0..400).map(|_| (rng.uniform() * 5000.0).floor()).collect();
        let negative: Vec<f32> = (0..50).map(|i| (i % 7) as f32 - 20.0).collect();
        for values in [few, many, negative] {
            let (least, most) = (
                values.iter().fold(f32::MAX, |a, b| a.min(*b)),
                values.iter().fold(f32::MIN, |a, b| a.max(*b)),
            );
            let of = one(Kind::Whole { least: least as i64, most: most as i64 }, &values);
            let log_cells = uniform(&of);
            let total: f64 = (-60_000..60_000).map(|v| of.log_prob(0, v as f32, &log_cells).exp()).sum();
            assert!((total - 1.0).abs() < 1e-6, "{total}");
            let cells: Vec<f64> = log_cells.iter().map(|l| l.exp()).collect();
            let below = |limit: f32| {
                (-60_000..60_000)
                    .map(|v| v as f32)
                    .filter(|v| *v < limit)
                    .map(|v| of.log_prob(0, v, &log_cells).exp())
                    .sum::<f64>()
            };
            let n = 20_000;
            let draws: Vec<f32> = (0..n).map(|_| of.draw(0, &cells, &mut rng)).collect();
            for limit in [least, 0.25 * least + 0.75 * most, most] {
                let (want, got) =
                    (below(limit), draws.iter().filter(|v| **v < limit).count() as f64 / f64::from(n));
                // Five standard errors: false alarm 6e-7 for each.
                let off = 5.0 * (want * (1.0 - want) / f64::from(n)).sqrt() + 1e-4;
                assert!((want - got).abs() < off, "below {limit}: {got}, not {want}");
            }
        }
    }

    /// Real numbers: a density that integrates to 1, draws that follow it, and no more than one over the last digit where values repeat.
    #[test]
    fn real_numbers_have_a_density() {
        let mut rng = Seed::from(2).rng();
        let smooth: Vec<f32> = (0..500).map(|_| rng.normal() as f32).collect();
        let spiked: Vec<f32> = (0..500)
            .map(|i| if i % 2 == 0 { 0.0 } else { (rng.uniform() * 900.0 + 100.0).round() / 100.0 })
            .collect();
        for (kind, values) in [(Kind::REAL, smooth), (Kind::Real { decimals: Some(2) }, spiked)] {
            let of = one(kind, &values);
            let log_cells = uniform(&of);
            let (from, to, n) = (-40.0, 40.0, 800_000);
            let step = (to - from) / f64::from(n);
            let at = |i: i32| (from + step * (f64::from(i) + 0.5)) as f32;
            let total: f64 = (0..n).map(|i| of.log_prob(0, at(i), &log_cells).exp()).sum::<f64>() * step;
            assert!((total - 1.0).abs() < 2e-3, "{total}");
            let cells: Vec<f64> = log_cells.iter().map(|l| l.exp()).collect();
            let draws: Vec<f64> = (0..20_000).map(|_| f64::from(of.draw(0, &cells, &mut rng))).collect();
            let mean = draws.iter().sum::<f64>() / draws.len() as f64;
            let deviation =
                (draws.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / draws.len() as f64).sqrt();
            let off = 5.0 * deviation / (draws.len() as f64).sqrt();
            assert!((mean - f64::from(of.expected(0, &cells))).abs() < off, "{mean}");
        }
        let of = one(Kind::Real { decimals: Some(2) }, &[1.25; 50]);
        assert!(of.log_prob(0, 1.25, &[0.0]) <= 100f64.ln());
    }

    /// What lies between training values is there, and the nearest cell stands for it.
    #[test]
    fn values_between_cells() {
        let of =
            one(Kind::Whole { least: 0, most: 90 }, &[0.0, 0.0, 40.0, 40.0, 42.0, 42.0, 90.0, 90.0, 0.0]);
        assert_eq!(
            [0.0, 39.0, 40.0, 42.0, 55.0, 80.0, 200.0].map(|v| of.place(0, v).unwrap().0),
            [0, 1, 1, 2, 2, 3, 3]
        );
        let log_cells = uniform(&of);
        assert!(of.log_prob(0, 41.0, &log_cells) < of.log_prob(0, 40.0, &log_cells) - 2.0);
        assert!(of.log_prob(0, 41.0, &log_cells).is_finite() && of.place(0, f32::NAN).is_none());
        assert_eq!(of.log_prob(0, -1.0, &log_cells), f64::NEG_INFINITY);
    }
}
