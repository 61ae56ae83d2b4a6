"""How results show themselves: a line in a console, a page drawn by rich, HTML in a notebook, a data frame.

A result is data and draws nothing. What does (`onnxtop.render.shown`) is fetched when one is to be shown, by
the way that the package itself leaves in `painter`.
"""

from collections.abc import Callable
from typing import Any

painter: Callable[[], Any] | None = None
"""Returns the module that draws; set where the package is imported."""


def _painter() -> Any:
    assert painter is not None  # nothing of the package can be imported before the package
    return painter()


class Shown:
    """What inherits this shows itself, shortly where nothing else is asked for."""

    def __str__(self) -> str:
        """Say in a line what it is."""
        return str(_painter().line(self))

    def __repr__(self) -> str:
        """Say in a line what it is, and of which kind."""
        return f"<{type(self).__name__}: {self}>"

    def __rich__(self) -> Any:
        """Return what rich draws: the page of the command line."""
        return _painter().page(self)

    def _repr_html_(self) -> str:
        """Return what a notebook shows."""
        return str(_painter().html(self))


class Tabular(Shown):
    """What inherits this has rows as well."""

    def to_frame(self) -> Any:
        """Return the rows as a data frame of pandas: a layer, checkpoint or minimum each.

        Columns are those of the CSV where there is one, else the keys of the JSON.

        Raises
        ------
        MissingLibraryError
            pandas is not installed.
        """
        return _painter().frame(self)
