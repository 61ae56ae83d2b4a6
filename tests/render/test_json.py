import dataclasses
import json

import numpy as np
import pytest

from onnxtop.errors import UsageError
from onnxtop.render import RenderOptions
from onnxtop.render.json import strict
from onnxtop.render.report.json import render
from onnxtop.results.envelope import Head, read_envelope
from onnxtop.results.outcome import FailedModel


def loads(text):
    return json.loads(text, parse_constant=lambda token: pytest.fail(f"not strict JSON: {token}"))


def test_the_golden_file_adds_up(golden):
    (data,) = loads(golden("typical.json"))["reports"]
    coverage, layers = data["coverage"], data["layers"]
    skipped = sum(weight["parameters"] for weight in coverage["skipped"])
    assert coverage["parameters_analysed"] == sum(layer["parameters"] for layer in layers)
    assert coverage["parameters_total"] == coverage["parameters_analysed"] + skipped
    figures = [layer["neural_persistence"] for layer in layers if not layer["nonfinite"]]
    network = data["network"]["neural_persistence"]
    assert network["mean_normalized"] == sum(each["normalized"] for each in figures) / len(figures)
    assert network["total"] == pytest.approx(sum(each["total"] for each in figures), rel=1e-11)
    counts = data["counts"]
    assert counts["errors"] + counts["warnings"] + counts["notes"] + counts["known"] == len(data["findings"])
    assert counts["rules_run"] == len(data["rules"]["run"])
    assert counts["rules_not_run"] == len(data["rules"]["not_run"])


def test_a_report_comes_back_whole(typical, golden):
    (back,) = read_envelope(loads(golden("typical.json")))
    assert back.to_dict() == typical.to_dict()


@pytest.mark.parametrize("indent", [None, 2])
def test_json_is_that_of_the_standard_library(indent):
    empty = {"list": [], "pair": (), "dict": {}, "deep": [[], [{}], {"a": [1, (2.5, None)]}]}
    leaves = {
        "text": 'a "b"\n\t\\ ü',
        "numbers": [0, -1, 1e300, -0.0, 5e-324, 10**30],
        "bools": [True, False],
    }
    value = {"": [empty, leaves], "keys": {1: "one", None: "none", False: "no"}, "array": np.float64(0.1)}
    assert strict(value, indent) == json.dumps(value, ensure_ascii=False, indent=indent)


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_json_has_no_numbers_that_are_none(number):
    with pytest.raises(ValueError, match="not JSON compliant"):
        strict({"deep": [number]}, 2)


KEYS = ["schema_version", "tool", "settings", "verdict", "counts", "reports"]


@pytest.mark.parametrize("many", [1, 2, 3])
def test_one_model_and_many_have_one_shape(typical, many):
    whole = loads(render([typical] * many, RenderOptions()))
    assert list(whole) == KEYS
    plain = typical.to_dict()
    assert (whole["tool"], whole["settings"]) == (plain.pop("tool"), plain.pop("settings"))
    assert len(whole["reports"]) == many
    for entry in whole["reports"]:
        assert (entry.pop("verdict"), entry.pop("counts")["errors"]) == ("failed", 1)
        assert entry == plain


def test_a_failed_model_stands_in_its_place(typical):
    failed = FailedModel("bad.onnx", 3, "cut off")
    expected = {"model": {"path": "bad.onnx"}, "error": {"code": 3, "message": "cut off"}}
    assert loads(render([failed], RenderOptions()))["reports"] == [expected]
    assert loads(render([failed, typical], RenderOptions()))["reports"][0] == expected
    assert list(loads(render([failed], RenderOptions()))) == KEYS
    head = Head(typical.tool, typical.settings)
    alone = loads(render([failed], RenderOptions(head=head)))
    assert (alone["tool"], alone["settings"]) == tuple(typical.to_dict()[key] for key in ("tool", "settings"))


def test_reports_with_other_settings_are_not_one_run(typical):
    other = dataclasses.replace(typical, settings=dataclasses.replace(typical.settings, conv="channels"))
    with pytest.raises(UsageError, match="reports of one run"):
        render([typical, other], RenderOptions())


def test_figures_that_are_not_numbers_are_null(report, layer):
    nan = float("nan")
    text = render([report(layer(normalized=nan, variance=float("inf")))], RenderOptions())
    (data,) = loads(text)["reports"]
    assert data["layers"][0]["neural_persistence"]["normalized"] is None
    assert data["layers"][0]["variance"] is None


def test_a_bare_nan_is_refused():
    with pytest.raises(ValueError, match="Out of range float"):
        strict(float("nan"))


def test_hostile_names_come_back_as_they_are(hostile_report, hostile):
    text = render([hostile_report], RenderOptions())
    assert loads(text.encode().decode())["reports"][0]["layers"][0]["name"] == hostile
    assert "\x1b" not in text
    assert "\u202e" not in text
