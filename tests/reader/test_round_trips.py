"""Trained nets quantised by onnxruntime's own tools: every layer answers as its node, and as its float twin.

``check_model`` holds each matrix against the runtime (exactly but for the rounding of sums); the float net
tells the orientation, and that nothing is missing.
"""

import functools
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper
from onnxruntime.capi import _pybind_state as runtime
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_dynamic,
    quantize_static,
)

from onnxtop.auditing.options import AuditOptions
from onnxtop.auditing.story import audit
from onnxtop.reader.layer import Layer, Skipped
from onnxtop.reader.layers import read_layers
from tests.models import save
from tests.reader.responses import check_model

Array = np.ndarray[Any, Any]

SHAPES = {
    "mlp_torch_dynamo": (64,),
    "cnn_torch_dynamo": (1, 8, 8),
    "transformer_torch_dynamo": (8, 8),
    "lstm_torch_legacy": (8, 8),
}


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """Keep the quantiser's advice (preprocess first) out of the tests' output."""
    logging.disable(logging.WARNING)
    yield
    logging.disable(logging.NOTSET)


class _Pictures(CalibrationDataReader):
    """A few of the digits that the nets were trained on."""

    def __init__(self, folder: Path, shape: tuple[int, ...]) -> None:
        pictures = np.load(folder / "digits.npz")["x"][:16]
        self._batches = iter([{"x": pictures.reshape(-1, *shape)}])

    def get_next(self) -> dict[str, Array] | None:
        return next(self._batches, None)


def _static(samples: Path, tmp_path: Path, name: str, **options: Any) -> Path:
    path = tmp_path / "quantised.onnx"
    quantize_static(samples / f"{name}.onnx", path, _Pictures(samples, SHAPES[name]), **options)
    return path


@functools.cache
def _plain_layers(path: Path) -> list[Layer | Skipped]:
    """Return the layers of a float net, which has many twins."""
    return read_layers(path)


@functools.cache
def _plain_mean(path: Path) -> float | None:
    return audit(path, AuditOptions(structure=False)).network.neural_persistence.mean_normalized


def _pairs(samples: Path, name: str, path: Path) -> list[tuple[Layer, Layer]]:
    """Return the layers of the float net with those of its twin; the same ones, in the same order."""
    sides = [_plain_layers(samples / f"{name}.onnx"), read_layers(path)]
    assert [
        [(layer.n_in, layer.n_out) for layer in side if isinstance(layer, Layer)] for side in sides[:1]
    ] == [[(layer.n_in, layer.n_out) for layer in side if isinstance(layer, Layer)] for side in sides[1:]]
    assert all(isinstance(layer, Layer) for side in sides for layer in side), sides[1]
    return list(zip(*sides, strict=True))  # type: ignore[arg-type]


def _check(samples: Path, name: str, path: Path, *, levels: int, encoding: str) -> None:
    """Compare with the runtime, with the float net (within one step of so many levels), and the coverage."""
    number, wrong = check_model(path)
    assert wrong == []
    pairs = _pairs(samples, name, path)
    assert number == len(pairs)
    for plain, coded in pairs:
        assert encoding in str(coded.encoding)
        for a, b in zip(plain.blocks(), coded.blocks(), strict=True):
            step = 2 * np.abs(a).max() / levels
            np.testing.assert_allclose(b, a, rtol=0, atol=step, err_msg=coded.name)
            assert not np.array_equal(a, b)
    coverage = audit(path, AuditOptions(structure=False, topology=False)).coverage
    assert coverage.fraction == 1
    assert coverage.parameters_analysed == sum(plain.parameters for plain, _ in pairs)


def _same_topology(samples: Path, name: str, path: Path, tolerance: float) -> None:
    found = audit(path, AuditOptions(structure=False)).network.neural_persistence
    assert found.mean_normalized == pytest.approx(_plain_mean(samples / f"{name}.onnx"), rel=tolerance)


QDQ: dict[str, tuple[Mapping[str, Any], int]] = {
    "int8": ({"weight_type": QuantType.QInt8}, 254),
    "uint8": ({"weight_type": QuantType.QUInt8, "activation_type": QuantType.QUInt8}, 255),
    "int16": ({"weight_type": QuantType.QInt16, "activation_type": QuantType.QUInt16}, 65534),
    "uint16": ({"weight_type": QuantType.QUInt16, "activation_type": QuantType.QUInt16}, 65535),
    "int4": ({"weight_type": QuantType.QInt4}, 14),
    "uint4": ({"weight_type": QuantType.QUInt4}, 15),
}
"""Options of the quantiser, and into how many steps the range of a weight is cut at least."""


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("kind", QDQ)
@pytest.mark.parametrize("name", ["mlp_torch_dynamo", "cnn_torch_dynamo"])
def test_quantise_and_dequantise(
    samples: Path, tmp_path: Path, name: str, kind: str, per_channel: bool
) -> None:
    options, levels = QDQ[kind]
    path = _static(samples, tmp_path, name, quant_format=QuantFormat.QDQ, per_channel=per_channel, **options)
    _check(samples, name, path, levels=levels, encoding=kind)
    if levels > 200:
        _same_topology(samples, name, path, 0.03)


