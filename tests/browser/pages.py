"""The pages that are opened: of sample models, as the command line writes them, and of odd results."""

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from click.testing import CliRunner

from onnxtop.cli import app
from onnxtop.render import RenderOptions, render
from onnxtop.results.report import Finding
from tests.render import test_html, test_pages
from tests.render.conftest import HOSTILE_NAMES, build_layer, build_report

SAMPLES = Path(__file__).resolve().parents[2] / "sample_models"
DATA = ("--data", "digits.npz")

COMMANDS: Mapping[str, tuple[str, ...]] = {
    "report": ("report", "transformer_torch_dynamo.onnx"),
    "report-mlp": ("report", "mlp_torch_dynamo.onnx"),
    "report-many": ("report", "mlp_jax.onnx", "mlp_untrained.onnx", "cnn_jax.onnx", "lstm_torch_legacy.onnx"),
    "check": ("check", "mlp_untrained.onnx"),
    "check-many": ("check", "."),
    "diff": ("diff", "checkpoints/epoch_01.onnx", "checkpoints/epoch_12.onnx", "--run"),
    "diff-same": ("diff", "transformer_torch_dynamo.onnx", "transformer_torch_legacy.onnx"),
    "diff-other": ("diff", "transformer_torch_dynamo.onnx", "mlp_jax.onnx"),
    "trace": ("trace", "checkpoints", *DATA),
    "probe": ("probe", "mlp_jax.onnx", *DATA, "--surface", "--surface-points", "9"),
    "probe-many": ("probe", "mlp_jax.onnx", "mlp_untrained.onnx", *DATA, "--max-loss", "1"),
    "barcode": ("loss-barcode", "minima", *DATA, "--gradients", "100", "--finder", "line"),
}
"""Pages by what writes them, run in the folder of the sample models."""


def hostile_report(options: RenderOptions) -> str:
    """Render a report and a failure in which every name is odd."""
    layers = [build_layer(name, 0.5, op_type=name, encoding=name) for name in HOSTILE_NAMES]
    findings = [Finding("OT101", "error", name, f"odd: {name}", "00") for name in HOSTILE_NAMES]
    return render(
        "report", "html", [build_report(*layers, path=HOSTILE_NAMES[6], findings=findings)], options
    )


def large_report() -> str:
    """Render 2,000 layers, one of them NaN, with 5,000 findings."""
    layers = [build_layer(f"/blocks.{i}/attention/query/MatMul", 0.3 + i / 4000) for i in range(2000)]
    layers[7] = build_layer("/odd/MatMul", None, nonfinite=1, reason="1 weight is not finite")
    findings = [
        Finding("OT201", "warning", layers[i % 2000].name, f"finding {i}", f"{i:02}") for i in range(5000)
    ]
    return render("report", "html", [build_report(*layers, path="large.onnx", findings=findings)])


def large_diff() -> str:
    """Render a comparison of 2,000 layers."""
    layers = [test_pages.layer_diff(f"/blocks.{i}/query/MatMul", (i % 97) / 97) for i in range(2000)]
    return render("diff", "html", test_pages.build_diff(*layers))


def long_report() -> str:
    """Render two layers with names of 200 characters, which differ in the middle."""
    names = [f"/encoder/{'block_of_many/' * 6}layer_{i}{'/with_a_long_name' * 6}/MatMul" for i in range(2)]
    layer = test_html.detailed(build_layer, names[1])
    weights = tuple(replace(each, source=f"{names[0]}[{each.row}]") for each in layer.details.strongest)
    details = replace(layer.details, strongest=weights, bottlenecks=weights)
    return render("report", "html", [build_report(replace(layer, details=details))])


MADE: Mapping[str, Callable[[], str]] = {
    "hostile-report": lambda: hostile_report(RenderOptions()),
    "hostile-check": lambda: hostile_report(RenderOptions(fail_on="error")),
    "hostile-diff": lambda: test_pages.hostile_page("diff"),
    "hostile-trace": lambda: test_pages.hostile_page("trace"),
    "hostile-probe": lambda: test_pages.hostile_page("probe"),
    "hostile-barcode": lambda: test_pages.hostile_page("landscape"),
    "large-report": large_report,
    "large-diff": large_diff,
    "long-names": long_report,
    "one-layer": lambda: render("report", "html", [build_report(build_layer())]),
}
"""Pages of results that are built by hand."""


def write(name: str, folder: Path) -> Path:
    """Write a page into a folder."""
    path = folder / f"{name}.html"
    if name in MADE:
        path.write_bytes(MADE[name]().encode("utf-8", "backslashreplace"))
        return path
    before = Path.cwd()
    os.chdir(SAMPLES)
    try:
        result = CliRunner().invoke(app, [*COMMANDS[name], "-q", "-o", str(path)])
    finally:
        os.chdir(before)
    assert path.exists(), result.output
    return path
