//! Learning curves from the events of a run.

use crate::block::{Block, Chart, Entry, Section, Table};
use crate::charts;
use crate::scale::{extent, outside, padded, short};
use crate::svg::{Axis, Series};
use genus_core::Event;
use genus_core::run::TimedEvent;
use std::collections::{BTreeMap, BTreeSet};

/// Most points that a line is drawn with.
const POINTS: usize = 400;
/// Most rows of the table of epochs.
const ROWS: usize = 40;
/// Most charts beside the loss.
const CHARTS: usize = 12;

/// Most attempts of a fit that are drawn.
const ATTEMPTS: usize = 8;

/// One point of the curves: where it is, and its parts on training and on validation rows.
struct Point {
    at: f64,
    train: BTreeMap<String, f64>,
    valid: BTreeMap<String, f64>,
    best: bool,
}

/// Curves by epoch, or by step where there are no epochs or validation rows were looked at between them.
pub(crate) fn section(events: &[TimedEvent]) -> Option<Section> {
    if let Some(section) = attempts(events) {
        return Some(section);
    }
    let between = events.iter().any(|e| matches!(e.event, Event::Validation { .. }));
    let mut unit = if between { "step" } else { "epoch" };
    let mut points: Vec<Point> = Vec::new();
    for e in events {
        let (at, train, valid, best) = match &e.event {
            Event::Epoch { epoch, step, train, valid, best } => {
                (if between { step } else { epoch }, train.clone(), valid.clone(), *best)
            }
            Event::Validation { step, valid, best, .. } => (step, BTreeMap::new(), valid.clone(), *best),
            _ => continue,
        };
        points.push(Point { at: *at as f64, train, valid, best });
    }
    if points.is_empty() {
        unit = "step";
        for e in events {
            if let Event::Step { step, parts } = &e.event {
                points.push(Point {
                    at: *step as f64,
                    train: parts.clone(),
                    valid: BTreeMap::new(),
                    best: false,
                });
            }
        }
    }
    let mut names: BTreeSet<&str> = BTreeSet::new();
    for p in &points {
        names.extend(p.train.keys().chain(p.valid.keys()).map(String::as_str));
    }
    let best = points.iter().rposition(|p| p.best);
    let mut charts: Vec<Chart> = Vec::new();
    // The loss first: it is what is minimised and what early stopping watches.
    let ordered = names.iter().filter(|n| **n == "loss").chain(names.iter().filter(|n| **n != "loss"));
    for name in ordered.take(CHARTS + 1) {
        charts.extend(chart(name, unit, &points, best));
    }
    if charts.is_empty() {
        return None;
    }
    let mut intro = format!("By {unit}, per row.");
    if let Some(b) = best {
        let value = points[b]
            .valid
            .get("loss")
            .map_or_else(String::new, |v| format!(", validation loss {}", short(*v)));
        intro += &format!(" The best {unit} is {}{value}; it is marked.", points[b].at);
    }
    let mut blocks = vec![Block::Charts(charts)];
    if unit == "epoch" {
        blocks.push(Block::Table(table(unit, &names, &points)));
    }
    Some(Section { id: "learning".into(), title: "Learning curves".into(), intro, blocks })
}

