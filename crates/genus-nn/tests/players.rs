//! Several optimisers that take turns, on a game whose solution is known: the first player minimises ½(a − target)² + a·b, the second
//! ½(b + a)², each over its own number.

#![allow(clippy::unwrap_used)] // helpers of tests are tests too

use genus_core::checkpoint::Checkpoints;
use genus_core::config::{Fraction, from_table};
use genus_core::train::{Figures, Watch};
use genus_core::{Event, FitContext, Observer, Result, Seed, State, StopReason, Tensor as Stored};
use genus_nn::{
    Id, Loss, Objective, OptimizerConfig, Params, Player, StepContext, TrainConfig, View, play, tensor_from,
    values,
};
use std::ops::ControlFlow;
use std::time::Duration;

const TARGET: f32 = 3.0;

struct Game {
    a: Id,
    b: Id,
    /// A buffer: the mean of b over its moves.
    mean: Id,
    /// State of the objective's own: how often the second player has moved.
    moves: u64,
}

impl Objective for Game {
    fn loss(&mut self, view: &View<'_>, rows: &[usize], cx: &StepContext) -> Result<Loss> {
        let (a, b) = (view.get::<1>(self.a), view.get::<1>(self.b));
        let noise = 0.1 * cx.rng("noise").normal() as f32 * rows.len() as f32 / 8.0;
        let target = tensor_from(vec![TARGET + noise], [1]);
        if cx.player == 0 {
            let off = a.clone() - target;
            return Ok(Loss::new(off.clone() * off * 0.5 + a * b).with("target", f64::from(TARGET)));
        }
        let off = b.clone() + a;
        self.moves += 1;
        let n = self.moves as f32;
        let mean = values(view.get::<1>(self.mean))[0];
        let now = values(b)[0];
        let buffers = vec![(self.mean, vec![mean + (now - mean) / n])];
        Ok(Loss { buffers, ..Loss::new(off.clone() * off * 0.5) })
    }

    fn validate(&mut self, view: &View<'_>) -> Result<Figures> {
        let at = |id| f64::from(values(view.get::<1>(id))[0]);
        let off = (at(self.a) - 1.5).powi(2) + (at(self.b) + 1.5).powi(2);
        Ok(Figures::from([("closeness".into(), -off)]))
    }

    fn watch(&self) -> Watch {
        Watch::higher("closeness")
    }

    fn turns(&self, step: u64) -> &[usize] {
        if step.is_multiple_of(3) { &[1, 0] } else { &[1] }
    }

    fn state(&self) -> State {
        let mut state = State::default();
        state.tensors.insert("moves".into(), Stored::u64(&[1], vec![self.moves]));
        state
    }

    fn load(&mut self, state: &State) -> Result<()> {
        self.moves = state.u64("moves", &[1])?[0];
        Ok(())
    }
}

/// The parameters, and all that there is at the end.
fn run(
    observer: &mut dyn Observer,
    checkpoints: Option<(&Checkpoints, bool)>,
    epochs: usize,
) -> (Vec<f32>, StopReason, Params) {
    let mut params = Params::default();
    let a = params.add("a", &[1], vec![0.0]);
    let group = params.begin_group();
    let b = params.add("b", &[1], vec![0.0]);
    let mean = params.buffer("mean of b", &[1], vec![0.0]);
    assert_eq!(params.count(), 2, "a buffer is not trained");
    let mut game = Game { a, b, mean, moves: 0 };
    let config: TrainConfig =
        from_table(&toml::from_str(&format!("epochs = {epochs}\nbatch = 8\nkeep_best = false")).unwrap())
            .unwrap();
    let optimizer = |rate: f64| -> OptimizerConfig {
        from_table(&toml::from_str(&format!("rate = {rate}\nbeta1 = 0.5")).unwrap()).unwrap()
    };
    let players = vec![
        Player {
            name: "first",
            group: genus_nn::Group::default(),
            optimizer: optimizer(0.05),
            key: "first.optimizer",
            ema: Fraction::constant(0.9),
        },
        Player {
            name: "second",
            group,
            optimizer: optimizer(0.1),
            key: "second.optimizer",
            ema: Fraction::constant(0.0),
        },
    ];
    let mut cx = FitContext::new(Seed::from(2), observer);
    if let Some((checkpoints, resume)) = checkpoints {
        cx = cx.with_checkpoints(checkpoints, resume);
    }
    let report = play(&config, players, &mut params, 32, &mut game, "game", &mut cx).unwrap();
    let found = [a, b, mean].map(|id| params.values(id)[0]).to_vec();
    (found, report.stopped.unwrap(), params)
}

