"""What changes in onnxruntime is what the graph of neurons says can change, on graphs made at random.

Inputs and weights are moved, zeros in weights carry nothing. All arithmetic is float64 and smooth, so that
what can change does; activations keep 0, so that what is cut off stays 0. Where the graph says that it is
conservative, or a note says so, it may reach further, nowhere less far.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper

from onnxtop.reader.connectivity import Connected, connect
from onnxtop.reader.constants import Constants
from onnxtop.reader.layer import Skipped, WeightUse
from onnxtop.reader.layers import find_layers
from onnxtop.reader.loading import load
from onnxtop.topology.reach import reach
from tests.connectivity_truth import reachable
from tests.models import graph, model, node, save

Array = NDArray[Any]
Shape = tuple[int, ...]

_DRAWS = 40


def ints(*values: int) -> Array:
    return np.array(values, np.int64)


class Net:
    """A model of random operations on matrices of three rows, or of one."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.nodes: list[NodeProto] = []
        self.held: dict[str, Array] = {}
        self.inputs: dict[str, Shape] = {"x": (3, 5), "z": (3, 4)}
        self.conditions: list[str] = []
        self.unread: list[str] = []
        self.shapes: dict[str, Shape] = dict(self.inputs)

    def add(self, op: str, inputs: str, shape: Shape, **attributes: Any) -> str:
        name = f"v{len(self.nodes)}"
        self.nodes.append(node(op, inputs, name, name=f"n_{name}", **attributes))
        self.shapes[name] = shape
        return name

    def hold(self, value: Array) -> str:
        name = f"c{len(self.held)}"
        self.held[name] = value
        return name

    def any(self) -> tuple[str, Shape]:
        """Return one of the latest values."""
        names = list(self.shapes)[-4:]
        name = names[self.rng.integers(len(names))]
        return name, self.shapes[name]

    def partner(self, shape: Shape) -> str:
        """Return a value of this shape, by a dense layer if there is none."""
        alike = [name for name, other in self.shapes.items() if other == shape]
        return alike[self.rng.integers(len(alike))]


