"""Faults of the world outside of a model's file, and what comes of them: each is tried, and on a page.

``python -m tests.pages`` writes the page.
"""

import contextlib
import json
import os
import shutil
import signal
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.world.harness import Asked, Ended

SAMPLES = Path(__file__).resolve().parents[2] / "sample_models"

Ask = Callable[[Asked], Ended]


@dataclass
class World:
    """A folder with a model, ``a.onnx``, and runs of the command line in it; how each must end is checked."""

    ask: Ask
    folder: Path
    ended: list[Ended] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.folder.mkdir(exist_ok=True)
        shutil.copy(SAMPLES / "mlp_jax.onnx", self.folder / "a.onnx")

    def __truediv__(self, name: str) -> Path:
        return self.folder / name

    def external(self, name: str) -> Path:
        """Put a model beside it that keeps its weights in another file, which is returned."""
        shutil.copy(SAMPLES / "mlp_torch_external.onnx", self / name)
        return Path(shutil.copy(SAMPLES / "mlp_torch_external.onnx.data", self.folder))

    def run(self, line: str, *more: str, **asked: Any) -> Ended:
        """Run a command line, as it is typed, with arguments behind it that are taken as they are."""
        done = self.ask(Asked([*line.split(), *more], str(self.folder), **asked))
        self.ended.append(done)
        assert done.left == 0, "it left a process behind"
        assert "internal error" not in done.err
        for told in done.err.splitlines():
            assert told.startswith("onnxtop: "), done.err
        assert not [each for each in self.folder.rglob(".onnxtop-*") if each.suffix == ".tmp"]
        return done


@dataclass(frozen=True)
class Case:
    """A kind of fault: what happens, what comes of it, with which exit codes, and what tries it."""

    where: str
    fault: str
    outcome: str
    codes: tuple[int, ...]
    act: Callable[[World], None]

    @property
    def name(self) -> str:
        return self.act.__name__.replace("_", "-")


CASES: list[Case] = []


def case(where: str, fault: str, outcome: str, *codes: int) -> Callable[[Callable[[World], None]], None]:
    """Return a decorator that adds a case."""
    return lambda act: CASES.append(Case(where, fault, outcome, codes, act))


def rows() -> str:
    """Return the table of the page."""
    return "".join(
        f"| {each.where} | {each.fault} | {each.outcome} | {', '.join(map(str, each.codes))} |\n"
        for each in CASES
    )


OUTPUTS, MODELS, ASKED, MOMENTS = "outputs", "models", "what is asked", "at any moment"


@contextlib.contextmanager
def unchanged(*files: Path) -> Iterator[None]:
    """Check that files are what they were."""
    before = [path.read_bytes() for path in files]
    yield
    assert [path.read_bytes() for path in files] == before


# Where results go


@case(OUTPUTS, "the disk is full", "told; a file is what it was before, and the other outputs are written", 2)
def full_disk(world: World) -> None:
    old = world / "old"
    old.write_text("old")
    for form in ("json", "jsonl"):
        with unchanged(old):
            done = world.run(f"layers a.onnx -f csv -o new.csv -f {form} -o old", size=1000)
        assert "onnxtop: error: old: cannot be written: File too large" in done.err
    assert (world / "new.csv").read_text().startswith("model,")
    for line in ("layers a.onnx", "layers a.onnx -f jsonl", "rules", "--help", "layers --help", "--version"):
        told = world.run(line, out="/dev/full").err
        assert told == "onnxtop: error: stdout: cannot be written: No space left on device\n"


@case(OUTPUTS, "the disk is full for the next line of jsonl or of a log", "told; whole lines stay", 2)
def full_disk_later(world: World) -> None:
    shutil.copy(world / "a.onnx", world / "b.onnx")
    whole = len(world.run("layers a.onnx -f jsonl", out="").out)
    world.ended.clear()
    world.run("layers a.onnx b.onnx -o a.jsonl", size=whole + 100)
    assert len((world / "a.jsonl").read_bytes()) == whole
    shutil.copytree(SAMPLES / "checkpoints", world / "steps")
    told = world.run("trace steps -f json -o a.json --log csv:log.csv", size=600).err
    assert "a.json: cannot be written" in told
    assert "csv:log.csv: cannot be written" in told
    lines = (world / "log.csv").read_text().splitlines()
    assert len(lines) > 1
    assert len({line.count(",") for line in lines}) == 1


