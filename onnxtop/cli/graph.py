"""``onnxtop graph``: which layer feeds which, and the graph of all neurons."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from onnxtop.cli import EXIT_CODES, messages
from onnxtop.cli.messages import Voice
from onnxtop.cli.models import find_models
from onnxtop.cli.options import connect_options, file_options, talk_options
from onnxtop.cli.outputs import (
    Output,
    _is_special,
    check,
    encoding_of,
    look_of,
    temporary_file,
    write_file,
    write_stdout,
)
from onnxtop.cli.verb import Verb
from onnxtop.errors import ModelError, NothingToAnalyseError, UsageError
from onnxtop.render import FailedModel
from onnxtop.render.graph import FORMATS, SUFFIXES, render

if TYPE_CHECKING:
    from onnxtop.reader.connectivity import Connectivity
    from onnxtop.reader.layers import Layer, Skipped

__all__ = ["command"]


class GraphVerb(Verb):
    """A verb with one output, whose formats are its own."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse as click does: there are no pairs of formats and files."""
        return click.Command.parse_args(self, ctx, args)


@click.command("graph", cls=GraphVerb, epilog=EXIT_CODES)
@click.argument("model", metavar="MODEL")
@click.option(
    "-f",
    "--format",
    "format_name",
    type=click.Choice(list(FORMATS)),
    help="Write the layer graph in this format. Default: what the file's suffix says, else text.",
)
@click.option(
    "-o", "--output", "file", type=click.Path(), metavar="FILE", help="Write to this file, not to stdout."
)
@click.option(
    "--neurons", is_flag=True, help="Write the graph of all neurons with its weights, as arrays: needs -o."
)
@file_options
@connect_options
@talk_options
def command(
    model: str,
    format_name: str | None,
    file: str | None,
    neurons: bool,
    no_progress: bool,
    quiet: bool,
    verbose: int,
    **options: Any,
) -> int:
    """Show which layer of a model feeds which.

    MODEL is one ONNX file, or a folder or pattern that holds one.
    """
    output = Output("npz" if neurons else _format(format_name, file), file)
    if neurons and (file is None or format_name is not None):
        raise click.UsageError("--neurons writes arrays: give it a file with -o, and no -f")
    found = _one_model(model)
    if isinstance(found, FailedModel):
        messages.error(found.message, found.path)
        return found.code
    check([output], [found])
    connected, layers = _connect(found, **options)
    try:
        _write(output, found, connected, layers)
    except OSError as error:
        raise UsageError(f"{file or 'stdout'}: cannot be written: {error.strerror or error}") from None
    if file is not None:
        Voice(verbose, quiet).note(f"wrote {file}")
    return _code(found, layers)


def _format(format_name: str | None, file: str | None) -> str:
    if format_name is not None or file is None:
        return format_name or "text"
    suffix = Path(file).suffix.lower()
    if suffix not in SUFFIXES:
        hint = "ask for --neurons" if suffix == ".npz" else "say the format with -f"
        raise click.UsageError(f"the suffix of {file!r} is none of {' '.join(SUFFIXES)}: {hint}")
    return SUFFIXES[suffix]


def _one_model(argument: str) -> str | FailedModel:
    found = find_models((argument,))
    if len(found) != 1:
        raise UsageError(f"wanted one model, found {len(found)} in {argument}: name one of them")
    return found[0]


def _connect(
    path: str,
    *,
    allow_external: tuple[str, ...],
    peepholes: bool,
    inputs: tuple[str, ...],
    to_outputs: tuple[str, ...],
    **sizes: Any,
) -> "tuple[Connectivity, list[Layer | Skipped]]":
    """Read a model and join its layers."""
    from onnxtop.reader.connectivity import connect  # loads numpy and onnx: not for help
    from onnxtop.reader.constants import Constants
    from onnxtop.reader.layers import find_layers
    from onnxtop.reader.model import load

    try:
        model = load(path, allow_external=allow_external)
        constants = Constants(model)
        layers = find_layers(model, constants, peepholes=peepholes)
        connected = connect(
            model, constants, layers, inputs=inputs or None, outputs=to_outputs or None, **sizes
        )
    except MemoryError:
        raise ModelError(f"{path}: there is not enough memory to analyse this model") from None
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror or error}") from None
    return connected, layers


def _write(output: Output, model: str, connected: "Connectivity", layers: "list[Layer | Skipped]") -> None:
    if output.format == "npz":
        _write_neurons(Path(os.path.realpath(output.path or "")), connected)
        return
    from onnxtop.render.graph.picture import describe

    picture = describe(model, connected, layers)
    if output.path is not None:
        text = render(output.format, picture)
        write_file(Path(os.path.realpath(output.path)), text.encode("utf-8", "backslashreplace"))
    elif sys.stdout is None:  # Python's way to say so
        raise OSError("it is closed")
    else:
        human = output.format == "text"
        text = render(output.format, picture, look_of(sys.stdout, all_rows=True))
        write_stdout(text, encoding_of(sys.stdout) if human else "utf-8")


def _write_neurons(target: Path, connected: "Connectivity") -> None:
    """Replace a file in one step, or write to what is none."""
    from onnxtop.render.graph import neurons

    if _is_special(target):
        with target.open("wb") as stream:
            neurons.write(stream, connected)
        return
    with temporary_file(target) as temporary:
        with temporary.open("wb") as stream:
            neurons.write(stream, connected)
        temporary.replace(target)


def _code(path: str, layers: "list[Layer | Skipped]") -> int:
    from onnxtop.reader.layers import Layer

    if any(isinstance(each, Layer) for each in layers):
        return 0
    why = "every weight tensor was skipped" if layers else "the model has no weight tensors"
    messages.error(f"nothing to analyse: {why}", path)
    return NothingToAnalyseError.exit_code
