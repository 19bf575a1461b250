//! # Linear independent component analysis (ICA)
//!
//! ## What it is
//! x = A s + μ with independent, non-normal sources s: p(x) = |det W| Π_i p_i(w_i (x − μ)), W = A⁻¹ the unmixing matrix. Each source has a
//! generalised normal law, p_i(s) = β / (2 α Γ(1/β)) exp(−|s/α|^β), whose shape β is fitted: 2 is a normal, 1 a Laplace law, and large ones
//! are nearly uniform. W is determined up to the order, signs and scales of the sources, here of variance 1.
//!
//! ## Density
//! Exact; scores and draws take one product with a matrix.
//!
//! ## Trained by
//! Rows are whitened. `symmetric` and `deflation` are FastICA: the fixed point of w ← E[z g(wᵀz)] − E[g′(wᵀz)] w, all rows of W at once
//! with W ← (W Wᵀ)^{−1/2} W, or one after the other. `likelihood` goes on from the symmetric one by the natural gradient
//! W ← W + η (I − E[φ(y) yᵀ]) W, φ = −(log p)′, while the likelihood rises.
//!
//! ## Use it when
//! Columns are mixtures of few causes that act independently of each other, and these are wanted.
//!
//! ## References
//! Hyvärinen 1999 (FastICA); Bell & Sejnowski 1995 and Amari, Cichocki & Yang 1996 (maximum likelihood).
//!
//! ## Example
//! ```
//! use genus::{Density as _, Family, FitContext, LinearIca, LinearIcaConfig, Seed, Silent, data};
//!
//! let rows = data::load("8gaussians", &data::Options::default())?;
//! let fit = LinearIca::fit(&LinearIcaConfig::default(), &rows, &mut FitContext::new(Seed::from(7), &mut Silent))?;
//! // Independent normal columns have -4.26.
//! assert!(fit.model.log_prob(&rows.test.unwrap().x)?.mean() > -4.0);
//! # Ok::<(), genus::Error>(())
//! ```

use crate::draws;
use genus_core::config::{NonNegative, count};
use genus_core::transform::{Noise, RealSteps, Transform};
use genus_core::{
    Batch, Capability, Dataset, Decoder, Density, Encoder, Error, Event, Evidence, EvidenceKind, Family, Fit,
    FitContext, FitReport, Invertible, LogProb, Model, ModelSpec, Reference, Result, Rng, Sampler, Schema,
    Scoring, State, Stop, StopReason, SupportKind, Tensor as Stored, TinyFit, config,
};
use nalgebra::{DMatrix, SymmetricEigen};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::num::NonZeroUsize;

/// Registry entry.
pub static SPEC: ModelSpec =
    ModelSpec::new::<LinearIca>("linear-ica", "Linear independent component analysis", module_path!())
        .summary(
            "tables of numbers: independent sources behind linear mixtures, with the density that they give",
        )
        .papers(&[
            Reference::new(
                "Hyvärinen",
                1999,
                "Fast and Robust Fixed-Point Algorithms for Independent Component Analysis",
                "https://doi.org/10.1109/72.761722",
            ),
            Reference::new(
                "Amari, Cichocki & Yang",
                1996,
                "A New Learning Algorithm for Blind Signal Separation",
                "https://papers.nips.cc/paper/1115-a-new-learning-algorithm-for-blind-signal-separation",
            ),
        ])
        .evidence(EvidenceKind::Exact)
        .can(&[Capability::Density, Capability::Sampler, Capability::Encoder, Capability::Decoder])
        .passes("1 to score, 1 to draw")
        .rows(&[SupportKind::Real, SupportKind::Discrete])
        .suited(|_| toml::Table::new())
        .tiny_fits(&[
            TinyFit::new("symmetric", "checkerboard", "").failing(&[(
                "approaches_the_known_entropy",
                "the columns of a checkerboard depend on each other in no linear way",
            )]),
            TinyFit::new("deflation", "checkerboard", "algorithm = \"deflation\"\ncontrast = \"cube\"\n")
                .failing(&[(
                    "approaches_the_known_entropy",
                    "the columns of a checkerboard depend on each other in no linear way",
                )]),
            TinyFit::new("likelihood", "checkerboard", "algorithm = \"likelihood\"\ncontrast = \"exp\"\n")
                .failing(&[(
                    "approaches_the_known_entropy",
                    "the columns of a checkerboard depend on each other in no linear way",
                )]),
        ]);