/// The second player moves at every step, the first at every third; all of them move.
#[test]
fn players_move_their_own_parameters_in_turn() {
    let mut moved = Vec::new();
    let mut observer = |e: &Event| {
        if let Event::Step { step, parts } = e {
            moved.push((*step, parts.contains_key("first loss"), parts.contains_key("second loss")));
        }
        ControlFlow::Continue(())
    };
    let (found, ..) = run(&mut observer, None, 3);
    assert!(moved.iter().all(|(step, first, second)| *first == step.is_multiple_of(3) && *second));
    assert_eq!(moved.len(), 12);
    assert!(found[0] != 0.0 && found[1] != 0.0 && found[2] != 0.0, "{found:?}");
}

/// Stopped at several steps and gone on with: the same bits of weights, averages, buffers, counters and of what the objective keeps.
#[test]
fn a_resumed_game_ends_in_the_same_bits() {
    let end = |dir: &std::path::Path, resume: bool, stop: u64| {
        let checkpoints = Checkpoints::open(dir, "game").unwrap().every(Duration::ZERO);
        let mut observer = |e: &Event| match e {
            Event::Step { step, .. } if *step == stop => ControlFlow::Break(StopReason::Interrupted),
            _ => ControlFlow::Continue(()),
        };
        let (found, ..) = run(&mut observer, Some((&checkpoints, resume)), 30);
        let (step, state) = checkpoints.latest().unwrap().unwrap();
        (found, step, state)
    };
    let whole = end(tempfile::tempdir().unwrap().path(), false, u64::MAX);
    for stop in [1, 2, 3, 7, 30, 101] {
        let dir = tempfile::tempdir().unwrap();
        end(dir.path(), false, stop);
        assert_eq!(end(dir.path(), true, u64::MAX), whole, "stopped after step {stop}");
    }
}

/// The counter of each optimiser is its own: the first update of Adam has the size of the rate, whenever it comes. The first player
/// moves at step 3 for the first time.
#[test]
fn counters_are_of_the_player() {
    let mut observer = |e: &Event| match e {
        Event::Step { step: 3, .. } => ControlFlow::Break(StopReason::Interrupted),
        _ => ControlFlow::Continue(()),
    };
    let (_, reason, params) = run(&mut observer, None, 30);
    assert_eq!(reason, StopReason::Interrupted);
    // The average of the first player after one move: 0 + (1 − 2/11) · 0.05 · schedule.
    let a = params.values(params.ids().next().unwrap())[0];
    let schedule = 0.5 * (1.0 + (std::f32::consts::PI * 2.0 / 120.0).cos());
    let want = (1.0 - 2.0 / 11.0) * 0.05 * schedule;
    assert!((a / want - 1.0).abs() < 1e-3, "{a} {want}");
}

/// What is best may be most: the weights of the highest watched figure are kept.
#[test]
fn the_watched_figure_may_be_better_when_higher() {
    let mut seen: Vec<(f64, bool)> = Vec::new();
    let mut observer = |e: &Event| {
        if let Event::Epoch { valid, best, .. } = e {
            seen.push((valid["closeness"], *best));
        }
        ControlFlow::Continue(())
    };
    run(&mut observer, None, 30);
    let mut most = f64::NEG_INFINITY;
    for (value, best) in seen {
        assert_eq!(best, value > most, "{value} {most}");
        most = most.max(value);
    }
}
