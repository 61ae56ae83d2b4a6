"""Models whose activations are made codes: what rounds passes and is named, what is ruined never passes."""

import copy
import functools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import ModelProto, numpy_helper, parser
from onnxruntime import quantization

from onnxtop.comparison.verdict import judge_whole
from onnxtop.reader.loading import load
from onnxtop.results.diff import DiffSettings, Verdict, WholeDiff
from tests.models import run, save

RNG = np.random.default_rng(5)
WEIGHTS = RNG.normal(size=(12, 8)).astype(np.float32) * np.float32(0.2)
KERNEL = RNG.normal(size=(4, 3, 3, 3)).astype(np.float32) * np.float32(0.2)


def coded(array):
    scale = np.float32(np.abs(array).max() / 127)
    return np.rint(array / scale).astype(np.int8), scale


HELD = {
    "w": WEIGHTS, "wq": coded(WEIGHTS)[0], "ws": coded(WEIGHTS)[1], "wz": np.int8(0),
    "k": KERNEL, "kq": coded(KERNEL)[0], "ks": coded(KERNEL)[1],
    "one": np.float32(1), "two": np.float32(2), "z0": np.uint8(0), "z77": np.uint8(77), "z255": np.uint8(255),
    "s": np.float32(0.04), "s5": np.float32(5), "near": np.float32(0.042), "z128": np.uint8(128),
    "z250": np.uint8(250), "i0": np.int8(0), "tiny": np.float32(1e-4), "i127": np.int8(127),
    "low": np.int8(-128), "wide": np.float32(0.08),
    "ten": np.float32(10),
    "many": np.array([3, 24], np.int64), "back": np.array([6, 12], np.int64),
    "l": RNG.normal(size=(6, 8)).astype(np.float32),
}  # fmt: skip
OUTPUTS = {"flat": "float[6, 8] y", "image": "float[2, 4, 7, 7] y"}
INPUTS = {"flat": "float[6, 12] x", "image": "float[2, 3, 9, 9] x"}
SIZES = {"flat": (6, 12), "image": (2, 3, 9, 9)}


def text(body: str, head: str = "flat") -> ModelProto:
    made = parser.parse_model(
        '<ir_version: 8, opset_import: ["" : 17, "com.microsoft" : 1]> '
        f"g ({INPUTS[head]}) => ({OUTPUTS[head]}) {{ {body} }}"
    )
    used = {name for node in made.graph.node for name in node.input}
    made.graph.initializer.extend(
        numpy_helper.from_array(np.asarray(array), name) for name, array in HELD.items() if name in used
    )
    return made


def judged(old: ModelProto, new: ModelProto, folder: Path) -> WholeDiff:
    models = [load(save(proto, folder, f"{name}.onnx")) for name, proto in (("old", old), ("new", new))]
    return judge_whole(*models, DiffSettings())


def apart(old: ModelProto, new: ModelProto, shape: tuple[int, ...]) -> float:
    """Return how far outputs are from each other, against their spread."""
    x = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    before, after = (run(model, x=x) for model in (old, new))
    return float(np.sqrt(np.mean((after - before) ** 2)) / before.std())


PLAIN, DECODED = "y = MatMul (x, w)", "y = MatMul (d, w)"
FRONT = "q, s1, z = DynamicQuantizeLinear (x) "
INTEGER = FRONT + " i = MatMulInteger (q, wq, z, wz)  f = Cast <to = 1> (i)  "
CONVOLVED = FRONT + " i = ConvInteger (q, kq, z)  f = Cast <to = 1> (i)  "


