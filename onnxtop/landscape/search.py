"""Which pairs of minima to look for a path between, and looking for it, within a budget.

Minima are numbered lowest first here, so that nothing depends on the order in which they came.
"""

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from threading import Event
from typing import Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from onnxtop.errors import UsageError
from onnxtop.landscape.paths import Meter, Path, PathOptions
from onnxtop.topology.barcode import merge_tree_barcode

__all__ = ["Budget", "Found", "Pairs", "Plan", "connect", "next_pairs"]

Pairs: TypeAlias = Literal["tree", "all", "direct"]
Pair: TypeAlias = tuple[int, int]
Floats: TypeAlias = NDArray[np.float64]

_AT_ONCE = 2
"""Pairs chosen together. It is not the number of workers, so that the result does not depend on these."""

_FLAT = 1e-6
"""A bar this short (relative to 1 + loss) has length 0 as far as float32 can tell."""

_SECONDS = {"s": 1.0, "sec": 1.0, "min": 60.0, "m": 60.0, "h": 3600.0}


@dataclass(frozen=True)
class Budget:
    """What all paths together may cost: gradients, or seconds."""

    gradients: float = math.inf
    seconds: float = math.inf

    @classmethod
    def read(cls, text: str | int | None) -> "Budget":
        """Read a number of gradients, or of seconds, minutes or hours.

        >>> Budget.read("20000").gradients, Budget.read("90s").seconds, Budget.read("5min").seconds
        (20000.0, 90.0, 300.0)
        """
        if text is None:
            return cls()
        words = str(text).strip().replace("_", "")
        number = words.rstrip("abcdefghijklmnopqrstuvwxyz")
        unit = words[len(number) :]
        try:
            amount = float(number)
        except ValueError:
            amount = math.nan
        if not 0 <= amount < math.inf or (unit and unit not in _SECONDS):
            raise UsageError(f"wanted a budget like 20000 (gradients), 90s, 5min or 2h, found {str(text)!r}")
        return cls(seconds=amount * _SECONDS[unit]) if unit else cls(gradients=amount)


@dataclass(frozen=True, eq=False)
class Found:
    """A path between two minima, first the lower one; its points are not kept."""

    first: int
    second: int
    finder: str
    height: float
    straight: float
    gradients: int
    evaluations: int
    positions: Floats
    losses: Floats


@dataclass(frozen=True)
class Plan:
    """How paths are looked for: options of one, order of all, budget, workers."""

    path: PathOptions = field(default_factory=PathOptions)
    pairs: Pairs = "tree"
    budget: Budget = field(default_factory=Budget)
    jobs: int = 1

    def __post_init__(self) -> None:
        """Refuse what cannot be done."""
        if self.pairs not in get_args(Pairs):
            raise UsageError(f"wanted pairs out of {', '.join(get_args(Pairs))}, found {self.pairs!r}")
        if self.jobs < 1:
            raise UsageError(f"wanted at least one job, found {self.jobs}")


Distance: TypeAlias = Callable[[int, int], float]
Search: TypeAlias = Callable[[int, int, PathOptions, Meter], Path]
"""Looks for a path from the minimum of the first number to that of the second."""


