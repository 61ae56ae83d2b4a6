"""BatchNormalization with other statistics than the stored ones, which fit the exported weights alone."""

from collections.abc import Callable

from onnx import NodeProto

from onnxtop.gradient.engine import Call, key_of
from onnxtop.gradient.expansions import expand
from onnxtop.gradient.graph import Graph, Tensor

__all__ = ["by_batch", "fed", "measured"]

_KEY = ("", "BatchNormalization")


def by_batch(graph: Graph, note: Callable[[NodeProto, Tensor, Tensor], None] | None = None) -> Graph:
    """Return the graph with the mean and variance of the batch, over all axes but the channels.

    ``note`` is told each node with its mean and variance, both of shape (channels,).
    """

    def BatchNormalization(
        call: Call,
        x: Tensor,
        gain: Tensor,
        shift: Tensor,
        mean: Tensor,
        variance: Tensor,
        *,
        epsilon: float = 1e-5,
        momentum: float = 0.9,
        training_mode: int = 0,
    ) -> list[Tensor | None]:
        axes = [0, *range(2, x.rank)]
        channels = (-1, *[1] * (x.rank - 2))
        own_mean = x.mean(axes, keepdims=True)
        centred = x - own_mean
        own_variance = (centred * centred).mean(axes, keepdims=True)
        if note is not None:
            note(call.node, own_mean.reshape((-1,)), own_variance.reshape((-1,)))
        normal = centred / (own_variance + epsilon).sqrt()
        return [normal * gain.reshape(channels) + shift.reshape(channels)]

    return expand(graph, {_KEY: BatchNormalization})


def measured(graph: Graph) -> tuple[Graph, dict[str, str]]:
    """Return a graph that measures the batch's statistics; which value is fed as which (see `fed`)."""
    found: dict[str, str] = {}

    def note(node: NodeProto, mean: Tensor, variance: Tensor) -> None:
        found.update(zip(_names(node), (mean.name, variance.name), strict=True))

    return by_batch(graph, note), found


def fed(graph: Graph) -> Graph:
    """Return the graph with its statistics fed, under the names that `measured` gives."""
    changed = graph.copy()
    for node in changed.nodes:
        if key_of(node) == _KEY:
            for position, name in zip((3, 4), _names(node), strict=True):
                changed.declare(name, graph.shapes[node.input[position]], graph.dtypes[node.input[position]])
                node.input[position] = name
    return changed


def _names(node: NodeProto) -> tuple[str, str]:
    return f"onnxtop/mean/{node.output[0]}", f"onnxtop/variance/{node.output[0]}"
