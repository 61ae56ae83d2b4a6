"""The null model of neural persistence: a layer against the same weights in random places.

Shuffle the entries of a layer over its cells. The r-th largest of them lands on a random cell, whatever its
value; so which ranks the spanning tree is made of depends on the layer's shape alone. A *rank profile* is one
draw of these ranks. Profiles are drawn once for a shape, shared by all layers that have it, and read off each
layer's own sorted weights: the neural persistence of a shuffled layer, without shuffling it.

Neural persistence by itself mostly tells how spread out the weights are (Girrbach et al., *Addressing caveats
of neural persistence with deep graph persistence*, TMLR 2023). Its distance from the null model does not.

A bias row stays as it is, for a bias does not trade places with a weight. The tree of a graph with some edges
more is the tree of its tree and those edges; so of every draw the ends of its edges are kept too, and the
biases join in.
"""

from collections import Counter, OrderedDict
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from onnxtop.network import Blocks, Matrix, strips
from onnxtop.topology.graph import Floats, Indices
from onnxtop.topology.persistence import Convention, scaled
from onnxtop.topology.spanning import GrowingForest
from onnxtop.topology.strongest import StrongCells, strongest_weights

UNROLLED = "the null model is for flattened or channels graphs"
"""Why an unrolled convolution has none: each of its weights makes many edges."""

NO_SPREAD = "all arrangements of the weights have the same neural persistence"
"""Why there is no z: stars, weights of one magnitude, or so few that are not zero that no two meet."""

DRAWS = 100
FEWER_DRAWS = 20
"""Draws of a shape that is large by the two limits below."""
LARGE_CELLS = 20_000_000
LARGE_NEURONS = 1 << 16
MOST_NEURONS = 1 << 20
KEPT = 1 << 25
"""Ranks that are remembered for later layers, at 4 bytes each; one shape may have more."""
JOINED = 1 << 20
"""Neurons of draws that biases are joined to at a time."""
TOGETHER = 1 << 14
"""Neurons of small draws that share one forest, for speed."""
BAND = 0.9
"""Share of the draws that a null band holds at every bar."""
SAME = 1e-12
"""Relative spread up to which all arrangements have the same value."""

Shapes: TypeAlias = tuple[tuple[int, int, int], ...]
"""Shapes of blocks as (longer side, shorter side, how many), sorted: all that the law depends on."""


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

    @property
    def last(self) -> int:
        """The weakest rank that any draw uses."""
        return int(self.ranks.max(initial=0))


@dataclass(frozen=True, eq=False)
class StrongestWeights:
    """What the null model keeps of a layer until the scale is known.

    ``strengths`` are the largest ``|w|``, strongest first, in the layer's own precision. There are none where
    ``reason`` says why the layer has no null model. ``row`` is its bias row, if it has one.
    """

    shapes: Shapes = ()
    strengths: Matrix = field(default_factory=lambda: np.empty(0))
    row: "BiasRow | None" = None
    reason: str | None = None


class BiasRow(NamedTuple):
    """The magnitudes of the biases of a layer, and the vertex of a profile that each is joined to."""

    strengths: Floats
    outputs: Indices


@dataclass(frozen=True)
class NullFigures:
    """Normalized neural persistence of the layer in random arrangement, and how far the layer is from it.

    ``mean`` and ``std`` (with n - 1) are over so many ``draws``; ``excess`` is the layer's value less the
    mean, ``z`` that in standard deviations, ``excess_share`` as a share of the layer's value. ``band`` is the
    null band at the bars that were asked for: the least and the greatest length of each in the middle 90 % of
    the draws. What is not defined is None, and ``reason`` says why.
    """

    mean: float | None = None
    std: float | None = None
    z: float | None = None
    excess: float | None = None
    excess_share: float | None = None
    reason: str | None = None
    band: tuple[tuple[float, ...], tuple[float, ...]] | None = None


