"""Loss and gradient of `onnxtop.Probe` against PyTorch: the same models, data and threads, taken in turn.

Needs PyTorch (benchmarks/requirements-probe.txt), in an environment of its own; without it nothing is
measured.
"""

import os

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")

import io
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from _measure import Row, median_seconds, report

from onnxtop.loss.probe import Probe

try:
    import torch
except ImportError:
    print("not measured: PyTorch is missing (benchmarks/requirements-probe.txt)")
    sys.exit(0)

N = 256
GOAL = 1.2


def mlp() -> tuple[Any, tuple[int, ...]]:
    nn = torch.nn
    layers = [nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 128), nn.ReLU(), nn.Linear(128, 10)]
    return nn.Sequential(*layers), (784,)


def cnn() -> tuple[Any, tuple[int, ...]]:
    nn = torch.nn

    def stage(before: int, after: int) -> list[Any]:
        """ReLU stands before BatchNorm, so that no exporter can fold it into the convolution."""
        return [nn.Conv2d(before, after, 3, padding=1), nn.ReLU(), nn.BatchNorm2d(after), nn.MaxPool2d(2)]

    return nn.Sequential(*stage(1, 16), *stage(16, 32), nn.Flatten(), nn.Linear(32 * 49, 10)), (1, 28, 28)


class Block(torch.nn.Module):
    """A pre-norm transformer block of width 64 with 4 heads, written out, and the mean over tokens."""

    def __init__(self) -> None:
        super().__init__()
        nn = torch.nn
        self.norms = nn.ModuleList([nn.LayerNorm(64), nn.LayerNorm(64)])
        self.qkv, self.out = nn.Linear(64, 192), nn.Linear(64, 64)
        self.up, self.down, self.head = nn.Linear(64, 128), nn.Linear(128, 64), nn.Linear(64, 10)

    def forward(self, x: Any) -> Any:
        n, length, width = x.shape
        q, k, v = self.qkv(self.norms[0](x)).reshape(n, length, 3, 4, width // 4).permute(2, 0, 3, 1, 4)
        weights = torch.softmax(q @ k.transpose(-1, -2) * (width // 4) ** -0.5, -1)
        x = x + self.out((weights @ v).permute(0, 2, 1, 3).reshape(n, length, width))
        x = x + self.down(torch.nn.functional.gelu(self.up(self.norms[1](x))))
        return self.head(x.mean(1))


def transformer() -> tuple[Any, tuple[int, ...]]:
    return Block(), (16, 64)


def exported(model: Any, shape: tuple[int, ...], folder: str) -> Path:
    path = Path(folder) / "model.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        example = (torch.zeros(2, *shape),)
        torch.onnx.export(
            model, example, str(path), dynamo=True, external_data=False, verbose=False,
            dynamic_shapes=({0: torch.export.Dim("batch")},),
        )  # fmt: skip
    return path


def compared(name: str, model: Any, shape: tuple[int, ...]) -> list[Row]:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((N, *shape)).astype(np.float32)
    labels = rng.integers(0, 10, N)
    model.eval()
    with torch.no_grad():  # exporters store equal tensors once: make all differ
        for parameter in model.parameters():
            parameter += 0.01 * torch.randn_like(parameter)
    inputs, targets = torch.from_numpy(x), torch.from_numpy(labels)

    def by_torch() -> Any:
        model.zero_grad(set_to_none=True)
        loss = torch.nn.functional.cross_entropy(model(inputs), targets)
        loss.backward()
        return loss

    with tempfile.TemporaryDirectory() as folder:
        probe = Probe(exported(model, shape, folder), {"x": x, "labels": labels}, threads=1)
    start = time.perf_counter()
    loss, gradient = probe.loss_and_gradient(probe.theta0)
    first = time.perf_counter() - start
    expected = float(by_torch().detach())
    ours, theirs = median_seconds(lambda: probe.loss_and_gradient(probe.theta0), by_torch, repeat=25)
    return [
        Row(f"{name}: PyTorch, forward and backward, {N} samples", theirs * 1e3, "ms"),
        Row(f"{name}: Probe.loss_and_gradient", ours * 1e3, "ms"),
        Row(f"{name}: as multiple of PyTorch", ours / theirs, "x", GOAL),
        Row(f"{name}: difference of losses", abs(loss - expected), "", 1e-5),
        Row(f"{name}: relative difference of gradients", _apart(probe, gradient, model), "", 1e-4),
        Row(f"{name}: first call, with building the graphs", first, "s"),
    ]


def _apart(probe: Probe, gradient: np.ndarray, model: Any) -> float:
    """Compare gradients as multisets of tensors: exporters rename and transpose weights."""
    own = [gradient[p.slice].astype(np.float64).reshape(p.shape) for p in probe.parameters]
    theirs = [p.grad.numpy().astype(np.float64) for p in model.parameters()]
    total = 0.0
    for wanted in theirs:
        fits = [g for g in own if g.size == wanted.size]
        total += min(_squared(g, wanted) for g in fits)
    return float(np.sqrt(total / sum(np.sum(g**2) for g in theirs)))


def _squared(a: np.ndarray, b: np.ndarray) -> float:
    ways = [a, a.T] if a.ndim == 2 else [a]
    return min((float(np.sum((w - b) ** 2)) for w in ways if w.shape == b.shape), default=np.inf)


def main() -> int:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    rows = []
    with _silenced():
        for name, make in (("MLP", mlp), ("CNN", cnn), ("transformer", transformer)):
            rows += compared(name, *make())
    return report(rows)


class _silenced:  # noqa: N801 (used as a function)
    """Keep the exporter's progress off the screen."""

    def __enter__(self) -> None:
        self.kept, sys.stdout = sys.stdout, io.StringIO()

    def __exit__(self, *_: object) -> None:
        sys.stdout = self.kept


if __name__ == "__main__":
    sys.exit(main() > 0)
