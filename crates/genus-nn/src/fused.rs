//! Glue between kernels on slices and the framework's graph. The only module that names backend types.

use burn::Tensor;
use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::NoCheckpointing};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, DispatchKindConversion, DispatchTensor, Flex, TensorMetadata};
use burn::tensor::{BackendPrimitive, Device, Float, Shape, TensorData};
use std::fmt::Debug;
use std::marker::PhantomData;

/// An operation of `N` tensors with one result, on plain slices.
pub(crate) trait FusedOp<const N: usize>: Clone + Debug + Send + 'static {
    /// What the forward pass leaves for the backward pass besides inputs and result.
    type Kept: Clone + Debug + Send;

    /// The result, its shape, and what to keep.
    fn forward(&self, inputs: [&[f32]; N], shapes: [&[usize]; N]) -> (Vec<f32>, Vec<usize>, Self::Kept);

    /// The gradient of each input that is wanted, from the gradient of the result.
    fn backward(&self, pass: Pass<'_, Self::Kept, N>, grad: Vec<f32>) -> [Option<Vec<f32>>; N];
}

/// A forward pass as its backward pass sees it.
pub(crate) struct Pass<'a, K, const N: usize> {
    pub inputs: [&'a [f32]; N],
    pub output: &'a [f32],
    pub kept: &'a K,
    /// Which inputs want a gradient.
    pub wanted: [bool; N],
}

/// What the backward pass needs; tensors share their memory with the forward pass.
#[derive(Debug, Clone)]
struct Saved<O: FusedOp<N>, const N: usize> {
    op: O,
    inputs: [FlexTensor; N],
    output: FlexTensor,
    kept: O::Kept,
}

#[derive(Debug)]
struct Step<O, const N: usize>(PhantomData<O>);

impl<O: FusedOp<N>, const N: usize> Backward<Flex, N> for Step<O, N> {
    type State = Saved<O, N>;

    fn backward(self, ops: Ops<Self::State, N>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = owned(grads.consume::<Flex>(&ops.node));
        let Saved { op, inputs, output, kept } = &ops.state;
        let wanted = ops.parents.each_ref().map(Option::is_some);
        let pass = Pass { inputs: inputs.each_ref().map(slice), output: slice(output), kept, wanted };
        let found = op.backward(pass, grad);
        for ((parent, input), g) in ops.parents.into_iter().zip(inputs).zip(found) {
            if let (Some(node), Some(g)) = (parent, g) {
                grads.register::<Flex>(node.id, flex(g, input.shape()));
            }
        }
    }
}

fn flex(values: Vec<f32>, shape: Shape) -> FlexTensor {
    FlexTensor::from_data(TensorData::new(values, shape))
}

/// The values of a contiguous tensor.
fn slice(t: &FlexTensor) -> &[f32] {
    match t.as_slice::<f32>() {
        Some(s) => s,
        None => unreachable!("inputs were made contiguous"),
    }
}

fn owned(t: FlexTensor) -> Vec<f32> {
    match t.into_data().try_into_vec::<f32>() {
        Ok(v) => v,
        Err(e) => unreachable!("tensors here hold f32: {e:?}"),
    }
}

fn contiguous(t: FlexTensor) -> FlexTensor {
    if t.as_slice::<f32>().is_some() { t } else { t.to_contiguous() }
}

fn run<O: FusedOp<N>, const N: usize>(op: &O, inputs: &[FlexTensor; N]) -> (FlexTensor, O::Kept) {
    let shapes = inputs.each_ref().map(TensorMetadata::shape);
    let dims = shapes.each_ref().map(|s| s.as_slice());
    let (values, shape, kept) = op.forward(inputs.each_ref().map(slice), dims);
    (flex(values, Shape::from(shape)), kept)
}

/// Whether a tensor is where the kernels work; elsewhere operations fall back to their definitions.
pub(crate) fn here<const D: usize>(t: &Tensor<D>) -> bool {
    cfg!(not(feature = "wgpu")) || t.device().inner() == Device::flex()
}

/// A tensor whose rank in the type is dropped.
pub(crate) type Input = Tensor<1>;

/// Takes a tensor of any rank for [`apply`].
pub(crate) fn input<const D: usize>(t: Tensor<D>) -> Input {
    Tensor::from_dispatch(t.into_dispatch())
}

/// A tensor's primitive on backend `B`.
fn primitive<B: Backend>(t: Tensor<1>) -> FloatTensor<B>
where
    DispatchTensor: DispatchKindConversion<B>,
    Float: BackendPrimitive<B, Primitive = FloatTensor<B>>,
{
    match t.try_into_primitive::<B>() {
        Ok(p) => p,
        Err(e) => unreachable!("networks live on the CPU backend: {e:?}"),
    }
}

/// Runs the operation, and records it if any input takes part in a graph.
pub(crate) fn apply<O: FusedOp<N>, const N: usize, const D: usize>(op: O, inputs: [Input; N]) -> Tensor<D> {
    if !inputs.iter().any(Tensor::is_autodiff) {
        let plain = inputs.map(|t| contiguous(primitive::<Flex>(t)));
        return Tensor::from_primitive::<Flex>(run(&op, &plain).0);
    }
    let tracked = inputs.map(|t| primitive::<Autodiff<Flex>>(t.autodiff()));
    let nodes = tracked.each_ref().map(|t| t.node());
    let inputs = tracked.map(|t| contiguous(t.into_primitive()));
    let (output, kept) = run(&op, &inputs);
    let prep = Step::<O, N>(PhantomData).prepare::<NoCheckpointing>(nodes).compute_bound();
    let result = match prep.stateful() {
        OpsKind::Tracked(prep) => {
            let saved = Saved { op, inputs, output: output.clone(), kept };
            prep.finish(saved, output)
        }
        OpsKind::UnTracked(prep) => prep.finish(output),
    };
    Tensor::from_primitive::<Autodiff<Flex>>(result)
}
