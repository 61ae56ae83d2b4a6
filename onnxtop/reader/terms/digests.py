"""What a model computes, in digests that neither names nor the order of nodes change.

The digest of a term is that of its operation, its attributes and the digests of its operands, those whose
order says nothing in an order of their own. So it is the same in every table, and on every machine that reads
the same contents. Shapes that inputs declare are no part of it: they belong to the interface.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from onnx import TensorProto, helper

from onnxtop.reader.account import QUANTISATION, Account, Entry, Role
from onnxtop.reader.model import Model, Value
from onnxtop.reader.terms.call import MARK
from onnxtop.reader.terms.canonical import was_attribute
from onnxtop.reader.terms.constant import Constant, is_float
from onnxtop.reader.terms.graph import UNKNOWN, Graphs, Whole
from onnxtop.reader.terms.interface import Declared
from onnxtop.reader.terms.table import CONSTANT, INPUT, Term, is_unordered

VERSION = 1
"""Raised whenever the same model may give other digests."""

_BLANK = "?"
"""Begins the digest of a constant whose elements count for nothing."""

_ROLES = {Role.ANALYSED: "weights", Role.SKIPPED: "weights", Role.BIAS: "biases"}


@dataclass(frozen=True)
class Digests:
    """One model: what it computes as it stands, in the normal form, and without what training moves.

    ``operations`` counts the operations that outputs depend on, ``attributes`` is a digest of these with
    their attributes, ``constants`` has one of the constants of each role. ``unreadable`` names constants
    without content: then nothing can be said of the whole.
    """

    terms: str
    normal: str
    structure: str
    operations: Mapping[str, int]
    attributes: str
    constants: Mapping[str, str]
    inputs: tuple[Declared, ...]
    outputs: tuple[Declared, ...]
    unreadable: tuple[str, ...]


def digests_of(model: Model, counts: Account) -> Digests:
    """Return the digests of a model, whose constants were counted."""
    graphs = Graphs(model, model)
    plain = graphs.terms(0)
    reached = _reached(plain)
    held = {value: constant for (_, value), constant in graphs.constants.items()}
    structure = Graphs(model, model, {(0, value): each for value, each in _blank(model, held, counts)})
    return Digests(
        terms=_whole(plain),
        normal=_whole(graphs.terms(1)),
        structure=_outline(structure.terms(0)),
        operations=_operations(reached),
        attributes=_digest(sorted(f"{term.op} {_attributes(term)}" for term in reached if not term.constant)),
        constants=_constants(reached, held, counts),
        inputs=graphs.inputs.new,
        outputs=graphs.outputs.new,
        unreadable=tuple(str(dict(term.attributes)["name"]) for term in reached if term.op == UNKNOWN),
    )


def _reached(whole: Whole) -> list[Term]:
    return [whole.table.terms[item] for item in sorted(whole.table.reached(whole.outputs[0]))]


def _whole(whole: Whole) -> str:
    """Return the digest of all outputs in their order."""
    marks = _marks(whole)
    return _digest(marks[item] for item in whole.outputs[0])


def _marks(whole: Whole) -> Mapping[int | None, str]:
    """Return the digest of every term; operands are made before what takes them."""
    table = whole.table
    marks: dict[int | None, str] = {None: ""}
    for item in sorted(table.reached(whole.outputs[0])):
        term = table.terms[item]
        operands = [marks[operand] for operand in term.operands]
        if is_unordered(term.op, term.attributes):
            operands.sort()
        marks[item] = _digest((term.op, _said(term), *operands))
    return marks


def _outline(whole: Whole) -> str:
    """Return a digest that tells apart, without the elements of constants, who takes whose result.

    Terms are numbered from the outputs down. Two that take different constants are two, however alike.
    """
    table, marks = whole.table, _marks(whole)
    numbers: dict[int | None, int] = {}
    taken: list[tuple[Term, list[int | None]]] = []
    stack = list(whole.outputs[0])[::-1]
    while stack:
        item = stack.pop()
        if item is None or item in numbers or table.held(item) is not None:
            continue
        numbers[item] = len(numbers)
        term = table.terms[item]
        operands = list(term.operands)
        if is_unordered(term.op, term.attributes):
            operands.sort(key=lambda each: (marks[each], numbers.get(each, len(numbers)), each or 0))
        taken.append((term, operands))
        stack += operands[::-1]
    said = (
        (term.op, _said(term), *(str(numbers.get(each, marks[each])) for each in operands))
        for term, operands in taken
    )
    ends = (str(numbers.get(item, marks[item])) for item in whole.outputs[0])
    return _digest((*map(_digest, said), *ends))


def _said(term: Term) -> str:
    """Return what a term says beside its operands; of a constant without elements, type and shape."""
    if term.constant is None:
        return repr(_told(term))
    held = term.constant
    return f"{held.dtype}{list(held.shape)}" if held.digest.startswith(_BLANK) else repr(held)


def _told(term: Term) -> list[tuple[str, Any]]:
    return [each for each in term.attributes if term.op != INPUT or each[0] != "shape"]


def _attributes(term: Term) -> str:
    """Return the attributes without the opset, which `operations` of another opset may share."""
    return repr([each for each in _told(term) if each[0] != f"{MARK}opset"])


def _operations(terms: Iterable[Term]) -> Mapping[str, int]:
    counts: dict[str, int] = {}
    for term in terms:
        if term.op not in (CONSTANT, INPUT):
            counts[term.op] = counts.get(term.op, 0) + 1
    return dict(sorted(counts.items()))


def _constants(
    terms: Iterable[Term], held: Mapping[Value, Constant | None], counts: Account
) -> Mapping[str, str]:
    """Return a digest of the contents of each role, whatever their names, number and order."""
    used = {repr(term.constant) for term in terms if term.constant is not None}
    found: dict[str, set[str]] = {}
    for entry in counts.entries:
        content = repr(held.get(entry.value))
        if content in used:
            found.setdefault(_ROLES.get(entry.role, entry.role.name.lower()), set()).add(content)
    return {role: _digest(sorted(contents)) for role, contents in sorted(found.items())}


def _blank(
    model: Model, held: Mapping[Value, Constant | None], counts: Account
) -> Iterator[tuple[Value, Constant | None]]:
    """Yield all constants, those that training moves without their elements."""
    yield from held.items()
    in_attributes = {value: _unread(model.tensors[value]) for value in model.attribute_values.values()}
    for entry in counts.entries:
        constant = in_attributes.get(entry.value) or held.get(entry.value)
        if constant is not None and _is_trained(entry, constant):
            apart = "" if entry.value in in_attributes else entry.value.index
            yield entry.value, replace(constant, digest=f"{_BLANK}{apart}")


def _unread(tensor: TensorProto) -> Constant:
    dtype = helper.tensor_dtype_to_np_dtype(tensor.data_type)
    return Constant(dtype, tuple(tensor.dims), "", lambda: np.empty(tensor.dims, dtype))


def _is_trained(entry: Entry, constant: Constant) -> bool:
    """Tell whether training moves a constant: parameters, codes, and floats that were never an attribute."""
    if entry.role is not Role.OTHER or entry.kind == QUANTISATION:
        return True
    if not is_float(constant.dtype):
        return constant.dtype.itemsize == 1 and constant.dtype.kind != "b"
    return entry.node is None or not was_attribute(entry.node.op, entry.position)


def _digest(parts: Iterable[str]) -> str:
    state = hashlib.blake2b(digest_size=16)
    for part in parts:
        state.update(f"{len(part)}:{part}".encode())
    return state.hexdigest()
