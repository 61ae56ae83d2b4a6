"""What a report says of a layer beside its topology, against NumPy; the codes behind a layer."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from onnx import numpy_helper

from onnxtop.auditing.options import AuditOptions
from onnxtop.auditing.story import audit
from onnxtop.reader.layers import read_layers
from onnxtop.results.report import LayerReport
from tests.models import MICROSOFT, mlp, model, node, only_layer, save, weights


def layers_of(path: Path, **options: object) -> dict[str, LayerReport]:
    return {layer.name: layer for layer in audit(path, AuditOptions(**options)).layers}  # type: ignore[arg-type]


def test_variance_is_that_of_the_strengths(samples: Path) -> None:
    path = samples / "mlp_torch_legacy.onnx"
    report = audit(path)
    scale = report.network.neural_persistence.scale
    for layer, shown in zip(read_layers(path), report.layers, strict=True):
        strengths = np.abs(layer.matrix().astype(np.float64)) / scale
        assert shown.variance == pytest.approx(strengths.var(), rel=1e-5)
        assert shown.reason is None


def test_the_null_model_adds_up(samples: Path) -> None:
    for layer in layers_of(samples / "mlp_torch_legacy.onnx").values():
        figures = layer.neural_persistence
        assert figures.excess == pytest.approx(figures.normalized - figures.null_mean)
        assert figures.z == pytest.approx(figures.excess / figures.null_std)
        assert figures.reason is None


def test_the_seed_changes_nothing_in_a_report(samples: Path) -> None:
    one, two = (
        audit(samples / "mlp_torch_legacy.onnx", seed=seed, sortedness=True).to_dict() for seed in (0, 1)
    )
    assert one == two


def test_where_there_is_no_null_model(samples: Path) -> None:
    unrolled = layers_of(samples / "cnn_torch_legacy.onnx", conv="unrolled")["/conv2/Conv"]
    assert unrolled.neural_persistence.z is None
    assert "flattened" in str(unrolled.neural_persistence.reason)
    assert unrolled.exchangeability is not None


def test_a_bias_row_has_a_null_model_of_its_own(samples: Path) -> None:
    alone, joined = (
        layers_of(samples / "mlp_torch_legacy.onnx", bias=bias)["/hidden1/Gemm"].neural_persistence
        for bias in ("none", "row")
    )
    assert alone.z is not None
    assert joined.z is not None
    assert joined.null_mean != alone.null_mean
    assert joined.excess_share == pytest.approx((joined.normalized - joined.null_mean) / joined.normalized)


def test_the_verdict_on_a_layer(samples: Path) -> None:
    trained = layers_of(samples / "mlp_torch_legacy.onnx")["/hidden1/Gemm"].exchangeability
    random = layers_of(samples / "mlp_untrained.onnx")["hidden1"].exchangeability
    assert trained is not None
    assert random is not None
    assert trained.exchangeable is False
    assert trained.initialiser is None
    assert (random.exchangeable, random.initialiser, random.fits) == (True, "PyTorch default", True)


def test_a_layer_that_is_not_finite_has_no_figures(tmp_path: Path) -> None:
    held = {"w": weights(5, 4) * float("nan")}
    (layer,) = layers_of(save(model([node("MatMul", "x w", name="fc")], held), tmp_path)).values()
    assert (layer.variance, layer.statistics, layer.exchangeability) == (None, None, None)
    assert layer.reason


def test_layers_that_are_only_read_have_no_statistics(tmp_path: Path) -> None:
    assert all(
        layer.statistics is None for layer in layers_of(save(mlp(7, 5), tmp_path), topology=False).values()
    )


def test_statistics_do_not_depend_on_how_a_weight_is_stored(tmp_path: Path) -> None:
    array = weights(20, 30)
    straight = model([node("MatMul", "x w", name="fc")], {"w": array})
    turned = model([node("Gemm", "x w", name="fc", transB=1)], {"w": array.T.copy()})
    one, two = (
        layers_of(save(each, tmp_path, f"{number}.onnx"))["fc"].statistics
        for number, each in enumerate((straight, turned))
    )
    assert one is not None
    assert two is not None
    assert dataclasses.replace(one, sketch=None, rms=0) == dataclasses.replace(two, sketch=None, rms=0)


# Codes


CODES = np.random.default_rng(0).integers(-127, 128, (32, 6)).astype(np.int8)


@pytest.mark.parametrize("scale", [np.float32(0.5), np.arange(1, 7, dtype=np.float32)])
def test_codes_behind_a_decoder(tmp_path: Path, scale: np.ndarray) -> None:
    nodes = [node("DequantizeLinear", "q s", "w", axis=1), node("MatMul", "x w", name="fc")]
    raw = only_layer(save(model(nodes, {"q": CODES, "s": scale}), tmp_path)).codes()
    assert raw is not None
    assert (raw.bits, raw.scale.tolist()) == (8, np.ravel(scale).tolist())
    assert np.array_equal(raw.codes, CODES)


def test_codes_behind_a_transpose(tmp_path: Path) -> None:
    nodes = [
        node("DequantizeLinear", "q s", "d"),
        node("Transpose", "d", "w", perm=[1, 0]),
        node("MatMul", "x w", name="fc"),
    ]
    raw = only_layer(save(model(nodes, {"q": CODES, "s": np.float32(2)}), tmp_path)).codes()
    assert raw is not None
    assert np.array_equal(raw.codes, CODES)


def test_codes_of_an_integer_product(tmp_path: Path) -> None:
    nodes = [
        node("DynamicQuantizeLinear", "x", "q qs qz"),
        node("MatMulInteger", "q w qz z", "i", name="fc"),
        node("Cast", "i", "f", to=1),
        node("Mul", "qs s", "both"),
        node("Mul", "f both"),
    ]
    held = {"w": CODES, "z": np.int8(0), "s": np.float32(0.25)}
    raw = only_layer(save(model(nodes, held), tmp_path)).codes()
    assert raw is not None
    assert (raw.bits, raw.scale.tolist()) == (8, [0.25])
    assert np.array_equal(raw.codes, CODES)


def test_packed_codes(tmp_path: Path) -> None:
    packed = np.random.default_rng(1).integers(0, 256, (6, 2, 8), np.uint8)
    held = {"w": packed, "s": np.ones(12, np.float32)}
    product = node(f"{MICROSOFT}.MatMulNBits", "x w s", name="fc", K=32, N=6, bits=4, block_size=16)
    raw = only_layer(save(model([product], held), tmp_path)).codes()
    assert raw is not None
    assert (raw.bits, raw.codes.size, int(raw.codes.max())) == (4, 192, 15)


def test_floats_have_no_codes(tmp_path: Path) -> None:
    assert only_layer(save(mlp(7, 5), tmp_path)).codes() is None


def untrained_network(change):
    """Return three layers as a start draws them, after what is done to every weight [out, in]."""
    network = mlp(64, 96, 96, 48)
    rng = np.random.default_rng(8)
    for tensor in network.graph.initializer:
        array = numpy_helper.to_array(tensor)
        drawn = rng.normal(0, np.sqrt(2 / array.shape[-1]), array.shape) if array.ndim == 2 else 0 * array
        made = change(drawn, rng) if array.ndim == 2 else drawn
        tensor.CopyFrom(numpy_helper.from_array(made.astype(np.float32), tensor.name))
    return network


CHANGED = {
    "as drawn": lambda weight, rng: weight,
    "a normalisation folded at its start": lambda weight, rng: weight / np.sqrt(1 + 1e-3),
    "weight normalisation of its own lengths": lambda weight, rng: np.float32(weight) * np.float32(1.0000001),
    "outputs of one length": lambda weight, rng: weight / np.linalg.norm(weight, axis=1, keepdims=True),
    "inputs of one length": lambda weight, rng: weight / np.linalg.norm(weight, axis=0, keepdims=True),
}


@pytest.mark.parametrize("name", CHANGED)
def test_an_untrained_network_is_known_whatever_was_done_before_the_first_step(name, tmp_path):
    report = audit(save(untrained_network(CHANGED[name]), tmp_path))
    assert [finding.rule for finding in report.findings if finding.rule in ("OT207", "OT208")] == ["OT208"]


def test_factors_that_may_have_been_learnt_are_no_proof(tmp_path):
    """Normalisations folded after their statistics moved: nothing says that the factors were not trained."""
    network = untrained_network(lambda weight, rng: weight * rng.uniform(0.2, 2, (len(weight), 1)))
    report = audit(save(network, tmp_path))
    assert not {finding.rule for finding in report.findings} & {"OT207", "OT208"}
