"""Many small layers of one shape: looked at together, each with the same result as if it were alone.

A look at a tiny matrix takes longer to call than to do. So layers of one small matrix each, which lie alike
in memory, are put on a stack, and one look goes over all of them.
"""

from collections import defaultdict
from collections.abc import Container, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from onnxtop.auditing.layers import LayerLook, Measured, Memory, bias_of, fans, is_half, measure_layer, quiet
from onnxtop.auditing.matrices import each_drawn_by
from onnxtop.auditing.options import AuditOptions
from onnxtop.network import Matrix, Stack, lines_of
from onnxtop.reader.declared import Shape
from onnxtop.reader.layer import Layer
from onnxtop.statistics.exchangeability import evidence
from onnxtop.statistics.sums import add_up_each, stackable
from onnxtop.topology.dense import forest_of_each
from onnxtop.topology.graph import Forest
from onnxtop.topology.layer_scan import scan_each
from onnxtop.topology.spanning import with_bias
from onnxtop.topology.strongest import SMALL, StrongCells

_CELLS = 1 << 18
"""Weights of a stack: they and what is made of them take a few MiB."""


class _Kind(NamedTuple):
    """What layers that are looked at together have in common; ``scan`` if their weights are kept."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    turned: bool
    half: bool
    fans: tuple[int, int]
    scan: bool


def measure_together(
    layers: Sequence[Layer],
    numbers: Sequence[int],
    shapes: Mapping[str, Shape],
    options: AuditOptions,
    memory: Memory,
    scanned: Container[int],
) -> list[Measured]:
    """Measure some of a model's layers; of those in ``scanned`` the strongest weights are kept."""
    looks: dict[int, LayerLook] = {}
    alike: defaultdict[_Kind, list[tuple[int, Matrix]]] = defaultdict(list)
    for number in numbers:
        layer = layers[number]
        matrix = _small_matrix(layer, options, memory)
        if matrix is not None:
            turned = lines_of(matrix) is not matrix
            scan = number in scanned
            kind = _Kind(matrix.shape, matrix.dtype, turned, is_half(layer), fans(layer, [matrix]), scan)
            alike[kind].append((number, matrix))
    for kind, found in alike.items():
        for some in _stacks(found):
            stack = Stack.of([matrix for _, matrix in some])
            looks |= _looks(layers, [number for number, _ in some], stack, options, kind)
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
    if layer.n_in * layer.n_out > layer.parameters or not stackable((layer.n_in, layer.n_out)):
        return None
    (matrix,) = layer.blocks()
    return matrix


def _stacks(found: Sequence[tuple[int, Matrix]]) -> Iterator[Sequence[tuple[int, Matrix]]]:
    most = _CELLS // found[0][1].size
    return (found[first : first + most] for first in range(0, len(found), most))


@quiet()
def _looks(
    layers: Sequence[Layer], numbers: Sequence[int], stack: Stack, options: AuditOptions, kind: _Kind
) -> dict[int, LayerLook]:
    """Look at a stack of layers, by their numbers."""
    scans = scan_each(stack, standardise=options.standardise if kind.scan else None)
    looks = {
        number: LayerLook([matrix], scan)
        for number, matrix, scan in zip(numbers, stack.matrices, scans, strict=True)
    }
    finite = [place for place, scan in enumerate(scans) if scan.cells is not None]
    if not finite:
        return looks
    stack, numbers = stack.take(finite), [numbers[place] for place in finite]
    for number, forest in zip(numbers, _forests(layers, numbers, stack, looks, options), strict=True):
        looks[number] = looks[number]._replace(forest=forest)
    if options.structure:
        sums = add_up_each(stack, half=kind.half)
        found = [evidence(looks[number].weights, each) for number, each in zip(numbers, sums, strict=True)]
        made_by = each_drawn_by(found, stack, *kind.fans)
        for place, number in enumerate(numbers):
            looks[number] = looks[number]._replace(
                sums=sums[place], evidence=found[place], made_by=made_by[place]
            )
    return looks


def _forests(
    layers: Sequence[Layer],
    numbers: Sequence[int],
    stack: Stack,
    looks: Mapping[int, LayerLook],
    options: AuditOptions,
) -> list[Forest]:
    """Return the forests of layers whose weights are finite."""
    cells = [block for number in numbers for block in (looks[number].scans.cells or StrongCells(())).blocks]
    forests = forest_of_each(stack, cells, numbers)
    biases = [bias_of(layers[number], options) for number in numbers]
    return [
        forest if bias is None else with_bias(forest, stack.shape[0], bias, number)
        for number, forest, bias in zip(numbers, forests, biases, strict=True)
    ]
