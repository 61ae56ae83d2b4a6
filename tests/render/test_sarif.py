"""SARIF against its published schema, and what GitHub asks of it beyond that.

The schema in ``tests/data`` is edition 2.1.0-rtm.5, from npm's @microsoft/jest-sarif 1.0.0-beta.0 (MIT).
"""

import dataclasses
import json
import re
from pathlib import Path

import jsonschema
import pytest

from onnxtop._version import HOME
from onnxtop.render import render
from onnxtop.results.outcome import FailedModel
from onnxtop.results.report import Coverage, Finding, NotRun, RulesRun
from onnxtop.rules.catalogue import RULES

SCHEMA = json.loads((Path(__file__).parent.parent / "data" / "sarif-schema-2.1.0.json").read_text("utf-8"))
VALIDATOR = jsonschema.Draft4Validator(SCHEMA)


@pytest.fixture
def log():
    def make(*results):
        document = json.loads(render("report", "sarif", results))
        complaints = [f"{list(each.path)}: {each.message}" for each in VALIDATOR.iter_errors(document)]
        assert complaints == []
        return document["runs"][0]

    return make


def test_the_validator_is_not_content_with_anything():
    assert VALIDATOR.is_valid({"version": "2.1.0", "runs": []})
    assert not VALIDATOR.is_valid({"version": "2.1.0", "runs": [{"results": []}]})


def test_typical_report(log, typical):
    run = log(typical)
    assert [each["ruleId"] for each in run["results"]] == ["OT201", "OT101", "OT001"]
    assert [each["level"] for each in run["results"]] == ["note", "error", "warning"]
    about = run["results"][1]
    assert about["message"]["text"].startswith("models/typical.onnx: layer /head/bad/MatMul: 2 of 2,048")
    (location,) = about["locations"]
    assert location["physicalLocation"] == {
        "artifactLocation": {"uri": "models/typical.onnx"},
        "region": {"startLine": 1, "startColumn": 1, "endLine": 1, "endColumn": 1},
    }
    names = {each["kind"]: each["name"] for each in location["logicalLocations"]}
    assert names == {
        "module": "/head/bad/MatMul",
        "function": "/head/bad/MatMul",
        "variable": "/head/bad/MatMul.weight",
    }
    fingerprint = typical.findings[1].fingerprint
    assert about["partialFingerprints"]["onnxtopFinding/v1"] == fingerprint
    assert "logicalLocations" not in run["results"][2]["locations"][0]


