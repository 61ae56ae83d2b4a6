"""Terms: what is one function meets in one term, what is not does not; onnxruntime says which is which."""

import numpy as np
import onnxruntime
import pytest
from onnx import ModelProto, helper, numpy_helper, parser

from onnxtop.reader.declared import Declared, shape_of
from onnxtop.reader.limits import DEFAULTS
from onnxtop.reader.loading import load
from onnxtop.reader.terms.call import NEWEST, Call
from onnxtop.reader.terms.constant import constant_of
from onnxtop.reader.terms.folding import Folding
from onnxtop.reader.terms.graph import Graphs
from onnxtop.reader.terms.interface import ports
from onnxtop.reader.terms.sizes import PINNED
from onnxtop.reader.terms.table import Table
from tests import ruins
from tests.models import save

RNG = np.random.default_rng(11)
TENSORS = {
    "w": RNG.normal(size=(4, 6)),
    "v": RNG.normal(size=(6,)),
    "s": RNG.uniform(0.5, 2, size=(4,)),
    "t": RNG.normal(size=(1, 4)),
    "k": RNG.normal(size=(5, 3, 2, 2)),
    "b": RNG.normal(size=(5,)),
    "half": np.array(0.5),
    "two": np.array([2.0]),
    "zero": np.array(0.0),
    "one": np.array(1.0),
    "minus": np.array(-1.0),
    "root": np.array(np.sqrt(0.5)),
    "eps": np.array(1e-3),
}
TENSORS["bc"] = TENSORS["b"].reshape(5, 1, 1)
HEADS = {
    "flat": ("float[3, 4] x", "float y"),
    "deep": ("float[2, 3, 4] x", "float y"),
    "image": ("float[2, 3, 6, 6] x", "float y"),
    "open": ("float[N, 3, 4] x", "float y"),
}


def model(head: str, body: str, opset: int = 17) -> ModelProto:
    inputs, outputs = HEADS[head]
    made = parser.parse_model(
        f'<ir_version: 8, opset_import: ["" : {opset}]> g ({inputs}) => ({outputs}) {{ {body} }}'
    )
    made_here = {name for node in made.graph.node for name in node.output}
    names = {name for node in made.graph.node for name in node.input} - made_here
    made.graph.initializer.extend(
        numpy_helper.from_array(array.astype(np.float32), name)
        for name, array in TENSORS.items()
        if name in names
    )
    return made


_SWISH = pytest.mark.skipif(
    onnxruntime.__version__.startswith("1.23."), reason="onnxruntime 1.23 has no kernel of Swish"
)


def equal(one: ModelProto, other: ModelProto, folder, level: int = 1) -> bool:
    """Tell whether two models meet in one term; they agree in onnxruntime if they do."""
    loaded = [load(save(proto, folder, f"{i}.onnx")) for i, proto in enumerate((one, other))]
    graphs = Graphs(*loaded)
    sizes = PINNED if graphs.is_open else (0,)
    found = all(graphs.terms(level, size).is_equal for size in sizes)
    if found:
        assert not ruins.differ(ruins.outputs(one), ruins.outputs(other))
    return found


SHAPE = "Constant <value_ints = {}> ()"


