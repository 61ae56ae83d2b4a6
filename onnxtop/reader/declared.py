"""What a model declares of its inputs and outputs: names, types and shapes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from onnx import TensorProto, TypeProto, ValueInfoProto, helper

from onnxtop.reader.tensors import dtype_name
from onnxtop.reader.terms.facts import Port

if TYPE_CHECKING:
    from onnxtop.reader.model import Model  # loads half of the reader: not for what only runs models

Shape = tuple[int | None, ...]
"""Sizes, None for one that is open."""


@dataclass(frozen=True)
class Declared:
    """An input or output as a model declares it; open sizes are None, ``names`` what they are called.

    ``kind`` is the whole type of what is no tensor.
    """

    name: str
    data_type: int
    shape: Shape | None
    names: tuple[str, ...] = ()
    kind: str = ""

    @property
    def dtype(self) -> np.dtype[np.generic] | None:
        """The element type, None for what is no tensor."""
        known = self.data_type in TensorProto.DataType.values() and self.data_type
        return helper.tensor_dtype_to_np_dtype(self.data_type) if known else None

    @property
    def array_type(self) -> np.dtype[np.generic]:
        """The type of its arrays: of Python's objects for what is no tensor."""
        return np.dtype(object) if self.dtype is None else self.dtype

    @property
    def type(self) -> str:
        """What ONNX calls the type of the elements; the whole type of what is no tensor."""
        known = self.data_type in TensorProto.DataType.values() and self.data_type
        return TensorProto.DataType.Name(self.data_type) if known else self.kind or str(self.data_type)

    @property
    def port(self) -> Port:
        """The same as a report has it: open sizes by their names."""
        sizes = None if self.shape is None else zip(self.shape, self.names, strict=True)
        shape = None if sizes is None else tuple(name if size is None else size for size, name in sizes)
        return Port(self.name, self.type, shape)

    @staticmethod
    def of(name: str, type_: str, shape: Sequence[int | str] | None) -> "Declared":
        """Return what was declared so, open sizes by their names."""
        known = type_ in TensorProto.DataType.keys()  # noqa: SIM118 (no mapping)
        data_type = TensorProto.DataType.Value(type_) if known else TensorProto.UNDEFINED
        sizes = None if shape is None else tuple(size if isinstance(size, int) else None for size in shape)
        names = tuple("" if isinstance(size, int) else size for size in shape or ())
        return Declared(name, data_type, sizes, names, "" if known else type_)

    def __str__(self) -> str:
        if not self.data_type:
            return f"no tensor ({self.kind})"
        if self.shape is None:
            return dtype_name(self.data_type)
        sizes = (
            name or "?" if size is None else str(size)
            for size, name in zip(self.shape, self.names, strict=True)
        )
        return f"{dtype_name(self.data_type)}[{', '.join(sizes)}]"


def inputs_of(model: "Model") -> tuple[Declared, ...]:
    """Return the inputs that a model has to be given."""
    wanted = {value.name for value in model.inputs}
    return tuple(_declared(item) for item in model.proto.graph.input if item.name in wanted)


def outputs_of(model: "Model") -> tuple[Declared, ...]:
    """Return the outputs."""
    return tuple(map(_declared, model.proto.graph.output))


def shape_of(kind: TypeProto) -> Shape | None:
    """Return the shape of a tensor of this type, None if it is not declared or this is none."""
    if not kind.HasField("tensor_type") or not kind.tensor_type.HasField("shape"):
        return None
    return tuple(dim.dim_value if dim.dim_value > 0 else None for dim in kind.tensor_type.shape.dim)


def _declared(item: ValueInfoProto) -> Declared:
    tensor = item.type.tensor_type
    if not item.type.HasField("tensor_type") or not tensor.elem_type:
        return Declared(item.name, TensorProto.UNDEFINED, None, kind=" ".join(str(item.type).split()))
    names = tuple(
        "0" if dim.HasField("dim_value") and not dim.dim_value else dim.dim_param for dim in tensor.shape.dim
    )  # onnxruntime takes no other size there
    return Declared(item.name, tensor.elem_type, shape_of(item.type), names)
