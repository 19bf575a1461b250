"""Flows of Genus beside those of zuko on eight Gaussians: so many seconds of training each, batches of 256, one after the other.

    python flows.py --genus ../../target/release/genus --seconds 45

Both see the same rows; Genus keeps the weights that validation rows like best. Prints the gap to the entropy on test rows, milliseconds a step and milliseconds for 1,000 draws. Needs torch and zuko.
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
    "spline, autoregressive": (lambda: zuko.flows.NSF(2, transforms=5, bins=8, hidden_features=(64, 64)), ["spline-flow", "bins=8", "bound=5", "train.optimizer.rate=0.001", "layers=5", "hidden=[64,64]"]),
    "spline, coupling": (lambda: zuko.flows.NSF(2, transforms=5, bins=8, hidden_features=(64, 64), passes=2), ["spline-flow", 'steps="coupling"', "bins=8", "bound=5", "train.optimizer.rate=0.001", "layers=5", "hidden=[64,64]"]),
    "affine, autoregressive": (lambda: zuko.flows.MAF(2, transforms=5, hidden_features=(64, 64)), ["maf", "layers=5", "hidden=[64,64]"]),
}


def points(n, generator):
    angle = torch.randint(8, (n,), generator=generator) * (math.pi / 4)
    centre = 4 * torch.stack([angle.cos(), angle.sin()], 1)
    return (centre + 0.5 * torch.randn(n, 2, generator=generator)) / 1.414


def zuko_flow(make, sets, seconds):
    generator = torch.Generator().manual_seed(1)
    train, test = sets["train"], sets["test"]
    mean, std = train.mean(0), train.std(0)
    scale = lambda x: (x - mean) / std
    flow, steps = make(), 0
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
    return nll - ENTROPY, 1000 * took / steps, 1000 * sorted(times)[10]


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
    return -score["nats"] - ENTROPY, 1000 * took / summary["steps"], 1000 * (times[1] - times[0]) / 200


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--genus", default="../../target/release/genus")
    parser.add_argument("--seconds", type=float, default=45)
    options = parser.parse_args()
    torch.set_num_threads(2)
    generator = torch.Generator().manual_seed(0)
    sets = {name: points(n, generator) for name, n in (("train", 10_000), ("valid", 2_000), ("test", 50_000))}
    for name, (make, words) in KINDS.items():
        for who, found in (("zuko", zuko_flow(make, sets, options.seconds)), ("genus", genus_flow(options.genus, words, sets, options.seconds))):
            print("{}: {}: gap {:.4f} nats, {:.3f} ms a step, {:.3f} ms for 1000 draws".format(name, who, *found), flush=True)


if __name__ == "__main__":
    main()