@pytest.mark.parametrize(
    ("old", "new", "head"),
    [
        (PLAIN, INTEGER + "t = Mul (s1, ws)  y = Mul (f, t)", "flat"),
        (PLAIN, INTEGER + "t = Mul (f, ws)  y = Mul (t, s1)", "flat"),
        (PLAIN, INTEGER + "t = Mul (s1, f)  y = Mul (ws, t)", "flat"),
        (
            PLAIN,
            FRONT + "i = MatMulInteger (q, wq, z)  t = Mul (ws, s1)  y = DequantizeLinear (i, t)",
            "flat",
        ),
        (PLAIN, FRONT + "d = DequantizeLinear (q, s1, z)  " + DECODED, "flat"),
        (PLAIN, FRONT + "y = com.microsoft.MatMulIntegerToFloat (q, wq, s1, ws, z)", "flat"),
        (
            PLAIN,
            FRONT + "r = Reshape (q, many)  u = Reshape (r, back)  i = MatMulInteger (u, wq, z)  "
            "f = Cast <to = 1> (i)  t = Mul (s1, ws)  y = Mul (f, t)",
            "flat",
        ),
        (
            PLAIN,
            "a = Transpose <perm = [1, 0]> (x)  r, s1, z = DynamicQuantizeLinear (a)  "
            "q = Transpose <perm = [1, 0]> (r)  i = MatMulInteger (q, wq, z)  f = Cast <to = 1> (i)  "
            "t = Mul (s1, ws)  y = Mul (f, t)",
            "flat",
        ),
        (
            "a = Transpose <perm = [1, 0]> (x)  b = MatMul (x, a)  y = MatMul (b, l)",
            "a = Transpose <perm = [1, 0]> (x)  p, s1, z = DynamicQuantizeLinear (x)  "
            "q, s2, v = DynamicQuantizeLinear (a)  i = MatMulInteger (p, q, z, v)  f = Cast <to = 1> (i)  "
            "t = Mul (s1, s2)  b = Mul (f, t)  y = MatMul (b, l)",
            "flat",
        ),
        ("y = Conv (x, k)", CONVOLVED + "t = Mul (s1, ks)  y = Mul (f, t)", "image"),
        (
            "p = MaxPool <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (x)  y = Conv (p, k)",
            FRONT
            + "p = MaxPool <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (q)  i = ConvInteger (p, kq, z)  "
            "f = Cast <to = 1> (i)  t = Mul (s1, ks)  y = Mul (f, t)",
            "image",
        ),
    ],
)
def test_codes_with_their_own_scale_and_zero_point_are_rounding(old, new, head, tmp_path):
    old, new = text(old, head), text(new, head)
    assert apart(old, new, SIZES[head]) < 0.05
    whole = judged(old, new, tmp_path)
    assert whole.verdict is Verdict.WITHIN
    assert any(what.startswith("rounding of activations to codes") for what in whole.dropped)
    assert judged(new, old, tmp_path).verdict is Verdict.WITHIN


SCALED = "t = Mul (s1, ws)  y = Mul (f, t)"
TWICE = "h = Mul (x, two)  o, s2, z2 = DynamicQuantizeLinear (h)  "


