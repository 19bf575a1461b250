//! A table of synthetic rows beside the real one: what a report of their quality shows.
//!
//! Shapes of columns and trends of pairs are those of [`Columns`]; the figures of whole rows those of [`Sides`]. How near synthetic rows come to
//! those that they were made of is a check of similarity, not a guarantee of privacy: who guesses from the distance to the nearest synthetic row
//! whether a row was among the training rows should be right no more often than by chance.

use crate::detection::detection;
use crate::distances::centred;
use crate::panel::{Cell, Named};
use crate::sample_metrics::columns::Columns;
use crate::sample_metrics::copying::nearest;
use crate::sample_metrics::space::Space;
use crate::sample_metrics::{LEAST, Sides, Which};
use crate::{Batch, Column, Exhibit, Figure, Kind, Panel, Result, Schema, Seed, Split, Stop};

/// The rows that are compared; they may lack values.
#[derive(Debug, Clone, Copy)]
pub struct Tables<'a> {
    /// What rows are.
    pub schema: &'a Schema,
    /// Real rows that synthetic ones were made of.
    pub train: &'a Split,
    /// Real rows that nobody saw who made synthetic ones; none if all were seen.
    pub held_out: Option<&'a Split>,
    /// Synthetic rows.
    pub synthetic: &'a Split,
}

/// What was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Quality {
    /// The figures, with their floors in words.
    pub figures: Vec<Figure>,
    /// The sections of a report.
    pub exhibits: Vec<Exhibit>,
}

/// Most columns and pairs that are shown one by one.
const SHOWN: usize = 24;
/// Most categories of a column that are shown.
const CATEGORIES: usize = 12;
/// Most rows whose neighbours are looked for.
const ROWS: usize = 10_000;

fn text(words: impl Into<String>) -> Cell {
    Cell::Text(words.into())
}

fn head(names: &[&str]) -> Vec<String> {
    names.iter().map(|n| (*n).to_owned()).collect()
}

fn share(n: usize, of: usize) -> f64 {
    n as f64 / of.max(1) as f64
}

