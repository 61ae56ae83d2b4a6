import numpy as np
import pytest

from onnxtop.errors import UsageError
from onnxtop.landscape.alignment import (
    Charge,
    Member,
    Move,
    UnitGroup,
    align,
    renumbered,
    scrambled,
)
from onnxtop.landscape.options import PathOptions
from onnxtop.landscape.paths import find_path
from onnxtop.loss.descent import descend
from tests.known_landscapes import TanhNet

NET = TanhNet(6)
PLACES = np.arange(6)[:, None]
GROUPS = [
    UnitGroup(
        6, tuple(Member(name, axis, PLACES, 0, power) for name, axis, power in members), (Charge(odd=True),)
    )
    for members in ((("0", 0, 1), ("1", 0, 1), ("2", 1, -1)), (("2", 0, 1), ("3", 0, 1), ("4", 1, -1)))
]


def shuffled(theta, seed):
    return scrambled(theta, GROUPS, NET.layout, seed)


@pytest.mark.parametrize("seed", range(3))
def test_a_permuted_sign_flipped_copy_comes_back(seed):
    theta = NET.start(seed)
    copy = shuffled(theta, seed)
    assert np.abs(copy - theta).max() > 0.1
    assert NET.loss(copy) == pytest.approx(NET.loss(theta), abs=1e-12)
    np.testing.assert_allclose(align(theta, copy, GROUPS, NET.layout), theta, atol=1e-12)


def test_length_of_a_copy_is_zero():
    theta = descend(NET.gradient, NET.start(0), iterations=500).point
    copy = shuffled(theta, 5)
    straight = find_path(NET.loss, NET.gradient, theta, copy, PathOptions("line"))
    assert straight.height > NET.loss(theta) + 0.1
    aligned = align(theta, copy, GROUPS, NET.layout)
    path = find_path(NET.loss, NET.gradient, theta, aligned, PathOptions("line"))
    assert path.height - NET.loss(theta) < 1e-6


def test_never_further_and_never_another_function():
    for seed in range(5):
        target, theta = NET.start(seed), NET.start(seed + 10)
        found = align(target, theta, GROUPS, NET.layout)
        assert np.linalg.norm(found - target) <= np.linalg.norm(theta - target)
        assert NET.loss(found) == pytest.approx(NET.loss(theta), abs=1e-12)


def test_seeded():
    target, theta = NET.start(0), NET.start(1)
    assert np.array_equal(align(target, theta, GROUPS, NET.layout), align(target, theta, GROUPS, NET.layout))


def test_signs_stay_unless_the_group_is_odd():
    even = [UnitGroup(group.size, group.members, (Charge(),)) for group in GROUPS]
    theta = NET.start(0)
    flipped = renumbered(theta, GROUPS[0], Move(np.arange(6), -np.ones((1, 6))), NET.layout)
    assert not np.allclose(align(theta, flipped, even, NET.layout), theta)
    assert np.allclose(align(theta, flipped, GROUPS, NET.layout), theta)


def test_units_that_a_flatten_has_spread():
    layout = {"kernel": (slice(0, 3), (3, 1)), "dense": (slice(3, 9), (1, 6))}
    members = (Member("kernel", 0, np.arange(3)[:, None]), Member("dense", 1, np.arange(6).reshape(3, 2)))
    theta = np.array([1.0, 2.0, 3.0, 10, 11, 20, 21, 30, 31])
    moved = renumbered(theta, UnitGroup(3, members), Move(np.array([2, 0, 1])), layout)
    assert moved.tolist() == [3, 1, 2, 30, 31, 10, 11, 20, 21]
    assert align(theta, moved, [UnitGroup(3, members)], layout).tolist() == theta.tolist()


def test_no_groups_and_wrong_sizes():
    assert np.array_equal(align(NET.start(0), NET.start(1), [], NET.layout), NET.start(1))
    with pytest.raises(UsageError, match="one size"):
        align(np.zeros(2), np.zeros(3), [], {})
