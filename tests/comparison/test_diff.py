"""Comparisons whose answer is known: planted changes, twins of the samples, brute force for the distance."""

import dataclasses
import itertools
import json

import numpy as np
import onnx
import pytest
from hypothesis import given, strategies as st
from onnx import numpy_helper

import onnxtop
from onnxtop.auditing import story as auditing_story
from onnxtop.auditing.options import AuditOptions
from onnxtop.comparison import gate, story
from onnxtop.comparison.alignment import align
from onnxtop.comparison.matching import Candidate, match, module_path
from onnxtop.comparison.measures import topology_change, weight_change
from onnxtop.comparison.options import DiffOptions, GateOptions
from onnxtop.errors import NothingToAnalyseError, UsageError
from onnxtop.reader import layers as reader_layers
from onnxtop.reader.loading import load
from onnxtop.render import RenderOptions, render
from onnxtop.render.diff.facts import answer
from onnxtop.results.diff import DiffSettings
from onnxtop.topology.bottleneck_distance import bottleneck_distance
from onnxtop.topology.dense import dense_forest
from onnxtop.topology.persistence import Diagram
from onnxtop.work.options import WorkOptions
from tests import faults
from tests.models import mlp, model, node, save, weights

SAMPLES = faults.SAMPLES
TRANSFORMER = faults.SUBJECTS[2]


def diagram(deaths):
    points = np.array([[1.0, death] for death in deaths]).reshape(-1, 2)
    return Diagram(points, np.zeros((len(points), 3), np.intp))


def brute_force(first, second):
    """Try every matching of two small diagrams, the diagonal included."""
    one, other = ([1 - death for death in deaths] for deaths in (first, second))
    best = np.inf
    for k in range(min(len(one), len(other)) + 1):
        for mine in itertools.combinations(range(len(one)), k):
            for theirs in itertools.permutations(range(len(other)), k):
                moved = [abs(one[i] - other[j]) for i, j in zip(mine, theirs, strict=True)]
                alone = [one[i] / 2 for i in range(len(one)) if i not in mine]
                alone += [other[j] / 2 for j in range(len(other)) if j not in theirs]
                best = min(best, max(moved + alone, default=0.0))
    return best


DEATHS = st.lists(st.integers(0, 16).map(lambda n: n / 16), max_size=4)


@given(DEATHS, DEATHS)
def test_bottleneck_distance_is_that_of_the_best_matching(first, second):
    assert bottleneck_distance(diagram(first), diagram(second)) == brute_force(first, second)


def test_bottleneck_distance_needs_equal_births():
    odd = Diagram(np.array([[1.0, 0.5], [0.75, 0.5]]), np.zeros((2, 3), np.intp))
    with pytest.raises(UsageError, match="several births"):
        bottleneck_distance(odd, diagram([]))


# Weights and their order

RNG = np.random.default_rng(5)
MATRIX = RNG.normal(size=(12, 9)).astype(np.float32)
SQUARE = RNG.normal(size=(10, 10)).astype(np.float32)
NOISE = 0.01 * RNG.normal(size=(12, 9)).astype(np.float32)
ROWS, COLUMNS = RNG.permutation(12), RNG.permutation(9)


@pytest.mark.parametrize(
    ("new", "order"),
    [
        (MATRIX, ""),
        (MATRIX + NOISE, ""),
        (MATRIX[ROWS] + NOISE, "rows permuted"),
        (MATRIX[:, COLUMNS] + NOISE, "columns permuted"),
        (MATRIX[ROWS][:, COLUMNS] + NOISE, "rows and columns permuted"),
        (MATRIX.T, "transposed"),
        (MATRIX[:, COLUMNS].T, "transposed, rows permuted"),
        (MATRIX[ROWS].T, "transposed, columns permuted"),
        (RNG.normal(size=(12, 9)), ""),
    ],
)
def test_order_is_found(new, order):
    found = align([MATRIX], [new])
    assert found.order == order
    if order:
        assert weight_change(found.blocks, [new]).relative < 0.05


def test_square_matrix_transposed():
    assert align([SQUARE], [SQUARE.T]).order == "transposed"


def test_rows_that_are_alike_stand_for_each_other():
    old = MATRIX.copy()
    old[[2, 5, 7]] = 0
    old[9] = old[1]
    found = align([old], [old[ROWS]])
    assert found.order == "rows permuted"
    assert found.residual == 0


