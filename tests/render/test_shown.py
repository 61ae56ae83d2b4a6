"""Results show themselves: in a line, on a page that rich draws, in a notebook, as a data frame."""

import io
import re
import subprocess
import sys
import types
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest
from rich.console import Console

import onnxtop
from onnxtop.errors import MissingLibraryError
from onnxtop.render import RenderOptions, render
from onnxtop.render.report.csv import COLUMNS
from onnxtop.render.shown import ROOMS, look_of
from onnxtop.shown import Shown, Tabular
from tests.conftest import SAMPLES

MLP = SAMPLES / "mlp_torch_dynamo.onnx"
MATRICES = {"one": np.array([[1.0, 0.5], [0.25, -0.75]]), "two": np.array([[0.5], [0.25]])}


def _minima() -> onnxtop.LossLandscape:
    wells = lambda x: (float(x[0] ** 4 - x[0] ** 2 + 0.1 * x[0]), 4 * x**3 - 2 * x + 0.1)  # noqa: E731
    return onnxtop.function_barcode(wells, {"left": np.array([-1.0]), "right": np.array([0.5])}, jobs=1)


def _probed() -> onnxtop.LossProbeResult:
    data = {name: array[:20] for name, array in np.load(SAMPLES / "digits.npz").items() if "_" not in name}
    return onnxtop.probe(MLP, data, profile=False, sharpness=False, descent=False)


MADE: dict[str, tuple[Callable[[], Any], str]] = {
    "Report": (lambda: onnxtop.audit(MLP, structure=False), "3 layers, NP 0.5850, DGP 0.2937"),
    "Check": (lambda: onnxtop.check(SAMPLES / "mlp_untrained.onnx"), "failed: "),
    "LayerReport": (
        lambda: onnxtop.audit(MLP, details=True).layers[0],
        "hidden1: Gemm 64 \N{MULTIPLICATION SIGN} 100, NP 0.5272, z 43.0",
    ),
    "Diff": (lambda: onnxtop.diff(MLP, SAMPLES / "mlp_jax.onnx"), "→"),
    "Trace": (lambda: onnxtop.trace(sorted((SAMPLES / "checkpoints").iterdir())[-2:]), "2 checkpoints: "),
    "LossLandscape": (_minima, "2 minima; from one to a lower one"),
    "LossProbeResult": (_probed, "cross-entropy on 20 samples: loss "),
    "Layer": (lambda: onnxtop.read_layers(MLP)[0], "hidden1: Gemm 64 \N{MULTIPLICATION SIGN} 100 float32"),
    "Skipped": (lambda: replace(_skipped(), reason="it is odd"), "1 weight skipped: it is odd"),
    "Diagram": (lambda: onnxtop.layer_persistence(MATRICES["one"]).diagram, "3 bars, the longest 0.5000"),
    "MatrixPersistence": (
        lambda: onnxtop.layer_persistence(MATRICES["one"]),
        "NP 0.6614 (total 1.1456; 3",
    ),
    "NeuralPersistence": (lambda: onnxtop.neural_persistence(MATRICES), "mean NP "),
    "DeepPersistence": (lambda: onnxtop.deep_graph_persistence(MATRICES), "DGP "),
}
"""One of every kind that shows itself, and a part of its line."""


def _skipped() -> onnxtop.Skipped:
    return onnxtop.Skipped("w", "MatMul", "", "w", 1, (), None)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def made() -> Callable[[str], Any]:
    """Return what makes one of a kind, once."""
    known: dict[str, Any] = {}
    return lambda name: known.setdefault(name, None) or known.update({name: MADE[name][0]()}) or known[name]


