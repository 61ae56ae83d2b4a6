"""What a shell completes: asked of click, and of bash itself."""

import os
import subprocess
import sys

import pytest
from click.shell_completion import FishComplete, ShellComplete, ZshComplete

from onnxtop.cli import VERBS, app
from onnxtop.cli.completion import Bash
from onnxtop.render import RENDERERS
from onnxtop.rules.catalogue import RULES


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch, models):
    models("a.onnx", "b c.onnx", "UP.ONNX", "nets/deep/d.onnx", "notes.txt", "empty/readme.md", ".git/x.onnx")
    models("one/only/e.onnx")
    monkeypatch.chdir(tmp_path)


def answers(*arguments, shell=ShellComplete):
    """Return what is answered for the last of the arguments."""
    asked = shell(app, {}, "onnxtop", "_ONNXTOP_COMPLETE")
    return [item.value for item in asked.get_completions(list(arguments[:-1]), arguments[-1])]


def test_verbs():
    assert answers("") == list(VERBS)
    assert answers("r") == ["report", "rules"]
    assert answers("help", "ch") == ["check"]


@pytest.mark.parametrize(
    "before", [["report"], ["check", "--fail-on", "error"], ["diff", "a.onnx"], ["graph"]]
)
def test_models_and_folders_that_lead_to_some(before):
    assert answers(*before, "") == ["UP.ONNX", "a.onnx", "b c.onnx", "nets/", "one/"]
    assert answers(*before, "n") == ["nets/deep/d.onnx"]
    assert answers(*before, "one/") == ["one/only/e.onnx"]
    assert answers(*before, "empty/") == []
    assert answers(*before, ".") == [".git/x.onnx"]
    assert answers(*before, "./a") == ["./a.onnx"]
    assert answers(*before, "missing/x") == []


def test_models_by_an_absolute_path_and_from_home(tmp_path, monkeypatch):
    assert answers("report", f"{tmp_path}/a") == [f"{tmp_path}/a.onnx"]
    monkeypatch.setenv("HOME", str(tmp_path))
    assert answers("report", "~/a") == ["~/a.onnx"]
    assert answers("report", "~nobody-of-this-name/") == []


@pytest.mark.parametrize("verb", [verb for verb in RENDERERS if verb in VERBS])
def test_formats(verb):
    assert answers(verb, "--format", "") == list(RENDERERS[verb])


def test_options_and_their_values():
    assert {"--select", "--seed", "--show-settings"} <= set(answers("check", "--s"))
    assert answers("check", "a.onnx", "--fail-on", "") == ["error", "warning", "never"]


@pytest.mark.parametrize("option", ["--select", "--ignore"])
def test_rules(option):
    assert {"OT1", "OT101", "not-finite"} <= set(answers("check", option, ""))
    assert answers("check", option, "ot10")[:2] == ["OT101", "OT102"]
    assert answers("check", option, "OT101,dead-o") == ["OT101,dead-outputs"]


def test_words_to_explain():
    found = set(answers("explain", ""))
    assert {rule.code for rule in RULES} | {rule.name for rule in RULES} <= found
    assert {"bars", "saturated", "hub", "np"} <= found
    assert answers("explain", "np", "satur") == ["saturated", "saturated-bars"]


def test_a_configuration_is_not_read_for_it(tmp_path):
    (tmp_path / "onnxtop.toml").write_text("nonsense = [")
    assert answers("check", "a") == ["a.onnx"]


@pytest.mark.parametrize(("shell", "current"), [(Bash, "1"), (ZshComplete, "1"), (FishComplete, "rep")])
def test_completing_verbs_loads_nothing_heavy(shell, current):
    code = (
        "import sys; from onnxtop.cli import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "assert not sys.modules.keys() & {'numpy', 'onnx', 'rich'}"
    )
    asked = {"_ONNXTOP_COMPLETE": f"{shell.name}_complete", "COMP_WORDS": "onnxtop rep"}
    environment = {**os.environ, **asked, "COMP_CWORD": current}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert "report" in done.stdout


BASH = """\
eval "$(_ONNXTOP_COMPLETE=bash_source onnxtop)"
ask() {{ COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=(); _onnxtop_completion onnxtop; }}
ask {words}
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ("onnxtop rep", ["report"]),
        ("onnxtop check a", ["a.onnx"]),
        ("onnxtop check b", ["'b c.onnx'"]),
        ("onnxtop check 'b\\ '", ["'b c.onnx'"]),
        ("onnxtop check '~/b'", ["~/'b c.onnx'"]),
        ("onnxtop check nets", ["nets/deep/d.onnx"]),
        ("onnxtop check --select OT40", ["OT401", "OT402"]),
        ("onnxtop report a.onnx -f js", ["json", "jsonl"]),
        ("onnxtop explain tree", ["tree", "tree-kept"]),
    ],
)
def test_bash_itself(words, wanted, tmp_path):
    """The script that bash is told to run is run, as bash runs it when Tab is pressed."""
    command = tmp_path / "bin" / "onnxtop"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m onnxtop "$@"\n')
    command.chmod(0o755)
    path = f"{command.parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "HOME": str(tmp_path)}
    done = subprocess.run(
        ["bash", "--norc", "-c", BASH.format(words=words)],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines() == wanted, done.stderr
