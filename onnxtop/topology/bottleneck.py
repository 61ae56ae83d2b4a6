r"""Bottleneck (widest) paths through a network, and the tree of what they join.

The width of a directed path is its smallest strength. For every vertex v, ``alpha(v)`` is the width of the
widest path from an input to v, ``beta(v)`` that from v to an output; strengths are at most 1, and so is the
width of a path without edges. With ``S_ij`` the width of the widest path from input i to output j,

    the spanning tree of S has the weights of the spanning tree of the network under
    w'(u, v) = min(w(u, v), alpha(u), beta(v)), less one of min(alpha(v), beta(v)) for every hidden v.

Why: S_ij >= x if a path of width x joins i and j. Every edge of it keeps w' >= x; and an edge with w' >= x
lies on such a path. So at every level x the two graphs have the same components of inputs and outputs, and a
hidden vertex is in one of them from its own level min(alpha, beta) on, or alone.

One step further, hidden vertices need not enter the tree. Let v's *root* be the output at the end of its
widest path. v and its root are in one component from v's level on, and no edge of v has w' above that level,
so v can be taken for its root. What remains is a tree of the outputs, with an edge (root(u), root(v)) of
strength w'(u, v) for every weight; and each input adds a bar at beta. By symmetry, roots may as well be
inputs, and outputs add bars at alpha: the smaller side is taken.

Only strong weights are listed (`onnxtop.topology.layer_scan`). Whatever a weight that is not listed could
change is below a known limit; where a result is not above it, the lines of the matrix that decide are read.
"""

import heapq
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from onnxtop.network import Matrix, id_type
from onnxtop.topology.graph import Floats, Ids, Indices, Leaving, distinct
from onnxtop.topology.layer_scan import Strength, strongest_in_lines
from onnxtop.topology.spanning import GrowingForest, strongest_first

_MANY = 8
"""So many times as many roots as links are not gone over for these; nor are rows and columns for edges."""


class Listed(NamedTuple):
    """The listed edges of a bundle: rows, columns and strengths, shapes (k,)."""

    rows: Ids
    cols: Ids
    strengths: Floats

    def take(self, chosen: Indices) -> "Listed":
        """Return some of them, in this order."""
        return Listed(self.rows[chosen], self.cols[chosen], self.strengths[chosen])


@dataclass(frozen=True, eq=False)
class Bundle:
    """The edges of one block, or of several small ones, of one layer.

    Attributes
    ----------
    tails, heads
        Vertex of every row and of every column; -1 for padding.
    listed
        Gives the listed edges: of a large network they take more memory together than what they are made of.
    layer
        Number of the layer.
    row_lines, col_lines
        Row of the layer's matrix that every row is, and column that every column is.
    limit
        No edge that is not listed is stronger; 0 if all are listed.
    read
        Gives the matrix, rows by columns; used only if ``limit`` is above 0.
    strength
        From its weights to strengths.
    reverse
        Whether this is a bundle seen from the outputs, with rows and columns exchanged.
    """

    tails: Indices
    heads: Indices
    listed: Callable[[], Listed]
    layer: int
    row_lines: Indices
    col_lines: Indices
    limit: float
    read: Callable[[], Matrix]
    strength: Strength
    reverse: bool = False

    @property
    def reversed(self) -> "Bundle":
        """The same edges, from heads to tails."""
        return replace(
            self,
            tails=self.heads,
            heads=self.tails,
            listed=lambda: _turned(self.listed()),
            row_lines=self.col_lines,
            col_lines=self.row_lines,
            reverse=not self.reverse,
        )

    def matrix(self) -> Matrix:
        """Read the matrix, tails by heads."""
        return self.read().T if self.reverse else self.read()

    def generators(self, rows: Ids, cols: Ids) -> Indices:
        """Return (layer, row, column) of weights."""
        lines = [self.row_lines[rows], self.col_lines[cols]]
        return np.column_stack([np.full(rows.size, self.layer), *(lines[::-1] if self.reverse else lines)])


def _turned(listed: Listed) -> Listed:
    return Listed(listed.cols, listed.rows, listed.strengths)


