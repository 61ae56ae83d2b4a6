"""Ranks of the weights of a spanning tree whose weights stand in random places, drawn.

The r-th largest entry of a shuffled layer lands on a random cell, whatever its value; so which ranks the tree
is made of depends on the layer's shape alone. A *rank profile* is one draw of these ranks. Read off the
sorted weights of a layer of that shape it gives the neural persistence of a shuffled layer, exactly.

A bias row stays as it is, for a bias does not trade places with a weight. The tree of a graph with some edges
more is the tree of its tree and those edges; so of every draw the ends of its edges are kept too, where they
are asked for, and the biases join in.
"""

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from onnxtop.topology.graph import Indices
from onnxtop.topology.null_law import Shapes
from onnxtop.topology.spanning import GrowingForest

DRAWS = 100
FEWER_DRAWS = 20
"""Draws of a shape that is large by the two limits below."""
LARGE_CELLS = 20_000_000
LARGE_NEURONS = 1 << 16
TOGETHER = 1 << 14
"""Neurons of small draws that share one forest, for speed."""
FEW = 256
"""Neurons of a shape up to which the process keeps what it drew, 0.3 MB at most."""
KEPT = 64
"""Such shapes that are kept."""


@dataclass(frozen=True, eq=False)
class RankProfiles:
    """Ranks of the weights that make the spanning forest of a layer of random arrangement.

    Attributes
    ----------
    ranks
        Shape (draws, n_vertices - n_blocks), ascending; rank 1 is the strongest weight.
    n_vertices, n_blocks
        Of the layer. Blocks share no vertex, so the forest has one tree a block.
    ends
        Shape (draws, n_vertices - n_blocks, 2), the vertices that each of the weights joins, where they were
        asked for: the shorter sides of all blocks before the longer ones.
    """

    ranks: NDArray[np.int32]
    n_vertices: int
    n_blocks: int
    ends: NDArray[np.int32] | None = None

    @cached_property
    def last(self) -> int:
        """The weakest rank that any draw uses."""
        return int(self.ranks.max(initial=0))

    @property
    def size(self) -> int:
        """How many numbers it holds."""
        return self.ranks.size + (0 if self.ends is None else self.ends.size)


