import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from click.testing import CliRunner

import onnxtop
from onnxtop.cli import app
from onnxtop.errors import UnreadableError
from onnxtop.results.outcome import FailedModel
from onnxtop.tracing.options import TraceOptions
from onnxtop.tracing.story import Series
from onnxtop.tracing.watching import Watch
from tests.results.test_schema import complaints
from tests.tracing.runs import course, written


def run(*arguments):
    return CliRunner().invoke(app, ["trace", *map(str, arguments)])


@pytest.fixture
def folder(tmp_path):
    written(tmp_path / "run", course(4))
    return tmp_path / "run"


def test_the_first_line_is_the_verdict(folder):
    done = run(folder, "--quick")
    assert done.exit_code == 0
    assert done.stdout.startswith("learning: mean NP went from 0.")
    told = [line.split()[0] for line in done.stdout.splitlines() if line.startswith("step_")]
    assert told == ["step_0", "step_100", "step_200", "step_300"]


def test_every_format_of_one_run(folder, tmp_path):
    (folder / "step_50.onnx").write_bytes(b"\x08\x07cut")
    files = [tmp_path / f"trace.{suffix}" for suffix in ("json", "jsonl", "csv", "md", "svg", "txt")]
    done = run(folder, *(word for file in files for word in ("-o", file)))
    assert done.exit_code == 3
    assert "step_50.onnx" in done.stderr
    whole, lines, table, *_ = (file.read_text(encoding="utf-8") for file in files)
    document = json.loads(whole)
    assert complaints("trace", document) == []
    assert [json.loads(line).get("checkpoint") for line in lines.splitlines()] == [
        None if "error" in each else each for each in document["checkpoints"]
    ]
    assert [row.partition(",")[0] for row in table.splitlines()] == [
        *("checkpoint", "step_0", "", "step_100", "step_200", "step_300")
    ]
    assert all("mean NP went from 0." in file.read_text(encoding="utf-8") for file in files[3:])


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["none"], 3, "no such file or folder"),
        (["--label", "step_[0-9]+", "run"], 2, "wanted a group"),
        (["--until-stop", "run"], 2, "--until-stop has no effect without --follow"),
        (["--interval", "3", "run"], 2, "--interval has no effect without --follow"),
        (["--follow", "none"], 3, "wanted a folder to follow"),
        (["--follow", "run", "run"], 2, "wanted one folder"),
        (["run", "other.onnx"], 2, "wanted checkpoints of one architecture"),
        (["run", "--data", "a.npz", "--metric-file", "b.csv"], 2, "found both"),
    ],
)
def test_what_cannot_be_traced(folder, samples, monkeypatch, arguments, code, message):
    monkeypatch.chdir(folder.parent)
    shutil.copy(samples / "mlp_jax.onnx", "other.onnx")
    done = run(*arguments)
    assert (done.exit_code, message in done.stderr) == (code, True), done.stderr


def test_a_folder_to_follow_that_may_not_be_read(tmp_path, monkeypatch):
    def refused(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("onnxtop.tracing.watching.os.scandir", refused)
    done = run("--follow", tmp_path)
    assert (done.exit_code, done.stderr) == (
        3,
        f"onnxtop: error: {tmp_path}: cannot be read: Permission denied\n",
    )


def test_a_folder_below_the_followed_one_that_may_not_be_read_waits(tmp_path, monkeypatch):
    (tmp_path / "secret").mkdir()
    scandir = os.scandir

    def refuse(path):
        if Path(path).name == "secret":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    watch = Watch(str(tmp_path), Series(TraceOptions(), growing=True), 0.1)
    monkeypatch.setattr(os, "scandir", refuse)
    assert watch._whole() == []
    secret = str(tmp_path / "secret")
    assert watch.waiting == {secret: FailedModel(secret, 3, "cannot be read: Permission denied")}
    with pytest.raises(UnreadableError, match="secret: wanted a folder of checkpoints, found one"):
        onnxtop.trace(tmp_path)
    monkeypatch.undo()
    watch._whole()
    assert watch.waiting == {}


@pytest.mark.parametrize("output", [["-f", "json", "-o"], ["--log", "csv:"]])
def test_no_checkpoint_of_a_followed_folder_is_overwritten(folder, output):
    before = {path: path.read_bytes() for path in folder.iterdir()}
    *flags, last = output
    target = folder / "step_100.onnx"
    done = run("--follow", folder, *flags, *([f"{last}{target}"] if "csv" in last else [last, target]))
    assert (done.exit_code, "would overwrite" in done.stderr) == (2, True)
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


def test_following_until_the_rule_fires(folder, tmp_path):
    """Files come one by one, the second of them in two pieces; a line each, then the page."""
    watched = tmp_path / "watched"
    watched.mkdir()

    def write():
        for number, path in enumerate(sorted(folder.iterdir())):
            data = path.read_bytes()
            if number == 1:
                (watched / path.name).write_bytes(data[:2000])
                done.wait(0.1)
            (watched / path.name).write_bytes(data)
            done.wait(0.1)

    done = threading.Event()
    writer = threading.Thread(target=write)
    writer.start()
    found = run("--follow", watched, "--until-stop", "--patience", 2, "--interval", 0.02, "--quick")
    writer.join()
    assert found.exit_code == 0, found.stderr
    lines = [line for line in found.stdout.splitlines() if re.match(r"step_\d+  NP 0\.\d+, DGP", line)]
    assert [line.split()[0] for line in lines] == ["step_0", "step_100", "step_200", "step_300"]
    assert lines[-1].endswith("stop")
    assert "would have stopped at step_300" in found.stdout.replace("\n  ", " ")


def test_an_interrupt_ends_it_with_what_is_done(folder, heard):
    command = [
        sys.executable,
        "-m",
        "onnxtop",
        "trace",
        "--follow",
        str(folder),
        "--quick",
        "--interval",
        "0.02",
    ]
    process = subprocess.Popen(
        [*command, "-f", "jsonl", "-f", "json", "-o", "trace.json"],
        cwd=folder.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    told = [json.loads(process.stdout.readline()) for _ in range(4)]
    process.send_signal(signal.SIGINT)
    with contextlib.closing(process.stdout):
        assert process.wait(60) == 130
    assert [each["checkpoint"]["name"] for each in told] == ["step_0", "step_100", "step_200", "step_300"]
    document = json.loads((folder.parent / "trace.json").read_text())
    assert not document["complete"]
    assert [each["name"] for each in document["checkpoints"]] == [each["checkpoint"]["name"] for each in told]
    assert Path(folder.parent / "trace.json").exists()
    process.stderr.close()
