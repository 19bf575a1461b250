//! Scores in which chance has a part: several draws, and how far they leave the number uncertain.

use genus_core::math::log_mean_exp;
use genus_core::stop::paced;
use genus_core::transform::{Noise, Transform};
use genus_core::{Batch, Evidence, Figure, LogProb, Result, Scoring, Stop};

/// Scores of rows, and their standard errors from the draws that they took, if they took any.
pub(crate) type Drawn = (Vec<f64>, Option<Vec<f64>>);

/// Values that are dequantised for one row, unless importance samples are asked for: few draws suffice for many columns.
const VALUES: usize = 1024;

/// Draws of the noise between levels for one score of a row.
fn draws(width: usize, how: &Scoring) -> usize {
    if how.importance_samples > 1 { how.importance_samples } else { (VALUES / width.max(1)).clamp(2, 16) }
}

/// log p(x) of rows of data from `own`, log p(y) of rows of the model's domain, which is this kind of evidence. Noise between levels is drawn several times, and
/// log (1/n) Σ p(y) |∂y/∂x| bounds log P(x) from below more tightly than the mean of the logarithms (Theis et al. 2016, section 3.1;
/// Burda et al. 2016).
///
/// # Errors
/// As the transform and `own`.
pub(crate) fn through(
    transform: &Transform,
    x: &Batch,
    how: &Scoring,
    evidence: Evidence,
    own: impl Fn(&Batch) -> Result<Vec<f64>>,
) -> Result<Drawn> {
    let once = |how: &Scoring| -> Result<Vec<f64>> {
        let (y, log_det) = transform.forward(x, Noise::Row(how.seed))?;
        Ok(own(&y)?.into_iter().zip(log_det).map(|(n, d)| n + d).collect())
    };
    if !transform.dequantizes() {
        return Ok((once(how)?, None));
    }
    let stop = Stop::current();
    let all = (0..draws(x.width(), how))
        .map(|k| {
            stop.check()?;
            once(&Scoring { seed: how.seed.index(k as u64), ..*how })
        })
        .collect::<Result<Vec<_>>>()?;
    let (nats, spread) = (0..x.rows())
        .map(|r| {
            let nats: Vec<f64> = all.iter().map(|draw| draw[r]).collect();
            let mean = log_mean_exp(&nats);
            // No row is more probable than 1, whatever chance says; what is lowered stays a bound. Of what is not normalised, or not known
            // to be, nothing is known.
            let most = if evidence == Evidence::EXACT { 0.0 } else { f64::INFINITY };
            (mean.min(most), spread_of_log_mean(&nats, mean))
        })
        .unzip();
    Ok((nats, Some(spread)))
}

/// What protocols say of scores of rows that lack values.
pub(crate) const BY_WHAT_IS_THERE: &str = "rows that lack values by what is there";

/// Scores of rows of data from `own`, the exact log p(y) of rows of the model's domain, with more words for the protocol.
///
/// # Errors
/// As [`through`].
pub(crate) fn exact(
    transform: &Transform,
    x: &Batch,
    how: &Scoring,
    more: impl IntoIterator<Item = String>,
    own: impl Fn(&Batch) -> Result<Vec<f64>>,
) -> Result<LogProb> {
    let (nats, spread) = through(transform, x, how, Evidence::EXACT, own)?;
    let holes = if crate::holes::any(x) { BY_WHAT_IS_THERE } else { "" };
    let words = [protocol(transform, how), holes.into()].into_iter().chain(more);
    Ok(LogProb {
        nats,
        spread,
        evidence: transform.evidence(Evidence::EXACT),
        measure: transform.measure(),
        protocol: words.filter(|w| !w.is_empty()).collect::<Vec<_>>().join(", "),
    })
}

/// The figure by which flows of images are compared in tables since Papamakarios et al. (2017): the mean of log p after noise and logit, one
/// draw of the noise for each row. Nothing for a model without a logit.
///
/// # Errors
/// As [`through`].
pub(crate) fn in_logit_space(
    transform: &Transform,
    x: &Batch,
    how: &Scoring,
    own: impl Fn(&Batch) -> Result<Vec<f64>>,
) -> Result<Vec<Figure>> {
    let Some(after) = transform.log_det_after_logit().filter(|_| !x.is_empty()) else {
        return Ok(Vec::new());
    };
    let mut sum = 0.0;
    paced(x.rows(), |rows| {
        let (y, _) = transform.forward(&x.slice(rows.start, rows.end), Noise::Row(how.seed))?;
        sum += own(&y)?.iter().sum::<f64>();
        Ok(())
    })?;
    Ok(vec![Figure::new(LOGIT_SPACE, sum / x.rows() as f64 + after, "nats")])
}

/// Name of that figure.
pub(crate) const LOGIT_SPACE: &str = "log-likelihood in logit space";

/// How [`through`] comes to its numbers, for protocols.
pub(crate) fn protocol(transform: &Transform, how: &Scoring) -> String {
    match transform.dequantizes() {
        true => {
            format!("{}, {} draws of the noise", transform.protocol(), draws(transform.source().width(), how))
        }
        false => transform.protocol(),
    }
}

/// Standard error of log (1/n) Σ exp(l) by the error of the mean, relative to it.
pub(crate) fn spread_of_log_mean(log_weights: &[f64], log_mean: f64) -> f64 {
    let n = log_weights.len() as f64;
    if n < 2.0 || !log_mean.is_finite() {
        return 0.0;
    }
    let square = |l: &f64| (libm::exp(l - log_mean) - 1.0).powi(2);
    (log_weights.iter().map(square).sum::<f64>() / (n - 1.0) / n).sqrt()
}

/// Draws from which on they themselves say how uncertain a bound is.
pub(crate) const MANY: usize = 16;

/// How often a bound by `k` draws is drawn for one score: their mean is a bound, and how they differ says how uncertain it is.
pub(crate) fn times(k: usize) -> usize {
    match k {
        0 | 1 => 8,
        2..MANY => MANY.div_ceil(k),
        _ => 2,
    }
}

/// Means of several scores of the same rows, and their standard errors.
pub(crate) fn averaged(scores: &[Vec<f64>]) -> Drawn {
    let n = scores.len() as f64;
    let rows = scores.first().map_or(0, Vec::len);
    let each = |r: usize| {
        let mean = scores.iter().map(|s| s[r]).sum::<f64>() / n;
        let var = scores.iter().map(|s| (s[r] - mean).powi(2)).sum::<f64>() / (n - 1.0).max(1.0);
        (mean, (var / n).sqrt())
    };
    let (nats, spread) = (0..rows).map(each).unzip();
    (nats, Some(spread))
}
