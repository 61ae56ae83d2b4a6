"""Of which type the elements of a value are, as far as the file, or ONNX, tells without computing it."""

from dataclasses import dataclass
from functools import cached_property

import onnx
from onnx import TensorProto

from onnxtop.reader.model import Model, Node, Value


@dataclass
class ElementTypes:
    """The element types of the values of a model."""

    model: Model

    @cached_property
    def _declared(self) -> dict[Value, int]:
        """Element types that the file declares for values of the main graph."""
        graph, model = self.model.proto.graph, self.model
        kinds = {item.name: item.type.tensor_type.elem_type for item in (*graph.input, *graph.value_info)}
        values = (*model.inputs, *(output for node in model.scope.nodes for output in node.outputs))
        return {value: kinds[value.name] for value in values if kinds.get(value.name)}

    def of(self, value: Value) -> int:
        """Return the element type of any value, 0 where neither the file nor what made it tells."""
        seen: set[Value] = set()
        while value not in seen:
            seen.add(value)
            if value in self.model.tensors:
                return self.model.tensors[value].data_type
            if value in self._declared:
                return self._declared[value]
            node = self.model.producers.get(value)
            if node is not None and node.op_type == "Cast":
                return int(node.attributes().get("to", 0))
            source = self.model.carried.get(value) if node is None else _typed_like(node, value)
            value = value if source is None else source
        return TensorProto.UNDEFINED


def _typed_like(node: Node, value: Value) -> Value | None:
    """Return an operand that has the type of a node's result; None where no operand need have it."""
    if node.domain or not onnx.defs.has(node.op_type):
        return None
    schema = onnx.defs.get_schema(node.op_type)
    result = schema.outputs[min(node.outputs.index(value), len(schema.outputs) - 1)].type_str
    for place, item in enumerate(node.inputs):
        if item is not None and schema.inputs[min(place, len(schema.inputs) - 1)].type_str == result:
            return item
    return None
