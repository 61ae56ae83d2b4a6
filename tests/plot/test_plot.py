"""Pictures: they show the report's own figures, are the same bytes every time, and stand any name."""

import re
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
from click.testing import CliRunner, Result
from matplotlib.figure import Figure

import onnxtop
from onnxtop import plot
from onnxtop.cli import app
from onnxtop.cli.words import entries, find
from onnxtop.errors import UsageError
from onnxtop.plot import figures
from onnxtop.plot.figures import written
from onnxtop.plot.options import PlotOptions
from onnxtop.render import PICTURES
from onnxtop.results.details import LayerDetails
from onnxtop.results.graph import GraphNode, LayerGraph
from onnxtop.results.report import LayerReport, Report
from onnxtop.statistics.facts import Histogram
from onnxtop.testing import write_mlp
from tests import vocabulary

KINDS: dict[str, Callable[[Report], Figure]] = {
    kind: getattr(plot, kind) for kind in ("layers", "diagram", "bars", "histogram", "graph")
}
HOSTILE = (
    "<script>alert(1)</script>",
    "a$b$\\frac{",
    "\x1b[31mred",
    "\u202egnp.exe",
    "שלום 🙂 漢字",
    "x" * 300,
)


@pytest.fixture(scope="module")
def report(samples: Path) -> Report:
    return onnxtop.audit(samples / "mlp_torch_dynamo.onnx", onnxtop.AuditOptions(details=True))


def only(figure: Figure) -> Any:
    """Return the one panel of a figure."""
    (axes,) = figure.axes
    return axes


def details_of(report: Report, name: str) -> LayerDetails:
    (details,) = (layer.details for layer in report.layers if layer.name == name and layer.details)
    return details


def test_bars_and_their_band(report: Report) -> None:
    details, axes = details_of(report, "hidden2"), only(plot.bars(report, "hidden2"))
    (line,) = axes.lines
    assert (tuple(line.get_xdata()), tuple(line.get_ydata())) == (details.ranks, details.bars)
    (band,) = axes.collections
    corners = {*map(tuple, band.get_paths()[0].vertices.tolist())}
    assert {*zip(details.ranks, details.null_low, strict=True)} <= corners
    assert {*zip(details.ranks, details.null_high, strict=True)} <= corners
    z = report.layers[1].neural_persistence.z
    assert axes.get_title(loc="left") == f"hidden2   z {z:.1f}"


def test_a_histogram(report: Report) -> None:
    found = details_of(report, "output").histogram
    assert found is not None
    (steps,) = only(plot.histogram(report, "output")).patches
    assert tuple(steps.get_data().values) == found.counts
    assert (steps.get_data().edges[0], steps.get_data().edges[-1]) == (found.low, found.high)


@pytest.mark.parametrize("value", [0.0, -2.0])
def test_a_histogram_of_one_value_is_narrow_and_has_one_number(report: Report, value: float) -> None:
    first = report.layers[0]
    details = replace(details_of(report, first.name), histogram=Histogram(value, value, (12,)))
    axes = only(plot.histogram(replace(report, layers=(replace(first, details=details),))))
    (low, high), (steps,) = axes.get_xlim(), axes.patches
    edges = steps.get_data().edges
    assert low < edges[0] < value < edges[-1] < high
    assert edges[-1] - edges[0] < (high - low) / 10
    assert axes.get_xticks().tolist() == [value]


def test_a_diagram_of_a_layer_and_one_by_itself(report: Report) -> None:
    points = report.layers[0].neural_persistence.diagram.points
    _, dots, essential = only(plot.diagram(report, "hidden1")).lines
    assert np.array_equal(dots.get_xydata(), points)
    assert essential.get_xydata().tolist() == [[1.0, 0.0]]
    found = onnxtop.layer_persistence(np.eye(4)).diagram
    axes = only(plot.diagram(found))
    assert np.array_equal(axes.lines[1].get_xydata(), found.points)
    assert len(axes.patches) == 40
    assert only(plot.diagram(report.network.deep_graph_persistence.diagram)).lines


def test_all_layers_beside_chance(report: Report) -> None:
    axes = only(plot.layers(report))
    chance, dots = axes.lines
    figures = [layer.neural_persistence for layer in report.layers]
    assert dots.get_xydata().tolist() == [[each.normalized, row] for row, each in enumerate(figures)]
    assert chance.get_xydata().tolist() == [[each.null_mean, row] for row, each in enumerate(figures)]
    (spread,) = axes.collections
    for ends, each in zip(spread.get_segments(), figures, strict=True):
        assert ends[:, 0] == pytest.approx(
            [each.null_mean - 2 * each.null_std, each.null_mean + 2 * each.null_std]
        )
    assert [label.get_text() for label in axes.get_yticklabels()] == ["hidden1", "hidden2", "output"]
    assert axes.yaxis_inverted()


