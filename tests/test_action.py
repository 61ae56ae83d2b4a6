"""What the action of GitHub does, as its users would see it; see `tests.action` for what runs it."""

import json
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from tests.action import ACTION, INPUTS, ROOT, SAMPLES, Runner, section, steps


@pytest.fixture
def runner(tmp_path: Path) -> Runner:
    return Runner(tmp_path)


def copied(sample: str, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes((SAMPLES / sample).read_bytes())


def test_healthy_models_pass(runner):
    copied("mlp_jax.onnx", runner.work / "my models" / "a b.onnx")
    copied("mlp_torch_dynamo.onnx", runner.work / "c.onnx")
    code, outputs = runner.run(models="my models\nc.onnx\n")
    assert code == 0, runner.log
    assert outputs["exit-code"] == "0"
    assert json.loads(Path(outputs["sarif"]).read_text(encoding="utf-8"))["runs"][0]["results"] == []
    assert len(ET.parse(outputs["junit"]).getroot()) == 2
    assert "a b.onnx" in Path(outputs["json"]).read_text(encoding="utf-8")
    assert "a b.onnx" in runner.summary.read_text(encoding="utf-8")
    assert "2 models" in runner.log
    installed = (runner.temp / "installed").read_text()
    assert installed.strip().endswith(str(ROOT))
    assert not runner.uploaded


def test_a_finding_fails_the_action_after_all_is_written(runner):
    copied("mlp_untrained.onnx", runner.work / "u.onnx")
    code, outputs = runner.run(upload_sarif="true", category="mine")
    assert code == 1
    assert outputs["exit-code"] == "1"
    assert "::error file=u.onnx," in runner.log
    assert "OT208" in runner.summary.read_text(encoding="utf-8")
    assert runner.uploaded == {"sarif_file": outputs["sarif"], "category": "mine"}
    assert json.loads(Path(outputs["sarif"]).read_text(encoding="utf-8"))["runs"][0]["results"]


def test_what_is_not_asked_for_is_not_written(runner):
    copied("mlp_untrained.onnx", runner.work / "u.onnx")
    code, _ = runner.run(fail_on="never", summary="false", annotations="false")
    assert code == 0
    assert not runner.summary.exists()
    assert "::error" not in runner.log


def test_arguments_and_a_baseline(runner):
    copied("mlp_untrained.onnx", runner.work / "u.onnx")
    _, outputs = runner.run(fail_on="never")
    Path(outputs["json"]).rename(runner.work / "base line.json")
    code, _ = runner.run(baseline="base line.json", args="--select 'OT1, OT2'  --all")
    assert code == 0, runner.log
    assert "known" in runner.log
    assert runner.run(args="--ignore looks-untrained --ignore 'OT209'")[0] == 0


@pytest.mark.parametrize(
    ("file", "wanted"), [("broken.onnx", 3), ("missing.onnx", 3), ("empty folder", 4), ("notes.txt", 3)]
)
def test_other_codes_are_handed_on(runner, file, wanted):
    (runner.work / "empty folder").mkdir()
    (runner.work / "broken.onnx").write_bytes(b"no model")
    (runner.work / "notes.txt").write_text("no model either")
    code, outputs = runner.run(models=file)
    assert code == wanted, runner.log
    assert outputs["exit-code"] == str(wanted)
    assert Path(outputs["sarif"]).is_file()


def test_an_error_of_usage_has_no_reports(runner):
    code, outputs = runner.run(args="--no-such-option", upload_sarif="true")
    assert code == 2
    assert "--no-such-option" in runner.log
    assert outputs == {"exit-code": "2", "sarif": "", "junit": "", "json": ""}
    assert not runner.uploaded


@pytest.mark.parametrize("given", ["args", "models", "fail_on", "baseline", "category"])
def test_nothing_in_an_input_is_run(runner, given):
    copied("mlp_jax.onnx", runner.work / "a.onnx")
    evil = "$(touch pwned) `touch pwned` ; touch pwned #' \" && touch pwned"
    code, _ = runner.run(**{given: evil})
    assert (code == 0) == (given == "category")
    assert not (runner.work / "pwned").exists()


def test_a_quote_that_is_not_closed_runs_no_check_at_all(runner):
    copied("mlp_untrained.onnx", runner.work / "u.onnx")
    code, outputs = runner.run(args="--fail-on 'never")
    assert code != 0
    assert outputs["exit-code"] == ""


def test_names_of_models_are_no_commands_of_the_runner(runner):
    copied("mlp_jax.onnx", runner.work / "::warning::x.onnx")
    assert runner.run()[0] == 0
    (quiet,) = re.findall(r"^::stop-commands::(.*)$", runner.log, re.M)
    shown = runner.log[runner.log.index(quiet) :]
    assert shown.index("x.onnx") < shown.index(f"::{quiet}::")


def test_no_expression_stands_in_a_script():
    scripts = [step["run"] for step in steps() if "run" in step]
    assert len(scripts) == 4
    assert not any("${{" in script for script in scripts)


def test_every_input_is_used_and_every_reference_exists():
    used = set(re.findall(r"inputs\.([\w-]+)", section("runs")))
    assert used == set(INPUTS)
    produced = {"python-path", "python-version"}
    produced |= set(re.findall(r"\"?([\w-]+)=\$", section("runs"))) | {"sarif", "junit", "json"}
    assert set(re.findall(r"outputs\.([\w-]+)", ACTION)) <= produced