@pytest.mark.parametrize("kind", ["int8", "int4"])
def test_a_quantised_transformer(samples: Path, tmp_path: Path, kind: str) -> None:
    options, levels = QDQ[kind]
    name = "transformer_torch_dynamo"
    path = _static(samples, tmp_path, name, quant_format=QuantFormat.QDQ, per_channel=True, **options)
    _check(samples, name, path, levels=levels, encoding=kind)


@pytest.mark.parametrize(
    "options", [{}, {"WeightSymmetric": False}, {"ActivationSymmetric": True}, {"QuantizeBias": False}]
)
def test_options_of_the_quantiser(samples: Path, tmp_path: Path, options: Mapping[str, Any]) -> None:
    name = "mlp_torch_dynamo"
    path = _static(samples, tmp_path, name, quant_format=QuantFormat.QDQ, extra_options=dict(options))
    _check(samples, name, path, levels=254, encoding="int8")
    for plain, coded in _pairs(samples, name, path):
        np.testing.assert_allclose(coded.bias(), plain.bias(), atol=np.abs(plain.bias()).max() / 50)


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("name", ["mlp_torch_dynamo", "cnn_torch_dynamo", "transformer_torch_dynamo"])
def test_quantised_operations(samples: Path, tmp_path: Path, name: str, per_channel: bool) -> None:
    """QLinearConv, QLinearMatMul and QGemm."""
    path = _static(
        samples,
        tmp_path,
        name,
        quant_format=QuantFormat.QOperator,
        per_channel=per_channel,
        weight_type=QuantType.QInt8,
        activation_type=QuantType.QUInt8,
    )
    operations = {layer.op_type for layer in read_layers(path)}
    assert operations & {"QLinearConv", "QLinearMatMul", "com.microsoft.QGemm"}
    _check(samples, name, path, levels=254, encoding="int8")
    for plain, coded in _pairs(samples, name, path):
        if plain.bias() is not None and coded.op_type != "QLinearMatMul":  # QLinearAdd is no bias yet
            scale = np.abs(plain.bias()).max() or 1
            np.testing.assert_allclose(coded.bias(), plain.bias(), atol=scale / 50, err_msg=coded.name)


@pytest.mark.parametrize("kind", [QuantType.QInt8, QuantType.QUInt8])
@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("name", SHAPES)
def test_dynamic(samples: Path, tmp_path: Path, name: str, per_channel: bool, kind: QuantType) -> None:
    """MatMulInteger, ConvInteger and DynamicQuantizeLSTM."""
    proto = onnx.load(samples / f"{name}.onnx")
    del proto.graph.value_info[:]  # the quantiser transposes weights and trips over the shapes of before
    path = tmp_path / "quantised.onnx"
    quantize_dynamic(save(proto, tmp_path), path, per_channel=per_channel, weight_type=kind)
    _check(samples, name, path, levels=254, encoding="int8")
    _same_topology(samples, name, path, 0.03)