def test_every_rule_is_described(log, typical):
    run = log(typical)
    rules = run["tool"]["driver"]["rules"]
    assert [rule["id"] for rule in rules] == [rule.code for rule in RULES]
    for rule in rules:
        assert rule["shortDescription"]["text"]
        assert rule["fullDescription"]["text"]
        assert rule["help"]["text"]
        assert rule["help"]["markdown"]
    for result in run["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]


def test_a_source_line_below_the_working_directory(log, report, layer, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my nets").mkdir()
    (tmp_path / "my nets" / "net.py").write_text("one\n  self.fc(x)\n", encoding="utf-8")
    findings = (Finding("OT101", "error", "fc", "odd", "00"),)
    for source, uri, line, end in (
        ("my nets/net.py:2", "my%20nets/net.py", 2, 13),
        (f"{tmp_path}/my nets/net.py:1", "my%20nets/net.py", 1, 4),
        ("my nets/net.py:3", "model.onnx", 1, 1),
        ("other.py:1", "model.onnx", 1, 1),
        ("../net.py:1", "model.onnx", 1, 1),
        ("/etc/passwd:1", "model.onnx", 1, 1),
        ("my nets:1", "model.onnx", 1, 1),
        ("nonsense", "model.onnx", 1, 1),
        ("\0:1", "model.onnx", 1, 1),
        (None, "model.onnx", 1, 1),
    ):
        (result,) = log(report(layer(source=source), findings=findings))["results"]
        place = result["locations"][0]["physicalLocation"]
        assert place["artifactLocation"]["uri"] == uri, source
        region = place["region"]
        assert (region["startLine"], region["endLine"], region["endColumn"]) == (line, line, end)
        assert ("relatedLocations" in result) == (uri != "model.onnx")


def test_a_link_that_leads_out_is_not_followed(log, report, layer, tmp_path, monkeypatch):
    outside = tmp_path / "outside.py"
    outside.write_text("secret\n", encoding="utf-8")
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "net.py").symlink_to(outside)
    monkeypatch.chdir(tmp_path / "here")
    findings = (Finding("OT101", "error", "fc", "odd", "00"),)
    (result,) = log(report(layer(source="net.py:1"), findings=findings))["results"]
    assert result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == "model.onnx"


def test_a_model_outside_has_an_absolute_uri(log, report, layer):
    findings = (Finding("OT101", "error", "fc", "odd", "00"),)
    (result,) = log(report(layer(), path="/models/a#b.onnx", findings=findings))["results"]
    uri = result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
    assert uri == "file:///models/a%23b.onnx"


def test_known_findings_are_suppressed(log, typical):
    known = tuple(dataclasses.replace(each, known=True) for each in typical.findings)
    run = log(dataclasses.replace(typical, findings=known))
    assert {each["baselineState"] for each in run["results"]} == {"unchanged"}
    assert all(each["suppressions"] for each in run["results"])


def test_failed_models_are_notifications(log, typical):
    run = log(typical, FailedModel("bad.onnx", 3, "cut off"))
    (invocation,) = run["invocations"]
    assert not invocation["executionSuccessful"]
    (notification,) = invocation["toolExecutionNotifications"]
    assert notification["message"]["text"] == "bad.onnx: cut off"
    assert log(typical)["invocations"][0]["executionSuccessful"]


def test_the_run_carries_its_verdict_and_what_was_not_run(log, typical):
    run = log(typical, FailedModel("bad.onnx", 3, "cut off"))
    (invocation,) = run["invocations"]
    assert invocation["properties"]["verdict"] == "not analysed"
    assert invocation["properties"]["counts"]["failed"] == 1
    (note,) = invocation["toolConfigurationNotifications"]
    assert note["message"]["text"] == "OT501 np-changed was not run: no baseline"
    rules = run["tool"]["driver"]["rules"]
    assert rules[note["associatedRule"]["index"]]["id"] == note["associatedRule"]["id"] == "OT501"


def test_a_rule_that_ran_on_some_models_says_on_which_part(log, report, layer):
    rules = RulesRun((), (NotRun("OT201", "--quick"),))
    run = log(report(layer(), path="a.onnx"), report(layer(), path="b.onnx", rules=rules))
    told = [each["message"]["text"] for each in run["invocations"][0]["toolConfigurationNotifications"]]
    assert "OT201 dead-outputs was not run: --quick (on 1 of 2 models)" in told


def test_a_model_without_weights_is_a_notification(log, report):
    run = log(report(coverage=Coverage(0, 0, None, 0, 0, 0, 0, 0)))
    (invocation,) = run["invocations"]
    assert invocation["properties"]["verdict"] == "nothing to analyse"
    (notification,) = invocation["toolExecutionNotifications"]
    assert notification["level"] == "warning"
    told = "model.onnx: nothing to analyse: the model has no weight tensors"
    assert notification["message"]["text"] == told


def test_an_interrupted_run_was_no_success(log, typical):
    (invocation,) = log(typical, FailedModel("late.onnx", 130, "not reached"))["invocations"]
    assert not invocation["executionSuccessful"]
    assert invocation["properties"]["verdict"] == "interrupted"


def test_help_leads_to_the_page_of_rules(log, typical):
    """Anchors as GitHub makes them of headings."""
    page = (Path(__file__).parents[2] / "docs" / "rules.md").read_text("utf-8")
    headings = re.findall(r"^#+ (.*)$", page, re.M)
    anchors = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
    driver = log(typical)["tool"]["driver"]
    assert driver["informationUri"] == HOME
    for rule in driver["rules"]:
        place, _, anchor = rule["helpUri"].partition("#")
        assert place == f"{HOME}/blob/HEAD/docs/rules.md"
        assert anchor in anchors, anchor


def test_every_result_is_an_alert_of_its_own(log, report, layer):
    findings = tuple(Finding("OT101", "error", "fc", text, "00") for text in ("odd", "odder"))
    reports = [report(layer(), path=path, findings=findings) for path in ("a.onnx", "b.onnx")]
    marks = [each["partialFingerprints"]["primaryLocationLineHash"] for each in log(*reports)["results"]]
    assert len(set(marks)) == 4
    alone = log(reports[1])["results"]
    assert [each["partialFingerprints"]["primaryLocationLineHash"] for each in alone] == marks[2:]


def test_hostile_names(log, hostile_report):
    run = log(hostile_report)
    assert all(each["message"]["text"].isprintable() for each in run["results"])


def test_the_order_of_models_does_not_matter(typical):
    failed = FailedModel("bad.onnx", 3, "cut off")
    assert render("report", "sarif", [typical, failed]) == render("report", "sarif", [failed, typical])
