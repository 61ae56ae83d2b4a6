"""Whose scale it is: what is multiplied onto an integer product, and what decodes what a Gather looks up.

The runtime is asked: unit inputs that are quantised without error give the weights, and an index of every
entry gives the table.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

import onnxtop
from onnxtop.auditing.options import AuditOptions
from onnxtop.auditing.story import audit
from onnxtop.reader.account import Role, account
from onnxtop.reader.constants import Constants
from onnxtop.reader.layer import Layer, Skipped
from onnxtop.reader.layers import find_layers
from onnxtop.reader.loading import load
from tests.models import (
    MICROSOFT,
    Array,
    layers_of,
    model,
    node,
    only_layer,
    only_skipped,
    run,
    save,
    weights,
)
from tests.reader.quantised_models import codes, scales

SX = np.float32(0.0625)
Q, T = (numpy_helper.to_array(codes("INT8", *shape)) for shape in ((6, 4), (9, 6)))
"""Codes of a weight and of a table."""

PRODUCT = [node("MatMulInteger", "xq q xz", "i"), node("Cast", "i", "f", to=1)]
STATIC = [node("QuantizeLinear", "x sx xz", "xq"), *PRODUCT]
WRITTEN = [
    *(node("Div", "x sx", "d"), node("Round", "d", "r"), node("Add", "r offset", "o")),
    *(node("Clip", "o low high", "c"), node("Cast", "c", "xq", to=TensorProto.UINT8), *PRODUCT),
]
INVERSE = [node("Mul", "x back", "d"), *WRITTEN[1:]]
BOUNDS = {"offset": np.float32(128), "low": np.float32(0), "high": np.float32(255), "back": 1 / SX}

FOLDED: dict[str, list[Any]] = {
    "a product": [node("Mul", "sx sw", "s"), node("Mul", "f s")],
    "a product the other way": [node("Mul", "sw sx", "s"), node("Mul", "s f")],
    "two Muls": [node("Mul", "f sx", "g"), node("Mul", "g sw")],
    "two Muls, weight first": [node("Mul", "f sw", "g"), node("Mul", "g sx")],
    "a bias between": [node("Mul", "f sw", "g"), node("Add", "g b", "h"), node("Mul", "h sx")],
    "a product of products": [node("Mul", "sx sw", "s"), node("Mul", "s one", "t"), node("Mul", "t f")],
    "a copy of it": [node("Mul", "copy sw", "s"), node("Mul", "f s")],
    "moved": [node("Unsqueeze", "sx zero", "u"), node("Mul", "u sw", "s"), node("Mul", "f s")],
    "a DequantizeLinear": [node("Mul", "sx sw", "s"), node("DequantizeLinear", "i s", "y", axis=-1)],
}


def _product(before: list[Any], after: list[Any], sw: Array, **more: Any) -> ModelProto:
    held = {"q": Q, "xz": np.uint8(128), "sx": SX, "sw": sw, **BOUNDS, **more}
    held |= {"one": np.float32(1), "copy": SX.copy(), "zero": np.array([0]), "b": np.zeros(4, np.float32)}
    used = {name for item in (*before, *after) for name in item.input}
    nodes = [item for item in (*before, *after) if item.output[0] != "f" or "f" in used]
    return model(nodes, {name: value for name, value in held.items() if name in used})


def _answers(proto: ModelProto) -> Array:
    """Return what unit vectors give: eight steps of the activation's scale, exact in its codes."""
    return run(proto, x=8 * SX * np.eye(6, dtype=np.float32)) / (8 * SX)


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("before", ["static", "written out", "written out by the inverse"])
@pytest.mark.parametrize("how", FOLDED)
def test_a_static_scale_of_the_activation(tmp_path: Path, how: str, before: str, per_channel: bool) -> None:
    first = {"static": STATIC, "written out": WRITTEN, "written out by the inverse": INVERSE}[before]
    sw = scales(4) if per_channel else np.float32(0.375)
    proto = _product(first, FOLDED[how], sw)
    layer = only_layer(save(proto, tmp_path))
    np.testing.assert_allclose(layer.matrix(), _answers(proto), rtol=1e-6)
    assert str(layer.encoding) == f"int8 {'per-channel' if per_channel else 'per-tensor'}"


