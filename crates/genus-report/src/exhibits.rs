//! The parts of a report that show rows: samples, neighbours, reconstructions, interpolations, latent codes,
//! scores.

use crate::block::{Block, Cell, Chart, Entry, Ramp, Section};
use crate::charts;
use crate::look::{Kind, Look, Rows, vector};
use crate::picture::{self, Picture};
use crate::scale::{Bins, extent, nats, outside, padded, short};
use crate::svg::{Axis, Series};
use genus_core::{Result, State};

/// Most images of a grid.
const IMAGES: usize = 64;
/// Most points of a cloud.
const POINTS: usize = 2000;
/// Most histograms of columns.
const HISTOGRAMS: usize = 24;
/// Depth of the map of a log-density below its maximum, nats.
const DEPTH: f64 = 10.0;

/// A section, if there is something in it.
pub(crate) fn section(id: &'static str, title: &str, intro: &str, blocks: Vec<Block>) -> Option<Section> {
    let (title, intro) = (title.to_owned(), intro.to_owned());
    (!blocks.is_empty()).then_some(Section { id, title, intro, blocks })
}

/// Samples beside real rows.
pub(crate) fn samples(look: &Look<'_>, state: &State) -> Result<Option<Section>> {
    let sets: Vec<(&str, Rows<'_>)> = [("Samples", "samples"), ("Real rows", "real")]
        .into_iter()
        .filter_map(|(title, name)| Some((title, Rows::of(state, name)?)))
        .collect();
    let Some(&(_, Rows { d, .. })) = sets.first() else { return Ok(None) };
    let sets: Vec<_> = sets.into_iter().filter(|(_, rows)| rows.d == d).collect();
    let blocks = match look.kind(d) {
        Kind::Image(pixels) => {
            let mut pictures = Vec::new();
            for (title, rows) in &sets {
                let shown = rows.first(IMAGES);
                let alt = format!("{title}: a grid of {} images", shown.len());
                let columns = (shown.len() as f64).sqrt().ceil() as usize;
                let grid = look.grid(&shown, pixels, columns, alt, String::new())?;
                pictures.push(Picture { title: (*title).to_owned(), ..grid });
            }
            vec![Block::Pictures(pictures)]
        }
        Kind::Plane => plane(look, state, &sets)?,
        Kind::Table => table(look, &sets, d),
    };
    let intro = match (sets.len(), look.kind(d)) {
        (1, _) => "",
        (_, Kind::Table) => {
            "Rows drawn from the model and rows of the data, and the distribution of each column."
        }
        _ => "Drawn from the model, beside rows of the data.",
    };
    Ok(section("samples", "Samples", intro, blocks))
}

fn plane(look: &Look<'_>, state: &State, sets: &[(&str, Rows<'_>)]) -> Result<Vec<Block>> {
    let density = state.tensors.get("density.grid").and_then(|t| match t.shape[..] {
        [a, b] if a == b && a > 0 => Some((t.as_f64()?, a)),
        _ => None,
    });
    let frame = vector(state, "density.extent").and_then(|e| match *e {
        [x0, x1, y0, y1] if x1 > x0 && y1 > y0 => Some([(x0, x1), (y0, y1)]),
        _ => None,
    });
    // The frame of the density, or that of the last set, which is the real one if there is one.
    let around = |c: usize| {
        sets.last().and_then(|(_, r)| extent(r.column(c))).map_or((0.0, 1.0), |range| padded(range, 0.1))
    };
    let [x_range, y_range] = frame.unwrap_or_else(|| [around(0), around(1)]);
    let (x_name, y_name) = (look.column(0), look.column(1));
    let x = Axis { label: &x_name, range: x_range, integer: false };
    let y = Axis { label: &y_name, range: y_range, integer: false };
    let mut blocks = Vec::new();
    let mut list = Vec::new();
    for (title, rows) in sets {
        let points = rows.points(POINTS);
        let inside =
            |p: &&(f64, f64)| p.0 >= x.range.0 && p.0 <= x.range.1 && p.1 >= y.range.0 && p.1 <= y.range.1;
        let note = outside(points.len() - points.iter().filter(inside).count());
        let alt = format!("{title}: {} points of the plane", points.len());
        let style = usize::from(*title != "Samples");
        let group = Series { name: (*title).to_owned(), style, points };
        let svg = charts::scatter(&alt, x, y, &[group], false);
        list.push(Chart { title: (*title).to_owned(), svg, note, ..Chart::default() });
    }
    let mut ramp = None;
    if let (Some((grid, side)), Some(_)) = (density, frame)
        && let Some((_, top)) = extent(grid.iter().copied())
    {
        let range = (top - DEPTH, top);
        let uri = picture::heat(grid, side, range)?;
        let svg = charts::heat("Heat map of the log-density of the model", x, y, &uri);
        list.push(Chart { title: "Log-density of the model".into(), svg, ..Chart::default() });
        let (low, high) = (format!("≤ {}", nats(range.0)), nats(range.1));
        ramp = Some(Ramp { css: picture::ramp_css(), low, high, label: "log-density, nats".into() });
    }
    blocks.push(Block::Charts(list));
    blocks.extend(ramp.map(Block::Ramp));
    Ok(blocks)
}

