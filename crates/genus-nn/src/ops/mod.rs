//! Operations of networks: the fused kernels, and their portable definitions.

mod batch_norm;
mod conv;
mod flow;
mod gate;
mod latent;
mod likelihood;
mod lstm;
mod nade;
mod running;

pub use batch_norm::batch_norm;
pub use conv::{conv, conv_transposed};
pub use flow::{MOST_STEPS, moved, stack};
pub use gate::{gate, relu, slope, tanh};
pub use latent::reparametrise;
pub use likelihood::{bernoulli_nll, categorical_nll, gaussian_nll, mixture_nll, stretches_nll};
pub use lstm::lstm;
pub use nade::nade;
pub use running::running;

use crate::fused::{FusedOp, Pass, apply, here, input};
use burn::Tensor;
use genus_kernels::{
    Activation, Staircase, gather_columns, gather_masked as gather_kernel, linear_backward, linear_forward,
    put_columns, scatter_columns, scatter_masked, tied_backward, tied_forward,
};
use std::sync::Arc;

/// The definitions in framework operations: any device, the source of truth.
pub mod portable {
    pub use super::batch_norm::portable::batch_norm;
    pub use super::conv::portable::{conv, conv_transposed};
    pub use super::flow::portable::{moved, stack};
    pub use super::gate::portable::{gate, slope};
    pub use super::latent::portable::reparametrise;
    pub use super::likelihood::portable::{
        bernoulli_nll, categorical_nll, gaussian_nll, mixture_nll, stretches_nll,
    };
    pub use super::lstm::portable::lstm;
    pub use super::nade::portable::nade;
    pub use super::running::portable::running;

    use super::{Activation, Staircase, Tensor};
    use burn::tensor::activation::{leaky_relu, relu, sigmoid};
    use burn::tensor::{Int, TensorData};

    /// As [`linear`](super::linear).
    pub fn linear(
        x: Tensor<2>,
        w: Tensor<2>,
        b: Tensor<1>,
        act: Activation,
        mask: Option<&Staircase>,
    ) -> Tensor<2> {
        let w = match mask {
            Some(m) => {
                let kept = Tensor::from_data(
                    TensorData::new(m.dense(), [m.inputs(), m.outputs()]),
                    &w.device().inner(),
                );
                w * kept
            }
            None => w,
        };
        activation(x.matmul(w) + b.unsqueeze(), act)
    }

    pub(super) fn activation(a: Tensor<2>, act: Activation) -> Tensor<2> {
        match act {
            Activation::Identity => a,
            Activation::Relu => relu(a),
            Activation::Tanh => a.tanh(),
            Activation::Sigmoid => sigmoid(a),
            Activation::LeakyRelu => leaky_relu(a, 0.2),
        }
    }

    /// As [`tied`](super::tied).
    pub fn tied(x: Tensor<2>, w: Tensor<2>, b: Tensor<1>) -> Tensor<2> {
        linear(x, w.transpose(), b, Activation::Identity, None)
    }

    /// As [`gather_masked`](super::gather_masked).
    pub fn gather_masked(w: Tensor<2>, rows: &[usize], cols: &[usize], mask: &Staircase) -> Tensor<2> {
        let kept = TensorData::new(mask.dense(), [mask.inputs(), mask.outputs()]);
        let kept = Tensor::from_data(kept, &w.device().inner());
        let (rows, cols) = (index(rows, &w), index(cols, &w));
        w.select(0, rows).select(1, cols) * kept
    }

    /// As [`columns`](super::columns).
    pub fn columns(x: Tensor<2>, which: &[usize]) -> Tensor<2> {
        let index = index(which, &x);
        x.select(1, index)
    }

    /// As [`put`](super::put).
    pub fn put(x: Tensor<2>, values: Tensor<2>, which: &[usize]) -> Tensor<2> {
        let width = x.dims()[1];
        // Values lie behind the rows, and each column says where it is found.
        let mut at: Vec<usize> = (0..width).collect();
        which.iter().enumerate().for_each(|(i, p)| at[*p] = width + i);
        columns(Tensor::cat(vec![x, values], 1), &at)
    }

    /// Positions as a tensor on the device of `like`.
    pub(super) fn index<const D: usize>(of: &[usize], like: &Tensor<D>) -> Tensor<1, Int> {
        let wide: Vec<i64> = of.iter().map(|i| *i as i64).collect();
        Tensor::from_data(TensorData::new(wide, [of.len()]), &like.device().inner())
    }
}

#[derive(Debug, Clone)]
struct LinearOp {
    act: Activation,
    mask: Option<Arc<Staircase>>,
}

impl FusedOp<3> for LinearOp {
    type Kept = ();

