"""Reports built by hand: their figures are known beforehand."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from onnxtop.render import RenderOptions, render
from onnxtop.results.outcome import FailedModel
from onnxtop.results.report import (
    Coverage,
    DeepGraphPersistence,
    Finding,
    LayerPersistence,
    LayerReport,
    ModelInfo,
    Network,
    NetworkPersistence,
    NotRun,
    Place,
    Report,
    RulesRun,
    Settings,
    SkippedWeight,
    SkipsCut,
    ToolInfo,
)
from onnxtop.topology.facts import LayerRole

GOLDEN = Path(__file__).parent / "golden"

HOSTILE_NAMES = (
    "[red]bold[/red]",
    "\x1b[31mescape\x1b[0m",
    "two\nlines\r\nand\ttab",
    "pipe|back\\|tick`s``",
    "=cmd|'/C calc'!A0",
    "@octocat #1 www.example.com",
    "<img src=x onerror=alert(1)>",
    "-1+1",
    "layer." * 50,
    "\u202egnp.exe\u2066",
    "\ud800lone",
    "层" * 60,
    "👩‍👩‍👧‍👦🇫🇷e\u0301" * 20,
    "e" + "\u0301" * 300,
    "",
    " ",
)


def build_layer(name: str = "fc", normalized: float | None = 0.5, **changes: Any) -> LayerReport:
    total = None if normalized is None else normalized * math.sqrt(29)
    values: dict[str, Any] = {
        "name": name,
        "op_type": "Gemm",
        "weight": f"{name}.weight",
        "encoding": "float32",
        "shape": (10, 20),
        "n_in": 20,
        "n_out": 10,
        "parameters": 200,
        "uses": (name,),
        "neural_persistence": LayerPersistence(total=total, normalized=normalized),
        "largest": 1.5,
        "variance": 0.0625,
    }
    return LayerReport(**{**values, **changes})


def build_report(*layers: LayerReport, path: str = "model.onnx", **changes: Any) -> Report:
    figures = [
        (each.neural_persistence.normalized, each.neural_persistence.total)
        for each in layers
        if each.neural_persistence.normalized is not None
    ]
    network = NetworkPersistence(
        mean_normalized=sum(normalized or 0 for normalized, _ in figures) / len(figures) if figures else None,
        total=sum(total or 0 for _, total in figures) if figures else None,
        scale=1.5 if figures else None,
        largest=Place(layers[0].name, 3, 7) if figures else None,
        reason=None if figures else "no layer could be measured",
    )
    parameters = sum(each.parameters for each in layers)
    values: dict[str, Any] = {
        "tool": ToolInfo("onnxtop", "0.1.0", {"neural_persistence": 1}),
        "model": ModelInfo(path, "0" * 64, 4 * parameters + 321, "pytorch 2.6.0", 10, {"": 18}, parameters),
        "settings": Settings("essential", "global", 2.0, "none", "flattened"),
        "coverage": Coverage(parameters, parameters, 1.0 if parameters else None, 0, 0, 0, 0, parameters),
        "network": Network(network, changes.pop("deep_graph", DeepGraphPersistence()), variance=0.0625),
        "layers": layers,
        "rules": RulesRun(("OT001", "OT101", "OT102", "OT201"), (NotRun("OT501", "no baseline"),)),
    }
    return Report(**{**values, **changes})


def build_typical() -> Report:
    """Five layers, one of them not finite, one long name, two skipped tensors, three findings."""
    reason = "2 of 2,048 weights are not finite"
    layers = (
        build_layer(
            "/features/conv1/Conv",
            0.75,
            op_type="Conv",
            n_in=27,
            n_out=32,
            shape=(32, 3, 3, 3),
            parameters=864,
            deep_graph_persistence=LayerRole(30, 0.75, (0.25, 0.5), (0.125, 0.625)),
        ),
        build_layer(
            "/features/blocks.0/depthwise_convolution_with_a_long_name/inner/Conv",
            0.875,
            op_type="ConvTranspose",
            encoding="int8",
            parameters=18_432,
            n_in=288,
            n_out=64,
        ),
        build_layer(
            "/head/bad/MatMul",
            None,
            op_type="MatMul",
            n_in=64,
            n_out=32,
            parameters=2048,
            neural_persistence=LayerPersistence(None, None, reason=reason),
            nonfinite=2,
            largest=None,
            variance=None,
            reason=reason,
        ),
        build_layer("/head/fc/Gemm", 1.0, n_in=4096, n_out=1000, parameters=4_096_000),
        build_layer("/head/out/Gemm", 0.125, deep_graph_persistence=LayerRole(6, 1.0, None, (1.0, 1.0))),
    )
    analysed = sum(each.parameters for each in layers)
    lost = 256 + 1_000_000
    skipped = (
        SkippedWeight("/rnn/LSTM", "LSTM", "recurrent weights are not read yet", 256),
        SkippedWeight("embed", "Gather", "an embedding is not a layer", 1_000_000),
    )
    shape = (64, 32)
    findings = (
        Finding("OT201", "note", "/head/out/Gemm", "like its own shuffle", "00"),
        Finding("OT101", "error", "/head/bad/MatMul", reason, Finding.fingerprint_of("OT101", "bad", shape)),
        Finding("OT001", "warning", None, "2 weight tensors were skipped", "01"),
    )
    share = analysed / (analysed + lost)
    coverage = Coverage(
        analysed + lost,
        analysed,
        share,
        1138,
        64,
        5,
        0,
        analysed + lost + 1138 + 64 + 5,
        {"Mul": 2, "Pow": 3},
        skipped,
    )
    model = ModelInfo("models/typical.onnx", "ab" * 32, 20_531_201, "pytorch 2.6.0", 10, {"": 18}, 5_119_200)
    deep_graph = DeepGraphPersistence(1.5, 0.25, SkipsCut(0.75, 0.125), 27, 10, 0.0625, "exact")
    return build_report(*layers, model=model, coverage=coverage, findings=findings, deep_graph=deep_graph)


def build_long(count: int = 500) -> Report:
    """Many layers whose NP rises with their number, except for planted ends in the middle."""
    layers = [build_layer(f"/blocks.{i}/MatMul", 0.3 + 0.001 * i) for i in range(count)]
    layers[250] = build_layer("/blocks.250/lowest", 0.0625)
    layers[260] = build_layer("/blocks.260/highest", 1.0)
    layers[270] = build_layer("/blocks.270/odd", None, nonfinite=1, reason="1 weight is not finite")
    return build_report(*layers, path="long.onnx")


def render_golden() -> dict[str, str]:
    """Render every golden file, by its name."""
    typical, failed = build_typical(), FailedModel("bad.onnx", 3, "cut off")
    models = [build_report(build_layer(), path="good.onnx"), build_report(path="empty.onnx"), typical, failed]
    return {
        "check-80.txt": render("check", "terminal", models),
        "check.md": render("check", "markdown", models),
        "check.xml": render("check", "junit", models),
        "typical.json": render("report", "json", [typical]),
        "typical.csv": render("report", "csv", [typical, failed]),
        "typical.md": render("report", "markdown", [typical, failed]),
        **{
            f"typical-{width}.txt": render("report", "terminal", [typical], RenderOptions(width=width))
            for width in (0, 60, 80, 120, 200)
        },
        "several-80.txt": render("report", "terminal", models),
        "typical-ascii.txt": render("report", "terminal", [typical, failed], RenderOptions(unicode=False)),
        "long-80.txt": render("report", "terminal", [build_long()]),
    }


@pytest.fixture
def rendered() -> dict[str, str]:
    return render_golden()


@pytest.fixture
def layer() -> Callable[..., LayerReport]:
    return build_layer


@pytest.fixture
def report() -> Callable[..., Report]:
    return build_report


@pytest.fixture
def typical() -> Report:
    return build_typical()


@pytest.fixture
def long() -> Report:
    return build_long()


@pytest.fixture(params=HOSTILE_NAMES, ids=range(len(HOSTILE_NAMES)))
def hostile(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def hostile_report(hostile: str) -> Report:
    """Put the name wherever a file's author can put one."""
    skipped = (SkippedWeight(hostile, hostile, f"not read: {hostile}", 7),)
    findings = (Finding("OT101", "error", hostile, f"odd: {hostile}", "00"),)
    layers = (
        build_layer(hostile, op_type=hostile, encoding=hostile, copy_of=hostile),
        build_layer("x", None, reason=hostile),
    )
    model = ModelInfo(hostile, "0" * 64, 1, hostile, 10, {hostile: 1}, 400)
    settings = Settings(
        *("essential", "global", 2.0, "none", "flattened"),
        inputs=(hostile,),
        outputs=(hostile,),
        input_shapes={hostile: (1, 3)},
        dims={hostile: 2},
    )
    figures = 1.0, 0.5, SkipsCut(), 1, 2, None, f"conservative ({hostile})", (hostile,)
    coverage = Coverage(407, 400, 400 / 407, 0, 0, 9, 0, 416, {hostile: 9}, skipped)
    return build_report(
        *layers,
        model=model,
        settings=settings,
        coverage=coverage,
        findings=findings,
        deep_graph=DeepGraphPersistence(*figures),
    )


@pytest.fixture
def golden() -> Callable[[str], str]:
    return lambda name: (GOLDEN / name).read_bytes().decode()


if __name__ == "__main__":
    for name, text in render_golden().items():
        (GOLDEN / name).write_bytes(text.encode())
