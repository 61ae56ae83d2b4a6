"""Models of one architecture as points of one parameter space, seen through the probe of the first."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from onnxtop.errors import UsageError
from onnxtop.landscape.alignment import Layout, scrambled
from onnxtop.landscape.minima import Draw
from onnxtop.landscape.symmetry import Symmetries
from onnxtop.loss.descent import Floats
from onnxtop.loss.parameters import Parameter
from onnxtop.loss.probe import Probe
from onnxtop.reader.constants import Constants
from onnxtop.reader.layer import Layer
from onnxtop.reader.layers import find_layers
from onnxtop.reader.model import Model

_SAME = 1e-4
"""Two readings of one network may differ by this share of 1 + loss (float32, other order of sums)."""


def layout_of(probe: Probe) -> Layout:
    """Return where each tensor lies in theta, and its shape."""
    return {parameter.name: (parameter.slice, parameter.shape) for parameter in probe.parameters}


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


def last_layer(probe: Probe) -> list[slice]:
    """Return the place in theta of the last layer, by which the outputs grow."""
    last = [each.slice for each in probe.parameters if each.layer == probe.parameters[-1].layer]
    return [slice(min(each.start for each in last), max(each.stop for each in last))]


def confirmed(probe: Probe, moved: Floats, theta: Floats) -> bool:
    """Tell on data whether a renumbered network is the same function."""
    if np.array_equal(moved, theta):
        return True
    rows = slice(0, min(probe.samples, 256))
    before, after = probe.outputs(theta, rows), probe.outputs(moved, rows)
    return bool(np.abs(before - after).max(initial=0) <= _SAME * (1 + np.abs(before).max(initial=0)))


def checked(probe: Probe, symmetries: Symmetries) -> Symmetries:
    """Leave out the groups that change, on data, what the network computes when they are moved at random."""
    theta, layout = probe.theta0.astype(np.float64), symmetries.layout
    groups, notes = [], list(symmetries.notes)
    for group in symmetries.groups:
        if confirmed(probe, scrambled(theta, [group], layout, seed=0), theta):
            groups.append(group)
        else:
            tensor = group.members[0].tensor if group.members else group.inner[0][0].members[0].tensor
            notes.append(
                f"{group.units:,} units of {tensor} stay in place, so bounds are looser: renumbered, they "
                "changed what the network computes"
            )
    return replace(symmetries, groups=tuple(groups), notes=tuple(notes))


def draws(model: Model, probe: Probe) -> list[Draw]:
    """Return how a fresh start draws each tensor.

    Weights of layers are Kaiming normal, biases 0.01, gains of normalisation 1, its shifts 0; other tables
    (embeddings, positions, slopes) are as spread out as the given ones, about the same mean.
    """
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


def translated(first: Model, probe: Probe, other: Model, theirs: Probe) -> Floats:
    """Return the weights of another model in the places where the first has them.

    Layers match by name, or by their order if another exporter wrote the file; a matrix may be stored the
    other way round. What matched is run: both must give the same loss.

    Raises
    ------
    UsageError
        The architectures differ; the first difference is named.
    """
    mine, yours = probe.parameters, theirs.parameters
    here, there = first.file.short, other.file.short
    tensors = [theirs.tensors(theirs.theta0)[parameter.name] for parameter in yours]
    if [(p.name, p.shape) for p in mine] != [(p.name, p.shape) for p in yours]:
        _refuse_difference(here, mine, there, yours)
        tensors = [
            _fitted(tensor, p.shape, p.output_axis != q.output_axis)
            for tensor, p, q in zip(tensors, mine, yours, strict=True)
        ]
    theta = np.concatenate([tensor.ravel() for tensor in tensors]).astype(np.float64)
    own, read = theirs.loss(theirs.theta0), probe.loss(theta)
    if not abs(own - read) <= _SAME * (1 + abs(own)):
        raise UsageError(
            f"wanted one architecture, found that {there} has the tensors of {here} but another function"
            f"{_first_operation(first, other)}: its loss is {own:.6g}, and {read:.6g} with its weights put "
            f"into {here}"
        )
    return theta


def _refuse_difference(here: str, mine: Sequence[Parameter], there: str, yours: Sequence[Parameter]) -> None:
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


def _first_operation(first: Model, other: Model) -> str:
    mine, yours = ([node.op for node in model.nodes] for model in (first, other))
    for number, (one, two) in enumerate(zip(mine, yours, strict=False), start=1):
        if one != two:
            return f" (node {number} is {one} and {two})"
    return ""


def _shape(parameter: Parameter) -> str:
    return " x ".join(map(str, parameter.shape)) or "a single number"
