"""Deep graph persistence of stacks of matrices.

`onnxtop.deep_graph_persistence` on Gaussian float32 matrices, against reading them (a pass is one
`max(W.max(), -W.min())` of all), against forming the explicit matrix S by max-min products, and its growth.
"""

import itertools

import numpy as np

from benchmarks._measuring import Figure, beside, peak_mib, ratio, seconds, shown, worst
from benchmarks._rows import row
from onnxtop.topology.deep_graph_persistence import deep_graph_persistence
from tests.topology.hard_matrices import HARD, random_matrix

Stack = list[np.ndarray]
LARGE = (5000,) * 5
EXPLICIT = (784, 1000, 1000, 1000, 1000, 10)
TINY = {"widths": (20, 30, 20)}


def stack(*widths: int, kind: str = "gaussian") -> Stack:
    """Return float32 matrices of one kind."""
    return [random_matrix(kind, *shape, seed=seed) for seed, shape in enumerate(itertools.pairwise(widths))]


def explicit_s(matrices: Stack) -> np.ndarray:
    """Return S by max-min products, row by row, of matrices that are standardised already."""
    product = matrices[0]
    for matrix in matrices[1:]:
        product = np.stack([np.minimum(row[:, None], matrix).max(axis=0) for row in product])
    return product


@row(
    "dgp-explicit", "forming S of 784-1000-1000-1000-1000-10, over its DGP", "x",
    at_least=30, limit=300, tiny=TINY,
)  # fmt: skip
def against_explicit_s(widths: tuple[int, ...] = EXPLICIT) -> Figure:
    matrices = stack(*widths)
    strengths = [np.abs(matrix) for matrix in matrices]
    (ours,) = seconds(lambda: deep_graph_persistence(matrices), budget=2)
    (theirs,) = seconds(lambda: explicit_s(strengths), least=1, budget=0)
    return ratio(theirs, ours)


@row(
    "dgp-explicit-memory", "peak of extra memory of that DGP, S being what is never held", "MiB",
    at_most=8, pace="quick", tiny=TINY,
)  # fmt: skip
def memory_beside_s(widths: tuple[int, ...] = EXPLICIT) -> Figure:
    matrices = stack(*widths)
    return peak_mib(lambda: deep_graph_persistence(matrices))


@row("dgp", "DGP of four layers of 5000 x 5000", "passes", at_most=6, pace="quick", tiny=TINY)
def in_passes(widths: tuple[int, ...] = LARGE) -> Figure:
    matrices = stack(*widths)
    return beside(lambda: deep_graph_persistence(matrices), lambda: read_all(matrices))


@row("dgp-transposed", "the same, stored by columns", "passes", at_most=6, tiny=TINY)
def in_passes_by_columns(widths: tuple[int, ...] = LARGE) -> Figure:
    matrices = [np.ascontiguousarray(matrix.T).T for matrix in stack(*widths)]
    return beside(lambda: deep_graph_persistence(matrices), lambda: read_all(matrices))


def read_all(matrices: Stack) -> float:
    """Return the largest magnitude: the least that reading the weights takes."""
    return float(max(max(matrix.max(), -matrix.min()) for matrix in matrices))


@row("dgp-memory", "its peak of extra memory", "MiB", at_most=256, pace="quick", tiny=TINY)
def memory(widths: tuple[int, ...] = LARGE) -> Figure:
    matrices = stack(*widths)
    return peak_mib(lambda: deep_graph_persistence(matrices))


def growth(*, widths: tuple[int, ...], first: tuple[int, ...]) -> Figure:
    """Return the time of a weight beside that of a weight of a smaller network."""
    larger, smaller = (stack(*each) for each in (widths, first))
    times = seconds(lambda: deep_graph_persistence(larger), lambda: deep_graph_persistence(smaller), least=2)
    each = [t / sum(m.size for m in some) for t, some in zip(times, (larger, smaller), strict=True)]
    return Figure(each[0] / each[1], " over ".join(map(shown, each)))


for _name, _what, _widths, _first in (
    ("10-layers", "10 layers of 1000 x 1000, over one", (1000,) * 11, (1000,) * 2),
    ("200-layers", "200 layers of 1000 x 1000 (200 M weights), over one", (1000,) * 201, (1000,) * 2),
    ("10m", "four layers 1581 wide (10 M weights), over 500 wide (1 M)", (1581,) * 5, (500,) * 5),
    ("100m", "four layers 5000 wide (100 M weights), over 500 wide (1 M)", (5000,) * 5, (500,) * 5),
    ("1000m", "four layers 15811 wide (1,000 M weights, 4 GB), over 500 wide", (15811,) * 5, (500,) * 5),
):
    row(
        f"dgp-{_name}", f"DGP, time of a weight: {_what}", "x", at_most=1.5,
        arguments={"widths": _widths, "first": _first}, tiny={**TINY, "first": (10, 10)},
    )(growth)  # fmt: skip


_HARD = [kind for kind in HARD if kind != "gaussian"]


@row(
    "dgp-hard", f"DGP of three layers 2000 x 2000, the worst of {len(_HARD)} hard kinds, over gaussian", "x",
    at_most=20, limit=400, tiny=TINY,
)  # fmt: skip
def hard(widths: tuple[int, ...] = (2000,) * 4) -> Figure:
    usual, times = stack(*widths), {}
    for kind in _HARD:
        matrices = stack(*widths, kind=kind)
        both = seconds(
            lambda matrices=matrices: deep_graph_persistence(matrices),
            lambda: deep_graph_persistence(usual),
            budget=1,
        )
        times[kind] = both[0] / both[1]
    return worst(times)
