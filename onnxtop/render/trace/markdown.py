"""A training run in GitHub-flavoured Markdown: the verdict first, then a table."""

from collections.abc import Iterator

from onnxtop.render import RenderOptions
from onnxtop.render.markdown import code, listed, prose, row, table
from onnxtop.render.text import figure
from onnxtop.render.trace.facts import about, events, marks, percent, small, stopping
from onnxtop.results.outcome import FailedModel
from onnxtop.results.trace import Step, Trace
from onnxtop.results.words import in_percent

_COLUMNS = {
    "checkpoint": ":--",
    "NP": "--:",
    "DGP": "--:",
    "untrained": "--:",
    "moved": "--:",
    "loss": "--:",
    "accuracy": "--:",
    " ": ":--",
}


def render(trace: Trace, options: RenderOptions) -> str:
    """Render one run."""
    return "\n".join([*_page(trace, options), ""])


def _page(trace: Trace, options: RenderOptions) -> Iterator[str]:
    yield f"**{prose(trace.verdict.sentence)}**"
    yield from ("", prose(" · ".join(about(trace))), "")
    rows = [_row(trace, each) for each in trace.checkpoints]
    yield from table(_COLUMNS, rows, f"{len(rows)} checkpoints", "")
    told = [*events(trace, options.all_rows), *stopping(trace), *trace.notes]
    yield from ("", *listed([f"- {prose(sentence)}" for sentence in told], options))


def _row(trace: Trace, step: Step) -> str:
    if isinstance(step, FailedModel):
        return row([code(step.path), *[""] * 6, prose(step.message)])
    scores = step.judged_on
    return row(
        [
            code(step.name),
            figure(step.neural_persistence),
            figure(step.deep_graph_persistence),
            in_percent(step.untrained),
            small(step.moved),
            figure(scores.loss) if scores else "",
            percent(scores.accuracy, "") if scores else "",
            prose(marks(trace, step)),
        ]
    )
