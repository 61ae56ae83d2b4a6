"""Paths between minima, and the published grid.

Finders of paths at equal numbers of gradients: a tanh network 6-w-w-4 with weight decay on 256 points, six
minima by L-BFGS, a path for every pair; the sum of the finite bars of the merge tree.
"""

import time
from itertools import combinations, pairwise

import numpy as np

from benchmarks._measuring import Figure
from benchmarks._networks import Dense, Floats
from benchmarks._rows import row
from onnxtop.landscape.alignment import Charge, Layout, Member, UnitGroup, align
from onnxtop.landscape.options import PathOptions
from onnxtop.landscape.paths import find_path
from onnxtop.loss.descent import descend
from onnxtop.topology.barcode import merge_tree_barcode, point_cloud_barcode
from tests.known_landscapes import TanhNet, two_neuron_losses

WIDTHS = (4, 8, 16)
GRADIENTS = 2000
OTHERS = ("straight line", "authors' step, rate 2e-3", "authors' step, rate 0.3")


def finders(gradients: int) -> dict[str, tuple[PathOptions, bool]]:
    """Return finders, and whether the ends are aligned before."""
    return {
        "straight line": (PathOptions("line"), False),
        "authors' step, rate 2e-3": (PathOptions("authors", gradients=gradients), False),
        "authors' step, rate 0.3": (PathOptions("authors", gradients=gradients, rate=0.3), False),
        "Bezier curve": (PathOptions("bezier", gradients=gradients), False),
        "elastic band": (PathOptions(gradients=gradients), False),
        "aligned straight line": (PathOptions("line"), True),
        "aligned elastic band": (PathOptions(gradients=gradients), True),
    }


def minima(width: int, n: int, iterations: int) -> tuple[Dense, list[Floats]]:
    """Return the network and its minima."""
    data = TanhNet(width)
    net = Dense((6, width, width, 4), data.x, data.labels, "tanh", data.l2)
    return net, [
        descend(net.loss_and_gradient, data.start(seed), iterations=iterations).point for seed in range(n)
    ]


def summed(net: Dense, ends: list[Floats], options: PathOptions, aligned: bool) -> float:
    """Return the sum of finite lengths."""
    rows = []
    for i, j in combinations(range(len(ends)), 2):
        end = align(ends[i], ends[j], *groups(net)) if aligned else ends[j]
        rows.append((i, j, find_path(net.loss, net.loss_and_gradient, ends[i], end, options).height))
    return float(merge_tree_barcode([net.loss(theta) for theta in ends], rows).lengths.sum())


def band(*, width: int, n: int = 6, gradients: int = GRADIENTS, iterations: int = 3000) -> Figure:
    """Return the sum of the elastic band over the best of straight line and the papers' step."""
    net, ends = minima(width, n, iterations)
    sums = {name: summed(net, ends, *finder) for name, finder in finders(gradients).items()}
    detail = ", ".join(f"{name} {value:.3g}" for name, value in sums.items())
    return Figure(sums["elastic band"] / min(sums[name] for name in OTHERS), detail)


for _width in WIDTHS:
    row(
        f"paths-{_width}",
        f"width {_width}: elastic band over the better of straight line and the papers' step",
        at_most=1,
        pace="long",
        limit=900,
        arguments={"width": _width},
        tiny={"width": 2, "n": 2, "gradients": 20, "iterations": 20} if _width == WIDTHS[0] else None,
    )(band)


@row("grid", "barcode of the published grid of 2,160,000 points", "s", at_most=60, limit=120)
def grid() -> Figure:
    losses = two_neuron_losses()
    start = time.process_time()
    barcode = point_cloud_barcode(None, losses.ravel(), grid_shape=losses.shape)
    spent = time.process_time() - start
    bars = barcode.larger_than(100).lengths.size
    if bars != 8:
        raise ValueError(f"wanted 8 bars with clusters over 100, as published, found {bars}")
    return Figure(spent)


def groups(net: Dense) -> tuple[list[UnitGroup], Layout]:
    """Return the hidden units of a fully connected network, layer by layer."""
    ends = np.cumsum([0, *(int(np.prod(shape)) for shape in net.shapes)])
    layout = {
        str(i): (slice(*span), shape)
        for i, (span, shape) in enumerate(zip(pairwise(ends), net.shapes, strict=True))
    }
    units = []
    for number, width in enumerate(net.widths[1:-1]):
        places = np.arange(width)[:, None]
        carriers = ((2 * number, 0, 1), (2 * number + 1, 0, 1), (2 * number + 2, 1, -1))
        members = tuple(Member(str(tensor), axis, places, 0, power) for tensor, axis, power in carriers)
        charge = Charge(odd=net.activation == "tanh", positive=net.activation == "relu")
        units.append(UnitGroup(width, members, (charge,)))
    return units, layout
