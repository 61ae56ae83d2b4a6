import itertools

import numpy as np
import pytest

from onnxtop.errors import UsageError
from onnxtop.landscape.chain import Meter, profile
from onnxtop.landscape.options import PathOptions
from onnxtop.landscape.paths import find_path
from onnxtop.loss.descent import descend
from onnxtop.topology.barcode import direct_barcode, merge_tree_barcode
from tests.known_landscapes import FUNCTIONS, MINIMA, TRUTH, TanhNet, counted_gradient, ordered


def ring(point):
    """A valley around a hill: |x| = 1, at height 0."""
    return float((point @ point - 1) ** 2), 4 * (point @ point - 1) * point


def ring_loss(point):
    return ring(point)[0]


LEFT, RIGHT = np.array([-1.0, 0.0]), np.array([1.0, 0.1])


@pytest.mark.parametrize("name", FUNCTIONS)
def test_benchmark_functions(name):
    function, truth = FUNCTIONS[name], TRUTH["functions"][name]
    gradient = counted_gradient(function)
    minima = [descend(gradient, np.array(start, float), iterations=200).point for start in MINIMA[name]]
    losses = [function(*point) for point in minima]
    passes = []
    for i, j in itertools.combinations(range(len(minima)), 2):
        path = find_path(lambda p: float(function(*p)), gradient, minima[i], minima[j])
        passes.append((i, j, path.height))
    barcode = merge_tree_barcode(losses, passes)
    np.testing.assert_allclose(ordered(barcode.bars), ordered(truth["finite"]), atol=1e-3)
    np.testing.assert_allclose(barcode.essential, truth["infinite"][:1], atol=1e-3)


@pytest.mark.parametrize("finder", ["neb", "bezier", "authors", "line"])
def test_every_finder_is_bounded_by_the_line(finder):
    path = find_path(ring_loss, ring, LEFT, RIGHT, PathOptions(finder, gradients=900, rate=0.05))
    assert path.height <= path.straight
    assert path.gradients <= 900
    assert np.array_equal(path.points[0], LEFT)
    assert np.array_equal(path.points[-1], RIGHT)
    assert path.height == path.losses.max()
    assert np.all(np.diff(path.positions) >= 0)
    assert (path.positions[0], path.positions[-1]) == (0, 1)
    if finder != "line":
        assert path.height < 0.9 * path.straight


def test_height_is_that_of_the_points_given():
    path = find_path(ring_loss, ring, LEFT, RIGHT)
    _, losses = profile(ring_loss, path.points, per_edge=200)
    assert losses.max() == pytest.approx(path.height, abs=1e-6)


def test_more_gradients_never_harm():
    heights = [
        find_path(ring_loss, ring, LEFT, RIGHT, PathOptions(gradients=n)).height for n in (0, 36, 400, 4000)
    ]
    assert heights == sorted(heights, reverse=True)
    assert heights[-1] < 1e-3


def test_band_beats_line_and_authors_step_at_equal_gradients():
    net = TanhNet(4)
    minima = [descend(net.gradient, net.start(seed), iterations=500).point for seed in range(3)]
    losses = [net.loss(theta) for theta in minima]

    def total(options, barcode=merge_tree_barcode):
        passes = [
            (i, j, find_path(net.loss, net.gradient, minima[i], minima[j], options).height)
            for i, j in itertools.combinations(range(3), 2)
        ]
        return barcode(losses, passes).lengths.sum(), direct_barcode(losses, passes).lengths.sum()

    band, band_direct = total(PathOptions(gradients=360))
    authors, _ = total(PathOptions("authors", gradients=360, rate=0.3))
    line, _ = total(PathOptions("line"))
    assert band < 0.7 * authors < authors < 0.7 * line
    assert band <= band_direct


def test_same_ends():
    path = find_path(ring_loss, ring, LEFT, LEFT)
    assert (path.height, path.gradients) == (0, 0)


def test_flat_paths_cost_nothing():
    bowl = lambda x: (float(x @ x), 2 * x)  # noqa: E731
    path = find_path(lambda x: bowl(x)[0], bowl, np.array([0.0, 1.0]), np.array([1.0, 0.5]))
    assert path.gradients == 0
    assert path.height == 1.25


def test_meter_ends_the_search():
    meter = Meter(gradients=100)
    find_path(ring_loss, ring, LEFT, RIGHT, meter=meter)
    assert 0 < meter.used <= 100
    assert meter.evaluations > 0
    path = find_path(ring_loss, ring, LEFT, RIGHT, meter=Meter(deadline=0.0))
    assert path.gradients == 0
    assert path.height == path.straight
    asked = itertools.count()
    path = find_path(ring_loss, ring, LEFT, RIGHT, meter=Meter(stop=lambda: next(asked) > 5))
    assert path.gradients < 100


@pytest.mark.parametrize("finder", ["neb", "bezier", "authors"])
def test_losses_that_are_not_finite(finder):
    def walled(point):
        return (np.nan, np.full(2, np.nan)) if abs(point[0]) < 0.1 else ring(point)

    path = find_path(lambda p: walled(p)[0], walled, LEFT, RIGHT, PathOptions(finder, gradients=200))
    assert path.height == np.inf
    assert np.isfinite(path.points).all()


def test_a_hole_can_be_passed():
    def holed(point):
        return (np.inf, np.zeros(2)) if point @ point < 1e-3 else ring(point)

    path = find_path(lambda p: holed(p)[0], holed, LEFT, -LEFT + [0, 0.01], PathOptions(points=12))
    assert path.straight == np.inf
    assert path.height < 0.1


def test_refused():
    for options in ({"finder": "best"}, {"points": 2}, {"gradients": -1}, {"rate": 0.0}):
        with pytest.raises(UsageError, match="wanted"):
            PathOptions(**options)
    with pytest.raises(UsageError, match="one shape"):
        find_path(ring_loss, ring, LEFT, np.zeros(3))
