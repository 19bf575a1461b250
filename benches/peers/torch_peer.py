"""PyTorch, eager; compiled with --compile."""

import sys

import numpy as np
import torch
import torch.nn.functional as F

import works
from worker import serve, threads

torch.set_num_threads(threads())
COMPILE = "--compile" in sys.argv


def parameters(arrays):
    return [torch.from_numpy(a.copy()).requires_grad_() for a in arrays]


def nll(logits, x):
    return F.binary_cross_entropy_with_logits(logits, x, reduction="none").flatten(1).sum(1).mean()


def mlp(p, x):
    for i in range(0, len(p), 2):
        x = x @ p[i] + p[i + 1]
        x = torch.relu(x) if i + 2 < len(p) else x
    return x


def vae(p):
    def loss(x):
        mean, log_variance = mlp(p[:4], x).chunk(2, 1)
        z = mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean)
        kl = 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).sum(1).mean()
        return nll(mlp(p[4:], z), x) + kl
    return loss


def made(p):
    m = [torch.from_numpy(a) for a in works.masks([784, 500, 500, 784])]

    def loss(x):
        h = torch.relu(x @ (p[0] * m[0]) + p[1])
        h = torch.relu(h @ (p[2] * m[1]) + p[3])
        return nll(h @ (p[4] * m[2]) + p[5], x)
    return loss


def pixelcnn_logits(p):
    m = [torch.from_numpy(works.causal(7, "A"))] + [torch.from_numpy(works.causal(3, "B"))] * 5

    def logits(x):
        for i, mask in enumerate(m):
            x = torch.relu(F.conv2d(x, p[2 * i] * mask, p[2 * i + 1], padding="same"))
        return F.conv2d(x, p[12], p[13])
    return logits


def pixelcnn(p):
    logits = pixelcnn_logits(p)

    def loss(x):
        image = x.view(-1, 1, 28, 28).contiguous(memory_format=torch.channels_last)
        return nll(logits(image), image)
    return loss


def realnvp(p):
    def loss(x):
        log_det = 0.0
        for c in range(8):
            net = p[6 * c : 6 * c + 6]
            a, b = x[:, c % 2 : c % 2 + 1], x[:, 1 - c % 2 : 2 - c % 2]
            s, t = mlp(net, a).chunk(2, 1)
            s = torch.tanh(s)
            b = b * torch.exp(s) + t
            log_det = log_det + s.sum(1)
            x = torch.cat([a, b] if c % 2 == 0 else [b, a], 1)
        return (0.5 * (x**2).sum(1) + np.log(2 * np.pi) - log_det).mean()
    return loss


def nade(p):
    w, v, b, c = p

    def loss(x):
        a, total = c.expand(x.shape[0], -1), 0.0
        for d in range(784):
            logit = b[d] + torch.sigmoid(a) @ v[d]
            total = total + F.binary_cross_entropy_with_logits(logit, x[:, d], reduction="sum")
            a = a + x[:, d : d + 1] * w[d]
        return total / x.shape[0]
    return loss


