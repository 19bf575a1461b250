//! The bumps, as functions of the distance u in units of the bandwidth, and the sum over rows.

use genus_core::math::{LN_2PI, log_sum_exp};
use genus_core::{Batch, Result, Rng, Stop};
use genus_kernels::{Limits, Mat, gemm, row_products};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// Shape of the bumps, all of which depend on the distance alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kernel {
    /// N(0, h² I).
    #[default]
    Gaussian,
    /// Proportional to 1 − u² within the ball of radius h.
    Epanechnikov,
    /// Uniform in the ball of radius h.
    Tophat,
}

/// log of the volume of the unit ball in `d` dimensions.
fn log_ball(d: f64) -> f64 {
    0.5 * d * libm::log(std::f64::consts::PI) - libm::lgamma(0.5 * d + 1.0)
}

impl Kernel {
    /// log of what integrates to 1 with a bandwidth of 1, in `d` dimensions, where the bump is 1 in its middle.
    fn log_norm(self, d: f64) -> f64 {
        match self {
            Self::Gaussian => -0.5 * d * LN_2PI,
            // ∫ 1 − u² over the ball is its volume times 2/(d + 2).
            Self::Epanechnikov => libm::log(0.5 * d + 1.0) - log_ball(d),
            Self::Tophat => -log_ball(d),
        }
    }

    /// log of the bump at a squared distance in units of the bandwidth, 0 in its middle.
    pub fn log_at(self, square: f64) -> f64 {
        match self {
            Self::Gaussian => -0.5 * square,
            Self::Epanechnikov if square < 1.0 => libm::log1p(-square),
            Self::Tophat if square < 1.0 => 0.0,
            _ => f64::NEG_INFINITY,
        }
    }

    /// Of a bump in some columns, at a squared distance in the others in units of the bandwidth: log of the mass that is left there up to a
    /// constant, and the width of the same bump that it is, in units of the bandwidth.
    pub fn section(self, square: f64, columns: usize) -> (f64, f64) {
        let half = 0.5 * columns as f64;
        match self {
            Self::Gaussian => (-0.5 * square, 1.0),
            _ if square >= 1.0 => (f64::NEG_INFINITY, 0.0),
            // A ball of radius √(1 − u²); of the paraboloid, one that is lower by as much.
            Self::Tophat => (half * libm::log1p(-square), (1.0 - square).sqrt()),
            Self::Epanechnikov => ((half + 1.0) * libm::log1p(-square), (1.0 - square).sqrt()),
        }
    }

    /// log K_h in the middle, nats.
    pub fn log_peak(self, d: usize, h: f64) -> f64 {
        self.log_norm(d as f64) - d as f64 * libm::log(h)
    }

    /// Adds a draw of the bump with bandwidth `h` to a row.
    pub fn disturb(self, row: &mut [f32], h: f64, rng: &mut Rng) {
        if self == Self::Gaussian {
            row.iter_mut().for_each(|v| *v = (f64::from(*v) + h * rng.normal()) as f32);
            return;
        }
        // Uniform in a ball; two further dimensions that nobody looks at make 1 − u² of it.
        let more = if self == Self::Epanechnikov { 2 } else { 0 };
        let way: Vec<f64> = (0..row.len() + more).map(|_| rng.normal()).collect();
        let size = way.iter().map(|v| v * v).sum::<f64>().sqrt();
        let radius = h * libm::pow(rng.uniform_f64(), 1.0 / way.len() as f64) / size;
        row.iter_mut().zip(way).for_each(|(v, w)| *v = (f64::from(*v) + radius * w) as f32);
    }
}

/// Columns up to which distances are taken from differences, in double precision.
const DIRECT: usize = 16;
/// Pairs of a block.
const BLOCK: usize = 1 << 22;
/// Nats below the largest term from which on the rounding of a term no longer shows.
const FAR: f64 = 20.0;

/// Rows around 0 that bumps stand on, and what finds those near others quickly.
#[derive(Debug, Clone)]
pub struct Ground {
    pub rows: Batch,
    /// Of few columns.
    leaves: Option<Leaves>,
    /// Σ x² of each row, of many.
    squares: Vec<f32>,
}

impl Ground {
    pub fn new(rows: Batch) -> Self {
        let few = rows.width() <= DIRECT;
        let square = |r: &[f32]| row_products(r, r)[0] as f32;
        let squares = if few { Vec::new() } else { rows.iter().map(square).collect() };
        Self { leaves: few.then(|| Leaves::new(&rows)), squares, rows }
    }

