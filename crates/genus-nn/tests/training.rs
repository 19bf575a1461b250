//! The training toolkit on a problem whose answer is known: least squares.

#![allow(clippy::unwrap_used)] // helpers of tests are tests too

use genus_core::config::from_table;
use genus_core::{Batch, Error, Event, FitContext, Observer, Result, Seed, Silent, StopReason};
use genus_nn::{Id, Loss, Objective, Params, StepContext, TrainConfig, View, tensor, train, values};
use std::collections::BTreeMap;
use std::ops::ControlFlow;

/// ½ |x w − y|² per row.
struct LeastSquares {
    x: Batch,
    y: Batch,
    w: Id,
    /// Rows of the validation loss; none means there is no validation.
    valid: Option<(Batch, Batch)>,
    /// Multiplies the loss from this step on: to make it overflow.
    spoil: u64,
}

fn loss(view: &View<'_>, w: Id, x: &Batch, y: &Batch) -> genus_nn::Tensor<1> {
    let r = tensor(x.clone()).matmul(view.get::<2>(w)) - tensor(y.clone());
    (r.clone() * r).sum() * (0.5 / x.rows() as f32)
}

impl Objective for LeastSquares {
    fn loss(&mut self, view: &View<'_>, rows: &[usize], cx: &StepContext) -> Result<Loss> {
        let mut total = loss(view, self.w, &self.x.select(rows), &self.y.select(rows));
        if cx.step >= self.spoil {
            total = total * f32::INFINITY;
        }
        Ok(Loss::new(total).with("half", 0.5))
    }

    fn validate(&mut self, view: &View<'_>) -> Result<BTreeMap<String, f64>> {
        let Some((x, y)) = &self.valid else { return Ok(BTreeMap::new()) };
        let l = f64::from(values(loss(view, self.w, x, y))[0]);
        Ok(BTreeMap::from([("loss".to_owned(), l)]))
    }
}

const TRUTH: [f32; 3] = [1.5, -2.0, 0.5];

fn problem() -> (Params, LeastSquares) {
    let mut rng = Seed::from(3).rng();
    let x = Batch::from_fn(64, 3, |_, _| rng.normal() as f32);
    let y = Batch::from_fn(64, 1, |r, _| x.row(r).iter().zip(TRUTH).map(|(x, w)| x * w).sum());
    let mut params = Params::default();
    let w = params.add("layer.w", &[3, 1], vec![0.0; 3]);
    (params, LeastSquares { x, y, w, valid: None, spoil: u64::MAX })
}

fn config(text: &str) -> TrainConfig {
    from_table(&toml::from_str(text).unwrap()).unwrap()
}

fn fit(
    text: &str,
    params: &mut Params,
    o: &mut LeastSquares,
    observer: &mut dyn Observer,
) -> Result<StopReason> {
    let mut cx = FitContext::new(Seed::from(1), observer);
    Ok(train(&config(text), params, 64, o, "least squares", &mut cx)?.stopped.unwrap())
}

const FULL: &str = "epochs = 200\nbatch = 16\noptimizer.rate = 0.05";

#[test]
fn finds_the_known_solution() {
    let (mut params, mut o) = problem();
    assert_eq!(fit(FULL, &mut params, &mut o, &mut Silent).unwrap(), StopReason::Completed);
    for (w, truth) in params.values(o.w).iter().zip(TRUTH) {
        assert!((w - truth).abs() < 1e-3, "{w} {truth}");
    }
}

/// A loss that leaves the finite numbers stops the fit with step, parameter and remedy, and no later weights replace the
/// finite ones.
#[test]
fn not_a_number_is_named_and_changes_nothing() {
    let (mut params, mut o) = problem();
    o.spoil = 7;
    match fit(FULL, &mut params, &mut o, &mut Silent) {
        Err(Error::Numerical { what, step: 7, remedy }) => {
            assert!(what.contains("layer.w"), "{what}");
            assert!(remedy.contains("train.optimizer.rate") && remedy.contains("clip"), "{remedy}");
        }
        other => panic!("{other:?}"),
    }
    assert!(params.values(o.w).iter().all(|w| w.is_finite()));
}

/// Validation rows whose best weights lie on the way: the weights of the lowest validation loss are kept, and training stops
/// after the patience.
#[test]
fn early_stopping_keeps_the_best_weights() {
    let (mut params, mut o) = problem();
    // These rows want half of the true weights: the loss falls, then rises again.
    let y = Batch::from_fn(64, 1, |r, _| 0.5 * o.y.row(r)[0]);
    o.valid = Some((o.x.clone(), y));
    let mut losses = Vec::new();
    let mut observer = |e: &Event| {
        if let Event::Epoch { valid, .. } = e {
            losses.push(valid["loss"]);
        }
        ControlFlow::Continue(())
    };
    let text =
        "epochs = 400\nbatch = 16\npatience = 3\noptimizer.rate = 0.02\noptimizer.schedule = 'constant'";
    assert_eq!(fit(text, &mut params, &mut o, &mut observer).unwrap(), StopReason::EarlyStopping);
    let best = losses.iter().copied().fold(f64::INFINITY, f64::min);
    let at = losses.iter().position(|l| *l == best).unwrap();
    assert_eq!(losses.len(), at + 1 + 3, "three epochs of patience after the best one");
    assert_eq!(o.validate(&params.frozen()).unwrap()["loss"], best);
}