@dataclass(frozen=True, eq=False)
class Paths:
    """The widest path from a source to every vertex; the last entry stands for padding and is never reached.

    Attributes
    ----------
    widths
        Shape (n_vertices + 1,), in [0, 1]; 1 at the sources, 0 where no path leads.
    roots
        Which source the path starts from, as a position in the list of sources; -1 for none.
    generators
        (layer, row, column) of a weight as strong as the path is wide; -1 where no weight limits it.
    """

    widths: Floats
    roots: Ids
    generators: Ids

    @classmethod
    def of(cls, n_vertices: int) -> "Paths":
        """Return those of a network in which nothing is reached; no number in them is too large for int32."""
        count = n_vertices + 1
        return cls(np.zeros(count), np.full(count, -1, np.int32), np.full((count, 3), -1, np.int32))


class _Arrivals(NamedTuple):
    """For some columns of a bundle, the best way in: its width, its row and the strength of its edge."""

    cols: Indices
    rows: Indices
    widths: Floats
    strengths: Floats

    def take(self, chosen: Indices) -> "_Arrivals":
        """Return some of them, in this order."""
        cols, rows, widths, strengths = self
        return _Arrivals(cols[chosen], rows[chosen], widths[chosen], strengths[chosen])


def widest_paths(n_vertices: int, bundles: Sequence[Bundle], structural: Indices, sources: Indices) -> Paths:
    """Return the widest paths from any of the sources.

    Bundles are taken in the order given, again and again until nothing changes: once if the order follows the
    paths and there is no cycle.

    Parameters
    ----------
    structural
        Edges of strength 1, shape (k, 2), from and to.
    """
    paths = Paths.of(n_vertices)
    paths.widths[sources] = 1.0
    paths.roots[sources] = np.arange(sources.size)
    passing = _Structural(n_vertices, structural)
    waiting = _Waiting(n_vertices, bundles)
    waiting.add(passing.spread(paths, sources))
    leading = [_Leading(bundle) for bundle in bundles]
    for number, rows in waiting:
        reached = _advance(paths, bundles[number], leading[number].edges(rows))
        waiting.add(passing.spread(paths, reached))
    return paths


class _Waiting:
    """The bundles out of vertices that were reached since they were taken: by number, in turns.

    With each go the rows that these vertices are: a bundle of many small blocks that follow each other is
    taken as often as they are many.
    """

    def __init__(self, n_vertices: int, bundles: Sequence[Bundle]) -> None:
        sizes = [bundle.tails.size for bundle in bundles]
        self._first = np.concatenate([[0], np.cumsum(sizes, dtype=np.intp)])
        sides = [*(bundle.tails for bundle in bundles), np.empty(0, np.intp)]
        tails = np.concatenate(sides, dtype=id_type(n_vertices), casting="same_kind")
        places = np.arange(tails.size, dtype=id_type(tails.size))
        if tails.size and tails.min() < 0:
            tails, places = tails[tails >= 0], places[tails >= 0]
        self._leaving = Leaving(n_vertices, tails, places)
        self._rows: list[list[Indices]] = [[] for _ in bundles]
        self._turn = [-1] * len(bundles)
        self._heap: list[tuple[int, int]] = []
        self._at = (0, -1)

    def add(self, reached: Sequence[Indices]) -> None:
        """Have all bundles out of these vertices wait; those that were passed, for the next turn."""
        turn, at = self._at
        for number, rows in self._by_bundle(np.sort(self._leaving.of(np.concatenate(reached)))):
            self._rows[number].append(rows)
            place = (turn + (number <= at), number)
            if self._turn[number] < place[0]:
                self._turn[number] = place[0]
                heapq.heappush(self._heap, place)

    def _by_bundle(self, places: Indices) -> Iterator[tuple[int, Indices]]:
        """Return the bundles that ascending rows of all of them are in, each with its own rows."""
        numbers = distinct(np.searchsorted(self._first, places, side="right") - 1)
        ends = np.searchsorted(places, self._first[numbers + 1]).tolist()
        for number, start, end in zip(numbers.tolist(), [0, *ends], ends, strict=False):
            yield number, places[start:end] - self._first[number]

    def __iter__(self) -> Iterator[tuple[int, Indices]]:
        while self._heap:
            self._at = heapq.heappop(self._heap)
            number = self._at[1]
            rows, self._rows[number] = self._rows[number], []
            yield number, distinct(np.concatenate(rows))


