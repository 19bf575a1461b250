//! Penalties on the gradient of the discriminator with respect to its rows.
//!
//! The framework differentiates once. What is penalised is therefore written as a forward computation, the way back through the layers
//! as an expression of the weights ([`genus_nn::Analysis::adjoint`]), which is then differentiated as usual. Activations are made of
//! straight lines, so that what they are at the rows is constant.

use super::play::Discriminator;
use crate::Batch;
use genus_core::{Result, Rng};
use genus_nn::{Tensor, View, tensor};

/// What the norm of the gradient is held to, and where.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Penalty {
    /// λ (|∇D| − 1)² on the lines between real rows and made ones (Gulrajani et al. 2017).
    Between(f64),
    /// λ (|∇D| − 1)² around real rows, where as much noise is added as rows are apart (Kodali, Abernethy, Hays & Kira 2017).
    Around(f64),
    /// ½ λ |∇D|² at real rows (Mescheder, Geiger & Nowozin 2018).
    AtRows(f64),
}

/// Kept from the root of 0, whose slope is infinite.
const TINY: f64 = 1e-12;

impl Penalty {
    /// Where the gradient is looked at.
    pub(super) fn places(self, real: &Batch, made: &Batch, rng: &mut Rng) -> Batch {
        let (rows, width) = (real.rows(), real.width());
        match self {
            Self::Between(_) => {
                let shares: Vec<f32> = (0..rows).map(|_| rng.uniform()).collect();
                Batch::from_fn(rows, width, |r, c| {
                    shares[r] * real.row(r)[c] + (1.0 - shares[r]) * made.row(r)[c]
                })
            }
            Self::Around(_) => {
                let (_, std) = crate::transform::moments(real);
                let spread = std.iter().sum::<f64>() / width as f64;
                let shares: Vec<f32> = (0..rows).map(|_| rng.uniform()).collect();
                Batch::from_fn(rows, width, |r, c| {
                    real.row(r)[c] + shares[r] * 0.5 * spread as f32 * rng.uniform()
                })
            }
            Self::AtRows(_) => real.clone(),
        }
    }

    /// The penalty at these rows, its mean over them, part of the graph of `view`.
    ///
    /// # Errors
    /// As the discriminator.
    pub(super) fn at(
        self,
        net: &Discriminator,
        view: &View<'_>,
        places: &Batch,
        classes: Option<&Batch>,
    ) -> Result<Tensor<1>> {
        let frozen = view.params().frozen();
        let outputs = net.layers(&frozen, tensor(places.clone()), classes);
        let gradient = net.gradient(view, &outputs, classes).narrow(1, 0, places.width());
        let squares = (gradient.clone() * gradient).sum_dim(1);
        Ok(match self {
            Self::Between(weight) | Self::Around(weight) => {
                let off = (squares + TINY).sqrt() - 1.0;
                (off.clone() * off).mean() * weight
            }
            Self::AtRows(weight) => squares.mean() * (0.5 * weight),
        })
    }
}
