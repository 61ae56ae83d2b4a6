"""Arguments of the measures, checked once: matrices, scales, conventions."""

from collections.abc import Sequence
from typing import Any, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from onnxtop.errors import UsageError
from onnxtop.network import Matrix
from onnxtop.topology.graph import Floats
from onnxtop.topology.persistence import Convention


def check_options(convention: str, p: float) -> None:
    """Raise UsageError unless convention and p make sense."""
    if convention not in get_args(Convention):
        raise UsageError(f"wanted convention 'essential' or 'tree', found {convention!r}: choose one of them")
    if not (isinstance(p, int | float | np.number) and p > 0):
        raise UsageError(f"wanted p above 0, inf allowed, found {p!r}: the usual choice is 2")


def check_scale(scale: Any, strongest: float) -> None:
    """Raise UsageError unless a given scale is a number that no strength exceeds."""
    if not (isinstance(scale, int | float | np.number) and 0 < scale < np.inf):
        raise UsageError(
            f"wanted a positive number as scale, found {scale!r}: leave it out for the largest |w|"
        )
    if scale < strongest:
        raise UsageError(
            f"wanted a scale of at least the largest |w|, {strongest!r}, found {scale!r}: "
            "pass a larger one, or leave it out"
        )


def as_blocks(layer: ArrayLike | Sequence[ArrayLike], name: str) -> list[Matrix]:
    """Return the matrices of one layer, given as one matrix or as a list of blocks."""
    what = f"layer {name!r}"
    if isinstance(layer, list | tuple) and layer and all(_as_array(block, what).ndim == 2 for block in layer):
        return [as_matrix(block, what) for block in layer]
    return [as_matrix(layer, what)]


def as_bias(bias: ArrayLike, n_out: int, what: str = "a bias") -> Floats:
    """Return a vector of one number per output in float64."""
    numbers = _as_real(bias, what)
    if numbers.shape != (n_out,):
        raise UsageError(
            f"wanted {what} of shape ({n_out},), found {numbers.shape}: pass one number per output"
        )
    return numbers.astype(np.float64, copy=False)


def as_matrix(matrix: ArrayLike | Sequence[ArrayLike], what: str) -> Matrix:
    """Return a floating matrix, in place where it already is one."""
    array = _as_real(matrix, what)
    if array.ndim != 2 or not array.size:
        raise UsageError(
            f"wanted {what} of shape (n_in, n_out), no side empty, found shape {array.shape}: "
            "reshape it, or leave it out"
        )
    return array


def _as_array(numbers: ArrayLike | Sequence[ArrayLike], what: str) -> NDArray[Any]:
    try:
        return np.asarray(numbers)
    except ValueError as error:
        raise UsageError(f"wanted {what} with rows of one length, found uneven ones: fill them up") from error


def _as_real(numbers: ArrayLike | Sequence[ArrayLike], what: str) -> NDArray[np.floating[Any]]:
    array = _as_array(numbers, what)
    if array.dtype.name == "bfloat16":
        array = array.astype(np.float32)
    if array.dtype.kind in "iub":
        array = array.astype(np.float64)
    if array.dtype.kind != "f" or array.itemsize > 8:
        raise UsageError(
            f"wanted {what} of real numbers, found dtype {array.dtype}: convert it to float first"
        )
    return array
