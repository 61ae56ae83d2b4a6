"""Report and JSON: the keys of the specification, there and back."""

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from onnxtop.auditing.options import AuditOptions
from onnxtop.auditing.story import audit
from onnxtop.errors import UsageError
from onnxtop.results.report import Finding, Report
from tests.models import mlp, model, node, save, weights

KEYS = {
    "": {
        "tool", "model", "settings", "coverage", "network", "layers", "constants",
        "findings", "rules",
    },
    "tool": {"name", "version", "algorithms"},
    "model": {"path", "sha256", "bytes", "producer", "ir_version", "opset", "parameters"},
    "settings": {"convention", "scale", "p", "bias", "conv"},
    "coverage": {
        "parameters_total", "parameters_analysed", "fraction", "biases", "normalisation",
        "other_constants", "unused", "skipped",
    },
    "network": {"neural_persistence", "deep_graph_persistence"},
    "network.neural_persistence": {"mean_normalized", "total"},
    "network.deep_graph_persistence": {
        "total", "normalized", "skips_cut", "inputs", "outputs", "saturated", "connectivity",
    },
    "network.deep_graph_persistence.skips_cut": {"total", "normalized"},
    "layers.0": {
        "name", "op_type", "weight", "encoding", "n_in", "n_out", "parameters", "neural_persistence",
        "variance",
    },
    "layers.0.neural_persistence": {"total", "normalized", "null_mean", "null_std", "z"},
    "coverage.skipped.0": {"name", "op_type", "reason", "parameters"},
    "findings.0": {"rule", "severity", "layer", "message", "fingerprint"},
}  # fmt: skip
"""The keys that spec/command-line.md promises; reports may add some, never drop one."""

CLOSED = {"tool", "coverage.skipped.0", "", "network.deep_graph_persistence.skips_cut"}
"""Where the specification lists every key."""


@pytest.fixture
def report(tmp_path: Path) -> Report:
    """Return a report that has one of everything: a skip, a finding, two layers."""
    nodes = [
        node("MatMul", "x w", "h", name="fc1"),
        node("MatMul", "h v", "i", name="fc2"),
        node("acme.Mystery", "i u", "y", name="odd"),
    ]
    held = {"w": weights(5, 4), "v": weights(4, 3) * float("nan"), "u": weights(3, 3)}
    return audit(save(model(nodes, held), tmp_path))


@pytest.mark.parametrize("place", KEYS)
def test_the_keys_of_the_specification(report: Report, place: str) -> None:
    value = report.to_dict()
    for step in filter(None, place.split(".")):
        value = value[int(step) if step.isdigit() else step]
    missing = KEYS[place] - set(value)
    assert not missing
    if place in CLOSED:
        assert set(value) == KEYS[place]


def test_every_figure_that_is_null_has_a_reason_beside_it(report: Report) -> None:
    def check(value: object, place: str = "") -> None:
        if isinstance(value, dict):
            figures = {"total", "normalized", "mean_normalized", "z", "variance"} & set(value)
            if any(value[name] is None for name in figures) and not place.endswith("skips_cut"):
                assert value["reason"], place
            for name, item in value.items():
                check(item, f"{place}.{name}")
        elif isinstance(value, list):
            for item in value:
                check(item, place)

    check(report.to_dict())


def test_there_and_back(report: Report) -> None:
    plain = report.to_dict()
    text = json.dumps(plain, allow_nan=False)
    again = Report.from_dict(json.loads(text))
    assert again.to_dict() == plain
    assert json.dumps(again.to_dict(), allow_nan=False) == text


def test_what_a_run_on_data_told_comes_back_as_it_is(report: Report) -> None:
    plain = replace(report, loss_probe={"loss": 0.5, "layers": [{"name": "fc1"}], "reason": None}).to_dict()
    assert Report.from_dict(plain).to_dict() == plain


def test_every_sample_there_and_back(samples: Path, report_of: Callable[[Path], Report]) -> None:
    paths = sorted(samples.glob("*.onnx"))
    assert len(paths) > 10
    for path in paths:
        plain = report_of(path).to_dict()
        assert Report.from_dict(json.loads(json.dumps(plain, allow_nan=False))).to_dict() == plain


def test_metrics_are_the_figures_of_the_report(samples: Path) -> None:
    path = samples / "mlp_torch_dynamo.onnx"
    report = audit(path)
    metrics = report.metrics()
    plain = report.to_dict()
    network, layers = plain["network"], plain["layers"]
    expected = {"np/mean": network["neural_persistence"]["mean_normalized"]}
    expected["dgp"] = network["deep_graph_persistence"]["normalized"]
    for layer in layers:
        expected[f"np/{layer['name']}"] = layer["neural_persistence"]["normalized"]
        expected[f"z/{layer['name']}"] = layer["neural_persistence"]["z"]
    assert len(expected) == 2 + 2 * 3
    assert metrics == pytest.approx(expected, rel=1e-11)
    quick = audit(path, AuditOptions(structure=False)).metrics()
    assert quick == {name: value for name, value in metrics.items() if not name.startswith("z/")}
    assert audit(path, AuditOptions(topology=False)).metrics() == {}


def test_the_mean_of_the_network_is_never_that_of_a_layer_of_that_name(report: Report) -> None:
    renamed = replace(report, layers=(replace(report.layers[0], name="mean"), *report.layers[1:]))
    assert renamed.metrics()["np/mean"] == report.network.neural_persistence.mean_normalized
    assert Report.from_dict(report.to_dict()).metrics() == pytest.approx(report.metrics(), rel=1e-11)


def test_floats_carry_twelve_digits(tmp_path: Path) -> None:
    report = audit(save(mlp(7, 5, 3), tmp_path))
    exact = report.layers[0].neural_persistence.total
    plain = report.to_dict()["layers"][0]["neural_persistence"]["total"]
    assert exact is not None
    assert plain == float(f"{exact:.12g}")
    assert math.isclose(plain, exact, rel_tol=1e-11)


@pytest.mark.parametrize("data", [{}, [], None, "x", {"schema_version": "2.0"}])
def test_what_is_no_report(data: object) -> None:
    with pytest.raises(UsageError):
        Report.from_dict(data)  # type: ignore[arg-type]


@pytest.mark.parametrize("key", ["tool", "coverage", "layers"])
def test_a_report_with_a_part_missing_or_of_another_kind(report: Report, key: str) -> None:
    for value in (None, 3, "x", [1]):
        with pytest.raises(UsageError):
            Report.from_dict({**report.to_dict(), key: value})
    plain = report.to_dict()
    del plain[key]
    with pytest.raises(UsageError):
        Report.from_dict(plain)


def test_a_report_does_not_change(report: Report) -> None:
    with pytest.raises(AttributeError):
        report.layers = ()  # type: ignore[misc]


def test_fingerprints_follow_rule_name_and_shape() -> None:
    one = Finding.fingerprint_of("OT101", "fc", (4, 3))
    assert one == Finding.fingerprint_of("OT101", "fc", (4, 3))
    others = [
        ("OT102", "fc", (4, 3)),
        ("OT101", "fc#2", (4, 3)),
        ("OT101", "fc", (3, 4)),
        ("OT101", None, (4, 3)),
    ]
    assert one not in [Finding.fingerprint_of(*other) for other in others]
    assert len(one) == 16
