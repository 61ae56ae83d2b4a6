"""A case: one model, broken or only odd, and the command lines of a verb that are run on it."""

import functools
import os
import random
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from tests.fuzz.changes import broken
from tests.fuzz.odd import odd_model
from tests.fuzz.promise import breaches
from tests.fuzz.runner import ROOT, Runner
from tests.fuzz.watch import Watch

SAMPLES = ROOT / "sample_models"
DATA, MINIMUM = SAMPLES / "digits.npz", SAMPLES / "minima" / "seed_1.onnx"
MOST_BYTES = 60_000
"""Of a sample model that is broken: what is small is read often."""
NOISE = random.Random(0).randbytes(2**16)
"""What files hold that weights may be read from."""

Arguments = list[str]
Commands = Callable[[str, str, str, Random], list[Arguments]]
"""The command lines of a verb, without outputs: of the model, its original, a healthy other, and chance."""

_OPTIONS: Sequence[Arguments] = (
    *([], [], [], [], ["--bias", "row"], ["--conv", "channels"], ["--conv", "unrolled"], ["--skips", "cut"]),
    *(["--peepholes"], ["--scale", "layer"], ["--quick"], ["--count-fixed"], ["--details"], ["--sortedness"]),
    *(["--layers", "a+"], ["--convention", "tree"]),
)


def one(verb: str, *options: Arguments) -> Commands:
    """Return the one command line of a verb that reads one model."""
    return lambda model, original, other, rng: [[verb, model, *rng.choice(options or ([],))]]


def _diff(model: str, original: str, other: str, rng: Random) -> list[Arguments]:
    return [["diff", *rng.choice(([model, original], [original, model], [model, model], [model, other]))]]


def _check(model: str, original: str, other: str, rng: Random) -> list[Arguments]:
    if rng.random() < 0.5:
        return [["check", model, *rng.choice(_OPTIONS[:10])]]
    return [["check", model, "--baseline", rng.choice((original, other, model))]]


def _trace(model: str, original: str, other: str, rng: Random) -> list[Arguments]:
    return [["trace", *rng.choice(([original, model], [model, original, model], [original, other, model]))]]


COMMANDS: Mapping[str, Commands] = {
    "report": one("report", *_OPTIONS),
    "layers": one("layers", [], ["--peepholes"], ["--layers", "w"]),
    "graph": one("graph", [], [], ["--peepholes"], ["--dim", "N=3"]),
    "check": _check,
    "diff": _diff,
    "trace": _trace,
    "probe": one("probe", ["--data", str(DATA), "--quick"]),
    "loss-barcode": one(
        "loss-barcode",
        ["--data", str(DATA), "--finder", "line", "-j", "1", "--gradients", "2", str(MINIMUM)],
    ),
}

FORMATS: Mapping[str, Sequence[str]] = {
    "report": (".txt", ".json", ".jsonl", ".csv", ".md", ".html", ".xml", ".sarif", ".github"),
    "layers": (".txt", ".json", ".jsonl", ".csv", ".md"),
    "graph": (".txt", ".dot", ".graphml", ".json", ".mmd", ".svg"),
    "check": (".txt", ".json", ".jsonl", ".csv", ".md", ".html", ".xml", ".sarif", ".github"),
    "diff": (".txt", ".json", ".md", ".html"),
    "trace": (".txt", ".json", ".jsonl", ".csv", ".md", ".svg", ".html"),
    "probe": (".txt", ".json", ".svg", ".html"),
    "loss-barcode": (".txt", ".json", ".svg", ".html"),
}
"""Suffixes of all outputs of a verb; ``.github`` stands for what no suffix says."""

RARE = {".html": 0.1, ".svg": 0.5, ".json": 0.4}
"""How often a case writes what takes long to draw, or to compare with its schema."""

CHECKED = ("report", "report", "report", "graph", "check", "diff", "layers", "trace")
"""Verbs that open any model, as often as ``all`` runs them."""

ON_DATA = ("probe", "loss-barcode")


@dataclass(frozen=True)
class Case:
    """A model to run a verb on; the same seed, verb and number make the same case."""

    verb: str
    data: bytes
    original: bytes
    done: Sequence[str]
    chance: int
    """What the options are drawn from: they stay while a file is minimised."""


def case_of(seed: int, verb: str, number: int) -> Case:
    """Return a case; of the verb ``all``, that of one of its verbs."""
    rng = random.Random(f"{seed} {verb} {number}")
    verb = rng.choice(CHECKED) if verb == "all" else verb
    original = _original(rng, sample=verb in ON_DATA or rng.random() < 0.4)
    data, done = (original, ["odd"]) if rng.random() < 0.1 else broken(original, rng)
    return Case(verb, data, original, done, rng.randrange(2**32))


