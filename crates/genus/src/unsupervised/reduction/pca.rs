//! # Principal component analysis (PCA)
//!
//! ## What it is
//! The directions v₁, v₂ … in which rows vary most, each at right angles to those before: the leading eigenvectors of the covariance. The
//! code of a row is z_j = v_jᵀ (x − μ), and x̂ = μ + Σ_j z_j v_j is the nearest point of the plane through the mean that they span. With
//! `whiten`, codes are divided by their standard deviations.
//!
//! ## Density
//! None, and no draws. Probabilistic PCA (`ppca`) has the same directions, with a law.
//!
//! ## Trained by
//! `exact`: eigenvectors of the covariance. `randomized`: the rows are multiplied with random directions, and the span of what comes out is
//! searched (Halko, Martinsson & Tropp 2011, with power iterations), for very many columns.
//!
//! ## Use it when
//! Columns go together, and few numbers, a map, or less noise is wanted. Columns in different units are best standardised
//! (`standardize = true`).
//!
//! ## References
//! Pearson 1901; Hotelling 1933; Halko, Martinsson & Tropp 2011.
//!
//! ## Example
//! ```
//! use genus::{Encoder as _, Family, FitContext, Pca, PcaConfig, Seed, Silent, data};
//!
//! let iris = data::load("iris", &data::Options::default())?;
//! let config = PcaConfig { components: 2.try_into().unwrap(), ..Default::default() };
//! let fit = Pca::fit(&config, &iris, &mut FitContext::new(Seed::from(0), &mut Silent))?;
//! assert!((fit.model.explained()[0] - 0.924619).abs() < 1e-6);
//! assert_eq!(fit.model.encode(&iris.train.x)?.width(), 2);
//! # Ok::<(), genus::Error>(())
//! ```

use crate::diagnostics::parts;
use crate::spectrum::{all, covariance, leading, oriented};
use crate::units::Units;
use genus_core::config::count;
use genus_core::panel::{Cell, Named, Shade};
use genus_core::transform::Transform;
use genus_core::{
    Batch, Capability, Dataset, Decoder, Encoder, Error, Event, Exhibit, Family, Figure, Fit, FitContext,
    FitReport, Model, ModelSpec, Panel, Reference, Result, Rng, Schema, Size, State, Stop, StopReason,
    SupportKind, Tensor, TinyFit, config,
};
use genus_kernels::{Limits, Mat, gemm};
use nalgebra::DMatrix;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::num::NonZeroUsize;

/// Registry entry.
pub static SPEC: ModelSpec = ModelSpec::new::<Pca>("pca", "Principal component analysis", module_path!())
    .summary("rows by fewer numbers, and a map; no likelihood and no draws: for these take ppca")
    .papers(&[
        Reference::new(
            "Pearson",
            1901,
            "On lines and planes of closest fit to systems of points in space",
            "https://doi.org/10.1080/14786440109462720",
        ),
        Reference::new(
            "Halko, Martinsson & Tropp",
            2011,
            "Finding structure with randomness",
            "https://arxiv.org/abs/0909.4061",
        ),
    ])
    .can(&[Capability::Encoder, Capability::Decoder])
    .rows(&[SupportKind::Real, SupportKind::Discrete, SupportKind::Binary])
    .suited(suited)
    .tiny_fits(&[
        TinyFit::new("exact", "pinwheel", "components = 1\n"),
        TinyFit::new(
            "randomized and white",
            "tree16",
            "components = 3\nsolver = \"randomized\"\nwhiten = true\n",
        ),
        TinyFit::new("levels", "pairs4", "components = 2\nstandardize = true\n"),
    ]);

/// How the directions are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Solver {
    /// Eigenvectors of the covariance.
    #[default]
    Exact,
    /// What random directions and a few products with the rows find.
    Randomized,
}

/// Hyper-parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PcaConfig {
    /// Number of directions.
    pub components: NonZeroUsize,
    /// How they are found.
    pub solver: Solver,
    /// Codes in units of their standard deviations.
    pub whiten: bool,
    /// Columns in units of their standard deviations.
    pub standardize: bool,
}

impl Default for PcaConfig {
    fn default() -> Self {
        Self { components: count(2), solver: Solver::Exact, whiten: false, standardize: false }
    }
}

/// A tenth of the columns, two at least.
fn suited(size: Size) -> toml::Table {
    let components = size.columns.div_ceil(10).clamp(2, 50).min(size.columns);
    let entries = [("components", toml::Value::from(components as i64)), ("standardize", size.real.into())];
    entries.into_iter().map(|(k, v)| (k.to_owned(), v)).collect()
}

