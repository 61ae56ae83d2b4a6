"""Models made to cost: absurd sizes behind small files, long chains, many nodes.

Each gives an answer or a reason, in little memory and before anyone would stop waiting.
"""

import math
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

from onnxtop.auditing.story import audit
from onnxtop.errors import OnnxtopError
from onnxtop.reader.layer import Layer
from onnxtop.reader.layers import read_layers
from tests.models import MICROSOFT, check_consistent, graph, model, node, save, weights
from tests.reader.quantised_models import codes, newest, scales


@contextmanager
def _little_memory(megabytes: int = 400) -> Iterator[None]:
    """Fail if the block takes more; a request that the system refuses counts too."""
    tracemalloc.start()
    try:
        yield
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < megabytes * 2**20


def _declared(kind: int, *dims: int) -> TensorProto:
    """Return a tensor that declares dims and holds nothing."""
    return TensorProto(data_type=kind, dims=dims)


HUGE = 2**20


def _fill(name: str, *dims: int, value: Any = None) -> tuple[Any, dict[str, Any]]:
    made = node("ConstantOfShape", f"{name}_dims", name)
    if value is not None:
        made.attribute.append(helper.make_attribute("value", value))
    return made, {f"{name}_dims": np.array(dims)}


def _quantised_fill() -> tuple[list[Any], dict[str, Any]]:
    fill, held = _fill("q", HUGE, HUGE, value=helper.make_tensor("v", TensorProto.INT8, [1], [3]))
    return [fill, node("DequantizeLinear", "q s", "w"), node("MatMul", "x w")], {**held, "s": np.float32(0.5)}


ABSURD: dict[str, tuple[list[Any], dict[str, Any]]] = {
    "codes without data": (
        [node("DequantizeLinear", "q s", "w"), node("MatMul", "x w")],
        {"q": _declared(TensorProto.INT8, HUGE, HUGE), "s": np.float32(0.5)},
    ),
    "packed codes without data": (
        [node("DequantizeLinear", "q s", "w"), node("MatMul", "x w")],
        {"q": _declared(TensorProto.INT4, HUGE, HUGE), "s": np.float32(0.5)},
    ),
    "scales without data": (
        [node("DequantizeLinear", "q s", "w", axis=0, block_size=2), node("MatMul", "x w")],
        {"q": codes("INT8", 6, 4), "s": _declared(TensorProto.FLOAT, HUGE, HUGE)},
    ),
    "codes that a fill makes": _quantised_fill(),
    "codes that are expanded": (
        [node("Expand", "q dims", "e"), node("DequantizeLinear", "e s", "w"), node("MatMul", "x w")],
        {"q": codes("INT8", 1, 1), "dims": np.array([HUGE, HUGE]), "s": np.float32(0.5)},
    ),
    "decoded, then tiled": (
        [node("DequantizeLinear", "q s", "w"), node("Tile", "w often", "t"), node("MatMul", "x t")],
        {"q": codes("INT8", 6, 4), "often": np.array([HUGE, HUGE]), "s": np.float32(0.5)},
    ),
    "a scale that broadcasts": (
        [node("Mul", "v s", "w"), node("MatMul", "x w")],
        {"v": weights(2**17, 1), "s": weights(1, 2**17)},
    ),
    "a few bits": (
        [node(f"{MICROSOFT}.MatMulNBits", "x q s", K=2**40, N=2**40, bits=4, block_size=32)],
        {"q": np.zeros((2, 1, 16), np.uint8), "s": scales(2, 1)},
    ),
    "a few bits in one huge block": (
        [node(f"{MICROSOFT}.MatMulNBits", "x q s", K=32, N=2, bits=4, block_size=2**40)],
        {"q": np.zeros((2, 1, 16), np.uint8), "s": scales(2, 1)},
    ),
    "a table in blocks": (
        [node(f"{MICROSOFT}.GatherBlockQuantized", "q x s", block_size=2**40)],
        {"q": codes("INT4", 4, 32), "s": scales(4, 1)},
    ),
    "blocks of codes": (
        [node("DequantizeLinear", "q s", "w", axis=0, block_size=2**40), node("MatMul", "x w")],
        {"q": codes("INT8", 6, 4), "s": scales(1, 4)},
    ),
    "recurrent weights without data": (
        [node("LSTM", "x w r", "y", hidden_size=HUGE)],
        {
            "w": _declared(TensorProto.FLOAT, 1, 4 * HUGE, HUGE),
            "r": _declared(TensorProto.FLOAT, 1, 4 * HUGE, HUGE),
        },
    ),
    "a million directions": (
        [node("LSTM", "x w r", "y", hidden_size=1)],
        {"w": weights(2**20, 4, 1)[:0], "r": _declared(TensorProto.FLOAT, HUGE, 4, 1)},
    ),
    "attention without data": (
        [node(f"{MICROSOFT}.Attention", "x w", num_heads=1)],
        {"w": _declared(TensorProto.FLOAT, HUGE, 3 * HUGE)},
    ),
    "a fill as a table": (
        [_fill("w", HUGE, HUGE)[0], node("Gather", "w x")],
        _fill("w", HUGE, HUGE)[1],
    ),
    "fake quantisation of a fill": (
        [
            _fill("v", HUGE, HUGE)[0],
            node("qonnx.custom_op.general.Quant", "v s z b", "w"),
            node("MatMul", "x w"),
        ],
        {**_fill("v", HUGE, HUGE)[1], "s": np.float32(1), "z": np.float32(0), "b": np.float32(4)},
    ),
}


