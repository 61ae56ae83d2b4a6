"""Verdicts on whole models, each checked against the outputs that onnxruntime gives on seeded inputs."""

import copy
import dataclasses
import functools
import itertools
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from onnx import ModelProto, TensorProto, helper, numpy_helper, parser

import onnxtop
from benchmarks._forms import FORMS
from onnxtop.cli import app
from onnxtop.comparison.options import DiffOptions
from onnxtop.comparison.verdict import judge_whole
from onnxtop.comparison.walk import Walk
from onnxtop.reader.loading import load
from onnxtop.results.diff import DiffSettings, Verdict, WholeDiff
from tests import harmless, ruins
from tests.faults import SAMPLES
from tests.models import mlp, save

EQUAL = (Verdict.SAME, Verdict.EQUIVALENT)


def judged(old: ModelProto, new: ModelProto, folder: Path, **settings: object) -> WholeDiff:
    models = [load(save(proto, folder, f"{name}.onnx")) for name, proto in (("old", old), ("new", new))]
    return judge_whole(*models, dataclasses.replace(DiffSettings(), **settings))


def counting(whole: WholeDiff) -> list[tuple[str, str]]:
    return [(each.kind, each.where) for each in (*whole.interface, *whole.changes) if each.counts]


@functools.cache
def small(name: str) -> ModelProto:
    return ruins.small(name)


def check_ruins(
    model: ModelProto, ruined_copies: Iterable[tuple[str, ModelProto]], folder: Path
) -> tuple[int, int]:
    """Judge copies that change outputs; return how many there are, and how many are told in one item."""
    changed = single = 0
    for told, ruined in ruined_copies:
        whole = judged(model, ruined, folder)
        named = whole.verdict is Verdict.WITHIN and bool(whole.dropped)
        assert not whole.verdict.passes or named, f"{told}: {whole.verdict} ({whole.reason})"
        changed += 1
        single += len(counting(whole)) == 1
    return changed, single


@pytest.mark.parametrize("name", ruins.SOURCES)
def test_no_ruined_model_is_called_equal(name, tmp_path):
    changed, single = check_ruins(small(name), ruins.changing_small(name), tmp_path)
    assert changed > 25
    assert single > 0.8 * changed


@pytest.mark.parametrize(("name", "every"), [("mlp_torch_legacy", 1), ("transformer_torch_dynamo", 37)])
def test_no_ruined_sample_is_called_equal(name, every, tmp_path):
    model = onnx.load(SAMPLES / f"{name}.onnx")
    changed, _ = check_ruins(model, ruins.changing(model, every), tmp_path)
    assert changed > 15


@pytest.mark.parametrize("name", ruins.SOURCES)
@pytest.mark.parametrize("change", harmless.SAME, ids=lambda change: change.__name__)
def test_the_same_terms(name, change, tmp_path):
    model, changed = small(name), change(small(name))
    assert not ruins.differ(ruins.outputs(model), ruins.outputs(changed))
    assert judged(model, changed, tmp_path).verdict is Verdict.SAME


@pytest.mark.parametrize("name", ruins.SOURCES)
@pytest.mark.parametrize("change", harmless.EQUIVALENT, ids=lambda change: change.__name__)
def test_equal_in_real_arithmetic(name, change, tmp_path):
    model, changed = small(name), change(small(name))
    assert not ruins.differ(ruins.outputs(model), ruins.outputs(changed))
    assert judged(model, changed, tmp_path).verdict in EQUAL


@pytest.mark.parametrize("name", ["convolutional", "attention", "recurrent"])
@pytest.mark.parametrize("change", harmless.ROUNDED, ids=lambda change: change.__name__)
def test_rounded(name, change, tmp_path):
    whole = judged(small(name), change(small(name)), tmp_path)
    assert whole.verdict is Verdict.WITHIN
    assert whole.dropped or whole.changes or whole.interface


