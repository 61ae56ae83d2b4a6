"""Operations of the ONNX standard on constant arrays.

Movement is done by views, so that a weight costs no memory beyond its own; decoding follows the runtime's
arithmetic; all else is left to onnx's reference operations, but for those that are slow or wrong there (see
`forms`) and for what is not heeded there (see `reference`). What an operation costs is told before it runs
(see `bounds`).
"""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import ml_dtypes
import numpy as np
import onnx
from numpy.typing import NDArray

from onnxtop.reader.bounds import EvaluationBudget, cost
from onnxtop.reader.dequantize import (
    affine,
    bipolar,
    blocked,
    check_scale,
    float_quant,
    integer_quant,
    truncated,
)
from onnxtop.reader.earlier import Today, today
from onnxtop.reader.forms import MOVEMENT, OWN
from onnxtop.reader.model import Node
from onnxtop.reader.reference import referred

Array = NDArray[Any]

_SHAPE_INPUT = {"Expand": 1, "Reshape": 1, "Tile": 1}
QONNX = ("qonnx.custom_op.general", "onnx.brevitas", "finn.custom_op.general")


def is_decoder(node: Node) -> bool:
    """Tell whether a node turns codes, or values to be rounded, into weights."""
    if node.op_type in ("DequantizeLinear", "QuantizeLinear"):
        return node.domain == ""
    return node.op_type in _DECODERS and node.domain in QONNX


def is_computed(node: Node) -> bool:
    """Tell whether a node's results follow from its inputs alone, and so are constant where they are.

    Any operation of the ONNX standard is; not what holds a graph of its own (If, Loop, Scan), what is random,
    what takes no input, nor what another domain defines.
    """
    if not node.inputs or is_decoder(node):
        return bool(node.inputs)
    return node.domain == "" and _is_standard(node.op_type) and node.attributes().get("is_test", 1) != 0


@cache
def _is_standard(op_type: str) -> bool:
    """Tell a function of its inputs among the operations of the standard: random ones have a seed."""
    if not onnx.defs.has(op_type):
        return False
    attributes = onnx.defs.get_schema(op_type).attributes
    bodies = (onnx.defs.OpSchema.AttrType.GRAPH, onnx.defs.OpSchema.AttrType.GRAPHS)
    random = "seed" in attributes and op_type != "Dropout"  # which is random in training only
    return not random and all(item.type not in bodies for item in attributes.values())


def keeps_elements(node: Node) -> bool:
    """Tell whether a node's result holds each element of its first input once, moved, cast or decoded."""
    return (
        bool(node.inputs)
        and node.inputs[0] is not None
        and ((node.domain == "" and node.op_type in (*MOVEMENT, "Cast", "CastLike")) or is_decoder(node))
    )


def run(
    node: Node, inputs: Sequence[Array | None], opset: int, budget: EvaluationBudget | None = None
) -> list[Array]:
    """Compute a node's results; raises whatever NumPy or onnx raises where the inputs do not fit.

    What it costs is taken off the budget before it runs, if there is one.
    """
    call = today(node, inputs, opset)
    _check(call)
    if budget is not None:
        budget.spend(cost(call))
    with np.errstate(all="ignore"):  # infinities and NaN are what the runtime makes of them, too
        results = _computed(node, call, budget)
    if call.shape is not None:
        results[0] = results[0].reshape(call.shape)
    return results


def _check(call: Today) -> None:
    """Refuse operands that NumPy or onnx would take for what they are not."""
    op_type, arrays = call.proto.op_type, [array for array in call.inputs if array is not None]
    if any(array is None for array in call.inputs[: _least(op_type)]):
        raise ValueError(f"an operand that {op_type} needs is left out")
    if any(array.dtype.kind in "OSU" for array in arrays) or _casts_to_text(call.proto):
        raise ValueError("text is no weight")
    place = _SHAPE_INPUT.get(op_type, len(call.inputs))
    shape = call.inputs[place] if place < len(call.inputs) else None
    if shape is not None and (shape.ndim != 1 or shape.dtype.kind != "i"):
        raise ValueError(f"{shape.dtype} of {shape.ndim} axes is no shape")
    divides = op_type in ("Div", "Mod") and len(arrays) == 2 and arrays[1].dtype.kind in "iu"
    if divides and not arrays[1].all():
        raise ZeroDivisionError("an integer is divided by zero")


