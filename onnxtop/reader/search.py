"""Who reaches whom: one breadth-first search, and what is known of all that a thing reaches."""

from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import TypeVar

T = TypeVar("T", bound=Hashable)


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


def gathered(
    start: T,
    beyond: Callable[[T], Iterable[T]],
    own: Callable[[T], frozenset[str]],
    known: dict[T, frozenset[str]],
) -> frozenset[str]:
    """Return what is said of a thing and of all that lies beyond it; ``known`` spares later walks.

    On a cycle, what is walked into twice says nothing the second time.

    >>> gathered(6, lambda n: [n // 2] if n else [], lambda n: frozenset({"odd"} if n % 2 else ()), {})
    frozenset({'odd'})
    """
    stack, entered = [start], set()
    while stack:
        here = stack[-1]
        if here in known:
            stack.pop()
        elif here not in entered:
            entered.add(here)
            stack += [item for item in beyond(here) if item not in known and item not in entered]
        else:
            known[here] = own(here).union(*(known.get(item, ()) for item in beyond(here)))
    return known[start]
