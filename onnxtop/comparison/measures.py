"""What differs between two layers of equal shape: in their weights, and in their spanning trees."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxtop.comparison.alignment import CHUNK, exponent, scaled
from onnxtop.network import Blocks, strips
from onnxtop.results.diff import WeightChange
from onnxtop.results.words import of_each
from onnxtop.topology.bottleneck_distance import bottleneck_distance
from onnxtop.topology.dense import dense_forest
from onnxtop.topology.graph import Forest, Indices
from onnxtop.topology.persistence import forest_diagram

_NUDGED = 1 << 25
"""Weights above which ties between edges are left as they fall."""
_LEFT_OVER = 0.01
"""Share of the new weights that factors of their own leave unexplained, at most."""

Floats = NDArray[np.float64]
_Cells = tuple[NDArray[np.bool_], tuple[Indices, Indices], NDArray[Any]]


def weight_change(old: Blocks, new: Blocks) -> WeightChange:
    """Measure how weights differ; old and new blocks have the same shapes."""
    bad = [sum(int(np.count_nonzero(~np.isfinite(block))) for block in blocks) for blocks in (old, new)]
    if any(bad):
        kinds = ("of the old weights", "of the new weights")
        return WeightChange(reason=f"not finite: {of_each(zip(bad, kinds, strict=True))}")
    power = exponent((*old, *new))
    sums = [_column_sums(a, b, power) for a, b in zip(old, new, strict=True)]
    oo, nn, on, dd = (np.concatenate([each[i] for each in sums]) for i in range(4))
    differing = sum(_differing(a, b) for a, b in zip(old, new, strict=True))
    size, other, inner, moved = (float(part.sum()) for part in (oo, nn, on, dd))
    share = differing / sum(block.size for block in new)
    if size == 0:
        reason = None if other == 0 else "the old weights are all zero"
        return WeightChange(relative=0.0 if other == 0 else None, share=share, reason=reason)
    if differing == 0:
        return WeightChange(relative=0.0, cosine=1.0, share=0.0, factor=1.0)
    relative = float(np.sqrt(moved / size))
    return WeightChange(
        relative=relative,
        snr_db=None if moved == 0 else float(10 * np.log10(size / moved)),
        cosine=None if other == 0 else min(inner / float(np.sqrt(size) * np.sqrt(other)), 1.0),
        share=share,
        factor=inner / size,
        per_output=relative > _LEFT_OVER and min(len(block) for block in new) > 2 and _per_output(oo, nn, on),
    )


def _column_sums(old: NDArray[Any], new: NDArray[Any], power: int) -> tuple[Floats, Floats, Floats, Floats]:
    """Return old squared, new squared, their product and their squared difference, summed by column.

    All are of weights divided by two to this ``power``.
    """
    totals = np.zeros((4, new.shape[1]))
    for rows in strips(new.shape, CHUNK):
        a, b = scaled(old[rows], power), scaled(new[rows], power)
        totals += [(a * a).sum(axis=0), (b * b).sum(axis=0), (a * b).sum(axis=0), ((b - a) ** 2).sum(axis=0)]
    return totals[0], totals[1], totals[2], totals[3]


def _differing(old: NDArray[Any], new: NDArray[Any]) -> int:
    return sum(int(np.count_nonzero(old[rows] != new[rows])) for rows in strips(new.shape, CHUNK))


def _per_output(oo: Floats, nn: Floats, on: Floats) -> bool:
    """Tell whether a positive factor for each output explains the new weights, and one for all does not."""
    whole = float(nn.sum())
    if whole == 0 or (on[oo > 0] <= 0).any():  # no exporter folds a factor of 0
        return False
    explained = np.divide(on**2, oo, out=np.zeros_like(on), where=oo > 0).sum()
    one_for_all = float(on.sum()) ** 2 / float(oo.sum())
    return bool(whole - explained < _LEFT_OVER**2 * whole <= whole - one_for_all)


def topology_change(
    old: Blocks, new: Blocks, old_scale: float | None, new_scale: float | None
) -> tuple[float | None, float | None]:
    """Return the share of the old spanning tree that is in the new one, and the distance of the diagrams.

    Where edges of the new layer are equally strong, those of the old tree are preferred: ties are no change.
    None for weights that are not finite.
    """
    before = dense_forest(old)
    after = _as_stored(dense_forest(_preferring(new, before)), new)
    if before.nonfinite or after.nonfinite:
        return None, None
    diagrams = [
        forest_diagram(forest, forest.strongest if scale is None else scale)
        for forest, scale in ((before, old_scale), (after, new_scale))
    ]
    return _share_kept(before, after), bottleneck_distance(*diagrams)


def _share_kept(before: Forest, after: Forest) -> float:
    edges = [forest.edges[:, 0] * forest.n_vertices + forest.edges[:, 1] for forest in (before, after)]
    return float(np.isin(edges[0], edges[1]).mean()) if edges[0].size else 1.0


def _as_stored(forest: Forest, blocks: Blocks) -> Forest:
    """Take back what `_preferring` added to the strengths."""
    if forest.nonfinite:
        return forest
    strengths = np.empty(len(forest.generators))
    for inside, chosen, block in _cells(forest, blocks):
        strengths[inside] = np.abs(block[chosen])
    return replace(forest, strengths=strengths)


def _preferring(blocks: Blocks, forest: Forest) -> Blocks:
    """Return strengths in which the edges of a forest win over equally strong ones."""
    if forest.nonfinite or sum(block.size for block in blocks) > _NUDGED:
        return blocks
    strengths = [np.abs(block).astype(np.float64) for block in blocks]
    for _, chosen, block in _cells(forest, strengths):
        block[chosen] = np.nextafter(block[chosen], np.inf)
    return strengths


def _cells(forest: Forest, blocks: Blocks) -> Iterator[_Cells]:
    """Yield, for each block, which edges of the forest are its own, their places in it, and the block."""
    rows, columns = forest.generators[:, 1], forest.generators[:, 2]
    row = column = 0
    for block in blocks:
        inside = (rows >= row) & (rows < row + block.shape[0])
        yield inside, (rows[inside] - row, columns[inside] - column), block
        row, column = row + block.shape[0], column + block.shape[1]
