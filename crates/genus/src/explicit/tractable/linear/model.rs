//! The public model of the family.

use super::gaussian::{LinearGaussian, Posterior};
use super::holes::Em;
use super::{Found, LinearConfig, Moments, Noise};
use crate::holes::{self, Pattern};
use crate::spectrum::covariance;
use crate::{completion, draws};
use genus_core::config::Positive;
use genus_core::panel::{Cell, Named, Shade};
use genus_core::transform::{Noise as Between, RealSteps, Transform, moments};
use genus_core::{
    Batch, Capability, Completion, Conditional, Dataset, Decoder, Density, Encoder, Error, Event, Exhibit,
    Family, Figure, Fill, Fit, FitContext, FitReport, LatentVariable, LogProb, Model, ModelSpec, Panel,
    Result, Rng, Sampler, Schema, Scoring, Shape, Size, State, Stop, StopReason, Tensor, config,
};
use nalgebra::{DMatrix, DVector};
use rayon::prelude::*;
use std::collections::BTreeMap;

/// What both members can do.
pub(super) const CAPABILITIES: &[Capability] = &[
    Capability::Density,
    Capability::Sampler,
    Capability::Encoder,
    Capability::Decoder,
    Capability::Conditional,
];

/// What a normal law of few levels cannot do.
pub(super) const BITS: &[(&str, &str)] = &[
    ("beats_independent_columns", "one normal spends most of its mass beside the dequantised levels"),
    ("approaches_the_known_entropy", "one normal spends most of its mass beside the dequantised levels"),
];

/// A millionth.
pub(super) fn floor() -> Positive {
    match Positive::new(1e-6) {
        Some(v) => v,
        None => unreachable!("it is positive"),
    }
}

/// A tenth of the columns, two at least, where there are so many.
pub(super) fn suited_factors(size: Size) -> toml::Table {
    let most = size.columns.saturating_sub(1).max(1);
    let latent = size.columns.div_ceil(10).clamp(2, 50).min(most);
    [("latent".to_owned(), (latent as i64).into())].into_iter().collect()
}

/// Likewise; levels and bits have a unit in common.
pub(super) fn suited(size: Size) -> toml::Table {
    let mut table = suited_factors(size);
    if !size.real {
        table.insert("standardize".into(), false.into());
    }
    table
}

/// Rows whose noise between levels is seen, at most, and how often a row comes at most for that.
const NOISY: usize = 4096;
const TIMES: usize = 64;
/// Most values of a covariance: half a gibibyte.
const MOST: usize = 1 << 26;
/// Most factors that a report shows.
const SHOWN: usize = 36;

/// A fitted linear Gaussian model.
#[derive(Debug, Clone)]
pub struct Linear<N: Noise> {
    config: N::Config,
    transform: Transform,
    law: LinearGaussian,
    /// Columns whose noise only the floor holds up.
    held: usize,
}

impl<N: Noise> Family for Linear<N> {
    type Config = N::Config;

