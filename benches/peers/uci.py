"""Small real tables by the protocol of the RNADE paper: ten folds, scores in standardised units.

    python uci.py --tables mlbench/data gaussian
    python uci.py --tables mlbench/data --genus ../../target/release/genus run rnade spline-flow
    python uci.py --tables mlbench/data --genus ../../target/release/genus --set boston run rnade --with hidden=32 --with train.optimizer.l2=0.001

`--tables` is the folder with BostonHousing.rda and Ionosphere.rda of the R package mlbench (Debian: r-cran-mlbench).

Discrete columns are left out, and one of each pair with |r| > 0.98, of which there is none. The rows are shuffled once, by `--seed`, and cut into
ten parts. Part k is the test part of fold k, the next one the validation part, the other eight are trained on. All are standardised with the mean
and the deviation of those eight, so that the model's units are the standardised ones. Printed are means over the ten folds of mean log-probabilities
in nats a row, with the standard error of that mean from the spread of the folds.

A setting is a line `model key=value …`; every setting that was ever scored is in `--log`, one JSON object per fold, and is not fitted again.
`chosen` prints, from the log alone: every setting, the one of largest mean on validation parts, and what the folds give if each chooses for itself
by its own validation part. Test parts choose nothing. Needs numpy and pyreadr.
"""
import argparse
import json
import pathlib
import subprocess
import tempfile

import numpy as np

FOLDS = 10
# The file, and the columns that are discrete.
SETS = {
    # zn has 26 distinct values; chas, rad and tax are whole numbers. medv stays. Ten columns are left.
    "boston": ("BostonHousing.rda", ("chas", "zn", "rad", "tax")),
    # V1 is 0 or 1, V2 is 0; Class is the label. 32 columns are left.
    "ionosphere": ("Ionosphere.rda", ("V1", "V2", "Class")),
}
PUBLISHED = {
    "boston": "Gaussian -11.37, MFA -4.54, RNADE-MoG -0.64",
    "ionosphere": "Gaussian -41.24, MFA -17.55, RNADE-MoG -2.50",
}


def rows_of(folder, name):
    import pyreadr

    file, discrete = SETS[name]
    (table,) = pyreadr.read_r(str(pathlib.Path(folder) / file)).values()
    x = table.drop(columns=list(discrete)).to_numpy(float)
    alike = np.abs(np.corrcoef(x.T)) - np.eye(x.shape[1])
    if alike.max() > 0.98:
        raise SystemExit(f"{name}: two columns have |r| = {alike.max():.3f}")
    return x


def parts_of(x, seed):
    order = np.arange(len(x)) if seed is None else np.random.default_rng(seed).permutation(len(x))
    return np.array_split(x[order], FOLDS)


def fold(parts, k):
    """Train, valid and test rows, standardised by the first."""
    valid = (k + 1) % FOLDS
    train = np.concatenate([p for i, p in enumerate(parts) if i not in (k, valid)])
    mean, deviation = train.mean(0), train.std(0)
    return [(p - mean) / deviation for p in (train, parts[valid], parts[k])]


def mean_and_error(values):
    values = np.asarray(values)
    return f"{values.mean():8.3f} ± {values.std(ddof=1) / len(values) ** 0.5:.3f}"


def normal(train, test):
    """Mean log-density of test rows under the normal law of largest likelihood."""
    root = np.linalg.cholesky(np.cov(train.T, bias=True))
    z = np.linalg.solve(root, (test - train.mean(0)).T)
    return -0.5 * (z**2).sum(0).mean() - np.log(np.diag(root)).sum() - 0.5 * len(root) * np.log(2 * np.pi)


def gaussian(options):
    """The row of the published table that has nothing to choose, with validation rows left out or trained on."""
    for name in options.set:
        x = rows_of(options.tables, name)
        print(f"{name}: {x.shape[0]} rows, {x.shape[1]} columns; published: {PUBLISHED[name]}")

        def scores(seed, with_valid):
            parts, found = parts_of(x, seed), []
            for k in range(FOLDS):
                train, valid, test = fold(parts, k)
                if with_valid:
                    train = np.concatenate([train, valid])
                    mean, deviation = train.mean(0), train.std(0)
                    train, test = (train - mean) / deviation, (test - mean) / deviation
                found.append(normal(train, test))
            return found

        for with_valid, what in ((False, "8 parts"), (True, "9 parts")):
            means = [np.mean(scores(seed, with_valid)) for seed in range(20)]
            print(f"  normal law of {what}: file order {mean_and_error(scores(None, with_valid))}, shuffle {options.seed} {mean_and_error(scores(options.seed, with_valid))}, 20 shuffles {np.mean(means):.3f} (deviation {np.std(means):.3f}, {min(means):.2f} to {max(means):.2f})")


