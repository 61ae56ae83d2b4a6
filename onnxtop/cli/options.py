"""Options of the command line: those of outputs and of talking, and any that a dataclass declares."""

import contextlib
import functools
import math
import re
import typing
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias, TypeVar

import click
from click.core import ParameterSource

from onnxtop.cli.completion import RuleName
from onnxtop.errors import UsageError
from onnxtop.options import DeclaredOption, declared, said
from onnxtop.render import CHOOSABLE, formats_of, suffixes
from onnxtop.render.text import number
from onnxtop.work.options import WorkOptions

Callback: TypeAlias = Callable[[click.Context, click.Parameter, Any], Any]
Function = TypeVar("Function", bound=Callable[..., Any])


READ = ("layers", "allow_external", "max_download", "limits", "peepholes")
"""Options of an audit that say what is read and shown."""

CONNECTED = ("input_shapes", "dims", "inputs", "outputs")
"""Options of an audit that say how the layers are joined."""

MEASURED = (
    *("convention", "scale", "p", "bias", "conv", "standardise", "rescale", "skips"),
    *CONNECTED,
    *("count_fixed", "structure", "sortedness", "seed"),
)
"""Options of an audit that say what is measured and how."""


LIMITS = ("memory", "time_limit")
"""Options that say what the work on a model may take."""

AT_A_TIME = ("jobs", *LIMITS, "scheduler")
"""Options that say who does the work, and what it may take."""

WORK = WorkOptions(jobs=None, cache=None)
"""How work is done where nobody says it: by as many as there are cores, remembered in the user's folder.

It is done apart unless ``ONNXTOP_APART`` is off; see ``onnxtop.cli.apart``.
"""


class _Whole(click.IntRange):
    name = "whole number"  # as it is called in a message