def lstm(p):
    """A PixelRNN of one Diagonal BiLSTM layer: skew, a convolution of two rows down each column, unskew."""
    mask = torch.from_numpy(works.causal(7, "A"))

    def skewed(x):
        n, c, h, w = x.shape
        return F.pad(x, (0, h)).view(n, c, -1)[:, :, :-h].view(n, c, h, w + h - 1)

    def straight(x):
        n, c, h, wide = x.shape
        return F.pad(x.reshape(n, c, -1), (0, h)).view(n, c, h, wide + 1)[..., : wide + 1 - h]

    def scan(x, w, b, state):
        gates = skewed(F.conv2d(x, w, b))
        n, four, height, wide = gates.shape
        h = c = torch.zeros(n, four // 4, height)
        out = []
        for t in range(wide):
            a = gates[..., t] + F.conv1d(F.pad(h, (1, 0)), state)
            i, f, o, g = a.chunk(4, 1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(c)
            out.append(h)
        return straight(torch.stack(out, 3))

    def loss(x):
        image = x.view(-1, 1, 28, 28)
        y = F.conv2d(image, p[0] * mask, p[1], padding="same")
        left = scan(y, p[2], p[3], p[4])
        right = scan(y.flip(3), p[5], p[6], p[7]).flip(3)
        right = F.pad(right, (0, 0, 1, 0))[:, :, :-1]
        y = y + F.conv2d(left, p[8], p[9]) + F.conv2d(right, p[10], p[11])
        y = torch.relu(F.conv2d(torch.relu(y), p[12], p[13]))
        return nll(F.conv2d(y, p[14], p[15]), image)
    return loss


def training(name, make, data):
    p = parameters(works.init(name))
    if name == "pixelcnn":
        p = [q.detach().to(memory_format=torch.channels_last).requires_grad_() if q.dim() == 4 else q for q in p]
    loss_of = torch.compile(make(p)) if COMPILE else make(p)
    adam = torch.optim.Adam(p, lr=1e-3)
    data, batch = torch.from_numpy(data), works.BATCH[name]
    state = {"order": torch.randperm(works.ROWS), "at": 0}

    def run(steps):
        value = 0.0
        for _ in range(steps):
            if state["at"] + batch > works.ROWS:
                state.update(order=torch.randperm(works.ROWS), at=0)
            x = data[state["order"][state["at"] : state["at"] + batch]]
            state["at"] += batch
            adam.zero_grad()
            loss = loss_of(x)
            loss.backward()
            adam.step()
            value = loss.item()
        return value
    return run


def rbm():
    w, b, c = (torch.from_numpy(a) for a in works.init("rbm"))
    data, rate = torch.from_numpy(works.bits()), 0.05 / 100

    def step(v0):
        h0 = torch.sigmoid(v0 @ w + c)
        v1 = torch.bernoulli(torch.sigmoid(torch.bernoulli(h0) @ w.T + b))
        h1 = torch.sigmoid(v1 @ w + c)
        w.add_(v0.T @ h0 - v1.T @ h1, alpha=rate)
        b.add_((v0 - v1).sum(0), alpha=rate)
        c.add_((h0 - h1).sum(0), alpha=rate)
        return ((v0 - v1) ** 2).sum()

    step = torch.compile(step) if COMPILE else step

    @torch.no_grad()
    def run(steps):
        value = 0.0
        for _ in range(steps):
            value = step(data[torch.randint(0, works.ROWS, (100,))]).item()
        return value
    return run


def images():
    """Weights of a generator and a discriminator, what they make of noise, and what they say of images."""
    g, d = (parameters(p) for p in works.init("dcgan"))

    def generate(z):
        x = torch.relu(z @ g[0] + g[1]).view(-1, 128, 7, 7)
        x = torch.relu(F.conv_transpose2d(x, g[2], g[3], stride=2, padding=1))
        return torch.tanh(F.conv_transpose2d(x, g[4], g[5], stride=2, padding=1))

    def judge(x):
        x = F.leaky_relu(F.conv2d(x, d[0], d[1], stride=2, padding=1), 0.2)
        x = F.leaky_relu(F.conv2d(x, d[2], d[3], stride=2, padding=1), 0.2)
        return x.flatten(1) @ d[4] + d[5]
    return g, d, generate, judge


def dcgan():
    g, d, generate, judge = images()

    def loss_d(x, z):
        return F.softplus(-judge(x)).mean() + F.softplus(judge(generate(z).detach())).mean()

    def loss_g(z):
        return F.softplus(-judge(generate(z))).mean()

    if COMPILE:
        loss_d, loss_g = torch.compile(loss_d), torch.compile(loss_g)
    opt_d, opt_g = (torch.optim.Adam(p, lr=2e-4, betas=(0.5, 0.999)) for p in (d, g))
    data = torch.from_numpy(works.bits() * 2 - 1).view(-1, 1, 28, 28)

    def run(steps):
        value = 0.0
        for _ in range(steps):
            x = data[torch.randint(0, works.ROWS, (64,))]
            opt_d.zero_grad()
            loss = loss_d(x, torch.randn(64, 100))
            loss.backward()
            opt_d.step()
            opt_g.zero_grad()
            other = loss_g(torch.randn(64, 100))
            other.backward(inputs=g)
            opt_g.step()
            value = loss.item() + other.item()
        return value
    return run


def critic():
    """A step of the critic of a WGAN-GP, the networks of `dcgan`."""
    _, d, generate, judge = images()
    opt = torch.optim.Adam(d, lr=2e-4, betas=(0.5, 0.999))
    data = torch.from_numpy(works.bits() * 2 - 1).view(-1, 1, 28, 28)

    def run(steps):
        value = 0.0
        for _ in range(steps):
            x = data[torch.randint(0, works.ROWS, (64,))]
            with torch.no_grad():
                made = generate(torch.randn(64, 100))
            share = torch.rand(64, 1, 1, 1)
            between = (share * x + (1 - share) * made).requires_grad_()
            (gradient,) = torch.autograd.grad(judge(between).sum(), between, create_graph=True)
            penalty = ((gradient.flatten(1).norm(dim=1) - 1) ** 2).mean()
            loss = judge(made).mean() - judge(x).mean() + 10 * penalty
            opt.zero_grad()
            loss.backward()
            opt.step()
            value = loss.item()
        return value
    return run


def gated_logits(p):
    def gate(x):
        a, b = x.chunk(2, 1)
        return torch.tanh(a) * torch.sigmoid(b)

    def logits(x):
        down, right = x, x
        for layer in range(5):
            q, half = p[8 * layer : 8 * layer + 8], 3 if layer == 0 else 1
            a = F.conv2d(F.pad(down, (half, half, half, 0)), q[0], q[1])
            link = F.conv2d(F.pad(a, (0, 0, 1, 0))[:, :, :-1], q[2], q[3])
            down = gate(a)
            # The first layer does not see the pixel itself.
            across = F.conv2d(F.pad(right, (half, -1 if layer == 0 else 0)), q[4], q[5])
            out = F.conv2d(gate(across + link), q[6], q[7])
            right = out if layer == 0 else out + right
        return F.conv2d(torch.relu(F.conv2d(torch.relu(right), p[40], p[41])), p[42], p[43])
    return logits


@torch.no_grad()
def ais(steps):
    w, b, c = (torch.from_numpy(a) for a in works.init("ais"))
    v = torch.bernoulli(torch.sigmoid(b).expand(1000, -1))
    log_w, base = torch.zeros(1000), b
    for k in range(steps):
        low, high = k / steps, (k + 1) / steps
        a = v @ w + c
        log_w += (high - low) * (v @ (b - base)) + (F.softplus(high * a) - F.softplus(low * a)).sum(1)
        h = torch.bernoulli(torch.sigmoid(high * a))
        v = torch.bernoulli(torch.sigmoid((1 - high) * base + high * (h @ w.T + b)))
    return float(log_w.logsumexp(0))


@torch.no_grad()
def pixelcnn_sample(steps, logits):
    for _ in range(steps):
        x = torch.zeros(16, 1, 28, 28)
        for i in range(28):
            for j in range(28):
                x[:, 0, i, j] = torch.bernoulli(torch.sigmoid(logits(x)[:, 0, i, j]))
    return float(x.mean())


@torch.no_grad()
def nade_sample(steps, running):
    w, v, b, c = (torch.from_numpy(a) for a in works.init("nade"))
    for _ in range(steps):
        x, a = torch.zeros(100, 784), c.repeat(100, 1)
        for d in range(784):
            a = a if running else c + x[:, :d] @ w[:d]
            x[:, d] = torch.bernoulli(torch.sigmoid(b[d] + torch.sigmoid(a) @ v[d]))
            if running:
                a += x[:, d : d + 1] * w[d]
    return float(x.mean())


def product(name):
    m, n, k, ta, tb = works.GEMM[name]
    a = torch.rand(k, m).T if ta else torch.rand(m, k)
    b = torch.rand(n, k).T if tb else torch.rand(k, n)
    c = torch.empty(m, n)

    def run(steps):
        for _ in range(steps):
            torch.mm(a, b, out=c)
        return float(c[0, 0])
    return run


def prepare(name):
    if COMPILE and name not in ("vae", "made", "pixelcnn", "rbm", "realnvp", "dcgan"):
        return None
    if name in ("vae", "made", "pixelcnn", "nade-train", "lstm"):
        make = {"vae": vae, "made": made, "pixelcnn": pixelcnn, "nade-train": nade, "lstm": lstm}[name]
        return training(name, make, works.bits())
    if name == "realnvp":
        return training(name, realnvp, works.plane())
    if name == "rbm":
        return rbm()
    if name == "dcgan":
        return dcgan()
    if name == "wgan-gp":
        return critic()
    if name == "pixelcnn-sample":
        logits = pixelcnn_logits(parameters(works.init(name)))
        return lambda steps: pixelcnn_sample(steps, logits)
    if name == "gated-sample":
        logits = gated_logits(parameters(works.init(name)))
        return lambda steps: pixelcnn_sample(steps, logits)
    if name == "ais":
        return ais
    if name in ("nade-sample", "nade-sample-naive"):
        return lambda steps: nade_sample(steps, name == "nade-sample")
    return product(name) if name in works.GEMM else None


serve(prepare)