def _packed(weight: Array, bits: int, block: int, symmetric: bool) -> dict[str, Array]:
    """Quantise (n_in, n_out) with the runtime's own routine, as its MatMulNBits quantiser does."""
    rows, columns = weight.shape
    blocks = -(-rows // block)
    per_byte = 8 // bits
    codes = np.zeros((columns, blocks, block // per_byte), np.uint8)
    zero_points = np.zeros((columns, -(-blocks // per_byte)), np.uint8)
    scales = np.zeros((columns, blocks), np.float32)
    routine = getattr(runtime, f"quantize_matmul_{bits}bits")
    routine(codes, np.ascontiguousarray(weight), scales, zero_points, block, columns, rows, symmetric)
    made = {"codes": codes, "scales": scales}
    return made if symmetric else {**made, "zero_points": zero_points}


def _replaced(samples: Path, name: str, quantise: Any) -> ModelProto:
    """Return the net with every product by a constant made by ``quantise(node, weight, prefix)``."""
    proto = onnx.load(samples / f"{name}.onnx")
    held = {tensor.name: tensor for tensor in proto.graph.initializer}
    nodes = []
    for number, node in enumerate(proto.graph.node):
        if node.op_type not in ("MatMul", "Gemm") or node.input[1] not in held:
            nodes.append(node)
            continue
        weight = numpy_helper.to_array(held[node.input[1]])
        if any(item.name == "transB" and item.i for item in node.attribute):
            weight = weight.T
        made, arrays = quantise(node, np.ascontiguousarray(weight), f"q{number}.")
        proto.graph.initializer.extend(
            array if isinstance(array, TensorProto) else numpy_helper.from_array(array, key)
            for key, array in arrays.items()
        )
        nodes += made
        held.pop(node.input[1])
    del proto.graph.node[:]
    proto.graph.node.extend(nodes)
    used = {name for node in nodes for name in node.input}
    kept = [tensor for tensor in proto.graph.initializer if tensor.name in used]
    del proto.graph.initializer[:]
    proto.graph.initializer.extend(kept)
    proto.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    return proto


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("block", [16, 32, 128])
@pytest.mark.parametrize("bits", [2, 4, 8])
def test_products_of_few_bits(samples: Path, tmp_path: Path, bits: int, block: int, symmetric: bool) -> None:
    def quantise(node: Any, weight: Array, prefix: str) -> Any:
        held = {f"{prefix}{key}": array for key, array in _packed(weight, bits, block, symmetric).items()}
        options = {"K": weight.shape[0], "N": weight.shape[1], "bits": bits, "block_size": block}
        inputs = [node.input[0], *held]
        if len(node.input) > 2:
            inputs += [""] * (5 - len(inputs)) + [node.input[2]]
        made = helper.make_node("MatMulNBits", inputs, node.output, domain="com.microsoft", **options)
        return [made], held

    for name in ("mlp_torch_dynamo", "transformer_torch_dynamo"):
        path = save(_replaced(samples, name, quantise), tmp_path)
        levels = 2**bits - 1 if not symmetric else 2**bits
        _check(samples, name, path, levels=max(1, levels // 2), encoding=f"uint{bits} block {block}")
        for plain, coded in _pairs(samples, name, path):
            if plain.bias() is not None:
                np.testing.assert_array_equal(coded.bias(), plain.bias())


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("block", [16, 32, 128])
def test_four_bits_in_blocks_before_dequantize_linear(
    samples: Path, tmp_path: Path, block: int, symmetric: bool
) -> None:
    """The other form that the runtime's quantiser writes: packed along the columns, opset 21."""

    def quantise(node: Any, weight: Array, prefix: str) -> Any:
        rows, columns = weight.shape
        blocks = -(-rows // block)
        codes = np.zeros((rows * columns + 1) // 2, np.uint8)
        zeros = np.zeros((columns * blocks + 1) // 2, np.uint8)
        scales = np.zeros((blocks, columns), np.float32)
        runtime.quantize_qdq_matmul_4bits(codes, weight, scales, zeros, block, columns, rows, symmetric)
        kind = TensorProto.INT4 if symmetric else TensorProto.UINT4
        held: dict[str, Any] = {
            f"{prefix}codes": helper.make_tensor(
                f"{prefix}codes", kind, weight.shape, codes.tobytes(), raw=True
            ),
            f"{prefix}scales": scales,
        }
        if not symmetric:
            held[f"{prefix}zeros"] = helper.make_tensor(
                f"{prefix}zeros", kind, scales.shape, zeros.tobytes(), raw=True
            )
        decode = helper.make_node("DequantizeLinear", list(held), [f"{prefix}w"], axis=0, block_size=block)
        product = helper.make_node(node.op_type, [node.input[0], f"{prefix}w", *node.input[2:]], node.output)
        return [decode, product], held

    name = "mlp_torch_dynamo"
    proto = _replaced(samples, name, quantise)
    for opset in proto.opset_import:
        opset.version = 21 if not opset.domain else opset.version
    path = save(proto, tmp_path)
    _check(samples, name, path, levels=7, encoding=f"int4 block {block}")


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_another_float_type(samples: Path, tmp_path: Path, name: str, dtype: Any) -> None:
    """Every float tensor converted, as converters to half precision do."""
    proto = onnx.load(samples / f"{name}.onnx")
    for tensor in proto.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT:
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(dtype), tensor.name))
    for node in proto.graph.node:
        for attribute in node.attribute:
            if attribute.name == "value" and attribute.t.data_type == TensorProto.FLOAT:
                array = numpy_helper.to_array(attribute.t).astype(dtype)
                attribute.t.CopyFrom(numpy_helper.from_array(array))
    path = save(proto, tmp_path)
    for plain, other in _pairs(samples, name, path):
        assert str(other.encoding) == np.dtype(dtype).name
        for a, b in zip(plain.blocks(), other.blocks(), strict=True):
            np.testing.assert_array_equal(b, a.astype(dtype))
    _same_topology(samples, name, path, 1e-3)
