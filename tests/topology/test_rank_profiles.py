import itertools
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest
from brute_force import prim_strengths

from onnxtop.topology.rank_profiles import draw_profiles, profiles_of


def seen_profiles(profiles):
    return Counter(map(tuple, profiles.ranks.tolist()))


# Profiles against the exact law


def tree_ranks(cells, order):
    """Kruskal by hand: which places of the order join two components."""
    component = {vertex: {vertex} for cell in cells for vertex in cell}
    ranks = []
    for rank, number in enumerate(order, 1):
        row, column = cells[number]
        if component[row] is not component[column]:
            component[row] |= component[column]
            for vertex in component[column]:
                component[vertex] = component[row]
            ranks.append(rank)
    return tuple(ranks)


LAWS = {
    "2 x 3": (((3, 2, 1),), [(("r", i), ("c", j)) for i in range(2) for j in range(3)]),
    "2 x 2 and 1 x 3": (
        ((2, 2, 1), (3, 1, 1)),
        [(("r", i), ("c", j)) for i in range(2) for j in range(2)]
        + [(("r", 2), ("c", 2 + j)) for j in range(3)],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", LAWS)
def test_profiles_follow_the_law_of_all_arrangements(name):
    shapes, cells = LAWS[name]
    orders = list(itertools.permutations(range(len(cells))))
    law = Counter(tree_ranks(cells, order) for order in orders)
    draws = 10000
    seen = seen_profiles(draw_profiles(shapes, draws, seed=1))
    assert set(seen) == set(law)
    expected = {ranks: count * draws / len(orders) for ranks, count in law.items()}
    distance = sum((seen[ranks] - share) ** 2 / share for ranks, share in expected.items())
    freedom = len(law) - 1
    assert distance < freedom + 4 * np.sqrt(2 * freedom)


@pytest.mark.parametrize("shape", [(12, 5), (40, 3), (9, 9)])
def test_later_ranks_follow_the_law_of_shuffles(shape):
    rng = np.random.default_rng(0)
    n_cells = shape[0] * shape[1]
    real = np.array([
        n_cells + 1 - prim_strengths(1.0 + rng.permutation(n_cells).reshape(shape))[-1] for _ in range(1000)
    ])  # fmt: skip
    last = draw_profiles(((max(shape), min(shape), 1),), draws=4000).ranks[:, -1]
    assert abs(last.mean() - real.mean()) < 4 * real.std() * np.sqrt(1 / 1000 + 1 / 4000)
    assert last.std() == pytest.approx(real.std(), rel=0.1)


@pytest.mark.parametrize(
    "shapes",
    [
        ((300, 100, 1),),
        ((1000, 64, 1),),
        ((36, 4, 32),),
        ((9, 1, 5), (20, 3, 2)),
        ((2, 2, 1),),
        ((5000, 2, 1),),
    ],
)
def test_every_profile_is_a_set_of_ranks(shapes):
    profiles = draw_profiles(shapes, draws=20)
    n_blocks = sum(count for *_, count in shapes)
    n_vertices = sum((long + short) * count for long, short, count in shapes)
    n_cells = sum(long * short * count for long, short, count in shapes)
    assert (profiles.n_vertices, profiles.n_blocks) == (n_vertices, n_blocks)
    assert profiles.ranks.shape == (20, n_vertices - n_blocks)
    assert (profiles.ranks[:, 0] == 1).all()
    assert (np.diff(profiles.ranks) > 0).all()
    assert profiles.last <= n_cells


def test_number_of_draws():
    assert len(draw_profiles(((300, 100, 1),)).ranks) == 100
    assert len(draw_profiles(((66000, 2, 1),)).ranks) == 20
    assert len(draw_profiles(((4480, 4480, 1),)).ranks) == 20


def test_a_bias_row_is_drawn_as_the_weights_alone_are():
    """The weights enter in the same order: the biases only join in."""
    shapes = ((20, 10, 2), (30, 5, 1))
    plain, joined = draw_profiles(shapes), draw_profiles(shapes, ends=True)
    assert np.array_equal(plain.ranks, joined.ranks)
    assert joined.ends.shape == (*plain.ranks.shape, 2)


def test_another_process_draws_the_same():
    source = (
        "from onnxtop.topology.rank_profiles import draw_profiles, profiles_of; import hashlib;"
        "ranks = draw_profiles(((300, 100, 1), (20, 3, 4))).ranks;"
        "print(hashlib.sha256(ranks.tobytes()).hexdigest())"
    )
    runs = [
        subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    ]
    assert runs[0] == runs[1] != ""


def test_of_few_neurons_a_process_draws_once() -> None:
    shapes = ((30, 20, 1), (5, 3, 2))
    for ends in (False, True):
        kept, drawn = profiles_of(shapes, ends), draw_profiles(shapes, ends=ends)
        assert profiles_of(shapes, ends) is kept
        assert np.array_equal(kept.ranks, drawn.ranks)
        assert not kept.ranks.flags.writeable
        assert (kept.ends is None) == (not ends)
        assert kept.ends is None or np.array_equal(kept.ends, drawn.ends)
    assert profiles_of(((300, 100, 1),), False) is not profiles_of(((300, 100, 1),), False)
