"""Workflow commands, read back by the runner's own rules."""

import dataclasses
import re

from onnxtop.render import render
from onnxtop.results.outcome import FailedModel
from onnxtop.results.report import Coverage, Finding

COMMAND = re.compile(r"::(error|warning|notice) ([^:]*)::(.*)")


def unescape(text):
    for code, sign in (("%3A", ":"), ("%2C", ","), ("%0D", "\r"), ("%0A", "\n"), ("%25", "%")):
        text = text.replace(code, sign)
    return text


def commands(results):
    found = []
    for line in render("report", "github", results).splitlines():
        kind, properties, message = COMMAND.fullmatch(line).groups()
        pairs = dict(part.split("=", 1) for part in properties.split(","))
        found.append((kind, {key: unescape(value) for key, value in pairs.items()}, unescape(message)))
    return found


def test_a_model_without_weights_is_a_warning(report):
    """So is a folder without models."""
    empty = report(coverage=Coverage(0, 0, None, 0, 0, 0, 0, 0))
    for result, told in (
        (empty, "model.onnx: nothing to analyse: the model has no weight tensors"),
        (
            FailedModel("folder", 4, "no .onnx file in this folder or below it"),
            "folder: no .onnx file in this folder or below it",
        ),
    ):
        ((kind, properties, message),) = commands([result])
        assert (kind, properties["title"], message) == ("warning", "nothing to analyse", told)


def test_one_command_a_finding_the_worst_first(typical):
    found = commands([typical, FailedModel("bad.onnx", 3, "cut off")])
    assert [kind for kind, _, _ in found] == ["error", "error", "warning", "notice"]
    assert found[0][1:] == (
        {"file": "bad.onnx", "line": "1", "endLine": "1", "title": "not analysed"},
        "bad.onnx: cut off",
    )
    _, properties, message = found[1]
    assert properties["file"] == "models/typical.onnx"
    assert properties["title"] == "OT101 not-finite"
    assert message == "models/typical.onnx: layer /head/bad/MatMul: 2 of 2,048 weights are not finite"


def test_percent_signs_and_line_breaks_are_escaped(report, layer):
    findings = (Finding("OT101", "error", "a:b,c%", "50 % of\r\n::error::it", "00"),)
    text = render("report", "github", [report(layer(), path="a,b:c%.onnx", findings=findings)])
    assert text.count("\n") == 1
    assert "50 %25 of" in text
    assert "file=a%2Cb%3Ac%25.onnx,line=1" in text
    ((_, properties, message),) = commands([report(layer(), path="a,b:c%.onnx", findings=findings)])
    assert properties["file"] == "a,b:c%.onnx"
    assert message == r"a,b:c%.onnx: layer a:b,c%: 50 % of\r\n::error::it"


def test_known_findings_are_notices(typical):
    known = tuple(dataclasses.replace(each, known=True) for each in typical.findings)
    found = commands([dataclasses.replace(typical, findings=known)])
    assert {kind for kind, _, _ in found} == {"notice"}
    assert all("in the baseline" in message for _, _, message in found)


def test_a_source_line(report, layer, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.py").write_text("one\ntwo\n", encoding="utf-8")
    findings = (Finding("OT101", "error", "fc", "odd", "00"),)
    ((_, properties, _),) = commands([report(layer(source="net.py:2"), findings=findings)])
    assert (properties["file"], properties["line"], properties["endLine"]) == ("net.py", "2", "2")


def test_hostile_names(hostile_report):
    assert len(commands([hostile_report])) == 1


def test_a_clean_model_says_nothing(report, layer):
    assert render("report", "github", [report(layer())]) == ""
