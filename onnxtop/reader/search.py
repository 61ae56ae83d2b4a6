"""Who reaches whom: one breadth-first search, and what is known of all that a thing reaches."""

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from typing import TypeVar

T = TypeVar("T", bound=Hashable)
R = TypeVar("R")


def reached(starts: Iterable[T], beyond: Callable[[T], Iterable[T]]) -> Iterator[T]:
    """Yield the starts and whatever lies beyond them, each once, the nearest first.

    >>> list(reached([6], lambda n: [n // 2] if n else []))
    [6, 3, 1, 0]
    """
    seen = dict.fromkeys(starts)
    front = list(seen)
    while front:
        yield from front
        front = [
            item for item in dict.fromkeys(n for here in front for n in beyond(here)) if item not in seen
        ]
        seen.update(dict.fromkeys(front))


def folded(
    start: T, beyond: Callable[[T], Sequence[T]], make: Callable[[T, list[R]], R], known: dict[T, R]
) -> R:
    """Return what a thing comes to, made of what all comes to that lies beyond it; each is made once.

    ``known`` spares later walks. On a cycle, what is walked into twice says nothing the second time.

    >>> folded(6, lambda n: [n // 2] if n else [], lambda n, rest: n + sum(rest), {})
    10
    """
    stack, entered = [start], dict[T, Sequence[T]]()
    while stack:
        here = stack[-1]
        if here in known:
            stack.pop()
        elif here not in entered:
            entered[here] = beyond(here)
            stack += [item for item in entered[here] if item not in known and item not in entered]
        else:
            known[here] = make(here, [known[item] for item in entered[here] if item in known])
    return known[start]


def gathered(
    start: T,
    beyond: Callable[[T], Sequence[T]],
    own: Callable[[T], frozenset[str]],
    known: dict[T, frozenset[str]],
) -> frozenset[str]:
    """Return what is said of a thing and of all that lies beyond it; see `folded`.

    >>> gathered(6, lambda n: [n // 2] if n else [], lambda n: frozenset({"odd"} if n % 2 else ()), {})
    frozenset({'odd'})
    """
    return folded(start, beyond, lambda here, rest: own(here).union(*rest), known)
