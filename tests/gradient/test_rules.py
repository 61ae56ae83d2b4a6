"""Every rule against the five-point stencil: shapes, strides, groups, broadcasts, several seeds."""

from collections.abc import Iterator

import numpy as np
import pytest

from onnxtop.gradient.expansions import EXPANSIONS
from onnxtop.gradient.rules import RULES
from tests.gradient.rules import Case, away, distinct, positive

MICROSOFT = "com.microsoft"
I64 = np.int64


def ints(*values: int) -> np.ndarray:
    return np.array(values, I64)


def elementwise() -> Iterator[Case]:
    smooth = (
        "Neg",
        "Exp",
        "Sin",
        "Cos",
        "Atan",
        "Sigmoid",
        "Tanh",
        "Softplus",
        "Softsign",
        "Erf",
        "Mish",
        "Identity",
    )
    kinked = ("Abs", "Relu", "Celu", "Elu", "Selu", "LeakyRelu", "HardSwish")
    for op in (*smooth, *kinked):
        yield Case(op, [away(3, 4)])
    for op in ("Sqrt", "Log", "Reciprocal"):
        yield Case(op, [positive(3, 4)])
    for approximate in ("none", "tanh"):
        yield Case("Gelu", [away(3, 4)], {"approximate": approximate})
    yield Case("Gelu", [away(3, 4)], domain=MICROSOFT)
    yield Case("FastGelu", [away(3, 4), away(4)], domain=MICROSOFT)
    yield Case("BiasGelu", [away(3, 4), away(4)], domain=MICROSOFT)
    yield Case("QuickGelu", [away(3, 4)], {"alpha": 1.7}, domain=MICROSOFT)
    yield Case("Celu", [away(3, 4)], {"alpha": 2.0})
    yield Case("Elu", [away(3, 4)], {"alpha": 0.5})
    yield Case("Selu", [away(3, 4)], {"alpha": 1.5, "gamma": 1.1})
    yield Case("LeakyRelu", [away(3, 4)], {"alpha": 0.2})
    yield Case("ThresholdedRelu", [away(3, 4)], {"alpha": 0.1})
    yield Case("HardSigmoid", [away(3, 4)], {"alpha": 0.3, "beta": 0.55})
    yield Case("Cast", [away(3, 4)], {"to": 11})
    yield Case("CastLike", [away(3, 4), away(1)])
    for slope in (away(4), away(1), away(3, 1), positive(3, 4)):
        yield Case("PRelu", [away(3, 4), slope])
    for op in ("Add", "Sub", "Mul", "Div"):
        for a, b in (
            ((3, 4), (3, 4)),
            ((3, 4), (4,)),
            ((4,), (2, 3, 4)),
            ((3, 1), (1, 4)),
            ((2, 3), ()),
            ((1,), (1,)),
        ):
            yield Case(op, [away(*a), away(*b, seed=1)])
    yield Case("Pow", [positive(3, 4), away(4)])
    yield Case("Pow", [away(3, 4), np.float32(2)], still=[1])
    yield Case("Pow", [away(3, 4), np.float32(3)], still=[1])
    yield Case("Pow", [positive(3, 4), np.float32(-0.5)], still=[1])
    yield Case("Pow", [away(3, 4), ints(2)])
    for op in ("Sum", "Mean", "Max", "Min"):
        yield Case(op, [distinct(3, 4)])
        yield Case(op, [distinct(3, 4), distinct(4, seed=1) + 0.1, distinct(3, 1, seed=2) + 0.03])
    bounds = np.float32(-0.5), np.float32(0.9)
    yield Case("Clip", [distinct(3, 4), *bounds], still=[1, 2])
    yield Case("Clip", [distinct(3, 4), None, bounds[1]], still=[2])
    yield Case("Clip", [distinct(3, 4), bounds[0]], still=[1])
    condition = np.array([[True], [False], [True]])
    yield Case("Where", [condition, away(3, 4), away(4)])
    yield Case("Swish", [away(3, 4)], {"alpha": 0.7}, opset=24)