def test_groups_in_another_order():
    groups = [RNG.normal(size=(3, 4)) for _ in range(5)]
    found = align(groups, [groups[i] for i in (3, 1, 4, 0, 2)])
    assert (found.order, found.residual) == ("groups permuted", 0)


def test_layers_that_cannot_be_compared():
    assert align([MATRIX], [SQUARE]).residual == np.inf
    assert align([MATRIX], [MATRIX * np.float32("nan")]).residual == np.inf
    assert align([MATRIX[:4], MATRIX[:5]], [MATRIX[:5], MATRIX[:4]]).residual == np.inf


@pytest.mark.parametrize("power", [1000, -1000])
def test_weights_whose_squares_no_double_holds(power: int) -> None:
    plain = MATRIX.astype(np.float64)
    old, new = np.ldexp(plain, power), np.ldexp(plain * 1.5, power)
    permuted = align([old], [old[ROWS]])
    assert permuted.residual < 1e-6
    assert permuted.order == "rows permuted"
    change, usual = weight_change([old], [new]), weight_change([plain], [plain * 1.5])
    assert dataclasses.astuple(change) == pytest.approx(dataclasses.astuple(usual))


def test_weight_change():
    old = np.array([[3.0, 4.0]])
    change = weight_change([old], [np.array([[3.0, 4.5]])])
    assert change.relative == pytest.approx(0.1)
    assert change.snr_db == pytest.approx(20)
    assert change.share == 0.5
    assert change.cosine == pytest.approx((9 + 18) / (5 * np.hypot(3, 4.5)))
    doubled = weight_change([MATRIX], [2 * MATRIX])
    assert (doubled.relative, doubled.factor) == (pytest.approx(1), pytest.approx(2))
    assert doubled.cosine == pytest.approx(1)
    same = weight_change([old], [old])
    assert (same.relative, same.snr_db, same.share) == (0, None, 0)


def test_a_factor_for_each_output():
    factors = np.linspace(0.5, 2, 9)
    assert weight_change([MATRIX], [MATRIX * factors]).per_output
    assert not weight_change([MATRIX], [MATRIX * 1.5]).per_output
    assert not weight_change([MATRIX], [MATRIX + 5 * NOISE]).per_output


def test_zero_and_not_finite_weights():
    zero = np.zeros_like(MATRIX)
    assert weight_change([zero], [zero]).relative == 0
    assert weight_change([zero], [MATRIX]).reason == "the old weights are all zero"
    assert weight_change([MATRIX], [zero]).relative == 1
    broken = MATRIX.copy()
    broken[0, 0] = np.nan
    assert weight_change([MATRIX], [broken]).reason == "not finite: 1 of the new weights"
    assert topology_change([MATRIX], [broken], None, None) == (None, None)


def test_the_tree_of_equal_weights_is_kept():
    tied = np.round(MATRIX)
    assert topology_change([MATRIX], [MATRIX], None, None) == (1.0, 0.0)
    assert topology_change([tied], [tied.copy()], None, None) == (1.0, 0.0)
    kept, distance = topology_change([MATRIX], [np.ones_like(MATRIX)], None, None)
    assert kept == 1.0  # every tree is a strongest one
    assert distance > 0.1


def test_the_tree_that_moved_and_the_distance_that_did_not():
    kept, distance = topology_change([MATRIX], [MATRIX[ROWS]], None, None)
    edges = [set(map(tuple, dense_forest([each]).edges.tolist())) for each in (MATRIX, MATRIX[ROWS])]
    assert kept == len(edges[0] & edges[1]) / len(edges[0]) < 1
    assert distance == 0


# Matching


def candidate(name, array, op_type="Gemm", weight=""):
    return Candidate(name, op_type, weight or f"{name}.w", (array.shape,), lambda: [array])


def pairs(old, new):
    return [(old[pair.old].name, new[pair.new].name, pair.by) for pair in match(old, new)]


