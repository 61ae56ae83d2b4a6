import re
from dataclasses import replace

import pytest
from rich.cells import cell_len

from onnxtop.reader.terms.facts import Function, Port
from onnxtop.render import RenderOptions
from onnxtop.render.cells import ASCII, UNICODE, BarEnds, elide
from onnxtop.render.page import Page
from onnxtop.render.report.terminal import render
from onnxtop.render.text import DASH, TIMES
from onnxtop.results.outcome import FailedModel
from onnxtop.results.report import (
    Coverage,
    Finding,
    LayerPersistence,
    Network,
    NetworkPersistence,
    SkippedWeight,
)
from onnxtop.topology.facts import LayerRole

ESCAPE = re.compile(r"\x1b\[[0-9;]*m")


def widest(text):
    return max(cell_len(ESCAPE.sub("", line)) for line in text.splitlines())


@pytest.mark.parametrize("width", [0, 60, 80, 120, 200])
def test_the_golden_file_adds_up(golden, width):
    text = golden(f"typical-{width}.txt")
    figures = re.findall(r" (\d\.\d{4})  [▏▎▍▌▋▊▉█]", text)
    *layers, mean = map(float, figures)
    assert len(layers) == 4
    assert mean == sum(layers) / len(layers)
    skipped = re.search(r"analysed ([\d,]+) of ([\d,]+) weights", text)
    lost = re.search(r"skipped: 2 weight tensors, ([\d,]+) parameters", text)
    analysed, total, out = (int(n.replace(",", "")) for n in (*skipped.groups(), *lost.groups()))
    assert total - analysed == out
    assert widest(text) <= (width or 1000)


@pytest.mark.parametrize(
    ("width", "unicode", "color"),
    [
        (width, unicode, color)
        for place, width in enumerate((0, 40, 57, 80, 200))
        for unicode, color in (((False, False), (True, True)), ((False, True), (True, False)))[place % 2]
    ],  # every two of them together: a colour has no width, and no say in which signs are drawn
)
def test_hostile_names_never_reach_beyond_the_page(hostile_report, width, unicode, color):
    failed = FailedModel(hostile_report.model.path, 3, hostile_report.model.path)
    text = render([hostile_report, failed], RenderOptions(width, color, unicode=unicode))
    assert widest(text) <= (width or 10_000)
    assert ESCAPE.sub("", text).replace("\n", "").isprintable()
    assert text.isascii() or unicode


def test_every_row_stays_one_line(hostile_report):
    lines = render([hostile_report], RenderOptions()).splitlines()
    rules = [i for i, line in enumerate(lines) if line.startswith("──")]
    assert len(rules) == 2
    assert rules[1] - rules[0] == 1 + len(hostile_report.layers)


@pytest.mark.parametrize(("asked", "drawn"), [(1, 40), (40, 40), (80, 80), (500, 500)])
def test_the_page_has_a_least_width(typical, asked, drawn):
    assert widest(render([typical], RenderOptions(width=asked))) <= drawn


def test_nothing_is_cut_on_a_page_without_a_width(long, layer, report):
    names = [f"/net/layers.{i}/{'very_long_' * 20}name/MatMul" for i in range(60)]
    findings = tuple(Finding("OT101", "error", name, "odd", name) for name in names)
    text = render([report(*map(layer, names), findings=findings)], RenderOptions(width=0))
    assert all(text.count(name) >= 2 for name in names)
    assert "…" not in text
    assert render([long], RenderOptions(width=0)).count("/blocks.") > 500


def test_markup_in_a_name_is_a_name(report, layer):
    assert "[red]bold[/red]" in render([report(layer("[red]bold[/red]"))], RenderOptions(color=True))


def test_color_changes_nothing_but_escapes(typical):
    colored = render([typical], RenderOptions(color=True))
    assert ESCAPE.search(colored)
    plain = [line.rstrip() for line in ESCAPE.sub("", colored).splitlines()]
    assert plain == render([typical], RenderOptions()).splitlines()


def test_the_environment_changes_nothing(typical, monkeypatch):
    before = render([typical], RenderOptions(color=True))
    for name, value in (("NO_COLOR", "1"), ("COLUMNS", "33"), ("TERM", "dumb"), ("FORCE_COLOR", "1")):
        monkeypatch.setenv(name, value)
    assert render([typical], RenderOptions(color=True)) == before


def test_undefined_figures_show_a_dash_and_their_reason(report, layer):
    figures = NetworkPersistence(None, None, reason="no layer is finite")
    text = render(
        [report(layer(normalized=None, reason="empty side"), network=Network(figures))], RenderOptions()
    )
    assert re.search(rf"fc .* {DASH}  undefined +\[1\]", text)
    assert "[1]  empty side" in text
    assert "[2]  no layer is finite" in text