@pytest.mark.parametrize(
    ("old", "new", "head"),
    [
        (PLAIN, FRONT + "i = MatMulInteger (q, wq)  f = Cast <to = 1> (i)  " + SCALED, "flat"),
        (PLAIN, FRONT + "i = MatMulInteger (q, wq, z77)  f = Cast <to = 1> (i)  " + SCALED, "flat"),
        (PLAIN, FRONT + "i = MatMulInteger (q, wq, z255)  f = Cast <to = 1> (i)  " + SCALED, "flat"),
        (PLAIN, INTEGER + "y = Mul (f, ws)", "flat"),
        (PLAIN, INTEGER + "t = Mul (s1, s1)  u = Mul (t, ws)  y = Mul (f, u)", "flat"),
        (PLAIN, INTEGER + "t = Div (ws, s1)  y = Mul (f, t)", "flat"),
        (PLAIN, TWICE + INTEGER + "t = Mul (s2, ws)  y = Mul (f, t)", "flat"),
        (PLAIN, FRONT + "d = DequantizeLinear (q, s1)  " + DECODED, "flat"),
        (PLAIN, FRONT + "d = DequantizeLinear (q, s1, z0)  " + DECODED, "flat"),
        (PLAIN, FRONT + "d = DequantizeLinear (q, s1, z77)  " + DECODED, "flat"),
        (PLAIN, FRONT + "d = DequantizeLinear (q, s, z)  " + DECODED, "flat"),
        (PLAIN, TWICE + FRONT + "d = DequantizeLinear (q, s2, z2)  " + DECODED, "flat"),
        (
            PLAIN,
            FRONT + "c = QuantizeLinear (x, s1, z77)  d = DequantizeLinear (c, s1, z77)  " + DECODED,
            "flat",
        ),
        (PLAIN, FRONT + "y = com.microsoft.MatMulIntegerToFloat (q, wq, s1, ws)", "flat"),
        (PLAIN, FRONT + "y = com.microsoft.MatMulIntegerToFloat (q, wq, one, ws, z)", "flat"),
        (
            "m = MatMul (x, w)  y = Add (m, one)",
            INTEGER + "t = Mul (s1, ws)  m = Mul (f, t)  y = Add (m, s1)",
            "flat",
        ),
        (
            "y = Conv (x, k)",
            FRONT + "i = ConvInteger (q, kq)  f = Cast <to = 1> (i)  t = Mul (s1, ks)  y = Mul (f, t)",
            "image",
        ),
        ("y = Conv (x, k)", CONVOLVED + "y = Mul (f, ks)", "image"),
        ("y = Conv (x, k)", TWICE + CONVOLVED + "t = Mul (s2, ks)  y = Mul (f, t)", "image"),
    ],
)
def test_codes_with_another_scale_or_zero_point_do_not_pass(old, new, head, tmp_path):
    old, new = text(old, head), text(new, head)
    assert apart(old, new, SIZES[head]) > 0.1
    assert not judged(old, new, tmp_path).verdict.passes
    assert not judged(new, old, tmp_path).verdict.passes


def test_a_scale_that_is_computed_otherwise_is_not_known_to_hold_the_values(tmp_path):
    def model(share):
        made = text(
            "a = Abs (x)  m = ReduceMax <keepdims = 0> (a)  c = Mul (m, share)  v = Unsqueeze (c, first)  "
            "u = Squeeze (v)  q = QuantizeLinear (x, u, z128)  d = DequantizeLinear (q, u, z128)  " + DECODED
        )
        arrays = {"share": np.float32(share), "first": np.array([0], np.int64)}
        made.graph.initializer.extend(numpy_helper.from_array(np.asarray(v), n) for n, v in arrays.items())
        return made

    right, ruined = model(1 / 127), model(1e-3)
    assert apart(text(PLAIN), right, SIZES["flat"]) < 0.05
    assert apart(text(PLAIN), ruined, SIZES["flat"]) > 0.2
    for new in (right, ruined):
        assert judged(text(PLAIN), new, tmp_path).verdict is Verdict.UNPROVEN
    assert judged(right, right, tmp_path).verdict is Verdict.SAME
    assert not judged(right, ruined, tmp_path).verdict.passes


# Quantisers of constant scale


def static(
    scale="s", zero="z128", between="", source="x", before="", after="y = MatMul (e, w)"
) -> ModelProto:
    between = between or "e = Identity (d)"
    return text(
        f"{before} q = QuantizeLinear ({source}, {scale}, {zero})  "
        f"d = DequantizeLinear (q, {scale}, {zero})  {between}  {after}"
    )


CAST = "c = Cast <to = 11> (d)  e = Cast <to = 1> (c)"
HALF = "c = Cast <to = 10> (d)  e = Cast <to = 1> (c)"


@pytest.mark.parametrize("between", [CAST, HALF, ""], ids=["double", "half", "nothing"])
@pytest.mark.parametrize(
    "change",
    [
        {"scale": "s5"},
        {"scale": "one"},
        {"scale": "tiny"},
        {"zero": "z250"},
        {"zero": "z255"},
        {"zero": "z0"},
        {"zero": "i127"},
        {"scale": "tiny", "zero": "i0"},
    ],
)
def test_a_changed_quantiser_is_told_whatever_else_rounds(between, change, tmp_path):
    old, new = static(), static(**change, between=between)
    assert apart(old, new, SIZES["flat"]) > 0.1
    whole = judged(old, new, tmp_path)
    assert whole.verdict is Verdict.CHANGED
    told = [each.what for each in whole.changes if each.counts]
    assert not between or any(each.startswith("range of its codes: -5.12 to 5.08, now ") for each in told)
    moved = static(between=between)
    moved.graph.initializer[0].CopyFrom(numpy_helper.from_array(WEIGHTS * np.float32(1.01), "w"))
    assert judged(old, moved, tmp_path).verdict is Verdict.WITHIN


