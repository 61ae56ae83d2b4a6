"""Deep graph persistence against the explicit matrix S, against reading the weights; by depth, by width."""

import os

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")

import itertools
import sys
from pathlib import Path

import numpy as np
from _measure import Row, median_seconds, peak_mib, report

sys.path.append(str(Path(__file__).parents[1] / "tests" / "topology"))
from hard_matrices import HARD, random_matrix

from onnxtop.topology.deep_graph_persistence import deep_graph_persistence

Stack = list[np.ndarray]


def stack(*widths: int) -> Stack:
    """Gaussian float32 matrices."""
    return [
        random_matrix("gaussian", *shape, seed=seed) for seed, shape in enumerate(itertools.pairwise(widths))
    ]


def n_weights(matrices: Stack) -> int:
    return sum(matrix.size for matrix in matrices)


def explicit_s(matrices: Stack) -> np.ndarray:
    """S by max-min products, row by row, of matrices that are standardised already."""
    product = matrices[0]
    for matrix in matrices[1:]:
        product = np.stack([np.minimum(row[:, None], matrix).max(axis=0) for row in product])
    return product


def read_all(matrices: Stack) -> float:
    return max(max(matrix.max(), -matrix.min()) for matrix in matrices)


def against_explicit_s() -> list[Row]:
    matrices = stack(784, 1000, 1000, 1000, 1000, 10)
    strengths = [np.abs(matrix) for matrix in matrices]
    ours, explicit = median_seconds(
        lambda: deep_graph_persistence(matrices), lambda: explicit_s(strengths), repeat=1
    )
    title = "784-1000-1000-1000-1000-10 float32"
    return [
        Row(f"deep_graph_persistence, {title}", ours * 1e3, "ms"),
        Row("as a share of forming S", ours / explicit, "", 1 / 30),
        Row("peak of extra memory", peak_mib(lambda: deep_graph_persistence(matrices)), "MiB", 8.0),
    ]


def against_reading() -> list[Row]:
    matrices = stack(*[5000] * 5)
    transposed = [np.ascontiguousarray(matrix.T).T for matrix in matrices]
    ours, other, anchor = median_seconds(
        lambda: deep_graph_persistence(matrices),
        lambda: deep_graph_persistence(transposed),
        lambda: read_all(matrices),
        repeat=5,
    )
    return [
        Row("max(W.max(), -W.min()), four layers of 5000 x 5000", anchor * 1e3, "ms"),
        Row("deep_graph_persistence, as multiple of that", ours / anchor, "x", 8.0),
        Row("the same, stored by columns", other / anchor, "x", 8.0),
        Row("peak of extra memory", peak_mib(lambda: deep_graph_persistence(matrices)), "MiB", 256.0),
    ]


def by_size() -> list[Row]:
    """Deeper: nothing else changes. Wider: what goes with the neurons fades beside the weights."""
    deeper = stack(*[1000] * 201)
    depths = {depth: deeper[:depth] for depth in (1, 10, 200)}
    times = median_seconds(
        *(lambda some=some: deep_graph_persistence(some) for some in depths.values()), repeat=3
    )
    per_weight = [spent / n_weights(some) for spent, some in zip(times, depths.values(), strict=True)]
    rows = [Row("1000 wide, 1 layer (1 M weights)", per_weight[0] * 1e9, "ns a weight")]
    for depth, each in zip((10, 200), per_weight[1:], strict=True):
        rows.append(Row(f"{depth} layers, a weight, as multiple of that", each / per_weight[0], "x", 1.5))
    del deeper, depths
    wider = {size: stack(*[size] * 5) for size in (500, 1600, 7071)}
    times = median_seconds(
        *(lambda some=some: deep_graph_persistence(some) for some in wider.values()), repeat=3
    )
    per_weight = [spent / n_weights(some) for spent, some in zip(times, wider.values(), strict=True)]
    rows.append(Row("four layers, 500 wide (1 M weights)", per_weight[0] * 1e9, "ns a weight"))
    for size, each in zip((1600, 7071), per_weight[1:], strict=True):
        rows.append(Row(f"{size} wide, a weight, as multiple of that", each / per_weight[0], "x", 1.5))
    return rows


def hard_matrices() -> list[Row]:
    usual = [random_matrix("gaussian", 2000, 2000, seed=seed) for seed in range(3)]
    rows = []
    for name in HARD:
        matrices = [random_matrix(name, 2000, 2000, seed=seed) for seed in range(3)]
        hard, gaussian = median_seconds(
            lambda matrices=matrices: deep_graph_persistence(matrices),
            lambda: deep_graph_persistence(usual),
            repeat=3,
        )
        title = f"{name.replace('_', ' ')} 2000 x 2000, as multiple of gaussian"
        rows.append(Row(title, hard / gaussian, "x", 20.0))
    return rows


if __name__ == "__main__":
    sections = (against_explicit_s, against_reading, by_size, hard_matrices)
    sys.exit(int(sum(report(section()) for section in sections) > 0))
