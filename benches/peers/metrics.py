"""What the reference implementations make of two sets of features, for `crates/genus/src/sample_metrics/tests.rs`, which holds Genus to it.

    python metrics.py

Kernel and Fréchet distance by torch-fidelity, precision, recall, density and coverage by prdc, energy distance and Gaussian MMD by their
definitions in double precision. Needs torch-fidelity and prdc.
"""
import numpy as np
from prdc import compute_prdc
from scipy.spatial.distance import cdist
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
from torch_fidelity.metric_kid import kid_features_to_metric

N, D = 400, 8


def features(salt, stretch, shift):
    """Numbers that every language computes alike."""
    r, c = np.meshgrid(np.arange(N, dtype=np.float64), np.arange(D, dtype=np.float64), indexing="ij")
    u = np.sin(12.9898 * (r + 1) + 78.233 * (c + 1) + salt) * 43758.5453
    u = u - np.floor(u)
    v = np.sin(39.346 * (r + 1) + 11.135 * (c + 1) + salt) * 24634.6345
    v = v - np.floor(v)
    return (shift + stretch * (u + v - 1 + 0.3 * c * (v - 0.5))).astype(np.float32)


def main():
    import torch

    real, drawn = features(0.0, 1.0, 0.0), features(7.0, 0.9, 0.1)
    a, b = torch.from_numpy(drawn), torch.from_numpy(real)
    kid = kid_features_to_metric(a.double(), b.double(), kid_subsets=1, kid_subset_size=N, kid_kernel="poly", kid_kernel_poly_degree=3, kid_kernel_poly_gamma=None, kid_kernel_poly_coef0=1, rng_seed=0, verbose=False)
    fid = fid_statistics_to_metric(fid_features_to_statistics(a.double()), fid_features_to_statistics(b.double()), verbose=False)
    print("kernel", list(kid.values())[0])
    print("frechet", list(fid.values())[0])
    for name, value in compute_prdc(real_features=real, fake_features=drawn, nearest_k=5).items():
        print(name, value)
    x, y = drawn.astype(np.float64), real.astype(np.float64)
    within = lambda m: (m.sum() - np.trace(m)) / (N * (N - 1))
    dxy, dxx, dyy = cdist(x, y), cdist(x, x), cdist(y, y)
    print("energy", 2 * dxy.mean() - within(dxx) - within(dyy))
    h = 1.7
    k = lambda d: np.exp(-d**2 / (2 * h * h))
    print("gaussian mmd, h = 1.7", within(k(dxx)) + within(k(dyy)) - 2 * k(dxy).mean())


main()