    fn forward(&self, [x, w, b]: [&[f32]; 3], shapes: [&[usize]; 3]) -> (Vec<f32>, Vec<usize>, ()) {
        let y = linear_forward(x, w, b, self.act, self.mask.as_deref());
        (y, vec![shapes[0][0], shapes[1][1]], ())
    }

    fn backward(&self, pass: Pass<'_, (), 3>, grad: Vec<f32>) -> [Option<Vec<f32>>; 3] {
        let ([x, w, b], y) = (pass.inputs, pass.output);
        let g = linear_backward(x, w, y, grad, b.len(), self.act, self.mask.as_deref(), wanted(&pass));
        [g.x, g.w, g.b]
    }
}

/// Whether input and parameters of a layer want gradients.
fn wanted(pass: &Pass<'_, (), 3>) -> [bool; 2] {
    [pass.wanted[0], pass.wanted[1] || pass.wanted[2]]
}

/// f(x W + b).
///
/// With a mask, the weights that it drops count as zero; they must *be* zero, which holds from initialisation on, because
/// their gradient is zero too.
///
/// # Shapes
/// x `[rows, inputs]`, w `[inputs, outputs]`, b `[outputs]` → `[rows, outputs]`
pub fn linear(
    x: Tensor<2>,
    w: Tensor<2>,
    b: Tensor<1>,
    act: Activation,
    mask: Option<&Arc<Staircase>>,
) -> Tensor<2> {
    if !here(&x) {
        return portable::linear(x, w, b, act, mask.map(|m| &**m));
    }
    apply(LinearOp { act, mask: mask.cloned() }, [input(x), input(w), input(b)])
}

#[derive(Debug, Clone)]
struct TiedOp;

impl FusedOp<3> for TiedOp {
    type Kept = ();

    fn forward(&self, [x, w, b]: [&[f32]; 3], shapes: [&[usize]; 3]) -> (Vec<f32>, Vec<usize>, ()) {
        (tied_forward(x, w, b), vec![shapes[0][0], shapes[1][0]], ())
    }

    fn backward(&self, pass: Pass<'_, (), 3>, grad: Vec<f32>) -> [Option<Vec<f32>>; 3] {
        let [x, w, b] = pass.inputs;
        let g = tied_backward(x, w, &grad, b.len(), wanted(&pass));
        [g.x, g.w, g.b]
    }
}

/// x Wᵀ + b: a layer that uses the weights of another one backwards.
///
/// # Shapes
/// x `[rows, inputs]`, w `[outputs, inputs]`, b `[outputs]` → `[rows, outputs]`
pub fn tied(x: Tensor<2>, w: Tensor<2>, b: Tensor<1>) -> Tensor<2> {
    if !here(&x) {
        return portable::tied(x, w, b);
    }
    apply(TiedOp, [input(x), input(w), input(b)])
}

#[derive(Debug, Clone)]
struct GatherMasked {
    rows: Arc<[usize]>,
    cols: Arc<[usize]>,
    mask: Arc<Staircase>,
}

impl FusedOp<1> for GatherMasked {
    type Kept = ();

    fn forward(&self, [w]: [&[f32]; 1], shapes: [&[usize]; 1]) -> (Vec<f32>, Vec<usize>, ()) {
        (gather_kernel(w, &self.rows, &self.cols, &self.mask), shapes[0].to_vec(), ())
    }

    fn backward(&self, _: Pass<'_, (), 1>, grad: Vec<f32>) -> [Option<Vec<f32>>; 1] {
        [Some(scatter_masked(&grad, &self.rows, &self.cols, &self.mask))]
    }
}

/// `out[i, j] = w[rows[i], cols[j]]` where the mask allows it, else 0: weights in the order in which a mask is a staircase.
///
/// # Shapes
/// w `[rows, cols]` → the same
pub fn gather_masked(
    w: Tensor<2>,
    rows: &Arc<[usize]>,
    cols: &Arc<[usize]>,
    mask: &Arc<Staircase>,
) -> Tensor<2> {
    if !here(&w) {
        return portable::gather_masked(w, rows, cols, mask);
    }
    let op = GatherMasked { rows: Arc::clone(rows), cols: Arc::clone(cols), mask: Arc::clone(mask) };
    apply(op, [input(w)])
}

#[derive(Debug, Clone)]
struct Columns {
    width: usize,
    places: Arc<[usize]>,
}

impl FusedOp<1> for Columns {
    type Kept = ();

    fn forward(&self, [x]: [&[f32]; 1], shapes: [&[usize]; 1]) -> (Vec<f32>, Vec<usize>, ()) {
        (gather_columns(x, self.width, &self.places), vec![shapes[0][0], self.places.len()], ())
    }