def test_a_folded_normalisation_is_named(tmp_path):
    model = small("convolutional")
    folded = harmless.with_folded_normalisation(model)
    assert not ruins.differ(ruins.outputs(model), ruins.outputs(folded))
    whole = judged(model, folded, tmp_path)
    assert whole.verdict is Verdict.WITHIN
    assert whole.dropped == ("BatchNormalization folded into the weights before it (1)",)
    tensor = next(item for item in folded.graph.initializer if item.name == "folded_kernel")
    tensor.CopyFrom(numpy_helper.from_array(2 * numpy_helper.to_array(tensor), tensor.name))
    assert judged(model, folded, tmp_path).verdict is Verdict.CHANGED


def _normalised(op_type: str, held: dict[str, np.ndarray]) -> tuple[ModelProto, ModelProto]:
    """Return a model with a normalisation of 8 channels, and one in which it is folded."""
    rng = np.random.default_rng(5)
    s, t, m, v = rng.normal(size=(4, 8))
    v = np.abs(v) + 0.5
    factor = s / np.sqrt(v + 1e-5)
    shape = [1, 8, *[1] * (held["w"].ndim - 2)]
    folded = {"w": held["w"] * factor.reshape(shape), "b": (held["b"] - m) * factor + t}
    size = ("n", 5) if op_type == "Gemm" else (1, 5, 6, 6)
    node = helper.make_node(op_type, ["x", "w", "b"], ["h"], name="linear")
    norm = helper.make_node("BatchNormalization", ["h", "s", "t", "m", "v"], ["y"], name="norm")
    last = helper.make_node(op_type, ["x", "w", "b"], ["y"], name="linear")
    return tuple(
        helper.make_model(
            helper.make_graph(
                nodes,
                "g",
                [helper.make_tensor_value_info("x", 1, size)],
                [helper.make_tensor_value_info("y", 1, None)],
                [numpy_helper.from_array(a.astype(np.float32), name) for name, a in tensors.items()],
            ),
            ir_version=8,
            opset_imports=[helper.make_opsetid("", 17)],
        )
        for nodes, tensors in (
            ([node, norm], {**held, "s": s, "t": t, "m": m, "v": v}),
            ([last], folded),
        )
    )


@pytest.mark.parametrize(("op_type", "shape"), [("Gemm", (5, 8)), ("ConvTranspose", (5, 8, 3, 3))])
def test_a_normalisation_folded_into_other_weights_is_named(op_type, shape, tmp_path):
    rng = np.random.default_rng(6)
    model, folded = _normalised(op_type, {"w": rng.normal(size=shape), "b": rng.normal(size=8)})
    assert not ruins.differ(ruins.outputs(model), ruins.outputs(folded))
    whole = judged(model, folded, tmp_path)
    assert whole.verdict is Verdict.WITHIN
    assert "BatchNormalization folded into the weights before it (1)" in whole.dropped
    tensor = folded.graph.initializer[0]
    tensor.CopyFrom(numpy_helper.from_array(2 * numpy_helper.to_array(tensor), tensor.name))
    assert judged(model, folded, tmp_path).verdict is Verdict.CHANGED


def _activated(*body: str) -> ModelProto:
    return parser.parse_model(
        '<ir_version: 8, opset_import: ["" : 20]> g (float[2, 4] x) => (float[2, 4] y) '
        "<float three = {3}, float zero = {0}, float six = {6}> { " + "  ".join(body) + " }"
    )


WRITTEN_OUT = ("a = Add (x, three)", "b = Clip (a, zero, six)", "c = Div (b, six)", "y = Mul (x, c)")


@pytest.mark.parametrize(
    ("old", "new", "verdict"),
    [
        (("y = HardSwish (x)",), WRITTEN_OUT, Verdict.UNPROVEN),
        (("y = Relu (x)",), ("y = Sigmoid (x)",), Verdict.CHANGED),
        (("y = Tanh (x)",), ("y = Softsign (x)",), Verdict.CHANGED),
    ],
)
def test_one_operation_for_several_is_unproven_and_for_another_changed(old, new, verdict, tmp_path):
    assert judged(_activated(*old), _activated(*new), tmp_path).verdict is verdict


