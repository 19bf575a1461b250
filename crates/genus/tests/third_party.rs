//! A model and a diagnostic of somebody else go through the session as ours do.

#![allow(clippy::unwrap_used)] // helpers of tests are tests too

use genus::panel::Cell;
use genus::registry::{self, Registry};
use genus::run::DataConfig;
use genus::session::{self, Request};
use genus::{
    Batch, Capability, Dataset, Density, Diagnostic, Evidence, EvidenceKind, Exhibit, Family, Figure, Fit,
    FitContext, FitReport, Found, LogProb, Measure, Model, ModelSpec, Panel, Result, Sampler, Schema,
    Scoring, Seed, Silent, State, SupportKind, Tensor, Trained, data,
};

static SPEC: ModelSpec =
    ModelSpec::new::<Columns>("columns", "Independent columns", "guest::explicit::tractable::columns")
        .summary("bits that know nothing of each other")
        .evidence(EvidenceKind::Exact)
        .can(&[Capability::Density, Capability::Sampler])
        .rows(&[SupportKind::Binary]);

/// p(x) = Π p_d^x_d (1 − p_d)^(1 − x_d).
struct Columns {
    p: Vec<f64>,
    schema: Schema,
}

impl Family for Columns {
    type Config = std::collections::BTreeMap<String, u32>;

    fn fit(_: &Self::Config, data: &Dataset, _: &mut FitContext<'_>) -> Result<Fit<Self>> {
        let (x, n) = (&data.train.x, data.train.x.rows() as f64);
        let p = (0..x.width()).map(|d| (1.0 + x.iter().map(|r| f64::from(r[d])).sum::<f64>()) / (n + 2.0));
        let model = Self { p: p.collect(), schema: data.schema.clone() };
        Ok(Fit { model, report: FitReport::default() })
    }

    fn restore(state: &State) -> Result<Self> {
        let p = state.tensors["p"].as_f64().unwrap().to_vec();
        Ok(Self { schema: serde_json::from_str(state.text("schema")?).unwrap(), p })
    }
}

impl Model for Columns {
    fn spec(&self) -> &'static ModelSpec {
        &SPEC
    }
    fn schema(&self) -> &Schema {
        &self.schema
    }
    fn state(&self) -> State {
        let mut state = State::default();
        state.header.insert("model".into(), SPEC.name.into());
        state.header.insert("schema".into(), serde_json::to_string(&self.schema).unwrap());
        state.tensors.insert("p".into(), Tensor::f64(&[self.p.len()], self.p.clone()));
        state
    }
    fn exhibits(&self) -> Vec<Exhibit> {
        let row = |p: &f64| vec![Cell::Share(*p)];
        let table = Panel::Table {
            title: "Ones".into(),
            head: vec!["share".into()],
            rows: self.p.iter().map(row).collect(),
        };
        vec![Exhibit::new("ones", "Ones of each column", "", vec![table])]
    }
    fn as_density(&self) -> Option<&dyn Density> {
        Some(self)
    }
    fn as_sampler(&self) -> Option<&dyn Sampler> {
        Some(self)
    }
}

impl Density for Columns {
    fn score(&self, x: &Batch, _: &Scoring) -> Result<LogProb> {
        self.schema.check(x, false)?;
        let one = |(v, p): (&f32, &f64)| if *v == 1.0 { p.ln() } else { (1.0 - p).ln() };
        let nats = x.iter().map(|row| row.iter().zip(&self.p).map(one).sum()).collect();
        Ok(LogProb {
            nats,
            spread: None,
            evidence: Evidence::EXACT,
            measure: Measure::Counting,
            protocol: String::new(),
        })
    }
}

impl Sampler for Columns {
    fn sample(&self, n: usize, rng: &mut genus::Rng) -> Result<Batch> {
        Ok(Batch::from_fn(n, self.p.len(), |_, d| f32::from(u8::from(f64::from(rng.uniform()) < self.p[d]))))
    }
}

/// How many training rows there are twice.
struct Twins;

impl Diagnostic for Twins {
    fn name(&self) -> &'static str {
        "twins"
    }
    fn what(&self) -> &'static str {
        "rows that are there twice"
    }
    fn applies(&self, of: &Trained<'_>) -> bool {
        of.model.spec().name == SPEC.name
    }
    fn find(&self, of: &Trained<'_>, _: Seed) -> Result<Found> {
        let rows = of.data.train.x.iter();
        let mut keys: Vec<Vec<u32>> = rows.map(|r| r.iter().map(|v| v.to_bits()).collect()).collect();
        let all = keys.len();
        keys.sort();
        keys.dedup();
        let figure = Figure::new("rows that are there twice", (all - keys.len()) as f64, "rows");
        Ok(Found { figures: vec![figure], ..Found::default() })
    }
}

#[test]
fn a_guest_is_trained_scored_audited_and_shown() {
    let set = data::load("tree8", &data::Options::default()).unwrap();
    let config = session::effective_config(&SPEC, &[], &[]).unwrap();
    let mut request = Request::new(&SPEC, config, DataConfig::default());
    request.registry = Registry::default().with(&[&SPEC]);
    request.diagnostics.push(&Twins);
    let folder = tempfile::tempdir().unwrap();
    let outcome = session::train(&request, &set, folder.path().join("run"), &mut Silent).unwrap();

    let nats = outcome.summary.scores.iter().find(|s| s.split == genus::SplitName::Test).unwrap().nats;
    let state = outcome.run.model().unwrap();
    assert!(registry::restore(&state).is_err(), "it is none of ours");
    let model = request.registry.restore(&state).unwrap();
    let again = model.as_density().unwrap().log_prob(&set.test.as_ref().unwrap().x).unwrap();
    assert!((again.mean() - nats).abs() < 1e-12, "{} {nats}", again.mean());
    assert!(outcome.summary.audit.iter().any(|row| row.check.contains("sum") && row.passed));
    assert!(outcome.summary.figures.iter().any(|f| f.name == "rows that are there twice" && f.value > 0.0));
    let shown: Vec<String> = outcome.run.exhibits().unwrap().into_iter().map(|e| e.name).collect();
    assert_eq!(shown, ["samples", "likeness", "neighbours", "ones", "histogram", "extremes"]);
}

/// What is suggested for rows that a model does not take comes from the registry of the request.
#[test]
fn suggestions_come_from_the_given_registry() {
    let set = data::load("8gaussians", &data::Options::default()).unwrap();
    let request = Request::new(&SPEC, toml::Table::new(), DataConfig::default());
    let folder = tempfile::tempdir().unwrap();
    let e = session::train(&request, &set, folder.path().join("run"), &mut Silent).unwrap_err().to_string();
    assert!(e.contains("columns takes binary rows") && e.contains("gmm"), "{e}");
}

#[test]
fn a_name_that_is_taken_is_taken_over() {
    static OTHER: ModelSpec = ModelSpec::new::<Columns>("made", "Another MADE", "guest::made");
    let with = Registry::default().with(&[&OTHER]);
    assert_eq!(with.find("made").unwrap().title, "Another MADE");
    assert_eq!(with.iter().count(), registry::all().count());
}
