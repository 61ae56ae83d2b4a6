"""Which pairs of minima to look for a path between, and looking for it, within a budget.

Minima are numbered lowest first here, so that nothing depends on the order in which they came.
"""

import itertools
import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from threading import Event
from typing import Any, TypeAlias, TypeVar

import networkx
import numpy as np

from onnxtop.landscape.chain import Meter
from onnxtop.landscape.options import BarcodeOptions, Budget, PathOptions
from onnxtop.landscape.paths import LossPath
from onnxtop.topology.barcode import Barcode, direct_barcode, merge_tree_barcode

Pair: TypeAlias = tuple[int, int]

Result = TypeVar("Result")

_AT_ONCE = 2
"""Pairs chosen together. It is not the number of workers, so that the result does not depend on these."""

_FLAT = 1e-6
"""A bar this short (relative to 1 + loss) has length 0 as far as float32 can tell."""


@dataclass(frozen=True, eq=False)
class Found:
    """A path between two minima, first the lower one."""

    first: int
    second: int
    finder: str
    path: LossPath

    @property
    def row(self) -> tuple[int, int, float]:
        """The two minima and how high the pass between them is."""
        return self.first, self.second, self.path.height


Distance: TypeAlias = Callable[[int, int], float]
Search: TypeAlias = Callable[[int, int, PathOptions, Meter], LossPath]
"""Looks for a path from the minimum of the first number to that of the second."""

Refine: TypeAlias = Callable[[LossPath, Meter], LossPath]
"""Looks for the pass that the highest point of a path lies near."""

Tell: TypeAlias = Callable[[str, Found, int], None]
"""Called with what was done, the path it was done to, and how many such steps may still come."""


def join(
    losses: Sequence[float],
    distance: Distance,
    search: Search,
    refine: Refine,
    options: BarcodeOptions,
    *,
    found: list[Found],
    stop: Event | None = None,
    tell: Tell = lambda what, item, left: None,
) -> list[str]:
    """Look for paths, and refine those that end a bar; both within the budget.

    Parameters
    ----------
    losses, distance, search, stop
        As for `connect`.
    refine
        Looks for one pass. It is called from as many threads.
    found
        Paths of an earlier run; all others are added, and refined ones take the place of theirs.
    tell
        Called after each.

    Returns
    -------
    list
        Notes on what was left out.
    """
    stop = stop or Event()
    deadline = time.monotonic() + options.limit.seconds
    plan, each = options.shared(passes=len(losses) - 1)
    behind = len(losses) - 1 if each else 0

    def add(item: Found, expected: int) -> None:
        found.append(item)
        tell(item.finder, item, max(expected - len(found), 0) + behind)

    _, notes = connect(losses, distance, search, plan, known=list(found), stop=stop, tell=add)
    edges = barcode_of(losses, found, options.pairs).edges.tolist() if each else []
    work = [(number,) for number in sorted(edges) if found[number].path.saddle is None]

    def one(number: int) -> tuple[int, LossPath]:
        return number, refine(found[number].path, Meter(each, deadline, stop.is_set))

    with ThreadPoolExecutor(options.workers) as pool:
        for left, (number, path) in enumerate(_done(pool, work, one, stop), start=1 - len(work)):
            if stop.is_set():  # it may have been cut short
                break
            found[number] = replace(found[number], path=path)
            try:
                tell("refined", found[number], -left)
            except KeyboardInterrupt:
                stop.set()
    return notes


def barcode_of(losses: Sequence[float], found: Sequence[Found], pairs: str) -> Barcode:
    """Return the bars that paths make, by the merge tree or, for the pairs ``direct``, by direct paths."""
    make = direct_barcode if pairs == "direct" else merge_tree_barcode
    return make(losses, [item.row for item in found])


def connect(
    losses: Sequence[float],
    distance: Distance,
    search: Search,
    plan: BarcodeOptions,
    *,
    known: Iterable[Found] = (),
    stop: Event | None = None,
    tell: Callable[[Found, int], None] = lambda found, expected: None,
) -> tuple[list[Found], list[str]]:
    """Look for paths until all that could lower a bar were tried or the budget ends.

    Straight lines from every minimum to the lowest come first, and those between `twins`: they cost no
    gradient, give every bar an end, and one of length 0 to a minimum that is there twice. Then the pairs are
    tried in the order of `next_pairs`.

    Parameters
    ----------
    losses
        Of the minima, lowest first.
    distance
        How far two minima are apart (after alignment, if there is any).
    search
        Looks for one path. It is called from ``plan.workers`` threads.
    known
        Paths of an earlier run, which are not looked for again.
    stop
        When it is set, running searches end at their next step, and what they have is kept.
    tell
        Called with each path found, and how many there may be in all.

    Returns
    -------
    tuple
        All paths, the known ones first, and notes on what was left out.
    """
    found, stop = list(known), stop or Event()
    deadline = time.monotonic() + plan.limit.seconds
    n = len(losses)
    options, notes = _affordable(plan, n)
    straight = [*((0, other) for other in range(1, n)), *twins(losses, distance)]
    expected = _expected(plan, n) + len(straight) - (n - 1)

    def look(pair: Pair, chosen: PathOptions) -> Found:
        meter = Meter(chosen.gradients, deadline, stop.is_set)
        return Found(*pair, chosen.finder, search(*pair, chosen, meter))

    def add(work: Sequence[tuple[Pair, PathOptions]]) -> None:
        for item in _done(pool, work, look, stop):
            found.append(item)
            tell(item, expected)

    with ThreadPoolExecutor(plan.workers) as pool:
        try:
            have = {(item.first, item.second) for item in found}
            lines = PathOptions("line")
            add([(pair, lines) for pair in straight if pair not in have])
            while not stop.is_set() and options is not None and time.monotonic() < deadline:
                pairs = _affordable_pairs(next_pairs(losses, distance, found, plan), found, plan, options)
                if not pairs:
                    break
                add([(pair, options) for pair in pairs])
        except KeyboardInterrupt:
            stop.set()
    return found, notes