@pytest.mark.parametrize("change", [{"scale": "one"}, {"scale": "tiny"}, {"zero": "z250"}])
def test_a_changed_quantiser_is_told_behind_weights_that_changed_a_little(change, tmp_path):
    """The quantiser is of two terms then, which differ in the content of constants alone."""
    before = "h = MatMul (x, p)  g = Tanh (h)"

    def model(moved, **more):
        made = static(source="g", before=before, **more)
        array = np.random.default_rng(2).normal(size=(12, 12)).astype(np.float32)
        noise = np.random.default_rng(3).normal(size=(12, 12)).astype(np.float32)
        made.graph.initializer.append(numpy_helper.from_array(array + np.float32(moved) * noise, "p"))
        return made

    old = model(0)
    assert judged(old, model(0.01, between=CAST), tmp_path).verdict is Verdict.WITHIN
    assert judged(old, model(0.01, between=CAST, **change), tmp_path).verdict is Verdict.CHANGED


@pytest.mark.parametrize(("scale", "verdict"), [("s", Verdict.WITHIN), ("one", Verdict.CHANGED)])
def test_a_quantiser_is_the_same_before_and_behind_a_movement(scale, verdict, tmp_path):
    turned = "f = Transpose <perm = [1, 0]> ({})"
    old = text(f"{turned.format('x')}  q = QuantizeLinear (f, s, z128)  d = DequantizeLinear (q, s, z128)  "
               "u = Transpose <perm = [1, 0]> (d)  y = MatMul (u, w)")  # fmt: skip
    assert judged(old, static(scale=scale, between=CAST), tmp_path).verdict is verdict


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({}, {"zero": "i0"}),
        ({}, {"scale": "near"}),
        ({"scale": "near", "zero": "i0"}, {"zero": "i0"}),
        ({"scale": "wide", "zero": "i0"}, {"zero": "z0"}),
        ({"scale": "wide", "zero": "i0"}, {"zero": "low"}),
    ],
)
def test_codes_that_hold_nearly_the_same_are_rounding(one, other, tmp_path):
    """A symmetric range holds any other that reaches as far from 0."""
    old, new = static(**one), static(**other, between=CAST)
    assert judged(old, new, tmp_path).verdict is Verdict.WITHIN
    assert judged(new, old, tmp_path).verdict is Verdict.WITHIN


def test_a_quantiser_that_no_output_needs_is_none(tmp_path):
    dead = "o = QuantizeLinear (x, {0}, z128)  n = DequantizeLinear (o, {0}, z128)  "
    old, new = (
        static(between=CAST * place, before=dead.format(s)) for place, s in enumerate(("ten", "tiny"))
    )
    assert apart(old, new, SIZES["flat"]) == 0
    assert judged(old, new, tmp_path).verdict is Verdict.WITHIN


TWO = (
    "q = QuantizeLinear (x, s, z128)  d = DequantizeLinear (q, s, z128)  "
    "q2 = QuantizeLinear (x, ten, z128)  d2 = DequantizeLinear (q2, ten, z128)  "
)