def test_z_appears_once_it_is_measured(report, layer):
    assert " z" not in render([report(layer())], RenderOptions())
    measured = layer(neural_persistence=LayerPersistence(1.0, 0.5, 0.4, 0.01, 10.04))
    assert re.search(r"0\.5000  █████ +10\.0$", render([report(measured)], RenderOptions()), re.MULTILINE)
    assert "z   how far NP is from" in render([report(measured)], RenderOptions())


def test_sortedness_only_if_it_was_measured(report, layer):
    assert "sortedness" not in render([report(layer())], RenderOptions())
    text = render([report(layer(sortedness=0.25), layer("out"))], RenderOptions())
    assert re.search(r"^fc .* 0\.2500$", text, re.MULTILINE)
    assert "sortedness" in text


@pytest.mark.parametrize(("width", "shown"), [(80, True), (79, False)])
def test_the_excess_stands_beside_z_where_there_is_room(report, layer, width, shown):
    measured = LayerPersistence(1.0, 0.5, z=100.0, excess=-0.06, excess_share=-0.12)
    text = render([report(layer(neural_persistence=measured))], RenderOptions(width=width))
    assert ("100.0  -12.0 %" in text) == shown
    assert "100.0" in text


def test_empty_models_say_why(report):
    assert "nothing to analyse: the model has no weight tensors" in render([report()], RenderOptions())


def test_all_rows(long):
    text = render([long], RenderOptions(all_rows=True))
    assert text.count("MatMul") == 497 + 1  # the largest weight is of the first one
    assert "more" not in text
    assert text.count("\n/blocks.") == 500


def test_long_lists_are_cut_and_counted(report, layer):
    findings = tuple(Finding("OT101", "error", f"l{i}", "odd", str(i)) for i in range(100))
    text = render([report(layer(), findings=findings)], RenderOptions())
    assert "findings: 100 errors" in text
    assert "OT101        and 97 more like this; --all lists every one" in text
    assert "error OT101  l99: odd" in render(
        [report(layer(), findings=findings)], RenderOptions(all_rows=True)
    )


def test_hundreds_of_skipped_tensors_take_one_line(report):
    skipped = tuple(SkippedWeight(f"w{i}", "Gather", "an embedding", 1000) for i in range(500))
    changed = Coverage(500_000, 0, 0.0, 0, 0, 0, 0, 500_000, {}, skipped)
    text = render([report(coverage=changed)], RenderOptions())
    assert "skipped: 500 weight tensors, 500,000 parameters" in text
    assert f"500 {TIMES} Gather  an embedding (500 k)" in text
    assert len(text.splitlines()) < 20


def test_elide_keeps_both_ends():
    assert elide("abcdefghij", 10) == "abcdefghij"
    assert elide("abcdefghij", 7) == "abc…hij"
    assert elide("abcdefghij", 7, "..") == "abc..ij"
    assert cell_len(elide("层" * 60, 21)) <= 21
    assert cell_len(elide("层" * 60, 20)) <= 20
    assert elide("abc", 1) == "…"


def test_bars():
    assert [UNICODE.bar(value) for value in (0.0, 0.0125, 0.5, 1.0, 1.2)] == [
        "",
        "▏",
        "█████",
        "█" * 10,
        "█" * 10,
    ]
    assert ASCII.bar(0.26) == "###"
    assert [UNICODE.bar(value, BarEnds(0.9, 0.92), 4) for value in (0.9, 0.91, 0.92, 0.99)] == [
        "▏",
        "██",
        "████",
        "████",
    ]
    assert UNICODE.bar(None) == UNICODE.bar(float("nan")) == ""


def test_names_that_differ_only_in_the_middle_stay_apart(report, layer):
    names = [f"transformer/very/long/way/block{i}/another/long/way/to/the/MatMul" for i in range(12)]
    text = render([report(*map(layer, names))], RenderOptions())
    assert [f"\nblock{i} " in text for i in range(12)] == [True] * 12
    ends = "transformer/very/long/way/ at their start, /another/long/way/to/the/MatMul at their end"
    assert ends in " ".join(text.split())
    few = render([report(*map(layer, ("net.features.0.conv", "net.features.1.conv")))], RenderOptions())
    assert "net.features.0.conv" in few


