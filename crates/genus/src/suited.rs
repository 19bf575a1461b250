//! Lengths, batches and widths that suit the size of the data, where nobody says otherwise.
//!
//! A fit of few rows is measured in steps, not in passes: batches are about a seventieth of the rows, from 20 to 100, and a training ends
//! where validation rows no longer gain, after so many steps at most. Rates are constant then, since nobody knows how long it will be;
//! the moving average of the weights does what a falling rate would. Machines, which have no validation loss that is cheap, have a fixed
//! number of steps at a falling rate. Found on the sets of `docs/defaults.md`.

use genus_core::Size;

/// Steps of a network at most, without progress before it ends, and of a machine.
const NETWORK: usize = 20_000;
const PATIENCE: usize = 1050;
const MACHINE: usize = 7000;
/// Steps of a flow at most; a tenth of them without progress end it.
const FLOW: usize = 24_000;

/// Rows per step, and epochs of so many steps together.
fn batches(size: Size, steps: usize) -> (usize, usize) {
    let batch = (size.rows / 70).clamp(20, 100).min(size.rows.max(1));
    let each = size.rows.div_ceil(batch).max(1);
    (batch, steps.div_ceil(each).max(10))
}

fn table(text: &str) -> toml::Table {
    match toml::from_str(text) {
        Ok(table) => table,
        Err(e) => unreachable!("{text}: {e}"),
    }
}

/// Of networks that are trained by their likelihood or a bound of it.
pub(crate) fn network(size: Size) -> toml::Table {
    let (batch, epochs) = batches(size, NETWORK);
    let patience = PATIENCE.div_ceil(size.rows.div_ceil(batch).max(1)).max(3);
    table(&format!(
        "[train]\nbatch = {batch}\nepochs = {epochs}\npatience = {patience}\n[train.optimizer]\nrate = 0.002\nschedule = \"constant\"\n"
    ))
}

/// Of a flow, whose density is sharp: larger batches, a longer average and more patience than other networks have.
pub(crate) fn flow(size: Size) -> toml::Table {
    let batch = (size.rows / 40).clamp(20, 256).min(size.rows.max(1));
    let each = size.rows.div_ceil(batch).max(1);
    let (epochs, patience) = ((FLOW / each).max(10), (FLOW / 10 / each).max(3));
    // Large networks learn few rows by heart within tens of steps, and small ones whose weights do not decay within hundreds.
    let (rate, decay, net) = match size.rows < 1000 {
        true => (0.001, "decay = 1.0\n", "layers = 4\nhidden = [32]\n"),
        false => (0.003, "", ""),
    };
    table(&format!(
        "{net}[train]\nbatch = {batch}\nepochs = {epochs}\npatience = {patience}\nema = 0.999\n[train.optimizer]\nrate = {rate}\n{decay}schedule = \"constant\"\n"
    ))
}

/// Of a flow of couplings, which takes images at several scales.
pub(crate) fn coupling_flow(size: Size) -> toml::Table {
    if !size.image {
        return flow(size);
    }
    let mut table = image_flow(size);
    table.insert("logit".into(), 1e-6.into());
    table
}

/// Of a flow over images, whose steps are long.
pub(crate) fn image_flow(size: Size) -> toml::Table {
    let batch = (size.rows / 70).clamp(20, 64).min(size.rows.max(1));
    let each = size.rows.div_ceil(batch).max(1);
    let (epochs, patience) = ((FLOW / 4).div_ceil(each).max(4), (FLOW / 40).div_ceil(each).max(3));
    table(&format!(
        "[train]\nbatch = {batch}\nepochs = {epochs}\npatience = {patience}\nema = 0.999\n[train.optimizer]\nrate = 0.002\nschedule = \"constant\"\n"
    ))
}

/// Of a game, whose end no figure decides: so many steps, of which the best is kept.
fn games(size: Size, steps: usize, rates: [(&str, f64); 2], more: &str) -> toml::Table {
    let most = if size.image { 64 } else { 128 };
    let batch = (size.rows / 20).clamp(20, most).min(size.rows.max(1));
    let each = size.rows.div_ceil(batch).max(1);
    // Looks cost as much as some hundred steps of a small net.
    let every = (steps / 40).max(1);
    let epochs = steps.div_ceil(each).max(2);
    let [generator, other] = rates;
    table(&format!(
        "[{}]\noptimizer.rate = {}\n{more}[train]\nbatch = {batch}\nepochs = {epochs}\nvalidate = \"{every} steps\"\noptimizer.rate = {}\n",
        other.0, other.1, generator.1
    ))
}

/// Most columns of an image whose steps are short.
const SMALL: usize = 256;

/// Of a generator and a discriminator, whose gradient is penalised: without, the game turns in circles.
pub(crate) fn game(size: Size) -> toml::Table {
    let (steps, rate) = match size {
        Size { image: true, columns: ..=SMALL, .. } => (16_000, 5e-4),
        Size { image: true, .. } => (8000, 2e-4),
        _ => (20_000, 1e-3),
    };
    let penalty = "[penalty]\nkind = \"r1\"\nweight = 0.1\n";
    games(size, steps, [("train", rate), ("discriminator", rate)], penalty)
}

/// Of a generator and a critic, which moves more often.
pub(crate) fn critic(size: Size) -> toml::Table {
    let (steps, rate) = match size {
        Size { image: true, columns: ..=SMALL, .. } => (20_000, 5e-4),
        Size { image: true, .. } => (10_000, 2e-4),
        _ => (30_000, 1e-3),
    };
    let penalty = if size.image { "" } else { "penalty = 0.1\n" };
    games(size, steps, [("train", rate), ("critic", rate)], penalty)
}