/// Directions beside those that are wanted, and products with the rows, of the randomised solver.
const SPARE: usize = 10;
const POWERS: usize = 7;
/// Rows of a block.
const BLOCK: usize = 4096;
/// Share of the largest variance below which a direction is one of rounding.
const NOISE: f64 = 1e-10;
/// Most values of a covariance: half a gibibyte.
const MOST: usize = 1 << 26;

/// A fitted PCA.
#[derive(Debug, Clone, PartialEq)]
pub struct Pca {
    config: PcaConfig,
    transform: Transform,
    units: Units,
    /// A row each.
    directions: Batch,
    /// Variance along each, over n, and of all columns together.
    variances: Vec<f64>,
    total: f64,
}

impl Pca {
    /// Share of the variance that lies along each direction.
    pub fn explained(&self) -> Vec<f64> {
        self.variances.iter().map(|v| v / self.total).collect()
    }

    /// What a code is divided by; along directions in which rows do not vary, white codes are 0.
    fn code_units(&self) -> Vec<f32> {
        let still = NOISE * self.variances.first().copied().unwrap_or(0.0);
        let unit = |v: &f64| match (self.config.whiten, *v > still) {
            (false, _) => 1.0,
            (true, true) => v.sqrt() as f32,
            (true, false) => f32::INFINITY,
        };
        self.variances.iter().map(unit).collect()
    }

    /// Points of the plane, in the model's units.
    fn plane(&self, codes: &Batch) -> Result<Batch> {
        let (q, d) = (self.code_width(), self.directions.width());
        let units = self.code_units();
        let of = |r: usize, c: usize| if units[c].is_finite() { codes.row(r)[c] * units[c] } else { 0.0 };
        let z = Batch::from_fn(codes.rows(), q, of);
        Batch::new(product(&z, Mat::rows(self.directions.data(), d), d), d)
    }
}

/// x B of rows x, for B with `n` columns.
fn product(x: &Batch, b: Mat<'_>, n: usize) -> Vec<f32> {
    let mut out = vec![0.0; x.rows() * n];
    gemm(x.rows(), n, x.width(), Mat::rows(x.data(), x.width()), b, &mut out, false, Limits::Dense);
    out
}

/// XᵀX V / n of centred rows, block by block.
fn through(x: &Batch, v: &DMatrix<f64>) -> Result<DMatrix<f64>> {
    let (d, q, stop) = (x.width(), v.ncols(), Stop::current());
    // Row-major, for the kernel.
    let flat: Vec<f32> = v.transpose().iter().map(|v| *v as f32).collect();
    let mut sum = DMatrix::zeros(d, q);
    let mut part = vec![0f32; d * q];
    for start in (0..x.rows()).step_by(BLOCK) {
        stop.check()?;
        let some = x.slice(start, start + BLOCK);
        let along = product(&some, Mat::rows(&flat, q), q);
        let rows = Mat::rows(some.data(), d).t();
        gemm(d, q, some.rows(), rows, Mat::rows(&along, q), &mut part, false, Limits::Dense);
        for i in 0..d {
            (0..q).for_each(|j| sum[(i, j)] += f64::from(part[i * q + j]));
        }
    }
    Ok(sum / x.rows() as f64)
}

/// Leading variances and directions of centred rows by random ones.
fn randomized(x: &Batch, q: usize, rng: &mut Rng) -> Result<(Vec<f64>, DMatrix<f64>)> {
    let (d, wide) = (x.width(), (q + SPARE).min(x.width()));
    let mut basis = DMatrix::from_fn(d, wide, |_, _| rng.normal()).qr().q();
    for _ in 0..POWERS {
        basis = through(x, &basis)?.qr().q();
    }
    let small = basis.tr_mul(&through(x, &basis)?);
    let (values, turn) = all((&small + small.transpose()) * 0.5)?;
    let vectors = oriented(basis * turn.columns(0, q));
    Ok((values[..q].to_vec(), vectors))
}

impl Family for Pca {
    type Config = PcaConfig;

