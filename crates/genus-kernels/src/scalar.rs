//! exp, log1p and what is made of them, without branches, so that loops over them vectorise.
//!
//! Error bounds against `f64`, tested over the whole range in `tests`: exp 1.2e-7 relative (results below 2^-126 flush to 0),
//! ln and ln_1p 2.5e-7 relative, the latter for arguments in \[0, ∞), sine and cosine 2e-7 absolute, sigmoid and tanh 3e-7
//! absolute, softplus 3e-7 relative above −80.

/// Added to a number below 2^22, 1.5 * 2^23 leaves its nearest integer in the low bits: rounding without a conversion, whose
/// saturation would keep loops from vectorising.
const ROUND: f32 = 12_582_912.0;

/// e^x = y 2^n with y in \[0.7, 1.5\]: (y, n), for |x| < 2^21.
#[inline(always)]
fn exp_parts(x: f32) -> (f32, i32) {
    const LN2_HI: f32 = 0.693_359_4;
    const LN2_LO: f32 = -2.121_944_4e-4;
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    // x = n ln 2 + r with |r| ≤ ln 2 / 2; ln 2 in two parts keeps r exact to the last bit.
    let r = (x - n * LN2_HI) - n * LN2_LO;
    // Remez polynomial of e^r of degree 6 with constant and linear coefficient 1.
    let mut p = 1.386_374_6e-3;
    p = p * r + 8.373_374e-3;
    p = p * r + 4.166_956_6e-2;
    p = p * r + 1.666_647_2e-1;
    p = p * r + 4.999_998_8e-1;
    ((p * r * r + r) + 1.0, shifted.to_bits().wrapping_sub(ROUND.to_bits()) as i32)
}

/// 2^n by the exponent bits, for n from −126 to 127.
#[inline(always)]
fn power_of_two(n: i32) -> f32 {
    f32::from_bits((n.wrapping_add(127) as u32) << 23)
}

/// e^x; 0 below −87.3, and e^88.7 above 88.7, so that it never overflows.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    let (y, n) = exp_parts(x.clamp(-87.3, 88.7));
    // In two halves because n reaches 128.
    let half = n >> 1;
    let y = y * power_of_two(half) * power_of_two(n - half);
    if x < -87.3 { 0.0 } else { y }
}

/// ln u and a correction `c` to it, for finite u > 0 that is not subnormal.
#[inline(always)]
fn ln_and(u: f32, c: f32) -> f32 {
    // u = 2^e m with m in [√½, √2).
    let bits = u.to_bits();
    let e = (bits.wrapping_sub(0x3f35_04f3) as i32) >> 23;
    let m = f32::from_bits(bits.wrapping_sub((e as u32) << 23));
    let e = e as f32;
    // ln m = 2 artanh(s), s = (m − 1)/(m + 1).
    let f = m - 1.0;
    let s = f / (2.0 + f);
    let z = s * s;
    let t = z * (0.666_666_6 + z * (0.400_009_7 + z * (0.284_987_87 + z * 0.242_790_8)));
    let half = 0.5 * f * f;
    let lo = e * 9.058_001e-6 + c;
    e * 0.693_138_1 + (f - (half - s * (half + t)) + lo)
}

/// ln u for finite u > 0 that is not subnormal.
#[inline(always)]
pub fn ln(u: f32) -> f32 {
    ln_and(u, 0.0)
}

/// ln(1 + x) for x ≥ 0.
#[inline(always)]
pub fn ln_1p(x: f32) -> f32 {
    // 1 + x = u; the rounding error of the sum comes back as c/u.
    let u = 1.0 + x;
    let c = if x < 1.0 { x - (u - 1.0) } else { 1.0 - (u - x) };
    let y = ln_and(u, c / u);
    if x < f32::INFINITY { y } else { x }
}

/// Sine and cosine of 2πt, for t in \[0, 1\].
#[inline(always)]
pub fn sin_cos_turns(t: f32) -> (f32, f32) {
    // Quarters of a turn, and what is left: at most an eighth to either side, exactly.
    let shifted = 4.0 * t + ROUND;
    let quarter = shifted.to_bits().wrapping_sub(ROUND.to_bits());
    let x = (4.0 * t - (shifted - ROUND)) * std::f32::consts::FRAC_PI_2;
    let z = x * x;
    let sin = x + x * z * (-1.666_665_4e-1 + z * (8.332_161e-3 - z * 1.951_529_6e-4));
    let cos = 1.0 - 0.5 * z + z * z * (4.166_664_6e-2 + z * (-1.388_731_6e-3 + z * 2.443_316e-5));
    // Odd quarters exchange the two; signs go + + − − and + − − +.
    let (s, c) = if quarter & 1 == 0 { (sin, cos) } else { (cos, sin) };
    let sign = |v: f32, half: u32| f32::from_bits(v.to_bits() ^ (half & 2) << 30);
    (sign(s, quarter), sign(c, quarter + 1))
}

