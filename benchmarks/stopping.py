"""One check of the stopping rule against one training step.

`onnxtop.NeuralPersistenceStopping` on the weights of a PyTorch module, against forward, backward and Adam
on 32 samples, in turn, on one thread; the smallest network decides, of which a step takes under a
millisecond.
"""

import warnings
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import onnxtop
from benchmarks._measuring import Figure, beside
from benchmarks._rows import row

BATCH = 32
NETWORKS: dict[str, tuple[str, tuple[int, ...], Callable[[], Any]]] = {
    "tiny": ("MLP 64-100-50-10", (BATCH, 64), lambda: dense(64, 100, 50, 10)),
    "mlp": ("MLP 784-650-650-10", (BATCH, 784), lambda: dense(784, 650, 650, 10)),
    "wide": ("MLP 784-2048-2048-10", (BATCH, 784), lambda: dense(784, 2048, 2048, 10)),
    "cnn": ("CNN 32-64-128 on 32 x 32", (BATCH, 3, 32, 32), lambda: images()),
    "transformer": ("transformer, 4 blocks of 256", (BATCH, 32, 256), lambda: transformer()),
}
"""What they are called, the shape of a batch, and what makes one."""
GOALS = {"np": 5.0, "dgp": 30.0}
DENSE = ("tiny", "mlp", "wide")
"""Of matrices in a row, which DGP is measured of."""


def dense(*widths: int) -> Any:
    """Return a stack of dense layers."""
    from torch import nn

    layers = [layer for n_in, n_out in pairwise(widths) for layer in (nn.Linear(n_in, n_out), nn.ReLU())]
    return nn.Sequential(*layers[:-1])


def images() -> Any:
    """Return a CNN as for CIFAR-10."""
    from torch import nn

    stages = [
        layer
        for n_in, n_out in pairwise((3, 32, 64, 128))
        for layer in (nn.Conv2d(n_in, n_out, 3, padding=1), nn.BatchNorm2d(n_out), nn.ReLU(), nn.MaxPool2d(2))
    ]
    return nn.Sequential(*stages, nn.Flatten(), nn.Linear(128 * 16, 10))


def transformer() -> Any:
    """Return four encoder blocks of width 256 on sequences of 32 tokens."""
    from torch import nn

    block = nn.TransformerEncoderLayer(256, 4, 1024, batch_first=True)
    return nn.Sequential(nn.TransformerEncoder(block, 4, enable_nested_tensor=False), nn.Linear(256, 10))


def in_steps(*, network: str, measure: str) -> Figure:
    """Return the time of a check in steps, on the weights that the steps leave."""
    import torch

    from onnxtop.integrations.torch import weights_of

    warnings.simplefilter("ignore")  # that convolutions are no case for the rule
    torch.manual_seed(0)
    torch.set_num_threads(1)
    _, shape, make = NETWORKS[network]
    x, module = torch.randn(shape), make()
    optimiser = torch.optim.Adam(module.parameters(), 1e-4)
    rule = onnxtop.NeuralPersistenceStopping(measure=measure)

    def step() -> None:
        optimiser.zero_grad()
        logits = module(x).flatten(0, -2)
        torch.nn.functional.cross_entropy(logits, torch.zeros(len(logits), dtype=torch.long)).backward()
        optimiser.step()

    return beside(lambda: rule.update(weights_of(module)), step, budget=4)


for _network, (_what, _, _) in NETWORKS.items():
    for _measure, _goal in GOALS.items():
        if _measure == "np" or _network in DENSE:
            row(
                f"stopping-{_network}-{_measure}", f"{_what}: one check by {_measure.upper()}", "steps",
                at_most=_goal, needs=("torch",), arguments={"network": _network, "measure": _measure},
            )(in_steps)  # fmt: skip
