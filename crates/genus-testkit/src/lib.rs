//! The conformance suite: what every model promises, as tests.
//!
//! A model crate, also a third party's, runs it from an integration test without the standard harness:
//!
//! ```no_run
//! # static SPECS: [&genus_core::ModelSpec; 0] = [];
//! fn main() {
//!     genus_testkit::conformance(&SPECS).exit();
//! }
//! ```
//!
//! There is one named trial per (model, tiny configuration, check). A check answers that the promise held, that it failed, or that it
//! does not apply; every model must hold one of those that show what it learned. A crate may add [`Check`]s of its own to [`CHECKS`] and
//! hand them to [`trials`].

mod contract;
mod filling;
mod lacking;
mod learning;
mod repeat;
mod robust;
mod subject;

use genus_core::ModelSpec;
use libtest_mimic::{Arguments, Conclusion, Failed, Trial};
use std::sync::{Arc, PoisonError, RwLock};
pub use subject::{Answer, Subject, ensure};

/// A promise, and what it takes to hold a model to it.
#[derive(Clone, Copy)]
pub struct Check {
    /// Name of the trial, after the model's.
    pub name: &'static str,
    /// What the model promises: an answer, or in words what was found broken.
    pub run: fn(&Subject) -> Result<Answer, String>,
    /// Whether the machine must be left alone meanwhile: beside other trials, parallel loops find no free thread.
    pub alone: bool,
}

const fn check(name: &'static str, run: fn(&Subject) -> Result<Answer, String>) -> Check {
    Check { name, run, alone: false }
}

/// Those of which every model must hold one at least: what it was trained for shows.
const LEARNED: [&str; 4] = [
    "beats_independent_columns",
    "approaches_the_known_entropy",
    "draws_beat_independent_columns",
    "explains_held_out_rows",
];

/// All checks, in the order of trials.
pub const CHECKS: &[Check] = &[
    check("documentation_is_complete", contract::documentation),
    check("capabilities_are_those_of_the_spec", contract::capabilities),
    check("config_round_trips", contract::config_round_trip),
    check("unknown_keys_are_named", contract::unknown_key),
    check("bad_values_are_named", contract::bad_values),
    check("events_are_in_order", contract::events),
    check("an_observer_can_stop_it", contract::stop),
    check("same_seed_same_state", repeat::same_seed),
    Check { alone: true, ..check("any_thread_count_same_state", repeat::threads) },
    check("save_and_load_change_nothing", repeat::save_load),
    check("resume_changes_nothing", repeat::resume),
    check("training_begins_with_a_saved_model", repeat::start),
    check("rows_do_not_meet", repeat::row_subsets),
    check("standard_errors_cover_the_seeds", repeat::seeds),
    check("bad_rows_are_errors", robust::bad_rows),
    check("bad_training_rows_are_errors", robust::bad_training_rows),
    check("one_training_row_is_no_panic", robust::one_row),
    check("draws_are_rows_of_the_domain", robust::draws),
    check("fills_follow_the_conditional", filling::conditionals),
    check("what_is_there_is_scored", lacking::scores),
    check("learns_from_rows_that_lack_values", lacking::learns),
    check("beats_independent_columns", learning::beats_marginals),
    check("approaches_the_known_entropy", learning::approaches_entropy),
    check("draws_beat_independent_columns", learning::draws_beat_marginals),
    check("explains_held_out_rows", learning::explains),
    check("likelihood_audit_passes", learning::audit),
    check("gradients_match_finite_differences", learning::gradients),
];

/// Held by trials that may run side by side, and by one alone that may not.
static GATE: RwLock<()> = RwLock::new(());

fn run(check: &Check, subject: &Subject) -> Result<Answer, String> {
    // A trial that panicked has failed, and leaves nothing behind.
    if check.alone {
        let _alone = GATE.write().unwrap_or_else(PoisonError::into_inner);
        (check.run)(subject)
    } else {
        let _beside = GATE.read().unwrap_or_else(PoisonError::into_inner);
        (check.run)(subject)
    }
}

/// One trial per tiny configuration of each model and check, one about the configuration itself, and one per model that it shows what it
/// learned. The `expected_failures` of a configuration must fail: holding and not applying are then errors.
pub fn trials(specs: &[&'static ModelSpec], checks: &'static [Check]) -> Vec<Trial> {
    specs.iter().flat_map(|spec| of_model(spec, checks)).collect()
}

fn of_model(spec: &'static ModelSpec, checks: &'static [Check]) -> Vec<Trial> {
    let mut trials = Vec::new();
    let subjects: Vec<_> = spec.tiny_fits.iter().map(|tiny| Arc::new(Subject::new(spec, *tiny))).collect();
    for (tiny, subject) in spec.tiny_fits.iter().zip(&subjects) {
        let name = format!("{}::{}", spec.name, tiny.name.replace(' ', "_"));
        for check in checks {
            let subject = Arc::clone(subject);
            trials.push(Trial::test(format!("{name}::{}", check.name), move || {
                let expected = tiny.expected_failures.iter().find(|(name, _)| *name == check.name);
                match (run(check, &subject), expected) {
                    (Ok(_), None) | (Err(_), Some(_)) => Ok(()),
                    (Err(e), None) => Err(Failed::from(e)),
                    (Ok(answer), Some((_, reason))) => {
                        Err(format!("{answer:?}, though it is expected to fail: {reason}").into())
                    }
                }
            }));
        }
        trials.push(Trial::test(format!("{name}::expected_failures_name_checks"), move || {
            match tiny.expected_failures.iter().find(|(name, _)| checks.iter().all(|c| c.name != *name)) {
                Some((name, _)) => Err(format!("there is no check `{name}`").into()),
                None => Ok(()),
            }
        }));
    }
    trials.push(Trial::test(format!("{}::shows_what_it_learned", spec.name), move || {
        let telling = || checks.iter().filter(|c| LEARNED.contains(&c.name));
        match subjects.iter().any(|s| telling().any(|c| run(c, s) == Ok(Answer::Held))) {
            true => Ok(()),
            false => Err(format!("none of {} holds for any configuration", LEARNED.join(", ")).into()),
        }
    }));
    trials
}

/// Runs the suite with the arguments of the command line.
pub fn conformance(specs: &[&'static ModelSpec]) -> Conclusion {
    libtest_mimic::run(&Arguments::from_args(), trials(specs, CHECKS))
}
