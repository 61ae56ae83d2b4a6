"""Fused operations written out: the ordinary operations compute what onnxruntime's own kernel computes."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from onnxtop.auditing.story import audit
from onnxtop.reader.fused import FUSED, write_out
from onnxtop.reader.layer import Layer
from onnxtop.reader.loading import load
from tests.connectivity_truth import connected
from tests.models import MICROSOFT, graph, layers_of, model, node, save, weights
from tests.reader.extraction import run

Array = np.ndarray[Any, Any]
LAST = "qonnx.custom_op.channels_last"


def _random(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng((seed, *shape)).normal(size=shape).astype(np.float32)


def _codes(kind: Any, *shape: int, seed: int = 0) -> Array:
    limits = np.iinfo(kind)
    return np.random.default_rng((seed, *shape)).integers(limits.min, limits.max, shape).astype(kind)


def _scales(count: int) -> Array:
    return np.linspace(0.01, 0.03, count, dtype=np.float32)


@dataclass(frozen=True)
class Case:
    """One node: arrays named ``x...`` are fed, all others initializers."""

    op: str
    inputs: str
    arrays: Mapping[str, Any]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    outputs: str = "y"
    domain: str = MICROSOFT

    def __str__(self) -> str:
        settings = ",".join(f"{key}={value}" for key, value in self.attributes.items())
        shapes = ",".join("x".join(map(str, np.shape(array))) for array in self.arrays.values())
        return f"{self.op}({self.inputs};{shapes}){settings}->{self.outputs}".replace(" ", ",")

    @property
    def fed(self) -> dict[str, Array]:
        return {name: np.asarray(array) for name, array in self.arrays.items() if name.startswith("x")}

    def proto(self) -> ModelProto:
        op = f"{self.domain}.{self.op}" if self.domain else self.op
        held = {name: array for name, array in self.arrays.items() if name not in self.fed}
        made = node(op, self.inputs, self.outputs, name="fused", **self.attributes)
        outputs = [name for name in self.outputs.split() if name != "-"]
        made.output[:] = ["" if name == "-" else name for name in made.output]
        proto = model([made], held, {name: list(array.shape) for name, array in self.fed.items()}, outputs)
        for value in proto.graph.input:
            kind = helper.np_dtype_to_tensor_dtype(self.fed[value.name].dtype)
            value.type.tensor_type.elem_type = kind
        for value in proto.graph.output:
            value.ClearField("type")
        return proto


def products() -> Iterator[Case]:
    for ta, tb, alpha in ((0, 0, 1.0), (0, 1, 0.5), (1, 0, 2.0), (1, 1, 0.25)):
        a, b = ((5, 2) if ta else (2, 5)), ((3, 5) if tb else (5, 3))
        settings = {"transA": ta, "transB": tb, "alpha": alpha}
        yield Case("FusedMatMul", "x w", {"x": _random(4, *a), "w": _random(*b)}, settings)
        yield Case("FusedMatMul", "x x1", {"x": _random(4, *a), "x1": _random(4, *b)}, settings)
        batched = settings | {"transBatchA": 1, "transBatchB": 1}
        yield Case(
            "FusedMatMul", "x x1", {"x": _random(*a[:1], 4, a[1]), "x1": _random(b[0], 4, b[1])}, batched
        )
        gemm = settings | {"activation": "LeakyRelu", "activation_alpha": 0.2}
        yield Case("FusedGemm", "x w", {"x": _random(*a), "w": _random(*b)}, gemm)
        yield Case(
            "FusedGemm", "x w b", {"x": _random(*a), "w": _random(*b), "b": _random(3)}, gemm | {"beta": 2.0}
        )
    for activation in ("Relu", "Tanh", "Sigmoid", "Softplus"):
        given = {"x": _random(2, 5), "w": _random(5, 3), "b": _random(3)}
        yield Case("FusedGemm", "x w b", given, {"activation": activation})
    kernel = {"x": _random(1, 4, 6, 5), "w": _random(6, 2, 3, 2), "b": _random(6)}
    options = {"group": 2, "strides": [2, 1], "pads": [1, 0, 1, 1]}
    for activation, parameters in (
        ("Relu", None), ("LeakyRelu", [0.3]), ("Clip", [-0.5, 0.5]), ("HardSigmoid", [0.3, 0.4]),
        ("Tanh", None),
    ):  # fmt: skip
        settings = options | {"activation": activation}
        settings |= {"activation_params": parameters} if parameters else {}
        yield Case("FusedConv", "x w", {**kernel}, settings)
        yield Case("FusedConv", "x w b", kernel, settings)
    yield Case(
        "FusedConv", "x w b x1", kernel | {"x1": _random(1, 6, 3, 5)}, options | {"activation": "Relu"}
    )


def activations() -> Iterator[Case]:
    yield Case("Gelu", "x", {"x": _random(2, 5)})
    yield Case("BiasGelu", "x b", {"x": _random(2, 5), "b": _random(5)})
    yield Case("FastGelu", "x", {"x": _random(2, 5)})
    yield Case("FastGelu", "x b", {"x": _random(2, 5), "b": _random(5)})
    yield Case("QuickGelu", "x", {"x": _random(2, 5)})
    yield Case("Trilu", "x", {"x": _random(3, 3)})
    yield Case("Trilu", "x k", {"x": _random(2, 4, 3), "k": np.array(1)}, {"upper": 0})
    yield Case("QuickGelu", "x", {"x": _random(2, 5)}, {"alpha": 1.0})


def normalisation() -> Iterator[Case]:
    given = {"x": _random(2, 3, 6), "x1": _random(2, 3, 6, seed=1)}
    names = ("gamma", "beta", "bias")
    vectors = {name: _random(6, seed=seed) for seed, name in enumerate(names)}
    for inputs in ("gamma", "gamma beta", "gamma beta bias", "gamma - bias"):
        held = given | {name: vectors[name] for name in inputs.split() if name != "-"}
        for outputs in ("y", "y - - total"):
            yield Case("SkipLayerNormalization", f"x x1 {inputs}", held, {"epsilon": 1e-3}, outputs)
    for inputs in ("gamma", "gamma bias"):
        held = given | {name: vectors[name] for name in inputs.split()}
        yield Case(
            "SkipSimplifiedLayerNormalization", f"x x1 {inputs}", held, {"epsilon": 1e-3}, "y - - total"
        )


def codes() -> Iterator[Case]:
    for kind in (np.uint8, np.int8):
        x, s, z = _codes(kind, 2, 3, 5), np.float32(0.03), kind(3)
        y = {"ys": np.float32(0.05), "yz": kind(1)}
        given = {"x": x, "s": s, "z": z} | y
        yield Case("QLinearSigmoid", "x s z ys yz", given)
        yield Case("QLinearLeakyRelu", "x s z ys yz", given, {"alpha": 0.3})
        for axis, opset in ((-1, 13), (1, 13), (2, 12), (1, 12)):
            settings = {"axis": axis, "opset": opset}
            softmax = given | {"ys": np.float32(1 / 256), "yz": kind(np.iinfo(kind).min)}
            yield Case("QLinearSoftmax", "x s z ys yz", softmax, settings)
        both = given | {"x1": _codes(kind, 3, 5, seed=1), "s1": np.float32(0.02), "z1": kind(5)}
        yield Case("QLinearAdd", "x s z x1 s1 z1 ys yz", both)
        yield Case("QLinearMul", "x s z x1 s1 z1 ys yz", both)
        both = both | {"x1": _codes(kind, 2, 2, 5, seed=1)}
        yield Case("QLinearConcat", "ys yz x s z x1 s1 z1", both, {"axis": 1})
        same = both | {"x1": _codes(kind, 2, 3, 5, seed=1), "c": np.arange(30).reshape(2, 3, 5) % 3 > 0}
        yield Case("QLinearWhere", "c x s z x1 s1 z1 ys yz", same)
        images = given | {"x": _codes(kind, 1, 2, 16, 24)}
        yield Case("QLinearGlobalAveragePool", "x s z ys yz", images)
        yield Case("QLinearAveragePool", "x s z ys yz", images, {"kernel_shape": [2, 3], "strides": [2, 2]})
        w = {"w": _codes(kind, 5, 4), "ws": np.float32(0.02), "wz": kind(2)}
        rows = {"x": _codes(np.uint8, 3, 5), "s": s, "z": np.uint8(3), "ys": y["ys"], "yz": np.uint8(90)}
        yield Case("QLinearMatMul", "x s z w ws wz ys yz", rows | w, domain="")
        columns = w | {"ws": _scales(4), "wz": np.zeros(4, kind)}
        yield Case("QLinearMatMul", "x s z w ws wz ys yz", rows | columns, domain="")
        bias = {"b": np.arange(-2, 2).astype(np.int32) * 50}
        for weight in (w, columns):
            yield Case("QGemm", "x s z w ws wz", rows | weight, {"alpha": 0.5})
            yield Case("QGemm", "x s z w ws wz b", rows | weight | bias)
            yield Case("QGemm", "x s z w ws wz b ys yz", rows | weight | bias, {"alpha": 0.5})
            floats = rows | weight | {"b": _random(4)}
            yield Case("MatMulIntegerToFloat", "x w s ws z wz b", floats)
            yield Case("MatMulIntegerToFloat", "x w s ws z wz", floats)
            dynamic = weight | {"x": _random(3, 5), "b": _random(4)}
            yield Case("DynamicQuantizeMatMul", "x w ws wz b", dynamic)
            yield Case("DynamicQuantizeMatMul", "x w ws", dynamic | {"w": _codes(np.int8, 5, 4)})
        kernel = {
            "w": _codes(kind, 6, 2, 3, 2),
            "ws": _scales(6),
            "wz": kind(0),
            "b": np.arange(6).astype(np.int32),
        }
        pixels = rows | {"x": _codes(np.uint8, 1, 4, 6, 5)} | kernel
        settings = {"group": 2, "strides": [2, 1], "pads": [1, 0, 1, 1]}
        yield Case(
            "QLinearConv", "x s z w ws wz ys yz", pixels | {"ws": np.float32(0.02)}, settings, domain=""
        )
        yield Case("QLinearConv", "x s z w ws wz ys yz b", pixels, settings, domain="")
    short = {"x": _codes(np.int16, 3, 5), "s": np.float32(0.5), "z": np.int16(7)}
    yield Case("DequantizeLinear", "x s z", short)
    yield Case(
        "DequantizeLinear",
        "x s z",
        short | {"s": _scales(5), "z": np.arange(5).astype(np.int16)},
        {"axis": 1},
    )
    yield Case("QuantizeLinear", "x s z", {"x": _random(3, 5), "s": np.float32(0.1), "z": np.int16(7)})


def embeddings() -> Iterator[Case]:
    ids = np.array([[3, 8, 0, 1], [1, 2, 2, 7]], np.int32)
    tables = {"word": _random(9, 6), "position": _random(5, 6, seed=1), "segment": _random(2, 6, seed=2)}
    vectors = {"gamma": _random(6), "beta": _random(6, seed=1)}
    mask = {"xm": np.array([[1, 1, 1, 0], [1, 0, 0, 0]], np.int32)}
    segments = {"xs": np.array([[0, 1, 1, 0], [1, 1, 0, 0]], np.int32)}
    held = {"x": ids} | segments | tables | vectors
    plain = {name: array for name, array in held.items() if name not in ("xs", "segment")}
    for outputs in ("y m", "y m sum"):
        yield Case("EmbedLayerNormalization", "x xs word position segment gamma beta", held, {}, outputs)
        for settings in ({}, {"epsilon": 0.01}):
            inputs = "x xs word position segment gamma beta xm"
            yield Case("EmbedLayerNormalization", inputs, held | mask, settings, outputs)
    yield Case("EmbedLayerNormalization", "x - word position - gamma beta", plain, {}, "y m")
    places = plain | {"xp": np.array([[4, 3, 2, 1]], np.int32)}
    yield Case("EmbedLayerNormalization", "x - word position - gamma beta - xp", places, {}, "y m")
    coded: dict[str, Any] = {
        name: _codes(np.uint8, *array.shape) for name, array in (tables | vectors).items()
    }
    coded |= {f"s{name[0]}": np.float32(0.01 + 0.01 * place) for place, name in enumerate(coded)}
    coded |= {f"z{name}": np.uint8(100 + place) for place, name in enumerate("wpsgb")}
    scales = "sw sp ss sg sb zw zp zs zg zb"
    inputs = f"x xs word position segment gamma beta - {scales}"
    yield Case("QEmbedLayerNormalization", inputs, {"x": ids} | segments | coded, {}, "y m")
    inputs = f"x xs word position segment gamma beta xm {scales}"
    yield Case("QEmbedLayerNormalization", inputs, {"x": ids} | segments | coded | mask, {}, "y m")


CASES = [*embeddings(), *products(), *activations(), *normalisation(), *codes()]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_body_computes_what_the_kernel_computes(case: Case) -> None:
    proto = case.proto()
    written, calls = write_out(proto)
    assert [call.op_type for call in calls.values()] == [case.op]
    assert not any((made.domain, made.op_type) in FUSED for made in written.graph.node)
    for ours, theirs in zip(run(written, case.fed), run(proto, case.fed), strict=True):
        assert ours.dtype == theirs.dtype
        step = 1 if ours.dtype.kind in "iu" else 1e-5  # codes at a tie may be rounded either way
        np.testing.assert_allclose(ours.astype(float), theirs.astype(float), rtol=1e-5, atol=step)
        assert step < 1 or (ours == theirs).mean() > 0.9


@pytest.mark.parametrize(
    "made",
    [
        node(f"{MICROSOFT}.QuickGelu", "x"),
        node(f"{MICROSOFT}.FusedMatMul", "x w", alpha=0.5),
        node(f"{MICROSOFT}.FusedMatMul", "x x", alpha=0.5, transB=1),
        node(f"{MICROSOFT}.FusedConv", "i k", activation="Clip", activation_params=[-0.5, 0.5]),
    ],
    ids=lambda made: "-".join([made.op_type, *made.input]),
)
def test_a_number_of_the_body_has_the_type_of_what_it_meets(made: NodeProto) -> None:
    def answer(dtype: Any) -> Array:
        held = {"w": _random(4, 3).astype(dtype), "k": _random(2, 3, 2, 2).astype(dtype)}
        every = {"x": _random(2, 4).astype(dtype), "i": _random(1, 3, 4, 4).astype(dtype)}
        fed = {name: every[name] for name in every if name in made.input}
        shapes = {name: array.shape for name, array in fed.items()}
        return run(write_out(model([made], held, shapes, dtype=dtype))[0], fed)[0]

    half, single = answer(np.float16), answer(np.float32)
    assert half.dtype == np.float16
    np.testing.assert_allclose(half.astype(np.float32), single, atol=0.01)


def test_every_operation_that_is_written_out_has_a_case() -> None:
    cases = {(case.domain, case.op) for case in CASES} | {(LAST, "Conv"), (LAST, "MaxPool")}
    assert cases == set(FUSED)


@pytest.mark.parametrize("bias", ["", " b"])
def test_channels_last_are_channels_second_turned(bias: str) -> None:
    """QONNX's operations run nowhere: compare with the standard's on data with the channels second."""
    x, w = _random(2, 6, 5, 4), _random(6, 3, 2, 2)
    settings: dict[str, Any] = {"group": 2, "strides": [2, 1], "pads": [1, 0, 1, 1], "kernel_shape": [3, 2]}
    pool = {"kernel_shape": [2, 2], "strides": [1, 2]}
    held = {"b": _random(6)} if bias else {}
    shape = list(x.shape)
    nodes = [node(f"{LAST}.Conv", f"x w{bias}", "h", **settings), node(f"{LAST}.MaxPool", "h", **pool)]
    last, calls = write_out(model(nodes, held | {"w": w}, {"x": shape}))
    assert len(calls) == 2
    nodes = [node("Conv", f"x w{bias}", "h", **settings), node("MaxPool", "h", **pool)]
    second = model(nodes, held | {"w": np.moveaxis(w, -1, 1)}, {"x": [shape[0], shape[3], *shape[1:3]]})
    (ours,), (theirs,) = run(last, {"x": x}), run(second, {"x": np.moveaxis(x, -1, 1)})
    np.testing.assert_allclose(ours, np.moveaxis(theirs, 1, -1), rtol=1e-6)


REFUSED = {
    "an attribute that is not known": node(f"{MICROSOFT}.FusedMatMul", "x w", "y", flavour=1),
    "an input too many": node(f"{MICROSOFT}.BiasGelu", "x b x"),
    "an input too few": node(f"{MICROSOFT}.BiasGelu", "x"),
    "an attribute of another kind": node(f"{MICROSOFT}.QuickGelu", "x", "y", alpha="much"),
    "an output that no body makes": node(f"{MICROSOFT}.SkipSimplifiedLayerNormalization", "x x b", "z y"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_form_that_is_not_written_out_stays_and_is_reported(what: str, tmp_path: Path) -> None:
    proto = model([REFUSED[what]], {"w": weights(4, 4), "b": weights(4)})
    written, calls = write_out(proto)
    assert written is not proto or not calls
    assert [made.op_type for made in written.graph.node] == [made.op_type for made in proto.graph.node]
    assert layers_of(save(proto, tmp_path)) == [] or not isinstance(
        layers_of(tmp_path / "model.onnx")[0], Layer
    )


@pytest.mark.parametrize("where", ["value", "sparse_value", "sparse initializer", "another Constant"])
def test_the_rank_of_a_constant_is_known_wherever_it_is_held(where: str, tmp_path: Path) -> None:
    dense = numpy_helper.from_array(weights(4, 3), "w")
    held, places = numpy_helper.from_array(weights(4, 3).ravel(), "w"), numpy_helper.from_array(np.arange(12))
    sparse = helper.make_sparse_tensor(held, places, [4, 3])
    given = {
        "value": [node("Constant", "", "w", value=dense)],
        "sparse_value": [node("Constant", "", "w", sparse_value=sparse)],
        "another Constant": [node("other.Constant", "", "w", value=dense)],
    }
    proto = model([*given.get(where, []), node("com.microsoft.FusedMatMul", "x w", transB=1)])
    if where == "sparse initializer":
        proto.graph.sparse_initializer.append(sparse)
    turned = "Einsum" if where == "another Constant" else "Transpose"
    assert turned in [each.op_type for each in load(save(proto, tmp_path)).nodes]


def test_the_file_stays_as_it_is(tmp_path: Path) -> None:
    proto = model([node(f"{MICROSOFT}.BiasGelu", "x b")], {"b": weights(4)})
    found = load(save(proto, tmp_path))
    assert found.proto == proto
    assert [made.op_type for made in found.written.graph.node] == ["Add", "Gelu"]
    assert {made.op for made in found.nodes} == {f"{MICROSOFT}.BiasGelu"}


def test_names_and_numbers_are_those_of_the_file(tmp_path: Path) -> None:
    """A node without a name is called after its place in the file, whatever stands before it."""
    nodes = [node(f"{MICROSOFT}.QuickGelu", "x", "h"), node(f"{MICROSOFT}.FusedMatMul", "h w", alpha=0.5)]
    (layer,) = layers_of(save(model(nodes, {"w": weights(4, 3)}), tmp_path))
    assert isinstance(layer, Layer)
    assert (layer.name, layer.op_type, layer.uses) == ("w", f"{MICROSOFT}.FusedMatMul", ("FusedMatMul#1",))


def test_constants_of_a_body_are_not_the_files(tmp_path: Path) -> None:
    nodes = [node(f"{MICROSOFT}.QuickGelu", "x", "h"), node(f"{MICROSOFT}.FusedMatMul", "h w", alpha=0.5)]
    coverage = audit(save(model(nodes, {"w": weights(4, 3)}), tmp_path)).coverage
    assert (coverage.parameters_analysed, coverage.other_constants) == (12, 0)


@pytest.mark.parametrize("fused", [False, True])
def test_no_file_passes_its_nodes_for_parts_of_a_fused_operation(fused: bool, tmp_path: Path) -> None:
    """What a node that was written out is known by says nothing in a file."""
    ours = node("Constant", "", "c", value=helper.make_tensor("c", TensorProto.FLOAT, [3], [1.0, 2, 3]))
    table = node("Gather", "t i", "g", name="mine")
    for each in (ours, table):
        each.metadata_props.add(key="onnxtop.call", value="0")
        each.metadata_props.add(key="onnxtop.part", value="table")
    nodes = [node(f"{MICROSOFT}.Gelu", "x", "h")] if fused else [node("Relu", "x", "h")]
    held = {"t": weights(5, 4), "i": np.int64([0])}
    loaded = load(
        save(model([*nodes, ours, table, node("MatMul", "h w")], {**held, "w": weights(4, 4)}), tmp_path)
    )
    (gather,) = (each for each in loaded.nodes if each.op_type == "Gather")
    assert (gather.name, gather.origin.op_type, gather.part) == ("mine", "Gather", "")
    assert all(value.name != "c" for value in loaded.added)


def test_a_bias_of_a_fused_operation_counts_as_one(tmp_path: Path) -> None:
    """Also where it is the bias of no layer: the sum before a normalisation."""
    nodes = [node(f"{MICROSOFT}.SkipLayerNormalization", "x x g b c")]
    held = {"g": weights(4), "b": weights(4, seed=1), "c": weights(4, seed=2)}
    coverage = audit(save(model(nodes, held, {"x": [2, 4]}), tmp_path)).coverage
    assert (coverage.normalisation, coverage.biases) == (8, 4)


def test_in_a_body_of_an_if(tmp_path: Path) -> None:
    branch = graph([node(f"{MICROSOFT}.FusedMatMul", "x w", "r", transB=1)], {"w": weights(3, 4)}, {}, ["r"])
    other = graph([node(f"{MICROSOFT}.BiasGelu", "x b", "r")], {"b": weights(4)}, {}, ["r"])
    proto = model([node("If", "c", "y", then_branch=branch, else_branch=other)], {}, {"x": None, "c": ()})
    proto.graph.input[1].type.tensor_type.elem_type = TensorProto.BOOL
    (layer,) = layers_of(save(proto, tmp_path))
    assert isinstance(layer, Layer)
    np.testing.assert_array_equal(layer.matrix(), weights(3, 4).T)


TWINS = {
    "products": (
        [node(f"{MICROSOFT}.FusedGemm", "x w b", "h", activation="Relu"),
         node(f"{MICROSOFT}.FusedMatMul", "h v")],
        [node("Gemm", "x w b", "g"), node("Relu", "g", "h"), node("MatMul", "h v")],
    ),
    "a sum before a normalisation": (
        [node("MatMul", "x w", "h"), node(f"{MICROSOFT}.SkipLayerNormalization", "h x g b", "n"),
         node("MatMul", "n v")],
        [node("MatMul", "x w", "h"), node("Add", "h x", "s"), node("LayerNormalization", "s g b", "n"),
         node("MatMul", "n v")],
    ),
    "codes": (
        [node("QLinearMatMul", "x s z q s z s z", "h"), node("QLinearMatMul", "h s z p s z s z")],
        [node("DequantizeLinear", "x s z", "a"), node("DequantizeLinear", "q s z", "w"),
         node("MatMul", "a w", "m"), node("QuantizeLinear", "m s z", "h"),
         node("DequantizeLinear", "h s z", "e"), node("DequantizeLinear", "p s z", "v"),
         node("MatMul", "e v", "n"), node("QuantizeLinear", "n s z", "y")],
    ),
}  # fmt: skip


@pytest.mark.parametrize("opset", [13, 21])
@pytest.mark.parametrize("what", TWINS)
def test_neurons_and_weights_are_those_of_the_ordinary_operations(
    what: str, opset: int, tmp_path: Path
) -> None:
    """Also in a model whose opset is older than some operations of the bodies."""
    arrays = {"w": weights(4, 4), "v": weights(4, 3, seed=1), "b": weights(4), "g": weights(4, seed=1)}
    arrays |= {
        "q": _codes(np.uint8, 4, 4),
        "p": _codes(np.uint8, 4, 3),
        "s": np.float32(0.1),
        "z": np.uint8(9),
    }
    graphs = []
    for nodes in TWINS[what]:
        held = {name: arrays[name] for each in nodes for name in each.input if name in arrays}
        path = save(model(nodes, held, {"x": [2, 4]}, opset=opset), tmp_path)
        found = connected(path)
        assert found.hubs == ()
        graphs.append((found.graph, layers_of(path)))
    (one, ours), (other, theirs) = graphs
    assert (one.n_vertices, one.inputs.tolist(), one.outputs.tolist()) == (
        other.n_vertices, other.inputs.tolist(), other.outputs.tolist()
    )  # fmt: skip
    np.testing.assert_array_equal(one.structural, other.structural)
    for mine, yours in zip(one.blocks, other.blocks, strict=True):
        assert (mine.rows.tolist(), mine.columns.tolist()) == (yours.rows.tolist(), yours.columns.tolist())
    for layer, twin in zip(ours, theirs, strict=True):
        assert isinstance(layer, Layer)
        assert isinstance(twin, Layer)
        assert (layer.weight, layer.encoding) == (twin.weight, twin.encoding)
        np.testing.assert_array_equal(layer.matrix(), twin.matrix())
