"""What the codes of a quantised layer look like: how many are used, how many sit at the ends."""

import math

import numpy as np
from numpy.typing import NDArray

from onnxtop.network import RawCodes
from onnxtop.statistics.facts import Codes

_CHUNK = 2**20
_MANY = 2**17
"""Codes from which on a table of pairs is worth its making."""

_VANISHING = 1e-30
"""Scales below this leave nothing of a code of eight bits that float32 could add to anything."""


def code_statistics(raw: RawCodes) -> Codes:
    """Summarise codes, scales and zero points.

    Examples
    --------
    >>> import numpy as np
    >>> raw = RawCodes(np.array([[-127, 0], [5, 127]], np.int8), 8, np.array([0.5, 0.0]))
    >>> found = code_statistics(raw)
    >>> found.distinct, found.reach, found.zero_scales
    (4, 1.0, 1)
    """
    counts, lowest = _histogram(raw.codes, raw.bits)
    used = np.flatnonzero(counts) + lowest
    top, bottom = (2 ** (raw.bits - 1) - 1, -(2 ** (raw.bits - 1))) if lowest < 0 else (2**raw.bits - 1, 0)
    scales = np.abs(np.ravel(raw.scale).astype(np.float64))
    return Codes(
        bits=raw.bits,
        distinct=int(used.size),
        reach=_reach(used, top, signed=lowest < 0),
        clipped=_clipped(counts, lowest, top, bottom, scales.size),
        zero_scales=int(np.count_nonzero(scales < _VANISHING)),
        odd_scales=int(np.count_nonzero(~np.isfinite(scales))),
        scale_spread=_spread(scales),
    )


def _histogram(codes: NDArray[np.generic], bits: int) -> tuple[NDArray[np.int64], int]:
    """Count every code; the first count is that of the lowest code there can be, returned beside."""
    signed = np.dtype(codes.dtype).name.startswith("int")
    lowest = -(2 ** (bits - 1)) if signed else 0
    counts = np.zeros(256, np.int64)
    flat = codes.ravel(order="K")
    for start in range(0, flat.size, _CHUNK):
        part = flat[start : start + _CHUNK].astype(np.int8 if signed else np.uint8, copy=False)
        counts += _count_bytes(part.view(np.uint8))
    return np.roll(counts, -lowest)[: 2**bits], lowest


def _count_bytes(values: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Count the values, many of them in pairs: half as many are counted, and their table is added up."""
    if values.size % 2 or values.size < _MANY:
        return np.bincount(values, minlength=256)
    pairs = np.bincount(values.view(np.uint16), minlength=1 << 16).reshape(256, 256)
    counts: NDArray[np.int64] = pairs.sum(axis=0) + pairs.sum(axis=1)
    return counts


def _reach(used: NDArray[np.int64], top: int, *, signed: bool) -> float:
    if not used.size or top <= 0:
        return 0.0
    if signed:
        return min(float(np.abs(used).max()) / top, 1.0)
    return float(used[-1] - used[0]) / top


def _clipped(counts: NDArray[np.int64], lowest: int, top: int, bottom: int, n_scales: int) -> float:
    """Return the share at the ends beyond one code a scale and end, which the largest weight takes."""
    ends = {top, bottom, -top} if lowest < 0 else {top, bottom}
    there = sum(int(counts[end - lowest]) for end in ends)
    total = int(counts.sum())
    return max(there - 2 * n_scales, 0) / total if total else 0.0


def _spread(scales: NDArray[np.float64]) -> float | None:
    if scales.size < 2:
        return None
    median, largest = float(np.median(scales)), float(scales.max())
    return largest / median if median > 0 and math.isfinite(largest) else None
