from click.testing import CliRunner

from onnxtop.cli import app
from onnxtop.cli.demo import MODEL
from tests.conftest import SAMPLES

SAMPLE = SAMPLES / "mlp_torch_dynamo.onnx"


def test_the_model_of_the_demo_is_a_sample():
    """It is there twice, since a wheel has no samples."""
    assert MODEL.read_bytes() == SAMPLE.read_bytes(), (
        "run: cp sample_models/mlp_torch_dynamo.onnx onnxtop/cli/demo.onnx"
    )


def test_the_demo_is_a_report_and_says_of_what(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    shown = CliRunner().invoke(app, ["demo"])
    report = CliRunner().invoke(app, ["report", str(MODEL)])
    assert shown.exit_code == 0
    assert shown.stdout == report.stdout
    (line,) = shown.stderr.splitlines()
    assert line.endswith(f": {MODEL}")
    assert "handwritten digits" in line


def test_the_demo_has_every_format_and_may_be_quiet(monkeypatch):
    monkeypatch.chdir(MODEL.parent)
    quiet = CliRunner().invoke(app, ["demo", "-q", "-f", "csv"])
    assert quiet.stderr == ""
    assert quiet.stdout.splitlines()[1].startswith("demo.onnx,")
