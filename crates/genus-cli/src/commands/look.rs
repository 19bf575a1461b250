//! What can be done with a trained model.

use super::{Context, Rows, fit, importance, metrics, open};
use crate::args::{MaybeSource, ScoringArgs, Source, Through};
use crate::output;
use crate::progress::Progress;
use anyhow::Result;
use genus::detection::{Detection, detection};
use genus::number::Number;
use genus::run::AuditRow;
use genus::{
    Batch, Capability, Column, Conditions, Dataset, Domain, Drawing, Event, Fill, Model, Observer as _,
    Schema, Scoring, Seed, Split, SplitName, audit as audits, data, evaluate as figures, registry,
};
use serde_json::json;
use std::path::Path;
use std::process::ExitCode;

/// The error of a model that has not got a capability, naming those that have.
pub(super) fn cannot(model: &dyn Model, what: Capability) -> anyhow::Error {
    cannot_do(model, what, what.verb())
}

/// As [`cannot`], of something that takes the capability.
fn cannot_do(model: &dyn Model, what: Capability, verb: &str) -> anyhow::Error {
    if model.schema().conditional && model.as_given().is_some() {
        return genus::Error::Unsupported {
            model: model.spec().name.into(),
            capability: verb.into(),
            remedy: format!(
                "it is of {}, and knows rows under what they are given only; train without --given",
                model.schema().formula()
            ),
        }
        .into();
    }
    if model.spec().capabilities.contains(&what) {
        let remedy = format!(
            "it was not trained so that it can; `genus models {}` says by which settings it is",
            model.spec().name
        );
        return genus::Error::Unsupported {
            model: model.spec().name.into(),
            capability: verb.into(),
            remedy,
        }
        .into();
    }
    let able: Vec<_> = registry::all().filter(|s| s.capabilities.contains(&what)).map(|s| s.name).collect();
    genus::Error::Unsupported {
        model: model.spec().name.into(),
        capability: verb.into(),
        remedy: format!("models that can: {}", able.join(", ")),
    }
    .into()
}

/// Writes rows to a file, or prints them as CSV or JSON: with their names, and with what they come with where there is room.
pub(super) fn emit(cx: &Context, rows: &Split, schema: &Schema, output: Option<&Path>) -> Result<()> {
    let (schema, x) = if is_table(output) { schema.beside(rows) } else { (schema.clone(), rows.x.clone()) };
    if let Some(path) = output {
        let given = rows.given.as_ref().filter(|g| !is_table(output) && g.width() == schema.given.len());
        data::write_with(path, &x, given, &schema)?;
        output::note(written(x.rows(), "row", path));
        if given.is_some() {
            let columns = schema.given.iter().map(|g| match g.categories() {
                [] => g.name.clone(),
                all => format!("{} as a number of {}", g.name, all.join(", ")),
            });
            let columns = columns.collect::<Vec<_>>().join("; ");
            output::note(match path.extension().is_some_and(|e| e.eq_ignore_ascii_case("npz")) {
                true => format!("array `given` has what they are given: {columns}"),
                false => "what they are given is not in the file; .csv and .npz have it".to_owned(),
            });
        }
        return Ok(());
    }
    if cx.json {
        let columns: Vec<Column> = (0..x.width()).map(|c| schema.column(c)).collect();
        let cell = |(v, c): (&f32, &Column)| match c.categories() {
            // The digits that CSV has; dates, money and the like as they are written there.
            [] if c.style == genus::Style::Plain => {
                json!(Number(c.text(*v).parse::<f64>().unwrap_or(f64::NAN)))
            }
            _ => json!(c.text(*v)),
        };
        let rows = x.iter().map(|row| row.iter().zip(&columns).map(cell).collect::<Vec<_>>());
        return output::json(&rows.collect::<Vec<_>>());
    }
    output::csv(&data::to_csv(&x, &schema));
    Ok(())
}

/// Says what went where.
fn written(n: usize, what: &str, path: &Path) -> String {
    let s = if n == 1 { "" } else { "s" };
    format!("{n} {what}{s} written to {}", path.display())
}

/// Whether rows go where they have columns with names.
fn is_table(output: Option<&Path>) -> bool {
    output.is_none_or(|p| p.extension().is_some_and(|e| e.eq_ignore_ascii_case("csv")))
}

/// Rows of real numbers with these names of columns.
pub(super) fn numbers(names: impl IntoIterator<Item = String>) -> Schema {
    let names: Vec<String> = names.into_iter().collect();
    Schema::from(Domain::real(names.len())).named(names)
}

/// Most values that are drawn at once, as many as the readers of files take.
const MOST: usize = 1 << 29;

