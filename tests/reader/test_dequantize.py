"""Codes behind DequantizeLinear and the quantisers of QONNX: the weight is what the runtime makes of them."""

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from onnxtop.reader import dequantize
from onnxtop.reader.layer import Layer
from tests.models import (
    MICROSOFT,
    block_diagonal,
    model,
    node,
    only_layer,
    only_skipped,
    response,
    save,
    weights,
)
from tests.reader import qonnx_formulas
from tests.reader.quantised_models import FLOAT4, RANGES, SMALL_FLOATS, as_tensor, codes, newest, scales

INTEGERS = tuple(RANGES)
UNITS = {"per-tensor": (), "axis 0": (6,), "axis 1": (4,), "axis -1": (4,), "axis -2": (6,)}


@pytest.fixture(autouse=True)
def small_strips(monkeypatch: pytest.MonkeyPatch) -> None:
    """Decode in strips that are smaller than any matrix here."""
    monkeypatch.setattr(dequantize, "CHUNK", 10)


def _checked(tmp_path: Path, proto: Any, shape: tuple[int, ...], dtype: Any = np.float32) -> Layer:
    """Return the only layer, its blocks being what the runtime answers to unit vectors, bit by bit."""
    layer = only_layer(save(proto, tmp_path))
    np.testing.assert_array_equal(block_diagonal(layer.blocks()), response(proto, shape, dtype))
    return layer


@pytest.mark.parametrize("zero_point", [False, True])
@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("kind", [*INTEGERS, "INT32"])
def test_integers(tmp_path: Path, kind: str, unit: str, zero_point: bool) -> None:
    held: dict[str, Any] = {"q": codes(kind, 6, 4), "s": scales(*UNITS[unit])}
    inputs = "q s"
    if zero_point:
        held["z"] = (
            codes(kind, *UNITS[unit], seed=1) if kind != "INT32" else as_tensor(kind, np.zeros(UNITS[unit]))
        )
        inputs += " z"
    options = {} if unit == "per-tensor" else {"axis": int(unit.removeprefix("axis "))}
    proto = newest([node("DequantizeLinear", inputs, "w", **options), node("MatMul", "x w")], held)
    layer = _checked(tmp_path, proto, (1, 6))
    wide = "per-tensor" if unit == "per-tensor" else "per-channel"
    assert str(layer.encoding) == f"{kind.lower()} {wide}"
    assert (layer.weight, layer.shape, layer.parameters) == ("q", (6, 4), 24)


@pytest.mark.parametrize("zero_point", [(), (1,)])
@pytest.mark.parametrize("scale", [(), (1,)])
def test_one_scale_as_a_scalar_or_a_vector(
    tmp_path: Path, scale: tuple[int, ...], zero_point: tuple[int, ...]
) -> None:
    """The runtime takes any mix, and its own quantiser writes a vector of one beside a scalar."""
    held = {"q": codes("INT8", 6, 4), "s": scales(*scale), "z": codes("INT8", *zero_point, seed=1)}
    proto = newest([node("DequantizeLinear", "q s z", "w"), node("MatMul", "x w")], held)
    assert str(_checked(tmp_path, proto, (1, 6)).encoding) == "int8 per-tensor"


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("kind", SMALL_FLOATS)
def test_small_floats(tmp_path: Path, kind: str, unit: str) -> None:
    options = {} if unit == "per-tensor" else {"axis": int(unit.removeprefix("axis "))}
    held = {"q": codes(kind, 6, 4), "s": scales(*UNITS[unit])}
    proto = newest([node("DequantizeLinear", "q s", "w", **options), node("MatMul", "x w")], held)
    wide = "per-tensor" if unit == "per-tensor" else "per-channel"
    assert str(_checked(tmp_path, proto, (1, 6)).encoding) == f"{kind.lower()} {wide}"


