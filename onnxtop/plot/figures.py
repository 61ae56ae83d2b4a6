"""Figures that look and are written the same everywhere: the one door of matplotlib."""

import functools
import io
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from onnxtop.errors import MissingLibraryError, UsageError
from onnxtop.render import PICTURES
from onnxtop.render.svg import BACK, FAINT, INK, clipped
from onnxtop.results.report import LayerReport, Report

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

T = TypeVar("T")

_LOOK: dict[str, Any] = {
    "axes.axisbelow": True,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 9,
    "figure.constrained_layout.use": True,
    "figure.facecolor": BACK,
    "font.size": 8,
    "legend.frameon": False,
    "pdf.fonttype": 42,
    "svg.fonttype": "none",
    "svg.hashsalt": "onnxtop",
    "text.color": INK,
    "text.parse_math": False,
    "xtick.color": FAINT,
    "xtick.labelcolor": INK,
    "ytick.color": FAINT,
    "ytick.labelcolor": INK,
}
"""Names of layers are no formulas, and words of a picture can be searched for."""

_METADATA: dict[str, dict[str, Any]] = {
    "svg": {"Date": None, "Creator": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    "png": {"Software": None},
}
"""What would tell when and by what a file was made."""

_DOTS, _PIXELS = 150, 4e7
"""Dots an inch of a picture in pixels, and how many pixels it has at most."""

LONGEST = 48
"""Characters of a name; its end tells more than its beginning."""


def matplotlib() -> Any:
    """Return the library.

    Raises
    ------
    UsageError
        It is not installed.
    """
    try:
        import matplotlib
    except ImportError:
        raise MissingLibraryError.of("matplotlib for drawing", "'onnxtop[plot]'") from None
    return matplotlib


@contextmanager
def look() -> Iterator[None]:
    """Draw in the one look, whatever is configured."""
    library = matplotlib()
    with library.rc_context():
        library.rcdefaults()
        library.rcParams.update(_LOOK)
        yield


def new(width: float, height: float) -> "Figure":
    """Return an empty figure, sizes in inches; a notebook shows it without pyplot."""
    figure: Figure = _kind()(figsize=(width, height))
    return figure


@functools.cache
def _kind() -> Any:
    matplotlib()
    from matplotlib.figure import Figure

    class ShownFigure(Figure):
        """A figure that a notebook shows."""

        def _repr_svg_(self) -> str:
            return written(self, "svg").decode()

    return ShownFigure


def short(name: str, longest: int = LONGEST) -> str:
    """Return a name as it stands in a picture, in so many characters at most."""
    return clipped(name, longest, 2 * longest // 3)


def written(figure: "Figure", format_name: str) -> bytes:
    """Return a figure as a file: the same bytes whenever it is drawn, and however often."""
    for axes in figure.axes:
        if place := axes.get_subplotspec():
            axes.set_subplotspec(place)  # else the layout goes on from where the last drawing left it
    width, height = figure.get_size_inches()
    dots = min(_DOTS, (_PIXELS / float(width * height)) ** 0.5)
    stream = io.BytesIO()
    with look(), warnings.catch_warnings():
        # signs that the font lacks are boxes; in an SVG the reader's own fonts have them
        warnings.filterwarnings("ignore", "Glyph .* missing|.* does not support .* natively", UserWarning)
        figure.savefig(stream, format=format_name, metadata=_METADATA[format_name], dpi=dots)
    return stream.getvalue()


def save(figure: "Figure", path: str | os.PathLike[str]) -> None:
    """Write a figure to a file, by its suffix ``.svg``, ``.png`` or ``.pdf``.

    Raises
    ------
    UsageError
        It has another suffix.
    """
    suffix = Path(path).suffix.lower().removeprefix(".")
    if suffix not in PICTURES:
        raise UsageError(f"wanted a file that ends in .{', .'.join(PICTURES)}, found {os.fspath(path)!r}")
    Path(path).write_bytes(written(figure, suffix))


def layers_of(report: Report) -> Sequence[LayerReport]:
    """Return the layers of a report.

    Raises
    ------
    UsageError
        There are none.
    """
    if not report.layers:
        raise UsageError("wanted a report with layers, found none: there is nothing to draw")
    return report.layers


def detailed(details: T | None) -> T:
    """Return what there is only in reports with details.

    Raises
    ------
    UsageError
        There is none.
    """
    if details is None:
        raise UsageError(
            "wanted a report with details, found one without: audit with AuditOptions(details=True)"
        )
    return details


def figure_of(axes: "Axes") -> "Figure":
    """Return the whole that axes are part of."""
    figure: Figure = axes.figure.figure
    return figure
