"""Many small layers of one shape: looked at together, each with the same result as if it were alone.

A look at a tiny matrix takes longer to call than to do. So layers of one small matrix each, which lie alike
in memory, are put on a stack, and one look goes over all of them.
"""

from collections import defaultdict
from collections.abc import Container, Iterator, Mapping, Sequence

from onnxtop.auditing.layers import Look, Measured, Memory, bias_of, fans, is_half, measure_layer, quiet
from onnxtop.auditing.matrices import drawn_by
from onnxtop.auditing.options import AuditOptions
from onnxtop.network import Matrix, Stack, lines_of
from onnxtop.reader.declared import Shape
from onnxtop.reader.layer import Layer
from onnxtop.statistics.exchangeability import evidence
from onnxtop.statistics.sums import add_up_each, stackable
from onnxtop.topology.dense import forest_of_each
from onnxtop.topology.graph import Forest
from onnxtop.topology.layer_scan import LayerScans, scan_each
from onnxtop.topology.spanning import with_bias
from onnxtop.topology.strongest import SMALL

_CELLS = 1 << 18
"""Weights of a stack: they and what is made of them take a few MiB."""


def measure_together(
    layers: Sequence[Layer],
    numbers: Sequence[int],
    shapes: Mapping[str, Shape],
    options: AuditOptions,
    memory: Memory,
    scanned: Container[int],
) -> list[Measured]:
    """Measure some of a model's layers; of those in ``scanned`` the strongest weights are kept."""
    looks: dict[int, Look] = {}
    alike: defaultdict[tuple[object, ...], list[tuple[int, Matrix]]] = defaultdict(list)
    for number in numbers:
        matrix = _small_matrix(layers[number], options, memory)
        if matrix is not None:
            turned = lines_of(matrix) is not matrix
            key = (matrix.shape, matrix.dtype, turned, is_half(layers[number]), number in scanned)
            alike[key].append((number, matrix))
    for (*_, half, scan), found in alike.items():
        for some in _stacks(found):
            stack = Stack.of([matrix for _, matrix in some])
            looks |= _looks(layers, [number for number, _ in some], stack, options, bool(half), bool(scan))
    return [
        measure_layer(layers[number], number, shapes, options, memory, number in scanned, looks.get(number))
        for number in numbers
    ]


def _small_matrix(layer: Layer, options: AuditOptions, memory: Memory) -> Matrix | None:
    """Read a layer that is one small matrix, and as such measured; None of any other."""
    if not options.topology or layer.parameters > SMALL or memory.looks(layer, options):
        return None
    if layer.is_convolution and options.conv != "flattened":
        return None
    matrix, *others = layer.blocks()
    return matrix if not others and matrix.dtype.isnative and stackable(matrix) else None


def _stacks(found: Sequence[tuple[int, Matrix]]) -> Iterator[Sequence[tuple[int, Matrix]]]:
    most = _CELLS // found[0][1].size
    return (found[first : first + most] for first in range(0, len(found), most))


@quiet()
def _looks(
    layers: Sequence[Layer],
    numbers: Sequence[int],
    stack: Stack,
    options: AuditOptions,
    half: bool,
    scan: bool,
) -> dict[int, Look]:
    """Look at a stack of layers, by their numbers."""
    scans = scan_each(stack, standardise=options.standardise if scan else None)
    sums = add_up_each(stack, half=half) if options.structure else [None] * len(scans)
    forests = _forests(layers, numbers, stack, scans, options)
    looks = {}
    for number, matrix, of_scan, of_sums in zip(numbers, stack.matrices, scans, sums, strict=True):
        weights, forest = [matrix], forests.get(number)
        if of_sums is None or of_scan.cells is None:
            looks[number] = Look(weights, of_scan, None, None, None, forest)
        else:
            found = evidence(weights, of_sums)
            made_by = drawn_by(found, weights, *fans(layers[number], weights))
            looks[number] = Look(weights, of_scan, of_sums, found, made_by, forest)
    return looks


def _forests(
    layers: Sequence[Layer],
    numbers: Sequence[int],
    stack: Stack,
    scans: Sequence[LayerScans],
    options: AuditOptions,
) -> dict[int, Forest]:
    """Return the forests of all layers whose weights are finite, by number."""
    cells = {place: scan.cells.blocks[0] for place, scan in enumerate(scans) if scan.cells is not None}
    if not cells:
        return {}
    chosen = [numbers[place] for place in cells]
    finite = Stack(stack.lines[list(cells)], stack.turned)
    forests = dict(zip(chosen, forest_of_each(finite, list(cells.values()), chosen), strict=True))
    for number, forest in forests.items():
        bias = bias_of(layers[number], options)
        if bias is not None:
            forests[number] = with_bias(forest, stack.shape[0], bias, number)
    return forests