    /// What `of` makes of the squared distances of each row to all of these; `exactly(j)` is one of them without the rounding of a product.
    ///
    /// # Errors
    /// [`Error::Stopped`](genus_core::Error::Stopped).
    pub fn each<T: Send>(
        &self,
        x: &Batch,
        of: impl Fn(usize, &[f32], &dyn Fn(usize) -> f64) -> T + Sync,
    ) -> Result<Vec<T>> {
        let (n, d, stop) = (self.rows.rows(), self.rows.width(), Stop::current());
        let exactly = |row: &[f32], j: usize| {
            row.iter()
                .zip(self.rows.row(j))
                .map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2))
                .sum::<f64>()
        };
        let mut all = Vec::with_capacity(x.rows());
        let size = (BLOCK / n.max(1)).max(1);
        for start in (0..x.rows()).step_by(size) {
            stop.check()?;
            let some = x.slice(start, start + size);
            let mut block = vec![0f32; some.rows() * n];
            if d > DIRECT {
                let (a, b) = (Mat::rows(some.data(), d), Mat::rows(self.rows.data(), d).t());
                gemm(some.rows(), n, d, a, b, &mut block, false, Limits::Dense);
            }
            let rows = block.par_chunks_exact_mut(n).enumerate().map(|(r, to)| {
                let row = some.row(r);
                if d > DIRECT {
                    let own = row_products(row, row)[0] as f32;
                    to.iter_mut().zip(&self.squares).for_each(|(v, b)| *v = (own + b - 2.0 * *v).max(0.0));
                } else {
                    to.iter_mut().enumerate().for_each(|(j, v)| *v = exactly(row, j) as f32);
                }
                of(start + r, to, &|j| exactly(row, j))
            });
            all.par_extend(rows);
        }
        Ok(all)
    }

    /// log (1/n) Σ_j K_h(|x − x_j|) of each row, nats.
    ///
    /// # Errors
    /// As [`each`](Self::each).
    pub fn log_prob(&self, x: &Batch, kernel: Kernel, h: f64) -> Result<Vec<f64>> {
        let (n, d) = (self.rows.rows(), self.rows.width());
        let scale = 1.0 / (h * h);
        let peak = kernel.log_peak(d, h) - libm::log(n as f64);
        if let Some(leaves) = &self.leaves {
            let mut nats = Vec::with_capacity(x.rows());
            genus_core::stop::paced(x.rows(), |rows| {
                nats.par_extend(rows.into_par_iter().map(|r| peak + leaves.log_sum(x.row(r), kernel, scale)));
                Ok(())
            })?;
            return Ok(nats);
        }
        self.each(x, |_, to, exactly| {
            let term = |square: f64| kernel.log_at(square * scale);
            let most = to.iter().map(|v| term(f64::from(*v))).fold(f64::NEG_INFINITY, f64::max);
            // A bump with an edge is looked at exactly where rounding might have left a row outside.
            let near = |v: f64| kernel != Kernel::Gaussian && v * scale < 1.01 || term(v) > most - FAR;
            let terms = to.iter().enumerate().map(|(j, v)| {
                let v = f64::from(*v);
                if near(v) { term(exactly(j)) } else { term(v) }
            });
            peak + log_sum_exp(terms)
        })
    }
}

/// Rows of a leaf.
const LEAF: usize = 64;
/// Nats below the sum so far from which on a whole leaf is left out: all that are together change it by less than rounding.
const NOTHING: f64 = 40.0;

/// Rows of few columns in boxes, those in a box together (the leaves of a k-d tree).
#[derive(Debug, Clone)]
struct Leaves {
    /// The rows, box by box.
    rows: Vec<f32>,
    width: usize,
    /// Where each begins and ends, and its least and largest values.
    boxes: Vec<(usize, usize, Vec<f32>, Vec<f32>)>,
}

impl Leaves {
    fn new(x: &Batch) -> Self {
        let mut order: Vec<usize> = (0..x.rows()).collect();
        let mut cut = vec![(0, x.rows())];
        let mut boxes = Vec::new();
        let ends = |rows: &[usize], of: fn(f32, f32) -> f32, from: f32| -> Vec<f32> {
            (0..x.width()).map(|c| rows.iter().map(|r| x.row(*r)[c]).fold(from, of)).collect()
        };
        while let Some((start, end)) = cut.pop() {
            let rows = &mut order[start..end];
            let (low, high) = (ends(rows, f32::min, f32::INFINITY), ends(rows, f32::max, f32::NEG_INFINITY));
            let wide = |c: usize| high[c] - low[c];
            let widest = (0..x.width()).fold(0, |best, c| if wide(c) > wide(best) { c } else { best });
            if rows.len() <= LEAF || wide(widest) <= 0.0 {
                boxes.push((start, end, low, high));
                continue;
            }
            let half = rows.len() / 2;
            rows.select_nth_unstable_by(half, |a, b| x.row(*a)[widest].total_cmp(&x.row(*b)[widest]));
            cut.extend([(start, start + half), (start + half, end)]);
        }
        let rows = order.iter().flat_map(|r| x.row(*r).to_vec()).collect();
        Self { rows, width: x.width(), boxes }
    }

