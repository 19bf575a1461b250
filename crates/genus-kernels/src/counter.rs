//! Random numbers by counter: the number at an index depends on key, stream and index alone, so that any thread may draw any part
//! of a stream. Philox4x32 with 10 rounds (Salmon, Moraes, Dror & Shaw 2011).

use crate::{multiversion, scalar};
use std::mem::MaybeUninit;

/// Blocks side by side: four words of each make 64 numbers.
const LANES: usize = 16;
/// Numbers of a group.
const GROUP: usize = 4 * LANES;

/// A stream of uniform numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stream {
    /// The key: which generator.
    pub key: u64,
    /// Which stream of it.
    pub stream: u64,
}

type Lanes = [u32; LANES];

/// Ten rounds over blocks `first`, `first + 1`, …
#[inline(always)]
#[expect(clippy::needless_range_loop, reason = "lane by lane over several arrays: the form that vectorises")]
fn philox(of: Stream, first: u64) -> [Lanes; 4] {
    let mut c = [[0u32; LANES]; 4];
    for l in 0..LANES {
        let block = first.wrapping_add(l as u64);
        (c[0][l], c[1][l]) = (block as u32, (block >> 32) as u32);
        (c[2][l], c[3][l]) = (of.stream as u32, (of.stream >> 32) as u32);
    }
    let (mut k0, mut k1) = (of.key as u32, (of.key >> 32) as u32);
    for _ in 0..10 {
        for l in 0..LANES {
            let a = u64::from(c[0][l]) * 0xD251_1F53;
            let b = u64::from(c[2][l]) * 0xCD9E_8D57;
            let (c1, c3) = (c[1][l], c[3][l]);
            c[0][l] = (b >> 32) as u32 ^ c1 ^ k0;
            c[1][l] = b as u32;
            c[2][l] = (a >> 32) as u32 ^ c3 ^ k1;
            c[3][l] = a as u32;
        }
        k0 = k0.wrapping_add(0x9E37_79B9);
        k1 = k1.wrapping_add(0xBB67_AE85);
    }
    c
}

multiversion! {
    /// Numbers of the group `group` of 64, uniform in \[0, 1) with 24 bits.
    fn uniforms(of: Stream, group: u64) -> [f32; GROUP] {
        let words = philox(of, group * LANES as u64);
        let mut u = [0.0; GROUP];
        for (u, words) in u.chunks_exact_mut(LANES).zip(&words) {
            for (u, w) in u.iter_mut().zip(words) {
                *u = (w >> 8) as f32 * (1.0 / 16_777_216.0);
            }
        }
        u
    }
}

multiversion! {
    /// Normal numbers of the group `group` (Box–Muller): radii of its first half, angles of its second one.
    fn normals(of: Stream, group: u64) -> [f32; GROUP] {
        let mut u = uniforms(of, group);
        let (radii, turns) = u.split_at_mut(GROUP / 2);
        for (r, t) in radii.iter_mut().zip(turns) {
            let radius = (-2.0 * scalar::ln(1.0 - *r)).sqrt();
            let (sin, cos) = scalar::sin_cos_turns(*t);
            (*r, *t) = (radius * cos, radius * sin);
        }
        u
    }
}

impl Stream {
    /// The numbers from `start`, a multiple of 64, on. Panics if it is none.
    pub fn fill(self, start: usize, out: &mut [f32]) {
        assert!(start.is_multiple_of(GROUP), "streams are cut at multiples of {GROUP}");
        for (i, chunk) in out.chunks_mut(GROUP).enumerate() {
            chunk.copy_from_slice(&uniforms(self, (start / GROUP + i) as u64)[..chunk.len()]);
        }
    }

