//! What a report shows of a model: exhibits, each a section of typed panels. Whoever renders them knows panels and no model.
//!
//! An array of a panel is a [`Tensor`] in memory. In a file it is the name of one, so that `exhibits.safetensors` can be read by
//! other programs: its header lists the exhibits, and the arrays stand beside it.

use crate::{Batch, Error, Result, State, Tensor};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// A section: a heading, a sentence and what is shown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Exhibit<A = Tensor> {
    /// Short name, which is also the anchor of the section: `samples`.
    pub name: String,
    /// Heading.
    pub title: String,
    /// What is shown and how to read it.
    pub text: String,
    /// The panels in order.
    pub panels: Vec<Panel<A>>,
}

/// An array with its name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Named<A = Tensor> {
    /// The name, for a legend or a heading.
    pub name: String,
    /// The array.
    pub values: A,
}

/// A number for each row.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Notes<A = Tensor> {
    /// What they are: `Nats`.
    pub label: String,
    /// One per row, `[n]`.
    pub values: A,
}

/// Which values are black and white.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Shade {
    /// The ends of the range of the data.
    #[default]
    Data,
    /// Grey is zero, and the ends lie as far below as above: for weights.
    Signed,
}

/// A cell of a table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Cell {
    /// Words.
    Text(String),
    /// A number.
    Number(#[serde(with = "crate::number")] f64),
    /// A share of one, which is shown per cent and as a bar.
    Share(#[serde(with = "crate::number")] f64),
}

/// From and to, on both axes.
pub type Frame = [(f64, f64); 2];

/// Something to be shown. Rows of the data's domain are shown as what they are: images, or lines of a table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Panel<A = Tensor> {
    /// Rows in sets: a sheet of images for each, or one table.
    Rows {
        /// Heading; a set's own name takes its place where there are several.
        title: String,
        /// What a set is, where there are several: `Class`.
        each: String,
        /// `[n, d]` each.
        sets: Vec<Named<A>>,
        /// Images in a line; as many as make a square if none.
        per_line: Option<usize>,
        /// A number under each row, if there is one set.
        notes: Option<Notes<A>>,
        /// What is black and white.
        shade: Shade,
    },
    /// Rows above one another.
    Pairs {
        /// `[n, d]`.
        upper: Named<A>,
        /// `[n, d]`.
        lower: Named<A>,
        /// A number under each pair.
        notes: Option<Notes<A>>,
    },
    /// Rows that follow one another, a line for each path.
    Paths {
        /// Heading.
        title: String,
        /// Remark.
        caption: String,
        /// `[paths, steps, d]`.
        paths: A,
        /// Rows of a plane that the paths lead through, `[n, 2]`.
        through: Option<A>,
    },
    /// Images that come to be value by value.
    Film {
        /// `[n, d]`.
        rows: A,
        /// The order of the values, `[d]`, unsigned.
        order: A,
        /// Values from 0 up to this, exclusive.
        levels: usize,
    },
    /// The same rows at several times, one after the other in the same place.
    Frames {
        /// Heading.
        title: String,
        /// `[n, d]` each, with what they are called.
        frames: Vec<Named<A>>,
    },
    /// Points of a plane in groups.
    Cloud {
        /// Heading.
        title: String,
        /// Names of the axes.
        axes: [String; 2],
        /// What is shown of the plane; all if none.
        frame: Option<Frame>,
        /// `[n, 2]` each; names are shown where there are several.
        groups: Vec<Named<A>>,
        /// Number of the first group's colour, so that neighbours can differ.
        colour: usize,
    },
    /// Lines over a common axis.
    Lines {
        /// Heading.
        title: String,
        /// Names of the axes.
        axes: [String; 2],
        /// Points of each, `[n, 2]`.
        lines: Vec<Named<A>>,
    },
    /// Means with intervals over an axis of orders of magnitude.
    Trends {
        /// Heading.
        title: String,
        /// Names of the axes.
        axes: [String; 2],
        /// Place above 0, mean and half-width of the interval of each point, `[n, 3]`.
        lines: Vec<Named<A>>,
    },
    /// Histograms of values on common bins.
    Bars {
        /// Heading.
        title: String,
        /// Unit of the values.
        unit: String,
        /// `[n]` each; the first is the ground, the others are outlines.
        sets: Vec<Named<A>>,
        /// Whether it is the main thing of its exhibit rather than one of many.
        large: bool,
        /// Remark.
        note: String,
    },
    /// A function over a plane.
    Heat {
        /// Heading.
        title: String,
        /// Names of the axes.
        axes: [String; 2],
        /// Where it is.
        frame: Frame,
        /// `[lines, columns]`, the lowest line first.
        values: A,
        /// How far below the maximum colours end.
        depth: f64,
        /// What is measured, with its unit.
        unit: String,
    },
    /// A size for each pixel of an image, seen from one of them, on a scale of orders of magnitude.
    Pixels {
        /// `[height · width]` each; what is zero has no colour.
        maps: Vec<Named<A>>,
        /// The pixel of each map from which it is seen.
        marked: Vec<usize>,
        /// Words under each.
        notes: Vec<String>,
        /// What is measured.
        unit: String,
    },
    /// A table.
    Table {
        /// Caption.
        title: String,
        /// Headings of the columns.
        head: Vec<String>,
        /// The rows.
        rows: Vec<Vec<Cell>>,
    },
}

