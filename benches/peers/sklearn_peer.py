"""scikit-learn's BernoulliRBM: persistent contrastive divergence, which costs the same products as CD-1."""

import numpy as np
from sklearn.neural_network import BernoulliRBM
from threadpoolctl import threadpool_limits

import works
from worker import serve, threads

threadpool_limits(threads())


def prepare(name):
    if name != "rbm":
        return None
    model = BernoulliRBM(n_components=500, learning_rate=0.05, batch_size=100, random_state=0)
    data, rng = works.bits(), np.random.default_rng(2)

    def run(steps):
        for _ in range(steps):
            model.partial_fit(data[rng.integers(0, works.ROWS, 100)])
        return 0.0
    return run


serve(prepare)
