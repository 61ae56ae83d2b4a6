"""A file that asks for more than a limit allows is refused, by one message that says how to raise it."""

import tracemalloc
from collections.abc import Callable
from dataclasses import fields
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from onnx import ModelProto, TensorProto, helper

import onnxtop
from onnxtop.cli import app
from onnxtop.errors import LimitError, UsageError
from onnxtop.reader.connectivity import connect
from onnxtop.reader.constants import Constants
from onnxtop.reader.layers import find_layers
from onnxtop.reader.limits import DEFAULTS, GIB, Limits
from onnxtop.reader.loading import load
from tests.models import model, node, save, weights

CHAIN = [node("MatMul", "x w", "h"), node("Relu", "h", "r"), node("MatMul", "r v")]
HELD = {"w": weights(3, 4), "v": weights(4, 2)}


def chain() -> ModelProto:
    return model(CHAIN, HELD)


def nested(levels: int) -> ModelProto:
    """An If in an If, and so on."""
    inner = [node("MatMul", "x w")]
    for level in range(levels):
        names = [each.output[-1] for each in inner]
        body = helper.make_graph(
            inner, "b", [], [helper.make_tensor_value_info(names[-1], TensorProto.FLOAT, None)]
        )
        inner = [helper.make_node("If", ["c"], [f"y{level}"], then_branch=body, else_branch=body)]
    inner[0].output[0] = "y"
    return model(inner, {**HELD, "c": np.array(True)})


def doubling() -> ModelProto:
    """Six operations that are eleven with all functions written out."""
    held = [("D0", "Relu", 1), ("D1", "D0", 2), ("D2", "D1", 2)]
    imports = [helper.make_opsetid("", 21), helper.make_opsetid("acme", 1)]
    functions = []
    for name, inner, times in held:
        domain = "acme" if inner in ("D0", "D1") else ""
        names = ["a", "t", "b"] if times == 2 else ["a", "b"]
        body = [helper.make_node(inner, [old], [new], domain=domain) for old, new in pairwise(names)]
        functions.append(helper.make_function("acme", name, ["a"], ["b"], body, imports))
    return model([node("acme.D2", "x")], functions=functions)


# name: what is counted, and how often it is in the file
COUNTED: dict[str, tuple[Callable[[], ModelProto], int]] = {
    "nodes": (chain, 3),
    "tensors": (chain, 2),
    "elements": (chain, 20),
    "nesting": (lambda: nested(3), 3),
    "functions": (doubling, 10),
}


@pytest.mark.parametrize("name", COUNTED)
def test_what_a_file_may_ask_for(name: str, tmp_path: Path) -> None:
    make, count = COUNTED[name]
    path = save(make(), tmp_path)
    load(path, limits={name: count})
    unit = {"nesting": "levels", "functions": "operations written out of functions"}.get(name, name)
    with pytest.raises(LimitError) as caught:
        load(path, limits={name: count - 1})
    raised = f"raise it with --limit {name}={count} if you trust the file"
    assert str(caught.value).endswith(f": wanted at most {count - 1} {unit}, found {count}; {raised}")


@pytest.mark.parametrize("name", ["file", "structure"])
def test_how_large_a_file_may_be(name: str, tmp_path: Path) -> None:
    path = save(chain(), tmp_path)
    size = path.stat().st_size  # nothing in it is a large tensor
    load(path, limits={name: size / GIB})
    with pytest.raises(LimitError, match=f"GiB, found .*; raise it with --limit {name}="):
        load(path, limits={name: (size - 1) / GIB})


def test_large_tensors_are_no_structure(tmp_path: Path) -> None:
    path = save(model([node("MatMul", "x w")], {"w": weights(100, 100)}), tmp_path)
    assert load(path, limits={"structure": 2000 / GIB}).byte_count > 40_000


def test_many_are_refused_before_they_are_made(tmp_path: Path) -> None:
    """Nodes and tensors are counted on the way through the bytes: a file of a million ends at the limit."""
    path = tmp_path / "many.onnx"
    for tag in (b"\x0a\x00", b"\x2a\x00"):  # empty nodes, empty tensors
        graph = tag * 500_000
        path.write_bytes(b"\x08\x08\x42\x02\x10\x11\x3a\xc0\x84\x3d" + graph)
        tracemalloc.start()
        try:
            with pytest.raises(LimitError, match=r"at most 99 (nodes|tensors), found more; raise it with"):
                load(path, limits={"nodes": 99, "tensors": 99})
            assert tracemalloc.get_traced_memory()[1] < 2**20
        finally:
            tracemalloc.stop()


def test_what_declares_much_and_holds_none_is_refused(tmp_path: Path) -> None:
    proto = chain()
    proto.graph.initializer[0].CopyFrom(TensorProto(name="w", data_type=1, dims=[2**20, 2**20]))
    with pytest.raises(LimitError, match="wanted at most 274877906944 elements, found 1099511627776;"):
        load(save(proto, tmp_path))


def test_inputs_of_any_size_are_no_vertices(tmp_path: Path) -> None:
    """Those that are more than may be share one; what one limit leaves out, a higher one has."""
    path = save(model(CHAIN, HELD, {"x": [2, 3]}), tmp_path)
    sizes = []
    for most in (1, 100):
        loaded = load(path, limits={"neurons": most})
        constants = Constants(loaded)
        found = connect(loaded, constants, find_layers(loaded, constants))
        sizes.append(found.graph.n_vertices)
    assert sizes[0] < sizes[1] == 9


def test_constants_and_work_are_reasons(tmp_path: Path) -> None:
    filled = [node("ConstantOfShape", "d", "w"), node("MatMul", "x w")]
    path = save(model(filled, {"d": np.array([64, 64])}), tmp_path)
    for name in ("constants", "work"):
        (skipped,) = onnxtop.audit(path, limits={name: 0}).coverage.skipped
        assert f"raise it with --limit {name}=" in skipped.reason
    assert [layer.n_in for layer in onnxtop.audit(path).layers] == [64]


def test_names_and_numbers_of_limits() -> None:
    run = CliRunner()
    for value, message in {
        "nods=3": "wanted one of file, structure, nodes,",
        "nodes": "nodes: wanted a whole number of at least 0, found ''",
        "nodes=1.5": "nodes: wanted a whole number of at least 0, found 1.5",
        "file=x": "file: wanted a number, found 'x'",
        "file=1e999": "file: wanted a number, found inf",
    }.items():
        result = run.invoke(app, ["layers", "no.onnx", "--limit", value])
        assert (result.exit_code, message in result.stderr) == (2, True), result.stderr
    with pytest.raises(UsageError, match=r"wanted one of file, .*, found 'nods': did you mean nodes\?"):
        onnxtop.audit("no.onnx", limits={"nods": 3})


def test_a_limit_is_raised_on_the_command_line_and_in_the_configuration(tmp_path: Path) -> None:
    path = save(chain(), tmp_path)
    config = tmp_path / "c.toml"
    config.write_text("[limits]\nnodes = 2\nelements = 20\n", encoding="utf-8")
    run = CliRunner()
    check = ["check", str(path), "--quick", "--config", str(config)]
    assert run.invoke(app, check).exit_code == 3
    assert run.invoke(app, [*check, "--limit", "nodes=3"]).exit_code in (0, 1)
    assert run.invoke(app, [*check, "--limit", "nodes=3", "--limit", "elements=19"]).exit_code == 3


def test_every_limit_has_a_unit_and_an_end() -> None:
    assert all(getattr(DEFAULTS, each.name) > 0 for each in fields(Limits))
