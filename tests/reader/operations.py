"""Examples of the operations of the ONNX standard that take a float tensor first."""

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper, numpy_helper

Array = NDArray[Any]
Example = tuple[str, list[Any], dict[str, Any]]


def floats(*shape: int, seed: int = 0) -> Array:
    """Return numbers between -2 and 2, none near 0 or a half."""
    rng = np.random.default_rng((seed, *shape))
    return (rng.choice([-1, 1], shape) * (rng.integers(0, 20, shape) / 10 + 0.07)).astype(np.float32)


def ints(*values: Any) -> Array:
    return np.array(values, np.int64)


def f32(*values: Any) -> Array:
    return np.array(values, np.float32)


X, IMAGE, SEQUENCE = floats(3, 4), floats(2, 4, 6, 6), floats(3, 2, 4)
VECTOR, CHANNELS, POSITIVE = floats(4, seed=1), floats(4, seed=2), np.abs(floats(4, seed=3))
NORMALISED = [VECTOR, CHANNELS, CHANNELS, POSITIVE]
TOKENS = floats(1, 3, 8)
GRID = floats(2, 3, 3, 2, seed=4) / 2
SIGNED, DIVISORS = ints(7, -7, 3), ints(2, 2, -2)
PLACES = ints([0, 1], [2, -1])
HEADS = {"q_num_heads": 2, "kv_num_heads": 2}
ROIS = [f32([0, 0, 4, 4], [1, 1, 5, 3]), ints(0, 1)]
POOLED = {"kernel_shape": [3, 3], "strides": [2, 2]}

