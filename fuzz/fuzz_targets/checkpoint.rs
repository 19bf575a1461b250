//! Folders of checkpoints: manifest and state.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| genus_fuzz::checkpoint(bytes));