def _original(rng: Random, *, sample: bool) -> bytes:
    return rng.choice(_samples()) if sample else odd_model(rng).SerializeToString()


@functools.cache
def _samples() -> Sequence[bytes]:
    small = (path for path in sorted(SAMPLES.rglob("*.onnx")) if path.stat().st_size < MOST_BYTES)
    return [path.read_bytes() for path in small]


@dataclass(frozen=True)
class Place:
    """The folders of a run: that of a model, with what lies beside it, and that of outputs."""

    folder: Path

    @property
    def model(self) -> Path:
        """The file of the model."""
        return self.folder / "model" / "model.onnx"

    @property
    def outside(self) -> Path:
        """A file that no model has any business with."""
        return self.folder / "outside.bin"

    @property
    def outputs(self) -> Path:
        """The folder of outputs."""
        return self.folder / "outputs"

    def prepare(self) -> None:
        """Lay out what external data may lead to: files, links, a pipe, a device, what lies outside."""
        beside = self.model.parent
        (beside / "sub").mkdir(parents=True)
        for path in (*_weights_in(beside), self.outside):
            path.write_bytes(NOISE)
        (beside / "short.bin").write_bytes(b"\1")
        os.mkfifo(beside / "pipe")
        links = {
            "out": "../outside.bin",
            "zero": "/dev/zero",
            "circle": "circle",
            "inner": "weights.bin",
            "up": "..",
        }
        for name, target in links.items():
            (beside / name).symlink_to(target)
        (self.folder / "original.onnx").touch()
        self.other.write_bytes(_samples()[0])

    @property
    def original(self) -> Path:
        """What the model was before it was broken."""
        return self.folder / "original.onnx"

    @property
    def other(self) -> Path:
        """A healthy model."""
        return self.folder / "other.onnx"


def run_case(runner: Runner, place: Place, case: Case, data: bytes | None = None) -> list[str]:
    """Return what a case breaks of the promise, with the file that it has or with another."""
    decoys = _weights_in(runner.working)
    for path in decoys:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(NOISE)
    with Watch([place.outside, *decoys]) as watch:
        broken = _run_case(runner, place, case, case.data if data is None else data)
        broken += [f"opens {name}" for name in watch.opened()]
    return list(dict.fromkeys(broken))


def _weights_in(folder: Path) -> Sequence[Path]:
    return folder / "weights.bin", folder / "sub" / "deep.bin"


def _run_case(runner: Runner, place: Place, case: Case, data: bytes) -> list[str]:
    rng = Random(case.chance)
    place.model.write_bytes(data)
    place.original.write_bytes(case.original)
    before = _listing(place.model.parent)
    broken: list[str] = []
    for arguments in COMMANDS[case.verb](str(place.model), str(place.original), str(place.other), rng):
        suffixes = [each for each in FORMATS[case.verb] if rng.random() < RARE.get(each, 1)]
        broken += _run(
            runner, place, case.verb, arguments, [place.outputs / f"out{each}" for each in suffixes]
        )
    if _listing(place.model.parent) != before:
        broken.append("changes the folder of the model")
    home, own = runner.folder / "home", {runner.folder / "home" / "temporary", runner.working / "sub"}
    kept = own.union(_weights_in(runner.working))
    there = {path: root for root in (home, runner.working) for path in sorted(root.rglob("*"))}
    if stray := [str(path.relative_to(root)) for path, root in there.items() if path not in kept]:
        broken.append(f"leaves {stray[0]}")
        for root in (home, runner.working):
            shutil.rmtree(root)
        runner.prepare()
    return broken


def _run(runner: Runner, place: Place, verb: str, arguments: Arguments, files: Sequence[Path]) -> list[str]:
    shutil.rmtree(place.outputs, ignore_errors=True)
    place.outputs.mkdir()
    models = [
        path for path in (place.model, place.original, place.other, DATA, MINIMUM) if str(path) in arguments
    ]
    pages = ["--all"] if verb != "graph" else []  # its pictures have every row
    words = [
        word
        for path in files
        for word in (*(["-f", "github"] if path.suffix == ".github" else []), "-o", str(path))
    ]
    ran = runner.run([*arguments, "-vv", *pages, *words])
    return breaches(verb, ran, files, models)


def _listing(folder: Path) -> dict[str, int]:
    return {str(path): path.lstat().st_size for path in folder.rglob("*")}
