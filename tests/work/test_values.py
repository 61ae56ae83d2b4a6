import dataclasses
import json
from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple

import numpy as np
import pytest

from onnxtop.work.values import classes_of, dumps, loads


class Colour(StrEnum):
    RED = "red"


class Cells(NamedTuple):
    rows: np.ndarray
    name: str


@dataclasses.dataclass(frozen=True)
class Leaf:
    size: float
    colour: Colour | None = None


@dataclasses.dataclass(frozen=True)
class Tree:
    leaves: tuple[Leaf, ...]
    cells: "Cells | None"
    by_name: Mapping[str, Leaf]


CLASSES = classes_of(Tree)


def same(value: object) -> object:
    return loads(dumps(value), CLASSES)


def test_classes_are_those_of_the_annotations():
    assert {"Tree": Tree, "Leaf": Leaf, "Cells": Cells, "Colour": Colour} == CLASSES


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        2**70,
        0.1 + 0.2,
        float("inf"),
        -0.0,
        5e-324,
        "\ud800 \n ä",
        (),
        (1, [2, (3,)], ["t", "c"]),
        {1: "a", "1": (2,), (1, 2): None},
        pytest.param(frozenset({b"\x00\xff", b""}), id="frozenset"),  # its repr goes by hashes
        Leaf(1.5, Colour.RED),
        Tree((Leaf(1.0),), None, {"a": Leaf(2.0)}),
    ],
    ids=repr,
)
def test_values_come_back_as_they_were(value):
    found = same(value)
    assert found == value
    assert type(found) is type(value)
    assert dumps(found) == dumps(value)


@pytest.mark.parametrize(
    "array",
    [
        np.array([[1, -1], [300, 2**40]]),
        np.arange(6, dtype=np.int32).reshape(2, 3).T,
        np.array([0.1, np.nan, -np.inf, -0.0]),
        np.array([1.5, 65504.0], np.float16),
        np.array([True, False]),
        np.empty((0, 3), np.intp),
        np.array(7),
        np.array([2**64 - 1, 0], np.uint64),
        np.array([0.5], ">f4"),
    ],
    ids=lambda array: f"{array.dtype} {array.shape}",
)
def test_arrays_come_back_to_the_last_bit(array):
    (found,) = same((array,))
    assert found.dtype == array.dtype
    assert found.shape == array.shape
    assert found.tobytes() == array.tobytes()
    found[...] = 0  # one's own, whatever becomes of the bytes


def test_arrays_in_classes():
    tree = Tree((), Cells(np.array([3, 1]), "cells"), {})
    found = same(tree)
    assert type(found.cells) is Cells
    assert found.cells.rows.tolist() == [3, 1]
    assert found.cells.name == "cells"


def test_numbers_of_numpy_become_those_of_python():
    assert same((np.float64(0.1), np.float32(0.5), np.int64(3))) == (0.1, 0.5, 3)


@pytest.mark.parametrize("value", [object(), {1, 2}, np.array(["a"]), np.array([None]), len, 1j])
def test_what_is_none_of_these_is_refused(value):
    with pytest.raises(TypeError, match="wanted a value that can be written"):
        dumps((value,))


@pytest.mark.parametrize(
    "text",
    [
        ["x", 1],
        [],
        [[1]],
        ["c", "Popen", "ls"],
        ["c", "Leaf"],
        ["c", "Leaf", 1, 2, 3],
        ["e", "Colour", "BLUE"],
        ["e", "Leaf", "size"],
        ["a", "|O", [1], "<i8", 0],
        ["a", "<f8", [9], "<f8", 0],
        ["a", "<f8", [1], "<f8", -8],
        ["a", "<f8", [2**70], "<f8", 0],
        ["b", "no"],
        ["s", ["l"]],
        ["m", [["l"], 1]],
        ["m", 1],
    ],
    ids=repr,
)
def test_anything_else_is_an_error_of_value(text):
    with pytest.raises(ValueError):
        loads(json.dumps(text).encode() + b"\n12345678", CLASSES)


def test_two_classes_of_one_name_are_refused():
    other = dataclasses.make_dataclass("Leaf", [("size", float)])
    both = dataclasses.make_dataclass("Both", [("one", Leaf), ("other", other)])
    with pytest.raises(TypeError, match="two that are called Leaf"):
        classes_of(both)
