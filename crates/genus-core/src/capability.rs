//! What a model can do.

use crate::Model;

/// One row per capability: its name, the verb of whoever uses it, and the accessor of a fitted model that has it.
macro_rules! capabilities {
    ($($(#[$doc:meta])* $name:ident $verb:literal $accessor:ident;)*) => {
        /// What a model can do; `as_*` of [`Model`] says the same of a fitted one.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum Capability {
            $($(#[$doc])* #[doc = concat!("[`Model::", stringify!($accessor), "`].")] $name,)*
        }

        impl Capability {
            /// All, in the order of tables.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// What a user does with it.
            pub fn verb(self) -> &'static str {
                match self {
                    $(Self::$name => $verb,)*
                }
            }

            /// Whether `model` has it.
            pub fn is_in(self, model: &dyn Model) -> bool {
                match self {
                    $(Self::$name => model.$accessor().is_some(),)*
                }
            }
        }
    };
}

capabilities! {
    Density "score" as_density;
    Sampler "sample" as_sampler;
    Encoder "encode" as_encoder;
    Decoder "reconstruct" as_decoder;
    Conditional "impute" as_conditional;
    Clusterer "cluster" as_clusterer;
    /// If it was fitted with given columns, or with classes:
    Given "condition" as_given;
    /// If the configuration asks for classes and the data have labels:
    ClassConditional "classify" as_class_conditional;
}
