"""Layers that hold the same weights under other names: tied by an exporter, or duplicated by mistake.

An exporter that folds constants turns a tied embedding into a second, transposed tensor; others write one
array under several names. A fingerprint of a few entries finds the candidates, the whole arrays decide.
"""

import functools
import zlib
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from onnxtop.network import Blocks, Matrix

Fingerprint = tuple[object, ...]
"""Equal for layers that may hold the same weights, transposed or not."""

_SAMPLE = 256
_SMALLEST = 16  # weights below which equal arrays may be chance


def fingerprint(blocks: Blocks) -> Fingerprint | None:
    """Return what equal layers have in common, None for a layer that is too small or holds a single value."""
    if sum(block.size for block in blocks) < _SMALLEST:
        return None
    samples = tuple(_sample(block) for block in blocks[:4])
    if len(set(np.frombuffer(b"".join(max(pair) for _, pair in samples)).tolist())) == 1:
        return None
    return len(blocks), samples


def _sample(matrix: Matrix) -> tuple[tuple[int, int], frozenset[bytes]]:
    """Return the sides in order, and entries at places that depend on the sides alone, both ways round."""
    short, long = sorted(matrix.shape)
    places = _places(short, long)
    views = [view for view in (matrix, matrix.T) if view.shape == (short, long)]
    return (short, long), frozenset(view[places].astype(np.float64).tobytes() for view in views)


@functools.lru_cache(64)
def _places(short: int, long: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    rng = np.random.default_rng(zlib.crc32(f"{short} {long}".encode()))
    return rng.integers(0, short, _SAMPLE), rng.integers(0, long, _SAMPLE)


def find_copies(
    fingerprints: Mapping[str, Fingerprint | None], read: Callable[[str], Sequence[Matrix]]
) -> dict[str, str]:
    """Return, for each layer that holds the weights of an earlier one, that one's name.

    Parameters
    ----------
    fingerprints
        By layer name, in graph order.
    read
        Gives a layer's matrices; called only where fingerprints agree.
    """
    originals: dict[Fingerprint, list[str]] = {}
    copies: dict[str, str] = {}
    for name, mark in fingerprints.items():
        if mark is None:
            continue
        for original in originals.setdefault(mark, []):
            if _equal(read(original), read(name)):
                copies[name] = original
                break
        else:
            originals[mark].append(name)
    return copies


def _equal(left: Sequence[Matrix], right: Sequence[Matrix]) -> bool:
    """Tell whether two layers hold the same matrices, all as they are or all transposed."""
    pairs = list(zip(left, right, strict=True))
    return all(np.array_equal(a, b) for a, b in pairs) or all(np.array_equal(a, b.T) for a, b in pairs)