@pytest.mark.parametrize(
    ("old", "new", "verdicts"),
    [
        ("mlp_torch_legacy", "mlp_torch_dynamo", EQUAL),
        ("mlp_torch_legacy", "mlp_tensorflow", EQUAL),
        ("mlp_torch_legacy", "mlp_jax", EQUAL),
        ("mlp_torch_dynamo", "mlp_torch_external", (Verdict.SAME,)),
        ("mlp_torch_legacy", "mlp_torch_fixed_batch", (Verdict.EQUIVALENT,)),
        ("cnn_torch_legacy", "cnn_torch_dynamo", EQUAL),
        ("cnn_tensorflow", "cnn_jax", EQUAL),
        ("transformer_torch_legacy", "transformer_torch_dynamo", EQUAL),
        ("transformer_jax", "transformer_torch_dynamo", EQUAL),
        ("transformer_tensorflow", "transformer_jax", EQUAL),
        ("lstm_torch_legacy", "lstm_torch_dynamo", EQUAL),
        ("checkpoints/epoch_11", "checkpoints/epoch_12", (Verdict.WITHIN,)),
        ("checkpoints/epoch_01", "checkpoints/epoch_12", (Verdict.CHANGED,)),
        ("mlp_torch_legacy", "mlp_untrained", (Verdict.CHANGED,)),
        ("cnn_torch_legacy", "cnn_jax", (Verdict.CHANGED,)),
    ],
)
def test_sample_models(old, new, verdicts):
    models = [load(SAMPLES / f"{name}.onnx") for name in (old, new)]
    assert judge_whole(*models, DiffSettings()).verdict in verdicts
    assert judge_whole(*models[::-1], DiffSettings()).verdict in verdicts


# What is said


def edited(model: ModelProto, edit) -> ModelProto:
    made = copy.deepcopy(model)
    edit(made)
    return made


def test_what_changed_is_named_with_its_layer(tmp_path):
    old = mlp(6, 5, 4)

    def bias(model):
        tensor = next(item for item in model.graph.initializer if item.name == "fc2.bias")
        tensor.CopyFrom(numpy_helper.from_array(100 * numpy_helper.to_array(tensor), "fc2.bias"))

    whole = judged(old, edited(old, bias), tmp_path)
    assert (whole.verdict, counting(whole)) == (Verdict.CHANGED, [("constant", "Gemm fc2")])
    assert whole.changes[0].what == "constant C: 4 changed by a factor of 99"

    def activation(model):
        next(node for node in model.graph.node if node.op_type == "Relu").op_type = "Sigmoid"

    whole = judged(old, edited(old, activation), tmp_path)
    assert whole.verdict is Verdict.CHANGED
    assert [each.kind for each in whole.changes] == ["replaced"]
    assert "now Sigmoid" in whole.changes[0].what


def test_a_small_change_of_computed_weights_is_told_by_what_was_edited(tmp_path):
    """An edit on the way to computed weights counts, however little it moves them."""
    body = "c = {op} (w)  d = Add (c, e)  y = MatMul (a, d)"

    def model(op="Identity", small=1e-3):
        made = text(body.format(op=op), "float[2, 3] a", "float[2, 5] y")
        rng = np.random.default_rng(0)
        arrays = {"w": 0.3 * rng.normal(size=(3, 5)), "e": np.array(small)}
        made.graph.initializer.extend(
            numpy_helper.from_array(array.astype(np.float32), name) for name, array in arrays.items()
        )
        return made

    assert judged(model(), model(op="Tanh"), tmp_path).verdict is Verdict.CHANGED
    assert judged(model(), model(small=3e-3), tmp_path).verdict is Verdict.CHANGED
    assert judged(model(), model(), tmp_path).verdict is Verdict.SAME


def test_a_small_change_must_be_spread_out(tmp_path):
    old = mlp(16, 16, 4)
    rng = np.random.default_rng(0)

    def moved(change):
        def edit(model):
            tensor = model.graph.initializer[0]
            array = numpy_helper.to_array(tensor).copy()
            tensor.CopyFrom(numpy_helper.from_array(change(array).astype(np.float32), tensor.name))

        return edited(old, edit)

    def one(array):
        array[3, 3] += 0.05 * np.linalg.norm(array)
        return array

    def row(array):
        array[3] *= 1.2
        return array

    assert judged(
        old, moved(lambda array: array + 0.05 * rng.normal(size=array.shape)), tmp_path
    ).verdict.passes
    for change in (one, row):
        assert judged(old, moved(change), tmp_path).verdict is Verdict.CHANGED
    whole = judged(old, moved(lambda array: array[::-1]), tmp_path)
    assert whole.verdict is Verdict.CHANGED
    assert "in another order" in whole.changes[0].what
    assert judged(old, moved(lambda array: array[::-1]), tmp_path, permuted_ok=True).verdict is Verdict.WITHIN


