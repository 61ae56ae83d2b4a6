"""What ONNX calls an operation's operands."""

import onnx

_SAY_NOTHING = frozenset(["A", "B", "X", "Y", "T", "data", "input", "input1", "input2", "tensor"])


def operand_name(op: str, place: int) -> str:
    """Return the name that ONNX gives to an operand, or its number where it gives none.

    >>> operand_name("BatchNormalization", 3), operand_name("Conv", 1), operand_name("Concat", 1)
    ('input_mean', 'W', '1')
    """
    if place < 0 or not onnx.defs.has(op):
        return "" if place < 0 else str(place)
    inputs = onnx.defs.get_schema(op).inputs
    return inputs[place].name if place < len(inputs) else str(place)