def products() -> Iterator[Case]:
    shapes = (
        ((3, 4), (4, 5)), ((2, 3, 4), (4, 5)), ((2, 3, 4), (2, 4, 5)), ((2, 1, 3, 4), (3, 4, 5)),
        ((3, 4), (2, 4, 5)),
        ((4,), (4, 5)), ((3, 4), (4,)), ((4,), (4,)), ((2, 3, 4), (4,)), ((4,), (2, 4, 5)),
        ((2, 1, 4), (4, 5)),
    )  # fmt: skip
    for a, b in shapes:
        yield Case("MatMul", [away(*a), away(*b, seed=1)])
    for ta in (0, 1):
        for tb in (0, 1):
            a, b = ((4, 3) if ta else (3, 4)), ((5, 4) if tb else (4, 5))
            settings = {"transA": ta, "transB": tb, "alpha": 0.7, "beta": 1.3}
            for c in ((5,), (3, 1), (3, 5), (1,), ()):
                yield Case("Gemm", [away(*a), away(*b, seed=1), away(*c, seed=2)], settings)
            yield Case("Gemm", [away(*a), away(*b, seed=1)], {"transA": ta, "transB": tb})
            settings = {"transA": ta, "transB": tb, "alpha": 0.5}
            yield Case("FusedMatMul", [away(2, *a), away(2, *b, seed=1)], settings, domain=MICROSOFT)
            yield Case("FusedMatMul", [away(2, *a), away(*b, seed=1)], settings, domain=MICROSOFT)
    for equation, *operands in (
        ("ij,jk->ik", (2, 3), (3, 4)), ("bij,bjk->bik", (2, 3, 4), (2, 4, 5)),
        ("bhid,bhjd->bhij", (1, 2, 3, 4), (1, 2, 5, 4)),
        ("...ij,jk->...ik", (2, 3, 4), (4, 5)), ("ij->ji", (2, 3)), ("ij->i", (2, 3)),
        ("i,j->ij", (2,), (3,)),
        ("ij,ij", (2, 3), (2, 3)), ("abc,cd,de->abe", (2, 3, 4), (4, 2), (2, 3)),
        ("...i,...i->...", (2, 3), (2, 3)),
        ("ij,jk", (2, 3), (3, 4)),
    ):  # fmt: skip
        inputs = [away(*shape, seed=i) for i, shape in enumerate(operands)]
        yield Case("Einsum", inputs, {"equation": equation})


def convolutions() -> Iterator[Case]:
    two = (
        ((2, 3, 7, 6), (4, 3, 3, 2), {}),
        ((2, 3, 7, 6), (4, 3, 3, 2), {"strides": [2, 3], "pads": [1, 0, 2, 1]}),
        ((2, 3, 9, 8), (4, 3, 3, 2), {"dilations": [2, 3], "strides": [2, 1], "pads": [2, 1, 0, 3]}),
        ((2, 4, 6, 6), (6, 2, 3, 3), {"group": 2, "pads": [1, 1, 1, 1], "strides": [2, 2]}),
        ((2, 4, 6, 6), (4, 1, 3, 3), {"group": 4}),
        ((2, 4, 6, 6), (8, 1, 3, 3), {"group": 4, "dilations": [2, 2], "pads": [2, 2, 2, 2]}),
        ((2, 3, 5, 6), (4, 3, 1, 1), {}),
        ((2, 3, 5, 6), (4, 3, 1, 1), {"strides": [2, 2]}),
        ((2, 3, 7, 6), (4, 3, 3, 3), {"auto_pad": "SAME_UPPER", "strides": [2, 2]}),
        ((2, 3, 7, 6), (4, 3, 2, 4), {"auto_pad": "SAME_LOWER"}),
        ((2, 3, 7, 6), (4, 3, 3, 3), {"auto_pad": "VALID"}),
        ((1, 2, 8, 8), (3, 2, 3, 3), {"strides": [3, 3]}),
        ((2, 2, 4, 4), (3, 2, 4, 4), {}),
    )
    for x, w, settings in two:
        yield Case("Conv", [away(*x), away(*w, seed=1), away(w[0], seed=2)], settings)
    yield Case("Conv", [away(2, 3, 9), away(4, 3, 3, seed=1)], {"strides": [2], "pads": [1, 1]})
    yield Case("Conv", [away(2, 4, 9), away(4, 2, 3, seed=1)], {"group": 2, "dilations": [2]})
    yield Case("Conv", [away(1, 2, 4, 5, 4), away(3, 2, 2, 3, 2, seed=1)], {"pads": [1, 1, 0, 0, 1, 1]})
    transposed = (
        ((2, 3, 4, 5), (3, 4, 3, 2), {}),
        ((2, 3, 4, 5), (3, 4, 3, 2), {"strides": [2, 3], "pads": [1, 0, 0, 1]}),
        ((2, 3, 4, 5), (3, 4, 3, 3), {"strides": [2, 2], "output_padding": [1, 1], "pads": [1, 1, 1, 1]}),
        ((2, 4, 4, 5), (4, 3, 3, 2), {"group": 2, "strides": [2, 1]}),
        ((2, 3, 4, 4), (3, 2, 3, 3), {"dilations": [2, 2], "pads": [1, 1, 1, 1]}),
        ((2, 3, 4, 4), (3, 2, 3, 3), {"auto_pad": "SAME_UPPER", "strides": [2, 2]}),
        ((2, 3, 4, 4), (3, 2, 3, 3), {"auto_pad": "SAME_LOWER", "strides": [2, 2]}),
        ((2, 3, 4, 4), (3, 2, 2, 2), {"strides": [2, 2]}),
        ((2, 3, 4, 4), (3, 2, 3, 3), {"output_shape": [9, 9], "strides": [2, 2]}),
    )
    for x, w, settings in transposed:
        outs = w[1] * settings.get("group", 1)
        yield Case("ConvTranspose", [away(*x), away(*w, seed=1), away(outs, seed=2)], settings)
    yield Case("ConvTranspose", [away(2, 3, 5), away(3, 4, 3, seed=1)], {"strides": [2]})
    nothing = np.zeros(0, np.float32)
    for mode in ("nearest", "linear"):
        for how in ("half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel"):
            settings = {"mode": mode, "coordinate_transformation_mode": how}
            if mode == "nearest":
                settings["nearest_mode"] = "floor" if how == "asymmetric" else "round_prefer_floor"
            scales = np.array([1, 1, 2, 3], np.float32)
            yield Case("Resize", [away(2, 3, 4, 3), None, scales], settings, still=[2])
            yield Case("Resize", [away(2, 3, 4, 3), None, None, ints(2, 3, 7, 5)], settings)
    yield Case("Resize", [away(1, 2, 6, 6), nothing, np.array([1, 1, 0.5, 0.5], np.float32)], still=[1, 2])


