"""Who reaches whom: one breadth-first search."""

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