TEXT = '<ir_version: 8, opset_import: ["" : 17]> g ({inputs}) => ({outputs}) {body}'


def text(body, inputs="float[2, 3] a, float[2, 3] b", outputs="float[2, 3] y, float[2, 3] z"):
    return parser.parse_model(TEXT.format(inputs=inputs, outputs=outputs, body=f"{{ {body} }}"))


BOTH = "y = Sub (a, b)  z = Mul (a, b)"


@pytest.mark.parametrize(
    ("new", "verdict"),
    [
        (
            text(
                "p = Sub (q, r)  s = Mul (r, q)",
                "float[2, 3] q, float[2, 3] r",
                "float[2, 3] p, float[2, 3] s",
            ),
            "SAME",
        ),
        (text(BOTH, "float[2, 3] b, float[2, 3] a"), "CHANGED"),
        (text(BOTH, outputs="float[2, 3] z, float[2, 3] y"), "CHANGED"),
        (text("y = Mul (a, b)  z = Sub (a, b)"), "CHANGED"),
        (text("y = Sub (b, a)  z = Mul (a, b)"), "CHANGED"),
        (text(BOTH, "float[2, 3] a, float[2, 3] b, float c"), "CHANGED"),
        (text("y = Sub (a, b)", outputs="float[2, 3] y"), "CHANGED"),
        (text(BOTH, "float[2, 4] a, float[2, 4] b", "float[2, 4] y, float[2, 4] z"), "CHANGED"),
        (text(BOTH, "float[N, 3] a, float[N, 3] b", "float[N, 3] y, float[N, 3] z"), "EQUIVALENT"),
        (text(BOTH, "double[2, 3] a, double[2, 3] b", "double[2, 3] y, double[2, 3] z"), "WITHIN TOLERANCE"),
        (text(BOTH, "int32[2, 3] a, int32[2, 3] b", "int32[2, 3] y, int32[2, 3] z"), "CHANGED"),
    ],
)
def test_interface(new, verdict, tmp_path):
    whole = judged(text(BOTH), new, tmp_path)
    assert whole.verdict.value == verdict
    assert whole.interface or verdict in ("SAME", "CHANGED")


def test_an_input_with_a_default_is_no_constant(tmp_path):
    def model(default, overridable):
        made = text("y = Mul (a, w)", "float[2, 3] a", "float[2, 3] y")
        made.graph.initializer.append(numpy_helper.from_array(np.full(3, default, np.float32), "w"))
        if overridable:
            made.graph.input.append(helper.make_tensor_value_info("w", TensorProto.FLOAT, [3]))
        return made

    assert judged(model(2, True), model(2, True), tmp_path).verdict is Verdict.SAME
    whole = judged(model(2, True), model(2, False), tmp_path)
    assert whole.verdict is Verdict.EQUIVALENT
    assert whole.dropped == ("that nothing overrides the defaults of w",)
    assert judged(model(2, True), model(3, True), tmp_path).verdict is Verdict.CHANGED


def test_open_sizes_are_tried_and_named(tmp_path):
    def model(body):
        return text(body, "float[N, 4] a", "float[M, 4] y")

    old = model("s = Shape (a)  r = Reshape (a, s)  y = Tanh (r)")
    whole = judged(old, model("y = Tanh (a)"), tmp_path)
    assert whole.verdict is Verdict.EQUIVALENT
    assert whole.dropped == ("open sizes of a: tried from 13 and from 29 on, and first axes of 1 and 100",)
    cut = model("n = Constant <value_ints = [0]> ()  m = Constant <value_ints = [20]> () "
                "c = Slice (a, n, m, n)  y = Tanh (c)")  # fmt: skip
    assert (
        judged(cut, model("y = Tanh (a)"), tmp_path).verdict is Verdict.CHANGED
    )  # all of 13 rows, not of 29


