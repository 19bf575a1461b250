"""Linear ICA of Genus beside FastICA of scikit-learn on mixtures of known sources.

    python ica.py --genus ../../target/release/genus

Sources are mixed by matrices of condition 10 and written as one table, which both take whole, with the same algorithm and contrast; scikit-learn
works in double precision, whitens by itself and begins elsewhere. Genus runs once with its own tolerance and once, like scikit-learn, with 1e-12.
Unmixing matrices of Genus are recovered from its codes by least squares; that codes are linear in the rows is checked.

Amari index: for P = unmixing · mixing, the mean over rows and columns of (Σ|p| / max|p| − 1) / (n − 1); 0 for a scaled permutation.
Apart: the largest 1 − |correlation| over components of both, matched one to one; then the same of scikit-learn and itself from another start.
Deflation has another answer for each order in which it meets the sources, so neither agrees with the other better than with itself. The last
column is for the same order: that of Genus is recovered from what is stationary beside what, and scikit-learn begins near it, 0.05 of noise away.
Needs numpy, scipy and scikit-learn.
"""
import argparse
import itertools
import pathlib
import subprocess
import tempfile
import warnings

import numpy as np
from scipy.optimize import linear_sum_assignment
from sklearn.decomposition import FastICA

# Sources, rows.
CASES = [(4, 2_000), (8, 5_000), (12, 20_000)]
TIGHT = 1e-12
ITERATIONS = 5_000


def sources(count, rows, rng):
    t = np.arange(rows)
    turns = lambda period: t / period + rng.random()
    saw = lambda period: 2 * (turns(period) % 1) - 1
    made = [
        rng.uniform(-1, 1, rows),
        rng.laplace(size=rows),
        np.sin(2 * np.pi * turns(37.3)),
        saw(53.9),
        np.sign(np.sin(2 * np.pi * turns(71.7))),
        rng.exponential(size=rows),
        rng.choice([-1, 1], rows) + 0.2 * rng.normal(size=rows),
        rng.standard_t(6, rows),
        np.sin(2 * np.pi * turns(17.1)),
        rng.logistic(size=rows),
        rng.beta(0.7, 0.7, rows),
        rng.laplace(size=rows) * rng.uniform(0.5, 1.5, rows),
    ]
    s = np.stack(made[:count], 1)
    return (s - s.mean(0)) / s.std(0)


def mixture(count, rng):
    turn = lambda: np.linalg.qr(rng.normal(size=(count, count)))[0]
    return turn() @ np.diag(np.geomspace(1, 10, count)) @ turn()


def amari(p):
    p = np.abs(p)
    each = [(m.sum(1) / m.max(1) - 1).sum() for m in (p, p.T)]
    return sum(each) / (2 * len(p) * (len(p) - 1))


def apart(a, b):
    n = a.shape[1]
    alike = np.abs(np.corrcoef(a.T, b.T)[:n, n:])
    return (1 - alike[linear_sum_assignment(-alike)]).max()


CONTRASTS = {
    "logcosh": lambda u: (np.tanh(u), 1 - np.tanh(u) ** 2),
    "exp": lambda u: (u * np.exp(-(u**2) / 2), (1 - u**2) * np.exp(-(u**2) / 2)),
    "cube": lambda u: (u**3, 3 * u**2),
}


def order_of(z, w, contrast):
    """The order in which deflation found the rows of w: each is stationary, but for what those before it take away."""
    found, left = [], list(range(len(w)))

    def turned(i):
        g, slope = CONTRASTS[contrast](z @ w[i])
        to = z.T @ g / len(z) - slope.mean() * w[i]
        to -= w[found].T @ (w[found] @ to)
        return 1 - abs(to @ w[i]) / np.linalg.norm(to)

    while left:
        found.append(min(left, key=turned))
        left.remove(found[-1])
    return found