fn table(look: &Look<'_>, sets: &[(&str, Rows<'_>)], d: usize) -> Vec<Block> {
    let mut blocks: Vec<Block> = sets
        .iter()
        .map(|(title, rows)| {
            let lines = rows
                .first(8)
                .into_iter()
                .enumerate()
                .map(|(i, row)| (vec![Cell::from((i + 1).to_string())], row));
            Block::Table(look.table(title, &["Row"], lines, d))
        })
        .collect();
    let mut list = Vec::new();
    // Real rows are the filled ground, samples the outline over it.
    let names: Vec<String> = sets.iter().rev().map(|(title, _)| title.to_lowercase()).collect();
    for c in 0..d.min(HISTOGRAMS) {
        let values: Vec<Vec<f64>> = sets.iter().rev().map(|(_, rows)| rows.column(c)).collect();
        let series: Vec<(&str, &[f64])> =
            names.iter().map(String::as_str).zip(values.iter().map(Vec::as_slice)).collect();
        list.extend(histogram(&look.column(c), "", &series, 16, (300.0, 190.0)));
    }
    if d > HISTOGRAMS
        && let Some(last) = list.last_mut()
    {
        last.note = format!("The first {HISTOGRAMS} of {d} columns are shown. {}", last.note);
    }
    blocks.push(Block::Charts(list));
    blocks
}

fn histogram(
    title: &str,
    label: &str,
    series: &[(&str, &[f64])],
    target: usize,
    size: (f64, f64),
) -> Option<Chart> {
    let all: Vec<&[f64]> = series.iter().map(|(_, v)| *v).collect();
    let bins = Bins::over(&all, target)?;
    let counted: Vec<(&str, Vec<usize>, usize)> =
        series.iter().map(|(name, v)| (*name, bins.count(v), v.len())).collect();
    let beyond: usize = counted.iter().map(|(_, c, total)| total - c.iter().sum::<usize>()).sum();
    let names: Vec<&str> = series.iter().map(|(name, _)| *name).collect();
    let (from, to) = (short(bins.lo), short(bins.edge(bins.n)));
    let alt = format!("Histogram of {title}, {}, from {from} to {to}", names.join(" and "));
    Some(Chart {
        title: title.to_owned(),
        svg: charts::histogram(&alt, label, bins, &counted, size),
        legend: names.iter().enumerate().map(|(style, name)| Entry::bar(name, style)).collect(),
        note: outside(beyond),
        wide: false,
    })
}

