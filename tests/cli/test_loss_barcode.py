import json
import os
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from click.testing import CliRunner

from onnxtop.cli import app

SAMPLES = Path(__file__).parents[2] / "sample_models"
TWO = [str(SAMPLES / "minima" / f"seed_{seed}.onnx") for seed in (1, 2)]


@pytest.fixture
def data():
    return str(SAMPLES / "digits.npz")


@pytest.fixture
def run(data, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    return lambda *args: CliRunner().invoke(app, ["loss-barcode", *args, "--data", data, "-j", "1"])


def test_terminal(run):
    result = run(*TWO, "--gradients", "54")
    assert result.exit_code == 0, result.output
    assert "TO-score <=" in result.stdout
    assert "N = 2 minima, neb, aligned, upper bound)" in result.stdout
    assert "seed_2 → seed_1" in result.stdout
    assert result.stderr == ""


def test_outputs_side_by_side(run, tmp_path):
    result = run(*TWO, "--finder", "line", "-f", "json", "-o", "x.svg", "-o", "y.json", "-v")
    assert result.exit_code == 0, result.output
    assert "loss barcode" in result.stdout
    assert json.loads((tmp_path / "x.svg").read_text())["loss_landscape"]["finder"] == "line"
    assert (tmp_path / "x.svg").read_text() == (tmp_path / "y.json").read_text()
    assert "wrote x.svg" in result.stderr
    assert run(*TWO, "--finder", "line", "-o", "z.svg").exit_code == 0
    assert ElementTree.parse(tmp_path / "z.svg").getroot().tag.endswith("svg")


def test_not_enough_memory(run, monkeypatch):
    def loss_barcode(*args, **options):
        raise MemoryError

    monkeypatch.setattr("onnxtop.landscape.story.loss_barcode", loss_barcode)
    result = run(*TWO)
    assert result.exit_code == 3
    assert result.stderr == (
        f"onnxtop: error: {TWO[0]}: there is not enough memory to find minima and paths between them; "
        "see --memory\n"
    )


def test_json_to_stdout(run):
    result = run(
        TWO[0],
        "--minima",
        "1",
        "--epochs",
        "1",
        "--finder",
        "line",
        "-f",
        "json",
        "--no-align",
        "--l2",
        "0.1",
    )
    found = json.loads(result.stdout)["loss_landscape"]
    assert [len(found["minima"]), found["aligned"], found["l2"]] == [2, False, 0.1]
    assert found["score"]["bound"] == "upper"


def test_paths_and_passes_go_to_a_folder(run, tmp_path):
    arguments = ("--gradients", "54", "--write-path")
    result = run(*TWO, *arguments, "made")
    assert result.exit_code == 0, result.output
    names = sorted(path.name for path in (tmp_path / "made").iterdir())
    assert names == ["02-seed_2-seed_1.npz", "02-seed_2-seed_1.onnx"]
    assert run(*TWO, *arguments, "again", "-j", "2").exit_code == 0
    for name in names:
        assert (tmp_path / "made" / name).read_bytes() == (tmp_path / "again" / name).read_bytes()


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ([TWO[0]], 2, "none to train"),
        ([TWO[0], "nowhere.onnx"], 3, "nowhere.onnx: no such file"),
        ([*TWO, "--budget", "lots"], 2, "wanted a budget"),
        ([*TWO, "-o", "x.csv"], 2, "is none of .txt .json .svg"),
        ([*TWO, "-o", "none/x.svg"], 2, "there is no folder"),
        ([TWO[0], str(SAMPLES / "mlp_jax.onnx")], 2, "difference at parameter 1"),
        ([*TWO, "--finder", "magic"], 2, "is not one of"),
        ([*TWO, "--write-path", "none/x"], 2, "none/x: wanted a folder, or a place for a new one"),
        (
            [*TWO, "--write-path", str(Path(TWO[0]).parent)],
            2,
            "wanted another folder than that of the models",
        ),
    ],
)
def test_bad_input(run, arguments, code, words):
    result = run(*arguments)
    assert result.exit_code == code
    assert words in result.stderr
    assert "Traceback" not in result.stderr


def test_missing_data(monkeypatch, tmp_path):
    result = CliRunner().invoke(app, ["loss-barcode", *TWO, "--data", str(tmp_path / "none.npz")])
    assert result.exit_code == 2
    assert "found no such file" in result.stderr


def test_interrupted(run, monkeypatch):
    from onnxtop.cli.progress import ProgressLine

    def interrupting(self, what, done, total):
        if what.startswith("neb"):
            raise KeyboardInterrupt

    monkeypatch.setattr(ProgressLine, "__call__", interrupting)
    result = run(*TWO, "--gradients", "54")
    assert result.exit_code == 130
    assert "loss barcode (incomplete)" in result.stdout
    assert "interrupted" in result.stderr


def test_help_is_light():
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "onnxtop", "loss-barcode", "--help"],
        env={**os.environ, "COLUMNS": "80"},
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines()}
    assert not loaded & {"numpy", "scipy", "onnx", "onnxruntime", "rich"}
    assert max(map(len, done.stdout.splitlines())) <= 80