    fn backward(&self, _: Pass<'_, (), 1>, grad: Vec<f32>) -> [Option<Vec<f32>>; 1] {
        [Some(scatter_columns(&grad, self.width, &self.places))]
    }
}

/// Some columns of rows, in this order.
///
/// # Shapes
/// x `[rows, columns]` → `[rows, which]`
pub fn columns(x: Tensor<2>, which: &Arc<[usize]>) -> Tensor<2> {
    if !here(&x) {
        return portable::columns(x, which);
    }
    apply(Columns { width: x.dims()[1], places: Arc::clone(which) }, [input(x)])
}

#[derive(Debug, Clone)]
struct Put(Columns);

impl FusedOp<2> for Put {
    type Kept = ();

    fn forward(&self, [x, values]: [&[f32]; 2], shapes: [&[usize]; 2]) -> (Vec<f32>, Vec<usize>, ()) {
        (put_columns(x.to_vec(), self.0.width, &self.0.places, values), shapes[0].to_vec(), ())
    }

    fn backward(&self, _: Pass<'_, (), 2>, grad: Vec<f32>) -> [Option<Vec<f32>>; 2] {
        let Columns { width, places } = &self.0;
        let values = gather_columns(&grad, *width, places);
        let nothing = vec![0.0; values.len()];
        [Some(put_columns(grad, *width, places, &nothing)), Some(values)]
    }
}

/// Rows with other values in some columns, each of which is named once.
///
/// # Shapes
/// x `[rows, columns]`, values `[rows, which]` → as x
pub fn put(x: Tensor<2>, values: Tensor<2>, which: &Arc<[usize]>) -> Tensor<2> {
    if !here(&x) {
        return portable::put(x, values, which);
    }
    apply(Put(Columns { width: x.dims()[1], places: Arc::clone(which) }), [input(x), input(values)])
}

