import json

from onnxtop.render import FailedModel, RenderOptions
from onnxtop.render.report.jsonl import render


def test_one_model_a_line(typical, hostile_report):
    failed = FailedModel("bad\n.onnx", 3, "cut\u2028off")
    lines = render([typical, failed, hostile_report], RenderOptions()).splitlines()
    objects = [json.loads(line) for line in lines]
    assert len(objects) == 3
    assert objects[0] == typical.to_dict()
    assert objects[1] == {"model": {"path": "bad\n.onnx"}, "error": {"code": 3, "message": "cut\u2028off"}}
    assert objects[2] == hostile_report.to_dict()
