"""A comparison of two models as GitHub-flavoured Markdown, fit for a pull-request comment."""

from collections.abc import Iterator

from onnxtop.comparison.judgement import relative
from onnxtop.render import RenderOptions
from onnxtop.render.diff.facts import answer, chosen, percent, remarks, tables
from onnxtop.render.report.markdown import _code, _prose
from onnxtop.render.text import figure
from onnxtop.results.diff import Diff, Figure, LayerDiff

__all__ = ["render"]

_FOLDED = 15
"""A table with more rows than this starts folded."""


def render(diff: Diff, options: RenderOptions) -> str:
    """Render the answer, the figures of the network, the table, and what is to be said of single layers."""
    return "\n".join([*_head(diff), *_table(diff, options), *_lists(diff, options)]) + "\n"


def _head(diff: Diff) -> Iterator[str]:
    yield f"## {_code(diff.old.path)} to {_code(diff.new.path)}"
    yield ""
    yield f"**{'Changed' if diff.changed else 'Not changed'}:** {_prose(answer(diff))}."
    yield ""
    yield f"- Mean NP: {_pair(diff.network.neural_persistence)}"
    yield f"- Deep graph persistence: {_pair(diff.network.deep_graph_persistence)}"
    old, new = diff.network.parameters
    yield f"- Weights: {old:,}" if old == new else f"- Weights: {old:,}, now {new:,}"
    yield from (f"- {_prose(note)}" for note in diff.network.notes)
    yield ""


def _pair(both: Figure) -> str:
    change = relative(both)
    if change == 0:
        return figure(both.new)
    word = "more" if (both.new or 0.0) > (both.old or 0.0) else "less"
    told = f" ({_prose(percent(change))} {word})" if change else ""
    return f"{figure(both.old)}, now {figure(both.new)}{told}"


def _table(diff: Diff, options: RenderOptions) -> Iterator[str]:
    rows = chosen(diff, options.all_rows)
    if not rows:
        return
    folded = len(rows) > _FOLDED
    if folded:
        yield from (f"<details><summary>{len(diff.layers):,} layers</summary>", "")
    yield "| layer | change | SNR dB | cosine | NP | was | tree kept | distance | |"
    yield "|:--|--:|--:|--:|--:|--:|--:|--:|:--|"
    yield from (_row(row) for row in rows)
    if len(rows) < len(diff.layers):
        yield from ("", f"{len(diff.layers) - len(rows):,} layers that changed least left out.")
    yield from (("", "</details>", "") if folded else ("",))


def _row(layer: LayerDiff) -> str:
    change, both = layer.weights, layer.neural_persistence
    cells = (
        _code(layer.name),
        _prose(percent(change.relative)),
        "" if change.snr_db is None else f"{change.snr_db:.1f}",
        "" if change.cosine is None else f"{change.cosine:.4f}",
        figure(both.new),
        figure(both.old),
        percent(layer.tree_kept),
        "" if layer.bottleneck is None else f"{layer.bottleneck:.4f}",
        "**changed**" if layer.changes else "" if layer.is_same else "within tolerance",
    )
    return f"| {' | '.join(cells)} |"


def _lists(diff: Diff, options: RenderOptions) -> Iterator[str]:
    lines = [f"- {_code(name)}: {_prose(sentence)}" for name, sentence, _ in remarks(diff, diff.layers)]
    lines += [f"- **{word}** {_code(name)}: {_prose(what)}" for word, name, what in tables(diff)]
    shown = lines if options.all_rows else lines[:20]
    yield from shown
    if len(shown) < len(lines):
        yield f"- and {len(lines) - len(shown):,} more; --all lists every one"
