"""Twins as converters and optimisers make them, each beside a ruined one; onnxruntime says which is which."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper, parser

from onnxtop.comparison.story import diff
from onnxtop.reader.terms import folding
from onnxtop.results.diff import Verdict, WholeDiff
from tests.models import save

RNG = np.random.default_rng(3)
PASSING = (Verdict.SAME, Verdict.EQUIVALENT, Verdict.WITHIN)


def f32(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape).astype(np.float32)


def text(head: str, body: str, opset: int = 17, ir: int = 8, **held: object) -> ModelProto:
    made = parser.parse_model(
        f'<ir_version: {ir}, opset_import: ["" : {opset}, "com.microsoft" : 1]> g {head} {{ {body} }}'
    )
    made.graph.initializer.extend(
        numpy_helper.from_array(np.asarray(array), name) for name, array in held.items()
    )
    return made


def told(old: ModelProto, new: ModelProto, folder: Path) -> WholeDiff:
    """Return the headline of a whole comparison, which layers may speak against."""
    return diff(save(old, folder, "old.onnx"), save(new, folder, "new.onnx")).whole


def off(old: ModelProto, new: ModelProto, **feeds: np.ndarray) -> float:
    """Return by how much of their spread the outputs differ."""
    found = []
    for model in (old, new):
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])
        found.append(session.run(None, feeds)[0])
    if found[0].shape != found[1].shape:
        return np.inf
    return float(np.sqrt(np.square(found[1] - found[0]).mean()) / found[0].std())


def check(old, new, ruined, folder, within=1e-3, **feeds) -> WholeDiff:
    """See that a twin passes, in either direction, that its ruin does not, and that both are such."""
    assert off(old, new, **feeds) < within < off(old, ruined, **feeds)
    whole = told(old, new, folder)
    assert whole.verdict in PASSING, whole.reason
    assert told(new, old, folder).verdict in PASSING
    assert not told(old, ruined, folder).verdict.passes
    assert not told(ruined, old, folder).verdict.passes
    return whole


# Factors in weights

ROWS = "(float[N, 12] x) => (float[N, 8] y)"
IMAGE = "(float[N, 4, 9, 9] x) => (float[N, 4, 7, 7] y)"
X = {"x": f32(5, 12)}
PICTURE = {"x": f32(3, 4, 9, 9)}
W, B, K = f32(12, 8), f32(8), f32(4, 4, 3, 3)
C = f32(4)
EACH = np.array([0.5, -2, 3, -0.1, 1.5, 0.2, -1, 4], np.float32)
CHANNELS = EACH[:4].reshape(4, 1, 1)


@pytest.mark.parametrize(
    ("head", "feeds", "body", "held", "folded", "now"),
    [
        (ROWS, X, "m = MatMul (x, w)  y = Mul (m, k)", {"w": W, "k": np.float32(0.3)},
         "y = MatMul (x, w)", {"w": W * np.float32(0.3)}),
        (ROWS, X, "m = MatMul (x, w)  y = Div (m, k)", {"w": W, "k": np.float32(8)},
         "y = MatMul (x, w)", {"w": W / 8}),
        (ROWS, X, "y = Gemm <alpha = 0.25> (x, w, b)", {"w": W, "b": B},
         "y = Gemm (x, w, b)", {"w": W / 4, "b": B}),
        (ROWS, X, "m = MatMul (x, w)  n = Add (m, b)  y = Mul (n, k)", {"w": W, "b": B, "k": np.float32(-3)},
         "y = Gemm (x, w, b)", {"w": W * -3, "b": B * -3}),
        (ROWS, X, "m = Gemm (x, w, b)  y = Mul (m, k)", {"w": W, "b": B, "k": EACH},
         "y = Gemm (x, w, b)", {"w": W * EACH, "b": B * EACH}),
        (IMAGE, PICTURE, "c = Conv (x, w)  y = Mul (c, k)", {"w": K, "k": CHANNELS},
         "y = Conv (x, w)", {"w": K * CHANNELS[..., None]}),
        (IMAGE, PICTURE, "c = Conv (x, w, b)  y = Mul (c, k)", {"w": K, "b": C, "k": CHANNELS},
         "y = Conv (x, w, b)", {"w": K * CHANNELS[..., None], "b": C * EACH[:4]}),
    ],
)  # fmt: skip
def test_a_factor_of_a_product_may_be_in_the_weights(head, feeds, body, held, folded, now, tmp_path):
    old, new = text(head, body, **held), text(head, folded, **now)
    ruined = text(head, folded, **{**now, "w": now["w"] * np.float32(1.5)})
    check(old, new, ruined, tmp_path, **feeds)


@pytest.mark.parametrize(
    ("op", "group", "shape"),
    [("Gemm", 0, (12, 8)), ("Conv", 1, (8, 4, 3, 3)), ("Conv", 8, (8, 1, 3, 3))],
)
def test_a_normalisation_may_be_folded_whatever_it_makes_of_the_layer(op, group, shape, tmp_path):
    """Negative and small factors too: then the figures of the layer move, which says nothing."""
    held = {"w": f32(*shape), "b": f32(8), "s": EACH, "t": f32(8), "m": f32(8), "v": np.abs(f32(8)) + 0.5}
    factor = held["s"] / np.sqrt(held["v"] + np.float32(1e-5))
    along = factor if op == "Gemm" else factor.reshape(8, 1, 1, 1)
    now = {"w": held["w"] * along, "b": (held["b"] - held["m"]) * factor + held["t"]}
    channels = shape[1] * max(group, 1)
    feeds = X if op == "Gemm" else {"x": f32(2, channels, 6, 6)}
    head = ROWS if op == "Gemm" else f"(float[N, {channels}, 6, 6] x) => (float[N, 8, 4, 4] y)"
    call = f"{op} (x, w, b)" if op == "Gemm" else f"{op} <group = {group}> (x, w, b)"
    old = text(head, f"h = {call}  n = BatchNormalization (h, s, t, m, v)  y = Tanh (n)", **held)
    new = text(head, f"h = {call}  y = Tanh (h)", **now)
    ruined = text(head, f"h = {call}  y = Tanh (h)", **{**now, "w": -now["w"]})
    check(old, new, ruined, tmp_path, **feeds)


# Codes in blocks

WIDE = "(float[N, 48] x) => (float[N, 6] y)"


def blocks(bits: int, accuracy: int = 0, **more: object) -> ModelProto:
    operands = ", ".join(["x", "w", "s", *(["z"] if "z" in more else [])])
    call = f"com.microsoft.MatMulNBits <K = 48, N = 6, bits = {bits}, block_size = 32"
    settings = f", accuracy_level = {accuracy}" if accuracy else ""
    held = {"w": PACKED[:, :, : 4 * bits], "s": SCALES, **more}
    return text(WIDE, f"y = {call}{settings}> ({operands})", **held)


PACKED = RNG.integers(0, 256, (6, 2, 32)).astype(np.uint8)
SCALES = (np.abs(f32(12)) + 0.1).astype(np.float32)


def decoded(bits: int) -> np.ndarray:
    """Return the weights (48, 6) element by element, as the definition of the operation has it."""
    weights = np.empty((48, 6), np.float32)
    each = 8 // bits
    for row in range(6):
        for at in range(48):
            block, place = divmod(at, 32)
            byte = int(PACKED[row, block, place // each])
            code = byte >> bits * (place % each) & 2**bits - 1
            weights[at, row] = (code - 2 ** (bits - 1)) * SCALES[2 * row + block]
    return weights


@pytest.mark.parametrize("bits", [4, 8])
def test_a_zero_point_of_blocks_may_go_without_saying(bits, tmp_path):
    middle = {4: 0x88, 8: 128}[bits]
    zeros = np.full(6 * 2 * bits // 8, middle, np.uint8)
    ruined = zeros.copy()
    ruined[1] += 1 if bits == 8 else 0x11
    feeds = {"x": f32(5, 48)}
    whole = check(blocks(bits), blocks(bits, z=zeros), blocks(bits, z=ruined), tmp_path, **feeds)
    assert whole.verdict is Verdict.EQUIVALENT
    asfloat = text(WIDE, "y = MatMul (x, w)", w=decoded(bits))
    assert check(asfloat, blocks(bits), blocks(bits, z=ruined * 0), tmp_path, **feeds).verdict in PASSING


def test_a_product_of_blocks_that_may_round_its_operand_says_so(tmp_path):
    exact, coarse = blocks(4), blocks(4, accuracy=4)
    whole = told(exact, coarse, tmp_path)
    assert whole.verdict is Verdict.WITHIN
    assert any(each.startswith("rounding of activations to codes") for each in whole.dropped)
    assert told(coarse, blocks(4, accuracy=4, z=np.full(6, 0x88, np.uint8)), tmp_path).verdict in PASSING


def test_a_table_of_blocks_is_one_of_floats(tmp_path):
    head = "(int64[N] x) => (float[N, 32] y)"
    codes = RNG.integers(0, 256, (9, 16)).astype(np.uint8)
    scales = (np.abs(f32(9, 2)) + 0.1).astype(np.float32)
    low, high = codes & 15, codes >> 4
    numbers = np.stack([low, high], -1).reshape(9, 32).astype(np.float32) - 8
    table = (numbers * scales.repeat(16, 1)).astype(np.float32)
    old = text(head, "y = Gather (t, x)", t=table)
    body = "y = com.microsoft.GatherBlockQuantized <bits = 4, block_size = 16, quantize_axis = 1> (w, x, s)"
    assert told(old, text(head, body, w=codes, s=scales), tmp_path).verdict in PASSING
    assert not told(old, text(head, body, w=codes[::-1].copy(), s=scales), tmp_path).verdict.passes


# Rounded one by one


@pytest.mark.parametrize("per_channel", [False, True])
def test_what_is_rounded_to_its_own_codes_is_no_edit(per_channel, tmp_path):
    """Most of the rounding of a kernel sits in the few channels that are large."""
    kernel = f32(32, 4, 3, 3) * np.float32(0.01)
    kernel[5] *= 1000
    limits = np.abs(kernel).reshape(32, -1).max(1) if per_channel else np.abs(kernel).max()[None]
    scale = (limits / 127).astype(np.float32)
    step = scale.reshape(-1, 1, 1, 1) if per_channel else scale[0]
    codes = np.rint(kernel / step).astype(np.int8)
    head = "(float[N, 4, 5, 5] x) => (float[N, 32, 3, 3] y)"
    held = {"w": codes, "s": scale if per_channel else scale[0]}
    body = "d = DequantizeLinear <axis = 0> (w, s)  y = Conv (x, d)"
    old = text(head, "y = Conv (x, w)", w=kernel)
    assert told(old, text(head, body, **held), tmp_path).verdict in PASSING
    edited = codes.copy()
    edited[5, 1, 1, 1] += 40 if edited[5, 1, 1, 1] < 0 else -40
    assert told(old, text(head, body, **{**held, "w": edited}), tmp_path).verdict is Verdict.CHANGED


@pytest.mark.parametrize("factor", [20, 64, 300])
def test_codes_of_a_scale_that_leaves_little_of_a_channel_are_an_edit(factor, tmp_path):
    """Each code is the nearest there is: what is wrong is how far these are apart."""
    kernel = f32(32, 24)
    scale = (np.abs(kernel).max(0) / 127).astype(np.float32)
    verdicts = []
    for by in (1, factor):
        of_channel = scale * np.where(np.arange(24) == 3, np.float32(by), np.float32(1))
        codes = np.rint(kernel / of_channel).astype(np.int8)
        new = text(
            "(float[N, 32] x) => (float[N, 24] y)",
            "d = DequantizeLinear <axis = 1> (w, s)  y = MatMul (x, d)",
            w=codes,
            s=of_channel,
        )
        old = text("(float[N, 32] x) => (float[N, 24] y)", "y = MatMul (x, w)", w=kernel)
        verdicts.append(told(old, new, tmp_path).verdict)
    assert verdicts == [Verdict.WITHIN, Verdict.WITHIN if factor < 127 / 6 else Verdict.CHANGED]


def test_a_scale_for_channels_that_are_nearly_zero_is_no_edit(tmp_path):
    """Quantisers leave no scale below a least one."""
    kernel = f32(32, 24)
    kernel[:, 3] *= 1e-9
    kernel[:, 4] = 0
    scale = np.maximum(np.abs(kernel).max(0) / 127, 1e-4).astype(np.float32)
    scale[4] = 1
    codes = np.rint(kernel / scale).astype(np.int8)
    body = "d = DequantizeLinear <axis = 1> (w, s)  y = MatMul (x, d)"
    old = text("(float[N, 32] x) => (float[N, 24] y)", "y = MatMul (x, w)", w=kernel)
    new = text("(float[N, 32] x) => (float[N, 24] y)", body, w=codes, s=scale)
    assert told(old, new, tmp_path).verdict is Verdict.WITHIN


def test_a_weight_that_is_made_codes_in_the_graph_is_one_in_codes(tmp_path):
    scale = np.float32(np.abs(W).max() / 127)
    old = text(ROWS, "t = Transpose (w)  y = MatMul (x, t)", w=W.T.copy())
    body = (
        "t = Transpose (w)  q = QuantizeLinear (t, s, z)  d = DequantizeLinear (q, s, z)  y = MatMul (x, d)"
    )
    new = text(ROWS, body, w=W.T.copy(), s=scale, z=np.int8(0))
    ruined = text(ROWS, body, w=W.T.copy(), s=scale / 4, z=np.int8(0))
    check(old, new, ruined, tmp_path, within=0.05, **X)


def test_codes_of_a_constant_that_are_not_computed_are_no_rounding(tmp_path, monkeypatch):
    """An onnx may lack what it takes; what a scale cuts off of a weight is then unknown."""
    computed = folding.is_computed
    monkeypatch.setattr(
        folding, "is_computed", lambda node: node.op_type != "QuantizeLinear" and computed(node)
    )
    old = text(ROWS, "y = MatMul (x, w)", w=W)
    body = "q = QuantizeLinear (w, s, z)  d = DequantizeLinear (q, s, z)  y = MatMul (x, d)"
    for part in (1, 4):
        scale = np.float32(np.abs(W).max() / 127 / part)
        new = text(ROWS, body, w=W, s=scale, z=np.int8(0))
        assert told(old, new, tmp_path).verdict is Verdict.UNPROVEN


@pytest.mark.parametrize("value", [1e-5, 3e-6, 1.0009e-4])
def test_a_number_that_a_narrower_type_rounds_is_no_edit(value, tmp_path):
    """The epsilon of a normalisation is no number that float16 holds with all its digits."""
    assert abs(float(np.float16(value)) / value - 1) > 1e-4
    body = "m = ReduceMean <axes = [1]> (x)  c = Add (m, e)  r = Sqrt (c)  y = Div (x, r)"
    head = "(float[N, 12] x) => (float[N, 12] y)"
    old = text(head, body, e=np.float32(value))
    assert told(old, text(head, body, e=np.float32(np.float16(value))), tmp_path).verdict is Verdict.WITHIN
    assert told(old, text(head, body, e=np.float32(value * 1.07)), tmp_path).verdict is Verdict.CHANGED
    one, near = (text(head, body, e=np.float32(each)) for each in (0.5, 0.5015))
    assert told(one, near, tmp_path).verdict is Verdict.CHANGED


# Sizes that stand for open ones


@pytest.mark.parametrize("start", [2, 40, 500])
def test_what_is_beyond_the_first_sizes_is_not_called_the_same(start, tmp_path):
    """Of nothing every order is one: that must prove no order of what longer inputs hold."""
    head = "(float[N, 3, L] x) => (float[A] y)"
    body = "c = Slice (x, b, e, a)  t = Transpose <perm = [{}]> (c)  y = Reshape (t, s)"
    held = {"b": np.array([start]), "e": np.array([2**60]), "a": np.array([2]), "s": np.array([-1])}
    orders = ("0, 2, 1", "0, 1, 2", "2, 1, 0")
    old, *ruined = (text(head, body.format(order), **held) for order in orders)
    for each in ruined:
        assert off(old, each, x=f32(2, 3, start + 5)) > 0.1
        assert told(old, each, tmp_path).verdict is Verdict.CHANGED


@pytest.mark.parametrize("length", [3, 40, 300, 2000])
def test_a_movement_is_followed_behind_a_long_window(length, tmp_path):
    head = "(float[N, 3, L] x) => (float[N, A, B] y)"
    held = {"w": f32(4, 3, length), "s": np.array([0, -1, 4])}
    old = text(
        head,
        "c = Conv (x, w)  t = Transpose <perm = [0, 2, 1]> (c)  r = Reshape (t, s)  y = Relu (r)",
        **held,
    )
    new = text(
        head,
        "c = Conv (x, w)  r = Relu (c)  t = Transpose <perm = [0, 2, 1]> (r)  y = Reshape (t, s)",
        **held,
    )
    bad = text(
        head,
        "c = Conv (x, w)  r = Relu (c)  t = Transpose <perm = [0, 1, 2]> (r)  y = Reshape (t, s)",
        **held,
    )
    whole = check(old, new, bad, tmp_path, x=f32(1, 3, length + 6))
    assert whole.verdict is Verdict.EQUIVALENT


@pytest.mark.parametrize("join", ["Add (x, z)", "Concat <axis = 1> (x, z)", "Where (k, x, z)"])
@pytest.mark.parametrize("second", ["44", "ST"])
def test_sizes_that_have_to_be_one_are_one(join, second, tmp_path):
    """Inputs that are taken together have one batch, though it has two names; of a Concat no more is one."""
    head = f"(float[P, {second[0]}, 6] x, float[Q, {second[1]}, 6] z) => (float[A, B, C] y)"
    held = {f"i{number}": np.array([number]) for number in range(1, 4)}
    more = {"k": np.array([True, False] * 3)} if "k" in join else {}
    twice = text(
        head,
        f"j = {join}  c = Slice (j, i1, i3, i2)  d = Slice (c, i1, i2, i2)  y = Tanh (d)",
        **held,
        **more,
    )
    once, other = (
        text(head, f"j = {join}  c = Slice (j, {ends}, i2)  y = Tanh (c)", **held, **more)
        for ends in ("i2, i3", "i1, i2")
    )
    whole = check(twice, once, other, tmp_path, x=f32(3, 4, 6), z=f32(3, 4, 6))
    assert any("only if they are equal" in each for each in whole.dropped)


# Earlier opsets


@pytest.mark.parametrize(("shape", "axis"), [((2, 5, 1, 1), 1), ((2, 3, 4), 1), ((3, 4), 0), ((2, 3, 4), -2)])
@pytest.mark.parametrize("op", ["Softmax", "LogSoftmax"])
def test_an_earlier_softmax_is_one_of_a_matrix(op, shape, axis, tmp_path):
    sizes = ", ".join(map(str, shape))
    head = f"(float[{sizes}] x) => (float[{sizes}] y)"
    whole = axis % len(shape)
    rows = int(np.prod(shape[:whole], dtype=int))
    held = {"f": np.array([rows, -1]), "s": np.array(shape)}
    old = text(head, f"y = {op} <axis = {axis}> (x)", opset=11)
    new = text(head, f"m = Reshape (x, f)  p = {op} <axis = -1> (m)  y = Reshape (p, s)", **held)
    body = f"m = Reshape (x, f)  p = {op} <axis = 0> (m)  y = Reshape (p, s)"
    check(old, new, text(head, body, **held), tmp_path, x=f32(*shape))


def test_initializers_that_are_no_inputs_are_known_in_the_oldest_files_too(tmp_path):
    """As quantisers write them beside a version that wants them to be inputs."""
    old = text(ROWS, "y = MatMul (x, w)", ir=3, opset=11, w=W)
    old.graph.input.append(helper.make_tensor_value_info("w", TensorProto.FLOAT, W.shape))
    held = {"w": W, "s": np.float32(0.04), "z": np.uint8(128)}
    codes = "q = QuantizeLinear (x, s, z)  d = DequantizeLinear (q, {}, z)  y = MatMul (d, w)"
    new = text(ROWS, codes.format("s"), ir=3, opset=11, **held)
    bad = text(ROWS, codes.format("v"), ir=3, opset=11, **held, v=np.float32(0.1))
    check(old, new, bad, tmp_path, within=0.05, **X)


# What is laid out in a way that is not known


def test_constants_of_other_domains_prove_no_change(tmp_path):
    """Blocks of channels hold the same numbers in another order."""
    old = text(
        IMAGE, "c = Conv (x, w, b)  r = Relu (c)  d = Add (r, k)  y = Relu (d)", w=K, b=C, k=np.float32(1)
    )
    body = "c = own.Conv (x, w, b)  d = own.Sum (c, k)  y = own.Relu (d)"
    new = text(
        IMAGE, body, w=np.ascontiguousarray(K.transpose(1, 0, 2, 3)), b=C[::-1].copy(), k=np.float32(1)
    )
    new.opset_import.append(helper.make_opsetid("own", 1))
    assert told(old, new, tmp_path).verdict is Verdict.UNPROVEN


@pytest.mark.parametrize(("one", "perm"), [("...ij->...ji", "0, 2, 1"), ("abc->cab", "2, 0, 1")])
def test_an_equation_that_only_names_axes_in_another_order_is_a_transposition(one, perm, tmp_path):
    head = "(float[2, 3, 4] x) => (float[A] y)"
    held = {"s": np.array([-1])}
    old = text(head, f"t = Transpose <perm = [{perm}]> (x)  y = Reshape (t, s)", **held)
    new = text(head, f'e = Einsum <equation = "{one}"> (x)  y = Reshape (e, s)', **held)
    bad = text(head, 'e = Einsum <equation = "abc->bca"> (x)  y = Reshape (e, s)', **held)
    check(old, new, bad, tmp_path, x=f32(2, 3, 4))


# Codes that are moved

MOVED = [
    (
        'Resize <mode = "nearest", nearest_mode = "floor"> ({}, , r)',
        {"r": np.array([1, 1, 2, 2], np.float32)},
    ),
    ("Slice ({}, o, t, o)", {"o": np.array([1]), "t": np.array([3])}),
    ("Expand ({}, e)", {"e": np.array([2, 4, 9, 9])}),
    ("DepthToSpace <blocksize = 2> ({})", {}),
    ("Gather <axis = 1> ({}, g)", {"g": np.array([2, 0])}),
]


@pytest.mark.parametrize(("move", "held"), MOVED)
def test_codes_that_are_moved_are_those_of_values_that_are_moved(move, held, tmp_path):
    head = "(float[N, 4, 9, 9] x) => (float[A, B, C, D] y)"
    coders = {"s": np.float32(0.04), "z": np.uint8(128), "v": np.uint8(100)}
    old = text(head, f"m = {move.format('x')}  y = Tanh (m)", **held)
    codes = f"q = QuantizeLinear (x, s, z)  m = {move.format('q')}  "
    new, bad = (
        text(head, f"{codes}d = DequantizeLinear (m, s, {zero})  y = Tanh (d)", **held, **coders)
        for zero in "zv"
    )
    check(old, new, bad, tmp_path, within=0.1, x=f32(1, 4, 9, 9))


@pytest.mark.parametrize("taken", ["a = Reshape (t, f)", "t1 = Transpose (t)  a = Reshape (t1, f)"])
def test_a_table_of_codes_is_decoded_before_it_is_looked_up_and_moved(taken, tmp_path):
    head = "(int64[3, 2] x) => (float[A, B] y)"
    table = f32(9, 4)
    scale = np.float32(np.abs(table).max() / 127)
    held = {"f": np.array([4, 6]), "s": scale}
    old = text(head, f"t = Gather (w, x)  {taken}  y = Tanh (a)", w=table, **held)
    body = f"t = Gather (w, x)  {taken}  d = DequantizeLinear (a, s)  y = Tanh (d)"
    codes = np.rint(table / scale).astype(np.int8)
    new, bad = (text(head, body, w=each, **held) for each in (codes, codes[::-1].copy()))
    check(old, new, bad, tmp_path, within=0.05, x=RNG.integers(0, 9, (3, 2)))


def test_what_a_quantiser_cuts_off_is_named_on_every_way(tmp_path):
    """Of two that take a value behind weights that are rounded, one may be behind the quantiser, or both."""
    scale = np.float32(np.abs(W).max() / 127)
    codes = {"w": np.rint(W / scale).astype(np.int8), "p": scale, "s": np.float32(0.1), "z": np.uint8(0)}
    taken = "a = Tanh ({})  b = MatMul ({}, l)  y = Add (a, b)"
    square = f32(8, 8)
    old = text(ROWS, "m = MatMul (x, w)  " + taken.format("m", "m"), w=W, l=square)
    coded = "f = DequantizeLinear (w, p)  m = MatMul (x, f)  q = QuantizeLinear (m, s, z)  "
    for names in (("d", "m"), ("m", "d"), ("d", "d")):
        body = coded + "d = DequantizeLinear (q, s, z)  " + taken.format(*names)
        whole = told(old, text(ROWS, body, **codes, l=square), tmp_path)
        assert whole.verdict is Verdict.WITHIN
        assert any("cut off below 0" in each for each in whole.dropped)


@pytest.mark.parametrize("op", ["Softmax", "LogSoftmax"])
def test_rows_may_be_laid_out_before_or_behind_what_is_computed_along_them(op, tmp_path):
    head = "(float[2, 3, 4, 5] x) => (float[A, B] y)"
    held = {"f": np.array([-1, 5]), "g": np.array([-1, 4])}
    old = text(
        head, f"t = Transpose <perm = [0, 2, 1, 3]> (x)  p = {op} <axis = -1> (t)  y = Reshape (p, f)", **held
    )
    new = text(
        head, f"t = Transpose <perm = [0, 2, 1, 3]> (x)  m = Reshape (t, f)  y = {op} <axis = -1> (m)", **held
    )
    bad = text(
        head, f"t = Transpose <perm = [0, 1, 2, 3]> (x)  m = Reshape (t, f)  y = {op} <axis = -1> (m)", **held
    )
    check(old, new, bad, tmp_path, x=f32(2, 3, 4, 5))


@pytest.mark.parametrize(
    ("positive", "signed"),
    [
        ("a = Abs (x)  b = Sqrt (a)", "a = Abs (x)  b = Neg (a)"),
        ("a = Exp (x)  b = Reciprocal (a)", "b = Reciprocal (x)"),
        ("a = Exp (x)  b = Mul (a, k)", "a = Exp (x)  b = Mul (a, n)"),
        ("a = Abs (x)  c = Mul (x, x)  b = Add (a, c)", "a = Abs (x)  b = Add (a, n)"),
    ],
)
def test_what_is_never_negative_stays_so_behind_relu(positive, signed, tmp_path):
    """A normalisation's factor keeps its sign, as does a scale that is positive everywhere."""
    head = "(float[N, 8] x) => (float[N, 8] y)"
    held = {"k": np.abs(EACH), "n": EACH}
    feeds = {"x": f32(3, 8) + np.float32(0.1)}
    for body, same in ((positive, True), (signed, False)):
        plain, cut = (
            text(head, f"{body}  c1 = {op} (b)  y = Tanh (c1)", **held) for op in ("Identity", "Relu")
        )
        assert (off(plain, cut, **feeds) < 1e-6) is same
        assert told(plain, cut, tmp_path).verdict.passes is same


@pytest.mark.parametrize("kind", [1, 10])
def test_a_cast_of_what_has_no_known_type_proves_no_change(kind, tmp_path):
    """As a converter to float16 puts it behind the operations of other domains."""
    head, opset = "(float[2, 3] x) => (float[2, 3] y)", helper.make_opsetid("own", 1)
    old = text(head, "a = own.Odd (x)  y = Tanh (a)")
    new = text(head, f"a = own.Odd (x)  b = Cast <to = {kind}> (a)  y = Tanh (b)")
    bad = text(head, "a = own.Odd (x)  b = Neg (a)  y = Tanh (b)")
    for model in (old, new, bad):
        model.opset_import.append(opset)
    assert told(old, new, tmp_path).verdict is Verdict.UNPROVEN
    assert told(new, old, tmp_path).verdict is Verdict.UNPROVEN
    assert told(old, bad, tmp_path).verdict is Verdict.CHANGED