/// 1 / (1 + e^−x).
#[inline(always)]
pub fn sigmoid(x: f32) -> f32 {
    let (y, n) = exp_parts((-x).clamp(-87.3, 87.3));
    1.0 / (1.0 + y * power_of_two(n))
}

/// The hyperbolic tangent.
#[inline(always)]
pub fn tanh(x: f32) -> f32 {
    // Near 0 the quotient cancels; there an odd polynomial is exact enough.
    let a = x.abs();
    let e = exp(-2.0 * a);
    let big = (1.0 - e) / (1.0 + e);
    let z = x * x;
    let small = a * (1.0 + z * (-0.333_333_3 + z * (0.133_333_3 + z * (-0.053_968_254 + z * 0.021_869_49))));
    let y = if a < 0.25 { small } else { big };
    y.copysign(x)
}

/// ln(1 + e^x).
#[inline(always)]
pub fn softplus(x: f32) -> f32 {
    x.max(0.0) + ln_1p(exp(-x.abs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every 1009th float, both signs.
    fn sweep(mut f: impl FnMut(f32)) {
        let mut bits = 0u32;
        while bits < 0x7f80_0000 {
            f(f32::from_bits(bits));
            f(-f32::from_bits(bits));
            bits += 1009;
        }
    }

    fn worst(name: &str, bound: f64, error: impl Fn(f32) -> f64) {
        let (mut top, mut at) = (0.0, 0.0);
        sweep(|x| {
            let e = error(x);
            if e > top || e.is_nan() {
                (top, at) = (e, x);
            }
        });
        assert!(top <= bound, "{name}: error {top:e} at {at:e}, bound {bound:e}");
    }

    #[test]
    fn errors_over_the_whole_range() {
        worst("exp", 1.2e-7, |x| {
            let want = f64::from(x).exp();
            if (-87.3..=88.7).contains(&x) { (f64::from(exp(x)) / want - 1.0).abs() } else { 0.0 }
        });
        worst("ln_1p", 2.5e-7, |x| {
            let want = f64::from(x).ln_1p();
            if x > 0.0 { (f64::from(ln_1p(x)) / want - 1.0).abs() } else { 0.0 }
        });
        worst("ln", 2.5e-7, |x| {
            let want = f64::from(x).ln();
            if x >= f32::MIN_POSITIVE && x != 1.0 { (f64::from(ln(x)) / want - 1.0).abs() } else { 0.0 }
        });
        let turn = |x: f32| f64::from(x) * std::f64::consts::TAU;
        worst("sin", 2e-7, |x| {
            if (0.0..=1.0).contains(&x) { (f64::from(sin_cos_turns(x).0) - turn(x).sin()).abs() } else { 0.0 }
        });
        worst("cos", 2e-7, |x| {
            if (0.0..=1.0).contains(&x) { (f64::from(sin_cos_turns(x).1) - turn(x).cos()).abs() } else { 0.0 }
        });
        worst("sigmoid", 3e-7, |x| (f64::from(sigmoid(x)) - 1.0 / (1.0 + (-f64::from(x)).exp())).abs());
        worst("tanh", 3e-7, |x| (f64::from(tanh(x)) - f64::from(x).tanh()).abs());
        worst("softplus", 3e-7, |x| {
            let x64 = f64::from(x);
            let want = x64.max(0.0) + (-x64.abs()).exp().ln_1p();
            if x > -80.0 { (f64::from(softplus(x)) / want - 1.0).abs() } else { 0.0 }
        });
    }

    #[test]
    fn ends_of_the_range() {
        assert_eq!(exp(-1e30), 0.0);
        assert_eq!(exp(f32::NEG_INFINITY), 0.0);
        assert!(exp(1e30).is_finite());
        assert_eq!(ln_1p(0.0), 0.0);
        assert_eq!(softplus(1e30), 1e30);
        assert_eq!(tanh(f32::INFINITY), 1.0);
        assert_eq!(sigmoid(f32::NEG_INFINITY), 1.0 / (1.0 + exp(87.3)));
        // A NaN must stay one: swallowed, it would become a finite likelihood.
        for f in [exp, sigmoid, tanh, softplus] {
            assert!(f(f32::NAN).is_nan());
        }
    }
}
