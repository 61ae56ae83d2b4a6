"""What a kind of result looks like where nobody asked for a format; see `onnxtop.render.shown`."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from onnxtop.render import RenderOptions, render
from onnxtop.render.html.parts import Fact, FindingGroup, Picture, Sheet
from onnxtop.results.headline import Headline
from onnxtop.results.plain import plain


@dataclass(frozen=True)
class Card:
    """What a notebook shows of a result, from top to bottom."""

    title: str
    headline: Headline | None = None
    tiles: Sequence[Fact] = ()
    facts: Sequence[Fact] = ()
    sentences: Sequence[str] = ()
    findings: Sequence[FindingGroup] = ()
    pictures: Sequence[Picture] = ()
    table: Sheet | None = None
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class Look:
    """How results of one kind are shown.

    In a ``line``; as the ``card`` of a notebook; as the ``page`` that rich draws, or the line without one; as
    ``rows`` of a data frame, with ``columns`` if these do not depend on the rows.
    """

    line: Callable[[Any], str]
    card: Callable[[Any], Card]
    page: Callable[[Any, RenderOptions], str] | None = None
    rows: Callable[[Any], Iterable[Mapping[str, Any]]] | None = None
    columns: Sequence[str] | None = None


def judged(
    room: str,
    title: Callable[[Any], str],
    verdict: Callable[[Any], Headline],
    card: Callable[[Any], Mapping[str, Any]],
    rows: Callable[[Any], Iterable[Mapping[str, Any]]],
) -> Look:
    """Return the look of a result with a page of its own: its title, its verdict, and what is beneath."""
    return Look(
        lambda result: f"{title(result)}: {verdict(result).words}",
        lambda result: Card(title(result), verdict(result), **card(result)),
        lambda result, look: render(room, "terminal", result, look),
        rows,
    )


def plain_rows(items: Iterable[Any]) -> Iterator[dict[str, Any]]:
    """Yield dataclasses as rows: plain values by the keys that they have in the JSON."""
    return (_flat(plain(item)) for item in items)


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Spread what is nested, under names with an underscore between.

    >>> _flat({"name": "fc", "weights": {"cosine": 1.0}})
    {'name': 'fc', 'weights_cosine': 1.0}
    """
    found: dict[str, Any] = {}
    for name, value in values.items():
        nested = isinstance(value, Mapping)
        found |= _flat(value, f"{prefix}{name}_") if nested else {f"{prefix}{name}": value}
    return found