fn few_enough(what: &str, rows: usize, width: usize) -> Result<()> {
    if rows.saturating_mul(width) > MOST {
        let message = format!("{rows} rows of {width} values are too many at once; ask for fewer");
        return Err(genus::Error::config(what, message).into());
    }
    Ok(())
}

/// What draws are given, as it was typed.
pub struct Given {
    pub class: Option<String>,
    pub columns: Option<String>,
    pub rows: Option<String>,
    /// What rows are to be like.
    pub conditions: Option<String>,
    /// The column that is to have as many rows of each of its values.
    pub balance: Option<String>,
}

impl Given {
    /// The rows that a model of p(x | given) is given.
    fn of(&self, cx: &Context, schema: &Schema) -> Result<Batch> {
        if let Some(source) = &self.rows {
            // The table may be one of whole rows: what is not given is left out.
            let options = data::Options {
                like: Some(schema.of_given()),
                spare: true,
                data_dir: cx.data_dir.clone(),
                ..data::Options::default()
            };
            let Split { x, .. } = cx.read(source, &options)?.train;
            schema.check_given(&x)?;
            return Ok(x);
        }
        let row = match (&self.columns, &self.class) {
            (Some(text), _) => schema.given_row(text)?,
            (None, Some(class)) if !schema.classes().is_empty() => vec![schema.class(class)? as f32],
            _ => {
                let message = format!(
                    "the model is of {}: say what is given with --given {}, or with --given-rows FILE",
                    schema.formula(),
                    schema.given_form()
                );
                return Err(genus::Error::config("given", message).into());
            }
        };
        let width = row.len();
        Ok(Batch::new(row, width)?)
    }
}

/// `genus sample`.
pub fn sample(
    cx: &Context,
    run: &Path,
    n: Option<usize>,
    output: Option<&Path>,
    seed: u64,
    how: Drawing,
    given: &Given,
) -> Result<()> {
    let (_, model) = open(run)?;
    if how.missing && !model.as_sampler().is_some_and(genus::Sampler::draws_missing) {
        let message =
            "the model draws no rows that lack values: a `tabular` one does that was trained on such";
        return Err(genus::Error::config("with_missing", message).into());
    }
    let open = model.as_given().filter(|_| model.schema().conditional);
    if open.is_none() && (given.columns.is_some() || given.rows.is_some()) {
        let message = "the model is of p(x), and is given nothing; sample without, or train with --given";
        return Err(genus::Error::config("given", message).into());
    }
    let conditions =
        given.conditions.as_ref().map(|text| Conditions::parse(model.schema(), text)).transpose()?;
    conditions.iter().for_each(|of| beyond(model.schema(), of).iter().for_each(output::note));
    if conditions.is_some() && how.temperature != 1.0 {
        let message = "rows under conditions are drawn at temperature 1; leave it out";
        return Err(genus::Error::config("temperature", message).into());
    }
    if let Some(column) = &given.balance {
        return balanced(cx, model.as_ref(), column, n.unwrap_or(64), output, seed, how);
    }
    let width = model.domain().width();
    let rows = open.map(|_| given.of(cx, model.schema())).transpose()?;
    let each = n.unwrap_or(if given.rows.is_some() { 1 } else { 64 });
    let n = each.saturating_mul(rows.as_ref().map_or(1, Batch::rows));
    let in_pieces = is_table(output) && !(cx.json && output.is_none());
    if in_pieces && n.saturating_mul(width) > MOST_IN_PIECES {
        let message = format!("{n} rows of {width} values are too many at once; ask for fewer");
        return Err(genus::Error::config("n", message).into());
    }
    if !in_pieces && few_enough("n", n, width).is_err() {
        let message = format!(
            "{n} rows of {width} values are too many at once; ask for fewer, or write them as .csv, which is done piece by piece"
        );
        return Err(genus::Error::config("n", message).into());
    }
    let mut rng = Seed::from(seed).child("sample").rng();
    let mut done = 0;
    let mut source: Box<dyn FnMut(usize) -> Result<Split> + '_> = match (open, rows) {
        _ if conditions.is_some() => {
            let able =
                model.as_conditional().ok_or_else(|| cannot(model.as_ref(), Capability::Conditional))?;
            let schema = model.schema();
            let mut like = conditions.as_ref().map(|of| Like { model: able, schema, of, drawn: 0, met: 0 });
            Box::new(move |n| match &mut like {
                Some(like) => like.draw(n, &mut rng),
                None => unreachable!("there are conditions"),
            })
        }
        (Some(open), Some(rows)) => {
            open.doubts(&rows).iter().for_each(|d| output::note(format!("warning: {d}")));
            Box::new(move |n| {
                // As many draws as were asked for of each row, one row after the other.
                let given = rows.select(&(done..done + n).map(|i| i / each).collect::<Vec<_>>());
                done += n;
                let x = open.sample_given(&given, how.temperature, &mut rng)?;
                Ok(Split { given: Some(given), ..Split::unlabelled(x) })
            })
        }
        _ => {
            let sampler = model.as_sampler().ok_or_else(|| cannot(model.as_ref(), Capability::Sampler))?;
            if given.class.is_some() && sampler.classes_drawn() == 0 {
                return Err(cannot_do(model.as_ref(), Capability::ClassConditional, "sample by class"));
            }
            let class = given.class.as_ref().map(|name| model.schema().class(name)).transpose()?;
            let how = Drawing { given: class.map(|c| vec![c as f32]), ..how };
            Box::new(move |n| Ok(sampler.draw_as(n, &how, &mut rng)?))
        }
    };
    let mut draw = |n| -> Result<Split> {
        let mut rows = source(n)?;
        model.schema().hold(&mut rows.x);
        Ok(rows)
    };
    let piece = PIECE.min((PIECE_VALUES / width).max(1));
    if in_pieces && n > piece {
        return crate::progress::stop(None)?.during(|| pour(n, piece, draw, model.schema(), output));
    }
    emit(cx, &draw(n)?, model.schema(), output)
}

