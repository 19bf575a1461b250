//! What is found out about a model after its fit: scores, an audit, diagnostics, each for a share of the time that is left.

use super::log::Watch;
use super::{Request, VERSION};
use crate::baseline::Independent;
use crate::holes;
use crate::run::{RunDir, Summary};
use crate::{
    Batch, Capability, Dataset, Error, Event, EvidenceKind, LogProb, Model, ModelSpec, Result, Scored,
    Scoring, Seed, Split, SplitName, Stop, StopReason, Trained, audit, evaluate,
};

/// Shares of the time that is left for an audit and, at least, for each diagnostic.
const AUDIT: f64 = 0.4;
const DIAGNOSTIC: f64 = 0.4;

/// What `f` gives; none, with a warning, if there was no time for it within this share of what is left.
fn in_time<T>(
    share: f64,
    what: &str,
    warnings: &mut Vec<String>,
    f: impl FnOnce() -> Result<T>,
) -> Result<Option<T>> {
    match Stop::current().share(share).during(f) {
        Err(Error::Stopped(StopReason::TimeBudget)) => {
            warnings
                .push(format!("there was no time for {what}; allow more, or resume the run without a limit"));
            Ok(None)
        }
        other => other.map(Some),
    }
}

/// Scores, audit and diagnostics of a trained model.
pub(super) fn look(
    request: &Request,
    data: &Dataset,
    run: &RunDir,
    model: &dyn Model,
    seed: Seed,
    summary: &mut Summary,
    watch: &mut Watch<'_>,
) -> Result<()> {
    watch.phase("evaluate");
    let mut warnings = Vec::new();
    let test = score_splits(model, data, request, summary, &mut warnings, watch)?;
    // What is found out beside scores is of rows that lack nothing.
    let Some(whole) = holes::whole(data.clone()) else {
        warnings.push("no training row lacks nothing: there is no audit, and only scores are shown".into());
        told(&warnings, summary, watch);
        return run.write_exhibits(Vec::new());
    };
    let lacking = |(name, split): (SplitName, &Split)| {
        let lacks = split.x.rows() - holes::whole_rows(&split.x).len();
        (lacks > 0).then(|| format!("{lacks} of {} {name} rows", split.x.rows()))
    };
    let lacking: Vec<String> = data.splits().filter_map(lacking).collect();
    if !lacking.is_empty() {
        warnings.push(format!(
            "{} lack values: scores are of all rows, each by what is there; whatever else is shown is of the rows that lack nothing, which are \
             counted among themselves",
            lacking.join(", ")
        ));
    }
    let test = test.filter(|_| whole.test.is_some()).map(|scored| whole_rows(scored, data));
    let of = Trained { model, data: &whole, test: test.as_ref() };
    if request.audit {
        watch.phase("audit");
        let rows = of.held_out().select(&(0..of.held_out().x.rows().min(128)).collect::<Vec<_>>());
        let share = Stop::current().share(AUDIT);
        let mut heard = watch.progress("checks");
        let audit = share.during(|| audit::trained(model, &rows, seed.child("audit"), &mut heard))?;
        if audit.left_out > 0 {
            warnings.push(format!(
                "there was no time for {} checks of the audit; audit the run by itself",
                audit.left_out
            ));
        }
        summary.audit = audit.rows;
    }
    watch.phase("diagnostics");
    let apply: Vec<_> = request.diagnostics.iter().filter(|d| d.applies(&of)).collect();
    let (mut exhibits, mut heard) = (Vec::new(), watch.progress("diagnostics"));
    for (i, diagnostic) in apply.iter().enumerate() {
        let share = DIAGNOSTIC.max(1.0 / (apply.len() - i) as f64);
        let find = || diagnostic.find(&of, seed.child(diagnostic.name()));
        let found = in_time(share, diagnostic.what(), &mut warnings, find)?.unwrap_or_default();
        summary.figures.extend(found.figures);
        exhibits.extend(found.exhibits);
        heard(i as u64 + 1, apply.len() as u64);
    }
    drop(heard);
    run.write_exhibits(exhibits)?;
    told(&warnings, summary, watch);
    Ok(())
}

/// Says warnings, and keeps them.
fn told(warnings: &[String], summary: &mut Summary, watch: &mut Watch<'_>) {
    for message in warnings {
        watch.tell(&Event::Warning { message: message.clone() });
    }
    summary.warnings.extend_from_slice(warnings);
}

/// The scores of the test rows that lack nothing, by their place among these.
fn whole_rows(scored: Scored, data: &Dataset) -> Scored {
    let Some(split) = data.test.as_ref().filter(|split| holes::any(&split.x)) else { return scored };
    let whole = holes::whole_rows(&split.x);
    let place = |(row, nats): (&usize, &f64)| whole.binary_search(row).ok().map(|at| (at, *nats));
    let (rows, nats) = scored.rows.iter().zip(&scored.nats).filter_map(place).unzip();
    Scored { score: scored.score, rows, nats }
}