    fn fit(config: &Self::Config, data: &Dataset, cx: &mut FitContext<'_>) -> Result<Fit<Self>> {
        data.check()?;
        let (x, d, n) = (&data.train.x, data.schema.width(), data.train.x.rows());
        let q = config.components.get();
        if q > d.min(n) {
            let message =
                format!("{q} directions of {n} rows with {d} columns; there are {} at most", d.min(n));
            return Err(Error::config("components", message));
        }
        if config.solver == Solver::Exact && d.saturating_mul(d) > MOST {
            let message =
                format!("the covariance of {d} columns is too large; take `solver = \"randomized\"`");
            return Err(Error::config("solver", message));
        }
        let transform = crate::transform_for(cx, data, || Ok(Transform::identity(data.schema.clone())))?;
        let parameters = (q * d) as u64;
        cx.emit(&Event::Start { model: SPEC.name.into(), steps: None, resumed_at: 0, parameters });
        let units = Units::around(x, config.standardize);
        let mut rng = cx.seed.child("directions").rng();
        let stop = cx.stop().clone();
        let (total, (variances, directions)) = stop.during(|| match config.solver {
            Solver::Exact => {
                let cov = units.scale(covariance(x)?.1);
                Ok::<_, Error>((cov.trace(), leading(&cov, q, None, &mut rng)?))
            }
            Solver::Randomized => {
                let y = units.inside(x);
                let square = |r: &[f32]| r.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>();
                Ok((y.iter().map(square).sum::<f64>() / n as f64, randomized(&y, q, &mut rng)?))
            }
        })?;
        if total <= 0.0 {
            return Err(Error::Domain("no column varies; there is no direction".into()));
        }
        let variances: Vec<f64> = variances.into_iter().map(|v| v.max(0.0)).collect();
        let directions = Batch::new(directions.iter().map(|v| *v as f32).collect(), d)?;
        let left = (1.0 - variances.iter().sum::<f64>() / total).max(0.0);
        let train = BTreeMap::from([("loss".to_owned(), left * total)]);
        cx.emit(&Event::Epoch { epoch: 1, step: 1, train, valid: BTreeMap::new(), best: true });
        let reason = cx.stopped().unwrap_or(StopReason::Completed);
        cx.emit(&Event::End { step: 1, reason });
        let figures = vec![Figure::new(
            "explained variance",
            1.0 - left,
            format!("share of the training rows' in {q} of {d} directions"),
        )];
        let mut report = FitReport { steps: 1, stopped: Some(reason), figures, ..FitReport::default() };
        let still = variances.iter().filter(|v| **v <= NOISE * variances[0]).count();
        if still > 0 {
            let message = format!(
                "rows do not vary in {still} of {q} directions, or so little beside the others that it is rounding; take fewer `components`, or standardize=true"
            );
            cx.warn(&mut report, message);
        }
        let model = Self { config: config.clone(), transform, units, directions, variances, total };
        Ok(Fit { model, report })
    }

    fn restore(state: &State) -> Result<Self> {
        let config: PcaConfig = crate::restore_config(state)?;
        let transform = crate::restore_transform(state)?;
        let (q, d) = (config.components.get(), transform.target().width());
        let units = Units::restore(state, d)?;
        let directions = Batch::new(state.f32("directions", &[q, d])?.to_vec(), d)?;
        let variances = state.f64("variances", &[q])?.to_vec();
        let total = state.f64("total", &[1])?[0];
        if total <= 0.0 || variances.iter().any(|v| *v < 0.0) {
            return Err(Error::Run("a variance is below 0, or there is none; the file is damaged".into()));
        }
        Ok(Self { config, transform, units, directions, variances, total })
    }
}

impl Model for Pca {
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
        let (q, d) = (self.directions.rows(), self.directions.width());
        let mut put = |name: &str, tensor| state.tensors.insert(name.into(), tensor);
        put("directions", Tensor::f32(&[q, d], self.directions.data().to_vec()));
        put("variances", Tensor::f64(&[q], self.variances.clone()));
        put("total", Tensor::f64(&[1], vec![self.total]));
        self.units.put(&mut state);
        state
    }

    fn figures(&self, x: &Batch, _: &genus_core::Scoring) -> Result<Vec<Figure>> {
        let codes = self.encode(x)?;
        let (inside, back) = (self.units.inside(x), self.plane(&codes)?);
        let square = |(a, b): (&f32, &f32)| f64::from(a - b).powi(2);
        let error = inside.data().iter().zip(back.data()).map(square).sum::<f64>() / x.rows().max(1) as f64;
        let unit = if self.config.standardize {
            "squared deviations of the columns"
        } else {
            "squared units of the columns"
        };
        Ok(vec![Figure::new("squared reconstruction error", error, format!("{unit}, summed over columns"))])
    }

    fn exhibits(&self) -> Vec<Exhibit> {
        let shares = self.explained();
        let summed: Vec<(f64, f64)> = shares
            .iter()
            .scan(0.0, |sum, v| {
                *sum += v;
                Some(*sum)
            })
            .enumerate()
            .map(|(i, v)| ((i + 1) as f64, v))
            .collect();
        let alone: Vec<(f64, f64)> = shares.iter().enumerate().map(|(i, v)| ((i + 1) as f64, *v)).collect();
        let lines = Panel::Lines {
            title: "Explained variance".into(),
            axes: ["direction".into(), "share of the variance".into()],
            lines: vec![Named::new("up to this one", summed), Named::new("alone", alone)],
        };
        let names = ("Directions", "Direction");
        let panel =
            parts(self.schema(), names, &self.directions, ("Share", &shares), Shade::Signed, |_, v| {
                Cell::Number(v)
            });
        let text = "The directions in which the training rows vary most, and the share of their variance that lies along each.";
        vec![Exhibit::new("directions", "Directions", text, vec![lines, panel])]
    }

    fn as_encoder(&self) -> Option<&dyn Encoder> {
        Some(self)
    }
    fn as_decoder(&self) -> Option<&dyn Decoder> {
        Some(self)
    }
}

