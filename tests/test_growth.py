"""Nothing is compared with everything: calls of functions are counted, on models of n, 2n and 4n nodes.

What grows with the nodes, f(n) = a + bn + cn², gives f(4n) - 3 f(2n) + 2 f(n) = 6 cn²: a and b fall out, and
c is how often something is called for each pair of nodes.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest

import onnxtop
from benchmarks._forms import FORMS
from onnxtop.auditing import network
from onnxtop.auditing.constants import bad_constants
from onnxtop.auditing.describing import coverage_of
from onnxtop.auditing.layer_graph import describe
from onnxtop.auditing.options import AuditOptions
from onnxtop.reader.account import account
from onnxtop.reader.constants import Constants
from onnxtop.reader.layers import find_layers
from onnxtop.reader.model import Model, load
from onnxtop.reader.terms.digests import digests_of
from onnxtop.render import RenderOptions
from onnxtop.render.graph import svg, text
from onnxtop.results.graph import LayerGraph

OURS = (str(Path(onnxtop.__file__).parent), __file__)
N = 12
PAIRS = 0.05
"""Calls a pair of nodes, at most: what is done once there are so many nodes makes some."""

READ = (
    *("shared", "residual", "concat", "added", "inputs", "results", "states", "split", "adapted", "lookups"),
    *("decoded", "unknown_beside", "cut", "branches", "functions", "namesakes"),
)
DRAWN = ("residual", "concat", "cut")


def calls(run: Callable[[], Any]) -> int:
    """Return how many functions of ours are called in a run, generators each time they go on."""
    count = 0

    def seen(frame: Any, event: str, argument: Any) -> None:
        nonlocal count
        count += event == "call" and frame.f_code.co_filename.startswith(OURS)

    before = sys.getprofile()
    sys.setprofile(seen)
    try:
        run()
    finally:
        sys.setprofile(before)
    return count


def a_pair(run: Callable[[int], Callable[[], Any]]) -> float:
    """Return how often something is called for each pair of nodes, when all is loaded."""
    run(N // 2)()
    one, two, four = (calls(run(n)) for n in (N, 2 * N, 4 * N))
    return (four - 3 * two + 2 * one) / (6 * N * N)


def written(form: str, n: int, folder: Path) -> Path:
    path = folder / f"{form}.{n}.onnx"
    onnx.save(FORMS[form](n), path)
    return path


def described(model: Model) -> LayerGraph:
    """Do with a model what a report does with the file, up to the weights themselves; return its graph."""
    constants = Constants(model)
    found = find_layers(model, constants)
    connected = network.neurons(model, constants, found, AuditOptions())
    counts = account(model, constants, found)
    coverage_of(counts, found)
    bad_constants(model, constants, found, counts)
    digests_of(model, counts, normal=False)
    network.measured_layers(connected, AuditOptions())
    assert connected is not None
    return describe("model", connected, found)


@pytest.mark.parametrize("form", READ)
def test_a_model_is_read_node_by_node(form: str, tmp_path: Path) -> None:
    def run(n: int) -> Callable[[], Any]:
        model = load(written(form, n, tmp_path))
        return lambda: described(model)

    assert a_pair(run) < PAIRS


@pytest.mark.parametrize("render", [svg.render, text.render])
@pytest.mark.parametrize("form", DRAWN)
def test_a_graph_is_drawn_node_by_node(form: str, render: Callable[..., str], tmp_path: Path) -> None:
    def run(n: int) -> Callable[[], Any]:
        graph = described(load(written(form, n, tmp_path)))
        return lambda: render(graph, RenderOptions(width=100))

    assert a_pair(run) < PAIRS


def test_what_is_compared_with_everything_is_told() -> None:
    def pairs(n: int) -> Callable[[], Any]:
        return lambda: [calls.__name__ for one in range(n) for two in range(one) if _nothing()]

    def _nothing() -> bool:
        return False

    assert 0.4 < a_pair(pairs) < 0.6
