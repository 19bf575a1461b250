"""Classical methods of scikit-learn and of Genus on the 60,000 training digits of MNIST, in turn: seconds of a whole fit, what it reached, and the most memory.

GENUS_DATA must name a folder with the four files of MNIST. Every fit is a process of its own; figures are medians over rounds.
"""

import argparse
import gzip
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

METHODS = ["k-means", "pca", "gmm", "kde"]
FIGURES = {"k-means": "inertia", "pca": "explained variance", "gmm": "nats per row", "kde": "nats per query"}


def images(name):
    folder = Path(os.environ["GENUS_DATA"]) / "mnist"
    path = next(p for p in [folder / name, folder / f"{name}.gz"] if p.exists())
    raw = (gzip.open if path.suffix == ".gz" else open)(path, "rb").read()
    return (np.frombuffer(raw, np.uint8, offset=16).reshape(-1, 784) / np.float32(255)).astype(np.float32)


def sklearn(name, seed, threads):
    from threadpoolctl import threadpool_limits
    from sklearn.cluster import KMeans
    from sklearn.decomposition import PCA
    from sklearn.mixture import GaussianMixture
    from sklearn.neighbors import KernelDensity

    threadpool_limits(threads)
    x = images("train-images-idx3-ubyte")
    start = time.perf_counter()
    if name == "k-means":
        figure = KMeans(10, n_init=1, random_state=seed, tol=0.0).fit(x).inertia_
    elif name == "pca":
        figure = PCA(50, random_state=seed).fit(x).explained_variance_ratio_.sum()
    elif name == "gmm":
        # With noise between levels no column is constant, and neither library has to hold up a variance.
        x *= 255
        x += np.random.default_rng(seed).random(x.shape, dtype=np.float32)
        x /= 256
        start = time.perf_counter()
        model = GaussianMixture(10, covariance_type="diag", max_iter=20, tol=0.0, reg_covar=0.0, random_state=seed)
        figure = model.fit(x).score(x)
    else:
        queries = images("t10k-images-idx3-ubyte")[:200]
        start = time.perf_counter()
        figure = KernelDensity(bandwidth=1.0).fit(x).score_samples(queries).mean()
    seconds = time.perf_counter() - start
    rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"seconds": seconds, "figure": float(figure), "peak_rss": rss}))


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--genus", help="the program genus-peers")
    arguments.add_argument("--methods", default=",".join(METHODS))
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--threads", type=int, default=2)
    arguments.add_argument("--sklearn", help=argparse.SUPPRESS)
    arguments.add_argument("--seed", type=int, default=0, help=argparse.SUPPRESS)
    options = arguments.parse_args()
    if options.sklearn:
        return sklearn(options.sklearn, options.seed, options.threads)
    threads = str(options.threads)
    env = os.environ | {"OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads}
    print("| method | scikit-learn | genus | ratio | figure | scikit-learn | genus |\n|---|---|---|---|---|---|---|")
    for method in options.methods.split(","):
        found = {"sklearn": [], "genus": []}
        for seed in range(options.rounds):
            commands = {
                "sklearn": [sys.executable, __file__, "--sklearn", method, "--seed", str(seed), "--threads", threads],
                "genus": [options.genus, "--classical", method, "--threads", threads],
            }
            for who, command in commands.items():
                if command[0]:
                    out = subprocess.run(command, env=env, check=True, capture_output=True, text=True).stdout
                    found[who].append(json.loads(out))
        median = {who: {k: statistics.median(r[k] for r in runs) for k in runs[0]} for who, runs in found.items() if runs}
        time_of = {w: f"{m['seconds']:.2f} s, {m['peak_rss'] / 2**20:.0f} MiB" for w, m in median.items()}
        ratio = f"{median['sklearn']['seconds'] / median['genus']['seconds']:.2f}" if "genus" in median else "–"
        figures = {w: f"{m['figure']:.6g}" for w, m in median.items()}
        print(f"| {method} | {time_of['sklearn']} | {time_of.get('genus', '–')} | {ratio} | {FIGURES[method]} | {figures['sklearn']} | {figures.get('genus', '–')} |", flush=True)


if __name__ == "__main__":
    main()
