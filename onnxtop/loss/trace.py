"""One run of a graph that tells every shape, and the values that depend on shapes alone.

With the sizes of all inputs fixed, shapes are numbers, and what is computed from them (targets of Reshape,
bounds of Slice, masks) is constant. One run of the model itself tells both, whatever operations it holds.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

import numpy as np
from onnx import ModelProto, NodeProto, helper

from onnxtop.gradient.graph import Array, Graph, reads

__all__ = ["Runtime", "Session", "fold"]


class Session(Protocol):
    """A model ready to run."""

    def types(self) -> Mapping[str, np.dtype[np.generic] | None]:
        """Return the outputs' types by name, None for what is no tensor."""
        ...

    def run(self, outputs: Sequence[str], feeds: Mapping[str, Array]) -> list[Array]:
        """Compute some outputs."""
        ...


class Runtime(Protocol):
    """What opens models: onnxruntime, which only `onnxtop.loss.probe` imports."""

    def __call__(self, proto: ModelProto, *, plain: bool = False) -> Session:
        """Open a model; ``plain`` leaves out all optimisation."""
        ...


_SHAPES = ("Shape", "Size")
_RANDOM = (
    "RandomNormal",
    "RandomNormalLike",
    "RandomUniform",
    "RandomUniformLike",
    "Bernoulli",
    "Multinomial",
)


def fold(graph: Graph, feeds: Mapping[str, Array], runtime: Runtime, still: Iterable[str] = ()) -> Graph:
    """Run a graph once; return it with every shape known and with what depends on shapes alone as constants.

    Parameters
    ----------
    graph
        Nodes and constants; not changed.
    feeds
        Everything that the graph is fed, parameters included; the sizes are those of later runs.
    runtime
        Opens models.
    still
        Inputs whose values are the same in later runs too.
    """
    folded = graph.copy()
    for name, array in feeds.items():
        folded.declare(name, array.shape, array.dtype)
    constant = {**{name: feeds[name] for name in still}, **folded.constants}
    fixed = _fixed(folded.nodes, constant)
    names = [name for node in folded.nodes for name in node.output if name]
    types = runtime(folded.to_proto(feeds, names), plain=True).types()
    tensors = [name for name in names if types[name] is not None]
    shapes = {name: f"{name}/shape" for name in tensors if name not in fixed}
    probe = folded.copy()
    probe.nodes += [helper.make_node("Shape", [name], [shape]) for name, shape in shapes.items()]
    wanted = [name for name in tensors if name in fixed]
    results = runtime(probe.to_proto(feeds, [*shapes.values(), *wanted]), plain=True).run(
        [*shapes.values(), *wanted], feeds
    )
    for name, shape in zip(shapes, results, strict=False):
        folded.declare(name, shape.tolist(), types[name])
    for name, value in zip(wanted, results[len(shapes) :], strict=True):
        folded.constants[name] = value
        folded.declare(name, value.shape, value.dtype)
    for name in still:
        folded.constants[name] = feeds[name]
    folded.nodes = [
        node for node in folded.nodes if not all(name in folded.constants for name in node.output if name)
    ]
    return folded


def _fixed(nodes: Iterable[NodeProto], constants: Mapping[str, Array]) -> set[str]:
    """Return the values that depend on constants and shapes alone."""
    fixed = set(constants)
    for node in nodes:
        if node.op_type in _SHAPES or (
            node.op_type not in _RANDOM and all(name in fixed for name in reads(node) if name)
        ):
            fixed.update(name for name in node.output if name)
    return fixed
