"""Many small layers are scanned and joined together: each has the forest that it has alone, to the bit."""

import numpy as np
import pytest

from onnxtop.network import Stack
from onnxtop.topology.dense import dense_forest, forest_of_each
from onnxtop.topology.layer_scan import LayerScans, scan_each, scan_once
from onnxtop.topology.strongest import BlockCells
from tests.stacks import stacks

STACKS = dict(stacks())


def cells_of(scans: LayerScans) -> BlockCells:
    assert scans.cells is not None
    return scans.cells.blocks[0]


def check_cells(one: BlockCells, two: BlockCells) -> None:
    np.testing.assert_array_equal(one.positions, two.positions)
    assert one.weights.dtype == two.weights.dtype
    assert one.weights.tobytes() == two.weights.tobytes()
    assert (one.cuts, one.shape, one.turned) == (two.cuts, two.shape, two.turned)


@pytest.mark.parametrize("standardise", [True, False, None])
@pytest.mark.parametrize("name", STACKS)
def test_scans(name: str, standardise: bool | None) -> None:
    matrices = STACKS[name]
    found = scan_each(Stack.of(matrices), standardise=standardise)
    for each, matrix in zip(found, matrices, strict=True):
        wanted = scan_once([matrix], standardise=standardise)
        assert (each.paths is None, each.cells is None) == (wanted.paths is None, wanted.cells is None)
        assert (each.cells is not None) == np.isfinite(matrix).all()
        if each.cells is not None:
            check_cells(cells_of(each), cells_of(wanted))
        if each.paths is not None and wanted.paths is not None and wanted.paths.finite:
            one, two = each.paths, wanted.paths
            assert (one.mean, one.std, one.largest) == (two.mean, two.std, two.largest)
            check_cells(one.blocks[0], two.blocks[0])


@pytest.mark.parametrize("name", [name for name in STACKS if np.isfinite(STACKS[name]).all()])
def test_forests(name: str) -> None:
    matrices = STACKS[name]
    stack = Stack.of(matrices)
    cells = [cells_of(scans) for scans in scan_each(stack)]
    numbers = [3 * number + 1 for number in range(len(matrices))]
    for forest, matrix, number in zip(forest_of_each(stack, cells, numbers), matrices, numbers, strict=True):
        wanted = dense_forest([matrix], layer=number)
        assert forest.n_vertices == wanted.n_vertices
        for attribute in ("edges", "strengths", "generators"):
            one, two = getattr(forest, attribute), getattr(wanted, attribute)
            np.testing.assert_array_equal(one, two)
            assert one.dtype == two.dtype


def test_a_tree_of_many_layers_is_that_of_each() -> None:
    """More components than are joined one by one, and more edges than are looked at in one go."""
    rng = np.random.default_rng(0)
    matrices = list(np.round(rng.standard_normal((300, 5, 6)), 1))
    stack = Stack.of(matrices)
    forests = forest_of_each(stack, [cells_of(scans) for scans in scan_each(stack)], range(300))
    for number, (forest, matrix) in enumerate(zip(forests, matrices, strict=True)):
        np.testing.assert_array_equal(forest.generators, dense_forest([matrix], layer=number).generators)