def test_scales_of_one_size(tmp_path: Path) -> None:
    """Of two equal factors one is the activation's."""
    proto = _product(STATIC, FOLDED["a product"], SX)
    np.testing.assert_allclose(only_layer(save(proto, tmp_path)).matrix(), _answers(proto), rtol=1e-6)


@pytest.mark.parametrize("per_channel", [False, True])
def test_one_constant_hides_both(tmp_path: Path, per_channel: bool) -> None:
    """The weights are right up to one factor, so the layer is measured by itself and says so."""
    hidden = SX * (scales(4) if per_channel else np.float32(0.375))
    proto = _product(STATIC, [node("Mul", "f sw", "h"), node("MatMul", "h v")], hidden, v=weights(4, 3))
    first = layers_of(path := save(proto, tmp_path))[0]
    assert isinstance(first, Layer)
    assert str(first.encoding) == "int8 of unknown scale"
    ratio = first.matrix() / (Q * hidden)
    np.testing.assert_allclose(ratio[Q != 0], ratio[Q != 0][0], rtol=1e-6)
    report = audit(path)
    alone, other = report.layers
    assert alone.apart is not None
    assert other.apart is None
    assert report.network.neural_persistence.scale == other.largest == np.abs(weights(4, 3)).max()
    assert report.network.neural_persistence.mean_normalized == other.neural_persistence.normalized
    assert "1 of unknown scale" in (report.network.neural_persistence.reason or "")
    own = audit(path, AuditOptions(scale="layer")).layers[0].neural_persistence.normalized
    assert alone.neural_persistence.normalized == own


def test_a_layer_of_unknown_scale_is_compared_up_to_a_factor(tmp_path: Path) -> None:
    known = _product(STATIC, FOLDED["a product"], np.float32(0.375))
    hidden = _product(STATIC, [node("Mul", "f sw")], SX * np.float32(0.375))
    old, new = save(known, tmp_path, "old.onnx"), save(hidden, tmp_path, "new.onnx")
    (layer,) = onnxtop.diff(old, new).layers
    assert layer.changes == ()
    worse = numpy_helper.to_array(known.graph.initializer[0]).copy()
    worse[:3] = -worse[:3]
    known.graph.initializer[0].CopyFrom(numpy_helper.from_array(worse, known.graph.initializer[0].name))
    (layer,) = onnxtop.diff(save(known, tmp_path, "old.onnx"), new).layers
    assert layer.changes


def _embedded(
    after: list[Any], *, table: str, names: dict[str, Array], more: tuple[Any, ...] = ()
) -> ModelProto:
    """Return a model whose looked-up codes go straight into an integer product."""
    nodes = [
        node("Gather", f"{table} x", "g", name="embed"),
        *more,
        node("MatMulInteger", "g w_q tz", "i", name="fc"),
        node("Cast", "i", "f", to=1),
        *after,
    ]
    held = {table: (T + np.int16(128)).astype(np.uint8), "w_q": Q, "tz": np.uint8(100), **names}
    proto = model(nodes, held, {"x": ["n"]})
    proto.graph.input[0].type.tensor_type.elem_type = TensorProto.INT64
    return proto


ES, SW = np.float32(0.5), np.float32(0.375)
TWO = {
    "a product": [node("Mul", "t_scale w_scale", "s"), node("Mul", "f s")],
    "a product, weight first": [node("Mul", "w_scale t_scale", "s"), node("Mul", "f s")],
    "two Muls": [node("Mul", "f t_scale", "g2"), node("Mul", "g2 w_scale")],
    "two Muls, weight first": [node("Mul", "f w_scale", "g2"), node("Mul", "g2 t_scale")],
}


@pytest.mark.parametrize("sw", [SW, scales(4)], ids=["per-tensor", "per-channel"])
@pytest.mark.parametrize("how", TWO)
def test_an_embedding_whose_codes_are_multiplied(tmp_path: Path, how: str, sw: Array) -> None:
    """Codes and scale of a tensor share its name: the runtime's quantiser writes them so."""
    proto = _embedded(TWO[how], table="t_q", names={"t_scale": ES, "w_scale": sw})
    embed, product = layers_of(save(proto, tmp_path))
    assert isinstance(embed, Layer)
    assert isinstance(product, Layer)
    np.testing.assert_allclose(product.matrix(), Q * sw, rtol=1e-6)
    np.testing.assert_allclose(embed.matrix() @ product.matrix(), run(proto, x=np.arange(9)), rtol=1e-5)


