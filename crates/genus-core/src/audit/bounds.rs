//! Lower bounds: they tighten with more draws, and stay below the exact value where that can be computed.

use super::{repeated, row};
use crate::run::AuditRow;
use crate::{Batch, Density, EvidenceKind, LatentVariable, LogProb, Result, Scoring, Seed, Stop};
use rayon::prelude::*;
use std::collections::HashSet;

/// The rows that differ from all before them: equal rows have equal draws, and would count as more evidence than they are.
fn distinct(rows: &Batch) -> Batch {
    let mut seen = HashSet::new();
    let new: Vec<usize> = (0..rows.rows())
        .filter(|r| seen.insert(rows.row(*r).iter().map(|v| v.to_bits()).collect::<Vec<u32>>()))
        .collect();
    Batch::from_fn(new.len(), rows.width(), |r, c| rows.row(new[r])[c])
}

/// More importance samples never loosen the bound, beyond three standard errors of the difference.
pub(super) fn tightens(density: &dyn Density, rows: &Batch, seed: Seed) -> Result<Option<AuditRow>> {
    let rows = distinct(rows).slice(0, 128);
    let at = |k| density.score(&rows, &Scoring { importance_samples: k, seed });
    let first = at(1)?;
    // Elsewhere the bound comes from dequantisation alone, and importance samples play no part.
    if first.evidence.kind != EvidenceKind::LowerBound
        || density.spec().evidence != Some(EvidenceKind::LowerBound)
        || rows.rows() < 2
    {
        return Ok(None);
    }
    let mut figures = vec![format!("{:.3}", first.mean())];
    let (mut last, mut rises) = (first, true);
    for k in [8, 64] {
        let next = at(k)?;
        let gain: Vec<f64> = next.nats.iter().zip(&last.nats).map(|(a, b)| a - b).collect();
        let diff = LogProb { nats: gain, ..next.clone() };
        // The same number for any number of draws is no bound that draws are averaged in.
        rises &= next.nats != last.nats && diff.mean() > -3.0 * diff.stderr();
        figures.push(format!("{:.3}", next.mean()));
        last = next;
    }
    let figure = format!("mean bound with 1, 8, 64 draws: {} nats (false alarm 0.3 %)", figures.join(", "));
    Ok(Some(row("the bound tightens with more draws", rises, figure)))
}

/// log p(x) = log ∫ p(x|z) p(z) dz of each row by quadrature, where z has one or two dimensions; none where every second point gives
/// another value, because p(x|z) is too narrow for the grid, or where p(z) has mass beside it.
pub(super) fn marginal(latent: &dyn LatentVariable, rows: &Batch) -> Result<Option<Vec<f64>>> {
    let l = latent.code_width();
    if l > 2 {
        return Ok(None);
    }
    let n: usize = if l == 1 { 2001 } else { 121 };
    let step = 16.0 / (n - 1) as f64;
    let axis = |i: usize| -8.0 + step * i as f64;
    let codes = Batch::from_fn(n.pow(l as u32), l, |r, c| axis(if c == 0 { r % n } else { r / n }) as f32);
    let cell = l as f64 * libm::log(step);
    let prior: Vec<f64> = latent.log_prior(&codes)?.iter().map(|p| p + cell).collect();
    if crate::math::log_sum_exp(prior.iter().copied()).abs() > 2e-3 {
        return Ok(None);
    }
    let kept = |i: &usize| (i % n).is_multiple_of(2) && (i / n).is_multiple_of(2);
    let thinned = l as f64 * std::f64::consts::LN_2;
    let stop = Stop::current();
    let found = (0..rows.rows())
        .into_par_iter()
        .map(|r| {
            let given = stop.during(|| latent.log_given(&rows.slice(r, r + 1), &codes))?;
            let joint: Vec<f64> = given.iter().zip(&prior).map(|(g, p)| g + p).collect();
            let second: Vec<f64> = (0..joint.len()).filter(kept).map(|i| joint[i]).collect();
            let nats = crate::math::log_sum_exp(joint);
            Ok((nats, (crate::math::log_sum_exp(second) + thinned - nats).abs()))
        })
        .collect::<Result<Vec<(f64, f64)>>>()?;
    let rough = found.iter().any(|(_, off)| *off > 0.05);
    Ok((!rough).then(|| found.into_iter().map(|(nats, _)| nats).collect()))
}

