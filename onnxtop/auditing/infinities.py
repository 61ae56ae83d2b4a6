"""What an infinite constant does: whether what is computed with it is ruined, or it is a bound or a mask.

Each operation is asked itself, on ordinary numbers beside the infinite one: a product with it is infinite, a
minimum is not. -inf that makes -inf is a mask. What is only moved is looked at where it arrives.
"""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxtop.reader.constants import Constants, UnreadableConstantError
from onnxtop.reader.evaluate import is_computed, is_decoder, keeps_elements, run
from onnxtop.reader.lanes.tables import ELEMENTWISE, MOVING
from onnxtop.reader.model import Model, Node, Use, Value
from onnxtop.reader.ops.tables import SIDES
from onnxtop.reader.search import reached

Array = NDArray[Any]

_SCALE = 1
_CHOOSING = ("", "Where")
_ORDINARY = (-2.0, -0.5, 0.5, 2.0)


def is_scale(node: Node, position: int) -> bool:
    """Tell whether an operand is what codes are multiplied by."""
    return is_decoder(node) and position == _SCALE


class Infinities:
    """Tells what infinite operands do to a model."""

    def __init__(self, model: Model, constants: Constants) -> None:
        self._model, self._constants = model, constants

    def ruined_by(self, node: Node, position: int, array: Array) -> Array:
        """Tell of each entry of an operand whether it is infinite and ruins what comes of it."""
        ruined = np.zeros(array.shape, bool)
        kind = array.dtype if array.dtype.kind == "f" else np.dtype(np.float32)
        for number in (np.inf, -np.inf):
            found = array == number
            if found.any() and self._is_ruined(node, position, np.asarray(number, kind)):
                ruined |= found
        return ruined

    def ruins_all(self, node: Node) -> bool:
        """Tell whether an operation makes NaN or infinities of ordinary numbers: by its attributes."""
        made = self._made(node, [self._beside(value, np.float32(0)) for value in node.inputs])
        return made is not None and not np.isfinite(made).all()

    def _is_ruined(self, node: Node, position: int, number: Array) -> bool:
        """Look at all that takes the number as it is: the operation, and those that it is moved to."""
        return any(
            self._ruins(use.node, use.position, number)
            for use in reached([Use(node, position)], self._moved_to)
        )

    def _moved_to(self, use: Use) -> Iterator[Use]:
        node = use.node
        if (node.domain, node.op_type) in MOVING or (keeps_elements(node) and not is_decoder(node)):
            for value in node.outputs:
                yield from self._model.users.get(value, ())

    def _ruins(self, node: Node, position: int, number: Array) -> bool:
        op = node.domain, node.op_type
        if op in SIDES:
            return position == 0 or any(position in side for side in SIDES[op])
        return is_scale(node, position) or self._overflows(node, position, number)

    def _overflows(self, node: Node, position: int, number: Array) -> bool:
        """Tell whether an operation makes +inf or NaN of the number, and none of an ordinary one."""
        beside = [self._beside(value, number) for value in node.inputs]
        ordinary, made = (
            self._made(node, [*beside[:position], given, *beside[position + 1 :]])
            for given in (np.ones_like(number), number)
        )
        if ordinary is None or made is None:
            return False
        return bool(((np.isnan(made) | np.isposinf(made)) & np.isfinite(ordinary)).any())

    def _made(self, node: Node, operands: Sequence[Array | None]) -> Array | None:
        """Return what an operation makes of each entry for itself, None for any other, and for no floats."""
        op = node.domain, node.op_type
        if op not in ELEMENTWISE or op == _CHOOSING or not is_computed(node) or keeps_elements(node):
            return None
        try:
            made = run(node, operands, self._constants.opset)[0]
        except Exception:  # onnx's reference operations raise whatever NumPy does
            return None
        return made if made.dtype.kind == "f" else None

    def _beside(self, value: Value | None, number: Array | np.float32) -> Array | None:
        """Return what stands beside a number: a constant of one entry as it is, ordinary numbers else."""
        if value is None:
            return None
        with contextlib.suppress(UnreadableConstantError):
            if value in self._constants and self._constants.shape(value) in ((), (1,)):
                held = self._constants.read(value)
                return held if held.dtype.kind in "iub" else held.astype(number.dtype)
        return np.array(_ORDINARY, number.dtype)
