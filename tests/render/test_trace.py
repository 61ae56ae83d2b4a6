import csv
import dataclasses
import html
import io
import re
import xml.etree.ElementTree as ElementTree

import pytest
from rich.cells import cell_len

from onnxtop.auditing.options import AuditOptions, settings_of
from onnxtop.cli.options import MEASURED
from onnxtop.cli.trace import command
from onnxtop.options import fields_of, with_values
from onnxtop.render import RenderOptions, render
from onnxtop.render.settings import phrases
from onnxtop.render.trace.facts import about, events, line, stopping
from onnxtop.results.outcome import FailedModel
from onnxtop.results.report import Settings, ToolInfo
from onnxtop.results.trace import (
    Checkpoint,
    Cost,
    Course,
    Event,
    LayerStep,
    OnData,
    Stopping,
    Trace,
    TraceVerdict,
)
from tests.render.conftest import HOSTILE_NAMES

SETTINGS = Settings("essential", "global", 2.0, "none", "flattened")
UNSAID = ("allow_external", "max_download", "limits", "data", "seed")
"""Options of an audit on which no weight's figure depends: a seed draws inputs and minima alone."""

KNOWN = {each.name: each for each in fields_of(AuditOptions)}
SAID = [each.name for each in command.params if each.name in KNOWN and each.name not in UNSAID]


def other_value(option):
    """Return a value of an option that is not its default."""
    if option.choices:
        return next(word for word in option.choices if word != option.default)
    if isinstance(option.default, bool):
        return not option.default
    return {"p": 1.0, "inputs": ("a",), "outputs": ("b",), "input_shapes": {"a": (1, 9)}, "dims": {"n": 3}}[
        option.name
    ]


OTHER = settings_of(with_values(AuditOptions(), {name: other_value(KNOWN[name]) for name in SAID}))
"""Every option that is measured by has a value that is not the default."""


def build(count=6, layers=3, names=("fc",), scores=True, **changes):
    """Return a run whose NP rises by 1/16 a checkpoint."""
    points = [
        Checkpoint(
            path=f"run/{names[i % len(names)]}{i}.onnx",
            name=f"{names[i % len(names)]}{i}",
            step=float(i),
            sha256="0" * 64,
            neural_persistence=i / 16,
            scale_global=i / 16,
            scale_layer=i / 32,
            scale=1.5,
            deep_graph_persistence=0.25,
            untrained=1 / 3,
            judged=3,
            looks_untrained=False,
            moved=0.0001 * i if i else None,
            convolutions=0,
            operations={"Gemm": 3},
            layers=tuple(
                LayerStep(
                    f"{names[n % len(names)]}{n}",
                    "Gemm",
                    (4, 4),
                    i / 16,
                    5.0 * n,
                    1.0,
                    0,
                    False,
                    "",
                    0.5,
                    0.9,
                    0.1,
                )
                for n in range(layers)
            ),
            data=(OnData("main", 9, 1.0, 0.5), OnData("test", 9, 0.5, 0.75)) if scores else (),
            waited=0,
        )
        for i in range(count)
    ]
    name = points[-1].name
    values = {
        "tool": ToolInfo("onnxtop", "0", {}),
        "settings": SETTINGS,
        "verdict": TraceVerdict(Course.SETTLED, name, f"settled since {name}"),
        "stopping": Stopping("np", 3, 0.0, 0, count, name, 0.25, name, 0),
        "checkpoints": tuple(points),
    }
    return Trace(**{**values, **changes})


@pytest.mark.parametrize("unicode", [False, True])
@pytest.mark.parametrize("width", [40, 60, 80, 120])
@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_hostile_names_stay_on_the_page(name, width, unicode):
    trace = build(names=(name,), notes=(name,))
    trace = build(names=(name,), checkpoints=(*trace.checkpoints, FailedModel(name, 3, name)))
    text = render("trace", "terminal", trace, RenderOptions(width=width, unicode=unicode))
    assert max(map(cell_len, text.splitlines())) <= width
    assert text.replace("\n", "").isprintable()
    assert unicode or text.isascii()
    ElementTree.fromstring(render("trace", "svg", trace).encode("utf-8", "backslashreplace"))