/// The bound lies below the exact log p(x), which one or two latent dimensions allow to compute.
pub(super) fn below_exact(latent: &dyn LatentVariable, rows: &Batch, seed: Seed) -> Result<Option<AuditRow>> {
    let rows = rows.slice(0, 64);
    let Some(exact) = marginal(latent, &rows)? else { return Ok(None) };
    let exact = exact.iter().sum::<f64>() / rows.rows() as f64;
    let (bound, stderr) = repeated(seed.child("below"), 64, |how| Ok(latent.score(&rows, &how)?.mean()))?;
    let figure =
        format!("exact by quadrature {exact:.4}, bound {bound:.4} ± {stderr:.4} nats (false alarm 1e-4)");
    Ok(Some(row("the bound lies below the exact value", bound < exact + 5.0 * stderr + 1e-3, figure)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Decoder, Domain, Encoder, Evidence, Family, Fit, FitContext, Measure, Model, ModelSpec, Schema, State,
    };

    /// x = z + noise of variance 1, z from a law that is not normal.
    struct Sum {
        schema: Schema,
        prior: fn(f64) -> f64,
    }

    impl Family for Sum {
        type Config = std::collections::BTreeMap<String, u32>;
        fn fit(_: &Self::Config, _: &crate::Dataset, _: &mut FitContext<'_>) -> Result<Fit<Self>> {
            unreachable!()
        }
        fn restore(_: &State) -> Result<Self> {
            unreachable!()
        }
    }

    static SPEC: ModelSpec = ModelSpec::new::<Sum>("sum", "Sum", "guest::explicit::approximate::sum");

    impl Model for Sum {
        fn spec(&self) -> &'static ModelSpec {
            &SPEC
        }
        fn schema(&self) -> &Schema {
            &self.schema
        }
        fn state(&self) -> State {
            State::default()
        }
    }

    impl Density for Sum {
        fn score(&self, x: &Batch, _: &Scoring) -> Result<LogProb> {
            Ok(LogProb {
                nats: vec![0.0; x.rows()],
                spread: None,
                evidence: Evidence::EXACT,
                measure: Measure::Lebesgue,
                protocol: String::new(),
            })
        }
    }

    impl Encoder for Sum {
        fn code_width(&self) -> usize {
            1
        }
        fn encode(&self, x: &Batch) -> Result<Batch> {
            Ok(x.clone())
        }
    }

    impl Decoder for Sum {
        fn decode(&self, codes: &Batch) -> Result<Batch> {
            Ok(codes.clone())
        }
    }

    fn normal(v: f64) -> f64 {
        -0.5 * (v * v + crate::math::LN_2PI)
    }

    impl LatentVariable for Sum {
        fn log_given(&self, x: &Batch, codes: &Batch) -> Result<Vec<f64>> {
            Ok(codes.iter().map(|z| normal(f64::from(x.row(0)[0] - z[0]))).collect())
        }
        fn log_prior(&self, codes: &Batch) -> Result<Vec<f64>> {
            Ok(codes.iter().map(|z| (self.prior)(f64::from(z[0]))).collect())
        }
    }

    /// Two normals of deviation ½ at ±2, given one of deviation 1: again two normals at ±2, of variance 1.25.
    #[test]
    fn the_marginal_is_that_under_the_models_prior() {
        let two = |v: f64, variance: f64| {
            let of = |m: f64| {
                (-0.5 * (v - m).powi(2) / variance).exp() / (crate::math::LN_2PI.exp() * variance).sqrt()
            };
            (0.5 * (of(2.0) + of(-2.0))).ln()
        };
        let schema = Schema::from(Domain::real(1));
        let model = Sum {
            schema: schema.clone(),
            prior: |v| {
                let of = |m: f64| {
                    (-0.5 * (v - m).powi(2) / 0.25).exp() / (crate::math::LN_2PI.exp() * 0.25).sqrt()
                };
                (0.5 * (of(2.0) + of(-2.0))).ln()
            },
        };
        let rows = Batch::from_fn(3, 1, |r, _| r as f32 - 0.5);
        let found = marginal(&model, &rows).unwrap().unwrap();
        for (row, nats) in rows.iter().zip(found) {
            assert!((nats - two(f64::from(row[0]), 1.25)).abs() < 1e-6, "{nats}");
        }
        // A prior whose mass lies beside the grid is none that can be summed.
        let far = Sum { schema, prior: |v| normal(v - 9.0) };
        assert!(marginal(&far, &rows).unwrap().is_none());
    }

    #[test]
    fn equal_rows_count_as_one() {
        let rows = Batch::from_fn(6, 2, |r, c| (r % 3 * 2 + c) as f32);
        assert_eq!(distinct(&rows), rows.slice(0, 3));
    }
}
