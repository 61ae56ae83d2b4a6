import os
from pathlib import Path

import pytest

from onnxtop.cli.models import find_models
from onnxtop.results.outcome import FailedModel


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def find(*arguments):
    return [
        (model.path, model.code) if isinstance(model, FailedModel) else model.replace(os.sep, "/")
        for model in find_models(arguments)
    ]


def test_files_are_taken_as_they_are_named(models):
    models("b.onnx", "a.bin")
    assert find("b.onnx", "./a.bin") == ["b.onnx", "./a.bin"]


def test_a_folder_stands_for_its_models(models):
    models("m/z.onnx", "m/a/b.onnx", "m/a/weights.bin", "m/UP.ONNX", "m/.hidden.onnx")
    assert find("m") == ["m/.hidden.onnx", "m/UP.ONNX", "m/a/b.onnx", "m/z.onnx"]


def test_patterns_that_no_shell_has_expanded(models):
    models("m/z.onnx", "m/a/b.onnx", "m/a/weights.bin")
    assert find("m/*.onnx") == ["m/z.onnx"]
    assert find("m/**/*.onnx") == ["m/a/b.onnx", "m/z.onnx"]
    assert find("m/**") == ["m/a/b.onnx", "m/z.onnx"]
    assert find("m/?/*.bin") == ["m/a/weights.bin"]
    assert find("*") == ["m/a/b.onnx", "m/z.onnx"]


def test_a_name_that_exists_is_no_pattern(models):
    models("a[1].onnx", "a1.onnx", "d*/x.onnx")
    assert find("a[1].onnx") == ["a[1].onnx"]
    assert find("d*") == ["d*/x.onnx"]


def test_every_model_comes_once(models, tmp_path):
    models("m/a.onnx", "b.onnx")
    assert find("b.onnx", "m", "./b.onnx", "m/../b.onnx", "m/*", str(tmp_path / "b.onnx")) == [
        "b.onnx",
        "m/a.onnx",
    ]


def test_what_names_no_model_fails_in_its_place(models):
    models("a.onnx", "empty/readme.md")
    assert find("gone.onnx", "a.onnx", "gone*.onnx", "empty") == [
        ("gone.onnx", 3),
        "a.onnx",
        ("gone*.onnx", 3),
        ("empty", 4),
    ]


def test_links(models, tmp_path):
    models("a.onnx")
    (tmp_path / "link.onnx").symlink_to("a.onnx")
    (tmp_path / "broken.onnx").symlink_to("nowhere")
    (tmp_path / "loop").symlink_to(".", target_is_directory=True)
    assert find(".") == ["a.onnx", "broken.onnx", "link.onnx"]


def test_a_folder_that_may_not_be_read(models, monkeypatch):
    models("m/a.onnx", "m/secret/b.onnx")
    scandir = os.scandir

    def refuse(path):
        if str(path).endswith("secret"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert find("m") == ["m/a.onnx", (str(Path("m", "secret")), 3)]
