"""The recipes for pipelines: what they run exists, and works on the samples."""

import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from onnxtop.cli import VERBS, app

ROOT = Path(__file__).resolve().parent.parent
RECIPES = [*sorted((ROOT / "docs" / "ci").glob("*.yml")), ROOT / ".pre-commit-hooks.yaml"]


def commands(path):
    """Return the onnxtop commands of a recipe; one that is folded over lines is joined."""
    text = re.sub(r"\n +(?=-[fo] )", " ", path.read_text(encoding="utf-8"))
    return [shlex.split(found) for found in re.findall(rf"onnxtop ((?:{'|'.join(VERBS)}) .*)", text)]


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.name)
def test_commands_run(recipe, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    models = tmp_path / "models"
    models.mkdir()
    model = (ROOT / "sample_models" / "mlp_torch_legacy.onnx").read_bytes()
    (models / "mlp.onnx").write_bytes(model)
    (found,) = (each for each in commands(recipe) if each[0] == "check")
    result = CliRunner().invoke(app, found if "models/" in found else [*found, "models/mlp.onnx"])
    assert result.exit_code == 0, result.output
    named = [found[i + 1] for i, word in enumerate(found) if word == "-o"]
    assert all((tmp_path / name).stat().st_size for name in named)


@pytest.mark.parametrize("recipe", RECIPES[:-1], ids=lambda path: path.name)
def test_files_that_are_collected_are_written(recipe):
    text = recipe.read_text(encoding="utf-8")
    written = {name for found in commands(recipe) for name in found if name.startswith("onnxtop.")}
    assert set(re.findall(r"\bonnxtop\.(?:sarif|xml|md|json)\b", text)) == written


def test_the_page_names_every_recipe():
    page = (ROOT / "docs" / "ci.md").read_text(encoding="utf-8")
    assert all(path.name in page for path in RECIPES[:-1])
    (hook,) = re.findall(r"^- id: (.*)$", RECIPES[-1].read_text(encoding="utf-8"), re.M)
    assert f"- id: {hook}" in page