    fn fit(config: &Self::Config, data: &Dataset, cx: &mut FitContext<'_>) -> Result<Fit<Self>> {
        data.check_missing()?;
        let (d, q, rows) = (data.schema.width(), config.latent(), data.train.x.rows());
        if q >= d {
            let message = format!("{q} factors of {d} columns explain everything; take fewer than columns");
            return Err(Error::config("latent", message));
        }
        if rows < 2 || d.saturating_mul(d) > MOST {
            let message =
                format!("{rows} rows of {d} columns: two rows are needed, and at most 8192 columns");
            return Err(Error::Domain(message));
        }
        let want = RealSteps { logit: None, standardize: config.standardize() };
        let transform =
            crate::transform_for(cx, data, || Transform::to_real(&data.schema, want, &data.train.x, 0))?
                .with_missing();
        let mut noise = cx.seed.child("dequantize").rng();
        let times = if transform.dequantizes() { NOISY.div_ceil(rows).clamp(1, TIMES) } else { 1 };
        let every: Vec<usize> = (0..times * rows).map(|r| r % rows).collect();
        let (x, _) = transform.forward(&data.train.x.select(&every), Between::Stream(&mut noise))?;
        // Rotations of the factors change nothing, and no normal law has more parameters than a full covariance.
        let own = d * q + N::parameters(d) - q * (q - 1) / 2;
        let parameters = d + own.min(d * (d + 1) / 2);
        let (name, steps) = (N::spec().name.into(), None);
        cx.emit(&Event::Start { model: name, steps, resumed_at: 0, parameters: parameters as u64 });
        let start = cx.start.map(Self::restore).transpose()?;
        if let Some(old) = start.as_ref().filter(|old| old.config.latent() != q) {
            let message = format!("the model that fitting begins with has {} factors", old.config.latent());
            return Err(Error::config("latent", message));
        }
        let mut rng = cx.seed.child("start").rng();
        let stop = cx.stop().clone();
        let mut step = 0;
        let Found { law, converged } = stop.during(|| {
            let mut heard = |nats: f64| {
                step += 1;
                let parts = BTreeMap::from([("loss".to_owned(), -nats)]);
                cx.emit(&Event::Step { step, parts });
                cx.stopped().is_some()
            };
            let start = start.as_ref().map(|old| &old.law);
            let mut from_moments = |x: &Batch, heard: &mut dyn FnMut(f64) -> bool| {
                let (mean, covariance) = covariance(x)?;
                let of = Moments { mean: &mean, covariance: &covariance, start, rng: &mut rng };
                N::fit(config, of, heard)
            };
            if !holes::any(&x) {
                return from_moments(&x, &mut heard);
            }
            let begin = match start {
                Some(old) => old.clone(),
                None => match from_moments(&holes::filled(&x), &mut |_| false) {
                    // Rows that are mostly means may have no law.
                    Err(Error::Numerical { .. }) => somewhere(&x, q, &mut rng)?,
                    found => found?.law,
                },
            };
            let (iterations, tolerance) = config.patience();
            let em = Em { least: &least::<N>(config, &x), shared: N::SHARED, iterations, tolerance };
            em.climb(&x, begin, &mut heard)
        })?;
        let mut report = FitReport::default();
        if !converged && cx.stopped().is_none() {
            cx.warn(
                &mut report,
                "the likelihood still rose when the fit ended; take fewer factors, or more rows",
            );
        }
        if own > d * (d + 1) / 2 {
            let message = format!(
                "{q} factors of {d} columns have more numbers than a covariance: the law is known, the factors and the noise are not; take fewer"
            );
            cx.warn(&mut report, message);
        }
        let held = held(&law, config.floor());
        if held > 0 {
            let message = format!(
                "{held} of {d} columns have no noise of their own: they do not vary, the factors explain them wholly, or columns depend on each \
                 other; the likelihood is as high as the floor is low; take fewer factors, a higher `floor`, or leave such columns out"
            );
            cx.warn(&mut report, message);
        }
        let model = Self { config: config.clone(), transform, law, held };
        report.figures = match model.criteria(&data.train.x, parameters) {
            Err(Error::Stopped(_)) => Vec::new(),
            other => other?,
        };
        let reason = cx.stopped().unwrap_or(StopReason::Completed);
        let train = match report.figures.first() {
            Some(total) => BTreeMap::from([("loss".to_owned(), -total.value / rows as f64)]),
            None => BTreeMap::new(),
        };
        cx.emit(&Event::Epoch { epoch: 1, step: step.max(1), train, valid: BTreeMap::new(), best: true });
        cx.emit(&Event::End { step: step.max(1), reason });
        (report.steps, report.stopped) = (step.max(1), Some(reason));
        Ok(Fit { model, report })
    }

