"""Flows of Genus beside those of zuko on eight Gaussians: so many seconds of training each, batches of 256, one after the other.

    python flows.py --genus ../../target/release/genus --seconds 45
    python flows.py --genus ../../target/release/genus --seconds 10 --columns 21 --kinds "affine, autoregressive"

Both see the same rows; Genus keeps the weights that validation rows like best. Prints the gap to the entropy on test rows, milliseconds a step and
milliseconds for 1,000 draws. The coupling spline is also written by hand in JAX, the whole step in one `jit`, for its milliseconds a step.
With `--columns` above 2, rows are normal, correlated and of that many columns. Needs torch, zuko and jax.
"""
import argparse
import json
import math
import pathlib
import subprocess
import tempfile
import time

import numpy as np
import torch
import zuko

ENTROPY = 2.831880406138
KINDS = {
    "spline, autoregressive": (lambda d: zuko.flows.NSF(d, transforms=5, bins=8, hidden_features=(64, 64)), ["spline-flow", "bins=8", "bound=5", "train.optimizer.rate=0.001", "layers=5", "hidden=[64,64]"]),
    "spline, coupling": (lambda d: zuko.flows.NSF(d, transforms=5, bins=8, hidden_features=(64, 64), passes=2), ["spline-flow", 'steps="coupling"', "bins=8", "bound=5", "train.optimizer.rate=0.001", "layers=5", "hidden=[64,64]"]),
    "affine, autoregressive": (lambda d: zuko.flows.MAF(d, transforms=5, hidden_features=(64, 64)), ["maf", "layers=5", "hidden=[64,64]"]),
}


def normals(n, columns, generator):
    """Rows of correlated normal columns, each a walk of the one before, with their entropy."""
    steps = torch.randn(n, columns, generator=generator)
    return steps.cumsum(1) / columns**0.5


def points(n, generator):
    angle = torch.randint(8, (n,), generator=generator) * (math.pi / 4)
    centre = 4 * torch.stack([angle.cos(), angle.sin()], 1)
    return (centre + 0.5 * torch.randn(n, 2, generator=generator)) / 1.414


