"""What a model computes, in digests that neither names nor the order of nodes change.

The digest of a term is that of its operation, its attributes and the digests of its operands, those whose
order says nothing in an order of their own. So it is the same in every table, and on every machine that reads
the same contents. Shapes that inputs declare are no part of it: they belong to the interface.
"""

import functools
import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import onnx

from onnxtop.options import Digesting
from onnxtop.reader.account import QUANTISATION, Account, Role
from onnxtop.reader.earlier import meaning
from onnxtop.reader.model import Model, Value
from onnxtop.reader.terms.call import MARK, NEWEST, Call
from onnxtop.reader.terms.canonical import was_attribute, with_defaults
from onnxtop.reader.terms.constant import Constant
from onnxtop.reader.terms.facts import Function
from onnxtop.reader.terms.graph import UNKNOWN, Graphs, Whole
from onnxtop.reader.terms.table import CONSTANT, INPUT, GraphTerm, is_unordered

VERSION = 4
"""Raised whenever the same model may give other digests."""

_WEIGHTS = "weights"
_ROLES = {Role.ANALYSED: _WEIGHTS, Role.SKIPPED: _WEIGHTS, Role.BIAS: "biases"}


def digests_of(model: Model, counts: Account, wanted: Digesting) -> Function:
    """Say what a model computes whose constants were counted, in digests.

    Those that take a hash of every weight, and a normal form, only if asked for.
    """
    hashed = wanted != "outline"
    graphs = Graphs(model, model, hashed=hashed)
    plain = graphs.terms(0)
    reached = [plain.table.terms[item] for item in sorted(plain.table.reached(plain.outputs[0]))]
    held = {value: constant for (_, value), constant in graphs.constants.items()}
    return Function(
        version=VERSION,
        terms=_whole(plain) if hashed else None,
        normal=_whole(graphs.terms(1)) if wanted == "normal" else None,
        structure=_outline(plain, _Moved.of(model, held, counts)),
        operations=_operations(reached),
        attributes=_digest(sorted(f"{term.op} {_filled(term)}" for term in reached if not term.constant)),
        constants=_constants(reached, held, counts, weights=hashed),
        inputs=tuple(each.port for each in graphs.inputs.new),
        outputs=tuple(each.port for each in graphs.outputs.new),
        unreadable=tuple(str(dict(term.attributes)["name"]) for term in reached if term.op == UNKNOWN),
    )


def _whole(whole: Whole) -> str:
    """Return the digest of all outputs in their order; operands are made before what takes them."""
    table, outputs = whole.table, whole.outputs[0]
    marks: dict[int | None, str] = {None: ""}
    for item in sorted(table.reached(outputs)):
        term = table.terms[item]
        operands = [marks[operand] for operand in term.operands]
        if is_unordered(term.op, term.attributes):
            operands.sort()
        marks[item] = _digest((term.op, repr(term.constant or _told(term)), *operands))
    return _digest(marks[item] for item in outputs)


def _told(term: GraphTerm) -> list[tuple[str, Any]]:
    return [each for each in term.attributes if term.op != INPUT or each[0] != "shape"]


def _digest(parts: Iterable[str]) -> str:
    state = hashlib.blake2b(digest_size=16)
    for part in parts:
        state.update(f"{len(part)}:{part}".encode())
    return state.hexdigest()


# Parts


def _filled(term: GraphTerm) -> str:
    """Return the attributes with their defaults, and the opset only where it tells an operation apart."""
    given = dict(_told(term))
    opset = given.pop(f"{MARK}opset", None)
    if "." in term.op or opset is None or not onnx.defs.has(term.op):
        return repr(_told(term))
    if not given:
        return _bare(term.op, opset)
    return _completed(term.op, opset, given)


@functools.cache
def _bare(op: str, opset: int) -> str:
    """Return what is said of an operation without attributes, as most of a large model are."""
    return _completed(op, opset, {})


def _completed(op: str, opset: int, given: Mapping[str, Any]) -> str:
    call = Call(op, given, ())
    for version in (opset, NEWEST):
        call = with_defaults(call, version)
    return repr((sorted(call.attributes.items()), meaning(op, opset)))


def _operations(terms: Iterable[GraphTerm]) -> Mapping[str, int]:
    counts = Counter(term.op for term in terms if term.op not in (CONSTANT, INPUT))
    return dict(sorted(counts.items()))


