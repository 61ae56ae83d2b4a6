"""Names: module path, node, weight; never empty, never twice."""

from pathlib import Path

import pytest

from onnxtop.reader.model import Value
from onnxtop.reader.ops import later_scale
from tests.models import layers_of, mlp, model, node, only_layer, save, weights


def _named(tmp_path: Path, *, node_name: str = "", weight: str = "w", scopes: str | None = None) -> str:
    item = node("Gemm", f"x {weight}", name=node_name)
    if scopes is not None:
        item.metadata_props.add(key="pkg.torch.onnx.name_scopes", value=scopes)
    return only_layer(save(model([item], {weight: weights(4, 3)}), tmp_path)).name


def test_the_module_path_comes_first(tmp_path: Path) -> None:
    scopes = "['', 'encoder', 'encoder.layers.0', 'encoder.layers.0.fc', 'linear_3']"
    assert _named(tmp_path, node_name="node_linear_3", scopes=scopes) == "encoder.layers.0.fc"


def test_a_module_without_a_path_has_no_name(tmp_path: Path) -> None:
    assert _named(tmp_path, node_name="fc", scopes="['', 'linear']") == "fc"


@pytest.mark.parametrize(
    "scopes",
    [
        *("", "[", "{", "{[]: 1}", "{{}}", "[{}]", "3", "None", "[1, 2]", "b'x'", "[[], []]"),
        "(" * 500,
        "-" * 99999 + "1",
    ],
    ids=lambda scopes: scopes[:9],
)
def test_broken_metadata_is_no_name_and_no_error(tmp_path: Path, scopes: str) -> None:
    assert _named(tmp_path, node_name="fc", scopes=scopes)


def test_a_node_name_that_says_something_comes_before_the_weight(tmp_path: Path) -> None:
    assert _named(tmp_path, node_name="/encoder/fc/Gemm", weight="onnx::MatMul_22") == "/encoder/fc/Gemm"


@pytest.mark.parametrize("name", ["", "Gemm_0", "Gemm", "node_linear_3", "17"])
def test_a_weight_says_more_than_a_number(tmp_path: Path, name: str) -> None:
    assert _named(tmp_path, node_name=name, weight="encoder.fc.weight") == "encoder.fc"


def test_where_neither_says_anything_the_node_comes_first(tmp_path: Path) -> None:
    assert _named(tmp_path, node_name="Gemm_0", weight="onnx::MatMul_22") == "Gemm_0"
    assert _named(tmp_path, weight="onnx::MatMul_22") == "onnx::MatMul_22"


def test_the_same_name_gets_a_number(tmp_path: Path) -> None:
    proto = mlp(6, 5, 4, 3)
    for item in proto.graph.node:
        item.name = "dense"
    assert [layer.name for layer in layers_of(save(proto, tmp_path))] == ["dense", "dense#2", "dense#3"]


def test_a_name_with_a_number_is_not_taken_twice(tmp_path: Path) -> None:
    proto = mlp(6, 5, 4, 3)
    for item, name in zip(
        (item for item in proto.graph.node if item.op_type == "Gemm"), ("fc", "fc", "fc#2"), strict=True
    ):
        item.name = name
    names = [layer.name for layer in layers_of(save(proto, tmp_path))]
    assert len(set(names)) == 3
    assert names[0] == "fc"


def test_unnamed_nodes_have_a_place_among_the_uses(tmp_path: Path) -> None:
    proto = model([node("MatMul", "x w", "h"), node("MatMul", "h w")], {"w": weights(4, 4)})
    uses = only_layer(save(proto, tmp_path)).uses
    assert len(set(uses)) == 2
    assert all(use.startswith("MatMul") for use in uses)


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        *(("a", ""), ("", ""), ("a.b", "a"), ("a.", "a"), (".b", ""), ("a/b_c:d", "a/b_c"), ("a..b", "a.")),
        ("a" * 10**6 + ".b", "a" * 10**6),  # not looked at from each letter to the last
    ],
    ids=lambda text: text[:9],
)
def test_what_a_scale_shares_with_its_codes(name: str, stem: str) -> None:
    assert later_scale._stem(Value(0, name)) == stem