def _affordable_pairs(
    pairs: Sequence[Pair], found: Sequence[Found], plan: BarcodeOptions, options: PathOptions
) -> list[Pair]:
    """Return the pairs to look at next, as far as the budget goes."""
    if plan.limit == Budget():
        tried = sum(item.finder == plan.path.finder for item in found)
        left = _most(plan, 1 + max((item.second for item in found), default=0)) - tried
        return list(pairs[: int(min(left, _AT_ONCE))])
    gradients = plan.limit.gradients - sum(item.path.gradients for item in found)
    numbered = enumerate(pairs[:_AT_ONCE], start=1)
    return [pair for number, pair in numbered if number * options.gradients <= gradients]


def _done(
    pool: ThreadPoolExecutor,
    work: Sequence[tuple[Any, ...]],
    look: Callable[..., Result],
    stop: Event,
) -> Iterator[Result]:
    """Yield results in the order of the work; an interrupt stops the rest, and what they have is yielded."""
    futures: list[Future[Result]] = [pool.submit(look, *item) for item in work]
    for future in futures:
        while not future.done():
            try:
                wait([future], timeout=0.5)
            except KeyboardInterrupt:
                stop.set()
        yield future.result()


def twins(losses: Sequence[float], distance: Distance) -> list[Pair]:
    """Return for each minimum the nearest of those before it that have the same loss.

    The lowest minimum is left out: it is joined to all. Two that are one, or are so renumbered, are among
    these pairs, and a line between them rises nowhere.
    """
    pairs = []
    for number, loss in enumerate(losses):
        same = [other for other in range(1, number) if loss - losses[other] <= _FLAT * (1 + abs(loss))]
        if same:
            pairs.append((min(same, key=lambda other: distance(other, number)), number))
    return pairs


def next_pairs(
    losses: Sequence[float], distance: Distance, found: Sequence[Found], plan: BarcodeOptions
) -> list[Pair]:
    """Return untried pairs, the most promising first.

    ``all`` and ``direct``: every pair, those with the lowest minimum first. ``tree``: first the lowest
    minimum with every other, lowest first. Then, for the longest bar, the pairs that join what its path
    joins, nearest first; then for the next longest, and so on. A bar of length 0 cannot be bettered.
    """
    n = len(losses)
    finder = plan.path.finder
    tried = {(item.first, item.second) for item in found if item.finder == finder}
    star = [(0, other) for other in range(1, n) if (0, other) not in tried]
    if plan.pairs != "tree":
        return star + [pair for pair in itertools.combinations(range(1, n), 2) if pair not in tried]
    if star:
        return star
    rows = [item.row for item in found]
    barcode = merge_tree_barcode(losses, rows)
    chosen: dict[Pair, None] = {}
    for bar in np.argsort(-barcode.lengths, kind="stable"):
        if barcode.lengths[bar] <= _FLAT * (1 + abs(barcode.bars[bar, 0])):
            break
        kept = networkx.Graph([rows[edge][:2] for edge in np.delete(barcode.edges, bar)])
        kept.add_nodes_from(range(n))
        side = networkx.node_connected_component(kept, rows[barcode.edges[bar]][0])
        pairs = itertools.combinations(range(n), 2)
        across = [(i, j) for i, j in pairs if (i in side) != (j in side) and (i, j) not in tried]
        chosen.update(dict.fromkeys(sorted(across, key=lambda pair: distance(*pair))))
    return list(chosen)


def _most(plan: BarcodeOptions, n: int) -> float:
    """Return how many paths are looked for without a budget: the tree gets twice its edges."""
    return 2 * (n - 1) if plan.pairs == "tree" else math.inf


def _expected(plan: BarcodeOptions, n: int) -> int:
    paths = min(_most(plan, n), n * (n - 1) // 2)
    if plan.limit.gradients < math.inf:
        options, _ = _affordable(plan, n)
        afforded = plan.limit.gradients // max(options.gradients, 1) if options else 0
        paths = min(n * (n - 1) // 2, afforded)
    return n - 1 + int(paths)


def _affordable(plan: BarcodeOptions, n: int) -> tuple[PathOptions | None, list[str]]:
    """Return the options of one path within the budget, None if not even one can be paid."""
    options = plan.path
    if options.finder == "line":
        return replace(options, gradients=0), []
    most = min(options.gradients, plan.limit.gradients)
    share = int(min(most, plan.limit.gradients // max(n - 1, 1)))
    least = 4 * (options.points - 2)
    if share >= least:
        return replace(options, gradients=share), []
    if most >= least:
        note = f"{plan.limit.gradients:.0f} gradients for all paths are too few for one to each minimum"
        return replace(options, gradients=least), [note]
    note = f"{most:.0f} gradients are too few for one path ({least} at least): straight lines only"
    return None, [note]
