"""Operations on constants, computed: once for all tables, and by content, so that equal ones are one."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from onnxtop.reader.bounds import EvaluationBudget
from onnxtop.reader.evaluate import is_computed, run
from onnxtop.reader.forms import MOVEMENT
from onnxtop.reader.limits import Limits
from onnxtop.reader.terms.call import Call, node_of
from onnxtop.reader.terms.constant import Array, Constant, constant_of

_PICKING = MOVEMENT | {"Concat", "Expand", "Gather", "Slice", "Split"}
"""Operations that move or pick elements."""
_CODING = ("DequantizeLinear", "QuantizeLinear")
_KEEPING = _PICKING | {"Cast", "CastLike", *_CODING}


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
            return self._run(call, [None if item is None else item.read() for item in operands])

        try:
            if not is_computed(node_of(call)):
                return None
            made = arrays()
        except Exception:  # onnx's reference operations raise whatever NumPy does; then it stays a term
            return None
        operations, steps = _made(call, operands), self._steps(call, operands)
        return [
            replace(
                constant_of(array, lambda place=place: arrays()[place], operations),  # type: ignore[misc]
                steps=None if steps is None else lambda place=place: steps()[place],  # type: ignore[misc]
            )
            for place, array in enumerate(made)
        ]

    def _run(self, call: Call, given: Sequence[Array | None]) -> list[Array]:
        return run(node_of(call), given, call.opset, EvaluationBudget(self._limits))

    def _steps(self, call: Call, operands: Sequence[Constant | None]) -> Callable[[], list[Array]] | None:
        """Return what gives the steps of the results' codes, None where they hold no codes."""
        first, rest = operands[0], operands[1:]
        if call.op == "DequantizeLinear" and first is not None and first.dtype.name.startswith(_INTEGERS):
            scale, bare = rest[0], replace(call, operands=call.operands[:2])
            one = np.broadcast_to(np.ones((), first.dtype), first.shape)
            return None if scale is None else lambda: self._run(bare, [one, scale.read()])
        moved = operands if call.op == "Concat" else operands[:1]
        sources = [item.steps for item in moved if item is not None and item.steps is not None]
        if call.op not in _PICKING or len(sources) < len(moved):
            return None
        return lambda: self._run(
            call,
            [
                *(source() for source in sources),
                *(None if item is None else item.read() for item in operands[len(moved) :]),
            ],
        )


_INTEGERS = ("int", "uint")


def _made(call: Call, operands: Sequence[Constant | None]) -> str:
    """Return a digest of how the results of an operation are computed from what is stored."""
    decodes = call.op in _CODING  # by a scale, which may be computed
    before = [item.made for item in (operands[:1] if decodes else operands) if item is not None]
    if call.op in _KEEPING and len(computed := list(filter(None, before))) < 2:
        return "".join(computed)
    said = repr((call.op, sorted(call.attributes.items()), before))
    return hashlib.blake2b(said.encode(), digest_size=16).hexdigest()