def pooling() -> Iterator[Case]:
    windows = (
        {"kernel_shape": [2, 2], "strides": [2, 2]},
        {"kernel_shape": [3, 2]},
        {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]},
        {"kernel_shape": [3, 3], "strides": [2, 2], "auto_pad": "SAME_UPPER"},
        {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1},
        {"kernel_shape": [2, 2], "strides": [1, 3], "auto_pad": "VALID"},
        {"kernel_shape": [2, 2], "dilations": [2, 2]},
    )
    for settings in windows:
        yield Case("MaxPool", [distinct(2, 3, 8, 7)], settings)
        yield Case("AveragePool", [away(2, 3, 8, 7)], settings)
        yield Case("AveragePool", [away(2, 3, 8, 7)], {**settings, "count_include_pad": 1})
    yield Case("MaxPool", [distinct(2, 3, 9)], {"kernel_shape": [3], "strides": [2]})
    yield Case("AveragePool", [away(2, 3, 9)], {"kernel_shape": [3], "strides": [2], "pads": [1, 1]})
    yield Case("MaxPool", [distinct(1, 2, 4, 4, 4)], {"kernel_shape": [2, 2, 2], "strides": [2, 2, 2]})
    yield Case("AveragePool", [away(1, 2, 4, 4, 4)], {"kernel_shape": [2, 2, 2], "strides": [2, 2, 2]})
    yield Case("LpPool", [away(2, 3, 6, 6)], {"kernel_shape": [2, 2], "strides": [2, 2]})
    yield Case("LpPool", [away(2, 3, 6, 6)], {"kernel_shape": [3, 3], "p": 3})
    yield Case("GlobalAveragePool", [away(2, 3, 4, 5)])
    yield Case("GlobalMaxPool", [distinct(2, 3, 4, 5)])
    yield Case("GlobalAveragePool", [away(2, 3, 4)])


