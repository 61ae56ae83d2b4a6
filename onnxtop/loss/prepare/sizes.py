"""The pass that makes every shape a number, and a constant of what depends on shapes alone, by one run.

With the sizes of all inputs fixed, shapes are numbers, and what is computed from them (targets of Reshape,
bounds of Slice, masks) is constant. One run of the model itself tells both, whatever operations it holds.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from onnx import helper

from onnxtop.gradient.graph import Array, Graph, descendants
from onnxtop.loss.prepare.prepared import Prepared
from onnxtop.loss.runtime import Runtime
from onnxtop.loss.samples import Samples
from onnxtop.reader.ops.tables import SIZES
from onnxtop.reader.protos import op_of

_RANDOM = ("Random", "Bernoulli", "Multinomial")  # how their names begin


def sized(model: Prepared, samples: Samples, runtime: Runtime, number: int) -> Prepared:
    """Return the model for a number of samples."""
    feeds = feeds_of(model, samples, number)
    return replace(model, graph=fold(model.graph, feeds, runtime, tuple(samples.still)))


def feeds_of(model: Prepared, samples: Samples, number: int) -> dict[str, Array]:
    """Return what a model is fed for its first samples: inputs and parameters."""
    values = dict(zip((p.name for p in model.parameters), model.values, strict=True))
    return {**samples.rows(slice(0, min(number, samples.count)), number), **values}


def numbers_to_try(model: Prepared, samples: Samples, batch_size: int | None) -> tuple[list[int], bool]:
    """Return numbers of samples that the model may take, best first; whether it declares the only one.

    Raises
    ------
    UsageError
        Its inputs declare different numbers.
    """
    own = samples.number({v.name: v.shape for v in model.inputs})
    if own:
        return [own], True
    return list(dict.fromkeys([batch_size or min(samples.count, 2), *_baked(model.graph), 1])), False


def _baked(graph: Graph) -> Iterator[int]:
    """Yield numbers of samples that targets of Reshape fix."""
    for node in graph.nodes:
        if node.op_type == "Reshape" and len(node.input) > 1:
            shape = graph.constants.get(node.input[1])
            if shape is not None and shape.ndim == 1 and shape.size > 1 and int(shape[0]) > 1:
                yield int(shape[0])


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
    chance = (node for node in folded.nodes if node.op_type.startswith(_RANDOM))
    varying = {*feeds, *(name for node in chance for name in node.output if name)} - {*still}
    varying = descendants((node for node in folded.nodes if op_of(node) not in SIZES), varying)
    names = [name for node in folded.nodes for name in node.output if name]
    types = runtime.open(folded.to_proto(feeds, names), plain=True).types()
    tensors = [name for name in names if types[name] is not None]
    shapes = {name: f"{name}/shape" for name in tensors if name in varying}
    probe = folded.copy()
    probe.nodes += [helper.make_node("Shape", [name], [shape]) for name, shape in shapes.items()]
    constant = [name for name in tensors if name not in varying]
    wanted = [*shapes.values(), *constant]
    results = runtime.open(probe.to_proto(feeds, wanted), plain=True).run(wanted, feeds)
    for name, shape in zip(shapes, results, strict=False):
        folded.declare(name, shape.tolist(), types[name])
    for name, value in zip(constant, results[len(shapes) :], strict=True):
        folded.hold(name, value)
    for name in still:
        folded.constants[name] = feeds[name]
    folded.nodes = [
        node for node in folded.nodes if not all(name in folded.constants for name in node.output if name)
    ]
    return folded