class _Leading:
    """The listed edges of a bundle, by the rows that they lead from.

    They are put in order of the rows only where the bundle is taken again and again, each time for a few of
    its rows: once or twice, going over all of them is faster.
    """

    def __init__(self, bundle: Bundle) -> None:
        self._bundle, self._taken = bundle, 0
        self._by_row: Leaving | None = None

    def edges(self, rows: Indices) -> Listed:
        """Return the edges from some rows, which ascend, in the order in which they are listed."""
        listed, n_rows = self._bundle.listed(), self._bundle.tails.size
        self._taken += 1
        if self._taken == 1:
            return listed  # what no path has reached leads nowhere
        if self._taken <= _MANY or _MANY * rows.size > n_rows:
            asked = np.zeros(n_rows, bool)
            asked[rows] = True
            return listed.take(np.flatnonzero(asked[listed.rows]))
        if self._by_row is None:
            self._by_row = Leaving(n_rows, listed.rows, np.arange(listed.rows.size))
        return listed.take(np.sort(self._by_row.of(rows)))


def _advance(paths: Paths, bundle: Bundle, edges: Listed) -> Indices:
    """Follow edges of a bundle; return the vertices that are reached by wider paths than before."""
    widest = float(paths.widths[bundle.tails].max()) if bundle.limit else 0.0
    reached = _arrive(paths, bundle, _arrivals_listed(paths, bundle, edges))
    if not bundle.limit:
        return reached
    known = paths.widths[bundle.heads]
    undecided = np.flatnonzero((known < min(bundle.limit, widest)) & (bundle.heads >= 0))
    if not undecided.size:
        return reached
    floor = float(known[undecided].min())
    more = _arrive(paths, bundle, _arrivals_read(paths, bundle, undecided, floor))
    return distinct(np.concatenate([reached, more]))


def _arrivals_listed(paths: Paths, bundle: Bundle, edges: Listed) -> _Arrivals:
    """Return the best way into every column that listed edges lead to."""
    rows, cols, strengths = edges
    through = np.minimum(strengths, paths.widths[bundle.tails[rows]])
    columns, places = _columns(cols, bundle.heads.size)
    best = np.zeros(columns.size)
    np.maximum.at(best, places, through)
    winners = np.flatnonzero((through == best[places]) & (through > 0))
    edge = np.full(columns.size, -1)
    edge[places[winners]] = winners
    reached = np.flatnonzero(edge >= 0)
    ways = edge[reached]
    return _Arrivals(columns[reached], rows[ways].astype(np.intp), best[reached], strengths[ways])


def _columns(cols: Ids, n_cols: int) -> tuple[Indices, Ids]:
    """Return columns, ascending, among them all that edges lead to, and the place of each edge's."""
    if _MANY * cols.size > n_cols:
        return np.arange(n_cols), cols
    columns, places = np.unique(cols, return_inverse=True)
    return columns.astype(np.intp), places


def _arrivals_read(paths: Paths, bundle: Bundle, cols: Indices, floor: float) -> _Arrivals:
    """Return the best way into some columns by all edges, where it is wider than the floor."""
    matrix, widths = bundle.matrix(), paths.widths[bundle.tails]
    rows, best = strongest_in_lines(matrix.T, bundle.strength, cols, widths, floor=floor)
    return _Arrivals(cols, rows, best, bundle.strength(matrix[rows, cols]))