def test_the_verdict_stands_first_in_every_page():
    trace = build(verdict=TraceVerdict(Course.DIVERGED, None, "diverged: all is lost"))
    assert render("trace", "terminal", trace).startswith("diverged: all is lost\n")
    assert render("trace", "markdown", trace).startswith("**diverged&#58; all is lost**\n")
    assert ">diverged: all is lost<" in render("trace", "svg", trace)


@pytest.mark.parametrize("name", ["terminal", "markdown", "svg", "html"])
@pytest.mark.parametrize("failed", [(), (FailedModel("run", 4, "no .onnx file in this folder or below it"),)])
def test_a_run_without_checkpoints_claims_nothing(name, failed):
    rule = Stopping("np", 3, 0.0, 0, 0, None, None, None, 0)
    nothing = TraceVerdict(Course.UNKNOWN, None, "no checkpoint could be read")
    text = render("trace", name, build(checkpoints=failed, stopping=rule, verdict=nothing))
    assert "would" not in text
    assert "0 layers" not in text or name == "html"  # a page says how long its tables are
    assert "no checkpoint" in text
    assert name in ("svg",) or all(each.message in text for each in failed)
    if name == "terminal":
        assert "checkpoint  " not in text


def test_a_long_run_is_cut_in_its_middle():
    trace = build(100)
    lines = render("trace", "terminal", trace, RenderOptions(width=120)).splitlines()
    shown = [each.split()[0] for each in lines if each.startswith("fc") and "%" in each]
    assert shown == [f"fc{i}" for i in (*range(10), *range(75, 100))]
    assert any(each.endswith("65 more") for each in lines)
    whole = render("trace", "terminal", trace, RenderOptions(all_rows=True))
    assert all(f"\nfc{i} " in whole for i in range(100))


def test_a_page_that_grows_fits_into_the_terminal():
    for count in (1, 5, 30, 200):
        page = render("trace", "terminal", build(count), RenderOptions(width=80, height=24))
        assert len(page.splitlines()) < 24  # the line below the page is a line too
        assert f"\nfc{count - 1} " in page


def test_a_growing_page_leaves_room_for_settings_that_fold():
    page = render("trace", "terminal", build(50, settings=OTHER), RenderOptions(width=80, height=24))
    assert len(page.splitlines()) < 24


def test_every_measured_option_that_is_not_the_default_is_said():
    told = " · ".join(about(build(settings=settings_of(AuditOptions()))))
    assert {*MEASURED} - {*UNSAID} <= {*SAID}
    for option in (KNOWN[name] for name in SAID):
        changed = settings_of(with_values(AuditOptions(), {option.name: other_value(option)}))
        assert " · ".join(about(build(settings=changed))) != told, option.name


@pytest.mark.parametrize("name", ["terminal", "html", "svg", "markdown"])
def test_every_page_says_all_settings(name):
    page = render("trace", name, build(settings=OTHER), RenderOptions(width=80))
    words = " ".join(re.sub(r"<[^>]*>", " ", html.unescape(page)).split())
    for phrase in phrases(OTHER):
        assert all(word in words for word in phrase.split()), phrase


def test_a_picture_has_room_for_settings_that_fold():
    tree = ElementTree.fromstring(render("trace", "svg", build(settings=OTHER)))
    words = [each for each in tree if each.tag.endswith("text")]
    title = next(number for number, each in enumerate(words) if each.text == "Mean NP and DGP")
    assert title > 5
    assert all(len(each.text) <= 125 for each in words[:title])
    places = [float(each.attrib["y"]) for each in words[: title + 1]]
    assert places == sorted(set(places))


def test_many_layers_with_one_fate_share_a_sentence():
    frozen = tuple(Event("frozen", f"fc{i}", None, f"fc{i} never moved: it is frozen") for i in range(9))
    trace = build(layers=9, verdict=TraceVerdict(Course.LEARNING, None, "learning", frozen))
    assert events(trace, False) == ["frozen: 9 of 9 layers, fc0, fc1, fc2 and others; --all names every one"]
    assert len(events(trace, True)) == 9


