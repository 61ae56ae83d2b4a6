"""Options that verbs share, and the types of their values."""

import functools
import math
import re
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias, TypeVar

import click

from onnxtop.render import RENDERERS, suffixes

__all__ = [
    "connect_options",
    "file_options",
    "measure_options",
    "output_options",
    "read_options",
    "talk_options",
]

Callback: TypeAlias = Callable[[click.Context, click.Parameter, Any], Any]
Function = TypeVar("Function", bound=Callable[..., Any])


def positive_or(**words: float | str) -> Callback:
    """Make a callback that takes one of some words, or a positive number."""

    def convert(ctx: click.Context, param: click.Parameter, value: str) -> float | str:
        if value in words:
            return words[value]
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        if not 0 < number < math.inf:
            raise click.BadParameter(f"wanted {', '.join(words)} or a positive number, found {value!r}")
        return number

    return convert


def pattern(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    """Check that a regular expression compiles; others use it."""
    try:
        re.compile(value or "")
    except (re.error, OverflowError, RecursionError) as error:
        raise click.BadParameter(f"{value!r} is not a regular expression: {error}") from None
    return value


def shapes(
    ctx: click.Context, param: click.Parameter, values: tuple[str, ...]
) -> Mapping[str, tuple[int, ...]]:
    """Read NAME=SIZE[,SIZE...] of every value; a name may hold equals signs itself."""
    pairs = [_named_sizes(value) for value in values]
    found = dict(pairs)
    if len(found) < len(pairs):
        raise click.BadParameter("a name was given twice")
    return found


def lengths(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> Mapping[str, int]:
    """Read NAME=N of every value."""
    found = shapes(ctx, param, values)
    if wrong := next((name for name, sizes in found.items() if len(sizes) != 1), None):
        raise click.BadParameter(f"wanted one length for {wrong!r}, found several")
    return {name: sizes[0] for name, sizes in found.items()}


def _named_sizes(value: str) -> tuple[str, tuple[int, ...]]:
    name, _, sizes = value.rpartition("=")
    found = sizes.split(",")
    if not name or not all(re.fullmatch("[0-9]{1,18}", size) and int(size) for size in found):
        raise click.BadParameter(f"wanted NAME= and whole positive sizes, found {value!r}")
    return name, tuple(map(int, found))


_FILE = (
    click.option(
        "--allow-external",
        type=click.Path(exists=True, file_okay=False),
        metavar="DIR",
        multiple=True,
        help="Also read external weights from this folder.",
    ),
    click.option(
        "--peepholes", is_flag=True, help="Count the peepholes of an LSTM as layers, not as biases."
    ),
)

_READ = (
    click.option(
        "--layers",
        metavar="REGEX",
        callback=pattern,
        help="Show only layers whose name it finds; figures of the network stay those of all.",
    ),
    *_FILE,
)

_CONNECT = (
    click.option(
        "--input-shape",
        "input_shapes",
        metavar="NAME=1,3,224,224",
        multiple=True,
        callback=shapes,
        help="Shape of an input, where the model leaves it open.",
    ),
    click.option(
        "--dim",
        "dims",
        metavar="NAME=N",
        multiple=True,
        callback=lengths,
        help="Length of a named dimension, where the model leaves it open.",
    ),
    click.option(
        "--from-input",
        "inputs",
        metavar="NAME",
        multiple=True,
        help="Let the network begin at this input only, or at several.",
    ),
    click.option(
        "--to-output",
        "outputs",
        metavar="NAME",
        multiple=True,
        help="Let the network end at this value only, or at several.",
    ),
)

_MEASURE = (
    click.option(
        "--convention",
        type=click.Choice(["essential", "tree"]),
        default="essential",
        show_default=True,
        help="Count the essential class of the diagram, or the spanning tree alone.",
    ),
    click.option(
        "--scale",
        metavar="global|layer|NUMBER",
        callback=positive_or(**{"global": "global", "layer": "layer"}),
        default="global",
        show_default=True,
        help="Divide weights by the largest of the network, of each layer, or by a number.",
    ),
    click.option(
        "--p",
        metavar="NUMBER|inf",
        callback=positive_or(inf=math.inf),
        default="2",
        show_default=True,
        help="Order of the norm that sums up a diagram.",
    ),
    click.option(
        "--bias",
        type=click.Choice(["none", "row"]),
        default="none",
        show_default=True,
        help="Leave biases out, or add them as one more input.",
    ),
    click.option(
        "--conv",
        type=click.Choice(["flattened", "channels", "unrolled"]),
        default="flattened",
        show_default=True,
        help="Which graph a convolution is.",
    ),
    click.option(
        "--skips",
        type=click.Choice(["keep", "cut"]),
        default="keep",
        show_default=True,
        help="Let the paths of the network take its skip connections, or not.",
    ),
    *_CONNECT,
    click.option(
        "--count-fixed", is_flag=True, help="Count layers that were probably not trained in network figures."
    ),
    click.option(
        "--quick",
        "structure",
        flag_value=False,
        default=True,
        help="Leave out the null model and the statistics of the weights: most of the time goes there.",
    ),
    click.option(
        "--seed",
        metavar="NUMBER",
        type=click.IntRange(min=0),
        default=0,
        show_default=True,
        help="Seed of everything random.",
    ),
)


def output_options(result: str) -> list[click.Option]:
    """Return the options of formats and files for a kind of result; see ``onnxtop.cli.outputs``."""
    formats = list(RENDERERS[result])
    options = [
        click.Option(
            ["-f", "--format", "formats"],
            type=click.Choice(formats),
            multiple=True,
            expose_value=False,
            help=f"Write this format: to the -o that follows, else to stdout. Default: {formats[0]}.",
        ),
        click.Option(
            ["-o", "--output", "files"],
            type=click.Path(),
            metavar="FILE",
            multiple=True,
            expose_value=False,
            help="Write to this file; without an -f of its own, its suffix is the format: "
            f"{' '.join(suffixes(result))}.",
        ),
    ]
    if "terminal" in formats:
        options.append(
            click.Option(["--all", "all_rows"], is_flag=True, help="Show every row of a long table.")
        )
    return options


def talk_options() -> list[click.Option]:
    """Return the options that say how much is said on stderr."""
    return [
        click.Option(
            ["--no-progress"], is_flag=True, help="Never show progress (off by itself outside a terminal)."
        ),
        click.Option(["-q", "--quiet"], is_flag=True, help="Say nothing on stderr but errors."),
        click.Option(
            ["-v", "--verbose"], count=True, help="Say what is done; twice: tracebacks of internal errors."
        ),
    ]


def _all(decorators: tuple[Callable[[Any], Any], ...], function: Function) -> Function:
    for decorate in reversed(decorators):
        function = decorate(function)
    return function


file_options = functools.partial(_all, _FILE)
"""What is read of the file; the values are named as the fields of ``AuditOptions``."""

read_options = functools.partial(_all, _READ)
"""What is read and shown; the values are named as the fields of ``AuditOptions``."""

connect_options = functools.partial(_all, _CONNECT)
"""How the layers are joined; the values are named as the fields of ``AuditOptions``."""

measure_options = functools.partial(_all, _MEASURE)
"""What is measured and how; includes ``connect_options``."""