@pytest.mark.parametrize("unit", [(), (4,)])
def test_float4_by_its_table(tmp_path: Path, unit: tuple[int, ...]) -> None:
    """Compare with the table of sixteen values: onnxruntime has no kernel for them."""
    numbers = np.arange(32).reshape(8, 4) % 16
    packed = (numbers.ravel()[::2] | numbers.ravel()[1::2] << 4).astype(np.uint8)
    q = TensorProto(data_type=TensorProto.FLOAT4E2M1, dims=[8, 4], raw_data=packed.tobytes())
    s = scales(*unit)
    proto = newest([node("DequantizeLinear", "q s", "w"), node("MatMul", "x w")], {"q": q, "s": s})
    layer = only_layer(save(proto, tmp_path))
    np.testing.assert_array_equal(layer.matrix(), FLOAT4[numbers] * s)
    assert str(layer.encoding).startswith("float4e2m1 per-")


@pytest.mark.parametrize("zero_point", [False, True])
@pytest.mark.parametrize(("axis", "size"), [(0, 2), (0, 3), (0, 4), (1, 2), (-1, 2), (-2, 6), (1, 3)])
@pytest.mark.parametrize("kind", [*INTEGERS, *SMALL_FLOATS])
def test_blocks_of_codes(tmp_path: Path, kind: str, axis: int, size: int, zero_point: bool) -> None:
    """Blocks that do not divide the axis end with a shorter one."""
    wide = [6, 4]
    wide[axis] = -(-wide[axis] // size)
    held: dict[str, Any] = {"q": codes(kind, 6, 4), "s": scales(*wide)}
    if zero_point and kind in INTEGERS:
        held["z"] = codes(kind, *wide, seed=2)
    inputs = " ".join(held)
    nodes = [node("DequantizeLinear", inputs, "w", axis=axis, block_size=size), node("MatMul", "x w")]
    layer = _checked(tmp_path, newest(nodes, held), (1, 6))
    assert str(layer.encoding) == f"{kind.lower()} block {size}"


@pytest.mark.parametrize("kind", ["INT4", "UINT4", "INT2", "UINT2"])
@pytest.mark.parametrize("shape", [(5, 3), (3, 5), (1, 1), (7, 1), (1, 7), (3, 3)])
def test_packed_codes_whose_number_is_odd(tmp_path: Path, kind: str, shape: tuple[int, int]) -> None:
    held = {"q": codes(kind, *shape), "s": scales(shape[1]), "z": codes(kind, shape[1], seed=1)}
    proto = newest([node("DequantizeLinear", "q s z", "w"), node("MatMul", "x w")], held)
    _checked(tmp_path, proto, (1, shape[0]))


@pytest.mark.parametrize("kind", ["INT8", "UINT8", "INT16", "INT4", "UINT4", "INT2"])
def test_codes_in_the_typed_field(tmp_path: Path, kind: str) -> None:
    """Exporters write codes to int32_data too, packed ones several to a byte."""
    raw = codes(kind, 6, 4)
    typed = TensorProto(data_type=raw.data_type, dims=raw.dims)
    bits = int(kind.strip("UINT"))
    width = np.dtype(f"{'i' if kind.startswith('I') else 'u'}{max(bits // 8, 1)}")
    typed.int32_data.extend(np.frombuffer(raw.raw_data, np.uint8 if bits < 8 else width).tolist())
    found = []
    for q in (raw, typed):
        proto = newest(
            [node("DequantizeLinear", "q s", "w"), node("MatMul", "x w")], {"q": q, "s": scales(4)}
        )
        found.append(_checked(tmp_path, proto, (1, 6)).matrix())
    np.testing.assert_array_equal(*found)


MOVED: dict[str, tuple[list[Any], tuple[int, ...], dict[str, Any]]] = {
    "Transpose": ([node("Transpose", "w", "v", perm=[1, 0])], (4, 6), {}),
    "Transpose without perm": ([node("Transpose", "w", "v")], (4, 6), {}),
    "Reshape": ([node("Reshape", "w shape", "v")], (4, 6), {"shape": np.array([6, 4])}),
    "Identity twice": ([node("Identity", "w", "u"), node("Identity", "u", "v")], (6, 4), {}),
    "Cast to double and back": ([node("Cast", "w", "u", to=11), node("Cast", "u", "v", to=1)], (6, 4), {}),
    "Slice": ([node("Slice", "w zero six", "v")], (9, 4), {"zero": np.array([1]), "six": np.array([7])}),
    "Mul": ([node("Mul", "w half", "v")], (6, 4), {"half": np.float32(0.5)}),
    "Unsqueeze and Squeeze": (
        [node("Unsqueeze", "w first", "u"), node("Squeeze", "u first", "v")],
        (6, 4),
        {"first": np.array([0])},
    ),
}


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("how", MOVED)
def test_codes_behind_what_moves_them(tmp_path: Path, how: str, axis: int) -> None:
    nodes, shape, held = MOVED[how]
    held = {
        **held,
        "q": codes("INT8", *shape),
        "s": scales(shape[axis]),
        "z": codes("INT8", shape[axis], seed=1),
    }
    chain = [node("DequantizeLinear", "q s z", "w", axis=axis), *nodes, node("MatMul", "x v")]
    layer = _checked(tmp_path, newest(chain, held), (1, 6))
    assert layer.weight == "q"
    assert str(layer.encoding).startswith("int8")


def test_moved_before_they_are_decoded(tmp_path: Path) -> None:
    nodes = [
        node("Transpose", "q", "t"),
        node("DequantizeLinear", "t s z", "w", axis=1),
        node("MatMul", "x w"),
    ]
    held = {"q": codes("INT8", 4, 6), "s": scales(4), "z": codes("INT8", 4, seed=1)}
    assert str(_checked(tmp_path, newest(nodes, held), (1, 6)).encoding) == "int8 per-channel"


def test_under_every_operation(tmp_path: Path) -> None:
    cases: list[tuple[Any, TensorProto, Any, int, tuple[int, ...]]] = [
        (node("Gemm", "x w"), codes("INT8", 6, 4), scales(4), 1, (1, 6)),
        (node("Gemm", "x w", transB=1), codes("UINT8", 4, 6), scales(4), 0, (1, 6)),
        (node("MatMul", "w x"), codes("UINT8", 4, 6), scales(4), 0, (6, 1)),
        (node("Conv", "x w"), codes("INT8", 4, 2, 3, 3), scales(4), 0, (1, 2, 3, 3)),
        (node("Conv", "x w", group=2), codes("INT8", 4, 1, 3, 3), scales(4), 0, (1, 2, 3, 3)),
        (node("MatMul", "x w"), codes("INT4", 3, 6, 4), scales(3), 0, (3, 1, 6)),
    ]
    for use, q, s, axis, shape in cases:
        proto = newest([node("DequantizeLinear", "q s", "w", axis=axis), use], {"q": q, "s": s})
        _checked(tmp_path, proto, shape)


def test_under_a_transposed_convolution(tmp_path: Path) -> None:
    held = {"q": codes("INT8", 2, 3, 2, 2), "s": scales(3)}
    proto = newest([node("DequantizeLinear", "q s", "w", axis=1), node("ConvTranspose", "x w")], held)
    layer = only_layer(save(proto, tmp_path))
    kernel = layer.kernel()
    assert kernel is not None
    answers = response(proto, (1, 2, 1, 1)).reshape(2, 3, 2, 2)
    np.testing.assert_array_equal(kernel.weights[0], answers.swapaxes(0, 1))


def test_under_a_gather(tmp_path: Path) -> None:
    held = {"q": codes("UINT8", 6, 4), "s": scales(4), "z": codes("UINT8", 4, seed=1)}
    nodes = [node("DequantizeLinear", "q s z", "w"), node("Cast", "x", "i", to=7), node("Gather", "w i")]
    proto = newest(nodes, held)
    layer = only_layer(save(proto, tmp_path))
    one_hot = newest([nodes[0], node("MatMul", "x w")], held)
    np.testing.assert_array_equal(layer.matrix(), response(one_hot, (1, 6)))


@pytest.mark.parametrize("kind", ["INT8", "UINT4", "FLOAT8E4M3FN"])
@pytest.mark.parametrize("unit", [(), (4,)])
def test_a_scale_in_half_precision(tmp_path: Path, kind: str, unit: tuple[int, ...]) -> None:
    held = {"q": codes(kind, 6, 4), "s": scales(*unit, dtype=np.float16)}
    proto = newest([node("DequantizeLinear", "q s", "w"), node("MatMul", "x w")], held, dtype=np.float16)
    assert _checked(tmp_path, proto, (1, 6), np.float16).matrix().dtype == np.float16


@pytest.mark.parametrize("unit", [(), (4,)])
@pytest.mark.parametrize("kind", ["INT16", "UINT16", "INT32"])
def test_wide_codes_with_a_scale_in_half_precision(tmp_path: Path, kind: str, unit: tuple[int, ...]) -> None:
    """The codes themselves have no place in half precision; their products with the scale do."""
    small = (scales(*unit) / 2**14).astype(np.float16)
    nodes = [node("DequantizeLinear", "q s", "w"), node("MatMul", "x w")]
    _checked(
        tmp_path, newest(nodes, {"q": codes(kind, 6, 4), "s": small}, dtype=np.float16), (1, 6), np.float16
    )


def test_a_result_type_of_its_own(tmp_path: Path) -> None:
    """Since opset 23 the result's type need not be the scale's: the runtime rounds to it."""
    held = {"q": codes("INT16", 6, 4), "s": np.float32(1 / 3)}
    nodes = [node("DequantizeLinear", "q s", "w", output_dtype=TensorProto.FLOAT16), node("MatMul", "x w")]
    proto = newest(nodes, held, dtype=np.float16)
    layer = only_layer(save(proto, tmp_path))
    np.testing.assert_allclose(layer.matrix(), response(proto, (1, 6), np.float16), rtol=1e-3)


@pytest.mark.parametrize("unit", [(), (6,), (4,)])
@pytest.mark.parametrize("kind", ["INT8", "UINT8", "INT16", "UINT16", "INT4", "UINT4"])
def test_the_domain_of_the_runtime(tmp_path: Path, kind: str, unit: tuple[int, ...]) -> None:
    held = {"q": codes(kind, 6, 4), "s": scales(*unit), "z": codes(kind, *unit, seed=1)}
    options = {(): {}, (6,): {"axis": 0}, (4,): {"axis": 1}}[unit]
    nodes = [node(f"{MICROSOFT}.DequantizeLinear", "q s z", "w", **options), node("MatMul", "x w")]
    _checked(tmp_path, model(nodes, held), (1, 6))


def test_quantised_in_the_graph(tmp_path: Path) -> None:
    """Training with fake quantisation leaves float weights behind QuantizeLinear and DequantizeLinear."""
    held = {"v": weights(6, 4), "s": scales(4), "z": codes("INT8", 4, seed=1)}
    nodes = [
        node("QuantizeLinear", "v s z", "q"),
        node("DequantizeLinear", "q s z", "w"),
        node("MatMul", "x w"),
    ]
    layer = _checked(tmp_path, newest(nodes, held), (1, 6))
    assert layer.weight == "v"
    assert not np.array_equal(layer.matrix(), held["v"])


@pytest.mark.parametrize("kind", ["UINT4", "INT2", "INT16", "FLOAT8E4M3FN"])
def test_quantised_to_other_types_in_the_graph(tmp_path: Path, kind: str) -> None:
    held = {"v": weights(6, 4), "s": scales(), "z": as_tensor(kind, np.zeros(()))}
    nodes = [
        node("QuantizeLinear", "v s z", "q"),
        node("DequantizeLinear", "q s z", "w"),
        node("MatMul", "x w"),
    ]
    _checked(tmp_path, newest(nodes, held), (1, 6))


TO = ["INT8", "UINT8", "INT16", "UINT16", "INT4", "UINT4", "INT2", "UINT2", *SMALL_FLOATS]
SPREAD: dict[str, tuple[tuple[int, ...], dict[str, int]]] = {
    "per tensor": ((), {}),
    "per row": ((6,), {"axis": 0}),
    "per column": ((4,), {"axis": 1}),
    "in blocks": ((3, 4), {"axis": 0, "block_size": 2}),
}


@pytest.mark.parametrize("spread", SPREAD)
@pytest.mark.parametrize("kind", TO)
def test_quantised_to_any_type_in_the_graph(tmp_path: Path, kind: str, spread: str) -> None:
    unit, options = SPREAD[spread]
    held = {"v": weights(6, 4), "s": scales(*unit), "z": as_tensor(kind, np.zeros(unit))}
    nodes = [
        node("QuantizeLinear", "v s z", "q", **options),
        node("DequantizeLinear", "q s z", "w", **options),
        node("MatMul", "x w"),
    ]
    _checked(tmp_path, newest(nodes, held), (1, 6))


# Block scales that are powers of two (OCP Microscaling Formats).


def _powers(*shape: int) -> TensorProto:
    """Return scales of type float8e8m0: an exponent in a byte, 255 is NaN."""
    rng = np.random.default_rng(shape)
    exponents = rng.integers(120, 132, shape).astype(np.uint8)
    return TensorProto(data_type=TensorProto.FLOAT8E8M0, dims=shape, raw_data=exponents.tobytes())


def _by_the_reference(proto: ModelProto, name: str) -> np.ndarray:
    """Return a value inside a model as onnx computes it: onnxruntime has no kernel for these types."""
    proto.graph.output.append(onnx.ValueInfoProto(name=name))
    (found,) = ReferenceEvaluator(proto).run([name], {"x": np.zeros((1, 64), np.float32)})
    return found


@pytest.mark.parametrize("result", ["FLOAT", "FLOAT16", "BFLOAT16"])
@pytest.mark.parametrize("kind", ["FLOAT4E2M1", "FLOAT8E4M3FN", "FLOAT8E5M2", "INT8", "INT4"])
def test_scales_that_are_powers_of_two(tmp_path: Path, kind: str, result: str) -> None:
    to = getattr(TensorProto, result)
    held = {"q": codes(kind, 64, 8), "s": _powers(2, 8)}
    nodes = [
        node("DequantizeLinear", "q s", "w", axis=0, block_size=32, output_dtype=to),
        node("Cast", "w", "v", to=TensorProto.FLOAT),
        node("MatMul", "x v"),
    ]
    proto = newest(nodes, held)
    layer = only_layer(save(proto, tmp_path))
    assert np.isfinite(layer.matrix()).all()
    np.testing.assert_array_equal(layer.matrix(), _by_the_reference(proto, "v"))
    assert str(layer.encoding) == f"{kind.lower()} block 32"


@pytest.mark.parametrize("unit", [(), (8,)])
def test_powers_of_two_per_tensor_and_channel(tmp_path: Path, unit: tuple[int, ...]) -> None:
    held = {"q": codes("INT8", 64, 8), "s": _powers(*unit)}
    nodes = [node("DequantizeLinear", "q s", "w", output_dtype=TensorProto.FLOAT), node("MatMul", "x w")]
    proto = newest(nodes, held)
    np.testing.assert_array_equal(only_layer(save(proto, tmp_path)).matrix(), _by_the_reference(proto, "w"))


def test_a_result_without_a_sign_is_a_reason(tmp_path: Path) -> None:
    """Without an output type the result would be of the scale's, which no weight can be."""
    held = {"q": codes("INT8", 64, 8), "s": _powers(8)}
    proto = newest([node("DequantizeLinear", "q s", "w"), node("MatMul", "x w")], held)
    assert "no sign" in only_skipped(save(proto, tmp_path)).reason


@pytest.mark.parametrize("result", [TensorProto.FLOAT16, TensorProto.BFLOAT16])
def test_a_narrower_result_is_rounded_once(tmp_path: Path, result: int) -> None:
    held = {"q": codes("INT16", 6, 4), "s": np.float32(1 / 3)}
    nodes = [
        node("DequantizeLinear", "q s", "h", output_dtype=result),
        node("Cast", "h", "w", to=TensorProto.FLOAT),
        node("MatMul", "x w"),
    ]
    layer = only_layer(save(newest(nodes, held), tmp_path))
    exact = numpy_helper.to_array(held["q"]).astype(np.float32) * held["s"]
    wanted = exact.astype(helper.tensor_dtype_to_np_dtype(result)).astype(np.float32)
    np.testing.assert_array_equal(layer.matrix(), wanted)


# Codes that do not fit: never a guess.


UNFIT: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "too few scales": ({"s": scales(3)}, {"axis": 1}),
    "too many scales": ({"s": scales(5)}, {"axis": 1}),
    "scales along another axis": ({"s": scales(6)}, {"axis": 1}),
    "an axis that is not there": ({"s": scales(4)}, {"axis": 7}),
    "a matrix of scales without block size": ({"s": scales(6, 4)}, {"axis": 1}),
    "a column of scales": ({"s": scales(6, 1)}, {"axis": 1}),
    "too few blocks": ({"s": scales(2, 4)}, {"axis": 0, "block_size": 2}),
    "too many blocks": ({"s": scales(4, 4)}, {"axis": 0, "block_size": 2}),
    "blocks along another axis": ({"s": scales(6, 2)}, {"axis": 0, "block_size": 2}),
    "one row of scales a block": ({"s": scales(3, 1)}, {"axis": 0, "block_size": 2}),
    "a vector of scales with a block size": ({"s": scales(3)}, {"axis": 0, "block_size": 2}),
    "a negative block size": ({"s": scales(3, 4)}, {"axis": 0, "block_size": -2}),
    "an empty scale": ({"s": scales(0)}, {"axis": 1}),
    "too few zero points": ({"s": scales(4), "z": as_tensor("INT8", np.zeros(3))}, {"axis": 1}),
    "a zero point of another shape": (
        {"s": scales(3, 4), "z": as_tensor("INT8", np.ones((2, 4)))},
        {"axis": 0, "block_size": 2},
    ),
    "a zero point of another type": ({"s": scales(), "z": as_tensor("UINT8", np.array(200))}, {}),
    "scales that are integers": ({"s": np.array(3)}, {}),
    "scales without data": ({"s": TensorProto(data_type=1, dims=[4])}, {"axis": 1}),
}