def jax_spline(sets, seconds):
    """Milliseconds a step of five spline couplings, 8 bins, networks 1-64-64-23, by hand."""
    import jax
    import jax.numpy as jnp

    bins, bound, least = 8, 5.0, 1e-3
    rng = np.random.default_rng(1)
    widths = (1, 64, 64, 3 * bins - 1)
    arrays = []
    for _ in range(5):
        for a, b in zip(widths, widths[1:]):
            last = b == widths[-1]
            arrays += [jnp.asarray(rng.uniform(-1, 1, (a, b)) * (0 if last else (6 / a) ** 0.5), jnp.float32), jnp.zeros(b)]

    def spline(x, of):
        sizes = lambda raw: (jax.nn.softmax(raw, 1) * (1 - bins * least) + least) * 2 * bound
        w, h = sizes(of[:, :bins]), sizes(of[:, bins : 2 * bins])
        slopes = jax.nn.softplus(of[:, 2 * bins :] + np.log(np.expm1(1 - least))) + least
        slopes = jnp.pad(slopes, ((0, 0), (1, 1)), constant_values=1.0)
        left, low = (jnp.pad(jnp.cumsum(v, 1), ((0, 0), (1, 0))) - bound for v in (w, h))
        at = jnp.clip(x, -bound, bound)
        k = jnp.clip((left[:, 1:] <= at[:, None]).sum(1), 0, bins - 1)[:, None]
        pick = lambda v: jnp.take_along_axis(v, k, 1)[:, 0]
        wk, hk, d0, d1 = pick(w), pick(h), pick(slopes[:, :-1]), pick(slopes[:, 1:])
        s, t = hk / wk, (at - pick(left)) / wk
        q = t * (1 - t)
        den = s + (d0 + d1 - 2 * s) * q
        y = pick(low) + hk * (s * t * t + d0 * q) / den
        log = 2 * jnp.log(s) + jnp.log(d1 * t * t + 2 * s * q + d0 * (1 - t) ** 2) - 2 * jnp.log(den)
        inside = jnp.abs(x) < bound
        return jnp.where(inside, y, x), jnp.where(inside, log, 0.0)

    def loss(p, x):
        log_det = 0.0
        for c in range(5):
            w0, b0, w1, b1, w2, b2 = p[6 * c : 6 * c + 6]
            kept, moved = x[:, c % 2], x[:, 1 - c % 2]
            hidden = jax.nn.relu(jax.nn.relu(kept[:, None] @ w0 + b0) @ w1 + b1)
            moved, log = spline(moved, hidden @ w2 + b2)
            log_det = log_det + log
            x = jnp.stack([kept, moved] if c % 2 == 0 else [moved, kept], 1)
        return (0.5 * (x**2).sum(1) + np.log(2 * np.pi) - log_det).mean()

    def step(p, m, v, t, x):
        value, g = jax.value_and_grad(loss)(p, x)
        m = [0.9 * m + 0.1 * g for m, g in zip(m, g)]
        v = [0.999 * v + 0.001 * g * g for v, g in zip(v, g)]
        scale = 1e-3 * jnp.sqrt(1 - 0.999**t) / (1 - 0.9**t)
        return [p - scale * m / (jnp.sqrt(v) + 1e-8) for p, m, v in zip(p, m, v)], m, v, value

    step = jax.jit(step, donate_argnums=(0, 1, 2))
    p, m, v = arrays, [jnp.zeros_like(a) for a in arrays], [jnp.zeros_like(a) for a in arrays]
    rows = sets["train"].numpy()
    rows = (rows - rows.mean(0)) / rows.std(0)
    times, t, begin = [], 0, time.perf_counter()
    while time.perf_counter() - begin < seconds:
        start = time.perf_counter()
        for _ in range(100):
            t += 1
            p, m, v, value = step(p, m, v, t, rows[rng.integers(0, len(rows), 256)])
        value.block_until_ready()
        times.append(10 * (time.perf_counter() - start))
    return sorted(times)[len(times) // 2], float(value)


def zuko_flow(make, sets, seconds):
    generator = torch.Generator().manual_seed(1)
    train, test = sets["train"], sets["test"]
    mean, std = train.mean(0), train.std(0)
    scale = lambda x: (x - mean) / std
    flow, steps = make(train.shape[1]), 0
    optimizer = torch.optim.Adam(flow.parameters(), 1e-3)
    start = time.perf_counter()
    while time.perf_counter() - start < seconds:
        rows = torch.randint(len(train), (256,), generator=generator)
        loss = -flow().log_prob(scale(train[rows])).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        steps += 1
    took = time.perf_counter() - start
    with torch.no_grad():
        nll = -(flow().log_prob(scale(test)) - std.log().sum()).mean().item()
        times = []
        for _ in range(20):
            begin = time.perf_counter()
            flow().sample((1000,))
            times.append(time.perf_counter() - begin)
    return nll, 1000 * took / steps, 1000 * sorted(times)[10]


def genus_flow(program, words, sets, seconds):
    with tempfile.TemporaryDirectory() as folder:
        data = str(pathlib.Path(folder) / "rows.npz")
        np.savez(data, **{name: rows.numpy() for name, rows in sets.items()})
        run = str(pathlib.Path(folder) / "run")
        keys = [*words[1:], "train.batch=256", "train.ema=0.999", "train.epochs=1000000", "train.patience=0"]
        # Three quarters of the time are for the training.
        command = [program, "train", words[0], "--data", data, "--out", run, "--no-audit", "--time", f"{seconds / 0.75}s"]
        subprocess.run(command + [a for k in keys for a in ("--set", k)], check=True, capture_output=True)
        summary = json.loads((pathlib.Path(run) / "summary.json").read_text())
        score = next(s for s in summary["scores"] if s["split"] == "test")
        took = dict(summary["seconds"])["train"]
        times = []
        for n in (1_000, 201_000):
            begin = time.perf_counter()
            subprocess.run([program, "sample", run, "-n", str(n), "-o", str(pathlib.Path(folder) / "x.npy")], check=True, capture_output=True)
            times.append(time.perf_counter() - begin)
    # What the start of the program takes is in both.
    return -score["nats"], 1000 * took / summary["steps"], 1000 * (times[1] - times[0]) / 200


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--genus", default="../../target/release/genus")
    parser.add_argument("--seconds", type=float, default=45)
    parser.add_argument("--columns", type=int, default=2)
    parser.add_argument("--kinds", nargs="*", default=list(KINDS))
    options = parser.parse_args()
    torch.set_num_threads(2)
    generator = torch.Generator().manual_seed(0)
    draw = points if options.columns == 2 else lambda n, generator: normals(n, options.columns, generator)
    entropy = ENTROPY if options.columns == 2 else options.columns / 2 * (math.log(2 * math.pi * math.e) - math.log(options.columns))
    sets = {name: draw(n, generator) for name, n in (("train", 10_000), ("valid", 2_000), ("test", 50_000))}
    for name in options.kinds:
        make, words = KINDS[name]
        for who, found in (("zuko", zuko_flow(make, sets, options.seconds)), ("genus", genus_flow(options.genus, words, sets, options.seconds))):
            print("{}: {}: gap {:.4f} nats, {:.3f} ms a step, {:.3f} ms for 1000 draws".format(name, who, found[0] - entropy, *found[1:]), flush=True)
        if name == "spline, coupling" and options.columns == 2:
            print("{}: jax: {:.3f} ms a step (last loss {:.3f})".format(name, *jax_spline(sets, options.seconds)), flush=True)


if __name__ == "__main__":
    main()
