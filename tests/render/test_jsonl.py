import json

from onnxtop.render import RenderOptions
from onnxtop.render.report import json as whole
from onnxtop.render.report.jsonl import render
from onnxtop.results.outcome import FailedModel


def test_a_line_is_the_envelope_of_one_model(typical, hostile_report):
    failed = FailedModel("bad\n.onnx", 3, "cut\u2028off")
    lines = render([typical, failed, hostile_report], RenderOptions()).splitlines()
    assert len(lines) == 3
    for line, result in zip(lines, (typical, failed, hostile_report), strict=True):
        assert json.loads(line) == json.loads(whole.render([result], RenderOptions()))
