"""How an option is declared: once, as a field of a frozen dataclass.

::

    @dataclass(frozen=True)
    class AuditOptions:
        bias: Annotated[Literal["none", "row"], Option("Leave biases out, or add them.")] = "none"

Name, type, choices and default are those of the field; its ``Option`` says the rest. The command line, the
keys of the configuration file, the settings that are shown and the checks are made from it. Neither this
module nor one that declares options imports anything heavy, so that help is quick.
"""

import dataclasses
import difflib
import math
import types
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from numbers import Integral, Real
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from onnxtop.errors import UsageError


@dataclass(frozen=True)
class Option:
    """What an option is beside the name, the type and the default of its field.

    Attributes
    ----------
    help
        One sentence.
    flag, short
        On the command line, if it is not the name of the field with hyphens.
    metavar
        What stands for the value in help.
    least
        The smallest number; without it any will do, where there are choices beside the number any above 0.
    endless
        Whether a number above 0 may be infinite.
    form
        What a text is.
    in_file
        Whether the configuration file may set it.
    needs
        Names of options without any of which this one has no effect.
    """

    help: str
    flag: str | None = None
    short: str | None = None
    metavar: str | None = None
    least: int | None = None
    endless: bool = False
    form: Literal["text", "pattern", "file", "folder", "rule"] = "text"
    in_file: bool = False
    needs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Declared:
    """An option with what its field says: its name, its type and whether it may be None, its default."""

    name: str
    kind: Any
    optional: bool
    default: Any
    option: Option

    @property
    def key(self) -> str:
        """Its name in the configuration file."""
        return self.name.replace("_", "-")

    @property
    def flag(self) -> str:
        """Its name on the command line; of a switch that is on, what turns it off."""
        return self.option.flag or f"--{'no-' if self.default is True else ''}{self.key}"

    @property
    def choices(self) -> tuple[str, ...]:
        """The words that it may be, none if it is no choice."""
        return tuple(word for each in _members(self.kind) for word in _words(each))

    @property
    def is_measure(self) -> bool:
        """Whether it is a number above 0, or one of some words."""
        return float in _members(self.kind) and self.option.least is None

    def checked(self, value: Any) -> Any:
        """Return a value if the option can have it; a number as it is meant.

        Raises
        ------
        UsageError
            It cannot.
        """
        if value is None and self.optional:
            return None
        if self.is_measure:
            return _measure(value, self.choices, self.option.endless)
        if self.choices:
            return one_of(value, self.choices)
        if self.kind is bool:
            return _switch(value)
        if self.kind in (int, float) and self.option.least is not None:
            return at_least(value, self.option.least, whole=self.kind is int)
        return value

    def read(self, value: Any) -> Any:
        """Return what a value means in the configuration file or on the command line.

        There a word says that a number is infinite; one that is so by itself was too large for a float.

        Raises
        ------
        UsageError
            The option cannot have it.
        """
        if self.option.endless and value == "inf":
            return math.inf
        if self.is_measure and isinstance(value, float):
            number(value)
        return self.checked(value)


Options = TypeVar("Options", bound=Any)


def declared(options: Any) -> dict[str, Declared]:
    """Return the options of a dataclass of them, or of an instance whose values are the defaults.

    Options of fields that are such dataclasses themselves stand among them, each by its own name.
    """
    values = options() if isinstance(options, type) else options
    found: dict[str, Declared] = {}
    hints = typing.get_type_hints(type(values), include_extras=True)
    for name, hint in ((each.name, hints[each.name]) for each in dataclasses.fields(values)):
        default = getattr(values, name)
        marks = getattr(hint, "__metadata__", ())
        if option := next((mark for mark in marks if isinstance(mark, Option)), None):
            members = _members(hint.__origin__)
            optional = type(None) in members
            found[name] = Declared(
                name, members[0] if optional else hint.__origin__, optional, default, option
            )
        elif dataclasses.is_dataclass(default):
            found |= declared(default)
    return found


def with_values(options: Options, values: Mapping[str, Any]) -> Options:
    """Return a dataclass of options with other values; those of its fields' options by their own names."""
    own: dict[str, Any] = {}
    for name in (each.name for each in dataclasses.fields(options)):
        if name in values:
            own[name] = values[name]
        elif dataclasses.is_dataclass(part := getattr(options, name)):
            own[name] = with_values(part, values)
    return dataclasses.replace(options, **own)


def check(options: Any) -> None:
    """Refuse values that make no sense.

    Raises
    ------
    UsageError
        An option cannot have its value.
    """
    for name, each in declared(options).items():
        try:
            each.checked(each.default)
        except UsageError as error:
            raise UsageError(f"{name}: {error}") from None


def _members(kind: Any) -> tuple[Any, ...]:
    return typing.get_args(kind) if typing.get_origin(kind) in (typing.Union, types.UnionType) else (kind,)


def _words(kind: Any) -> tuple[Any, ...]:
    return typing.get_args(kind) if typing.get_origin(kind) is Literal else ()


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return a hint at the nearest known name, empty if none is near.

    >>> did_you_mean("tolerance", ["tolerances", "thresholds"])
    ': did you mean tolerances?'
    """
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f": did you mean {near[0]}?" if near else ""


# One function a kind of value: it returns what the program wants, or says what is wrong.


def one_of(value: Any, choices: Iterable[str]) -> str:
    """Return one of the words."""
    known = tuple(choices)
    if not (isinstance(value, str) and value in known):
        hint = did_you_mean(value, known) if isinstance(value, str) else ""
        raise UsageError(f"wanted one of {', '.join(known)}, found {value!r}{hint}")
    return value


def number(value: Any) -> Any:
    """Return a finite number."""
    if isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(value):
        raise UsageError(f"wanted a number, found {value!r}")
    return value


def at_least(value: Any, least: int, *, whole: bool = False) -> Any:
    """Return a number, a whole one if need be, that is large enough."""
    if whole and (isinstance(value, bool) or not isinstance(value, Integral) or value < least):
        raise UsageError(f"wanted a whole number of at least {least}, found {value!r}")
    if number(value) < least:
        raise UsageError(f"wanted a number of at least {least}, found {value!r}")
    return value if whole else float(value)


def above_zero(value: Any) -> float:
    """Return a number above 0."""
    if isinstance(value, str) or not number(value) > 0:
        raise UsageError(f"wanted a number above 0, found {value!r}")
    return float(value)


def _measure(value: Any, words: tuple[str, ...], endless: bool) -> Any:
    if isinstance(value, str) and value in words:
        return value
    if endless and value == math.inf:
        return math.inf
    return above_zero(value)


def _switch(value: Any) -> bool:
    if not isinstance(value, bool):
        raise UsageError(f"wanted true or false, found {value!r}")
    return value


# Options that several questions share.

Seed = Annotated[int, Option("Seed of everything random.", metavar="NUMBER", least=0, in_file=True)]

AllowExternal = Annotated[
    tuple[str | Path, ...],
    Option("Also read external weights from this folder.", metavar="DIR", form="folder"),
]

Peepholes = Annotated[bool, Option("Count the peepholes of an LSTM as layers, not as biases.", in_file=True)]

InputShapes = Annotated[
    Mapping[str, tuple[int, ...]],
    Option(
        "Shape of an input, where the model leaves it open.", flag="--input-shape", metavar="NAME=1,3,224,224"
    ),
]

Dims = Annotated[
    Mapping[str, int],
    Option("Length of a named dimension, where the model leaves it open.", flag="--dim", metavar="NAME=N"),
]