/// As many rows of each value of a column as of the others, but for one where they do not come out even, in no order.
fn balanced(
    cx: &Context,
    model: &dyn Model,
    column: &str,
    n: usize,
    output: Option<&Path>,
    seed: u64,
    how: Drawing,
) -> Result<()> {
    let schema = model.schema();
    few_enough("n", n, schema.width())?;
    let mut rng = Seed::from(seed).child("sample").rng();
    let count = |k: usize, of: usize| n / of + usize::from(k < n % of);
    let mut all: Option<Split> = None;
    let mut add = |rows: Split| -> Result<()> {
        all = Some(match all.take() {
            None => rows,
            Some(before) => Split {
                x: before.x.concat(&rows.x)?,
                given: before.given.zip(rows.given).map(|(a, b)| a.concat(&b)).transpose()?,
                lines: Vec::new(),
            },
        });
        Ok(())
    };
    let classes = model.as_sampler().map_or(0, genus::Sampler::classes_drawn);
    let is_class = schema.given.first().is_some_and(|g| g.name == column || column == "class");
    if let (Some(sampler), true) = (model.as_sampler(), is_class && classes > 0 && !schema.conditional) {
        for class in 0..classes {
            let how = Drawing { given: Some(vec![class as f32]), ..how.clone() };
            let mut rows = sampler.draw_as(count(class, classes), &how, &mut rng)?;
            schema.hold(&mut rows.x);
            rows.given.get_or_insert_with(|| Batch::from_fn(count(class, classes), 1, |_, _| class as f32));
            add(rows)?;
        }
    } else {
        let (at, values) = super::cells::levels(schema, column, "balance")?;
        let able = model.as_conditional().ok_or_else(|| cannot(model, Capability::Conditional))?;
        let own = schema.column(at);
        for (k, value) in values.iter().enumerate() {
            let of = Conditions::equal(schema, at, *value);
            let mut like = Like { model: able, schema, of: &of, drawn: usize::from(k > 0), met: 0 };
            add(like.draw(count(k, values.len()), &mut rng)?)?;
        }
        let shares = values.iter().map(|v| own.text(*v)).collect::<Vec<_>>().join(", ");
        output::note(format!("as many rows of each of {shares}"));
    }
    let rows = all.unwrap_or_else(|| Split::unlabelled(Batch::zeros(0, schema.width())));
    let order = rng.permutation(rows.x.rows());
    emit(cx, &rows.select(&order), schema, output)
}

/// Known whole numbers that lie further out than any training row.
fn beyond(schema: &Schema, of: &Conditions) -> Vec<String> {
    let known = of.rows(1);
    let far = schema.columns.iter().zip(known.row(0)).filter_map(|(column, v)| {
        let genus::Kind::Whole { least, most } = column.kind else { return None };
        let value = f64::from(*v) + column.origin;
        (value < least as f64 || value > most as f64).then(|| {
            let name = &column.name;
            format!("warning: {name} = {value} lies beyond the training rows, which have {least} to {most}: draws say little of it")
        })
    });
    far.collect()
}

/// Draws under conditions.
struct Like<'a> {
    model: &'a dyn genus::Conditional,
    schema: &'a Schema,
    of: &'a Conditions,
    /// Rows that were drawn, and those of them that met the conditions.
    drawn: usize,
    met: usize,
}

/// Draws without one that meets the conditions after which nobody waits longer.
const IN_VAIN: usize = 200_000;