@pytest.mark.parametrize("what", ABSURD)
def test_absurd_sizes(tmp_path: Path, what: str) -> None:
    nodes, held = ABSURD[what]
    path = save(newest(nodes, held), tmp_path)
    with _little_memory():
        try:
            report = audit(path)
        except OnnxtopError as error:
            assert "\n" not in str(error)
            return
    check_consistent(report)
    assert sum(layer.parameters for layer in report.layers) < 2**22
    assert report.layers or report.coverage.skipped


def _chain(count: int, *, used: bool) -> ModelProto:
    """Return a weight behind so many aliases of aliases, each with a product of its own if ``used``."""
    nodes = []
    value = "w"
    for number in range(count):
        nodes.append(node("Identity", value, f"i{number}"))
        value = f"i{number}"
        if used:
            nodes.append(node("MatMul", f"x {value}", f"y{number}"))
    if not used:
        nodes.append(node("MatMul", f"x {value}", "y0"))
    return model(nodes, {"w": weights(4, 4)}, outputs=["y0"])


def test_thousands_of_aliases(tmp_path: Path) -> None:
    path = save(_chain(4_000, used=False), tmp_path)
    (layer,) = read_layers(path)
    assert isinstance(layer, Layer)
    np.testing.assert_array_equal(layer.matrix(), weights(4, 4))


def test_thousands_of_aliases_each_used(tmp_path: Path) -> None:
    path = save(_chain(2_000, used=True), tmp_path)
    report = audit(path)
    (layer,) = report.layers
    assert len(layer.uses) == 2_000


def test_thousands_of_quantised_products(tmp_path: Path) -> None:
    """A third of the nodes are weighted, each weight with a decoder of its own."""
    nodes, held, value = [], {}, "x"
    for number in range(1_200):
        held[f"q{number}"] = codes("INT8", 4, 4, seed=number)
        nodes += [
            node("DequantizeLinear", f"q{number} s", f"w{number}"),
            node("MatMul", f"{value} w{number}", f"h{number}"),
            node("Relu", f"h{number}", f"a{number}"),
        ]
        value = f"a{number}"
    path = save(newest(nodes, {**held, "s": scales(4)}, outputs=[value]), tmp_path)
    layers = read_layers(path)
    assert len(layers) == 1_200
    assert all(isinstance(layer, Layer) for layer in layers)


def test_a_long_chain_behind_integer_products(tmp_path: Path) -> None:
    """Each product is followed by a long chain of factors that could be its scale."""
    nodes, held = [], {"q": codes("INT8", 4, 4), "s": np.float32(1)}
    for start in range(20):
        nodes += [node("MatMulInteger", "x q", f"i{start}"), node("Cast", f"i{start}", f"f{start}_0", to=1)]
        nodes += [node("Mul", f"f{start}_{i} s", f"f{start}_{i + 1}") for i in range(250)]
    proto = model(nodes, held, outputs=["f0_250"])
    path = save(proto, tmp_path)
    assert len(read_layers(path)) == 1


