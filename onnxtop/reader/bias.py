"""The bias of a product that has none of its own: the constant vector that is added to its result next."""

from onnxtop.reader.constants import Constants, UnreadableConstantError
from onnxtop.reader.earlier import second_shape
from onnxtop.reader.forms import MOVEMENT
from onnxtop.reader.model import Model, Node
from onnxtop.reader.reading import Bias, Reading, runs_along

_ALIKE = frozenset({"Cast", "DequantizeLinear", "Identity", "QuantizeLinear"})
"""Operations that leave a result what it is; those of quantisation stand between all others."""


def added_bias(node: Node, reading: Reading, n_out: int, model: Model, constants: Constants) -> Bias | None:
    """Find the constant vector that is added to the node's result next, along its outputs."""
    value = node.outputs[0]
    axis: int | None = reading.output_axis
    while axis is not None:
        uses = model.users.get(value, ())
        if len(uses) != 1 or value in model.results:
            return None
        user, position = uses[0].node, uses[0].position
        if (user.domain, user.op_type) == ("", "Add") and len(user.inputs) == 2:
            return _vector(user, 1 - position, n_out, axis, constants)
        integer = node.op_type in ("MatMulInteger", "ConvInteger")
        axis = _axis_behind(user, position, axis, through_scales=integer)
        value = user.outputs[0]
    return None


def _axis_behind(node: Node, position: int, axis: int, *, through_scales: bool) -> int | None:
    """Return where an axis of a node's input is in its result, both from the end; None if that is unknown."""
    if node.domain or (position and node.op_type != "Mul"):
        return None
    if node.op_type in _ALIKE or (node.op_type in ("Div", "Mul") and through_scales):
        return axis
    if node.op_type == "Transpose":
        order = node.attributes().get("perm") or ()
        place = len(order) + axis
        return order.index(place) - len(order) if place in order else None
    return axis if node.op_type in MOVEMENT and axis == -1 else None


def _vector(node: Node, position: int, n_out: int, axis: int, constants: Constants) -> Bias | None:
    """Return the bias if it holds one number an output, along that axis."""
    value = node.inputs[position]
    if value is None or value not in constants:
        return None
    try:
        shape = constants.shape(value)
    except UnreadableConstantError:
        return None
    if position == 1:  # the result has two axes, or those of a convolution, whose second one it is
        shape = second_shape(node, max(2, 1 - axis), shape)
    fits = runs_along(shape, axis) and len(shape) >= -axis and shape[axis] == n_out
    return Bias.of(value) if fits or (n_out == 1 and set(shape) <= {1}) else None
