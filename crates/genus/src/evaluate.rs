//! Figures of a fitted model: what a summary shows.

use crate::baseline;
use crate::holes;
use crate::run::Score;
use crate::stop::paced;
use crate::{
    Batch, Dataset, Domain, Error, EvidenceKind, LogProb, Measure, Model, Result, Scored, Scoring, Seed,
    Shape, Split, SplitName, Stop, StopReason, metrics,
};

/// `n` of `rows` rows, chosen by chance: whatever comes first must stand for all, and rows of a file may be sorted.
pub(crate) fn some_rows(rows: usize, n: usize) -> Vec<usize> {
    let mut order = Seed::from(0).child("scored rows").rng().permutation(rows);
    order.truncate(n);
    order
}

/// How far clusters are the classes of the same rows: the adjusted Rand index (Hubert & Arabie 1985), 0 by chance, and the mutual
/// information over the mean of the entropies; both are 1 where they are the same.
pub fn agreement(clusters: &[u32], classes: &[u32]) -> [f64; 2] {
    use crate::unsupervised::clustering::agreement::{adjusted_rand, normalized_information};
    [adjusted_rand(clusters, classes), normalized_information(clusters, classes)]
}

/// The mean log-probability of the rows of a split, given what they come with where the model is one of p(x | given): of all, or of
/// `most` that are chosen by chance, or, where time is short, of as many of those as there is time for. `heard` is told how many rows
/// have been scored, of how many. Nothing of a model without a density.
///
/// # Errors
/// If a row is not in the model's domain, [`Error::Stopped`] if it was interrupted or there was no time for any row.
pub fn score(
    model: &dyn Model,
    split: SplitName,
    rows: &Split,
    how: &Scoring,
    most: Option<usize>,
    heard: &mut dyn FnMut(u64, u64),
) -> Result<Option<Scored>> {
    if !is_scored(model) {
        return Ok(None);
    }
    let x = &rows.x;
    let n = most.map_or(x.rows(), |most| most.min(x.rows()));
    let mut order: Vec<usize> = match n < x.rows() || Stop::current().left().is_some() {
        true => some_rows(x.rows(), n),
        false => (0..n).collect(),
    };
    let mut parts: Vec<LogProb> = Vec::new();
    let mut done = 0;
    let scored = paced(n, |range| {
        parts.extend(model.score_split(&rows.select(&order[range.clone()]), how)?);
        done = range.end;
        heard(done as u64, n as u64);
        Ok(())
    });
    match scored {
        Err(Error::Stopped(StopReason::TimeBudget)) if done > 0 => {}
        other => other?,
    }
    order.truncate(done);
    let Some(LogProb { evidence, measure, mut protocol, .. }) = parts.first().cloned() else {
        return Err(Error::Domain(format!("no row in the {split} split")));
    };
    let scores = parts.into_iter().flat_map(|p| {
        let spread = p.spread.map_or_else(|| vec![None; p.nats.len()], |s| s.into_iter().map(Some).collect());
        p.nats.into_iter().zip(spread)
    });
    let mut each: Vec<(usize, f64, Option<f64>)> =
        order.into_iter().zip(scores).map(|(row, (nats, spread))| (row, nats, spread)).collect();
    each.sort_unstable_by_key(|(row, ..)| *row);
    let scored_rows: Vec<usize> = each.iter().map(|e| e.0).collect();
    let scored_x = x.select(&scored_rows);
    let nats: Vec<f64> = each.iter().map(|e| e.1).collect();
    let spread = each.iter().map(|e| e.2).collect::<Option<Vec<f64>>>();
    if let (Some(open), Some(given)) = (model.as_given(), &rows.given)
        && model.schema().conditional
    {
        // What one part of the rows says of what it is given is not said of all.
        let none = model.score_split(&rows.select(&[]), how)?;
        let words =
            [none.map(|lp| lp.protocol).into_iter().collect(), open.doubts(&given.select(&scored_rows))];
        protocol = words.concat().join(", ");
        if holes::any(&scored_x) {
            protocol = format!("{}, {protocol}", crate::draws::BY_WHAT_IS_THERE);
        }
    }
    if done < x.rows() {
        let join = if protocol.is_empty() { "" } else { ", " };
        protocol = format!("{protocol}{join}{done} of {} rows, chosen by chance", x.rows());
    }
    let all = LogProb { nats, spread, evidence, measure, protocol };
    let mean = all.mean();
    // Cells that a row has on average: all, unless some are missing.
    let cells = scored_x.data().iter().filter(|v| !v.is_nan()).count() as f64 / done as f64;
    let score = Score {
        split,
        rows: done as u64,
        nats: mean,
        stderr: Some(all.stderr_of(&scored_x)).filter(|s| s.is_finite()),
        independent: None,
        uniform: baseline::uniform(model, measure).map(|nats| nats * cells / x.width() as f64),
        bits_per_dim: (measure == Measure::Counting && evidence.kind != EvidenceKind::Unnormalized)
            .then(|| metrics::bits_per_dim(mean, x.width()) * x.width() as f64 / cells.max(1.0)),
        evidence,
        measure,
        protocol: all.protocol,
    };
    Ok(Some(Scored { score, rows: scored_rows, nats: all.nats }))
}

/// The rows of each split that lack no value; splits without such rows are left out, and nothing is left where no training row is whole.
pub fn whole(data: Dataset) -> Option<Dataset> {
    holes::whole(data)
}

/// Whether [`score`] gives anything.
pub fn is_scored(model: &dyn Model) -> bool {
    model.as_density().is_some() || model.schema().conditional && model.as_given().is_some()
}

/// What `ask` gives for the rows of a split, asked of the model, or, of one of p(x | given), of the model of rows under what each row is
/// given, with rows that are given the same together.
///
/// # Errors
/// If rows come without what is given, and as `ask`.
pub fn under_given(
    model: &dyn Model,
    rows: &Split,
    mut ask: impl FnMut(&dyn Model, &Batch) -> Result<Batch>,
) -> Result<Batch> {
    let Some(open) = model.as_given().filter(|_| model.schema().conditional) else {
        return ask(model, &rows.x);
    };
    let Some(given) = &rows.given else {
        let message = format!("the model is of {}, and these rows come without", model.schema().formula());
        return Err(Error::Domain(message));
    };
    let mut order: Vec<usize> = (0..given.rows()).collect();
    let key = |r: &usize| given.row(*r).iter().map(|v| v.to_bits()).collect::<Vec<u32>>();
    order.sort_by_cached_key(key);
    let (stop, mut answers) = (Stop::current(), vec![Vec::new(); given.rows()]);
    for alike in order.chunk_by(|a, b| given.row(*a) == given.row(*b)) {
        stop.check()?;
        let found = ask(open.at(given.row(alike[0]))?.as_ref(), &rows.x.select(alike))?;
        if !found.data().iter().all(|v| v.is_finite()) {
            return Err(Error::Domain(format!("{}: {}", rows.place(alike[0]), crate::context::TOO_FAR)));
        }
        alike.iter().zip(found.iter()).for_each(|(r, row)| answers[*r] = row.to_vec());
    }
    let width = answers.first().map_or(1, Vec::len).max(1);
    Batch::new(answers.concat(), width)
}

/// `[height, width, channels]` or `[d]`, for a summary.
pub(crate) fn extents(domain: &Domain) -> Vec<usize> {
    match domain.shape {
        Shape::Flat(d) => vec![d],
        Shape::Image { height, width, channels } => vec![height, width, channels],
    }
}
