"""What an explanation holds."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Term:
    """A word that is printed; ``also`` are other names it goes by.

    ``how`` it is measured and its ``limits`` are empty where there is nothing to say. ``source`` is a page of
    the docs, a paper, or both.
    """

    name: str
    title: str
    what: str
    source: str
    how: str = ""
    limits: str = ""
    also: tuple[str, ...] = ()
