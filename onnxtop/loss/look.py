"""The first run of a model: which output, how many samples at a time, what the output looks like."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from onnxtop.errors import ModelError, UsageError
from onnxtop.gradient.graph import Array, Graph
from onnxtop.loss.prepare.prepared import Prepared
from onnxtop.loss.prepare.sizes import feeds_of, numbers_to_try, sized
from onnxtop.loss.runtime import Runtime
from onnxtop.loss.samples import Samples
from onnxtop.reader.declared import Declared

_CHUNK_BYTES = 2**26
"""What the values of one run may take; larger chunks fall out of the processor's caches and win nothing."""

_MOST, _MOST_CONVOLUTION = 1024, 64


@dataclass(frozen=True, eq=False)
class FirstRun:
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
    model: Prepared, samples: Samples, runtime: Runtime, output: str | None, batch_size: int | None
) -> FirstRun:
    """Run a model on its first samples.

    Raises
    ------
    UsageError
        The output is not the model's, there are several to choose from, or its first axis is not the samples.
    ModelError
        onnxruntime cannot run the model on these samples.
    """
    chosen = _choose_output(model.outputs, output)
    sizes, own = numbers_to_try(model, samples, batch_size)
    failure: Exception | None = None
    for size in sizes:
        try:
            graph, values = _run(model, samples, runtime, chosen, size)
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
    return FirstRun(chosen, values, graph, size, chosen_size, fixed, each * chosen_size)


def _choose_output(outputs: Sequence[Declared], wanted: str | None) -> str:
    names = [value.name for value in outputs]
    if wanted is not None:
        if wanted not in names:
            raise UsageError(f"wanted an output out of {', '.join(names)}, found {wanted!r}")
        return wanted
    floats = [value.name for value in outputs if value.array_type.kind in "fV"]
    if len(floats) != 1:
        raise UsageError(
            f"wanted a model with one output of floats, found {len(floats)} ({', '.join(names)}); choose "
            "one, with --target-output of onnxtop probe, or output= in Python"
        )
    return floats[0]


def _run(model: Prepared, samples: Samples, runtime: Runtime, output: str, size: int) -> tuple[Graph, Array]:
    graph = sized(model, samples, runtime, size).graph
    feeds = feeds_of(model, samples, size)
    if output in graph.constants:
        raise UsageError(f"wanted an output that depends on the data, found {output!r}, which is constant")
    return graph, runtime.open(graph.to_proto(feeds, [output])).run([output], feeds)[0]


def _bytes(graph: Graph, samples: Samples) -> int:
    """Return what the values of a run take."""
    made = set(samples.inputs).union(*(node.output for node in graph.nodes)) - {""}
    return sum(math.prod(graph.shapes[name]) * 4 for name in made if name in graph.shapes)


def _size(graph: Graph, each: float, samples: Samples) -> int:
    """Return how many samples to run at a time: all, up to a limit of memory."""
    most = _MOST_CONVOLUTION if any(node.op_type == "Conv" for node in graph.nodes) else _MOST
    return int(np.clip(_CHUNK_BYTES / max(each, 1), 1, min(most, samples.count)))