def _arrive(paths: Paths, bundle: Bundle, found: _Arrivals) -> Indices:
    """Extend paths to the columns whose vertices they reach wider than before; return those vertices."""
    heads = bundle.heads[found.cols]
    wider = np.flatnonzero((found.widths > paths.widths[heads]) & (heads >= 0))
    if not wider.size:
        return wider
    # A vertex may be several columns: of repeated indices, assignment keeps the last, the widest.
    wider = wider[np.argsort(found.widths[wider], kind="stable")]
    cols, rows, best, strengths = found.take(wider)
    tails, heads = bundle.tails[rows], heads[wider]
    by_edge = (strengths <= paths.widths[tails])[:, None]
    generators = np.where(by_edge, bundle.generators(rows, cols), paths.generators[tails])
    roots = paths.roots[tails]
    paths.widths[heads], paths.roots[heads], paths.generators[heads] = best, roots, generators
    return distinct(heads)


class _Structural:
    """Edges that let every width through, followed as far as they widen anything."""

    def __init__(self, n_vertices: int, edges: Indices) -> None:
        self._edges = Leaving(n_vertices, edges[:, 0], edges[:, 1])

    def spread(self, paths: Paths, vertices: Indices) -> list[Indices]:
        """Extend paths from these vertices on; return these, and all that are reached by wider ones."""
        reached = [vertices]
        while vertices.size:
            tails, heads = self._edges.pairs(vertices)
            if not tails.size:
                break
            widths = paths.widths[tails]
            wider = np.flatnonzero(widths > paths.widths[heads])
            if not wider.size:
                break
            wider = wider[np.argsort(widths[wider], kind="stable")]
            tails, heads = tails[wider], heads[wider]
            generators, roots = paths.generators[tails], paths.roots[tails]
            paths.widths[heads], paths.roots[heads], paths.generators[heads] = (
                widths[wider],
                roots,
                generators,
            )
            vertices = distinct(heads)
            reached.append(vertices)
        return reached


# The tree of the roots


class Links(NamedTuple):
    """Edges between roots: two positions each, strengths and generators; shapes (k,), (k,), (k,), (k, 3)."""

    a: Indices
    b: Indices
    strengths: Floats
    generators: Indices

    def take(self, chosen: Indices) -> "Links":
        """Return some of them, in this order."""
        return Links(self.a[chosen], self.b[chosen], self.strengths[chosen], self.generators[chosen])

    def sorted(self) -> "Links":
        """Return them strongest first."""
        return self.take(strongest_first(self.strengths))


_NO_LINKS = Links(np.empty(0, np.intp), np.empty(0, np.intp), np.empty(0), np.empty((0, 3), np.intp))


def _together(parts: Sequence[Links]) -> Links:
    return Links(*(np.concatenate(part) for part in zip(*parts, strict=True)))


def bottleneck_tree(
    bundles: Sequence[Bundle], structural: Indices, alpha: Paths, beta: Paths, *, to_outputs: bool
) -> Links:
    """Return the tree that joins the roots, strongest first; without edges of strength 0.

    Parameters
    ----------
    structural
        Edges of strength 1, shape (k, 2).
    alpha, beta
        Widest paths from the inputs, and to the outputs.
    to_outputs
        Whether roots are outputs, else inputs.
    """
    ends = _Ends(alpha, beta, beta.roots if to_outputs else alpha.roots)
    growing = _Gathered(_structural_links(structural, ends), ends.n_roots)
    for bundle in bundles:
        growing.add(_listed_links(bundle, ends, growing.floor))
    forest = growing.forest()
    # A weight that is not listed takes its place below this level, if anywhere.
    level = max((_open_level(bundle, ends) for bundle in bundles), default=0.0)
    if ends.n_roots < 2 or (forest.a.size == ends.n_roots - 1 and forest.strengths[-1] >= level):
        return forest
    return _Completion(forest, bundles, ends, level).tree()


class _Ends:
    """What is known of the vertices: how far in, how far out, which root."""

    def __init__(self, alpha: Paths, beta: Paths, roots: Indices) -> None:
        self.alpha, self.beta, self.roots = alpha, beta, roots
        self.n_roots = int(roots.max(initial=-1)) + 1

    def links(self, tails: Indices, heads: Indices, strengths: Floats, generators: Indices) -> Links:
        """Return edges as links between roots, of clipped strength, with the generator that limits each."""
        before, after = self.alpha.widths[tails], self.beta.widths[heads]
        others = np.where(
            (before <= after)[:, None], self.alpha.generators[tails], self.beta.generators[heads]
        )
        clipped = np.minimum(before, after)
        by_edge = ((strengths <= clipped) & (generators[:, 0] >= 0))[:, None]
        return Links(
            self.roots[tails],
            self.roots[heads],
            np.minimum(strengths, clipped),
            np.where(by_edge, generators, others),
        )


