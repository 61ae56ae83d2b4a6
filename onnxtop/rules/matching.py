"""Which layer of a report is which layer of its baseline, and how alike the two are."""

import contextlib
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from onnxtop.results.report import LayerReport, Report
from onnxtop.statistics.sketch import close, cosine, unpack

_T = TypeVar("_T")
_STRIP = 256
"""Sketches that are compared with all others at once."""


def layer_pairs(report: Report, baseline: Report | None) -> Iterator[tuple[LayerReport, LayerReport]]:
    """Yield the pairs of layers that are the same one, in the order of the report."""
    if baseline is None:
        return
    found = partners(report, baseline)
    for layer in report.layers:
        if layer.name in found:
            yield layer, found[layer.name]


def partners(report: Report, baseline: Report, *, renamed: bool = False) -> dict[str, LayerReport]:
    """Return for each layer's name the baseline's layer: by name, its weight's name and shape, or content.

    Of layers that are the same and were only ``renamed``, the shape alone may tell which is which.
    """
    found: dict[str, LayerReport] = {}
    keys: tuple[Callable[[LayerReport], Hashable], ...] = (
        lambda layer: layer.name,
        lambda layer: (layer.weight, layer.shape),
        _content,
        *([lambda layer: layer.shape] if renamed else []),
    )
    for key in keys:
        taken = {layer.name for layer in found.values()}
        then = [layer for layer in baseline.layers if layer.name not in taken]
        now = [layer for layer in report.layers if layer.name not in found]
        found |= {new.name: old for old, new in paired(then, now, key)}
    return found


def _content(layer: LayerReport) -> Hashable:
    """Return what layers of the same weights have in common; the name if nothing is known of these."""
    sketch = layer.statistics.sketch if layer.statistics else None
    return layer.name if sketch is None else (layer.shape, sketch)


def paired(old: Sequence[_T], new: Sequence[_T], key: Callable[[_T], Hashable]) -> list[tuple[_T, _T]]:
    """Pair what has a key that occurs once on either side, in the order of the new."""
    counts = [Counter(key(item) for item in side) for side in (old, new)]
    olds = {key(item): item for item in old}
    return [(olds[key(item)], item) for item in new if all(count[key(item)] == 1 for count in counts)]


def similarity(now: LayerReport, then: LayerReport, *, transposed: bool = False) -> float | None:
    """Return the cosine of the weights of two layers, to about 0.1; None if it is not known."""
    left, right = (x.statistics.sketch if x.statistics else None for x in (now, then))
    if left is None or right is None or not _fit(now, then, transposed):
        return None
    try:
        one, two = unpack(left), unpack(right)
    except ValueError:
        return None
    return cosine(one, two.T if transposed else two)


def _fit(now: LayerReport, then: LayerReport, transposed: bool) -> bool:
    left, right = ((x.statistics.n_in, x.statistics.n_out) for x in (now, then) if x.statistics)
    return left == (right[::-1] if transposed else right)


def holders(wanted: Sequence[LayerReport], layers: Sequence[LayerReport], least: float) -> dict[str, str]:
    """Return for names of layers the first of others that holds their weights, and whether transposed.

    That it does, a cosine above a bound says. All of the same sides are compared, a strip at a time.
    """
    first: dict[str, tuple[int, bool]] = {}
    groups = _sketched(layers)
    for sides, (ours, sketches) in _sketched(wanted).items():
        for turned in (False, True):
            theirs, others = groups.get(sides[::-1] if turned else sides, ([], sketches[:0]))
            turns = others.transpose(0, 2, 1) if turned else others
            for begin in range(0, len(ours) if theirs else 0, _STRIP):
                near = close(sketches[begin : begin + _STRIP], turns, least)
                for row in np.flatnonzero(near.any(1)).tolist():
                    name = wanted[ours[begin + row]].name
                    those = (theirs[at] for at in np.flatnonzero(near[row]).tolist())
                    places = [(at, turned) for at in those if layers[at].name != name][:1]
                    first |= {name: min([*places, first.get(name, places[0])])} if places else {}
    return {name: layers[at].name + ", transposed" * turned for name, (at, turned) in first.items()}


def _sketched(layers: Sequence[LayerReport]) -> dict[tuple[int, int], tuple[list[int], NDArray[np.float64]]]:
    """Return the numbers of layers that have a sketch, by their sides, and the sketches."""
    groups: dict[tuple[int, int], list[tuple[int, NDArray[np.float64]]]] = {}
    for number, layer in enumerate(layers):
        held = layer.statistics
        if held is not None and held.sketch is not None:
            with contextlib.suppress(ValueError):  # of a baseline that was written by hand
                groups.setdefault((held.n_in, held.n_out), []).append((number, unpack(held.sketch)))
    return {
        sides: ([number for number, _ in group], np.stack([sketch for _, sketch in group]))
        for sides, group in groups.items()
    }
