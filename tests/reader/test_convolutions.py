"""Conv and ConvTranspose: kernels, placed on their grid, against the runtime's answers to unit vectors."""

import math
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from onnxtop.network import Kernel
from onnxtop.reader.constants import Constants
from onnxtop.reader.layer import Layer
from onnxtop.reader.layers import find_layers
from onnxtop.reader.loading import load
from onnxtop.reader.skeleton import infer_shapes, placed
from tests.models import (
    FLOAT_TYPES,
    MICROSOFT,
    block_diagonal,
    graph,
    layers_of,
    model,
    node,
    only_layer,
    only_skipped,
    response,
    run,
    save,
    weights,
)


def neuron_graph(kernel: Kernel) -> np.ndarray:
    """Return the dense matrix between the neurons in and out of a placed kernel, by the book."""
    assert kernel.in_size is not None
    assert kernel.out_size is not None
    groups, outs, ins, *taps = kernel.weights.shape
    whole = np.zeros((groups, ins, *kernel.in_size, groups, outs, *kernel.out_size))
    inner, outer = (
        (kernel.out_size, kernel.in_size) if not kernel.transposed else (kernel.in_size, kernel.out_size)
    )
    for tap in product(*map(range, taps)):
        for position in product(*map(range, inner)):
            other = tuple(
                y * stride - pad + k * dilation
                for y, stride, pad, k, dilation in zip(
                    position, kernel.strides, kernel.pads, tap, kernel.dilations, strict=True
                )
            )
            if all(0 <= x < size for x, size in zip(other, outer, strict=True)):
                x, y = (position, other) if kernel.transposed else (other, position)
                for g in range(groups):
                    values = kernel.weights[(g, slice(None), slice(None), *tap)].T
                    whole[(g, slice(None), *x, g, slice(None), *y)] += values
    return whole.reshape(groups * ins * math.prod(kernel.in_size), -1)


def place(path: Path) -> tuple[Layer, Kernel]:
    loaded = load(path)
    (layer,) = find_layers(loaded, Constants(loaded))
    assert isinstance(layer, Layer)
    kernel = placed(layer, infer_shapes(loaded))
    assert kernel is not None
    return layer, kernel