impl Panel {
    /// Rows in one set.
    pub fn rows(title: impl Into<String>, rows: &Batch) -> Self {
        let title = title.into();
        Self::Rows {
            sets: vec![Named::new(title.clone(), rows)],
            title,
            each: String::new(),
            per_line: None,
            notes: None,
            shade: Shade::Data,
        }
    }

    /// Whether JSON can hold its numbers.
    fn is_finite(&self) -> bool {
        let within = |frame: &Frame| frame.iter().all(|(lo, hi)| lo.is_finite() && hi.is_finite());
        match self {
            Self::Cloud { frame, .. } => frame.as_ref().is_none_or(within),
            Self::Heat { frame, depth, .. } => within(frame) && depth.is_finite(),
            _ => true,
        }
    }
}

impl Named {
    /// An array with a name.
    pub fn new(name: impl Into<String>, values: impl Into<Tensor>) -> Self {
        Self { name: name.into(), values: values.into() }
    }
}

impl From<&Batch> for Tensor {
    fn from(x: &Batch) -> Self {
        Self::f32(&[x.rows(), x.width()], x.data().to_vec())
    }
}

impl From<Vec<f64>> for Tensor {
    fn from(v: Vec<f64>) -> Self {
        Self::f64(&[v.len()], v)
    }
}

impl From<Vec<(f64, f64)>> for Tensor {
    fn from(points: Vec<(f64, f64)>) -> Self {
        Self::f64(&[points.len(), 2], points.into_iter().flat_map(|(x, y)| [x, y]).collect())
    }
}

impl Exhibit {
    /// An exhibit of one or more panels.
    pub fn new(
        name: impl Into<String>,
        title: impl Into<String>,
        text: impl Into<String>,
        panels: Vec<Panel>,
    ) -> Self {
        Self { name: name.into(), title: title.into(), text: text.into(), panels }
    }
}

