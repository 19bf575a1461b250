//! The parts of a report that show models with hidden units that draw by Markov chains: where a chain goes, what units look at.

use crate::block::{Block, Cell, Chart, Section, Table};
use crate::charts;
use crate::exhibits::section;
use crate::look::{Kind, Look, Rows, vector};
use crate::picture::{self, Picture};
use crate::scale::{extent, padded};
use crate::svg::{Axis, Series};
use genus_core::{Result, State};

/// Where chains go: consecutive states, how long they remember, which classes they visit.
pub(crate) fn moves(look: &Look<'_>, state: &State, classes: &[String]) -> Result<Option<Section>> {
    let mut blocks = Vec::new();
    let paths = Rows::paths(state, "chain.strip");
    if let Some(&Rows { d, n, .. }) = paths.first()
        && let Kind::Image(pixels) = look.kind(d)
    {
        let images: Vec<&[f32]> = paths.iter().take(12).flat_map(|p| p.first(p.n)).collect();
        let alt = format!(
            "{} chains of {n} states, one per line, that begin at images of the data",
            paths.len().min(12)
        );
        let caption =
            "From left to right: an image of the data, and the means of the states that follow.".into();
        let grid = look.grid(&images, pixels, n, alt, caption)?;
        blocks.push(Block::Pictures(vec![Picture { title: "Consecutive states".into(), ..grid }]));
    }
    if let Some(correlation) = vector(state, "chain.correlation").filter(|c| c.len() > 1) {
        let points: Vec<(f64, f64)> = correlation.iter().enumerate().map(|(t, c)| (t as f64, *c)).collect();
        let low = extent(correlation.iter().copied()).map_or(0.0, |e| e.0.min(0.0));
        let x = Axis { label: "states apart", range: (0.0, (points.len() - 1) as f64), integer: true };
        let y = Axis { label: "correlation", range: padded((low, 1.0), 0.02), integer: false };
        let series = [Series { name: "correlation".into(), style: 0, points }];
        let svg = charts::lines(
            "Correlation of states of a chain over their distance",
            x,
            y,
            &series,
            None,
            (460.0, 240.0),
        );
        blocks.push(Block::Charts(vec![Chart {
            title: "How long a chain remembers".into(),
            svg,
            ..Chart::default()
        }]));
    }
    if let Some(shares) = vector(state, "chain.classes") {
        let mut table = Table::new(
            "Classes along the chains, by the nearest training row",
            ["Class", "#% of the states"],
        );
        for (c, share) in shares.iter().enumerate() {
            let name = classes.get(c).cloned().unwrap_or_else(|| c.to_string());
            table.row([Cell::from(name), Cell::from(format!("{:.1}", 100.0 * share))]);
        }
        blocks.push(Block::Table(table));
    }
    let thin = state.tensors.get("chain.thin").and_then(|t| t.as_u64()?.first().copied()).unwrap_or(1);
    let intro =
        format!("The model draws by a Markov chain; a state is looked at after every {thin} transitions.");
    Ok(section("chain", "The chain", &intro, blocks))
}

/// What hidden units look at.
pub(crate) fn filters(look: &Look<'_>, state: &State) -> Result<Option<Section>> {
    let Some(rows) = Rows::of(state, "filters") else { return Ok(None) };
    let Kind::Image(pixels) = look.kind(rows.d) else { return Ok(None) };
    let shown = rows.first(rows.n);
    let mut sizes: Vec<f32> =
        shown.iter().flat_map(|r| r.iter().map(|w| w.abs())).filter(|w| w.is_finite()).collect();
    sizes.sort_by(f32::total_cmp);
    // A few large weights would leave the rest grey.
    let top = sizes.get(sizes.len() * 99 / 100).map_or(0.0, |t| f64::from(*t));
    if top <= 0.0 {
        return Ok(None);
    }
    let columns = (shown.len() as f64).sqrt().ceil() as usize;
    let alt = format!("Weights of {} hidden units as images", shown.len());
    let grid = picture::grid(&shown, pixels, columns, (-top, top), alt)?;
    let caption = format!("Grey is 0, black \u{2212}{top:.2} and white {top:.2}.");
    let intro = "Weights between the pixels and each of the first hidden units.";
    let picture = Picture { title: "Receptive fields".into(), caption, ..grid };
    Ok(section("filters", "What hidden units look at", intro, vec![Block::Pictures(vec![picture])]))
}
