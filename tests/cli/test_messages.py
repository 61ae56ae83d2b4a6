"""Lines on stderr: short whatever a model's names are."""

import pytest
from click.testing import CliRunner

from onnxtop.cli import app, messages
from tests.models import mlp


def test_a_long_message_keeps_its_ends(capsys: pytest.CaptureFixture[str]) -> None:
    messages.error(f"wanted a name, found {'x' * 9000}; give it another")
    line = capsys.readouterr().err
    assert line.startswith("onnxtop: error: wanted a name, found xxx")
    assert line.endswith("xxx; give it another\n")
    assert len(line) < 2100


def test_a_name_that_a_model_makes_long(tmp_path) -> None:
    made = mlp(3, 2)
    made.graph.initializer[0].name = "x" * 9000
    made.graph.initializer[0].dims[0] = 99
    (tmp_path / "m.onnx").write_bytes(made.SerializeToString())
    ran = CliRunner().invoke(app, ["layers", str(tmp_path / "m.onnx")])
    assert ran.exit_code == 3
    assert len(ran.stderr.splitlines()) == 1
    assert len(ran.stderr) < 2500