def test_an_embedding_that_is_decoded_elsewhere(tmp_path: Path) -> None:
    """What decodes its codes on a second way is its scale, whatever the names."""
    more = (node("DequantizeLinear", "g a tz", "residual"),)
    after = [
        node("Mul", "b a", "s"),
        node("Mul", "f s", "m"),
        node("MatMul", "residual one", "n"),
        node("Add", "m n"),
    ]
    names = {"a": ES, "b": SW, "one": np.zeros((6, 4), np.float32)}
    embed, product, _ = layers_of(save(_embedded(after, table="t", names=names, more=more), tmp_path))
    assert isinstance(embed, Layer)
    assert isinstance(product, Layer)
    np.testing.assert_allclose(product.matrix(), Q * SW, rtol=1e-6)
    table = (T + np.float32(28)) * ES
    np.testing.assert_allclose(embed.matrix(), table, rtol=1e-6)


def test_a_vector_of_scales_is_the_weights(tmp_path: Path) -> None:
    after = [node("Mul", "a b", "s"), node("Mul", "f s")]
    embed, product = layers_of(save(_embedded(after, table="t", names={"a": scales(4), "b": ES}), tmp_path))
    assert isinstance(embed, Layer)
    assert isinstance(product, Layer)
    np.testing.assert_allclose(product.matrix(), Q * scales(4), rtol=1e-6)
    np.testing.assert_allclose(embed.matrix(), (T + np.float32(28)) * ES, rtol=1e-6)


@pytest.mark.parametrize("how", ["two", "one"])
def test_an_embedding_whose_scale_nothing_tells(tmp_path: Path, how: str) -> None:
    """Both are analysed, each up to a factor of its own."""
    two = [node("Mul", "a b", "s"), node("Mul", "f s")]
    after, names = (two, {"a": ES, "b": SW}) if how == "two" else ([node("Mul", "f a")], {"a": ES * SW})
    proto = _embedded(after, table="t", names=names)
    for layer, kind in zip(layers_of(path := save(proto, tmp_path)), ("uint8", "int8"), strict=True):
        assert isinstance(layer, Layer)
        assert str(layer.encoding) == f"{kind} of unknown scale"
    report = audit(path)
    assert report.network.neural_persistence.mean_normalized is None
    assert report.network.deep_graph_persistence.normalized is not None
    assert report.coverage.fraction == 1


def test_a_tied_embedding_quantised_is_not_accused(tmp_path: Path) -> None:
    """Copies that were rounded one by one are no copies any more: nothing that changed the network."""
    e = weights(9, 6)
    float_nodes = [node("Gather", "e x", "g"), node("MatMul", "g w", "h"), node("MatMul", "h et")]
    plain = model(float_nodes, {"e": e, "w": weights(6, 6), "et": e.T.copy()}, {"x": ["n"]})
    step = np.float32(np.abs(e).max() / 127)
    rounded = {name: np.round(array / step).astype(np.int8) for name, array in (("e", e), ("et", e.T))}
    held = {"e": rounded["e"], "et": rounded["et"][:, ::1].copy(), "w": weights(6, 6), "s": step}
    held["s2"] = np.float32(step * 1.001)
    nodes = [
        *(node("Gather", "e x", "c"), node("DequantizeLinear", "c s", "g"), node("MatMul", "g w", "h")),
        *(node("DequantizeLinear", "et s2", "d"), node("MatMul", "h d")),
    ]
    coded = model(nodes, held, {"x": ["n"]})
    for proto in (plain, coded):
        proto.graph.input[0].type.tensor_type.elem_type = TensorProto.INT64
    found = onnxtop.diff(save(plain, tmp_path, "a.onnx"), save(coded, tmp_path, "b.onnx"))
    assert [layer.changes for layer in found.layers] == [()] * 3


# Tables that are decoded behind their look-up.

