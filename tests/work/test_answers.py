"""What a process says is read as values: it may have been taken over by the file that it works on."""

import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from onnxtop.errors import ModelError
from onnxtop.results.outcome import FailedModel
from onnxtop.work.options import WorkOptions
from onnxtop.work.processes import _Hand
from onnxtop.work.speech import unpacked
from onnxtop.work.workers import Lost, Workers, whole


class Calls:
    """A value that has whoever reads it call something."""

    def __init__(self, function: Any, *words: Any) -> None:
        self.call = function, words

    def __reduce__(self) -> Any:
        return self.call


def said(piece: str) -> Any:
    """Return something a process should never say, or values of all kinds."""
    return {
        "system": lambda: Calls(os.system, "touch called"),
        "eval": lambda: Calls(eval, "open('called', 'w')"),
        "nested": lambda: [FailedModel("a", 3, "b"), {"c": Calls(os.mkdir, "called")}],
        "own function": lambda: Calls(whole, iter(())),
        "own class": lambda: Calls(_Hand, None, None),
        "values": lambda: VALUES,
        "arrays": lambda: ARRAYS,
    }[piece]()


VALUES = (
    *(FailedModel("a", 3, "b"), {"c": (1, 2.5, None, True)}, frozenset({"d"}), {1, 2}, b"e"),
    *(Path("f"), WorkOptions(jobs=2), [np.float64(1.5)], ModelError("g")),
    warnings.WarningMessage("h", UserWarning, "i", 1),
)
ARRAYS = [np.arange(6.0).reshape(2, 3), np.zeros((0, 3), np.float16), np.array(["a", "bc"])]


@pytest.mark.parametrize("piece", ["system", "eval", "nested", "own function", "own class"])
def test_nothing_is_called_that_a_process_names(piece: str, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    with Workers(WorkOptions(apart=True)) as pool:
        results = list(pool.map(said, [piece, "values"], [1, 1]))
    assert isinstance(results[0], Lost)
    assert results[0].reason
    assert list(tmp_path.iterdir()) == []
    assert not isinstance(results[1], Lost)


def test_values_come_as_they_are() -> None:
    with Workers(WorkOptions(apart=True)) as pool:
        values, copies = whole(pool.map(said, ["values", "arrays"], [1, 1]))
    assert repr(values[:8]) == repr(VALUES[:8])
    assert str(values[8]) == "g"
    assert (str(values[9].message), values[9].category) == ("h", UserWarning)
    for copy, array in zip(copies, ARRAYS, strict=True):
        assert (copy.dtype, copy.tolist()) == (array.dtype, array.tolist())


@pytest.mark.parametrize("name", ["onnxtop.nothing\nNothing", "onnxtop.errors\nNothing", "nothing\nNothing"])
def test_words_that_name_what_there_is_not_are_no_answer(name: str) -> None:
    with pytest.raises(EOFError, match="it gave no answer"):
        unpacked(f"c{name}\n.".encode())