@pytest.mark.parametrize(
    "taken",
    [
        "m = MatMul ({}, w)  t = Tanh ({})  n = MatMul (t, w)",
        "a = Transpose ({})  b = Transpose (a)  m = MatMul (b, w)  t = Tanh ({})  n = MatMul (t, w)",
        "m = MatMul ({}, w)  a = Reshape ({}, many)  b = Tanh (a)  c = Reshape (b, back)  n = MatMul (c, w)",
    ],
)
@pytest.mark.parametrize("cast", [0, 1])
def test_two_quantisers_of_one_value_do_not_pass_exchanged(taken, cast, tmp_path):
    """What is cast elsewhere is left out beside the codes; who takes which is compared all the same."""
    old = text(f"{TWO}{taken.format('d', 'd2')}  y = Add (m, n)")
    cast_too = "e = Cast <to = 10> ({})  f = Cast <to = 1> (e)  "
    for names, passes in ((["d", "d2"], True), (["d2", "d"], False)):
        wide = cast_too.format(names[cast])
        names[cast] = "f"
        new = text(f"{TWO}{wide}{taken.format(*names)}  y = Add (m, n)")
        assert judged(old, new, tmp_path).verdict.passes is passes
        assert judged(new, old, tmp_path).verdict.passes is passes


@pytest.mark.parametrize(
    ("change", "range_", "cut"),
    [
        ({}, "-5.12 to 5.08", ""),
        ({"scale": "tiny"}, "-0.0128 to 0.0127", ""),
        ({"scale": "ten"}, "-1.28e+03 to 1.27e+03", ""),
        ({"zero": "z0"}, "0 to 10.2", "below 0"),
        ({"zero": "z255"}, "-10.2 to 0", "above 0"),
        ({"zero": "i127"}, "-10.2 to 0", "above 0"),
    ],
)
def test_what_codes_of_one_model_hold_is_named(change, range_, cut, tmp_path):
    whole = judged(text(PLAIN), static(**change), tmp_path)
    assert whole.verdict is Verdict.WITHIN
    said = f"that values stay within what codes of one model hold: {range_} at DequantizeLinear d"
    assert said in whole.dropped
    assert [what for what in whole.dropped if "cut off" in what] == (
        [f"quantisers that cut off {cut}: DequantizeLinear d"] if cut else []
    )


@pytest.mark.parametrize(
    ("function", "change"),
    [
        ("Relu", {"zero": "z255"}),
        ("Relu", {"zero": "i127"}),
        ("Abs", {"zero": "z255"}),
        ("Sigmoid", {"scale": "ten"}),
        ("Tanh", {"scale": "ten"}),
        ("Softmax", {"scale": "s5"}),
    ],
)
def test_a_quantiser_that_makes_one_code_of_all_values_is_no_rounding(function, change, tmp_path):
    old = text(f"h = {function} (x)  y = MatMul (h, w)")
    new = static(source="h", before=f"h = {function} (x)", **change)
    assert np.ptp(run(new, x=RNG.normal(size=(6, 12)).astype(np.float32)), axis=0).max() == 0
    assert judged(old, new, tmp_path).verdict is Verdict.UNPROVEN
    assert judged(old, static(source="h", before=f"h = {function} (x)"), tmp_path).verdict is Verdict.WITHIN


# What onnxruntime makes


class Samples(quantization.CalibrationDataReader):
    def __init__(self) -> None:
        rng = np.random.default_rng(3)
        self.left = iter([{"x": rng.normal(size=(2, 3, 8, 8)).astype(np.float32)} for _ in range(6)])

    def get_next(self):
        return next(self.left, None)


def network() -> ModelProto:
    rng = np.random.default_rng(4)
    made = parser.parse_model("""
    <ir_version: 8, opset_import: ["" : 17]> g (float[N, 3, 8, 8] x) => (float[N, 10] y) {
      c = Conv <pads = [1, 1, 1, 1]> (x, k1, b1)
      a = Relu (c)
      p = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (a)
      d = Conv <pads = [1, 1, 1, 1]> (p, k2, b2)
      e = Add (d, p)
      r = Relu (e)
      g = GlobalAveragePool (r)
      f = Flatten (g)
      h = Gemm <transB = 1> (f, w1, b3)
      t = Tanh (h)
      y = MatMul (t, w2)
    }""")
    shapes = {"k1": (8, 3, 3, 3), "b1": (8,), "k2": (8, 8, 3, 3), "b2": (8,), "w1": (16, 8), "b3": (16,)}
    shapes["w2"] = (16, 10)
    made.graph.initializer.extend(
        numpy_helper.from_array(0.3 * rng.normal(size=shape).astype(np.float32), name)
        for name, shape in shapes.items()
    )
    return made