@pytest.mark.parametrize(
    ("head", "one", "other"),
    [
        ("flat", "a = Mul (x, half)  y = MatMul (a, w)", "a = MatMul (x, w)  y = Mul (half, a)"),
        ("flat", "a = Mul (x, half)  y = Mul (a, half)", "q = Mul (half, half)  y = Mul (x, q)"),
        ("flat", "y = Div (x, two)", "y = Mul (x, half)"),
        ("flat", "y = Add (x, zero)", "y = Identity (x)"),
        ("flat", "a = Div (x, one)  y = Dropout (a)", "y = Mul (one, x)"),
        ("flat", "a = Relu (x)  y = Relu (a)", "y = Relu (x)"),
        ("flat", "y = Max (x, zero)", "y = Relu (x)"),
        ("flat", "y = Pow (x, two)", "y = Mul (x, x)"),
        ("flat", "y = Add (x, t)", "c = Squeeze (t)  y = Add (c, x)"),
        ("flat", "y = Sub (x, t)", "c = Neg (t)  y = Add (c, x)"),
        ("flat", "y = ReduceMean <axes = [-1]> (x)", "y = ReduceMean <axes = [1], keepdims = 1> (x)"),
        ("flat", "m = ReduceMax <axes = [1], keepdims = 0> (x)  y = Neg (m)",
         "m = ReduceMax <axes = [1]> (x)  n = Neg (m)  c = Constant <value_ints = [1]> () "
         "y = Squeeze (n, c)"),
        ("deep", "y = Transpose <perm = [0, 2, 1]> (x)",
         "a = Transpose <perm = [2, 0, 1]> (x)  y = Transpose <perm = [1, 0, 2]> (a)"),
        ("deep", "c = Constant <value_ints = [6, 4]> ()  a = Reshape (x, c)  b = MatMul (a, w) "
         "d = Constant <value_ints = [2, 3, 6]> ()  y = Reshape (b, d)", "y = MatMul (x, w)"),
        ("deep", "a = Relu (x)  y = Flatten (a)", "a = Flatten (x)  y = Relu (a)"),
        ("deep", "i = Constant <value_ints = [2, 0]> ()  a = Gather <axis = 1> (x, i)  y = Tanh (a)",
         "a = Tanh (x)  i = Constant <value_ints = [2, 0]> ()  y = Gather <axis = 1> (a, i)"),
        ("deep", "p, q, r = Split <axis = 1> (x)  y = Concat <axis = 1> (p)",
         "i = Constant <value_ints = [0]> ()  j = Constant <value_ints = [1]> ()  y = Slice (x, i, j, j)"),
        ("deep", "y = Gelu (x)",
         "r = Mul (x, root)  e = Erf (r)  f = Add (one, e)  g = Mul (x, f)  y = Mul (g, half)"),
        ("deep", "y = LayerNormalization <epsilon = 0.001> (x, s)",
         "m = ReduceMean <axes = [2]> (x)  q = Mul (x, x)  n = ReduceMean <axes = [2]> (q)  p = Mul (m, m) "
         "v = Sub (n, p)  f = Add (v, eps)  r = Sqrt (f)  d = Sub (x, m)  u = Div (d, r)  y = Mul (s, u)"),
        ("deep", "y = LayerNormalization <epsilon = 0.001> (x, s, s)",
         "m = ReduceMean <axes = [2]> (x)  d = Sub (x, m)  q = Mul (d, d)  v = ReduceMean <axes = [2]> (q) "
         "f = Add (v, eps)  r = Sqrt (f)  i = Reciprocal (r)  j = Mul (i, s)  a = Mul (x, j)  o = Mul (m, j) "
         "l = Sub (s, o)  y = Add (a, l)"),
        ("image", "y = Conv <pads = [0, 0, 0, 0], kernel_shape = [2, 2]> (x, k, b)",
         "a = Conv <auto_pad = \"VALID\"> (x, k)  y = Add (a, bc)"),
        ("image", "y = Conv <auto_pad = \"SAME_UPPER\"> (x, k)", "y = Conv <pads = [0, 0, 1, 1]> (x, k)"),
        ("image", "y = MaxPool <kernel_shape = [2, 2], strides = [2, 2], ceil_mode = 1> (x)",
         "y = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (x)"),
        ("image", "y = AveragePool <kernel_shape = [2, 2], strides = [2, 2], ceil_mode = 1> (x)",
         "y = AveragePool <kernel_shape = [2, 2], strides = [2, 2]> (x)"),
        ("image", "y = AveragePool <kernel_shape = [3, 3], ceil_mode = 1, count_include_pad = 1> (x)",
         "y = AveragePool <kernel_shape = [3, 3]> (x)"),
        ("image", "y = GlobalAveragePool (x)", "y = ReduceMean <axes = [2, -1]> (x)"),
        pytest.param("deep", "y = Swish (x)", "s = Sigmoid (x)  y = Mul (s, x)", marks=_SWISH),
        pytest.param("deep", "y = Swish <alpha = 0.5> (x)",
                     "a = Mul (x, half)  s = Sigmoid (a)  y = Mul (x, s)", marks=_SWISH),
        ("deep", "y = Neg (x)", "y = Mul (x, minus)"),
        ("deep", "a = Neg (x)  y = Add (a, t)", "y = Sub (t, x)"),
        ("deep", "a = Mul (minus, x)  y = Add (t, a)", "y = Sub (t, x)"),
        ("open", "c = Constant <value_ints = [-1, 12]> ()  y = Reshape (x, c)", "y = Flatten (x)"),
        ("open", "s = Shape (x)  i = Constant <value_int = 0> ()  n = Gather (s, i) "
         "j = Constant <value_ints = [0]> ()  u = Unsqueeze (n, j)  c = Constant <value_ints = [12]> () "
         "d = Concat <axis = 0> (u, c)  y = Reshape (x, d)", "y = Flatten (x)"),
    ],
)  # fmt: skip
def test_one_function_is_one_term(head, one, other, tmp_path):
    opset = 24 if "Swish" in one else 20 if "Gelu" in one else 17
    models = [model(head, body, opset) for body in (one, other)]
    assert equal(*models, tmp_path)
    assert not equal(*models, tmp_path, level=0)


