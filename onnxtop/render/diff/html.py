"""A comparison of two models as a page: whether they are one function, what changed, every layer."""

from collections.abc import Iterator, Sequence

from onnxtop.comparison.judgement import relative
from onnxtop.render import RenderOptions
from onnxtop.render.diff.facts import (
    counting,
    direction,
    grounds,
    headline,
    percent,
    remark,
    run,
    tables,
    tolerated,
    verdict,
)
from onnxtop.render.html.charts import bar, bars, lines
from onnxtop.render.html.page import page
from onnxtop.render.html.parts import Cell, Fact, Heading, Picture, Sheet, SheetRow, full_sheet
from onnxtop.render.text import figure, number
from onnxtop.results.diff import Diff, Figure, LayerDiff
from onnxtop.results.report import ModelInfo
from onnxtop.results.words import counted

_LAYERS = (
    Heading("layer", "layer"),
    Heading("op", "op", choose=True),
    Heading("changed", "what changed", choose=True),
    Heading("change", "change", numeric=True),
    Heading("SNR dB", "SNR dB", numeric=True),
    Heading("cosine", "cosine", numeric=True),
    Heading("NP", "np", numeric=True),
    Heading("was", "was", numeric=True),
    Heading("tree kept", "tree kept", numeric=True),
    Heading("distance", "distance", numeric=True),
    Heading("notes"),
)
_BARS = 12
"""So many layers have a bar of how far they moved, those that moved most."""
_CHANGES = (Heading("kind", "what changed", choose=True), Heading("what"))


def render(diff: Diff, options: RenderOptions) -> str:
    """Render both models as one page."""
    return page(f"{diff.old.path} → {diff.new.path}", verdict(diff), "diff.html", **values(diff))


def values(diff: Diff) -> dict[str, object]:
    """Return what the template of a comparison is given."""
    alone = ((word, f"{name}: {what}") for word, name, what in tables(diff))
    layers = [_layer(layer) for layer in diff.layers]
    return {
        "sentence": f"{diff.whole.verdict}: {headline(diff)}",
        "grounds": list(grounds(diff)),
        "figures": list(_figures(diff)),
        "changes": _changes([*counting(diff), *alone]),
        "beside": _changes(tolerated(diff)),
        "run": list(run(diff)),
        "drawings": list(_pictures(diff)),
        "layers": full_sheet(counted(len(layers), "layer"), _LAYERS, layers),
        "models": [("old", list(_model(diff.old))), ("new", list(_model(diff.new)))],
        "settings": list(_settings(diff)),
    }


def _figures(diff: Diff) -> Iterator[Fact]:
    """Yield the figures of the new network, with those of the old."""
    if not diff.layers:
        return
    changed = sum(bool(layer.changes) for layer in diff.layers)
    yield Fact("changed", f"{changed:,} of {counted(len(diff.layers), 'layer')}", "what changed")
    yield _moved("mean NP", diff.network.neural_persistence, "np.mean_normalized")
    yield _moved("DGP", diff.network.deep_graph_persistence, "dgp")
    old, new = diff.network.parameters
    yield Fact("weights", f"{new:,}", "weights", "" if old == new else f"was {old:,}")
    if diff.whole.operations:
        shared = f"{diff.whole.matched:,} of {diff.whole.operations[0]:,}"
        yield Fact("operations", shared, "whole model", "matched")


def _moved(label: str, both: Figure, term: str) -> Fact:
    change = relative(both)
    moved = f", {percent(change)} {direction(both)}" if change else ""
    return Fact(label, figure(both.new), term, f"was {figure(both.old)}{moved}")


def _changes(differences: Sequence[tuple[str, str]]) -> Sheet:
    rows = [SheetRow([Cell(kind), Cell(what)]) for kind, what in differences]
    return full_sheet(counted(len(rows), "difference"), _CHANGES, rows)


def _pictures(diff: Diff) -> Iterator[Picture]:
    """Yield the NP of all layers, in graph order, and how far those moved that moved most."""
    if len(diff.layers) > 1:
        figures = [layer.neural_persistence for layer in diff.layers]
        both = {"old": [each.old for each in figures], "new": [each.new for each in figures]}
        names = [layer.name for layer in diff.layers]
        drawn = lines(both, names=names, title=f"NP: {names[0]} … {names[-1]}", size=(460, 220))
        yield Picture("NP", drawn, list(both), "np")
    moved = {layer.name: layer.weights.relative for layer in diff.layers if layer.weights.relative}
    if len(moved) > _BARS:  # of fewer the table below shows as much
        first = set(sorted(moved, key=lambda name: -moved[name])[:_BARS])
        most = {name: change for name, change in moved.items() if name in first}
        title = f"relative change of the {len(most)} layers that moved most"
        yield Picture(title, bars(most, title=title, width=460), (), "change")


def _layer(layer: LayerDiff) -> SheetRow:
    change, both = layer.weights, layer.neural_persistence
    state = "changed" if layer.changes else "same" if layer.is_same else "within tolerance"
    cosine = "" if change.cosine is None else f"{change.cosine:.4f}"
    return SheetRow(
        [
            Cell(layer.name, is_name=True),
            Cell(layer.op_type, is_name=True),
            Cell(state),
            Cell(percent(change.relative), change.relative, bar(change.relative)),
            Cell("" if change.snr_db is None else f"{change.snr_db:.1f}", change.snr_db),
            Cell(cosine, change.cosine),
            Cell(figure(both.new), both.new),
            Cell(figure(both.old), both.old),
            Cell(percent(layer.tree_kept), layer.tree_kept),
            Cell("" if layer.bottleneck is None else f"{layer.bottleneck:.4f}", layer.bottleneck),
            Cell(remark(layer)),
        ]
    )


def _model(model: ModelInfo) -> Iterator[Fact]:
    yield Fact("path", model.path, "model", is_name=True)
    yield Fact("bytes", f"{model.bytes:,}")
    if model.sha256 is not None:
        yield Fact("sha256", model.sha256, is_name=True)
    yield Fact("producer", model.producer, is_name=True)
    yield Fact("opset", [f"{domain or 'ai.onnx'} {version}" for domain, version in model.opset.items()])
    yield Fact("parameters", f"{model.parameters:,}")


def _settings(diff: Diff) -> Iterator[Fact]:
    asked = diff.settings
    yield Fact("tolerance", percent(asked.tolerance))
    yield Fact("np tolerance", percent(asked.np_tolerance))
    yield Fact("permuted ok", "yes" if asked.permuted_ok else "no")
    yield Fact("seed", number(asked.seed))
    if diff.network.notes:
        yield Fact("notes", diff.network.notes)
    yield Fact("tool", f"{diff.tool.name} {diff.tool.version}", "tool")
