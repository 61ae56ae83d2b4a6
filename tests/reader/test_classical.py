"""Linear models, support vectors, einsum, tables, bent convolutions: its scores from our matrices."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import ModelProto, TensorProto, helper

from onnxtop.auditing.story import audit
from onnxtop.reader.layer import Layer, Skipped
from onnxtop.reader.layers import read_layers
from tests.models import layers_of, model, node, only_layer, only_skipped, save
from tests.reader.extraction import run

Array = np.ndarray[Any, Any]
ML = "ai.onnx.ml"


def _random(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng((seed, *shape)).normal(size=shape).astype(np.float32)


def _learned(op: str, outputs: str = "y", **attributes: Any) -> ModelProto:
    floats = {
        key: value.ravel().tolist() for key, value in attributes.items() if isinstance(value, np.ndarray)
    }
    proto = model([node(f"{ML}.{op}", "x", outputs, name="learned", **{**attributes, **floats})], {})
    names = outputs.split()
    if len(names) == 2:
        del proto.graph.output[:]
        kinds = (TensorProto.INT64, TensorProto.FLOAT)
        proto.graph.output.extend(
            helper.make_tensor_value_info(name, kind, None) for name, kind in zip(names, kinds, strict=True)
        )
    return proto


@pytest.mark.parametrize("classes", [2, 3, 5])
def test_linear_classifier(tmp_path: Path, classes: int) -> None:
    w, b = _random(classes, 6), _random(classes, seed=1)
    proto = _learned(
        "LinearClassifier",
        "label scores",
        coefficients=w,
        intercepts=b,
        classlabels_ints=list(range(classes)),
        multi_class=0,
        post_transform="NONE",
    )
    layer = only_layer(save(proto, tmp_path))
    x = _random(4, 6, seed=2)
    scores = run(proto, {"x": x})[1]
    np.testing.assert_allclose(x @ layer.matrix() + layer.bias(), scores, rtol=1e-5, atol=1e-6)
    assert (layer.n_in, layer.n_out, layer.parameters, layer.name) == (6, classes, classes * 6, "learned")
    coverage = audit(save(proto, tmp_path)).coverage
    assert (coverage.parameters_analysed, coverage.biases) == (classes * 6, classes)


def test_a_classifier_of_two_classes_with_one_row(tmp_path: Path) -> None:
    """The runtime then makes the other score from the one."""
    w, b = _random(1, 6), _random(1, seed=1)
    proto = _learned(
        "LinearClassifier",
        "label scores",
        coefficients=w,
        intercepts=b,
        classlabels_ints=[0, 1],
        multi_class=0,
        post_transform="NONE",
    )
    layer = only_layer(save(proto, tmp_path))
    x = _random(4, 6, seed=2)
    scores = run(proto, {"x": x})[1]
    np.testing.assert_allclose((x @ layer.matrix() + layer.bias())[:, 0], scores[:, 1], rtol=1e-5, atol=1e-6)


def test_a_classifier_without_intercepts(tmp_path: Path) -> None:
    proto = _learned(
        "LinearClassifier",
        "label scores",
        coefficients=_random(3, 6),
        classlabels_strings=["a", "b", "c"],
        intercepts=np.zeros(3, np.float32),
        post_transform="NONE",
    )
    bare = _learned(
        "LinearClassifier", "label scores", coefficients=_random(3, 6), classlabels_strings=["a", "b", "c"]
    )
    x = _random(4, 6, seed=2)
    proto.graph.output[0].type.tensor_type.elem_type = TensorProto.STRING
    layer = only_layer(save(bare, tmp_path))
    np.testing.assert_allclose(x @ layer.matrix(), run(proto, {"x": x})[1], rtol=1e-5, atol=1e-6)
    assert layer.bias() is None


@pytest.mark.parametrize("targets", [1, 3])
def test_linear_regressor(tmp_path: Path, targets: int) -> None:
    w, b = _random(targets, 6), _random(targets, seed=1)
    proto = _learned("LinearRegressor", coefficients=w, intercepts=b, targets=targets)
    layer = only_layer(save(proto, tmp_path))
    x = _random(4, 6, seed=2)
    np.testing.assert_allclose(
        x @ layer.matrix() + layer.bias(), run(proto, {"x": x})[0], rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize("count", [7, 5, 10**6, -1, 0])
def test_coefficients_that_the_rows_do_not_divide(tmp_path: Path, count: int) -> None:
    proto = _learned("LinearRegressor", coefficients=_random(18), targets=count)
    skipped = only_skipped(save(proto, tmp_path))
    assert skipped.parameters == 18
    assert skipped.reason


def test_svm_regressor(tmp_path: Path) -> None:
    """Kernel LINEAR: the two matrices one after the other are the machine."""
    support, alpha = _random(5, 6), _random(5, seed=1)
    proto = _learned(
        "SVMRegressor",
        support_vectors=support,
        coefficients=alpha,
        n_supports=5,
        kernel_type="LINEAR",
        rho=np.array([0.25], np.float32),
        kernel_params=np.array([1, 0, 3], np.float32),
    )
    layers = {layer.name: layer for layer in read_layers(save(proto, tmp_path)) if isinstance(layer, Layer)}
    first, second = layers["learned.support_vectors"], layers["learned.coefficients"]
    assert ((first.n_in, first.n_out), (second.n_in, second.n_out)) == ((6, 5), (5, 1))
    x = _random(4, 6, seed=2)
    found = x @ first.matrix() @ second.matrix() + 0.25
    np.testing.assert_allclose(found, run(proto, {"x": x})[0], rtol=1e-4, atol=1e-5)


def test_svm_regressor_without_support_vectors(tmp_path: Path) -> None:
    proto = _learned(
        "SVMRegressor",
        coefficients=_random(6),
        n_supports=0,
        kernel_type="LINEAR",
        rho=np.array([0.25], np.float32),
        kernel_params=np.array([1, 0, 3], np.float32),
    )
    x = _random(4, 6, seed=2)
    layer = only_layer(save(proto, tmp_path))
    np.testing.assert_allclose(x @ layer.matrix() + 0.25, run(proto, {"x": x})[0], rtol=1e-4, atol=1e-5)


def test_svm_classifier(tmp_path: Path) -> None:
    """Three classes, one against one: each pair's score sums both classes' own rows of coefficients."""
    counts, support, alpha = [2, 3, 2], _random(7, 6), _random(2, 7, seed=1)
    rho = np.array([0.1, -0.2, 0.3], np.float32)
    proto = _learned(
        "SVMClassifier",
        "label scores",
        support_vectors=support,
        coefficients=alpha,
        vectors_per_class=counts,
        rho=rho,
        kernel_type="LINEAR",
        kernel_params=np.array([1, 0, 3], np.float32),
        classlabels_ints=[0, 1, 2],
        post_transform="NONE",
    )
    layers = {layer.name: layer for layer in read_layers(save(proto, tmp_path)) if isinstance(layer, Layer)}
    first, second = layers["learned.support_vectors"].matrix(), layers["learned.coefficients"].matrix()
    assert second.shape == (7, 2)
    x = _random(4, 6, seed=2)
    kernels = x @ first
    ends = np.cumsum([0, *counts])
    pairs = [(0, 1), (0, 2), (1, 2)]
    scores = np.stack(
        [
            kernels[:, ends[i] : ends[i + 1]] @ second[ends[i] : ends[i + 1], j - 1]
            + kernels[:, ends[j] : ends[j + 1]] @ second[ends[j] : ends[j + 1], i]
            + rho[number]
            for number, (i, j) in enumerate(pairs)
        ],
        axis=1,
    )
    answer = run(proto, {"x": x})[1]
    np.testing.assert_allclose(np.abs(scores), np.abs(answer), rtol=1e-4, atol=1e-5)


def test_a_linear_svm_classifier_without_support_vectors(tmp_path: Path) -> None:
    """One row of coefficients a class, as the runtime scores them."""
    w = _random(3, 6)
    proto = _learned(
        "SVMClassifier",
        "label scores",
        coefficients=w,
        kernel_type="LINEAR",
        classlabels_ints=[0, 1, 2],
        rho=np.array([0.0], np.float32),
        kernel_params=np.array([1, 0, 3], np.float32),
        post_transform="NONE",
    )
    x = _random(4, 6, seed=2)
    layer = only_layer(save(proto, tmp_path))
    np.testing.assert_allclose(x @ layer.matrix(), run(proto, {"x": x})[1], rtol=1e-4, atol=1e-5)


def test_trees_have_no_weights(tmp_path: Path) -> None:
    proto = _learned(
        "TreeEnsembleRegressor",
        nodes_treeids=[0, 0, 0],
        nodes_nodeids=[0, 1, 2],
        nodes_featureids=[1, 0, 0],
        nodes_values=[0.5, 0.0, 0.0],
        nodes_modes=["BRANCH_LEQ", "LEAF", "LEAF"],
        nodes_truenodeids=[1, 0, 0],
        nodes_falsenodeids=[2, 0, 0],
        target_treeids=[0, 0],
        target_nodeids=[1, 2],
        target_ids=[0, 0],
        target_weights=[1.0, -1.0],
        n_targets=1,
    )
    assert run(proto, {"x": _random(2, 3)})[0].shape == (2, 1)
    report = audit(save(proto, tmp_path))
    assert report.layers == ()
    assert report.coverage.skipped == ()


def test_tf_idf_weights_are_skipped(tmp_path: Path) -> None:
    options = {
        "mode": "TFIDF",
        "min_gram_length": 1,
        "max_gram_length": 1,
        "max_skip_count": 0,
        "ngram_counts": [0],
        "ngram_indexes": [0, 1, 2],
        "pool_int64s": [4, 5, 6],
        "weights": [0.5, 1.0, 2.0],
    }
    path = save(model([node("TfIdfVectorizer", "x", "y", **options)], {}), tmp_path)
    (found,) = layers_of(path)
    assert isinstance(found, Skipped)
    assert found.parameters == 3
    assert audit(path).coverage.parameters_total == 3


# Einsum


EQUATIONS: dict[str, tuple[tuple[int, ...], tuple[int, ...], bool]] = {
    # equation: shape of the activation, shape of the weight, whether the weight stands left
    "ij,jk->ik": ((2, 3), (3, 4), False),
    "ij,kj->ik": ((2, 3), (4, 3), False),
    "ij,jk->ki": ((2, 3), (3, 4), False),
    "jk,ij->ik": ((2, 3), (3, 4), True),
    "bsi,io->bso": ((2, 5, 3), (3, 4), False),
    "bsi,ihd->bshd": ((2, 5, 3), (3, 2, 4), False),
    "bshd,hdo->bso": ((2, 5, 2, 3), (2, 3, 4), False),
    "bshd,dho->bso": ((2, 5, 2, 3), (3, 2, 4), False),
    "bgi,gio->bgo": ((2, 3, 4), (3, 4, 5), False),
    "bgi,goi->bgo": ((2, 3, 4), (3, 5, 4), False),
    "bgi,iog->bgo": ((2, 3, 4), (4, 5, 3), False),
    "bi,i->b": ((2, 3), (3,), False),
    "bij,ij->b": ((2, 3, 4), (3, 4), False),
    "hdo,bshd->bso": ((2, 5, 2, 3), (2, 3, 4), True),
    " b i , i o -> b o ": ((2, 3), (3, 4), False),
    "...i,io->...o": ((2, 5, 3), (3, 4), False),
}


@pytest.mark.parametrize("equation", EQUATIONS)
def test_einsum(tmp_path: Path, equation: str) -> None:
    """Each response to a unit vector is found in the matrix, in the blocks' order."""
    x_shape, w_shape, left = EQUATIONS[equation]
    w = _random(*w_shape)
    proto = model([node("Einsum", "w x" if left else "x w", equation=equation)], {"w": w})
    layer = only_layer(save(proto, tmp_path))
    x = _random(*x_shape, seed=1)
    (answer,) = run(proto, {"x": x})
    blocks = layer.blocks()
    terms, _, result = equation.replace(" ", "").partition("->")
    a, b = terms.split(",")
    axes, other = (a, b) if left else (b, a)
    result = result or "".join(sorted(set(axes) ^ set(other)))
    if "..." in other:
        other, result = other.replace("...", "xyz"[: x.ndim - 1]), result.replace("...", "xyz"[: x.ndim - 1])
    shared = [axis for axis in axes if axis in other and axis in result]
    summed = [axis for axis in axes if axis in other and axis not in result]
    made = [axis for axis in axes if axis not in other]
    rest = [axis for axis in other if axis not in axes]
    sizes = dict(zip(axes, w.shape, strict=True))
    rows = np.einsum(f"{other}->{''.join(rest + shared + summed)}", x)
    rows = rows.reshape(-1, len(blocks), blocks[0].shape[0]).astype(np.float64)
    found = np.stack([rows[:, number] @ block for number, block in enumerate(blocks)], axis=1)
    found = found.reshape(
        [x.shape[other.index(axis)] for axis in rest] + [sizes[axis] for axis in shared + made]
    )
    wanted = np.einsum(f"{''.join(rest + shared + made)}->{result}", found)
    np.testing.assert_allclose(wanted, answer, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("equation", ["ij,kj->i", "ij,jj->i", "ij,jk,kl->il", "ij->ji", "ij,jk", "nonsense"])
def test_einsum_that_is_no_product_of_matrices(tmp_path: Path, equation: str) -> None:
    """A sum over the weight's own axis, its diagonal, three factors, one, an implicit result: not read."""
    inputs = " ".join(["x", "w", "v"][: equation.count(",") + 1])
    held = {"w": _random(4, 4), "v": _random(4, 4, seed=1)}
    path = save(model([node("Einsum", inputs, equation=equation)], held), tmp_path)
    found = layers_of(path)
    assert not any(isinstance(item, Layer) for item in found)
    assert all(item.reason for item in found if isinstance(item, Skipped))


# Gather


@pytest.mark.parametrize("axis", [0, 1, -1, 2])
def test_gather_along_an_axis(tmp_path: Path, axis: int) -> None:
    w = _random(3, 4, 5)
    proto = model([node("Gather", "w i", axis=axis)], {"w": w}, {"i": None})
    proto.graph.input[0].type.tensor_type.elem_type = TensorProto.INT64
    layer = only_layer(save(proto, tmp_path))
    size = w.shape[axis]
    (answer,) = run(proto, {"i": np.arange(size)})
    np.testing.assert_array_equal(layer.matrix(), np.moveaxis(answer, axis, 0).reshape(size, -1))
    assert (layer.n_in, layer.n_out) == (size, 60 // size)


def test_an_embedding_tied_with_the_last_product(tmp_path: Path) -> None:
    """One layer with two uses; the first use says which axis is the input."""
    nodes = [
        node("Gather", "w i", "e", name="embed"),
        node("Relu", "e", "f"),
        node("Transpose", "w", "t", perm=[1, 0]),
        node("MatMul", "f t", "y", name="head"),
    ]
    proto = model(nodes, {"w": _random(9, 4)}, {"i": None})
    proto.graph.input[0].type.tensor_type.elem_type = TensorProto.INT64
    layer = only_layer(save(proto, tmp_path))
    assert layer.uses == ("embed", "head")
    assert (layer.n_in, layer.n_out) == (9, 4)
    np.testing.assert_array_equal(layer.matrix(), _random(9, 4))
    assert audit(save(proto, tmp_path)).coverage.parameters_analysed == 36


def test_gathers_that_are_no_embeddings(tmp_path: Path) -> None:
    """A vector of settings, a table of integers, and a table whose index is constant."""
    for held, order in (
        ({"w": _random(9)}, "w i"),
        ({"w": np.arange(36).reshape(9, 4)}, "w i"),
        ({"w": _random(9, 4), "i0": np.array([1])}, "w i0"),
    ):
        proto = model([node("Gather", order)], held, {"i": None})
        proto.graph.input[0].type.tensor_type.elem_type = TensorProto.INT64
        assert read_layers(save(proto, tmp_path)) == []


# DeformConv


@pytest.mark.parametrize("group", [1, 2])
def test_deform_conv(tmp_path: Path, group: int) -> None:
    """Without offsets it is a convolution; a bias is at another place."""
    w, b = _random(4, 4 // group, 2, 3), _random(4, seed=1)
    nodes = [node("DeformConv", "x w o b", group=group, kernel_shape=[2, 3])]
    held = {"w": w, "b": b, "o": np.zeros((1, 12, 1, 1), np.float32)}
    proto = model(nodes, held, opset=22)
    layer = only_layer(save(proto, tmp_path))
    x = _random(1, 4, 2, 3, seed=2)
    (answer,) = run(model([node("Conv", "x w b", group=group)], {"w": w, "b": b}), {"x": x})
    rows = x.reshape(group, -1)
    found = np.concatenate([row @ block for row, block in zip(rows, layer.blocks(), strict=True)])
    np.testing.assert_allclose(found + layer.bias(), answer.ravel(), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(run(proto, {"x": x})[0].ravel(), answer.ravel(), rtol=1e-4, atol=1e-5)