/// How the unmixing matrix is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unmixing {
    /// FastICA, all sources at once.
    #[default]
    Symmetric,
    /// FastICA, one source after the other.
    Deflation,
    /// Maximum likelihood by the natural gradient, from the symmetric fixed point.
    Likelihood,
}

/// What is far from normal: G(u) and its derivatives g and g′.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Contrast {
    /// g(u) = tanh u: for all sources.
    #[default]
    Logcosh,
    /// g(u) = u exp(−u²/2): for heavy tails.
    Exp,
    /// g(u) = u³, kurtosis: for light tails and no outliers.
    Cube,
}

impl Contrast {
    fn at(self, u: f64) -> (f64, f64) {
        match self {
            Self::Logcosh => {
                let t = libm::tanh(u);
                (t, 1.0 - t * t)
            }
            Self::Exp => {
                let e = libm::exp(-0.5 * u * u);
                (u * e, (1.0 - u * u) * e)
            }
            Self::Cube => (u * u * u, 3.0 * u * u),
        }
    }
}

/// Hyper-parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LinearIcaConfig {
    /// How the unmixing matrix is found.
    pub algorithm: Unmixing,
    /// What FastICA holds for far from normal.
    pub contrast: Contrast,
    /// Most iterations, of `deflation` for each source.
    pub iterations: NonZeroUsize,
    /// Iterations end when no row of W turns by more, as 1 − |cosine|.
    pub tolerance: NonNegative,
}

impl Default for LinearIcaConfig {
    fn default() -> Self {
        Self {
            algorithm: Unmixing::default(),
            contrast: Contrast::default(),
            iterations: count(200),
            tolerance: NonNegative::new(1e-6).unwrap_or_else(|| unreachable!("it is not negative")),
        }
    }
}

/// The law of a source: exp(−|s/α|^β), normalised.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Source {
    scale: f64,
    shape: f64,
}

impl Source {
    fn log_prob(self, s: f64) -> f64 {
        let Self { scale, shape } = self;
        let norm = libm::log(shape / (2.0 * scale)) - libm::lgamma(1.0 / shape);
        norm - libm::pow(s.abs() / scale, shape)
    }

    /// Of largest likelihood: the scale in closed form, the shape by golden sections of its logarithm.
    fn fit(s: &[f64]) -> Self {
        let n = s.len() as f64;
        let scale = |shape: f64| {
            let mean = s.iter().map(|s| libm::pow(s.abs(), shape)).sum::<f64>() / n;
            libm::pow(shape * mean, 1.0 / shape).max(f64::MIN_POSITIVE)
        };
        let value = |log_shape: f64| {
            let shape = libm::exp(log_shape);
            libm::log(shape / scale(shape)) - libm::lgamma(1.0 / shape) - 1.0 / shape
        };
        let golden = 0.5 * (5f64.sqrt() - 1.0);
        let (mut low, mut high) = (libm::log(0.3), libm::log(30.0));
        let (mut a, mut b) = (high - golden * (high - low), low + golden * (high - low));
        let (mut at_a, mut at_b) = (value(a), value(b));
        while high - low > 1e-4 {
            if at_a > at_b {
                (high, b, at_b) = (b, a, at_a);
                a = high - golden * (high - low);
                at_a = value(a);
            } else {
                (low, a, at_a) = (a, b, at_b);
                b = low + golden * (high - low);
                at_b = value(b);
            }
        }
        let shape = libm::exp(0.5 * (low + high));
        Self { scale: scale(shape), shape }
    }

    /// |s/α|^β has a gamma law of shape 1/β.
    fn draw(self, rng: &mut Rng) -> f64 {
        let size = self.scale * libm::pow(gamma(1.0 / self.shape, rng), 1.0 / self.shape);
        if rng.uniform_f64() < 0.5 { -size } else { size }
    }
}