@pytest.mark.parametrize("what", UNFIT)
def test_scales_that_do_not_fit_are_a_reason(tmp_path: Path, what: str) -> None:
    """None of these models is one that the runtime takes."""
    held, options = UNFIT[what]
    held = {"q": codes("INT8", 6, 4), **held}
    nodes = [node("DequantizeLinear", " ".join(held), "w", **options), node("MatMul", "x w")]
    proto = newest(nodes, held)
    with pytest.raises(Exception, match=r"ONNXRuntimeError|exception"):
        response(proto, (1, 6))
    skipped = only_skipped(save(proto, tmp_path))
    assert skipped.reason
    assert skipped.parameters == 24


def test_a_scale_that_depends_on_the_input(tmp_path: Path) -> None:
    nodes = [node("DequantizeLinear", "q x", "w"), node("MatMul", "a w")]
    proto = model(nodes, {"q": codes("INT8", 6, 4)}, {"x": (), "a": (1, 6)})
    found = only_skipped(save(proto, tmp_path))
    assert found.parameters == 24


def test_a_scale_of_zero_makes_zeros(tmp_path: Path) -> None:
    held = {"q": codes("INT8", 6, 4), "s": np.array([0.5, 0, 0.25, 0], np.float32)}
    proto = newest([node("DequantizeLinear", "q s", "w"), node("MatMul", "x w")], held)
    assert not _checked(tmp_path, proto, (1, 6)).matrix()[:, [1, 3]].any()


