//! Sources with a known law, most of the plane: the score of a model minus the entropy is an absolute figure.
//!
//! Each source is defined so that its density can be written down. Its differential entropy, in nats, was
//! computed once by the trapezoidal rule on a grid that was refined until the digits given here stood still;
//! a test repeats that and holds it against draws.

mod checkerboard;
mod parcels;
mod pinwheel;
pub mod regression;
mod ridge;

use super::tree::BinaryTree;
use crate::math::log_mean_exp;
use crate::{
    Advice, Batch, Dataset, Domain, Error, Provenance, Result, Rng, Schema, Seed, Shape, Split, Support,
};
use rayon::prelude::*;
use ridge::Ridge;
use std::sync::OnceLock;

/// Rows of the generated splits: train, valid, test.
pub(super) const ROWS: [usize; 3] = [10_000, 2_000, 10_000];

/// The same of `tree180`, a table of few rows and many columns.
pub(super) const FEW: [usize; 3] = [1400, 300, 2000];

/// Rows of the splits of a source.
fn rows_of(name: &str) -> [usize; 3] {
    if name == "tree180" { FEW } else { ROWS }
}

/// A source with a known law.
enum Source {
    Ridge(&'static Ridge),
    Checkerboard,
    Pinwheel,
    Tree(&'static BinaryTree, Shape),
    /// A row of one of two trees by the throw of a coin, which is the label.
    TwoTrees(&'static [BinaryTree; 2]),
    /// Two columns that depend on two others and on a kind, which is the label.
    Regression,
    /// Columns of four kinds.
    Parcels,
    /// Pairs of the tree's bits, the first the heavier, as one of four levels: the same entropy.
    Pairs(&'static BinaryTree, Shape),
}

/// Names of the two-dimensional sources with their entropies in nats.
const ENTROPY: [(&str, f64); 7] = [
    ("8gaussians", 2.831_880_406_138),
    ("25gaussians", -2.013_851_151_899),
    ("checkerboard", 3.465_735_902_799_726_5),
    ("moons", 2.393_879_195_966),
    ("pinwheel", 2.320_588_485_099),
    ("spirals", 2.540_617_894),
    ("rings", 2.623_182_770_300),
];

fn image([height, width, channels]: [usize; 3]) -> Shape {
    Shape::Image { height, width, channels }
}

fn source(name: &str) -> Option<Source> {
    macro_rules! once {
        ($ty:ty, $make:expr) => {{
            static CELL: OnceLock<$ty> = OnceLock::new();
            CELL.get_or_init(|| $make)
        }};
    }
    Some(match name {
        "8gaussians" => Source::Ridge(once!(Ridge, Ridge::circle_of_points())),
        "25gaussians" => Source::Ridge(once!(Ridge, Ridge::grid_of_points())),
        "moons" => Source::Ridge(once!(Ridge, Ridge::moons())),
        "spirals" => Source::Ridge(once!(Ridge, Ridge::spirals())),
        "rings" => Source::Ridge(once!(Ridge, Ridge::rings())),
        "checkerboard" => Source::Checkerboard,
        "pinwheel" => Source::Pinwheel,
        // The tree is part of the definition, so that the entropy is a constant; the rows follow the caller's
        // seed.
        "tree8" => Source::Tree(once!(BinaryTree, BinaryTree::new(8, Seed::from(8))), Shape::Flat(8)),
        "pairs4" => Source::Pairs(once!(BinaryTree, BinaryTree::new(8, Seed::from(8))), Shape::Flat(4)),
        "grid12" => Source::Tree(once!(BinaryTree, BinaryTree::grid(3, 4, Seed::from(12))), image([3, 4, 1])),
        "shades6" => {
            Source::Pairs(once!(BinaryTree, BinaryTree::grid(2, 6, Seed::from(6))), image([2, 3, 1]))
        }
        "shades4" => {
            Source::Pairs(once!(BinaryTree, BinaryTree::grid(2, 4, Seed::from(4))), image([2, 2, 1]))
        }
        "shades16" => {
            Source::Pairs(once!(BinaryTree, BinaryTree::grid(4, 8, Seed::from(32))), image([4, 4, 1]))
        }
        "colours2" => Source::Pairs(once!(BinaryTree, BinaryTree::new(12, Seed::from(2))), image([1, 2, 3])),
        "twotrees8" => {
            Source::TwoTrees(once!([BinaryTree; 2], [8, 80].map(|s| BinaryTree::grid(2, 4, Seed::from(s)))))
        }
        "tree180" => Source::Tree(once!(BinaryTree, BinaryTree::new(180, Seed::from(180))), Shape::Flat(180)),
        "regression" => Source::Regression,
        "parcels" => Source::Parcels,
        "tree16" => Source::Tree(once!(BinaryTree, BinaryTree::new(16, Seed::from(16))), Shape::Flat(16)),
        _ => return None,
    })
}

impl Source {
    fn domain(&self) -> Domain {
        match self {
            Self::Tree(_, shape) => Domain { support: Support::Binary, shape: *shape },
            Self::TwoTrees(_) => Domain { support: Support::Binary, shape: image([2, 4, 1]) },
            Self::Pairs(_, shape) => Domain { support: Support::Discrete { levels: 4 }, shape: *shape },
            Self::Regression => Domain::real(4),
            Self::Parcels => {
                let columns = parcels::columns();
                let support = Support::Mixed(columns.into_iter().map(|c| c.kind).collect());
                Domain { support, shape: Shape::Flat(4) }
            }
            _ => Domain::real(2),
        }
    }

    /// Draws a row and gives its class, 0 where there is only one.
    fn draw(&self, rng: &mut Rng, row: &mut [f32]) -> u32 {
        let [x, y] = match self {
            Self::Ridge(r) => r.draw(rng),
            Self::Checkerboard => checkerboard::draw(rng),
            Self::Pinwheel => pinwheel::draw(rng),
            Self::Tree(t, _) => {
                t.draw(rng, row);
                return 0;
            }
            Self::TwoTrees(trees) => {
                let class = rng.below(2);
                trees[class].draw(rng, row);
                return class as u32;
            }
            Self::Regression => return regression::draw(rng, row),
            Self::Parcels => {
                parcels::draw(rng, row);
                return 0;
            }
            Self::Pairs(t, _) => {
                let bits = t.sample(1, rng).into_data();
                row.iter_mut().zip(bits.chunks_exact(2)).for_each(|(v, b)| *v = 2.0 * b[0] + b[1]);
                return 0;
            }
        };
        (row[0], row[1]) = (x as f32, y as f32);
        0
    }

    fn log_density(&self, row: &[f32]) -> f64 {
        let at = |f: &dyn Fn([f64; 2]) -> f64| f([f64::from(row[0]), f64::from(row[1])]);
        match self {
            Self::Ridge(r) => at(&|x| r.log_density(x)),
            Self::Checkerboard => at(&checkerboard::log_density),
            Self::Pinwheel => at(&pinwheel::log_density),
            Self::Tree(t, _) => t.log_prob(row),
            Self::Regression => regression::log_density([0, 1, 2, 3].map(|c| f64::from(row[c]))),
            Self::Parcels => parcels::log_density(row),
            Self::TwoTrees(trees) => log_mean_exp(&trees.each_ref().map(|t| t.log_prob(row))),
            Self::Pairs(t, _) => {
                let bits = row.iter().flat_map(|v| [f32::from(u8::from(*v > 1.5)), v % 2.0]);
                t.log_prob(&bits.collect::<Vec<_>>())
            }
        }
    }
}

/// Rows of the source called `name`, or none if there is no such source.
pub(super) fn load(name: &str, seed: Seed) -> Option<Result<Dataset>> {
    let source = source(name)?;
    let domain = source.domain();
    let seed = seed.child("data").child(name);
    let (class, classes): (&str, &[&str]) = match source {
        Source::TwoTrees(_) => ("tree", &["first", "second"]),
        Source::Regression => ("kind", &regression::KINDS),
        _ => ("", &[]),
    };
    let labelled = !classes.is_empty();
    let split = |part: &str, n: usize| {
        let mut rng = seed.child(part).rng();
        let mut x = Batch::zeros(n, domain.width());
        let labels: Vec<u32> = (0..n).map(|r| source.draw(&mut rng, x.row_mut(r))).collect();
        if labelled { Split::labelled(x, &labels) } else { Split::unlabelled(x) }
    };
    let rows = rows_of(name);
    let (train, valid, test) = (split("train", rows[0]), split("valid", rows[1]), split("test", rows[2]));
    let entropy = match &source {
        Source::Tree(t, _) | Source::Pairs(t, _) => Some(t.entropy()),
        Source::Regression => regression::entropy(&[]),
        Source::Parcels => Some(parcels::entropy()),
        // Few enough rows to sum over.
        Source::TwoTrees(_) => {
            let bit = |code: u32, i: usize| (code >> i & 1) as f32;
            let nats = |code: u32| source.log_density(&(0..8).map(|i| bit(code, i)).collect::<Vec<_>>());
            Some((0..1 << 8).map(|code| -libm::exp(nats(code)) * nats(code)).sum())
        }
        _ => ENTROPY.iter().find(|(n, _)| *n == name).map(|(_, h)| *h),
    };
    let schema = Schema::from(&domain);
    let schema = match &source {
        _ if matches!(domain.shape, Shape::Image { .. }) => schema,
        Source::Tree(..) | Source::TwoTrees(_) | Source::Pairs(..) => {
            schema.named((0..domain.width()).map(|i| format!("x{i}")))
        }
        Source::Regression => schema.named(["x", "y", "a", "b"]),
        Source::Parcels => Schema { columns: parcels::columns(), ..schema },
        _ => schema.named(["x", "y"]),
    };
    let classes = classes.iter().map(|c| (*c).to_owned()).collect();
    Some(Ok(Dataset {
        schema: schema.with_classes(class, classes),
        train,
        valid: Some(valid),
        test: Some(test),
        provenance: Provenance {
            name: name.into(),
            splits: format!("drawn from the seed: {} train, {} valid, {} test", rows[0], rows[1], rows[2]),
            entropy,
            ..Provenance::default()
        },
    }))
}

/// Entropy of the rows of the generated source called `name` where these columns of it are given, nats, where it is known.
pub(super) fn entropy_given(name: &str, given: &[String]) -> Option<f64> {
    match source(&crate::names::canonical(name))? {
        Source::Regression => regression::entropy(given),
        _ => None,
    }
}

/// The means of the modes of the generated source called `name`, and their common deviation in each column, where it is a mixture of such.
pub fn modes(name: &str) -> Option<(Batch, f64)> {
    match source(&crate::names::canonical(name))? {
        Source::Ridge(ridge) => ridge.modes(),
        _ => None,
    }
}

/// Log-density of each row under the generated source called `name`, nats: with respect to area for the
/// two-dimensional sources, a log-probability for the trees. Exact, or by quadrature that has converged
/// wherever the source has mass.
///
/// # Errors
/// [`Error::Config`] if no generated source has that name, [`Error::Shape`] or [`Error::Domain`] if rows do
/// not fit it.
pub fn log_density(name: &str, x: &Batch) -> Result<Vec<f64>> {
    let source = source(name).ok_or_else(|| {
        Error::config("data", format!("{name} is not a generated source")).advise(Advice::ListData)
    })?;
    source.domain().check(x)?;
    Ok((0..x.rows()).into_par_iter().map(|r| source.log_density(x.row(r))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows lie around the modes as normals of that deviation do: 98.9 % within three of them.
    #[test]
    fn rows_lie_around_the_modes() {
        for (name, count) in [("8gaussians", 8), ("25gaussians", 25)] {
            let (at, sigma) = modes(name).unwrap();
            assert_eq!((at.rows(), at.width()), (count, 2));
            let x = load(name, Seed::from(0)).unwrap().unwrap().test.unwrap().x;
            let near = crate::metrics::nearest(&x, &at).unwrap();
            let share = near.iter().filter(|(_, d)| *d < 3.0 * sigma).count() as f64 / near.len() as f64;
            assert!((share - 0.98889).abs() < 0.005, "{name}: {share}");
        }
        assert!(modes("moons").is_none() && modes("tree8").is_none() && modes("iris").is_none());
    }

    /// Integral of p and of −p ln p over a square, by the trapezoidal rule with steps of `h`.
    fn integrate(name: &str, half: f64, h: f64) -> (f64, f64) {
        let source = source(name).unwrap();
        let n = (2.0 * half / h).round() as usize;
        let at = |i: usize| -half + (i as f64 + 0.5) * h;
        let f = |x: [f64; 2]| match &source {
            Source::Ridge(r) => r.log_density(x),
            Source::Pinwheel => pinwheel::log_density(x),
            Source::Checkerboard => checkerboard::log_density(x),
            Source::Tree(..)
            | Source::TwoTrees(_)
            | Source::Pairs(..)
            | Source::Regression
            | Source::Parcels => {
                unreachable!("not of the plane")
            }
        };
        let rows: Vec<(f64, f64)> = (0..n)
            .into_par_iter()
            .map(|i| {
                (0..n).fold((0.0, 0.0), |(mass, entropy), j| {
                    let l = f([at(i), at(j)]);
                    let p = l.exp();
                    (mass + p, if p > 0.0 { entropy - p * l } else { entropy })
                })
            })
            .collect();
        let sum = |g: fn(&(f64, f64)) -> f64| rows.iter().map(g).sum::<f64>() * h * h;
        (sum(|r| r.0), sum(|r| r.1))
    }

    /// Half side of a square that holds all but 1e-12 of the mass, and the step.
    const GRIDS: [(&str, f64, f64); 7] = [
        ("8gaussians", 6.0, 0.05),
        ("25gaussians", 3.0, 0.005),
        ("checkerboard", 5.0, 0.05),
        ("moons", 6.0, 0.05),
        ("pinwheel", 8.0, 0.02),
        ("spirals", 4.5, 0.03),
        ("rings", 4.0, 0.02),
    ];

    #[test]
    fn densities_integrate_to_one_and_give_the_stated_entropy() {
        for ((name, half, h), (also, stated)) in GRIDS.into_iter().zip(ENTROPY) {
            assert_eq!(name, also);
            let (mass, entropy) = integrate(name, half, h);
            assert!((mass - 1.0).abs() < 1e-9, "{name}: mass {mass}");
            assert!((entropy - stated).abs() < 1e-8, "{name}: entropy {entropy}, stated {stated}");
        }
    }

    /// Figures that others measured or derived.
    #[test]
    fn entropies_agree_with_published_ones() {
        let stated = |name: &str| ENTROPY.iter().find(|e| e.0 == name).unwrap().1;
        assert!((stated("8gaussians") - 2.833).abs() < 0.002);
        assert!((stated("25gaussians") + 2.0139).abs() < 1e-4);
        assert!((stated("checkerboard") - 32f64.ln()).abs() < 1e-15);
    }

    /// Mean of −log p over 20,000 draws against the entropy, 5 standard errors: false alarm below 6e-7 per
    /// source.
    #[test]
    fn draws_follow_the_density() {
        for name in ENTROPY.iter().map(|e| e.0).chain([
            "tree8",
            "twotrees8",
            "tree16",
            "tree180",
            "pairs4",
            "grid12",
            "shades6",
            "shades4",
            "shades16",
            "colours2",
            "regression",
            "parcels",
        ]) {
            let (set, more) =
                (load(name, Seed::from(3)).unwrap().unwrap(), load(name, Seed::from(4)).unwrap().unwrap());
            let x = set.train.x.concat(&more.train.x).unwrap();
            let l = log_density(name, &x).unwrap();
            let n = l.len() as f64;
            let mean = -l.iter().sum::<f64>() / n;
            let var = l.iter().map(|v| (v + mean).powi(2)).sum::<f64>() / (n - 1.0);
            let h = set.provenance.entropy.unwrap();
            // The checkerboard is flat: its variance is 0 and only rounding remains.
            let tolerance = 5.0 * (var / n).sqrt() + 1e-9;
            assert!((mean - h).abs() < tolerance, "{name}: {mean} against {h}, tolerance {tolerance}");
        }
    }

    #[test]
    fn sources_follow_the_seed_and_refuse_other_rows() {
        let of = |s| load("moons", Seed::from(s)).unwrap().unwrap().digest();
        assert_eq!(of(1), of(1));
        assert_ne!(of(1), of(2));
        assert!(load("sun", Seed::from(1)).is_none());
        assert!(log_density("sun", &Batch::zeros(1, 2)).is_err());
        assert!(log_density("moons", &Batch::zeros(1, 3)).is_err());
        assert!(log_density("tree8", &Batch::from_fn(1, 8, |_, _| 0.5)).is_err());
        assert_eq!(
            log_density("checkerboard", &Batch::from_fn(1, 2, |_, _| 9.0)).unwrap(),
            [f64::NEG_INFINITY]
        );
    }
}