class NullModels:
    """The null models of one audit: draws profiles as shapes come up and shares them.

    The draws of a shape depend on the seed and that shape, never on what was measured before. Layers of one
    shape, transposed or not, share their draws: each z is right by itself, but their errors go together.

    Examples
    --------
    >>> from onnxtop.topology.neural_persistence import layer_persistence
    >>> models = NullModels()
    >>> matrix = np.random.default_rng(0).standard_normal((100, 50))
    >>> matrix[:10] *= 4
    >>> kept = models.read([matrix])  # while the weights are in memory
    >>> value = layer_persistence(matrix)
    >>> null = models.measure(kept, value.normalized, scale=value.scale)  # when the scale is known
    >>> null.z > 10
    True
    """

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[Shapes, bool], RankProfiles] = OrderedDict()

    def wanted(self, shapes: Shapes, bias: bool = False) -> int:
        """Return how many of the strongest weights of a layer of this shape the null model reads."""
        return 0 if _no_null(shapes, bias) else self._profiles(shapes, bias).last

    def read(
        self, blocks: Blocks, bias: Floats | None = None, cells: StrongCells | None = None
    ) -> StrongestWeights:
        """Return what is needed of a layer's weights: the strongest of them, some V log V.

        Parameters
        ----------
        blocks
            Matrices (n_in, n_out) that share no neuron, no side empty; entries trade places with those of all
            other blocks. Read in one pass, in place where contiguous.
        bias
            Shape (n_out of all blocks,): a row that is measured with the weights, and stays where it is.
        cells
            What a scan has listed of the weights; if that is enough, they are not read.
        """
        shapes = shapes_of(blocks)
        reason = _no_null(shapes, bias is not None)
        if reason is None:
            wanted = self.wanted(shapes, bias is not None)
            listed = None if cells is None else cells.strongest(wanted)
            strengths = strongest_weights(blocks, wanted) if listed is None else listed
            row = None if bias is None else BiasRow(np.abs(bias, dtype=np.float64), _outputs(blocks))
            if np.isfinite(strengths[0]) and (row is None or np.isfinite(row.strengths).all()):
                return StrongestWeights(shapes, strengths, row)
            reason = "a weight is NaN or infinite"
        return StrongestWeights(reason=reason)

    def measure(
        self,
        kept: StrongestWeights,
        normalized: float,
        *,
        scale: float,
        convention: Convention = "essential",
        p: float = 2.0,
        at: Indices | None = None,
    ) -> NullFigures:
        """Return the null model of a layer and its distance from it.

        Parameters
        ----------
        kept
            From `read`.
        normalized
            Normalized neural persistence of the layer, with the same scale, convention and p.
        scale
            What strengths are divided by; larger ones count as 1. 0.0 if all weights that set it are zero.
        at
            Ranks of bars, 1 for the longest, at which to give the null band.
        """
        if kept.reason is not None:
            return NullFigures(reason=kept.reason)
        if not (np.isfinite(normalized) and np.isfinite(scale)):
            return NullFigures(reason="the layer has no neural persistence")
        profiles = self._profiles(kept.shapes, kept.row is not None)
        forests = _forests(profiles, kept, scale)
        values = _normalized(forests, convention, p)
        mean, std, excess = float(values.mean()), float(values.std(ddof=1)), normalized - float(values.mean())
        z, reason = (None, NO_SPREAD) if std <= SAME * mean else (excess / std, None)
        share = excess / normalized if normalized > 0 else None
        band = None if at is None else _band(forests, at)
        return NullFigures(mean, std, z, excess, share, reason, band)

    def _profiles(self, shapes: Shapes, ends: bool) -> RankProfiles:
        key = shapes, ends
        if key not in self._known:
            self._known[key] = draw_profiles(shapes, ends=ends)
        self._known.move_to_end(key)
        while len(self._known) > 1 and sum(map(_size, self._known.values())) > KEPT:
            self._known.popitem(last=False)
        return self._known[key]


def _size(profiles: RankProfiles) -> int:
    return profiles.ranks.size + (0 if profiles.ends is None else profiles.ends.size)


def shapes_of(blocks: Blocks) -> Shapes:
    """Return the shapes of blocks: all that the law of their random arrangements depends on."""
    counts = Counter(_sides(block) for block in blocks)
    return tuple(sorted((*shape, count) for shape, count in counts.items()))


def _sides(block: Matrix) -> tuple[int, int]:
    return max(block.shape), min(block.shape)


def _outputs(blocks: Blocks) -> Indices:
    """Return the vertices of a profile that stand for the columns of the blocks, in the order of these."""
    order = sorted(range(len(blocks)), key=lambda b: _sides(blocks[b]))
    longer, shorter = np.array([_sides(blocks[b]) for b in order], np.intp).T
    starts = np.cumsum(shorter) - shorter, int(shorter.sum()) + np.cumsum(longer) - longer
    first = {b: starts[blocks[b].shape[1] > blocks[b].shape[0]][slot] for slot, b in enumerate(order)}
    return np.concatenate([first[b] + np.arange(block.shape[1]) for b, block in enumerate(blocks)])


