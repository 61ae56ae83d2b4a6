"""The authors' claim on digits: do bars get shorter as fully connected ReLU networks get wider and deeper?

Eight minima a network, trained by plain gradient descent with momentum and the authors' second schedule; no
weight decay. Three seeds of all eight. Paths by the elastic band from every minimum to the lowest, and
straight lines between all.
"""

from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations, pairwise
from pathlib import Path

import numpy as np
from _networks import Dense, Floats

from onnxtop.landscape.alignment import Charge, Layout, Member, UnitGroup, align
from onnxtop.landscape.minima import Draw, fresh, train
from onnxtop.landscape.options import PathOptions, Training
from onnxtop.landscape.paths import find_path
from onnxtop.topology.barcode import Barcode, merge_tree_barcode

DIGITS = Path(__file__).parents[1] / "sample_models" / "digits.npz"
WIDTHS, DEPTHS, SEEDS = (8, 16, 32), (1, 2, 3), (0, 1, 2)
N = 8
TRAINING = Training("sgd-2", epochs=100, polish=0)


def cases() -> Iterator[tuple[int, int, int]]:
    """Give width, hidden layers, seed."""
    return ((width, depth, seed) for seed in SEEDS for depth in DEPTHS for width in WIDTHS)


def network(width: int, depth: int) -> Dense:
    with np.load(DIGITS) as digits:
        return Dense((64, *[width] * depth, 10), digits["x"], digits["labels"], "relu")


def minima(net: Dense, seed: int) -> Floats:
    """Train N networks from starts of their own."""
    draws = [Draw.kaiming(s[0] * s[1], s[1]) if len(s) == 2 else Draw(s[0]) for s in net.shapes]
    starts = (fresh(draws, 1000 * seed + number) for number in range(N))
    return np.stack(
        [
            train(net.loss_and_gradient, start, TRAINING, n_rows=len(net.labels), seed=number)
            for number, start in enumerate(starts)
        ]
    )


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


def barcode(net: Dense, ends: Floats, options: PathOptions, *, aligned: bool = False) -> Barcode:
    """Take straight lines between all, and the finder's path from each to the lowest."""
    losses = [net.loss(theta) for theta in ends]
    lowest = int(np.argmin(losses))
    rows = []
    for i, j in combinations(range(len(ends)), 2):
        chosen = options if lowest in (i, j) else replace(options, finder="line")
        end = align(ends[i], ends[j], *groups(net)) if aligned else ends[j]
        rows.append((i, j, find_path(net.loss, net.loss_and_gradient, ends[i], end, chosen).height))
    return merge_tree_barcode(losses, rows)
