//! The networks of a VAE: an encoder to a normal over codes, a decoder to a distribution over rows.

use crate::cells::Vocabulary;
use genus_core::{Batch, Rng};
use genus_nn::{Activation, Id, Mlp, Params, Tensor, View, ops, tensor, tensor_from};

/// What the decoder gives the parameters of.
#[derive(Debug, Clone)]
pub(super) enum Head {
    /// Logits of bits.
    Bernoulli,
    /// Means, with one log-variance for each dimension.
    Gaussian(Id),
    /// Logits of the cells of columns of all kinds.
    Cells(Vocabulary),
}

/// What is asked of the decoder, before there are parameters.
#[derive(Debug, Clone)]
pub(super) enum Law {
    Bernoulli,
    Gaussian,
    Cells(Vocabulary),
}

impl Law {
    /// What the encoder sees of rows of this width, and what the decoder gives of them.
    pub fn widths(&self, d: usize) -> [usize; 2] {
        match self {
            Self::Bernoulli | Self::Gaussian => [d, d],
            Self::Cells(columns) => [columns.seen_width(), columns.cells()],
        }
    }
}

#[derive(Debug, Clone)]
pub(super) struct Net {
    pub encoder: Mlp,
    pub decoder: Mlp,
    pub latent: usize,
    pub head: Head,
}

/// Rows as the encoder sees them, and as the decoder's law is held against them.
#[derive(Debug, Clone)]
pub(super) struct Shown {
    pub seen: Tensor<2>,
    target: Tensor<2>,
}

impl Net {
    /// Adds the parameters. `up` are the widths from a row to twice the code, `down` those from the code to a row.
    pub fn new(
        [up, down]: [&[usize]; 2],
        act: Activation,
        law: Law,
        params: &mut Params,
        rng: &mut Rng,
    ) -> Self {
        let (width, latent) = (up[0], down[0]);
        let encoder = Mlp::new(params, "encoder", up, act, rng);
        let decoder = Mlp::new(params, "decoder", down, act, rng);
        let head = match law {
            Law::Bernoulli => Head::Bernoulli,
            Law::Gaussian => Head::Gaussian(params.add("log_variance", &[width], vec![0.0; width])),
            Law::Cells(columns) => Head::Cells(columns),
        };
        Self { encoder, decoder, latent, head }
    }

    /// Rows for both networks.
    pub fn shown(&self, x: Batch) -> Shown {
        match &self.head {
            Head::Cells(columns) => {
                Shown { seen: tensor(columns.seen(&x)), target: tensor(columns.log_laws(&x)) }
            }
            Head::Bernoulli | Head::Gaussian(_) => {
                let x = tensor(x);
                Shown { seen: x.clone(), target: x }
            }
        }
    }

    /// Mean and log-variance of q(z|x) side by side.
    pub fn encode(&self, view: &View<'_>, x: &Shown) -> Tensor<2> {
        self.encoder.forward(view, x.seen.clone())
    }

    /// Mean and log-variance of q(z|x). The log-variance is kept where its exponential is finite, as
    /// [`ops::reparametrise`] does.
    pub fn posterior(&self, view: &View<'_>, x: &Shown) -> (Tensor<2>, Tensor<2>) {
        let both = self.encode(view, x);
        (both.clone().narrow(1, 0, self.latent), both.narrow(1, self.latent, self.latent).clamp(-15.0, 15.0))
    }

    /// −log p(x|z) per row, nats; `x` may be one row that all codes are held against.
    pub fn nll(&self, view: &View<'_>, z: Tensor<2>, x: &Shown) -> Tensor<1> {
        let (out, target) = (self.decoder.forward(view, z), x.target.clone());
        match &self.head {
            Head::Bernoulli => ops::bernoulli_nll(out, target),
            Head::Gaussian(id) => {
                let log_variance = view.get::<1>(*id).clamp(-12.0, 12.0).unsqueeze::<2>();
                ops::gaussian_nll(out, log_variance, target)
            }
            Head::Cells(columns) => {
                let [n, width] = out.dims();
                let target = if target.dims()[0] == n { target } else { target.expand([n, width]) };
                ops::stretches_nll(out, target, columns.ends())
            }
        }
    }
}

pub(super) fn normals(rows: usize, width: usize, rng: &mut Rng) -> Tensor<2> {
    tensor_from((0..rows * width).map(|_| rng.normal() as f32).collect(), [rows, width])
}
