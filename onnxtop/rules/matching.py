"""Which layer of a report is which layer of its baseline, and how alike the two are."""

from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import TypeVar

from onnxtop.results.report import LayerReport, Report
from onnxtop.statistics.sketch import cosine, unpack

_T = TypeVar("_T")


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
