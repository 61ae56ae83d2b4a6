import numpy as np
import pytest

from onnxtop.topology.graph import empty_forest
from onnxtop.topology.persistence import Diagram, forest_diagram
from onnxtop.topology.spanning import edge_forest


def forest_of(*strengths, n_vertices):
    k = len(strengths)
    edges = np.column_stack([np.arange(k), np.arange(1, k + 1)])
    generators = np.column_stack([np.full(k, 4), edges])
    return edge_forest(n_vertices, edges, np.array(strengths, float), generators)


def test_points_are_the_strengths_divided_by_the_scale():
    diagram = forest_diagram(forest_of(2.0, 3.0, n_vertices=3), 4.0)
    assert diagram.points.tolist() == [[1.0, 0.75], [1.0, 0.5]]
    assert diagram.generators.tolist() == [[4, 1, 2], [4, 0, 1]]
    assert diagram.essential == (1.0, 0.0)


def test_missing_edges_are_points_without_a_weight():
    diagram = forest_diagram(forest_of(2.0, n_vertices=4), 2.0)
    assert diagram.points.tolist() == [[1.0, 1.0], [1.0, 0.0], [1.0, 0.0]]
    assert diagram.generators[1:].tolist() == [[-1, -1, -1]] * 2


def test_strengths_above_the_scale_are_cut_off():
    assert forest_diagram(forest_of(9.0, 1.0, n_vertices=3), 2.0).points[:, 1].tolist() == [1.0, 0.5]


def test_scale_zero():
    assert forest_diagram(forest_of(9.0, 0.0, n_vertices=3), 0.0).points[:, 1].tolist() == [1.0, 0.0]


def test_a_forest_that_is_not_finite_has_an_empty_diagram():
    diagram = forest_diagram(empty_forest(9, 2, (0, 0)), 1.0)
    assert diagram.points.shape == (0, 2)
    assert diagram.generators.shape == (0, 3)


@pytest.mark.parametrize(
    ("p", "essential", "tree"),
    [(1, 1.75, 0.75), (2, 1.3125**0.5, 0.3125**0.5), (np.inf, 1.0, 0.5), (0.5, 4.87132, 1.45711)],
)
def test_norm(p, essential, tree):
    diagram = Diagram(np.array([[1.0, 0.5], [1.0, 0.75], [1.0, 1.0]]), np.zeros((3, 3), np.intp))
    assert diagram.norm(p) == pytest.approx(essential, rel=1e-5)
    assert diagram.norm(p, "tree") == pytest.approx(tree, rel=1e-5)


def test_normalized_divides_the_sum_and_survives_a_p_near_zero():
    diagram = Diagram(np.array([[1.0, 0.5], [1.0, 0.75]]), np.zeros((2, 3), np.intp))
    assert diagram.norm(2, "tree", n=2) == pytest.approx(diagram.norm(2, "tree") / 2**0.5, rel=1e-15)
    assert diagram.norm(1e-4, "tree", n=2) == pytest.approx(0.125**0.5, rel=1e-4)
    assert diagram.norm(1e-4, "tree") == np.inf


def test_norm_neither_underflows_nor_overflows():
    diagram = Diagram(np.array([[1.0, 1 - 2.0**-30]] * 4), np.zeros((4, 3), np.intp))
    assert diagram.norm(40, "tree") == pytest.approx(2.0**-30 * 4 ** (1 / 40), rel=1e-12)
    assert Diagram(np.empty((0, 2)), np.empty((0, 3), np.intp)).norm(2, "tree") == 0.0