def sliced(places, axes, after="y = Tanh (c)"):
    """Return the first three columns of four, by places and axes of a type; too large to be followed."""
    made = text(f"c = Slice (a, n, m, x)  {after}", "float[1000000, 4] a", "float[1000000, 3] y")
    for name, value, kind in (("n", 0, places), ("m", 3, places), ("x", 1, axes)):
        made.graph.initializer.append(numpy_helper.from_array(np.array([value], kind), name))
    return made


@pytest.mark.parametrize("places", [np.int32, np.int64])
def test_what_a_slice_makes_has_a_type_whatever_its_places_have(places, tmp_path):
    """Without one, products of codes behind it are none of floats."""
    codes = np.arange(-4, 5, dtype=np.int8).reshape(3, 3)
    product = ("q, s, o = DynamicQuantizeLinear (c)  p = MatMulInteger (q, k, o)  f = Cast <to = 1> (p)  "
               "t = Mul (s, u)  y = Mul (f, t)")  # fmt: skip
    old, new = sliced(places, places, "y = MatMul (c, w)"), sliced(places, places, product)
    held = {"w": codes * np.float32(0.25), "k": codes, "u": np.float32(0.25)}
    for made, names in ((old, "w"), (new, "ku")):
        made.graph.initializer.extend(numpy_helper.from_array(np.asarray(held[name]), name) for name in names)
    assert judged(old, new, tmp_path).verdict is Verdict.WITHIN


def test_a_slice_by_int32_is_that_by_int64(tmp_path):
    old = sliced(np.int64, np.int64)
    assert judged(old, sliced(np.int32, np.int32), tmp_path).verdict is Verdict.EQUIVALENT
    assert not judged(old, sliced(np.int32, np.int64), tmp_path).verdict.passes  # it does not run


def test_how_many_results_an_operation_declares(tmp_path):
    def model(results):
        return text(f"{results} = Split <axis = 1> (a)  y = Tanh (p)", "float[2, 12] a", "float[2, N] y")

    assert judged(model("p, q"), model("p, q, r"), tmp_path).verdict is Verdict.CHANGED
    assert judged(model("p, q"), model("p, s"), tmp_path).verdict is Verdict.SAME


def test_random_operations_are_never_one(tmp_path):
    one = "r = RandomNormalLike (a)  y = Add (r, b)  z = Sub (r, b)"
    two = "r = RandomNormalLike (a)  s = RandomNormalLike (a)  y = Add (r, b)  z = Sub (s, b)"
    assert judged(text(one), text(one), tmp_path).verdict is Verdict.SAME
    assert not judged(text(one), text(two), tmp_path).verdict.passes


def test_what_onnx_refuses_is_not_called_equal(tmp_path):
    """Two types in one sum: one number in real arithmetic, and no model that runs."""
    inputs = "float[2, 3] a, double[2, 3] b"
    old = text("c = Cast <to = 11> (a)  y = Add (c, b)", inputs, "double[2, 3] y")
    new = text("y = Add (a, b)", inputs, "double[2, 3] y")
    whole = judged(old, new, tmp_path)
    assert whole.verdict is Verdict.UNPROVEN
    assert "only the new model is refused" in whole.reason
    assert "Add" in whole.reason
    assert judged(new, new, tmp_path).verdict is Verdict.SAME


def test_codes_and_their_scale_exchanged_are_not_called_equal(tmp_path):
    old = small("quantised")
    new = edited(old, lambda model: ruins.swapped(2)(model))
    assert new.graph.node[2].op_type == "DequantizeLinear"
    assert judged(old, new, tmp_path).verdict is Verdict.CHANGED


def test_unknown_operations_are_unproven(tmp_path):
    def model(first, second):
        made = text(f"h = {first} (a, b)  k = {second} (h)  y = Tanh (k)", outputs="float[2, 3] y")
        made.opset_import.append(helper.make_opsetid("vendor", 1))
        return made

    old, new = model("vendor.Join", "vendor.Bend"), model("vendor.Fused", "vendor.Curve")
    assert judged(old, old, tmp_path).verdict is Verdict.SAME
    whole = judged(old, new, tmp_path)
    assert whole.verdict is Verdict.UNPROVEN
    assert "vendor.Fused" in " ".join(each.what for each in whole.changes)