    /// log Σ K over all rows, up to the height of the bumps, with `scale` = 1/h².
    fn log_sum(&self, x: &[f32], kernel: Kernel, scale: f64) -> f64 {
        let square =
            |a: &[f32]| x.iter().zip(a).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum::<f64>();
        let mut near: Vec<(f64, usize)> = self
            .boxes
            .iter()
            .enumerate()
            .map(|(i, (_, _, low, high))| {
                let gap = |c: usize| f64::from((low[c] - x[c]).max(x[c] - high[c]).max(0.0));
                ((0..self.width).map(|c| gap(c).powi(2)).sum::<f64>(), i)
            })
            .collect();
        near.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
        let (mut most, mut sum) = (f64::NEG_INFINITY, 0f64);
        for (gap, i) in near {
            let (start, end, ..) = &self.boxes[i];
            let best = kernel.log_at(gap * scale);
            // Boxes come by distance: all that follow are as far at least.
            if best == f64::NEG_INFINITY || best < most + libm::log(sum.max(1e-300)) - NOTHING {
                break;
            }
            for row in self.rows[start * self.width..end * self.width].chunks_exact(self.width) {
                let term = kernel.log_at(square(row) * scale);
                if term > most {
                    sum = sum * libm::exp(most - term) + 1.0;
                    most = term;
                } else if term > f64::NEG_INFINITY {
                    sum += libm::exp(term - most);
                }
            }
        }
        if sum > 0.0 { most + libm::log(sum) } else { f64::NEG_INFINITY }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use genus_core::Seed;

    /// Every bump has mass 1, and draws have its law: the mean square of their distance is that of the density.
    #[test]
    fn bumps_integrate_to_one_and_are_drawn() {
        let middle = Batch::zeros(1, 2);
        let ground = Ground::new(middle.clone());
        let (h, steps) = (0.7, 700);
        for kernel in [Kernel::Gaussian, Kernel::Epanechnikov, Kernel::Tophat] {
            let grid = Batch::from_fn(steps * steps, 2, |r, c| {
                let at = if c == 0 { r / steps } else { r % steps };
                (at as f32 + 0.5) * 0.01 - 3.5
            });
            let nats = ground.log_prob(&grid, kernel, h).unwrap();
            let mass: f64 = nats.iter().map(|v| v.exp() * 1e-4).sum();
            assert!((mass - 1.0).abs() < 2e-3, "{kernel:?}: {mass}");
            let square = |r: &[f32]| r.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>();
            let want: f64 = grid.iter().zip(&nats).map(|(r, v)| v.exp() * 1e-4 * square(r)).sum();
            let mut rng = Seed::from(2).rng();
            let n = 20_000;
            let found = (0..n).map(|_| {
                let mut row = [0f32; 2];
                kernel.disturb(&mut row, h, &mut rng);
                square(&row)
            });
            let found = found.sum::<f64>() / f64::from(n);
            // The standard error is at most that of a normal's square, 1 % here: five of them (false alarm 6e-7).
            assert!((found / want - 1.0).abs() < 0.04, "{kernel:?}: {found} {want}");
        }
    }

    /// Leaving far leaves out changes nothing.
    #[test]
    fn leaves_give_the_whole_sum() {
        let mut rng = Seed::from(4).rng();
        let x = Batch::from_fn(3000, 3, |r, _| (r % 5) as f32 + rng.normal() as f32);
        let y = Batch::from_fn(50, 3, |r, _| 0.3 * r as f32 + rng.normal() as f32);
        for (kernel, h) in [
            (Kernel::Gaussian, 0.05),
            (Kernel::Gaussian, 1.0),
            (Kernel::Epanechnikov, 0.9),
            (Kernel::Tophat, 0.6),
        ] {
            let found = Ground::new(x.clone()).log_prob(&y, kernel, h).unwrap();
            for (row, got) in y.iter().zip(found) {
                let square = |b: &[f32]| {
                    row.iter().zip(b).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum::<f64>()
                };
                let terms = x.iter().map(|b| kernel.log_at(square(b) / (h * h)));
                let want = log_sum_exp(terms) - 3000f64.ln() + kernel.log_peak(3, h);
                let same = got == want || (got - want).abs() < 1e-9 * (1.0 + want.abs());
                assert!(same, "{kernel:?} {h}: {got} {want}");
            }
        }
    }

    /// Products and differences give the same scores, far from 0 and for bumps that are narrow.
    #[test]
    fn products_lose_nothing() {
        let mut rng = Seed::from(3).rng();
        let x = Batch::from_fn(300, 40, |_, _| (3.0 * rng.normal()) as f32);
        let y = Batch::from_fn(20, 40, |r, c| x.row(r)[c] + 1e-3 * (c as f32 - 20.0));
        for h in [0.05, 2.0] {
            let found = Ground::new(x.clone()).log_prob(&y, Kernel::Gaussian, h).unwrap();
            for (row, got) in y.iter().zip(found) {
                let square =
                    |b: &[f32]| row.iter().zip(b).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>();
                let terms = x.iter().map(|b| -0.5 * square(b) / (h * h));
                let want = log_sum_exp(terms) - 300f64.ln() + Kernel::Gaussian.log_peak(40, h);
                assert!((got - want).abs() < 1e-4 * (1.0 + want.abs()), "{h}: {got} {want}");
            }
        }
    }
}