U8 = codes("UINT8", 9, 4)
ROW = scales(9)
LOOKED_UP: dict[str, tuple[list[Any], dict[str, Any], str]] = {
    "DequantizeLinear": (
        [node("DequantizeLinear", "g s z")],
        {"s": np.float32(0.5), "z": np.uint8(7)},
        "per-tensor",
    ),
    "without a zero point": ([node("DequantizeLinear", "g s")], {"s": np.float32(0.5)}, "per-tensor"),
    "a scale a column": (
        [node("DequantizeLinear", "g s z", axis=-1)],
        {"s": scales(4), "z": numpy_helper.to_array(codes("UINT8", 4, seed=1))},
        "per-channel",
    ),
    "a scale a column, counted from the front": (
        [node("DequantizeLinear", "g s", axis=2)],
        {"s": scales(4)},
        "per-channel",
    ),
    "written out": (
        [node("Cast", "g", "f", to=1), node("Sub", "f o", "c"), node("Mul", "c s")],
        {"o": np.float32(7), "s": scales(4)},
        "scaled",
    ),
    "in integers": (
        [
            node("Cast", "g", "j", to=6),
            node("Sub", "j o", "c"),
            node("Cast", "c", "f", to=1),
            node("Mul", "s f"),
        ],
        {"o": np.int32(7), "s": np.float32(0.5)},
        "scaled",
    ),
    "a division": ([node("Cast", "g", "f", to=1), node("Div", "f s")], {"s": np.float32(4)}, "scaled"),
    "an offset behind": (
        [node("Cast", "g", "f", to=1), node("Mul", "f s", "m"), node("Add", "m o")],
        {"s": np.float32(0.5), "o": np.float32(-3)},
        "scaled",
    ),
    "a scale an entry": (
        [node("Gather", "s x", "gs"), node("Cast", "g", "f", to=1), node("Mul", "f gs")],
        {"s": ROW[:, None]},
        "scaled",
    ),
    "a vector with a scale an entry": (
        [
            *(node("Gather", "s x", "gs"), node("Unsqueeze", "gs last", "us")),
            *(node("Cast", "g", "f", to=1), node("Mul", "f us")),
        ],
        {"s": ROW, "last": np.array([-1])},
        "scaled",
    ),
    "a scale and a zero point an entry": (
        [
            *(node("Gather", "s x", "gs"), node("Gather", "o x", "go"), node("Cast", "g", "f", to=1)),
            *(node("Sub", "f go", "c"), node("Mul", "c gs")),
        ],
        {"s": ROW[:, None], "o": weights(9, 1)},
        "scaled",
    ),
    "scales in codes": (
        [
            *(node("Gather", "s x", "gc"), node("DequantizeLinear", "gc ss", "gs")),
            *(node("Cast", "g", "f", to=1), node("Mul", "f gs")),
        ],
        {"s": codes("UINT8", 9, 1, seed=2), "ss": np.float32(0.125)},
        "scaled",
    ),
    "blocks": (
        [node("Gather", "s x", "gs"), node("DequantizeLinear", "g gs", axis=-1, block_size=2)],
        {"s": scales(9, 2)},
        "block 2",
    ),
    "moved first": (
        [
            *(node("Reshape", "g flat", "r"), node("Unsqueeze", "r one", "u")),
            node("DequantizeLinear", "u s z"),
        ],
        {"flat": np.array([-1, 4]), "one": np.array([1]), "s": np.float32(0.5), "z": np.uint8(7)},
        "per-tensor",
    ),
    "positions added": (
        [node("DequantizeLinear", "g s", "d"), node("Add", "d p")],
        {"s": np.float32(0.5), "p": np.zeros((3, 4), np.float32)},
        "per-tensor",
    ),
}