/// One line for each attempt of a fit that begins several times.
fn attempts(events: &[TimedEvent]) -> Option<Section> {
    /// Where an attempt began, the points of its line, and whether it was the best when it ended.
    struct Attempt {
        from: u64,
        points: Vec<(f64, f64)>,
        best: bool,
    }
    let mut all: Vec<Attempt> = Vec::new();
    for e in events {
        if let Event::Restart { step, .. } = &e.event {
            all.push(Attempt { from: *step, points: Vec::new(), best: false });
        }
        let Some(last) = all.last_mut() else { continue };
        let (step, parts) = match &e.event {
            Event::Step { step, parts } => (*step, parts),
            Event::Epoch { step, train, best, .. } => {
                last.best = *best;
                (*step, train)
            }
            _ => continue,
        };
        let (at, Some(loss)) = (step.saturating_sub(last.from) as f64, parts.get("loss")) else { continue };
        if last.points.last().is_none_or(|p| p.0 < at) {
            last.points.push((at, -loss));
        }
    }
    all.retain(|a| !a.points.is_empty());
    let kept = all.iter().rposition(|a| a.best);
    // The one that was kept is among those that are shown.
    let mut shown: Vec<usize> = (0..all.len().min(ATTEMPTS)).collect();
    if let (Some(kept), Some(last)) = (kept, shown.last_mut()) {
        *last = kept.max(*last);
    }
    let series: Vec<Series> = shown
        .iter()
        .enumerate()
        .map(|(style, &i)| {
            let name = format!("start {}{}", i + 1, if Some(i) == kept { ", kept" } else { "" });
            Series { name, style, points: thinned(&all[i].points) }
        })
        .collect();
    let x = extent(series.iter().flat_map(|s| s.points.iter().map(|p| p.0)))?;
    let (y, outliers) = view(&series)?;
    let mark = kept.and_then(|k| {
        let (at, value) = *all[k].points.last()?;
        Some((at, value, format!("start {}: {}", k + 1, short(value))))
    });
    let x = Axis { label: "iteration", range: padded(x, 0.02), integer: true };
    let y = Axis { label: "log-likelihood, nats per row", range: y, integer: false };
    let alt = format!("Log-likelihood by iteration, a line for each of {} starts", series.len());
    let chart = Chart {
        title: String::new(),
        svg: charts::lines(&alt, x, y, &series, mark, (430.0, 250.0)),
        legend: series.iter().map(|s| Entry::line(&s.name, s.style)).collect(),
        note: outside(outliers),
        wide: true,
    };
    let mut table = Table::new("Starts", ["Start", "#Iterations", "#Log-likelihood, nats per row", "Kept"]);
    for (i, attempt) in all.iter().enumerate() {
        let (at, value) = attempt.points.last().copied().unwrap_or_default();
        let kept = if Some(i) == kept { "yes" } else { "" };
        table.row([(i + 1).to_string().into(), at.to_string().into(), short(value).into(), kept.into()]);
    }
    let mut intro = "Log-likelihood of the training rows by iteration, as the fit sees them. ".to_owned();
    intro += &match all.len() {
        1 => "There was one start.".to_owned(),
        n => format!("The best of {n} independent starts is kept; its end is marked."),
    };
    if all.len() > series.len() {
        intro += &format!(" {} of them are drawn.", series.len());
    }
    let blocks = vec![Block::Charts(vec![chart]), Block::Table(table)];
    Some(Section { id: "learning".into(), title: "Learning curves".into(), intro, blocks })
}

fn chart(name: &str, unit: &str, points: &[Point], best: Option<usize>) -> Option<Chart> {
    let line = |of: fn(&Point) -> &BTreeMap<String, f64>| -> Vec<(f64, f64)> {
        points.iter().filter_map(|p| Some((p.at, *of(p).get(name)?))).collect()
    };
    let series: Vec<Series> = [("train", line(|p| &p.train)), ("validation", line(|p| &p.valid))]
        .into_iter()
        .enumerate()
        .map(|(style, (name, all))| Series { name: name.into(), style, points: thinned(&all) })
        .filter(|s| s.points.iter().any(|p| p.1.is_finite()))
        .collect();
    let x = extent(series.iter().flat_map(|s| s.points.iter().map(|p| p.0)))?;
    let (y, above) = view(&series)?;
    let mark = best.and_then(|b| {
        let (p, value) = (&points[b], *points[b].valid.get(name)?);
        (name == "loss" && value.is_finite())
            .then(|| (p.at, value, format!("best {unit} {}: {}", p.at, short(value))))
    });
    let alt = series.iter().map(|s| {
        let ends = s.points.first().zip(s.points.last());
        ends.map_or_else(String::new, |(a, b)| format!("; {} from {} to {}", s.name, short(a.1), short(b.1)))
    });
    let alt = format!("{name} by {unit}{}", alt.collect::<String>());
    let x = Axis { label: unit, range: padded(x, 0.02), integer: true };
    let y = Axis { label: name, range: y, integer: false };
    Some(Chart {
        title: String::new(),
        svg: charts::lines(
            &alt,
            x,
            y,
            &series,
            mark,
            if name == "loss" { (430.0, 250.0) } else { (300.0, 190.0) },
        ),
        legend: series.iter().map(|s| Entry::line(&s.name, s.style)).collect(),
        note: outside(above),
        wide: name == "loss",
    })
}

