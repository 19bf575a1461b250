//! Numbers for axes, bins and tables: nice ticks, honest digits.

/// A step of 1, 2 or 5 times a power of ten that cuts `span` into at most `target` parts.
pub(crate) fn nice_step(span: f64, target: usize) -> f64 {
    let raw = span / target.max(1) as f64;
    let power = 10f64.powi(raw.log10().floor() as i32);
    let unit = raw / power / (1.0 + 1e-9);
    let round = [1.0, 2.0, 5.0].into_iter().find(|&r| unit <= r).unwrap_or(10.0);
    round * power
}

/// Multiples of a nice step within `range`, at most `target + 1` of them.
pub(crate) fn ticks(range: (f64, f64), target: usize, integer: bool) -> Vec<f64> {
    let mut step = nice_step(range.1 - range.0, target);
    if integer {
        step = step.max(1.0);
    }
    let first = (range.0 / step - 1e-9).ceil() as i64;
    let last = (range.1 / step + 1e-9).floor() as i64;
    (first..=last).take(target + 1).map(|i| i as f64 * step).filter(|v| v.is_finite()).collect()
}

/// The text of each tick, with just the decimals that their distance needs.
pub(crate) fn tick_labels(ticks: &[f64]) -> Vec<String> {
    let step = match ticks {
        [a, b, ..] => b - a,
        [a] if *a != 0.0 => a.abs(),
        _ => 1.0,
    };
    let largest = ticks.iter().fold(0.0, |m: f64, v| m.max(v.abs()));
    let place = (step.log10() + 1e-9).floor();
    ticks
        .iter()
        .map(|&v| {
            if v.abs() < step * 1e-6 {
                "0".to_owned()
            } else if largest >= 1e6 || step < 1e-4 {
                let digits = (v.abs().log10().floor() - place).clamp(0.0, 6.0) as usize;
                signed(&format!("{v:.digits$e}"))
            } else {
                signed(&format!("{v:.*}", (-place).max(0.0) as usize))
            }
        })
        .collect()
}

/// Smallest and largest finite value.
pub(crate) fn extent(values: impl IntoIterator<Item = f64>) -> Option<(f64, f64)> {
    values.into_iter().filter(|v| v.is_finite()).fold(None, |range, v| match range {
        None => Some((v, v)),
        Some((lo, hi)) => Some((lo.min(v), hi.max(v))),
    })
}

/// `range` with a margin of `share` of its span on both sides; a range of one point is opened.
pub(crate) fn padded(range: (f64, f64), share: f64) -> (f64, f64) {
    let (lo, hi) = range;
    let margin = match hi - lo {
        span if span > 1e-9 * lo.abs().max(hi.abs()) => share * span,
        _ if lo == 0.0 => 1.0,
        _ => 0.1 * lo.abs(),
    };
    (lo - margin, hi + margin)
}

/// Bins of equal width with nice edges.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Bins {
    /// Lower edge of the first bin.
    pub lo: f64,
    /// Width of a bin.
    pub width: f64,
    /// Number of bins.
    pub n: usize,
}

impl Bins {
    /// Bins for overlaid histograms of these series: one per integer where all values are few integers,
    /// otherwise about `target` bins over the bulk, so that a stray value does not squeeze the rest into one
    /// bin.
    pub(crate) fn over(series: &[&[f64]], target: usize) -> Option<Self> {
        let mut all: Vec<f64> =
            series.iter().flat_map(|s| s.iter().copied()).filter(|v| v.is_finite()).collect();
        all.sort_by(f64::total_cmp);
        let (min, max) = (*all.first()?, *all.last()?);
        if max - min <= 40.0 && all.iter().all(|v| v.fract() == 0.0) {
            return Some(Self { lo: min - 0.5, width: 1.0, n: (max - min) as usize + 1 });
        }
        let at = |q: f64| all[((all.len() - 1) as f64 * q) as usize];
        let reach = 1.5 * (at(0.95) - at(0.05));
        let (lo, hi) =
            if reach > 0.0 { (min.max(at(0.05) - reach), max.min(at(0.95) + reach)) } else { (min, max) };
        let (lo, hi) = if hi > lo { (lo, hi) } else { padded((lo, hi), 0.0) };
        let width = nice_step(hi - lo, target);
        let first = (lo / width + 1e-9).floor();
        let n = ((hi / width - 1e-9).ceil() - first).clamp(1.0, 10.0 * target as f64) as usize;
        Some(Self { lo: first * width, width, n })
    }

