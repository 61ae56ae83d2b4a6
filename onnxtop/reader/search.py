"""Who reaches whom: one breadth-first search, and what is known of all that a thing reaches."""

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

T = TypeVar("T", bound=Hashable)
R = TypeVar("R")


def reached(starts: Iterable[T], beyond: Callable[[T], Iterable[T]]) -> Iterator[T]:
    """Yield the starts and whatever lies beyond them, each once, the nearest first.

    >>> list(reached([6], lambda n: [n // 2] if n else []))
    [6, 3, 1, 0]
    """
    found = list(dict.fromkeys(starts))
    seen = set(found)
    for here in found:  # which grows meanwhile
        yield here
        for item in beyond(here):
            if item not in seen:
                seen.add(item)
                found.append(item)


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


def mutual(beyond: Mapping[T, Sequence[T]]) -> dict[T, int]:
    """Return for each thing the number of its group: of those that reach one another.

    Whatever is left when a thing is done last of all reaches it only from its own group (Sharir 1981).

    >>> mutual({"a": ["b"], "b": ["a", "c"], "c": []})
    {'a': 0, 'b': 0, 'c': 1}
    """
    before: dict[T, list[T]] = {item: [] for item in beyond}
    for item, others in beyond.items():
        for other in others:
            before[other].append(item)
    done = dict[T, None]()
    for item in beyond:
        folded(item, beyond.__getitem__, lambda here, rest: None, done)
    groups = dict[T, int]()
    count = 0
    for last in reversed(done):
        if last not in groups:
            members = list(reached([last], lambda here: [n for n in before[here] if n not in groups]))
            groups.update(dict.fromkeys(members, count))
            count += 1
    return groups