@functools.cache
def twin(kind: str, folder: Path) -> ModelProto:
    paths = [folder / "float.onnx", folder / f"{kind}.onnx"]
    onnx.save(network(), paths[0])
    if kind.startswith("dynamic"):
        quantization.quantize_dynamic(*paths, weight_type=quantization.QuantType.QInt8)
    else:
        options: dict[str, object] = {"quant_format": quantization.QuantFormat[kind.split()[0]]}
        if "int8" in kind:
            options.update(activation_type=quantization.QuantType.QInt8)
        if "symmetric" in kind:
            options.update(extra_options={"ActivationSymmetric": True})
        quantization.quantize_static(*paths, Samples(), per_channel="channels" in kind, **options)
    return onnx.load(paths[1])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("twins")


KINDS = ("dynamic", "QDQ", "QDQ int8", "QDQ channels", "QOperator", "QOperator channels")


@pytest.mark.parametrize("kind", KINDS)
def test_a_quantised_twin_is_within_the_tolerance(kind, folder, tmp_path):
    assert judged(network(), twin(kind, folder), tmp_path).verdict is Verdict.WITHIN
    assert judged(twin(kind, folder), network(), tmp_path).verdict is Verdict.WITHIN


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("QDQ", "QOperator"),
        ("QDQ channels", "QOperator channels"),
        ("QDQ", "dynamic"),
        ("QDQ", "QDQ channels"),
    ],
)
def test_two_twins_of_one_calibration_are_within_the_tolerance(one, other, folder, tmp_path):
    assert judged(twin(one, folder), twin(other, folder), tmp_path).verdict is Verdict.WITHIN


def without_zero_point(model: ModelProto) -> None:
    for node in model.graph.node:
        if node.op_type in ("ConvInteger", "MatMulInteger"):
            node.input[2] = ""


def without_scale(model: ModelProto) -> None:
    scales = scales_of(model)
    for node in model.graph.node:
        if node.op_type == "Mul" and set(node.input) & set(scales):
            left = [name for name in node.input if name not in scales]
            node.op_type = "Identity"
            node.input[:] = left


def with_each_others_scale(model: ModelProto) -> None:
    scales = scales_of(model)
    following = dict(zip(scales, [*scales[1:], scales[0]], strict=True))
    for node in model.graph.node:
        if node.op_type == "Mul":
            node.input[:] = [following.get(name, name) for name in node.input]
    order = [node for node in model.graph.node if node.op_type == "DynamicQuantizeLinear"]
    assert len(order) == len(scales)


def scales_of(model: ModelProto) -> list[str]:
    return [node.output[1] for node in model.graph.node if node.op_type == "DynamicQuantizeLinear"]


@pytest.mark.parametrize("ruin", [without_zero_point, without_scale, with_each_others_scale])
def test_a_ruined_dynamic_twin_does_not_pass(ruin: Callable[[ModelProto], None], folder, tmp_path):
    ruined = copy.deepcopy(twin("dynamic", folder))
    ruin(ruined)
    for old in (network(), twin("dynamic", folder)):
        assert not judged(old, ruined, tmp_path).verdict.passes


@pytest.mark.parametrize("kind", ["QDQ", "QDQ int8", "QOperator"])
def test_each_changed_activation_scale_is_told_though_a_cast_was_put_in(kind, folder, tmp_path):
    made = twin(kind, folder)
    names = [t.name for t in made.graph.initializer if t.name.endswith("_scale") and t.name[0] not in "kwb"]
    assert len(names) > 4
    for name in names:
        ruined = copy.deepcopy(made)
        tensor = next(t for t in ruined.graph.initializer if t.name == name)
        tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) * np.float32(30), name))
        ruined.graph.node[-1].output[0] = "before"
        ruined.graph.node.append(onnx.helper.make_node("Cast", ["before"], ["wide"], to=11))
        ruined.graph.node.append(onnx.helper.make_node("Cast", ["wide"], ["y"], to=1))
        assert not judged(made, ruined, tmp_path).verdict.passes, name