    fn restore(state: &State) -> Result<Self> {
        let config: N::Config = crate::restore_config(state)?;
        let transform = crate::restore_transform(state)?;
        let (d, q) = (transform.target().width(), config.latent());
        let weights = DMatrix::from_row_slice(d, q, state.f64("weights", &[d, q])?);
        let (mean, noise) = (state.f64("mean", &[d])?.to_vec(), state.f64("noise", &[d])?.to_vec());
        let law = LinearGaussian::new(weights, mean, noise)?;
        let held = held(&law, config.floor());
        Ok(Self { config, transform, law, held })
    }
}

/// A law to begin with: small factors, and noise as large as what is there of the columns varies.
fn somewhere(x: &Batch, q: usize, rng: &mut Rng) -> Result<LinearGaussian> {
    let (mean, deviations) = moments(x);
    let weights = DMatrix::from_fn(mean.len(), q, |c, _| 0.3 * deviations[c] * rng.normal());
    LinearGaussian::new(weights, mean, deviations.iter().map(|s| s * s).collect())
}

/// Least noise of each column, of rows that may lack values.
fn least<N: Noise>(config: &N::Config, x: &Batch) -> Vec<f64> {
    let (_, deviations) = moments(x);
    let own = deviations.iter().map(|s| config.floor() * s * s);
    if !N::SHARED {
        return own.collect();
    }
    vec![own.sum::<f64>() / deviations.len() as f64; deviations.len()]
}

/// Columns whose noise is that of the floor, up to rounding.
fn held(law: &LinearGaussian, floor: f64) -> usize {
    let variance = |c: usize| law.noise[c] + law.weights.row(c).norm_squared();
    (0..law.mean.len()).filter(|c| law.noise[*c] <= 1.001 * floor * variance(*c).max(1e-300)).count()
}

impl<N: Noise> Linear<N> {
    /// Log-likelihood of the training rows in data units, and the criteria that punish it for its parameters.
    fn criteria(&self, x: &Batch, parameters: usize) -> Result<Vec<Figure>> {
        let total: f64 = self.log_prob(x)?.nats.iter().sum();
        let mut figures = vec![Figure::new("total log-likelihood of the training rows", total, "nats")];
        // Of a bound there is no such criterion.
        if !self.transform.dequantizes() {
            let bic = parameters as f64 * (x.rows() as f64).ln() - 2.0 * total;
            figures.push(Figure::new("BIC of the training rows", bic, "lower is better"));
        }
        Ok(figures)
    }

    /// What log p of what is there of each row, and the mean of p(z | it), are made into.
    fn inferred<T: Send>(&self, y: &Batch, of: impl Fn((f64, DVector<f64>)) -> T + Sync) -> Result<Vec<T>> {
        let stop = Stop::current();
        let each = |kind: &Pattern| {
            let posterior = match kind.missing.is_empty() {
                true => self.law.whole().clone(),
                false => self.law.posterior(kind.there.clone())?,
            };
            let row = |r: &usize| {
                if r.is_multiple_of(64) {
                    stop.check()?;
                }
                Ok((*r, of(self.law.infer(&posterior, y.row(*r)))))
            };
            kind.rows.par_iter().map(row).collect::<Result<Vec<_>>>()
        };
        let found = holes::patterns(y).par_iter().map(each).collect::<Result<Vec<_>>>()?;
        let mut all: Vec<(usize, T)> = found.into_iter().flatten().collect();
        all.sort_unstable_by_key(|(r, _)| *r);
        Ok(all.into_iter().map(|(_, value)| value).collect())
    }

    fn own_log_prob(&self, y: &Batch) -> Result<Vec<f64>> {
        self.inferred(y, |(nats, _)| nats)
    }

    /// Rows of the model's domain from factors, with the noise of the columns or without.
    fn rows_of(&self, z: &DVector<f64>, rng: Option<&mut Rng>) -> Vec<f32> {
        let means = (0..self.law.mean.len()).map(|c| self.law.column(c, z));
        match rng {
            None => means.map(|m| m as f32).collect(),
            Some(rng) => {
                means.zip(&self.law.noise).map(|(m, v)| (m + v.sqrt() * rng.normal()) as f32).collect()
            }
        }
    }

