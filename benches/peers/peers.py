"""Runs the same work in several libraries, alternately, and prints medians and ratios. See README.md."""

import argparse
import datetime
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

HERE = Path(__file__).parent
TUNED = {"MALLOC_MMAP_THRESHOLD_": "1000000000", "MALLOC_TRIM_THRESHOLD_": "1000000000"}
PEERS = {
    "torch": (["torch_peer.py"], {}),
    "torch-malloc": (["torch_peer.py"], TUNED),
    "torch-compile": (["torch_peer.py", "--compile"], TUNED),
    "jax": (["jax_peer.py"], {}),
    "sklearn": (["sklearn_peer.py"], {}),
}
WORKS = ["vae", "made", "pixelcnn", "rbm", "realnvp", "dcgan", "wgan-gp", "nade-train", "lstm", "pixelcnn-sample", "gated-sample", "ais", "nade-sample-naive",
         "nade-sample", "sgemm-fwd", "sgemm-512", "sgemm-dx", "sgemm-dw"]


class Peer:
    def __init__(self, name, options):
        extra = {}
        if name == "genus":
            command = [options.genus]
        else:
            script, extra = PEERS[name]
            command = [sys.executable, str(HERE / script[0]), *script[1:]]
        # Threads that spin while another peer works would take its processor: let them sleep at once between samples.
        env = os.environ | {"OMP_NUM_THREADS": str(options.threads), "KMP_BLOCKTIME": "1"} | extra
        env["RAYON_NUM_THREADS"] = str(options.threads)
        self.name, self.samples, self.rss, self.steps = name, [], 0, 1
        self.process = subprocess.Popen(
            [*command, "--threads", str(options.threads)], env=env, text=True, cwd=HERE,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=sys.stderr if options.verbose else subprocess.DEVNULL)

    def ask(self, **request):
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            return {"skip": f"it ended with code {self.process.wait()}; run with --verbose to see why"}
        return json.loads(answer)

    def sample(self, work, keep=True):
        answer = self.ask(work=work, steps=self.steps)
        if "skip" in answer:
            raise RuntimeError(f"{self.name}: {answer['skip']}")
        per_step = answer["seconds"] / self.steps
        self.rss = answer["peak_rss"]
        if keep:
            self.samples.append(per_step)
        return per_step

    def end(self):
        if self.process.poll() is None:
            self.process.stdin.write('{"quit": true}\n')
            self.process.stdin.flush()
            self.process.wait(10)


def measure(work, names, options):
    peers = []
    for name in names:
        peer = Peer(name, options)
        answer = peer.ask(work=work, prepare=True)
        if "skip" in answer:
            print(f"{work}: {name} left out: {answer['skip']}", file=sys.stderr)
            peer.end()
            continue
        peer.steps = max(1, round(options.seconds / max(peer.sample(work, keep=False), 1e-9)))
        peers.append(peer)
    for turn in range(options.rounds):
        for peer in peers[turn % len(peers):] + peers[:turn % len(peers)]:
            peer.sample(work)
            time.sleep(0.02)
    for peer in peers:
        peer.end()
    return {p.name: {"ms": 1e3 * statistics.median(p.samples), "rss": p.rss / 2**20,
                     "samples": p.samples, "steps": p.steps} for p in peers}


def digits(x):
    return f"{x:.3g}" if x < 100 else f"{x:.0f}"


def table(results):
    names = [n for n in [*PEERS, "genus"] if any(n in r for r in results.values())]
    rows = [["work", *names, "torch / genus", "jax / genus"]]
    for work, found in results.items():
        cells = [f"{digits(found[n]['ms'])} ms, {found[n]['rss']:.0f} MiB" if n in found else "–" for n in names]
        ours = found.get("genus", {}).get("ms")
        torch = [found[n]["ms"] for n in ("torch", "torch-malloc") if n in found]
        ratio = f"{digits(min(torch) / ours)}" if ours and torch else "–"
        other = f"{digits(found['jax']['ms'] / ours)}" if ours and "jax" in found else "–"
        rows.append([work, *cells, ratio, other])
    lines = ["| " + " | ".join(r) + " |" for r in rows]
    lines.insert(1, "|" + "---|" * len(rows[0]))
    return "\n".join(lines)


def processor():
    for line in Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []:
        if line.startswith("model name"):
            return line.split(":")[1].strip()
    return platform.processor()


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--genus", help="the program genus-peers; without it only the others run")
    arguments.add_argument("--work", default=",".join(WORKS), help="names, separated by commas")
    arguments.add_argument("--peers", default=",".join(PEERS))
    arguments.add_argument("--rounds", type=int, default=15, help="samples of each peer")
    arguments.add_argument("--seconds", type=float, default=0.4, help="aimed length of a sample")
    arguments.add_argument("--threads", type=int, default=2)
    arguments.add_argument("--out", help="file for all samples, as JSON")
    arguments.add_argument("--verbose", action="store_true", help="show what the peers say")
    options = arguments.parse_args()
    if options.genus:
        options.genus = str(Path(options.genus).resolve(strict=True))
    works, names = options.work.split(","), options.peers.split(",") + (["genus"] if options.genus else [])
    for unknown in [w for w in works if w not in WORKS] + [n for n in names if n not in [*PEERS, "genus"]]:
        arguments.error(f"{unknown} is not known; works: {', '.join(WORKS)}; peers: {', '.join(PEERS)}")
    results = {}
    for work in works:
        results[work] = measure(work, names, options)
        print(table({work: results[work]}), file=sys.stderr, flush=True)
    print(f"{datetime.date.today()}, {processor()}, {options.threads} threads, medians of {options.rounds} interleaved samples\n")
    print(table(results))
    if options.out:
        versions = {p: version(p) for p in ("torch", "jax", "scikit-learn", "numpy")}
        record = {"date": str(datetime.date.today()), "machine": processor(), "threads": options.threads,
                  "versions": versions, "results": results}
        Path(options.out).write_text(json.dumps(record, indent=1))


main()