def _no_null(shapes: Shapes, with_bias: bool) -> str | None:
    if not with_bias and all(short == 1 for _, short, _ in shapes):
        return NO_SPREAD
    if _Layout.of(shapes).n_vertices > MOST_NEURONS:
        return f"the null model is drawn for at most {MOST_NEURONS} neurons"
    return None


class _Forests(NamedTuple):
    """The spanning forests of all draws: lengths of bars, which of them each draw has, and what they join.

    Those of a draw stand strongest weight first, so shortest bar first; missing pairs are not among them.
    """

    lengths: Floats
    chosen: NDArray[np.integer[Any]]
    n_vertices: int
    n_components: int


def _forests(profiles: RankProfiles, kept: StrongestWeights, scale: float) -> _Forests:
    ranks: NDArray[np.integer[Any]] = profiles.ranks - 1
    if kept.row is None or profiles.ends is None:
        lengths = 1.0 - scaled(kept.strengths, scale)
        return _Forests(lengths, ranks, profiles.n_vertices, profiles.n_blocks)
    n_vertices = profiles.n_vertices + 1
    at_once = max(1, JOINED // n_vertices)
    strengths = np.concatenate([
        _with_row(kept.strengths[ranks[part]].astype(np.float64), profiles.ends[part], kept.row, n_vertices)
        for part in strips((len(ranks), 1), at_once)
    ])  # fmt: skip
    chosen = np.arange(strengths.size).reshape(strengths.shape)
    return _Forests(1.0 - scaled(strengths.ravel(), scale), chosen, n_vertices, 1)


def _with_row(strengths: Floats, ends: NDArray[np.int32], row: BiasRow, n_vertices: int) -> Floats:
    """Return the strengths of the trees of some draws that one vertex more is joined to by the biases."""
    draws = len(strengths)
    offsets = n_vertices * np.arange(draws)[:, None]
    star = np.broadcast_to(row.strengths, (draws, row.strengths.size))
    edges = np.concatenate([strengths, star], axis=1)
    tails = np.concatenate([ends[:, :, 0], np.full(star.shape, n_vertices - 1)], axis=1) + offsets
    heads = np.concatenate([ends[:, :, 1], np.broadcast_to(row.outputs, star.shape)], axis=1) + offsets
    order = np.argsort(-edges, axis=None, kind="stable")
    used = order[GrowingForest(draws * n_vertices).join(tails.ravel()[order], heads.ravel()[order])]
    by_draw = used[np.argsort(used // edges.shape[1], kind="stable")]
    return edges.ravel()[by_draw].reshape(draws, -1)


def _normalized(forests: _Forests, convention: Convention, p: float) -> Floats:
    """Return the normalized neural persistence of every draw, as `Diagram.norm` has it."""
    lengths, chosen = forests.lengths, forests.chosen
    whole_bars = forests.n_components - 1 + (convention == "essential")
    longest = 1.0 if whole_bars else float(lengths.max(initial=0.0))
    if longest == 0.0:
        return np.zeros(len(chosen))
    if p == np.inf:
        return np.full(len(chosen), 1.0) if whole_bars else lengths[chosen].max(axis=1)
    powers = (lengths / longest) ** p
    sums = powers[chosen].sum(axis=1) + whole_bars
    with np.errstate(over="ignore"):
        values: Floats = longest * (sums / (forests.n_vertices - 1)) ** (1 / p)
    return values


def _band(forests: _Forests, at: Indices) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the ends of the null band at the bars of these ranks, 1 for the longest.

    One more arrangement is as likely to be in any place among the n draws: between the k-th smallest and the
    k-th largest of them it is with probability 1 - 2 k / (n + 1).
    """
    draws = len(forests.chosen)
    outside = int((1 - BAND) / 2 * (draws + 1))
    places = forests.n_vertices - 1 - at
    present = places < forests.chosen.shape[1]
    lengths = np.ones((draws, at.size))
    lengths[:, present] = np.sort(forests.lengths[forests.chosen[:, places[present]]], axis=0)
    low, high = lengths[outside - 1], lengths[draws - outside]
    return tuple(low.tolist()), tuple(high.tolist())


# Rank profiles


def draw_profiles(
    shapes: Shapes, seed: int = 0, draws: int | None = None, *, ends: bool = False
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
    seed
        With the shapes, decides everything.
    draws
        100 by default, 20 above 20 million cells or 65,536 neurons.
    ends
        Whether to keep what each weight joins; the ranks are the same.

    Examples
    --------
    >>> profiles = draw_profiles(((30, 20, 1),), seed=0)
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