def read_log(path):
    path = pathlib.Path(path)
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def fit(options, model, keys, data, folder):
    command = [options.genus, "train", model, "--data", str(data), "--out", str(folder / "run"), "--no-audit", "--seed", str(options.seed)]
    subprocess.run(command + [a for k in keys for a in ("--set", k)], check=True, capture_output=True)
    summary = json.loads((folder / "run" / "summary.json").read_text())
    found = {s["split"]: s["nats"] for s in summary["scores"]}
    return {"valid": found["valid"], "test": found["test"], "steps": summary["steps"]}


def run(options):
    done = {(d["set"], d["setting"], d["seed"], d["fold"]) for d in read_log(options.log)}
    for name in options.set:
        parts = parts_of(rows_of(options.tables, name), options.seed)
        for model in options.models:
            setting = " ".join([model, *options.keys])
            for k in range(FOLDS):
                if (name, setting, options.seed, k) in done:
                    continue
                with tempfile.TemporaryDirectory() as folder:
                    folder = pathlib.Path(folder)
                    train, valid, test = fold(parts, k)
                    np.savez(folder / "rows.npz", train=train, valid=valid, test=test)
                    try:
                        found = fit(options, model, options.keys, folder / "rows.npz", folder)
                    except subprocess.CalledProcessError as e:
                        raise SystemExit(f"{name}, {setting}: {e.stderr.decode()}") from e
                found = {"set": name, "setting": setting, "seed": options.seed, "fold": k, **found}
                with open(options.log, "a") as log:
                    print(json.dumps(found), file=log)
            print(name, line(setting, of_setting(read_log(options.log), name, options.seed)[setting]), flush=True)


def of_setting(log, name, seed):
    """The folds of every setting, in order, where all are there."""
    found = {}
    for d in log:
        if d["set"] == name and d["seed"] == seed:
            found.setdefault(d["setting"], {})[d["fold"]] = d
    return {setting: [folds[k] for k in range(FOLDS)] for setting, folds in found.items() if len(folds) == FOLDS}


def line(setting, folds):
    valid, test = (mean_and_error([d[split] for d in folds]) for split in ("valid", "test"))
    return f"valid {valid}  test {test}  {setting}"


def chosen(options):
    log = read_log(options.log)
    for name in options.set:
        found = of_setting(log, name, options.seed)
        print(f"{name}, shuffle {options.seed}; published: {PUBLISHED[name]}")
        for model in sorted({s.split()[0] for s in found}):
            own = {s: f for s, f in found.items() if s.split()[0] == model}
            valid = lambda item: np.mean([d["valid"] for d in item[1]])
            for item in sorted(own.items(), key=valid):
                print("  " + line(*item))
            best = max(own.items(), key=valid)
            print(f"  {model}, {len(own)} settings, by the mean on validation parts: test {mean_and_error([d['test'] for d in best[1]])}: {best[0]}")
            each = [max((f[k] for f in own.values()), key=lambda d: d["valid"]) for k in range(FOLDS)]
            print(f"  {model}, {len(own)} settings, each fold by its own validation part: test {mean_and_error([d['test'] for d in each])}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--tables", default="mlbench/data")
    parser.add_argument("--genus", default="../../target/release/genus")
    parser.add_argument("--set", action="append", choices=SETS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--log", default="uci.log")
    what = parser.add_subparsers(required=True)
    what.add_parser("gaussian").set_defaults(call=gaussian)
    what.add_parser("chosen").set_defaults(call=chosen)
    runs = what.add_parser("run")
    runs.add_argument("models", nargs="+")
    runs.add_argument("--with", dest="keys", action="append", default=[])
    runs.set_defaults(call=run)
    options = parser.parse_args()
    options.set = options.set or list(SETS)
    options.call(options)


if __name__ == "__main__":
    main()
