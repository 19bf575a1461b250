//! Configurations of every model, and assignments.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| genus_fuzz::config(bytes));