# QONNX


QONNX = "qonnx.custom_op.general"
SIGNS = list(product((0, 1), repeat=2))


def _qonnx(tmp_path: Path, op: str, held: dict[str, Any], domain: str = QONNX, **options: Any) -> np.ndarray:
    nodes = [node(f"{domain}.{op}", " ".join(held), "w", **options), node("MatMul", "x w")]
    layer = only_layer(save(model(nodes, held), tmp_path))
    assert str(layer.encoding) == f"float32 rounded by {op}"
    assert layer.matrix().dtype == np.float32
    return layer.matrix()


def _values(seed: int = 0) -> np.ndarray:
    """Return numbers of every size around a grid of 1/4: inside, on ties, far outside."""
    rng = np.random.default_rng(seed)
    grid = rng.integers(-40, 41, (12, 10)) / 8
    return np.where(rng.random((12, 10)) < 0.5, grid, rng.normal(0, 3, (12, 10))).astype(np.float32)


@pytest.mark.parametrize("op", ["Quant", "IntQuant"])
@pytest.mark.parametrize(("signed", "narrow"), SIGNS)
@pytest.mark.parametrize("bits", [1, 2, 3, 4, 8])
def test_quant(tmp_path: Path, op: str, signed: int, narrow: int, bits: int) -> None:
    held = {
        "v": _values(),
        "s": np.float32(0.25),
        "z": np.float32(0 if signed else 2),
        "bits": np.float32(bits),
    }
    options = {"signed": signed, "narrow": narrow, "rounding_mode": "ROUND"}
    found = _qonnx(tmp_path, op, held, **options)
    np.testing.assert_array_equal(found, qonnx_formulas.int_quant(*held.values(), **options))