/// The average that is kept follows its recursion, computed here from the raw weights of every step.
#[test]
fn the_moving_average_is_what_is_kept() {
    let (mut params, mut o) = problem();
    let raw = |steps: usize| {
        let (mut params, mut o) = problem();
        let mut seen = 0;
        let mut observer = |e: &Event| {
            seen += usize::from(matches!(e, Event::Step { .. }));
            if seen >= steps {
                ControlFlow::Break(StopReason::Interrupted)
            } else {
                ControlFlow::Continue(())
            }
        };
        fit(&format!("{FULL}\nema = 0.0"), &mut params, &mut o, &mut observer).unwrap();
        params.values(o.w)
    };
    let mut average = [0.0f32; 3];
    for step in 1..=6 {
        let t = step as f32;
        let decay = 0.9f32.min((1.0 + t) / (10.0 + t));
        average.iter_mut().zip(raw(step)).for_each(|(a, w)| *a += (1.0 - decay) * (w - *a));
    }
    let mut seen = 0;
    let mut observer = |e: &Event| {
        seen += u32::from(matches!(e, Event::Step { .. }));
        if seen >= 6 { ControlFlow::Break(StopReason::Interrupted) } else { ControlFlow::Continue(()) }
    };
    fit(&format!("{FULL}\nema = 0.9"), &mut params, &mut o, &mut observer).unwrap();
    for (kept, want) in params.values(o.w).iter().zip(average) {
        assert!((kept - want).abs() < 1e-6, "{kept} {want}");
    }
}

/// The logged norm is that of the whole gradient before clipping, by the definition.
#[test]
fn the_logged_gradient_norm_is_that_of_the_definition() {
    let (mut params, mut o) = problem();
    let mut norm = 0.0;
    let mut observer = |e: &Event| {
        if let Event::Step { parts, .. } = e {
            norm = parts["gradient norm"];
            return ControlFlow::Break(StopReason::Interrupted);
        }
        ControlFlow::Continue(())
    };
    let text = "epochs = 1\nbatch = 64\noptimizer.clip = 0.001";
    fit(text, &mut params, &mut o, &mut observer).unwrap();
    // Gradient at w = 0: −Xᵀ y / n.
    let want: f64 = (0..3)
        .map(|c| (0..64).map(|r| f64::from(o.x.row(r)[c] * o.y.row(r)[0])).sum::<f64>() / 64.0)
        .map(|g| g * g)
        .sum::<f64>()
        .sqrt();
    assert!((norm / want - 1.0).abs() < 1e-5, "{norm} {want}");
}

/// Rows pass in four parts: the same gradient, and so the same weights, up to rounding.
#[test]
fn parts_of_a_batch_add_up_to_it() {
    let weights = |text: &str| {
        let (mut params, mut o) = problem();
        fit(
            &format!("epochs = 5\nbatch = 16\noptimizer.rate = 0.05\n{text}"),
            &mut params,
            &mut o,
            &mut Silent,
        )
        .unwrap();
        params.values(o.w)
    };
    let (whole, parts) = (weights(""), weights("micro_batches = 5"));
    assert!(whole.iter().zip(&parts).all(|(a, b)| (a - b).abs() < 1e-5), "{whole:?} {parts:?}");
    assert_ne!(whole, parts, "sums in another order round otherwise: were there parts at all?");
}

/// Validation after every fourth step of epochs of ten, and after the last.
#[test]
fn validation_is_as_often_as_asked_for() {
    let seen = |text: &str| {
        let (mut params, mut o) = problem();
        o.valid = Some((o.x.clone(), o.y.clone()));
        let mut at = Vec::new();
        let mut observer = |e: &Event| {
            match e {
                Event::Validation { step, valid, .. } | Event::Epoch { step, valid, .. }
                    if !valid.is_empty() =>
                {
                    at.push(*step);
                }
                _ => {}
            }
            ControlFlow::Continue(())
        };
        fit(&format!("batch = 7\n{text}"), &mut params, &mut o, &mut observer).unwrap();
        at
    };
    assert_eq!(seen("epochs = 2\nvalidate = '4 steps'"), [4, 8, 12, 16, 20]);
    assert_eq!(seen("epochs = 5\nvalidate = 2"), [20, 40, 50]);
}

/// Patience that cannot have an effect is warned of, once.
#[test]
fn patience_without_validation_rows_is_warned_of() {
    let (mut params, mut o) = problem();
    let mut warned = Vec::new();
    let mut observer = |e: &Event| {
        if let Event::Warning { message } = e {
            warned.push(message.clone());
        }
        ControlFlow::Continue(())
    };
    fit("epochs = 4\nbatch = 16\npatience = 2", &mut params, &mut o, &mut observer).unwrap();
    assert_eq!(warned.len(), 1, "{warned:?}");
    assert!(warned[0].contains("patience = 2 has no effect"), "{warned:?}");
}

/// Observers are called on the thread of whoever calls the fit, inside the pool or outside.
#[test]
fn observers_run_on_the_thread_of_the_caller() {
    let (mut params, mut o) = problem();
    let caller = std::thread::current().id();
    let mut heard = 0;
    let mut observer = |_: &Event| {
        assert_eq!(std::thread::current().id(), caller);
        heard += 1;
        ControlFlow::Continue(())
    };
    fit("epochs = 2\nbatch = 16", &mut params, &mut o, &mut observer).unwrap();
    assert!(heard > 10, "{heard}");
}
