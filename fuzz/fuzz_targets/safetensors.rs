//! Tensors as data.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| genus_fuzz::data("a.safetensors", bytes));
