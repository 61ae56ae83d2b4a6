"""One operation that is to become a term, and the same as a node that ONNX's own tools take."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import AttributeProto, NodeProto, SparseTensorProto, TensorProto, helper, numpy_helper

from onnxtop.reader.model import Node, Value
from onnxtop.reader.schemas import schema
from onnxtop.reader.tensors import TensorFiles
from onnxtop.reader.terms.constant import Constant, stored

NEWEST = onnx.defs.onnx_opset_version()

MARK = "#"
"""Begins the names of attributes that are ours: what else an operation is told apart by."""


@dataclass(frozen=True)
class Encoded:
    """An attribute that nothing here looks into, as it is written."""

    content: bytes


@dataclass(frozen=True, eq=False)
class Call:
    """An operation (its domain before a dot, unless it is ONNX's), attributes, operands, opset, results."""

    op: str
    attributes: Mapping[str, Any]
    operands: tuple[int | None, ...]
    opset: int = NEWEST
    results: int = 1

    @property
    def is_standard(self) -> bool:
        """Whether ONNX's own domain defines the operation."""
        return "." not in self.op

    def get(self, name: str, default: Any = None) -> Any:
        """Return an attribute."""
        return self.attributes.get(name, default)

    def operand(self, place: int) -> int | None:
        """Return an operand, None where it is left out."""
        return self.operands[place] if place < len(self.operands) else None


def attribute_value(attribute: AttributeProto, files: TensorFiles) -> Any:
    """Return what an attribute holds, as a value that `repr` tells apart; a tensor as a Constant."""
    try:
        if attribute.type == AttributeProto.TENSOR:
            return _tensor(attribute.t, files)
        if attribute.type == AttributeProto.SPARSE_TENSOR:
            return _tensor(files.register_sparse(attribute.sparse_tensor), files)
    except ValueError:  # no data, or of an unknown type
        return Encoded(attribute.SerializeToString(deterministic=True))
    if attribute.type == AttributeProto.UNDEFINED:
        return Encoded(attribute.SerializeToString(deterministic=True))
    value = helper.get_attribute_value(attribute)
    if isinstance(value, int | float | bytes):
        return value
    items = list(value) if attribute.type in _LISTS else None
    return Encoded(attribute.SerializeToString(deterministic=True)) if items is None else tuple(items)


_LISTS = (AttributeProto.FLOATS, AttributeProto.INTS, AttributeProto.STRINGS)


def _tensor(tensor: TensorProto | SparseTensorProto, files: TensorFiles) -> Constant:
    assert isinstance(tensor, TensorProto)
    return stored(files, tensor)


def proto_of(call: Call) -> NodeProto:
    """Return the operation as a node, with those of its attributes that its opset has."""
    domain, _, op_type = call.op.rpartition(".")
    is_known = call.is_standard and onnx.defs.has(op_type)
    known = schema(op_type, call.opset).attributes if is_known else {}
    proto = NodeProto(op_type=op_type, domain=domain)
    proto.input.extend("" if item is None else f"v{item}" for item in call.operands)
    proto.output.extend(f"r{place}" for place in range(call.results))
    for name, value in call.attributes.items():
        if not name.startswith(MARK) and (name in known or not is_known):
            proto.attribute.append(_attribute(name, value, known))
    if call.op == "Split" and len(call.operands) < 2 and "num_outputs" in known:
        proto.attribute.append(helper.make_attribute("num_outputs", call.results))
    return proto


def _attribute(name: str, value: Any, known: Mapping[str, Any]) -> AttributeProto:
    if isinstance(value, Encoded):
        return AttributeProto.FromString(value.content)
    if isinstance(value, Constant):
        return helper.make_attribute(name, numpy_helper.from_array(np.array(value.read())))
    kind = known[name].type if name in known else AttributeProto.INTS
    return helper.make_attribute(
        name, list(value) if isinstance(value, tuple) else value, attr_type=int(getattr(kind, "value", kind))
    )


def node_of(call: Call) -> Node:
    """Return the operation as the reader's node, for what evaluates such."""
    proto = proto_of(call)
    outputs = tuple(Value(-1 - place, name) for place, name in enumerate(proto.output))
    inputs: Sequence[None] = (None,) * len(call.operands)
    return Node(-1, -1, "", proto.op_type, proto.domain, tuple(inputs), outputs, proto, proto)