def normalisation() -> Iterator[Case]:
    for shape in ((4, 3), (4, 3, 5), (2, 3, 4, 5)):
        channels = [away(3, seed=i) for i in range(3)]
        statistics = [channels[2], positive(3, seed=4)]
        yield Case("BatchNormalization", [away(*shape), *channels[:2], *statistics], still=[3, 4])
        trained = [away(*shape), *channels[:2], *statistics]
        yield Case("BatchNormalization", trained, {"training_mode": 1}, still=[3, 4], outputs=3)
        if len(shape) > 2:
            yield Case("InstanceNormalization", [away(*shape), *channels[:2]], {"epsilon": 1e-3})
    yield Case("LayerNormalization", [away(3, 6), away(6, seed=1), away(6, seed=2)])
    yield Case("LayerNormalization", [away(3, 6), away(6, seed=1)], {"epsilon": 1e-3})
    yield Case("LayerNormalization", [away(2, 3, 4), away(3, 4, seed=1), away(3, 4, seed=2)], {"axis": 1})
    yield Case("RMSNormalization", [away(2, 3, 6), away(6, seed=1)])
    yield Case("SimplifiedLayerNormalization", [away(2, 3, 6), away(6, seed=1)])
    yield Case("GroupNormalization", [away(2, 6, 4, 3), away(6, seed=1), away(6, seed=2)], {"num_groups": 3})
    gains = [away(6, seed=i) for i in (2, 3, 4)]
    for inputs in ([gains[0]], [gains[0], gains[1]], gains):
        yield Case(
            "SkipLayerNormalization", [away(2, 3, 6), away(2, 3, 6, seed=1), *inputs], domain=MICROSOFT
        )
    both = {"outputs": 4, "used": (0, 3), "domain": MICROSOFT}
    yield Case("SkipLayerNormalization", [away(2, 3, 6), away(2, 3, 6, seed=1), *gains], **both)
    yield Case("SkipSimplifiedLayerNormalization", [away(2, 3, 6), away(2, 3, 6, seed=1), gains[0]], **both)
    yield Case("LRN", [away(2, 7, 3, 3)], {"size": 3, "alpha": 0.5, "beta": 0.75, "bias": 1.5})
    for p in (1, 2):
        yield Case("LpNormalization", [away(3, 5)], {"p": p})
    yield Case("MeanVarianceNormalization", [away(3, 4, 3, 2)])


def sums() -> Iterator[Case]:
    reductions = (
        "ReduceSum",
        "ReduceMean",
        "ReduceMax",
        "ReduceMin",
        "ReduceL1",
        "ReduceL2",
        "ReduceSumSquare",
    )
    for op in (*reductions, "ReduceLogSumExp", "ReduceProd", "ReduceLogSum"):
        x = (
            positive(2, 3, 4)
            if op == "ReduceLogSum"
            else distinct(2, 3, 4)
            if op[6:] in ("Max", "Min")
            else away(2, 3, 4)
        )
        yield Case(op, [x, ints(1)])
        yield Case(op, [x, ints(-1, 0)], {"keepdims": 0})
        yield Case(op, [x])
    for axis in (0, 1, -1):
        yield Case("Softmax", [away(2, 3, 4)], {"axis": axis})
        yield Case("LogSoftmax", [away(2, 3, 4)], {"axis": axis})
    for exclusive in (0, 1):
        for reverse in (0, 1):
            yield Case("CumSum", [away(3, 4), np.array(1)], {"exclusive": exclusive, "reverse": reverse})


def movement() -> Iterator[Case]:
    yield Case("Dropout", [away(3, 4)])
    yield Case("Reshape", [away(3, 4), ints(2, -1)])
    yield Case("Flatten", [away(2, 3, 4)], {"axis": 2})
    yield Case("Squeeze", [away(3, 1, 4), ints(1)])
    yield Case("Squeeze", [away(3, 1, 4)])
    yield Case("Unsqueeze", [away(3, 4), ints(0, 2)])
    yield Case("Transpose", [away(2, 3, 4)], {"perm": [2, 0, 1]})
    yield Case("Transpose", [away(2, 3, 4)])
    yield Case("Expand", [away(3, 1), ints(2, 3, 4)])
    yield Case("Tile", [away(2, 3), ints(2, 3)])
    yield Case("Concat", [away(2, 3), away(2, 1, seed=1), away(2, 2, seed=2)], {"axis": -1})
    yield Case("Split", [away(2, 6), ints(1, 2, 3)], {"axis": 1}, outputs=3, used=(0, 1, 2))
    yield Case("Split", [away(2, 6)], {"axis": 1, "num_outputs": 3}, outputs=3, used=(1,))
    yield Case("Slice", [away(4, 5), ints(1), ints(-1), ints(1)])
    yield Case("Slice", [away(4, 5), ints(1, 0), ints(3, 99)])
    yield Case("Slice", [away(4, 5), ints(0, -1), ints(4, -99), ints(0, 1), ints(2, -2)])
    yield Case("Slice", [away(4, 5), ints(-1), ints(np.iinfo(I64).min), ints(0), ints(-1)])
    for mode in ("constant", "edge", "reflect", "wrap"):
        yield Case("Pad", [away(4, 5), ints(1, 0, 2, 3)], {"mode": mode})
    yield Case("Pad", [away(4, 5), ints(-1, 2), np.float32(7), ints(1)], still=[2])
    for mode in ("DCR", "CRD"):
        yield Case("DepthToSpace", [away(2, 8, 3, 2)], {"blocksize": 2, "mode": mode})
    yield Case("SpaceToDepth", [away(2, 2, 6, 4)], {"blocksize": 2})
    for upper in (0, 1):
        yield Case("Trilu", [away(2, 4, 5), np.array(1)], {"upper": upper})
    yield Case("ReverseSequence", [away(4, 3), ints(4, 2, 1)], {"time_axis": 0, "batch_axis": 1})


