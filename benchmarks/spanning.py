"""Neural persistence of one layer against reading its weights, against SciPy, and on hard matrices."""

import os

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")

import sys
from pathlib import Path

import numpy as np
from _measure import Row, median_seconds, peak_mib, report
from scipy.sparse import csr_array
from scipy.sparse.csgraph import minimum_spanning_tree

sys.path.append(str(Path(__file__).parents[1] / "tests" / "topology"))
from hard_matrices import HARD, random_matrix

from onnxtop.network import Kernel
from onnxtop.topology.convolution import unrolled_forest
from onnxtop.topology.neural_persistence import layer_forest, layer_persistence

LARGE = (4096, 11008)


def against_one_pass() -> list[Row]:
    matrix = random_matrix("gaussian", *LARGE)
    ours, transposed, half, anchor = median_seconds(
        lambda: layer_persistence(matrix),
        lambda: layer_persistence(matrix.T),
        lambda: layer_persistence(matrix.astype(np.float16)),
        lambda: max(matrix.max(), -matrix.min()),
        repeat=9,
    )
    return [
        Row("max(W.max(), -W.min()), 4096 x 11008 float32", anchor * 1e3, "ms"),
        Row("layer_persistence, as multiple of that", ours / anchor, "x", 4.0),
        Row("the same of the transposed view", transposed / anchor, "x", 4.0),
        Row("the same of a float16 copy, with making it", half / anchor, "x"),
        Row("peak of extra memory", peak_mib(lambda: layer_persistence(matrix)), "MiB", 64.0),
    ]


def scipy_tree(matrix: np.ndarray) -> csr_array:
    """SciPy's tree of all edges, built the quickest way."""
    n_rows, n_cols = matrix.shape
    n = n_rows + n_cols
    starts = np.minimum(np.arange(n + 1), n_rows) * n_cols
    heads = np.tile(np.arange(n_rows, n, dtype=np.int32), n_rows)
    graph = csr_array((-np.abs(matrix).ravel().astype(float), heads, starts.astype(np.int32)), shape=(n, n))
    return minimum_spanning_tree(graph, overwrite=True)


def against_scipy() -> list[Row]:
    matrix = random_matrix("gaussian", 2048, 2048)
    ours, theirs = median_seconds(lambda: layer_persistence(matrix), lambda: scipy_tree(matrix), repeat=5)
    return [
        Row("layer_persistence, 2048 x 2048 float32", ours * 1e3, "ms"),
        Row("as a share of SciPy's tree of all edges", ours / theirs, "", 0.01),
    ]


def hard_matrices() -> list[Row]:
    gaussian = random_matrix("gaussian", *LARGE)
    rows = []
    cases = [(name, LARGE) for name in HARD] + [("gaussian", (50257, 768)), ("gaussian", (100000, 16))]
    for name, shape in cases:
        matrix = random_matrix(name, *shape)
        hard, usual = median_seconds(
            lambda matrix=matrix: layer_persistence(matrix), lambda: layer_persistence(gaussian), repeat=5
        )
        goal = 15.0 if name == "block_hierarchy" else 3.0
        title = f"{name.replace('_', ' ')} {shape[0]} x {shape[1]}, as multiple of gaussian"
        rows.append(Row(title, hard / usual, "x", goal))
    return rows


def other_layers() -> list[Row]:
    rng = np.random.default_rng(0)
    depthwise = list(rng.standard_normal((960, 9, 1), dtype=np.float32))
    ones = (1, 1)
    middle = Kernel(
        rng.standard_normal((1, 512, 512, 3, 3), dtype=np.float32),
        ones,
        ones,
        ones,
        False,
        (14, 14),
        (14, 14),
    )
    first = Kernel(
        rng.standard_normal((1, 64, 3, 7, 7), dtype=np.float32),
        (2, 2), (3, 3), ones, False, (224, 224), (112, 112),
    )  # fmt: skip
    times = median_seconds(
        lambda: layer_forest(depthwise),
        lambda: unrolled_forest(middle),
        lambda: unrolled_forest(first),
        repeat=3,
    )
    return [
        Row("depthwise, 960 blocks of 9 x 1, each block", times[0] / 960 * 1e6, "µs", 20.0),
        Row("unrolled 512 x 512 x 3 x 3 at 14 x 14", times[1], "s", 3.0),
        Row("unrolled 64 x 3 x 7 x 7 at 224 x 224, stride 2", times[2], "s", 5.0),
        Row("peak of extra memory of the latter", peak_mib(lambda: unrolled_forest(first)), "MiB"),
    ]


if __name__ == "__main__":
    sections = (against_one_pass, against_scipy, hard_matrices, other_layers)
    sys.exit(int(sum(report(section()) for section in sections) > 0))