impl<A> Panel<A> {
    /// The same of other arrays.
    fn map<B>(self, f: &mut impl FnMut(A) -> Result<B>) -> Result<Panel<B>> {
        fn one<A, B>(of: Named<A>, f: &mut impl FnMut(A) -> Result<B>) -> Result<Named<B>> {
            Ok(Named { name: of.name, values: f(of.values)? })
        }
        fn noted<A, B>(of: Option<Notes<A>>, f: &mut impl FnMut(A) -> Result<B>) -> Result<Option<Notes<B>>> {
            of.map(|Notes { label, values }| Ok(Notes { label, values: f(values)? })).transpose()
        }
        let each = |all: Vec<Named<A>>, f: &mut _| all.into_iter().map(|n| one(n, f)).collect::<Result<_>>();
        Ok(match self {
            Self::Rows { title, each: what, sets, per_line, notes, shade } => {
                let sets = each(sets, f)?;
                Panel::Rows { title, each: what, sets, per_line, notes: noted(notes, f)?, shade }
            }
            Self::Pairs { upper, lower, notes } => {
                Panel::Pairs { upper: one(upper, f)?, lower: one(lower, f)?, notes: noted(notes, f)? }
            }
            Self::Paths { title, caption, paths, through } => {
                Panel::Paths { title, caption, paths: f(paths)?, through: through.map(&mut *f).transpose()? }
            }
            Self::Film { rows, order, levels } => Panel::Film { rows: f(rows)?, order: f(order)?, levels },
            Self::Frames { title, frames } => Panel::Frames { title, frames: each(frames, f)? },
            Self::Cloud { title, axes, frame, groups, colour } => {
                Panel::Cloud { title, axes, frame, groups: each(groups, f)?, colour }
            }
            Self::Lines { title, axes, lines } => Panel::Lines { title, axes, lines: each(lines, f)? },
            Self::Trends { title, axes, lines } => Panel::Trends { title, axes, lines: each(lines, f)? },
            Self::Bars { title, unit, sets, large, note } => {
                Panel::Bars { title, unit, sets: each(sets, f)?, large, note }
            }
            Self::Heat { title, axes, frame, values, depth, unit } => {
                Panel::Heat { title, axes, frame, values: f(values)?, depth, unit }
            }
            Self::Pixels { maps, marked, notes, unit } => {
                Panel::Pixels { maps: each(maps, f)?, marked, notes, unit }
            }
            Self::Table { title, head, rows } => Panel::Table { title, head, rows },
        })
    }
}

impl<A> Exhibit<A> {
    fn map<B>(self, f: &mut impl FnMut(A) -> Result<B>) -> Result<Exhibit<B>> {
        let Self { name, title, text, panels } = self;
        let panels = panels.into_iter().map(|p| p.map(f)).collect::<Result<_>>()?;
        Ok(Exhibit { name, title, text, panels })
    }
}

/// Key of the list in the header of a file.
const LIST: &str = "exhibits";

/// Exhibits as one file. Arrays are called after their exhibits: `samples.0`, `samples.1` …; a name that is taken gets a number. A panel
/// with a frame that is not finite is left out.
///
/// # Errors
/// If a panel holds what JSON cannot.
pub fn to_state(exhibits: Vec<Exhibit>) -> Result<State> {
    let (mut state, mut taken) = (State::default(), BTreeSet::new());
    let mut list: Vec<Exhibit<String>> = Vec::new();
    for mut exhibit in exhibits {
        let name = exhibit.name.clone();
        let mut again = 2;
        while !taken.insert(exhibit.name.clone()) {
            exhibit.name = format!("{name}-{again}");
            again += 1;
        }
        exhibit.panels.retain(Panel::is_finite);
        let (name, mut count) = (exhibit.name.clone(), 0);
        list.push(exhibit.map(&mut |tensor| {
            let key = format!("{name}.{count}");
            count += 1;
            state.tensors.insert(key.clone(), tensor);
            Ok(key)
        })?);
    }
    let json = serde_json::to_string(&list).map_err(|e| Error::Run(format!("cannot write exhibits: {e}")))?;
    state.header.insert(LIST.into(), json);
    Ok(state)
}