/// At most [`POINTS`] points, each the mean of as many neighbours.
fn thinned(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let size = points.len().div_ceil(POINTS).max(1);
    points
        .chunks(size)
        .map(|c| {
            let n = c.len() as f64;
            (c.iter().map(|p| p.0).sum::<f64>() / n, c.iter().map(|p| p.1).sum::<f64>() / n)
        })
        .collect()
}

/// Vertical range, and the number of early points outside it: the first tenth is left out where it would
/// press the rest of the curve flat.
fn view(series: &[Series]) -> Option<((f64, f64), usize)> {
    let whole = extent(series.iter().flat_map(|s| s.points.iter().map(|p| p.1)))?;
    let late = |s: &Series| s.points.len().div_ceil(10);
    let rest = extent(series.iter().flat_map(|s| s.points[late(s)..].iter().map(|p| p.1)));
    match rest {
        Some(rest) if rest.1 > rest.0 && whole.1 - whole.0 > 8.0 * (rest.1 - rest.0) => {
            let range = padded(rest, 0.1);
            let beyond = |v: f64| v.is_finite() && (v < range.0 || v > range.1);
            Some((range, series.iter().flat_map(|s| &s.points).filter(|p| beyond(p.1)).count()))
        }
        _ => Some((padded(whole, 0.06), 0)),
    }
}