CONVOLUTIONS: list[tuple[str, tuple[int, ...], tuple[int, ...], dict[str, Any]]] = [
    ("Conv", (4, 2, 3), (1, 2, 9), {}),
    ("Conv", (4, 2, 3), (1, 2, 9), {"strides": [2], "pads": [2, 1], "dilations": [2]}),
    ("Conv", (4, 1, 3), (1, 2, 9), {"group": 2, "strides": [3]}),
    ("Conv", (4, 2, 3, 2), (1, 2, 6, 5), {}),
    ("Conv", (4, 2, 3, 2), (1, 2, 6, 5), {"strides": [2, 1], "pads": [1, 0, 0, 2]}),
    ("Conv", (4, 2, 3, 2), (1, 2, 7, 5), {"dilations": [2, 3], "pads": [1, 1, 1, 1]}),
    ("Conv", (4, 1, 3, 3), (1, 4, 5, 5), {"group": 4, "auto_pad": "SAME_UPPER"}),
    ("Conv", (4, 2, 3, 2), (1, 4, 5, 6), {"group": 2, "auto_pad": "SAME_UPPER", "strides": [2, 2]}),
    ("Conv", (4, 2, 3, 2), (1, 4, 5, 6), {"group": 2, "auto_pad": "SAME_LOWER", "strides": [2, 2]}),
    ("Conv", (4, 2, 2, 4), (1, 2, 5, 6), {"auto_pad": "SAME_LOWER"}),
    ("Conv", (4, 2, 2, 4), (1, 2, 5, 6), {"auto_pad": "VALID", "strides": [2, 2]}),
    ("Conv", (4, 2, 1, 1), (1, 2, 3, 3), {}),
    ("Conv", (2, 2, 2, 3, 2), (1, 2, 3, 4, 4), {"pads": [0, 1, 0, 1, 0, 1], "strides": [1, 2, 1]}),
    (f"{MICROSOFT}.FusedConv", (4, 2, 3, 2), (1, 2, 6, 5), {"strides": [2, 1], "pads": [1, 0, 0, 2]}),
    ("ConvTranspose", (2, 4, 3), (1, 2, 5), {}),
    ("ConvTranspose", (2, 2, 3), (1, 2, 5), {"group": 2, "strides": [2], "output_padding": [1]}),
    ("ConvTranspose", (4, 3, 3, 2), (1, 4, 3, 4), {"group": 2, "strides": [2, 3], "pads": [1, 0, 1, 1]}),
    (
        "ConvTranspose",
        (2, 3, 3, 2),
        (1, 2, 3, 4),
        {"dilations": [2, 1], "output_padding": [1, 0], "strides": [2, 1]},
    ),
    ("ConvTranspose", (2, 3, 3, 3), (1, 2, 3, 4), {"output_shape": [6, 9], "strides": [2, 2]}),
    ("ConvTranspose", (2, 3, 3, 3), (1, 2, 3, 4), {"output_shape": [7, 8], "strides": [2, 2]}),
    (
        "ConvTranspose",
        (2, 3, 4, 4),
        (1, 2, 3, 4),
        {"output_shape": [7, 9], "strides": [2, 2], "auto_pad": "SAME_UPPER"},
    ),
    ("ConvTranspose", (2, 3, 3, 3), (1, 2, 3, 4), {"auto_pad": "SAME_UPPER", "strides": [2, 2]}),
    ("ConvTranspose", (2, 3, 3, 3), (1, 2, 3, 4), {"auto_pad": "SAME_LOWER", "strides": [2, 2]}),
    ("ConvTranspose", (2, 3, 3, 3), (1, 2, 3, 4), {"auto_pad": "VALID", "strides": [2, 2]}),
    ("ConvTranspose", (2, 1, 2, 2, 2), (1, 2, 2, 2, 3), {"strides": [2, 1, 2], "group": 2}),
]


def _name(value: Any) -> str | None:
    return "-".join(f"{k}{v}" for k, v in value.items()) if isinstance(value, dict) else None


@pytest.mark.parametrize(("op", "kernel_shape", "x", "attributes"), CONVOLUTIONS, ids=_name)
def test_a_placed_kernel_is_what_the_runtime_computes(
    tmp_path: Path, op: str, kernel_shape: tuple[int, ...], x: tuple[int, ...], attributes: dict[str, Any]
) -> None:
    proto = model([node(op, "x w", **attributes)], {"w": weights(*kernel_shape)}, {"x": x})
    layer, kernel = place(save(proto, tmp_path))
    out_shape = run(proto, x=np.zeros(x, np.float32)).shape
    assert kernel.in_size == x[2:]
    assert kernel.out_size == out_shape[2:]
    assert kernel.groups == attributes.get("group", 1)
    assert layer.parameters == math.prod(kernel_shape)
    np.testing.assert_array_equal(neuron_graph(kernel), response(proto, x))