def _structural_links(structural: Indices, ends: _Ends) -> Links:
    tails, heads = structural.T
    links = ends.links(tails, heads, np.ones(tails.size), np.full((tails.size, 3), -1))
    return links.take(np.flatnonzero((links.strengths > 0) & (links.a != links.b)))


def _listed_links(bundle: Bundle, ends: _Ends, floor: float) -> Links:
    """Return the forest of the listed edges that are stronger than a floor, strongest first."""
    before, after = ends.alpha.widths[bundle.tails], ends.beta.widths[bundle.heads]
    listed = bundle.listed()
    clipped = np.minimum(listed.strengths, before[listed.rows])
    np.minimum(clipped, after[listed.cols], out=clipped)
    useful = np.flatnonzero(clipped > floor)
    a, b = ends.roots[bundle.tails], ends.roots[bundle.heads]
    rows, cols = listed.rows[useful], listed.cols[useful]
    useful = useful[a[rows] != b[cols]]
    if not useful.size:
        return _NO_LINKS
    # Most are of no use: only those that a forest of this bundle takes get generators.
    bare = Links(a[listed.rows[useful]], b[listed.cols[useful]], clipped[useful], useful[:, None])
    chosen = _forest(bare, ends.n_roots).generators[:, 0]
    rows, cols = listed.rows[chosen], listed.cols[chosen]
    return ends.links(
        bundle.tails[rows], bundle.heads[cols], listed.strengths[chosen], bundle.generators(rows, cols)
    )


class _Gathered:
    """A forest to which links are added: when there are as many as it has, so that it is made a few times."""

    def __init__(self, links: Links, n_roots: int) -> None:
        self._forest, self._n_roots = _forest(links, n_roots), n_roots
        self._more: list[Links] = []
        self._n_more = 0

    @property
    def floor(self) -> float:
        """No link up to this can be of any use."""
        is_tree = 0 < self._forest.a.size == self._n_roots - 1
        return float(self._forest.strengths[-1]) if is_tree else 0.0

    def add(self, links: Links) -> None:
        """Add links, strongest first."""
        if links.a.size:
            self._more.append(links)
            self._n_more += links.a.size
            if self._n_more >= self._forest.a.size:
                self.forest()

    def forest(self) -> Links:
        """Return the forest of all."""
        if self._more:
            self._forest = _forest(_together([self._forest, *self._more]), self._n_roots)
            self._more, self._n_more = [], 0
        return self._forest


def _forest(links: Links, n_roots: int) -> Links:
    """Return the maximum spanning forest of links, strongest first."""
    a, b, n_ends = _named_anew(links, n_roots)
    growing = GrowingForest(n_ends)
    forest = []
    for some in _strongest_apart(links.strengths, n_roots):
        some = some[growing.labels[a[some]] != growing.labels[b[some]]]
        some = some[strongest_first(links.strengths[some])]
        forest.append(some[growing.join(a[some], b[some])])
        if growing.n_components == 1:
            break
    return links.take(np.concatenate(forest))


def _named_anew(links: Links, n_roots: int) -> tuple[Indices, Indices, int]:
    """Return the ends of a few links among many roots with numbers of their own, and how many they are."""
    if _MANY * links.a.size > n_roots:
        return links.a, links.b, n_roots
    roots, numbers = np.unique(np.concatenate([links.a, links.b]), return_inverse=True)
    return numbers[: links.a.size], numbers[links.a.size :], roots.size


def _strongest_apart(strengths: Floats, n: int) -> list[Indices]:
    """Return all positions in two parts, the strongest first, if that spares much of the sorting."""
    if strengths.size < 2 * n:
        return [np.arange(strengths.size)]
    order = np.argpartition(-strengths, n)
    return [order[:n], order[n:]]


