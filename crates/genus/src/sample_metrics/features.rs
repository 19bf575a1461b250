//! Features of grey images of 28 × 28 pixels: the last hidden layer of a small network that was trained to tell the ten digits of MNIST and
//! the ten articles of Fashion-MNIST apart, and that never changes. Distances between features see what such images show, where those
//! between pixels see where the ink is.
//!
//! They are not those of an Inception network, and no number that is computed with them compares with one that was. The example
//! `features` trains the network anew; it is shipped as `assets/features.safetensors`.

use crate::{
    Batch, Dataset, Domain, Error, FitContext, Result, Seed, Shape, Silent, State, Stop, Support,
    TrainConfig, config,
};
use genus_nn::{
    Activation, Analysis, Form, Linear, Loss, Normalize, Objective, Params, StepContext, Tensor, View, ops,
    tensor, tensor_from, values,
};
use std::collections::BTreeMap;
use std::sync::OnceLock;

/// What figures call them.
pub const NAME: &str = "features of genus (digits and clothes), not of Inception";

/// Number of features.
pub const FEATURES: usize = 64;

const SHAPE: Shape = Shape::Image { height: 28, width: 28, channels: 1 };
const CHANNELS: usize = 16;
const CLASSES: usize = 10;
/// Rows of a pass without gradient.
const CHUNK: usize = 500;

/// Whether there are features of such rows.
pub fn sees(domain: &Domain) -> bool {
    domain.shape == SHAPE && matches!(domain.support, Support::Binary | Support::Discrete { .. })
}

/// The network.
struct Net {
    params: Params,
    images: Analysis,
    features: Linear,
    classes: Linear,
}

impl Net {
    fn new(seed: Seed) -> Result<Self> {
        let (mut params, rng) = (Params::default(), &mut seed.rng());
        let form = Form::Convolutions(CHANNELS);
        let images = Analysis::new(&mut params, "images", "features", &SHAPE, &form, Normalize::Not, rng)?;
        let leaky = Activation::LeakyRelu;
        let features = Linear::new(&mut params, "features", images.width(), FEATURES, leaky, rng);
        let classes = Linear::new(&mut params, "classes", FEATURES, 2 * CLASSES, Activation::Identity, rng);
        Ok(Self { params, images, features, classes })
    }

    fn features(&self, view: &View<'_>, x: Tensor<2>) -> Tensor<2> {
        let (mut layers, _) = self.images.forward(view, x);
        match layers.pop() {
            Some(last) => self.features.forward(view, last),
            None => unreachable!("there is the layer of the rows at least"),
        }
    }

    fn logits(&self, view: &View<'_>, x: Tensor<2>) -> Tensor<2> {
        self.classes.forward(view, self.features(view, x))
    }
}

/// The network that is shipped.
fn shipped() -> Result<&'static Net> {
    static NET: OnceLock<Net> = OnceLock::new();
    if let Some(net) = NET.get() {
        return Ok(net);
    }
    let mut net = Net::new(Seed::from(0))?;
    let bytes = include_bytes!("../../assets/features.safetensors");
    net.params.load(&State::from_bytes(bytes, "features.safetensors".as_ref())?)?;
    Ok(NET.get_or_init(|| net))
}

/// Features of images, `[rows, 64]`.
///
/// # Errors
/// [`Error::Domain`] if there are none of such rows, [`Error::Stopped`].
pub fn of(domain: &Domain, x: &Batch) -> Result<Batch> {
    if !sees(domain) {
        return Err(Error::Domain(format!(
            "{NAME} are of grey images of 28 × 28 pixels, and the rows are {domain}"
        )));
    }
    let (net, unit) = (shipped()?, 1.0 / domain.top().unwrap_or(1.0));
    let mut all = Vec::with_capacity(x.rows() * FEATURES);
    for start in (0..x.rows()).step_by(CHUNK) {
        Stop::current().check()?;
        let mut some = x.slice(start, start + CHUNK);
        some.data_mut().iter_mut().for_each(|v| *v *= unit);
        all.extend(values(net.features(&net.params.frozen(), tensor(some))));
    }
    Batch::new(all, FEATURES)
}

struct Telling<'a> {
    net: &'a Net,
    rows: &'a Batch,
    labels: &'a [u32],
    valid: &'a Batch,
    valid_labels: &'a [u32],
}

/// Cross-entropy of each row.
fn cross_entropy(net: &Net, view: &View<'_>, x: Batch, labels: Vec<f32>) -> Tensor<1> {
    let n = x.rows();
    let logits = net.logits(view, tensor(x)).reshape([n, 1, 2 * CLASSES]);
    ops::categorical_nll(logits, tensor_from(labels, [n, 1]))
}