def test_layers_are_matched_by_what_they_are_called_then_by_what_they_hold():
    arrays = [RNG.normal(size=(8, 8)) for _ in range(6)]
    old = [candidate(name, array) for name, array in zip("abcdef", arrays, strict=True)]
    new = [
        candidate("a", arrays[0]),
        candidate("/b/Gemm", arrays[1]),
        candidate("x", arrays[2], weight="c.w"),
        candidate("y", arrays[4][::-1] * 1.01),
        candidate("z", arrays[3].T),
        candidate("f", RNG.normal(size=(8, 9))),
    ]
    assert pairs(old, new) == [
        ("a", "a", "name"),
        ("b", "/b/Gemm", "module path"),
        ("c", "x", "weight name"),
        ("e", "y", "content"),
        ("d", "z", "content"),
        ("f", "f", "name"),
    ]


def test_what_is_left_is_matched_by_place():
    old = [candidate(name, RNG.normal(size=size)) for name, size in (("a", (4, 5)), ("b", (5, 6)))]
    new = [candidate(name, RNG.normal(size=size)) for name, size in (("p", (4, 5)), ("q", (6, 7)))]
    assert pairs(old, new) == [("a", "p", "place")]


@pytest.mark.parametrize(
    ("name", "op_type", "path"),
    [
        ("/hidden1/Gemm", "Gemm", "hidden1"),
        ("hidden1", "Gemm", "hidden1"),
        ("/lstm/LSTM.W.i", "LSTM", "lstm.W.i"),
        ("/a/MatMul_2", "com.microsoft.MatMul", "a"),
        ("Gemm", "Gemm", "Gemm"),
        ("", "Gemm", ""),
    ],
)
def test_module_path(name, op_type, path):
    assert module_path(name, op_type) == path


# Whole models


def planted(tmp_path, plant, twin=None, subject=TRANSFORMER, **options):
    paths = [faults.save(subject, each, tmp_path / f"{i}.onnx") for i, each in enumerate((twin, plant))]
    return onnxtop.diff(*paths, DiffOptions(**options))


def changed(diff):
    return {layer.name: layer for layer in diff.layers if layer.changes}


@pytest.mark.parametrize("fault", [each for each in faults.FAULTS if each.twin is None], ids=lambda f: f.name)
def test_planted_faults_change_their_layer_and_no_other(fault, tmp_path):
    diff = planted(tmp_path, fault.plant, settings=DiffSettings(tolerance=0.001))
    layers = {TRANSFORMER.layer, TRANSFORMER.other} if fault.name == "swapped" else {TRANSFORMER.layer}
    found = {name for name, layer in changed(diff).items() if layer.weights.relative != 0 or layer.order}
    assert found == layers


def test_two_layers_swapped_are_told(tmp_path):
    diff = planted(tmp_path, faults.swapped)
    found = changed(diff)
    assert answer(diff).endswith("; 2 with the weights of another")
    assert found[TRANSFORMER.layer].holds == TRANSFORMER.other
    assert found[TRANSFORMER.other].holds == TRANSFORMER.layer
    assert f"holds the weights that {TRANSFORMER.other} had" in found[TRANSFORMER.layer].changes


def test_folded_normalisation_is_told(tmp_path):
    factors = np.linspace(0.5, 2, 32)[:, None]  # outputs come first in the plan of a fault
    diff = planted(tmp_path, faults.in_the_weights(lambda array, _: array * factors))
    (layer,) = changed(diff).values()
    assert layer.weights.per_output
    assert layer.changes[0].endswith(": a factor for each output")
    assert "folded a BatchNorm" in diff.network.notes[0]


def test_transposed_weights_are_told(tmp_path):
    (layer,) = changed(planted(tmp_path, faults.in_the_weights(faults.transposed))).values()
    assert (layer.order, layer.weights.relative) == ("transposed", 0)
    accepted = planted(
        tmp_path, faults.in_the_weights(faults.transposed), settings=DiffSettings(permuted_ok=True)
    )
    assert not accepted.changed
    assert not all(layer.is_same for layer in accepted.layers)


def test_scale_of_codes(tmp_path):
    diff = planted(tmp_path, faults.rescaled(1.5), faults.quantised)
    layer = changed(diff)[TRANSFORMER.layer]
    assert layer.weights.factor == pytest.approx(1.5)
    assert "weights changed by 50 %: all of them times 1.5" in layer.changes