def _constants(
    terms: Iterable[GraphTerm], held: Mapping[Value, Constant | None], counts: Account, *, weights: bool
) -> Mapping[str, str]:
    """Return a digest of the contents of each role, whatever their names, number and order."""
    used = {term.constant.key for term in terms if term.constant is not None}
    found: dict[str, set[str]] = {}
    for entry in counts.entries:
        constant, role = held.get(entry.value), _ROLES.get(entry.role, entry.role.name.lower())
        if constant is not None and constant.key in used and (weights or role != _WEIGHTS):
            found.setdefault(role, set()).add(repr(constant))
    return {role: _digest(sorted(contents)) for role, contents in sorted(found.items())}


# Structure


@dataclass(frozen=True)
class _Moved:
    """What training moves beside floats: constants by their contents, and weights that are attributes."""

    contents: frozenset[object]
    attributes: frozenset[tuple[str, str]]

    @classmethod
    def of(cls, model: Model, held: Mapping[Value, Constant | None], counts: Account) -> "_Moved":
        """Return the parameters of a model, with their scales and zero points."""
        entries = (entry for entry in counts.entries if entry.role is not Role.OTHER)
        scales = (entry for entry in counts.entries if entry.kind == QUANTISATION)
        values = {entry.value for entry in (*entries, *scales)}
        attributes = {
            (model.nodes[index].op, name)
            for (index, name), value in model.attribute_values.items()
            if value in values
        }
        constants = (held.get(value) for value in values)
        keys = (constant.key for constant in constants if constant is not None)
        return cls(frozenset(keys), frozenset(attributes))

    def is_blank(self, term: GraphTerm, place: int, constant: Constant) -> bool:
        """Tell whether no element of an operand counts: floats that never were an attribute, and codes."""
        if constant.is_float:
            return not was_attribute(term.op, place)
        codes = constant.dtype.itemsize == 1 and constant.dtype.kind != "b"
        return codes or constant.key in self.contents

    def said(self, term: GraphTerm) -> str:
        """Return the attributes, of weights their number."""
        if not any((term.op, name) in self.attributes for name, _ in term.attributes):
            return _filled(term)
        kept = (
            (name, len(value) if (term.op, name) in self.attributes and isinstance(value, tuple) else value)
            for name, value in term.attributes
        )
        return _filled(replace(term, attributes=tuple(kept)))


def _outline(whole: Whole, moved: _Moved) -> str:
    """Return a digest that tells, without what training moves, which operation takes whose result.

    Terms are numbered from the outputs down. Two that take different constants are two, however alike.
    """
    table, marks = whole.table, _marks(whole, moved)
    numbers: dict[int | None, int] = {}
    lines: list[tuple[int, list[tuple[str, int | None]]]] = []
    stack = list(whole.outputs[0])[::-1]
    while stack:
        item = stack.pop()
        if item is None or item in numbers or table.held(item) is not None:
            continue
        numbers[item] = len(numbers)
        term = table.terms[item]
        operands = list(zip(marks[item], term.operands, strict=True))
        if is_unordered(term.op, term.attributes):
            operands.sort(key=lambda each: (each[0], numbers.get(each[1], len(numbers)), each[1] or 0))
        lines.append((item, operands))
        stack += [operand for _, operand in operands[::-1]]
    told = (
        " ".join(
            (
                table.terms[item].op,
                moved.said(table.terms[item]),
                *(str(numbers.get(each, mark)) for mark, each in operands),
            )
        )
        for item, operands in lines
    )
    return _digest((*told, *(str(numbers.get(item)) for item in whole.outputs[0])))


def _marks(whole: Whole, moved: _Moved) -> Mapping[int, list[str]]:
    """Return digests of the operands of every term, of constants without the elements that do not count."""
    table = whole.table
    own: dict[int | None, str] = {None: ""}
    marks: dict[int, list[str]] = {}
    for item in sorted(table.reached(whole.outputs[0])):
        term = table.terms[item]
        if term.constant is not None:
            continue
        marks[item] = [
            own[each] if (held := table.held(each)) is None else _mark(moved, term, place, held)
            for place, each in enumerate(term.operands)
        ]
        ordered = sorted(marks[item]) if is_unordered(term.op, term.attributes) else marks[item]
        own[item] = _digest((term.op, moved.said(term), *ordered))
    return marks


def _mark(moved: _Moved, term: GraphTerm, place: int, held: Constant) -> str:
    return f"{held.dtype}{list(held.shape)}" if moved.is_blank(term, place, held) else repr(held)
