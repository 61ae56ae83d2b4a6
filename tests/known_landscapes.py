"""Landscapes whose minima and passes are known, and a small network in NumPy, all as callables."""

import itertools
import json
from pathlib import Path

import numpy as np

TRUTH = json.loads((Path(__file__).parent / "data" / "loss_barcodes.json").read_text())

FUNCTIONS = {
    "x^4-x^2+0.1x": lambda x: x**4 - x**2 + 0.1 * x,
    "three_hump_camel": lambda x, y: 2 * x**2 - 1.05 * x**4 + x**6 / 6 + x * y + y**2,
    "six_hump_camel": lambda x, y: (4 - 2.1 * x**2 + x**4 / 3) * x**2 + x * y + (4 * y**2 - 4) * y**2,
    "himmelblau": lambda x, y: (x**2 + y - 11) ** 2 + (x + y**2 - 7) ** 2,
    "branin": lambda x, y: (
        (y - 5.1 / (4 * np.pi**2) * x**2 + 5 / np.pi * x - 6) ** 2
        + 10 * (1 - 1 / (8 * np.pi)) * np.cos(x)
        + 10
    ),
    "qing_2": lambda x, y: (x**2 - 1) ** 2 + (y**2 - 2) ** 2,
}


def ordered(bars):
    """Sort bars in an order that rounding does not change."""
    bars = np.asarray(bars, float).reshape(-1, 2)
    return bars[np.lexsort((bars[:, 0], bars[:, 1].round(2)))]


def two_neuron_losses():
    """Compute the published network's loss on its grid, as its authors set it up."""
    grid = TRUTH["two_neuron_network"]["grid"]
    draws = np.random.RandomState(6)
    amplitudes = draws.normal(size=2)
    draws.normal(size=2)
    constant = draws.normal()
    x = np.linspace(-np.pi, np.pi, 50)
    target = constant + sum(a * (np.sin(n * x) + np.cos(n * x)) for n, a in enumerate(amplitudes, start=1))
    x, target = x.astype(np.float32), target.astype(np.float32)
    axes = [
        np.linspace(*ends, size, dtype=np.float32)
        for ends, size in zip(grid["ranges"], grid["shape"], strict=True)
    ]
    one, two = (np.maximum(np.float32(1.5) * x + bias[:, None], 0) for bias in axes[:2])
    losses = np.empty(grid["shape"], np.float32)
    for i, j in itertools.product(range(len(one)), range(len(two))):
        output = axes[2][:, None, None, None] * one[i] + axes[3][:, None, None] * two[j] + axes[4][:, None]
        losses[i, j] = ((output - target) ** 2).mean(-1)
    return losses


MINIMA = {
    "x^4-x^2+0.1x": [[-0.75], [0.65]],
    "three_hump_camel": [[0, 0], [-1.7, 0.9], [1.7, -0.9]],
    "six_hump_camel": [[0.1, -0.7], [-0.1, 0.7], [-1.7, 0.8], [1.7, -0.8], [1.6, 0.57], [-1.6, -0.57]],
    "himmelblau": [[3, 2], [-2.8, 3.1], [-3.8, -3.3], [3.6, -1.8]],
    "branin": [[-np.pi, 12.275], [np.pi, 2.275], [9.42478, 2.475]],
    "qing_2": [[1, 2**0.5], [-1, 2**0.5], [1, -(2**0.5)], [-1, -(2**0.5)]],
}


def counted_gradient(function, step=1e-5):
    """Return the gradient of a function of scalars, by central differences."""

    def gradient(point):
        moved = [(point + step * axis, point - step * axis) for axis in np.eye(point.size)]
        slope = np.array([(function(*up) - function(*down)) / (2 * step) for up, down in moved])
        return float(function(*point)), slope

    return gradient


class TanhNet:
    """Cross-entropy of a tanh network, 6 inputs and 4 classes, with weight decay: the spec's test.

    ``kinks`` puts ReLU in the place of tanh.
    """

    def __init__(self, width, l2=2e-3, kinks=False):
        rng = np.random.default_rng(5)
        self.x = rng.standard_normal((256, 6)).astype(np.float32).astype(float)
        hidden, out = rng.standard_normal((6, 12)), rng.standard_normal((12, 4))
        self.labels = (np.tanh(self.x @ hidden * 1.5) @ out + 0.6 * rng.standard_normal((256, 4))).argmax(1)
        self.shapes = [(width, 6), (width,), (width, width), (width,), (4, width), (4,)]
        self.l2 = l2
        self.activation = (lambda z: np.maximum(z, 0)) if kinks else np.tanh
        self.slope = (lambda y: (y > 0) * 1.0) if kinks else (lambda y: 1 - y**2)

    @property
    def layout(self):
        ends = np.cumsum([0, *(int(np.prod(shape)) for shape in self.shapes)])
        return {str(i): (slice(ends[i], ends[i + 1]), shape) for i, shape in enumerate(self.shapes)}

    def start(self, seed):
        rng = np.random.default_rng(100 + seed)
        scales = [1.2 / np.sqrt(shape[-1]) if len(shape) > 1 else 0.3 for shape in self.shapes]
        return np.concatenate(
            [(rng.standard_normal(s) * c).ravel() for s, c in zip(self.shapes, scales, strict=True)]
        )

    def gradient(self, theta, rows=None):
        w1, b1, w2, b2, w3, b3 = (theta[where].reshape(shape) for where, shape in self.layout.values())
        x, labels = (self.x, self.labels) if rows is None else (self.x[rows], self.labels[rows])
        one = self.activation(x @ w1.T + b1)
        two = self.activation(one @ w2.T + b2)
        logits = two @ w3.T + b3
        logits = logits - logits.max(1, keepdims=True)
        logs = logits - np.log(np.exp(logits).sum(1, keepdims=True))
        slope = (np.exp(logs) - np.eye(4)[labels]) / len(labels)
        back2 = slope @ w3 * self.slope(two)
        back1 = back2 @ w2 * self.slope(one)
        parts = [back1.T @ x, back1.sum(0), back2.T @ one, back2.sum(0), slope.T @ two, slope.sum(0)]
        loss = -logs[np.arange(len(labels)), labels].mean() + 0.5 * self.l2 * theta @ theta
        return float(loss), np.concatenate([part.ravel() for part in parts]) + self.l2 * theta

    def loss(self, theta):
        return self.gradient(theta)[0]
