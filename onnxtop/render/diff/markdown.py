"""A comparison of two models as Markdown."""

from collections.abc import Iterator

from onnxtop.comparison.judgement import relative
from onnxtop.render import RenderOptions
from onnxtop.render.diff.facts import (
    chosen,
    counting,
    direction,
    grounds,
    headline,
    percent,
    remarks,
    run,
    tables,
    tolerated,
)
from onnxtop.render.markdown import code, listed, prose, row, table
from onnxtop.render.text import figure
from onnxtop.results.diff import Diff, Figure, LayerDiff
from onnxtop.results.words import counted


def render(diff: Diff, options: RenderOptions) -> str:
    """Render the answer, the figures of the network, the table, and what is to be said of single layers."""
    return "\n".join([*_head(diff), *_table(diff, options), *_lists(diff, options)]) + "\n"


def _head(diff: Diff) -> Iterator[str]:
    yield f"## {code(diff.old.path)} to {code(diff.new.path)}"
    yield ""
    yield f"**{diff.whole.verdict}:** {prose(headline(diff))}."
    yield ""
    yield from (f"- {prose(ground)}" for ground in grounds(diff))
    yield from (f"- {prose(sentence)}" for sentence in run(diff))
    yield from (f"- **{kind}** {prose(what)}" for kind, what in counting(diff))
    yield from (f"- {kind}: {prose(what)}" for kind, what in tolerated(diff))
    if not diff.layers:
        return
    yield f"- Mean NP: {_pair(diff.network.neural_persistence)}"
    yield f"- Deep graph persistence: {_pair(diff.network.deep_graph_persistence)}"
    old, new = diff.network.parameters
    yield f"- Weights: {old:,}" if old == new else f"- Weights: {old:,}, now {new:,}"
    yield from (f"- {prose(note)}" for note in diff.network.notes)
    yield ""


def _pair(both: Figure) -> str:
    change = relative(both)
    if change == 0:
        return figure(both.new)
    told = f" ({prose(percent(change))} {direction(both)})" if change else ""
    return f"{figure(both.old)}, now {figure(both.new)}{told}"


_COLUMNS = {
    "layer": ":--",
    **dict.fromkeys(("change", "SNR dB", "cosine", "NP", "was", "tree kept", "distance"), "--:"),
    "": ":--",
}


def _table(diff: Diff, options: RenderOptions) -> Iterator[str]:
    shown = chosen(diff, options.all_rows)
    if shown:
        left_out = len(diff.layers) - len(shown)
        note = f"{left_out:,} layers that changed least left out." if left_out else ""
        yield from table(_COLUMNS, list(map(_row, shown)), counted(len(diff.layers), "layer"), note)
        yield ""


def _row(layer: LayerDiff) -> str:
    change, both = layer.weights, layer.neural_persistence
    cells = (
        code(layer.name),
        prose(percent(change.relative)),
        "" if change.snr_db is None else f"{change.snr_db:.1f}",
        "" if change.cosine is None else f"{change.cosine:.4f}",
        figure(both.new),
        figure(both.old),
        percent(layer.tree_kept),
        "" if layer.bottleneck is None else f"{layer.bottleneck:.4f}",
        "**changed**" if layer.changes else "" if layer.is_same else "within tolerance",
    )
    return row(cells)


def _lists(diff: Diff, options: RenderOptions) -> Iterator[str]:
    lines = [f"- {code(name)}: {prose(sentence)}" for name, sentence, _ in remarks(diff, diff.layers)]
    lines += [f"- **{word}** {code(name)}: {prose(what)}" for word, name, what in tables(diff)]
    yield from listed(lines, options)
