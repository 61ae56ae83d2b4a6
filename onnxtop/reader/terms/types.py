"""Types of results, inferred by ONNX while terms are made: what a file declares is not believed."""

import onnx
from onnx import TypeProto, helper

from onnxtop.reader.bounds import infer
from onnxtop.reader.terms.call import Call, proto_of
from onnxtop.reader.terms.constant import Array, Shape
from onnxtop.reader.terms.table import Table, Type

_TOLD = 2**12
"""Constants of so many elements may tell a shape."""


def types_of(table: Table, call: Call) -> list[Type | None]:
    """Return the types of an operation's results, None for what cannot be told."""
    unknown: list[Type | None] = [None] * call.results
    if not call.is_standard or any(
        item is not None and table.terms[item].type is None for item in call.operands
    ):
        return unknown
    operands = [_operand(table, item) for item in call.operands]
    try:
        answers = infer(proto_of(call), operands, call.opset)
    except Exception:  # bare C++ errors for what does not fit, and for operations that are not known
        return unknown
    return [_type(answers.get(f"r{place}")) for place in range(call.results)]


def _operand(table: Table, item: int | None) -> tuple[Shape | None, int, Array | None]:
    kind = None if item is None else table.terms[item].type
    if kind is None:
        return None, onnx.TensorProto.UNDEFINED, None
    held = table.held(item)
    array = held.read() if held is not None and held.size < _TOLD else None
    return kind.shape, helper.np_dtype_to_tensor_dtype(kind.dtype), array


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
