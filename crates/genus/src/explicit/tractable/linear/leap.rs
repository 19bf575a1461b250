//! Where three points of a sequence of turns lead (Varadhan & Roland 2008, the scheme SQUAREM).

/// Three points taken on.
pub(super) fn leap([a, b, c]: [&[f64]; 3]) -> Vec<f64> {
    let first: Vec<f64> = b.iter().zip(a).map(|(b, a)| b - a).collect();
    let bend: Vec<f64> = c.iter().zip(b).zip(&first).map(|((c, b), r)| c - b - r).collect();
    let size = |v: &[f64]| v.iter().map(|v| v * v).sum::<f64>().sqrt();
    let step = (size(&first) / size(&bend).max(1e-300)).clamp(1.0, 1e4);
    (0..a.len()).map(|i| a[i] + 2.0 * step * first[i] + step * step * bend[i]).collect()
}
