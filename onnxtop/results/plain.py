"""Results as plain JSON values: the one way in which every report writes its numbers."""

import contextlib
import dataclasses
import functools
import math
import sys
import types
import typing
from collections.abc import Mapping
from typing import Any


def finite_or_none(value: float | None) -> float | None:
    """Return a figure as a float, None where it is not defined or not finite."""
    return None if value is None or not math.isfinite(value) else float(value)


@functools.cache
def written(kind: Any) -> tuple[dataclasses.Field[Any], ...]:
    """Return the fields of a dataclass that are written: those that tell one value from another."""
    return tuple(each for each in dataclasses.fields(kind) if each.compare)


IF_THERE: Mapping[str, bool] = {"if there": True}
"""Metadata of a field whose key is only there where it is not None."""


def may_miss(each: dataclasses.Field[Any]) -> bool:
    """Tell whether the key of a field may be missing, which means None."""
    return each.metadata == IF_THERE


_AS_THEY_ARE = frozenset((str, int, bool, type(None)))


@functools.cache
def _keys(kind: Any) -> tuple[tuple[str, bool], ...]:
    """Return the names of the fields that are written, and whether each may be missing."""
    return tuple((each.name, may_miss(each)) for each in written(kind))


def plain(value: Any) -> Any:
    """Return dicts, lists, strings and numbers for a value of dataclasses, mappings and tuples.

    Floats are rounded to 12 significant digits; NaN and infinity become None.

    Examples
    --------
    >>> plain({"third": 1 / 3, "none": float("nan"), "pair": (1, "a")})
    {'third': 0.333333333333, 'none': None, 'pair': [1, 'a']}
    """
    kind: Any = type(value)
    if kind in _AS_THEY_ARE:
        return value
    if kind is float:
        return float(f"{value:.12g}") if math.isfinite(value) else None
    if hasattr(kind, "__dataclass_fields__"):
        return {
            name: item if type(item) in _AS_THEY_ARE else plain(item)
            for name, may in _keys(kind)
            if not ((item := getattr(value, name)) is None and may)
        }
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [item if type(item) in _AS_THEY_ARE else plain(item) for item in value]
    if isinstance(value, float):
        return float(f"{value:.12g}") if math.isfinite(value) else None
    return value


@functools.cache
def _hints(kind: Any) -> tuple[tuple[str, Any, bool], ...]:
    """Return name and type of the fields that are written, and whether each may be missing."""
    hints = typing.get_type_hints(kind)
    return tuple((each.name, hints[each.name], may_miss(each)) for each in written(kind))


def built(hint: Any, value: Any) -> Any:
    """Build a value of the annotated type from plain JSON values: the way back.

    Raises
    ------
    TypeError, KeyError
        A value is of another type, or a field is missing.
    """
    if hint is Any:  # what another verb tells, taken along as it is
        return value
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        if not isinstance(value, Mapping):
            raise TypeError(f"wanted {hint.__name__}, found {value!r:.40}")
        there = [each for each in _hints(hint) if each[0] in value or not each[2]]
        return hint(**{name: built(kind, value[name]) for name, kind, _ in there})
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in args:
            return None
        return _one_of([arg for arg in args if arg is not type(None)], value)
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise TypeError(f"wanted a list, found {value!r:.40}")
        return tuple(built(args[0], item) for item in value)
    if origin is not None and issubclass(origin, Mapping):
        if not isinstance(value, Mapping):
            raise TypeError(f"wanted a mapping, found {value!r:.40}")
        return {key: built(args[1], item) for key, item in value.items()}
    if not isinstance(value, _LEAVES[hint]) or (isinstance(value, bool) and hint is not bool):
        raise TypeError(f"wanted {hint.__name__}, found {value!r:.40}")
    if isinstance(value, int | float) and not abs(value) <= _LARGEST[type(value)]:
        raise TypeError(f"wanted a number that a report can hold, found {value!r:.40}")
    return value


_LARGEST: Mapping[type, float] = {bool: 1, int: 2**128, float: sys.float_info.max}
"""No count and no seed of a report is larger, and every figure is finite."""

_LEAVES: Mapping[type, tuple[type, ...]] = {str: (str,), int: (int,), float: (int, float), bool: (bool,)}


def _one_of(hints: list[Any], value: Any) -> Any:
    """Build a value of the first type that it fits."""
    for hint in hints[:-1]:
        with contextlib.suppress(TypeError):
            return built(hint, value)
    return built(hints[-1], value)
