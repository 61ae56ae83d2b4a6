"""The first run of a model: which output, how many samples at a time, what the output looks like."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from onnxtop.errors import ModelError, UsageError
from onnxtop.gradient.graph import Array, Graph
from onnxtop.loss.lift import Declared, Lifted
from onnxtop.loss.samples import Samples
from onnxtop.loss.trace import Runtime, fold

__all__ = ["Look", "feeds_of", "folded", "look", "sizes_to_try"]

_CHUNK_BYTES = 2**26
"""What the values of one run may take; larger chunks fall out of the processor's caches and win nothing."""

_MOST, _MOST_CONVOLUTION = 1024, 64


@dataclass(frozen=True, eq=False)
class Look:
    """What the first run showed.

    Attributes
    ----------
    output
        Name of the output that the loss is of.
    values
        Its values for the first ``size`` samples.
    graph
        The folded graph of that run.
    size
        How many samples it was run on.
    batch_size
        How many samples to run at a time.
    fixed
        Whether the model takes no other number.
    bytes
        What the values of a run of ``batch_size`` samples take.
    """

    output: str
    values: Array
    graph: Graph
    size: int
    batch_size: int
    fixed: bool
    bytes: float


def look(
    lifted: Lifted, samples: Samples, runtime: Runtime, output: str | None, batch_size: int | None
) -> Look:
    """Run a model on its first samples.

    Raises
    ------
    UsageError
        The output is not the model's, there are several to choose from, or its first axis is not the samples.
    ModelError
        onnxruntime cannot run the model on these samples.
    """
    chosen = _choose_output(lifted.outputs, output)
    sizes, own = sizes_to_try(lifted, samples, batch_size)
    failure: Exception | None = None
    for size in sizes:
        try:
            graph, values = _run(lifted, samples, runtime, chosen, size)
        except ModelError as error:
            failure = failure or error
            continue
        if values.ndim and len(values) and len(values) % size == 0:
            break
        shape = " x ".join(map(str, values.shape))
        failure = failure or UsageError(
            f"wanted an output whose first axis is the samples, found {chosen!r} of shape {shape} for "
            f"{size} samples"
        )
    else:
        assert failure is not None
        raise failure
    fixed = own or size != sizes[0]
    each = _bytes(graph, samples) / size
    chosen_size = size if fixed else batch_size or _size(graph, each, samples)
    return Look(chosen, values, graph, size, chosen_size, fixed, each * chosen_size)


def sizes_to_try(lifted: Lifted, samples: Samples, batch_size: int | None) -> tuple[list[int], bool]:
    """Return numbers of samples that the model may take, best first; whether it declares the only one.

    Raises
    ------
    UsageError
        Its inputs declare different numbers.
    """
    declared = {v.shape[0] for v in lifted.inputs if v.shape and v.name in samples.inputs} - {None}
    if len(declared) > 1:
        raise UsageError(f"wanted inputs with one number of samples, found {sorted(map(str, declared))}")
    own = next(iter(declared), None)
    if own:
        return [own], True
    return list(dict.fromkeys([batch_size or min(samples.count, 2), *_baked(lifted.graph), 1])), False


def _choose_output(outputs: Sequence[Declared], wanted: str | None) -> str:
    names = [value.name for value in outputs]
    if wanted is not None:
        if wanted not in names:
            raise UsageError(f"wanted an output out of {', '.join(names)}, found {wanted!r}")
        return wanted
    floats = [value.name for value in outputs if value.dtype.kind in "fV"]
    if len(floats) != 1:
        raise UsageError(
            f"wanted a model with one output of floats, found {len(floats)} ({', '.join(names)}); choose "
            "one (output=, --target-output)"
        )
    return floats[0]


def _baked(graph: Graph) -> Iterator[int]:
    """Yield numbers of samples that targets of Reshape fix."""
    for node in graph.nodes:
        if node.op_type == "Reshape" and len(node.input) > 1:
            shape = graph.constants.get(node.input[1])
            if shape is not None and shape.ndim == 1 and shape.size > 1 and int(shape[0]) > 1:
                yield int(shape[0])


def folded(lifted: Lifted, samples: Samples, runtime: Runtime, size: int) -> Graph:
    """Return the model's graph with every shape known, for a number of samples."""
    return fold(lifted.graph, feeds_of(lifted, samples, size), runtime, tuple(samples.still))


def feeds_of(lifted: Lifted, samples: Samples, size: int) -> dict[str, Array]:
    """Return what a graph is fed for its first samples: inputs and parameters."""
    values = dict(zip((p.name for p in lifted.parameters), lifted.values, strict=True))
    return {**samples.rows(slice(0, min(size, samples.count)), size), **values}


def _run(lifted: Lifted, samples: Samples, runtime: Runtime, output: str, size: int) -> tuple[Graph, Array]:
    graph = folded(lifted, samples, runtime, size)
    feeds = feeds_of(lifted, samples, size)
    if output in graph.constants:
        raise UsageError(f"wanted an output that depends on the data, found {output!r}, which is constant")
    return graph, runtime(graph.to_proto(feeds, [output])).run([output], feeds)[0]


def _bytes(graph: Graph, samples: Samples) -> int:
    """Return what the values of a run take."""
    made = set(samples.inputs).union(*(node.output for node in graph.nodes)) - {""}
    return sum(math.prod(graph.shapes[name]) * 4 for name in made if name in graph.shapes)


def _size(graph: Graph, each: float, samples: Samples) -> int:
    """Return how many samples to run at a time: all, up to a limit of memory."""
    most = _MOST_CONVOLUTION if any(node.op_type == "Conv" for node in graph.nodes) else _MOST
    return int(np.clip(_CHUNK_BYTES / max(each, 1), 1, min(most, samples.count)))