def test_the_graph_of_layers(report: Report) -> None:
    (axes,) = plot.graph(report).axes
    (key,) = axes.child_axes
    first_lines = [text.get_text().partition("\n")[0] for text in axes.texts]
    assert first_lines == ["x", "hidden1", "hidden2", "output", "logits"]
    assert sum(type(patch).__name__ == "FancyArrowPatch" for patch in axes.patches) == 4
    boxes = [patch for patch in axes.patches if type(patch).__name__ == "FancyBboxPatch"]
    weakest = min(report.layers, key=lambda layer: layer.neural_persistence.normalized or 0)
    colours = dict(
        zip(first_lines, (matplotlib.colors.to_hex(b.get_facecolor()) for b in boxes), strict=True)
    )
    assert colours[weakest.name] == "#440154"
    assert colours["x"] == "#f6f8fa"
    known = [layer.neural_persistence.normalized for layer in report.layers]
    assert key.get_xlim() == (min(known), max(known))
    assert key.get_xlabel() == "NP, normalized"


def test_a_graph_with_a_cycle_and_cut_off_nodes() -> None:
    found = LayerGraph(
        "m",
        "exact",
        (),
        {
            "input:x": GraphNode("input", "x", neurons=3),
            "layer:a": GraphNode("layer", "a", "MatMul", 3, 2, 6, 2),
            "state:s": GraphNode("state", "s"),
            "layer:b": GraphNode("layer", "b", "MatMul", 2, 2, 4, 2, remark="reaches no output"),
        },
        (("input:x", "layer:a"), ("layer:a", "state:s"), ("state:s", "layer:a"), ("layer:b", "layer:b")),
    )
    axes = only(plot.graph(found))
    arrows = [patch for patch in axes.patches if type(patch).__name__ == "FancyArrowPatch"]
    assert [arrow.get_linestyle() for arrow in arrows] == ["-", "-", "--"]
    assert [text.get_text().partition("\n")[0] for text in axes.texts] == ["x", "a", "b"]


@pytest.mark.parametrize("kind", ["diagram", "bars", "histogram"])
def test_the_first_layers_or_the_one_that_is_named(report: Report, kind: str) -> None:
    figure = getattr(plot, kind)(report, most=2)
    assert [axes.get_title(loc="left").split()[0] for axes in figure.axes] == ["hidden1", "hidden2"]
    assert figure.get_suptitle().endswith("mlp_torch_dynamo.onnx, the first 2 of 3 layers")
    assert len(getattr(plot, kind)(report).axes) == 3
    with pytest.raises(UsageError, match="wanted the name of a layer, found 'hiden1': did you mean hidden1"):
        getattr(plot, kind)(report, "hiden1")


@pytest.mark.parametrize("kind", KINDS)
def test_into_axes_of_ones_own(report: Report, kind: str) -> None:
    figure = Figure(facecolor="#123456")
    axes = figure.add_subplot()
    one = {} if kind in ("layers", "graph") else {"layer": "output"}
    assert getattr(plot, kind)(report, ax=axes, **one) is figure
    assert axes.has_data() or axes.patches
    if one:
        with pytest.raises(UsageError, match="wanted one layer for the axes, found 3"):
            getattr(plot, kind)(report, ax=axes)


def test_files_are_the_same_whatever_is_configured(report: Report, tmp_path: Path) -> None:
    first = {each: written(plot.histogram(report, "output"), each) for each in PICTURES}
    with matplotlib.rc_context({"font.size": 30, "axes.facecolor": "red", "svg.hashsalt": None}):
        for each, data in first.items():
            plot.save(plot.histogram(report, "output"), tmp_path / f"again.{each}")
            assert (tmp_path / f"again.{each}").read_bytes() == data
        assert matplotlib.rcParams["font.size"] == 30
    assert [data[:5] for data in first.values()] == [b"<?xml", b"\x89PNG\r", b"%PDF-"]
    assert not any(re.search(rb"20\d\d-\d\d|CreationDate|<dc:date", data) for data in first.values())
    with pytest.raises(UsageError, match=r"wanted a file that ends in \.svg, \.png, \.pdf, found 'x\.jpg'"):
        plot.save(plot.bars(report, "output"), "x.jpg")


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_does_not_depend_on_what_the_figure_was_written_as_before(report: Report, kind: str) -> None:
    short = replace(report, layers=report.layers[:1])
    alone, again = getattr(plot, kind)(short), getattr(plot, kind)(short)
    written(again, "svg")
    assert written(again, "pdf") == written(alone, "pdf")
    assert written(again, "svg") == written(getattr(plot, kind)(short), "svg")


