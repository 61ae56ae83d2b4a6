import itertools

import numpy as np
import pytest

import onnxtop
from onnxtop.errors import UsageError
from onnxtop.topology.barcode import direct_barcode, merge_tree_barcode, point_cloud_barcode, to_score
from tests.known_landscapes import FUNCTIONS, TRUTH, ordered, two_neuron_losses


def swept(values, edges):
    """Sweep all vertices as the paper says: births, deaths, cluster sizes, lowest birth first."""
    order = np.argsort(values, kind="stable")
    near = {vertex: set() for vertex in range(len(values))}
    for i, j in edges:
        near[i].add(j)
        near[j].add(i)
    component, bars, sizes = {}, [], []
    members = {}
    for vertex in order.tolist():
        roots = sorted(
            {component[other] for other in near[vertex] if other in component},
            key=lambda r: rank_of(order, r),
        )
        root = roots[0] if roots else vertex
        for lost in roots[1:]:
            bars.append((values[lost], values[vertex]))
            sizes.append(len(members[lost]))
            members[root] += members.pop(lost)
        members.setdefault(root, []).append(vertex)
        for member in members[root]:
            component[member] = root
    return bars, sizes, sorted(values[root] for root in members)


def rank_of(order, vertex):
    return int(np.flatnonzero(order == vertex)[0])


