"""How an option is declared: once, as a field of a frozen dataclass.

::

    @dataclass(frozen=True)
    class AuditOptions:
        bias: Annotated[Literal["none", "row"], Option("Leave biases out, or add them.")] = "none"

Name, type, choices and default are those of the field; its ``Option`` says the rest. The command line, the
keys of the configuration file, the settings that are shown and the checks are made from it. Neither this
module nor one that declares options imports anything heavy, so that help is quick.
"""

import collections
import dataclasses
import difflib
import functools
import math
import os
import re
import sys
import types
import typing
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from numbers import Integral, Real
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from onnxtop.errors import OptionError, UsageError


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
    among
        A dataclass of options: a mapping has their names, and each value is checked as theirs.
    """

    help: str
    flag: str | None = None
    short: str | None = None
    metavar: str | None = None
    least: float | None = None
    endless: bool = False
    form: Literal["text", "pattern", "file", "folder", "rule"] = "text"
    in_file: bool = False
    needs: tuple[str, ...] = ()
    among: type | None = None


@dataclass(frozen=True)
class DeclaredOption:
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
        """Return a value as it is meant if the option can have it: numbers of one type, lists as tuples.

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
        if self.kind in (int, float) and self.option.least is not None:
            return at_least(value, self.option.least, whole=self.kind is int)
        if self.option.form == "pattern":
            return pattern(value)
        if self.kind is str and self.option.form == "file" and isinstance(value, os.PathLike):
            return os.fspath(value)
        if self.option.among is not None and isinstance(value, Mapping):
            return _among(self.option.among, value)
        return _of_kind(self.kind, value)

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


class Checked:
    """What dataclasses of options inherit: one with a value that makes no sense cannot be made."""

    def __post_init__(self) -> None:
        """Check every field, and keep its value as it is meant.

        Raises
        ------
        UsageError
            An option cannot have its value.
        """
        for each in fields_of(self):
            try:
                value = each.checked(each.default)
            except UsageError as error:
                raise OptionError.of(each.name, str(error)) from None
            object.__setattr__(self, each.name, value)


Options = TypeVar("Options", bound=Any)


def fields_of(options: Any) -> Iterator[DeclaredOption]:
    """Yield the fields of a dataclass of options, or of an instance whose values are the defaults."""
    values = options() if isinstance(options, type) else options
    made: Any = type(values)
    for name, kind, optional, option in _fields(made):
        yield DeclaredOption(name, kind, optional, getattr(values, name), option)


@functools.cache
def _fields(kind: Any) -> tuple[tuple[str, Any, bool, Option], ...]:
    """Return name, type, whether it may be None, and option of each field of a dataclass of options."""
    found = []
    for name, hint in _hints(kind).items():
        option = next((mark for mark in getattr(hint, "__metadata__", ()) if isinstance(mark, Option)), PLAIN)
        members = _members(hint.__origin__ if typing.get_origin(hint) is Annotated else hint)
        rest = tuple(each for each in members if each is not types.NoneType)
        whole = rest[0] if len(rest) == 1 else typing.Union[rest]  # noqa: UP007 (of a tuple)
        found.append((name, whole, len(rest) < len(members), option))
    return tuple(found)


PLAIN = Option("")
"""What is said of a field that is set from Python alone."""


@functools.cache
def _hints(kind: type) -> dict[str, Any]:
    hints = typing.get_type_hints(kind, include_extras=True)
    return {each.name: hints[each.name] for each in dataclasses.fields(kind)}


def declared(options: Any) -> dict[str, DeclaredOption]:
    """Return the options of a dataclass of them, or of an instance whose values are the defaults.

    Options of fields that are such dataclasses themselves stand among them, each by its own name.
    """
    found: dict[str, DeclaredOption] = {}
    for each in fields_of(options):
        if each.option is not PLAIN:
            found[each.name] = each
        elif dataclasses.is_dataclass(each.default):
            found |= declared(each.default)
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


def keywords(kind: type) -> dict[str, Any]:
    """Return the types of all options of a dataclass by the names that they have as keywords.

    Those of its parts are among them, but for a name that two parts have: there the part itself is given.
    """
    own = _hints(kind)
    parts = [
        keywords(hint) for hint in own.values() if isinstance(hint, type) and dataclasses.is_dataclass(hint)
    ]
    times = collections.Counter(name for part in parts for name in part)
    return own | {
        name: hint for part in parts for name, hint in part.items() if times[name] == 1 and name not in own
    }


def asked(kind: type[Options], options: Options | None, changes: Mapping[str, Any]) -> Options:
    """Return what a function was told: options as an object, or some of them as keywords, never both.

    Raises
    ------
    UsageError
        Both, an object of another kind, an option that does not exist, or a value that makes no sense.
    """
    if options is None:
        known = keywords(kind)
        if unknown := next((name for name in changes if name not in known), None):
            raise UsageError(f"there is no option {unknown!r}{did_you_mean(unknown, sorted(known))}")
        made: Options = with_values(kind(), changes)
        return made
    if not isinstance(options, kind):
        raise UsageError(f"wanted options of the kind {kind.__name__}, found {options!r:.60}")
    if changes:
        raise UsageError(
            f"wanted {kind.__name__} or keywords, found both: put {', '.join(changes)} into the options"
        )
    return options


@functools.cache
def _members(kind: Any) -> tuple[Any, ...]:
    return typing.get_args(kind) if typing.get_origin(kind) in (typing.Union, types.UnionType) else (kind,)


