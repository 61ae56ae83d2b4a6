"""The action of GitHub, run as its runner would, but for the network: steps in bash, outputs in files."""

import json
import os
import re
import subprocess
import sys
import textwrap
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from pathlib import Path

import pytest

import onnxtop

ROOT = Path(__file__).resolve().parent.parent
ACTION = (ROOT / "action.yml").read_text(encoding="utf-8")
SAMPLES = ROOT / "sample_models"

PYTHON = f"""\
#!/bin/sh
# Stands in for Python: environments and installations need the network, onnxtop itself is run.
case "$*" in
  "-m venv "*) mkdir -p "$3/bin" && cp "$0" "$3/bin/python" ;;
  "-m pip cache dir") echo "$RUNNER_TEMP/pip cache" ;;
  "-m pip install "*) echo "$*" >> "$RUNNER_TEMP/installed" ;;
  *) exec "{sys.executable}" "$@" ;;
esac
"""


def section(name: str) -> str:
    """Return a part of the file, from its name to the next line that is not indented."""
    (found,) = re.findall(rf"^{name}:\n((?:[ ].*\n|\n)*)", ACTION, re.M)
    return str(found)


def fields(block: str) -> dict[str, str]:
    """Return the entries of a mapping; an inner mapping, or text over several lines, without its indent."""
    found = re.findall(r"^([\w-]+):(?: \|)?(?:\n((?:(?:[ ].*)?\n)*)| (.*)\n)", block, re.M)
    return {
        key: textwrap.dedent(inner) if inner else re.sub(r'^"(.*)"$', r"\1", line)
        for key, inner, line in found
    }


def steps() -> list[dict[str, str]]:
    blocks = fields(textwrap.dedent(section("runs")))["steps"].split("\n- ")
    return [fields(textwrap.dedent(f"  {block.removeprefix('- ')}\n")) for block in blocks]


INPUTS = {
    name: fields(block)["default"] for name, block in fields(textwrap.dedent(section("inputs"))).items()
}


class Runner:
    """Runs the action in a folder, as a job does."""

    def __init__(self, folder: Path) -> None:
        self.temp = folder / "runner temp"
        self.work = folder / "the repository"
        for each in (self.temp, self.work):
            each.mkdir()
        self.python = self.temp / "python"
        self.python.write_text(PYTHON)
        self.python.chmod(0o755)
        self.summary = self.temp / "summary"
        self.uploaded: dict[str, str] = {}
        self.log = ""

    def run(self, **inputs: str) -> tuple[int, dict[str, str]]:
        """Run all steps; return the code that the action ends with, and its outputs."""
        known = {f"inputs.{name}": value for name, value in INPUTS.items()}
        known |= {f"inputs.{name.replace('_', '-')}": value for name, value in inputs.items()}
        known |= {"runner.os": "Linux", "runner.arch": "X64"}
        known |= {"steps.python.outputs.python-path": str(self.python)}
        known |= {"steps.python.outputs.python-version": "3.12.1"}
        code = 0
        for step in steps():
            failed, always = code != 0, "always()" in step.get("if", "")
            if not holds(step.get("if", "true"), known) or (failed and not always):
                continue
            if "run" in step:
                code = self._step(step, known) or code
            elif "upload-sarif" in step["uses"]:
                self.uploaded = {key: filled(each, known) for key, each in fields(step["with"]).items()}
        given = fields(textwrap.dedent(section("outputs")))
        return code, {name: filled(fields(block)["value"], known) for name, block in given.items()}

    def _step(self, step: Mapping[str, str], known: dict[str, str]) -> int:
        script, output = self.temp / "step.sh", self.temp / "output"
        script.write_text(step["run"])
        output.write_text("")
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("GITHUB_")},
            **{name: filled(value, known) for name, value in fields(step["env"]).items()},
            "GITHUB_OUTPUT": str(output),
            "GITHUB_STEP_SUMMARY": str(self.summary),
            "GITHUB_ACTION_PATH": str(ROOT),
            "RUNNER_TEMP": str(self.temp),
            "PYTHONPATH": str(Path(onnxtop.__file__).parents[1]),
        }
        assert step["shell"] == "bash"
        command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", str(script)]
        done = subprocess.run(
            command, cwd=self.work, env=environment, capture_output=True, encoding="utf-8", check=False
        )
        self.log += done.stdout + done.stderr
        for line in output.read_text(encoding="utf-8").splitlines():
            name, _, value = line.partition("=")
            known[f"steps.{step['id']}.outputs.{name}"] = value
        return done.returncode


def filled(text: str, known: Mapping[str, str]) -> str:
    """Put values into the expressions of a text; one that was not set is empty."""
    return re.sub(r"\$\{\{ ([\w.-]+) \}\}", lambda found: known.get(found[1], ""), text)


def holds(condition: str, known: Mapping[str, str]) -> bool:
    """Tell whether a condition of a step holds; those there are compare, and are joined by &&."""

    def one(part: str) -> bool:
        if part in ("true", "always()"):
            return True
        name, sign, value = part.split(" ")
        return (known.get(name, "") == value.strip("'")) == (sign == "==")

    return all(map(one, condition.split(" && ")))


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
    assert "2 passed" in runner.log
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
