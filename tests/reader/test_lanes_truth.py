"""Who reaches whom, against what onnxruntime says: small graphs, a family of operations each.

An input vertex is moved; the output vertices that change must be exactly those that the graph can reach.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import ModelProto, TensorProto, helper

from tests.connectivity_truth import changed, connected, reachable, runnable
from tests.models import MICROSOFT, graph, model, node, save, weights


def ints(*values: int) -> np.ndarray[Any, Any]:
    return np.array(values, np.int64)


def one(
    *nodes: Any,
    x: Sequence[Any],
    held: Mapping[str, Any] | None = None,
    more: Mapping[str, Any] | None = None,
) -> ModelProto:
    """Return a model from x (and more inputs) to y."""
    return model(nodes, held, {"x": x, **(more or {})})


def dense(source: str, rows: int, columns: int, target: str, seed: int = 0) -> tuple[Any, dict[str, Any]]:
    name = f"w_{target}"
    return node("MatMul", f"{source} {name}", target), {name: weights(rows, columns, seed=seed)}


def after(
    ops: Sequence[Any], x: Sequence[Any], last: int, held: Mapping[str, Any] | None = None
) -> ModelProto:
    """Return a model that applies operations from x to m, and a dense layer of 2 outputs on the last axis."""
    product, own = dense("m", last, 2, "y")
    return one(*ops, product, x=x, held={**(held or {}), **own})


MOVEMENT = {
    "transpose": after([node("Transpose", "x", "m", perm=[0, 2, 1])], [1, 3, 4], 3),
    "reshape flat": after([node("Reshape", "x s", "m")], [2, 3, 4], 12, {"s": ints(2, -1)}),
    "reshape splits": after([node("Reshape", "x s", "m")], [1, 12], 4, {"s": ints(1, 3, 4)}),
    "reshape mixes": after([node("Reshape", "x s", "m")], [1, 4, 6], 8, {"s": ints(1, 3, 8)}),
    "flatten": after([node("Flatten", "x", "m")], [2, 3, 2], 6),
    "squeeze": after([node("Squeeze", "x s", "m")], [1, 1, 5], 5, {"s": ints(1)}),
    "unsqueeze": after([node("Unsqueeze", "x s", "m")], [2, 5], 5, {"s": ints(0)}),
    "expand": after([node("Expand", "x s", "m")], [1, 5], 5, {"s": ints(3, 5)}),
    "slice": after([node("Slice", "x b e a", "m")], [2, 8], 3, {"b": ints(2), "e": ints(5), "a": ints(1)}),
    "slice back": after(
        [node("Slice", "x b e a s", "m")], [2, 8], 4,
        {"b": ints(-1), "e": ints(-(2**62)), "a": ints(1), "s": ints(-2)},
    ),
    "split": one(
        node("Split", "x", "a b", axis=1, num_outputs=2), *[dense("b", 3, 2, "y")[0]],
        x=[2, 6], held=dense("b", 3, 2, "y")[1],
    ),
    "concat": after(
        [node("Relu", "x", "r"), node("Concat", "r x", "m", axis=1)], [2, 3], 6
    ),
    "concat of positions": after([node("Concat", "x x", "m", axis=0)], [2, 3], 3),
    "gather": after([node("Gather", "x i", "m", axis=1)], [2, 5], 3, {"i": ints(4, 0, 4)}),
    "gather negative": after([node("Gather", "x i", "m", axis=1)], [2, 5], 2, {"i": ints(-1, 1)}),
    "pad": after([node("Pad", "x p", "m")], [2, 3], 6, {"p": ints(0, 1, 0, 2)}),
    "pad reflect": after([node("Pad", "x p", "m", mode="reflect")], [2, 3], 5, {"p": ints(0, 1, 0, 1)}),
    "pad crops": after([node("Pad", "x p", "m")], [2, 4], 3, {"p": ints(0, -2, 0, 1)}),
    "tile": after([node("Tile", "x r", "m")], [2, 3], 6, {"r": ints(1, 2)}),
    "gather elements": one(
        node("GatherElements", "x i", "y", axis=1), x=[1, 4], held={"i": np.array([[3, 0]], np.int64)}
    ),
    "gather nd": one(
        node("GatherND", "x i", "y"), x=[2, 3], held={"i": np.array([[0, 1], [1, 2]], np.int64)}
    ),
    "scatter nd": one(
        node("ScatterND", "x i u", "y"), x=[4], more={"u": [2]}, held={"i": np.array([[1], [3]], np.int64)}
    ),
    "scatter elements": one(
        node("ScatterElements", "x i u", "y", axis=1), x=[1, 4], more={"u": [1, 2]},
        held={"i": np.array([[3, 0]], np.int64)},
    ),
    "depth to space": one(node("DepthToSpace", "x", "y", blocksize=2), x=[1, 8, 2, 2]),
    "depth to space crd": one(node("DepthToSpace", "x", "y", blocksize=2, mode="CRD"), x=[1, 8, 2, 2]),
    "space to depth": one(node("SpaceToDepth", "x", "y", blocksize=2), x=[1, 2, 4, 4]),
    "trilu": one(node("Trilu", "x", "y"), x=[3, 3]),
    "trilu drops a row": one(node("Trilu", "x k", "y"), x=[3, 4], held={"k": np.array(2, np.int64)}),
    "trilu drops columns": one(
        dense("x", 5, 4, "m")[0], node("Trilu", "m k", "y", upper=0), x=[3, 5],
        held={**dense("x", 5, 4, "m")[1], "k": np.array(-1, np.int64)},
    ),
    "reverse sequence": one(
        node("ReverseSequence", "x n", "y"), x=[4, 3, 2], held={"n": np.array([2, 4, 1], np.int64)}
    ),
    "reverse sequence by rows": after(
        [node("ReverseSequence", "x n", "m", time_axis=1, batch_axis=0)], [2, 5], 5, {"n": ints(5, 3)}
    ),
    "pad both": after([node("Pad", "x p v", "m")], [2, 3], 5, {"p": ints(0, 1, 0, 1), "v": np.float32(2.0)}),
    "cumsum": one(node("CumSum", "x a", "y"), x=[1, 4], held={"a": np.array(1, np.int64)}),
    "cumsum back": one(
        node("CumSum", "x a", "y", reverse=1, exclusive=1), x=[1, 4], held={"a": np.array(1, np.int64)}
    ),
}  # fmt: skip

JOINS = {
    "add": one(node("Add", "x z", "y"), x=[1, 3], more={"z": [1, 3]}),
    "broadcast": one(node("Mul", "x z", "y"), x=[1, 3, 2], more={"z": [3, 1]}),
    "constant factor": one(node("Mul", "x c", "y"), x=[1, 3], held={"c": weights(1, 3)}),
    "sum": one(node("Sum", "x z v", "y"), x=[3], more={"z": [3], "v": [1]}),
    "where": one(node("Where", "c x z", "y"), x=[2], more={"z": [2]}, held={"c": np.array([True, False])}),
    "where one side is constant": one(
        node("Where", "c x z", "y"), x=[1, 3], held={"c": np.array([True, False, True]), "z": weights(1)}
    ),
    "where rows choose": one(
        node("Where", "c x z", "y"), x=[2, 3], more={"z": [2, 3]}, held={"c": np.array([[True], [False]])}
    ),
    "where one side is broadcast": one(
        node("Where", "c x z", "y"), x=[2, 3], more={"z": [3]}, held={"c": np.array([[True], [False]])}
    ),
    "cast like": one(node("CastLike", "x z", "y"), x=[3], more={"z": [3]}),
    "reduce": one(node("ReduceSum", "x a", "y", keepdims=0), x=[2, 3], held={"a": ints(1)}),
    "reduce all": one(node("ReduceMean", "x", "y"), x=[2, 3]),
    "matmul": one(node("MatMul", "x z", "y"), x=[2, 3], more={"z": [3, 4]}),
    "matmul vectors": one(node("MatMul", "x z", "y"), x=[3], more={"z": [3]}),
    "matmul row": one(node("MatMul", "x z", "y"), x=[3], more={"z": [3, 2]}),
    "matmul column": one(node("MatMul", "x z", "y"), x=[2, 3], more={"z": [3]}),
    "gemm": one(node("Gemm", "x z", "y", transA=1, transB=1), x=[3, 2], more={"z": [4, 3]}),
    "einsum": one(node("Einsum", "x z", "y", equation="ij,kj->ik"), x=[2, 3], more={"z": [4, 3]}),
    "einsum, its result not written": one(
        node("Einsum", "x z", "y", equation="kj,ij"), x=[2, 3], more={"z": [4, 3]}
    ),
    "einsum, its result not written, of axes without letters": one(
        node("Einsum", "x z", "y", equation="...ij,...jk"), x=[2, 1, 3], more={"z": [2, 3, 2]}
    ),
    "einsum ellipsis": one(
        node("Einsum", "x z", "y", equation="...j,jk->...k"), x=[1, 2, 3], more={"z": [3, 2]}
    ),
    "average pool": one(node("AveragePool", "x", "y", kernel_shape=[2], strides=[2]), x=[1, 2, 6]),
    "overlapping pool": one(
        node("AveragePool", "x", "y", kernel_shape=[3, 2], pads=[1, 0, 1, 0]), x=[1, 1, 3, 4]
    ),
    "global pool": one(node("GlobalAveragePool", "x", "y"), x=[1, 2, 3, 3]),
}  # fmt: skip

SIGNALS = {
    "dft": one(node("DFT", "x - a", "y"), x=[1, 4, 1], held={"a": np.array(1, np.int64)}),
    "det": one(node("Det", "x", "y"), x=[2, 3, 3]),
    "compress": one(
        node("Compress", "x c", "y", axis=1), x=[1, 3], held={"c": np.array([True, False, True])}
    ),
    "col2im": one(
        node("Col2Im", "m s k", "y"), node("Gemm", "x w", "h"), node("Reshape", "h r", "m"), x=[1, 2],
        held={"w": weights(2, 8), "r": ints(1, 8, 1), "s": ints(2, 2), "k": ints(2, 2)},
    ),
}  # fmt: skip

KERNEL = {"w": weights(4, 3, 3, 3)}
WEIGHTED = {
    "matmul right": one(node("MatMul", "x w", "y"), x=[2, 3], held={"w": weights(3, 4)}),
    "matmul left": one(node("MatMul", "w x", "y"), x=[3, 2], held={"w": weights(4, 3)}),
    "matmul vector weight": one(node("MatMul", "x w", "y"), x=[2, 3], held={"w": weights(3)}),
    "matmul of a vector": one(node("MatMul", "x w", "y"), x=[3], held={"w": weights(3, 4)}),
    "matmul batched": one(node("MatMul", "x w", "y"), x=[2, 5, 3], held={"w": weights(2, 3, 4)}),
    "matmul left batched": one(node("MatMul", "w x", "y"), x=[2, 3, 5], held={"w": weights(2, 4, 3)}),
    "gemm": one(node("Gemm", "x w", "y", transB=1), x=[2, 3], held={"w": weights(4, 3)}),
    "gemm turned": one(node("Gemm", "x w", "y", transA=1), x=[3, 2], held={"w": weights(3, 4)}),
    "gemm left": one(node("Gemm", "w x", "y", transA=1, transB=1), x=[2, 3], held={"w": weights(3, 4)}),
    "gemm with a computed bias": one(
        node("Gemm", "x w z", "y"), x=[1, 3], more={"z": [1, 4]}, held={"w": weights(3, 4)}
    ),
    "fused": one(
        node(f"{MICROSOFT}.FusedMatMul", "x w", "y", transB=1, alpha=2.0), x=[2, 3], held={"w": weights(4, 3)}
    ),
    "einsum": one(node("Einsum", "x w", "y", equation="bsi,io->bso"), x=[1, 2, 3], held={"w": weights(3, 4)}),
    "einsum heads": one(
        node("Einsum", "x w", "y", equation="bshd,hdo->bso"), x=[1, 2, 2, 3], held={"w": weights(2, 3, 4)}
    ),
    "einsum per head": one(
        node("Einsum", "x w", "y", equation="bhd,hdo->bho"), x=[1, 2, 3], held={"w": weights(2, 3, 4)}
    ),
    "conv": one(node("Conv", "x w", "y"), x=[1, 3, 5, 5], held=KERNEL),
    "conv on its whole input": one(node("Conv", "x w", "y"), x=[1, 3, 3, 3], held=KERNEL),
    "conv in groups": one(node("Conv", "x w", "y", group=2), x=[1, 4, 6], held={"w": weights(6, 2, 3)}),
    "depthwise": one(node("Conv", "x w", "y", group=3), x=[1, 3, 6], held={"w": weights(3, 1, 3)}),
    "conv transposed": one(
        node("ConvTranspose", "x w", "y", group=2), x=[1, 4, 6], held={"w": weights(4, 3, 3)}
    ),
    "conv last": one(
        node("Transpose", "x", "t", perm=[0, 3, 1, 2]), node("Conv", "t w", "y"), x=[1, 5, 5, 3], held=KERNEL
    ),
    "two layers": one(
        node("Gemm", "x a", "h"), node("LeakyRelu", "h", "r"), node("Gemm", "r b", "y"),
        x=[2, 3], held={"a": weights(3, 4), "b": weights(4, 2)},
    ),
    "generator": one(
        node("Gemm", "x a", "h"), node("Reshape", "h s", "r"), node("ConvTranspose", "r b", "y"),
        x=[1, 3], held={"a": weights(3, 18), "s": ints(1, 2, 3, 3), "b": weights(2, 2, 3, 3)},
    ),
    "heads": one(
        node("Gemm", "x a", "h"), node("Reshape", "h s", "r"), node("MatMul", "r b", "y"),
        x=[1, 3], held={"a": weights(3, 4), "s": ints(1, 2, 2), "b": weights(2, 2)},
    ),
    "mixes positions": one(
        node("Transpose", "x", "t", perm=[0, 2, 1]), node("MatMul", "t a", "m"),
        node("Transpose", "m", "u", perm=[0, 2, 1]), node("MatMul", "u b", "y"),
        x=[1, 4, 3], held={"a": weights(4, 4), "b": weights(3, 2)},
    ),
    "unet": one(
        node("Conv", "x a", "d", strides=[2]), node("Resize", "d - s", "u"),
        node("Concat", "u x", "c", axis=1), node("Conv", "c b", "y"), x=[1, 2, 8],
        held={"a": weights(3, 2, 2), "s": np.array([1, 1, 2], np.float32), "b": weights(2, 5, 1)},
    ),
    "squeeze and excite": one(
        node("GlobalAveragePool", "x", "p"), node("Conv", "p a", "g"), node("Sigmoid", "g", "s"),
        node("Mul", "x s", "m"), node("Conv", "m b", "y"), x=[1, 3, 4, 4],
        held={"a": weights(3, 3, 1, 1), "b": weights(2, 3, 1, 1)},
    ),
    "residual": one(
        node("Gemm", "x a", "h"), node("Add", "h x", "r"), node("Gemm", "r b", "y", transB=1), x=[1, 3],
        held={"a": weights(3, 3), "b": weights(2, 3)},
    ),
    "split in two": one(
        node("Gemm", "x a", "h"), node("Split", "h", "p q", axis=1, num_outputs=2), node("Gemm", "p b", "y"),
        x=[1, 3], held={"a": weights(3, 4), "b": weights(2, 2)},
    ),
    "reused": one(
        node("MatMul", "x w", "h"), node("MatMul", "h w", "y"), x=[1, 3], held={"w": weights(3, 3)}
    ),
    "a sequence": one(
        node("SplitToSequence", "x n", "s", axis=1), node("SequenceAt", "s last", "a"),
        node("SequenceAt", "s first", "b"), node("MatMul", "a w", "c"), node("Add", "b c", "y"),
        x=[1, 8], held={"n": np.array(3), "last": np.array(-1), "first": np.array(0), "w": weights(2, 3)},
    ),
    "a sequence of lengths": after(
        [node("SplitToSequence", "x n", "s", axis=-1), node("SequenceAt", "s i", "m")], [2, 8], 5,
        {"n": ints(1, 5, 2), "i": np.array(1)},
    ),
    "a sequence of entries": after(
        [node("SplitToSequence", "x", "s", axis=1, keepdims=0), node("SequenceAt", "s i", "m")], [2, 3, 4], 4,
        {"i": np.array(2)},
    ),
    "tied": one(
        node("MatMul", "x w", "h"), node("Transpose", "w", "v"), node("MatMul", "h v", "y"),
        x=[1, 3], held={"w": weights(3, 4)},
    ),
}  # fmt: skip


def rnn(op: str, gates: int, **attributes: Any) -> ModelProto:
    directions = 2 if attributes.get("direction") == "bidirectional" else 1
    return one(
        node(op, "x w r", "y -", hidden_size=2, **attributes), x=[3, 1, 4],
        held={"w": weights(directions, gates * 2, 4) / 8, "r": weights(directions, gates * 2, 2) / 8},
    )  # fmt: skip


RECURRENT = {
    "lstm": rnn("LSTM", 4),
    "lstm both ways": rnn("LSTM", 4, direction="bidirectional"),
    "gru": rnn("GRU", 3, linear_before_reset=1),
    "rnn": rnn("RNN", 1),
}


def body(*nodes: Any, inputs: Mapping[str, Any], outputs: Sequence[str], kinds: Mapping[str, int]) -> Any:
    made = graph(nodes, None, inputs, outputs, name="body")
    for item in (*made.input, *made.output):
        if item.name in kinds:
            item.type.tensor_type.elem_type = kinds[item.name]
    return made


LOOP = body(
    node("MatMul", "s w", "n"), node("Identity", "c", "d"), node("Identity", "n", "scan"),
    inputs={"i": [], "c": [], "s": [1, 3]}, outputs=["d", "n", "scan"],
    kinds={"i": TensorProto.INT64, "c": TensorProto.BOOL, "d": TensorProto.BOOL},
)  # fmt: skip
SCAN = body(
    node("MatMul", "e w", "p"), node("Add", "p s", "n"), node("Identity", "n", "out"),
    inputs={"s": [1, 3], "e": [1, 3]}, outputs=["n", "out"], kinds={},
)  # fmt: skip
THEN = graph([node("Gemm", "x w", "t")], None, {}, ["t"], name="then")
ELSE = graph([node("Identity", "x", "e")], None, {}, ["e"], name="else")

CARRIED = body(
    node("MatMul", "s v", "n"), node("Identity", "c", "d"), node("Identity", "v", "v2"),
    inputs={"i": [], "c": [], "s": [1, 3], "v": [3, 3]}, outputs=["d", "n", "v2"],
    kinds={"i": TensorProto.INT64, "c": TensorProto.BOOL, "d": TensorProto.BOOL},
)  # fmt: skip
CARRIED_SCAN = body(
    node("MatMul", "s v", "q"), node("MatMul", "e u", "p"), node("Add", "p q", "n"),
    node("Identity", "n", "out"), node("Identity", "v", "v2"),
    inputs={"s": [2, 3], "v": [3, 3], "e": [2, 3]}, outputs=["n", "v2", "out"], kinds={},
)  # fmt: skip
TRIPS = {"m": np.array(3, np.int64), "c": np.array(True)}

CONTROL = {
    "loop that carries its weight": one(
        node("Loop", "m c x w", "y last", body=CARRIED), x=[1, 3], held={**TRIPS, "w": weights(3, 3) / 8},
    ),
    "scan that carries its weight and starts with zeros": one(
        node("Scan", "z w x", "h last y", body=CARRIED_SCAN, num_scan_inputs=1), x=[4, 2, 3],
        held={"z": np.zeros((2, 3), np.float32), "w": weights(3, 3) / 8, "u": weights(3, 3, seed=1) / 8},
    ),
    "loop": one(
        node("Loop", "m c x", "last y", body=LOOP), x=[1, 3],
        held={"m": np.array(3, np.int64), "c": np.array(True), "w": weights(3, 3) / 8},
    ),
    "scan": one(
        node("Scan", "z x", "last y", body=SCAN, num_scan_inputs=1), x=[4, 1, 3], more={"z": [1, 3]},
        held={"w": weights(3, 3) / 8},
    ),
    "if known": one(
        node("If", "c", "y", then_branch=THEN, else_branch=ELSE), x=[1, 3],
        held={"c": np.array(False), "w": weights(3, 3)},
    ),
}  # fmt: skip

CASES = {**MOVEMENT, **JOINS, **SIGNALS, **WEIGHTED, **RECURRENT, **CONTROL}


@pytest.mark.parametrize("name", CASES)
def test_what_changes_is_what_is_reached(name: str, tmp_path: Path) -> None:
    path = save(CASES[name], tmp_path)
    found = connected(path)
    assert found.hubs == ()
    assert found.exact
    run = runnable(path, found)
    rng = np.random.default_rng(3)
    assert run.outputs == ["y"]
    ends = set(found.lanes["y"].ravel().tolist()) - {-1}
    for source in run.feeds:
        for vertex in np.unique(found.lanes[source]).tolist():
            does = set[int]().union(*(changed(run, found, source, vertex, rng) for _ in range(4))) - {-1}
            assert does == reachable(found.graph, vertex) & ends, (source, vertex)


def test_an_unknown_condition_joins_both_branches(tmp_path: Path) -> None:
    proto = one(node("If", "c", "y", then_branch=THEN, else_branch=ELSE), x=[1, 3], held={"w": weights(3, 3)})
    proto.graph.input.append(helper.make_tensor_value_info("c", TensorProto.BOOL, []))
    found = connected(save(proto, tmp_path))
    assert found.exact
    assert found.lanes["y"].shape == (1, 3)
    assert len(found.graph.structural) == 6
    assert len(found.graph.blocks) == 1