@pytest.mark.parametrize("mode", [*qonnx_formulas.ROUNDINGS, "round", "floor"])
def test_every_rounding_of_quant(tmp_path: Path, mode: str) -> None:
    held = {"v": _values(), "s": scales(1, 10), "z": np.zeros(1, np.float32), "bits": np.float32(4)}
    options = {"signed": 1, "narrow": 0, "rounding_mode": mode}
    found = _qonnx(tmp_path, "Quant", held, **options)
    np.testing.assert_array_equal(found, qonnx_formulas.int_quant(*held.values(), **options))


@pytest.mark.parametrize("domain", [QONNX, "onnx.brevitas", "finn.custom_op.general"])
def test_quant_in_all_its_domains(tmp_path: Path, domain: str) -> None:
    held = {"v": _values(), "s": np.float32(0.1), "z": np.float32(0), "bits": np.float32(3)}
    found = _qonnx(tmp_path, "Quant", held, domain, signed=1, narrow=1)
    np.testing.assert_array_equal(found, qonnx_formulas.int_quant(*held.values()))


@pytest.mark.parametrize("scale", [np.float32(0.5), scales(12, 1), scales(1, 10)])
def test_bipolar_quant(tmp_path: Path, scale: np.ndarray) -> None:
    held = {"v": _values(), "s": scale}
    found = _qonnx(tmp_path, "BipolarQuant", held)
    np.testing.assert_array_equal(found, qonnx_formulas.bipolar_quant(x=held["v"], scale=scale))