@case(OUTPUTS, "the cache's disk is full, or its folder cannot be written", "told; nothing is remembered", 0)
def full_cache(world: World) -> None:
    for name, asked in (("full", {"size": 100}), ("locked/below", {"rights": False})):
        (world / "locked").mkdir(mode=0o555, exist_ok=True)
        told = world.run(f"check a.onnx --cache {name}", out="/dev/null", **asked).err
        assert "nothing new is remembered in this cache" in told


@case(OUTPUTS, "whoever reads stdout goes away", "nothing is said; the exit code is what it would be", 0)
def reader_gone(world: World) -> None:
    for line in ("layers a.onnx", "layers a.onnx -f jsonl", "rules", "layers --help"):
        assert world.run(line, out="gone").err == ""


@case(OUTPUTS, "stdout is closed", "told", 2)
def stdout_closed(world: World) -> None:
    for line in ("layers a.onnx", "rules"):
        assert (
            world.run(line, out="closed").err == "onnxtop: error: stdout: cannot be written: it is closed\n"
        )


@case(OUTPUTS, "stderr is closed, full, or nobody reads it", "the exit code is what it would be", 0, 2, 3)
def stderr_gone(world: World) -> None:
    for err in ("closed", "/dev/full", "gone"):
        assert world.run("layers gone.onnx", err=err).code == 3
        assert world.run("layers --nonsense", err=err).code == 2
    assert world.run("layers a.onnx -v", err="/dev/full").code == 0


@case(OUTPUTS, "stdout and stderr are closed, and all goes to files", "the exit code is what it would be", 0)
def both_closed(world: World) -> None:
    world.run("layers a.onnx -f json -o a.json", out="closed", err="closed")
    assert json.loads((world / "a.json").read_text())["reports"][0]["layers"]


@case(
    OUTPUTS,
    "a folder or file is write-protected, or the folder may not be entered",
    "told before the work",
    2,
)
def write_protected(world: World) -> None:
    (world / "locked").mkdir()
    (world / "old.json").write_text("old")
    (world / "old.json").chmod(0o444)
    for mode in (0, 0o555):
        (world / "locked").chmod(mode)
        told = world.run("layers a.onnx -o locked/a.json", rights=False).err
        assert "locked/a.json: cannot be written: the folder" in told
    assert "the file is write-protected" in world.run("layers a.onnx -o old.json", rights=False).err


@case(
    OUTPUTS,
    "an output's folder is not there, its name is too long, or it is a folder",
    "told before the work; the other outputs are what they were",
    2,
)
def no_place(world: World) -> None:
    (world / "folder").mkdir()
    (world / "old.json").write_text("old")
    loaded = "import onnxtop.auditing.story as story\nstory.load = None\n"  # there is no work
    long = "x" * 300
    reasons = {"gone/a.csv": "there is no folder", long: "File name too long", "folder": "it is a folder"}
    for name, reason in reasons.items():
        for line in ("layers a.onnx -o old.json -f csv -o", "check a.onnx -o old.json --write-baseline"):
            with unchanged(world / "old.json"):
                told = world.run(line, name, planted=loaded).err
            assert f"onnxtop: error: {name}: cannot be written: {reason}" in told


@case(
    OUTPUTS,
    "an output is a file that is read: a model or its weights, data, a baseline, a configuration, a list; by "
    "another name, link or hard link too",
    "refused before the work",
    2,
)
def output_over_input(world: World) -> None:
    weights = world.external("e.onnx")
    os.link(world / "a.onnx", world / "hard")
    (world / "soft").symlink_to("a.onnx")
    os.link(weights, world / "data")
    (world / "list").write_text("a.onnx")
    (world / "base.json").write_text("{}")
    (world / "onnxtop.toml").write_text("")
    for name in ("a.onnx", "hard", "soft", weights.name, "data", "list", "onnxtop.toml"):
        with unchanged(world / "e.onnx", weights, world / "list"):
            done = world.run("check e.onnx --files-from list -f jsonl -o", name)
        assert "this output would overwrite" in done.err