def test_tie_undone(tmp_path):
    diff = planted(tmp_path, faults.untied, faults.tied)
    assert diff.changed
    assert ("layer", True) in [(each.kind, each.counts) for each in diff.whole.changes]
    (layer,) = (layer for layer in diff.layers if layer.retied)
    assert layer.retied == "tie changed: weights used by 2 nodes, now by 1 node"
    assert [each.name for each in diff.appeared] == [TRANSFORMER.other]
    assert not diff.same_architecture


def test_quantised_twin_is_the_same_within_tolerance(tmp_path):
    diff = planted(tmp_path, faults.quantised)
    assert not diff.changed
    (layer,) = (layer for layer in diff.layers if layer.encoding != layer.old_encoding)
    assert layer.weights.snr_db > 30
    assert layer.notes == (f"encoding float32, now {layer.encoding}",)
    strict = planted(tmp_path, faults.quantised, settings=DiffSettings(tolerance=0.001))
    assert list(changed(strict)) == [TRANSFORMER.layer]


@pytest.mark.parametrize("kind", ["mlp", "transformer", "cnn"])
def test_exporters_agree(kind):
    diff = onnxtop.diff(SAMPLES / f"{kind}_torch_legacy.onnx", SAMPLES / f"{kind}_tensorflow.onnx")
    assert diff.same_architecture
    assert {layer.matched_by for layer in diff.layers} == {"content"}
    assert all(layer.weights.relative == 0 for layer in diff.layers)
    ordered = {layer.old_name: layer.order for layer in diff.layers if layer.order}
    assert ordered == ({"/output/Gemm": "rows permuted"} if kind == "cnn" else {})
    network = diff.network
    assert network.neural_persistence.old == pytest.approx(network.neural_persistence.new)


def test_checkpoints():
    folder = SAMPLES / "checkpoints"
    diff = onnxtop.diff(folder / "epoch_01.onnx", folder / "epoch_12.onnx")
    assert diff.changed
    assert answer(diff).startswith("same architecture; 3 of 3 layers changed; largest relative change ")
    assert not onnxtop.diff(folder / "epoch_11.onnx", folder / "epoch_12.onnx").changed
    assert all(layer.is_same for layer in onnxtop.diff(*[folder / "epoch_01.onnx"] * 2).layers)


def test_layers_that_come_go_and_grow(tmp_path):
    old, new = save(mlp(4, 6, 3), tmp_path, "a.onnx"), save(mlp(4, 6, 5, 2), tmp_path, "b.onnx")
    diff = onnxtop.diff(old, new)
    assert [layer.name for layer in diff.layers] == ["fc1", "fc2"]
    assert [each.name for each in diff.appeared] == ["fc3"]
    assert changed(diff)["fc2"].changes == ("size changed from 6 x 3 to 6 x 5",)
    assert answer(diff).startswith("another architecture: 1 layer appeared, 1 layer changed size; 1 of 2")


def test_permuted_neurons(tmp_path):
    proto = mlp(8, 16, 12, 4)
    order = np.random.default_rng(1).permutation(16)
    moved = onnx.ModelProto.FromString(proto.SerializeToString())
    for name, axis in (("fc1.weight", 0), ("fc1.bias", 0), ("fc2.weight", 1)):
        tensor = next(each for each in moved.graph.initializer if each.name == name)
        array = np.take(numpy_helper.to_array(tensor), order, axis)
        tensor.CopyFrom(numpy_helper.from_array(array, name))
    diff = onnxtop.diff(save(proto, tmp_path, "a.onnx"), save(moved, tmp_path, "b.onnx"))
    assert [layer.order for layer in diff.layers] == ["columns permuted", "rows permuted", ""]
    assert "every weight is still there, some in another order" in answer(diff)


def test_a_model_without_weights(tmp_path):
    proto = mlp(4, 3)
    empty = onnx.ModelProto.FromString(proto.SerializeToString())
    del empty.graph.node[:], empty.graph.initializer[:]
    empty.graph.node.append(onnx.helper.make_node("Relu", ["x"], ["y"]))
    with pytest.raises(NothingToAnalyseError, match="no weight tensor"):
        onnxtop.diff(save(proto, tmp_path, "a.onnx"), save(empty, tmp_path, "b.onnx"))


# Rendering


