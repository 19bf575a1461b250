//! Model files, signed anew so that what follows the checksum is reached.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| genus_fuzz::model(bytes));