def same_order(rows, codes, contrast, rng):
    """How far components of scikit-learn's deflation are from those of codes, when it begins near them in their order."""
    centred = rows - rows.mean(0)
    values, vectors = np.linalg.eigh(centred.T @ centred / len(rows))
    z = centred @ vectors / np.sqrt(values)
    w = np.linalg.lstsq(z, codes - codes.mean(0), rcond=None)[0].T
    w /= np.linalg.norm(w, axis=1, keepdims=True)
    begin = w[order_of(z, w, contrast)] + 0.05 * rng.normal(size=w.shape)
    ica = FastICA(algorithm="deflation", fun=contrast, tol=TIGHT, max_iter=ITERATIONS, whiten=False, w_init=begin)
    return apart(codes, ica.fit_transform(z))


def genus(program, folder, table, rows, keys):
    folder = pathlib.Path(tempfile.mkdtemp(dir=folder))
    run, codes = folder / "run", folder / "codes.npy"
    command = [program, "train", "linear-ica", "--data", str(table), "--split", "1/0/0", "--out", str(run), "--no-audit"]
    done = subprocess.run(command + [a for k in keys for a in ("--set", k)], check=True, capture_output=True, text=True)
    converged = "did not converge" not in done.stdout + done.stderr
    command = [program, "encode", str(run), "--data", str(table), "--split", "1/0/0", "--rows", "train", "-o", str(codes)]
    subprocess.run(command, check=True, capture_output=True)
    codes = np.load(codes).astype(float)
    centred = rows - rows.mean(0)
    unmixing, *_ = np.linalg.lstsq(centred, codes - codes.mean(0), rcond=None)
    left = np.abs(codes - codes.mean(0) - centred @ unmixing).max()
    if left > 1e-4:
        raise SystemExit(f"codes are not linear in the rows: {left} is left")
    subprocess.run(["rm", "-r", str(run)], check=True)
    return codes, unmixing.T, converged


def peer(rows, algorithm, contrast, seed):
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        ica = FastICA(algorithm=algorithm, fun=contrast, tol=TIGHT, max_iter=ITERATIONS, whiten="unit-variance", random_state=seed)
        codes = ica.fit_transform(rows)
    return codes, ica.components_, not any("did not converge" in str(w.message) for w in heard)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--genus", default="../../target/release/genus")
    options = parser.parse_args()
    line = "{:>7} {:>7} {:>10} {:>8}  {:>14} {:>9} {:>9}  {:>8} {:>11} {:>11}"
    print(line.format("sources", "rows", "algorithm", "contrast", "Amari: default", "tight", "sklearn", "apart", "sklearn's", "same order"))
    for case, (count, n) in enumerate(CASES):
        rng = np.random.default_rng(case)
        a = mixture(count, rng)
        rows = sources(count, n, rng) @ a.T + rng.normal(size=count)
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            table = folder / "rows.csv"
            names = ",".join(f"x{i}" for i in range(count))
            np.savetxt(table, rows, delimiter=",", header=names, comments="", fmt="%.17g")
            for algorithm, contrast in itertools.product(("parallel", "deflation"), ("logcosh", "exp", "cube")):
                ours = {"parallel": "symmetric"}.get(algorithm, algorithm)
                keys = [f'algorithm="{ours}"', f'contrast="{contrast}"']
                tight = keys + [f"tolerance={TIGHT}", f"iterations={ITERATIONS}"]
                _, loose, ended = genus(options.genus, folder, table, rows, keys)
                codes, unmixing, ended_tight = genus(options.genus, folder, table, rows, tight)
                theirs, components, ended_there = peer(rows, algorithm, contrast, 0)
                again, _, ended_again = peer(rows, algorithm, contrast, 1)
                figures = [f"{amari(w @ a):.4f}" + ("" if e else "*") for w, e in ((loose, ended), (unmixing, ended_tight), (components, ended_there))]
                far = f"{apart(codes, theirs):.1e}", f"{apart(theirs, again):.1e}" + ("" if ended_again else "*")
                near = f"{same_order(rows, codes, contrast, rng):.1e}" if algorithm == "deflation" else ""
                print(line.format(count, n, ours, contrast, *figures, *far, near).rstrip(), flush=True)
    print("* did not converge")


if __name__ == "__main__":
    main()
