"""Models of one architecture as points of one parameter space, seen through the probe of the first."""

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxtop.errors import UsageError
from onnxtop.landscape.alignment import Layout
from onnxtop.landscape.minima import Draw
from onnxtop.landscape.symmetry import Symmetries, find_groups
from onnxtop.loss.data import read_data
from onnxtop.loss.parameters import Parameter
from onnxtop.loss.probe import Probe
from onnxtop.reader.constants import Constants
from onnxtop.reader.layers import Layer, find_layers
from onnxtop.reader.model import Model, load

__all__ = [
    "ProbeOptions",
    "accuracy",
    "arrays_of",
    "confirmed",
    "draws",
    "layout_of",
    "reference_loss",
    "symmetries",
    "test_split",
    "translated",
]

Floats = NDArray[np.float64]

_SAME = 1e-4
"""Two readings of one network may differ by this share of 1 + loss (float32, other order of sums)."""


@dataclass(frozen=True)
class ProbeOptions:
    """What every probe of a run is told."""

    loss: str = "auto"
    batchnorm: str = "batch"
    l2: float = 0.0

    def open(self, path: str, data: Mapping[str, Any], threads: int | None = None) -> Probe:
        """Open a probe."""
        return Probe(path, data, loss=self.loss, batchnorm=self.batchnorm, l2=self.l2, threads=threads)


def arrays_of(data: Mapping[str, Any] | str | os.PathLike[str]) -> dict[str, Any]:
    """Return arrays by name, those of a split under ``NAME_split``; a path is read."""
    if isinstance(data, Mapping):
        return {name: np.asarray(data[name]) for name in data}
    read = read_data(os.fspath(data))
    main, arrays = read.split(None)
    rest = ((split, more) for split, more in read.splits.items() if split != main)
    return {**arrays, **{f"{name}_{split}": array for split, more in rest for name, array in more.items()}}


def layout_of(probe: Probe) -> Layout:
    """Return where each tensor lies in theta, and its shape."""
    return {parameter.name: (parameter.slice, parameter.shape) for parameter in probe.parameters}


