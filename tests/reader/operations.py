"""An example of every operation of the ONNX standard that takes a float tensor first."""

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper, numpy_helper

Array = NDArray[Any]
Example = tuple[list[Any], dict[str, Any]]


def floats(*shape: int, seed: int = 0) -> Array:
    """Return numbers between -2 and 2, none near 0 or a half."""
    rng = np.random.default_rng((seed, *shape))
    return (rng.choice([-1, 1], shape) * (rng.integers(0, 20, shape) / 10 + 0.07)).astype(np.float32)


def ints(*values: Any) -> Array:
    return np.array(values, np.int64)


X = floats(3, 4)
IMAGE = floats(2, 4, 6, 6)
VECTOR, CHANNELS = floats(4, seed=1), floats(4, seed=2)
POSITIVE = np.abs(floats(4, seed=3))
SEQUENCE = floats(3, 2, 4)
GRID = floats(2, 3, 3, 2, seed=4) / 2
ROIS = np.array([[0, 0, 4, 4], [1, 1, 5, 3]], np.float32)

EXAMPLES: dict[str, list[Example]] = {
    "Acosh": [([np.abs(X) + 1], {})],
    "Acos": [([X / 3], {})],
    "Add": [([X, VECTOR], {})],
    "AffineGrid": [
        ([floats(1, 2, 3), ints(1, 1, 3, 4)], {}),
        ([floats(1, 2, 3), ints(1, 1, 3, 4)], {"align_corners": 1}),
    ],
    "ArgMax": [([X], {"axis": 1, "keepdims": 0}), ([np.zeros((3, 4), np.float32)], {"select_last_index": 1})],
    "ArgMin": [([X], {})],
    "Asin": [([X / 3], {})],
    "Atanh": [([X / 3], {})],
    "Attention": [
        ([floats(1, 2, 3, 4), floats(1, 2, 5, 4), floats(1, 2, 5, 4)], {}),
        (
            [floats(1, 3, 8), floats(1, 3, 8, seed=1), floats(1, 3, 8)],
            {"q_num_heads": 2, "kv_num_heads": 2, "is_causal": 1},
        ),
    ],
    "AveragePool": [
        ([IMAGE], {"kernel_shape": [3, 2]}),
        ([IMAGE], {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "strides": [2, 2], "count_include_pad": 1}),
        ([IMAGE], {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1}),
    ],
    "BatchNormalization": [
        ([IMAGE, VECTOR, CHANNELS, CHANNELS, POSITIVE], {}),
        ([X, VECTOR, CHANNELS, CHANNELS, POSITIVE], {"epsilon": 1e-2}),
        ([IMAGE, VECTOR, CHANNELS, CHANNELS, POSITIVE], {"training_mode": 1}),
    ],
    "BitCast": [([X], {"to": TensorProto.INT32})],
    "Cast": [
        ([X], {"to": TensorProto.FLOAT16}),
        ([X], {"to": TensorProto.INT32}),
        ([X * 100], {"to": TensorProto.FLOAT8E4M3FN}),
        ([X], {"to": TensorProto.BOOL}),
    ],
    "CastLike": [([X, np.zeros(1, np.float16)], {}), ([X, np.zeros(1, np.int8)], {})],
    "CausalConvWithState": [([floats(1, 2, 6), floats(2, 1, 3)], {})],
    "CenterCropPad": [([X, ints(5, 2)], {})],
    "Clip": [([X, np.float32(-1), np.float32(0.5)], {}), ([X, None, np.float32(0.5)], {}), ([X], {})],
    "Col2Im": [([floats(1, 4, 9), ints(4, 4), ints(2, 2)], {})],
    "Compress": [([X, np.array([True, False, True])], {"axis": 0}), ([X, np.array([True, False, True])], {})],
    "Concat": [([X, X], {"axis": 1})],
    "Conv": [
        ([IMAGE, floats(3, 4, 3, 2)], {}),
        (
            [IMAGE, floats(4, 2, 3, 3), VECTOR],
            {"group": 2, "pads": [1, 1, 1, 1], "strides": [2, 1], "dilations": [1, 2]},
        ),
        ([IMAGE, floats(3, 4, 3, 3)], {"auto_pad": "SAME_LOWER", "strides": [2, 2]}),
    ],
    "ConvTranspose": [
        ([IMAGE, floats(4, 3, 3, 3)], {}),
        (
            [IMAGE, floats(4, 2, 3, 3)],
            {"group": 2, "strides": [2, 2], "pads": [1, 1, 1, 1], "output_padding": [1, 1]},
        ),
    ],
    "CumProd": [([X, np.array(1)], {})],
    "CumSum": [([X, np.array(1)], {}), ([X, np.array(0)], {"reverse": 1, "exclusive": 1})],
    "DFT": [([floats(2, 8, 1)], {}), ([floats(2, 8, 2)], {"inverse": 1})],
    "DeformConv": [
        ([floats(1, 2, 5, 5), floats(2, 2, 2, 2), floats(1, 8, 4, 4) / 4], {"kernel_shape": [2, 2]})
    ],
    "DepthToSpace": [([IMAGE], {"blocksize": 2}), ([IMAGE], {"blocksize": 2, "mode": "CRD"})],
    "Det": [([floats(2, 3, 3)], {})],
    "Div": [([X, VECTOR], {}), ([X, np.zeros(4, np.float32)], {}), ([ints(7, -7, 3), ints(2, 2, -2)], {})],
    "Dropout": [([X], {}), ([X, np.float32(0.3)], {}), ([X, np.float32(0.3), np.array(False)], {})],
    "Einsum": [
        ([X, floats(4, 5)], {"equation": "ij,jk->ik"}),
        ([floats(2, 3, 4), floats(2, 4, 5)], {"equation": "...ij,...jk->...ik"}),
        ([floats(4, 4)], {"equation": "ii->i"}),
    ],
    "Equal": [([X, VECTOR], {})],
    "Expand": [([VECTOR, ints(3, 1)], {})],
    "EyeLike": [([X], {"k": 1})],
    "Flatten": [([IMAGE], {"axis": 2})],
    "GRU": [
        ([SEQUENCE, floats(1, 15, 4), floats(1, 15, 5)], {"hidden_size": 5}),
        (
            [SEQUENCE, floats(1, 15, 4), floats(1, 15, 5), floats(1, 30)],
            {"hidden_size": 5, "linear_before_reset": 1},
        ),
    ],
    "Gather": [([X, ints(2, 0, -1)], {}), ([X, ints([0, 1], [3, -1])], {"axis": 1})],
    "GatherElements": [([X, ints([0, 1], [2, -1])], {"axis": 1})],
    "GatherND": [([X, ints([0, 1], [2, -1])], {}), ([floats(2, 3, 4), ints([1], [-1])], {"batch_dims": 1})],
    "Gelu": [([X], {}), ([X], {"approximate": "tanh"})],
    "Gemm": [
        ([X, floats(4, 5)], {}),
        ([X, floats(5, 4), floats(5)], {"transB": 1, "alpha": 0.5, "beta": 2.0}),
        ([X, floats(5, 3), floats(4, 1)], {"transA": 1, "transB": 1}),
    ],
    "Greater": [([X, VECTOR], {})],
    "GreaterOrEqual": [([X, VECTOR], {})],
    "GlobalAveragePool": [([IMAGE], {})],
    "GlobalLpPool": [([IMAGE], {})],
    "GlobalMaxPool": [([IMAGE], {})],
    "GridSample": [
        ([IMAGE, GRID], {}),
        ([IMAGE, GRID], {"mode": "nearest", "padding_mode": "border"}),
        ([IMAGE, GRID * 2], {"padding_mode": "reflection", "align_corners": 1}),
    ],
    "GroupNormalization": [([IMAGE, VECTOR, CHANNELS], {"num_groups": 2})],
    "Hardmax": [([X], {}), ([X], {"axis": 0})],
    "InstanceNormalization": [([IMAGE, VECTOR, CHANNELS], {})],
    "LRN": [([IMAGE], {"size": 3})],
    "LSTM": [
        ([SEQUENCE, floats(1, 20, 4), floats(1, 20, 5)], {"hidden_size": 5}),
        (
            [SEQUENCE, floats(2, 20, 4), floats(2, 20, 5), floats(2, 40)],
            {"hidden_size": 5, "direction": "bidirectional"},
        ),
    ],
    "LayerNormalization": [([X, VECTOR, CHANNELS], {}), ([IMAGE, floats(6, 6)], {"axis": 2})],
    "Less": [([X, VECTOR], {})],
    "LessOrEqual": [([X, VECTOR], {})],
    "LinearAttention": [
        ([floats(1, 3, 8), floats(1, 3, 8), floats(1, 3, 8)], {"q_num_heads": 2, "kv_num_heads": 2})
    ],
    "LogSoftmax": [([X], {}), ([floats(2, 3, 4)], {"axis": 1})],
    "LpNormalization": [([X], {}), ([X], {"axis": 0, "p": 1})],
    "LpPool": [
        ([IMAGE], {"kernel_shape": [3, 2]}),
        ([IMAGE], {"kernel_shape": [2, 2], "p": 1, "strides": [2, 2]}),
    ],
    "MatMul": [([X, floats(4, 5)], {}), ([floats(2, 3, 4), floats(4)], {})],
    "Max": [([X, VECTOR], {}), ([X], {}), ([X, VECTOR, np.float32(0.2)], {})],
    "MaxPool": [
        ([IMAGE], {"kernel_shape": [3, 2]}),
        ([IMAGE], {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "strides": [2, 2], "dilations": [2, 1]}),
        ([IMAGE], {"kernel_shape": [2, 2], "ceil_mode": 1, "strides": [3, 3]}),
    ],
    "MaxRoiPool": [([IMAGE, np.array([[0, 0, 0, 4, 4]], np.float32)], {"pooled_shape": [2, 2]})],
    "MaxUnpool": [
        (
            [floats(1, 1, 2, 2), ints([[[0, 3], [9, 15]]]).reshape(1, 1, 2, 2)],
            {"kernel_shape": [2, 2], "strides": [2, 2]},
        )
    ],
    "Mean": [([X, VECTOR], {})],
    "MeanVarianceNormalization": [([IMAGE], {}), ([X], {"axes": [1]})],
    "Min": [([X, VECTOR], {})],
    "Mod": [([X, VECTOR], {"fmod": 1}), ([ints(7, -7, 3), ints(2, 2, -2)], {})],
    "Mul": [([X, VECTOR], {})],
    "NegativeLogLikelihoodLoss": [
        ([X, ints(0, 3, 1)], {}),
        ([X, ints(0, 3, 1), POSITIVE], {"reduction": "none"}),
    ],
    "NonMaxSuppression": [
        ([floats(1, 4, 4), floats(1, 1, 4), np.array(3), np.float32(0.5), np.float32(0)], {})
    ],
    "OneHot": [
        ([np.array([0, 2, -1], np.float32), np.float32(3), np.array([0.5, 2], np.float32)], {}),
        ([np.array([0, 2, -1], np.float32), np.float32(3), np.array([0.5, 2], np.float32)], {"axis": 0}),
    ],
    "PRelu": [([IMAGE, floats(4, 1, 1)], {})],
    "Pad": [
        ([X, ints(1, 0, 2, 1), np.float32(0.5)], {}),
        ([X, ints(1, 0, 2, 1)], {"mode": "reflect"}),
        ([X, ints(1, 1), None, ints(1)], {"mode": "edge"}),
        ([X, ints(-1, 0, 0, 1)], {}),
    ],
    "Pow": [([np.abs(X), VECTOR], {}), ([X, np.array(2)], {})],
    "QuantizeLinear": [
        ([X, np.float32(0.1)], {}),
        ([X, POSITIVE, np.zeros(4, np.int8)], {"axis": 1}),
        ([X, np.float32(0.001), np.array(3, np.int16)], {}),
    ],
    "RMSNormalization": [([X, VECTOR], {})],
    "RNN": [([SEQUENCE, floats(1, 5, 4), floats(1, 5, 5)], {"hidden_size": 5})],
    "Range": [
        ([np.float32(0.5), np.float32(3), np.float32(0.5)], {}),
        ([np.float32(3), np.float32(0), np.float32(-0.75)], {}),
    ],
    **{
        f"Reduce{name}": [
            ([data], {}),
            ([data, ints(1)], {"keepdims": 0}),
            ([data, ints(0, -1)], {}),
            ([data], {"noop_with_empty_axes": 1}),
        ]
        for name, data in {
            "L1": SEQUENCE,
            "L2": SEQUENCE,
            "LogSum": np.abs(SEQUENCE),
            "LogSumExp": SEQUENCE,
            "Max": SEQUENCE,
            "Mean": SEQUENCE,
            "Min": SEQUENCE,
            "Prod": SEQUENCE,
            "Sum": SEQUENCE,
            "SumSquare": SEQUENCE,
        }.items()
    },
    "Reshape": [([X, ints(2, -1)], {}), ([X, ints(0, 2, 2)], {})],
    "Resize": [
        ([IMAGE, None, np.array([1, 1, 2, 1.5], np.float32)], {}),
        ([IMAGE, None, None, ints(2, 4, 3, 9)], {"mode": "linear"}),
        (
            [IMAGE, None, None, ints(2, 4, 12, 9)],
            {"mode": "cubic", "coordinate_transformation_mode": "align_corners"},
        ),
        (
            [IMAGE, None, np.array([1, 1, 2, 2], np.float32)],
            {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"},
        ),
        ([IMAGE, None, np.array([1, 1, 0.5, 0.6], np.float32)], {"mode": "linear", "antialias": 1}),
    ],
    "ReverseSequence": [([X, ints(1, 2, 3, 1)], {})],
    "RoiAlign": [([IMAGE, ROIS, ints(0, 1)], {"output_height": 2, "output_width": 2, "sampling_ratio": 2})],
    "RotaryEmbedding": [([floats(1, 2, 3, 4), floats(5, 2), floats(5, 2), ints([0, 1, 4])], {})],
    "STFT": [([floats(1, 16, 1), np.array(4), np.abs(floats(8))], {})],
    "Scatter": [([X, ints([0, 1], [2, 1]), floats(2, 2)], {"axis": 1})],
    "ScatterElements": [
        ([X, ints([0, 1], [2, 0]), floats(2, 2)], {"axis": 1}),
        ([X, ints([0, 0], [0, 0]), floats(2, 2)], {"axis": 1, "reduction": "add"}),
        ([X, ints([0, 0], [0, 0]), floats(2, 2)], {"reduction": "max"}),
    ],
    "ScatterND": [
        ([X, ints([0, 1], [2, 0]), floats(2)], {}),
        ([X, ints([0], [0]), floats(2, 4)], {"reduction": "add"}),
        ([X, ints([0], [0]), floats(2, 4)], {"reduction": "mul"}),
    ],
    "Shape": [([X], {}), ([IMAGE], {"start": 1, "end": -1})],
    "Slice": [([X, ints(1, -1), ints(3, -9), ints(0, 1), ints(1, -2)], {})],
    "Softmax": [([X], {}), ([floats(2, 3, 4)], {"axis": 1}), ([floats(2, 3, 4)], {"axis": 0})],
    "SoftmaxCrossEntropyLoss": [([X, ints(0, 3, 1)], {})],
    "SpaceToDepth": [([IMAGE], {"blocksize": 2})],
    "Split": [([X, ints(1, 3)], {"axis": 1}), ([X], {"axis": 1, "num_outputs": 2})],
    "Squeeze": [([floats(1, 3, 1), ints(0)], {}), ([floats(1, 3, 1)], {})],
    "Sub": [([X, VECTOR], {})],
    "Sum": [([X, VECTOR], {}), ([X], {})],
    "SwiGLU": [([X, floats(3, 4, seed=9)], {})],
    "TensorScatter": [([floats(1, 2, 5, 3), floats(1, 2, 2, 3), ints(2)], {})],
    "Tile": [([X, ints(2, 3)], {})],
    "TopK": [([X, ints(2)], {}), ([X, ints(2)], {"largest": 0, "axis": 0})],
    "Transpose": [([floats(2, 3, 4)], {"perm": [2, 0, 1]}), ([X], {})],
    "Trilu": [([X], {}), ([X, np.array(1)], {"upper": 0})],
    "Unique": [([X], {}), ([X], {"axis": 0, "sorted": 0})],
    "Unsqueeze": [([X, ints(0, -1)], {})],
    "Upsample": [
        ([IMAGE, np.array([1, 1, 2, 3], np.float32)], {}),
        ([IMAGE, np.array([1, 1, 2, 2], np.float32)], {"mode": "linear"}),
    ],
    **{name: [([IMAGE], {})] for name in ()},
}
"""Operands and attributes of the operations that need more than one float tensor."""


def examples(op_type: str) -> list[Example]:
    """Return the examples of an operation: of one operand where none are written down."""
    return EXAMPLES.get(op_type, [([X], {})])


def example_model(op_type: str, operands: list[Any], attributes: dict[str, Any], opset: int) -> ModelProto:
    """Return a model of one node on constants; its results are the model's."""
    schema = onnx.defs.get_schema(op_type, opset)
    names = ["" if array is None else f"c{place}" for place, array in enumerate(operands)]
    count = 2 if op_type == "Split" else max(1, schema.min_output)
    results = [f"y{place}" for place in range(count)]
    node = helper.make_node(op_type, names, results, **attributes)
    graph = helper.make_graph(
        [node],
        "constant",
        [],
        [onnx.ValueInfoProto(name=name) for name in results],
        [numpy_helper.from_array(np.asarray(a), n) for n, a in zip(names, operands, strict=True) if n],
    )
    return helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", opset)])
