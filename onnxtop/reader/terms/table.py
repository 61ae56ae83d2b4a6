"""The table: each term once, whichever model it came from."""

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from onnxtop.reader.declared import Shape
from onnxtop.reader.search import reached
from onnxtop.reader.terms.constant import Array, Constant, constant_of

CONSTANT, INPUT, RESULT, RESHAPED, VIEW = "constant", "input", "result", "reshaped", "view"
"""Terms that are no operations: a constant, a model's input, a further result, elements in another shape."""

ROUNDED = "rounded"
"""A term that an operation rounds to a narrower type before it computes."""

COMMUTATIVE = frozenset(
    ("Add", "And", "BitwiseAnd", "BitwiseOr", "BitwiseXor", "Equal", "Max", "Mean", "Min", "Mul", "Or", "Sum")
) | {"Xor"}

Attributes = tuple[tuple[str, Any], ...]
Places = NDArray[np.int32]


def is_unordered(op: str, attributes: Attributes) -> bool:
    """Tell whether the order of operands says nothing; before opset 7 an axis may be that of the second."""
    return op in COMMUTATIVE and all(name not in ("axis", "broadcast") for name, _ in attributes)


class Type(NamedTuple):
    """What a term's values are; a size that is not known is None, as is a shape."""

    dtype: np.dtype[Any]
    shape: Shape | None


@dataclass(frozen=True, eq=False)
class GraphTerm:
    """One operation on terms. ``places`` says of a view which element of its source each of its own is."""

    op: str
    attributes: Attributes
    operands: tuple[int | None, ...]
    type: Type | None = None
    constant: Constant | None = None
    places: Places | None = None

    def operand(self, place: int) -> int | None:
        """Return an operand, None where it is left out."""
        return self.operands[place] if place < len(self.operands) else None


@dataclass(frozen=True)
class Origin:
    """The node that a term was first made for, as people know it."""

    name: str
    op: str
    weights: str = ""


Inferred = dict[Hashable, tuple[Type | None, ...]]
"""Types of results by all that they are inferred from: of the many nodes of a model, few differ in that."""


class Table:
    """The terms of two models; ``side`` is the model whose terms are being made.

    ``inferred`` hands on types from one table to the next.
    """

    def __init__(self, inferred: Inferred | None = None) -> None:
        self.inferred: Inferred = {} if inferred is None else inferred
        self.terms: list[GraphTerm] = []
        self.skeletons: list[int] = []
        self.origins: tuple[dict[int, Origin], dict[int, Origin]] = ({}, {})
        self.side = 0
        self.origin: Origin | None = None
        self._known: dict[Any, int] = {}
        self._skeletons: dict[Any, int] = {}

    def constant(self, constant: Constant | Array) -> int:
        """Return the term of a constant."""
        if not isinstance(constant, Constant):
            constant = constant_of(np.asarray(constant))
        key = (CONSTANT, *constant.key)
        kind = constant.read().tobytes() if constant.dtype.kind == "i" and constant.size < 9 else ""
        term = GraphTerm(CONSTANT, (), (), Type(constant.dtype, constant.shape), constant)
        return self._intern(key, term, (CONSTANT, constant.shape, constant.dtype.kind, kind))

    def term(
        self,
        op: str,
        attributes: Iterable[tuple[str, Any]],
        operands: Sequence[int | None],
        type_: Type | None = None,
        places: Places | None = None,
    ) -> int:
        """Return the term of an operation; operands whose order says nothing are put in one order."""
        held = tuple(sorted(attributes))
        if is_unordered(op, held) and None not in operands:
            operands = sorted(operands, key=self._rank)  # type: ignore[arg-type]
        made = GraphTerm(op, held, tuple(operands), type_, None, places)
        said = repr(held)
        outline = tuple(-1 if item is None else self.skeletons[item] for item in operands)
        return self._intern((op, said, made.operands), made, (op, said, outline))

    def _rank(self, item: int) -> tuple[bool, int, int]:
        return self.terms[item].constant is not None, self.skeletons[item], item

    def _intern(self, key: Any, term: GraphTerm, outline: Any) -> int:
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = len(self.terms)
            self.terms.append(term)
            self.skeletons.append(self._skeletons.setdefault(outline, len(self._skeletons)))
        if self.origin is not None:
            self.origins[self.side].setdefault(found, self.origin)
        return found

    def held(self, item: int | None) -> Constant | None:
        """Return the constant that a term is, None for any other."""
        return None if item is None else self.terms[item].constant

    def shape(self, item: int | None) -> Shape | None:
        """Return the shape of a term, None where it is not known."""
        kind = None if item is None else self.terms[item].type
        return None if kind is None else kind.shape

    def sizes(self, item: int | None) -> tuple[int, ...] | None:
        """Return the shape of a term, None unless every size of it is known."""
        shape = self.shape(item)
        return None if shape is None or None in shape else shape  # type: ignore[return-value]

    def dtype(self, item: int | None) -> np.dtype[Any] | None:
        """Return the element type of a term, None where it is not known."""
        kind = None if item is None else self.terms[item].type
        return None if kind is None else kind.dtype

    def reached(self, outputs: Iterable[int | None]) -> set[int]:
        """Return all terms that outputs depend on, themselves included."""
        starts = [item for item in outputs if item is not None]
        return set(reached(starts, self._given_operands))

    def _given_operands(self, item: int) -> list[int]:
        return [operand for operand in self.terms[item].operands if operand is not None]