/// Scores of the held-out splits, or of the training rows if there are no others, and figures on the same rows. Gives those of test
/// rows.
fn score_splits(
    model: &dyn Model,
    data: &Dataset,
    request: &Request,
    summary: &mut Summary,
    warnings: &mut Vec<String>,
    watch: &mut Watch<'_>,
) -> Result<Option<Scored>> {
    let how = &request.scoring;
    let (mut test, mut law) = (None, None);
    let only_train = data.valid.is_none() && data.test.is_none();
    let splits: Vec<_> = data.splits().filter(|(n, _)| *n != SplitName::Train || only_train).collect();
    // The number that is reported comes first where time is short.
    for (name, split) in splits.iter().rev() {
        if !evaluate::is_scored(model) {
            break;
        }
        let mut scored = |how: &Scoring, warnings: &mut Vec<String>| {
            in_time(0.3, &format!("scores of the {name} rows"), warnings, || {
                let mut heard = watch.progress("rows scored");
                evaluate::score(model, *name, split, how, request.rows, &mut heard)
            })
            .map(Option::flatten)
        };
        // Validation rows get the plain score: importance samples are for the number that is reported.
        let mut plain = scored(&Scoring { importance_samples: 1, ..*how }, warnings)?;
        if let Some(plain) = &mut plain {
            let found = in_time(0.3, "independent columns", warnings, || {
                if law.is_none() {
                    law = Some(Independent::fit(model, &data.train.x)?);
                }
                beside(law.as_ref(), split, plain, how, model.spec().iterative)
            })?;
            warnings.extend(found.flatten());
        }
        if *name == SplitName::Test && how.importance_samples > 1 {
            let mut tight = scored(how, warnings)?;
            if let (Some(tight), Some(plain)) = (&mut tight, &plain) {
                tight.score.independent = plain.score.independent;
            }
            // Where draws play no part, the protocol names none, and the number is the same.
            if tight.as_ref().map(|t| &t.score.protocol) != plain.as_ref().map(|p| &p.score.protocol) {
                summary.scores.extend(tight.map(|t| t.score));
            }
        }
        summary.scores.extend(plain.as_ref().map(|p| p.score.clone()));
        if *name == SplitName::Test {
            test = plain;
        }
    }
    if let Some((_, split)) = splits.last() {
        let few = request.rows.map(|n| split.x.select(&evaluate::some_rows(split.x.rows(), n)));
        let figures = || model.figures(few.as_ref().unwrap_or(&split.x), how);
        let found = in_time(0.3, "figures of the model", warnings, figures)?;
        summary.figures.splice(0..0, found.unwrap_or_default());
    }
    Ok(test)
}

/// Puts beside a score what independent columns score on the same rows; gives a warning if the model is worse, by more than two
/// standard errors of the difference.
fn beside(
    law: Option<&Independent>,
    split: &Split,
    scored: &mut Scored,
    how: &Scoring,
    iterative: bool,
) -> Result<Option<String>> {
    let normalised = scored.score.evidence.kind != EvidenceKind::Unnormalized;
    let Some(law) = law.filter(|_| normalised) else { return Ok(None) };
    let independent = law.score(&split.x.select(&scored.rows), &Scoring { importance_samples: 1, ..*how })?;
    let mean = independent.mean();
    scored.score.independent = Some(mean);
    let nats = scored.nats.iter().zip(&independent.nats).map(|(own, other)| own - other).collect();
    let difference = LogProb { nats, ..independent };
    // Draws are in how the rows differ; what all rows share is not.
    let shared = scored.score.evidence.stderr.unwrap_or(0.0);
    let (off, stderr) = (difference.mean(), difference.stderr().hypot(shared));
    Ok((off < -2.0 * stderr).then(|| {
        let (what, remedy) = match iterative {
            true => ("under-trained", "train longer, at another rate, or take another model"),
            false => ("a poor fit", "this law is not that of such rows; take another model"),
        };
        format!(
            "{what}: the {} rows have {:.4} nats, and independent columns give them {mean:.4}; {remedy}",
            scored.score.split, scored.score.nats
        )
    }))
}

/// A summary with all that is known without scoring.
pub(super) fn describe(spec: &ModelSpec, model: &dyn Model, data: &Dataset) -> Summary {
    let reference = |r: &crate::Reference| format!("{}. {}. {}. {}", r.authors, r.title, r.year, r.url);
    Summary {
        model: spec.name.into(),
        title: spec.title.into(),
        taxonomy: spec.taxonomy().into_iter().map(str::to_owned).collect(),
        references: spec.references.iter().map(reference).collect(),
        capabilities: Capability::ALL
            .iter()
            .filter(|c| c.is_in(model))
            .map(|c| c.verb().to_owned())
            .collect(),
        domain: data.domain().to_string(),
        shape: evaluate::extents(data.domain()),
        top: data.domain().top().unwrap_or(0.0),
        range: range(&data.train.x),
        columns: data.schema.headings(),
        categories: match data.schema.columns.iter().all(|c| c.categories().is_empty()) {
            true => Vec::new(),
            false => data.schema.columns.iter().map(|c| c.categories().to_vec()).collect(),
        },
        given: if data.schema.conditional { data.schema.given_names() } else { Vec::new() },
        classes: data.schema.classes().to_vec(),
        transform: model.transform().map_or_else(String::new, crate::transform::Transform::protocol),
        data: data.provenance.clone(),
        rows: data.splits().map(|(n, s)| (n, s.x.rows() as u64)).collect(),
        machine: machine(),
        versions: vec![("genus".into(), VERSION.into())],
        ..Summary::default()
    }
}

/// Least and largest value.
fn range(x: &Batch) -> Option<(f32, f32)> {
    let first = *x.data().first()?;
    Some(x.data().iter().fold((first, first), |(lo, hi), v| (lo.min(*v), hi.max(*v))))
}

/// Processor, cores and system, as far as they can be read.
pub fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let cpu = std::fs::read_to_string("/proc/cpuinfo")
        .ok()
        .and_then(|t| {
            Some(t.lines().find(|l| l.starts_with("model name"))?.split(':').nth(1)?.trim().to_owned())
        })
        .unwrap_or_else(|| std::env::consts::ARCH.to_owned());
    format!("{cpu}, {cores} cores, {}", std::env::consts::OS)
}
