//! The networks of a VAE: an encoder to a normal over codes, a decoder to a distribution over rows.

use genus_core::Rng;
use genus_nn::{Activation, Id, Mlp, Params, Tensor, View, ops, tensor_from};

#[derive(Debug, Clone)]
pub(super) struct Net {
    pub encoder: Mlp,
    pub decoder: Mlp,
    pub latent: usize,
    /// Log-variance of each dimension under the Gaussian likelihood; none under the Bernoulli.
    pub log_variance: Option<Id>,
}

impl Net {
    /// Adds the parameters. `up` are the widths from a row to twice the code, `down` those from the code to a row.
    pub fn new(
        [up, down]: [&[usize]; 2],
        act: Activation,
        gaussian: bool,
        params: &mut Params,
        rng: &mut Rng,
    ) -> Self {
        let (width, latent) = (up[0], down[0]);
        Self {
            encoder: Mlp::new(params, "encoder", up, act, rng),
            decoder: Mlp::new(params, "decoder", down, act, rng),
            latent,
            log_variance: gaussian.then(|| params.add("log_variance", &[width], vec![0.0; width])),
        }
    }

    /// Mean and log-variance of q(z|x) side by side.
    pub fn encode(&self, view: &View<'_>, x: Tensor<2>) -> Tensor<2> {
        self.encoder.forward(view, x)
    }

    /// Mean and log-variance of q(z|x). The log-variance is kept where its exponential is finite, as
    /// [`ops::reparametrise`] does.
    pub fn posterior(&self, view: &View<'_>, x: Tensor<2>) -> (Tensor<2>, Tensor<2>) {
        let both = self.encode(view, x);
        (both.clone().narrow(1, 0, self.latent), both.narrow(1, self.latent, self.latent).clamp(-15.0, 15.0))
    }

    /// −log p(x|z) per row, nats; `x` may be one row that all codes are held against.
    pub fn nll(&self, view: &View<'_>, z: Tensor<2>, x: Tensor<2>) -> Tensor<1> {
        let out = self.decoder.forward(view, z);
        match self.log_variance {
            None => ops::bernoulli_nll(out, x),
            Some(id) => {
                let log_variance = view.get::<1>(id).clamp(-12.0, 12.0).unsqueeze::<2>();
                ops::gaussian_nll(out, log_variance, x)
            }
        }
    }
}

pub(super) fn normals(rows: usize, width: usize, rng: &mut Rng) -> Tensor<2> {
    tensor_from((0..rows * width).map(|_| rng.normal() as f32).collect(), [rows, width])
}