/// The exhibits in a file.
///
/// # Errors
/// [`Error::Run`] if it holds no list of exhibits or one that this version cannot read, or an array is missing.
pub fn from_state(mut state: State) -> Result<Vec<Exhibit>> {
    let other =
        |e: String| Error::Run(format!("the exhibits of this run are of another version of genus ({e})"));
    let list = state.header.get(LIST).ok_or_else(|| other("there is no list of them".into()))?;
    let list: Vec<Exhibit<String>> = serde_json::from_str(list).map_err(|e| other(e.to_string()))?;
    let mut take = |key: String| {
        let missing = || Error::Run(format!("the array `{key}` of an exhibit is missing"));
        state.tensors.remove(&key).ok_or_else(missing)
    };
    list.into_iter().map(|e| e.map(&mut take)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn everything() -> Vec<Exhibit> {
        let rows = Batch::from_fn(2, 3, |r, c| (3 * r + c) as f32);
        let plane = || Tensor::from(vec![(0.5, -1.0), (2.0, 3.0)]);
        let axes = || ["a".to_owned(), "b".to_owned()];
        let panels = vec![
            Panel::rows("some", &rows),
            Panel::Pairs {
                upper: Named::new("u", &rows),
                lower: Named::new("l", &rows),
                notes: Some(Notes { label: "Nats".into(), values: vec![1.0, f64::NAN].into() }),
            },
            Panel::Paths {
                title: "p".into(),
                caption: String::new(),
                paths: Tensor::f32(&[1, 2, 3], rows.data().to_vec()),
                through: Some(plane()),
            },
            Panel::Film { rows: (&rows).into(), order: Tensor::u64(&[3], vec![2, 0, 1]), levels: 2 },
            Panel::Frames { title: "f".into(), frames: vec![Named::new("1", &rows), Named::new("2", &rows)] },
            Panel::Cloud {
                title: "c".into(),
                axes: axes(),
                frame: None,
                groups: vec![Named::new("g", plane())],
                colour: 1,
            },
            Panel::Lines { title: "l".into(), axes: axes(), lines: vec![Named::new("l", plane())] },
            Panel::Trends { title: "t".into(), axes: axes(), lines: vec![Named::new("t", plane())] },
            Panel::Bars {
                title: "b".into(),
                unit: "nats".into(),
                sets: vec![Named::new("s", vec![1.0, f64::NEG_INFINITY])],
                large: true,
                note: "n".into(),
            },
            Panel::Heat {
                title: "h".into(),
                axes: axes(),
                frame: [(0.0, 1.0), (-1.0, 1.0)],
                values: Tensor::f64(&[1, 2], vec![0.0, 1.0]),
                depth: 10.0,
                unit: "nats".into(),
            },
            Panel::Pixels {
                maps: vec![Named::new("m", vec![0.0, 0.1])],
                marked: vec![0],
                notes: vec!["one".into()],
                unit: "change".into(),
            },
            Panel::Table {
                title: "t".into(),
                head: vec!["what".into(), "value".into()],
                rows: vec![vec![Cell::Text("x".into()), Cell::Number(f64::NAN)], vec![Cell::Share(0.25)]],
            },
        ];
        let twin = Exhibit::new("one", "Another", "", vec![Panel::rows("others", &rows)]);
        vec![Exhibit::new("one", "One of each", "All that there is.", panels), twin]
    }

    /// Through the bytes of a file. Not-a-numbers are not equal, so that texts are compared too.
    #[test]
    fn every_panel_survives_a_file() {
        let state = to_state(everything()).unwrap();
        assert!(state.tensors.contains_key("one.0") && state.tensors.contains_key("one-2.0"));
        let bytes = state.to_bytes().unwrap();
        let back = from_state(State::from_bytes(&bytes, "x".as_ref()).unwrap()).unwrap();
        let mut told = everything();
        told[1].name = "one-2".into();
        assert_eq!(format!("{back:?}"), format!("{told:?}"));
    }

    #[test]
    fn a_frame_that_is_not_finite_is_left_out() {
        let cloud = |frame| Panel::Cloud {
            title: "c".into(),
            axes: ["a".into(), "b".into()],
            frame: Some(frame),
            groups: vec![Named::new("g", vec![(0.0, 1.0)])],
            colour: 0,
        };
        let panels = vec![cloud([(0.0, 1.0), (0.0, f64::INFINITY)]), cloud([(0.0, 1.0), (0.0, 1.0)])];
        let state = to_state(vec![Exhibit::new("x", "", "", panels)]).unwrap();
        assert_eq!(from_state(state).unwrap()[0].panels.len(), 1);
    }

    #[test]
    fn what_is_missing_is_said() {
        let mut state = to_state(everything()).unwrap();
        state.tensors.remove("one.3");
        assert!(from_state(state.clone()).unwrap_err().to_string().contains("`one.3`"));
        state.header.insert(LIST.into(), "[{\"name\": 1}]".into());
        assert!(from_state(state.clone()).unwrap_err().to_string().contains("another version"));
        state.header.clear();
        assert!(from_state(state).is_err());
    }
}
