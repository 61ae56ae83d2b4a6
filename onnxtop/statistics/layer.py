"""All statistics of one layer: most of them are sums, the rest is looked for in few of its weights."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from onnxtop.network import Blocks, Matrix, RawCodes, lines_of, strips
from onnxtop.statistics.duplicates import Repeats, find_repeats
from onnxtop.statistics.facts import LISTED, LayerStatistics, Units
from onnxtop.statistics.numbers import (
    LARGEST,
    count_apart,
    is_varied,
    narrower_type,
    sample,
    six_digits,
    spread_evenly,
)
from onnxtop.statistics.products import onto_columns
from onnxtop.statistics.quantisation import code_statistics
from onnxtop.statistics.sketch import pack
from onnxtop.statistics.sums import Lines, Sums, add_up

_SHORT = 8
"""Units with fewer weights that are not zero may be equal by chance."""

_RANK_TOLERANCE = 1e-5
"""Singular values below this share of the largest count as zero."""
_HIGHEST = 32
"""The rank is not looked for beyond this."""
_PART = 48
"""Rows and columns of the part of a matrix that mostly tells that its rank is as high."""
_CHUNK = 2**18


def layer_statistics(
    blocks: Blocks, codes: RawCodes | None = None, *, half: bool = False, sums: Sums | None = None
) -> LayerStatistics | None:
    """Return the statistics of a layer.

    Parameters
    ----------
    blocks
        Matrices (n_in, n_out) that share no neuron.
    codes
        The codes behind them, if the layer is quantised.
    half
        Whether they are stored as float16.
    sums
        What `add_up` gives of them, if it is known.

    Returns
    -------
    LayerStatistics
        None for a layer without weights, or with a weight that is NaN or infinite.

    Examples
    --------
    >>> import numpy as np
    >>> found = layer_statistics([np.array([[1.0, 0.0], [0.0, 0.0]])])
    >>> found.dead_inputs, found.dead_outputs.indices, found.zeros
    (Units(count=1, indices=(1,)), (1,), 3)
    """
    if not blocks or not all(block.size for block in blocks):
        return None
    sums = sums or add_up(blocks, half=half)
    if not sums.ends.finite:
        return None
    largest = sums.ends.largest
    entries = sample(blocks)
    varied = is_varied(entries)
    at_limit = sums.at_limit
    if at_limit > 2 and not codes and varied:
        at_limit = count_apart(blocks, largest)
    rows, columns = _repeats(blocks, sums.rows), _repeats([block.T for block in blocks], sums.columns)
    rank, rank_limit = _rank(blocks[0], sums) if len(blocks) == 1 else (None, None)
    return LayerStatistics(
        n_in=sum(len(block) for block in blocks),
        n_out=sum(block.shape[1] for block in blocks),
        minimum=sums.ends.low,
        maximum=sums.ends.high,
        rms=six_digits(sums.rms),
        zeros=sums.zeros,
        dead_inputs=_dead(sums.rows),
        dead_outputs=_dead(sums.columns),
        duplicate_inputs=_units(rows.equal),
        duplicate_outputs=_units(columns.equal),
        near_duplicate_outputs=_units(columns.near),
        rank=rank,
        rank_limit=rank_limit,
        subnormal=sums.small,
        saturated=sums.at_limit if half and largest == LARGEST else 0,
        at_limit=at_limit,
        varied=varied,
        precision=None if codes or not varied else narrower_type(entries),
        codes=code_statistics(codes) if codes else None,
        sketch=pack(sums.sketch),
    )


def _dead(lines: Sequence[Lines]) -> Units:
    return _units(np.flatnonzero(np.concatenate([each.filled for each in lines]) == 0))


# Rank


def _rank(block: Matrix, sums: Sums) -> tuple[int, int]:
    """Return the rank as far as it is looked for, and how high it could come out.

    No part of a matrix has larger singular values than the whole, and none of these is larger than the root
    of their squares' sum. So where a small part has singular values enough above the tolerance, so has the
    whole. Else its rows are projected.
    """
    rows, columns = (np.flatnonzero(lines.filled) for (lines,) in (sums.rows, sums.columns))
    limit = min(rows.size, columns.size, _HIGHEST)
    if not limit:
        return 0, 0
    part = block[_some(rows)[:, np.newaxis], _some(columns)] / np.float64(sums.unit)
    energies = np.linalg.eigvalsh(part @ part.T if part.shape[0] < part.shape[1] else part.T @ part)
    if energies[-limit] > _RANK_TOLERANCE**2 * sums.size * (sums.rms / sums.unit) ** 2:
        return limit, limit
    wide = _projected(lines_of(block), sums.unit)
    energies = np.linalg.eigvalsh(wide.T @ wide)
    return min(int(np.count_nonzero(energies > _RANK_TOLERANCE**2 * energies[-1])), limit), limit


def _some(lines: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return a few of them, evenly spaced."""
    return lines[spread_evenly(lines.size, _PART)]


def _projected(base: Matrix, unit: float) -> NDArray[np.float64]:
    """Return the rows on random directions, so many that their rank is that of all columns."""
    right = np.random.default_rng(base.shape[1]).standard_normal((base.shape[1], _HIGHEST), np.float32)
    parts = (base[rows] / np.float64(unit) for rows in strips(base.shape, _CHUNK))
    return np.concatenate([onto_columns(part.astype(np.float32), right) for part in parts]).astype(np.float64)


# Repeated units


def _repeats(units: Blocks, lines: Sequence[Lines]) -> Repeats:
    """Find the rows of matrices that repeat an earlier one of the same, numbered over all."""
    none = np.empty(0, np.intp)
    equal, near, first = [none], [none], 0
    for matrix, each in zip(units, lines, strict=False):  # of very many matrices the lines are in one
        if each.projections is not None and each.length >= _SHORT and len(matrix) > 1:
            repeated = find_repeats(matrix, each.projections, each.filled >= _SHORT)
            equal.append(repeated.equal + first)
            near.append(repeated.near + first)
        first += len(matrix)
    return Repeats(np.concatenate(equal), np.concatenate(near))


def _units(indices: NDArray[np.intp]) -> Units:
    return Units(int(indices.size), tuple(indices[:LISTED].tolist()))
