//! Penalties against closed forms, and what is no generator against what a trained one must show.

use super::duel::Duel;
use super::gan::{DiscriminatorConfig, GanConfig, Goodfellow};
use super::penalty::Penalty;
use super::play::Players;
use super::{GeneratorConfig, Networks};
use crate::data::{self, Options};
use crate::sample_metrics::energy::energy_distance;
use crate::transform::moments;
use crate::{Batch, Domain, Family as _, FitContext, Model as _, Sampler as _, Seed, Silent, State, Tensor};
use genus_core::config::count;
use genus_nn::{Params, values};

/// A discriminator without hidden layers, w·x + b, has the gradient w everywhere.
#[test]
fn penalties_of_a_plane_are_closed_forms() {
    let (mut params, rng) = (Params::default(), &mut Seed::from(3).rng());
    let config = GanConfig {
        networks: Networks::Dense,
        discriminator: DiscriminatorConfig { hidden: Vec::new(), ..DiscriminatorConfig::default() },
        ..GanConfig::default()
    };
    let players = Players::new(&config, &Domain::real(3), false, 0, &mut params, rng).unwrap();
    let w = params.ids().find(|id| params.name(*id) == "discriminator.last.w").unwrap();
    params.set(w, vec![0.6, -1.2, 2.0]);
    let square = 0.6f64.powi(2) + 1.2f64.powi(2) + 4.0;
    let x = Batch::from_fn(4, 3, |r, c| (r * 3 + c) as f32);
    for (penalty, want) in [
        (Penalty::Between(10.0), 10.0 * (square.sqrt() - 1.0).powi(2)),
        (Penalty::Around(2.0), 2.0 * (square.sqrt() - 1.0).powi(2)),
        (Penalty::AtRows(3.0), 1.5 * square),
    ] {
        let view = params.tracking(players.group);
        let cost = penalty.at(&players.discriminator, &view, &x, None).unwrap();
        let got = f64::from(values(cost.clone())[0]);
        assert!((got / want - 1.0).abs() < 1e-5, "{penalty:?}: {got} {want}");
        drop(cost.backward());
    }
    // Places of the first lie on the lines between pairs, one share for each.
    let made = Batch::from_fn(4, 3, |_, _| 10.0);
    let places = Penalty::Between(1.0).places(&x, &made, rng);
    for (r, place) in places.iter().enumerate() {
        let share = |c: usize| (place[c] - 10.0) / (x.row(r)[c] - 10.0);
        assert!((0.0..=1.0).contains(&share(0)) && (share(0) - share(2)).abs() < 1e-4, "{place:?}");
    }
}

/// By the measure of the conformance suite, a generator that has learned nothing and one that has collapsed fail where a trained one passes.
#[test]
fn what_has_not_learned_does_not_pass() {
    let set = data::load("pinwheel", &Options::default()).unwrap();
    let real = set.test.as_ref().unwrap().x.slice(0, 1000);
    let (mean, std) = moments(&real);
    let units =
        |x: &Batch| Batch::from_fn(x.rows(), 2, |r, c| ((f64::from(x.row(r)[c]) - mean[c]) / std[c]) as f32);
    let order = Seed::from(1).rng().permutation(real.rows());
    let shuffled = Batch::from_fn(real.rows(), 2, |r, c| real.row(if c == 0 { r } else { order[r] })[c]);
    let to_real = |x: &Batch| energy_distance(&units(x), &units(&real)).unwrap();
    let passes = |x: &Batch| to_real(x) < 0.5 * to_real(&shuffled);
    let hidden = vec![count(48); 2];
    let config = |epochs: usize| {
        let mut config = GanConfig {
            latent: count(4),
            generator: GeneratorConfig { hidden: hidden.clone(), ..GeneratorConfig::default() },
            discriminator: DiscriminatorConfig { hidden: hidden.clone(), ..DiscriminatorConfig::default() },
            ..GanConfig::default()
        };
        config.discriminator.optimizer.rate = genus_core::config::Positive::constant(2e-3);
        config.train.optimizer.rate = genus_core::config::Positive::constant(2e-3);
        config.train.epochs = count(epochs);
        config.train.batch = count(50);
        config
    };
    let fit = |config: &GanConfig, start: Option<&State>| {
        let mut silent = Silent;
        let mut cx = FitContext::new(Seed::from(5), &mut silent);
        cx.start = start;
        let fit = Duel::<Goodfellow>::fit(config, &set, &mut cx).unwrap();
        let draws = fit.model.sample(1000, &mut Seed::from(6).rng()).unwrap();
        let collapsed = fit.report.warnings.iter().any(|w| w.starts_with("collapse:"));
        (draws, collapsed, fit.model.state())
    };
    let (draws, collapsed, mut state) = fit(&config(25), None);
    assert!(passes(&draws) && !collapsed, "{} beside {}", to_real(&draws), to_real(&shuffled));
    let mut still = config(1);
    still.train.optimizer.rate = genus_core::config::Positive::constant(1e-9);
    let (draws, ..) = fit(&still, None);
    assert!(!passes(&draws), "untrained: {}", to_real(&draws));
    // A generator that makes one row of all noise fails, and is named.
    let last = state.tensors.get_mut("generator.2.w").unwrap();
    *last = Tensor::f32(&last.shape.clone(), vec![0.0; last.shape.iter().product()]);
    let (draws, collapsed, _) = fit(&still, Some(&state));
    assert!(!passes(&draws) && collapsed, "collapsed: {}", to_real(&draws));
}
