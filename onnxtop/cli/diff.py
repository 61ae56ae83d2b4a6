"""``onnxtop diff``: what changed between two models, layer by layer."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from onnxtop.cli.messages import Voice
from onnxtop.cli.models import find_models
from onnxtop.cli.options import file_options, lengths, output_options_for, shapes, talk_options
from onnxtop.cli.outputs import Output, check, encoding_of, look_of, write_file, write_stdout
from onnxtop.cli.progress import ProgressLine, wanted
from onnxtop.cli.verb import Verb
from onnxtop.errors import ModelError, NothingToAnalyseError, OnnxtopError, UsageError
from onnxtop.render import FailedModel, RenderOptions
from onnxtop.render.diff.facts import FORMATS, SUFFIXES

if TYPE_CHECKING:
    from onnxtop.results.diff import Diff

__all__ = ["command"]


EXIT_CODES = """\b
Exit codes:
  0    no change beyond the tolerances
  1    changed
  2    usage error
  3    a model could not be analysed
  4    nothing to compare: no weight tensors
  5    internal error
  130  interrupted"""


class DiffVerb(Verb):
    """A verb whose formats are those of a comparison."""

    suffixes = SUFFIXES


@click.command("diff", cls=DiffVerb, epilog=EXIT_CODES)
@click.argument("old", metavar="OLD")
@click.argument("new", metavar="NEW")
@output_options_for(FORMATS, SUFFIXES)
@click.option(
    "--tolerance",
    type=click.FloatRange(min=0),
    default=0.1,
    show_default=True,
    metavar="SHARE",
    help="Relative change of a layer's weights that is still the same; 0.1 is 20 dB.",
)
@click.option(
    "--np-tolerance",
    type=click.FloatRange(min=0),
    default=0.1,
    show_default=True,
    metavar="SHARE",
    help="Relative change of a layer's NP that is still the same.",
)
@click.option("--permuted-ok", is_flag=True, help="Let the same weights in another order count as the same.")
@file_options
@click.option(
    "--input-shape",
    "input_shapes",
    metavar="NAME=1,3,224,224",
    multiple=True,
    callback=shapes,
    help="Shape of an input, where the models leave it open.",
)
@click.option(
    "--dim",
    "dims",
    metavar="NAME=N",
    multiple=True,
    callback=lengths,
    help="Length of a named dimension, where the models leave it open.",
)
@talk_options
def command(
    old: str,
    new: str,
    outputs: list[Output],
    all_rows: bool,
    no_progress: bool,
    quiet: bool,
    verbose: int,
    **options: Any,
) -> int:
    """Tell what changed between two models, layer by layer.

    OLD and NEW are ONNX files. Layers are found again under other names, transposed, permuted or quantised.
    """
    paths = [_one_model(argument) for argument in (old, new)]
    check(outputs, paths)
    with ProgressLine(wanted(quiet, no_progress)) as progress:
        diff = _compare(paths[0], paths[1], options, progress)
    _write_all(outputs, diff, all_rows)
    voice = Voice(verbose, quiet)
    for path in (output.path for output in outputs if output.path is not None):
        voice.note(f"wrote {path}")
    return int(diff.changed)


def _one_model(argument: str) -> str:
    found = find_models((argument,))
    if len(found) != 1:
        raise UsageError(f"wanted one model, found {len(found)} in {argument}: name one of them")
    if isinstance(found[0], FailedModel):
        kind = NothingToAnalyseError if found[0].code == NothingToAnalyseError.exit_code else ModelError
        raise kind(f"{argument}: {found[0].message}")
    return found[0]


def _compare(old: str, new: str, options: Mapping[str, Any], progress: ProgressLine) -> "Diff":
    from onnxtop.comparison.story import CompareOptions, compare
    from onnxtop.results.diff import DiffSettings  # loads numpy and onnx: not for help

    names = ("tolerance", "np_tolerance", "permuted_ok")
    settings = DiffSettings(**{name: options[name] for name in names})
    rest = {name: value for name, value in options.items() if name not in names}
    try:
        return compare(old, new, CompareOptions(settings, **rest), progress=progress)
    except OnnxtopError:
        raise
    except MemoryError:
        raise ModelError("there is not enough memory to compare these models") from None
    except OSError as error:
        raise ModelError(f"{error.filename or old}: cannot be read: {error.strerror or error}") from None


def _write_all(outputs: list[Output], diff: "Diff", all_rows: bool) -> None:
    """Write every output that can be written."""
    failures = []
    for output in outputs:
        try:
            _write(output, diff, all_rows)
        except OSError as error:
            failures.append(f"{output.path or 'stdout'}: cannot be written: {error.strerror or error}")
    if failures:
        raise UsageError("; ".join(failures))


def _write(output: Output, diff: "Diff", all_rows: bool) -> None:
    from onnxtop.render.diff.facts import render

    if output.path is not None:
        text = render(output.format, diff, RenderOptions(all_rows=all_rows))
        write_file(Path(os.path.realpath(output.path)), text.encode("utf-8", "backslashreplace"))
        return
    if sys.stdout is None:  # Python's way to say so
        raise OSError("it is closed")
    text = render(output.format, diff, look_of(sys.stdout, all_rows))
    write_stdout(text, encoding_of(sys.stdout) if output.format == "terminal" else "utf-8")
