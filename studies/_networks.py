"""Networks in PyTorch, trained step by step on one thread; the only module that needs it."""

import itertools
from collections.abc import Collection, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from studies import _exporting, _planting
from studies._data import Data
from studies._exporting import Step

torch.set_num_threads(1)
torch.set_flush_denormal(True)  # Adam's averages of gradients that are zero, which is slow otherwise
EPSILON, MOMENTUM = 1e-3, 0.01
"""TensorFlow's defaults of batch normalisation, as the authors have them."""
DROPOUT = 0.5


class Affine(nn.BatchNorm1d):
    """Batch normalisation as the authors' code runs it: never told that it trains, it never normalises."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Multiply by what is learned, and add."""
        return functional.batch_norm(
            x, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps
        )


CONDITIONS = {
    "plain": lambda width: [],
    "dropout": lambda width: [nn.Dropout(DROPOUT)],
    "affine": lambda width: [Affine(width, EPSILON, MOMENTUM)],
    "batchnorm": lambda width: [nn.BatchNorm1d(width, EPSILON, MOMENTUM)],
}
"""What stands behind the ReLU of each hidden layer."""


def mlp(sizes: tuple[int, ...], condition: str = "plain") -> nn.Sequential:
    """Return a fully connected network, from inputs over hidden layers to outputs."""
    layers: list[nn.Module] = []
    for n_in, n_out in itertools.pairwise(sizes):
        layers.append(glorot(nn.Linear(n_in, n_out)))
        layers += [nn.ReLU(), *CONDITIONS[condition](n_out)]
    return nn.Sequential(*layers[: len(layers) - 1 - len(CONDITIONS[condition](1))])


def cnn(channels: tuple[int, ...], side: int) -> nn.Sequential:
    """Return convolutions of 3 x 3 that halve a picture each, and ten outputs of all that is left."""
    layers: list[nn.Module] = [nn.Unflatten(1, (1, side, side))]
    for n_in, n_out in itertools.pairwise((1, *channels)):
        layers += [nn.Conv2d(n_in, n_out, 3, stride=2, padding=1), nn.ReLU()]
        side = (side + 1) // 2
    return nn.Sequential(*layers, nn.Flatten(), glorot(nn.Linear(channels[-1] * side * side, 10)))


def glorot(layer: nn.Linear) -> nn.Linear:
    """Draw weights as the authors do: the bias is one more input, and drawn like the weights."""
    bound = (6 / (layer.in_features + 1 + layer.out_features)) ** 0.5
    for each in (layer.weight, layer.bias):
        nn.init.uniform_(each, -bound, bound)
    return layer


def start(network: nn.Sequential, law: str, seed: int) -> None:
    """Draw all weights and biases anew by a law of ``_planting.LAWS``."""
    rng = np.random.default_rng([seed, 0])
    for layer in network:
        if isinstance(layer, nn.Linear | nn.Conv2d):
            drawn = _planting.drawn(law, tuple(layer.weight.shape), rng)
            with torch.no_grad():
                for held, values in zip((layer.weight, layer.bias), drawn, strict=True):
                    held.copy_(torch.from_numpy(values))


@dataclass(frozen=True)
class Schedule:
    """How a network is trained: Adam, batches that go through the data in a new order each time.

    ``shift`` is by how many pixels a picture is moved at random, along both axes. A ``seed`` draws batches,
    shifts and dropout. Weights decay as in AdamW.
    """

    seed: int
    rate: float = 3e-4
    batch: int = 32
    shift: int = 0
    decay: float = 0.0


def training(
    network: nn.Sequential, data: Data, schedule: Schedule, checks: Collection[int]
) -> Iterator[int]:
    """Train a network; yield the number of steps at each check, while the network is as it is then."""
    torch.manual_seed(schedule.seed)
    wanted = frozenset(checks)
    adam = torch.optim.AdamW if schedule.decay else torch.optim.Adam
    optimiser = adam(network.parameters(), schedule.rate, weight_decay=schedule.decay, fused=True)
    batches = _batches(data, schedule)
    for step in range(max(wanted) + 1):
        if step in wanted:
            network.eval()
            yield step
            network.train()
        x, labels = next(batches)
        optimiser.zero_grad()
        functional.cross_entropy(network(x), labels).backward()
        optimiser.step()


def _batches(data: Data, schedule: Schedule) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    x, labels, shift = torch.from_numpy(data.x), torch.from_numpy(data.labels), schedule.shift
    if shift:
        rows, columns = data.image
        padded = functional.pad(x.reshape(-1, rows, columns), (shift,) * 4)
        windows = padded.unfold(1, rows, 1).unfold(2, columns, 1)  # (n, row, column, rows, columns): a view
    while True:
        order = torch.randperm(len(x))
        for chosen in order[: len(x) // schedule.batch * schedule.batch].split(schedule.batch):
            if shift:
                down, right = torch.randint(2 * shift + 1, (2, len(chosen)))
                yield windows[chosen, down, right].flatten(1), labels[chosen]
            else:
                yield x[chosen], labels[chosen]


def logits(network: nn.Sequential, x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return what a network gives for samples."""
    with torch.no_grad():
        found: NDArray[np.float32] = network(torch.from_numpy(x)).numpy()
    return found


def scores(network: nn.Sequential, x: NDArray[np.float32], labels: NDArray[np.int64]) -> tuple[float, float]:
    """Return mean cross-entropy and accuracy."""
    found, wanted = torch.from_numpy(logits(network, x)), torch.from_numpy(labels)
    return float(functional.cross_entropy(found, wanted)), float((found.argmax(1) == wanted).double().mean())


def exported(network: nn.Sequential, data: Data, check: bool = False) -> bytes:
    """Return a network as an ONNX file; with ``check`` one that predicts the same in onnxruntime."""
    counts: dict[str, int] = {}
    steps = []
    for layer in network:
        op_type, prefix, arrays, attributes = _operation(layer)
        counts[prefix] = counts.get(prefix, 0) + 1
        if op_type:
            held = [array.detach().numpy() for array in arrays]
            steps.append(Step(op_type, f"{prefix}{counts[prefix]}", held, attributes))
    convolves = isinstance(network[0], nn.Unflatten)
    shape = (1, *data.image) if convolves else (data.x.shape[1],)
    content = _exporting.model(steps, shape)
    if check:
        x = data.x_valid
        _exporting.check_same(content, x.reshape(-1, *shape), logits(network, x))
    return content


def _operation(layer: nn.Module) -> tuple[str, str, tuple[torch.Tensor, ...], dict[str, object]]:
    """Return operation, kind of name, arrays and attributes of a layer; no operation for what is left out."""
    match layer:
        case nn.Linear():
            return "Gemm", "fc", (layer.weight, layer.bias), {"transB": 1}
        case nn.Conv2d():
            attributes = {"strides": layer.stride, "pads": (*layer.padding, *layer.padding)}
            return "Conv", "conv", (layer.weight, layer.bias), attributes
        case nn.BatchNorm1d():
            statistics = (layer.running_mean, layer.running_var)
            return (
                "BatchNormalization",
                "norm",
                (layer.weight, layer.bias, *statistics),
                {"epsilon": layer.eps},
            )
        case nn.ReLU():
            return "Relu", "relu", (), {}
        case nn.Flatten():
            return "Flatten", "flatten", (), {}
        case nn.Dropout() | nn.Unflatten():
            return "", "none", (), {}
    raise TypeError(f"wanted a layer that can be written, found {type(layer).__name__}")
