"""Finders of paths at equal numbers of gradients, and the published grid.

    python benchmarks/paths.py          # the finders on the spec's test, the grid; some minutes
    python benchmarks/paths.py digits   # the papers' claim on digits, see _claim.py; a quarter of an hour

The spec's test: a tanh network 6-w-w-4 with weight decay on 256 points, six minima by L-BFGS, a path for
every pair; the sum of the finite bars of the merge tree.
"""

import os

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")

import statistics
import sys
import time
from itertools import combinations, pairwise, product
from pathlib import Path

import numpy as np
from _measure import Row, report
from _networks import Dense, Floats

sys.path.append(str(Path(__file__).parents[1]))
from _claim import DEPTHS, SEEDS, WIDTHS, landscape

from onnxtop.landscape.alignment import Charge, Layout, Member, UnitGroup, align
from onnxtop.landscape.options import PathOptions
from onnxtop.landscape.paths import find_path
from onnxtop.loss.descent import descend
from onnxtop.topology.barcode import merge_tree_barcode, point_cloud_barcode
from tests.known_landscapes import TanhNet, two_neuron_losses

GRADIENTS = 2000
FINDERS = {
    "straight line": (PathOptions("line"), False),
    "authors' step, rate 2e-3": (PathOptions("authors", gradients=GRADIENTS), False),
    "authors' step, rate 0.3": (PathOptions("authors", gradients=GRADIENTS, rate=0.3), False),
    "Bezier curve": (PathOptions("bezier", gradients=GRADIENTS), False),
    "elastic band": (PathOptions(gradients=GRADIENTS), False),
    "aligned straight line": (PathOptions("line"), True),
    "aligned elastic band": (PathOptions(gradients=GRADIENTS), True),
}


def tanh_test(width: int) -> tuple[Dense, list[Floats]]:
    data = TanhNet(width)
    net = Dense((6, width, width, 4), data.x, data.labels, "tanh", data.l2)
    return net, [descend(net.loss_and_gradient, data.start(seed), iterations=3000).point for seed in range(6)]


def sums(net: Dense, ends: list[Floats]) -> dict[str, float]:
    """Return the sum of finite lengths by finder."""
    losses = [net.loss(theta) for theta in ends]
    found = {}
    for name, (options, aligned) in FINDERS.items():
        rows = []
        for i, j in combinations(range(len(ends)), 2):
            end = align(ends[i], ends[j], *groups(net)) if aligned else ends[j]
            rows.append((i, j, find_path(net.loss, net.loss_and_gradient, ends[i], end, options).height))
        found[name] = float(merge_tree_barcode(losses, rows).lengths.sum())
    return found


def finders() -> list[Row]:
    rows = []
    for width in (4, 8, 16):
        found = sums(*tanh_test(width))
        rows += [Row(f"width {width}: {name}, sum of lengths", value) for name, value in found.items()]
        others = min(value for name, value in found.items() if name.startswith(("straight", "authors")))
        share = found["elastic band"] / others
        rows.append(Row(f"width {width}: band over the best of line and step", share, "", 1.0))
    return rows


def grid() -> list[Row]:
    losses = two_neuron_losses()
    start = time.perf_counter()
    found = point_cloud_barcode(None, losses.ravel(), grid_shape=losses.shape)
    spent = time.perf_counter() - start
    kept = found.larger_than(100).lengths.size
    return [
        Row("published grid of 2,160,000 points", spent, "s", 60.0),
        Row("its bars with clusters over 100, less 8", abs(kept - 8), "", 0.0),
    ]


def groups(net: Dense) -> tuple[list[UnitGroup], Layout]:
    """Return the hidden units of a fully connected network, layer by layer."""
    ends = np.cumsum([0, *(int(np.prod(shape)) for shape in net.shapes)])
    layout = {
        str(i): (slice(*span), shape)
        for i, (span, shape) in enumerate(zip(pairwise(ends), net.shapes, strict=True))
    }
    found = []
    for number, width in enumerate(net.widths[1:-1]):
        places = np.arange(width)[:, None]
        carriers = ((2 * number, 0, 1), (2 * number + 1, 0, 1), (2 * number + 2, 1, -1))
        members = tuple(Member(str(tensor), axis, places, 0, power) for tensor, axis, power in carriers)
        charge = Charge(odd=net.activation == "tanh", positive=net.activation == "relu")
        found.append(UnitGroup(width, members, (charge,)))
    return found, layout


def claim() -> None:
    """Print mean lengths by depth, width and seed, with the gains that they do not know of."""
    for seed, depth, width in product(SEEDS, DEPTHS, WIDTHS):
        found = landscape(width, depth, seed)
        losses = [minimum.loss for minimum in found.minima]
        gain = max(minimum.gain or 0.0 for minimum in found.minima)
        rested = sum(minimum.verdict == "minimum" for minimum in found.minima)
        print(
            f"seed {seed}, {depth} hidden layers of {width}: mean length {found.score.mean:.5f} to "
            f"{found.score.mean_most:.5f}, {rested} of {len(losses)} at rest, largest gain {gain:.1g}, "
            f"mean loss {statistics.mean(losses):.4f}",
            flush=True,
        )


if __name__ == "__main__":
    if "digits" in sys.argv[1:]:
        claim()
        sys.exit(0)
    sys.exit(int(sum(report(section()) for section in (finders, grid)) > 0))