/// A draw from the gamma law of this shape and scale 1 (Marsaglia & Tsang 2000).
fn gamma(shape: f64, rng: &mut Rng) -> f64 {
    if shape < 1.0 {
        let u = rng.uniform_f64().max(f64::MIN_POSITIVE);
        return gamma(shape + 1.0, rng) * libm::pow(u, 1.0 / shape);
    }
    let d = shape - 1.0 / 3.0;
    let c = 1.0 / (9.0 * d).sqrt();
    loop {
        let z = rng.normal();
        let v = libm::pow(1.0 + c * z, 3.0);
        if v > 0.0 {
            let u = rng.uniform_f64().max(f64::MIN_POSITIVE);
            if libm::log(u) < 0.5 * z * z + d - d * v + d * libm::log(v) {
                return d * v;
            }
        }
    }
}

/// A fitted linear ICA.
#[derive(Debug, Clone)]
pub struct LinearIca {
    config: LinearIcaConfig,
    transform: Transform,
    /// W, its inverse, and log |det W|.
    unmixing: DMatrix<f64>,
    mixing: DMatrix<f64>,
    log_det: f64,
    mean: Vec<f64>,
    sources: Vec<Source>,
}

/// Rows of a job.
const ROWS: usize = 1024;

/// Σ over rows of what `each` adds to so many numbers; the order of additions is that of the rows' jobs.
///
/// # Errors
/// [`Error::Stopped`].
fn sums(z: &[f64], d: usize, len: usize, each: impl Fn(&[f64], &mut [f64]) + Sync) -> Result<Vec<f64>> {
    let stop = Stop::current();
    let parts = z.par_chunks(ROWS * d).map(|rows| {
        let mut sum = vec![0.0; len];
        for (r, row) in rows.chunks_exact(d).enumerate() {
            if r.is_multiple_of(64) {
                stop.check()?;
            }
            each(row, &mut sum);
        }
        Ok(sum)
    });
    let parts = parts.collect::<Result<Vec<Vec<f64>>>>()?;
    let mut total = vec![0.0; len];
    for part in parts {
        total.iter_mut().zip(part).for_each(|(t, v)| *t += v);
    }
    Ok(total)
}

/// (W Wᵀ)^{−1/2} W.
fn decorrelated(w: &DMatrix<f64>) -> DMatrix<f64> {
    let eigen = SymmetricEigen::new(w * w.transpose());
    let by = eigen.eigenvalues.map(|v| 1.0 / v.max(1e-300).sqrt());
    &eigen.eigenvectors * DMatrix::from_diagonal(&by) * eigen.eigenvectors.transpose() * w
}

fn dot(a: impl Iterator<Item = f64>, z: &[f64]) -> f64 {
    a.zip(z).map(|(a, z)| a * z).sum()
}

/// What a search is told: after each iteration how far the rows turned; true ends it.
type Heard<'a> = &'a mut dyn FnMut(f64) -> bool;

/// E[z g(wᵀz)] − E[g′(wᵀz)] w for each row w of W.
///
/// # Errors
/// [`Error::Stopped`].
fn fixed_point(z: &[f64], w: &DMatrix<f64>, contrast: Contrast) -> Result<DMatrix<f64>> {
    let (k, d) = w.shape();
    let n = (z.len() / d) as f64;
    let found = sums(z, d, k * (d + 1), |z, sum| {
        for i in 0..k {
            let (g, slope) = contrast.at(dot(w.row(i).iter().copied(), z));
            let own = &mut sum[i * (d + 1)..(i + 1) * (d + 1)];
            own[..d].iter_mut().zip(z).for_each(|(s, z)| *s += z * g);
            own[d] += slope;
        }
    })?;
    let at = |i, j| (found[i * (d + 1) + j] - found[i * (d + 1) + d] * w[(i, j)]) / n;
    Ok(DMatrix::from_fn(k, d, at))
}

fn symmetric(
    z: &[f64],
    d: usize,
    config: &LinearIcaConfig,
    begin: &DMatrix<f64>,
    heard: Heard<'_>,
) -> (DMatrix<f64>, bool) {
    let mut w = decorrelated(begin);
    for _ in 0..config.iterations.get() {
        let Ok(next) = fixed_point(z, &w, config.contrast) else { break };
        let next = decorrelated(&next);
        let turned = (0..d).map(|i| (1.0 - next.row(i).dot(&w.row(i)).abs()).abs()).fold(0.0, f64::max);
        w = next;
        if turned <= config.tolerance.get() {
            return (w, true);
        }
        if heard(turned) {
            break;
        }
    }
    (w, false)
}

