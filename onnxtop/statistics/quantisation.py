"""What the codes of a quantised layer look like: how many are used, how many sit at the ends."""

import math

import numpy as np
from numpy.typing import NDArray

from onnxtop.network import RawCodes
from onnxtop.statistics.facts import Codes

_CHUNK = 2**18
VANISHING = 1e-30
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
    signed = np.dtype(raw.codes.dtype).name.startswith("int")
    top, bottom = (2 ** (raw.bits - 1) - 1, -(2 ** (raw.bits - 1))) if signed else (2**raw.bits - 1, 0)
    used, there = _used(raw.codes, range(bottom, top + 1), {top, bottom, -top} if signed else {top, bottom})
    scales = np.abs(np.ravel(raw.scale).astype(np.float64))
    return Codes(
        bits=raw.bits,
        distinct=int(used.size),
        reach=_reach(used, top, signed=signed),
        clipped=max(there - 2 * scales.size, 0) / raw.codes.size if raw.codes.size else 0.0,
        zero_scales=int(np.count_nonzero(scales < VANISHING)),
        odd_scales=int(np.count_nonzero(~np.isfinite(scales))),
        scale_spread=_spread(scales),
    )


def _used(codes: NDArray[np.generic], possible: range, ends: set[int]) -> tuple[NDArray[np.int64], int]:
    """Return the codes that are used, and how many are at either end.

    Only where a part reaches over codes that were not seen before, all of it is counted.
    """
    seen = np.zeros(len(possible), np.bool_)
    flat, there = codes.ravel(order="K"), 0
    for start in range(0, flat.size, _CHUNK):
        part = flat[start : start + _CHUNK].astype(np.int8 if possible.start < 0 else np.uint8, copy=False)
        first, last = int(part.min()) - possible.start, int(part.max()) - possible.start
        if not seen[max(first, 0) : last + 1].all():
            counts = np.roll(np.bincount(part.view(np.uint8), minlength=256), -possible.start)
            seen |= counts[: seen.size] > 0
        there += sum(int(np.count_nonzero(part == end)) for end in ends)
    return np.flatnonzero(seen) + possible.start, there


def _reach(used: NDArray[np.int64], top: int, *, signed: bool) -> float:
    if not used.size or top <= 0:
        return 0.0
    if signed:
        return min(float(np.abs(used).max()) / top, 1.0)
    return float(used[-1] - used[0]) / top


def _spread(scales: NDArray[np.float64]) -> float | None:
    if scales.size < 2:
        return None
    median, largest = float(np.median(scales)), float(scales.max())
    return largest / median if median > 0 and math.isfinite(largest) else None
