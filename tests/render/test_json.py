import json

import pytest

from onnxtop.render import FailedModel, RenderOptions
from onnxtop.render.json import strict
from onnxtop.render.report.json import render
from onnxtop.results.report import Report


def loads(text):
    return json.loads(text, parse_constant=lambda token: pytest.fail(f"not strict JSON: {token}"))


def test_the_golden_file_adds_up(golden):
    data = loads(golden("typical.json"))
    coverage, layers = data["coverage"], data["layers"]
    skipped = sum(weight["parameters"] for weight in coverage["skipped"])
    assert coverage["parameters_analysed"] == sum(layer["parameters"] for layer in layers)
    assert coverage["parameters_total"] == coverage["parameters_analysed"] + skipped
    figures = [layer["neural_persistence"] for layer in layers if not layer["nonfinite"]]
    network = data["network"]["neural_persistence"]
    assert network["mean_normalized"] == sum(each["normalized"] for each in figures) / len(figures)
    assert network["total"] == pytest.approx(sum(each["total"] for each in figures), rel=1e-11)


def test_a_report_comes_back_whole(typical, golden):
    back = Report.from_dict(loads(golden("typical.json")))
    assert back.to_dict() == typical.to_dict()


def test_one_model_is_a_plain_object_and_several_are_a_list(typical):
    assert loads(render([typical], RenderOptions())) == typical.to_dict()
    whole = loads(render([typical, typical], RenderOptions()))
    assert list(whole) == ["schema_version", "tool", "reports"]
    assert whole["tool"] == typical.to_dict()["tool"]
    assert whole["reports"] == [typical.to_dict()] * 2


def test_a_failed_model_stands_in_its_place(typical):
    failed = FailedModel("bad.onnx", 3, "cut off")
    expected = {"model": {"path": "bad.onnx"}, "error": {"code": 3, "message": "cut off"}}
    assert loads(render([failed], RenderOptions())) == expected
    assert loads(render([failed, typical], RenderOptions()))["reports"][0] == expected
    assert loads(render([failed, failed], RenderOptions()))["tool"]["name"] == "onnxtop"


def test_figures_that_are_not_numbers_are_null(report, layer):
    nan = float("nan")
    data = loads(render([report(layer(normalized=nan, variance=float("inf")))], RenderOptions()))
    assert data["layers"][0]["neural_persistence"]["normalized"] is None
    assert data["layers"][0]["variance"] is None


def test_a_bare_nan_is_refused():
    with pytest.raises(ValueError, match="Out of range float"):
        strict(float("nan"))


def test_hostile_names_come_back_as_they_are(hostile_report, hostile):
    text = render([hostile_report], RenderOptions())
    assert loads(text.encode().decode())["layers"][0]["name"] == hostile
    assert "\x1b" not in text
    assert "\u202e" not in text
