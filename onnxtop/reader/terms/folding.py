"""Operations on constants, computed: once for all tables, and by content, so that equal ones are one."""

from collections.abc import Sequence
from typing import Any

from onnxtop.reader.bounds import Budget
from onnxtop.reader.evaluate import is_computed, run
from onnxtop.reader.terms.call import Call, node_of
from onnxtop.reader.terms.constant import Array, Constant, constant_of

_LIMIT = 2**28


class Folding:
    """What operations make of constants; small results are kept, large ones computed again when read."""

    def __init__(self, largest: int) -> None:
        self._limit = max(_LIMIT, 4 * largest)
        self._known: dict[Any, list[Constant] | None] = {}

    def results(self, call: Call, operands: Sequence[Constant | None]) -> list[Constant] | None:
        """Return the results of an operation, None where it cannot be computed or may not."""
        key = (call.op, call.opset, call.results, repr(sorted(call.attributes.items())), repr(operands))
        if key not in self._known:
            self._known[key] = self._computed(call, operands)
        return self._known[key]

    def _computed(self, call: Call, operands: Sequence[Constant | None]) -> list[Constant] | None:
        if not call.is_standard or not is_computed(node_of(call)):
            return None

        def arrays() -> list[Array]:
            given = [None if item is None else item.read() for item in operands]
            return run(node_of(call), given, call.opset, Budget(self._limit))

        try:
            made = arrays()
        except Exception:  # onnx's reference operations raise whatever NumPy does; then it stays a term
            return None
        return [
            constant_of(array, lambda place=place: arrays()[place])  # type: ignore[misc]
            for place, array in enumerate(made)
        ]
