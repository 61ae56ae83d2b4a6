"""Nothing is compared with everything: calls of functions are counted, on models of n, 2n and 4n nodes.

What grows with the nodes, f(n) = a + bn + cn², gives f(4n) - 3 f(2n) + 2 f(n) = 6 cn²: a and b fall out, and
c is how often something is called for each pair of nodes.
"""

import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import onnxtop
from benchmarks._forms import FORMS, WIDTH
from onnxtop.auditing import network
from onnxtop.auditing.constants import bad_constants
from onnxtop.auditing.describing import coverage_of
from onnxtop.auditing.layer_graph import describe
from onnxtop.auditing.options import AuditOptions
from onnxtop.comparison import constants, matching
from onnxtop.reader.account import account
from onnxtop.reader.constants import Constants
from onnxtop.reader.declared import Declared
from onnxtop.reader.layers import find_layers
from onnxtop.reader.loading import load
from onnxtop.reader.model import Model, Value
from onnxtop.reader.terms import types
from onnxtop.reader.terms.digests import digests_of
from onnxtop.reader.terms.interface import ports
from onnxtop.render import RenderOptions
from onnxtop.render.graph import svg, text
from onnxtop.results.graph import LayerGraph
from onnxtop.rules.differences import weights_moved
from onnxtop.rules.rule import Policy
from onnxtop.statistics.sketch import pack
from onnxtop.topology import bottleneck, deep_graph_persistence
from tests.render.conftest import build_report
from tests.rules.conftest import make_layer

OURS = (str(Path(onnxtop.__file__).parent), __file__)
N = 12
PAIRS = 0.05
"""Calls a pair of nodes, at most: what is done once there are so many nodes makes some."""

READ = (
    *("shared", "residual", "concat", "added", "inputs", "results", "states", "split", "adapted", "lookups"),
    *(
        "decoded",
        "unknown_beside",
        "cut",
        "branches",
        "functions",
        "namesakes",
        "fanned",
        "around",
        "turning",
    ),
    *("handed_on", "handed_far", "outcomes"),
)
DRAWN = ("residual", "concat", "cut")


Run = Callable[[], Any]


def calls(run: Run) -> int:
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