def test_constants_that_double(tmp_path: Path) -> None:
    """Forty concatenations of a value with itself: 2^40 elements from four bytes."""
    nodes = [node("Concat", f"c{i} c{i}", f"c{i + 1}", axis=0) for i in range(40)]
    path = save(model([*nodes, node("MatMul", "x c40")], {"c0": weights(1, 4)}), tmp_path)
    with _little_memory(megabytes=1200):
        report = audit(path)
    check_consistent(report)
    assert report.layers == ()
    (skipped,) = report.coverage.skipped
    assert "limit" in skipped.reason


def test_sums_that_double(tmp_path: Path) -> None:
    """Forty sums of a value with itself: one pass each, not 2^40."""
    nodes = [node("Add", f"c{i} c{i}", f"c{i + 1}") for i in range(40)]
    path = save(model([*nodes, node("MatMul", "x c40")], {"c0": weights(4, 4)}), tmp_path)
    (layer,) = read_layers(path)
    assert isinstance(layer, Layer)
    np.testing.assert_array_equal(layer.matrix(), weights(4, 4) * np.float32(2**40))


def test_many_branches_with_the_same_names(tmp_path: Path) -> None:
    inner = graph([node("MatMul", "x w", "r")], {"w": weights(4, 4)}, {}, ["r"])
    nodes = [node("If", "c", f"y{i}", then_branch=inner, else_branch=inner) for i in range(120)]
    path = save(model(nodes, {}, {"x": None, "c": ()}, ["y0"]), tmp_path)
    report = audit(path)
    assert len(report.layers) == 240
    assert len({layer.name for layer in report.layers}) == 240
    assert report.coverage.parameters_analysed == 240 * 16


def test_a_type_that_nobody_knows(tmp_path: Path) -> None:
    unknown = TensorProto(data_type=99, dims=[6, 4], raw_data=bytes(24))
    for nodes in (
        [node("MatMul", "x w")],
        [node("DequantizeLinear", "w s", "v"), node("MatMul", "x v")],
        [node("QLinearMatMul", "x s z w s z s z")],
    ):
        held = {"w": unknown, "s": np.float32(1), "z": np.uint8(0)}
        path = save(newest(nodes, held), tmp_path)
        try:
            report = audit(path)
        except OnnxtopError as error:
            assert "\n" not in str(error)
        else:
            assert report.layers == ()


@pytest.mark.parametrize("kind", ["STRING", "BOOL", "COMPLEX64", "INT64", "INT32"])
def test_types_that_are_no_weights(tmp_path: Path, kind: str) -> None:
    element = getattr(TensorProto, kind)
    if kind == "STRING":
        held = helper.make_tensor("w", element, [2, 2], [b"a", b"b", b"c", b"d"])
    else:
        held = numpy_helper.from_array(
            np.arange(24).reshape(6, 4).astype(helper.tensor_dtype_to_np_dtype(element)), "w"
        )
    path = save(model([node("MatMul", "x w")], {"w": held}), tmp_path)
    report = audit(path)
    check_consistent(report)
    assert report.layers == ()
    assert all(item.reason for item in report.coverage.skipped)


def test_infinite_and_missing_scales(tmp_path: Path) -> None:
    """What they decode to is not finite: the report says so and gives no figure."""
    for bad in (math.inf, math.nan):
        held = {"q": codes("INT8", 6, 4), "s": np.array([1, bad, 1, 1], np.float32)}
        path = save(newest([node("DequantizeLinear", "q s", "w"), node("MatMul", "x w")], held), tmp_path)
        (layer,) = audit(path).layers
        assert layer.nonfinite > 0
        assert layer.neural_persistence.total is None
        assert layer.neural_persistence.reason


def test_a_scale_of_zero(tmp_path: Path) -> None:
    """Every code means zero: a layer without a strongest weight."""
    held = {"q": codes("INT8", 6, 4), "s": np.float32(0)}
    path = save(newest([node("DequantizeLinear", "q s", "w"), node("MatMul", "x w")], held), tmp_path)
    report = audit(path)
    check_consistent(report)
    (layer,) = report.layers
    assert layer.largest == 0
