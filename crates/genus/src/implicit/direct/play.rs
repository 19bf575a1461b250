//! The networks of both players.

use super::{AdversarialConfig, NoiseLaw};
use crate::Batch;
use genus_core::{Domain, Result, Rng, Support};
use genus_kernels::Stream;
use genus_nn::{
    Activation, Analysis, Form, Group, Id, Linear, Normalize, Params, Synthesis, Tensor, View, tensor,
};

/// Noise and class to rows.
#[derive(Debug, Clone)]
pub(super) struct Generator {
    net: Synthesis,
    latent: usize,
    noise: NoiseLaw,
}

impl Generator {
    /// Rows of noise, which [`Generator::noise`] draws, and of one-hot classes, as the batch sees them or by settled statistics.
    pub fn make(
        &self,
        view: &View<'_>,
        noise: Tensor<2>,
        classes: Option<&Batch>,
        settled: bool,
    ) -> Tensor<2> {
        let code = match classes {
            Some(classes) => Tensor::cat(vec![noise, tensor(classes.clone())], 1),
            None => noise,
        };
        if settled { self.net.settled(view, code) } else { self.net.forward(view, code) }
    }

    /// Sets the statistics of normalised layers to those of this noise.
    pub fn settle(&self, params: &mut Params, noise: Tensor<2>, classes: Option<&Batch>) {
        let code = match classes {
            Some(classes) => Tensor::cat(vec![noise, tensor(classes.clone())], 1),
            None => noise,
        };
        self.net.settle(params, code);
    }

    /// Brings codes back to where noise can be.
    pub fn within(&self, codes: &mut Params, z: Id) {
        if self.noise == NoiseLaw::Uniform {
            let kept = codes.values(z).into_iter().map(|v| v.clamp(-1.0, 1.0)).collect();
            codes.set(z, kept);
        }
    }

    /// Length of the noise.
    pub const fn latent(&self) -> usize {
        self.latent
    }

    /// Noise for so many rows from a stream, a function of its key.
    pub fn noise(&self, rows: usize, key: u64) -> Batch {
        let mut z = vec![0.0; rows * self.latent];
        let stream = Stream { key, stream: 0 };
        match self.noise {
            NoiseLaw::Normal => stream.normals(0, &mut z),
            NoiseLaw::Uniform => {
                stream.fill(0, &mut z);
                z.iter_mut().for_each(|u| *u = 2.0 * *u - 1.0);
            }
        }
        match Batch::new(z, self.latent) {
            Ok(z) => z,
            Err(e) => unreachable!("so many values were made: {e}"),
        }
    }
}

/// Rows and class to one number: high for real rows.
///
/// Dense layers see the class beside the row; behind convolutions it is projected on the features, D(x, c) = φ(x)·(w + V c) + u·c + b
/// (Miyato & Koyama 2018).
#[derive(Debug, Clone)]
pub(super) struct Discriminator {
    net: Analysis,
    last: Linear,
    /// V `[classes, features]` and u `[classes, 1]`.
    projection: Option<Linear>,
    beside: bool,
}

impl Discriminator {
    /// What every layer gives, the row first.
    pub fn layers(&self, view: &View<'_>, x: Tensor<2>, classes: Option<&Batch>) -> Vec<Tensor<2>> {
        self.forward(view, x, classes).0
    }

    fn forward(
        &self,
        view: &View<'_>,
        x: Tensor<2>,
        classes: Option<&Batch>,
    ) -> (Vec<Tensor<2>>, Vec<(Id, Vec<f32>)>) {
        let x = match classes.filter(|_| self.beside) {
            Some(classes) => Tensor::cat(vec![x, tensor(classes.clone())], 1),
            None => x,
        };
        self.net.forward(view, x)
    }

    /// One number for each row, and new values of buffers.
    pub fn tell(
        &self,
        view: &View<'_>,
        x: Tensor<2>,
        classes: Option<&Batch>,
    ) -> (Tensor<1>, Vec<(Id, Vec<f32>)>) {
        let (mut layers, buffers) = self.forward(view, x, classes);
        let Some(features) = layers.pop() else { unreachable!("there is the layer of the rows at least") };
        let told = self.last.forward(view, features.clone());
        let told = match (&self.projection, classes) {
            (Some(projection), Some(classes)) => {
                told + (features * projection.forward(view, tensor(classes.clone()))).sum_dim(1)
            }
            _ => told,
        };
        (told.squeeze_dim::<1>(1), buffers)
    }

    /// The gradient of that number with respect to the row (and what is beside it), at rows where layers give `outputs`.
    pub fn gradient(&self, view: &View<'_>, outputs: &[Tensor<2>], classes: Option<&Batch>) -> Tensor<2> {
        let rows = outputs[0].dims()[0];
        let weights = view.get::<2>(self.last.w()).transpose().repeat_dim(0, rows);
        let weights = match (&self.projection, classes) {
            (Some(projection), Some(classes)) => weights + projection.forward(view, tensor(classes.clone())),
            _ => weights,
        };
        self.net.adjoint(view, outputs, weights)
    }
}

/// Both, and the group of parameters that the discriminator moves; the generator's is the first.
#[derive(Debug, Clone)]
pub(super) struct Players {
    pub generator: Generator,
    pub discriminator: Discriminator,
    pub group: Group,
}

impl Players {
    /// Adds their parameters.
    ///
    /// # Errors
    /// [`genus_core::Error::Config`] if rows have no such networks, or these would be too large.
    pub fn new<C: AdversarialConfig>(
        config: &C,
        rows: &Domain,
        levels: bool,
        classes: usize,
        params: &mut Params,
        rng: &mut Rng,
    ) -> Result<Self> {
        debug_assert!(rows.support == Support::Real, "players see numbers");
        let (networks, shape, made) = (config.networks(), &rows.shape, config.generator());
        let code = config.latent().get() + classes;
        let last = if levels { Activation::Tanh } else { Activation::Identity };
        let form = networks.form(shape, &made.hidden, made.channels);
        let normalize = made.normalize.of(&form, "generator.normalize", true, false)? == Normalize::Batch;
        let net = Synthesis::new(params, "generator", "networks", code, shape, &form, normalize, last, rng)?;
        let generator = Generator { net, latent: config.latent().get(), noise: config.noise() };
        let group = params.begin_group();
        let (hidden, channels) = config.seen();
        let form = networks.form(shape, hidden, channels);
        let beside = classes > 0 && matches!(form, Form::Dense(_));
        let seen = match beside {
            true => genus_core::Shape::Flat(shape.width() + classes),
            false => *shape,
        };
        let normalize = config.normalize().of(
            &form,
            &format!("{}.normalize", config.opponent()),
            false,
            config.penalty().is_some(),
        )?;
        let net = Analysis::new(params, "discriminator", "networks", &seen, &form, normalize, rng)?;
        let features = net.width();
        let last = Linear::new(params, "discriminator.last", features, 1, Activation::Identity, rng);
        let projection = (classes > 0 && !beside).then(|| {
            Linear::new(params, "discriminator.classes", classes, features, Activation::Identity, rng)
        });
        let discriminator = Discriminator { net, last, projection, beside };
        Ok(Self { generator, discriminator, group })
    }
}