/// Samples over their nearest training rows.
pub(crate) fn neighbours(look: &Look<'_>, state: &State) -> Result<Option<Section>> {
    let (Some(samples), Some(near)) = (Rows::of(state, "samples"), Rows::of(state, "neighbours")) else {
        return Ok(None);
    };
    let distance = vector(state, "neighbours.distance").unwrap_or_default();
    let caption = |i: usize| distance.get(i).map_or_else(String::new, |d| short(*d));
    let label = ("Distance", caption);
    let blocks = look.pairs((samples, "sample"), (near, "nearest training row"), 24, label)?;
    let intro = "Each sample above the training row that is nearest to it, with their Euclidean distance: a \
                 model that copies its training rows shows it here.";
    Ok(section("neighbours", "Nearest training rows", intro, blocks))
}

/// Inputs over their reconstructions.
pub(crate) fn reconstructions(look: &Look<'_>, state: &State) -> Result<Option<Section>> {
    let pair = (Rows::of(state, "reconstructions.input"), Rows::of(state, "reconstructions.output"));
    let (Some(input), Some(output)) = pair else { return Ok(None) };
    let blocks = look.pairs((input, "input"), (output, "reconstruction"), 32, ("", |_| String::new()))?;
    Ok(section("reconstructions", "Reconstructions", "Each input above its reconstruction.", blocks))
}

/// Paths between two rows through the space of codes.
pub(crate) fn interpolations(look: &Look<'_>, state: &State) -> Result<Option<Section>> {
    let paths = Rows::paths(state, "interpolations");
    let Some(&Rows { d, .. }) = paths.first() else { return Ok(None) };
    let blocks = match look.kind(d) {
        Kind::Image(pixels) => {
            let steps = paths[0].n;
            let images: Vec<&[f32]> = paths.iter().take(12).flat_map(|p| p.first(p.n)).collect();
            let alt = format!("{} paths of {steps} steps, one per line", paths.len().min(12));
            vec![Block::Pictures(vec![look.grid(&images, pixels, steps, alt, String::new())?])]
        }
        Kind::Plane => {
            let real = Rows::of(state, "real").filter(|r| r.d == 2);
            let points = real.map_or_else(Vec::new, |r| r.points(POINTS));
            let ways: Vec<Series> = paths
                .iter()
                .take(8)
                .enumerate()
                .map(|(i, path)| Series {
                    name: format!("path {}", i + 1),
                    style: i,
                    points: path.points(path.n),
                })
                .collect();
            let all = || points.iter().chain(ways.iter().flat_map(|w| &w.points));
            let (Some(x), Some(y)) = (extent(all().map(|p| p.0)), extent(all().map(|p| p.1))) else {
                return Ok(None);
            };
            let (x_name, y_name) = (look.column(0), look.column(1));
            let x = Axis { label: &x_name, range: padded(x, 0.05), integer: false };
            let y = Axis { label: &y_name, range: padded(y, 0.05), integer: false };
            let legend = ways.iter().map(|w| Entry::line(&w.name, w.style)).collect();
            let cloud = Series { name: "real".into(), style: 7, points };
            let svg = charts::paths("Paths over real rows", x, y, &cloud, &ways);
            vec![Block::Charts(vec![Chart { svg, legend, ..Chart::default() }])]
        }
        Kind::Table => {
            let table = |(i, path): (usize, &Rows<'_>)| {
                let rows = path.first(path.n).into_iter().enumerate();
                let rows = rows.map(|(s, row)| (vec![Cell::from((s + 1).to_string())], row));
                Block::Table(look.table(&format!("Path {}", i + 1), &["Step"], rows, d))
            };
            paths.iter().take(4).enumerate().map(table).collect()
        }
    };
    let intro = "From one row to another through the space of codes, one path per line.";
    Ok(section("interpolations", "Interpolations", intro, blocks))
}

