"""Whole models: the same network from every exporter, inputs and outputs, states, hubs, bad input."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import ModelProto, TensorProto, helper

from onnxtop.errors import UsageError
from onnxtop.reader.connectivity import Connected, connect
from onnxtop.reader.constants import Constants
from onnxtop.reader.lanes.arrays import Ids
from onnxtop.reader.lanes.builder import GraphBuilder
from onnxtop.reader.lanes.finish import Runs
from onnxtop.reader.layer import Layer, Skipped, WeightUse
from onnxtop.reader.layers import find_layers
from onnxtop.reader.limits import Limits
from onnxtop.reader.loading import load
from tests.conftest import SAMPLES
from tests.connectivity_truth import check_truth, connected, reach_table, reachable
from tests.models import MICROSOFT, graph, mlp, model, node, save, weights
from tests.test_connectivity_corpus import check_graph

ALL = sorted(SAMPLES.glob("*.onnx"))


def build(proto: ModelProto, folder: Path, **options: Any) -> Connected:
    found = connected(save(proto, folder), **options)
    check_graph(found)
    return found


def form(found: Connected) -> Any:
    """Return what twins have in common: sizes, and how many outputs each input reaches."""
    graph = found.graph
    blocks = sorted((len(block.rows), len(block.columns)) for block in graph.blocks)
    reach = sorted(len(outputs) for outputs in reach_table(graph).values())
    return len(graph.inputs), len(graph.outputs), blocks, len(graph.structural), len(graph.skips), reach


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.stem)
def test_a_sample_model_is_exact_and_true(path: Path) -> None:
    found = connected(path)
    check_graph(found)
    assert found.exact
    assert found.hubs == ()
    looked, hit = check_truth(path)
    assert looked == hit > 0


@pytest.mark.parametrize(
    ("family", "inputs", "outputs"),
    [("mlp", 64, 10), ("cnn", 1, 10), ("transformer", 8, 10), ("lstm", 8, 10)],
)
def test_exporters_agree(family: str, inputs: int, outputs: int) -> None:
    forms = {path.stem: form(connected(path)) for path in ALL if path.stem.startswith(family)}
    assert len(forms) >= 2
    first = next(iter(forms.values()))
    assert first[:2] == (inputs, outputs)
    assert set(first[-1]) == {outputs}
    assert all(other == first for other in forms.values()), forms


def test_layers_come_first_and_the_layer_graph_is_a_chain(tmp_path: Path) -> None:
    found = build(mlp(4, 3, 2), tmp_path)
    assert [weights.name for weights in found.graph.layers] == ["fc1", "fc2"]
    assert list(found.layer_graph.edges) == [
        ("layer:fc1", "layer:fc2"),
        ("layer:fc2", "output:y"),
        ("input:x", "layer:fc1"),
    ]
    assert [(run.kind, run.name, run.count) for run in found.vertices] == [
        ("input", "x", 4),
        ("layer", "fc1", 3),
        ("layer", "fc2", 2),
    ]
    assert found.lanes["x"].tolist() == [[0, 1, 2, 3]]
    assert found.lanes["y"].tolist() == [[7, 8]]
    assert found.assumed == {"x": (2, 4)}


def test_a_huge_batch_costs_nothing(tmp_path: Path) -> None:
    proto = model([node("Gemm", "x w", "y")], {"w": weights(3, 2)}, {"x": [789_444_000, 3]})
    assert build(proto, tmp_path).graph.n_vertices == 5


def test_images_of_an_mlp_keep_their_pixels(tmp_path: Path) -> None:
    proto = model(
        [node("Flatten", "x", "f"), node("Gemm", "f w", "y")], {"w": weights(24, 2)}, {"x": ["N", 2, 3, 4]}
    )
    found = build(proto, tmp_path)
    assert found.lanes["x"].shape == (1, 2, 3, 4)
    assert len(found.graph.inputs) == 24


def test_a_row_that_becomes_an_image_keeps_its_channels(tmp_path: Path) -> None:
    held = {"s": np.array([-1, 3, 4, 4], np.int64), "w": weights(5, 3, 2, 2)}
    proto = model([node("Reshape", "x s", "i"), node("Conv", "i w", "y")], held, {"x": ["N", 48]})
    found = build(proto, tmp_path)
    assert len(found.graph.inputs) == 3
    assert np.array_equal(found.lanes["x"][0], np.repeat(found.graph.inputs, 16))


def test_channels_last_is_channels_first(tmp_path: Path) -> None:
    held = {"w": weights(4, 3, 2, 2), "v": weights(2, 4)}
    tail = [
        node("GlobalAveragePool", "c", "p"),
        node("Flatten", "p", "f"),
        node("Gemm", "f v", "y", transB=1),
    ]
    first = build(model([node("Conv", "x w", "c"), *tail], held, {"x": [1, 3, 6, 6]}), tmp_path)
    turned = [node("Transpose", "x", "t", perm=[0, 3, 1, 2]), node("Conv", "t w", "c"), *tail]
    last = build(model(turned, held, {"x": [1, 6, 6, 3]}), tmp_path)
    assert form(first) == form(last)
    assert last.lanes["x"].shape == (1, 1, 1, 3)


def test_a_weight_tells_the_size_of_an_open_axis(tmp_path: Path) -> None:
    nodes = [node("Sub", "x m", "c"), node("Gemm", "c w", "y", transB=1)]
    proto = model(nodes, {"m": weights(7), "w": weights(2, 7)}, {"x": [None, None]})
    found = build(proto, tmp_path)
    assert found.exact
    assert len(found.graph.inputs) == 7


def test_an_input_without_a_shape(tmp_path: Path) -> None:
    found = build(model([node("Gemm", "x w", "y")], {"w": weights(3, 2)}, {"x": None}), tmp_path)
    assert (found.exact, len(found.graph.inputs), len(found.graph.outputs)) == (True, 3, 2)


@pytest.mark.parametrize("op", ["MatMul", "MatMulInteger"])
def test_a_product_tells_the_rank_of_an_input_without_a_shape(op: str, tmp_path: Path) -> None:
    """Codes have as many neurons as numbers, where a product is the first that says how many."""
    if op == "MatMul":
        proto = model([node("MatMul", "x w", "y")], {"w": weights(3, 2)}, {"x": None})
    else:
        nodes = [node("DynamicQuantizeLinear", "x", "a s z"), node("MatMulInteger", "a w z", "y")]
        proto = model(nodes, {"w": np.arange(6, dtype=np.int8).reshape(3, 2)}, {"x": None})
    found = build(proto, tmp_path)
    assert (len(found.graph.inputs), len(found.graph.outputs)) == (3, 2)


def test_given_sizes_are_taken(tmp_path: Path) -> None:
    proto = model([node("Relu", "x", "y")], None, {"x": ["N", "length"]})
    assert len(build(proto, tmp_path).graph.inputs) == 1
    assert len(build(proto, tmp_path, dims={"length": 6}).graph.inputs) == 6
    assert len(build(proto, tmp_path, input_shapes={"x": [2, 3]}).graph.inputs) == 6


def test_inputs_and_outputs_by_name(tmp_path: Path) -> None:
    nodes = [node("Gemm", "x w", "h"), node("Gemm", "z w", "g"), node("Add", "h g", "y")]
    proto = model(nodes, {"w": weights(3, 2)}, {"x": [1, 3], "z": [1, 3]})
    assert len(build(proto, tmp_path).graph.inputs) == 6
    found = build(proto, tmp_path, inputs=["z"], outputs=["h"])
    assert (len(found.graph.inputs), len(found.graph.outputs)) == (3, 2)
    assert not any(reach_table(found.graph).values())
    with pytest.raises(UsageError, match="'nothing'"):
        connected(save(proto, tmp_path), outputs=["nothing"])
    with pytest.raises(UsageError, match="'y'"):
        connected(save(proto, tmp_path), inputs=["y"])


def tokens(*nodes: Any, held: dict[str, Any], more: dict[str, Any] | None = None) -> ModelProto:
    proto = model(nodes, held, more or {})
    proto.graph.input.append(helper.make_tensor_value_info("t", TensorProto.INT64, ["N", "T"]))
    return proto


def test_an_embedding_has_its_vocabulary_as_inputs(tmp_path: Path) -> None:
    held = {"e": weights(9, 4), "w": weights(4, 2)}
    found = build(tokens(node("Gather", "e t", "m"), node("MatMul", "m w", "y"), held=held), tmp_path)
    assert [(run.kind, run.count) for run in found.vertices] == [
        ("vocabulary", 9),
        ("layer", 4),
        ("layer", 2),
    ]
    assert found.lanes["y"].shape == (1, 1, 2)
    assert form(found)[:3] == (9, 2, [(4, 2), (9, 4)])


def test_a_tied_head_is_the_same_layer_turned(tmp_path: Path) -> None:
    nodes = [node("Gather", "e t", "m"), node("Transpose", "e", "f"), node("MatMul", "m f", "y")]
    found = build(tokens(*nodes, held={"e": weights(9, 4)}), tmp_path)
    first, second = found.graph.layers
    assert first.name == second.name
    assert np.array_equal(first.read()[0], second.read()[0].T)
    assert [(block.layer, len(block.rows)) for block in found.graph.blocks] == [(0, 9), (1, 4)]


def test_codes_are_inputs_one_by_one(tmp_path: Path) -> None:
    held = {"d": np.array([6], np.int64), "v": np.array([0, 1], np.float32), "w": weights(6, 2)}
    found = build(tokens(node("OneHot", "t d v", "m"), node("MatMul", "m w", "y"), held=held), tmp_path)
    assert form(found)[:3] == (6, 2, [(6, 2)])


def test_a_comparison_with_all_codes_is_one_hot(tmp_path: Path) -> None:
    nodes = [node("Unsqueeze", "t a", "u"), node("Equal", "u r", "q"), node("Cast", "q", "m", to=1),
             node("MatMul", "m w", "y")]  # fmt: skip
    held = {"a": np.array([-1], np.int64), "r": np.arange(6), "w": weights(6, 2)}
    assert form(build(tokens(*nodes, held=held), tmp_path))[:3] == (6, 2, [(6, 2)])


def test_bytes_that_meet_weights_are_data(tmp_path: Path) -> None:
    proto = model(
        [node("Cast", "x", "f", to=1), node("Gemm", "f w", "y")], {"w": weights(3, 2)}, {"x": [1, 3]}
    )
    for kind in (TensorProto.UINT8, TensorProto.INT64):
        proto.graph.input[0].type.tensor_type.elem_type = kind
        assert len(build(proto, tmp_path).graph.inputs) == 3


def test_one_number_that_meets_a_weight_is_data(tmp_path: Path) -> None:
    nodes = [node("Cast", "x", "f", to=1), node("Gemm", "f w", "y")]
    proto = model(nodes, {"w": weights(1, 2)}, {"x": [1, 1]})
    proto.graph.input[0].type.tensor_type.elem_type = TensorProto.INT64
    assert len(build(proto, tmp_path).graph.inputs) == 1


def test_labels_are_no_outputs(tmp_path: Path) -> None:
    nodes = [node("Gemm", "x w", "y"), node("ArgMax", "y", "label", axis=1)]
    proto = model(nodes, {"w": weights(3, 4)}, {"x": [1, 3]}, ["y", "label"])
    proto.graph.output[1].type.tensor_type.elem_type = TensorProto.INT64
    assert len(build(proto, tmp_path).graph.outputs) == 4
    del proto.graph.output[0]
    assert len(build(proto, tmp_path).graph.outputs) == 1  # better than none


def test_states_are_recurrence(tmp_path: Path) -> None:
    held = {"w": weights(1, 6, 4), "r": weights(1, 6, 2)}
    proto = model([node("GRU", "x w r - - h", "y hn", hidden_size=2)], held,
                  {"x": [5, 1, 4], "h": [1, 1, 2]}, ["y", "hn"])  # fmt: skip
    found = build(proto, tmp_path)
    assert (len(found.graph.inputs), len(found.graph.outputs)) == (4, 2)
    assert "state h and hn, read as recurrence" in found.notes
    before, after = found.lanes["h"].ravel(), found.lanes["y"].ravel()
    assert set(after.tolist()) <= reachable(found.graph, int(before[0]))
    assert int(before[0]) in reachable(found.graph, int(after[0]))


def test_a_cache_that_grows_is_a_state(tmp_path: Path) -> None:
    nodes = [node("MatMul", "x w", "k"), node("Concat", "past k", "present", axis=1),
             node("ReduceMean", "present a", "y", keepdims=0)]  # fmt: skip
    proto = model(nodes, {"w": weights(3, 2), "a": np.array([1], np.int64)},
                  {"x": [1, 1, 3], "past": [1, "P", 2]}, ["y", "present"])  # fmt: skip
    for output, shape in zip(proto.graph.output, ([1, 2], [1, "Q", 2]), strict=True):
        output.CopyFrom(helper.make_tensor_value_info(output.name, TensorProto.FLOAT, shape))
    found = build(proto, tmp_path)
    assert (len(found.graph.inputs), len(found.graph.outputs)) == (3, 2)
    assert found.exact


def test_states_of_layers_are_told_apart(tmp_path: Path) -> None:
    """No weight reads the first layer's state and the second's alike."""
    held = {
        "w": weights(1, 6, 4), "r": weights(1, 6, 2), "v": weights(1, 6, 2), "q": weights(1, 6, 2, seed=1),
        "0": np.array([0]), "1": np.array([1]), "2": np.array([2]), "s": np.array([1]),
    }  # fmt: skip
    nodes = [
        node("Slice", "h 0 1 0", "h1"), node("Slice", "h 1 2 0", "h2"),
        node("GRU", "x w r - - h1", "a", hidden_size=2), node("Squeeze", "a s", "b"),
        node("GRU", "b v q - - h2", "y", hidden_size=2),
    ]  # fmt: skip
    proto = model(nodes, held, {"x": [5, 3, 4], "h": [2, 3, 2]})
    found = build(proto, tmp_path)
    assert (found.exact, len(found.graph.inputs)) == (True, 4 + 2 * 2)
    assert found.lanes["h"].shape == (2, 1, 2)


def test_lengths_of_sequences_are_no_data(tmp_path: Path) -> None:
    held = {"w": weights(1, 6, 4), "r": weights(1, 6, 2)}
    proto = model([node("GRU", "x w r - n", "y", hidden_size=2)], held, {"x": [5, 3, 4], "n": [3]})
    proto.graph.input[1].type.tensor_type.elem_type = TensorProto.INT32
    found = build(proto, tmp_path)
    assert (found.exact, set(found.lanes)) == (True, {"x", "y"})


def test_a_stem_of_slices_keeps_its_channels(tmp_path: Path) -> None:
    """Every other row and column, four times, is how some write a convolution with a stride of 2."""
    held = {"w": weights(4, 12, 3, 3), "a": np.array([2, 3]), "e": np.array([8, 8]), "t": np.array([2, 2])}
    cuts = []
    for place, begin in enumerate(((0, 0), (1, 0), (0, 1), (1, 1))):
        held[f"b{place}"] = np.array(begin)
        cuts.append(node("Slice", f"x b{place} e a t", f"s{place}"))
    nodes = [*cuts, node("Concat", "s0 s1 s2 s3", "m", axis=1), node("Conv", "m w")]
    found = build(model(nodes, held, {"x": [1, 3, 8, 8]}), tmp_path)
    assert len(found.graph.inputs) == 3


def test_rows_that_a_later_weight_shares(tmp_path: Path) -> None:
    """Two activations are multiplied; the weight behind them tells that the batch shares its neurons."""
    nodes = [node("MatMul", "x z", "m"), node("Gemm", "m w")]
    found = build(model(nodes, {"w": weights(4, 2)}, {"x": [5, 3], "z": [3, 4]}), tmp_path)
    assert found.lanes["x"].shape == (1, 3)
    assert found.lanes["y"].shape == (1, 2)
    assert found.notes == ()


def test_an_open_axis_that_is_told_behind_a_reshape(tmp_path: Path) -> None:
    held = {"s": np.array([0, -1, 1, 1]), "w": weights(5, 3, 1, 1), "k": weights(2, 5, 1, 1)}
    nodes = [
        node("Conv", "x w", "h"),
        node("Reshape", "d s", "r"),
        node("Mul", "h r", "m"),
        node("Conv", "m k"),
    ]
    found = build(model(nodes, held, {"x": ["N", 3, 8, 8], "d": ["N", "bits"]}), tmp_path)
    assert (found.exact, len(found.graph.inputs)) == (True, 3 + 5)
    assert found.assumed["d"] == (2, 5)


def test_skips_are_the_earlier_operands(tmp_path: Path) -> None:
    nodes = [node("Gemm", "x a", "h"), node("Relu", "h", "r"), node("Add", "r x", "s"),
             node("Sigmoid", "s", "g"), node("Gemm", "g b", "k"), node("Mul", "k s", "y")]  # fmt: skip
    proto = model(nodes, {"a": weights(3, 3), "b": weights(3, 3)}, {"x": [1, 3]})
    graph = build(proto, tmp_path).graph
    assert set(graph.skips[:, 0].tolist()) == set(graph.inputs.tolist())
    assert (len(graph.skips), len(graph.structural)) == (3, 12)


@pytest.mark.parametrize("seed", range(8))
def test_skips_of_random_graphs_are_those_of_whole_sets_of_ancestors(seed: int) -> None:
    rng = np.random.default_rng(seed)
    builder = GraphBuilder(Limits())
    feeding: dict[int, set[int]] = {}
    sums: dict[int, set[int]] = {}
    for run in range(60):
        made = int(builder.new(1, "join", f"run {run}")[0])
        earlier = rng.choice(run, min(run, 2), replace=False, p=_late(run)) if run else []
        sums[made] = set(map(int, earlier)) if rng.random() < 0.5 else set()
        for source in earlier:
            builder.connect(np.array([source]), np.array([made]), sum_=bool(sums[made]))
        feeding[made] = set(map(int, earlier))
    before: dict[int, set[int]] = {}
    for run, held in feeding.items():
        before[run] = held.union(*(before[each] for each in held))
    wanted = {
        (one, run)
        for run, held in sums.items()
        for one in held
        if any(one in before[other] for other in held)
    }
    assert wanted
    assert set(map(tuple, Runs(builder).skip_edges().tolist())) == wanted


def _late(run: int) -> Ids:
    """Return weights that choose near runs mostly, far ones now and then."""
    weights = 0.7 ** np.arange(run)[::-1] + 0.01
    return weights / weights.sum()


def test_two_ways_of_one_input_are_no_skip(tmp_path: Path) -> None:
    nodes = [node("Gemm", "x a", "h"), node("Gemm", "x b", "g"), node("Add", "h g", "y")]
    proto = model(nodes, {"a": weights(3, 3), "b": weights(3, 3)}, {"x": [1, 3]})
    assert build(proto, tmp_path).graph.skips.shape == (0, 2)


@pytest.mark.parametrize("shift", ["Sub", "Neg"])
def test_a_layer_norm_written_out_is_elementwise(shift: str, tmp_path: Path) -> None:
    mean = [node("ReduceMean", "h a", "m")]
    negative = [node("Neg", "m", "n"), node("Add", "h n", "c")]
    centre = [node("Sub", "h m", "c")] if shift == "Sub" else negative
    nodes = [node("Gemm", "x w", "h"), *mean, *centre, node("Mul", "c c", "q"),
             node("ReduceMean", "q a", "v"),
             node("Add", "v e", "u"), node("Sqrt", "u", "d"), node("Div", "c d", "y")]  # fmt: skip
    held = {"w": weights(3, 4), "a": np.array([-1], np.int64), "e": np.array(1e-5, np.float32)}
    found = build(model(nodes, held, {"x": [1, 3]}), tmp_path)
    assert found.exact
    assert found.graph.structural.size == 0
    assert found.lanes["y"].tolist() == [[3, 4, 5, 6]]
    assert "normalisations written out, read as elementwise (2 times)" in found.notes


def test_a_mean_that_is_added_is_no_normalisation(tmp_path: Path) -> None:
    nodes = [node("ReduceMean", "x a", "m"), node("Add", "x m", "y")]
    found = build(model(nodes, {"a": np.array([-1], np.int64)}, {"x": [1, 3]}), tmp_path)
    assert {len(ends) for ends in reach_table(found.graph).values()} == {3}


def test_an_unknown_operation_is_a_hub(tmp_path: Path) -> None:
    nodes = [node("Gemm", "x w", "h"), node("house.Mystery", "h", "g", name="what"), node("Gemm", "g v", "y")]
    found = build(model(nodes, {"w": weights(3, 4), "v": weights(4, 2)}, {"x": [1, 3]}), tmp_path)
    assert not found.exact
    assert len(found.hubs) == 1
    assert found.hubs[0].startswith("house.Mystery what: ")
    assert {len(ends) for ends in reach_table(found.graph).values()} == {2}
    assert "hub:what" in found.layer_graph.nodes


@pytest.mark.parametrize(
    ("op", "operands"),
    [
        ("MatMul", "x m"),
        ("Gemm", "x m b"),
        ("Conv", "p m"),
        ("Einsum", "x m"),
        ("Add", "x m"),
        ("MatMul", "m x"),
    ],
)
def test_weights_that_are_not_read_are_a_hub_wherever_they_come_from(
    op: str, operands: str, tmp_path: Path
) -> None:
    """The operand is no constant: it changes with another input, and carries weights all the same."""
    attributes = {"equation": "ij,jk->ik"} if op == "Einsum" else {}
    nodes = [
        node("Mul", "w s", "m"),
        node("Reshape", "x shape", "p"),
        node(op, operands, "y", name="user", **attributes),
    ]
    held = {"w": weights(*((4, 4, 1) if op == "Conv" else (4, 4))), "b": weights(4)}
    held["shape"] = np.array([1, 4, 4], np.int64)
    path = save(model(nodes, held, {"x": [4, 4], "s": [1]}), tmp_path)
    loaded = load(path)
    constants = Constants(loaded)
    user = next(each for each in loaded.nodes if each.origin.name == "user")
    moving = next(value for value in user.inputs if value is not None and value.name == "m")
    use = WeightUse(user, moving, reason="it changes as the model runs")
    unread = Skipped("w", op, "another reason", "w", 16, (use,), moving)
    found = connect(loaded, constants, [*find_layers(loaded, constants), unread])
    assert found.hubs == (f"{op} user: it changes as the model runs",)
    assert set(reach_table(found.graph)) == {*found.lanes["x"].ravel().tolist(), *found.lanes["s"].tolist()}


def test_weights_that_are_not_read_count_though_no_input_leads_through_them(tmp_path: Path) -> None:
    """They are factors of what the input makes, and may be zeros."""
    body = graph(
        [node("Identity", "c", "d"), node("Sin", "s", "t")],
        None, {"i": [], "c": [], "s": [4, 3]}, ["d", "t"], name="body",
    )  # fmt: skip
    for item, kind in zip((*body.input[:2], body.output[0]), (7, 9, 9), strict=True):
        item.type.tensor_type.elem_type = kind
    held = {"m": np.array(3, np.int64), "go": np.array(True), "w": weights(4, 3), "u": weights(3, 2)}
    loop, mystery = (
        node("Loop", "m go w", "v", name="maker", body=body),
        node("acme.Op", "w", "v", name="maker"),
    )
    product, end = node("MatMul", "x v", "h"), node("MatMul", "h u", "y")
    looped = build(model([loop, product, end], held, {"x": [1, 4]}), tmp_path)
    scaled = build(model([mystery, node("Mul", "x v", "h"), end], held, {"x": [4, 3]}), tmp_path)
    assert [hub.split(":")[0] for hub in (*looped.hubs, *scaled.hubs)] == ["Loop maker", "acme.Op maker"]
    unused = build(model([mystery, node("MatMul", "x u", "y")], held, {"x": [1, 3]}), tmp_path)
    assert unused.exact


def test_a_use_that_is_not_read_is_a_hub_though_others_are(tmp_path: Path) -> None:
    nodes = [node("MatMul", "x w", "h"), node("MatMul", "h w", "y", name="other")]
    path = save(model(nodes, {"w": weights(3, 3)}, {"x": [1, 3]}), tmp_path)
    loaded = load(path)
    constants = Constants(loaded)
    (layer,) = find_layers(loaded, constants)
    assert isinstance(layer, Layer)
    one, other = layer.used_by
    odd = replace(layer, used_by=(one, replace(other, reading=None, reason="who knows how")))
    found = connect(loaded, constants, [odd])
    assert found.hubs == ("MatMul other: who knows how",)
    assert connect(loaded, constants, [layer]).exact


def test_a_loop_that_changes_weights_is_a_hub(tmp_path: Path) -> None:
    body = graph(
        [node("Identity", "c", "d"), node("Sin", "s", "t"), node("MatMul", "x s", "p")],
        None, {"i": [], "c": [], "s": [3, 3]}, ["d", "t", "p"], name="body",
    )  # fmt: skip
    for item, kind in zip((*body.input[:2], body.output[0]), (7, 9, 9), strict=True):
        item.type.tensor_type.elem_type = kind
    held = {"m": np.array(3, np.int64), "go": np.array(True), "w": weights(3, 3)}
    nodes = [node("Loop", "m go w", "last y", name="loop", body=body)]
    found = build(model(nodes, held, {"x": [1, 3]}), tmp_path)
    assert not found.exact
    assert found.hubs[0].startswith("Loop loop: ")


def test_what_a_rule_does_not_follow_is_a_hub(tmp_path: Path) -> None:
    """The lengths are computed from z, the number that is padded with as well."""
    nodes = [
        node("Cast", "z", "n", to=TensorProto.INT64),
        node("ReverseSequence", "x n", "r", time_axis=1, batch_axis=0, name="turn"),
        node("Pad", "r p v", "y", name="pad"),
    ]
    held = {"p": np.array([0, 0, 0, 2], np.int64)}
    found = build(model(nodes, held, {"x": [2, 3], "z": [2], "v": []}), tmp_path)
    assert [hub.split(":")[0] for hub in found.hubs] == ["ReverseSequence turn", "Pad pad"]
    everything = {vertex for ids in found.lanes.values() for vertex in ids.ravel().tolist()}
    assert set(reach_table(found.graph)) == everything - set(found.graph.outputs.tolist())
    assert all(len(ends) > 0 for ends in reach_table(found.graph).values())


def test_a_sequence_that_is_put_together_joins_what_was_cut(tmp_path: Path) -> None:
    nodes = [
        node("SplitToSequence", "x n", "s", axis=1, name="cut"),
        node("ConcatFromSequence", "s", "c", axis=1),
        node("MatMul", "c w", "y"),
    ]
    held = {"n": np.array(3), "w": weights(6, 2)}
    found = build(model(nodes, held, {"x": [1, 6]}), tmp_path)
    assert not found.exact
    assert any(hub.startswith("SplitToSequence cut") for hub in found.hubs)


@pytest.mark.parametrize(
    "chosen",
    [
        [node("Gather", "x i", "y", axis=1)],
        [node("GatherElements", "x i", "y", axis=1)],
        [node("Unsqueeze", "i one", "k"), node("GatherND", "t k", "y")],
        [node("ScatterElements", "x i u", "y", axis=1)],
        [node("ScatterND", "t i v", "y")],
    ],
    ids=lambda nodes: nodes[-1].op_type,
)
def test_an_index_that_is_computed_counts(chosen: list[Any], tmp_path: Path) -> None:
    nodes = [node("ArgMax", "z", "i", axis=1), node("Transpose", "x", "t", perm=[1, 0]), *chosen]
    held = {
        "u": np.ones((1, 1), np.float32),
        "v": np.ones((1, 1), np.float32),
        "one": np.array([1], np.int64),
    }
    found = build(model(nodes, held, {"x": [1, 4], "z": [1, 3]}), tmp_path)
    ends = set(found.graph.outputs.tolist())
    assert found.exact
    for name in ("x", "z"):
        for vertex in found.lanes[name].ravel().tolist():
            assert reachable(found.graph, vertex) & ends


def test_the_condition_of_an_if_counts(tmp_path: Path) -> None:
    branches = {
        "then_branch": graph([node("MatMul", "x w", "t")], None, {}, ["t"], name="then"),
        "else_branch": graph([node("Identity", "x", "e")], None, {}, ["e"], name="else"),
    }
    nodes = [
        node("ReduceSum", "z", "s", keepdims=0),
        node("Greater", "s zero", "c"),
        node("If", "c", "y", **branches),
    ]
    held = {"w": weights(3, 3), "zero": np.float32(0)}
    found = build(model(nodes, held, {"x": [1, 3], "z": [2]}), tmp_path)
    table = reach_table(found.graph)
    assert {len(table[vertex]) for vertex in found.lanes["z"].tolist()} == {3}


def test_a_hub_beside_the_way_does_not_matter(tmp_path: Path) -> None:
    nodes = [node("Gemm", "x w", "y"), node("house.Mystery", "y", "unused")]
    assert build(model(nodes, {"w": weights(3, 4)}, {"x": [1, 3]}), tmp_path).exact


def test_a_weight_that_is_not_read_is_a_hub(tmp_path: Path) -> None:
    nodes = [node(f"{MICROSOFT}.MatMulBnb4", "x w s", "y", K=8, N=4)]
    held = {"w": np.ones((2, 8), np.uint8), "s": weights(1)}
    found = build(model(nodes, held, {"x": [1, 8]}), tmp_path)
    assert not found.exact


def test_layers_that_nothing_reaches_are_visible(tmp_path: Path) -> None:
    nodes = [node("Gemm", "x w", "y", name="near"), node("Gemm", "c v", "z", name="far")]
    held = {"w": weights(3, 2), "v": weights(2, 2), "c": weights(1, 2)}
    found = build(model(nodes, held, {"x": [1, 3]}, ["y", "z"]), tmp_path)
    assert "layer:near" in found.layer_graph.nodes
    assert len(found.graph.outputs) == 2


BAD = {
    "input to output": model([], None, {"x": [1, 3]}, ["x"]),
    "nothing": model([], None, {}, []),
    "constant output": model([node("Relu", "c", "y")], {"c": weights(3)}, {"x": [1, 3]}),
    "dangling": model([node("Add", "x ghost", "y")], None, {"x": [1, 3]}),
    "dangling output": model([node("Relu", "x", "z")], None, {"x": [1, 3]}),
    "cycle": model(
        [node("Add", "x b", "a"), node("Relu", "a", "b"), node("Relu", "b", "y")], None, {"x": [1, 3]}
    ),
    "self": model([node("Add", "x y", "y")], None, {"x": [1, 3]}),
    "contradiction": model([node("Gemm", "x w", "y")], {"w": weights(4, 2)}, {"x": [1, 3]}),
    "two contradictions": model(
        [node("Gemm", "x w", "h"), node("Gemm", "x v", "g"), node("Add", "h g", "y")],
        {"w": weights(4, 2), "v": weights(5, 2)}, {"x": ["N", "K"]},
    ),
    "channels": model([node("Conv", "x w", "y")], {"w": weights(2, 4, 3, 3)}, {"x": [1, 3, 5, 5]}),
    "rank": model([node("Conv", "x w", "y")], {"w": weights(2, 4, 3, 3)}, {"x": [1, 3]}),
    "scalar": model([node("MatMul", "x w", "y")], {"w": weights(3, 2)}, {"x": []}),
    "empty axis": model([node("Gemm", "x w", "y")], {"w": weights(3, 2)}, {"x": [0, 3]}),
    "empty slice": model(
        [node("Slice", "x b e", "s"), node("Slice", "s b e - t", "y")],
        {"b": np.array([2], np.int64), "e": np.array([1], np.int64), "t": np.array([-1], np.int64)},
        {"x": [4, 3]},
    ),
    "reshape": model([node("Reshape", "x s", "y")], {"s": np.array([2, 5], np.int64)}, {"x": [1, 3]}),
    "axis": model([node("Concat", "x x", "y", axis=7)], None, {"x": [1, 3]}),
    "attribute missing": model([node("Concat", "x x", "y")], None, {"x": [1, 3]}),
    "branches": model(
        [node("If", "c", "y",
              then_branch=helper.make_graph([], "t", [], []),
              else_branch=helper.make_graph([], "e", [], []))],
        {"c": np.array(True)}, {"x": [1, 3]},
    ),
    "broadcast": model([node("Add", "x z", "y")], None, {"x": [1, 3], "z": [1, 4]}),
    "enormous": model([node("Reshape", "x s", "y")], {"s": np.array([-1], np.int64)}, {"x": [10**6, 10**6]}),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_an_answer(name: str, tmp_path: Path) -> None:
    found = build(BAD[name], tmp_path)
    if name in (
        "dangling",
        "cycle",
        "self",
        "contradiction",
        "channels",
        "rank",
        "reshape",
        "axis",
        "broadcast",
    ):
        assert found.hubs
        assert all(
            set(ends) == set(found.graph.outputs.tolist()) for ends in reach_table(found.graph).values()
        )
    if name == "input to output":
        assert found.graph.inputs.tolist() == found.graph.outputs.tolist() == [0, 1, 2]
    if name == "constant output":
        assert (len(found.graph.inputs), len(found.graph.outputs)) == (3, 0)
