"""JUnit XML, read back."""

import dataclasses
import xml.etree.ElementTree as ET

import pytest

from onnxtop.render import RenderOptions, render
from onnxtop.results.outcome import FailedModel
from onnxtop.results.report import Coverage, Finding, RulesRun


def text_of(results, **options):
    return render("report", "junit", results, RenderOptions(**options))


def parsed(results, **options):
    return ET.fromstring(text_of(results, **options))


def names(suite, kind):
    return [case.get("name") for case in suite.iter("testcase") if case.find(kind) is not None]


def case_of(suite, name):
    (case,) = (case for case in suite.iter("testcase") if case.get("name") == name)
    return case


def verdict(suite):
    return suite.find("properties/property[@name='verdict']").get("value")


def test_a_suite_a_model_and_a_case_a_rule(typical):
    root = parsed([typical, FailedModel("bad.onnx", 3, "cut off")])
    bad, suite = root
    assert (bad.get("name"), suite.get("name")) == ("bad.onnx", "models/typical.onnx")
    assert names(bad, "error") == ["analysis"]
    assert bad.find("testcase/error").get("message") == "cut off"
    assert names(suite, "failure") == ["OT101 not-finite: /head/bad/MatMul"]
    assert suite.find("testcase/failure").get("message") == "2 of 2,048 weights are not finite"
    assert root.attrib == {"name": "onnxtop", "tests": "7", "failures": "1", "errors": "1", "skipped": "1"}
    assert len(suite.findall("testcase")) == int(suite.get("tests")) == 6
    assert (verdict(bad), verdict(suite)) == ("not analysed", "failed")


def test_a_rule_that_found_nothing_passes_and_one_that_did_not_run_is_skipped(typical):
    (suite,) = parsed([typical])
    assert not list(case_of(suite, "OT102 all-zero"))
    assert case_of(suite, "OT501 np-changed").find("skipped").get("message") == "no baseline"
    assert names(suite, "skipped") == ["OT501 np-changed"]


def test_every_case_names_its_file(typical):
    root = parsed([typical, FailedModel("bad.onnx", 3, "cut off")])
    assert {case.get("file") for case in root.iter("testcase")} == {"models/typical.onnx", "bad.onnx"}


@pytest.mark.parametrize(("fail_on", "failures"), [("error", 1), ("warning", 2), ("never", 0), (None, 1)])
def test_fail_on_says_what_a_failure_is(typical, fail_on, failures):
    assert parsed([typical], fail_on=fail_on).get("failures") == str(failures)


def test_known_findings_pass(typical):
    known = tuple(dataclasses.replace(each, known=True) for each in typical.findings)
    root = parsed([dataclasses.replace(typical, findings=known)])
    assert root.get("failures") == "0"
    assert any("error (known)" in (out.text or "") for out in root.iter("system-out"))
    assert verdict(root[0]) == "passed"


def test_findings_of_one_rule_about_one_layer_are_one_case(report, layer):
    findings = tuple(Finding("OT101", "error", "fc", f"odd {n}", "00") for n in (1, 2))
    (suite,) = parsed([report(layer(), findings=findings, rules=RulesRun(("OT101",)))])
    assert suite.get("tests") == "2"
    assert suite.find("testcase/failure").text == "odd 1\nodd 2"


def test_a_model_without_weights_never_passes(report):
    """Neither does a folder without models."""
    empty = report(coverage=Coverage(0, 0, None, 0, 0, 0, 0, 0))
    for result in (empty, FailedModel("folder", 4, "no .onnx file in this folder or below it")):
        (suite,) = parsed([result])
        assert verdict(suite) == "nothing to analyse"
        assert suite.get("skipped") == suite.get("tests")
        assert (suite.get("failures"), suite.get("errors")) == ("0", "0")
    (suite,) = parsed([empty])
    told = case_of(suite, "analysis").find("skipped").get("message")
    assert told == "nothing to analyse: the model has no weight tensors"


def test_a_model_that_cannot_be_compared_is_an_error(typical):
    finding = Finding("OT500", "note", None, "other settings", "00")
    (suite,) = parsed([dataclasses.replace(typical, findings=(finding,))])
    assert case_of(suite, "analysis").find("error").get("type") == "exit 3"


def test_times_are_written_if_they_were_taken(typical):
    assert "time=" not in text_of([typical])
    root = parsed(
        [typical, FailedModel("bad.onnx", 3, "")], seconds={"models/typical.onnx": 1.5, "bad.onnx": 2}
    )
    assert root.get("time") == "3.500"
    assert [suite.get("time") for suite in root] == ["2.000", "1.500"]
    assert [suite.find("testcase").get("time") for suite in root] == ["2.000", "1.500"]


def test_hostile_names(hostile_report):
    (suite,) = parsed([hostile_report])
    assert suite.get("failures") == "1"
    assert all(value.isprintable() for each in suite.iter() for value in each.attrib.values())


def test_nothing_at_all():
    assert parsed([]).get("tests") == "0"
