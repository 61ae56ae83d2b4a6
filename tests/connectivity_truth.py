"""What a network graph says can change, against what onnxruntime says does."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, helper

from onnxtop.network import NetworkGraph
from onnxtop.reader.connectivity import Connected, connect
from onnxtop.reader.constants import Constants
from onnxtop.reader.layers import find_layers
from onnxtop.reader.loading import load

Array = NDArray[Any]

_NORMALISATIONS = frozenset(
    {
        *(
            "GroupNormalization",
            "Hardmax",
            "InstanceNormalization",
            "LRN",
            "LayerNormalization",
            "LogSoftmax",
        ),
        *("LpNormalization", "MeanVarianceNormalization", "RMSNormalization", "SimplifiedLayerNormalization"),
        "Softmax",
    }
)
_STATISTICS = frozenset(
    {"GlobalAveragePool", "ReduceL2", "ReduceMax", "ReduceMean", "ReduceSum", "ReduceSumSquare"}
)
"""Made constant where a normalisation is written out with them."""


def connected(path: Path | str, **options: Any) -> Connected:
    model = load(path)
    constants = Constants(model)
    return connect(model, constants, find_layers(model, constants), **options)


def reachable(graph: NetworkGraph, start: int, *, through_zeros: bool = True) -> set[int]:
    """Return the vertices that a path leads to, found edge by edge."""
    return _spread(list(_edges(graph, through_zeros=through_zeros)), start)


def reach_table(graph: NetworkGraph) -> dict[int, set[int]]:
    """Return the outputs that each input reaches."""
    edges = list(_edges(graph, through_zeros=True))
    outputs = set(graph.outputs.tolist())
    return {start: _spread(edges, start) & outputs for start in graph.inputs.tolist()}


def _edges(graph: NetworkGraph, *, through_zeros: bool) -> Iterator[tuple[Array, Array, Array | None]]:
    yield graph.structural[:, 0], graph.structural[:, 1], None
    for block in graph.blocks:
        there = None if through_zeros else np.asarray(graph.layers[block.layer].read()[block.matrix]) != 0
        yield block.rows, block.columns, there


def _spread(edges: list[tuple[Array, Array, Array | None]], start: int) -> set[int]:
    size = 1 + max((int(side.max(initial=0)) for edge in edges for side in edge[:2]), default=0)
    here = np.zeros(max(size, start + 1), bool)
    here[start] = True
    while True:
        before = here.sum()
        for place, (rows, columns, there) in enumerate(edges):
            if place == 0:
                here[columns[here[rows]]] = True
                continue
            live = here[rows] & (rows >= 0)
            if there is None:
                if live.any():
                    here[columns] = True
            else:
                here[columns[there[live].any(0)]] = True
        if here.sum() == before:
            return set(np.flatnonzero(here).tolist())


@dataclass(frozen=True, eq=False)
class Run:
    """A model that runs, without its normalisations, and feeds for it."""

    session: Any
    feeds: dict[str, Array]
    outputs: list[str]

    def __call__(self, feeds: dict[str, Array]) -> dict[str, Array]:
        return dict(zip(self.outputs, self.session.run(self.outputs, feeds), strict=True))


def runnable(path: Path, found: Connected, *, statistics: bool = False) -> Run:
    """Return a model without normalisations, ready to run at the shapes that the graph was made for."""
    proto = onnx.load(path)
    _plain(proto.graph, statistics=statistics)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    files = [(f.name, f.read_bytes()) for f in path.parent.glob(f"{path.name}.data")]
    if files:
        onnx.load_external_data_for_model(proto, str(path.parent))
    session = onnxruntime.InferenceSession(proto.SerializeToString(), options, ["CPUExecutionProvider"])
    rng = np.random.default_rng(0)
    feeds = {item.name: _feed(item, found, rng) for item in session.get_inputs()}
    outputs = [
        item.name for item in session.get_outputs() if item.name in found.lanes and "float" in item.type
    ]
    return Run(session, feeds, outputs)


_TYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(double)": np.float64,
          "tensor(int64)": np.int64, "tensor(int32)": np.int32, "tensor(bool)": np.bool_}  # fmt: skip


def _feed(item: Any, found: Connected, rng: np.random.Generator) -> Array:
    sizes = found.assumed.get(item.name) or tuple(
        s if isinstance(s, int) and s > 0 else 1 for s in item.shape
    )
    dtype = np.dtype(_TYPES[item.type])
    if dtype.kind == "f":
        return rng.normal(size=sizes).astype(dtype)
    return np.ones(sizes, dtype)


def _feeds_entries(graph: GraphProto, name: str) -> bool:
    """Tell whether a value is used entry by entry next, maybe after a change of shape, and not reduced."""
    users = [node for node in graph.node if name in node.input]
    if any(node.op_type in _STATISTICS for node in users):
        return False
    moved = [node for node in users if node.op_type in ("Reshape", "Unsqueeze", "Squeeze")]
    entries = {"Sub", "Mul", "Div", "Add", "Neg", "Sqrt", "Max", "Pow"}
    return any(node.op_type in entries for node in users) or any(
        _feeds_entries(graph, node.output[0]) for node in moved
    )


def _plain(graph: GraphProto, *, statistics: bool) -> None:
    """Replace normalisations by Identity; if asked to, what is subtracted by 0, other statistics by 1."""
    nodes: list[NodeProto] = []
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == AttributeProto.GRAPH:
                _plain(attribute.g, statistics=statistics)
        if node.op_type in _NORMALISATIONS:
            nodes.append(helper.make_node("Identity", node.input[:1], node.output[:1]))
        elif node.op_type in ("SkipLayerNormalization", "SkipSimplifiedLayerNormalization"):
            nodes.append(helper.make_node("Add", node.input[:2], node.output[:1]))
        elif statistics and node.op_type in _STATISTICS and _feeds_entries(graph, node.output[0]):
            kept = NodeProto()
            kept.CopyFrom(node)
            kept.output[0] = node.output[0] + "__seen"
            zero = node.output[0] + "__zero"
            centres = any(
                user.op_type == "Neg" or (user.op_type == "Sub" and user.input[1] == node.output[0])
                for user in graph.node
                if node.output[0] in user.input
            )
            nodes += [
                kept,
                helper.make_node("Sub", [kept.output[0], kept.output[0]], [zero]),
                helper.make_node("Identity" if centres else "Exp", [zero], [node.output[0]]),
            ]
        else:
            nodes.append(node)
    copies = [NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(copies)


def changed(run: Run, found: Connected, name: str, vertex: int, rng: np.random.Generator) -> set[int]:
    """Return the output vertices that change when the entries of one input vertex do."""
    base = run.feeds[name]
    where = np.broadcast_to(found.lanes[name] == vertex, base.shape)
    moved = dict(run.feeds)
    moved[name] = np.where(where, base + rng.normal(scale=2.0, size=base.shape), base).astype(base.dtype)
    before, after = run(run.feeds), run(moved)
    seen: set[int] = set()
    for output in run.outputs:
        a, b = before[output].astype(np.float64), after[output].astype(np.float64)
        if a.shape != b.shape:
            continue
        size = float(np.max(np.abs(a[np.isfinite(a)]), initial=1.0))
        differ = ~np.isclose(a, b, rtol=1e-4, atol=1e-5 * size, equal_nan=True)
        seen.update(np.broadcast_to(found.lanes[output], a.shape)[differ].tolist())
    return seen


def float_inputs(proto: ModelProto) -> list[str]:
    held = {tensor.name for tensor in proto.graph.initializer}
    kinds = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE)
    return [
        item.name
        for item in proto.graph.input
        if item.name not in held and item.type.tensor_type.elem_type in kinds
    ]


def check_truth(path: Path, *, probes: int = 6) -> tuple[int, int]:
    """Perturb inputs; return how many reachable pairs were looked at, and how many of them changed.

    Whatever changes must be reachable.
    """
    found = connected(path)
    written_out = any("written out" in note for note in found.notes)
    run = runnable(path, found, statistics=written_out)
    rng = np.random.default_rng(1)
    looked = hit = 0
    for name in run.feeds:
        if name not in found.lanes or run.feeds[name].dtype.kind != "f":
            continue
        vertices = np.unique(found.lanes[name])
        for vertex in rng.permutation(vertices)[:probes].tolist():
            can = reachable(found.graph, vertex)
            does = changed(run, found, name, vertex, rng) - {-1}
            assert does <= can, (
                f"{name}: vertex {vertex} changes {sorted(does - can)[:5]}, which it does not reach"
            )
            outputs = can & set(
                np.concatenate([found.lanes[o].ravel() for o in run.outputs] or [[]]).tolist()
            )
            looked, hit = looked + len(outputs), hit + len(does)
    return looked, hit
