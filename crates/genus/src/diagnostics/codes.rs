//! Rows on a map: their codes, or the first two principal axes of these.

use super::some;
use crate::panel::Named;
use crate::spectrum::{covariance, leading};
use crate::{Batch, Diagnostic, Exhibit, Found, Panel, Result, Seed, Trained};
use std::collections::BTreeMap;

/// Rows on the map.
const ROWS: usize = 2000;

pub(super) struct Codes;

impl Diagnostic for Codes {
    fn name(&self) -> &'static str {
        "codes"
    }

    fn what(&self) -> &'static str {
        "the map of codes"
    }

    fn applies(&self, of: &Trained<'_>) -> bool {
        of.model.as_encoder().is_some()
    }

    fn find(&self, of: &Trained<'_>, seed: Seed) -> Result<Found> {
        let Some(encoder) = of.model.as_encoder() else { return Ok(Found::default()) };
        let split = some(of.held_out(), ROWS, seed);
        let labels = of.data.schema.labels(&split);
        let (codes, text) = plane_of(&encoder.encode(&split.x)?, seed)?;
        let mut groups: BTreeMap<Option<u32>, Vec<(f64, f64)>> = BTreeMap::new();
        for (r, row) in codes.iter().enumerate() {
            let label = labels.as_ref().map(|l| l[r]);
            groups.entry(label).or_default().push((f64::from(row[0]), f64::from(row[1])));
        }
        let name = |label: Option<u32>| match label {
            None => "codes".into(),
            Some(l) => of.data.schema.class_name(l as usize),
        };
        let cloud = Panel::Cloud {
            title: String::new(),
            axes: ["first axis".into(), "second axis".into()],
            frame: None,
            colour: 0,
            groups: groups.into_iter().map(|(label, points)| Named::new(name(label), points)).collect(),
        };
        Ok(Exhibit::new("latent", "Latent map", text, vec![cloud]).into())
    }
}

/// Codes on a plane: as they are, or on their first two principal axes.
fn plane_of(codes: &Batch, seed: Seed) -> Result<(Batch, String)> {
    if codes.width() == 2 {
        return Ok((codes.clone(), "the two latent dimensions".into()));
    }
    if codes.width() == 1 {
        return Ok((
            Batch::from_fn(codes.rows(), 2, |r, c| if c == 0 { codes.row(r)[0] } else { 0.0 }),
            "the latent dimension".into(),
        ));
    }
    let d = codes.width();
    let (mean, covariance) = covariance(codes)?;
    let total = covariance.trace();
    let (values, axes) = leading(&covariance, 2, None, &mut seed.child("axes").rng())?;
    let flat = Batch::from_fn(codes.rows(), 2, |r, c| {
        let off = codes.row(r).iter().zip(&mean).map(|(v, m)| f64::from(*v) - m);
        off.zip(axes.column(c).iter()).map(|(v, a)| v * a).sum::<f64>() as f32
    });
    let share = 100.0 * (values[0] + values[1]) / total.max(1e-12);
    Ok((flat, format!("first two principal axes of {d} latent dimensions, {share:.0} % of their variance")))
}
