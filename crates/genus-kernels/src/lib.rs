//! Fused CPU kernels on plain `f32` slices: no framework, AVX-512 or AVX2 + FMA chosen at run time, a portable fallback, and
//! the same bits at any number of threads. `GENUS_ISA=portable|avx2|avx512` forces one of them.
//!
//! The bits do not depend on threads because each output element is computed by one sequence of operations that does not
//! depend on how the output is cut into jobs. AVX-512 and AVX2
//! give the same bits too; the fallback does not, because with FMA a product and a sum round once.

mod adam;
mod ancestral;
mod anneal;
mod batch_norm;
mod bernoulli;
mod categorical;
mod conv;
mod counter;
mod crew;
mod flow;
mod gate;
mod gather;
mod gaussian;
mod gemm;
mod gibbs;
mod isa;
mod latent;
mod linear;
mod lstm;
mod mixture;
mod nade;
mod ones;
mod pixel_net;
mod running;
mod scalar;
mod squares;
mod staircase;
mod stretches;
mod taps;

pub use adam::{Adam, adam, sum_of_squares};
pub use ancestral::{MaskedLayer, sample_masked};
pub use anneal::{anneal_bits, log_mass_change, row_products};
pub use batch_norm::{
    BatchNormGrads, EPSILON, Normalized, batch_norm_backward, batch_norm_forward, channel_moments,
};
pub use bernoulli::{bernoulli_backward, bernoulli_nll};
pub use categorical::{categorical_backward, categorical_nll};
pub use conv::{Conv, ConvGrads, Images};
pub use counter::Stream;
pub use flow::{Moved, Passed, Stack, StackGrads, Step, StepKind, Warp};
pub use gate::{gate_backward, gate_forward};
pub use gather::{gather_columns, gather_masked, put_columns, scatter_columns, scatter_masked};
pub use gaussian::{Gaussian, gaussian_backward, gaussian_nll};
pub use gemm::{Limits, Mat, gemm};
pub use gibbs::{LayerPair, bernoulli_sample, layer_inputs, layer_probabilities, probabilities};
pub use latent::{LOG_VARIANCE, reparametrise, reparametrise_backward};
pub use linear::{
    Activation, LinearGrads, activation, before_activation, linear_backward, linear_forward, tied_backward,
    tied_forward,
};
pub use lstm::{Lstm, LstmGrads, LstmKept, LstmStates, LstmSteps, Scan};
pub use mixture::Mixture;
pub use nade::{Nade, NadeGrads, Pick};
pub use pixel_net::{DrawPixel, PixelNode, PixelOp, Source, sample_pixels};
pub use running::{Running, RunningGrads};
pub use scalar::{exp, ln_1p, sigmoid, softplus, tanh};
pub use squares::{add_scaled, add_scaled_squares, scaled_squares};
pub use staircase::Staircase;
pub use stretches::{stretches_backward, stretches_nll};
pub use taps::{Causal, TapRow, Taps};

/// Compiles `$body` for the baseline, for AVX2 + FMA and for AVX-512, and picks at run time.
///
/// The body is inlined into a function with the wider instruction set, so that the compiler vectorises plain loops with it. No
/// multiply-add is fused unless the body says so: all three give the same bits.
macro_rules! multiversion {
    ($(#[$meta:meta])* $vis:vis fn $name:ident($($arg:ident: $ty:ty),* $(,)?) $(-> $ret:ty)? $body:block) => {
        $(#[$meta])*
        $vis fn $name($($arg: $ty),*) $(-> $ret)? {
            #[inline(always)]
            fn body($($arg: $ty),*) $(-> $ret)? $body

            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
                fn wider($($arg: $ty),*) $(-> $ret)? {
                    body($($arg),*)
                }
                #[target_feature(enable = "avx2,fma")]
                fn wide($($arg: $ty),*) $(-> $ret)? {
                    body($($arg),*)
                }
                match $crate::isa::set() {
                    // SAFETY: the processor has the set that is used, and with it all of these features.
                    $crate::isa::Set::Avx512 => return unsafe { wider($($arg),*) },
                    // SAFETY: likewise.
                    $crate::isa::Set::Avx2 => return unsafe { wide($($arg),*) },
                    $crate::isa::Set::Portable => {}
                }
            }
            body($($arg),*)
        }
    };
}
pub(crate) use multiversion;
