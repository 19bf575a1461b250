//! Exhibits as sections: each kind of panel as pictures, charts or tables. Panels whose arrays have other extents than they should are
//! left out.

use crate::block::{Block, Cell, Chart, Entry, Ramp, Section, Table};
use crate::charts;
use crate::look::{Kind, Look, Rows};
use crate::picture::{self, Picture};
use crate::scale::{Bins, extent, outside, padded, short};
use crate::svg::{Axis, Series};
use genus_core::panel::{self, Named, Notes, Shade};
use genus_core::{Exhibit, Panel, Result, Tensor};

/// Most images of a sheet, and of those that have words of their own.
const IMAGES: usize = 64;
const SINGLE: usize = 32;
/// Most lines of a table: of one set, and of each of several; most tables of paths.
const LINES: usize = 8;
const EACH: usize = 4;
/// Most paths.
const PATHS: usize = 12;
/// Most points of a cloud.
const POINTS: usize = 2000;
/// Most groups of a cloud whose names are shown.
const NAMES: usize = 30;
/// Frames of a film.
const FRAMES: usize = 56;
/// Powers of ten below the largest size of a pixel at which colours end.
const DECADES: f64 = 5.0;

/// An exhibit as a section; none if there is nothing in it.
pub(crate) fn section(look: &Look<'_>, exhibit: &Exhibit) -> Result<Option<Section>> {
    let mut blocks: Vec<Block> = Vec::new();
    for panel in &exhibit.panels {
        for block in render(look, panel)? {
            // Neighbours of a kind stand side by side.
            match (blocks.last_mut(), block) {
                (Some(Block::Pictures(before)), Block::Pictures(more)) => before.extend(more),
                (Some(Block::Charts(before)), Block::Charts(more)) => before.extend(more),
                (_, block) => blocks.push(block),
            }
        }
    }
    let (id, title, intro) = (exhibit.name.clone(), exhibit.title.clone(), exhibit.text.clone());
    Ok((!blocks.is_empty()).then_some(Section { id, title, intro, blocks }))
}

fn render(look: &Look<'_>, panel: &Panel) -> Result<Vec<Block>> {
    Ok(match panel {
        Panel::Rows { title, each, sets, per_line, notes, shade } => {
            rows(look, (title, each), sets, *per_line, notes.as_ref(), *shade)?
        }
        Panel::Pairs { upper, lower, notes } => pairs(look, upper, lower, notes.as_ref())?,
        Panel::Paths { title, caption, paths, through } => {
            ways(look, title, caption, paths, through.as_ref())?
        }
        Panel::Frames { title, frames } => frames_of(look, title, frames)?,
        Panel::Film { rows, order, levels } => film(look, rows, order, *levels)?,
        Panel::Cloud { title, axes, frame, groups, colour } => cloud(title, axes, *frame, groups, *colour),
        Panel::Lines { title, axes, lines: of } => lines(title, axes, of),
        Panel::Trends { title, axes, lines: of } => trends(title, axes, of),
        Panel::Bars { title, unit, sets, large, note } => bars(title, unit, sets, *large, note),
        Panel::Heat { title, axes, frame, values, depth, unit } => {
            heat(title, axes, *frame, values, *depth, unit)?
        }
        Panel::Pixels { maps, marked, notes, unit } => pixels(look, maps, marked, notes, unit)?,
        Panel::Table { title, head, rows } => vec![table(title, head, rows)],
        // A panel that this version does not know is none that it could have computed.
        _ => Vec::new(),
    })
}

fn square(n: usize) -> usize {
    (n as f64).sqrt().ceil() as usize
}

/// Black and white of weights: the largest but for a few, which would leave the rest grey.
fn signed(rows: &[&[f32]]) -> Option<(f64, f64)> {
    let mut sizes: Vec<f32> =
        rows.iter().flat_map(|r| r.iter().map(|w| w.abs())).filter(|w| w.is_finite()).collect();
    sizes.sort_by(f32::total_cmp);
    let top = sizes.get(sizes.len() * 99 / 100).map_or(0.0, |t| f64::from(*t));
    (top > 0.0).then_some((-top, top))
}

/// What is said of each row, and a word for each.
fn words(notes: Option<&Notes>) -> Option<(&str, Vec<String>)> {
    let notes = notes?;
    Some((&notes.label, numbers(&notes.values)?.into_iter().map(short).collect()))
}

