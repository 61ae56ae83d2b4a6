"""What surrounds a run is not as it should be: streams are closed, the working directory is gone."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from onnxtop.cli import app
from onnxtop.cli.analysis import readable
from onnxtop.errors import ModelError, UnreadableError, unreadable

ONNXTOP = f"{sys.executable} -m onnxtop"


def shell(command: str, folder: Path, **environment: str) -> "subprocess.CompletedProcess[str]":
    own = {**os.environ, "ONNXTOP_APART": "on", **environment}
    return subprocess.run(
        ["sh", "-c", command], cwd=folder, env=own, capture_output=True, text=True, timeout=60
    )


@pytest.mark.parametrize("closed", ["<&- >&-", "<&- 2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_closed_streams_are_nobody_elses(samples: Path, tmp_path: Path, closed: str) -> None:
    """What is opened next would have their numbers: the pipes to the process that does the work."""
    done = shell(f"{ONNXTOP} report {samples / 'mlp_jax.onnx'} -f json -o o.json {closed}", tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    (report,) = json.loads((tmp_path / "o.json").read_text())["reports"]
    assert report["layers"]


@pytest.mark.parametrize("asked", ["report -", "report --files-from -"])
def test_what_should_come_on_a_closed_standard_input(tmp_path: Path, asked: str) -> None:
    done = shell(f"{ONNXTOP} {asked} <&-", tmp_path)
    assert done.returncode in (2, 3)
    assert done.stderr.startswith("onnxtop: error: ")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("asked", ["demo", "report x.onnx", "diff x.onnx y.onnx", "cache"])
def test_a_working_directory_that_is_gone(tmp_path: Path, asked: str) -> None:
    (tmp_path / "gone").mkdir()
    done = shell(f"cd gone && rmdir ../gone && {ONNXTOP} {asked}", tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "the working directory is not there any more: go to another" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("asked", "more"),
    [("bash_source", ""), ("bash_complete", "COMP_WORDS='onnxtop ' COMP_CWORD=1"), ("bash_complete", "")],
)
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_shell_that_takes_no_answer(tmp_path: Path, asked: str, more: str, unbuffered: str) -> None:
    more = f"PYTHONUNBUFFERED={unbuffered} {more}"
    done = shell(f"{more} _ONNXTOP_COMPLETE={asked} {ONNXTOP} >/dev/full", tmp_path)
    assert (done.returncode, done.stderr) == (1, "")


def test_an_output_is_not_the_state_that_is_yet_to_be_made(samples: Path, tmp_path: Path) -> None:
    state = str(tmp_path / "state.json")
    data = ["--data", str(samples / "digits.npz"), "--minima", "1"]
    done = CliRunner().invoke(
        app, ["loss-barcode", str(samples / "mlp_jax.onnx"), *data, "--state", state, "-o", state]
    )
    assert done.exit_code == 2
    assert f"this output would overwrite {state}; name another file" in done.stderr


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        ImportError("_propack.so: failed to map segment from shared object"),
        ImportError("Exception caught: std::bad_alloc"),
        SystemError("error return without exception set"),
    ],
    ids=repr,
)
def test_want_of_memory_while_libraries_are_loaded(error: Exception) -> None:
    with (
        pytest.raises(ModelError, match="not enough memory to analyse this model; see --memory"),
        readable("a"),
    ):
        raise error


def test_an_import_that_fails_otherwise_is_a_defect() -> None:
    with pytest.raises(ImportError, match="no such name"), readable("a"):
        raise ImportError("no such name")


@pytest.mark.parametrize(("number", "advice"), [(24, ""), (2, "; check the path"), (40, "; check the path")])
def test_the_path_is_blamed_where_another_would_help(number: int, advice: str) -> None:
    error = unreadable(OSError(number, "told"))
    assert isinstance(error, UnreadableError)
    assert str(error) == f"wanted an ONNX file, found none to read: told{advice}"
