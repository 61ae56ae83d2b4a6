import numpy as np
import pytest

from onnxtop.errors import UsageError
from onnxtop.landscape.minima import (
    Draw,
    fresh,
    perturbed,
    train,
)
from onnxtop.landscape.options import Training
from tests.known_landscapes import TanhNet


def bowl(theta, rows=None):
    return float(theta @ theta), 2 * theta


@pytest.mark.parametrize("optimiser", ["adam", "sgd-1", "sgd-2", "lbfgs"])
def test_every_optimiser_goes_down(optimiser):
    net = TanhNet(4)
    start = net.start(0)
    training = Training(optimiser, epochs=30, batch=32)
    end = train(net.gradient, start, training, n_rows=256, seed=1)
    assert net.loss(end) < net.loss(start) - (0.01 if optimiser == "sgd-1" else 0.2)


def test_seeded():
    net = TanhNet(4)
    training = Training(epochs=2)
    runs = [train(net.gradient, net.start(0), training, n_rows=256, seed=seed) for seed in (1, 1, 2)]
    assert np.array_equal(runs[0], runs[1])
    assert not np.array_equal(runs[0], runs[2])


def test_every_row_is_seen_once_an_epoch():
    seen = []

    def watched(theta, rows=None):
        seen.append(rows)
        return bowl(theta)

    train(watched, np.ones(2), Training(epochs=2, batch=4), n_rows=10)
    assert [len(rows) for rows in seen] == [4, 4, 2] * 2
    assert sorted(np.concatenate(seen[:3]).tolist()) == list(range(10))


def test_authors_schedules():
    one, two = Training("sgd-1"), Training("sgd-2", epochs=110)
    assert (one.length, one.rate_at(0), one.rate_at(2000)) == (2001, 1e-4, 1e-4)
    assert [two.rate_at(epoch) for epoch in (0, 10, 60, 110)] == pytest.approx([5e-2, 5e-2, 2.505e-2, 1e-4])


def test_training_can_be_stopped_and_survives_divergence():
    assert np.array_equal(train(bowl, np.ones(2), stop=lambda: True), np.ones(2))
    broken = lambda theta, rows=None: (np.nan, np.full(2, np.nan))  # noqa: E731
    assert np.array_equal(train(broken, np.ones(2), Training()), np.ones(2))


def test_starts():
    draws = [Draw.kaiming(20_000, 50), Draw(3), Draw(2, mean=1.0)]
    start = fresh(draws, seed=3)
    assert start[:20_000].std() == pytest.approx(0.2, rel=0.02)
    assert start[20_000:].tolist() == [0.01] * 3 + [1.0] * 2
    assert np.array_equal(start, fresh(draws, seed=3))
    assert not np.array_equal(start, fresh(draws, seed=4))
    assert fresh([], seed=0).size == 0


def test_perturbed_by_the_norm_of_each_tensor():
    point = np.concatenate([np.full(100, 3.0), np.zeros(5)])
    moved = perturbed(point, [slice(0, 100), slice(100, 105)], 0.1, seed=0)
    assert np.linalg.norm(moved - point) == pytest.approx(3.0)
    assert np.array_equal(moved[100:], np.zeros(5))


def test_refused():
    with pytest.raises(UsageError, match="optimiser: wanted one of"):
        Training("newton")
    with pytest.raises(UsageError, match="epochs: wanted a whole number of at least 1"):
        Training(epochs=0)
