"""Fully connected networks in NumPy: loss and gradient as callables, without onnxtop's own probe."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Dense:
    """Cross-entropy of a fully connected network; theta is W0, b0, W1, b1 ... with W of shape (out, in)."""

    widths: tuple[int, ...]
    x: Floats
    labels: NDArray[np.int64]
    activation: str = "tanh"
    l2: float = 0.0

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        pairs = zip(self.widths[:-1], self.widths[1:], strict=True)
        return [shape for n_in, n_out in pairs for shape in ((n_out, n_in), (n_out,))]

    @property
    def size(self) -> int:
        return sum(int(np.prod(shape)) for shape in self.shapes)

    def layers(self, theta: Floats) -> list[Floats]:
        ends = np.cumsum([int(np.prod(shape)) for shape in self.shapes])
        return [part.reshape(s) for part, s in zip(np.split(theta, ends[:-1]), self.shapes, strict=True)]

    def forward(self, theta: Floats, x: Floats) -> list[Floats]:
        """Return what enters each layer, and the logits."""
        tensors = self.layers(theta.astype(x.dtype, copy=False))
        values = [x]
        for number in range(0, len(tensors), 2):
            value = values[-1] @ tensors[number].T + tensors[number + 1]
            if number + 2 < len(tensors):
                value = np.tanh(value) if self.activation == "tanh" else np.maximum(value, 0)
            values.append(value)
        return values

    def loss(self, theta: Floats) -> float:
        logits = self.forward(theta, self.x)[-1]
        return self._loss(_log_softmax(logits), self.labels, theta)

    def loss_and_gradient(self, theta: Floats, rows: Any = slice(None)) -> tuple[float, Floats]:
        labels = self.labels[rows]
        values = self.forward(theta, self.x[rows])
        logs = _log_softmax(values[-1])
        slope = np.exp(logs)
        slope[np.arange(len(labels)), labels] -= 1
        slope /= len(labels)
        weights = self.layers(theta.astype(slope.dtype, copy=False))[::2]
        parts: list[Floats] = []
        for number in reversed(range(len(weights))):
            parts[:0] = [(slope.T @ values[number]).ravel(), slope.sum(axis=0)]
            if number:
                slope = slope @ weights[number]
                slope = slope * (1 - values[number] ** 2 if self.activation == "tanh" else values[number] > 0)
        return self._loss(logs, labels, theta), np.concatenate(parts).astype(np.float64) + self.l2 * theta

    def accuracy(self, theta: Floats) -> float:
        return float(np.mean(self.forward(theta, self.x)[-1].argmax(axis=1) == self.labels))

    def _loss(self, logs: Floats, labels: NDArray[np.int64], theta: Floats) -> float:
        picked = -logs[np.arange(len(labels)), labels].mean(dtype=np.float64)
        return float(picked) + 0.5 * self.l2 * float(theta @ theta)


def _log_softmax(logits: Floats) -> Floats:
    shifted = logits - logits.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
