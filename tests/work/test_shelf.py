"""Values that wait on a shelf come back as they were, from memory or a file."""

import gc
import tempfile
from typing import Any, NamedTuple

import numpy as np
import pytest

from onnxtop.work.shelf import Shelf


class Cells(NamedTuple):
    places: np.ndarray
    name: str


def shelf_of(count: int, room: int) -> Shelf[Cells]:
    shelf: Shelf[Cells] = Shelf(Cells, room=room)
    for number in range(count):
        shelf.append(Cells(np.arange(number, number + 3), f"v{number}"), byte_count=100)
    return shelf


@pytest.fixture
def files(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Return the files that are made, in a list that grows."""
    made: list[Any] = []
    real = tempfile.TemporaryFile
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda **how: made.append(real(**how)) or made[-1])
    return made


@pytest.mark.parametrize(("room", "away"), [(0, 7), (250, 5), (700, 0)])
def test_what_is_put_on_it_is_what_stands_there(room: int, away: int) -> None:
    shelf = shelf_of(7, room)
    assert (len(shelf), shelf.away) == (7, away)
    assert [each.name for each in shelf] == [f"v{number}" for number in range(7)]
    assert [shelf[number].places.tolist() for number in (-1, 0, 6, 3)] == [
        [6, 7, 8],
        [0, 1, 2],
        [6, 7, 8],
        [3, 4, 5],
    ]
    assert [each.name for each in shelf[5:1:-2]] == ["v5", "v3"]
    assert shelf[4].places.dtype == np.intp
    with pytest.raises(IndexError):
        shelf[7]


def test_the_last_one_is_not_read_again(files: list[Any]) -> None:
    shelf = shelf_of(3, 0)
    assert shelf[2] is shelf[2]
    assert shelf[-1] is not shelf[1]
    assert len(files) == 1


@pytest.mark.parametrize("room", [0, 1000])
def test_parts_are_seen_under_keys(room: int) -> None:
    view = shelf_of(4, room).view({"last": 3, "first": 0}, lambda each: each.name)
    assert dict(view) == {"last": "v3", "first": "v0"}
    assert "second" not in view
    assert len(view) == 2


def test_no_file_where_there_is_room_and_none_is_left_behind(files: list[Any]) -> None:
    shelf_of(3, 300)
    assert files == []
    shelf = shelf_of(3, 200)
    assert not files[0].closed
    del shelf
    gc.collect()
    assert files[0].closed


def test_a_full_disk_leaves_values_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(**how: Any) -> Any:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    shelf = shelf_of(3, 0)
    assert shelf.away == 0
    assert [each.name for each in shelf] == ["v0", "v1", "v2"]


def test_a_disk_that_fills_up_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    class Filling:
        """Takes a part of what is written at a time, and no more than so many bytes."""

        def __init__(self, left: int) -> None:
            self.file, self.left = tempfile.SpooledTemporaryFile(), left  # noqa: SIM115 - closed below

        def write(self, data: memoryview) -> int:
            if not self.left:
                raise OSError(28, "No space left on device")
            taken = self.file.write(data[: min(10, self.left)])
            self.left -= taken
            return taken

        def readinto(self, data: memoryview) -> int:
            held = self.file.read(min(7, len(data)))
            data[: len(held)] = held
            return len(held)

        def seek(self, place: int) -> int:
            return self.file.seek(place)

        def close(self) -> None:
            self.file.close()

    monkeypatch.setattr(tempfile, "TemporaryFile", lambda **_: Filling(250))
    shelf = shelf_of(9, 0)
    assert 0 < shelf.away < 9
    assert [each.places.tolist() for each in shelf] == [[k, k + 1, k + 2] for k in range(9)]
