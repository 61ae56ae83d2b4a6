"""Operations on codes: what the reader decodes is what the runtime's own kernel multiplies by."""

from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

from onnxtop.auditing.story import audit
from onnxtop.reader import evaluate
from onnxtop.reader.dequantize import affine
from onnxtop.reader.layer import Layer, Skipped
from tests.models import MICROSOFT, layers_of, model, node, only_layer, only_skipped, save, weights
from tests.reader.extraction import run
from tests.reader.quantised_models import codes, newest, scales

Array = np.ndarray[Any, Any]
EIGHT = ("INT8", "UINT8")


def _answer(proto: ModelProto, **feeds: Array) -> Array:
    return run(proto, feeds)[0]


def _typed(proto: ModelProto, **types: int) -> ModelProto:
    """Give inputs and outputs of a model their types."""
    for value in (*proto.graph.input, *proto.graph.output):
        if value.name in types:
            value.type.tensor_type.elem_type = types[value.name]
    return proto


def _units(n: int) -> Array:
    """Return unit vectors as codes: with scale 1 and zero point 0 they are what they say."""
    return np.eye(n, dtype=np.uint8)


# QLinearMatMul, QLinearConv, QGemm: the answer is in codes too, so its scale is chosen to make it exact.


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("kind", EIGHT)
@pytest.mark.parametrize("zero_point", [False, True])
def test_qlinear_matmul(tmp_path: Path, side: str, kind: str, zero_point: bool) -> None:
    """A unit input of 1 and an answer in units of the weight's scale: codes minus zero point."""
    shape = (4, 6) if side == "left" else (6, 4)
    q = codes(kind, *shape)
    zero = np.array(3 if zero_point else 0, numpy_helper.to_array(q).dtype)
    q = numpy_helper.from_array((numpy_helper.to_array(q) // 4 + zero).astype(zero.dtype), "q")
    s, one, none = np.float32(0.375), np.float32(1), np.uint8(0)
    middle = np.array(100, np.uint8)
    order = "q s z x one none s mid" if side == "left" else "x one none q s z s mid"
    signed = side == "left" and kind == "INT8"  # the runtime wants signed codes on the right then
    if signed:
        none, middle = np.int8(0), np.array(100 - 128, np.int8)
    held = {"q": q, "s": s, "z": zero, "one": one, "none": none, "mid": middle}
    element = TensorProto.INT8 if signed else TensorProto.UINT8
    proto = _typed(model([node("QLinearMatMul", order)], held), x=element, y=element)
    answers = (_answer(proto, x=_units(6).astype(none.dtype)).astype(np.float32) - middle) * s
    layer = only_layer(save(proto, tmp_path))
    assert str(layer.encoding) == f"{kind.lower()} per-tensor"
    assert (layer.n_in, layer.n_out, layer.weight) == (6, 4, "q")
    np.testing.assert_array_equal(layer.matrix(), answers.T if side == "left" else answers)


@pytest.mark.parametrize("side", ["left", "right"])
def test_qlinear_matmul_by_row_or_column(tmp_path: Path, side: str) -> None:
    """A scale a row on the left, a scale a column on the right: both are the outputs."""
    q = codes("INT8", *((4, 4)))
    s, z = scales(4), np.array([1, -2, 3, 0], np.int8)
    order = "q s z x one none t none" if side == "left" else "x one none q s z t none"
    held = {"q": q, "s": s, "z": z, "one": np.float32(1), "none": np.uint8(0), "t": np.float32(1)}
    proto = _typed(model([node("QLinearMatMul", order)], held), x=TensorProto.UINT8, y=TensorProto.UINT8)
    layer = only_layer(save(proto, tmp_path))
    assert str(layer.encoding) == "int8 per-channel"
    centred = numpy_helper.to_array(q).astype(np.float32)
    if side == "left":
        np.testing.assert_array_equal(layer.matrix(), ((centred - z[:, None]) * s[:, None]).T)
    else:
        np.testing.assert_array_equal(layer.matrix(), (centred - z) * s)


def test_qlinear_matmul_by_column_in_the_runtime(tmp_path: Path) -> None:
    """One column at a time the answer can be made exact: in units of that column's scale."""
    q, s = codes("INT8", 6, 4), scales(4)
    held = {"q": q, "s": s, "z": np.zeros(4, np.int8), "one": np.float32(1), "none": np.uint8(0)}
    nodes = [node("QLinearMatMul", "x one none q s z t mid")]
    columns = []
    for column in range(4):
        more = {"t": s[column], "mid": np.array(128, np.uint8)}
        proto = _typed(model(nodes, {**held, **more}), x=TensorProto.UINT8, y=TensorProto.UINT8)
        columns.append((_answer(proto, x=_units(6))[:, column].astype(np.float32) - 128) * s[column])
    layer = only_layer(save(proto, tmp_path))
    np.testing.assert_array_equal(layer.matrix(), np.array(columns).T)


def test_qlinear_matmul_of_small_floats_and_of_a_batch(tmp_path: Path) -> None:
    held = {
        "q": codes("INT8", 3, 6, 4),
        "s": np.float32(0.5),
        "z": np.int8(2),
        "one": np.float32(1),
        "none": np.uint8(0),
    }
    proto = model([node("QLinearMatMul", "x one none q s z one none")], held)
    blocks = only_layer(save(proto, tmp_path)).blocks()
    wanted = (numpy_helper.to_array(held["q"]).astype(np.float32) - 2) / 2
    np.testing.assert_array_equal(np.array(blocks), wanted)


@pytest.mark.parametrize("group", [1, 2])
@pytest.mark.parametrize("kind", EIGHT)
@pytest.mark.parametrize("per_channel", [False, True])
def test_qlinear_conv(tmp_path: Path, group: int, kind: str, per_channel: bool) -> None:
    """Each channel is answered in units of its own scale; the bias is in units of both scales."""
    q = codes(kind, 4, 2 // group, 2, 3)
    q = numpy_helper.from_array(numpy_helper.to_array(q) // 3, "q")
    s = scales(4) if per_channel else np.full(4, 0.375, np.float32)
    z = np.zeros(4 if per_channel else (), numpy_helper.to_array(q).dtype)
    if kind == "UINT8":  # the runtime wants zero points of one value
        z += 7
    held = {
        "q": q,
        "s": s if per_channel else s[0],
        "z": z,
        "one": np.float32(0.5),
        "none": np.uint8(0),
        "b": np.array([5, -3, 0, 9], np.int32),
    }
    answers = []
    for channel in range(4):
        more = {"t": s[channel] / 2, "mid": np.array(100, np.uint8)}
        nodes = [node("QLinearConv", "x one none q s z t mid b", group=group)]
        proto = _typed(model(nodes, {**held, **more}), x=TensorProto.UINT8, y=TensorProto.UINT8)
        y = _answer(proto, x=_units(12).reshape(12, 2, 2, 3))[:, channel, 0, 0].astype(np.float32)
        empty = _answer(proto, x=np.zeros((1, 2, 2, 3), np.uint8))[0, channel, 0, 0].astype(np.float32)
        answers.append((y - empty) * s[channel])
    layer = only_layer(save(proto, tmp_path))
    assert str(layer.encoding) == f"{kind.lower()} {'per-channel' if per_channel else 'per-tensor'}"
    whole = np.zeros((12, 4), np.float32)
    for number, block in enumerate(layer.blocks()):
        rows, columns = block.shape
        whole[number * rows : (number + 1) * rows, number * columns : (number + 1) * columns] = block
    np.testing.assert_array_equal(whole, np.array(answers).T)
    np.testing.assert_array_equal(layer.bias(), held["b"] * (0.5 * s).astype(np.float64))


@pytest.mark.parametrize("trans", [0, 1])
@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("kind", EIGHT)
def test_qgemm(tmp_path: Path, kind: str, per_channel: bool, trans: int) -> None:
    """Without an output scale the answer is a float."""
    q = codes(kind, *((4, 6) if trans else (6, 4)))
    s = scales(4) if per_channel else np.float32(0.375)
    z = codes(kind, 4, seed=1) if per_channel else codes(kind, seed=1)
    held = {
        "q": q,
        "s": s,
        "z": z,
        "one": np.float32(0.5),
        "none": np.uint8(0),
        "b": np.array([5, -3, 0, 9], np.int32),
    }
    nodes = [node(f"{MICROSOFT}.QGemm", "x one none q s z b", alpha=0.5, transB=trans)]
    proto = _typed(model(nodes, held), x=TensorProto.UINT8)
    layer = only_layer(save(proto, tmp_path))
    answers, bias = _answer(proto, x=_units(6)), _answer(proto, x=np.zeros((1, 6), np.uint8))
    np.testing.assert_array_equal(layer.matrix() * np.float32(0.5), answers - bias)
    np.testing.assert_array_equal(layer.bias(), bias.ravel())


# MatMulInteger and ConvInteger: the scale stands somewhere behind.


def _dynamic(
    *behind: Any, kind: str = "INT8", more: dict[str, Any], shape: Sequence[int] = (6, 4)
) -> ModelProto:
    """Return a product of codes and what stands behind it; the activation's scale is ``xs``."""
    nodes = [
        node("DynamicQuantizeLinear", "x", "xq xs xz"),
        node("MatMulInteger", "xq q xz z", "i"),
        node("Cast", "i", "f", to=1),
        *behind,
    ]
    z = codes(kind, seed=1)
    return model(nodes, {"q": codes(kind, *shape), "z": z, **more})


def _by_hand(proto: ModelProto, scale: Array | float) -> Array:
    held = {tensor.name: numpy_helper.to_array(tensor) for tensor in proto.graph.initializer}
    return ((held["q"].astype(np.float32) - held["z"].astype(np.float32)) * scale).astype(np.float32)


DIVISORS = np.array([0.5, 4, 0.25, 2], np.float32)

LATER: dict[str, tuple[list[Any], dict[str, Any], Any]] = {
    "product of scales": (
        [node("Mul", "xs s", "xws"), node("Mul", "f xws")],
        {"s": np.float32(0.375)},
        0.375,
    ),
    "product the other way": (
        [node("Mul", "s xs", "xws"), node("Mul", "xws f")],
        {"s": np.float32(0.375)},
        0.375,
    ),
    "two Muls": ([node("Mul", "f xs", "g"), node("Mul", "g s")], {"s": np.float32(0.375)}, 0.375),
    "two Muls, weight first": (
        [node("Mul", "f s", "g"), node("Mul", "g xs")],
        {"s": np.float32(0.375)},
        0.375,
    ),
    "a scale a column": ([node("Mul", "xs s", "xws"), node("Mul", "f xws")], {"s": scales(4)}, scales(4)),
    "a row of scales": (
        [node("Mul", "xs s", "xws"), node("Mul", "f xws")],
        {"s": scales(4)[None]},
        scales(4),
    ),
    "a bias behind": (
        [node("Mul", "xs s", "xws"), node("Mul", "f xws", "g"), node("Add", "g b")],
        {"s": scales(4), "b": weights(4)},
        scales(4),
    ),
    "a bias between": (
        [node("Mul", "xs s", "xws"), node("Add", "f b", "g"), node("Mul", "g xws")],
        {"s": scales(4), "b": weights(4)},
        scales(4),
    ),
    "a gate behind": (
        [
            node("Mul", "xs s", "xws"),
            node("Mul", "f xws", "g"),
            node("Sigmoid", "g", "h"),
            node("Mul", "g h"),
        ],
        {"s": scales(4)},
        scales(4),
    ),
    "a factor behind that is no scale": (
        [node("Mul", "xs s", "xws"), node("Mul", "f xws", "g"), node("Mul", "g eighth")],
        {"s": scales(4), "eighth": np.float32(0.125)},
        scales(4),
    ),
    "a factor behind the bias": (
        [
            node("Mul", "xs s", "xws"),
            node("Mul", "f xws", "g"),
            node("Add", "g b", "h"),
            node("Mul", "h eighth"),
        ],
        {"s": scales(4), "b": weights(4), "eighth": np.float32(0.125)},
        scales(4),
    ),
    "a division": ([node("Div", "f s")], {"s": np.float32(0.5)}, 2.0),
    "a division a column": (
        [node("Mul", "f xs", "g"), node("Div", "g s")],
        {"s": DIVISORS},
        1 / DIVISORS,
    ),
    "a quotient of scales": (
        [node("Div", "xs s", "xws"), node("Mul", "f xws")],
        {"s": DIVISORS},
        1 / DIVISORS,
    ),
    "a division by a quotient": (
        [node("Mul", "f xs", "g"), node("Div", "one s", "w"), node("Div", "g w")],
        {"s": scales(4), "one": np.float32(1)},
        scales(4),
    ),
    "one number behind any movement": (
        [node("Transpose", "f", "t", perm=[1, 0]), node("Mul", "t xs", "g"), node("Mul", "g s")],
        {"s": np.float32(0.375)},
        0.375,
    ),
    "a scale a column behind a Reshape": (
        [node("Reshape", "f sizes", "t"), node("Mul", "t xs", "g"), node("Mul", "g s")],
        {"s": scales(4).reshape(2, 2), "sizes": np.array([-1, 2, 2])},
        scales(4),
    ),
    "a division a column behind a Reshape": (
        [node("Reshape", "f sizes", "t"), node("Mul", "t xs", "g"), node("Div", "g s")],
        {"s": DIVISORS.reshape(1, 4, 1), "sizes": np.array([0, 4, 1])},
        1 / DIVISORS,
    ),
    "a product of scales behind a Reshape": (
        [node("Reshape", "f sizes", "t"), node("Mul", "xs s", "xws"), node("Mul", "t xws")],
        {"s": scales(4), "sizes": np.array([1, -1, 4])},
        scales(4),
    ),
}


@pytest.mark.parametrize("kind", EIGHT)
@pytest.mark.parametrize("how", LATER)
def test_a_scale_that_is_applied_later(tmp_path: Path, how: str, kind: str) -> None:
    """The float model that was quantised multiplies by codes times scale; what stands behind is its own."""
    behind, more, scale = LATER[how]
    proto = _dynamic(*behind, kind=kind, more=more)
    layer = only_layer(save(proto, tmp_path))
    np.testing.assert_array_equal(layer.matrix(), _by_hand(proto, scale))
    assert str(layer.encoding) == f"{kind.lower()} {'per-channel' if np.size(scale) > 1 else 'per-tensor'}"


@pytest.mark.parametrize(
    "how",
    [
        *("product of scales", "two Muls", "a scale a column", "a division a column", "a quotient of scales"),
        *("a division by a quotient", "a product of scales behind a Reshape"),
        *("a scale a column behind a Reshape", "a division a column behind a Reshape"),
    ],
)
def test_the_scale_applied_later_in_the_runtime(tmp_path: Path, how: str) -> None:
    """A unit vector is quantised without error, so the answer is the matrix."""
    behind, more, _ = LATER[how]
    proto = _dynamic(*behind, more=more)
    answers = [_answer(proto, x=row[None]).ravel() for row in np.eye(6, dtype=np.float32)]
    np.testing.assert_allclose(only_layer(save(proto, tmp_path)).matrix(), answers, rtol=1e-6)


def test_an_integer_product_with_the_weight_left(tmp_path: Path) -> None:
    nodes = [
        node("DynamicQuantizeLinear", "x", "xq xs xz"),
        node("MatMulInteger", "q xq z xz", "i"),
        node("Cast", "i", "f", to=1),
        node("Mul", "xs s", "xws"),
        node("Mul", "f xws"),
    ]
    held = {"q": codes("UINT8", 4, 6), "z": np.uint8(9), "s": np.float32(0.375)}
    proto = model(nodes, held)
    answers = np.concatenate([_answer(proto, x=row[:, None]).T for row in np.eye(6, dtype=np.float32)])
    np.testing.assert_allclose(only_layer(save(proto, tmp_path)).matrix(), answers, rtol=1e-6)


def test_an_integer_product_with_a_scale_a_row(tmp_path: Path) -> None:
    """Left of the activation the outputs are rows: their scales stand in a column."""
    nodes = [
        node("DynamicQuantizeLinear", "x", "xq xs xz"),
        node("MatMulInteger", "q xq z xz", "i"),
        node("Cast", "i", "f", to=1),
        node("Mul", "xs s", "xws"),
        node("Mul", "f xws"),
    ]
    held = {"q": codes("INT8", 4, 6), "z": np.int8(0), "s": scales(4)[:, None]}
    proto = model(nodes, held)
    answers = np.concatenate([_answer(proto, x=row[:, None]).T for row in np.eye(6, dtype=np.float32)])
    np.testing.assert_allclose(only_layer(save(proto, tmp_path)).matrix(), answers, rtol=1e-6)


@pytest.mark.parametrize("group", [1, 2])
@pytest.mark.parametrize("per_channel", [False, True])
def test_conv_integer(tmp_path: Path, group: int, per_channel: bool) -> None:
    s = scales(4).reshape(1, 4, 1, 1) if per_channel else np.float32(0.375)
    nodes = [
        node("DynamicQuantizeLinear", "x", "xq xs xz"),
        node("ConvInteger", "xq q xz z", "i", group=group),
        node("Cast", "i", "f", to=1),
        node("Mul", "xs s", "xws"),
        node("Mul", "f xws"),
    ]
    held = {"q": codes("UINT8", 4, 2 // group, 2, 3), "z": np.uint8(9), "s": s}
    proto = model(nodes, held)
    units = np.eye(12, dtype=np.float32).reshape(12, 1, 2, 2, 3)
    answers = np.array([_answer(proto, x=unit).ravel() for unit in units])
    layer = only_layer(save(proto, tmp_path))
    whole = np.zeros((12, 4), np.float32)
    for number, block in enumerate(layer.blocks()):
        rows, columns = block.shape
        whole[number * rows : (number + 1) * rows, number * columns : (number + 1) * columns] = block
    np.testing.assert_allclose(whole, answers, rtol=1e-6)


WITHOUT: dict[str, tuple[list[Any], dict[str, Any]]] = {
    "nothing behind": ([], {}),
    "only the activation's": ([node("Mul", "f xs")], {}),
    "two uses": ([node("Mul", "f s"), node("Relu", "f", "r")], {"s": np.float32(0.5)}),
    "behind an activation function": ([node("Relu", "f", "g"), node("Mul", "g s")], {"s": np.float32(0.5)}),
}


@pytest.mark.parametrize("how", WITHOUT)
def test_codes_without_a_scale_are_read_as_codes(tmp_path: Path, how: str) -> None:
    """They are the weights up to one factor, and say so."""
    behind, more = WITHOUT[how]
    proto = _dynamic(*behind, more=more)
    if not behind:
        del proto.graph.output[:]
        proto.graph.output.append(helper.make_tensor_value_info("f", 1, None))
    layer = only_layer(save(proto, tmp_path))
    np.testing.assert_array_equal(layer.matrix(), _by_hand(proto, 1.0))
    assert str(layer.encoding) == "int8 of unknown scale"


def test_integers_that_are_divided_are_cut_off(tmp_path: Path) -> None:
    """What is left of them is no multiple of the weights: a divisor of integers is no scale."""
    nodes = [node("DynamicQuantizeLinear", "x", "xq xs xz"), node("MatMulInteger", "xq q xz", "i")]
    nodes += [node("Div", "i s", "j"), node("Cast", "j", "f", to=1), node("Mul", "f xs")]
    one, each = np.array(3, np.int32), np.array([3, 5, 7, 9], np.int32)
    q = codes("INT8", 6, 4)
    layer = only_layer(save(model(nodes, {"q": q, "s": one}), tmp_path))
    assert str(layer.encoding) == "int8 of unknown scale"
    np.testing.assert_array_equal(layer.matrix(), numpy_helper.to_array(q))
    assert "no scale" in only_skipped(save(model(nodes, {"q": q, "s": each}), tmp_path)).reason


UNEVEN: dict[str, tuple[list[Any], dict[str, Any]]] = {
    "behind a Transpose": (
        [node("Transpose", "f", "t", perm=[1, 0]), node("Mul", "t xs", "g"), node("Mul", "g s")],
        {"s": scales(4)[:, None]},
    ),
    "behind a Reshape to sizes that are computed": (
        [
            *(node("Shape", "x", "n"), node("Mul", "n ones", "sizes"), node("Reshape", "f sizes", "t")),
            *(node("Mul", "t xs", "g"), node("Mul", "g s")),
        ],
        {"s": scales(4), "ones": np.array([1, 1])},
    ),
    "behind a Reshape, for half of the columns": (
        [node("Reshape", "f sizes", "t"), node("Mul", "t xs", "g"), node("Div", "g s")],
        {"s": scales(2), "sizes": np.array([0, 2, 2])},
    ),
    "behind a Reshape and moved itself": (
        [
            *(node("Mul", "xs s", "a"), node("Transpose", "a", "b", perm=[1, 0])),
            *(node("Reshape", "f sizes", "t"), node("Mul", "t b")),
        ],
        {"s": scales(2, 2), "sizes": np.array([-1, 2, 2])},
    ),
    "on two ways": (
        [node("Mul", "f s"), node("Div", "f s", "r")],
        {"s": scales(4)},
    ),
    "behind a sum": (
        [node("Neg", "f", "h"), node("Sub", "f b", "g"), node("Mul", "g xs", "k"), node("Mul", "k s")],
        {"s": scales(4), "b": weights(4)},
    ),
}


@pytest.mark.parametrize("how", UNEVEN)
def test_columns_whose_scale_is_not_followed_are_skipped(tmp_path: Path, how: str) -> None:
    """No one factor makes the weights of such codes."""
    behind, more = UNEVEN[how]
    path = save(_dynamic(*behind, more=more), tmp_path)
    assert only_skipped(path).reason == "its int8 codes have no scale that could be found"
    coverage = audit(path).coverage
    assert (coverage.parameters_total, coverage.parameters_analysed) == (24, 0)


def test_codes_that_are_multiplied_here_and_divided_there_are_two_layers(tmp_path: Path) -> None:
    nodes = [node("DynamicQuantizeLinear", "x", "xq xs xz")]
    for name, op in (("a", "Mul"), ("b", "Div")):
        nodes += [node("MatMulInteger", "xq q xz", f"i{name}"), node("Cast", f"i{name}", f"f{name}", to=1)]
        nodes += [node("Mul", f"f{name} xs", f"g{name}"), node(op, f"g{name} s", name)]
    held = {"q": codes("INT8", 6, 4), "s": DIVISORS}
    first, second = layers_of(save(model([*nodes, node("Add", "a b")], held), tmp_path))
    assert isinstance(first, Layer)
    assert isinstance(second, Layer)
    q = numpy_helper.to_array(held["q"]).astype(np.float32)
    np.testing.assert_allclose(first.matrix(), q * DIVISORS, rtol=1e-6)
    np.testing.assert_allclose(second.matrix(), q / DIVISORS, rtol=1e-6)


STACKS: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
    "a scale a column of each": ((3, 6, 4), (3, 1, 4)),
    "a scale a matrix": ((3, 6, 4), (3, 1, 1)),
    "as many matrices as columns": ((4, 6, 4), (4, 1, 1)),
    "a scale a column of all": ((3, 6, 4), (1, 1, 4)),
    "beside a larger stack": ((3, 6, 4), (1, 3, 1, 4)),
    "two axes of matrices": ((2, 3, 6, 4), (2, 3, 1, 4)),
}


@pytest.mark.parametrize("left", [False, True])
@pytest.mark.parametrize("how", STACKS)
def test_a_stack_of_integer_products(tmp_path: Path, how: str, left: bool) -> None:
    """Scales and zero points stand beside the result: those of a left factor are its rows'."""
    shape, wide = STACKS[how]
    sizes = shape, (*shape[:-2], 1, 4)
    (q, z), s = (numpy_helper.to_array(codes("INT8", *each)) for each in sizes), scales(*wide)
    expected = (q.astype(np.float32) - z) * s.reshape(s.shape[-q.ndim :])
    if left:
        q, s, z = (np.ascontiguousarray(np.swapaxes(array, -1, -2)) for array in (q, s, z))
    operands = "q xq z xz" if left else "xq q xz z"
    nodes = [node("DynamicQuantizeLinear", "x", "xq xs xz"), node("MatMulInteger", operands, "i")]
    nodes += [node("Cast", "i", "f", to=1), node("Mul", "xs s", "xws"), node("Mul", "f xws")]
    layer = only_layer(save(model(nodes, {"q": q, "s": s, "z": z}), tmp_path))
    np.testing.assert_allclose(layer.blocks(), expected.reshape(-1, 6, 4), rtol=1e-6)


def test_scales_that_do_not_fit_the_columns(tmp_path: Path) -> None:
    """A factor for each row of the answer, not for each output, is no weight's scale."""
    proto = _dynamic(node("Mul", "f xs", "g"), node("Mul", "g s"), more={"s": scales(6)[:, None]})
    found = layers_of(save(proto, tmp_path))
    assert len(found) == 1
    assert not isinstance(found[0], Layer)


# Fused products of com.microsoft.


@pytest.mark.parametrize("kind", EIGHT)
@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("op", ["DynamicQuantizeMatMul", "MatMulIntegerToFloat"])
def test_fused_products_of_codes(tmp_path: Path, op: str, kind: str, per_channel: bool) -> None:
    """The unit vectors of the one are codes, those of the other floats that quantise without error."""
    s = scales(4) if per_channel else np.float32(0.375)
    z = codes(kind, *((4,) if per_channel else ()), seed=1)
    held = {
        "q": codes(kind, 6, 4),
        "s": s,
        "z": z,
        "b": weights(4),
        "one": np.float32(1),
        "none": np.uint8(0),
    }
    if op == "DynamicQuantizeMatMul":
        proto = model([node(f"{MICROSOFT}.{op}", "x q s z b")], held)
        units = np.eye(6, dtype=np.float32)
        answers = np.concatenate([_answer(proto, x=row[None]) for row in units]) - held["b"]
    else:
        nodes = [node(f"{MICROSOFT}.{op}", "x q one s none z b")]
        proto = _typed(model(nodes, held), x=TensorProto.UINT8)
        answers = _answer(proto, x=_units(6)) - held["b"]
    layer = only_layer(save(proto, tmp_path))
    np.testing.assert_allclose(layer.matrix(), answers, rtol=1e-5, atol=1e-4)
    assert str(layer.encoding) == f"{kind.lower()} {'per-channel' if per_channel else 'per-tensor'}"
    np.testing.assert_array_equal(layer.bias(), held["b"])


# MatMulNBits


def _n_bits(
    k: int,
    n: int,
    bits: int,
    block: int,
    zero: str = "",
    flat: bool = False,
    seed: int = 0,
    groups: bool = False,
) -> tuple[ModelProto, dict[str, Any]]:
    """Return a model of random blobs, whatever they mean; the runtime knows."""
    rng = np.random.default_rng((k, n, bits, block, seed))
    blocks = -(-k // block)
    held: dict[str, Any] = {
        "b": rng.integers(0, 256, (n, blocks, block * bits // 8)).astype(np.uint8),
        "s": scales(*((n * blocks,) if flat else (n, blocks))),
    }
    inputs = "x b s"
    if zero == "packed":
        width = -(-blocks * bits // 8)
        held["z"] = rng.integers(0, 256, (n * width,) if flat else (n, width)).astype(np.uint8)
        inputs += " z"
    elif zero == "float":
        held["z"] = (rng.integers(0, 2**bits * 4, (n * blocks,) if flat else (n, blocks)) / 4).astype(
            np.float32
        )
        inputs += " z"
    if groups:
        held["g"] = rng.permutation(np.arange(k) // block).astype(np.int32)
        inputs += (" -" if not zero else "") + " g"
    options = {"K": k, "N": n, "bits": bits, "block_size": block}
    return model([node(f"{MICROSOFT}.MatMulNBits", inputs, **options)], held), held


FORMS = [
    *product((2, 4, 8), ("", "packed")),
    (4, "float"),
]  # the runtime has float zero points for 4 bits only


@pytest.mark.parametrize("block", [16, 32, 128])
@pytest.mark.parametrize(("bits", "zero"), FORMS)
def test_matmul_n_bits(tmp_path: Path, bits: int, block: int, zero: str) -> None:
    k, n = 72, 5  # no whole number of blocks
    proto, _ = _n_bits(k, n, bits, block, zero)
    layer = only_layer(save(proto, tmp_path))
    assert str(layer.encoding) == f"uint{bits} block {block}"
    assert (layer.n_in, layer.n_out, layer.parameters) == (k, n, k * n)
    np.testing.assert_array_equal(layer.matrix(), _answer(proto, x=np.eye(k, dtype=np.float32)))


@pytest.mark.parametrize(("bits", "zero"), FORMS)
def test_matmul_n_bits_with_flattened_scales(tmp_path: Path, bits: int, zero: str) -> None:
    proto, _ = _n_bits(96, 6, bits, 32, zero, flat=True)
    layer = only_layer(save(proto, tmp_path))
    np.testing.assert_array_equal(layer.matrix(), _answer(proto, x=np.eye(96, dtype=np.float32)))


@pytest.mark.parametrize("zero", ["", "float"])
def test_matmul_n_bits_with_groups_in_another_order(tmp_path: Path, zero: str) -> None:
    proto, _ = _n_bits(96, 6, 4, 32, zero, groups=True)
    layer = only_layer(save(proto, tmp_path))
    np.testing.assert_array_equal(layer.matrix(), _answer(proto, x=np.eye(96, dtype=np.float32)))


def test_matmul_n_bits_with_groups_and_packed_zero_points(tmp_path: Path) -> None:
    """onnxruntime 1.31 unpacks such zero points and then forgets them, so it is asked with them as floats."""
    proto, held = _n_bits(96, 6, 4, 32, "packed", groups=True)
    layer = only_layer(save(proto, tmp_path))
    numbers = np.stack([held["z"] & 15, held["z"] >> 4], axis=-1).reshape(6, -1)[:, :3].astype(np.float32)
    (packed,) = (tensor for tensor in proto.graph.initializer if tensor.name == "z")
    packed.CopyFrom(numpy_helper.from_array(numbers, "z"))
    np.testing.assert_array_equal(layer.matrix(), _answer(proto, x=np.eye(96, dtype=np.float32)))


@pytest.mark.parametrize("bits", [2, 8])
def test_matmul_n_bits_with_zero_points_that_are_floats(tmp_path: Path, bits: int) -> None:
    """Whole numbers as floats mean what they mean packed."""
    proto, held = _n_bits(64, 6, bits, 32, "packed")
    wanted = _answer(proto, x=np.eye(64, dtype=np.float32))
    shifts = np.arange(0, 8, bits)
    numbers = (held["z"][..., None] >> shifts & (2**bits - 1)).reshape(6, -1)[:, :2].astype(np.float32)
    (packed,) = (tensor for tensor in proto.graph.initializer if tensor.name == "z")
    packed.CopyFrom(numpy_helper.from_array(numbers, "z"))
    np.testing.assert_array_equal(only_layer(save(proto, tmp_path)).matrix(), wanted)


def test_matmul_n_bits_with_a_bias(tmp_path: Path) -> None:
    proto, _ = _n_bits(32, 6, 4, 32)
    proto.graph.node[0].input.extend(["", "", "c"])
    proto.graph.initializer.append(numpy_helper.from_array(weights(6), "c"))
    layer = only_layer(save(proto, tmp_path))
    np.testing.assert_array_equal(layer.bias(), weights(6))
    wanted = _answer(proto, x=np.eye(32, dtype=np.float32)) - weights(6)
    np.testing.assert_allclose(layer.matrix(), wanted, atol=1e-5)


MISFITS: dict[str, dict[str, Any]] = {
    "N too large": {"N": 7},
    "K too large": {"K": 128},
    "K too small": {"K": 40},
    "no bits": {"bits": 0},
    "three bits": {"bits": 3},
    "other bits": {"bits": 8},
    "block of none": {"block_size": 0},
    "another block": {"block_size": 16},
    "a negative block": {"block_size": -32},
    "absurd sides": {"K": 2**40, "N": 2**40},
}


@pytest.mark.parametrize("what", MISFITS)
def test_matmul_n_bits_that_does_not_fit(tmp_path: Path, what: str) -> None:
    proto, _ = _n_bits(96, 6, 4, 32)
    for attribute in proto.graph.node[0].attribute:
        if attribute.name in MISFITS[what]:
            attribute.i = MISFITS[what][attribute.name]
    skipped = only_skipped(save(proto, tmp_path))
    assert skipped.reason
    assert skipped.weight == "b"


# GatherBlockQuantized


@pytest.mark.parametrize("zero", [False, True])
@pytest.mark.parametrize("kind", ["UINT8", "INT4", "UINT4"])
@pytest.mark.parametrize("block", [16, 32])
def test_gather_of_blocks(tmp_path: Path, kind: str, block: int, zero: bool) -> None:
    """Bytes hold two codes each along the last axis; the other types are codes by themselves."""
    rows, columns = 7, 64
    packed = kind == "UINT8"
    held: dict[str, Any] = {
        "q": codes(kind, rows, columns // 2 if packed else columns),
        "s": scales(rows, columns // block),
    }
    inputs = "q i s"
    if zero:
        wide = columns // block
        held["z"] = codes(kind, rows, wide // 2 if packed else wide, seed=1)
        inputs += " z"
    options = {"gather_axis": 0, "quantize_axis": 1, "block_size": block}
    nodes = [node(f"{MICROSOFT}.GatherBlockQuantized", inputs, **options)]
    proto = _typed(model(nodes, held, {"i": None}), i=TensorProto.INT64)
    layer = only_layer(save(proto, tmp_path))
    np.testing.assert_array_equal(layer.matrix(), _answer(proto, i=np.arange(rows)))
    assert (layer.n_in, layer.n_out, layer.parameters) == (rows, columns, rows * columns)
    assert str(layer.encoding) == f"{'uint4' if packed else kind.lower()} block {block}"


@pytest.mark.parametrize("zero", [False, True])
def test_gather_of_bytes(tmp_path: Path, zero: bool) -> None:
    """With 8 bits a byte is one code."""
    held: dict[str, Any] = {"q": codes("UINT8", 7, 64), "s": scales(7, 2)}
    if zero:
        held["z"] = codes("UINT8", 7, 2, seed=1)
    options = {"gather_axis": 0, "quantize_axis": 1, "block_size": 32, "bits": 8}
    nodes = [node(f"{MICROSOFT}.GatherBlockQuantized", "q i s" + " z" * zero, **options)]
    proto = _typed(model(nodes, held, {"i": None}), i=TensorProto.INT64)
    layer = only_layer(save(proto, tmp_path))
    np.testing.assert_array_equal(layer.matrix(), _answer(proto, i=np.arange(7)))
    assert str(layer.encoding) == "uint8 block 32"


@pytest.mark.parametrize(("gather", "quantize"), [(0, 0), (1, 0), (1, 1)])
def test_gather_of_blocks_along_other_axes(tmp_path: Path, gather: int, quantize: int) -> None:
    """Read right, or skipped with a reason."""
    wide = [32, 64]
    wide[quantize] //= 16
    held = {"q": codes("INT4", 32, 64), "s": scales(*wide), "z": codes("INT4", *wide, seed=1)}
    options = {"gather_axis": gather, "quantize_axis": quantize, "block_size": 16}
    nodes = [node(f"{MICROSOFT}.GatherBlockQuantized", "q i s z", **options)]
    proto = _typed(model(nodes, held, {"i": None}), i=TensorProto.INT64)
    (layer,) = layers_of(save(proto, tmp_path))
    if isinstance(layer, Layer):
        answers = _answer(proto, i=np.arange((32, 64)[gather]))
        np.testing.assert_array_equal(layer.matrix(), answers if gather == 0 else answers.T)
    else:
        assert layer.reason


def test_weights_in_codes_that_no_scale_belongs_to(tmp_path: Path) -> None:
    nodes = [node("Cast", "q", "w", to=1), node("MatMul", "x w")]
    proto = newest(nodes, {"q": codes("INT8", 6, 4)})
    layer = only_layer(save(proto, tmp_path))
    np.testing.assert_array_equal(layer.matrix(), numpy_helper.to_array(codes("INT8", 6, 4)))


def test_a_table_of_codes_that_is_decoded_behind_the_gather(tmp_path: Path) -> None:
    """How onnxruntime quantises embeddings: read right, or reported with its parameters; never lost."""
    nodes = [node("Gather", "q i", "g"), node("DequantizeLinear", "g s z")]
    held = {"q": codes("UINT8", 9, 4), "s": np.float32(0.5), "z": np.uint8(7)}
    proto = _typed(model(nodes, held, {"i": None}), i=TensorProto.INT64)
    (found,) = layers_of(save(proto, tmp_path))
    assert found.parameters == 36
    if isinstance(found, Layer):
        np.testing.assert_array_equal(found.matrix(), _answer(proto, i=np.arange(9)))
    else:
        assert found.reason


@pytest.mark.parametrize("scale", [np.float32(0.5), np.float16(0.5)])
def test_a_weight_is_decoded_to_see_that_it_can_be_and_to_be_measured(tmp_path, monkeypatch, scale):
    """What it is stored as is told by its scale; only that it can be decoded is tried."""
    decoded = []

    def counted(values, *rest):
        decoded.append(values.shape)
        return affine(values, *rest)

    monkeypatch.setattr(evaluate, "affine", counted)
    stored = np.arange(-60, 60, dtype=np.int8).reshape(12, 10)
    nodes = [node("DequantizeLinear", "q s", "w"), node("MatMul", "x w")]
    report = audit(save(model(nodes, {"q": stored, "s": np.asarray(scale)}), tmp_path))
    assert report.layers[0].largest == 30
    assert decoded == [(12, 10)] * 2


_LATER = [node("Cast", "i", "f", to=TensorProto.FLOAT), node("Mul", "f s")]
_N_BITS = {"K": 32, "N": 5, "bits": 4, "block_size": 16}
UNKNOWN = {
    "a zero point of MatMulInteger": ([node("MatMulInteger", "x q a z", "i"), *_LATER], "z", [8, 6]),
    "a zero point of ConvInteger": ([node("ConvInteger", "x q a z", "i"), *_LATER], "z", [6, 3, 2, 2]),
    "a scale of MatMulNBits": ([node(f"{MICROSOFT}.MatMulNBits", "x q t", **_N_BITS)], "t", [5, 2, 8]),
    "zero points of MatMulNBits": ([node(f"{MICROSOFT}.MatMulNBits", "x q s z", **_N_BITS)], "z", [5, 2, 8]),
    "groups of MatMulNBits": ([node(f"{MICROSOFT}.MatMulNBits", "x q s - g", **_N_BITS)], "g", [5, 2, 8]),
    "zero points of GatherBlockQuantized": (
        [node(f"{MICROSOFT}.GatherBlockQuantized", "q x s z", block_size=16)],
        "z",
        [7, 16],
    ),
    "a zero point of QAttention": (
        [node(f"{MICROSOFT}.QAttention", "x q b t s - a z", num_heads=2)],
        "z",
        [8, 12],
    ),
    "a scale of QAttention": ([node(f"{MICROSOFT}.QAttention", "x q b t u", num_heads=2)], "u", [8, 12]),
    "a scale of DynamicQuantizeLSTM": (
        [node(f"{MICROSOFT}.DynamicQuantizeLSTM", "x q r b - - - - t z s z", hidden_size=3)],
        "t",
        [1, 4, 12],
    ),
    "a scale of QMoE": ([node(f"{MICROSOFT}.QMoE", "x a q t", k=1)], "t", [2, 6, 4]),
}


@pytest.mark.parametrize("what", UNKNOWN)
def test_what_codes_are_decoded_by_is_an_input_of_the_model(tmp_path: Path, what: str) -> None:
    """Nobody can know the weights then; that it was there is not as if it were left out."""
    nodes, unknown, shape = UNKNOWN[what]
    named = {name for made in nodes for name in made.input if name}
    kind = np.uint8 if "NBits" in what or "Block" in what or "QMoE" in what else np.int8
    held: dict[str, Any] = {
        "q": np.zeros(shape, kind),
        "s": np.ones(1, np.float32),
        "r": np.zeros((1, 3, 12), np.int8),
        "z": np.zeros(1, np.int8),
        "b": np.zeros(12, np.float32),
        "t": np.ones(1, np.float32),
    }
    inputs = {name: None for name in sorted((named - held.keys()) | {"x", unknown}) if name not in "fi"}
    proto = model(nodes, {name: held[name] for name in held if name in named - {unknown}}, inputs)
    skipped = next(each for each in layers_of(save(proto, tmp_path)) if each.weight == "q")
    assert isinstance(skipped, Skipped)
    assert skipped.reason == f"its codes are decoded by {unknown!r}, which is not constant"
    assert skipped.parameters == np.prod(shape)


@pytest.mark.parametrize("domain", ["", "ai.onnx"])
@pytest.mark.parametrize("how", ["plain", "behind an identity", "computed"])
def test_one_zero_point_for_the_scales_of_many_channels(tmp_path: Path, how: str, domain: str) -> None:
    """The runtime takes it wherever it comes from, and ONNX's own domain by either name."""
    q, s = codes("INT8", 4, 2, 3, 3), scales(4)
    made = {
        "plain": [],
        "behind an identity": [node("Identity", "z", "zw"), node("Identity", "s", "sw")],
        "computed": [node("Neg", "z", "zw"), node("Mul", "s one", "sw")],
    }[how]
    scale, zero = ("sw", "zw") if made else ("s", "z")
    proto = model(
        [*made, node("QLinearConv", f"x sx zx q {scale} {zero} sx zx")],
        {
            "q": q,
            "s": s,
            "z": np.int8(2),
            "one": np.float32([1]),
            "sx": np.float32(0.1),
            "zx": np.uint8(3),
        },
        {"x": [1, 2, 5, 5]},
    )
    proto.graph.node[-1].domain = domain
    layer = only_layer(save(proto, tmp_path))
    zero_point = -2.0 if how == "computed" else 2.0
    expected = (numpy_helper.to_array(q).astype(np.float32) - zero_point) * s[:, None, None, None]
    np.testing.assert_array_equal(layer.matrix(), expected.reshape(4, -1).T)
