//! Register tiles of the matrix product for each instruction set: C = D + A·B for a few rows of A and one packed panel of B.

use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

/// How A and the columns of B lie in memory: the rows of A, and the shared axis as stretches of equal length, such as the lines of
/// an image.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Walk {
    /// Number of stretches.
    pub lines: usize,
    /// Length of a stretch.
    pub steps: usize,
    /// From a row to the next.
    pub row: usize,
    /// From a step to the next.
    pub col: usize,
    /// From the start of a stretch to that of the next.
    pub line: usize,
    /// From a step to the next, and from the start of a stretch to that of the next, in B.
    pub b: [usize; 2],
}

impl Walk {
    /// A single stretch; B is a panel of this width.
    pub fn straight(steps: usize, row: usize, col: usize, panel: usize) -> Self {
        Self { lines: 1, steps, row, col, line: 0, b: [panel, 0] }
    }

    /// Length of the shared axis.
    pub fn length(&self) -> usize {
        self.lines * self.steps
    }
}

/// C\[height, width\] = D + A·B, the sum over the shared axis taken in order.
///
/// Arguments: how A and B lie; A; B, of which every step must hold the full width of a panel; D with its row stride, which is 0
/// where one row serves all; C with its row stride; the number of columns of C and D that there are.
///
/// # Safety
/// A, B, C and D must hold all of that; rows of C must not overlap; C and D may be the same; the processor must have the
/// instruction set.
pub(crate) type Kernel =
    unsafe fn(Walk, *const f32, *const f32, (*const f32, usize), (*mut f32, usize), usize);

/// The tiles of one instruction set.
pub(crate) struct Isa {
    /// Columns of a panel.
    pub panel: usize,
    /// Most rows of a tile.
    pub height: usize,
    /// One kernel for each number of rows from 1.
    pub kernels: &'static [Kernel],
}

/// An instruction set that there is code for; each has those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Set {
    /// What the target has anyway.
    Portable = 1,
    /// AVX2 with fused multiply-add.
    Avx2,
    /// The parts of AVX-512 that are used here, and AVX2 with fused multiply-add.
    Avx512,
}

/// All of them, with the names that `GENUS_ISA` gives them.
const SETS: [(&str, Set); 3] = [("portable", Set::Portable), ("avx2", Set::Avx2), ("avx512", Set::Avx512)];

/// The one that is used: what `GENUS_ISA` says, or else the best that this processor has. Panics if it says what is not there:
/// whoever forces an instruction set wants to know that it ran.
#[inline(always)]
pub(crate) fn set() -> Set {
    // The set as a number, or 0 before it is known. Kernels ask for each row, which must cost no more than a load.
    static SET: AtomicU8 = AtomicU8::new(0);
    #[cold]
    fn choose() -> Set {
        let best = best();
        let set = std::env::var_os("GENUS_ISA").map_or(best, |name| named(&name.to_string_lossy(), best));
        SET.store(set as u8, Relaxed);
        set
    }
    match SET.load(Relaxed) {
        0 => choose(),
        1 => Set::Portable,
        2 => Set::Avx2,
        _ => Set::Avx512,
    }
}

fn named(name: &str, best: Set) -> Set {
    let there = || SETS.into_iter().filter(|(_, set)| *set <= best);
    there().find(|(n, _)| *n == name).map_or_else(
        || {
            let there: Vec<&str> = there().map(|(n, _)| n).collect();
            panic!("GENUS_ISA is {name:?}, but this processor has: {}", there.join(", "))
        },
        |(_, set)| set,
    )
}

/// The best that this processor has.
fn best() -> Set {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::is_x86_feature_detected;
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            return if is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512vl")
            {
                Set::Avx512
            } else {
                Set::Avx2
            };
        }
    }
    Set::Portable
}

/// The tiles that are used.
pub(crate) fn isa() -> &'static Isa {
    match set() {
        #[cfg(target_arch = "x86_64")]
        Set::Avx512 => &x86::AVX512,
        #[cfg(target_arch = "x86_64")]
        Set::Avx2 => &x86::AVX2,
        _ => &PORTABLE,
    }
}

/// For a single column of B: dot products along the shared axis, whose steps must be adjacent in A.
pub(crate) fn narrow() -> &'static Isa {
    #[cfg(target_arch = "x86_64")]
    if set() >= Set::Avx2 {
        return &x86::NARROW;
    }
    &NARROW
}

/// Those with fused multiply-adds that this processor has, whatever is forced.
#[cfg(test)]
pub(crate) fn fused() -> Vec<&'static Isa> {
    let mut found = Vec::new();
    #[cfg(target_arch = "x86_64")]
    {
        if best() >= Set::Avx512 {
            found.push(&x86::AVX512);
        }
        if best() >= Set::Avx2 {
            found.push(&x86::AVX2);
        }
    }
    found
}

/// For every other processor; the compiler vectorises it with what the target has.
pub(crate) static PORTABLE: Isa =
    Isa { panel: 16, height: 4, kernels: &[portable::<1>, portable::<2>, portable::<3>, portable::<4>] };