impl Like<'_> {
    fn draw(&mut self, n: usize, rng: &mut genus::Rng) -> Result<Split> {
        let mut all: Option<Batch> = None;
        let mut missing = n;
        let before = self.drawn == 0;
        while missing > 0 {
            genus::Stop::current().check()?;
            // As many as are likely to hold enough, by the share so far.
            let share = (self.met as f64 + 1.0) / (self.drawn as f64 + 1.0);
            let tried = ((missing as f64 / share) as usize).clamp(64, PIECE).min(PIECE);
            let rows = self.of.rows(if self.of.are_more_than_equal() { tried } else { missing });
            let completion = self.model.complete(&rows, Fill::Sample, rng)?;
            if before && self.drawn == 0 {
                output::note(format!("rows under conditions by {}", completion.law));
                completion.warning.iter().for_each(|w| output::note(format!("warning: {w}")));
            }
            let mut x = completion.x;
            self.schema.hold(&mut x);
            self.of.keep(&mut x);
            let met: Vec<usize> = (0..x.rows()).filter(|r| self.of.hold(x.row(*r))).collect();
            (self.drawn, self.met) = (self.drawn + x.rows(), self.met + met.len());
            if self.met == 0 && self.drawn >= IN_VAIN {
                let message = format!(
                    "none of {} draws is like that; the training rows may have none either, or very few",
                    self.drawn
                );
                return Err(genus::Error::config("where", message).into());
            }
            let some = x.select(&met[..met.len().min(missing)]);
            missing -= some.rows();
            all = Some(match all {
                None => some,
                Some(all) => all.concat(&some)?,
            });
        }
        if self.of.are_more_than_equal() {
            let share = 100.0 * self.met as f64 / self.drawn as f64;
            output::note(format!(
                "{share:.1} % of the draws met the conditions; the others were drawn again"
            ));
        }
        Ok(Split::unlabelled(all.unwrap_or_else(|| self.of.rows(0))))
    }
}

/// Most rows, and values, that are drawn at once where they go to a table.
const PIECE: usize = 1 << 16;
const PIECE_VALUES: usize = 1 << 26;
/// Most values that a table of draws may have: more is a slip.
const MOST_IN_PIECES: usize = 1 << 44;

/// Writes `n` rows as a table, a piece at a time, so that their number does not matter to memory.
fn pour(
    n: usize,
    piece: usize,
    mut draw: impl FnMut(usize) -> Result<Split>,
    schema: &Schema,
    output: Option<&Path>,
) -> Result<()> {
    let mut file = output.map(genus::outfile::Output::create).transpose()?;
    let mut progress = Progress::new();
    let mut done = 0;
    while done < n {
        genus::Stop::current().check()?;
        let rows = draw(piece.min(n - done))?;
        let (schema, x) = schema.beside(&rows);
        let text = if done == 0 { data::to_csv(&x, &schema) } else { data::to_csv_rows(&x, &schema) };
        match &mut file {
            Some(file) => file.put(&text)?,
            None if !output::csv(&text) => return Ok(()),
            None => {}
        }
        done += x.rows();
        let _ = progress.on(&Event::Progress { what: "rows".into(), done: done as u64, of: n as u64 });
    }
    drop(progress);
    if let (Some(file), Some(path)) = (file, output) {
        file.finish()?;
        output::note(written(n, "row", path));
    }
    Ok(())
}

fn scoring(args: &ScoringArgs) -> Result<Scoring> {
    Ok(Scoring { importance_samples: importance(args.importance_samples)?, seed: Seed::from(args.seed) })
}

/// Which rows are known to be anomalies.
pub struct Truth {
    /// The column that says so.
    pub column: String,
    /// What it says of one; the rarer of two values if nothing.
    pub anomaly: Option<String>,
}

/// Whether each row is an anomaly, and what the column says of those.
fn anomalous(cx: &Context, source: &Source, keep: bool, truth: &Truth, of: &Schema) -> Result<Known> {
    let refused = |message: String| genus::Error::config("labels", message);
    if of.names().contains(&truth.column) {
        let message = format!("`{}` is a column of the model, which has seen what it says", truth.column);
        return Err(refused(message).into());
    }
    if source.data == "-" {
        return Err(refused("standard input is read once; give a file".into()).into());
    }
    let label = Some(data::Label::Name(truth.column.clone()));
    let options = data::Options { label, ..cx.options(&source.cut, keep, None)? };
    let set = data::load(&source.data, &options)?;
    let rows = super::chosen(source, set)?;
    let schema = &rows.set.schema;
    let Some(labels) = schema.labels(&rows.split) else {
        return Err(refused(format!("there is no column `{}` of few values", truth.column)).into());
    };
    let count = |class: u32| labels.iter().filter(|l| **l == class).count();
    let class = match &truth.anomaly {
        Some(name) => schema.class(name)?,
        None if schema.classes().len() == 2 && count(0) != count(1) => u32::from(count(1) < count(0)),
        None => {
            let all = schema.classes().join(", ");
            return Err(genus::Error::config(
                "anomaly",
                format!("which of {all} is an anomaly? say it with --anomaly"),
            )
            .into());
        }
    };
    Ok(Known {
        odd: labels.iter().map(|l| *l == class).collect(),
        name: schema.class_name(class as usize),
        lines: rows.split.lines.clone(),
    })
}