    fn factors_of(&self, codes: &Batch) -> Result<Vec<DVector<f64>>> {
        if codes.width() != self.law.factors() {
            return Err(Error::shape("codes", self.law.factors(), codes.width()));
        }
        let wide = |row: &[f32]| DVector::from_iterator(row.len(), row.iter().map(|v| f64::from(*v)));
        Ok(codes.iter().map(wide).collect())
    }
}

impl<N: Noise> Model for Linear<N> {
    fn spec(&self) -> &'static ModelSpec {
        N::spec()
    }

    fn schema(&self) -> &Schema {
        self.transform.source()
    }

    fn transform(&self) -> Option<&Transform> {
        Some(&self.transform)
    }

    fn state(&self) -> State {
        let mut state = crate::header(N::spec(), &config::to_table(&self.config), &self.transform);
        let (d, q) = self.law.weights.shape();
        let weights = self.law.weights.transpose().as_slice().to_vec();
        let mut put = |name: &str, shape: &[usize], values| {
            state.tensors.insert(name.into(), Tensor::f64(shape, values));
        };
        put("weights", &[d, q], weights);
        put("mean", &[d], self.law.mean.clone());
        put("noise", &[d], self.law.noise.clone());
        state
    }

    fn exhibits(&self) -> Vec<Exhibit> {
        let (d, q) = self.law.weights.shape();
        let (shown, schema) = (q.min(SHOWN), self.schema());
        let share = |j: usize| {
            let all = |c: usize| self.law.weights.row(c).norm_squared() + self.law.noise[c];
            self.law.weights.column(j).norm_squared() / (0..d).map(all).sum::<f64>()
        };
        let panel = if matches!(schema.domain.shape, Shape::Image { .. }) {
            let weights = Batch::from_fn(shown, d, |j, c| self.law.weights[(c, j)] as f32);
            Panel::Rows {
                title: "Weights".into(),
                each: String::new(),
                sets: vec![Named::new("Weights", &weights)],
                per_line: None,
                notes: None,
                shade: Shade::Signed,
            }
        } else {
            let line = |c: usize| {
                let own = (0..shown.min(12)).map(|j| Cell::Number(self.law.weights[(c, j)]));
                let noise = self.law.noise[c];
                let share = noise / (noise + self.law.weights.row(c).norm_squared());
                [Cell::Text(schema.column(c).name)]
                    .into_iter()
                    .chain(own)
                    .chain([Cell::Share(share)])
                    .collect()
            };
            let head = (0..shown.min(12)).map(|j| format!("factor {} ({:.0} %)", j + 1, 100.0 * share(j)));
            Panel::Table {
                title: "Weights".into(),
                head: ["Column".to_owned()].into_iter().chain(head).chain(["Own noise".to_owned()]).collect(),
                rows: (0..d.min(200)).map(line).collect(),
            }
        };
        let text = "What each factor adds to each column where it is one, in the units that the model works in, and the share of a column's variance that is its own noise.";
        vec![Exhibit::new("weights", "Factors", text, vec![panel])]
    }

    fn as_density(&self) -> Option<&dyn Density> {
        Some(self)
    }
    fn as_sampler(&self) -> Option<&dyn Sampler> {
        Some(self)
    }
    fn as_encoder(&self) -> Option<&dyn Encoder> {
        Some(self)
    }
    fn as_decoder(&self) -> Option<&dyn Decoder> {
        Some(self)
    }
    fn as_conditional(&self) -> Option<&dyn Conditional> {
        Some(self)
    }
    fn as_latent_variable(&self) -> Option<&dyn LatentVariable> {
        // Under dequantisation p(x|z) of a level is itself an integral; where noise is at its floor it is too narrow for any grid.
        (!self.transform.is_random() && self.held == 0).then_some(self)
    }
}

impl<N: Noise> Density for Linear<N> {
    fn score(&self, x: &Batch, how: &Scoring) -> Result<LogProb> {
        let held = match self.held {
            0 => String::new(),
            n => format!("not comparable: {n} columns are held by the floor alone"),
        };
        draws::exact(&self.transform, x, how, [held], |y| self.own_log_prob(y))
    }
}