def test_a_damaged_graph_is_compared_without_a_traceback(tmp_path):
    old = text("c = Constant <value_ints = [5]> ()  t = Squeeze (a, c)  y = Transpose <perm = [1, 0, 2]> (t)",
               outputs="float[2, 3] y")  # fmt: skip
    assert judged(old, old, tmp_path).verdict is Verdict.SAME
    assert not judged(old, text("y = Tanh (a)", outputs="float[2, 3] y"), tmp_path).verdict.passes


@pytest.mark.parametrize("opset", [2**40, -1])
def test_an_opset_that_there_cannot_be_is_compared_without_a_traceback(opset, tmp_path):
    old = text("y = Gemm (a, b)", inputs="float[2, 3] a, float[3, 3] b", outputs="float[2, 3] y")
    old.opset_import[0].version = opset
    assert judged(old, edited(old, lambda model: model.graph.node[0].input.reverse()), tmp_path).changes


@pytest.mark.parametrize(
    "body",
    [
        "y = Unheard (a, b)",
        "c = Constant <value_floats = [0.5]> ()  y = ReduceSum (a, c)",
        "c = Constant <value_ints = [0, 1]> ()  d = Cast <to = 7> (c)  y = TopK <axis = 9> (a, d)",
        "y = Transpose <perm = [7, 7]> (a)",
        "c = Constant <value = float[2, 2] {0, 1, 2, 3}> ()  y = Slice (a, c, c, c)",
    ],
)
def test_operands_that_do_not_fit_are_compared_without_a_traceback(body, tmp_path):
    old, new = (text(each, outputs="float[2, 3] y") for each in (body, f"{body}  z = Tanh (y)"))
    del new.graph.output[:]
    new.graph.output.append(helper.make_tensor_value_info("z", TensorProto.FLOAT, None))
    assert judged(old, old, tmp_path).verdict is Verdict.SAME
    assert not judged(old, new, tmp_path).verdict.passes


def test_a_cast_to_no_type_is_compared_without_a_traceback(tmp_path):
    old = text("h = Cast <to = 999> (a)  y = Tanh (h)", outputs="float[2, 3] y")
    assert not judged(old, text("y = Tanh (a)", outputs="float[2, 3] y"), tmp_path).verdict.passes


# Through the command