/// The map of latent codes.
pub(crate) fn latent(state: &State, classes: &[String]) -> Option<Section> {
    let codes = Rows::of(state, "latent.codes").filter(|r| r.d == 2)?;
    let labels = state.tensors.get("latent.labels").and_then(|t| t.as_u64()).filter(|l| l.len() == codes.n);
    let points = codes.points(POINTS);
    let mut groups: Vec<Series> = Vec::new();
    if let Some(labels) = labels {
        let mut present: Vec<u64> = labels[..points.len()].to_vec();
        present.sort_unstable();
        present.dedup();
        for (style, label) in present.into_iter().enumerate() {
            let known = usize::try_from(label).ok().and_then(|l| classes.get(l)).cloned();
            let of = points.iter().zip(labels).filter(|(_, l)| **l == label).map(|(p, _)| *p);
            groups.push(Series {
                name: known.unwrap_or_else(|| label.to_string()),
                style,
                points: of.collect(),
            });
        }
    } else {
        groups.push(Series { name: "codes".into(), style: 0, points });
    }
    let range = |c: usize| extent(codes.column(c)).map(|r| padded(r, 0.05));
    let x = Axis { label: "first axis", range: range(0)?, integer: false };
    let y = Axis { label: "second axis", range: range(1)?, integer: false };
    let names = labels.is_some() && groups.len() <= 30;
    let alt = format!("Map of {} codes in {} classes", codes.n.min(POINTS), groups.len());
    let svg = charts::scatter(&alt, x, y, &groups, names);
    let legend =
        if names { groups.iter().map(|g| Entry::marker(&g.name, g.style)).collect() } else { Vec::new() };
    let chart = Chart { svg, legend, wide: names, ..Chart::default() };
    let axes = state.header.get("latent.axes").map_or("", String::as_str);
    section("latent", "Latent map", axes, vec![Block::Charts(vec![chart])])
}

/// Histogram of the log-probabilities of rows.
pub(crate) fn score_histogram(state: &State, kind: &str) -> Option<Section> {
    let series: Vec<(&str, &[f64])> = [("test", "scores.test"), ("train", "scores.train")]
        .into_iter()
        .filter_map(|(name, tensor)| Some((name, vector(state, tensor)?)))
        .collect();
    let mut chart = histogram("Log-probability of rows", "nats", &series, 30, (420.0, 240.0))?;
    chart.wide = true;
    let intro = format!(
        "Nats per row{kind}. Rows that lie far to the left are outliers; a train histogram to the right of \
         the test one means over-fitting."
    );
    section("histogram", "Log-likelihood of rows", &intro, vec![Block::Charts(vec![chart])])
}

/// The most and the least likely rows.
pub(crate) fn extremes(look: &Look<'_>, state: &State, kind: &str) -> Result<Option<Section>> {
    let mut blocks = Vec::new();
    for (title, name) in [("Most likely", "likely"), ("Least likely", "unlikely")] {
        let Some(rows) = Rows::of(state, &format!("{name}.rows")) else { continue };
        let values = vector(state, &format!("{name}.nats")).unwrap_or_default();
        let value = |i: usize| values.get(i).map_or_else(String::new, |v| nats(*v));
        if let Kind::Image(pixels) = look.kind(rows.d) {
            let tile = |i: usize| {
                let alt = format!("{title} test row {}: {} nats", i + 1, value(i));
                look.grid(&[rows.row(i)], pixels, 1, alt, value(i))
            };
            blocks.push(Block::Text(format!("{title}, nats under each:")));
            blocks.push(Block::Pictures((0..rows.n.min(24)).map(tile).collect::<Result<_>>()?));
        } else {
            let shown = rows.first(10).into_iter().enumerate();
            let lines = shown.map(|(i, row)| (vec![Cell::from((i + 1).to_string()), value(i).into()], row));
            blocks.push(Block::Table(look.table(title, &["Row", "#Nats"], lines, rows.d)));
        }
    }
    let intro = format!("Rows of the test split with their log-probability, nats per row{kind}.");
    Ok(section("extremes", "Most and least likely rows", &intro, blocks))
}
