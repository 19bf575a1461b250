"""Outliers of three tables by log-probabilities of Genus and by the isolation forest of scikit-learn: areas under the ROC curve.

Breast cancer with malignant rows as anomalies: models are fitted to half of the benign rows, which is the usual protocol, and judge the other half beside
all malignant ones. Two generated tables: a ring with points within it, where each column by itself says nothing, and a table of categories and numbers in
which a category decides the mean of a number and anomalies have another's.
"""

import argparse
import json
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

MODELS = {"gmm": ["gmm"], "kde": ["kde"], "mixed-mixture": ["mixed-mixture"], "tabular": ["tabular"]}


def tables(seed):
    from sklearn.datasets import load_breast_cancer

    rng = np.random.default_rng(seed)
    loaded = load_breast_cancer(as_frame=True)
    x, odd = loaded.data, loaded.target.to_numpy() == 0
    benign = rng.permutation(np.flatnonzero(~odd))
    train, rest = benign[: len(benign) // 2], benign[len(benign) // 2 :]
    test = np.concatenate([rest, np.flatnonzero(odd)])
    yield "breast cancer", x.iloc[train], x.iloc[test], odd[test]

    def ring(n):
        angle = rng.uniform(0, 2 * np.pi, n)
        return pd.DataFrame({"x": np.cos(angle), "y": np.sin(angle)}) + rng.normal(0, 0.05, (n, 2))

    inside = pd.DataFrame(rng.normal(0, 0.3, (50, 2)), columns=["x", "y"])
    test = pd.concat([ring(950), inside])
    yield "ring", ring(1000), test, np.arange(1000) >= 950

    def goods(n, wrong):
        kind = rng.integers(0, 4, n)
        price = np.array([5.0, 20.0, 60.0, 150.0])[(kind + wrong) % 4] * np.exp(rng.normal(0, 0.1, n))
        return pd.DataFrame({"kind": np.array(["pen", "book", "lamp", "chair"])[kind], "price": price.round(2), "sold": rng.poisson(3, n)})

    test = pd.concat([goods(950, 0), goods(50, rng.integers(1, 4, 50))])
    yield "goods", goods(1000, 0), test, np.arange(1000) >= 950


def genus(program, words, train, test):
    with tempfile.TemporaryDirectory() as folder:
        a, b, run = (str(Path(folder) / name) for name in ["train.csv", "test.csv", "run"])
        train.to_csv(a, index=False)
        test.to_csv(b, index=False)
        for command in [
            [program, "train", *words, "--data", a, "--label", "none", "--no-audit", "--out", run],
            [program, "score", run, "--data", b, "--label", "none", "--json"],
        ]:
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode != 0:
                raise RuntimeError(done.stderr)
        return np.array([-1e30 if isinstance(v, str) or v is None else v for v in json.loads(done.stdout)["nats"]], dtype=float)


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--genus", required=True, help="the program genus")
    arguments.add_argument("--seeds", type=int, default=5)
    arguments = arguments.parse_args()
    from sklearn.ensemble import IsolationForest
    from sklearn.metrics import roc_auc_score

    found = {}
    for seed in range(arguments.seeds):
        for name, train, test, odd in tables(seed):
            plain = not any(not pd.api.types.is_numeric_dtype(train[c]) for c in train)
            both = pd.get_dummies(pd.concat([train, test]))
            forest = IsolationForest(n_estimators=300, random_state=seed).fit(both[: len(train)])
            scores = {"isolation forest": forest.score_samples(both[len(train) :])}
            for label, words in MODELS.items():
                if plain or words[0] in ["mixed-mixture", "tabular"]:
                    scores[label] = genus(arguments.genus, words, train, test)
            for label, score in scores.items():
                found.setdefault(name, {}).setdefault(label, []).append(roc_auc_score(odd, -score))
    for name, each in found.items():
        print(f"\n{name}, {arguments.seeds} seeds")
        for label, values in each.items():
            print(f"  {label:20} {np.mean(values):.4f} ± {np.std(values, ddof=1) / np.sqrt(len(values)):.4f}")


if __name__ == "__main__":
    main()
