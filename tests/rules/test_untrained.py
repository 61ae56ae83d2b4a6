"""Networks that were never trained, of every start there is, and the same ones after some steps."""

import math

import numpy as np
import pytest
from onnx import numpy_helper

import onnxtop
from tests.models import mlp, model, node, save

SAMPLES = "sample_models/digits.npz"


def orthogonal(rng, shape):
    """As PyTorch draws it: a kernel is flattened to one row an output."""
    flat = (shape[0], math.prod(shape[1:]))
    q = np.linalg.qr(rng.standard_normal((max(flat), min(flat))))[0]
    return (q if flat[0] >= flat[1] else q.T).reshape(shape)


def unit_norm(rng, shape):
    weight = rng.standard_normal(shape)
    return weight / np.linalg.norm(weight, axis=1, keepdims=True)


def sparse(rng, shape):
    order = np.argsort(rng.random(shape), axis=1)
    return np.where(order < shape[1] // 10, rng.normal(0, 0.01, shape), 0.0)


def truncated(rng, shape):
    """LeCun's, as Keras draws it: again and again until within two deviations."""
    drawn = rng.standard_normal(shape)
    while (far := np.abs(drawn) > 2).any():
        drawn[far] = rng.standard_normal(np.count_nonzero(far))
    return drawn / math.sqrt(shape[1]) / 0.8796256610342398


def bounded(n):
    return lambda rng, shape: rng.uniform(-1, 1, shape) * math.sqrt(n(shape))


STARTS = {
    "PyTorch": bounded(lambda shape: 1 / shape[1]),
    "Glorot uniform": bounded(lambda shape: 6 / sum(shape)),
    "Glorot normal": lambda rng, shape: rng.normal(0, math.sqrt(2 / sum(shape)), shape),
    "He normal": lambda rng, shape: rng.normal(0, math.sqrt(2 / shape[1]), shape),
    "LeCun truncated": truncated,
    "orthogonal": orthogonal,
    "unit norm": unit_norm,
    "sparse": sparse,
}
"""Weights [out, in] by the name of what draws them."""


def started(sizes, start, *, seed=0):
    """Return a network of these sizes, with biases as PyTorch draws them beside its weights, else zero."""
    network, rng = mlp(*sizes), np.random.default_rng(seed)
    for tensor in network.graph.initializer:
        if len(tensor.dims) == 2:
            bound = 1 / math.sqrt(tensor.dims[1])
            array = STARTS[start](rng, tuple(tensor.dims))
        else:
            array = rng.uniform(-bound, bound, tensor.dims) if start == "PyTorch" else np.zeros(tensor.dims)
        tensor.CopyFrom(numpy_helper.from_array(array.astype(np.float32), tensor.name))
    return network


def told(network, folder):
    """Return what is said of training, and whether it is an error."""
    report = onnxtop.audit(save(network, folder))
    return {each.rule for each in report.findings} & {"OT207", "OT208", "OT209"}


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("sizes", [(784, 10), (784, 100, 10), (128, 64, 64, 64)], ids=str)
def test_untrained_networks_are_told(sizes, start, tmp_path):
    assert told(started(sizes, start), tmp_path) == {"OT208"}


def test_a_convolutional_network_of_orthogonal_kernels_is_told(tmp_path):
    rng = np.random.default_rng(1)
    held = {"k1": (32, 3, 3, 3), "k2": (48, 32, 3, 3), "k3": (64, 48, 3, 3), "head": (10, 64)}
    weights = {name: orthogonal(rng, shape).astype(np.float32) for name, shape in held.items()}
    nodes = [
        node("Conv", "x k1", "a"),
        node("Relu", "a", "b"),
        node("Conv", "b k2", "c"),
        node("Relu", "c", "d"),
        node("Conv", "d k3", "e"),
        node("GlobalAveragePool", "e", "f"),
        node("Flatten", "f", "g"),
        node("Gemm", "g head", transB=1),
    ]
    proto = model(nodes, weights, {"x": ("n", 3, 16, 16)})
    assert told(proto, tmp_path) == {"OT208"}


# The same after some steps


def digits(side):
    """Return images of that side, made of eight by eight pixels, and their labels."""
    data = np.load(SAMPLES)
    images = data["x"].reshape(-1, 8, 8) / np.abs(data["x"]).max()
    return np.kron(images, np.ones((side // 8, side // 8))).reshape(len(images), -1), data["labels"]


def trained(network, steps, rate, rng):
    """Take steps of softmax regression by Adam on a network of one layer; return its accuracy."""
    x, labels = digits(16)
    weight, bias = (numpy_helper.to_array(each).astype(np.float64) for each in network.graph.initializer)
    point = np.column_stack([weight, bias])
    x = np.column_stack([x, np.ones(len(x))])
    mean, square = np.zeros_like(point), np.zeros_like(point)
    for step in range(1, steps + 1):
        rows = rng.choice(len(x), 64, replace=False)
        scores = x[rows] @ point.T
        shares = np.exp(scores - scores.max(axis=1, keepdims=True))
        shares /= shares.sum(axis=1, keepdims=True)
        shares[np.arange(64), labels[rows]] -= 1
        gradient = shares.T @ x[rows] / 64
        mean, square = 0.9 * mean + 0.1 * gradient, 0.999 * square + 0.001 * gradient**2
        unbiased = mean / (1 - 0.9**step), square / (1 - 0.999**step)
        point -= rate * unbiased[0] / (np.sqrt(unbiased[1]) + 1e-8)
    for tensor, array in zip(network.graph.initializer, (point[:, :-1], point[:, -1]), strict=True):
        tensor.CopyFrom(numpy_helper.from_array(array.astype(np.float32), tensor.name))
    return float((np.argmax(x @ point.T, axis=1) == labels).mean())


@pytest.mark.parametrize("start", sorted(STARTS.keys() - {"unit norm", "sparse"}))
def test_a_softmax_regression_is_not_called_untrained_after_its_first_step(start, tmp_path):
    for steps in (0, 1, 10, 100):
        network = started((256, 10), start, seed=2)
        accuracy = trained(network, steps, 1e-3, np.random.default_rng(3))
        assert ("OT208" in told(network, tmp_path)) == (steps == 0)
    assert accuracy > 0.5


def test_a_network_without_anything_that_shows_the_first_step_is_not_accused(tmp_path):
    """Of one layer of normal weights and no bias nothing tells whether it was trained a little."""
    network = mlp(784, 10, bias=False)
    (weight,) = network.graph.initializer
    drawn = STARTS["He normal"](np.random.default_rng(0), (10, 784)).astype(np.float32)
    weight.CopyFrom(numpy_helper.from_array(drawn, weight.name))
    assert told(network, tmp_path) == {"OT209"}


def without_biases(*sizes, start, noise=0.0):
    """Return a network of weights alone, each moved by so much as training moves it."""
    network, rng = mlp(*sizes, bias=False), np.random.default_rng(5)
    for tensor in network.graph.initializer:
        drawn = STARTS[start](rng, tuple(tensor.dims))
        moved = drawn + noise * drawn.std() * rng.standard_normal(drawn.shape)
        tensor.CopyFrom(numpy_helper.from_array(moved.astype(np.float32), tensor.name))
    return network


@pytest.mark.parametrize(
    ("start", "noise", "rule"),
    [
        ("PyTorch", 0.0, "OT208"),
        ("LeCun truncated", 0.0, "OT208"),
        ("orthogonal", 0.0, "OT208"),
        ("PyTorch", 0.05, "OT209"),
        ("LeCun truncated", 0.1, "OT209"),
        ("He normal", 0.0, "OT209"),
        ("He normal", 0.05, "OT209"),
    ],
)
def test_many_layers_too_have_to_be_such_that_the_first_step_would_show(start, noise, rule, tmp_path):
    """Deep networks without biases reach 100 % while all their normal weights look like drawn ones."""
    assert told(without_biases(96, 96, 96, 96, 48, start=start, noise=noise), tmp_path) == {rule}


def test_a_normalisation_as_at_the_start_would_show_it_as_well(tmp_path):
    rng = np.random.default_rng(6)
    weights = {name: STARTS["He normal"](rng, (64, 64)).astype(np.float32) for name in "abc"}
    for last, rule in ((1.0, "OT208"), (1.1, "OT209")):
        gains = np.append(np.ones(63), last).astype(np.float32)
        nodes = [
            node("MatMul", "x a", "p"),
            node("LayerNormalization", "p gains", "q"),
            node("MatMul", "q b", "r"),
            node("Relu", "r", "s"),
            node("MatMul", "s c", "y"),
        ]
        proto = model(nodes, {**weights, "gains": gains}, {"x": ("n", 64)})
        assert told(proto, tmp_path) == {rule}


@pytest.mark.parametrize("moved", [False, True])
def test_a_last_layer_of_zeros_is_as_drawn(moved, tmp_path):
    network = started((784, 100, 10), "PyTorch")
    rng = np.random.default_rng(7)
    for tensor in list(network.graph.initializer)[2:]:
        array = moved * 1e-3 * rng.standard_normal(tensor.dims)
        tensor.CopyFrom(numpy_helper.from_array(array.astype(np.float32), tensor.name))
    assert ("OT208" in told(network, tmp_path)) == (not moved)


@pytest.mark.parametrize(("op", "gates"), [("LSTM", 4), ("GRU", 3), ("RNN", 1)])
def test_recurrent_units_are_drawn_by_how_many_they_are(op, gates, tmp_path):
    """PyTorch draws the weights of all that comes in, and all biases, by the number of units."""
    rng, units = np.random.default_rng(8), 64
    shapes = {"w": (1, gates * units, 48), "r": (1, gates * units, units), "b": (1, 2 * gates * units)}
    shapes["head"] = (units, 32)
    held = {name: rng.uniform(-0.125, 0.125, shape).astype(np.float32) for name, shape in shapes.items()}
    for factor, fresh in ((1.0, True), (1.05, False)):
        nodes = [
            node(op, "x w r b", "h", hidden_size=units),
            node("Squeeze", "h axes", "s"),
            node("MatMul", "s head", "y"),
        ]
        moved = {**held, "b": held["b"] * np.float32(factor), "axes": np.array([1])}
        proto = model(nodes, moved, {"x": (5, "n", 48)})
        assert ("OT208" in told(proto, tmp_path)) == fresh