# What is read


@case(MODELS, "a model, its weights or a folder may not be read", "told; the other models are done", 3)
def unreadable(world: World) -> None:
    world.external("e.onnx").chmod(0)
    shutil.copy(world / "a.onnx", world / "secret.onnx")
    (world / "secret.onnx").chmod(0)
    (world / "locked").mkdir()
    shutil.copy(world / "a.onnx", world / "locked" / "b.onnx")
    (world / "locked").chmod(0)
    named = ["secret.onnx", "e.onnx", "locked", "locked/b.onnx", "a.onnx"]
    done = world.run("check -f json", *named, rights=False)
    whole = json.loads(done.out)
    assert [each["model"]["path"] for each in whole["reports"] if "error" not in each] == ["a.onnx"]
    assert done.err.count("Permission denied") == done.err.count("\n") == len(named) - 1


@case(MODELS, "a pipe, a device, a socket, a folder, a link to itself", "told; nothing is waited for", 3)
def no_regular_file(world: World) -> None:
    os.mkfifo(world / "pipe.onnx")
    (world / "loop.onnx").symlink_to("loop.onnx")
    (world / "none.onnx").symlink_to("gone")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(world / "s.onnx"))
        named = ["pipe.onnx", "/dev/zero", "/dev/null", "loop.onnx", "none.onnx", "s.onnx"]
        done = world.run("layers -q -f csv", *named, "a.onnx")
    assert done.err.count("\n") == len(named)
    assert "a.onnx," in done.out
    done = world.run("diff a.onnx pipe.onnx")
    assert "found a pipe or device" in done.err


@case(MODELS, "links that lead in circles, below a folder or a pattern", "not followed: each model once", 0)
def circles(world: World) -> None:
    (world / "m" / "deep").mkdir(parents=True)
    shutil.copy(world / "a.onnx", world / "m" / "deep" / "b.onnx")
    for place, target in (("m/self", "."), ("m/up", ".."), ("m/deep/again", "../../m"), ("m/deep/top", "/")):
        (world / place).symlink_to(target)
    for named in ("m", "m/**/*.onnx", "m/**", "**/b.onnx"):
        done = world.run("layers -f jsonl", named)
        assert [json.loads(line)["reports"][0]["model"]["path"] for line in done.out.splitlines()] == [
            "m/deep/b.onnx"
        ]


NAMES = (
    *(b"\xff\xfe.onnx", b"new\nline.onnx", b"\x1b[31mred.onnx", b"l" * 250 + b".onnx"),
    *("\u202egpj.onnx".encode(), b" .onnx", b"[x].onnx", b"a'b\"<c>&.onnx", b"=cmd|x.onnx"),
)
"""Names of files that are no text, are taken for something else, or are as long as one may be."""


@case(MODELS, "names that are no text, hold escape sequences or line ends, are very long", "shown as text", 0)
def names(world: World) -> None:
    (world / "m").mkdir()
    for name in NAMES:
        shutil.copy(world / "a.onnx", world / "m" / os.fsdecode(name))
    formats = ["terminal", "json", "csv", "markdown", "junit", "sarif"]
    written = [word for form in formats for word in ("-f", form, "-o", f"a.{form}")]
    world.run("report m -q -f jsonl", *written)
    for form in formats:
        text = (world / f"a.{form}").read_bytes().decode("utf-8")
        assert "\x1b" not in text
        assert "\u202e" not in text or form in ("json", "jsonl")
    reports = json.loads((world / "a.json").read_text())["reports"]
    assert len(reports) == len(NAMES)


@case(MODELS, "a file is replaced while it is read", "what was there first is measured", 0)
def replaced(world: World) -> None:
    plain = world.run("layers a.onnx -f json").out
    shutil.copy(SAMPLES / "cnn_jax.onnx", world / "b.onnx")
    planted = """
import os, onnxtop.reader.loading as loading, onnxtop.auditing.story as story
def loaded(*given, **more):
    found = loading.load(*given, **more)
    os.replace(folder / "b.onnx", folder / "a.onnx")
    return found
story.load = loaded
"""
    done = world.run("layers a.onnx -f json", planted=planted)
    assert json.loads(done.out)["reports"][0]["layers"] == json.loads(plain)["reports"][0]["layers"]


