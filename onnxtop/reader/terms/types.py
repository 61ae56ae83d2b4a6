"""Types of results, inferred by ONNX while terms are made: what a file declares is not believed."""

from collections.abc import Callable, Hashable, Mapping, Sequence

import onnx
from onnx import TypeProto, helper

from onnxtop.reader.bounds import infer
from onnxtop.reader.declared import Shape
from onnxtop.reader.terms.call import MARK, Call, proto_of
from onnxtop.reader.terms.constant import Array
from onnxtop.reader.terms.table import Table, Type

_TOLD = 2**12
"""Constants of so many elements may tell a shape."""


def types_of(table: Table, call: Call) -> Sequence[Type | None]:
    """Return the types of an operation's results, None for what cannot be told."""
    if call.op in _WITH_BODIES:
        return _WITH_BODIES[call.op](table, call)
    if not call.is_standard or any(
        item is not None and table.terms[item].type is None for item in call.operands
    ):
        return [None] * call.results
    attributes = repr(sorted(call.attributes.items()))
    asked = (call.op, call.opset, call.results, attributes, *(_told(table, item) for item in call.operands))
    if asked not in table.inferred:
        table.inferred[asked] = _inferred(table, call)
    return table.inferred[asked]


def takes(table: Table, item: int, sizes: Mapping[int, int]) -> bool:
    """Tell whether an operation takes its operands with some sizes in place of others."""
    term = table.terms[item]
    call = Call(term.op, dict(term.attributes), term.operands)
    if not call.is_standard or call.op in _WITH_BODIES:
        return False
    return _inferred(table, call, sizes)[0] is not None


def _inferred(table: Table, call: Call, sizes: Mapping[int, int] | None = None) -> tuple[Type | None, ...]:
    operands = [_operand(table, item) for item in call.operands]
    if sizes is not None:
        operands = [(_replaced(shape, sizes), kind, array) for shape, kind, array in operands]
    try:
        answers = infer(proto_of(call), operands, call.opset)
    except Exception:  # bare C++ errors for what does not fit, and for operations that are not known
        return (None,) * call.results
    return tuple(_type(answers.get(f"r{place}")) for place in range(call.results))


def _told(table: Table, item: int | None) -> Hashable:
    """Return all of an operand that a type may be inferred from."""
    held = table.held(item)
    if held is not None and held.size < _TOLD:
        return held.key
    return None if item is None else table.terms[item].type


def _operand(table: Table, item: int | None) -> tuple[Shape | None, int, Array | None]:
    kind = None if item is None else table.terms[item].type
    if kind is None:
        return None, onnx.TensorProto.UNDEFINED, None
    held = table.held(item)
    array = held.read() if held is not None and held.size < _TOLD else None
    return kind.shape, helper.np_dtype_to_tensor_dtype(kind.dtype), array


def _replaced(shape: Shape | None, sizes: Mapping[int, int]) -> Shape | None:
    return None if shape is None else tuple(sizes.get(size or 0, size) for size in shape)


def _type(answer: TypeProto | None) -> Type | None:
    if answer is None or not answer.HasField("tensor_type") or not answer.tensor_type.elem_type:
        return None
    tensor = answer.tensor_type
    dtype = helper.tensor_dtype_to_np_dtype(tensor.elem_type)
    if not tensor.HasField("shape"):
        return Type(dtype, None)
    return Type(
        dtype, tuple(dim.dim_value if dim.HasField("dim_value") else None for dim in tensor.shape.dim)
    )


def _of_branches(table: Table, call: Call) -> list[Type | None]:
    """Return what both branches of an If agree in; the condition and the results of both are its operands."""
    results = call.operands[1:]
    if len(results) != 2 * call.results:
        return [None] * call.results
    kinds = [None if item is None else table.terms[item].type for item in results]
    pairs = zip(kinds[: call.results], kinds[call.results :], strict=True)
    return [
        None if a is None or b is None or a.dtype != b.dtype else Type(a.dtype, a.shape if a == b else None)
        for a, b in pairs
    ]


def _of_loop(table: Table, call: Call) -> list[Type | None]:
    """Return the element types of what a Loop hands on: those that it starts with; its shapes may change."""
    count = len(call.operands) - call.get(f"{MARK}body", 0) - 2
    kinds = [table.dtype(item) for item in call.operands[2 : 2 + count]]
    known = [None if kind is None else Type(kind, None) for kind in kinds]
    return [*known, *[None] * call.results][: call.results]


_WITH_BODIES: dict[str, Callable[[Table, Call], list[Type | None]]] = {"If": _of_branches, "Loop": _of_loop}