@pytest.mark.parametrize("mode", ["FLOOR", "ROUND", "CEIL"])
@pytest.mark.parametrize("out_bits", [2, 4, 8])
def test_trunc(tmp_path: Path, mode: str, out_bits: int) -> None:
    held = {
        "v": _values(),
        "s": np.float32(0.125),
        "z": np.float32(0),
        "in": np.float32(8),
        "out": np.float32(out_bits),
    }
    found = _qonnx(tmp_path, "Trunc", held, rounding_mode=mode)
    np.testing.assert_array_equal(found, qonnx_formulas.trunc(*held.values(), rounding_mode=mode))


def test_trunc_of_another_version_is_a_reason(tmp_path: Path) -> None:
    """Version 2 has an output scale among its inputs, and another formula."""
    held = {
        "v": _values(),
        "s": np.float32(0.125),
        "z": np.float32(0),
        "in": np.float32(8),
        "os": np.float32(0.5),
        "out": np.float32(4),
    }
    nodes = [node(f"{QONNX}.Trunc", " ".join(held), "w", rounding_mode="FLOOR"), node("MatMul", "x w")]
    assert "Trunc" in only_skipped(save(model(nodes, held), tmp_path)).reason


FORMATS = {"e4m3": (4, 3, 7, 448), "e5m2": (5, 2, 15, 57344), "e2m1": (2, 1, 1, 6), "e3m0": (3, 0, 3, 16)}