def weight(net: Net, rows: int, columns: int) -> str:
    """Hold random weights or equal ones, with a row, a column, a pattern, or blocks of zeros."""
    rng = net.rng
    made = rng.normal(size=(rows, columns))
    kind = rng.integers(6)
    if kind == 0:
        made[:] = 0.7
    elif kind == 1:
        made[rng.integers(rows)] = 0
    elif kind == 2:
        made[:, rng.integers(columns)] = 0
    elif kind == 3:
        made[rng.random(made.shape) < 0.6] = 0
    elif kind == 4:
        made[: rows // 2, : columns // 2] = 0
        made[rows // 2 :, columns // 2 :] = 0
    name = f"w{len(net.held)}"
    net.held[name] = made
    return name


def dense(net: Net) -> None:
    name, (rows, columns) = net.any()
    width = int(net.rng.integers(2, 6))
    net.add("MatMul", f"{name} {weight(net, columns, width)}", (rows, width))


def smooth(net: Net) -> None:
    name, shape = net.any()
    net.add("Sin" if net.rng.integers(2) else "Tanh", name, shape)


def add(net: Net) -> None:
    name, shape = net.any()
    net.add("Add", f"{name} {net.partner(shape)}", shape)


def slice_(net: Net) -> None:
    name, (rows, columns) = net.any()
    if columns > 2:
        places = [net.hold(ints(value)) for value in (1, columns, 1)]
        net.add("Slice", f"{name} {' '.join(places)}", (rows, columns - 1))


def concat(net: Net) -> None:
    (one, shape), (other, second) = net.any(), net.any()
    if shape[0] == second[0] and shape[1] + second[1] < 9:
        net.add("Concat", f"{one} {other}", (shape[0], shape[1] + second[1]), axis=1)


def pad(net: Net) -> None:
    name, (rows, columns) = net.any()
    mode = ["constant", "reflect", "edge"][net.rng.integers(3)]
    net.add("Pad", f"{name} {net.hold(ints(0, 1, 0, 1))}", (rows, columns + 2), mode=mode)


def gather(net: Net) -> None:
    name, (rows, columns) = net.any()
    index = net.rng.integers(-columns, columns, 3)
    net.add("Gather", f"{name} {net.hold(index)}", (rows, 3), axis=1)


def turn(net: Net) -> None:
    name, (rows, columns) = net.any()
    lengths = net.rng.integers(1, rows + 1, columns)
    net.add("ReverseSequence", f"{name} {net.hold(lengths)}", (rows, columns))


def turn_columns(net: Net) -> None:
    name, (rows, columns) = net.any()
    lengths = net.rng.integers(1, columns + 1, rows)
    net.add("ReverseSequence", f"{name} {net.hold(lengths)}", (rows, columns), time_axis=1, batch_axis=0)


def triangle(net: Net) -> None:
    name, shape = net.any()
    offset = int(net.rng.integers(-1, 3))
    net.add("Trilu", f"{name} {net.hold(np.array(offset))}", shape, upper=int(net.rng.integers(2)))


def best(net: Net) -> None:
    """Take the best of every row to a dense layer."""
    name, (rows, _) = net.any()
    made = net.add("TopK", f"{name} {net.hold(ints(1))}", (rows, 1), axis=1)
    net.nodes[-1].output.append(f"{made}_places")
    del net.shapes[made]
    net.add("MatMul", f"{made} {weight(net, 1, 3)}", (rows, 3))


def where(net: Net) -> None:
    name, shape = net.any()
    condition = net.hold(net.rng.random(shape if net.rng.integers(2) else shape[1:]) < 0.5)
    other = net.partner(shape) if net.rng.integers(2) else net.hold(np.zeros((1, 1)))
    both = [name, other] if net.rng.integers(2) else [other, name]
    net.add("Where", f"{condition} {' '.join(both)}", shape)


def branch(net: Net) -> None:
    name, (rows, columns) = net.any()
    kernel = weight(net, columns, columns)
    branches = {
        "then_branch": graph([node("MatMul", f"{name} {kernel}", "t")], None, {}, ["t"], dtype=np.float64),
        "else_branch": graph([node("Sin", name, "e")], None, {}, ["e"], dtype=np.float64),
    }
    condition = f"b{len(net.conditions)}"
    if net.rng.integers(3):
        net.conditions.append(condition)
    else:
        condition = net.hold(np.array(bool(net.rng.integers(2))))
    net.add("If", condition, (rows, columns), **branches)


def unread(net: Net) -> None:
    """Multiply by weights that change with an input: nobody can read them."""
    name, (rows, columns) = net.any()
    if "s" not in net.inputs:
        net.inputs["s"] = (1, 1)
    kernel = net.rng.normal(size=(columns, 3))
    moving = f"m{len(net.unread)}"
    net.nodes.append(node("Mul", f"{net.hold(kernel)} s", moving))
    net.unread.append(moving)
    net.add("MatMul", f"{name} {moving}", (rows, 3))


OPERATIONS: tuple[Callable[[Net], None], ...] = (
    *(slice_, concat, pad, gather, turn, turn_columns, triangle, best, where, branch, add),
    *(dense, dense, dense, smooth, smooth),
)


def made(seed: int, operations: tuple[Callable[[Net], None], ...], count: int) -> Net:
    net = Net(seed)
    dense(net)
    for _ in range(count):
        operations[net.rng.integers(len(operations))](net)
    return net


def saved(net: Net, folder: Path) -> Path:
    name, shape = list(net.shapes.items())[-1]
    net.add("Sin", name, shape)
    dense(net)
    outputs = list(net.shapes)[-2:]
    proto = model(net.nodes, net.held, {}, outputs, dtype=np.float64)
    used = {name for item in net.nodes for name in item.input}
    inner = [a.g for item in net.nodes for a in item.attribute if a.HasField("g")]
    used |= {name for body in inner for item in body.node for name in item.input}
    for name, shape in net.inputs.items():
        if name in used:
            proto.graph.input.append(helper.make_tensor_value_info(name, TensorProto.DOUBLE, shape))
    for name in net.conditions:
        proto.graph.input.append(helper.make_tensor_value_info(name, TensorProto.BOOL, []))
    return save(proto, folder)


def connected(path: Path, net: Net) -> Connected:
    loaded = load(path)
    constants = Constants(loaded)
    layers = list(find_layers(loaded, constants))
    for item in loaded.nodes:
        moving = next((value for value in item.inputs if value and value.name in net.unread), None)
        if item.op_type == "MatMul" and moving is not None:
            use = WeightUse(item, moving, reason="its weights change with the input")
            layers.append(Skipped(f"u_{moving.name}", "MatMul", use.reason, moving.name, 1, (use,), moving))
    return connect(loaded, constants, layers)


class Runtime:
    """The model in onnxruntime, its weights as inputs."""

    def __init__(self, path: Path, net: Net) -> None:
        proto = load(path).proto
        fed = [item for item in proto.graph.initializer if item.name[0] == "w"]
        for item in fed:
            proto.graph.initializer.remove(item)
            proto.graph.input.append(helper.make_tensor_value_info(item.name, item.data_type, item.dims))
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 4
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(
            proto.SerializeToString(), options, ["CPUExecutionProvider"]
        )
        self.sizes = {item.name: tuple(item.shape) for item in self.session.get_inputs()}
        self.weights = {item.name: net.held[item.name] for item in fed}
        self.outputs = [item.name for item in self.session.get_outputs()]
        rng = np.random.default_rng(7)
        feeds = [self.feeds(rng) for _ in range(_DRAWS)]
        self.draws = [(each, self.session.run(self.outputs, each)) for each in feeds]

    def feeds(self, rng: np.random.Generator) -> dict[str, Array]:
        return {
            name: self.weights[name]
            if name in self.weights
            else np.array(bool(rng.integers(2)))
            if name[0] == "b"
            else rng.normal(size=shape)
            for name, shape in self.sizes.items()
        }

    def changed(self, found: Connected, name: str, where: Array, rng: np.random.Generator) -> set[int]:
        """Return the vertices of outputs that ever change when some entries of an input do."""
        seen: set[int] = set()
        for feeds, answers in self.draws:
            moved = {**feeds, name: np.where(where, feeds[name] + rng.normal(size=where.shape), feeds[name])}
            for output, before, after in zip(
                self.outputs, answers, self.session.run(self.outputs, moved), strict=True
            ):
                if output in found.lanes:
                    differ = ~np.isclose(before, after, rtol=1e-10, atol=1e-13)
                    seen.update(np.broadcast_to(found.lanes[output], before.shape)[differ].tolist())
                else:
                    assert np.array_equal(before, after), f"{output} has no neurons and changes with {name}"
        assert -1 not in seen, f"an entry without a neuron changes with {name}"
        return seen


def check_inputs(run: Runtime, found: Connected, rng: np.random.Generator) -> None:
    outputs = set(found.graph.outputs.tolist())
    for name, ids in found.lanes.items():
        for vertex in np.unique(ids).tolist() if name in run.sizes else ():
            can = reachable(found.graph, vertex, through_zeros=False) & outputs
            does = run.changed(found, name, np.broadcast_to(ids == vertex, run.sizes[name]), rng)
            assert does <= can if found.hubs or found.notes else does == can, (name, vertex)


def check_weights(run: Runtime, found: Connected, rng: np.random.Generator) -> None:
    outputs = set(found.graph.outputs.tolist())
    live = reach(found.graph, {}).forward
    for number, layer in enumerate(found.graph.layers):
        value = run.weights[layer.name]
        for _ in range(2):
            row, column = (int(rng.integers(size)) for size in value.shape)
            can: set[int] = set()
            for block in found.graph.blocks:
                if block.layer == number and live[block.rows[row]]:
                    can |= reachable(found.graph, block.columns[column], through_zeros=False)
            where = np.zeros(value.shape, bool)
            where[row, column] = True
            does = run.changed(found, layer.name, where, rng)
            assert does <= can if found.hubs or found.notes else does == can & outputs, (
                layer.name,
                row,
                column,
            )


def checked(net: Net, folder: Path) -> Connected:
    path = saved(net, folder)
    found = connected(path, net)
    by_weight = {layer.name: layer.weight for layer in find_layers(load(path), Constants(load(path)))}
    layers = tuple(replace(layer, name=by_weight[layer.name]) for layer in found.graph.layers)
    found = replace(found, graph=replace(found.graph, layers=layers))
    run = Runtime(path, net)
    rng = np.random.default_rng(7)
    starts = found.graph.inputs.tolist()
    reached = (reachable(found.graph, vertex, through_zeros=False) for vertex in starts)
    assert set(np.flatnonzero(reach(found.graph, {}).forward).tolist()) == set[int]().union(*reached)
    check_inputs(run, found, rng)
    check_weights(run, found, rng)
    return found


@pytest.mark.parametrize("seed", range(30))
def test_what_changes_is_what_can(seed: int, tmp_path: Path) -> None:
    found = checked(made(seed, OPERATIONS, 7), tmp_path)
    assert found.exact


@pytest.mark.parametrize("seed", range(10))
def test_weights_that_nobody_reads_make_it_conservative(seed: int, tmp_path: Path) -> None:
    net = made(seed, OPERATIONS, 2)
    unread(net)
    found = checked(net, tmp_path)
    assert not found.exact
    assert any("its weights change with the input" in hub for hub in found.hubs)
