"""Every setting of the operations that onnx's reference computes: each attribute and each operand that may be
left out, in more than one way, and together where they meet."""

from itertools import product
from typing import Any, NamedTuple

import numpy as np
from onnx import TensorProto, numpy_helper

from tests.reader.operations import (
    CHANNELS,
    GRID,
    HEADS,
    IMAGE,
    NORMALISED,
    POSITIVE,
    ROIS,
    TOKENS,
    VECTOR,
    Array,
    X,
    f32,
    floats,
    ints,
)


class Setting(NamedTuple):
    """An operation with some of its settings, and how many results it is asked for."""

    op_type: str
    operands: list[Any]
    attributes: dict[str, Any]
    results: int = 1


def bytes_of(*shape: int, signed: bool = False, seed: int = 0) -> Array:
    """Return codes."""
    rng = np.random.default_rng((seed, *shape))
    low, kind = (-128, np.int8) if signed else (0, np.uint8)
    return rng.integers(low, low + 256, shape).astype(kind)


def _each(op_type: str, operands: list[Any], *attributes: dict[str, Any], results: int = 1) -> list[Setting]:
    return [Setting(op_type, operands, each, results) for each in attributes]


def _grid(op_type: str, operands: list[Any], results: int = 1, /, **choices: Any) -> list[Setting]:
    """Return an operation with every combination of its attributes; None leaves one out."""
    chosen = [dict(zip(choices, values, strict=True)) for values in product(*choices.values())]
    each = [{name: value for name, value in one.items() if value is not None} for one in chosen]
    return _each(op_type, operands, *each, results=results)


def _recurrent(op_type: str, gates: int, functions: list[list[str]]) -> list[Setting]:
    """Return a recurrent layer of two inputs and four hidden units, three steps, two sequences."""
    w, r = floats(1, 4 * gates, 2) / 2, floats(1, 4 * gates, 4) / 2
    both = [np.concatenate([array, -array]) for array in (w, r)]
    b, steps, lengths = floats(1, 8 * gates), floats(3, 2, 2), np.array([2, 3], np.int32)
    h, c, p = floats(1, 2, 4), floats(1, 2, 4, seed=1), floats(1, 12)
    size, results = {"hidden_size": 4}, 3 if op_type == "LSTM" else 2
    operands = [[steps, w, r, b], [steps, w, r, b, lengths], [steps, w, r, None, None, h]]
    operands += [[steps, w, r, b, np.full(2, 3, np.int32)]]
    if op_type == "LSTM":
        operands += [[steps, w, r, b, None, None, c], [steps, w, r, b, None, None, None, p]]
    each: list[dict[str, Any]] = [
        {"clip": 0.3},
        {"direction": "reverse"},
        *({"activations": names} for names in functions),
        {"activations": ["Affine", *functions[0][1:]], "activation_alpha": [0.5], "activation_beta": [0.1]},
        {"activations": ["LeakyRelu", *functions[0][1:]], "activation_alpha": [0.3]},
        {
            "activations": ["HardSigmoid", *functions[0][1:]],
            "activation_alpha": [0.3],
            "activation_beta": [0.4],
        },
    ]
    if op_type == "LSTM":
        each.append({"input_forget": 1})
    if op_type == "GRU":
        each += [{"linear_before_reset": 1}, {"linear_before_reset": 1, "direction": "reverse"}]
    two: list[dict[str, Any]] = [{"direction": "bidirectional"}, {"direction": "bidirectional", "clip": 0.3}]
    if op_type == "RNN":
        slopes = {"activation_alpha": [0.5, 0.3], "activation_beta": [0.1, 0.2]}
        each.append({"activations": ["Affine"], "activation_alpha": [0.5], "activation_beta": [0.1]})
        two += [{"direction": "bidirectional", "activations": ["Affine", "Affine"], **slopes}]
        two += [{"direction": "bidirectional", "activations": ["Tanh", "Affine"], **slopes}]
    two += [{"direction": "bidirectional", "activations": [*names, *functions[0]]} for names in functions]
    return [
        *(Setting(op_type, given, size, results) for given in operands),
        *_each(op_type, operands[0], *(size | one for one in each), results=results),
        *_each(op_type, [steps, *both], *(size | one for one in two), results=results),
        Setting(op_type, [np.swapaxes(steps, 0, 1), w, r], {**size, "layout": 1}, results),
    ]


