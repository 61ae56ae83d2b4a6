"""One layer of a model measured: what is kept of it when its weights are gone."""

import contextlib
import math
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from onnxtop.auditing.details import Glance, glance
from onnxtop.auditing.matrices import drawn_by
from onnxtop.auditing.options import AuditOptions
from onnxtop.network import Blocks, Kernel
from onnxtop.reader.constants import Constants
from onnxtop.reader.declared import Shape
from onnxtop.reader.encoding import Encoding
from onnxtop.reader.layer import Layer
from onnxtop.reader.names import source_line
from onnxtop.reader.skeleton import placed
from onnxtop.results.plain import finite_or_none
from onnxtop.results.report import NOT_ASKED, LayerPersistence, LayerReport
from onnxtop.statistics.copies import Fingerprint, fingerprint
from onnxtop.statistics.exchangeability import Evidence, evidence
from onnxtop.statistics.fixed import probably_fixed
from onnxtop.statistics.initialisers import InitialiserMatch, bias_was_moved
from onnxtop.statistics.layer import layer_statistics
from onnxtop.statistics.sums import Adder, Sums
from onnxtop.topology import convolution, neural_persistence
from onnxtop.topology.filters import filter_forests
from onnxtop.topology.graph import Forest
from onnxtop.topology.layer_scan import LayerScan, LayerScans, scan_once
from onnxtop.topology.neural_persistence import Graphs
from onnxtop.topology.null_law import shapes_of
from onnxtop.topology.null_model import UNROLLED, NullModels, StrongestWeights
from onnxtop.topology.reach import Filled, filled_lines
from onnxtop.topology.spread import Spread, mean_sortedness
from onnxtop.work.content import combined
from onnxtop.work.store import Store, key_of
from onnxtop.work.values import classes_of, dumps, loads

Progress = Callable[[str, int, int], None]
"""Called with the layer just measured, and how many weights are done and to do."""

BY_POSITION = ("unrolled", "per-filter")
"""Graphs of a convolution whose vertices are positions, so that its sizes must be known."""
_UNROLLED_NEURONS = 2**24  # a forest takes some 160 bytes a neuron
_FILTER_EDGES = 2**24  # some 40 bytes an edge, and minutes
_NO_SCALE = "the scale of its codes cannot be told from the activation's"
_SIZE_UNKNOWN = "its input size is not known; give --input-shape NAME=1,3,224,224"


quiet = partial(np.errstate, divide="ignore", over="ignore", invalid="ignore")
"""Weights whose squares are beyond what numbers hold, or below, are findings, and no concern of NumPy's."""


class LayerLook(NamedTuple):
    """What looking at all weights of a layer once finds, for those who ask later.

    ``weights`` are those that were looked at. Of a layer with a weight that is not finite, or where nobody
    asks for structure, there are no ``sums``, and nothing is known of its ``evidence``, and what it was
    ``made_by``. ``forest`` is that of its graph, if layers are looked at together.
    """

    weights: Blocks
    scans: LayerScans
    sums: Sums | None = None
    evidence: Evidence | None = None
    made_by: InitialiserMatch | None = None
    forest: Forest | None = None