@pytest.mark.parametrize("kind", ["layers", "bars", "graph"])
def test_names_of_strangers_are_text(tmp_path: Path, kind: str) -> None:
    rng = np.random.default_rng(0)
    write_mlp(tmp_path / "m.onnx", {name: rng.standard_normal((3, 3)) for name in HOSTILE})
    found = onnxtop.audit(tmp_path / "m.onnx", onnxtop.AuditOptions(details=True))
    figure = KINDS[kind](found)
    shown = "\n".join(ET.fromstring(written(figure, "svg")).itertext())
    if kind == "layers":  # the font lacks signs: no warning
        assert written(figure, "png")[:4] == b"\x89PNG"
    assert "\x1b" not in shown
    assert "\u202e" not in shown
    if kind != "graph":  # where names are folded
        assert {"<script>alert(1)</script>", r"a$b$\frac{", "שלום 🙂 漢字"} <= {
            *re.split(r"\n|   z .*", shown)
        }
        assert r"\x1b[31mred" in shown


@pytest.mark.parametrize("kind", KINDS)
def test_layers_without_figures(tmp_path: Path, kind: str) -> None:
    """One is NaN, one has one weight, one is all zero."""
    write_mlp(tmp_path / "m.onnx", [np.full((3, 2), np.nan), np.zeros((2, 1)), np.ones((1, 1))])
    found = onnxtop.audit(tmp_path / "m.onnx", onnxtop.AuditOptions(details=True))
    shown = " ".join(ET.fromstring(written(KINDS[kind](found), "svg")).itertext())
    assert ("are NaN or infinite" in " ".join(shown.split())) == (kind in ("diagram", "bars", "histogram"))


def test_many_layers_have_a_name_here_and_there(report: Report) -> None:
    many = tuple(LayerReport(**{**vars(report.layers[0]), "name": f"l{i}"}) for i in range(1001))
    figure = plot.layers(Report(**{**vars(report), "layers": many}))
    assert figure.get_size_inches()[1] == 40
    assert [label.get_text() for label in only(figure).get_yticklabels()][:3] == ["l0", "l6", "l12"]
    assert len(only(figure).lines[-1].get_xydata()) == 1001


def test_a_picture_of_many_pixels_has_fewer_dots_an_inch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figures, "_PIXELS", 1e5)
    with figures.look():
        data = written(figures.new(9, 10), "png")
    width, height = (int.from_bytes(data[at : at + 4], "big") for at in (16, 20))
    assert 0.95e5 < width * height <= 1e5


def test_a_notebook_shows_a_figure(report: Report) -> None:
    shown = plot.histogram(report, "output")._repr_svg_()
    assert ET.fromstring(shown.encode()).tag.endswith("svg")


def test_what_a_report_must_have(report: Report, samples: Path) -> None:
    plain = report.without_details
    for kind in ("bars", "histogram", "graph"):
        with pytest.raises(UsageError, match=r"found one without: audit with AuditOptions\(details=True\)"):
            KINDS[kind](plain)
    assert only(plot.layers(plain)).lines
    read = Report.from_dict(report.to_dict())
    with pytest.raises(UsageError, match="found one without diagrams: no file holds them"):
        plot.diagram(read)
    assert {*map(type, (plot.bars(read), plot.histogram(read), plot.graph(read)))}
    nothing = Report(**{**vars(report), "layers": ()})
    for kind in ("layers", "diagram", "bars", "histogram"):
        with pytest.raises(UsageError, match="wanted a report with layers, found none"):
            KINDS[kind](nothing)


def test_every_word_of_a_picture_is_explained(report: Report) -> None:
    names = (name for entry in entries() for name in (*entry.names, entry.title))
    known = {word for name in names for word in vocabulary.words(name)}
    own = {
        *map(str.lower, re.findall(r"[A-Za-z]{2,}", "sample models mlp torch dynamo onnx logits Gemm hidden"))
    }
    only_one = Report(**{**vars(vocabulary.nameless(report)), "layers": report.layers[2:]})
    for kind, draw in KINDS.items():
        svg = written(draw(only_one), "svg").decode()
        body = re.sub(r"<style.*?</style>|<metadata.*?</metadata>|<!--.*?-->", "", svg, flags=re.S)
        shown = vocabulary.shown("svg", body)
        unknown = {word for word in vocabulary.words(shown) if word not in known | own and not find(word)}
        assert not unknown, kind


# The verb


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: CliRunner().invoke(app, ["plot", *map(str, arguments)])