class TestMergeTree:
    def test_chain(self):
        barcode = onnxtop.merge_tree_barcode([3.0, 0.0, 1.0, 2.0], [(0, 1, 9.0), (1, 2, 4.0), (2, 3, 5.0)])
        assert barcode.bars.tolist() == [[1, 4], [2, 5], [3, 9]]
        assert barcode.essential.tolist() == [0]
        assert barcode.minima.tolist() == [2, 3, 0]
        assert barcode.partners.tolist() == [1, 1, 1]
        assert barcode.edges.tolist() == [1, 2, 0]

    def test_cluster_sizes_count_minima(self):
        barcode = merge_tree_barcode([0.0, 1.0, 2.0, 3.0], [(0, 1, 10.0), (1, 2, 5.0), (2, 3, 6.0)])
        assert dict(zip(barcode.minima.tolist(), barcode.cluster_sizes.tolist(), strict=True)) == {
            1: 3,
            2: 1,
            3: 1,
        }
        assert barcode.essential_sizes.tolist() == [4]

    def test_never_above_direct_pairs(self):
        rng = np.random.default_rng(0)
        for n in (2, 5, 9):
            for _ in range(20):
                births = rng.random(n)
                passes = [(i, j, 1 + rng.random()) for i, j in itertools.combinations(range(n), 2)]
                tree, direct = merge_tree_barcode(births, passes), direct_barcode(births, passes)
                assert np.array_equal(np.sort(tree.minima), np.sort(direct.minima))
                deaths = dict(zip(direct.minima.tolist(), direct.bars[:, 1], strict=True))
                assert all(
                    death <= deaths[m] for m, (_, death) in zip(tree.minima.tolist(), tree.bars, strict=True)
                )

    def test_a_detour_beats_the_direct_pair(self):
        passes = [(0, 2, 5.0), (0, 1, 4.0), (1, 2, 3.0)]
        assert merge_tree_barcode([0, 2, 1], passes).bars.tolist() == [[1, 4], [2, 3]]
        assert direct_barcode([0, 2, 1], passes).bars.tolist() == [[1, 5], [2, 3]]

    def test_death_is_the_lowest_way_to_a_lower_minimum(self):
        rng = np.random.default_rng(1)
        for _ in range(20):
            births = rng.random(6)
            heights = np.full((6, 6), np.inf)
            for i, j in itertools.combinations(range(6), 2):
                heights[i, j] = heights[j, i] = 1 + rng.random()
            passes = [(i, j, heights[i, j]) for i, j in itertools.combinations(range(6), 2)]
            for k, i, j in itertools.product(range(6), repeat=3):
                heights[i, j] = min(heights[i, j], max(heights[i, k], heights[k, j]))
            wanted = sorted(
                (births[m], min(heights[m, o] for o in range(6) if births[o] < births[m]))
                for m in range(6)
                if births[m] > births.min()
            )
            np.testing.assert_allclose(merge_tree_barcode(births, passes).bars, wanted)

    def test_order_is_irrelevant(self):
        rng = np.random.default_rng(2)
        births = rng.random(7)
        passes = np.array([(i, j, 1 + rng.random()) for i, j in itertools.combinations(range(7), 2)])
        wanted = merge_tree_barcode(births, passes).bars
        for _ in range(5):
            order = rng.permutation(7)
            place = np.argsort(order)
            moved = np.column_stack(
                [place[passes[:, 0].astype(int)], place[passes[:, 1].astype(int)], passes[:, 2]]
            )
            moved = rng.permutation(moved)
            assert merge_tree_barcode(births[order], moved).bars.tolist() == wanted.tolist()

    def test_one_more_path_never_lengthens_a_bar(self):
        rng = np.random.default_rng(3)
        births = rng.random(6)
        passes = [(0, i, 3.0 + i) for i in range(1, 6)]
        before = merge_tree_barcode(births, passes).lengths.sum()
        for i, j in itertools.combinations(range(6), 2):
            passes.append((i, j, 1 + 4 * rng.random()))
            after = merge_tree_barcode(births, passes).lengths.sum()
            assert after <= before
            before = after

    def test_pieces_apart_are_essential(self):
        barcode = merge_tree_barcode([1.0, 0.0, 2.0], [(0, 2, 3.0), (0, 1, np.inf)])
        assert barcode.bars.tolist() == [[2, 3]]
        assert barcode.essential.tolist() == [0, 1]
        assert barcode.essential_sizes.tolist() == [1, 2]

    def test_edge_cases(self):
        assert merge_tree_barcode([], []).bars.shape == (0, 2)
        assert merge_tree_barcode([1.0], []).essential.tolist() == [1]
        assert merge_tree_barcode([1.0, 1.0], [(1, 0, 1.0)]).bars.tolist() == [[1, 1]]
        assert merge_tree_barcode([1.0, 2.0], [(0, 1, 0.5)]).bars.tolist() == [[2, 2]]  # raised to its end
        assert merge_tree_barcode([1.0, 2.0], [(0, 1, 5.0), (1, 0, 4.0)]).bars.tolist() == [[2, 4]]
        assert merge_tree_barcode([1.0, 2.0], [(1, 1, 1.0)]).bars.shape == (0, 2)

    @pytest.mark.parametrize(
        ("losses", "passes", "words"),
        [
            ([1.0, np.nan], [], "finite values"),
            ([[1.0]], [], "shape"),
            ([1.0, 2.0], [(0, 2, 3.0)], "numbered from 0 to 1"),
            ([1.0, 2.0], [(0, 0.5, 3.0)], "numbered"),
            ([1.0, 2.0], [(0, np.nan, 3.0)], "numbered"),
            ([1.0, 2.0], [(-np.inf, 1, 3.0)], "numbered"),
            ([1.0, 2.0], [(0, 1, np.nan)], "NaN"),
            ([1.0, 2.0], [(0, 1)], "rows"),
        ],
    )
    def test_refused(self, losses, passes, words):
        with pytest.raises(UsageError, match=words):
            merge_tree_barcode(losses, passes)


