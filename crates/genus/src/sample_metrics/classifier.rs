//! The classifier of the metrics that train one: convolutions for images, a hidden layer for other rows; the same for whatever is compared.

use crate::{Batch, Error, FitContext, Result, Seed, Shape, Silent, Stop, TrainConfig, config};
use genus_nn::{
    Activation, Analysis, Form, Linear, Loss, Normalize, Objective, Params, StepContext, Tensor, View, ops,
    tensor, values,
};
use std::collections::BTreeMap;

/// Channels of the first convolution.
const CHANNELS: usize = 16;
/// Hidden units of rows that are no images.
const HIDDEN: usize = 256;
/// Rows of a pass without gradient.
const CHUNK: usize = 2000;

/// A classifier that has learned.
pub(crate) struct Classifier {
    params: Params,
    net: Net,
}

struct Net {
    hidden: Analysis,
    last: Linear,
    classes: usize,
}

impl Net {
    fn new(params: &mut Params, shape: &Shape, classes: usize, seed: Seed) -> Result<Self> {
        let form = match Form::fits(shape) {
            true => Form::Convolutions(CHANNELS),
            false => Form::Dense(vec![HIDDEN]),
        };
        let rng = &mut seed.rng();
        let hidden = Analysis::new(params, "hidden", "classifier", shape, &form, Normalize::Not, rng)?;
        let last = Linear::new(params, "classes", hidden.width(), classes, Activation::Identity, rng);
        Ok(Self { hidden, last, classes })
    }

    /// Logits, `[rows, classes]`.
    fn logits(&self, view: &View<'_>, x: Batch) -> Tensor<2> {
        let (mut layers, _) = self.hidden.forward(view, tensor(x));
        match layers.pop() {
            Some(last) => self.last.forward(view, last),
            None => unreachable!("there is the layer of the rows at least"),
        }
    }
}

struct CrossEntropy<'a> {
    net: &'a Net,
    rows: &'a Batch,
    labels: &'a [u32],
    /// The rows that are learned from; validation rows are others.
    learned: &'a [usize],
    valid: &'a [usize],
}

impl CrossEntropy<'_> {
    fn of(&self, view: &View<'_>, rows: &[usize]) -> Tensor<1> {
        let logits = self.net.logits(view, self.rows.select(rows));
        let n = rows.len();
        let targets = rows.iter().map(|r| self.labels[*r] as f32).collect();
        ops::categorical_nll(logits.reshape([n, 1, self.net.classes]), genus_nn::tensor_from(targets, [n, 1]))
    }
}

impl Objective for CrossEntropy<'_> {
    fn loss(&mut self, view: &View<'_>, rows: &[usize], _: &StepContext) -> Result<Loss> {
        let rows: Vec<usize> = rows.iter().map(|r| self.learned[*r]).collect();
        Ok(Loss::new(self.of(view, &rows).mean()))
    }

    fn validate(&mut self, view: &View<'_>) -> Result<BTreeMap<String, f64>> {
        let mut sum = 0.0;
        for rows in self.valid.chunks(CHUNK) {
            Stop::current().check()?;
            sum += values(self.of(view, rows)).iter().map(|v| f64::from(*v)).sum::<f64>();
        }
        Ok(BTreeMap::from([("loss".into(), sum / self.valid.len().max(1) as f64)]))
    }
}

impl Classifier {
    /// Learns labels below `classes` of rows of this shape; a tenth of these decide when it ends. At least ten rows.
    ///
    /// # Errors
    /// [`Error::Domain`] if there are fewer rows, [`Error::Stopped`].
    pub fn fit(rows: &Batch, shape: &Shape, labels: &[u32], classes: usize, seed: Seed) -> Result<Self> {
        let n = rows.rows();
        if n < 10 || labels.len() != n {
            return Err(Error::Domain(format!("a classifier needs ten rows with labels, and there are {n}")));
        }
        let order = seed.child("split").rng().permutation(n);
        let (valid, learned) = order.split_at(n / 10);
        let mut params = Params::default();
        let net = Net::new(&mut params, shape, classes, seed.child("init"))?;
        // About 3000 steps at most.
        let batch = (learned.len() / 20).clamp(10, 100);
        let epochs = (3000 * batch).div_ceil(learned.len()).clamp(10, 200);
        let text = format!(
            "epochs = {epochs}\nbatch = {batch}\npatience = {}\nema = 0.99\noptimizer.rate = 0.001\noptimizer.decay = 0.1\n",
            (epochs / 5).max(3)
        );
        let table = text.parse().map_err(|e| Error::config("classifier", format!("{e}")))?;
        let train: TrainConfig = config::from_table(&table)?;
        let mut objective = CrossEntropy { net: &net, rows, labels, learned, valid };
        let mut silent = Silent;
        let mut cx = FitContext::new(seed, &mut silent);
        genus_nn::train(&train, &mut params, learned.len(), &mut objective, "classifier", &mut cx)?;
        Stop::current().check()?;
        Ok(Self { params, net })
    }

    /// The most probable class of each row.
    ///
    /// # Errors
    /// [`Error::Stopped`].
    pub fn classes_of(&self, rows: &Batch) -> Result<Vec<u32>> {
        let mut all = Vec::with_capacity(rows.rows());
        for start in (0..rows.rows()).step_by(CHUNK) {
            Stop::current().check()?;
            let logits = values(self.net.logits(&self.params.frozen(), rows.slice(start, start + CHUNK)));
            let best =
                |row: &[f32]| (0..row.len()).max_by(|a, b| row[*a].total_cmp(&row[*b])).unwrap_or(0) as u32;
            all.extend(logits.chunks_exact(self.net.classes).map(best));
        }
        Ok(all)
    }

    /// Share of rows whose label it finds.
    ///
    /// # Errors
    /// As [`classes_of`](Self::classes_of).
    pub fn accuracy(&self, rows: &Batch, labels: &[u32]) -> Result<f64> {
        let found = self.classes_of(rows)?;
        let right = found.iter().zip(labels).filter(|(a, b)| a == b).count();
        Ok(right as f64 / labels.len().max(1) as f64)
    }
}

/// The interval of 95 % of a share of n (Wilson 1927).
pub(crate) fn interval(share: f64, n: usize) -> [f64; 2] {
    let (n, z) = (n as f64, 1.959_963_985);
    let centre = share + z * z / (2.0 * n);
    let half = z * (share * (1.0 - share) / n + z * z / (4.0 * n * n)).sqrt();
    let whole = 1.0 + z * z / n;
    [(centre - half) / whole, (centre + half) / whole]
}
