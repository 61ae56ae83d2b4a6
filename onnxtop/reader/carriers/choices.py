"""What an index that changes with the input takes from a table: rows, entries, one of several matrices."""

from collections.abc import Iterable

import numpy as np

from onnxtop.reader.carriers.shapes import Setting, Shapes
from onnxtop.reader.declared import Shape
from onnxtop.reader.model import Node, Value
from onnxtop.reader.ops.tables import LOOKUPS


def is_lookup(node: Node, shapes: Shapes) -> bool:
    """Tell whether a node takes entries by an index that is not the same for all inputs."""
    if (node.domain, node.op_type) not in LOOKUPS or len(node.inputs) < 2:
        return False
    table, index = node.inputs[:2]
    if table is None or index is None or index in shapes.constants:
        return False
    return shapes.setting(index) is None


def is_choice(node: Node, shapes: Shapes) -> bool:
    """Tell whether a node chooses from matrices: experts, as a mixture of them calls these."""
    return is_lookup(node, shapes) and len(_table(node, shapes)) >= 3


def choice_count(node: Node, shapes: Shapes) -> int:
    """Return how many matrices a lookup chooses from, 0 if that cannot be told."""
    table, index = _table(node, shapes), shapes.dims(node.inputs[1]) if node.inputs[1] else None
    attributes = node.attributes()
    by_row = node.op_type == "GatherND"
    if index is None or attributes.get("batch_dims", 0) or (by_row and index[-1:] != (1,)):
        return 0
    if node.op_type == "GatherElements":
        return 0  # each entry is chosen for itself
    axis = 0 if by_row else attributes.get("axis", 0)
    return (table[axis] or 0) if -len(table) <= axis < len(table) else 0


def choosing(entry: int, choices: Iterable[Node], shapes: Shapes) -> dict[Value, Setting]:
    """Return the index that makes several nodes choose one matrix."""
    indices = {value: shapes.dims(value) for node in choices if (value := node.inputs[1])}
    return {value: np.full((1,) * len(dims or ()), entry, np.int64) for value, dims in indices.items()}


def _table(node: Node, shapes: Shapes) -> Shape:
    value = node.inputs[0]
    return (value is not None and shapes.dims(value)) or ()
