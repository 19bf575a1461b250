//! Scalar functions that every family needs, in `f64`, the same bits on every target.

/// log Σ exp(vᵢ); −∞ for no values.
pub fn log_sum_exp(v: impl IntoIterator<Item = f64> + Clone) -> f64 {
    let top = v.clone().into_iter().fold(f64::NEG_INFINITY, f64::max);
    if !top.is_finite() {
        return top;
    }
    top + libm::log(v.into_iter().map(|x| libm::exp(x - top)).sum::<f64>())
}

/// log of the mean of exp(vᵢ): what an ensemble of joint probabilities, or an importance-weighted bound, needs.
pub fn log_mean_exp(v: &[f64]) -> f64 {
    log_sum_exp(v.iter().copied()) - libm::log(v.len() as f64)
}

/// log(1 + exp(x)) without overflow.
pub fn softplus(x: f64) -> f64 {
    x.max(0.0) + libm::log1p(libm::exp(-x.abs()))
}

/// 1 / (1 + exp(−x)).
pub fn sigmoid(x: f64) -> f64 {
    if x >= 0.0 { 1.0 / (1.0 + libm::exp(-x)) } else { libm::exp(x) / (1.0 + libm::exp(x)) }
}

/// log(2π).
pub const LN_2PI: f64 = 1.837_877_066_409_345_3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extremes() {
        assert_eq!(log_sum_exp([]), f64::NEG_INFINITY);
        assert_eq!(log_sum_exp([f64::NEG_INFINITY; 2]), f64::NEG_INFINITY);
        assert!((log_sum_exp([-1000.0, -1000.0]) - (-1000.0 + 2f64.ln())).abs() < 1e-12);
        assert!((log_mean_exp(&[-1000.0, -1000.0]) + 1000.0).abs() < 1e-12);
        assert_eq!(softplus(800.0), 800.0);
        assert_eq!(softplus(-800.0), 0.0);
        assert!((softplus(0.0) - 2f64.ln()).abs() < 1e-15);
        assert!((sigmoid(-3.0) + sigmoid(3.0) - 1.0).abs() < 1e-15);
        assert!((LN_2PI - (2.0 * std::f64::consts::PI).ln()).abs() < 1e-15);
    }
}