@pytest.mark.parametrize("scale", [1.0, 0.3, 1e-3, 1e3])
@pytest.mark.parametrize("what", FORMATS)
def test_float_quant(tmp_path: Path, what: str, scale: float) -> None:
    exponent, mantissa, bias, largest = FORMATS[what]
    held = {
        "v": _values(),
        "s": np.float32(scale),
        "e": np.float32(exponent),
        "m": np.float32(mantissa),
        "b": np.float32(bias),
        "max": np.float32(largest),
    }
    found = _qonnx(tmp_path, "FloatQuant", held, has_inf=0, has_nan=0, has_subnormal=1, saturation=1)
    np.testing.assert_array_equal(found, qonnx_formulas.float_quant(*held.values()).astype(np.float32))


@pytest.mark.parametrize("kind", ["float8_e4m3fn", "float8_e5m2"])
def test_float_quant_is_a_cast_to_the_small_type(tmp_path: Path, kind: str) -> None:
    """A second truth: within its range the grid is that of the hardware's format."""
    import ml_dtypes

    exponent, mantissa, bias, largest = FORMATS["e4m3" if "e4m3" in kind else "e5m2"]
    held = {
        "v": _values(),
        "s": np.float32(1),
        "e": np.float32(exponent),
        "m": np.float32(mantissa),
        "b": np.float32(bias),
        "max": np.float32(largest),
    }
    found = _qonnx(tmp_path, "FloatQuant", held, has_inf=0, has_nan=1, has_subnormal=1, saturation=1)
    np.testing.assert_array_equal(found, held["v"].astype(getattr(ml_dtypes, kind)).astype(np.float32))


