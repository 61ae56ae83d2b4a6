"""BatchNormalization with other statistics than the stored ones, which fit the exported weights alone."""

from onnx import NodeProto

from onnxtop.gradient.engine import RuleCall, key_of
from onnxtop.gradient.expansions import expand
from onnxtop.gradient.graph import Graph, Tensor

_KEY = ("", "BatchNormalization")


def by_batch(graph: Graph) -> Graph:
    """Return the graph with the mean and variance of the batch, over all axes but the channels.

    Both are values of the graph, of shape (channels,), under the names that `statistics` gives.
    """

    def BatchNormalization(
        call: RuleCall,
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
        for name, own in zip(_names(call.node), (own_mean, own_variance), strict=True):
            call.graph.name(own.reshape((-1,)), name)
        normal = centred / (own_variance + epsilon).sqrt()
        return [normal * gain.reshape(channels) + shift.reshape(channels)]

    return expand(graph, {_KEY: BatchNormalization})


def fed(graph: Graph) -> Graph:
    """Return the graph with its statistics fed, under the names that `statistics` gives."""
    changed = graph.copy()
    for node in changed.nodes:
        if key_of(node) == _KEY:
            for position, name in zip((3, 4), _names(node), strict=True):
                changed.declare(name, graph.shapes[node.input[position]], graph.dtypes[node.input[position]])
                node.input[position] = name
    return changed


def statistics(graph: Graph) -> list[str]:
    """Return the names of the means and variances that normalise a graph."""
    return [name for node in graph.nodes if key_of(node) == _KEY for name in _names(node)]


def _names(node: NodeProto) -> tuple[str, str]:
    return f"onnxtop/mean/{node.output[0]}", f"onnxtop/variance/{node.output[0]}"