@case(
    MODELS, "a file is cut off while it is read", "the death of its process is told; the others are done", 3
)
def cut_off(world: World) -> None:
    shutil.copy(SAMPLES / "cnn_jax.onnx", world / "b.onnx")
    planted = """
import os, onnxtop.reader.loading as loading, onnxtop.auditing.story as story
def loaded(given, *more, **named):
    found = loading.load(given, *more, **named)
    if given == "b.onnx":
        os.truncate(folder / "b.onnx", 0)
    return found
story.load = loaded
"""
    done = world.run("check a.onnx b.onnx -f json", planted=planted)
    assert done.err.startswith("onnxtop: error: b.onnx: the process that analysed it was ended by SIGBUS")
    assert done.err.count("\n") == 1
    assert ["error" in each for each in json.loads(done.out)["reports"]] == [False, True]


@case(MODELS, "there is no room for what comes on standard input", "told", 3)
def no_room_for_stdin(world: World) -> None:
    done = world.run("layers -", given=str(world / "a.onnx"), size=1000)
    assert "File too large" in done.err


@case(
    MODELS,
    "the system starts no more processes, or no more threads",
    "told of each model; of a folder that is followed once, and what was measured is written",
    3,
)
def no_more_processes(world: World) -> None:
    shutil.copy(world / "a.onnx", world / "b.onnx")
    planted = """
import threading
def start(thread):
    raise RuntimeError("can't start new thread")
threading.Thread.start = start
"""
    for line in (
        "check a.onnx b.onnx",
        "diff a.onnx b.onnx",
        "trace . --follow --until-stop",
    ):
        done = world.run(line, planted=planted)
        assert done.err.count("the system starts no more threads; end others, or see ulimit -u") >= 1
        assert done.err.count("\n") == (2 if line.startswith("check") else 1)


@case(ASKED, "a configuration, list, baseline or data that may not be read", "told", 2)
def unreadable_settings(world: World) -> None:
    for name in ("list", "base.json", "d.npz", "pyproject.toml"):
        (world / name).write_text("")
        (world / name).chmod(0)
    for line in ("report a.onnx", "check a.onnx", "layers a.onnx"):
        if line != "layers a.onnx":
            assert "pyproject.toml: cannot be read: Permission denied" in world.run(line, rights=False).err
    (world / "pyproject.toml").unlink()
    for line in ("check --files-from list", "check a.onnx --baseline base.json", "check a.onnx --data d.npz"):
        assert line.split()[-1] in world.run(line, rights=False).err


# While it runs

INTERRUPTED = (
    "report a.onnx b.onnx",
    "check a.onnx b.onnx -j 2",
    "diff a.onnx a.onnx",
    "graph b.onnx",
    "demo",
)
"""Command lines that are interrupted, with a file for what they write."""


@case(
    MOMENTS,
    "Ctrl-C or SIGTERM",
    "what is done is written, whole and marked; one line says so; no process stays",
    0,
    130,
)
def interrupted(world: World) -> None:
    interrupt(world, 2)


def interrupt(world: World, moments: int) -> None:
    """Interrupt each command line at so many moments, spread over its steps, by both signals in turn."""
    shutil.copy(SAMPLES / "cnn_jax.onnx", world / "b.onnx")
    numbers = [signal.SIGINT, signal.SIGTERM]
    for line in INTERRUPTED:
        steps = world.run(f"{line} -q -f json -o whole.json").steps
        whole = json.loads((world / "whole.json").read_text())
        for moment in range(moments):
            (world / "a.json").write_text('"old"')
            number = numbers[moment % 2]
            at = 1 + steps * (2 * moment + 1) // (2 * moments)
            done = world.run(f"{line} -q -f json -o a.json", moment=at, number=number)
            assert done.err.count("\n") == (done.code == 130)
            written = json.loads((world / "a.json").read_text())
            if done.code == 0:
                assert written == whole
            else:
                assert written == "old" or written["complete"] is False