/// Rows of which it is known whether they are anomalies.
struct Known {
    odd: Vec<bool>,
    /// What the column says of an anomaly.
    name: String,
    /// Where they stand in their file.
    lines: Vec<u64>,
}

impl Known {
    /// How well scores of these rows tell them; rows that lack a value are in one reading of the file and may not be in the other.
    fn told_by(&self, nats: &[f64], rows: &Split) -> Result<Detection> {
        if self.odd.len() != nats.len() || self.lines != rows.lines {
            let message = "rows that lack a value, or what they are, cannot be told apart here; leave them out of the file";
            return Err(genus::Error::config("labels", message).into());
        }
        Ok(detection(nats, &self.odd)?)
    }
}

/// `genus score`.
pub fn score(
    cx: &Context,
    run: &Path,
    source: &Source,
    args: &ScoringArgs,
    truth: Option<&Truth>,
    output: Option<&Path>,
) -> Result<()> {
    let (run, model) = open(run)?;
    if !figures::is_scored(model.as_ref()) {
        return Err(cannot(model.as_ref(), Capability::Density));
    }
    let keep = super::keeps(model.as_ref(), &source.cut);
    let known = truth.map(|truth| anomalous(cx, source, keep, truth, model.schema())).transpose()?;
    // The column that says which rows are anomalies is none of the model's.
    let mut options = cx.options(&source.cut, keep, Some(model.schema()))?;
    options.spare = known.is_some();
    let rows = super::chosen(source, cx.read(&source.data, &options)?)?.split;
    warn(model.as_ref(), &rows);
    let Some(mut lp) = model.score_split(&rows, &scoring(args)?)? else {
        return Err(cannot(model.as_ref(), Capability::Density));
    };
    // A run that was interrupted has no summary, and no doubts that are known.
    lp.protocol = run.summary().unwrap_or_default().doubted(&lp.protocol);
    if let Some(path) = output {
        // f64, which the array writers do not hold: a table of text keeps every digit.
        let spread = |r: usize| lp.spread.as_ref().map_or(String::new(), |s| format!(",{}", s[r]));
        let text: String =
            lp.nats.iter().enumerate().map(|(r, v)| format!("{r},{v}{}\n", spread(r))).collect();
        let header = if lp.spread.is_some() { "row,nats,stderr" } else { "row,nats" };
        genus::outfile::write(path, format!("{header}\n{text}").as_bytes())?;
    }
    let found = known.map(|k| Ok::<_, anyhow::Error>((k.told_by(&lp.nats, &rows)?, k.name))).transpose()?;
    if cx.json {
        return output::json(&json!({
            "detection": found.as_ref().map(|(d, _)| d),
            "nats": lp.nats.iter().copied().map(Number).collect::<Vec<_>>(),
            "stderr": lp.spread.as_ref().map(|s| s.iter().copied().map(Number).collect::<Vec<_>>()), "evidence": lp.evidence, "measure": lp.measure, "protocol": lp.protocol,
        }));
    }
    let words = [lp.evidence.to_string(), "nats".into(), lp.measure.to_string(), lp.protocol.clone()];
    output::note(words.into_iter().filter(|w| !w.is_empty()).collect::<Vec<_>>().join("; "));
    if let Some((d, name)) = found {
        output::note(format!(
            "{} of {} rows are anomalies ({name}): ROC AUC {:.4} ± {:.4}, average precision {:.4} where chance has {:.4}",
            d.anomalies,
            d.rows,
            d.roc_auc,
            d.stderr,
            d.average_precision,
            d.anomalies as f64 / d.rows as f64
        ));
    }
    match output {
        Some(path) => output::note(written(lp.nats.len(), "score", path)),
        None => lp.nats.iter().for_each(output::line),
    }
    Ok(())
}

/// Says what is doubtful about what rows are given.
fn warn(model: &dyn Model, rows: &Split) {
    if let (Some(open), Some(given)) = (model.as_given().filter(|_| model.schema().conditional), &rows.given)
    {
        open.doubts(given).iter().for_each(|d| output::note(format!("warning: {d}")));
    }
}

