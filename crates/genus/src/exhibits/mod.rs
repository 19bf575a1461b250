//! Exhibits of a fitted model: arrays that a report shows.

mod given;
mod order;

use crate::evaluate::Scored;
use crate::{
    Batch, Dataset, Density, Model, Result, Seed, Shape, Split, State, Stop, Support, Tensor, metrics,
};

/// Hidden units whose weights are shown, at most.
const FILTERS: usize = 100;

/// Rows chosen by chance, in their own order.
fn some(split: &Split, n: usize, seed: Seed) -> Split {
    let mut rows = seed.rng().permutation(split.x.rows());
    rows.truncate(n);
    rows.sort_unstable();
    split.select(&rows)
}

fn put(state: &mut State, name: &str, x: &Batch) {
    state.tensors.insert(name.into(), Tensor::f32(&[x.rows(), x.width()], x.data().to_vec()));
}

fn put_f64(state: &mut State, name: &str, v: Vec<f64>) {
    state.tensors.insert(name.into(), Tensor::f64(&[v.len()], v));
}

/// Samples, neighbours, reconstructions, interpolations, codes, scores: arrays that the report shows.
///
/// # Errors
/// Whatever the model meets on rows of its domain, and [`crate::Error::Stopped`]; what was made until then is in `state`.
pub fn of(
    model: &dyn Model,
    data: &Dataset,
    test: Option<&Scored>,
    seed: Seed,
    state: &mut State,
) -> Result<()> {
    let held = data.test.as_ref().or(data.valid.as_ref()).unwrap_or(&data.train);
    let plane = data.domain.shape == Shape::Flat(2) && data.domain.support == Support::Real;
    let n = if plane { 2000 } else { 64 };
    put(state, "real", &some(held, n, seed.child("real")).x);
    if let Some(sampler) = model.as_sampler() {
        let samples = sampler.sample(n, &mut seed.child("samples").rng())?;
        put(state, "samples", &samples);
        if !plane {
            let first = samples.slice(0, 16);
            let found = metrics::nearest(&first, &data.train.x)?;
            put(state, "neighbours", &data.train.x.select(&found.iter().map(|f| f.0).collect::<Vec<_>>()));
            put_f64(state, "neighbours.distance", found.iter().map(|f| f.1).collect());
        }
    }
    if let Some(decoder) = model.as_decoder() {
        let rows = some(held, 16, seed.child("reconstructions")).x;
        put(state, "reconstructions.output", &decoder.reconstruct(&rows)?);
        put(state, "reconstructions.input", &rows);
        let steps = 10;
        let paths = 4.min(rows.rows() / 2);
        let mut strip = Vec::new();
        for p in 0..paths {
            let (from, to) = (rows.slice(2 * p, 2 * p + 1), rows.slice(2 * p + 1, 2 * p + 2));
            strip.extend_from_slice(decoder.interpolate(&from, &to, steps)?.data());
        }
        state.tensors.insert("interpolations".into(), Tensor::f32(&[paths, steps, rows.width()], strip));
    }
    if let Some(encoder) = model.as_encoder() {
        let split = some(held, 2000, seed.child("latent"));
        let codes = encoder.encode(&split.x)?;
        let (codes, axes) = plane_of(&codes, seed)?;
        state.header.insert("latent.axes".into(), axes);
        put(state, "latent.codes", &codes);
        if let Some(labels) = split.labels {
            let wide: Vec<u64> = labels.iter().map(|l| u64::from(*l)).collect();
            state.tensors.insert("latent.labels".into(), Tensor::u64(&[wide.len()], wide));
        }
    }
    if let Some(density) = model.as_density() {
        let train = some(&data.train, 2000, seed.child("train"));
        put_f64(state, "scores.train", density.log_prob(&train.x)?.nats);
        if let (Some(Scored { rows: scored, nats, .. }), Some(test)) = (test, &data.test) {
            let mut order: Vec<usize> = (0..nats.len()).collect();
            order.sort_by(|a, b| nats[*b].total_cmp(&nats[*a]));
            let k = 8.min(order.len());
            let low: Vec<usize> = order.iter().rev().take(k).copied().collect();
            for (name, rows) in [("likely", &order[..k]), ("unlikely", &low)] {
                put(
                    state,
                    &format!("{name}.rows"),
                    &test.x.select(&rows.iter().map(|r| scored[*r]).collect::<Vec<_>>()),
                );
                put_f64(state, &format!("{name}.nats"), rows.iter().map(|r| nats[*r]).collect());
            }
            put_f64(state, "scores.test", nats.to_vec());
        }
        if plane {
            heat(density, held, state)?;
        }
    }
    if let (Some(filters), Shape::Image { .. }) = (model.filters(), data.domain.shape) {
        put(state, "filters", &filters.slice(0, FILTERS));
    }
    given::by_class(model, seed.child("by class"), state)?;
    given::completions(model, held, &data.domain, seed.child("completions"), state)?;
    order::show(model, seed.child("order"), state)
}

/// log p on a grid that covers the rows with a margin.
fn heat(density: &dyn Density, rows: &Split, state: &mut State) -> Result<()> {
    let side = 121;
    let extent: Vec<f64> = (0..2)
        .flat_map(|c| {
            let column = rows.x.iter().map(move |r| f64::from(r[c]));
            let (lo, hi) =
                (column.clone().fold(f64::INFINITY, f64::min), column.fold(f64::NEG_INFINITY, f64::max));
            let margin = 0.15 * (hi - lo).max(1e-6);
            [lo - margin, hi + margin]
        })
        .collect();
    let at = |c: usize, i: usize| {
        extent[2 * c] + (extent[2 * c + 1] - extent[2 * c]) * i as f64 / (side - 1) as f64
    };
    let grid = Batch::from_fn(side * side, 2, |r, c| at(c, if c == 0 { r % side } else { r / side }) as f32);
    let nats = density.log_prob(&grid)?.nats;
    state.tensors.insert("density.grid".into(), Tensor::f64(&[side, side], nats));
    put_f64(state, "density.extent", extent);
    Ok(())
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