@pytest.fixture
def diff(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: CliRunner().invoke(app, ["diff", *map(str, arguments)])


def test_the_exit_code_follows_the_verdict(diff, tmp_path):
    old = mlp(6, 5, 4)
    renamed = harmless.renamed(old)
    relu = edited(old, lambda model: setattr(model.graph.node[1], "op_type", "Sigmoid"))
    paths = [save(proto, tmp_path, f"{i}.onnx") for i, proto in enumerate((old, renamed, relu))]
    for other, code, word in (
        (0, 0, "SAME: the files hold the same bytes"),
        (1, 0, "SAME: "),
        (2, 1, "CHANGED: "),
    ):
        result = diff(paths[0], paths[other])
        assert result.exit_code == code, result.stderr
        assert result.stdout.startswith(word)


def test_equal_bytes_are_told_without_measuring(tmp_path):
    path = save(mlp(6, 5, 4), tmp_path, "a.onnx")
    (tmp_path / "b").mkdir()
    other = save(mlp(6, 5, 4), tmp_path / "b", "a.onnx")
    found = onnxtop.diff(path, other)
    assert (found.whole.verdict, found.whole.level, found.layers) == (Verdict.SAME, None, ())
    assert found.to_dict()["verdict"] == "SAME"


def test_models_without_weights_are_compared(tmp_path):
    paths = [save(text(body, outputs="float[2, 3] y"), tmp_path, f"{i}.onnx")
             for i, body in enumerate(("y = Add (a, b)", "y = Add (b, a)", "y = Sub (a, b)"))]  # fmt: skip
    assert onnxtop.diff(paths[0], paths[1]).whole.verdict is Verdict.SAME
    assert onnxtop.diff(paths[0], paths[2]).changed


def test_an_inserted_layer_leaves_the_others_their_weights(tmp_path):
    """Numbered names move behind an inserted layer; the weights tell which is which."""
    sizes = (8, 8, 8, 8, 8)
    rng = np.random.default_rng(3)
    arrays = [rng.normal(size=pair).astype(np.float32) for pair in itertools.pairwise(sizes)]

    def model(held):
        nodes, value = [], "x"
        for number in range(len(held)):
            nodes.append(helper.make_node("MatMul", [value, f"w{number}"], [f"h{number}"], name=f"l{number}"))
            nodes.append(helper.make_node("Tanh", [f"h{number}"], [f"t{number}"]))
            value = f"t{number}"
        ports = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 8]) for name in ("x", value)]
        tensors = [numpy_helper.from_array(array, f"w{i}") for i, array in enumerate(held)]
        graph = helper.make_graph(nodes, "g", ports[:1], ports[1:], tensors)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)

    more = [*arrays[:2], rng.normal(size=(8, 8)).astype(np.float32), *arrays[2:]]
    paths = [save(model(held), tmp_path, f"{i}.onnx") for i, held in enumerate((arrays, more))]
    found = onnxtop.diff(*paths, DiffOptions(settings=DiffSettings(permuted_ok=True)))
    assert [each.name for each in found.appeared] == ["l2"]
    assert [(layer.old_name, layer.name) for layer in found.layers if layer.old_name != layer.name] == [
        ("l2", "l3"),
        ("l3", "l4"),
    ]
    assert all(layer.is_same for layer in found.layers)
    assert [each.kind for each in found.whole.changes] == ["inserted"]


@pytest.mark.parametrize(
    "odd",
    [
        "l = Constant <value_int = 1> ()  c = Equal (n, l)  m = Neg (y0)  y = Where (c, m, y0)",
        "l = Constant <value_int = 2> ()  c = Mod (n, l)  f = Cast <to = 1> (c)  y = Mul (y0, f)",
        "l = Constant <value_int = 64> ()  c = Greater (n, l)  m = Neg (y0)  y = Where (c, m, y0)",
    ],
    ids=["one", "even", "many"],
)
def test_another_function_of_one_entry_of_an_even_number_or_of_many_is_changed(tmp_path, odd):
    size = "s = Shape (a)  z = Constant <value_int = 0> ()  n = Gather (s, z)"
    old = text("y = Tanh (a)", "float[N, 4] a", "float[M, 4] y")
    new = text(f"{size}  y0 = Tanh (a)  {odd}", "float[N, 4] a", "float[M, 4] y")
    assert judged(old, new, tmp_path).verdict in (Verdict.CHANGED, Verdict.UNPROVEN)


def test_an_attribute_without_a_type_counts(tmp_path):
    def model(order):
        made = text(f"y = Transpose <perm = {order}> (a)", "float[4, 4] a", "float[4, 4] y")
        made.graph.node[0].attribute[0].type = 0
        return made

    assert judged(model([0, 1]), model([1, 0]), tmp_path).verdict is Verdict.CHANGED
    assert judged(model([0, 1]), model([0, 1]), tmp_path).verdict is Verdict.SAME


@pytest.mark.parametrize("blocks", [20, 40])
def test_an_inserted_operation_is_looked_for_where_it_is(
    blocks: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = FORMS["residual"](blocks)
    after = copy.deepcopy(before)
    nodes = after.graph.node
    place = len(nodes) // 2 // 3 * 3 + 2  # the sum of a block in the middle
    nodes.insert(place, helper.make_node("Tanh", [nodes[place].input[1]], ["inserted"]))
    nodes[place + 1].input[1] = "inserted"
    looked, below = [], Walk._below

    def counted(walk: Walk, item: int, needed: float) -> object:
        found = below(walk, item, needed)
        looked.append(len(found[0]))
        return found

    monkeypatch.setattr(Walk, "_below", counted)
    assert counting(judged(before, after, tmp_path)) == [("inserted", "Tanh inserted")]
    assert sum(looked) <= 10 * len(nodes)  # of 60 that a look may take in
