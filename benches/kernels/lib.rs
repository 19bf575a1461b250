//! See `kernels.rs`.
