//! Unlikely rows as a detector of anomalies, where it is known which rows are some.

use crate::{Error, Result};
use serde::Serialize;

/// How well a low log-probability tells anomalies from other rows.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Detection {
    /// Probability that an anomaly is less likely than another row: the area under the ROC curve, ties counting one half.
    pub roc_auc: f64,
    /// Its standard error (DeLong, DeLong & Clarke-Pearson 1988).
    pub stderr: f64,
    /// Mean precision over the anomalies, the least likely first; the share of anomalies is what chance gives.
    pub average_precision: f64,
    /// Anomalies.
    pub anomalies: usize,
    /// All rows.
    pub rows: usize,
}

/// For each value how many of `among`, which are sorted, lie below it, ties counting one half.
fn below(value: f64, among: &[f64]) -> f64 {
    let less = among.partition_point(|v| *v < value);
    let same = among[less..].partition_point(|v| *v <= value);
    less as f64 + 0.5 * same as f64
}

fn variance(values: &[f64]) -> f64 {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0).max(1.0)
}

/// Of log-probabilities and which rows are anomalies.
///
/// # Errors
/// [`Error::Domain`] if there is no anomaly, or nothing else, or a score is NaN.
pub fn detection(nats: &[f64], anomalous: &[bool]) -> Result<Detection> {
    let of = |which: bool| -> Vec<f64> {
        let mut some: Vec<f64> =
            nats.iter().zip(anomalous).filter(|(_, a)| **a == which).map(|(v, _)| -v).collect();
        some.sort_by(f64::total_cmp);
        some
    };
    let (odd, fine) = (of(true), of(false));
    if odd.is_empty() || fine.is_empty() || nats.iter().any(|v| v.is_nan()) {
        return Err(Error::Domain(format!(
            "anomalies and other rows are needed, all with a score: there are {} and {}",
            odd.len(),
            fine.len()
        )));
    }
    let (m, n) = (odd.len() as f64, fine.len() as f64);
    let above: Vec<f64> = odd.iter().map(|v| below(*v, &fine) / n).collect();
    let under: Vec<f64> = fine.iter().map(|v| 1.0 - below(*v, &odd) / m).collect();
    let roc_auc = above.iter().sum::<f64>() / m;
    // Rows with the same score are found together.
    let (mut found, mut seen, mut precision) = (0.0, 0.0, 0.0);
    let mut all: Vec<f64> = nats.iter().map(|v| -v).collect();
    all.sort_by(|a, b| b.total_cmp(a));
    all.dedup();
    for score in all {
        let at = |of: &[f64]| of.len() as f64 - of.partition_point(|v| *v < score) as f64;
        let (more, rows) = (at(&odd), at(&odd) + at(&fine));
        precision += (more - found) / m * (more / rows);
        (found, seen) = (more, rows);
    }
    debug_assert!(seen == m + n, "all rows are found at last");
    Ok(Detection {
        roc_auc,
        stderr: (variance(&above) / m + variance(&under) / n).sqrt(),
        average_precision: precision,
        anomalies: odd.len(),
        rows: nats.len(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// scikit-learn 1.9.1: roc_auc_score, average_precision_score.
    #[test]
    fn figures_are_those_of_scikit_learn() {
        let nats = [-1.0, -3.5, -2.0, -2.0, -7.0, -0.5, -3.5, -4.0, -2.5, f64::NEG_INFINITY];
        let odd = [false, true, false, true, true, false, false, false, true, true];
        let found = detection(&nats, &odd).unwrap();
        assert!((found.roc_auc - 0.76).abs() < 1e-12, "{found:?}");
        assert!((found.average_precision - 0.7783333333333333).abs() < 1e-12, "{found:?}");
        assert!(detection(&nats, &[false; 10]).is_err());
    }
}