/// `genus evaluate`.
pub fn evaluate(cx: &Context, run: &Path, source: &Source, args: &ScoringArgs, draws: usize) -> Result<()> {
    let (run, model) = open(run)?;
    let how = scoring(args)?;
    let mut source = source.clone();
    let trained = run.config()?.data;
    if source.cut.split.is_none() && source.data == trained.source && !trained.split.is_empty() {
        output::note(format!(
            "rows are split as in the training, {}; --split 1/0/0 takes all",
            trained.split
        ));
        source.cut.split = Some(trained.split);
    }
    let Rows { split, mut name, set } = cx.rows(&source, model.as_ref())?;
    warn(model.as_ref(), &split);
    if name == SplitName::Rows && set.digest() == run.config()?.data.sha256 {
        name = SplitName::Train;
    }
    let doubts = run.summary().unwrap_or_default().doubts;
    let given = if model.schema().conditional { model.schema().given_names() } else { Vec::new() };
    let mut summary = genus::run::Summary { doubts, given, ..genus::run::Summary::default() };
    if let Some(scored) = figures::score(model.as_ref(), name, &split, &how, None, &mut |_, _| ())? {
        let mut score = scored.score;
        score.protocol = summary.doubted(&score.protocol);
        summary.scores.push(score);
    }
    summary.figures = model.figures(&split.x, &how)?;
    // Rows of the training beside themselves would say nothing.
    let apart = name != SplitName::Train;
    if model.as_sampler().is_some() && draws > 0 && !apart {
        output::note(
            "draws are compared with rows that the model was not trained on, and these are its training rows",
        );
    }
    let compared = match model.as_sampler().filter(|_| draws > 0 && apart) {
        // Draws are whole, and are compared with rows that are.
        Some(_) => match figures::whole(set.clone()).map(|set| super::chosen(&source, set)) {
            Some(Ok(Rows { split, set, .. })) => crate::progress::stop(None)?
                .during(|| metrics::of_model(model.as_ref(), &split, &set, draws, Seed::from(args.seed)))?,
            _ => {
                output::note("draws are compared with rows that lack nothing, and there are none");
                Vec::new()
            }
        },
        None => Vec::new(),
    };
    if cx.json {
        return output::json(
            &json!({ "scores": summary.scores, "figures": summary.figures, "entropy": set.provenance.entropy, "draws": compared }),
        );
    }
    fit::scores(&summary);
    if !compared.is_empty() {
        output::line("");
        metrics::table(&[("draws".to_owned(), compared)]);
    }
    if let Some(h) = set.provenance.entropy {
        output::line(format!("entropy of the source: {h:.4} nats"));
    }
    Ok(())
}

/// `genus encode`.
pub fn encode(cx: &Context, t: &Through) -> Result<()> {
    let (_, model) = open(&t.run)?;
    let rows = cx.rows(&t.source, model.as_ref())?.split;
    warn(model.as_ref(), &rows);
    let mut able = true;
    let codes = figures::under_given(model.as_ref(), &rows, |model, x| match model.as_encoder() {
        Some(encoder) => encoder.encode(x),
        None => {
            able = false;
            Ok(x.clone())
        }
    })?;
    if !able {
        return Err(cannot(model.as_ref(), Capability::Encoder));
    }
    let schema = numbers((1..=codes.width()).map(|c| format!("z{c}")));
    emit(cx, &Split::unlabelled(codes), &schema, t.output.as_deref())
}

fn through(cx: &Context, t: &Through, f: impl FnOnce(&dyn Model, &Split) -> Result<Batch>) -> Result<()> {
    let (_, model) = open(&t.run)?;
    let model = model.as_ref();
    let rows = cx.rows(&t.source, model)?.split;
    warn(model, &rows);
    let y = f(model, &rows)?;
    // Means lie between levels: kept as numbers in arrays and tables, shown as grey in pictures.
    emit(cx, &Split::unlabelled(y), &model.schema().of_means(), t.output.as_deref())
}

/// The model of rows under what the first of some rows is given, of a model of p(x | given); nothing of another.
///
/// # Errors
/// If it does not decode.
fn decoder_of(model: &dyn Model, rows: &Split) -> Result<Option<Box<dyn Model>>> {
    let at = match (model.as_given().filter(|_| model.schema().conditional), &rows.given) {
        (Some(open), Some(given)) if given.rows() > 0 => Some(open.at(given.row(0))?),
        _ => None,
    };
    match at.as_deref().unwrap_or(model).as_decoder() {
        Some(_) => Ok(at),
        None => Err(cannot(model, Capability::Decoder)),
    }
}

