"""Windows against onnxruntime: which position each tap reads, with the sizes that come out."""

import itertools
from typing import Any

import numpy as np
import pytest

from onnxtop.windows import windows
from tests.models import model, node, run

PADS: list[dict[str, Any]] = [
    {},
    {"pads": [1, 2]},
    {"auto_pad": "VALID"},
    {"auto_pad": "SAME_UPPER"},
    {"auto_pad": "SAME_LOWER"},
]


def encoded(attributes: dict[str, Any]) -> dict[str, Any]:
    return {name: value.encode() if isinstance(value, str) else value for name, value in attributes.items()}


def matrix(op: str, size: int, taps: int, attributes: dict[str, Any]) -> np.ndarray[Any, Any]:
    """Return which tap, counted from 1, joins each position in to each position out, (in, out)."""
    kernel = np.arange(1, taps + 1, dtype=np.float32).reshape(1, 1, taps)
    proto = model([node(op, "x w", **attributes)], {"w": kernel}, {"x": [1, 1, size]})
    eye = np.eye(size, dtype=np.float32)[:, None, None]
    return np.stack([run(proto, x=row)[0].ravel() for row in eye])


def followed(index: np.ndarray[Any, Any], size: int) -> np.ndarray[Any, Any]:
    found = np.zeros((size, len(index)))
    for place, tap in itertools.product(range(index.shape[0]), range(index.shape[1])):
        if index[place, tap] >= 0:
            found[index[place, tap], place] += tap + 1
    return found


@pytest.mark.parametrize("pads", PADS, ids=str)
@pytest.mark.parametrize(
    ("size", "taps", "stride", "dilation"), [(6, 3, 1, 1), (7, 3, 2, 1), (9, 2, 3, 3), (5, 5, 1, 1)]
)
def test_a_convolution(size: int, taps: int, stride: int, dilation: int, pads: dict[str, Any]) -> None:
    if dilation > 1 and str(pads.get("auto_pad", "")).startswith("SAME"):
        dilation = 1  # the runtime refuses both
    attributes = {"strides": [stride], "dilations": [dilation], **pads}
    wanted = matrix("Conv", size, taps, attributes)
    (window,) = windows(encoded(attributes), [taps])
    assert window.result(size) == wanted.shape[1]
    np.testing.assert_array_equal(followed(window.read(size, wanted.shape[1]), size), wanted)
    assert window.covers(size) == (wanted.shape[1] == 1 and bool((wanted != 0).all()))


@pytest.mark.parametrize("more", [*PADS[:3], {"output_padding": [1]}, {"output_shape": [9]}], ids=str)
@pytest.mark.parametrize(("size", "taps", "stride", "dilation"), [(4, 3, 2, 1), (5, 2, 2, 2), (3, 4, 3, 1)])
def test_a_transposed_convolution(
    size: int, taps: int, stride: int, dilation: int, more: dict[str, Any]
) -> None:
    attributes = {"strides": [stride], "dilations": [dilation], **more}
    wanted = matrix("ConvTranspose", size, taps, attributes)
    (window,) = windows(encoded(attributes), [taps])
    assert window.turned_result(size) == wanted.shape[1]
    np.testing.assert_array_equal(followed(window.turned_read(size, wanted.shape[1]), size), wanted)


def test_nothing_is_cut_off_where_kernels_leave_gaps() -> None:
    """A result with room between kernels asks for less than no padding: the first one starts at its edge."""
    attributes = {"strides": [4], "auto_pad": "SAME_UPPER"}
    wanted = matrix("ConvTranspose", 4, 2, attributes)
    (window,) = windows(encoded(attributes), [2])
    size = window.turned_result(4)
    assert window.turned_start(4, size) == 0
    read = followed(window.turned_read(4, size), 4)
    np.testing.assert_array_equal(read[:, : wanted.shape[1]], wanted)  # the runtime leaves the last gap out
    assert not read[:, wanted.shape[1] :].any()


def test_attributes_that_do_not_fit_the_kernel() -> None:
    with pytest.raises(ValueError, match="zip"):
        windows({"strides": [1, 1]}, [3])