@pytest.fixture(scope="module")
def diffs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("diffs")
    twin = faults.save(TRANSFORMER, None, folder / "old.onnx")
    bad = faults.save(TRANSFORMER, faults.in_the_weights(faults.put(np.nan)), folder / "nan.onnx")
    return [
        onnxtop.diff(twin, bad),
        onnxtop.diff(twin, SAMPLES / "transformer_tensorflow.onnx"),
        onnxtop.diff(twin, SAMPLES / "cnn_jax.onnx"),
    ]


@pytest.mark.parametrize("width", [40, 60, 80, 120])
@pytest.mark.parametrize("unicode", [True, False])
def test_the_page_is_never_too_wide(diffs, width, unicode):
    for diff in diffs:
        page = render("diff", "terminal", diff, RenderOptions(width=width, unicode=unicode))
        assert max(map(len, page.splitlines())) <= width
        assert unicode or page.isascii()


def test_json_is_strict_and_whole(diffs):
    for diff in diffs:
        text = render("diff", "json", diff, RenderOptions())
        assert text == render("diff", "json", diff, RenderOptions())
        data = json.loads(text, parse_constant=lambda name: pytest.fail(name))
        assert data["changed"] == diff.changed
        assert len(data["layers"]) == len(diff.layers)
        names = {field.name for field in dataclasses.fields(diff.layers[0])} if diff.layers else set()
        assert all(set(layer) == names for layer in data["layers"])


def test_markdown_tables_are_whole(diffs):
    for diff in diffs:
        lines = render("diff", "markdown", diff, RenderOptions(all_rows=True)).splitlines()
        rows = [line for line in lines if line.startswith("|")]
        assert len(rows) == (len(diff.layers) + 2 if diff.layers else 0)
        assert len({line.count("|") for line in rows}) <= 1


def test_long_tables_show_what_changed_most(diffs):
    layers = tuple(dataclasses.replace(diffs[1].layers[0], name=f"l{i}", changes=()) for i in range(99))
    worst = dataclasses.replace(layers[70], changes=("odd",))
    long = dataclasses.replace(diffs[1], layers=(*layers[:70], worst, *layers[71:]))
    page = render("diff", "terminal", long, RenderOptions())
    assert "!  l70" in page
    assert "59 layers that changed least left out" in page
    assert render("diff", "terminal", long, RenderOptions(all_rows=True)).count("\n=  l") == 98


def test_what_audits_and_comparisons_share_is_handed_on(tmp_path, monkeypatch):
    values = {
        "allow_external": (str(tmp_path),),
        "max_download": 3.0,
        "limits": {"nodes": 99},
        "peepholes": True,
        "input_shapes": {"x": (2, 4)},
        "dims": {"m": 2},
        "work": WorkOptions(jobs=2),
    }
    both = [{each.name for each in dataclasses.fields(kind)} for kind in (AuditOptions, DiffOptions)]
    assert both[0] & both[1] == {*values, "running"}
    audits, comparisons = [], []

    def audited(file, options, **rest):
        audits.append(options)
        return auditing_story.audited(file, options, **rest)

    def verdict(old, new, options, **rest):
        comparisons.append(options)
        return story.verdict(old, new, options, **rest)

    monkeypatch.setattr(story, "audited", audited)
    monkeypatch.setattr(gate, "verdict", verdict)
    held = [{"w": weights(4, 3, seed=seed)} for seed in range(2)]
    paths = [
        str(
            save(
                model([node("MatMul", "x w")], each, {"x": ["n", 4], "z": ["m"]}), tmp_path, f"{number}.onnx"
            )
        )
        for number, each in enumerate(held)
    ]
    onnxtop.diff(*paths, DiffOptions(**values))
    onnxtop.check(paths[1], GateOptions(audit=AuditOptions(**values)), baseline=paths[0])
    assert len(audits) == 2
    assert len(comparisons) == 1
    for options in (*audits, *comparisons):
        assert {name: getattr(options, name) for name in values} == values


def test_each_file_is_loaded_once(tmp_path, monkeypatch):
    loaded = []

    def counting(path, **options):
        loaded.append(path)
        return load(path, **options)

    for module in (auditing_story, reader_layers):
        monkeypatch.setattr(module, "load", counting)
    paths = [str(save(mlp(6, 5, 4, seed=seed), tmp_path, f"{seed}.onnx")) for seed in range(2)]
    onnxtop.diff(*paths)
    assert [each.name for each in loaded] == paths