unsafe fn portable<const H: usize>(
    walk: Walk,
    a: *const f32,
    b: *const f32,
    (d, d_row): (*const f32, usize),
    (c, c_row): (*mut f32, usize),
    width: usize,
) {
    let mut acc = [[0.0f32; 16]; H];
    // SAFETY: as the caller promises.
    unsafe {
        for line in 0..walk.lines {
            for l in 0..walk.steps {
                let panel = &*b.add(line * walk.b[1] + l * walk.b[0]).cast::<[f32; 16]>();
                for (r, acc) in acc.iter_mut().enumerate() {
                    let x = *a.add(r * walk.row + line * walk.line + l * walk.col);
                    acc.iter_mut().zip(panel).for_each(|(s, y)| *s += x * y);
                }
            }
        }
        for (r, acc) in acc.iter().enumerate() {
            for (j, v) in acc.iter().enumerate().take(width) {
                *c.add(r * c_row + j) = *d.add(r * d_row + j) + v;
            }
        }
    }
}

static NARROW: Isa = Isa {
    panel: 1,
    height: 6,
    kernels: &[
        dots::<1, false>,
        dots::<2, false>,
        dots::<3, false>,
        dots::<4, false>,
        dots::<5, false>,
        dots::<6, false>,
    ],
};

/// C\[i\] = D\[i\] + Σ A\[i, l\] b\[l\] in eight running sums.
#[inline(always)]
unsafe fn dots<const H: usize, const FMA: bool>(
    walk: Walk,
    mut a: *const f32,
    mut b: *const f32,
    (d, d_row): (*const f32, usize),
    (c, c_row): (*mut f32, usize),
    _: usize,
) {
    debug_assert!((walk.col == 1 && walk.b[0] == 1) || walk.steps == 1, "steps are adjacent");
    let product = |s: f32, x: f32, y: f32| if FMA { x.mul_add(y, s) } else { s + x * y };
    let (mut acc, mut tail) = ([[0.0f32; 8]; H], [0.0f32; H]);
    let whole = walk.steps / 8 * 8;
    // SAFETY: as the caller promises.
    unsafe {
        for _ in 0..walk.lines {
            for l in (0..whole).step_by(8) {
                let b = &*b.add(l).cast::<[f32; 8]>();
                for (r, acc) in acc.iter_mut().enumerate() {
                    let a = &*a.add(r * walk.row + l).cast::<[f32; 8]>();
                    for i in 0..8 {
                        acc[i] = product(acc[i], a[i], b[i]);
                    }
                }
            }
            for l in whole..walk.steps {
                for (r, tail) in tail.iter_mut().enumerate() {
                    *tail = product(*tail, *a.add(r * walk.row + l), *b.add(l));
                }
            }
            a = a.wrapping_add(walk.line);
            b = b.wrapping_add(walk.b[1]);
        }
        for (r, (acc, tail)) in acc.iter().zip(tail).enumerate() {
            let half: [f32; 4] = std::array::from_fn(|i| acc[i] + acc[i + 4]);
            *c.add(r * c_row) = *d.add(r * d_row) + ((half[0] + half[2]) + (half[1] + half[3]) + tail);
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{Isa, Kernel, Walk, dots};
    use std::arch::x86_64::*;

    /// 28 sums, two vectors of B and one of A: 31 of 32 registers.
    pub static AVX512: Isa = Isa {
        panel: 32,
        height: 14,
        kernels: &[
            avx512::<1> as Kernel,
            avx512::<2>,
            avx512::<3>,
            avx512::<4>,
            avx512::<5>,
            avx512::<6>,
            avx512::<7>,
            avx512::<8>,
            avx512::<9>,
            avx512::<10>,
            avx512::<11>,
            avx512::<12>,
            avx512::<13>,
            avx512::<14>,
        ],
    };

    /// 12 sums, two vectors of B and one of A: 15 of 16 registers.
    pub static AVX2: Isa = Isa {
        panel: 16,
        height: 6,
        kernels: &[avx2::<1> as Kernel, avx2::<2>, avx2::<3>, avx2::<4>, avx2::<5>, avx2::<6>],
    };

    pub static NARROW: Isa = Isa {
        panel: 1,
        height: 6,
        kernels: &[narrow::<1> as Kernel, narrow::<2>, narrow::<3>, narrow::<4>, narrow::<5>, narrow::<6>],
    };

    #[target_feature(enable = "avx2,fma")]
    unsafe fn narrow<const H: usize>(
        walk: Walk,
        a: *const f32,
        b: *const f32,
        d: (*const f32, usize),
        c: (*mut f32, usize),
        width: usize,
    ) {
        // SAFETY: as the caller promises.
        unsafe { dots::<H, true>(walk, a, b, d, c, width) }
    }

    #[target_feature(enable = "avx512f")]
    unsafe fn avx512<const H: usize>(
        walk: Walk,
        mut a_line: *const f32,
        mut b_line: *const f32,
        (d, d_row): (*const f32, usize),
        (c, c_row): (*mut f32, usize),
        width: usize,
    ) {
        // SAFETY: as the caller promises; columns beyond `width` are masked away.
        unsafe {
            let mut acc = [[_mm512_setzero_ps(); 2]; H];
            for _ in 0..walk.lines {
                let (mut a, mut b) = (a_line, b_line);
                for _ in 0..walk.steps {
                    let (b0, b1) = (_mm512_loadu_ps(b), _mm512_loadu_ps(b.add(16)));
                    for (r, [lo, hi]) in acc.iter_mut().enumerate() {
                        let x = _mm512_set1_ps(*a.add(r * walk.row));
                        *lo = _mm512_fmadd_ps(x, b0, *lo);
                        *hi = _mm512_fmadd_ps(x, b1, *hi);
                    }
                    a = a.wrapping_add(walk.col);
                    b = b.wrapping_add(walk.b[0]);
                }
                a_line = a_line.wrapping_add(walk.line);
                b_line = b_line.wrapping_add(walk.b[1]);
            }
            let mask = |from: usize| {
                let n = width.saturating_sub(from).min(16);
                if n == 16 { !0 } else { (1u16 << n) - 1 }
            };
            let (m0, m1) = (mask(0), mask(16));
            for (r, [lo, hi]) in acc.iter().enumerate() {
                let (from, to) = (d.add(r * d_row), c.add(r * c_row));
                _mm512_mask_storeu_ps(to, m0, _mm512_add_ps(_mm512_maskz_loadu_ps(m0, from), *lo));
                if m1 != 0 {
                    let (from, to) = (from.add(16), to.add(16));
                    _mm512_mask_storeu_ps(to, m1, _mm512_add_ps(_mm512_maskz_loadu_ps(m1, from), *hi));
                }
            }
        }
    }

    #[target_feature(enable = "avx2,fma")]
    unsafe fn avx2<const H: usize>(
        walk: Walk,
        mut a_line: *const f32,
        mut b_line: *const f32,
        (d, d_row): (*const f32, usize),
        (c, c_row): (*mut f32, usize),
        width: usize,
    ) {
        // SAFETY: as the caller promises; columns beyond `width` take the way over a buffer.
        unsafe {
            let mut acc = [[_mm256_setzero_ps(); 2]; H];
            for _ in 0..walk.lines {
                let (mut a, mut b) = (a_line, b_line);
                for _ in 0..walk.steps {
                    let (b0, b1) = (_mm256_loadu_ps(b), _mm256_loadu_ps(b.add(8)));
                    for (r, [lo, hi]) in acc.iter_mut().enumerate() {
                        let x = _mm256_broadcast_ss(&*a.add(r * walk.row));
                        *lo = _mm256_fmadd_ps(x, b0, *lo);
                        *hi = _mm256_fmadd_ps(x, b1, *hi);
                    }
                    a = a.wrapping_add(walk.col);
                    b = b.wrapping_add(walk.b[0]);
                }
                a_line = a_line.wrapping_add(walk.line);
                b_line = b_line.wrapping_add(walk.b[1]);
            }
            for (r, [lo, hi]) in acc.iter().enumerate() {
                let (from, to) = (d.add(r * d_row), c.add(r * c_row));
                if width == 16 {
                    _mm256_storeu_ps(to, _mm256_add_ps(_mm256_loadu_ps(from), *lo));
                    _mm256_storeu_ps(to.add(8), _mm256_add_ps(_mm256_loadu_ps(from.add(8)), *hi));
                } else {
                    let mut row = [0.0f32; 16];
                    _mm256_storeu_ps(row.as_mut_ptr(), *lo);
                    _mm256_storeu_ps(row.as_mut_ptr().add(8), *hi);
                    row.iter().enumerate().take(width).for_each(|(j, v)| *to.add(j) = *from.add(j) + v);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::catch_unwind;

    #[test]
    fn a_set_is_named_or_refused() {
        assert_eq!(named("portable", Set::Portable), Set::Portable);
        assert_eq!(named("avx2", Set::Avx512), Set::Avx2);
        assert_eq!(named("avx512", Set::Avx512), Set::Avx512);
        for (name, best, there) in [
            ("avx512", Set::Avx2, "portable, avx2"),
            ("neon", Set::Portable, "portable"),
            ("", Set::Avx512, "portable, avx2, avx512"),
        ] {
            let panic = catch_unwind(|| named(name, best)).unwrap_err();
            let want = format!("GENUS_ISA is {name:?}, but this processor has: {there}");
            assert_eq!(panic.downcast_ref::<String>(), Some(&want));
        }
    }

    /// The set that is forced is the one that runs.
    #[test]
    fn the_forced_set_runs() {
        let forced = std::env::var("GENUS_ISA").map_or(best(), |name| named(&name, best()));
        assert_eq!(set(), forced);
        assert_eq!([isa().panel, isa().height], [[16, 4], [16, 6], [32, 14]][forced as usize - 1]);
    }
}