@pytest.mark.parametrize("group", [1, 2])
@pytest.mark.parametrize("taps", [(3,), (3, 2), (2, 1, 3)])
def test_a_flattened_convolution_answers_one_patch(tmp_path: Path, group: int, taps: tuple[int, ...]) -> None:
    """On an input as large as the kernel a convolution is a dense layer: the graph called flattened."""
    x = (1, 4, *taps)
    proto = model([node("Conv", "x w b", group=group)], {"w": weights(6, 4 // group, *taps), "b": weights(6)})
    layer = only_layer(save(proto, tmp_path))
    blocks = layer.blocks()
    assert [block.shape for block in blocks] == [(4 // group * math.prod(taps), 6 // group)] * group
    assert (layer.n_in, layer.n_out) == (4 * math.prod(taps), 6)
    np.testing.assert_array_equal(block_diagonal(blocks), response(proto, x))
    np.testing.assert_array_equal(layer.bias(), weights(6))


@pytest.mark.parametrize("group", [1, 2])
def test_a_flattened_transposed_convolution_has_taps_among_its_rows(tmp_path: Path, group: int) -> None:
    w = weights(4, 3, 2, 2)
    proto = model([node("ConvTranspose", "x w b", group=group)], {"w": w, "b": weights(3 * group)})
    layer = only_layer(save(proto, tmp_path))
    assert (layer.n_in, layer.n_out) == (16, 3 * group)
    answers = response(proto, (1, 4, 1, 1)).reshape(4, 3 * group, 2, 2)  # in, out, taps
    rows = answers.transpose(0, 2, 3, 1).reshape(16, 3 * group)
    np.testing.assert_array_equal(block_diagonal(layer.blocks()), rows)
    np.testing.assert_array_equal(layer.bias(), weights(3 * group))


@pytest.mark.parametrize("dtype", FLOAT_TYPES)
@pytest.mark.parametrize("op", ["Conv", "ConvTranspose"])
def test_convolutions_in_every_float_type(tmp_path: Path, op: str, dtype: type) -> None:
    w = weights(4, 4, 3, 3, dtype=dtype)
    layer = only_layer(save(model([node(op, "x w")], {"w": w}, dtype=dtype), tmp_path))
    axes = (1, 2, 3, 0) if op == "Conv" else (0, 2, 3, 1)
    assert str(layer.encoding) == np.dtype(dtype).name
    np.testing.assert_array_equal(
        layer.matrix().astype(float), w.astype(float).transpose(axes).reshape(36, 4)
    )


def test_a_kernel_that_is_computed_from_the_input_makes_no_layer(tmp_path: Path) -> None:
    proto = model([node("Conv", "c x")], {"c": weights(1, 2, 4, 4)})
    assert [type(item) for item in layers_of(save(proto, tmp_path))] != [Layer]


@pytest.mark.parametrize("group", [0, 3, -1, 5])
def test_groups_that_do_not_divide_the_channels_are_a_skip(tmp_path: Path, group: int) -> None:
    proto = model([node("Conv", "x w", group=group)], {"w": weights(4, 2, 3, 3)})
    skipped = only_skipped(save(proto, tmp_path))
    assert "does not fit" in skipped.reason
    assert skipped.parameters == 72


@pytest.mark.parametrize("shape", [(0, 2, 3, 3), (4, 0, 3, 3), (4, 2, 0, 3)])
@pytest.mark.parametrize("op", ["Conv", "ConvTranspose"])
def test_an_empty_kernel_is_a_skip_that_says_so(tmp_path: Path, op: str, shape: tuple[int, ...]) -> None:
    proto = model([node(op, "x w")], {"w": np.zeros(shape, np.float32)})
    assert "empty" in only_skipped(save(proto, tmp_path)).reason


def test_sizes_of_two_branches_do_not_mix(tmp_path: Path) -> None:
    """Both bodies call their pooled input ``p``; it is 4 x 4 in one and 2 x 2 in the other."""

    def body(size: int, out: str) -> Any:
        pool = node("MaxPool", "x", "p", kernel_shape=[size, size], strides=[size, size])
        return graph([pool, node("Conv", f"p w{size}", out, name=f"conv{size}")], {}, {}, [out])

    proto = model(
        [node("If", "c", "y", then_branch=body(2, "a"), else_branch=body(4, "b"))],
        {"w2": weights(3, 1, 2, 2), "w4": weights(3, 1, 2, 2, seed=1)},
        {"x": (1, 1, 8, 8), "c": ()},
    )
    proto.graph.input[1].type.tensor_type.elem_type = 9
    loaded = load(save(proto, tmp_path))
    shapes = infer_shapes(loaded)
    layers = [item for item in find_layers(loaded, Constants(loaded)) if isinstance(item, Layer)]
    assert [layer.name for layer in layers] == ["conv2", "conv4"]
    sizes = [kernel and kernel.in_size for kernel in (placed(layer, shapes) for layer in layers)]
    assert all(size in (None, right) for size, right in zip(sizes, [(4, 4), (2, 2)], strict=True)), sizes