/// Of a mixture: full covariances where the rows suffice for several of each parameter, else one for all components, and where there are hardly
/// more rows than columns none between columns. Noise between levels gives rows enough.
pub(crate) fn mixture(size: Size) -> toml::Table {
    let Size { rows, columns, real, .. } = size;
    let each = (columns + 1) * (columns + 2) / 2;
    match real {
        true if rows >= 8 * each => table(&format!("components = {}\n", (rows / (4 * each)).clamp(1, 8))),
        true if rows >= 4 * columns => table(&format!(
            "components = {}\ncovariance = \"tied\"\n",
            (rows / (2 * (columns + 1))).clamp(1, 8)
        )),
        true => table(&format!(
            "components = {}\ncovariance = \"diagonal\"\n",
            (rows / (columns + 1)).clamp(1, 8)
        )),
        false => table(&format!("components = {}\n", rows.clamp(1, 8))),
    }
}

/// Of causal networks over images, whose steps are long.
pub(crate) fn image(size: Size) -> toml::Table {
    let (batch, epochs) = batches(size, NETWORK / 4);
    let patience = (PATIENCE / 2).div_ceil(size.rows.div_ceil(batch).max(1)).max(3);
    table(&format!(
        "[train]\nbatch = {batch}\nepochs = {epochs}\npatience = {patience}\n[train.optimizer]\nschedule = \"constant\"\n"
    ))
}

/// Of chains of several transitions, whose steps are long too, and whose loss rests for thousands of them before it falls.
pub(crate) fn chain(size: Size) -> toml::Table {
    let width = if size.columns < 500 { 500 } else { 1000 };
    let (batch, epochs) = batches(size, NETWORK * 2 / 5);
    let patience = (4 * PATIENCE).div_ceil(size.rows.div_ceil(batch).max(1)).max(3);
    table(&format!(
        "hidden = [{width}, {width}]\n[train]\nbatch = {batch}\nepochs = {epochs}\npatience = {patience}\n[train.optimizer]\nrate = 0.002\nschedule = \"constant\"\n"
    ))
}

/// The `[train]` table of a machine, under the name `key`.
fn learning(size: Size, key: &str, steps: usize, more: &str) -> String {
    let (batch, epochs) = batches(size, steps);
    format!("[{key}]\nbatch = {batch}\nepochs = {epochs}\n{more}\n")
}

/// Annealing of machines that are small.
const ANNEALING: &str = "[annealing]\nsteps = 5000\nback_burn_in = 1000\n";

/// So many units for each column, within bounds.
fn units(size: Size, each: usize, most: usize) -> usize {
    (each * size.columns).clamp(16, most)
}

/// Of a restricted machine of bits.
pub(crate) fn restricted(size: Size) -> toml::Table {
    let hidden = units(size, 4, 500);
    let train = learning(size, "train", MACHINE, "ema = 0.99");
    table(&format!(
        "hidden = {hidden}\n{train}{}",
        if size.columns * hidden < 1 << 18 { ANNEALING } else { "" }
    ))
}

/// Of a machine of normals.
pub(crate) fn normals(size: Size) -> toml::Table {
    table(&format!("{}{ANNEALING}", learning(size, "train", MACHINE, "ema = 0.99")))
}

/// Of a machine in which every unit may see every other.
pub(crate) fn general(size: Size) -> toml::Table {
    table(&format!("{}{ANNEALING}", learning(size, "train", MACHINE / 2, "ema = 0.99")))
}

/// Of a belief net of two layers.
pub(crate) fn belief(size: Size) -> toml::Table {
    let [first, second] = if size.columns < 500 { [units(size, 3, 500); 2] } else { [500, 2000] };
    let train = learning(size, "train", MACHINE, "ema = 0.99");
    let annealing = if size.columns < 500 { ANNEALING } else { "" };
    table(&format!("hidden = [{first}, {second}]\n{train}{annealing}"))
}

/// Of a deep machine of two layers.
pub(crate) fn deep(size: Size) -> toml::Table {
    let [first, second] = if size.columns < 500 { [units(size, 1, 500); 2] } else { [500, 1000] };
    let pretrain = learning(size, "pretrain", MACHINE / 4, "");
    let train = learning(size, "train", MACHINE, "ema = 0.999\nweight_decay = 0.001");
    let annealing = if size.columns < 500 { ANNEALING } else { "" };
    table(&format!("hidden = [{first}, {second}]\n{pretrain}{train}{annealing}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_follow_the_rows() {
        let of = |rows| {
            let t = network(Size { rows, columns: 9, real: false, image: false });
            ["batch", "epochs", "patience"].map(|k| t["train"][k].as_integer().unwrap())
        };
        assert_eq!(of(2), [2, 20_000, 1050]);
        assert_eq!(of(200), [20, 2000, 105]);
        assert_eq!(of(1400), [20, 286, 15]);
        assert_eq!(of(50_000), [100, 40, 3]);
    }

    /// Whatever the size, every model's configuration takes what is suited to it.
    #[test]
    fn every_size_gives_a_configuration() {
        for spec in crate::registry::all() {
            for rows in [1, 30, 1000, 1_000_000] {
                for columns in [1, 8, 180, 784, 10_000] {
                    let Some(suited) = spec.suited else { continue };
                    for [real, image] in [[false, false], [false, true], [true, false], [true, true]] {
                        let table = suited(Size { rows, columns, real, image });
                        crate::session::effective_config(spec, &[&table], &[])
                            .unwrap_or_else(|e| panic!("{}: {e}", spec.name));
                    }
                }
            }
            assert!(spec.suited.is_some(), "{}", spec.name);
        }
    }
}