@functools.cache
def _words(kind: Any) -> tuple[Any, ...]:
    return typing.get_args(kind) if typing.get_origin(kind) is Literal else ()


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return a hint at the nearest known name, empty if none is near.

    >>> did_you_mean("tolerance", ["tolerances", "thresholds"])
    ': did you mean tolerances?'
    """
    near = difflib.get_close_matches(name[:_SAID], list(known), n=1, cutoff=0.5)
    return f": did you mean {near[0]}?" if near else ""


def said(value: Any) -> str:
    r"""Return a value as messages tell it: on one line, backslashes as typed, and cut where it is long.

    >>> said("ab"), said("ab" * 99)[-9:], said(10**9999)
    ("'ab'", 'bababa...', 'a number of very many digits')
    >>> print(said(r"fc\.1"))
    'fc\.1'
    """
    try:
        text = repr(value)
        if isinstance(value, str):
            text = text.replace("\\\\", "\\")
    except ValueError:  # Python writes no number of more than 4,300 digits
        return "a number of very many digits"
    except RecursionError:
        return "what is nested very deep"
    return text if len(text) <= _SAID else f"{text[:_SAID]}..."


_SAID = 120
"""Letters of a value in a message."""

# One function a kind of value: it returns what the program wants, or says what is wrong.


def one_of(value: Any, choices: Iterable[str]) -> str:
    """Return one of the words."""
    known = tuple(choices)
    if not (isinstance(value, str) and value in known):
        hint = did_you_mean(value, known) if isinstance(value, str) else ""
        raise UsageError(f"wanted one of {', '.join(known)}, found {said(value)}{hint}")
    return value


def pattern(value: Any) -> str:
    """Return a regular expression that compiles."""
    if not isinstance(value, str):
        raise UsageError(f"wanted a regular expression as a text, found {said(value)}")
    try:
        re.compile(value)
    except (re.error, OverflowError, RecursionError) as error:
        raise UsageError(f"wanted a regular expression, found {said(value)}: {error}") from None
    return value


def _is_finite(value: Any) -> bool:
    """Tell whether a float can have a number's value, more or less."""
    return bool(abs(value) <= sys.float_info.max)


def number(value: Any) -> Any:
    """Return a finite number."""
    if isinstance(value, bool) or not isinstance(value, Real) or not _is_finite(value):
        raise UsageError(f"wanted a number, found {said(value)}")
    return value


def at_least(value: Any, least: float, *, whole: bool = False) -> Any:
    """Return a number, a whole one if need be, that is large enough."""
    if whole and (isinstance(value, bool) or not isinstance(value, Integral) or value < least):
        raise UsageError(f"wanted a whole number of at least {least:g}, found {said(value)}")
    if number(value) < least:
        raise UsageError(f"wanted a number of at least {least:g}, found {said(value)}")
    return int(value) if whole else float(value)


def above_zero(value: Any) -> float:
    """Return a number above 0."""
    if isinstance(value, str) or not number(value) > 0:
        raise UsageError(f"wanted a number above 0, found {said(value)}")
    return float(value)


def _measure(value: Any, words: tuple[str, ...], endless: bool) -> Any:
    if isinstance(value, str) and value in words:
        return value
    if endless and isinstance(value, Real) and value == math.inf:
        return math.inf
    return above_zero(value)


def _among(kind: type, values: Mapping[Any, Any]) -> dict[str, Any]:
    """Return values by the names of declared options, each checked as the option that it is for."""
    known = declared(kind)
    checked = {}
    for name, value in values.items():
        option = known[one_of(name, known)]
        try:
            checked[name] = option.checked(value)
        except UsageError as error:
            raise UsageError(f"{name}: {error}") from None
    return checked


def _switch(value: Any) -> bool:
    if not isinstance(value, bool):
        raise UsageError(f"wanted true or false, found {said(value)}")
    return value


def _of_kind(kind: Any, value: Any) -> Any:
    """Return a value of an annotated type, lists as tuples."""
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if kind is bool:
        return _switch(value)
    if kind is float:
        return float(number(value))
    if origin is Literal:
        return one_of(value, inner)
    if origin is tuple and isinstance(value, list | tuple):
        same = inner[1:] == (...,)
        kinds = inner[:1] * len(value) if same else inner
        if len(kinds) == len(value):
            return tuple(_of_kind(each, item) for each, item in zip(kinds, value, strict=True))
    if origin is collections.abc.Mapping and isinstance(value, Mapping):
        return {_of_kind(inner[0], name): _of_kind(inner[1], item) for name, item in value.items()}
    if kind is int and not isinstance(value, bool) and isinstance(value, Integral):
        return int(value)
    plain = [each for each in _members(kind) if isinstance(each, type) and each is not int]
    if kind is Any or isinstance(value, tuple(plain)):
        return value
    if int in _members(kind) and kind is not int:
        return _of_kind(int, value)
    raise UsageError(
        f"wanted {_SHOWN.get(origin or kind, getattr(kind, '__name__', kind))}, found {said(value)}"
    )


_SHOWN = {int: "a whole number", str: "a text", tuple: "a list", collections.abc.Mapping: "a mapping"}
"""What types are called in a message."""


# Options that several questions share.

Seed = Annotated[int, Option("Seed of everything random.", metavar="NUMBER", least=0, in_file=True)]

AllowExternal = Annotated[
    tuple[str | Path, ...],
    Option("Also read external weights from this folder.", metavar="DIR", form="folder"),
]

MOST_DOWNLOAD = 16.0
"""GiB that may be fetched of a model at an address, if nothing else is said."""

MaxDownload = Annotated[
    float,
    Option(
        "Fetch no more than this of a model at an address, its external weights included.",
        metavar="GIB",
        least=0,
        in_file=True,
    ),
]

Digesting = Literal["outline", "whole", "normal"]
"""Which digests of a model are wanted: none of weights, all that there are, one in normal form as well."""

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
