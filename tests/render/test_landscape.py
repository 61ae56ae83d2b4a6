import dataclasses
import json
import xml.etree.ElementTree as ElementTree

import pytest
from rich.cells import cell_len

from onnxtop.landscape.tool import ALGORITHMS
from onnxtop.render import RenderOptions
from onnxtop.render.landscape import json as landscape_json, svg as landscape_svg
from onnxtop.render.landscape.facts import at_most, short_names
from onnxtop.render.landscape.terminal import render
from onnxtop.results.landscape import LossLandscape, Minimum, Pass, Score, Top
from onnxtop.results.plain import plain
from onnxtop.results.report import this_tool

NAMES = ("folder/deep & wide.onnx", "folder/\x1b[31mred.onnx", "seed 7")


def minimum(name, loss, death=None, verdict="minimum", gain=1e-5):
    length = None if death is None else death - loss
    bounds = {"minimum": "upper", "unfinished": "interval", "falls for ever": "none"}
    return Minimum(
        name=name,
        loss=loss,
        given_loss=loss + 0.25,
        moved=1.5,
        polishing=400,
        accuracy=0.99,
        test_accuracy=0.9,
        gradient_norm=1e-3,
        gain=gain,
        curvature=None,
        verdict=verdict,
        reason=None if verdict == "minimum" else f"reason: {verdict}",
        death=death,
        length=length,
        length_most=None if length is None or verdict == "falls for ever" else length + gain,
        bound=None if length is None else bounds[verdict],
        partner=None if death is None else NAMES[0],
    )


def path(first, second, height, in_tree=True):
    losses = (0.1, height, 0.3) if height is not None else (0.1, None, 0.3)
    return Pass(
        first,
        second,
        "neb",
        height,
        height,
        90,
        40,
        in_tree,
        Top.SADDLE,
        2e-6,
        -0.5,
        0.1,
        (0.0, 0.5, 1.0),
        losses,
    )


@pytest.fixture
def landscape():
    return LossLandscape(
        score=Score(0.45, 0.6, 0.9, 0.2, 0.5, 3, 2, 0.5, 0.7, 1.0, 0.25, 0.55, "interval"),
        minima=(
            minimum(NAMES[0], 0.1),
            minimum(NAMES[1], 0.2, 0.5, "unfinished", gain=0.1),
            minimum(NAMES[2], 0.3, 0.9),
        ),
        passes=(
            path(NAMES[0], NAMES[1], 0.5),
            path(NAMES[0], NAMES[2], 0.9),
            path(NAMES[1], NAMES[2], None, False),
        ),
        loss="cross-entropy",
        reference_loss=2.3,
        samples=1297,
        parameters=682,
        batchnorm="batch",
        l2=0.0,
        label_smoothing=0.1,
        polish=5000,
        finder="neb",
        aligned=True,
        units=16,
        pairs="tree",
        budget=None,
        seed=0,
        gradients=270,
        evaluations=120,
        complete=True,
        notes=("alignment: LSTM holds units in place",),
    )


@pytest.mark.parametrize("width", [40, 60, 80, 200])
@pytest.mark.parametrize("unicode", [True, False])
def test_nothing_is_wider_than_the_terminal(landscape, width, unicode):
    text = render(landscape, RenderOptions(width=width, unicode=unicode))
    lines = text.splitlines()
    assert max(map(cell_len, lines)) <= width
    ways = [line for line in lines if ("→" in line or "->" in line) and not line.startswith("  ")]
    heights = ["0.5000", "0.9000", "no pass"]
    assert all(any(height in line for line in ways) for height in heights)
    assert all(length in text for length in ("0.3000", "0.6000", "never"))
    assert unicode or text.isascii()
    assert "\x1b" not in text


def test_says_what_it_is(landscape):
    text = render(landscape, RenderOptions())
    for words in (
        "TO-score 0.4500 .. 0.5000  (N = 3 minima, neb, aligned, upper bound but",
        "onnxtop's own reading",
        "0.3000 .. 0.4000",
        "<= 0.6000",
        "+0.2500",
        "label smoothing 0.1",
        "2 of 3 certified",
        "[1] no minimum: reason: unfinished",
        "note: alignment: LSTM holds units in place",
        "death <=",
        "never",
        "no pass",
    ):
        assert words in text, words