fn deflation(
    z: &[f64],
    d: usize,
    config: &LinearIcaConfig,
    begin: &DMatrix<f64>,
    heard: Heard<'_>,
) -> (DMatrix<f64>, bool) {
    let mut w = DMatrix::<f64>::zeros(d, d);
    let mut all = true;
    for i in 0..d {
        let clear = |row: DMatrix<f64>, w: &DMatrix<f64>| {
            let mut row = row;
            for j in 0..i {
                let along = row.row(0).dot(&w.row(j));
                row -= along * DMatrix::from_row_slice(1, d, w.row(j).transpose().as_slice());
            }
            let norm = row.norm();
            row / norm.max(1e-300)
        };
        let mut row = clear(begin.rows(i, 1).into_owned(), &w);
        let mut converged = false;
        for _ in 0..config.iterations.get() {
            let Ok(next) = fixed_point(z, &row, config.contrast) else { break };
            let next = clear(next, &w);
            let turned = (1.0 - next.row(0).dot(&row.row(0)).abs()).abs();
            row = next;
            converged = turned <= config.tolerance.get();
            if converged || heard(turned) {
                break;
            }
        }
        all &= converged;
        w.set_row(i, &row.row(0));
    }
    // Sources that there was no time for begin somewhere, but not on others.
    (decorrelated(&w), all)
}

fn log_abs_det(w: &DMatrix<f64>) -> f64 {
    let lu = w.clone().lu();
    lu.u().diagonal().iter().map(|v| libm::log(v.abs())).sum()
}

/// The laws of the sources of rows, and their mean log-likelihood.
///
/// # Errors
/// [`Error::Stopped`].
fn laws(z: &[f64], w: &DMatrix<f64>) -> Result<(Vec<Source>, f64)> {
    let (d, n, stop) = (w.ncols(), z.len() / w.ncols(), Stop::current());
    let fitted = (0..d).into_par_iter().map(|i| {
        stop.check()?;
        let s: Vec<f64> = z.chunks_exact(d).map(|z| dot(w.row(i).iter().copied(), z)).collect();
        let law = Source::fit(&s);
        Ok((law, s.iter().map(|s| law.log_prob(*s)).sum::<f64>() / n as f64))
    });
    let fitted = fitted.collect::<Result<Vec<(Source, f64)>>>()?;
    let total = fitted.iter().map(|(_, l)| l).sum::<f64>() + log_abs_det(w);
    Ok((fitted.into_iter().map(|(law, _)| law).collect(), total))
}

/// Rows that the laws of sources are fitted to where there is no time for more.
const FEW: usize = 1000;

/// Climbs the likelihood by the natural gradient from `w`; a step that does not rise is halved.
fn likelihood(
    z: &[f64],
    mut w: DMatrix<f64>,
    config: &LinearIcaConfig,
    heard: Heard<'_>,
) -> (DMatrix<f64>, bool) {
    let (d, n) = (w.ncols(), (z.len() / w.ncols()) as f64);
    let Ok((mut sources, mut best)) = laws(z, &w) else { return (w, false) };
    let mut rate = 0.1;
    for _ in 0..config.iterations.get() {
        let found = sums(z, d, d * d, |z, sum| {
            let y: Vec<f64> = (0..d).map(|i| dot(w.row(i).iter().copied(), z)).collect();
            for i in 0..d {
                let Source { scale, shape } = sources[i];
                // Near 0 the slope of a law with β < 1 has no bound.
                let at = (y[i].abs() / scale).max(1e-6);
                let phi = (shape / scale * libm::pow(at, shape - 1.0)).copysign(y[i]);
                sum[i * d..(i + 1) * d].iter_mut().zip(&y).for_each(|(s, y)| *s += phi * y);
            }
        });
        let Ok(found) = found else { break };
        let gradient = DMatrix::from_fn(d, d, |i, j| f64::from(u8::from(i == j)) - found[i * d + j] / n);
        let mut rose = false;
        while rate > 1e-8 {
            let next = &w + rate * &gradient * &w;
            let Ok((laws, total)) = laws(z, &next) else { return (w, false) };
            if total > best {
                let gain = total - best;
                (w, sources, best, rose) = (next, laws, total, true);
                rate *= 1.5;
                if gain <= config.tolerance.get() {
                    return (w, true);
                }
                break;
            }
            rate *= 0.5;
        }
        if !rose {
            return (w, true);
        }
        if heard(-best) {
            break;
        }
    }
    (w, false)
}

