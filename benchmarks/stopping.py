"""One check of the stopping rule against one training step: PyTorch forward, backward and Adam, in turn.

Needs PyTorch (benchmarks/requirements-probe.txt), in an environment of its own; without it nothing is
measured. ``python benchmarks/stopping.py table`` prints the rows of docs/integrations.md.
"""

import os

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")

import sys
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, NamedTuple

from _measure import Row, median_seconds, report

import onnxtop

try:
    import torch
except ImportError:
    print("not measured: PyTorch is missing (benchmarks/requirements-probe.txt)")
    sys.exit(0)

from torch import nn

from onnxtop.integrations.torch import weights_of

BATCH = 32
GOALS = {"np": 5.0, "dgp": 30.0}
"""Steps that a check may cost; the smallest network decides, of which a step takes under a millisecond."""


class Measured(NamedTuple):
    """Seconds of one training step, and of one check by either measure (nan: not of matrices in a row)."""

    name: str
    weights: int
    step: float
    np: float
    dgp: float


def dense(*widths: int) -> Any:
    """Return a stack of dense layers."""
    layers = [layer for n_in, n_out in pairwise(widths) for layer in (nn.Linear(n_in, n_out), nn.ReLU())]
    return nn.Sequential(*layers[:-1])


def images() -> Any:
    """Return a CNN as for CIFAR-10."""
    widths = (3, 32, 64, 128)
    stages = [
        layer
        for n_in, n_out in pairwise(widths)
        for layer in (nn.Conv2d(n_in, n_out, 3, padding=1), nn.BatchNorm2d(n_out), nn.ReLU(), nn.MaxPool2d(2))
    ]
    return nn.Sequential(*stages, nn.Flatten(), nn.Linear(128 * 16, 10))


def transformer() -> Any:
    """Return four encoder blocks of width 256 on sequences of 32 tokens."""
    block = nn.TransformerEncoderLayer(256, 4, 1024, batch_first=True)
    return nn.Sequential(nn.TransformerEncoder(block, 4, enable_nested_tensor=False), nn.Linear(256, 10))


def cases() -> Iterator[tuple[str, Any, tuple[int, ...]]]:
    """Give networks and the shapes of their batches."""
    yield "MLP 64-100-50-10", dense(64, 100, 50, 10), (BATCH, 64)
    yield "MLP 784-650-650-10", dense(784, 650, 650, 10), (BATCH, 784)
    yield "MLP 784-2048-2048-10", dense(784, 2048, 2048, 10), (BATCH, 784)
    yield "CNN 32-64-128 on 32 x 32", images(), (BATCH, 3, 32, 32)
    yield "transformer, 4 blocks of 256", transformer(), (BATCH, 32, 256)


def measured(name: str, network: Any, shape: tuple[int, ...]) -> Measured:
    """Take steps and checks in turn, on the weights that the steps leave."""
    x = torch.randn(shape)
    optimiser = torch.optim.Adam(network.parameters(), 1e-4)

    def step() -> None:
        optimiser.zero_grad()
        logits = network(x).flatten(0, -2)
        nn.functional.cross_entropy(logits, torch.zeros(len(logits), dtype=torch.long)).backward()
        optimiser.step()

    by_np, by_dgp = (onnxtop.NeuralPersistenceStopping(measure=measure) for measure in ("np", "dgp"))
    runs = [step, lambda: by_np.update(weights_of(network))]
    if isinstance(network[0], nn.Linear):
        runs.append(lambda: by_dgp.update(weights_of(network)))
    times = [*median_seconds(*runs, repeat=15), float("nan")]
    weights = sum(block.size for blocks in weights_of(network).values() for block in blocks)
    return Measured(name, weights, *times[:3])


def rows(case: Measured) -> Iterator[Row]:
    """Give the rows of one network; a figure that it has not has no row."""
    yield Row(f"{case.name}: one step of {BATCH} samples", case.step * 1e3, "ms")
    for measure, goal in GOALS.items():
        seconds = getattr(case, measure)
        if seconds == seconds:
            yield Row(f"{case.name}: one check by {measure}, in steps", seconds / case.step, "x", goal)


def line(case: Measured) -> str:
    """Return the row of the table in docs."""
    shares = (f"{seconds / case.step:.2g}" if seconds == seconds else "" for seconds in (case.np, case.dgp))
    return f"| {case.name} | {case.weights:,} | {' | '.join(shares)} |"


def main(arguments: list[str]) -> int:
    """Measure, and print a table against goals, or that of docs."""
    import warnings

    warnings.simplefilter("ignore")  # that convolutions are no case for the rule
    torch.manual_seed(0)
    torch.set_num_threads(1)
    found = [measured(*case) for case in cases()]
    if arguments == ["table"]:
        print("\n".join(map(line, found)))
        return 0
    return report([row for case in found for row in rows(case)])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]) > 0)
