//! The network of a MADE: parameters in the numbering of dimensions and units, seen through masks that sort them.

use super::masks::MaskSet;
use genus_core::math::{log_mean_exp, softplus};
use genus_core::{Batch, Result, Rng, Stop};
use genus_kernels::{MaskedLayer, gather_masked};
use genus_nn::{Activation, Id, Params, Staircase, Tensor, View, ops, tensor, values};
use rayon::prelude::*;
use std::sync::Arc;

/// Ids of the parameters. All are kept in the numbering of dimensions and units, whatever order a mask sorts them into.
#[derive(Debug, Clone)]
pub(super) struct Net {
    /// Weights and biases, output layer last.
    pub layers: Vec<(Id, Id)>,
    pub direct: Option<Id>,
    act: Activation,
    /// The only mask is sorted and its dropped weights are zero in the parameters.
    pub fixed: bool,
}

/// A mask set with the orders of rows and columns of each layer's weights.
#[derive(Debug, Clone)]
pub(super) struct Member {
    pub set: MaskSet,
    /// Order of the units of each layer, inputs first, outputs last.
    sorted: Vec<Arc<[usize]>>,
}

impl Member {
    pub fn new(set: MaskSet) -> Self {
        let order: Arc<[usize]> = set.order.as_slice().into();
        let hidden = set.units.iter().map(|u| Arc::from(u.as_slice()));
        let sorted =
            std::iter::once(Arc::clone(&order)).chain(hidden).chain(std::iter::once(order)).collect();
        Self { set, sorted }
    }

    /// Columns of a batch in place order.
    pub fn places(&self, x: Batch) -> Batch {
        if self.set.order.is_sorted() {
            return x;
        }
        Batch::from_fn(x.rows(), x.width(), |r, p| x.row(r)[self.set.order[p]])
    }

    /// Columns of a batch in place order, back to the numbering of dimensions.
    pub fn dimensions(&self, x: &Batch) -> Batch {
        let mut out = Batch::zeros(x.rows(), x.width());
        for r in 0..x.rows() {
            let to = out.row_mut(r);
            for (d, v) in self.set.order.iter().zip(x.row(r)) {
                to[*d] = *v;
            }
        }
        out
    }
}

/// Rows of a pass while scoring.
const CHUNK: usize = 512;

impl Net {
    /// Adds the parameters: Glorot or He weights, zero direct connections, output biases as given.
    pub fn new(
        widths: &[usize],
        act: Activation,
        direct: bool,
        bias: Vec<f32>,
        params: &mut Params,
        rng: &mut Rng,
    ) -> Self {
        let (d, last) = (widths[0], widths.len() - 2);
        let layers = widths
            .windows(2)
            .enumerate()
            .map(|(l, w)| {
                let name = if l == last { "output".to_owned() } else { format!("hidden.{l}") };
                let rule = if l == last { Activation::Identity } else { act };
                let layer = genus_nn::Linear::new(params, &name, w[0], w[1], rule, rng);
                (layer.w(), layer.b())
            })
            .collect::<Vec<_>>();
        params.set(layers[last].1, bias);
        let direct = direct.then(|| params.add("direct.w", &[d, d], vec![0.0; d * d]));
        Self { layers, direct, act, fixed: false }
    }

    fn act(&self, layer: usize) -> Activation {
        if layer + 1 == self.layers.len() { Activation::Identity } else { self.act }
    }

    /// Logits in place order, of rows in place order.
    pub fn logits(&self, view: &View<'_>, member: &Member, x: Tensor<2>) -> Tensor<2> {
        let weights = |id, rows: &Arc<[usize]>, cols: &Arc<[usize]>, mask| {
            if self.fixed { view.get(id) } else { ops::gather_masked(view.get(id), rows, cols, mask) }
        };
        let mut h = x.clone();
        for (l, (w, b)) in self.layers.iter().enumerate() {
            let (mask, rows, cols) = (&member.set.layers[l], &member.sorted[l], &member.sorted[l + 1]);
            let bias = if self.fixed { view.get(*b) } else { ops::reorder(view.get(*b), cols) };
            h = ops::linear(h, weights(*w, rows, cols, mask), bias, self.act(l), Some(mask));
        }
        if let Some(id) = self.direct {
            let (mask, order) = (&member.set.direct, &member.sorted[0]);
            let zero = genus_nn::tensor_from(vec![0.0; order.len()], [order.len()]);
            h = h + ops::linear(x, weights(id, order, order, mask), zero, Activation::Identity, Some(mask));
        }
        h
    }

    /// The layers of a member as the sampler takes them: sorted, masked, transposed.
    pub fn sampler<'a>(
        &self,
        params: &Params,
        member: &'a Member,
    ) -> (Vec<MaskedLayer<'a>>, Option<MaskedLayer<'a>>) {
        let layer = |w: Id, b: Option<Id>, rows: &[usize], cols: &[usize], mask: &'a Staircase, act| {
            let sorted = gather_masked(&params.values(w), rows, cols, mask);
            let (n_in, n_out) = (rows.len(), cols.len());
            let mut transposed = vec![0.0; n_in * n_out];
            for (o, row) in transposed.chunks_exact_mut(n_in).enumerate() {
                row.iter_mut().enumerate().for_each(|(i, slot)| *slot = sorted[i * n_out + o]);
            }
            let b = b.map_or(vec![0.0; n_out], |b| {
                let values = params.values(b);
                cols.iter().map(|c| values[*c]).collect()
            });
            MaskedLayer { w: transposed, b, mask, act }
        };
        let layers = self
            .layers
            .iter()
            .enumerate()
            .map(|(l, (w, b))| {
                let (rows, cols) = (&member.sorted[l], &member.sorted[l + 1]);
                layer(*w, Some(*b), rows, cols, &member.set.layers[l], self.act(l))
            })
            .collect();
        let order = &member.sorted[0];
        let direct =
            self.direct.map(|id| layer(id, None, order, order, &member.set.direct, Activation::Identity));
        (layers, direct)
    }
}

/// log 1/K Σₖ pₖ(x) of binary rows.
pub(super) fn log_prob(net: &Net, members: &[Member], view: &View<'_>, x: &Batch) -> Result<Vec<f64>> {
    let mut each = vec![Vec::with_capacity(members.len()); x.rows()];
    for member in members {
        for start in (0..x.rows()).step_by(CHUNK) {
            Stop::current().check()?;
            let places = member.places(x.slice(start, start + CHUNK));
            let logits = Batch::new(values(net.logits(view, member, tensor(places.clone()))), x.width())?;
            let nats: Vec<f64> = (0..places.rows())
                .into_par_iter()
                .map(|r| {
                    let pairs = logits.row(r).iter().zip(places.row(r));
                    -pairs.map(|(a, t)| softplus(f64::from(*a)) - f64::from(*a) * f64::from(*t)).sum::<f64>()
                })
                .collect();
            nats.into_iter().enumerate().for_each(|(r, n)| each[start + r].push(n));
        }
    }
    Ok(each.iter().map(|e| log_mean_exp(e)).collect())
}