SQUARE = floats(1, 2, 7, 7)
LINE = floats(1, 2, 9)
SIZES, MORE, LESS = ints(1, 2, 5, 9), f32(1, 1, 1.6, 2), f32(1, 1, 0.6, 0.5)
COORDINATES = ["half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel", "half_pixel_symmetric"]
ROUNDINGS = ["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"]
REDUCED = ["L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "Sum", "SumSquare"]
PAIRS = ints([0, 1], [2, 3])
SCALE, BEGIN = np.float32(0.02), np.uint8(120)
QUERIES = [floats(1, 2, 4, 4, seed=seed) for seed in range(3)]


def _pools(op_type: str, results: int = 1, /, **choices: Any) -> list[Setting]:
    """Return a pool with windows of some sizes, strides, borders and gaps, rounded either way."""
    none, around, uneven = [0] * 4, [1] * 4, [1, 0, 2, 1]
    windows = [(3, 2, none), (2, 2, around), (3, 3, around), (2, 3, none), (3, 1, around), (3, 2, uneven)]
    return [
        setting
        for size, stride, pads in windows
        for setting in _grid(
            op_type,
            [SQUARE],
            results,
            kernel_shape=[[size, size]],
            strides=[[stride, stride]],
            pads=[pads],
            ceil_mode=[0, 1],
            dilations=[None, [2, 2]],
            **choices,
        )
    ]


def _padded(op_type: str, operands: list[Any], **attributes: Any) -> list[Setting]:
    return _each(
        op_type,
        operands,
        *(
            {**attributes, "auto_pad": rule, "strides": strides}
            for rule in ("SAME_UPPER", "SAME_LOWER", "VALID")
            for strides in ([1, 1], [2, 2], [3, 2])
        ),
    )


SETTINGS: list[Setting] = [
    *_grid("AffineGrid", [floats(1, 3, 4), ints(1, 1, 2, 3, 2)], align_corners=[0, 1]),
    *[
        setting
        for op_type in ("ArgMax", "ArgMin")
        for setting in _grid(
            op_type,
            [f32([1, 3, 3, 2], [5, 5, 1, 5])],
            axis=[0, 1, -1],
            keepdims=[0, 1],
            select_last_index=[0, 1],
        )
    ],
    *_each(
        "Attention",
        QUERIES,
        {"scale": 0.3},
        {"softcap": 2.0},
        {"is_causal": 1},
        {"softmax_precision": 1},
        {"is_causal": 1, "left_window_size": 1},
        {"left_window_size": 1, "right_window_size": 1},
        {"right_window_size": 0},
    ),
    *_each(
        "Attention",
        [*QUERIES, None, None, None],
        *({"qk_matmul_output_mode": mode, "softcap": 2.0} for mode in range(4)),
        results=4,
    ),
    *_each("Attention", [*QUERIES, floats(4, 4)], {}, {"is_causal": 1}),
    *_each("Attention", [*QUERIES, np.tri(4) > 0], {}),
    *_each("Attention", [*QUERIES, None, *QUERIES[1:]], {}, {"is_causal": 1}, results=3),
    *_each("Attention", [*QUERIES, None, None, None, ints(3)], {}),
    *_each("Attention", [TOKENS, TOKENS[:, :, :4], TOKENS[:, :, 4:]], {"q_num_heads": 2, "kv_num_heads": 1}),
    *_pools("AveragePool", count_include_pad=[0, 1]),
    *_padded("AveragePool", [SQUARE], kernel_shape=[3, 3]),
    *_padded("AveragePool", [SQUARE], kernel_shape=[2, 2]),
    *_padded("AveragePool", [SQUARE], kernel_shape=[3, 2], dilations=[2, 1]),
    *_padded("AveragePool", [SQUARE], kernel_shape=[3, 3], count_include_pad=1),
    *_each("AveragePool", [LINE], {"kernel_shape": [3], "pads": [0, 1], "strides": [2]}),
    *_grid("BatchNormalization", [IMAGE, *NORMALISED], epsilon=[None, 0.1]),
    *_grid(
        "BatchNormalization", [IMAGE, *NORMALISED], 3, training_mode=[1], momentum=[None, 0.3], epsilon=[0.1]
    ),
    *_each(
        "BitShift",
        [np.array([1, 2, 255], np.uint8), np.array([1, 3, 1], np.uint8)],
        {"direction": "LEFT"},
        {"direction": "RIGHT"},
    ),
    *[
        setting
        for name in ("BlackmanWindow", "HammingWindow", "HannWindow")
        for setting in _grid(name, [np.array(6)], periodic=[None, 0, 1], output_datatype=[None, 11])
    ],
    *_grid("Cast", [X * 300], to=[TensorProto.FLOAT8E4M3FN, TensorProto.FLOAT8E5M2], saturate=[None, 0, 1]),
    *_grid("CastLike", [X * 300, np.zeros(1, np.float16)], saturate=[None, 0]),
    *_each("Celu", [X], {"alpha": 0.5}, {"alpha": 3.0}),
    *_each("CenterCropPad", [X, ints(5)], {"axes": [0]}, {"axes": [1]}, {"axes": [-1]}),
    *_each("CenterCropPad", [floats(5, 4), ints(2, 7)], {}, {"axes": [1, 0]}),
    *_each(
        "Col2Im",
        [floats(1, 4, 4), ints(4, 4), ints(2, 2)],
        {"strides": [2, 2]},
        {"dilations": [2, 2]},
        {"strides": [3, 3], "pads": [1, 1, 0, 0]},
    ),
    *_each("Col2Im", [floats(1, 4, 25), ints(4, 4), ints(2, 2)], {"pads": [1, 1, 1, 1]}),
    *_grid(
        "Conv",
        [IMAGE, floats(4, 2, 3, 3), VECTOR],
        group=[2],
        pads=[None, [1, 0, 2, 1]],
        strides=[None, [2, 1]],
        dilations=[None, [1, 2]],
    ),
    *_padded("Conv", [IMAGE, floats(3, 4, 2, 3)], kernel_shape=[2, 3]),
    *_padded("Conv", [IMAGE, floats(3, 4, 3, 3)], dilations=[2, 1]),
    *_each("Conv", [LINE, floats(4, 1, 3)], {"group": 2, "auto_pad": "SAME_LOWER", "strides": [2]}),
    *_grid(
        "ConvInteger",
        [bytes_of(1, 4, 5, 5), bytes_of(4, 2, 3, 3), BEGIN],
        group=[2],
        pads=[None, [1, 0, 2, 1]],
        strides=[None, [2, 1]],
        dilations=[None, [1, 2]],
        kernel_shape=[None, [3, 3]],
    ),
    *_padded("ConvInteger", [bytes_of(1, 2, 5, 5), bytes_of(4, 2, 2, 2), None, np.uint8(3)]),
    *_each(
        "ConvInteger", [bytes_of(1, 2, 5, 5), bytes_of(2, 2, 2, 2), None, np.array([3, 200], np.uint8)], {}
    ),
    *_grid(
        "ConvTranspose",
        [SQUARE, floats(2, 3, 3, 3), floats(3)],
        strides=[None, [2, 3]],
        pads=[None, [1, 0, 2, 1]],
        dilations=[None, [2, 1]],
        output_padding=[None, [1, 1]],
    ),
    *_padded("ConvTranspose", [SQUARE, floats(2, 3, 3, 3)]),
    *_padded("ConvTranspose", [SQUARE, floats(2, 3, 2, 2)], kernel_shape=[2, 2]),
    *_grid(
        "ConvTranspose",
        [SQUARE, floats(2, 3, 3, 3)],
        strides=[[2, 2], [3, 3]],
        output_shape=[[14, 14], [16, 17], [20, 20]],
        auto_pad=[None, "SAME_LOWER", "SAME_UPPER"],
    ),
    *_each("ConvTranspose", [IMAGE, floats(4, 2, 3, 3)], {"group": 2}),
    *_each(
        "ConvTranspose",
        [IMAGE, floats(4, 1, 3, 3)],
        {"group": 2},
        {"group": 2, "strides": [2, 2]},
        {"group": 4},
    ),
    *_each("ConvTranspose", [LINE, floats(2, 3, 3)], {"strides": [2]}, {"strides": [2], "pads": [1, 0]}),
    *[
        setting
        for name in ("CumProd", "CumSum")
        for setting in _grid(name, [X, np.array(-1)], exclusive=[0, 1], reverse=[0, 1])
    ],
    *_grid("DFT", [floats(2, 8, 1), None, np.array(1)], inverse=[0, 1], onesided=[0, 1]),
    *_grid("DFT", [floats(2, 8, 3, 2), ints(5)[0], np.array(2)], inverse=[0, 1]),
    *_grid("DFT", [floats(2, 8, 1), np.array(6)], onesided=[0, 1]),
    *_grid("DFT", [floats(2, 8, 1)], axis=[1], onesided=[0, 1], inverse=[0, 1]),
    *_each(
        "DeformConv",
        [floats(1, 4, 7, 7), floats(4, 2, 2, 2), floats(1, 16, 3, 3) / 4],
        {"strides": [2, 2], "group": 2, "offset_group": 2, "kernel_shape": [2, 2]},
    ),
    *_each(
        "DeformConv",
        [
            floats(1, 2, 5, 5),
            floats(2, 2, 2, 2),
            floats(1, 8, 5, 5) / 4,
            floats(2),
            np.abs(floats(1, 4, 5, 5)),
        ],
        {"pads": [1, 1, 1, 1], "dilations": [2, 2]},
    ),
    *_grid("DepthToSpace", [floats(1, 8, 2, 3)], blocksize=[2], mode=[None, "DCR", "CRD"]),
    *_each("DynamicQuantizeLinear", [X], {}, results=3),
    *_each("DynamicQuantizeLinear", [np.abs(X) + 1], {}, results=3),
    *_each("DynamicQuantizeLinear", [-np.abs(X) - 1], {}, results=3),
    *_each("Elu", [X], {"alpha": 0.5}),
    *_grid("EyeLike", [X], k=[None, -1, 1], dtype=[None, TensorProto.DOUBLE, TensorProto.INT64]),
    *_grid("EyeLike", [X.astype(np.int32)], dtype=[None, TensorProto.FLOAT]),
    *_recurrent("GRU", 3, [["Sigmoid", "Tanh"], ["Sigmoid", "Relu"], ["HardSigmoid", "Tanh"]]),
    *_grid("Gelu", [X], approximate=[None, "none", "tanh"]),
    *_grid(
        "Gemm",
        [floats(3, 3), floats(3, 3, seed=1), floats(3)],
        transA=[0, 1],
        transB=[0, 1],
        alpha=[None, 0.5],
        beta=[None, 0.3],
    ),
    *_grid("GlobalLpPool", [IMAGE], p=[None, 1, 3]),
    *_grid(
        "GridSample",
        [SQUARE, floats(1, 3, 3, 2)],
        mode=["linear", "nearest", "cubic", "bilinear", "bicubic"],
        padding_mode=["zeros", "border", "reflection"],
        align_corners=[0, 1],
    ),
    *_grid(
        "GridSample",
        [IMAGE, GRID],
        mode=[None, "linear", "nearest", "cubic"],
        padding_mode=[None, "border", "reflection"],
        align_corners=[0, 1],
    ),
    *_grid(
        "GridSample",
        [floats(1, 2, 3, 3, 4), floats(1, 2, 2, 2, 3)],
        mode=["linear", "nearest"],
        padding_mode=["zeros", "border", "reflection"],
        align_corners=[0, 1],
    ),
    *_grid(
        "GroupNormalization",
        [IMAGE, VECTOR, CHANNELS],
        num_groups=[1, 2, 4],
        epsilon=[None, 0.1],
        stash_type=[None, 1],
    ),
    *_grid("GroupNormalization", [IMAGE, VECTOR[:2], CHANNELS[:2]], num_groups=[2], epsilon=[None, 0.1]),
    *_grid("HardSigmoid", [X], alpha=[None, 0.5], beta=[None, 0.1]),
    *[
        setting
        for name in ("Hardmax", "LogSoftmax", "Softmax")
        for setting in _grid(name, [floats(2, 3, 4)], axis=[None, 0, 1, 2, -2])
    ],
    *_grid("InstanceNormalization", [IMAGE, VECTOR, CHANNELS], epsilon=[None, 0.1]),
    *_grid("IsInf", [f32(np.inf, -np.inf, 1, np.nan)], detect_negative=[None, 0], detect_positive=[None, 0]),
    *_recurrent(
        "LSTM", 4, [["Sigmoid", "Tanh", "Tanh"], ["Sigmoid", "Relu", "Tanh"], ["HardSigmoid", "Tanh", "Relu"]]
    ),
    *_grid(
        "LayerNormalization",
        [X, VECTOR, CHANNELS],
        3,
        axis=[None, 1],
        epsilon=[None, 0.1],
        stash_type=[None, 1],
    ),
    *_each(
        "LayerNormalization", [IMAGE, floats(4, 6, 6), floats(6, 6)], {"axis": 1}, {"axis": -3}, results=3
    ),
    *_grid("LeakyRelu", [X], alpha=[None, 0.5]),
    *_each(
        "LinearAttention",
        [TOKENS, TOKENS, TOKENS],
        *({**HEADS, "update_rule": "linear", **more} for more in ({}, {"scale": 0.3}, {"chunk_size": 2})),
    ),
    *_each(
        "LpPool",
        [SQUARE],
        *(
            {"kernel_shape": [3, 3], "p": p, "strides": [2, 2], **more}
            for p in (1, 2, 3)
            for more in (
                {},
                {"pads": [1, 0, 1, 1]},
                {"ceil_mode": 1},
                {"dilations": [2, 2]},
                {"pads": [1, 1, 1, 1], "ceil_mode": 1},
            )
        ),
    ),
    *_pools("LpPool"),
    *_padded("LpPool", [SQUARE], kernel_shape=[3, 3]),
    *_padded("LpPool", [SQUARE], kernel_shape=[2, 2]),
    *_padded("LpPool", [SQUARE], kernel_shape=[3, 2], dilations=[2, 1]),
    *_each("MatMulInteger", [bytes_of(4, 6), bytes_of(6, 3)], {}),
    *_each("MatMulInteger", [bytes_of(4, 6), bytes_of(6, 3), BEGIN, np.uint8(3)], {}),
    *_each("MatMulInteger", [bytes_of(4, 6), bytes_of(6, 3), None, np.array([3, 4, 200], np.uint8)], {}),
    *_pools("MaxPool"),
    *_pools("MaxPool", 2, storage_order=[None, 1]),
    *_padded("MaxPool", [SQUARE], kernel_shape=[3, 3]),
    *_padded("MaxPool", [SQUARE], kernel_shape=[2, 2]),
    *_padded("MaxPool", [SQUARE], kernel_shape=[3, 2], dilations=[2, 1]),
    *_each(
        "MaxPool",
        [LINE],
        {"kernel_shape": [3], "pads": [0, 1], "strides": [2]},
        {"kernel_shape": [2]},
        results=2,
    ),
    *_each(
        "MaxPool",
        [floats(1, 1, 4, 4, 4)],
        {"kernel_shape": [2, 2, 2]},
        {"kernel_shape": [2, 2, 2], "storage_order": 1},
        {"kernel_shape": [2, 2, 2], "strides": [1, 2, 1]},
        {"kernel_shape": [2, 2, 2], "strides": [1, 2, 1], "storage_order": 1},
        results=2,
    ),
    *_grid("MaxRoiPool", [IMAGE, f32([0, 0, 0, 4, 4])], pooled_shape=[[2, 2]], spatial_scale=[None, 0.5]),
    *_each(
        "MaxUnpool",
        [floats(1, 1, 2, 2), ints(0, 3, 8, 15).reshape(1, 1, 2, 2)],
        {"kernel_shape": [2, 2], "strides": [2, 2]},
        {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [0, 1, 1, 0]},
    ),
    *_each(
        "MaxUnpool",
        [floats(1, 1, 2, 2), ints(0, 3, 8, 15).reshape(1, 1, 2, 2), ints(1, 1, 5, 5)],
        {"kernel_shape": [2, 2], "strides": [2, 2]},
    ),
    *_grid(
        "MelWeightMatrix",
        [np.array(4), np.array(16), np.array(8000), np.float32(0), np.float32(4000)],
        output_datatype=[None, 11],
    ),
    *_grid("MeanVarianceNormalization", [IMAGE], axes=[None, [1], [0, 2, 3], [2, 3]]),
    *_each("Mod", [ints(-7, 7, -7, 7), ints(3, -3, -3, 3)], {}, {"fmod": 1}),
    *_each("Mod", [f32(-7, 7, -7.5, 7), f32(3, -3, -3, 3)], {"fmod": 1}),
    *_grid(
        "NegativeLogLikelihoodLoss",
        [X, ints(0, 3, 1), POSITIVE],
        reduction=["none", "sum", "mean"],
        ignore_index=[None, 3],
    ),
    *_grid(
        "NegativeLogLikelihoodLoss",
        [floats(2, 3, 4), PAIRS.repeat(2, 1) % 3],
        reduction=["none", "mean"],
        ignore_index=[None, 0, -1],
    ),
    *_grid(
        "NonMaxSuppression",
        [
            f32([[0, 0, 1, 1], [0, 0.1, 1, 1.1], [0, 2, 1, 3]]),
            f32([[0.9, 0.8, 0.7]]),
            ints(3),
            f32(0.5),
            f32(0.1),
        ],
        center_point_box=[None, 1],
    ),
    *_grid("OneHot", [ints([0, -1], [3, 5]), np.array(4), f32(2, 9)], axis=[None, 0, 1, -2]),
    *_each("PRelu", [IMAGE, floats(4, 1, 1)], {}),
    *_each("Pow", [np.array([2, 3, -2]), f32(2.5, 1, 2)], {}),
    *_each("Pow", [np.array([2, 3, 2], np.int32), np.array([3, 1, 2], np.int32)], {}),
    *_grid(
        "QLinearConv",
        [
            bytes_of(1, 4, 5, 5),
            SCALE,
            BEGIN,
            bytes_of(3, 4, 3, 3, signed=True),
            f32(0.01, 0.02, 0.03),
            np.zeros(3, np.int8),
            np.float32(0.5),
            np.uint8(100),
        ],
        pads=[None, [1, 0, 2, 1]],
        strides=[None, [2, 1]],
        dilations=[None, [1, 2]],
    ),
    *_padded(
        "QLinearConv",
        [
            bytes_of(1, 2, 5, 5),
            SCALE,
            BEGIN,
            bytes_of(4, 1, 2, 2),
            SCALE,
            BEGIN,
            np.float32(0.1),
            BEGIN,
            np.array([100, -900, 5, 0], np.int32),
        ],
        group=2,
        kernel_shape=[2, 2],
    ),
    *_each(
        "QLinearMatMul",
        [
            bytes_of(4, 6),
            SCALE,
            BEGIN,
            bytes_of(6, 3),
            f32(0.03)[0],
            np.uint8(100),
            np.float32(0.05),
            np.uint8(90),
        ],
        {},
    ),
    *_each(
        "QLinearMatMul",
        [
            bytes_of(4, 6),
            SCALE,
            BEGIN,
            bytes_of(6, 3, signed=True),
            f32(0.03, 0.01, 0.02),
            np.zeros(3, np.int8),
            np.float32(0.05),
            np.uint8(90),
        ],
        {},
    ),
    *_grid("QuantizeLinear", [X, np.float32(0.3)], output_dtype=[None, TensorProto.INT8, TensorProto.UINT16]),
    *_grid(
        "QuantizeLinear",
        [floats(8, 4), np.abs(floats(2, 4))],
        axis=[0],
        block_size=[4],
        output_dtype=[None, TensorProto.INT8],
    ),
    *_grid(
        "QuantizeLinear",
        [X * 300, np.float32(0.3), np.zeros((), np.float32).astype("float8_e4m3fn")],
        saturate=[None, 0],
    ),
    *_grid("QuantizeLinear", [X.astype(np.float16), np.float32(0.3)], precision=[1, 10]),
    *_grid("QuantizeLinear", [floats(3, 4, 2), POSITIVE, bytes_of(4)], axis=[None, 1, -2]),
    *_recurrent("RNN", 1, [["Tanh"], ["Relu"], ["Sigmoid"]]),
    *_grid("RMSNormalization", [IMAGE, floats(6)], axis=[None, 3], epsilon=[None, 0.1], stash_type=[None, 1]),
    *_grid("RMSNormalization", [IMAGE, floats(4, 6, 6)], axis=[1, -3]),
    *[
        setting
        for name in REDUCED
        for setting in [
            *_grid(f"Reduce{name}", [np.abs(IMAGE), ints(1, -1)], keepdims=[None, 0]),
            *_grid(
                f"Reduce{name}", [np.abs(IMAGE), ints()], keepdims=[None, 0], noop_with_empty_axes=[None, 1]
            ),
            *_grid(f"Reduce{name}", [np.abs(IMAGE)], keepdims=[None, 0], noop_with_empty_axes=[None, 1]),
            *_grid(f"Reduce{name}", [np.abs(IMAGE)], keepdims=[None, 0], axes=[[1, -1], [2]]),
        ]
    ],
    *_grid(
        "Resize",
        [SQUARE, None, None, SIZES],
        mode=["nearest", "linear", "cubic"],
        coordinate_transformation_mode=COORDINATES,
    ),
    *_grid(
        "Resize",
        [SQUARE, None, None, ints(1, 2, 1, 3)],
        mode=["nearest", "linear", "cubic"],
        coordinate_transformation_mode=COORDINATES,
    ),
    *[
        setting
        for scales in (MORE, LESS, f32(1, 1, 2, 3), f32(1, 1, 1 / 7, 3 / 7), f32(1, 1, 1.5, 0.7))
        for setting in _grid(
            "Resize",
            [SQUARE, None, scales],
            mode=["nearest", "linear", "cubic"],
            coordinate_transformation_mode=COORDINATES,
        )
    ],
    *[
        setting
        for more in (
            [None, MORE],
            [None, LESS],
            [None, f32(1, 1, 1.5, 0.7)],
            [None, f32(1, 1, 2, 2)],
            [None, None, SIZES],
            [None, None, ints(1, 2, 14, 3)],
        )
        for setting in _grid(
            "Resize",
            [SQUARE, *more],
            nearest_mode=ROUNDINGS,
            coordinate_transformation_mode=["half_pixel", "asymmetric", "align_corners"],
        )
    ],
    *[
        setting
        for more in ([None, LESS], [None, MORE], [None, None, ints(1, 2, 4, 3)])
        for setting in _grid(
            "Resize",
            [SQUARE, *more],
            mode=["linear", "cubic"],
            antialias=[1],
            exclude_outside=[None, 1],
            coordinate_transformation_mode=COORDINATES,
        )
    ],
    *_grid(
        "Resize",
        [SQUARE, None, None, ints(5, 12)],
        mode=["nearest", "linear", "cubic"],
        axes=[[2, 3]],
        keep_aspect_ratio_policy=["stretch", "not_larger", "not_smaller"],
    ),
    *_grid(
        "Resize", [SQUARE, None, f32(2, 1.5)], mode=["nearest", "linear"], axes=[[2, 3], [3, 2], [-1, -2]]
    ),
    *_grid(
        "Resize", [SQUARE, None, MORE], mode=["cubic"], exclude_outside=[None, 1], cubic_coeff_a=[None, -0.5]
    ),
    *_grid(
        "Resize",
        [SQUARE, f32(0, 0, 0.2, 0.2, 1, 1, 0.9, 1.2), None, ints(1, 2, 5, 5)],
        mode=["nearest", "linear", "cubic"],
        coordinate_transformation_mode=["tf_crop_and_resize"],
        extrapolation_value=[None, 7.0],
    ),
    *_grid("ReverseSequence", [floats(4, 3, 2), ints(1, 2, 4)], time_axis=[0], batch_axis=[1]),
    *_grid("ReverseSequence", [floats(4, 3, 2), ints(1, 2, 3, 1)], time_axis=[1], batch_axis=[0]),
    *_grid(
        "RoiAlign",
        [IMAGE, *ROIS],
        mode=["avg", "max"],
        coordinate_transformation_mode=[None, "half_pixel", "output_half_pixel"],
        output_height=[2],
        output_width=[3],
        sampling_ratio=[None, 2],
        spatial_scale=[None, 0.5],
    ),
    *_grid(
        "RoiAlign",
        [IMAGE, *ROIS],
        mode=["avg", "max"],
        output_height=[2],
        output_width=[3],
        sampling_ratio=[None, 2],
        spatial_scale=[None, 0.5],
    ),
    *_grid(
        "RotaryEmbedding",
        [floats(1, 2, 4, 8), floats(10, 4), floats(10, 4, seed=1), ints([0, 1, 5, 3])],
        interleaved=[None, 1],
    ),
    *_each(
        "RotaryEmbedding",
        [floats(1, 2, 4, 8), floats(10, 2), floats(10, 2, seed=1), ints([0, 1, 5, 3])],
        {"rotary_embedding_dim": 4},
        {"rotary_embedding_dim": 4, "interleaved": 1},
    ),
    *_each(
        "RotaryEmbedding",
        [floats(1, 4, 16), floats(1, 4, 4), floats(1, 4, 4, seed=1)],
        {"num_heads": 2},
        {"num_heads": 2, "interleaved": 1},
    ),
    *_grid("STFT", [floats(1, 16, 1), np.array(4), np.abs(floats(8))], onesided=[None, 0]),
    *_grid("STFT", [floats(1, 16, 1), np.array(4), None, np.array(8)], onesided=[None, 0]),
    *_grid("Selu", [X], alpha=[None, 0.5], gamma=[None, 2.0]),
    *_grid("Shape", [IMAGE], start=[None, 1, -2], end=[None, 3, -1]),
    *_grid("Shrink", [X], bias=[None, 0.5], lambd=[None, 1.0]),
    *_grid(
        "SoftmaxCrossEntropyLoss",
        [X, ints(0, 3, 1), POSITIVE],
        2,
        reduction=["none", "sum", "mean"],
        ignore_index=[None, 3],
    ),
    *_grid(
        "SoftmaxCrossEntropyLoss",
        [X, ints(0, 3, 1)],
        2,
        reduction=["none", "sum", "mean"],
        ignore_index=[None, 1],
    ),
    *_grid("SpaceToDepth", [floats(1, 2, 4, 6)], blocksize=[2], mode=[None, "DCR", "CRD"]),
    *_each("Swish", [X], {}, {"alpha": 0.5}),
    *_each("SwiGLU", [X, floats(3, 4, seed=9)], {}, {"alpha": 0.5}),
    *_grid("TensorScatter", [floats(1, 2, 5, 3), floats(1, 2, 2, 3), ints(4)], mode=["circular"]),
    *_grid("TensorScatter", [floats(1, 2, 5, 3), floats(1, 2, 2, 3), ints(2)], axis=[None, 2, -2]),
    *_each(
        "TfIdfVectorizer",
        [np.array([1, 1, 3, 3, 3, 7, 8, 6, 7, 5, 6, 8], np.int32)],
        *(
            {
                "mode": mode,
                "min_gram_length": least,
                "max_gram_length": 2,
                "max_skip_count": skips,
                "ngram_counts": [0, 4],
                "ngram_indexes": [0, 1, 2, 3, 4, 5, 6],
                "pool_int64s": [2, 3, 5, 4, 5, 6, 7, 8, 6, 7],
                **more,
            }
            for mode in ("TF", "IDF", "TFIDF")
            for least in (1, 2)
            for skips in (0, 5)
            for more in ({}, {"weights": [0.5, 1.0, 2.0, 3.0, 0.1, 4.0, 0.3]})
        ),
    ),
    *_each("ThresholdedRelu", [X], {"alpha": 0.5}),
    *_each(
        "TopK",
        [f32([1, 3, 3, 2], [5, 5, 1, 5]), ints(3)],
        {},
        {"largest": 0},
        {"axis": 0, "sorted": 1},
        {"largest": 0, "sorted": 1},
        results=2,
    ),
    *_each("TopK", [f32([1, 3, 3, 2], [5, 5, 1, 5])], {"k": 2}, {"k": 1, "axis": 0}, results=2),
    *_grid("Trilu", [floats(4, 3), np.array(-1)], upper=[None, 0]),
    *_grid("Upsample", [SQUARE, f32(1, 1, 2, 3)], mode=["nearest", "linear"]),
    *_grid("Upsample", [SQUARE, f32(1, 1, 1.5, 2.5)], mode=["nearest", "linear"]),
    *_grid("Upsample", [SQUARE], mode=["nearest", "linear"], scales=[[1.0, 1.0, 2.0, 3.0]]),
    *_grid("Resize", [SQUARE, f32(1, 1, 2, 3)], mode=["nearest", "linear"]),
    *_grid("Resize", [SQUARE, f32(1, 1, 0.5, 0.7)], mode=["nearest", "linear"]),
    *_grid("Expand", [VECTOR, ints(3, 1)]),
    *_grid("Tile", [X, ints(2, 3)]),
    *[Setting(name, [bytes_of(3, 4), bytes_of(4)], {}) for name in ("BitwiseAnd", "BitwiseOr", "BitwiseXor")],
    *[Setting(name, [X > 0, VECTOR > 0], {}) for name in ("And", "Or", "Xor")],
    *[
        Setting(name, [a, b], {})
        for name in ("Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Max", "Mean", "Min", "Pow", "Sum")
        for a, b in ((X, VECTOR), (np.abs(X).astype(np.int32), np.array([2, 3, 1, 0], np.int32)))
    ],
    Setting("BitwiseNot", [bytes_of(3, 4)], {}),
    Setting("Not", [X > 0], {}),
    Setting("Where", [X > 0, X, VECTOR], {}),
    *_each("ConstantOfShape", [ints(2, 3)], {}, {"value": numpy_helper.from_array(f32(0.5))}),
    *_each("DequantizeLinear", [bytes_of(3, 4), f32(0.1, 0.2, 0.3), bytes_of(3)], {"axis": 0}, {"axis": -2}),
    *_each("DequantizeLinear", [bytes_of(4, 4), np.abs(floats(2, 4))], {"axis": 0, "block_size": 2}),
    *_each("DequantizeLinear", [bytes_of(3), np.float32(0.1)], {"output_dtype": TensorProto.FLOAT16}),
    *_each("Reshape", [np.zeros((0, 3), np.float32), ints(3, 0)], {"allowzero": 1}),
    *_each("Split", [X], {"axis": 1, "split": [1, 3]}, {"axis": 1, "num_outputs": 2}, results=2),
    *_each("Split", [X, ints(1, 3)], {"axis": 1}, {"axis": -1}, results=2),
]
"""What is compared with onnxruntime."""