    /// Number of values per bin; the last bin includes its upper edge; values outside are not counted.
    pub(crate) fn count(&self, values: &[f64]) -> Vec<usize> {
        let mut counts = vec![0; self.n];
        for &v in values {
            let at = (v - self.lo) / self.width;
            if at >= 0.0 && at < self.n as f64 {
                counts[at as usize] += 1;
            } else if at == self.n as f64 {
                counts[self.n - 1] += 1;
            }
        }
        counts
    }

    /// Lower edge of bin `i`, which is the upper edge of the bin before.
    pub(crate) fn edge(&self, i: usize) -> f64 {
        self.lo + i as f64 * self.width
    }
}

/// A number in text with a true minus sign.
fn signed(text: &str) -> String {
    text.replace('-', "\u{2212}")
}

/// `v` with that many decimals.
pub(crate) fn fixed(v: f64, decimals: usize) -> String {
    match v {
        v if v.is_nan() => "not a number".to_owned(),
        v if v.is_infinite() => if v > 0.0 { "∞" } else { "\u{2212}∞" }.to_owned(),
        v => {
            let text = format!("{v:.decimals$}");
            // "-0.00" is a zero.
            let zero = text.bytes().all(|b| matches!(b, b'-' | b'0' | b'.'));
            signed(if zero { text.trim_start_matches('-') } else { &text })
        }
    }
}

/// Decimals for nats: two digits of the standard error, 2 to 4; by size where there is none.
pub(crate) fn nats_decimals(v: f64, stderr: Option<f64>) -> usize {
    match stderr {
        Some(s) if s > 0.0 && s.is_finite() => (1.0 - s.log10().floor()).clamp(2.0, 4.0) as usize,
        _ if v.abs() >= 100.0 => 2,
        _ if v.abs() >= 10.0 => 3,
        _ => 4,
    }
}

/// Nats with sensible digits.
pub(crate) fn nats(v: f64) -> String {
    fixed(v, nats_decimals(v, None))
}

/// `mean ± standard error` in nats with sensible digits.
pub(crate) fn nats_with(v: f64, stderr: Option<f64>) -> String {
    let decimals = nats_decimals(v, stderr);
    match stderr {
        Some(s) if s.is_finite() => format!("{} ± {}", fixed(v, decimals), fixed(s, decimals)),
        _ => fixed(v, decimals),
    }
}

/// Any value in about four significant digits, integers whole.
pub(crate) fn short(v: f64) -> String {
    let size = v.abs();
    if v == 0.0 || !v.is_finite() {
        fixed(v, 0)
    } else if !(1e-4..1e7).contains(&size) {
        signed(&format!("{v:.3e}"))
    } else if v.fract() == 0.0 {
        fixed(v, 0)
    } else {
        let decimals = (3.0 - size.log10().floor()).clamp(0.0, 7.0) as usize;
        let text = fixed(v, decimals);
        if decimals == 0 { text } else { text.trim_end_matches('0').trim_end_matches('.').to_owned() }
    }
}

/// A count with its thousands apart.
pub(crate) fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::with_capacity(2 * digits.len());
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && digits.len() > 4 && (digits.len() - i).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

/// Remark on the number of values that a plot does not show; empty for none.
pub(crate) fn outside(n: usize) -> String {
    match n {
        0 => String::new(),
        1 => "One value lies outside the plot.".to_owned(),
        n => format!("{} values lie outside the plot.", count(n as u64)),
    }
}