@pytest.mark.parametrize("kind", ["UINT8", "INT8"])
@pytest.mark.parametrize("how", LOOKED_UP)
def test_a_table_that_is_decoded_behind_its_look_up(tmp_path: Path, how: str, kind: str) -> None:
    after, more, sharing = LOOKED_UP[how]
    if "z" in more:
        more = {**more, "z": codes(kind, *np.shape(more["z"]), seed=1)}
    held = {"q": codes(kind, 9, 4), **more}
    proto = model([node("Gather", "q x", "g"), *after], held, {"x": [3, 3]})
    proto.graph.input[0].type.tensor_type.elem_type = TensorProto.INT64
    layer = only_layer(save(proto, tmp_path))
    assert (layer.n_in, layer.n_out) == (9, 4)
    assert str(layer.encoding) == f"{kind.lower()} {sharing}"
    every = np.arange(9).reshape(3, 3)
    np.testing.assert_allclose(layer.matrix(), run(proto, x=every).reshape(9, 4), rtol=1e-6)
    report = audit(tmp_path / "model.onnx")
    assert report.coverage.fraction == 1
    assert report.network.deep_graph_persistence.normalized is not None


NOT_ENTRIES: dict[str, tuple[list[Any], dict[str, Any]]] = {
    "a scale a position": ([node("Cast", "g", "f", to=1), node("Mul", "f s")], {"s": scales(9, 1)}),
    "a scale of another index": (
        [node("Gather", "s other", "gs"), node("Cast", "g", "f", to=1), node("Mul", "f gs")],
        {"s": ROW[:, None]},
    ),
    "a scale a column, which moved": (
        [node("Transpose", "g", "t", perm=[1, 0]), node("DequantizeLinear", "t s", axis=0)],
        {"s": scales(4)},
    ),
    "a scale along the index": ([node("DequantizeLinear", "g s", axis=0)], {"s": scales(9)}),
    "no scale": ([node("Cast", "g", "f", to=1), node("Relu", "f")], {}),
}


@pytest.mark.parametrize("how", NOT_ENTRIES)
def test_a_table_that_no_scale_of_its_own_decodes(tmp_path: Path, how: str) -> None:
    """It is skipped with its parameters: never read with numbers that belong to positions."""
    after, more = NOT_ENTRIES[how]
    proto = model([node("Gather", "q x", "g"), *after], {"q": U8, **more}, {"x": [9], "other": [9]})
    for item in proto.graph.input:
        item.type.tensor_type.elem_type = TensorProto.INT64
    skipped = [item for item in layers_of(save(proto, tmp_path)) if isinstance(item, Skipped)]
    assert [item.parameters for item in skipped if item.weight == "codes" or item.parameters == 36] == [36]


# One origin, several decodings.

S = scales(6)
TWO_NODES = [node("DequantizeLinear", "q a", "v"), node("DequantizeLinear", "q b", "w")]
DECODINGS: dict[str, tuple[list[Any], dict[str, Any], int]] = {
    "two scales": (
        [node("DequantizeLinear", "q a", "v"), node("DequantizeLinear", "q b", "w")],
        {"a": S[0], "b": S[1]},
        2,
    ),
    "two zero points": (
        [node("DequantizeLinear", "q a m", "v"), node("DequantizeLinear", "q a n", "w")],
        {"a": S[0], "m": np.int8(1), "n": np.int8(2)},
        2,
    ),
    "equal scales": (
        [node("DequantizeLinear", "q a", "v"), node("DequantizeLinear", "q b", "w")],
        {"a": S[0], "b": S[0]},
        1,
    ),
    "one scale": (
        [node("DequantizeLinear", "q a", "v"), node("DequantizeLinear", "q a", "w")],
        {"a": S[0]},
        1,
    ),
    "a zero point of nothing": (
        [node("DequantizeLinear", "q a", "v"), node("DequantizeLinear", "q a m", "w")],
        {"a": S[0], "m": np.int8(0)},
        1,
    ),
    "a vector of equals": (
        [node("DequantizeLinear", "q a", "v"), node("DequantizeLinear", "q b", "w", axis=0)],
        {"a": S[0], "b": np.full(6, S[0])},
        1,
    ),
    "rows and columns": (
        [node("DequantizeLinear", "q a", "v", axis=0), node("DequantizeLinear", "q a", "w", axis=1)],
        {"a": S},
        2,
    ),
    "transposed before and behind": (
        [
            *(node("DequantizeLinear", "q a", "v", axis=0), node("Transpose", "q", "t", perm=[1, 0])),
            node("DequantizeLinear", "t a", "w", axis=1),
        ],
        {"a": S},
        1,
    ),
    "scales in codes": (
        [
            *(node("DequantizeLinear", "k a", "s1", axis=0), node("DequantizeLinear", "q s1", "v", axis=0)),
            node("DequantizeLinear", "q a", "w"),
        ],
        {"a": S[0], "k": numpy_helper.to_array(codes("UINT8", 6))},
        2,
    ),
}


