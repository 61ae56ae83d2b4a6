"""Losses, built from ordinary operations onto a model's output.

Every head is a function from output and target to one number an element; the loss of a chunk of data is the
sum of these numbers times weights that are fed. The weights are 1 / (elements that count), over *all* data,
and 0 for what does not count (padding, the ignore index): so the chunks' losses add up to exactly the mean,
whatever their size.

onnxruntime's SoftmaxCrossEntropyLoss has no CPU kernel, hence LogSoftmax and GatherElements.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from onnx import NodeProto

from onnxtop.errors import UsageError
from onnxtop.gradient.engine import attributes_of
from onnxtop.gradient.graph import Array, Graph, Shape, Tensor
from onnxtop.loss.look import FirstRun
from onnxtop.loss.options import LossName

TARGET, WEIGHT, LOSS = "onnxtop/target", "onnxtop/weight", "onnxtop/loss"
"""Names of what is fed and of the scalar that is computed."""

_TINY = 1e-30  # below which a probability's logarithm is cut off


@dataclass(frozen=True)
class LossHead:
    """How an output is compared with a target.

    Attributes
    ----------
    name
        Of the loss: a `LossName` other than ``auto``.
    class_axis
        Axis of the output that holds the classes; None for other losses than cross-entropy.
    source
        The value that the loss is computed from: the output, or the logits before its softmax.
    link
        What turns ``source`` into what the loss wants: ``logits`` and ``values`` nothing, ``probabilities``
        a logarithm.
    threshold
        Above which the model's own output means 1, for the loss ``binary``.
    smoothing
        Share of the uniform distribution that is mixed into labels (Szegedy et al., arXiv:1512.00567).
    """

    name: str
    class_axis: int | None
    source: str
    link: str
    threshold: float = 0.0
    smoothing: float = 0.0

    @property
    def notes(self) -> tuple[str, ...]:
        """What was assumed of the output."""
        if self.link != "probabilities":
            return ()
        told = "from 0 to 1" if self.class_axis is None else "from 0 to 1 and add up to 1"
        return (f"the output is taken for probabilities, since its values are {told}",)


def choose(seen: FirstRun, target: Array, wanted: LossName = "auto", smoothing: float = 0.0) -> LossHead:
    """Choose a loss from the output's shape and the target's type.

    Parameters
    ----------
    seen
        The model's first run.
    target
        Labels (integers) or values (floats), first axis samples.
    wanted
        A `LossName`.
    smoothing
        Of labels, 0 to 1.

    Raises
    ------
    UsageError
        Output and target do not fit, or not the loss that was asked for; or there are no labels to smooth.
    """
    head = _chosen(seen, target, wanted)
    if smoothing and head.name not in ("cross-entropy", "binary"):
        raise UsageError(f"wanted labels of classes for label smoothing, found the loss {head.name}")
    return replace(head, smoothing=smoothing)


def confirmed(head: LossHead, outputs: Array) -> LossHead:
    """Return a head that takes the outputs of all samples, and not of the first alone, for what they are.

    Few logits may look like probabilities by chance.
    """
    if head.link == "probabilities" and not _are_probabilities(outputs, head.class_axis):
        return replace(head, link="logits", threshold=0.0)
    return head


def _chosen(seen: FirstRun, target: Array, wanted: LossName) -> LossHead:
    shape = (seen.size, *target.shape[1:])
    binary = bool(((target == 0) | (target == 1)).all())
    name = _kind(seen.values.shape, shape, target.dtype, binary) if wanted == "auto" else wanted
    if name == "cross-entropy":
        return _cross_entropy_head(seen, shape, target.dtype)
    if not _same_elements(seen.values.shape, shape):
        raise UsageError(
            f"wanted a target of the output's shape for the loss {name}, found another: "
            f"{_side_by_side(seen.values.shape, shape)}; check the target, or choose another loss"
        )
    if name == "binary":
        if not binary:
            raise UsageError("wanted labels 0 and 1 for the loss binary, found others; choose another loss")
        source = _before(seen.graph, seen.output, "Sigmoid", None)
        probabilities = source is None and _are_probabilities(seen.values, None)
        link = "probabilities" if probabilities else "logits"
        return LossHead("binary", None, source or seen.output, link, 0.5 if source or probabilities else 0.0)
    return LossHead(name, None, seen.output, "values")


def _kind(output: Shape, target: Shape, dtype: np.dtype[Any], binary: bool) -> str:
    if dtype.kind == "f":
        return "mse"
    if class_axis(output, target) is not None:
        return "cross-entropy"
    if binary and _same_elements(output, target):
        return "binary"
    raise UsageError(
        f"wanted labels for the output, found integers that are neither a class a sample (token, pixel) nor "
        f"zeros and ones of its shape: {_side_by_side(output, target)}; check the output, or choose a loss"
    )


def _side_by_side(output: Shape, target: Shape) -> str:
    """Say what shapes the two have in the few samples that are looked at."""
    return f"of {target[0]} samples the output is {output}, the target {target}"


def class_axis(output: Shape, target: Shape) -> int | None:
    """Return the axis of the output that is no axis of the labels, None if there is no such.

    Where two fit: the second for images (four axes and more), the last for tokens.
    """
    flat = (int(np.prod(target)),)
    order = [1, *range(len(output) - 1, 1, -1)] if len(output) >= 4 else range(len(output) - 1, 0, -1)
    for axis in order:
        rest = (*output[:axis], *output[axis + 1 :])
        if output[axis] > 1 and rest in (target, flat):
            return axis
    return None


def _same_elements(output: Shape, target: Shape) -> bool:
    """Tell whether output and target compare element by element: axes of length 1 do not matter."""
    squeezed = [[size for size in shape[1:] if size != 1] for shape in (output, target)]
    return output[:1] == target[:1] and squeezed[0] == squeezed[1]


def _cross_entropy_head(seen: FirstRun, target: Shape, dtype: np.dtype[Any]) -> LossHead:
    axis = class_axis(seen.values.shape, target)
    if axis is None:
        raise UsageError(
            f"wanted one label a sample (token, pixel) for the loss cross-entropy, found another number: "
            f"{_side_by_side(seen.values.shape, target)}; check the labels, or choose another loss"
        )
    if dtype.kind not in "iub":
        raise UsageError(f"wanted integer labels for the loss cross-entropy, found {dtype}")
    source = _before(seen.graph, seen.output, "Softmax", axis)
    probabilities = source is None and _are_probabilities(seen.values, axis)
    return LossHead(
        "cross-entropy", axis, source or seen.output, "probabilities" if probabilities else "logits"
    )


def _are_probabilities(values: Array, axis: int | None) -> bool:
    """Tell whether values are from 0 to 1; those along an axis of classes also have to add up to 1."""
    whole = axis is None or np.allclose(values.sum(axis, dtype=np.float64), 1, atol=1e-3)
    return bool(whole and ((values >= 0) & (values <= 1)).all())


def _before(graph: Graph, name: str, op: str, axis: int | None) -> str | None:
    """Return the value before a final Softmax or Sigmoid, None if there is none."""
    makers = {out: node for node in graph.nodes for out in node.output if out}
    node = makers.get(name)
    while node is not None and node.op_type in ("Identity", "Cast"):
        node = makers.get(node.input[0])
    if node is None or node.op_type != op or node.domain or not _along(node, axis, graph):
        return None
    return node.input[0]


def _along(node: NodeProto, axis: int | None, graph: Graph) -> bool:
    """Tell whether a softmax is over an axis."""
    if axis is None:
        return True
    rank = len(graph.shapes[node.output[0]])
    return int(attributes_of(node).get("axis", -1)) % rank == axis


def attach(graph: Graph, head: LossHead, target: Shape) -> Tensor:
    """Add a head to a graph; return its loss, a float64 scalar named `LOSS`.

    ``target`` is the shape of a chunk's target. `TARGET` is fed with labels (int64) or values (float32),
    `WEIGHT` with one weight for each element of the target.
    """
    source = graph.tensor(head.source).cast(np.float32)
    kind = np.int64 if head.name == "cross-entropy" else np.float32
    wanted = graph.declare(TARGET, target, kind)
    weight = graph.declare(WEIGHT, target, np.float32)
    if head.class_axis is not None:
        each = _cross_entropy(source, wanted, head)
        weight = weight.reshape(each.shape)
    else:
        each = _ELEMENTS[head.name](source.reshape(target), wanted, head)
    # what does not count may be infinite, and 0 times that is no 0
    weighted = (each * weight).where(weight > 0.0, 0.0).cast(np.float64)  # in float32 sums lose three digits
    total = weighted.sum(range(each.rank))
    return graph.name(total, LOSS)


def _cross_entropy(source: Tensor, labels: Tensor, head: LossHead) -> Tensor:
    """-log p(label), shape of the labels with axes as in the output."""
    axis = head.class_axis
    assert axis is not None
    shape = [1 if a == axis else size for a, size in enumerate(source.shape)]
    logs = _floor(source).log() if head.link == "probabilities" else source.apply("LogSoftmax", axis=axis)
    picked = source.graph.emit(
        "GatherElements", logs, labels.reshape(shape), shape=shape, dtype=np.float32, axis=axis
    )
    each = -picked.reshape([size for a, size in enumerate(source.shape) if a != axis])
    if not head.smoothing:
        return each
    uniform = -logs.sum([axis]) / float(source.shape[axis])
    return each * (1.0 - head.smoothing) + uniform * head.smoothing


def _floor(p: Tensor) -> Tensor:
    return p.apply("Max", p.like(_TINY))


def _binary(z: Tensor, t: Tensor, head: LossHead) -> Tensor:
    """-t log p - (1 - t) log(1 - p); on logits max(z, 0) - z t + log(1 + e^-|z|), which never overflows."""
    if head.smoothing:
        t = t * (1.0 - head.smoothing) + head.smoothing / 2
    if head.link == "probabilities":
        return -(t * _floor(z).log() + (1.0 - t) * _floor(1.0 - z).log())
    return z.apply("Relu") - z * t + (-z.apply("Abs")).apply("Softplus")


def _mse(y: Tensor, t: Tensor, head: LossHead) -> Tensor:
    difference = y - t
    return difference * difference


def _l1(y: Tensor, t: Tensor, head: LossHead) -> Tensor:
    return (y - t).apply("Abs")


def _huber(y: Tensor, t: Tensor, head: LossHead) -> Tensor:
    """Half the square up to a distance of 1, the distance less 1/2 beyond."""
    size = (y - t).apply("Abs")
    return (size * size * 0.5).where(size < 1.0, size - 0.5)


_ELEMENTS: dict[str, Callable[[Tensor, Tensor, LossHead], Tensor]] = {
    "binary": _binary,
    "mse": _mse,
    "l1": _l1,
    "huber": _huber,
}
