"""Every loss against NumPy, chosen by itself and asked for, with its gradient."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from onnxtop.errors import UsageError
from onnxtop.gradient.oracle import relative_error
from onnxtop.loss.heads import class_axis
from onnxtop.loss.probe import Probe
from tests.loss.conftest import log_softmax
from tests.models import model, node, save

RNG = np.random.default_rng(0)
W = RNG.standard_normal((6, 4)).astype(np.float32)
X = RNG.standard_normal((7, 6)).astype(np.float32)
Z = (X.astype(np.float64) @ W).reshape(7, 4)
LABELS = np.array([0, 1, 2, 3, 0, 1, 2])


def probe(
    folder: Path, target: dict[str, Any], *more: Any, x: np.ndarray = X, w: np.ndarray = W, **options: Any
) -> Probe:
    """Return a probe of x w, followed by some nodes from ``h`` to ``y``."""
    nodes = [node("MatMul", "x w", "h"), *(more or [node("Identity", "h", "y")])]
    path = save(model(nodes, {"w": w}, {"x": ["n", *x.shape[1:]]}), folder)
    return Probe(path, {"x": x, **target}, **options)


def check(found: Probe, name: str, expected: float) -> None:
    assert found.loss_name == name
    loss, gradient = found.loss_and_gradient(found.theta0)
    assert loss == pytest.approx(expected, rel=1e-6)
    assert found.loss(found.theta0) == pytest.approx(expected, rel=1e-6)
    assert relative_error(found.loss, found.theta0, gradient, step=1e-2) < 1e-4


def cross_entropy(z: np.ndarray, labels: np.ndarray) -> float:
    return float(-log_softmax(z)[np.arange(len(labels)), labels].mean())


@pytest.mark.parametrize("ending", ["", "Softmax", "LogSoftmax", "Softmax Identity"])
def test_cross_entropy_on_logits_or_what_softmax_made(ending: str, tmp_path: Path) -> None:
    names = ["h", *"abc"[: max(len(ending.split()) - 1, 0)], "y"]
    nodes = [node(op, names[i], names[i + 1]) for i, op in enumerate(ending.split())]
    check(probe(tmp_path, {"labels": LABELS}, *nodes), "cross-entropy", cross_entropy(Z, LABELS))


def test_cross_entropy_on_probabilities_of_unknown_make(tmp_path: Path) -> None:
    nodes = [node("Softmax", "h", "p"), node("Mul", "p one", "y")]
    path_nodes = [node("MatMul", "x w", "h"), *nodes]
    held = {"w": W, "one": np.float32(1)}
    path = save(model(path_nodes, held, {"x": ["n", 6]}), tmp_path)
    check(Probe(path, {"x": X, "labels": LABELS}), "cross-entropy", cross_entropy(Z, LABELS))


def test_large_logits_do_not_overflow(tmp_path: Path) -> None:
    found = probe(tmp_path, {"labels": LABELS}, w=W * 1000)
    assert found.loss(found.theta0) == pytest.approx(cross_entropy(Z * 1000, LABELS), rel=1e-5)


def test_labels_that_do_not_count(tmp_path: Path) -> None:
    for index in (-100, 255):
        labels = np.where(np.arange(7) % 3 == 0, index, LABELS)
        counted = labels != index
        found = probe(tmp_path, {"labels": labels}, ignore_index=index, batch_size=3)
        check(found, "cross-entropy", cross_entropy(Z[counted], labels[counted]))
        assert found.notes[-1] == f"3 of 7 labels are {index} and do not count"


def test_tokens_and_pixels(tmp_path: Path) -> None:
    tokens = RNG.standard_normal((5, 3, 6)).astype(np.float32)
    labels = RNG.integers(0, 4, (5, 3))
    z = (tokens.astype(np.float64) @ W).reshape(15, 4)
    check(probe(tmp_path, {"labels": labels}, x=tokens), "cross-entropy", cross_entropy(z, labels.ravel()))
    flat = node("Flatten", "h", "y", axis=2)
    check(
        probe(tmp_path, {"labels": labels}, flat, x=tokens), "cross-entropy", cross_entropy(z, labels.ravel())
    )
    pixels = RNG.standard_normal((2, 3, 5, 6)).astype(np.float32)
    classes = RNG.integers(0, 4, (2, 3, 5))
    z = (pixels.astype(np.float64) @ W).reshape(30, 4)
    first = node("Transpose", "h", "y", perm=[0, 3, 1, 2])
    for nodes in ([first], []):
        found = probe(tmp_path, {"labels": classes}, *nodes, x=pixels)
        check(found, "cross-entropy", cross_entropy(z, classes.ravel()))


@pytest.mark.parametrize("ending", ["", "Sigmoid"])
def test_binary(ending: str, tmp_path: Path) -> None:
    labels = (RNG.random((7, 4)) > 0.5).astype(np.int64)
    p = 1 / (1 + np.exp(-Z))
    expected = float(-np.mean(labels * np.log(p) + (1 - labels) * np.log(1 - p)))
    nodes = [node(ending, "h", "y")] if ending else []
    check(probe(tmp_path, {"labels": labels}, *nodes), "binary", expected)
    one = probe(tmp_path, {"labels": labels[:, 0]}, *nodes, w=W[:, :1])
    assert one.loss_name == "binary"
    assert one.threshold == (0.5 if ending else 0.0)


@pytest.mark.parametrize("first", [[0.3, 0.7], [0.0, 1.0], [0.5, 0.5]])
def test_first_logits_that_look_like_probabilities(first: list[float], tmp_path: Path) -> None:
    z = np.array([*first, -3.0, 5.0, 2.0, -1.0])
    labels = np.array([0, 1, 0, 1, 1, 0])
    x = np.column_stack([z, 0 * z]).astype(np.float32)
    found = probe(tmp_path, {"labels": labels}, x=x, w=np.array([[1.0], [0.5]], np.float32))
    check(found, "binary", float(np.mean(np.logaddexp(0, z) - z * labels)))
    assert (found.threshold, found.notes) == (0.0, ())
    assert found.scores(found.theta0).accuracy == np.mean((z > 0) == labels)


def test_first_logits_of_classes_that_add_up_to_1(tmp_path: Path) -> None:
    z = np.array([[0.2, 0.8], [0.6, 0.4], [3.0, -1.0], [0.0, 2.0]])
    labels = np.array([0, 1, 0, 1])
    found = probe(tmp_path, {"labels": labels}, x=z.astype(np.float32), w=np.eye(2, dtype=np.float32))
    check(found, "cross-entropy", cross_entropy(z, labels))
    assert found.notes == ()


def test_probabilities_of_unknown_make_are_told(tmp_path: Path) -> None:
    nodes = [node("MatMul", "x w", "h"), node("Softmax", "h", "p"), node("Mul", "p one", "y")]
    path = save(model(nodes, {"w": W, "one": np.float32(1)}, {"x": ["n", 6]}), tmp_path)
    told = "the output is taken for probabilities, since its values are from 0 to 1"
    assert f"{told} and add up to 1" in Probe(path, {"x": X, "labels": LABELS}).notes
    own = np.eye(4, dtype=np.int64)[LABELS]
    found = Probe(path, {"x": X, "labels": own})
    assert told in found.notes
    p = np.exp(log_softmax(Z))
    expected = float(-np.mean(own * np.log(p) + (1 - own) * np.log(1 - p)))
    check(found, "binary", expected)


@pytest.mark.parametrize("size", [None, 3])
def test_a_class_that_is_ruled_out_where_no_label_counts(size: int | None, tmp_path: Path) -> None:
    """What is left out, by its label or as padding, may be infinite."""
    labels = np.array([1, 2, 3, -100, 1, 2, 3])
    mask = node("Constant", "", "mask", value_floats=[-np.inf, 0.0, 0.0, 0.0])
    found = probe(tmp_path, {"labels": labels}, mask, node("Add", "h mask", "y"), batch_size=size)
    counted = labels >= 0
    check(found, "cross-entropy", cross_entropy(Z[counted][:, 1:], labels[counted] - 1))


def test_equal_outputs_are_in_the_order_of_the_classes(tmp_path: Path) -> None:
    """A model whose last layer is zero knows nothing, and five of its classes cannot all be right."""
    labels = np.arange(10)
    x = RNG.standard_normal((10, 6)).astype(np.float32)
    for w, top5 in ((np.zeros((6, 10)), 0.5), (np.full((6, 10), 0.25), 0.5)):
        found = probe(tmp_path, {"labels": labels}, x=x, w=w.astype(np.float32))
        scores = found.scores(found.theta0)
        assert (scores.accuracy, scores.top5) == (0.1, top5)


def test_numbers(tmp_path: Path) -> None:
    target = Z - RNG.choice([-1.6, -0.4, 0.4, 1.6], (7, 4))  # away from the kinks
    error = Z - target.astype(np.float32)
    check(probe(tmp_path, {"target": target}), "mse", float(np.mean(error**2)))
    check(probe(tmp_path, {"target": target}, loss="l1"), "l1", float(np.mean(np.abs(error))))
    huber = np.where(np.abs(error) < 1, error**2 / 2, np.abs(error) - 0.5)
    check(probe(tmp_path, {"target": target}, loss="huber"), "huber", float(np.mean(huber)))
    single = probe(tmp_path, {"target": target[:, 0]}, w=W[:, :1], batch_size=2)
    check(single, "mse", float(np.mean((Z[:, 0] - target[:, 0]) ** 2)))


@pytest.mark.parametrize(
    ("target", "options", "message"),
    [
        ({"labels": LABELS + 1}, {}, "wanted labels from 0 to 3, as the output has 4 classes, found 4"),
        ({"labels": LABELS - 1}, {}, "found -1; a label that does not count is told with"),
        ({"labels": LABELS * 0 - 100}, {}, "wanted labels that count"),
        ({"labels": LABELS.astype(np.float32)}, {"loss": "cross-entropy"}, "wanted integer labels"),
        ({"labels": np.tile(LABELS[:, None], 4)}, {"loss": "binary"}, "wanted labels 0 and 1"),
        (
            {"labels": np.zeros((7, 9), int)},
            {},
            "neither a class a sample .* of 2 samples the output is .2, 4., the target .2, 9.",
        ),
        ({"labels": np.zeros((7, 9), int)}, {"loss": "cross-entropy"}, "wanted one label a sample"),
        ({"target": np.zeros((7, 3))}, {}, "wanted a target of the output's shape for the loss mse"),
        ({"labels": LABELS}, {"loss": "mse"}, "of 2 samples the output is .2, 4., the target .2,."),
    ],
)
def test_targets_that_do_not_fit(
    target: dict[str, Any], options: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=message):
        probe(tmp_path, target, **options)


@pytest.mark.parametrize("target", [{"target": np.zeros((7, 0))}, {"labels": np.zeros((7, 0), int)}])
def test_outputs_and_targets_of_nothing(target: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="wanted something to compare"):
        probe(tmp_path, target, w=W[:, :0])


@pytest.mark.parametrize(
    ("output", "target", "axis"),
    [
        ((5, 10), (5,), 1), ((5, 3, 10), (5, 3), 2), ((5, 10, 3), (5, 3), 1), ((5, 3, 3), (5, 3), 2),
        ((2, 4, 8, 9), (2, 8, 9), 1), ((2, 8, 9, 4), (2, 8, 9), 3), ((15, 4), (5, 3), 1),
        ((5, 1), (5,), None), ((5, 4), (5, 4), None),
    ],
)  # fmt: skip
def test_axis_of_the_classes(output: tuple[int, ...], target: tuple[int, ...], axis: int | None) -> None:
    assert class_axis(output, target) == axis