def a_pair(run: Callable[[int], Run], count: Callable[[Run], int] = calls) -> float:
    """Return how often something is called, or else counted, for each pair of nodes, when all is loaded."""
    run(N // 2)()
    one, two, four = (count(run(n)) for n in (N, 2 * N, 4 * N))
    return (four - 3 * two + 2 * one) / (6 * N * N)


class Tally:
    """What is looked at in a run, as counts that are put in say."""

    def __init__(self) -> None:
        self.looked_at = 0

    def of(self, run: Run) -> int:
        """Return what a run looks at."""
        self.looked_at = 0
        run()
        return self.looked_at

    def audits(self, form: str, folder: Path) -> float:
        """Return what audits of a form look at for each pair of nodes."""

        def run(n: int) -> Run:
            path = written(form, n, folder)
            return lambda: onnxtop.audit(path)

        return a_pair(run, self.of)


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
    digests_of(model, counts, "outline")
    network.measured_layers(connected, AuditOptions())
    assert connected is not None
    return describe("model", connected, found)


@pytest.mark.parametrize("form", READ)
def test_a_model_is_read_node_by_node(form: str, tmp_path: Path) -> None:
    def run(n: int) -> Run:
        model = load(written(form, n, tmp_path))
        return lambda: described(model)

    assert a_pair(run) < PAIRS


def test_what_a_choice_ends_with_is_not_searched_for_among_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tally, equal = Tally(), Value.__eq__

    def counted(value: Value, other: object) -> bool:
        tally.looked_at += 1
        return equal(value, other)

    monkeypatch.setattr(Value, "__eq__", counted)

    def run(n: int) -> Run:
        model = load(written("outcomes", n, tmp_path))
        return lambda: find_layers(model, Constants(model))

    assert a_pair(run, tally.of) < PAIRS


@pytest.mark.parametrize("render", [svg.render, text.render])
@pytest.mark.parametrize("form", DRAWN)
def test_a_graph_is_drawn_node_by_node(form: str, render: Callable[..., str], tmp_path: Path) -> None:
    def run(n: int) -> Run:
        graph = described(load(written(form, n, tmp_path)))
        return lambda: render(graph, RenderOptions(width=100))

    assert a_pair(run) < PAIRS


@pytest.mark.parametrize("form", ["residual", "apart", "states"])
def test_a_network_is_measured_layer_by_layer(
    form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What counts is how many links a forest is made of, and how many layers are looked at."""
    tally, forest = Tally(), bottleneck._forest

    def counted(links: Any, n_roots: int) -> Any:
        tally.looked_at += links.a.size + min(n_roots, links.a.size)
        return forest(links, n_roots)

    class Bundles(list[Any]):
        def __getitem__(self, at: Any) -> Any:
            tally.looked_at += 1
            return super().__getitem__(at)

        def __iter__(self) -> Iterator[Any]:
            tally.looked_at += len(self)
            return super().__iter__()

    paths = bottleneck.widest_paths
    monkeypatch.setattr(bottleneck, "_forest", counted)
    monkeypatch.setattr(bottleneck, "_MANY", 1)
    monkeypatch.setattr(
        deep_graph_persistence, "widest_paths", lambda n, bundles, *rest: paths(n, Bundles(bundles), *rest)
    )
    assert tally.audits(form, tmp_path) < PAIRS * WIDTH


def test_a_weight_used_again_and_again_is_followed_where_paths_got_wider(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tally, arrivals = Tally(), bottleneck._arrivals_listed

    def counted(*asked: Any) -> Any:
        came = arrivals(*asked)
        arrays = [*came, *(asked[-1] if isinstance(asked[-1], tuple) else asked)]
        tally.looked_at += sum(array.size for array in arrays if isinstance(array, np.ndarray))
        return came

    monkeypatch.setattr(bottleneck, "_arrivals_listed", counted)
    assert tally.audits("shared", tmp_path) < PAIRS * WIDTH


def test_inputs_and_outputs_are_not_searched_for_among_all() -> None:
    tally = Tally()

    class Name(str):
        __slots__ = ()
        __hash__ = str.__hash__

        def __eq__(self, other: object) -> bool:
            tally.looked_at += 1
            return str.__eq__(self, other)

    def run(n: int) -> Run:
        old, new = ([Declared(Name(f"{at + side}"), 1, None) for at in range(n)] for side in (0, 1))
        return lambda: ports("output", old, new)

    assert a_pair(run, tally.of) < PAIRS


@pytest.mark.parametrize(
    ("room", "once"), [(constants, "compare_constants"), (types, "infer")], ids=["constants", "types"]
)
def test_what_is_the_same_at_many_nodes_is_compared_once(
    room: Any, once: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tally, original = Tally(), getattr(room, once)

    def counted(*asked: Any) -> Any:
        tally.looked_at += 1
        return original(*asked)

    monkeypatch.setattr(room, once, counted)

    def compared(n: int) -> int:
        path = written("shared", n, tmp_path)
        changed = onnx.load(path)
        array = onnx.numpy_helper.to_array(changed.graph.initializer[0])
        changed.graph.initializer[0].CopyFrom(onnx.numpy_helper.from_array(array[::-1].copy(), "w0"))
        onnx.save(changed, tmp_path / "changed.onnx")
        return tally.of(lambda: onnxtop.diff(path, tmp_path / "changed.onnx"))

    assert 0 < compared(N) == compared(2 * N)


def test_layers_that_changed_altogether_are_not_compared_with_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matching, "_MOST", 4)

    def run(n: int) -> Run:
        old, new = (
            [
                matching.Candidate(
                    f"{name}.{number}", "Gemm", f"{name}.{number}", ((3, 3),), partial(list, [weights])
                )
                for number, weights in enumerate(np.random.default_rng(seed).standard_normal((n, 3, 3)))
            ]
            for seed, name in enumerate(("old", "new"))
        )
        return lambda: matching.match(old, new)

    assert a_pair(run) < 10 * PAIRS  # a pair that is compared makes some calls; how many orders fit is chance


def test_layers_that_lost_their_weights_are_not_compared_with_all_of_the_baseline() -> None:
    def run(n: int) -> Run:
        rng = np.random.default_rng(0)
        then, now = (
            build_report(*(make_layer(f"{k}", sketch=pack(rng.normal(size=(8, 8)))) for k in range(n)))
            for _ in range(2)
        )
        return lambda: list(weights_moved.find(now, Policy(baseline=then)))

    assert a_pair(run) < PAIRS


def test_what_is_compared_with_everything_is_told() -> None:
    def pairs(n: int) -> Run:
        return lambda: [calls.__name__ for one in range(n) for two in range(one) if _nothing()]

    def _nothing() -> bool:
        return False

    assert 0.4 < a_pair(pairs) < 0.6
