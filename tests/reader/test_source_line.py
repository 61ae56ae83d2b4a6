"""The line of the source that PyTorch's exporter noted."""

import pytest

from onnxtop.auditing.story import audit
from onnxtop.reader.loading import load
from onnxtop.reader.names import source_line
from tests.faults import SAMPLES
from tests.models import model, node, save, weights

KEY = "pkg.torch.onnx.stack_trace"


def noted(tmp_path, trace, key=KEY):
    proto = model([node("MatMul", "x w")], {"w": weights(4, 3)}, {"x": [1, 4]})
    proto.graph.node[0].metadata_props.add(key=key, value=trace)
    return source_line(load(save(proto, tmp_path)).nodes[0])


@pytest.mark.parametrize(
    ("trace", "line"),
    [
        ('File "net.py", line 45, in forward\n    x = self.fc(x)\n', "net.py:45"),
        ('  File "a.py", line 1, in f\n    g()\n  File "b.py", line 2, in g', "b.py:2"),
        ('File "net.py", line 7, in f\nFile "/v/site-packages/torch/x.py", line 9, in g', "net.py:7"),
        (r'File "C:\nets\net.py", line 7, in f', r"C:\nets\net.py:7"),
        ('File "<eval_with_key>.3", line 7, in forward', None),
        ("", None),
        ("nonsense", None),
        ('\n \n\n\t File "net.py", line 45, in forward', "net.py:45"),
        ("\n" * 10**6, None),  # not looked at from each line to the last
    ],
)
def test_the_innermost_frame_of_the_user(tmp_path, trace, line):
    assert noted(tmp_path, trace) == line


def test_other_metadata_is_not_read(tmp_path):
    assert noted(tmp_path, 'File "net.py", line 45, in forward', key="other") is None


def test_the_report_has_it():
    report = audit(SAMPLES / "cnn_torch_dynamo.onnx")
    sources = {layer.name: layer.source for layer in report.layers}
    assert sources["conv1"] == "sample_models/steps/networks.py:45"
    assert all(layer.source is None for layer in audit(SAMPLES / "cnn_jax.onnx").layers)