@pytest.mark.parametrize("how", DECODINGS)
def test_one_origin_with_several_decodings(tmp_path: Path, how: str) -> None:
    nodes, held, count = DECODINGS[how]
    after = [node("MatMul", "x v", "h"), node("MatMul", "h w")]
    proto = model([*nodes, *after], {"q": numpy_helper.to_array(codes("INT8", 6, 6)), **held})
    loaded = load(save(proto, tmp_path))
    constants = Constants(loaded)
    found = find_layers(loaded, constants)
    assert len(found) == count
    assert account(loaded, constants, found).total(Role.ANALYSED) == 36
    first, second = (found * 2)[:2]
    assert isinstance(first, Layer)
    assert isinstance(second, Layer)
    again = second.matrix().T if how == "transposed before and behind" else second.matrix()
    answers = run(proto, x=np.eye(6, dtype=np.float32))
    np.testing.assert_allclose(first.matrix() @ again, answers, rtol=1e-5, atol=1e-4)
    assert audit(tmp_path / "model.onnx").network.deep_graph_persistence.connectivity == "exact"


@pytest.mark.parametrize(("scale", "count"), [(0.5, 1), (0.25, 2)])
def test_codes_decoded_and_multiplied_as_integers(tmp_path: Path, scale: float, count: int) -> None:
    """A table and a head that share their codes are one layer if they share the scale."""
    nodes = [
        *(
            node("Gather", "q x", "c"),
            node("DequantizeLinear", "c a", "h"),
            node("Transpose", "q", "t", perm=[1, 0]),
        ),
        *(node("DynamicQuantizeLinear", "h", "hq hs hz"), node("MatMulInteger", "hq t hz", "i")),
        *(node("Cast", "i", "f", to=1), node("Mul", "hs b", "s"), node("Mul", "f s")),
    ]
    proto = model(nodes, {"q": T, "a": np.float32(0.5), "b": np.float32(scale)}, {"x": ["n"]})
    proto.graph.input[0].type.tensor_type.elem_type = TensorProto.INT64
    found = layers_of(save(proto, tmp_path))
    assert len(found) == count
    for layer, factor, codes_ in zip(found, (0.5, scale), (T, T.T), strict=False):
        assert isinstance(layer, Layer)
        np.testing.assert_allclose(layer.matrix(), codes_ * np.float32(factor), rtol=1e-6)


def test_blocks_with_other_scales_are_other_weights(tmp_path: Path) -> None:
    packed = codes("UINT8", 8, 2, 8)
    options = {"K": 32, "N": 8, "bits": 4, "block_size": 16}
    nodes = [
        node(f"{MICROSOFT}.MatMulNBits", "x q a", "h", **options),
        node(f"{MICROSOFT}.MatMulNBits", "x q b", "k", **options),
        node("Add", "h k"),
    ]
    held = {"q": packed, "a": scales(8, 2), "b": scales(8, 2, seed=1)}
    one, other = layers_of(save(model(nodes, held), tmp_path))
    assert isinstance(one, Layer)
    assert isinstance(other, Layer)
    assert not np.array_equal(one.matrix(), other.matrix())


# Scales that are themselves computed, and signed ones.


def test_a_scale_that_is_computed_or_in_codes(tmp_path: Path) -> None:
    """Double quantisation: scales in codes with a scale of their own."""
    nodes = [
        *(node("DequantizeLinear", "k a m", "coded"), node("Mul", "coded half", "s")),
        *(node("DequantizeLinear", "q s", "w", axis=1), node("MatMul", "x w")),
    ]
    held = {"q": Q, "k": codes("UINT8", 4), "a": np.float32(0.125), "m": np.uint8(3), "half": np.float32(0.5)}
    proto = model(nodes, held)
    layer = only_layer(save(proto, tmp_path))
    np.testing.assert_allclose(layer.matrix(), run(proto, x=np.eye(6, dtype=np.float32)), rtol=1e-6)
    assert str(layer.encoding) == "int8 per-channel"


