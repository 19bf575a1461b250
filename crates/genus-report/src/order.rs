//! The parts of a report that show what a model draws from: the order of its dimensions, what each looks at, a class, half an
//! image.

use crate::block::{Block, Cell, Ramp, Section};
use crate::exhibits::section;
use crate::look::{Kind, Look, Rows, vector};
use crate::picture::{self, Picture, ramp_css};
use crate::scale::short;
use genus_core::{Result, State};

/// Frames of a film.
const FRAMES: usize = 56;
/// Powers of ten below the largest change at which colours end.
const DECADES: f64 = 5.0;

/// The `u64` values of an exhibit as indices below `limit`; none if one is not.
fn indices(state: &State, name: &str, limit: usize) -> Option<Vec<usize>> {
    let all = state.tensors.get(name)?.as_u64()?;
    all.iter().map(|i| usize::try_from(*i).ok().filter(|i| *i < limit)).collect()
}

/// Images while they are drawn.
pub(crate) fn drawn(look: &Look<'_>, state: &State) -> Result<Option<Section>> {
    let Some(images) = Rows::of(state, "drawn.images") else { return Ok(None) };
    let (Kind::Image(pixels), Some(order), Some([levels])) =
        (look.kind(images.d), indices(state, "drawn.order", images.d), vector(state, "drawn.levels"))
    else {
        return Ok(None);
    };
    let alt = format!("{} images that appear value by value", images.n);
    let range = (0.0, levels - 1.0);
    let film = picture::film(&images.first(images.n), &order, pixels, 6, range, FRAMES, alt)?;
    let intro = "The model draws one value after the other, each from its distribution given those before.";
    Ok(section("drawing", "Drawing in order", intro, vec![Block::Pictures(vec![film])]))
}

/// What conditionals of single pixels depend on.
pub(crate) fn receptive(look: &Look<'_>, state: &State) -> Result<Option<Section>> {
    let change = state.tensors.get("receptive.change").and_then(|t| match t.shape[..] {
        [targets, n] if targets > 0 && n > 0 => Some((t.as_f64()?, n)),
        _ => None,
    });
    let Some((change, n)) = change else { return Ok(None) };
    let Some(size) = look.pixels().filter(|p| p.height * p.width == n) else { return Ok(None) };
    let Some(targets) = indices(state, "receptive.pixels", n) else { return Ok(None) };
    let largest = change.iter().copied().fold(0.0, f64::max);
    if targets.len() * n != change.len() || !(largest > 0.0 && largest.is_finite()) {
        return Ok(None);
    }
    let range = (largest.log10() - DECADES, largest.log10());
    let picture = |(target, change): (&usize, &[f64])| {
        let (row, column) = (target / size.width + 1, target % size.width + 1);
        let seen = (0..n).filter(|p| change[*p] > 0.0 && p != target).count();
        let title = format!("Row {row}, column {column}");
        let alt = format!("{title}: {seen} pixels change its conditional");
        let picture = picture::strengths(change, size.width, *target, range, alt)?;
        Ok(Picture { title, caption: format!("{seen} pixels"), ..picture })
    };
    let pictures = targets.iter().zip(change.chunks_exact(n)).map(picture).collect::<Result<_>>()?;
    let [low, high] = [range.0, range.1].map(|v| short(10f64.powf(v)));
    let ramp =
        Ramp { css: ramp_css(), low: format!("≤ {low}"), high, label: "change of probabilities".into() };
    let intro = "How much the probabilities of the white pixel change when one other pixel does. Pixels without colour \
                 change nothing at all: they come later, or the model is blind to them.";
    Ok(section(
        "receptive",
        "What a pixel depends on",
        intro,
        vec![Block::Pictures(pictures), Block::Ramp(ramp)],
    ))
}

/// Draws of every class.
pub(crate) fn by_class(look: &Look<'_>, state: &State, classes: &[String]) -> Result<Option<Section>> {
    let all = Rows::paths(state, "by_class");
    let Some(&Rows { d, .. }) = all.first() else { return Ok(None) };
    let name = |c: usize| classes.get(c).cloned().unwrap_or_else(|| c.to_string());
    let blocks = match look.kind(d) {
        Kind::Image(pixels) => {
            let line = |(c, rows): (usize, &Rows<'_>)| {
                let alt = format!("{} images of class {}", rows.n, name(c));
                let grid = look.grid(&rows.first(rows.n), pixels, rows.n, alt, String::new())?;
                Ok(Picture { title: name(c), ..grid })
            };
            vec![Block::Pictures(all.iter().enumerate().map(line).collect::<Result<_>>()?)]
        }
        _ => {
            let lines = all
                .iter()
                .enumerate()
                .flat_map(|(c, rows)| rows.first(4).into_iter().map(move |row| (c, row)));
            let lines = lines.map(|(c, row)| (vec![Cell::from(name(c))], row));
            vec![Block::Table(look.table("Draws of each class", &["Class"], lines, d))]
        }
    };
    Ok(section("classes", "Draws of each class", "Drawn from the model given the class.", blocks))
}

/// Images with their lower half missing, and what the model makes of them.
pub(crate) fn completions(look: &Look<'_>, state: &State) -> Result<Option<Section>> {
    let drawn = Rows::paths(state, "completions.drawn");
    let (Some(whole), Some(given), Some(first)) =
        (Rows::of(state, "completions.whole"), Rows::of(state, "completions.given"), drawn.first())
    else {
        return Ok(None);
    };
    let Kind::Image(pixels) = look.kind(whole.d) else { return Ok(None) };
    if [given.d, first.d] != [whole.d; 2] || [given.n, first.n] != [whole.n; 2] {
        return Ok(None);
    }
    let lines = [given].into_iter().chain(drawn.iter().copied()).chain([whole]);
    let images: Vec<&[f32]> = lines.flat_map(|rows| rows.first(rows.n)).collect();
    let alt = format!("{} images: what is given, {} completions, the real ones", whole.n, drawn.len());
    let grid = look.grid(&images, pixels, whole.n, alt, String::new())?;
    let law = state.header.get("completions.law").map_or("", String::as_str);
    let intro = format!(
        "First line: the upper half of test images. Last line: the whole ones. Between them: lower halves drawn from {law}."
    );
    Ok(section("completions", "Completions", &intro, vec![Block::Pictures(vec![grid])]))
}