WRITTEN: list[Example] = [
    ("Acos", [X / 3], {}),
    ("Acosh", [np.abs(X) + 1], {}),
    ("AffineGrid", [floats(1, 2, 3), ints(1, 1, 3, 4)], {}),
    ("AffineGrid", [floats(1, 2, 3), ints(1, 1, 3, 4)], {"align_corners": 1}),
    ("ArgMax", [X], {"axis": 1, "keepdims": 0}),
    ("ArgMax", [np.zeros((3, 4), np.float32)], {"select_last_index": 1}),
    ("Asin", [X / 3], {}),
    ("Atanh", [X / 3], {}),
    ("Attention", [floats(1, 2, 3, 4), floats(1, 2, 5, 4), floats(1, 2, 5, 4)], {}),
    ("Attention", [floats(1, 3, 8), floats(1, 3, 8, seed=1), floats(1, 3, 8)], {**HEADS, "is_causal": 1}),
    ("AveragePool", [IMAGE], {"kernel_shape": [3, 2]}),
    ("AveragePool", [IMAGE], {**POOLED, "pads": [1, 1, 1, 1], "count_include_pad": 1}),
    ("AveragePool", [IMAGE], {**POOLED, "ceil_mode": 1}),
    ("BatchNormalization", [IMAGE, *NORMALISED], {}),
    ("BatchNormalization", [X, *NORMALISED], {"epsilon": 1e-2}),
    ("BatchNormalization", [IMAGE, *NORMALISED], {"training_mode": 1}),
    ("BitCast", [X], {"to": TensorProto.INT32}),
    ("Cast", [X], {"to": TensorProto.FLOAT16}),
    ("Cast", [X], {"to": TensorProto.INT32}),
    ("Cast", [X], {"to": TensorProto.BOOL}),
    ("Cast", [X * 1000], {"to": TensorProto.FLOAT8E4M3FN}),
    ("CastLike", [X, np.zeros(1, np.float16)], {}),
    ("CastLike", [X, np.zeros(1, np.int8)], {}),
    ("CausalConvWithState", [floats(1, 2, 6), floats(2, 1, 3)], {}),
    ("CenterCropPad", [X, ints(5, 2)], {}),
    ("Clip", [X, np.float32(-1), np.float32(0.5)], {}),
    ("Clip", [X, None, np.float32(0.5)], {}),
    ("Clip", [X], {}),
    ("Col2Im", [floats(1, 4, 9), ints(4, 4), ints(2, 2)], {}),
    ("Compress", [X, np.array([True, False, True])], {"axis": 0}),
    ("Compress", [X, np.array([True, False, True])], {}),
    ("Concat", [X, X], {"axis": 1}),
    ("Conv", [IMAGE, floats(3, 4, 3, 2)], {}),
    ("Conv", [IMAGE, floats(4, 2, 3, 3), VECTOR], {"group": 2, "pads": [1, 1, 1, 1], "dilations": [1, 2]}),
    ("Conv", [IMAGE, floats(3, 4, 3, 3)], {"auto_pad": "SAME_LOWER", "strides": [2, 2]}),
    ("ConvTranspose", [IMAGE, floats(4, 3, 3, 3)], {}),
    ("ConvTranspose", [IMAGE, floats(4, 2, 3, 3)], {"group": 2, "strides": [2, 2]}),
    ("CumProd", [X, np.array(1)], {}),
    ("CumSum", [X, np.array(1)], {}),
    ("CumSum", [X, np.array(0)], {"reverse": 1, "exclusive": 1}),
    ("DFT", [floats(2, 8, 1)], {}),
    ("DFT", [floats(2, 8, 2)], {"inverse": 1}),
    (
        "DeformConv",
        [floats(1, 2, 5, 5), floats(2, 2, 2, 2), floats(1, 8, 4, 4) / 4],
        {"kernel_shape": [2, 2]},
    ),
    ("DepthToSpace", [IMAGE], {"blocksize": 2}),
    ("DepthToSpace", [IMAGE], {"blocksize": 2, "mode": "CRD"}),
    ("Det", [floats(2, 3, 3)], {}),
    ("Div", [X, np.zeros(4, np.float32)], {}),
    ("Div", [SIGNED, DIVISORS], {}),
    ("Dropout", [X], {}),
    ("Dropout", [X, np.float32(0.3), np.array(False)], {}),
    ("Einsum", [X, floats(4, 5)], {"equation": "ij,jk->ik"}),
    ("Einsum", [floats(2, 3, 4), floats(2, 4, 5)], {"equation": "...ij,...jk->...ik"}),
    ("Einsum", [floats(4, 4)], {"equation": "ii->i"}),
    ("Einsum", [X, floats(3), VECTOR], {"equation": "ij,i,j"}),
    ("Expand", [VECTOR, ints(3, 1)], {}),
    ("EyeLike", [X], {"k": 1}),
    ("Flatten", [IMAGE], {"axis": 2}),
    ("GRU", [SEQUENCE, floats(1, 15, 4), floats(1, 15, 5)], {"hidden_size": 5}),
    (
        "GRU",
        [SEQUENCE, floats(1, 15, 4), floats(1, 15, 5), floats(1, 30)],
        {"hidden_size": 5, "linear_before_reset": 1},
    ),
    ("Gather", [X, ints(2, 0, -1)], {}),
    ("Gather", [X, ints([0, 1], [3, -1])], {"axis": 1}),
    ("GatherElements", [X, PLACES], {"axis": 1}),
    ("GatherND", [X, PLACES], {}),
    ("GatherND", [floats(2, 3, 4), ints([1], [-1])], {"batch_dims": 1}),
    ("GatherND", [floats(2, 3, 4, 2), floats(2, 3, 1, 2, 1).astype(np.int64)], {"batch_dims": 2}),
    ("Gelu", [X], {}),
    ("Gelu", [X], {"approximate": "tanh"}),
    ("Gemm", [X, floats(4, 5)], {}),
    ("Gemm", [X, floats(5, 4), floats(5)], {"transB": 1, "alpha": 0.5, "beta": 2.0}),
    ("Gemm", [X, floats(5, 3), floats(4, 1)], {"transA": 1, "transB": 1}),
    ("GridSample", [IMAGE, GRID], {}),
    ("GridSample", [IMAGE, GRID], {"mode": "nearest", "padding_mode": "border"}),
    ("GridSample", [IMAGE, GRID * 2], {"padding_mode": "reflection", "align_corners": 1}),
    ("GroupNormalization", [IMAGE, VECTOR, CHANNELS], {"num_groups": 2}),
    ("Hardmax", [X], {}),
    ("Hardmax", [X], {"axis": 0}),
    ("InstanceNormalization", [IMAGE, VECTOR, CHANNELS], {}),
    ("LRN", [IMAGE], {"size": 3}),
    ("LRN", [IMAGE], {"size": 5, "alpha": 0.1, "beta": 0.5, "bias": 2.0}),
    ("LSTM", [SEQUENCE, floats(1, 20, 4), floats(1, 20, 5)], {"hidden_size": 5}),
    (
        "LSTM",
        [SEQUENCE, floats(2, 20, 4), floats(2, 20, 5), floats(2, 40)],
        {"hidden_size": 5, "direction": "bidirectional"},
    ),
    ("LayerNormalization", [X, VECTOR, CHANNELS], {}),
    ("LayerNormalization", [IMAGE, floats(6, 6)], {"axis": 2}),
    (
        "LinearAttention",
        [floats(1, 3, 8), floats(1, 3, 8), floats(1, 3, 8)],
        {**HEADS, "update_rule": "linear"},
    ),
    ("LogSoftmax", [X], {}),
    ("LogSoftmax", [SEQUENCE], {"axis": 1}),
    ("LpNormalization", [X], {}),
    ("LpNormalization", [X], {"axis": 0, "p": 1}),
    ("LpNormalization", [np.zeros((2, 3), np.float32)], {}),
    ("LpPool", [IMAGE], {"kernel_shape": [3, 2]}),
    ("LpPool", [IMAGE], {"kernel_shape": [2, 2], "p": 1, "strides": [2, 2]}),
    ("MatMul", [X, floats(4, 5)], {}),
    ("MatMul", [floats(2, 3, 4), VECTOR], {}),
    ("Max", [X, VECTOR, np.float32(0.2)], {}),
    ("MaxPool", [IMAGE], {"kernel_shape": [3, 2]}),
    ("MaxPool", [IMAGE], {**POOLED, "pads": [1, 1, 1, 1], "dilations": [2, 1]}),
    ("MaxPool", [IMAGE], {"kernel_shape": [2, 2], "ceil_mode": 1, "strides": [3, 3]}),
    ("MaxRoiPool", [IMAGE, f32([0, 0, 0, 4, 4])], {"pooled_shape": [2, 2]}),
    (
        "MaxUnpool",
        [floats(1, 1, 2, 2), ints(0, 3, 9, 15).reshape(1, 1, 2, 2)],
        {"kernel_shape": [2, 2], "strides": [2, 2]},
    ),
    ("Mean", [X, VECTOR], {}),
    ("MeanVarianceNormalization", [IMAGE], {}),
    ("MeanVarianceNormalization", [X], {"axes": [1]}),
    ("Mod", [X, VECTOR], {"fmod": 1}),
    ("Mod", [SIGNED, DIVISORS], {}),
    ("NegativeLogLikelihoodLoss", [X, ints(0, 3, 1)], {}),
    ("NegativeLogLikelihoodLoss", [X, ints(0, 3, 1), POSITIVE], {"reduction": "none"}),
    ("NonMaxSuppression", [floats(1, 4, 4), floats(1, 1, 4), np.array(3), np.float32(0.5)], {}),
    ("OneHot", [f32(0, 2, -1), np.float32(3), f32(0.5, 2)], {}),
    ("OneHot", [f32(0, 2, -1), np.float32(3), f32(0.5, 2)], {"axis": 0}),
    ("PRelu", [IMAGE, floats(4, 1, 1)], {}),
    ("Pad", [X, ints(1, 0, 2, 1), np.float32(0.5)], {}),
    ("Pad", [X, ints(1, 0, 2, 1)], {"mode": "reflect"}),
    ("Pad", [X, ints(1, 1), None, ints(1)], {"mode": "edge"}),
    ("Pad", [X, ints(-1, 0, 0, 1)], {}),
    ("Pow", [np.abs(X), VECTOR], {}),
    ("Pow", [X, np.array(2)], {}),
    ("QuantizeLinear", [X, np.float32(0.1)], {}),
    ("QuantizeLinear", [X, POSITIVE, np.zeros(4, np.int8)], {"axis": 1}),
    ("QuantizeLinear", [X, np.float32(0.001), np.array(3, np.int16)], {}),
    ("RMSNormalization", [X, VECTOR], {}),
    ("RNN", [SEQUENCE, floats(1, 5, 4), floats(1, 5, 5)], {"hidden_size": 5}),
    ("Range", [np.float32(0.5), np.float32(3), np.float32(0.5)], {}),
    ("Range", [np.float32(3), np.float32(0), np.float32(-0.75)], {}),
    ("Reshape", [X, ints(2, -1)], {}),
    ("Reshape", [X, ints(0, 2, 2)], {}),
    ("Resize", [IMAGE, None, f32(1, 1, 2, 1.5)], {}),
    ("Resize", [IMAGE, None, None, ints(2, 4, 3, 9)], {"mode": "linear"}),
    (
        "Resize",
        [IMAGE, None, None, ints(2, 4, 12, 9)],
        {"mode": "cubic", "coordinate_transformation_mode": "align_corners"},
    ),
    (
        "Resize",
        [IMAGE, None, f32(1, 1, 2, 2)],
        {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"},
    ),
    ("Resize", [IMAGE, None, f32(1, 1, 0.5, 0.6)], {"mode": "linear", "antialias": 1}),
    ("ReverseSequence", [X, ints(1, 2, 3, 1)], {}),
    ("RoiAlign", [IMAGE, *ROIS], {"output_height": 2, "output_width": 2, "sampling_ratio": 2}),
    ("RotaryEmbedding", [floats(1, 2, 3, 4), floats(5, 2), floats(5, 2), ints([0, 1, 4])], {}),
    ("STFT", [floats(1, 16, 1), np.array(4), np.abs(floats(8))], {}),
    ("Scatter", [X, ints([0, 1], [2, 1]), floats(2, 2)], {"axis": 1}),
    ("ScatterElements", [X, ints([0, 1], [2, 0]), floats(2, 2)], {"axis": 1}),
    ("ScatterElements", [X, ints([0, 0], [0, 0]), floats(2, 2)], {"axis": 1, "reduction": "add"}),
    ("ScatterElements", [X, ints([0, 0], [0, 0]), floats(2, 2)], {"reduction": "max"}),
    ("ScatterND", [X, ints([0, 1], [2, 0]), floats(2)], {}),
    ("ScatterND", [X, ints([0], [0]), floats(2, 4)], {"reduction": "add"}),
    ("ScatterND", [X, ints([0], [0]), floats(2, 4)], {"reduction": "mul"}),
    ("Shape", [IMAGE], {"start": 1, "end": -1}),
    ("Slice", [X, ints(1, -1), ints(3, -9), ints(0, 1), ints(1, -2)], {}),
    ("Softmax", [X], {}),
    ("Softmax", [SEQUENCE], {"axis": 0}),
    ("SoftmaxCrossEntropyLoss", [X, ints(0, 3, 1)], {}),
    ("SpaceToDepth", [IMAGE], {"blocksize": 2}),
    ("Split", [X, ints(1, 3)], {"axis": 1}),
    ("Split", [X, None], {"axis": 0, "num_outputs": 2}),
    ("Squeeze", [floats(1, 3, 1), ints(0)], {}),
    ("Squeeze", [floats(1, 3, 1)], {}),
    ("SwiGLU", [X, floats(3, 4, seed=9)], {}),
    ("TensorScatter", [floats(1, 2, 5, 3), floats(1, 2, 2, 3), ints(2)], {}),
    ("Tile", [X, ints(2, 3)], {}),
    ("TopK", [X, ints(2)], {}),
    ("TopK", [X, ints(2)], {"largest": 0, "axis": 0}),
    ("Transpose", [SEQUENCE], {"perm": [2, 0, 1]}),
    ("Trilu", [X], {}),
    ("Trilu", [X, np.array(1)], {"upper": 0}),
    ("Unique", [f32([3, 1], [1, 2])], {}),
    ("Unique", [f32([3, 1], [1, 2], [3, 1])], {"axis": 0, "sorted": 0}),
    ("Unsqueeze", [X, ints(0, -1)], {}),
    ("Upsample", [IMAGE, f32(1, 1, 2, 3)], {}),
    *[
        (f"Reduce{name}", [np.abs(SEQUENCE) if "Log" in name else SEQUENCE, *axes], options)
        for name in ["L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "Sum", "SumSquare"]
        for axes, options in (([], {}), ([ints(1)], {"keepdims": 0}), ([ints(0, -1)], {}))
    ],
    *[(name, [IMAGE], {}) for name in ("GlobalAveragePool", "GlobalLpPool", "GlobalMaxPool")],
    *[
        (name, [X, VECTOR], {})
        for name in [
            "Add",
            "Div",
            "Equal",
            "Greater",
            "GreaterOrEqual",
            "Less",
            "LessOrEqual",
            "Max",
            "Min",
            "Mul",
            "Sub",
            "Sum",
        ]
    ],
]
"""Operands and attributes of the operations that are not of one float tensor alone."""


def takes_floats(schema: onnx.defs.OpSchema) -> bool:
    """Tell whether an operation's first operand can be a float tensor."""
    if not schema.inputs:
        return False
    kind = schema.inputs[0].type_str
    allowed = {item.type_param_str: item.allowed_type_strs for item in schema.type_constraints}
    return "tensor(float)" in allowed.get(kind, [kind])


def operations() -> list[str]:
    """Return the names of all operations of the standard that take a float tensor first."""
    schemas = {schema.name: schema for schema in onnx.defs.get_all_schemas() if not schema.domain}
    return sorted(name for name, schema in schemas.items() if takes_floats(schema))


def examples(op_type: str) -> list[Example]:
    """Return the examples of an operation: of one operand where none are written down."""
    found = [example for example in WRITTEN if example[0] == op_type]
    return found or [(op_type, [X], {})]


def example_model(example: Example, opset: int) -> ModelProto:
    """Return a model of one node on constants; its results are the model's."""
    op_type, operands, attributes = example
    names = ["" if array is None else f"c{place}" for place, array in enumerate(operands)]
    while names and not names[-1]:
        names.pop()
    least = {"Split": 2, "Unique": 4, "BatchNormalization": 3 if "training_mode" in attributes else 1}
    fewest = max(1, onnx.defs.get_schema(op_type).min_output)
    results = [f"y{place}" for place in range(least.get(op_type, fewest))]
    held = [(name, np.asarray(array)) for name, array in zip(names, operands, strict=False) if name]
    graph = helper.make_graph(
        [helper.make_node(op_type, names, results, **attributes)],
        "constant",
        [],
        [onnx.ValueInfoProto(name=name) for name in results],
        [numpy_helper.from_array(array, name) for name, array in held],
    )
    return helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", opset)])