def recurrent(op_type: str, held: dict[int, np.ndarray], **attributes) -> ModelProto:
    """Return a recurrent operation of 3 units on 2 sequences of 4 numbers, with some more operands."""
    gates = {"LSTM": 4, "GRU": 3, "RNN": 1}[op_type]
    given = {1: RNG_WEIGHTS[gates, 4], 2: RNG_WEIGHTS[gates, 3], **held}
    names = ["x", *(f"c{place}" if place in given else "" for place in range(1, max(given) + 1))]
    graph = helper.make_graph(
        [helper.make_node(op_type, names, ["y"], hidden_size=3, **attributes)],
        "g",
        [helper.make_tensor_value_info("x", 1, [5, 2, 4])],
        [helper.make_tensor_value_info("y", 1, None)],
        [numpy_helper.from_array(array.astype(np.float32), f"c{place}") for place, array in given.items()],
    )
    return helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])


RNG_WEIGHTS = {(gates, size): RNG.normal(size=(1, 3 * gates, size)) for gates in (1, 3, 4) for size in (3, 4)}
WITHOUT_SAYING = {
    "LSTM": ["Sigmoid", "Tanh", "Tanh"],
    "GRU": ["Sigmoid", "Tanh"],
    "RNN": ["Tanh"],
}


@pytest.mark.parametrize("op_type", WITHOUT_SAYING)
def test_what_a_recurrent_operation_need_not_say(op_type, tmp_path):
    names = WITHOUT_SAYING[op_type]
    plain = recurrent(op_type, {})
    assert equal(plain, recurrent(op_type, {}, activations=names), tmp_path)
    zeros, ones = np.zeros((1, 2, 3)), np.ones((1, 2, 3))
    bias = np.zeros((1, 6 * {"LSTM": 4, "GRU": 3, "RNN": 1}[op_type]))
    assert equal(plain, recurrent(op_type, {3: bias, 5: zeros}), tmp_path)
    for other in (
        recurrent(op_type, {}, activations=["Relu", *names[1:]]),
        recurrent(op_type, {}, clip=0.5),
        recurrent(op_type, {3: bias + 1}),
        recurrent(op_type, {5: ones}),
    ):
        assert not equal(plain, other, tmp_path)