def test_falling_for_ever_is_said_once_at_the_top(landscape):
    points = (*landscape.minima[:1], minimum(NAMES[1], 0.2, 0.5, "falls for ever"), *landscape.minima[2:])
    score = dataclasses.replace(landscape.score, bound="none")
    text = render(dataclasses.replace(landscape, minima=points, score=score), RenderOptions(width=120))
    assert text.index("1 of 3 points are no minima") < text.index("TO-score 0.4500  (N = 3")
    assert "--l2" in text
    assert "no bound" in text
    assert text.count("--l2") == 1


def test_bars_are_drawn_to_scale(landscape):
    lines = render(landscape, RenderOptions()).splitlines()
    start = lines.index("barcode: from birth to death (upper bound) of every minimum")
    first, second, third = (line[line.index("┣") :] for line in lines[start + 1 : start + 4])
    assert first.endswith("▶")
    assert second.endswith("┫")
    assert len(third) == pytest.approx(2 * len(second), abs=2)  # lengths 0.3 and 0.6


def test_incomplete_and_without_bars(landscape):
    alone = dataclasses.replace(
        landscape,
        minima=landscape.minima[:1],
        passes=(),
        complete=False,
        score=Score(None, None, None, None, None, 1, 0),
    )
    assert "loss barcode (incomplete)" in render(alone, RenderOptions())
    assert "TO-score not known" in render(alone, RenderOptions())
    assert ElementTree.fromstring(landscape_svg.render(alone, RenderOptions())) is not None


def test_svg_tells_minima_apart(landscape):
    names = [f"a_training_run_with_{what}_as_it_was_exported" for what in ("momentum", "nothing", "dropout")]
    renamed = dict(zip(NAMES, names, strict=True))
    minima = tuple(
        dataclasses.replace(each, name=renamed[each.name], partner=renamed.get(each.partner))
        for each in landscape.minima
    )
    passes = tuple(
        dataclasses.replace(each, first=renamed[each.first], second=renamed[each.second])
        for each in landscape.passes
    )
    long = dataclasses.replace(landscape, minima=minima, passes=passes)
    root = ElementTree.fromstring(landscape_svg.render(long, RenderOptions()))
    words = [
        each.text for each in root.iter() if each.tag.endswith("text") and each.get("text-anchor") == "end"
    ]
    cut = [each for each in words if "\N{HORIZONTAL ELLIPSIS}" in each]
    assert len(cut) == len(set(cut)) == 3


def test_svg_is_xml_with_every_bar_and_path(landscape):
    root = ElementTree.fromstring(landscape_svg.render(landscape, RenderOptions()))
    space = "{http://www.w3.org/2000/svg}"
    words = [element.text for element in root.iter(f"{space}text")]
    assert "deep & wide" in words
    assert sum("≤" in word for word in words) == 1 + 2  # a bar, two paths
    assert sum(".." in word for word in words) == 2  # the score and the other bar
    assert len(list(root.iter(f"{space}circle"))) == 3
    assert len(list(root.iter(f"{space}polyline"))) == 2
    assert not any(c < " " for word in words for c in word)


def test_json_is_strict_and_stable(landscape):
    text = landscape_json.render(landscape, RenderOptions())
    assert text == landscape_json.render(landscape, RenderOptions())
    whole = json.loads(text)
    assert [*whole] == ["schema_version", "tool", "loss_landscape"]
    assert whole["tool"] == plain(this_tool(ALGORITHMS))
    assert "\x1b" not in text
    assert "NaN" not in text


def test_names():
    assert short_names(["a/x.onnx", "b/x.onnx"]) == {"a/x.onnx": "a/…", "b/x.onnx": "b/…"}
    assert short_names(["a/x.onnx", "x"]) == {"a/x.onnx": "a/x.onnx", "x": "x"}
    assert at_most(0.0) == "<= 0.0000"