@dataclass(frozen=True, eq=False)
class Structure:
    """What tells a layer from its shuffles, as far as its weights tell before the scale is known."""

    evidence: Evidence
    made_by: InitialiserMatch | None
    bias_moved: bool | None
    strongest: StrongestWeights


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
    seen
        What its details are made from; None unless they were asked for.
    digest
        Of the weights and all else of the file that the layer is measured by; empty outside a series.
    """

    row: LayerReport
    forest: Graphs | None
    reason: str | None = None
    mark: Fingerprint | None = None
    structure: Structure | None = None
    scan: LayerScan | None = None
    filled: tuple[Filled, ...] = ()
    seen: Glance | None = None
    digest: str = ""

    @property
    def spread(self) -> Spread | None:
        """How large the weights are; None where nobody looked, or not all are finite."""
        found = self.structure.evidence if self.structure else Evidence()
        if found.largest is None or found.mean is None or found.variance is None:
            return None
        return Spread(self.row.parameters, found.largest, found.mean, found.variance)


_WORTH_IT = 2**14
"""Weights of a layer from which on it is quicker to remember what it leaves behind than to measure it."""

_IN_PLACE = 2**23
"""Weights of a layer from which on a copy of what is not aligned in the file, in memory that is new each
time, takes longer than looking at a part of it here and there as it lies."""

_MEASURED_BY = ("bias", "conv", "details", "sortedness", "standardise", "structure", "topology")
"""Options that what a layer leaves behind depends on, beside the sizes that place it on a grid."""


class Memory:
    """What each layer left behind, by what it holds, and the null models that layers share.

    A layer of which no byte changed is not measured again: neither in a series of audits with the same
    options, nor as far as the store remembers it from another time, wherever in a model it stands. Several
    threads may share one.
    """

    def __init__(self, store: Store, *, series: bool = False) -> None:
        self._store = store
        self.series = series
        self._own = threading.local()
        self._last: dict[int, tuple[tuple[object, ...], Measured]] = {}

    @property
    def nulls(self) -> NullModels:
        """The null models of this thread: they draw the same in every other."""
        if not hasattr(self._own, "nulls"):
            self._own.nulls = NullModels()
        nulls: NullModels = self._own.nulls
        return nulls

    def looks(self, layer: Layer, options: AuditOptions) -> bool:
        """Tell whether a layer may be known, or is to be remembered: where that is less than measuring."""
        worth_it = options.topology and layer.parameters >= _WORTH_IT
        return self.series or (bool(self._store) and worth_it)

    def measured(self, number: int, key: tuple[object, ...], measure: Callable[[], Measured]) -> Measured:
        """Return what a layer leaves behind, measured only if that is not known."""
        known = self._last.get(number)
        if known is None or known[0] != key:
            known = key, self._stored(key_of("layer", *key), measure)
        if self.series:
            self._last[number] = known
        return known[1]

    def _stored(self, key: str, measure: Callable[[], Measured]) -> Measured:
        data = self._store.read(key)
        if data is not None:
            with contextlib.suppress(ValueError):
                known: Measured = loads(data, classes_of(Measured))
                return known
        found = measure()
        self._store.write(key, dumps(found))
        return found


@quiet()  # as in an audit: each thread has its own
def measure_layer(
    layer: Layer,
    number: int,
    shapes: Mapping[str, Shape],
    options: AuditOptions,
    memory: Memory,
    scan: bool,
    look: LayerLook | None = None,
) -> Measured:
    """Measure a layer; one that the memory knows is only read.

    ``scan`` keeps its strongest weights. One that was looked at, together with others, is not read again.
    """
    if look is not None:
        return _scanned(layer, number, look.weights, None, memory.nulls, options, scan, look)
    kernel = _kernel(layer, shapes, options)
    aligned = layer.parameters < _IN_PLACE
    weights = layer.blocks(aligned=aligned) if kernel is None else kernel.matrices()
    measure = partial(_scanned, layer, number, weights, kernel, memory.nulls, options, scan)
    if not memory.looks(layer, options):
        return measure()
    digest = _digest(layer, weights)
    found = memory.measured(number, (digest, *_key(layer, kernel, options, scan)), measure)
    return _placed(found, layer, number, digest)


def outlined(layer: Layer) -> Measured:
    """Return what is told of a layer of which no weight is read: what its file says."""
    return Measured(_row(layer), None, NOT_ASKED)


def _key(layer: Layer, kernel: Kernel | None, options: AuditOptions, scan: bool) -> tuple[object, ...]:
    """Return all that what a layer leaves behind depends on beside its arrays; its names are not among it."""
    row = _row(layer)
    told = (row.op_type, row.encoding, row.shape, row.n_in, row.n_out, row.apart, layer.is_convolution)
    asked = tuple(getattr(options, name) for name in _MEASURED_BY)
    return (*told, _grid(kernel), scan, *asked)


def _placed(measured: Measured, layer: Layer, number: int, digest: str) -> Measured:
    """Return what a layer leaves behind under the names and the number that it has in this model."""
    row = _row(layer)
    row = replace(measured.row, name=row.name, weight=row.weight, uses=row.uses, source=row.source)
    forest = measured.forest
    if isinstance(forest, Forest) and (forest.generators[:, 0] != number).any():
        places = forest.generators.copy()
        places[:, 0] = number
        forest = replace(forest, generators=places)
    return replace(measured, row=row, forest=forest, digest=digest)


def _grid(kernel: Kernel | None) -> tuple[object, ...]:
    """Return what places a kernel on the grid: all that there is of it but its weights."""
    return () if kernel is None else tuple(v for name, v in vars(kernel).items() if name != "weights")


def _digest(layer: Layer, weights: Blocks) -> str:
    """Return a digest of all that a layer is measured by, beside what its row says: weights, bias, codes."""
    bias, codes = layer.bias(), layer.codes()
    held = () if codes is None else (codes.codes, codes.scale)
    arrays = (*weights, *(() if bias is None else (bias,)), *held)
    return combined(_content(array, layer.source.constants) for array in arrays)


def _content(array: NDArray[Any], constants: Constants) -> str:
    """Say what an array holds, and how it lies in memory."""
    straight = array.flags.c_contiguous
    rows = array if straight else array.T
    return f"{rows.dtype} {rows.shape} {straight} {constants.digest_of(rows)}"


def _scanned(
    layer: Layer,
    number: int,
    weights: Blocks,
    kernel: Kernel | None,
    nulls: NullModels,
    options: AuditOptions,
    scan: bool,
    look: LayerLook | None = None,
) -> Measured:
    """Look at a layer, unless that is done, and measure it."""
    if not options.topology:
        row = replace(_row(layer), probably_fixed=probably_fixed(weights))
        return Measured(row, None, NOT_ASKED, fingerprint(weights))
    look = look or _look(layer, weights, kernel, nulls, options, scan)
    return _measure(layer, number, kernel, nulls, options, look)


def _look(
    layer: Layer,
    weights: Blocks,
    kernel: Kernel | None,
    nulls: NullModels,
    options: AuditOptions,
    scan: bool,
) -> LayerLook:
    """Look at a layer: all that is asked of every weight, and what the graph of the network needs of it."""
    wanted = 0
    if options.structure and kernel is None:
        wanted = nulls.wanted(shapes_of(weights), bias_of(layer, options) is not None)
    adder = Adder(weights, half=is_half(layer)) if options.structure else None
    add = adder.add if adder is not None and not adder.stacked else None
    scans = scan_once(weights, wanted, standardise=options.standardise if scan else None, look=add)
    if adder is None or scans.cells is None:
        return LayerLook(weights, scans)
    sums = adder.sums()
    found = evidence(weights, sums)
    return LayerLook(weights, scans, sums, found, drawn_by(found, weights, *fans(layer, weights)))


def is_half(layer: Layer) -> bool:
    """Tell whether the weights are stored as float16."""
    return layer.encoding == Encoding("float16")


def _filled(sums: Sums) -> tuple[Filled, ...]:
    pairs = zip(sums.rows, sums.columns, strict=True)
    return tuple(Filled(rows.filled, columns.filled) for rows, columns in pairs)


def _kernel(layer: Layer, shapes: Mapping[str, Shape], options: AuditOptions) -> Kernel | None:
    """Read a convolution before it is flattened, where its graph needs that."""
    if not (options.topology and layer.is_convolution) or options.conv == "flattened":
        return None
    return placed(layer, shapes) if options.conv in BY_POSITION else layer.kernel()


def _measure(
    layer: Layer,
    number: int,
    kernel: Kernel | None,
    nulls: NullModels,
    options: AuditOptions,
    look: LayerLook,
) -> Measured:
    """Measure a layer that was looked at."""
    row = _row(layer)
    weights, scans, sums = look.weights, look.scans, look.sums
    if options.sortedness:
        row = replace(row, sortedness=finite_or_none(mean_sortedness(weights)))
    if layer.is_convolution and options.conv in BY_POSITION:
        measured = _measure_positions(row, layer, number, kernel, options, look)
    else:
        measured = _measure_whole(row, layer, number, kernel, nulls, options, look)
    return replace(
        measured,
        scan=scans.paths,
        filled=scans.filled or (filled_lines(weights) if sums is None else _filled(sums)),
        seen=glance(weights) if options.details else None,
    )


def _measure_whole(
    row: LayerReport,
    layer: Layer,
    number: int,
    kernel: Kernel | None,
    nulls: NullModels,
    options: AuditOptions,
    look: LayerLook,
) -> Measured:
    """Measure the graph of all weights, or of the channels that a kernel joins."""
    blocks = look.weights if kernel is None else convolution.channels(kernel)
    cells = look.scans.cells if kernel is None else None  # those of a graph of channels are other weights
    bias = bias_of(layer, options)
    forest = look.forest or neural_persistence.layer_forest(blocks, bias=bias, layer=number, cells=cells)
    n_in, n_out = (sum(block.shape[axis] for block in blocks) for axis in (0, 1))
    row = replace(row, n_in=n_in, n_out=n_out)
    strongest = None if forest.nonfinite or not options.structure else nulls.read(blocks, bias, cells)
    return _with_facts(row, layer, blocks, forest, strongest, look)


def _measure_positions(
    row: LayerReport,
    layer: Layer,
    number: int,
    kernel: Kernel | None,
    options: AuditOptions,
    look: LayerLook,
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
    bias = bias_of(layer, options)
    forest: Graphs = (
        convolution.unrolled_forest(kernel, bias=bias, layer=number)
        if options.conv == "unrolled"
        else filter_forests(kernel, bias=bias)
    )
    strongest = None if forest.nonfinite or not options.structure else StrongestWeights(reason=UNROLLED)
    return _with_facts(row, layer, look.weights, forest, strongest, look)


def fans(layer: Layer, weights: Blocks) -> tuple[int, int]:
    """Return the inputs of an output, of recurrent units how many there are, by which PyTorch draws.

    And the outputs of an input, of a convolution its channels out times its taps.
    """
    fan_in = max(block.shape[1] if layer.is_recurrent else len(block) for block in weights)
    taps = math.prod(layer.shape[2:]) if layer.is_convolution else 1
    return fan_in, taps * sum(int(block.shape[1]) for block in weights)


def _bias_moved(layer: Layer, weights: Blocks, made_by: InitialiserMatch | None) -> bool | None:
    bias = layer.bias()
    return None if bias is None else bias_was_moved(bias, fans(layer, weights)[0], made_by)


def _with_facts(
    row: LayerReport,
    layer: Layer,
    blocks: Blocks,
    forest: Graphs,
    strongest: StrongestWeights | None,
    look: LayerLook,
) -> Measured:
    """Add what the weights say beside their forest, or how many of them are not finite."""
    mark = fingerprint(blocks)
    if forest.nonfinite:
        return Measured(replace(row, nonfinite=forest.nonfinite), forest, mark=mark)
    row = replace(row, largest=forest.strongest, probably_fixed=probably_fixed(blocks))
    found, made_by = look.evidence, look.made_by
    if strongest is None or found is None:
        return Measured(row, forest, mark=mark)
    statistics = layer_statistics(look.weights, layer.codes(), half=is_half(layer), sums=look.sums)
    moved = _bias_moved(layer, look.weights, None if found.even or found.masked else made_by)
    return Measured(
        replace(row, statistics=statistics),
        forest,
        mark=mark,
        structure=Structure(found, made_by, moved, strongest),
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


def bias_of(layer: Layer, options: AuditOptions) -> NDArray[np.float64] | None:
    """Return the bias that is a row of the graph of a layer, if it is to be one."""
    return layer.bias() if options.bias == "row" else None
