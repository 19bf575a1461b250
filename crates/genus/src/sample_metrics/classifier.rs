//! The classifier of the metrics that train one: a network of one hidden layer, the same for whatever is compared.

use crate::{Batch, Error, FitContext, Result, Seed, Silent, Stop, TrainConfig, config};
use genus_nn::{Activation, Loss, Mlp, Objective, Params, StepContext, View, ops, tensor, values};
use std::collections::BTreeMap;

/// Hidden units.
const HIDDEN: usize = 256;
/// Rows of a pass without gradient.
const CHUNK: usize = 2000;

/// A classifier that has learned.
pub(crate) struct Classifier {
    params: Params,
    net: Mlp,
    classes: usize,
}

struct CrossEntropy<'a> {
    net: &'a Mlp,
    classes: usize,
    rows: &'a Batch,
    labels: &'a [u32],
    /// The rows that are learned from; validation rows are others.
    learned: &'a [usize],
    valid: &'a [usize],
}

impl CrossEntropy<'_> {
    fn of(&self, view: &View<'_>, rows: &[usize]) -> genus_nn::Tensor<1> {
        let logits = self.net.forward(view, tensor(self.rows.select(rows)));
        let n = rows.len();
        let targets = rows.iter().map(|r| self.labels[*r] as f32).collect();
        ops::categorical_nll(logits.reshape([n, 1, self.classes]), genus_nn::tensor_from(targets, [n, 1]))
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
    /// Learns labels below `classes` of rows; a tenth of these decide when it ends. At least ten rows.
    ///
    /// # Errors
    /// [`Error::Domain`] if there are fewer rows, [`Error::Stopped`].
    pub fn fit(rows: &Batch, labels: &[u32], classes: usize, seed: Seed) -> Result<Self> {
        let n = rows.rows();
        if n < 10 || labels.len() != n {
            return Err(Error::Domain(format!("a classifier needs ten rows with labels, and there are {n}")));
        }
        let order = seed.child("split").rng().permutation(n);
        let (valid, learned) = order.split_at(n / 10);
        let mut params = Params::default();
        let widths = [rows.width(), HIDDEN, classes];
        let net =
            Mlp::new(&mut params, "classifier", &widths, Activation::Relu, &mut seed.child("init").rng());
        // About 3000 steps at most.
        let batch = (learned.len() / 20).clamp(10, 100);
        let epochs = (3000 * batch).div_ceil(learned.len()).clamp(10, 200);
        let text = format!(
            "epochs = {epochs}\nbatch = {batch}\npatience = {}\nema = 0.99\noptimizer.rate = 0.001\noptimizer.decay = 0.1\n",
            (epochs / 5).max(3)
        );
        let table = text.parse().map_err(|e| Error::config("classifier", format!("{e}")))?;
        let train: TrainConfig = config::from_table(&table)?;
        let mut objective = CrossEntropy { net: &net, classes, rows, labels, learned, valid };
        let mut silent = Silent;
        let mut cx = FitContext::new(seed, &mut silent);
        genus_nn::train(&train, &mut params, learned.len(), &mut objective, "classifier", &mut cx)?;
        Stop::current().check()?;
        Ok(Self { params, net, classes })
    }

    /// The most probable class of each row.
    ///
    /// # Errors
    /// [`Error::Stopped`].
    pub fn classes_of(&self, rows: &Batch) -> Result<Vec<u32>> {
        let mut all = Vec::with_capacity(rows.rows());
        for start in (0..rows.rows()).step_by(CHUNK) {
            Stop::current().check()?;
            let logits =
                values(self.net.forward(&self.params.frozen(), tensor(rows.slice(start, start + CHUNK))));
            let best =
                |row: &[f32]| (0..row.len()).max_by(|a, b| row[*a].total_cmp(&row[*b])).unwrap_or(0) as u32;
            all.extend(logits.chunks_exact(self.classes).map(best));
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
