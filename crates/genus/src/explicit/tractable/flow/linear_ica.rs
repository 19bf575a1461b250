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

mod source;
mod unmixing;

use crate::draws;
use genus_core::config::{NonNegative, count};
use genus_core::transform::{Noise, RealSteps, Transform};
use genus_core::{
    Batch, Capability, Dataset, Decoder, Density, Encoder, Error, Event, EvidenceKind, Family, Fit,
    FitContext, FitReport, Invertible, LogProb, Model, ModelSpec, Reference, Result, Rng, Sampler, Schema,
    Scoring, State, Stop, StopReason, SupportKind, Tensor as Stored, TinyFit, config,
};
use nalgebra::DMatrix;
use serde::{Deserialize, Serialize};
use source::Source;
use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use unmixing::{FEW, deflation, dot, laws, likelihood, log_abs_det, symmetric, whitened};

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
        draws::exact(&self.transform, x, how, None, |y| self.own_log_prob(y))
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