def test_the_rule_in_words():
    never = Stopping("dgp", 2, 0.5, 1, 6, None, None, None, 0)
    assert stopping(build(stopping=never)) == [
        "stopping rule (patience 2, min-delta 0.5, burn-in 1): would not have stopped"
    ]
    cost = Cost("test", 0.97, 0.98, "fc3", 0.965)
    fired = Stopping("np", 2, 0.0, 0, 6, "fc2", 0.25, "fc4", 1, "a caveat", cost)
    assert stopping(build(stopping=fired)) == [
        "stopping rule (patience 2, min-delta 0, burn-in 0): would have stopped at fc4, 1 of 6 checkpoints "
        "saved; the last rise of mean NP was at fc2",
        "accuracy at fc4 is 97 %: +0.50 points against stopping on the loss and -1.00 points against never "
        "stopping",
        "accuracy on test is 98 % at the last checkpoint; a patience of 2 on the loss would have stopped at "
        "fc3: 96.5 %",
        "a caveat",
    ]


def test_a_cost_of_which_no_loss_is_known():
    cost = Cost("scores.csv", 0.97, 0.98, None, None)
    fired = Stopping("np", 2, 0.0, 0, 6, "fc2", 0.25, "fc4", 1, None, cost)
    assert stopping(build(stopping=fired))[1:] == [
        "accuracy at fc4 is 97 %: -1.00 points against never stopping",
        "accuracy on scores.csv is 98 % at the last checkpoint",
    ]


def test_a_line_of_a_log():
    (point,) = build(2).measured[1:]
    assert line(point) == (
        "fc1  NP 0.0625, DGP 0.2500, untrained 33.3 %, moved 1.0e-04, loss 0.5000, accuracy 75 %"
    )


def test_csv_has_the_names_of_loggers_and_no_formula():
    trace = build(2, 1, names=("=cmd()",))
    rows = list(csv.reader(io.StringIO(render("trace", "csv", trace))))
    assert {"np/mean", "dgp", "np/=cmd()0", "z/=cmd()0", "loss", "accuracy"} <= set(rows[0])
    assert rows[1][0] == "'=cmd()0"


def test_svg_draws_both_scales_and_each_layer():
    text = render("trace", "svg", build(layers=7))
    tree = ElementTree.fromstring(text)
    lines = [each for each in tree if each.tag.endswith("polyline")]
    assert len(lines) == 3 + 7
    ends = [tuple(map(float, each.attrib["points"].split()[-1].split(","))) for each in lines[:2]]
    assert ends[0][1] < ends[1][1]  # scale global ends above scale layer
    assert all(0 <= x <= 860 for x, _ in ends)


@pytest.mark.parametrize("base", ["a_checkpoint_of_a_long_run_{}.onnx", "run/{}/model_of_the_long_run.onnx"])
def test_svg_tells_checkpoints_and_layers_apart(base):
    layers = [f"/model/layers.{i}/self_attn/quite_long_projection/MatMul" for i in range(5)]
    points = tuple(
        dataclasses.replace(
            point,
            name=base.format(i),
            layers=tuple(
                dataclasses.replace(one, name=name) for one, name in zip(point.layers, layers, strict=True)
            ),
        )
        for i, point in enumerate(build(count=4, layers=5).measured)
    )
    trace = build(
        checkpoints=points,
        verdict=TraceVerdict(Course.UNKNOWN, None, "still moving"),
        stopping=Stopping("np", 3, 0.0, 0, 4, None, None, None, 0),
    )
    tree = ElementTree.fromstring(render("trace", "svg", trace))
    words = [each.text for each in tree if each.tag.endswith("text")]
    cut = [each for each in words if "\N{HORIZONTAL ELLIPSIS}" in each]
    assert len(cut) == len(set(cut)) == 4 + 5


def test_a_run_of_nothing():
    trace = build(
        verdict=TraceVerdict(Course.UNKNOWN, None, "no checkpoint could be read"),
        stopping=Stopping("np", 3, 0.0, 0, 0, None, None, None, 0),
        checkpoints=(FailedModel("a.onnx", 3, "cut off"),),
    )
    for name in ("terminal", "json", "jsonl", "csv", "markdown", "svg"):
        assert render("trace", name, trace)