/// `out[j] = b[order[j]]`.
///
/// # Shapes
/// b `[n]` → `[n]`
pub fn reorder(b: Tensor<1>, order: &[usize]) -> Tensor<1> {
    let index = portable::index(order, &b);
    b.select(0, index)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{device, values};
    use burn::tensor::{Device, Gradients, TensorData};
    use genus_core::Seed;
    use proptest::prelude::*;

    /// Where a side of a comparison is computed: kernels on the processor, definitions on another device if there is one.
    pub(crate) fn side(fused: bool) -> Device {
        #[cfg(feature = "wgpu")]
        if !fused {
            return Device::wgpu(burn::tensor::DeviceKind::DefaultDevice);
        }
        let _ = fused;
        Device::flex()
    }

    pub(crate) fn on<const D: usize>(at: &Device, values: Vec<f32>, shape: [usize; D]) -> Tensor<D> {
        Tensor::from_data(TensorData::new(values, shape), at)
    }

    pub(crate) fn draw<const D: usize>(at: &Device, seed: u64, shape: [usize; D]) -> Tensor<D> {
        let mut rng = Seed::from(seed).rng();
        on(at, (0..shape.iter().product()).map(|_| rng.normal() as f32).collect(), shape)
    }

    /// Kernels and definitions round alike; other devices have exponentials of their own.
    const TOLERANCE: f32 = if cfg!(feature = "wgpu") { 1e-4 } else { 4e-6 };

    /// Relative to the largest value, or to 0.25: where every slope is small because tanh is saturated, 1 − y² has lost the
    /// digits that y rounded away, in both ways of computing it.
    pub(super) fn close(name: &str, a: &[f32], b: &[f32]) {
        assert_eq!(a.len(), b.len());
        let scale = b.iter().fold(0.25f32, |m, v| m.max(v.abs()));
        for (x, y) in a.iter().zip(b) {
            assert!((x - y).abs() <= TOLERANCE * scale, "{name}: {x} {y} (scale {scale})");
        }
    }

    pub(super) fn grad<const D: usize>(t: &Tensor<D>, g: &Gradients) -> Vec<f32> {
        values(t.grad(g).unwrap())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        /// Fused equals portable in value and every gradient, over awkward shapes.
        #[test]
        fn linear_equals_its_definition(rows in 1usize..20, inputs in 1usize..40, outputs in 1usize..40, seed: u64, act in 0usize..5, masked: bool) {
            use Activation::{Identity, LeakyRelu, Relu, Sigmoid, Tanh};
            let act = [Identity, Relu, Tanh, Sigmoid, LeakyRelu][act];
            let degrees = |n: usize| (0..n).map(|i| i * 7 / n).collect::<Vec<_>>();
            let mask = masked.then(|| Arc::new(Staircase::from_degrees(&degrees(inputs), &degrees(outputs))));
            let run = |fused: bool| {
                let at = side(fused);
                let x = draw(&at, seed, [rows, inputs]).autodiff().require_grad();
                let mut w = values(draw(&at, seed ^ 1, [inputs, outputs]));
                if let Some(m) = &mask { m.apply(&mut w); }
                let w = on(&at, w, [inputs, outputs]).autodiff().require_grad();
                let b = draw(&at, seed ^ 2, [outputs]).autodiff().require_grad();
                let y = if fused {
                    linear(x.clone(), w.clone(), b.clone(), act, mask.as_ref())
                } else {
                    portable::linear(x.clone(), w.clone(), b.clone(), act, mask.as_deref())
                };
                let g = (y.clone() * draw(&at, seed ^ 3, [rows, outputs])).sum().backward();
                [values(y), grad(&x, &g), grad(&w, &g), grad(&b, &g)]
            };
            for (name, (f, p)) in ["y", "dx", "dw", "db"].iter().zip(run(true).iter().zip(&run(false))) {
                close(name, f, p);
            }
        }

        #[test]
        fn tied_equals_its_definition(rows in 1usize..20, inputs in 1usize..40, outputs in 1usize..40, seed: u64) {
            let run = |op: fn(Tensor<2>, Tensor<2>, Tensor<1>) -> Tensor<2>, fused: bool| {
                let at = side(fused);
                let x = draw(&at, seed, [rows, inputs]).autodiff().require_grad();
                let w = draw(&at, seed ^ 1, [outputs, inputs]).autodiff().require_grad();
                let b = draw(&at, seed ^ 2, [outputs]).autodiff().require_grad();
                let y = op(x.clone(), w.clone(), b.clone());
                let g = (y.clone() * draw(&at, seed ^ 3, [rows, outputs])).sum().backward();
                [values(y), grad(&x, &g), grad(&w, &g), grad(&b, &g)]
            };
            for (name, (f, p)) in ["y", "dx", "dw", "db"].iter().zip(run(tied, true).iter().zip(&run(portable::tied, false))) {
                close(name, f, p);
            }
        }

        #[test]
        fn columns_equal_their_definition(rows in 1usize..40, width in 1usize..30, n in 1usize..30, seed: u64) {
            let which: Arc<[usize]> = Seed::from(seed).rng().permutation(width)[..n.min(width)].into();
            let run = |fused: bool| {
                let at = side(fused);
                let x = draw(&at, seed, [rows, width]).autodiff().require_grad();
                let v = draw(&at, seed ^ 1, [rows, which.len()]).autodiff().require_grad();
                let y = match fused {
                    true => columns(put(x.clone(), v.clone() * 2.0, &which).exp(), &which) + columns(x.clone(), &which),
                    false => portable::columns(portable::put(x.clone(), v.clone() * 2.0, &which).exp(), &which) + portable::columns(x.clone(), &which),
                };
                let g = (y.clone() * draw(&at, seed ^ 3, [rows, which.len()])).sum().backward();
                [values(y), grad(&x, &g), grad(&v, &g)]
            };
            for (name, (f, p)) in ["y", "dx", "dv"].iter().zip(run(true).iter().zip(&run(false))) {
                close(name, f, p);
            }
        }

        #[test]
        fn gather_equals_its_definition(rows in 1usize..20, cols in 1usize..20, seed: u64) {
            let degrees = |n: usize| (0..n).map(|i| i * 5 / n).collect::<Vec<_>>();
            let mask = Arc::new(Staircase::from_degrees(&degrees(rows), &degrees(cols)));
            let mut rng = Seed::from(seed).rng();
            let (r, c): (Arc<[usize]>, Arc<[usize]>) = (rng.permutation(rows).into(), rng.permutation(cols).into());
            let run = |fused: bool| {
                let at = side(fused);
                let w = draw(&at, seed, [rows, cols]).autodiff().require_grad();
                let y = if fused { gather_masked(w.clone(), &r, &c, &mask) } else { portable::gather_masked(w.clone(), &r, &c, &mask) };
                let g = (y.clone() * draw(&at, seed ^ 3, [rows, cols])).sum().backward();
                [values(y), grad(&w, &g)]
            };
            prop_assert_eq!(run(true), run(false));
        }
    }

    #[test]
    fn plain_inputs_stay_outside_the_graph() {
        let at = side(true);
        let y = linear(draw(&at, 1, [2, 3]), draw(&at, 2, [3, 4]), draw(&at, 3, [4]), Activation::Tanh, None);
        assert!(!y.is_autodiff() && y.device() == device());
    }
}