fn rows(
    look: &Look<'_>,
    (title, each): (&str, &str),
    sets: &[Named],
    per_line: Option<usize>,
    notes: Option<&Notes>,
    shade: Shade,
) -> Result<Vec<Block>> {
    let found: Option<Vec<(&str, Rows<'_>)>> =
        sets.iter().map(|s| Some((s.name.as_str(), Rows::matrix(&s.values)?))).collect();
    let Some(found) = found else { return Ok(Vec::new()) };
    let Some(&(_, first)) = found.first() else { return Ok(Vec::new()) };
    let d = first.d;
    if found.iter().any(|(_, rows)| rows.d != d) {
        return Ok(Vec::new());
    }
    let noted = words(notes).filter(|_| found.len() == 1);
    let Kind::Image(size) = look.kind(d) else {
        return Ok(lines_of_rows(look, (title, each), &found, noted));
    };
    if let Some((label, words)) = noted {
        let tile = |(row, word): (&[f32], String)| {
            let alt = format!("{title}, {}: {word}", label.to_lowercase());
            look.grid(&[row], size, 1, alt, word)
        };
        let tiles = first.first(SINGLE).into_iter().zip(words).map(tile).collect::<Result<_>>()?;
        let under = format!("{title}, {} under each:", label.to_lowercase());
        return Ok(vec![Block::Text(under), Block::Pictures(tiles)]);
    }
    let mut pictures = Vec::new();
    for (name, rows) in &found {
        let title = if found.len() == 1 { title } else { name };
        let shown = rows.first(per_line.map_or(IMAGES, |n| IMAGES.max(n * 8)));
        let columns = per_line.unwrap_or_else(|| square(shown.len()));
        let alt = format!("{}: {} images", if title.is_empty() { name } else { title }, shown.len());
        let picture = match shade {
            Shade::Data => look.grid(&shown, size, columns, alt, String::new())?,
            Shade::Signed => {
                let Some(range) = signed(&shown) else { continue };
                let caption = format!("Grey is 0, black \u{2212}{0:.2} and white {0:.2}.", range.1);
                Picture { caption, ..picture::grid(&shown, size, columns, range, alt)? }
            }
        };
        pictures.push(Picture { title: title.to_owned(), ..picture });
    }
    Ok(if pictures.is_empty() { Vec::new() } else { vec![Block::Pictures(pictures)] })
}

/// Rows as lines of a table.
fn lines_of_rows(
    look: &Look<'_>,
    (title, each): (&str, &str),
    sets: &[(&str, Rows<'_>)],
    noted: Option<(&str, Vec<String>)>,
) -> Vec<Block> {
    let several = sets.len() > 1;
    let mut extra = vec![if several { each.to_owned() } else { "Row".to_owned() }];
    extra.extend(noted.as_ref().map(|(label, _)| format!("#{label}")));
    let extra: Vec<&str> = extra.iter().map(String::as_str).collect();
    let lines = sets.iter().flat_map(|(name, rows)| {
        let noted = noted.as_ref();
        rows.first(if several { EACH } else { LINES }).into_iter().enumerate().map(move |(i, row)| {
            let first = if several { (*name).to_owned() } else { (i + 1).to_string() };
            let word = noted.map(|(_, words)| Cell::from(words.get(i).map_or("", String::as_str)));
            ([Cell::from(first)].into_iter().chain(word).collect(), row)
        })
    });
    vec![Block::Table(look.table(title, &extra, lines, sets[0].1.d))]
}

fn pairs(look: &Look<'_>, upper: &Named, lower: &Named, notes: Option<&Notes>) -> Result<Vec<Block>> {
    let (Some(above), Some(below)) = (Rows::matrix(&upper.values), Rows::matrix(&lower.values)) else {
        return Ok(Vec::new());
    };
    let n = above.n.min(below.n).min(SINGLE);
    if above.d != below.d {
        return Ok(Vec::new());
    }
    let noted = words(notes);
    let note = |i: usize| noted.as_ref().and_then(|(_, words)| words.get(i)).cloned().unwrap_or_default();
    if let Kind::Image(size) = look.kind(above.d) {
        let tile = |i: usize| {
            let alt = format!("{} {} above its {}", upper.name, i + 1, lower.name);
            look.grid(&[above.row(i), below.row(i)], size, 1, alt, note(i))
        };
        return Ok(vec![Block::Pictures((0..n).map(tile).collect::<Result<_>>()?)]);
    }
    let lines = (0..n.min(LINES)).flat_map(|i| {
        let cells = |name: &str, note: String| {
            let first = Cell::from(format!("{name} {}", i + 1));
            [first].into_iter().chain(noted.as_ref().map(|_| Cell::from(note))).collect()
        };
        let first = (cells(&upper.name, String::new()), above.row(i));
        [first, (cells(&lower.name, note(i)), below.row(i))]
    });
    let extra: Vec<&str> = ["Row"].into_iter().chain(noted.as_ref().map(|(label, _)| *label)).collect();
    Ok(vec![Block::Table(look.table("Rows in pairs", &extra, lines, above.d))])
}

fn ways(
    look: &Look<'_>,
    title: &str,
    caption: &str,
    paths: &Tensor,
    through: Option<&Tensor>,
) -> Result<Vec<Block>> {
    let paths = Rows::paths(paths);
    let Some(&Rows { d, n: steps, .. }) = paths.first() else { return Ok(Vec::new()) };
    let through = through.and_then(Rows::matrix).filter(|r| r.d == d);
    Ok(match (look.kind(d), through) {
        (Kind::Image(size), _) => {
            let images: Vec<&[f32]> = paths.iter().take(PATHS).flat_map(|p| p.first(p.n)).collect();
            let alt = format!("{} paths of {steps} steps, one per line", paths.len().min(PATHS));
            let grid = look.grid(&images, size, steps, alt, caption.to_owned())?;
            vec![Block::Pictures(vec![Picture { title: title.to_owned(), ..grid }])]
        }
        (Kind::Plane, Some(through)) => {
            let points = through.points(POINTS);
            let way = |(style, path): (usize, &Rows<'_>)| Series {
                name: format!("path {}", style + 1),
                style,
                points: path.points(path.n),
            };
            let ways: Vec<Series> = paths.iter().take(PATHS).enumerate().map(way).collect();
            let all = || points.iter().chain(ways.iter().flat_map(|w| &w.points));
            let (Some(x), Some(y)) = (extent(all().map(|p| p.0)), extent(all().map(|p| p.1))) else {
                return Ok(Vec::new());
            };
            let (x_name, y_name) = (look.column(0), look.column(1));
            let x = Axis { label: &x_name, range: padded(x, 0.05), integer: false };
            let y = Axis { label: &y_name, range: padded(y, 0.05), integer: false };
            let alt = format!("{} paths between rows of the plane", ways.len());
            let legend = ways.iter().map(|w| Entry::line(&w.name, w.style)).collect();
            // In the colour of the last style, behind the paths.
            let cloud = Series { name: "rows".into(), style: 7, points };
            let svg = charts::paths(&alt, x, y, &cloud, &ways);
            vec![chart(title, svg, legend, caption.to_owned(), false)]
        }
        _ => {
            let line = |(i, path): (usize, &Rows<'_>)| {
                let steps = path.first(path.n).into_iter().enumerate();
                let lines = steps.map(|(s, row)| (vec![Cell::from((s + 1).to_string())], row));
                Block::Table(look.table(&format!("Path {}", i + 1), &["Step"], lines, d))
            };
            let about = [title, caption].into_iter().filter(|t| !t.is_empty());
            let about = about.map(|t| Block::Text(t.to_owned()));
            about.chain(paths.iter().take(EACH).enumerate().map(line)).collect()
        }
    })
}

fn film(look: &Look<'_>, rows: &Tensor, order: &Tensor, levels: usize) -> Result<Vec<Block>> {
    let Some(images) = Rows::matrix(rows) else { return Ok(Vec::new()) };
    let order: Option<Vec<usize>> = order
        .as_u64()
        .and_then(|all| all.iter().map(|i| usize::try_from(*i).ok().filter(|i| *i < images.d)).collect());
    let (Kind::Image(size), Some(order), 2..) = (look.kind(images.d), order, levels) else {
        return Ok(Vec::new());
    };
    let alt = format!("{} images that appear value by value", images.n);
    let range = (0.0, (levels - 1) as f64);
    let film = picture::film(&images.first(images.n), &order, size, 6, range, FRAMES, alt)?;
    Ok(vec![Block::Pictures(vec![film])])
}

/// Most charts of points that stand for a film.
const STILLS: usize = 6;

/// Images as a film; points of a plane as some of the times side by side, the first and the last among them.
fn frames_of(look: &Look<'_>, title: &str, frames: &[Named]) -> Result<Vec<Block>> {
    let all: Option<Vec<Rows<'_>>> = frames.iter().map(|f| Rows::matrix(&f.values)).collect();
    let Some(all) = all.filter(|all| all.windows(2).all(|w| (w[0].n, w[0].d) == (w[1].n, w[1].d))) else {
        return Ok(Vec::new());
    };
    let Some(last) = all.last() else { return Ok(Vec::new()) };
    match look.kind(last.d) {
        Kind::Image(size) => {
            let images: Vec<Vec<&[f32]>> = all.iter().map(|f| f.first(IMAGES)).collect();
            let alt = format!("{} images at {} times", images[0].len(), all.len());
            Ok(vec![Block::Pictures(vec![Picture {
                title: title.to_owned(),
                ..look.film(&images, size, 8, alt)?
            }])])
        }
        Kind::Plane => {
            let shown = STILLS.min(all.len());
            let at = (0..shown).map(|i| i * (all.len() - 1) / (shown - 1).max(1));
            let axes = [look.column(0), look.column(1)];
            let points: Vec<(f64, f64)> = all.iter().flat_map(|f| f.points(POINTS)).collect();
            let sides = [extent(points.iter().map(|p| p.0)), extent(points.iter().map(|p| p.1))];
            let frame = match sides {
                [Some(x), Some(y)] => Some([padded(x, 0.05), padded(y, 0.05)]),
                _ => None,
            };
            Ok(at
                .flat_map(|i| cloud(&format!("{title}: {}", frames[i].name), &axes, frame, &frames[i..=i], 0))
                .collect())
        }
        Kind::Table => Ok(Vec::new()),
    }
}

fn chart(title: &str, svg: String, legend: Vec<Entry>, note: String, wide: bool) -> Block {
    Block::Charts(vec![Chart { title: title.to_owned(), svg, legend, note, wide }])
}

fn series(of: &[Named]) -> Option<Vec<Series>> {
    let one = |(style, set): (usize, &Named)| {
        let points = points(&set.values)?;
        Some(Series { name: set.name.clone(), style, points })
    };
    of.iter().enumerate().map(one).collect()
}

/// The pairs of numbers of an array `[n, 2]`.
fn points(of: &Tensor) -> Option<Vec<(f64, f64)>> {
    let (&[_, 2], Some(values)) = (&of.shape[..], numbers(of)) else { return None };
    Some(values.chunks_exact(2).map(|p| (p[0], p[1])).collect())
}

/// The values of an array of real numbers.
fn numbers(of: &Tensor) -> Option<Vec<f64>> {
    let narrow = || of.as_f32().map(|v| v.iter().map(|x| f64::from(*x)).collect());
    of.as_f64().map(<[f64]>::to_vec).or_else(narrow)
}

fn cloud(
    title: &str,
    axes: &[String; 2],
    frame: Option<panel::Frame>,
    groups: &[Named],
    colour: usize,
) -> Vec<Block> {
    let Some(mut groups) = series(groups) else { return Vec::new() };
    let total = groups.iter().map(|g| g.points.len()).sum::<usize>();
    // Of each group alike.
    for group in &mut groups {
        group.style += colour;
        group.points.truncate((group.points.len() * POINTS).div_ceil(total.max(1)));
    }
    let all = || groups.iter().flat_map(|g| &g.points);
    let around = |range| padded(range, 0.05);
    let found =
        extent(all().map(|p| p.0)).zip(extent(all().map(|p| p.1))).map(|(x, y)| [around(x), around(y)]);
    let Some([x, y]) = frame.filter(|f| f.iter().all(|(lo, hi)| lo < hi)).or(found) else {
        return Vec::new();
    };
    let inside = |p: &&(f64, f64)| p.0 >= x.0 && p.0 <= x.1 && p.1 >= y.0 && p.1 <= y.1;
    let beyond = all().count() - all().filter(inside).count();
    let names = (2..=NAMES).contains(&groups.len());
    let what = if title.is_empty() { "Map" } else { title };
    let alt = format!("{what}: {} points of the plane in {} groups", all().count(), groups.len());
    let x = Axis { label: &axes[0], range: x, integer: false };
    let y = Axis { label: &axes[1], range: y, integer: false };
    let svg = charts::scatter(&alt, x, y, &groups, names);
    let legend = groups.iter().filter(|_| names).map(|g| Entry::marker(&g.name, g.style)).collect();
    vec![chart(title, svg, legend, outside(beyond), names)]
}

fn lines(title: &str, axes: &[String; 2], of: &[Named]) -> Vec<Block> {
    let Some(lines) = series(of) else { return Vec::new() };
    let all = || lines.iter().flat_map(|s| &s.points);
    let (Some(x), Some(y)) = (extent(all().map(|p| p.0)), extent(all().map(|p| p.1))) else {
        return Vec::new();
    };
    if x.0 >= x.1 {
        return Vec::new();
    }
    // Zero is in sight where that costs little of the room.
    let y = if y.0 > 0.0 && y.0 < 0.5 * y.1 { (0.0, y.1) } else { y };
    let integer = all().all(|p| p.0.fract() == 0.0);
    let x = Axis { label: &axes[0], range: x, integer };
    let y = Axis { label: &axes[1], range: padded(y, 0.02), integer: false };
    let names: Vec<&str> = lines.iter().map(|s| s.name.as_str()).collect();
    let alt = format!("{title}: {} over {}", names.join(", "), axes[0]);
    let svg = charts::lines(&alt, x, y, &lines, None, (460.0, 240.0));
    let legend = lines.iter().map(|s| Entry::line(&s.name, s.style)).collect();
    vec![chart(title, svg, legend, String::new(), false)]
}

fn trends(title: &str, axes: &[String; 2], of: &[Named]) -> Vec<Block> {
    let points = |set: &Named| match (&set.values.shape[..], numbers(&set.values)) {
        (&[_, 3], Some(values)) => {
            Some(values.chunks_exact(3).map(|p| [p[0], p[1], p[2]]).collect::<Vec<_>>())
        }
        _ => None,
    };
    let Some(lines) = of.iter().map(points).collect::<Option<Vec<_>>>() else { return Vec::new() };
    let all = || lines.iter().flatten();
    let ends = || all().flat_map(|p| [p[1] - p[2], p[1] + p[2]]);
    let (Some(x), Some(y)) = (extent(all().map(|p| p[0])), extent(ends())) else { return Vec::new() };
    if x.0 <= 0.0 || x.0 >= x.1 {
        return Vec::new();
    }
    let x = Axis { label: &axes[0], range: x, integer: false };
    let y = Axis { label: &axes[1], range: padded(y, 0.02), integer: false };
    let names: Vec<&str> = of.iter().map(|s| s.name.as_str()).collect();
    let alt = format!("{title}: {} over {}", names.join(", "), axes[0]);
    let series: Vec<(usize, Vec<[f64; 3]>)> = lines.into_iter().enumerate().collect();
    let svg = charts::trends(&alt, x, y, &series, (560.0, 340.0));
    let legend = names.iter().enumerate().map(|(style, name)| Entry::line(name, style)).collect();
    vec![chart(title, svg, legend, String::new(), true)]
}

fn bars(title: &str, unit: &str, sets: &[Named], large: bool, note: &str) -> Vec<Block> {
    let values: Option<Vec<Vec<f64>>> = sets.iter().map(|s| numbers(&s.values)).collect();
    let Some(values) = values else { return Vec::new() };
    let all: Vec<&[f64]> = values.iter().map(Vec::as_slice).collect();
    let Some(bins) = Bins::over(&all, if large { 30 } else { 16 }) else { return Vec::new() };
    let counted: Vec<(&str, Vec<usize>, usize)> =
        sets.iter().zip(&values).map(|(s, v)| (s.name.as_str(), bins.count(v), v.len())).collect();
    let beyond: usize = counted.iter().map(|(_, c, total)| total - c.iter().sum::<usize>()).sum();
    let names: Vec<&str> = sets.iter().map(|s| s.name.as_str()).collect();
    let (from, to) = (short(bins.lo), short(bins.edge(bins.n)));
    let alt = format!("Histogram of {title}, {}, from {from} to {to}", names.join(" and "));
    let size = if large { (420.0, 240.0) } else { (300.0, 190.0) };
    let svg = charts::histogram(&alt, unit, bins, &counted, size);
    let legend = names.iter().enumerate().map(|(style, name)| Entry::bar(name, style)).collect();
    let note = [note, &outside(beyond)].into_iter().filter(|n| !n.is_empty()).collect::<Vec<_>>().join(" ");
    vec![chart(title, svg, legend, note, large)]
}

fn heat(
    title: &str,
    axes: &[String; 2],
    frame: panel::Frame,
    values: &Tensor,
    depth: f64,
    unit: &str,
) -> Result<Vec<Block>> {
    let (&[_, columns], Some(all)) = (&values.shape[..], numbers(values)) else { return Ok(Vec::new()) };
    let top = extent(all.iter().copied()).map(|e| e.1);
    let (Some(top), true) = (top, columns > 0 && frame.iter().all(|(lo, hi)| lo < hi)) else {
        return Ok(Vec::new());
    };
    let range = (top - depth, top);
    let uri = picture::heat(&all, columns, range)?;
    let x = Axis { label: &axes[0], range: frame[0], integer: false };
    let y = Axis { label: &axes[1], range: frame[1], integer: false };
    let svg = charts::heat(&format!("Heat map: {title}"), x, y, &uri);
    let (low, high) = (format!("≤ {}", short(range.0)), short(range.1));
    let ramp = Ramp { css: picture::ramp_css(), low, high, label: unit.to_owned() };
    Ok(vec![chart(title, svg, Vec::new(), String::new(), false), Block::Ramp(ramp)])
}

fn pixels(
    look: &Look<'_>,
    maps: &[Named],
    marked: &[usize],
    notes: &[String],
    unit: &str,
) -> Result<Vec<Block>> {
    let Some(size) = look.pixels() else { return Ok(Vec::new()) };
    let n = size.height * size.width;
    let values: Option<Vec<Vec<f64>>> =
        maps.iter().map(|m| numbers(&m.values).filter(|v| v.len() == n)).collect();
    let Some(values) = values.filter(|v| v.len() == marked.len()) else { return Ok(Vec::new()) };
    let largest = values.iter().flatten().copied().fold(0.0, f64::max);
    if !(largest > 0.0 && largest.is_finite()) || marked.iter().any(|m| *m >= n) {
        return Ok(Vec::new());
    }
    let range = (largest.log10() - DECADES, largest.log10());
    let mut pictures = Vec::new();
    for (i, (map, values)) in maps.iter().zip(&values).enumerate() {
        let caption = notes.get(i).cloned().unwrap_or_default();
        let alt = format!("{}: {unit}, {caption}", map.name);
        let picture = picture::strengths(values, size.width, marked[i], range, alt)?;
        pictures.push(Picture { title: map.name.clone(), caption, ..picture });
    }
    let [low, high] = [range.0, range.1].map(|v| short(10f64.powf(v)));
    let ramp = Ramp { css: picture::ramp_css(), low: format!("≤ {low}"), high, label: unit.to_owned() };
    Ok(vec![Block::Pictures(pictures), Block::Ramp(ramp)])
}

fn table(title: &str, head: &[String], rows: &[Vec<panel::Cell>]) -> Block {
    let width = head.len();
    let number = |c: usize| rows.iter().any(|r| !matches!(r.get(c), None | Some(panel::Cell::Text(_))));
    let head = head.iter().enumerate().map(|(c, h)| if number(c) { format!("#{h}") } else { h.clone() });
    let mut table = Table::new(title, head);
    for row in rows {
        let cells = row.iter().map(|cell| match cell {
            panel::Cell::Text(text) => text.as_str().into(),
            panel::Cell::Number(v) => short(*v).into(),
            panel::Cell::Share(v) => {
                let share = 100.0 * v;
                let bar = (0.0..=100.0).contains(&share).then(|| format!("{share:.1}"));
                Cell { text: format!("{share:.1} %"), bar, ..Cell::default() }
            }
        });
        // As many as there are headings, whatever the row has.
        table.row(cells.chain(std::iter::repeat(Cell::default())).take(width));
    }
    Block::Table(table)
}
