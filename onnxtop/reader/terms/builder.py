"""Makes terms of operations: their one form, what is constant computed, then the rules, then types."""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from onnxtop.reader.terms.call import NEWEST, Call
from onnxtop.reader.terms.canonical import VERSION, canonical
from onnxtop.reader.terms.coder import Coder
from onnxtop.reader.terms.constant import Array, Constant, constant_of
from onnxtop.reader.terms.folding import Folding
from onnxtop.reader.terms.table import CONSTANT, RESULT, GraphTerm, Origin, Table, Type
from onnxtop.reader.terms.types import types_of

Results = list[int | None]
Rule = Callable[["Builder", Call], Results | None]
"""What a rule makes of an operation: its results, None where it has nothing to say."""


EARLIER = "earlier "
"""Before an operation's name: rules for what it meant in an earlier opset."""

_MISFITS = (ArithmeticError, AssertionError, LookupError, TypeError, ValueError)
"""What comes of operands and attributes that do not fit an operation, which then stays as it is."""


@dataclass(frozen=True, eq=False)
class Builder:
    """Makes the terms of one level; ``dropped`` is what the rules of level 2 left out, in words.

    ``assumed`` are terms that stand for what a quantiser cuts off, and what that is; ``coders`` are the
    quantisers of either model that were left out, and the nodes that decode or compute with their codes.
    """

    level: int
    rules: Mapping[str, Sequence[Rule]]
    folding: Folding
    table: Table = field(default_factory=Table)
    dropped: dict[str, int] = field(default_factory=dict)
    assumed: dict[int, str] = field(default_factory=dict)
    coders: tuple[dict[Coder, list[Origin]], dict[Coder, list[Origin]]] = field(
        default_factory=lambda: ({}, {})
    )

    def make(
        self,
        op: str,
        operands: Sequence[int | None],
        attributes: Mapping[str, Any] | None = None,
        opset: int = NEWEST,
        results: int = 1,
    ) -> Results:
        """Return the results of an operation as terms."""
        given = list(operands)
        while given and given[-1] is None:
            given.pop()
        call = Call(op, attributes or {}, tuple(given), opset, results)
        if self.level:
            with contextlib.suppress(*_MISFITS):
                call = canonical(self.table, call)
            computed = self._computed(call)
            if computed is not None:
                return computed
        with contextlib.suppress(*_MISFITS):
            if (made := self._ruled(call)) is not None:
                return made
        return self.plain(call)

    def _ruled(self, call: Call) -> Results | None:
        rules = self.rules.get(f"{EARLIER}{call.op}" if VERSION in call.attributes else call.op, ())
        return next((made for rule in rules if (made := rule(self, call)) is not None), None)

    def one(
        self, op: str, *operands: int | None, attributes: Mapping[str, Any] | None = None, opset: int = NEWEST
    ) -> int:
        """Return the one result of an operation as a term."""
        made = self.make(op, operands, attributes, opset)[0]
        assert made is not None
        return made

    def plain(self, call: Call) -> Results:
        """Return an operation's results as terms of their own."""
        types: Sequence[Type | None] = [None] * call.results
        if self.level:
            types = types_of(self.table, call)
        first = self.table.term(call.op, call.attributes.items(), call.operands, types[0])
        more = (
            self.table.term(RESULT, [("place", place)], [first], types[place])
            for place in range(1, call.results)
        )
        return [first, *more]

    def _computed(self, call: Call) -> Results | None:
        held = [self.table.held(item) for item in call.operands]
        if not held or any(
            constant is None and item is not None for constant, item in zip(held, call.operands, strict=True)
        ):
            return None
        made = self.folding.results(call, held)
        return None if made is None else [self.constant(item) for item in made]

    def constant(self, constant: Constant | Array) -> int:
        """Return the term of a constant; on level 2 all floats are of one type."""
        held = constant if isinstance(constant, Constant) else constant_of(np.asarray(constant))
        if self.level > 1 and held.is_float and held.dtype != np.float32:
            held = _single(held)
        return self.table.constant(held)

    def source(self, item: int) -> GraphTerm:
        """Return a term."""
        return self.table.terms[item]

    def is_constant(self, item: int | None) -> bool:
        """Tell whether a term is a constant."""
        return item is not None and self.table.terms[item].op == CONSTANT

    def number(self, item: int | None) -> float | None:
        """Return the one number that a constant of floats is, None for anything else."""
        held = self.table.held(item)
        return held.number if held is not None and held.is_number and held.is_float else None

    def drop(self, what: str) -> None:
        """Note something that is left out and changes results a little."""
        self.dropped[what] = self.dropped.get(what, 0) + 1


def _single(held: Constant) -> Constant:
    """Return a constant in single precision."""

    def read() -> Array:
        return held.read().astype(np.float32)

    return replace(constant_of(read(), read, held.made), steps=held.steps)
