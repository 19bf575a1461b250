//! Rows on a map: their codes, or the first two principal axes of these.

use super::some;
use crate::panel::Named;
use crate::{Batch, Diagnostic, Exhibit, Found, Panel, Result, Seed, Stop, Trained};
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
    let stop = Stop::current();
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
    let (mean, _) = crate::transform::moments(codes);
    let mut cov = vec![0.0; d * d];
    for row in codes.iter() {
        stop.check()?;
        let e: Vec<f64> = row.iter().zip(&mean).map(|(v, m)| f64::from(*v) - m).collect();
        for i in 0..d {
            for j in 0..d {
                cov[i * d + j] += e[i] * e[j] / codes.rows() as f64;
            }
        }
    }
    let total: f64 = (0..d).map(|i| cov[i * d + i]).sum();
    let mut axes: Vec<(f64, Vec<f64>)> = Vec::new();
    let mut rng = seed.child("axes").rng();
    for _ in 0..2 {
        // Power iteration on what the axes so far leave over.
        let mut v: Vec<f64> = (0..d).map(|_| rng.normal()).collect();
        let mut value = 0.0;
        for _ in 0..200 {
            stop.check()?;
            let mut w: Vec<f64> = (0..d).map(|i| (0..d).map(|j| cov[i * d + j] * v[j]).sum()).collect();
            for (_, axis) in &axes {
                let along: f64 = w.iter().zip(axis).map(|(a, b)| a * b).sum();
                w.iter_mut().zip(axis).for_each(|(a, b)| *a -= along * b);
            }
            value = w.iter().map(|x| x * x).sum::<f64>().sqrt();
            if value < 1e-12 {
                break;
            }
            v = w.iter().map(|x| x / value).collect();
        }
        axes.push((value, v));
    }
    let flat = Batch::from_fn(codes.rows(), 2, |r, c| {
        codes.row(r).iter().zip(&mean).zip(&axes[c].1).map(|((v, m), a)| (f64::from(*v) - m) * a).sum::<f64>()
            as f32
    });
    let share = 100.0 * (axes[0].0 + axes[1].0) / total.max(1e-12);
    Ok((flat, format!("first two principal axes of {d} latent dimensions, {share:.0} % of their variance")))
}
