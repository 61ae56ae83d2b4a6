"""Sizes that a file only says: lanes are never made for them, whatever operation would."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

import onnxtop
from benchmarks._forms import WIDTH, Drawn

HUGE = 2**40
"""No machine has room for a vertex for each."""

Made = Callable[[Drawn, str], str]


def numbers(net: Drawn, *values: int) -> str:
    return net.hold(np.array(values, np.int64))


def pooled(net: Drawn, x: str) -> str:
    image = net.node("Reshape", x, numbers(net, 1, 1, 1, WIDTH))
    return net.node("MaxPool", image, kernel_shape=[1, HUGE], pads=[0, 0, 0, HUGE])


def pooled_away(net: Drawn, x: str) -> str:
    """Pool by a kernel that is larger than what there is: the result has no positions."""
    image = net.node("Reshape", x, numbers(net, 1, 1, 1, WIDTH))
    return net.node("AveragePool", image, kernel_shape=[1, HUGE])


HUB: dict[str, Made] = {
    "Pad": lambda net, x: net.node("Pad", x, numbers(net, 0, 0, 0, HUGE)),
    "Pad by its edge": lambda net, x: net.node("Pad", x, numbers(net, 0, HUGE, 0, 0), mode="edge"),
    "Tile": lambda net, x: net.node("Tile", x, numbers(net, 1, HUGE)),
    "Split": lambda net, x: net.node("Split", x, numbers(net, HUGE, WIDTH - HUGE), outputs=2, axis=1),
    "Concat": lambda net, x: net.node(
        "Concat", *[net.node("Concat", *[x] * 1000, axis=1)] * 2000, axis=1
    ),
    "MaxPool": pooled,
    "AveragePool": pooled_away,
}  # fmt: skip

SHARED: dict[str, Made] = {
    "Expand": lambda net, x: net.node("Expand", x, numbers(net, HUGE, WIDTH)),
    "Trilu": lambda net, x: net.node(
        "Trilu", net.node("Expand", net.node("Reshape", x, numbers(net, WIDTH, 1, 1)),
                          numbers(net, WIDTH, HUGE, HUGE))
    ),
}  # fmt: skip


def report_on(make: Made, folder: Path) -> onnxtop.Report:
    net = Drawn()
    onnx.save(net.model(make(net, net.layer("x"))), folder / "model.onnx")
    return onnxtop.audit(folder / "model.onnx")


@pytest.mark.parametrize("name", HUB)
def test_what_would_need_a_lane_for_each_is_a_hub(name: str, tmp_path: Path) -> None:
    report = report_on(HUB[name], tmp_path)
    assert "conservative" in (report.network.deep_graph_persistence.connectivity or "")


@pytest.mark.parametrize("name", SHARED)
def test_what_shares_its_neurons_needs_none(name: str, tmp_path: Path) -> None:
    report = report_on(SHARED[name], tmp_path)
    assert report.network.deep_graph_persistence.connectivity == "exact"
    assert report.network.deep_graph_persistence.outputs == WIDTH