def draw_profiles(
    shapes: Shapes, draws: int | None = None, *, seed: int = 0, ends: bool = False
) -> RankProfiles:
    """Draw the ranks that the spanning forests of random arrangements are made of.

    The edges of the complete graph enter in random order. As soon as most neurons are joined, most cells lie
    within a component and can join nothing more: these are not drawn, only how many of them there are between
    one cell and the next that can. No draw is thrown away, which would bend the law; a draw that has not
    joined everything goes on.

    Parameters
    ----------
    shapes
        (longer side, shorter side, how many) of the blocks, a shorter side of more than 1 among them.
    draws
        100 by default, 20 above 20 million cells or 65,536 neurons.
    seed
        With the shapes, decides everything; never another one but in tests.
    ends
        Whether to keep what each weight joins; the ranks are the same.

    Examples
    --------
    >>> profiles = draw_profiles(((30, 20, 1),))
    >>> profiles.ranks.shape, profiles.ranks[:, :2].tolist()[0]
    ((100, 49), [1, 2])
    """
    layout = _Layout.of(shapes)
    if draws is None:
        large = layout.n_cells > LARGE_CELLS or layout.n_vertices > LARGE_NEURONS
        draws = FEWER_DRAWS if large else DRAWS
    rng = np.random.default_rng([seed, *np.ravel(shapes).tolist()])
    at_once = max(1, TOGETHER // layout.n_vertices)
    parts = [_draw(layout, min(at_once, draws - done), rng, ends) for done in range(0, draws, at_once)]
    ranks, joined = zip(*parts, strict=True)
    kept = np.concatenate(joined) if ends else None
    return RankProfiles(np.concatenate(ranks), layout.n_vertices, layout.n_blocks, kept)


def profiles_of(shapes: Shapes, ends: bool, draws: int | None = None) -> RankProfiles:
    """Return what `draw_profiles` does; of few neurons drawn once a process, which may audit many models."""
    small = sum((longer + shorter) * many for longer, shorter, many in shapes) <= FEW
    return _known(shapes, ends, draws or DRAWS) if small else draw_profiles(shapes, draws, ends=ends)


@lru_cache(KEPT)
def _known(shapes: Shapes, ends: bool, draws: int) -> RankProfiles:
    profiles = draw_profiles(shapes, draws, ends=ends)
    for array in (profiles.ranks, profiles.ends):
        if array is not None:
            array.flags.writeable = False  # all audits share it
    return profiles


@dataclass(frozen=True, eq=False)
class _Layout:
    """Blocks along the diagonal of one matrix; rows are the shorter sides.

    ``widths`` and ``starts`` tell for every row how many columns its block has and which is the first.
    ``block_of`` is the block of every column.
    """

    widths: Indices
    starts: Indices
    block_of: Indices

    @classmethod
    def of(cls, shapes: Shapes) -> "_Layout":
        longer, shorter = (np.repeat([s[side] for s in shapes], [s[2] for s in shapes]) for side in (0, 1))
        starts = np.cumsum(longer) - longer
        return cls(
            np.repeat(longer, shorter), np.repeat(starts, shorter), np.repeat(np.arange(longer.size), longer)
        )

    @property
    def n_rows(self) -> int:
        return self.widths.size

    @property
    def n_cols(self) -> int:
        return self.block_of.size

    @property
    def n_vertices(self) -> int:
        return self.n_rows + self.n_cols

    @property
    def n_blocks(self) -> int:
        return int(self.block_of[-1]) + 1

    @property
    def n_cells(self) -> int:
        return int(self.widths.sum())


def _draw(
    layout: _Layout, draws: int, rng: Generator, ends: bool
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Draw some profiles together: copies of the layer side by side, whose edges do not meet.

    Return their ranks and, if asked for, the vertices of each copy that are joined.
    """
    growing = GrowingForest(draws * layout.n_vertices)
    placed = np.zeros(draws, np.intp)  # how many cells of each copy have been taken
    copies, ranks, joined = [], [], []
    while growing.n_components > draws * layout.n_blocks:
        free = _FreeCells.of(layout, growing.labels.reshape(draws, -1))
        takes = [
            _take(int(n_free), layout.n_cells - int(done), n_wanted, rng)
            for n_free, done, n_wanted in zip(free.counts, placed, _n_wanted(layout, growing), strict=True)
        ]
        copy = np.repeat(np.arange(draws), [take.cells.size for take in takes])
        rank = placed[copy] + np.concatenate([take.steps for take in takes])
        tails, heads = free.ends(copy, np.concatenate([take.cells for take in takes]))
        used = growing.join(tails, heads)
        if ends:
            joined.append(np.column_stack([tails[used], heads[used]]) % layout.n_vertices)
        copies.append(copy[used])
        ranks.append(rank[used])
        placed += [take.steps[-1] if take.steps.size else 0 for take in takes]
    order = np.lexsort((np.concatenate(ranks), np.concatenate(copies)))
    pairs = np.concatenate(joined)[order].astype(np.int32) if ends else np.empty(0, np.int32)
    shape = (draws, order.size // draws)
    return np.concatenate(ranks)[order].astype(np.int32).reshape(shape), pairs.reshape(*shape[:1], -1, 2)


def _n_wanted(layout: _Layout, growing: GrowingForest) -> list[int]:
    """Return how many cells each copy should take next: few enough that most of them join something."""
    labels = growing.labels.reshape(-1, layout.n_vertices)
    if growing.n_components == labels.size:
        return [layout.n_vertices] * len(labels)
    first = np.zeros(growing.n_components, np.intp)
    first[labels.ravel()] = np.repeat(np.arange(len(labels)), layout.n_vertices)
    apart = np.bincount(first, minlength=len(labels)) - layout.n_blocks
    return [2 * n + 64 if n else 0 for n in apart.tolist()]


class _Take(NamedTuple):
    """Free cells by number, in the order they are taken, and how many cells of any kind until each."""

    cells: Indices
    steps: Indices


def _take(n_free: int, n_left: int, n_wanted: int, rng: Generator) -> _Take:
    """Take cells in random order until some number of free ones is among them.

    Give every cell a uniform time. That of the q-th of n free ones is Beta(q, n + 1 - q), how many others
    come before it is binomial, and those and the first q - 1 free ones are in random order.
    """
    n_taken = min(n_wanted, n_free)
    if not n_taken:
        return _Take(np.empty(0, np.intp), np.empty(0, np.intp))
    cells = rng.choice(n_free, n_taken, replace=False)
    n_others = int(rng.binomial(n_left - n_free, rng.beta(n_taken, n_free + 1 - n_taken)))
    before = rng.choice(n_others + n_taken - 1, n_taken - 1, replace=False, shuffle=False)
    return _Take(cells, np.append(np.sort(before) + 1, n_others + n_taken))


@dataclass(frozen=True, eq=False)
class _FreeCells:
    """The cells of every copy that lead from one component to another, numbered row by row.

    Columns are sorted by block and component; so those of a row's block that are in other components are two
    runs, around its own.
    """

    counts: Indices
    ends_of_rows: Indices
    row_skips: tuple[Indices, Indices, Indices]
    columns: Indices
    layout: _Layout

    @classmethod
    def of(cls, layout: _Layout, labels: Indices) -> "_FreeCells":
        """Return them, given the component of every vertex, shape (copies, n_vertices)."""
        rows, cols = labels[:, : layout.n_rows].ravel(), labels[:, layout.n_rows :].ravel()
        copies, n_components = len(labels), int(labels.max()) + 1
        blocks = (np.arange(copies)[:, None] * layout.n_blocks + layout.block_of).ravel()
        # No two keys are equal, so the quickest sort gives the same order on every machine.
        columns = np.sort((blocks * n_components + cols) * cols.size + np.arange(cols.size)) % cols.size
        own = np.bincount(cols, minlength=n_components)
        first = np.zeros(n_components, np.intp)
        first[cols[columns[::-1]]] = np.arange(cols.size)[::-1]
        free = np.tile(layout.widths, copies) - own[rows]
        starts = (np.arange(copies)[:, None] * layout.n_cols + layout.starts).ravel()
        counts = free.reshape(copies, -1).sum(axis=1)
        return cls(counts, np.cumsum(free), (starts, first[rows], own[rows]), columns, layout)

    def ends(self, copy: Indices, cells: Indices) -> tuple[Indices, Indices]:
        """Return the vertices that cells of copies join."""
        cells = cells + (np.cumsum(self.counts) - self.counts)[copy]
        row = np.searchsorted(self.ends_of_rows, cells, side="right")
        starts, first, own = (values[row] for values in self.row_skips)
        widths = self.layout.widths[row % self.layout.n_rows]
        slot = starts + cells - self.ends_of_rows[row] + widths - own
        slot += own * (slot >= first)
        offset = copy * self.layout.n_vertices
        rows, cols = row - copy * self.layout.n_rows, self.columns[slot] - copy * self.layout.n_cols
        return offset + rows, offset + self.layout.n_rows + cols
