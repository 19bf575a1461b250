//! Classical methods on all training digits, a whole fit each: `genus-peers --classical NAME` prints seconds, a figure of what was found and
//! the most memory that it took, as JSON. `classical.py` does the same with scikit-learn, in turn.

use anyhow::Context as _;
use genus::{
    Batch, Dataset, Density as _, Domain, Family, FitContext, GaussianMixture, KMeans, Kde, Pca, Seed,
    Silent, Split, config, data,
};
use std::time::Instant;

/// Queries of a kernel density.
const QUERIES: usize = 200;

/// Rows of 784 values from 0 to 1, which are held once.
fn images(name: &str) -> anyhow::Result<Batch> {
    let folder = std::env::var("GENUS_DATA").context("GENUS_DATA names no folder")?;
    let path = std::path::Path::new(&folder).join("mnist").join(name);
    let path = if path.exists() { path } else { path.with_extension("gz") };
    let options = data::Options { label: Some(data::Label::None), ..data::Options::default() };
    let mut x = data::load(&path.display().to_string(), &options)?.train.x;
    x.data_mut().iter_mut().for_each(|v| *v /= 255.0);
    Ok(x)
}

fn fit<F: Family>(settings: &str, set: &Dataset) -> anyhow::Result<genus::Fit<F>> {
    let config: F::Config = config::from_table(&settings.parse()?)?;
    Ok(F::fit(&config, set, &mut FitContext::new(Seed::from(1), &mut Silent))?)
}

/// Seconds of the method, and what it reached.
pub fn run(name: &str) -> anyhow::Result<(f64, f64)> {
    let all = images("train-images-idx3-ubyte")?;
    let queries = match name {
        "kde" => images("t10k-images-idx3-ubyte")?.slice(0, QUERIES),
        _ => Batch::zeros(0, 784),
    };
    let mut set = Dataset::new("digits", Domain::real(784), Split::unlabelled(all))?;
    if name == "gmm" {
        // With noise between levels no column is constant, and neither library has to hold up a variance.
        let mut rng = Seed::from(2).rng();
        let noisy = |v: &mut f32| *v = (*v * 255.0 + rng.uniform()) / 256.0;
        set.train.x.data_mut().iter_mut().for_each(noisy);
    }
    let start = Instant::now();
    let figure = match name {
        "k-means" => {
            let fit = fit::<KMeans>("clusters = 10\nrestarts = 1\nstandardize = false\n", &set)?;
            fit.report.figures[0].value
        }
        "pca" => fit::<Pca>("components = 50\n", &set)?.model.explained().iter().sum(),
        "gmm" => {
            let settings = "components = 10\nrestarts = 1\ncovariance = \"diagonal\"\niterations = 20\ntolerance = 0.0\nfloor = 1e-9\n";
            let fit = fit::<GaussianMixture>(settings, &set)?;
            fit.report.figures[0].value / set.train.x.rows() as f64
        }
        "kde" => {
            let fit = fit::<Kde>("bandwidth = 1.0\nstandardize = false\n", &set)?;
            fit.model.log_prob(&queries)?.mean()
        }
        _ => anyhow::bail!("there is no {name}; k-means, pca, gmm and kde are there"),
    };
    Ok((start.elapsed().as_secs_f64(), figure))
}