class _Reader(HTMLParser):
    """Collects tags, attributes and text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: set[str] = set()
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        self.text += data


def _subclasses(kind: type) -> set[str]:
    return {name for each in kind.__subclasses__() for name in (each.__name__, *_subclasses(each))} - {
        "Tabular"
    }


def test_every_kind_that_shows_itself_has_a_look_and_is_tried_here() -> None:
    assert all(getattr(onnxtop, name) for name in onnxtop.__all__)  # load what is fetched on first use
    named = {name for names in ROOMS.values() for name in names}
    assert named == _subclasses(Shown) == set(MADE)
    assert named <= set(onnxtop.__all__)


@pytest.mark.parametrize("name", MADE)
def test_shows_itself_in_a_line(name: str, made: Callable[[str], Any]) -> None:
    result = made(name)
    assert MADE[name][1] in str(result)
    assert repr(result) == f"<{name}: {result}>"
    assert "\n" not in str(result) and len(str(result)) < 250


@pytest.mark.parametrize("name", MADE)
def test_shows_itself_in_a_notebook(name: str, made: Callable[[str], Any]) -> None:
    page = _Reader(made(name)._repr_html_())
    assert not {"script", "link", "iframe", "img"} & set(page.tags)
    assert not {each for each in page.attributes if each.startswith("on")} | (
        {"style", "src"} & page.attributes
    )
    assert made(name)._repr_html_() == made(name)._repr_html_()


@pytest.mark.parametrize("name", MADE)
def test_rich_draws_the_page_of_the_command_line(name: str, made: Callable[[str], Any]) -> None:
    result = made(name)
    console = Console(file=io.StringIO(), width=72, color_system=None)
    console.print(result)
    drawn = console.file.getvalue()  # type: ignore[attr-defined]
    page = look_of(result).page
    assert drawn.split() == (page(result, RenderOptions(width=72)) if page else str(result)).split()
    assert all(len(line) <= 72 for line in drawn.splitlines())


def test_a_report_is_drawn_in_colour_where_the_console_has_some(made: Callable[[str], Any]) -> None:
    console = Console(file=io.StringIO(), width=72, force_terminal=True, color_system="standard")
    console.print(made("Report"))
    assert "\x1b[" in console.file.getvalue()  # type: ignore[attr-defined]


def test_names_of_a_model_are_text_wherever_it_is_shown() -> None:
    name = "<script>alert(1)</script>\x1b[31m\u202e"
    result = replace(_skipped(), name=name)
    assert "<script>alert(1)</script>\\x1b[31m\\u202e" in str(result)
    assert "script" not in _Reader(result._repr_html_()).tags
    assert "<script>alert(1)</script>\\x1b[31m\\u202e" in _Reader(result._repr_html_()).text


def test_rows_of_a_long_report_are_cut_in_a_notebook_only(made: Callable[[str], Any]) -> None:
    report = made("Report")
    layers = tuple(replace(report.layers[0], name=f"layer {number}") for number in range(100))
    text = _Reader(replace(report, layers=layers)._repr_html_()).text
    assert "layer 29" in text and "layer 30" not in text
    assert "70 more rows; to_frame() has them all" in text


# Data frames


def _frame_of(result: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return rows and columns as they are handed to pandas."""
    stand_in = types.SimpleNamespace(DataFrame=lambda rows, columns: (rows, columns))
    monkeypatch.setitem(sys.modules, "pandas", stand_in)
    return result.to_frame()


def test_the_frame_of_a_report_is_its_csv(
    made: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    report = made("Report")
    rows, columns = _frame_of(report, monkeypatch)
    assert columns == COLUMNS
    header, *lines = render("report", "csv", [report]).splitlines()
    assert header.split(",") == list(columns)
    for row, line in zip(rows, lines, strict=True):
        assert ["" if row.get(name) is None else str(row[name]) for name in columns] == line.split(",")


@pytest.mark.parametrize(
    ("name", "column", "values"),
    [
        ("Check", "layer", ["hidden1", "hidden2", "output"]),
        ("Diff", "weights_cosine", [1.0, 1.0, 1.0]),
        ("Trace", "checkpoint", ["epoch_11", "epoch_12"]),
        ("LossLandscape", "name", ["left", "right"]),
        ("LossProbeResult", "name", ["hidden1", "hidden2", "output"]),
    ],
)
def test_frames_of_the_other_results(
    name: str, column: str, values: list[Any], made: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, _ = _frame_of(made(name), monkeypatch)
    assert [row[column] for row in rows] == values


def test_what_has_rows_is_tabular() -> None:
    for name in ("Report", "Check", "Diff", "Trace", "LossLandscape", "LossProbeResult"):
        assert issubclass(getattr(onnxtop, name), Tabular)


def test_without_pandas_the_message_says_what_installs_it(
    made: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(MissingLibraryError, match=re.escape("pip install 'onnxtop[pandas]'")):
        made("Trace").to_frame()


def test_a_result_that_is_not_shown_loads_nothing_that_draws() -> None:
    code = (
        "import sys, onnxtop; onnxtop.neural_persistence({'a': [[1.0, 2.0]]}); onnxtop.Report;"
        "assert not {'rich', 'jinja2', 'pandas', 'onnxtop.render'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