impl LinearIca {
    fn of(
        config: &LinearIcaConfig,
        transform: Transform,
        unmixing: DMatrix<f64>,
        mean: Vec<f64>,
        sources: Vec<Source>,
    ) -> Result<Self> {
        let damaged = || Error::Run("the unmixing matrix has no inverse; the file is damaged".into());
        let mixing = unmixing.clone().try_inverse().ok_or_else(damaged)?;
        let log_det = log_abs_det(&unmixing);
        if !log_det.is_finite() || mixing.iter().any(|v| !v.is_finite()) {
            return Err(damaged());
        }
        Ok(Self { config: config.clone(), transform, unmixing, mixing, log_det, mean, sources })
    }

    /// Sources of a row.
    fn sources_of(&self, x: &[f32]) -> Vec<f64> {
        let centred: Vec<f64> = x.iter().zip(&self.mean).map(|(v, m)| f64::from(*v) - m).collect();
        (0..centred.len()).map(|i| dot(self.unmixing.row(i).iter().copied(), &centred)).collect()
    }

    fn own_log_prob(&self, y: &Batch) -> Result<Vec<f64>> {
        let stop = Stop::current();
        let mut nats = Vec::with_capacity(y.rows());
        for (r, row) in y.iter().enumerate() {
            if r.is_multiple_of(64) {
                stop.check()?;
            }
            let each = self.sources_of(row).into_iter().zip(&self.sources);
            nats.push(self.log_det + each.map(|(s, law)| law.log_prob(s)).sum::<f64>());
        }
        Ok(nats)
    }

    fn row_of(&self, s: &[f64]) -> impl Iterator<Item = f32> {
        (0..s.len()).map(|i| (dot(self.mixing.row(i).iter().copied(), s) + self.mean[i]) as f32)
    }
}

/// Rows as their differences from the mean and, by the matrix that is given too, white. Names the columns that depend on others.
fn whitened(x: &Batch, schema: &Schema) -> Result<(Vec<f64>, Vec<f64>, DMatrix<f64>)> {
    let (d, n) = (x.width(), x.rows() as f64);
    let mut mean = vec![0.0; d];
    for row in x.iter() {
        mean.iter_mut().zip(row).for_each(|(m, v)| *m += f64::from(*v) / n);
    }
    let centred: Vec<f64> =
        x.iter().flat_map(|row| row.iter().zip(&mean).map(|(v, m)| f64::from(*v) - m)).collect();
    let products = sums(&centred, d, d * d, |row, sum| {
        for (i, a) in row.iter().enumerate() {
            sum[i * d..(i + 1) * d].iter_mut().zip(row).for_each(|(s, b)| *s += a * b);
        }
    })?;
    let covariance = DMatrix::from_fn(d, d, |i, j| products[i * d + j] / n);
    let eigen = SymmetricEigen::new(covariance);
    let most = eigen.eigenvalues.max();
    if let Some(i) = (0..d).find(|i| eigen.eigenvalues[*i] <= 1e-9 * most) {
        let column = eigen.eigenvectors.column(i);
        let mut part: Vec<usize> = (0..d).filter(|c| column[*c].abs() > 0.1).collect();
        part.truncate(8);
        let names: Vec<String> = part.iter().map(|c| schema.column(*c).name).collect();
        return Err(Error::Domain(format!(
            "columns {} depend on each other exactly, or do not vary; leave one out",
            names.join(", ")
        )));
    }
    let by = eigen.eigenvalues.map(|v| 1.0 / v.sqrt());
    let whitening = DMatrix::from_diagonal(&by) * eigen.eigenvectors.transpose();
    let white: Vec<f64> = centred
        .par_chunks(d)
        .flat_map_iter(|row| (0..d).map(|i| dot(whitening.row(i).iter().copied(), row)).collect::<Vec<f64>>())
        .collect();
    Ok((white, mean, whitening))
}

/// Most columns: the matrices are dense.
const MOST: usize = 4096;

