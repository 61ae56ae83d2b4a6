"""Loss and gradient of `onnxtop.Probe` against PyTorch.

Forward and backward pass of an MLP, a CNN and a transformer block on 256 samples: the same weights, data
and one thread, in turn.
"""

import contextlib
import io
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks._measuring import Figure, beside
from benchmarks._rows import row
from onnxtop.loss.probe import Probe

N = 256
NEEDS = ("torch", "onnxscript")


def mlp() -> tuple[Any, tuple[int, ...]]:
    from torch import nn

    layers = [nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 128), nn.ReLU(), nn.Linear(128, 10)]
    return nn.Sequential(*layers), (784,)


def cnn() -> tuple[Any, tuple[int, ...]]:
    from torch import nn

    def stage(before: int, after: int) -> list[Any]:
        """ReLU stands before BatchNorm, so that no exporter can fold it into the convolution."""
        return [nn.Conv2d(before, after, 3, padding=1), nn.ReLU(), nn.BatchNorm2d(after), nn.MaxPool2d(2)]

    return nn.Sequential(*stage(1, 16), *stage(16, 32), nn.Flatten(), nn.Linear(32 * 49, 10)), (1, 28, 28)


def transformer() -> tuple[Any, tuple[int, ...]]:
    """Return a pre-norm block of width 64 with 4 heads, written out, and the mean over tokens."""
    import torch
    from torch import nn

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norms = nn.ModuleList([nn.LayerNorm(64), nn.LayerNorm(64)])
            self.qkv, self.out = nn.Linear(64, 192), nn.Linear(64, 64)
            self.up, self.down, self.head = nn.Linear(64, 128), nn.Linear(128, 64), nn.Linear(64, 10)

        def forward(self, x: Any) -> Any:
            n, length, width = x.shape
            qkv = self.qkv(self.norms[0](x)).reshape(n, length, 3, 4, width // 4)
            q, k, v = qkv.permute(2, 0, 3, 1, 4)
            weights = torch.softmax(q @ k.transpose(-1, -2) * (width // 4) ** -0.5, -1)
            x = x + self.out((weights @ v).permute(0, 2, 1, 3).reshape(n, length, width))
            x = x + self.down(nn.functional.gelu(self.up(self.norms[1](x))))
            return self.head(x.mean(1))

    return Block(), (16, 64)


MODELS: dict[str, Callable[[], tuple[Any, tuple[int, ...]]]] = {
    "MLP": mlp,
    "CNN": cnn,
    "transformer": transformer,
}


class Pair(NamedTuple):
    """The same loss twice: by a probe, and by PyTorch, which leaves gradients at the model."""

    probe: Probe
    by_torch: Callable[[], Any]
    model: Any


def pair(name: str) -> Pair:
    """Return a model with random weights as both see it."""
    import torch

    torch.manual_seed(0)
    torch.set_num_threads(1)
    model, shape = MODELS[name]()
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
        path = exported(model, shape, folder)
        return Pair(Probe(path, {"x": x, "labels": labels}, threads=1), by_torch, model)


def exported(model: Any, shape: tuple[int, ...], folder: str) -> Path:
    """Return the file that PyTorch writes."""
    import torch

    path = Path(folder) / "model.onnx"
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        example = (torch.zeros(2, *shape),)
        torch.onnx.export(
            model, example, str(path), dynamo=True, external_data=False, verbose=False,
            dynamic_shapes=({0: torch.export.Dim("batch")},),
        )  # fmt: skip
    return path


def time_of(*, name: str) -> Figure:
    """Return the time of loss and gradient beside PyTorch's."""
    probe, by_torch, _ = pair(name)
    return beside(lambda: probe.loss_and_gradient(probe.theta0), by_torch)


def difference_of_losses(*, name: str) -> Figure:
    probe, by_torch, _ = pair(name)
    return Figure(abs(probe.loss_and_gradient(probe.theta0)[0] - float(by_torch().detach())))


def difference_of_gradients(*, name: str) -> Figure:
    """Compare gradients as multisets of tensors: exporters rename and transpose weights."""
    probe, by_torch, model = pair(name)
    gradient = probe.loss_and_gradient(probe.theta0)[1]
    by_torch()
    own = [gradient[p.slice].astype(np.float64).reshape(p.shape) for p in probe.parameters]
    theirs = [p.grad.numpy().astype(np.float64) for p in model.parameters()]
    total = 0.0
    for wanted in theirs:
        fits = [g for g in own if g.size == wanted.size]
        total += min(_squared(g, wanted) for g in fits)
    return Figure(float(np.sqrt(total / sum(np.sum(g**2) for g in theirs))))


def _squared(a: np.ndarray, b: np.ndarray) -> float:
    ways = [a, a.T] if a.ndim == 2 else [a]
    return min((float(np.sum((w - b) ** 2)) for w in ways if w.shape == b.shape), default=np.inf)


def first_call(*, name: str) -> Figure:
    probe = pair(name).probe
    start = time.process_time()
    probe.loss_and_gradient(probe.theta0)
    return Figure(time.process_time() - start)


for _name in MODELS:
    for _end, _what, _unit, _goal, _run in (
        ("", "`Probe.loss_and_gradient`, over PyTorch's", "x", 1.2, time_of),
        ("-loss", "difference of losses", "", 1e-5, difference_of_losses),
        ("-gradient", "relative difference of gradients", "", 1e-4, difference_of_gradients),
        ("-first", "first call, with building the graphs", "s", None, first_call),
    ):
        row(
            f"probe-{_name.lower()}{_end}", f"{_name}: {_what}", _unit,
            at_most=_goal, needs=NEEDS, arguments={"name": _name},
        )(_run)  # fmt: skip
