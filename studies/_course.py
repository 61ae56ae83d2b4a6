"""One training run, looked at every quarter of an epoch: what two studies are made from."""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

import onnxtop
from studies._data import INPUTS
from studies._numbers import number

EPOCHS = 40
PER_EPOCH = 4
"""Checks of an epoch, as in the paper."""
CHECKS = EPOCHS * PER_EPOCH
TRACED = onnxtop.StoppingOptions(patience=4)
"""The rule that each trace is asked for, to be compared with the same rule on the figures of the record."""
CLIPPED = 1e-4
"""The share of the largest weights that is cut for one figure."""


@dataclass(frozen=True)
class Course:
    """A network that is trained: an MLP on vectors, with something behind each ReLU, or a CNN on pictures.

    ``widths`` are those of hidden layers, or channels of the CNN. There are 40 epochs with four checks each;
    ``steps`` says how long they are. A picture is moved by up to ``shift`` pixels.
    """

    kind: ClassVar[str] = "course"
    version: ClassVar[int] = 1

    data: str
    network: str
    condition: str
    seed: int
    widths: tuple[int, ...]
    steps: int
    shift: int = 0
    checks: int = CHECKS
    rate: float = 3e-4
    batch: int = 32

    @property
    def label(self) -> str:
        moved = f" shift {self.shift}" if self.shift else ""
        sizes = " ".join(map(str, self.widths))
        return (
            f"{self.data}{moved} {self.network} {sizes} {self.condition} {self.steps} steps seed {self.seed}"
        )

    @property
    def seconds(self) -> float:
        if self.network == "cnn":
            return 3 + self.steps * 2.2e-3 + self.checks * 0.12
        weights = INPUTS[self.data] * self.widths[0] + self.widths[0] * self.widths[-1]
        slower = {"plain": 1.0, "dropout": 1.3, "affine": 1.4, "batchnorm": 1.5}[self.condition]
        return 3 + self.steps * (4e-4 + 2.7e-9 * weights) * slower + self.checks * (0.03 + 1.4e-7 * weights)

    def measure(self) -> "Result":
        import torch  # an environment of its own has it

        from studies import _data, _networks

        data = _data.load(self.data)
        torch.manual_seed(self.seed)
        if self.network == "cnn":
            network = _networks.cnn(self.widths, data.image[0])
        else:
            network = _networks.mlp((data.x.shape[1], *self.widths, 10), self.condition)
        schedule = _networks.Schedule(self.seed, self.rate, self.batch, self.shift)
        checks = [round(number * self.steps / self.checks) for number in range(self.checks + 1)]
        valid, test = [], []
        with tempfile.TemporaryDirectory(prefix="onnxtop-studies-") as folder:
            for step in _networks.training(network, data, schedule, checks):
                valid.append(_networks.scores(network, data.x_valid, data.labels_valid))
                test.append(_networks.scores(network, data.x_test, data.labels_test))
                content = _networks.exported(network, data, check=step == self.steps)
                Path(folder, f"step_{step}.onnx").write_bytes(content)
            train = _networks.scores(network, data.x, data.labels)
            trace = onnxtop.trace(folder, bias="row", structure=False, stopping=TRACED)
        return Result(
            source=data.source,
            digest=data.digest,
            steps=tuple(checks),
            np=tuple(number(each.scale_global) for each in trace.measured),
            np_layer=tuple(number(each.scale_layer) for each in trace.measured),
            largest=tuple(number(each.scale) for each in trace.measured),
            dgp=tuple(number(each.deep_graph_persistence) for each in trace.measured),
            valid_loss=tuple(loss for loss, _ in valid),
            valid_accuracy=tuple(accuracy for _, accuracy in valid),
            test_accuracy=tuple(accuracy for _, accuracy in test),
            train_loss=train[0],
            train_accuracy=train[1],
            stopped=trace.stopping.stopped or "",
            layers=ends(content),
            clipped=clipped_persistence(content),
        )

    @staticmethod
    def read(result: Mapping[str, Any]) -> "Result":
        held = {key: tuple(each) if isinstance(each, list) else each for key, each in result.items()}
        return Result(**{**held, "layers": tuple(LayerEnd(**each) for each in result["layers"])})


@dataclass(frozen=True)
class LayerEnd:
    """A layer after training.

    ``np`` and ``np_layer`` have a bias row, and are over the network's and the layer's own largest weight;
    ``z`` is of the weights alone. ``largest`` is the largest |w|.
    """

    name: str
    np: float
    np_layer: float
    z: float
    largest: float


@dataclass(frozen=True)
class Result:
    """What was seen at each check, and at the end.

    ``np`` is mean normalized NP with bias row over the network's largest weight, ``np_layer`` over that of
    each layer, ``largest`` that weight. ``stopped`` names the checkpoint where `onnxtop.trace` would have
    stopped, and is empty if it would not. ``clipped`` is the last ``np`` with the largest weights, one in
    ten thousand, cut down to the next one.
    """

    source: str
    digest: str
    steps: tuple[int, ...]
    np: tuple[float, ...]
    np_layer: tuple[float, ...]
    largest: tuple[float, ...]
    dgp: tuple[float, ...]
    valid_loss: tuple[float, ...]
    valid_accuracy: tuple[float, ...]
    test_accuracy: tuple[float, ...]
    train_loss: float
    train_accuracy: float
    stopped: str
    layers: tuple[LayerEnd, ...]
    clipped: float


def ends(content: bytes) -> tuple[LayerEnd, ...]:
    """Return what there is to say of each layer of a trained network."""
    whole = onnxtop.audit(content, bias="row", structure=False)
    alone = onnxtop.audit(content, bias="row", scale="layer", structure=False)
    weights = onnxtop.audit(content)
    return tuple(
        LayerEnd(
            each.name,
            number(each.neural_persistence.normalized),
            number(own.neural_persistence.normalized),
            number(free.neural_persistence.z),
            number(own.largest),
        )
        for each, own, free in zip(whole.layers, alone.layers, weights.layers, strict=True)
    )


def clipped_persistence(content: bytes) -> float:
    """Return mean NP with bias row after the largest |w|, one in ten thousand, have been cut to the next."""
    layers = onnxtop.read_layers(content)
    weights = {each.name: np.abs(each.blocks()[0]) for each in layers}
    biases = {each.name: np.abs(each.bias()) for each in layers}
    everything = np.concatenate([np.ravel(each) for each in (*weights.values(), *biases.values())])
    top = np.sort(everything)[-1 - max(1, round(CLIPPED * everything.size))]
    cut = {name: np.minimum(each, top) for name, each in weights.items()}
    cut_biases = {name: np.minimum(each, top) for name, each in biases.items()}
    return number(onnxtop.neural_persistence(cut, bias=cut_biases).mean_normalized)
