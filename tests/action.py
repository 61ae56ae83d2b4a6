"""The action of GitHub, read, and run as its runner would but for what needs the network."""

import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Mapping
from pathlib import Path

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
