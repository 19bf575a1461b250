"""JAX: the whole step inside one jit, weights and moments donated."""

import os
import sys

from worker import serve, threads

os.environ["XLA_FLAGS"] = f"--xla_cpu_multi_thread_eigen={'true' if threads() > 1 else 'false'}"
if hasattr(os, "sched_setaffinity"):  # XLA takes as many threads as there are processors to run on
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: threads()])

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

import works


def nll(logits, x):
    return jnp.sum(jax.nn.softplus(logits) - logits * x, axis=tuple(range(1, x.ndim))).mean()


def mlp(p, x):
    for i in range(0, len(p), 2):
        x = x @ p[i] + p[i + 1]
        x = jax.nn.relu(x) if i + 2 < len(p) else x
    return x


def vae(p, x, key):
    mean, log_variance = jnp.split(mlp(p[:4], x), 2, 1)
    z = mean + jnp.exp(0.5 * log_variance) * jax.random.normal(key, mean.shape)
    kl = 0.5 * (mean**2 + jnp.exp(log_variance) - 1 - log_variance).sum(1).mean()
    return nll(mlp(p[4:], z), x) + kl


MASKS = [jnp.asarray(m) for m in works.masks([784, 500, 500, 784])]


def made(p, x, _):
    h = jax.nn.relu(x @ (p[0] * MASKS[0]) + p[1])
    h = jax.nn.relu(h @ (p[2] * MASKS[1]) + p[3])
    return nll(h @ (p[4] * MASKS[2]) + p[5], x)


def conv(x, w, b, **how):
    return lax.conv_general_dilated(x, w, dimension_numbers=("NHWC", "OIHW", "NHWC"), **how) + b


def pixelcnn_logits(p, x):
    for i, mask in enumerate([works.causal(7, "A")] + [works.causal(3, "B")] * 5):
        x = jax.nn.relu(conv(x, p[2 * i] * mask, p[2 * i + 1], window_strides=(1, 1), padding="SAME"))
    return conv(x, p[12], p[13], window_strides=(1, 1), padding="SAME")


def pixelcnn(p, x, _):
    image = x.reshape(-1, 28, 28, 1)
    return nll(pixelcnn_logits(p, image), image)


def realnvp(p, x, _):
    log_det = 0.0
    for c in range(8):
        net = p[6 * c : 6 * c + 6]
        a, b = x[:, c % 2 : c % 2 + 1], x[:, 1 - c % 2 : 2 - c % 2]
        s, t = jnp.split(mlp(net, a), 2, 1)
        s = jnp.tanh(s)
        b = b * jnp.exp(s) + t
        log_det = log_det + s.sum(1)
        x = jnp.concatenate([a, b] if c % 2 == 0 else [b, a], 1)
    return (0.5 * (x**2).sum(1) + np.log(2 * np.pi) - log_det).mean()


def nade(p, x, _):
    w, v, b, c = p

    def one(a, per):
        w_d, v_d, b_d, x_d = per
        logit = b_d + jax.nn.sigmoid(a) @ v_d
        return a + x_d[:, None] * w_d, jax.nn.softplus(logit) - logit * x_d
    _, each = lax.scan(one, jnp.broadcast_to(c, (x.shape[0], c.size)), (w, v, b, x.T))
    return each.sum(0).mean()


def adam(p, g, m, v, t, rate, b1, b2=0.999):
    m = [b1 * m + (1 - b1) * g for m, g in zip(m, g)]
    v = [b2 * v + (1 - b2) * g * g for v, g in zip(v, g)]
    scale = rate * jnp.sqrt(1 - b2**t) / (1 - b1**t)
    return [p - scale * m / (jnp.sqrt(v) + 1e-8) for p, m, v in zip(p, m, v)], m, v


def training(name, loss, data):
    def step(p, m, v, t, x, key):
        value, g = jax.value_and_grad(loss)(p, x, key)
        return (*adam(p, g, m, v, t, 1e-3, 0.9), value)

    step = jax.jit(step, donate_argnums=(0, 1, 2))
    p = [jnp.asarray(a) for a in works.init(name)]
    state = {"p": p, "m": [jnp.zeros_like(a) for a in p], "v": [jnp.zeros_like(a) for a in p], "t": 0, "at": works.ROWS}
    rng, batch = np.random.default_rng(2), works.BATCH[name]

    def run(steps):
        value = 0.0
        for _ in range(steps):
            if state["at"] + batch > works.ROWS:
                state.update(order=rng.permutation(works.ROWS), at=0)
            x = data[state["order"][state["at"] : state["at"] + batch]]
            state["at"] += batch
            state["t"] += 1
            state["p"], state["m"], state["v"], value = step(
                state["p"], state["m"], state["v"], float(state["t"]), x, jax.random.key(state["t"]))
            value = float(value)
        return value
    return run


