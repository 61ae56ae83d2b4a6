"""``onnxtop diff``: codes, outputs, errors."""

import json
import shutil

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from onnx import numpy_helper

from onnxtop.cli import app
from tests.faults import SAMPLES

OLD, NEW = (str(SAMPLES / "checkpoints" / f"epoch_{number:02}.onnx") for number in (11, 12))
FIRST = str(SAMPLES / "checkpoints" / "epoch_01.onnx")


@pytest.fixture
def diff(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return lambda *args: CliRunner().invoke(app, ["diff", *args])


def test_the_answer_comes_first_and_the_code_says_it_too(diff):
    result = diff(OLD, NEW)
    assert result.exit_code == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[0].startswith("WITHIN TOLERANCE: same architecture; 0 of 3 layers changed")
    assert diff(NEW, NEW).stdout.startswith("SAME: ")
    result = diff(FIRST, NEW)
    assert result.exit_code == 1
    assert result.stdout.startswith("CHANGED: same architecture; 3 of 3 layers changed")
    assert diff(FIRST, NEW, "--tolerance", "1", "--np-tolerance", "1").exit_code == 0
    assert diff(OLD, NEW, "--tolerance", "0").exit_code == 1


def test_several_outputs_in_one_run(diff, tmp_path):
    result = diff(OLD, NEW, "-f", "json", "-o", "a.out", "-o", "b.md", "-f", "terminal")
    assert result.exit_code == 0, result.stderr
    assert json.loads((tmp_path / "a.out").read_text("utf-8"))["changed"] is False
    assert (tmp_path / "b.md").read_text("utf-8").startswith("## ")
    assert "WITHIN TOLERANCE" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ((OLD,), 2, "Missing argument 'NEW'"),
        ((OLD, NEW, "-o", "a.csv"), 2, "is none of .txt .json .md"),
        ((OLD, NEW, "-f", "sarif"), 2, "'sarif' is not one of"),
        ((OLD, NEW, "--tolerance", "-1"), 2, "not in the range"),
        ((OLD, "nowhere.onnx"), 3, "nowhere.onnx: no such file or folder"),
        ((OLD, "cut.onnx"), 3, "cut.onnx"),
        ((OLD, "folder"), 4, "no .onnx file"),
        ((str(SAMPLES), NEW), 2, "wanted one model, found"),
    ],
)
def test_what_goes_wrong(diff, tmp_path, arguments, code, said):
    (tmp_path / "folder").mkdir()
    (tmp_path / "cut.onnx").write_bytes(b"\x08\x07\x12\xff")
    result = diff(*arguments)
    assert result.exit_code == code
    assert said in result.stderr
    assert result.stdout == ""
    assert "Traceback" not in result.stderr


def test_a_model_is_never_overwritten(diff, tmp_path):
    shutil.copy(NEW, tmp_path / "new.onnx")
    result = diff(OLD, "new.onnx", "-f", "json", "-o", "new.onnx")
    assert result.exit_code == 2
    assert "would overwrite" in result.stderr


def test_the_same_bytes_with_other_weights_beside_them_through_a_link(diff, tmp_path):
    folders = [tmp_path / name for name in ("old", "new", "linked")]
    for folder, sign in zip(folders, (1, -1, -1), strict=True):
        folder.mkdir()
        model = onnx.load(NEW)
        for tensor in model.graph.initializer:
            tensor.CopyFrom(numpy_helper.from_array(sign * numpy_helper.to_array(tensor), tensor.name))
        onnx.save(model, folder / "m.onnx", save_as_external_data=True, location="m.data", size_threshold=0)
    paths = [folder / "m.onnx" for folder in folders]
    paths[2].unlink()
    paths[2].symlink_to(paths[0])
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert [diff(str(paths[0]), str(path)).exit_code for path in paths] == [0, 1, 1]


def test_nan_that_signals_is_a_change_without_a_word_of_numpy(diff, tmp_path):
    model = onnx.load(NEW)
    for tensor in model.graph.initializer:
        array = numpy_helper.to_array(tensor).copy()
        array.reshape(-1)[:1].view(np.uint32)[:] = 0x7F800001
        tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
    onnx.save(model, tmp_path / "nan.onnx")
    result = diff(NEW, "nan.onnx")
    assert (result.exit_code, result.stderr) == (1, "")
