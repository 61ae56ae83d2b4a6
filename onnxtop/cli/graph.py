"""``onnxtop graph``: which layer feeds which, and the graph of all neurons."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click

from onnxtop.auditing.options import AuditOptions
from onnxtop.cli import EXIT_CODES, messages
from onnxtop.cli.analysis import once, readable
from onnxtop.cli.models import one_model
from onnxtop.cli.options import CONNECTED, LIMITS, WORK, options_of
from onnxtop.cli.outputs import Output, writing
from onnxtop.cli.verb import Run, Verb
from onnxtop.errors import NothingToAnalyseError
from onnxtop.options import with_values
from onnxtop.work.files import is_special

if TYPE_CHECKING:
    from onnxtop.auditing.layers import Progress
    from onnxtop.reader.connectivity import Connected
    from onnxtop.reader.layer import Layer, Skipped
    from onnxtop.results.graph import LayerGraph


class GraphVerb(Verb):
    """A verb that also writes arrays."""

    hint = ", or ask for --neurons"

    def outputs_of(self, ctx: click.Context, events: Sequence[tuple[str, str]]) -> list[Output]:
        """Return the outputs that were asked for; arrays go to one file."""
        if not ctx.params["neurons"]:
            return super().outputs_of(ctx, events)
        if [kind for kind, _ in events] != ["files"]:
            raise click.UsageError("--neurons writes arrays: give it a file with -o, and no -f")
        path = events[0][1]
        if Path(path).suffix.lower() != ".npz" and not is_special(Path(path)):
            raise click.UsageError(
                f"--neurons writes arrays (.npz), found {path!r}: give the file that suffix, or leave out "
                "--neurons"
            )
        return [Output("npz", path)]


@click.command("graph", cls=GraphVerb, result="graph", epilog=EXIT_CODES)
@click.argument("model", metavar="MODEL")
@click.option(
    "--neurons",
    is_flag=True,
    help="Write the graph of all neurons with its weights, as arrays: needs -o FILE.npz.",
)
@options_of(AuditOptions, "allow_external", "max_download", "limits", "peepholes", *CONNECTED)
@options_of(WORK, *LIMITS, "cache")
def command(run: Run, model: str, neurons: bool, **options: Any) -> int:
    """Show which layer of a model feeds which.

    MODEL is one ONNX file, or a folder or pattern that holds one.
    """
    path = one_model(model)
    run.check([path])
    asked = with_values(AuditOptions(), options)
    run.note_cache(asked.work)
    if neurons:
        return _code(path, *_save_neurons(run, path, asked))
    with run.whole(), readable(path):
        graph, n_read, n_skipped = once(run, partial(_described, path, asked), (path,), asked.work)
    run.write(graph)
    return _code(path, n_read, n_skipped)


def _save_neurons(run: Run, path: str, options: AuditOptions) -> tuple[int, int]:
    """Write the graph of neurons; return how many layers could be read and could not."""
    counts: list[tuple[int, int]] = []

    def write(stream: IO[bytes]) -> None:
        draw = partial(_neurons, path, options, run.outputs[0], str(stream.name))
        counts.append(once(run, draw, (path,), options.work))

    with run.whole(), readable(path):
        run.save(write)
    return counts[0]


def _neurons(
    path: str, options: AuditOptions, output: Output, place: str, progress: "Progress"
) -> tuple[int, int]:
    """Write the graph of neurons to the place where an output is made."""
    from onnxtop.render.graph.neurons import write

    with readable(path):
        connected, layers = _connect(path, options)
    with writing(output), Path(place).open("wb") as stream:
        write(stream, connected)
    return _counts(layers)


def _described(path: str, options: AuditOptions, progress: "Progress") -> "tuple[LayerGraph, int, int]":
    """Return the layer graph, and how many layers could be read and could not."""
    from onnxtop.auditing.recall import Question
    from onnxtop.results.graph import LayerGraph

    def describe() -> tuple[LayerGraph, int, int]:
        from onnxtop.auditing import layer_graph  # loads NumPy and onnx

        connected, layers = _connect(path, options)
        return layer_graph.describe(path, connected, layers), *_counts(layers)

    question = Question.of_files("graph", (path,), options, LayerGraph, beside=False)
    graph, n_read, n_skipped = describe() if question is None else question.answered(describe)
    return replace(graph, model=path), n_read, n_skipped


def _connect(path: str, options: AuditOptions) -> "tuple[Connected, list[Layer | Skipped]]":
    """Read a model and join its layers."""
    from onnxtop.reader.connectivity import connect  # loads numpy and onnx: not for help
    from onnxtop.reader.constants import Constants
    from onnxtop.reader.layers import find_layers
    from onnxtop.reader.loading import load

    model = load(
        path, allow_external=options.allow_external, max_download=options.max_download, limits=options.limits
    )
    constants = Constants(model)
    layers = find_layers(model, constants, peepholes=options.peepholes)
    connected = connect(
        model,
        constants,
        layers,
        input_shapes=options.input_shapes,
        dims=options.dims,
        inputs=options.inputs or None,
        outputs=options.outputs or None,
    )
    return connected, layers


def _counts(layers: "list[Layer | Skipped]") -> tuple[int, int]:
    from onnxtop.reader.layer import Layer

    n_read = sum(isinstance(each, Layer) for each in layers)
    return n_read, len(layers) - n_read


def _code(path: str, n_read: int, n_skipped: int) -> int:
    if n_read:
        return 0
    why = "every weight tensor was skipped" if n_skipped else "the model has no weight tensors"
    messages.error(f"nothing to analyse: {why}", path)
    return NothingToAnalyseError.exit_code
