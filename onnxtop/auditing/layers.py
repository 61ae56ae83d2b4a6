"""The layers of a model, measured one at a time: what is kept of each when its weights are gone."""

import math
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from onnxtop.auditing.options import AuditOptions
from onnxtop.network import Blocks, Kernel
from onnxtop.reader.encoding import Encoding
from onnxtop.reader.layer import Layer
from onnxtop.reader.model import Model
from onnxtop.reader.names import source_line
from onnxtop.reader.skeleton import Shape, infer_shapes, placed
from onnxtop.results.plain import finite_or_none
from onnxtop.results.report import NOT_ASKED, LayerPersistence, LayerReport
from onnxtop.statistics.copies import Fingerprint, fingerprint
from onnxtop.statistics.exchangeability import Evidence, evidence, verdict
from onnxtop.statistics.fixed import probably_fixed
from onnxtop.statistics.initialisers import (
    InitialiserMatch,
    bias_was_moved,
    closest_initialiser,
    orthonormal_lines,
)
from onnxtop.statistics.layer import layer_statistics
from onnxtop.topology import convolution, neural_persistence
from onnxtop.topology.filters import filter_forests
from onnxtop.topology.layer_scan import LayerScan, scan_layer
from onnxtop.topology.neural_persistence import Graphs
from onnxtop.topology.null_model import BIAS_ROW, UNROLLED, NullModels, StrongestWeights
from onnxtop.topology.reach import Filled, filled_lines
from onnxtop.topology.spread import Magnitudes, magnitudes, mean_sortedness

Progress = Callable[[str, int, int], None]
"""Called with the layer just measured, and how many weights are done and to do."""

_BY_POSITION = ("unrolled", "per-filter")
"""Graphs of a convolution whose vertices are positions, so that its sizes must be known."""
_UNROLLED_NEURONS = 2**24  # a forest takes some 160 bytes a neuron
_FILTER_EDGES = 2**24  # some 40 bytes an edge, and minutes
_NO_SCALE = "the scale of its codes cannot be told from the activation's"
_SIZE_UNKNOWN = "its input size is not known; give --input-shape NAME=1,3,224,224"


@dataclass(frozen=True, eq=False)
class Structure:
    """What tells a layer from its shuffles, as far as its weights tell before the scale is known."""

    evidence: Evidence
    made_by: InitialiserMatch | None
    bias_moved: bool | None
    strongest: StrongestWeights
    magnitudes: Magnitudes


@dataclass(frozen=True, eq=False)
class Measured:
    """What a layer leaves behind: facts and arrays, no handle on the file, so that it pickles.

    Attributes
    ----------
    row
        Its row of the report, without what depends on the other layers.
    forest
        Of the graph that was measured, or of the graphs; None where ``reason`` says why.
    mark
        Fingerprint, by which copies are found.
    structure
        None if it was not asked for, or a weight is not finite.
    scan
        The strongest weights, for deep graph persistence; None if that does not need them.
    filled
        How many weights are not zero in every row and column of each matrix.
    """

    row: LayerReport
    forest: Graphs | None
    reason: str | None = None
    mark: Fingerprint | None = None
    structure: Structure | None = None
    scan: LayerScan | None = None
    filled: tuple[Filled, ...] = ()


def measure_layers(
    model: Model,
    layers: Sequence[Layer],
    nulls: NullModels,
    options: AuditOptions,
    progress: Progress | None,
    scanned: Container[int] = (),
) -> list[Measured]:
    """Measure every layer, reading and decoding its weights once, and holding those of one layer at a time.

    ``scanned`` are the numbers of the layers whose strongest weights are kept; ``progress`` is called after
    each layer.
    """
    by_position = options.topology and options.conv in _BY_POSITION
    shapes = infer_shapes(model, options.input_shapes, options.dims) if by_position else {}
    total = sum(layer.parameters for layer in layers)
    done = 0
    measured = []
    for number, layer in enumerate(layers):
        kernel = _kernel(layer, shapes, options)
        weights = layer.blocks() if kernel is None else kernel.matrices()
        found = _measure(layer, number, weights, kernel, nulls, options)
        if options.topology:
            found = replace(
                found,
                scan=scan_layer(weights, standardise=options.standardise) if number in scanned else None,
                filled=filled_lines(weights),
            )
        measured.append(found)
        done += layer.parameters
        if progress is not None:
            progress(layer.name, done, total)
    return measured


def _kernel(layer: Layer, shapes: Mapping[str, Shape], options: AuditOptions) -> Kernel | None:
    """Read a convolution before it is flattened, where its graph needs that."""
    if not (options.topology and layer.is_convolution) or options.conv == "flattened":
        return None
    return placed(layer, shapes) if options.conv in _BY_POSITION else layer.kernel()