impl Objective for Telling<'_> {
    fn loss(&mut self, view: &View<'_>, rows: &[usize], cx: &StepContext) -> Result<Loss> {
        let mut rng = cx.rng("shifts");
        let some = self.rows.select(rows);
        // Every image moved by up to two pixels, and one in four in black and white, so that features do not depend on either.
        let changed: Vec<Vec<f32>> = some
            .iter()
            .map(|row| {
                let [dy, dx] = [0, 1].map(|_| rng.below(5) as isize - 2);
                let binary = rng.below(4) == 0;
                let pixel = |i: usize| {
                    let [y, x] = [i as isize / 28 + dy, i as isize % 28 + dx];
                    let inside = (0..28).contains(&y) && (0..28).contains(&x);
                    let v = if inside { row[(y * 28 + x) as usize] } else { 0.0 };
                    if binary { f32::from(u8::from(v > 0.5)) } else { v }
                };
                (0..row.len()).map(pixel).collect()
            })
            .collect();
        let labels = rows.iter().map(|r| self.labels[*r] as f32).collect();
        Ok(Loss::new(cross_entropy(self.net, view, Batch::new(changed.concat(), 784)?, labels).mean()))
    }

    fn validate(&mut self, view: &View<'_>) -> Result<BTreeMap<String, f64>> {
        let (mut loss, mut right) = (0.0, 0usize);
        for start in (0..self.valid.rows()).step_by(CHUNK) {
            Stop::current().check()?;
            let some = self.valid.slice(start, start + CHUNK);
            let labels = &self.valid_labels[start..start + some.rows()];
            let each =
                cross_entropy(self.net, view, some.clone(), labels.iter().map(|l| *l as f32).collect());
            loss += values(each).iter().map(|v| f64::from(*v)).sum::<f64>();
            let logits = values(self.net.logits(view, tensor(some)));
            let best = |row: &[f32]| (0..row.len()).max_by(|a, b| row[*a].total_cmp(&row[*b]));
            right += logits
                .chunks_exact(2 * CLASSES)
                .zip(labels)
                .filter(|(row, l)| best(row) == Some(**l as usize))
                .count();
        }
        let n = self.valid.rows() as f64;
        Ok(BTreeMap::from([("loss".into(), loss / n), ("accuracy".into(), right as f64 / n)]))
    }
}

/// Trains the network on the training rows of digits and of clothes, and gives it with the share of their test rows that it tells right.
///
/// # Errors
/// [`Error::Domain`] if there are no labels or other images, and whatever a training may meet.
pub fn train(digits: &Dataset, clothes: &Dataset, epochs: usize, seed: Seed) -> Result<(State, f64)> {
    let side = |test: bool| -> Result<(Batch, Vec<u32>)> {
        let (mut x, mut labels) = (Vec::new(), Vec::new());
        for (first, set) in [(0, digits), (CLASSES as u32, clothes)] {
            let missing = || {
                Error::Domain(format!(
                    "{}: grey images of 28 × 28 pixels with labels and test rows are needed",
                    set.provenance.name
                ))
            };
            let split = if test { set.test.as_ref().ok_or_else(missing)? } else { &set.train };
            let own = set.schema.labels(split).filter(|_| sees(set.domain())).ok_or_else(missing)?;
            let top = set.domain().top().unwrap_or(1.0);
            x.extend(split.x.data().iter().map(|v| v / top));
            labels.extend(own.iter().map(|l| first + l));
        }
        Ok((Batch::new(x, 784)?, labels))
    };
    let ((rows, labels), (test, test_labels)) = (side(false)?, side(true)?);
    let text = format!(
        "epochs = {epochs}\nema = 0.999\nkeep_best = false\noptimizer.rate = 0.001\noptimizer.decay = 0.05\n"
    );
    let table = text.parse().map_err(|e| Error::config("features", format!("{e}")))?;
    let config: TrainConfig = config::from_table(&table)?;
    let net = Net::new(seed.child("init"))?;
    let mut params = net.params.clone();
    let mut objective =
        Telling { net: &net, rows: &rows, labels: &labels, valid: &test, valid_labels: &test_labels };
    let mut silent = Silent;
    let mut cx = FitContext::new(seed, &mut silent);
    genus_nn::train(&config, &mut params, rows.rows(), &mut objective, "features", &mut cx)?;
    let accuracy = objective.validate(&params.frozen())?["accuracy"];
    Ok((params.state(), accuracy))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The shipped network is there, whole, and gives images that show something else other features.
    #[test]
    fn features_tell_images_apart() {
        let domain = Domain { support: Support::Discrete { levels: 256 }, shape: SHAPE };
        let bar = |upright: bool| {
            move |_: usize, c: usize| {
                let [y, x] = [c / 28, c % 28];
                let [along, across] = if upright { [y, x] } else { [x, y] };
                if (4..24).contains(&along) && (12..16).contains(&across) { 255.0 } else { 0.0 }
            }
        };
        let images =
            [Batch::from_fn(1, 784, bar(true)), Batch::from_fn(1, 784, bar(false)), Batch::zeros(1, 784)];
        let features: Vec<Vec<f32>> = images.iter().map(|x| of(&domain, x).unwrap().into_data()).collect();
        let apart = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f32>().sqrt();
        assert_eq!(features[0].len(), FEATURES);
        for (i, j) in [(0, 1), (0, 2), (1, 2)] {
            assert!(apart(&features[i], &features[j]) > 1.0, "{i} {j}");
        }
        let small = Domain {
            support: Support::Discrete { levels: 17 },
            shape: Shape::Image { height: 8, width: 8, channels: 1 },
        };
        assert!(of(&small, &Batch::zeros(1, 64)).is_err());
    }
}
