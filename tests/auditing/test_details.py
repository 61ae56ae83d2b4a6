"""Details of layers against the weights and diagrams themselves, and on networks whose bars are known."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from onnxtop import render
from onnxtop.auditing.options import AuditOptions
from onnxtop.auditing.story import Audited, audit, audited
from onnxtop.cli import app
from onnxtop.results.details import LayerDetails, StrongWeight
from onnxtop.results.report import Report
from onnxtop.statistics.histogram import BINS, histogram
from onnxtop.testing import write_cnn, write_mlp
from onnxtop.topology.strongest import ALL, strongest_cells
from tests.models import mlp, model, node, save, weights

DETAILS = AuditOptions(details=True)

SAMPLES = ["mlp_torch_dynamo", "cnn_torch_dynamo", "lstm_torch_dynamo", "transformer_torch_dynamo"]


@pytest.fixture(scope="module", params=SAMPLES)
def whole(request: pytest.FixtureRequest) -> Audited:
    folder = Path(__file__).parents[2] / "sample_models"
    return audited(folder / f"{request.param}.onnx", DETAILS)


def details_of(report: Report) -> list[LayerDetails]:
    details = [layer.details for layer in report.layers if layer.details]
    assert len(details) == len(report.layers)
    return details


def test_bars_are_those_of_the_diagram(whole: Audited) -> None:
    for layer, details in zip(whole.report.layers, details_of(whole.report), strict=True):
        deaths = np.sort(whole.figures.layers[layer.name].diagram.points[:, 1])
        assert details.n_bars == len(deaths) == layer.n_in + layer.n_out - 1
        assert details.bars == tuple((1 - deaths)[np.array(details.ranks) - 1])
        assert len(details.ranks) == min(details.n_bars, 64)
        assert details.ranks == tuple(sorted({*details.ranks})) == tuple(sorted(details.ranks))
        assert (details.ranks[0], details.ranks[-1]) == (1, details.n_bars)
        assert layer.neural_persistence.diagram is whole.figures.layers[layer.name].diagram


def test_every_weight_is_in_one_bin(whole: Audited) -> None:
    for layer, details in zip(whole.layers, details_of(whole.report), strict=True):
        entries = np.concatenate([block.ravel() for block in layer.blocks()]).astype(np.float64)
        assert details.histogram is not None
        assert (details.histogram.low, details.histogram.high) == (entries.min(), entries.max())
        assert sum(details.histogram.counts) == layer.parameters
        assert np.abs(np.subtract(details.histogram.counts, np.histogram(entries, BINS)[0])).max() <= 2


def test_the_strongest_weights_are_where_they_are_said_to_be(whole: Audited) -> None:
    for layer, details in zip(whole.layers, details_of(whole.report), strict=True):
        entries = np.concatenate([np.abs(block).ravel() for block in layer.blocks()])
        assert [abs(each.value) for each in details.strongest] == np.sort(entries)[::-1][:10].tolist()
        if len(layer.blocks()) == 1:
            assert all(each.value == layer.matrix()[each.row, each.column] for each in details.strongest)


def test_bars_of_the_network_end_at_the_bottlenecks(whole: Audited) -> None:
    """All of them if there are ten or fewer, else the strongest."""
    diagram = whole.report.network.deep_graph_persistence.diagram
    for number, (layer, details) in enumerate(
        zip(whole.report.layers, details_of(whole.report), strict=True)
    ):
        ends = diagram.generators[diagram.generators[:, 0] == number, 1:].tolist()
        assert layer.deep_graph_persistence is not None
        assert layer.deep_graph_persistence.bars == len(ends)
        first = list(dict.fromkeys(map(tuple, ends)))[:10]
        assert [(each.row, each.column) for each in details.bottlenecks] == first
        assert [each.bars for each in details.bottlenecks] == [ends.count([*place]) for place in first]
        assert all(each.bars == ends.count([each.row, each.column]) for each in details.strongest)


def test_a_narrow_place_limits_every_bar_behind_it(tmp_path: Path) -> None:
    """Three inputs go through one neuron: each way is as wide as its own weight or the one behind it."""
    first, second = np.array([[8.0], [-4.0], [2.0]]), np.array([[5.0, -1.0]])
    write_mlp(tmp_path / "m.onnx", {"in": first, "out": second})
    options = dataclasses.replace(DETAILS, standardise=False)
    one, two = details_of(audit(tmp_path / "m.onnx", options))
    # S is 5 1 / 4 1 / 2 1 (in |w|): its tree has 5, 4, 2 and 1
    assert one.bottlenecks == (
        StrongWeight(1, 0, -4.0, "x[1]", "in[0]", 1),
        StrongWeight(2, 0, 2.0, "x[2]", "in[0]", 1),
    )
    assert two.bottlenecks == (
        StrongWeight(0, 0, 5.0, "in[0]", "out[0]", 1),
        StrongWeight(0, 1, -1.0, "in[0]", "out[1]", 1),
    )
    assert one.strongest[0] == StrongWeight(0, 0, 8.0, "x[0]", "in[0]", 0)


def test_channels_are_neurons_of_a_convolution(tmp_path: Path) -> None:
    kernels = {"one": np.zeros((2, 3, 1, 2)), "two": np.zeros((4, 1, 1, 1))}  # the second in two groups
    kernels["one"][1, 2, 0, 1], kernels["two"][3, 0, 0, 0] = -7, 5
    write_cnn(tmp_path / "m.onnx", kernels, image=(3, 1, 4))
    one, two = details_of(audit(tmp_path / "m.onnx", DETAILS))
    assert one.strongest[0] == StrongWeight(5, 1, -7.0, "x[2]", "one[1]")
    assert (two.strongest[0].row, two.strongest[0].column) == (1, 3)
    assert (two.strongest[0].source, two.strongest[0].target) == ("one[1]", "two[3]")


def test_what_no_input_reaches_has_numbers_for_names(tmp_path: Path) -> None:
    nodes = [node("MatMul", "x a", "y"), node("MatMul", "z b", "w")]
    tensors = {"a": weights(3, 2), "b": weights(2, 2), "z": np.ones((1, 2), np.float32)}
    report = audit(save(model(nodes, tensors), tmp_path), DETAILS)
    assert {each.source for each in report.layers[0].details.strongest} == {"x[0]", "x[1]", "x[2]"}
    for layer in report.layers[1:]:
        assert layer.details.strongest[0].source.startswith("input ")


@pytest.mark.parametrize("conv", ["flattened", "channels", "unrolled", "per-filter"])
def test_details_in_every_graph_of_a_convolution(tmp_path: Path, conv: Any) -> None:
    write_cnn(tmp_path / "m.onnx", [weights(4, 3, 3, 3), weights(6, 2, 1, 1)], image=(3, 5, 5))
    report = audit(tmp_path / "m.onnx", dataclasses.replace(DETAILS, conv=conv))
    for layer, details in zip(report.layers, details_of(report), strict=True):
        assert details.n_bars == (0 if conv == "per-filter" else layer.n_in + layer.n_out - 1)
        assert (details.null_low is None) == (layer.neural_persistence.null_std is None)
        assert sum(details.histogram.counts) == layer.parameters
        assert all(each.target.startswith(layer.name) for each in details.strongest)


def test_what_is_not_finite_has_no_details_but_its_place(tmp_path: Path) -> None:
    matrix = np.ones((3, 2))
    matrix[1, 1] = np.nan
    write_mlp(tmp_path / "m.onnx", [np.eye(3), matrix])
    whole, broken = details_of(audit(tmp_path / "m.onnx", DETAILS))
    assert broken == LayerDetails(0, (), ())
    assert whole.n_bars == 5


def test_a_quick_report_has_no_null_band(tmp_path: Path) -> None:
    path = save(mlp(9, 7, 5), tmp_path)
    quick = details_of(audit(path, dataclasses.replace(DETAILS, structure=False)))
    full = details_of(audit(path, DETAILS))
    assert [each.null_low for each in quick] == [each.null_high for each in quick] == [None, None]
    assert quick == [dataclasses.replace(each, null_low=None, null_high=None) for each in full]


def test_details_change_nothing_else(tmp_path: Path) -> None:
    path = save(mlp(9, 7, 5), tmp_path)
    plain, with_details = audit(path), audit(path, DETAILS)
    assert with_details.without_details == plain != with_details
    assert not {"details", "graph"} & {*plain.to_dict(), *plain.to_dict()["layers"][0]}
    again = Report.from_dict(json.loads(json.dumps(with_details.to_dict())))
    assert again.to_dict() == with_details.to_dict()
    assert again.graph == with_details.graph
    assert list(again.graph.nodes) == ["input:x", "layer:fc1", "layer:fc2", "output:y"]


def test_a_format_that_draws_details_changes_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save(mlp(9, 7, 5), tmp_path)
    seen = []
    monkeypatch.setattr("onnxtop.render.report.csv.render", lambda found, _: seen.extend(found) or "")

    def written(*more: str) -> tuple[str, str]:
        asked = ("-f", "jsonl", "-o", str(tmp_path / "r.jsonl"), "-f", "json")
        result = CliRunner().invoke(app, ["report", str(path), *asked, *more])
        assert result.exit_code == 0
        return result.stdout, (tmp_path / "r.jsonl").read_text()

    plain = written()
    csv = ("-f", "csv", "-o", str(tmp_path / "r.csv"))
    assert written(*csv) == plain
    monkeypatch.setattr(render, "DETAILED", ("csv",))
    monkeypatch.setattr("onnxtop.cli.verb.DETAILED", ("csv",))
    assert written(*csv) == plain
    assert [each.layers[0].details is None for each in seen] == [True, False]
    assert '"details"' not in plain[0]
    assert all('"details"' in text and '"bottlenecks"' in text for text in written("--details"))


# The parts


@pytest.mark.parametrize(
    ("entries", "counts"),
    [
        ([3.0, 3.0], (2,)),
        ([0.0], (1,)),
        ([-1.0, 1.0], (1, *([0] * (BINS - 2)), 1)),
        ([-1.7e308, 1.7e308], (1, *([0] * (BINS - 2)), 1)),
        ([0.0, 5e-324], (1, *([0] * (BINS - 2)), 1)),
        (np.arange(BINS), (1,) * BINS),
    ],
)
def test_histograms_known_beforehand(entries: Any, counts: tuple[int, ...]) -> None:
    found = histogram([np.array([entries], np.float64)])
    assert found is not None
    assert found.counts == counts


def test_a_histogram_of_large_and_small_blocks() -> None:
    rng = np.random.default_rng(0)
    blocks = [rng.standard_normal((500, 400)).T, rng.standard_normal((30, 20)), np.zeros((1, 2))]
    found = histogram(blocks)
    assert found is not None
    assert sum(found.counts) == 200_602
    assert found.counts == tuple(np.histogram(np.concatenate([b.ravel() for b in blocks]), BINS)[0].tolist())
    assert histogram([]) is None
    assert histogram([*blocks, np.array([[np.inf]])]) is None


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_strongest_cells_against_sorting(dtype: Any, turned: bool) -> None:
    rng = np.random.default_rng(0)
    large = rng.standard_normal((2 * ALL // 50, 700)).astype(dtype)
    blocks = [large.T if turned else large, rng.standard_normal((3, 4)).astype(dtype), large[:40, ::7] * 3]
    rows, columns, values = strongest_cells(blocks, 12)
    dense = np.zeros((sum(b.shape[0] for b in blocks), sum(b.shape[1] for b in blocks)))
    row = column = 0
    for block in blocks:
        dense[row : row + block.shape[0], column : column + block.shape[1]] = block
        row, column = row + block.shape[0], column + block.shape[1]
    assert np.abs(values).tolist() == np.sort(np.abs(dense), axis=None)[::-1][:12].tolist()
    assert dense[rows, columns].tolist() == values.tolist()
    assert len({*zip(rows.tolist(), columns.tolist(), strict=True)}) == 12


def test_few_and_equal_cells() -> None:
    rows, columns, values = strongest_cells([np.full((2, 2), -1.0)], 3)
    assert (rows.tolist(), columns.tolist(), values.tolist()) == ([0, 0, 1], [0, 1, 0], [-1.0] * 3)
    assert strongest_cells([np.array([[2.0]])], 3)[2].tolist() == [2.0]
    assert strongest_cells([], 3)[2].size == 0
