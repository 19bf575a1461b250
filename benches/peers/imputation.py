"""Missing cells of tables, filled by Genus and by scikit-learn.

A fifth of the cells is taken out by chance. Models of Genus are fitted to the rows with their holes, as they are, by their defaults or by the
settings in the name, and every method fills the same holes. Of numbers the root mean square error in standard deviations of their columns is printed,
of categories the share that is right. Categories are numbers of their order for peers that take no text: `trees` are forests in turns over the
columns, as missForest has them; `iterative` sees a column for each category and the largest is taken.
"""

import argparse
import csv
import subprocess
import tempfile
import warnings
from pathlib import Path

import numpy as np
import pandas as pd

MODELS = {
    "gmm": ("gmm", []),
    "gmm components=1": ("gmm", ["components=1", 'covariance="full"']),
    "ppca": ("ppca", []),
    "ppca latent=5": ("ppca", ["latent=5"]),
    "factor-analysis": ("factor-analysis", []),
    "factor-analysis latent=5": ("factor-analysis", ["latent=5"]),
    "mixed-mixture": ("mixed-mixture", []),
    "tabular": ("tabular", []),
}


def tables(folder):
    from sklearn.datasets import load_breast_cancer, load_iris, load_wine

    for name, load in [("iris", load_iris), ("wine", load_wine), ("breast cancer", load_breast_cancer)]:
        x = load(as_frame=True).data
        yield name, (x - x.mean()) / x.std(ddof=0)
    if folder:
        yield "penguins", pd.read_csv(Path(folder) / "penguins.csv")


def genus(program, model, settings, holes):
    with tempfile.TemporaryDirectory() as folder:
        table, run, out = (str(Path(folder) / name) for name in ["holes.csv", "run", "whole.csv"])
        holes.to_csv(table, index=False, quoting=csv.QUOTE_MINIMAL)
        sets = [word for s in settings for word in ["--set", s]]
        train = [program, "train", model, "--data", table, "--label", "none", "--no-audit", "--out", run, *sets]
        for command in [train, [program, "impute", run, "--data", table, "--label", "none", "-o", out]]:
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode != 0:
                raise RuntimeError(done.stderr)
        return pd.read_csv(out)


def coded(holes):
    """Categories as numbers, missing ones as NaN."""
    codes = {c: holes[c].astype("category") for c in holes if not pd.api.types.is_numeric_dtype(holes[c])}
    x = holes.copy()
    for c, v in codes.items():
        x[c] = v.cat.codes.where(holes[c].notna(), np.nan).astype(float)
    return x.astype(float), {c: list(v.cat.categories) for c, v in codes.items()}


def named(y, holes, names):
    y = pd.DataFrame(y, columns=holes.columns)
    for c, categories in names.items():
        y[c] = [categories[int(min(max(round(v), 0), len(categories) - 1))] for v in y[c]]
    return y


def peers(holes, seed):
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.experimental import enable_iterative_imputer  # noqa: F401
    from sklearn.impute import IterativeImputer, KNNImputer, SimpleImputer

    x, names = coded(holes)
    yield "mean or mode", named(
        pd.DataFrame({c: SimpleImputer(strategy="most_frequent" if c in names else "mean").fit_transform(x[[c]])[:, 0] for c in x}),
        holes,
        names,
    )
    scale = x.std(ddof=0).replace(0, 1)
    yield "5 nearest rows", named(KNNImputer(n_neighbors=5).fit_transform(x / scale) * scale.to_numpy(), holes, names)
    trees = IterativeImputer(RandomForestRegressor(n_estimators=50, n_jobs=2, random_state=seed), random_state=seed, max_iter=5)
    yield "trees", named(trees.fit_transform(x), holes, names)
    wide = pd.concat([x[[c]] if c not in names else pd.DataFrame({f"{c}={k}": (x[c] == i).astype(float).where(x[c].notna()) for i, k in enumerate(names[c])}) for c in x], axis=1)
    y = pd.DataFrame(IterativeImputer(random_state=seed, max_iter=30).fit_transform(wide.to_numpy()), columns=list(wide.columns))
    whole = pd.DataFrame({c: y[c] if c not in names else np.array(names[c])[y[[f"{c}={k}" for k in names[c]]].to_numpy().argmax(1)] for c in x})
    yield "iterative", whole


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--genus", required=True, help="the program genus")
    arguments.add_argument("--data", help="folder of penguins.csv")
    arguments.add_argument("--seeds", type=int, default=5)
    arguments.add_argument("--only", nargs="*", help="models of Genus")
    arguments.add_argument("--tables", nargs="*")
    arguments.add_argument("--no-peers", action="store_true")
    arguments = arguments.parse_args()
    warnings.filterwarnings("ignore")
    for name, table in tables(arguments.data):
        if arguments.tables and name not in arguments.tables:
            continue
        numbers = [c for c in table if pd.api.types.is_numeric_dtype(table[c])]
        texts = [c for c in table if c not in numbers]
        found = {}
        for seed in range(arguments.seeds):
            taken = np.random.default_rng(seed).random(table.shape) < 0.2
            taken[taken.all(1), 0] = False
            holes = table.mask(taken)
            known = table.notna().to_numpy() & taken
            filled = {} if arguments.no_peers else {f"scikit-learn: {p}": y for p, y in peers(holes, seed)}
            for label, (model, settings) in MODELS.items():
                if arguments.only and label not in arguments.only or texts and model not in ["mixed-mixture", "tabular"]:
                    continue
                filled[f"genus: {label}"] = genus(arguments.genus, model, settings, holes)
            for label, y in filled.items():
                z = (y[numbers] - table[numbers]) / table[numbers].std(ddof=0)
                at = pd.DataFrame(known, columns=table.columns)
                error = float(np.sqrt((z.to_numpy()[at[numbers].to_numpy()] ** 2).mean()))
                same = [(y[c].astype(str) == table[c].astype(str))[at[c]] for c in texts]
                found.setdefault(label, []).append((error, np.concatenate(same).mean() if texts else np.nan))
        print(f"\n{name}: {table.shape[0]} rows, {table.shape[1]} columns, {arguments.seeds} seeds", flush=True)
        for label, values in found.items():
            errors, rights = np.array(values).T
            spread = errors.std(ddof=1) / np.sqrt(len(errors)) if len(errors) > 1 else np.nan
            share = f"  {100 * rights.mean():.1f} % of categories" if texts else ""
            print(f"  {label:40} {errors.mean():.4f} ± {spread:.4f}{share}", flush=True)


if __name__ == "__main__":
    main()