def symmetric(w: Array, block: int) -> tuple[Array, Array]:
    """Quantise as onnxruntime's symmetric quantisers do: the largest |w| of a block becomes code 0 of 16.

    Its sign goes into the scale: ``scale = value of largest |w| / -8``.
    """
    k, n = w.shape
    blocks = w.T.reshape(n, k // block, block)
    top = np.take_along_axis(blocks, np.abs(blocks).argmax(-1)[..., None], -1)
    scale = (top / -8).astype(np.float32)
    q = np.clip(np.round(blocks / scale + 8), 0, 15).astype(np.uint8)
    return (q[..., ::2] | q[..., 1::2] << 4), scale[..., 0]


def test_signed_scales_are_healthy(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    w = rng.normal(size=(64, 32)).astype(np.float32)
    packed, scale = symmetric(w, 16)
    assert (scale < 0).any()
    assert (scale > 0).any()
    nodes = [node(f"{MICROSOFT}.MatMulNBits", "x q s", K=64, N=32, bits=4, block_size=16)]
    proto = model(nodes, {"q": packed, "s": scale}, {"x": ["n", 64]})
    path = save(proto, tmp_path)
    np.testing.assert_allclose(
        only_layer(path).matrix(), run(proto, x=np.eye(64, dtype=np.float32)), atol=1e-5
    )
    assert np.corrcoef(only_layer(path).matrix().ravel(), w.ravel())[0, 1] > 0.98
    report = audit(path)
    assert not [finding for finding in report.findings if finding.rule in ("OT101", "OT106")]


@pytest.mark.parametrize("bits", [4, 8])
def test_what_fills_up_the_last_block_is_no_code(tmp_path: Path, bits: int) -> None:
    packed = np.full((5, 3, 2 * bits), 0b00110011, np.uint8)
    packed[:, 2, bits // 4 :] = 0  # 34 weights a row, in blocks of 16
    nodes = [node(f"{MICROSOFT}.MatMulNBits", "x q s", K=34, N=5, bits=bits, block_size=16)]
    raw = only_layer(save(model(nodes, {"q": packed, "s": scales(5, 3)}), tmp_path)).codes()
    assert raw is not None
    assert raw.codes.shape == (5, 34)
    assert (raw.codes == (0b0011 if bits == 4 else 0b00110011)).all()


@pytest.mark.parametrize(
    ("bad", "rules"), [(-0.5, []), (0.0, ["OT106"]), (np.inf, ["OT101"]), (np.nan, ["OT101"])]
)
def test_only_a_scale_of_nothing_or_of_no_number_is_a_fault(
    tmp_path: Path, bad: float, rules: list[str]
) -> None:
    s = scales(4)
    s[2] = bad
    nodes = [node("DequantizeLinear", "q s", "w", axis=1), node("MatMul", "x w")]
    report = audit(save(model(nodes, {"q": Q, "s": s}, {"x": ["n", 6]}), tmp_path))
    assert [finding.rule for finding in report.findings if finding.rule in ("OT101", "OT106")] == rules


def test_codes_that_nothing_scales_are_analysed_by_themselves(tmp_path: Path) -> None:
    proto = model([node("MatMulInteger", "x q", "y")], {"q": Q}, {"x": ["n", 6]})
    proto.graph.input[0].type.tensor_type.elem_type = TensorProto.UINT8
    proto.graph.output[0].CopyFrom(helper.make_tensor_value_info("y", TensorProto.INT32, None))
    layer = only_layer(save(proto, tmp_path))
    assert str(layer.encoding) == "int8 of unknown scale"
    np.testing.assert_array_equal(layer.matrix(), Q)
    (row,) = audit(tmp_path / "model.onnx").layers
    assert row.apart is not None
    assert row.neural_persistence.normalized is not None


def test_a_factor_that_is_none_an_output_is_no_scale(tmp_path: Path) -> None:
    proto = _product(STATIC, [node("Mul", "f sw")], scales(6)[:, None])
    assert only_skipped(save(proto, tmp_path)).parameters == 24