impl Family for LinearIca {
    type Config = LinearIcaConfig;

    fn fit(config: &Self::Config, data: &Dataset, cx: &mut FitContext<'_>) -> Result<Fit<Self>> {
        data.check()?;
        let (d, rows) = (data.schema.width(), data.train.x.rows());
        if d > MOST || rows <= d {
            return Err(Error::Domain(format!(
                "{rows} rows of {d} columns: more rows than columns are needed, and at most {MOST} columns"
            )));
        }
        let want = RealSteps { logit: None, standardize: true };
        let transform =
            crate::transform_for(cx, data, || Transform::to_real(&data.schema, want, &data.train.x, 0))?;
        let mut noise = cx.seed.child("dequantize").rng();
        let (x, _) = transform.forward(&data.train.x, Noise::Stream(&mut noise))?;
        cx.emit(&Event::Start {
            model: SPEC.name.into(),
            steps: None,
            resumed_at: 0,
            parameters: (d * (d + 3)) as u64,
        });
        let (z, mean, whitening) = whitened(&x, &data.schema)?;
        let mut rng = cx.seed.child("start").rng();
        let mut steps = 0;
        let goes_on = cx.start.is_some();
        let begin = match cx.start.map(Self::restore).transpose()? {
            // W = V K with K whitening: V is what is looked for.
            Some(old) => old.unmixing * whitening.clone().try_inverse().unwrap_or_else(|| whitening.clone()),
            None => DMatrix::from_fn(d, d, |_, _| rng.normal()),
        };
        let stop = cx.stop().clone();
        let (found, converged) = stop.during(|| {
            let mut heard = |turned: f64| {
                steps += 1;
                let parts = BTreeMap::from([("loss".to_owned(), turned)]);
                cx.emit(&Event::Step { step: steps, parts });
                cx.stopped().is_some()
            };
            match config.algorithm {
                Unmixing::Symmetric => symmetric(&z, d, config, &begin, &mut heard),
                Unmixing::Deflation => deflation(&z, d, config, &begin, &mut heard),
                Unmixing::Likelihood => {
                    let (w, _) = match goes_on {
                        true => (begin, true),
                        false => symmetric(&z, d, config, &begin, &mut heard),
                    };
                    likelihood(&z, w, config, &mut heard)
                }
            }
        });
        let mut report = FitReport::default();
        if !converged && cx.stopped().is_none() {
            let message = format!(
                "FastICA did not converge in {} iterations: sources may be normal, or too few rows; raise `iterations` or `tolerance`",
                config.iterations
            );
            cx.warn(&mut report, message);
        }
        // Of variance 1, the least normal first.
        let (sources, mean_nats) = match laws(&z, &found) {
            Err(Error::Stopped(_)) => Stop::new().during(|| laws(&z[..z.len().min(FEW * d)], &found))?,
            fitted => fitted?,
        };
        let mut order: Vec<usize> = (0..d).collect();
        let off = |s: &Source| libm::log(s.shape / 2.0).abs();
        order.sort_by(|a, b| off(&sources[*b]).total_cmp(&off(&sources[*a])));
        let unmixing = found * whitening;
        let unmixing = DMatrix::from_fn(d, d, |i, j| unmixing[(order[i], j)]);
        let sources = order.iter().map(|i| sources[*i]).collect();
        let reason = cx.stopped().unwrap_or(StopReason::Completed);
        let train = BTreeMap::from([("loss".to_owned(), -mean_nats)]);
        cx.emit(&Event::Epoch { epoch: 1, step: steps, train, valid: BTreeMap::new(), best: true });
        cx.emit(&Event::End { step: steps, reason });
        report.steps = steps;
        report.stopped = Some(reason);
        let model = Self::of(config, transform, unmixing, mean, sources)?;
        Ok(Fit { model, report })
    }