def _open_level(bundle: Bundle, ends: _Ends) -> float:
    """Return a bound on the clipped strength of the edges of a bundle that are not listed."""
    before, after = ends.alpha.widths[bundle.tails], ends.beta.widths[bundle.heads]
    return min(bundle.limit, float(before.max(initial=0.0)), float(after.max(initial=0.0)))


class _Completion:
    """Joins what is apart at the open level, where weights that are not listed come into play (Borůvka).

    Each component takes its strongest exit, which is a listed edge, so one of the forest of those; or, where
    one that is not listed could be stronger, is found by reading the lines that lead out of it.
    """

    def __init__(self, forest: Links, bundles: Sequence[Bundle], ends: _Ends, level: float) -> None:
        self._growing = GrowingForest(ends.n_roots)
        self._bundles, self._ends = bundles, ends
        certain = forest.strengths >= level
        self._tree = [forest.take(np.flatnonzero(certain))]
        self._growing.join(self._tree[0].a, self._tree[0].b)
        self._listed = forest.take(np.flatnonzero(~certain))

    def tree(self) -> Links:
        """Return the whole tree."""
        exhausted = np.zeros(self._ends.n_roots, bool)
        while self._growing.n_components > 1:
            labels = self._growing.labels
            growing = ~exhausted[np.unique(labels, return_index=True)[1]]
            growing[np.bincount(labels).argmax()] = False
            exits = self._strongest_exits(growing)
            if not exits.a.size:
                break
            stuck = growing.copy()
            stuck[labels[np.concatenate([exits.a, exits.b])]] = False
            exhausted |= stuck[labels]
            self._tree.append(exits.take(self._growing.join(exits.a, exits.b)))
        return _together(self._tree).sorted()

    def _strongest_exits(self, growing: NDArray[np.bool_]) -> Links:
        """Return the strongest exit of each growing component, strongest first."""
        labels = self._growing.labels
        self._listed = self._listed.take(np.flatnonzero(labels[self._listed.a] != labels[self._listed.b]))
        known = np.where(growing, 0.0, np.inf)
        for side in (self._listed.a, self._listed.b):
            np.maximum.at(known, labels[side], self._listed.strengths)
        read = [
            self._exits_read(view, known) for bundle in self._bundles for view in (bundle, bundle.reversed)
        ]
        exits = _together([self._listed, *read]).sorted()
        sides = np.concatenate([labels[exits.a], labels[exits.b]])
        components, first = np.unique(sides.reshape(2, -1).T, return_index=True)
        return exits.take(np.unique(first[growing[components]] // 2))

    def _exits_read(self, bundle: Bundle, known: Floats) -> Links:
        """Return the strongest exits by rows that could have stronger ones than are known."""
        ends, labels = self._ends, np.append(self._growing.labels, -1)  # root -1: the last label, of none
        before, after = (ends.beta, ends.alpha) if bundle.reverse else (ends.alpha, ends.beta)
        tails, heads = before.widths[bundle.tails], after.widths[bundle.heads]
        of_tails, of_heads = labels[ends.roots[bundle.tails]], labels[ends.roots[bundle.heads]]
        bound = np.minimum(tails, min(bundle.limit, float(heads.max(initial=0.0))))
        known_of_tails = np.append(known, np.inf)[of_tails]
        rows = np.flatnonzero(bound > known_of_tails)
        if not rows.size:
            return _NO_LINKS
        matrix = bundle.matrix()
        floor = float(known_of_tails[rows].min())
        cols, strengths = strongest_in_lines(
            matrix, bundle.strength, rows, heads, floor=floor, groups=(of_tails, of_heads)
        )
        there = np.flatnonzero(strengths > known_of_tails[rows])
        rows, cols = rows[there], cols[there]
        u, v = bundle.tails[rows], bundle.heads[cols]
        weights, generators = bundle.strength(matrix[rows, cols]), bundle.generators(rows, cols)
        return (
            ends.links(v, u, weights, generators) if bundle.reverse else ends.links(u, v, weights, generators)
        )
