"""Finders of paths at equal numbers of gradients, and the published grid.

    python benchmarks/paths.py          # the finders on the spec's test, the grid; some minutes
    python benchmarks/paths.py digits   # the papers' claim on digits, see _claim.py; an hour

The spec's test: a tanh network 6-w-w-4 with weight decay on 256 points, six minima by L-BFGS, a path for
every pair; the sum of the finite bars of the merge tree.
"""

import os

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")

import statistics
import sys
import time
from itertools import combinations
from pathlib import Path

import numpy as np
from _claim import DEPTHS, SEEDS, WIDTHS, barcode, groups, minima, network
from _measure import Row, report
from _networks import Dense, Floats

sys.path.append(str(Path(__file__).parents[1]))
from onnxtop.landscape.alignment import align
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

CLAIM = (
    (PathOptions("line"), False),
    (PathOptions("authors", gradients=1000), False),
    (PathOptions(gradients=1000), False),
    (PathOptions(gradients=5000), False),
    (PathOptions(gradients=1000), True),
)
"""How the bars of the claim are measured: the finder, and whether units are aligned."""


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


def claim() -> None:
    """Print mean lengths over eight minima: mean and standard deviation of three seeds."""
    for options, aligned in CLAIM:
        print(f"{options.finder}, {options.gradients} gradients{', aligned' if aligned else ''}")
        for depth in DEPTHS:
            cells = []
            for width in WIDTHS:
                net = network(width, depth)
                found = (barcode(net, minima(net, seed), options, aligned=aligned) for seed in SEEDS)
                means = [float(np.mean(each.lengths)) for each in found]
                cells.append(f"{statistics.mean(means):.4f} ± {statistics.stdev(means):.4f}")
            print(f"  {depth} hidden layers, widths {WIDTHS}: {', '.join(cells)}", flush=True)


if __name__ == "__main__":
    if "digits" in sys.argv[1:]:
        claim()
        sys.exit(0)
    sys.exit(int(sum(report(section()) for section in (finders, grid)) > 0))