    fn restore(state: &State) -> Result<Self> {
        let config: LinearIcaConfig = crate::restore_config(state)?;
        let transform = crate::restore_transform(state)?;
        let d = transform.target().width();
        if d > MOST {
            return Err(Error::Run(format!(
                "{d} columns, and at most {MOST} are there; the file is damaged"
            )));
        }
        let unmixing = DMatrix::from_row_slice(d, d, state.f64("unmixing", &[d, d])?);
        let mean = state.f64("mean", &[d])?.to_vec();
        let sources = state.f64("sources", &[d, 2])?;
        let sound =
            sources.chunks_exact(2).all(|s| s[0] > 0.0 && s[0].is_finite() && (0.1..100.0).contains(&s[1]));
        if !sound || mean.iter().chain(unmixing.iter()).any(|v| !v.is_finite()) {
            return Err(Error::Run(
                "a mean, weight or law of a source is out of range; the file is damaged".into(),
            ));
        }
        let sources = sources.chunks_exact(2).map(|s| Source { scale: s[0], shape: s[1] }).collect();
        Self::of(&config, transform, unmixing, mean, sources)
    }
}

impl Model for LinearIca {
    fn spec(&self) -> &'static ModelSpec {
        &SPEC
    }

    fn schema(&self) -> &Schema {
        self.transform.source()
    }

    fn transform(&self) -> Option<&Transform> {
        Some(&self.transform)
    }

    fn state(&self) -> State {
        let mut state = crate::header(&SPEC, &config::to_table(&self.config), &self.transform);
        let d = self.mean.len();
        let rows: Vec<f64> = self.unmixing.transpose().as_slice().to_vec();
        let laws: Vec<f64> = self.sources.iter().flat_map(|s| [s.scale, s.shape]).collect();
        state.tensors.insert("unmixing".into(), Stored::f64(&[d, d], rows));
        state.tensors.insert("mean".into(), Stored::f64(&[d], self.mean.clone()));
        state.tensors.insert("sources".into(), Stored::f64(&[d, 2], laws));
        state
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
    fn as_invertible(&self) -> Option<&dyn Invertible> {
        Some(self)
    }
}

impl Density for LinearIca {
    fn score(&self, x: &Batch, how: &Scoring) -> Result<LogProb> {
        let (nats, spread) =
            draws::through(&self.transform, x, how, Evidence::EXACT, |y| self.own_log_prob(y))?;
        Ok(LogProb {
            nats,
            spread,
            evidence: self.transform.evidence(Evidence::EXACT),
            measure: self.transform.measure(),
            protocol: draws::protocol(&self.transform, how),
        })
    }
}

impl Sampler for LinearIca {
    fn sample(&self, n: usize, rng: &mut Rng) -> Result<Batch> {
        let mut values = Vec::with_capacity(n * self.mean.len());
        let stop = Stop::current();
        for r in 0..n {
            if r.is_multiple_of(64) {
                stop.check()?;
            }
            let s: Vec<f64> = self.sources.iter().map(|law| law.draw(rng)).collect();
            values.extend(self.row_of(&s));
        }
        Ok(self.transform.inverse(&Batch::new(values, self.mean.len())?))
    }
}

impl Encoder for LinearIca {
    fn code_width(&self) -> usize {
        self.mean.len()
    }

    /// The sources of a row; of levels, those of the middle of each.
    fn encode(&self, x: &Batch) -> Result<Batch> {
        Ok(self.to_base(&self.transform.forward_at_middles(x)?)?.0)
    }
}

impl Decoder for LinearIca {
    fn decode(&self, codes: &Batch) -> Result<Batch> {
        Ok(self.transform.inverse(&self.to_rows(codes)?))
    }
}

impl Invertible for LinearIca {
    fn to_base(&self, x: &Batch) -> Result<(Batch, Vec<f64>)> {
        if x.width() != self.mean.len() {
            return Err(Error::shape("rows", self.mean.len(), x.width()));
        }
        let values: Vec<f32> = x.iter().flat_map(|row| self.sources_of(row)).map(|v| v as f32).collect();
        Ok((Batch::new(values, x.width())?, vec![self.log_det; x.rows()]))
    }

