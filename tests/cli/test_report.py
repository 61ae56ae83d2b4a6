import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from onnx import helper, numpy_helper

from onnxtop.cli import app
from onnxtop.render import render
from onnxtop.results.envelope import read_envelope


@pytest.fixture
def identity(tmp_path):
    weight = numpy_helper.from_array(np.eye(3, dtype=np.float32), "w")
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"], "[red]fc\x1b[31m")],
        "g",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1, 3])],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1, 3])],
        [weight],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path = tmp_path / "identity.onnx"
    onnx.save(model, path)
    return path


def onnxtop(*args, **options):
    command = [sys.executable, "-m", "onnxtop", "report", *map(str, args)]
    return subprocess.run(command, capture_output=True, check=False, **options)


def test_a_model_from_end_to_end_and_the_same_bytes_again(identity):
    """The tree of the identity has 3 edges of strength 1 and 2 of strength 0; one essential point (1, 0)."""
    done = onnxtop(identity, "-f", "json")
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == onnxtop(identity, "-f", "json").stdout
    (layer,) = json.loads(done.stdout)["reports"][0]["layers"]
    assert layer["name"] == "[red]fc\x1b[31m"
    assert layer["neural_persistence"]["total"] == pytest.approx(np.sqrt(3))
    assert layer["neural_persistence"]["normalized"] == pytest.approx(np.sqrt(3 / 5))


def test_the_terminal_never_gets_an_escape_from_a_name(identity):
    out = CliRunner().invoke(app, ["report", str(identity)]).stdout
    assert r"[red]fc\x1b[31m" in out
    assert "\x1b" not in out


def test_several_reports_from_one_run(identity, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arguments = ["identity.onnx", "-o", "b.json", "-f", "csv", "-o", "a.md", "-f", "jsonl"]
    done = CliRunner().invoke(app, ["report", *arguments])
    assert (done.exit_code, done.stderr) == (0, "")
    assert json.loads(done.stdout)["reports"][0]["model"]["path"] == "identity.onnx"
    assert (tmp_path / "a.md").read_text(encoding="utf-8").startswith("model,")
    reports = read_envelope(json.loads((tmp_path / "b.json").read_text(encoding="utf-8")))
    assert render("report", "json", reports).encode() == (tmp_path / "b.json").read_bytes()


def test_a_reader_who_leaves_early_is_no_error(identity):
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "onnxtop", "report", str(identity)]
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, check=False)
    os.close(write)
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_full_disk_is_told_in_one_line(identity):
    with Path("/dev/full").open("wb") as full:
        command = [sys.executable, "-m", "onnxtop", "report", str(identity)]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, check=False)
    assert done.returncode == 2
    assert done.stderr == b"onnxtop: error: stdout: cannot be written: No space left on device\n"


def test_a_closed_stdout_is_told_in_one_line(identity):
    done = subprocess.run(
        ["sh", "-c", f"exec {sys.executable} -m onnxtop report {identity} >&-"],
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (2, b"onnxtop: error: stdout: cannot be written: it is closed\n")


def test_outputs_are_checked_before_the_work(run, planted, models):
    models("clean.onnx")
    for target in ("gone/a.json", "clean.onnx"):
        result = run("clean.onnx", "-f", "json", "-o", target)
        assert result.exit_code == 2
        assert result.stderr.startswith(f"onnxtop: error: {target}: ")
    assert planted.calls == []


def test_failed_models_are_told_once_in_a_terminal(run, models):
    models("format.onnx", "clean.onnx")
    result = run("format.onnx", "clean.onnx")
    assert result.stdout.count("format.onnx") == 1  # the row in the table of all
    assert result.stderr == "onnxtop: error: format.onnx: cut off\n"


def test_failed_models_stand_in_every_file(run, models, tmp_path):
    models("format.onnx")
    result = run("format.onnx", "-f", "json", "-o", "a.txt", "-f", "terminal", "-o", "b.txt")
    assert (result.exit_code, result.stdout) == (3, "")
    assert json.loads((tmp_path / "a.txt").read_text())["reports"][0]["error"] == {
        "code": 3,
        "message": "cut off",
    }
    assert "not analysed: cut off" in (tmp_path / "b.txt").read_text()


def test_files_are_named_with_v(run, models):
    models("clean.onnx")
    assert "onnxtop: wrote a.json\n" in run("clean.onnx", "-o", "a.json", "-v").stderr


def test_all_rows(run, models, tmp_path):
    models("clean.onnx")
    assert run("clean.onnx", "--all").stdout == run("clean.onnx").stdout


def test_a_bug_in_a_renderer_is_one_line(run, models, monkeypatch):
    models("clean.onnx")
    monkeypatch.setattr(
        importlib.import_module("onnxtop.render.report.json"), "envelope", lambda *given: 1 / 0
    )
    result = run("clean.onnx", "-f", "json")
    assert result.exit_code == 5
    assert (
        result.stderr
        == "onnxtop: error: internal error: ZeroDivisionError: division by zero (-vv shows where)\n"
    )
    assert "Traceback" in run("clean.onnx", "-f", "json", "-vv").stderr


def test_an_interrupt_is_one_line(run, models):
    models("interrupt.onnx")
    result = run("interrupt.onnx")
    assert result.exit_code == 130
    assert result.stderr == "onnxtop: error: interrupted: 0 of 1 model done\n"
