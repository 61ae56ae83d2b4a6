"""Names that are shortened together stay apart, and fit."""

import pytest
from rich.cells import cell_len

from onnxtop.render.names import between, common_ends, shortened, without_common_ends
from tests.render.conftest import HOSTILE_NAMES

PARTS = ("attn/q_proj", "attn/k_proj", "mlp/up")
LAYERS = [f"/model/decoder/layers.{i}/{part}/MatMul" for i in range(12) for part in PARTS]


@pytest.mark.parametrize(
    ("names", "short"),
    [
        (["a/b/MatMul", "a/c/MatMul"], ["…/b/…", "…/c/…"]),
        (["a.b", "a.b.c"], ["….b", "….b.c"]),
        (["a/", "a/b"], ["a/", "a/b"]),
        (["a/b.onnx", "a/c.onnx"], ["…/b…", "…/c…"]),
        (["conv1", "conv2"], ["conv1", "conv2"]),
        (["a/b/c"], ["a/b/c"]),
        (["a/b", "a/b"], ["a/b", "a/b"]),
        (["", "a/b"], ["", "a/b"]),
    ],
)
def test_common_ends_go_in_whole_segments(names, short):
    assert without_common_ends(names) == short


@pytest.mark.parametrize("width", [14, 20, 30, 60])
@pytest.mark.parametrize(
    "names",
    [
        LAYERS,
        [f"{'x' * 150}{i}{'y' * 150}" for i in range(30)],
        ["a" * 300, "a" * 299 + "b", "b" + "a" * 299],
        [f"{'segment/' * 80}{i}" for i in range(20)],
        [f"层{i}/" + "层" * 200 for i in range(20)],
    ],
    ids=["transformer", "middle", "one character", "many segments", "wide"],
)
def test_names_that_differ_look_different(names, width):
    short = shortened(names, width)
    assert len(set(short)) == len(set(names))
    assert max(map(cell_len, short)) <= width


def test_what_most_names_have_goes_first():
    assert shortened(LAYERS, 16)[:3] == ["….0/attn/q_proj…", "….0/attn/k_proj…", "….0/mlp/up…"]


def test_names_that_fit_stay_as_they_are():
    assert shortened(LAYERS, 60) == LAYERS
    assert shortened([], 10) == []


@pytest.mark.parametrize("width", [2, 8, 40])
def test_hostile_names_fit(width):
    assert max(map(cell_len, shortened(HOSTILE_NAMES, width))) <= width


def test_common_ends_are_what_was_taken_out():
    assert common_ends(LAYERS) == ("/model/decoder/layers.", "/MatMul")
    assert common_ends(["a/b.onnx", "a/c.onnx"]) == ("a/", ".onnx")
    assert common_ends(["a/b"]) == ("", "")


@pytest.mark.parametrize(
    "names", [LAYERS, ["a/", "a/b"], ["a/", "a//"], ["/b", "b"], ["a:b", "a:b:b"], ["", "x"], ["//", "///"]]
)
def test_what_stands_between_common_ends_is_something_and_tells_names_apart(names):
    head, tail = common_ends(names)
    rests = between(names, head, tail)
    assert [head + rest + tail for rest in rests] == names
    assert len(set(rests)) == len(set(names))
    assert all(rest for rest, name in zip(rests, names, strict=True) if name)