def rbm():
    def step(w, b, c, v0, key):
        k1, k2 = jax.random.split(key)
        h0 = jax.nn.sigmoid(v0 @ w + c)
        v1 = jax.random.bernoulli(k2, jax.nn.sigmoid(jax.random.bernoulli(k1, h0).astype(jnp.float32) @ w.T + b))
        v1 = v1.astype(jnp.float32)
        h1 = jax.nn.sigmoid(v1 @ w + c)
        rate = 0.05 / 100
        return (w + rate * (v0.T @ h0 - v1.T @ h1), b + rate * (v0 - v1).sum(0), c + rate * (h0 - h1).sum(0),
                ((v0 - v1) ** 2).sum())

    step = jax.jit(step, donate_argnums=(0, 1, 2))
    state = {"p": [jnp.asarray(a) for a in works.init("rbm")], "t": 0}
    data, rng = works.bits(), np.random.default_rng(2)

    def run(steps):
        value = 0.0
        for _ in range(steps):
            state["t"] += 1
            *state["p"], value = step(*state["p"], data[rng.integers(0, works.ROWS, 100)], jax.random.key(state["t"]))
            value = float(value)
        return value
    return run


def dcgan():
    how = {"dimension_numbers": ("NHWC", "IOHW", "NHWC"), "lhs_dilation": (2, 2), "window_strides": (1, 1), "padding": ((2, 2), (2, 2))}

    def up(x, w, b):
        return lax.conv_general_dilated(x, w[:, :, ::-1, ::-1], **how) + b

    def generate(g, z):
        x = jax.nn.relu(z @ g[0] + g[1]).reshape(-1, 7, 7, 128)
        return jnp.tanh(up(jax.nn.relu(up(x, g[2], g[3])), g[4], g[5]))

    def judge(d, x):
        down = {"window_strides": (2, 2), "padding": ((1, 1), (1, 1))}
        x = jax.nn.leaky_relu(conv(x, d[0], d[1], **down), 0.2)
        x = jax.nn.leaky_relu(conv(x, d[2], d[3], **down), 0.2)
        return x.reshape(x.shape[0], -1) @ d[4] + d[5]

    def step(g, gm, gv, d, dm, dv, t, x, key):
        k1, k2 = jax.random.split(key)
        fake = generate(g, jax.random.normal(k1, (64, 100)))
        value, grad = jax.value_and_grad(
            lambda d: jax.nn.softplus(-judge(d, x)).mean() + jax.nn.softplus(judge(d, fake)).mean())(d)
        d, dm, dv = adam(d, grad, dm, dv, t, 2e-4, 0.5)
        z = jax.random.normal(k2, (64, 100))
        other, grad = jax.value_and_grad(lambda g: jax.nn.softplus(-judge(d, generate(g, z))).mean())(g)
        g, gm, gv = adam(g, grad, gm, gv, t, 2e-4, 0.5)
        return g, gm, gv, d, dm, dv, value + other

    step = jax.jit(step, donate_argnums=(0, 1, 2, 3, 4, 5))
    g, d = ([jnp.asarray(a) for a in p] for p in works.init("dcgan"))
    zeros = lambda p: [jnp.zeros_like(a) for a in p]
    state = {"p": [g, zeros(g), zeros(g), d, zeros(d), zeros(d)], "t": 0}
    data, rng = (works.bits() * 2 - 1).reshape(-1, 28, 28, 1), np.random.default_rng(2)

    def run(steps):
        value = 0.0
        for _ in range(steps):
            state["t"] += 1
            *state["p"], value = step(
                *state["p"], float(state["t"]), data[rng.integers(0, works.ROWS, 64)], jax.random.key(state["t"]))
            value = float(value)
        return value
    return run


def pixelcnn_sample():
    p = [jnp.asarray(a) for a in works.init("pixelcnn")]

    # A loop of compiled passes: all of them as one compiled loop had not ended after five minutes.
    @jax.jit
    def one(key, k, x):
        i, j = k // 28, k % 28
        logit = pixelcnn_logits(p, x)[:, i, j, 0]
        bit = jax.random.bernoulli(jax.random.fold_in(key, k), jax.nn.sigmoid(logit))
        return x.at[:, i, j, 0].set(bit.astype(jnp.float32))

    def sample(key):
        x = jnp.zeros((16, 28, 28, 1))
        for k in range(784):
            x = one(key, k, x)
        return x
    return lambda steps: [float(sample(jax.random.key(s)).mean()) for s in range(steps)][-1]


def nade_sample():
    w, v, b, c = (jnp.asarray(a) for a in works.init("nade"))

    @jax.jit
    def sample(key):
        u = jax.random.uniform(key, (784, 100))

        def one(a, per):
            w_d, v_d, b_d, u_d = per
            x = (u_d < jax.nn.sigmoid(b_d + jax.nn.sigmoid(a) @ v_d)).astype(jnp.float32)
            return a + x[:, None] * w_d, x
        return lax.scan(one, jnp.broadcast_to(c, (100, 500)), (w, v, b, u))[1]
    return lambda steps: [float(sample(jax.random.key(s)).mean()) for s in range(steps)][-1]


def prepare(name):
    if name in ("vae", "made", "pixelcnn", "nade-train"):
        loss = {"vae": vae, "made": made, "pixelcnn": pixelcnn, "nade-train": nade}[name]
        return training(name, loss, works.bits())
    if name == "realnvp":
        return training(name, realnvp, works.plane())
    make = {"rbm": rbm, "dcgan": dcgan, "pixelcnn-sample": pixelcnn_sample, "nade-sample": nade_sample, "nade-sample-naive": nade_sample}
    return make[name]() if name in make else None


serve(prepare)
