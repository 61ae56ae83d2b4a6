"""What probes of models found as a page: loss and scores, the loss around the weights, layers and classes."""

from collections.abc import Iterator, Sequence

from markupsafe import Markup

from onnxtop.loss.scores import ClassScore
from onnxtop.loss.summary import LayerGradient, LossProbeResult
from onnxtop.render import RenderOptions
from onnxtop.render.html.charts import bar, lines
from onnxtop.render.html.page import page
from onnxtop.render.html.parts import Cell, Fact, Heading, Picture, SheetRow, full_sheet
from onnxtop.render.probe import Probed, svg
from onnxtop.render.probe.facts import (
    at_rest,
    cut_short,
    described,
    number,
    profile_name,
    remarks,
    samples,
    span,
    splits,
    verdict,
    verdict_of_all,
)
from onnxtop.results.outcome import FailedModel
from onnxtop.results.words import counted

_MODELS = (
    Heading("model"),
    Heading("loss", "loss", numeric=True),
    Heading("accuracy", "accuracy", numeric=True),
    Heading("gradient norm", "gradient norm", numeric=True),
    Heading("notes"),
)
_LAYERS = (
    Heading("layer", "layer"),
    Heading("parameters", numeric=True),
    Heading("gradient", "gradient norm", numeric=True),
    Heading("share of its square", "share of its square", numeric=True),
)
_CLASSES = (
    Heading("class", "recall"),
    Heading("samples", numeric=True),
    Heading("recall", "recall", numeric=True),
    Heading("precision", "recall", numeric=True),
)


def render(results: Sequence[Probed | FailedModel], options: RenderOptions) -> str:
    """Render all models as one page, one of them or many."""
    title = results[0].path if len(results) == 1 else counted(len(results), "model")
    return page(title, verdict_of_all(results), "probe.html", **values(results))


def values(results: Sequence[Probed | FailedModel]) -> dict[str, object]:
    """Return what the template of probes is given."""
    probed = [(f"model-{place}", each) for place, each in enumerate(results) if isinstance(each, Probed)]
    places = {each.path: f"#{key}" for key, each in probed}
    rows = [_row(each, places.get(each.path, "")) for each in results]
    return {
        "models": full_sheet(counted(len(results), "model"), _MODELS, rows),
        "probes": [{"key": key, "path": each.path, **_probe(each)} for key, each in probed],
    }


def _row(found: Probed | FailedModel, link: str) -> SheetRow:
    if isinstance(found, FailedModel):
        told = Cell(f"not probed: {found.message}")
        return SheetRow([Cell(found.path, is_name=True), Cell(""), Cell(""), Cell(""), told])
    result = found.result
    return SheetRow(
        [
            Cell(found.path, link=link, is_name=True),
            Cell(number(result.loss), result.loss),
            _share(result.accuracy),
            Cell("" if result.gradient_norm is None else number(result.gradient_norm), result.gradient_norm),
            Cell("; ".join(result.failed)),
        ]
    )


def _probe(found: Probed) -> dict[str, object]:
    result, surface = found.result, found.result.surface
    layers, classes = [_layer(each) for each in result.layers], [_class(each) for each in result.classes]
    drawn = None if surface is None else Markup(svg.plane(surface, result.loss_name))  # noqa: S704 (escaped)
    return {
        "verdict": verdict(found),
        "figures": list(_figures(result)),
        "failed": result.failed,
        "sentences": [
            *splits(result),
            *remarks(result),
            *([cut_short(result)] if result.stopped else []),
        ],
        "profiles": [_profiles(result)] if result.profiles else [],
        "surface": drawn,
        "about_surface": "" if surface is None else svg.about(surface, result.loss_name),
        "layers": full_sheet(counted(len(layers), "layer"), _LAYERS, layers),
        "classes": full_sheet(f"{len(classes):,} classes", _CLASSES, classes),
        "settings": [
            Fact("settings", list(described(result)), "settings"),
            Fact("sha256", found.sha256, "model", is_name=True),
        ],
    }


def _figures(result: LossProbeResult) -> Iterator[Fact]:
    yield Fact("loss", number(result.loss), "loss", samples(result))
    known = (("accuracy", result.accuracy, "accuracy"), ("top-5", result.top5, "accuracy"))
    yield from (Fact(label, f"{value:.4f}", term) for label, value, term in known if value is not None)
    if result.rmse is not None:
        yield Fact("root mean squared error", number(result.rmse), "rmse")
    if result.gradient_norm is not None:
        yield Fact("gradient norm", number(result.gradient_norm), "gradient norm")
    if result.sharpness is not None:
        least = "" if result.sharpness.converged else "at least"
        yield Fact("sharpness", number(result.sharpness.largest_eigenvalue), "sharpness", least)
    if result.descent is not None:
        rest = at_rest(result.descent)
        yield Fact("a short descent gains", number(result.descent.gain), "short descent", rest)


def _profiles(result: LossProbeResult) -> Picture:
    """Draw the loss along all directions, by its logarithm where it spans much."""
    _, _, logarithmic = span(profile.losses for profile in result.profiles)
    series = {profile_name(profile): profile.losses for profile in result.profiles}
    caption = f"loss along directions{', logarithmic' if logarithmic else ''}"
    drawn = lines(series, at=result.profiles[0].steps, title=caption, logarithmic=logarithmic)
    return Picture(caption, drawn, list(series), "loss along directions", is_wide=True)


def _layer(layer: LayerGradient) -> SheetRow:
    return SheetRow(
        [
            Cell(layer.name, is_name=True),
            Cell(f"{layer.parameters:,}", layer.parameters),
            Cell(number(layer.gradient_norm), layer.gradient_norm),
            Cell(f"{layer.share:.1%}", layer.share, bar(layer.share)),
        ]
    )


def _class(found: ClassScore) -> SheetRow:
    samples = Cell(f"{found.samples:,}", found.samples)
    return SheetRow([Cell(f"{found.label}"), samples, _share(found.recall), _share(found.precision)])


def _share(value: float | None) -> Cell:
    return Cell("" if value is None else f"{value:.4f}", value, bar(value))
