"""onnx's reference operations against onnxruntime, in every version and with every setting.

What the reference gives is what the runtime gives, or it is not computed. An attribute that no setting tries
is a fault, and so is a refusal that nothing needs.
"""

import contextlib
from collections.abc import Iterator, Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import NodeProto, helper

from onnxtop.reader.earlier import today
from onnxtop.reader.evaluate import is_computed, run
from onnxtop.reader.model import Node, Value
from onnxtop.reader.reference import UNHEEDED, Asked
from onnxtop.reader.schemas import history, schema
from tests.reader.operations import IMAGE, SEQUENCE, Array, X, examples, f32, floats, operations
from tests.reader.settings import SETTINGS, Setting

WHOLE = "the operation"
ALONE: dict[str, set[str]] = {
    "Cast": {"round_mode"},
    "CastLike": {"round_mode", "saturate"},
    "CausalConvWithState": {WHOLE, "activation"},
    "Dropout": {"seed"},
    "GRU": {"layout"},
    "GroupNormalization": {"stash_type"},
    "ImageDecoder": {WHOLE, "pixel_format"},
    "LSTM": {"layout"},
    "LayerNormalization": {"stash_type"},
    "LinearAttention": {WHOLE, *("chunk_size", "kv_num_heads", "q_num_heads", "scale", "update_rule")},
    "QuantizeLinear": {"saturate"},
    "RMSNormalization": {"stash_type"},
    "RNN": {"layout"},
    "Optional": {"type"},
    "Range": {"stash_type"},
    "SplitToSequence": {"axis", "keepdims"},
    "SwiGLU": {WHOLE, "alpha"},
    "TfIdfVectorizer": {"pool_strings"},
    "TopK": {"sorted"},
}
"""What onnxruntime cannot be asked: operations without a kernel, attributes that no kernel takes or heeds."""
NEVER = {"GlobalLpPool", "MaxRoiPool", "Optional", "SequenceConstruct", "SplitToSequence"}
"""Operations that have no reference, or no tensor as a result."""

NEWEST, WRITTEN_FOR = onnx.defs.onnx_opset_version(), 28
"""The opset whose operations and attributes are all tried."""


def _settings(op_type: str) -> list[Setting]:
    written = examples(op_type) if op_type in operations() else []
    return [each for each in SETTINGS if each.op_type == op_type] + [Setting(*each) for each in written]


def _node(setting: Setting) -> Node:
    names = ["" if array is None else f"i{place}" for place, array in enumerate(setting.operands)]
    outputs = [f"o{place}" for place in range(setting.results)]
    proto = helper.make_node(setting.op_type, names, outputs, **setting.attributes)
    values = tuple(Value(-1 - place, name) for place, name in enumerate(outputs))
    return Node(0, 0, "", setting.op_type, "", (None,) * len(names), values, proto, proto)


def _runtime(proto: NodeProto, operands: Sequence[Array | None], version: int) -> list[Array]:
    named = {name: array for name, array in zip(proto.input, operands, strict=True) if array is not None}
    inputs = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
        for name, array in named.items()
    ]
    results = [onnx.ValueInfoProto(name=name) for name in proto.output]
    graph = helper.make_graph([proto], "one", inputs, results)
    model = helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", version)])
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])
    return [np.asarray(result) for result in session.run(None, named)]


class Run(NamedTuple):
    """A node as a version of its operation has it, its operands, and what the runtime makes of them."""

    node: Node
    version: int
    operands: list[Array | None]
    truths: list[Array]


@cache
def _runs(op_type: str) -> Sequence[Run]:
    """Return what the runtime makes of an operation with each setting, in each version that has it."""
    return [run for setting in _settings(op_type) for run in _of_all_versions(setting)]


def _of_all_versions(setting: Setting) -> Iterator[Run]:
    node = _node(setting)
    operands = [None if each is None else np.asarray(each) for each in setting.operands]
    for version in history(setting.op_type):
        if setting.attributes.keys() <= version.attributes.keys() and not version.deprecated:
            with contextlib.suppress(Exception):  # no kernel for this version, these types or attributes
                truths = _runtime(node.proto, operands, version.since_version)
                yield Run(node, version.since_version, operands, truths)


def _agree(found: Sequence[Array], wanted: Sequence[Array]) -> bool:
    return all(
        one.shape == other.shape
        and one.dtype.itemsize == other.dtype.itemsize
        and np.allclose(_numbers(one, other), _numbers(other, other), 1e-4, 1e-5, equal_nan=True)
        for one, other in zip(found, wanted, strict=True)
    )