def connect(
    losses: Sequence[float],
    distance: Distance,
    search: Search,
    plan: Plan,
    *,
    known: Iterable[Found] = (),
    stop: Event | None = None,
    tell: Callable[[Found, int], None] = lambda found, expected: None,
) -> tuple[list[Found], list[str]]:
    """Look for paths until all that could lower a bar were tried or the budget ends.

    Straight lines from every minimum to the lowest come first: they cost no gradient, and give every bar an
    end. Then the pairs are tried in the order of `next_pairs`.

    Parameters
    ----------
    losses
        Of the minima, lowest first.
    distance
        How far two minima are apart (after alignment, if there is any).
    search
        Looks for one path. It is called from ``plan.jobs`` threads.
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
    deadline = time.monotonic() + plan.budget.seconds
    n = len(losses)
    options, notes = _affordable(plan, n)
    expected = _expected(plan, n)

    def look(pair: Pair, chosen: PathOptions) -> Found:
        meter = Meter(chosen.gradients, deadline, stop.is_set)
        path = search(*pair, chosen, meter)
        return Found(
            *pair, chosen.finder, path.height, path.straight, path.gradients, path.evaluations,
            path.positions, path.losses,
        )  # fmt: skip

    def add(work: Sequence[tuple[Pair, PathOptions]]) -> None:
        for item in _done(pool, work, look, stop):
            found.append(item)
            tell(item, expected)

    with ThreadPoolExecutor(plan.jobs) as pool:
        try:
            have = {(item.first, item.second) for item in found}
            lines = PathOptions("line")
            add([((0, other), lines) for other in range(1, n) if (0, other) not in have])
            while not stop.is_set() and options is not None and time.monotonic() < deadline:
                pairs = _affordable_pairs(next_pairs(losses, distance, found, plan), found, plan, options)
                if not pairs:
                    break
                add([(pair, options) for pair in pairs])
        except KeyboardInterrupt:
            stop.set()
    return found, notes


def _affordable_pairs(
    pairs: Sequence[Pair], found: Sequence[Found], plan: Plan, options: PathOptions
) -> list[Pair]:
    """Return the pairs to look at next, as far as the budget goes."""
    if plan.budget == Budget():
        tried = sum(item.finder == plan.path.finder for item in found)
        left = _most(plan, 1 + max((item.second for item in found), default=0)) - tried
        return list(pairs[: int(min(left, _AT_ONCE))])
    gradients = plan.budget.gradients - sum(item.gradients for item in found)
    numbered = enumerate(pairs[:_AT_ONCE], start=1)
    return [pair for number, pair in numbered if number * options.gradients <= gradients]


def _done(
    pool: ThreadPoolExecutor,
    work: Sequence[tuple[Pair, PathOptions]],
    look: Callable[[Pair, PathOptions], Found],
    stop: Event,
) -> Iterator[Found]:
    """Yield results in the order of the work; an interrupt stops the rest, and what they have is yielded."""
    futures: list[Future[Found]] = [pool.submit(look, *item) for item in work]
    for future in futures:
        while not future.done():
            try:
                wait([future], timeout=0.5)
            except KeyboardInterrupt:
                stop.set()
        yield future.result()


def next_pairs(losses: Sequence[float], distance: Distance, found: Sequence[Found], plan: Plan) -> list[Pair]:
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
        rest = [(i, j) for i in range(1, n) for j in range(i + 1, n) if (i, j) not in tried]
        return star + rest
    if star:
        return star
    rows = [(item.first, item.second, item.height) for item in found]
    barcode = merge_tree_barcode(losses, rows)
    chosen: dict[Pair, None] = {}
    for bar in np.argsort(-barcode.lengths, kind="stable"):
        if barcode.lengths[bar] <= _FLAT * (1 + abs(barcode.bars[bar, 0])):
            break
        cut = [rows[edge][:2] for edge in np.delete(barcode.edges, bar)]
        side = _component(n, cut, rows[barcode.edges[bar]][0])
        pairs = ((i, j) for i in range(n) for j in range(i + 1, n))
        across = [(i, j) for i, j in pairs if (i in side) != (j in side) and (i, j) not in tried]
        chosen.update(dict.fromkeys(sorted(across, key=lambda pair: distance(*pair))))
    return list(chosen)


def _component(n: int, edges: Iterable[Pair], vertex: int) -> set[int]:
    neighbours: dict[int, list[int]] = {i: [] for i in range(n)}
    for i, j in edges:
        neighbours[i].append(j)
        neighbours[j].append(i)
    seen, queue = {vertex}, [vertex]
    while queue:
        for other in neighbours[queue.pop()]:
            if other not in seen:
                seen.add(other)
                queue.append(other)
    return seen


def _most(plan: Plan, n: int) -> float:
    """Return how many paths are looked for without a budget: the tree gets twice its edges."""
    return 2 * (n - 1) if plan.pairs == "tree" else math.inf


def _expected(plan: Plan, n: int) -> int:
    paths = min(_most(plan, n), n * (n - 1) // 2)
    if plan.budget.gradients < math.inf:
        options, _ = _affordable(plan, n)
        afforded = plan.budget.gradients // max(options.gradients, 1) if options else 0
        paths = min(n * (n - 1) // 2, afforded)
    return n - 1 + int(paths)


def _affordable(plan: Plan, n: int) -> tuple[PathOptions | None, list[str]]:
    """Return the options of one path within the budget, None if not even one can be paid."""
    options = plan.path
    if options.finder == "line":
        return replace(options, gradients=0), []
    most = min(options.gradients, plan.budget.gradients)
    share = int(min(most, plan.budget.gradients // max(n - 1, 1)))
    least = 4 * (options.points - 2)
    if share >= least:
        return replace(options, gradients=share), []
    if most >= least:
        note = f"a budget of {plan.budget.gradients:.0f} gradients is too small for a path to each minimum"
        return replace(options, gradients=least), [note]
    note = f"{most:.0f} gradients are too few for one path ({least} at least): straight lines only"
    return None, [note]
