"""Any constant of any model, found and computed without the reader: scopes, closures, and the runtime.

A `Scope` is one graph with what it sees outward. `Scope.constant` computes a name by handing its constant
ancestors to onnxruntime as a model of their own; QONNX's quantisers, which the runtime lacks, are computed
by their formulas. None means that the value depends on an input of the model.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, helper, inliner, numpy_helper

from tests.reader.qonnx_formulas import QUANTISERS

Array = NDArray[Any]

RANDOM = frozenset({"RandomNormal", "RandomUniform", "RandomNormalLike", "RandomUniformLike", "Multinomial"})
QONNX = frozenset({"qonnx.custom_op.general", "onnx.brevitas", "finn.custom_op.general"})


def load(path: Path) -> ModelProto:
    """Return the whole model, functions inlined."""
    proto = onnx.load(path)
    return inliner.inline_local_functions(proto) if proto.functions else proto


def session(proto: ModelProto) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(proto.SerializeToString(), options, ["CPUExecutionProvider"])


def run(proto: ModelProto, feeds: dict[str, Array]) -> list[Array]:
    return session(proto).run(None, feeds)


def bodies(node: NodeProto) -> Iterator[GraphProto]:
    for attribute in node.attribute:
        if attribute.type == AttributeProto.GRAPH:
            yield attribute.g
        yield from attribute.graphs


@dataclass(eq=False)
class Scope:
    """One graph: what its names mean, and the scope around it."""

    model: ModelProto
    graph: GraphProto
    outer: "Scope | None" = None
    owner: NodeProto | None = None
    tensors: dict[str, TensorProto] = field(default_factory=dict)
    producers: dict[str, NodeProto] = field(default_factory=dict)
    known: dict[str, Array | None] = field(default_factory=dict)
    verdicts: dict[str, bool] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.tensors.update((tensor.name, tensor) for tensor in self.graph.initializer)
        for node in self.graph.node:
            self.producers.update((name, node) for name in node.output if name)

    def walk(self) -> Iterator[tuple[NodeProto, "Scope"]]:
        """Yield every node with its scope, the nodes of a body after the node that holds it."""
        for node in self.graph.node:
            yield node, self
            for body in bodies(node):
                yield from Scope(self.model, body, self, node).walk()

    def home(self, name: str) -> "Scope | None":
        """Return the scope in which a name is defined."""
        declared = any(value.name == name for value in self.graph.input)
        if name in self.tensors or name in self.producers or declared:
            return self
        return self.outer.home(name) if self.outer else None

    def carried(self, name: str) -> str | None:
        """Return the outer name of a body's input that no iteration changes."""
        if self.owner is None or self.owner.op_type not in ("Loop", "Scan"):
            return None
        names = [value.name for value in self.graph.input]
        if name not in names:
            return None
        position = names.index(name)
        if self.owner.op_type == "Loop":
            handed_on, initial = position - 1, position  # results start with the condition
            state = position >= 2
        else:
            walked = next(a.i for a in self.owner.attribute if a.name == "num_scan_inputs")
            handed_on = initial = position
            state = position < len(names) - walked
        if not state:
            return None
        value = self.graph.output[handed_on].name
        while value in self.producers and self.producers[value].op_type == "Identity":
            value = self.producers[value].input[0]
        return self.owner.input[initial] if value == name else None

    def is_constant(self, name: str) -> bool:
        if name not in self.verdicts:
            self.verdicts[name] = self._is_constant(name)
        return self.verdicts[name]

    def _is_constant(self, name: str) -> bool:
        scope = self.home(name)
        if scope is None:
            return False
        if scope is not self:
            return scope.is_constant(name)
        if name in self.tensors:
            return True
        if name in self.producers:
            node = self.producers[name]
            if node.op_type == "Constant":
                return True
            fixed = not any(True for _ in bodies(node)) and node.op_type not in RANDOM
            return fixed and bool(node.input) and all(self.is_constant(item) for item in node.input if item)
        initial = self.carried(name)
        return initial is not None and self.outer is not None and self.outer.is_constant(initial)

    def constant(self, name: str) -> Array | None:
        """Return what a constant holds, computed by onnxruntime; None if it is none."""
        if not name or not self.is_constant(name):
            return None
        scope = self.home(name)
        assert scope is not None
        if scope is not self:
            return scope.constant(name)
        if name not in self.known:
            self.known[name] = self._compute(name)
        return self.known[name]

    def _compute(self, name: str) -> Array | None:
        if name in self.tensors:
            return numpy_helper.to_array(self.tensors[name])
        if name not in self.producers:
            initial = self.carried(name)
            assert initial is not None
            assert self.outer is not None
            return self.outer.constant(initial)
        node = self.producers[name]
        inputs = [self.constant(item) if item else None for item in node.input]
        if node.domain in QONNX:
            options = {a.name: helper.get_attribute_value(a) for a in node.attribute}
            options = {key: v.decode() if isinstance(v, bytes) else v for key, v in options.items()}
            return QUANTISERS[node.op_type](*inputs, **options).astype(np.float32)
        return run_node(self.model, node, dict(zip(node.input, inputs, strict=True)), wanted=name)


def value_info(name: str, array: Array) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)


def run_node(model: ModelProto, node: NodeProto, constants: dict[str, Array | None], *, wanted: str) -> Array:
    """Compute one node, all operands constant, in the model's opset."""
    return run_nodes(model, [node], {k: v for k, v in constants.items() if v is not None}, {}, wanted)


def run_nodes(
    model: ModelProto, nodes: list[NodeProto], held: dict[str, Array], feeds: dict[str, Array], wanted: str
) -> Array:
    """Compute a few nodes of a model; ``held`` become initializers, ``feeds`` inputs."""
    graph = helper.make_graph(
        nodes,
        "part",
        [value_info(name, array) for name, array in feeds.items()],
        [onnx.ValueInfoProto(name=wanted)],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in held.items() if name],
    )
    opsets = {opset.domain: opset.version for opset in model.opset_import}
    opsets[""] = max(opsets.pop("ai.onnx", 0), opsets.get("", 0), 7)  # what the runtime takes at least
    opsets.setdefault("com.microsoft", 1)
    proto = helper.make_model(
        graph, ir_version=10, opset_imports=[helper.make_opsetid(*item) for item in opsets.items()]
    )
    return run(proto, feeds)[0]
