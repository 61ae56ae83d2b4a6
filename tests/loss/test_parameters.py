"""What theta holds of models whose weights are computed, chosen or coded, and what is left out of it.

The gradient is compared with finite differences.
"""

import html
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import ModelProto, NodeProto, TensorProto

from onnxtop.cli import app
from onnxtop.gradient.oracle import relative_error
from onnxtop.loss.probe import Probe
from tests.models import graph, model, node, save

Array = np.ndarray[Any, Any]


def _normal(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng((seed, *shape)).normal(size=shape).astype(np.float32)


LABELS = np.array([0, 1, 2, 0, 1, 2])
W, V = _normal(4, 3), _normal(4, 3, seed=1)
DENSE = [node("MatMul", "x w")]
TWO = [node("MatMul", "x w", "h"), node("MatMul", "h last")]
KERNEL = {"k": _normal(3, 2, 3, 3), "last": _normal(3, 3, seed=2)}
HEAD = [
    node("Conv", "x kn", "c"),
    node("GlobalAveragePool", "c", "p"),
    node("Flatten", "p", "f"),
    node("MatMul", "f last"),
]
ARITHMETIC = [
    node("ReduceMean", "k axes", "m", keepdims=1),
    node("Sub", "k m", "d"),
    node("Mul", "d d", "dd"),
    node("ReduceMean", "dd axes", "v", keepdims=1),
    node("Add", "v epsilon", "ve"),
    node("Sqrt", "ve", "deviation"),
    node("Div", "d deviation", "kn"),
]
BY_BATCH = [
    node("Reshape", "k flat", "k1"),
    node("BatchNormalization", "k1 gain shift mean variance", "kb rm rv", training_mode=1),
    node("Reshape", "kb full", "kn"),
]
STATISTICS = {
    "gain": np.abs(_normal(3)),
    "shift": np.zeros(3, np.float32),
    "mean": np.zeros(3, np.float32),
    "variance": np.ones(3, np.float32),
    "flat": np.array([1, 3, 18]),
    "full": np.array([3, 2, 3, 3]),
}
AXES = {"axes": np.array([1, 2, 3]), "epsilon": np.float32([1e-5])}


def _branch(name: str, array: Array) -> Any:
    return graph([node("Identity", name, f"{name}2")], {name: array}, {}, [f"{name}2"], name=name)


CHOSEN = node("If", "yes", "w", then_branch=_branch("a", W), else_branch=_branch("b", V))
EXPERTS = [
    node("Reshape", "x rows", "x1"),
    node("MatMul", "x router", "scores"),
    node("ArgMax", "scores", "i", axis=1, keepdims=0),
    node("Gather", "experts i", "we"),
    node("MatMul", "x1 we", "h1"),
    node("Reshape", "h1 flat", "h"),
    node("MatMul", "h last"),
]
LOW_RANK = [
    node("MatMul", "b a", "ba"),
    node("Mul", "ba alpha", "scaled"),
    node("Add", "w0 scaled", "w"),
    *DENSE,
]
SPECTRAL = [node("MatMul", "w0 v", "wv"), node("MatMul", "u wv", "s"), node("Div", "w0 s", "w"), *DENSE]
WEIGHT_NORM = [
    node("ReduceL2", "v0 zero", "n", keepdims=1),
    node("Div", "v0 n", "unit"),
    node("Mul", "unit g", "w"),
    *DENSE,
]

Case = tuple[list[NodeProto], Mapping[str, Array], set[str], str]

CASES: dict[str, Case] = {
    "standardised by arithmetic": ([*ARITHMETIC, *HEAD], {**KERNEL, **AXES}, {"k", "last"}, ""),
    "standardised by BatchNormalization": (
        [*BY_BATCH, *HEAD],
        {**KERNEL, **STATISTICS},
        {"k", "last", "gain", "shift"},
        "",
    ),
    "codes": (
        [node("DequantizeLinear", "q s", "w"), *TWO],
        {"q": np.arange(-6, 6, dtype=np.int8).reshape(4, 3), "s": np.float32(0.1), "last": _normal(3, 3)},
        {"last"},
        "12 weights are stored in codes",
    ),
    "a fixed table": (
        [node("MatMul", "x w", "h"), node("MatMul", "h last")],
        {"w": np.eye(4, dtype=np.float32), "last": V},
        {"last"},
        "w: probably never trained",
    ),
    "a constant If": ([CHOSEN, *DENSE], {"yes": np.array(True)}, {"a"}, ""),
    "experts": (
        EXPERTS,
        {
            "router": W,
            "experts": _normal(3, 4, 5),
            "last": _normal(5, 3),
            "rows": np.array([-1, 1, 4]),
            "flat": np.array([-1, 5]),
        },
        {"router", "experts", "last"},
        "",
    ),
    "low-rank additions": (
        LOW_RANK,
        {"b": _normal(4, 2), "a": _normal(2, 3), "alpha": np.float32([0.5]), "w0": W},
        {"b", "a", "w0"},
        "",
    ),
    "spectral norm": (SPECTRAL, {"w0": W, "u": _normal(4), "v": _normal(3)}, {"w0"}, ""),
    "weight norm": (
        WEIGHT_NORM,
        {"v0": V, "g": _normal(1, 3), "zero": np.array([0])},
        {"v0", "g"},
        "",
    ),
    "LpNormalization": ([node("LpNormalization", "v0", "w", axis=0), *DENSE], {"v0": V}, {"v0"}, ""),
    "CastLike": ([node("CastLike", "w0 x", "w"), *DENSE], {"w0": W}, {"w0"}, ""),
    "a mask": (
        [node("Mul", "w0 mask", "w"), *DENSE],
        {"w0": W, "mask": (V > 0).astype(np.float32)},
        {"w0"},
        "mask: a mask of zeros and ones",
    ),
    "a curve": ([node("Softplus", "w0", "s"), node("Elu", "s", "w"), *DENSE], {"w0": W}, {"w0"}, ""),
    "no rule": (
        [node("Acosh", "w0", "w"), *TWO],
        {"w0": np.abs(W) + 1.5, "last": _normal(3, 3)},
        {"last"},
        "w0: no gradient goes through Acosh, which changes it",
    ),
    "a weight that moves": (
        [node("ReduceMean", "x both", "m", keepdims=1), node("Mul", "w0 m", "w"), *DENSE],
        {"w0": W, "both": np.array([0, 1])},
        {"w0"},
        "",
    ),
}


def _case(name: str) -> tuple[ModelProto, dict[str, Array]]:
    nodes, held, _, _ = CASES[name]
    shape = (2, 5, 5) if "k" in held else (4,)
    return model(nodes, dict(held), {"x": ["n", *shape]}), {"x": _normal(6, *shape), "labels": LABELS}


@pytest.mark.parametrize("name", CASES)
def test_what_theta_holds(name: str, tmp_path: Path) -> None:
    proto, data = _case(name)
    probe = Probe(save(proto, tmp_path), data)
    _, _, wanted, note = CASES[name]
    assert {parameter.name for parameter in probe.parameters} == wanted
    assert probe.notes == ((f"not among the parameters: {note}",) if note else ())
    _, gradient = probe.loss_and_gradient(probe.theta0)
    assert relative_error(probe.loss, probe.theta0, gradient, step=1e-3) < 2e-3
    still = {parameter.name for parameter in probe.parameters if not gradient[parameter.slice].any()}
    assert still <= {"router"}  # ArgMax has no slope


@pytest.mark.parametrize("batchnorm", ["frozen", "batch", "recalibrate"])
def test_a_standardised_kernel_has_no_batch(batchnorm: str, tmp_path: Path) -> None:
    """Its statistics are its own, whatever those of activations are."""
    proto, data = _case("standardised by BatchNormalization")
    path = save(proto, tmp_path)
    frozen, other = Probe(path, data), Probe(path, data, batchnorm=batchnorm)
    (loss, gradient), (same, alike) = (probe.loss_and_gradient(probe.theta0) for probe in (frozen, other))
    assert same == pytest.approx(loss, rel=1e-5)
    np.testing.assert_allclose(alike, gradient, atol=1e-4)


def test_embeddings(tmp_path: Path) -> None:
    nodes = [
        node("Gather", "table ids", "e"),
        node("ReduceMean", "e one", "h", keepdims=0),
        node("MatMul", "h w"),
    ]
    proto = model(nodes, {"table": _normal(5, 4), "w": W, "one": np.array([1])}, {"ids": ["n", 2]})
    proto.graph.input[0].type.tensor_type.elem_type = TensorProto.INT64
    ids = np.array([[0, 1], [2, 3], [4, 1], [0, 2], [3, 3], [1, 0]])
    probe = Probe(save(proto, tmp_path), {"ids": ids, "labels": LABELS})
    assert [parameter.name for parameter in probe.parameters] == ["table", "w"]
    _, gradient = probe.loss_and_gradient(probe.theta0)
    assert relative_error(probe.loss, probe.theta0, gradient, step=1e-3) < 2e-3


NOTE = "not among the parameters: w0: no gradient goes through Acosh, which changes it"
COMMANDS = {
    "probe": (["probe", "MODEL", "--data", "DATA", "--quick"], ("terminal", "json")),
    "report": (["report", "MODEL", "--data", "DATA", "--quick"], ("terminal", "json", "markdown")),
    "loss-barcode": (["loss-barcode", "MODEL", "MODEL2", "--data", "DATA"], ("terminal", "json")),
}


@pytest.mark.parametrize(
    ("verb", "form"), [(v, form) for v, (_, forms) in COMMANDS.items() for form in forms]
)
def test_what_is_left_out_is_said(
    verb: str, form: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    proto, data = _case("no rule")
    paths = {"MODEL": save(proto, tmp_path), "DATA": tmp_path / "data.npz"}
    proto.graph.initializer[1].CopyFrom(model([], {"last": _normal(3, 3, seed=9)}).graph.initializer[0])
    paths["MODEL2"] = save(proto, tmp_path, "other.onnx")
    np.savez(paths["DATA"], **data)  # type: ignore[arg-type]
    words = [str(paths.get(word, word)) for word in COMMANDS[verb][0]]
    assert app.main([*words, "-f", form], standalone_mode=False) == 0
    told = html.unescape(capsys.readouterr().out)
    assert NOTE in (json.dumps(json.loads(told)) if form == "json" else " ".join(told.split()))