class _Number(click.FloatRange):
    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Refuse what is neither finite nor a number as what is no number."""
        if not math.isfinite(found := super().convert(value, param, ctx)):
            self.fail(f"{value!r} is not a valid {self.name}.", param, ctx)
        return found


def options_of(options: Any, *names: str) -> Callable[[Function], Function]:
    """Return a decorator that adds declared options, of these names or all, as they are declared.

    ``options`` is a dataclass of options, or an instance whose values are the defaults.
    """
    known = declared(options)
    return functools.partial(_all, [_option(known[name], known) for name in names or known])


def _all(decorators: list[Callable[[Any], Any]], function: Function) -> Function:
    for decorate in reversed(decorators):
        function = decorate(function)
    return function


def _option(each: DeclaredOption, known: Mapping[str, DeclaredOption]) -> Callable[[Any], Any]:
    option = each.option
    flag = each.flag if option.flag or each.default is not True else f"--{each.key}/{each.flag}"
    flags = [*filter(None, (option.short, flag)), each.name]
    if not option.needs:
        return click.option(*flags, metavar=option.metavar, help=option.help, **_values(each))
    needed = {name: known[name].flag for name in option.needs}
    text = f"{option.help.removesuffix('.')}; with {' or '.join(needed.values())}."
    return click.option(
        *flags, metavar=option.metavar, help=text, cls=DependentOption, needed=needed, **_values(each)
    )


class DependentOption(click.Option):
    """An option that has an effect only beside one of others, ``needed``: their flags by their names."""

    def __init__(self, *flags: Any, needed: Mapping[str, str], **rest: Any) -> None:
        super().__init__(*flags, **rest)
        self.needed = needed

    def check(self, ctx: click.Context) -> None:
        """Refuse it where it was given on the command line and would be without effect.

        Raises
        ------
        UsageError
            None of the others was given, nor set by the configuration.
        """
        given = ctx.get_parameter_source(self.name or "") is ParameterSource.COMMANDLINE
        if given and not any(map(ctx.params.get, self.needed)):
            flags = " or ".join(self.needed.values())
            raise click.UsageError(f"{self.opts[-1]} has no effect without {flags}: add one, or leave it out")


def _values(each: DeclaredOption) -> dict[str, Any]:
    """Say which values an option has, and which without being asked."""
    least = each.option.least
    if each.kind is bool and each.default and not each.option.flag:
        return {"default": True}
    if each.kind is bool:
        return {"flag_value": False, "default": True} if each.default else {"is_flag": True}
    if each.option.among is not None:
        return {"multiple": True, "callback": _among(each)}
    if reader := _MANY.get(each.kind):
        return {"multiple": True, "callback": reader}
    if each.kind == tuple[float, ...]:
        return {"callback": _numbers(each)}
    if typing.get_origin(each.kind) is tuple:
        return {"multiple": True, "type": _FORMS[each.option.form]}
    shown = {"default": each.default, "show_default": True}
    if each.is_measure:
        return {"callback": _measure(each), "default": number(each.default), "show_default": True}
    if each.choices:
        return {"type": click.Choice(each.choices), **shown}
    if each.kind is int:
        return {"type": int if least is None else _Whole(min=int(least)), **shown}
    if each.kind is float:
        return {"type": _Number(min=least), **shown}
    check = {"callback": _pattern} if each.option.form == "pattern" else {}
    return {"type": _FORMS[each.option.form], **shown, **check}


def _measure(each: DeclaredOption) -> Callback:
    """Make a callback that reads one of some words, or a positive number."""
    words = [*each.choices, *(["inf"] if each.option.endless else [])]

    def convert(ctx: click.Context, param: click.Parameter, value: str) -> Any:
        try:
            return each.read(value if value in words else float(value))
        except (ValueError, UsageError):
            raise click.BadParameter(
                f"wanted {', '.join(words)} or a positive number, found {value!r}"
            ) from None

    return convert


def _pattern(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    """Check that a regular expression compiles; others use it."""
    try:
        re.compile(value or "")
    except (re.error, OverflowError, RecursionError) as error:
        raise click.BadParameter(f"{said(value)} is not a regular expression: {error}") from None
    return value


def _numbers(each: DeclaredOption) -> Callback:
    """Make a callback that reads numbers with commas between."""

    def convert(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[float, ...]:
        try:
            return each.default if value is None else tuple(map(float, value.split(",")))
        except ValueError:
            raise click.BadParameter(f"wanted numbers with commas between, found {value!r}") from None

    return convert


_FORMS: Mapping[str, Any] = {
    "text": click.STRING,
    "pattern": click.STRING,
    "file": click.Path(readable=False),
    "folder": click.Path(exists=True, file_okay=False),
    "rule": RuleName(),
}


def _shapes(
    ctx: click.Context, param: click.Parameter, values: tuple[str, ...]
) -> Mapping[str, tuple[int, ...]]:
    """Read NAME=SIZE[,SIZE...] of every value; a name may hold equals signs itself."""
    pairs = [_named_sizes(value) for value in values]
    found = dict(pairs)
    if len(found) < len(pairs):
        raise click.BadParameter("a name was given twice")
    return found


def _lengths(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> Mapping[str, int]:
    """Read NAME=N of every value."""
    found = _shapes(ctx, param, values)
    if wrong := next((name for name, sizes in found.items() if len(sizes) != 1), None):
        raise click.BadParameter(f"wanted one length for {wrong!r}, found several")
    return {name: sizes[0] for name, sizes in found.items()}


def _among(each: DeclaredOption) -> Callback:
    """Make a callback that reads NAME=NUMBER of every value; those of the configuration stay under them."""

    def convert(ctx: click.Context, param: click.Parameter, values: Any) -> Mapping[str, float]:
        found: dict[str, float] = dict((ctx.default_map or {}).get(each.name, {}))
        if ctx.get_parameter_source(each.name) is ParameterSource.DEFAULT_MAP:
            return found
        given = [value.partition("=")[::2] for value in values]
        if len(dict(given)) < len(given):
            raise click.BadParameter("a name was given twice")
        try:
            whole: dict[str, float] = each.read(
                found | {name: _plain_number(number) for name, number in given}
            )
        except UsageError as error:
            raise click.BadParameter(str(error)) from None
        return whole

    return convert


def _plain_number(text: str) -> Any:
    """Return a whole number or another, the text itself where it is none."""
    for kind in (int, float):
        with contextlib.suppress(ValueError):
            return kind(text)
    return text


def _named_sizes(value: str) -> tuple[str, tuple[int, ...]]:
    name, _, sizes = value.rpartition("=")
    found = sizes.split(",")
    if not name or not all(re.fullmatch("[0-9]+", size) and size.strip("0") for size in found):
        raise click.BadParameter(f"wanted NAME= and whole positive sizes, found {value!r}")
    if any(len(size.lstrip("0")) > _DIGITS for size in found):
        raise click.BadParameter(f"wanted sizes of at most {_DIGITS} digits, found {said(value)}")
    return name, tuple(map(int, found))


_DIGITS = 18
"""What a size in a model can have."""

_MANY = {Mapping[str, tuple[int, ...]]: _shapes, Mapping[str, int]: _lengths}
"""Options that may repeat, and what puts their values together."""


def config_option(callback: Callback) -> Callable[[Function], Function]:
    """Return a decorator that adds the option that names a configuration, for a callback that reads it."""
    return click.option(
        "--config",
        type=click.Path(),
        metavar="FILE",
        callback=lambda ctx, param, value: None if ctx.resilient_parsing else callback(ctx, param, value),
        is_eager=True,
        expose_value=False,
        help="Read this configuration instead of the nearest onnxtop.toml or pyproject.toml.",
    )


def output_options(result: str) -> list[click.Option]:
    """Return the options of formats and files for a kind of result; see ``onnxtop.cli.outputs``."""
    formats = formats_of(result)
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
    if "junit" in formats:
        options.append(
            click.Option(["--junit-times"], is_flag=True, help="Write into junit how long each model took.")
        )
    if "terminal" in formats:
        options.append(
            click.Option(["--all", "all_rows"], is_flag=True, help="Show every row of a long table.")
        )
    if result in CHOOSABLE:
        options.append(
            click.Option(
                ["--columns"],
                metavar="NAMES",
                callback=_columns,
                help="Show these columns of the table of layers, with commas between, by their names in CSV; "
                "default stands for the usual ones.",
            )
        )
    if {"terminal", "text"} & {*formats}:
        options.append(
            click.Option(
                ["--width"],
                type=_Whole(min=0),
                metavar="N",
                help="Draw pages so wide, 0 to cut nothing. Default: the terminal's width, or 0 elsewhere.",
            )
        )
    if "terminal" in formats:
        options.append(
            click.Option(
                ["--color"],
                type=click.Choice(["auto", "always", "never"]),
                default="auto",
                show_default=True,
                help="When to draw in colour; auto heeds NO_COLOR and FORCE_COLOR.",
            )
        )
    return options


def _columns(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[str, ...]:
    """Read names of columns with commas between."""
    from onnxtop.render.report.columns import check_columns

    names = tuple(filter(None, map(str.strip, (value or "").split(","))))
    if value is not None and not names:
        raise click.BadParameter(f"wanted names of columns with commas between, found {value!r}")
    try:
        check_columns(names)
    except UsageError as error:
        raise click.BadParameter(str(error)) from None
    return names


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