def test_the_verb_draws_what_python_draws(run: Callable[..., Result], samples: Path, report: Report) -> None:
    model = samples / "mlp_torch_dynamo.onnx"
    done = run(
        model, "--kind", "bars", "--layers", "hidden", "--most", "1", "-o", "a.svg", "-f", "pdf", "-o", "a"
    )
    assert (done.exit_code, done.stdout, done.stderr) == (0, "", "")
    hidden = Report(**{**vars(report), "layers": report.layers[:2]})
    drawn = plot.bars(hidden, "hidden1")
    assert Path("a.svg").read_bytes() == written(drawn, "svg")
    assert Path("a").read_bytes() == written(drawn, "pdf")
    assert run(model, "-o", "layers.SVG", "-v").stderr == "onnxtop: wrote layers.SVG\n"
    assert Path("layers.SVG").read_bytes() == written(plot.layers(report), "svg")


@pytest.mark.parametrize(
    ("asked", "name", "starts"),
    [
        ((), "svg", b"<?xml"),
        (("-f", "svg"), "svg", b"<?xml"),
        (("-o", "-"), "svg", b"<?xml"),
        (("-f", "png"), "png", b"\x89PNG"),
        (("-f", "png", "-o", "-"), "png", b"\x89PNG"),
        (("-f", "pdf"), "pdf", b"%PDF"),
        (("-o", "x.svg", "-f", "png"), "png", b"\x89PNG"),
    ],
)
def test_what_has_no_file_goes_to_stdout_as_the_help_says(
    run: Callable[..., Result], samples: Path, asked: tuple[str, ...], name: str, starts: bytes
) -> None:
    model = samples / "mlp_torch_dynamo.onnx"
    done = run(model, *asked)
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout_bytes.startswith(starts)
    assert run(model, "-o", f"same.{name}").exit_code == 0
    assert Path(f"same.{name}").read_bytes() == done.stdout_bytes


@pytest.mark.parametrize(
    ("asked", "refused"),
    [((), True), (("-f", "png"), True), (("-f", "pdf", "-o", "-"), True), (("-f", "svg"), False)],
)
def test_a_terminal_gets_only_what_it_can_show(
    run: Callable[..., Result],
    samples: Path,
    monkeypatch: pytest.MonkeyPatch,
    asked: tuple[str, ...],
    refused: bool,
) -> None:
    monkeypatch.setattr("click.testing._NamedTextIOWrapper.isatty", lambda self: True, raising=False)
    done = run(samples / "mlp_torch_dynamo.onnx", *asked, "--no-progress")
    assert done.exit_code == (2 if refused else 0)
    assert ("a terminal shows no picture: name a file with -o" in done.stderr) == refused
    assert (done.stdout == "") == refused


def test_every_kind_is_a_function() -> None:
    kinds = onnxtop.options.declared(PlotOptions)["kind"].choices
    assert {*kinds} == {*KINDS} == {*plot.__all__} - {"save"}


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("-f", "svg", "-f", "png"), 2, "only one format can go to stdout"),
        (("-o", "x.jpg"), 2, "the suffix of 'x.jpg' is none of .svg .png .pdf"),
        (("-o", "no/x.svg"), 2, "there is no folder"),
        (("--most", "0", "-o", "x.svg"), 2, "--most"),
        (("--kind", "pie", "-o", "x.svg"), 2, "'pie' is not one of"),
        (("--layers", "nowhere", "-o", "x.svg"), 4, "no layer name matches 'nowhere'"),
    ],
)
def test_mistakes_are_one_message(
    run: Callable[..., Result], samples: Path, arguments: tuple[str, ...], code: int, message: str
) -> None:
    done = run(samples / "mlp_torch_dynamo.onnx", *arguments)
    assert done.exit_code == code
    assert message in done.stderr
    assert not Path("x.svg").exists()


def test_the_model_is_never_overwritten(run: Callable[..., Result], samples: Path) -> None:
    Path("m.svg").write_bytes((samples / "mlp_jax.onnx").read_bytes())
    assert "would overwrite" in run("m.svg", "-o", "m.svg").stderr


def test_without_matplotlib_there_is_a_clear_message(
    run: Callable[..., Result], samples: Path, report: Report, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    done = run(samples / "mlp_jax.onnx", "-o", "x.svg")
    wanted = "wanted matplotlib for drawing, found it missing; install it: pip install 'onnxtop[plot]'"
    assert (done.exit_code, done.stderr) == (2, f"onnxtop: error: {wanted}\n")
    for draw in KINDS.values():
        with pytest.raises(UsageError, match=re.escape(wanted)):
            draw(report)