def test_float_quant_that_does_not_saturate(tmp_path: Path) -> None:
    held = {
        "v": _values(),
        "s": np.float32(1),
        "e": np.float32(2),
        "m": np.float32(1),
        "b": np.float32(1),
        "max": np.float32(6),
    }
    options = {"has_inf": 1, "has_nan": 0, "has_subnormal": 1, "saturation": 0}
    found = _qonnx(tmp_path, "FloatQuant", held, **options)
    np.testing.assert_array_equal(found, qonnx_formulas.float_quant(*held.values(), **options))


def test_an_unknown_rounding_is_a_reason(tmp_path: Path) -> None:
    held = {"v": _values(), "s": np.float32(0.1), "z": np.float32(0), "bits": np.float32(3)}
    nodes = [node(f"{QONNX}.Quant", " ".join(held), "w", rounding_mode="DICE"), node("MatMul", "x w")]
    assert "DICE" in only_skipped(save(model(nodes, held), tmp_path)).reason


def test_a_quantiser_of_another_domain_is_not_taken_for_one(tmp_path: Path) -> None:
    held = {"v": _values(), "s": np.float32(0.1), "z": np.float32(0), "bits": np.float32(3)}
    nodes = [node("acme.Quant", " ".join(held), "w"), node("MatMul", "x w")]
    skipped = only_skipped(save(model(nodes, held), tmp_path))
    assert "acme.Quant" in skipped.reason


def test_values_are_kept_when_the_array_is_not_writeable(tmp_path: Path) -> None:
    """Decoding never writes into the file's pages: a second reading gives the same."""
    q = codes("INT8", 60, 100)
    proto = newest([node("DequantizeLinear", "q s", "w"), node("MatMul", "x w")], {"q": q, "s": scales(100)})
    layer = only_layer(save(proto, tmp_path))
    first = layer.matrix().copy()
    np.testing.assert_array_equal(layer.matrix(), first)
    np.testing.assert_array_equal(first, numpy_helper.to_array(q).astype(np.float32) * scales(100))


@pytest.mark.parametrize("zero", [None, 0, -128, 5])
def test_a_single_number_is_decoded_as_any_array_is(zero):
    """Quantisers make codes of the numbers that activations are multiplied by, too."""
    held = None if zero is None else np.array(zero, np.int8)
    found = dequantize.affine(np.array(127, np.int8), np.array(0.5, np.float32), held)
    assert found.shape == ()
    assert float(found) == (127 - (zero or 0)) * 0.5