def indexing() -> Iterator[Case]:
    table = np.array([[0, 2, 2], [-1, 0, 1]])
    for axis in (0, 1, -1):
        yield Case("Gather", [away(3, 4, 5), table], {"axis": axis})
        yield Case("Gather", [away(3, 4, 5), np.array(-1)], {"axis": axis})
        yield Case("Gather", [away(3, 4, 5), ints(2, 0)], {"axis": axis})
    yield Case("GatherElements", [away(3, 4), np.array([[0, 2, 2, 1], [1, 1, 0, 0]])])
    yield Case("GatherND", [away(3, 4, 5), np.array([[0, 1], [2, 3], [0, 1]])])
    where = np.array([[1], [3]])
    for reduction in ("none", "add"):
        yield Case("ScatterND", [away(5, 2), where, away(2, 2, seed=1)], {"reduction": reduction})
        places = np.array([[0, 2], [1, 0]])
        settings = {"reduction": reduction, "axis": 1}
        yield Case("ScatterElements", [away(2, 4), places, away(2, 2, seed=1)], settings)
    for largest in (0, 1):
        yield Case("TopK", [distinct(3, 6), ints(2)], {"largest": largest}, outputs=2)


def recurrent() -> Iterator[Case]:
    time, batch, features, n = 4, 3, 2, 3
    for op, gates, states in (("LSTM", 4, 2), ("GRU", 3, 1), ("RNN", 1, 1)):
        for direction in ("forward", "reverse", "bidirectional"):
            d = 2 if direction == "bidirectional" else 1
            x, w = away(time, batch, features), away(d, gates * n, features, seed=1)
            r, b = away(d, gates * n, n, seed=2), away(d, 2 * gates * n, seed=3)
            start = [away(d, batch, n, seed=4 + i) for i in range(states)]
            settings = {"hidden_size": n, "direction": direction}
            results = {"outputs": 1 + states, "used": tuple(range(1 + states))}
            yield Case(op, [x, w, r, b, None, *start], settings, **results)
            lengths = np.array([4, 2, 3], np.int32)
            yield Case(op, [x, w, r, b, lengths, *start], settings, **results)
        yield Case(op, [x, w, r], settings)
        if op == "GRU":
            yield Case(op, [x, w, r, b], {**settings, "linear_before_reset": 1})
    w, r, b = away(1, 12, features, seed=1), away(1, 12, n, seed=2), away(1, 24, seed=3)
    peepholes = away(1, 9, seed=6)
    yield Case("LSTM", [x, w, r, b, None, None, None, peepholes], {"hidden_size": n})
    yield Case("LSTM", [x, w, r, b], {"hidden_size": n, "input_forget": 1})
    names = ["HardSigmoid", "Softsign", "Tanh"]
    yield Case(
        "LSTM",
        [x, w, r, b],
        {"hidden_size": n, "activations": ["Sigmoid", "Softsign", "Tanh"]},
        note=str(names),
    )


def attention() -> Iterator[Case]:
    q, k, v = (away(2, 4, 3, 2, seed=i) / 2 for i in range(3))
    yield Case("Attention", [q, k, v])
    yield Case("Attention", [q, k, v], {"is_causal": 1, "scale": 0.3})
    yield Case("Attention", [q, k, v, away(3, 3, seed=4)])
    allowed = np.array([[True, True, False], [True, False, True], [False, True, True]])
    yield Case("Attention", [q, k, v, allowed])
    yield Case("Attention", [q, k[:, :2], v[:, :2]], note="shared")
    flat = [away(2, 3, 8, seed=i) / 2 for i in range(3)]
    yield Case("Attention", flat, {"q_num_heads": 4, "kv_num_heads": 4})


CASES = [
    *elementwise(), *products(), *convolutions(), *pooling(), *normalisation(), *sums(), *movement(),
    *indexing(),
    *recurrent(), *attention(),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=str)
def test_rule_agrees_with_differences(case: Case) -> None:
    assert case.check(range(2)) < 1e-3


def test_every_rule_has_a_case() -> None:
    covered = {(case.domain, case.op) for case in CASES}
    assert covered >= {*RULES, *EXPANSIONS}