impl<N: Noise> Sampler for Linear<N> {
    fn sample(&self, n: usize, rng: &mut Rng) -> Result<Batch> {
        let (d, stop) = (self.law.mean.len(), Stop::current());
        let mut values = Vec::with_capacity(n * d);
        for r in 0..n {
            if r.is_multiple_of(64) {
                stop.check()?;
            }
            let z = DVector::from_fn(self.law.factors(), |_, _| rng.normal());
            values.extend(self.rows_of(&z, Some(rng)));
        }
        Ok(self.transform.inverse(&Batch::new(values, d)?))
    }
}

impl<N: Noise> Encoder for Linear<N> {
    fn code_width(&self) -> usize {
        self.law.factors()
    }

    /// The means of p(z | what is there of x); of levels, at the middle of each.
    fn encode(&self, x: &Batch) -> Result<Batch> {
        let y = self.transform.forward_at_middles(x)?;
        let codes = self.inferred(&y, |(_, mean)| mean)?;
        let codes = codes.iter().flat_map(|z| z.iter().map(|v| *v as f32)).collect();
        Batch::new(codes, self.code_width())
    }
}

impl<N: Noise> Decoder for Linear<N> {
    fn decode(&self, codes: &Batch) -> Result<Batch> {
        let rows = self.factors_of(codes)?;
        let rows: Vec<f32> = rows.iter().flat_map(|z| self.rows_of(z, None)).collect();
        Ok(self.transform.inverse_mean(&Batch::new(rows, self.law.mean.len())?))
    }
}

impl<N: Noise> LatentVariable for Linear<N> {
    fn log_given(&self, x: &Batch, codes: &Batch) -> Result<Vec<f64>> {
        if x.rows() != 1 {
            return Err(Error::shape("rows", 1, x.rows()));
        }
        let (y, log_det) = self.transform.forward(x, Between::Row(Scoring::default().seed))?;
        let rows = self.factors_of(codes)?;
        Ok(rows.iter().map(|z| self.law.log_given(y.row(0), z) + log_det[0]).collect())
    }
}

impl<N: Noise> Conditional for Linear<N> {
    fn complete(&self, x: &Batch, fill: Fill, rng: &mut Rng) -> Result<Completion> {
        let mut known: Option<(Vec<usize>, Posterior)> = None;
        completion::fill(&self.transform, x, fill, rng, |holes, rng| {
            // Rows often lack the same columns as the one before.
            let posterior = match known.take() {
                Some((same, posterior)) if same == holes.there => posterior,
                _ => self.law.posterior(holes.there.to_vec())?,
            };
            let each: Vec<(f64, DVector<f64>)> =
                holes.seen.iter().map(|y| self.law.infer(&posterior, y)).collect();
            let most = each.iter().map(|e| e.0).fold(f64::NEG_INFINITY, f64::max);
            if !most.is_finite() {
                return Err(completion::unexplained());
            }
            let weights: Vec<f64> = each.iter().map(|e| libm::exp(e.0 - most)).collect();
            let mean = |c: &usize, z: &DVector<f64>| self.law.column(*c, z);
            let made = match fill {
                Fill::Mean => {
                    let total: f64 = weights.iter().sum();
                    let parts = each.iter().zip(&weights).map(|((_, z), w)| z * (w / total));
                    let z = parts.fold(DVector::zeros(self.law.factors()), |sum, z| sum + z);
                    holes.missing.iter().map(|c| mean(c, &z)).collect()
                }
                Fill::Sample => {
                    let (_, centre) = &each[rng.categorical(&weights)];
                    let z = self.law.draw_factors(&posterior, centre, rng);
                    let draw = |c: &usize| mean(c, &z) + self.law.noise[*c].sqrt() * rng.normal();
                    holes.missing.iter().map(draw).collect()
                }
            };
            known = Some((holes.there.to_vec(), posterior));
            Ok(made)
        })
    }
}