impl Encoder for Pca {
    fn code_width(&self) -> usize {
        self.directions.rows()
    }

    fn encode(&self, x: &Batch) -> Result<Batch> {
        self.schema().check(x, false)?;
        let (q, d, stop) = (self.code_width(), self.directions.width(), Stop::current());
        let mut codes = Vec::with_capacity(x.rows() * q);
        for start in (0..x.rows()).step_by(BLOCK) {
            stop.check()?;
            let some = self.units.inside(&x.slice(start, start + BLOCK));
            codes.extend(product(&some, Mat::rows(self.directions.data(), d).t(), q));
        }
        let units = self.code_units();
        codes.chunks_exact_mut(q).for_each(|z| z.iter_mut().zip(&units).for_each(|(z, u)| *z /= u));
        Batch::new(codes, q)
    }
}

impl Decoder for Pca {
    fn decode(&self, codes: &Batch) -> Result<Batch> {
        if codes.width() != self.code_width() {
            return Err(Error::shape("codes", self.code_width(), codes.width()));
        }
        Ok(self.units.outside(&self.plane(codes)?, self.domain()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{self, Options};
    use genus_core::{Seed, Silent};

    fn fit(set: &str, config: &PcaConfig) -> (Pca, Batch) {
        let data = data::load(set, &Options::default()).unwrap();
        let fit = Pca::fit(config, &data, &mut FitContext::new(Seed::from(1), &mut Silent)).unwrap();
        (fit.model, data.train.x)
    }

    /// scikit-learn 1.9.1 on iris as it is shipped there.
    #[test]
    fn variances_are_those_of_scikit_learn() {
        let (pca, x) = fit("iris", &PcaConfig { components: count(4), ..PcaConfig::default() });
        for (got, want) in pca.explained().iter().zip([0.924_619, 0.053_066, 0.017_103, 0.005_212]) {
            assert!((got - want).abs() < 5e-7, "{got} {want}");
        }
        // Over n − 1, as they have it.
        let over = x.rows() as f64 / (x.rows() - 1) as f64;
        for (got, want) in
            pca.variances.iter().map(|v| v * over).zip([4.228_242, 0.242_671, 0.078_21, 0.023_835])
        {
            assert!((got - want).abs() < 1e-6, "{got} {want}");
        }
        // All directions together lose nothing.
        let back = pca.reconstruct(&x).unwrap();
        assert!(x.data().iter().zip(back.data()).all(|(a, b)| (a - b).abs() < 1e-5));
    }

    /// White codes have the covariance 1, and random directions find those of the covariance.
    #[test]
    fn codes_are_white_and_solvers_agree() {
        let white = PcaConfig { components: count(6), whiten: true, ..PcaConfig::default() };
        let (exact, x) = fit("digits", &white);
        let (_, cov) = covariance(&exact.encode(&x).unwrap()).unwrap();
        assert!((cov - DMatrix::<f64>::identity(6, 6)).norm() < 1e-4);
        let (random, _) = fit("digits", &PcaConfig { solver: Solver::Randomized, ..white });
        for j in 0..6 {
            let along: f32 =
                exact.directions.row(j).iter().zip(random.directions.row(j)).map(|(a, b)| a * b).sum();
            assert!((along - 1.0).abs() < 1e-3, "{j}: {along}");
            assert!((exact.variances[j] / random.variances[j] - 1.0).abs() < 1e-4);
        }
    }
}
