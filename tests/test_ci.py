"""The recipes for pipelines: what they run exists, and passes healthy sample models."""

import re
import shlex
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from onnxtop._version import HOME, __version__
from onnxtop.cli import VERBS, app
from onnxtop.rules.policy import KEYS
from tests.action import ACTION, INPUTS, Runner, fields, section

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "ci.md").read_text(encoding="utf-8")
HOOK = ROOT / ".pre-commit-hooks.yaml"
RECIPES = sorted((ROOT / "docs" / "ci").iterdir())
RUNNING = [path for path in (*RECIPES, HOOK) if "onnxtop check" in path.read_text(encoding="utf-8")]

HEALTHY = ("mlp_torch_legacy.onnx", "mlp_torch_external.onnx", "cnn_jax.onnx", "lstm_torch_dynamo.onnx")


def commands(text):
    """Return the onnxtop commands of a recipe or page; one that is folded over lines is joined."""
    text = re.sub(r"\n +(?=-[fo] )", " ", text)
    found = re.findall(rf"onnxtop ((?:{'|'.join(VERBS)}) [^\n']*)", text)
    return [shlex.split(each) for each in found]


@pytest.fixture
def models(tmp_path, monkeypatch):
    """Work in a folder with the sample models of each kind, some with external data, below models/."""
    folder = tmp_path / "models"
    folder.mkdir()
    for name in HEALTHY:
        for path in (ROOT / "sample_models").glob(f"{name}*"):
            shutil.copy(path, folder)
    monkeypatch.chdir(tmp_path)
    return folder


@pytest.mark.parametrize("recipe", RUNNING, ids=lambda path: path.name)
def test_commands_run(recipe, models, tmp_path):
    (found,) = (each for each in commands(recipe.read_text(encoding="utf-8")) if each[0] == "check")
    named = [str(path.relative_to(tmp_path)) for path in sorted(models.iterdir())]
    result = CliRunner().invoke(app, found if "models/" in found else [*found, *named])
    assert result.exit_code == 0, result.output
    assert f"{len(HEALTHY)} models" in result.output or "-f" in found
    written = [found[i + 1] for i, word in enumerate(found) if word == "-o"]
    assert all((tmp_path / name).stat().st_size for name in written)


def test_the_recipe_with_the_action_passes(models, tmp_path):
    recipe = (ROOT / "docs" / "ci" / "github-action.yml").read_text(encoding="utf-8")
    given = dict(re.findall(r"^ {10}([\w-]+): \"?([^\"\n]*)\"?$", recipe.split("- uses: onnxtop/")[1], re.M))
    assert set(given) <= set(INPUTS)
    runner = Runner(tmp_path)
    shutil.copytree(models, runner.work / "models")
    code, outputs = runner.run(**{name.replace("-", "_"): value for name, value in given.items()})
    assert code == 0, runner.log
    assert runner.uploaded["sarif_file"] == outputs["sarif"]


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.name)
def test_files_that_are_collected_are_written(path):
    text = path.read_text(encoding="utf-8")
    written = {name for found in commands(text) for name in found if name.startswith("onnxtop.")}
    assert set(re.findall(r"\bonnxtop\.(?:sarif|xml|md|json)\b", text)) == written


@pytest.mark.parametrize("path", [*RECIPES, HOOK, ROOT / "docs" / "ci.md"], ids=lambda path: path.name)
def test_there_is_one_home_and_one_version(path):
    text = path.read_text(encoding="utf-8")
    assert "example.com" not in text
    name = HOME.removeprefix("https://github.com/")
    for place in re.findall(r"https://github\.com/([\w-]+/[\w-]+)|uses: (onnxtop/[\w-]+)", text):
        assert name in place
    for version in re.findall(rf"{name}(?:/archive/refs/tags/|@)v([\w.]+?)(?:\.tar\.gz)?$", text, re.M):
        assert version == __version__
    assert set(re.findall(r"^ +rev: v(.*)$", text, re.M)) <= {__version__}


def test_the_page_names_every_recipe():
    assert all(f"(ci/{path.name})" in PAGE for path in RECIPES)
    (hook,) = re.findall(r"^- id: (.*)$", HOOK.read_text(encoding="utf-8"), re.M)
    shown = (ROOT / "docs" / "ci" / "pre-commit-config.yaml").read_text(encoding="utf-8")
    assert f"- id: {hook}" in shown
    assert shown[shown.index("repos:") :] in PAGE


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        *(
            (name, True)
            for name in ("a.onnx", "m/A.ONNX", "m.data", "m.onnx.data", "m.onnx_data", "m.onnx_data_1")
        ),
        *((name, False) for name in ("data", "data.csv", "metadata", "a.onnx.md", "onnx", "my_database")),
    ],
)
def test_names_for_which_the_hook_is_run(name, wanted):
    (pattern,) = re.findall(r"^  files: '(.*)'$", HOOK.read_text(encoding="utf-8"), re.M)
    assert bool(re.search(pattern, name)) == wanted


def test_the_hook_passes_over_what_is_no_model_and_no_data(models, tmp_path):
    (found,) = commands(HOOK.read_text(encoding="utf-8"))
    (tmp_path / "notes.data").write_bytes(b"notes")
    assert CliRunner().invoke(app, [*found, "notes.data"]).exit_code == 0
    told = CliRunner().invoke(app, [*found, "-v", "notes.data", "models/mlp_torch_external.onnx.data"])
    assert told.exit_code == 0
    assert "notes.data: passed over" in told.stderr
    assert "mlp_torch_external.onnx " in told.stdout
    assert CliRunner().invoke(app, ["check", "notes.data"]).exit_code == 3


def test_inputs_and_outputs_of_the_action_are_documented():
    section_of_page = PAGE[PAGE.index("## GitHub: the action") : PAGE.index("## GitHub: step by step")]
    tables = [re.findall(r"^\| `([^|]*)` \| ", part, re.M) for part in section_of_page.split("| output |")]
    assert tables[0] == list(INPUTS)
    assert "`, `".join(tables[1]).split("`, `") == re.findall(r"^  ([\w-]+):", section("outputs"), re.M)
    for name, default in re.findall(r"^\| `([\w-]+)` \| (`.*?`|as configured|) \|", section_of_page, re.M):
        shown = "" if default == "as configured" else default.strip("`")
        assert INPUTS[name] == shown, name
    assert fields(ACTION)["name"]


def test_commands_and_settings_on_the_page_work(models, tmp_path):
    shutil.copytree(
        ROOT / "sample_models", tmp_path / "sample_models", ignore=shutil.ignore_patterns("*.npz")
    )
    first, *pairs = commands("\n".join(re.findall(r"^```sh\n(.*?)^```$", PAGE, re.M | re.S)))
    assert CliRunner().invoke(app, first).exit_code == 1  # there is one model that was never trained
    for arguments in pairs:
        assert CliRunner().invoke(app, arguments).exit_code == 0
    (settings,) = re.findall(r"^```toml\n(.*?)^```$", PAGE, re.M | re.S)
    (tmp_path / "onnxtop.toml").write_text(settings, encoding="utf-8")
    assert set(re.findall(r"^([\w-]+) =", settings, re.M)) <= set(KEYS)
    assert CliRunner().invoke(app, pairs[-1][:2]).exit_code == 0