    /// 1 where the stream's number lies below the probability, else 0; `start` as in [`fill`](Self::fill).
    /// All of `out` is written, which is as long as `p`.
    pub(crate) fn bernoulli(self, start: usize, p: &[f32], out: &mut [MaybeUninit<f32>]) {
        debug_assert!(start.is_multiple_of(GROUP));
        for (i, (p, out)) in p.chunks(GROUP).zip(out.chunks_mut(GROUP)).enumerate() {
            let u = uniforms(self, (start / GROUP + i) as u64);
            out.iter_mut().zip(p).zip(&u).for_each(|((s, p), u)| {
                s.write(f32::from(u8::from(u < p)));
            });
        }
    }

    /// Each probability becomes 1 where the stream's number lies below it, else 0; `start` as in [`fill`](Self::fill).
    pub(crate) fn decide(self, start: usize, p: &mut [f32]) {
        debug_assert!(start.is_multiple_of(GROUP));
        for (i, p) in p.chunks_mut(GROUP).enumerate() {
            let u = uniforms(self, (start / GROUP + i) as u64);
            p.iter_mut().zip(&u).for_each(|(p, u)| *p = f32::from(u8::from(*u < *p)));
        }
    }

    /// Standard normal numbers; `start` as in [`fill`](Self::fill).
    pub fn normals(self, start: usize, out: &mut [f32]) {
        assert!(start.is_multiple_of(GROUP), "streams are cut at multiples of {GROUP}");
        for (i, chunk) in out.chunks_mut(GROUP).enumerate() {
            chunk.copy_from_slice(&normals(self, (start / GROUP + i) as u64)[..chunk.len()]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mean, variance and fourth moment of 64,000 normals within five standard errors, false alarm 2e-6; parts as the whole.
    #[test]
    fn normals_are_normal() {
        let s = Stream { key: 7, stream: 3 };
        let (mut all, mut part) = (vec![0.0; 64_000], vec![0.0; 7]);
        s.normals(0, &mut all);
        s.normals(640, &mut part);
        assert_eq!(part, all[640..647]);
        let n = all.len() as f64;
        let moment = |k: i32| all.iter().map(|v| f64::from(*v).powi(k)).sum::<f64>() / n;
        assert!(moment(1).abs() < 5.0 / n.sqrt(), "{}", moment(1));
        assert!((moment(2) - 1.0).abs() < 5.0 * (2.0 / n).sqrt(), "{}", moment(2));
        assert!((moment(4) - 3.0).abs() < 5.0 * (96.0 / n).sqrt(), "{}", moment(4));
    }

    /// The known answers that the authors publish with the generator.
    #[test]
    fn known_answers() {
        let first = |key, stream, block| philox(Stream { key, stream }, block).map(|w| w[0]);
        assert_eq!(first(0, 0, 0), [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
        assert_eq!(first(u64::MAX, u64::MAX, u64::MAX), [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]);
        assert_eq!(
            first(0x299f_31d0_a409_3822, 0x0370_7344_1319_8a2e, 0x85a3_08d3_243f_6a88),
            [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]
        );
    }

    /// Mean and variance of 64,000 numbers within five standard errors, false alarm 1e-6; any part is the part of the whole.
    #[test]
    fn uniform_and_the_same_from_anywhere() {
        let s = Stream { key: 7, stream: 3 };
        let mut all = vec![0.0; 64_000];
        s.fill(0, &mut all);
        let mut part = vec![0.0; 100];
        s.fill(6400, &mut part);
        assert_eq!(part, all[6400..6500]);
        let n = all.len() as f64;
        let mean = all.iter().map(|v| f64::from(*v)).sum::<f64>() / n;
        let square = all.iter().map(|v| (f64::from(*v) - 0.5).powi(2)).sum::<f64>() / n;
        assert!((mean - 0.5).abs() < 5.0 * (1.0 / 12.0 / n).sqrt(), "{mean}");
        assert!((square - 1.0 / 12.0).abs() < 5.0 * (1.0 / 180.0 / n).sqrt(), "{square}");
        assert!(all.iter().all(|v| (0.0..1.0).contains(v)));
    }
}
