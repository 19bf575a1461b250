"""What every peer starts from: data, sizes and initial weights of each work, as NumPy arrays."""

import numpy as np

ROWS = 12_800
BATCH = {"vae": 128, "made": 100, "pixelcnn": 32, "rbm": 100, "realnvp": 256, "dcgan": 64, "nade-train": 100, "lstm": 16}
GEMM = {  # rows, columns, shared axis, transposed A, transposed B
    "sgemm-fwd": (128, 400, 784, False, False),
    "sgemm-512": (512, 512, 512, False, False),
    "sgemm-dx": (128, 784, 400, False, True),
    "sgemm-dw": (784, 400, 128, True, False),
}


def bits(rows=ROWS, width=784):
    return (np.random.default_rng(0).random((rows, width)) < 0.13).astype(np.float32)


def plane(rows=ROWS):
    """Eight Gaussians on a circle."""
    rng = np.random.default_rng(0)
    angle = rng.integers(0, 8, rows) * (np.pi / 4)
    centre = np.stack([np.cos(angle), np.sin(angle)], 1) * 2
    return (centre + 0.2 * rng.standard_normal((rows, 2))).astype(np.float32)


def masks(widths):
    """Masks of a MADE in natural order; hidden degrees spread evenly over 1..D-1."""
    d = widths[0]
    degrees = [np.arange(1, d + 1)]
    degrees += [np.sort(np.arange(h) % (d - 1) + 1) for h in widths[1:-1]]
    found = [(a[:, None] <= b[None, :]) for a, b in zip(degrees, degrees[1:])]
    found.append(degrees[-1][:, None] < np.arange(1, d + 1)[None, :])
    return [m.astype(np.float32) for m in found]


def causal(size, kind):
    mask = np.ones((size, size), np.float32)
    half = size // 2
    mask[half, half + (kind == "B"):] = 0
    mask[half + 1:] = 0
    return mask


def init(work):
    """A list of weight and bias arrays, in the order of use. Weights are [inputs, outputs], kernels [out, in, high, wide]."""
    rng = np.random.default_rng(1)

    def dense(*widths):
        out = []
        for a, b in zip(widths, widths[1:]):
            out.append((rng.uniform(-1, 1, (a, b)) * np.sqrt(6 / (a + b))).astype(np.float32))
            out.append(np.zeros(b, np.float32))
        return out

    def kernel(o, i, size):
        bound = np.sqrt(6 / (i * size * size))
        return [(rng.uniform(-1, 1, (o, i, size, size)) * bound).astype(np.float32), np.zeros(o, np.float32)]

    if work == "vae":
        return dense(784, 400, 40) + dense(20, 400, 784)
    if work == "made":
        return dense(784, 500, 500, 784)
    if work in ("pixelcnn", "pixelcnn-sample"):
        return sum([kernel(32, 1, 7)] + [kernel(32, 32, 3) for _ in range(5)] + [kernel(1, 32, 1)], [])
    if work == "lstm":
        one = [k for _ in range(2) for k in kernel(128, 64, 1) + [0.1 * rng.standard_normal((128, 32, 2)).astype(np.float32)]]
        return kernel(64, 1, 7) + one + kernel(64, 32, 1) + kernel(64, 32, 1) + kernel(64, 64, 1) + kernel(1, 64, 1)
    if work == "gated-sample":
        layers = []
        for size, i in [(7, 1)] + [(3, 32)] * 4:
            half = size // 2
            across = half if size == 7 else half + 1
            for o, inputs, high, wide in [(64, i, half + 1, size), (64, 64, 1, 1), (64, i, 1, across), (32, 32, 1, 1)]:
                bound = np.sqrt(6 / (inputs * high * wide))
                layers += [(rng.uniform(-1, 1, (o, inputs, high, wide)) * bound).astype(np.float32), np.zeros(o, np.float32)]
        return layers + kernel(64, 32, 1) + kernel(1, 64, 1)
    if work == "ais":
        return [0.05 * rng.standard_normal((784, 500)).astype(np.float32), np.full(784, -2, np.float32), np.zeros(500, np.float32)]
    if work == "rbm":
        return [0.01 * rng.standard_normal((784, 500)).astype(np.float32), np.zeros(784, np.float32), np.zeros(500, np.float32)]
    if work == "realnvp":
        return sum([dense(1, 64, 64, 2) for _ in range(8)], [])
    if work == "dcgan":
        g = dense(100, 7 * 7 * 128)
        for i, o in ((128, 64), (64, 1)):  # transposed kernels are [in, out, high, wide]
            g += [0.05 * rng.standard_normal((i, o, 4, 4)).astype(np.float32), np.zeros(o, np.float32)]
        d = kernel(64, 1, 4) + kernel(128, 64, 4) + dense(7 * 7 * 128, 1)
        return [g, d]
    if work.startswith("nade"):
        w = rng.uniform(-1, 1, (2, 784, 500)).astype(np.float32) * 0.05
        return [w[0], w[1], np.zeros(784, np.float32), np.zeros(500, np.float32)]
    raise KeyError(work)
