"""Where models keep weights is read off their bytes: by no library that they could do harm to."""

from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from onnxtop.errors import LimitError
from onnxtop.reader import wire
from onnxtop.reader.limits import Limits
from onnxtop.reader.locations import files_of, is_model, locations_of
from tests.models import model, node, save, tensor, weights


def away(name: str, place: str) -> TensorProto:
    outside = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=[2, 2])
    outside.data_location = TensorProto.EXTERNAL
    outside.external_data.add(key="location", value=place)
    outside.external_data.add(key="offset", value="0")
    return outside


def holder() -> onnx.ModelProto:
    """Return a model that names five files, at all places where a tensor may stand."""
    body = helper.make_graph([node("Constant", "", "c", value=away("c", "body/c"))], "body", [], [])
    sparse = helper.make_sparse_tensor(tensor("v", weights(2)), tensor("i", weights(2)), [4])
    sparse.values.CopyFrom(away("v", "sparse"))
    function = helper.make_function(
        "own", "f", ["x"], ["y"], [node("Constant", "", "y", value=away("f", "function"))], []
    )
    proto = model(
        [node("If", "x", "y", then_branch=body)], {"w": away("w", "w" * 5000)}, functions=[function]
    )
    proto.graph.initializer.append(away("é", "ä ö"))
    proto.graph.initializer.append(tensor("large", weights(64, 64)))
    proto.graph.sparse_initializer.append(sparse)
    return proto


def test_all_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(holder(), tmp_path)
    monkeypatch.setattr(onnx.ModelProto, "FromString", None)
    assert locations_of(path) == sorted(["body/c", "sparse", "function", "w" * 5000, "ä ö"])
    assert {each.name for each in files_of(path)} >= {"c", "sparse", "function", "ä ö"}


@pytest.mark.parametrize(
    "content", [b"", b"\x08\x0a", b"\x3a\x00", b"\x08\x0a\x3a\x05ab", b"name;step\n1;2\n", b"\x3b\x08\x0a"]
)
def test_what_is_no_model(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "data"
    path.write_bytes(content)
    assert (is_model(path), locations_of(path)) == (False, [])


def test_bodies_without_end(tmp_path: Path) -> None:
    inner = b"\x2a" + wire._varint(len(b"location") + 2) + b"\x42\x08location"
    for _ in range(3000):  # a node of a graph, an attribute of the node, its graph
        for number in (1, 5, 6):
            inner = wire._delimited(number, inner)
    path = tmp_path / "deep.onnx"
    path.write_bytes(b"\x08\x0a" + wire._delimited(7, inner))
    assert locations_of(path) == []


def test_more_than_there_may_be() -> None:
    with pytest.raises(LimitError, match="at most 10 nodes"):
        wire.locations(b"\x08\x0a" * 400 + b"\x3a\x00", Limits(nodes=10, tensors=10))
