"""The layers of a model, measured one at a time: what is kept of each when its weights are gone."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onnxtop.auditing.options import AuditOptions
from onnxtop.auditing.traits import Structure, examine
from onnxtop.network import Blocks
from onnxtop.reader.encoding import Encoding
from onnxtop.reader.layers import Layer
from onnxtop.reader.model import Model
from onnxtop.reader.skeleton import Shape, infer_shapes, placed
from onnxtop.results.report import NOT_ASKED
from onnxtop.statistics.copies import Fingerprint, fingerprint
from onnxtop.statistics.fixed import probably_fixed
from onnxtop.topology import convolution, neural_persistence
from onnxtop.topology.graph import Forest
from onnxtop.topology.null_model import NullModels

__all__ = ["Measured", "Progress", "measure_layers"]

Progress = Callable[[str, int, int], None]
"""Called with the layer just measured, and how many weights are done and to do."""

_UNROLLED_NEURONS = 2**24  # a forest takes some 160 bytes a neuron
_SIZE_UNKNOWN = "its input size is not known; give --input-shape NAME=1,3,224,224"


@dataclass(frozen=True, eq=False)
class Measured:
    """A layer and the forest of the graph that was measured; no forest where ``reason`` says why."""

    layer: Layer
    n_in: int
    n_out: int
    forest: Forest | None
    reason: str | None = None
    mark: Fingerprint | None = None
    fixed: str | None = None
    structure: Structure | None = None


def measure_layers(
    model: Model,
    layers: Sequence[Layer],
    nulls: NullModels,
    options: AuditOptions,
    progress: Progress | None,
) -> list[Measured]:
    """Make the forest of every layer, holding one layer's weights at a time; call ``progress`` after each."""
    unrolled = options.topology and options.conv == "unrolled"
    shapes = infer_shapes(model, options.input_shapes, options.dims) if unrolled else {}
    total = sum(layer.parameters for layer in layers)
    done = 0
    measured = []
    for number, layer in enumerate(layers):
        if not options.topology:
            measured.append(_read_only(layer))
        elif layer.is_convolution and unrolled:
            measured.append(_unrolled(layer, number, shapes, nulls, options))
        else:
            measured.append(_dense(layer, number, nulls, options))
        done += layer.parameters
        if progress is not None:
            progress(layer.name, done, total)
    return measured


def _read_only(layer: Layer) -> Measured:
    blocks = layer.blocks()
    marks = fingerprint(blocks), probably_fixed(blocks)
    return Measured(layer, layer.n_in, layer.n_out, None, NOT_ASKED, *marks)


def _dense(layer: Layer, number: int, nulls: NullModels, options: AuditOptions) -> Measured:
    weights = layer.blocks()
    kernel = layer.kernel() if options.conv == "channels" else None
    blocks = weights if kernel is None else convolution.channels(kernel)
    bias = _bias(layer, options)
    forest = neural_persistence.layer_forest(blocks, bias=bias, layer=number)
    n_in, n_out = (sum(block.shape[axis] for block in blocks) for axis in (0, 1))
    return Measured(
        layer,
        n_in,
        n_out,
        forest,
        mark=fingerprint(blocks),
        fixed=None if forest.nonfinite else probably_fixed(blocks),
        structure=_examined(layer, weights, blocks, forest, nulls, options, bias=bias is not None),
    )


def _examined(
    layer: Layer,
    weights: Blocks,
    measured: Blocks | None,
    forest: Forest,
    nulls: NullModels,
    options: AuditOptions,
    *,
    bias: bool,
) -> Structure | None:
    if forest.nonfinite or not options.structure:
        return None
    return examine(
        weights, measured, layer.codes(), nulls, bias=bias, half=layer.encoding == Encoding("float16")
    )


def _unrolled(
    layer: Layer, number: int, shapes: Mapping[str, Shape], nulls: NullModels, options: AuditOptions
) -> Measured:
    kernel = placed(layer, shapes)
    if kernel is None or kernel.in_size is None or kernel.out_size is None:
        return Measured(layer, layer.n_in, layer.n_out, None, _SIZE_UNKNOWN)
    groups, c_out, c_in = kernel.weights.shape[:3]
    n_in, n_out = groups * c_in * math.prod(kernel.in_size), groups * c_out * math.prod(kernel.out_size)
    if not n_in or not n_out:
        return Measured(layer, n_in, n_out, None, "one side of its unrolled graph is empty")
    if n_in + n_out > _UNROLLED_NEURONS:
        return Measured(layer, n_in, n_out, None, f"its unrolled graph has over {_UNROLLED_NEURONS} neurons")
    forest = convolution.unrolled_forest(kernel, bias=_bias(layer, options), layer=number)
    blocks = layer.blocks()
    return Measured(
        layer,
        n_in,
        n_out,
        forest,
        mark=fingerprint(blocks),
        fixed=None if forest.nonfinite else probably_fixed(blocks),
        structure=_examined(layer, blocks, None, forest, nulls, options, bias=False),
    )


def _bias(layer: Layer, options: AuditOptions) -> NDArray[np.float64] | None:
    return layer.bias() if options.bias == "row" else None
