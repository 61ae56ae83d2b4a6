"""Which layer of a report is which layer of its baseline, and how alike the two are."""

from collections import Counter
from collections.abc import Iterator

from onnxtop.results.report import LayerReport, Report
from onnxtop.statistics.sketch import cosine, unpack


def layer_pairs(report: Report, baseline: Report | None) -> Iterator[tuple[LayerReport, LayerReport]]:
    """Yield the pairs of layers that are the same one, in the order of the report."""
    if baseline is None:
        return
    found = partners(report, baseline)
    for layer in report.layers:
        if layer.name in found:
            yield layer, found[layer.name]


def partners(report: Report, baseline: Report) -> dict[str, LayerReport]:
    """Return for each layer's name the baseline's layer: by name, else by its weight's name and shape."""
    then = {layer.name: layer for layer in baseline.layers}
    found = {layer.name: then[layer.name] for layer in report.layers if layer.name in then}
    left = [layer for layer in baseline.layers if layer.name not in found]
    mine = [layer for layer in report.layers if layer.name not in found]
    counts = Counter(_key(layer) for layer in (*left, *mine))
    by_weight = {_key(layer): layer for layer in left if counts[_key(layer)] == 2}
    return found | {layer.name: by_weight[_key(layer)] for layer in mine if _key(layer) in by_weight}


def _key(layer: LayerReport) -> tuple[str, tuple[int, ...]]:
    return layer.weight, layer.shape


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