/// A duration in words.
pub(crate) fn duration(seconds: f64) -> String {
    if !(seconds >= 60.0 && seconds.is_finite()) {
        let decimals = if seconds < 10.0 { 2 } else { 1 };
        return format!("{} s", fixed(seconds, decimals));
    }
    let whole = seconds.round() as u64;
    match whole / 3600 {
        0 => format!("{} min {:02} s", whole / 60, whole % 60),
        h => format!("{h} h {:02} min", whole % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_and_ticks_are_one_two_five() {
        assert_eq!(nice_step(10.0, 5), 2.0);
        assert_eq!(nice_step(11.0, 5), 5.0);
        assert_eq!(nice_step(0.6, 6), 0.1);
        assert_eq!(ticks((0.0, 10.0), 5, false), [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]);
        assert_eq!(ticks((-101.5, -79.0), 5, false), [-100.0, -95.0, -90.0, -85.0, -80.0]);
        assert_eq!(ticks((1.0, 3.0), 5, true), [1.0, 2.0, 3.0]);
        assert_eq!(tick_labels(&[-0.2, 0.0, 0.2]), ["\u{2212}0.2", "0", "0.2"]);
        assert_eq!(tick_labels(&[0.0, 5.0, 10.0]), ["0", "5", "10"]);
        assert_eq!(tick_labels(&[1e6, 1.5e6, 2e6]), ["1.0e6", "1.5e6", "2.0e6"]);
    }

    #[test]
    fn degenerate_ranges_are_opened() {
        assert_eq!(padded((0.0, 0.0), 0.1), (-1.0, 1.0));
        assert_eq!(padded((5.0, 5.0), 0.1), (4.5, 5.5));
        assert_eq!(padded((0.0, 10.0), 0.1), (-1.0, 11.0));
        assert_eq!(extent([f64::NAN, 2.0, f64::INFINITY, -1.0]), Some((-1.0, 2.0)));
        assert_eq!(extent([f64::NAN]), None);
        assert!(ticks((f64::MIN, f64::MAX), 5, false).len() <= 6);
    }

    #[test]
    fn histogram_counts() {
        let bins = Bins { lo: 0.0, width: 0.5, n: 4 };
        assert_eq!(bins.count(&[0.0, 0.49, 0.5, 1.99, 2.0, 2.1, -0.1, f64::NAN]), [2, 1, 0, 2]);
        let categories = Bins::over(&[&[0.0, 2.0, 2.0], &[3.0]], 10).unwrap();
        assert_eq!(categories, Bins { lo: -0.5, width: 1.0, n: 4 });
        assert_eq!(categories.count(&[0.0, 2.0, 2.0, 3.0]), [1, 0, 2, 1]);
        let spread: Vec<f64> = (0..1000).map(|i| f64::from(i) / 100.0).collect();
        let bins = Bins::over(&[&spread], 10).unwrap();
        assert_eq!((bins.lo, bins.width, bins.n), (0.0, 1.0, 10));
        assert_eq!(bins.count(&spread), [100; 10]);
    }

    #[test]
    fn a_stray_value_does_not_squeeze_the_rest() {
        let mut values: Vec<f64> = (0..100).map(|i| f64::from(i) / 100.0).collect();
        values.push(-1e9);
        let bins = Bins::over(&[&values], 20).unwrap();
        assert!(bins.lo >= -2.0 && bins.edge(bins.n) <= 1.2, "{bins:?}");
        assert_eq!(bins.count(&values).iter().sum::<usize>(), 100);
        let constant = Bins::over(&[&[0.25; 7]], 20).unwrap();
        assert_eq!(constant.count(&[0.25; 7]).iter().sum::<usize>(), 7);
        assert!(Bins::over(&[&[f64::NAN]], 20).is_none());
    }

    #[test]
    fn digits_are_sensible() {
        assert_eq!(nats_with(-86.33712, Some(0.1234)), "\u{2212}86.34 ± 0.12");
        assert_eq!(nats_with(-2.123_456, Some(0.0123)), "\u{2212}2.123 ± 0.012");
        assert_eq!(nats(-2.0), "\u{2212}2.0000");
        assert_eq!(nats(-123.456), "\u{2212}123.46");
        assert_eq!(fixed(-0.001, 2), "0.00");
        assert_eq!(
            [short(3.0), short(0.123_456), short(-12.5), short(1e9)],
            ["3", "0.1235", "\u{2212}12.5", "1.000e9"]
        );
        assert_eq!([count(999), count(60_000)], ["999".to_owned(), "60\u{202f}000".to_owned()]);
        assert_eq!([duration(0.5), duration(75.0), duration(3725.0)], ["0.50 s", "1 min 15 s", "1 h 02 min"]);
    }
}