@pytest.mark.parametrize(
    ("head", "one", "other"),
    [
        ("flat", "y = Add (x, t)", "y = Add (x, s)"),
        ("flat", "y = Sub (x, t)", "y = Sub (t, x)"),
        ("flat", "y = Mul (x, half)", "y = Div (x, half)"),
        ("flat", "y = Relu (x)", "a = Neg (x)  y = Relu (a)"),
        ("flat", "y = Softmax <axis = 0> (x)", "y = Softmax (x)"),
        ("flat", "y = Concat <axis = 0> (x, x)", "y = Concat <axis = 1> (x, x)"),
        ("flat", "y = ReduceSum (x)", "y = ReduceSum <keepdims = 0> (x)"),
        ("flat", "y = Add (x, t)",
         "c = Transpose (t)  d = Transpose (x)  e = Add (d, c)  f = Tanh (e)  y = Transpose (f)"),
        ("deep", "y = Transpose <perm = [1, 2, 0]> (x)", "y = Transpose <perm = [2, 0, 1]> (x)"),
        ("deep", "c = Constant <value_ints = [2, 12]> ()  y = Reshape (x, c)",
         "a = Transpose <perm = [0, 2, 1]> (x)  y = Flatten (a)"),
        ("deep", "i = Constant <value_ints = [2, 0]> ()  y = Gather <axis = 1> (x, i)",
         "i = Constant <value_ints = [0, 2]> ()  y = Gather <axis = 1> (x, i)"),
        ("deep", "y = LayerNormalization <epsilon = 0.001> (x, s)",
         "y = LayerNormalization <epsilon = 0.2> (x, s)"),
        ("deep", "r = Mul (x, root)  e = Erf (r)  f = Add (one, e)  g = Mul (x, f)  y = Mul (g, half)",
         "r = Mul (x, root)  e = Erf (r)  f = Add (eps, e)  g = Mul (x, f)  y = Mul (g, half)"),
        ("image", "y = MaxPool <kernel_shape = [3, 3], strides = [2, 2], ceil_mode = 1> (x)",
         "y = MaxPool <kernel_shape = [3, 3], strides = [2, 2]> (x)"),
        ("image", "y = Conv <auto_pad = \"SAME_LOWER\"> (x, k)", "y = Conv <pads = [0, 0, 1, 1]> (x, k)"),
        ("image", "y = AveragePool <kernel_shape = [2, 2], pads = [1, 1, 1, 1]> (x)",
         "y = AveragePool <kernel_shape = [2, 2], pads = [1, 1, 1, 1], count_include_pad = 1> (x)"),
        ("image", "y = GlobalAveragePool (x)", "y = GlobalMaxPool (x)"),
        ("open", "c = Constant <value_ints = [-1, 12]> ()  y = Reshape (x, c)",
         "a = Transpose <perm = [0, 2, 1]> (x)  y = Flatten (a)"),
    ],
)  # fmt: skip
def test_two_functions_are_two_terms(head, one, other, tmp_path):
    models = [model(head, body) for body in (one, other)]
    assert ruins.differ(*map(ruins.outputs, models))
    assert not equal(*models, tmp_path)


def test_softmax_of_earlier_opsets_is_one_of_matrices(tmp_path):
    earlier, later = (model("deep", "y = Softmax <axis = 1> (x)", opset) for opset in (12, 13))
    assert ruins.differ(*map(ruins.outputs, (earlier, later)))
    assert not equal(earlier, later, tmp_path)
    last = [model("deep", "y = Softmax <axis = 2> (x)", opset) for opset in (12, 13)]
    assert equal(*last, tmp_path)


def test_a_constant_is_known_by_its_content():
    array = RNG.normal(size=(64, 300)).astype(np.float32)
    assert constant_of(array).digest == constant_of(np.asfortranarray(array)).digest
    assert constant_of(array).digest != constant_of(array.T).digest
    table = Table()
    assert table.constant(array) == table.constant(array.copy()) != table.constant(array.astype(np.float64))
    assert table.constant(np.array(0.0)) != table.constant(np.array(-0.0))


def test_a_large_result_is_computed_again_and_not_kept():
    weights = constant_of(np.ones((512, 512), np.float32), read := lambda: np.ones((512, 512), np.float32))
    assert weights.read is read
    call = Call("Transpose", {"perm": (1, 0)}, (0,), NEWEST, 1)
    (made,) = Folding(DEFAULTS).results(call, [weights]) or ()
    assert made.read() is not made.read()
    assert made.shape == (512, 512)


@pytest.mark.parametrize("sizes, shape", [(["n", 0, -1, 3], (None, None, None, 3)), ([], ()), (None, None)])
def test_sizes_that_are_no_number_above_0_are_open(sizes, shape):
    assert shape_of(helper.make_tensor_type_proto(1, sizes)) == shape


def test_what_is_no_tensor_has_no_shape_and_holds_objects():
    kind = helper.make_sequence_type_proto(helper.make_tensor_type_proto(1, [3]))
    assert shape_of(kind) is None
    assert Declared("x", 0, None).array_type == np.dtype(object)


def test_ports_are_paired_by_name_then_by_place():
    a, b, c, d = (Declared(name, 1, (2,)) for name in "abcd")
    assert ports("input", [a, b], [c, d]).pairs == ((0, 0), (1, 1))
    assert not any(remark.counts for remark in ports("input", [a, b], [c, d]).remarks)
    assert ports("input", [a, b], [b, a]).pairs == ((0, 1), (1, 0))
    assert [remark.counts for remark in ports("input", [a, b], [b, a]).remarks] == [True]
    assert ports("input", [a, b], [b, c]).remarks[0].counts