@cache
def _least(op_type: str) -> int:
    """Return how many operands an operation of the standard has at least: its first ones."""
    return int(onnx.defs.get_schema(op_type).min_input) if onnx.defs.has(op_type) else 0


def _casts_to_text(proto: onnx.NodeProto) -> bool:
    return proto.op_type == "Cast" and any(
        item.name == "to" and item.i == onnx.TensorProto.STRING for item in proto.attribute
    )


def _computed(node: Node, call: Today, budget: EvaluationBudget | None) -> list[Array]:
    attributes = {item.name: onnx.helper.get_attribute_value(item) for item in call.proto.attribute}
    if is_decoder(node) and node.op_type in _DECODERS:
        return [_DECODERS[node.op_type](call.inputs, attributes)]
    if not node.domain and _is_own(call, attributes):
        made = OWN[call.proto.op_type](*call.inputs, **attributes)
        results = made if isinstance(made, list) else [made]
        return [result for name, result in zip(call.proto.output, results, strict=False) if name]
    return referred(call, attributes, budget)


def _is_own(call: Today, attributes: dict[str, Any]) -> bool:
    """Tell whether a node is computed here: movement, or NumPy's own types throughout."""
    op_type = call.proto.op_type
    if op_type not in OWN:
        return False
    if op_type in MOVEMENT or op_type in ("Slice", "Split", "Dropout"):
        return True
    kinds = [array.dtype for array in call.inputs if array is not None]
    if op_type == "Cast":
        kinds.append(onnx.helper.tensor_dtype_to_np_dtype(attributes["to"]))
    return len(kinds) >= len(call.inputs) - (op_type == "Pad") and all(kind.kind in "iufb" for kind in kinds)


# Decoding, with the arithmetic of the runtime.


def decoded_type(
    node: Node, inputs: Sequence[Array | None], opset: int, budget: EvaluationBudget
) -> np.dtype[Any] | None:
    """Return the type of what a DequantizeLinear gives, None for any other node; no code is looked at.

    Raises whatever computing it would raise: only shapes and types can be amiss.
    """
    call = today(node, inputs, opset)
    if (node.domain, call.proto.op_type) != ("", "DequantizeLinear") or call.shape is not None:
        return None
    _check(call)
    budget.spend(cost(call))
    return _decoded_type(call.inputs, node.attributes())


def _decoded_type(inputs: Sequence[Any], attributes: dict[str, Any]) -> np.dtype[Any]:
    codes, scale, *rest = inputs
    zero_point = rest[0] if rest else None
    check_scale(codes, scale, zero_point, attributes.get("axis", 1), attributes.get("block_size", 0))
    kind = attributes.get("output_dtype", 0)
    dtype: np.dtype[Any] = onnx.helper.tensor_dtype_to_np_dtype(kind) if kind else scale.dtype
    if dtype == ml_dtypes.float8_e8m0fnu:
        raise ValueError(f"a result of type {dtype}, which has no sign")
    return dtype


def _dequantize(inputs: Sequence[Any], attributes: dict[str, Any]) -> Array:
    codes, scale, *rest = inputs
    zero_point = rest[0] if rest else None
    axis, block_size = attributes.get("axis", 1), attributes.get("block_size", 0)
    dtype = _decoded_type(inputs, attributes)
    if block_size:
        return blocked(codes, scale, zero_point, axis, block_size, dtype)
    return affine(codes, scale, zero_point, axis, dtype)


def _options(attributes: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: attributes[name] for name in names if name in attributes}


def _quant(inputs: Sequence[Any], attributes: dict[str, Any]) -> Array:
    return integer_quant(*inputs, **_options(attributes, "signed", "narrow", "rounding_mode"))


def _bipolar(inputs: Sequence[Any], _: dict[str, Any]) -> Array:
    return bipolar(*inputs)


def _float_quant(inputs: Sequence[Any], attributes: dict[str, Any]) -> Array:
    return float_quant(*inputs, **_options(attributes, "rounding_mode", "saturation", "has_inf"))


def _trunc(inputs: Sequence[Any], attributes: dict[str, Any]) -> Array:
    return truncated(*inputs, **_options(attributes, "rounding_mode"))


_DECODERS: dict[str, Callable[[Sequence[Any], dict[str, Any]], Array]] = {
    "DequantizeLinear": _dequantize,
    "Quant": _quant,
    "IntQuant": _quant,
    "BipolarQuant": _bipolar,
    "FloatQuant": _float_quant,
    "Trunc": _trunc,
}
