"""State files: what is saved comes back to the last bit, what is damaged is told and left as it is."""

import hashlib
import math
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from onnxtop.errors import UsageError
from onnxtop.landscape.paths import LossPath, Saddle
from onnxtop.landscape.polish import Certificate
from onnxtop.landscape.search import Found
from onnxtop.landscape.state import State, key_of
from onnxtop.loss.data import Data, read_data
from onnxtop.results.landscape import Top

KEY = "a run"


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    state = State.resume(tmp_path / "state", KEY)
    theta = np.array([0.1, -0.0, 5e-324])
    saddle = Saddle(theta, 0.25, math.inf, None, math.nan, Top.SADDLE)
    path = LossPath(np.stack([theta, theta]), np.array([0.0, 1.0]), np.array([0.5, math.inf]), saddle=saddle)
    state.minima["seed 0"] = theta
    state.polished["mark"] = theta + 1, Certificate("minimum", 0.5, curvature=math.nan)
    state.found.append(Found(0, 1, "neb", path))
    state.save()
    return tmp_path / "state"


def test_what_is_saved_comes_back(saved: Path) -> None:
    again = State.resume(saved, KEY)
    assert again.minima["seed 0"].tobytes() == np.array([0.1, -0.0, 5e-324]).tobytes()
    assert repr(again.polished["mark"][1]) == repr(Certificate("minimum", 0.5, curvature=math.nan))
    (path,) = (item.path for item in again.found)
    assert path.saddle is not None
    assert (path.saddle.outcome, path.saddle.gradient_norm, path.losses[1]) == (
        Top.SADDLE,
        math.inf,
        math.inf,
    )
    assert [each.name for each in saved.parent.iterdir()] == ["state"]


def _flipped(place: int) -> Callable[[bytes], bytes]:
    def change(content: bytes) -> bytes:
        damaged = bytearray(content)
        damaged[place] ^= 1
        return bytes(damaged)

    return change


def _signed(data: bytes) -> Callable[[bytes], bytes]:
    """Return a file whose digest is right, and whose values are not."""
    digest = hashlib.sha256(data).hexdigest().encode()
    head = KEY.encode(), b"%d" % len(data), digest
    return lambda content: b"\n".join([content.splitlines()[0], *head, data])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: b"", "another file"),
        (lambda content: b"no state", "another file"),
        (lambda content: b"PK\3\4" + content, "another file"),
        (lambda content: content[:25], "of another run"),
        (lambda content: content[:40], "cut off or damaged"),
        (lambda content: content[:-1], "cut off or damaged"),
        (lambda content: content + b"\0", "cut off or damaged"),
        (_flipped(-1), "cut off or damaged"),
        (_flipped(-60), "cut off or damaged"),
        (_flipped(3), "another file"),
        (_signed(b"[" * 10_000), "cannot be read"),
        (_signed(b'["t"' + b',["t"' * 10_000 + b"]" * 10_001), "cannot be read"),
        (_signed(b"3"), "cannot be read"),
        (_signed(b'["c","System","touch /"]'), "cannot be read"),
        (_signed(b'["t",1,2]'), "cannot be read"),
    ],
)
def test_what_is_damaged_is_told_and_left_as_it_is(
    change: Callable[[bytes], bytes], message: str, saved: Path
) -> None:
    saved.write_bytes(change(saved.read_bytes()))
    before = saved.read_bytes()
    with pytest.raises(UsageError, match=message):
        State.resume(saved, KEY)
    assert saved.read_bytes() == before


def test_what_is_longer_than_it_says_is_not_read(saved: Path) -> None:
    os.truncate(saved, 2**40)  # more than there is memory, and no block of a disk
    with pytest.raises(UsageError, match="cut off or damaged"):
        State.resume(saved, KEY)


def test_a_state_of_another_version_says_so(saved: Path) -> None:
    magic, key, _, digest, data = saved.read_bytes().split(b"\n", 4)
    saved.write_bytes(b"\n".join([magic.replace(b"3", b"2"), key, digest, data]))  # that had no length
    with pytest.raises(UsageError, match="of another version"):
        State.resume(saved, KEY)


def test_what_is_no_file_is_told_before_the_work(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for place, message in (
        (tmp_path, "it is a folder"),
        (tmp_path / "pipe", "a pipe or device"),
        (tmp_path / "none" / "state", "cannot be written: No such file"),
        (tmp_path / "pipe" / "state", "cannot be written: Not a directory"),
    ):
        with pytest.raises(UsageError, match=message):
            State.resume(place, KEY)


def test_images_are_part_of_what_tells_a_run() -> None:
    class Rows:
        """Stands in for images: rows are read when they are asked for, so many at a time."""

        shape, dtype = (3000, 2), np.dtype(np.float32)

        def __len__(self) -> int:
            return 3000

        def __getitem__(self, rows: slice) -> np.ndarray:
            chosen = np.arange(3000)[rows]
            assert len(chosen) < 3000
            return np.stack([chosen, chosen], axis=1).astype(np.float32)

    array = Rows()[:2000], Rows()[2000:]
    same = read_data({"x": np.concatenate(array), "labels": np.zeros(3000, int)})
    rows = Data({"": {"x": Rows(), "labels": np.zeros(3000, int)}})
    assert key_of([], rows, "") == key_of([], same, "") != key_of([], same, "other")
