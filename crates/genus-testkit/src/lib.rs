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
//! There is one named trial per (model, tiny configuration, check); a check applies by capability. The `expected_failures` of a
//! configuration must fail: passing is then the error.

mod contract;
mod learning;
mod repeat;
mod robust;
mod subject;

use genus_core::ModelSpec;
use libtest_mimic::{Arguments, Conclusion, Failed, Trial};
use std::sync::Arc;
use subject::Subject;

/// A promise, and what it takes to hold a model to it.
pub struct Check {
    /// Name of the trial, after the model's.
    pub name: &'static str,
    applies: fn(&ModelSpec) -> bool,
    run: fn(&Subject) -> Result<(), String>,
}

const fn every(name: &'static str, run: fn(&Subject) -> Result<(), String>) -> Check {
    Check { name, applies: |_| true, run }
}

/// All checks, in the order of trials.
pub const CHECKS: &[Check] = &[
    every("documentation_is_complete", contract::documentation),
    every("capabilities_are_those_of_the_spec", contract::capabilities),
    every("config_round_trips", contract::config_round_trip),
    every("unknown_keys_are_named", contract::unknown_key),
    every("bad_values_are_named", contract::bad_values),
    every("events_are_in_order", contract::events),
    every("an_observer_can_stop_it", contract::stop),
    every("same_seed_same_state", repeat::same_seed),
    every("any_thread_count_same_state", repeat::threads),
    every("save_and_load_change_nothing", repeat::save_load),
    Check { name: "resume_changes_nothing", applies: |s| s.iterative, run: repeat::resume },
    every("rows_do_not_meet", repeat::row_subsets),
    every("bad_rows_are_errors", robust::bad_rows),
    every("bad_training_rows_are_errors", robust::bad_training_rows),
    every("one_training_row_is_no_panic", robust::one_row),
    every("draws_are_rows_of_the_domain", robust::draws),
    every("beats_independent_columns", learning::beats_marginals),
    every("approaches_the_known_entropy", learning::approaches_entropy),
    every("likelihood_audit_passes", learning::audit),
    Check {
        name: "gradients_match_finite_differences",
        applies: |s| s.gradient_check.is_some(),
        run: learning::gradients,
    },
];

/// One trial per tiny configuration of each model and check that applies to it.
pub fn trials(specs: &[&'static ModelSpec]) -> Vec<Trial> {
    let mut trials = Vec::new();
    for (spec, tiny) in specs.iter().flat_map(|s| s.tiny.iter().map(|t| (*s, *t))) {
        let name = format!("{}::{}", spec.name, tiny.name.replace(' ', "_"));
        let subject = Arc::new(Subject::new(spec, tiny));
        for check in CHECKS.iter().filter(|c| (c.applies)(spec)) {
            let subject = Arc::clone(&subject);
            trials.push(Trial::test(format!("{name}::{}", check.name), move || {
                let expected = tiny.expected_failures.iter().find(|(name, _)| *name == check.name);
                match ((check.run)(&subject), expected) {
                    (Ok(()), None) | (Err(_), Some(_)) => Ok(()),
                    (Err(e), None) => Err(Failed::from(e)),
                    (Ok(()), Some((_, reason))) => {
                        Err(format!("passes, though it is expected to fail: {reason}").into())
                    }
                }
            }));
        }
        trials.push(Trial::test(format!("{name}::expected_failures_name_checks"), move || {
            match tiny.expected_failures.iter().find(|(name, _)| CHECKS.iter().all(|c| c.name != *name)) {
                Some((name, _)) => Err(format!("there is no check `{name}`").into()),
                None => Ok(()),
            }
        }));
    }
    trials
}

/// Runs the suite with the arguments of the command line.
pub fn conformance(specs: &[&'static ModelSpec]) -> Conclusion {
    libtest_mimic::run(&Arguments::from_args(), trials(specs))
}