def test_bars_take_the_place_of_weights_where_names_need_it(report, layer):
    role = LayerRole(3, 1.0, None, None)
    figures = LayerPersistence(1.0, 0.5, 0.4, 0.01, 10.04)
    changes = {"deep_graph_persistence": role, "neural_persistence": figures, "n_in": 4096, "n_out": 10000}
    names = [f"model/decoder/layers.{i}/mlp/up" for i in (1, 2)]
    wide = report(*(layer(name, op_type="MatMulNBits", **changes) for name in names))

    def header(found, width):
        lines = render([found], RenderOptions(width=width)).splitlines()
        return set(next(line for line in lines if line.startswith("layer ")).split())

    assert header(wide, 80) & {"bars", "weights"} == {"bars"}
    assert {"bars", "weights"} <= header(wide, 100)
    short = report(layer("fc", **changes))
    assert {"bars", "weights"} <= header(short, 80)
    assert "bars" not in render([short], RenderOptions(width=60))


def test_deep_graph_persistence_stands_beneath_the_table(typical):
    lines = render([typical], RenderOptions()).splitlines()
    place = next(i for i, line in enumerate(lines) if line.startswith("  bars  "))
    assert lines[place + 2 : place + 4] == [
        "  deep graph persistence 0.2500 normalized, 1.5000 total; skips cut 0.1250",
        "  27 inputs, 10 outputs; connectivity exact; 6.2 % of bars saturated",
    ]


def test_what_goes_in_and_out_stands_before_the_layers(report, layer):
    ports = tuple(Port(f"in{i}", "FLOAT", ("batch", "", 3)) for i in range(9))
    function = Function(1, "", None, "", {}, "", {}, ports, (Port("y", "INT64", ()), Port("z", "x", None)))
    model = replace(report().model, function=function)
    lines = render([report(layer(), model=model)], RenderOptions()).splitlines()
    start = lines.index("  model   model.onnx")
    assert lines[start : start + 7] == [
        "  model   model.onnx",
        "  input   in0: float[batch, ?, 3]",
        "  input   in1: float[batch, ?, 3]",
        "  input   in2: float[batch, ?, 3]",
        "  input   and 6 more; --all lists every one",
        "  output  y: int64[]",
        "  output  z: x",
    ]
    assert "in8: float" in render([report(layer(), model=model)], RenderOptions(all_rows=True))


def test_the_verdict_comes_first_and_the_small_print_last(typical):
    text = render([typical], RenderOptions())
    parts = ("✗ 1 error", "  model ", "findings:", "skipped:", "layer  ", "  settings ", "  onnxtop explain")
    places = [text.index(part) for part in parts]
    assert places == sorted(places)
    assert places[0] == 0
    assert len(text[places[-1] :].splitlines()) <= 4  # two steps, that may fold


def test_bars_tell_layers_of_nearly_the_same_np_apart(report, layer):
    text = render([report(layer("a", 0.901), layer("b", 0.909), layer("c", 0.917))], RenderOptions())
    assert re.findall(r"^[abc] .* ([▏▎▍▌▋▊▉█]+)$", text, re.MULTILINE) == ["▌", "████▌", "████████▌"]
    assert "NP  0.9   0.92" in text


def test_several_models_are_one_table_first_the_worst_first(report, layer, typical):
    good = [report(layer(), path=f"good{i}.onnx") for i in range(50)]
    results = [*good, FailedModel("bad.onnx", 3, "cut off"), typical]
    lines = render(results, RenderOptions()).splitlines()
    assert lines[0].startswith("✗ 52 models: 1 not analysed, 1 with errors, 50 ")
    rows = [line for line in lines if line.startswith(("✗  ", "?  "))]
    assert [row.split()[1] for row in rows[:3]] == ["bad.onnx", "models/typical.onnx", "good0.onnx"]
    assert len(rows) == 40
    assert "  and 12 more models; --all shows every one" in lines
    assert "pages of 49 more models left out: --all shows every one" in lines
    assert sum(line.startswith("  settings ") for line in lines) == 2
    whole = render(results, RenderOptions(width=0))
    assert whole.count("  settings ") == 51
    assert whole.count("neural persistence: 0 if strong") == 1


def test_a_page_that_grows_is_the_table_as_high_as_the_terminal(report, layer):
    results = [report(layer(), path=f"good{i}.onnx") for i in range(50)]
    lines = render(results, RenderOptions(height=30)).splitlines()
    assert len(lines) < 29
    assert "  settings " not in "\n".join(lines)


@pytest.mark.parametrize(("width", "most"), [(0, 121), (60, 24), (120, 40)])
def test_labels_of_a_list_stay_apart_and_are_whole_where_nothing_is_cut(width, most):
    names = [f"{'x' * 60}{i}{'y' * 59}" for i in range(9)]
    page = Page(RenderOptions(width=width))
    page.listed([(name, "odd", "") for name in names])
    labels = [line.split()[0] for line in page.finished().splitlines()]
    assert len(set(labels)) == len(names)
    assert max(map(len, labels)) <= most
    assert width or labels == [*names]
