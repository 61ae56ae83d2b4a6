"""Operations on constants, computed: once for all tables, and by content, so that equal ones are one."""

import hashlib
from collections.abc import Sequence
from typing import Any

from onnxtop.reader.bounds import EvaluationBudget
from onnxtop.reader.evaluate import is_computed, run
from onnxtop.reader.forms import MOVEMENT
from onnxtop.reader.limits import Limits
from onnxtop.reader.terms.call import Call, node_of
from onnxtop.reader.terms.constant import Array, Constant, constant_of

_KEEPING = MOVEMENT | {"Cast", "CastLike", "Concat", "DequantizeLinear", "Expand", "Gather", "Slice", "Split"}
"""Operations that move, pick or decode elements."""


class Folding:
    """What operations make of constants; small results are kept, large ones computed again when read."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._known: dict[Any, list[Constant] | None] = {}

    def results(self, call: Call, operands: Sequence[Constant | None]) -> list[Constant] | None:
        """Return the results of an operation, None where it cannot be computed or may not."""
        key = (call.op, call.opset, call.results, repr(sorted(call.attributes.items())), repr(operands))
        if key not in self._known:
            self._known[key] = self._computed(call, operands)
        return self._known[key]

    def _computed(self, call: Call, operands: Sequence[Constant | None]) -> list[Constant] | None:
        if not call.is_standard:
            return None

        def arrays() -> list[Array]:
            given = [None if item is None else item.read() for item in operands]
            return run(node_of(call), given, call.opset, EvaluationBudget(self._limits))

        try:
            if not is_computed(node_of(call)):
                return None
            made = arrays()
        except Exception:  # onnx's reference operations raise whatever NumPy does; then it stays a term
            return None
        operations = _made(call, operands)
        return [
            constant_of(array, lambda place=place: arrays()[place], operations)  # type: ignore[misc]
            for place, array in enumerate(made)
        ]


def _made(call: Call, operands: Sequence[Constant | None]) -> str:
    """Return a digest of how the results of an operation are computed from what is stored."""
    decodes = call.op == "DequantizeLinear"  # by a scale, which may be computed
    before = [item.made for item in (operands[:1] if decodes else operands) if item is not None]
    if call.op in _KEEPING and len(computed := list(filter(None, before))) < 2:
        return "".join(computed)
    said = repr((call.op, sorted(call.attributes.items()), before))
    return hashlib.blake2b(said.encode(), digest_size=16).hexdigest()