impl Tables<'_> {
    /// Compares.
    ///
    /// # Errors
    /// [`Error::Stopped`](crate::Error::Stopped).
    pub fn quality(&self, seed: Seed) -> Result<Quality> {
        let real = self.held_out.unwrap_or(self.train);
        let columns = Columns::compare(self.schema, &real.x, &self.synthetic.x)?;
        let floor =
            self.held_out.map(|_| Columns::compare(self.schema, &real.x, &self.train.x)).transpose()?;
        let beside = |f: Option<f64>| {
            f.map_or("1 is best".to_owned(), |f| format!("1 is best, training rows have {f:.4}"))
        };
        let mut figures = vec![
            Figure::new("quality", columns.quality(), beside(floor.as_ref().map(Columns::quality))),
            Figure::new("column shapes", columns.shape(), beside(floor.as_ref().map(Columns::shape))),
            Figure::new("pair trends", columns.trend(), beside(floor.as_ref().map(Columns::trend))),
        ];
        figures.retain(|f| f.value.is_finite());
        let mut exhibits = Vec::new();
        exhibits.extend(self.whole_rows(seed, &mut figures)?);
        exhibits.push(self.by_column(real, &columns, floor.as_ref()));
        exhibits.extend(self.by_pair(real, &columns));
        exhibits.push(self.validity(&mut figures));
        exhibits.extend(self.missing(real));
        exhibits.extend(self.similarity(seed, &mut figures)?);
        Ok(Quality { figures, exhibits })
    }

    fn column(&self, c: usize) -> Column {
        self.schema.column(c)
    }

    /// Rows that lack nothing, some of them.
    fn whole(split: &Split, most: usize, seed: Seed) -> Split {
        let mut rows: Vec<usize> =
            (0..split.x.rows()).filter(|r| !split.x.row(*r).iter().any(|v| v.is_nan())).collect();
        seed.rng().shuffle(&mut rows);
        rows.truncate(most);
        split.select(&rows)
    }

    /// Figures of whole rows.
    fn whole_rows(&self, seed: Seed, figures: &mut Vec<Figure>) -> Result<Option<Exhibit>> {
        let part = |split: &Split, name: &str| Self::whole(split, ROWS, seed.child(name));
        let synthetic = part(self.synthetic, "synthetic");
        let (held_out, train) = match self.held_out {
            Some(held_out) => (part(held_out, "held out"), part(self.train, "train")),
            None => {
                let all = part(self.train, "train");
                let half = all.x.rows() / 2;
                let rows: Vec<usize> = (0..all.x.rows()).collect();
                (all.select(&rows[..half]), all.select(&rows[half..]))
            }
        };
        let sides = Sides { schema: self.schema, held_out: &held_out, train: &train, binarized: false };
        if sides.rows(synthetic.x.rows()) < LEAST {
            return Ok(None);
        }
        let found = sides.compare(&synthetic, Which::All, seed, &mut |_, _| ())?;
        let line = |m: &crate::sample_metrics::SampleMetric| {
            let floor = m.floor.map_or(text(""), Cell::Number);
            vec![text(&m.name), Cell::Number(m.value), floor, text(&m.protocol)]
        };
        let rows = found.iter().filter(|m| !figures.iter().any(|f| f.name == m.name)).map(line).collect();
        for m in &found {
            if !figures.iter().any(|f| f.name == m.name) {
                let floor = m.floor.map_or(String::new(), |f| format!("where real rows have {f:.4}, "));
                figures.push(Figure::new(&m.name, m.value, format!("{floor}{} rows each", m.rows)));
            }
        }
        let table = Panel::Table {
            title: String::new(),
            head: head(&["figure", "synthetic rows", "real rows", "what it is"]),
            rows,
        };
        let words =
            "Of whole rows, in equal numbers. Real rows in place of synthetic ones show what can be reached.";
        Ok(Some(Exhibit::new("rows", "Rows", words, vec![table])))
    }

    /// Shape of each column, the worst first.
    fn by_column(&self, real: &Split, columns: &Columns, floor: Option<&Columns>) -> Exhibit {
        let d = self.schema.width();
        let mut order: Vec<usize> = (0..d).collect();
        let worth = |c: usize| columns.shapes[c].unwrap_or(f64::INFINITY);
        order.sort_by(|a, b| worth(*a).total_cmp(&worth(*b)));
        let number = |v: Option<f64>| v.map_or(text("–"), Cell::Number);
        let line = |c: &usize| {
            let mut cells =
                vec![text(self.column(*c).name), text(self.column(*c).what()), number(columns.shapes[*c])];
            cells.extend(floor.map(|f| number(f.shapes[*c])));
            cells
        };
        let mut names = vec!["column", "kind", "shape"];
        names.extend(floor.map(|_| "training rows"));
        let table = Panel::Table {
            title: "The worst first".into(),
            head: head(&names),
            rows: order.iter().map(line).collect(),
        };
        let mut panels = vec![table];
        for c in order.iter().take(SHOWN) {
            panels.extend(self.shown(real, *c));
        }
        let words = "How well each column by itself is met: 1 less the largest distance of both distribution functions, or less half of the sum of the distances of shares; 1 is best.";
        Exhibit::new("columns", "Columns", words, panels)
    }

    /// Both laws of a column.
    fn shown(&self, real: &Split, c: usize) -> Option<Panel> {
        let column = self.column(c);
        let values = |split: &Split| -> Vec<f64> {
            split.x.iter().map(|row| f64::from(row[c])).filter(|v| !v.is_nan()).collect()
        };
        let (own, other) = (values(real), values(self.synthetic));
        if own.is_empty() || other.is_empty() {
            return None;
        }
        let counted: Vec<f32> = match &column.kind {
            Kind::Category(names) => (0..names.len()).map(|i| i as f32).collect(),
            Kind::Binary => vec![0.0, 1.0],
            Kind::Whole { least, most } if most - least < CATEGORIES as i64 => {
                (*least..=*most).map(|v| (v as f64 - column.origin) as f32).collect()
            }
            Kind::Whole { .. } | Kind::Real { .. } => {
                let moved = |v: Vec<f64>| v.into_iter().map(|v| v + column.origin).collect::<Vec<f64>>();
                return Some(Panel::Bars {
                    title: column.name.clone(),
                    unit: column.what(),
                    sets: vec![Named::new("real", moved(own)), Named::new("synthetic", moved(other))],
                    large: false,
                    note: String::new(),
                });
            }
        };
        let of = |v: &[f64], at: f32| share(v.iter().filter(|x| **x == f64::from(at)).count(), v.len());
        let mut lines: Vec<(f64, f64, f32)> =
            counted.iter().map(|v| (of(&own, *v), of(&other, *v), *v)).collect();
        lines.sort_by(|a, b| (b.0 - b.1).abs().total_cmp(&(a.0 - a.1).abs()));
        lines.truncate(CATEGORIES);
        let line =
            |(a, b, v): &(f64, f64, f32)| vec![text(column.text(*v)), Cell::Share(*a), Cell::Share(*b)];
        Some(Panel::Table {
            title: format!("{}: shares, the farthest apart first", column.name),
            head: head(&["value", "real", "synthetic"]),
            rows: lines.iter().map(line).collect(),
        })
    }

    /// Trends of pairs, the worst first, and correlations side by side.
    fn by_pair(&self, real: &Split, columns: &Columns) -> Option<Exhibit> {
        if columns.pairs.is_empty() {
            return None;
        }
        let mut pairs: Vec<&([usize; 2], Option<f64>)> =
            columns.pairs.iter().filter(|p| p.1.is_some()).collect();
        pairs.sort_by(|a, b| a.1.unwrap_or(1.0).total_cmp(&b.1.unwrap_or(1.0)));
        let line = |([a, b], v): &&([usize; 2], Option<f64>)| {
            vec![text(self.column(*a).name), text(self.column(*b).name), Cell::Number(v.unwrap_or(f64::NAN))]
        };
        let table = Panel::Table {
            title: "The worst first".into(),
            head: head(&["column", "other column", "trend"]),
            rows: pairs.iter().take(SHOWN).map(line).collect(),
        };
        let mut panels = vec![table];
        let numbers: Vec<usize> = (0..self.schema.width())
            .filter(|c| matches!(self.column(*c).kind, Kind::Whole { .. } | Kind::Real { .. } | Kind::Binary))
            .collect();
        let n = numbers.len();
        if (3..=100).contains(&n) {
            for (title, x) in [("Real rows", &real.x), ("Synthetic rows", &self.synthetic.x)] {
                let values = correlations(x, &numbers);
                let frame = [(0.5, n as f64 + 0.5); 2];
                panels.push(Panel::Heat {
                    title: title.into(),
                    axes: ["column of numbers".into(), "column of numbers".into()],
                    frame,
                    values: crate::Tensor::f64(&[n, n], values),
                    depth: 1.0,
                    unit: "size of the correlation".into(),
                });
            }
        }
        let words = "How well columns go together: 1 less half of the distance of correlations, or of the shares of pairs of values; 1 is best. Correlations are in the order of the columns.";
        Some(Exhibit::new("pairs", "Pairs of columns", words, panels))
    }

    /// Whether synthetic values are such as the columns hold.
    fn validity(&self, figures: &mut Vec<Figure>) -> Exhibit {
        let n = self.synthetic.x.rows();
        let mut wrong_at_all = 0;
        let mut rows = Vec::new();
        for c in 0..self.schema.width() {
            let column = self.column(c);
            let own = || self.train.x.iter().map(|row| row[c]).filter(|v| !v.is_nan());
            let (low, high) = (own().fold(f32::INFINITY, f32::min), own().fold(f32::NEG_INFINITY, f32::max));
            let there = || self.synthetic.x.iter().map(|row| row[c]).filter(|v| !v.is_nan());
            let wrong = there().filter(|v| !column.kind.admits(*v)).count();
            let outside = there().filter(|v| *v < low || *v > high).count();
            wrong_at_all += wrong;
            rows.push(vec![text(column.name), Cell::Share(share(wrong, n)), Cell::Share(share(outside, n))]);
        }
        let cells = n * self.schema.width();
        figures.push(Figure::new(
            "valid cells",
            1.0 - share(wrong_at_all, cells),
            format!("share of {cells} cells that are of their column's kind"),
        ));
        let table = Panel::Table {
            title: String::new(),
            head: head(&["column", "not of its kind", "beyond the training rows"]),
            rows,
        };
        let words = "Shares of synthetic rows whose value is none of its column's kind, and of those beyond the least and largest of the training rows, which may be right.";
        Exhibit::new("validity", "Validity", words, vec![table])
    }

    /// Shares of missing cells, where there are any.
    fn missing(&self, real: &Split) -> Option<Exhibit> {
        let lacks = |split: &Split, c: usize| {
            share(split.x.iter().filter(|row| row[c].is_nan()).count(), split.x.rows())
        };
        let shares: Vec<(usize, f64, f64)> =
            (0..self.schema.width()).map(|c| (c, lacks(real, c), lacks(self.synthetic, c))).collect();
        let line = |(c, a, b): &(usize, f64, f64)| {
            vec![text(self.column(*c).name), Cell::Share(*a), Cell::Share(*b)]
        };
        let rows: Vec<Vec<Cell>> = shares.iter().filter(|(_, a, b)| a + b > 0.0).map(line).collect();
        if rows.is_empty() {
            return None;
        }
        let mut patterns: std::collections::BTreeMap<Vec<bool>, [usize; 2]> =
            std::collections::BTreeMap::new();
        for (side, split) in [real, self.synthetic].into_iter().enumerate() {
            for row in split.x.iter() {
                patterns.entry(row.iter().map(|v| v.is_nan()).collect()).or_default()[side] += 1;
            }
        }
        let [m, n] = [real, self.synthetic].map(|s| s.x.rows());
        let mut ways: Vec<(Vec<bool>, f64, f64)> =
            patterns.into_iter().map(|(p, [a, b])| (p, share(a, m), share(b, n))).collect();
        ways.sort_by(|a, b| b.1.max(b.2).total_cmp(&a.1.max(a.2)));
        let apart = 0.5 * ways.iter().map(|(_, a, b)| (a - b).abs()).sum::<f64>();
        ways.truncate(CATEGORIES);
        let named = |p: &Vec<bool>| match p.contains(&true) {
            true => p
                .iter()
                .enumerate()
                .filter(|(_, l)| **l)
                .map(|(c, _)| self.column(c).name)
                .collect::<Vec<_>>()
                .join(", "),
            false => "nothing".into(),
        };
        let line = |(p, a, b): &(Vec<bool>, f64, f64)| vec![text(named(p)), Cell::Share(*a), Cell::Share(*b)];
        let panels = vec![
            Panel::Table {
                title: "Missing cells".into(),
                head: head(&["column", "real", "synthetic"]),
                rows,
            },
            Panel::Table {
                title: "What rows lack together".into(),
                head: head(&["lacking", "real", "synthetic"]),
                rows: ways.iter().map(line).collect(),
            },
        ];
        let words = format!(
            "Whether cells are missing as often and as much together. The shares of all ways are {apart:.3} apart (total variation; 0 is best)."
        );
        Some(Exhibit::new("missing", "Missing values", words, panels))
    }

    /// How near synthetic rows come to real ones.
    fn similarity(&self, seed: Seed, figures: &mut Vec<Figure>) -> Result<Option<Exhibit>> {
        Stop::current().check()?;
        let part = |split: &Split, name: &str| Self::whole(split, ROWS, seed.child(name)).x;
        let (train, synthetic) = (part(self.train, "members"), part(self.synthetic, "synthetic"));
        if train.rows() < LEAST || synthetic.rows() < LEAST {
            return Ok(None);
        }
        let space = Space::rows(self.schema, &train);
        let points = |x: &Batch| space.points(self.schema, x);
        let (near, drawn) = (points(&train)?, points(&synthetic)?);
        let root = |v: Vec<f32>| v.into_iter().map(|v| f64::from(v.max(0.0)).sqrt()).collect::<Vec<f64>>();
        let [from, to] = &centred(&drawn, &near);
        let closest = root(nearest(from, to)?);
        let mut sets = vec![Named::new("synthetic", closest)];
        let mut words = "Distances to the nearest training row, in units of deviations, different categories 1 apart. This is a check of similarity, not a guarantee of privacy.".to_owned();
        if let Some(held_out) = self.held_out {
            let held_out = part(held_out, "others");
            if held_out.rows() >= LEAST {
                let others = points(&held_out)?;
                let [a, b] = &centred(&others, &near);
                sets.insert(0, Named::new("held-out rows", root(nearest(a, b)?)));
                // The guess: rows near a synthetic one were among the training rows.
                let [a, b] = &centred(&near, &drawn);
                let members = root(nearest(a, b)?);
                let [a, b] = &centred(&others, &drawn);
                let strangers = root(nearest(a, b)?);
                let all: Vec<f64> = members.iter().chain(&strangers).copied().collect();
                let own: Vec<bool> = (0..all.len()).map(|i| i < members.len()).collect();
                let attack = detection(&all, &own)?;
                let mut sorted = strangers.clone();
                sorted.sort_by(f64::total_cmp);
                let bound = sorted[sorted.len() / 100];
                let caught = share(members.iter().filter(|d| **d < bound).count(), members.len());
                figures.push(Figure::new("membership, area under the curve", attack.roc_auc, format!("± {:.3}; ½ if training rows cannot be told from others by how near a synthetic row is", attack.stderr)));
                figures.push(Figure::new(
                    "membership, caught at 1 % false alarms",
                    caught,
                    "share of training rows; 0.01 by chance",
                ));
                words += &format!(
                    " Who takes rows near a synthetic one for training rows is right with an area under the curve of {:.3} ± {:.3} (½ by chance), and catches {:.1} % of them where 1 % of the others are taken for such.",
                    attack.roc_auc,
                    attack.stderr,
                    100.0 * caught
                );
            }
        }
        let panel = Panel::Bars {
            title: "Distance to the nearest training row".into(),
            unit: "deviations".into(),
            sets,
            large: true,
            note: String::new(),
        };
        Ok(Some(Exhibit::new("similarity", "Similarity to training rows", words, vec![panel])))
    }
}

/// Sizes of the correlations of columns, over rows that have both; 0 of one that is constant.
fn correlations(x: &Batch, columns: &[usize]) -> Vec<f64> {
    let of = |a: usize, b: usize| {
        let both: Vec<(f64, f64)> = x
            .iter()
            .map(|row| (f64::from(row[a]), f64::from(row[b])))
            .filter(|(a, b)| !a.is_nan() && !b.is_nan())
            .collect();
        let n = both.len() as f64;
        let mean = both.iter().fold((0.0, 0.0), |m, (a, b)| (m.0 + a / n, m.1 + b / n));
        let sum =
            |f: &dyn Fn(f64, f64) -> f64| both.iter().map(|(a, b)| f(a - mean.0, b - mean.1)).sum::<f64>();
        let r = sum(&|a, b| a * b) / (sum(&|a, _| a * a) * sum(&|_, b| b * b)).sqrt();
        if r.is_finite() { r.abs().min(1.0) } else { 0.0 }
    };
    columns.iter().flat_map(|a| columns.iter().map(move |b| (*a, *b))).map(|(a, b)| of(a, b)).collect()
}