/// `genus reconstruct`.
pub fn reconstruct(cx: &Context, t: &Through) -> Result<()> {
    through(cx, t, |model, rows| {
        decoder_of(model, rows)?;
        Ok(figures::under_given(model, rows, |model, x| match model.as_decoder() {
            Some(decoder) => decoder.reconstruct(x),
            None => Ok(x.clone()),
        })?)
    })
}

/// `genus interpolate`.
pub fn interpolate(cx: &Context, t: &Through, from: usize, to: usize, steps: usize) -> Result<()> {
    through(cx, t, |model, rows| {
        let x = &rows.x;
        for (name, row) in [("from", from), ("to", to)] {
            if row >= x.rows() {
                return Err(genus::Error::config(
                    name,
                    format!("there are {} rows, numbered from 0", x.rows()),
                )
                .into());
            }
        }
        if rows.given.as_ref().is_some_and(|g| model.schema().conditional && g.row(from) != g.row(to)) {
            let message = format!(
                "rows {from} and {to} are given different values, and there is no way between such; choose rows that are given the same"
            );
            return Err(genus::Error::config("to", message).into());
        }
        let one = rows.select(&[from]);
        let at = decoder_of(model, &one)?;
        let Some(decoder) = at.as_deref().unwrap_or(model).as_decoder() else {
            return Err(cannot(model, Capability::Decoder));
        };
        few_enough("steps", steps, x.width().max(decoder.code_width()))?;
        Ok(decoder.interpolate(&x.slice(from, from + 1), &x.slice(to, to + 1), steps)?)
    })
}

/// `genus classify`.
pub fn classify(cx: &Context, t: &Through) -> Result<()> {
    let (_, model) = open(&t.run)?;
    let classes = model.as_class_conditional();
    let classes = classes.ok_or_else(|| cannot(model.as_ref(), Capability::ClassConditional))?;
    let split = cx.rows(&t.source, model.as_ref())?.split;
    let p = classes.posterior(&split.x)?;
    if let Some(labels) = model.schema().labels(&split) {
        let best = |row: &[f32]| (0..row.len()).max_by(|a, b| row[*a].total_cmp(&row[*b]));
        let right = labels.iter().enumerate().filter(|(r, l)| best(p.row(*r)) == Some(**l as usize)).count();
        output::note(format!("{right} of {} rows have their own class as the most probable", labels.len()));
    }
    let schema = numbers((0..p.width()).map(|c| model.schema().class_name(c)));
    emit(cx, &Split::unlabelled(p), &schema, t.output.as_deref())
}

/// `genus cluster`.
pub fn cluster(cx: &Context, t: &Through) -> Result<()> {
    let (_, model) = open(&t.run)?;
    let clusters = model.as_clusterer().ok_or_else(|| cannot(model.as_ref(), Capability::Clusterer))?;
    let split = cx.rows(&t.source, model.as_ref())?.split;
    let assigned = clusters.assign(&split.x)?;
    if let Some(labels) = model.schema().labels(&split) {
        let [rand, information] = figures::agreement(&assigned, &labels);
        output::note(format!(
            "beside the classes of {} rows: adjusted Rand index {rand:.4}, normalised mutual information {information:.4}",
            labels.len()
        ));
    }
    let x = Batch::from_fn(assigned.len(), 1, |r, _| (assigned[r] + 1) as f32);
    emit(cx, &Split::unlabelled(x), &numbers(["cluster".to_owned()]), t.output.as_deref())
}

/// `genus impute`.
pub fn impute(cx: &Context, t: &Through, sample: bool, tables: Option<usize>, seed: u64) -> Result<()> {
    if let (Some(n), Some(path)) = (tables, &t.output) {
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        let end = path.extension().map_or(String::new(), |e| format!(".{}", e.to_string_lossy()));
        for k in 1..=n {
            let output = Some(path.with_file_name(format!("{stem}-{k}{end}")));
            let seed = Seed::from(seed).child("tables").index(k as u64);
            fill(cx, &Through { output, source: t.source.clone(), run: t.run.clone() }, true, seed)?;
        }
        return Ok(());
    }
    fill(cx, t, sample, Seed::from(seed).child("impute"))
}