def _numbers(array: Array, other: Array) -> Array:
    """Return an array as numbers; small floats come back from the runtime as bytes."""
    return (array if array.dtype == other.dtype else array.view(other.dtype)).astype(np.float64)


def _takes_numbers(name: str) -> bool:
    first = schema(name, NEWEST).inputs[0]
    allowed = {item.type_param_str: item.allowed_type_strs for item in schema(name, NEWEST).type_constraints}
    return any(
        kind.startswith("tensor(") and kind != "tensor(string)"
        for kind in allowed.get(first.type_str, [first.type_str])
    )


def _computed() -> list[str]:
    """Return every operation that is computed where its operands are constant numbers."""
    names = sorted({each.name for each in onnx.defs.get_all_schemas() if not each.domain and each.inputs})
    return [name for name in names if is_computed(_node(Setting(name, [X], {}))) and _takes_numbers(name)]


def _said(node: Node) -> set[str]:
    """Return the attributes of a node that are other than what goes without saying."""
    known = schema(node.op_type, NEWEST).attributes
    return {
        item.name
        for item in node.proto.attribute
        if item.name in known and known[item.name].default_value != item
    }


@pytest.mark.parametrize("op_type", _computed())
def test_as_the_runtime_does_or_not_at_all(op_type: str) -> None:
    tried, computed = set(), False
    for each in _runs(op_type):
        tried |= {WHOLE, *_said(each.node)}
        try:
            found = run(each.node, each.operands, each.version)
        except Exception:  # the reference's own, or a refusal: a reason in the account
            continue
        computed = True
        assert _agree(found, each.truths), f"version {each.version}: {each.node.proto}"
    missing = {WHOLE, *schema(op_type, NEWEST).attributes} - tried
    assert missing <= ALONE.get(op_type, set()) or NEWEST != WRITTEN_FOR
    assert computed or WHOLE in missing or op_type in NEVER


ROWS = [(op_type, row) for op_type, rows in UNHEEDED.items() for row in rows]


@pytest.mark.skipif(not onnx.__version__.startswith("1.23."), reason="another onnx may heed more, or less")
@pytest.mark.parametrize(("op_type", "row"), ROWS)
def test_each_refusal_is_needed(monkeypatch: pytest.MonkeyPatch, op_type: str, row: str) -> None:
    """Each holds of a setting that is computed without it, and is computed wrongly then."""
    is_set, wrong = UNHEEDED[op_type][row], []
    monkeypatch.setitem(UNHEEDED, op_type, {})  # type: ignore[arg-type]
    for each in _runs(op_type):
        call = today(each.node, each.operands, each.version)
        attributes = {item.name: helper.get_attribute_value(item) for item in call.proto.attribute}
        asked = Asked(op_type, attributes, call.inputs, call.proto.output)
        if is_set(asked):
            with contextlib.suppress(Exception):
                wrong.append(not _agree(run(each.node, each.operands, each.version), each.truths))
    assert any(wrong)


REFUSED = [
    Setting("LSTM", [SEQUENCE, floats(1, 20, 4), floats(1, 20, 5)], {"hidden_size": 5, "clip": 0.5}),
    Setting("MaxPool", [IMAGE], {"kernel_shape": [2, 2]}, 2),
    Setting("Resize", [IMAGE, None, f32(1, 1, 0.6, 1)], {}),
]


@pytest.mark.parametrize("setting", REFUSED, ids=[setting.op_type for setting in REFUSED])
def test_a_refusal_says_what_is_not_heeded(setting: Setting) -> None:
    with pytest.raises(ValueError, match=rf"^{setting.op_type} with .* is not computed$"):
        run(_node(setting), setting.operands, 22)


@pytest.mark.parametrize(("op_type", "gates"), [("GRU", 3), ("LSTM", 4), ("RNN", 1)])
def test_sequences_that_come_batch_first(op_type: str, gates: int) -> None:
    """The runtime has no kernel for them: they are those that come step by step, turned."""
    steps, w, r = floats(3, 2, 4), floats(1, 5 * gates, 4), floats(1, 5 * gates, 5)
    size = {"hidden_size": 5}
    plain = run(_node(Setting(op_type, [steps, w, r], size, 2)), [steps, w, r], 22)
    first = [steps.transpose(1, 0, 2), w, r]
    turned = run(_node(Setting(op_type, first, {**size, "layout": 1}, 2)), first, 22)
    np.testing.assert_allclose(turned[0], plain[0].transpose(2, 0, 1, 3), 1e-6)
    np.testing.assert_allclose(turned[1], plain[1].transpose(1, 0, 2), 1e-6)
