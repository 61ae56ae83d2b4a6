"""A loss landscape as a page: what stands between minima, their bars, the paths, every minimum and pass."""

from collections.abc import Iterator

from markupsafe import Markup

from onnxtop.render import RenderOptions
from onnxtop.render.html.charts import spark
from onnxtop.render.html.page import page
from onnxtop.render.html.parts import Cell, Fact, Heading, SheetRow, full_sheet
from onnxtop.render.landscape import svg
from onnxtop.render.landscape.facts import (
    BOUNDS,
    above,
    at_top,
    bounded,
    described,
    endless,
    length,
    short_names,
    small,
    verdict,
)
from onnxtop.results.landscape import LossLandscape, Minimum, Pass
from onnxtop.results.words import counted

_MINIMA = (
    Heading("minimum", "minimum"),
    Heading("birth", "birth", numeric=True),
    Heading("death <=", "death <=", numeric=True),
    Heading("length", "length <=", numeric=True),
    Heading("gain", "gain", numeric=True),
    Heading("lost to", "death <="),
    Heading("given", "given", numeric=True),
    Heading("moved", "given", numeric=True),
    Heading("accuracy", "accuracy", numeric=True),
    Heading("test", "split", numeric=True),
    Heading("|grad|", "|grad|", numeric=True),
    Heading("curves", "curves", numeric=True),
    Heading("no minimum", "minimum", choose=True),
)
_PASSES = (
    Heading("path", "pass"),
    Heading("ends a bar", "pass", choose=True),
    Heading("height <=", "pass", numeric=True),
    Heading("straight", "pass", numeric=True),
    Heading("loss", "loss"),
    Heading("gradients", "incomplete", numeric=True),
    Heading("finder", "finder", choose=True),
    Heading("top", "saddle"),
)


def render(landscape: LossLandscape, options: RenderOptions) -> str:
    """Render one landscape as a page of its own."""
    names = [minimum.name for minimum in landscape.minima]
    shown = names[0] if len(names) == 1 else f"{names[0]} … {names[-1]}"
    return page(shown, verdict(landscape), "landscape.html", **values(landscape))


def values(landscape: LossLandscape) -> dict[str, object]:
    """Return what the template of a landscape is given."""
    short = short_names([minimum.name for minimum in landscape.minima])
    minima = [_minimum(minimum, short) for minimum in landscape.minima]
    passes = [_pass(item, short) for item in sorted(landscape.passes, key=lambda item: not item.in_tree)]
    return {
        "endless": endless(landscape),
        "figures": list(_figures(landscape)),
        "barcode": Markup(svg.barcode(landscape)),  # noqa: S704 (every word of it is escaped)
        "profiles": Markup(svg.profiles(landscape)),  # noqa: S704 (so is this)
        "minima": full_sheet(f"{len(minima):,} minima", _MINIMA, minima),
        "passes": full_sheet(counted(len(passes), "path"), _PASSES, passes),
        "settings": list(_settings(landscape)),
    }


def _figures(landscape: LossLandscape) -> Iterator[Fact]:
    score, minima = landscape.score, landscape.minima
    certified = sum(minimum.reason is None for minimum in minima)
    known = {"mean": "TO-score", "longest": "longest", "total": "sum", "scale_free": "scale-free"}
    if landscape.pairs != "direct":
        known["direct_mean"] = "by direct pairs"
    for name, words in known.items():
        if getattr(score, name) is not None:
            value = bounded(getattr(score, name), getattr(score, f"{name}_most"), score.bound)
            term = "to-score" if name == "mean" else "longest"
            yield Fact(words, value, term, BOUNDS[score.bound] if name == "mean" else "")
    yield Fact("minima", f"{len(minima):,}", "minimum", f"{certified:,} certified")


def _minimum(minimum: Minimum, short: dict[str, str]) -> SheetRow:
    partner = minimum.partner or ""
    return SheetRow(
        [
            Cell(short[minimum.name], is_name=True),
            Cell(small(minimum.loss), minimum.loss),
            Cell(small(minimum.death, "never" if minimum.length is None else ""), minimum.death),
            Cell(length(minimum), minimum.length),
            _tiny(minimum.gain),
            Cell(short.get(partner, partner), is_name=bool(partner)),
            Cell(above(minimum), minimum.given_loss - minimum.loss),
            _tiny(minimum.moved or None),
            _share(minimum.accuracy),
            _share(minimum.test_accuracy),
            _tiny(minimum.gradient_norm),
            _tiny(minimum.curvature),
            Cell(minimum.reason or ""),
        ]
    )


def _tiny(value: float | None) -> Cell:
    return Cell("" if value is None else f"{value:.1e}", value)


def _share(value: float | None) -> Cell:
    return Cell("" if value is None else f"{100 * value:.1f} %", value)


def _pass(item: Pass, short: dict[str, str]) -> SheetRow:
    return SheetRow(
        [
            Cell(f"{short[item.first]} → {short[item.second]}", is_name=True),
            Cell("yes" if item.in_tree else "no"),
            Cell(small(item.height, "no pass"), item.height),
            Cell(small(item.straight, "no pass"), item.straight),
            Cell("", picture=spark(item.losses)),
            Cell(f"{item.gradients:,}", item.gradients),
            Cell(item.finder),
            Cell(at_top(item)),
        ]
    )


def _settings(landscape: LossLandscape) -> Iterator[Fact]:
    yield Fact("settings", described(landscape), "settings")
    spent = counted(landscape.gradients, "gradient"), counted(landscape.evaluations, "evaluation")
    yield Fact("spent on", spent, "incomplete")
    if landscape.notes:
        yield Fact("notes", landscape.notes, "note")