def test_split(data: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the arrays called ``*_test`` under their plain names; None if they hold no labels or target.

    >>> test_split({"x": 1, "x_test": 2, "labels": 3, "labels_test": 4})
    {'x': 2, 'labels': 4}
    """
    found = {name.removesuffix("_test"): data[name] for name in data if name.endswith("_test")}
    return found if {"labels", "target"} & set(found) else None


def accuracy(probe: Probe, theta: Floats) -> float | None:
    """Return the share of right classes; None for a loss without classes."""
    axis = probe.class_axis
    if axis is None:
        return None
    chosen = probe.outputs(theta).argmax(axis=axis).ravel()
    target = probe.targets.values.ravel()
    if chosen.size != target.size:
        return None
    right = chosen == target
    return float(np.mean(right if probe.targets.counts is None else right[probe.targets.counts.ravel()]))


def reference_loss(probe: Probe) -> float | None:
    """Return the loss of a predictor that knows nothing: uniform over classes, or the constant mean."""
    target = probe.targets.values.astype(np.float64)
    if probe.class_axis is not None:
        classes = probe.outputs(probe.theta0, slice(0, 1)).shape[probe.class_axis]
        return math.log(classes)
    if probe.loss_name == "binary":
        return math.log(2)
    apart = np.abs(target - target.mean(axis=0))
    if probe.loss_name == "l1":
        return float(apart.mean())
    if probe.loss_name == "huber":
        return float(np.where(apart <= 1, apart**2 / 2, apart - 0.5).mean())
    return float((apart**2).mean())


def symmetries(path: str, layout: Layout, batchnorm: str) -> Symmetries:
    """Return the groups of hidden units that alignment may renumber."""
    return find_groups(load(path), layout, batch_statistics=batchnorm != "frozen")


def confirmed(probe: Probe, moved: Floats, theta: Floats) -> bool:
    """Tell on data whether a renumbered network is the same function."""
    if np.array_equal(moved, theta):
        return True
    rows = slice(0, min(probe.samples, 256))
    before, after = probe.outputs(theta, rows), probe.outputs(moved, rows)
    return bool(np.abs(before - after).max(initial=0) <= _SAME * (1 + np.abs(before).max(initial=0)))


def draws(path: str, probe: Probe) -> list[Draw]:
    """Return how a fresh start draws each tensor.

    Weights of layers are Kaiming normal, biases 0.01, gains of normalisation 1, its shifts 0; other tables
    (embeddings, positions, slopes) are as spread out as the given ones, about the same mean.
    """
    model = load(path)
    layers = [layer for layer in find_layers(model, Constants(model)) if isinstance(layer, Layer)]
    fan_in = {layer.weight: max(block.shape[0] for block in layer.blocks()) for layer in layers}
    tensors = probe.tensors(probe.theta0)
    return [_draw(parameter, tensors[parameter.name], fan_in) for parameter in probe.parameters]


def _draw(parameter: Parameter, values: NDArray[np.float32], fan_in: Mapping[str, int]) -> Draw:
    name = parameter.name.split("#")[0]
    if parameter.role == "weight" and name in fan_in:
        return Draw.kaiming(parameter.size, fan_in[name])
    if parameter.role == "bias":
        return Draw(parameter.size)
    mean = float(values.mean(dtype=np.float64)) if values.size else 0.0
    if values.ndim < 2 or parameter.role == "normalisation":
        return Draw(parameter.size, mean=float(abs(mean - 1) < abs(mean)))
    return Draw(parameter.size, float(values.std(dtype=np.float64)), mean)


def translated(first: str, probe: Probe, other: str, theirs: Probe) -> Floats:
    """Return the weights of another file in the places where the first file has them.

    Layers match by name, or by their order if another exporter wrote the file; a matrix may be stored the
    other way round. What matched is run: both must give the same loss.

    Raises
    ------
    UsageError
        The architectures differ; the first difference is named.
    """
    mine, yours = probe.parameters, theirs.parameters
    tensors = theirs.tensors(theirs.theta0)
    if [p.name for p in mine] != [p.name for p in yours] or [p.shape for p in mine] != [
        p.shape for p in yours
    ]:
        _refuse_difference(first, mine, other, yours)
        turned = _turned(load(first)), _turned(load(other))
        parts = [
            _fitted(tensors[p.name], q.shape, turned[0].get(q.name) != turned[1].get(p.name))
            for p, q in zip(yours, mine, strict=True)
        ]
    else:
        parts = [tensors[p.name] for p in mine]
    theta = np.concatenate([part.ravel() for part in parts]).astype(np.float64)
    own, read = theirs.loss(theirs.theta0), probe.loss(theta)
    if not abs(own - read) <= _SAME * (1 + abs(own)):
        here, there = Path(first).name, Path(other).name
        raise UsageError(
            f"wanted one architecture, found that {there} has the tensors of {here} but another function"
            f"{_first_operation(load(first), load(other))}: its loss is {own:.6g}, and {read:.6g} with its "
            f"weights put into {here}"
        )
    return theta


def _refuse_difference(first: str, mine: Sequence[Parameter], other: str, yours: Sequence[Parameter]) -> None:
    here, there = Path(first).name, Path(other).name
    for number, (one, two) in enumerate(zip(mine, yours, strict=False), start=1):
        if _long(one.shape) not in (_long(two.shape), _long(two.shape)[::-1]):
            raise UsageError(
                f"wanted one architecture, found a difference at parameter {number}: {one.name!r} of shape "
                f"{_shape(one)} in {here}, {two.name!r} of shape {_shape(two)} in {there}"
            )
    if len(mine) != len(yours):
        longer, extra = (here, mine) if len(mine) > len(yours) else (there, yours)
        name = extra[min(len(mine), len(yours))].name
        raise UsageError(
            f"wanted one architecture, found {len(mine)} parameter tensors in {here} and {len(yours)} in "
            f"{there}: {name!r} is only in {longer}"
        )


def _long(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Leave out axes of length 1: exporters differ in them."""
    return tuple(size for size in shape if size != 1)


def _fitted(tensor: NDArray[np.float32], shape: tuple[int, ...], turned: bool) -> NDArray[np.float32]:
    square = tensor.ndim == 2 and tensor.shape[0] == tensor.shape[1]
    if turned if square else _long(tensor.shape) != _long(shape):
        tensor = tensor.T
    return tensor.reshape(shape)


def _turned(model: Model) -> dict[str, bool]:
    """Tell of each matrix whether it is stored with its outputs first."""
    constants = Constants(model)
    found = {}
    for layer in find_layers(model, constants):
        if isinstance(layer, Layer) and len(layer.shape) == 2:
            attributes = layer.source.node.attributes()
            found[layer.weight] = bool(attributes.get("transB", 0))
    return found


def _first_operation(first: Model, other: Model) -> str:
    mine, yours = ([node.op for node in model.nodes] for model in (first, other))
    for number, (one, two) in enumerate(zip(mine, yours, strict=False), start=1):
        if one != two:
            return f" (node {number} is {one} and {two})"
    return ""


def _shape(parameter: Parameter) -> str:
    return " x ".join(map(str, parameter.shape)) or "a single number"