/// Fills the missing values of a table.
fn fill(cx: &Context, t: &Through, sample: bool, seed: Seed) -> Result<()> {
    let (_, model) = open(&t.run)?;
    let conditional =
        model.as_conditional().ok_or_else(|| cannot(model.as_ref(), Capability::Conditional))?;
    if t.source.cut.drop_missing {
        let message = "rows that lack a value are those that are filled; leave --drop-missing out";
        return Err(genus::Error::config("drop-missing", message).into());
    }
    let piped = (t.source.data == "-").then(super::piped).transpose()?;
    let data = piped.as_ref().map_or_else(|| t.source.data.clone(), |(_, path)| path.display().to_string());
    let source = Source { data, ..t.source.clone() };
    let Rows { split: Split { x, given, lines }, name, set } = cx.rows_with(&source, true, model.as_ref())?;
    let fill = if sample { Fill::Sample } else { Fill::Mean };
    let holes = x.data().iter().filter(|v| v.is_nan()).count();
    let filled = conditional.complete(&x, fill, &mut seed.rng())?;
    let mut y = filled.x;
    // A table has what its columns hold, whole numbers for example; arrays and pictures have means as they are.
    let table = is_table(t.output.as_deref()) && !cx.json;
    let schema = if sample || table && !model.schema().columns.is_empty() && holds(model.schema()) {
        model.schema().clone()
    } else {
        model.schema().of_means()
    };
    if schema == *model.schema() {
        // What was given stays as it was given.
        schema.hold(&mut y);
        for (y, x) in y.data_mut().iter_mut().zip(x.data()).filter(|(_, x)| !x.is_nan()) {
            *y = *x;
        }
    }
    let kind = if sample { "draws" } else { "means" };
    output::note(format!("{holes} missing values filled with {kind}: {}", filled.law));
    filled.warning.iter().for_each(|w| output::note(format!("warning: {w}")));
    if !is_table(t.output.as_deref()) {
        return emit(cx, &Split::unlabelled(y), &schema, t.output.as_deref());
    }
    let options = cx.options(&source.cut, true, Some(model.schema()))?;
    if name == SplitName::Rows && !cx.json {
        // The file as it came, without holes.
        if let Some(bytes) = data::filled(Path::new(&source.data), &options, &y, &schema)? {
            return emit_bytes(&bytes, y.rows(), t.output.as_deref());
        }
    }
    let (schema, y) = schema.beside(&Split { x: y, given, lines });
    let (schema, y) = schema.arranged(y, &set.provenance.order);
    emit(cx, &Split::unlabelled(y), &schema, t.output.as_deref())
}

/// Whether rows are of numbers or of columns of several kinds, which hold what is nearest; means of bits and levels lie between them.
fn holds(schema: &Schema) -> bool {
    matches!(schema.domain.support, genus::Support::Real | genus::Support::Mixed(_))
}

/// As [`emit`], of rows that are text already.
pub(super) fn emit_bytes(bytes: &[u8], rows: usize, output: Option<&Path>) -> Result<()> {
    match output {
        Some(path) => {
            genus::outfile::write(path, bytes)?;
            output::note(written(rows, "row", path));
        }
        None => {
            output::csv(bytes);
        }
    }
    Ok(())
}

/// `genus audit`.
pub fn audit(cx: &Context, subject: &str, source: &MaybeSource) -> Result<ExitCode> {
    let path = Path::new(subject);
    let seed = Seed::from(0).child("audit");
    let mut progress = Progress::new();
    let mut heard = |done, of| {
        let _ = progress.on(&Event::Progress { what: "checks".into(), done, of });
    };
    let rows: Vec<AuditRow> = if path.is_dir() {
        let (run, model) = open(path)?;
        let stored = run.config()?;
        let set: Dataset = match &source.data {
            Some(data) => {
                cx.load(data, &source.cut, super::keeps(model.as_ref(), &source.cut), Some(model.schema()))?
            }
            None => fit::load(cx, model.spec(), &stored.data, Some(model.schema()))?,
        };
        let Some(set) = figures::whole(set) else {
            return Err(genus::Error::config(
                "data",
                "every training row lacks a value; give rows that are whole",
            )
            .into());
        };
        let held = set.test.as_ref().unwrap_or(&set.train);
        let held = held.select(&(0..held.x.rows().min(128)).collect::<Vec<_>>());
        let mut rows = audits::trained(model.as_ref(), &held, seed, &mut heard)?.rows;
        rows.extend(audits::twin(model.spec(), seed, &mut heard)?.rows);
        rows
    } else {
        audits::twin(registry::find(subject)?, seed, &mut heard)?.rows
    };
    drop(progress);
    let failed = rows.iter().filter(|r| !r.passed).count();
    if cx.json {
        output::json(&rows)?;
    } else {
        let cells: Vec<Vec<String>> = rows
            .iter()
            .map(|r| {
                let verdict = if r.passed { "✓ holds" } else { "✗ FAILS" };
                vec![verdict.into(), r.check.clone(), r.subject.clone(), r.figure.clone()]
            })
            .collect();
        output::table(&["verdict", "check", "subject", "figure"], &cells);
        output::line(format!("\n{} checks, {failed} failed", rows.len()));
    }
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
