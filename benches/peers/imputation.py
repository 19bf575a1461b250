"""Missing cells of two tables, filled by Genus and by scikit-learn: root mean square error on the cells that were taken out, in standard deviations of their columns.

A fifth of the cells of wine and breast cancer is taken out by chance. Models of Genus are fitted to the rows with their holes, as they are, by
their defaults or by the settings in the name, and every method fills the same holes.
"""

import argparse
import subprocess
import tempfile
from pathlib import Path

import numpy as np

MODELS = {
    "gmm": ("gmm", []),
    "gmm components=1": ("gmm", ["components=1", 'covariance="full"']),
    "ppca": ("ppca", []),
    "ppca latent=5": ("ppca", ["latent=5"]),
    "factor-analysis": ("factor-analysis", []),
    "factor-analysis latent=5": ("factor-analysis", ["latent=5"]),
    "factor-analysis latent=8": ("factor-analysis", ["latent=8"]),
    "mixed-mixture": ("mixed-mixture", []),
    "tabular": ("tabular", []),
}


def genus(program, model, settings, holes):
    with tempfile.TemporaryDirectory() as folder:
        table, run, out = (str(Path(folder) / name) for name in ["holes.csv", "run", "whole.csv"])
        lines = [",".join("" if np.isnan(v) else repr(float(v)) for v in row) for row in holes]
        names = ",".join(f"c{i}" for i in range(holes.shape[1]))
        Path(table).write_text("\n".join([names, *lines]) + "\n")
        sets = [word for s in settings for word in ["--set", s]]
        train = [program, "train", model, "--data", table, "--label", "none", "--no-audit", "--out", run, *sets]
        for command in [train, [program, "impute", run, "--data", table, "--label", "none", "-o", out]]:
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode != 0:
                raise RuntimeError(done.stderr)
        return np.loadtxt(out, delimiter=",", skiprows=1)


def peers():
    from sklearn.experimental import enable_iterative_imputer  # noqa: F401
    from sklearn.impute import IterativeImputer, KNNImputer, SimpleImputer

    return {
        "mean": SimpleImputer(),
        "5 nearest rows": KNNImputer(n_neighbors=5),
        "iterative": IterativeImputer(random_state=0),
        "iterative, 100 rounds": IterativeImputer(random_state=0, max_iter=100),
    }


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--genus", required=True, help="the program genus")
    arguments.add_argument("--seeds", type=int, default=5)
    arguments = arguments.parse_args()
    from sklearn.datasets import load_breast_cancer, load_wine

    for name, x in [("wine", load_wine().data), ("breast cancer", load_breast_cancer().data)]:
        x = (x - x.mean(0)) / x.std(0)
        errors = {}
        for seed in range(arguments.seeds):
            taken = np.random.default_rng(seed).random(x.shape) < 0.2
            taken[taken.all(1), 0] = False
            holes = np.where(taken, np.nan, x)
            filled = {f"scikit-learn: {peer}": imputer.fit_transform(holes) for peer, imputer in peers().items()}
            for label, (model, settings) in MODELS.items():
                filled[f"genus: {label}"] = genus(arguments.genus, model, settings, holes)
            for label, y in filled.items():
                errors.setdefault(label, []).append(float(np.sqrt(((y - x)[taken] ** 2).mean())))
        print(f"\n{name}: {x.shape[0]} rows, {x.shape[1]} columns, {arguments.seeds} seeds")
        for label, values in errors.items():
            print(f"  {label:45} {np.mean(values):.4f} ± {np.std(values, ddof=1) / np.sqrt(len(values)):.4f}")


if __name__ == "__main__":
    main()
