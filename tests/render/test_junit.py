"""JUnit XML, read back."""

import dataclasses
import xml.etree.ElementTree as ET

import pytest

from onnxtop.render import RenderOptions, render
from onnxtop.results.outcome import FailedModel
from onnxtop.results.report import Finding


def parsed(results, **options):
    return ET.fromstring(render("report", "junit", results, RenderOptions(**options)))


def names(suite, kind):
    return [case.get("name") for case in suite if case.find(kind) is not None]


def test_a_suite_a_model_and_a_case_a_rule_and_layer(typical):
    root = parsed([typical, FailedModel("bad.onnx", 3, "cut off")])
    bad, suite = root
    assert (bad.get("name"), suite.get("name")) == ("bad.onnx", "models/typical.onnx")
    assert names(bad, "error") == ["analysis"]
    assert bad.find("testcase/error").get("message") == "cut off"
    assert names(suite, "failure") == ["OT101 not-finite: /head/bad/MatMul"]
    assert suite.find("testcase/failure").get("message") == "2 of 2,048 weights are not finite"
    assert root.attrib == {"name": "onnxtop", "tests": "5", "failures": "1", "errors": "1", "skipped": "0"}
    assert len(suite) == int(suite.get("tests")) == 4


@pytest.mark.parametrize(("fail_on", "failures"), [("error", 1), ("warning", 2), ("never", 0), (None, 1)])
def test_fail_on_says_what_a_failure_is(typical, fail_on, failures):
    assert parsed([typical], fail_on=fail_on).get("failures") == str(failures)


def test_known_findings_pass(typical):
    known = tuple(dataclasses.replace(each, known=True) for each in typical.findings)
    root = parsed([dataclasses.replace(typical, findings=known)])
    assert root.get("failures") == "0"
    assert any("error (known)" in (out.text or "") for out in root.iter("system-out"))


def test_findings_of_one_rule_about_one_layer_are_one_case(report, layer):
    findings = tuple(Finding("OT101", "error", "fc", f"odd {n}", "00") for n in (1, 2))
    (suite,) = parsed([report(layer(), findings=findings)])
    assert suite.get("tests") == "2"
    assert suite.find("testcase/failure").text == "odd 1\nodd 2"


def test_a_clean_model_has_a_case_that_passes(report, layer):
    (suite,) = parsed([report(layer())])
    (case,) = suite
    assert case.get("name") == "analysis"
    assert case.find("error") is None


def test_hostile_names(hostile_report):
    (suite,) = parsed([hostile_report])
    assert suite.get("failures") == "1"
    assert all(value.isprintable() for each in suite.iter() for value in each.attrib.values())


def test_nothing_at_all():
    assert parsed([]).get("tests") == "0"
