"""Linear models and support vector machines of ai.onnx.ml: weights in attributes."""

from collections.abc import Iterator
from functools import partial
from typing import Any

from onnxtop.network import Blocks
from onnxtop.reader.reading import Array, Bias, OpCall, Reading


def LinearClassifier(call: OpCall, **attributes: Any) -> Iterator[Reading]:
    """Read coefficients, stored class by class."""
    classes = len(attributes.get("classlabels_ints", ())) or len(attributes.get("classlabels_strings", ()))
    rows = len(attributes.get("intercepts", ())) or classes
    yield from _rows(call, rows)


def LinearRegressor(call: OpCall, *, targets: int = 1, **_: Any) -> Iterator[Reading]:
    """Read coefficients, stored target by target."""
    yield from _rows(call, targets)


def _rows(call: OpCall, rows: int) -> Iterator[Reading]:
    value = call.attribute("coefficients")
    if value is not None:
        bias = Bias.of(call.attribute("intercepts"))
        yield Reading((value,), partial(_by_row, rows=rows), bias=bias)


def SVMClassifier(call: OpCall, **attributes: Any) -> Iterator[Reading]:
    """Read support vectors (inputs to kernels) and coefficients (kernels to classes)."""
    classes = len(attributes.get("classlabels_ints", ())) or len(attributes.get("classlabels_strings", ()))
    yield from _support(call, sum(attributes.get("vectors_per_class", ())), classes)


def SVMRegressor(call: OpCall, *, n_supports: int = 0, **_: Any) -> Iterator[Reading]:
    """Read support vectors (inputs to kernels) and coefficients (kernels to the target)."""
    yield from _support(call, n_supports, 1)


def _support(call: OpCall, vectors: int, outputs: int) -> Iterator[Reading]:
    """Read a machine; without support vectors it is linear, its coefficients stored output by output."""
    support, coefficients = call.attribute("support_vectors"), call.attribute("coefficients")
    if not vectors:
        yield from _rows(call, outputs)
        return
    if support is not None:
        yield Reading((support,), partial(_by_row, rows=vectors), part="support_vectors")
    if coefficients is not None:
        yield Reading((coefficients,), partial(_by_column, columns=vectors), part="coefficients")


def _by_row(array: Array, *, rows: int) -> Blocks:
    """Return (n_in, n_out) from numbers stored output by output."""
    return [array.reshape(rows, -1).T]


def _by_column(array: Array, *, columns: int) -> Blocks:
    """Return (vectors, outputs)."""
    return [array.reshape(-1, columns).T]