class TestPointCloud:
    @pytest.mark.parametrize("name", FUNCTIONS)
    def test_benchmark_functions(self, name):
        truth = TRUTH["functions"][name]
        size = 20001 if len(truth["box"]) == 1 else 401
        axes = [np.linspace(*ends, size) for ends in truth["box"]]
        points = np.stack([axis.ravel() for axis in np.meshgrid(*axes, indexing="ij")], axis=1)
        values = FUNCTIONS[name](*points.T)
        barcode = onnxtop.point_cloud_barcode(points, values, grid_shape=[size] * len(axes))
        steepest = max(
            float(np.abs(np.diff(values.reshape([size] * len(axes)), 2, axis=i)).max())
            for i in range(len(axes))
        )
        found = barcode.longer_than(steepest)
        np.testing.assert_allclose(ordered(found.bars), ordered(truth["finite"]), atol=steepest)
        np.testing.assert_allclose(barcode.essential, truth["infinite"], atol=steepest)
        assert barcode.essential_sizes.tolist() == [len(points)]

    def test_published_network(self):
        losses = two_neuron_losses()
        barcode = point_cloud_barcode(None, losses.ravel(), grid_shape=losses.shape)
        truth = TRUTH["two_neuron_network"]
        assert len(barcode.bars) == 1155
        np.testing.assert_allclose(barcode.essential, [truth["global"]], atol=2e-6)
        found, wanted = barcode.larger_than(100), np.array(sorted(truth["bars"]))
        np.testing.assert_allclose(found.bars, wanted[:, :2], atol=2e-6)
        assert np.abs(found.cluster_sizes - wanted[:, 2]).max() <= 1

    @pytest.mark.parametrize("seed", range(4))
    def test_equals_the_sweep_of_all_points(self, seed):
        rng = np.random.default_rng(seed)
        values = rng.integers(0, 12, (7, 9)).astype(float)  # with many ties
        ids = np.arange(63).reshape(7, 9)
        edges = [
            *zip(ids[1:].ravel(), ids[:-1].ravel(), strict=True),
            *zip(ids[:, 1:].ravel(), ids[:, :-1].ravel(), strict=True),
        ]
        bars, sizes, essential = swept(values.ravel(), edges)
        found = point_cloud_barcode(None, values.ravel(), grid_shape=(7, 9))
        wanted = sorted((*bar, size) for bar, size in zip(bars, sizes, strict=True) if bar[1] > bar[0])
        assert (
            sorted(
                (*bar, size)
                for bar, size in zip(found.bars.tolist(), found.cluster_sizes.tolist(), strict=True)
            )
            == wanted
        )
        assert found.essential.tolist() == essential

    def test_scattered_points(self):
        truth = TRUTH["functions"]["three_hump_camel"]
        points = np.random.default_rng(0).uniform(-2, 2, (40_000, 2))
        barcode = point_cloud_barcode(points, lambda p: FUNCTIONS["three_hump_camel"](*p.T))
        assert barcode.essential.size == 1
        found = barcode.larger_than(100)
        np.testing.assert_allclose(ordered(found.bars), ordered(truth["finite"]), atol=2e-2)

    def test_neighbours_join_either_way(self):
        barcode = point_cloud_barcode([0.0, 1.0, 1.1, 1.2], [0.0, 3.0, 1.0, 2.0], neighbours=1)
        assert barcode.essential.tolist() == [0]
        assert barcode.bars.tolist() == [[1, 3]]
        assert barcode.cluster_sizes.tolist() == [2]

    def test_edge_cases(self):
        assert point_cloud_barcode([[1.0, 2.0]], [5.0]).essential.tolist() == [5]
        assert point_cloud_barcode(None, np.ones(9), grid_shape=(3, 3)).bars.shape == (0, 2)
        assert point_cloud_barcode(np.empty((0, 2)), []).essential.size == 0

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (([[0.0]], [1.0, 2.0]), r"shape \(1,\)"),
            (([[np.nan]], [1.0]), "finite points"),
            (([[0.0]], [np.inf]), "finite values"),
            ((None, [1.0]), "neither"),
            ((None, abs), "points to call"),
        ],
    )
    def test_refused(self, arguments, words):
        with pytest.raises(UsageError, match=words):
            point_cloud_barcode(*arguments)

    def test_refused_grids(self):
        with pytest.raises(UsageError, match="both"):
            point_cloud_barcode([0.0, 1.0], [0.0, 1.0], neighbours=1, grid_shape=(2,))
        with pytest.raises(UsageError, match="grid of 2 points"):
            point_cloud_barcode([0.0, 1.0], [0.0, 1.0], grid_shape=(3,))
        with pytest.raises(UsageError, match="at least 1 neighbour"):
            point_cloud_barcode([0.0, 1.0], [0.0, 1.0], neighbours=0)


class TestToScore:
    def test_figures(self):
        score = to_score(merge_tree_barcode([0.5, 1.0, 1.0], [(0, 1, 1.5), (0, 2, 1.25)]), reference=2.5)
        assert (score.mean, score.longest, score.total) == (0.375, 0.5, 0.75)
        assert score.scale_free == pytest.approx(0.375 / 2)
        assert (score.n_minima, score.n_bars) == (3, 2)

    def test_nothing_to_learn(self):
        barcode = merge_tree_barcode([0.5, 1.0], [(0, 1, 1.5)])
        assert to_score(barcode, reference=0.5).scale_free is None
        assert to_score(barcode).scale_free is None

    def test_one_minimum(self):
        assert to_score(merge_tree_barcode([0.5], [])).mean is None