    fn to_rows(&self, z: &Batch) -> Result<Batch> {
        if z.width() != self.mean.len() {
            return Err(Error::shape("sources", self.mean.len(), z.width()));
        }
        let wide = |row: &[f32]| row.iter().map(|v| f64::from(*v)).collect::<Vec<f64>>();
        Batch::new(
            z.iter().flat_map(|row| self.row_of(&wide(row)).collect::<Vec<f32>>()).collect(),
            z.width(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use genus_core::{Domain, Seed, Silent, Split};

    /// How far P = W A is from a scaled permutation: 0 if it is one (Amari, Cichocki & Yang 1996), divided by its largest value.
    fn amari(p: &DMatrix<f64>) -> f64 {
        let d = p.nrows();
        let of = |values: Vec<f64>| {
            let most = values.iter().copied().fold(0.0, f64::max);
            values.iter().sum::<f64>() / most - 1.0
        };
        let rows: f64 = (0..d).map(|i| of(p.row(i).iter().map(|v| v.abs()).collect())).sum();
        let columns: f64 = (0..d).map(|j| of(p.column(j).iter().map(|v| v.abs()).collect())).sum();
        (rows + columns) / (2 * d * (d - 1)) as f64
    }

    /// Four sources of different laws, mixed.
    fn mixed() -> (Dataset, DMatrix<f64>) {
        let mut rng = Seed::from(3).rng();
        let a = DMatrix::from_row_slice(
            4,
            4,
            &[1.0, 0.6, -0.4, 0.2, -0.3, 1.2, 0.5, 0.1, 0.8, -0.2, 0.9, -0.7, 0.3, 0.4, -0.6, 1.1],
        );
        let n = 4000;
        let mut values = Vec::new();
        for _ in 0..n {
            let laplace = Source { scale: 1.0, shape: 1.0 }.draw(&mut rng);
            let s = [
                rng.uniform_f64() - 0.5,
                laplace,
                if rng.uniform() < 0.5 { -1.0 } else { 1.0 } + 0.1 * rng.normal(),
                Source { scale: 1.0, shape: 0.6 }.draw(&mut rng),
            ];
            values.extend((0..4).map(|i| (dot(a.row(i).iter().copied(), &s) + 5.0) as f32));
        }
        (Dataset::new("t", Domain::real(4), Split::unlabelled(Batch::new(values, 4).unwrap())).unwrap(), a)
    }

    #[test]
    fn sources_are_found() {
        let (data, a) = mixed();
        for algorithm in [Unmixing::Symmetric, Unmixing::Deflation, Unmixing::Likelihood] {
            let config = LinearIcaConfig { algorithm, ..LinearIcaConfig::default() };
            let fit =
                LinearIca::fit(&config, &data, &mut FitContext::new(Seed::from(1), &mut Silent)).unwrap();
            // W works on standardised columns.
            let (_, std) = genus_core::transform::moments(&data.train.x);
            let scaled = DMatrix::from_fn(4, 4, |i, j| a[(i, j)] / std[i]);
            let index = amari(&(&fit.model.unmixing * scaled));
            assert!(index < 0.05, "{algorithm:?}: {index}");
        }
    }

    #[test]
    fn laws_of_sources_are_fitted_and_drawn() {
        let mut rng = Seed::from(5).rng();
        for shape in [0.7, 1.0, 2.0, 8.0] {
            let law = Source { scale: 1.5, shape };
            let mass: f64 = (-40_000..40_000)
                .map(|i| libm::exp(law.log_prob((f64::from(i) + 0.5) * 0.002)) * 0.002)
                .sum();
            assert!((mass - 1.0).abs() < 2e-3, "{shape}: {mass}");
            let s: Vec<f64> = (0..20_000).map(|_| law.draw(&mut rng)).collect();
            let found = Source::fit(&s);
            // Standard errors of ln β are below 0.02 there; false alarm below 1e-6.
            assert!(
                libm::log(found.shape / shape).abs() < 0.1 && (found.scale / 1.5 - 1.0).abs() < 0.1,
                "{shape}: {found:?}"
            );
        }
    }

    #[test]
    fn columns_that_depend_on_others_are_named() {
        let x = Batch::from_fn(50, 3, |r, c| {
            if c == 2 { (r as f32 * 0.3).sin() + r as f32 } else { [(r as f32 * 0.3).sin(), r as f32][c] }
        });
        let data =
            Dataset::new("t", Schema::from(Domain::real(3)).named(["a", "b", "c"]), Split::unlabelled(x))
                .unwrap();
        let e = LinearIca::fit(
            &LinearIcaConfig::default(),
            &data,
            &mut FitContext::new(Seed::from(1), &mut Silent),
        )
        .unwrap_err();
        assert!(e.to_string().contains("depend on each other exactly"), "{e}");
    }
}