fn table(unit: &str, names: &BTreeSet<&str>, points: &[Point]) -> Table {
    let mut head = vec![if unit == "epoch" { "Epoch" } else { "Step" }.to_owned()];
    for name in names {
        head.extend([format!("#{name}, train"), format!("#{name}, validation")]);
    }
    head.push("Best so far".into());
    let mut table = Table::new("Numbers of the curves", head);
    table.folded = true;
    let stride = points.len().div_ceil(ROWS).max(1);
    let shown = |i: usize| i.is_multiple_of(stride) || i + 1 == points.len();
    for (_, p) in points.iter().enumerate().filter(|(i, _)| shown(*i)) {
        let mut cells = vec![p.at.to_string().into()];
        for name in names {
            let cell =
                |of: &BTreeMap<String, f64>| of.get(*name).map_or_else(|| "".into(), |v| short(*v).into());
            cells.extend([cell(&p.train), cell(&p.valid)]);
        }
        cells.push(if p.best { "yes" } else { "" }.into());
        table.row(cells);
    }
    if stride > 1 {
        table.note = format!("Every {stride}th line and the last.");
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epoch(epoch: u64, train: f64, valid: f64, best: bool) -> TimedEvent {
        let loss = |v| BTreeMap::from([("loss".to_owned(), v), ("kl".to_owned(), v / 2.0)]);
        let event = Event::Epoch { epoch, step: 10 * epoch, train: loss(train), valid: loss(valid), best };
        TimedEvent { t: 0.0, event }
    }

    /// Validations between epochs are points of their own, and the best of all is named.
    #[test]
    fn validations_between_epochs_are_shown() {
        let between = TimedEvent {
            t: 0.0,
            event: Event::Validation {
                epoch: 1,
                step: 15,
                valid: BTreeMap::from([("loss".to_owned(), 0.5)]),
                best: true,
            },
        };
        let found = section(&[epoch(1, 3.0, 2.0, true), between, epoch(2, 2.0, 0.9, false)]).unwrap();
        assert!(found.intro.contains("The best step is 15, validation loss 0.5"), "{}", found.intro);
    }

    #[test]
    fn attempts_are_lines_of_their_own() {
        let parts = |v: f64| BTreeMap::from([("loss".to_owned(), v)]);
        let mut events = Vec::new();
        for (restart, from, ends) in [(1, 0, 3.0), (2, 2, 1.5)] {
            let end = Event::Epoch {
                epoch: restart,
                step: from + 2,
                train: parts(ends),
                valid: BTreeMap::new(),
                best: true,
            };
            events.extend([
                Event::Restart { restart, step: from },
                Event::Step { step: from + 1, parts: parts(4.0) },
                Event::Step { step: from + 2, parts: parts(ends) },
                end,
            ]);
        }
        let events: Vec<TimedEvent> = events.into_iter().map(|event| TimedEvent { t: 0.0, event }).collect();
        let found = section(&events).unwrap();
        assert!(found.intro.contains("best of 2 independent starts"), "{}", found.intro);
        let charts = charts_of(&found);
        assert_eq!(charts.len(), 1);
        assert_eq!(charts[0].legend[1].name, "start 2, kept");
        assert!(charts[0].svg.contains("<title>start 2: \u{2212}1.5</title>"), "{}", charts[0].svg);
        let Block::Table(table) = &found.blocks[1] else { panic!("{:?}", found.blocks[1]) };
        let texts: Vec<&str> = table.rows[0].iter().map(|c| c.text.as_str()).collect();
        assert_eq!(texts, ["1", "2", "\u{2212}3", ""]);
    }

    fn charts_of(section: &Section) -> &[Chart] {
        match &section.blocks[0] {
            Block::Charts(charts) => charts,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn loss_comes_first_and_the_best_epoch_is_marked() {
        let events = [epoch(1, 9.0, 9.5, true), epoch(2, 8.0, 8.5, true), epoch(3, 7.0, 8.75, false)];
        let section = section(&events).unwrap();
        assert!(section.intro.contains("best epoch is 2, validation loss 8.5"), "{}", section.intro);
        let charts = charts_of(&section);
        assert_eq!(charts.len(), 2);
        assert!(charts[0].svg.contains("loss by epoch; train from 9 to 7; validation from 9.5 to 8.75"));
        assert!(charts[0].svg.contains("<title>best epoch 2: 8.5</title>"));
        assert!(charts[1].svg.contains("kl by epoch") && !charts[1].svg.contains("best epoch"));
    }

    #[test]
    fn a_loss_that_was_infinite_has_its_epoch() {
        let events = [epoch(1, 9.0, f64::INFINITY, false), epoch(2, 8.0, 8.5, true)];
        let section = section(&events).unwrap();
        assert!(section.intro.contains("best epoch is 2"), "{}", section.intro);
        let Block::Table(table) = &section.blocks[1] else { panic!("{:?}", section.blocks[1]) };
        let shown = format!("{table:?}");
        assert!(shown.contains('∞') && shown.contains("8.5"), "{shown}");
    }

    #[test]
    fn steps_stand_in_for_epochs_and_are_thinned() {
        let parts = |v: f64| BTreeMap::from([("loss".to_owned(), v)]);
        let events: Vec<TimedEvent> = (1..=1000)
            .map(|step| TimedEvent { t: 0.0, event: Event::Step { step, parts: parts(1.0 / step as f64) } })
            .collect();
        let section = section(&events).unwrap();
        assert!(section.intro.starts_with("By step"));
        let line = charts_of(&section)[0].svg.clone();
        assert!(line.contains("loss by step") && line.matches('L').count() <= POINTS);
        assert_eq!(thinned(&[(1.0, 2.0)]), [(1.0, 2.0)]);
        assert!(super::section(&[]).is_none());
    }

    #[test]
    fn a_huge_first_loss_does_not_flatten_the_rest() {
        let points: Vec<(f64, f64)> =
            (0..20).map(|i| (f64::from(i), if i == 0 { 1e6 } else { f64::from(i) })).collect();
        let series = [Series { points, ..Series::default() }];
        let ((lo, hi), above) = view(&series).unwrap();
        assert!(lo > -3.0 && hi < 25.0, "{lo} {hi}");
        assert_eq!(above, 1);
    }
}
