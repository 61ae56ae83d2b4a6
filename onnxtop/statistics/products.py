"""Thin matrix products in small tiles, which BLAS does not spread over threads.

Threads gain nothing where one side is so thin, and on a busy machine they wait for each other: ten times as
long as the work takes. OpenBLAS starts them above 2**18 multiplications.

Cells are those of one matrix, or of a stack of them, which is a first axis: each has the very same products,
bit by bit, as if it were alone.
"""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Float = TypeVar("Float", np.float32, np.float64)

_TILE = 2**18
_WIDE = 256
PIECE = 4096
"""Squares added up in one product."""


def onto_columns(cells: NDArray[Float], right: NDArray[Float]) -> NDArray[Float]:
    """Return ``cells @ right``; ``right`` has few columns.

    >>> import numpy as np
    >>> cells, right = np.arange(6.0).reshape(2, 3), np.eye(3)[:, :2]
    >>> onto_columns(cells, right).tolist()
    [[0.0, 1.0], [3.0, 4.0]]
    """
    n_rows, n_columns = cells.shape[-2:]
    width = min(n_columns, _WIDE)
    height = max(_TILE // (width * right.shape[1]), 1)
    tiles = n_columns // width
    whole = tiles * width
    found = np.empty((*cells.shape[:-1], right.shape[1]), cells.dtype)
    for start in range(0, n_rows, height):
        part = cells[..., start : start + height, :]
        sums = np.matmul(_tiled(part, tiles, width), right[:whole].reshape(tiles, width, -1)).sum(axis=-3)
        found[..., start : start + height, :] = sums + part[..., whole:] @ right[whole:]
    return found


def onto_rows(left: NDArray[Float], cells: NDArray[Float]) -> NDArray[Float]:
    """Return ``left.T @ cells``; ``left`` has few columns.

    >>> import numpy as np
    >>> onto_rows(np.eye(2)[:, :1], np.arange(6.0).reshape(2, 3)).tolist()
    [[0.0, 1.0, 2.0]]
    """
    n_rows, n_columns = cells.shape[-2:]
    width = min(n_columns, 4 * _WIDE)
    height = max(_TILE // (width * left.shape[1]), 1)
    tiles = n_columns // width
    whole = tiles * width
    found = np.zeros((*cells.shape[:-2], left.shape[1], n_columns), cells.dtype)
    for start in range(0, n_rows, height):
        part = cells[..., start : start + height, :]
        few = np.ascontiguousarray(left[start : start + height].T)
        products = np.matmul(few, _tiled(part, tiles, width)).swapaxes(-3, -2)
        found[..., :whole] += products.reshape(*found.shape[:-1], whole)
        found[..., whole:] += few @ part[..., whole:]
    return found


def _tiled(cells: NDArray[Float], tiles: int, width: int) -> NDArray[Float]:
    """Cut the rows of matrices into tiles, which come first of all: shape (..., tiles, n_rows, width)."""
    return cells[..., : tiles * width].reshape(*cells.shape[:-1], tiles, width).swapaxes(-3, -2)


def sum_of_squares(cells: NDArray[np.float32]) -> float:
    """Return the sum of the squares of all cells, in any order.

    >>> sum_of_squares(np.arange(4, dtype=np.float32))
    14.0
    """
    flat = cells.reshape(-1)
    whole = flat.size - flat.size % PIECE
    pieces, rest = flat[:whole].reshape(-1, PIECE), flat[whole:]
    return float(np.vecdot(pieces, pieces).sum(dtype=np.float64)) + float(np.vecdot(rest, rest))


def onto_parts(cells: NDArray[Float], right: NDArray[Float], parts: int) -> NDArray[Float]:
    """Return the products of the rows with a vector, its terms added up in so many parts, shape (n, parts).

    The parts take turns, a tile of columns each.

    >>> onto_parts(np.arange(12.0).reshape(2, 6), np.ones(6), 3).tolist()
    [[1.0, 5.0, 9.0], [13.0, 17.0, 21.0]]
    """
    n_columns = cells.shape[-1]
    width = min(max(n_columns // parts, 1), _WIDE)
    tiles = n_columns // width
    whole = tiles * width
    found = np.zeros((*cells.shape[:-1], parts), cells.dtype)
    products = np.matmul(_tiled(cells, tiles, width), right[:whole].reshape(tiles, width, 1))[..., 0]
    for part in range(min(parts, tiles)):
        found[..., part] = products[..., part::parts, :].sum(axis=-2)
    found[..., -1] += cells[..., whole:] @ right[whole:]
    return found