def _measure(
    layer: Layer,
    number: int,
    weights: Blocks,
    kernel: Kernel | None,
    nulls: NullModels,
    options: AuditOptions,
) -> Measured:
    row = _row(layer)
    if not options.topology:
        fixed = probably_fixed(weights)
        return Measured(replace(row, probably_fixed=fixed), None, NOT_ASKED, fingerprint(weights))
    if options.sortedness:
        row = replace(row, sortedness=finite_or_none(mean_sortedness(weights, options.seed)))
    if layer.is_convolution and options.conv in _BY_POSITION:
        return _measure_positions(row, layer, number, weights, kernel, nulls, options)
    blocks = weights if kernel is None else convolution.channels(kernel)
    bias = _bias(layer, options)
    forest = neural_persistence.layer_forest(blocks, bias=bias, layer=number)
    n_in, n_out = (sum(block.shape[axis] for block in blocks) for axis in (0, 1))
    row = replace(row, n_in=n_in, n_out=n_out)
    if forest.nonfinite or not options.structure:
        strongest = None
    else:
        strongest = nulls.read(blocks) if bias is None else StrongestWeights(reason=BIAS_ROW)
    return _with_facts(row, layer, weights, blocks, forest, strongest)


def _measure_positions(
    row: LayerReport,
    layer: Layer,
    number: int,
    weights: Blocks,
    kernel: Kernel | None,
    nulls: NullModels,
    options: AuditOptions,
) -> Measured:
    if kernel is None or kernel.in_size is None or kernel.out_size is None:
        return Measured(row, None, _SIZE_UNKNOWN)
    n_in, n_out = math.prod(kernel.in_size), math.prod(kernel.out_size)
    if options.conv == "unrolled":
        groups, c_out, c_in = kernel.weights.shape[:3]
        n_in, n_out = groups * c_in * n_in, groups * c_out * n_out
    row = replace(row, n_in=n_in, n_out=n_out)
    if not n_in or not n_out:
        return Measured(row, None, "one side of its unrolled graph is empty")
    if n_in + n_out > _UNROLLED_NEURONS:
        return Measured(row, None, f"its unrolled graph has over {_UNROLLED_NEURONS} neurons")
    if options.conv == "per-filter" and n_out * math.prod(kernel.weights.shape[3:]) > _FILTER_EDGES:
        return Measured(row, None, f"the graph of each of its filters has over {_FILTER_EDGES} edges")
    bias = _bias(layer, options)
    forest: Graphs = (
        convolution.unrolled_forest(kernel, bias=bias, layer=number)
        if options.conv == "unrolled"
        else filter_forests(kernel, bias=bias)
    )
    strongest = None if forest.nonfinite or not options.structure else StrongestWeights(reason=UNROLLED)
    return _with_facts(row, layer, weights, weights, forest, strongest)


def _bias_moved(layer: Layer, weights: Blocks, made_by: InitialiserMatch | None) -> bool | None:
    bias = layer.bias()
    return None if bias is None else bias_was_moved(bias, max(len(block) for block in weights), made_by)


def _with_facts(
    row: LayerReport,
    layer: Layer,
    weights: Blocks,
    blocks: Blocks,
    forest: Graphs,
    strongest: StrongestWeights | None,
) -> Measured:
    """Add what the weights say beside their forest, or how many of them are not finite."""
    mark = fingerprint(blocks)
    if forest.nonfinite:
        return Measured(replace(row, nonfinite=forest.nonfinite), forest, mark=mark)
    row = replace(row, largest=forest.strongest, probably_fixed=probably_fixed(blocks))
    if strongest is None:
        return Measured(row, forest, mark=mark)
    found = evidence(weights)
    alike = verdict(found, None).exchangeable
    made_by = closest_initialiser(weights) if alike else orthonormal_lines(weights)
    moved = _bias_moved(layer, weights, None if found.even else made_by)
    statistics = layer_statistics(weights, layer.codes(), half=layer.encoding == Encoding("float16"))
    return Measured(
        replace(row, statistics=statistics),
        forest,
        mark=mark,
        structure=Structure(found, made_by, moved, strongest, magnitudes(weights)),
    )


def _row(layer: Layer) -> LayerReport:
    return LayerReport(
        name=layer.name,
        op_type=layer.op_type,
        weight=layer.weight,
        encoding=str(layer.encoding),
        shape=layer.shape,
        n_in=layer.n_in,
        n_out=layer.n_out,
        parameters=layer.parameters,
        uses=layer.uses,
        neural_persistence=LayerPersistence(None, None),
        source=source_line(layer.source.node),
        apart=None if layer.encoding.has_known_scale else _NO_SCALE,
    )


def _bias(layer: Layer, options: AuditOptions) -> NDArray[np.float64] | None:
    return layer.bias() if options.bias == "row" else None
