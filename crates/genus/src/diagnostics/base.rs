//! How a flow makes rows of noise: step by step, at several temperatures, scale by scale.

use super::axes;
use super::samples::around;
use crate::panel::Named;
use crate::{
    Batch, Diagnostic, Drawing, Error, Exhibit, Found, Invertible, Panel, Result, Sampler, Seed, Trained,
};

/// Parts of the way that are shown.
const PARTS: usize = 5;
/// Points of a plane, images of a line, and lines of a table.
const POINTS: usize = 2000;
const IMAGES: usize = 10;
const LINES: usize = 3;
/// Temperatures at which images are drawn.
const TEMPERATURES: [f64; 5] = [0.5, 0.7, 0.8, 0.9, 1.0];

pub(super) struct FromTheBase;

impl Diagnostic for FromTheBase {
    fn name(&self) -> &'static str {
        "base"
    }

    fn what(&self) -> &'static str {
        "the way from the base"
    }

    fn applies(&self, of: &Trained<'_>) -> bool {
        of.model.as_invertible().is_some()
    }

    fn find(&self, of: &Trained<'_>, seed: Seed) -> Result<Found> {
        let Some(model) = of.model.as_invertible() else { return Ok(Found::default()) };
        let mut exhibits = vec![way(model, of, seed.child("way"))?];
        if of.images() {
            match temperatures(model, seed.child("temperatures")) {
                // A law that has no other temperature is shown at none.
                Err(e) if matches!(e.root(), Error::Unsupported { .. }) => {}
                found => exhibits.push(found?),
            }
            exhibits.extend(scales(model, seed.child("scales"))?);
        }
        Ok(Found { exhibits, ..Found::default() })
    }
}

/// Rows of the data that the model works on, as data.
fn seen(model: &dyn Invertible, x: &Batch) -> Batch {
    match model.transform() {
        Some(transform) => transform.inverse(x),
        None => x.clone(),
    }
}

/// Where rows of noise are: draws of the model, taken to the base, so that the law of the noise is that of the model.
fn noise(model: &dyn Invertible, n: usize, seed: Seed) -> Result<Batch> {
    let x = model.sample(n, &mut seed.rng())?;
    let y = match model.transform() {
        Some(t) => t.forward(&x, crate::transform::Noise::Row(seed))?.0,
        None => x,
    };
    Ok(model.to_base(&y)?.0)
}

fn way(model: &dyn Invertible, of: &Trained<'_>, seed: Seed) -> Result<Exhibit> {
    let n = match (of.plane(), of.images()) {
        (true, _) => POINTS,
        (_, true) => IMAGES,
        _ => LINES,
    };
    let z = noise(model, n, seed)?;
    let path = model.path(&z, PARTS)?;
    let last = path.len();
    let name = |i: usize| match i {
        0 => "Noise".to_owned(),
        i if i == last => "Rows".to_owned(),
        i => format!("After {i} of {last} parts"),
    };
    let stages = std::iter::once(&z).chain(&path).enumerate();
    let text = "Draws of the base on their way to rows, after parts of the map.";
    let panels = if of.plane() {
        let cloud = |(i, x): (usize, &Batch)| {
            let rows = seen(model, x);
            let frame = (i == last).then(|| around(&of.held_out().x));
            let groups = vec![Named::new(name(i), &rows)];
            Panel::Cloud { title: name(i), axes: axes(&of.data.schema), frame, groups, colour: i }
        };
        stages.map(cloud).collect()
    } else {
        vec![Panel::Rows {
            title: String::new(),
            each: "Where".into(),
            sets: stages.map(|(i, x)| Named::new(name(i), &seen(model, x))).collect(),
            per_line: of.images().then_some(IMAGES),
            notes: None,
            shade: crate::panel::Shade::Data,
        }]
    };
    Ok(Exhibit::new("from-the-base", "From noise to rows", text, panels))
}

/// Images drawn at several temperatures, from the same noise.
fn temperatures(model: &dyn Invertible, seed: Seed) -> Result<Exhibit> {
    let draw = |temperature| {
        let how = Drawing { temperature, ..Drawing::default() };
        let x = Sampler::draw_as(model, IMAGES, &how, &mut seed.rng())?.x;
        Ok(Named::new(format!("{temperature}"), &x))
    };
    let sheet = Panel::Rows {
        title: String::new(),
        each: "Temperature".into(),
        sets: TEMPERATURES.into_iter().map(draw).collect::<Result<_>>()?,
        per_line: Some(IMAGES),
        notes: None,
        shade: crate::panel::Shade::Data,
    };
    let text = "The same noise with its deviations multiplied by a temperature: below 1 draws are closer to what is most usual, and \
                less varied than the data.";
    Ok(Exhibit::new("temperatures", "Temperatures", text, vec![sheet]))
}

/// Images of which one scale after the other is drawn anew.
fn scales(model: &dyn Invertible, seed: Seed) -> Result<Option<Exhibit>> {
    let scales = model.scales();
    if scales.len() < 2 {
        return Ok(None);
    }
    let z = noise(model, IMAGES, seed.child("first"))?;
    let other = noise(model, IMAGES, seed.child("second"))?;
    let anew = |(i, places): (usize, &Vec<usize>)| {
        let mut mixed = z.clone();
        for r in 0..mixed.rows() {
            places.iter().for_each(|p| mixed.row_mut(r)[*p] = other.row(r)[*p]);
        }
        let name = match (i, i + 1 == scales.len()) {
            (0, _) => "finest anew".to_owned(),
            (_, true) => "coarsest anew".to_owned(),
            _ => format!("scale {} anew", i + 1),
        };
        Ok(Named::new(name, &seen(model, &model.to_rows(&mixed)?)))
    };
    let mut sets = vec![Named::new("as drawn".to_owned(), &seen(model, &model.to_rows(&z)?))];
    sets.extend(scales.iter().enumerate().map(anew).collect::<Result<Vec<_>>>()?);
    let sheet = Panel::Rows {
        title: String::new(),
        each: "Noise".into(),
        sets,
        per_line: Some(IMAGES),
        notes: None,
        shade: crate::panel::Shade::Data,
    };
    let text =
        "What each scale decides: images whose noise is drawn anew at one scale, and stays at the others.";
    Ok(Some(Exhibit::new("scales", "Scale by scale", text, vec![sheet])))
}
